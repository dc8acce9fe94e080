"""The event log of a session: what its Claude and its launcher told, one JSON object a line, append only.

The lines are written by `hooks/claude/event.py` (which imports nothing of this package) and by the launcher. A torn
or foreign line is skipped, never fatal.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from worktree_sessions.outside.files import append_line
from worktree_sessions.outside.processes import Process


class Event(NamedTuple):
    """One line of the log: `at` in Unix seconds, `name` Claude's hook event or launch, exit; `fields` the rest."""

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


def load_events(path: Path) -> list[Event]:
    """Return the events of a log in the order of their writing; a missing log is an empty one."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    return [event for line in content.splitlines() if (event := parse(line)) is not None]


def parse(line: bytes) -> Event | None:
    """Return the event of one line, None when the line is not one."""
    try:
        row = json.loads(line)
        at, name = float(row.pop("t")), str(row.pop("event"))
        pid = row.pop("pid", None)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return Event(at, name, pid if isinstance(pid, int) else None, row)


def append_launch(
    path: Path, at: float, process: Process, *, conversation: str, by: str | None = None
) -> None:
    """Write down that Claude was started, by pid and start time; `by` whom, when it was not wts."""
    row = {"t": at, "event": "launch", "pid": process.pid, "started": process.started}
    _append(path, {**row, "conversation": conversation, **({"by": by} if by else {})})


def append_exit(path: Path, at: float, process: Process, status: int) -> None:
    """Write down that Claude ended; `status` is its exit status, negative for a signal."""
    _append(path, {"t": at, "event": "exit", "pid": process.pid, "status": status})


def _append(path: Path, row: dict[str, Any]) -> None:
    if path.parent.is_dir():  # else the session was closed meanwhile, and its name may be another's soon
        append_line(path, json.dumps({"v": 1, **row}).encode())
