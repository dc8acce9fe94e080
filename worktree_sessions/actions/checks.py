"""The checks of `wts doctor` on what wts stands on: git, Claude, the lock, the journals, the hooks, the disk.

None of them writes or takes a lock. What goes wrong in one is raised: `doctor` turns it into the finding `unknown`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path

from worktree_sessions.actions import githooks, operate
from worktree_sessions.actions.githooks import HookState
from worktree_sessions.actions.project import Project
from worktree_sessions.model import words
from worktree_sessions.model.operation import Operation
from worktree_sessions.model.problem import FIX, Problem, error, note, ok, warning
from worktree_sessions.model.words import quoted
from worktree_sessions.outside import claude, locks
from worktree_sessions.outside import git as git_room
from worktree_sessions.outside.files import size_of

OLDEST_CLAUDE = (2, 1, 162)  # the first whose registry tells what it waits for
USED_OPTIONS = (
    "--append-system-prompt",
    "--name",
    "--permission-mode",
    "--plugin-dir",
    "--resume",
    "--session-id",
)
LEFT_AFTER = 86400.0  # seconds
LOW_DISK = 500_000_000


def git_version(_: Project) -> list[Problem]:
    """git's version, and what each row of the table of versions switches on."""
    now = git_room.version()
    rows = git_room.FEATURES.values()
    brings = "; ".join(brings for since, brings, _ in rows if now >= since)
    later = [
        note("git-feature", f"with git {_dotted(since)}, {brings}; until then, {before}")
        for since, brings, before in rows
        if now < since
    ]
    return [ok("git", f"git {_dotted(now)}: {brings}"), *later]


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def claude_program(project: Project) -> list[Problem]:
    """Claude is there, new enough, and can do what is asked of it."""
    wanted = project.settings.claude
    program = claude.find(wanted)
    if program is None:
        tell = note if project.settings.start == "none" else warning
        cure = "npm install -g @anthropic-ai/claude-code"
        return [
            tell("no-claude", f"{wanted} was not found: sessions are made, but no Claude starts", cure=cure)
        ]
    version = claude.version(program)
    if version is None:
        return [
            warning("odd-claude", f"{program} does not tell its version", cure=f"{quoted(program)} --version")
        ]
    return [of_claude_version(program, version), *_missing_options(program)]


def of_claude_version(program: Path, version: str) -> Problem:
    """Return what there is to say about a version of Claude."""
    if tuple(int(part) for part in version.split(".")[:3]) >= OLDEST_CLAUDE:
        return ok("claude", f"Claude {version}, {program}")
    return warning(
        "old-claude",
        f"Claude {version} is older than {_dotted(OLDEST_CLAUDE)}: the states of sessions may be wrong",
        cure=f"{quoted(program)} update",
    )


def _missing_options(program: Path) -> list[Problem]:
    can = claude.features(program)
    missing = [option for option in USED_OPTIONS if not can.has(option)]
    return (
        [note("claude-options", f"this Claude lacks {', '.join(missing)}; it is left out")] if missing else []
    )


def claude_hooks(_: Project) -> list[Problem]:
    """The user's own settings let Claude's hooks run; they are read, never written."""
    file = claude.config_dir() / "settings.json"
    try:
        settings = json.loads(file.read_bytes())
    except FileNotFoundError:
        return []
    if not isinstance(settings, dict) or settings.get("disableAllHooks") is not True:
        return []
    says = f"disableAllHooks in {file} silences every hook: states then come from Claude's registry and process alone"
    return [note("hooks-off", says)]


# -- writers ---------------------------------------------------------------------------------------


def lock(project: Project) -> list[Problem]:
    """Nobody holds the writers' lock at this moment."""
    if not operate.is_busy(project):
        return []
    return [note("busy", f"another wts is at work: {locks.holder(project.store.lock_file)}")]


def operations(project: Project) -> list[Problem]:
    """No operation was left behind by a dead process; one whose process lives holds the lock."""
    left = operate.unfinished(project)
    if left and operate.is_busy(project):
        left = []
    set_aside = sorted((project.store.operations_dir / "running").glob("*.unreadable"))
    return [
        *(unfinished(operation) for operation in left),
        *(note("set-aside", f"an unreadable journal was set aside: {path}") for path in set_aside),
    ]


def unfinished(operation: Operation) -> Problem:
    """Return the finding for an interrupted operation."""
    plan = operation.plan
    what = f"{plan.verb} of {plan.session}" if plan.session else plan.verb
    done = f"{operation.begun} of {words.counted(len(plan.steps), 'step')}"
    return error(
        "unfinished", f"an interrupted {what} is half done ({done})", cure=FIX, session=plan.session or None
    )


def git_hooks(project: Project) -> list[Problem]:
    """The git hooks are as they were installed, or not installed at all."""
    hooks = githooks.status(project)
    states = {hook.state for hook in hooks.hooks}
    if hooks.is_installed and hooks.is_current:
        return [ok("git-hooks", "git hooks are installed")]
    if hooks.is_current is None and states <= {HookState.ABSENT, HookState.OTHER}:
        says = "git hooks that warn of unsaved work are not installed"
        return [note("git-hooks", says, cure="wts hooks install")]
    broken = [hook.event for hook in hooks.hooks if hook.state is not HookState.INSTALLED]
    says = (
        f"git hooks are not in their place: {', '.join(broken)}"
        if broken
        else "git hooks are of another version of wts"
    )
    return [warning("git-hooks", says, cure="wts hooks install")]


def leftovers(project: Project) -> list[Problem]:
    """Nothing half-written lies about from a crash."""
    return [of_leftover(path) for path in leftover_files(project)]


def of_leftover(path: Path) -> Problem:
    """Return the finding for a half-written file."""
    return note("leftover", f"a crash left {path}", cure=FIX)


# the siblings of `files.replace_file` and `claude.install_plugin`, as `tempfile` names them
_TEMPORARY = re.compile(r"\.(?:.+\.|plugin-)[a-z0-9_]{8}")


def leftover_files(project: Project) -> list[Path]:
    """Return what a crash left half-written more than a day ago; never below the trash, which is the user's."""
    root = project.store.root
    found = []
    for folder, folders, names in os.walk(root):
        if Path(folder) == root:
            folders[:] = [name for name in folders if name != project.store.trash_dir.name]
        for name in [*names, *folders]:
            path = Path(folder, name)
            if _TEMPORARY.fullmatch(name) and time.time() - path.lstat().st_mtime > LEFT_AFTER:
                found.append(path)
        folders[:] = [name for name in folders if not _TEMPORARY.fullmatch(name)]
    return sorted(found)


def trash(project: Project) -> list[Problem]:
    """How much lies in the trash: ignored files of closed sessions, what was half-made."""
    size = size_of(project.store.trash_dir) if project.store.trash_dir.is_dir() else 0
    if not size:
        return []
    says = f"the trash holds {words.size(size)}"
    return [note("trash", says, cure="wts restore --empty-trash")]


def disk(project: Project) -> list[Problem]:
    """There is room for snapshots and for worktrees."""
    root = project.settings.worktree_root(project.home)
    places = {_existing(root), project.repository.common_dir}
    frees = {place.stat().st_dev: (place, shutil.disk_usage(place).free) for place in sorted(places)}
    return [problem for place, free in frees.values() if (problem := of_free_space(place, free))]


def of_free_space(place: Path, free: int) -> Problem | None:
    """Return what there is to say about the room that is left on a disk, None when it is enough."""
    if free >= LOW_DISK:
        return None
    return warning(
        "disk-full", f"only {words.size(free)} are free at {place}", cure="wts restore --empty-trash"
    )


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.is_dir())
