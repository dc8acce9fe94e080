"""Is the forecast the truth? Merges of real histories, foretold and then made by `git merge`.

    python benchmarks/replay.py REPOSITORY...              replay the merges of each, the latest first
    python benchmarks/replay.py REPOSITORY... --limit N    the N latest of each only
    python benchmarks/replay.py REPOSITORY... --cross N    N pairs of commits of each, neither of which has the other
    python benchmarks/replay.py --make DIRECTORY N         write a history with N merges of every kind to replay

A REPOSITORY may be a pack file: the commits that are no parent of another in it are its tips. It is only read: merges
are made in a clone that shares its objects, and goes. The verdict, the tree where it is clean, and the files in
conflict must be the same. Merges of more than two parents are counted and left out.
"""

from __future__ import annotations

import argparse
import contextlib
import enum
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.errors import WtsError
from worktree_sessions.outside import merging
from worktree_sessions.outside.git import Git, Oid, split_z
from worktree_sessions.outside.merging import Conflict, Merged, Outcome

PLAIN = ["core.hooksPath=/dev/null", "rerere.enabled=false", "gc.auto=0", "maintenance.auto=false"]
NOBODY = ["user.name=nobody", "user.email=nobody@example.org"]
MERGE = ("merge", "--quiet", "--no-ff", "--no-edit", "--no-verify", "--no-gpg-sign", "--no-autostash")
MOVED_ASIDE = re.compile(r"~(HEAD|[0-9a-f]{40,64})(_\d+)?$")
DRAWS = 20  # for one crossing pair: a history of few branches has few


class Verdict(enum.StrEnum):
    """How a forecast compares with what `git merge` did."""

    CLEAN = "clean, and the same tree"
    CONFLICT = "conflict, and in the same files"
    REFUSED = "unknown, and git merge itself refuses or breaks"
    UNTRIED = "nothing to compare with: git could not check it out"
    OTHER_TREE = "clean, but another tree"
    OTHER_FILES = "conflict, but in other files"
    FALSE_CLEAN = "clean, but it was a conflict"
    FALSE_CONFLICT = "conflict, but it was clean"
    FALSE_ANSWER = "an answer, but git merge refuses or breaks"
    UNKNOWN = "unknown, but git could tell"


AGREED = (Verdict.CLEAN, Verdict.CONFLICT, Verdict.REFUSED, Verdict.UNTRIED)


class Pair(NamedTuple):
    """Two commits to merge."""

    ours: Oid
    theirs: Oid


@dataclass
class Tally:
    """What a replay came to: how often each verdict, which pairs disagree, what was special, seconds of both."""

    counts: Counter[Verdict] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    several_bases: int = 0
    octopuses: int = 0
    ours: float = 0.0
    theirs: float = 0.0

    def add(self, other: Tally) -> None:
        """Count what another replay came to as well."""
        self.counts += other.counts
        self.wrong += other.wrong
        self.several_bases += other.several_bases
        self.octopuses += other.octopuses
        self.ours += other.ours
        self.theirs += other.theirs

    def row(self, name: str) -> str:
        """Return the line of the table."""
        shown = [self.counts.total(), *(self.counts[verdict] for verdict in AGREED)]
        shown += [len(self.wrong), self.several_bases, self.octopuses]
        return f"{name:24.24}" + "".join(f"{n:11}" for n in shown) + f"{self.ours:9.1f}{self.theirs:9.1f}"


HEAD = f"{'':24}" + "".join(
    f"{word:>11}"
    for word in ("merges", "clean", "conflict", "refused", "untried", "disagree", "many bases", "octopuses")
)
HEAD += f"{'s wts':>9}{'s git':>9}"


# -- which pairs ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def opened(given: Path) -> Iterator[Path]:
    """Give a repository: the one given, or one made of a pack, with a ref for each of its tips."""
    if given.suffix != ".pack":
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="wts-replay-", ignore_cleanup_errors=True) as place:
        bare = Path(place)
        _git(bare, "init", "--quiet", "--bare")
        _git(bare, "index-pack", "--stdin", stdin=given.read_bytes())
        _git(bare, "update-ref", "--stdin", stdin="".join(_tips(bare)).encode())
        yield bare


def _tips(bare: Path) -> Iterator[str]:
    listed = _git(bare, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)")
    commits = [row.split()[1] for row in listed.stdout.decode().splitlines() if row.startswith("commit")]
    rows = _git(bare, "log", "--no-walk", "--stdin", "--format=%P", stdin="\n".join(commits).encode())
    for tip in sorted(set(commits) - set(rows.stdout.decode().split())):
        yield f"create refs/heads/{tip} {tip}\n"


def recorded(repository: Path, limit: int | None = None) -> list[Pair]:
    """Return the parents of the merges of two, the latest first."""
    two = ("--min-parents=2", "--max-parents=2", f"--max-count={-1 if limit is None else limit}")
    rows = _lines(repository, "rev-list", "--all", "--parents", *two)
    return [Pair(Oid(ours), Oid(theirs)) for _, ours, theirs in map(str.split, rows)]


def crossing(repository: Path, count: int, chance: random.Random) -> list[Pair]:
    """Draw pairs of commits neither of which has the other: fewer where there are not so many."""
    commits = _lines(repository, "rev-list", "--all")
    found: dict[Pair, None] = {}
    for _ in range(DRAWS * count):
        if not commits or len(found) == count:
            break
        one = chance.choice(commits)
        pairs = {Pair(Oid(one), Oid(other)) for other in _apart(repository, one)} - found.keys()
        if pairs:
            found[chance.choice(sorted(pairs))] = None
        else:
            commits.remove(one)
    return list(found)


def _apart(repository: Path, commit: str) -> set[str]:
    """Return the commits that neither have this one nor are in it."""
    without = _lines(repository, "rev-list", "--all", f"^{commit}")
    return set(without) - set(_lines(repository, "rev-list", "--all", "--ancestry-path", f"^{commit}"))


# -- what comes of them --------------------------------------------------------------------------------


def replay(repository: Path, pairs: Iterable[Pair] | None = None) -> Tally:
    """Foretell and make each merge: of the pairs, or as the history of all refs has them."""
    tally = Tally(octopuses=int(_lines(repository, "rev-list", "--all", "--min-parents=3", "--count")[0]))
    with tempfile.TemporaryDirectory(prefix="wts-replay-", ignore_cleanup_errors=True) as place:
        scratch = Path(place, "clone")
        _git(Path(place), "clone", "--quiet", "--shared", "--no-checkout", str(repository.resolve()), "clone")
        for pair in recorded(repository) if pairs is None else pairs:
            verdict = compare(scratch, pair, tally)
            tally.counts[verdict] += 1
            tally.several_bases += (
                len(_git(scratch, "merge-base", "--all", *pair, ok=None).stdout.split()) > 1
            )
            if verdict not in AGREED:
                tally.wrong.append(f"{pair.theirs} into {pair.ours}: {verdict}")
    return tally


def compare(scratch: Path, pair: Pair, tally: Tally) -> Verdict:
    """Foretell one merge and make it in the scratch clone; the time each took is added to the tally."""
    began = time.perf_counter()
    told = foretold(scratch, pair)
    then = time.perf_counter()
    try:
        made = porcelain(scratch, *pair)
    except RuntimeError:  # a damaged object, a name that this disk can't have
        return Verdict.UNTRIED
    tally.ours += then - began
    tally.theirs += time.perf_counter() - then
    return judge(told, made)


def foretold(scratch: Path, pair: Pair) -> Merged:
    """Return what comes of a merge by the product."""
    git = Git(scratch, {"GIT_DIR": str(scratch / ".git")})
    try:
        with merging.attributes_of(git, pair.ours) as place:
            return merging.merge(git, place, *pair)
    except WtsError as error:
        return Merged(Outcome.UNKNOWN, why=str(error))


def porcelain(scratch: Path, ours: Oid, theirs: Oid) -> Merged:
    """Make a merge in a working tree, and say what came of it; unknown where git refuses or breaks."""
    _git(scratch, "checkout", "--quiet", "--force", "--detach", ours)
    done = _git(scratch, *MERGE, theirs, ok=None)
    if done.returncode == 0:
        return Merged(Outcome.CLEAN, Oid(_lines(scratch, "rev-parse", "HEAD^{tree}")[0]))
    (scratch / ".git" / "index.lock").unlink(missing_ok=True)  # left behind where git was aborted
    unmerged = _git(scratch, "diff", "--name-only", "-z", "--diff-filter=U").stdout
    is_open = (scratch / ".git" / "MERGE_HEAD").exists()
    _git(scratch, "reset", "--quiet", "--hard")
    _git(scratch, "clean", "--quiet", "-ffdx")
    if not is_open:
        return Merged(Outcome.UNKNOWN, why=os.fsdecode(done.stderr))
    paths = [MOVED_ASIDE.sub("", path) for path in split_z(unmerged)]
    return Merged(Outcome.CONFLICT, conflicts=tuple(Conflict(path, "unmerged") for path in paths))


def judge(told: Merged, made: Merged) -> Verdict:
    """Return how a forecast compares with what came of the merge."""
    if Outcome.UNKNOWN in (told.outcome, made.outcome):
        if told.outcome is made.outcome:
            return Verdict.REFUSED
        return Verdict.UNKNOWN if told.outcome is Outcome.UNKNOWN else Verdict.FALSE_ANSWER
    if told.outcome is not made.outcome:
        return Verdict.FALSE_CLEAN if told.outcome is Outcome.CLEAN else Verdict.FALSE_CONFLICT
    if told.outcome is Outcome.CLEAN:
        return Verdict.CLEAN if told.tree == made.tree else Verdict.OTHER_TREE
    return Verdict.CONFLICT if set(made.files) <= set(told.files) else Verdict.OTHER_FILES


def _lines(directory: Path, *args: str) -> list[str]:
    return _git(directory, *args).stdout.decode().splitlines()


def _git(
    directory: Path, *args: str, stdin: bytes = b"", ok: tuple[int, ...] | None = (0,)
) -> subprocess.CompletedProcess[bytes]:
    settings = [word for setting in PLAIN + NOBODY for word in ("-c", setting)]
    env = {**os.environ, "GIT_LFS_SKIP_SMUDGE": "1", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["git", *settings, *args], cwd=directory, env=env, input=stdin, capture_output=True, check=False
    )
    if ok is not None and done.returncode not in ok:
        raise RuntimeError(f"git {' '.join(args)}: {done.returncode}\n{os.fsdecode(done.stderr)}")
    return done


# -- a history of every kind of merge ------------------------------------------------------------------

Entry = tuple[str, bytes]  # mode, and content (of a submodule: its commit)
Files = dict[str, Entry]
TEXT, PROGRAM, LINK, SUBMODULE = "100644", "100755", "120000", "160000"
DIRECTORIES = ("", "src/", "src/deep/", "docs/", "lib/")
ATTRIBUTES = (
    b"CHANGES merge=union\n",
    b"CHANGES merge=union\n*.txt -merge\n",
    b"*.txt merge=binary\nCHANGES merge=text\n",
    b"*.txt conflict-marker-size=9\n",
)


@dataclass
class Line:
    """A line of development: its tip (a mark of fast-import), the files there, and those where it last met another."""

    tip: int
    files: Files
    met: Files


class History:
    """A history that grows at random, written as a stream for `git fast-import`."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.stream: list[bytes] = []
        self.marks = 0
        self.merges = 0
        files: Files = {f"{place}{n}.txt": (TEXT, self._text(n)) for place in DIRECTORIES for n in range(3)}
        files |= {".gitattributes": (TEXT, ATTRIBUTES[0]), "CHANGES": (TEXT, b"first\n")}
        files |= {"image.bin": (TEXT, b"\0\1"), "link": (LINK, b"CHANGES"), "module": (SUBMODULE, b"1" * 40)}
        self.main = Line(self._commit({}, files), files, files)

    def grow(self, merges: int) -> None:
        """Add commits on five branches at a time until there are this many merges."""
        topics = [Line(self.main.tip, self.main.files, self.main.files) for _ in range(5)]
        while self.merges < merges:
            topic = self.chance.choice(topics)
            for _ in range(self.chance.randint(1, 3)):
                self._edit(topic)
            for _ in range(self.chance.randint(0, 2)):
                self._edit(self.main)
            before = Line(self.main.tip, self.main.files, self.main.met)
            self._merge(self.main, topic, topic.met)
            if self.chance.random() < 0.25:
                self._merge(topic, before, topic.met)  # criss-cross
            elif self.chance.random() < 0.5:
                topic.tip, topic.files = self.main.tip, self.main.files
            topic.met = topic.files

    def _merge(self, into: Line, other: Line, base: Files) -> None:
        """Merge as a person would: what only one side changed is taken, of the rest any."""
        files = dict(into.files)
        for path in base.keys() | other.files.keys():
            theirs, common = other.files.get(path), base.get(path)
            if theirs == common or (into.files.get(path) != common and self.chance.random() < 0.5):
                continue
            files.pop(path, None)
            if theirs:
                files[path] = theirs
        into.tip = self._commit(into.files, files, into.tip, other.tip)
        into.files = files
        self.merges += 1

    def _edit(self, line: Line) -> None:
        files = dict(line.files)
        edits: list[Callable[[Files], None]] = [self._change] * 4
        edits += [self._add, self._remove, self._rename, self._rename_directory, self._mode, self._odd]
        self.chance.choice(edits)(files)
        line.tip = self._commit(line.files, files, line.tip)
        line.files = files

    def _commit(self, old: Files, files: Files, *parents: int) -> int:
        """Write a commit: what differs from the first parent's files. A file below a file gives way."""
        for path in [path for path in files if any(f"{path}/" == other[: len(path) + 1] for other in files)]:
            del files[path]
        self.marks += 1
        head = f"commit refs/heads/main\nmark :{self.marks}\ncommitter A <a@example.org> {self.marks} +0000\n"
        self.stream.append(head.encode() + b"data 1\nx\n")
        for word, parent in zip(("from", "merge"), parents, strict=False):
            self.stream.append(f"{word} :{parent}\n".encode())
        self.stream += [f"D {path}\n".encode() for path in old.keys() - files.keys()]
        for path, (mode, content) in files.items():
            if old.get(path) == (mode, content):
                continue
            if mode == SUBMODULE:
                self.stream.append(f"M {mode} {content.decode()} {path}\n".encode())
            else:
                self.stream.append(
                    f"M {mode} inline {path}\ndata {len(content)}\n".encode() + content + b"\n"
                )
        return self.marks

    def _text(self, seed: int) -> bytes:
        return b"".join(b"line %d of %d\n" % (n, seed) for n in range(24))

    def _pick(self, files: Files) -> str:
        """Return a text file that is there."""
        texts = sorted(path for path in files if path.endswith(".txt"))
        if not texts:
            self._add(files)
            return self._pick(files)
        return self.chance.choice(texts)

    def _change(self, files: Files) -> None:
        path = self._pick(files)
        mode, content = files[path]
        lines = content.splitlines(keepends=True)
        at = self.chance.randrange(len(lines) + 1)
        lines[at : at + self.chance.randint(0, 2)] = [b"changed %d\n" % self.chance.randint(0, 3)]
        content = b"".join(lines)
        if self.chance.random() < 0.05:
            is_dos = b"\r\n" in content
            content = content.replace(b"\r\n", b"\n") if is_dos else content.replace(b"\n", b"\r\n")
        files[path] = (mode, content)
        if self.chance.random() < 0.3 and "CHANGES" in files:
            files["CHANGES"] = (TEXT, files["CHANGES"][1] + b"change %d\n" % self.marks)

    def _add(self, files: Files) -> None:
        path = f"{self.chance.choice(DIRECTORIES)}{self.chance.randint(0, 30)}.txt"
        files[path] = (TEXT, self._text(self.chance.randint(0, 9)))

    def _remove(self, files: Files) -> None:
        del files[self._pick(files)]

    def _rename(self, files: Files) -> None:
        old = self._pick(files)
        files[f"{self.chance.choice(DIRECTORIES)}{self.chance.randint(0, 30)}.txt"] = files.pop(old)
        if self.chance.random() < 0.5:
            self._change(files)

    def _rename_directory(self, files: Files) -> None:
        old, new = self.chance.sample((*DIRECTORIES[1:], "moved/"), 2)
        for path in [path for path in files if path.startswith(old)]:
            files[new + path.removeprefix(old)] = files.pop(path)

    def _mode(self, files: Files) -> None:
        path = self._pick(files)
        mode, content = files[path]
        files[path] = ({TEXT: PROGRAM, PROGRAM: TEXT}.get(mode, TEXT), content)

    def _odd(self, files: Files) -> None:
        """Change what is no text: attributes, links, bytes, a submodule, a file that becomes a directory."""
        number = self.chance.randint(1, 3)
        path, entry = self.chance.choice(
            [
                (".gitattributes", (TEXT, self.chance.choice(ATTRIBUTES))),
                ("link", (LINK, b"to %d" % number)),
                ("link", (TEXT, b"no link\n")),
                ("image.bin", (TEXT, b"\0%d" % number)),
                ("module", (SUBMODULE, b"%d" % number * 40)),
                ("image.bin/part.txt", (TEXT, b"part\n")),
            ]
        )
        files[path] = entry


def make(directory: Path, merges: int, chance: random.Random) -> None:
    """Write a bare repository whose history has (about) this many merges."""
    history = History(chance)
    history.grow(merges)
    directory.mkdir(parents=True)
    _git(directory, "init", "--quiet", "--bare", "--initial-branch=main")
    _git(directory, "fast-import", "--quiet", stdin=b"".join(history.stream))


def main() -> int:
    """Return 0 when every forecast was the truth, else 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("repositories", type=Path, nargs="*", metavar="REPOSITORY")
    parser.add_argument("--limit", type=int, metavar="N", help="replay the N latest merges only")
    parser.add_argument("--cross", type=int, metavar="N", help="merge N pairs of commits instead")
    parser.add_argument("--make", nargs=2, metavar=("DIRECTORY", "N"), help="write a repository to replay")
    parser.add_argument("--seed", type=int, default=0, help="of what --make and --cross draw")
    given = parser.parse_args()
    if given.make:
        make(Path(given.make[0]), int(given.make[1]), random.Random(given.seed))
        return 0
    if not given.repositories:
        parser.error("name a repository, or --make one")
    total = Tally()
    print(HEAD)
    for path in given.repositories:
        try:
            tally = replay_as_told(path, given)
        except RuntimeError as error:
            print(f"left out: {path}: {error}", file=sys.stderr)
            continue
        print(tally.row(path.resolve().name), flush=True)
        total.add(tally)
    print("\n".join([total.row("all"), *total.wrong]))
    return 1 if total.wrong else 0


def replay_as_told(path: Path, given: argparse.Namespace) -> Tally:
    """Replay what the command line asks for, of one repository."""
    with opened(path) as repository:
        if given.cross:
            return replay(repository, crossing(repository, given.cross, random.Random(given.seed)))
        return replay(repository, recorded(repository, given.limit))


if __name__ == "__main__":
    sys.exit(main())
