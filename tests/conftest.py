"""What every test stands on: a world of its own. None touches the developer's git, tmux or Claude."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest

from tests.support import claude_cli
from tests.support.api import Api, serving
from tests.support.repos import Repo
from tests.support.sessions import a_session, worktree_of
from tests.support.stage import Stage
from worktree_sessions.model.session import Session
from worktree_sessions.outside import git

FAKES = Path(__file__).parent / "fakes"
DATE = "2026-01-02T03:04:05+00:00"

# What a developer's shell, a Claude session or a git hook around the test run would leak into the tests.
FOREIGN = ("ANTHROPIC", "CLAUDE", "CLICOLOR", "GIT_", "TMUX", "VIRTUAL_ENV", "VISUAL", "WTS_", "XDG_")
FOREIGN_NAMES: tuple[str, ...] = (
    "BROWSER",
    "COLORTERM",
    "COLUMNS",
    "EDITOR",
    "FORCE_COLOR",
    "LINES",
    "NO_COLOR",
    "PAGER",
)
FOREIGN_NAMES += (
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
)  # no notification reaches the developer

GIT_CONFIG = """\
[user]
    name = Ada Tester
    email = ada@example.org
[init]
    defaultBranch = main
[protocol "file"]
    allow = always
[advice]
    detachedHead = false
"""


class Result(NamedTuple):
    """What one run of wts answered: exit status, stdout, stderr."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as JSON."""
        return json.loads(self.out)


class Wts(Protocol):
    """`wts("list", "--json")`: one run of the command line."""

    def __call__(self, *args: str, cwd: Path | None = None, stdin: str = "") -> Result: ...


@pytest.fixture(autouse=True)
def hermetic(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Give the test a home, a configuration and a terminal world of its own; the value is its HOME."""
    for name in list(os.environ):
        if name.startswith(FOREIGN) or name in FOREIGN_NAMES:
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    (home / "gitconfig").write_text(GIT_CONFIG)
    sockets = tempfile.mkdtemp(prefix="wts-")  # short: the path of a socket has at most 107 bytes
    ours = {
        "HOME": home,
        "XDG_CONFIG_HOME": home / ".config",
        "XDG_CACHE_HOME": home / ".cache",
        "XDG_DATA_HOME": home / ".local" / "share",
        "XDG_STATE_HOME": home / ".local" / "state",
        "XDG_RUNTIME_DIR": home / "run",
        "CLAUDE_CONFIG_DIR": home / ".claude",
        "GIT_CONFIG_GLOBAL": home / "gitconfig",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": tmp_path.parent,
        "GIT_AUTHOR_DATE": DATE,
        "GIT_COMMITTER_DATE": DATE,
        "GIT_EDITOR": "false",
        "GIT_TERMINAL_PROMPT": "0",
        "TMUX_TMPDIR": sockets,
        "TERM": "xterm-256color",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
    }
    for name, value in ours.items():
        monkeypatch.setenv(name, str(value))
    git.version.cache_clear()
    yield home
    _end_tmux(Path(sockets))


def _end_tmux(sockets: Path) -> None:
    """End the tmux servers that a test started on its own sockets."""
    for socket in sockets.glob("tmux-*/*"):
        words = ["tmux", "-S", str(socket), "kill-server"]
        subprocess.run(words, capture_output=True, check=False)
    shutil.rmtree(sockets, ignore_errors=True)


@pytest.fixture
def uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep coverage out of child processes, where it loads modules of its own: for tests that count them."""
    for name in [name for name in os.environ if name.startswith("COVERAGE")]:
        monkeypatch.delenv(name)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository with one commit on main."""
    made = Repo.create(tmp_path / "repo")
    made.commit("README.md", "# a project\n", "start")
    return made


@pytest.fixture
def session(repo: Repo) -> Session:
    """A session of `repo`, its worktree as it was made."""
    return a_session(repo)


@pytest.fixture
def tree(session: Session) -> Repo:
    """The worktree of `session`."""
    return worktree_of(session)


@pytest.fixture
def stage(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Sessions of `repo` in a real tmux, with the fake claude."""
    return Stage(repo, tmp_path, monkeypatch)


@pytest.fixture
def fake_claude(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stand-ins of tests/fakes first on PATH, `claude` among them; the value is its path."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(FAKES), os.environ["PATH"]]))
    return FAKES / "claude"


@pytest.fixture(scope="session")
def claude_program() -> Path:
    """The real Claude Code, installed from npm when needed; its tests are skipped where it can't be had."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    try:
        return claude_cli.provide()
    except claude_cli.Unavailable as reason:
        pytest.skip(f"the real Claude Code can't be had: {reason}")


@pytest.fixture
def api() -> Iterator[Api]:
    """A stand-in for the Messages API on loopback."""
    with serving() as server:
        yield server


@pytest.fixture
def real_claude(claude_program: Path, api: Api) -> Iterator[claude_cli.RealClaude]:
    """The real Claude Code in a home of its own."""
    world = claude_cli.RealClaude(claude_program, api.url)
    yield world
    world.close()


@pytest.fixture
def wts(request: pytest.FixtureRequest) -> Wts:
    """Run wts as a child process, in the directory of `repo` unless the test says where."""

    def run(*args: str, cwd: Path | None = None, stdin: str = "") -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "worktree_sessions", *args],
            cwd=cwd or _repo_path(request),
            input=os.fsencode(stdin),
            capture_output=True,
            timeout=120,
            check=False,
        )
        return Result(done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr))

    return run


@pytest.fixture
def wts_inline(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Wts:
    """Run wts in this process: some 60 ms faster a run, for tests that need many. Standard input is empty."""

    def run(*args: str, cwd: Path | None = None, stdin: str = "") -> Result:
        from worktree_sessions import __main__ as front_door

        assert not stdin, "standard input needs the wts fixture"
        with monkeypatch.context() as here:
            here.chdir(cwd or _repo_path(request))
            capsys.readouterr()
            status = front_door.run(list(args))
        return Result(status, *capsys.readouterr())

    return run


def _repo_path(request: pytest.FixtureRequest) -> Path:
    made: Repo = request.getfixturevalue("repo")
    return made.path
