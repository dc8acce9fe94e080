"""The live board: watch."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from worktree_sessions.actions.watch import GLANCE_EVERY, Watch, changes
from worktree_sessions.cli.app import App, json_option, pass_app
from worktree_sessions.errors import NothingToDo, WtsError
from worktree_sessions.outside import terminal
from worktree_sessions.outside.environment import home
from worktree_sessions.views.board import (
    HELP,
    KEYS,
    Pose,
    ages,
    board_lines,
    change_json,
    change_text,
    repaint,
)
from worktree_sessions.views.console import clean
from worktree_sessions.views.errors import error_text
from worktree_sessions.views.jsonout import json_line
from worktree_sessions.views.receipts import Receipt, receipt_text

if TYPE_CHECKING:
    from worktree_sessions.actions.project import Project
    from worktree_sessions.model.session import Listing, Look, Session


@click.command("watch")
@json_option
@pass_app
def watch_command(app: App) -> None:
    """Show the sessions live, who needs you first, until q.

    Up and down select a session, Enter opens it, n goes to the next that needs you, c closes, r marks ready; ? shows
    all keys. On a pipe it prints one line for each session, and then one for each change; with --json, one JSON object
    a line.
    """
    gc.enable()  # the front door does without for a moment; this may run for days
    project = app.project()
    if app.json or not terminal.can_be_drawn_on():
        _tell_changes(app, Watch(project))
    else:
        Board(app, project).run()


def _tell_changes(app: App, watch: Watch) -> None:
    screen = app.screen
    seen: tuple[Look, ...] = ()
    while True:
        for change in changes(seen, watch.listing.looks):
            at = time.time()
            screen.answer(json_line(change_json(change, at)) if app.json else change_text(change, at))
        seen = watch.listing.looks
        if terminal.is_unread(GLANCE_EVERY):
            raise BrokenPipeError
        watch.glance()


class Board:
    """The board on this terminal: draws what is watched, and does what the keys say."""

    def __init__(self, app: App, project: Project) -> None:
        self._app, self._project, self._watch = app, project, Watch(project)
        self._terminal = terminal.Takeover()
        self._screen = app.screen
        self._pose = Pose()
        self._lines: list[str] = []
        self._closing: Session | None = None  # asked about, not answered yet
        self._ends = False
        self._keys: dict[str, Callable[[Look], None]] = {
            **dict.fromkeys(("enter", "o"), self._open),
            "n": self._next,
            "c": self._ask_to_close,
            "r": self._mark_ready,
        }

    def run(self) -> None:
        """Show the board until it is left, or its terminal is gone."""
        with self._terminal:
            shown: tuple[Listing, list[str]] | None = None
            while not self._ends:
                listing = self._watch.listing
                now = listing, ages(listing, time.time())
                if now != shown or self._terminal.is_blank:
                    self._draw()
                    shown = now
                try:
                    pressed = self._terminal.wait(GLANCE_EVERY)
                except EOFError:
                    return
                if pressed:
                    shown = None
                    self._press(pressed)
                self._watch.glance()

    def _draw(self) -> None:
        self._select()
        before = None if self._terminal.is_blank else self._lines
        self._terminal.is_blank = False  # before the size is asked for: another one may come any time
        self._lines = board_lines(
            self._watch.listing,
            self._pose,
            now=time.time(),
            size=self._terminal.size(),
            color=self._screen.colors_answer,
            home=home(),
        )
        self._screen.frame(repaint(before, self._lines))

    # -- keys --------------------------------------------------------------------------------------

    def _press(self, pressed: list[str]) -> None:
        for key in pressed:
            if self._closing:
                self._answer(key)
                return  # what was typed ahead was not meant for what comes now
            self._pose.says = []
            if key in ("q", "escape"):
                self._ends = True
            elif key == "?":
                self._pose.says = list(HELP)
            elif key in ("up", "k", "down", "j"):
                self._select(by=-1 if key in ("up", "k") else 1)
            elif key.isdigit():
                self._select_number(int(key))
            elif key in self._keys and (look := self._selected()):
                self._keys[key](look)
                return

    def _selected(self) -> Look | None:
        looks = self._watch.listing.looks
        return next((look for look in looks if look.session.id == self._pose.selected), None)

    def _select(self, by: int = 0) -> None:
        """Select the session so many rows further; the first when none is."""
        looks = self._watch.listing.looks
        ids = [look.session.id for look in looks]
        at = ids.index(self._pose.selected) if self._pose.selected in ids else 0
        self._pose.selected = ids[max(0, min(at + by, len(ids) - 1))] if ids else None

    def _select_number(self, number: int) -> None:
        for look in self._watch.listing.looks:
            if look.session.number == number:
                self._pose.selected = look.session.id

    # -- what they do ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Show what goes wrong in the block on the board."""
        try:
            yield
        except NothingToDo as error:
            self._pose.says = [error.message]
        except WtsError as error:
            self._pose.says = error_text(error, color=False).splitlines()

    def _tell(self, receipt: Receipt) -> None:
        self._pose.says = receipt_text(receipt, color=False).splitlines()

    def _open(self, look: Look) -> None:
        from worktree_sessions.cli.morning import bring
        from worktree_sessions.views.sessions import opened_receipt

        with self._telling(), self._terminal.lent():
            started = bring(self._app, self._project, look.session, None)
            if started is not None:
                self._tell(opened_receipt(look.session, started))

    def _next(self, _: Look) -> None:
        from worktree_sessions.actions import attention
        from worktree_sessions.views.attention import gone_receipt

        with self._telling():
            session = attention.queue(self._project)[0].session
            self._pose.selected = session.id
            with self._terminal.lent():
                gone = attention.go(self._project, session)
            self._tell(gone_receipt(session, gone))

    def _ask_to_close(self, look: Look) -> None:
        self._closing = look.session
        self._pose.foot = f"close {look.session.number} {clean(look.session.name)}? y or n"

    def _answer(self, key: str) -> None:
        """Close the session that was asked about, with no consent to any danger, when the key says so."""
        from worktree_sessions.actions import close
        from worktree_sessions.views.sessions import closed_receipt

        session, self._closing = self._closing, None
        self._pose.foot = KEYS
        if key != "y" or session is None:
            return
        self._pose.says = [f"closing {session.name} …"]
        self._draw()
        with self._telling():
            self._tell(closed_receipt(close.close(self._project, session, close.Closing())))

    def _mark_ready(self, look: Look) -> None:
        from worktree_sessions.actions import readiness

        with self._telling():
            session = readiness.toggle_mark(self._project, look.session)
            marked = (
                f"is marked ready at {session.ready[:10]}"
                if session.ready
                else "is not marked ready any more"
            )
            self._pose.says = [f"{session.name} {marked}"]
