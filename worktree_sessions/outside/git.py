"""git, asked in its own words: one class bound to a directory, one table of versions, typed answers.

Rules of this module: porcelain with `-z` or plumbing only, exit codes and never English decide, `--` or
`--end-of-options` before anything a user typed, every ref update carries its expected old value.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NewType

from worktree_sessions.errors import WtsError
from worktree_sessions.outside import environment, processes

Oid = NewType("Oid", str)
Ref = NewType("Ref", str)  # always full: refs/heads/..., refs/wts/...
BranchName = NewType("BranchName", str)  # always short: feature/auth
Version = tuple[int, int]

OLDEST: Version = (2, 38)

# What appears with which git, and what is done before it. The only place where versions are compared.
FEATURES: dict[str, tuple[Version, str, str]] = {
    "merge-tree": ((2, 38), "conflicts are predicted in the object store", "required"),
    "ahead-behind": ((2, 41), "ahead and behind of all sessions in one call", "one rev-list a session"),
    "config-hooks": (
        (2, 54),
        "git hooks are installed as configuration",
        "hook files that chain the ones already there",
    ),
}

# Who writes the commits that only stand in for something: the same content is the same commit, whoever asks.
NOBODY = {
    **{f"GIT_{who}_NAME": "wts" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "wts@localhost" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_DATE": "@4102444800 +0000" for who in ("AUTHOR", "COMMITTER")},  # later than any parent
}

OPEN_OPERATIONS = {
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "sequencer": "cherry-pick",  # or a revert of several: between two of them no HEAD of theirs is there
    "BISECT_LOG": "bisect",
}


class GitError(WtsError):
    """git failed where it was not expected to; carries its exit status and its own words."""

    def __init__(self, args: Sequence[str], status: int, err: bytes) -> None:
        words = err.decode("utf-8", "replace").strip()
        first = words.splitlines()[-1] if words else f"exit status {status}"
        super().__init__("git-failed", f"git {_verb(args)} failed: {first}")
        self.status = status
        self.said = words


def _verb(args: Sequence[str]) -> str:
    """Return the command among git's words: options with a value may stand before it."""
    return args[0] if args[0] != "-c" else _verb(args[2:])


class Worktree(NamedTuple):
    """One row of `git worktree list`: `branch` is None when detached, `locked` and `prunable` carry their reason."""

    path: Path
    head: Oid | None
    branch: Ref | None
    bare: bool
    locked: str | None
    prunable: str | None


class Status(NamedTuple):
    """`git status` of one worktree: paths are relative to its top, as bytes-safe strings."""

    head: Oid | None
    branch: BranchName | None
    changed: tuple[str, ...]
    untracked: tuple[str, ...]
    unmerged: tuple[str, ...]
    submodules: tuple[str, ...]  # those with changes or commits of their own
    ignored: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        return not (self.changed or self.untracked or self.unmerged)


class Git:
    """git in one directory. Every call is a child process; nothing is cached."""

    def __init__(self, directory: Path, extra_env: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self._extra_env = dict(extra_env or {})

    def at(self, directory: Path, extra_env: Mapping[str, str] | None = None) -> Git:
        """Return a Git for another directory."""
        return Git(directory, extra_env)

    def with_env(self, **extra: str) -> Git:
        """Return a Git for the same directory with more variables set (GIT_INDEX_FILE and its like)."""
        return Git(self.directory, {**self._extra_env, **extra})

    def chosen(self, *names: str) -> dict[str, str]:
        """Return those of the named variables that were set for this Git."""
        return {name: self._extra_env[name] for name in names if name in self._extra_env}

    def ask(self, *args: str, stdin: bytes = b"", timeout: float | None = None) -> processes.Completed:
        """Run git and return whatever it answered; the caller branches on the status."""
        done = processes.run(
            ["git", *args],
            cwd=self.directory,
            env=environment.for_git(self._extra_env),
            stdin=stdin,
            timeout=timeout,
        )
        return self.ran(done)

    def ran(self, done: processes.Completed) -> processes.Completed:
        """Return a call that was made; raise WtsError when git or the directory is missing."""
        if done.status == processes.MISSING:
            if not self.directory.is_dir():
                raise WtsError("no-directory", f"{self.directory} is not a directory")
            raise WtsError("no-git", "git was not found on PATH", hint="install git 2.38 or newer")
        return done

    def run(self, *args: str, stdin: bytes = b"", ok: tuple[int, ...] = (0,)) -> bytes:
        """Run git, raise GitError unless the status is in `ok`, return stdout."""
        return self._worked(args, self.ask(*args, stdin=stdin), ok)

    def _worked(self, args: Sequence[str], done: processes.Completed, ok: tuple[int, ...] = (0,)) -> bytes:
        if done.status not in ok:
            version()  # asked for here only, and by what changes something: it is a process more
            raise GitError(args, done.status, done.err)
        return done.out

    def call(self, args: tuple[str, ...]) -> processes.Call:
        """Return what `run` would run, for `ask_all`."""
        return processes.Call(["git", *args], self.directory, environment.for_git(self._extra_env))

    def answer(self, args: tuple[str, ...], done: processes.Completed) -> bytes | WtsError:
        """Return what `run` would return or raise."""
        try:
            return self._worked(args, self.ran(done))
        except WtsError as error:
            return error

    def line(self, *args: str, stdin: bytes = b"") -> str:
        """Run git and return stdout without its final newline (a path may contain others)."""
        return os.fsdecode(self.run(*args, stdin=stdin)).removesuffix("\n")

    def fields(self, *args: str, stdin: bytes = b"") -> list[str]:
        """Run git with a -z output and return its fields."""
        return split_z(self.run(*args, stdin=stdin))

    # -- refs ----------------------------------------------------------------------------------

    def resolve(self, revision: str) -> Oid | None:
        """Return the commit a revision names, or None when it names none."""
        done = self.ask("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}")
        return Oid(done.out.decode().strip()) if done.status == 0 else None

    def refs(self, *patterns: str) -> dict[Ref, Oid]:
        """Return the refs below the patterns with the objects they point at."""
        return parse_refs(self.run(*LIST_REFS, *patterns))

    def update_refs(self, reason: str, *changes: tuple[Ref, Oid | None, Oid | None]) -> None:
        """Move refs (name, new, expected old) in one transaction; None is absence on either side.

        Raises GitError when any old value differs; then none has moved. Absent to absent only checks.
        """
        script = ["start"]
        for name, new, old in changes:
            zero = "0" * len(new or old or "0" * 40)
            if new is None:  # a delete without an old value would delete whatever is there
                script.append(f"delete {name}\0{old}" if old else f"verify {name}\0")
            else:
                script.append(f"update {name}\0{new}\0{old or zero}")
        script += ["prepare", "commit", ""]
        self.run("update-ref", "-m", reason, "--stdin", "-z", stdin=os.fsencode("\0".join(script)))

    def is_ancestor(self, old: str, new: str) -> bool:
        """Return whether `old` is contained in `new`."""
        done = self.ask("merge-base", "--is-ancestor", old, new)
        if done.status not in (0, 1):
            raise GitError(("merge-base",), done.status, done.err)
        return done.status == 0

    def ahead_behind(self, parent: str, tip: str) -> tuple[int, int]:
        """Return how many commits `tip` has that `parent` lacks, and the other way round."""
        return parse_distance(self.run(*compare(parent, tip)))

    def config(self, key: str) -> str | None:
        """Return one configuration value, or None."""
        done = self.ask("config", "--get", key)
        return os.fsdecode(done.out).removesuffix("\n") if done.status == 0 else None

    # -- worktrees -----------------------------------------------------------------------------

    def worktrees(self) -> list[Worktree]:
        """Return the repository's worktrees, the main one (or the bare repository) first."""
        return parse_worktrees(self.run(*LIST_WORKTREES))

    def status(self, *, ignored: bool = False) -> Status:
        """Return what is changed and untracked here, whatever the user's config and its caches hide."""
        words = [*NO_CACHES, *STATUS, *(["--ignored=traditional"] if ignored else [])]
        return parse_status(self.run(*words))

    def git_dir(self) -> Path:
        """Return the absolute git directory of this worktree."""
        return Path(self.line("rev-parse", "--absolute-git-dir"))


def at_top(worktree: Path) -> Git:
    """Return git at the top of a worktree; where its `.git` is gone, no repository further up answers for it."""
    return Git(worktree, {"GIT_CEILING_DIRECTORIES": str(worktree.parent)})


class Repository(NamedTuple):
    """Where we are: the shared git directory, this worktree's own, and its top (None outside of a work tree)."""

    common_dir: Path
    git_dir: Path
    top: Path | None

    @property
    def git(self) -> Git:
        """git at a place that outlives every session: the shared git directory.

        It is named outright: `safe.bareRepository=explicit` forbids git to find it by standing in it.
        """
        return Git(self.common_dir, {"GIT_DIR": str(self.common_dir)})


def find_repository(directory: Path, meanwhile: Callable[[], object] | None = None) -> Repository:
    """Return the repository that holds `directory`; raise WtsError outside of one. `meanwhile` is as for `ask_all`."""
    git = Git(directory)
    words = ("rev-parse", "--path-format=absolute", "--git-common-dir", "--git-dir", "--show-toplevel")
    (answer,) = processes.run_all([git.call(words)], meanwhile)
    done = git.ran(answer)
    if done.status == 0 and done.out.count(b"\n") == 3:
        common, own, top = (Path(part) for part in os.fsdecode(done.out).split("\n")[:3])
        return Repository(common, own, top)
    version()
    # a newline in a path, a bare repository, inside .git, or none: ask for one thing at a time
    common_answer = git.ask("rev-parse", "--path-format=absolute", "--git-common-dir")
    if common_answer.status != 0:
        version()  # one that is too old does not know --path-format, and is told as that
        said = common_answer.err.decode("utf-8", "replace").strip()
        if "dubious ownership" in said:
            raise WtsError(
                "not-owned",
                f"git refuses {directory}: it belongs to another user",
                hint=f"git config --global --add safe.directory {shlex.quote(str(directory))}",
            )
        raise WtsError(
            "no-repository", f"{directory} is not in a git repository", hint="git init, or wts -C DIR ..."
        )
    top_answer = git.ask("rev-parse", "--show-toplevel")
    return Repository(
        Path(os.fsdecode(common_answer.out).removesuffix("\n")),
        git.git_dir(),
        Path(os.fsdecode(top_answer.out).removesuffix("\n")) if top_answer.status == 0 else None,
    )


@functools.cache
def version() -> Version:
    """Return git's version; raise WtsError when git is missing or older than the oldest supported."""
    done = processes.run(["git", "version"])
    if done.status == processes.MISSING:
        raise WtsError("no-git", "git was not found on PATH", hint="install git 2.38 or newer")
    match = re.search(rb"(\d+)\.(\d+)", done.out)
    if match is None:
        raise WtsError("odd-git", f"git version answered {done.out.decode(errors='replace').strip()!r}")
    found = (int(match[1]), int(match[2]))
    if found < OLDEST:
        raise WtsError("old-git", f"git {found[0]}.{found[1]} is too old", hint="install git 2.38 or newer")
    return found


def has(feature: str) -> bool:
    """Return whether this git has a feature of the table."""
    return version() >= FEATURES[feature][0]


# -- several questions at once -------------------------------------------------------------------

LIST_REFS = ("for-each-ref", "--format=%(objectname) %(refname)")
LIST_WORKTREES = ("worktree", "list", "--porcelain", "-z")
STATUS = (
    "status",
    "--porcelain=v2",
    "--branch",
    "-z",
    "--untracked-files=all",
    "--ignore-submodules=none",
    "--no-renames",
)
# A monitor that missed a change would hide it; `list` may trust it, what removes a worktree may not.
NO_CACHES = ("-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false")


def compare(parent: str, tip: str) -> tuple[str, ...]:
    """Return the question whose answer `parse_distance` reads."""
    return ("rev-list", "--count", "--left-right", f"{parent}...{tip}", "--")


class Question(NamedTuple):
    """A git call that reads: where, and its words."""

    git: Git
    args: tuple[str, ...]


def ask_all(
    questions: Sequence[Question], meanwhile: Callable[[], object] | None = None
) -> list[bytes | WtsError]:
    """Ask several questions at once; each answer is stdout, or the error that `Git.run` would have raised.

    What is done `meanwhile` costs only what it takes longer than git does.
    """
    calls = [question.git.call(question.args) for question in questions]
    answers = processes.run_all(calls, meanwhile)
    return [
        question.git.answer(question.args, done) for question, done in zip(questions, answers, strict=True)
    ]


def split_z(out: bytes) -> list[str]:
    """Split a -z output into its fields."""
    return [os.fsdecode(field) for field in out.split(b"\0")[:-1]]


def parse_refs(out: bytes) -> dict[Ref, Oid]:
    """Parse the answer to LIST_REFS."""
    pairs = (os.fsdecode(row).split(" ", 1) for row in out.splitlines())
    return {Ref(name): Oid(oid) for oid, name in pairs}


def parse_distance(out: bytes) -> tuple[int, int]:
    """Parse the answer to `compare` into ahead and behind."""
    behind, ahead = out.split()
    return int(ahead), int(behind)


def parse_worktrees(out: bytes) -> list[Worktree]:
    """Parse `git worktree list --porcelain -z`."""
    rows = []
    for block in os.fsdecode(out).split("\0\0"):
        facts = dict([*line.split(" ", 1), ""][:2] for line in block.split("\0") if line)
        if "worktree" not in facts:
            continue
        head = facts.get("HEAD")
        rows.append(
            Worktree(
                path=Path(facts["worktree"]),
                head=Oid(head) if head and head.strip("0") else None,
                branch=Ref(facts["branch"]) if "branch" in facts else None,
                bare="bare" in facts,
                locked=facts.get("locked"),
                prunable=facts.get("prunable"),
            )
        )
    return rows


def parse_status(out: bytes) -> Status:
    """Parse `git status --porcelain=v2 --branch -z`."""
    head: Oid | None = None
    branch: BranchName | None = None
    rows: dict[str, list[str]] = {
        kind: [] for kind in ("changed", "untracked", "unmerged", "submodules", "ignored")
    }
    fields = iter(split_z(out))
    for row in fields:
        kind = row[:1]
        if row.startswith("# branch.oid "):
            value = row.removeprefix("# branch.oid ")
            head = None if value == "(initial)" else Oid(value)
        elif row.startswith("# branch.head "):
            value = row.removeprefix("# branch.head ")
            branch = None if value == "(detached)" else BranchName(value)
        elif kind in "12":
            parts = row.split(" ", 8 if kind == "1" else 9)
            rows["changed"].append(parts[-1])
            if parts[2].startswith("S"):
                rows["submodules"].append(parts[-1])
            if kind == "2":
                next(fields)  # the path it was renamed from
        elif kind == "u":
            rows["unmerged"].append(row.split(" ", 10)[-1])
        elif kind == "?":
            rows["untracked"].append(row[2:])
        elif kind == "!":
            rows["ignored"].append(row[2:])
    return Status(head, branch, **{kind: tuple(paths) for kind, paths in rows.items()})


def traces(common_dir: Path, branches: Iterable[BranchName]) -> list[str]:
    """Return the files that git writes in a linked worktree to commit, stage or check out, and to move these branches.

    They need not be there. They are plain strings, since who asks does so all the time.
    """
    try:
        worktrees = [entry.path for entry in os.scandir(common_dir / "worktrees")]
    except OSError:
        worktrees = []
    refs = ["packed-refs", "reftable/tables.list", *(f"refs/heads/{branch}" for branch in branches)]
    marks = [f"{one}/{name}" for one in worktrees for name in ("HEAD", "index", "logs/HEAD")]
    return [*(f"{common_dir}/{ref}" for ref in refs), *marks]


def git_dir_of(worktree: Path) -> Path:
    """Return the git directory of a linked worktree, without a process; raise OSError when that can't be read."""
    words = os.fsdecode((worktree / ".git").read_bytes()).removesuffix("\n")
    return worktree / words.removeprefix("gitdir: ")  # git 2.48 may write it relative


def open_operation(git_dir: Path) -> str | None:
    """Return the git operation that is open in a worktree (rebase, merge, ...), or None."""
    for marker, name in OPEN_OPERATIONS.items():
        if (git_dir / marker).exists():
            return name
    return None


def short(ref: Ref) -> BranchName:
    """refs/heads/feature/auth -> feature/auth."""
    return BranchName(ref.removeprefix("refs/heads/"))


def full(branch: BranchName) -> Ref:
    """feature/auth -> refs/heads/feature/auth."""
    return Ref(f"refs/heads/{branch}")
