"""README's table is the one that the quickstart prints: one script, one table, on one kind of processor.

python tests/test_quickstart_table.py    prints the table and the line above it for README.md
"""

import os
import re
from importlib import metadata
from pathlib import Path

import pytest

from hpsearch.result.result import Result

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"<!-- quickstart output, made on (?P<processor>.+) -->\n(?P<text>.+)<!-- /quickstart output -->", re.DOTALL
)
TRIALS = 16
DECIDING = ("numpy", "optuna", "scikit-learn", "scipy", "torch", "transformers")
"""Packages that decide the numbers, or what is tried: constraints.txt has the versions that the table was made with."""


def tuned(folder: Path) -> Result:
    """Run the study of seed 0 that the quickstart runs first, with a worker on each core."""
    from studies import quickstart

    study = quickstart.study("quickstart", 0, folder=str(folder))
    return study.run(trials=TRIALS, devices="cpu", virtual_slots=quickstart.VIRTUAL_SLOTS, progress=False)


def printed(result: Result) -> list[str]:
    """Return what README.md shows of a result: its table but for the last column, the best trial, and the answer."""
    lines = result.text().splitlines()
    width = lines[0].index("why it ended")
    best = next(line for line in lines if line.startswith("best: "))
    evidence = result.evidence()
    assert evidence is not None
    table = [line[:width].rstrip() for line in lines[: TRIALS + 1]]
    return [*table, best, f"does the winner beat the literature default? {evidence.verdict} ({evidence.method})"]


def processor() -> str:
    """Return what kind of processor this is: its numbers are those of any other of its kind."""
    from hpsearch.training.numerics import detect_environment

    return str(detect_environment("cpu")["device_model"])


def other_packages() -> list[str]:
    """Return the packages that are not here in the versions that constraints.txt has."""
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    here = {name: metadata.version(name).partition("+")[0] for name in DECIDING}
    return [f"{name} {here[name]} (and not {pinned[name]})" for name in DECIDING if here[name] != pinned[name]]


@pytest.mark.slow
@pytest.mark.extended
def test_the_quickstart_gives_the_table_that_the_readme_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = BLOCK.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert block is not None
    if processor() != block["processor"]:
        pytest.skip(f"the table was made on {block['processor']}, this processor is {processor()}: digits differ")
    if other := other_packages():
        pytest.skip(f"the table was made with other packages than are here: {', '.join(other)}")
    shown = [line.removeprefix("    ") for line in block["text"].splitlines() if line.startswith("    ")]
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    assert printed(tuned(tmp_path)) == shown[: TRIALS + 3]


if __name__ == "__main__":
    import sys
    import tempfile

    sys.path.insert(0, str(ROOT))
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as name:
        print(f"<!-- quickstart output, made on {processor()} -->")
        print("\n".join(f"    {line}" for line in printed(tuned(Path(name)))))
