"""Runs the console blocks of a Markdown page: the commands for real, on a terminal of their own, outputs compared.

    ```console
    $ wts list
    what the terminal shows
    ...
    ```

A line `...` stands for any number of lines. What differs from run to run (ages, ids, dates, pids) counts as equal,
and the home directory is shown as /home/ada. The blocks of a page run in order, in one shell as far as the reader
can tell: directory, variables and functions last. `<!-- test: COMMAND -->` is a command that the page does not show.

`DOCS_WRITE=1 pytest tests/test_docs.py` puts the real output into the blocks that don't match.
"""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path
from typing import NamedTuple

HOME = "/home/ada"
ELISION = "..."
COLUMNS = 80
PATIENCE = 15  # seconds for one command

BLOCK = re.compile(
    r"^```console\n(?P<body>.*?)^```$|^<!-- test: (?P<hidden>.*?) -->$", re.DOTALL | re.MULTILINE
)

# What varies, and what it is compared as.
VARYING = (
    (re.compile(r"\d{8}T\d{6,12}Z-([a-z-]+-)?[0-9a-f]{6}(?![0-9a-f])"), "<id>"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)"), "<date>"),
    (re.compile(r"\d{8}T\d{6,12}Z?"), "<stamp>"),
    (re.compile(r"\b[0-9a-f]{7,64}\b"), "<hex>"),
    (re.compile(r"\bpid \d+"), "pid <pid>"),
    (re.compile(r"(?<![\w.])\d{1,3}[smhdy](?!\w)"), "<age>"),
    (re.compile(r"(?<=\S) {2,}"), " "),  # a longer age moves the columns
)


class Entry(NamedTuple):
    """One command and the lines that the page shows below it; `hidden` ones show nothing."""

    command: str
    shown: list[str]
    hidden: bool
    line: int


class Shell:
    """A bash whose every command gets a terminal; directory, exported variables, functions and `$?` last."""

    def __init__(self, directory: Path, home: Path) -> None:
        self._home = os.path.realpath(home)
        self._state = home / ".console-state"
        self._state.write_text("")
        self._directory = directory
        self._status = 0

    def run(self, command: str) -> tuple[int, list[str]]:
        """Run one command; return its status and what the terminal shows, with the home directory as /home/ada."""
        script = (
            f"source {self._state}\n(exit {self._status})\n{command}\n"
            f"status=$?; export -p >{self._state}; declare -f >>{self._state}; pwd >{self._state}.pwd; exit $status"
        )
        ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
        page: list[bytes] = []
        reader = threading.Thread(target=_read_all, args=(ours, page))
        reader.start()
        try:
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-c", script],
                cwd=self._directory,
                env={**os.environ, "TERM": "dumb"},
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
                timeout=PATIENCE,
                check=False,
            )
            self._status = done.returncode
            self._directory = Path(Path(f"{self._state}.pwd").read_text().rstrip("\n"))
        except subprocess.TimeoutExpired:
            self._status = 124
        finally:
            os.close(theirs)
            reader.join(PATIENCE)
            os.close(ours)
        text = b"".join(page).decode("utf-8", "replace").replace("\r\n", "\n").replace(self._home, HOME)
        return self._status, text.removesuffix("\n").split("\n") if text else []


def _read_all(terminal: int, page: list[bytes]) -> None:
    try:
        while chunk := os.read(terminal, 65536):
            page.append(chunk)
    except OSError:
        pass  # EIO: the last process that held the other end is gone


def entries(page: str) -> Iterator[Entry]:
    """Return the commands of a page's console blocks, and the hidden ones, in order."""
    for found in BLOCK.finditer(page):
        line = page.count("\n", 0, found.start()) + 1
        if found["hidden"] is not None:
            yield Entry(found["hidden"], [], True, line)
            continue
        command: str | None = None
        shown: list[str] = []
        for row in found["body"].splitlines():
            if row.startswith("$ "):
                if command is not None:
                    yield Entry(command, shown, False, line)
                command, shown = row[2:], []
            elif row.startswith("> ") and not shown and command is not None:
                command += "\n" + row[2:]
            else:
                assert command is not None, f"line {line}: a console block begins with a command: {row}"
                shown.append(row)
        if command is not None:
            yield Entry(command, shown, False, line)


def matches(shown: list[str], real: list[str]) -> bool:
    """Return whether a page shows what really came, up to what varies and what `...` leaves out."""
    parts = [".*" if row == ELISION else re.escape(comparable(row)) + "\n" for row in shown]
    text = "".join(comparable(row) + "\n" for row in real)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def comparable(row: str) -> str:
    """Return a line with all that varies replaced."""
    for pattern, stand_in in VARYING:
        row = pattern.sub(stand_in, row)
    return row.rstrip()


def check(page: str, shell: Shell) -> tuple[list[str], str]:
    """Run a page's commands; return what does not match, and the page with the real output in its place."""
    wrong: list[str] = []
    cursor = 0
    for entry in entries(page):
        status, real = shell.run(entry.command)
        if entry.hidden and status != 0:
            wrong.append(f"line {entry.line}: exit status {status}: {entry.command}\n" + "\n".join(real))
            break  # what follows stands on it
        if entry.hidden:
            continue
        rows = entry.shown
        if not matches(entry.shown, real):
            wrong.append(f"line {entry.line}: $ {entry.command}\n" + _difference(entry.shown, real))
            rows = real
        page, cursor = _replaced(page, cursor, entry, rows)
    return wrong, page


def _difference(shown: list[str], real: list[str]) -> str:
    return "\n".join([*(f"- {row}" for row in shown), *(f"+ {row}" for row in real)])


def _replaced(page: str, start: int, entry: Entry, rows: list[str]) -> tuple[str, int]:
    """Return the page with other rows below the command, and where they end."""
    command = "$ " + entry.command.replace("\n", "\n> ") + "\n"
    old = command + "".join(f"{row}\n" for row in entry.shown)
    new = command + "".join(f"{row}\n" for row in rows)
    before, _, after = page[start:].partition(old)
    return page[:start] + before + new + after, start + len(before) + len(new)
