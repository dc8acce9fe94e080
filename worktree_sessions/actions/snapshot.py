"""Snapshots: everything a worktree holds that git could lose, as a commit on a private ref.

A snapshot never touches the index or the files that it pictures: it works on a copy of the index, and git's own
locks are not taken. Its layout:

    refs/wts/snapshots/<session>/<stamp>
        tree       the work tree: tracked, changed and untracked files, not the ignored ones
        parent 1   HEAD
        parent 2   a commit that keeps the rest:
            tree       admin/...     the worktree's own git files: index, reflog, an open rebase or merge
                       staged/<oid>  contents that were staged and are neither in HEAD nor on disk
                       meta.json     what a tree can't say: exact modes, which bytes are raw
            parents    commits that no ref holds: amended, reset away, made on a detached HEAD

Changed and untracked files are stored byte for byte (`hash-object --no-filters`), because line-ending rules and
clean filters would give back something else than what was there.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from worktree_sessions.errors import WtsError
from worktree_sessions.outside.files import replace_file
from worktree_sessions.outside.git import Git, GitError, Oid, Question, Ref, ask_all, split_z
from worktree_sessions.outside.uncommitted import private_index

SNAPSHOTS = "refs/wts/snapshots/"
AUTO = "refs/wts/auto/"

# Commits held by nothing but these are not safe: they go with the worktree, or are wts's own.
NOT_HOLDING = ("refs/wts/*", "refs/bisect/*", "refs/worktree/*", "refs/rewritten/*")

FLAGS = ("ls-files", "-v", "-z")
IDENTITY = {
    "GIT_AUTHOR_NAME": "wts",
    "GIT_AUTHOR_EMAIL": "wts@localhost",
    "GIT_COMMITTER_NAME": "wts",
    "GIT_COMMITTER_EMAIL": "wts@localhost",
}

AT_ONCE = 32_000_000  # bytes of contents that are held in memory

# Of a worktree's git directory: what belongs to the place, or is too large and kept otherwise.
NOT_ADMIN = frozenset(
    {"modules", "commondir", "gitdir", "locked", "fsmonitor--daemon", "fsmonitor--daemon.ipc"}
)


class Snapshot(NamedTuple):
    """A snapshot as taken: `left_out` names what git can't hold (repositories inside the worktree)."""

    ref: Ref
    commit: Oid
    tree: Oid
    head: Oid
    left_out: tuple[str, ...]


class Pinned(NamedTuple):
    """What a snapshot's second parent tells: file modes of raw files, and the admin tree's commit."""

    commit: Oid
    modes: dict[str, int]
    shown: frozenset[str]


def take(git: Git, ref: Ref, *, reason: str) -> Snapshot:
    """Take a snapshot of the worktree that `git` stands in, put it on `ref` and return it.

    Raises GitError when git can't read the worktree; then nothing was written but loose objects.
    """
    top = Path(git.line("rev-parse", "--show-toplevel"))
    admin = git.git_dir()
    status = git.status()
    head = status.head
    if head is None:
        raise GitError(("rev-parse",), 128, b"HEAD names no commit")
    with private_index(admin) as index:
        private = git.at(top, {**_repository_of(git), "GIT_INDEX_FILE": str(index)})
        shown = hidden_but_present(private, top)
        raw, left_out = _write_work_tree(
            private, top, [*status.changed, *status.untracked, *status.unmerged, *shown]
        )
        tree = Oid(private.line("write-tree", "--missing-ok"))
    meta = {"raw": raw, "shown": sorted(shown), "reason": reason}
    keeper = _write_keeper(git, admin, head, meta)
    commit = _commit(git, tree, [head, keeper], f"wts: snapshot, {reason}")
    git.run("update-ref", "-m", reason, "--create-reflog", ref, commit)
    return Snapshot(ref, commit, tree, head, tuple(left_out))


def work_tree_matches(git: Git, snapshot: Oid) -> bool:
    """Return whether the worktree still holds exactly what a snapshot pictured."""
    top = Path(git.line("rev-parse", "--show-toplevel"))
    status = git.status()
    with private_index(git.git_dir()) as index:
        private = git.at(top, {**_repository_of(git), "GIT_INDEX_FILE": str(index)})
        shown = hidden_but_present(private, top)
        _write_work_tree(private, top, [*status.changed, *status.untracked, *status.unmerged, *shown])
        tree = private.line("write-tree", "--missing-ok")
    pictured = git.resolve(f"{snapshot}^1"), git.line("rev-parse", f"{snapshot}^{{tree}}")
    return (status.head, tree) == pictured


def hidden_but_present(git: Git, top: Path) -> list[str]:
    """Return tracked paths whose changes `git status` hides: assume-unchanged, or skip-worktree yet on disk."""
    return _hidden_among(git.run(*FLAGS), top)


def _hidden_among(flagged: bytes, top: Path) -> list[str]:
    hidden = []
    for row in split_z(flagged):
        flag, path = row[0], row[2:]
        if flag.islower() or (flag == "S" and os.path.lexists(top / path)):
            hidden.append(path)
    return hidden


def hidden_changes_of_all(worktrees: Sequence[Git]) -> list[list[str] | WtsError]:
    """Return the same of several worktrees, each at its top, or why it can't be told; asked at once."""
    answers = ask_all([Question(git, FLAGS) for git in worktrees])
    return [_hidden_changes(git, answer) for git, answer in zip(worktrees, answers, strict=True)]


def _hidden_changes(git: Git, answer: bytes | WtsError) -> list[str] | WtsError:
    if isinstance(answer, WtsError):
        return answer
    try:
        return hidden_changes(git) if _hidden_among(answer, git.directory) else []
    except OSError as error:
        return WtsError("disk", f"{git.directory} can't be read: {error.strerror}")
    except WtsError as error:
        return error


def hidden_changes(git: Git) -> list[str]:
    """Return the hidden paths whose content really differs from the index (or is gone)."""
    top = Path(git.line("rev-parse", "--show-toplevel"))
    hidden = hidden_but_present(git, top)
    if not hidden:
        return []
    with private_index(git.git_dir()) as index:
        private = git.at(top, {"GIT_INDEX_FILE": str(index)})
        paths = _join_z(hidden)
        private.run("update-index", "--no-skip-worktree", "-z", "--stdin", stdin=paths)
        private.run("update-index", "--no-assume-unchanged", "-z", "--stdin", stdin=paths)
        private.ask("update-index", "-q", "--refresh")
        changed = private.fields("diff-files", "--name-only", "-z")
    return sorted(set(changed) & set(hidden))


def homeless_commits(git: Git) -> list[Oid]:
    """Return the commits of HEAD that no lasting ref holds, newest first."""
    head = git.resolve("HEAD")
    return _unheld(git, [head] if head else [])


def pin(git: Git, branch: Ref, tip: Oid, keeper: Ref, *, admin: Path | None) -> Oid:
    """Keep a branch's tip, and the commits that only its reflog (or its worktree's) holds, on `keeper`.

    The first parent of what is kept is the tip.
    What an earlier pin kept stays: the reflog that knew of it may have gone with the branch.
    """
    # fails where the branch is gone
    logged = git.ask("-c", "log.showSignature=false", "reflog", "show", "--format=%H", branch, "--")
    mentioned = [Oid(oid) for oid in logged.out.decode().split()] + (_oids_in_admin(admin) if admin else [])
    pins = [oid for oid in _unheld_tips(git, list(dict.fromkeys(mentioned))) if oid != tip]
    earlier = git.refs(keeper).get(keeper)
    kept = [earlier] if earlier else []
    commit = _commit(git, Oid(f"{tip}^{{tree}}"), [tip, *pins, *kept], f"wts: {branch} as it was")
    git.update_refs("wts: pin", (keeper, commit, earlier))
    return commit


def tip_in_log(head: str, log: bytes, branch: Ref) -> str | None:
    """Return where a branch stood when HEAD was last on it, by HEAD and its reflog; None when they don't tell.

    The wording is the one that git itself reads for `@{-1}`.
    """
    rows = [row.split(b" ", 2) for row in log.splitlines() if row.count(b" ") >= 2]
    if head == f"ref: {branch}" and rows:
        return rows[-1][1].decode()
    left = b"\tcheckout: moving from " + os.fsencode(branch.removeprefix("refs/heads/")) + b" to "
    return next((row[0].decode() for row in reversed(rows) if left in row[2]), None)


def only_in(git: Git, admin: Path) -> list[Oid]:
    """Return the commits that nothing holds but a worktree's own git files (HEAD, reflog), newest first."""
    return _unheld(git, _oids_in_admin(admin))


def keep_only_in(git: Git, admin: Path, keeper: Ref) -> None:
    """Keep on `keeper` what only a worktree's own git files hold; no ref when there is nothing."""
    pins = _unheld_tips(git, _oids_in_admin(admin))
    if pins:
        commit = _commit(git, Oid(git.line("mktree")), pins, f"wts: commits of {admin.name}")
        git.run("update-ref", "-m", "wts: pin", keeper, commit)


def known_paths(git: Git, top: Path, paths: list[str], commit: str) -> list[str]:
    """Return those of the files below `top` whose bytes a commit holds, under whatever name; nothing is written."""
    held = {row.split("\t")[0].split(" ")[2] for row in git.fields("ls-tree", "-r", "-z", commit)}
    kinds = {path: _kind_on_disk(top / path)[0] for path in paths}
    plain = [path for path in paths if kinds[path] == "file"]
    links = [path for path in paths if kinds[path] == "link"]
    oids = [*_hash_files(git, top, plain), *_hash_links(git, top, links)]
    return [path for path, oid in zip([*plain, *links], oids, strict=True) if oid in held]


# -- writing -----------------------------------------------------------------------------------


def _write_work_tree(private: Git, top: Path, paths: Iterable[str]) -> tuple[dict[str, int], list[str]]:
    """Put paths as they are on disk into the private index, raw; return their modes and what can't be held."""
    gone: list[str] = []
    plain: list[str] = []
    links: list[str] = []
    others: list[str] = []
    modes: dict[str, int] = {}
    for path in dict.fromkeys(paths):
        kind, mode = _kind_on_disk(top / path)
        {"gone": gone, "file": plain, "link": links}.get(kind, others).append(path)
        if kind == "file":
            modes[path] = mode
    odd = [path for path in others if not _is_known_submodule(private, path)]
    gone += [path for path in odd if not path.endswith("/")]  # a directory took the file's place
    null = "0" * len(private.line("rev-parse", "HEAD"))
    entries = [f"0 {null}\t{path}" for path in gone]
    for path, oid in zip(plain, _hash_files(private, top, plain, "-w"), strict=True):
        entries.append(f"{'100755' if modes[path] & stat.S_IXUSR else '100644'} {oid}\t{path}")
    for path, oid in zip(links, _hash_links(private, top, links, "-w"), strict=True):
        entries.append(f"120000 {oid}\t{path}")
    if entries:
        # unmerged entries go first, or their stages would stay beside the new one
        removals = [f"0 {null}\t{path}" for path in (*plain, *links)]
        private.run("update-index", "-z", "--replace", "--index-info", stdin=_join_z([*removals, *entries]))
    return modes, [path for path in odd if path.endswith("/")]


def _kind_on_disk(path: Path) -> tuple[str, int]:
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return "gone", 0
    if stat.S_ISLNK(found.st_mode):
        return "link", 0
    if stat.S_ISREG(found.st_mode):
        return "file", stat.S_IMODE(found.st_mode)
    return "other", 0


def _is_known_submodule(private: Git, path: str) -> bool:
    rows = private.fields("--literal-pathspecs", "ls-files", "-s", "-z", "--", path.rstrip("/"))
    return any(row.startswith("160000 ") for row in rows)


def _hash_files(git: Git, top: Path, paths: list[str], *options: str) -> list[str]:
    if not paths:
        return []
    quoted = b"\n".join(_c_quote(os.fsencode(top / path)) for path in paths) + b"\n"
    return git.run("hash-object", *options, "--no-filters", "--stdin-paths", stdin=quoted).decode().split()


def _hash_links(git: Git, top: Path, paths: list[str], *options: str) -> list[str]:
    """Hash the targets of links, by way of files: `hash-object` would follow them."""
    with tempfile.TemporaryDirectory(prefix="wts-") as scratch:
        for index, path in enumerate(paths):
            Path(scratch, str(index)).write_bytes(os.fsencode(os.readlink(top / path)))
        return _hash_files(git, Path(scratch), [str(index) for index in range(len(paths))], *options)


def _c_quote(path: bytes) -> bytes:
    """Quote a path as git unquotes it: every byte that is not plain becomes an octal escape."""
    plain = b"".join(bytes([c]) if 32 < c < 127 and c not in b'"\\' else b"\\%03o" % c for c in path)
    return b'"' + plain + b'"'


def _write_keeper(git: Git, admin: Path, head: Oid, meta: dict[str, Any]) -> Oid:
    """Write the second parent: the worktree's git files, staged contents and commits that no ref holds."""
    names = sorted(_admin_files(admin))
    oids = _hash_files(git, admin, names, "-w")
    entries = [f"100644 {oid}\tadmin/{name}" for name, oid in zip(names, oids, strict=True)]
    entries += [f"100644 {oid}\tstaged/{oid}" for oid in _staged_only(git)]
    note = git.line("hash-object", "-w", "--stdin", stdin=json.dumps(meta).encode())
    entries.append(f"100644 {note}\tmeta.json")
    with tempfile.TemporaryDirectory(prefix="wts-") as scratch:
        private = git.with_env(GIT_INDEX_FILE=os.path.join(scratch, "index"))
        private.run("update-index", "--add", "-z", "--index-info", stdin=_join_z(entries))
        tree = Oid(private.line("write-tree", "--missing-ok"))
    pins = _unheld_tips(git, _oids_in_admin(admin))
    return _commit(git, tree, [oid for oid in pins if oid != head], "wts: what the snapshot's tree can't say")


def _admin_files(admin: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(admin):
        folders[:] = [name for name in folders if not (folder == str(admin) and name in NOT_ADMIN)]
        for name in names:
            path = Path(folder, name)
            relative = str(path.relative_to(admin))
            if relative not in NOT_ADMIN and not name.endswith(".lock") and path.is_file():
                yield relative


def _staged_only(git: Git) -> list[str]:
    """Return the ids of contents that the index holds and HEAD does not, unmerged stages included."""
    zero = "0" * 40
    found = set()
    for row in git.fields("diff-index", "--cached", "--raw", "-z", "--no-renames", "HEAD", "--"):
        if row.startswith(":"):
            _, mode, _, oid, _ = row.split(" ", 4)
            if mode != "160000" and oid[:40] != zero:
                found.add(oid)
    for row in git.fields("ls-files", "-u", "-z"):
        mode, oid, _ = row.split("\t")[0].split(" ")
        if mode != "160000":
            found.add(oid)
    return sorted(found)


def _oids_in_admin(admin: Path) -> list[Oid]:
    """Return every object id that the worktree's own git files mention: reflog, pseudo refs, an open rebase."""
    found: dict[str, None] = {}
    for name in _admin_files(admin):
        if name == "index" or name.startswith("info/"):
            continue
        try:
            content = (admin / name).read_bytes()
        except OSError:
            continue
        for match in re.finditer(rb"\b(?:[0-9a-f]{64}|[0-9a-f]{40})\b", content[-1_000_000:]):
            found[match[0].decode()] = None
    return [Oid(oid) for oid in found if oid.strip("0")]


def _unheld(git: Git, starts: list[Oid]) -> list[Oid]:
    """Return the commits reachable from `starts` that no lasting ref holds, newest first."""
    return [family[0] for family in _ask_unheld(git, starts)]


def _unheld_tips(git: Git, starts: list[Oid]) -> list[Oid]:
    """Return as few of them as hold all the others: a commit with all of 50,000 as parents can't be made."""
    families = _ask_unheld(git, starts)
    parents = {parent for _, *parents in families for parent in parents}
    return [family[0] for family in families if family[0] not in parents]


def _ask_unheld(git: Git, starts: list[Oid]) -> list[list[Oid]]:
    """Return each of the commits with its parents behind it."""
    commits = _only_commits(git, starts) if starts else []
    if not commits:
        return []
    excludes = [f"--exclude={pattern}" for pattern in NOT_HOLDING]
    words = ("rev-list", "--parents", "--stdin", "--not", *excludes, "--glob=refs/*")
    rows = git.run(*words, stdin=_lines(commits)).decode().splitlines()
    return [[Oid(oid) for oid in row.split(" ")] for row in rows]


def _only_commits(git: Git, oids: list[Oid]) -> list[Oid]:
    out = git.run("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=_lines(oids))
    rows = (row.split(" ") for row in out.decode().splitlines())
    return [Oid(row[0]) for row in rows if row[-1] == "commit"]


def _commit(git: Git, tree: Oid, parents: list[Oid], message: str) -> Oid:
    arguments = [word for parent in parents for word in ("-p", parent)]
    # whatever a hook or a script has set: the latest snapshot is found by its time
    now = f"{int(time.time())} +0000"
    dated = git.with_env(**IDENTITY, GIT_AUTHOR_DATE=now, GIT_COMMITTER_DATE=now)
    return Oid(dated.line("commit-tree", tree, *arguments, "-m", message))


def _repository_of(git: Git) -> dict[str, str]:
    """The GIT_DIR and GIT_WORK_TREE that were chosen for `git`, to be kept when its directory changes."""
    return git.chosen("GIT_DIR", "GIT_WORK_TREE")


# -- reading back ------------------------------------------------------------------------------


def read_pinned(git: Git, snapshot: Oid) -> Pinned | None:
    """Return what the snapshot's second parent tells; None for a snapshot without one (a turn's end)."""
    keeper = git.resolve(f"{snapshot}^2")
    if keeper is None:
        return None
    meta: dict[str, Any] = json.loads(git.run("cat-file", "blob", f"{keeper}:meta.json"))
    return Pinned(keeper, dict(meta["raw"]), frozenset(meta["shown"]))


def put_admin_back(git: Git, keeper: Oid, admin: Path) -> None:
    """Give a fresh worktree its git files again: index with every flag, reflog, an open rebase; HEAD is not touched."""
    for row in git.fields("ls-tree", "-r", "-z", f"{keeper}:admin"):
        facts, name = row.split("\t", 1)
        if name != "HEAD":
            replace_file(admin / name, git.run("cat-file", "blob", facts.split(" ")[2]))


def put_files_back(git: Git, snapshot: Oid, *, only: frozenset[str] | None = None) -> None:
    """Write a snapshot's work tree into the worktree of `git`; with `only`, just those paths.

    Overwrites: the caller has seen that nothing is in the way.
    """
    pinned = read_pinned(git, snapshot)
    top = Path(git.line("rev-parse", "--show-toplevel"))
    with tempfile.TemporaryDirectory(prefix="wts-") as scratch:
        private = git.at(top, {"GIT_INDEX_FILE": os.path.join(scratch, "index")})
        private.run("read-tree", f"{snapshot}^{{tree}}")
        blobs = {
            path: facts.split(" ")[1]
            for facts, path in (row.split("\t", 1) for row in private.fields("ls-files", "-s", "-z"))
        }
        absent = _hidden_on_purpose(git, pinned) if pinned else frozenset()
        wanted = [path for path in blobs if path not in absent and (only is None or path in only)]
        for path in (only or frozenset()) - set(blobs):
            (top / path).unlink(missing_ok=True)
        raw = [path for path in wanted if pinned and path in pinned.modes]
        # raw ones never pass a filter: one that is required and fails would stop the rest, too
        filtered = _join_z(path for path in wanted if path not in set(raw))
        private.run("checkout-index", "-f", "-q", "-z", "--stdin", stdin=filtered)
    contents = _read_blobs(git, [blobs[path] for path in raw])
    for path, content in zip(raw, contents, strict=True):
        assert pinned is not None
        _write_raw(top / path, content, mode=pinned.modes[path])
    git.ask("update-index", "-q", "--refresh")


def _read_blobs(git: Git, oids: list[str]) -> Iterator[bytes]:
    """Yield the contents, read many at a time: a process for each took 8 s for 3000 files."""
    told = git.run("cat-file", "--batch-check=%(objectsize)", stdin=_lines(oids))
    sizes = [int(size) for size in told.split()]
    for portion in _portions(sizes):
        out = git.run("cat-file", "--batch", stdin=_lines(oids[portion]))
        at = 0
        for size in sizes[portion]:
            at = out.index(b"\n", at) + 1  # behind the line that names it
            yield out[at : at + size]
            at += size + 1


def _portions(sizes: list[int]) -> Iterator[slice]:
    """Yield slices of at most AT_ONCE together; what is larger stands alone."""
    begin = total = 0
    for end, size in enumerate(sizes):
        if end > begin and total + size > AT_ONCE:
            yield slice(begin, end)
            begin, total = end, 0
        total += size
    yield slice(begin, len(sizes))


def _write_raw(path: Path, content: bytes, *, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # never write through a link
    path.write_bytes(content)
    path.chmod(mode)


def _hidden_on_purpose(git: Git, pinned: Pinned) -> frozenset[str]:
    """Paths that a sparse checkout kept off the disk when the snapshot was taken."""
    skipped = {row[2:] for row in git.fields("ls-files", "-t", "-z") if row.startswith("S")}
    return frozenset(skipped - pinned.shown)


def changed_since(git: Git, snapshot: Oid, head: Oid) -> tuple[frozenset[str], frozenset[str]]:
    """Return (paths whose snapshot still applies on `head`, paths that were committed differently since)."""

    def changes(old: str, new: str) -> set[str]:
        return set(git.fields("diff-tree", "-r", "--name-only", "-z", "--no-renames", old, new))

    base = git.resolve(f"{snapshot}^1")
    pictured, moved, differs = changes(f"{base}", snapshot), changes(f"{base}", head), changes(head, snapshot)
    staying = set(git.fields("ls-tree", "-r", "--name-only", "-z", head)) - (pictured - moved)
    in_the_way = {path for path in pictured if _is_blocked(path, staying)}
    return frozenset(pictured - moved - in_the_way), frozenset(pictured & differs & (moved | in_the_way))


def _is_blocked(path: str, files: set[str]) -> bool:
    """Return whether a file is where this path needs a directory, or below where it needs a file."""
    above = {str(parent) for parent in PurePosixPath(path).parents}
    return not above.isdisjoint(files) or any(file.startswith(f"{path}/") for file in files)


def _join_z(rows: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(row) + b"\0" for row in rows)


def _lines(oids: Iterable[str]) -> bytes:
    return "".join(f"{oid}\n" for oid in oids).encode()
