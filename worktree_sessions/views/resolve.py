"""What `wts resolve` shows: the plan with the brief, and the receipt."""

from __future__ import annotations

from typing import Any

from worktree_sessions.actions.listing import look_at_one
from worktree_sessions.actions.project import Project
from worktree_sessions.actions.resolving import Resolution
from worktree_sessions.actions.sending import Sent
from worktree_sessions.actions.start import Started
from worktree_sessions.model.words import counted, listed, quoted
from worktree_sessions.views.console import clean, clean_lines
from worktree_sessions.views.jsonout import session_json
from worktree_sessions.views.receipts import Receipt, dry_run_text
from worktree_sessions.views.sessions import title

MOST_FILES = 10  # in conflict, in a receipt


def plan_text(planned: Resolution, *, color: bool) -> str:
    """Return the steps, what is in conflict with whom, and the brief."""
    steps = dry_run_text(
        f"wts resolve {planned.session.number} would", [step.says for step in planned.plan.steps], color=color
    )
    facts = [f"  {clean(fact)}" for fact in _facts(planned)]
    return "\n".join([*facts, "", clean_lines(planned.brief), "", steps])


def plan_json(project: Project, planned: Resolution) -> dict[str, Any]:
    """Return the plan as data."""
    steps = [step.says for step in planned.plan.steps]
    return {"dry_run": True, "steps": steps, **_data(project, planned), "how": None, "started": None}


def started_receipt(done: Resolution, started: Started | None) -> Receipt:
    """Return the receipt; `started` is None when Claude comes to this very terminal behind it."""
    if started is None:
        return _receipt(done, "Claude begins with the brief")
    if started.is_running:
        return _receipt(done, f"{started.says}, with the brief", next_=started.next)
    says = "the brief is kept: its Claude is given it when it is next started"
    return _receipt(done, says, next_=f"wts open {done.session.number}", warnings=started.warnings)


def started_json(project: Project, done: Resolution, started: Started | None) -> dict[str, Any]:
    """Return the data of `wts resolve --json` where its Claude did not run."""
    place = started.place.value if started is not None and started.is_running else None
    return {**_data(project, done), "how": "started" if place else "kept", "started": place}


def sent_receipt(done: Resolution, sent: Sent) -> Receipt:
    """Return the receipt where its Claude ran already."""
    return _receipt(done, f"the brief is {sent.says}", next_=sent.next)


def sent_json(project: Project, done: Resolution, sent: Sent) -> dict[str, Any]:
    """Return the data of `wts resolve --json` where its Claude ran already."""
    return {**_data(project, done), "how": sent.how.value, "started": None}


def _receipt(
    done: Resolution, brief: str, *, next_: str | None = None, warnings: tuple[str, ...] = ()
) -> Receipt:
    session = done.session
    files = counted(len(done.merge.files), "file")
    return Receipt(
        f"{title(session)}: the merge of {done.merge.parent} is open, {files} in conflict",
        facts=(*_facts(done), brief),
        warnings=warnings,
        next=next_,
        undo=f"git -C {quoted(session.worktree)} merge --abort",
    )


def _facts(done: Resolution) -> list[str]:
    conflicts = done.merge.conflicts
    rows = [f"{one.path} ({one.kind})" for one in conflicts[:MOST_FILES]]
    more = [f"and {len(conflicts) - MOST_FILES} more"] if len(conflicts) > MOST_FILES else []
    return [*rows, *more, *([f"changed there by {listed(done.rivals)}"] if done.rivals else [])]


def _data(project: Project, done: Resolution) -> dict[str, Any]:
    return {
        "session": session_json(look_at_one(project, done.session)),
        "parent": done.merge.parent,
        "files": [{"path": one.path, "kind": one.kind} for one in done.merge.conflicts],
        "rivals": list(done.rivals),
        "brief": done.brief,
        "operation": done.operation,
    }
