"""What state a session is in: gathers the facts, and has them folded. Every command that tells a state asks here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.actions.project import Project
from worktree_sessions.errors import WtsError
from worktree_sessions.model.session import Session, State, StateNow
from worktree_sessions.model.state import Facts, verdict
from worktree_sessions.model.told import Kind, Launch, Told, said
from worktree_sessions.model.words import BRIEFS, last_sentence
from worktree_sessions.outside import claude, processes
from worktree_sessions.outside.claude import Registered
from worktree_sessions.outside.processes import Process


class Asked(NamedTuple):
    """What was found out about a session's Claude: its state, and what it and its human said.

    `goal` is the first prompt, `said` the agent's last sentence, `attended` when a human last had to do with the
    session (Unix seconds), `told` all that its log adds up to.
    """

    now: StateNow
    goal: str | None
    said: str | None
    attended: float
    told: Told


def ask_state(project: Project, session: Session) -> Asked:
    """Return what one session is doing."""
    return ask_states(project, [session])[0]


def ask_states(project: Project, sessions: Sequence[Session], *, quick: bool = False) -> list[Asked]:
    """Return what each session is doing; `claude agents` is asked once, and only for who has registered nothing.

    It takes 0.3 s, so a `quick` answer does without, and says what the events alone tell.
    """
    heard = [_listen(project, session) for session in sessions]
    lost = [one.told for one in heard if one.entry is None and _should_be_listed(one.told)]
    listed: dict[int, Registered] = {}
    if lost and not quick:
        listed = _ask_claude(project, lost)
        heard = [
            _listen(project, session) for session in sessions
        ]  # who was just leaving has said so meanwhile
    now, boot = time.time(), processes.boot()
    return [
        _asked(session, one, listed.get(one.told.own_pid() or 0), now=now, boot=boot)
        for session, one in zip(sessions, heard, strict=True)
    ]


def running_claude(project: Project, session: Session) -> Process | None:
    """Return the live Claude process of a session, as far as can be told; None when it has ended."""
    told = project.store.told(session.name)
    if told.launch is None or told.exit is not None:
        return None
    process = Process(told.launch.pid, told.launch.started)
    if processes.is_alive(process):
        return process
    entry = _registered(told)
    return processes.look_up(entry.pid) if entry else None


def told_of(project: Project, session: Session) -> Told:
    """Return what a session's log adds up to: of one that can't be read nothing, as its state says."""
    return _listen(project, session).told


class Heard(NamedTuple):
    """What a session's log adds up to, what its living Claude has registered, and why the log can't be read."""

    told: Told
    entry: Registered | None
    problem: str | None = None


def _listen(project: Project, session: Session) -> Heard:
    try:
        told = project.store.told(session.name)
    except WtsError as error:
        return Heard(Told(), None, error.message)
    return Heard(told, _registered(told))


def _asked(
    session: Session, heard: Heard, listed: Registered | None, *, now: float, boot: str | None
) -> Asked:
    told, entry, problem = heard
    source = "registry" if entry else "agents" if listed else None
    alive = _is_alive(told, entry)
    will_be_told = not alive and told.launch is not None and _will_tell(told.launch.launcher)
    stopped = bool(alive) and processes.is_stopped(told.own_pid() or 0)
    facts = Facts(now, alive, entry or listed, source, processes.host(), boot, will_be_told, stopped)
    own = told.own()
    goal = told.goal or own.goal
    last = said(own) or told.said
    launched = told.launch.at if told.launch else 0.0
    return Asked(
        now=StateNow(State.UNKNOWN, None, problem)
        if problem
        else verdict(told, facts, created=session.created.timestamp()),
        goal=session.prompt or (goal[1] if goal and not goal[1].startswith(BRIEFS) else None),
        said=last_sentence(last[1]) or None if last else None,
        attended=max(session.created.timestamp(), launched, own.human, told.looked),
        told=told,
    )


def _will_tell(launcher: tuple[int, str] | None) -> bool:
    """Return whether a launcher lives, and was not stopped together with its Claude (Ctrl-Z)."""
    return (
        launcher is not None
        and processes.is_alive(Process(*launcher))
        and not processes.is_stopped(launcher[0])
    )


def _is_alive(told: Told, entry: Registered | None) -> bool | None:
    """Return whether the session's Claude runs; None when that can't be watched here."""
    if told.launch is None or told.exit is not None:
        return False
    if entry is not None:
        return True
    if not told.launch.started:
        return None
    return processes.is_alive(Process(told.launch.pid, told.launch.started))


def config_of(launch: Launch) -> Path:
    """Return the configuration directory that Claude was started with, where its registry is."""
    return Path(launch.config) if launch.config else claude.config_dir()


def _registered(told: Told) -> Registered | None:
    """Return what the session's living Claude has registered of itself."""
    if told.launch is None or told.exit is not None:
        return None
    entry = claude.registered(config_of(told.launch), told.own_pid() or 0)
    process = processes.look_up(entry.pid) if entry else None
    return entry if entry and process and entry.started in (None, process.started) else None


def _should_be_listed(told: Told) -> bool:
    """Return whether a Claude has begun, and lives, so that it ought to have registered itself."""
    return Kind.START in told.own().kinds and _is_alive(told, None) is True


def _ask_claude(project: Project, lost: Sequence[Told]) -> dict[int, Registered]:
    """Return what `claude agents --json` tells, by pid; it takes 0.3 s, and nothing when it can't be asked."""
    program = claude.find(project.settings.claude)
    configs = {one.launch.config for one in lost if one.launch}
    return {} if program is None else {e.pid: e for c in configs for e in claude.agents(program, c)}
