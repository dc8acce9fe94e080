"""`wts radar` beside `wts list`: python -m benchmarks.radar [--files 10000] [--sessions 10] [--runs 7].

Half of the sessions have commits, all have uncommitted work, and each has a file in common with its neighbours. Of the
first scan (no cache), one after a file has changed, and one with nothing changed, the medians are told.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from benchmarks.world import ROOT, Run, World, edit, in_turn, throw_away


def build(world: World, files: int, sessions: int) -> list[Path]:
    """Give a world so many files, and return the worktrees of its sessions."""
    world.env["PYTHONPATH"] = str(ROOT)
    world.add_files(files)
    worktrees = []
    for number in range(sessions):
        world.wts("new", f"auth-part{number}", "--no-start")
        worktree = world.worktree(f"auth-part{number}")
        for file, at in ((number, 5), (number + 1, 30), (200, 5 * number)):
            edit(worktree / f"pkg{file % 100}" / "mod0.txt", at, f"by {number}\n")
        if number % 2:
            world.git(worktree, "commit", "--quiet", "-a", "-m", "work")
        (worktree / f"new{number}.txt").write_text("untracked\n")
        edit(worktree / "pkg50" / "mod1.txt", 2 * number, f"by {number}\n")
        worktrees.append(worktree)
    return worktrees


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--runs", type=int, default=7)
    given = parser.parse_args()
    with throw_away() as world:
        worktrees = build(world, given.files, given.sessions)
        cache = world.repo / ".git" / "wts" / "radar.json"
        texts = iter(range(10_000))

        def first() -> None:
            cache.unlink(missing_ok=True)
            world.wts("radar")

        def one_changed() -> None:
            edit(worktrees[0] / "pkg0" / "mod0.txt", 5, f"run {next(texts)}\n")
            world.wts("radar")

        runs: dict[str, Run] = {
            "list": partial(world.wts, "list"),
            "radar, the first": first,
            "radar, nothing changed": partial(world.wts, "radar"),
            "radar, one file changed": one_changed,
        }
        rows = in_turn(runs, given.runs)
    print(f"{given.sessions} sessions, {given.files} files")
    for what, took in rows.items():
        print(f"wts {what:26} {took.median * 1000:6.0f} ms  {took.median / rows['list'].median:.2f} x list")


if __name__ == "__main__":
    main()
