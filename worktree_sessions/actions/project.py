"""The repository we are in, with its sessions' store and its settings: what every action is handed first."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worktree_sessions.outside.git import Git, Repository, Worktree, at_top, find_repository

if TYPE_CHECKING:
    from worktree_sessions.model.session import Session
    from worktree_sessions.model.settings import Loaded, Origins, Settings


SCRATCH_MARK = "wts-scratch"  # a file in git's own directory of a scratch worktree


class Project:
    """One repository. The settings are read when they are first asked for: `list` and `path` do without (6 ms)."""

    def __init__(self, repository: Repository, here: Path, flags: Mapping[str, Any]) -> None:
        from worktree_sessions.model.store import Store

        self.repository = repository
        self.store = Store(repository.common_dir)
        self.here = here
        self.flags = flags

    @cached_property
    def main(self) -> Path | None:
        """The main worktree's top, None when the repository is bare."""
        return _main_worktree(self.repository)

    @cached_property
    def _loaded(self) -> Loaded:
        from worktree_sessions.model.settings import load_settings

        return load_settings(self.main, self.git, dict(self.flags))

    @property
    def settings(self) -> Settings:
        return self._loaded.settings

    @property
    def origins(self) -> Origins:
        """Where each setting came from."""
        return self._loaded.origins

    @property
    def git(self) -> Git:
        """git at the shared git directory, a place that outlives every session."""
        return self.repository.git

    @property
    def home(self) -> Path:
        """The directory that stands for the project: the main worktree, or the bare repository."""
        return self.main or self.repository.common_dir

    @property
    def name(self) -> str:
        """The project's name, from its directory."""
        from worktree_sessions.model.settings import repository_name

        return repository_name(self.home)

    def git_at(self, session: Session) -> Git:
        """git in a session's worktree."""
        return at_top(session.worktree)


def open_project(directory: Path, flags: Mapping[str, Any] | None = None) -> Project:
    """Return the project that holds `directory`; raise WtsError outside of a repository."""
    repository = find_repository(directory, _import_store)
    return Project(repository, directory.resolve(), dict(flags or {}))


def _import_store() -> None:
    """Import what everybody asks for next: it costs nothing while git runs."""
    import worktree_sessions.model.names
    import worktree_sessions.model.store  # noqa: F401


def _main_worktree(repository: Repository) -> Path | None:
    """The main worktree's top, without a call where the answer is plain: we stand in it."""
    if repository.top is not None and repository.git_dir == repository.common_dir:
        return repository.top
    first = repository.git.worktrees()[0]
    return None if first.bare else first.path


def registered(project: Project) -> dict[Path, Worktree]:
    """Return the repository's linked worktrees by path."""
    return {row.path: row for row in project.git.worktrees()[1:]}


def scratch_worktrees(project: Project) -> set[Path]:
    """Return the worktrees in which `merge-ready` tests: they are neither sessions nor anybody else's."""
    found = set()
    for mark in project.repository.common_dir.glob(f"worktrees/*/{SCRATCH_MARK}"):
        gitfile = os.fsdecode((mark.parent / "gitdir").read_bytes()).removesuffix("\n")
        found.add(Path(os.path.normpath(mark.parent / gitfile)).parent)  # git 2.48 may write it relative
    return found
