"""`python -m hpsearch`: the command line, where its script is not on the path."""

from hpsearch.cli.commands import app

if __name__ == "__main__":
    app(prog_name="hpsearch")
