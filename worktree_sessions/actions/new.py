"""`wts new` and `wts adopt`: a session with its branch, its worktree and its record. `start.py` starts Claude."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.actions import operate, setup, steps
from worktree_sessions.actions.branches import Branches, Start
from worktree_sessions.actions.project import Project, registered
from worktree_sessions.errors import Refused, UsageError, WtsError
from worktree_sessions.model import names
from worktree_sessions.model.operation import Plan, Step
from worktree_sessions.model.session import Session, Setup
from worktree_sessions.model.words import quoted
from worktree_sessions.outside.git import BranchName, Oid, Worktree, full, short


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was typed after `wts new`."""

    words: tuple[str, ...]
    role: str | None = None
    base: str | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A session that a plan makes; `facts` say from where it starts, `operation` is None for a dry run."""

    session: Session
    plan: Plan
    facts: tuple[str, ...]
    operation: str | None
    setup_log: Path | None = None


class Spot(NamedTuple):
    """Where a session goes: its number, its branches, its worktree, and the commit that its branch starts from."""

    number: int
    branch: BranchName
    parent: BranchName
    path: Path
    start: Start


def plan_new(project: Project, order: Order) -> Made:
    """Look and decide; nothing is written. Raises what is refused."""
    branches = Branches(project)
    branches.require_commit()
    sessions, bad = project.store.load_all()
    closed, _ = project.store.load_closed()
    prefix = project.settings.branch_prefix
    name = _named(order.words, branches.features([*sessions, *closed]), order.role, prefix=prefix)
    _refuse_taken(name.name, [*(s.name for s in sessions), *(record.path.parent.name for record in bad)])
    branch, parent = BranchName(prefix + name.name), BranchName(prefix + name.feature)
    _refuse_branch(branches, branch, project)
    path = _free_path(project, name.name)
    parent_step, start, facts = _start(project, branches, parent, order.base)
    session = _session(project, name, order, Spot(_lowest_free(sessions), branch, parent, path, start))
    todo = [
        *parent_step,
        steps.add_worktree(
            path,
            start.oid,
            branch=None,
            new_branch=branch,
            says=f"add worktree {path} on new branch {branch} at {start.oid[:10]} ({start.found})",
        ),
        steps.save_record(session, f"record session {session.number}, {session.name}"),
        *_include_step(project, session),
    ]
    return Made(
        session=session,
        plan=Plan(verb="new", session=session.name, steps=tuple(todo), lasts_from=len(parent_step) + 1),
        facts=facts,
        operation=None,
    )


def make(project: Project, order: Order) -> Made:
    """Make the session; it is whole or it is not there."""
    return _carry_out(project, lambda: plan_new(project, order))


def plan_adopt(
    project: Project, path: Path, *, words: Sequence[str], parent: str | None, role: str | None
) -> Made:
    """Look and decide how a hand-made worktree becomes a session: its branch and files stay as they are."""
    sessions, _ = project.store.load_all()
    row = _adoptable(project, path, sessions)
    branches = Branches(project)
    branch = short(row.branch) if row.branch else _refuse_detached(path)
    prefix = project.settings.branch_prefix
    spoken = tuple(words) or (branch.removeprefix(prefix).removeprefix("worktree-").rpartition("/")[2],)
    # its own branch is no session's yet, but no feature either
    known = [feature for feature in branches.features(sessions) if prefix + feature != branch]
    name = _named(spoken, known, role, prefix=prefix)
    _refuse_taken(name.name, [s.name for s in sessions])
    wanted = BranchName(parent or prefix + name.feature)
    _refuse_parent(branches, wanted, branch, path, asked=parent)
    parent_step, start, facts = _start(project, branches, wanted, None)
    if row.head is None:
        raise WtsError("no-commit", f"{branch} has no commit yet", hint=f"git -C {quoted(path)} commit")
    base = project.git.ask("merge-base", row.head, start.oid).out.decode().strip() or row.head
    spot = Spot(_lowest_free(sessions), branch, wanted, row.path, Start(Oid(base), wanted))
    made = _session(project, name, Order(words=spoken, role=role), spot)
    session = made._replace(setup=Setup.NONE)  # who made the worktree has set it up
    todo = (*parent_step, steps.save_record(session, f"record session {session.number}, {session.name}"))
    return Made(
        session=session,
        plan=Plan(verb="adopt", session=session.name, steps=todo, lasts_from=len(parent_step)),
        facts=facts,
        operation=None,
    )


def adopt(
    project: Project, path: Path, *, words: Sequence[str], parent: str | None, role: str | None
) -> Made:
    """Take a worktree over as a session; nothing in it is touched."""
    return _carry_out(project, lambda: plan_adopt(project, path, words=words, parent=parent, role=role))


def _refuse_parent(
    branches: Branches, wanted: BranchName, branch: BranchName, path: Path, *, asked: str | None
) -> None:
    if asked and branches.start_of(wanted) is None:
        raise UsageError("no-branch", f"there is no branch {asked}", hint="git branch --list")
    if wanted == branch:
        cure = f"wts adopt {quoted(path)} --parent BRANCH"
        raise UsageError("own-parent", f"{branch} can't be its own parent", hint=cure)


def _named(words: tuple[str, ...], features: list[str], role: str | None, *, prefix: str) -> names.Name:
    if len(words) == 1:
        names.check(words[0], prefix)  # before it is completed: a refusal names what was typed
    name = names.split(words, features=features, role=role)
    names.check(name, prefix)
    return name


def _carry_out(project: Project, make_plan: Callable[[], Made]) -> Made:
    made: list[Made] = []

    def planned() -> Plan:
        made.append(make_plan())
        return made[-1].plan

    operation = operate.carry_out(project, planned)
    session = project.store.load(made[-1].session.name) or made[-1].session
    return Made(session=session, plan=operation.plan, facts=made[-1].facts, operation=operation.id)


def _session(project: Project, name: names.Name, order: Order, spot: Spot) -> Session:
    return Session(
        id=f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}",
        number=spot.number,
        name=name.name,
        feature=name.feature,
        purpose=name.purpose,
        role=order.role,
        branch=spot.branch,
        parent=spot.parent,
        worktree=spot.path,
        display=f"{project.name}-{name.purpose}-{spot.number}",
        conversation=str(uuid.uuid4()),
        created=datetime.now(timezone.utc),
        base=spot.start.oid,
        prompt=order.prompt,
        focus=project.settings.focus(order.role),
        setup=Setup.PENDING if project.settings.setup_run else Setup.NONE,
    )


def _start(
    project: Project,
    branches: Branches,
    parent: BranchName,
    base: str | None,
) -> tuple[list[Step], Start, tuple[str, ...]]:
    """Return the step that makes a missing parent, where the session starts, and that in words."""
    asked = _resolve_base(project, base) if base is not None else None
    found = branches.start_of(parent)
    if found is not None and full(parent) in branches.local:
        start = asked or found
        return [], start, (f"starts from {start.found}",)
    branches.refuse_clash(parent)
    origin = found or asked or branches.start_of(branches.default())
    assert origin is not None  # default() returns a branch that has a tip
    step = steps.create_ref(
        full(parent), origin.oid, f"create branch {parent} at {origin.oid[:10]} ({origin.found})"
    )
    return [step], asked or origin, (f"{parent} is new, from {origin.found}",)


def _resolve_base(project: Project, base: str) -> Start:
    oid = project.git.resolve(base)
    if oid is None:
        raise UsageError("no-base", f"--base {base} names no commit", hint="git log --oneline --all")
    return Start(oid, base)


def _refuse_taken(name: str, taken: list[str]) -> None:
    other = names.collision(name, taken)
    if other is not None:
        same = "exists already" if other == name else f"can't be told from session {other} on every disk"
        raise Refused(
            "name-taken",
            f"session {name} {same}",
            hint=f"wts open {other}, or choose another name",
            session=other,
        )


def _refuse_branch(branches: Branches, branch: BranchName, project: Project) -> None:
    branches.refuse_clash(branch)
    if full(branch) not in branches.local:
        return
    where = next((row.path for row in project.git.worktrees() if row.branch == full(branch)), None)
    if where is not None:
        raise Refused(
            "branch-taken",
            f"branch {branch} exists and is checked out in {where}",
            hint=f"wts adopt {quoted(where)}",
        )
    raise Refused(
        "branch-taken",
        f"branch {branch} exists already",
        hint=f"choose another name, or git worktree add PATH {branch} && wts adopt PATH",
    )


def _free_path(project: Project, name: str) -> Path:
    root = project.settings.worktree_root(project.home).resolve()  # git writes down the real path
    path = root / name
    there = _on_disk(root, name)
    if there is not None:
        raise Refused(
            "directory-taken",
            f"directory {there} exists already",
            hint="choose another name, or move it away",
        )
    if path in registered(project):
        raise Refused(
            "directory-taken",
            f"git still knows a worktree at {path}, which is gone",
            hint="git worktree prune, or choose another name",
        )
    return path


def _on_disk(root: Path, name: str) -> Path | None:
    try:
        entries = [entry.name for entry in root.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return None
    other = names.collision(name, entries)
    return root / other if other is not None else None


def _lowest_free(sessions: list[Session]) -> int:
    taken = {session.number for session in sessions}
    return next(number for number in range(1, len(taken) + 2) if number not in taken)


def _include_step(project: Project, session: Session) -> list[Step]:
    if project.main is None or not (project.main / setup.INCLUDE_FILE).is_file():
        return []
    return [steps.include_files(session, f"copy the files of {setup.INCLUDE_FILE} that are ignored")]


def _adoptable(project: Project, path: Path, sessions: list[Session]) -> Worktree:
    rows = {row.path.resolve(): row for row in project.git.worktrees()}
    row = rows.get(path.resolve())
    if row is None:
        raise UsageError(
            "no-worktree", f"{path} is not a worktree of this repository", hint="git worktree list"
        )
    if row.path == project.main or row.bare:
        raise Refused(
            "main-worktree",
            f"{path} is the main worktree, which stays what it is",
            hint="git worktree add ../PATH BRANCH && wts adopt ../PATH",
        )
    owner = next((s for s in sessions if s.worktree == row.path), None)
    if owner is not None:
        raise Refused(
            "name-taken",
            f"{path} is session {owner.number}, {owner.name}, already",
            hint=f"wts open {owner.number}",
            session=owner.name,
        )
    if row.prunable is not None:
        raise Refused("missing", f"{path} is gone", hint="git worktree prune")
    return row


def _refuse_detached(path: Path) -> BranchName:
    raise Refused("detached", f"{path} is on no branch", hint=f"git -C {quoted(path)} switch -c BRANCH")
