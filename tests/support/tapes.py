"""Reads the event tapes of tests/tapes, and plays them to the reducer. README.md there tells the format."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from worktree_sessions.model import events, told
from worktree_sessions.model.events import Event
from worktree_sessions.model.state import LAG, Facts, verdict
from worktree_sessions.model.told import Told
from worktree_sessions.outside import claude
from worktree_sessions.outside.claude import Registered

TAPES = Path(__file__).parent.parent / "tapes"
Row = dict[str, Any]


class Tape(NamedTuple):
    """What was seen of one session: the header's facts, then one row for each fact in the order they were seen."""

    trap: str
    about: str
    claude: str
    states: list[str]
    rows: list[Row]

    @property
    def told(self) -> list[Event]:
        """The events of the session's log, in their order."""
        return [event_of(row) for row in self.rows if "event" in row]


def paths() -> list[Path]:
    """Return every tape: tests/tapes/<version>/<trap>.jsonl."""
    return sorted(TAPES.glob("*/*.jsonl"))


def read(path: Path) -> Tape:
    """Return the tape in a file."""
    header, *rows = (json.loads(line) for line in path.read_text().splitlines())
    return Tape(header["tape"], header["about"], header["claude"], header["states"], rows)


def write(path: Path, tape: Tape) -> None:
    """Write a tape."""
    header = {"tape": tape.trap, "about": tape.about, "claude": tape.claude, "states": tape.states}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in [header, *tape.rows]))


def event_of(row: Row) -> Event:
    """Return the event of a row, read as from a session's log."""
    event = events.parse(json.dumps(row["event"]).encode())
    assert event is not None, row
    return event


def distinct(states: Iterable[str]) -> list[str]:
    """Return the states without those that only repeat the one before."""
    return [state for state, _ in itertools.groupby(states)]


class Player:
    """A session of which one fact after the other becomes known.

    A registry file that is gone counts only LAG later: until then wts asks `claude agents`, and reads the log again.
    """

    def __init__(self) -> None:
        self._told = Told()
        self._alive = self._launcher = False
        self._registry: dict[int, Registered] = {}
        self._gone: dict[int, float] = {}

    def take(self, row: Row) -> str:
        """Take in one row of a tape; return the state that all facts so far add up to."""
        if "event" in row:
            told.fold([event_of(row)], self._told)
            if row["event"]["event"] == "launch":  # whoever wrote that down had just started it
                self._alive = self._launcher = True
        elif "registry" in row:
            self._register(row)
        self._alive = row.get("alive", self._alive)
        self._launcher = row.get("launcher", self._launcher)
        return self._state(row["at"])

    def _register(self, row: Row) -> None:
        if row["registry"] is None:
            self._gone[row["pid"]] = row["at"]
        else:
            entry = registered(row["registry"])
            self._registry[entry.pid] = entry
            self._gone.pop(entry.pid, None)

    def _state(self, now: float) -> str:
        pid = self._told.own_pid() or 0
        is_registered = self._alive and self._told.exit is None and now - self._gone.get(pid, now) < LAG
        own = self._registry.get(pid) if is_registered else None
        will_be_told = self._launcher and not self._alive
        facts = Facts(now, self._alive, own, "registry" if own else None, will_be_told=will_be_told)
        return verdict(self._told, facts, created=0.0).state.value


def registered(row: Row) -> Registered:
    """Return a row of Claude's registry as wts reads it from its file."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "sessions" / f"{row['pid']}.json"
        file.parent.mkdir()
        file.write_text(json.dumps(row))
        entry = claude.registered(Path(directory), row["pid"])
    assert entry is not None, row
    return entry


def play(rows: Iterable[Row]) -> list[str]:
    """Return the state after every row."""
    player = Player()
    return [player.take(row) for row in rows]
