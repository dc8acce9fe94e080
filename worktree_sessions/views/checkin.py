"""A check-in as text and as JSON: a headline that says since when, then each session with its lines."""

from __future__ import annotations

import time
from pathlib import Path

from worktree_sessions.actions.checkin import CheckIn
from worktree_sessions.model import words
from worktree_sessions.model.checkin import Line, News
from worktree_sessions.views.console import Ink, clean, paint
from worktree_sessions.views.jsonout import Json, moment
from worktree_sessions.views.listing import FACES, Shorten, one_line, painted

INDENT = "    "


def check_in_text(found: CheckIn, *, width: int, color: bool, timed: bool = False) -> str:
    """Return a check-in as text, empty when there is no news; `timed` puts the time of day in front."""
    if not found.news:
        return ""
    rows = [row for news in found.news for row in _rows(news, width, color=color)]
    bad = [
        Shorten.end(f"unreadable record, kept: {clean(str(one.path))}: {clean(one.reason)}", width)
        for one in found.listing.unreadable
    ]
    return "\n".join([paint(_headline(found, timed=timed), Ink.STRONG, color=color), *rows, *bad])


def check_in_json(found: CheckIn) -> dict[str, Json]:
    """Return the data of `wts check-in`; `since` is null on the first."""
    return {
        "since": None if found.since is None else moment(found.since),
        "at": moment(found.at),
        "sessions": [
            {
                "number": news.look.session.number,
                "name": news.look.session.name,
                "state": news.look.now.state.value,
                "what": [_line_json(line) for line in news.lines],
            }
            for news in found.news
        ],
        "unreadable": [{"path": str(one.path), "reason": one.reason} for one in found.listing.unreadable],
    }


def damage_text(found: CheckIn, aside: Path | None) -> str:
    """Return what to say of a mark that could not be read, and where it was put; empty when it could."""
    if found.damaged is None:
        return ""
    kept = f"; kept as {aside}" if aside else ""
    return (
        f"{found.damaged.path} can't be read, so this check-in is a first one: {found.damaged.reason}{kept}"
    )


def _headline(found: CheckIn, *, timed: bool) -> str:
    at = f"{_clock(found.at, found.at)}: " if timed else ""
    if found.since is None:
        return f"{at}the first check-in"
    ago = words.age(found.at - found.since)
    return f"{at}since {_clock(found.since, found.at)}, {ago} ago"


def _clock(at: float, now: float) -> str:
    """Return the local time, with the day when it is another one than today."""
    then, today = time.localtime(at), time.localtime(now)
    return time.strftime("%H:%M" if then[:3] == today[:3] else "%Y-%m-%d %H:%M", then)


def _rows(news: News, width: int, *, color: bool) -> list[str]:
    """Return the lines of a session, the first behind its name; none is longer than `width`."""
    face = FACES[news.look.now.state]
    name = f"{news.look.session.number} {clean(news.look.session.name)}"
    first, *rest = (one_line(line.says) for line in news.lines)
    head = Shorten.end(f"{face.symbol} {name}  {first}", width)
    mark = len(face.symbol)
    begun = painted(head[:mark], face.style if color else "") + paint(
        head[mark : mark + 1 + len(name)], Ink.STRONG, color=color
    )
    return [
        begun + head[mark + 1 + len(name) :],
        *(Shorten.end(INDENT + says, width) for says in rest),
    ]


def _line_json(line: Line) -> dict[str, Json]:
    since = None if line.at is None else moment(line.at)
    return {"code": line.what.value, "message": line.says, "since": since, "new": line.new}
