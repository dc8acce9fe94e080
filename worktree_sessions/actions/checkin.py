"""`wts check-in`: what is new since the last one. Takes no lock; the mark is replaced once the news has been told.

So news is told twice rather than never: when the reader went away in the middle, or of two check-ins at once.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.actions import notify
from worktree_sessions.actions.asking import told_of
from worktree_sessions.actions.listing import list_sessions
from worktree_sessions.actions.project import Project
from worktree_sessions.errors import WtsError
from worktree_sessions.model.checkin import (
    NEVER,
    Limits,
    Mark,
    News,
    Sight,
    What,
    compare,
    counts,
    from_json,
    marked,
    tip_of,
    to_json,
    tool_of,
    turn_of,
)
from worktree_sessions.model.notices import quiet_until
from worktree_sessions.model.session import Listing, Look, Unreadable
from worktree_sessions.model.told import Told
from worktree_sessions.outside.files import replace_file
from worktree_sessions.outside.git import Question, ask_all, parse_distance
from worktree_sessions.outside.notifiers import Notice


class CheckIn(NamedTuple):
    """What a check-in found: `since` when (None: it is the first), `at` when, the news, and the mark to be kept.

    `damaged` is a mark that is there and could not be read.
    """

    since: float | None
    at: float
    news: tuple[News, ...]
    listing: Listing
    mark: Mark
    damaged: Unreadable | None


def check_in(project: Project) -> CheckIn:
    """Return what is new since the last check-in; nothing is kept yet."""
    at = time.time()  # before anything is looked at: what comes meanwhile is news the next time
    settings = project.settings
    limits = Limits(settings.check_in_stuck_after, settings.check_in_forgotten_after)
    mark, damaged = _load(_mark_file(project))
    if mark.at > at:  # the clock was set back: that time says nothing any more
        mark = mark._replace(at=0.0)
    listing = list_sessions(project)
    sights = _sights(project, mark, listing.looks)
    return CheckIn(
        since=mark.at or None,
        at=at,
        news=compare(mark, sights, limits, at),
        listing=listing,
        mark=marked(mark, sights, at),
        damaged=damaged,
    )


def keep(project: Project, found: CheckIn) -> Path | None:
    """Let the next check-in begin at this one. Return where a mark that could not be read was put aside.

    Raises WtsError when it can't be written.
    """
    path = _mark_file(project)
    _, damaged = _load(path)  # again: another check-in may have mended it
    aside = path.with_name(f"{path.stem}-unreadable-{found.at:.0f}.json") if damaged else None
    try:
        if aside is not None:
            os.replace(path, aside)
        replace_file(path, json.dumps(to_json(found.mark)).encode())
    except OSError as error:
        says = f"the check-in can't be kept in {path}: {error.strerror}; the next one tells the same again"
        raise WtsError("not-kept", says, hint="make room, or write access, there") from error
    return aside


def announce(project: Project, found: CheckIn) -> None:
    """Tell the human by the channels of the settings that there is news, unless these are quiet hours."""
    settings = project.settings
    if quiet_until(found.at, settings.notify_quiet):
        return
    notice = Notice(
        title=f"check-in: {counts(found.news)}",
        body="\n".join(f"{one.look.session.name}: {one.lines[0].says}" for one in found.news),
        urgent=any(line.what in (What.NEEDS_YOU, What.BROKEN) for one in found.news for line in one.lines),
        facts={"kind": "check-in", "sessions": [one.look.session.name for one in found.news]},
    )
    notify.deliver(settings, notice)


def _mark_file(project: Project) -> Path:
    return project.store.root / "checkin.json"


def _load(path: Path) -> tuple[Mark, Unreadable | None]:
    try:
        return from_json(json.loads(path.read_bytes())), None
    except FileNotFoundError:
        return NEVER, None
    except OSError as error:
        return NEVER, Unreadable(path, error.strerror or str(error))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return NEVER, Unreadable(path, f"{type(error).__name__}: {error}")


def _sights(project: Project, mark: Mark, looks: Sequence[Look]) -> list[Sight]:
    commits = _ask_commits(project, mark, looks)
    return [_sight(look, told_of(project, look.session), commits.get(look.session.id)) for look in looks]


def _sight(look: Look, told: Told, commits: tuple[int, int] | None) -> Sight:
    own = told.own()
    return Sight(look, told.latest, tool_of(own), turn_of(own, look.now.state), commits)


def _ask_commits(project: Project, mark: Mark, looks: Sequence[Look]) -> dict[str, tuple[int, int]]:
    """Return by session id how many commits each branch that moved has gained and dropped since the mark.

    A merge counts as one, whatever came with it: bringing the parent in is no work of its own.
    """
    tips = {look.session.id: (mark.seen(look.session).tip, tip_of(look)) for look in looks}
    moved = {name: f"{old}...{tip}" for name, (old, tip) in tips.items() if tip and tip != old}
    count = ("rev-list", "--count", "--left-right", "--first-parent")
    answers = ask_all([Question(project.git, (*count, between, "--")) for between in moved.values()])
    return {
        name: parse_distance(answer)
        for name, answer in zip(moved, answers, strict=True)
        if not isinstance(answer, WtsError)
    }
