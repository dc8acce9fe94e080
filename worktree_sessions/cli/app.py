"""The click options that commands share, and how they are handed their `App`."""

from __future__ import annotations

import click

from worktree_sessions.cli.invocation import App

__all__ = ["App", "dry_run_option", "json_option", "pass_app", "yes_option"]

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
