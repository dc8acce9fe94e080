"""The Claude hook of wts: appends one line about an event to the log of the session it happened in.

Claude runs it as `python -S -E -B event.py EVENT`, with the event as JSON on standard input. It lies,
copied, in `<git common dir>/wts/claude/<digest>/`, so that an upgrade of wts can't break a running session.
The session is the one that WTS_SESSION names (hooks.json says it outright: a background Claude inherits
another's); without one nothing is written. Whatever happens it prints nothing and exits 0, since a hook
that fails would disturb the work it watches. It never records the environment, which holds Claude's tokens.

A line is below 4096 bytes and written by one write(2) with O_APPEND, so parallel events need no lock. What
is in it is data from agents and tools, cut but not cleaned: whoever shows it strips control characters.

An event that may concern the human also starts the program that `kick.json` in the session's directory names,
if it is there, and leaves it to itself: it decides whether anybody is told, and how. Words behind EVENT say that
the human chose to be told by Claude's own terminal, and how (notice.py).
"""

from __future__ import annotations

import json
import os
import sys
import time

VERSION = 1
LONGEST_LINE = 4096
LONGEST_TEXT = 300
LONGEST_INPUT = 64 << 20
LIMIT = 4 << 20  # bytes of a log, some 10,000 events; then it is moved aside and a new one begins
SHELLS = (b"sh", b"bash", b"dash", b"zsh", b"ksh", b"busybox", b"fish")

# Taken as they are when short, cut to their first characters when long.
KEPT = (
    "source",
    "reason",
    "prompt",
    "tool_use_id",
    "notification_type",
    "message",
    "error",
    "is_interrupt",
    "agent_type",
    "cwd",
    "stop_hook_active",
)
COUNTED = {"background_tasks": "background", "session_crons": "timers"}
# With `what`, what a tool's end is known by as the end of what was asked. Each is cut to so many characters by what
# it is alone, or it would be another text beside a long error.
MATCHED = {"tool_name": 120, "agent_id": 60}
# What a tool is about to do, in the words of its input: the first of these that is there.
TELLING = (
    "command",
    "file_path",
    "notebook_path",
    "questions",
    "url",
    "pattern",
    "query",
    "skill",
    "description",
)
ASKING = ("PermissionRequest", "Elicitation")
CONCERNING = (*ASKING, "StopFailure")  # and Stop, which stop.py may hold back


def main() -> None:
    try:
        event, *chosen = sys.argv[1:]
        data, directory = read_input(), session_directory()
        if directory is not None:
            try:
                record(directory, event, data)
            finally:  # where nothing can be written the human is told all the same
                if event in CONCERNING:
                    alert(directory, event, data, chosen)
    except BaseException:  # a signal too: the hook is silent, come what may
        pass


def read_input() -> dict[str, object]:
    """Return the event's JSON object; an empty one when it is anything else."""
    chunks = []
    size = 0
    try:
        while chunk := os.read(0, 1 << 20):
            size += len(chunk)
            chunks.append(chunk)
            if size > LONGEST_INPUT:  # it is read to its end all the same, or Claude meets a broken pipe
                chunks.clear()
        data = json.loads(b"".join(chunks).decode("utf-8", "replace"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def session_directory() -> str | None:
    """Return the directory of the session that WTS_SESSION names; None when there is none."""
    name = os.environ.get("WTS_SESSION", "")
    if not name or name.startswith(".") or "/" in name or "\\" in name or "\0" in name:
        return None
    plugin = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(os.path.dirname(plugin))
    directory = os.path.join(root, "sessions", name)
    return directory if os.path.isdir(directory) else None


def record(directory: str, event: str, data: dict[str, object]) -> None:
    """Append the event to the log of the session that has this directory."""
    append(directory, line_of(event, data))


def append(directory: str, line: bytes) -> None:
    """Append a line to the session's log; move the log aside when it has grown beyond LIMIT."""
    path = os.path.join(directory, "events.jsonl")
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line)
        if os.fstat(descriptor).st_size > LIMIT:
            move_aside(path, descriptor)
    finally:
        os.close(descriptor)


def move_aside(path: str, descriptor: int) -> None:
    """Rename the log that is open here to `events-<n>.jsonl`, with the next number; the next event begins a new one.

    Only who has the lock of the very file that still has the log's name does so: two never take one number, and none
    moves a log that has just begun. Who opened the file before may still add to it, and is read there.
    """
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.stat(path), os.fstat(descriptor)):
            directory = os.path.dirname(path)
            moved = [one.removeprefix("events-").removesuffix(".jsonl") for one in os.listdir(directory)]
            number = 1 + max((int(one) for one in moved if one.isdecimal()), default=0)
            os.rename(path, os.path.join(directory, f"events-{number}.jsonl"))
    except (ImportError, OSError):
        pass  # another does it, or it can't be done: the line is written all the same


def alert(directory: str, event: str, data: dict[str, object], chosen: list[str]) -> None:
    """Tell the human of an event by Claude's terminal, if that was chosen, and start what tells them otherwise."""
    try:
        if chosen:
            from notice import tell

            tell(directory, event, data, *chosen)
    finally:
        kick(directory, event, data)


def kick(directory: str, event: str, data: dict[str, object]) -> None:
    """Start the program that `kick.json` names, and leave it to itself; nothing when there is none.

    What ended within a subagent is no matter for the human; what a subagent asks is.
    """
    if event not in ASKING and data.get("agent_id"):
        return
    with open(os.path.join(directory, "kick.json"), "rb") as file:
        argv = json.load(file)
    environment = {name: value for name, value in os.environ.items() if is_for_others(name)}
    os.chdir("/")  # or it would stand in the worktree, which then counts as in use
    try:
        streams = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in range(3)]
        os.posix_spawn(argv[0], argv, environment, file_actions=streams, setsid=True)
    except NotImplementedError:  # an old C library has no setsid for it
        if os.fork() == 0:
            become(argv, environment)


def is_for_others(name: str) -> bool:
    """Return whether a variable may be handed on: Claude's own, secrets among them, are not."""
    return name == "CLAUDE_CONFIG_DIR" or not name.startswith("CLAUDE")


def become(argv: list[str], environment: dict[str, str]) -> None:
    """Let this process be the program, apart from Claude's terminal and pipes."""
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        os.execve(argv[0], argv, environment)
    finally:
        os._exit(127)


def line_of(event: str, data: dict[str, object]) -> bytes:
    """Return the event as one line, its texts cut until it fits."""
    head: dict[str, object] = {"v": VERSION, "t": time.time(), "event": event, "pid": claude_pid()}
    line = b""
    for longest in (LONGEST_TEXT, 100, 30, 0):
        row = {**head, **facts(data, longest)}
        text = json.dumps(row, separators=(",", ":"))  # ASCII: a lone surrogate becomes \ud800
        line = text.encode("ascii") + b"\n"
        if len(line) < LONGEST_LINE:
            break
    return line


def facts(data: dict[str, object], longest: int) -> dict[str, object]:
    """Return what is kept of an event, free texts cut to `longest` characters."""
    row = {"conversation": short(data.get("session_id"), longest)}
    for key in KEPT:
        row[key] = short(data.get(key), longest)
    for key, name in COUNTED.items():
        value = data.get(key)
        row[name] = len(value) if isinstance(value, list) else None
    for key, characters in MATCHED.items():
        row[key] = cut(data.get(key), characters)
    row["what"] = cut(what(data.get("tool_input")), LONGEST_TEXT)
    last = data.get("last_assistant_message")
    row["last_assistant_message"] = last[max(0, len(last) - longest) :] if isinstance(last, str) else None
    return {key: value for key, value in row.items() if value is not None and value != ""}


def short(value: object, longest: int) -> object:
    """Return a text cut, a truth value as it is, anything else as None."""
    if isinstance(value, str):
        return value[:longest]
    return value if isinstance(value, bool) else None


def cut(value: object, characters: int) -> str | None:
    """Return a text cut to so many characters, to half as many when they take over 6 bytes each; None if it is none."""
    if not isinstance(value, str):
        return None
    text = value[:characters]
    return text if len(json.dumps(text)) <= 6 * characters + 2 else text[: characters // 2]


def what(tool_input: object) -> str | None:
    """Return the one text that tells what a tool call is about."""
    if not isinstance(tool_input, dict):
        return None
    for key in TELLING:
        value = tool_input.get(key)
        if key == "questions" and isinstance(value, list) and value and isinstance(value[0], dict):
            value = value[0].get("question")
        if isinstance(value, str):
            return value
    return None


def claude_pid() -> int | None:
    """Return the pid of the Claude that runs this hook; None when it can't be known."""
    told = os.environ.get("CLAUDE_PID", "")
    if told.isascii() and told.isdigit() and len(told) < 10:
        return int(told)
    pid = os.getppid()
    for _ in range(4):  # a hook runs below `sh -c`
        name, parent = process(pid)
        if name is None:
            return None
        if name.lstrip(b"-") not in SHELLS:
            return pid
        pid = parent
    return None


def process(pid: int) -> tuple[bytes | None, int]:
    """Return a process's name and its parent's pid; (None, 0) where there is no /proc."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return None, 0
    try:
        stat = os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
    start, end = stat.index(b"("), stat.rindex(b")")  # the name may hold both
    return stat[start + 1 : end], int(stat[end + 2 :].split()[1])


if __name__ == "__main__":
    main()
    os._exit(0)  # no flush of streams that may be closed, nothing at exit
