"""`wts list`: every session as it is now. Reads only: no lock, nothing written, one git status a worktree at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from worktree_sessions.actions.asking import Asked, ask_states
from worktree_sessions.actions.project import Project, scratch_worktrees
from worktree_sessions.actions.radarcache import known_conflicts
from worktree_sessions.errors import WtsError
from worktree_sessions.model import names, reflog
from worktree_sessions.model.ordering import order
from worktree_sessions.model.readiness import is_unfinished, names_of_ready, needs_commits
from worktree_sessions.model.session import MISSING, Listing, Look, Session
from worktree_sessions.outside import anchors
from worktree_sessions.outside.git import (
    LIST_REFS,
    LIST_WORKTREES,
    STATUS,
    BranchName,
    Oid,
    Question,
    Ref,
    Status,
    ask_all,
    compare,
    full,
    git_dir_of,
    open_operation,
    parse_distance,
    parse_refs,
    parse_status,
    parse_worktrees,
)

if TYPE_CHECKING:
    from worktree_sessions.model.operation import Operation


def list_sessions(project: Project) -> Listing:
    """Return all sessions in the order of attention, and what lies beside them."""
    sessions, unreadable = project.store.load_all()
    asked = [Question(project.git, LIST_WORKTREES), *_questions(project, sessions)]
    rows, *answers = ask_all(asked)
    own = {session.worktree for session in sessions} | scratch_worktrees(project)
    others = [row for row in parse_worktrees(_told(rows))[1:] if row.path not in own and row.prunable is None]
    looks = _looks(project, sessions, answers)
    return Listing(
        looks=tuple(order(looks, ready=names_of_ready(looks))),
        others=len(others),
        unreadable=tuple(unreadable),
        current=_current(sessions, project.here),
        unfinished=tuple(f"{one.plan.verb} {one.plan.session}".strip() for one in _left_behind(project)),
        missing=tuple(look.session.name for look in looks if look.problem == MISSING),
        closed=project.store.count_closed(),
    )


def look_at(project: Project, sessions: list[Session]) -> list[Look]:
    """Look at several sessions at once."""
    return _looks(project, sessions, ask_all(_questions(project, sessions)))


def look_at_one(project: Project, session: Session) -> Look:
    """Look at one session."""
    return look_at(project, [session])[0]


def facts_of(project: Project, sessions: list[Session]) -> list[Facts]:
    """Return what git tells of several sessions, asked at once; their Claude is not asked."""
    return _all_facts(sessions, ask_all(_questions(project, sessions)))


def with_commits(project: Project, looks: list[Look]) -> list[Look]:
    """Return the looks, those with their unfinished commits that would be ready without one."""
    groups: dict[BranchName, list[Look]] = {}
    for look in looks:
        if needs_commits(look):
            groups.setdefault(look.session.parent, []).append(look)
    found = _unfinished(project, list(groups.values()))
    return [look._replace(unfinished=found.get(look.session.name, look.unfinished)) for look in looks]


def _unfinished(project: Project, groups: list[list[Look]]) -> dict[str, tuple[str, ...]]:
    """Return by name the subjects of unfinished commits, where git can tell.

    The sessions of one parent are asked for together; only where one of them has such a commit, each for itself.
    """
    answers = ask_all([Question(project.git, _subjects(group)) for group in groups])
    found: dict[str, tuple[str, ...]] = {}
    apart: list[list[Look]] = []
    for group, answer in zip(groups, answers, strict=True):
        failed = isinstance(answer, WtsError)
        subjects = () if isinstance(answer, WtsError) else os.fsdecode(answer).split("\0")
        unfinished = tuple(subject for subject in subjects if is_unfinished(subject))
        if len(group) > 1 and (failed or unfinished):
            apart += [[look] for look in group]
        elif not failed:
            found |= {look.session.name: unfinished for look in group}
    return found | _unfinished(project, apart) if apart else found


def _subjects(group: list[Look]) -> tuple[str, ...]:
    tips = [look.status.head for look in group if look.status and look.status.head]
    return (
        "log",
        "-z",
        "--no-show-signature",
        "--format=%s",
        *tips,
        f"^{full(group[0].session.parent)}",
        "--",
    )


class Facts(NamedTuple):
    """What git told of one session: its status or why there is none, what is open, its tip and its parent's.

    `landed_as` are the commits as which its tip landed, squashed or copied; an undo may have taken them back.
    """

    status: Status | None
    problem: str | None
    operation: str | None
    tip: Oid | None
    parent: Oid | None
    landed_as: tuple[Oid, ...] = ()


def _questions(project: Project, sessions: list[Session]) -> list[Question]:
    """The first round: the branches, and a status of each worktree."""
    return [
        Question(project.git, (*LIST_REFS, "refs/heads", anchors.ANCHORS)),
        *(Question(project.git_at(session), STATUS) for session in sessions),
    ]


def _looks(project: Project, sessions: list[Session], answers: list[bytes | WtsError]) -> list[Look]:
    facts = _all_facts(sessions, answers)
    distances = _ask_distances(project, facts)
    borrowed = _ask_reflogs(project, sessions, facts, distances)
    asked = ask_states(project, sessions)
    rivals = known_conflicts(project.store, sessions, [one.parent for one in facts])
    told = [rivals.get(session.id, ()) for session in sessions]
    rows = zip(sessions, facts, distances, asked, told, strict=True)
    looks = [_look(*row, has_worked=row[0].id not in borrowed) for row in rows]
    return with_commits(project, looks)


def _all_facts(sessions: list[Session], answers: list[bytes | WtsError]) -> list[Facts]:
    refs = parse_refs(_told(answers[0]))
    return [_facts(*pair, refs) for pair in zip(sessions, answers[1:], strict=True)]


def _told(answer: bytes | WtsError) -> bytes:
    if isinstance(answer, WtsError):
        raise answer
    return answer


def _facts(session: Session, answer: bytes | WtsError, refs: dict[Ref, Oid]) -> Facts:
    if isinstance(answer, WtsError):
        status, problem = None, MISSING if answer.code == "no-directory" else answer.message
    else:
        status, problem = parse_status(answer), None
    operation = None
    if status is not None:
        try:
            operation = open_operation(git_dir_of(session.worktree))
        except OSError as error:
            status, problem = None, f"its git directory can't be read: {error.strerror}"
    tip = status.head if status and status.branch == session.branch else None
    own, parent = refs.get(full(session.branch)), refs.get(full(session.parent))
    landed_as = tuple(one.commit for one in anchors.from_refs(refs) if one.tip == (tip or own))
    return Facts(status, problem, operation, tip or own, parent, landed_as)


def _ask_distances(project: Project, facts: list[Facts]) -> list[bytes | WtsError | None]:
    """The second round: how far each tip is from its parent, where that is not plain.

    A tip that landed as another commit is where that one is.
    """
    apart = [
        (fact, one)
        for fact in facts
        if fact.tip and fact.parent and fact.tip != fact.parent
        for one in (*fact.landed_as, fact.tip)
    ]
    answers = ask_all([Question(project.git, compare(str(fact.parent), one)) for fact, one in apart])
    found: dict[tuple[Oid | None, Oid | None], bytes | WtsError] = {}
    for (fact, one), answer in zip(apart, answers, strict=True):
        if one == fact.tip or (isinstance(answer, bytes) and parse_distance(answer)[0] == 0):
            found.setdefault((fact.parent, fact.tip), answer)
    return [found.get((fact.parent, fact.tip)) for fact in facts]


def _ask_reflogs(
    project: Project, sessions: list[Session], facts: list[Facts], distances: list[bytes | WtsError | None]
) -> set[str]:
    """The third round: the ids of those who seem to have landed, but never had anything of their own."""
    rows = zip(sessions, facts, distances, strict=True)
    seem = [
        (session, fact.tip)
        for session, fact, distance in rows
        if fact.tip and fact.tip != session.base and _distance(session, fact, distance)[0] == 0
    ]
    answers = ask_all([Question(project.git, reflog.show(session.branch)) for session, _ in seem])
    return {
        session.id
        for (session, tip), answer in zip(seem, answers, strict=True)
        if not isinstance(answer, WtsError) and not reflog.has_worked(session, tip, answer)
    }


def _look(
    session: Session,
    facts: Facts,
    distance: bytes | WtsError | None,
    asked: Asked,
    rivals: tuple[str, ...],
    *,
    has_worked: bool,
) -> Look:
    ahead, behind, problem = _distance(session, facts, distance)
    landed = None if ahead is None else ahead == 0 and facts.tip != session.base and has_worked
    return Look(
        session=session,
        now=asked.now,
        goal=asked.goal,
        said=asked.said,
        attended=asked.attended,
        status=facts.status,
        ahead=ahead,
        behind=behind,
        landed=landed,
        problem=facts.problem or problem or _branch_problem(session, facts.status),
        operation=facts.operation,
        rivals=rivals,
    )


def _distance(
    session: Session, facts: Facts, answer: bytes | WtsError | None
) -> tuple[int | None, int | None, str | None]:
    if facts.tip is None:
        return None, None, f"branch {session.branch} is gone"
    if facts.parent is None:
        return None, None, f"parent {session.parent} is gone"
    if answer is None:
        return 0, 0, None
    if isinstance(answer, WtsError):
        return None, None, answer.message
    return *parse_distance(answer), None


def _branch_problem(session: Session, status: Status | None) -> str | None:
    if status is None or status.branch == session.branch:
        return None
    return f"HEAD is on {status.branch}" if status.branch else "HEAD is detached"


def _current(sessions: list[Session], here: Path) -> str | None:
    try:
        return names.find(".", sessions, here).name
    except WtsError:
        return None


def _left_behind(project: Project) -> list[Operation]:
    """Operations whose process is gone; one that is just under way holds the lock and is no news."""
    if not any(project.store.running_dir.glob("*.jsonl")):
        return []
    from worktree_sessions.actions import operate  # with every kind of step, and the lock: 60 ms

    left = operate.unfinished(project)
    return [] if not left or operate.is_busy(project) else left
