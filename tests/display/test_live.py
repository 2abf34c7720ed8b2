"""The live display: it fits its terminal, says what is so, and leaves a clean screen however the study ends."""

import dataclasses
import io
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from hpsearch.display.panel import StandingPanel
from hpsearch.display.standing import BestSoFar, RunningFold, Standing, Tally

pyte = pytest.importorskip("pyte", reason="pyte, a terminal in memory, is not installed")
pytest.importorskip("pty", reason="this system has no pseudo-terminals")

from pseudo_terminal import PseudoTerminal  # noqa: E402
from study_processes import Launcher, until  # noqa: E402

FOLD = RunningFold(12, 2, 5, 1.5, 3.0, 0.41231, 0.81234, "cuda:0", 130.0, 125.0)
STANDING = Standing(
    name="emotion",
    folder="runs/emotion",
    objective="f1_macro",
    trials=50,
    tally=Tally(2, 1, 7, 4, 1, None),
    best=BestSoFar(7, 0.83121, (0.80111, 0.86131), {"learning_rate": 4.1e-5, "batch_size": 16, "note": "[bold]a\nb"}),
    folds=tuple(dataclasses.replace(FOLD, trial=12 + number) for number in range(4)),
    devices={"cuda:0": 1, "cuda:1": 1},
    elapsed=2460.0,
    left=7500.0,
    pauses_in=None,
    is_pausing=False,
)


def lines(columns: int, rows: int, *standings: Standing, encoding: str = "utf-8") -> list[str]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=stream, force_terminal=True, no_color=True, color_system=None, width=columns, height=rows)
    with console.capture() as capture:
        console.print(StandingPanel(*(standings or (STANDING,))))
    return capture.get().rstrip("\n").split("\n")


def test_the_panel_says_how_the_study_stands() -> None:
    assert lines(80, 24) == [
        "╭─ emotion: runs/emotion ─────────────────────────────────────────────────────╮",
        "│ 12/50 trials, 7 done, 4 pruned, 1 failed, 2 running, 1 waiting              │",
        "│ best f1_macro 0.8312, 95% interval 0.8011 to 0.8613 (trial 7)               │",
        "│      learning_rate=4.1e-05 batch_size=16 note=[bold]a b                     │",
        "│ trial  fold  epoch              loss  f1_macro  device   time   left        │",
        *(
            f"│    {number}   2/5  1.5/3  ━━━━      0.4123    0.8123  cuda:0  2 min  2 min        │"
            for number in (12, 13, 14, 15)
        ),
        "│ 41 min so far, about 2.1 h left; on cuda:0, cuda:1                          │",
        "╰─────────────────────────────────────────────────────────────────────────────╯",
    ]


@pytest.mark.parametrize("columns", [200, 80, 60, 40, 25, 20, 8])
@pytest.mark.parametrize("rows", [50, 24, 10, 7, 5, 3, 2])
def test_it_is_never_wider_or_higher_than_the_terminal(columns: int, rows: int) -> None:
    many = dataclasses.replace(STANDING, name="情感" * 30, folds=STANDING.folds * 20)
    for standing in (STANDING, many, dataclasses.replace(STANDING, best=None, folds=())):
        found = lines(columns, rows, standing)
        assert 0 < len(found) < max(rows, 2)
        assert max(cell_len(line) for line in found) < columns


def test_a_narrow_and_low_terminal_gets_what_matters_most() -> None:
    assert lines(40, 10) == [
        "╭─ emotion: runs/emotion ─────────────╮",
        "│ 12/50 trials, 7 done, 4 pruned, 1 … │",
        "│ best f1_macro 0.8312, 95% interval… │",
        "│ trial  fold  epoch  f1_macro   left │",
        "│    12   2/5  1.5/3    0.8123  2 min │",
        "│    13   2/5  1.5/3    0.8123  2 min │",
        "│ and 2 more                          │",
        "│ 41 min so far, about 2.1 h left; o… │",
        "╰─────────────────────────────────────╯",
    ]
    assert lines(40, 4) == ["emotion: 12/50 trials, 7 done, 4 prune…"]


def test_what_is_not_known_is_left_blank() -> None:
    young = dataclasses.replace(FOLD, epoch=0.0, loss=None, value=None, left=None)
    found = lines(80, 24, dataclasses.replace(STANDING, best=None, left=None, folds=(young,)))
    assert "best" not in "".join(found)
    assert "41 min so far; on" in "".join(found)
    (row,) = [line for line in found if " 2/5 " in line]
    assert row.strip("│").split() == ["12", "2/5", "0/3", "cuda:0", "2", "min"]


def test_the_time_to_a_pause_goes_before_a_later_end() -> None:
    assert "pauses in 10 min" in "".join(lines(80, 24, dataclasses.replace(STANDING, pauses_in=600.0)))
    assert "about 2.1 h left" in "".join(lines(80, 24, dataclasses.replace(STANDING, pauses_in=9000.0)))
    assert "pausing" in "".join(lines(80, 24, dataclasses.replace(STANDING, is_pausing=True)))


def test_a_study_that_waits_says_for_whom() -> None:
    waiting = dataclasses.replace(STANDING, waits_for="process 7 (study 'other') on cpu-0")
    assert "41 min so far, waiting for process 7 (study 'other') on cpu-0; on" in "".join(lines(120, 24, waiting))


@pytest.mark.parametrize("rows", [50, 24, 14, 8, 4])
def test_several_studies_share_the_room(rows: int) -> None:
    names = ("one", "two", "three")
    found = lines(80, rows, *(dataclasses.replace(STANDING, name=name) for name in names))
    assert 3 <= len(found) < rows
    heads = [line for line in found if any(f" {name}: runs" in line or line.startswith(f"{name}: ") for name in names)]
    assert len(heads) == 3
    assert max(cell_len(line) for line in found) < 80


def test_a_terminal_without_unicode_gets_ascii() -> None:
    "\n".join(lines(80, 24, encoding="ascii")).encode("ascii")


# ---------------------------------------------------------------- the real thing


Terminals = Callable[..., PseudoTerminal]

STUDY = """
from toy_studies import toy_study
print("before")
study = toy_study("runs", {"pause": 0.03}, pruner="median")
"""


@pytest.fixture
def terminal(launcher: Launcher, tmp_path: Path) -> Iterator[Terminals]:
    opened = []

    def begin(code: str, columns: int = 80, rows: int = 24, **environment: str) -> PseudoTerminal:
        cache = {"HPSEARCH_CACHE": str(tmp_path / "cache")}
        opened.append(PseudoTerminal(launcher, code, columns, rows, tmp_path, {**cache, **environment}))
        return opened[-1]

    yield begin
    for each in opened:
        each.close()


def is_drawn(lines: list[str]) -> bool:
    return any("running" in line for line in lines) and any("╰" in line for line in lines)


def assert_clean(terminal: PseudoTerminal) -> None:
    """Nothing of the panel is left, the cursor is to be seen, and nothing was switched on and not off."""
    assert not [line for line in terminal.lines() if set("╭│╰") & set(line)]
    assert not terminal.screen.cursor.hidden
    assert b"\x1b[?" not in terminal.bytes


@pytest.mark.parametrize(
    "columns, rows, devices", [(80, 24, "inline"), pytest.param(40, 10, 2, marks=pytest.mark.long)]
)
def test_a_study_leaves_a_summary_and_no_panel(
    terminal: Terminals, columns: int, rows: int, devices: str | int
) -> None:
    code = STUDY + (
        "import logging, sys\n"
        "def speak(study, trial):\n"
        "    print('printed at', trial.number)\n"
        "    sys.stderr.write(f'10%\\r20% of {trial.number}\\n')\n"
        "    logging.getLogger('hpsearch').warning('a warning at %d', trial.number)\n"
        "study.callbacks = (speak,)\n"
        "study.plan.task = type(study.task)(pause=0.1)\n"  # no trial ends before the panel is looked at
        f"study.run(trials=3, devices={devices!r})\nprint('after')"
    )
    shown = terminal(code, columns, rows)
    panel = shown.until(is_drawn)
    assert panel[0] == "before"
    assert panel[1].startswith("╭─ toy: runs/toy ─")
    assert panel[1].endswith("─╮")
    assert shown.end() == 0
    assert_clean(shown)
    text = shown.lines()
    for number in range(3):
        said = [f"printed at {number}", f"20% of {number}", f"a warning at {number}"]
        place = text.index(said[0])
        assert text[place : place + 3] == said
    assert text[0] == "before"
    assert text[10].startswith("toy: 3/3 trials, 3 done, in ")
    assert text[11].startswith("best f1_macro 0.")
    assert text[-1] == "after"


def test_ctrl_c_pauses_and_leaves_a_clean_terminal(terminal: Terminals) -> None:
    code = (
        "try:\n    study.run(trials=12, devices='inline')\n"
        "except KeyboardInterrupt as interrupt:\n    print('after', interrupt, study.was_interrupted)\n"
        "study.run(trials=1, devices='inline', progress=False)\nprint('gone on', study.result.best.value > 0)"
    )
    shown = terminal(STUDY + code)
    shown.until(is_drawn)
    shown.press_ctrl_c()
    assert shown.end() == 0
    assert_clean(shown)
    text = shown.lines()
    assert any(line.startswith("toy: ") and "4 waiting" in line for line in text)  # as many as virtual slots
    assert any(line.startswith("Paused. Continue with") for line in text)
    assert text[-2:] == ["after the study 'toy' was paused; run it again to continue True", "gone on True"]


def test_several_studies_have_one_panel_and_one_ctrl_c(terminal: Terminals) -> None:
    code = (
        "import hpsearch as hp\n"
        "studies = [toy_study(name, {'pause': 0.05}, sampler='random') for name in ('one', 'two')]\n"
        "try:\n    hp.run(studies, 12, devices='inline')\n"
        "except KeyboardInterrupt as error:\n    print(error, [study.was_interrupted for study in studies])"
    )
    shown = terminal(STUDY + code)
    shown.until(lambda lines: sum("1 running" in line or "1 done" in line for line in lines) == 2)
    shown.press_ctrl_c()
    assert shown.end() == 0
    assert_clean(shown)
    text = "".join(shown.lines())
    assert "the studies were paused; run them again to continue [True, True]" in text
    assert text.count("/12 trials, ") == 2
    assert text.count("Paused. Continue with: ") == 2


def test_a_second_ctrl_c_leaves_a_clean_terminal_too(terminal: Terminals, tmp_path: Path) -> None:
    code = "study.plan.task = type(study.task)(trouble='hang', flag='training')\nstudy.run(trials=12, devices='inline')"
    shown = terminal(STUDY + code)
    shown.until(is_drawn)
    until((tmp_path / "training").exists, 60, "nothing is trained")
    shown.press_ctrl_c()
    shown.until(lambda lines: any("pausing" in line for line in lines))
    shown.press_ctrl_c()
    assert shown.end() == -signal.SIGINT
    assert_clean(shown)
    assert shown.lines()[-1] == "KeyboardInterrupt"


def test_an_exception_leaves_a_clean_terminal(terminal: Terminals) -> None:
    shown = terminal(
        STUDY + "study.plan.task = type(study.task)(pause=0.03, trouble='raise')\nstudy.run(devices='inline')"
    )
    assert shown.end() == 1
    assert_clean(shown)
    text = shown.lines()
    assert sum("see logs/trial-" in line for line in text) == 4  # the three decided on, and one trained beside them
    assert any(line.startswith("toy: 3 trials, 3 failed") for line in text)
    assert text[-1] == "RuntimeError: the toy is broken"


def test_it_follows_the_size_of_the_terminal(terminal: Terminals) -> None:
    shown = terminal(STUDY + "study.run(trials=12, devices='inline')")
    shown.until(is_drawn)
    for columns, rows in ((50, 24), (100, 30), (40, 10), (80, 24)):
        shown.resize(columns, rows)
        edge = "╭─ toy: runs/toy "
        expected = edge + "─" * (columns - 2 - len(edge)) + "╮"
        shown.until(lambda lines, expected=expected: expected in lines)
        assert sum("╭" in line for line in shown.lines()) == 1
    shown.press_ctrl_c()
    assert shown.end() == -signal.SIGINT
    assert_clean(shown)
    assert shown.lines()[-1] == "KeyboardInterrupt: the study 'toy' was paused; run it again to continue"


def test_a_closed_terminal_ends_nothing(terminal: Terminals, tmp_path: Path) -> None:
    code = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        + STUDY
        + "study.run(trials=3, devices='inline')\nopen('ended', 'w').close()"
    )
    shown = terminal(code)
    shown.until(is_drawn)
    shown.hang_up()
    assert shown.process.wait() == 0
    assert (tmp_path / "ended").exists()


@pytest.mark.parametrize("variable", [("TERM", "dumb"), ("CI", "true")])
def test_where_the_cursor_cannot_move_lines_are_printed(terminal: Terminals, variable: tuple[str, str]) -> None:
    shown = terminal(STUDY + "study.run(trials=2, devices='inline')", 200, **dict([variable]))
    assert shown.end() == 0
    assert b"\x1b" not in shown.bytes
    assert [line.split(";")[0][:21] for line in shown.lines()] == [
        "before",
        "toy: trial 1 complete",
        "toy: trial 0 complete",
    ]


def test_without_colours_there_are_none(terminal: Terminals) -> None:
    shown = terminal(STUDY + "study.run(trials=1, devices='inline')", NO_COLOR="1")
    shown.until(is_drawn)
    assert shown.end() == 0
    assert not [number for number in range(30, 50) if f"[{number}m".encode() in shown.bytes]


@pytest.mark.parametrize("progress, panels", [("True", True), ("'plain'", False), ("False", False)])
def test_a_user_may_choose(terminal: Terminals, progress: str, panels: bool) -> None:
    shown = terminal(STUDY + f"study.run(trials=1, devices='inline', progress={progress})", 120)
    assert shown.end() == 0
    assert ("╭".encode() in shown.bytes) == panels
    text = "\n".join(shown.lines())
    assert ("trial 0 complete" in text) == (progress == "'plain'")
    assert ("toy" in text) == (progress != "False")


@pytest.mark.parametrize("progress, panels", [("auto", True), ("none", False)])
def test_the_command_line_has_it_too(terminal: Terminals, tmp_path: Path, progress: str, panels: bool) -> None:
    (tmp_path / "study.py").write_text(STUDY)
    words = ["run", "study.py", "--trials", "1", "--devices", "inline", "--progress", progress]
    shown = terminal(f"from hpsearch.cli.commands import app\napp({words})", 120)
    assert shown.end() == 0
    assert ("╭".encode() in shown.bytes) == panels
    assert_clean(shown)
    assert any(line.startswith("Next: hpsearch report") for line in shown.lines())
