"""Tips that landed as other commits than their own (squashed, or as copies), so that later merges know of it.

git can't see that a squash commit holds what a branch holds. A branch that goes on after it conflicts with itself: 368
of 600 real ones did, 1 of 600 after a merge commit. So an anchor is kept for each such landing:

    refs/wts/landed/TIP/COMMIT    a commit with the two as its parents: TIP landed as COMMIT, and neither is lost

Where one side of a merge holds COMMIT and the other went on from TIP, the first is merged as if it held TIP too. No
branch is touched for it, and after an undo, which takes COMMIT out of the branch, the anchor holds no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from worktree_sessions.outside import merging
from worktree_sessions.outside.git import Git, Oid, Question, Ref, ask_all

ANCHORS = "refs/wts/landed/"
HOLDERS = ("refs/heads", "refs/remotes", "refs/wts/closed", "refs/wts/snapshots")


class Anchor(NamedTuple):
    """What landed: a branch's tip, and the commit that brought all of it."""

    tip: Oid
    commit: Oid

    @property
    def ref(self) -> Ref:
        return Ref(f"{ANCHORS}{self.tip}/{self.commit}")


def commit_anchor(git: Git, anchor: Anchor) -> Oid:
    """Write the commit that keeps both sides of an anchor, for its ref."""
    return merging.stand_in(git, merging.tree_of(git, anchor.commit), [anchor.commit, anchor.tip])


def from_refs(names: Iterable[Ref]) -> list[Anchor]:
    """Return the anchors among the names of refs."""
    found = (name.removeprefix(ANCHORS).split("/") for name in names if name.startswith(ANCHORS))
    return [Anchor(Oid(words[0]), Oid(words[1])) for words in found if len(words) == 2]


def holding(git: Git, target: Oid) -> list[Anchor]:
    """Return the anchors of what landed in a commit."""
    anchors = from_refs(git.refs(ANCHORS))
    there = _contained(git, [anchor.commit for anchor in anchors], target)
    return [anchor for anchor in anchors if anchor.commit in there]


def dressed(git: Git, ours: Oid, theirs: Iterable[Oid], anchors: Sequence[Anchor]) -> Oid:
    """Return what `theirs` are to be merged into: `ours`, or a stand-in that also holds the tips that landed in it.

    It has the same files. `anchors` are those that hold in `ours`. They matter where one of `theirs` has commits of a
    tip, all or some; one that knows how they landed needs none.
    """
    tips: dict[Oid, None] = {}
    for tip in theirs if anchors else ():
        known = _contained(git, [one.commit for one in anchors], tip)
        there = [ours, *(one.tip for one in anchors if one.commit in known)]
        more = [one.tip for one in anchors if one.commit not in known]
        if more and _bases(git, tip, there) != _bases(git, tip, [*there, *more]):
            tips |= dict.fromkeys(more)
    return merging.stand_in(git, merging.tree_of(git, ours), [ours, *tips]) if tips else ours


def let_go(git: Git) -> None:
    """Let go of the anchors that help nobody: no branch holds a commit that landed so, nor does what may come back."""
    found = {name: oid for name, oid in git.refs(ANCHORS).items() if from_refs([name])}
    words = ("for-each-ref", "--count=1", "--format=%(refname)")
    lowest = [_lowest(git, from_refs([name])[0]) for name in found]  # who has any of them has this one
    held = ask_all([Question(git, (*words, f"--contains={one}", *HOLDERS)) for one in lowest])
    gone = [name for name, answer in zip(found, held, strict=True) if answer == b""]
    git.update_refs("wts", *((name, None, found[name]) for name in gone))


def _lowest(git: Git, anchor: Anchor) -> str:
    """Return the first of the commits that landed as another; the tip itself where that one stood on all of them."""
    own = git.line("rev-list", "--topo-order", anchor.tip, "--not", f"{anchor.commit}^@", "--").split()
    return own[-1] if own else anchor.tip


def _bases(git: Git, tip: Oid, others: Sequence[Oid]) -> set[str]:
    """Return the best common ancestors of a tip and a merge of the others, if there were one."""
    return set(git.run("merge-base", "--all", tip, *others, ok=(0, 1)).decode().split())


def _contained(git: Git, commits: Sequence[Oid], tip: Oid) -> set[Oid]:
    """Return those of the commits that a tip contains, with one walk over what it lacks."""
    if not commits:
        return set()
    words = "\n".join([*commits, f"^{tip}"])
    return set(commits) - set(map(Oid, git.run("rev-list", "--stdin", stdin=words.encode()).decode().split()))
