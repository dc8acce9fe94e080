"""GitPython's room: commits, authors and subjects, read through its object model where that earns its cost (85 ms).

Always `with Repo(...)`, results copied into our own types, errors translated once; plain git answers for the
repositories that GitPython can't read (SHA-256, reftable), with the same result.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import NamedTuple

from worktree_sessions.outside.git import Git, Oid


class Commit(NamedTuple):
    """One commit as a person would name it."""

    oid: Oid
    author: str
    when: datetime
    subject: str


def describe(git: Git, oids: Sequence[Oid]) -> list[Commit]:
    """Return the commits of the given ids, in their order."""
    if not oids:
        return []
    return _by_gitpython(git, oids) or _by_git(git, oids)


def _by_gitpython(git: Git, oids: Sequence[Oid]) -> list[Commit] | None:
    """None: this repository is one that GitPython can't read."""
    from git import Repo  # 85 ms and a child process
    from git.exc import GitError, ODBError

    try:
        with Repo(git.directory, search_parent_directories=True) as repo:
            return [_copy(repo.commit(oid)) for oid in oids]
    except (GitError, ODBError, ValueError, OSError, AssertionError):
        return None


def _copy(commit: object) -> Commit:
    from git import Commit as GitPythonCommit

    assert isinstance(commit, GitPythonCommit)
    message = commit.message if isinstance(commit.message, str) else commit.message.decode("utf-8", "replace")
    when = commit.committed_datetime.astimezone(timezone.utc)
    return Commit(Oid(commit.hexsha), str(commit.author.name), when, message.strip().split("\n")[0])


def _by_git(git: Git, oids: Sequence[Oid]) -> list[Commit]:
    rows = git.run(
        "-c",
        "log.showSignature=false",
        "log",
        "--no-walk=unsorted",
        "--stdin",
        "--format=%H%x00%an%x00%ct%x00%s",
        stdin="\n".join(oids).encode(),
    )
    commits = []
    for row in os.fsdecode(rows).splitlines():
        oid, author, when, subject = row.split("\0", 3)
        commits.append(Commit(Oid(oid), author, datetime.fromtimestamp(int(when), timezone.utc), subject))
    return commits
