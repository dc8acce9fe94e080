"""How midday grows with the sessions: each command of wts beside the plain git calls that it stands on.

The sessions are ready, of one feature, and merge cleanly: each has a file of its own, and edits two files that its
neighbours edit too, at other lines. So a radar has to merge neighbours, as git would have to merge all pairs.
"""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from benchmarks.world import ROOT, STATUS, WTS, Measured, Run, World, edit, in_turn

FEATURE = "feature/auth"
SIZES = (5, 10, 20, 50)
PLAN_WITHIN = 2.0  # seconds, of 10 sessions on 10,000 files
AS_LIST = 1.2  # times `wts list`: a radar with nothing changed, give or take what a busy machine does


class Pair(NamedTuple):
    """A command of wts, and what stands beside it, in words."""

    name: str
    plain: str
    what: str
    beside: str


PAIRS = (
    Pair("list", "statuses", "`wts list`", "a `git status` each"),
    Pair("plan", "chain", "`wts merge-ready --dry-run`", "a chain of `git merge-tree`, one each"),
    Pair("land", "merges", "`wts merge-ready --yes --no-test`", "`git merge --no-ff` each, in a worktree"),
    Pair("undo", "reset", "`wts undo`", "`git reset --keep` there"),
    Pair("radar", "pairs", "`wts radar`, the first time", "a `git merge-tree` each, and for each pair"),
    Pair("again", "list", "`wts radar`, nothing changed", "`wts list`"),
    Pair("sync", "pulls", "`wts sync --all --yes`", "a `git merge` in each worktree"),
)

Rows = dict[str, Measured]  # by the names of what was run


class Crowd:
    """A feature with ready sessions, in a world of so many files; and a worktree where a human merges by hand."""

    def __init__(self, world: World, files: int) -> None:
        world.env["PYTHONPATH"] = str(ROOT)
        world.add_files(files)
        self.world = world
        self.names: list[str] = []
        self.tips: list[str] = []
        self.base = self.ahead = ""
        self.by_hand = world.place / "by-hand"
        self.can_sync = (
            subprocess.run([*WTS, "sync", "--help"], env=world.env, capture_output=True).returncode == 0
        )

    def grow(self, size: int) -> None:
        """Make sessions until there are so many."""
        for number in range(len(self.names), size):
            self.names.append(f"auth-part{number}")
            self.world.wts("new", self.names[-1], "--no-start")
            worktree = self.world.worktree(self.names[-1])
            edit(worktree / f"pkg{number}" / "mod0.txt", 5, f"by {number}\n")
            edit(worktree / f"pkg{number + 1}" / "mod0.txt", 30, f"by {number}\n")
            (worktree / f"new{number}.txt").write_text("new\n")
            self.world.commit(worktree, f"Build part {number}")
            self.tips.append(self.world.tip(f"feature/{self.names[-1]}"))
        if not self.base:
            self._begin()
        self.statuses()  # writes the index of a new worktree anew, whose files are as old as it

    def _begin(self) -> None:
        """Make the human's worktree, and a commit that the feature may get ahead by."""
        git = self.world.git
        git(self.world.repo, "worktree", "add", "--quiet", "-b", "by-hand", str(self.by_hand), FEATURE)
        self.base = self.world.tip(FEATURE)
        edit(self.by_hand / "pkg99" / "mod0.txt", 5, "by hand\n")
        self.world.commit(self.by_hand, "Go on")
        self.ahead = self.world.tip("by-hand")
        self.reset()

    # -- plain git ---------------------------------------------------------------------------------

    def statuses(self) -> None:
        for name in self.names:
            self.world.git(self.world.worktree(name), *STATUS)

    def chain(self) -> None:
        head = self.base
        for tip in self.tips:
            tree = self.world.answer("git", "merge-tree", "--write-tree", head, tip).strip()
            commit = ("git", "commit-tree", "-p", head, "-p", tip, "-m", "merge", tree)
            head = self.world.answer(*commit).strip()

    def merges(self) -> None:
        for tip in self.tips:
            self.world.git(self.by_hand, "merge", "--quiet", "--no-ff", "--no-edit", tip)

    def reset(self) -> None:
        self.world.git(self.by_hand, "reset", "--quiet", "--keep", self.base)

    def pairs(self) -> None:
        alone = [(self.base, tip) for tip in self.tips]
        for ours, theirs in (*alone, *itertools.combinations(self.tips, 2)):
            self.world.git(self.world.repo, "merge-tree", "--write-tree", ours, theirs)

    def pulls(self) -> None:
        for name in self.names:
            self.world.git(self.world.worktree(name), "merge", "--quiet", "--no-edit", self.ahead)

    # -- what is done between ----------------------------------------------------------------------

    def forget(self) -> None:
        (self.world.repo / ".git" / "wts" / "radar.json").unlink(missing_ok=True)

    def go_on(self) -> None:
        self.world.git(self.world.repo, "update-ref", f"refs/heads/{FEATURE}", self.ahead)

    def go_back(self) -> None:
        self.world.git(self.world.repo, "update-ref", f"refs/heads/{FEATURE}", self.base)

    def leave(self) -> None:
        """Bring every session back to its own commit."""
        for name, tip in zip(self.names, self.tips, strict=True):
            self.world.git(self.world.worktree(name), "reset", "--quiet", "--hard", tip)


def measure(crowd: Crowd, times: int) -> Rows:
    """Run all that is to be compared in turn, with the sessions that there are."""
    wts: Callable[..., Run] = partial(partial, crowd.world.wts)
    runs: dict[str, Run] = {
        "list": wts("list"),
        "statuses": crowd.statuses,
        "plan": wts("merge-ready", "--dry-run"),
        "chain": crowd.chain,
        "land": wts("merge-ready", "--yes", "--no-test"),
        "undo": wts("undo"),
        "merges": crowd.merges,
        "reset": crowd.reset,
        "forget": crowd.forget,
        "radar": wts("radar"),
        "again": wts("radar"),
        "pairs": crowd.pairs,
    }
    if crowd.can_sync:
        runs |= {
            "go on": crowd.go_on,
            "sync": wts("sync", "--all", "--yes"),
            "leave": crowd.leave,
            "pulls": crowd.pulls,
            "leave again": crowd.leave,
            "go back": crowd.go_back,
        }
    return in_turn(runs, times, for_nothing=0)  # the smaller sizes have warmed it up for the larger


def measure_all(world: World, files: int, sizes: Sequence[int], times: int) -> Iterator[tuple[int, Rows]]:
    """Measure one size after the other, the smallest first."""
    crowd = Crowd(world, files)
    for size in sorted(sizes):
        crowd.grow(size)
        yield size, measure(crowd, times)


# -- in words --------------------------------------------------------------------------------------


def head(sizes: Sequence[int]) -> list[str]:
    return ["what", "beside", *(f"{size} sessions" for size in sizes)]


def lines(found: dict[int, Rows]) -> list[list[str]]:
    """Return the lines of the table: a command, what stands beside it, both times for each number of sessions."""
    return [
        [pair.what, pair.beside, *(cell(rows[pair.name], rows[pair.plain]) for rows in found.values())]
        for pair in PAIRS
        if all(pair.name in rows for rows in found.values())
    ]


def cell(took: Measured, plain: Measured) -> str:
    """Return both times, and how many times the one is the other."""
    return f"{took.median * 1000:,.0f} / {plain.median * 1000:,.0f} ms = {took.median / plain.median:.1f} x"


class Promise(NamedTuple):
    """What is promised for ten sessions, and whether it was kept."""

    says: str
    is_kept: bool


def promises(rows: Rows) -> list[Promise]:
    plan, share = rows["plan"].median, rows["again"].median / rows["list"].median
    return [
        Promise(f"the plan took {plan:.1f} s of {PLAN_WITHIN:.0f} s", plan <= PLAN_WITHIN),
        Promise(f"a radar with nothing changed took {share:.2f} x `wts list`", share <= AS_LIST),
    ]
