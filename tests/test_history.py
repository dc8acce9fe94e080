"""Commits as reports tell of them: the same from GitPython and from git itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.repos import Repo
from worktree_sessions.outside.git import Git, Oid
from worktree_sessions.outside.history import describe


@pytest.mark.parametrize("kind", ["sha1", "sha256"])  # GitPython can't read the second
def test_commits_are_described_in_their_order(tmp_path: Path, kind: str) -> None:
    repo = Repo.create(tmp_path / "repo", f"--object-format={kind}")
    oids = [Oid(repo.commit("file", f"{number}\n", f"number {number}\n\nmore")) for number in range(3)]
    told = describe(Git(repo.path), oids[::-1])
    assert [(one.oid, one.subject, one.author) for one in told] == [
        (oid, f"number {number}", "Ada Tester") for number, oid in zip((2, 1, 0), oids[::-1], strict=True)
    ]
