"""The end of a session: close, restore."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from worktree_sessions.cli.app import App, dry_run_option, json_option, pass_app, yes_option
from worktree_sessions.errors import Exit, UsageError

if TYPE_CHECKING:
    from worktree_sessions.actions.close import Closing


@click.command("close")
@click.argument("targets", metavar="TARGET...", nargs=-1)
@click.option(
    "--landed", is_flag=True, help="Every session that came home, in whatever way; after a question."
)
@click.option(
    "--with-unsaved", is_flag=True, help="Although work is not committed; a snapshot of it is kept."
)
@click.option("--while-running", is_flag=True, help="Although Claude runs in it; it is ended first, gently.")
@click.option("--while-locked", is_flag=True, help="Although git worktree lock forbids it.")
@click.option("--mid-operation", is_flag=True, help="Although a rebase or merge is open; its state is kept.")
@click.option("--delete-branch", is_flag=True, help="Delete the branch too; its commits stay pinned.")
@yes_option
@dry_run_option
@json_option
@pass_app
def close_command(
    app: App,
    /,
    targets: tuple[str, ...],
    landed: bool,
    yes: bool,
    dry_run: bool,
    delete_branch: bool,
    **flags: bool,
) -> int:
    """Remove a session's worktree and lose nothing.

    Refused (exit 3) while Claude runs in it or work is at risk, with the one flag that consents to each. The branch
    stays, unless all of it is in its parent. wts restore brings everything back. With --landed, one that is refused
    hinders none of the others.
    """
    from worktree_sessions.actions.close import Closing
    from worktree_sessions.model.risk import Consent

    if landed == bool(targets):
        says = "--landed takes no TARGET" if landed else "which session? TARGET is missing"
        raise UsageError("usage", says, hint="wts close --help")
    consents = frozenset(consent for consent in Consent if flags[consent.value.strip("-").replace("-", "_")])
    order = Closing(consents=consents, delete_branch=delete_branch)
    if landed:
        return _close_landed(app, order, yes=yes, dry_run=dry_run)
    _close(app, targets, order, dry_run=dry_run)
    return Exit.DONE


def _close(app: App, targets: tuple[str, ...], order: Closing, *, dry_run: bool) -> None:
    from worktree_sessions.actions import close
    from worktree_sessions.actions.target import find_session
    from worktree_sessions.views.sessions import closed_facts, closed_receipt

    project = app.project()
    sessions = [find_session(project, target) for target in dict.fromkeys(targets)]
    plans = [close.plan_close(project, session, order) for session in sessions]  # all or none is refused
    if dry_run:
        names = " ".join(session.name for session in sessions)
        app.answer_plan(f"wts close {names} would", *(planned.plan for planned in plans))
        return
    done = []
    for session in sessions:
        done.append(close.close(project, session, order))
        if not app.json:
            app.answer_receipt(dict, closed_receipt(done[-1]))
    if app.json:
        app.answer_json(closed_facts(done))


def _close_landed(app: App, order: Closing, *, yes: bool, dry_run: bool) -> int:
    """Close what came home; each is refused or not for itself."""
    from worktree_sessions.actions import close
    from worktree_sessions.actions.landed import homecomings
    from worktree_sessions.errors import NothingToDo, WtsError
    from worktree_sessions.views.errors import error_text
    from worktree_sessions.views.prompt import confirm
    from worktree_sessions.views.sessions import closed_facts, closed_receipt
    from worktree_sessions.views.verdicts import landed_facts, landed_text, question

    project, screen = app.project(), app.screen
    found = homecomings(project)
    home = [one for one in found if one.landing and one.landing.how.is_home]
    screen.story(landed_text(found))
    if not home:
        raise NothingToDo("none-landed", "no session has landed", hint="wts list")
    if not (yes or dry_run or confirm(question(home), "--yes")):
        return Exit.FAILED
    done, plans, refused = [], [], []
    for one in home:
        try:
            if dry_run:
                plans.append(close.plan_close(project, one.session, order).plan)
                continue
            done.append(close.close(project, one.session, order))
        except WtsError as error:
            refused.append(error)
            screen.story(error_text(error, color=screen.colors_story))
        else:
            if not app.json:
                app.answer_receipt(dict, closed_receipt(done[-1]))
    if dry_run:
        app.answer_plan("wts close --landed would", *plans)
    elif app.json:
        app.answer_json({**closed_facts(done), **landed_facts(found)}, *refused)
    return max((error.exit for error in refused), default=Exit.DONE)


@click.command("restore")
@click.argument("target", required=False)
@click.option(
    "--empty-trash", is_flag=True, help="Remove the ignored files that closed sessions left, for good."
)
@yes_option
@dry_run_option
@json_option
@pass_app
def restore_command(app: App, target: str | None, empty_trash: bool, yes: bool, dry_run: bool) -> None:
    """Bring back a session that was closed, or whose worktree somebody removed.

    Without a name it lists what can come back. Worktree, branch, conversation and every uncommitted and untracked file
    return as they were.
    """
    from worktree_sessions.actions import restore
    from worktree_sessions.views import sessions as views

    project = app.project()
    if empty_trash:
        _empty_trash(app, yes=yes, dry_run=dry_run)
    elif target is None:
        found = restore.list_restorable(project)
        app.answer(lambda: views.restorable_facts(found), lambda _: views.restorable_text(found))
    elif dry_run:
        session = restore.find_restorable(project, target)
        app.answer_plan(f"wts restore {session.name} would", restore.plan_restore(project, session).plan)
    else:
        restored = restore.restore(project, restore.find_restorable(project, target))
        app.answer_receipt(lambda: views.restored_facts(restored), views.restored_receipt(restored))


def _empty_trash(app: App, *, yes: bool, dry_run: bool) -> None:
    from worktree_sessions.actions import restore
    from worktree_sessions.model.words import size
    from worktree_sessions.views.prompt import confirm
    from worktree_sessions.views.receipts import Receipt

    project = app.project()
    found = restore.plan_empty_trash(project)
    if dry_run:
        app.answer_plan("wts restore --empty-trash would", found.plan)
        return
    if not yes and not confirm(f"remove {size(found.size)} of ignored files for good?", "--yes"):
        return
    emptied = restore.empty_trash(project)
    receipt = Receipt(f"trash emptied, {size(emptied.size)} freed", facts=("snapshots and commits are kept",))
    app.answer_receipt(lambda: {"freed": emptied.size, "operation": emptied.operation}, receipt)
