"""Is the forecast the truth? Every merge of a repository's history, foretold and then made by `git merge`.

    python benchmarks/replay.py REPOSITORY [--limit N]     replay its merges, the latest first
    python benchmarks/replay.py --make DIRECTORY N         write a history with N merges of every kind to replay

The repository is only read: merges are made in a clone that shares its objects, and goes. The verdict and, where it
is clean, the tree must be the same. Merges of more than two parents are counted and left out.
"""

from __future__ import annotations

import argparse
import enum
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from worktree_sessions.outside import merging
from worktree_sessions.outside.git import Git, Oid
from worktree_sessions.outside.merging import Merged, Outcome

PLAIN = ["core.hooksPath=/dev/null", "rerere.enabled=false", "gc.auto=0", "maintenance.auto=false"]
NOBODY = ["user.name=nobody", "user.email=nobody@example.org"]
MERGE = ("merge", "--quiet", "--no-ff", "--no-edit", "--no-verify", "--no-gpg-sign", "--no-autostash")


class Verdict(enum.StrEnum):
    """How a forecast compares with what `git merge` did."""

    CLEAN = "clean, and the same tree"
    CONFLICT = "conflict, and so it was"
    OTHER_TREE = "clean, but another tree"
    FALSE_CLEAN = "clean, but it was a conflict"
    FALSE_CONFLICT = "conflict, but it was clean"
    UNKNOWN = "unknown, but git could tell"
    REFUSED = "git merge itself refuses, or breaks"


AGREED = (Verdict.CLEAN, Verdict.CONFLICT, Verdict.REFUSED)


@dataclass
class Tally:
    """What a replay came to: how often each verdict, which merges disagree, octopuses left out, seconds of both."""

    counts: Counter[Verdict] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    octopuses: int = 0
    ours: float = 0.0
    theirs: float = 0.0

    def lines(self) -> Iterator[str]:
        """Yield the table, one row a line."""
        yield f"{self.counts.total():7}  merges of two parents"
        yield from (f"{self.counts[verdict]:7}  {verdict}" for verdict in Verdict)
        yield f"{self.octopuses:7}  octopus merges left out"
        yield f"{self.ours:7.1f}  seconds foretelling"
        yield f"{self.theirs:7.1f}  seconds of git merge, with its checkouts"
        yield from (f"disagree: {row}" for row in self.wrong)


def replay(repository: Path, limit: int | None = None) -> Tally:
    """Foretell and make each merge of all refs, the latest first, at most `limit`."""
    rows = _git(repository, "rev-list", "--all", "--min-parents=2", "--parents").stdout.decode().splitlines()
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="wts-replay-", ignore_cleanup_errors=True) as place:
        scratch = Path(place, "clone")
        _git(Path(place), "clone", "--quiet", "--shared", "--no-checkout", str(repository.resolve()), "clone")
        for row in rows[:limit]:
            commit, *parents = row.split()
            if len(parents) != 2:
                tally.octopuses += 1
                continue
            verdict = compare(scratch, Oid(parents[0]), Oid(parents[1]), tally)
            tally.counts[verdict] += 1
            if verdict not in AGREED:
                tally.wrong.append(f"{commit} {verdict}")
    return tally


def compare(scratch: Path, ours: Oid, theirs: Oid, tally: Tally) -> Verdict:
    """Foretell one merge and make it in the scratch clone; the time each took is added to the tally."""
    began = time.perf_counter()
    git = Git(scratch, {"GIT_DIR": str(scratch / ".git")})
    with merging.attributes_of(git, ours) as place:
        foretold = merging.merge(git, place, ours, theirs)
    then = time.perf_counter()
    made = porcelain(scratch, ours, theirs)
    tally.ours += then - began
    tally.theirs += time.perf_counter() - then
    return judge(foretold, made)


def porcelain(scratch: Path, ours: Oid, theirs: Oid) -> Outcome | Oid:
    """Make a merge in a working tree: the tree it came to, else conflict, or unknown where git refuses."""
    _git(scratch, "checkout", "--quiet", "--force", "--detach", ours)
    done = _git(scratch, *MERGE, theirs, ok=None)
    if done.returncode == 0:
        return Oid(_git(scratch, "rev-parse", "HEAD^{tree}").stdout.decode().strip())
    (scratch / ".git" / "index.lock").unlink(missing_ok=True)  # left behind where git was aborted
    outcome = Outcome.CONFLICT if (scratch / ".git" / "MERGE_HEAD").exists() else Outcome.UNKNOWN
    _git(scratch, "reset", "--quiet", "--hard")
    _git(scratch, "clean", "--quiet", "-ffdx")
    return outcome


def judge(foretold: Merged, made: Outcome | Oid) -> Verdict:
    """Return how a forecast compares with what came of the merge."""
    if made is Outcome.UNKNOWN:
        return Verdict.REFUSED
    if foretold.outcome is Outcome.UNKNOWN:
        return Verdict.UNKNOWN
    if foretold.outcome is Outcome.CONFLICT:
        return Verdict.CONFLICT if made is Outcome.CONFLICT else Verdict.FALSE_CONFLICT
    if made is Outcome.CONFLICT:
        return Verdict.FALSE_CLEAN
    return Verdict.CLEAN if foretold.tree == made else Verdict.OTHER_TREE


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
    parser.add_argument("repository", type=Path, nargs="?", metavar="REPOSITORY")
    parser.add_argument("--limit", type=int, metavar="N", help="replay the N latest merges only")
    parser.add_argument("--make", nargs=2, metavar=("DIRECTORY", "N"), help="write a repository to replay")
    parser.add_argument("--seed", type=int, default=0, help="of the history that --make writes")
    given = parser.parse_args()
    if given.make:
        make(Path(given.make[0]), int(given.make[1]), random.Random(given.seed))
        return 0
    if not given.repository:
        parser.error("name a repository, or --make one")
    tally = replay(given.repository, given.limit)
    print("\n".join(tally.lines()))
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
