"""Follows one session of the real Claude Code from outside, and keeps what it sees in the order it sees it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from pathlib import Path
from typing import Any

from tests.support.tapes import Row
from worktree_sessions.outside import processes
from worktree_sessions.outside.processes import Process


class Recording:
    """What is seen of a session: its log, Claude's registry, and whether Claude and its launcher live.

    `rows` are the facts, each with `at` in Unix seconds. It looks every 10 ms while it is entered.
    """

    def __init__(self, events: Path, registry: Path) -> None:
        self.events, self.registry = events, registry
        self.rows: list[Row] = []
        self._lock = threading.Lock()
        self._read = 0
        self._registered: dict[str, bytes] = {}
        self._launched: dict[str, Process] = {}
        self._alive: dict[str, bool] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Recording:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def note(self, **fact: Any) -> None:
        """Add a fact that only the scenario knows, behind what can be seen now."""
        with self._lock:
            self._look()
            self._add(**fact)

    def told(self) -> list[Row]:
        """Return the rows of the log so far."""
        with self._lock:
            return [row["event"] for row in self.rows if "event" in row]

    def _follow(self) -> None:
        while not self._over.wait(0.01):
            with self._lock:
                self._look()

    def _look(self) -> None:
        self._look_at_log()
        self._look_at_registry()
        for role, process in self._launched.items():
            if (alive := processes.is_alive(process)) is not self._alive.get(role):
                self._alive[role] = alive
                self._add(**{role: alive})

    def _look_at_log(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            content = self.events.read_bytes()
            whole = content.rfind(b"\n") + 1
            for line in content[self._read : whole].splitlines():
                row = json.loads(line)
                self._add(event=row)
                if row["event"] == "launch":
                    claude, launcher = Process(row["pid"], row["started"]), Process(*row["launcher"])
                    self._launched, self._alive = {"launcher": launcher, "alive": claude}, {}
            self._read = whole

    def _look_at_registry(self) -> None:
        files = {file.stem: file for file in self.registry.glob("*.json")}
        for pid in [pid for pid in self._registered if pid not in files]:
            del self._registered[pid]
            self._add(registry=None, pid=int(pid))
        for pid, file in files.items():
            with contextlib.suppress(FileNotFoundError):
                content = file.read_bytes()
                if content and content != self._registered.get(pid):
                    self._registered[pid] = content
                    self._add(registry=json.loads(content))

    def _add(self, **fact: Any) -> None:
        self.rows.append({"at": time.time(), **fact})
