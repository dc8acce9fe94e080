"""Processes: run to their end, and known by more than their number."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.claude_cli import eventually
from tests.support.tmux import Shell
from worktree_sessions.outside import processes
from worktree_sessions.outside.processes import Completed, Process, Seat, Standing


def _script(path: Path, text: str, mode: int = 0o755) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def _wait_until_gone(pid: int) -> bool:
    for _ in range(200):
        if processes.look_up(pid) is None:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands in tmp_path/place and does nothing."""
    (tmp_path / "place" / "below").mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path / "place" / "below") as child:
        yield child
        child.kill()


def test_a_run_returns_what_was_said() -> None:
    """Status, stdout, stderr, and stdin passed on, byte for byte."""
    done = processes.run(["sh", "-c", "cat; printf '\\377' >&2; exit 3"], stdin=b"\0in\xff")
    assert done == Completed(3, b"\0in\xff", b"\xff")


def test_a_run_never_waits_for_a_keyboard() -> None:
    """Without input, stdin is at its end."""
    assert processes.run(["cat"], timeout=10) == Completed(0, b"", b"")


@pytest.mark.parametrize(
    "case", ["no such program", "no such directory", "a file as directory", "not executable"]
)
def test_what_cannot_be_run_is_missing(tmp_path: Path, case: str) -> None:
    """Status 127 and the reason; never an exception."""
    (tmp_path / "file").write_text("x")
    odd = _script(tmp_path / "odd", "#!/bin/sh\n", mode=0o644)
    done = {
        "no such program": lambda: processes.run(["no-such-program-of-wts"]),
        "no such directory": lambda: processes.run(["true"], cwd=tmp_path / "missing"),
        "a file as directory": lambda: processes.run(["true"], cwd=tmp_path / "file"),
        "not executable": lambda: processes.run([str(odd)]),
    }[case]()
    assert (done.status, done.out) == (processes.MISSING, b"")
    assert done.err != b""


def test_a_run_that_takes_too_long_is_ended() -> None:
    """A time-out is status -9, with what was said until then."""
    done = processes.run(["sh", "-c", "echo begun; exec sleep 60"], timeout=0.5)
    assert (done.status, done.out) == (-9, b"begun\n")


def test_a_signal_is_a_negative_status() -> None:
    """A child that was killed is told from one that failed."""
    assert processes.run(["sh", "-c", "kill -TERM $$"]).status == -signal.SIGTERM


def test_a_shell_command_writes_its_log(tmp_path: Path) -> None:
    """stdout and stderr in one log, in their order, in the directory and the environment that were given."""
    with (tmp_path / "log").open("wb") as log:
        status = processes.shell("echo $A; pwd >&2; exit 4", cwd=tmp_path, env={"A": "one"}, log=log)
    assert status == 4
    assert (tmp_path / "log").read_text() == f"one\n{tmp_path}\n"


def test_a_shell_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    """The time-out ends the whole group, not the shell alone."""
    command = "sleep 60 & echo $! > child; wait"
    with (tmp_path / "log").open("wb") as log:
        status = processes.shell(command, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, log=log, timeout=0.5)
    assert status == -9
    assert _wait_until_gone(int((tmp_path / "child").read_text()))


def test_ctrl_c_ends_a_shell_command_with_its_children(tmp_path: Path) -> None:
    """A set-up that the user interrupts does not run on behind their back."""
    command = "sleep 60 & echo $! > child; wait"
    threading.Timer(0.7, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with (tmp_path / "log").open("wb") as log, pytest.raises(KeyboardInterrupt):
        processes.shell(command, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, log=log)
    assert _wait_until_gone(int((tmp_path / "child").read_text()))


def test_a_process_is_known_by_its_start(sleeper: subprocess.Popen[bytes]) -> None:
    """Alive is this very process: neither one of the same number, nor one that has ended."""
    found = processes.look_up(sleeper.pid)
    assert found is not None
    assert processes.is_alive(found)
    assert not processes.is_alive(Process(found.pid, "some other start"))
    assert not processes.is_alive(processes.own_identity()._replace(pid=found.pid))
    sleeper.kill()
    sleeper.wait()
    assert not processes.is_alive(found)


def test_a_zombie_is_not_alive() -> None:
    """Ended and not yet waited for: gone."""
    with subprocess.Popen(["true"]) as child:
        for _ in range(200):
            if processes.look_up(child.pid) is None:
                break
            time.sleep(0.02)
        assert processes.look_up(child.pid) is None
        assert child.returncode is None


def test_a_process_with_an_odd_name_is_known(tmp_path: Path) -> None:
    """Spaces and parentheses in a program's name do not shift its start time."""
    odd = tmp_path / ") R 1 ("
    odd.symlink_to("/bin/sleep")
    with subprocess.Popen(["sleep", "60"]) as plain, subprocess.Popen([str(odd), "60"]) as child:
        try:
            one, other = processes.look_up(plain.pid), processes.look_up(child.pid)
            assert one is not None
            assert other is not None
            assert abs(int(one.started) - int(other.started)) < 500
        finally:
            plain.kill()
            child.kill()


def test_who_stands_in_a_directory(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """Found at the directory, above it and through a link, by number and name; not in a sibling."""
    (tmp_path / "link").symlink_to(tmp_path / "place")
    (tmp_path / "pla").mkdir()
    standing = [Standing(sleeper.pid, "sleep")]
    assert processes.standing_in(tmp_path / "place") == standing
    assert processes.standing_in(tmp_path / "place" / "below") == standing
    assert processes.standing_in(tmp_path / "link") == standing
    assert processes.standing_in(tmp_path / "pla") == []


def test_this_process_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """wts itself may stand in what it closes."""
    monkeypatch.chdir(tmp_path)
    assert processes.standing_in(tmp_path) == []


# Four processes: one at the place, one below it, one beside it, and ourselves.
LSOF = f"""\
#!/bin/sh
printf 'p%s\\nc%s\\nfcwd\\nn%s\\n' 41 'my (sh)' "$PLACE" 42 vim "$PLACE/deep" \\
  43 ls "$PLACE-beside" {os.getpid()} me "$PLACE"
"""


@pytest.mark.parametrize(
    ("lsof", "told"),
    [
        (LSOF, "the two inside"),
        ("#!/bin/sh\nexit 1\n", "unknown"),
        (None, "unknown"),
    ],
    ids=["answers", "fails", "missing"],
)
def test_where_there_is_no_proc_lsof_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lsof: str | None, told: str
) -> None:
    """An answer is read; no answer is unknown, and never nobody."""
    monkeypatch.setenv("PLACE", str(tmp_path))
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    monkeypatch.setenv("PATH", f"{bin_dir}" if lsof is None else f"{bin_dir}{os.pathsep}/usr/bin:/bin")
    if lsof is not None:
        _script(bin_dir / "lsof", lsof)
    expected = [Standing(41, "my (sh)"), Standing(42, "vim")]
    assert processes._standing_by_lsof(tmp_path) == (expected if told != "unknown" else None)


def test_a_program_is_found_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there and may be run."""
    monkeypatch.setenv("PATH", str(tmp_path))
    _script(tmp_path / "tool", "", mode=0o644)
    assert processes.find_program("tool") is None
    (tmp_path / "tool").chmod(0o755)
    assert processes.find_program("tool") == str(tmp_path / "tool")


def test_a_program_on_this_terminal_is_waited_for(tmp_path: Path) -> None:
    """Started in our own process group, in its directory and environment."""
    code = "import os, sys; sys.exit(5 if os.environ.get('A') == 'b' and os.getcwd() == sys.argv[1] else 1)"
    place = os.path.realpath(tmp_path)
    child = processes.spawn_here([sys.executable, "-c", code, place], cwd=tmp_path, env={"A": "b"})
    with child:
        assert os.getpgid(child.pid) == os.getpgid(0)
        assert child.wait() == 5


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_the_terminal_of_a_process_is_known_with_and_without_proc(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    pid, terminal = int(shell.says("#{pane_pid}")), shell.says("#{pane_tty}")
    assert processes.seat_of(pid) == processes._seat_by_ps(pid) == Seat(terminal, is_typed_to=True)
    shell.type("sleep 100")
    eventually(lambda: shell.says("#{pane_current_command}") == "sleep", "sleep")
    assert processes.seat_of(pid) == processes._seat_by_ps(pid) == Seat(terminal, is_typed_to=False)


def test_a_process_without_a_terminal_has_no_seat() -> None:
    sleeper = subprocess.Popen(["sleep", "100"], stdin=subprocess.DEVNULL, start_new_session=True)
    assert processes.seat_of(sleeper.pid) is processes._seat_by_ps(sleeper.pid) is None
    sleeper.kill()
    sleeper.wait()
    assert processes.seat_of(sleeper.pid) is processes._seat_by_ps(sleeper.pid) is None
