"""`wts sync`: a branch follows the one it comes from. The moved parent comes into its sessions, its base into a parent.

What comes of it is made in the object store before anything moves: a conflict ends there, and no worktree sees one.
What can move then moves in one operation, each branch with its worktree. A session that is not clean and at rest, in
the plan or at the last moment, is left as it is, and hinders no other.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.actions import moving, operate
from worktree_sessions.actions.asking import ask_states
from worktree_sessions.actions.branches import Branches, Start
from worktree_sessions.actions.commithooks import through_commit_msg
from worktree_sessions.actions.keeping import kept_from_gc
from worktree_sessions.actions.listing import facts_of, look_at
from worktree_sessions.actions.project import Project
from worktree_sessions.actions.snapshot import hidden_changes
from worktree_sessions.actions.target import find_session
from worktree_sessions.errors import NothingToDo, Refused, UsageError, WtsError
from worktree_sessions.model.operation import Plan, Step
from worktree_sessions.model.readiness import hidden, in_use
from worktree_sessions.model.session import Blocker, Look, Session
from worktree_sessions.model.words import counted, listed, quoted
from worktree_sessions.outside import anchors, merging
from worktree_sessions.outside.git import BranchName, Git, Oid, Ref, at_top, full, short
from worktree_sessions.outside.merging import Merged, Outcome
from worktree_sessions.outside.replaying import Commit, Write, own_commits, replay


class Way(enum.Enum):
    """How a branch takes in what it follows."""

    MERGE = "merge"
    REBASE = "rebase"  # its own commits are replayed: only sessions, and only where nobody else has them


class Result(enum.StrEnum):
    """What becomes of a branch."""

    SYNCED = "synced"
    UP_TO_DATE = "up-to-date"
    LEFT = "left"  # as it is: the reason says why
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One branch that is to follow another, and what becomes of it: why, with which files, and the cure.

    It is a session's, or (`session` is None) a feature's; `look` is of the session that has it checked out. `tip` is
    where it stood, `onto` where `follows` did, which was found as `source`; `found` says that in words. `own` commits
    are its own, `comes` would come, `changed` files change, in `worktree`. `head` is the commit that it moves to, once
    that is made. `late` is what was only found out when it should have moved.
    """

    branch: BranchName
    follows: BranchName
    source: str
    found: str
    way: Way = Way.MERGE
    feature: str | None = None
    session: Session | None = None
    look: Look | None = None
    result: Result = Result.SYNCED
    tip: Oid | None = None
    onto: Oid | None = None
    own: int = 0
    comes: int = 0
    changed: int = 0
    worktree: Path | None = None
    head: Oid | None = None
    reason: str = ""
    code: str | None = None
    files: tuple[str, ...] = ()
    cure: str | None = None
    late: bool = False

    @property
    def name(self) -> str:
        return self.session.name if self.session else self.branch


class Note(NamedTuple):
    """What was found on the way and is worth a word, and the command that helps."""

    says: str
    cure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What would be done, or was: what becomes of each branch, and the operation that moved some, if one did.

    `by_name` tells whether the user named them all, `next` is the command that goes on.
    """

    rows: tuple[Row, ...]
    by_name: bool
    notes: tuple[Note, ...] = ()
    operation: str | None = None
    next: str | None = None

    def having(self, result: Result) -> tuple[Row, ...]:
        """Return the branches that met with that."""
        return tuple(row for row in self.rows if row.result is result)

    @property
    def refusal(self) -> WtsError | None:
        """Why nothing moves and nothing conflicts; None when something does."""
        if self.having(Result.SYNCED) or self.having(Result.CONFLICT):
            return None
        left = self.having(Result.LEFT)
        if not left:
            hint = self.notes[0].cure if self.notes else "wts list"
            return NothingToDo("nothing-to-sync", self._up_to_date(), hint=hint)
        refuses = Refused if self.by_name and len(left) == len(self.rows) else NothingToDo
        if len(left) > 1:
            says = f"none of {counted(len(left), 'branch', 'branches')} can follow now; nothing was moved"
            return refuses("nothing-to-sync", says, hint="wts list")
        (row,) = left
        says = f"{row.name} is left as it is: {row.reason}"
        return refuses(row.code or "left", says, hint=row.cure, session=row.session and row.session.name)

    def _up_to_date(self) -> str:
        if not self.by_name:
            return "; ".join(["no session is behind its parent", *(note.says for note in self.notes)])
        told = {f"{row.name} has all of {row.found}" for row in self.rows}
        return told.pop() if len(told) == 1 else "none of them is behind"


# -- the plan: sessions ----------------------------------------------------------------------------


def plan(project: Project, targets: Sequence[str], way: Way) -> Synced:
    """Return what comes of bringing each session's parent into it; nothing is written that stays.

    Without targets it is about every session that is behind its parent, or of which that can't be told.
    """
    named = {found.id: found for found in (find_session(project, target) for target in targets)}
    sessions = list(named.values()) or project.store.load_all()[0]
    branches = Branches(project)
    notes = tuple(_fresher(branches, sessions))
    looks = [one for one in look_at(project, sessions) if targets or one.behind != 0]
    if not looks:
        return Synced(rows=(), by_name=False, notes=notes)
    merging.refuse_nobody(project.git)
    looks.sort(key=lambda one: (one.session.parent, one.session.number))
    with merging.quarantine(project.git) as git:
        rows = tuple(_plan_session(project, git, branches, look, way) for look in looks)
    return Synced(rows=rows, by_name=bool(targets), notes=notes)


def _plan_session(project: Project, git: Git, branches: Branches, look: Look, way: Way) -> Row:
    session = look.session
    row = Row(
        branch=session.branch,
        follows=session.parent,
        source=session.parent,
        found=session.parent,
        way=way,
        session=session,
        look=look,
        tip=branches.local.get(full(session.branch)),
        onto=branches.local.get(full(session.parent)),
    )
    if row.onto is None:
        cure = f"git branch {quoted(session.parent)} {session.base[:10]}"
        return _left(row, Blocker("no-parent", f"{session.parent} is gone", cure))
    return _forecast(project, git, row)


def _fresher(branches: Branches, sessions: Iterable[Session]) -> Iterable[Note]:
    """Tell of parents that a remote is ahead of: sessions follow the local one, which they come home to."""
    for parent in dict.fromkeys(session.parent for session in sessions):
        start, local = branches.start_of(parent), branches.local.get(full(parent))
        if start is not None and local is not None and start.oid != local:
            cure = f"wts sync --feature {quoted(parent)} --base {quoted(parent)}"
            yield Note(_words(start), cure)


def _words(start: Start) -> str:
    """origin/main, 2 commits ahead of main -> origin/main is 2 commits ahead of main."""
    name, _, ahead = start.found.partition(", ")
    return f"{name} is {ahead}"


# -- the plan: features ----------------------------------------------------------------------------


def plan_features(project: Project, names: Sequence[str], base: str | None) -> Synced:
    """Return what comes of bringing its base into each feature's branch; without `base` it is the default branch."""
    branches = Branches(project)
    sessions = project.store.load_all()[0]
    targets = dict.fromkeys(_target(project, branches, sessions, name) for name in names)
    follows, start = _base(branches, base)
    merging.refuse_nobody(project.git)
    with merging.quarantine(project.git) as git:
        rows = []
        for feature, branch in targets:
            owner = [session for session in sessions if session.branch == branch]
            row = Row(
                branch=branch,
                follows=follows,
                source=start.found.partition(", ")[0],
                found=start.found,
                feature=feature,
                look=look_at(project, owner)[0] if owner else None,
                tip=branches.local.get(full(branch)),
                onto=start.oid,
            )
            rows.append(_forecast(project, git, row))
    follows_on = {branch for _, branch in targets} & {session.parent for session in sessions}
    return Synced(rows=tuple(rows), by_name=True, next="wts sync" if follows_on else None)


def _target(
    project: Project, branches: Branches, sessions: Sequence[Session], name: str
) -> tuple[str, BranchName]:
    """Return the feature that a name means, and its branch."""
    for session in sessions:
        if name in (session.feature, session.parent):
            return session.feature, session.parent
    prefix = project.settings.branch_prefix
    for branch in (BranchName(prefix + name), BranchName(name)):
        if full(branch) in branches.local:
            return branch.removeprefix(prefix), branch
    raise WtsError("no-feature", f"there is no feature {name}", hint="wts list")


def _base(branches: Branches, asked: str | None) -> tuple[BranchName, Start]:
    """Return what a feature follows, and its freshest tip, local or of a remote."""
    branch = branches.default() if asked is None else BranchName(asked)
    start = branches.start_of(branch)
    if start is None and (oid := branches.remote.get(Ref(f"refs/remotes/{asked}"))):
        start = Start(oid, branch)
    if start is None:
        raise UsageError("no-base", f"--base {asked} names no branch", hint="git branch --list --all")
    return branch, start


# -- what comes of it ------------------------------------------------------------------------------


def _forecast(project: Project, git: Git, row: Row) -> Row:
    """Return what becomes of a branch, for a git whose new objects are thrown away."""
    if row.tip is None:
        return _left(row, Blocker("gone", f"branch {row.branch} is gone", "wts doctor"))
    assert row.onto is not None
    own, comes = git.ahead_behind(row.onto, row.tip)
    row = dataclasses.replace(row, own=own, comes=comes)
    if comes == 0:
        return dataclasses.replace(row, result=Result.UP_TO_DATE)
    try:
        blocker = _blocker(project, git, row)
        return _left(row, blocker) if blocker else _tried(project, git, row)
    except Refused as refused:
        return _left_by(row, refused)
    except WtsError as error:
        return _left(row, Blocker("unknown", f"what comes of it is unknown: {error.message}", "wts doctor"))


def _blocker(project: Project, git: Git, row: Row) -> Blocker | None:
    """Return the first thing that keeps a branch where it is, before anything is tried."""
    assert row.tip is not None
    assert row.onto is not None
    if row.look and (busy := _busy(row.look)):
        return busy
    if row.look and (paths := hidden_changes(project.git_at(row.look.session))):
        return hidden(row.look.session, paths)
    if merging.merge_base(git, row.onto, row.tip) is None:
        says = f"it has no history in common with {row.source}"
        return Blocker("no-base", says, f"git log {quoted(row.branch)}")
    return _held_by_others(git, row) if row.way is Way.REBASE and row.own else None


def _busy(look: Look) -> Blocker | None:
    """Return what keeps others from moving a session's files: the first of it in full."""
    blockers = in_use(look)
    if len(blockers) < 2:
        return next(iter(blockers), None)
    return blockers[0]._replace(message=f"{blockers[0].message}; {len(blockers) - 1} more")


def _held_by_others(git: Git, row: Row) -> Blocker | None:
    """Return why a session's commits may not be replaced by copies: a remote, or another branch, has some of them."""
    rows = [
        line.split()
        for line in git.line("rev-list", "--parents", f"{row.onto}..{row.tip}", "--").splitlines()
    ]
    own = {commit for commit, *_ in rows}
    lowest = [commit for commit, *parents in rows if own.isdisjoint(parents)]  # who has any has one of these
    words = ("for-each-ref", "--format=%(refname)", *(f"--contains={commit}" for commit in lowest))
    holders = git.line(*words, "refs/heads", "refs/remotes").splitlines()
    others = [ref for ref in holders if ref != full(row.branch) and not ref.endswith("/HEAD")]
    pushed = [ref.removeprefix("refs/remotes/") for ref in others if ref.startswith("refs/remotes/")]
    cure = f"to merge instead: wts sync {row.session.number}" if row.session else None
    if pushed:
        says = f"some of its commits were pushed, {listed(pushed)} has them: they are not rewritten"
        return Blocker("pushed", says, cure)
    if others:
        stands = listed([short(Ref(ref)) for ref in others])
        return Blocker("stacked", f"{stands} stands on its commits: they are not rewritten", cure)
    return None


def _tried(project: Project, git: Git, row: Row) -> Row:
    """Return what comes of it, and whether the worktree could follow."""
    brought = _bring_in(git, row, merging.commit_draft, lambda: "draft")
    if brought.head is None:
        return _stopped(project, row, brought)
    worktree = moving.check(project, full(row.branch), row.tip, brought.head, git=git).worktree
    assert row.tip is not None
    changed = len(merging.touched(git, row.tip, brought.head))
    return dataclasses.replace(row, own=brought.own, changed=changed, worktree=worktree)


class Brought(NamedTuple):
    """The commit that a branch can move to; None where it stopped: what came of the merge, of which commit's copy.

    `own` is how many commits of its own are in it: with a rebase, how many were copied.
    """

    head: Oid | None
    own: int
    stopped: Merged | None = None
    at: Commit | None = None


def _bring_in(git: Git, row: Row, write: Write, message: Callable[[], str]) -> Brought:
    """Make the commit that a branch moves to when what it follows comes into it: the one place that decides on it.

    Without anything of its own it just moves on. `write` makes commits, `message` says what a merge is called. A merge
    is made by the attributes of the branch, as in its worktree. What comes in may hold some of the branch already,
    landed as other commits: it comes in as if it held the branch's own (`anchors`).
    """
    assert row.tip is not None
    assert row.onto is not None
    if row.own == 0:
        return Brought(row.onto, 0)
    onto = anchors.dressed(git, row.onto, [row.tip], anchors.holding(git, row.onto))
    if row.way is Way.REBASE:
        own = own_commits(git, onto, row.tip)
        replayed = replay(git, own, row.onto, write=write)
        at, stopped = replayed.stopped or (None, None)
        return Brought(replayed.head, len(own), stopped, at)
    with merging.attributes_of(git, row.tip) as place:
        merged = merging.merge(git, place, row.tip, onto)
    if merged.tree is None:
        return Brought(None, row.own, merged)
    return Brought(write(git, merged.tree, [row.tip, row.onto], message(), None), row.own)


def _stopped(project: Project, row: Row, brought: Brought) -> Row:
    assert brought.stopped is not None
    if brought.stopped.outcome is Outcome.UNKNOWN:
        says = f"what comes of it is unknown: {brought.stopped.why}"
        return _left(row, Blocker("unknown", says, _by_hand(project, row)))
    subject = brought.at.message.splitlines()[0] if brought.at and brought.at.message else None
    where = f", at its commit {brought.at.oid[:9]} {subject or ''}".rstrip() if brought.at else ""
    return dataclasses.replace(
        row,
        result=Result.CONFLICT,
        reason=f"conflicts with {row.source}{where}",
        code="conflict",
        files=brought.stopped.files,
        cure=f"wts resolve {row.session.number}" if row.session else _by_hand(project, row),
    )


def _by_hand(project: Project, row: Row) -> str:
    """Return the commands that bring it in where a human decides."""
    there = next((one.path for one in project.git.worktrees() if one.branch == full(row.branch)), None)
    merge = f"git -C {quoted(there or project.home)} merge {quoted(row.source)}"
    return merge if there else f"git -C {quoted(project.home)} switch {quoted(row.branch)} && {merge}"


def _left(row: Row, blocker: Blocker) -> Row:
    return dataclasses.replace(
        row, result=Result.LEFT, reason=blocker.message, code=blocker.code, cure=blocker.cure
    )


def _left_by(row: Row, refused: Refused) -> Row:
    """Return a branch that is left because its worktree can't follow, or a hook does not let it."""
    reason = refused.message.removeprefix(f"{row.branch} can't move: ")
    left = _left(row, Blocker(refused.code, reason, refused.hint))
    return dataclasses.replace(left, files=refused.details)


# -- carried out -----------------------------------------------------------------------------------


def carry_out(project: Project, planned: Synced) -> Synced:
    """Move what was planned to move, all in one operation; who is no longer as it was then is left, and told.

    Raises WtsError when git or the signer fails, Refused when a branch can't move at the last moment: then none has.
    """
    rows = planned.rows
    with kept_from_gc(project) as keep:
        rows = tuple(_made(project, row) for row in rows)
        keep([row.head for row in rows if row.head])
        found: list[Row] = []
        operation = None
        if any(row.head for row in rows):
            try:
                operation = operate.carry_out(project, functools.partial(_operation, project, rows, found)).id
            except NothingToDo:
                operation = None
        now = {row.branch: row for row in found}
    rows = tuple(now.get(row.branch, row) for row in rows)
    return dataclasses.replace(planned, rows=rows, operation=operation)


def _made(project: Project, row: Row) -> Row:
    """Return a row that is to move with its commit, by its real message and signature."""
    if row.result is not Result.SYNCED:
        return row
    try:
        brought = _bring_in(project.git, row, merging.commit_merge, lambda: _message(project, row))
    except Refused as refused:
        return dataclasses.replace(_left_by(row, refused), late=True)
    if brought.head is None:
        raise WtsError("unproved", f"{row.name} came out otherwise than planned", hint="wts sync --dry-run")
    return dataclasses.replace(row, head=brought.head)


def _message(project: Project, row: Row) -> str:
    """Return a merge's message as git words it, `merge.log` and its like included; the `commit-msg` hook has its say.

    git looks at HEAD for the log, so a branch that is checked out nowhere goes without.
    """
    there = row.worktree if row.worktree and row.worktree.is_dir() else None
    git = at_top(there) if there else project.git
    ref = full(BranchName(row.source))
    kind = "branch" if row.session or ref in project.git.refs(ref) else "remote-tracking branch"
    words = ("fmt-merge-msg", *([] if there else ["--no-log"]), "--into-name", row.branch)
    text = git.line(*words, stdin=f"{row.onto}\t\t{kind} '{row.source}' of .\n".encode())
    return through_commit_msg(
        git, f"{text}\n", what=f"the merge into {row.branch}", hint="see the hook, then wts sync again"
    )


def _operation(project: Project, rows: Sequence[Row], found: list[Row]) -> Plan:
    """Return the steps that move what may move still; `found` is told what became of each."""
    found += _look_again(project, [row for row in rows if row.head])
    moves = [row for row in found if row.result is Result.SYNCED]
    if not moves:
        raise NothingToDo("nothing-to-sync", "nothing is as it was planned any more")
    names = listed([row.name for row in moves])
    return Plan(verb="sync", session=names, steps=tuple(_step(row) for row in moves))


def _step(row: Row) -> Step:
    follows = f", and {row.worktree} with it" if row.worktree else ""
    says = f"bring {row.source} into {row.branch}{follows}"
    return moving.move_branch(full(row.branch), row.tip, row.head, row.worktree, says)


def _look_again(project: Project, rows: Sequence[Row]) -> list[Row]:
    """Return who may move still; who has moved, begun to work or changed a file since the plan is left.

    Claude is not asked here, where the lock is held: its events and its registry tell.
    """
    looks = [row.look for row in rows if row.look]
    sessions = [look.session for look in looks]
    facts = facts_of(project, sessions)
    asked = ask_states(project, sessions, quick=True)
    fresh = {
        look.session.id: look._replace(
            now=told.now, status=fact.status, problem=fact.problem, operation=fact.operation
        )
        for look, fact, told in zip(looks, facts, asked, strict=True)
    }
    branches = Branches(project)
    return [_again(project, branches, row, row.look and fresh[row.look.session.id]) for row in rows]


def _again(project: Project, branches: Branches, row: Row, look: Look | None) -> Row:
    blocker = _moved(project, branches, row) or (_busy(look) if look else None)
    if blocker:
        return dataclasses.replace(_left(row, blocker), late=True)
    try:
        worktree = moving.check(project, full(row.branch), row.tip, row.head).worktree
    except Refused as refused:
        return dataclasses.replace(_left_by(row, refused), late=True)
    return dataclasses.replace(row, worktree=worktree)


def _moved(project: Project, branches: Branches, row: Row) -> Blocker | None:
    """Return that a branch, or what it follows, does not stand where it stood in the plan."""
    if row.session:
        again = f"wts sync {row.session.number}"
        current = project.store.load(row.session.name)
        if current is None or current.id != row.session.id:
            return Blocker("gone", "it was closed since the plan was made", "wts list")
        onto = branches.local.get(full(row.follows))
    else:
        again = f"wts sync --feature {quoted(row.feature)} --base {quoted(row.follows)}"
        start = branches.start_of(row.follows)
        onto = start.oid if start else branches.remote.get(Ref(f"refs/remotes/{row.follows}"))
    for name, stood, stands in (
        (row.branch, row.tip, branches.local.get(full(row.branch))),
        (row.source, row.onto, onto),
    ):
        if stood != stands:
            return Blocker("moved", f"{name} has moved since the plan was made", again)
    return None
