"""Operations that move branches, as merge-ready makes them, for tests of moving and undoing."""

from __future__ import annotations

from tests.support.repos import Repo
from tests.support.sessions import project_of
from worktree_sessions.actions import moving, operate
from worktree_sessions.model.operation import Operation, Plan
from worktree_sessions.outside.git import Oid, Ref

Move = tuple[str, str | None, str | None]  # a branch, from where, to where


def moved(repo: Repo, *moves: Move, lasts: bool = False) -> Operation:
    """Move branches in one operation, called merge-ready of the feature auth."""
    project = project_of(repo)

    def planned() -> Plan:
        steps = []
        for branch, old, new in moves:
            ref = Ref(f"refs/heads/{branch}")
            before, after = Oid(old) if old else None, Oid(new) if new else None
            follow = moving.check(project, ref, before, after)
            steps.append(moving.move_branch(ref, before, after, follow.worktree, f"move {branch}"))
        return Plan(verb="merge-ready", session="auth", steps=tuple(steps), lasts_from=0 if lasts else None)

    return operate.carry_out(project, planned)


def tip_of(repo: Repo, branch: str) -> str | None:
    """Return where a branch stands, None when there is none."""
    return repo.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}") or None
