"""A failure as people read it: what, the details indented, the cure last."""

from __future__ import annotations

from worktree_sessions.errors import NothingToDo, WtsError
from worktree_sessions.views.console import Ink, clean, paint

MOST_DETAILS = 20


def error_text(error: WtsError, *, color: bool) -> str:
    """Return an error as text for stderr: `error: sentence`, details, `hint: cure`; nothing to do is no error."""
    label = "" if isinstance(error, NothingToDo) else paint("error:", Ink.ERROR, color=color) + " "
    lines = [label + clean(error.message)]
    lines += [f"  {clean(detail)}" for detail in error.details[:MOST_DETAILS]]
    left = len(error.details) - MOST_DETAILS
    if left > 0:
        lines.append(f"  … and {left} more")
    if error.hint:
        lines.append(hint_text(error.hint, color=color))
    return "\n".join(lines)


def warning_text(message: str, *, color: bool) -> str:
    """Return one warning line."""
    return f"{paint('warning:', Ink.WARNING, color=color)} {clean(message)}"


def hint_text(hint: str, *, color: bool) -> str:
    """Return one hint line."""
    return f"{paint('hint:', Ink.HINT, color=color)} {clean(hint)}"
