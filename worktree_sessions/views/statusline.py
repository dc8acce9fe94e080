"""The status line as text and as JSON."""

from __future__ import annotations

from worktree_sessions.actions.statusline import Here
from worktree_sessions.model import words
from worktree_sessions.outside import environment
from worktree_sessions.views.console import Color, Screen, clean
from worktree_sessions.views.jsonout import Json, moment
from worktree_sessions.views.listing import FACES, painted

GAP = "  "


def statusline_text(here: Here, *, color: bool) -> str:
    """Return one line: number, name, state, distance, work at risk, and who else needs you; without what is nothing."""
    face, waiting = FACES[here.now.state], len(here.waiting)
    distance = words.distance(here.ahead, here.behind)
    files = "files: ?" if here.status is None else words.changes(here.status)
    parts = [
        (f"{here.session.number} {clean(here.session.name)}", "bold"),
        (f"{face.symbol} {face.word}", face.style),
        ("" if distance == "=" else distance, ""),
        ("" if files == "clean" else files, "yellow"),
        (_others(waiting), "bold yellow"),
    ]
    return GAP.join(painted(text, style if color else "") for text, style in parts if text)


def statusline_json(here: Here | None) -> dict[str, Json]:
    """Return the data of `wts statusline`; `session` is null outside of any."""
    if here is None:
        return {"session": None, "need_you": []}
    since = here.now.since
    status = here.status
    return {
        "session": {
            "number": here.session.number,
            "name": here.session.name,
            "state": here.now.state.value,
            "since": None if since is None else moment(since),
            "reason": here.now.reason,
            "git": {
                "ahead": here.ahead,
                "behind": here.behind,
                "changed": len(status.changed) + len(status.unmerged) if status else None,
                "untracked": len(status.untracked) if status else None,
            },
        },
        "need_you": list(here.waiting),
    }


def colors_line(screen: Screen, color: Color, *, by_claude: bool) -> bool:
    """Return whether to colour the line: Claude's screen is no terminal of ours, and shows colours all the same."""
    if by_claude and color is Color.AUTO:
        return environment.variable("NO_COLOR") is None
    return screen.colors_answer


def _others(count: int) -> str:
    return f"{words.counted(count, 'other needs', 'others need')} you" if count else ""
