"""`wts why`: each state with its evidence, in agreement with the list, from logs and registries as Claude leaves them.

The process that Claude runs in is the test's own: it lives, and its start time is known.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from tests.conftest import Wts
from tests.support.claude_cli import eventually
from tests.support.living import Living
from tests.support.repos import Repo
from tests.support.sessions import a_session, project_of
from worktree_sessions.model.session import State
from worktree_sessions.model.state import FRESH, SILENT
from worktree_sessions.model.words import BRIEFS
from worktree_sessions.outside import processes
from worktree_sessions.outside.processes import boot, host
from worktree_sessions.views.console import clean
from worktree_sessions.views.why import IGNORED_SHOWN, SHARED

PID = os.getpid()
GONE, NESTED = 2**22 + 1, 2**22 + 2  # beyond every pid
ID = "first-conversation"
NAME = "auth-frontend"
CALL: dict[str, Any] = {"tool_name": "Bash", "what": "npm test"}
EVIL = "a\x1b[31mred\x1b]0;title\x07\u202e\nnext\x9b1m 認証"


class Scene:
    """A session whose Claude is the test's own process, told of by its log and its registry."""

    def __init__(self, repo: Repo, home: Path, wts: Wts) -> None:
        self.session = a_session(repo, NAME)
        self.log = project_of(repo).store.events_file(NAME)
        self.registry = home / ".claude" / "sessions" / f"{PID}.json"
        self.registry.parent.mkdir(parents=True)
        self.wts, self.now = wts, time.time()

    def tell(self, ago: float, event: str, pid: int | None = PID, **fields: Any) -> None:
        """Add an event to the log, some seconds ago."""
        row = {"v": 1, "t": self.now - ago, "event": event, **({} if pid is None else {"pid": pid}), **fields}
        with self.log.open("a") as log:
            log.write(json.dumps(row) + "\n")

    def launch(self, ago: float = 600, pid: int = PID, **fields: Any) -> None:
        """Start Claude, and have it ready a second later."""
        process = processes.look_up(pid)
        started = process.started if process else "1"
        where = {"host": host(), "boot": boot(), "config": str(self.registry.parent.parent)}
        self.tell(ago, "launch", pid, **{"started": started, "conversation": ID, **where, **fields})

    def begin(self) -> None:
        """Start Claude, and give it a prompt."""
        self.launch()
        self.tell(599, "SessionStart", source="startup", conversation=ID)
        self.tell(500, "UserPromptSubmit", prompt="Build the login form\nwith tests")

    def register(self, ago: float = 300, **fields: Any) -> None:
        """Write what Claude registers of itself."""
        process = processes.look_up(PID)
        assert process is not None
        row = {
            "sessionId": ID,
            "cwd": "/",
            "procStart": process.started,
            "updatedAt": int((self.now - ago) * 1000),
        }
        self.registry.write_text(json.dumps({**row, **fields}))

    def why(self, *args: str) -> Any:
        """Return the data of `wts why`, which agrees with `wts list`, and with its own text."""
        (listed,) = self.wts("list", "--json").json["data"]["sessions"]
        told = self.wts("why", "1", *args, "--json").json["data"]
        assert {key: told[key] for key in SHARED} == {key: listed[key] for key in SHARED}
        return told

    def clock(self, ago: float) -> str:
        """Return a moment by the reader's clock, as today's is shown."""
        moment, today = time.localtime(self.now - ago), time.localtime(self.now)
        return time.strftime("%H:%M:%S" if moment[:3] == today[:3] else "%Y-%m-%d %H:%M:%S", moment)

    def text(self, *args: str) -> list[str]:
        """Return the lines of `wts why`."""
        done = self.wts("why", *(args or ("1",)))
        assert (done.status, done.err) == (0, "")
        return done.out.splitlines()


@pytest.fixture
def scene(repo: Repo, hermetic: Path, wts_inline: Wts) -> Scene:
    return Scene(repo, hermetic, wts_inline)


def starting(scene: Scene) -> None:
    scene.launch(ago=1)


def working(scene: Scene) -> None:
    scene.begin()
    scene.register(status="busy")


def waiting(scene: Scene) -> None:
    scene.begin()
    scene.tell(400, "PermissionRequest", **CALL)
    scene.register(ago=400, status="waiting", waitingFor="permission prompt")


def idle(scene: Scene) -> None:
    scene.begin()
    scene.tell(400, "Stop", last_assistant_message="I built it. All 42 tests pass.")
    scene.register(status="idle")


def background(scene: Scene) -> None:
    scene.begin()
    scene.tell(400, "Stop", background=2)
    scene.register(status="idle")


def limited(scene: Scene) -> None:
    scene.begin()
    scene.tell(400, "StopFailure", error="rate_limit")
    scene.register(status="idle")


def failed(scene: Scene) -> None:
    scene.begin()
    scene.tell(400, "exit", status=-9)


def interrupted(scene: Scene) -> None:
    scene.begin()
    scene.register(status="idle")


def ended(scene: Scene) -> None:
    scene.begin()
    scene.tell(400, "exit", status=0)


def parked(scene: Scene) -> None:
    pass


def unknown(scene: Scene) -> None:
    scene.launch(started="")


@pytest.mark.usefixtures("no_claude")
@pytest.mark.parametrize(
    ("scenario", "evidence"),
    [
        (starting, [("event", f"launch of process {PID}"), ("process", f"process {PID} lives")]),
        (working, [("event", "UserPromptSubmit (Build the login form\nwith tests)"), ("registry", "busy")]),
        (waiting, [("event", "asked: may it run `npm test`?"), ("registry", "waiting (permission prompt)")]),
        (idle, [("event", "Stop"), ("registry", "idle")]),
        (background, [("event", "Stop"), ("registry", "idle")]),
        (limited, [("event", "StopFailure (rate_limit)"), ("registry", "idle")]),
        (failed, [("event", f"exit of process {PID} with status -9")]),
        (
            interrupted,
            [("event", "UserPromptSubmit (Build the login form\nwith tests)"), ("registry", "idle")],
        ),
        (ended, [("event", f"exit of process {PID} with status 0")]),
        (parked, [("event", "the session was made, and no Claude was launched since")]),
        (unknown, [("process", f"process {PID} has no known start time to know it by")]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_state_with_its_evidence(
    scene: Scene, scenario: Callable[[Scene], None], evidence: list[tuple[str, str]]
) -> None:
    scenario(scene)
    told = scene.why()
    assert told["state"] == State(scenario.__name__)
    facts = [(fact["source"], fact["says"]) for fact in told["facts"]]
    assert [one for one in evidence if one not in facts] == []
    assert [fact for fact in facts if fact[0] == "git"] == facts[-3:]
    times = [fact["at"] for fact in told["facts"]]
    assert times == sorted(times)
    shown = "\n".join(scene.text())
    assert [says for _, says in evidence if " ".join(says.split()) not in shown] == []


@pytest.fixture
def no_claude(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH without any Claude."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


def test_the_text_is_the_state_its_evidence_and_what_was_said(scene: Scene) -> None:
    waiting(scene)
    scene.tell(399, "Stop", NESTED, last_assistant_message="Not mine.")
    (scene.session.worktree / "a.py").write_text("a")
    lines = scene.text()
    assert lines[0] == f"session 1, {NAME}: ● needs you since {scene.clock(400)} (6m)"
    assert lines[1:4] == ["  may it run `npm test`?", "", "facts"]
    told = "\n".join(lines[4:])
    assert f"  {scene.clock(400)}  event     asked: may it run `npm test`?\n" in told
    assert "  git       1 untracked\n" in told
    assert f"\nignored\n  {scene.clock(399)}  Stop: it came from process {NESTED}, which is not the" in told
    assert told.endswith(
        f"goal\n  Build the login form with tests\n\nconversations\n  {scene.session.conversation}\n  {ID}"
    )


def test_what_it_said_last_is_its_last_sentence(scene: Scene) -> None:
    idle(scene)
    assert scene.why()["said"] == "All 42 tests pass."
    assert '  "All 42 tests pass."' in scene.text()


def test_a_moment_of_another_day_has_its_date(scene: Scene) -> None:
    scene.launch(ago=200_000)
    scene.tell(190_000, "exit", status=0)
    (head,) = re.findall(r"■ ended since (.*)$", scene.text()[0])
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d {scene.clock(190_000)[-8:]} \(2d\)", head)


# -- where the facts come from ---------------------------------------------------------------------


def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]]) -> None:
    """Put a Claude on PATH that answers `claude agents --json`."""
    program = tmp_path / "bin" / "claude"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n[ \"$*\" = 'agents --json' ] && echo '{json.dumps(rows)}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(program.parent), "/usr/bin:/bin"]))


@pytest.mark.parametrize("file", [None, "", "{}", '{"sessionId": 1, "cwd": []}'])
def test_without_the_registrys_file_claude_is_asked_and_that_is_said(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str | None
) -> None:
    row = {"pid": PID, "cwd": "/", "sessionId": ID, "status": "waiting", "waitingFor": "permission prompt"}
    answering(tmp_path, monkeypatch, [row])
    scene.begin()
    if file is not None:
        scene.registry.write_text(file)
    told = scene.why()
    assert (told["state"], told["question"]) == ("waiting", "a permission")
    (fact,) = [fact["says"] for fact in told["facts"] if fact["source"] == "agents"]
    assert fact.startswith("waiting (permission prompt): asked of `claude agents --json`")


@pytest.mark.usefixtures("no_claude")
def test_with_neither_it_is_the_events_alone_and_that_is_said(scene: Scene) -> None:
    scene.begin()
    told = scene.why()
    assert told["state"] == "working"
    assert "nothing is known of this process, so its events alone count" in [
        fact["says"] for fact in told["facts"] if fact["source"] == "registry"
    ]


@pytest.mark.usefixtures("no_claude")
def test_by_events_alone_nothing_is_believed_for_ever(scene: Scene) -> None:
    scene.launch(ago=FRESH + 60)
    scene.tell(FRESH + 59, "SessionStart", conversation=ID)
    scene.tell(FRESH + 58, "UserPromptSubmit", prompt="Go on")
    told = scene.why()
    assert told["state"] == "unknown"
    assert "nothing was heard of its turn for an hour" in told["reason"]


@pytest.mark.usefixtures("no_claude")
def test_a_silent_start_is_a_question_and_says_why(scene: Scene) -> None:
    scene.launch(ago=SILENT + 1)
    told = scene.why()
    assert (told["state"], told["question"]) == ("waiting", told["reason"])
    assert ("registry", "it has registered nothing") in [(f["source"], f["says"]) for f in told["facts"]]


def test_a_log_that_cannot_be_read_is_the_reason(scene: Scene) -> None:
    scene.log.unlink(missing_ok=True)
    scene.log.mkdir()
    told = scene.why()
    assert told["state"] == "unknown"
    assert "can't be read" in told["reason"]
    assert told["conversations"] == [scene.session.conversation]
    assert scene.wts("why", "1", "--events").status == 1


def test_what_git_could_not_tell_is_said(scene: Scene) -> None:
    (scene.session.worktree / ".git").unlink()
    told = scene.why()
    assert told["git"]["head"] is None
    assert told["git"]["problem"]
    assert clean(told["git"]["problem"])[:40] in "\n".join(scene.text())


# -- what was ignored ------------------------------------------------------------------------------


def test_what_was_ignored_says_why(scene: Scene) -> None:
    scene.launch(ago=900, pid=GONE)
    scene.tell(890, "UserPromptSubmit", GONE, prompt="Earlier")
    scene.tell(880, "exit", GONE, status=0)
    scene.begin()
    scene.tell(450, "PostToolUse", NESTED, tool_name="Read", what="a.py")
    scene.tell(440, "PreToolUse", agent_id="a1", tool_name="Bash", what="ls")
    scene.tell(430, "PermissionRequest", agent_id="a1", **CALL)
    scene.tell(420, "Notification", notification_type="idle_prompt")
    scene.register(ago=430, status="waiting")
    told = scene.why()
    assert told["state"] == "waiting"
    assert [(one["event"], one["pid"], one["about"], one["why"]) for one in told["ignored"]] == [
        ("UserPromptSubmit", GONE, "Earlier", "it was told before Claude was last started"),
        (
            "PostToolUse",
            NESTED,
            "Read: a.py",
            f"it came from process {NESTED}, which is not the session's Claude",
        ),
        ("PreToolUse", PID, "Bash: ls", "a subagent's events do not change the session's state"),
        ("Notification", PID, "idle_prompt", "it says nothing about the state"),
    ]
    assert told["ignored_before"] == 0
    assert told["goal"] == "Earlier"


def test_only_the_last_that_were_ignored_are_shown_and_the_others_counted(scene: Scene) -> None:
    scene.begin()
    for number in range(IGNORED_SHOWN + 3):
        scene.tell(400 - number, "PostToolUse", NESTED, tool_name="Read", what=f"f{number}.py")
    told = scene.why()
    assert [one["about"] for one in told["ignored"]] == [
        f"Read: f{n}.py" for n in range(3, IGNORED_SHOWN + 3)
    ]
    assert told["ignored_before"] == 3


def test_events_that_were_ignored_for_one_reason_share_a_row_and_only_the_last_rows_are_shown(
    scene: Scene,
) -> None:
    scene.begin()
    for number in range(IGNORED_SHOWN + 2):
        fields = {"agent_id": "a1"} if number % 2 else {"pid": NESTED}
        for part in "ab":
            scene.tell(400 - number, "PostToolUse", tool_name="Read", what=f"{number}{part}.py", **fields)
    rows = re.findall(r"^  \S.*(?:\n {12}.*)*", "\n".join(scene.text()).split("\nignored\n")[1], re.MULTILINE)
    first, second, *others = (" ".join(row.split()) for row in rows[: IGNORED_SHOWN + 1])
    assert first == f"and 4 before these: wts why {NAME} --events"
    assert second == (
        f"{scene.clock(398)} PostToolUse (Read: 2b.py), like the one before it: "
        f"it came from process {NESTED}, which is not the session's Claude"
    )
    assert others[0].endswith(
        "(Read: 3b.py), like the one before it: a subagent's events do not change the session's state"
    )
    assert len(others) == IGNORED_SHOWN - 1


# -- the log ---------------------------------------------------------------------------------------


def test_how_many_events_is_asked_of_the_log_alone(scene: Scene) -> None:
    answer = scene.wts("why", NAME, "-n", "3")
    assert (answer.status, answer.out) == (2, "")
    assert answer.err == f"error: -n goes with --events\nhint: wts why {NAME} --events -n 3\n"


def test_the_log_shows_the_last_events_with_time_process_name_and_what(scene: Scene) -> None:
    scene.begin()
    scene.tell(400, "PermissionRequest", **CALL)
    scene.tell(300, "exit", status=0)
    pid = f"{PID}  "
    assert scene.text("1", "--events", "-n", "3") == [
        f"2 earlier events: wts why {NAME} --events -n 5",
        f"{scene.clock(500)}  {pid}UserPromptSubmit   Build the login form with tests",
        f"{scene.clock(400)}  {pid}PermissionRequest  Bash: npm test",
        f"{scene.clock(300)}  {pid}exit               status 0",
    ]
    told = scene.wts("why", "1", "--events", "-n", "2", "--json").json["data"]
    assert told["before"] == 3
    assert [(one["event"], one["pid"], one["about"]) for one in told["events"]] == [
        ("PermissionRequest", PID, "Bash: npm test"),
        ("exit", PID, "status 0"),
    ]


def test_a_log_without_events_says_so(scene: Scene) -> None:
    assert scene.text("1", "--events") == [f"no event: Claude was never started in session 1, {NAME}"]
    assert scene.wts("why", "1", "--events", "--json").json["data"] == {"events": [], "before": 0}


def test_fifty_events_are_shown_unless_more_are_asked_for(scene: Scene) -> None:
    for number in range(60):
        scene.tell(500 - number, "PostToolUse", tool_name="Read")
    assert len(scene.text("1", "--events")) == 51
    assert len(scene.text("1", "--events", "-n", "100")) == 60
    assert scene.wts("why", "1", "-n", "0").status == 2


# -- the command -----------------------------------------------------------------------------------


def test_without_a_target_it_is_the_session_of_this_directory(scene: Scene, repo: Repo) -> None:
    here = scene.wts("why", cwd=scene.session.worktree)
    assert here.out.startswith(f"session 1, {NAME}: ◇ parked")
    elsewhere = scene.wts("why", cwd=repo.path)
    assert (elsewhere.status, elsewhere.out) == (1, "")
    assert elsewhere.err == "error: no session of this directory\nhint: wts list\n"


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_text_of_others_never_drives_the_terminal(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    scene.launch(conversation=EVIL)
    scene.tell(599, "SessionStart", conversation=EVIL, source=EVIL)
    scene.tell(500, "UserPromptSubmit", prompt=EVIL)
    scene.tell(480, "Stop", last_assistant_message=EVIL)
    scene.tell(450, EVIL, NESTED, what=EVIL)
    scene.tell(400, "Elicitation", message=EVIL + "long" * 300)
    scene.register(ago=400, status=EVIL, waitingFor=EVIL)
    for args in (["1"], ["1", "--events"]):
        lines = scene.text(*args)
        assert [line for line in lines if clean(line) != line] == []
        assert max(map(cell_len, lines)) <= max(columns, 60)


def test_colour_is_only_for_who_wants_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting(scene)
    plain = scene.text()
    assert "\x1b[1;33m● needs you\x1b[0m since" in scene.wts("--color", "always", "why", "1").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert scene.text()[0] == plain[0]
    assert "\x1b" not in "".join(plain)


@pytest.mark.usefixtures("fake_claude")
def test_a_real_question_is_told_alike_by_list_and_why(
    repo: Repo, wts: Wts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, end = tmp_path / "answer", tmp_path / "end"
    steps = [{"ask": "Bash", "input": {"command": "npm test"}, "until": str(answer)}, {"wait_for": str(end)}]
    monkeypatch.setenv("FAKE_CLAUDE_SCRIPT", json.dumps(steps))
    assert wts("new", NAME, "--background", "-p", "Build it").status == 0

    def why() -> Any:
        return wts("why", "1", "--json").json["data"]

    try:
        told = eventually(lambda: (one := why())["state"] == "waiting" and one, "a question")
        (listed,) = wts("list", "--json").json["data"]["sessions"]
        assert {key: told[key] for key in SHARED} == {key: listed[key] for key in SHARED}
        assert (told["question"], told["goal"]) == ("may it run `npm test`?", "Build it")
        assert ("registry", "waiting (permission prompt)") in [
            (f["source"], f["says"]) for f in told["facts"]
        ]
        assert "● may it run `npm test`?" in wts("list").out
        answer.touch()
        eventually(lambda: why()["state"] == "working", "an answer")
        assert why()["question"] is None
    finally:
        answer.touch()
        end.touch()
        eventually(lambda: why()["state"] == "ended", "the end")


@pytest.mark.parametrize("brief", BRIEFS)
def test_what_wts_itself_told_a_claude_is_nobody_s_goal(repo: Repo, wts_inline: Wts, brief: str) -> None:
    living = Living(repo, "auth-frontend")
    living.tells("UserPromptSubmit", prompt=f"{brief}, and so on")
    assert json.loads(wts_inline("why", "1", "--json").out)["data"]["goal"] is None
