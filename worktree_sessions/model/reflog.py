"""What a branch's reflog tells of its session: whether it ever had anything of its own. Pure.

Ancestry can't tell: a session that landed and one that only took in its parent both have nothing that the parent lacks.
"""

from __future__ import annotations

import re

from worktree_sessions.model.session import Session
from worktree_sessions.outside.git import BranchName, Oid, full

# What moves a branch to commits that others made.
BORROWED = re.compile(r"branch: |reset: |rebase \(finish\)|wts|.*: Fast-forward$")


def show(branch: BranchName) -> tuple[str, ...]:
    """Return the question whose answer `has_worked` reads."""
    return ("reflog", "show", "-z", "--no-show-signature", "--format=%H %gs", full(branch), "--")


def has_worked(session: Session, tip: Oid, reflog: bytes) -> bool:
    """Return whether the branch was ever moved by anything but commits of others; unless its reflog tells, it was."""
    if tip == session.base:
        return False
    moves = [row.split(" ", 1) for row in reflog.decode("utf-8", "replace").split("\0")[:-1]]
    return not moves or moves[-1][0] != session.base or not all(BORROWED.match(says) for _, says in moves)
