"""A repository with `wts` and the scripted Claude on PATH, and real terminals to run them in."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.support.claude_cli import eventually
from tests.support.repos import Repo
from tests.support.sessions import project_of
from tests.support.tmux import Pane, Shell, put_wts_on_path, windows
from worktree_sessions.actions.asking import ask_state
from worktree_sessions.model.session import Session, State

NAME = "auth-frontend"


class Stage:
    """The repository with `wts` and the stand-in on PATH, and what both left behind."""

    def __init__(self, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.repo, self.tmp_path, self.monkeypatch = repo, tmp_path, monkeypatch
        put_wts_on_path(tmp_path / "bin")
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
        self.log = tmp_path / "starts.jsonl"
        monkeypatch.setenv("FAKE_CLAUDE_LOG", str(self.log))
        self.leave = tmp_path / "leave"
        monkeypatch.setenv("TMPDIR", str(tmp_path))  # where the log of a bug would be

    def script(self, *steps: dict[str, Any]) -> str:
        """Return the variable that has the stand-in play these steps, for a command line."""
        return f"FAKE_CLAUDE_SCRIPT={shlex.quote(json.dumps(steps))}"

    def stays(self, *steps: dict[str, Any]) -> str:
        """The same, and then it stays until the file `leave` is there."""
        return self.script(*steps, {"wait_for": str(self.leave)})

    def shell(self, server: str = "default", *unset: str) -> Shell:
        return Shell(self.repo.path, server, unset)

    def starts(self) -> list[dict[str, Any]]:
        """Return each start of the stand-in: argv, cwd, env, pid."""
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def wait_for_start(self, count: int = 1) -> dict[str, Any]:
        eventually(lambda: len(self.starts()) >= count, f"start {count}")
        return self.starts()[count - 1]

    def session(self, name: str = NAME) -> Session:
        session = project_of(self.repo).store.load(name)
        assert session is not None
        return session

    def state(self, name: str = NAME) -> tuple[State, str | None]:
        now = ask_state(project_of(self.repo), self.session(name)).now
        return now.state, now.reason

    def wait_for_state(self, wanted: State, name: str = NAME) -> None:
        def look() -> bool:
            made = project_of(self.repo).store.record_file(name).exists()
            return made and self.state(name)[0] is wanted

        eventually(look, f"session {name} that is {wanted}")

    def events(self, name: str = NAME) -> list[dict[str, Any]]:
        file = project_of(self.repo).store.events_file(name)
        return [json.loads(line) for line in file.read_text().splitlines()]

    def plays(self, *steps: dict[str, Any]) -> None:
        """Have every stand-in that is started from now on play these steps; a tmux server keeps its first ones."""
        self.monkeypatch.setenv("FAKE_CLAUDE_SCRIPT", json.dumps(steps))

    def pane(self, name: str = NAME) -> Pane:
        """Return the tmux window of a session."""
        display = self.session(name).display
        return Pane(eventually(lambda: windows().get(display), f"window {display}"))

    def conversations(self, name: str = NAME) -> list[str]:
        """Return the conversations that a session's Claude told of, in the order of their starts."""
        return [row["conversation"] for row in self.events(name) if row["event"] == "SessionStart"]

    def prompts(self, name: str = NAME) -> list[str]:
        """Return the beginnings of the prompts that a session's Claude told of."""
        return [row["prompt"] for row in self.events(name) if row["event"] == "UserPromptSubmit"]


def option(start: dict[str, Any], name: str) -> str:
    argv: list[str] = start["argv"]
    return argv[argv.index(name) + 1]
