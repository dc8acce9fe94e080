"""The engine of every mutating command: lock, look again, write the operation down, do the steps, mark it done.

A step that fails takes the ones before it back, in reverse. A process that dies leaves a journal in
`operations/running/`; whoever takes the lock next finishes it or rolls it back (`settle`), so the lock is all the
proof that is needed that its writer is gone. Never holds the lock while an agent, an editor, the network, a test or
a human is waited for: those happen before `carry_out` or after it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.actions import moving
from worktree_sessions.actions.project import Project
from worktree_sessions.actions.steps import KINDS
from worktree_sessions.errors import Refused, WtsError
from worktree_sessions.model.operation import Operation, Plan, from_journal, to_header
from worktree_sessions.outside import files, git, locks


class Settled(NamedTuple):
    """An interrupted operation that was met: `problem` is None when it was finished or rolled back."""

    operation: Operation
    outcome: str
    problem: str | None = None


def checkpoint(operation_id: str, moment: str) -> None:
    """Called before and after each step. Does nothing; a test kills the process here."""


def carry_out(project: Project, make_plan: Callable[[], Plan]) -> Operation:
    """Run a command's plan under the repository's lock and return what was done.

    `make_plan` looks and decides; it is called under the lock, so that nothing it saw can be stale because of another
    wts. It raises what the command refuses.
    """
    git.version()  # one that is too old must not begin to change anything
    timeout = project.settings.lock_timeout
    with _told_of_the_disk(project):
        project.store.prepare()
        with locks.writing(project.store.lock_file, "wts", timeout=timeout):
            settled = settle_locked(project)
            plan = make_plan()
            _refuse_on_stuck(settled, plan)
            operation = Operation(id=_new_id(plan), plan=plan)
            moving.pin(project, operation)
            journal = _running_dir(project) / f"{operation.id}.jsonl"
            files.replace_file(journal, to_header(operation.id, plan) + b"\n")
            return _run(project, operation, journal)


@contextlib.contextmanager
def _told_of_the_disk(project: Project) -> Iterator[None]:
    """A disk that is full or read-only is no bug of ours."""
    try:
        yield
    except OSError as error:
        where = error.filename or project.store.root
        says = f"{where} can't be written: {error.strerror or error}"
        raise WtsError("disk", says, hint="wts doctor") from error


def settle(project: Project) -> list[Settled]:
    """Finish or roll back every operation that a dead process left behind; takes the lock."""
    if not unfinished(project):
        return []
    with locks.writing(project.store.lock_file, "wts doctor", timeout=project.settings.lock_timeout):
        return settle_locked(project)


def settle_locked(project: Project) -> list[Settled]:
    """The same for a caller that holds the lock."""
    return [_settle_one(project, journal) for journal in _journals(project)]


def unfinished(project: Project) -> list[Operation]:
    """Return the operations that are under way or were left behind, without a lock."""
    found = []
    for journal in _journals(project):
        try:
            found.append(from_journal(journal.read_bytes()))
        except FileNotFoundError:
            continue  # it has just ended
        except WtsError:
            found.append(Operation(id=journal.stem, plan=Plan(verb="unknown", session="", steps=())))
    return found


def is_busy(project: Project) -> bool:
    """Return whether another process holds the repository's lock at this moment."""
    return locks.is_held(project.store.lock_file)


def _run(project: Project, operation: Operation, journal: Path) -> Operation:
    for index, step in enumerate(operation.plan.steps):
        operation = dataclasses.replace(operation, begun=index + 1)
        try:
            _write_begun(journal, index)
            checkpoint(operation.id, f"before {index}")
            KINDS[step.kind].do(project, step.args)
        except (WtsError, OSError) as error:
            is_clean = _try_to_take_back(project, operation, journal)
            raise _as_wts_error(error, operation, is_clean=is_clean) from error
        except KeyboardInterrupt:
            _try_to_take_back(project, operation, journal)
            raise
        checkpoint(operation.id, f"after {index}")
    _finish(journal, "done")
    return operation


def _try_to_take_back(project: Project, operation: Operation, journal: Path) -> bool:
    """Take back what was begun; return whether nothing is left. What can't be taken back now stays in the journal."""
    try:
        _take_back(project, operation, journal)
    except (WtsError, OSError):
        return False
    return not operation.must_finish


def _write_begun(journal: Path, index: int) -> None:
    files.append_line(journal, b'{"begun": %d}' % index)


def _take_back(project: Project, operation: Operation, journal: Path) -> None:
    """Undo the begun steps in reverse; past the point of no return the journal stays, to be finished."""
    if operation.must_finish:
        return
    for step in reversed(operation.plan.steps[: operation.begun]):
        KINDS[step.kind].undo(project, step.args)
    _finish(journal, "undone")


def _go_on(project: Project, operation: Operation, journal: Path) -> None:
    for index, step in enumerate(operation.plan.steps):
        if index >= operation.begun - 1:  # the last one begun may be half done: every `do` can be done again
            _write_begun(journal, index)
            KINDS[step.kind].do(project, step.args)
    _finish(journal, "done")


def _settle_one(project: Project, journal: Path) -> Settled:
    try:
        operation = from_journal(journal.read_bytes())
    except WtsError as error:
        journal.rename(journal.with_suffix(".unreadable"))
        unknown = Operation(id=journal.stem, plan=Plan(verb="unknown", session="", steps=()))
        return Settled(unknown, "set aside", error.message)
    try:
        if operation.outcome is not None:  # all was done but the renaming
            _finish(journal, operation.outcome)
            return Settled(operation, "finished" if operation.outcome == "done" else "rolled back")
        if operation.lasts:
            _go_on(project, operation, journal)
            return Settled(operation, "finished")
        _take_back(project, operation, journal)
        return Settled(operation, "rolled back")
    except (WtsError, OSError) as error:
        return Settled(operation, "stuck", str(error))


def _refuse_on_stuck(settled: list[Settled], plan: Plan) -> None:
    for one in settled:
        if one.problem and one.operation.plan.session == plan.session:
            raise Refused(
                "unfinished",
                f"an interrupted {one.operation.plan.verb} of {plan.session} can't be settled: {one.problem}",
                hint="wts doctor --fix",
                session=plan.session,
            )


def _as_wts_error(error: WtsError | OSError, operation: Operation, *, is_clean: bool) -> WtsError:
    if isinstance(error, WtsError):
        if not is_clean:
            error.hint = "wts doctor --fix"
        return error
    what = f"{operation.plan.verb} {operation.plan.session}".strip()
    where = f": {error.filename}" if error.filename else ""
    hint = "wts doctor" if is_clean else "wts doctor --fix"
    return WtsError("disk", f"{what} failed, {error.strerror or error}{where}", hint=hint)


def _new_id(plan: Plan) -> str:
    stamp = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S%fZ}"  # they sort in the order in which they were done
    return f"{stamp}-{plan.verb}-{os.urandom(3).hex()}"


def _running_dir(project: Project) -> Path:
    return project.store.running_dir


def _journals(project: Project) -> list[Path]:
    return sorted(_running_dir(project).glob("*.jsonl"))


def _finish(journal: Path, outcome: str) -> None:
    with contextlib.suppress(OSError):  # a full disk: that it lies among the finished ones tells enough
        files.append_line(journal, b'{"outcome": "%s"}' % outcome.encode())
    os.replace(journal, journal.parent.parent / journal.name)
