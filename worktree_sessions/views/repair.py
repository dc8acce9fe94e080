"""What the repair commands say: the doctor's findings, the settings, an approval, a set-up."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worktree_sessions.actions.configure import RevokeResult, ShownSetting, TrustPlan, TrustResult
from worktree_sessions.actions.doctor import Diagnosis
from worktree_sessions.actions.setup import SetupResult
from worktree_sessions.errors import WtsError
from worktree_sessions.model import words
from worktree_sessions.model.problem import FIX, Problem, Severity
from worktree_sessions.model.session import Session, Setup
from worktree_sessions.model.settings import Layer
from worktree_sessions.model.trust import Command
from worktree_sessions.views.console import Ink, Screen, clean, clean_lines, paint
from worktree_sessions.views.receipts import Receipt

LOG_LINES = 10
FACES = {
    Severity.OK: ("✓", Ink.DONE),
    Severity.NOTE: ("·", Ink.FAINT),
    Severity.WARNING: ("!", Ink.WARNING),
    Severity.ERROR: ("✗", Ink.ERROR),
}
WORD_WIDTH = 8  # "warning" and a blank


# -- doctor ----------------------------------------------------------------------------------------


def diagnosis_text(diagnosis: Diagnosis, screen: Screen, home: Path) -> str:
    """Return the findings, each with its cure below it: the worst last, and then what it all comes to."""
    findings = sorted(diagnosis.findings, key=lambda problem: list(FACES).index(_shown_as(problem)))
    rows = [line for problem in findings for line in _problem_lines(problem, screen, home)]
    return "\n".join([*rows, "", _verdict(diagnosis)])


def _problem_lines(problem: Problem, screen: Screen, home: Path) -> list[str]:
    symbol, ink = FACES[_shown_as(problem)]
    word = "fixed" if problem.fixed else problem.severity.value
    head = paint(f"{symbol} {word:{WORD_WIDTH}}", ink, color=screen.colors_answer)
    indent = " " * (WORD_WIDTH + 2)
    said = _wrapped(clean(_tilde(problem.message, home)), screen.width - len(indent)) or [""]
    cure = (
        f"{indent}{paint(clean(problem.cure), Ink.HINT, color=screen.colors_answer)}"
        if problem.cure
        else None
    )
    return [head + said[0], *(indent + line for line in said[1:]), *([cure] if cure else [])]


def _shown_as(problem: Problem) -> Severity:
    return Severity.OK if problem.fixed else problem.severity


def _verdict(diagnosis: Diagnosis) -> str:
    fixed = sum(problem.fixed for problem in diagnosis.findings)
    counts = [
        words.counted(count, severity.value)
        for severity in (Severity.ERROR, Severity.WARNING)
        if (count := sum(problem.severity is severity for problem in diagnosis.left))
    ]
    if not counts:
        return (
            f"{words.counted(fixed, 'thing')} fixed, nothing is wrong any more"
            if fixed
            else "nothing is wrong"
        )
    mends = sum(problem.cure == FIX for problem in diagnosis.left)
    ends = [f"{fixed} fixed"] * bool(fixed) + [f"{FIX} mends {mends}"] * bool(mends)
    return ", ".join([*counts, *ends])


def diagnosis_facts(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return the data of `wts doctor --json`."""
    return {
        "findings": [
            {
                "code": problem.code,
                "severity": problem.severity.value,
                "message": problem.message,
                "fixed": problem.fixed,
                "hint": problem.cure,
                "session": problem.session,
            }
            for problem in diagnosis.findings
        ]
    }


def diagnosis_errors(diagnosis: Diagnosis) -> list[WtsError]:
    """Return what is left wrong as the errors of the JSON envelope."""
    return [
        WtsError(problem.code, problem.message, hint=problem.cure, session=problem.session)
        for problem in diagnosis.left
    ]


# -- config ----------------------------------------------------------------------------------------


def config_text(rows: Sequence[ShownSetting], screen: Screen) -> str:
    """Return each setting with its value as a settings file says it."""
    return _settings_text(rows, ["" for _ in rows], screen)


def origins_text(rows: Sequence[ShownSetting], screen: Screen, home: Path) -> str:
    """Return each setting with where it came from and its value."""
    return _settings_text(rows, [_tilde(clean(row.origin.where), home) for row in rows], screen)


def _settings_text(rows: Sequence[ShownSetting], origins: list[str], screen: Screen) -> str:
    key_width = max(len(row.key) for row in rows)
    origin_width = max(len(origin) for origin in origins)
    lines = []
    for row, origin in zip(rows, origins, strict=True):
        middle = f"  {origin:{origin_width}}" if origin_width else ""
        head = f"{row.key:{key_width}}{middle}  "
        value = _wrapped(clean(row.text), max(screen.width - len(head), 30))
        is_default = row.origin.layer is Layer.DEFAULT
        ink = Ink.FAINT if is_default else Ink.STRONG
        shown = [paint(line, ink, color=screen.colors_answer) for line in value]
        lines += [head + shown[0], *(" " * len(head) + line for line in shown[1:])]
    return "\n".join(lines)


def config_facts(rows: Sequence[ShownSetting]) -> dict[str, Any]:
    """Return the data of `wts config --json`."""
    return {
        "settings": [
            {"key": row.key, "value": row.value, "origin": row.origin.layer.value, "where": row.origin.where}
            for row in rows
        ]
    }


# -- trust -----------------------------------------------------------------------------------------


def commands_text(plan: TrustPlan, project_home: Path, *, color: bool) -> str:
    """Return the exact commands that are to be approved, numbered, under a title that says where they come from."""
    title = f"{clean(plan.where)} of {clean(str(project_home))} asks to run, in each new worktree:"
    return "\n".join(
        [paint(title, Ink.STRONG, color=color), *(f"  {line}" for line in _command_lines(plan.commands))]
    )


def _command_lines(commands: Sequence[Command]) -> list[str]:
    """Each command with its number; a further line of the same one is indented below it."""
    lines = []
    for number, command in enumerate(commands, 1):
        first, *more = clean_lines(command.text).split("\n")
        lines += [f"{number}. {first}", *(f"{'':{len(str(number)) + 1}} {line}" for line in more)]
    return lines


def trusted_receipt(result: TrustResult, waiting: Sequence[Session]) -> Receipt:
    """Return the receipt of an approval; `waiting` are the sessions whose set-up waited for it."""
    done = f"{words.counted(len(result.commands), 'command')} approved"
    after = f"wts setup {shlex.quote(waiting[0].name)}" if waiting else None
    return Receipt(done, facts=tuple(_command_lines(result.commands)), undo=result.undo, next=after)


def already_trusted_receipt(plan: TrustPlan) -> Receipt:
    """Return the receipt when exactly these commands were approved before."""
    done = f"{words.counted(len(plan.commands), 'command')} approved already"
    return Receipt(done, facts=tuple(_command_lines(plan.commands)), undo="wts trust --revoke")


def trust_facts(plan: TrustPlan) -> dict[str, Any]:
    """Return the data of `wts trust --json`; `already` tells that nothing had to be done."""
    return {
        "approved": [{"key": command.key, "text": command.text} for command in plan.commands],
        "where": plan.where,
        "already": plan.is_trusted,
    }


def revoked_receipt(result: RevokeResult) -> Receipt:
    """Return the receipt of `wts trust --revoke`."""
    if not result.had_any:
        return Receipt("nothing was approved, and nothing is")
    return Receipt("every approval of this repository is withdrawn", undo="wts trust")


# -- setup -----------------------------------------------------------------------------------------


def setup_receipt(result: SetupResult) -> Receipt:
    """Return the receipt of a set-up that went well."""
    facts = (*result.commands, f"log  {result.log}") if result.log else ()
    return Receipt(result.message, facts=facts, next=f"wts open {result.session.number}")


def setup_facts(result: SetupResult) -> dict[str, Any]:
    """Return the data of `wts setup --json`."""
    return {
        "setup": {
            "session": result.session.name,
            "status": result.status.value,
            "commands": list(result.commands),
            "log": str(result.log) if result.log else None,
        }
    }


def setup_error(result: SetupResult) -> WtsError | None:
    """Return a set-up that is not done as an error, with the end of its log; None for one that is."""
    name = result.session.name
    if result.status is Setup.UNTRUSTED:
        return WtsError("setup-untrusted", result.message, hint=result.again, session=name)
    if result.status is not Setup.FAILED or result.log is None:
        return None
    return WtsError(
        "setup-failed",
        result.message,
        hint=f"see {result.log}, then {result.again}",
        session=name,
        details=log_end(result.log),
    )


def log_end(log: Path) -> tuple[str, ...]:
    """Return the last lines of a log; none when it can't be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 65536))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ()
    return tuple(lines[-LOG_LINES:])


# -- helpers ---------------------------------------------------------------------------------------


def _wrapped(text: str, width: int) -> list[str]:
    """Wrap between words only: a path or a command that is too long stays whole, to be copied."""
    return textwrap.wrap(text, max(width, 30), break_long_words=False, break_on_hyphens=False) or [text]


def _tilde(text: str, home: Path) -> str:
    return text.replace(f"{home}/", "~/")
