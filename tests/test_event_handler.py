"""The event handler appends one line to its session's log, and disturbs nothing, whatever it is fed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from worktree_sessions.outside import assets

PYTHON = os.path.realpath(sys.executable)
TOKEN = "token-that-must-not-be-written"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The wts directory of a repository, with the handler in it and a session called auth-frontend."""
    root = tmp_path / "it's a repo" / ".git" / "wts"
    plugin = root / "claude" / "0123456789abcdef"
    plugin.mkdir(parents=True)
    shutil.copy(assets.hooks_dir() / "claude" / "event.py", plugin)
    (root / "sessions" / "auth-frontend").mkdir(parents=True)
    return root


def handler(root: Path, event: str = "Stop", *, options: tuple[str, ...] = ()) -> list[str]:
    script = root / "claude" / "0123456789abcdef" / "event.py"
    return [PYTHON, "-S", "-E", "-B", *options, str(script), event]


def send(
    root: Path, event: str, data: object, *, session: str | None = "auth-frontend", cwd: Path | None = None
) -> None:
    """Run the handler as Claude does; it must be silent and succeed."""
    stdin = data if isinstance(data, bytes) else json.dumps(data).encode()
    env = {"PATH": "/usr/bin:/bin", "CLAUDE_PID": "4242", "CLAUDE_CODE_MESSAGING_TOKEN": TOKEN}
    if session is not None:
        env["WTS_SESSION"] = session
    done = subprocess.run(
        handler(root, event), input=stdin, env=env, cwd=cwd, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def log(root: Path) -> bytes:
    file = root / "sessions" / "auth-frontend" / "events.jsonl"
    return file.read_bytes() if file.exists() else b""


def events(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log(root).splitlines()]


def files_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def test_an_event_becomes_one_line_with_what_is_worth_keeping(root: Path) -> None:
    before = time.time()
    send(
        root,
        "PreToolUse",
        {
            "session_id": "c0ffee",
            "transcript_path": "/home/ada/.claude/projects/x/c0ffee.jsonl",
            "cwd": "/repo.worktrees/auth-frontend/src",
            "hook_event_name": "PreToolUse",
            "permission_mode": "default",
            "tool_name": "Bash",
            "tool_input": {"command": "pytest -q", "description": "Run the tests"},
            "tool_use_id": "toolu_1",
        },
    )
    (row,) = events(root)
    assert before <= row.pop("t") <= time.time()
    assert row == {
        "v": 1,
        "event": "PreToolUse",
        "pid": 4242,
        "conversation": "c0ffee",
        "cwd": "/repo.worktrees/auth-frontend/src",
        "tool_name": "Bash",
        "tool_use_id": "toolu_1",
        "what": "pytest -q",
    }
    assert files_below(root) == {
        "claude",
        "claude/0123456789abcdef",
        "claude/0123456789abcdef/event.py",
        "sessions",
        "sessions/auth-frontend",
        "sessions/auth-frontend/events.jsonl",
    }


@pytest.mark.parametrize(
    ("event", "data", "kept"),
    [
        ("SessionStart", {"source": "clear", "model": "m"}, {"source": "clear"}),
        ("SessionEnd", {"reason": "prompt_input_exit"}, {"reason": "prompt_input_exit"}),
        ("UserPromptSubmit", {"prompt": "Build the login form"}, {"prompt": "Build the login form"}),
        (
            "Notification",
            {"notification_type": "idle_prompt", "message": "waiting"},
            {"notification_type": "idle_prompt", "message": "waiting"},
        ),
        ("StopFailure", {"error": "rate_limit"}, {"error": "rate_limit"}),
        (
            "Stop",
            {
                "stop_hook_active": False,
                "background_tasks": [{"id": 1}, {"id": 2}],
                "session_crons": [],
                "last_assistant_message": "x" * 400 + "done",
            },
            {
                "stop_hook_active": False,
                "background": 2,
                "timers": 0,
                "last_assistant_message": "x" * 296 + "done",
            },
        ),
        (
            "PermissionRequest",
            {"tool_name": "AskUserQuestion", "tool_input": {"questions": [{"question": "Which?"}]}},
            {"tool_name": "AskUserQuestion", "what": "Which?"},
        ),
        (
            "PermissionRequest",
            {"tool_name": "Write", "tool_input": {"content": "secret", "file_path": "/w/a.txt"}},
            {"tool_name": "Write", "what": "/w/a.txt"},
        ),
        (
            "PreToolUse",
            {"agent_id": "a1", "agent_type": "Explore"},
            {"agent_id": "a1", "agent_type": "Explore"},
        ),
    ],
)
def test_what_is_kept_of_each_event(
    root: Path, event: str, data: dict[str, object], kept: dict[str, object]
) -> None:
    send(root, event, data)
    (row,) = events(root)
    assert {key: row[key] for key in row if key not in ("v", "t", "pid", "event")} == kept


GARBAGE = {
    "nothing": b"",
    "not JSON": b"{not json",
    "binary": bytes(range(256)) * 50,
    "a list": b"[1, 2]",
    "null": b"null",
    "deep": b"[" * 200_000,
    "a huge number": b'{"prompt": ' + b"9" * 10_000 + b"}",
    "NaN": b'{"source": NaN, "reason": Infinity}',
    "surrogates": rb'{"prompt": "\ud800 \udfff", "session_id": "\udc80"}',
    "odd types": b'{"prompt": {"a": 1}, "tool_input": [1], "background_tasks": "many", "source": null}',
    "control characters": b'{"prompt": "\\u001b[2J\\n\\u0000\\r"}',
    "ten megabytes": json.dumps({"tool_input": {"content": "x" * 10_000_000}}).encode(),
    "many long texts": json.dumps(
        dict.fromkeys(
            ("prompt", "message", "error", "reason", "cwd", "session_id", "source"), "\U0001f600" * 900
        )
    ).encode(),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_whatever_it_is_fed_it_writes_one_short_line(root: Path, name: str) -> None:
    send(root, "UserPromptSubmit", GARBAGE[name])
    (row,) = events(root)
    assert row["event"] == "UserPromptSubmit"
    assert len(log(root)) < 4096
    assert log(root).count(b"\n") == 1


def test_input_beyond_all_measure_is_read_to_its_end_and_forgotten(root: Path) -> None:
    send(root, "PostToolUse", b'{"prompt": "' + b"x" * (65 << 20) + b'"}')
    (row,) = events(root)
    assert set(row) == {"v", "t", "event", "pid"}


def test_text_is_data_and_comes_back_as_it_was(root: Path) -> None:
    text = "\x1b[31mrot\x1b[0m\nü \ud800 \U0001f600"
    send(root, "UserPromptSubmit", {"prompt": text})
    assert events(root)[0]["prompt"] == text


OUTSIDE = [None, "", ".", "..", ".hidden", "../auth-frontend", "a/b", "gone", "a\nb", "x" * 999]


@pytest.mark.parametrize("session", OUTSIDE)
def test_without_a_session_nothing_is_written(root: Path, session: str | None) -> None:
    (root / "sessions" / ".hidden").mkdir()
    before = files_below(root)
    send(root, "Stop", {}, session=session)
    assert files_below(root) == before


@pytest.mark.parametrize("line", ['cd "$0" && rmdir "$0" && "$@" < /dev/null', '"$@" <&- >&- 2>&-'])
def test_a_deleted_directory_and_closed_streams_are_survived(root: Path, tmp_path: Path, line: str) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    env = {"PATH": "/usr/bin:/bin", "WTS_SESSION": "auth-frontend"}
    words = ["/bin/sh", "-c", line, str(gone), *handler(root)]
    done = subprocess.run(words, env=env, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert [row["event"] for row in events(root)] == ["Stop"]


def test_a_log_that_can_t_be_written_is_survived(root: Path) -> None:
    (root / "sessions" / "auth-frontend" / "events.jsonl").mkdir()
    send(root, "Stop", {})


def test_the_environment_is_never_recorded(root: Path) -> None:
    for event in ("SessionStart", "PreToolUse", "Stop", "SessionEnd"):
        send(root, event, {"env": {"TOKEN": TOKEN}, "tool_response": TOKEN, "session_id": "c"})
    assert len(events(root)) == 4
    assert TOKEN.encode() not in log(root)


def test_eight_at_once_lose_and_tear_nothing(root: Path) -> None:
    def storm(writer: int) -> None:
        for turn in range(12):
            send(root, "UserPromptSubmit", {"prompt": f"{writer}.{turn} " + "x" * 290})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(storm, range(8)))
    told = sorted(row["prompt"].split()[0] for row in events(root))
    assert told == sorted(f"{writer}.{turn}" for writer in range(8) for turn in range(12))


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc: the pid is unknown without CLAUDE_PID")
def test_the_pid_is_that_of_claude_and_not_of_a_shell_between(root: Path) -> None:
    command = " ".join(f"'{word}'" if "'" not in word else '"' + word + '"' for word in handler(root))
    env = {"PATH": "/usr/bin:/bin", "WTS_SESSION": "auth-frontend"}
    for line in (command, f"{command} || :", f"sh -c '{PYTHON} -c pass'; {command} || :"):
        subprocess.run(["/bin/sh", "-c", line], input=b"{}", env=env, check=True)
    assert [row["pid"] for row in events(root)] == [os.getpid()] * 3


def test_it_imports_next_to_nothing(root: Path) -> None:
    """What it costs is what it imports (9 ms for json here, 40 for click): the list is the budget."""
    env = {"PATH": "/usr/bin:/bin", "WTS_SESSION": "auth-frontend"}
    done = subprocess.run(
        handler(root, options=("-X", "importtime")), input=b"{}", env=env, capture_output=True, check=True
    )
    lines = done.stderr.decode().splitlines()[1:]
    loaded = {line.rpartition("|")[2].strip() for line in lines}
    assert "json" in loaded
    heavy = {"subprocess", "pathlib", "tempfile", "logging", "typing", "datetime", "shutil", "site", "socket"}
    assert loaded & heavy == set()
    assert len(loaded) < 60
