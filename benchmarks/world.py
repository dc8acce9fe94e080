"""What every benchmark stands on: a throw-away repository, and commands that are run in turn.

Commands run one after the other, round by round (A, B, A, B, ...), so that a busy machine slows them all.
"""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FILES = 300  # in the repository
LINES = [f"line {number}\n" for number in range(60)]
FRONT_DOOR = "import sys; from worktree_sessions.__main__ import main; sys.exit(main())"
WTS = (
    sys.executable,
    "-c",
    FRONT_DOOR,
)  # as an installed command is run, by a script that imports the front door
STATUS = ("status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all")

Run = Callable[[], None]


class Measured(NamedTuple):
    """Seconds of one command, each run."""

    seconds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a part of the median."""
        first, _, third = statistics.quantiles(self.seconds, n=4)
        return (third - first) / 2 / self.median


class World:
    """A throw-away repository with a home of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.repo = place / "app"
        self.env = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "HOME": str(place),
            "GIT_CONFIG_NOSYSTEM": "1",
            "LC_ALL": "C.UTF-8",
            "PYTHONPYCACHEPREFIX": str(place / "pyc"),  # compiled once, as an installed package is
        }
        (place / ".gitconfig").write_text("[user]\nname = Bench\nemail = bench@example.org\n")
        self.git(place, "init", "--quiet", "--initial-branch=main", str(self.repo))
        for number in range(FILES):
            file = self.repo / f"part{number % 10}" / f"file{number}.txt"
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"line {number}\n" * 40)
        self.commit(self.repo, "start")

    def run(self, *argv: str, cwd: Path | None = None, stdin: bytes = b"") -> None:
        """Run a program that has to work; what it says is of interest only if it does not."""
        done = subprocess.run(argv, cwd=cwd or self.repo, env=self.env, input=stdin, capture_output=True)
        if done.returncode != 0:
            raise SystemExit(f"{shlex.join(argv)}: {done.returncode}\n{done.stderr.decode()}")

    def answer(self, *argv: str) -> str:
        return subprocess.run(
            argv, cwd=self.repo, env=self.env, capture_output=True, text=True, check=True
        ).stdout

    def git(self, cwd: Path, *args: str) -> None:
        self.run("git", *args, cwd=cwd)

    def commit(self, cwd: Path, subject: str) -> None:
        """Commit all that is there."""
        self.git(cwd, "add", ".")
        self.git(cwd, "commit", "--quiet", "-m", subject)

    def tip(self, name: str) -> str:
        """Return the commit that a branch or revision names."""
        return self.answer("git", "rev-parse", "--verify", f"{name}^{{commit}}").strip()

    def wts(self, *args: str, cwd: Path | None = None) -> None:
        self.run(*WTS, *args, cwd=cwd)

    def worktree(self, name: str) -> Path:
        return self.place / "app.worktrees" / name

    def session_dir(self, name: str) -> Path:
        return self.repo / ".git" / "wts" / "sessions" / name

    def python(self) -> None:
        self.run(sys.executable, "-c", "pass")

    def add_files(self, files: int) -> None:
        """Commit so many more files of 60 lines, mod0.txt and on in each of pkg0 to pkg99."""
        for number in range(files):
            file = self.repo / f"pkg{number % 100}" / f"mod{number // 100}.txt"
            file.parent.mkdir(exist_ok=True)
            file.write_text("".join(LINES) + f"{number}\n")
        self.commit(self.repo, "files")


@contextmanager
def throw_away() -> Iterator[World]:
    """Make a world, which goes when the block ends."""
    with tempfile.TemporaryDirectory(prefix="wts-bench-") as place:
        yield World(Path(place))


def edit(file: Path, at: int, line: str) -> None:
    """Give a line of a file another text."""
    lines = file.read_text().splitlines(keepends=True)
    lines[at] = line
    file.write_text("".join(lines))


def timed(run: Run) -> float:
    """Return the seconds that some work takes."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def alternate(runs: Sequence[Run], times: int, *, for_nothing: int = 1) -> list[Measured]:
    """Run all of them in turn, `times` times, after so often `for_nothing`."""
    for _ in range(for_nothing):
        for run in runs:
            run()
    rounds = [[timed(run) for run in runs] for _ in range(times)]
    return [Measured(list(seconds)) for seconds in zip(*rounds, strict=True)]


def in_turn(runs: Mapping[str, Run], times: int, *, for_nothing: int = 1) -> dict[str, Measured]:
    """Do the same with runs that have names."""
    return dict(zip(runs, alternate(list(runs.values()), times, for_nothing=for_nothing), strict=True))
