"""What `wts why` shows: a state with its evidence, and the log of events. All of it is other people's text, cleaned."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

from worktree_sessions.actions.why import Ignored, Why
from worktree_sessions.model import words
from worktree_sessions.model.events import Event
from worktree_sessions.model.session import Session
from worktree_sessions.model.state import about, worded
from worktree_sessions.views.console import clean
from worktree_sessions.views.jsonout import session_json
from worktree_sessions.views.listing import FACES, Shorten, one_line, painted, wrapped
from worktree_sessions.views.sessions import title

IGNORED_SHOWN = 10
LONGEST_TEXT = 5  # lines of a goal or a question
LEAST = 20  # columns for a text, be the terminal as narrow as it may
INDENT = "  "
SHARED = (
    *("number", "name", "state", "since", "reason", "question", "goal", "said", "attended"),
    *("ready", "blockers", "landed"),
)


def why_text(why: Why, *, width: int, color: bool) -> str:
    """Return the state of a session, since when and why: the facts, what was ignored, what was said."""
    look, now = why.look, why.look.now
    face = FACES[now.state]
    head = f"{clean(title(look.session))}: {_inked(f'{face.symbol} {face.word}', face.style, color=color)}"
    if now.since is not None:
        head += f" since {clock(now.since, why.at)} ({words.age(why.at - now.since)})"
    parts = [[head, *paragraph(now.reason, width)]]
    facts = [(clock(fact.at, why.at), fact.source, one_line(fact.says)) for fact in why.facts]
    parts.append(_section("facts", _table(facts, width), color=color))
    if why.ignored:
        parts.append(_section("ignored", _ignored(why, width), color=color))
    parts.append(_readiness(why, width, color=color))
    said = f'"{look.said}"' if look.said else None
    for label, text in (("goal", look.goal), ("said", said)):
        if lines := paragraph(text, width):
            parts.append(_section(label, lines, color=color))
    parts.append(
        _section("conversations", [f"{INDENT}{clean(one)}" for one in why.conversations], color=color)
    )
    return "\n\n".join("\n".join(part) for part in parts)


def why_json(why: Why) -> dict[str, Any]:
    """Return the data of `wts why --json`; what it shares with `wts list` has the same keys there."""
    told: Any = session_json(why.look, why.readiness)
    status = why.look.status
    return {
        **{key: told[key] for key in SHARED},
        "facts": [{"source": one.source, "at": _moment(one.at), "says": one.says} for one in why.facts],
        "ignored": [{**event_json(one.event), "why": one.why} for one in why.ignored[-IGNORED_SHOWN:]],
        "ignored_before": max(0, len(why.ignored) - IGNORED_SHOWN),
        "git": {**told["git"], "branch": status.branch if status else None, "problem": why.look.problem},
        "conversations": list(why.conversations),
    }


def events_text(events: Sequence[Event], *, count: int, session: Session, now: float, width: int) -> str:
    """Return the last events of a log, one a line: when, in which process, what."""
    if not events:
        return f"no event: Claude was never started in {title(session)}"
    rows = [
        (clock(event.at, now), str(event.pid or "?"), clean(event.name), one_line(about(event)))
        for event in events[-count:]
    ]
    before = len(events) - len(rows)
    more = [f"{words.counted(before, 'earlier event')}: {_command(session)} --events -n {len(events)}"]
    lines = [Shorten.end(f"{head}{text}".rstrip(), width) for head, text in _aligned(rows)]
    return "\n".join([*(more if before else []), *lines])


def events_json(events: Sequence[Event], *, count: int) -> dict[str, Any]:
    """Return the data of `wts why --events --json`."""
    return {
        "events": [event_json(event) for event in events[-count:]],
        "before": max(0, len(events) - count),
    }


def event_json(event: Event) -> dict[str, Any]:
    """Return one event of the log: when, its name, the process that told it, what it is about."""
    return {"at": _moment(event.at), "event": event.name, "pid": event.pid, "about": about(event) or None}


def clock(at: float, now: float) -> str:
    """Return a moment by the reader's clock, with its date unless it is today: 09:31:04."""
    moment, today = (datetime.fromtimestamp(one, timezone.utc).astimezone() for one in (at, now))
    return moment.strftime("%H:%M:%S" if moment.date() == today.date() else "%Y-%m-%d %H:%M:%S")


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds")


def _command(session: Session) -> str:
    return f"wts why {shlex.quote(clean(session.name))}"


def _readiness(why: Why, width: int, *, color: bool) -> list[str]:
    """Return that it may be merged now, or all that keeps it from that, each with its cure."""
    lines = []
    for blocker in why.readiness.blockers:
        lines.append(f"{INDENT}{Shorten.end(one_line(blocker.message), max(LEAST, width - len(INDENT)))}")
        lines += [f"{INDENT * 2}{clean(blocker.cure)}"] if blocker.cure else []
    title = "not ready" if lines else "ready to be merged"
    if why.look.session.held_back:
        lines.append(
            f"{INDENT}the last merge-ready left it out; wts merge-ready --dry-run says why it would now"
        )
    return _section(title, lines, color=color)


def _ignored(why: Why, width: int) -> list[str]:
    """Return a row for the last of each run of events that were ignored for one reason; the last runs only."""
    runs = [list(run) for _, run in itertools.groupby(why.ignored, key=lambda one: one.why)]
    before = sum(map(len, runs[:-IGNORED_SHOWN]))
    more = f"{INDENT}and {before} before these: {_command(why.look.session)} --events"
    rows = [_ignored_row(run, why.at) for run in runs[-IGNORED_SHOWN:]]
    return [*([more] if before else []), *_table(rows, width)]


def _ignored_row(run: Sequence[Ignored], now: float) -> tuple[str, ...]:
    *earlier, last = run
    like = f", like the {'one' if len(earlier) == 1 else len(earlier)} before it" if earlier else ""
    return clock(last.event.at, now), f"{one_line(worded(last.event))}{like}: {last.why}"


def _section(label: str, lines: Iterable[str], *, color: bool) -> list[str]:
    return [_inked(label, "bold", color=color), *lines]


def _inked(text: str, style: str, *, color: bool) -> str:
    return painted(text, style) if color else text


def paragraph(text: str | None, width: int) -> list[str]:
    """Return the harmless text below an indent, in a few lines at most; none without a text."""
    lines = wrapped(one_line(text), max(LEAST, width - len(INDENT)), most=LONGEST_TEXT)
    return [f"{INDENT}{line}" for line in lines if line]


def _table(rows: Sequence[tuple[str, ...]], width: int) -> list[str]:
    """Return rows with straight columns, indented; the last one goes on below itself."""
    lines: list[str] = []
    for head, text in _aligned(rows):
        edge = len(INDENT) + len(head)
        first, *rest = wrapped(text, max(LEAST, width - edge), most=LONGEST_TEXT)
        lines += [f"{INDENT}{head}{first}".rstrip(), *(" " * edge + line for line in rest)]
    return lines


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, str]]:
    """Return of each row its first cells, made straight, and its last."""
    heads = [row[:-1] for row in rows]
    widths = [max(map(len, column)) for column in zip(*heads, strict=True)]
    straight = [
        "".join(f"{cell:{size}}  " for cell, size in zip(head, widths, strict=True)) for head in heads
    ]
    return [(head, row[-1]) for head, row in zip(straight, rows, strict=True)]
