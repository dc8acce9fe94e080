"""What `wts next`, `wts send` and `wts open --all` answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from worktree_sessions.actions.attention import Caller, Gone
from worktree_sessions.actions.listing import look_at_one
from worktree_sessions.actions.project import Project
from worktree_sessions.actions.reopen import Reopened
from worktree_sessions.actions.sending import Sent
from worktree_sessions.model import words
from worktree_sessions.model.session import Session, State
from worktree_sessions.views.console import Ink, clean, paint
from worktree_sessions.views.jsonout import error_json, session_json
from worktree_sessions.views.listing import FACES, painted
from worktree_sessions.views.receipts import Receipt
from worktree_sessions.views.sessions import title
from worktree_sessions.views.why import INDENT, paragraph


def caller_text(callers: Sequence[Caller], *, width: int, color: bool) -> str:
    """Return who comes next: number, name, state, since when, and the question; and how many more wait."""
    first = callers[0]
    now = first.asked.now
    about = now.reason if now.state in (State.WAITING, State.FAILED, State.LIMITED) else first.asked.said
    lines = [f"{clean(title(first.session))}: {_state(first, color=color)}", *paragraph(about, width)]
    if len(callers) > 1:
        lines.append(paint(f"{INDENT}and {len(callers) - 1} more", Ink.FAINT, color=color))
    return "\n".join(lines)


def _state(caller: Caller, *, color: bool) -> str:
    face = FACES[caller.asked.now.state]
    age = f" {words.age(time.time() - caller.since)}" if caller.since else ""
    return painted(f"{face.symbol} {face.word}", face.style if color else "") + age


def gone_receipt(session: Session, gone: Gone) -> Receipt:
    """Return what is said when the user was brought to a session."""
    if gone.way is None:
        return Receipt(gone.says)
    return Receipt(f"{title(session)}: {gone.says or 'the terminal is back from Claude'}", next=gone.command)


def next_facts(project: Project, callers: Sequence[Caller], gone: Gone | None) -> dict[str, Any]:
    """Return the data of `wts next --json`; `gone` is None when it was only asked who is next."""
    return {
        "session": session_json(look_at_one(project, callers[0].session)),
        "waiting": len(callers),
        "action": gone.way if gone else None,
        "command": gone.command if gone else None,
        "message": gone.says if gone else None,
    }


def sent_receipt(session: Session, sent: Sent) -> Receipt:
    """Return the receipt of `wts send`."""
    return Receipt(f"{title(session)}: {sent.says}", next=sent.next)


def sent_facts(session: Session, sent: Sent) -> dict[str, Any]:
    """Return the data of `wts send --json`."""
    return {"session": session.name, "how": sent.how, "confirmed": sent.is_confirmed, "message": sent.says}


def offer_text(sessions: Sequence[Session]) -> str:
    """Return the sessions that can be opened, a line each."""
    return "\n".join(f"  {clean(title(session))}" for session in sessions)


def reopened_text(one: Reopened, *, color: bool) -> str:
    """Return one line about a session that was opened, or could not be."""
    if one.error is None:
        return f"{paint('✓', Ink.DONE, color=color)} {clean(title(one.session))}: started"
    hint = f" ({one.error.hint})" if one.error.hint else ""
    who = f"{title(one.session)}: "
    says = f"{who}not started: {one.error.message.removeprefix(who)}{hint}"
    return f"{paint('✗', Ink.ERROR, color=color)} {clean(says)}"


def reopened_facts(done: Sequence[Reopened], place: str) -> dict[str, Any]:
    """Return the data of `wts open --all --json`."""
    return {
        "opened": [
            {
                "session": one.session.name,
                "number": one.session.number,
                "started": None if one.error else place,
                "error": error_json(one.error) if one.error else None,
            }
            for one in done
        ]
    }
