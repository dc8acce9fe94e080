"""`wts merge-ready`, carried out: what was planned is tested together, proved, and moved in one step.

Tests run without a lock. Only what is proved then moves, in one operation, if everything the plan has read still stands
where it stood. No session's branch or worktree is touched.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from worktree_sessions.actions import forecast, heldback, moving, operate, premerge, steps
from worktree_sessions.actions.forecast import Chain, Making
from worktree_sessions.actions.gate import Gate, Guilty, find_culprits
from worktree_sessions.actions.keeping import Keep, kept_from_gc
from worktree_sessions.actions.mergeplan import FeaturePlan, Order, for_another, of, would_land
from worktree_sessions.actions.mergewords import words_of
from worktree_sessions.actions.project import Project
from worktree_sessions.errors import Refused, WtsError
from worktree_sessions.model import culprit
from worktree_sessions.model.landing import Candidate, Homecoming, Result, Row, Strategy
from worktree_sessions.model.operation import Plan
from worktree_sessions.model.words import counted
from worktree_sessions.outside import anchors, merging
from worktree_sessions.outside.anchors import Anchor
from worktree_sessions.outside.git import Oid, full, short

Tell = Callable[[str], None]


class Landed(NamedTuple):
    """What was done: what became of each feature, and the operation that moved branches, if one did."""

    features: tuple[Homecoming, ...]
    operation: str | None

    def has(self, result: Result) -> bool:
        """Return whether a session met with that."""
        return any(row.result is result for home in self.features for row in home.rows)

    @property
    def is_red(self) -> bool:
        """Whether a test has held somebody back."""
        return self.has(Result.RED) or any(home.base_log for home in self.features)


def carry_out(
    project: Project, plans: Sequence[FeaturePlan], order: Order, tell: Tell = lambda _: None
) -> Landed:
    """Test, prove and land what was planned; `tell` hears what is being done.

    Raises Refused `expired` when a branch has moved since the plan, Refused when a worktree can't follow, and WtsError
    `unproved` when the result is not what was tested: then nothing has moved.
    """
    with kept_from_gc(project) as keep:
        homes = tuple(_carry_out_one(project, one, order, keep, tell) for one in plans)
        if not any(home.after for home in homes):
            heldback.remember_now(project, _rows(homes))
            return Landed(homes, None)
        done = operate.carry_out(project, functools.partial(_operation, project, homes))
        if any(home.anchors for home in homes):
            with contextlib.suppress(WtsError):  # another does so just now
                anchors.let_go(project.git)
        return Landed(homes, done.id)


def _rows(homes: Iterable[Homecoming]) -> list[Row]:
    return [row for home in homes for row in home.rows]


def _carry_out_one(project: Project, one: FeaturePlan, order: Order, keep: Keep, tell: Tell) -> Homecoming:
    """Return what becomes of a feature: what lands is built, tested and proved, and has not moved yet."""
    chain = one.chain
    before = chain.base if chain else None
    home = Homecoming(feature=one.feature, target=one.target, before=before, after=None, rows=one.rows)
    if chain is None or not one.candidates:
        return home
    keep([chain.base, *(row.candidate.tip for row in one.rows if row.candidate)])
    if one.command is None:
        return _landed(project, one, home, chain, keep, tell)
    home, green, tested = _test(project, one, home, order, keep, tell)
    held_back = any(row.result is Result.RED for row in home.rows)
    if order.all_or_nothing and held_back:
        rows = (for_another(row.candidate) if row.candidate in of(green) else row for row in home.rows)
        return dataclasses.replace(home, rows=tuple(rows))
    return _landed(project, one, home, green, keep, tell, tested)


# -- tested ----------------------------------------------------------------------------------------


def _test(
    project: Project, one: FeaturePlan, home: Homecoming, order: Order, keep: Keep, tell: Tell
) -> tuple[Homecoming, Chain, Oid | None]:
    """Return what the tests say of a feature, the draft of all that is green together, and the commit that was tested.

    Who is left out by the plan gets another try when the one in its way turns out red. Raises Refused before the first
    test when the feature's worktree could not follow.
    """
    assert one.chain is not None
    assert one.command is not None
    base, chain = one.chain.base, one.chain
    by_name = {row.session.name: row.candidate for row in one.rows if row.candidate}
    red: list[Row] = []
    changed: set[str] = set()

    def draft(names: Iterable[str]) -> Chain:
        given = [by_name[name] for name in names]
        absent = one.absent | by_name.keys() - {candidate.session.name for candidate in given}
        built = forecast.build(project.git, base, given, one.making, absent=absent)
        keep([built.head])
        return built

    def commit_of(names: tuple[str, ...]) -> Oid | None:
        built = draft(names)
        return None if built.left_out else built.head

    moving.check(project, full(one.target), base, draft(_names(chain)).head)
    search = culprit.one_by_one if order.every else culprit.search
    with Gate(project, one.feature, one.target, one.command, timeout=order.timeout, tell=tell) as gate:
        while True:
            judged = find_culprits(
                gate, _names(chain), commit_of, search=search, allows_flaky=order.allows_flaky
            )
            changed.update(path for run in judged.tests for path in run.changed)
            if judged.base is not None:
                says = f"{one.target} is {judged.base.verdict} by itself"
                rows = [_on_red_base(candidate, says) for candidate in of(chain)]
                home = dataclasses.replace(home, base_log=judged.base.log, base_says=says)
                green = Chain(base, left_out=(*rows, *chain.left_out))
                break
            red += [_guilty(by_name[guilty.item], guilty) for guilty in judged.guilty]
            green = draft([*judged.landed, *(row.session.name for row in chain.left_out)])
            if _names(green) == list(judged.landed):
                break
            chain = green
    planned = {row.session.name: row for row in one.rows if row.result is Result.LANDED}
    landed = [planned.get(link.candidate.session.name) or would_land(link) for link in green.links]
    rows = [*landed, *red, *green.left_out]
    untried = (row for row in one.rows if row.candidate is None)
    home = dataclasses.replace(
        home,
        rows=(*rows, *untried),
        test_runs=gate.runs,
        test_reruns=gate.reruns,
        changed_by_tests=tuple(sorted(changed)),
    )
    return home, green, judged.commit


def _names(chain: Chain) -> list[str]:
    return [candidate.session.name for candidate in of(chain)]


def _on_red_base(candidate: Candidate, says: str) -> Row:
    reason = f"not to blame: {says}"
    return Row(session=candidate.session, result=Result.SKIPPED, reason=reason, candidate=candidate)


def _guilty(candidate: Candidate, guilty: Guilty[str]) -> Row:
    run = guilty.run
    if run is None:
        reason = "stands on what is held back"
    elif guilty.red_with:
        reason = f"green alone, red together with {', '.join(guilty.red_with)}"
    elif guilty.red_with is not None:
        reason = f"red on its own ({run.why})"
    else:
        reason = f"{run.verdict}: {run.why}"
    return Row(
        session=candidate.session,
        result=Result.SKIPPED if run is None else Result.RED,
        reason=reason,
        rival=guilty.red_with[0] if guilty.red_with else None,
        candidate=candidate,
        cure=f"wts open {candidate.session.number}" if run else None,
        log=run.log if run else None,
    )


# -- proved ----------------------------------------------------------------------------------------


def _landed(
    project: Project,
    one: FeaturePlan,
    home: Homecoming,
    draft: Chain,
    keep: Keep,
    tell: Tell,
    tested: Oid | None = None,
) -> Homecoming:
    """Build what the draft holds once more, with its real messages and signatures, and prove it."""
    if not draft.links:
        return home
    making = dataclasses.replace(one.making, words=_words(project, one, draft))
    chain = forecast.build(project.git, draft.base, of(draft), making)
    if _names(chain) != _names(draft):
        raise WtsError(
            "unproved", f"merges into {one.target} came out otherwise than planned", hint="wts merge-ready"
        )
    keep([chain.head])
    _prove(project, one, chain, tested)
    if premerge.has_its_say(project, one, chain):
        premerge.ask(project, one, chain, tell)
    kept = _anchors(project, chain, making)
    keep(kept.values())
    return dataclasses.replace(home, after=chain.head, anchors=kept)


def _words(project: Project, one: FeaturePlan, draft: Chain) -> dict[str, forecast.Words]:
    """Return what each commit says; copies say what was copied.

    What another brought before it, whose commits it contains, is no word of its own.
    """
    if one.making.strategy is Strategy.REBASE:
        return {}
    words: dict[str, forecast.Words] = {}
    brought: set[Oid] = set()
    for candidate in of(draft):
        own = tuple(oid for oid in candidate.commits if oid not in brought) or candidate.commits
        words[candidate.session.name] = words_of(project, one, candidate._replace(commits=own))
        brought.update(own)
    return words


def _prove(project: Project, one: FeaturePlan, chain: Chain, tested: Oid | None) -> None:
    """Raise WtsError when what would land lacks something of either side, or brings in what no side had."""
    git = project.git
    tree = merging.tree_of(git, chain.head)
    tips = [candidate.tip for candidate in of(chain)]
    held = anchors.holding(git, chain.base)
    wrong = merging.proof(git, anchors.dressed(git, chain.base, tips, held), tree, tips)
    if one.making.strategy is Strategy.MERGE:
        wrong += [
            f"{candidate.session.name} is not contained in it"
            for candidate in of(chain)
            if not git.is_ancestor(candidate.tip, chain.head)
        ]
    if tested is not None and merging.tree_of(git, tested) != tree:
        wrong.append("it is not what was tested")
    if wrong:
        says = f"what would land on {one.target} is not proved, nothing was moved"
        raise WtsError("unproved", says, hint="wts merge-ready --skip N", details=tuple(wrong))


def _anchors(project: Project, chain: Chain, making: Making) -> dict[Anchor, Oid]:
    """Return what must be known of tips that land as other commits than their own."""
    if making.strategy is Strategy.MERGE:
        return {}
    found = (Anchor(link.candidate.tip, link.commit) for link in chain.links)
    return {one: anchors.commit_anchor(project.git, one) for one in found if one.tip != one.commit}


# -- moved -----------------------------------------------------------------------------------------


def _operation(project: Project, homes: Sequence[Homecoming]) -> Plan:
    """Return the steps that move the branches, if all that was planned on still stands.

    Once they have moved, what is to be remembered of it follows, whatever happens.
    """
    _refuse_expired(project, homes)
    moves = []
    for home in homes:
        if home.after:
            ref = full(home.target)
            worktree = moving.check(project, ref, home.before, home.after).worktree
            follows = f", and {worktree} with it" if worktree else ""
            says = f"move {home.target} to {counted(len(home.landed), 'landed session')}{follows}"
            moves.append(moving.move_branch(ref, home.before, home.after, worktree, says))
    keepers = [steps.keep_anchor(anchor, oid) for home in homes for anchor, oid in home.anchors.items()]
    features = ", ".join(home.feature for home in homes if home.after)
    return Plan(
        verb="merge-ready",
        session=features,
        steps=(*moves, *keepers, heldback.remember(project, _rows(homes))),
        lasts_from=len(moves),
    )


def _refuse_expired(project: Project, homes: Sequence[Homecoming]) -> None:
    """Raise Refused when a branch that the plan has read moved since, or a session was held back or closed."""
    rows = [row.candidate for home in homes for row in home.rows if row.candidate]
    read = {full(candidate.session.branch): candidate.tip for candidate in rows}
    read |= {full(home.target): home.before for home in homes if home.before}
    stand = project.git.refs("refs/heads")
    for ref, oid in read.items():
        if stand.get(ref) != oid:
            raise _expired(f"{short(ref)} has moved since the plan was made")
    for row in (row for home in homes if home.after for row in home.landed):
        current = project.store.load(row.session.name)
        if current is None or current.id != row.session.id or current.hold is not None:
            raise _expired(f"{row.session.name} was held back or closed since the plan was made")


def _expired(says: str) -> Refused:
    return Refused("expired", f"{says}; nothing was moved", hint="wts merge-ready")
