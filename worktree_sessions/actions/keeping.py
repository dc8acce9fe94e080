"""What a command works with is kept from garbage collection: on refs of its own, which go when it ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator

from worktree_sessions.actions.project import Project
from worktree_sessions.errors import WtsError
from worktree_sessions.outside import processes
from worktree_sessions.outside.git import Oid, Ref

WORKING_REFS = "refs/wts/land/"  # PID-TOKEN/COMMIT

Keep = Callable[[Iterable[Oid]], None]


@contextlib.contextmanager
def kept_from_gc(project: Project) -> Iterator[Keep]:
    """Give a function that keeps commits from garbage collection until the block ends."""
    _sweep(project)
    mine = f"{WORKING_REFS}{os.getpid()}-{os.urandom(3).hex()}/"
    kept: dict[Ref, Oid] = {}

    def keep(commits: Iterable[Oid]) -> None:
        new = {Ref(mine + commit): commit for commit in commits}
        project.git.update_refs("wts", *((ref, oid, None) for ref, oid in new.items() if ref not in kept))
        kept.update(new)

    try:
        yield keep
    finally:
        project.git.update_refs("wts", *((ref, None, oid) for ref, oid in kept.items()))


def _sweep(project: Project) -> None:
    """Let go of what a merge-ready kept that was killed."""
    refs = project.git.refs(WORKING_REFS)
    dead = [
        ref for ref in refs if not processes.is_there(int(ref.removeprefix(WORKING_REFS).partition("-")[0]))
    ]
    with contextlib.suppress(WtsError):  # another sweeps just now
        project.git.update_refs("wts", *((ref, None, refs[ref]) for ref in dead))
