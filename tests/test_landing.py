"""The order in which sessions come home."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worktree_sessions.errors import UsageError
from worktree_sessions.model.landing import Candidate, build_best, in_order, why_here
from worktree_sessions.model.session import Session
from worktree_sessions.outside.git import BranchName, Oid

Lands = Callable[[list[str]], list[str]]


def session(number: int, after: tuple[str, ...] = ()) -> Session:
    name = f"s{number}"
    return Session(
        id=name,
        number=number,
        name=name,
        feature="auth",
        purpose=name,
        role=None,
        branch=BranchName(f"feature/{name}"),
        parent=BranchName("feature/auth"),
        worktree=Path("/tmp", name),
        display=name,
        conversation=name,
        created=datetime.now(timezone.utc),
        base=Oid("0" * 40),
        after=after,
    )


def candidate(
    number: int,
    since: float = 0.0,
    held_back: float | None = None,
    after: tuple[str, ...] = (),
    stands_on: tuple[str, ...] = (),
) -> Candidate:
    return Candidate(session(number, after), Oid(str(number) * 40), since, held_back, stands_on=stands_on)


def numbers(candidates: list[Candidate]) -> list[int]:
    return [one.session.number for one in candidates]


def names(candidates: list[Candidate]) -> list[str]:
    return [one.session.name for one in candidates]


def test_the_oldest_comes_first_and_the_number_decides_between_equals() -> None:
    assert numbers(in_order([candidate(1, 9), candidate(3, 5), candidate(2, 5)])) == [2, 3, 1]


def test_who_is_held_back_longest_comes_before_the_oldest() -> None:
    found = in_order([candidate(1, 1), candidate(2, 9, held_back=50), candidate(3, 8, held_back=40)])
    assert numbers(found) == [3, 2, 1]


def test_the_user_s_order_comes_before_all_but_after() -> None:
    some = [candidate(1, 1), candidate(2, 2, held_back=1), candidate(3, 3), candidate(4, 4, after=("s1",))]
    assert numbers(in_order(some, [4, 3])) == [3, 2, 1, 4]


def test_after_comes_first_of_all_and_who_is_not_there_is_not_waited_for() -> None:
    some = [
        candidate(1, 1, after=("s3", "gone")),
        candidate(2, 2, held_back=1, after=("s1",)),
        candidate(3, 3),
    ]
    assert numbers(in_order(some)) == [3, 1, 2]


def test_who_contains_another_s_commits_comes_after_it() -> None:
    assert numbers(in_order([candidate(1, 1, stands_on=("s2",)), candidate(2, 2)])) == [2, 1]


def test_a_circle_is_named_without_who_only_waits_for_it() -> None:
    some = [candidate(3, after=("s1",)), candidate(1, after=("s2",)), candidate(2, after=("s1",))]
    with pytest.raises(UsageError) as refused:
        in_order(some)
    assert refused.value.code == "after-circle"
    assert refused.value.message in ("s1 comes after s2 comes after s1", "s2 comes after s1 comes after s2")
    assert refused.value.hint in ("wts ready 1 --after-nobody", "wts ready 2 --after-nobody")


def test_the_way_out_of_a_circle_is_with_who_was_told_to_wait() -> None:
    for told, stands in ((1, 2), (2, 1)):
        some = [candidate(told, after=(f"s{stands}",)), candidate(stands, stands_on=(f"s{told}",))]
        with pytest.raises(UsageError) as refused:
            in_order(some)
        assert refused.value.hint == f"wts ready {told} --after-nobody"


def test_why_a_session_stands_where_it_does() -> None:
    assert why_here(candidate(1), ()) == ""
    assert why_here(candidate(1), (1,)) == "first, as you said"
    assert why_here(candidate(1, held_back=1), ()) == "held back before, so first now"
    assert why_here(candidate(1, after=("s2",), stands_on=("s3",)), (1,)) == "after s2, s3"


Conflicts = frozenset[frozenset[int]]  # each of one session, with the target, or of two


def lands(ordered: list[Candidate], conflicts: Conflicts) -> list[Candidate]:
    """Return who lands, one after the other, when these conflict and nobody lands before whom it comes after."""
    home: list[Candidate] = []
    out: set[str] = set()
    for one in ordered:
        rivals = [frozenset({one.session.number, other.session.number}) for other in home]
        if one.after & out or not conflicts.isdisjoint([frozenset({one.session.number}), *rivals]):
            out.add(one.session.name)
        else:
            home.append(one)
    return home


def conflicts_among(most: int) -> st.SearchStrategy[Conflicts]:
    numbers = st.integers(1, most)
    return st.frozensets(st.frozensets(numbers, min_size=1, max_size=2), max_size=12)


PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@PATIENT
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.none() | st.integers(0, 3), st.sets(st.integers(1, 8))),
        min_size=1,
        max_size=8,
    ),
    conflicts_among(8),
)
def test_what_lands_is_never_less_than_oldest_first_lands(
    facts: list[tuple[int, int | None, set[int]]], conflicts: Conflicts
) -> None:
    """Whoever conflicts with whom, and whoever was held back or comes after another."""
    some = []
    for number, (since, held_back, after) in enumerate(facts, 1):
        earlier = tuple(f"s{other}" for other in sorted(after) if other < number)
        some.append(candidate(number, since, held_back, earlier))
    plain = lands(in_order([one._replace(held_back=None) for one in some]), conflicts)
    usual = lands(in_order(some), conflicts)

    home, is_by_age = build_best(some, (), lambda ordered: lands(ordered, conflicts), len)

    assert len(home) == max(len(plain), len(usual))
    assert is_by_age == (len(plain) > len(usual))


@PATIENT
@given(st.integers(2, 7), conflicts_among(7))
def test_no_session_starves(count: int, pairs: Conflicts) -> None:
    """Whatever conflicts with what, and each that lands comes back with more: all have landed after `count` days."""
    conflicts = frozenset(pair for pair in pairs if len(pair) == 2)
    some = [candidate(number, number) for number in range(1, count + 1)]
    seen: set[int] = set()
    for day in range(1, count + 1):
        home, _ = build_best(some, (), lambda ordered: lands(ordered, conflicts), len)
        landed = {one.session.number for one in home}
        seen |= landed
        some = [
            one._replace(since=100.0 * day, held_back=None)
            if one.session.number in landed
            else one._replace(held_back=one.held_back or 100.0 * day)
            for one in some
        ]
    assert seen == set(range(1, count + 1))


def test_the_order_hangs_on_nothing_but_the_facts() -> None:
    some = [candidate(1, 3), candidate(2, 2, after=("s1",)), candidate(3, 1, held_back=7)]
    for left, right in combinations(range(3), 2):
        shuffled = list(some)
        shuffled[left], shuffled[right] = shuffled[right], shuffled[left]
        assert numbers(in_order(shuffled)) == numbers(in_order(some))
