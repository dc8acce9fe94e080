"""Sessions of the real Claude Code, offline: prompts that are sent to them, and the conversation they go on with."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api, script
from tests.support.claude_cli import RealClaude, eventually
from tests.support.repos import Repo
from tests.test_real_claude import Day, told
from worktree_sessions.outside.files import replace_file

pytestmark = pytest.mark.real_claude


@pytest.fixture
def day(real_claude: RealClaude, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Day:
    return Day(real_claude, repo, tmp_path, monkeypatch)


def send(day: Day, text: str) -> tuple[str, bool]:
    """Send it, and return what became of it."""
    data = day.wts("send", "1", text)
    return data["how"], data["confirmed"]


def prompts(day: Day) -> list[str]:
    directory = day.repo.path / ".git" / "wts" / "sessions" / "auth-frontend"
    return [row["prompt"] for row in told(directory) if row["event"] == "UserPromptSubmit"]


def test_a_prompt_arrives_while_it_is_idle_and_while_it_works(day: Day, api: Api) -> None:
    day.wts("new", "auth-frontend", "--tmux")
    day.wait_for_state("idle")
    assert send(day, "hello\n\n-there `x`") == ("typed", True)
    day.wait_for_state("idle")
    bash: dict[str, Any] = {"tool": "Bash", "input": {"command": "sleep 4", "description": "wait"}}
    assert send(day, script(bash, {"text": "slept"})) == ("typed", True)
    day.wait_for_state("working")
    assert send(day, "while it works")[0] == "typed"  # 2.1.197 takes it into the turn, and tells of none
    day.pane().wait_for("slept\\b")
    assert day.pane().screen().count("❯ while it works") == 1
    day.wait_for_state("idle")
    assert send(day, "x" * 20_000) == ("typed", True)
    eventually(lambda: "x" * 20_000 in api.prompts[-1], "the long prompt in a request")
    assert prompts(day)[0] == "hello\n\n-there `x`"


def test_who_asks_is_not_answered_and_an_editor_is_not_typed_into(day: Day, tmp_path: Path) -> None:
    got, done = tmp_path / "got", tmp_path / "done"
    editor = tmp_path / "editor"
    replace_file(
        editor, f"#!/bin/sh\ncat >{got} & while ! test -e {done}; do sleep 0.1; done\n".encode(), mode=0o755
    )
    day.world.tmux("set-environment", "-g", "EDITOR", str(editor))
    day.wts("new", "auth-frontend", "--tmux")
    day.wait_for_state("idle")
    time.sleep(1)
    day.pane().key("C-g")
    eventually(got.exists, "the editor")
    assert send(day, "into the editor") == ("kept", False)
    done.touch()
    assert got.read_text() == ""
    write = {"tool": "Write", "input": {"file_path": str(tmp_path / "login.py"), "content": "form\n"}}
    time.sleep(1)
    assert send(day, script(write)) == ("typed", True)
    day.wait_for_state("waiting")
    with pytest.raises(AssertionError, match="the text would be the answer"):
        send(day, "yes please")
    assert not (tmp_path / "login.py").exists()
    assert day.session()["state"] == "waiting"


def test_after_clear_the_new_conversation_is_gone_on_with(day: Day, api: Api) -> None:
    day.wts("new", "auth-frontend", "--tmux", "-p", "before the clear")
    day.wait_for_state("idle")
    day.pane().wait_for("ok\\.")
    assert day.wts("send", "1", "/clear")["how"] == "typed"
    assert send(day, "after the clear") == ("typed", True)
    day.wait_for_state("idle")
    newest = day.world.registered()[0]["sessionId"]
    assert newest != day.session()["conversation"]
    day.pane().say("/exit")
    day.wait_for_state("ended")
    day.leave(day.pane())
    day.wts("open", "1", "--tmux")
    day.wait_for_state("idle")
    assert day.world.registered()[0]["sessionId"] == newest
    assert send(day, "once more") == ("typed", True)
    eventually(lambda: "once more" in api.prompts[-1], "the prompt in a request")
    assert "after the clear" in api.prompts[-1]
    assert "before the clear" not in api.prompts[-1]
