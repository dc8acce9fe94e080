"""Times that others told: of any, only what a calendar has is believed."""

from __future__ import annotations

LATEST = 1e11  # Unix seconds: the year 5138. A number beyond it has overflowed, or is of another unit


def told_time(value: object, *, ticks: int = 1) -> float | None:
    """Return in Unix seconds a time that was told in so many ticks a second; None when it can't be one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LATEST * ticks:
        return None
    return value / ticks
