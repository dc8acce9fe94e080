"""Who is in whose way: what is asked about two sessions, and what the answers mean. Pure.

A session is compared as it would be once it had landed: its changes against the tip of its parent. Two that have no
path in common can't conflict and are never asked about, but for two cases where the paths say too little: a file of one
lies where the other needs a directory, or one adds a file below a directory that the other may have renamed.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from worktree_sessions.model.session import Session
from worktree_sessions.outside.git import BranchName, Oid
from worktree_sessions.outside.hunks import Hunk, Lines


class Level(enum.StrEnum):
    """How two get along; `same-file` is no alarm: both touch a file, and the merge is clean."""

    CONFLICT = "conflict"
    SAME_FILE = "same-file"
    CLEAR = "clear"
    UNKNOWN = "unknown"


class Contact(NamedTuple):
    """A file that both touch: git's word for the conflict, and the lines that each has there, first and last.

    The lines are those of the file as the session would land it. There are none for a binary or a removed file.
    """

    path: str
    kind: str | None = None
    lines: tuple[tuple[Lines, ...], tuple[Lines, ...]] = ((), ())


class Verdict(NamedTuple):
    """What came of the question about two: the level, the files that decided it, why it is unknown."""

    level: Level
    files: tuple[Contact, ...] = ()
    why: str | None = None


CLEAR = Verdict(Level.CLEAR)


class Pair(NamedTuple):
    """Two sessions, or a session and its parent (`b` is None), and how they get along."""

    a: Session
    b: Session | None
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """All that come home to one parent: the sessions by number, every pair, and what is to be known of a session."""

    parent: BranchName
    target: Oid | None
    sessions: tuple[Session, ...]
    pairs: tuple[Pair, ...]
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def conflicts(self) -> tuple[Pair, ...]:
        """The pairs in conflict, those with the parent first."""
        found = [pair for pair in self.pairs if pair.verdict.level is Level.CONFLICT]
        return tuple(sorted(found, key=lambda pair: pair.b is not None))

    def of(self, session: Session) -> list[Pair]:
        """Return the pairs of a session."""
        return [pair for pair in self.pairs if session in (pair.a, pair.b)]

    def others(self, pair: Pair, path: str) -> list[Session]:
        """Return who else touches a file of a pair."""
        touching = {
            session.id: session
            for other in self.pairs
            if any(contact.path == path for contact in other.verdict.files)
            for session in (other.a, other.b)
            if session is not None and session not in pair
        }
        return sorted(touching.values(), key=lambda session: session.number)


# -- which pairs need asking -------------------------------------------------------------------------


def meet(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Return whether two sets of changes (path to A, D, M or T) may be in each other's way."""
    return (
        not one.keys().isdisjoint(other.keys())
        or _lies_below(one, other)
        or _lies_below(other, one)
        or _may_move(one, other)
        or _may_move(other, one)
    )


def _lies_below(paths: Iterable[str], files: Mapping[str, str]) -> bool:
    return any(above in files for path in paths for above in _above(path))


def _may_move(mover: Mapping[str, str], adder: Mapping[str, str]) -> bool:
    """Return whether git may take it that `mover` renamed a directory into which `adder` puts a file.

    What it removed there may be found in a file of its own, or in one that came with the parent.
    """
    left = set()
    for path, change in mover.items():
        if change == "D":
            left.update([*_above(path), str(PurePosixPath(path).parent)])
    added = (path for path, change in adder.items() if change == "A")
    return any(above in left for path in added for above in [*_above(path), "."])


def _above(path: str) -> Iterator[str]:
    """Yield the directories above a path, without the top."""
    yield from (str(parent) for parent in PurePosixPath(path).parents if parent.name)


# -- where -------------------------------------------------------------------------------------------


def lines_of(
    ours: Sequence[Hunk], theirs: Sequence[Hunk], *, is_one_ground: bool
) -> tuple[tuple[Lines, ...], tuple[Lines, ...]]:
    """Return the lines of both sides: where they touch, when they changed the same version and do; else all."""
    if is_one_ground:
        near = [one for one in ours if any(one.touches(other) for other in theirs)]
        if near:
            ours, theirs = near, [other for other in theirs if any(other.touches(one) for one in near)]
    return _lines(ours), _lines(theirs)


def _lines(hunks: Sequence[Hunk]) -> tuple[Lines, ...]:
    return tuple(hunk.lines for hunk in hunks if hunk.lines is not None)


# -- kept between two runs ---------------------------------------------------------------------------


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as the cache holds it."""
    return {
        "level": verdict.level.value,
        "files": [list(contact) for contact in verdict.files],
        "why": verdict.why,
    }


def read_verdict(kept: Any) -> Verdict:
    """Return a verdict that the cache held; raise ValueError, TypeError or KeyError when it is none."""
    files = tuple(_read_contact(*contact) for contact in kept["files"])
    return Verdict(Level(kept["level"]), files, kept["why"])


def _read_contact(path: str, kind: str | None, sides: Any) -> Contact:
    ours, theirs = (tuple((int(first), int(last)) for first, last in side) for side in sides)
    return Contact(str(path), kind, (ours, theirs))
