"""The panel at the end of a terminal, and what is printed above it: seen through a terminal in memory."""

import io
import logging
import os
import sys
import threading
from collections.abc import Sequence

import pytest
from rich.text import Text

from hpsearch.display.live import TerminalPanel

pyte = pytest.importorskip("pyte", reason="pyte, a terminal in memory, is not installed")


class Terminal(io.StringIO):
    """A stream that leads to a screen of 20 columns and 6 rows."""

    def __init__(self) -> None:
        super().__init__()
        self.screen = pyte.HistoryScreen(20, 6)
        self.screen.set_mode(pyte.modes.LNM)  # a new line begins at its start, as a tty makes it
        self._stream = pyte.Stream(self.screen)

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._stream.feed(text)
        return super().write(text)

    @property
    def scrolled_out(self) -> int:
        return len(self.screen.history.top)

    @property
    def lines(self) -> Sequence[str]:
        return [line.rstrip() for line in self.screen.display]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    has_size(monkeypatch, 20, 6)
    return Terminal()


def has_size(monkeypatch: pytest.MonkeyPatch, columns: int, rows: int) -> None:
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor=0: os.terminal_size((columns, rows)))


def test_what_is_shown_takes_the_place_of_what_was(terminal: Terminal) -> None:
    panel = TerminalPanel(terminal)
    terminal.write("before\n")
    panel.show(Text("one\ntwo and more\nthree"))
    assert terminal.lines == ["before", "one", "two and more", "three", "", ""]
    panel.show(Text("uno\ndos"))
    assert terminal.lines == ["before", "uno", "dos", "", "", ""]
    panel.close(Text("the end"))
    assert terminal.lines == ["before", "the end", "", "", "", ""]
    assert (terminal.screen.cursor.y, terminal.screen.cursor.x) == (2, 0)


def test_what_is_printed_above_stays_and_scrolls(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)
    panel = TerminalPanel(terminal)
    for number in range(8):
        panel.show(Text(f"frame {number}\nend"))
        print(f"said {number}", file=sys.stderr)
    assert terminal.lines == ["said 4", "said 5", "said 6", "said 7", "frame 7", "end"]
    panel.close(Text("the end"))
    assert terminal.lines == ["said 4", "said 5", "said 6", "said 7", "the end", ""]


def test_a_panel_as_high_as_the_terminal_does_not_scroll(terminal: Terminal) -> None:
    panel = TerminalPanel(terminal)
    for _ in range(3):
        panel.show(Text("\n".join(str(number) for number in range(6))))
    assert terminal.lines == ["0", "1", "2", "3", "4", "5"]
    panel.close(Text("the end"))
    assert terminal.lines == ["the end", "", "", "", "", ""]
    assert not terminal.scrolled_out


def test_a_print_draws_it_anew_for_the_size_that_the_terminal_has_by_then(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)
    panel = TerminalPanel(terminal)
    panel.show(Text("c" * 19, no_wrap=True, overflow="ellipsis"))
    assert terminal.lines[0] == "c" * 19
    has_size(monkeypatch, 10, 6)
    print("said", file=sys.stderr)
    assert terminal.lines == ["said", "c" * 9 + "…", "", "", "", ""]
    panel.close(Text())


@pytest.mark.parametrize("text", ["a line that is longer than the terminal", "[bold] [/x] :smile: 1.5 'a'"])
def test_what_is_printed_is_passed_on_letter_by_letter(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)
    panel = TerminalPanel(terminal)
    print(text, file=sys.stderr)
    print(text, file=sys.stderr, end="", flush=True)
    panel.close(Text())
    assert terminal.getvalue().count(text) == 2


def test_what_the_program_prints_goes_above_and_is_its_own_again_afterwards(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", terminal)
    handler = logging.StreamHandler(terminal)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    panel = TerminalPanel(terminal)
    panel.show(Text("frame"))
    print("half a ", end="")
    assert terminal.lines[0] == "frame"
    print("line")
    logging.getLogger().warning("logged")
    sys.stdout.write("10%\r50%\r99%\nrest")
    assert terminal.lines[:4] == ["half a line", "logged", "99%", "frame"]
    panel.close(Text())
    assert terminal.lines[:4] == ["half a line", "logged", "99%", "rest"]
    assert sys.stdout is terminal
    assert handler.stream is terminal


def test_a_stream_that_leads_elsewhere_is_left_alone(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = io.StringIO()
    monkeypatch.setattr(sys, "stdout", elsewhere)
    panel = TerminalPanel(terminal)
    print("to a file")
    panel.close(Text())
    assert elsewhere.getvalue() == "to a file\n"
    assert "file" not in terminal.getvalue()


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError("I/O operation on closed file")])
def test_a_terminal_that_is_gone_raises_nothing(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def write(text: str) -> int:
        raise error

    terminal.write = write  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", terminal)
    panel = TerminalPanel(terminal)
    panel.show(Text("frame"))
    print("text", file=sys.stderr)
    panel.close(Text("end"))


def test_letters_that_the_terminal_does_not_know_are_replaced() -> None:
    class Old(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    binary = io.BytesIO()
    stream = Old(binary, encoding="ascii")
    panel = TerminalPanel(stream)
    panel.show(Text("größe"))
    panel.close(Text())
    assert b"gr??e" in binary.getvalue()


def test_once_closed_it_draws_no_more(terminal: Terminal) -> None:
    panel = TerminalPanel(terminal)
    panel.close(Text("end"))
    panel.show(Text("late"))
    assert [line for line in terminal.lines if line] == ["end"]


def test_a_drawing_waits_while_another_thread_prints(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each goes up by the height of the last drawing, which must not become another one meanwhile."""
    monkeypatch.setattr(sys, "stderr", terminal)
    panel = TerminalPanel(terminal)
    higher = threading.Thread(target=panel.show, args=(Text("one\ntwo\nthree"),), daemon=True)

    def size(descriptor: int = 0) -> os.terminal_size:  # asked between going up and drawing
        if threading.current_thread() is threading.main_thread() and higher.ident is None:
            higher.start()
            higher.join(0.5)
        return os.terminal_size((20, 6))

    panel.show(Text("one"))
    monkeypatch.setattr(os, "get_terminal_size", size)
    print("said", file=sys.stderr)
    higher.join(20)
    assert terminal.lines == ["said", "one", "two", "three", "", ""]
    panel.close(Text())
    assert terminal.lines == ["said", "", "", "", "", ""]


@pytest.mark.parametrize("through", ["stdout", "a logger"])
def test_it_closes_while_others_print(monkeypatch: pytest.MonkeyPatch, through: str) -> None:
    """Threads of W&B and MLflow print just then: who waits for whose lock must not depend on who was first."""
    for _ in range(5):
        terminal, over = Terminal(), threading.Event()
        monkeypatch.setattr(sys, "stdout", terminal)
        handler = logging.StreamHandler(terminal)
        logging.getLogger().addHandler(handler)
        panel = TerminalPanel(terminal)

        def chatter(over: threading.Event = over, log: bool = through == "a logger") -> None:
            out = sys.stdout
            while not over.is_set():
                logging.getLogger("chatter").error("hello") if log else out.write("hello\n")

        threads = [threading.Thread(target=chatter, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        closing = threading.Thread(target=panel.close, args=(Text("the end"),), daemon=True)
        closing.start()
        closing.join(20)
        is_closed = not closing.is_alive()
        over.set()
        for thread in threads:
            thread.join(20)
        logging.getLogger().removeHandler(handler)
        assert is_closed
        assert sys.stdout is terminal
