"""What the demo looks like: the story, each command behind a prompt, its real output, and where it all lies."""

from __future__ import annotations

import shlex

from worktree_sessions.actions.demo import Answered, Finished, Happening, Told, Typed
from worktree_sessions.views.console import Ink, clean, paint


def happening_text(happening: Happening, *, color: bool) -> str:
    """Return one thing that happened; the empty string when there is nothing to show."""
    match happening:
        case Told(text):
            return "\n".join(["", *(_told_line(line, color=color) for line in text.splitlines())])
        case Typed(words):
            return f"{paint('$', Ink.HINT, color=color)} {paint(clean(shlex.join(words)), Ink.STRONG, color=color)}"
        case Answered(text, status):
            told = f"\n{paint(f'(exit status {status})', Ink.FAINT, color=color)}" if status else ""
            return text + told
        case Finished():
            return _finished_text(happening, color=color)


def _told_line(line: str, *, color: bool) -> str:
    return paint(f"# {clean(line)}", Ink.FAINT, color=color)


def _finished_text(finished: Finished, *, color: bool) -> str:
    done = f"That was the demo, {finished.seconds:.1f} s long; nothing outside of its directory was touched."
    rows = [
        ("It lies in", str(finished.directory)),
        ("Look around", f"cd {shlex.quote(str(finished.repository))} && wts list"),
        ("Remove it", finished.remove),
    ]
    if not finished.is_kept:
        rows = [("It lay in", f"{finished.directory}, and is removed")]
    rows.append(("For real", 'wts new auth-frontend -p "Build the login form"'))
    lines = [f"{paint(word.ljust(12), Ink.HINT, color=color)} {clean(text)}" for word, text in rows]
    return "\n".join(
        ["", f"{paint('✓', Ink.DONE, color=color)} {paint(done, Ink.STRONG, color=color)}", *lines]
    )
