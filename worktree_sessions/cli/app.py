"""The click options that commands share, and how they are handed their `App`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from worktree_sessions.cli.invocation import App

__all__ = ["App", "dry_run_option", "json_option", "pass_app", "place_options", "yes_option"]

F = TypeVar("F", bound=Callable[..., Any])

pass_app = click.make_pass_decorator(App)


def _set_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.ensure_object(App).json = value


json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    callback=_set_json,
    help="Answer in JSON, in one stable envelope.",
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Show the steps, change nothing.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Answer yes to questions; consents to no danger.")


def place_options(no_start: str) -> Callable[[F], F]:
    """Return the options that say where Claude is started, as `place`; `no_start` is what it means to start none."""
    places = (
        ("--no-start", "none", no_start),
        ("--tmux", "tmux", "Start Claude in a tmux window."),
        ("--background", "background", "Start Claude in its own background."),
        ("--here", "terminal", "Start Claude in this terminal (the default on one)."),
    )

    def add(command: F) -> F:
        for flag, place, says in reversed(places):
            command = click.option(flag, "place", flag_value=place, help=says)(command)
        return command

    return add
