"""The event handler appends one line to its session's log, and disturbs nothing, whatever it is fed."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.claude_cli import eventually
from tests.support.repos import Repo
from tests.support.sessions import a_session, project_of
from worktree_sessions.actions import launch
from worktree_sessions.model.events import load_events, parse
from worktree_sessions.model.told import fold
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
        handler(root, event), input=stdin, env=env, cwd=cwd, capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def directory_of(root: Path) -> Path:
    return root / "sessions" / "auth-frontend"


def log(root: Path) -> bytes:
    file = directory_of(root) / "events.jsonl"
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


def test_a_hundred_megabytes_are_read_to_their_end_and_forgotten(root: Path) -> None:
    send(root, "PostToolUse", b'{"prompt": "' + b"x" * (100 << 20) + b'"}')
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
    (directory_of(root) / "events.jsonl").mkdir()
    send(root, "Stop", {})


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc, where nobody can make a file")
def test_a_read_only_directory_is_survived(root: Path) -> None:
    directory_of(root).rmdir()
    directory_of(root).symlink_to("/proc")
    send(root, "PermissionRequest", {})


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_survived(root: Path) -> None:
    (directory_of(root) / "events.jsonl").symlink_to("/dev/full")
    send(root, "Stop", {})


def test_a_line_that_a_full_disk_cuts_short_costs_no_other(root: Path) -> None:
    send(root, "UserPromptSubmit", {"prompt": "one"})
    size = len(log(root)) + 40

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    words, env = handler(root, "Stop"), {"PATH": "/usr/bin:/bin", "WTS_SESSION": "auth-frontend"}
    done = subprocess.run(words, input=b"{}", env=env, capture_output=True, check=False, preexec_fn=no_room)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert len(log(root)) == size, "it was not cut short"
    send(root, "UserPromptSubmit", {"prompt": "two"})
    told = load_events(directory_of(root) / "events.jsonl")
    assert [event.text("prompt") for event in told] == ["one", "two"]


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
    heavy = {
        "fcntl",
        "subprocess",
        "pathlib",
        "tempfile",
        "logging",
        "typing",
        "datetime",
        "shutil",
        "site",
        "socket",
    }
    assert loaded & heavy == set()
    assert len(loaded) < 60


# -- what the fold needs ---------------------------------------------------------------------------

ASKED: dict[str, dict[str, object]] = {
    "a command": {"tool_name": "Bash", "tool_input": {"command": "npm test", "description": "Run"}},
    "a long one": {"tool_name": "Bash", "tool_input": {"command": "echo " + "long " * 900}},
    "in emoji": {"tool_name": "Bash", "tool_input": {"command": "\U0001f600" * 900}},
    "in control characters": {"tool_name": "Bash", "tool_input": {"command": "\x1b[31m\n" * 900}},
    "of a subagent": {"tool_name": "Bash", "agent_id": "a1", "tool_input": {"command": "ls"}},
    "a question": {
        "tool_name": "AskUserQuestion",
        "tool_input": {"questions": [{"question": "\u00e4" * 400}]},
    },
    "a plan": {"tool_name": "ExitPlanMode", "tool_input": {"plan": "1. Look"}},
    "of a server": {"tool_name": "mcp__" + "\U0001f600" * 200, "tool_input": {"id": 7}},
    "everything long": {
        "tool_name": "\U0001f600" * 900,
        "agent_id": "\U0001f600" * 900,
        "tool_input": {"command": "\U0001f600" * 900},
    },
}
BESIDE = {"session_id": "c", "cwd": "/w/" + "\U0001f600" * 300, "error": "\x00" * 9000, "message": "m" * 900}


@pytest.mark.parametrize("end", ["PostToolUse", "PostToolUseFailure"])
@pytest.mark.parametrize("name", ASKED)
def test_the_end_of_what_was_asked_is_known_as_its_end(root: Path, name: str, end: str) -> None:
    """Whatever else is in the line and cut there; a plan may be edited by the human who agrees to it."""
    ended = dict(ASKED[name])
    if ended["tool_name"] == "ExitPlanMode":
        ended["tool_input"] = {"plan": "1. Look again"}
    send(root, "PermissionRequest", {**ASKED[name], "session_id": "c"})
    send(root, end, {**ended, **BESIDE, "tool_use_id": "toolu_1", "tool_response": {"is": "ok"}})
    told = [event for line in log(root).splitlines() if (event := parse(line))]
    assert max(map(len, log(root).splitlines())) < 4096
    ((asked, _),) = [(ask, key) for key, ask in fold(told).heard[4242].asks.items()]
    assert asked.ended > asked.at
    assert asked.by_subagent == ("agent_id" in ASKED[name])


# -- the log is moved aside ------------------------------------------------------------------------


def limit(root: Path, size: int) -> None:
    """Give the handler another limit for its log."""
    script = Path(handler(root)[-2])
    text = script.read_text()
    assert text.count("LIMIT = 4 << 20 ") == 1
    script.write_text(text.replace("LIMIT = 4 << 20 ", f"LIMIT = {size} "))


def parts(root: Path) -> list[str]:
    return sorted(name for name in os.listdir(directory_of(root)) if name.startswith("events"))


def test_a_log_that_has_grown_large_is_moved_aside_with_its_last_line(root: Path) -> None:
    limit(root, 100)
    for number in range(3):
        send(root, "UserPromptSubmit", {"prompt": f"{number} " + "x" * 90})
    assert parts(root) == ["events-1.jsonl", "events-2.jsonl", "events-3.jsonl"]
    assert [
        json.loads((directory_of(root) / part).read_bytes())["prompt"].split()[0] for part in parts(root)
    ] == ["0", "1", "2"]


def test_the_next_number_is_above_all_and_no_part_is_written_over(root: Path) -> None:
    limit(root, 100)
    others = ["events-2.jsonl", "events-11.jsonl", "events-x.jsonl", "events-.jsonl", "events-3.jsonl.bak"]
    for name in others:
        (directory_of(root) / name).write_text(name)
    send(root, "UserPromptSubmit", {"prompt": "x" * 90})
    assert set(parts(root)) == {*others, "events-12.jsonl"}
    assert all((directory_of(root) / name).read_text() == name for name in others)


def test_who_does_not_get_the_lock_writes_and_moves_nothing(root: Path) -> None:
    limit(root, 100)
    with (directory_of(root) / "events.jsonl").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        send(root, "UserPromptSubmit", {"prompt": "one " + "x" * 90})
        send(root, "UserPromptSubmit", {"prompt": "two " + "x" * 90})
        assert parts(root) == ["events.jsonl"]
    send(root, "Stop", {})
    assert parts(root) == ["events-1.jsonl"]
    told = load_events(directory_of(root) / "events.jsonl")
    assert [event.name for event in told] == ["UserPromptSubmit", "UserPromptSubmit", "Stop"]


def test_below_the_limit_no_lock_is_asked_for(root: Path) -> None:
    send(root, "Stop", {})
    size = len(log(root))
    limit(root, 2 * size + 50)
    send(root, "Stop", {})
    assert parts(root) == ["events.jsonl"]


# -- who tells the human is started ----------------------------------------------------------------

# Waits for the test, then writes down what it was given.
TELLER = """
import json, os, signal, sys
signal.alarm(120)
open(sys.argv[1]).read()
streams = [os.readlink(f"/proc/self/fd/{stream}") for stream in range(3)]
facts = {"env": dict(os.environ), "cwd": os.getcwd(), "leads": os.getsid(0) == os.getpid(), "streams": streams}
facts["files"] = sorted(os.listdir("/proc/self/fd"))
with open(sys.argv[2] + ".new", "w") as file:
    json.dump(facts, file)
os.rename(sys.argv[2] + ".new", sys.argv[2])
"""


class Teller:
    """A program that kick.json names: it waits to be let go, and then leaves a file."""

    def __init__(self, directory: Path, place: Path) -> None:
        self.gate, self.told = place / "gate", place / "told"
        os.mkfifo(self.gate)
        argv = [sys.executable, "-c", TELLER, str(self.gate), str(self.told)]
        (directory / "kick.json").write_text(json.dumps(argv))

    def let_go(self) -> None:
        """Let a started one go on; OSError (ENXIO) when none waits."""
        os.close(os.open(self.gate, os.O_WRONLY | os.O_NONBLOCK))

    def waits(self) -> bool:
        try:
            self.let_go()
        except OSError:
            return False
        return True

    def facts(self) -> dict[str, Any]:
        eventually(self.waits, "nothing was started")
        eventually(self.told.exists, "it left nothing")
        found: dict[str, Any] = json.loads(self.told.read_text())
        return found


@pytest.fixture
def teller(root: Path, tmp_path: Path) -> Teller:
    return Teller(directory_of(root), tmp_path)


def without_posix_spawn(root: Path) -> None:
    """Make the handler's Python one that was built with an old C library."""
    script = Path(handler(root)[-2])
    old = "def posix_spawn(*_, **__): raise NotImplementedError\nos.posix_spawn = posix_spawn\nVERSION = 1\n"
    script.write_text(script.read_text().replace("VERSION = 1\n", old, 1))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc to see a process's files in")
@pytest.mark.parametrize("is_forked", [False, True], ids=["spawned", "forked"])
def test_what_is_started_outlives_the_hook_and_holds_nothing_of_claude(
    root: Path, teller: Teller, is_forked: bool
) -> None:
    """`send` returns only when the hook's pipes are closed, and that is while it still waits."""
    if is_forked:
        without_posix_spawn(root)
    send(root, "PermissionRequest", {"tool_name": "Bash"})
    assert not teller.told.exists()
    facts = teller.facts()
    assert facts["cwd"] == "/"
    assert facts["leads"]
    assert facts["streams"] == ["/dev/null"] * 3
    assert len(facts["files"]) == 4, "and the directory it reads to know"
    assert facts["env"].pop("LC_CTYPE", "C.UTF-8") == "C.UTF-8"  # Python's own
    assert facts["env"] == {"PATH": "/usr/bin:/bin", "WTS_SESSION": "auth-frontend"}


def test_the_place_of_claude_s_configuration_is_handed_on(root: Path, teller: Teller) -> None:
    words = [
        "env",
        "CLAUDE_CONFIG_DIR=/c",
        "CLAUDECODE=1",
        "CLAUDE_CODE_OAUTH_TOKEN=x",
        *handler(root, "Elicitation"),
    ]
    env = {"PATH": "/usr/bin:/bin", "WTS_SESSION": "auth-frontend", "DISPLAY": ":0"}
    subprocess.run(words, input=b"{}", env=env, check=True)
    given = teller.facts()["env"]
    assert given["DISPLAY"] == ":0"
    assert {name for name in given if name.startswith("CLAUDE")} == {"CLAUDE_CONFIG_DIR"}


STARTS = {
    ("PermissionRequest", ""): True,
    ("PermissionRequest", "a1"): True,
    ("Elicitation", ""): True,
    ("Elicitation", "a1"): True,
    ("StopFailure", ""): True,
    ("StopFailure", "a1"): False,
    ("Stop", ""): False,  # stop.py does
    ("SessionStart", ""): False,
    ("UserPromptSubmit", ""): False,
    ("PreToolUse", ""): False,
    ("PostToolUse", "a1"): False,
    ("Notification", ""): False,
    ("SessionEnd", ""): False,
}


@pytest.mark.parametrize(("event", "agent"), STARTS)
def test_what_may_concern_the_human_starts_it(root: Path, event: str, agent: str) -> None:
    """The handler leaves a mark where it would start it, so that nothing has to be waited for."""
    mark, script = directory_of(root) / "started", Path(handler(root)[-2])
    text = script.read_text()
    (start,) = [line.strip() for line in text.splitlines() if "os.posix_spawn(" in line]
    script.write_text(text.replace(start, f"os.close(os.open({str(mark)!r}, os.O_CREAT))"))
    (directory_of(root) / "kick.json").write_text('["/bin/true"]')
    send(root, event, {"agent_id": agent} if agent else {})
    assert mark.exists() == STARTS[event, agent]
    assert [row["event"] for row in events(root)] == [event]


def test_where_the_log_can_t_be_written_the_human_is_told_all_the_same(root: Path, teller: Teller) -> None:
    (directory_of(root) / "events.jsonl").mkdir()
    send(root, "PermissionRequest", {"tool_name": "Bash"})
    assert teller.facts()["leads"]


NO_KICK = {
    "nothing": b"",
    "not JSON": b"{",
    "an object": b"{}",
    "an empty list": b"[]",
    "numbers": b"[1, 2]",
    "a word": b'"sh"',
    "NUL": b'["/bin/sh\\u0000", "x"]',
    "a program that is gone": b'["/nowhere/python", "-m", "worktree_sessions"]',
    "a package that is gone": json.dumps([sys.executable, "-P", "-m", "no_such_package"]).encode(),
    "a directory": b'["/"]',
}


@pytest.mark.parametrize("name", NO_KICK)
def test_what_can_t_be_started_is_survived_in_silence(root: Path, name: str) -> None:
    (directory_of(root) / "kick.json").write_bytes(NO_KICK[name])
    send(root, "PermissionRequest", {"tool_name": "Bash"})
    without_posix_spawn(root)
    send(root, "StopFailure", {"error": "rate_limit"})
    assert [row["event"] for row in events(root)] == ["PermissionRequest", "StopFailure"]


@pytest.mark.parametrize(
    ("settings", "is_left"),
    [("", True), ("channels = []", False), ('channels = []\ncommand = "notify-me"', True)],
)
def test_the_launcher_leaves_what_is_to_be_started_when_somebody_is_to_be_told(
    repo: Repo, hermetic: Path, settings: str, is_left: bool
) -> None:
    session = a_session(repo)
    kick = project_of(repo).store.session_dir(session.name) / "kick.json"
    kick.write_text("stale")
    (hermetic / ".config" / "wts").mkdir(parents=True)
    (hermetic / ".config" / "wts" / "config.toml").write_text(f"[notify]\n{settings}\n")
    launch.prepare_plugin(project_of(repo), session)
    assert kick.exists() == is_left
    if is_left:
        argv = json.loads(kick.read_bytes())
        program, told = argv[: argv.index("notify")], argv[argv.index("notify") :]
        assert told == ["notify", "--from-hook", *(["--by-terminal"] if not settings else [])]  # by its bell
        done = subprocess.run([*program, "path", "1"], cwd="/", capture_output=True, check=True)
        assert os.fsdecode(done.stdout).strip() == str(session.worktree)
