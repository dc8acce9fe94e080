"""What a session's agent is doing: a fold over its events, what Claude registered of itself, and whether it lives.

Events of another process than the one last launched never change the state: a nested `claude`, a late end after a new
start, a resume that failed. Events give detail at once; the registry wins where it is later, because Esc, a refusal and
an approval fire no hook. What can't be known is `unknown`, with the reason.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from worktree_sessions.model.events import Event, load_events
from worktree_sessions.model.session import Session, State, StateNow
from worktree_sessions.model.store import Store
from worktree_sessions.outside import claude
from worktree_sessions.outside.claude import Registered
from worktree_sessions.outside.processes import Process, is_alive, look_up

# Tools whose permission request is a question to the human rather than a permission.
QUESTION_TOOLS = frozenset({"AskUserQuestion", "ExitPlanMode"})

LIMITS = frozenset({"rate_limit", "usage_limit", "billing_error"})

# Ends that somebody asked for: the terminal was closed, Ctrl-C, kill. Any other signal is a crash.
GENTLE = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM})

# A Claude that has told nothing for so long, neither event nor registry, shows a question before it starts.
SILENT = 8.0  # seconds; at most 1.7 were seen from the start to the first event

# States that the registry knows better, when it is later.
SEEN_BY_REGISTRY = frozenset({State.STARTING, State.WORKING, State.WAITING, State.IDLE})


def ask_state(store: Store, session: Session) -> StateNow:
    """Return a session's state now, from its event log, Claude's registry and the process table."""
    events = load_events(store.events_file(session.name))
    return fold(
        events,
        is_alive,
        created=session.created.timestamp(),
        registered=ask_registered(events),
        now=time.time(),
    )


def running_claude(store: Store, session: Session) -> Process | None:
    """Return the live Claude process of a session, as far as its event log tells; None when it has ended."""
    events = load_events(store.events_file(session.name))
    launch, ended = _last_launch(events)
    if launch is None or ended is not None:
        return None
    process = _process_of(launch)
    if is_alive(process):
        return process
    registered = ask_registered(events)
    return look_up(registered.pid) if registered else None


def ask_registered(events: Sequence[Event]) -> Registered | None:
    """Return what the session's Claude registered of itself, None when it does not run or tells nothing."""
    launch, ended = _last_launch(events)
    if launch is None or ended is not None:
        return None
    told = [event.pid for event in _own(events, launch) if event.pid is not None]
    entry = claude.registered(claude.config_dir(), told[-1] if told else launch.pid or 0)
    process = look_up(entry.pid) if entry else None
    return entry if entry and process and entry.started in (None, process.started) else None


def conversation_of(events: Sequence[Event]) -> str | None:
    """Return the newest conversation that the session's Claude was on (/clear begins another), None before any."""
    launch, _ = _last_launch(events)
    if launch is None:
        return None
    begun = [event.text("conversation") for event in _own(events, launch) if event.name == "SessionStart"]
    return begun[-1] if begun else launch.text("conversation")


def fold(
    events: Sequence[Event],
    alive: Callable[[Process], bool],
    *,
    created: float,
    registered: Registered | None = None,
    now: float | None = None,
) -> StateNow:
    """Return the state that the facts add up to.

    `alive` tells whether a process still runs, `registered` is what the session's living Claude registered, `now` the
    time, without which a Claude that keeps silent counts as starting.
    """
    launch, ended = _last_launch(events)
    if launch is None:
        return StateNow(State.PARKED, created, "Claude was not started")
    if ended is not None:
        return StateNow(*of_exit(ended.number("status"), at=ended.at))
    own = list(_own(events, launch))
    told = _of_turns(own, started=launch.at)
    if registered is None and not alive(_process_of(launch)):
        return told if told.state is State.ENDED else _of_vanished(launch, own)
    if registered is not None:
        return _corrected(told, registered, last=own[-1].at if own else launch.at)
    if told.state is State.STARTING and now is not None and now - launch.at > SILENT:
        return StateNow(State.WAITING, launch.at, "a question before it starts: is this directory trusted?")
    return told


def of_exit(status: int, *, at: float) -> tuple[State, float, str | None]:
    """Return what an exit status means; negative is a signal, and above 128 as a shell or Claude tells one."""
    if status == 0:
        return State.ENDED, at, None
    number = -status if status < 0 else status - 128
    if number in GENTLE:
        return State.ENDED, at, f"ended by {_signal_name(number)}"
    if number > 0:
        return State.FAILED, at, f"Claude was killed by {_signal_name(number)}"
    return State.FAILED, at, f"Claude ended with exit status {status}"


# -- which events count ------------------------------------------------------------------------


def _last_launch(events: Sequence[Event]) -> tuple[Event | None, Event | None]:
    """Return the last launch and, when it was told, its exit."""
    launch = next((event for event in reversed(events) if event.name == "launch"), None)
    if launch is None:
        return None, None
    ended = [e for e in events if e.name == "exit" and e.pid == launch.pid and e.at >= launch.at]
    return launch, ended[-1] if ended else None


def _process_of(launch: Event) -> Process:
    return Process(launch.pid or 0, launch.text("started") or "")


def _own(events: Iterable[Event], launch: Event) -> Iterator[Event]:
    """Yield the events of the process that was launched, or of another that begins its conversation.

    That one is Claude behind a wrapper script, or a background Claude that was attached to again.
    """
    pid, conversation = launch.pid, launch.text("conversation")
    for event in events:
        if event.at < launch.at or event.name in ("launch", "exit"):
            continue
        if event.name == "SessionStart" and event.pid is not None:
            begun = event.text("conversation")
            if event.pid != pid and begun != conversation:
                continue
            pid, conversation = event.pid, begun or conversation
        if event.pid in (None, pid):
            yield event


# -- what they add up to -----------------------------------------------------------------------


def _of_turns(events: Iterable[Event], *, started: float) -> StateNow:
    now = StateNow(State.STARTING, started)
    for event in events:
        after = _after(event, now)
        if after is not None:
            # the same state told again keeps its beginning: since is when it became so
            now = after if after.state is not now.state else StateNow(now.state, now.since, after.reason)
    return now


def _after(event: Event, now: StateNow) -> StateNow | None:
    """Return the state after one event, None when the event says nothing about it."""
    if event.text("agent_id"):
        return None  # a subagent's events never change the session's state
    match event.name:
        case "SessionStart" if event.text("source") != "compact":  # that one comes within a turn
            return StateNow(State.IDLE, event.at)
        case "UserPromptSubmit" | "PreToolUse" | "PostToolUse" | "PostToolUseFailure" | "StopHeld":
            return StateNow(State.WORKING, event.at)
        case "PermissionRequest" | "Elicitation":
            return StateNow(State.WAITING, event.at, _question(event))
        case "Notification" if (
            event.text("notification_type") == "permission_prompt" and now.state is not State.WAITING
        ):
            return StateNow(State.WAITING, event.at, event.text("message"))
        case "Stop":
            left = event.number("background") + event.number("timers")
            if left:
                return StateNow(State.BACKGROUND, event.at, f"{left} still running")
            return StateNow(State.IDLE, event.at, event.text("last_assistant_message"))
        case "StopFailure":
            error = event.text("error") or "the turn failed"
            return StateNow(State.LIMITED if error in LIMITS else State.FAILED, event.at, error)
        case "SessionEnd" if event.text("reason") not in ("clear", "resume"):
            return StateNow(State.ENDED, event.at)
        case _:
            return None


def _question(event: Event) -> str:
    if event.name == "Elicitation":
        return event.text("message") or "a question"
    tool, what = event.text("tool_name") or "a tool", event.text("what")
    if tool in QUESTION_TOOLS:
        return what or "a question"
    return f"may it run {tool}: {what}?" if what else f"may it run {tool}?"


def _corrected(told: StateNow, entry: Registered, *, last: float) -> StateNow:
    """Return what the registry says where it is later than the last event, else what the events say."""
    at = entry.updated
    if at is None or at <= last or told.state not in SEEN_BY_REGISTRY:
        return told
    match entry.status:
        case "busy" if told.state is not State.WORKING:
            return StateNow(State.WORKING, at)
        case "waiting" if told.state is not State.WAITING:
            return StateNow(State.WAITING, at, entry.waiting_for or "a question")
        case "idle" if told.state in (State.WORKING, State.WAITING):
            return StateNow(State.INTERRUPTED, at, "its turn was interrupted")
        case "idle" if told.state is State.STARTING:
            return StateNow(State.IDLE, at)
        case _:
            return told


def _of_vanished(launch: Event, own: Sequence[Event]) -> StateNow:
    last = own[-1].at if own else launch.at
    if launch.text("by"):
        return StateNow(State.ENDED, last, "it was not started by wts, how it ended is not known")
    if not launch.text("started"):
        return StateNow(State.UNKNOWN, last, f"its process {launch.pid} can't be watched here")
    return StateNow(State.FAILED, last, "Claude is gone and its launcher told nothing: killed, or a restart")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
