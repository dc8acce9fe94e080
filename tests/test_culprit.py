"""The search for who turns it red: what lands is green, who is held back is guilty, and it asks within its bound."""

from __future__ import annotations

from math import ceil, log2

from hypothesis import given
from hypothesis import strategies as st

from worktree_sessions.model.culprit import search, smallest_red_with

SETS = st.lists(st.frozensets(st.integers(0, 11), min_size=1, max_size=3), max_size=4)


class Command:
    """A test command: red when all of one of the bad sets are in. It is never asked for the same twice."""

    def __init__(self, bad: list[frozenset[int]], *, base_is_red: bool = False) -> None:
        self.bad, self.base_is_red = bad, base_is_red
        self.asked: list[tuple[int, ...]] = []

    def __call__(self, items: tuple[int, ...]) -> bool:
        assert items not in self.asked, "asked twice"
        assert list(items) == sorted(items), "not in their order"
        self.asked.append(items)
        return not self.base_is_red and not self.is_bad(items)

    def is_bad(self, items: tuple[int, ...]) -> bool:
        return any(one <= set(items) for one in self.bad)


def steps(count: int) -> int:
    """Return how often a bisection of so many asks at most."""
    return ceil(log2(count)) if count else 0


@given(st.integers(0, 12), SETS)
def test_what_lands_is_green_and_who_is_held_back_is_guilty(count: int, bad: list[frozenset[int]]) -> None:
    tests = Command(bad)
    found = search(range(count), tests)
    assert not tests.is_bad(found.landed)
    assert sorted((*found.landed, *found.guilty)) == list(range(count))
    for guilty in found.guilty:
        earlier = tuple(item for item in found.landed if item < guilty)
        assert not tests.is_bad(earlier)
        assert (*earlier, guilty) in tests.asked
        assert tests.is_bad((*earlier, guilty))
    assert len(tests.asked) <= 2 + len(found.guilty) * (1 + steps(count))


@given(st.integers(1, 12))
def test_a_base_that_was_red_is_the_culprit(count: int) -> None:
    found = search(range(count), Command([], base_is_red=True))
    assert (found.landed, found.guilty, found.base_is_red) == ((), (), True)


@given(st.data())
def test_whatever_the_tests_say_only_what_was_seen_green_lands(data: st.DataObject) -> None:
    """A session may also cure what another one broke."""
    said: dict[tuple[int, ...], bool] = {}

    def is_green(items: tuple[int, ...]) -> bool:
        return said.setdefault(items, data.draw(st.booleans(), label=str(items)))

    found = search(range(6), is_green)

    assert said.get(found.landed) or not found.landed
    assert found.base_is_red == (said.get(()) is False)
    assert len(said) <= 2 + (len(found.guilty) + found.base_is_red) * (1 + steps(6))


@given(SETS.filter(bool))
def test_the_smallest_earlier_set_can_not_be_smaller(bad: list[frozenset[int]]) -> None:
    found = search(range(12), Command(bad))
    for guilty in found.guilty:
        tests = Command(bad)
        earlier = tuple(item for item in found.landed if item < guilty)
        red_with = smallest_red_with(guilty, earlier, tests)
        assert tests.is_bad((*red_with, guilty))
        for one in red_with:
            assert not tests.is_bad((*(other for other in red_with if other != one), guilty))
        assert len(tests.asked) <= 1 + len(red_with) * (1 + steps(len(earlier)))
