"""The same five branches and test command, brought home by wts and by mergetrain (PyPI), the nearest rival.

mergetrain is a queue in front of a remote: agents enqueue their branches, one runner merges them in a worktree of its
own, tests them together, and pushes the result. It is used as its own documentation says, in its two ways: `deploy`,
which asks before it pushes, and `enqueue --auto` with a daemon, which does not; the first also with validation reuse,
which its documentation leaves off unless the owner wants it. Each run has a new repository, with a bare one beside it
as its remote; nothing but files is reached (GIT_ALLOW_PROTOCOL).
"""

from __future__ import annotations

import enum
import itertools
import json
import os
import pty
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.world import ROOT, WTS, World, edit

MERGETRAIN = "mergetrain==3.7.1"
FEATURE = "feature/auth"
NAMES = ("one", "two", "three", "four", "five")  # the branches are feature/auth-one and so on
SHARED = "part0/file0.txt"
PAUSE = 0.25  # seconds of a test run
ASKS = "[y/N]"
CONFLICT = re.compile(r"Merge conflict in (?P<path>.+)")

TEST = """\
#!/bin/sh
# Red where both of a pair are; counts its runs.
echo run >> '{log}'
sleep {pause}
! {{ test -e pair-two.txt && test -e pair-four.txt; }}
"""

CONFIGURATION = """\
version: 2

project:
  name: app

git:
  integration_branch: feature/auth

gates:
  - name: tests
    run: {test}
"""

REUSE = """
deploy:
  reuse:
    enabled: true
"""


class Held(NamedTuple):
    """A branch that did not land: why, in which files, and the branches that are named beside it."""

    name: str
    why: str
    files: tuple[str, ...] = ()
    named: tuple[str, ...] = ()

    def says(self) -> str:
        with_whom = f" with {', '.join(self.named)}" if self.named else ""
        where = f" in {', '.join(self.files)}" if self.files else ""
        untold = " (with whom is not told)" if self.why == "conflict" and not self.named else ""
        return f"{self.name}: {self.why}{with_whom}{where}{untold}"


class Told(NamedTuple):
    """What one run showed."""

    tests: int
    seconds: float
    typed: tuple[str, ...]
    landed: tuple[str, ...]
    held: tuple[Held, ...]
    changed: tuple[str, ...]
    left: tuple[str, ...]
    moved: tuple[str, ...]
    undone: str


@dataclass
class Yard:
    """A world with five finished branches of one feature and a remote, and the record of what a user types."""

    world: World
    mergetrain: Path
    typed: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def log(self) -> Path:
        return self.world.place / "runs.log"

    @property
    def test(self) -> Path:
        return self.world.place / "check"

    @property
    def remote(self) -> Path:
        return self.world.place / "remote.git"

    def type(self, *words: str, unseen: Sequence[str] = ()) -> str:
        """Run a line as a user would type it, and answer yes when it asks; return what it said.

        `unseen` words are added for the benchmark, so that the answer can be read.
        """
        program = {"wts": WTS, "mergetrain": (str(self.mergetrain),)}.get(words[0], (words[0],))
        self.typed.append(" ".join(words))
        begun = time.perf_counter()
        said = self._on_terminal([*program, *words[1:], *unseen])
        self.seconds += time.perf_counter() - begun
        if ASKS in said:
            self.typed.append("y")
        return said

    def _on_terminal(self, argv: Sequence[str]) -> str:
        """Run a program whose standard input is a terminal on which somebody says yes."""
        ours, theirs = pty.openpty()
        os.write(ours, b"y\n")
        try:
            return subprocess.run(
                argv,
                cwd=self.world.repo,
                env=self.world.env,
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            ).stdout
        finally:
            os.close(theirs)
            os.close(ours)

    def refs(self) -> dict[str, str]:
        """Return where the branches stand, here and in the remote."""
        found: dict[str, str] = {}
        for where, place in (("local", self.world.repo), ("remote", self.remote)):
            rows = self.world.answer("git", "-C", str(place), "for-each-ref", "refs/heads")
            found |= {f"{where} {name}": oid for oid, _, name in map(str.split, rows.splitlines())}
        return found

    def picture(self) -> dict[str, int]:
        """Return when each file of each worktree was written last, git's own left out."""
        tops = [self.world.repo, *self.world.repo.parent.glob("app.worktrees/*")]
        files = (file for top in tops for file in top.rglob("*") if not file.is_dir())
        here = self.world.place
        return {
            str(file.relative_to(here)): file.stat().st_mtime_ns
            for file in files
            if ".git" not in file.relative_to(here).parts
        }


class Way(NamedTuple):
    """A way to bring them home: what has to be there, and what is typed; it returns who was held back."""

    name: str
    once: str
    prepare: Callable[[Yard], None]
    bring: Callable[[Yard], tuple[Held, ...]]
    undo: str | None


# -- wts ---------------------------------------------------------------------------------------------


def sessions(yard: Yard) -> None:
    for name in NAMES:
        yard.world.wts("new", f"auth-{name}", "--no-start")


def merge_ready(yard: Yard) -> tuple[Held, ...]:
    said = yard.type("wts", "merge-ready", "--yes", "--test", str(yard.test), unseen=["--json"])
    return held_by_wts(json.loads(said[said.index("{") :]))


def held_by_wts(answer: Mapping[str, object]) -> tuple[Held, ...]:
    """Read who was held back from the answer of `wts merge-ready --json`."""
    data = answer["data"]
    assert isinstance(data, dict)
    rows = [row for feature in data["features"] for row in feature["sessions"]]
    return tuple(
        Held(
            short(row["name"]),
            "red together" if row["outcome"] == "red" else row["outcome"],
            tuple(row["files"]),
            (short(row["rival"]),) if row["rival"] else (),
        )
        for row in rows
        if row["outcome"] != "landed"
    )


# -- mergetrain ----------------------------------------------------------------------------------------


def queue(*more: str) -> Callable[[Yard], None]:
    """Return what its first run asks for: `init`, a gate, both committed and pushed; then worktrees."""

    def prepare(yard: Yard) -> None:
        world = yard.world
        world.run(str(yard.mergetrain), "init", "--project", "app", "--write")
        text = CONFIGURATION.format(test=yard.test) + "".join(more)
        (world.repo / ".mergetrain.yaml").write_text(text)
        world.commit(world.repo, "Use mergetrain")
        world.git(world.repo, "branch", "--force", FEATURE, "main")
        world.git(world.repo, "push", "--quiet", "origin", "main", FEATURE)
        for name in NAMES:
            place = str(world.worktree(f"auth-{name}"))
            world.git(world.repo, "worktree", "add", "--quiet", "-b", f"{FEATURE}-{name}", place, FEATURE)

    return prepare


def deploy(yard: Yard) -> tuple[Held, ...]:
    """As its quickstart says. Where some are blocked the first `deploy` stops at the validated rest."""
    enqueue(yard)
    said = yard.type("mergetrain", "deploy")
    if "deployed" not in said:
        yard.type("mergetrain", "deploy")
    return held_by_mergetrain(jobs(yard))


def daemon(yard: Yard) -> tuple[Held, ...]:
    enqueue(yard, "--auto")
    yard.type("mergetrain", "daemon", "--once")
    return held_by_mergetrain(jobs(yard))


def enqueue(yard: Yard, *options: str) -> None:
    for name in NAMES:
        yard.type("mergetrain", "enqueue", "--task", name, "--branch", f"{FEATURE}-{name}", *options)


def jobs(yard: Yard) -> list[dict[str, object]]:
    """Return what it says of each job; they are numbered from 1."""
    asked = (str(yard.mergetrain), "inspect")
    numbers = map(str, range(1, len(NAMES) + 1))
    return [json.loads(yard.world.answer(*asked, number, "--json"))["job"] for number in numbers]


def held_by_mergetrain(found: Iterable[Mapping[str, object]]) -> tuple[Held, ...]:
    """Read who was held back from what `mergetrain inspect --json` says of each job."""
    rows = list(found)
    names = {str(row["id"]): short(str(row["branch"])) for row in rows}
    held = []
    for row in rows:
        if row["status"] == "deployed":
            continue
        files = tuple(CONFLICT.findall(str(row["note"])))
        named = tuple(names[number] for number in str(row["conflict_with"] or "").split(",") if number)
        why = "conflict" if files else "red together" if named else str(row["status"])
        held.append(Held(names[str(row["id"])], why, files, named))
    return tuple(held)


def short(branch: str) -> str:
    """Return `one` of feature/auth-one or auth-one."""
    return branch.rpartition("-")[2]


SETUP = "`init --write`, a gate, a commit, a push to a remote"
WAYS = (
    Way("`wts merge-ready`", "nothing", sessions, merge_ready, "wts undo"),
    Way("mergetrain, `deploy`", SETUP, queue(), deploy, None),
    Way("the same, with `deploy.reuse`", f"{SETUP}, the setting", queue(REUSE), deploy, None),
    Way("mergetrain, `--auto` and `daemon --once`", SETUP, queue(), daemon, None),
)


# -- measured ----------------------------------------------------------------------------------------


class Case(enum.Enum):
    """What the five branches are like."""

    TROUBLED = "one conflict, one pair red together"
    FINE = "nothing wrong"


def run(way: Way, case: Case, mergetrain: Path) -> Told:
    """Bring five branches home in a new repository, and look at what it did."""
    with tempfile.TemporaryDirectory(prefix="wts-rival-") as place:
        yard = Yard(World(Path(place)), mergetrain)
        prepare(yard, way, case)
        refs, picture = yard.refs(), yard.picture()
        held = sorted(way.bring(yard), key=lambda one: NAMES.index(one.name))
        typed, after, now = tuple(yard.typed), yard.refs(), yard.picture()
        return Told(
            tests=len(yard.log.read_text().splitlines()),
            seconds=yard.seconds,
            typed=typed,
            landed=landed(yard, refs, after),
            held=tuple(held),
            changed=tuple(sorted(path for path, when in picture.items() if now.get(path) != when)),
            left=tuple(sorted({"/".join(path.split("/")[:2]) for path in now.keys() - picture.keys()})),
            moved=moved(refs, after),
            undone=undone(yard, way, refs),
        )


def prepare(yard: Yard, way: Way, case: Case) -> None:
    world = yard.world
    world.env |= {"GIT_ALLOW_PROTOCOL": "file", "PYTHONPATH": str(ROOT)}
    del world.env["PYTHONPYCACHEPREFIX"]  # what is installed is compiled already, for both
    yard.test.write_text(TEST.format(log=yard.log, pause=PAUSE))
    yard.test.chmod(0o755)
    world.git(world.place, "init", "--quiet", "--bare", str(yard.remote))
    world.git(world.repo, "remote", "add", "origin", str(yard.remote))
    world.git(world.repo, "branch", FEATURE)
    world.git(world.repo, "push", "--quiet", "origin", "main", FEATURE)
    way.prepare(yard)
    for name in NAMES:
        worktree = world.worktree(f"auth-{name}")
        (worktree / f"{'pair' if case is Case.TROUBLED else 'part'}-{name}.txt").write_text("new\n")
        if case is Case.TROUBLED and name in ("one", "three"):
            edit(worktree / SHARED, 0, f"by {name}\n")
        world.commit(worktree, f"Build part {name}")
    edit(world.repo / SHARED, 9, "unsaved work of a person\n")


def landed(yard: Yard, before: dict[str, str], after: dict[str, str]) -> tuple[str, ...]:
    """Return the branches that are contained in the feature wherever it has moved."""
    homes = [oid for ref, oid in after.items() if ref.endswith(f"/{FEATURE}") and oid != before[ref]]
    found = []
    for name in NAMES:
        tip = after[f"local refs/heads/{FEATURE}-{name}"]
        asked = ["git", "-C", str(yard.remote), "merge-base", "--is-ancestor", tip]
        env = {
            **yard.world.env,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(yard.world.repo / ".git" / "objects"),
        }
        if any(subprocess.run([*asked, home], env=env, check=False).returncode == 0 for home in homes):
            found.append(name)
    return tuple(found)


def moved(before: dict[str, str], after: dict[str, str]) -> tuple[str, ...]:
    return tuple(ref.replace("refs/heads/", "") for ref, oid in after.items() if before.get(ref) != oid)


def undone(yard: Yard, way: Way, refs: dict[str, str]) -> str:
    """Take it back where that is offered, and say whether every branch is where it was."""
    if way.undo is None:
        return "not offered"
    yard.type(*way.undo.split())
    return f"`{way.undo}`: {'every branch is where it was' if yard.refs() == refs else '**not all is back**'}"


Found = dict[Case, dict[str, list[Told]]]


def compare(mergetrain: Path, times: int, tell: Callable[[str], None]) -> Found:
    """Return what each way showed in each case; they take turns."""
    found: Found = {case: {way.name: [] for way in WAYS} for case in Case}
    for number, case, way in itertools.product(range(times), Case, WAYS):
        told = run(way, case, mergetrain)
        found[case][way.name].append(told)
        tell(f"{number + 1}. {case.value}: {way.name}: {told.tests} test runs, {told.seconds:.1f} s")
    return found


def install(place: Path) -> Path:
    """Install mergetrain into an environment of its own, and return its program."""
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    asked = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", MERGETRAIN)
    subprocess.run([str(place / "bin" / "python"), *asked], check=True)
    return place / "bin" / "mergetrain"


# -- in words ------------------------------------------------------------------------------------------

HEAD = ["", *(way.name for way in WAYS)]


def lines(found: Found) -> list[list[str]]:
    """Return the lines of the table, a column for each way."""
    troubled, fine = ([found[case][way.name] for way in WAYS] for case in Case)
    return [
        ["once in a repository", *(way.once for way in WAYS)],
        ["lines typed", *(steps(runs[0].typed) for runs in troubled)],
        ["test runs", *(tests(runs) for runs in troubled)],
        ["wall time; without the tests", *(seconds(runs) for runs in troubled)],
        ["landed", *(", ".join(runs[0].landed) for runs in troubled)],
        ["held back, as it is told", *("; ".join(one.says() for one in runs[0].held) for runs in troubled)],
        ["branches that moved", *(", ".join(runs[0].moved) for runs in troubled)],
        ["changed in anybody's worktree", *(paths(runs[0].changed) for runs in troubled)],
        ["left on disk", *(paths(runs[0].left) for runs in troubled)],
        ["to take it back", *(runs[0].undone for runs in troubled)],
        ["nothing wrong: lines typed", *(steps(runs[0].typed) for runs in fine)],
        ["nothing wrong: test runs", *(tests(runs) for runs in fine)],
        ["nothing wrong: wall time; without the tests", *(seconds(runs) for runs in fine)],
    ]


def paths(found: Sequence[str]) -> str:
    return ", ".join(f"`{path}`" for path in found) or "nothing"


def steps(typed: Sequence[str]) -> str:
    """Return how many lines were typed, and how many of which."""
    kinds: dict[str, int] = {}
    for line in typed:
        kind = "`y`" if line == "y" else f"`{line.split()[1]}`"
        kinds[kind] = kinds.get(kind, 0) + 1
    each = (f"{count} {kind}" if count > 1 else kind for kind, count in kinds.items())
    return f"{len(typed)}: {', '.join(each)}"


def tests(runs: Sequence[Told]) -> str:
    return " or ".join(str(number) for number in sorted({told.tests for told in runs}))


def seconds(runs: Sequence[Told]) -> str:
    whole = statistics.median(told.seconds for told in runs)
    rest = statistics.median(told.seconds - PAUSE * told.tests for told in runs)
    return f"{whole:.1f} s; {rest:.1f} s"


def version(mergetrain: Path) -> str:
    """Return what the program calls itself: mergetrain 3.7.1."""
    return subprocess.run(
        [str(mergetrain), "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
