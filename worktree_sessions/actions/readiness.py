"""What a human says of a session: that it is ready as it is now."""

from __future__ import annotations

from worktree_sessions.actions.project import Project
from worktree_sessions.actions.target import find_again
from worktree_sessions.errors import Refused
from worktree_sessions.model.session import Session
from worktree_sessions.outside import locks
from worktree_sessions.outside.git import full


def toggle_mark(project: Project, session: Session) -> Session:
    """Mark the session as ready at the commit its branch is on, or take that mark back; return it as it is now.

    The mark is bound to that commit, and says nothing of a later one. Raises Refused when the branch is gone.
    """
    with locks.writing(project.store.lock_file, "wts watch", timeout=project.settings.lock_timeout):
        current = find_again(project, session)
        tip = project.git.resolve(full(current.branch))
        if tip is None:
            raise Refused("gone", f"branch {current.branch} is gone", hint="wts doctor", session=session.name)
        changed = current._replace(ready=None if current.ready == tip else tip)
        project.store.save(changed)
    return changed
