"""The event log of a session: what its Claude and its launcher told, one JSON object a line, append only.

The lines are written by `hooks/claude/event.py` (which imports nothing of this package) and by the launcher. A torn
or foreign line is skipped, never fatal. When the log has grown large, `event.py` moves it aside as `events-<n>.jsonl`
and a new one begins; who still had the old one open may add to it for a moment.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from worktree_sessions.outside.files import append_line
from worktree_sessions.outside.processes import Process, boot, host

MOVED_ASIDE = re.compile(r"events-(\d+)\.jsonl")


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
        return value if isinstance(value, int) else 0


class Reading(NamedTuple):
    """Events in the order of their writing, and how far each file of the log was read: bytes by inode."""

    events: list[Event]
    read: dict[str, int]
    size: int  # bytes read now


def load_events(path: Path) -> list[Event]:
    """Return all events of a log; a missing log is an empty one."""
    return read_events(path, {}).events


def read_events(path: Path, already: dict[str, int]) -> Reading:
    """Return the events of a log beyond what was read `already`.

    Raises ValueError when the log is not the one that was read, being shorter: then all is to be read again.
    """
    events: list[Event] = []
    read: dict[str, int] = {}
    size = 0
    for descriptor in _files(path):
        try:
            status = os.fstat(descriptor)
            key, begin = str(status.st_ino), already.get(str(status.st_ino), 0)
            if status.st_size < begin:
                raise ValueError("the log is shorter than it was")
            content = os.pread(descriptor, status.st_size - begin, begin) if status.st_size > begin else b""
        finally:
            os.close(descriptor)
        whole = content[: content.rfind(b"\n") + 1]  # a line that is being written is read the next time
        read[key] = begin + len(whole)
        size += len(whole)
        events += [event for line in whole.splitlines() if (event := parse(line)) is not None]
    if not already.keys() <= read.keys():
        raise ValueError("a part of the log is gone")
    return Reading(events, read, size)


def _files(path: Path) -> Iterator[int]:
    """Yield the open files of a log, the oldest first."""
    while True:
        current = _open(path)
        try:
            names = os.listdir(path.parent)
        except FileNotFoundError:
            names = []
        moved = sorted((int(match[1]), name) for name in names if (match := MOVED_ASIDE.fullmatch(name)))
        older = [_open(path.parent / name) for _, name in moved]
        inodes = [os.fstat(descriptor).st_ino for descriptor in older if descriptor is not None]
        if current is None or os.fstat(current).st_ino not in inodes:
            break
        for descriptor in (current, *older):  # it was moved aside between the two looks
            if descriptor is not None:
                os.close(descriptor)
    yield from (descriptor for descriptor in (*older, current) if descriptor is not None)


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None


def parse(line: bytes) -> Event | None:
    """Return the event of one line, None when the line is not one."""
    try:
        row = json.loads(line)
        at, name = float(row.pop("t")), str(row.pop("event"))
        pid = row.pop("pid", None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Event(at, name, pid if isinstance(pid, int) else None, row)


def append_launch(
    path: Path, at: float, process: Process, *, conversation: str, config: Path, by: str | None = None
) -> None:
    """Write down that Claude was started: pid and start time, on which host and since which boot of it.

    `config` is Claude's configuration directory, where its registry is, and `by` who started it, when it was not wts.
    """
    row = {"t": at, "event": "launch", "pid": process.pid, "started": process.started}
    where = {"host": host(), "boot": boot(), "config": str(config)}
    _append(path, {**row, "conversation": conversation, **where, **({"by": by} if by else {})})


def append_exit(path: Path, at: float, process: Process, status: int) -> None:
    """Write down that Claude ended; `status` is its exit status, negative for a signal."""
    _append(path, {"t": at, "event": "exit", "pid": process.pid, "status": status})


def append_looked(path: Path, at: float) -> None:
    """Write down that a human went to the session."""
    _append(path, {"t": at, "event": "looked"})


def _append(path: Path, row: dict[str, Any]) -> None:
    if path.parent.is_dir():  # else the session was closed meanwhile, and its name may be another's soon
        append_line(path, json.dumps({"v": 1, **row}).encode())
