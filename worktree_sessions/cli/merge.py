"""Midday: merge-ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from worktree_sessions.cli.app import App, dry_run_option, json_option, pass_app, yes_option
from worktree_sessions.errors import Exit, NothingToDo, UsageError, WtsError

if TYPE_CHECKING:
    from worktree_sessions.actions.merge_ready import Landed
    from worktree_sessions.actions.mergeplan import FeaturePlan, Order
    from worktree_sessions.actions.project import Project


def _numbers(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, ...]:
    words = [word for word in (value or "").replace(" ", "").split(",") if word]
    if value is not None and not (words and all(word.isdecimal() for word in words)):
        raise click.BadParameter(f"{value!r} is no list of session numbers, such as 1,3")
    return tuple(map(int, words))


def _carry_out(app: App, project: Project, plans: list[FeaturePlan], wanted: Order) -> Landed:
    from worktree_sessions.actions import merge_ready
    from worktree_sessions.views.progress import telling

    if app.json:
        return merge_ready.carry_out(project, plans, wanted)
    with telling(app.screen) as tell:
        return merge_ready.carry_out(project, plans, wanted, tell)


@click.command("merge-ready")
@click.argument("features", nargs=-1, metavar="[FEATURE]...")
@click.option("--only", callback=_numbers, metavar="1,3", help="These sessions alone.")
@click.option("--skip", callback=_numbers, metavar="2", help="Without these sessions.")
@click.option("--order", callback=_numbers, metavar="3,1,2", help="These first, in this order.")
@click.option("--into", metavar="BRANCH", help="Bring them to this branch instead of their parent.")
@click.option(
    "--strategy",
    type=click.Choice(["merge", "squash", "rebase"]),
    help="As a merge commit each (the default), as one commit each, or as copies of their commits.",
)
@click.option("--rerere", is_flag=True, help="Resolve a conflict as git has recorded it before.")
@click.option("--all-or-nothing", is_flag=True, help="Land nothing of a feature when one is held back.")
@click.option("--test", metavar="CMD", help="Test what comes home with this command.")
@click.option("--no-test", is_flag=True, help="Test nothing; the merge commits say so.")
@click.option("--every", is_flag=True, help="Test after each session, so that none lands on a red commit.")
@click.option("--test-timeout", type=click.FloatRange(0), metavar="SECONDS", help="End a test after so long.")
@click.option("--allow-flaky", is_flag=True, help="A test that is red and then green is green enough.")
@dry_run_option
@yes_option
@json_option
@pass_app
def merge_ready_command(
    app: App,
    features: tuple[str, ...],
    only: tuple[int, ...],
    skip: tuple[int, ...],
    order: tuple[int, ...],
    into: str | None,
    strategy: str | None,
    rerere: bool,
    all_or_nothing: bool,
    test: str | None,
    no_test: bool,
    every: bool,
    test_timeout: float | None,
    allow_flaky: bool,
    dry_run: bool,
    yes: bool,
) -> int:
    """Bring the finished sessions home to their feature: tested together, moved in one step.

    Shows the plan first: the order, what conflicts with what, what is not ready and the command that cures it. Who
    conflicts, or turns the tests red, is held back and the rest lands. No worktree is touched but a scratch one, and
    that of the feature's branch where it is checked out. wts undo takes it all back. Exit 4: somebody was held back by
    a conflict; 5: by a red test; 6: nothing was ready.
    """
    from worktree_sessions.actions import mergeplan, operate
    from worktree_sessions.model.landing import Result, Strategy
    from worktree_sessions.views import merge_ready as views
    from worktree_sessions.views.prompt import confirm

    for other in [word for word, given in (("--test", test), ("--every", every)) if given and no_test]:
        raise UsageError("usage", f"{other} and --no-test exclude each other", hint="wts merge-ready --help")
    wanted = mergeplan.Order(
        features=features,
        only=only,
        skip=skip,
        first=order,
        into=into,
        strategy=Strategy(strategy) if strategy else None,
        reuses_resolutions=rerere,
        all_or_nothing=all_or_nothing,
        test=test,
        tests=not no_test,
        every=every,
        timeout=test_timeout,
        allows_flaky=allow_flaky,
    )
    project = app.project()
    if not dry_run:
        operate.settle(project)  # a killed one may have left branches where they will not stay
    plans = mergeplan.plan(project, wanted)
    screen = app.screen
    if dry_run:
        app.answer(lambda: views.plan_json(plans), lambda s: views.plan_text(plans, color=s.colors_answer))
        return Exit.DONE
    if not app.json:
        screen.story(views.plan_text(plans, color=screen.colors_story))
    comes_home = any(plan.candidates for plan in plans)
    if not comes_home and not any(plan.is_held_back for plan in plans):
        error = NothingToDo("nothing-ready", "no session is ready to come home", hint="wts list")
        if not app.json:
            raise error
        app.answer_json(views.plan_json(plans), error)
        return error.exit
    if comes_home and not yes and not confirm("bring them home?", "--yes"):
        raise WtsError("not-confirmed", "nothing was moved", hint="wts merge-ready --yes")
    landed = _carry_out(app, project, plans, wanted)
    app.answer(lambda: views.landed_json(landed), lambda s: views.landed_text(landed, color=s.colors_answer))
    if landed.is_red:
        return Exit.RED
    return Exit.CONFLICT if landed.has(Result.CONFLICT) else Exit.DONE
