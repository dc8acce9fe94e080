"""`wts hooks`: the git hooks that warn, and never block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from worktree_sessions.cli.app import App, dry_run_option, json_option, pass_app, yes_option

if TYPE_CHECKING:
    from worktree_sessions.actions.githooks import Consent
    from worktree_sessions.actions.project import Project


worktrees_option = click.option(
    "--claude-worktrees",
    is_flag=True,
    help="Instead: the two hooks in .claude/settings.local.json that make claude -w NAME a session.",
)


@click.group("hooks", invoke_without_command=True)
@json_option
@click.pass_context
def hooks_command(context: click.Context) -> None:
    """Git hooks that warn, and never block.

    Before a push they tell which sessions hold work that it does not carry; after a commit or a merge on a feature
    branch, which sessions are now behind. Without a command, wts hooks shows what is installed.
    """
    if context.invoked_subcommand is None:
        context.invoke(status_command)


@hooks_command.command("install")
@click.option("--shared", is_flag=True, help="Although the hooks directory is not this repository's alone.")
@worktrees_option
@yes_option
@dry_run_option
@json_option
@pass_app
def install_command(app: App, shared: bool, claude_worktrees: bool, yes: bool, dry_run: bool) -> None:
    """Install the hooks in this repository.

    With git 2.54 and newer they are configuration; before it, files that first run the hook that was there. A hooks
    directory that core.hooksPath shares, or that is tracked, is written to with --shared only.
    """
    from worktree_sessions.actions import githooks
    from worktree_sessions.views.hooks import changed_facts, installed_receipt

    app.command = "hooks install"
    project = app.project()
    consent = githooks.Consent.SHARED if shared else githooks.Consent.OWN
    if claude_worktrees:
        _install_worktree_hooks(app, project, consent, dry_run=dry_run)
        return
    if dry_run:
        app.answer_plan("wts hooks install would", githooks.plan_install(project, consent))
        return
    if not shared and not yes and not app.json:
        consent = _ask(project)
    done = githooks.install(project, consent)
    app.answer_receipt(lambda: changed_facts(done), installed_receipt(done))


def _install_worktree_hooks(app: App, project: Project, consent: Consent, *, dry_run: bool) -> None:
    from worktree_sessions.actions import worktreehooks
    from worktree_sessions.views.hooks import worktrees_facts, worktrees_receipt

    if dry_run:
        title = "wts hooks install --claude-worktrees would"
        app.answer_plan(title, worktreehooks.plan_install(project, consent))
        return
    done = worktreehooks.install(project, consent)
    app.answer_receipt(lambda: {"claude_worktrees": worktrees_facts(done.after)}, worktrees_receipt(done))


def _uninstall_worktree_hooks(app: App, project: Project, *, dry_run: bool) -> None:
    from worktree_sessions.actions import worktreehooks
    from worktree_sessions.views.hooks import worktrees_facts, worktrees_receipt

    if dry_run:
        title = "wts hooks uninstall --claude-worktrees would"
        app.answer_plan(title, worktreehooks.plan_uninstall(project))
        return
    done = worktreehooks.uninstall(project)
    app.answer_receipt(lambda: {"claude_worktrees": worktrees_facts(done.after)}, worktrees_receipt(done))


def _ask(project: Project) -> Consent:
    """Ask about a directory that is not the repository's own; where nobody can answer, the plan refuses."""
    from worktree_sessions.actions import githooks
    from worktree_sessions.views.prompt import can_ask, confirm

    reason = githooks.status(project).needs_consent
    if reason is None or not can_ask() or not confirm(f"{reason}; install there?", "--shared"):
        return githooks.Consent.OWN
    return githooks.Consent.SHARED


@hooks_command.command("uninstall")
@worktrees_option
@dry_run_option
@json_option
@pass_app
def uninstall_command(app: App, claude_worktrees: bool, dry_run: bool) -> None:
    """Take the hooks away, and put back byte for byte what was there."""
    from worktree_sessions.actions import githooks
    from worktree_sessions.views.hooks import changed_facts, uninstalled_receipt

    app.command = "hooks uninstall"
    project = app.project()
    if claude_worktrees:
        _uninstall_worktree_hooks(app, project, dry_run=dry_run)
        return
    if dry_run:
        app.answer_plan("wts hooks uninstall would", githooks.plan_uninstall(project))
        return
    done = githooks.uninstall(project)
    app.answer_receipt(lambda: changed_facts(done), uninstalled_receipt(done))


@hooks_command.command("status")
@json_option
@pass_app
def status_command(app: App) -> None:
    """Show which hooks are installed, and where."""
    from worktree_sessions.actions import githooks, worktreehooks
    from worktree_sessions.views.hooks import hooks_facts, hooks_text, worktrees_facts, worktrees_line

    app.command = "hooks status"
    project = app.project()
    found, trees = githooks.status(project), worktreehooks.status(project)
    app.answer(
        lambda: {**hooks_facts(found), "claude_worktrees": worktrees_facts(trees)},
        lambda screen: "\n".join(
            (
                hooks_text(found, color=screen.colors_answer),
                *worktrees_line(trees, color=screen.colors_answer),
            )
        ),
    )
