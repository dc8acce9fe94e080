"""`wts why`: a session's state, what it was told from, and what was ignored. Reads only: no lock, nothing written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from worktree_sessions.actions.launch import history_of
from worktree_sessions.actions.listing import look_at_one
from worktree_sessions.actions.project import Project
from worktree_sessions.actions.readiness import closely
from worktree_sessions.errors import WtsError
from worktree_sessions.model import words
from worktree_sessions.model.events import Event, load_events
from worktree_sessions.model.readiness import Readiness
from worktree_sessions.model.session import Fact, Look, Session
from worktree_sessions.model.told import fold, ignored

SHORT = 10  # characters of a commit's id


class Ignored(NamedTuple):
    """An event that had no part in the state, and why."""

    event: Event
    why: str


class Why(NamedTuple):
    """What is known of one session's state at the moment `at` (Unix seconds).

    `look` is what `wts list` shows; `facts` decided its state, by their time, git's last; `ignored` had no part in it,
    the newest last, and so stand its `conversations`. `readiness` is found out more closely than in the list.
    """

    at: float
    look: Look
    facts: tuple[Fact, ...]
    ignored: tuple[Ignored, ...]
    conversations: tuple[str, ...]
    readiness: Readiness


def explain(project: Project, session: Session) -> Why:
    """Return why a session is in its state; it is looked at as `wts list` does."""
    look = look_at_one(project, session)
    at = time.time()
    try:
        events, conversations = log_of(project, session), history_of(project, session)
    except WtsError:  # its log can't be read: that is the reason of its state
        events, conversations = [], (session.conversation,)
    told = fold(events)
    return Why(
        at=at,
        look=look,
        facts=(
            *sorted(look.now.facts, key=lambda fact: fact.at),
            *(Fact("git", at, says) for says in _git_says(look)),
        ),
        ignored=tuple(Ignored(event, why) for event in events if (why := ignored(told, event)) is not None),
        conversations=conversations,
        readiness=closely(project, look),
    )


def log_of(project: Project, session: Session) -> list[Event]:
    """Return all events of a session, in the order of their writing; raise WtsError when its log can't be read."""
    file = project.store.events_file(session.name)
    try:
        return load_events(file)
    except OSError as error:
        raise WtsError(
            "bad-log", f"{file} can't be read: {error.strerror}", hint="wts doctor", session=session.name
        ) from error


def _git_says(look: Look) -> Iterator[str]:
    session, status = look.session, look.status
    if status is not None:
        head = status.head[:SHORT] if status.head else "no commit yet"
        yield f"HEAD is {head} on {status.branch or 'no branch'}"
        yield words.changes(status)
    if look.ahead is not None and look.behind is not None:
        yield f"{look.ahead} ahead of {session.parent}, {look.behind} behind" + (
            ", landed" if look.landed else ""
        )
    if look.problem:
        yield look.problem
