"""`wts statusline`: the session of this place as it is now, and who else waits. Three git processes at most.

It runs at every redraw of a prompt, or of Claude's screen. So it never asks `claude agents`, reads no settings, and
imports what takes long while git runs.
"""

from __future__ import annotations

import json
import os
import select
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from worktree_sessions.actions.project import open_project
from worktree_sessions.errors import WtsError
from worktree_sessions.outside import environment, processes
from worktree_sessions.outside.git import (
    STATUS,
    Question,
    Status,
    ask_all,
    compare,
    full,
    parse_distance,
    parse_status,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from worktree_sessions.model.session import Session, StateNow

LARGEST_INPUT = 1 << 20  # bytes; Claude gives some 2000
INPUT_SECONDS = 0.5  # for who holds our input open and says nothing
THEIR_SECONDS = 2.0  # for the user's own command


class Given(NamedTuple):
    """What came on standard input: as it is, and the directory that Claude told in it."""

    raw: bytes
    by_claude: bool
    directory: Path | None


class Here(NamedTuple):
    """The session of this place; what git could not tell is None. `waiting` names the other sessions that need you."""

    session: Session
    now: StateNow
    status: Status | None
    ahead: int | None
    behind: int | None
    waiting: tuple[str, ...]


class Theirs(NamedTuple):
    """What the user's own command said, and why it is nothing (None: all is well)."""

    text: str
    problem: str | None


def read_given(descriptor: int = 0) -> Given:
    """Return what Claude tells on standard input; nothing where a human types, or nobody says anything."""
    try:
        raw = b"" if os.isatty(descriptor) else _read(descriptor)
    except (OSError, ValueError):
        raw = b""  # closed
    try:
        told: Any = json.loads(raw)
        place = told["workspace"]["current_dir"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Given(raw, by_claude=raw.lstrip().startswith(b"{"), directory=None)
    directory = Path(place) if isinstance(place, str) and os.path.isdir(place) else None
    return Given(raw, by_claude=True, directory=directory)


def look_here(directory: Path, meanwhile: Callable[[], object] | None = None) -> Here | None:
    """Return the session that `WTS_SESSION` names, if it is of this repository, else that of the directory.

    None outside of any session; raises WtsError outside of a repository. What the caller does `meanwhile`, git running,
    costs next to nothing.
    """
    project = open_project(directory)
    sessions, _ = project.store.load_all()
    own = _find(sessions, project.here)
    if own is None:
        return None
    asked: list[StateNow] = []

    def ask() -> None:
        from worktree_sessions.actions.asking import ask_states

        asked.extend(one.now for one in ask_states(project, sessions, quick=True))
        if meanwhile is not None:
            meanwhile()

    questions = [
        Question(project.git_at(own), STATUS),
        Question(project.git, compare(full(own.parent), full(own.branch))),
    ]
    status, distance = ask_all(questions, ask)
    return _here(own, status, distance, dict(zip((one.name for one in sessions), asked, strict=True)))


def _here(
    own: Session, status: bytes | WtsError, distance: bytes | WtsError, states: dict[str, StateNow]
) -> Here:
    from worktree_sessions.model.session import State

    ahead, behind = (None, None) if isinstance(distance, WtsError) else parse_distance(distance)
    waiting = (name for name, now in states.items() if now.state is State.WAITING and name != own.name)
    return Here(
        session=own,
        now=states[own.name],
        status=None if isinstance(status, WtsError) else parse_status(status),
        ahead=ahead,
        behind=behind,
        waiting=tuple(waiting),
    )


def run_theirs(command: str, given: Given) -> Theirs:
    """Run the user's own status line command, on the same input, through the shell."""
    done = processes.shell_answer(
        command, stdin=given.raw, env=environment.inherited(), timeout=THEIR_SECONDS
    )
    if done.status == -9:
        return Theirs("", f"the command of --with took longer than {THEIR_SECONDS:g} s")
    problem = f"the command of --with ended with status {done.status}" if done.status else None
    return Theirs(done.out.decode("utf-8", "replace").rstrip("\n"), problem)


def _read(descriptor: int) -> bytes:
    """Read to the end, as far as it comes in time."""
    deadline = time.monotonic() + INPUT_SECONDS
    content = b""
    while len(content) < LARGEST_INPUT:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(descriptor, LARGEST_INPUT - len(content)) if ready else b""
        if not part:
            break
        content += part
    return content


def _find(sessions: list[Session], directory: Path) -> Session | None:
    wanted = environment.variable("WTS_SESSION")
    for session in sessions:
        if session.name == wanted:
            return session
    from worktree_sessions.model import names

    try:
        return names.find(".", sessions, directory)
    except WtsError:
        return None
