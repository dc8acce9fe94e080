"""`wts restore`: brings back a closed session, or a live one whose worktree or branch somebody removed."""

from __future__ import annotations

import dataclasses
import os
import shlex
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from worktree_sessions.actions import operate, snapshot, steps
from worktree_sessions.actions.close import CLOSED
from worktree_sessions.actions.project import Project, registered
from worktree_sessions.errors import NothingToDo, Refused, WtsError
from worktree_sessions.model import names
from worktree_sessions.model.operation import Plan, Step
from worktree_sessions.model.session import Session
from worktree_sessions.outside.files import size_of
from worktree_sessions.outside.git import BranchName, Oid, Ref, full, short


@dataclass(frozen=True, slots=True, kw_only=True)
class Restorable:
    """A session that can come back: `since` when it went (None: its worktree was removed by other hands).

    `files` counts the uncommitted and untracked files that the snapshot holds, `size` is their bytes and the trash's.
    """

    session: Session
    since: datetime | None
    files: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A session brought back: `facts` tell what differs from before."""

    session: Session
    plan: Plan
    facts: tuple[str, ...]
    operation: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Emptied:
    """The trash as it was emptied (or, with `operation` None, would be)."""

    trashes: tuple[Path, ...]
    size: int
    plan: Plan
    operation: str | None


def list_restorable(project: Project) -> list[Restorable]:
    """Return what can come back, the latest closed first."""
    live, _ = project.store.load_all()
    closed, _ = project.store.load_closed()
    missing = [_describe(project, session, None) for session in live if not session.worktree.is_dir()]
    gone = [_describe(project, session, _closed_at(project, session)) for session in reversed(closed)]
    return [*missing, *gone]


def _closed_at(project: Project, session: Session) -> datetime:
    stamp = project.store.closed_record_dir(session).stat().st_mtime
    return datetime.fromtimestamp(stamp, timezone.utc)


def _describe(project: Project, session: Session, since: datetime | None) -> Restorable:
    taken = latest_snapshot(project, session)
    count = size = 0
    if taken is not None:
        git = project.git
        rows = git.fields("diff-tree", "-r", "--raw", "-z", "--no-renames", f"{taken}^1", f"{taken}^{{tree}}")
        oids = [row.split(" ")[3] for row in rows if row.startswith(":")]
        count = len(oids)
        sizes = git.run("cat-file", "--batch-check=%(objectsize)", stdin="\n".join(oids).encode()).split()
        size = sum(int(one) for one in sizes if one.isdigit())
    size += sum(size_of(trash) for trash in _trashes(project, session))
    return Restorable(session=session, since=since, files=count, size=size)


def latest_snapshot(project: Project, session: Session) -> Oid | None:
    """Return the newest snapshot of a session: of its last close, or of its last turn's end."""
    refs = project.git.refs(f"{snapshot.SNAPSHOTS}{session.id}/", snapshot.AUTO + session.name)
    if project.store.load(session.name) != session:
        refs.pop(Ref(snapshot.AUTO + session.name), None)  # of a younger session with the same name
    if not refs:
        return None
    times = {oid: int(project.git.line("show", "-s", "--format=%ct", oid)) for oid in refs.values()}
    return max(sorted(refs.items(), reverse=True), key=lambda item: times[item[1]])[1]


def find_restorable(project: Project, target: str) -> Session:
    """Return the session that a name means, the latest closed of that name; raise WtsError when none can come back."""
    live, _ = project.store.load_all()
    gone = [session for session in live if not session.worktree.is_dir()]
    closed, _ = project.store.load_closed()
    candidates: list[Session] = [*gone, *reversed(closed)]
    exact = [
        session
        for session in candidates
        if target in (session.id, session.branch) or session.name == names.nfc(target)
    ]
    if exact:
        return exact[0]
    there = next((s for s in live if target in (s.name, str(s.number)) and s.worktree.is_dir()), None)
    if there is not None:
        raise NothingToDo(
            "nothing-lost", f"{there.name} is there, in {there.worktree}", hint=f"wts open {there.number}"
        )
    latest = {session.name: session for session in reversed(candidates)}
    return names.find(target, list(latest.values()), None)


def plan_restore(project: Project, session: Session) -> Restored:
    """Look and decide how a session comes back; raises Refused when something is in its place."""
    live, _ = project.store.load_all()
    is_live = any(one.id == session.id for one in live)
    taken = latest_snapshot(project, session)
    tip, branch_steps, facts = _branch_back(project, session, taken, is_live=is_live)
    head, on_branch = _where_head_was(project, session, taken, tip)
    revived = session._replace(number=_number(session, live))
    trash = _trashes(project, session)
    todo = [
        *branch_steps,
        *_worktree_back(project, session, head, on_branch),
        _fill(project, session, head, taken, trash),
    ]
    ending = [] if is_live else _record_back(revived, live, trash)
    if revived.number != session.number:
        facts.append(f"number {session.number} is taken, it is {revived.number} now")
    if taken is not None and tip is not None:
        facts += _older_versions(project, taken, head)
    plan = Plan(
        verb="restore",
        session=session.name,
        steps=(*todo, *ending),
        no_return=len(todo) + 1 if ending else None,  # what is emptied after the record is gone for good
        lasts_from=len(todo) if ending else None,
    )
    return Restored(session=revived, plan=plan, facts=tuple(facts), operation=None)


def _fill(project: Project, session: Session, head: Oid, taken: Oid | None, trash: list[Path]) -> Step:
    is_known = session.worktree in registered(project)
    fill = steps.fill_known_worktree if is_known else steps.fill_worktree
    last = trash[-1] if trash else Path("/nonexistent")
    says = "write its files with what was not committed" if taken else "write its files"
    return fill(session.worktree, taken or head, head=head, trash=last, says=says)


def _record_back(session: Session, live: list[Session], trash: list[Path]) -> list[Step]:
    if names.collision(session.name, [one.name for one in live]):
        raise Refused(
            "name-taken",
            f"there is another session {session.name}",
            session=session.name,
            hint=f"wts close {shlex.quote(session.name)}, then wts restore {session.id}",
        )
    return [
        steps.revive_record(session, f"record session {session.number}, {session.name}"),
        *(steps.empty_trash_if_back(one, "empty its trash, which is back in place") for one in trash),
    ]


def _older_versions(project: Project, taken: Oid, head: Oid) -> list[str]:
    """Tell which pictured files were committed in another version since."""
    if project.git.resolve(f"{taken}^1") == head:
        return []
    _, differ = snapshot.changed_since(project.git, taken, head)
    return [
        f"{path} was committed since; its older version: git show {shlex.quote(f'{taken[:10]}:{path}')}"
        for path in sorted(differ)
    ]


def restore(project: Project, session: Session) -> Restored:
    """Bring the session back; it is whole or nothing was changed."""
    done: list[Restored] = []

    def planned() -> Plan:
        done.append(plan_restore(project, session))
        return done[-1].plan

    operation = operate.carry_out(project, planned)
    return dataclasses.replace(done[-1], operation=operation.id)


def plan_empty_trash(project: Project) -> Emptied:
    """Return what is in the trash; raise NothingToDo when it is empty."""
    trashes = tuple(sorted(project.store.trash_dir.iterdir())) if project.store.trash_dir.is_dir() else ()
    if not trashes:
        raise NothingToDo("trash-empty", "the trash is empty")
    todo = tuple(steps.empty_trash(trash, f"remove {trash}") for trash in trashes)
    plan = Plan(verb="empty-trash", session="", steps=todo, no_return=0)
    return Emptied(trashes=trashes, size=sum(size_of(one) for one in trashes), plan=plan, operation=None)


def empty_trash(project: Project) -> Emptied:
    """Remove the ignored files of closed sessions for good; snapshots and pinned commits stay."""
    before = plan_empty_trash(project)
    operation = operate.carry_out(project, lambda: plan_empty_trash(project).plan)
    return dataclasses.replace(before, operation=operation.id)


def _branch_back(
    project: Project, session: Session, taken: Oid | None, *, is_live: bool
) -> tuple[Oid | None, list[Step], list[str]]:
    """Return the branch's tip, the step that makes it again where it is gone, and what to tell."""
    ref = full(session.branch)
    tip = project.git.refs(ref).get(ref)
    pinned = project.git.resolve(f"{CLOSED}{session.id}^1")
    if tip is not None:
        if is_live or pinned in (None, tip):
            return tip, [], []
        says = f"{session.branch} has moved since, from {pinned[:10]} to {tip[:10]}, and stays there"
        return tip, [], [says]
    old = _lost_tip(project, session, taken, pinned) if is_live else pinned
    if old is None:
        return None, [], []
    return old, [steps.create_ref(ref, old, f"create branch {session.branch} at {old[:10]}")], []


def _lost_tip(project: Project, session: Session, taken: Oid | None, pinned: Oid | None) -> Oid | None:
    """Return where the deleted branch of a live session stood: its pin, if any, is of an earlier close."""
    in_log = steps.lost_tip(project, session)
    if in_log is not None or taken is None:
        return in_log or pinned
    if kept := snapshot.read_pinned(project.git, taken):
        admin = f"{kept.commit}:admin"
        files = ("HEAD", "logs/HEAD")
        head, log = (project.git.ask("cat-file", "blob", f"{admin}/{name}").out for name in files)
        told = snapshot.tip_in_log(os.fsdecode(head).strip(), log, full(session.branch))
        return (project.git.resolve(told) if told else None) or pinned
    return project.git.resolve(f"{taken}^1")


def _where_head_was(
    project: Project, session: Session, taken: Oid | None, tip: Oid | None
) -> tuple[Oid, BranchName | None]:
    """Return the commit to check out, and the branch that HEAD named (None: it was detached)."""
    row = registered(project).get(session.worktree)
    if row is not None and row.head is not None:
        return row.head, short(row.branch) if row.branch else None  # git still knows, and stays there
    pinned = snapshot.read_pinned(project.git, taken) if taken else None
    head = project.git.line("cat-file", "blob", f"{pinned.commit}:admin/HEAD") if pinned else ""
    named = BranchName(head.removeprefix("ref: refs/heads/").strip()) if head.startswith("ref: ") else None
    if (pinned is None or named == session.branch) and tip is not None:
        return tip, session.branch
    if named is not None and (there := project.git.refs(full(named)).get(full(named))):
        return there, named
    pictured = project.git.resolve(f"{taken}^1") if taken else None
    if pictured is None:
        raise WtsError(
            "nothing-kept", f"nothing is left of {session.name}: no branch, no snapshot", session=session.name
        )
    return pictured, None


def _worktree_back(project: Project, session: Session, head: Oid, branch: BranchName | None) -> list[Step]:
    path = session.worktree
    if os.path.lexists(path) and not (path.is_dir() and not path.is_symlink() and not any(path.iterdir())):
        raise Refused(
            "directory-taken",
            f"{path} is there already",
            hint="move it away, then again",
            session=session.name,
        )
    row = registered(project).get(path)
    if row is not None:
        admin = steps.admin_of(project, path)
        return [
            steps.relink_worktree(path, admin, f"make {path} again, for the worktree that git still knows")
        ]
    where = next(
        (other.path for other in project.git.worktrees() if branch and other.branch == full(branch)), None
    )
    if where is not None:
        raise Refused(
            "branch-taken",
            f"{branch} is checked out in {where}",
            hint=f"git -C {shlex.quote(str(where))} switch --detach",
            session=session.name,
        )
    what = f"on {branch}" if branch else f"detached at {head[:10]}"
    return [steps.add_empty_worktree(path, head, branch=branch, says=f"add worktree {path} {what}")]


def _number(session: Session, live: list[Session]) -> int:
    taken = {other.number for other in live if other.id != session.id}
    free = (number for number in range(1, len(taken) + 2) if number not in taken)
    return next(free) if session.number in taken else session.number


def _trashes(project: Project, session: Session) -> list[Path]:
    return sorted(project.store.trash_dir.glob(f"{session.id}-*")) if project.store.trash_dir.is_dir() else []
