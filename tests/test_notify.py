"""Notifications by the processes that send them: hooks start them, a command of the user's writes them down."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Wts
from tests.support import generate_docs
from tests.support.claude_cli import eventually
from tests.support.repos import Repo
from tests.support.sessions import a_session, project_of
from tests.support.tmux import Shell, put_wts_on_path
from tests.test_notifiers import Human, Server
from worktree_sessions.actions import notify
from worktree_sessions.actions.launch import prepare_plugin
from worktree_sessions.model import settings
from worktree_sessions.model.events import append_exit, append_launch
from worktree_sessions.model.session import Session
from worktree_sessions.model.settings import File
from worktree_sessions.outside import claude, locks, processes, tmux
from worktree_sessions.outside.files import append_line
from worktree_sessions.outside.notifiers import CHANNELS
from worktree_sessions.views.notices import CURES

NEEDS = "needs you | may it run `make`?"
needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class World:
    """A repository whose user has chosen a command that writes down what it is told, one line a notice."""

    def __init__(self, repo: Repo, home: Path, tmp_path: Path) -> None:
        self.repo, self.home, self.lines = repo, home, tmp_path / "told"
        self.claudes: list[subprocess.Popen[bytes]] = []
        self.root = repo.path / ".git" / "wts"
        body = "$(printf %s \"$WTS_NOTICE_BODY\" | tr '\\n' ';')"
        self.write_down = f'echo "$WTS_NOTICE_TITLE | {body}" >> {self.lines}'
        self.choose()

    def choose(self, **values: Any) -> None:
        """Write the user's settings."""
        chosen = {"channels": [], "command": self.write_down, "join": 0.5, **values}
        file = self.home / ".config" / "wts" / "config.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = [f"{key} = {json.dumps(value)}" for key, value in chosen.items()]
        file.write_text("\n".join(["[notify]", *rows, ""]))

    def session(self, name: str = "auth-frontend") -> Session:
        """Make a session with a process in Claude's place that runs on."""
        made = a_session(self.repo, name)
        prepare_plugin(project_of(self.repo), made)
        child = subprocess.Popen(["sleep", "600"])
        self.claudes.append(child)
        identity = processes.look_up(child.pid)
        assert identity is not None
        events = project_of(self.repo).store.events_file(name)
        append_launch(events, time.time(), identity, conversation="c", config=claude.config_dir())
        return made

    def hook(self, session: Session, event: str, **fields: Any) -> None:
        """Run a hook of the session as its Claude does; it says nothing, whatever becomes of the notice."""
        plugin = prepare_plugin(project_of(self.repo), session)
        commands = json.loads((plugin / "hooks" / "hooks.json").read_text())["hooks"][event][0]["hooks"]
        child = self.claudes[session.number - 1]
        done = subprocess.run(
            ["/bin/sh", "-c", commands[0]["command"]],
            input=json.dumps(fields).encode(),
            env={**os.environ, "CLAUDE_PID": str(child.pid)},
            stdout=subprocess.PIPE,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, b"")

    def ask(self, session: Session, command: str = "make") -> None:
        self.hook(session, "PermissionRequest", tool_name="Bash", tool_input={"command": command})

    def answer(self, session: Session, command: str = "make") -> None:
        self.hook(session, "PostToolUse", tool_name="Bash", tool_input={"command": command})

    def stop(self, session: Session) -> None:
        self.hook(session, "Stop", background_tasks=[], session_crons=[])

    def told(self) -> list[str]:
        return self.lines.read_text().splitlines() if self.lines.exists() else []

    def wait_for_told(self, count: int = 1) -> list[str]:
        eventually(lambda: len(self.told()) >= count, f"notice {count}, but {self.told()} {self.log()}")
        return self.told()

    def log(self) -> str:
        file = self.root / "notify.log"
        return file.read_text() if file.exists() else ""

    def ledger(self) -> list[Any]:
        file = self.root / "notify.json"
        return json.loads(file.read_text()) if file.exists() else []

    def is_somebody_there(self) -> bool:
        return locks.is_held(self.root / "notify.staying")

    def count_processes(self) -> int:
        """Return how many processes were started by hooks of this repository and have not ended."""
        rows = subprocess.run(
            ["ps", "-A", "-ww", "-o", "args"], capture_output=True, text=True, check=True
        ).stdout
        return sum(str(self.repo.path) in row and "--from-hook" in row for row in rows.splitlines())

    def look_again(self) -> None:
        """Have the sessions looked at, and wait until they were."""
        notify.kick(project_of(self.repo))
        mark = self.root / "notify.mark"
        eventually(lambda: not mark.exists() and self.is_somebody_there(), "a look")
        with locks.attempt(self.root / "notify.lock", timeout=30) as is_held:
            assert is_held

    def end(self) -> None:
        for child in self.claudes:
            child.kill()
            child.wait()
        shutil.rmtree(self.repo.path, ignore_errors=True)
        eventually(lambda: self.count_processes() == 0, "end of the one that stayed")


@pytest.fixture
def world(repo: Repo, hermetic: Path, tmp_path: Path) -> Iterator[World]:
    made = World(repo, hermetic, tmp_path)
    yield made
    made.end()


# -- once ------------------------------------------------------------------------------------------


def test_a_permission_is_told_once_whatever_follows_it(world: World) -> None:
    session = world.session()
    world.ask(session)
    assert world.wait_for_told() == [f"1 auth-frontend {NEEDS}"]

    registry = claude.config_dir() / "sessions"
    registry.mkdir(parents=True)
    pid = world.claudes[0].pid
    entry = {"pid": pid, "sessionId": "c", "status": "waiting", "waitingFor": "permission prompt"}
    (registry / f"{pid}.json").write_text(json.dumps({**entry, "updatedAt": int(time.time() * 1000)}))
    world.hook(session, "Notification", notification_type="permission_prompt", message="Claude needs you")
    world.look_again()
    assert world.is_somebody_there(), "it waits for the next time to say so"

    (registry / f"{pid}.json").unlink()
    world.answer(session)
    world.stop(session)
    eventually(lambda: world.count_processes() == 0, "end of the one that stayed")
    assert world.told() == [f"1 auth-frontend {NEEDS}"]
    assert world.log() == ""


def test_three_that_come_together_are_told_at_once(world: World) -> None:
    world.choose(join=4)
    sessions = [world.session(name) for name in ("auth-frontend", "auth-backend", "auth-docs")]
    world.ask(sessions[0])
    eventually(world.is_somebody_there, "one that waits for others")
    for session in sessions[1:]:
        world.ask(session)
    (line,) = world.wait_for_told()
    assert line.startswith("3 sessions: 3 need you | ")
    for one in sessions:
        assert f"{one.number} {one.name} needs you: may it run `make`?" in line
    world.look_again()
    assert len(world.told()) == 1


def test_those_that_come_one_after_the_other_are_each_told(world: World) -> None:
    """Some come while another is being told, or just when it is about to end."""
    world.choose(join=0, repeat=0)
    sessions = [world.session(name) for name in ("auth-a", "auth-b", "auth-c", "auth-d")]
    for pause, session in zip((0.0, 0.4, 3.5, 0.1), sessions, strict=True):
        time.sleep(pause)
        world.ask(session)
    eventually(lambda: len(named(world.told())) >= 4, "four names")
    assert sorted(named(world.told())) == ["auth-a", "auth-b", "auth-c", "auth-d"]


def test_who_comes_between_the_last_look_and_the_end_is_not_missed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.session()
    mark, stays = world.root / "notify.mark", []

    def stay(*_: object, **__: object) -> None:
        mark.unlink()
        stays.append(world.is_somebody_there())
        if len(stays) == 1:
            mark.touch()  # as one does who then finds the lock still held, and leaves

    monkeypatch.setattr(notify, "_stay", stay)
    notify.attend(world.repo.path)
    assert stays == [True, True]


def named(lines: list[str]) -> list[str]:
    return [word for line in lines for word in line.split() if word.startswith("auth-")]


def test_a_burst_leaves_one_process_and_one_notice(world: World) -> None:
    session = world.session()
    world.ask(session)
    argv = notify.kick_argv(project_of(world.repo))
    burst = [subprocess.Popen(argv) for _ in range(20)]
    eventually(lambda: sum(one.poll() is None for one in burst) <= 1, "one left", seconds=60)
    assert world.count_processes() == 1
    assert world.wait_for_told() == [f"1 auth-frontend {NEEDS}"]
    world.answer(session)
    world.stop(session)
    assert [one.wait(60) for one in burst] == [0] * 20
    assert len(world.told()) == 1


def test_what_is_over_before_it_is_told_is_never_told(world: World) -> None:
    world.choose(join=4)
    session = world.session()
    world.ask(session)
    eventually(world.is_somebody_there, "one that waits for others")
    world.answer(session)
    eventually(lambda: world.count_processes() == 0, "end")
    assert (world.told(), world.log()) == ([], "")


def test_who_still_waits_is_told_again(world: World) -> None:
    world.choose(repeat=1, join=0.1)
    world.ask(world.session())
    first, *others = world.wait_for_told(3)
    assert first == f"1 auth-frontend {NEEDS}"
    assert all(line.startswith("1 auth-frontend still needs you, ") for line in others)


@needs_tmux
def test_a_claude_that_was_killed_is_told(
    world: World, repo: Repo, fake_claude: Path, tmp_path: Path
) -> None:
    put_wts_on_path(tmp_path / "bin")
    a_session(repo, "auth-frontend")
    shell = Shell(repo.path)
    steps = json.dumps([{"prompt": "x"}, {"die": 9}])
    shell.start(f"FAKE_CLAUDE_SCRIPT={shlex.quote(steps)} {tmp_path / 'bin' / 'wts'} open 1")
    assert world.wait_for_told() == ["1 auth-frontend failed | Claude was killed by SIGKILL"]
    eventually(lambda: world.count_processes() == 0, "end")
    assert len(world.told()) == 1


def test_a_turn_that_took_long_is_told_and_a_short_one_is_not(world: World) -> None:
    world.choose(done_after=1)
    session = world.session()
    world.hook(session, "UserPromptSubmit", prompt="go")
    time.sleep(1.1)
    world.hook(session, "Stop", last_assistant_message="The form is there.")
    (line,) = world.wait_for_told()
    assert line.startswith("1 auth-frontend is done | after ")
    assert line.endswith("s: The form is there.")

    world.choose(done_after=3600)
    world.hook(session, "UserPromptSubmit", prompt="go")
    world.stop(session)
    world.look_again()
    assert len(world.told()) == 1


def test_what_no_hook_ran_for_is_not_taken_for_told_by_claudes_terminal(world: World) -> None:
    """One that stays for a question meets the end of another session's Claude."""
    world.choose(channels=["terminal"], command="")
    asks, dies = world.session("auth-frontend"), world.session("auth-backend")
    project, now = project_of(world.repo), time.time()
    row = {"v": 1, "t": now, "event": "StopFailure", "pid": world.claudes[0].pid, "error": "server_error"}
    append_line(project.store.events_file(asks.name), json.dumps(row).encode())
    by_claude = notify.run_once(project, by_hook=True)
    assert [(one.matter, by_claude.deliveries[0].worked) for one in by_claude.news] == [("broken", True)]

    killed = processes.look_up(world.claudes[1].pid)
    assert killed is not None
    append_exit(project.store.events_file(dies.name), now, killed, -9)
    by_launcher = notify.run_once(project, by_hook=True)
    assert [(one.matter, by_launcher.deliveries[0].worked) for one in by_launcher.news] == [("broken", False)]


# -- nothing delays Claude, nothing is lost ----------------------------------------------------------


def test_a_hook_returns_while_the_command_still_runs(world: World, tmp_path: Path) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    wait = f"touch {begun}; while [ ! -e {go} ]; do sleep 0.05; done"
    world.choose(command=f"{wait}; {world.write_down}", join=0)
    first, second = world.session("auth-frontend"), world.session("auth-backend")
    world.ask(first)
    eventually(begun.exists, "the command")
    world.ask(second)  # it returns
    assert world.told() == []
    go.touch()
    assert named(world.wait_for_told(2)) == ["auth-frontend", "auth-backend"]


def test_channels_that_fail_are_written_down_and_tried_once_more_later(world: World) -> None:
    world.choose(channels=["desktop", "tmux"], command="echo no such thing >&2; exit 3")
    world.ask(world.session())
    eventually(lambda: "command: the command ended with status 3: no such thing" in world.log(), "line")
    assert "desktop: none of " in world.log()
    assert "tmux: there is no tmux here" in world.log()
    (row,) = world.ledger()
    assert row[-1] is True, "it is to be tried again"
    assert world.is_somebody_there()


@pytest.mark.parametrize("content", ["", "{", "[[1]]", '[["a", "b", 1]]'])
def test_a_broken_ledger_is_an_empty_one(world: World, content: str) -> None:
    session = world.session()
    (world.root / "notify.json").write_text(content)
    world.ask(session)
    assert world.wait_for_told() == [f"1 auth-frontend {NEEDS}"]


def break_settings(world: World) -> None:
    (world.repo.path / ".wts.toml").write_text("start = 'nowhere'\n")


def break_lock(world: World) -> None:
    (world.root / "notify.lock").mkdir()


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (break_settings, "start must be one of terminal, tmux, background, none, not 'nowhere'\n"),
        (break_lock, "notify.lock'\n"),
    ],
)
def test_what_goes_wrong_is_written_down_and_bounded(
    world: World, harm: Callable[[World], None], says: str
) -> None:
    world.session()
    log = world.root / "notify.log"
    log.write_text("old line\n" * 20_000)
    argv = notify.kick_argv(project_of(world.repo))
    harm(world)
    done = subprocess.run(argv, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert log.read_text().endswith(says)
    assert log.stat().st_size < notify.LONGEST_LOG


def test_a_repository_that_is_removed_is_left_and_not_brought_back(world: World) -> None:
    world.ask(world.session())
    world.wait_for_told()
    shutil.rmtree(world.repo.path)
    eventually(lambda: world.count_processes() == 0, "end")
    assert not world.repo.path.exists()


def test_without_any_channel_nothing_is_started(world: World) -> None:
    world.choose(command="")
    session = world.session()
    world.ask(session)
    notify.kick(project_of(world.repo))
    assert world.count_processes() == 0
    assert not (world.root / "notify.mark").exists()


# -- where a human is --------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    made.run("set-option", "-g", "focus-events", "on")
    yield made
    made.end()


def in_pane(world: World, pane: tmux.Pane) -> Session:
    session = world.session()
    placed = session._replace(place="tmux", address=str(pane))
    project_of(world.repo).store.save(placed)
    return placed


def watching(server: Server) -> tuple[tmux.Pane, Human]:
    """Return a pane, and the human who works in it."""
    pane = server.session("one")
    server.run("set-option", "-g", "focus-events", "on")
    human = Human(server, "one")
    human.wait_for("\x1b[?1004h")
    human.report_focus(True)
    eventually(lambda: tmux.is_watched(pane) is True, "watched pane")
    time.sleep(1.1)  # tmux tells the time of a key in whole seconds
    return pane, human


@needs_tmux
def test_a_question_in_the_terminal_with_the_focus_is_told_when_the_human_leaves(
    world: World, server: Server
) -> None:
    pane, human = watching(server)
    world.ask(in_pane(world, pane))
    (row,) = eventually(world.ledger, "a look")
    assert (row[-2], world.told(), world.is_somebody_there()) == (None, [], True)
    human.report_focus(False)
    assert world.wait_for_told() == [f"1 auth-frontend {NEEDS}"]


@needs_tmux
def test_a_question_that_the_human_has_seen_is_not_told(world: World, server: Server) -> None:
    world.choose(join=3)
    pane, human = watching(server)
    world.ask(in_pane(world, pane))
    time.sleep(1.1)
    os.write(human.screen, b"x")
    (row,) = eventually(world.ledger, "a look")
    assert row[-2] is not None, "it counts as told"
    human.report_focus(False)
    world.look_again()
    assert world.told() == []


# -- by hand -----------------------------------------------------------------------------------------


def test_notify_tells_what_is_due_and_by_which_channel(world: World, wts: Wts) -> None:
    session = world.session()
    kick = project_of(world.repo).store.session_dir(session.name) / "kick.json"
    kick.unlink()
    events = project_of(world.repo).store.events_file(session.name)
    row = {"v": 1, "t": time.time(), "event": "PermissionRequest", "pid": world.claudes[0].pid}
    with events.open("a") as file:
        file.write(json.dumps({**row, "tool_name": "Bash", "what": "make\x1b[2J"}) + "\n")

    told = wts("notify")
    assert (told.status, told.err) == (0, "")
    assert told.out == "1 auth-frontend needs you: may it run `make`?\n✓ command   the command succeeded\n"
    again = wts("notify")
    assert (again.status, again.out) == (6, "")
    assert again.err == "there is nothing new to tell\nhint: wts list\n"
    (world.root / "notify.json").unlink()
    data = wts("notify", "--json").json["data"]
    (one,) = data["told"]
    assert (one["number"], one["name"], one["matter"]) == (1, "auth-frontend", "needs you")
    cure = {"channel": "command", "worked": True, "says": "the command succeeded", "cure": None}
    assert data["channels"] == [cure]
    assert len(world.told()) == 2


def test_the_test_says_what_worked_and_cures_what_did_not(world: World, wts: Wts) -> None:
    world.choose(channels=["tmux", "desktop"])
    some = wts("notify", "--test")
    assert some.status == 0
    lines = some.out.splitlines()
    assert lines[0] == "✗ tmux      there is no tmux here"
    assert "wts open N --tmux" in lines[1]
    assert lines[2].startswith("✗ desktop   none of ")
    assert lines[-1] == "✓ command   the command succeeded"
    assert world.told() == ["wts | This is a test: notifications reach you here."]

    world.choose(channels=["tmux"], command="exit 1")
    none = wts("notify", "--test", "--json")
    assert (none.status, none.json["ok"]) == (1, False)
    assert [error["code"] for error in none.json["errors"]] == ["not-told"]
    assert "no channel worked" in none.err
    channels = none.json["data"]["channels"]
    assert [(one["channel"], one["worked"], bool(one["cure"])) for one in channels] == [
        ("tmux", False, True),
        ("command", False, True),
    ]

    world.choose(command="")
    for words in (["--test"], []):
        nothing = wts("notify", *words)
        assert nothing.status == 6
        assert "nobody is to be told" in nothing.err


def test_every_channel_has_its_cure() -> None:
    assert [*CURES] == [*CHANNELS, "command", "webhook"]


def test_the_example_of_the_page_can_be_used() -> None:
    page = (generate_docs.ROOT / "docs" / "notifications.md").read_text(encoding="utf-8")
    example = page.split("```toml\n")[1].split("```")[0]
    loaded = settings.load(
        user=File("config.toml", example.encode()), repository=None, variables={}, flags={}
    )
    assert loaded.settings.notify_command == """printf '%s\\n' "$WTS_NOTICE_TITLE" >> ~/notices"""
    assert loaded.settings.notify_quiet == "22:00-08:00"
