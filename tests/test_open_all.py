"""`wts open --all`: after a restart every session is offered back, in its own worktree."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from tests.conftest import Wts
from tests.support.repos import Repo
from tests.support.sessions import a_session, project_of
from tests.support.stage import NAME, Stage, option
from tests.support.tmux import windows
from worktree_sessions.actions import reopen
from worktree_sessions.actions.reopen import Reopened
from worktree_sessions.actions.start import Place
from worktree_sessions.errors import WtsError
from worktree_sessions.model.session import State
from worktree_sessions.views.attention import reopened_text

pytestmark = [
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
    pytest.mark.usefixtures("fake_claude"),
]


def opened(stage: Stage, *, settle: float = 20, pause: float = 0) -> dict[str, WtsError | None]:
    """Open all that is parked; return what came of each."""
    project = project_of(stage.repo)
    done = reopen.open_all(project, reopen.find_parked(project), Place.TMUX, settle=settle, pause=pause)
    return {one.session.name: one.error for one in done}


def claude_that(stage: Stage, does: str, *, in_session: str) -> None:
    """Have Claude do something else in one session."""
    program = stage.tmp_path / "claude"
    program.write_text(f'#!/bin/sh\n[ "$WTS_SESSION" = {in_session} ] && {{ {does}; }}\nexec claude "$@"\n')
    program.chmod(0o755)
    stage.monkeypatch.setenv("WTS_CLAUDE", str(program))


def test_after_a_restart_each_is_back_in_its_worktree_on_its_conversation(stage: Stage, wts: Wts) -> None:
    stage.plays({"wait_for": str(stage.leave)})
    shell = stage.shell()
    for name in ("auth-a", "auth-b"):
        assert shell.run(f"{stage.script()} wts new {name} -p 'Build it'") == 0
    number = shell.start("wts new auth-c")
    stage.wait_for_state(State.IDLE, "auth-c")
    log = project_of(stage.repo).store.events_file(
        "auth-a"
    )  # auth-a was running when the machine was restarted
    rows = [
        line for line in log.read_text().splitlines() if '"exit"' not in line and "SessionEnd" not in line
    ]
    log.write_text("\n".join(re.sub('"boot": "[^"]*"', '"boot": "earlier"', row) for row in rows) + "\n")
    assert stage.state("auth-a") == (State.PARKED, "the machine was restarted")

    again = wts("open", "--all", "--yes", "--json")
    assert again.status == 0, again.err
    assert [(one["session"], one["started"]) for one in again.json["data"]["opened"]] == [
        ("auth-a", "tmux"),
        ("auth-b", "tmux"),
    ]
    for start in stage.starts()[3:]:
        session = stage.session(start["env"]["WTS_SESSION"])
        assert option(start, "--resume") == session.conversation
        assert start["cwd"] == str(session.worktree)
    assert {"repo-a-1", "repo-b-2"} <= windows().keys()
    stage.leave.touch()
    assert shell.status(number) == 0


def test_the_third_waits_until_two_have_begun_and_a_moment_more(stage: Stage) -> None:
    stage.plays({"wait_for": str(stage.leave)})
    for name in ("auth-a", "auth-b", "auth-c"):
        a_session(stage.repo, name)
    assert opened(stage, pause=0.5) == {"auth-a": None, "auth-b": None, "auth-c": None}
    heard = {name: {row["event"]: row["t"] for row in stage.events(name)} for name in ("auth-a", "auth-b")}
    third = stage.events("auth-c")[0]["t"]
    assert all(events["SessionStart"] + 0.5 < third for events in heard.values())
    stage.leave.touch()


def test_one_that_fails_stops_no_other(stage: Stage, wts: Wts) -> None:
    stage.plays({"wait_for": str(stage.leave)})
    shutil.rmtree(a_session(stage.repo, "auth-a").worktree)
    a_session(stage.repo, "auth-b")
    answer = wts("open", "--all", "--yes", "--json")
    assert answer.status == 1
    assert [error["code"] for error in answer.json["errors"]] == ["missing"]
    first, second = answer.json["data"]["opened"]
    assert (first["started"], first["error"]["hint"]) == (None, "wts restore auth-a")
    assert (second["started"], second["error"]) == ("tmux", None)
    assert "auth-a: not started" in answer.err
    stage.leave.touch()


@pytest.mark.parametrize(
    ("does", "reason"),
    [("exit 3", "Claude ended with exit status 3"), ("sleep 60", "nothing was heard of it")],
)
def test_who_does_not_begin_is_told(stage: Stage, does: str, reason: str) -> None:
    stage.plays({"wait_for": str(stage.leave)})
    claude_that(stage, does, in_session="auth-a")
    a_session(stage.repo, "auth-a")
    a_session(stage.repo, "auth-b")
    done = opened(stage, settle=5)
    assert done["auth-b"] is None
    error = done["auth-a"]
    assert error is not None
    assert reason in error.message
    stage.leave.touch()


def test_a_line_names_its_session_once(repo: Repo) -> None:
    session = a_session(repo, "auth-a")
    error = WtsError("ended-at-once", "session 1, auth-a: Claude ended at once", hint="wts why 1")
    line = reopened_text(Reopened(session, error), color=False)
    assert line == "✗ session 1, auth-a: not started: Claude ended at once (wts why 1)"


def test_it_asks_once_and_only_on_a_terminal(stage: Stage, wts: Wts) -> None:
    stage.plays({"wait_for": str(stage.leave)})
    a_session(stage.repo)
    refused = wts("open", "--all")
    assert refused.status == 2
    assert "--yes" in refused.err
    shell = stage.shell()
    number = shell.start("wts open --all")
    shell.wait_for(r"start Claude in 1 session\?")
    assert f"session 1, {NAME}" in shell.screen()
    shell.type("n")
    assert shell.status(number) == 1
    assert stage.starts() == []
    number = shell.start("wts open --all")
    shell.wait_for(r"(?s)\?.*start Claude in 1 session\?")
    shell.type("y")
    assert shell.status(number) == 0
    assert f"session 1, {NAME}: started" in shell.screen()
    assert len(stage.starts()) == 1
    stage.leave.touch()


def test_the_background_is_a_place_too(stage: Stage, wts: Wts) -> None:
    stage.plays({"wait_for": str(stage.leave)})
    a_session(stage.repo)
    assert wts("open", "--all", "--background", "-y").status == 0
    assert stage.session().place == "background"
    stage.leave.touch()


def test_nothing_to_open_and_wrong_usage(stage: Stage, wts: Wts) -> None:
    assert wts("open", "--all", "--yes").status == 6
    stage.plays({"wait_for": str(stage.leave)})
    assert wts("new", NAME, "--tmux").status == 0
    stage.wait_for_state(State.IDLE)
    nothing = wts("open", "--all", "--yes", "--json")
    assert (nothing.status, nothing.json["errors"][0]["code"]) == (6, "nothing-parked")
    for words in (["1"], ["-p", "go on"], ["--here"]):
        assert wts("open", "--all", "--yes", *words).status == 2
    stage.leave.touch()


def test_a_missing_claude_is_one_error(stage: Stage, wts: Wts) -> None:
    stage.monkeypatch.setenv("WTS_CLAUDE", "no-such-claude")
    a_session(stage.repo, "auth-a")
    a_session(stage.repo, "auth-b")
    answer = wts("open", "--all", "--yes", "--json")
    assert answer.status == 1
    assert [error["code"] for error in json.loads(answer.out)["errors"]] == ["no-claude"]
