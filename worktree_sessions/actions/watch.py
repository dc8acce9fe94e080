"""`wts watch`: follows the sessions, and looks again only where something that bears on them has changed.

A glance, some times a second, only asks the file system: it starts no process and reads no file. States are asked
again when a log, a record or Claude's registry has changed or a process has ended; git is asked when its files have,
and now and then, because nothing tells of a file that was edited by hand.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.actions.asking import ask_states, config_of, told_of
from worktree_sessions.actions.listing import list_sessions, with_commits
from worktree_sessions.actions.project import Project
from worktree_sessions.model.ordering import order
from worktree_sessions.model.readiness import names_of_ready
from worktree_sessions.model.session import Listing, Look
from worktree_sessions.model.state import LAG, SILENT
from worktree_sessions.model.told import Told
from worktree_sessions.outside import claude, processes
from worktree_sessions.outside.git import BranchName, traces

GLANCE_EVERY = 0.5  # seconds, for who calls `glance`

LOOK_EVERY = 30.0  # seconds between two looks at all worktrees, when nothing is known to have changed
QUIET_SHARE = 0.002  # of a core that those may take, else they are further apart
LOOK_APART = 2.0  # seconds at least between two looks, whatever happens
BUSY_SHARE = 0.1  # of a core that looking may take while things happen

# A state may be another one by time alone, for so long after the last change (seconds).
SETTLING = (LAG + 0.2, SILENT + 0.5)

Sign = tuple[int, int, int] | bool | None


class Change(NamedTuple):
    """A session that came, went, or is in another state: `was` is None when it came, `look` when it went."""

    was: Look | None
    look: Look | None


def changes(before: Sequence[Look], after: Sequence[Look]) -> list[Change]:
    """Return what is another session, another state or another reason, in the order of `after`; the gone come last."""
    known = {look.session.id: look for look in before}
    pairs = [Change(known.pop(look.session.id, None), look) for look in after]
    found = [pair for pair in pairs if pair.was is None or _told(pair.was) != _told(pair.look)]
    return found + [Change(gone, None) for gone in known.values()]


def _told(look: Look | None) -> tuple[object, ...] | None:
    return (look.now.state, look.now.reason) if look else None


class Watch:
    """The sessions of a project as they were last seen; `glance` brings `listing` up to date."""

    listing: Listing

    def __init__(self, project: Project) -> None:
        self._project = project
        self._files: list[Path] = []  # logs, records, and where each Claude has registered itself
        self._claudes: list[int] = []  # the processes that may run
        self._parents: set[BranchName] = set()
        self._told: dict[object, Sign] = {}
        self._git: dict[object, Sign] = {}
        self._settles: list[float] = []  # when to ask for the states once more
        self.look()

    def look(self) -> None:
        """Look at everything: the sessions, their states, and git."""
        self._told, self._git = self._told_now(), self._git_now()  # what changes from here on is seen again
        cost = _cost(self._list)
        now = time.monotonic()
        self._may_look = self._may_ask = False
        self._look_at = now + max(LOOK_EVERY, cost / QUIET_SHARE)
        self._look_from = now + max(LOOK_APART, cost / BUSY_SHARE)
        self._ask_from = now

    def glance(self) -> bool:
        """Look again where there is a reason to; return whether `listing` is another one now."""
        before, now = self.listing, time.monotonic()
        if (git := self._git_now()) != self._git:
            self._git, self._may_look = git, True
        if (told := self._told_now()) != self._told:
            self._told, self._may_look, self._may_ask = told, True, True
            self._settles = [now + seconds for seconds in SETTLING]
        if any(at <= now for at in self._settles):
            self._settles = [at for at in self._settles if at > now]
            self._may_ask = True
        if now >= self._look_at or (self._may_look and now >= self._look_from):
            self.look()
        elif self._may_ask and now >= self._ask_from:
            self._ask()
        return self.listing != before

    def _list(self) -> None:
        self.listing = list_sessions(self._project)
        while not self._are_all_there():
            self.listing = list_sessions(self._project)
        self._follow([told_of(self._project, look.session) for look in self.listing.looks])

    def _ask(self) -> None:
        """Ask for the states alone; git's facts stay as they were seen."""
        self._may_ask = False
        cost = _cost(self._ask_states)
        self._ask_from = time.monotonic() + cost / BUSY_SHARE

    def _ask_states(self) -> None:
        looks = self.listing.looks
        asked = ask_states(self._project, [look.session for look in looks])
        if not self._are_all_there():
            self.look()
            return
        changed = [
            look._replace(now=one.now, goal=one.goal, said=one.said, attended=one.attended)
            for look, one in zip(looks, asked, strict=True)
        ]
        again = with_commits(self._project, changed)
        self.listing = self.listing._replace(looks=tuple(order(again, ready=names_of_ready(again))))
        self._follow([one.told for one in asked])

    def _are_all_there(self) -> bool:
        """Return whether the records are those of the listing; else its states may be of logs that are gone."""
        recorded, _ = self._project.store.load_all()
        seen = [look.session for look in self.listing.looks]
        return recorded == sorted(seen, key=lambda one: (one.number, one.name))

    def _follow(self, told: Sequence[Told]) -> None:
        """Remember whose files and processes tell of the sessions."""
        store = self._project.store
        sessions = [look.session for look in self.listing.looks]
        running = [(one.launch, one.own_pid() or 0) for one in told if one.launch and not one.exit]
        self._claudes = [pid for _, pid in running]
        self._parents = {session.parent for session in sessions}
        self._files = [
            *(store.record_file(session.name) for session in sessions),
            *(store.events_file(session.name) for session in sessions),
            *(claude.registry_file(config_of(launch), pid) for launch, pid in running),
        ]

    def _told_now(self) -> dict[object, Sign]:
        files = _signs([self._project.store.sessions_dir, *self._files])
        return {**files, **{pid: processes.is_there(pid) for pid in self._claudes}}

    def _git_now(self) -> dict[object, Sign]:
        store, common = self._project.store, self._project.repository.common_dir
        return _signs([store.closed_dir, store.running_dir, *traces(common, self._parents)])


def _signs(files: Iterable[Path | str]) -> dict[object, Sign]:
    """Return what tells of each file that it was written again; None when there is none."""
    return {file: _sign(file) for file in files}


def _sign(file: Path | str) -> Sign:
    try:
        facts = os.stat(file)
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


def _cost(work: Callable[[], None]) -> float:
    """Do some work and return what it took of a core, in seconds, its child processes included."""
    before = _spent()
    work()
    return _spent() - before


def _spent() -> float:
    import resource

    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
