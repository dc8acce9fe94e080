"""The real Claude Code, offline: a session's states as they happen, what is told of them, and the user's own hooks."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.api import script
from tests.support.claude_cli import RealClaude, eventually
from tests.support.repos import Repo
from tests.test_real_claude import Day, wait_for_event

pytestmark = pytest.mark.real_claude
EVENTS = ("PermissionRequest", "Stop")


class Watched(Day):
    """A day of a user with hooks of their own, who has each notification written down, and is told of every turn."""

    def __init__(
        self, world: RealClaude, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        super().__init__(world, repo, tmp_path, monkeypatch)
        self.lines, self.theirs = tmp_path / "told", tmp_path / "theirs"
        hooks = {
            event: [
                {"hooks": [{"type": "command", "command": f"cat > /dev/null; echo {event} >> {self.theirs}"}]}
            ]
            for event in EVENTS
        }
        asking = {"permissions": {"defaultMode": "default", "disableAutoMode": "disable"}, "hooks": hooks}
        self.settings.write_text(json.dumps(asking, indent=3))
        config = world.base / "xdg" / "wts" / "config.toml"
        config.parent.mkdir()
        command = f'echo "$WTS_NOTICE_TITLE | $WTS_NOTICE_BODY" >> {self.lines}'
        notify = {"channels": [], "command": command, "join": 1, "done_after": 0}
        rows = [f"{key} = {json.dumps(value)}" for key, value in notify.items()]
        config.write_text("\n".join(["stop_check = false", "[notify]", *rows, ""]))

    def told(self) -> list[str]:
        return self.lines.read_text().splitlines() if self.lines.exists() else []

    def wait_for_told(self, count: int) -> str:
        eventually(lambda: len(self.told()) >= count, f"notification {count}, but {self.told()}")
        (*_, last) = self.told()
        return last

    def heard_by_theirs(self) -> list[str]:
        return sorted(self.theirs.read_text().split()) if self.theirs.exists() else []


@pytest.fixture
def day(real_claude: RealClaude, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(real_claude, repo, tmp_path, monkeypatch)


def test_each_state_is_told_once(day: Watched) -> None:
    """Asked, answered, ended, killed, resumed: the state is there with the dialog, and each is told exactly once."""
    before = day.settings.read_bytes()
    worktree = day.repo.path.parent / "repo.worktrees" / "auth-frontend"
    write = {"tool": "Write", "input": {"file_path": str(worktree / "login.py"), "content": "form\n"}}
    day.wts("new", "auth-frontend", "--tmux", "-p", script(write, {"text": "The form is there."}))
    events = day.repo.path / ".git" / "wts" / "sessions" / "auth-frontend"

    pane = day.pane()
    pane.wait_for("Do you want to create login.py")
    seen = time.time()
    waiting = day.wait_for_state("waiting")
    question = f"may it write `{worktree / 'login.py'}`?"
    assert waiting["reason"] == question
    assert datetime.fromisoformat(waiting["since"]).timestamp() <= seen + 1
    assert day.wait_for_told(1) == f"1 auth-frontend needs you | {question}"
    wait_for_event(events, "Notification")  # Claude's own comes 6 s later
    pane.answer("Do you want to create login.py")
    assert day.wait_for_state("idle")["reason"] is None
    done = day.wait_for_told(2)
    assert done.startswith("1 auth-frontend is done | after ")
    assert done.endswith(": The form is there.")

    (entry,) = day.world.registered()
    os.kill(entry["pid"], signal.SIGKILL)
    assert day.wait_for_state("failed")["reason"] == "Claude was killed by SIGKILL"
    assert day.wait_for_told(3) == "1 auth-frontend failed | Claude was killed by SIGKILL"
    day.leave(pane)

    day.wts("open", "1", "--tmux", "-p", script({"text": "Once more.", "sleep": 4}))
    day.wait_for_state("working")
    day.wait_for_state("idle")
    assert day.wait_for_told(4).endswith(": Once more.")

    assert len(day.told()) == 4
    assert day.heard_by_theirs() == ["PermissionRequest", "Stop", "Stop"]
    assert day.settings.read_bytes() == before
