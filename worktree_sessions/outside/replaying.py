"""Commits copied onto another commit in git's object store: what a rebase does, with no worktree, index or ref touched.

A copy is a merge of three trees: what the commit stands on, the commit, and what it is to stand on. `git merge-tree`
takes no trees before git 2.45, and finds the first by itself: so the new base is dressed as a child of the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from worktree_sessions.outside import merging
from worktree_sessions.outside.git import Git, Oid
from worktree_sessions.outside.merging import ATTRIBUTES, CHANGES, EMPTY_TREES, Author, Merged, Place

FORMAT = "--format=%H%x00%T%x00%P%x00%an%x00%ae%x00%ad%x00%B"

Write = Callable[[Git, Oid, Sequence[Oid], str, Author | None], Oid]  # merging.commit_merge, or commit_draft


class Commit(NamedTuple):
    """A commit as it is to be copied; `onto` is its (first) parent, None of a root."""

    oid: Oid
    tree: Oid
    onto: Oid | None
    author: Author
    message: str


class Replayed(NamedTuple):
    """What came of copying: the tip of the copies (`onto` where none was needed), None when one did not apply.

    `stopped` is that one and what came of it.
    """

    head: Oid | None
    stopped: tuple[Commit, Merged] | None = None


def own_commits(git: Git, onto: Oid, tip: Oid) -> list[Oid]:
    """Return the commits of `tip` that a rebase onto another would copy, the oldest first.

    As git does: no merges, and none whose change is there already as a commit of its own.
    """
    words = ("--reverse", "--topo-order", "--no-merges", "--cherry-pick", "--right-only", f"{onto}...{tip}")
    return [Oid(line) for line in git.line("rev-list", *words, "--").split()]


def replay(git: Git, commits: Sequence[Oid], onto: Oid, *, write: Write = merging.commit_merge) -> Replayed:
    """Copy commits onto another one, in their order, each with its author, date and message.

    One that stands there already stays itself, and one that changes nothing any more is left out, as git does. `write`
    makes the copies: `merging.commit_merge` with the user's signature, `merging.commit_draft` without.
    """
    head, head_tree = onto, merging.tree_of(git, onto)
    with ExitStack() as closing:
        place = closing.enter_context(merging.attributes_of(git, onto))
        for commit in read_commits(git, commits):
            stays = commit.onto == head
            tree = commit.tree
            if not stays:
                merged = _merge_on(git, place, head_tree, commit)
                if merged.tree is None:
                    return Replayed(None, (commit, merged))
                if merged.tree == head_tree and not _is_empty(git, commit):
                    continue
                tree = merged.tree
            if _changes_attributes(git, head_tree, tree):
                place = closing.enter_context(merging.attributes_of(git, tree))
            head = commit.oid if stays else write(git, tree, [head], commit.message, commit.author)
            head_tree = tree
    return Replayed(head)


def _merge_on(git: Git, place: Place, tree: Oid, commit: Commit) -> Merged:
    """Return what comes of making a commit's change in a tree."""
    below = commit.onto or merging.stand_in(git, EMPTY_TREES[len(commit.oid)], [])
    ours = merging.stand_in(git, tree, [below])
    theirs = commit.oid if commit.onto else merging.stand_in(git, commit.tree, [below])
    return merging.merge(git, place, ours, theirs)


def _is_empty(git: Git, commit: Commit) -> bool:
    """Return whether a commit was made to change nothing: such a one is kept."""
    before = merging.tree_of(git, commit.onto) if commit.onto else EMPTY_TREES[len(commit.tree)]
    return before == commit.tree


def _changes_attributes(git: Git, old: Oid, new: Oid) -> bool:
    asked = git.with_env(GIT_LITERAL_PATHSPECS="0")
    return bool(asked.run(*CHANGES, "--no-renames", old, new, "--", *ATTRIBUTES))


def read_commits(git: Git, commits: Sequence[Oid]) -> list[Commit]:
    """Return who wrote commits, and what they say, in their order; read by one process."""
    if not commits:
        return []
    words = (
        "-c",
        "log.showSignature=false",
        "log",
        "--no-walk=unsorted",
        "--stdin",
        "-z",
        "--encoding=UTF-8",
    )
    rows = iter(git.fields(*words, "--date=raw", FORMAT, stdin="\n".join(commits).encode()))
    found = []
    for oid, tree, parents, name, email, when, message in zip(*[rows] * 7, strict=True):
        onto = Oid(parents.split()[0]) if parents else None
        found.append(Commit(Oid(oid), Oid(tree), onto, Author(name, email, when), message))
    return found
