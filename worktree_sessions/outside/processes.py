"""The one spawner, and what can be known about processes that already run.

Nothing is ever passed through a shell here except a command text that the user wrote and approved (`shell`).
A probe that fails says unknown (None); it never says gone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

MISSING = 127
PATIENCE = 2.0  # seconds that what is to end has for its own end
PASSING = 0.5  # seconds; a git status of a large repository takes less
PSEUDO_TERMINALS, CONSOLES = 136, 4  # the kernel's major numbers: admin-guide/devices.txt
NOT_RUNNABLE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENOEXEC)
Child = subprocess.Popen[bytes]  # a process that was started to be waited for


class Completed(NamedTuple):
    """A finished process: `status` is its exit status, negative for a signal, 127 when the program is missing."""

    status: int
    out: bytes
    err: bytes


class Call(NamedTuple):
    """A program to be run: its words, where, and in which environment."""

    argv: list[str]
    cwd: Path
    env: Mapping[str, str]


class Process(NamedTuple):
    """A process by identity: the pid alone may be somebody else's by now, pid and start time may not.

    `started` is opaque and compares equal for the same process (Linux: clock ticks since boot).
    """

    pid: int
    started: str


class Seat(NamedTuple):
    """The terminal that a process belongs to (/dev/pts/3), and whether it gets what is typed there.

    It does not while a shell has stopped it (Ctrl-Z) or runs it in the background, nor while a child of its own reads
    from the terminal, an editor for example (known on Linux only).
    """

    terminal: str
    is_typed_to: bool


class Standing(NamedTuple):
    """A process whose current directory lies in a directory we asked about."""

    pid: int
    name: str


def find_program(name: str, path: str | None = None) -> str | None:
    """Return the absolute path of a program on PATH, or None."""
    import shutil  # 4 ms, which reading git does without

    return shutil.which(name, path=path)


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    timeout: float | None = None,
) -> Completed:
    """Run a program to its end and return what it said.

    A program that is missing or can't be run is status 127, a time-out -9.
    """
    try:
        done = subprocess.run(
            list(argv), cwd=cwd, env=env, input=stdin, capture_output=True, timeout=timeout, check=False
        )
    except OSError as error:
        if error.errno not in NOT_RUNNABLE:
            raise
        return Completed(MISSING, b"", os.fsencode(str(error)))
    except subprocess.TimeoutExpired as error:
        return Completed(-9, error.stdout or b"", (error.stderr or b"") + b"timed out")
    return Completed(done.returncode, done.stdout, done.stderr)


def run_all(calls: Sequence[Call], meanwhile: Callable[[], object] | None = None) -> list[Completed]:
    """Run programs that read nothing, as many at a time as is good, and return what each said, in their order.

    Eight `git status` take 16 ms so, 31 ms one after the other. A thread pool is no faster and costs 5 ms to import.
    What is done `meanwhile` costs only what it takes longer than they do.
    """
    at_once = 4 * (os.cpu_count() or 1)
    begun = [_begin(call) for call in calls[:at_once]]
    if meanwhile is not None:
        meanwhile()
    done = []
    for index in range(len(calls)):
        done.append(_end(begun[index]))
        if len(begun) < len(calls):
            begun.append(_begin(calls[len(begun)]))
    return done


def _begin(call: Call) -> Child | Completed:
    try:
        return subprocess.Popen(
            call.argv,
            cwd=call.cwd,
            env=call.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        if error.errno not in NOT_RUNNABLE:
            raise
        return Completed(MISSING, b"", os.fsencode(str(error)))


def _end(begun: Child | Completed) -> Completed:
    if isinstance(begun, Completed):
        return begun
    out, err = begun.communicate()
    return Completed(begun.returncode, out, err)


def shell(
    command: str,
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: IO[bytes],
    timeout: float | None = None,
    began: Callable[[Process], object] = lambda _: None,
) -> int:
    """Run a command text the user approved, output to `log`; return its status (-9: timed out).

    It leads a process group of its own. `began` is told as which process, so that it can be written down for who must
    end it after we were killed. The command does not start before, nor when Ctrl-C comes while it is spawned.
    """
    process = subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _ && exec /bin/sh -c "$1" </dev/null', "sh", command],
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        _announce(process, began)
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        _kill_group(process)
        return -9
    except BaseException:  # Ctrl-C does not reach a session of its own
        _kill_group(process)
        raise


def _announce(process: subprocess.Popen[bytes], began: Callable[[Process], object]) -> None:
    """Tell who it is, and only then let it go."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
        began(look_up(process.pid) or Process(process.pid, ""))
        pipe.write(b"\n")


def shell_answer(
    command: str, *, stdin: bytes, env: Mapping[str, str], timeout: float | None = None
) -> Completed:
    """Run a command text of the user's in this directory, and return what it said (status -9: timed out)."""
    words = ["/bin/sh", "-c", command]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, env=dict(env), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    ) as process:
        try:
            out, err = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            _kill_group(process)  # what it started holds our pipes too
            return Completed(-9, b"", b"")
        except BaseException:
            _kill_group(process)
            raise
    return Completed(process.returncode, out, err)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    end_group(process.pid, process.poll)
    process.wait()


def end_group(group: int, reap: Callable[[], object] = lambda: None) -> None:
    """End a process group: by SIGTERM, what is still there PATIENCE seconds later by SIGKILL.

    `reap` waits for those that are our own children; a zombie counts as there.
    """
    deadline = time.monotonic() + PATIENCE
    try:
        with contextlib.suppress(ProcessLookupError):  # the last of it has ended
            os.killpg(group, signal.SIGTERM)
            while time.monotonic() < deadline:
                time.sleep(0.01)
                reap()
                os.killpg(group, 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def end_group_of(leader: Process, directory: Path) -> None:
    """End what is left of the group that this very process led, if anything is.

    When the leader has gone, its number may be another's: then what is left counts only if it stands in `directory`.
    """
    if is_alive(leader) or leader.pid in map(_group_of, standing_in(directory) or ()):
        end_group(leader.pid)


def _group_of(standing: Standing) -> int | None:
    try:
        return os.getpgid(standing.pid)
    except ProcessLookupError:
        return None


def spawn_here(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Child:
    """Start a program on this very terminal, in our own process group, and return it to be waited for."""
    return subprocess.Popen(list(argv), cwd=cwd, env=dict(env))


def spawn_apart(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
    """Start a program that outlives us and our terminal; nobody hears what it says."""
    subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ).returncode = 0  # not ours to wait for: Python would complain of a child that still runs


def look_up(pid: int) -> Process | None:
    """Return the identity of a live process; None when there is none (a zombie is none)."""
    if os.path.isdir("/proc/self"):
        return _from_proc(pid)
    done = run(["ps", "-o", "lstart=,stat=", "-p", str(pid)])
    words = done.out.decode(errors="replace").split()
    if done.status != 0 or not words or words[-1].startswith("Z"):
        return None
    return Process(pid, " ".join(words[:-1]))


def _from_proc(pid: int) -> Process | None:
    fields = _stat(pid)
    if fields is None or fields[0] in (b"Z", b"X"):
        return None
    return Process(pid, fields[19].decode())  # starttime


def _stat(pid: int) -> list[bytes] | None:
    """Return the fields of proc(5)'s stat from the third on, the state."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return stat.rpartition(b")")[2].split()  # the name may hold spaces and parentheses; the rest may not


def seat_of(pid: int) -> Seat | None:
    """Return where a process sits; None when it has ended, has no terminal, or that can't be known."""
    if not os.path.isdir("/proc/self"):
        return _seat_by_ps(pid)
    fields = _stat(pid)
    if fields is None:
        return None
    group, device, front = fields[2], int(fields[4]), fields[5]
    number = (device & 0xFF) | (device >> 12 & 0xFFF00)
    name = {PSEUDO_TERMINALS: f"pts/{number}", CONSOLES: f"tty{number}"}.get(device >> 8 & 0xFFF)
    if name is None:
        return None
    return Seat(f"/dev/{name}", group == front and not _has_reading_child(pid, f"/dev/{name}"))


def _has_reading_child(pid: int, terminal: str) -> bool:
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))) is not None and int(fields[1]) == pid:
            with contextlib.suppress(OSError):  # ended meanwhile
                if os.readlink(f"/proc/{entry}/fd/0") == terminal:
                    return True
    return False


def _seat_by_ps(pid: int) -> Seat | None:
    done = run(["ps", "-o", "tty=,pgid=,tpgid=", "-p", str(pid)])
    words = done.out.decode(errors="replace").split()
    if done.status != 0 or len(words) != 3 or words[0].startswith("?"):
        return None
    return Seat(f"/dev/{words[0]}", words[1] == words[2])


def is_alive(process: Process) -> bool:
    """Return whether this very process still runs."""
    return look_up(process.pid) == process


def is_stopped(pid: int) -> bool:
    """Return whether a process was stopped (Ctrl-Z, SIGSTOP) and does nothing until it is continued; Linux only."""
    fields = _stat(pid)
    return fields is not None and fields[0] in (b"T", b"t")


def is_there(pid: int) -> bool:
    """Return whether there is a process of this number: cheap enough to be asked all the time.

    Where there is no /proc, a zombie is one too.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    fields = _stat(pid)
    return fields is None or fields[0] not in (b"Z", b"X")


def send(process: Process, signal: int) -> None:
    """Send a signal to this very process; one that has ended meanwhile is no failure."""
    if is_alive(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal)


def host() -> str:
    """Return this machine's name."""
    return os.uname().nodename


def boot() -> str | None:
    """Return what tells one run of this machine (or container) from the next, None where that can't be known."""
    try:
        kernel = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return _boot_by_sysctl()
    first = _from_proc(1)  # of a container: it restarts while the kernel goes on
    return f"{kernel}/{first.started if first else ''}"


def _boot_by_sysctl() -> str | None:
    done = run(["sysctl", "-n", "kern.boottime"])
    return done.out.decode(errors="replace").strip() or None if done.status == 0 else None


def own_identity() -> Process:
    """Return the identity of this process."""
    return look_up(os.getpid()) or Process(os.getpid(), "")


def standing_in(directory: Path) -> list[Standing] | None:
    """Return the processes (this one left out) whose current directory is at or below `directory`.

    None means that it can't be known here. Processes of other users are not seen, as with `ls /proc`.
    """
    if not os.path.isdir("/proc/self"):
        return _standing_by_lsof(directory)
    top = os.path.realpath(directory)
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            where = os.readlink(f"/proc/{entry}/cwd")
            if where == top or where.startswith(top + os.sep):
                name = Path(f"/proc/{entry}/comm").read_text(errors="replace").strip()
                found.append(Standing(int(entry), name))
        except OSError:
            continue  # ended meanwhile, or not ours to see
    return sorted(found)


def staying_in(directory: Path) -> list[Standing] | None:
    """Return the processes that stand in `directory` and are still there after PASSING seconds.

    A `git status` of a prompt or of another wts comes and goes; whoever stays is somebody to ask.
    """
    found = standing_in(directory)
    deadline = time.monotonic() + PASSING
    while found and time.monotonic() < deadline:
        time.sleep(0.05)
        still = standing_in(directory)
        if still is None:
            return None
        found = [one for one in found if one in still]
    return found


def _standing_by_lsof(directory: Path) -> list[Standing] | None:
    if find_program("lsof") is None:
        return None
    done = run(["lsof", "-a", "-d", "cwd", "-F", "pcn", "+c", "0"], timeout=20)
    if done.status == -9 or not done.out:  # status 1 is a warning, but our own directory is always told
        return None
    top = os.path.realpath(directory)
    found = []
    pid, name = 0, ""
    for line in done.out.decode(errors="replace").splitlines():
        kind, value = line[:1], line[1:]
        if kind == "p":
            pid = int(value)
        elif kind == "c":
            name = value
        elif kind == "n" and pid != os.getpid() and (value == top or value.startswith(top + os.sep)):
            found.append(Standing(pid, name))
    return sorted(found)
