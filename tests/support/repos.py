"""Real repositories for tests, driven by git itself and by nothing of the product."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class Repo:
    """A real repository (or one of its worktrees) in a directory of its own.

    Its methods run git as a user would type it. They know nothing of wts, so that they can judge it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, *init_options: str) -> Repo:
        """Make a repository without any commit: `Repo.create(path, "--bare")`."""
        path.mkdir(parents=True, exist_ok=True)
        repo = cls(path)
        repo.git("init", "--quiet", *init_options)
        return repo

    def git(self, *args: str, stdin: bytes = b"") -> str:
        """Run git here, fail the test unless it succeeds, return stdout without its final newline."""
        done = subprocess.run(["git", *args], cwd=self.path, input=stdin, capture_output=True, check=False)
        words = os.fsdecode(done.stderr)
        assert done.returncode == 0, f"git {' '.join(args)} in {self.path}: {done.returncode}\n{words}"
        return os.fsdecode(done.stdout).removesuffix("\n")

    def write(self, path: str, content: str | bytes) -> Path:
        """Give a file content, with the directories it needs; return its path."""
        file = self.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def commit(self, path: str, content: str | bytes, message: str) -> str:
        """Write a file and commit it, and nothing else; return the commit."""
        self.write(path, content)
        self.git("add", "--force", "--", path)
        self.git("commit", "--quiet", "--message", message, "--only", "--", path)
        return self.tip("HEAD")

    def branch(self, name: str, start: str = "HEAD") -> str:
        """Create a branch without checking it out; return its tip."""
        self.git("branch", "--no-track", name, start)
        return self.tip(f"refs/heads/{name}")

    def tip(self, ref: str) -> str:
        """Return the commit a ref or revision names."""
        return self.git("rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}")

    def worktree(self, name: str, start: str = "HEAD") -> Repo:
        """Add a linked worktree beside this one, on a new branch of the same name; return it."""
        place = self.path.parent / name
        self.git("worktree", "add", "--quiet", "--no-track", "-b", name, str(place), start)
        return Repo(place)
