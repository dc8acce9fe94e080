"""Who turns it red: the search for the sessions that must be held back so that the rest is green together.

The first red prefix of the order is found by bisection; its last item is guilty: without it the prefix is green, with
it red. It is held back, what came before it lands, and the rest is tried again on top. So what lands was tested
together, and what is held back turned red what had been green.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What the search found: what lands, in its order, and who is held back; `base_is_red` when all began red."""

    landed: tuple[T, ...]
    guilty: tuple[T, ...]
    base_is_red: bool = False


def search(items: Sequence[T], is_green: Callable[[tuple[T, ...]], bool]) -> Found[T]:
    """Return which items land together green; `is_green` tests the base with these items on it, in their order.

    Asks at most 2 + g * (1 + ceil(log2 n)) times for g guilty ones of n items (a red base is one, too), and never twice
    for the same. Nothing lands on a base that was red before.
    """
    landed: tuple[T, ...] = ()
    guilty: tuple[T, ...] = ()
    rest = tuple(items)
    while rest and not is_green((*landed, *rest)):
        first_red = _first_red(landed, rest, (), is_green)
        is_base_unknown = first_red == 1 and not landed and not guilty
        if is_base_unknown and not is_green(()):
            return Found((), (), base_is_red=True)
        landed += rest[: first_red - 1]
        guilty += (rest[first_red - 1],)
        rest = rest[first_red:]
    return Found((*landed, *rest), guilty)


def one_by_one(items: Sequence[T], is_green: Callable[[tuple[T, ...]], bool]) -> Found[T]:
    """Return the same, with every prefix of what lands seen green: a later bisection meets no red commit of ours.

    Asks once for each item, and once more for the base when the first is red.
    """
    landed: tuple[T, ...] = ()
    guilty: tuple[T, ...] = ()
    for item in items:
        if is_green((*landed, item)):
            landed += (item,)
        elif not landed and not guilty and not is_green(()):
            return Found((), (), base_is_red=True)
        else:
            guilty += (item,)
    return Found(landed, guilty)


def _first_red(
    before: tuple[T, ...],
    items: tuple[T, ...],
    after: tuple[T, ...],
    is_green: Callable[[tuple[T, ...]], bool],
) -> int:
    """Return the length of the shortest prefix of `items` that is red between `before` and `after`.

    An empty one is taken for green, the whole is known to be red.
    """
    green, red = 0, len(items)
    while red - green > 1:
        middle = (green + red) // 2
        if is_green((*before, *items[:middle], *after)):
            green = middle
        else:
            red = middle
    return red


def smallest_red_with(
    guilty: T, before: Sequence[T], is_green: Callable[[tuple[T, ...]], bool]
) -> tuple[T, ...]:
    """Return the fewest of `before` with which a guilty item is red, in their order: () when it is so on its own.

    `before` are the items that landed before it: with all of them it is known to be red. From the end on, each one
    without which it is green is found by bisection: at most 1 + m * (1 + ceil(log2 n)) runs for m of n. What is
    returned was seen red; it can't be smaller unless more items can turn red into green.
    """
    needed: tuple[T, ...] = ()
    left = tuple(before)
    while left and is_green((*needed, guilty)):
        first_red = _first_red((), left, (*needed, guilty), is_green)
        needed = (left[first_red - 1], *needed)
        left = left[: first_red - 1]
    return needed
