"""Claude Code as a program: find it, ask what this version can do, word its command line, read its registry.

Installed versions differ, so an option is used when `--help` lists it and left out otherwise. Nothing here
writes into Claude's configuration, and nothing here knows a session: names and directories come as
arguments.
"""

from __future__ import annotations

import enum
import functools
import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, Unpack

from worktree_sessions.outside import assets, environment, processes
from worktree_sessions.outside.clock import told_time

PROBE_SECONDS = 20.0
AGENTS_SECONDS = 5.0
LONGEST_PROJECT = 200  # characters of a project's name, before a hash takes the place of the rest
CONVERSATION_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]*")
PLUGIN_FILES = (
    ".claude-plugin/plugin.json",
    "hooks/hooks.json",
    "commands/ready.md",
    "event.py",
    "stop.py",
    "notice.py",
)


class Features(NamedTuple):
    """What one installed Claude can do, by the options its `--help` lists; none when it can't be asked."""

    options: frozenset[str]

    def has(self, option: str) -> bool:
        return option in self.options


class Conversation(enum.Enum):
    """How an id for a conversation may be used."""

    UNUSED = "unused"  # `--session-id` takes it; `--resume` finds nothing
    HELD = "held"  # `--resume` goes on with it; `--session-id` refuses
    SPENT = "spent"  # both refuse: 2.1.197, left without a prompt. Another id is needed


class Registered(NamedTuple):
    """One running Claude as it registered itself; None is a fact it did not give.

    The fields were seen on 2.1.197 and 2.1.330, where nothing else is said (docs/states.md has the table). `status` is
    idle, busy, waiting, or shell (2.1.330), `waiting_for` the kind of question: "permission prompt", "input needed"
    (2.1.330), "dialog open" (2.1.330). `started` compares with `processes.Process.started`, so that a reused pid is not
    mistaken for it. `job` (2.1.330) is the short id of a background session, which `claude attach` takes. `started`,
    `version` and `updated` are of the registry's file alone: `claude agents --json` leaves them out.
    """

    pid: int
    conversation: str
    cwd: Path
    status: str | None
    waiting_for: str | None
    started: str | None
    name: str | None
    version: str | None
    job: str | None
    updated: float | None  # Unix seconds of the last change


# -- the program -----------------------------------------------------------------------------------


def find(setting: str | None = None) -> Path | None:
    """Return Claude's program: the setting (a path or a name) or `claude` on PATH; None when missing."""
    wanted = os.path.expanduser(setting or "claude")
    found = processes.find_program(wanted)
    return Path(os.path.abspath(found)) if found else None


def features(path: Path) -> Features:
    """Ask the program what it can do (0.05 s, older ones 0.4 s); once, unless the file changes."""
    said = _ask(path, "--help", _changed_at(path))
    return Features(frozenset(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", said)))


def version(path: Path) -> str | None:
    """Ask the program for its version (2.1.330), None when it does not tell."""
    match = re.search(r"\d+(?:\.\d+)+", _ask(path, "--version", _changed_at(path)))
    return match[0] if match else None


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@functools.lru_cache(maxsize=16)
def _ask(path: Path, option: str, _changed_at: int) -> str:
    done = processes.run([str(path), option], env=environment.for_session({}), timeout=PROBE_SECONDS)
    return done.out.decode("utf-8", "replace") if done.status == 0 else ""


# -- its command line ------------------------------------------------------------------------------


class Wanted(TypedDict, total=False):
    """What a Claude is started with, each part None or left out for nothing: `focus` is added to its instructions."""

    name: str | None
    plugin_dir: Path | None
    prompt: str | None
    focus: str | None
    permission: str | None


def start_argv(path: Path, can: Features, *, conversation: str, **wanted: Unpack[Wanted]) -> list[str]:
    """Return the command that starts a new conversation, under an id we chose, on the caller's terminal."""
    own_id = ["--session-id", conversation] if can.has("--session-id") else []
    return [str(path), *own_id, *_options(can, wanted)]


def resume_argv(path: Path, can: Features, *, conversation: str, **wanted: Unpack[Wanted]) -> list[str]:
    """Return the command that goes on with a conversation; to be run in the directory where it was held."""
    return [str(path), "--resume", conversation, *_options(can, wanted)]


def background_argv(
    path: Path, can: Features, *, variables: Mapping[str, str], **wanted: Unpack[Wanted]
) -> list[str]:
    """Return the command that starts a new conversation in Claude's background, under an id that it chooses.

    The variables go through `--settings`: the worker inherits the environment of whoever started Claude's
    supervisor first, be it another session (seen in 2.1.330). There is no `--bg --resume` here, because
    with any option beside it that starts a copy of the conversation; `attach_argv` resumes a stopped one.
    """
    settings = ["--settings", json.dumps({"env": dict(variables)})] if variables else []
    return [str(path), "--bg", *settings, *_options(can, wanted)]


def background_id(said: str) -> str | None:
    """Return the id out of what `--bg` prints: `backgrounded · 449e3ecd · name` in 2.1.330."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    match = re.search(r"\b(?:backgrounded\W+|attach )([0-9a-f]{8})\b", plain)
    return match[1] if match else None


def attach_argv(path: Path, job: str) -> list[str]:
    """Return the command that shows a background session in this terminal; a stopped one is resumed."""
    return [str(path), "attach", job]


def _options(can: Features, wanted: Wanted) -> list[str]:
    plugin, prompt, permission = wanted.get("plugin_dir"), wanted.get("prompt"), wanted.get("permission")
    options = {
        "--name": wanted.get("name"),
        "--plugin-dir": str(plugin) if plugin else None,
        "--append-system-prompt": wanted.get("focus"),
        # `manual` is the newer name; only `default` is known to old and new
        "--permission-mode": "default" if permission == "manual" else permission,
    }
    known = ((option, value) for option, value in options.items() if value and can.has(option))
    behind = ["--", prompt] if prompt else []  # a prompt may start with a dash
    return [*(word for pair in known for word in pair), *behind]


# -- the plugin ------------------------------------------------------------------------------------


def install_plugin(target_dir: Path, name: str, *, notice: Sequence[str] = ()) -> Path:
    """Copy the plugin to `target_dir/<digest>/`, its hooks set to report as `name`; return that directory.

    `notice` are the words that have a hook tell the human by Claude's own terminal (hooks/claude/notice.py).

    The digest is of the content, the name, the place and the interpreter: an upgrade makes a new directory
    beside the old one, which running Claudes go on using. A directory that is there is never changed; of two
    at once, one wins.
    """
    import hashlib
    import shutil
    import tempfile  # the three cost 10 ms, and the registry, which every list reads, needs none of them

    source = assets.hooks_dir() / "claude"
    contents = {file: (source / file).read_bytes() for file in PLUGIN_FILES}
    python = os.path.realpath(sys.executable)  # the base interpreter: the hooks survive a removed environment
    made_of = repr((name, notice, python, str(target_dir), sorted(contents.items())))
    target = target_dir / hashlib.sha256(made_of.encode()).hexdigest()[:16]
    if target.is_dir():
        return target
    values = {
        "{session}": shlex.quote(name),
        "{python}": shlex.quote(python),
        "{plugin}": shlex.quote(str(target)),
        "{notice}": "".join(f" {shlex.quote(word)}" for word in notice),
    }
    contents["hooks/hooks.json"] = _filled_in(contents["hooks/hooks.json"], values)
    target_dir.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".plugin-", dir=target_dir))
    try:
        for file, content in contents.items():
            (temporary / file).parent.mkdir(parents=True, exist_ok=True)
            (temporary / file).write_bytes(content)
        temporary.chmod(0o755)
        os.rename(temporary, target)
    except OSError:
        if not target.is_dir():  # else another was faster, and its directory is the same
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _filled_in(template: bytes, values: Mapping[str, str]) -> bytes:
    """Put the values, each as a shell reads it, into the commands of hooks.json."""
    places = re.compile("|".join(map(re.escape, values)))
    hooks: dict[str, Any] = json.loads(template)
    for matchers in hooks["hooks"].values():
        for hook in (hook for matcher in matchers for hook in matcher["hooks"]):
            hook["command"] = places.sub(lambda place: values[place[0]], hook["command"])
    return (json.dumps(hooks, indent=1) + "\n").encode()


# -- what it keeps ---------------------------------------------------------------------------------


def config_dir() -> Path:
    """Return Claude's configuration directory: CLAUDE_CONFIG_DIR, else ~/.claude."""
    return Path(environment.variable("CLAUDE_CONFIG_DIR") or os.path.expanduser("~/.claude"))


def registry(directory: Path) -> list[Registered]:
    """Read `<config dir>/sessions/<pid>.json`, one file for each running Claude.

    Seen in 2.1.197 and 2.1.330 and documented by its existence only, so whatever is odd is passed over. A
    file stays behind after kill -9, and a Claude that has not been trusted with its directory has none: the
    caller asks whether the process lives. The file's own name counts as the pid.
    """
    files = sorted((directory / "sessions").glob("*.json"))
    found = [_registered(int(file.stem), file) for file in files if re.fullmatch(r"[0-9]{1,10}", file.stem)]
    return [entry for entry in found if entry is not None]


def registered(directory: Path, pid: int) -> Registered | None:
    """Read the registry's file of one process, None when there is none; the caller asks whether it lives."""
    return _registered(pid, registry_file(directory, pid))


def registry_file(directory: Path, pid: int) -> Path:
    """Return where a process registers itself."""
    return directory / "sessions" / f"{pid}.json"


def _registered(pid: int, file: Path) -> Registered | None:
    try:
        entry = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return _entry(pid, entry)


def _entry(pid: int, entry: Any) -> Registered | None:
    """Return what one row tells; None when it lacks what makes it one."""
    if not isinstance(entry, dict) or type(pid) is not int:
        return None
    conversation, cwd = entry.get("sessionId"), entry.get("cwd")
    if not isinstance(conversation, str) or not isinstance(cwd, str):
        return None

    def text(key: str) -> str | None:
        value = entry.get(key)
        return value if isinstance(value, str) and value else None

    return Registered(
        pid=pid,
        conversation=conversation,
        cwd=Path(cwd),
        status=text("status"),
        waiting_for=text("waitingFor"),
        started=text("procStart"),
        name=text("name"),
        version=text("version"),
        job=text("jobId"),
        updated=told_time(entry.get("updatedAt"), ticks=1000),
    )


def agents(path: Path, config: str | None) -> list[Registered]:
    """Ask Claude which sessions run: `claude agents --json`, its documented face of the registry (0.3 to 1.5 s).

    `config` is the configuration directory to ask about. Nothing is returned when this version can't be asked.
    """
    env = environment.for_session({"CLAUDE_CONFIG_DIR": config} if config else {})
    done = processes.run([str(path), "agents", "--json"], env=env, timeout=AGENTS_SECONDS)
    try:
        rows = json.loads(done.out)
        return [e for row in rows if (e := _entry(row["pid"], row)) is not None]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []


def is_held_in(directory: Path, conversation: str, worktree: Path) -> bool | None:
    """Return whether a conversation was held in this worktree; None when it was not held at all.

    Claude keeps it below a name made of the worktree's real path, every other character a dash, cut at 200.
    """
    transcript = _transcript(directory, conversation)
    if transcript is None:
        return None
    project = re.sub(r"[^A-Za-z0-9]", "-", os.path.realpath(worktree))
    held_in = transcript.parent.name
    return (
        held_in == project
        if len(project) <= LONGEST_PROJECT
        else held_in.startswith(project[:LONGEST_PROJECT])
    )


def conversation(directory: Path, wanted: str) -> Conversation:
    """Return what became of a conversation's id below a config directory."""
    transcript = _transcript(directory, wanted)
    if transcript is None:
        return Conversation.UNUSED
    try:
        with transcript.open("rb") as lines:
            has_prompt = any(b'"type":"user"' in line for line in lines)
    except OSError:
        return Conversation.HELD  # unknown: Claude will say
    return Conversation.HELD if has_prompt else Conversation.SPENT


def _transcript(directory: Path, conversation: str) -> Path | None:
    """Return the file of a conversation; every project is searched, since long names of projects are cut and hashed."""
    if not CONVERSATION_ID.fullmatch(conversation):
        return None
    return next((directory / "projects").glob(f"*/{conversation}.jsonl"), None)
