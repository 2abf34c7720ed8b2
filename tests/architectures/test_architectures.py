"""Every architecture is exported as it was scored, or says that it is not."""

import re
from pathlib import Path

import pytest
from small_models import IMAGES, NOT_BUILT, NOT_CHECKPOINTED, READS_PADDING, REFUSED, TEXTS
from sweep import EXACT, PAGE, architectures, checkpointing_changes, expected_of, outcome

from hpsearch.tasks.classes import judge

AT_ONCE = {("llama", "text"), ("t5", "text"), ("xlnet", "text"), ("swin", "image")}
"""Those of every change; the others are tried by `make test-extended`."""

CASES = [
    pytest.param(name, kind, id=f"{kind}-{name}", marks=() if (name, kind) in AT_ONCE else pytest.mark.extended)
    for name, kind in architectures()
]


@pytest.mark.filterwarnings("ignore")  # old architectures warn of what they use
@pytest.mark.parametrize("name,kind", CASES)
def test_an_architecture_is_exported_as_it_was_scored(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "_ROUNDING", EXACT)
    found = outcome(name, kind, tmp_path)
    assert (found.state, found.text) == (expected_of(name, kind)[0], found.text)
    if found.state == "differs":
        assert "its score is not stated" in found.text


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name,kind", CASES)
def test_gradient_checkpointing_changes_no_weight(name: str, kind: str, tmp_path: Path) -> None:
    if name not in {*NOT_BUILT, *REFUSED}:
        assert checkpointing_changes(name, kind, tmp_path) == (None if name in NOT_CHECKPOINTED else [])


def test_the_page_has_every_architecture_and_what_is_expected_of_it() -> None:
    rows = re.findall(r"^\| ([\w-]+) \| (exact|differs|refused|not built) \|", PAGE.read_text(), re.MULTILINE)
    assert rows == [(name, expected_of(name, kind)[0]) for name, kind in architectures()]


def test_the_lists_name_architectures_that_there_are() -> None:
    assert {*NOT_BUILT, *READS_PADDING, *REFUSED, *NOT_CHECKPOINTED} <= {*TEXTS, *IMAGES}
    assert len(TEXTS) + len(IMAGES) >= 160
