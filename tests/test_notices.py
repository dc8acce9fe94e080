"""What a human is told, when and in which words: any day, quiet hours, and the traps one by one."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import looks
from worktree_sessions.model import notices
from worktree_sessions.model.notices import Attention, Due, Ledger, Matter, Sight, quiet_until
from worktree_sessions.model.session import Fact, Session, State, StateNow
from worktree_sessions.model.settings import Settings, resolve

DEFAULTS = resolve([]).settings
NIGHT = 1_800_000_000.0 // 86400 * 86400  # a midnight, UTC
MATTERS = {State.WAITING: Matter.NEEDS_YOU, State.FAILED: Matter.BROKEN, State.IDLE: Matter.DONE}


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    """Have the C library read TZ, which every test has set to UTC; afterwards again."""
    time.tzset()
    yield
    time.tzset()


def choose(**values: Any) -> Settings:
    return dataclasses.replace(DEFAULTS, **{f"notify_{key}": value for key, value in values.items()})


def session(number: int, name: str = "auth-frontend") -> Session:
    return looks.a_look(number, name).session


def sight(state: State, since: float, reason: str | None = None, *, number: int = 1, **more: Any) -> Sight:
    """Return a session whose state was told by an event, unless `by` says otherwise."""
    facts = (Fact(more.pop("by", "event"), since, ""),)
    return Sight(session(number), StateNow(state, since, reason, facts, **more), "The form is there.")


def due(
    sights: list[Sight],
    ledger: Ledger,
    at: float,
    chosen: Settings = DEFAULTS,
    attention: Attention = Attention.NONE,
) -> Due:
    found = notices.due(sights, ledger, at, chosen, lambda _: attention)
    kept = notices.from_json(json.loads(json.dumps(notices.to_json(found.ledger))))
    assert kept == found.ledger
    return found


def told(found: Due) -> list[tuple[int, str, bool]]:
    return [(one.sight.session.number, str(one.matter), one.again) for one in found.news]


# -- what is due: any day ----------------------------------------------------------------------------


class Phase(NamedTuple):
    """A session is in a state for a while; the turn took an hour when it is idle."""

    begin: float
    end: float
    sight: Sight


def phases_of(number: int, begin: float) -> st.SearchStrategy[list[Phase]]:
    states = [State.WAITING, State.FAILED, State.IDLE, State.WORKING, State.INTERRUPTED, State.ENDED]
    legs = st.lists(st.tuples(st.sampled_from(states), st.integers(10, 5000)), min_size=1, max_size=8)

    def lay_out(rows: list[tuple[State, int]]) -> list[Phase]:
        ends = [begin + at for at in accumulate(seconds for _, seconds in rows)]
        begins = [begin, *ends]
        turns = [3600.0 if state is State.IDLE else None for state, _ in rows]
        sights = [
            sight(
                state, at, "may it run `make`?" if state is State.WAITING else None, number=number, turn=turn
            )
            for (state, _), at, turn in zip(rows, begins, turns, strict=False)
        ]
        return [Phase(*row) for row in zip(begins, ends, sights, strict=False)]

    return legs.map(lay_out)


@st.composite
def days(draw: st.DrawFn) -> list[list[Phase]]:
    count = draw(st.integers(1, 3))
    return [draw(phases_of(n, NIGHT + draw(st.integers(0, 30_000)))) for n in range(1, count + 1)]


class Told(NamedTuple):
    at: float
    phase: Phase
    again: bool


def live_through(day: list[list[Phase]], chosen: Settings, others: list[int]) -> list[Told]:
    """Look as `notify.attend` does, at each change and whenever it asks to, and at some other times; tell all."""
    ledger: Ledger = {}
    done: list[Told] = []
    looks_at = sorted([phase.begin for row in day for phase in row] + [NIGHT + at for at in others])
    wake: float | None = None
    while looks_at or wake is not None:
        at = min([*looks_at[:1], *([] if wake is None else [wake])])
        looks_at = [one for one in looks_at if one > at]
        now = {row: next((p for p in day[row] if p.begin <= at < p.end), None) for row in range(len(day))}
        seen = {phase.sight.session.number: phase for phase in now.values() if phase}
        found = due([phase.sight for phase in seen.values()], ledger, at, chosen)
        ledger, wake = found.ledger, found.wake
        assert wake is None or wake > at
        done += [Told(at, seen[one.sight.session.number], one.again) for one in found.news]
    return done


@settings(deadline=None)
@given(day=days(), others=st.lists(st.integers(0, 60_000), max_size=10), repeat=st.sampled_from([0, 60, 900]))
def test_each_spell_is_told_once_when_it_begins_and_repeated_while_it_lasts(
    day: list[list[Phase]], others: list[int], repeat: int
) -> None:
    chosen = choose(repeat=float(repeat))
    done = live_through(day, chosen, others)
    for phase in (phase for row in day for phase in row):
        own = [one for one in done if one.phase is phase]
        if phase.sight.now.state not in MATTERS:
            assert own == []
            continue
        assert [(one.at, one.again) for one in own[:1]] == [(phase.begin, False)]
        assert all(one.again for one in own[1:])
        gaps = [later.at - one.at for one, later in pairwise(own)]
        assert all(repeat - chosen.notify_join <= gap <= repeat for gap in gaps)
        repeats = phase.sight.now.state is State.WAITING and repeat > 0
        assert (phase.end - own[-1].at <= repeat) if repeats else len(own) == 1


@settings(deadline=None)
@given(
    day=days(),
    others=st.lists(st.integers(0, 60_000), max_size=10),
    quiet=st.sampled_from(["22:00-08:00", "00:00-00:30", "01:00-06:45", "23:59-00:01"]),
)
def test_in_quiet_hours_nothing_is_told_and_what_lasts_is_told_at_their_end(
    day: list[list[Phase]], others: list[int], quiet: str
) -> None:
    done = live_through(day, choose(quiet=quiet), others)
    assert [one for one in done if quiet_until(one.at, quiet)] == []
    for phase in (phase for row in day for phase in row if phase.sight.now.state in MATTERS):
        begins = quiet_until(phase.begin, quiet) or phase.begin
        own = [one.at for one in done if one.phase is phase and not one.again]
        assert own == ([begins] if begins < phase.end else [])


@settings(deadline=None)
@given(
    at=st.integers(0, 10 * 86400), times=st.lists(st.integers(0, 1439), min_size=2, max_size=2, unique=True)
)
def test_quiet_hours_are_those_of_the_clock(at: int, times: list[int]) -> None:
    begin, end = times
    hours = "-".join(f"{minutes // 60:02}:{minutes % 60:02}" for minutes in times)
    until = quiet_until(NIGHT + at, hours)
    minute = at // 60 % 1440
    assert (until is not None) == ((minute - begin) % 1440 < (end - begin) % 1440)
    if until is not None:
        assert until > NIGHT + at
        assert (until - NIGHT) % 86400 == end * 60
        assert until - (NIGHT + at) <= 86400


def test_quiet_hours_end_though_the_clock_is_put_back_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    second_half_past_two = 1_761_442_200.0  # 2025-10-26 02:30, for the second time
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Europe/Berlin")
        time.tzset()
        until = quiet_until(second_half_past_two, "22:00-02:45")
    assert until is not None
    assert until > second_half_past_two


# -- what is due: single cases -----------------------------------------------------------------------


def test_a_question_is_told_once_whoever_words_it_first() -> None:
    by_registry = sight(State.WAITING, 100.02, "a permission", by="registry")
    by_event = sight(State.WAITING, 100.1, "may it run `make`?")
    first = due([by_registry], {}, 101)
    assert (told(first), first.wake) == ([], 101 + notices.HOLDS)

    in_its_own_words = due([by_event], first.ledger, 101.5)
    assert told(in_its_own_words) == [(1, "needs you", False)]
    assert told(due([by_registry], in_its_own_words.ledger, 110)) == []

    nothing_more_came = due([by_registry], first.ledger, 101 + notices.HOLDS)
    assert told(nothing_more_came) == [(1, "needs you", False)]
    assert told(due([by_event], nothing_more_came.ledger, 110)) == []
    late = sight(State.WAITING, 106, "Claude needs your permission")
    assert told(due([late], nothing_more_came.ledger, 110)) == []


def test_the_next_question_is_told_though_it_comes_at_once() -> None:
    first = due([sight(State.WAITING, 100, "may it run `make`?")], {}, 101)
    assert told(due([sight(State.WAITING, 103, "may it run `make`?")], first.ledger, 104)) == []
    assert told(due([sight(State.WAITING, 103, "may it run `rm`?")], first.ledger, 104)) != []
    assert told(due([sight(State.WAITING, 106, "may it run `make`?")], first.ledger, 107)) != []
    more = sight(State.WAITING, 100, "may it run `make`? (and 1 more)")
    assert told(due([more], first.ledger, 104)) == []


def test_a_state_that_is_not_known_for_a_moment_does_not_begin_anew() -> None:
    waiting = sight(State.WAITING, 100, "may it run `make`?")
    first = due([waiting], {}, 101)
    unknown = due([sight(State.UNKNOWN, 100)], first.ledger, 102)
    assert told(due([waiting], unknown.ledger, 103)) == []


def test_a_claude_that_is_gone_is_told_once_with_how_it_ended() -> None:
    gone = sight(State.FAILED, 50, "Claude is gone and its launcher told nothing: killed", by="process")
    killed = sight(State.FAILED, 101, "Claude was killed by SIGKILL")
    first = due([gone], {}, 101)
    assert told(first) == []
    second = due([killed], first.ledger, 101.2)
    assert told(second) == [(1, "broken", False)]
    assert told(due([gone], first.ledger, 101 + notices.HOLDS)) == [(1, "broken", False)]


@pytest.mark.parametrize(("turn", "is_told"), [(None, False), (1.0, False), (60.0, False), (60.5, True)])
def test_a_turn_is_done_when_it_took_long(turn: float | None, is_told: bool) -> None:
    assert bool(told(due([sight(State.IDLE, 100, turn=turn)], {}, 101))) is is_told


@pytest.mark.parametrize("state", [one for one in State if one not in (*MATTERS, State.LIMITED)])
def test_no_other_state_is_told(state: State) -> None:
    assert due([sight(state, 100, turn=3600.0)], {}, 101) == Due((), {}, None)


def test_what_a_human_watches_is_held_back_until_they_leave() -> None:
    waiting = sight(State.WAITING, 100, "may it run `make`?")
    held = due([waiting], {}, 101, attention=Attention.WATCHING)
    assert (told(held), held.wake) == ([], 101 + notices.FOCUS)
    assert told(due([waiting], held.ledger, 106)) == [(1, "needs you", False)]


def test_what_a_human_has_seen_counts_as_told() -> None:
    done = sight(State.IDLE, 100, turn=3600.0)
    seen = due([done], {}, 101, attention=Attention.ACTED)
    assert (told(seen), seen.wake) == ([], None)
    assert told(due([done], seen.ledger, 200)) == []

    waiting = sight(State.WAITING, 100, "may it run `make`?")
    seen = due([waiting], {}, 101, choose(repeat=60.0), attention=Attention.ACTED)
    assert (told(seen), seen.wake) == ([], 161)
    assert told(due([waiting], seen.ledger, 161, choose(repeat=60.0))) == [(1, "needs you", True)]


def test_what_no_channel_took_is_told_once_more() -> None:
    failed = sight(State.FAILED, 100, "overloaded")
    first = due([failed], {}, 101)
    ledger = notices.not_delivered(first.ledger, first.news)
    waits = due([failed], ledger, 110)
    assert (told(waits), waits.wake) == ([], 101 + notices.RETRY)
    second = due([failed], ledger, 101 + notices.RETRY)
    assert told(second) == [(1, "broken", False)]
    ledger = notices.not_delivered(second.ledger, second.news)
    assert due([failed], ledger, 1000) == Due((), ledger, None)


def test_a_closed_session_is_forgotten() -> None:
    first = due([sight(State.FAILED, 100)], {}, 101)
    assert due([], first.ledger, 102) == Due((), {}, None)


def test_repeats_that_are_nearly_due_are_joined() -> None:
    first = due([sight(State.WAITING, 100, "a?")], {}, 100)
    both = [sight(State.WAITING, 100, "a?"), sight(State.WAITING, 101, "b?", number=2)]
    second = due(both, first.ledger, 101)
    assert told(second) == [(2, "needs you", False)]
    assert told(due(both, second.ledger, 1000)) == [(1, "needs you", True), (2, "needs you", True)]


# -- in words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "title", "body"),
    [
        (sight(State.WAITING, 100, "may it run `make`?"), "1 auth-frontend needs you", "may it run `make`?"),
        (sight(State.LIMITED, 100, "rate_limit"), "1 auth-frontend is limited", "rate_limit"),
        (sight(State.FAILED, 100, "killed by SIGKILL"), "1 auth-frontend failed", "killed by SIGKILL"),
        (sight(State.IDLE, 100, turn=720.0), "1 auth-frontend is done", "after 12m: The form is there."),
    ],
)
def test_a_notice_names_number_name_and_reason(seen: Sight, title: str, body: str) -> None:
    found = due([seen], {}, 101)
    later = notices.notice_of(found.news, 101, project="shop")
    assert (later.title, later.body) == (title, body)
    assert later.urgent is (seen.now.state is not State.IDLE)
    assert later.facts["project"] == "shop"


def test_several_are_joined_into_one_the_most_urgent_first() -> None:
    seen = [
        sight(State.IDLE, 90, turn=720.0, number=1),
        sight(State.WAITING, 100, "b?", number=2),
        sight(State.WAITING, 95, "a?", number=3),
    ]
    notice = notices.notice_of(due(seen, {}, 101).news, 101, project="shop")
    assert notice.title == "3 sessions: 2 need you, 1 done"
    assert notice.body.splitlines() == [
        "3 auth-frontend needs you: a?",
        "2 auth-frontend needs you: b?",
        "1 auth-frontend is done: after 12m: The form is there.",
    ]
    assert [one["number"] for one in notice.facts["sessions"]] == [3, 2, 1]  # type: ignore[attr-defined]


def test_a_repeat_says_for_how_long() -> None:
    waiting = sight(State.WAITING, 100, "a?")
    again = due([waiting], due([waiting], {}, 100).ledger, 1000)
    assert notices.notice_of(again.news, 1000, project="shop").title == "1 auth-frontend still needs you, 15m"
