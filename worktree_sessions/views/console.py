"""The one place that prints: stdout is the answer, stderr is the story.

Views make text, a `Screen` writes it. Text that came from git, an agent or the network goes through `clean`
on its way into a view, so that none of it can drive a terminal. rich is imported only to draw with: a plain
answer does not pay for it. A closed pipe is left to the front door.
"""

from __future__ import annotations

import enum
import os
import re
import sys
from pathlib import Path
from typing import TextIO

from worktree_sessions.outside import environment

NARROW = 80  # columns, when nobody knows better


class Color(enum.StrEnum):
    """When to colour: AUTO on a terminal, unless NO_COLOR or a dumb terminal forbids."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Ink(enum.StrEnum):
    """The few colours of plain text, as SGR codes of the sixteen that the reader's own theme defines."""

    ERROR = "1;31"
    WARNING = "1;33"
    HINT = "1;36"
    DONE = "32"
    STRONG = "1"
    FAINT = "2"


class Screen:
    """Where an invocation writes to: two streams, each coloured or not, and the width to draw for."""

    def __init__(
        self,
        *,
        out: TextIO | None = None,
        err: TextIO | None = None,
        color: Color = Color.AUTO,
        width: int | None = None,
    ) -> None:
        # either is None when the caller closed the descriptor: then there is nobody to tell
        self._out: TextIO | None = out or sys.stdout
        self._err: TextIO | None = err or sys.stderr
        self.colors_answer = wants_color(self._out, color)
        self.colors_story = wants_color(self._err, color)
        self.width = width or terminal_width(self._out)

    def answer(self, text: str) -> None:
        """Print a part of the answer."""
        _write(self._out, text)

    def story(self, text: str) -> None:
        """Print what happens meanwhile, warnings and errors."""
        _write(self._err, text)

    def story_terminal(self) -> TextIO | None:
        """Return the story's stream when a human watches it, for what is drawn there while something runs."""
        return self._err if is_terminal(self._err) and environment.variable("TERM") != "dumb" else None

    def frame(self, text: str) -> None:
        """Write control sequences and text that was cleaned, just so, to a terminal that is drawn on."""
        if self._out is not None:
            self._out.write(encodable(text, self._out.encoding or "utf-8"))
            self._out.flush()

    def answer_path(self, path: Path) -> None:
        """Print one bare path: cleaned on a terminal, byte for byte in a pipe, where `cd "$(...)"` reads."""
        buffer = getattr(self._out, "buffer", None)
        if buffer is None or is_terminal(self._out):
            _write(self._out, clean(str(path)))
            return
        buffer.write(os.fsencode(path) + b"\n")
        buffer.flush()


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a human reads or types there; a closed stream has none."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def wants_color(stream: TextIO | None, color: Color) -> bool:
    """Decide for one stream: `--color` beats NO_COLOR, which beats the terminal."""
    if color is not Color.AUTO:
        return color is Color.ALWAYS
    if environment.variable("NO_COLOR") or environment.variable("TERM") == "dumb":
        return False
    return is_terminal(stream)


def terminal_width(stream: TextIO | None) -> int:
    """Return the columns of the terminal; without one, COLUMNS, else 80."""
    if stream is not None and is_terminal(stream):
        try:
            return os.get_terminal_size(stream.fileno()).columns or NARROW
        except (OSError, ValueError):
            return NARROW
    columns = environment.variable("COLUMNS") or ""
    return int(columns) if columns.isascii() and columns.isdigit() and int(columns) else NARROW


def paint(text: str, ink: Ink, *, color: bool) -> str:
    """Return the text coloured, or as it is."""
    return f"\x1b[{ink}m{text}\x1b[0m" if color and text else text


# -- text of others --------------------------------------------------------------------------------

# Whole escape sequences (ECMA-48), so that no "[31m" stays behind: CSI; OSC, DCS, SOS, PM and APC with their
# content when they are closed (an open one loses only its introducer, or it could hide what follows); others.
# They are compiled when a text has something to clean: it takes 1 ms, and few have.
_ESCAPES = (
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
# C0 and C1 controls with DEL, and the invisible ones: bidi marks and overrides, line separators, zero-width
# characters, tags. The two joiners stay (Persian, Indic and emoji need them), and so does no other.
_INVISIBLE = (
    "[\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_SURROGATE = "[\ud800-\udfff]"


def clean(text: str) -> str:
    """Return foreign text as one harmless line: a newline shows as \\n, a byte that is not UTF-8 as \\xff."""
    if text.isprintable():
        return text
    text = re.sub(_ESCAPES, "", text)
    text = re.sub(r"\r\n|[\n\r\v\f\x85\u2028\u2029]", r"\\n", text).replace("\t", " ")
    return visible_bytes(re.sub(_INVISIBLE, "", text))


def clean_lines(text: str) -> str:
    """Return foreign text harmless, its lines kept; a tab becomes a space."""
    return "\n".join(clean(line) for line in text.replace("\r\n", "\n").split("\n"))


def visible_bytes(text: str) -> str:
    """Return the text with each byte that was not UTF-8 (a lone surrogate in Python) as \\xff."""
    return re.sub(_SURROGATE, _visible_byte, text)


def _visible_byte(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else "?"


# -- writing ---------------------------------------------------------------------------------------

# One column for one column, so that a table drawn with the left stays straight with the right.
ASCII = str.maketrans("✓✗●○◐◒◔◌◇■‖…→↑↓▸·─│", "+x!o*&%.#-=~>^v>-" + "-|")


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:
        return
    line = text if text.endswith("\n") else text + "\n"
    stream.write(encodable(line, stream.encoding or "utf-8"))
    stream.flush()  # the two streams often end on the same screen: keep their order


def encodable(text: str, encoding: str) -> str:
    """Return the text as the encoding can carry it: our symbols in ASCII, anything else as an escape."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(ASCII).encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:
        return text.translate(ASCII).encode("ascii", "backslashreplace").decode("ascii")
    return text
