"""The end of a session: close, restore."""

from __future__ import annotations

import click

from worktree_sessions.cli.app import App, dry_run_option, json_option, pass_app, yes_option


@click.command("close")
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@click.option(
    "--with-unsaved", is_flag=True, help="Although work is not committed; a snapshot of it is kept."
)
@click.option("--while-running", is_flag=True, help="Although Claude runs in it; it is ended first, gently.")
@click.option("--while-locked", is_flag=True, help="Although git worktree lock forbids it.")
@click.option("--mid-operation", is_flag=True, help="Although a rebase or merge is open; its state is kept.")
@click.option("--delete-branch", is_flag=True, help="Delete the branch too; its commits stay pinned.")
@dry_run_option
@json_option
@pass_app
def close_command(
    app: App, /, targets: tuple[str, ...], dry_run: bool, delete_branch: bool, **flags: bool
) -> None:
    """Remove a session's worktree and lose nothing.

    Refused (exit 3) while Claude runs in it or work is at risk, with the one flag that consents to each. The branch
    stays, unless all of it is in its parent. wts restore brings everything back.
    """
    from worktree_sessions.actions import close
    from worktree_sessions.actions.target import find_session
    from worktree_sessions.model.risk import Consent
    from worktree_sessions.views.sessions import closed_facts, closed_receipt

    project = app.project()
    consents = frozenset(consent for consent in Consent if flags[consent.value.strip("-").replace("-", "_")])
    order = close.Closing(consents=consents, delete_branch=delete_branch)
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
