"""Merges in git's object store: what would come of one, with no working tree, index or ref touched.

`git merge-tree` decides; its exit status and its machine-readable answer are believed only together. An answer that is
empty, torn or odd is `unknown`, never clean.

merge-tree takes attributes (merge drivers, line ends) from the files of the directory it runs in, and from nowhere
else but the repository's `info/attributes` and the user's own file (seen with git 2.39): run in a session's worktree it
would obey that session's uncommitted edits, in a bare repository no commit's at all. So it runs in a private directory
that holds only the `.gitattributes` files of the branch that is merged into. What a user's merge driver leaves lying
about goes with it.
"""

from __future__ import annotations

import contextlib
import enum
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.errors import WtsError
from worktree_sessions.outside import environment, processes
from worktree_sessions.outside.git import NOBODY, Git, Oid, split_z

MERGE_TREE = ("merge-tree", "--write-tree", "-z", "--messages")
CHANGES = ("diff-tree", "-r", "-z", "--ignore-submodules=none")  # whatever `submodule.*.ignore` hides
ATTRIBUTES = (":(top,glob)**/.gitattributes", ":(top,literal).gitmodules")
RULES = r"^(core|diff|filter|merge)\."  # the configuration that a merge can depend on
OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
EMPTY_TREES = {  # by the length of an id; git knows them without having them
    40: Oid("4b825dc642cb6eb9a060e54bf8d69288fbee4904"),
    64: Oid("6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"),
}
STAGE = re.compile(r"[0-7]{6} [0-9a-f]{40,64} [123]\t(?P<path>.+)", re.DOTALL)
MOVED_ASIDE = re.compile(
    r"~[0-9a-f]{40}(?:[0-9a-f]{24})?(?:_\d+)?$"
)  # `file~<commit>`: two things want one name
CONTENTS = ("contents", "add/add")  # conflicts of two contents, which markers in the file can show
MARKER = r"^(<{7,}|>{7,}) "

# Old and imported commits have authors without a name or a date. git reads them, and writes none such.
NO_NAME = (
    "".join(map(chr, range(33))) + ".,:;<>\"\\'"
)  # what git strips from a name, and refuses when all is gone
EPOCH = "0 +0000"  # the date that git shows for none


class Outcome(enum.StrEnum):
    """What comes of a merge."""

    CLEAN = "clean"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"


class Conflict(NamedTuple):
    """What git could not decide: a path, and the kind in git's own stable words (`contents`, `modify/delete`)."""

    path: str
    kind: str

    @property
    def needs_submodule(self) -> bool:
        """Whether git could perhaps decide it if the submodule were populated and its commits fetched."""
        return self.kind in ("submodule not initialized", "submodule history not available")


class Merged(NamedTuple):
    """What came of a merge: the tree where it is clean, the conflicts where it is not, else why it is unknown."""

    outcome: Outcome
    tree: Oid | None = None
    conflicts: tuple[Conflict, ...] = ()
    why: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The paths in conflict, each once."""
        return tuple(dict.fromkeys(conflict.path for conflict in self.conflicts))


class Author(NamedTuple):
    """Who wrote a commit, and when in git's raw form (`1700000000 +0100`)."""

    name: str
    email: str
    when: str


class Place(NamedTuple):
    """Where merges into one commit are made: a directory with its attributes alone, and a digest for keys of caches.

    The digest covers the attributes, those of the repository and the user too, and the configuration of merges.
    """

    directory: Path
    digest: str


# -- where -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def attributes_of(git: Git, commit: Oid) -> Iterator[Place]:
    """Make a directory that holds the attributes of a commit or tree and nothing else; it goes when the block ends.

    Some 100 ms for a tree of 300,000 files. Raises WtsError where objects are missing.
    """
    import hashlib
    import tempfile

    asked = git.with_env(GIT_LITERAL_PATHSPECS="0")  # whatever the user's shell says
    listed = asked.run(*CHANGES, "--no-renames", EMPTY_TREES[len(commit)], commit, "--", *ATTRIBUTES)
    fields = split_z(listed)
    rows = [(path, meta.split()) for meta, path in zip(fields[0::2], fields[1::2], strict=True)]
    files = {path: meta[3] for path, meta in rows if meta[1].startswith("100")}  # git reads no linked ones
    with tempfile.TemporaryDirectory(prefix="wts-merge-", ignore_cleanup_errors=True) as place:
        for path, content in zip(files, _blobs(git, list(files.values())), strict=True):
            if {"", ".", "..", ".git"} & set(path.split("/")):
                raise WtsError("odd-git", f"{commit} holds a file that git would not check out: {path}")
            file = Path(place, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        yield Place(Path(place), hashlib.sha256(listed + _rules(git)).hexdigest()[:16])


def _blobs(git: Git, oids: Sequence[str]) -> list[bytes]:
    """Return the content of blobs, in their order, with one process for all."""
    import io

    if not oids:
        return []
    answer = io.BytesIO(git.run("cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in oids).encode()))
    found = []
    for oid in oids:
        words = answer.readline().decode().split()
        if words[:2] != [oid, "blob"]:
            raise WtsError("odd-git", f"git cat-file can't read {oid}")
        found.append(answer.read(int(words[2])))
        answer.readline()
    return found


def _rules(git: Git) -> bytes:
    """Return what decides beside the commits: configuration, the repository's own attributes, the user's."""
    config = git.run("config", "-z", "--get-regexp", RULES, ok=(0, 1))
    chosen = [row.partition("\n")[2] for row in split_z(config) if row.startswith("core.attributesfile\n")]
    usual = environment.user_directory("XDG_CONFIG_HOME", ".config").parent / "git" / "attributes"
    own = git.line("rev-parse", "--path-format=absolute", "--git-path", "info/attributes")
    for file in (Path(own), Path(chosen[-1]).expanduser() if chosen else usual):
        with contextlib.suppress(OSError):
            config += b"\0" + file.read_bytes()
    return config


@contextlib.contextmanager
def quarantine(git: Git) -> Iterator[Git]:
    """Give a Git whose new objects lie in a directory of their own, which goes when the block ends."""
    import tempfile

    objects = _objects(git)
    with tempfile.TemporaryDirectory(prefix="wts-objects-", ignore_cleanup_errors=True) as place:
        yield git.with_env(GIT_OBJECT_DIRECTORY=place, GIT_ALTERNATE_OBJECT_DIRECTORIES=_quoted(objects))


def objects_of(git: Git) -> dict[str, str]:
    """Return the variables by which git elsewhere reads and writes the same objects, a quarantine's too."""
    kept = git.chosen("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")
    return kept or {"GIT_OBJECT_DIRECTORY": _objects(git)}


def _objects(git: Git) -> str:
    return git.line("rev-parse", "--path-format=absolute", "--git-path", "objects")


def _quoted(path: str) -> str:
    """Quote a path for a list of alternates, where `:` divides and `"` begins a C string."""
    plain = ":" not in path and '"' not in path
    return path if plain else '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


# -- what comes of it --------------------------------------------------------------------------------


def merge(git: Git, place: Place, ours: Oid, theirs: Oid) -> Merged:
    """Return what comes of merging `theirs` into `ours`; its objects are written, and nothing else.

    The place must be that of `ours`, unless `ours` only stands in for what will be merged into that place's commit.
    """
    return merge_all(git, place, [(ours, theirs)])[0]


def merge_all(git: Git, place: Place, pairs: Sequence[tuple[Oid, Oid]]) -> list[Merged]:
    """The same for several pairs, as many at a time as is good.

    One process a pair: `merge-tree --stdin` takes two thirds of the time, but one unknown id there ends the batch.
    """
    there = _standing_in(git, place)
    calls = [there.call((*MERGE_TREE, ours, theirs)) for ours, theirs in pairs]
    return [parse_merged(done) for done in processes.run_all(calls)]


class Layout(NamedTuple):
    """A conflict as git leaves it: a tree whose files hold the markers, the paths in conflict, and their stages."""

    tree: Oid
    paths: tuple[str, ...]
    stages: tuple[str, ...]


def layout(git: Git, place: Place, ours: Oid, theirs: Oid) -> Layout | None:
    """Return how the conflicts of a merge look, None unless there are some, each of them of two contents."""
    merged, found = lay_out(git, place, ours, theirs)
    return found if all(one.kind in CONTENTS for one in merged.conflicts) else None


def lay_out(git: Git, place: Place, ours: str, theirs: str) -> tuple[Merged, Layout | None]:
    """Return what comes of a merge, and how its conflicts look when it has some, whatever they are.

    The conflict markers have the revisions as they are named here, as those of `git merge` do. What a name means by
    then is for the caller to look at.
    """
    done = _standing_in(git, place).ask(*MERGE_TREE, ours, theirs)
    merged = parse_merged(done)
    if merged.outcome is not Outcome.CONFLICT:
        return merged, None
    fields = split_z(done.out)
    return merged, Layout(Oid(fields[0]), merged.files, tuple(fields[1 : fields.index("", 1)]))


def paths_of(stages: Sequence[str]) -> list[str]:
    """Return the paths of stages, each once."""
    return list(dict.fromkeys(stage.partition("\t")[2] for stage in stages))


def put_stages(index: Git, stages: Sequence[str]) -> None:
    """Put the sides of each conflict into an index, in place of what it has of these paths."""
    zero = "0" * len(stages[0].split(" ")[1])
    rows = [*(f"0 {zero}\t{path}" for path in paths_of(stages)), *stages]
    words = ("-c", f"core.hooksPath={os.devnull}", "update-index", "-z", "--index-info")
    index.run(*words, stdin=b"".join(os.fsencode(row) + b"\0" for row in rows))


def _standing_in(git: Git, place: Place) -> Git:
    """Return git for the same repository and objects, with the place as its working tree."""
    kept = git.chosen("GIT_DIR", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")
    if "GIT_DIR" not in kept:
        kept["GIT_DIR"] = str(git.git_dir())
    return git.at(place.directory, {**kept, "GIT_WORK_TREE": str(place.directory)})


def parse_merged(done: processes.Completed) -> Merged:
    """Return what merge-tree answered: 0 and a tree is clean, 1 and conflicts is one, all else is unknown."""
    fields = split_z(done.out)
    if done.status not in (0, 1) or not fields or not OID.fullmatch(fields[0]):
        said = done.err.decode("utf-8", "replace").strip().splitlines()
        return _unknown(said[-1] if said else f"it ended with {done.status} and no tree")
    if "" not in fields[1:]:
        return _unknown("half an answer")
    end = fields.index("", 1)
    stages = [STAGE.fullmatch(field) for field in fields[1:end]]
    conflicts = _conflicts(fields[end + 1 :])
    if None in stages or conflicts is None or not _is_whole(done.out, conflicts):
        return _unknown("an answer in a form that is not known")
    if done.status == 0 and not stages:  # told, and undone: the file is gone anyway (git 2.39)
        conflicts = [conflict for conflict in conflicts if conflict.kind != "file/directory"]
    unnamed = {_aside(match["path"]) for match in stages if match} - {conflict.path for conflict in conflicts}
    conflicts += [Conflict(path, "contents") for path in sorted(unnamed)]
    if bool(conflicts) != (done.status == 1):
        return _unknown(f"it ended with {done.status} and names {len(conflicts)} conflicts")
    if conflicts:
        return Merged(Outcome.CONFLICT, conflicts=tuple(dict.fromkeys(conflicts)))
    return Merged(Outcome.CLEAN, Oid(fields[0]))


def _unknown(why: str) -> Merged:
    return Merged(Outcome.UNKNOWN, why=f"git merge-tree: {why}")


def _conflicts(fields: list[str]) -> list[Conflict] | None:
    """Read the messages: a count, that many paths, a kind, a text; None when they are not that."""
    found: list[Conflict] = []
    at = 0
    while at < len(fields):
        if not fields[at].isdecimal() or at + int(fields[at]) + 2 >= len(fields):
            return None
        kind_at = at + 1 + int(fields[at])
        if fields[kind_at].startswith(("CONFLICT", "ERROR")):
            kind = fields[kind_at].partition("(")[2].removesuffix(")")  # git once forgot the blank before it
            found += [Conflict(_aside(path), kind) for path in fields[at + 1 : kind_at]]
        at = kind_at + 2
    return found


def _is_whole(out: bytes, conflicts: list[Conflict]) -> bool:
    """Return whether the answer ends where one does; a submodule's conflict has advice in plain text after it."""
    return out.endswith(b"\0") or any(conflict.kind.startswith("submodule") for conflict in conflicts)


def _aside(path: str) -> str:
    """Return the path that was wanted, where git had to make one up."""
    return MOVED_ASIDE.sub("", path)


# -- commits ---------------------------------------------------------------------------------------


def commit_merge(
    git: Git, tree: Oid, parents: Sequence[Oid], message: str, author: Author | None = None
) -> Oid:
    """Write a commit of a tree, signed when `commit.gpgSign` says so (commit-tree alone never signs).

    The author is the user unless one is given. Raises GitError when the signer fails, or nobody is named.
    """
    signed = git.run("config", "--type=bool", "--get", "commit.gpgSign", ok=(0, 1)).strip() == b"true"
    return _commit(git, tree, parents, message, author, *(["-S"] if signed else []))


def refuse_nobody(git: Git) -> None:
    """Raise WtsError, with the cure, where git does not know who commits."""
    if git.ask("var", "GIT_COMMITTER_IDENT").status != 0:
        raise WtsError(
            "no-identity",
            "git does not know who commits here: user.name and user.email are not set",
            hint='git config user.email "you@example.com" && git config user.name "Your Name"',
        )


def commit_draft(
    git: Git, tree: Oid, parents: Sequence[Oid], message: str = "draft", author: Author | None = None
) -> Oid:
    """Write a commit that is only tested or looked at: no signer is asked for it."""
    return _commit(git, tree, parents, message, author)


def stand_in(git: Git, tree: Oid, parents: Sequence[Oid]) -> Oid:
    """Write a commit by nobody that shows git a tree with other ancestors than it has; it is only merged with."""
    return _commit(git.with_env(**NOBODY), tree, parents, "wts: stands in", None)


def _commit(
    git: Git, tree: Oid, parents: Sequence[Oid], message: str, author: Author | None, *options: str
) -> Oid:
    words = ["-c", "i18n.commitEncoding=UTF-8", "commit-tree", *options]
    words += [word for parent in parents for word in ("-p", parent)]
    if author:
        name = next(one for one in (author.name, author.email, "unknown") if one.strip(NO_NAME))
        when = f"@{author.when or EPOCH}"
        git = git.with_env(GIT_AUTHOR_NAME=name, GIT_AUTHOR_EMAIL=author.email, GIT_AUTHOR_DATE=when)
    return Oid(git.line(*words, "-F", "-", tree, stdin=os.fsencode(message)))


def tree_of(git: Git, commit: Oid) -> Oid:
    """Return the tree of a commit."""
    return trees_of(git, [commit])[commit]


def trees_of(git: Git, commits: Sequence[Oid]) -> dict[Oid, Oid]:
    """Return the trees of several commits, with one process."""
    if not commits:
        return {}
    rows = git.run("rev-parse", *(f"{commit}^{{tree}}" for commit in commits)).decode().split()
    return dict(zip(commits, map(Oid, rows), strict=True))


def merge_base(git: Git, one: Oid, other: Oid) -> Oid | None:
    """Return the best common ancestor, None when there is none; the first where there are several."""
    found = git.run("merge-base", one, other, ok=(0, 1)).decode().strip()
    return Oid(found) if found else None


def touched(git: Git, old: Oid, new: Oid) -> dict[str, str]:
    """Return the paths that differ between two commits, with A, D, M or T; a rename is both of its paths."""
    fields = git.fields(*CHANGES, "--no-renames", "--name-status", old, new)
    return dict(zip(fields[1::2], fields[0::2], strict=True))


# -- what merge-tree does not look at -----------------------------------------------------------------


def proof(git: Git, before: Oid, tree: Oid, tips: Sequence[Oid]) -> list[str]:
    """Return what is wrong with a tree that is to follow the commit `before`, with `tips` merged; [] when nothing is.

    Each is a sentence: a file that nobody deleted is gone, a conflict marker came in, two names differ only in case.
    """
    gone = [f"{path} is gone, and nobody deleted it" for path in vanished(git, tree, [before, *tips])]
    marked = [f"{path} has new conflict markers" for path in markers(git, before, tree)]
    alike = [
        f"{' and '.join(names)} are one file where case does not count"
        for names in collisions(git, before, tree)
    ]
    return gone + marked + alike


def vanished(git: Git, tree: Oid, sides: Sequence[Oid]) -> list[str]:
    """Return the paths that one of the commits has, no other deleted, and the tree lacks (under any name)."""
    lost_from = (*CHANGES, "--find-renames=100%", "--diff-filter=D", "--name-only")
    found: set[str] = set()
    for side in sides:
        lost = set(git.fields(*lost_from, side, tree))
        for other in sides:
            if lost and other != side:
                lost -= _deleted(git, side, other)
        found |= lost
    return sorted(found)


def _deleted(git: Git, side: Oid, other: Oid) -> set[str]:
    """Return the paths that `other` deleted since it parted from `side`."""
    bases = git.run("merge-base", "--all", side, other, ok=(0, 1)).decode().split()
    return {path for base in bases for path, kind in touched(git, Oid(base), other).items() if kind == "D"}


def markers(git: Git, before: Oid, tree: Oid) -> list[str]:
    """Return the paths that have more conflict markers in `tree` than they had in `before`.

    A file that is meant to hold some says so as git wants it said: by the attribute `conflict-marker-size`.
    """
    suspects = git.fields(
        *CHANGES, "--no-renames", "--diff-filter=d", "--name-only", f"-G{MARKER}", before, tree
    )
    if not suspects:
        return []
    with attributes_of(git, tree) as place:
        answer = _standing_in(git, place).fields("check-attr", "-z", "conflict-marker-size", "--", *suspects)
    sizes = [int(size) if size.isdecimal() else 7 for size in answer[2::3]]
    found = []
    for path, size in zip(suspects, sizes, strict=True):
        marker = re.compile(rb"^(?:<{%d}|>{%d}) " % (size, size), re.MULTILINE)
        now = git.run("cat-file", "blob", f"{tree}:{path}")
        earlier = git.ask("cat-file", "blob", f"{before}:{path}").out  # nothing, of a file that came
        if len(marker.findall(now)) > len(marker.findall(earlier)):
            found.append(path)
    return found


def collisions(git: Git, before: Oid, tree: Oid) -> list[tuple[str, ...]]:
    """Return the names of `tree` that some disks can't tell apart (case, accents), where one came since `before`.

    A file and a directory collide too; two directories do not: their files can live in one.
    """
    added = [path for path, kind in touched(git, before, tree).items() if kind == "A"]
    if not added:
        return []
    files = set(git.fields("ls-tree", "-r", "-z", "--name-only", "--full-tree", tree))
    spelled: dict[str, set[str]] = {}
    for path in files | _directories(files):
        spelled.setdefault(_folded(path), set()).add(path)
    near = {_folded(path) for path in {*added, *_directories(added)}}
    groups = [spelled[key] for key in sorted(near) if len(spelled[key]) > 1 and spelled[key] & files]
    return [tuple(sorted(names)) for names in groups if not all(_has(git, before, path) for path in names)]


def _has(git: Git, commit: Oid, path: str) -> bool:
    return git.ask("cat-file", "-e", f"{commit}:{path}").status == 0


def _directories(paths: Iterable[str]) -> set[str]:
    """Return the directories that the paths lie in."""
    found: set[str] = set()
    for path in paths:
        while (path := path.rpartition("/")[0]) and path not in found:
            found.add(path)
    return found


def _folded(path: str) -> str:
    import unicodedata

    return path.lower() if path.isascii() else unicodedata.normalize("NFC", path.casefold())
