"""What would come of landing sessions one after the other: a chain of commits in git's object store.

Every prefix of the chain is known to be clean, or which files stop it. Nothing moves: no ref, no index, no file. The
tips are pinned commits, so what an agent commits meanwhile is not in it. Whatever the strategy, what lands is the tree
of a merge, by the attributes of what it is merged into.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

from worktree_sessions.errors import WtsError
from worktree_sessions.model.landing import Candidate, Result, Row, Strategy
from worktree_sessions.model.words import listed
from worktree_sessions.outside import anchors, merging, replaying, rerere
from worktree_sessions.outside.anchors import Anchor
from worktree_sessions.outside.git import Git, Oid
from worktree_sessions.outside.merging import Author, Merged, Outcome

RULES = (".gitattributes", ".gitmodules")  # files that change how the next merge is made


class Link(NamedTuple):
    """One session on the chain, and the commit that brings it; `reused` are files resolved as they were before."""

    candidate: Candidate
    commit: Oid
    reused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """What lands on `base`, one link a session, and who is left out: by a conflict, or by another who is."""

    base: Oid
    links: tuple[Link, ...] = ()
    left_out: tuple[Row, ...] = ()

    @property
    def head(self) -> Oid:
        return self.links[-1].commit if self.links else self.base


class Words(NamedTuple):
    """What a session's commit says, and who wrote it (None: the user)."""

    message: str
    author: Author | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """How the chain is made. With `words`, by session, it is meant to land, signed where the user signs; else a draft.

    With `reuses_resolutions` a conflict that git has seen resolved before (rerere) is resolved in the same way. `cure`,
    with its number behind it, is the command that gets a session out of a conflict.
    """

    strategy: Strategy = Strategy.MERGE
    words: Mapping[str, Words] | None = None
    reuses_resolutions: bool = False
    cure: str = "wts resolve"


class Unknown(WtsError):
    """git could not tell what comes of a merge; nothing may land on a guess."""

    def __init__(self, candidate: Candidate, why: str | None) -> None:
        super().__init__(
            "unknown-merge",
            f"what comes of merging {candidate.session.name} is unknown: {why}",
            hint=f"wts merge-ready --skip {candidate.session.number}",
            session=candidate.session.name,
        )


def build(
    git: Git, base: Oid, candidates: Sequence[Candidate], making: Making, *, absent: Set[str] = frozenset()
) -> Chain:
    """Put the candidates on `base`, in their order; who conflicts is left out and the rest goes on.

    `absent` names sessions that do not come home now: who comes after one of them stays, too. Raises Unknown when git
    can't tell what comes of a merge.
    """
    with _Builder.on(git, base, making) as builder:
        for candidate in candidates:
            missing = candidate.after & (absent | {row.session.name for row in builder.left_out})
            if missing:
                builder.left_out.append(_waits(candidate, missing))
            else:
                builder.add(candidate)
        return Chain(base, tuple(builder.links), tuple(builder.left_out))


class _Builder:
    """A chain in the making."""

    def __init__(self, git: Git, base: Oid, making: Making, closing: contextlib.ExitStack) -> None:
        self.links: list[Link] = []
        self.left_out: list[Row] = []
        self._git, self._base, self._making, self._closing = git, base, making, closing
        self._anchors = anchors.holding(git, base)
        self._places = {
            base: closing.enter_context(merging.attributes_of(git, base))
        }  # by commit of the chain

    @classmethod
    @contextlib.contextmanager
    def on(cls, git: Git, base: Oid, making: Making) -> Iterator[_Builder]:
        with contextlib.ExitStack() as closing:
            yield cls(git, base, making, closing)

    @property
    def _head(self) -> Oid:
        return self.links[-1].commit if self.links else self._base

    def add(self, candidate: Candidate) -> None:
        """Put one more on the chain, or say why it can't be."""
        head = self._head
        merged, reused = self._merge(candidate, head)
        if merged.tree is None:
            self.left_out.append(self._conflict(candidate, merged))
            return
        if unwanted := self._unwanted(candidate, head, merged.tree):
            self.left_out.append(unwanted)
            return
        commit = self._commit(candidate, merged.tree)
        if isinstance(commit, Row):
            self.left_out.append(commit)
            return
        self.links.append(Link(candidate, commit, reused))
        place = self._places[head]
        if any(path.rpartition("/")[2] in RULES for path in candidate.paths):
            place = self._closing.enter_context(merging.attributes_of(self._git, commit))
        self._places[commit] = place

    # -- merged --------------------------------------------------------------------------------

    def _merge(self, candidate: Candidate, head: Oid) -> tuple[Merged, tuple[str, ...]]:
        """Return what comes of merging a candidate into a commit of the chain, and what was resolved as before."""
        try:
            ours, place = self._dressed(candidate, head), self._places[head]
            merged = merging.merge(self._git, place, ours, candidate.tip)
            if merged.outcome is Outcome.CONFLICT and self._making.reuses_resolutions:
                resolved = rerere.resolve(self._git, place, ours, candidate.tip)
                if resolved is not None:
                    return Merged(Outcome.CLEAN, resolved), merged.files
        except WtsError as error:
            raise Unknown(candidate, error.message) from error
        if merged.outcome is Outcome.UNKNOWN:
            raise Unknown(candidate, merged.why)
        return merged, ()

    def _dressed(self, candidate: Candidate, head: Oid) -> Oid:
        """Return a commit of the chain as one that holds what landed in it by other commits than its own."""
        landed = () if self._making.strategy is Strategy.MERGE else self._just_landed(head)
        known = (*self._anchors, *landed)
        return anchors.dressed(self._git, head, [candidate.tip], known) if known else head

    def _just_landed(self, head: Oid) -> Iterator[Anchor]:
        """Yield what is in a commit of the chain that is not in its base."""
        if head == self._base:
            return
        for link in self.links:
            yield Anchor(link.candidate.tip, link.commit)
            if link.commit == head:
                return

    # -- committed -----------------------------------------------------------------------------

    def _commit(self, candidate: Candidate, tree: Oid) -> Oid | Row:
        """Return the commit that brings a candidate, or why its copies can't be made."""
        if self._making.strategy is Strategy.REBASE:
            return self._copies(candidate, tree)
        contains = [candidate.tip] if self._making.strategy is Strategy.MERGE else []
        return self._write(self._git, tree, [self._head, *contains], *self._words_of(candidate))

    def _words_of(self, candidate: Candidate) -> Words:
        return self._making.words[candidate.session.name] if self._making.words else Words("draft")

    @property
    def _write(self) -> replaying.Write:
        return merging.commit_merge if self._making.words is not None else merging.commit_draft

    def _copies(self, candidate: Candidate, tree: Oid) -> Oid | Row:
        head = self._head
        own = replaying.own_commits(self._git, self._dressed(candidate, head), candidate.tip)
        copied = replaying.replay(self._git, own, head, write=self._write)
        if copied.stopped is not None:
            commit, merged = copied.stopped
            if merged.outcome is Outcome.UNKNOWN:
                raise Unknown(candidate, merged.why)
            reason = f"its commit {commit.oid[:10]} can't be copied by itself, though the whole merges"
            return _not_copied(candidate, reason, merged.files)
        assert copied.head is not None
        if merging.tree_of(self._git, copied.head) != tree:
            reason = "copies of its commits come to something else than its merge"
            return _not_copied(candidate, reason, ())
        return copied.head

    # -- left out ------------------------------------------------------------------------------

    def _unwanted(self, candidate: Candidate, head: Oid, tree: Oid) -> Row | None:
        """Return that a session brings in what nobody wants, though it merges; such a one hinders no other."""
        if marked := merging.markers(self._git, head, tree):
            return _brings(candidate, "markers", f"brings conflict markers in {listed(marked)}", marked)
        if alike := merging.collisions(self._git, head, tree):
            says = f"brings {' and '.join(alike[0])}, one file where case does not count"
            return _brings(candidate, "collision", says, [name for names in alike for name in names])
        return None

    def _conflict(self, candidate: Candidate, merged: Merged) -> Row:
        """Say with whom: the target itself, or the first session of the chain with which it no longer merges."""
        rival = None
        if not self.links or self._merge(candidate, self._base)[0].tree is not None:
            met = (link for link in self.links if self._merge(candidate, link.commit)[0].tree is None)
            rival = next((link.candidate.session.name for link in met), None)
        return Row(
            session=candidate.session,
            result=Result.CONFLICT,
            reason=f"conflicts with {rival or candidate.session.parent}",
            files=merged.files,
            rival=rival,
            candidate=candidate,
            cure=f"{self._making.cure} {candidate.session.number}",
        )


def _waits(candidate: Candidate, missing: Set[str]) -> Row:
    return Row(
        session=candidate.session,
        result=Result.SKIPPED,
        reason=f"comes after {', '.join(sorted(missing))}, which does not come home now",
        candidate=candidate,
    )


def _brings(candidate: Candidate, code: str, reason: str, files: Sequence[str]) -> Row:
    return Row(
        session=candidate.session,
        result=Result.CONFLICT,
        reason=reason,
        code=code,
        files=tuple(files),
        candidate=candidate,
        cure=f"wts open {candidate.session.number}",
    )


def _not_copied(candidate: Candidate, reason: str, files: tuple[str, ...]) -> Row:
    return Row(
        session=candidate.session,
        result=Result.CONFLICT,
        reason=reason,
        code="not-copied",
        files=files,
        candidate=candidate,
        cure="wts merge-ready --strategy merge",
    )
