"""What is printed where, in which colours, and never a control character of somebody else's."""

from __future__ import annotations

import io
import pty
import subprocess
import sys
import termios
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worktree_sessions.views.console import (
    ASCII,
    Color,
    Ink,
    Screen,
    clean,
    clean_lines,
    encodable,
    paint,
    terminal_width,
    wants_color,
)

BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("plain words, ünïcode, 認証, 👩‍💻", "plain words, ünïcode, 認証, 👩‍💻"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;owned\x07name", "name"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9d0;owned\x9cname", "name"),
        ("\x1bP1$r\x1b\\name", "name"),
        ("\x1b]0;never closed", "0;never closed"),
        ("\x1b\x1b[2J[2Jtwice", "[2Jtwice"),
        ("\x1bc reset \x1b(B", " reset "),
        ("one\ntwo\r\nthree\u2028four", "one\\ntwo\\nthree\\nfour"),
        ("a\tb", "a b"),
        ("bell\x07 del\x7f nul\x00 bs\x08", "bell del nul bs"),
        ("user\u202etxt.exe", "usertxt.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("caf\udce9", "caf\\xe9"),
        ("\ud800", "?"),
    ],
)
def test_foreign_text_is_shown_without_what_drives_a_terminal(text: str, harmless: str) -> None:
    assert clean(text) == harmless


SEQUENCES = st.text("\x1b\x9b\x9d\x90[]P;0mK\\\x07\x9c\n\r\tab\u202e\udc80")


@given(st.text(st.characters(), max_size=60) | SEQUENCES)
def test_clean_leaves_no_control_character_of_any_kind(text: str) -> None:
    cleaned = clean(text)
    assert not [c for c in cleaned if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in BIDI]
    assert clean(cleaned) == cleaned


@given(st.text(st.characters(categories=("L", "N", "P", "S"))))
def test_clean_leaves_harmless_text_alone(text: str) -> None:
    assert clean(text) == text


def test_lines_can_be_kept() -> None:
    assert clean_lines("one\r\n\x1b[1mtwo\x1b[0m\tx\nthree") == "one\ntwo x\nthree"


def test_stdout_is_the_answer_and_stderr_the_story() -> None:
    out, err = io.StringIO(), io.StringIO()
    screen = Screen(out=out, err=err)
    screen.answer("answer")
    screen.story("story\n")
    assert (out.getvalue(), err.getvalue()) == ("answer\n", "story\n")


@pytest.mark.parametrize(
    ("color", "environment", "terminal", "expected"),
    [
        (Color.AUTO, {}, True, True),
        (Color.AUTO, {}, False, False),
        (Color.AUTO, {"NO_COLOR": "1"}, True, False),
        (Color.AUTO, {"NO_COLOR": ""}, True, True),
        (Color.AUTO, {"TERM": "dumb"}, True, False),
        (Color.ALWAYS, {"NO_COLOR": "1"}, False, True),
        (Color.NEVER, {}, True, False),
    ],
)
def test_the_flag_beats_no_color_which_beats_the_terminal(
    color: Color, environment: dict[str, str], terminal: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wants_color(Terminal() if terminal else io.StringIO(), color) is expected


def test_each_stream_is_coloured_by_its_own_terminal() -> None:
    screen = Screen(out=io.StringIO(), err=Terminal())
    assert (screen.colors_answer, screen.colors_story) == (False, True)


def test_paint_adds_colour_only_when_asked() -> None:
    assert paint("x", Ink.ERROR, color=True) == "\x1b[1;31mx\x1b[0m"
    assert paint("x", Ink.ERROR, color=False) == "x"


@pytest.mark.parametrize(("columns", "width"), [(None, 80), ("200", 200), ("0", 80), ("wide", 80), ("²", 80)])
def test_without_a_terminal_the_width_is_columns_or_80(
    columns: str | None, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    assert terminal_width(io.StringIO()) == width


def test_an_encoding_without_our_symbols_gets_ascii_of_the_same_width() -> None:
    assert encodable("✓ 認 → ↑2 …", "utf-8") == "✓ 認 → ↑2 …"
    assert encodable("✓ done → ↑2 ↓1 a…z", "ascii") == "+ done > ^2 v1 a~z"
    assert encodable("✓ é 認", "latin-1") == "+ é \\u8a8d"
    assert encodable("✓ \udcff", "utf-8") == "+ \\udcff"
    assert all(len(chr(value)) == 1 and value < 128 for value in ASCII.values())


def test_an_ascii_stdout_takes_the_answer_without_failing() -> None:
    raw = io.BytesIO()
    screen = Screen(out=io.TextIOWrapper(raw, encoding="ascii"), err=io.StringIO())
    screen.answer("✓ 認")
    assert raw.getvalue() == b"+ \\u8a8d\n"


def test_a_path_reaches_a_pipe_byte_for_byte() -> None:
    raw = io.BytesIO()
    screen = Screen(out=io.TextIOWrapper(raw, encoding="utf-8"), err=io.StringIO())
    screen.answer_path(Path("/a/caf\udce9\x1b[31m\nx"))
    assert raw.getvalue() == b"/a/caf\xe9\x1b[31m\nx\n"


def test_a_terminal_gets_a_path_cleaned_and_text_of_its_own_width() -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 132))
    with open(theirs, "w", encoding="utf-8") as out:
        screen = Screen(out=out, err=io.StringIO())
        screen.answer_path(Path("/a/\x1b[31mred"))
    with open(ours, "rb", buffering=0) as terminal:
        assert terminal.read(100) == b"/a/red\r\n"
    assert (screen.width, screen.colors_answer, screen.colors_story) == (132, True, False)


def test_a_closed_stdout_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """`wts list >&-`: Python has no stdout then."""
    monkeypatch.setattr(sys, "stdout", None)
    err = io.StringIO()
    screen = Screen(err=err)
    screen.answer("lost")
    screen.answer_path(Path("/lost"))
    screen.story("told")
    assert err.getvalue() == "told\n"


def test_a_plain_answer_an_error_and_json_never_import_rich() -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from worktree_sessions.errors import WtsError\n"
        "from worktree_sessions.views import console, errors, jsonout, listing, prompt, receipts\n"
        "screen = console.Screen(); screen.answer_path(Path('/x'))\n"
        "screen.answer(jsonout.json_text(jsonout.envelope('path', {})))\n"
        "screen.story(errors.error_text(WtsError('a', 'b', hint='c'), color=True))\n"
        "screen.story(receipts.receipt_text(receipts.Receipt('done'), color=True))\n"
        "sys.exit(str(sorted({'rich', 'git', 'filelock'} & set(sys.modules))))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "[]"
