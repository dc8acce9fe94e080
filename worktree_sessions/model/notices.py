"""What a human is to be told, when, and in which words. All of it is pure: `actions/notify.py` looks and tells.

Three matters are told: a session needs you, is broken, or is done. Each spell of one is told once; the ledger keeps
which were. A spell is known by its beginning, since a session may need you twice for the same reason.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from worktree_sessions.model.session import Session, State, StateNow, iso
from worktree_sessions.model.settings import Settings
from worktree_sessions.model.words import age, counted
from worktree_sessions.outside.notifiers import Notice

SAME = 5.0  # seconds by which the beginning of one spell may be told differently
SAME_IF_VAGUE = 10.0  # the notification that may replace the registry's wording comes 6 s later
HOLDS = 2.0  # seconds after which a vague spell is told in its own words
FOCUS = 5.0  # seconds until it is looked again whether a human is still in the session's terminal
RETRY = 60.0  # seconds until what no channel took is told once more


class Matter(enum.StrEnum):
    """What is told of a session, the most urgent first."""

    NEEDS_YOU = "needs you"
    BROKEN = "broken"
    DONE = "done"


class Attention(enum.Enum):
    """What a human does in a session's terminal: nothing that is known of, is there, or did something since."""

    NONE = enum.auto()
    WATCHING = enum.auto()
    ACTED = enum.auto()  # pressed a key there since the state began


class Sight(NamedTuple):
    """A session as it was seen: its state, the last sentence that its agent said, whether a hook told the state."""

    session: Session
    now: StateNow
    said: str | None = None
    by_hook: bool = False


class Spell(NamedTuple):
    """One time that a session was in a matter: since when, why, when it was first seen, and last told.

    It is vague while the reason is not the session's own words, which may follow: the registry's, or that Claude is
    gone. `retry` says that no channel took it.
    """

    since: float
    reason: str | None
    vague: bool
    seen: float
    told: float | None = None
    retry: bool = False


Key = tuple[str, Matter]  # a session's id, and what is told of it
Ledger = Mapping[Key, Spell]


class News(NamedTuple):
    """Something to be told now; `again` when it was told before and goes on, `retried` when nobody could be told."""

    sight: Sight
    matter: Matter
    again: bool = False
    retried: bool = False

    @property
    def key(self) -> Key:
        return self.sight.session.id, self.matter


class Due(NamedTuple):
    """What is to be told now, the ledger when it is, and when to look again (Unix seconds, None: no need)."""

    news: tuple[News, ...]
    ledger: Ledger
    wake: float | None


def due(
    sights: Sequence[Sight],
    ledger: Ledger,
    at: float,
    settings: Settings,
    attention: Callable[[Sight], Attention],
) -> Due:
    """Return what is to be told at this moment; `attention` is asked only about what would be told."""
    ids = {sight.session.id for sight in sights}
    kept = {key: spell for key, spell in ledger.items() if key[0] in ids}
    quiet = quiet_until(at, settings.notify_quiet)
    news: list[News] = []
    wakes: list[float] = []
    for sight in sights:
        matter = matter_of(sight.now, settings)
        if matter is None:
            continue
        key = sight.session.id, matter
        spell = _spell(kept.get(key), sight.now, at)
        when = _when(matter, spell, settings)
        slack = 0.0 if spell.told is None else settings.notify_join  # what is told again is joined, too
        if when is not None and when - slack <= at:
            look = Attention.NONE if quiet else attention(sight)
            if quiet or look is Attention.WATCHING:
                when = quiet or at + FOCUS
            else:
                if look is Attention.NONE:
                    again = spell.told is not None and not spell.retry
                    news.append(News(sight, matter, again=again, retried=spell.retry))
                spell = spell._replace(told=at, retry=False)
                when = _when(matter, spell, settings)
        kept[key] = spell
        wakes += [] if when is None else [when]
    return Due(tuple(sorted(news, key=_urgency)), kept, min(wakes, default=None))


def not_delivered(ledger: Ledger, news: Sequence[News]) -> Ledger:
    """Return the ledger when no channel took these news: once each is tried again."""
    missed = {one.key for one in news if not one.retried}
    return {key: spell._replace(retry=key in missed or spell.retry) for key, spell in ledger.items()}


def matter_of(now: StateNow, settings: Settings) -> Matter | None:
    """Return what a state is told as, None when it is not told."""
    if now.state is State.WAITING:
        return Matter.NEEDS_YOU
    if now.state in (State.FAILED, State.LIMITED):
        return Matter.BROKEN
    if now.state is State.IDLE and now.turn is not None and now.turn > settings.notify_done_after:
        return Matter.DONE
    return None


def quiet_until(at: float, hours: str) -> float | None:
    """Return when the quiet hours end that a moment lies in, None when it lies in none; local time."""
    if not hours:
        return None
    now = datetime.fromtimestamp(at)  # noqa: DTZ006 (the hours are those of the clock on the wall)
    begin, end = (datetime.strptime(text, "%H:%M").time() for text in hours.split("-"))  # noqa: DTZ007
    clock = now.time()
    is_quiet = begin <= clock < end if begin < end else clock >= begin or clock < end
    if not is_quiet:
        return None
    until = datetime.combine(now.date(), end) + timedelta(days=clock >= end)
    return max(until.timestamp(), at + 1)  # an hour that the clock shows twice has begun already


def _spell(old: Spell | None, now: StateNow, at: float) -> Spell:
    """Return the spell that a session is in: the one that is known, in its newest words, or a new one."""
    vague = bool(now.facts) and now.facts[0].source != "event"
    new = Spell(now.since or 0.0, now.reason, vague, seen=at)
    if old is None or not _is_same(old, new):
        return new
    return old._replace(since=new.since, reason=new.reason, vague=new.vague)


def _is_same(old: Spell, new: Spell) -> bool:
    apart = abs(new.since - old.since)
    if old.vague or new.vague:
        return apart < SAME_IF_VAGUE
    return apart == 0 or (apart < SAME and old.reason is not None and old.reason == new.reason)


def _when(matter: Matter, spell: Spell, settings: Settings) -> float | None:
    """Return when a spell is to be told, or told again; None when it has been."""
    if spell.told is None:
        return spell.seen + HOLDS if spell.vague else spell.seen
    if spell.retry:
        return spell.told + RETRY
    if matter is Matter.NEEDS_YOU and settings.notify_repeat:
        return spell.told + settings.notify_repeat
    return None


def _urgency(news: News) -> tuple[int, float, int]:
    return list(Matter).index(news.matter), news.sight.now.since or 0.0, news.sight.session.number


# -- in words ----------------------------------------------------------------------------------------


def notice_of(news: Sequence[News], at: float, *, project: str) -> Notice:
    """Return one notice that tells all the news."""
    lines = [(headline(one, at), about(one)) for one in news]
    facts = {"project": project, "sessions": [facts_of(one) for one in news]}
    is_urgent = any(one.matter is not Matter.DONE for one in news)
    if len(news) == 1:
        return Notice(*lines[0], is_urgent, facts)
    body = "\n".join(f"{head}: {text}" if text else head for head, text in lines)
    return Notice(_counts(news), body, is_urgent, facts)


def headline(news: News, at: float) -> str:
    """Return which session it is, and what it is told for."""
    session, now = news.sight.session, news.sight.now
    who = f"{session.number} {session.name}"
    if news.matter is Matter.NEEDS_YOU:
        return f"{who} still needs you, {age(at - (now.since or at))}" if news.again else f"{who} needs you"
    if news.matter is Matter.DONE:
        return f"{who} is done"
    return f"{who} is limited" if now.state is State.LIMITED else f"{who} failed"


def about(news: News) -> str:
    """Return the question, or the reason, or what the agent said at its turn's end."""
    now = news.sight.now
    if news.matter is Matter.DONE:
        return ": ".join(filter(None, (f"after {age(now.turn or 0)}", news.sight.said)))
    return now.reason or ""


def facts_of(news: News) -> dict[str, Any]:
    """Return one piece of news as JSON."""
    session, now = news.sight.session, news.sight.now
    return {
        "number": session.number,
        "name": session.name,
        "matter": news.matter.value,
        "state": now.state.value,
        "since": iso(datetime.fromtimestamp(now.since or 0.0, timezone.utc)),
        "reason": now.reason,
        "said": news.sight.said,
        "again": news.again,
    }


def _counts(news: Sequence[News]) -> str:
    """Return how many sessions each matter concerns: 3 sessions: 2 need you, 1 done."""
    counts = {matter: sum(one.matter is matter for one in news) for matter in Matter}
    texts = [_count(matter, count) for matter, count in counts.items() if count]
    return f"{counted(len(news), 'session')}: {', '.join(texts)}"


def _count(matter: Matter, count: int) -> str:
    return f"{count} need you" if matter is Matter.NEEDS_YOU and count > 1 else f"{count} {matter}"


# -- the ledger, as it is kept -------------------------------------------------------------------


def to_json(ledger: Ledger) -> list[Any]:
    """Return it as JSON can hold it."""
    return [[*key, *spell] for key, spell in ledger.items()]


def from_json(rows: list[Any]) -> Ledger:
    """Return what `to_json` was given; raise ValueError or TypeError when it is something else."""
    return {(name, Matter(matter)): Spell(*spell) for name, matter, *spell in rows}
