"""Messages to a session whose Claude can't be typed to: kept in its directory, in order, given with the next start.

One file each, `messages/000001` and so on. A message is removed only after the launch that gave it was written down:
a crash between the two gives it twice, none loses it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.actions.project import Project
from worktree_sessions.actions.target import find_again
from worktree_sessions.model.session import Session
from worktree_sessions.outside import locks
from worktree_sessions.outside.files import replace_file

LONGEST_PROMPT = 128 * 1024 - 1  # bytes: what Linux takes as one argument of a program
BETWEEN = "\n\n"


class Prompt(NamedTuple):
    """What a start is given: the text, None for nothing, and the files of the messages that are part of it."""

    text: str | None
    messages: tuple[Path, ...] = ()


def keep(project: Project, session: Session, text: str) -> None:
    """Keep a message for the next start; raise Refused when the session was closed meanwhile."""
    with locks.writing(project.store.lock_file, "wts send", timeout=project.settings.lock_timeout):
        find_again(project, session)
        add(project, session, text)


def add(project: Project, session: Session, text: str) -> None:
    """Do the same for who holds the lock, and has looked."""
    number = max((int(file.name) for file in kept(project, session)), default=0) + 1
    replace_file(_directory(project, session) / f"{number:06d}", os.fsencode(text))


def kept(project: Project, session: Session) -> list[Path]:
    """Return the files of the messages that wait for a start, the first one first; their number is how many."""
    files = (file for file in _directory(project, session).glob("[0-9]*") if file.name.isdecimal())
    return sorted(files, key=lambda file: int(file.name))


def add_kept(project: Project, session: Session, prompt: str | None) -> Prompt:
    """Return a start's own prompt and behind it the messages, in order, as many as one start can take."""
    parts, given = [prompt] if prompt else [], []
    room = LONGEST_PROMPT - len(os.fsencode(prompt or ""))
    for file in kept(project, session):
        content = file.read_bytes()
        room -= len(content) + (len(BETWEEN) if parts else 0)
        if room < 0:
            break
        parts.append(os.fsdecode(content))
        given.append(file)
    return Prompt(BETWEEN.join(parts) or None, tuple(given))


def beginning_with(project: Project, session: Session, *beginnings: str) -> list[Path]:
    """Return the files of the messages that wait and begin with one of these words."""
    wanted = tuple(os.fsencode(words) for words in beginnings)
    found = []
    for file in kept(project, session):
        with contextlib.suppress(OSError):  # it was given just now
            if file.read_bytes().startswith(wanted):
                found.append(file)
    return found


def forget(given: Iterable[Path]) -> None:
    """Remove messages that were given."""
    for file in given:
        file.unlink(missing_ok=True)


def _directory(project: Project, session: Session) -> Path:
    return project.store.session_dir(session.name) / "messages"
