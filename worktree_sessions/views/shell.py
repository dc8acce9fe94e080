"""Shell code as it is printed: the files in assets/shell, with the words to complete filled in."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence

from worktree_sessions.outside import assets

CD = (("wts", "cd", "Go to a session's worktree"), ("wts cd", "@session", ""))


class Shell(enum.StrEnum):
    """The shells that wts speaks."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion_code(shell: Shell, table: Iterable[Sequence[str]]) -> str:
    """Return the code that completes; `table` has a place, a word and its help in each row."""
    lines = "\n" + "".join("\t".join(_plain(cell) for cell in row) + "\n" for row in table)
    code = _asset(f"wts.{shell}")
    code = code.replace("@SESSIONS@", _quoted(shell, _asset("sessions.sh")))
    return code.replace("@TABLE@", _quoted(shell, lines))


def init_code(shell: Shell, table: Sequence[Sequence[str]]) -> str:
    """Return the code of `wts cd`, and of completion."""
    code = _asset("cd.fish" if shell is Shell.FISH else "cd.sh")
    return code + completion_code(shell, [*table, *CD])


def _plain(cell: str) -> str:
    return " ".join(cell.split())


def _asset(name: str) -> str:
    return assets.carried(f"shell/{name}").read_text(encoding="utf-8")


def _quoted(shell: Shell, text: str) -> str:
    if shell is Shell.FISH:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "'" + text.replace("'", "'\\''") + "'"
