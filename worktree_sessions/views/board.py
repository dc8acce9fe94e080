"""`wts watch`: the list as a board that fills the terminal, and as lines, one a change, for a pipe.

The board is the table of `wts list`, cut to the height. What is drawn is made of whole lines, and only those that
differ from the ones before are written again, in one piece: nothing flickers and nothing scrolls.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, zip_longest
from pathlib import Path

from worktree_sessions.actions.watch import Change
from worktree_sessions.model import words
from worktree_sessions.model.readiness import is_marked
from worktree_sessions.model.session import Listing, Look
from worktree_sessions.outside.terminal import Size
from worktree_sessions.views.console import Ink, clean, paint
from worktree_sessions.views.jsonout import Json, moment, session_json
from worktree_sessions.views.listing import FACES, TELLING, Shorten, draw, one_line, wrapped

GUTTER = 3  # columns in front of the table, for the marks of a row
SAYS_LINES = 4  # of one line that the board says: a command that cures is of no use when it is cut
SELECTED, READY = ">", "✓"
KEYS = "↑↓ select · Enter open · n next · c close · r ready · ? keys · q quit"
HELP = (
    "↑ ↓, k j    select a session; 1 to 9 by its number",
    "Enter, o    go to its Claude, or resume it: wts open",
    "n           go to the one that has waited longest for you: wts next",
    "c           close it, after a question: wts close",
    "r           mark it ready (✓) at its present commit, or take the mark back",
    "q, Esc      leave the board",
)

# A terminal that knows it shows what is between the two at once.
BEGIN, END = "\x1b[?2026h", "\x1b[?2026l"


@dataclass(slots=True)
class Pose:
    """What the board shows beside the sessions: the id of the selected one, lines that say something, the last line."""

    selected: str | None = None
    says: list[str] = field(default_factory=list)
    foot: str = KEYS


def board_lines(
    listing: Listing, pose: Pose, *, now: float, size: Size, color: bool, home: Path | None = None
) -> list[str]:
    """Return the board, at most as many lines as the terminal has."""
    drawn = draw(listing, now=now, width=max(1, size.columns - GUTTER), color=color, home=home)
    foot = [paint(Shorten.end(pose.foot, size.columns), Ink.FAINT, color=color)]
    says = _spoken(pose.says, size.columns, size.lines // 2)
    room = max(1, size.lines - len(says) - len(foot))
    head = [" " * GUTTER + line for line in drawn.head][: room - 1 if listing.looks else room]
    blocks = [
        _marked(block, look, pose, color=color)
        for block, look in zip(drawn.sessions, listing.looks, strict=True)
    ]
    table = [*head, *_cut(blocks, listing.looks, pose, room - len(head))]
    notes = [Shorten.end(" " * GUTTER + line, size.columns) for line in drawn.notes]
    body = [*table, "", *notes][:room]
    return [*body, *[""] * (room - len(body)), *says, *foot][: size.lines]


def _spoken(says: Sequence[str], columns: int, most: int) -> list[str]:
    """Return what is said in lines that fit, at most so many: the first, and the last, the cure or the way back."""
    if not says:
        return []
    *parts, cure = (wrapped(clean(line), columns, most=SAYS_LINES) for line in says)
    first = [line for part in parts for line in part]
    room = most - len(cure)
    if len(first) > room:
        first = [*first[: max(1, room - 1)], "…"]
    return [*first, *cure][:most]


def _marked(block: list[str], look: Look, pose: Pose, *, color: bool) -> list[str]:
    """Return a session's lines behind the gutter, with its marks."""
    selected = SELECTED if look.session.id == pose.selected else " "
    ready = READY if is_marked(look) else " "
    marks = paint(selected, Ink.HINT, color=color) + paint(ready, Ink.DONE, color=color) + " "
    row, *below = block
    return [marks + row, *(" " * GUTTER + line for line in below)]


def _cut(blocks: Sequence[list[str]], looks: Sequence[Look], pose: Pose, room: int) -> list[str]:
    """Return as many of the sessions as there is room for, the selected one among them, and how many more there are.

    What is below the rows goes first, but not that of the selected one; what one asks or why it failed goes last.
    """
    at = next((index for index, look in enumerate(looks) if look.session.id == pose.selected), 0)
    loud = [
        block if index == at or look.now.state in TELLING else block[:1]
        for index, (block, look) in enumerate(zip(blocks, looks, strict=True))
    ]
    rows = [block if index == at else block[:1] for index, block in enumerate(blocks)]
    for choice in (blocks, loud, rows):
        if sum(map(len, choice)) <= room:
            return [line for block in choice for line in block]
    return _window(rows, at, room)


def _window(blocks: Sequence[list[str]], at: int, room: int) -> list[str]:
    """Return the blocks around one, the earliest that fit, and a line that says how many more there are."""
    room -= 1
    ends = list(accumulate(map(len, blocks)))
    begin = next(
        index for index in range(at + 1) if index == at or ends[at] - ends[index] + len(blocks[index]) <= room
    )
    lines: list[str] = []
    shown = 0
    for block in blocks[begin:]:
        if lines and len(lines) + len(block) > room:
            break
        lines += block
        shown += 1
    above, below = begin, len(blocks) - begin - shown
    more = [f"{count} more {where}" for count, where in ((above, "above"), (below, "below")) if count]
    return [*lines[: max(room, 1)], " " * GUTTER + ", ".join(more)]


def repaint(before: Sequence[str] | None, lines: Sequence[str]) -> str:
    """Return what turns the lines on the terminal into others; with None, whatever is on it goes first."""
    rows = enumerate(zip_longest(before or (), lines, fillvalue=""), 1)
    changed = "".join(f"\x1b[{row};1H\x1b[K{line}\x1b[0m" for row, (old, line) in rows if old != line)
    if before is None:
        changed = "\x1b[2J" + changed
    return f"{BEGIN}{changed}{END}" if changed else ""


def ages(listing: Listing, now: float) -> list[str]:
    """Return the ages that the board shows: as long as they are the same, time alone changes nothing on it."""
    moments = [
        at
        for look in listing.looks
        for at in (look.now.since, look.session.created.timestamp())
        if at is not None
    ]
    return [words.age(now - at) for at in moments]


# -- for a pipe --------------------------------------------------------------------------------------


def change_text(change: Change, at: float) -> str:
    """Return one line: when, number, name, the state before and now, and the reason."""
    look = change.look or change.was
    assert look is not None
    reason = one_line(change.look.now.reason) if change.look else ""
    turn = " -> ".join(state for state in (_word(change.was), _word(change.look) or "closed") if state)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    told = [when, str(look.session.number), clean(look.session.name), f"{turn}: {reason}" if reason else turn]
    return "  ".join(told)


def _word(look: Look | None) -> str:
    return FACES[look.now.state].word if look else ""


def change_json(change: Change, at: float) -> dict[str, Json]:
    """Return one change: `was` is null for a session that is new, `state` and `session` for one that is gone."""
    look = change.look or change.was
    assert look is not None
    return {
        "schema": 1,
        "at": moment(at),
        "number": look.session.number,
        "name": look.session.name,
        "was": change.was.now.state.value if change.was else None,
        "state": change.look.now.state.value if change.look else None,
        "reason": change.look.now.reason if change.look else None,
        "session": session_json(change.look) if change.look else None,
    }
