"""Lists begin with who needs the reader."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.looks import a_look
from worktree_sessions.model.ordering import RANKS, READY, order
from worktree_sessions.model.session import State


def test_needs_you_comes_first_then_failed_idle_working_and_ended() -> None:
    states = [State.ENDED, State.WORKING, State.IDLE, State.FAILED, State.WAITING]
    looks = [a_look(number, state.value, state) for number, state in enumerate(states, 1)]
    assert [look.session.number for look in order(looks)] == [5, 4, 3, 2, 1]


def test_the_longest_waiting_comes_first_and_one_of_unknown_age_last() -> None:
    looks = [
        a_look(1, "recent", State.WAITING, since=5),
        a_look(2, "unknown", State.WAITING, since=None),
        a_look(3, "long", State.WAITING, since=500),
        a_look(4, "also-long", State.WAITING, since=500),
    ]
    assert [look.session.number for look in order(looks)] == [3, 4, 1, 2]


def test_ready_comes_before_idle_and_never_hides_who_needs_you() -> None:
    looks = [
        a_look(1, "idle", State.IDLE),
        a_look(2, "done", State.ENDED),
        a_look(3, "failed", State.FAILED),
        a_look(4, "asks", State.WAITING),
    ]
    assert [look.session.number for look in order(looks, ready={"done", "asks"})] == [4, 3, 2, 1]


def test_every_state_has_a_place() -> None:
    assert set(RANKS) == {*State, READY}


@given(st.lists(st.tuples(st.sampled_from(State), st.none() | st.floats(0, 1e6)), max_size=20))
def test_the_order_does_not_depend_on_where_the_sessions_came_from(
    rows: list[tuple[State, float | None]],
) -> None:
    looks = [a_look(number, f"s{number}", state, since=since) for number, (state, since) in enumerate(rows)]
    assert order(looks) == order(reversed(looks))
