"""Midday: sync."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from worktree_sessions.cli.app import App, dry_run_option, json_option, pass_app, yes_option
from worktree_sessions.errors import Exit, UsageError, WtsError
from worktree_sessions.model.words import counted

if TYPE_CHECKING:
    from worktree_sessions.actions.project import Project
    from worktree_sessions.actions.syncing import Synced


@click.command("sync")
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option("--all", "every", is_flag=True, help="Every session that is behind; the same as no target.")
@click.option("--rebase", is_flag=True, help="Replay the sessions' own commits instead of merging.")
@click.option("--feature", "features", multiple=True, metavar="NAME", help="Sync this feature with its base.")
@click.option("--base", metavar="BRANCH", help="With --feature: its base; else the default branch.")
@dry_run_option
@yes_option
@json_option
@pass_app
def sync_command(
    app: App,
    targets: tuple[str, ...],
    every: bool,
    rebase: bool,
    features: tuple[str, ...],
    base: str | None,
    dry_run: bool,
    yes: bool,
) -> int:
    """Bring the moved parent into its sessions: all that are behind, or those that are named.

    Shows the plan first. Only a session that is clean and at rest moves, its files with its branch; any other is
    left as it is and named, and so is one with a file in the way. A conflict touches nothing: it is told with its
    files. With --rebase a session's own commits are replayed, unless they were pushed or another branch has them, too.
    With --feature it is the parent itself that follows its base, the fresher of local and remote. wts undo takes it
    all back. Exit 4: somebody conflicts; 6: nothing was behind, or can follow now; 3: all that was named is left.
    """
    from worktree_sessions.actions import operate, syncing
    from worktree_sessions.views import sync as views
    from worktree_sessions.views.prompt import confirm

    _refuse_mixed(targets, features, every=every, rebase=rebase, base=base)
    project = app.project()
    if not dry_run:
        operate.settle(project)  # a killed sync may have left branches where they will not stay
    planned = _plan(project, targets, features, rebase=rebase, base=base)
    screen = app.screen
    if dry_run and planned.rows:
        app.answer(
            lambda: views.plan_json(planned), lambda s: views.plan_text(planned, color=s.colors_answer)
        )
        return Exit.DONE
    moves = planned.having(syncing.Result.SYNCED)
    if planned.refusal:
        return _told(app, planned, planned.refusal, views.plan_text)
    if not moves:
        app.answer(
            lambda: views.synced_json(planned), lambda s: views.plan_text(planned, color=s.colors_answer)
        )
        return Exit.CONFLICT
    if not app.json:
        screen.story(views.plan_text(planned, color=screen.colors_story))
    many = counted(len(moves), "feature" if features else "session")
    if not yes and not confirm(f"sync {many if len(moves) > 1 else moves[0].name}?", "--yes"):
        raise WtsError("not-confirmed", "nothing was moved", hint="wts sync --yes")
    synced = syncing.carry_out(project, planned)
    if synced.refusal:
        return _told(app, synced, synced.refusal, views.synced_text)
    app.answer(lambda: views.synced_json(synced), lambda s: views.synced_text(synced, color=s.colors_answer))
    return Exit.CONFLICT if synced.having(syncing.Result.CONFLICT) else Exit.DONE


def _refuse_mixed(
    targets: tuple[str, ...], features: tuple[str, ...], *, every: bool, rebase: bool, base: str | None
) -> None:
    """Raise UsageError where what was asked for does not go together."""
    for is_wrong, says in (
        (every and targets, "--all and a target exclude each other"),
        (features and (targets or every), "--feature is another job than syncing sessions: one at a time"),
        (features and rebase, "--rebase is for sessions: a feature is merged"),
        (base is not None and not features, "--base is for --feature: a session follows its parent"),
    ):
        if is_wrong:
            raise UsageError("usage", says, hint="wts sync --help")


def _plan(
    project: Project, targets: tuple[str, ...], features: tuple[str, ...], *, rebase: bool, base: str | None
) -> Synced:
    from worktree_sessions.actions import syncing

    if features:
        return syncing.plan_features(project, features, base)
    return syncing.plan(project, targets, syncing.Way.REBASE if rebase else syncing.Way.MERGE)


def _told(app: App, synced: Synced, refusal: WtsError, text: Callable[..., str]) -> int:
    """Tell that nothing moved, and why, of each branch where there are several."""
    from worktree_sessions.views.sync import synced_json

    if app.json:
        app.answer_json(synced_json(synced), refusal)
        return refusal.exit
    if len(synced.rows) > 1:
        app.screen.story(text(synced, color=app.screen.colors_story))
    raise refusal
