"""A question to a human: only on a terminal, and never without a flag that answers it."""

from __future__ import annotations

import sys
from typing import TextIO

from worktree_sessions.errors import UsageError
from worktree_sessions.views.console import clean, is_terminal


def can_ask() -> bool:
    """Return whether somebody is there to read a question and to answer it."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def confirm(question: str, flag: str, *, stdin: TextIO | None = None, stderr: TextIO | None = None) -> bool:
    """Ask on stderr and return whether the answer was yes; Enter, and the end of input, mean no.

    Raises UsageError `needs-answer`, which names the flag, unless stdin and stderr are both terminals.
    """
    ear, mouth = stdin or sys.stdin, stderr or sys.stderr
    if not (is_terminal(ear) and is_terminal(mouth)):
        raise UsageError(
            "needs-answer",
            f"this needs an answer, and there is no terminal to ask on: {question}",
            hint=f"answer yes beforehand with {flag}",
        )
    mouth.write(f"{clean(question)} [y/N] ")
    mouth.flush()
    answer = ear.readline()
    if not answer.endswith("\n"):
        mouth.write("\n")  # the end of input leaves the cursor behind the question
    return answer.strip().casefold() in ("y", "yes")
