"""Results for programs: one envelope, whose keys are only ever added to (docs/json.md).

Everything is printed in ASCII (other characters as \\u escapes), so that it is valid JSON on any terminal and
in any locale, and no control character leaves it raw. A path or ref that is not UTF-8 can't be said in JSON:
each byte that does not decode becomes the four characters \\xff. `wts path` prints such a path byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TypeAlias

from worktree_sessions.errors import WtsError
from worktree_sessions.model.readiness import Readiness, verdict
from worktree_sessions.model.session import Blocker, Listing, Look, State, iso
from worktree_sessions.views.console import visible_bytes

SCHEMA = 1

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


def envelope(command: str, data: Mapping[str, Json]) -> dict[str, Json]:
    """Return the envelope of a command that succeeded."""
    return {"schema": SCHEMA, "command": command, "ok": True, "data": dict(data), "errors": []}


def error_envelope(
    command: str, *errors: WtsError, data: Mapping[str, Json] | None = None
) -> dict[str, Json]:
    """Return the envelope of a command that failed; `data` is what is known all the same."""
    return {
        "schema": SCHEMA,
        "command": command,
        "ok": False,
        "data": dict(data or {}),
        "errors": [error_json(error) for error in errors],
    }


def error_json(error: WtsError) -> dict[str, Json]:
    """Return one error: a stable code, the sentence, the cure, and the session it is about."""
    return {"code": error.code, "message": error.message, "hint": error.hint, "session": error.session}


def session_json(look: Look, readiness: Readiness | None = None) -> dict[str, Json]:
    """Return a session as DESIGN names its keys; what could not be found out is null, never left out.

    `readiness` is given by who has looked closer than the look itself did.
    """
    session, now, status = look.session, look.now, look.status
    readiness = readiness or verdict(look)
    return {
        "number": session.number,
        "name": session.name,
        "feature": session.feature,
        "purpose": session.purpose,
        "role": session.role,
        "branch": session.branch,
        "parent": session.parent,
        "worktree": str(session.worktree),
        "display": session.display,
        "conversation": session.conversation,
        "created": iso(session.created),
        "setup": session.setup.value,
        "state": now.state.value,
        "since": None if now.since is None else moment(now.since),
        "reason": now.reason,
        "question": now.reason if now.state is State.WAITING else None,
        "goal": look.goal,
        "said": look.said,
        "attended": moment(look.attended),
        "ready": readiness.ready,
        "blockers": [blocker_json(blocker) for blocker in readiness.blockers],
        "landed": look.landed,
        "at_risk": look.has_work_at_risk,
        "git": {
            "head": status.head if status else None,
            "ahead": look.ahead,
            "behind": look.behind,
            "changed": len(status.changed) + len(status.unmerged) if status else None,
            "untracked": len(status.untracked) if status else None,
        },
    }


def blocker_json(blocker: Blocker) -> dict[str, Json]:
    """Return what keeps a session from being ready: a stable code, the sentence, the cure."""
    return {"code": blocker.code, "message": blocker.message, "hint": blocker.cure}


def listing_json(listing: Listing) -> dict[str, Json]:
    """Return the data of `wts list`: the sessions in the order given, and what lies beside them."""
    return {
        "sessions": [session_json(look) for look in listing.looks],
        "current": listing.current,
        "others": listing.others,
        "missing": list(listing.missing),
        "unfinished": list(listing.unfinished),
        "unreadable": [{"path": str(bad.path), "reason": bad.reason} for bad in listing.unreadable],
    }


def moment(at: float) -> str:
    """Return a moment, given in Unix seconds, as JSON tells it: UTC, to the second."""
    return iso(datetime.fromtimestamp(at, timezone.utc))


def json_text(value: Json) -> str:
    """Return a value as JSON text, valid whatever bytes its paths held."""
    return json.dumps(_valid(value), indent=2)


def json_line(value: Json) -> str:
    """Return the same on one line, for answers that come one after the other."""
    return json.dumps(_valid(value))


def _valid(value: Json) -> Json:
    if isinstance(value, str):
        return visible_bytes(value)
    if isinstance(value, Mapping):
        return {visible_bytes(key): _valid(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_valid(item) for item in value]
    return value
