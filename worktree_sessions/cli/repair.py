"""Repair, and what is set: doctor, setup, config, trust."""

from __future__ import annotations

import click

from worktree_sessions.cli.app import App, json_option, pass_app, yes_option


@click.command("doctor")
@click.option("--fix", is_flag=True, help="Mend what can be mended without losing anything.")
@json_option
@pass_app
def doctor_command(app: App, fix: bool) -> int:
    """Find what is wrong, each with the command that cures it.

    Exit 0 when nothing is wrong, or all of it was fixed; notes do not count.
    """
    from worktree_sessions.actions import doctor
    from worktree_sessions.errors import Exit
    from worktree_sessions.outside.environment import home
    from worktree_sessions.views import repair as views
    from worktree_sessions.views.jsonout import error_envelope, json_text

    project = app.project()
    found = doctor.mend(project) if fix else doctor.examine(project)
    if app.json and found.left:
        errors = views.diagnosis_errors(found)
        app.screen.answer(json_text(error_envelope(app.command, *errors, data=views.diagnosis_facts(found))))
    else:
        app.answer(
            lambda: views.diagnosis_facts(found), lambda screen: views.diagnosis_text(found, screen, home())
        )
    return Exit.FAILED if found.left else Exit.DONE


@click.command("setup")
@click.argument("target", default=".")
@json_option
@pass_app
def setup_command(app: App, target: str) -> None:
    """Run the set-up commands of TARGET again (default: the session of this directory).

    They are setup.run of the settings; those of a repository run only after wts trust.
    """
    from worktree_sessions.actions.setup import run_setup
    from worktree_sessions.actions.target import find_session
    from worktree_sessions.views import repair as views

    project = app.project()
    result = run_setup(project, find_session(project, target))
    failure = views.setup_error(result)
    if failure is not None:
        raise failure
    app.answer_receipt(lambda: views.setup_facts(result), views.setup_receipt(result))


@click.command("config")
@click.option("--origin", is_flag=True, help="Tell where each value comes from.")
@json_option
@pass_app
def config_command(app: App, origin: bool) -> None:
    """Show every setting with its value.

    The strongest first: flags, WTS_* variables, the repository's .wts.toml, the user's own file, defaults.
    """
    from worktree_sessions.actions.configure import show_config
    from worktree_sessions.outside.environment import home
    from worktree_sessions.views import repair as views

    rows = show_config(app.project())
    app.answer(
        lambda: views.config_facts(rows),
        lambda screen: (
            views.origins_text(rows, screen, home()) if origin else views.config_text(rows, screen)
        ),
    )


@click.command("trust")
@click.option("--revoke", is_flag=True, help="Withdraw every approval for this repository.")
@yes_option
@json_option
@pass_app
def trust_command(app: App, revoke: bool, yes: bool) -> int | None:
    """Approve the set-up commands of this repository, exactly as they are shown.

    An approval holds for one repository and one exact list; a changed one is asked for again.
    """
    from worktree_sessions.actions import configure
    from worktree_sessions.errors import Exit
    from worktree_sessions.model.session import Setup
    from worktree_sessions.views import repair as views
    from worktree_sessions.views.prompt import confirm

    project = app.project()
    if revoke:
        withdrawn = configure.revoke_trust(project)
        app.answer_receipt(lambda: {"revoked": withdrawn.had_any}, views.revoked_receipt(withdrawn))
        return None
    plan = configure.plan_trust(project)
    if plan.is_trusted:
        app.answer_receipt(lambda: views.trust_facts(plan), views.already_trusted_receipt(plan))
        return None
    if not yes:
        app.screen.story(views.commands_text(plan, project.home, color=app.screen.colors_story))
        if not confirm("approve exactly this?", "--yes"):
            app.screen.story("nothing was approved")
            return Exit.FAILED
    result = configure.apply_trust(plan)
    waiting = [session for session in project.store.load_all()[0] if session.setup is Setup.UNTRUSTED]
    app.answer_receipt(lambda: views.trust_facts(plan), views.trusted_receipt(result, waiting))
    return None
