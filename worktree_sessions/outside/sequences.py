"""The sequences by which a program has its terminal notify a human: OSC 9, OSC 99, OSC 777, and the bell.

Their text is data: nothing in it ends a sequence early or begins another one. hooks/claude/notice.py makes the
same ones without the package; a test holds the two together.
"""

from __future__ import annotations

import enum
import zlib

from worktree_sessions.outside import environment


class Kind(enum.StrEnum):
    """A sequence that some terminals turn into a notification; all of them know the bell."""

    OSC9 = "osc9"  # one text
    OSC99 = "osc99"  # title, body and urgency
    OSC777 = "osc777"  # title and body
    BELL = "bell"


# A variable, how its value begins, and what that terminal's documentation names; the first match counts. Inside
# tmux the first and third name tmux, and what the terminal outside left in the environment decides.
SIGNS = (
    ("TERM_PROGRAM", "iTerm", Kind.OSC9),
    ("TERM_PROGRAM", "WezTerm", Kind.OSC777),
    ("TERM_PROGRAM", "ghostty", Kind.OSC777),
    ("TERM_PROGRAM", "WarpTerminal", Kind.OSC777),
    ("LC_TERMINAL", "iTerm", Kind.OSC9),
    ("TERM", "xterm-kitty", Kind.OSC99),
    ("TERM", "xterm-ghostty", Kind.OSC777),
    ("TERM", "foot", Kind.OSC777),
    ("TERM", "rxvt-unicode", Kind.OSC777),
    ("KITTY_WINDOW_ID", "", Kind.OSC99),
    ("ITERM_SESSION_ID", "", Kind.OSC9),
    ("WEZTERM_PANE", "", Kind.OSC777),
    ("GHOSTTY_RESOURCES_DIR", "", Kind.OSC777),
)


def kind_here() -> Kind | None:
    """Return the sequence that this terminal is known to turn into a notification, None when none is."""
    for name, beginning, kind in SIGNS:
        value = environment.variable(name)
        if value is not None and value.startswith(beginning):
            return kind
    return None


def sequence_for(kind: Kind, title: str, body: str) -> str:
    """Return what makes a terminal show title and body, or ring its bell."""
    title, body = _payload(title), _payload(body)
    both = f"{title}: {body}" if body else title
    if kind is Kind.OSC9:
        safe = f"wts: {both}" if both[:1].isdigit() else both  # `9;4` and its like mean something else
        return f"\x1b]9;{safe}\x1b\\"
    if kind is Kind.OSC99:
        number = f"wts{zlib.crc32(both.encode()):x}"  # it joins the parts, and parts this notice from others
        return f"\x1b]99;i={number}:d=0;{title}\x1b\\\x1b]99;i={number}:p=body;{body}\x1b\\"
    if kind is Kind.OSC777:
        return f"\x1b]777;notify;{title};{body}\x1b\\"
    return "\a"


def through_tmux(sequence: str) -> str:
    """Return a sequence wrapped, so that tmux hands it on to the terminal outside."""
    return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"


def one_line(text: str) -> str:
    """Return foreign text as one line of printable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _payload(text: str) -> str:
    """Return one line in which nothing ends a field of a sequence; what stands for `;` only looks like it."""
    return one_line(text).replace(";", "；")
