"""The mends of `wts doctor --fix`: only what loses nothing, and nothing of the user's files.

Each works under the repository's lock and looks again first. What it takes away goes to the trash by a rename, or was
never whole.
"""

from __future__ import annotations

import os

from worktree_sessions.actions import checks, checktrees, operate, snapshot
from worktree_sessions.actions.operate import Settled
from worktree_sessions.actions.project import Project
from worktree_sessions.model.problem import Problem, error
from worktree_sessions.outside import files, locks
from worktree_sessions.outside.git import Ref

KEPT = "refs/wts/kept/"


def operations(project: Project) -> list[Problem]:
    """Finish or roll back what a dead process left; one whose process lives is left to it."""
    if operate.is_busy(project):
        return []  # whoever holds the lock settles them first
    return [_of_settled(settled) for settled in operate.settle(project)]


def _of_settled(settled: Settled) -> Problem:
    plan = settled.operation.plan
    what = f"an interrupted {plan.verb} of {plan.session}" if plan.session else f"an interrupted {plan.verb}"
    if settled.outcome == "stuck":
        return error(
            "unfinished", f"{what} can't be settled: {settled.problem}", session=plan.session or None
        )
    return error("unfinished", f"{what} was {settled.outcome}", session=plan.session or None).as_fixed()


def half_made(project: Project) -> list[Problem]:
    """Put right the entries that git never finished: linked again where the worktree is, else moved to the trash."""
    if not checktrees.half_made_entries(project) or operate.is_busy(project):
        return []
    with locks.writing(project.store.lock_file, "wts doctor", timeout=project.settings.lock_timeout):
        for entry in (entries := checktrees.half_made_entries(project)):
            _mend_entry(project, entry)
    return [checktrees.of_half_made(entry).as_fixed() for entry in entries]


def _mend_entry(project: Project, entry: checktrees.Entry) -> None:
    there = checktrees.where_is(project, entry.admin)
    if there is not None:
        project.git.run("worktree", "repair", "--", str(there))
        return
    mark = f"half-made-{entry.admin.name}-{os.urandom(3).hex()}"
    snapshot.keep_only_in(project.git, entry.admin, Ref(KEPT + mark))
    files.move(entry.admin, project.store.trash_dir / mark / "admin")


def leftovers(project: Project) -> list[Problem]:
    """Remove what was half-written when a process died."""
    if not checks.leftover_files(project) or operate.is_busy(project):
        return []
    with locks.writing(project.store.lock_file, "wts doctor", timeout=project.settings.lock_timeout):
        for path in (paths := checks.leftover_files(project)):
            files.remove(path)
    return [checks.of_leftover(path).as_fixed() for path in paths]
