"""The gate: what is tested, where, what is said of it, and who is found to turn it red. Real git, real commands."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import combinations
from math import ceil, log2
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.claude_cli import eventually
from tests.support.repos import Repo
from tests.support.sessions import a_session
from worktree_sessions.actions import configure, doctor, gate, listing, verdicts
from worktree_sessions.actions.gate import Gate, Judged, find_culprits
from worktree_sessions.actions.project import Project, open_project
from worktree_sessions.actions.verdicts import Run, Verdict
from worktree_sessions.errors import Busy, Exit, Refused, UsageError, WtsError
from worktree_sessions.outside import environment, processes
from worktree_sessions.outside.git import BranchName, Oid
from worktree_sessions.outside.processes import Process

TARGET = BranchName("feature/auth")


def project_of(repo: Repo, **flags: Any) -> Project:
    """The project as the user's own settings make it; keys with _ for the dot."""
    return open_project(repo.path, {key.replace("__", "."): value for key, value in flags.items()})


def gate_of(repo: Repo, command: str, *, flags: dict[str, Any] | None = None, **options: Any) -> Gate:
    return Gate(project_of(repo, **(flags or {})), "auth", TARGET, command, **options)


def outcome(repo: Repo, command: str, commit: str | None = None, **options: Any) -> Run:
    """Open a gate for one test."""
    with gate_of(repo, command, **options) as opened:
        return opened.test(Oid(commit or repo.tip("HEAD")))


def scratch_of(repo: Repo) -> Path:
    return repo.path.parent / f"{repo.path.name}.worktrees" / "merge-ready-auth"


def store_of(repo: Repo) -> Path:
    return repo.path / ".git" / "wts" / "tests"


def row_of_scratch(repo: Repo) -> str:
    rows = repo.git("worktree", "list", "--porcelain").split("\n\n")
    return next(row for row in rows if row.startswith(f"worktree {scratch_of(repo)}\n"))


def is_locked(repo: Repo) -> bool:
    return "\nlocked" in row_of_scratch(repo)


@pytest.fixture
def counter(tmp_path: Path) -> Callable[[], int]:
    """How many tests ran: each `echo >>$COUNT` of a command is one."""
    file = tmp_path / "count"
    file.touch()
    return lambda: len(file.read_text().splitlines())


@pytest.fixture
def count(tmp_path: Path, counter: Callable[[], int]) -> str:
    """The words of a command that count a run."""
    return f"echo run >>{tmp_path / 'count'}"


# -- what is said ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "verdict", "status", "why"),
    [
        ("true", Verdict.GREEN, 0, ""),
        ("exit 3", Verdict.RED, 3, "status 3"),
        ("kill -9 $$", Verdict.KILLED, -9, "killed by SIGKILL"),
        ("sh -c 'kill -SEGV $$'; exit $?", Verdict.KILLED, 139, "killed by SIGSEGV"),
        ("no-such-program", Verdict.RED, 127, "status 127"),
        ("exit 255", Verdict.RED, 255, "status 255"),
    ],
)
def test_the_status_of_the_command_decides(
    repo: Repo, command: str, verdict: Verdict, status: int, why: str
) -> None:
    run = outcome(repo, command)
    assert (run.verdict, run.status, run.why, run.is_cached) == (verdict, status, why, False)
    assert f"$ {command}\n" in run.log.read_text()
    assert f"[status {status}]\n" in run.log.read_text()
    assert run.tree == repo.git("rev-parse", "HEAD^{tree}")


def test_a_test_sees_the_commit_in_a_worktree_of_its_own(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    start = repo.tip("HEAD")
    second = repo.commit("second", "2", "second")
    repo.git("reset", "--quiet", "--hard", start)
    monkeypatch.setenv("WTS_SESSION", "another-one")
    monkeypatch.setenv("VIRTUAL_ENV", "/venv")
    shown = "${WTS_SESSION-none} $WTS_FEATURE $WTS_PARENT $WTS_WORKTREE $WTS_MAIN ${VIRTUAL_ENV-}"

    run = outcome(repo, f"pwd; ls; git rev-parse HEAD; git branch --show-current; echo {shown}")

    again = outcome(repo, "ls", second)
    scratch = scratch_of(repo)
    said = run.log.read_text().splitlines()
    assert said[1:-1] == [
        str(scratch),
        "README.md",
        start,
        f"none auth feature/auth {scratch} {repo.path}",
    ]
    assert again.log.read_text().splitlines()[1:-1] == ["README.md", "second"]
    assert not (repo.path / "second").exists()


def test_a_test_that_hangs_is_ended_with_what_it_started(repo: Repo, tmp_path: Path) -> None:
    child = tmp_path / "child"
    run = outcome(repo, f"sleep 100 & echo $! >{child}; wait", timeout=0.5)
    assert (run.verdict, run.why) == (Verdict.HUNG, "not done after 0.5 s")
    eventually(lambda: not processes.is_there(int(child.read_text())), "the child ends")


def test_a_test_that_hangs_may_clean_up(repo: Repo, tmp_path: Path) -> None:
    outcome(repo, f"trap 'touch {tmp_path}/cleaned; exit' TERM; while :; do sleep 0.05; done", timeout=0.5)
    assert (tmp_path / "cleaned").exists()


def test_what_a_test_leaves_running_ends_with_it(repo: Repo, tmp_path: Path) -> None:
    child = tmp_path / "child"
    run = outcome(repo, f"sleep 100 >/dev/null 2>&1 & echo $! >{child}")
    assert run.verdict is Verdict.GREEN
    eventually(lambda: not processes.is_there(int(child.read_text())), "the child ends")


def test_a_red_test_is_run_once_more_and_flaky_when_it_is_green_then(
    repo: Repo, count: str, counter: Callable[[], int], tmp_path: Path
) -> None:
    told: list[str] = []
    with gate_of(repo, f"{count}; mkdir {tmp_path}/first && exit 1; true", tell=told.append) as opened:
        run = opened.test(Oid(repo.tip("HEAD")))
    assert (run.verdict, run.why, counter()) == (Verdict.FLAKY, "status 1, then green", 2)
    assert (opened.runs, opened.reruns) == (1, 1)
    assert [text.partition(", ")[0] for text in told if text.startswith("  red")] == ["  red (status 1)"]
    assert any(text.endswith("; once more, it may be chance") for text in told)
    assert run.log.read_text().count("[status ") == 2


def test_a_red_test_that_stays_red_runs_twice_and_a_missing_command_once(
    repo: Repo, count: str, counter: Callable[[], int]
) -> None:
    assert outcome(repo, f"{count}; false").verdict is Verdict.RED
    assert counter() == 2
    assert outcome(repo, f"{count}; no-such-program").verdict is Verdict.RED
    assert counter() == 3


def test_a_test_that_changes_tracked_files_is_told_as_that(repo: Repo) -> None:
    repo.commit("golden.txt", "one\n", "golden")
    run = outcome(repo, "echo two >golden.txt; rm README.md; touch untracked")
    assert (run.verdict, run.changed) == (Verdict.GREEN, ("README.md", "golden.txt"))


# -- the same tree is never tested twice ---------------------------------------------------------------


def test_a_tree_that_was_tested_is_not_tested_again(
    repo: Repo, count: str, counter: Callable[[], int]
) -> None:
    first = repo.tip("HEAD")
    repo.git("commit", "--quiet", "--allow-empty", "--message", "the same tree")
    with gate_of(repo, f"{count}; false") as opened:
        run = opened.test(Oid(first))
        again = opened.test(Oid(repo.tip("HEAD")))
        assert (opened.runs, again) == (1, run._replace(is_cached=True))
    with gate_of(repo, f"{count}; false") as opened:
        assert opened.test(Oid(first)) == run._replace(is_cached=True)
        assert opened.runs == 0
    assert counter() == 2


def test_another_command_tree_set_up_or_copied_file_is_tested(
    repo: Repo, count: str, counter: Callable[[], int]
) -> None:
    repo.commit(".gitignore", ".env\n", "ignore")
    repo.write(".worktreeinclude", ".env\n")
    repo.write(".env", "A=1\n")
    outcome(repo, count)
    outcome(repo, count)
    assert counter() == 1
    outcome(repo, f"{count}; true")
    assert counter() == 2
    outcome(repo, count, flags={"setup__run": ["true"]})
    assert counter() == 3
    repo.write(".env", "A=2 and more\n")
    outcome(repo, count)
    assert counter() == 4
    outcome(repo, count, repo.commit("new", "", "new"))
    assert counter() == 5
    outcome(repo, count, fresh=True)
    assert counter() == 6


@pytest.mark.parametrize("command", ["kill -9 $$", "sleep 100"])
def test_what_tells_of_the_machine_and_not_of_the_tree_is_not_kept(
    repo: Repo, count: str, counter: Callable[[], int], command: str
) -> None:
    outcome(repo, f"{count}; {command}", timeout=0.3)
    before = counter()
    with gate_of(repo, f"{count}; {command}", timeout=0.3) as opened:
        opened.test(Oid(repo.tip("HEAD")))
        opened.test(Oid(repo.tip("HEAD")))
        assert opened.runs == 1
    assert counter() == 2 * before


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b'{"verdicts": 3}', b'{"verdicts": {"KEY": {"verdict": "blue"}}}', b"[" * 9999],
)
def test_verdicts_that_can_not_be_read_are_none(
    repo: Repo, count: str, counter: Callable[[], int], content: bytes
) -> None:
    outcome(repo, count)
    file = store_of(repo) / "verdicts.json"
    key = next(iter(json.loads(file.read_bytes())["verdicts"]))
    file.write_bytes(content.replace(b"KEY", key.encode()))
    assert outcome(repo, count).verdict is Verdict.GREEN
    assert counter() == 2
    assert outcome(repo, count).is_cached


def test_a_verdict_whose_log_is_gone_counts_no_more(
    repo: Repo, count: str, counter: Callable[[], int]
) -> None:
    outcome(repo, f"{count}; false").log.unlink()
    outcome(repo, f"{count}; false")
    assert counter() == 4


def test_the_oldest_verdicts_and_their_logs_go(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "KEEP", 2)
    monkeypatch.setattr(verdicts, "STRAY_AFTER", -1.0)
    runs = [outcome(repo, f": {number}") for number in range(4)]
    assert [run.log.exists() for run in runs] == [False, False, True, True]
    assert len(json.loads((store_of(repo) / "verdicts.json").read_bytes())["verdicts"]) == 2


# -- the scratch worktree ------------------------------------------------------------------------------


def test_it_stays_warm_and_loses_what_a_test_left(repo: Repo) -> None:
    repo.commit(".gitignore", "build/\n", "ignore")
    first = repo.tip("HEAD")
    other = repo.commit("src/new", "new", "another")
    leave = "mkdir -p build left nested; touch build/warm left/over; git init -q nested; echo x >>README.md"
    outcome(repo, f"{leave}; git checkout -q -b astray; git commit -qam astray --no-verify", other)
    run = outcome(
        repo, "git status --porcelain; git rev-parse HEAD; find . -name .git -prune -o -type f -print", first
    )
    said = run.log.read_text().splitlines()[1:-1]
    assert said[0] == first
    assert sorted(said[1:]) == ["./.gitignore", "./README.md", "./build/warm"]


def test_a_leftover_that_only_the_next_commit_ignores_goes_too(repo: Repo) -> None:
    start = repo.tip("HEAD")
    ignoring = repo.commit(".gitignore", "out\n", "ignore")
    outcome(repo, "touch out", start)
    assert outcome(repo, "! test -e out", ignoring).verdict is Verdict.GREEN
    outcome(repo, "touch out", ignoring)
    assert outcome(repo, ": again; ! test -e out", start).verdict is Verdict.GREEN


def test_it_is_locked_while_in_use_and_free_afterwards(repo: Repo) -> None:
    assert "locked wts merge-ready tests here" in row_seen(repo)
    assert not is_locked(repo)
    assert "locked wts merge-ready tests here" in row_seen(repo)
    repo.git("worktree", "lock", "--reason", "mine", str(scratch_of(repo)))
    assert "locked mine" in row_seen(repo)
    assert "\nlocked mine" in row_of_scratch(repo)


def row_seen(repo: Repo) -> str:
    """What a test itself sees of its worktree in git's list."""
    return outcome(repo, "git worktree list --porcelain", fresh=True).log.read_text()


def test_it_is_neither_a_session_nor_a_stranger(repo: Repo) -> None:
    a_session(repo, "auth-api")
    assert outcome(repo, "true").verdict is Verdict.GREEN
    project = project_of(repo)
    listed = listing.list_sessions(project)
    assert ([look.session.name for look in listed.looks], listed.others) == (["auth-api"], 0)
    assert [found.code for found in doctor.examine(project).findings if found.code == "no-session"] == []


def test_no_hook_runs_when_it_is_filled(repo: Repo, tmp_path: Path) -> None:
    hook = repo.write(".git/hooks/post-checkout", f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    hook.chmod(0o755)
    outcome(repo, "true")
    outcome(repo, "true", repo.commit("new", "", "new"))
    assert not (tmp_path / "hooked").exists()


@pytest.mark.parametrize("how", ["rm", "prune", "remove"])
def test_one_that_was_thrown_away_is_made_again(repo: Repo, how: str) -> None:
    outcome(repo, "true")
    if how == "remove":
        repo.git("worktree", "remove", str(scratch_of(repo)))
    else:
        subprocess.run(["rm", "-rf", str(scratch_of(repo))], check=True)
    if how == "prune":
        repo.git("worktree", "prune")
    assert outcome(repo, "test -f README.md").verdict is Verdict.GREEN


def test_a_test_that_removes_its_worktree_is_named(repo: Repo) -> None:
    with pytest.raises(WtsError, match="rm -rf") as failed:
        outcome(repo, "rm -rf $WTS_WORKTREE")
    assert failed.value.code == "scratch-gone"
    assert outcome(repo, "true").verdict is Verdict.GREEN


def test_a_session_in_its_place_is_named(repo: Repo) -> None:
    session = a_session(repo, "merge-ready", "auth")
    assert session.worktree == scratch_of(repo)
    with pytest.raises(Refused, match="session merge-ready-auth") as refused:
        outcome(repo, "true")
    assert refused.value.hint == "wts close 1"


@pytest.mark.parametrize("what", ["file", "directory", "worktree"])
def test_what_else_is_in_its_place_stays(repo: Repo, what: str) -> None:
    place = scratch_of(repo)
    if what == "worktree":
        repo.git("worktree", "add", "--quiet", "--detach", str(place))
    elif what == "directory":
        place.mkdir(parents=True)
        (place / "mine").touch()
    else:
        place.parent.mkdir()
        place.touch()
    with pytest.raises(Refused, match="something else is there") as refused:
        outcome(repo, "true")
    assert (refused.value.code, refused.value.hint) == ("scratch-taken", f"mv {place} {place}.found")
    assert place.exists()


def test_a_directory_that_can_not_be_made_is_named(repo: Repo) -> None:
    scratch_of(repo).parent.write_text("a file where the directory would be")
    with pytest.raises(WtsError, match="can't be made") as failed:
        outcome(repo, "true")
    assert failed.value.code == "scratch-failed"
    assert str(scratch_of(repo)) in failed.value.message
    assert failed.value.hint


def test_a_commit_that_is_not_there_is_an_error(repo: Repo) -> None:
    with pytest.raises(WtsError), gate_of(repo, "true") as opened:
        opened.test(Oid("1" * 40))
    assert not scratch_of(repo).exists()


def test_a_full_disk_is_nobodys_fault(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome(repo, "false").verdict is Verdict.RED
    monkeypatch.setattr(gate, "ROOM", 1 << 62)  # no disk has it
    assert outcome(repo, "exit 0").verdict is Verdict.GREEN
    with pytest.raises(WtsError, match="full") as failed:
        outcome(repo, "exit 1")
    assert failed.value.code == "disk-full"


# -- set up like a session -----------------------------------------------------------------------------


def test_ignored_files_come_along_and_follow_the_main_worktree(repo: Repo) -> None:
    repo.commit(".gitignore", ".env\n", "ignore")
    repo.write(".worktreeinclude", ".env\n")
    repo.write(".env", "one\n")
    assert outcome(repo, "cat .env; echo spoilt >.env").log.read_text().splitlines()[1] == "one"
    assert outcome(repo, ": 2; cat .env").log.read_text().splitlines()[1] == "one"
    repo.write(".env", "another\n")
    assert outcome(repo, ": 3; cat .env").log.read_text().splitlines()[1] == "another"


def test_the_set_up_runs_once_and_again_when_what_it_depends_on_is_another(
    repo: Repo, count: str, counter: Callable[[], int]
) -> None:
    flags = {"setup__run": [f"{count}; sh tools/prepare"]}
    repo.commit("tools/prepare", "true\n", "prepare")
    outcome(repo, "true", flags=flags)
    outcome(repo, "true", repo.commit("src", "a", "a source"), flags=flags)
    assert counter() == 1
    outcome(repo, "true", repo.commit("web/package-lock.json", "{}", "a dependency"), flags=flags)
    assert counter() == 2
    outcome(repo, "true", repo.commit("tools/prepare", ":\n", "prepare otherwise"), flags=flags)
    assert counter() == 3
    repo.git("worktree", "remove", str(scratch_of(repo)))
    outcome(repo, ": new", flags=flags)
    assert counter() == 4


def test_a_set_up_that_fails_is_done_again_and_is_no_verdict_on_the_tree(repo: Repo, tmp_path: Path) -> None:
    flags = {"setup__run": [f"test -e {tmp_path}/network"]}
    run = outcome(repo, "true", flags=flags)
    assert (run.verdict, run.status) == (Verdict.NOT_SET_UP, 1)
    assert run.why == f"status 1 of test -e {tmp_path}/network"
    (tmp_path / "network").touch()
    assert outcome(repo, "true", flags=flags).verdict is Verdict.GREEN


def test_a_set_up_that_fails_once_makes_no_test_flaky(repo: Repo, tmp_path: Path) -> None:
    run = outcome(repo, "true", flags={"setup__run": [f"! mkdir {tmp_path}/first"]})
    assert (run.verdict, run.why) == (Verdict.GREEN, "")


def test_what_the_set_up_changes_is_not_laid_to_the_test(repo: Repo) -> None:
    assert outcome(repo, "true", flags={"setup__run": ["echo more >>README.md"]}).changed == ()


def test_one_whose_set_up_fails_is_held_back(repo: Repo) -> None:
    world = World(repo, [])
    with gate_of(repo, "true", flags={"setup__run": ["! test -e s1"]}) as opened:
        judged = find_culprits(opened, range(2), world.commit_of)
    (guilty,) = judged.guilty
    assert (judged.landed, guilty.item, guilty.red_with) == ((0,), 1, None)
    assert guilty.run is not None
    assert guilty.run.verdict is Verdict.NOT_SET_UP


def test_commands_of_the_repository_wait_for_approval(repo: Repo) -> None:
    repo.write(".wts.toml", '[setup]\nrun = ["touch ran"]\n\n[merge]\ntest = "make test"\n')
    told: list[str] = []
    with pytest.raises(Refused, match="make test") as refused:
        gate.test_command(project_of(repo))
    assert (refused.value.code, refused.value.hint) == ("untrusted-test", "wts trust")
    assert gate.test_command(project_of(repo, merge__test="mine")) == "mine"
    assert outcome(repo, "! test -e ran", tell=told.append).verdict is Verdict.GREEN
    assert "the set-up commands are not approved, and do not run: wts trust" in told

    configure.apply_trust(configure.plan_trust(project_of(repo)))

    assert configure.plan_trust(project_of(repo)).is_trusted
    assert gate.test_command(project_of(repo)) == "make test"
    assert outcome(repo, "test -e ran", flags={"merge__test": "mine"}).verdict is Verdict.GREEN


def test_a_new_test_command_takes_no_approval_from_the_set_up(repo: Repo) -> None:
    repo.write(".wts.toml", '[setup]\nrun = ["touch ran"]\n')
    configure.apply_trust(configure.plan_trust(project_of(repo)))
    repo.write(".wts.toml", '[setup]\nrun = ["touch ran"]\n\n[merge]\ntest = "make test"\n')
    assert outcome(repo, "test -e ran").verdict is Verdict.GREEN
    with pytest.raises(Refused):
        gate.test_command(project_of(repo))
    assert not configure.plan_trust(project_of(repo)).is_trusted


def test_a_test_command_is_what_it_looks_like(repo: Repo) -> None:
    with pytest.raises(UsageError, match=r"merge\.test must be a command text of printable characters"):
        gate.test_command(project_of(repo, merge__test="true \x1b[8m; rm x"))
    assert gate.test_command(project_of(repo, merge__test="make\n\tall\n")) == "make\n\tall"


def test_without_a_setting_there_is_no_test_command(repo: Repo) -> None:
    assert gate.test_command(project_of(repo)) is None


# -- at once, and killed -------------------------------------------------------------------------------


def test_a_second_one_waits_and_then_is_busy(repo: Repo) -> None:
    with gate_of(repo, "true"):
        with (
            pytest.raises(Busy, match="testing auth") as busy,
            gate_of(repo, "true", flags={"lock_timeout": 0.1}),
        ):
            pass
        with Gate(project_of(repo), "billing", TARGET, "true") as other:
            assert other.test(Oid(repo.tip("HEAD"))).verdict is Verdict.GREEN
    assert busy.value.exit is Exit.BUSY


def test_two_at_once_on_one_feature_test_one_after_the_other(repo: Repo) -> None:
    runs: list[Run] = []
    threads = [
        threading.Thread(
            target=lambda one=one: runs.append(
                outcome(repo, f": {one}; mkdir alone && sleep 0.2 && rmdir alone")
            )
        )
        for one in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.verdict for run in runs] == [Verdict.GREEN] * 3


def test_the_repository_is_free_while_a_test_runs(repo: Repo, tmp_path: Path) -> None:
    go = tmp_path / "go"
    thread = threading.Thread(
        target=lambda: outcome(repo, f"touch {tmp_path}/on; until test -e {go}; do sleep 0.02; done")
    )
    thread.start()
    try:
        eventually(lambda: (tmp_path / "on").exists(), "the test runs")
        assert a_session(repo, "auth-api").worktree.is_dir()
    finally:
        go.touch()
        thread.join()


PROGRAM = """
import sys
from pathlib import Path
from worktree_sessions.actions.gate import Gate
from worktree_sessions.actions.project import open_project
with Gate(open_project(Path(sys.argv[1])), "auth", "feature/auth", sys.argv[2]) as gate:
    gate.test(sys.argv[3])
"""


def killed_while_testing(repo: Repo, command: str, on: Path, how: int = signal.SIGKILL) -> None:
    """Start a gate in a process of its own, and end it when its test has made the file `on`."""
    words = [sys.executable, "-c", PROGRAM, str(repo.path), command, repo.tip("HEAD")]
    runner = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(on.exists, "the test runs")
    finally:
        runner.send_signal(how)
        runner.wait()


@pytest.mark.parametrize("leader", ["lives", "ends"])
def test_the_test_of_a_killed_wts_is_ended_by_the_next(repo: Repo, tmp_path: Path, leader: str) -> None:
    """Also what it started, when it has ended itself."""
    child, on, end = tmp_path / "child", tmp_path / "on", tmp_path / "end"
    wait = f"until test -e {end}; do sleep 0.02; done"
    killed_while_testing(repo, f"sleep 100 >/dev/null 2>&1 & echo $! >{child}; touch {on}; {wait}", on)
    if leader == "ends":
        end.touch()
        pid = json.loads((store_of(repo) / "auth" / "running.json").read_bytes())[0]
        eventually(lambda: processes.look_up(pid) is None, "end of the shell")
    assert processes.is_there(int(child.read_text()))
    assert is_locked(repo)

    assert outcome(repo, "true").verdict is Verdict.GREEN

    eventually(lambda: not processes.is_there(int(child.read_text())), "the child ends")
    assert not is_locked(repo)
    assert not (store_of(repo) / "auth" / "running.json").exists()


def test_a_command_starts_when_it_is_written_down_and_not_before(tmp_path: Path) -> None:
    seen: list[bool] = []

    def write_down(_: Process) -> None:
        time.sleep(0.3)
        seen.append((tmp_path / "ran").exists())

    with (tmp_path / "log").open("wb") as log:
        command, env = "touch ran; cat", environment.inherited()
        status = processes.shell(command, cwd=tmp_path, env=env, log=log, began=write_down)
    assert (status, seen, (tmp_path / "ran").exists()) == (0, [False], True)


def test_a_command_that_can_not_be_written_down_does_not_run(repo: Repo, tmp_path: Path) -> None:
    outcome(repo, "true")
    (store_of(repo) / "auth" / "running.json").mkdir()
    with pytest.raises(WtsError, match="can't be run"):
        outcome(repo, f"touch {tmp_path}/ran")
    assert not (tmp_path / "ran").exists()


def test_a_process_that_only_has_the_number_of_a_test_is_left_alone(repo: Repo) -> None:
    with subprocess.Popen(["sleep", "100"], start_new_session=True) as other:
        try:
            outcome(repo, "true")
            file = store_of(repo) / "auth" / "running.json"
            file.write_text(json.dumps(Process(other.pid, "another start")))
            assert outcome(repo, ": again").verdict is Verdict.GREEN
            assert other.poll() is None
            assert not file.exists()
        finally:
            other.kill()


def test_ctrl_c_ends_the_test_and_frees_the_worktree(repo: Repo, tmp_path: Path) -> None:
    child, on = tmp_path / "child", tmp_path / "on"
    killed_while_testing(repo, f"sleep 100 & echo $! >{child}; touch {on}; wait", on, signal.SIGINT)
    eventually(lambda: not processes.is_there(int(child.read_text())), "the child ends")
    assert not is_locked(repo)


def test_a_lock_that_a_killed_git_left_is_no_obstacle(repo: Repo) -> None:
    outcome(repo, "true")
    (repo.path / ".git/worktrees/merge-ready-auth/index.lock").touch()
    assert outcome(repo, "true", repo.commit("new", "", "new")).verdict is Verdict.GREEN


def test_a_making_that_was_killed_is_taken_up(repo: Repo) -> None:
    """git has written its own directory, and not yet the worktree."""
    outcome(repo, "true")
    (repo.path / ".git/worktrees/merge-ready-auth/wts-scratch").unlink()
    repo.git("worktree", "lock", "--reason", "wts merge-ready tests here", str(scratch_of(repo)))
    subprocess.run(["rm", "-rf", str(scratch_of(repo))], check=True)
    assert outcome(repo, ": again").verdict is Verdict.GREEN


# -- who turns it red ----------------------------------------------------------------------------------


class World:
    """A feature with sessions, each a file of its number, and a test command that is red by rules over the files."""

    def __init__(self, repo: Repo, bad: list[frozenset[int]], *, extra: str = "") -> None:
        self.repo = repo
        rules = (" && ".join(f"test -e s{item}" for item in sorted(one)) for one in bad)
        self.command = extra + "".join(f"if {rule}; then exit 1; fi; " for rule in rules) + "true"
        self.asked = 0

    def commit_of(self, items: tuple[int, ...]) -> Oid | None:
        rows = [self.repo.git("ls-tree", "HEAD")]
        blob = self.repo.git("hash-object", "-w", "--stdin", stdin=b"")
        rows += [f"100644 blob {blob}\ts{item}" for item in items]
        tree = self.repo.git("mktree", stdin="\n".join(rows).encode() + b"\n")
        return Oid(self.repo.git("commit-tree", tree, "-m", "candidate"))

    def judge(self, count: int, **options: Any) -> Judged[int]:
        with gate_of(self.repo, self.command, timeout=options.pop("timeout", 60)) as opened:
            return find_culprits(opened, range(count), self.commit_of, **options)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(1, 5),
    bad=st.lists(st.frozensets(st.integers(0, 4), min_size=1, max_size=3), max_size=3),
)
def test_what_lands_is_green_and_who_is_held_back_is_guilty(
    repo: Repo, count: int, bad: list[frozenset[int]]
) -> None:
    judged = World(repo, bad).judge(count)

    def is_red(items: tuple[int, ...]) -> bool:
        return any(one <= set(items) for one in bad)

    assert not is_red(judged.landed)
    assert sorted((*judged.landed, *(one.item for one in judged.guilty))) == list(range(count))
    for one in judged.guilty:
        assert one.run is not None
        assert one.run.verdict is Verdict.RED
        assert one.run.log.read_text().endswith("[status 1]\n")
        assert one.red_with is not None
        assert is_red((*one.red_with, one.item))
        assert not any(
            is_red((*fewer, one.item))
            for fewer in combinations(one.red_with, max(0, len(one.red_with) - 1))
            if fewer != one.red_with
        )
    assert judged.runs <= 2 + len(judged.guilty) * (1 + ceil(log2(count)))
    assert (judged.commit is None) == (not judged.landed)


def test_green_alone_and_red_together_is_told(repo: Repo) -> None:
    judged = World(repo, [frozenset({1, 3})]).judge(4)
    (guilty,) = judged.guilty
    assert (judged.landed, guilty.item, guilty.red_with) == ((0, 1, 2), 3, (1,))
    assert judged.commit is not None
    assert repo.git("ls-tree", "--name-only", judged.commit).split() == ["README.md", "s0", "s1", "s2"]


def test_a_base_that_was_red_before_any_merge_is_the_culprit(repo: Repo) -> None:
    judged = World(repo, [], extra="false || exit 9; ").judge(3)
    assert judged.base is not None
    assert (judged.landed, judged.guilty, judged.base.why) == ((), (), "status 9")


def test_a_command_that_does_not_exist_is_nobodys_fault(repo: Repo) -> None:
    with pytest.raises(WtsError, match="can't be run") as failed:
        World(repo, [], extra="no-such-program || exit; ").judge(3)
    assert failed.value.code == "no-test-command"


def test_one_that_takes_the_command_away_is_guilty(repo: Repo) -> None:
    judged = World(repo, [], extra="if test -e s1; then no-such-program || exit; fi; ").judge(3)
    assert (judged.landed, [one.item for one in judged.guilty]) == ((0, 2), [1])


def test_one_that_hangs_is_held_back_and_told_as_such(repo: Repo) -> None:
    judged = World(repo, [], extra="if test -e s1; then sleep 100; fi; ").judge(3, timeout=0.5)
    (guilty,) = judged.guilty
    assert (judged.landed, guilty.item, guilty.red_with) == ((0, 2), 1, None)
    assert guilty.run is not None
    assert guilty.run.verdict is Verdict.HUNG


def test_a_flaky_one_lands_only_when_that_is_asked_for(repo: Repo, tmp_path: Path) -> None:
    mark = f"{tmp_path}/$(ls | tr -d '\\n')"  # the first run of every tree with s1 is red
    world = World(repo, [], extra=f"if test -e s1 && mkdir {mark}; then exit 1; fi; ")
    judged = world.judge(2)
    assert (judged.landed, [one.item for one in judged.guilty]) == ((0,), [1])
    assert Verdict.FLAKY in {run.verdict for run in judged.tests}
    assert world.judge(2, allows_flaky=True).landed == (0, 1)


def test_one_that_does_not_merge_without_the_guilty_is_held_back_untested(repo: Repo) -> None:
    world = World(repo, [frozenset({0})])
    with gate_of(repo, world.command) as opened:
        judged = find_culprits(
            opened, range(3), lambda items: None if 1 in items and 0 not in items else world.commit_of(items)
        )
    assert judged.landed == (2,)
    assert [(one.item, one.run is None) for one in judged.guilty] == [(0, False), (1, True)]


def test_one_that_does_not_merge_alone_is_not_called_red_alone(repo: Repo) -> None:
    world = World(repo, [frozenset({1, 2})])
    with gate_of(repo, world.command) as opened:
        judged = find_culprits(
            opened, range(3), lambda items: None if 2 in items and 0 not in items else world.commit_of(items)
        )
    (guilty,) = judged.guilty
    assert (judged.landed, guilty.item, guilty.red_with) == ((0, 1), 2, (0, 1))


def test_a_second_search_runs_no_test(repo: Repo) -> None:
    world = World(repo, [frozenset({0, 2})])
    first = world.judge(4)
    second = world.judge(4)
    assert first.runs > 0
    assert (second.runs, second.explaining) == (0, 0)
    assert [one.item for one in second.guilty] == [2]


def test_all_are_green_at_once(repo: Repo) -> None:
    judged = World(repo, []).judge(5)
    assert (judged.landed, judged.runs, judged.explaining) == ((0, 1, 2, 3, 4), 1, 0)
