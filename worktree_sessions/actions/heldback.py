"""What a merge-ready leaves in the records: who came home, who was held back, and a brief for each of these.

Who is held back comes first the next time. It is a step of the operation that moves the branches, so that a kill
between the two loses neither.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

from worktree_sessions.actions import messages
from worktree_sessions.actions.project import Project
from worktree_sessions.model import words
from worktree_sessions.model.landing import Result, Row
from worktree_sessions.model.operation import Args, Step
from worktree_sessions.model.session import Session, iso
from worktree_sessions.model.words import counted
from worktree_sessions.outside import locks
from worktree_sessions.outside.sequences import one_line

KIND = "remember"
TOLD = (Result.LANDED, Result.CONFLICT, Result.RED)
BRIEF = words.HELD_BACK  # how every brief begins
UNWANTED = ("markers", "collision")  # codes of what only the session itself brings in


def remember(project: Project, rows: Iterable[Row]) -> Step:
    """Write down what became of each session, from what is written by now; the lock is held."""
    now = iso(datetime.fromtimestamp(time.time(), timezone.utc))
    told = [_told(project, row, now) for row in rows if row.result in TOLD]
    args: Args = {"rows": [one for one in told if one is not None]}
    return Step(KIND, f"write down what became of {counted(len(args['rows']), 'session')}", args)


def _told(project: Project, row: Row, now: str) -> Args | None:
    """Return what is written of a session, and what was; None of one that was closed meanwhile."""
    current = _current(project, row.session.name, row.session.id)
    if current is None:
        return None
    after = [None, now] if row.result is Result.LANDED else [current.held_back or now, current.came_home]
    is_for_claude = row.result is not Result.LANDED and row.code != "not-copied"
    return {
        "session": current.name,
        "id": current.id,
        "before": [current.held_back, current.came_home],
        "after": after,
        "brief": brief(row) if is_for_claude else None,
    }


def backwards(step: Step) -> Step:
    """Return the step that takes this one back; what was written of a session since stays."""
    rows = [
        row | {"before": row["after"], "after": row["before"], "brief": None} for row in step.args["rows"]
    ]
    return Step(KIND, "take back what was written down of it", {"rows": rows})


def do(project: Project, args: Args) -> None:
    """Carry the step out; done again it does no more."""
    for row in args["rows"]:
        current = _write(project, row, row["before"], row["after"])
        if current is not None:
            messages.forget(briefs(project, current))
            if row["brief"]:
                messages.add(project, current, row["brief"])


def undo(project: Project, args: Args) -> None:
    """Take the step back, done or half done."""
    for row in args["rows"]:
        current = _write(project, row, row["after"], row["before"])
        if current is not None and row["brief"]:
            messages.forget(briefs(project, current))


def _write(project: Project, row: Args, old: list[str | None], new: list[str | None]) -> Session | None:
    """Write a session's record anew, where it says what it is expected to say; return it if it is still there."""
    current = _current(project, row["session"], row["id"])
    if current is not None and [current.held_back, current.came_home] == old != new:
        project.store.save(current._replace(held_back=new[0], came_home=new[1]))
    return current


def _current(project: Project, name: str, session_id: str) -> Session | None:
    current = project.store.load(name)
    return current if current is not None and current.id == session_id else None


def remember_now(project: Project, rows: Iterable[Row]) -> None:
    """Do it by itself, where no branch moves."""
    with locks.writing(project.store.lock_file, "wts merge-ready", timeout=project.settings.lock_timeout):
        do(project, remember(project, rows).args)


def briefs(project: Project, session: Session) -> list[Path]:
    """Return the briefs that still wait for a start; they tell of an earlier time."""
    return messages.beginning_with(project, session, BRIEF)


def brief(row: Row) -> str:
    """Return what the session's Claude is told of why its branch was held back."""
    session = row.session
    files = "".join(f"\n  {one_line(path)}" for path in row.files)
    log = f"\nWhat the tests said: {row.log}" if row.log else ""
    bring = f"Bring {session.parent} into this branch"
    if row.code in UNWANTED:
        asked = "Mend it here"
    elif row.result is Result.CONFLICT:
        asked = f"{bring} (git merge {session.parent}), keep the intent of both sides"
    else:
        asked = f"{bring}, find out why, and mend it here"
    return (
        f"{BRIEF}, {session.branch}, when finished branches came home to {session.parent}: "
        f"{row.reason}.{files}{log}\n{asked}, run the tests, and commit."
    )
