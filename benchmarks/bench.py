"""The budgets of docs/performance.md, measured: `nox -s bench`, and with `-- --write` into that page.

Every command runs in turn with what it is measured against (A, B, A, B, ...), so that a busy machine slows both. What
counts are ratios of medians; the spread says how far to trust them. Everything happens in a temporary directory.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks import page
from benchmarks.world import ROOT, STATUS, Measured, Run, World, alternate, throw_away, timed
from worktree_sessions.actions.watch import GLANCE_EVERY

EVENTS = 10_000  # a session, where it has worked for days
GLANCE_SHARE = 0.01  # of a core, while nothing happens


class Row(NamedTuple):
    """One line of the table: what was measured, and the most it may take, with that in words."""

    what: str
    took: Measured
    bare: Measured
    most: float
    budget: str

    @property
    def is_kept(self) -> bool:
        return self.took.median <= self.most

    def cells(self) -> list[str]:
        return [
            self.what,
            f"{self.took.median * 1000:.1f} ms ± {self.took.spread:.0%}",
            f"{self.took.median / self.bare.median:.2f} x",
            f"{self.budget} = {self.most / self.bare.median:.2f} x",
            "yes" if self.is_kept else "**no**",
        ]


# Prints what each glance of `wts watch` takes, nothing having changed: seconds of processor time.
GLANCES = """
import sys, time
from pathlib import Path
from worktree_sessions.actions.project import open_project
from worktree_sessions.actions.watch import Watch
watch = Watch(open_project(Path.cwd()))
for _ in range(int(sys.argv[1])):
    begun = time.process_time()
    watch.glance()
    print(time.process_time() - begun)
"""


def against_python(world: World, what: str, run: Run, factor: float, times: int) -> Row:
    took, bare = alternate([run, world.python], times)
    return Row(what, took, bare, factor * bare.median, f"{factor:g} x")


# -- the rows --------------------------------------------------------------------------------------


def measure(world: World, sessions: int, times: int) -> Iterator[Row]:
    yield measure_hook(world, times)
    for number in range(sessions):
        world.wts("new", f"part{number}-dev", "--no-start")
    yield measure_event(world, times, "a Claude event", "PreToolUse")
    yield measure_event(
        world, times, "a Claude event that a notification is started for", "PermissionRequest"
    )
    yield against_python(world, "`wts --version`", lambda: world.wts("--version"), 5, times)
    yield against_python(world, "`wts path 1`", lambda: world.wts("path", "1"), 5, times)
    yield against_python(world, "`wts names` (completion)", lambda: world.wts("names"), 5, times)
    yield measure_list(world, sessions, times)
    for number in range(sessions):
        write_events(world, f"part{number}-dev")
    yield measure_list(world, sessions, times, events=EVENTS)
    yield measure_statusline(world, times)
    yield measure_glance(world, sessions, times)
    yield measure_new(world, times)


def measure_hook(world: World, times: int) -> Row:
    """A repository that installed the hooks and has no session."""
    hook = world.repo / ".git" / "wts" / "hooks" / "wts-hook.sh"
    hook.parent.mkdir(parents=True)
    shutil.copy(ROOT / "hooks" / "git" / "wts-hook.sh", hook)
    took, bare = alternate([lambda: world.run("sh", str(hook), "post-commit"), world.python], times)
    return Row("a git hook with nothing to say", took, bare, 0.010, "10 ms")


def measure_event(world: World, times: int, what: str, event: str) -> Row:
    """One event of Claude, handled as hooks.json says; what is started for a notification is not waited for."""
    handler = world.repo / ".git" / "wts" / "claude" / "bench" / "event.py"
    handler.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "hooks" / "claude" / "event.py", handler)
    (world.session_dir("part0-dev") / "kick.json").write_text('["/bin/true"]')
    told = b'{"session_id": "s", "tool_name": "Bash", "tool_input": {"command": "make test"}}'
    world.env |= {"WTS_SESSION": "part0-dev", "CLAUDE_PID": "1"}

    def run() -> None:
        world.run(sys.executable, "-S", "-E", "-B", str(handler), event, stdin=told)

    row = against_python(world, what, run, 2.5, times)
    for name in ("WTS_SESSION", "CLAUDE_PID"):
        del world.env[name]
    return row


def write_events(world: World, session: str) -> None:
    """Give a session a log of EVENTS events, whose Claude is gone."""
    begun = time.time() - 10 * EVENTS
    where = {"started": "1", "host": platform.node(), "boot": "b", "config": str(world.place)}
    about = {"tool_name": "Bash", "what": "make test", "prompt": "Go on with the next part. " * 8}
    turn = ["UserPromptSubmit", *["PreToolUse", "PermissionRequest", "PostToolUse"] * 3, "Stop"]
    lines = []
    for number in range(EVENTS):
        event = turn[number % len(turn)] if number else "launch"
        row = {"v": 1, "t": begun + 10 * number, "event": event, "pid": 99_999_999, "conversation": "c"}
        lines.append(json.dumps({**row, **(about if number else where)}))
    (world.session_dir(session) / "events.jsonl").write_text("\n".join(lines) + "\n")


def measure_list(world: World, sessions: int, times: int, events: int = 0) -> Row:
    """Against the statuses it has to ask for: on two cores the slowest half of them, on four the slowest quarter.

    The events are read by the run that is not counted; then what they add up to is kept.
    """
    tops = [world.worktree(f"part{number}-dev") for number in range(sessions)]
    share = math.ceil(sessions / (os.cpu_count() or 1))
    statuses: list[float] = []

    def one_by_one() -> None:
        taken = [timed(functools.partial(world.git, top, *STATUS)) for top in tops]
        statuses.append(sum(sorted(taken)[-share:]))

    took, bare, _ = alternate([lambda: world.wts("list"), world.python, one_by_one], times)
    slowest = statistics.median(statuses)
    budget = f"8 x + {share} of {sessions} `git status` ({slowest * 1000:.0f} ms)"
    what = f"`wts list`, {sessions} worktrees" + (f", {events:,} events each" if events else "")
    return Row(what, took, bare, 8 * bare.median + slowest, budget)


def measure_statusline(world: World, times: int) -> Row:
    """In a session of those that have many events."""
    here = world.worktree("part0-dev")
    return against_python(world, "`wts statusline`", lambda: world.wts("statusline", cwd=here), 5, times)


def measure_glance(world: World, sessions: int, times: int) -> Row:
    """What `wts watch` does all the time, in processor time: twice a second, against a percent of a core."""
    (bare,) = alternate([world.python], times)
    said = world.answer(sys.executable, "-c", GLANCES, str(times))
    took = Measured([float(line) for line in said.splitlines()])
    most = GLANCE_SHARE * GLANCE_EVERY
    return Row(
        f"a glance of `wts watch`, {sessions} sessions",
        took,
        bare,
        most,
        f"{GLANCE_SHARE:.0%} of {GLANCE_EVERY:g} s",
    )


def measure_new(world: World, times: int) -> Row:
    """Against `git worktree add` alone; each run makes another one."""
    made = iter(range(10_000))

    def wts_new() -> None:
        world.wts("new", f"part0-n{next(made)}", "--no-start")

    def git_add() -> None:
        name = f"plain{next(made)}"
        world.git(world.repo, "worktree", "add", "--quiet", "--no-track", "-b", name, f"../plain/{name}")

    took, bare, add = alternate([wts_new, world.python, git_add], times)
    most = add.median + 12 * bare.median
    return Row(
        "`wts new --no-start`", took, bare, most, f"git worktree add ({add.median * 1000:.0f} ms) + 12 x"
    )


HEAD = ["what", "median ± spread", "against `python -c pass`", "budget", "kept"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew the table in docs/performance.md")
    parser.add_argument("--sessions", type=int, default=10, help="worktrees for the list (default: 10)")
    parser.add_argument("--times", type=int, default=21, help="runs of each (default: 21)")
    options = parser.parse_args()
    rows = []
    with throw_away() as world:
        for row in measure(world, options.sessions, options.times):
            rows.append(row)
            print("  ".join(row.cells()), flush=True)
    table = page.table(HEAD, (row.cells() for row in rows))
    text = f"{table}\n\nMedians of {options.times} runs each. {page.where()}"
    if options.write:
        page.write("bench", text)
    return 0 if all(row.is_kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
