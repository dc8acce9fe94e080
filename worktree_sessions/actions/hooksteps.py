"""The steps of installing git hooks: a file written, moved or removed, a key of the repository's config.

Each looks before it acts: what is there must be what the plan saw, or what an interrupted run of the same
step left.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable
from pathlib import Path

from worktree_sessions.actions.project import Project
from worktree_sessions.errors import WtsError
from worktree_sessions.model.operation import Args, Step
from worktree_sessions.outside import files

EXECUTABLE = 0o755


def write_file(
    path: Path, content: bytes, *, before: bytes | None, says: str, mode: int = EXECUTABLE
) -> Step:
    """Give a script its content; `before` is what is there now, None for nothing."""
    args = {"path": str(path), "content": _pack(content), "before": _pack(before), "mode": mode}
    return Step("write-script", says, args)


def _do_write(_: Project, args: Args) -> None:
    path, content = Path(args["path"]), _unpack(args["content"])
    assert content is not None  # `write_file` takes no None
    if not _is_done(path, content, _unpack(args["before"])):
        files.replace_file(path, content, mode=args["mode"])


def _undo_write(_: Project, args: Args) -> None:
    path, before = Path(args["path"]), _unpack(args["before"])
    if read(path) != _unpack(args["content"]):
        return
    if before is None:
        path.unlink()
    else:
        files.replace_file(path, before, mode=args["mode"])


def remove_file(path: Path, *, before: bytes, says: str) -> Step:
    """Remove a script of ours that still reads `before`."""
    mode = stat.S_IMODE(path.stat().st_mode)
    return Step("remove-script", says, {"path": str(path), "before": _pack(before), "mode": mode})


def _do_remove(_: Project, args: Args) -> None:
    path = Path(args["path"])
    if not _is_done(path, None, _unpack(args["before"])):
        path.unlink()


def _undo_remove(_: Project, args: Args) -> None:
    path, before = Path(args["path"]), _unpack(args["before"])
    if before is not None and not os.path.lexists(path):
        files.replace_file(path, before, mode=args["mode"])


def move_file(source: Path, target: Path, says: str) -> Step:
    """Rename a file (a link stays the link it is); never onto another."""
    return Step("move-hook", says, {"source": str(source), "target": str(target)})


def _do_move(_: Project, args: Args) -> None:
    _rename(Path(args["source"]), Path(args["target"]))


def _undo_move(_: Project, args: Args) -> None:
    source, target = Path(args["source"]), Path(args["target"])
    if os.path.lexists(target) and not os.path.lexists(source):
        os.rename(target, source)


def _rename(source: Path, target: Path) -> None:
    if not os.path.lexists(source) and os.path.lexists(target):
        return  # done before a crash
    if os.path.lexists(target):
        raise WtsError("file-changed", f"{target} has come into being meanwhile", hint="wts hooks status")
    os.rename(source, target)


def set_config(key: str, *, value: str | None, before: str | None, says: str) -> Step:
    """Set one key of the repository's own configuration, or unset it (None)."""
    return Step("set-config", says, {"key": key, "value": value, "before": before})


def _do_config(project: Project, args: Args) -> None:
    _write_config(project, args["key"], args["value"])


def _undo_config(project: Project, args: Args) -> None:
    _write_config(project, args["key"], args["before"])


def _write_config(project: Project, key: str, value: str | None) -> None:
    if ask_config(project, key) == value:
        return
    if value is None:
        project.git.run("config", "--local", "--unset-all", key)
    else:
        project.git.run("config", "--local", "--replace-all", key, value)


def ask_config(project: Project, key: str) -> str | None:
    """Return the value of a key in the repository's own configuration."""
    done = project.git.ask("config", "--local", "--get", key)
    return os.fsdecode(done.out).removesuffix("\n") if done.status == 0 else None


def read(path: Path) -> bytes | None:
    """Return what a regular file holds; None for nothing, a link or a directory."""
    try:
        return path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else None
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_done(path: Path, after: bytes | None, before: bytes | None) -> bool:
    found = read(path)
    if found is None and os.path.lexists(path):
        raise WtsError("file-changed", f"{path} is no regular file any more", hint="wts hooks status")
    if found == after:
        return True
    if found != before:
        raise WtsError("file-changed", f"{path} was changed meanwhile", hint="wts hooks status")
    return False


def _pack(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def _unpack(packed: str | None) -> bytes | None:
    return None if packed is None else base64.b64decode(packed)


KINDS: dict[str, tuple[Callable[[Project, Args], None], Callable[[Project, Args], None]]] = {
    "write-script": (_do_write, _undo_write),
    "remove-script": (_do_remove, _undo_remove),
    "move-hook": (_do_move, _undo_move),
    "set-config": (_do_config, _undo_config),
}
