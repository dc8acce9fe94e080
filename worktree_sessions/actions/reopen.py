"""Every session at once, after a reboot: `wts open --all`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from worktree_sessions.actions import launch, start
from worktree_sessions.actions.asking import ask_state, ask_states, running_claude
from worktree_sessions.actions.project import Project
from worktree_sessions.actions.start import Place
from worktree_sessions.errors import NothingToDo, WtsError
from worktree_sessions.model.session import Session, State

AT_ONCE = 2
EVERY = 0.1  # seconds between two looks


class Reopened(NamedTuple):
    """What came of opening one session: an error, None when its Claude runs."""

    session: Session
    error: WtsError | None


def find_parked(project: Project) -> list[Session]:
    """Return the sessions whose Claude does not run, by number; raise NothingToDo when there is none."""
    sessions, _ = project.store.load_all()
    states = [asked.now.state for asked in ask_states(project, sessions)]
    found = [
        session
        for session, state in zip(sessions, states, strict=True)
        if state in (State.PARKED, State.ENDED)
        or (state is State.FAILED and running_claude(project, session) is None)
    ]
    if not found:
        raise NothingToDo(
            "nothing-parked", "there is no session in which Claude does not run", hint="wts list"
        )
    return found


def place_for_many(project: Project) -> Place:
    """Return where several Claudes are started: in the background where that is set, else in tmux windows."""
    return Place.BACKGROUND if project.settings.start == Place.BACKGROUND else Place.TMUX


def open_all(
    project: Project,
    sessions: Sequence[Session],
    place: Place,
    *,
    tell: Callable[[Reopened], None] = lambda _: None,
    settle: float = 20,
    pause: float = 3,
) -> list[Reopened]:
    """Start Claude in each session, two at a time, and tell of each what came of it; one that fails stops no other.

    The next two follow once both have begun, at most `settle` seconds later, and after `pause` seconds. Raises WtsError
    when Claude is missing.
    """
    launch.find_claude(project)
    done: list[Reopened] = []
    for first in range(0, len(sessions), AT_ONCE):
        if first:
            time.sleep(pause)
        some = sessions[first : first + AT_ONCE]
        begun = time.time()
        errors = [_begin(project, session, place) for session in some]
        end = time.monotonic() + settle
        for session, error in zip(some, errors, strict=True):
            done.append(Reopened(session, error or _settle(project, session, begun, end)))
            tell(done[-1])
    return done


def _begin(project: Project, session: Session, place: Place) -> WtsError | None:
    try:
        start.begin(project, session, place)
    except WtsError as error:
        return error
    return None


def _settle(project: Project, session: Session, begun: float, end: float) -> WtsError | None:
    """Wait until the session's Claude has told of itself; return what went wrong, if something did."""
    reason = "nothing was heard of it"
    while True:
        now, told = (asked := ask_state(project, session)).now, asked.told
        if told.launch is not None and told.launch.at >= begun:
            if running_claude(project, session) is None:
                reason = now.reason or "Claude ended at once"
                break
            if now.state is not State.STARTING:
                return None
        if time.monotonic() >= end:
            break
        time.sleep(EVERY)
    return WtsError(
        "not-begun",
        f"session {session.number}, {session.name}: {reason}",
        hint=f"wts why {session.number}",
        session=session.name,
    )
