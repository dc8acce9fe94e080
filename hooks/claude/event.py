"""The Claude hook of wts: appends one line about an event to the log of the session it happened in.

Claude runs it as `python -S -E -B event.py EVENT`, with the event as JSON on standard input. It lies,
copied, in `<git common dir>/wts/claude/<digest>/`, so that an upgrade of wts can't break a running session.
The session is the one that WTS_SESSION names (hooks.json says it outright: a background Claude inherits
another's); without one nothing is written. Whatever happens it prints nothing and exits 0, since a hook
that fails would disturb the work it watches. It never records the environment, which holds Claude's tokens.

A line is below 4096 bytes and written by one write(2) with O_APPEND, so parallel events need no lock. What
is in it is data from agents and tools, cut but not cleaned: whoever shows it strips control characters.
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
SHELLS = (b"sh", b"bash", b"dash", b"zsh", b"ksh", b"busybox", b"fish")

# Taken as they are when short, cut to their first characters when long.
KEPT = (
    "source",
    "reason",
    "prompt",
    "tool_name",
    "tool_use_id",
    "notification_type",
    "message",
    "error",
    "is_interrupt",
    "agent_id",
    "agent_type",
    "cwd",
    "stop_hook_active",
)
COUNTED = {"background_tasks": "background", "session_crons": "timers"}
# What a tool is about to do, in the words of its input: the first of these that is there.
TELLING = (
    "command",
    "file_path",
    "notebook_path",
    "questions",
    "plan",
    "url",
    "pattern",
    "query",
    "skill",
    "description",
)


def main() -> None:
    try:
        record(sys.argv[1], read_input())
    except BaseException:  # a signal too: the hook is silent, come what may
        pass


def read_input() -> dict[str, object]:
    """Return the event's JSON object; an empty one when it is anything else."""
    chunks = []
    size = 0
    try:
        while chunk := os.read(0, 1 << 20):
            size += len(chunk)
            if size <= LONGEST_INPUT:  # the rest is read all the same, or Claude meets a broken pipe
                chunks.append(chunk)
        data = json.loads(b"".join(chunks).decode("utf-8", "replace"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def record(event: str, data: dict[str, object]) -> None:
    """Append the event to the log of the session this process belongs to, if there is one."""
    directory = session_directory()
    if directory is not None:
        append(directory, line_of(event, data))


def session_directory() -> str | None:
    """Return the directory of the session that WTS_SESSION names; None when there is none."""
    name = os.environ.get("WTS_SESSION", "")
    if not name or name.startswith(".") or "/" in name or "\\" in name or "\0" in name:
        return None
    plugin = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(os.path.dirname(plugin))
    directory = os.path.join(root, "sessions", name)
    return directory if os.path.isdir(directory) else None


def append(directory: str, line: bytes) -> None:
    path = os.path.join(directory, "events.jsonl")
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def line_of(event: str, data: dict[str, object]) -> bytes:
    """Return the event as one line, its texts cut until it fits."""
    head: dict[str, object] = {"v": VERSION, "t": time.time(), "event": event, "pid": claude_pid()}
    for longest in (LONGEST_TEXT, 100, 30, 0):
        row = {**head, **facts(data, longest)}
        text = json.dumps(row, separators=(",", ":"))  # ASCII: a lone surrogate becomes \ud800
        line = text.encode("ascii") + b"\n"
        if len(line) < LONGEST_LINE:
            return line
    return json.dumps(head).encode("ascii") + b"\n"


def facts(data: dict[str, object], longest: int) -> dict[str, object]:
    """Return what is kept of an event."""
    row = {"conversation": short(data.get("session_id"), longest)}
    for key in KEPT:
        row[key] = short(data.get(key), longest)
    for key, name in COUNTED.items():
        value = data.get(key)
        row[name] = len(value) if isinstance(value, list) else None
    row["what"] = short(what(data.get("tool_input")), longest)
    last = data.get("last_assistant_message")
    row["last_assistant_message"] = last[max(0, len(last) - longest) :] if isinstance(last, str) else None
    return {key: value for key, value in row.items() if value is not None and value != ""}


def short(value: object, longest: int) -> object:
    """Return a text cut, a truth value as it is, anything else as None."""
    if isinstance(value, str):
        return value[:longest]
    return value if isinstance(value, bool) else None


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
