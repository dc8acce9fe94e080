"""`wts merge-ready`: the ready sessions of a feature come home together: planned, tested, proved, moved in one step.

The plan is made of pure reads over pinned commits, and what it forecasts lies in a quarantine. Tests run without a
lock. Only what is proved then moves, in one operation, if everything the plan has read still stands where it stood.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.actions import forecast, messages, moving, operate, readiness
from worktree_sessions.actions.forecast import Chain
from worktree_sessions.actions.gate import Gate, Guilty, find_culprits, test_command
from worktree_sessions.actions.listing import list_sessions
from worktree_sessions.actions.project import Project
from worktree_sessions.errors import NothingToDo, Refused, WtsError
from worktree_sessions.model import landing
from worktree_sessions.model.landing import Candidate, Homecoming, Result, Row
from worktree_sessions.model.operation import Plan
from worktree_sessions.model.readiness import verdict
from worktree_sessions.model.session import Look, Session, iso
from worktree_sessions.model.words import counted, quoted
from worktree_sessions.outside import history, locks, merging, processes
from worktree_sessions.outside.git import BranchName, Git, Oid, Ref, at_top, full, short

CANDIDATES = (
    "refs/wts/land/"  # PID-TOKEN/COMMIT: what a merge-ready works with, so that no gc takes it meanwhile
)
FILES = ("diff", "--name-only", "-z", "--no-ext-diff", "--no-renames")
LONGEST_GOAL = 60  # characters of the goal in a merge's first line
BRIEF = "wts merge-ready held this branch back"  # how every brief begins

Keep = Callable[[Iterable[Oid]], None]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the user asked for: numbers of sessions, and how to test. Without features it is all with ready sessions."""

    features: tuple[str, ...] = ()
    only: tuple[int, ...] = ()
    skip: tuple[int, ...] = ()
    first: tuple[int, ...] = ()
    all_or_nothing: bool = False
    test: str | None = None
    tests: bool = True
    timeout: float | None = None
    allows_flaky: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturePlan:
    """What would come home to one branch: the chain of merges (None: the branch is gone), what becomes of each session.

    `absent` names those who come home neither now nor before; `command` tests the rest, None for no test.
    """

    feature: str
    target: BranchName
    chain: Chain | None
    rows: tuple[Row, ...]
    absent: frozenset[str] = frozenset()
    goals: Mapping[str, str] = dataclasses.field(default_factory=dict)
    command: str | None = None

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return tuple(_of(self.chain)) if self.chain else ()

    @property
    def is_held_back(self) -> bool:
        """Whether somebody who is ready conflicts."""
        return any(row.result is Result.CONFLICT for row in self.rows)


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


# -- the plan --------------------------------------------------------------------------------------


def plan(project: Project, order: Order) -> list[FeaturePlan]:
    """Return what would come home, feature by feature; nothing is written that stays.

    Raises NothingToDo when there is no session to speak of, WtsError when the order names what is not there, and
    Unknown when git can't tell what comes of a merge.
    """
    every = list_sessions(project).looks
    _refuse_strangers([look.session for look in every], order)
    looks = [look for look in every if _is_asked(look.session, order)]
    if not looks:
        raise NothingToDo("nothing-ready", "there is no session to merge", hint="wts list")
    targets = sorted({look.session.parent for look in looks})
    refs = project.git.refs("refs/heads")
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


def _plan_feature(
    project: Project, git: Git, looks: Sequence[Look], refs: Mapping[Ref, Oid], order: Order
) -> FeaturePlan:
    feature, target = looks[0].session.feature, looks[0].session.parent
    base = refs.get(full(target))
    sorted_out = {look.session.name: _row_of_left_out(project, look, base, order) for look in looks}
    out = tuple(row for row in sorted_out.values() if row is not None)
    if base is None:
        return FeaturePlan(feature=feature, target=target, chain=None, rows=out)
    candidates = _candidates(project, base, looks, sorted_out)
    absent = frozenset(row.session.name for row in out if row.code != "landed")
    chain = forecast.build(git, base, landing.in_order(candidates, order.first), absent=absent)
    if order.all_or_nothing and chain.left_out:
        chain = Chain(base, left_out=(*map(_for_another, _of(chain)), *chain.left_out))
    would_land = (_would_land(candidate, order.first) for candidate in _of(chain))
    return FeaturePlan(
        feature=feature,
        target=target,
        chain=chain,
        rows=(*would_land, *chain.left_out, *out),
        absent=absent,
        goals={look.session.name: look.goal or "" for look in looks},
        command=(order.test or test_command(project)) if order.tests and chain.links else None,
    )


def _row_of_left_out(project: Project, look: Look, base: Oid | None, order: Order) -> Row | None:
    """Return why a session stays out of it before any merge is tried, None when it does not."""
    session = look.session
    if session.number in order.skip or (order.only and session.number not in order.only):
        return Row(session=session, result=Result.SKIPPED, reason="left out, as you said")
    if base is None:
        cure = f"git branch {quoted(session.parent)} {session.base[:10]}"
        reason = f"{session.parent} is gone"
        return Row(session=session, result=Result.BLOCKED, reason=reason, code="no-parent", cure=cure)
    blockers = readiness.closely(project, look).blockers
    if blockers:
        first, *others = blockers
        reason = "; ".join([first.message, *([f"{len(others)} more"] if others else [])])
        return Row(session=session, result=Result.BLOCKED, reason=reason, code=first.code, cure=first.cure)
    if merging.merge_base(project.git, base, _head(look)) is None:
        reason = f"it has no history in common with {session.parent}"
        cure = f"git log {quoted(session.branch)}"
        return Row(session=session, result=Result.BLOCKED, reason=reason, code="no-base", cure=cure)
    return None


def _head(look: Look) -> Oid:
    assert look.status is not None
    assert look.status.head is not None, "a session without a blocker has a tip"
    return look.status.head


def _candidates(
    project: Project, base: Oid, looks: Sequence[Look], left_out: Mapping[str, Row | None]
) -> list[Candidate]:
    """Return the sessions that may come home, with what each brings and whose tips are in it.

    Nobody brings another home whom a human has held back or left out.
    """
    tips: dict[str, Oid] = {}
    for look in looks:
        row = left_out[look.session.name]
        wanted = row is None or row.code == "held" or row.result is Result.SKIPPED
        if wanted and look.status and look.status.head:
            tips[look.session.name] = look.status.head
    found = []
    for look in looks:
        session = look.session
        if left_out[session.name] is not None:
            continue
        tip = tips[session.name]
        own = [Oid(line) for line in project.git.run("rev-list", f"{base}..{tip}").decode().split()]
        below = set(own) - {tip}
        found.append(
            Candidate(
                session,
                tip,
                since=verdict(look).since,
                held_back=datetime.fromisoformat(session.held_back).timestamp()
                if session.held_back
                else None,
                commits=len(own),
                files=len(project.git.fields(*FILES, f"{base}...{tip}")),
                authors=tuple(dict.fromkeys(one.author for one in history.describe(project.git, own))),
                stands_on=tuple(name for name, other in tips.items() if other in below),
            )
        )
    return found


def _for_another(candidate: Candidate) -> Row:
    reason = "another is held back, and it is all or nothing"
    return Row(session=candidate.session, result=Result.SKIPPED, reason=reason, candidate=candidate)


# -- carried out -----------------------------------------------------------------------------------


def carry_out(
    project: Project, plans: Sequence[FeaturePlan], order: Order, tell: Tell = lambda _: None
) -> Landed:
    """Test, prove and land what was planned; `tell` hears what is being done.

    Raises Refused `expired` when a branch has moved since the plan, Refused when a worktree can't follow, and WtsError
    `unproved` when the result is not what was tested: then nothing has moved.
    """
    with _kept_from_gc(project) as keep:
        homes = tuple(_carry_out_one(project, one, order, keep, tell) for one in plans)
        operation = None
        if any(home.after for home in homes):
            done = operate.carry_out(project, functools.partial(_operation, project, homes))
            operation = done.id
    _remember(project, homes)
    return Landed(homes, operation)


def _carry_out_one(project: Project, one: FeaturePlan, order: Order, keep: Keep, tell: Tell) -> Homecoming:
    """Return what becomes of a feature: what lands is built, tested and proved, and has not moved yet."""
    chain = one.chain
    before = chain.base if chain else None
    home = Homecoming(feature=one.feature, target=one.target, before=before, after=None, rows=one.rows)
    if chain is None or not one.candidates:
        return home
    keep([chain.base, *(row.candidate.tip for row in one.rows if row.candidate)])
    if one.command is None:
        return _landed(project, one, home, chain, keep)
    home, green, tested = _test(project, one, home, order, keep, tell)
    held_back = any(row.result is Result.RED for row in home.rows)
    if order.all_or_nothing and held_back:
        rows = (_for_another(row.candidate) if row.candidate in _of(green) else row for row in home.rows)
        return dataclasses.replace(home, rows=tuple(rows))
    return _landed(project, one, home, green, keep, tested)


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
        built = forecast.build(project.git, base, given, absent=absent)
        keep([built.head])
        return built

    def commit_of(names: tuple[str, ...]) -> Oid | None:
        built = draft(names)
        return None if built.left_out else built.head

    moving.check(project, full(one.target), base, draft(_names(chain)).head)
    with Gate(project, one.feature, one.target, one.command, timeout=order.timeout, tell=tell) as gate:
        while True:
            judged = find_culprits(gate, _names(chain), commit_of, allows_flaky=order.allows_flaky)
            changed.update(path for run in judged.tests for path in run.changed)
            if judged.base is not None:
                rows = [_on_red_base(candidate, one.target) for candidate in _of(chain)]
                home = dataclasses.replace(home, base_log=judged.base.log)
                green = Chain(base, left_out=(*rows, *chain.left_out))
                break
            red += [_guilty(by_name[guilty.item], guilty) for guilty in judged.guilty]
            green = draft([*judged.landed, *(row.session.name for row in chain.left_out)])
            if _names(green) == list(judged.landed):
                break
            chain = green
    planned = {row.session.name: row for row in one.rows if row.result is Result.LANDED}
    landed = [planned.get(candidate.session.name) or _would_land(candidate) for candidate in _of(green)]
    rows = [*landed, *red, *green.left_out]
    untried = (row for row in one.rows if row.candidate is None)
    home = dataclasses.replace(
        home, rows=(*rows, *untried), test_runs=gate.runs, changed_by_tests=tuple(sorted(changed))
    )
    return home, green, judged.commit


def _of(chain: Chain) -> list[Candidate]:
    return [link.candidate for link in chain.links]


def _names(chain: Chain) -> list[str]:
    return [candidate.session.name for candidate in _of(chain)]


def _would_land(candidate: Candidate, chosen: Sequence[int] = ()) -> Row:
    reason = landing.why_here(candidate, chosen)
    return Row(session=candidate.session, result=Result.LANDED, reason=reason, candidate=candidate)


def _on_red_base(candidate: Candidate, target: BranchName) -> Row:
    reason = f"not tried: {target} is red without it"
    return Row(session=candidate.session, result=Result.SKIPPED, reason=reason, candidate=candidate)


def _guilty(candidate: Candidate, guilty: Guilty[str]) -> Row:
    run = guilty.run
    if run is None:
        reason = "stands on what is held back"
    elif guilty.red_with:
        reason = f"green alone, red together with {', '.join(guilty.red_with)}"
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


def _landed(
    project: Project, one: FeaturePlan, home: Homecoming, draft: Chain, keep: Keep, tested: Oid | None = None
) -> Homecoming:
    """Build what the draft holds once more, with its real messages and signatures, and prove it."""
    if not draft.links:
        return home
    words = {candidate.session.name: _message(project, one, candidate) for candidate in _of(draft)}
    chain = forecast.build(project.git, draft.base, _of(draft), words=words)
    if _names(chain) != _names(draft):
        raise WtsError(
            "unproved", f"merges into {one.target} came out otherwise than planned", hint="wts merge-ready"
        )
    keep([chain.head])
    _prove(project, chain, one.target, tested)
    return dataclasses.replace(home, after=chain.head)


def _prove(project: Project, chain: Chain, target: BranchName, tested: Oid | None) -> None:
    """Raise WtsError when what would land lacks something of either side, or brings in what no side had."""
    git = project.git
    tree = merging.tree_of(git, chain.head)
    wrong = merging.proof(git, chain.base, tree, [candidate.tip for candidate in _of(chain)])
    for candidate in _of(chain):
        if not git.is_ancestor(candidate.tip, chain.head):
            wrong.append(f"{candidate.session.name} is not contained in it")
    if tested is not None and merging.tree_of(git, tested) != tree:
        wrong.append("it is not what was tested")
    if wrong:
        says = f"what would land on {target} is not proved, nothing was moved"
        raise WtsError("unproved", says, hint="wts merge-ready --skip N", details=tuple(wrong))


# -- messages --------------------------------------------------------------------------------------


def _message(project: Project, one: FeaturePlan, candidate: Candidate) -> str:
    """Return a merge's message: who came home, for what, whether tested; the `commit-msg` hook has its say."""
    session = candidate.session
    goal = _in_one_line(one.goals[session.name])
    if len(goal) > LONGEST_GOAL:
        goal = goal[: LONGEST_GOAL - 1].rstrip() + "…"
    trailers = {
        "Wts-Session": f"{session.name} ({session.number})",
        "Wts-Purpose": session.purpose,
        "Wts-Tested": _in_one_line(one.command) if one.command else "no",
    }
    lines = "".join(f"{key}: {value}\n" for key, value in trailers.items())
    text = f"Merge session {session.number}, {session.name}{f': {goal}' if goal else ''}\n\n{lines}"
    return _through_hook(project, session, text)


def _in_one_line(text: str) -> str:
    """Return a text without line ends and control characters: it can't begin a line of its own in a message."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


def _through_hook(project: Project, session: Session, text: str) -> str:
    """Return the message as the `commit-msg` hook leaves it; raise Refused when the hook does not let it pass."""
    git = at_top(project.main) if project.main else project.git
    with tempfile.TemporaryDirectory(prefix="wts-message-") as place:
        file = os.path.join(place, "COMMIT_EDITMSG")
        with open(file, "wb") as writing:
            writing.write(text.encode())
        done = git.ask("hook", "run", "--ignore-missing", "commit-msg", "--", file)
        if done.status != 0:
            said = (done.out + done.err).decode("utf-8", "replace").strip().splitlines()
            raise Refused(
                "commit-msg",
                f"the commit-msg hook does not let the merge of {session.name} pass",
                hint=f"see the hook, or wts merge-ready --skip {session.number}",
                session=session.name,
                details=tuple(said),
            )
        with open(file, "rb") as reading:
            return os.fsdecode(reading.read())


# -- moved -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _kept_from_gc(project: Project) -> Iterator[Keep]:
    """Give a function that keeps commits from garbage collection until the block ends."""
    _sweep(project)
    mine = f"{CANDIDATES}{os.getpid()}-{os.urandom(3).hex()}/"
    kept: dict[Ref, Oid] = {}

    def keep(commits: Iterable[Oid]) -> None:
        new = {Ref(mine + commit): commit for commit in commits}
        project.git.update_refs("wts", *((ref, oid, None) for ref, oid in new.items() if ref not in kept))
        kept.update(new)

    try:
        yield keep
    finally:
        project.git.update_refs("wts", *((ref, None, oid) for ref, oid in kept.items()))


def _sweep(project: Project) -> None:
    """Let go of what a merge-ready kept that was killed."""
    refs = project.git.refs(CANDIDATES)
    dead = [
        ref for ref in refs if not processes.is_there(int(ref.removeprefix(CANDIDATES).partition("-")[0]))
    ]
    with contextlib.suppress(WtsError):  # another sweeps just now
        project.git.update_refs("wts", *((ref, None, refs[ref]) for ref in dead))


def _operation(project: Project, homes: Sequence[Homecoming]) -> Plan:
    """Return the steps that move the branches, if all that was planned on still stands."""
    rows = [row.candidate for home in homes for row in home.rows if row.candidate]
    read = {full(candidate.session.branch): candidate.tip for candidate in rows}
    read |= {full(home.target): home.before for home in homes if home.before}
    stand = project.git.refs("refs/heads")
    for ref, oid in read.items():
        if stand.get(ref) != oid:
            raise _expired(f"{short(ref)} has moved since the plan was made")
    steps = []
    for home in homes:
        for row in home.landed if home.after else ():
            current = project.store.load(row.session.name)
            if current is None or current.id != row.session.id or current.hold is not None:
                raise _expired(f"{row.session.name} was held back or closed since the plan was made")
        if home.after:
            ref = full(home.target)
            worktree = moving.check(project, ref, home.before, home.after).worktree
            follows = f", and {worktree} with it" if worktree else ""
            says = f"move {home.target} to {counted(len(home.landed), 'landed session')}{follows}"
            steps.append(moving.move_branch(ref, home.before, home.after, worktree, says))
    features = ", ".join(home.feature for home in homes if home.after)
    return Plan(verb="merge-ready", session=features, steps=tuple(steps))


def _expired(says: str) -> Refused:
    return Refused("expired", f"{says}; nothing was moved", hint="wts merge-ready")


# -- remembered ------------------------------------------------------------------------------------


def _remember(project: Project, homes: Sequence[Homecoming]) -> None:
    """Write down who is held back, so that they come first the next time, and leave each a brief."""
    now = iso(datetime.fromtimestamp(time.time(), timezone.utc))
    rows = [row for home in homes for row in home.rows if row.result in (Result.CONFLICT, Result.RED)]
    landed = [row for home in homes for row in home.landed]
    with locks.writing(project.store.lock_file, "wts merge-ready", timeout=project.settings.lock_timeout):
        for row in (*rows, *landed):
            current = project.store.load(row.session.name)
            if current is not None and current.id == row.session.id:
                since = None if row.result is Result.LANDED else current.held_back or now
                if since != current.held_back:
                    project.store.save(current._replace(held_back=since))
                messages.forget(_briefs(project, current))
    for row in rows:
        with contextlib.suppress(WtsError):  # it was closed meanwhile
            messages.keep(project, row.session, brief(row))


def _briefs(project: Project, session: Session) -> list[Path]:
    """Return the briefs that still wait for a start; they tell of an earlier time."""
    return [file for file in messages.kept(project, session) if file.read_bytes().startswith(BRIEF.encode())]


def brief(row: Row) -> str:
    """Return what the session's Claude is told of why its branch was held back."""
    session = row.session
    files = "".join(f"\n  {_in_one_line(path)}" for path in row.files)
    log = f"\nWhat the tests said: {row.log}" if row.log else ""
    asked = (
        f"Bring {session.parent} into this branch (git merge {session.parent}), keep the intent of both sides"
        if row.result is Result.CONFLICT
        else f"Bring {session.parent} into this branch, find out why, and mend it here"
    )
    return (
        f"{BRIEF}, {session.branch}, when finished branches came home to {session.parent}: "
        f"{row.reason}.{files}{log}\n{asked}, run the tests, and commit."
    )
