"""What a check-in tells: what became of each session between two moments.

The earlier moment is a mark, which keeps of each session just what the next comparison needs; the later one is a look,
the same that `wts list` shows. Everything here is pure: `actions/checkin.py` looks, and keeps the mark.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, NamedTuple

from worktree_sessions.model import words
from worktree_sessions.model.session import Look, Session, State
from worktree_sessions.model.state import about
from worktree_sessions.model.told import Heard, Kind
from worktree_sessions.outside.git import Oid, Status

VERSION = 1  # of what is kept; another one can't be read

# It does nothing before a human has looked at it.
RESTING = frozenset(
    {State.WAITING, State.FAILED, State.LIMITED, State.UNKNOWN, State.INTERRUPTED, State.IDLE}
)


class What(enum.StrEnum):
    """What a line is about; the codes of `wts check-in --json`."""

    NEEDS_YOU = "needs-you"
    BROKEN = "broken"
    STUCK = "stuck"
    FORGOTTEN = "forgotten"
    DONE = "done"
    CHANGED = "changed"
    FINISHED = "looks-finished"
    LANDED = "landed"


COUNTED = {
    What.NEEDS_YOU: ("needs you", "need you"),
    What.BROKEN: ("broken", "broken"),
    What.STUCK: ("stuck", "stuck"),
    What.DONE: ("done", "done"),
}


class Line(NamedTuple):
    """One line about a session; `at` is since when (Unix seconds, None when unknown).

    What still wants a human is told again beside the news: then it is not `new`.
    """

    what: What
    says: str
    at: float | None
    new: bool = True


class Limits(NamedTuple):
    """For how many seconds a turn may be silent, and a resting session unattended; 0: for ever."""

    stuck: float
    forgotten: float


class Seen(NamedTuple):
    """What a check-in keeps of one session."""

    state: str
    turn: float  # when a turn of it last ended
    tip: str
    files: str  # tells two sets of changed files apart; empty when all is clean
    finished: bool
    landed: bool


class Mark(NamedTuple):
    """A check-in that was made: when, and of each session (by id) what it saw."""

    at: float
    sessions: dict[str, Seen]

    def seen(self, session: Session) -> Seen:
        """Return what was seen of a session; of one that it does not know, as it was when it was made."""
        return self.sessions.get(session.id) or Seen("", 0.0, session.base, "", finished=False, landed=False)


NEVER = Mark(0.0, {})


class Sight(NamedTuple):
    """One session at the later moment.

    `heard` is when anything of it, its subagents too, last told an event, `tool` what tool it is in, `turn` when its
    last turn ended (0.0: none did). `commits` counts those that its branch has gained and dropped since the mark; None
    when that can't be found out.
    """

    look: Look
    heard: float = 0.0
    tool: str | None = None
    turn: float = 0.0
    commits: tuple[int, int] | None = (0, 0)


class News(NamedTuple):
    """A session, and the lines about it."""

    look: Look
    lines: tuple[Line, ...]


def compare(mark: Mark, sights: Iterable[Sight], limits: Limits, now: float) -> tuple[News, ...]:
    """Return the sessions that are worth a line, the forgotten first; nothing at all when nothing is new."""
    found = [News(sight.look, tuple(_lines(sight, mark, limits, now))) for sight in sights]
    if not any(line.new for news in found for line in news.lines):
        return ()
    return tuple(sorted((news for news in found if news.lines), key=_urgency))


def marked(mark: Mark, sights: Iterable[Sight], now: float) -> Mark:
    """Return what to keep of this check-in; what could not be found out stays as it was seen before."""
    return Mark(now, {sight.look.session.id: _seen(sight, mark.seen(sight.look.session)) for sight in sights})


def counts(news: Iterable[News]) -> str:
    """Return how many sessions there are of each kind: 2 need you, 1 stuck; else how many have changed."""
    kinds = [{line.what for line in one.lines} for one in news]
    numbers = [(sum(what in each for each in kinds), one, many) for what, (one, many) in COUNTED.items()]
    told = [f"{number} {one if number == 1 else many}" for number, one, many in numbers if number]
    return ", ".join(told) or f"{words.counted(len(kinds), 'session')} changed"


def tip_of(look: Look) -> Oid | None:
    """Return the tip of the session's branch, None when its worktree does not tell."""
    status = look.status
    return status.head if status and status.branch == look.session.branch else None


def tool_of(own: Heard) -> str | None:
    """Return the tool that the turn is in, and what it is about; None when it is in none."""
    tool, prompt = own.kinds.get(Kind.TOOL), own.kinds.get(Kind.PROMPT)
    if tool is None or tool.name != "PreToolUse" or (prompt is not None and prompt.at > tool.at):
        return None
    return about(tool)


def turn_of(own: Heard, state: State) -> float:
    """Return when the last turn ended, 0.0 when none did.

    A Stop ends none when a hook has it go on: ours tells so, of the user's own it is known by the work that follows
    without a prompt.
    """
    stop, held, prompt = (own.kinds.get(kind) for kind in (Kind.STOP, Kind.HELD, Kind.PROMPT))
    if stop is None or (held is not None and held.at >= stop.at):
        return 0.0
    goes_on = state is State.WORKING and (prompt is None or prompt.at < stop.at)
    return 0.0 if goes_on else stop.at


# -- one session -----------------------------------------------------------------------------------


def _lines(sight: Sight, mark: Mark, limits: Limits, now: float) -> list[Line]:
    """Return the lines about a session: five at most, since some exclude each other."""
    seen = mark.seen(sight.look.session)
    lines = (
        _trouble(sight, seen, mark.at, limits.stuck, now),
        _forgotten(sight.look, seen, mark.at, limits.forgotten, now),
        _done(sight, seen, now),
        _changed(sight, seen),
        _outcome(sight.look, seen),
    )
    return [line for line in lines if line is not None]


def _trouble(sight: Sight, seen: Seen, before: float, stuck: float, now: float) -> Line | None:
    """Return why the session can't go on without a human."""
    state, since, reason = sight.look.now.state, sight.look.now.since, sight.look.now.reason
    began = seen.state != state or (since or 0.0) > before
    age = f" {words.age(now - since)}" if since is not None else ""
    because = f": {reason}" if reason else ""
    match state:
        case State.WAITING:
            return Line(What.NEEDS_YOU, f"needs you{age}{because}", since, began)
        case State.FAILED | State.LIMITED:
            return Line(What.BROKEN, f"{state}{age}{because}", since, began)
        case State.WORKING if stuck and now - (last := max(sight.heard, since or 0.0)) >= stuck:
            tool = f", in {sight.tool}" if sight.tool else ""
            new = began or before - last < stuck
            return Line(
                What.STUCK, f"stuck? it works, but told nothing for {words.age(now - last)}{tool}", last, new
            )
        case _:
            return None


def _forgotten(look: Look, seen: Seen, before: float, limit: float, now: float) -> Line | None:
    """Return for how long nobody looked; it is news again each time that the limit has passed once more."""
    if not limit or look.now.state not in RESTING or now - look.attended < limit:
        return None
    again = (now - look.attended) // limit > max(before - look.attended, 0.0) // limit
    says = f"nobody looked at it for {words.age(now - look.attended)}"
    return Line(What.FORGOTTEN, says, look.attended, again or seen.state not in RESTING)


def _done(sight: Sight, seen: Seen, now: float) -> Line | None:
    if sight.turn <= seen.turn or sight.look.now.state is State.BACKGROUND:
        return None
    ago = f"{words.age(now - sight.turn)} ago"
    if sight.look.now.state is State.WORKING:
        return Line(What.DONE, f"a turn ended {ago}, and it works again", sight.turn)
    said = f": {sight.look.said}" if sight.look.said else ""
    return Line(What.DONE, f"done {ago}{said}", sight.turn)


def _changed(sight: Sight, seen: Seen) -> Line | None:
    status = sight.look.status
    moved = _moved(sight, seen)
    if status is not None and (moved or _digest(status) != seen.files):
        moved = [*moved, words.changes(status)]
    return Line(What.CHANGED, f"changed: {', '.join(moved)}", None) if moved else None


def _moved(sight: Sight, seen: Seen) -> list[str]:
    """Return in words what became of the branch: +2 commits, 1 dropped."""
    tip = tip_of(sight.look)
    if tip is None or tip == seen.tip:
        return []
    gained, dropped = sight.commits or (0, 0)
    counts = [f"+{words.counted(gained, 'commit')}"] * (gained > 0)
    counts += [f"{words.counted(dropped, 'commit')} dropped"] * (dropped > 0)
    return counts or ["its branch moved"]


def _outcome(look: Look, seen: Seen) -> Line | None:
    if look.landed:
        return None if seen.landed else Line(What.LANDED, f"landed in {look.session.parent}", None)
    if _looks_finished(look) and not (seen.finished and tip_of(look) == seen.tip):
        ahead = words.counted(look.ahead or 0, "commit")
        return Line(What.FINISHED, f"looks finished: {ahead} ahead, clean", look.now.since)
    return None


def _looks_finished(look: Look) -> bool:
    clean = look.status is not None and look.status.is_clean and look.problem is None
    return look.now.state is State.IDLE and clean and bool(look.ahead) and not look.landed


def _urgency(news: News) -> tuple[bool, float]:
    forgotten = any(line.what is What.FORGOTTEN for line in news.lines)
    return not forgotten, news.look.attended if forgotten else 0.0


def _seen(sight: Sight, before: Seen) -> Seen:
    look = sight.look
    return Seen(
        state=look.now.state,
        turn=before.turn if look.now.state is State.BACKGROUND else max(before.turn, sight.turn),
        tip=tip_of(look) or before.tip,
        files=before.files if look.status is None else _digest(look.status),
        finished=_looks_finished(look),
        landed=before.landed if look.landed is None else look.landed,
    )


def _digest(status: Status) -> str:
    if status.is_clean:
        return ""
    import hashlib  # 3 ms

    paths = repr((status.unmerged, status.changed, status.untracked))
    return hashlib.sha256(paths.encode()).hexdigest()


# -- kept between two check-ins ----------------------------------------------------------------------


def to_json(mark: Mark) -> dict[str, Any]:
    """Return a mark as JSON can hold it."""
    sessions = {name: seen._asdict() for name, seen in mark.sessions.items()}
    return {"version": VERSION, "at": mark.at, "sessions": sessions}


def from_json(value: Any) -> Mark:
    """Return what `to_json` was given; raise ValueError, KeyError or TypeError when it is something else."""
    if value["version"] != VERSION:
        raise ValueError(f"it is of version {value['version']}")
    sessions = {
        name: Seen(
            state=str(seen["state"]),
            turn=float(seen["turn"]),
            tip=str(seen["tip"]),
            files=str(seen["files"]),
            finished=bool(seen["finished"]),
            landed=bool(seen["landed"]),
        )
        for name, seen in dict(value["sessions"]).items()
    }
    return Mark(float(value["at"]), sessions)
