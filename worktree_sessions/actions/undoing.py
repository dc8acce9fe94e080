"""`wts log` and `wts undo`: what was done, and the way back.

An undo is an operation like any other: it moves the same branches the other way, each by compare-and-swap, and is
in the log to be undone itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from worktree_sessions.actions import heldback, moving, operate
from worktree_sessions.actions.project import Project
from worktree_sessions.errors import NothingToDo, Refused, WtsError
from worktree_sessions.model.operation import Operation, Plan, RefMove, Step, from_journal
from worktree_sessions.model.words import quoted
from worktree_sessions.outside.git import short

# The commands with an inverse of their own, which knows more than branches.
INVERSES = {
    "new": "wts close {}",
    "adopt": "wts close {}",
    "restore": "wts close {}",
    "close": "wts restore {}",
    "resolve": 'git -C "$(wts path {})" merge --abort',
    "hooks-install": "wts hooks uninstall",
    "hooks-uninstall": "wts hooks install",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An operation in the log: when it was begun, and the undo that stands against it, if one does."""

    operation: Operation
    at: datetime | None
    undone_by: str | None

    @property
    def moves_branches(self) -> bool:
        """Whether it is one that `wts undo` takes back."""
        plan = self.operation.plan
        return plan.verb not in INVERSES and self.operation.outcome == "done" and bool(plan.refs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """An undo: what was taken back, the moves that did it; `operation` is its own id, None for a dry run."""

    taken_back: Operation
    plan: Plan
    operation: str | None


# -- the log ---------------------------------------------------------------------------------------


def log(project: Project) -> Iterator[Entry]:
    """Yield every operation, the latest first; those that did not end yet have no outcome."""
    directory = project.store.operations_dir
    journals = sorted(
        [*directory.glob("*.jsonl"), *directory.glob("running/*.jsonl")], key=_name, reverse=True
    )
    undone: dict[str, str] = {}
    for journal in journals:
        operation = _read(journal)
        undone_by = undone.get(operation.id)
        undoes = operation.plan.undoes
        if undoes and operation.outcome == "done" and undone_by is None:
            undone.setdefault(undoes, operation.id)
        yield Entry(operation=operation, at=_begun_at(operation.id), undone_by=undone_by)


def _name(journal: Path) -> str:
    return journal.name


def _read(journal: Path) -> Operation:
    try:
        return from_journal(journal.read_bytes())
    except FileNotFoundError:  # it has just ended
        return from_journal((journal.parent.parent / journal.name).read_bytes())
    except WtsError:
        return Operation(id=journal.stem, plan=Plan(verb="unknown", session="", steps=()))


def _begun_at(operation_id: str) -> datetime | None:
    stamp = re.match(r"\d{8}T\d{6}", operation_id)
    if stamp is None:
        return None
    return datetime.strptime(stamp[0], "%Y%m%dT%H%M%S").replace(tzinfo=timezone.utc)


# -- undo ------------------------------------------------------------------------------------------


def plan_undo(project: Project, target: str | None) -> Undone:
    """Look and decide how an operation is taken back; without a target the last one that moved branches.

    A target is an operation's id, its beginning or its end. Raises Refused, naming every branch that has moved since,
    or the file that keeps a worktree from following.
    """
    entries = list(log(project))
    entry = _find(entries, target)
    _refuse_moved(project, entries, entry)
    operation = entry.operation
    moves = [_back(project, move) for move in operation.plan.refs]
    records = [heldback.backwards(step) for step in operation.plan.steps if step.kind == heldback.KIND]
    plan = Plan(verb="undo", session=operation.plan.session, steps=(*moves, *records), undoes=operation.id)
    return Undone(taken_back=operation, plan=plan, operation=None)


def undo(project: Project, target: str | None) -> Undone:
    """Take an operation back: all of its branches, or none."""
    done: list[Undone] = []

    def planned() -> Plan:
        done.append(plan_undo(project, target))
        return done[-1].plan

    operation = operate.carry_out(project, planned)
    return replace(done[-1], operation=operation.id)


def _find(entries: list[Entry], target: str | None) -> Entry:
    if target is None:
        last = next((entry for entry in entries if entry.moves_branches), None)
        if last is None:
            raise NothingToDo("nothing-to-undo", "no operation has moved a branch", hint="wts log")
        return last
    named = [entry for entry in entries if target == entry.operation.id] or [
        entry
        for entry in entries
        if entry.operation.id.startswith(target) or entry.operation.id.endswith(target)
    ]
    if len(named) != 1:
        how_many = "several operations are" if named else "no operation is"
        ids = tuple(entry.operation.id for entry in named)
        raise WtsError("no-operation", f"{how_many} called {target}", hint="wts log", details=ids)
    _refuse_not_undoable(named[0])
    return named[0]


def _refuse_not_undoable(entry: Entry) -> None:
    operation, plan = entry.operation, entry.operation.plan
    if operation.outcome != "done":
        told = "was rolled back" if operation.outcome else "has not ended"
        raise Refused("not-done", f"{operation.id} {told}: there is nothing to undo", hint="wts doctor")
    if inverse := INVERSES.get(plan.verb):
        says = f"{operation.id} is not undone by moving branches"
        raise Refused("own-inverse", says, hint=inverse.format(quoted(plan.session)))
    if not plan.refs:
        raise Refused("no-branch", f"{operation.id} moved no branch", hint="wts log")
    if entry.undone_by:
        says = f"{operation.id} was undone already"
        raise NothingToDo("undone-already", says, hint=f"to have it back: wts undo {entry.undone_by}")


def _refuse_moved(project: Project, entries: list[Entry], entry: Entry) -> None:
    """Name every branch that does not stand where the operation left it."""
    moves = entry.operation.plan.refs
    stand = project.git.refs(*(move.ref for move in moves))
    away = [move for move in moves if stand.get(move.ref) != move.after]
    if not away:
        return
    first = away[0]
    ends = RefMove(first.ref, None, stand.get(first.ref))
    later = [
        one.operation
        for one in entries[: entries.index(entry)]
        if one.moves_branches and any(move._replace(before=None) == ends for move in one.operation.plan.refs)
    ]
    cure = f"wts undo {later[0].id}, then again" if later else _revert(project, first)
    raise Refused(
        "moved",
        f"{', '.join(short(move.ref) for move in away)} moved on since {entry.operation.id}; nothing was changed",
        hint=cure,
        details=tuple(str(moving.moved(move.ref, move.after, stand.get(move.ref))) for move in away),
    )


def _revert(project: Project, move: RefMove) -> str:
    """Return how all that a move brought is taken back by commits on top: merges, or what landed without one."""
    branch = quoted(short(move.ref))
    if move.before is None or move.after is None:
        return f"git log -g {branch}"
    side = " -m 1" if project.git.resolve(f"{move.after}^2") else ""
    brought = f"$(git rev-list --first-parent {move.before[:10]}..{move.after[:10]})"
    return f"on {branch} (to merge it again later, revert the revert): git revert{side} {brought}"


def _back(project: Project, move: RefMove) -> Step:
    worktree = moving.check(project, move.ref, move.after, move.before).worktree
    was, will = (oid[:10] if oid else "nothing" for oid in (move.after, move.before))
    says = f"undo: {short(move.ref)} back from {was} to {will}"
    says += f", with {worktree}" if worktree else ""
    return moving.move_branch(move.ref, move.after, move.before, worktree, says)
