"""What each command may spend: processes and imported modules. Counts, never times: docs/performance.md has those."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Wts
from tests.support.repos import Repo
from tests.support.sessions import a_session, project_of, worktree_of
from worktree_sessions.actions.listing import list_sessions
from worktree_sessions.model import events
from worktree_sessions.outside import assets

ROOT = Path(__file__).parent.parent

# The slow ones, with what bare Python does not load either: each is told by the command that may load it.
COSTLY = frozenset(
    {
        "click",
        "concurrent.futures",
        "dataclasses",
        "difflib",
        "filelock",
        "git",
        "hashlib",
        "logging",
        "rich.console",
        "shutil",
        "tempfile",
        "tomllib",
        "uuid",
        "worktree_sessions.actions.snapshot",
        "worktree_sessions.actions.steps",
        "worktree_sessions.model.settings",
        "worktree_sessions.model.told",
        "worktree_sessions.views.listing",
    }
)
WITH_CLICK = {"click", "uuid"}  # click imports it
EVENT_MODULES = {"__future__", "_stat", "genericpath", "os", "os.path", "posixpath", "stat", "time"}
STATES = {"worktree_sessions.model.told"}
LISTING = STATES | {"worktree_sessions.views.listing"}
CHILD = """
import json, sys
from worktree_sessions.__main__ import run
status = run(sys.argv[1:])
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
sys.exit(status)
"""

pytestmark = pytest.mark.usefixtures("uncounted")

GitCalls = Callable[..., Counter[str]]


@pytest.fixture
def git_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wts: Wts) -> GitCalls:
    """Run wts and return how often each git command was run, seen by a `git` that stands first on PATH."""
    log, shim = tmp_path / "calls.log", tmp_path / "shim" / "git"
    shim.parent.mkdir()
    shim.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$*\" >> '{log}'\nexec '{shutil.which('git')}' \"$@\"\n")
    shim.chmod(0o755)

    def calls(*args: str, cwd: Path | None = None, status: int = 0) -> Counter[str]:
        log.write_text("")
        with monkeypatch.context() as here:
            here.setenv("PATH", os.pathsep.join([str(shim.parent), os.environ["PATH"]]))
            done = wts(*args, cwd=cwd)
        assert done.status == status, done.err
        return Counter(_command(line) for line in log.read_text().splitlines())

    return calls


def _command(line: str) -> str:
    """Name a call: its first word, and the second where the first alone says little."""
    words = line.split()
    return " ".join(words[:2]) if words[0] == "worktree" else words[0]


def modules(repo: Repo, *args: str, status: int = 0) -> frozenset[str]:
    """Run wts and return what it had imported at its end."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *args], cwd=repo.path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, check=False,
    )  # fmt: skip
    words = done.stderr.decode()
    assert done.returncode == status, words
    return frozenset(json.loads(words.splitlines()[-1]))


# -- processes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [["--version"], ["--help"], ["completion", "bash"], ["shell-init", "zsh"]])
def test_what_needs_no_repository_asks_git_nothing(repo: Repo, git_calls: GitCalls, args: list[str]) -> None:
    assert git_calls(*args) == Counter()


@pytest.mark.parametrize("args", [["path", "1"], ["path", "auth-f"], ["path", "1", "--json"], ["names"]])
def test_a_path_costs_one_git_process(repo: Repo, git_calls: GitCalls, args: list[str]) -> None:
    session = a_session(repo)
    for here in (repo.path, session.worktree):
        assert git_calls(*args, cwd=here) == Counter({"rev-parse": 1})


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_costs_three_git_processes_and_a_status_a_session(
    repo: Repo, git_calls: GitCalls, count: int
) -> None:
    for number in range(count):
        a_session(repo, f"auth-part{number}")
    expected = Counter({"rev-parse": 1, "worktree list": 1, "for-each-ref": 1, "status": count})
    for args in ([], ["list"], ["ls"], ["list", "--json"]):
        assert git_calls(*args) == +expected


def test_a_status_line_costs_three_git_processes_however_many_sessions_there_are(
    repo: Repo, git_calls: GitCalls
) -> None:
    for name in ("auth-api", "auth-docs", "auth-ui"):
        session = a_session(repo, name)
    worktree_of(session).commit("ui.txt", "done\n", "ui")
    calls = git_calls("statusline", cwd=session.worktree)
    assert calls == Counter({"rev-parse": 1, "status": 1, "rev-list": 1})
    assert git_calls("statusline") == Counter({"rev-parse": 1})


def test_a_session_that_has_moved_costs_the_list_one_more_and_one_that_may_be_ready_another(
    repo: Repo, git_calls: GitCalls
) -> None:
    for name in ("auth-api", "auth-docs", "auth-ui"):
        session = a_session(repo, name)
    worktree_of(session).commit("ui.txt", "done\n", "ui")
    worktree_of(session).write("ui.txt", "changed\n")
    moved = Counter({"rev-parse": 1, "worktree list": 1, "for-each-ref": 1, "status": 3, "rev-list": 1})
    assert git_calls("list") == moved
    worktree_of(session).git("checkout", "ui.txt")
    assert git_calls("list") == moved + Counter({"log": 1}), "it is ready, unless a commit is a fixup"
    worktree_of(a_session(repo, "auth-web")).commit("web.txt", "done\n", "web")
    assert git_calls("list") == moved + Counter({"log": 1, "status": 1, "rev-list": 1}), "one for both"


def test_a_plan_costs_thirteen_git_processes_a_session(repo: Repo, git_calls: GitCalls) -> None:
    """Where the feature has moved elsewhere, each is looked for there: five more."""
    for number in range(2):
        worktree_of(a_session(repo, f"auth-part{number}")).commit(f"file{number}", "1\n", "work")
    few = git_calls("merge-ready", "--dry-run")
    for number in range(2, 6):
        worktree_of(a_session(repo, f"auth-part{number}")).commit(f"file{number}", "1\n", "work")
    many = git_calls("merge-ready", "--dry-run")
    assert (many - few).total() == 4 * 13
    assert few.total() <= 22 + 2 * 13
    repo.git("switch", "--quiet", "feature/auth")
    repo.commit("elsewhere", "1\n", "elsewhere")
    repo.git("switch", "--quiet", "main")
    moved = git_calls("merge-ready", "--dry-run")
    assert (moved - many).total() == 6 * 5


def test_a_sync_without_anything_to_do_costs_no_more_than_the_list(repo: Repo, git_calls: GitCalls) -> None:
    for name in ("auth-api", "auth-docs", "auth-ui"):
        a_session(repo, name)
    expected = Counter({"rev-parse": 1, "for-each-ref": 2, "status": 3})
    assert git_calls("sync", "--yes", status=6) == expected


def test_a_plan_of_a_sync_costs_eighteen_git_processes_a_session(repo: Repo, git_calls: GitCalls) -> None:
    for number in range(2):
        worktree_of(a_session(repo, f"auth-part{number}")).commit(f"file{number}", "1\n", "work")
    tip = repo.git("commit-tree", "-p", "feature/auth", "-m", "goes on", "main^{tree}")
    repo.git("update-ref", "refs/heads/feature/auth", tip)
    few = git_calls("sync", "--dry-run")
    for number in range(2, 5):
        session = a_session(repo, f"auth-part{number}")
        worktree_of(session).git("reset", "--quiet", "--hard", "main")
        worktree_of(session).commit(f"file{number}", "1\n", "work")
    many = git_calls("sync", "--dry-run")
    assert (many - few).total() == 3 * 18
    assert few.total() <= 10 + 2 * 18


def test_a_new_session_of_a_feature_costs_four_git_processes_beside_its_worktree(
    repo: Repo, git_calls: GitCalls
) -> None:
    a_session(repo, "auth-api")
    expected = {"version": 1, "rev-parse": 1, "for-each-ref": 1, "worktree list": 1, "worktree add": 1}
    assert git_calls("new", "auth-ui", "--no-start") == Counter(expected)


def test_a_new_feature_costs_two_more(repo: Repo, git_calls: GitCalls) -> None:
    calls = git_calls("new", "auth-ui", "--no-start")
    assert calls - Counter({"version": 1, "rev-parse": 1, "for-each-ref": 1, "worktree list": 1}) == Counter(
        {"worktree add": 1, "config": 1, "update-ref": 1}
    )


def test_a_refused_name_starts_nothing_that_changes(repo: Repo, git_calls: GitCalls) -> None:
    a_session(repo)
    calls = git_calls("new", "auth-frontend", "--no-start", status=3)
    assert set(calls) <= {"version", "rev-parse", "for-each-ref"}


# -- events ---------------------------------------------------------------------------------------


def test_a_list_parses_each_event_once_and_then_only_the_new_ones(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand events are as cheap as ten: what they add up to is kept."""
    logs = [
        project_of(repo).store.events_file(a_session(repo, f"auth-{name}").name) for name in ("a", "b", "c")
    ]
    row = {"v": 1, "t": 1.0, "event": "PreToolUse", "pid": 1, "tool_name": "Bash", "what": "make test"}
    line = json.dumps(row) + "\n"
    for log in logs:
        log.write_text(line * 10_000)
    parsed: list[bytes] = []
    parse = events.parse

    def counting(line: bytes) -> events.Event | None:
        parsed.append(line)
        return parse(line)

    monkeypatch.setattr(events, "parse", counting)
    list_sessions(project_of(repo))
    assert len(parsed) == 30_000
    for new in (0, 1, 2):
        parsed.clear()
        with logs[0].open("a") as file:
            file.write(line * new)
        list_sessions(project_of(repo))
        assert new <= len(parsed) <= 3


# -- modules ---------------------------------------------------------------------------------------


READERS: dict[str, set[str]] = {
    "--version": set(),
    "path 1": set(),
    "path 1 --json": WITH_CLICK,
    "names": set(),
    "": LISTING,
    "list": LISTING,
    "list --json": WITH_CLICK | STATES,
}


@pytest.mark.parametrize("line", READERS)
def test_a_command_that_reads_imports_little(repo: Repo, line: str) -> None:
    """Neither GitPython nor filelock, nor what rich draws with; and what is allowed is really seen."""
    a_session(repo)
    assert modules(repo, *line.split()) & COSTLY == READERS[line]


def test_a_status_line_imports_little(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WTS_SESSION", a_session(repo).name)
    loaded = modules(repo, "statusline") & COSTLY
    assert loaded == LISTING  # the faces of the states


@pytest.mark.parametrize("args", [["new", "auth-ui", "--no-start"], ["close", "auth-frontend"]], ids=" ".join)
def test_a_command_that_changes_something_takes_the_lock_and_draws_nothing(
    repo: Repo, args: list[str]
) -> None:
    a_session(repo)
    loaded = modules(repo, *args)
    assert "filelock" in loaded
    assert not loaded & {"git", "rich.console", "concurrent.futures", "difflib"}


def test_a_dry_run_takes_no_lock(repo: Repo) -> None:
    assert not modules(repo, "new", "auth-ui", "--dry-run") & {"filelock", "git", "rich.console"}


def test_the_list_asks_for_the_lock_only_when_something_is_unfinished(repo: Repo) -> None:
    session = a_session(repo)
    assert "filelock" not in modules(repo, "list")
    common = Path(repo.git("rev-parse", "--path-format=absolute", "--git-common-dir"))
    running = common / "wts" / "operations" / "running"
    running.mkdir(parents=True, exist_ok=True)
    (running / "20260101T000000Z-new-abcdef.jsonl").write_text(
        json.dumps(
            {"schema": 1, "id": "x", "verb": "new", "session": session.name, "no_return": None, "steps": []}
        )
    )
    assert "filelock" in modules(repo, "list")


def test_an_event_imports_a_few_modules_of_the_standard_library(tmp_path: Path) -> None:
    """Every event of every Claude pays for them."""
    script = (assets.hooks_dir() / "claude" / "event.py").read_text()
    (tmp_path / "event.py").write_text(
        script.replace(
            "    os._exit(0)", "    print(json.dumps(sorted(sys.modules)))\n    os._exit(0)"
        ).replace("os._exit(0)", "sys.stdout.flush(); os._exit(0)")
    )
    run = [sys.executable, "-S", "-E", "-B"]
    event = subprocess.run(
        [*run, str(tmp_path / "event.py"), "Stop"], input=b"{}", capture_output=True, check=True
    )
    bare = subprocess.run(
        [*run, "-c", "import sys, json; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        check=True,
    )
    assert set(json.loads(event.stdout)) - set(json.loads(bare.stdout)) <= EVENT_MODULES


def test_a_hook_with_nothing_to_say_runs_no_program(repo: Repo, tmp_path: Path) -> None:
    """No Python, no git, no sed: with an empty PATH it could not."""
    common = Path(repo.git("rev-parse", "--path-format=absolute", "--git-common-dir"))
    hook = common / "wts" / "hooks" / "wts-hook.sh"
    hook.parent.mkdir(parents=True)
    shutil.copy(assets.hooks_dir() / "git" / "wts-hook.sh", hook)
    shell = shutil.which("sh")
    assert shell is not None
    (tmp_path / "empty").mkdir()
    for event in ("post-commit", "post-merge", "pre-push"):
        done = subprocess.run(
            [shell, str(hook), event],
            cwd=repo.path,
            env={"PATH": str(tmp_path / "empty")},
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
