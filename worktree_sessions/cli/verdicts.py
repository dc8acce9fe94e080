"""What you say of a session before it comes home: ready, hold."""

from __future__ import annotations

import click

from worktree_sessions.cli.app import App, json_option, pass_app
from worktree_sessions.errors import UsageError


@click.command("ready")
@click.argument("target", default=".")
@click.option(
    "--after", "after", multiple=True, metavar="TARGET", help="It comes home after TARGET; may be repeated."
)
@click.option("--after-nobody", is_flag=True, help="It comes home after nobody in particular any more.")
@json_option
@pass_app
def ready_command(app: App, target: str, after: tuple[str, ...], after_nobody: bool) -> None:
    """Say that TARGET is ready to be merged as it is now, and is held back no longer.

    A session that is idle, clean and has commits of its own is ready without being told. This overrules a last turn
    that failed, was broken off or waits, until the branch moves; it never overrules work that is not committed (exit
    3, with what is missing and its cure). Without a TARGET it is the session of this directory.
    """
    from worktree_sessions.actions import readiness
    from worktree_sessions.actions.target import find_session
    from worktree_sessions.views.verdicts import ready_receipt, verdict_facts

    if after and after_nobody:
        raise UsageError("usage", "--after and --after-nobody exclude each other", hint="wts ready --help")
    project = app.project()
    session = find_session(project, target)
    names = tuple(dict.fromkeys(find_session(project, one).name for one in after))
    marked = readiness.mark(project, session, names if names or after_nobody else None)
    app.answer_receipt(lambda: verdict_facts(project, marked), ready_receipt(marked))


@click.command("hold")
@click.argument("target", default=".")
@click.argument("reason", nargs=-1)
@click.option("--off", is_flag=True, help="Hold it back no longer.")
@json_option
@pass_app
def hold_command(app: App, target: str, reason: tuple[str, ...], off: bool) -> None:
    """Hold TARGET back: it is not merged until wts ready, or --off, however finished it looks.

    The reason is shown wherever it is left out. Without a TARGET it is the session of this directory.
    """
    from worktree_sessions.actions import readiness
    from worktree_sessions.actions.target import find_session
    from worktree_sessions.views.verdicts import held_receipt, verdict_facts

    if off and reason:
        raise UsageError("usage", "--off takes no REASON", hint="wts hold --help")
    project = app.project()
    session = find_session(project, target)
    held = readiness.hold(project, session, None if off else " ".join(reason))
    app.answer_receipt(lambda: verdict_facts(project, held), held_receipt(held))
