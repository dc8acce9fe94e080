"""The real Claude Code, offline: our plugin tells what happens, asks to commit, and leaves settings alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api, script
from tests.support.claude_cli import Pane, RealClaude, eventually, session_of
from tests.support.repos import Repo
from tests.support.tmux import put_wts_on_path
from worktree_sessions.outside import claude

pytestmark = pytest.mark.real_claude
SETTINGS = b'{\n  "cleanupPeriodDays": 30,\n  "hooks": {}\n}\n'
ASKING = b'{\n  "permissions": {"defaultMode": "default", "disableAutoMode": "disable"}\n}\n'


def told(directory: Path) -> list[dict[str, Any]]:
    file = directory / "events.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def wait_for_event(directory: Path, event: str, count: int = 1) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = [row for row in told(directory) if row["event"] == event]
        return found[count - 1] if len(found) >= count else None

    return eventually(look, f"{event} event number {count}, but {told(directory)}")


def test_the_plugin_is_valid(real_claude: RealClaude, tmp_path: Path) -> None:
    plugin = claude.install_plugin(tmp_path / "claude", "auth-frontend")
    done = real_claude.run("plugin", "validate", str(plugin), cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_the_ready_command_shows_what_wts_says_with_no_question_asked(
    real_claude: RealClaude, repo: Repo, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = tmp_path / "bin" / "wts"
    stub.parent.mkdir()
    stub.write_text('#!/bin/sh\necho "the answer of wts $*"\n')
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stub.parent}:{os.environ['PATH']}")
    plugin = claude.install_plugin(tmp_path / "claude", "auth-frontend")
    real_claude.settle_in(repo.path)
    done = real_claude.run("-p", "--plugin-dir", str(plugin), cwd=repo.path, stdin="/wts:ready if you please")
    assert done.returncode == 0, done.stderr
    assert "the answer of wts list --json\n" in api.prompts[-1]
    assert "if you please" in api.prompts[-1]


def test_this_version_has_the_options_we_use(real_claude: RealClaude) -> None:
    can = claude.features(real_claude.program)
    options = [
        "--session-id",
        "--resume",
        "--name",
        "--plugin-dir",
        "--append-system-prompt",
        "--permission-mode",
    ]
    assert [option for option in options if not can.has(option)] == []


def test_a_session_from_its_prompt_to_its_end(real_claude: RealClaude, api: Api, repo: Repo) -> None:
    session, directory = session_of(repo, "auth-frontend")
    plugin = claude.install_plugin(repo.path / ".git" / "wts" / "claude", "auth-frontend")
    real_claude.settle_in(repo.path)
    settings = real_claude.config_dir / "settings.json"
    settings.write_bytes(SETTINGS)
    conversation = str(uuid.uuid4())
    file = session.path / "login.py"
    write = {"tool": "Write", "input": {"file_path": str(file), "content": "form\n"}}
    argv = claude.start_argv(
        real_claude.program,
        claude.features(real_claude.program),
        conversation=conversation,
        name="repo-frontend-1",
        plugin_dir=plugin,
        prompt=script(write, {"text": "The form is there."}),
        permission="default",
    )

    terminal = real_claude.start(argv, cwd=session.path)
    terminal.answer("Do you want to create login.py")
    wait_for_event(directory, "Stop", 2)  # the first one asked to commit
    (entry,) = claude.registry(real_claude.config_dir)
    terminal.say("/exit")
    assert terminal.wait_for_end() == 0

    assert file.read_text() == "form\n"
    wait_for_event(directory, "SessionEnd")
    rows = told(directory)
    assert [row["event"] for row in rows if row["event"] != "Notification"] == [
        "SessionStart",
        "UserPromptSubmit",
        "PreToolUse",
        "PermissionRequest",
        "PostToolUse",
        "Stop",
        "StopHeld",
        "Stop",
        "SessionEnd",
    ]
    assert {row["conversation"] for row in rows} == {conversation}
    assert {row["pid"] for row in rows} == {entry.pid}
    assert (rows[2]["tool_name"], rows[2]["what"]) == ("Write", str(file))
    assert (rows[5]["last_assistant_message"], rows[5]["background"]) == ("The form is there.", 0)
    assert rows[-1]["reason"] == "prompt_input_exit"
    assert (entry.conversation, entry.cwd, entry.name) == (conversation, session.path, "repo-frontend-1")
    assert "wts: 1 file is not committed in this session:\n  login.py" in api.prompts[-1]
    assert session.git("cat-file", "blob", "refs/wts/auto/auth-frontend:login.py") == "form"
    assert claude.conversation(real_claude.config_dir, conversation) is claude.Conversation.HELD
    assert settings.read_bytes() == SETTINGS
    assert claude.registry(real_claude.config_dir) == []


def test_two_background_sessions_report_each_as_itself(real_claude: RealClaude, repo: Repo) -> None:
    """The second one's worker inherits the environment of the first; its events must not land there."""
    can = claude.features(real_claude.program)
    version = tuple(int(part) for part in (claude.version(real_claude.program) or "0").split("."))
    if version < (2, 1, 330):
        pytest.skip("background sessions of 2.1.197 took half a minute to start, and left workers behind")
    real_claude.settle_in(repo.path)
    for name in ("auth-frontend", "auth-backend"):
        session, directory = session_of(repo, name)
        argv = claude.background_argv(
            real_claude.program,
            can,
            variables={"WTS_SESSION": name},
            name=name,
            plugin_dir=claude.install_plugin(repo.path / ".git" / "wts" / "claude", name),
            prompt="hello",
        )
        done = real_claude.run(*argv[1:], cwd=session.path, WTS_SESSION=name)
        assert done.returncode == 0, done.stderr
        job = claude.background_id(done.stdout)
        assert job is not None, done.stdout
        start = wait_for_event(directory, "SessionStart")
        assert start["conversation"].startswith(job)
        (entry,) = [entry for entry in claude.registry(real_claude.config_dir) if entry.job == job]
        assert (entry.pid, entry.cwd, entry.name) == (start["pid"], session.path, name)


# -- through wts -----------------------------------------------------------------------------------


class Day:
    """A repository with `wts` and the real Claude on PATH, in the world's tmux."""

    def __init__(
        self, world: RealClaude, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.world, self.repo = world, repo
        put_wts_on_path(tmp_path / "bin")
        (tmp_path / "bin" / "claude").symlink_to(world.program)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
        world.settle_in(repo.path)
        self.settings = world.config_dir / "settings.json"
        self.settings.write_bytes(ASKING)

    def wts(self, *args: str) -> Any:
        """Run wts as from a pane of the world's tmux; return its data."""
        env = self.world.env(TMUX=f"{self.world.base}/tmux,1,0")
        words = [sys.executable, "-m", "worktree_sessions", *args, "--json"]
        done = subprocess.run(words, cwd=self.repo.path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)["data"]

    def session(self) -> dict[str, Any]:
        found: dict[str, Any] = self.wts("list")["sessions"][0]
        return found

    def wait_for_state(self, state: str) -> dict[str, Any]:
        try:
            return eventually(lambda: one if (one := self.session())["state"] == state else None, state)
        except AssertionError as error:
            screens = "\n".join(pane.screen() for pane in self.world.panes().values())
            raise AssertionError(f"{error}: {self.session()}\n{screens}") from None

    def pane(self) -> Pane:
        """The window of the session, which must be one."""
        name = self.session()["display"]
        return eventually(lambda: self.world.panes().get(name), f"window {name}")

    def leave(self, pane: Pane) -> None:
        pane.wait_for("Enter closes this window")
        pane.key("Enter")
        eventually(lambda: self.session()["display"] not in self.world.panes(), "no window")


@pytest.fixture
def day(real_claude: RealClaude, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Day:
    return Day(real_claude, repo, tmp_path, monkeypatch)


def test_a_day_of_a_session(day: Day, api: Api) -> None:
    """A prompt, a permission, an end, a kill, a close and a restore: one conversation goes through it all."""
    worktree = day.repo.path.parent / "repo.worktrees" / "auth-frontend"
    write = {"tool": "Write", "input": {"file_path": str(worktree / "login.py"), "content": "form\n"}}
    made = day.wts("new", "auth-frontend", "--tmux", "-p", script(write, {"text": "The form is there."}))
    conversation = made["session"]["conversation"]
    events = day.repo.path / ".git" / "wts" / "sessions" / "auth-frontend"

    pane = day.pane()
    pane.wait_for("Do you want to create login.py")
    waiting = day.wait_for_state("waiting")
    assert waiting["reason"] == f"may it write `{worktree / 'login.py'}`?"
    pane.answer("Do you want to create login.py")
    day.wait_for_state("idle")
    assert (worktree / "login.py").read_text() == "form\n"
    wait_for_event(events, "Stop", 2)  # the first one asked to commit
    pane.say("/exit")
    day.wait_for_state("ended")
    day.leave(pane)

    day.wts("open", "1", "--tmux", "-p", "once more")
    wait_for_event(events, "Stop", 3)
    assert "The form is there." in day.pane().screen()
    assert "<<<" in api.prompts[-1]
    assert "once more" in api.prompts[-1]
    (entry,) = day.world.registered()
    assert entry["sessionId"] == conversation
    os.kill(entry["pid"], signal.SIGKILL)
    assert day.wait_for_state("failed")["reason"] == "Claude was killed by SIGKILL"
    day.leave(day.pane())

    day.wts("close", "1", "--with-unsaved")
    assert not worktree.exists()
    day.wts("restore", "auth-frontend")
    assert (worktree / "login.py").read_text() == "form\n"
    day.wts("open", "1", "--tmux", "-p", "after the restore")
    wait_for_event(events, "Stop", 4)
    assert "<<<" in api.prompts[-1]
    assert "once more" in api.prompts[-1]
    assert "after the restore" in api.prompts[-1]

    day.pane().say(script({"text": "late", "sleep": 60}))
    day.wait_for_state("working")
    time.sleep(1)
    day.pane().key("Escape")
    day.wait_for_state("interrupted")
    day.world.tmux("kill-pane", "-t", day.pane().name)
    wait_for_event(events, "exit", 3)
    assert (day.session()["state"], day.session()["reason"]) == ("ended", "ended by SIGHUP")
    assert [row["reason"] for row in told(events) if row["event"] == "SessionEnd"][-1] == "other"
    assert {row["conversation"] for row in told(events) if row["event"] == "SessionStart"} == {conversation}
    assert day.settings.read_bytes() == ASKING


@pytest.mark.parametrize("commits", [False, True])
def test_claude_w_is_a_session_and_its_removal_keeps_work(day: Day, commits: bool) -> None:
    day.wts("hooks", "install", "--claude-worktrees")
    words = ["-w", "auth-frontend", "--permission-mode", "default", "--", "hello"]
    terminal = day.world.start([str(day.world.program), *words], cwd=day.repo.path)
    terminal.wait_for("ok\\.")
    session = day.wait_for_state("idle")
    worktree = Repo(Path(session["worktree"]))
    (entry,) = day.world.registered()
    assert entry["cwd"] == session["worktree"]
    if commits:
        worktree.commit("login.py", "form\n", "add the form")
    terminal.say("/exit")
    terminal.until(
        lambda: terminal.status_file.exists() or "Remove worktree" in terminal.screen(), "end or question", 30
    )
    if not terminal.status_file.exists():  # 2.1.197 removes unasked
        time.sleep(0.7)
        terminal.key("2")
    assert terminal.wait_for_end() == 0
    if commits:
        time.sleep(2)
        assert day.session()["git"]["ahead"] == 1
        assert worktree.path.is_dir()
        day.wts("open", "1", "--tmux", "-p", "once more")
        eventually(lambda: day.session()["state"] == "idle", "a resumed session")
        (entry,) = day.world.registered()
        assert entry["cwd"] == session["worktree"]
    elif (claude.version(day.world.program) or "") == "2.1.197":  # calls no removal hook: it stays
        assert worktree.path.is_dir()
    else:
        eventually(lambda: day.wts("list")["sessions"] == [], "no session")
        assert not worktree.path.exists()
