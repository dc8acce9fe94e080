"""Worktrees as commits: their files as they are, untracked ones too and ignored ones not.

Index and files are only read, and git's own locks don't matter: everything happens on a copy of the index, with its
stat data and time, so that git needn't read every file again. It goes by git's own rules (`add --all`): clean filters
run, as they would at the commit. The same files on the same HEAD are always the same commit.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.outside import processes
from worktree_sessions.outside.git import NOBODY, Git, Oid, at_top

PLAIN = (
    "core.hooksPath=/dev/null",  # no hook of the repository runs
    "core.fsmonitor=false",  # no daemon is asked or started
    "core.splitIndex=false",  # the copy stands alone
    "core.safecrlf=false",
    "advice.addEmbeddedRepo=false",
)
SETTINGS = tuple(word for setting in PLAIN for word in ("-c", setting))
ADD = (*SETTINGS, "add", "--all", "--sparse", "--ignore-errors")
WRITE = (*SETTINGS, "write-tree", "--missing-ok")


class Work(NamedTuple):
    """A worktree with uncommitted work: its top, and the commit it stands on."""

    top: Path
    head: Oid


class Taken(NamedTuple):
    """A worktree as a commit. Where git could not make one (`is_whole` is false) it is HEAD; `note` says why.

    A whole one with a note lacks what git can't hold.
    """

    commit: Oid
    is_whole: bool = True
    note: str | None = None


@dataclass(slots=True)
class _Row:
    """A worktree on its way to a commit: `said` is what git answered last, `failed` why it went no further."""

    work: Work
    git: Git
    said: str = ""
    note: str | None = None
    failed: str | None = None

    def taken(self) -> Taken:
        if self.failed is not None:
            return Taken(self.work.head, is_whole=False, note=self.failed)
        return Taken(Oid(self.said), note=self.note)


def take_all(git: Git, works: Sequence[Work]) -> list[Taken]:
    """Make the commits, with their objects where those of `git` go. Several worktrees are read at once."""
    kept = git.chosen("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")
    rows = [_Row(work, at_top(work.top).with_env(**kept, **NOBODY)) for work in works]
    with ExitStack() as stack:
        _ask(rows, lambda _: ("rev-parse", "--absolute-git-dir"))
        for row in rows:
            if row.failed is None:
                index = stack.enter_context(private_index(Path(row.said)))
                row.git = row.git.with_env(GIT_INDEX_FILE=str(index))
        _ask(rows, lambda _: ADD)
        _ask(rows, lambda _: WRITE)
        _ask(rows, lambda row: ("commit-tree", row.said, "-p", row.work.head, "-m", "wts: as it is now"))
    return [row.taken() for row in rows]


def _ask(rows: Sequence[_Row], words: Callable[[_Row], tuple[str, ...]]) -> None:
    """Run git for each worktree that came so far; what `add` can't hold is noted, any other failure is the end."""
    going = [row for row in rows if row.failed is None]
    for row, done in zip(going, processes.run_all([row.git.call(words(row)) for row in going]), strict=True):
        row.said = os.fsdecode(done.out).removesuffix("\n")
        if done.status:
            told = done.err.decode("utf-8", "replace").strip().splitlines() or [f"exit status {done.status}"]
            reason = told[-1].removeprefix("fatal: ").removeprefix("error: ")
            if done.status == 1 and words(row) == ADD:
                row.note = f"left out: {reason}"
            else:
                row.failed = f"only what is committed is compared: {reason}"


@contextmanager
def private_index(admin: Path) -> Iterator[Path]:
    """A copy of a worktree's index, stat data and time included, so that git needn't hash every file again."""
    with tempfile.TemporaryDirectory(prefix="wts-") as scratch:
        copy = Path(scratch, "index")
        with suppress(FileNotFoundError), (admin / "index").open("rb") as source:
            copy.write_bytes(source.read())
            found = os.fstat(source.fileno())
            os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))
        yield copy
