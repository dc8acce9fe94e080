"""The scratch worktree of a feature, where what comes home together is tested. It is no session.

It lies beside the sessions and is set up like one. It stays between runs with what git ignores, so that dependencies
and build results are made once; what a test left behind otherwise is removed. Who uses it holds its lock.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from worktree_sessions.actions import setup, steps
from worktree_sessions.actions.project import SCRATCH_MARK, Project, registered
from worktree_sessions.errors import Refused, WtsError
from worktree_sessions.model import trust
from worktree_sessions.model.words import quoted
from worktree_sessions.outside import environment, files, processes
from worktree_sessions.outside.git import NO_CACHES, Git, GitError, Oid, at_top, split_z
from worktree_sessions.outside.processes import Process

REASON = "wts merge-ready tests here"
CALM = (*NO_CACHES, "-c", "core.hooksPath=/dev/null", "-c", "submodule.recurse=false")
GIT_MAY_TAKE = 10.0  # seconds in which a git of ours that survived us lets go of the index

# Files that say what a set-up installs: when one of them is another, the set-up runs again.
MANIFESTS = (
    *("*.lock", "*-lock.*", "*.lockb", "go.sum", "npm-shrinkwrap.json", "Package.resolved"),
    *(
        "package.json",
        "composer.json",
        "requirements*.txt",
        "pyproject.toml",
        "setup.py",
        "setup.cfg",
        "Pipfile",
    ),
    *(
        "environment.y*ml",
        "go.mod",
        "Cargo.toml",
        "Gemfile",
        "*.gemspec",
        "pom.xml",
        "build.gradle*",
        "mix.exs",
    ),
    *("*.csproj", "Package.swift", "pubspec.yaml", ".gitmodules", ".tool-versions", ".npmrc"),
)
GITLINK = "160000"


class Failed(NamedTuple):
    """A set-up command that failed, and its status."""

    command: str
    status: int


class Scratch:
    """The scratch worktree of one feature; `place` keeps what wts must know of it when it is killed."""

    def __init__(self, project: Project, feature: str, place: Path, tell: Callable[[str], None]) -> None:
        self.path = project.settings.worktree_root(project.home).resolve() / f"merge-ready-{feature}"
        self._project = project
        self._running = place / "running.json"
        self._tell = tell
        self._git = at_top(self.path)

    # -- making and keeping it ----------------------------------------------------------------

    def open(self, start: Oid) -> None:
        """Make the worktree, or take up what is there, and lock it against `git worktree remove` and `prune`."""
        self._end_what_is_left()
        with self._explained("made"):
            if not self._is_there():
                self._make(start)
            if not (self._admin / "locked").exists():
                self._project.git.run("worktree", "lock", "--reason", REASON, "--", str(self.path))

    def close(self) -> None:
        """Take our lock off; one that the user has put on stays."""
        with contextlib.suppress(OSError, WtsError):
            if (self._admin / "locked").read_text().strip() == REASON:
                self._project.git.run("worktree", "unlock", "--", str(self.path))

    @property
    def _admin(self) -> Path:
        return steps.admin_of(self._project, self.path)

    def _is_there(self) -> bool:
        """Return whether the worktree can be used as it is; raise Refused when another one is in its place."""
        row = registered(self._project).get(self.path)
        if row is None:
            if os.path.lexists(self.path) and not (self.path.is_dir() and not os.listdir(self.path)):
                raise self._taken()
            return False
        if not (self._admin / SCRATCH_MARK).exists() and row.locked != REASON:
            raise self._taken()
        if (self.path / ".git").is_file():
            return True
        self._project.git.run("worktree", "remove", "--force", "--force", "--", str(self.path))
        return False

    def _taken(self) -> Refused:
        says = f"{self.path} is needed to test in, and something else is there"
        sessions = self._project.store.load_all()[0]
        if owner := next((one for one in sessions if one.worktree == self.path), None):
            cure = f"wts close {owner.number}"
            return Refused("scratch-taken", f"{says}: session {owner.name}", hint=cure, session=owner.name)
        return Refused("scratch-taken", says, hint=f"mv {quoted(self.path)} {quoted(self.path)}.found")

    def _make(self, start: Oid) -> None:
        self._tell(f"making the scratch worktree {self.path}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        add = ("worktree", "add", "--quiet", "--detach", "--no-checkout", "--lock", "--reason", REASON)
        self._project.git.run(*CALM, *add, "--", str(self.path), start)
        self._save({}, None)

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except (GitError, OSError) as error:
            reason = error.message if isinstance(error, GitError) else error.strerror
            raise WtsError(
                "scratch-failed",
                f"the scratch worktree {self.path} can't be {what}: {reason}",
                hint=f"see whether {self.path.parent} can be written and has room, or set worktree_dir",
            ) from error

    # -- what is in it ------------------------------------------------------------------------

    def check_out(self, commit: Oid) -> None:
        """Give it exactly the files of a commit; ignored ones stay, other leftovers go."""
        with self._explained("filled"):
            self._wait_for_index()
            self._clean()  # what the commit that was here does not ignore
            self._git.run(*CALM, "checkout", "--quiet", "--force", "--detach", commit)
            self._clean()  # and what this one does not

    @contextlib.contextmanager
    def merging(self, head: Oid, tip: Oid) -> Iterator[Git]:
        """Show what is checked out as a merge of `tip` into `head` that is not committed yet; gives git there."""
        mark = self._admin / "MERGE_HEAD"
        with self._explained("filled"):
            self._git.run(*CALM, "update-ref", "--no-deref", "HEAD", head)
            files.replace_file(mark, f"{tip}\n".encode())
        try:
            yield self._git
        finally:
            mark.unlink(missing_ok=True)

    def _clean(self, *words: str) -> None:
        self._git.run(*CALM, "--literal-pathspecs", "clean", "-ffdq", *words)

    def _wait_for_index(self) -> None:
        """Remove an index lock that a killed git has left; nobody but us works here."""
        lock, deadline = self._admin / "index.lock", time.monotonic() + GIT_MAY_TAKE
        while lock.exists() and processes.standing_in(self.path) and time.monotonic() < deadline:
            time.sleep(0.05)
        lock.unlink(missing_ok=True)

    def changed(self, commit: Oid) -> frozenset[str]:
        """Return the tracked files that are not as in the commit."""
        words = ("diff", "--name-only", "-z", "--no-ext-diff", "--no-renames", "--ignore-submodules=none")
        return frozenset(split_z(self._git.run(*NO_CACHES, *words, commit, "--")))

    # -- setting it up ------------------------------------------------------------------------

    def set_up(self, commit: Oid, variables: dict[str, str], log: IO[bytes]) -> Failed | None:
        """Copy the ignored files of `.worktreeinclude`, and run the approved set-up commands if that is due.

        It is when the worktree is new, when the last set-up failed, and when one of these is another than then: a
        command, a file that a command names, a copied file, a manifest of dependencies, a submodule's commit.
        """
        included, done = self._include()
        commands = self._commands()
        due = _digest([commands, included, self._depends_on(commit, commands)])
        if not commands or done == due:
            self._save(included, done)
            return None
        self._save(included, None)
        for command in commands:
            self._tell(f"set-up: {command}")
            status = self.run(command, variables, log, self._project.settings.setup_timeout)
            if status != 0:
                return Failed(command, status)
        self._save(included, due)
        return None

    def setup_digest(self) -> str:
        """Return what tells one way to set up from another: the commands, and the files that are copied."""
        main = self._project.main
        listed = setup.listed_files(main, self._project.git)
        return _digest([self._commands(), [(path, *_size_and_time(main / path)) for path in listed if main]])

    def is_approved(self) -> bool:
        """Return whether the set-up commands may run."""
        asked = trust.repository_commands(self._project.settings, self._project.origins, setup.SETUP)
        return trust.is_trusted(self._project.repository.common_dir, asked)

    def _commands(self) -> tuple[str, ...]:
        return self._project.settings.setup_run if self.is_approved() else ()

    def _include(self) -> tuple[dict[str, str], str | None]:
        """Return what was copied, and which set-up was done; a copy that a test or the user changed is made anew."""
        before, done = self._state()
        included = setup.include_files(self._project.main, self.path, self._project.git)
        if other := sorted(before.keys() - included.keys()):
            self._clean("-x", "--", *other)
            included = setup.include_files(self._project.main, self.path, self._project.git)
        return included, done

    def _depends_on(self, commit: Oid, commands: tuple[str, ...]) -> list[str]:
        named = {word.removeprefix("./") for command in commands for word in command.split()}
        manifest = re.compile("|".join(map(fnmatch.translate, MANIFESTS)))
        rows = self._git.fields("ls-tree", "-r", "-z", "--full-tree", commit) if commands else []
        return [row for row in rows if _decides(row, named, manifest)]

    def _state(self) -> tuple[dict[str, str], str | None]:
        """Return what was copied and which set-up was done, both nothing when that can't be known."""
        try:
            state = json.loads((self._admin / SCRATCH_MARK).read_bytes())
            return dict(state["included"]), state["setup"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}, None

    def _save(self, included: dict[str, str], done: str | None) -> None:
        content = json.dumps({"included": included, "setup": done})
        files.replace_file(self._admin / SCRATCH_MARK, content.encode())

    # -- running a command in it --------------------------------------------------------------

    def run(self, command: str, variables: dict[str, str], log: IO[bytes], timeout: float) -> int:
        """Run an approved command as in a session; what it leaves running in its group is ended, too.

        Raises WtsError when it has removed the worktree.
        """
        began: list[Process] = []

        def write_down(process: Process) -> None:
            began.append(process)
            files.replace_file(self._running, json.dumps(process).encode())

        env = environment.for_session(variables)
        try:
            status = setup.run_logged(
                command, cwd=self.path, env=env, log=log, timeout=timeout, began=write_down
            )
        finally:
            for process in began:
                processes.end_group(process.pid)
            self._running.unlink(missing_ok=True)
        if not (self.path / ".git").exists():
            raise WtsError(
                "scratch-gone",
                f"a command has removed the worktree that it ran in: {command}",
                hint=f"let it leave {self.path} in place",
            )
        return status

    def _end_what_is_left(self) -> None:
        """End the test of a wts that was killed: it would go on writing under ours."""
        try:
            pid, started = json.loads(self._running.read_bytes())
        except (OSError, ValueError, TypeError):
            return
        self._tell("ending a test that was left behind")
        processes.end_group_of(Process(int(pid), str(started)), self.path)
        self._running.unlink(missing_ok=True)


def _decides(row: str, named: set[str], manifest: re.Pattern[str]) -> bool:
    """Return whether a row of ls-tree is of a file that a set-up depends on."""
    facts, _, path = row.partition("\t")
    return facts.startswith(GITLINK) or path in named or bool(manifest.fullmatch(path.rpartition("/")[2]))


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        facts = path.lstat()
    except OSError:
        return 0, 0  # gone meanwhile
    return facts.st_size, facts.st_mtime_ns


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
