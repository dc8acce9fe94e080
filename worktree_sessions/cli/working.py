"""While sessions run: list, why, path."""

from __future__ import annotations

import time

import click

from worktree_sessions.cli.app import App, json_option, pass_app
from worktree_sessions.cli.quick import show_list, show_path
from worktree_sessions.errors import UsageError

LAST_EVENTS = 50  # of a log, unless -n says how many


@click.command("list")
@json_option
@pass_app
def list_command(app: App) -> None:
    """Show every session: who needs you first, then the failed, the idle, the working, the ended.

    The files column counts what is not committed, the last ones how far the branch is ahead (↑) and behind (↓) of its
    parent, and the session's age. Below a session stand its question, its goal and what its Claude said last.
    """
    show_list(app)


@click.command("why")
@click.argument("target", default=".")
@click.option("--events", is_flag=True, help="Show the log of its events instead.")
@click.option(
    "-n",
    "count",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"With --events: the last N; {LAST_EVENTS} unless said.",
)
@json_option
@pass_app
def why_command(app: App, target: str, events: bool, count: int | None) -> None:
    """Show why TARGET is in its state: the facts that decided it, and the events that were ignored.

    Without a TARGET it is the session of this directory. The state is the one that wts list shows.
    """
    from worktree_sessions.actions.target import find_session
    from worktree_sessions.actions.why import explain, log_of
    from worktree_sessions.views import why as views

    if count and not events:
        raise UsageError("usage", "-n goes with --events", hint=f"wts why {target} --events -n {count}")
    count = count or LAST_EVENTS
    project = app.project()
    session = find_session(project, target)
    if events:
        log = log_of(project, session)
        app.answer(
            lambda: views.events_json(log, count=count),
            lambda screen: views.events_text(
                log, count=count, session=session, now=time.time(), width=screen.width
            ),
        )
        return
    found = explain(project, session)
    app.answer(
        lambda: views.why_json(found),
        lambda screen: views.why_text(found, width=screen.width, color=screen.colors_answer),
    )


@click.command("path")
@click.argument("target")
@json_option
@pass_app
def path_command(app: App, target: str) -> None:
    """Print one bare path: the worktree of TARGET.

    cd "$(wts path 1)" goes there; wts shell-init gives wts cd 1.
    """
    show_path(app, target)
