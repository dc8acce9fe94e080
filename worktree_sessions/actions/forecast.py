"""What would come of landing sessions one after the other: a chain of merges in git's object store.

Every prefix of the chain is known to be clean, or which files stop it. Nothing moves: no ref, no index, no file. The
tips are pinned commits, so what an agent commits meanwhile is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

from worktree_sessions.errors import WtsError
from worktree_sessions.model.landing import Candidate, Result, Row
from worktree_sessions.outside import merging
from worktree_sessions.outside.git import Git, Oid
from worktree_sessions.outside.merging import Merged, Outcome


class Link(NamedTuple):
    """One session on the chain, and the commit that brings it."""

    candidate: Candidate
    commit: Oid


@dataclass(frozen=True, slots=True)
class Chain:
    """What lands on `base`, one link a session, and who is left out: by a conflict, or by another who is."""

    base: Oid
    links: tuple[Link, ...] = ()
    left_out: tuple[Row, ...] = ()

    @property
    def head(self) -> Oid:
        return self.links[-1].commit if self.links else self.base


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
    git: Git,
    base: Oid,
    candidates: Sequence[Candidate],
    *,
    words: Mapping[str, str] | None = None,
    absent: Set[str] = frozenset(),
) -> Chain:
    """Put the candidates on `base`, in their order; who conflicts is left out and the rest goes on.

    `words` are the messages of the merges by session, signed where the user signs; without them it is a draft.
    `absent` names sessions that do not come home now: who comes after one of them stays, too. Raises Unknown when git
    can't tell what comes of a merge.
    """
    links: list[Link] = []
    left_out: list[Row] = []
    for candidate in candidates:
        head = links[-1].commit if links else base
        missing = candidate.after & (absent | {row.session.name for row in left_out})
        if missing:
            left_out.append(_waits(candidate, missing))
            continue
        merged = _merge_on(git, head, candidate)
        if merged.tree is None:
            left_out.append(_conflict(git, base, links, candidate, merged))
            continue
        parents = [head, candidate.tip]
        commit = (
            merging.commit_merge(git, merged.tree, parents, words[candidate.session.name])
            if words
            else merging.commit_draft(git, merged.tree, parents)
        )
        links.append(Link(candidate, commit))
    return Chain(base, tuple(links), tuple(left_out))


def _merge_on(git: Git, head: Oid, candidate: Candidate) -> Merged:
    """Return what comes of merging a candidate into `head`, by its attributes: one that landed may change them."""
    try:
        with merging.attributes_of(git, head) as place:
            merged = merging.merge(git, place, head, candidate.tip)
    except WtsError as error:
        raise Unknown(candidate, error.message) from error
    if merged.outcome is Outcome.UNKNOWN:
        raise Unknown(candidate, merged.why)
    return merged


def _waits(candidate: Candidate, missing: Set[str]) -> Row:
    return Row(
        session=candidate.session,
        result=Result.SKIPPED,
        reason=f"comes after {', '.join(sorted(missing))}, which does not come home now",
        candidate=candidate,
    )


def _conflict(git: Git, base: Oid, links: Sequence[Link], candidate: Candidate, merged: Merged) -> Row:
    """Say with whom: the target itself, or the first session of the chain with which it no longer merges."""
    rival = None
    if not links or _merge_on(git, base, candidate).tree is not None:
        met = (link for link in links if _merge_on(git, link.commit, candidate).tree is None)
        rival = next((link.candidate.session.name for link in met), None)
    return Row(
        session=candidate.session,
        result=Result.CONFLICT,
        reason=f"conflicts with {rival or candidate.session.parent}",
        files=merged.files,
        rival=rival,
        candidate=candidate,
        cure=f"wts open {candidate.session.number}",
    )
