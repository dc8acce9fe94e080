"""Who is in whose way: radar."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from worktree_sessions.cli.app import App, json_option, pass_app
from worktree_sessions.outside import terminal

if TYPE_CHECKING:
    from worktree_sessions.model.radar import Scan

APART = (2.0, 15.0)  # seconds between two scans of --watch, at least and at most
SHARE = 0.1  # of the time that scanning may take

Scanning = Callable[[], "list[Scan]"]


@click.command("radar")
@click.argument("feature", required=False)
@click.option("--watch", is_flag=True, help="Look again and again, until q.")
@json_option
@pass_app
def radar_command(app: App, feature: str | None, watch: bool) -> None:
    """Show which sessions would conflict with each other, and with their parent.

    Uncommitted and untracked work counts. Each session is compared as it would be when it had landed on its parent; a
    conflict is told only when the merge of two on the parent would really conflict. Nothing is changed, in no worktree.
    It is only told: a conflict ends with 0 as well.

    With --watch it is drawn again when something has changed; on a pipe it prints one line for each new conflict.
    """
    from worktree_sessions.actions.radar import scan
    from worktree_sessions.views.radar import radar_json, radar_text

    project = app.project()

    def look() -> list[Scan]:
        return scan(project, feature)

    if not watch:
        scans = look()
        app.answer(
            lambda: radar_json(scans),
            lambda screen: radar_text(scans, width=screen.width, color=screen.colors_answer),
        )
        return
    gc.enable()  # the front door does without for a moment; this may run for days
    if app.json or not terminal.can_be_drawn_on():
        _tell_collisions(app, look)
    else:
        _draw(app, look)


def _timed(look: Scanning) -> tuple[list[Scan], float]:
    """Return a scan, and the seconds until the next one."""
    begun = time.monotonic()
    scans = look()
    least, most = APART
    return scans, min(max(least, (time.monotonic() - begun) / SHARE), most)


def _tell_collisions(app: App, look: Scanning) -> None:
    """Print each new conflict once; one that was gone and is there again is a new one."""
    from worktree_sessions.views.jsonout import json_line
    from worktree_sessions.views.radar import collision_json, collision_text, collisions

    screen = app.screen
    before: set[object] = set()
    while True:
        scans, pause = _timed(look)
        found = {one.key: one for one in collisions(scans)}
        for key, one in found.items():
            if key not in before:
                screen.answer(
                    json_line(collision_json(one, time.time())) if app.json else collision_text(one)
                )
        before = set(found)
        if terminal.is_unread(pause):
            raise BrokenPipeError


def _draw(app: App, look: Scanning) -> None:
    """Show the radar on the whole terminal until q, or its end."""
    from worktree_sessions.views.board import repaint
    from worktree_sessions.views.radar import radar_text

    screen = app.screen
    shown: Sequence[str] | None = None
    scans, pause = _timed(look)
    with terminal.Takeover() as taken:
        due = time.monotonic() + pause
        while True:
            before = None if taken.is_blank else shown
            taken.is_blank = False  # before the size is asked for: another one may come any time
            size = taken.size()
            lines = radar_text(scans, width=size.columns, color=screen.colors_answer).splitlines()[
                : size.lines
            ]
            screen.frame(repaint(before, lines))
            shown = lines
            try:
                pressed = taken.wait(max(0.0, due - time.monotonic()))
            except EOFError:
                return
            if {"q", "escape"} & set(pressed):
                return
            if time.monotonic() >= due:
                scans, pause = _timed(look)
                due = time.monotonic() + pause
