"""What the commands show, and where."""

import io

import pytest

from twisted_store.cli.options import progress, reading_progress, shown


class Terminal(io.StringIO):
    """A stream that takes itself for a terminal."""

    def isatty(self) -> bool:
        """Whether bars may be drawn on it."""
        return True


def drawn(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, *, quiet: bool = False) -> str:
    """What half of a transfer draws on a stderr."""
    monkeypatch.setattr("sys.stderr", stream)
    with progress("a name", 1000, quiet=quiet) as advance:
        advance(500)
    return stream.getvalue()


def test_progress_is_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the name and the share that is done."""
    text = drawn(monkeypatch, Terminal())
    assert "a name" in text
    assert "50%" in text


def test_progress_is_drawn_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither into a file nor when silence is wanted."""
    assert drawn(monkeypatch, io.StringIO()) == ""
    assert drawn(monkeypatch, Terminal(), quiet=True) == ""


def test_nothing_is_drawn_for_an_unknown_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no share to show."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with progress("a name", None, quiet=False) as advance:
        advance(500)
    assert terminal.getvalue() == ""


def test_a_name_is_shown_as_it_is_unless_it_is_unprintable() -> None:
    """Names of all languages are printable."""
    assert shown("größe/尺寸 x") == "größe/尺寸 x"
    assert shown("a\rb") == r"'a\rb'"


def test_reading_is_drawn_with_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share is that of all bytes, which are known when the first are read."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with reading_progress("reading", quiet=False) as show:
        show(2**20, 4 * 2**20)
        show(4 * 2**20, 4 * 2**20)
    text = terminal.getvalue()
    assert "reading" in text
    assert " 25%" in text
    assert "100%" in text
    assert "iB/s" in text


def test_nothing_is_drawn_of_reading_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of other work."""
    for stream, quiet in ((io.StringIO(), False), (Terminal(), True)):
        monkeypatch.setattr("sys.stderr", stream)
        with reading_progress("reading", quiet=quiet) as show:
            show(1, 2)
        assert stream.getvalue() == ""
