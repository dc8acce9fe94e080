"""What makes a new worktree ready to work in: ignored files that it needs, and the commands of `setup.run`.

No command of the repository runs without the user's approval, no file of the worktree is overwritten, and
nothing is copied to outside of it. No lock is held while a command runs: `run_setup` takes the repository's
lock itself, for the moment of saving, so its caller must not hold it.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from worktree_sessions.actions.project import Project
from worktree_sessions.errors import WtsError
from worktree_sessions.model import trust
from worktree_sessions.model.session import Session, Setup
from worktree_sessions.model.store import Store
from worktree_sessions.outside import environment, files, locks, processes
from worktree_sessions.outside.git import Git, GitError, split_z

INCLUDE_FILE = ".worktreeinclude"
SETUP = ("setup.run",)  # the setting that asks for these commands


@dataclass(frozen=True, slots=True)
class SetupResult:
    """How a set-up went.

    `commands` are those that were asked for. `failed` is the one that stopped it, with its exit `code`
    (negative: a signal; -9 also when it took too long). `again` runs the set-up, once more or at last.
    """

    session: Session
    status: Setup
    commands: tuple[str, ...]
    again: str
    log: Path | None = None
    failed: str | None = None
    code: int = 0

    @property
    def message(self) -> str:
        """What happened, in one sentence."""
        if self.status is Setup.UNTRUSTED:
            return f"{self.session.name} is not set up: the commands of the repository are not approved"
        if self.status is Setup.FAILED:
            return f"set-up of {self.session.name} failed with status {self.code}: {self.failed}"
        if self.status is Setup.DONE:
            return f"{self.session.name} is set up"
        return f"{self.session.name} needs no set-up"


def include_files(main_top: Path | None, worktree: Path, git: Git) -> dict[str, str]:
    """Copy the ignored files that `.worktreeinclude` lists from the main worktree; return the sha256 of each.

    A file comes along when it matches the list and is ignored in both worktrees: a secret that the session's
    branch does not ignore would be one `git add` away from its history. What is there already stays as it is,
    and counts as copied if it is the same, so that a run that was cut short can be repeated.
    """
    listed = listed_files(main_top, git)
    if main_top is None or not listed:
        return {}
    main = git.at(main_top)
    paths = [path for path in listed if _parents_are_real(worktree, path)]
    ignored = _ask_ignored(git.at(worktree), _ask_ignored(main, paths))
    marks = {path: _copy(main_top / path, worktree / path) for path in ignored}
    return {path: mark for path, mark in marks.items() if mark is not None}


def listed_files(main_top: Path | None, git: Git) -> list[str]:
    """Return the files of the main worktree that `.worktreeinclude` lists and git does not track, ignored or not."""
    if main_top is None or not (main_top / INCLUDE_FILE).is_file():
        return []
    words = ("ls-files", "-z", "--others", "--ignored", f"--exclude-from={INCLUDE_FILE}")
    return [path for path in git.at(main_top).fields(*words) if _is_plain(main_top, path)]


def run_setup(project: Project, session: Session) -> SetupResult:
    """Run the commands of `setup.run` in the session's worktree, until one fails; record the outcome.

    The output goes to the session's set-up log, which holds the last run only.
    """
    commands = project.settings.setup_run
    again = f"wts setup {shlex.quote(session.name)}"
    if not commands:
        return SetupResult(_record(project, session, Setup.NONE), Setup.NONE, (), again)
    asked = trust.repository_commands(project.settings, project.origins, SETUP)
    if not trust.is_trusted(project.repository.common_dir, asked):
        saved = _record(project, session, Setup.UNTRUSTED)
        return SetupResult(saved, Setup.UNTRUSTED, commands, f"wts trust && {again}")
    if not session.worktree.is_dir():
        raise WtsError("no-worktree", f"the worktree of {session.name} is gone", session=session.name)
    _record(project, session, Setup.PENDING)
    with _failed_when_interrupted(project, session):
        failed, code = _run_all(project, session)
    status = Setup.DONE if failed is None else Setup.FAILED
    saved = _record(project, session, status)
    return SetupResult(saved, status, commands, again, project.store.setup_log(session.name), failed, code)


def _run_all(project: Project, session: Session) -> tuple[str | None, int]:
    """Return the command that failed and its status, or None and 0."""
    log = project.store.setup_log(session.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)  # what an earlier run left behind may still write to its own log
    with log.open("ab") as file:
        for command in project.settings.setup_run:
            code = _run_one(project, session, command, file)
            if code != 0:
                return command, code
    return None, 0


def _run_one(project: Project, session: Session, command: str, log: IO[bytes]) -> int:
    env = environment.for_session(session.environment(project.home))
    timeout = project.settings.setup_timeout
    return run_logged(command, cwd=session.worktree, env=env, log=log, timeout=timeout)


def run_logged(
    command: str,
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: IO[bytes],
    timeout: float,
    began: Callable[[processes.Process], object] = lambda _: None,
) -> int:
    """Run an approved command, with itself and its status in the log; return the status (`processes.shell`).

    A `timeout` of 0 seconds is none. `began` is told the process that leads its group.
    """
    log.write(f"$ {command}\n".encode())
    log.flush()
    code = processes.shell(command, cwd=cwd, env=env, log=log, timeout=timeout or None, began=began)
    log.write(f"[status {code}]\n".encode())
    return code


@contextmanager
def _failed_when_interrupted(project: Project, session: Session) -> Iterator[None]:
    """Record an interrupted set-up as failed. A killed one stays pending, which is not ready either."""
    try:
        yield
    except BaseException:
        _record(project, session, Setup.FAILED)
        raise


def _record(project: Project, session: Session, status: Setup) -> Session:
    """Save the outcome in the record as it is now; a session that was closed meanwhile stays closed."""
    current = _current(project.store, session)
    if current is None:
        return session._replace(setup=status)
    if current.setup is status:
        return current
    timeout = project.settings.lock_timeout
    with locks.writing(project.store.lock_file, f"set-up of {session.name}", timeout=timeout):
        current = _current(project.store, session)
        changed = (current or session)._replace(setup=status)
        if current is not None:
            project.store.save(changed)
        return changed


def _current(store: Store, session: Session) -> Session | None:
    """Return the record as it is now, None when it is another session's or nobody's."""
    current = store.load(session.name)
    return current if current is not None and current.id == session.id else None


def _is_plain(top: Path, path: str) -> bool:
    """Return whether `path` is a file or a link that lies below `top` without passing a link."""
    if path.endswith("/") or not _parents_are_real(top, path):
        return False
    try:
        mode = os.lstat(top / path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _parents_are_real(top: Path, path: str) -> bool:
    """Return whether every directory on the way is one, or missing; a link could lead out of the worktree."""
    way = top
    for part in path.split("/")[:-1]:
        way = way / part
        try:
            mode = os.lstat(way).st_mode
        except FileNotFoundError:
            return True
        except OSError:
            return False
        if not stat.S_ISDIR(mode):
            return False
    return True


def _ask_ignored(git: Git, paths: Iterable[str]) -> list[str]:
    """Return those of the paths that are ignored here; they may not exist yet."""
    names = ["./" + path for path in paths]  # a leading colon would be pathspec magic
    if not names:
        return []
    done = git.ask("check-ignore", "-z", "--stdin", stdin=os.fsencode("\0".join(names) + "\0"))
    if done.status in (0, 1):
        return [name.removeprefix("./") for name in split_z(done.out)]
    if len(names) == 1:
        # A path inside a submodule or behind a link is fatal, and never one to copy to.
        if done.status == 128:
            return []
        raise GitError(("check-ignore",), done.status, done.err)
    half = len(names) // 2
    plain = [name.removeprefix("./") for name in names]
    return _ask_ignored(git, plain[:half]) + _ask_ignored(git, plain[half:])


def _copy(source: Path, target: Path) -> str | None:
    """Return the digest of the copy, None when something else is in its place."""
    try:
        if os.path.lexists(target):
            return _digest_of_twin(source, target)
        files.copy_file(source, target)
        return files.digest(target)
    except OSError as error:
        raise WtsError("copy-failed", f"{source} can't be copied to {target}: {error.strerror}") from error


def _digest_of_twin(source: Path, target: Path) -> str | None:
    if target.is_symlink() != source.is_symlink() or not (target.is_symlink() or target.is_file()):
        return None
    mark = files.digest(target)
    return mark if mark == files.digest(source) else None
