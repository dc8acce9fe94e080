"""The one home of `os.environ`: what a child process may inherit, and what it must not.

A `GIT_DIR` that leaks from a hook into our own git calls would make us work on the wrong repository; Claude's
own markers that leak into a new Claude cost it its transcript and its registry file. Both are dropped here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# `git rev-parse --local-env-vars` (git 2.39), minus GIT_CONFIG_PARAMETERS and GIT_CONFIG_COUNT: those carry
# the user's own `git -c`, which we honour, and point at no repository.
REPOSITORY_VARIABLES = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_CONFIG",
        "GIT_OBJECT_DIRECTORY",
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_GRAFT_FILE",
        "GIT_INDEX_FILE",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_REPLACE_REF_BASE",
        "GIT_PREFIX",
        "GIT_SHALLOW_FILE",
        "GIT_COMMON_DIR",
        "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_NAMESPACE",
        "GIT_QUARANTINE_PATH",
    }
)

# git never opens an editor, a pager or a prompt from us, and its reads take no lock.
QUIET_GIT = {
    "GIT_EDITOR": "false",
    "GIT_SEQUENCE_EDITOR": "false",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C.UTF-8",
    "LANGUAGE": "",
    "WTS_QUIET": "1",  # our own git hooks have nothing to tell us
}

# Markers of a running Claude, which a new one must not inherit (docs/claude.md).
CLAUDE_MARKERS = frozenset(
    {
        "CLAUDECODE",
        "CLAUDE_PID",
        "CLAUDE_PROJECT_DIR",
        "CLAUDE_PLUGIN_ROOT",
        "CLAUDE_ENV_FILE",
        "CLAUDE_EFFORT",
        "CLAUDE_CODE_CHILD_SESSION",
        "CLAUDE_CODE_SESSION_ID",
        "CLAUDE_CODE_ENTRYPOINT",
        "CLAUDE_CODE_SESSION_ATTENDED",
        "CLAUDE_CODE_CHILD_NOTES_DIR",
    }
)
CLAUDE_MARKER_PREFIXES = ("CLAUDE_CODE_MESSAGING_",)


def variable(name: str) -> str | None:
    """Return the variable's value, or None when it is unset or empty."""
    return os.environ.get(name) or None


def variables(prefix: str) -> dict[str, str]:
    """Return the variables whose name starts with `prefix`."""
    return {key: value for key, value in os.environ.items() if key.startswith(prefix)}


def home() -> Path:
    """Return the user's home directory."""
    return Path.home()


def user_directory(name: str, fallback: str) -> Path:
    """Return wts's own directory below an XDG base directory; a relative one counts as unset, as XDG says."""
    base = os.environ.get(name, "")
    return (Path(base) if os.path.isabs(base) else home() / fallback) / "wts"


def inherited() -> dict[str, str]:
    """Return our own environment, for a child that is to see just what we see."""
    return dict(os.environ)


def for_git(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a git child whose directory we chose."""
    env = {key: value for key, value in os.environ.items() if key not in REPOSITORY_VARIABLES}
    env.update(QUIET_GIT)
    env.update(extra or {})
    return env


def for_session(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of what runs inside a session: Claude, set-up commands, tests.

    Repository variables, Claude's markers and an inherited virtual environment (its `bin` on PATH too) belong
    to where wts was started, not to the session.
    """
    env = {
        key: value
        for key, value in os.environ.items()
        if key not in REPOSITORY_VARIABLES
        and key not in CLAUDE_MARKERS
        and not key.startswith(CLAUDE_MARKER_PREFIXES)
        and not (key.startswith("WTS_") and key in SESSION_VARIABLES)
    }
    venv = env.pop("VIRTUAL_ENV", None)
    if venv:
        env.pop("VIRTUAL_ENV_PROMPT", None)
        bins = {os.path.join(venv, "bin"), os.path.join(venv, "Scripts")}
        env["PATH"] = os.pathsep.join(p for p in env.get("PATH", "").split(os.pathsep) if p not in bins)
    env.update(extra)
    return env


SESSION_VARIABLES = frozenset(
    {
        "WTS_SESSION",
        "WTS_NUMBER",
        "WTS_FEATURE",
        "WTS_BRANCH",
        "WTS_PARENT",
        "WTS_WORKTREE",
        "WTS_MAIN",
    }
)
