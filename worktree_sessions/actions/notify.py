"""Tells a human who needs them, is broken or done: looks at the sessions, keeps the ledger, tries the channels.

Nothing has to run for it. A hook, and the launcher when Claude has ended, start `attend` as a process of its own: it
waits a moment for what else comes, tells it all at once, and ends. While something is held back, or a session still
needs you, it stays as the one such process of the repository. Who comes meanwhile leaves a mark for it, and goes.

The ledger is written before anything is told: after a crash in between a notice is lost rather than told twice. What
no channel took is tried once more, a minute later.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from worktree_sessions.actions.asking import Asked, ask_states
from worktree_sessions.actions.project import Project, open_project
from worktree_sessions.errors import Busy, NothingToDo, WtsError
from worktree_sessions.model import notices
from worktree_sessions.model.notices import Attention, Due, Ledger, News, Sight
from worktree_sessions.model.session import Session
from worktree_sessions.model.settings import Settings
from worktree_sessions.outside import environment, locks, notifiers, processes, tmux
from worktree_sessions.outside.files import append_line, replace_file
from worktree_sessions.outside.notifiers import Delivery, Notice, Options

PAUSE = 1.0  # seconds between two looks at the mark
LOOK = 15.0  # seconds between two looks at the sessions, while one waits: its wait may end without an event
SETTLES = 3.0  # seconds after an event in which the state may still follow it
LEDGER_TIMEOUT = 30.0  # seconds; a look takes far less
LONGEST_LOG = 64 * 1024  # bytes


class Outcome(NamedTuple):
    """What was told, what became of it in each channel, and when to look again (Unix seconds, None: no need)."""

    news: tuple[News, ...]
    deliveries: list[Delivery]
    wake: float | None


class _Files:
    """What is kept in the wts directory: the ledger and its lock, who stays and the mark for it, and a log."""

    def __init__(self, root: Path) -> None:
        self.ledger = root / "notify.json"
        self.lock = root / "notify.lock"
        self.staying = root / "notify.staying"
        self.mark = root / "notify.mark"
        self.log = root / "notify.log"


# -- once ------------------------------------------------------------------------------------------


def run_once(project: Project, *, by_hook: bool = False) -> Outcome:
    """Tell what is due now. Whoever looks at the sessions anyway may call it, as often as it looks.

    `by_hook` says that Claude's own terminal tells what a hook told of, since one of ours has it do so.
    """
    settings = project.settings
    if not is_wanted(settings):
        return Outcome((), [], None)
    with _ledger(project) as files:
        known, sights, at = _read(files.ledger), _look(project), time.time()
        found = notices.due(sights, known, at, settings, lambda sight: _attention(sight, at))
        _write(files.ledger, known, found.ledger)
    if not found.news:
        return Outcome((), [], found.wake)
    pane = next(filter(None, (_pane(one.sight.session) for one in found.news)), None)
    notice = notices.notice_of(found.news, at, project=project.name)
    is_told = by_hook and all(one.sight.by_hook and not one.again for one in found.news)
    deliveries = deliver(settings, notice, pane, by_hook=is_told)
    return Outcome(found.news, deliveries, _after(project, found, deliveries, at))


def deliver(
    settings: Settings, notice: Notice, pane: tmux.Pane | None = None, *, by_hook: bool = False
) -> list[Delivery]:
    """Give a notice to the channels of the settings, the command and the webhook; return what became of it in each."""
    return notifiers.deliver(notice, settings.notify_channels, _options(settings, pane, by_hook=by_hook))


def tell(project: Project) -> Outcome:
    """Tell what is due now, because somebody asked; raise NothingToDo when nothing is."""
    _with_channels(project)
    outcome = run_once(project)
    if not outcome.news:
        raise NothingToDo("nothing-to-tell", "there is nothing new to tell", hint="wts list")
    return outcome


def test(project: Project) -> list[Delivery]:
    """Try each channel that is chosen, the command and the webhook; return what became of each."""
    settings = _with_channels(project)
    notice = Notice(
        "wts", "This is a test: notifications reach you here.", urgent=False, facts={"test": True}
    )
    tried = [
        delivery
        for channel in settings.notify_channels
        for delivery in notifiers.deliver(notice, [channel], Options())
    ]
    return tried + notifiers.deliver(notice, [], _options(settings, None))


def _with_channels(project: Project) -> Settings:
    if not is_wanted(project.settings):
        raise NothingToDo(
            "no-channels",
            "nobody is to be told: notify.channels is empty, and neither command nor webhook is set",
            hint="wts config",
        )
    return project.settings


def is_wanted(settings: Settings) -> bool:
    """Return whether there is any channel by which to tell."""
    return bool(settings.notify_channels or settings.notify_command or settings.notify_webhook)


def words_for_hook(settings: Settings) -> tuple[str, ...]:
    """Return what a session's hooks are told when Claude's own terminal is to tell: the sequence, and when.

    That is so where no channel before it can be had here.
    """
    kind = notifiers.by_hook(settings.notify_channels, tmux.here())
    return () if kind is None else (kind.value, f"{settings.notify_done_after:g}", settings.notify_quiet)


def _options(settings: Settings, pane: tmux.Pane | None, *, by_hook: bool = False) -> Options:
    return Options(pane, command=settings.notify_command, webhook=settings.notify_webhook, by_hook=by_hook)


def _look(project: Project) -> list[Sight]:
    sessions = project.store.load_all()[0]
    asked = ask_states(project, sessions)
    return [
        Sight(session, one.now, one.said, by_hook=_is_by_hook(one))
        for session, one in zip(sessions, asked, strict=True)
    ]


def _is_by_hook(asked: Asked) -> bool:
    """Return whether an event of Claude's made the state: not its registry, nor its end."""
    facts = asked.now.facts
    return asked.told.exit is None and bool(facts) and facts[0].source == "event"


def _pane(session: Session) -> tmux.Pane | None:
    return tmux.parse(session.address or "") if session.place == "tmux" else None


def _attention(sight: Sight, at: float) -> Attention:
    """Return what a human does in the session's terminal: tmux alone tells."""
    pane = _pane(sight.session)
    if pane is None or not tmux.is_watched(pane):
        return Attention.NONE
    since = at - (sight.now.since or 0.0)
    return Attention.ACTED if tmux.is_watched(pane, lately=since) else Attention.WATCHING


def _after(project: Project, found: Due, deliveries: Sequence[Delivery], at: float) -> float | None:
    """Write down what no channel took, if so; return when to look again."""
    if not deliveries or any(delivery.worked for delivery in deliveries):
        return found.wake
    with _ledger(project) as files:
        known = _read(files.ledger)
        _write(files.ledger, known, notices.not_delivered(known, found.news))
        _log(files.log, "; ".join(f"{one.channel}: {one.says}" for one in deliveries))
    return min(found.wake or at + notices.RETRY, at + notices.RETRY)


@contextlib.contextmanager
def _ledger(project: Project) -> Iterator[_Files]:
    """Hold the ledger. The sessions are looked at within: an older look must not follow a newer one into it."""
    files = _Files(project.store.root)
    with locks.attempt(files.lock, timeout=LEDGER_TIMEOUT) as is_held:
        if not is_held:
            raise Busy("busy", "another wts is telling what is new", hint="wts notify")
        yield files


def _read(path: Path) -> Ledger:
    """Return the ledger; an unreadable one is an empty one: then what is told may be told again."""
    try:
        return notices.from_json(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}


def _write(path: Path, before: Ledger, after: Ledger) -> None:
    if after != before:
        replace_file(path, json.dumps(notices.to_json(after)).encode())


# -- by itself -------------------------------------------------------------------------------------


def kick(project: Project) -> None:
    """Have what is due told by a process of its own."""
    if is_wanted(project.settings):
        processes.spawn_apart(kick_argv(project), cwd=Path("/"), env=environment.inherited())


def kick_argv(project: Project, *, by_hook: bool = False) -> list[str]:
    """Return the command that tells what is due: what a hook starts."""
    wts = [sys.executable, "-P", "-m", "worktree_sessions", "-C", str(project.home)]
    return [*wts, "notify", "--from-hook", *(["--by-terminal"] if by_hook else [])]


def attend(directory: Path, *, by_hook: bool = False) -> None:
    """Tell what is due in the repository of this directory; stay while something is held back, or a session waits.

    Nothing is raised: a failure is written to the log. Where the repository is gone there is nothing to tell.
    """
    with contextlib.suppress(WtsError):
        project = open_project(directory)
        files = _Files(project.store.root)
        with _Logged(files.log):
            files.mark.touch()
            while files.mark.exists():  # again, for a mark that was left between the last look and the end
                with locks.attempt(files.staying) as is_ours:
                    if not is_ours:
                        return
                    _stay(directory, files, by_hook=by_hook)


def _stay(directory: Path, files: _Files, *, by_hook: bool) -> None:
    """Tell, and tell again, until nothing is left to be told."""
    settled = 0.0
    while True:
        project = open_project(directory)  # its settings may have changed
        if files.mark.exists():
            time.sleep(project.settings.notify_join)
            files.mark.unlink(missing_ok=True)  # before the look: what comes later is marked anew
            settled = time.time() + SETTLES
        wake, now = run_once(project, by_hook=by_hook).wake, time.time()
        wakes = [at for at in (wake, settled if settled > now else None) if at is not None]
        if not wakes:
            return
        _sleep(min(*wakes, now + LOOK), files)


def _sleep(until: float, files: _Files) -> None:
    """Wait until a time, or until there is a mark, or the directory is gone."""
    while (left := until - time.time()) > 0 and files.mark.parent.is_dir() and not files.mark.exists():
        time.sleep(min(left, PAUSE))


class _Logged:
    """What fails in it is written to a log, and is over: a process that nobody started has nobody to tell."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> bool:
        if isinstance(error, WtsError):
            _log(self.log, error.message)
        elif isinstance(error, Exception):
            _log(self.log, "".join(traceback.format_exception(error)).strip())
        return isinstance(error, Exception)


def _log(log: Path, text: str) -> None:
    """Add to the log, whose older half goes when it has grown too long."""
    if not log.parent.is_dir():
        return  # the repository is gone, and nothing of it is to come back
    with contextlib.suppress(OSError):
        if log.exists() and log.stat().st_size > LONGEST_LOG:
            replace_file(log, log.read_bytes()[-LONGEST_LOG // 2 :])
        append_line(log, f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} {text}".encode())
