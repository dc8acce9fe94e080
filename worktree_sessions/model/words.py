"""Numbers, ages and sizes in the words that people read."""

from __future__ import annotations

import re
import shlex

from worktree_sessions.outside.git import Status

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
YEAR = 365 * DAY

# Where a sentence ends and another begins: not at the dot of "e.g. this", which goes on in small letters.
SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*\s+(?=[^\Wa-z_]|[\"'(`])|(?<=[。！？])")
MARKS = re.compile(r"^[\s>#*+|-]+|\*\*")  # of Markdown, before a line and within it

# How what wts itself tells a session's Claude begins: it is nobody's goal.
HELD_BACK = "wts merge-ready held this branch back"
RESOLVE = "wts resolve: "
BRIEFS = (HELD_BACK, RESOLVE)

LETTERS = {"U": "in conflict", "M": "changed", "?": "untracked"}  # git's letters, and our words


def age(seconds: float) -> str:
    """Return a span in its largest whole unit, never over four characters: 12m, 1h, 3d."""
    if seconds < MINUTE:
        return f"{max(0, int(seconds))}s"  # a clock that was set back makes nobody younger than now
    for unit, letter in ((YEAR, "y"), (DAY, "d"), (HOUR, "h"), (MINUTE, "m")):
        if seconds >= unit:
            return f"{int(seconds // unit)}{letter}"
    raise AssertionError(seconds)


def size(count: int) -> str:
    """Return a number of bytes in decimal units: 512 B, 4.2 MB."""
    if count < 1000:
        return f"{count} B"
    value, units = count / 1000, ["kB", "MB", "GB", "TB"]
    while value >= 999.95 and len(units) > 1:  # 999 950 bytes would round to 1000.0 kB
        value /= 1000
        units.pop(0)
    return f"{value:.1f} {units[0]}"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return 1 session, 2 sessions."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def listed(names: list[str] | tuple[str, ...], *, most: int = 3) -> str:
    """Return the first names and how many more there are: a, b, c and 4 more."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def changes(status: Status) -> str:
    """Return what is changed in words: 1 in conflict, 3 changed, 1 untracked; or clean."""
    return ", ".join(f"{n} {LETTERS[letter]}" for n, letter in _changes(status)) or "clean"


def changes_in_short(status: Status) -> str:
    """Return the same in git's letters, for a narrow screen: 1U 3M 1?; or clean."""
    return " ".join(f"{n}{letter}" for n, letter in _changes(status)) or "clean"


def _changes(status: Status) -> list[tuple[int, str]]:
    counts = zip((status.unmerged, status.changed, status.untracked), LETTERS, strict=True)
    return [(len(paths), letter) for paths, letter in counts if paths]


def distance(ahead: int | None, behind: int | None) -> str:
    """Return how far a session is from its parent: ↑2 ↓1, = when they are the same, ? when unknown."""
    if ahead is None or behind is None:
        return "?"
    return " ".join([f"↑{ahead}"] * (ahead > 0) + [f"↓{behind}"] * (behind > 0)) or "="


def quoted(value: object) -> str:
    """Return a path or a name as a shell reads it, for a command that can be pasted."""
    return shlex.quote(str(value))


def last_sentence(text: str) -> str:
    """Return the last sentence of a text in Markdown, without its marks; empty when it has no word."""
    lines = [line for line in text.splitlines() if re.search(r"\w", line)]
    last = MARKS.sub("", lines[-1]).strip() if lines else ""
    return next((one.strip() for one in reversed(SENTENCE_END.split(last)) if one.strip()), "")
