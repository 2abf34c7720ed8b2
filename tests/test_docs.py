"""The documentation, followed to the letter: every block of code on a page is run, in order, in a folder of its own.

Python blocks of a page share one namespace. A block whose first line is a comment with a file's name is that file, and
is written. Shell blocks are run by the real command. A text block that follows is what was printed, with other numbers
perhaps; it may end in a line of three dots. Blocks of other kinds (console, diff, bash, yaml) are shown, not run.

What a page takes as given lies in the folder: rows, and tiny models under the names of those on the hub.
"""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from chat_samples import ROWS as CHATS
from chat_samples import save_chat_model
from sequence_samples import pairs, save_sequence_model
from tasks_samples import WORDS, review_rows, save_base, save_image_folder, save_text_model, save_tokenizer
from typer.testing import CliRunner

import hpsearch as hp
from hpsearch.cli.commands import app
from hpsearch.policy.rule_names import SAMPLERS
from hpsearch.report import Figures
from hpsearch.runtime import pools

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md") if path.name not in ("README.md", "log.md"))
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w-]+\.(?:py|toml))$")
RUN = ("python", "shell", "toml")
SHOWN = ("console", "diff", "bash", "yaml")  # the latter two are tried in test_clusters.py
KNOWN = (*RUN, *SHOWN, "text")
WITHOUT_CODE = ("errors.md", "architectures.md")
"""Their tables are made from tests/bad_input and tests/architectures, and compared with them there."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # transformers, of its own tokenizers
]


@dataclass(frozen=True)
class Block:
    """A block of code on a page, and the line that it begins at."""

    kind: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that the block is, or None."""
        found = FILE.match(self.text.split("\n", 1)[0])
        return found[1] if found else None


def blocks_of(page: str) -> list[Block]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return [Block(found[1], found[2], text[: found.start()].count("\n") + 2) for found in FENCE.finditer(text)]


FILE_NAMES = {Path(block.file).stem for page in PAGES for block in blocks_of(page) if block.file is not None}
"""The modules that the files of pages are, when they are imported."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a page is followed, with what it takes as given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(sys, "path", list(sys.path))
    review_rows(96).to_csv("train.csv", index=False)
    review_rows(12, seed=1).to_csv("test.csv", index=False)
    save_text_model(tmp_path / "distilbert-base-uncased", "distilbert")
    save_tokenizer(
        tmp_path / "distilbert-base-uncased",
        words=(*WORDS, *["Where", "In", "Is", "Yes", "No", "is", "in", "open", "room", "hall", "?", "."]),
    )
    save_text_model(tmp_path / "bert-base-uncased")
    save_base("vit", tmp_path / "google" / "vit-base-patch16-224", image_size=32)
    save_image_folder(tmp_path / "photos")
    save_sequence_model(tmp_path / "Helsinki-NLP" / "opus-mt-en-de", max_position_embeddings=512)
    for name, rows in (("pairs.csv", 60), ("new-pairs.csv", 10)):
        pairs(rows, seed=rows).rename(columns={"en": "english", "de": "german"}).to_csv(name, index=False)
    save_chat_model(tmp_path / "HuggingFaceTB" / "SmolLM2-135M-Instruct")
    chats = "\n".join(json.dumps(CHATS[row % 8]) for row in range(40))
    Path("chats.jsonl").write_text(chats, encoding="utf-8")
    return tmp_path


@pytest.fixture(autouse=True)
def _registered_for_one_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take back what a page registers, and the modules that are its files: the next page has others of their names."""
    monkeypatch.setattr(pools, "POOLS", [*pools.POOLS])
    names, figures = dict(SAMPLERS), set(vars(Figures))
    for name in FILE_NAMES:
        sys.modules.pop(name, None)
    yield
    for name in FILE_NAMES:
        sys.modules.pop(name, None)
    for name in SAMPLERS.keys() - names:
        del SAMPLERS[name]
    for name in set(vars(Figures)) - figures:
        delattr(Figures, name)


class Reader:
    """Somebody who follows a page."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.names: dict[str, Any] = {"__name__": f"page_{page.removesuffix('.md').replace('-', '_')}"}
        self.printed = ""

    def follow(self, block: Block) -> None:
        if block.kind == "text":
            self.compare(block)
        elif block.file is not None:
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.kind == "python":
            self.printed = self.run_python(block)
        else:
            self.printed = "".join(self.run_line(line) for line in block.text.splitlines())

    def run_python(self, block: Block) -> str:
        code = compile("\n" * (block.line - 1) + block.text, str(DOCS / self.page), "exec")
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(code, self.names)
        return out.getvalue()

    def run_line(self, line: str) -> str:
        program, *words = shlex.split(line, comments=True)
        if program == "hpsearch":
            done = CliRunner().invoke(app, words, catch_exceptions=False)
            assert done.exit_code == 0, f"{line}\n{done.stdout}{done.stderr}"
            return done.stdout
        assert program == "python", line
        process = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, timeout=300)
        assert process.returncode == 0, f"{line}\n{process.stderr}"
        return process.stdout

    def compare(self, block: Block) -> None:
        """Check that a page shows what was printed, but for numbers; `...` as the last line is a rest left out."""
        shown, printed = plain(block.text), plain(self.printed)
        if shown and shown[-1] == "...":
            shown, printed = shown[:-1], printed[: len(shown) - 1]
        assert printed == shown, f"{self.page}, line {block.line}"


def plain(text: str) -> list[str]:
    """Return the lines of a text with every number as #, and spaces as one."""
    lines = [re.sub(r"\s+", " ", re.sub(r"-?\d[\d,.]*(?:e[+-]?\d+)?", "#", line)).strip() for line in text.splitlines()]
    return [line for line in lines if line]


def test_there_are_pages_and_the_index_names_them() -> None:
    assert {"tutorial.md", "spaces.md", "samplers-and-pruners.md", "scikit-learn.md", "tasks.md"} <= set(PAGES)
    assert {"watching.md", "resuming.md", "reading-figures.md", "contributing.md"} <= set(PAGES)
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    for name in PAGES:
        assert f"]({name})" in index, name


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert "://" not in target, target
        assert (DOCS / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_is_of_a_kind_that_is_run_or_compared(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = blocks_of(page)
    assert text.count("```") == 2 * len(blocks), "a fence without a kind, or one that is not closed"
    assert {block.kind for block in blocks} <= set(KNOWN)
    assert page in WITHOUT_CODE or any(block.kind in RUN for block in blocks)


@pytest.mark.parametrize("page", [page for page in PAGES if page not in WITHOUT_CODE])
def test_a_page_can_be_followed_and_no_study_warns(page: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: dict[str, tuple[str, ...]] = {}
    run = hp.Study.run

    def noted(study: hp.Study, *arguments: Any, **settings: Any) -> hp.Result:
        warnings[study.plan.name] = study.plan.warnings
        return run(study, *arguments, **settings)

    monkeypatch.setattr(hp.Study, "run", noted)
    reader = Reader(page)
    for block in blocks_of(page):
        if block.kind not in SHOWN:
            reader.follow(block)
    assert not {name: texts for name, texts in warnings.items() if texts}


# ---------------------------------------------------------------- the notebook


@pytest.fixture
def notebook(place: Path) -> Any:
    """The notebook, executed cell by cell in a kernel of its own, in a fresh folder."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    shutil.copy(DOCS / "tutorial.ipynb", place)
    read = nbformat.read(place / "tutorial.ipynb", as_version=4)
    client = nbclient.NotebookClient(read, timeout=300, resources={"metadata": {"path": str(place)}})
    return client.execute(env={**os.environ})


@pytest.mark.extended
@pytest.mark.filterwarnings("ignore")  # of the notebook's client and its sockets
def test_the_notebook_runs_and_shows_its_figures(notebook: Any) -> None:
    plotly = "application/vnd.plotly.v1+json"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [out.get("data", {}) for cell in code for out in cell.outputs]
    figures = [data[plotly] for data in outputs if plotly in data]
    assert len(figures) >= 3
    assert all(figure["data"] for figure in figures)


def test_the_notebook_is_kept_without_outputs_and_uses_the_files_of_the_tutorial() -> None:
    nbformat = pytest.importorskip("nbformat")
    kept = nbformat.read(DOCS / "tutorial.ipynb", as_version=4)
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    files = {block.file: block.text for block in blocks_of("tutorial.md") if block.file is not None}
    for name in ("make_csv.py", "make_model.py"):
        assert any(cell.source.strip() == files[name].strip() for cell in code), name
