"""`wts resolve`: the parent is merged into a session in its own worktree, and its Claude is to settle the conflict.

It is done only where nothing is lost by it: in a clean worktree whose Claude rests. What is left there is an open
`git merge`, as if somebody had typed it, which `git merge --abort` takes back; no branch moves. The brief is written
down with it, in the same operation, so that no merge is open of which nobody is told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from worktree_sessions.actions import briefing, messages, opening, operate, sending, steps
from worktree_sessions.actions.briefing import Merge
from worktree_sessions.actions.heldback import BRIEF
from worktree_sessions.actions.listing import look_at_one
from worktree_sessions.actions.project import Project
from worktree_sessions.actions.readiness import lines
from worktree_sessions.actions.sending import How, Sent
from worktree_sessions.actions.target import find_again
from worktree_sessions.errors import NothingToDo, Refused, WtsError
from worktree_sessions.model.operation import Plan
from worktree_sessions.model.readiness import in_use
from worktree_sessions.model.session import Look, Session
from worktree_sessions.model.words import counted, quoted
from worktree_sessions.outside import anchors, merging
from worktree_sessions.outside.git import BranchName, Git, Oid, full
from worktree_sessions.outside.merging import Layout, Merged, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What is to be resolved in a session: the merge, the sessions on its other side that touched the same files.

    `operation` is the id of the journal, None for a dry run.
    """

    session: Session
    merge: Merge
    rivals: tuple[str, ...]
    brief: str
    plan: Plan
    operation: str | None = None


def plan_resolve(project: Project, session: Session) -> Resolution:
    """Look and decide; nothing is written, not even objects.

    Raises Refused when somebody or something is at work in the worktree or a file is in the way, NothingToDo when the
    parent has nothing new, or merges without a conflict.
    """
    look = _look(project, session)
    with merging.quarantine(project.git_at(session)) as git:
        return _plan(project, git, look)


def resolve(project: Project, session: Session) -> Resolution:
    """Open the merge in the session's worktree and write its brief down."""
    plan_resolve(project, session)  # what is refused here has not even written an object
    done: list[Resolution] = []

    def planned() -> Plan:
        look = _look(project, find_again(project, session))
        done.append(_plan(project, project.git_at(session), look))
        return done[-1].plan

    operation = operate.carry_out(project, planned)
    project.git_at(session).ask("rerere")  # as `git merge` ends, where the user has it
    return replace(done[-1], operation=operation.id)


def tell(project: Project, resolution: Resolution) -> Sent:
    """Give the brief to a Claude that runs: typed where that can be done, else it stays kept for the next start."""
    session = resolution.session
    kept = messages.beginning_with(project, session, resolution.brief)
    try:
        sent = sending.send(project, session, resolution.brief)
    except WtsError as error:
        says = f"kept for its next start: {error.message}"
        return Sent(How.KEPT, says, next=f"wts open {session.number}")
    messages.forget(kept)
    return sent


# -- may it? ---------------------------------------------------------------------------------------


def _look(project: Project, session: Session) -> Look:
    """Return the session as it is; raise Refused, with every reason and its cure, when it can't be touched."""
    look = look_at_one(project, session)
    blockers = in_use(look)
    if blockers:
        raise Refused(
            blockers[0].code,
            f"{session.parent} is not merged into {session.name}, nothing was changed",
            details=tuple(line for blocker in blockers for line in lines(blocker)),
            hint=blockers[0].cure,
            session=session.name,
        )
    if look.behind is None:
        raise Refused("unknown", look.problem or "unknown", hint="wts doctor", session=session.name)
    if not look.behind:
        says = f"{session.parent} has no commit that {session.name} lacks"
        raise NothingToDo("nothing-new", says, hint="wts list", session=session.name)
    return look


def _tips(git: Git, session: Session) -> tuple[Oid, Oid]:
    refs = git.refs(full(session.branch), full(session.parent))
    try:
        return refs[full(session.branch)], refs[full(session.parent)]
    except KeyError as gone:
        raise Refused("gone", f"{gone.args[0]} is gone", hint="wts doctor", session=session.name) from gone


def _merged(git: Git, session: Session, ours: Oid, onto: Oid) -> tuple[Merged, Layout]:
    """Return the conflict of two commits, in the words of `git merge PARENT`; raise NothingToDo when there is none."""
    name = _name(git, session.parent, onto)
    with merging.attributes_of(git, ours) as place:
        merged, layout = merging.lay_out(git, place, "HEAD", name)
    if (git.resolve("HEAD"), git.resolve(name)) != (ours, onto):
        says = f"{session.branch} or {session.parent} moved just now, nothing was changed"
        raise Refused("moved", says, hint=f"wts resolve {session.number}", session=session.name)
    if merged.outcome is Outcome.CLEAN:
        says = f"{session.parent} merges into {session.name} without a conflict: there is nothing to resolve"
        raise NothingToDo("no-conflict", says, hint=f"wts sync {session.number}", session=session.name)
    if layout is None:
        says = f"what comes of merging {session.parent} into {session.name} is unknown: {merged.why}"
        raise WtsError("unknown-merge", says, hint="wts doctor", session=session.name)
    return merged, layout


def _name(git: Git, parent: BranchName, commit: Oid) -> str:
    """Return what stands in the conflict markers: the branch, or a form of it that can mean no other commit.

    A tag may have the branch's name. The form is the one that `git describe` writes, and git reads.
    """
    return parent if git.resolve(parent) == commit else f"{parent}-0-g{commit}"


def _comes(git: Git, ours: Oid, theirs: Oid) -> Oid:
    """Return what is merged: the parent's tip, or a stand-in that knows what of the session landed squashed."""
    return anchors.dressed(git, theirs, [ours], anchors.holding(git, theirs))


# -- the plan --------------------------------------------------------------------------------------


def _plan(project: Project, git: Git, look: Look) -> Resolution:
    session = look.session
    ours, theirs = _tips(git, session)
    onto = _comes(git, ours, theirs)
    base = merging.merge_base(git, ours, onto)
    if base is None:
        says = f"{session.name} has no history in common with {session.parent}"
        raise Refused("no-base", says, hint=f"git log {quoted(session.branch)}", session=session.name)
    merged, layout = _merged(git, session, ours, onto)
    merge = Merge(session.parent, base, ours, theirs, merged.conflicts)
    left = merging.stand_in(git, layout.tree, [ours, theirs])
    opening.look(git, session, ours, left)
    text = briefing.brief(project, git, look, merge)
    files = counted(len(merge.files), "file")
    todo = (
        opening.begin_merge(
            session,
            ours,
            theirs,
            layout=layout,
            left=left,
            message=opening.message(git, session.parent, theirs, layout),
            says=f"merge {session.parent} at {theirs[:10]} in {session.worktree}, with {files} left in conflict",
        ),
        steps.keep_message(
            session,
            text,
            instead_of=(BRIEF, briefing.BEGINNING),
            says=f"leave the Claude of {session.name} the brief",
        ),
    )
    return Resolution(
        session=session,
        merge=merge,
        rivals=briefing.rivals(git, merge),
        brief=text,
        # from the brief on it is finished: the merge is open, and somebody may be at it
        plan=Plan(verb="resolve", session=session.name, steps=todo, lasts_from=1),
    )
