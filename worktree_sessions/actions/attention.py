"""Who needs the user, in order, and how the user gets there: `wts next`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from worktree_sessions.actions import start
from worktree_sessions.actions.asking import Asked, ask_states
from worktree_sessions.actions.project import Project
from worktree_sessions.actions.start import Started, Way
from worktree_sessions.errors import NothingToDo, Refused
from worktree_sessions.model.session import Session, State
from worktree_sessions.model.told import Kind

BROKEN = (State.FAILED, State.LIMITED)


class Caller(NamedTuple):
    """A session that wants the user, and what is known of it."""

    session: Session
    asked: Asked

    @property
    def since(self) -> float:
        """When it began to, in Unix seconds; 0 when that is not known."""
        return self.asked.now.since or 0.0

    @property
    def was_looked_at(self) -> bool:
        """Whether the user has gone to it since."""
        return self.asked.told.looked >= self.since


class Gone(NamedTuple):
    """Where the user was brought: `way` and `command` as in `Started`; `says` what is to be known."""

    way: Way | None
    command: str | None
    says: str


def queue(project: Project, *, done: bool = False) -> list[Caller]:
    """Return the sessions that need the user, who comes next first; raise NothingToDo when none does.

    Those that nobody has gone to since they began to wait come first, the longest waiting foremost; then the others,
    the longest not looked at foremost, so that it goes round. With `done`, those follow that nobody has gone to since
    they broke, and since they ended a turn.
    """
    sessions, _ = project.store.load_all()
    callers = [Caller(*pair) for pair in zip(sessions, ask_states(project, sessions), strict=True)]
    waiting = [one for one in callers if one.asked.now.state is State.WAITING]
    ended = [one for one in callers if done and not one.was_looked_at and one not in waiting]
    found = (
        sorted(waiting, key=_turn)
        + _longest_first([one for one in ended if one.asked.now.state in BROKEN])
        + _longest_first([one for one in ended if _has_ended_a_turn(one)])
    )
    if not found:
        also = ", and none has broken or ended a turn since you looked" if done else ""
        raise NothingToDo("nobody-waits", f"no session needs you{also}", hint="wts list")
    return found


def _turn(caller: Caller) -> tuple[bool, float]:
    return caller.was_looked_at, caller.asked.told.looked if caller.was_looked_at else caller.since


def _longest_first(callers: Sequence[Caller]) -> list[Caller]:
    return sorted(callers, key=lambda one: one.since)


def _has_ended_a_turn(caller: Caller) -> bool:
    stop = caller.asked.told.own().kinds.get(Kind.STOP)
    return caller.asked.now.state is State.IDLE and stop is not None and stop.at == caller.since


def go(project: Project, session: Session) -> Gone:
    """Bring the user to a session, which is written down.

    Its Claude may run in a terminal that can't be reached from here, or not at all: then it is said where, and how to
    go on.
    """
    try:
        started: Started | None = start.go_to(project, session)
    except Refused as error:
        start.note_look(project, session)
        return Gone(None, None, f"{error.message}: {error.hint}")
    if started is None:
        start.note_look(project, session)
        return Gone(Way.COMMAND, f"wts open {session.number}", "its Claude does not run")
    return Gone(started.way, started.next, started.says)
