"""Whether a session's content has come home, and how: by a merge, squashed, rebased, picked, through a pull request.

`wts list` knows ancestry alone, which costs nothing. Here git is asked for more, and only where somebody wants to know:
by content (would merging it still change anything?), and by the commits that brought it (patch ids). Reads only; what
has to be written to find out goes to a directory of its own.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple

from worktree_sessions.actions.branches import Branches
from worktree_sessions.actions.project import Project
from worktree_sessions.errors import WtsError
from worktree_sessions.model import reflog
from worktree_sessions.model.reflog import has_worked
from worktree_sessions.model.session import Session
from worktree_sessions.outside import merging
from worktree_sessions.outside.git import BranchName, Git, Oid, Question, ask_all, full

MOST_PATHS = 200  # to look for in the history; a session that touches more is looked for in all of it
PATCH = (
    "diff-tree",
    "-p",
    "-r",
    "--root",
    "--unified=0",
    "--no-ext-diff",
    "--no-textconv",
    "--no-renames",
    "--binary",
)
COMMIT = re.compile(rb"^commit [0-9a-f]{40,64}\n", re.MULTILINE)  # no line of a patch looks like that
PLACES = re.compile(rb"^(?:index .*|@@ .*)\n", re.MULTILINE)


class Landed(enum.StrEnum):
    """How a session's content came home, if it did."""

    NO = "no"
    MERGED = "merged"  # its very commits: a merge commit, or a fast-forward
    SQUASHED = "squashed"  # all of it in other commits than its own
    REBASED = "rebased"  # copies of all its commits, in their order and together
    PICKED = "picked"  # copies of all its commits, in any other way
    EMPTY = "empty"  # it never had anything of its own
    REVERTED = "reverted"  # it came home, and was taken back there

    @property
    def is_home(self) -> bool:
        return self in (Landed.MERGED, Landed.SQUASHED, Landed.REBASED, Landed.PICKED)


class Homes(enum.Enum):
    """Where a session is looked for: in its parent, here and on remotes, or in the default branch, too."""

    PARENT = enum.auto()
    ALL = enum.auto()


class Landing(NamedTuple):
    """How a session landed, and in which branch it was found."""

    how: Landed
    where: str

    @property
    def says(self) -> str:
        """In words: squashed into feature/auth."""
        match self.how:
            case Landed.EMPTY:
                return "it has nothing of its own"
            case Landed.NO:
                return f"not in {self.where}"
            case Landed.PICKED | Landed.REVERTED:
                return f"{self.how.value} in {self.where}"
            case _:
                return f"{self.how.value} into {self.where}"


def find_landing(project: Project, session: Session) -> Landing:
    """Return how a session landed: in its parent, in its parent on a remote, or in the default branch.

    A pull request may have brought it to any of them. Raises WtsError when git can't tell.
    """
    (found,) = find_landings(project, [session])
    if isinstance(found, WtsError):
        raise found
    return found


def find_landings(
    project: Project, sessions: Sequence[Session], *, among: Homes = Homes.ALL
) -> list[Landing | WtsError]:
    """Return of each session how it landed, or why that can't be told; what is plain is asked of git at once."""
    branches = Branches(project)
    default = branches.default() if sessions and among is Homes.ALL else None
    tips = [branches.local.get(full(session.branch)) for session in sessions]
    homes = [list(_homes(branches, default, session)) for session in sessions]
    asked = [(tip, oid) for tip, some in zip(tips, homes, strict=True) if tip for _, oid in some]
    ahead = _plainly_ahead(project.git, asked)
    with merging.quarantine(project.git) as git:
        rows = zip(sessions, tips, homes, strict=True)
        return [_find_landing(git, session, tip, some, ahead) for session, tip, some in rows]


def _find_landing(
    git: Git, session: Session, tip: Oid | None, homes: list[tuple[str, Oid]], ahead: Set[tuple[Oid, Oid]]
) -> Landing | WtsError:
    if tip is None:
        says = f"branch {session.branch} is gone"
        return WtsError("gone", says, hint="wts doctor", session=session.name)
    try:
        for name, oid in homes:
            how = Landed.NO if (tip, oid) in ahead else how_landed(git, session, tip, oid)
            if how is not Landed.NO:
                return Landing(how, name)
    except WtsError as error:
        return error
    return Landing(Landed.NO, session.parent)


def _plainly_ahead(git: Git, pairs: Sequence[tuple[Oid, Oid]]) -> set[tuple[Oid, Oid]]:
    """Return those of the pairs whose first holds the second, and other files: nothing of it can have landed there."""
    bases = ask_all([Question(git, ("merge-base", *pair)) for pair in pairs])
    above = [
        pair
        for pair, base in zip(pairs, bases, strict=True)
        if isinstance(base, bytes) and base.decode().strip() == pair[1] != pair[0]
    ]
    commits = list(dict.fromkeys(oid for pair in above for oid in pair))
    trees = merging.trees_of(git, commits)
    return {(tip, home) for tip, home in above if trees[tip] != trees[home]}


def _homes(branches: Branches, default: BranchName | None, session: Session) -> Iterator[tuple[str, Oid]]:
    """Yield where it could have come home to, its parent first."""
    for branch in dict.fromkeys(name for name in (session.parent, default) if name):
        if (local := branches.local.get(full(branch))) is not None:
            yield branch, local
        for ref, oid in branches.remote.items():
            name = ref.removeprefix("refs/remotes/")
            if name.partition("/")[2] == branch and oid != local:
                yield name, oid


def how_landed(git: Git, session: Session, tip: Oid, parent: Oid) -> Landed:
    """Return how the commits up to `tip` came into `parent`, for a git whose new objects may be thrown away."""
    if git.is_ancestor(tip, parent):
        return _by_ancestry(git, session, tip, parent)
    base = merging.merge_base(git, tip, parent)
    if base is None:
        return Landed.NO
    trees = merging.trees_of(git, [tip, base])
    if trees[tip] == trees[base]:
        before = _before_sync(git, tip, parent)
        return Landed.EMPTY if before is None else how_landed(git, session, before, parent)
    paths = list(merging.touched(git, base, tip))
    if not _touches(git, f"{base}..{parent}", paths):
        return Landed.NO
    merged = _merged_tree(git, parent, tip)
    how = _by_patches(git, base, tip, parent, paths)
    if how is None:
        return Landed.SQUASHED if merged == merging.tree_of(git, parent) else Landed.NO
    if merged is not None and _patch(git, parent, merged) == _patch(git, base, tip):
        return Landed.REVERTED  # all of it would come in once more
    return how


class Homecoming(NamedTuple):
    """What was found out about one session: how it landed, or why that is unknown."""

    session: Session
    landing: Landing | None
    error: WtsError | None = None


def homecomings(project: Project) -> list[Homecoming]:
    """Return of every session how it landed; what can't be found out of one is told with it."""
    sessions, _ = project.store.load_all()
    found = zip(sessions, find_landings(project, sessions), strict=True)
    return [
        Homecoming(session, None, landing) if isinstance(landing, WtsError) else Homecoming(session, landing)
        for session, landing in found
    ]


# -- by ancestry -----------------------------------------------------------------------------------


def _by_ancestry(git: Git, session: Session, tip: Oid, parent: Oid) -> Landed:
    if not has_worked(session, tip, git.ask(*reflog.show(session.branch)).out):
        return Landed.EMPTY
    before, brought = _landing(git, session, tip, parent)
    return Landed.REVERTED if before and _is_undone(git, before, brought, parent) else Landed.MERGED


def _landing(git: Git, session: Session, tip: Oid, parent: Oid) -> tuple[Oid | None, Oid]:
    """Return where `parent` stood before the session came in, and with it."""
    line = git.line("rev-list", "--first-parent", f"{tip}..{parent}", "--").split()
    path = set(git.line("rev-list", "--ancestry-path", f"{tip}..{parent}", "--").split())
    brought = next((Oid(one) for one in reversed(line) if one in path), None)
    before = git.resolve(f"{brought}^1") if brought else tip
    if brought is None or before == tip:  # fast-forward: the parent went on from the session's own commit
        return merging.merge_base(git, session.base, tip), tip
    return before, brought


def _is_undone(git: Git, before: Oid, brought: Oid, parent: Oid) -> bool:
    """Return whether taking back what came between two commits would change nothing in `parent` any more."""
    kept = merging.tree_of(git, before)
    if kept == merging.tree_of(git, brought):
        return False
    back = merging.stand_in(git, kept, [brought])
    return _merged_tree(git, parent, back) == merging.tree_of(git, parent)


# -- by content ------------------------------------------------------------------------------------


def _before_sync(git: Git, tip: Oid, parent: Oid) -> Oid | None:
    """Return where the branch stood before it took in commits of `parent`, None when its tip is no such merge."""
    own, *others = git.line("rev-list", "--parents", "--max-count=1", tip, "--").split()[1:] or [""]
    return Oid(own) if others and all(git.is_ancestor(one, parent) for one in others) else None


def _by_patches(git: Git, base: Oid, tip: Oid, parent: Oid, paths: list[str]) -> Landed | None:
    """Return how, by the commits of `parent` that make the same changes; None when there are none."""
    there = _patches(git, f"{base}..{parent}", paths)
    own = _patches(git, f"{parent}..{tip}", paths)
    if len(own) != 1 and _patch(git, base, tip) in there:
        return Landed.SQUASHED
    if not own or not set(own) <= set(there):
        return None
    first = there.index(own[0])
    in_a_row = there[first : first + len(own)] == own
    return Landed.REBASED if in_a_row and len(own) > 1 else Landed.PICKED


def _touches(git: Git, commits: str, paths: list[str]) -> bool:
    """Return whether one of the commits changes one of the paths."""
    literal = git.with_env(GIT_LITERAL_PATHSPECS="1")
    return bool(literal.run("rev-list", "--max-count=1", commits, "--", *_chosen(paths)))


def _chosen(paths: list[str]) -> list[str]:
    return paths if len(paths) <= MOST_PATHS else []


def _patches(git: Git, commits: str, paths: list[str]) -> list[bytes]:
    """Return what each of the commits changes in the paths, the oldest first; merges and empty ones left out."""
    literal, chosen = git.with_env(GIT_LITERAL_PATHSPECS="1"), _chosen(paths)
    found = literal.run("rev-list", "--no-merges", "--topo-order", "--reverse", commits, "--", *chosen)
    out = literal.run(*PATCH, "--stdin", "--format=commit %H", "--", *chosen, stdin=found)
    return [_without_places(part) for part in COMMIT.split(out) if part.strip()]


def _patch(git: Git, old: Oid, new: Oid) -> bytes:
    """Return what differs between two commits or trees, in the same form."""
    return _without_places(git.run(*PATCH, old, new, "--"))


def _without_places(patch: bytes) -> bytes:
    """Return a patch without line numbers and the ids of blobs: the same changes, wherever they are made."""
    return PLACES.sub(b"", patch).strip()


def _merged_tree(git: Git, ours: Oid, theirs: Oid) -> Oid | None:
    """Return the tree of a merge, None when it is not clean."""
    with merging.attributes_of(git, ours) as place:
        return merging.merge(git, place, ours, theirs).tree
