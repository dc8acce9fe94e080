"""`wts close`: a session's worktree goes, and nothing of its work does.

It ends nothing and loses nothing: refused while Claude runs, work is at risk or a probe fails, each danger with the one
flag that consents to it. What is removed lies in a snapshot, on pinned commits and in the trash, from where
`wts restore` brings it back.
"""

from __future__ import annotations

import dataclasses
import shlex
import signal
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.actions import operate, risk, snapshot, steps
from worktree_sessions.actions.asking import running_claude
from worktree_sessions.actions.project import Project, registered
from worktree_sessions.errors import Refused
from worktree_sessions.model.operation import Plan, Step
from worktree_sessions.model.risk import Consent, Finding, refuse
from worktree_sessions.model.session import Session
from worktree_sessions.outside import processes
from worktree_sessions.outside.git import Oid, Ref, Worktree, full

CLOSED = "refs/wts/closed/"
GENTLY = 10.0  # seconds; 2 of 4 real sessions took over 6 s to obey a SIGTERM


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """What was typed after `wts close NAME`."""

    consents: frozenset[Consent] = frozenset()
    delete_branch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A close: `notes` are the findings that refuse nothing, `branch_goes` why the branch was deleted, if it was."""

    session: Session
    plan: Plan
    notes: tuple[Finding, ...]
    branch_goes: str | None
    operation: str | None

    @property
    def restore(self) -> str:
        """The command that brings the session back."""
        return f"wts restore {shlex.quote(self.session.name)}"


def plan_close(project: Project, session: Session, order: Closing) -> Closed:
    """Look and decide; raises Refused with everything that would be lost and the flags that consent."""
    row = registered(project).get(session.worktree)
    ask = risk.ask_findings if session.worktree.is_dir() else risk.ask_findings_of_missing
    findings = ask(project, session, row)
    refuse(session.name, findings, order.consents)
    tip = project.git.refs(full(session.branch)).get(full(session.branch))
    goes = _why_branch_goes(project, session, tip, order)
    places = _Places.of(project, session)
    keeping = _keep(project, session, row, tip, places)
    going = _let_go(session, row, tip if goes else None, places, goes)
    plan = Plan(verb="close", session=session.name, steps=(*keeping, *going), no_return=len(keeping))
    notes = tuple(finding for finding in findings if finding.consent is None)
    return Closed(session=session, plan=plan, notes=notes, branch_goes=goes, operation=None)


class _Places(NamedTuple):
    """Where what goes is kept: the snapshot's ref, the trash."""

    snapshot: Ref
    trash: Path

    @classmethod
    def of(cls, project: Project, session: Session) -> _Places:
        stamp = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S%f}"
        ref = Ref(f"{snapshot.SNAPSHOTS}{session.id}/{stamp}")
        return cls(ref, project.store.trash_dir / f"{session.id}-{stamp}")


def _keep(
    project: Project, session: Session, row: Worktree | None, tip: Oid | None, places: _Places
) -> list[Step]:
    """The steps that can be taken back: commits, files and the worktree are put out of harm's way."""
    todo: list[Step] = []
    stood = tip or steps.lost_tip(project, session) or (row.head if row else None)
    if stood is not None:
        keeper = Ref(CLOSED + session.id)
        todo.append(steps.pin_branch(session, stood, keeper, f"pin {session.branch} at {stood[:10]}"))
    if session.worktree.is_dir():
        says = "take a snapshot of its tracked and untracked files"
        todo.append(steps.take_snapshot(session, places.snapshot, says))
    if row is not None:
        says = f"move worktree {session.worktree} to the trash"
        todo.append(steps.move_worktree(session, places.trash, says))
    return todo


def _let_go(
    session: Session, row: Worktree | None, tip: Oid | None, places: _Places, why: str | None
) -> list[Step]:
    """The steps that are finished once begun; the branch goes when `tip` is given."""
    todo: list[Step] = []
    if row is not None:
        says = "look at it once more, and let git forget it"
        todo.append(steps.forget_worktree(session, places.trash, places.snapshot, says))
    if tip is not None:
        todo.append(steps.delete_branch(full(session.branch), tip, f"delete branch {session.branch} ({why})"))
    todo.append(steps.retire_record(session, f"free number {session.number} and the name {session.name}"))
    if row is not None:
        todo.append(steps.thin_trash(places.trash, "keep what is ignored and can't be rebuilt in the trash"))
    return todo


def close(project: Project, session: Session, order: Closing) -> Closed:
    """Close the session; with consent, its Claude is ended first, gently and before the lock is taken."""
    if Consent.RUNNING in order.consents:
        plan_close(project, session, order)  # whatever else refuses does so before anything is ended
        end_claude(project, session)
    done: list[Closed] = []

    def planned() -> Plan:
        current = project.store.load(session.name)
        if current is None or current.id != session.id:
            raise Refused("gone", f"session {session.name} was closed meanwhile", hint="wts list")
        done.append(plan_close(project, current, order))
        return done[-1].plan

    operation = operate.carry_out(project, planned)
    return dataclasses.replace(done[-1], operation=operation.id)


def end_claude(project: Project, session: Session) -> None:
    """Ask the session's Claude to end and wait for it; never kills."""
    process = running_claude(project, session)
    if process is None:
        return
    processes.send(process, signal.SIGTERM)
    deadline = time.monotonic() + GENTLY
    while processes.is_alive(process):
        if time.monotonic() > deadline:
            raise Refused(
                "running",
                f"Claude (pid {process.pid}) did not end within {GENTLY:.0f} s of being asked to",
                hint=f"end it there (/exit): wts open {session.number}",
                session=session.name,
            )
        time.sleep(0.05)


def _why_branch_goes(project: Project, session: Session, tip: Oid | None, order: Closing) -> str | None:
    if tip is None:
        return None
    rows = project.git.worktrees()
    elsewhere = next(
        (r.path for r in rows if r.branch == full(session.branch) and r.path != session.worktree), None
    )
    if order.delete_branch:
        if elsewhere is not None:
            raise Refused(
                "branch-taken",
                f"branch {session.branch} can't be deleted, it is checked out in {elsewhere}",
                hint=f"git -C {shlex.quote(str(elsewhere))} switch --detach",
                session=session.name,
            )
        return "asked for with --delete-branch"
    if elsewhere is not None:
        return None
    parent = project.git.resolve(full(session.parent))
    if parent is None or not project.git.is_ancestor(tip, parent):
        return None
    return f"all of it is in {session.parent}" if tip != session.base else "it has no commit of its own"
