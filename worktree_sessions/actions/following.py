"""How a worktree's files follow its branch: nothing that a person or an agent made is overwritten, at any moment.

Three things mark a move under way, all in the worktree's git directory, and each appears and goes in one step:

    index.lock           a link that names us: no git moves HEAD, stages or commits here until the move is over
    wts-index-OLD-NEW    the new index in the making; the worktree's own stays that of OLD until the ref stands at NEW
    the ref              moved by compare-and-swap between the two: whoever asks sees OLD or NEW

So after a kill the ref decides (`settle`). At NEW all files are there, and the new index is put in place. Else the
files go back to what the old index says: only paths that differ between OLD and NEW, and only files that hold what
git writes there, or the beginning of it. Any other content is somebody's, and stays as a change of theirs.

git moves the files itself (`read-tree -m -u`), so that filters, modes, links and sparse checkouts are as it does
them. It would overwrite an ignored file, which is why we look for one just before.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.errors import Refused, WtsError
from worktree_sessions.model.words import listed, quoted
from worktree_sessions.outside import merging, processes
from worktree_sessions.outside.git import Git, Oid, Ref, at_top, open_operation, short, split_z

PATIENCE = 5.0  # seconds to wait for a git that works in the worktree
OURS = "wts moves this branch, and goes on with the next wts command"  # what the link in index.lock says
PRIVATE = "wts-index-"

# No hook but reference-transaction has a say, and no monitor may hide a change.
ALONE = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false")
DIFF = ("diff-tree", "-r", "-z", "--no-renames", "--ignore-submodules=none")
ABSENT, LINK, SUBMODULE = "000000", "120000", "160000"


Written = Callable[[str, "Entry"], bytes]  # what git writes to disk for a path


class Entry(NamedTuple):
    """What a tree holds at a path: git's mode and object, ABSENT for nothing."""

    mode: str
    oid: Oid


class Change(NamedTuple):
    """A path that differs between two commits."""

    path: str
    old: Entry
    new: Entry


@dataclass(frozen=True, slots=True)
class Place:
    """A worktree: its top, and its git directory."""

    top: Path
    admin: Path

    @classmethod
    def of(cls, top: Path) -> Place:
        return cls(top, at_top(top).git_dir())

    @property
    def git(self) -> Git:
        return at_top(self.top)

    @property
    def index(self) -> Path:
        return self.admin / "index"

    @property
    def lock(self) -> Path:
        return self.admin / "index.lock"


def changes(git: Git, old: Oid, new: Oid) -> list[Change]:
    """Return the paths that differ between two commits."""
    fields = git.fields(*DIFF, old, new)
    found = []
    for meta, path in zip(fields[0::2], fields[1::2], strict=True):
        old_mode, new_mode, old_oid, new_oid, _ = meta.removeprefix(":").split()
        found.append(Change(path, Entry(old_mode, Oid(old_oid)), Entry(new_mode, Oid(new_oid))))
    return found


# -- may it? ---------------------------------------------------------------------------------------


class Hindrance(NamedTuple):
    """What keeps a worktree's files from changing: a stable word, the paths, and what they are."""

    code: str
    paths: tuple[str, ...]
    what: str

    @property
    def says(self) -> str:
        return f"{listed(self.paths)} {'is' if len(self.paths) == 1 else 'are'} {self.what}"


def look(place: Place, ref: Ref, todo: list[Change]) -> None:
    """Raise Refused, naming the file, when a worktree can't follow without touching what is not committed."""
    wait_for_index(place)
    operation = open_operation(place.admin)
    if operation is not None:
        raise refused_mid_operation(place.top, ref, operation)
    if found := hindrance(place, todo):
        raise Refused(
            found.code,
            f"{short(ref)} can't move: in {place.top}, {found.says}",
            hint=f"commit, or move away; or git -C {quoted(place.top)} switch --detach, then again",
            details=found.paths,
        )


def hindrance(place: Place, todo: list[Change]) -> Hindrance | None:
    """Return what a change of these paths would cost: a file that is changed, untracked or ignored; None: nothing."""
    status = place.git.status()
    touched = {change.path for change in todo}
    filled = [
        one.path for one in todo if SUBMODULE in (one.old.mode, one.new.mode) and _is_filled(place, one)
    ]
    for code, paths, what in (
        ("unmerged", status.unmerged, "in conflict"),
        ("changed", [path for path in status.changed if path in touched], "changed there and not committed"),
        ("submodule", filled, "a submodule, whose files git would leave behind"),
    ):
        if paths:
            return Hindrance(code, tuple(sorted(paths)), what)
    if paths := _in_the_way(place.top, todo):
        out = place.git.run("check-ignore", "-z", "--stdin", stdin=_z(paths), ok=(0, 1))
        kind = "ignored" if set(paths) <= set(split_z(out)) else "untracked"
        return Hindrance("in-the-way", tuple(paths), f"{kind}, and in the way of what comes")
    return None


def refused_mid_operation(top: Path, ref: Ref, operation: str) -> Refused:
    """Return the refusal of a move into an open rebase, merge or bisect."""
    cure = f"git -C {quoted(top)} {operation} " + ("reset" if operation == "bisect" else "--abort")
    says = f"{short(ref)} can't move: a {operation} of it is open in {top}"
    return Refused("open-operation", says, hint=f"finish it, or {cure}")


def _is_filled(place: Place, change: Change) -> bool:
    """Return whether something lies in a submodule's directory."""
    try:
        return bool(os.listdir(place.top / change.path))
    except OSError:
        return False


def _in_the_way(top: Path, todo: list[Change]) -> list[str]:
    """Return what is on disk where a new path, or a directory above it, has to be."""
    going = {change.path for change in todo if change.new.mode == ABSENT}
    found: set[str] = set()
    for change in todo:
        if change.old.mode == ABSENT:
            found |= _at_or_above(top, change.path) - going
    return sorted(found)


def _at_or_above(top: Path, path: str) -> set[str]:
    """Return what keeps a path from being made: a file or link above it, or all that is at it or below it."""
    for end in (*(at for at, letter in enumerate(path) if letter == "/"), len(path)):
        place = top / path[:end]
        if not os.path.lexists(place):
            return set()
        if place.is_symlink() or not place.is_dir():
            return {path[:end]}
    return {
        str(Path(folder, name).relative_to(top)) for folder, _, names in os.walk(top / path) for name in names
    }


# -- the move --------------------------------------------------------------------------------------


def follow(
    place: Place, ref: Ref, old: Oid, new: Oid, *, check: Callable[[], None], move_ref: Callable[[], None]
) -> None:
    """Bring a worktree's files, its branch and its index from one commit to another; all of it or nothing.

    `check` raises what refuses it, `move_ref` moves the ref: both are called while git can do nothing here.
    """
    lock(place)
    try:
        check()
        private = place.admin / f"{PRIVATE}{old}-{new}"
        copy_index(place.index, private)
        move_files(place, private, ref, old, new)
        if place.git.ask("symbolic-ref", "--quiet", "HEAD").out != os.fsencode(f"{ref}\n"):
            raise Refused(
                "switched", f"{place.top} was switched away from {short(ref)} meanwhile", hint="again"
            )
        move_ref()
        os.replace(private, place.index)
    except (WtsError, OSError):
        settle(place, ref)
        raise
    unlock(place)


def move_files(place: Place, private: Path, ref: Ref, old: Oid, new: Oid) -> None:
    words = ("read-tree", "-m", "-u", "--no-recurse-submodules", old, new)
    done = place.git.with_env(GIT_INDEX_FILE=str(private)).ask(*ALONE, *words)
    if done.status != 0:
        said = done.err.decode("utf-8", "replace").strip()
        raise Refused(
            "in-the-way",
            f"git can't bring the files of {place.top} to the new {short(ref)}",
            hint=f"git -C {quoted(place.top)} status",
            details=tuple(said.splitlines()),
        )


def lock(place: Place) -> None:
    """Keep git from changing the worktree's index and HEAD; a lock of ours is a dead wts's, for we hold the other."""
    while not is_locked_by_us(place):
        with contextlib.suppress(FileExistsError):
            os.symlink(OURS, place.lock)
            return
        wait_for_index(place)


def unlock(place: Place) -> None:
    if is_locked_by_us(place):
        place.lock.unlink()


def is_locked_by_us(place: Place) -> bool:
    return place.lock.is_symlink() and os.readlink(place.lock) == OURS


def wait_for_index(place: Place) -> None:
    deadline = time.monotonic() + PATIENCE
    while os.path.lexists(place.lock) and not is_locked_by_us(place):
        if time.monotonic() > deadline:
            who = ", ".join(f"{one.name} (pid {one.pid})" for one in processes.standing_in(place.top) or [])
            raise Refused(
                "index-locked",
                f"git holds the index of {place.top}: {place.lock} is there; {who or 'nobody known'} works there",
                hint=f"wait for it; when nobody works there, rm {quoted(place.lock)}",
            )
        time.sleep(0.05)


# -- after a kill ----------------------------------------------------------------------------------


def settle(place: Place, ref: Ref) -> None:
    """Finish or take back a move of a branch that was cut short; does nothing when there is none.

    Raises WtsError, and leaves the move open, while a git of the dead process goes on, or where the disk fails.
    """
    for private in _privates(place):
        outlive(place, private)
        old, new = (Oid(part) for part in private.name.removeprefix(PRIVATE).split("-"))
        if place.git.refs(ref).get(ref) != new:
            put_back(place, private, old, new)
        os.replace(private, place.index)
    unlock(place)


def _privates(place: Place) -> list[Path]:
    return [path for path in place.admin.glob(f"{PRIVATE}*") if path.suffix == ""]


def outlive(place: Place, private: Path) -> None:
    """Wait until the git of a dead wts, which goes on without it, is done, or known to be dead too."""
    lock = private.with_name(f"{private.name}.lock")
    deadline = time.monotonic() + PATIENCE
    while lock.exists():
        standing = processes.standing_in(place.top)
        if standing is not None and not any(one.name == "git" for one in standing):
            lock.unlink(missing_ok=True)
        elif time.monotonic() > deadline:
            says = f"the git of an interrupted command may still write files in {place.top}"
            raise Refused("git-runs", says, hint="wts doctor --fix, when it has ended")
        else:
            time.sleep(0.05)


def put_back(place: Place, private: Path, old: Oid, new: Oid) -> None:
    """Give the paths of a move the content of the worktree's own index, which is that of `old`, again."""
    git = place.git.with_env(GIT_INDEX_FILE=str(private))
    todo = {change.path: change for change in changes(git, old, new)}
    copy_index(place.index, private)
    differ = _differing(git, todo)
    came = [change.path for change in todo.values() if change.old.mode == ABSENT]
    there = [path for path in (*differ, *came) if path in _at_or_above(place.top, path)]
    with writer(git, old) as as_old, writer(git, new) as as_new:
        theirs = {path for path in there if not _is_of_git(place.top / path, todo[path], as_old, as_new)}
    for path in there:
        if path not in theirs:
            (place.top / path).unlink()
            _remove_empty_directories(place.top, path)
    lost = [path for path in differ if path not in theirs]
    git.run(*ALONE, "checkout-index", "-q", "-z", "--stdin", stdin=_z(lost), ok=(0, 1, 128))
    if left := set(_differing(git, todo)) - theirs:
        raise WtsError(
            "half-moved", f"{listed(sorted(left))} in {place.top} can't be put back", hint="wts doctor --fix"
        )


def _is_of_git(file: Path, change: Change, as_old: Written, as_new: Written) -> bool:
    """Return whether a file holds what git writes there for one of the commits, or the beginning of it."""
    content = os.fsencode(os.readlink(file)) if file.is_symlink() else file.read_bytes()
    written = as_old(change.path, change.old), as_new(change.path, change.new)
    return any(one.startswith(content) for one in written)


def _differing(git: Git, todo: Iterable[str]) -> list[str]:
    """Return those of the paths whose file is not what the index says."""
    git.run(*ALONE, "update-index", "-q", "--refresh", ok=(0, 1))
    differ = set(git.fields(*ALONE, "diff-files", "-z", "--name-only", "--no-renames"))
    return [path for path in todo if path in differ]


@contextlib.contextmanager
def writer(git: Git, commit: Oid) -> Iterator[Written]:
    """Give a function that returns what git writes to disk for a path of a commit, by that commit's attributes."""
    common = git.line("rev-parse", "--path-format=absolute", "--git-common-dir")
    with merging.attributes_of(git, commit) as there:
        reader = Git(there.directory, {"GIT_DIR": common, "GIT_WORK_TREE": str(there.directory)})

        def written(path: str, entry: Entry) -> bytes:
            if entry.mode in (ABSENT, SUBMODULE):
                return b""
            if entry.mode == LINK:
                return reader.run("cat-file", "blob", entry.oid)
            return reader.run("cat-file", "--filters", f"--path={path}", entry.oid)

        yield written


def _remove_empty_directories(top: Path, path: str) -> None:
    """Remove the directories above a path that are empty now, as git does."""
    with contextlib.suppress(OSError):
        for above in Path(path).parents:
            if above != Path():
                (top / above).rmdir()


def copy_index(source: Path, target: Path) -> None:
    import shutil  # 4 ms

    shutil.copy2(source, target)


def _z(paths: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in paths)
