"""What was done to the branches, and what an undo did, in words and in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from worktree_sessions.actions.undoing import Entry, Undone
from worktree_sessions.model import words
from worktree_sessions.model.operation import RefMove
from worktree_sessions.model.session import iso
from worktree_sessions.outside.git import Oid, short
from worktree_sessions.views.console import Ink, clean, paint
from worktree_sessions.views.receipts import Receipt


def log_text(entries: Sequence[Entry], *, now: datetime, color: bool) -> str:
    """Return each operation on a line, with the branches that it moved below it."""
    if not entries:
        return "nothing was done yet"
    return "\n".join(line for entry in entries for line in _lines(entry, now, color=color))


def _lines(entry: Entry, now: datetime, *, color: bool) -> list[str]:
    operation = entry.operation
    age = f"{words.age((now - entry.at).total_seconds())} ago" if entry.at else ""
    what = f"{operation.plan.verb} {operation.plan.session}".strip()
    told = {None: "unfinished", "undone": "rolled back"}.get(operation.outcome, "")
    told = f"undone by {entry.undone_by}" if entry.undone_by else told
    head = f"{paint(clean(operation.id), Ink.HINT, color=color)}  {age:>7}  {clean(what)}"
    tail = f"  {paint(clean(told), Ink.FAINT, color=color)}" if told else ""
    return [head + tail, *(f"  {clean(_move(move))}" for move in operation.plan.refs)]


def _move(move: RefMove) -> str:
    return f"{short(move.ref)}  {_oid(move.before)} → {_oid(move.after)}"


def _oid(oid: Oid | None) -> str:
    return oid[:10] if oid else "nothing"


def log_facts(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the data of `wts log --json`."""
    return {
        "operations": [
            {
                "id": entry.operation.id,
                "verb": entry.operation.plan.verb,
                "session": entry.operation.plan.session or None,
                "at": iso(entry.at) if entry.at else None,
                "outcome": entry.operation.outcome,
                "undoes": entry.operation.plan.undoes,
                "undone_by": entry.undone_by,
                "refs": _refs(entry.operation.plan.refs),
            }
            for entry in entries
        ]
    }


def undone_receipt(undone: Undone) -> Receipt:
    """Return the receipt of an undo."""
    back = undone.taken_back
    what = f"{back.plan.verb} {back.plan.session}".strip()
    facts = tuple(_move(move) for move in undone.plan.refs)
    return Receipt(f"{what} undone ({back.id})", facts=facts, undo=f"wts undo {undone.operation}")


def undone_facts(undone: Undone) -> dict[str, Any]:
    """Return the data of `wts undo --json`."""
    return {
        "undone": undone.taken_back.id,
        "refs": _refs(undone.plan.refs),
        "operation": undone.operation,
    }


def _refs(moves: Sequence[RefMove]) -> list[dict[str, str | None]]:
    return [{"ref": move.ref, "from": move.before, "to": move.after} for move in moves]
