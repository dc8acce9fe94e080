"""`wts demo`: the real commands on a throw-away repository, told as it happens.

Everything lies below one directory: the repository, its worktrees, and a home, settings and Claude configuration of
their own, so that nothing of the user's is read or written. The agent is a script (assets/demo/claude) that takes
Claude's command line, calls its hooks and really commits. wts itself runs as child processes, as it would be typed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from worktree_sessions.errors import Exit, Refused, WtsError
from worktree_sessions.outside import assets, environment, files, processes
from worktree_sessions.outside import git as git_room

FEATURE = "checkout"
HOME = f"feature/{FEATURE}"
SESSIONS = {
    "cart": "Add a cart with a total",
    "payment": "Take a payment, once",
    "docs": "Describe the checkout",
    "shipping": "Price a parcel",
    "vat": "Tell prices with and without tax",
}
FOREIGN = ("GIT_", "WTS_", "XDG_", "CLAUDE", "ANTHROPIC_", "TMUX", "PYTHON", "COLUMNS")
IDENTITY = {"user.name": "Demo", "user.email": "demo@example.org", "commit.gpgSign": "false"}
STATUS = "git status"  # in a picture, beside the files
PATIENCE = 30.0  # seconds for the agents to get where the story wants them; 2 are usual

PRICES = '''\
"""Prices, in cents."""

PRICES = {"tea": 450, "cup": 900}


def price(name: str) -> int:
    """Return what one of a thing costs."""
    return PRICES[name]
'''
PRICES_TEST = """\
import unittest

from shop.prices import price


class PricesTest(unittest.TestCase):
    def test_tea_is_cheap(self) -> None:
        self.assertLess(price("tea"), 500)
"""
TEST = "./run-tests"
COMMITS = (
    (
        "Start the shop",
        {"README.md": "# A small shop\n\nSells tea, and cups for it.\n", ".gitignore": "*.pyc\n"},
    ),
    (
        "Add the prices",
        {
            "shop/__init__.py": '"""A small shop."""\n',
            "shop/prices.py": PRICES,
            "tests/__init__.py": "",
            "tests/test_prices.py": PRICES_TEST,
        },
    ),
)


class Told(NamedTuple):
    """The story between two commands, in short lines."""

    text: str


class Typed(NamedTuple):
    """A command, as it stands behind the prompt."""

    words: tuple[str, ...]


class Answered(NamedTuple):
    """What a command printed, and its exit status."""

    text: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The end: where everything lies, whether it was left there, and how long it took."""

    directory: Path
    repository: Path
    is_kept: bool
    seconds: float

    @property
    def remove(self) -> str:
        """The command that removes it all."""
        return shlex.join(["rm", "-rf", "--", str(self.directory)])


Happening = Told | Typed | Answered | Finished


def make_place(wanted: Path | None) -> Path:
    """Return the new directory that holds the demo; raise when it can't be made, Refused when it holds something."""
    git_room.version()  # git missing or too old is told before anything is made
    try:
        if wanted is None:
            return Path(os.path.realpath(tempfile.mkdtemp(prefix="wts-demo-")))
        wanted.mkdir(parents=True, exist_ok=True)
        if os.listdir(wanted):
            raise Refused("not-empty", f"{wanted} is not empty", hint="wts demo --dir NEW_DIRECTORY")
        return Path(os.path.realpath(wanted))
    except OSError as error:
        raise WtsError(
            "no-place",
            f"no directory for the demo can be made: {error.strerror}",
            hint="wts demo --dir DIRECTORY",
        ) from error


def play(place: Path, *, width: int, color: str = "never", keep: bool = True) -> Iterator[Happening]:
    """Play the demo in an empty directory; `color` is what the commands are told: always or never."""
    begun = time.monotonic()
    stage = Stage(place, width=width, color=color)
    stage.prepare()
    try:
        yield from _start(stage)
        yield from _close_and_restore(stage)
        yield from _midday(stage)
        stage.signal("leave")
        stage.wait_for(cart="ended", payment="ended", shipping="ended", vat="ended")
    finally:
        stage.signal("leave")
    if not keep:
        shutil.rmtree(place)
    yield Finished(
        directory=place, repository=stage.repository, is_kept=keep, seconds=time.monotonic() - begun
    )


def _start(stage: Stage) -> Iterator[Happening]:
    yield Told("A small shop, in a repository of its own.")
    yield from stage.git("log", "--oneline")
    yield Told("Five sessions of one feature, each with a worktree, branch and agent.")
    first, *others = (
        stage.wts("new", f"{FEATURE}-{purpose}", "-p", prompt, "--background")
        for purpose, prompt in SESSIONS.items()
    )
    yield from first
    yield Told("Four more; the first line of each answer will do.")
    for one in others:
        yield from map(_first_line, one)
    stage.signal("docs")
    stage.wait_for(cart="idle", payment="waiting", docs="ended", shipping="idle", vat="idle")
    yield Told("They work at once. One needs an answer, one left a file uncommitted.")
    yield from stage.wts("list")


def _first_line(happening: Happening) -> Happening:
    if not isinstance(happening, Answered):
        return happening
    return happening._replace(text=happening.text.partition("\n")[0])


def _close_and_restore(stage: Stage) -> Iterator[Happening]:
    session = f"{FEATURE}-docs"
    worktree = stage.worktree_of(session)
    before = stage.picture(worktree)
    yield Told("That file exists nowhere else, so nothing is closed without consent.")
    yield from stage.wts("close", session, expect=Exit.REFUSED)
    yield Told("With consent the worktree goes; a snapshot keeps the file.")
    yield from stage.wts("close", session, "--with-unsaved")
    if os.path.lexists(worktree):
        raise stage.failed(f"{worktree} is still there")
    yield Told("And it comes back.")
    yield from stage.wts("restore", session)
    after = stage.picture(worktree)
    if after != before:
        raise stage.failed(f"{worktree} is not what it was", details=_differences(before, after))
    yield Told(f"{_count_files(after)} files compared, the uncommitted one too: the same, byte for byte.")


def _midday(stage: Stage) -> Iterator[Happening]:
    yield Told("Two have changed the same line. That is known before anybody merges.")
    yield from stage.wts("radar")
    stage.signal("answer")
    stage.wait_for(payment="idle")
    before = stage.branches() | stage.pictures()
    yield from _come_home(stage)
    yield Told("On second thoughts: all of it goes back, in one step too.")
    yield from stage.wts("undo")
    branches, pictures = stage.branches(), stage.pictures()
    if differences := _differences(before, branches | pictures):
        raise stage.failed("the undo has not brought all of it back", details=differences)
    told = f"{len(branches)} branches and {_count_files(pictures)} files"
    yield Told(f"{told} compared: as before, byte for byte.")


def _come_home(stage: Stage) -> Iterator[Happening]:
    yield Told(
        "Midday, payment has its answer: what is ready is merged, and tested together.\n"
        "vat has renamed what cart calls. That is no conflict: only a test can tell."
    )
    yield from stage.wts("merge-ready", "--yes", "--test", TEST, expect=Exit.RED)
    yield Told("One merge a session, all in one step. Who is held back is told why.")
    yield from stage.git("log", "--oneline", "--graph", f"main..{HOME}")


class Stage:
    """The demo's directory, and everything that is run in it."""

    def __init__(self, place: Path, *, width: int, color: str = "never") -> None:
        self.place = place
        self.repository = place / "shop"
        self._signals = place / "agents"
        self._agent = place / "bin" / "claude"
        self._color = color
        self._env = self._environment(width)

    def prepare(self) -> None:
        """Make the agent, and the repository with its first commits and its tests."""
        for directory in (self.repository, self._signals, self.place / "home"):
            directory.mkdir()
        _write_script(self._agent, str(assets.carried("demo/claude")))
        settings = self.place / "home" / ".config" / "wts" / "config.toml"
        files.replace_file(settings, b"[notify]\nchannels = []  # nobody is told of what is only played\n")
        _write_script(self.repository / TEST, "-B", "-m", "unittest")
        self._git("-c", "init.defaultBranch=main", "init", "--quiet")
        for key, value in IDENTITY.items():
            self._git("config", key, value)
        for message, contents in COMMITS:
            for name, text in contents.items():
                files.replace_file(self.repository / name, text.encode())
            self._git("add", "--all")
            self._git("commit", "--quiet", "--message", message)

    def _environment(self, width: int) -> dict[str, str]:
        """Ours, without what leads to the user's git, wts or Claude."""
        home = self.place / "home"
        kept = {key: text for key, text in environment.inherited().items() if not key.startswith(FOREIGN)}
        return kept | {
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_STATE_HOME": str(home / ".local" / "state"),
            "XDG_DATA_HOME": str(home / ".local" / "share"),
            "XDG_CACHE_HOME": str(home / ".cache"),
            "CLAUDE_CONFIG_DIR": str(home / ".claude"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_EDITOR": "false",
            "GIT_PAGER": "cat",
            "GIT_TERMINAL_PROMPT": "0",
            "WTS_CLAUDE": str(self._agent),
            "DEMO_SIGNALS": str(self._signals),
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "COLUMNS": str(width),
        }

    def wts(self, *words: str, expect: int = Exit.DONE) -> Iterator[Happening]:
        """Type a command of wts and show its answer; raise unless it ends with the status expected."""
        yield Typed(("wts", *words))
        yield self._checked(self._run_wts("--color", self._color, *words), ("wts", *words), expect)

    def git(self, *words: str) -> Iterator[Happening]:
        """Type a command of git and show its answer."""
        yield Typed(("git", *words))
        done = self._run(("git", "-c", f"color.ui={self._color}", *words))
        yield self._checked(done, ("git", *words), Exit.DONE)

    def wait_for(self, **states: str) -> None:
        """Wait until each of the sessions is in its state."""
        end = time.monotonic() + PATIENCE
        now: dict[str, str] = {}
        while any(now.get(purpose) != state for purpose, state in states.items()):
            if time.monotonic() > end:
                raise self.failed(f"the agents did not get ready: {now}")
            now = {session["purpose"]: session["state"] for session in self._sessions()}

    def worktree_of(self, name: str) -> Path:
        """Return a session's worktree, as wts itself tells it."""
        return next(Path(session["worktree"]) for session in self._sessions() if session["name"] == name)

    def branches(self) -> dict[str, str]:
        """Return every branch with its commit."""
        rows = self._git("for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads")
        return dict(row.split(" ") for row in rows.splitlines())

    def picture(self, worktree: Path) -> dict[str, str]:
        """Return every file with its mode and digest, and git's status of them all."""
        rows = {STATUS: self._git("status", "--porcelain", "--untracked-files=all", cwd=worktree)}
        for folder, folders, names in os.walk(worktree):
            folders[:] = [name for name in folders if name != ".git"]
            for path in (Path(folder, name) for name in names if name != ".git"):
                mode = oct(path.lstat().st_mode)
                rows[str(path.relative_to(worktree))] = f"{mode} {files.digest(path)}"
        return rows

    def pictures(self) -> dict[str, str]:
        """Return the pictures of the user's own worktree and of those of all sessions."""
        worktrees = [self.repository, *(Path(session["worktree"]) for session in self._sessions())]
        return {
            f"{worktree.name}/{name}": row
            for worktree in worktrees
            for name, row in self.picture(worktree).items()
        }

    def signal(self, name: str) -> None:
        """Tell the agents something; where their directory is gone, they have left."""
        with contextlib.suppress(FileNotFoundError):
            (self._signals / name).touch()

    def failed(self, message: str, details: tuple[str, ...] = ()) -> WtsError:
        """Return the error that ends the demo; what it has made stays, to be looked at."""
        return WtsError(
            "demo-failed",
            f"the demo failed: {message}",
            hint=f"see what it made in {self.place}",
            details=details,
        )

    def _sessions(self) -> list[Mapping[str, Any]]:
        done = self._run_wts("list", "--json")
        self._checked(done, ("wts", "list", "--json"), Exit.DONE)
        found: list[Mapping[str, Any]] = json.loads(done.out)["data"]["sessions"]
        return found

    def _checked(self, done: processes.Completed, words: Sequence[str], expect: int) -> Answered:
        text = (done.err + done.out).decode("utf-8", "replace").rstrip("\n")
        if done.status != expect:
            says = f"{shlex.join(words)} ended with exit status {done.status}"
            raise self.failed(says, details=tuple(text.splitlines()))
        return Answered(text, done.status)

    def _git(self, *words: str, cwd: Path | None = None) -> str:
        return self._checked(self._run(("git", *words), cwd=cwd), ("git", *words), Exit.DONE).text

    def _run_wts(self, *words: str) -> processes.Completed:
        return self._run((sys.executable, "-P", "-m", "worktree_sessions", *words))

    def _run(self, words: Sequence[str], cwd: Path | None = None) -> processes.Completed:
        return processes.run(words, cwd=cwd or self.repository, env=self._env, timeout=120)


def _write_script(path: Path, *words: str) -> None:
    """Write a script that runs Python, wherever this one lies, with these words and its own."""
    python = shlex.join([sys.executable, "-S", "-E", *words])
    files.replace_file(path, f'#!/bin/sh\nexec {python} "$@"\n'.encode(), mode=0o755)


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name in sorted({*before, *after}) if before.get(name) != after.get(name))


def _count_files(picture: Mapping[str, str]) -> int:
    return sum(not name.endswith(STATUS) for name in picture)
