"""The command line: commands.py has the commands, the other files what they do."""
