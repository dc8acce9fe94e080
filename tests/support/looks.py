"""Looks for tests of what is drawn: everything has a default, a test names only what it is about."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from worktree_sessions.model.session import Look, Session, Setup, State, StateNow
from worktree_sessions.outside.git import BranchName, Oid, Status

NOW = 1_800_000_000.0
HEAD = Oid("1" * 40)


def a_look(
    number: int,
    name: str,
    state: State = State.IDLE,
    *,
    since: float | None = 3600,
    changed: int = 0,
    untracked: int = 0,
    unmerged: int = 0,
    ahead: int = 0,
    behind: int = 0,
    landed: bool | None = False,
    feature: str = "auth",
    branch: str | None = None,
    on: str | None = "",
    goal: str | None = None,
    said: str | None = None,
    reason: str | None = None,
    problem: str | None = None,
    setup: Setup = Setup.NONE,
    age: float = 7200,
    attended: float = 7200,
    worktree: Path | None = None,
    hold: str | None = None,
    marked: str | None = None,
    operation: str | None = None,
    unfinished: tuple[str, ...] | None = None,
) -> Look:
    """Return a look; `since`, `age` and `attended` are seconds before NOW, `on` is what its worktree really is on.

    `marked` is the commit at which it was said to be ready, `unfinished` the subjects of fixups (None: nobody asked).
    """
    own = BranchName(branch or f"feature/{name}")
    session = Session(
        id=f"id-{number}",
        number=number,
        name=name,
        feature=feature,
        purpose=name.rpartition("-")[2],
        role=None,
        branch=own,
        parent=BranchName(f"feature/{feature}"),
        worktree=worktree or Path(f"/home/ann/shop.worktrees/{name}"),
        display=f"shop-{name}",
        conversation="c0ffee",
        created=datetime.fromtimestamp(NOW - age, UTC),
        base=Oid("0" * 40),
        setup=setup,
        hold=hold,
        ready=Oid(marked) if marked else None,
    )
    status = Status(
        HEAD,
        own if on == "" else None if on is None else BranchName(on),
        tuple(f"c{n}" for n in range(changed)),
        tuple(f"u{n}" for n in range(untracked)),
        tuple(f"x{n}" for n in range(unmerged)),
        (),
    )
    return Look(
        session=session,
        now=StateNow(state, None if since is None else NOW - since, reason),
        goal=goal,
        said=said,
        attended=NOW - attended,
        status=None if problem else status,
        ahead=None if problem else ahead,
        behind=None if problem else behind,
        landed=None if problem else landed,
        problem=problem,
        operation=operation,
        unfinished=unfinished,
    )
