"""Who needs you, told where you are: notify."""

from __future__ import annotations

import time

import click

from worktree_sessions.cli.app import App, json_option, pass_app
from worktree_sessions.errors import Exit


@click.command("notify")
@click.option("--test", is_flag=True, help="Try every channel that is chosen, and say what worked.")
@click.option("--from-hook", is_flag=True, hidden=True)
@click.option("--by-terminal", is_flag=True, hidden=True)
@json_option
@pass_app
def notify_command(app: App, test: bool, from_hook: bool, by_terminal: bool) -> int:
    """Tell what is due now: who needs you, is done or broken, and was not told of yet.

    Claude's hooks do it by themselves, through the channels of the settings notify.*; nothing has to run for it. When
    there is nothing to tell, the exit status is 6; when no channel worked, it is 1.
    """
    from worktree_sessions.actions import notify
    from worktree_sessions.views import notices as views

    if from_hook:
        notify.attend(app.directory, by_hook=by_terminal)
        return Exit.DONE
    if test:
        tried = notify.test(app.project())
        app.answer(
            lambda: views.test_facts(tried),
            lambda screen: views.test_text(tried, color=screen.colors_answer),
        )
        return _status(any(one.worked for one in tried))
    outcome = notify.tell(app.project())
    app.answer(
        lambda: views.outcome_facts(outcome),
        lambda screen: views.outcome_text(outcome, time.time(), color=screen.colors_answer),
    )
    return _status(any(one.worked for one in outcome.deliveries))


def _status(worked: bool) -> int:
    return Exit.DONE if worked else Exit.FAILED
