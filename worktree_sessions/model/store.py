"""Where wts keeps what git does not know: `<git common dir>/wts/`, shared by all worktrees, gone with the repository.

    sessions/<name>/session.json   a live session        sessions/<name>/events.jsonl   what its Claude told
    sessions/<name>/told.json      what its events add up to, so that they are read once; it may go at any time
    closed/<id>/                   a closed one, as it was, until it is restored or emptied
    operations/<id>.jsonl          mutating commands     trash/<id>/    ignored files of closed sessions
    claude/                        the plugin that Claude is started with      lock, README
    notify.*                       what a human was told, and who tells it
    radar.json                     what the radar found, for its next run and the list; it may go at any time
    tests/                         what tests of `merge-ready` said

A record that can't be read is reported and kept, never treated as absent. Nothing here takes a lock; writers hold it.
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from worktree_sessions.errors import WtsError
from worktree_sessions.model.session import Session, Unreadable
from worktree_sessions.outside.files import replace_cache, replace_file

if TYPE_CHECKING:
    from worktree_sessions.model.told import Told

__all__ = ["README", "Store", "Unreadable"]

KEEP_AFTER = 4096  # bytes of new events, about 15: to read them again costs as much as to write it down

README = """\
This directory belongs to wts (worktree sessions). It holds the records of the sessions of this repository, what
their Claude told, a journal of the commands that changed something, and the trash of closed sessions.

wts list      the sessions          wts restore   what can come back
wts doctor    what is wrong here    wts restore --empty-trash   frees trash/

Snapshots and pinned commits are git refs: git for-each-ref refs/wts
"""


class Store:
    """The files of one repository's sessions."""

    def __init__(self, common_dir: Path) -> None:
        self.root = common_dir / "wts"
        self.lock_file = self.root / "lock"
        self.operations_dir = self.root / "operations"
        self.running_dir = self.operations_dir / "running"
        self.trash_dir = self.root / "trash"
        self.claude_dir = self.root / "claude"
        self.closed_dir = self.root / "closed"
        self.sessions_dir = self.root / "sessions"
        self.radar_file = self.root / "radar.json"
        self.tests_dir = self.root / "tests"

    def prepare(self) -> None:
        """Make the directory, with the README that explains it."""
        readme = self.root / "README"
        if not readme.exists():
            replace_file(readme, README.encode())

    def session_dir(self, name: str) -> Path:
        return self.sessions_dir / name

    def record_file(self, name: str) -> Path:
        return self.session_dir(name) / "session.json"

    def events_file(self, name: str) -> Path:
        return self.session_dir(name) / "events.jsonl"

    def told(self, name: str) -> Told:
        """Return what the events of a session add up to.

        Each is read once: what was added up is kept beside the log, when there is room and leave to write it. Raises
        WtsError when the log can't be read.
        """
        from worktree_sessions.model.events import read_events
        from worktree_sessions.model.told import Told, fold, to_json  # 4 ms, which `wts path` does without

        log, kept = self.events_file(name), self.session_dir(name) / "told.json"
        told, already = _kept(kept)
        try:
            try:
                reading = read_events(log, already)
            except ValueError:
                told, reading = Told(), read_events(log, {})
        except OSError as error:
            raise WtsError("bad-log", f"{log} can't be read: {error.strerror}", hint="wts doctor") from error
        fold(reading.events, told)
        if reading.size > KEEP_AFTER:
            replace_cache(kept, json.dumps({"told": to_json(told), "read": reading.read}).encode())
        return told

    def setup_log(self, name: str) -> Path:
        return self.session_dir(name) / "setup.log"

    def save(self, session: Session) -> None:
        replace_file(self.record_file(session.name), session.to_record())

    def load(self, name: str) -> Session | None:
        """Return a session's record, None when there is none; raise WtsError when it is unreadable."""
        return _read(self.record_file(name))

    def load_all(self) -> tuple[list[Session], list[Unreadable]]:
        """Return every live session by number, and every record that can't be read."""
        sessions, bad = _read_all(self.sessions_dir)
        return sorted(sessions, key=lambda s: (s.number, s.name)), bad

    def load_closed(self) -> tuple[list[Session], list[Unreadable]]:
        """Return every closed session, the latest closed last, and every record that can't be read."""
        sessions, bad = _read_all(self.closed_dir)
        order = {session.id: self._closed_at(session) for session in sessions}
        return sorted(sessions, key=lambda s: order[s.id]), bad

    def count_closed(self) -> int:
        """Return how many closed sessions there are, without reading them."""
        try:
            return len(os.listdir(self.closed_dir))
        except OSError:
            return 0

    def closed_record_dir(self, session: Session) -> Path:
        return self.closed_dir / session.id

    def _closed_at(self, session: Session) -> float:
        try:
            return self.closed_record_dir(session).stat().st_mtime
        except OSError:
            return 0.0


def _kept(path: Path) -> tuple[Told, dict[str, int]]:
    """Return what was added up, and how much of each part of the log that was; nothing when it can't be used."""
    from worktree_sessions.model.told import Told, from_json

    try:
        kept = json.loads(path.read_bytes())
        return from_json(kept["told"]), {str(part): int(size) for part, size in kept["read"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return Told(), {}


def _read(path: Path) -> Session | None:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None  # what can't exist is absent
        raise WtsError("bad-record", f"{path} can't be read: {error.strerror}") from error
    return Session.from_record(content)


def _read_all(directory: Path) -> tuple[list[Session], list[Unreadable]]:
    sessions: list[Session] = []
    bad: list[Unreadable] = []
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return sessions, bad
    except OSError as error:
        raise WtsError("bad-record", f"{directory} can't be read: {error.strerror}") from error
    for name in names:
        path = directory / name / "session.json"
        try:
            session = _read(path)
        except WtsError as error:
            bad.append(Unreadable(path, error.message))
            continue
        if session is not None:
            sessions.append(session)
    return sessions, bad
