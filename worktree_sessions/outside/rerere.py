"""Resolutions that git has recorded (rerere), used again for a merge in the object store.

`git merge-tree` asks rerere nothing. So the conflict is laid out once more as `git merge` would leave it: its stages
in an index, its marked files in a directory, both in a repository of their own that borrows the objects. There
`git rerere` looks into a copy of the recorded resolutions, so that asking records nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from worktree_sessions.outside import merging
from worktree_sessions.outside.git import Git, Oid
from worktree_sessions.outside.merging import Layout, Place

REUSE = (
    "-c",
    "rerere.enabled=true",
    "-c",
    "rerere.autoupdate=true",
    "-c",
    "core.hooksPath=/dev/null",
    "rerere",
)


def resolve(git: Git, place: Place, ours: Oid, theirs: Oid) -> Oid | None:
    """Return the tree of a merge in which each conflict is resolved as it was before; None unless all of them are.

    Raises WtsError when git can't tell.
    """
    recorded = Path(git.line("rev-parse", "--path-format=absolute", "--git-path", "rr-cache"))
    if not recorded.is_dir():
        return None
    layout = merging.layout(git, place, ours, theirs)
    if layout is None:
        return None
    with tempfile.TemporaryDirectory(prefix="wts-rerere-", ignore_cleanup_errors=True) as directory:
        there = _lay_out(git, place, layout, Path(directory))
        shutil.copytree(recorded, Path(directory, "git", "rr-cache"))
        there.run(*REUSE)
        if there.run("ls-files", "--unmerged", "-z"):
            return None
        return Oid(there.line("write-tree"))


def _lay_out(git: Git, place: Place, layout: Layout, directory: Path) -> Git:
    """Make the repository with the conflict open in it, and return git there."""
    objects = merging.objects_of(git)
    admin, top = directory / "git", directory / "files"
    shutil.copytree(place.directory, top)
    git.at(directory).run(
        "init", "--quiet", "--bare", f"--object-format={_format(layout.tree)}", "--", str(admin)
    )
    there = git.at(top, {**objects, "GIT_DIR": str(admin), "GIT_WORK_TREE": str(top)})
    there.run("read-tree", layout.tree)
    paths = b"".join(os.fsencode(path) + b"\0" for path in layout.paths)
    there.run("checkout-index", "-f", "-q", "-z", "--stdin", stdin=paths)  # with their modes and line ends
    merging.put_stages(there, layout.stages)
    (admin / "MERGE_RR").write_bytes(b"")
    return there


def _format(oid: Oid) -> str:
    return "sha1" if len(oid) == 40 else "sha256"
