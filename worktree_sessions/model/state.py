"""What a session's agent is doing: one verdict over what was told, what Claude registered, and whether it lives.

Events give detail at once; the registry wins where it disagrees, because Esc, a refusal and an approval fire no hook.
What can't be known is `unknown`, with the reason. Everything here is pure: `actions/asking.py` gathers the facts.
docs/states.md says the same in words.
"""

from __future__ import annotations

import signal
from typing import NamedTuple

from worktree_sessions.model.events import Event
from worktree_sessions.model.session import Fact, State, StateNow
from worktree_sessions.model.told import Ask, Heard, Kind, Launch, Told
from worktree_sessions.outside.claude import Registered

LIMITS = frozenset({"rate_limit", "usage_limit", "billing_error"})

# Ends that somebody asked for: the terminal was closed, Ctrl-C, kill. Any other signal is a crash.
GENTLE = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM})

# A Claude that has told nothing for so long, neither event nor registry, shows a question before it starts.
SILENT = 8.0  # seconds; at most 1.7 were seen from the start to the first event

# For so long the registry may not have followed an event yet, or an event the registry: it says idle some 35 ms before
# the event tells that the turn failed. Then the registry wins, whichever is later.
LAG = 1.0  # seconds; at most 0.3 were seen

# Without a registry, a turn of which nothing was heard for so long may have ended in a way that fires no hook.
FRESH = 3600.0  # seconds


# The fields that tell what an event is about.
TELLING = ("what", "error", "source", "reason", "notification_type", "message", "prompt", "by")


class Facts(NamedTuple):
    """What was found out about a session beside its log, at one moment.

    `alive` tells whether its Claude runs, None when that can't be found out. `registered` is what a living one has
    registered of itself, and `source` where that was read: `registry`, `agents` (`claude agents --json`), or None with
    neither. `host` and `boot` are those of this machine. `will_be_told` says that the launcher runs, so that the exit
    of a Claude that is gone is just about to be told, `is_stopped` that a living one does nothing (Ctrl-Z).
    """

    now: float
    alive: bool | None
    registered: Registered | None = None
    source: str | None = None
    host: str | None = None
    boot: str | None = None
    will_be_told: bool = False
    is_stopped: bool = False


def verdict(told: Told, facts: Facts, *, created: float) -> StateNow:
    """Return the state that the facts add up to, since when, why, and the facts that decided it.

    `created` is when the session was made, in Unix seconds: until Claude is first started, it is parked since then.
    """
    launch = told.launch
    if launch is None:
        fact = Fact("event", created, "the session was made, and no Claude was launched since")
        return StateNow(State.PARKED, created, "Claude was not started", facts=(fact,))
    by = f" by {launch.by}" if launch.by else ""
    return _of_launched(told, launch, facts).because(
        Fact("event", launch.at, f"launch of process {launch.pid}{by}")
    )


def _of_launched(told: Told, launch: Launch, facts: Facts) -> StateNow:
    """Return the state of a session whose Claude was started at least once."""
    if (
        launch.boot
        and facts.boot
        and launch.boot != facts.boot
        and launch.host == facts.host
        and not facts.alive
    ):
        fact = Fact("process", facts.now, f"started before this machine was, as process {launch.pid}")
        return StateNow(State.PARKED, _last(told), "the machine was restarted", facts=(fact,))
    if told.exit is not None:
        at, status = told.exit
        fact = Fact("event", at, f"exit of process {launch.pid} with status {status}")
        return StateNow(*of_exit(status, at=at), facts=(fact,))
    own = told.own()
    by_events = _of_events(own, launch.at, answered=_answered(own, facts))
    if not facts.alive:
        is_said = by_events.state is State.ENDED or facts.will_be_told
        return by_events if is_said else _of_vanished(told, launch, facts)
    living = Fact("process", facts.now, f"process {told.own_pid()} lives")
    if facts.registered is None:
        now = _of_events_alone(by_events, own, facts, launch.at).because(living)
    else:
        now = _corrected(by_events, own, facts.registered, facts, launch.at).because(living)
    return _stopped(now, facts) if facts.is_stopped and now.state is State.WORKING else now


def _stopped(now: StateNow, facts: Facts) -> StateNow:
    """Return the state of a Claude that was stopped in its turn."""
    reason = "its process was stopped (Ctrl-Z); `fg` in its terminal lets it go on"
    return StateNow(State.INTERRUPTED, now.since, reason, facts=now.facts).because(
        Fact("process", facts.now, "it is stopped")
    )


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


# -- what the events say ---------------------------------------------------------------------------


def _of_events(own: Heard, launched: float, *, answered: float) -> StateNow:
    """Return the state by the latest event of each kind; what it asks and nobody answered comes first.

    Whatever was asked before `answered` has its answer.
    """
    kinds = {kind: event for kind, event in own.kinds.items() if kind != Kind.NOTICE}
    if waiting := _asked(own, answered):
        return waiting
    if not kinds:
        return StateNow(State.STARTING, launched)
    kind = max(kinds, key=lambda one: (kinds[one].at, one))
    event = kinds[kind]
    fact = Fact("event", event.at, worded(event))
    match kind:
        case Kind.START:
            return StateNow(State.IDLE, event.at, facts=(fact,))
        case Kind.STOP:
            left = _left(event)
            state, reason = (State.BACKGROUND, f"{left} still running") if left else (State.IDLE, None)
            return StateNow(state, event.at, reason, facts=(fact,), turn=_turn(own, event.at))
        case Kind.FAILED:
            error = event.text("error") or "the turn failed"
            state, reason = State.LIMITED if error in LIMITS else State.FAILED, error.replace("_", " ")
            return StateNow(state, event.at, reason, facts=(fact,))
        case Kind.END:
            return StateNow(State.ENDED, event.at, facts=(fact,))
        case _:
            return StateNow(State.WORKING, _working_since(own, answered), facts=(fact,))


def _asked(own: Heard, answered: float) -> StateNow | None:
    """Return the waiting state when something that was asked is open, or only a notification tells of it."""
    open_asks = (ask for ask in own.asks.values() if ask.at > max(answered, ask.ended, _settled(own, ask)))
    asks = sorted(open_asks, key=lambda ask: ask.at)
    notice = own.kinds.get(Kind.NOTICE)
    if asks:
        more = f" (and {len(asks) - 1} more)" if len(asks) > 1 else ""
        facts = tuple(Fact("event", ask.at, f"asked: {ask.words}") for ask in asks)
        return StateNow(State.WAITING, asks[0].at, asks[0].words + more, facts=facts)
    if notice is not None and notice.at >= max(own.last, answered):
        fact = Fact("event", notice.at, "Notification of a permission, of which nothing else was heard")
        return StateNow(State.WAITING, notice.at, notice.text("message"), facts=(fact,))
    return None


def _settled(own: Heard, ask: Ask) -> float:
    """Return when what was asked was settled by something else than its tool's end: the turn's, a new prompt.

    A subagent in the background outlives the turn, so its question does too.
    """
    stop = own.kinds.get(Kind.STOP)
    kinds = {Kind.START, Kind.PROMPT, Kind.HELD, Kind.STOP, Kind.FAILED, Kind.END}
    if ask.by_subagent:
        kinds = {Kind.START, Kind.END} | (set() if stop is None or _left(stop) else {Kind.STOP})
    return max((own.kinds[kind].at for kind in kinds & own.kinds.keys()), default=0.0)


def _left(stop: Event) -> int:
    """Return how many background tasks and timers were left at a turn's end."""
    return stop.number("background") + stop.number("timers")


def _working_since(own: Heard, answered: float) -> float:
    """Return when the work began that goes on: with the prompt, or when the last question was answered."""
    ends = [own.kinds[kind].at for kind in (Kind.START, Kind.STOP, Kind.FAILED) if kind in own.kinds]
    bound = max(ends, default=0.0)
    begun = [
        own.kinds[kind].at
        for kind in (Kind.PROMPT, Kind.HELD)
        if kind in own.kinds and own.kinds[kind].at > bound
    ]
    asks = [ask for ask in own.asks.values() if ask.at > bound]
    answers = [ask.ended if ask.ended > ask.at else answered for ask in asks]
    since = max(begun, default=own.kinds[Kind.TOOL].at if Kind.TOOL in own.kinds else bound)
    return max([since, *answers])


def _turn(own: Heard, ended: float) -> float | None:
    """Return how long the turn took, in seconds; None when its beginning was not heard.

    It began with what a human typed: a prompt that Claude makes itself, after background work, goes on with it.
    """
    prompt = own.kinds.get(Kind.PROMPT)
    return ended - (own.human or prompt.at) if prompt is not None and prompt.at <= ended else None


# -- what else is known ----------------------------------------------------------------------------


def _answered(own: Heard, facts: Facts) -> float:
    """Return until when all that was asked has its answer, as Claude's registry tells, whatever is heard later.

    It waits no longer; or it waits anew, for what was asked just then. 0 when it tells of no answer.
    """
    entry = facts.registered
    if entry is None or entry.updated is None:
        return 0.0
    if entry.status == "waiting":
        begun = entry.updated - LAG
        return begun if any(ask.at > begun for ask in own.asks.values()) else 0.0
    is_idle = entry.status == "idle" and _is_settled(entry.updated, facts)
    return entry.updated if is_idle or entry.status in ("busy", "shell") else 0.0


def _is_settled(at: float, facts: Facts) -> bool:
    """Return whether events and registry have followed what was at a time; one to come is of a clock set back."""
    return abs(facts.now - at) > LAG


def _corrected(told: StateNow, own: Heard, entry: Registered, facts: Facts, launched: float) -> StateNow:
    """Return what the registry says where it disagrees, unless it can't have followed the last event yet."""
    last = max(own.last, launched)
    at = entry.updated if entry.updated is not None else told.since or last
    says = f"{entry.status or 'no status'}{f' ({entry.waiting_for})' if entry.waiting_for else ''}"
    if facts.source == "agents":
        says += ": asked of `claude agents --json`, for want of its registry file"
    fact = Fact(facts.source or "registry", facts.now if entry.updated is None else at, says)
    follows = (entry.updated is not None and entry.updated > last) or _is_settled(last, facts)
    since = max(at, told.since or 0.0)
    match entry.status:
        case "busy" if told.state in (State.WORKING, State.BACKGROUND, State.ENDED):
            return told.because(fact)  # a subagent in the background keeps it busy, too
        case "busy" if told.state is State.IDLE:  # a Stop hook sends it on, or a prompt was queued
            return StateNow(State.WORKING, at, facts=(fact, *told.facts))
        case "busy" if follows:
            return StateNow(State.WORKING, since, facts=(fact, *told.facts))
        case "waiting" if told.state not in (State.WAITING, State.ENDED) and follows:
            return StateNow(State.WAITING, since, _asked_by_registry(entry), facts=(fact, *told.facts))
        case "idle" if told.state in (State.WORKING, State.WAITING) and follows and _is_settled(at, facts):
            reason = "its turn was broken off (Esc), or what it asked was refused"
            return StateNow(State.INTERRUPTED, since, reason, facts=(fact, *told.facts))
        case "idle" if told.state is State.STARTING:
            return StateNow(State.IDLE, since, facts=(fact, *told.facts))
        case "shell" if told.state in (State.WORKING, State.IDLE) and follows:
            return StateNow(State.BACKGROUND, since, "a command still running", facts=(fact, *told.facts))
        case "busy" | "waiting" | "idle" | "shell":
            return told.because(fact)
        case _:
            return _of_events_alone(told, own, facts, launched).because(fact)


def _asked_by_registry(entry: Registered) -> str:
    known = {
        "permission prompt": "a permission",
        "input needed": "an answer",
        "dialog open": "an open dialog",
    }
    return known.get(entry.waiting_for or "", entry.waiting_for or "a question")


def _of_events_alone(told: StateNow, own: Heard, facts: Facts, launched: float) -> StateNow:
    """Return what can be said without a registry: nothing lasts for ever that only a missing event would end."""
    if told.state is State.STARTING and facts.registered is None and facts.now - launched > SILENT:
        fact = Fact("registry", facts.now, "it has registered nothing")
        reason = "a question before it starts: is this directory trusted?"
        return StateNow(State.WAITING, launched, reason, facts=(fact, *told.facts))
    if told.state is State.STARTING:
        return told
    fact = Fact("registry", facts.now, "nothing is known of this process, so its events alone count")
    if told.state is State.WORKING and facts.now - own.last > FRESH:
        reason = "nothing was heard of its turn for an hour, and Claude's registry tells nothing"
        return StateNow(State.UNKNOWN, own.last, reason, facts=(fact, *told.facts))
    return told.because(fact)


def _of_vanished(told: Told, launch: Launch, facts: Facts) -> StateNow:
    last = _last(told)
    gone = Fact("process", facts.now, f"process {launch.pid} is gone, and no exit was told")
    if launch.host and facts.host and launch.host != facts.host:
        reason = f"it was started on {launch.host}, which can't be seen from here"
        return StateNow(State.UNKNOWN, last, reason, facts=(gone,))
    if facts.alive is None or not launch.started:
        fact = Fact("process", facts.now, f"process {launch.pid} has no known start time to know it by")
        return StateNow(State.UNKNOWN, last, f"its process {launch.pid} can't be watched here", facts=(fact,))
    if launch.by:
        return StateNow(
            State.ENDED, last, "it was not started by wts, how it ended is not known", facts=(gone,)
        )
    return StateNow(State.FAILED, last, "Claude is gone and its launcher told nothing: killed", facts=(gone,))


def _last(told: Told) -> float:
    """Return when the session's Claude last told anything."""
    assert told.launch is not None
    return max(told.own().last, told.launch.at, told.exit[0] if told.exit else 0.0)


def worded(event: Event) -> str:
    """Return an event as evidence: its name, and what it is about."""
    return f"{event.name} ({told})" if (told := about(event)) else event.name


def about(event: Event) -> str:
    """Return what an event is about: its tool and the first of its fields that tells; empty when none does."""
    told = next((text for key in TELLING if (text := event.text(key))), None)
    if event.name == "exit":
        told = f"status {event.number('status')}"
    return ": ".join(filter(None, (event.text("tool_name"), told)))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
