"""What a session's Claude and its launcher have told so far: events folded into a few facts, one at a time.

Of each kind of event only the latest counts, by the time it was told. So events that are told twice, or in another
order, add up to the same, and a log is read once: what was folded is kept, and only new events are added to it.
Whose events count is decided by process: a nested `claude` tells about itself alone.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from worktree_sessions.model.events import Event

VERSION = 1  # of what is kept: another one is folded again from the log

# What Claude tells itself in a prompt, after background work: no human typed it.
SELF_MADE = "<task-notification>"


class Kind(enum.StrEnum):
    """What an event tells of a turn; one that is of no kind tells nothing about the state."""

    START = "start"
    PROMPT = "prompt"
    TOOL = "tool"
    HELD = "held"  # our Stop hook had it go on
    STOP = "stop"
    FAILED = "failed"
    END = "end"
    NOTICE = "notice"  # of a permission, some seconds after it was asked


TOOL_ENDS = ("PostToolUse", "PostToolUseFailure")
ASKING = ("PermissionRequest", "Elicitation")
ASKS_KEPT = 32
PROCESSES_KEPT = 16
CONVERSATIONS_KEPT = 50

# A clock that was set back by more than this is believed, and what was told before is moved back with it.
CLOCK_SET = 60.0  # seconds; the hooks' own time limit is 10


class Launch(NamedTuple):
    """How Claude was started: process, conversation, `by` whom when it was not wts, on which host and boot."""

    at: float
    pid: int
    started: str
    conversation: str | None
    by: str | None
    host: str | None
    boot: str | None
    config: str | None
    launcher: tuple[int, str] | None  # the process that will tell the exit: pid and start time


class Ask(NamedTuple):
    """Something that was asked of the human: when last, when the tool it was about had ended."""

    at: float
    words: str
    ended: float = 0.0
    by_subagent: bool = False


class Heard:
    """What one process told: the latest event of each kind, what it asked, the conversations it was on.

    Each conversation has the time of its latest start; `goal` is the first prompt, with its time, and `human` when a
    human last typed one.
    """

    def __init__(
        self,
        kinds: dict[str, Event],
        asks: dict[str, Ask],
        conversations: dict[str, float],
        goal: tuple[float, str] | None = None,
        human: float = 0.0,
    ) -> None:
        self.kinds, self.asks, self.conversations = kinds, asks, conversations
        self.goal, self.human = goal, human

    @property
    def last(self) -> float:
        """When it last told anything that bears on the state; 0 when it never did."""
        asked = max((max(ask.at, ask.ended) for ask in self.asks.values()), default=0.0)
        return max(asked, max((event.at for event in self.kinds.values()), default=0.0))


class Told:
    """All that a session's log adds up to; begin with `Told()`."""

    def __init__(self) -> None:
        self.launch: Launch | None = None
        self.exit: tuple[float, int] | None = None  # when, and the exit status of that launch
        self.heard: dict[int | None, Heard] = {}
        self.conversations: list[str] = []  # of earlier launches, the newest last
        self.goal: tuple[float, str] | None = None  # the first prompt of an earlier launch
        self.said: tuple[float, str] | None = None  # the last sentence of an earlier launch
        self.looked = 0.0  # when a human last went to the session
        self.latest = 0.0  # the latest time told
        self.count = 0

    def own(self) -> Heard:
        """Return what the process that was launched has told, or another that took up its conversation.

        That one is Claude behind a wrapper script, or a background Claude that was attached to again.
        """
        return self._joined(self.own_pid())

    def own_pid(self) -> int | None:
        """Return the process whose events count, None before any launch."""
        if self.launch is None:
            return None
        pid = self.launch.pid
        known = {self.launch.conversation, *self._since_launch(pid).conversations}
        begun = self.launch.at
        for _ in range(PROCESSES_KEPT):
            later = [
                (at, other, conversations)
                for other in self.heard
                if other not in (None, pid)
                for conversations in [self._since_launch(other).conversations]
                for conversation, at in conversations.items()
                if conversation in known and at > begun
            ]
            if not later:
                break
            begun, pid, conversations = max(later, key=lambda found: found[0])
            assert pid is not None
            known |= set(conversations)
        return pid

    def history(self) -> list[str]:
        """Return every conversation the session has had, the newest last."""
        known = list(self.conversations)
        if self.launch is not None and self.launch.conversation is not None:
            known.append(self.launch.conversation)
        own = self.own().conversations
        known += sorted(own, key=lambda conversation: own[conversation])
        return list(dict.fromkeys(reversed(known)))[::-1]

    def _joined(self, pid: int | None) -> Heard:
        """What a process told, and what was told by one that could not be known."""
        heard, unknown = self._since_launch(pid), self._since_launch(None)
        if pid is None or None not in self.heard:
            return heard
        joined = Heard(dict(heard.kinds), {**unknown.asks, **heard.asks}, heard.conversations, heard.goal)
        for kind, event in unknown.kinds.items():
            _keep_latest(joined.kinds, kind, event)
        joined.human = max(heard.human, unknown.human)
        return joined

    def _since_launch(self, pid: int | None) -> Heard:
        """What a process has told since the launch."""
        heard, at = self.heard.get(pid, Heard({}, {}, {})), self.launch.at if self.launch else 0.0
        return Heard(
            {kind: event for kind, event in heard.kinds.items() if event.at >= at},
            {key: ask for key, ask in heard.asks.items() if ask.at >= at},
            {conversation: begun for conversation, begun in heard.conversations.items() if begun >= at},
            heard.goal if heard.goal and heard.goal[0] >= at else None,
            heard.human,
        )


def fold(events: Iterable[Event], told: Told | None = None) -> Told:
    """Add events to what was told so far, and return it; `told` itself is changed."""
    told = Told() if told is None else told
    for event in events:
        _add(told, event)
    return told


def ignored(told: Told, event: Event) -> str | None:
    """Return why an event of the log has no part in the state, None when it has one."""
    if event.name in ("launch", "exit", "looked"):
        return None
    if told.launch is None or event.at < told.launch.at:
        return "it was told before Claude was last started"
    if event.pid is not None and event.pid != told.own_pid():
        return f"it came from process {event.pid}, which is not the session's Claude"
    if event.text("agent_id") and event.name not in ASKING:
        return "a subagent's events do not change the session's state"
    if event.name in ASKING or kind_of(event) is not None:
        return None
    return "it says nothing about the state"


def kind_of(event: Event) -> Kind | None:
    """Return what an event tells of a turn, None when it tells nothing."""
    match event.name:
        case "SessionStart":
            return None if event.text("source") == "compact" else Kind.START  # that one comes within a turn
        case "UserPromptSubmit":
            return Kind.PROMPT
        case "PreToolUse" | "PostToolUse" | "PostToolUseFailure":
            return Kind.TOOL
        case "StopHeld":
            return Kind.HELD
        case "Stop":
            return Kind.STOP
        case "StopFailure":
            return Kind.FAILED
        case "SessionEnd":
            return None if event.text("reason") in ("clear", "resume") else Kind.END
        case "Notification":
            return Kind.NOTICE if event.text("notification_type") == "permission_prompt" else None
        case _:
            return None


# -- one event more ------------------------------------------------------------------------------


def _add(told: Told, event: Event) -> None:
    if event.at < told.latest - CLOCK_SET:
        _move_back(told, told.latest - event.at)
    told.latest = max(told.latest, event.at)
    told.count += 1
    match event.name:
        case "launch":
            _launch(told, event)
        case "exit":
            if told.launch and event.pid == told.launch.pid and event.at >= told.launch.at:
                told.exit = event.at, event.number("status")
        case "looked":
            told.looked = max(told.looked, event.at)
        case _:
            heard = told.heard.setdefault(event.pid, Heard({}, {}, {}))
            _hear(heard, event)
            if len(told.heard) > PROCESSES_KEPT:
                _forget_one(told)


def _launch(told: Told, event: Event) -> None:
    launch = Launch(
        at=event.at,
        pid=event.pid or 0,
        started=event.text("started") or "",
        conversation=event.text("conversation"),
        by=event.text("by"),
        host=event.text("host"),
        boot=event.text("boot"),
        config=_path(event.text("config")),
        launcher=_process(event.fields.get("launcher")),
    )
    if launch == told.launch:
        return
    own = told.own()
    told.conversations = told.history()[-CONVERSATIONS_KEPT:]
    told.goal = told.goal or own.goal
    told.said = said(own) or told.said
    told.launch, told.exit = launch, None
    told.heard = {pid: heard for pid, heard in told.heard.items() if heard.last >= launch.at}


def _path(text: str | None) -> str | None:
    """Return a text that can be a path; the system takes no NUL, and no lone surrogate but its own."""
    try:
        return None if text is None or b"\0" in os.fsencode(text) else text
    except UnicodeEncodeError:
        return None


def _process(value: object) -> tuple[int, str] | None:
    match value:
        case [int(pid), str(started)]:
            return pid, started
        case _:
            return None


def _hear(heard: Heard, event: Event) -> None:
    if event.name in ASKING:
        key = _key(event)
        ask = heard.asks.get(key) or Ask(event.at, question(event), by_subagent=bool(event.text("agent_id")))
        heard.asks[key] = ask._replace(at=max(ask.at, event.at))
        _forget_asks(heard)
        return
    if event.name in TOOL_ENDS:
        for key in (_key(event), *([""] if _is_mcp(event) else [])):
            if answered := heard.asks.get(key):
                heard.asks[key] = answered._replace(ended=max(answered.ended, event.at))
    if event.text("agent_id"):
        return  # a subagent's events never change the session's state, but what it asks is asked of the human
    kind = kind_of(event)
    if kind is not None:
        _keep_latest(heard.kinds, kind, event)
    conversation = event.text("conversation")
    if kind == Kind.START and conversation is not None:
        heard.conversations[conversation] = max(event.at, heard.conversations.get(conversation, 0.0))
    prompt = event.text("prompt") if kind == Kind.PROMPT else None
    if prompt is not None and not prompt.startswith(SELF_MADE):
        heard.human = max(heard.human, event.at)
        if heard.goal is None or event.at < heard.goal[0]:
            heard.goal = event.at, prompt


def _keep_latest(kinds: dict[str, Event], kind: str, event: Event) -> None:
    if kind not in kinds or kinds[kind].at < event.at:
        kinds[kind] = event


def _key(event: Event) -> str:
    """Return what a tool's end is known by as the end of what was asked; the question of a server is ''."""
    if event.name == "Elicitation":
        return ""
    return "\0".join(event.text(name) or "" for name in ("tool_name", "what", "agent_id"))


def _is_mcp(event: Event) -> bool:
    return (event.text("tool_name") or "").startswith("mcp__")


def _forget_asks(heard: Heard) -> None:
    """Keep the newest, and what is open before what was answered."""
    if len(heard.asks) > ASKS_KEPT:
        newest = sorted(
            heard.asks, key=lambda key: (heard.asks[key].ended < heard.asks[key].at, heard.asks[key].at)
        )
        del heard.asks[newest[0]]


def _forget_one(told: Told) -> None:
    own = told.own_pid()
    oldest = min((pid for pid in told.heard if pid not in (None, own)), key=lambda pid: told.heard[pid].last)
    del told.heard[oldest]


def _move_back(told: Told, by: float) -> None:
    """Move all that was told back in time, as the clock was."""

    def back(at: float) -> float:
        return max(0.0, at - by)

    if told.launch:
        told.launch = told.launch._replace(at=back(told.launch.at))
    if told.exit:
        told.exit = back(told.exit[0]), told.exit[1]
    told.looked = back(told.looked)
    told.latest = back(told.latest)
    for heard in told.heard.values():
        heard.human = back(heard.human)
        heard.goal = heard.goal and (back(heard.goal[0]), heard.goal[1])
        heard.kinds = {kind: event._replace(at=back(event.at)) for kind, event in heard.kinds.items()}
        heard.conversations = {one: back(at) for one, at in heard.conversations.items()}
        heard.asks = {
            key: ask._replace(at=back(ask.at), ended=back(ask.ended)) for key, ask in heard.asks.items()
        }


# -- in words ------------------------------------------------------------------------------------

# Tools whose permission request is a question to the human rather than a permission.
QUESTION_TOOLS = frozenset({"AskUserQuestion", "ExitPlanMode"})
VERBS = {
    "Bash": "run",
    "Write": "write",
    "Edit": "edit",
    "MultiEdit": "edit",
    "NotebookEdit": "edit",
    "Read": "read",
    "WebFetch": "fetch",
    "WebSearch": "search for",
    "Skill": "use the skill",
}


def question(event: Event) -> str:
    """Return what Claude asks its human, in one sentence."""
    if event.name == "Elicitation":
        return event.text("message") or "a question"
    tool, what = event.text("tool_name") or "a tool", " ".join((event.text("what") or "").split())
    if tool == "AskUserQuestion":
        return what or "a question"
    if tool == "ExitPlanMode":
        return "may it carry out its plan?"
    if tool in VERBS:
        return f"may it {VERBS[tool]} `{what}`?" if what else f"may it use {tool}?"
    return f"may it use {tool}: {what}?" if what else f"may it use {tool}?"


def said(heard: Heard) -> tuple[float, str] | None:
    """Return when Claude last said something at a turn's end, and what."""
    ends = [heard.kinds[kind] for kind in (Kind.STOP, Kind.FAILED) if kind in heard.kinds]
    texts = [(event.at, text) for event in ends if (text := event.text("last_assistant_message"))]
    return max(texts, default=None)


# -- kept between two looks ----------------------------------------------------------------------


def to_json(told: Told) -> dict[str, Any]:
    """Return it as JSON can hold it, the same for the same facts in whatever order they were told."""
    return {
        "version": VERSION,
        "launch": told.launch and told.launch._asdict(),
        "exit": told.exit,
        "heard": [
            [pid, _heard_to_json(told.heard[pid])] for pid in sorted(told.heard, key=lambda pid: pid or 0)
        ],
        "conversations": told.conversations,
        "goal": told.goal,
        "said": told.said,
        "looked": told.looked,
        "latest": told.latest,
        "count": told.count,
    }


def from_json(value: dict[str, Any]) -> Told:
    """Return what `to_json` was given; raise ValueError, KeyError or TypeError when it is something else."""
    if value["version"] != VERSION:
        raise ValueError("kept by another version")
    told = Told()
    told.launch = _launch_from_json(value["launch"])
    told.exit = _pair(value["exit"])
    told.heard = {pid: _heard_from_json(heard) for pid, heard in value["heard"]}
    told.conversations = value["conversations"]
    told.goal = _pair(value["goal"])
    told.said = _pair(value["said"])
    told.looked = value["looked"]
    told.latest = value["latest"]
    told.count = value["count"]
    return told


def _launch_from_json(value: dict[str, Any] | None) -> Launch | None:
    return None if value is None else Launch(**{**value, "launcher": _process(value["launcher"])})


def _heard_to_json(heard: Heard) -> list[Any]:
    return [heard.kinds, heard.asks, heard.conversations, heard.goal, heard.human]


def _heard_from_json(value: list[Any]) -> Heard:
    kinds, asks, conversations, goal, human = value
    return Heard(
        {kind: Event(*event) for kind, event in kinds.items()},
        {key: Ask(*ask) for key, ask in asks.items()},
        conversations,
        _pair(goal),
        human,
    )


def _pair(value: list[Any] | None) -> tuple[Any, Any] | None:
    return None if value is None else (value[0], value[1])
