"""A mutating command as data: a list of named steps, each with its inverse, journalled so that anyone can finish it.

The same list is what `--dry-run` prints, what runs, and what a later command reads after a crash. It is pure: how a
step is done and undone stands in `actions/steps.py`, under the step's kind.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from worktree_sessions.errors import WtsError
from worktree_sessions.outside.git import Oid, Ref

Args = dict[str, Any]  # JSON values only: the journal carries them to another process


class RefMove(NamedTuple):
    """A ref, where it stood before a step and where it stands after it; None is absence."""

    ref: Ref
    before: Oid | None
    after: Oid | None


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the world: `kind` names how it is done and undone, `says` is its line in `--dry-run`.

    `moves` is the branch that it makes, moves or deletes, if it does.
    """

    kind: str
    says: str
    args: Args = field(default_factory=dict)
    moves: RefMove | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a command would do.

    A crash in step `no_return` (counted from 0) or later is finished, not rolled back. So is one in step `lasts_from`
    or later, since somebody may have begun to work in what was made; a mere failure there is still taken back.
    `undoes` is the operation whose branches this one moves back.
    """

    verb: str
    session: str
    steps: tuple[Step, ...]
    no_return: int | None = None
    lasts_from: int | None = None
    warnings: tuple[str, ...] = ()
    undoes: str | None = None

    @property
    def refs(self) -> tuple[RefMove, ...]:
        """Every branch that the plan makes, moves or deletes, once, from where it stands to where it will."""
        found: dict[Ref, RefMove] = {}
        for move in (step.moves for step in self.steps if step.moves):
            before = found[move.ref].before if move.ref in found else move.before
            found[move.ref] = RefMove(move.ref, before, move.after)
        return tuple(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A plan that was begun: `begun` steps were started, the last of them perhaps not finished."""

    id: str
    plan: Plan
    begun: int = 0
    outcome: str | None = None

    @property
    def must_finish(self) -> bool:
        """Taking back is no longer possible, or no longer safe."""
        return self.plan.no_return is not None and self.begun > self.plan.no_return

    @property
    def lasts(self) -> bool:
        """A crash here is rolled forward."""
        return self.must_finish or (self.plan.lasts_from is not None and self.begun > self.plan.lasts_from)


def to_header(operation_id: str, plan: Plan) -> bytes:
    """Return the first line of a journal: the whole plan."""
    header = {
        "schema": 1,
        "id": operation_id,
        "verb": plan.verb,
        "session": plan.session,
        "no_return": plan.no_return,
        "lasts_from": plan.lasts_from,
        "undoes": plan.undoes,
        "steps": [
            {"kind": step.kind, "says": step.says, "args": step.args, "moves": step.moves}
            for step in plan.steps
        ],
    }
    return json.dumps(header).encode()


def from_journal(content: bytes) -> Operation:
    """Read a journal: a header, then one line for each step begun; raise WtsError when it is not one."""
    try:
        first, *rest = content.splitlines()
        header = json.loads(first)
        plan = Plan(
            verb=header["verb"],
            session=header["session"],
            steps=tuple(_step(step) for step in header["steps"]),
            no_return=header["no_return"],
            lasts_from=header.get("lasts_from"),
            undoes=header.get("undoes"),
        )
        begun, outcome = 0, None
        for line in rest:
            row = _row(line, begun)
            begun, outcome = max(begun, row.get("begun", -1) + 1), row.get("outcome", outcome)
        return Operation(id=header["id"], plan=plan, begun=begun, outcome=outcome)
    except (ValueError, KeyError, TypeError) as error:
        raise WtsError("bad-journal", f"unreadable operation journal: {error!r}") from error


def _step(row: dict[str, Any]) -> Step:
    """Return a step as the journal has it; older journals do not tell which branch it moves."""
    moves = row.get("moves")
    return Step(row["kind"], row["says"], row["args"], RefMove(*moves) if moves else None)


def _row(line: bytes, begun: int) -> dict[str, Any]:
    """Return a line of the journal; one that a full disk has torn may have been the next step's."""
    try:
        row: dict[str, Any] = json.loads(line)
    except ValueError:
        return {"begun": begun}
    return row
