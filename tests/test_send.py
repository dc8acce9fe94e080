"""`wts send`: a prompt typed into the session that runs in tmux, once, or kept for the next start."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import Wts
from tests.support.sessions import a_session, closed, project_of
from tests.support.stage import NAME, Stage
from tests.support.tmux import Pane
from worktree_sessions.actions import launch, messages
from worktree_sessions.actions.messages import LONGEST_PROMPT
from worktree_sessions.actions.sending import prompt_of, send
from worktree_sessions.errors import Refused, UsageError, WtsError
from worktree_sessions.model.events import append_launch
from worktree_sessions.model.session import State
from worktree_sessions.outside import processes, tmux
from worktree_sessions.outside.files import append_line

pytestmark = [
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
    pytest.mark.usefixtures("fake_claude"),
]


# Dies between the start of Claude and the note of it.
DIES = """
import os, sys
from worktree_sessions import __main__ as front_door
from worktree_sessions.actions import launch
launch.append_launch = lambda *_, **__: os._exit(9)
front_door.run(sys.argv[1:])
"""


def in_a_window(stage: Stage, wts: Wts) -> None:
    made = wts("new", NAME, "--tmux")
    assert made.status == 0, made.err
    stage.wait_for_state(State.IDLE)


# -- typed -----------------------------------------------------------------------------------------

HOSTILE = (
    '-x it\'s "quoted" $HOME `x` #(touch pwned) %5;\n\n\tthe second\nline é ✓ \x1b[201~\x03\x7f\x9b31m end;'
)
TYPED = '-x it\'s "quoted" $HOME `x` #(touch pwned) %5;\n\n\tthe second\nline é ✓ [201~31m end;'


def test_a_prompt_is_typed_once_and_told_as_taken(stage: Stage, wts: Wts) -> None:
    stage.plays({"listen": 3})
    in_a_window(stage, wts)
    sent = wts("send", "1", "-", "--json", stdin=HOSTILE)
    assert sent.status == 0, sent.err
    assert (sent.json["data"]["how"], sent.json["data"]["confirmed"]) == ("typed", True)
    assert "and taken" in wts("send", NAME, "go", "on").out
    assert "and taken" in wts("send", "1", stdin="x" * 50_000).out
    assert stage.prompts() == [TYPED, "go on", "x" * 300]
    transcript = next((Path.home() / ".claude" / "projects").glob("*/*.jsonl")).read_text()
    assert transcript.count("x" * 50_000) == 1
    assert not list(stage.repo.path.rglob("pwned"))


def test_it_is_typed_although_its_window_is_scrolled_back(stage: Stage, wts: Wts) -> None:
    stage.plays({"listen": 1})
    in_a_window(stage, wts)
    stage.pane().tmux("copy-mode", "-t", stage.pane().id)
    assert "and taken" in wts("send", "1", "two\nlines").out
    assert stage.prompts() == ["two\nlines"]


def test_two_at_once_do_not_type_into_each_other(stage: Stage, wts: Wts) -> None:
    stage.plays({"listen": 2})
    in_a_window(stage, wts)
    words = [sys.executable, "-m", "worktree_sessions", "send", "1"]
    both = [subprocess.Popen([*words, text], cwd=stage.repo.path) for text in ("the first", "the second")]
    assert [one.wait(60) for one in both] == [0, 0]
    assert sorted(stage.prompts()) == ["the first", "the second"]


def test_who_asks_something_is_not_answered(stage: Stage, wts: Wts) -> None:
    stage.plays(
        {"prompt": "Build it"}, {"ask": "Bash", "until": str(stage.leave)}, {"stop": {}}, {"listen": 1}
    )
    assert wts("new", NAME, "--tmux").status == 0
    stage.wait_for_state(State.WAITING)
    refused = wts("send", "1", "yes please", "--json")
    assert (refused.status, refused.json["errors"][0]["code"]) == (3, "asks")
    assert "may it run `rm -r build`?" in refused.err
    assert "wts open 1" in refused.err
    assert "yes please" not in stage.pane().screen()
    assert messages.kept(project_of(stage.repo), stage.session()) == []


def test_enter_is_not_pressed_when_a_question_comes_in_between(stage: Stage, wts: Wts) -> None:
    now = stage.tmp_path / "now"
    stage.plays({"prompt": "Build it"}, {"wait_for": str(now)}, {"ask": "Bash", "until": str(stage.leave)})
    assert wts("new", NAME, "--tmux").status == 0
    stage.wait_for_state(State.WORKING)
    paste = tmux.paste

    def paste_late(pane: tmux.Pane, text: str) -> bool:
        now.touch()
        stage.wait_for_state(State.WAITING)
        return paste(pane, text)

    stage.monkeypatch.setattr(tmux, "paste", paste_late)
    with pytest.raises(WtsError, match="Enter was not pressed"):
        send(project_of(stage.repo), stage.session(), "yes please")
    pane = stage.pane()
    pane.wait_for("yes please")
    assert pane.says("#{cursor_y}") == "0"
    assert stage.state()[0] is State.WAITING


def as_claude(stage: Stage, program: str) -> Pane:
    """Have a program in a tmux pane stand for a Claude that was just started."""
    a_session(stage.repo)
    shell = stage.shell()
    shell.type(f"exec {program}")
    project, pane = project_of(stage.repo), tmux.Pane(shell.says("#{socket_path}"), shell.id)
    launch.remember(project, stage.session(), place="tmux", address=str(pane))
    process = processes.look_up(int(shell.says("#{pane_pid}")))
    assert process is not None
    append_launch(project.store.events_file(NAME), time.time(), process, conversation="c", config=Path.home())
    return shell


def tell(stage: Stage, event: str, **fields: str) -> None:
    row = {"t": time.time(), "event": event, "pid": stage.events()[0]["pid"], **fields}
    append_line(project_of(stage.repo).store.events_file(NAME), json.dumps(row).encode())


def test_a_start_is_waited_for(stage: Stage) -> None:
    pane = as_claude(stage, "cat")
    starts = threading.Timer(1, tell, (stage, "SessionStart"))
    starts.start()
    sent = send(project_of(stage.repo), stage.session(), "hello", confirm=0)
    assert sent.how == "typed"
    assert not sent.is_confirmed
    assert not starts.is_alive()
    assert pane.screen().count("hello") == 2  # typed, and told by cat after Enter


def test_a_start_that_takes_too_long_keeps_the_message(stage: Stage) -> None:
    pane = as_claude(stage, "cat")
    sent = send(project_of(stage.repo), stage.session(), "hello", ready=1)
    assert (sent.how, "it is starting" in sent.says) == ("kept", True)
    assert "hello" not in pane.screen()


def test_keys_that_would_go_to_other_panes_too_are_not_pressed(stage: Stage) -> None:
    pane = as_claude(stage, "cat")
    tell(stage, "SessionStart")
    pane.tmux("split-window", "-t", pane.id, "cat")
    pane.tmux("set-option", "-w", "-t", pane.id, "synchronize-panes", "on")
    sent = send(project_of(stage.repo), stage.session(), "hello")
    assert sent.how == "kept"
    assert "hello" not in pane.screen()


# -- kept ------------------------------------------------------------------------------------------


def kept(stage: Stage) -> list[str]:
    return [file.read_text() for file in messages.kept(project_of(stage.repo), stage.session())]


def test_a_stopped_claude_is_not_typed_to_since_the_shell_would_read_it(stage: Stage, wts: Wts) -> None:
    shell = stage.shell()
    shell.type(f"{stage.stays()} wts new {NAME}")
    stage.wait_for_state(State.IDLE)
    shell.key("C-z")
    shell.wait_for("Stopped")
    sent = wts("send", "1", "touch pwned", "--json")
    assert sent.json["data"]["how"] == "kept"
    assert "another program is in front" in sent.json["data"]["message"]
    assert "pwned" not in shell.screen()
    assert kept(stage) == ["touch pwned"]
    stage.leave.touch()
    assert shell.run("fg") == 0


def test_outside_of_tmux_and_in_the_background_it_is_kept(stage: Stage, wts: Wts) -> None:
    shell = stage.shell("default", "TMUX", "TMUX_PANE")
    number = shell.start(f"{stage.stays()} wts new {NAME}")
    stage.wait_for_state(State.IDLE)
    assert "outside of tmux" in wts("send", "1", "hello").out
    stage.leave.touch()
    assert shell.status(number) == 0
    stage.leave.unlink()
    stage.plays({"wait_for": str(stage.leave)})
    assert wts("new", "auth-tests", "--background").status == 0
    stage.wait_for_state(State.IDLE, "auth-tests")
    assert "in its own background" in wts("send", "2", "hello").out
    stage.leave.touch()


def test_what_was_kept_is_given_in_order_behind_the_prompt_and_once(stage: Stage, wts: Wts) -> None:
    assert wts("new", NAME, "--no-start", "-p", "Build it").status == 0
    for count in range(11):
        sent = wts("send", "1", f"message {count}")
        assert sent.status == 0
        assert "given when session 1 is next started" in sent.out
        assert "next: wts open 1" in sent.out
    shell = stage.shell()
    assert shell.run("wts open 1") == 0
    expected = "\n\n".join(["Build it", *(f"message {count}" for count in range(11))])
    assert stage.starts()[0]["argv"][-2:] == ["--", expected]
    assert kept(stage) == []
    assert wts("send", "1", "--", "-and then").status == 0
    assert shell.run("wts open 1 -p 'Go on'") == 0
    assert stage.starts()[1]["argv"][-2:] == ["--", "Go on\n\n-and then"]
    assert shell.run("wts open 1") == 0
    assert "--" not in stage.starts()[2]["argv"]


def test_a_background_start_gives_what_was_kept(stage: Stage, wts: Wts) -> None:
    assert wts("new", NAME, "--no-start").status == 0
    assert wts("send", "1", "hello").status == 0
    assert wts("open", "1", "--background").status == 0
    assert stage.wait_for_start()["argv"][-2:] == ["--", "hello"]
    assert kept(stage) == []


def test_a_start_takes_no_more_than_a_program_can_be_given(stage: Stage, wts: Wts) -> None:
    assert wts("new", NAME, "--no-start").status == 0
    texts = ["a" * 100_000, "b" * (LONGEST_PROMPT - 100_000 - 2), "c"]
    for text in texts:
        assert wts("send", "1", "-", stdin=text).status == 0
    shell = stage.shell()
    assert shell.run("wts open 1") == 0
    assert stage.starts()[0]["argv"][-1] == "\n\n".join(texts[:2])
    assert kept(stage) == ["c"]


def test_a_start_that_fails_loses_no_message(stage: Stage, wts: Wts) -> None:
    assert wts("new", NAME, "--no-start").status == 0
    assert wts("send", "1", "hello").status == 0
    stage.monkeypatch.setenv("WTS_CLAUDE", "no-such-claude")
    assert stage.shell().run("wts open 1") == 1
    assert kept(stage) == ["hello"]
    stage.monkeypatch.delenv("WTS_CLAUDE")
    died = subprocess.run([sys.executable, "-c", DIES, "launch", NAME], cwd=stage.repo.path, check=False)
    assert died.returncode == 9
    assert stage.wait_for_start()["argv"][-1] == "hello"
    assert kept(stage) == ["hello"]


def test_a_message_survives_close_and_restore_and_is_refused_for_who_is_gone(stage: Stage, wts: Wts) -> None:
    session = a_session(stage.repo)
    assert wts("send", "1", "hello").status == 0
    closed(stage.repo, session)
    with pytest.raises(Refused, match="closed meanwhile"):
        messages.keep(project_of(stage.repo), session, "too late")
    assert wts("send", "1", "too late").status == 1
    assert wts("restore", NAME).status == 0
    assert kept(stage) == ["hello"]


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "no-text"), (" \n\x1b\x7f", "no-text"), ("a\0b", "odd-prompt"), ("x" * 200_000, "long-prompt")],
)
def test_what_can_not_be_sent_is_wrong_usage(text: str, code: str) -> None:
    with pytest.raises(UsageError) as error:
        prompt_of(text)
    assert error.value.code == code


def test_without_a_text_it_is_wrong_usage(stage: Stage, wts: Wts) -> None:
    a_session(stage.repo)
    assert wts("send", "1").status == 2
    assert stage.shell().run("wts send 1") == 2
    assert kept(stage) == []
