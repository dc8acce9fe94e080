"""The real Claude Code for tests: installed from npm, driven in a private home, in tmux, against api.py.

It never sees the developer's home, configuration, key or network: its environment is built from nothing, and
the only address in it is on loopback.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tests.support.repos import Repo

KEY = "sk-ant-api03-a-key-of-no-one-0000000000"
Found = TypeVar("Found")


class Unavailable(Exception):
    """Claude Code can't be had here; the text says why."""


def provide() -> Path:
    """Return the program: WTS_TEST_CLAUDE, else one of the user's cache, installed from npm when missing."""
    given = os.environ.get("WTS_TEST_CLAUDE")
    if given:
        if not os.access(given, os.X_OK):
            raise Unavailable(f"WTS_TEST_CLAUDE={given} is no program")
        return Path(given)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "wts-tests"
    place = cache / "claude-code"
    program = place / "node_modules" / package() / "claude"
    if not program.exists():
        install(place)
    if not os.access(program, os.X_OK):
        raise Unavailable(f"npm gave no program: {program}")
    return program


def package() -> str:
    """Return the npm package that holds the program for this machine."""
    system = {"Linux": "linux", "Darwin": "darwin"}.get(platform.system())
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine())
    if system is None or machine is None:
        raise Unavailable(f"no Claude Code for {platform.system()} on {platform.machine()}")
    musl = "-musl" if system == "linux" and platform.libc_ver()[0] != "glibc" else ""
    return f"@anthropic-ai/claude-code-{system}-{machine}{musl}"


def install(place: Path) -> None:
    """Install the package into a directory of its own, no script of it run; of two at once, one wins."""
    if shutil.which("npm") is None:
        raise Unavailable("npm is not installed")
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix="npm-", dir=place.parent))
    words = [
        "npm",
        "install",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--prefix",
        str(partial),
        package(),
    ]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            raise Unavailable(f"npm install {package()} failed: {done.stderr.strip()[-300:]}")
        if not place.exists():
            partial.rename(place)
    except (subprocess.TimeoutExpired, FileExistsError) as error:
        raise Unavailable(f"npm install {package()}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class RealClaude:
    """Claude Code with a home of its own, and a tmux server of its own to run in."""

    def __init__(self, program: Path, url: str) -> None:
        self.program = program
        self.base = Path(tempfile.mkdtemp(prefix="wts-cc-")).resolve()  # short: sockets lie in it
        self.config_dir = self.base / "claude"
        self.url = url
        for name in ("home", "claude", "tmp", "xdg"):
            (self.base / name).mkdir()
        self.tmux("new-session", "-d", "-s", "hold", "sleep 1000")

    def close(self) -> None:
        """End all that runs in this home, and remove it; who is about to end still writes for a moment."""
        self.tmux("kill-server")
        if (self.config_dir / "daemon").exists() or (self.config_dir / "daemon.lock").exists():
            self.run("daemon", "stop", "--any", cwd=self.base)
        gone = 0
        for _ in range(50):
            shutil.rmtree(self.base, ignore_errors=True)
            gone = 0 if self.base.exists() else gone + 1
            if gone == 4:
                return
            time.sleep(0.1)

    def env(self, **more: str) -> dict[str, str]:
        """Return the whole environment that Claude runs in."""
        base = str(self.base)
        return {
            "PATH": os.environ["PATH"],
            "HOME": f"{base}/home",
            "CLAUDE_CONFIG_DIR": str(self.config_dir),
            "XDG_CONFIG_HOME": f"{base}/xdg",
            "XDG_DATA_HOME": f"{base}/xdg",
            "XDG_CACHE_HOME": f"{base}/xdg",
            "XDG_STATE_HOME": f"{base}/xdg",
            "TMPDIR": f"{base}/tmp",
            "TMUX_TMPDIR": f"{base}/tmp",
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": self.url,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "0",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_ERROR_REPORTING": "1",
            **{key: value for key, value in os.environ.items() if key.startswith("GIT_")},
            **more,
        }

    def settle_in(self, *trusted: Path) -> None:
        """Answer the questions of a first start beforehand, and trust these repositories."""
        known = {str(path.resolve()): {"hasTrustDialogAccepted": True} for path in trusted}
        answers = {
            "hasCompletedOnboarding": True,
            "theme": "dark",
            "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
            "projects": known,
        }
        (self.config_dir / ".claude.json").write_text(json.dumps(answers))

    def run(self, *args: str, cwd: Path, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end without a terminal."""
        return subprocess.run(
            [str(self.program), *args],
            cwd=cwd,
            env=self.env(**env),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def tmux(self, *args: str) -> str:
        words = ["tmux", "-S", str(self.base / "tmux"), "-f", "/dev/null", *args]
        done = subprocess.run(words, env=self.env(), capture_output=True, text=True, check=False)
        return done.stdout

    def start(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> Terminal:
        """Start a command (Claude, or wts that starts it) in a terminal of its own."""
        return Terminal(self, argv, cwd, self.env(**(env or {})))

    def panes(self) -> dict[str, Pane]:
        """Return the panes of the world's tmux by the names of their windows."""
        rows = self.tmux("list-panes", "-a", "-F", "#{window_name}\t#{pane_id}").splitlines()
        return {name: Pane(self, pane) for name, pane in (row.split("\t") for row in rows)}

    def registered(self) -> list[dict[str, Any]]:
        """Return what the running ones tell of themselves."""
        return [json.loads(file.read_text()) for file in (self.config_dir / "sessions").glob("*.json")]


class Pane:
    """One pane of the world's tmux: what is on it, and keys for it."""

    def __init__(self, world: RealClaude, name: str) -> None:
        self.world, self.name = world, name

    def screen(self) -> str:
        return self.world.tmux("capture-pane", "-p", "-t", self.name)

    def key(self, *keys: str) -> None:
        self.world.tmux("send-keys", "-t", self.name, *keys)

    def say(self, text: str) -> None:
        """Type a prompt, or a slash command, and send it."""
        self.world.tmux("set-buffer", "-b", self.name, "--", text)
        self.world.tmux("paste-buffer", "-p", "-d", "-b", self.name, "-t", self.name)
        time.sleep(0.5)  # an Enter right behind is taken for part of the text
        self.key("Enter")

    def answer(self, question: str, key: str = "Enter") -> None:
        """Wait for a dialog and press a key; one that comes while it is being drawn is lost."""
        self.wait_for(question)
        time.sleep(0.7)
        self.key(key)

    def wait_for(self, pattern: str, *, seconds: float = 30) -> re.Match[str]:
        return self.until(
            lambda: re.search(pattern, self.screen()), f"{pattern!r} on the screen", seconds=seconds
        )

    def until(self, look: Callable[[], Found | None], what: str, seconds: float) -> Found:
        try:
            return eventually(look, what, seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.screen()}") from None


class Terminal(Pane):
    """One command in a tmux session of its own."""

    def __init__(self, world: RealClaude, argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        place = Path(tempfile.mkdtemp(prefix="t", dir=world.base))
        super().__init__(world, place.name)
        self.status_file = place / "status"
        words = shlex.join(["env", "-i", *(f"{key}={value}" for key, value in env.items()), *argv])
        launcher = place / "run"  # a file: tmux takes no long command line
        launcher.write_text(
            f"#!/bin/sh\n{words}\necho $? > {shlex.quote(str(self.status_file))}\nsleep 1000\n"
        )
        size = ["-x", "120", "-y", "40"]
        command = f"exec sh {shlex.quote(str(launcher))}"
        world.tmux("new-session", "-d", "-s", self.name, *size, "-c", str(cwd), command)

    def wait_for_end(self, *, seconds: float = 30) -> int:
        """Wait until the command has ended; return its exit status as a shell tells it."""
        self.until(
            lambda: self.status_file.exists() and self.status_file.read_text().strip(), "end", seconds=seconds
        )
        return int(self.status_file.read_text())


def eventually(look: Callable[[], Found | None], what: str, *, seconds: float = 30) -> Found:
    """Return what `look` finds as soon as it does; fail the test when it never does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"no {what} after {seconds} s")


def session_of(repo: Repo, name: str) -> tuple[Repo, Path]:
    """Make a session's worktree and record by hand; return the worktree and the record's directory."""
    session = repo.worktree(name)
    directory = repo.path / ".git" / "wts" / "sessions" / name
    directory.mkdir(parents=True)
    (directory / "session.json").write_text(json.dumps({"worktree": str(session.path)}))
    return session, directory
