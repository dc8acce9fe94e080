"""A notification by the terminal that Claude runs in, where that is the channel by which the human is told.

event.py and stop.py call it when words behind their event say so: KIND, SECONDS and QUIET hours. A hook has no
terminal, so it answers with a `terminalSequence` (Claude Code 2.1.141), which Claude writes to its own, wrapped for
tmux where needed. KIND is osc9, osc99, osc777 or bell.

A turn's end is told when the turn took longer than SECONDS and leaves nothing in the background; a subagent's is
not, but what it asks is asked of the human.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

from event import what

LONGEST = 200
TAIL = 1 << 18  # bytes of the log: hundreds of events
VERBS = {
    "Bash": "run",
    "Write": "write",
    "Edit": "edit",
    "MultiEdit": "edit",
    "NotebookEdit": "edit",
    "Read": "read",
    "WebFetch": "fetch",
    "WebSearch": "search for",
    "Skill": "use the skill",
}


def tell(directory: str, event: str, data: dict[str, object], kind: str, seconds: str, quiet: str) -> None:
    """Have Claude's terminal say what the human is to be told of an event, if anything."""
    if is_within(quiet, time.strftime("%H:%M")):
        return
    if text := notice(event, data, directory, float(seconds)):
        answer(sequence_for(kind, os.path.basename(directory), text))


def is_within(hours: str, clock: str) -> bool:
    """Return whether the clock is within hours such as 22:00-08:00, which may go past midnight; none are ''."""
    begin, _, end = hours.partition("-")
    return begin <= clock < end if begin <= end else clock >= begin or clock < end


def answer(sequence: str) -> None:
    import json

    sys.stdout.write(json.dumps({"terminalSequence": sequence}))
    sys.stdout.flush()


def notice(event: str, data: dict[str, object], directory: str, seconds: float) -> str | None:
    """Return what the human is to be told of an event, None when nothing."""
    if event == "PermissionRequest":
        return question(data)
    if event == "Elicitation":
        return text_of(data, "message") or "a question"
    if data.get("agent_id"):
        return None
    if event == "StopFailure":
        return f"the turn failed: {text_of(data, 'error').replace('_', ' ') or 'unknown'}"
    if event == "Stop" and not data.get("background_tasks") and not data.get("session_crons"):
        began = turn_began(directory, again=bool(data.get("stop_hook_active")))
        if began is not None and time.time() - began >= seconds:
            return "done"
    return None


def question(data: dict[str, object]) -> str:
    """Return what Claude asks, in the sentence that `wts list` shows."""
    tool = text_of(data, "tool_name") or "a tool"
    about = " ".join((what(data.get("tool_input")) or "").split())
    if tool == "AskUserQuestion":
        return about or "a question"
    if tool == "ExitPlanMode":
        return "may it carry out its plan?"
    if not about:
        return f"may it use {tool}?"
    return f"may it {VERBS[tool]} `{about}`?" if tool in VERBS else f"may it use {tool}: {about}?"


def text_of(data: dict[str, object], key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def turn_began(directory: str, *, again: bool) -> float | None:
    """Return when the turn began: at the last prompt, or, `again`, when stop.py had Claude go on.

    A turn whose beginning is further up than what is read began before all that is.
    """
    beginnings = ("UserPromptSubmit", "StopHeld") if again else ("UserPromptSubmit",)
    oldest = None
    for event, at in newest_events(directory):
        if event in beginnings:
            return at
        oldest = at
    return oldest


def newest_events(directory: str) -> Iterator[tuple[object, float]]:
    """Yield name and time of the log's last events, the newest first; a log that has grown large was moved aside."""
    import json

    names = [name for name in os.listdir(directory) if name.startswith("events") and name.endswith(".jsonl")]
    logs = sorted((os.path.join(directory, name) for name in names), key=os.path.getmtime, reverse=True)
    for path in logs[:2]:
        with open(path, "rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - TAIL)
            file.seek(start)
            lines = file.read().split(b"\n")
        for line in reversed(lines):
            try:
                row = json.loads(line)
                yield row.get("event"), float(row["t"])
            except (ValueError, KeyError, TypeError):
                continue  # a torn line
        if start:
            return


def sequence_for(kind: str, title: str, body: str) -> str:
    """Return what makes a terminal show title and body, or ring; outside/sequences.py says why it is so."""
    title, body = payload(title), payload(body)
    both = f"{title}: {body}"
    if kind == "osc9":
        safe = f"wts: {both}" if both[:1].isdigit() else both
        return f"\x1b]9;{safe}\x1b\\"
    if kind == "osc99":
        import zlib

        number = f"wts{zlib.crc32(both.encode()):x}"
        return f"\x1b]99;i={number}:d=0;{title}\x1b\\\x1b]99;i={number}:p=body;{body}\x1b\\"
    if kind == "osc777":
        return f"\x1b]777;notify;{title};{body}\x1b\\"
    return "\a"


def payload(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:LONGEST]).split())
    return line.replace(";", "；")
