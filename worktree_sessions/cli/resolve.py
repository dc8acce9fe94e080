"""Midday: resolve."""

from __future__ import annotations

import click

from worktree_sessions.cli.app import App, dry_run_option, json_option, pass_app, place_options


@click.command("resolve")
@click.argument("target")
@place_options("Open the merge, keep the brief for its next start.")
@dry_run_option
@json_option
@pass_app
def resolve_command(app: App, target: str, place: str | None, dry_run: bool) -> None:
    """Merge the parent into TARGET in its own worktree, and have its Claude settle the conflict.

    It is done in a clean worktree whose Claude rests, else refused (exit 3). What is left there is an open git merge,
    which git merge --abort takes back. Its Claude gets a brief of what both sides wanted: typed where it runs in tmux,
    else with its start. What it commits comes home with the next wts merge-ready. Exit 6 when there is no conflict.
    """
    from worktree_sessions.actions import resolving
    from worktree_sessions.actions.asking import running_claude
    from worktree_sessions.actions.target import find_session
    from worktree_sessions.cli.morning import answer_and_start
    from worktree_sessions.views import resolve as views

    project = app.project(start=place)
    session = find_session(project, target)
    if dry_run:
        plan = resolving.plan_resolve(project, session)
        app.answer(
            lambda: views.plan_json(project, plan), lambda s: views.plan_text(plan, color=s.colors_answer)
        )
        return
    done = resolving.resolve(project, session)
    if place != "none" and running_claude(project, done.session):
        sent = resolving.tell(project, done)
        app.answer_receipt(lambda: views.sent_json(project, done, sent), views.sent_receipt(done, sent))
        return
    answer_and_start(
        app,
        project,
        done.session,
        place,
        data=lambda started: views.started_json(project, done, started),
        receipt=lambda started: views.started_receipt(done, started),
    )
