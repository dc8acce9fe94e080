"""Midday: merge-ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from worktree_sessions.cli.app import App, dry_run_option, json_option, pass_app, yes_option
from worktree_sessions.errors import Exit, NothingToDo, Refused, UsageError, WtsError

if TYPE_CHECKING:
    from worktree_sessions.actions.merge_ready import Landed
    from worktree_sessions.actions.mergeplan import FeaturePlan, Order
    from worktree_sessions.actions.project import Project


def _numbers(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, ...]:
    words = [word for word in (value or "").replace(" ", "").split(",") if word]
    if value is not None and not (words and all(word.isdecimal() for word in words)):
        raise click.BadParameter(f"{value!r} is no list of session numbers, such as 1,3")
    return tuple(map(int, words))


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
    from worktree_sessions.model.landing import Strategy
    from worktree_sessions.views import merge_ready as views

    _refuse_usage(test, no_test=no_test, every=every)
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
    if dry_run:
        return _foretell(app, plans)
    if not app.json:
        app.screen.story(views.plan_text(plans, color=app.screen.colors_story))
    return _bring_home(app, project, plans, wanted, yes=yes)


def _refuse_usage(test: str | None, *, no_test: bool, every: bool) -> None:
    """Raise UsageError where what was said of the tests does not go together."""
    for is_wrong, says in (
        (test is not None and no_test, "--test and --no-test exclude each other"),
        (every and no_test, "--every and --no-test exclude each other"),
        (test is not None and not test.strip(), "--test needs a command; --no-test tests nothing"),
    ):
        if is_wrong:
            raise UsageError("usage", says, hint="wts merge-ready --help")


def _foretell(app: App, plans: list[FeaturePlan]) -> int:
    """Answer with the plan; where a branch could not move, end as carrying it out would."""
    from worktree_sessions.views import merge_ready as views

    refusal = _refusal(plans)
    if app.json and refusal:
        app.answer_json(views.plan_json(plans), refusal)
        return refusal.exit
    app.answer(lambda: views.plan_json(plans), lambda s: views.plan_text(plans, color=s.colors_answer))
    if refusal:
        raise refusal
    return Exit.DONE


def _refusal(plans: list[FeaturePlan]) -> Refused | None:
    return next((plan.refusal for plan in plans if plan.refusal), None)


def _bring_home(app: App, project: Project, plans: list[FeaturePlan], wanted: Order, *, yes: bool) -> int:
    """Ask, unless that was answered beforehand, and carry the plan out."""
    from worktree_sessions.model.landing import Result
    from worktree_sessions.views import merge_ready as views
    from worktree_sessions.views.prompt import confirm

    if refusal := _refusal(plans):
        raise refusal
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


def _carry_out(app: App, project: Project, plans: list[FeaturePlan], wanted: Order) -> Landed:
    from worktree_sessions.actions import merge_ready
    from worktree_sessions.views.progress import telling

    if app.json:
        return merge_ready.carry_out(project, plans, wanted)
    with telling(app.screen) as tell:
        return merge_ready.carry_out(project, plans, wanted, tell)
