"""What making, closing and restoring a session looks like: a receipt, JSON data, a list of what can come back."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from worktree_sessions.actions.close import Closed
from worktree_sessions.actions.listing import look_at_one
from worktree_sessions.actions.new import Made
from worktree_sessions.actions.project import Project
from worktree_sessions.actions.restore import Restorable, Restored
from worktree_sessions.model import words
from worktree_sessions.model.risk import shorten
from worktree_sessions.model.session import Look, Session, Setup, iso
from worktree_sessions.views.console import clean
from worktree_sessions.views.jsonout import session_json
from worktree_sessions.views.receipts import Receipt, receipt_text

if TYPE_CHECKING:
    from worktree_sessions.actions.launch import Ended
    from worktree_sessions.actions.start import Started


def title(session: Session) -> str:
    """session 1, auth-frontend."""
    return f"session {session.number}, {session.name}"


def made_receipt(made: Made, started: Started | None) -> Receipt:
    """Return the receipt of `wts new`."""
    session = made.session
    facts = (
        f"branch    {session.branch} -> {session.parent}",
        *(f"          {fact}" for fact in made.facts),
        f"worktree  {session.worktree}",
    )
    warnings = []
    if session.setup is Setup.FAILED:
        warnings.append(f"set-up failed; see {made.setup_log}, then wts setup {session.name}")
    if session.setup is Setup.UNTRUSTED:
        warnings.append(
            f"the repository's set-up commands are not approved: wts trust && wts setup {session.name}"
        )
    if started is not None:
        warnings += started.warnings
    return Receipt(
        f"{title(session)}" + (f": {started.says}" if started is not None and started.says else " is made"),
        facts=facts,
        warnings=tuple(warnings),
        next=(started.next if started else None) or f"wts open {session.number}",
        undo=f"wts close {shlex.quote(session.name)}",
    )


def opened_receipt(session: Session, started: Started) -> Receipt:
    """Return the receipt of `wts open`."""
    says = started.says or "the terminal is back from Claude"
    return Receipt(f"{title(session)}: {says}", warnings=started.warnings, next=started.next)


def opened_facts(project: Project, session: Session, started: Started) -> dict[str, Any]:
    """Return the data of `wts open --json`."""
    return {
        "session": session_json(look_at_one(project, session)),
        "started": started.place if started.is_running else None,
        "command": started.next,
    }


def ended_text(look: Look, ended: Ended, *, color: bool) -> str:
    """Return what is said when Claude has left the terminal: how it ended, what is left, how to go on."""
    session, status = look.session, look.status
    facts = []
    if status is not None and not status.is_clean:
        facts.append(f"not committed: {words.changes(status)}")
    if look.ahead:
        facts.append(f"{words.counted(look.ahead, 'commit')} ahead of {session.parent}")
    if look.problem:
        facts.append(look.problem)
    done = f"Claude {ended.says}, {title(session)}"
    return receipt_text(Receipt(done, facts=tuple(facts), next=f"wts open {session.number}"), color=color)


def adopted_receipt(made: Made) -> Receipt:
    """Return the receipt of `wts adopt`."""
    session = made.session
    facts = (f"branch    {session.branch} -> {session.parent}", f"worktree  {session.worktree}, as it was")
    return Receipt(f"{title(session)} is adopted", facts=facts, next=f"wts open {session.number}")


def made_facts(project: Project, made: Made, started: Started | None) -> dict[str, Any]:
    """Return the data of `wts new --json`."""
    return {
        "session": session_json(look_at_one(project, made.session)),
        "started": started.place if started is not None and started.is_running else None,
        "operation": made.operation,
    }


def closed_receipt(closed: Closed) -> Receipt:
    """Return the receipt of `wts close`: what was told, what went, what stayed, and how it comes back."""
    session = closed.session
    branch = (
        f"branch {session.branch} deleted, {closed.branch_goes}"
        if closed.branch_goes
        else f"branch {session.branch} kept"
    )
    notes = [
        line
        for note in closed.notes
        for line in (note.says, *(f"    {item}" for item in shorten(note.items)))
    ]
    return Receipt(f"{title(session)} is closed", facts=(branch, *notes), undo=closed.restore)


def closed_facts(closed: Sequence[Closed]) -> dict[str, Any]:
    """Return the data of `wts close --json`: of the first that was named, and under `all` of each."""
    each = [_closed_facts(one) for one in closed]
    return {**next(iter(each), {}), "all": each}


def _closed_facts(closed: Closed) -> dict[str, Any]:
    return {
        "closed": {
            "name": closed.session.name,
            "number": closed.session.number,
            "branch": closed.session.branch,
            "branch_deleted": closed.branch_goes is not None,
            "notes": [{"code": n.code, "message": n.says, "items": list(n.items)} for n in closed.notes],
        },
        "restore": closed.restore,
        "operation": closed.operation,
    }


def restored_receipt(restored: Restored) -> Receipt:
    """Return the receipt of `wts restore`."""
    session = restored.session
    facts = (
        f"branch    {session.branch} -> {session.parent}",
        f"worktree  {session.worktree}",
        *restored.facts,
    )
    return Receipt(
        f"{title(session)} is back",
        facts=facts,
        next=f"wts open {session.number}",
        undo=f"wts close {shlex.quote(session.name)}",
    )


def restored_facts(restored: Restored) -> dict[str, Any]:
    """Return the data of `wts restore NAME --json`."""
    session = restored.session
    return {
        "restored": {
            "name": session.name,
            "number": session.number,
            "branch": session.branch,
            "worktree": str(session.worktree),
        },
        "notes": list(restored.facts),
        "operation": restored.operation,
    }


def restorable_facts(found: Sequence[Restorable]) -> Mapping[str, Any]:
    """Return the data of `wts restore --json`."""
    return {
        "restorable": [
            {
                "id": one.session.id,
                "name": one.session.name,
                "branch": one.session.branch,
                "closed": iso(one.since) if one.since else None,
                "files": one.files,
                "size": one.size,
                "restore": f"wts restore {shlex.quote(target)}",
            }
            for target, one in _targets(found)
        ]
    }


def _targets(found: Sequence[Restorable]) -> list[tuple[str, Restorable]]:
    """Return each with the word that means it: its name, or its id when a younger one has the name."""
    first: dict[str, Restorable] = {}
    return [
        (name if first.setdefault(name, one) is one else one.session.id, one)
        for one in found
        for name in [one.session.name]
    ]


def restorable_text(found: Sequence[Restorable]) -> str:
    """Return the list of what can come back, the latest first."""
    if not found:
        return "nothing to restore: no session was closed, no worktree is missing"
    rows = [_restorable_row(target, one) for target, one in _targets(found)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join((*(row[c].ljust(widths[c]) for c in range(3)), row[3])) for row in rows]
    return "\n".join([*lines, "", f"wts restore {shlex.quote(clean(found[0].session.name))} brings it back"])


def _restorable_row(target: str, one: Restorable) -> tuple[str, str, str, str]:
    when = f"closed {words.age(time.time() - one.since.timestamp())} ago" if one.since else "worktree is gone"
    held = (
        f"{words.counted(one.files, 'uncommitted file')}, {words.size(one.size)}"
        if one.files or one.size
        else "nothing uncommitted"
    )
    return clean(target), when, held, clean(one.session.branch)
