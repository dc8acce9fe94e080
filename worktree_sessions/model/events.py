"""The event log of a session: what its Claude and its launcher told, one JSON object a line, append only.

The lines are written by `hooks/claude/event.py` (which imports nothing of this package) and by the launcher. A torn
or foreign line is skipped, never fatal. When the log has grown large, `event.py` moves it aside as `events-<n>.jsonl`
and a new one begins; who still had the old one open may add to it for a moment. So the log is read as several parts,
each known by its inode and its beginning, and what one writer wrote is read in its order.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from worktree_sessions.errors import WtsError
from worktree_sessions.outside.clock import told_time
from worktree_sessions.outside.files import append_line
from worktree_sessions.outside.processes import Process, boot, host

MOVED_ASIDE = re.compile(r"events-(\d+)\.jsonl")
BEGINNING = 32  # bytes of a part: they hold the time of its first event. An inode alone is given to another file again
PIDS = 1 << 31  # no system counts its processes further
LINE_BEGINS = b'{"v":'  # nowhere else in a line, where each quote within a text is escaped


class Event(NamedTuple):
    """One line of the log: `at` in Unix seconds, `name` Claude's hook event or ours; `fields` the rest.

    Ours are `launch` and `exit` of the launcher, `looked` when a human went to the session, and `StopHeld`.
    """

    at: float
    name: str
    pid: int | None
    fields: dict[str, Any]

    def text(self, key: str) -> str | None:
        """Return a field when it is a text that is not empty."""
        value = self.fields.get(key)
        return value if isinstance(value, str) and value else None

    def number(self, key: str) -> int:
        """Return a field when it is a whole number, else 0."""
        value = self.fields.get(key)
        return value if type(value) is int else 0


class Reading(NamedTuple):
    """Events in the order of their writing, and how far each part of the log was read: bytes by what it is known by."""

    events: list[Event]
    read: dict[str, int]
    size: int  # bytes read now


class _Part(NamedTuple):
    """An open file of the log: what it is known by, and its size when it was looked at."""

    descriptor: int
    key: str
    size: int


def load_events(path: Path) -> list[Event]:
    """Return all events of a log; a missing log is an empty one. Raises OSError when it can't be read."""
    return read_events(path, {}).events


def read_events(path: Path, already: dict[str, int]) -> Reading:
    """Return the events of a log beyond what was read `already`.

    Raises ValueError when that is not there any more, the log being shorter or another one: then all is to be read
    again. Raises OSError when it can't be read.
    """
    events: list[Event] = []
    read: dict[str, int] = {}
    with ExitStack() as stack:
        parts = _parts(path, stack)
        sizes = {part.key: part.size for part in parts}
        if any(sizes.get(key, 0) < size for key, size in already.items()):
            raise ValueError("what was read is not in the log any more")
        for part in parts:
            begin = already.get(part.key, 0)
            content = os.pread(part.descriptor, part.size - begin, begin) if part.size > begin else b""
            whole = content[: content.rfind(b"\n") + 1]  # a line that is being written is read the next time
            events += [event for line in whole.splitlines() if (event := parse(line)) is not None]
            if begin or whole:
                read[part.key] = begin + len(whole)
    return Reading(events, read, sum(read.values()) - sum(already.values()))


def _parts(path: Path, stack: ExitStack) -> list[_Part]:
    """Open the parts of a log, the oldest first; `stack` closes them.

    Their sizes are taken the newest first: one who adds to an old part did so before it could add to a newer one.
    """
    current = _open(path, stack)
    try:
        names = os.listdir(path.parent)
    except FileNotFoundError:
        names = []
    moved = sorted((int(match[1]), name) for name in names if (match := MOVED_ASIDE.fullmatch(name)))
    opened = [_open(path.parent / name, stack) for _, name in moved]
    if current is not None and not any(
        one is not None and os.path.sameopenfile(one, current) for one in opened
    ):
        opened.append(current)  # else it was moved aside between the two looks
    parts = []
    for descriptor in reversed(opened):
        if descriptor is not None:
            status = os.fstat(descriptor)
            beginning = os.pread(descriptor, BEGINNING, 0).decode("latin-1")
            parts.append(_Part(descriptor, f"{status.st_ino} {beginning}", status.st_size))
    return parts[::-1]


def _open(path: Path, stack: ExitStack) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    stack.callback(os.close, descriptor)
    return descriptor


def parse(line: bytes) -> Event | None:
    """Return the event of one line, None when the line is not one.

    Where the line before was torn, by a disk that was full, this one stands behind it.
    """
    try:
        row = json.loads(line[max(0, line.rfind(LINE_BEGINS)) :])
        at, name, pid = told_time(row.pop("t")), str(row.pop("event")), row.pop("pid", None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    is_pid = type(pid) is int and 0 < pid < PIDS
    return None if at is None else Event(at, name, pid if is_pid else None, row)


def append_launch(
    path: Path,
    at: float,
    process: Process,
    *,
    conversation: str,
    config: Path,
    launcher: Process | None = None,
    by: str | None = None,
) -> None:
    """Write down that Claude was started: pid and start time, on which host and since which boot of it.

    `config` is Claude's configuration directory, where its registry is, `launcher` the process that waits for it and
    will tell its exit, and `by` who started it, when it was not wts.
    """
    row = {"t": at, "event": "launch", "pid": process.pid, "started": process.started}
    where = {"host": host(), "boot": boot(), "config": str(config), "launcher": launcher, "by": by}
    told = {key: value for key, value in where.items() if value is not None}
    _append(path, {**row, "conversation": conversation, **told})


def append_exit(path: Path, at: float, process: Process, status: int) -> None:
    """Write down that Claude ended; `status` is its exit status, negative for a signal."""
    _append(path, {"t": at, "event": "exit", "pid": process.pid, "status": status})


def append_looked(path: Path, at: float) -> None:
    """Write down that a human went to the session."""
    _append(path, {"t": at, "event": "looked"})


def _append(path: Path, row: dict[str, Any]) -> None:
    """Append a row; raise WtsError when that can't be done."""
    if not path.parent.is_dir():
        return  # the session was closed meanwhile, and its name may be another's soon
    try:
        append_line(path, json.dumps({"v": 1, **row}).encode())
    except OSError as error:
        says = f"{path} can't be written to: {error.strerror}"
        raise WtsError("bad-log", says, hint="make room, or write access, there") from error
