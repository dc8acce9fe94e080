"""What of a worktree no snapshot holds and no build makes again: it stays in the trash when the worktree goes.

That is what is ignored, unless a build or an install makes it, and every repository inside the worktree. Reads only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from worktree_sessions.outside import files
from worktree_sessions.outside.git import Git

# What only a build or an install makes, as long as no tracked file lies in it. Names that people use as well (build,
# dist, out, target, vendor) are not here: such a directory counts when it bears a mark of the tool that made it.
REBUILT = frozenset(
    {
        *("node_modules", "bower_components", ".next", ".nuxt", ".parcel-cache", ".turbo"),
        *("__pycache__", ".tox", ".nox", ".eggs", ".hypothesis"),
        *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".coverage", "htmlcov"),
        *(".gradle", ".DS_Store", "Thumbs.db"),
    }
)
REBUILT_ENDINGS = (".pyc", ".pyo", ".o", ".obj", ".class", ".egg-info", ".tsbuildinfo")

# Cargo and many others mark what they can make again (bford.info/cachedir); a virtual environment has its cfg.
MARKS = ("CACHEDIR.TAG", "pyvenv.cfg")


def paths(git: Git, top: Path, included: Mapping[str, str]) -> list[str]:
    """Return what has to be kept of the worktree at `top`; `included` is what was copied in, by its digest."""
    status = git.status(ignored=True)
    tracked = _directories(git.fields("ls-files", "-z"))
    marked = _marked(status.ignored)
    ignored = [
        path
        for path in status.ignored
        if not _is_rebuilt(path, tracked, marked) and not _is_as_included(top, path, included)
    ]
    submodules = [path for path in gitlinks(git, top) if not (top / path / ".git").is_dir()]
    inside = set(_repositories(top)) - set(submodules)
    return sorted({path.rstrip("/") for path in (*ignored, *status.submodules, *inside)})


def gitlinks(git: Git, top: Path) -> list[str]:
    """Return the paths of the repositories recorded in this one that are there, known as submodules or not."""
    rows = (row.split("\t", 1) for row in git.fields("ls-files", "-s", "-z"))
    return [
        path for facts, path in rows if facts.startswith("160000 ") and os.path.lexists(top / path / ".git")
    ]


def is_edited(path: Path, digest: str) -> bool:
    """Return whether a copied file is another by now; one that is not there can't be lost."""
    return os.path.lexists(path) and files.digest(path) != digest


def _directories(tracked: list[str]) -> frozenset[str]:
    return frozenset(str(parent) for path in tracked for parent in PurePosixPath(path).parents)


def _marked(ignored: Iterable[str]) -> frozenset[str]:
    """Return the directories that bear the mark of a tool, itself an ignored file there."""
    return frozenset(str(PurePosixPath(path).parent) for path in ignored if PurePosixPath(path).name in MARKS)


def _is_rebuilt(path: str, tracked: frozenset[str], marked: frozenset[str]) -> bool:
    found = PurePosixPath(path)
    return any(
        place.name in REBUILT or place.name.endswith(REBUILT_ENDINGS) or str(place) in marked
        for place in (found, *found.parents)
        if str(place) not in tracked
    )


def _is_as_included(top: Path, path: str, included: Mapping[str, str]) -> bool:
    digest = included.get(path)
    return digest is not None and not is_edited(top / path, digest)


def _repositories(top: Path) -> Iterator[str]:
    """Yield the repositories inside, ignored ones and those in tracked directories too, which no status names."""
    for folder, folders, names in os.walk(top):
        if Path(folder) != top and ".git" in (*folders, *names):
            folders.clear()
            yield str(Path(folder).relative_to(top))
