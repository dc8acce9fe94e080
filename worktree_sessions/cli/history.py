"""What was done, and the way back: log, undo."""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import islice

import click

from worktree_sessions.cli.app import App, dry_run_option, json_option, pass_app


@click.command("undo")
@click.argument("operation", metavar="[ID]", required=False)
@dry_run_option
@json_option
@pass_app
def undo_command(app: App, operation: str | None, dry_run: bool) -> None:
    """Move the branches of an operation back to where they stood; without an ID, of the last that moved any.

    All of them go back or none: a branch that has moved since is named (exit 3), and so is a file that keeps a worktree
    from following. An undo can be undone. close and new have inverses of their own: wts restore, wts close.
    """
    from worktree_sessions.actions import undoing
    from worktree_sessions.views.history import undone_facts, undone_receipt

    project = app.project()
    if dry_run:
        planned = undoing.plan_undo(project, operation)
        app.answer_plan(f"wts undo {planned.taken_back.id} would", planned.plan)
        return
    undone = undoing.undo(project, operation)
    app.answer_receipt(lambda: undone_facts(undone), undone_receipt(undone))


@click.command("log")
@click.option(
    "-n",
    "count",
    type=click.IntRange(min=1),
    default=20,
    metavar="N",
    help="Only the last N operations; 20 unless said.",
)
@json_option
@pass_app
def log_command(app: App, count: int) -> None:
    """Show what was done, the latest first: when, to which session or feature, which branches from where to where."""
    from worktree_sessions.actions import undoing
    from worktree_sessions.views.history import log_facts, log_text

    entries = list(islice(undoing.log(app.project()), count))
    now = datetime.now(timezone.utc)
    app.answer(
        lambda: log_facts(entries), lambda screen: log_text(entries, now=now, color=screen.colors_answer)
    )
