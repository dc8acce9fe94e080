"""What every command is handed: where it runs and how it prints. It knows no click: `cli/quick.py` has none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worktree_sessions.outside import environment
from worktree_sessions.views.console import Color, Screen

if TYPE_CHECKING:
    from worktree_sessions.actions.project import Project
    from worktree_sessions.errors import WtsError
    from worktree_sessions.model.operation import Plan
    from worktree_sessions.views.receipts import Receipt


def _current_directory() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:  # removed under us: git will say so, by the name the shell knows
        return Path(environment.variable("PWD") or ".")


class App:
    """One invocation: the directory it works in, its colour, whether it answers in JSON, the command's name."""

    def __init__(self, *, json: bool = False) -> None:
        self.directory = _current_directory()
        self.color = Color.AUTO
        self.json = json
        self.command = "wts"

    @property
    def screen(self) -> Screen:
        return Screen(color=self.color)

    def project(self, **flags: Any) -> Project:
        """Return the repository that the command works on."""
        from worktree_sessions.actions.project import open_project

        return open_project(self.directory, {key: value for key, value in flags.items() if value is not None})

    def answer(self, data: Callable[[], Mapping[str, Any]], text: Callable[[Screen], str]) -> None:
        """Print the result: as the JSON envelope when asked for, else as text."""
        screen = self.screen
        if self.json:
            self.answer_json(data())
        elif words := text(screen):
            screen.answer(words)

    def answer_json(self, data: Mapping[str, Any], *errors: WtsError) -> None:
        """Print the JSON envelope, with what went wrong when something did."""
        from worktree_sessions.views.jsonout import envelope, error_envelope, json_text

        told = error_envelope(self.command, *errors, data=data) if errors else envelope(self.command, data)
        self.screen.answer(json_text(told))

    def answer_plan(self, title: str, *plans: Plan) -> None:
        """Print what `--dry-run` found: the very lists that would run, one after the other."""
        from worktree_sessions.views.receipts import dry_run_text

        steps = [step.says for plan in plans for step in plan.steps]
        self.answer(
            lambda: {"dry_run": True, "steps": steps},
            lambda screen: dry_run_text(title, steps, color=screen.colors_answer),
        )

    def answer_receipt(self, data: Callable[[], Mapping[str, Any]], receipt: Receipt) -> None:
        """Print what a mutating command did."""
        from worktree_sessions.views.receipts import receipt_text

        self.answer(data, lambda screen: receipt_text(receipt, color=screen.colors_answer))
