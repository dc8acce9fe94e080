"""What a mutating command says when it is done, and what it would do: the same steps, in the same words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worktree_sessions.views.console import Ink, clean, paint
from worktree_sessions.views.errors import warning_text


@dataclass(frozen=True, slots=True)
class Receipt:
    """The result of an action in words.

    `done` says what was done, `facts` are lines about it, `warnings` were found on the way, `next` and `undo`
    are commands that can be pasted: how to go on, and how to bring back what was there before.
    """

    done: str
    facts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    undo: str | None = None
    next: str | None = None


def receipt_text(receipt: Receipt, *, color: bool) -> str:
    """Return the receipt: warnings, what was done, the facts, how to go on, and last how to undo it."""
    lines = [warning_text(warning, color=color) for warning in receipt.warnings]
    lines.append(f"{paint('✓', Ink.DONE, color=color)} {paint(clean(receipt.done), Ink.STRONG, color=color)}")
    lines += [f"  {clean(fact)}" for fact in receipt.facts]
    lines += [
        f"{paint(word + ':', Ink.HINT, color=color)} {clean(command)}"
        for word, command in (("next", receipt.next), ("undo", receipt.undo))
        if command
    ]
    return "\n".join(lines)


def dry_run_text(title: str, steps: Sequence[str], *, color: bool) -> str:
    """Return the steps that would be carried out, numbered, under a title; nothing was changed."""
    head = paint(clean(title), Ink.STRONG, color=color)
    if not steps:
        return f"{head}\n  nothing to do"
    digits = len(str(len(steps)))
    rows = [f"  {number:>{digits}}. {clean(step)}" for number, step in enumerate(steps, 1)]
    return "\n".join([head, *rows, paint("nothing was changed", Ink.FAINT, color=color)])
