"""In which order sessions are shown: who needs the reader first, the longest waiting foremost."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from worktree_sessions.model.session import Look, State

READY = "ready"  # a verdict, not a state: it comes after the failures and before everything that is only idle

RANKS: dict[str, int] = {
    name: rank
    for rank, name in enumerate(
        (
            State.WAITING,
            State.FAILED,
            State.LIMITED,
            State.UNKNOWN,
            READY,
            State.INTERRUPTED,
            State.IDLE,
            State.STARTING,
            State.BACKGROUND,
            State.WORKING,
            State.PARKED,
            State.ENDED,
        )
    )
}


def order(looks: Iterable[Look], *, ready: Collection[str] = ()) -> list[Look]:
    """Return the looks as lists show them; `ready` names the sessions that may be merged now.

    Within a rank the longest in its state comes first, one of unknown age last, then the lower number.
    """
    return sorted(looks, key=lambda look: (_rank(look, ready), _since(look), look.session.number))


def _rank(look: Look, ready: Collection[str]) -> int:
    own = RANKS[look.now.state]
    return min(own, RANKS[READY]) if look.session.name in ready else own


def _since(look: Look) -> float:
    return float("inf") if look.now.since is None else look.now.since
