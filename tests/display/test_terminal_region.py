"""The region of a terminal that is drawn in place: seen through a terminal in memory."""

import io
import logging
import sys
import threading
from collections.abc import Sequence

import pytest

from hpsearch.display.terminal_region import TerminalRegion

pyte = pytest.importorskip("pyte", reason="pyte, a terminal in memory, is not installed")


class Terminal(io.StringIO):
    """A stream that leads to a screen of 20 columns and 6 rows."""

    def __init__(self) -> None:
        super().__init__()
        self.screen = pyte.Screen(20, 6)
        self.screen.set_mode(pyte.modes.LNM)  # a new line begins at its start, as a tty makes it
        self._stream = pyte.Stream(self.screen)

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._stream.feed(text)
        return super().write(text)

    @property
    def lines(self) -> Sequence[str]:
        return [line.rstrip() for line in self.screen.display]


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


def test_lines_are_drawn_over_the_last_ones(terminal: Terminal) -> None:
    region = TerminalRegion(terminal)
    terminal.write("before\n")
    region.draw(["one", "two and more", "three"])
    assert terminal.lines == ["before", "one", "two and more", "three", "", ""]
    region.draw(["uno", "dos"])
    assert terminal.lines == ["before", "uno", "dos", "", "", ""]
    assert (terminal.screen.cursor.y, terminal.screen.cursor.x) == (1, 0)
    region.close("the end")
    assert terminal.lines == ["before", "the end", "", "", "", ""]


def test_what_is_printed_above_stays_and_scrolls(terminal: Terminal) -> None:
    region = TerminalRegion(terminal)
    for number in range(8):
        region.draw([f"frame {number}", "end"])
        region.above(f"said {number}")
    assert terminal.lines == ["said 4", "said 5", "said 6", "said 7", "frame 7", "end"]
    region.close()
    assert terminal.lines == ["said 4", "said 5", "said 6", "said 7", "", ""]


def test_a_region_as_high_as_the_terminal_does_not_scroll(terminal: Terminal) -> None:
    region = TerminalRegion(terminal)
    for _ in range(3):
        region.draw([str(number) for number in range(6)])
    assert terminal.lines == ["0", "1", "2", "3", "4", "5"]


def test_lines_that_a_narrower_terminal_has_wrapped_are_erased(terminal: Terminal) -> None:
    region = TerminalRegion(terminal)
    region.draw(["a" * 19, "b" * 19])
    terminal.screen.reset()  # as a terminal of ten columns shows it, with the cursor still where the region begins
    terminal.screen.resize(6, 10)
    terminal.screen.set_mode(pyte.modes.LNM)
    pyte.Stream(terminal.screen).feed("aaaaaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbbbbb\x1b[H")
    region.draw(["aaaa", "bbbb"])
    assert terminal.lines == ["aaaa", "bbbb", "", "", "", ""]


def test_lines_made_for_another_size_are_not_drawn(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    region = TerminalRegion(terminal)
    monkeypatch.setenv("COLUMNS", "20")
    size = region.size()
    region.draw(["a" * 19, "b" * 19], size)
    assert terminal.lines[:2] == ["a" * 19, "b" * 19]
    monkeypatch.setenv("COLUMNS", "10")
    region.draw(["c" * 19], size)
    assert terminal.lines[0] == "a" * 19
    region.above("said")
    assert terminal.lines == ["said", "", "", "", "", ""]
    region.draw(["dddd"], region.size())
    assert terminal.lines[:2] == ["said", "dddd"]


def test_what_the_program_prints_goes_above_and_is_its_own_again_afterwards(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", terminal)
    handler = logging.StreamHandler(terminal)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    region = TerminalRegion(terminal)
    region.redirect()
    region.draw(["frame"])
    print("half a ", end="")
    assert terminal.lines[0] == "frame"
    print("line")
    logging.getLogger().warning("logged")
    sys.stdout.write("10%\r50%\r99%\nrest")
    assert terminal.lines[:4] == ["half a line", "logged", "99%", "frame"]
    region.close()
    assert terminal.lines[:4] == ["half a line", "logged", "99%", "rest"]
    assert sys.stdout is terminal
    assert handler.stream is terminal


def test_a_stream_that_leads_elsewhere_is_left_alone(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = io.StringIO()
    monkeypatch.setattr(sys, "stdout", elsewhere)
    region = TerminalRegion(terminal)
    region.redirect()
    print("to a file")
    region.close()
    assert elsewhere.getvalue() == "to a file\n"
    assert "file" not in terminal.getvalue()


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError("I/O operation on closed file")])
def test_a_terminal_that_is_gone_raises_nothing(terminal: Terminal, error: Exception) -> None:
    def write(text: str) -> int:
        raise error

    terminal.write = write  # type: ignore[method-assign]
    region = TerminalRegion(terminal)
    region.draw(["frame"])
    region.above("text")
    region.close("end")


def test_letters_that_the_terminal_does_not_know_are_replaced() -> None:
    class Old(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    binary = io.BytesIO()
    stream = Old(binary, encoding="ascii")
    TerminalRegion(stream).draw(["größe"])
    assert b"gr??e" in binary.getvalue()


def test_once_closed_it_draws_no_more(terminal: Terminal) -> None:
    region = TerminalRegion(terminal)
    region.close("end")
    region.draw(["late"])
    region.close("again")
    assert [line for line in terminal.lines if line] == ["end"]


@pytest.mark.parametrize("through", ["stdout", "a logger"])
def test_it_closes_while_others_print(monkeypatch: pytest.MonkeyPatch, through: str) -> None:
    """Threads of W&B and MLflow print just then: who waits for whose lock must not depend on who was first."""
    for _ in range(5):
        terminal, over = Terminal(), threading.Event()
        monkeypatch.setattr(sys, "stdout", terminal)
        handler = logging.StreamHandler(terminal)
        logging.getLogger().addHandler(handler)
        region = TerminalRegion(terminal)
        region.redirect()

        def chatter(over: threading.Event = over, log: bool = through == "a logger") -> None:
            out = sys.stdout
            while not over.is_set():
                logging.getLogger("chatter").error("hello") if log else out.write("hello\n")

        threads = [threading.Thread(target=chatter, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        closing = threading.Thread(target=region.close, args=("the end",), daemon=True)
        closing.start()
        closing.join(20)
        is_closed = not closing.is_alive()
        over.set()
        for thread in threads:
            thread.join(20)
        logging.getLogger().removeHandler(handler)
        assert is_closed
        assert sys.stdout is terminal
