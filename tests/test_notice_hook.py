"""A hook that is to tell by Claude's terminal answers so, or not at all, and says what `wts list` says."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.api import script
from tests.support.claude_cli import RealClaude, eventually, session_of
from tests.support.repos import Repo
from worktree_sessions.model import told
from worktree_sessions.model.events import Event
from worktree_sessions.outside import assets, claude
from worktree_sessions.outside.sequences import Kind, sequence_for

PYTHON = os.path.realpath(sys.executable)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The wts directory of a repository, with the hook in it and a session called auth-frontend."""
    root = tmp_path / "repo" / ".git" / "wts"
    put_plugin(root / "claude" / "0123456789abcdef")
    (root / "sessions" / "auth-frontend").mkdir(parents=True)
    return root


def put_plugin(directory: Path) -> None:
    directory.mkdir(parents=True)
    for name in ("event.py", "notice.py"):
        shutil.copy(assets.hooks_dir() / "claude" / name, directory)


TELL = "import sys; from event import read_input, session_directory as there; from notice import tell; "
TELL += "tell(there(), sys.argv[1], read_input(), *sys.argv[2:])"


def answer(
    root: Path,
    event: str,
    kind: str = "",
    seconds: str = "0",
    quiet: str = "",
    *,
    data: object,
    session: str = "auth-frontend",
) -> str | None:
    """Run the hook as Claude does; return the sequence it answered with, None when it was silent.

    Of a Stop that is what stop.py does when it holds nothing back.
    """
    plugin = root / "claude" / "0123456789abcdef"
    words = [event, *([kind, seconds, quiet] if kind else [])]
    hook = (
        [str(plugin / "event.py")]
        if event != "Stop"
        else ["-c", f"import sys; sys.path[:0] = [{str(plugin)!r}]; {TELL}"]
    )
    done = subprocess.run(
        [PYTHON, "-S", "-E", "-B", *hook, *words],
        input=data if isinstance(data, bytes) else json.dumps(data).encode(),
        env={"PATH": "/usr/bin:/bin", "WTS_SESSION": session},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    if not done.stdout:
        return None
    said = json.loads(done.stdout)
    assert set(said) == {"terminalSequence"}
    return str(said["terminalSequence"])


def log(root: Path, *rows: dict[str, object]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (root / "sessions" / "auth-frontend" / "events.jsonl").write_text(text)


def asks(tool: str, **tool_input: object) -> dict[str, object]:
    return {"tool_name": tool, "tool_input": tool_input}


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("command", ["npm test", "a; b\n\x1b[2J\x07 \x9c 4;1;50 \x1b\\ \u202e ü"])
def test_its_sequences_are_those_of_the_package(root: Path, kind: Kind, command: str) -> None:
    said = answer(root, "PermissionRequest", kind, data=asks("Bash", command=command))
    assert said == sequence_for(kind, "auth-frontend", f"may it run `{command}`?")


def test_a_name_that_begins_with_a_digit_is_no_progress_bar(root: Path) -> None:
    (root / "sessions" / "2fa-dev").mkdir()
    said = answer(root, "Elicitation", "osc9", data={"message": "Which?"}, session="2fa-dev")
    assert said == "\x1b]9;wts: 2fa-dev: Which?\x1b\\"


@pytest.mark.parametrize(
    "tool",
    [*told.VERBS, *sorted(told.QUESTION_TOOLS), "Task", "mcp__db__query", ""],
    ids=lambda tool: tool or "none",
)
@pytest.mark.parametrize("what", ["x  y", ""])
def test_a_question_reads_as_in_the_list(root: Path, tool: str, what: str) -> None:
    data = (
        asks(tool, questions=[{"question": what}]) if tool == "AskUserQuestion" else asks(tool, command=what)
    )
    event = Event(0.0, "PermissionRequest", 0, {"tool_name": tool, "what": what})
    said = answer(root, "PermissionRequest", "osc777", data=data)
    assert said == sequence_for(Kind.OSC777, "auth-frontend", told.question(event))


@pytest.mark.parametrize(
    ("event", "data", "text"),
    [
        ("Elicitation", {"message": "Which account?"}, "Which account?"),
        ("Elicitation", {"message": ["odd"]}, "a question"),
        ("StopFailure", {"error": "rate_limit"}, "the turn failed: rate limit"),
        ("StopFailure", {}, "the turn failed: unknown"),
        (
            "PermissionRequest",
            {"tool_name": "Bash", "tool_input": {"command": "npm test"}, "agent_id": "a1"},
            "may it run `npm test`?",
        ),
    ],
)
def test_what_is_said_of_the_other_events(root: Path, event: str, data: dict[str, object], text: str) -> None:
    assert answer(root, event, "osc9", data=data) == f"\x1b]9;auth-frontend: {text}\x1b\\"


def prompt(ago: float) -> dict[str, object]:
    return {"t": time.time() - ago, "event": "UserPromptSubmit"}


def other(ago: float, event: str = "PostToolUse", size: int = 0) -> dict[str, object]:
    return {"t": time.time() - ago, "event": event, "what": "x" * size}


HOUR = 3600


def test_a_turns_end_is_told_when_the_turn_was_long(root: Path) -> None:
    log(root, prompt(20 * HOUR), prompt(2 * HOUR), other(1), {"odd": 1})
    assert answer(root, "Stop", "osc9", str(HOUR), data={}) == "\x1b]9;auth-frontend: done\x1b\\"
    assert answer(root, "Stop", "osc9", str(3 * HOUR), data={}) is None
    log(root, prompt(2 * HOUR), prompt(1))
    assert answer(root, "Stop", "osc9", str(HOUR), data={}) is None


@pytest.mark.parametrize(
    "data",
    [{"background_tasks": [{"id": 1}]}, {"session_crons": [{"id": 1}]}, {"agent_id": "a1"}],
    ids=lambda data: next(iter(data)),
)
def test_an_end_that_is_none_is_not_told(root: Path, data: dict[str, object]) -> None:
    log(root, prompt(2 * HOUR))
    assert answer(root, "Stop", "osc9", str(HOUR), data=data) is None
    assert answer(root, "Stop", "osc9", str(HOUR), data={key: [] for key in data}) is not None


def test_a_turn_that_was_sent_on_to_commit_is_told_once(root: Path) -> None:
    """stop.py has Claude go on and commit; that short rest of the turn is no second end, a long one is."""
    log(root, prompt(2 * HOUR), other(1, "Stop"), other(1, "StopHeld"))
    assert answer(root, "Stop", "osc9", str(HOUR), data={"stop_hook_active": False}) is not None
    assert answer(root, "Stop", "osc9", str(HOUR), data={"stop_hook_active": True}) is None
    log(root, prompt(9 * HOUR), other(2 * HOUR, "StopHeld"))
    assert answer(root, "Stop", "osc9", str(HOUR), data={"stop_hook_active": True}) is not None


def test_only_the_tail_of_a_long_log_is_read(root: Path) -> None:
    """A turn that began further up is at least as old as the oldest event that is read."""
    many = [other(2 * HOUR - count, size=3000) for count in range(200)]
    log(root, prompt(9 * HOUR), *many)
    file = root / "sessions" / "auth-frontend" / "events.jsonl"
    file.with_name("events-1.jsonl").write_text(json.dumps(prompt(99 * HOUR)) + "\n")
    os.utime(file.with_name("events-1.jsonl"), (1, 1))
    assert answer(root, "Stop", "osc9", str(HOUR), data={}) is not None
    assert answer(root, "Stop", "osc9", str(3 * HOUR), data={}) is None


def test_the_beginning_is_found_in_a_log_that_was_moved_aside(root: Path) -> None:
    log(root, prompt(2 * HOUR))
    file = root / "sessions" / "auth-frontend" / "events.jsonl"
    file.rename(file.with_name("events-1.jsonl"))
    os.utime(file.with_name("events-1.jsonl"), (1, 1))
    log(root, other(1))
    assert answer(root, "Stop", "osc9", str(HOUR), data={}) is not None
    log(root, prompt(1))
    assert answer(root, "Stop", "osc9", str(HOUR), data={}) is None


@pytest.mark.parametrize(
    ("event", "kind", "seconds"),
    [("PermissionRequest", "osc9", "soon"), ("PreToolUse", "osc9", "0"), ("PermissionRequest", "", "")],
)
def test_wrong_words_are_met_with_silence(root: Path, event: str, kind: str, seconds: str) -> None:
    log(root, prompt(HOUR))
    assert answer(root, event, kind, seconds, data=asks("Bash", command="x")) is None


@pytest.mark.parametrize(
    "data", [b"", b"\xff\x00", b"[1]", b"[" * 100_000], ids=["empty", "bytes", "list", "deep"]
)
def test_rubbish_brings_no_error(root: Path, data: bytes) -> None:
    assert answer(root, "Stop", "osc9", "0", data=data) is None, "there is no log"
    assert answer(root, "PermissionRequest", "bell", data=data) == "\a", "it is asked something all the same"


def test_in_quiet_hours_nothing_is_said(root: Path) -> None:
    now = datetime.now().astimezone()
    before, after = now - timedelta(hours=1), now + timedelta(hours=1)
    quiet, loud = (f"{a:%H:%M}-{b:%H:%M}" for a, b in ((before, after), (after, before)))
    assert answer(root, "PermissionRequest", "bell", "0", quiet, data={}) is None
    assert answer(root, "PermissionRequest", "bell", "0", loud, data={}) == "\a"


@pytest.mark.parametrize("session", ["", "nobody", "../sessions/auth-frontend"])
def test_outside_of_a_session_nothing_is_said(root: Path, session: str) -> None:
    assert answer(root, "PermissionRequest", "bell", data={}, session=session) is None


# -- the real Claude -------------------------------------------------------------------------------


@pytest.mark.real_claude
def test_claude_hands_the_sequences_to_its_terminal(
    real_claude: RealClaude, repo: Repo, tmp_path: Path
) -> None:
    """A question comes as OSC 777, wrapped by Claude itself for the tmux it runs in, and so does a turn's end."""
    session, directory = session_of(repo, "auth-frontend")
    root = repo.path / ".git" / "wts"
    plugin = claude.install_plugin(root / "claude", "auth-frontend", notice=("osc777", "0", ""))
    real_claude.settle_in(repo.path)
    file = session.path / "a.py"
    argv = claude.start_argv(
        real_claude.program,
        claude.features(real_claude.program),
        conversation=str(uuid.uuid4()),
        name="repo-frontend-1",
        plugin_dir=plugin,
        prompt=script(
            {"tool": "Write", "input": {"file_path": str(file), "content": "x\n"}}, {"text": "There."}
        ),
        permission="default",
    )
    terminal = real_claude.start(argv, cwd=session.path, env={"TMUX": f"{real_claude.base}/tmux,1,0"})
    raw = tmp_path / "raw"
    real_claude.tmux("pipe-pane", "-t", terminal.name, f"cat > {shlex.quote(str(raw))}")

    terminal.answer("Do you want to create a.py")
    asked = rf"\x1bPtmux;\x1b\x1b\]777;notify;auth-frontend;may it write `{re.escape(str(file))}`\?(\x07|\x1b\x1b\\)"
    eventually(lambda: "notify;auth-frontend;done" in raw.read_text(errors="replace"), "the turn's end")
    assert len(re.findall(asked, raw.read_text(errors="replace"))) == 1
    assert (directory / "events.jsonl").exists()
    terminal.say("/exit")
    assert terminal.wait_for_end() == 0
