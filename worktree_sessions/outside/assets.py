"""Where the files lie that wts carries for others: git hooks and Claude plugin in `hooks/`, and `assets/`."""

from __future__ import annotations

from pathlib import Path

from worktree_sessions.errors import WtsError


def hooks_dir() -> Path:
    """Return the directory of the hooks: `hooks/` of a checkout, `worktree_sessions/_hooks` of the wheel."""
    package = Path(__file__).resolve().parent.parent
    for candidate in (package / "_hooks", package.parent / "hooks"):
        if (candidate / "claude" / "event.py").is_file():
            return candidate
    raise WtsError("no-hooks", f"the hooks of wts are missing beside {package}", hint="install wts again")


def carried(name: str) -> Path:
    """Return a file of `worktree_sessions/assets`: shell code, the scripted agent of the demo."""
    return Path(__file__).resolve().parent.parent / "assets" / name
