"""What would come home with `wts merge-ready`, and why: pure reads over pinned commits.

What has to be written to find out lies in a quarantine, and goes. Nobody else is asked anything, and no lock is taken.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from worktree_sessions.actions import forecast, moving, readiness
from worktree_sessions.actions.forecast import Chain, Link, Making
from worktree_sessions.actions.gate import test_command
from worktree_sessions.actions.landed import Homes
from worktree_sessions.actions.listing import list_sessions, look_at
from worktree_sessions.actions.project import Project
from worktree_sessions.errors import NothingToDo, Refused, UsageError, WtsError
from worktree_sessions.model import landing
from worktree_sessions.model.landing import Candidate, Result, Row, Strategy
from worktree_sessions.model.readiness import Readiness
from worktree_sessions.model.session import Look, Session
from worktree_sessions.model.words import quoted
from worktree_sessions.outside import anchors, history, merging
from worktree_sessions.outside.git import (
    BranchName,
    Git,
    GitError,
    Oid,
    Question,
    Ref,
    ask_all,
    full,
    split_z,
)

FILES = ("diff", "--name-only", "-z", "--no-ext-diff", "--no-renames")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the user asked for: numbers of sessions, as what they land, and how to test.

    Without features it is all with ready sessions; `into` is where they land instead of their parents.
    """

    features: tuple[str, ...] = ()
    only: tuple[int, ...] = ()
    skip: tuple[int, ...] = ()
    first: tuple[int, ...] = ()
    into: str | None = None
    strategy: Strategy | None = None
    reuses_resolutions: bool = False
    all_or_nothing: bool = False
    test: str | None = None
    tests: bool = True
    every: bool = False
    timeout: float | None = None
    allows_flaky: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturePlan:
    """What would come home to one branch: the chain of merges (None: the branch is gone), what becomes of each session.

    `absent` names those who come home neither now nor before; `command` tests the rest, None for no test, which the
    user asked for unless `tests`. `is_by_age` says that who was held back does not come first, since more land so, and
    `refusal` why the branch could not move now.
    """

    feature: str
    target: BranchName
    chain: Chain | None
    rows: tuple[Row, ...]
    making: Making = dataclasses.field(default_factory=Making)
    absent: frozenset[str] = frozenset()
    goals: Mapping[str, str] = dataclasses.field(default_factory=dict)
    command: str | None = None
    tests: bool = True
    is_by_age: bool = False
    refusal: Refused | None = None

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return tuple(of(self.chain)) if self.chain else ()

    @property
    def is_held_back(self) -> bool:
        """Whether somebody who is ready conflicts."""
        return any(row.result is Result.CONFLICT for row in self.rows)


def of(chain: Chain) -> list[Candidate]:
    """Return who lands, in their order."""
    return [link.candidate for link in chain.links]


def plan(project: Project, order: Order) -> list[FeaturePlan]:
    """Return what would come home, feature by feature; nothing is written that stays.

    Raises NothingToDo when there is no session to speak of, WtsError when the order names what is not there or git does
    not know who commits, and Unknown when it can't tell what comes of a merge.
    """
    if order.every and not (order.test or test_command(project)):
        raise UsageError(
            "no-test-command",
            "--every tests, and there is no test command",
            hint="wts merge-ready --every --test CMD",
        )
    merging.refuse_nobody(project.git)
    every = list_sessions(project).looks
    _refuse_strangers([look.session for look in every], order)
    refs = project.git.refs("refs/heads")
    looks = _into(project, order, refs, [look for look in every if _is_asked(look.session, order)])
    if not looks:
        raise NothingToDo("nothing-ready", "there is no session to merge", hint="wts list")
    targets = sorted({look.session.parent for look in looks})
    with merging.quarantine(project.git) as git:
        plans = [
            _plan_feature(project, git, [one for one in looks if one.session.parent == target], refs, order)
            for target in targets
        ]
    if order.features:
        return plans
    moving_plans = [one for one in plans if one.candidates or one.is_held_back]
    asked = [one for one in plans if any(row.result is not Result.SKIPPED for row in one.rows)]
    return moving_plans or asked or plans


def _is_asked(session: Session, order: Order) -> bool:
    return not order.features or not {session.feature, session.parent}.isdisjoint(order.features)


def _refuse_strangers(sessions: Sequence[Session], order: Order) -> None:
    numbers = {session.number for session in sessions}
    for number in (*order.only, *order.skip, *order.first):
        if number not in numbers:
            raise WtsError("no-session", f"no session {number}", hint="wts list")
    features = {name for session in sessions for name in (session.feature, session.parent)}
    for feature in order.features:
        if feature not in features:
            raise WtsError("no-feature", f"no session belongs to {feature}", hint="wts list")
    owner = next((one for one in sessions if order.into in (one.branch, full(one.branch))), None)
    if owner is not None:
        says = f"{owner.branch} is the branch of session {owner.number}, and no place to come home to"
        raise UsageError("into-session", says, hint=f"wts sync {owner.number}", session=owner.name)


def _into(project: Project, order: Order, refs: Mapping[Ref, Oid], looks: list[Look]) -> list[Look]:
    """Return the looks against the branch that they are to land in, when it is another than their parent."""
    if order.into is None:
        return looks
    branch = BranchName(order.into.removeprefix("refs/heads/"))
    if full(branch) not in refs:
        raise WtsError(
            "no-branch", f"there is no branch {branch}", hint=f"git branch {quoted(branch)} COMMIT"
        )
    return look_at(project, [look.session._replace(parent=branch) for look in looks])


# -- one feature -----------------------------------------------------------------------------------


def _plan_feature(
    project: Project, git: Git, looks: Sequence[Look], refs: Mapping[Ref, Oid], order: Order
) -> FeaturePlan:
    target = looks[0].session.parent
    feature = target.replace("/", "-") if order.into else looks[0].session.feature
    base = refs.get(full(target))
    sorted_out = _sorted_out(project, looks, base, order)
    out = tuple(row for row in sorted_out.values() if row is not None)
    if base is None:
        return FeaturePlan(feature=feature, target=target, chain=None, rows=out)
    candidates, others = _candidates(project, git, base, looks, sorted_out)
    out += tuple(others)
    absent = frozenset(row.session.name for row in out if row.code != "landed")
    strategy = order.strategy or Strategy(project.settings.merge_strategy)
    cure = "wts open" if order.into else "wts resolve"  # which brings in the parent, and no other branch
    making = Making(strategy=strategy, reuses_resolutions=order.reuses_resolutions, cure=cure)
    chain, is_by_age = landing.build_best(
        candidates,
        order.first,
        lambda ordered: forecast.build(git, base, ordered, making, absent=absent),
        lambda built: len(built.links),
    )
    if order.all_or_nothing and chain.left_out:
        chain = Chain(base, left_out=(*map(for_another, of(chain)), *chain.left_out))
    return FeaturePlan(
        feature=feature,
        target=target,
        chain=chain,
        rows=(*(would_land(link, order.first) for link in chain.links), *chain.left_out, *out),
        making=making,
        absent=absent,
        goals={look.session.name: look.goal or "" for look in looks},
        command=(order.test or test_command(project)) if order.tests and chain.links else None,
        tests=order.tests,
        is_by_age=is_by_age,
        refusal=_refusal(project, git, target, chain),
    )


def _refusal(project: Project, git: Git, target: BranchName, chain: Chain) -> Refused | None:
    """Return why the branch, with its worktree, could not move to what would land."""
    try:
        if chain.links:
            moving.check(project, full(target), chain.base, chain.head, git=git)
    except Refused as refused:
        return refused
    return None


def would_land(link: Link, chosen: Sequence[int] = ()) -> Row:
    """Return the row of a session that lands."""
    candidate = link.candidate
    reason = landing.why_here(candidate, chosen)
    return Row(
        session=candidate.session,
        result=Result.LANDED,
        reason=reason,
        candidate=candidate,
        resolved=link.reused,
    )


def for_another(candidate: Candidate) -> Row:
    """Return the row of a session that does not land because another does not."""
    reason = "another is held back, and it is all or nothing"
    return Row(session=candidate.session, result=Result.SKIPPED, reason=reason, candidate=candidate)


# -- who is it -------------------------------------------------------------------------------------


def _sorted_out(
    project: Project, looks: Sequence[Look], base: Oid | None, order: Order
) -> dict[str, Row | None]:
    """Return by name why a session stays out of it before any merge is tried, None when it does not."""
    rows = {look.session.name: _row_of_left_out(look.session, base, order) for look in looks}
    homes = Homes.PARENT if order.into else Homes.ALL
    wanted = [look for look in looks if rows[look.session.name] is None]
    asked = readiness.readiness(project, wanted, landed_among=homes)
    return rows | {
        look.session.name: _row_of_blocked(look.session, asked[look.session.name])
        for look in looks
        if rows[look.session.name] is None
    }


def _row_of_left_out(session: Session, base: Oid | None, order: Order) -> Row | None:
    if session.number in order.skip or (order.only and session.number not in order.only):
        return Row(session=session, result=Result.SKIPPED, reason="left out, as you said")
    if base is None:
        cure = f"git branch {quoted(session.parent)} {session.base[:10]}"
        reason = f"{session.parent} is gone"
        return Row(session=session, result=Result.BLOCKED, reason=reason, code="no-parent", cure=cure)
    return None


def _row_of_blocked(session: Session, found: Readiness) -> Row | None:
    if found.ready:
        return None
    first, *others = found.blockers
    reason = "; ".join([first.message, *([f"{len(others)} more"] if others else [])])
    return Row(session=session, result=Result.BLOCKED, reason=reason, code=first.code, cure=first.cure)


def _row_of_stranger(session: Session) -> Row:
    reason = f"it has no history in common with {session.parent}"
    cure = f"git log {quoted(session.branch)}"
    return Row(session=session, result=Result.BLOCKED, reason=reason, code="no-base", cure=cure)


def _row_of_brought(session: Session) -> Row:
    """Another contains its tip, and landed as other commits than its own."""
    reason = f"another has brought it to {session.parent}"
    cure = f"wts close {quoted(session.name)}"
    return Row(session=session, result=Result.BLOCKED, reason=reason, code="landed", cure=cure)


# -- what they bring -------------------------------------------------------------------------------


def _candidates(
    project: Project, git: Git, base: Oid, looks: Sequence[Look], left_out: Mapping[str, Row | None]
) -> tuple[list[Candidate], list[Row]]:
    """Return the sessions that may come home, with what each brings and whose tips are in it; and who has nothing to.

    Nobody brings another home whom a human has held back or left out.
    """
    tips: dict[str, Oid] = {}
    for look in looks:
        row = left_out[look.session.name]
        wanted = row is None or row.code == "held" or row.result is Result.SKIPPED
        if wanted and look.status and look.status.head:
            tips[look.session.name] = look.status.head
    sessions = [look.session for look in looks if left_out[look.session.name] is None]
    found = _brought(git, base, [tips[session.name] for session in sessions])
    rows = [
        _row_of_stranger(one) if brings is None else _row_of_brought(one)
        for one, brings in zip(sessions, found, strict=True)
        if brings is None or not brings[0]
    ]
    known = {one.name: brings for one, brings in zip(sessions, found, strict=True) if brings and brings[0]}
    authors = _authors(project, [oid for commits, _ in known.values() for oid in commits])
    candidates = []
    for session in sessions:
        if session.name not in known:
            continue
        tip, (commits, paths) = tips[session.name], known[session.name]
        below = set(commits) - {tip}
        candidates.append(
            Candidate(
                session,
                tip,
                since=_waits_since(session),
                held_back=_seconds(session.held_back),
                commits=commits,
                paths=paths,
                authors=tuple(dict.fromkeys(authors[oid] for oid in commits)),
                stands_on=tuple(name for name, other in tips.items() if other in below),
            )
        )
    return candidates, rows


def _waits_since(session: Session) -> float:
    return max(session.created.timestamp(), _seconds(session.came_home) or 0.0)


def _seconds(moment: str | None) -> float | None:
    return datetime.fromisoformat(moment).timestamp() if moment else None


def _brought(
    git: Git, base: Oid, tips: Sequence[Oid]
) -> list[tuple[tuple[Oid, ...], tuple[str, ...]] | None]:
    """Return the commits and the paths that each tip brings, None where it has no history in common; asked at once."""
    held = anchors.holding(git, base)
    bases = [anchors.dressed(git, base, [tip], held) for tip in tips]
    pairs = list(zip(bases, tips, strict=True))
    common = ask_all([Question(git, ("merge-base", *pair)) for pair in pairs])
    commits = ask_all([Question(git, ("rev-list", f"{one}..{tip}", "--")) for one, tip in pairs])
    paths = ask_all([Question(git, (*FILES, f"{one}...{tip}", "--")) for one, tip in pairs])
    return [_brings(*answers) for answers in zip(common, commits, paths, strict=True)]


def _brings(
    common: bytes | WtsError, commits: bytes | WtsError, paths: bytes | WtsError
) -> tuple[tuple[Oid, ...], tuple[str, ...]] | None:
    if isinstance(common, GitError) and common.status == 1:
        return None
    for answer in (common, commits, paths):
        if isinstance(answer, WtsError):
            raise answer
    assert isinstance(commits, bytes)
    assert isinstance(paths, bytes)
    return tuple(map(Oid, commits.decode().split())), tuple(split_z(paths))


def _authors(project: Project, commits: Sequence[Oid]) -> dict[Oid, str]:
    """Return who wrote each commit, all read at once."""
    return {one.oid: one.author for one in history.describe(project.git, list(dict.fromkeys(commits)))}
