"""What needs you, and what you have to say: next, send."""

from __future__ import annotations

import sys

import click

from worktree_sessions.cli.app import App, json_option, pass_app
from worktree_sessions.errors import UsageError


@click.command("next")
@click.option("--peek", is_flag=True, help="Only say who it is, and what is asked.")
@click.option(
    "--done", is_flag=True, help="Also those that broke or ended a turn, and that you have not gone to since."
)
@json_option
@pass_app
def next_command(app: App, peek: bool, done: bool) -> None:
    """Go to the session that has waited longest for you.

    It is shown in this terminal, or its tmux window is selected, or the command that shows it is printed. Called again,
    it goes to the next one, and round. Exit 6 when no session needs you.
    """
    from worktree_sessions.actions import attention
    from worktree_sessions.views.attention import caller_text, gone_receipt, next_facts

    project = app.project()
    callers = attention.queue(project, done=done)
    if peek:
        app.answer(
            lambda: next_facts(project, callers, None),
            lambda screen: caller_text(callers, width=screen.width, color=screen.colors_answer),
        )
        return
    session, screen = callers[0].session, app.screen  # told before: an attached terminal shows only Claude
    screen.story(caller_text(callers, width=screen.width, color=screen.colors_story))
    gone = attention.go(project, session)
    app.answer_receipt(lambda: next_facts(project, callers, gone), gone_receipt(session, gone))


@click.command("send")
@click.argument("target")
@click.argument("words", metavar="TEXT...", nargs=-1)
@json_option
@pass_app
def send_command(app: App, target: str, words: tuple[str, ...]) -> None:
    """Give a session's Claude a prompt, as if you had typed it there.

    It is typed in where Claude runs in a tmux pane, and refused (exit 3) while it asks you something. Else it is kept,
    and given when the session is next started. - or a pipe gives the text; -- goes before one that begins with a dash.
    """
    from worktree_sessions.actions import sending
    from worktree_sessions.actions.target import find_session
    from worktree_sessions.views.attention import sent_facts, sent_receipt

    text = sending.prompt_of(_read(words))
    project = app.project()
    session = find_session(project, target)
    sent = sending.send(project, session, text)
    app.answer_receipt(lambda: sent_facts(session, sent), sent_receipt(session, sent))


def _read(words: tuple[str, ...]) -> str:
    if words == ("-",) or not (words or sys.stdin.isatty()):
        return sys.stdin.read()
    if not words:
        raise UsageError("no-text", "there is nothing to send", hint="wts send TARGET 'the text'")
    return " ".join(words)
