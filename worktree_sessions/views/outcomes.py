"""What became of a session or a branch, as plans and receipts show it: a mark, a name, why, and the cure."""

from __future__ import annotations

from collections.abc import Sequence

from worktree_sessions.views.console import Ink, clean, paint

DONE = ("✓", Ink.DONE)
FAILED = ("✗", Ink.ERROR)
LEFT = ("·", Ink.FAINT)

WIDTH = 80  # columns
MOST_FILES = 5  # in conflict, below a session


def outcome_lines(
    mark: tuple[str, Ink],
    name: str,
    about: str,
    *,
    files: Sequence[str] = (),
    facts: Sequence[str] = (),
    cure: str | None = None,
    color: bool,
) -> list[str]:
    """Return the lines of one session or branch; `name` is padded by the caller, so that those of a list align."""
    symbol, ink = mark
    head = f"{name}  "
    first, *more = _wrapped(clean(about), WIDTH - 4 - len(head))
    lines = [f"  {paint(symbol, ink, color=color)} {clean(head)}{first}".rstrip()]
    lines += [f"{'':{4 + len(head)}}{line}" for line in more]
    lines += [f"       {clean(path)}" for path in files[:MOST_FILES]]
    if len(files) > MOST_FILES:
        lines.append(f"       and {len(files) - MOST_FILES} more")
    lines += [f"       {clean(fact)}" for fact in facts]
    if cure:
        lines.append(f"       {paint('hint:', Ink.HINT, color=color)} {clean(cure)}")
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, max(width, 24), break_long_words=False, break_on_hyphens=False) or [""]
