"""Claude in a session, with the scripted stand-in on real terminals: started, gone back to, ended, killed, resumed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Wts
from tests.support.claude_cli import eventually
from tests.support.repos import Repo
from tests.support.sessions import a_session, project_of
from tests.support.stage import NAME, Stage, option
from tests.support.tmux import Pane, tmux, windows
from worktree_sessions.actions.launch import launch
from worktree_sessions.errors import WtsError
from worktree_sessions.model.session import State
from worktree_sessions.outside import processes

pytestmark = [
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
    pytest.mark.usefixtures("fake_claude"),
]


# -- in this terminal ------------------------------------------------------------------------------


def test_new_starts_claude_here_and_tells_how_it_ended(stage: Stage) -> None:
    shell = stage.shell()
    foreign = (
        "CLAUDECODE=1 CLAUDE_CODE_CHILD_SESSION=1 VIRTUAL_ENV=/venv GIT_INDEX_FILE=/index WTS_SESSION=outer"
    )
    script = stage.script({"write": "login.py", "content": "form\n"}, {"stop": {}})
    command = f"{foreign} {script} wts new {NAME} --role test -p 'Build \"it\"'"
    assert shell.run(command) == 0

    (start,) = stage.starts()
    session, env = stage.session(), start["env"]
    assert start["cwd"] == str(session.worktree)
    assert start["argv"][-2:] == ["--", 'Build "it"']
    assert option(start, "--name") == session.display == "repo-frontend-1"
    assert option(start, "--session-id") == session.conversation
    assert option(start, "--append-system-prompt") == session.focus
    assert session.focus is not None
    assert (Path(option(start, "--plugin-dir")) / "hooks" / "hooks.json").is_file()
    told = {key: value for key, value in env.items() if key.startswith("WTS_")}
    assert told == session.environment(stage.repo.path)
    assert not {"CLAUDECODE", "CLAUDE_CODE_CHILD_SESSION", "VIRTUAL_ENV", "GIT_INDEX_FILE"} & set(env)

    assert stage.state() == (State.ENDED, None)
    assert stage.events()[-1]["event"] == "exit"
    screen = shell.screen()
    assert "session 1, auth-frontend" in screen
    assert "Claude ended, session 1, auth-frontend" in screen
    assert "not committed: 1 untracked" in screen


@pytest.mark.parametrize(
    ("steps", "says", "state"),
    [
        ([{"exit": 3}], "Claude ended with exit status 3", State.FAILED),
        ([{"die": 9}], "Claude was killed by SIGKILL", State.FAILED),
        ([{"die": 15}], "Claude ended by SIGTERM", State.ENDED),
    ],
)
def test_each_kind_of_end_is_recorded(
    stage: Stage, steps: list[dict[str, Any]], says: str, state: State
) -> None:
    shell = stage.shell()
    assert shell.run(f"{stage.script(*steps)} wts new {NAME}") == 0
    shell.wait_for(f"{says}, session 1")
    assert stage.state()[0] is state


def test_a_killed_claude_leaves_the_terminal_as_it_was(stage: Stage) -> None:
    shell = stage.shell()
    before, after = stage.tmp_path / "before", stage.tmp_path / "after"
    raw = stage.script({"raw": True}, {"touch": str(stage.tmp_path / "raw")}, {"sleep": 0.5}, {"die": 9})
    number = shell.start(f"stty -g >{before}; {raw} wts new {NAME}; stty -g >{after}")
    eventually((stage.tmp_path / "raw").exists, "raw mode")
    eventually(lambda: shell.says("#{alternate_on}#{mouse_any_flag}") == "11", "the other screen")
    assert shell.status(number) == 0
    assert after.read_text() == before.read_text()
    assert shell.says("#{alternate_on}#{mouse_any_flag}#{cursor_flag}") == "001"


def test_ctrl_c_is_claudes_and_the_launcher_lives_to_record_the_end(stage: Stage) -> None:
    shell = stage.shell()
    number = shell.start(f"{stage.stays()} wts new {NAME}")
    stage.wait_for_state(State.IDLE)
    shell.key("C-c")
    assert shell.status(number) == 0
    assert stage.events()[-2]["event"] == "SessionEnd"
    assert stage.state() == (State.ENDED, None)


def test_ctrl_z_and_fg(stage: Stage) -> None:
    shell = stage.shell()
    shell.type(f"{stage.stays({'prompt': 'Build it'})} wts new {NAME}")
    stage.wait_for_state(State.WORKING)
    shell.key("C-z")
    shell.wait_for("Stopped")
    stage.leave.touch()
    assert stage.state() == (
        State.INTERRUPTED,
        "its process was stopped (Ctrl-Z); `fg` in its terminal lets it go on",
    )
    assert shell.run("fg") == 0
    assert stage.state() == (State.ENDED, None)


def test_a_claude_that_was_killed_behind_ctrl_z_has_failed_though_its_launcher_can_not_tell_yet(
    stage: Stage,
) -> None:
    shell = stage.shell()
    shell.type(f"{stage.stays()} wts new {NAME}")
    stage.wait_for_state(State.IDLE)
    shell.key("C-z")
    shell.wait_for("Stopped")
    os.kill(stage.starts()[0]["pid"], signal.SIGKILL)
    stage.wait_for_state(State.FAILED)
    shell.run("fg")
    assert stage.state() == (State.FAILED, "Claude was killed by SIGKILL")


def test_where_the_start_can_not_be_written_down_claude_does_not_run(stage: Stage) -> None:
    """On a full disk: else it would run on behind a session that seems parked, and could be started twice."""
    session = a_session(stage.repo)
    project_of(stage.repo).store.events_file(session.name).symlink_to("/dev/full")
    stage.plays({"wait_for": str(stage.leave)})
    try:
        with pytest.raises(WtsError, match="No space left on device"):
            launch(project_of(stage.repo), session)
        started = stage.starts()
        assert not [one for one in started if processes.look_up(one["pid"])]
    finally:
        stage.leave.touch()


@pytest.mark.parametrize("unset", [(), ("TMUX", "TMUX_PANE")])
def test_a_closed_terminal_is_an_end(stage: Stage, unset: tuple[str, ...]) -> None:
    shell = stage.shell("default", *unset)
    stage.shell()  # the server lives on
    shell.type(f"{stage.stays()} wts new {NAME}")
    stage.wait_for_state(State.IDLE)
    shell.tmux("kill-pane", "-t", shell.id)
    eventually(lambda: stage.events()[-1]["event"] == "exit", "exit")
    assert stage.state() == (State.ENDED, "ended by SIGHUP")
    assert [row["event"] for row in stage.events()].count("SessionEnd") == 1
    assert not list(stage.tmp_path.glob("wts-bug-*"))


def test_a_terminated_launcher_ends_claude_and_records_it(stage: Stage) -> None:
    shell = stage.shell()
    number = shell.start(f"{stage.stays()} wts new {NAME}")
    stage.wait_for_state(State.IDLE)
    launcher = Path(f"/proc/{stage.wait_for_start()['pid']}/stat").read_text().rpartition(")")[2].split()[1]
    os.kill(int(launcher), signal.SIGTERM)
    assert shell.status(number) == 0
    assert stage.state() == (State.ENDED, "ended by SIGTERM")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_between_the_start_of_claude_and_its_note_is_passed_on(
    stage: Stage, number: signal.Signals
) -> None:
    session = a_session(stage.repo)
    spawn = processes.spawn_here

    def spawn_and_hear(*args: Any, **options: Any) -> processes.Child:
        child = spawn(*args, **options)
        os.kill(os.getpid(), number)
        return child

    stage.monkeypatch.setattr(processes, "spawn_here", spawn_and_hear)
    stage.plays({"wait_for": str(stage.leave)})
    try:
        ended = launch(project_of(stage.repo), session)
    finally:
        stage.leave.touch()
    assert ended.heard == {number}
    assert ended.status in (-number, 128 + number)
    assert stage.state()[0] is State.ENDED


def test_without_a_terminal_new_starts_nothing_and_open_says_so(stage: Stage, wts: Wts) -> None:
    made = wts("new", NAME, "-p", "-", stdin="Build\nit")
    assert made.status == 0, made.err
    assert stage.starts() == []
    assert "wts open 1" in made.out
    assert stage.session().prompt == "Build\nit"
    opened = wts("open", NAME)
    assert (opened.status, stage.starts()) == (2, [])
    assert "wts open 1 --tmux" in opened.err


# -- going back ------------------------------------------------------------------------------------


def test_open_resumes_the_conversation_also_after_close_and_restore(stage: Stage, wts: Wts) -> None:
    shell = stage.shell()
    assert shell.run(f"wts new {NAME} -p 'Build it'") == 0
    assert shell.run("wts open 1") == 0
    assert wts("close", NAME).status == 0
    assert wts("restore", NAME).status == 0
    assert shell.run("wts open 1 -p '--go on'") == 0

    first, second, third = stage.starts()
    session = stage.session()
    assert option(first, "--session-id") == session.conversation
    assert option(second, "--resume") == option(third, "--resume") == session.conversation
    assert "Build it" not in second["argv"]
    assert third["argv"][-2:] == ["--", "--go on"]
    assert {start["cwd"] for start in stage.starts()} == {str(session.worktree)}
    assert [option(start, "--name") for start in stage.starts()] == [session.display] * 3


def test_after_clear_the_newest_conversation_is_resumed(stage: Stage) -> None:
    shell = stage.shell()
    script = stage.script({"stop": {}}, {"clear": True}, {"prompt": "anew"})
    assert shell.run(f"{script} wts new {NAME} -p 'Build it'") == 0
    newest = stage.conversations()[-1]
    assert newest != stage.session().conversation
    assert shell.run("wts open 1") == 0
    assert option(stage.starts()[1], "--resume") == newest


def test_a_fork_is_gone_on_with(stage: Stage) -> None:
    shell = stage.shell()
    script = stage.script({"stop": {}}, {"fork": True}, {"prompt": "the other way"})
    assert shell.run(f"{script} wts new {NAME} -p 'Build it'") == 0
    assert shell.run("wts open 1") == 0
    forked = stage.conversations()[1]
    assert option(stage.starts()[1], "--resume") == forked != stage.session().conversation


def test_a_conversation_of_another_directory_stays_there(stage: Stage) -> None:
    shell = stage.shell()
    foreign = str(uuid.uuid4())
    assert shell.run(f"claude --session-id {foreign} 'hello'") == 0
    script = stage.script(
        {"stop": {}}, {"clear": True}, {"prompt": "anew"}, {"stop": {}}, {"resume": foreign}
    )
    assert shell.run(f"{script} wts new {NAME} -p 'Build it'") == 0
    cleared, newest = stage.conversations()[1:]
    assert newest == foreign
    assert shell.run("wts open 1") == 0
    assert option(stage.starts()[2], "--resume") == cleared


def test_a_moved_worktree_goes_on_with_its_conversation(stage: Stage) -> None:
    shell = stage.shell()
    assert (
        shell.run(f"{stage.script({'stop': {}}, {'clear': True}, {'prompt': 'anew'})} wts new {NAME} -p x")
        == 0
    )
    newest, moved = stage.conversations()[1], stage.tmp_path / "moved"
    stage.repo.git("worktree", "move", str(stage.session().worktree), str(moved))
    project_of(stage.repo).store.save(stage.session()._replace(worktree=moved))
    assert shell.run("wts open 1") == 0
    start = stage.starts()[1]
    assert start["cwd"] == str(moved)
    assert option(start, "--resume") == newest != stage.session().conversation


def test_the_record_keeps_the_conversations_when_the_log_is_lost(stage: Stage) -> None:
    shell = stage.shell()
    script = stage.script({"stop": {}}, {"clear": True}, {"prompt": "anew"})
    assert shell.run(f"{script} wts new {NAME} -p 'Build it'") == 0
    assert shell.run("wts open 1") == 0
    newest = option(stage.starts()[1], "--resume")
    assert stage.session().conversations == (stage.session().conversation, newest)
    project_of(stage.repo).store.events_file(NAME).unlink()
    assert shell.run("wts open 1") == 0
    assert option(stage.starts()[2], "--resume") == newest


def test_a_cleared_conversation_does_not_begin_with_the_first_prompt_again(stage: Stage) -> None:
    shell = stage.shell()
    assert shell.run(f"{stage.script({'stop': {}}, {'clear': True})} wts new {NAME} -p 'Build it'") == 0
    assert shell.run("wts open 1") == 0
    assert "--" not in stage.starts()[1]["argv"]
    assert option(stage.starts()[1], "--session-id") != stage.session().conversation


def test_the_first_prompt_waits_for_the_first_start(stage: Stage, wts: Wts) -> None:
    assert wts("new", NAME, "--no-start", "-p", "Build it").status == 0
    shell = stage.shell()
    assert shell.run("wts open 1") == 0
    assert stage.starts()[0]["argv"][-2:] == ["--", "Build it"]


def test_a_second_open_is_refused_where_the_first_can_not_be_reached(stage: Stage, wts: Wts) -> None:
    shell = stage.shell("default", "TMUX", "TMUX_PANE")
    number = shell.start(f"{stage.stays()} wts new {NAME}")
    stage.wait_for_state(State.IDLE)
    refused = wts("open", "1")
    assert refused.status == 3
    assert f"pid {stage.starts()[0]['pid']}" in refused.err
    closing = wts("close", "1")
    assert closing.status == 3
    stage.leave.touch()
    assert shell.status(number) == 0
    assert len(stage.starts()) == 1


def test_a_claude_started_by_hand_on_the_conversation_is_found(stage: Stage) -> None:
    shell, other = stage.shell(), stage.shell()
    assert shell.run(f"wts new {NAME} -p 'Build it'") == 0
    session = stage.session()
    other.type(f"cd {session.worktree} && {stage.stays()} claude --resume {session.conversation}")
    stage.wait_for_start(2)
    eventually(lambda: list((Path.home() / ".claude" / "sessions").glob("*.json")), "registry")
    assert shell.run("wts open 1") == 3
    assert len(stage.starts()) == 2


def test_two_opens_at_once_start_one_claude(stage: Stage, wts: Wts) -> None:
    assert wts("new", NAME, "--no-start").status == 0
    shells = [stage.shell("default", "TMUX", "TMUX_PANE") for _ in range(3)]
    for shell in shells:
        shell.start(f"{stage.stays()} wts open 1")
    eventually(lambda: "".join(shell.screen() for shell in shells).count("\nend-1=3") == 2, "two refusals")
    stage.wait_for_state(State.IDLE)
    assert len(stage.starts()) == 1
    stage.leave.touch()
    assert sorted(shell.status(1) for shell in shells) == [0, 3, 3]


# -- in tmux ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prompt", ["Build\n'the' \"form\" $HOME `x` %5", "--help", "x" * 60_000, "émoji ✓ \\n"]
)
def test_any_prompt_reaches_claude_in_a_tmux_window(stage: Stage, wts: Wts, prompt: str) -> None:
    made = wts("new", NAME, "--tmux", "-p", "-", stdin=prompt)
    assert made.status == 0, made.err
    assert stage.wait_for_start()["argv"][-2:] == ["--", prompt]
    stage.wait_for_state(State.ENDED)
    tmux("kill-server")
    opened = wts("open", "1", "--tmux", "-p", prompt)
    assert opened.status == 0, opened.err
    assert stage.wait_for_start(2)["argv"][-2:] == ["--", prompt]
    assert list(project_of(stage.repo).store.session_dir(NAME).glob("prompt-*")) == []


def test_the_window_stays_until_enter_but_only_when_claude_has_ended(stage: Stage, wts: Wts) -> None:
    stage.monkeypatch.setenv("FAKE_CLAUDE_SCRIPT", json.dumps([{"wait_for": str(stage.leave)}]))
    made = wts("new", NAME, "--tmux", "--json")
    assert made.json["data"]["started"] == "tmux"
    stage.wait_for_state(State.IDLE)
    pane = Pane(windows()["repo-frontend-1"])
    assert "Enter" not in pane.screen()
    stage.leave.touch()
    pane.wait_for("Enter closes this window")
    assert "Claude ended, session 1" in pane.screen()
    pane.key("Enter")
    eventually(lambda: "repo-frontend-1" not in windows(), "no window")


def test_the_window_shows_why_claude_did_not_start(stage: Stage, wts: Wts) -> None:
    assert wts("new", NAME, "--no-start").status == 0
    stage.monkeypatch.setenv("FAKE_CLAUDE_SCRIPT", json.dumps([{"wait_for": str(stage.leave)}]))
    assert wts("open", "1", "--tmux").status == 0
    assert wts("open", "1", "--tmux").status == 0  # before the first has begun, or a jump to it
    stage.wait_for_state(State.IDLE)
    assert len(stage.starts()) == 1
    session = f"wts-{project_of(stage.repo).name}"
    program = ["wts", "launch", "--wait", NAME]
    where = ["-d", "-P", "-F", "#{pane_id}", "-t", f"={session}:", "-c", str(stage.repo.path)]
    pane = Pane(tmux("new-window", *where, "--", *program))
    pane.wait_for("Enter closes this window")
    assert "runs already" in pane.screen()


def test_open_goes_to_the_window_where_it_runs(stage: Stage, wts: Wts) -> None:
    stage.monkeypatch.setenv("FAKE_CLAUDE_SCRIPT", json.dumps([{"wait_for": str(stage.leave)}]))
    shell = stage.shell()
    assert shell.run(f"wts new {NAME} --tmux") == 0
    stage.wait_for_state(State.IDLE)
    pane = windows()["repo-frontend-1"]
    assert shell.says("#{window_active}") == "1"

    assert shell.run("wts open 1") == 0
    assert shell.says("#{window_active}") == "0"
    assert Pane(pane).says("#{window_active}") == "1"

    outside = wts("open", "1")
    assert outside.status == 0
    socket = shell.says("#{socket_path}")
    assert f"tmux -S {socket} attach-session -t {pane}" in outside.out.replace("'", "")
    nested = stage.shell("other")
    assert nested.run("wts open 1") == 0
    assert "attach-session" in nested.screen()
    attached = stage.shell("other", "TMUX", "TMUX_PANE")
    attached.type("wts open 1")
    eventually(lambda: tmux("list-clients", "-F", "#{pane_id}") == pane, "a client on the window")
    assert len(stage.starts()) == 1


def test_a_place_with_meaning_to_tmux_is_a_place_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wts: Wts
) -> None:
    repo = Repo.create(tmp_path / "a.b:c #(touch $HOME/pwned) #{pid}")
    repo.commit("README.md", "x", "start")
    stage = Stage(repo, tmp_path, monkeypatch)
    made = wts("new", NAME, "--tmux", cwd=repo.path)
    assert made.status == 0, made.err
    assert stage.wait_for_start()["cwd"] == str(stage.session().worktree)
    stage.wait_for_state(State.ENDED)
    (pane,) = windows().values()
    assert Pane(pane).says("#{pane_current_path}") == str(repo.path)
    assert not (Path.home() / "pwned").exists()


def test_what_lies_in_the_repository_is_never_imported(stage: Stage, wts: Wts) -> None:
    """The launcher runs Python in the main worktree, where anybody's click.py may lie."""
    stage.repo.commit("click.py", "raise SystemExit('imported')\n", "a trap")
    stage.shell()  # the server, which does not know the next line
    stage.monkeypatch.setenv("PYTHONSAFEPATH", "1")  # for the run of the test itself
    made = wts("new", NAME, "--tmux")
    assert made.status == 0, made.err
    assert stage.wait_for_start()["cwd"] == str(stage.session().worktree)


# -- versions, and none ----------------------------------------------------------------------------


def test_a_missing_claude_is_a_warning_of_new_and_an_error_of_open(stage: Stage, wts: Wts) -> None:
    stage.monkeypatch.setenv("WTS_CLAUDE", "no-such-claude")
    shell = stage.shell()
    assert shell.run(f"wts new {NAME}") == 0
    assert "no-such-claude was not found on PATH" in shell.screen()
    for number, place in enumerate(("--tmux", "--background"), 2):
        made = wts("new", f"auth-n{number}", place)
        assert made.status == 0
        assert "no-such-claude was not found" in made.out + made.err
        assert f"wts open {number}" in made.out
        opened = wts("open", str(number), place)
        assert (opened.status, opened.out) == (1, "")
    assert shell.run("wts open 1") == 1


def test_an_old_claude_is_started_with_what_it_has(stage: Stage) -> None:
    without = "--session-id --name --plugin-dir --append-system-prompt"
    stage.monkeypatch.setenv("FAKE_CLAUDE_WITHOUT", without)
    shell = stage.shell()
    assert shell.run(f"wts new {NAME} -p 'Build it'") == 0
    assert stage.starts()[0]["argv"] == ["--", "Build it"]
    assert stage.state() == (State.ENDED, None)


def test_a_prompt_that_no_program_can_be_given_is_refused_before_anything_is_made(
    stage: Stage, wts: Wts
) -> None:
    for prompt, code in (("x" * 200_000, "long-prompt"), ("a\0b", "odd-prompt")):
        refused = wts("new", NAME, "-p", "-", "--json", stdin=prompt)
        assert refused.status == 2
        assert refused.json["errors"][0]["code"] == code
    assert project_of(stage.repo).store.load(NAME) is None


def test_a_program_that_can_not_be_run_is_an_error(stage: Stage, wts: Wts) -> None:
    broken = stage.tmp_path / "broken"
    broken.write_bytes(b"\x7fELF nothing")
    broken.chmod(0o755)
    stage.monkeypatch.setenv("WTS_CLAUDE", str(broken))
    assert wts("new", NAME, "--no-start").status == 0
    shell = stage.shell()
    assert shell.run("wts open 1") == 1
    assert "can't be started" in shell.screen()


# -- in Claude's background ------------------------------------------------------------------------


def test_the_background_is_started_gone_to_and_not_begun_twice(stage: Stage, wts: Wts) -> None:
    stage.monkeypatch.setenv("FAKE_CLAUDE_SCRIPT", json.dumps([{"stop": {}}, {"wait_for": str(stage.leave)}]))
    made = wts("new", NAME, "--background", "-p", "Build it", "--json")
    assert made.json["data"]["started"] == "background", made
    stage.wait_for_state(State.IDLE)
    session, start = stage.session(), stage.starts()[0]
    assert start["argv"][-2:] == ["--", "Build it"]
    assert json.loads(option(start, "--settings"))["env"] == session.environment(stage.repo.path)
    assert session.place == "background"

    opened = wts("open", "1")
    assert opened.status == 0
    assert f"claude attach {session.address}" in opened.out
    shell = stage.shell()
    assert shell.run("wts open 1") == 0
    assert f"attached to {session.address}" in shell.screen()
    assert wts("close", "1").status == 3

    stage.leave.touch()
    stage.wait_for_state(State.ENDED)
    again = wts("open", "1", "--background")
    assert again.status == 3
    assert "has one to go on with" in again.err
    assert shell.run("wts open 1") == 0
    assert stage.starts()[-1]["argv"][:1] == ["--resume"]


def test_a_claude_without_a_background_is_told(stage: Stage, wts: Wts) -> None:
    stage.monkeypatch.setenv("FAKE_CLAUDE_WITHOUT", "--bg")
    made = wts("new", NAME, "--background")
    assert made.status == 0
    assert "has no background sessions" in made.out + made.err
    assert stage.starts() == []
