"""What `wts radar` keeps for its next run, and what `wts list` may tell of it: `<wts>/radar.json`.

Per parent: which commit a worktree's uncommitted work was, by the state of its files (`works`); the verdicts, by
attributes, target and the two commits (`verdicts`); and of each conflict what shows that it is still there (`marks`).
The file may go at any time, and two who write it at once lose nothing but time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worktree_sessions.model.session import Session
from worktree_sessions.model.store import Store
from worktree_sessions.outside.files import replace_cache
from worktree_sessions.outside.git import Oid

SCHEMA = 1

Sign = list[int] | None  # what tells of a file that it was written again
# A conflict: the ids of two sessions, or one and null; each file with its sign in either worktree.
Mark = list[Any]


class Kept:
    """What is kept of one parent."""

    def __init__(
        self,
        target: str | None = None,
        works: dict[str, str] | None = None,
        verdicts: dict[str, Any] | None = None,
        marks: list[Mark] | None = None,
    ) -> None:
        self.target = target
        self.works = works or {}
        self.verdicts = verdicts or {}
        self.marks = marks or []


def load(store: Store) -> dict[str, Kept]:
    """Return what was kept, by parent; nothing when it can't be read."""
    try:
        content = json.loads(store.radar_file.read_bytes())
        if content["schema"] != SCHEMA:
            return {}
        return {parent: _read(part) for parent, part in content["parents"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _read(part: Any) -> Kept:
    works = {str(sign): str(commit) for sign, commit in part["works"].items()}
    marks = [_read_mark(*mark) for mark in part["marks"]]
    return Kept(part["target"], works, dict(part["verdicts"]), marks)


def _read_mark(a: str, b: str | None, files: list[Any]) -> Mark:
    return [str(a), b and str(b), [[str(path), one, other] for path, one, other in files]]


def save(store: Store, kept: Mapping[str, Kept]) -> None:
    """Keep it, where there is room and leave to."""
    parents = {
        parent: {"target": one.target, "works": one.works, "verdicts": one.verdicts, "marks": one.marks}
        for parent, one in kept.items()
    }
    replace_cache(store.radar_file, json.dumps({"schema": SCHEMA, "parents": parents}).encode())


def sign(path: Path) -> Sign:
    """Return what tells of a file that it was written again; None when there is none."""
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    return [facts.st_mode, facts.st_size, facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns]


def is_settled(one: Sign, before: int) -> bool:
    """Return whether a file that is written again after that moment (Unix ns) is sure to have another sign."""
    return one is None or max(one[3:]) < before


def known_conflicts(
    store: Store, sessions: Sequence[Session], targets: Sequence[Oid | None]
) -> dict[str, tuple[str, ...]]:
    """Return with whom each session (by id) was in conflict when the radar last looked, and still is.

    It is, as long as the parent has not moved and a file in conflict was written again in neither worktree.
    """
    found: dict[str, list[str]] = {}
    kept = load(store)
    here = {session.id: session for session in sessions}
    tips = {session.parent: target for session, target in zip(sessions, targets, strict=True)}
    for parent, target in tips.items():
        part = kept.get(parent)
        if part is None or part.target != target:
            continue
        for a, b, files in part.marks:
            if a in here and (b is None or b in here) and _is_there_still(here, a, b, files):
                found.setdefault(a, []).append(here[b].name if b else parent)
                if b:
                    found.setdefault(b, []).append(here[a].name)
    return {session: tuple(names) for session, names in found.items()}


def _is_there_still(here: Mapping[str, Session], a: str, b: str | None, files: list[Any]) -> bool:
    def is_same(path: str, session: str | None, was: Sign) -> bool:
        return session is None or sign(here[session].worktree / path) == was

    return any(is_same(path, a, one) and is_same(path, b, other) for path, one, other in files)
