"""What Claude's own worktree hooks do here: `claude -w NAME` becomes a session, and its removal never drops work.

Claude asks for a worktree by name and takes a path for an answer. It asks for its sub-agents too (`agent-<hex>`): those
get a plain worktree where Claude itself would make it, and are no sessions. Claude's wish to remove one is heard, but a
session goes only when it is clean and its branch is wholly in its parent, by the same close that a person would type.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.actions import close, launch, new, risk, start
from worktree_sessions.actions.listing import look_at_one
from worktree_sessions.actions.project import Project, registered
from worktree_sessions.actions.target import find_worktree
from worktree_sessions.errors import Refused, UsageError, WtsError
from worktree_sessions.model.events import append_launch
from worktree_sessions.model.session import Session
from worktree_sessions.outside import claude, environment, processes

AGENT = re.compile(r"agent-[0-9a-f]+")
ENDS_WITHIN = 60.0  # seconds that a Claude which asked for the removal may take to end


class Told(NamedTuple):
    """What Claude told its hook; the fields that this one uses."""

    name: str
    path: str
    conversation: str


def read(text: str) -> Told:
    """Return what Claude told; raise UsageError when it is not from a hook."""
    try:
        row = json.loads(text)
        return Told(*(str(row.get(key) or "") for key in ("name", "worktree_path", "session_id")))
    except (ValueError, AttributeError) as error:
        raise UsageError(
            "not-a-hook", "this is called by Claude's worktree hooks", hint="claude -w NAME"
        ) from error


def make(project: Project, told: Told) -> Path:
    """Make the worktree that Claude asked for, and return it; a session that is there is gone back to."""
    if AGENT.fullmatch(told.name):
        return _make_plain(project, told.name)
    name = told.name.replace("/", "-")
    session = project.store.load(name)
    if session is None:
        session = start.set_up(project, new.make(project, new.Order(words=(name,)))).session
    else:
        find_worktree(session)
        launch.refuse_second(project, session)
    # 2.1.197 removes worktree and branch by itself, commits and all, and calls no hook; a lock stops both
    project.git.ask("worktree", "lock", "--reason", risk.OUR_LOCK, "--", str(session.worktree))
    if environment.variable("WTS_SESSION") is None:  # else the Claude of another session has only moved
        _note_claude(project, session, told.conversation)
    return session.worktree


def _make_plain(project: Project, name: str) -> Path:
    path, branch = project.home / ".claude" / "worktrees" / name, f"worktree-{name}"
    base = project.git.at(project.here).resolve("HEAD")
    if base is None:
        raise WtsError("no-commit", f"{project.here} has no commit yet", hint="git commit")
    project.git.run("worktree", "add", "--quiet", "--no-track", "-b", branch, "--", str(path), base)
    return path


def _note_claude(project: Project, session: Session, conversation: str) -> None:
    told = environment.variable("CLAUDE_PID") or ""
    process = processes.look_up(int(told) if told.isdecimal() else os.getppid())
    if process is not None and conversation:
        events = project.store.events_file(session.name)
        append_launch(
            events, time.time(), process, conversation=conversation, config=claude.config_dir(), by="claude"
        )


# -- removal -----------------------------------------------------------------------------------


def why_kept(project: Project, path: Path) -> str | None:
    """Return why a worktree that Claude wants removed stays, None when nothing would be missed."""
    if path not in registered(project):
        return f"{path} is no worktree of this repository"
    session = _session_at(project, path)
    if session is None:
        own = project.home / ".claude" / "worktrees"
        ours = path.parent == own and AGENT.fullmatch(path.name)
        return None if ours else f"{path} is no session, and not a sub-agent's"
    look = look_at_one(project, session)
    if look.problem is not None or look.status is None:
        return f"{session.name} is kept: {look.problem or 'its state is unknown'}"
    if not look.status.is_clean:
        return f"{session.name} is kept: not everything in it is committed"
    if look.ahead != 0:
        return f"{session.name} is kept: {session.branch} is not wholly in {session.parent}"
    return None


def remove_later(project: Project, path: Path) -> None:
    """Remove the worktree as soon as the Claude that asks for it has ended: until then it stands in it."""
    told = environment.variable("CLAUDE_PID") or ""
    words = [
        "claude-worktree",
        "remove",
        "--after",
        told if told.isdecimal() else str(os.getppid()),
        str(path),
    ]
    argv = [sys.executable, "-P", "-m", "worktree_sessions", "-C", str(project.home), *words]
    processes.spawn_apart(argv, cwd=project.home, env=environment.for_session({}))


def remove_after(project: Project, pid: int, path: Path) -> None:
    """Wait for a process to end, look again, and remove the worktree; raises what refuses."""
    process, deadline = processes.look_up(pid), time.monotonic() + ENDS_WITHIN
    while process is not None and processes.is_alive(process) and time.monotonic() < deadline:
        time.sleep(0.1)
    reason = why_kept(project, path)
    if reason is not None:
        raise Refused("kept", reason)
    session = _session_at(project, path)
    if session is not None:
        close.close(project, session, close.Closing())
        return
    project.git.run("worktree", "remove", "--", str(path))  # git refuses what is changed or untracked
    project.git.ask("branch", "-d", "--", f"worktree-{path.name}")  # and a branch that nothing else holds


def _session_at(project: Project, path: Path) -> Session | None:
    sessions, _ = project.store.load_all()
    return next((session for session in sessions if session.worktree == path), None)
