"""While sessions run: list, path."""

from __future__ import annotations

import click

from worktree_sessions.cli.app import App, json_option, pass_app
from worktree_sessions.cli.quick import show_list, show_path


@click.command("list")
@json_option
@pass_app
def list_command(app: App) -> None:
    """Show every session: who needs you first, then the failed, the idle, the working, the ended.

    The files column counts what is not committed, the last ones how far the branch is ahead (↑) and behind (↓) of its
    parent, and the session's age.
    """
    show_list(app)


@click.command("path")
@click.argument("target")
@json_option
@pass_app
def path_command(app: App, target: str) -> None:
    """Print one bare path: the worktree of TARGET.

    cd "$(wts path 1)" goes there; wts shell-init gives wts cd 1.
    """
    show_path(app, target)
