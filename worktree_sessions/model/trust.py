"""Which commands of a repository the user has approved, to the byte.

The approvals lie in the user's own state directory and never in the repository: what works in there could
write them itself. An approval holds for one repository and, setting by setting, one exact list of commands; any
other asks again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.errors import WtsError
from worktree_sessions.model.settings import Layer, Origins, Settings
from worktree_sessions.outside import environment
from worktree_sessions.outside.files import replace_file

COMMAND_KEYS = ("setup.run", "merge.test")
SCHEMA = 1


class Command(NamedTuple):
    """A command text, and the setting that asks for it."""

    key: str
    text: str


def repository_commands(
    settings: Settings, origins: Origins, keys: Sequence[str] = COMMAND_KEYS
) -> tuple[Command, ...]:
    """Return, in order, the commands of these settings that would run because the repository says so."""
    return tuple(
        Command(key, text)
        for key in keys
        if origins[key].layer is Layer.REPOSITORY
        for text in _texts(settings.get(key))
    )


def fingerprint(commands: Sequence[Command]) -> str:
    """Return the sha256 of the exact texts with their keys, in their order."""
    return hashlib.sha256(json.dumps([list(command) for command in commands]).encode()).hexdigest()


def _fingerprints(commands: Sequence[Command]) -> set[str]:
    """Return one for each setting: a test command that is new takes no approval from the set-up."""
    keys = {command.key for command in commands}
    return {fingerprint([command for command in commands if command.key == key]) for key in keys}


def trust_file() -> Path:
    """Return where the approvals are kept."""
    return environment.user_directory("XDG_STATE_HOME", ".local/state") / "trust.json"


def is_trusted(common_dir: Path, commands: Sequence[Command]) -> bool:
    """Return whether exactly these commands were approved for this repository; none need no approval."""
    return not commands or _fingerprints(commands) <= set(_load_approvals().get(_repository(common_dir), []))


def approve(common_dir: Path, commands: Sequence[Command]) -> None:
    """Approve exactly these commands for this repository; what was approved for it before stays approved."""
    with _changing() as approvals:
        known = approvals.setdefault(_repository(common_dir), [])
        known.extend(sorted(_fingerprints(commands).difference(known)))


def revoke(common_dir: Path) -> bool:
    """Withdraw every approval for this repository; return whether there was one."""
    with _changing() as approvals:
        return bool(approvals.pop(_repository(common_dir), []))


@contextlib.contextmanager
def _changing() -> Iterator[dict[str, list[str]]]:
    """Load the approvals, and save them as the caller left them, under a lock of their own."""
    from filelock import FileLock, Timeout  # 46 ms

    path = trust_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path.with_suffix(".lock"), timeout=10):
            approvals = _load_approvals()
            yield approvals
            record = {"schema": SCHEMA, "approved": approvals}
            replace_file(path, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode(), mode=0o600)
    except Timeout:
        raise WtsError("busy", f"another wts changes {path}", hint="wait for it and try again") from None
    except OSError as error:
        raise WtsError("trust-failed", f"{path} can't be written: {error.strerror}") from error


def _load_approvals() -> dict[str, list[str]]:
    """Return the fingerprints by repository. An unreadable file is an error: it is not an empty one."""
    path = trust_file()
    try:
        approved = json.loads(path.read_bytes())["approved"]
        return {str(repository): [str(mark) for mark in marks] for repository, marks in approved.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise WtsError("bad-trust", f"{path} can't be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WtsError(
            "bad-trust", f"{path} is not a list of approvals", hint=f"move it away: mv {path} {path}.bad"
        ) from error


def _repository(common_dir: Path) -> str:
    return os.path.realpath(common_dir)


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    return (value,) if isinstance(value, str) and value else ()
