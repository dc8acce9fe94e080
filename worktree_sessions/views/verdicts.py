"""What `wts ready`, `wts hold` and `wts close --landed` show: verdicts on sessions, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worktree_sessions.actions.landed import Homecoming
from worktree_sessions.actions.listing import look_at_one
from worktree_sessions.actions.project import Project
from worktree_sessions.actions.readiness import closely
from worktree_sessions.model import words
from worktree_sessions.model.session import Session
from worktree_sessions.views.console import clean
from worktree_sessions.views.jsonout import session_json
from worktree_sessions.views.receipts import Receipt
from worktree_sessions.views.sessions import title


def ready_receipt(session: Session) -> Receipt:
    """Return the receipt of `wts ready`."""
    after = [f"it comes home after {', '.join(session.after)}"] if session.after else []
    facts = ("the mark holds until its branch moves", *after)
    return Receipt(f"{title(session)} is ready at {(session.ready or '')[:10]}", facts=facts)


def held_receipt(session: Session) -> Receipt:
    """Return the receipt of `wts hold`, and of `wts hold --off`."""
    if session.hold is None:
        return Receipt(f"{title(session)} is not held back any more")
    reason = f": {session.hold}" if session.hold else ""
    return Receipt(f"{title(session)} is held back{reason}", undo=f"wts hold {session.number} --off")


def verdict_facts(project: Project, session: Session) -> dict[str, Any]:
    """Return the data of `wts ready --json` and `wts hold --json`: the session as it is now."""
    look = look_at_one(project, session)
    return {"session": session_json(look, closely(project, look))}


def landed_text(found: Sequence[Homecoming]) -> str:
    """Return how each session landed, a line each: name, and in what way."""
    width = max((len(clean(one.session.name)) for one in found), default=0)
    return "\n".join(f"  {clean(one.session.name):{width}}  {clean(_says(one))}" for one in found)


def landed_facts(found: Sequence[Homecoming]) -> dict[str, Any]:
    """Return what `wts close --landed --json` tells beside what was closed: of every session how it landed."""
    return {
        "landed": [
            {
                "name": one.session.name,
                "number": one.session.number,
                "how": one.landing.how.value if one.landing else None,
                "where": one.landing.where if one.landing else None,
            }
            for one in found
        ]
    }


def question(found: Sequence[Homecoming]) -> str:
    """Return what is asked before they are closed."""
    return f"close {words.counted(len(found), 'landed session')}?"


def _says(one: Homecoming) -> str:
    return one.landing.says if one.landing else f"unknown: {one.error.message if one.error else ''}"
