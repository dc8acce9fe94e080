"""What can go wrong, as values: every floor raises these, only the front door turns them into exit codes.

An expected failure is a `WtsError` with a stable code, one sentence and a cure. Anything else that escapes is
a bug of ours (exit 70). Nothing here prints or exits.
"""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """The exit codes of `wts`; documented in docs/exit-codes.md and never renumbered."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    CONFLICT = 4
    RED = 5
    NOTHING = 6
    BUSY = 7
    BUG = 70
    INTERRUPTED = 130


class WtsError(Exception):
    """An expected failure.

    `code` is a stable word for programs, `message` one sentence that names the thing acted on, `hint` the cure,
    which ends with a command that can be pasted where there is one. `details` are further lines (files that
    would be lost, candidates) printed below the sentence.
    """

    exit: Exit = Exit.FAILED

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        session: str | None = None,
        details: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.session = session
        self.details = details


class UsageError(WtsError):
    """The command line itself is wrong: exit 2."""

    exit = Exit.USAGE


class Refused(WtsError):
    """Refused to protect work; nothing was changed: exit 3."""

    exit = Exit.REFUSED


class NothingToDo(WtsError):
    """Nothing ready, nothing waiting: exit 6."""

    exit = Exit.NOTHING


class Busy(WtsError):
    """Another wts holds the repository's lock: exit 7."""

    exit = Exit.BUSY
