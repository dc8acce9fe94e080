"""What changed, and where we are: check-in, statusline."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import click

from worktree_sessions.cli.app import App, json_option, pass_app
from worktree_sessions.cli.quick import show_statusline
from worktree_sessions.errors import Exit, UsageError, WtsError

if TYPE_CHECKING:
    from worktree_sessions.actions.project import Project

UNITS = {"s": 1, "m": 60, "h": 3600}


class Duration(click.ParamType[int]):
    """A span with its unit, such as 90s, 20m or 1h; the value is in seconds, 1 or more."""

    name = "duration"

    def convert(self, value: str | int, param: click.Parameter | None, context: click.Context | None) -> int:
        match = re.fullmatch(r"([0-9]{1,6})([smh])", str(value))
        if match is None or int(match[1]) == 0:
            self.fail(f"{value!r} is not a span such as 90s, 20m or 1h", param, context)
        return int(match[1]) * UNITS[match[2]]


@click.command("check-in")
@click.option("--every", type=Duration(), metavar="SPAN", help="Stay, and check in each SPAN: 90s, 20m, 1h.")
@click.option("--peek", is_flag=True, help="Show it, and let the next check-in show it again.")
@json_option
@pass_app
def check_in_command(app: App, every: int | None, peek: bool) -> int:
    """Show what is new since the last check-in: who needs you, is done, stuck or broken, what changed.

    The session that nobody looked at for longest comes first. When there is nothing new, nothing is printed, and the
    exit status is 6. With --every it stays in the foreground until Ctrl-C, and notifies you when there is news.
    """
    from worktree_sessions.views.errors import error_text

    if every is None:
        return Exit.DONE if _check_in(app, app.project(), peek=peek) else Exit.NOTHING
    if peek:
        raise UsageError("usage", "--peek does not go with --every: each would show the same again")
    _check_in(app, app.project(), timed=True)
    while True:
        time.sleep(every)
        try:
            _check_in(app, app.project(), timed=True)
        except WtsError as error:  # git may be busy with it; the next one tells what this one could not
            app.screen.story(error_text(error, color=app.screen.colors_story))


def _check_in(app: App, project: Project, *, peek: bool = False, timed: bool = False) -> bool:
    """Check in once and print the news; return whether there is any."""
    from worktree_sessions.actions.checkin import announce, check_in, keep
    from worktree_sessions.views.checkin import check_in_json, check_in_text, damage_text
    from worktree_sessions.views.errors import warning_text

    found = check_in(project)
    if found.news or not timed:
        app.answer(
            lambda: check_in_json(found),
            lambda screen: check_in_text(found, width=screen.width, color=screen.colors_answer, timed=timed),
        )
    aside = None if peek else keep(project, found)
    if damage := damage_text(found, aside):
        app.screen.story(warning_text(damage, color=app.screen.colors_story))
    if found.news and timed:
        announce(project, found)
    return bool(found.news)


@click.command("statusline")
@click.option("--with", "theirs", metavar="COMMAND", help="Run your own status line command too, below ours.")
@json_option
@pass_app
def statusline_command(app: App, theirs: str | None) -> None:
    """Print one line about the session of this place, for Claude's status line or a shell prompt.

    Number, name and state, how far its branch is ahead (↑) and behind (↓), what is not committed, and how many other
    sessions need you. Outside of a session it prints nothing. docs/statusline.md says how to set it up.
    """
    show_statusline(app, theirs)
