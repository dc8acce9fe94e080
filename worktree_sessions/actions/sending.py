"""A prompt for the Claude of another session: typed in where it runs in tmux, else kept for its next start.

Claude Code has no documented way to give a running one a prompt (`--help` of 2.1.330). The screen is never read: what
Claude registers and tells of itself says when it listens, and whether it has taken what was typed.
"""

from __future__ import annotations

import enum
import re
import time
from collections.abc import Iterator
from typing import NamedTuple

from worktree_sessions.actions import messages
from worktree_sessions.actions.asking import Asked, ask_state, running_claude
from worktree_sessions.actions.launch import check_prompt
from worktree_sessions.actions.project import Project
from worktree_sessions.actions.start import Place, pane_of
from worktree_sessions.errors import Refused, UsageError, WtsError
from worktree_sessions.model.session import Session, State
from worktree_sessions.model.told import Kind
from worktree_sessions.outside import locks, processes, tmux
from worktree_sessions.outside.tmux import Pane

# States in which Claude's input box is on the screen. While it works, what is typed waits for the turn's end.
LISTENS = frozenset(
    {State.IDLE, State.WORKING, State.BACKGROUND, State.INTERRUPTED, State.LIMITED, State.FAILED}
)
STEADY = 0.5  # seconds for which it must have listened: a key that comes while the screen is drawn is lost
BEFORE_ENTER = 0.5  # seconds: an Enter right behind a paste is taken for part of it
EVERY = 0.1  # seconds between two looks

PASTED = re.compile(r"\s*<pasted_content[^>]*>")  # before a long paste, in 2.1.330
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class How(enum.StrEnum):
    """What became of a message."""

    TYPED = "typed"
    KEPT = "kept"


class Sent(NamedTuple):
    """What became of a message, in words; `is_confirmed` when Claude told that it took it, `next` how to go on."""

    how: How
    says: str
    is_confirmed: bool = False
    next: str | None = None


def prompt_of(text: str) -> str:
    """Return a text as it can be typed: line ends as newlines, other control characters left out.

    Raises UsageError when nothing is left, when it holds a NUL or is longer than a start can take.
    """
    check_prompt(text)
    text = without_controls(text).strip()
    if not text:
        raise UsageError("no-text", "there is nothing to send", hint="wts send TARGET 'the text'")
    return text.encode("utf-8", "replace").decode()


def without_controls(text: str) -> str:
    """Return a text with line ends as newlines, and without other control characters but the tab."""
    return CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def send(project: Project, session: Session, text: str, *, ready: float = 20, confirm: float = 5) -> Sent:
    """Give a session's Claude a prompt, once; the text is from `prompt_of`.

    Waits at most `ready` seconds until it listens, and `confirm` seconds until it tells that it took the prompt. Raises
    Refused while it asks something: the text would be the answer.
    """
    if running_claude(project, session) is None:
        return _keep(project, session, text, "Claude does not run")
    if session.place == Place.BACKGROUND:
        return _keep(project, session, text, "Claude runs in its own background")
    pane = pane_of(session)
    if pane is None:
        return _keep(project, session, text, "Claude runs outside of tmux")
    own_lock = (
        project.store.session_dir(session.name) / "send.lock"
    )  # of senders: two would type into each other
    with locks.writing(own_lock, "wts send", timeout=ready + confirm):
        problem = _wait_until_it_listens(project, session, ready) or _why_not_typed(project, session, pane)
        if problem:
            return _keep(project, session, text, problem)
        at = _type(project, session, pane, text)
        return _typed(project, session, text, at, confirm)


def _keep(project: Project, session: Session, text: str, reason: str) -> Sent:
    messages.keep(project, session, text)
    says = f"kept, since {reason}: it is given when session {session.number} is next started"
    return Sent(How.KEPT, says, next=f"wts open {session.number}")


def _looks(project: Project, session: Session, seconds: float) -> Iterator[Asked]:
    """Yield what is found out about a session, again and again for so many seconds, and at least once."""
    end = time.monotonic() + seconds
    yield ask_state(project, session)
    while time.monotonic() < end:
        time.sleep(EVERY)
        yield ask_state(project, session)


def _wait_until_it_listens(project: Project, session: Session, seconds: float) -> str | None:
    """Return None as soon as Claude has listened for a while, why not when it does not; raise Refused when it asks."""
    state, since = None, time.monotonic()
    for asked in _looks(project, session, seconds):
        _refuse_to_answer(session, asked)
        if running_claude(project, session) is None:
            return "Claude has ended"
        if asked.now.state is not state:
            state, since = asked.now.state, time.monotonic()
        if state in LISTENS and time.monotonic() - since >= STEADY:
            return None
    return f"Claude does not listen (it is {state})"


def _refuse_to_answer(session: Session, asked: Asked) -> None:
    if asked.now.state is State.WAITING:
        raise Refused(
            "asks",
            f"session {session.number}, {session.name} asks you something, and the text would be the answer: "
            f"{asked.now.reason}",
            hint=f"answer it: wts open {session.number}",
            session=session.name,
        )


def _why_not_typed(project: Project, session: Session, pane: Pane) -> str | None:
    """Return why the keys of a pane would not reach Claude, None when they would."""
    pid = project.store.told(session.name).own_pid()  # Claude itself, where a wrapper script was started
    seat = processes.seat_of(pid) if pid and running_claude(project, session) else None
    if seat is None or seat.terminal != tmux.terminal_for_typing(pane):
        return "Claude is not what runs in its tmux window"
    return None if seat.is_typed_to else "another program is in front of Claude in its tmux window"


def _type(project: Project, session: Session, pane: Pane, text: str) -> float:
    """Type the text and Enter, and return when; raise WtsError, without Enter, when it asks something by then."""
    if not tmux.paste(pane, text):
        raise WtsError("tmux-failed", f"tmux would not type into the window of session {session.number}")
    time.sleep(BEFORE_ENTER)
    asked, at = ask_state(project, session), time.time()
    if asked.now.state not in LISTENS or _why_not_typed(project, session, pane) or not tmux.press_enter(pane):
        raise WtsError(
            "not-entered",
            f"session {session.number}, {session.name} changed while the text was typed, so Enter was not pressed "
            f"(it is {asked.now.state})",
            hint=f"the text may stand in its input: wts open {session.number}",
            session=session.name,
        )
    return at


def _typed(project: Project, session: Session, text: str, at: float, seconds: float) -> Sent:
    """Return what was typed, confirmed when Claude tells of a prompt with it; it tells its first characters."""
    where = f"typed into the tmux window of session {session.number}"
    own = " ".join(text.split())
    for asked in _looks(project, session, seconds):
        event = asked.told.own().kinds.get(Kind.PROMPT)
        prompt = event.text("prompt") if event and event.at >= at else None
        told = " ".join(PASTED.sub("", prompt or "").split())
        if told and own.startswith(told):
            return Sent(How.TYPED, f"{where}, and taken", is_confirmed=True)
        if told and own[:30] in told:
            return Sent(
                How.TYPED, f"{where}, and taken with what stood in its input already", is_confirmed=True
            )
    says = f"{where}; Claude ({asked.now.state}) has not told yet that it took it"
    return Sent(How.TYPED, says, next=f"wts open {session.number}")
