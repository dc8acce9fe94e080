"""The order in which sessions come home."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worktree_sessions.errors import UsageError
from worktree_sessions.model.landing import Candidate, in_order, why_here
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


def test_why_a_session_stands_where_it_does() -> None:
    assert why_here(candidate(1), ()) == ""
    assert why_here(candidate(1), (1,)) == "first, as you said"
    assert why_here(candidate(1, held_back=1), ()) == "held back before, so first now"
    assert why_here(candidate(1, after=("s2",), stands_on=("s3",)), (1,)) == "after s2, s3"


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.none() | st.integers(0, 3), st.sets(st.integers(1, 8)), st.booleans()
        ),
        min_size=1,
        max_size=8,
    )
)
def test_what_lands_is_never_less_than_oldest_first_lands(
    facts: list[tuple[int, int | None, set[int], bool]],
) -> None:
    """Where whether a session conflicts hangs on no order: with the target, or on whom it comes after."""
    some, conflicting = [], set()
    for number, (since, held_back, after, conflicts) in enumerate(facts, 1):
        earlier = tuple(f"s{other}" for other in sorted(after) if other < number)
        some.append(candidate(number, since, held_back, earlier))
        if conflicts:
            conflicting.add(f"s{number}")

    def lands(ordered: list[Candidate]) -> set[str]:
        out = set(conflicting)
        for one in ordered:
            if one.after & out:
                out.add(one.session.name)
        return set(names(ordered)) - out

    ordered = in_order(some)
    plain = in_order([one._replace(held_back=None) for one in some])
    assert sorted(numbers(ordered)) == sorted(numbers(plain)) == list(range(1, len(some) + 1))
    assert all(names(ordered).index(other) < at for at, one in enumerate(ordered) for other in one.after)
    assert lands(ordered) == lands(plain)


@given(st.integers(2, 6), st.randoms(use_true_random=False))
def test_no_session_starves(count: int, random: object) -> None:
    """Every session conflicts with every other; each that lands comes back as new: all have landed after `count`."""
    held_back: dict[int, float | None] = dict.fromkeys(range(1, count + 1))
    seen = set()
    for day in range(1, 2 * count):
        some = [candidate(number, random.random(), since) for number, since in held_back.items()]  # type: ignore[attr-defined]
        first, *others = numbers(in_order(some))
        seen.add(first)
        held_back[first] = None
        for other in others:
            held_back[other] = held_back[other] or float(day)
    assert seen == set(held_back)


def test_the_order_hangs_on_nothing_but_the_facts() -> None:
    some = [candidate(1, 3), candidate(2, 2, after=("s1",)), candidate(3, 1, held_back=7)]
    for left, right in combinations(range(3), 2):
        shuffled = list(some)
        shuffled[left], shuffled[right] = shuffled[right], shuffled[left]
        assert numbers(in_order(shuffled)) == numbers(in_order(some))
