"""`wts radar` beside `wts list`: python -m benchmarks.radar [--files 10000] [--sessions 10] [--runs 7].

Half of the sessions have commits, all have uncommitted work, and each has a file in common with its neighbours. Of the
first scan (no cache), one after a file has changed, and one with nothing changed, the medians are told.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.bench import ROOT, World

LINES = [f"line {number}\n" for number in range(60)]


def build(place: Path, files: int, sessions: int) -> tuple[World, list[Path]]:
    """Return a repository of so many files with its sessions' worktrees."""
    world = World(place)
    world.env["PYTHONPATH"] = str(ROOT)
    for number in range(files):
        made = world.repo / f"pkg{number % 100}" / f"mod{number // 100}.txt"
        made.parent.mkdir(exist_ok=True)
        made.write_text("".join(LINES) + f"{number}\n")
    world.git(world.repo, "add", ".")
    world.git(world.repo, "commit", "--quiet", "-m", "files")
    worktrees = []
    for number in range(sessions):
        world.wts("new", f"auth-part{number}", "--no-start")
        worktree = place / "app.worktrees" / f"auth-part{number}"
        for file, at in ((number, 5), (number + 1, 30), (200, 5 * number)):
            edit(worktree / f"pkg{file % 100}" / "mod0.txt", at, f"by {number}\n")
        if number % 2:
            world.git(worktree, "commit", "--quiet", "-a", "-m", "work")
        (worktree / f"new{number}.txt").write_text("untracked\n")
        edit(worktree / "pkg50" / "mod1.txt", 2 * number, f"by {number}\n")
        worktrees.append(worktree)
    return world, worktrees


def edit(file: Path, at: int, line: str) -> None:
    """Give a line of a file another text."""
    lines = file.read_text().splitlines(keepends=True)
    lines[at] = line
    file.write_text("".join(lines))


def timed(work: Callable[[], None]) -> float:
    """Return the seconds that some work takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--runs", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        world, worktrees = build(Path(place), given.files, given.sessions)
        cache = world.repo / ".git" / "wts" / "radar.json"

        rows: dict[str, list[float]] = {}
        for number in range(given.runs + 1):  # in turn, so that a busy machine slows them all
            cache.unlink(missing_ok=True)
            for what in ("list", "radar, the first", "radar, nothing changed", "radar, one file changed"):
                if what.endswith("file changed"):
                    edit(worktrees[0] / "pkg0" / "mod0.txt", 5, f"run {number}\n")
                words = what.partition(",")[0]
                rows.setdefault(what, []).append(timed(lambda words=words: world.wts(words)))  # type: ignore[misc]
        medians = {what: statistics.median(seconds[1:]) for what, seconds in rows.items()}
        sys.stdout.write(f"{given.sessions} sessions, {given.files} files\n")
        for what, seconds in medians.items():
            share = seconds / medians["list"]
            sys.stdout.write(f"wts {what:26} {seconds * 1000:6.0f} ms  {share:.2f} x list\n")


if __name__ == "__main__":
    main()
