"""Which session a command is about, and where it lies: all that `wts path` needs, which is typed the most."""

from __future__ import annotations

import shlex
from pathlib import Path

from worktree_sessions.actions.project import Project
from worktree_sessions.errors import Refused, WtsError
from worktree_sessions.model import names
from worktree_sessions.model.session import Session


def find_session(project: Project, target: str) -> Session:
    """Return the session that a target means; raise WtsError when none or several do."""
    sessions, bad = project.store.load_all()
    for record in bad:
        if record.path.parent.name == target:
            raise WtsError(
                "bad-record",
                f"the record of {target} can't be read: {record.reason}",
                hint="wts doctor",
                session=target,
            )
    return names.find(target, sessions, project.here)


def find_again(project: Project, session: Session) -> Session:
    """Return a session's record as it is now; raise Refused when it was closed meanwhile."""
    current = project.store.load(session.name)
    if current is None or current.id != session.id:
        raise Refused("gone", f"session {session.name} was closed meanwhile", hint="wts list")
    return current


def find_worktree(session: Session) -> Path:
    """Return the session's worktree; raise Refused, with the cure, when it is gone."""
    if not session.worktree.is_dir():
        raise Refused(
            "missing",
            f"the worktree of {session.name} is gone: {session.worktree}",
            hint=f"wts restore {shlex.quote(session.name)}",
            session=session.name,
        )
    return session.worktree
