"""Who needs you, told where you are: notify."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from worktree_sessions.cli.app import App, json_option, pass_app
from worktree_sessions.errors import Exit, WtsError

if TYPE_CHECKING:
    from worktree_sessions.outside.notifiers import Delivery


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
        text = views.test_text(tried, color=app.screen.colors_answer)
        return _answer(app, tried, views.test_facts(tried), text)
    outcome = notify.tell(app.project())
    text = views.outcome_text(outcome, time.time(), color=app.screen.colors_answer)
    return _answer(app, outcome.deliveries, views.outcome_facts(outcome), text)


def _answer(app: App, deliveries: Sequence[Delivery], facts: Mapping[str, Any], text: str) -> int:
    """Print what became of the notice in each channel; that none took it is an error."""
    from worktree_sessions.views.errors import error_text

    worked = any(one.worked for one in deliveries)
    none = WtsError("not-told", "no channel worked", hint="each has its cure; which are tried: wts config")
    if app.json:
        app.answer_json(facts, *([] if worked else [none]))
    else:
        app.screen.answer(text)
    if worked:
        return Exit.DONE
    app.screen.story(error_text(none, color=app.screen.colors_story))
    return none.exit
