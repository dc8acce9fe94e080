"""Commands that wts itself and shell completion call; not shown in the help."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import click

from worktree_sessions.cli.app import App, pass_app
from worktree_sessions.cli.quick import show_names
from worktree_sessions.errors import WtsError


@click.command("launch", hidden=True)
@click.argument("name")
@click.option(
    "--prompt-file", type=click.Path(path_type=Path), help="A prompt to go on with; the file is removed."
)
@click.option("--wait", is_flag=True, help="Keep the window until Enter, so that the last words can be read.")
@pass_app
def launch_command(app: App, name: str, prompt_file: Path | None, wait: bool) -> None:
    """Start Claude in a session on this terminal and wait for it."""
    from worktree_sessions.actions.launch import take_prompt
    from worktree_sessions.actions.target import find_session
    from worktree_sessions.cli.morning import run_here
    from worktree_sessions.views.errors import error_text

    try:
        prompt = take_prompt(prompt_file) if prompt_file else None
        project = app.project()
        run_here(app, project, find_session(project, name), prompt)
    except WtsError as error:
        if not wait:
            raise
        app.screen.story(error_text(error, color=app.screen.colors_story))  # before the window goes
    if wait:
        with contextlib.suppress(OSError):  # the window was closed
            app.screen.story("Enter closes this window")
            sys.stdin.readline()


@click.command("names", hidden=True)
@pass_app
def names_command(app: App) -> None:
    """Print the number and name of each session, a line each, for completion."""
    show_names(app)


@click.group("claude-worktree", hidden=True)
def claude_worktree_command() -> None:
    """Answer the worktree hooks of Claude: see wts hooks install --claude-worktrees."""


@claude_worktree_command.command("create")
@pass_app
def create_command(app: App) -> None:
    """Make the worktree that Claude asks for on standard input, and print its path."""
    from worktree_sessions.actions import claudetrees

    told = claudetrees.read(sys.stdin.read())
    app.screen.answer_path(claudetrees.make(app.project(), told))


@claude_worktree_command.command("remove")
@click.option("--after", type=int, metavar="PID", help="Wait for this process to end.")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@pass_app
def remove_command(app: App, after: int | None, path: Path | None) -> None:
    """Remove the worktree that Claude names on standard input, if nothing in it would be missed; never fails."""
    from worktree_sessions.actions import claudetrees

    try:
        project = app.project()
        if after is not None and path is not None:
            claudetrees.remove_after(project, after, path)
            return
        where = Path(claudetrees.read(sys.stdin.read()).path)
        reason = claudetrees.why_kept(project, where)
        if reason is None:
            claudetrees.remove_later(project, where)
        else:
            app.screen.story(f"wts: {reason}")
    except WtsError as error:
        app.screen.story(f"wts: {error.message}")
