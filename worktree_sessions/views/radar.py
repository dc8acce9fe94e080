"""`wts radar`: a matrix of the sessions of each parent, and below it a line for each conflict.

Every session has a row and, by its number, a column; the last column is the parent. When it would be wider than the
terminal, sessions that are in nobody's way stay out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from worktree_sessions.model import words
from worktree_sessions.model.radar import Contact, Level, Pair, Scan
from worktree_sessions.model.session import Session
from worktree_sessions.outside.hunks import Lines
from worktree_sessions.views.console import clean
from worktree_sessions.views.jsonout import Json, moment
from worktree_sessions.views.listing import CONFLICT, GAP, Cell, Column, Face, painted, table, wrapped

FACES = {
    Level.CONFLICT: Face(CONFLICT, "conflict", "bold red"),
    Level.SAME_FILE: Face("○", "same file, merges clean", ""),
    Level.CLEAR: Face("·", "clear", "dim"),
    Level.UNKNOWN: Face("?", "unknown", "magenta"),
}
PARENT = "parent"
LEAST = 8  # columns for a name
SPANS = 3  # at most, of one side of a file


class Told(NamedTuple):
    """One file of a conflict, and who else touches it: what `--watch` tells once."""

    scan: Scan
    pair: Pair
    contact: Contact
    others: tuple[Session, ...]

    @property
    def key(self) -> tuple[str, str | None, str]:
        return self.pair.a.id, self.pair.b.id if self.pair.b else None, self.contact.path


def radar_text(scans: Sequence[Scan], *, width: int, color: bool) -> str:
    """Return the radar as text: per parent the matrix, what is in conflict, and what is to be known."""
    parts = [_part(scan, width, color=color) for scan in scans]
    shown = {pair.verdict.level for scan in scans for pair in scan.pairs}
    legend = "   ".join(f"{face.symbol} {face.word}" for level, face in FACES.items() if level in shown)
    parts.append(
        [painted(line, "dim") if color else line for line in wrapped(legend, width, most=len(FACES))]
    )
    return "\n\n".join("\n".join(part) for part in parts)


def collisions(scans: Sequence[Scan]) -> list[Told]:
    """Return each file that two would conflict in."""
    return [
        Told(scan, pair, contact, tuple(scan.others(pair, contact.path)))
        for scan in scans
        for pair in scan.conflicts
        for contact in pair.verdict.files
    ]


def collision_text(told: Told) -> str:
    """Return one line: the two, the file, the lines of either, who else touches it."""
    pair, contact = told.pair, told.contact
    two = f"{_named(pair.a)} and {_named(pair.b) if pair.b else clean(told.scan.parent)}"
    kind = "" if contact.kind in (None, "contents") else f" ({clean(contact.kind or '')})"
    ours, theirs = (_spans(side) for side in contact.lines)
    lines = f", lines {ours or '-'} and {theirs or '-'}" if ours or theirs else ""
    others = f"; also {words.listed([_named(one) for one in told.others])}" if told.others else ""
    return f"{FACES[Level.CONFLICT].symbol} {two}: {clean(contact.path)}{kind}{lines}{others}"


# -- one parent --------------------------------------------------------------------------------------


def _part(scan: Scan, width: int, *, color: bool) -> list[str]:
    lines = [f"→ {clean(scan.parent)}", *_matrix(scan, width, color=color)]
    told = [(collision_text(one), FACES[Level.CONFLICT]) for one in collisions([scan])]
    told += [
        (f"? {_two(pair)}: {clean(pair.verdict.why or '')}", FACES[Level.UNKNOWN]) for pair in _odd(scan)
    ]
    told += [(f"? {clean(name)}: {clean(note)}", FACES[Level.UNKNOWN]) for name, note in scan.notes.items()]
    for text, face in told:
        first, *rest = wrapped(text, width - 2, most=3)
        symbol = painted(first[:1], face.style) if color else first[:1]
        lines += [symbol + first[1:], *(f"  {line}" for line in rest)]
    if not told:
        quiet = f"no conflict among {words.counted(len(scan.sessions), 'session')} and the parent"
        lines += wrapped(quiet, width, most=2)
    return lines


def _odd(scan: Scan) -> list[Pair]:
    """Return the unknown pairs whose reason no note of a session tells."""
    unknown = [pair for pair in scan.pairs if pair.verdict.level is Level.UNKNOWN]
    return [
        pair for pair in unknown if not any(note in str(pair.verdict.why) for note in scan.notes.values())
    ]


def _two(pair: Pair) -> str:
    return f"{_named(pair.a)} and {_named(pair.b)}" if pair.b else f"{_named(pair.a)} and its parent"


def _named(session: Session) -> str:
    return f"{session.number} {clean(session.name)}"


def _spans(side: Sequence[Lines]) -> str:
    return words.listed([str(a) if a == b else f"{a}-{b}" for a, b in side], most=SPANS)


def _matrix(scan: Scan, width: int, *, color: bool) -> list[str]:
    levels = {ends: pair.verdict.level for pair in scan.pairs for ends in (_ends(pair), _ends(pair)[::-1])}
    sessions = _shown(scan, width)
    numbers = [str(session.number) for session in sessions]
    ends = [*(one.id for one in sessions), None]
    rows = [[levels.get((one.id, end)) for end in ends] for one in sessions]
    columns = [
        Column("#", [Cell(((number, ""),)) for number in numbers], 1, right=True),
        Column("session", [Cell(((clean(one.name), ""),)) for one in sessions], LEAST),
        Column(" ".join([*numbers, PARENT]), [_marks(row, numbers) for row in rows], width),
    ]
    left = len(scan.sessions) - len(sessions)
    more = f"and {words.counted(left, 'session')} for which there is no room" if left else ""
    return [*table(columns, width, color=color), *(wrapped(more, width, most=2) if more else [])]


def _ends(pair: Pair) -> tuple[str | None, str | None]:
    return pair.a.id, pair.b.id if pair.b else None


def _marks(row: Sequence[Level | None], numbers: Sequence[str]) -> Cell:
    """Return a row of the matrix, each mark below the end of its number; a session has none with itself."""
    pieces: list[tuple[str, str]] = []
    for level, above in zip(row, [*numbers, PARENT[:1]], strict=True):
        face = FACES[level] if level else Face(" ", "", "")
        pieces += [(" " * (len(above) - 1 + bool(pieces)), ""), (face.symbol, face.style)]
    return Cell(tuple(pieces))


def _shown(scan: Scan, width: int) -> tuple[Session, ...]:
    """Return the sessions for which there is room: those in somebody's way first, else by number."""
    worst = {session.id: min(map(_rank, scan.of(session))) for session in scan.sessions}
    room = width - len(f"{scan.sessions[-1].number}") - LEAST - 2 * GAP - len(PARENT)
    chosen = []
    for session in sorted(scan.sessions, key=lambda one: (worst[one.id], one.number)):
        room -= len(f"{session.number} ")
        if room < 0:
            break
        chosen.append(session)
    return tuple(sorted(chosen, key=lambda one: one.number))


def _rank(pair: Pair) -> int:
    return list(FACES).index(pair.verdict.level)


# -- for programs ------------------------------------------------------------------------------------


def radar_json(scans: Sequence[Scan]) -> dict[str, Json]:
    """Return the data of `wts radar`: every pair, the notes of sessions, how many pairs are in conflict."""
    return {
        "pairs": [_pair_json(scan, pair) for scan in scans for pair in scan.pairs],
        "notes": [{"session": name, "note": note} for scan in scans for name, note in scan.notes.items()],
        "conflicts": sum(len(scan.conflicts) for scan in scans),
    }


def _pair_json(scan: Scan, pair: Pair) -> dict[str, Json]:
    return {
        "parent": scan.parent,
        "a": pair.a.name,
        "b": pair.b.name if pair.b else None,
        "level": pair.verdict.level.value,
        "files": [_contact_json(contact) for contact in pair.verdict.files],
        "why": pair.verdict.why,
    }


def _contact_json(contact: Contact) -> dict[str, Json]:
    ours, theirs = contact.lines
    return {"path": contact.path, "kind": contact.kind, "lines": {"a": ours, "b": theirs}}


def collision_json(told: Told, at: float) -> dict[str, Json]:
    """Return one new collision, for `--watch --json`."""
    return {
        "schema": 1,
        "at": moment(at),
        "parent": told.scan.parent,
        "a": told.pair.a.name,
        "b": told.pair.b.name if told.pair.b else None,
        "file": _contact_json(told.contact),
        "others": [one.name for one in told.others],
    }
