"""A shell in a tmux of the test's own, to type into and to read from. Panes are named by id, never by a prefix."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.claude_cli import eventually


def tmux(*args: str, server: str = "default") -> str:
    """Run tmux on the test's own sockets (TMUX_TMPDIR) and return what it says."""
    words = ["tmux", "-L", server, "-f", "/dev/null", *args]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.removesuffix("\n")


def windows(server: str = "default") -> dict[str, str]:
    """Return the panes of a server by the names of their windows."""
    rows = tmux("list-panes", "-a", "-F", "#{window_name}\t#{pane_id}", server=server).splitlines()
    return dict(row.split("\t") for row in rows)


def put_wts_on_path(directory: Path) -> None:
    """Make a `wts` command, as an installation would have it."""
    directory.mkdir()
    command = directory / "wts"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m worktree_sessions "$@"\n')
    command.chmod(0o755)


class Pane:
    """One pane: what is on it, and keys for it."""

    def __init__(self, id: str, server: str = "default") -> None:  # noqa: A002 (tmux's own word)
        self.id, self.server = id, server

    def tmux(self, *args: str) -> str:
        return tmux(*args, server=self.server)

    def says(self, fact: str) -> str:
        """Return a fact of the pane: `#{alternate_on}`."""
        return self.tmux("display-message", "-p", "-t", self.id, fact)

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p", "-J", "-S", "-200", "-t", self.id)

    def key(self, *keys: str) -> None:
        self.tmux("send-keys", "-t", self.id, *keys)

    def wait_for(self, pattern: str) -> re.Match[str]:
        try:
            return eventually(lambda: re.search(pattern, self.screen(), re.MULTILINE), repr(pattern))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.screen()}") from None


class Shell(Pane):
    """An interactive bash with job control."""

    def __init__(self, cwd: Path, server: str = "default", unset: Sequence[str] = ()) -> None:
        bash = ["env", *(f"-u{name}" for name in unset), "PS1=$ ", "bash", "--norc", "--noprofile", "-i"]
        size = ["-x", "150", "-y", "50"]
        where = ["-d", "-P", "-F", "#{pane_id}", *size, "-c", str(cwd)]
        super().__init__(tmux("new-session", *where, "--", *bash, server=server), server)
        self.wait_for(r"^\$ $")
        self._count = 0

    def type(self, line: str) -> None:
        self.tmux("send-keys", "-t", self.id, "-l", line)
        self.key("Enter")

    def start(self, line: str) -> int:
        """Type a command, and what tells its end; return the number that `status` takes."""
        self._count += 1
        self.type(f"{line}; echo end-{self._count}=$?")
        return self._count

    def status(self, number: int) -> int:
        """Wait for the end of a command; return its exit status."""
        return int(self.wait_for(rf"^end-{number}=(\d+)")[1])

    def run(self, line: str) -> int:
        return self.status(self.start(line))
