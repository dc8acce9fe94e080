"""`wts next`: who has waited longest for the user, and the way there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Wts
from tests.support.claude_cli import eventually
from tests.support.repos import Repo
from tests.support.sessions import a_session, project_of
from tests.support.stage import NAME, Stage
from tests.support.tmux import Pane, tmux, windows
from worktree_sessions.actions import attention
from worktree_sessions.errors import NothingToDo
from worktree_sessions.model.events import append_launch, append_looked
from worktree_sessions.model.session import State
from worktree_sessions.outside import processes
from worktree_sessions.outside.files import append_line

pytestmark = pytest.mark.usefixtures("fake_claude")
NAMES = ("auth-a", "auth-b", "auth-c", "auth-d")


class World:
    """Four sessions whose Claude is a process that sleeps, and what each has told."""

    def __init__(self, repo: Repo) -> None:
        self.repo, self.project = repo, project_of(repo)
        self.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        identity = processes.look_up(self.process.pid)
        assert identity is not None
        self.began = time.time() - 1000
        for name in NAMES:
            a_session(repo, name)
            append_launch(self.log(name), self.began, identity, conversation="c", config=Path("/nowhere"))
            self.tells(name, "SessionStart", 1, source="startup", conversation="c")

    def log(self, name: str) -> Path:
        return self.project.store.events_file(name)

    def tells(self, name: str, event: str, at: float, **fields: str) -> None:
        """Write an event so many seconds after the launch."""
        row = {"t": self.began + at, "event": event, "pid": self.process.pid, **fields}
        append_line(self.log(name), json.dumps(row).encode())

    def asks(self, name: str, at: float) -> None:
        self.tells(name, "PermissionRequest", at, tool_name="Bash", what="npm test")

    def queue(self, *, done: bool = False) -> list[str]:
        return [caller.session.name for caller in attention.queue(self.project, done=done)]


@pytest.fixture
def world(repo: Repo) -> Iterator[World]:
    made = World(repo)
    yield made
    made.process.kill()
    made.process.wait()


# -- the queue -------------------------------------------------------------------------------------


def test_the_longest_waiting_comes_first_and_it_goes_round(world: World) -> None:
    for name, at in (("auth-a", 30), ("auth-b", 10), ("auth-c", 20)):
        world.asks(name, at)
    assert world.queue() == ["auth-b", "auth-c", "auth-a"]
    seen = []
    for _ in range(7):
        seen.append(world.queue()[0])
        append_looked(world.log(seen[-1]), time.time())
    assert seen == ["auth-b", "auth-c", "auth-a"] * 2 + ["auth-b"]
    world.tells("auth-d", "UserPromptSubmit", 900, prompt="Build it")
    world.asks("auth-d", 901)
    assert world.queue()[0] == "auth-d"  # nobody has looked at it yet


def test_who_asks_anew_is_new(world: World) -> None:
    world.asks("auth-a", 10)
    world.tells("auth-b", "PreToolUse", 15)
    world.asks("auth-b", 20)
    for name in ("auth-a", "auth-b"):
        append_looked(world.log(name), world.began + 30)
    world.tells("auth-b", "PostToolUse", 40, tool_name="Bash", what="npm test")
    world.asks("auth-b", 50)
    assert world.queue() == ["auth-b", "auth-a"]


def test_nobody_waits(world: World) -> None:
    world.tells("auth-a", "Stop", 10)
    world.tells("auth-b", "StopFailure", 10, error="rate_limit")
    with pytest.raises(NothingToDo, match=r"no session needs you$"):
        world.queue()


def test_with_done_the_broken_follow_and_then_the_ended_turns(world: World) -> None:
    world.tells("auth-a", "Stop", 10)
    world.tells("auth-b", "StopFailure", 20, error="rate_limit")
    world.asks("auth-c", 30)
    world.tells("auth-d", "StopFailure", 15, error="server_error")
    assert world.queue(done=True) == ["auth-c", "auth-d", "auth-b", "auth-a"]
    for name in NAMES:
        append_looked(world.log(name), world.began + 40)
    assert world.queue(done=True) == ["auth-c"]
    world.tells("auth-a", "Stop", 50)
    assert world.queue(done=True) == ["auth-c", "auth-a"]


def test_a_start_is_no_ended_turn(world: World) -> None:
    with pytest.raises(NothingToDo, match="none has broken or ended a turn since you looked"):
        world.queue(done=True)


# -- the way there ---------------------------------------------------------------------------------


def test_peek_says_who_and_what_and_changes_nothing(world: World, wts: Wts) -> None:
    assert wts("next").status == 6
    assert "no session needs you" in wts("next", "--peek").err
    world.asks("auth-b", 10)
    world.asks("auth-a", 20)
    before = world.log("auth-b").read_bytes()
    peek = wts("next", "--peek")
    assert peek.status == 0
    assert re.fullmatch(
        r"session 2, auth-b: ● needs you \d+\w\n  may it run `npm test`\?\n  and 1 more\n", peek.out
    )
    data = wts("next", "--peek", "--json").json["data"]
    assert (data["session"]["name"], data["waiting"], data["action"]) == ("auth-b", 2, None)
    assert world.log("auth-b").read_bytes() == before


def test_one_that_can_not_be_reached_is_named_and_the_next_one_follows(world: World, wts: Wts) -> None:
    world.asks("auth-a", 10)
    world.asks("auth-b", 20)
    first = wts("next")
    assert first.status == 0
    assert f"pid {world.process.pid}" in first.out
    assert "go to that terminal" in first.out
    data = wts("next", "--json").json["data"]
    assert (data["session"]["name"], data["action"], data["command"]) == ("auth-b", None, None)


def test_a_broken_one_is_opened_by_a_command(stage: Stage, wts: Wts) -> None:
    assert stage.shell().run(f"{stage.script({'die': 9})} wts new {NAME}") == 0
    data = wts("next", "--done", "--json").json["data"]
    assert (data["action"], data["command"]) == ("command", "wts open 1")
    assert wts("next", "--done").status == 6


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_next_selects_attaches_or_prints(stage: Stage, wts: Wts) -> None:
    stage.plays({"prompt": "Build it"}, {"ask": "Bash", "until": str(stage.leave)})
    shell = stage.shell()
    for name in ("auth-a", "auth-b"):
        assert shell.run(f"wts new {name} --tmux") == 0
        stage.wait_for_state(State.WAITING, name)
    panes = windows()
    first, second = Pane(panes["repo-a-1"]), Pane(panes["repo-b-2"])

    assert shell.run("wts next") == 0
    assert first.says("#{window_active}") == "1"
    assert shell.run("wts next") == 0
    assert second.says("#{window_active}") == "1"
    assert shell.run("wts next --json >next.json") == 0
    data = json.loads((stage.repo.path / "next.json").read_text())["data"]
    assert (data["session"]["name"], data["action"]) == ("auth-a", "selected")

    printed = wts("next", "--json").json["data"]
    assert (printed["session"]["name"], printed["action"]) == ("auth-b", "command")
    assert f"attach-session -t {second.id}" in printed["command"].replace("'", "")

    outside = stage.shell("other", "TMUX", "TMUX_PANE")
    number = outside.start("wts next")
    eventually(lambda: tmux("list-clients", "-F", "#{pane_id}") == first.id, "a client on the window")
    tmux("detach-client", "-s", first.says("#{session_id}"))
    assert outside.status(number) == 0
    assert wts("next", "--peek", "--json").json["data"]["session"]["name"] == "auth-b"


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_open_counts_as_a_look_where_claude_runs(stage: Stage, wts: Wts) -> None:
    stage.plays({"prompt": "Build it"}, {"ask": "Bash", "until": str(stage.leave)})
    for name in ("auth-a", "auth-b"):
        assert wts("new", name, "--tmux").status == 0
        stage.wait_for_state(State.WAITING, name)
    assert wts("open", "1").status == 0
    assert wts("next", "--peek", "--json").json["data"]["session"]["name"] == "auth-b"
