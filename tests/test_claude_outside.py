"""Claude as a program: found, asked, started with what it understands, given hooks that can't disturb it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.repos import Repo
from worktree_sessions.outside import claude, processes
from worktree_sessions.outside.claude import Conversation, Features, Registered

ID = "0b5f3c4e-1111-4222-8333-444455556666"
EVERYTHING = Features(
    frozenset(
        {"--session-id", "--name", "--plugin-dir", "--append-system-prompt", "--permission-mode", "--bg"}
    )
)
NOTHING = Features(frozenset())
PROGRAM = Path("/opt/claude")


# -- the program -----------------------------------------------------------------------------------


def test_it_is_found_on_path_or_where_the_setting_says(
    fake_claude: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert claude.find() == fake_claude
    assert claude.find(str(fake_claude)) == fake_claude
    other = tmp_path / "claude-beta"
    other.symlink_to(fake_claude)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert claude.find("claude-beta") == other
    assert claude.find("no-such-claude") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert claude.find() is None


def test_what_a_version_can_do_is_asked_once_and_again_when_it_changed(
    fake_claude: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "claude"
    shutil.copy(fake_claude, program)
    assert claude.version(program) == "2.1.330"
    assert claude.features(program).has("--session-id")
    assert not claude.features(program).has("--session-name")

    monkeypatch.setenv("FAKE_CLAUDE_VERSION", "2.1.400")
    monkeypatch.setenv("FAKE_CLAUDE_WITHOUT", "--name --bg")
    assert claude.version(program) == "2.1.330", "asked twice"
    os.utime(program, (1, 1))
    assert claude.version(program) == "2.1.400"
    assert not claude.features(program).has("--name")
    assert claude.features(program).has("--plugin-dir")


def test_a_program_that_does_not_answer_can_do_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "claude"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    for program in (broken, tmp_path / "gone"):
        assert claude.features(program) == NOTHING
        assert claude.version(program) is None


# -- its command line ------------------------------------------------------------------------------


def test_the_command_lines() -> None:
    plugin = Path("/repo/.git/wts/claude/ab")
    everything: dict[str, Any] = {
        "name": "repo-dev-1",
        "plugin_dir": plugin,
        "prompt": "-p is a flag\nof git",
    }
    common = ["--name", "repo-dev-1", "--plugin-dir", str(plugin)]
    assert claude.start_argv(PROGRAM, EVERYTHING, conversation=ID, **everything) == [
        "/opt/claude",
        "--session-id",
        ID,
        *common,
        "--",
        "-p is a flag\nof git",
    ]
    assert claude.resume_argv(PROGRAM, EVERYTHING, conversation=ID, **everything) == [
        "/opt/claude",
        "--resume",
        ID,
        *common,
        "--",
        "-p is a flag\nof git",
    ]
    assert claude.background_argv(PROGRAM, EVERYTHING, variables={"WTS_SESSION": "a"}, **everything) == [
        "/opt/claude",
        "--bg",
        "--settings",
        '{"env": {"WTS_SESSION": "a"}}',
        *common,
        "--",
        "-p is a flag\nof git",
    ]
    assert claude.attach_argv(PROGRAM, "449e3ecd") == ["/opt/claude", "attach", "449e3ecd"]


def test_nothing_is_passed_unasked_and_what_a_version_lacks_is_left_out() -> None:
    assert claude.start_argv(PROGRAM, EVERYTHING, conversation=ID) == ["/opt/claude", "--session-id", ID]
    full: dict[str, Any] = {"name": "n", "plugin_dir": Path("/p"), "focus": "f", "permission": "plan"}
    assert claude.start_argv(PROGRAM, NOTHING, conversation=ID, prompt="hi", **full) == [
        "/opt/claude",
        "--",
        "hi",
    ]
    assert claude.resume_argv(PROGRAM, NOTHING, conversation=ID, **full) == ["/opt/claude", "--resume", ID]


@pytest.mark.parametrize(
    ("asked", "passed"), [("manual", "default"), ("default", "default"), ("plan", "plan")]
)
def test_a_permission_mode_is_passed_in_the_name_that_old_and_new_know(asked: str, passed: str) -> None:
    argv = claude.start_argv(PROGRAM, EVERYTHING, conversation=ID, focus="Test it.", permission=asked)
    assert argv[3:] == ["--append-system-prompt", "Test it.", "--permission-mode", passed]


@pytest.mark.parametrize(
    ("said", "job"),
    [
        ("backgrounded · 449e3ecd · n-1\n  claude agents             list sessions\n", "449e3ecd"),
        ("backgrounded · 55c1066c (idle — send a prompt to start)\n", "55c1066c"),
        ("\x1b[2mbackgrounded\x1b[0m · \x1b[1m93559eb7\x1b[0m · deadbeef\n", "93559eb7"),
        ("started\n  claude attach 93559eb7    open in this terminal\n", "93559eb7"),
        ("an id in other words: 93559eb7\n", None),
        ("", None),
    ],
)
def test_the_id_of_a_background_session_is_read_from_what_it_prints(said: str, job: str | None) -> None:
    assert claude.background_id(said) == job


# -- the plugin ------------------------------------------------------------------------------------


def hook_commands(plugin: Path) -> dict[str, list[str]]:
    hooks = json.loads((plugin / "hooks" / "hooks.json").read_text())["hooks"]
    return {
        event: [hook["command"] for matcher in matchers for hook in matcher["hooks"]]
        for event, matchers in hooks.items()
    }


def contents(directory: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(file.relative_to(directory)): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def test_the_plugin_is_copied_whole_and_a_second_time_nothing_changes(tmp_path: Path) -> None:
    plugin = claude.install_plugin(tmp_path / "claude", "auth-frontend")
    before = contents(tmp_path)
    assert {name.removeprefix(f"claude/{plugin.name}/") for name in before} == set(claude.PLUGIN_FILES)
    assert claude.install_plugin(tmp_path / "claude", "auth-frontend") == plugin
    assert contents(tmp_path) == before


def test_sessions_and_places_have_plugins_of_their_own(tmp_path: Path) -> None:
    places = [(tmp_path / "a", "one"), (tmp_path / "a", "two"), (tmp_path / "b", "one")]
    plugins = [claude.install_plugin(place, name) for place, name in places]
    assert len({plugin.name for plugin in plugins}) == 3
    for plugin, (_, name) in zip(plugins, places, strict=True):
        for (command,) in hook_commands(plugin).values():
            assert command.startswith(f"WTS_SESSION={name} /")
            assert f" {plugin}/" in command


def test_eight_at_once_install_one_plugin(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        plugins = set(pool.map(lambda _: claude.install_plugin(tmp_path / "claude", "auth"), range(8)))
    assert os.listdir(tmp_path / "claude") == [plugins.pop().name]
    assert not plugins


def test_the_hooks_append_events_from_any_path_and_survive_a_vanished_interpreter(tmp_path: Path) -> None:
    root = tmp_path / 'it\'s\na $HOME "repo" {plugin}' / ".git" / "wts"
    name = "näme'{python}"
    (root / "sessions" / name).mkdir(parents=True)
    plugin = claude.install_plugin(root / "claude", name)
    commands = hook_commands(plugin)
    for event, (command,) in commands.items():
        done = subprocess.run(["/bin/sh", "-c", command], input=b"{}", capture_output=True, check=False)
        assert (event, done.returncode, done.stdout, done.stderr) == (event, 0, b"", b"")
    lines = (root / "sessions" / name / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == list(commands)

    for (command,) in commands.values():
        vanished = command.replace(" /", " /vanished/", 1)
        done = subprocess.run(["/bin/sh", "-c", vanished], input=b"{}", capture_output=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_only_events_that_every_supported_claude_knows_are_hooked(tmp_path: Path) -> None:
    """An event that a version does not know makes it drop all hooks of the plugin (seen in 2.1.197)."""
    assert set(hook_commands(claude.install_plugin(tmp_path, "x"))) == {
        "SessionStart",
        "UserPromptSubmit",
        "PreToolUse",
        "PermissionRequest",
        "PostToolUse",
        "PostToolUseFailure",
        "Elicitation",
        "Notification",
        "Stop",
        "StopFailure",
        "SessionEnd",
    }


# -- what it keeps ---------------------------------------------------------------------------------


def test_the_config_directory(hermetic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert claude.config_dir() == hermetic / ".claude"
    monkeypatch.delenv("CLAUDE_CONFIG_DIR")
    assert claude.config_dir() == hermetic / ".claude"
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", "/elsewhere")
    assert claude.config_dir() == Path("/elsewhere")


def test_the_registry_is_read_and_odd_files_in_it_are_passed_over(tmp_path: Path) -> None:
    assert claude.registry(tmp_path) == []
    directory = tmp_path / "sessions"
    directory.mkdir()
    seen = {
        "pid": 7611,
        "sessionId": ID,
        "cwd": "/w",
        "procStart": "151301",
        "version": "2.1.330",
        "kind": "bg",
        "name": "n-1",
        "jobId": "449e3ecd",
        "status": "waiting",
        "updatedAt": 1795370137024,
        "waitingFor": "permission prompt",
    }
    (directory / "7611.json").write_text(json.dumps(seen))
    (directory / "12.json").write_text(
        json.dumps({"sessionId": ID, "cwd": "/w", "status": 7, "updatedAt": "x"})
    )
    odd = {
        "1.json": "{",
        "2.json": "[]",
        "3.json": "{}",
        "4.json": '{"sessionId": 1, "cwd": "/w"}',
        "5.json": "\0",
    }
    for name, content in {**odd, "abc.json": json.dumps(seen), "9.key": "secret"}.items():
        (directory / name).write_text(content)
    (directory / "6.json").mkdir()
    assert claude.registry(tmp_path) == [
        Registered(12, ID, Path("/w"), None, None, None, None, None, None, None),
        Registered(
            pid=7611,
            conversation=ID,
            cwd=Path("/w"),
            status="waiting",
            waiting_for="permission prompt",
            started="151301",
            name="n-1",
            version="2.1.330",
            job="449e3ecd",
            updated=1795370137.024,
        ),
    ]


@pytest.mark.parametrize("odd", ["9" * 400, "1e300", "1e999", "NaN", "-1", "100000000000000", "true", '"7"'])
def test_a_time_that_no_calendar_has_was_not_told(tmp_path: Path, odd: str) -> None:
    (tmp_path / "sessions").mkdir()
    (tmp_path / "sessions" / "7.json").write_text(f'{{"sessionId": "a", "cwd": "/w", "updatedAt": {odd}}}')
    (entry,) = claude.registry(tmp_path)
    assert entry.updated is None


def test_a_transcript_tells_whether_a_conversation_can_be_resumed(tmp_path: Path) -> None:
    assert claude.conversation(tmp_path, ID) is Conversation.UNUSED
    transcript = tmp_path / "projects" / "-some-cut-path-1a2b3c" / f"{ID}.jsonl"
    transcript.parent.mkdir(parents=True)
    transcript.write_text('{"type":"custom-title","customTitle":"n"}\n{"type":"mode","mode":"normal"}\n')
    assert claude.conversation(tmp_path, ID) is Conversation.SPENT
    with transcript.open("a") as file:
        file.write('{"type":"user","message":{"role":"user","content":"hello"}}\n')
    assert claude.conversation(tmp_path, ID) is Conversation.HELD
    for odd in ("*", "../x", "", "[0-9]*"):
        assert claude.conversation(tmp_path, odd) is Conversation.UNUSED


# -- together, with the stand-in -------------------------------------------------------------------


def test_a_session_with_the_stand_in_is_told_from_start_to_end(
    repo: Repo, fake_claude: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = repo.worktree("auth-frontend")
    root = repo.path / ".git" / "wts"
    directory = root / "sessions" / "auth-frontend"
    directory.mkdir(parents=True)
    (directory / "session.json").write_text(json.dumps({"worktree": str(session.path)}))
    plugin = claude.install_plugin(root / "claude", "auth-frontend")
    can = claude.features(fake_claude)
    script = [{"write": "login.py", "content": "form\n"}, {"stop": {}}, {"commit": "add"}, {"exit": 5}]
    monkeypatch.setenv("FAKE_CLAUDE_SCRIPT", json.dumps(script))
    argv = claude.start_argv(
        fake_claude, can, conversation=ID, name="n", plugin_dir=plugin, prompt="Build it"
    )

    done = processes.run(argv, cwd=session.path)

    assert done.status == 5
    assert b"login.py" in done.out, "the Stop hook's question"
    told = [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]
    turn = ["UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop", "StopHeld", "Stop"]
    later = ["PreToolUse", "PostToolUse", "SessionEnd"]
    assert [row["event"] for row in told] == ["SessionStart", *turn, *later]
    assert {row["conversation"] for row in told} == {ID}
    assert claude.registry(claude.config_dir()) == []

    again = processes.run(argv, cwd=session.path)
    assert (again.status, again.err) == (1, f"Error: Session ID {ID} is already in use.\n".encode())
    monkeypatch.setenv("FAKE_CLAUDE_SCRIPT", "[]")
    resumed = claude.resume_argv(fake_claude, can, conversation=ID, plugin_dir=plugin)
    assert processes.run(resumed, cwd=session.path).status == 0
    unknown = claude.resume_argv(fake_claude, can, conversation=ID.replace("0", "1"))
    assert processes.run(unknown, cwd=session.path).status == 1
