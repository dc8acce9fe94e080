"""Who may be merged now, and what a human says of it: ready as it is now, or held back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from worktree_sessions.actions.listing import look_at_one, with_commits
from worktree_sessions.actions.project import Project
from worktree_sessions.actions.target import find_again
from worktree_sessions.errors import Refused, UsageError, WtsError
from worktree_sessions.model.readiness import Readiness, hidden, verdict
from worktree_sessions.model.session import Blocker, Look, Session
from worktree_sessions.model.words import quoted
from worktree_sessions.outside import locks
from worktree_sessions.outside.git import Oid, full

if TYPE_CHECKING:
    from worktree_sessions.actions.landed import Homes, Landing


def closely(project: Project, look: Look) -> Readiness:
    """Return whether a session may be merged now, looked at as closely as `readiness` does."""
    return readiness(project, [look])[look.session.name]


def readiness(
    project: Project, looks: Sequence[Look], *, landed_among: Homes | None = None
) -> dict[str, Readiness]:
    """Return by name who may be merged now.

    It looks closer than `wts list` at who seems ready: for changes that git was told not to see, and for content that
    came home in other commits, anywhere or among the homes given. A probe that fails is a blocker.
    """
    found = {look.session.name: verdict(look) for look in looks}
    seems = [
        look.session
        for look in looks
        if all(blocker.code == "landed" for blocker in found[look.session.name].blockers)
    ]
    hidden_ones = _hidden(project, seems)
    rest = [session for session in seems if session.name not in hidden_ones]
    landed_ones = _landed(project, rest, landed_among)
    return {
        name: one._replace(blockers=(blocker,)) if (blocker := (hidden_ones | landed_ones).get(name)) else one
        for name, one in found.items()
    }


def _hidden(project: Project, sessions: Sequence[Session]) -> dict[str, Blocker]:
    """Return by name the sessions with changes that git was told not to see."""
    from worktree_sessions.actions.snapshot import hidden_changes_of_all

    found = {}
    gits = [project.git_at(session) for session in sessions]
    for session, paths in zip(sessions, hidden_changes_of_all(gits), strict=True):
        if isinstance(paths, WtsError):
            found[session.name] = _not_looked_at(paths)
        elif paths:
            found[session.name] = hidden(session, paths)
    return found


def _not_looked_at(error: WtsError) -> Blocker:
    return Blocker("unknown", f"it could not be looked at: {error}", "wts doctor")


def _landed(project: Project, sessions: Sequence[Session], among: Homes | None) -> dict[str, Blocker]:
    """Return by name the sessions that came home already, never had anything to bring, or were taken back there."""
    from worktree_sessions.actions.landed import Homes, find_landings

    try:
        landings = find_landings(project, sessions, among=among or Homes.ALL)
    except WtsError as error:
        return {session.name: _not_looked_at(error) for session in sessions}
    blockers = {
        session.name: _not_looked_at(landing) if isinstance(landing, WtsError) else _home(session, landing)
        for session, landing in zip(sessions, landings, strict=True)
    }
    return {name: blocker for name, blocker in blockers.items() if blocker}


def _home(session: Session, landing: Landing) -> Blocker | None:
    from worktree_sessions.actions.landed import Landed

    if landing.how is Landed.NO:
        return None
    if landing.how is Landed.EMPTY:
        return Blocker("empty", landing.says, f"wts open {session.number}")
    if landing.how is Landed.REVERTED:
        return Blocker("reverted", landing.says, f"git log {quoted(landing.where)}")
    return Blocker("landed", landing.says, f"wts close {quoted(session.name)}")


# -- what a human says -----------------------------------------------------------------------------


def mark(project: Project, session: Session, after: tuple[str, ...] | None = None) -> Session:
    """Mark the session as ready at the commit it is on, and hold it back no longer; return it as it is now.

    `after` names the sessions that come home before it; None leaves them as they are. Raises Refused with everything
    that a mark can't overrule.
    """
    if session.name in (after or ()):
        raise UsageError("usage", f"{session.name} can't come home after itself", session=session.name)
    _refuse_circle(project, session, after or ())
    look = look_at_one(project, session)
    tip = look.status.head if look.status else None
    wanted = session._replace(ready=tip, hold=None, after=session.after if after is None else after)
    (would_be,) = with_commits(project, [look._replace(session=wanted)])
    found = closely(project, would_be)
    if not found.ready:
        raise Refused(
            found.blockers[0].code,
            f"{session.name} can't be ready yet, nothing was changed",
            details=tuple(line for blocker in found.blockers for line in lines(blocker)),
            hint=found.blockers[0].cure,
            session=session.name,
        )
    return _change(project, session, "wts ready", lambda current: _marked(project, current, wanted))


def _refuse_circle(project: Project, session: Session, after: tuple[str, ...]) -> None:
    """Raise UsageError when a session would come after one that comes after it."""
    others = {one.name: one.after for one in project.store.load_all()[0]}
    seen: set[str] = set()
    waiting = list(after)
    while waiting:
        name = waiting.pop()
        if session.name in others.get(name, ()):
            raise UsageError(
                "after-circle",
                f"{name} comes after {session.name} already",
                hint=f"wts ready {quoted(name)} --after-nobody",
                session=session.name,
            )
        waiting += [one for one in others.get(name, ()) if one not in seen]
        seen.update(others.get(name, ()))


def lines(blocker: Blocker) -> list[str]:
    """Return a blocker in words: what is missing, and the command that cures it."""
    return [blocker.message, *([f"    {blocker.cure}"] if blocker.cure else [])]


def _marked(project: Project, current: Session, wanted: Session) -> Session:
    if _tip(project, current) != wanted.ready:
        raise Refused(
            "moved",
            f"{current.branch} moved just now, nothing was changed",
            hint=f"wts ready {current.number}",
            session=current.name,
        )
    return current._replace(ready=wanted.ready, hold=None, after=wanted.after)


def hold(project: Project, session: Session, reason: str | None) -> Session:
    """Hold the session back, for a reason that may be empty, or no longer (None); return it as it is now."""

    def held(current: Session) -> Session:
        return current._replace(hold=reason, ready=current.ready if reason is None else None)

    return _change(project, session, "wts hold", held)


def toggle_mark(project: Project, session: Session) -> Session:
    """Mark the session as ready at the commit its branch is on, or take that mark back; return it as it is now.

    The mark is bound to that commit, and says nothing of a later one. Raises Refused when the branch is gone.
    """

    def toggled(current: Session) -> Session:
        tip = _tip(project, current)
        return current._replace(ready=None if current.ready == tip else tip)

    return _change(project, session, "wts watch", toggled)


def _tip(project: Project, session: Session) -> Oid:
    tip = project.git.resolve(full(session.branch))
    if tip is None:
        raise Refused("gone", f"branch {session.branch} is gone", hint="wts doctor", session=session.name)
    return tip


def _change(project: Project, session: Session, command: str, make: Callable[[Session], Session]) -> Session:
    """Write the record anew under the lock, from what it holds by then."""
    with locks.writing(project.store.lock_file, command, timeout=project.settings.lock_timeout):
        changed = make(find_again(project, session))
        project.store.save(changed)
    return changed
