"""Whether a session may be merged now: a verdict from git's facts and its state, never an agent's claim. Pure.

Each condition that is missing is a blocker: a code, a sentence, the command that cures it. A human's mark (`wts ready`)
overrules what only says that the session is not idle, and only at the commit that was marked. Unknown blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from worktree_sessions.model import words
from worktree_sessions.model.session import MISSING, Blocker, Look, Session, Setup, State, StateNow

RESTING = (State.IDLE, State.ENDED, State.PARKED)

# What else a session may be doing: what that means for merging, and whether a mark overrules it.
BUSY: dict[State, tuple[str, bool]] = {
    State.STARTING: ("its Claude is just starting", False),
    State.WORKING: ("its Claude works", False),
    State.WAITING: ("its Claude needs you", True),
    State.BACKGROUND: ("background tasks of its Claude are left", True),
    State.LIMITED: ("its last turn ran into a limit", True),
    State.FAILED: ("its last turn failed", True),
    State.INTERRUPTED: ("its last turn was broken off", True),
    State.UNKNOWN: ("what its Claude does is unknown", False),
}

UNFINISHED = re.compile(r"(?P<fixup>(?:fixup|squash|amend)! )|\W*wip\b", re.IGNORECASE)


class Readiness(NamedTuple):
    """The verdict on one session: `since` is when its state began (Unix seconds), which is how long it has waited."""

    blockers: tuple[Blocker, ...]
    since: float

    @property
    def ready(self) -> bool:
        return not self.blockers


def verdict(look: Look) -> Readiness:
    """Return whether a session may be merged now, and all that keeps it from that."""
    since = look.session.created.timestamp() if look.now.since is None else look.now.since
    blockers = tuple(_outer(look))
    return Readiness(blockers or tuple(_commits(look)), since)


def needs_commits(look: Look) -> bool:
    """Return whether the verdict hangs on the subjects of its commits, and nobody has asked for them."""
    return look.unfinished is None and not any(_outer(look))


def names_of_ready(looks: Iterable[Look]) -> frozenset[str]:
    """Return the names of the sessions that may be merged now."""
    return frozenset(look.session.name for look in looks if verdict(look).ready)


def is_marked(look: Look) -> bool:
    """Return whether a human has said that the session is ready, and its branch has not moved since."""
    status = look.status
    return look.session.ready is not None and status is not None and status.head == look.session.ready


def in_use(look: Look) -> tuple[Blocker, ...]:
    """Return why nobody else may move the session's branch and files now: what is not committed, or who is at work.

    Only who rests is left alone by it. Neither a mark nor a hold has a say: both are about coming home.
    """
    setting_up = [one for one in _human(look.session) if look.session.setup is Setup.PENDING]
    blockers = [one for one in setting_up if one.code == "setup"] + list(_files(look))
    if look.now.state not in RESTING:
        verb = "why" if look.now.state is State.UNKNOWN else "open"
        blockers.append(Blocker(look.now.state.value, _busy(look.now), f"wts {verb} {look.session.number}"))
    return tuple(blockers)


def is_unfinished(subject: str) -> bool:
    """Return whether a commit of this subject is not meant to stay as it is."""
    return UNFINISHED.match(subject) is not None


def hidden(session: Session, paths: list[str]) -> Blocker:
    """Return the blocker of changes that git was told not to see (assume-unchanged, skip-worktree)."""
    count = words.counted(len(paths), "change")
    cure = (
        f"{_git(session)} update-index --no-assume-unchanged --no-skip-worktree -- {words.quoted(paths[0])}"
    )
    return Blocker("changed", f"{count} hidden from git status: {words.listed(paths)}", cure)


# -- what blocks -----------------------------------------------------------------------------------


def _outer(look: Look) -> Iterator[Blocker]:
    """Yield what blocks, but for the subjects of its commits."""
    yield from _human(look.session)
    yield from _files(look)
    yield from _branch(look)
    yield from _claude(look)


def _human(session: Session) -> Iterator[Blocker]:
    if session.hold is not None:
        reason = f": {session.hold}" if session.hold else ""
        yield Blocker("held", f"it is held back{reason}", f"wts hold {session.number} --off")
    name = words.quoted(session.name)
    match session.setup:
        case Setup.UNTRUSTED:
            yield Blocker("setup", "its set-up waits for approval", f"wts trust && wts setup {name}")
        case Setup.PENDING:
            yield Blocker("setup", "its set-up has not come to its end", f"wts setup {name}")
        case Setup.FAILED:
            yield Blocker("setup", "its set-up failed", f"wts setup {name}")


def _files(look: Look) -> Iterator[Blocker]:
    session, status = look.session, look.status
    if status is None:
        cure = f"wts restore {words.quoted(session.name)}" if look.problem == MISSING else "wts doctor"
        yield Blocker("missing" if look.problem == MISSING else "unknown", look.problem or "unknown", cure)
        return
    commit = f"{_git(session)} add -A && {_git(session)} commit"
    if status.unmerged:  # `add -A` would take the markers for a resolution
        commit = f"wts open {session.number}"
    for code, says, paths in (
        ("conflicted", "in conflict", status.unmerged),
        ("changed", "changed", status.changed),
        ("untracked", "untracked", status.untracked),
    ):
        if paths:
            yield Blocker(code, f"{len(paths)} {says}: {words.listed(paths)}", commit)
    if look.operation is not None:
        ends = "reset" if look.operation == "bisect" else "--continue"
        says = f"a {look.operation} is under way in its worktree"
        yield Blocker("open-operation", says, f"{_git(session)} {look.operation} {ends}")
    if status.branch != session.branch:
        says = f"HEAD is on {status.branch}" if status.branch else "HEAD is detached"
        cure = f"{_git(session)} switch {words.quoted(session.branch)}"
        yield Blocker("wrong-branch", f"{says}, not on {session.branch}", cure)


def _branch(look: Look) -> Iterator[Blocker]:
    session = look.session
    if look.ahead is None:
        if look.status is not None:
            yield Blocker("unknown", look.problem or "its commits can't be counted", "wts doctor")
    elif look.landed:
        close = f"wts close {words.quoted(session.name)}"
        yield Blocker("landed", f"all of it is in {session.parent}", close)
    elif not look.ahead:
        yield Blocker("empty", "it has no commit of its own", f"wts open {session.number}")


def _claude(look: Look) -> Iterator[Blocker]:
    state = look.now.state
    if state in RESTING:
        return
    can_be_overruled = BUSY[state][1]
    if can_be_overruled and is_marked(look):
        return
    number = look.session.number
    goes_on = state in (State.STARTING, State.WORKING, State.WAITING)
    cure = (
        f"wts open {number}"
        if goes_on
        else f"wts ready {number}"
        if can_be_overruled
        else f"wts why {number}"
    )
    yield Blocker(state.value, _busy(look.now), cure)


def _busy(now: StateNow) -> str:
    says = BUSY[now.state][0]
    return f"{says}: {now.reason}" if now.reason else says


def _commits(look: Look) -> Iterator[Blocker]:
    if look.unfinished is None:
        yield Blocker("unknown", "its commits can't be read", "wts doctor")
        return
    fixups = [subject for subject in look.unfinished if _is_fixup(subject)]
    others = [subject for subject in look.unfinished if not _is_fixup(subject)]
    rebase = f"{_git(look.session)} rebase -i --autosquash --keep-base {words.quoted(look.session.parent)}"
    for code, noun, subjects in (("fixup", "fixup commit", fixups), ("wip", "unfinished commit", others)):
        if subjects:
            yield Blocker(code, f"{words.counted(len(subjects), noun)}: {words.listed(subjects)}", rebase)


def _is_fixup(subject: str) -> bool:
    found = UNFINISHED.match(subject)
    return found is not None and found["fixup"] is not None


def _git(session: Session) -> str:
    return f"git -C {words.quoted(session.worktree)}"
