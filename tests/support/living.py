"""A session whose Claude is this very test: alive, and told of by events at chosen times. No program runs for it."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.repos import Repo
from tests.support.sessions import a_session, project_of
from worktree_sessions.model.events import append_launch
from worktree_sessions.model.session import Session
from worktree_sessions.outside import processes

MINUTE = 60.0


class Living:
    """A session that was made, started and given a prompt `minutes` ago, and that nobody looked at since."""

    def __init__(self, repo: Repo, *words: str, minutes: float = 0) -> None:
        self.began = time.time() - minutes * MINUTE
        project = project_of(repo)
        made = a_session(repo, *words)
        self.session: Session = made._replace(created=datetime.fromtimestamp(self.began, UTC))
        project.store.save(self.session)
        self.log: Path = project.store.events_file(made.name)
        self.claude = processes.own_identity()
        append_launch(self.log, self.began, self.claude, conversation="c", config=repo.path / "no-claude")
        self.tells("UserPromptSubmit", ago=minutes)

    def tells(self, event: str, *, ago: float = 0, **fields: Any) -> None:
        """Let its Claude tell an event, `ago` minutes ago."""
        row = {"v": 1, "t": time.time() - ago * MINUTE, "event": event, "pid": self.claude.pid, **fields}
        with self.log.open("a") as log:
            log.write(json.dumps(row) + "\n")

    def asks(self, command: str, *, ago: float = 0) -> None:
        """Let it ask for leave to run a command."""
        self.tells("PermissionRequest", ago=ago, tool_name="Bash", what=command)
