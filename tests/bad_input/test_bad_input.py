"""Every mistake of the catalogue, made as a person makes it, in Python and on the command line."""

import re
from pathlib import Path

import pytest
from catalogue import GROUPS, MISTAKES
from errors_page import PAGE, page, row
from mistake import PREFIX, Answer, Mistake, in_a_process, made, paragraph, said

from hpsearch import errors
from hpsearch.cli.errors import EXIT_CODES
from hpsearch.errors import PREEMPTED_CODE, HpsearchError, StudyFailedError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def _named(mistakes: list[Mistake]) -> list[object]:
    return [
        pytest.param(mistake, id=re.sub(r"[^a-z0-9]+", "-", mistake.what.lower()).strip("-")) for mistake in mistakes
    ]


def _check_answer(mistake: Mistake, answer: Answer) -> None:
    assert answer.code == mistake.code, answer.errors
    kind = next((code for kind, code in EXIT_CODES.items() if issubclass(mistake.error, kind)), 1)
    assert answer.code == kind
    assert answer.output == "" or mistake.trains  # then the table of trials comes first
    found = paragraph(answer)
    if mistake.error is StudyFailedError and mistake.call:
        return  # with the traceback of what the user's task raised, as documented
    assert "Traceback" not in answer.errors
    assert sum(line.startswith(PREFIX) for line in answer.errors.splitlines()) == 1
    assert answer.errors.splitlines()[-1] == f"{PREFIX}{found}"
    if not mistake.says_otherwise:
        assert found.endswith(said(mistake))  # after the file and its line, where making the study fails


@pytest.mark.parametrize("mistake", _named(MISTAKES))
def test_a_mistake_is_answered_in_one_paragraph(mistake: Mistake) -> None:
    outcome = made(mistake)
    if mistake.call:
        assert isinstance(outcome.error, HpsearchError), repr(outcome.error)
        assert type(outcome.error) is mistake.error
        assert "\n" not in outcome.message or mistake.error is StudyFailedError
    message = said(mistake)
    for words in mistake.says:
        assert words in (outcome.message if mistake.call else message)
    assert len(message) > 30
    assert message.endswith((".", ")", "?", "!", "'", "`"))
    assert bool(outcome.studies) == mistake.leaves, "before anything is written, where it can be known then"
    assert bool(outcome.trials) == mistake.trains, "before any training, where it can be known then"
    assert outcome.workers == 0, "before any worker is started"
    if outcome.answer is not None:
        _check_answer(mistake, outcome.answer)
    if not mistake.quotes:
        assert row(mistake) in PAGE.read_text(encoding="utf-8"), "out of date: python tests/bad_input/errors_page.py"


@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.parametrize("mistake", _named([mistake for mistake in MISTAKES if mistake.process]))
def test_a_mistake_on_a_real_command_line(mistake: Mistake) -> None:
    _check_answer(mistake, in_a_process(mistake))


def test_there_are_many_kinds() -> None:
    assert len(MISTAKES) >= 150
    assert len({mistake.what for mistake in MISTAKES}) == len(MISTAKES)
    assert sum(mistake.process for mistake in MISTAKES) >= 10
    raised = {mistake.error for mistake in MISTAKES}
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HpsearchError)}
    unmet = {errors.HpsearchError, errors.LeaseLostError, errors.CheckpointError}  # a base, and two that nobody writes
    unmet |= {errors.PreparedDataError, errors.StudyExistsError}  # which are answered by making the rows, by opening it
    unmet |= {errors.NodeError}  # which leaves a node without work: tests/runtime/test_node_folders.py
    assert kinds - raised <= unmet | {errors.UsageError, errors.StoreError}


def test_the_page_has_a_row_for_each_mistake_in_order() -> None:
    """The rows themselves are compared one by one above, but for words that are another package's."""
    written = PAGE.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", written, re.MULTILINE)
    assert headings[-len(GROUPS) :] == list(GROUPS)
    inputs = [re.split(r"(?<!\\) \| ", line[2:])[0] for line in written.splitlines() if line.startswith("| ")]
    known = [mistake.what for mistake in MISTAKES]
    assert [each for each in inputs if each in known] == known
    assert len([each for each in inputs if each not in known]) == written.count("| mistake |") + 7  # exit codes
    for exit_code in (*EXIT_CODES.values(), 0, 1, PREEMPTED_CODE, 130):
        assert f"| {exit_code} |" in written
    assert str(Path.home()) not in written
    assert callable(page)
