"""`wts radar`: who would conflict with whom, and with the parent, uncommitted work included.

Nothing of the sessions is touched and no lock is taken: what git has to write lies in a quarantine, and goes. Each
session is first merged into its parent's tip, as it would land; a pair whose changes meet there is asked by merging
the second into the first that has landed. So what is told as a conflict is one on the target. A session that does not
land by itself can't be asked so: its pairs are asked tip against tip, and a conflict between these is unconfirmed.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

from worktree_sessions.actions import radarcache
from worktree_sessions.actions.listing import Facts, facts_of
from worktree_sessions.actions.project import Project
from worktree_sessions.actions.radarcache import Kept
from worktree_sessions.errors import NothingToDo, WtsError
from worktree_sessions.model import radar as model
from worktree_sessions.model.radar import CLEAR, Contact, Level, Pair, Scan, Verdict
from worktree_sessions.model.session import MISSING, Session
from worktree_sessions.outside import anchors, merging, uncommitted
from worktree_sessions.outside.git import NOBODY, BranchName, Git, GitError, Oid, Question, ask_all
from worktree_sessions.outside.hunks import Between, hunks_between
from worktree_sessions.outside.merging import Conflict, Merged, Outcome, Place
from worktree_sessions.outside.uncommitted import Work

TICK = 20_000_000  # ns, more than the clock of a file system stands still
LOCATED = 100  # files of two commits whose lines are told; those in conflict come first

Ask = tuple[int, int | None]  # two sessions by their place in the list; None is the parent


@dataclass(slots=True)
class Sight:
    """A session as it was seen: the commit it is compared as, or the uncommitted work that is to become one.

    `sign` stands for the work's files (None: they can't be known by their outside). What is compared is not whole when
    uncommitted work is missing from it; `note` says what is to be known.
    """

    session: Session
    tip: Oid | None
    work: Work | None = None
    sign: str | None = None
    is_whole: bool = True
    note: str | None = None


class Stand(NamedTuple):
    """What a session would change on its parent: from `ground`, the parent's tip, to `top`, the session landed there.

    One that conflicts with the parent does not land: it is taken from the merge base to its own tip.
    """

    tip: Oid
    ground: Oid
    top: Oid
    touched: Mapping[str, str]
    conflicts: tuple[Conflict, ...]


def scan(project: Project, feature: str | None = None) -> list[Scan]:
    """Return how the sessions of a feature (or of all) get along, for each parent. Raises NothingToDo without any."""
    before = time.time_ns() - TICK
    recorded, _ = project.store.load_all()
    sessions = [one for one in recorded if feature in (None, one.feature, one.parent)]
    if not sessions:
        of = f" of {feature}" if feature else ""
        raise NothingToDo("no-sessions", f"there is no session{of} to compare", hint="wts list")
    seen: dict[BranchName, list[tuple[Session, Facts]]] = {}
    for session, facts in zip(sessions, facts_of(project, sessions), strict=True):
        seen.setdefault(session.parent, []).append((session, facts))
    kept = radarcache.load(project.store)
    scans, now = [], dict(kept) if feature else {}
    for parent, rows in seen.items():
        sights = [_sight(session, facts, before) for session, facts in rows]
        one, now[parent] = _scan(project, parent, rows[0][1].parent, sights, kept.get(parent, Kept()))
        now[parent].marks = _marks(one, before)
        scans.append(one)
    if now != kept:
        radarcache.save(project.store, now)
    return scans


# -- what is seen ------------------------------------------------------------------------------------


def _sight(session: Session, facts: Facts, before: int) -> Sight:
    status = facts.status
    if status is None:
        problem = MISSING if facts.problem == MISSING else f"its worktree can't be read ({facts.problem})"
        return Sight(session, facts.tip, is_whole=False, note=f"{problem}: only its branch is compared")
    if facts.tip is None:
        return Sight(session, None, note=f"branch {session.branch} is gone")
    if status.branch != session.branch:
        where = f"on {status.branch}" if status.branch else "detached"
        return Sight(session, facts.tip, note=f"HEAD is {where}: only the session's own branch is compared")
    if status.is_clean:
        return Sight(session, facts.tip)
    note = (
        "its merge is not finished: the files in conflict are taken as they are" if status.unmerged else None
    )
    sign = None if status.submodules else _sign_of(session, facts, before)
    return Sight(session, None, Work(session.worktree, facts.tip), sign, note=note)


def _sign_of(session: Session, facts: Facts, before: int) -> str | None:
    """Return what stands for a worktree's uncommitted work; None when it could change without another sign."""
    assert facts.status is not None
    status = facts.status
    paths = sorted({*status.changed, *status.untracked, *status.unmerged})
    signs = [radarcache.sign(session.worktree / path) for path in paths]
    if any(path.endswith("/") for path in paths):  # a repository of its own
        return None
    if not all(radarcache.is_settled(sign, before) for sign in signs):
        return None
    return _digest(facts.tip, paths, signs)


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()[:20]


def _marks(scan: Scan, before: int) -> list[Any]:
    """Return what shows that a conflict is still there: the files in both worktrees, as they are."""
    marks = []
    for pair in scan.conflicts:
        files = []
        for contact in pair.verdict.files:
            signs = [
                radarcache.sign(one.worktree / contact.path) if one else None for one in (pair.a, pair.b)
            ]
            if all(radarcache.is_settled(sign, before) for sign in signs):
                files.append([contact.path, *signs])
        marks.append([pair.a.id, pair.b.id if pair.b else None, files])
    return marks


# -- one parent --------------------------------------------------------------------------------------


def _scan(
    project: Project, parent: BranchName, target: Oid | None, sights: list[Sight], kept: Kept
) -> tuple[Scan, Kept]:
    """Return the scan, and what is kept of it."""
    asks: list[Ask] = [*((one, None) for one in range(len(sights))), *combinations(range(len(sights)), 2)]
    now = Kept(target)
    try:
        found = _ask(project.git, parent, target, sights, asks, kept, now)
    except WtsError as error:
        found = dict.fromkeys(asks, Verdict(Level.UNKNOWN, why=error.message))
    sessions = tuple(sight.session for sight in sights)
    pairs = tuple(Pair(sessions[a], None if b is None else sessions[b], found[a, b]) for a, b in asks)
    notes = {sight.session.name: sight.note for sight in sights if sight.note}
    return Scan(parent=parent, target=target, sessions=sessions, pairs=pairs, notes=notes), now


def _ask(
    git: Git,
    parent: BranchName,
    target: Oid | None,
    sights: list[Sight],
    asks: list[Ask],
    kept: Kept,
    now: Kept,
) -> dict[Ask, Verdict]:
    """Answer from what was kept, and ask git for the rest; what can be kept of it goes into `now`."""
    if target is None:
        raise WtsError("no-parent", f"parent {parent} is gone")
    with merging.attributes_of(git, target) as place:
        for sight in sights:
            sight.sign = sight.sign and _digest(place.digest, sight.sign)
            if sight.sign in kept.works:
                sight.tip = Oid(kept.works[sight.sign])
        found = _known(kept, place, target, sights, asks)
        if len(found) < len(asks):
            with merging.quarantine(git) as aside:
                _commit_work(aside, [sight for sight in sights if sight.work])
                found |= _known(kept, place, target, sights, asks)
                missing = [ask for ask in asks if ask not in found]
                found |= _Comparison(aside, place, parent, target, sights).answers(missing)
        for ask, verdict in found.items():
            key = _key(place, target, sights, ask)
            if key and (verdict.level is not Level.UNKNOWN or verdict.files):
                now.verdicts[key] = model.verdict_json(verdict)
        now.works = {sight.sign: sight.tip for sight in sights if sight.sign and sight.tip}
    return {ask: _as_far_as_seen(verdict, sights, ask) for ask, verdict in found.items()}


def _known(kept: Kept, place: Place, target: Oid, sights: list[Sight], asks: list[Ask]) -> dict[Ask, Verdict]:
    found = {}
    for ask in asks:
        key = _key(place, target, sights, ask)
        if key and (raw := kept.verdicts.get(key)) is not None:
            with contextlib.suppress(ValueError, TypeError, LookupError):
                found[ask] = model.read_verdict(raw)
    return found


def _key(place: Place, target: Oid, sights: list[Sight], ask: Ask) -> str | None:
    """Return what a verdict is kept by: all that it follows from; None as long as that is not known."""
    tips = ["parent" if one is None else sights[one].tip for one in ask]
    return _digest(place.digest, target, tips) if all(tips) else None


def _commit_work(aside: Git, sights: list[Sight]) -> None:
    works = [sight.work for sight in sights if sight.work]
    for sight, taken in zip(sights, uncommitted.take_all(aside, works), strict=True):
        sight.tip, sight.is_whole = taken.commit, taken.is_whole
        if taken.note:
            sight.sign, sight.note = None, taken.note


def _as_far_as_seen(verdict: Verdict, sights: list[Sight], ask: Ask) -> Verdict:
    """Return a verdict as unknown where it says that all is well, of less than all that is there."""
    if verdict.level in (Level.CONFLICT, Level.UNKNOWN):
        return verdict
    partial = [sights[one] for one in ask if one is not None and not sights[one].is_whole]
    why = "; ".join(f"{sight.session.name}: {sight.note}" for sight in partial)
    return verdict._replace(level=Level.UNKNOWN, why=why) if partial else verdict


class _Comparison:
    """The sessions on their parent's tip, and what comes of merging two of them."""

    def __init__(self, git: Git, place: Place, parent: BranchName, target: Oid, sights: list[Sight]) -> None:
        self._git, self._place, self._parent, self._target = git, place, parent, target
        self._names = [sight.session.name for sight in sights]
        self._tips = [sight.tip for sight in sights]
        self._anchors = anchors.holding(git, target)
        self._stands: dict[int, Stand] = {}
        self._unknown: dict[int, str] = {}

    def answers(self, asks: list[Ask]) -> dict[Ask, Verdict]:
        self._take_stands(sorted({one for ask in asks for one in ask if one is not None}))
        found: dict[Ask, Verdict] = {}
        meeting: list[tuple[int, int]] = []
        for a, b in asks:
            if whys := [
                f"{self._names[one]}: {self._unknown[one]}" for one in (a, b) if one in self._unknown
            ]:
                found[a, b] = Verdict(Level.UNKNOWN, why="; ".join(whys))
            elif b is None:
                conflicts = self._stands[a].conflicts
                found[a, b] = Verdict(Level.CONFLICT, _contacts(conflicts)) if conflicts else CLEAR
            elif model.meet(self._stands[a].touched, self._stands[b].touched):
                meeting.append((a, b))
            else:
                found[a, b] = CLEAR
        merged = merging.merge_all(self._git, self._place, [self._merge_of(*pair) for pair in meeting])
        trees = self._trees(meeting)
        found |= {pair: self._together(*pair, one, trees) for pair, one in zip(meeting, merged, strict=True)}
        return self._located(found)

    def _take_stands(self, ones: list[int]) -> None:
        """Find out how each session would land, and what it changes there."""
        tips = {one: tip for one in ones if (tip := self._tips[one])}
        self._unknown |= {one: "its branch is gone" for one in ones if one not in tips}
        grounds = {one: self._as_known(self._target, tip) for one, tip in tips.items()}
        bases = self._each({one: ("merge-base", grounds[one], tip) for one, tip in tips.items()})
        diverged = [one for one, base in bases.items() if base not in (self._target, tips[one])]
        merges = merging.merge_all(self._git, self._place, [(grounds[one], tips[one]) for one in diverged])
        merged = dict(zip(diverged, merges, strict=True))
        self._unknown |= {one: str(m.why) for one, m in merged.items() if m.outcome is Outcome.UNKNOWN}
        landed = self._each(
            {
                one: ("commit-tree", m.tree, "-p", self._target, "-p", tips[one], "-m", "wts: landed")
                for one, m in merged.items()
                if m.tree
            }
        )
        for one, base in bases.items():
            if one not in self._unknown:
                conflicts = merged[one].conflicts if one in merged else ()
                top = landed.get(one) or (self._target if base == tips[one] else tips[one])
                ground = base if conflicts else self._target
                touched = merging.touched(self._git, ground, top)
                self._stands[one] = Stand(tips[one], ground, top, touched, conflicts)

    def _each(self, words: Mapping[int, tuple[str, ...]]) -> dict[int, Oid]:
        """Ask git for an id for each session; why there is none becomes known."""
        git = self._git.with_env(**NOBODY)
        answers = ask_all([Question(git, one) for one in words.values()])
        found = {}
        for one, answer in zip(words, answers, strict=True):
            if isinstance(answer, bytes):
                found[one] = Oid(answer.decode().strip())
            elif (
                isinstance(answer, GitError) and answer.status == 1 and not answer.said
            ):  # merge-base has none
                self._unknown[one] = f"it has no commit in common with {self._parent}"
            else:
                self._unknown[one] = answer.message
        return found

    def _merge_of(self, a: int, b: int) -> tuple[Oid, Oid]:
        """Return what is merged into what: `b` where `a` has landed, the two alone when one of them can't land."""
        one, other = self._stands[a], self._stands[b]
        ours = one.tip if one.conflicts or other.conflicts else self._as_known(one.top, other.tip)
        return ours, other.tip

    def _as_known(self, ours: Oid, tip: Oid) -> Oid:
        """Return what a tip is merged into, holding what of it landed there by other commits."""
        return anchors.dressed(self._git, ours, [tip], self._anchors)

    def _trees(self, meeting: list[tuple[int, int]]) -> dict[Oid, Oid]:
        tops = list(dict.fromkeys(self._stands[one].top for pair in meeting for one in pair))
        return merging.trees_of(self._git, tops)

    def _together(self, a: int, b: int, merged: Merged, trees: Mapping[Oid, Oid]) -> Verdict:
        one, other = self._stands[a], self._stands[b]
        if merged.outcome is Outcome.UNKNOWN:
            return Verdict(Level.UNKNOWN, why=merged.why)
        if merged.outcome is Outcome.CONFLICT:
            alone = [self._names[n] for n in (a, b) if self._stands[n].conflicts]
            why = f"{' and '.join(alone)} can't land on {self._parent} yet" if alone else None
            return Verdict(Level.UNKNOWN if alone else Level.CONFLICT, _contacts(merged.conflicts), why)
        shared = sorted(one.touched.keys() & other.touched.keys())
        if not shared or merged.tree in (trees[one.top], trees[other.top]):  # one has all of the other
            return CLEAR
        return Verdict(Level.SAME_FILE, tuple(Contact(path) for path in shared))

    def _located(self, found: dict[Ask, Verdict]) -> dict[Ask, Verdict]:
        """Return the verdicts with the lines of their files."""
        sides = {ask: self._sides(*ask) for ask, verdict in found.items() if verdict.files}
        wanted: dict[Between, list[str]] = {}
        for ask in sorted(sides, key=lambda ask: found[ask].level is Level.SAME_FILE):
            for between in sides[ask]:
                wanted.setdefault(between, []).extend(contact.path for contact in found[ask].files)
        most = {between: list(dict.fromkeys(paths))[:LOCATED] for between, paths in wanted.items()}
        hunks = hunks_between(self._git, most)

        def lines(contact: Contact, one: Between, other: Between) -> Contact:
            ours, theirs = (hunks[between].get(contact.path, []) for between in (one, other))
            return contact._replace(lines=model.lines_of(ours, theirs, is_one_ground=one[0] == other[0]))

        located = {
            ask: found[ask]._replace(files=tuple(lines(contact, *both) for contact in found[ask].files))
            for ask, both in sides.items()
        }
        return found | located

    def _sides(self, a: int, b: int | None) -> tuple[Between, Between]:
        """Return between which commits each side changed its files."""
        one = self._stands[a]
        if b is None:
            return (one.ground, one.top), (one.ground, self._target)
        other = self._stands[b]
        return (one.ground, one.top), (other.ground, other.top)


def _contacts(conflicts: Iterable[Conflict]) -> tuple[Contact, ...]:
    """Return each file in conflict once, with the first kind that git tells."""
    kinds: dict[str, str] = {}
    for conflict in conflicts:
        kinds.setdefault(conflict.path, conflict.kind)
    return tuple(Contact(path, kind) for path, kind in kinds.items())
