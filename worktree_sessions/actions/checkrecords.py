"""The checks of `wts doctor` on what is recorded: sessions, their numbers, set-ups, event logs and plugins.

None of them writes or takes a lock, like all checks.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from worktree_sessions.actions.project import Project
from worktree_sessions.model import words
from worktree_sessions.model.problem import Problem, error, note, ok, warning
from worktree_sessions.model.session import Session, Setup, Unreadable
from worktree_sessions.model.words import quoted


def sessions_of(project: Project) -> list[Session]:
    """Return the live sessions whose record can be read; the others are `records`' finding."""
    return project.store.load_all()[0]


def records(project: Project) -> list[Problem]:
    """Every record can be read."""
    sessions, bad = project.store.load_all()
    _, bad_closed = project.store.load_closed()
    found = (
        [] if bad or not sessions else [ok("records", f"{words.counted(len(sessions), 'session')} on record")]
    )
    for record in bad:
        name = record.path.parent.name
        worktree = default_worktree(project, name)
        adopt = f" && wts adopt {quoted(worktree)}" if worktree.is_dir() else ""
        move = f"mv {quoted(record.path)} {quoted(record.path)}.bad"
        says = f"the record of {name} can't be read, and is kept: {_reason(record)}"
        found.append(error("bad-record", says, cure=move + adopt, session=name))
    for record in bad_closed:
        says = f"the record of a closed session can't be read, and is kept: {record.path}: {_reason(record)}"
        found.append(warning("bad-record", says))
    return found


def _reason(record: Unreadable) -> str:
    return record.reason.removeprefix("unreadable session record: ")


def default_worktree(project: Project, name: str) -> Path:
    """Where the worktree of a session lies, as long as its record can't tell."""
    return project.settings.worktree_root(project.home) / name


def numbers(project: Project) -> list[Problem]:
    """No two live sessions have the same number."""
    by_number = defaultdict(list)
    for session in sessions_of(project):
        by_number[session.number].append(session.name)
    return [
        error(
            "same-number",
            f"{words.listed(names)} have the same number, {number}",
            cure=f"wts close {quoted(names[-1])} && wts restore {quoted(names[-1])}",
            session=names[-1],
        )
        for number, names in sorted(by_number.items())
        if len(names) > 1
    ]


def setups(project: Project) -> list[Problem]:
    """Every session's set-up is done, or there was none."""
    found = []
    for session in sessions_of(project):
        name, again = session.name, f"wts setup {quoted(session.name)}"
        if session.setup is Setup.FAILED:
            says = f"set-up of {name} failed; see {project.store.setup_log(name)}"
            found.append(warning("setup-failed", says, cure=again, session=name))
        elif session.setup is Setup.UNTRUSTED:
            says = f"set-up of {name} waits for approval"
            found.append(warning("setup-untrusted", says, cure=f"wts trust && {again}", session=name))
        elif session.setup is Setup.PENDING and _may_be_running(project, session):
            found.append(note("setup-pending", f"set-up of {name} is under way", session=name))
        elif session.setup is Setup.PENDING:
            found.append(warning("setup-pending", f"set-up of {name} never ended", cure=again, session=name))
    return found


def _may_be_running(project: Project, session: Session) -> bool:
    """A command of the set-up may take `setup.timeout`, and begins with a line in the log."""
    files = (project.store.record_file(session.name), project.store.setup_log(session.name))
    newest = max((file.stat().st_mtime for file in files if file.exists()), default=0.0)
    limit = project.settings.setup_timeout
    return limit == 0 or time.time() - newest < limit


def event_logs(project: Project) -> list[Problem]:
    """What Claude tells can be written down."""
    found = []
    for session in sessions_of(project):
        file = project.store.events_file(session.name)
        reason = _why_not_writable(file)
        if reason is not None:
            says = f"the event log of {session.name} can't be written ({reason}): {file}"
            found.append(error("no-events", says, cure=f"ls -ld {quoted(file)}", session=session.name))
    return found


def _why_not_writable(file: Path) -> str | None:
    if not file.exists():
        return None if os.access(file.parent, os.W_OK | os.X_OK) else "the directory is not writable"
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_APPEND))
    except OSError as failure:
        return failure.strerror
    return None


def plugins(project: Project) -> list[Problem]:
    """Each session whose Claude was started has the plugin that tells wts what it does."""
    started = [session for session in sessions_of(project) if session.started]
    served = set(_served(project)) if started else set()
    return [
        note(
            "no-plugin",
            f"the hooks of {session.name} are missing from {project.store.claude_dir}: its state may be wrong",
            cure=f"wts open {session.number}",
            session=session.name,
        )
        for session in started
        if session.name not in served
    ]


def _served(project: Project) -> Iterator[str]:
    """Yield every word of the plugins' commands; the session's name is one of them."""
    for file in project.store.claude_dir.glob("*/hooks/hooks.json"):
        hooks = json.loads(file.read_bytes())["hooks"]
        for matchers in hooks.values():
            for hook in (hook for matcher in matchers for hook in matcher["hooks"]):
                yield from (word.removeprefix("WTS_SESSION=") for word in shlex.split(hook["command"]))
