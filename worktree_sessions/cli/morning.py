"""The morning: new, adopt, open."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worktree_sessions.cli.app import App, dry_run_option, json_option, pass_app, place_options, yes_option
from worktree_sessions.errors import Exit, UsageError
from worktree_sessions.model.settings import ROLES

if TYPE_CHECKING:
    from worktree_sessions.actions.project import Project
    from worktree_sessions.actions.start import Started
    from worktree_sessions.model.session import Session
    from worktree_sessions.views.receipts import Receipt

role_option = click.option("--role", type=click.Choice(ROLES), help="What kind of work: sets Claude's focus.")


@click.command("new")
@click.argument("words", metavar="NAME | FEATURE PURPOSE", nargs=-1)
@role_option
@click.option("--base", metavar="REF", help="Start from REF instead of the feature branch.")
@click.option("-p", "--prompt", metavar="TEXT", help="The first prompt; - reads it from standard input.")
@place_options("Make the session, start nothing.")
@dry_run_option
@json_option
@pass_app
def new_command(
    app: App,
    words: tuple[str, ...],
    role: str | None,
    base: str | None,
    prompt: str | None,
    place: str | None,
    dry_run: bool,
) -> None:
    """Make a session and start Claude in it.

    wts new auth-frontend makes branch feature/auth-frontend in its own worktree, to come home to feature/auth.
    The longest existing feature that begins the name is its feature, else all before the last hyphen;
    wts new user-auth frontend says it outright.
    """
    from worktree_sessions.actions import new, start
    from worktree_sessions.views.sessions import made_facts, made_receipt

    project = app.project(start=place)
    order = new.Order(words=words, role=role, base=base, prompt=_read_prompt(prompt))
    if dry_run:
        app.answer_plan(f"wts new {' '.join(words)} would", new.plan_new(project, order).plan)
        return
    made = start.set_up(project, new.make(project, order))
    answer_and_start(
        app,
        project,
        made.session,
        place,
        data=lambda started: made_facts(project, made, started),
        receipt=lambda started: made_receipt(made, started),
    )


def answer_and_start(
    app: App,
    project: Project,
    session: Session,
    place: str | None,
    *,
    data: Callable[[Started | None], Mapping[str, Any]],
    receipt: Callable[[Started | None], Receipt],
) -> None:
    """Start Claude in a session where it was asked for, and answer; on this terminal the answer comes first.

    With --json it is started nowhere unless the place was named.
    """
    from worktree_sessions.actions import start
    from worktree_sessions.views.receipts import receipt_text

    where = start.Place.NONE if app.json and place is None else start.decide_place(project)
    if where is start.Place.TERMINAL and start.why_not(project) is None:
        app.screen.answer(receipt_text(receipt(None), color=app.screen.colors_answer))
        run_here(app, project, session, None)
        return
    started = start.start(project, session, where)
    app.answer_receipt(lambda: data(started), receipt(started))


def _read_prompt(text: str | None) -> str | None:
    from worktree_sessions.actions.launch import check_prompt

    return check_prompt(sys.stdin.read() if text == "-" else text)


@click.command("adopt")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--name", "words", multiple=True, metavar="NAME", help="The session's name; default: from its branch."
)
@click.option("--parent", metavar="BRANCH", help="The branch it comes home to; default: the feature's.")
@role_option
@dry_run_option
@json_option
@pass_app
def adopt_command(
    app: App, path: Path, words: tuple[str, ...], parent: str | None, role: str | None, dry_run: bool
) -> None:
    """Take over a worktree that was made by hand, or by Claude Code itself, as a session.

    Its branch, its files and its place stay as they are.
    """
    from worktree_sessions.actions import new
    from worktree_sessions.views.sessions import adopted_receipt, made_facts

    project = app.project()
    where = (app.directory / path).resolve()
    if dry_run:
        app.answer_plan(
            f"wts adopt {path} would",
            new.plan_adopt(project, where, words=words, parent=parent, role=role).plan,
        )
        return
    made = new.adopt(project, where, words=words, parent=parent, role=role)
    app.answer_receipt(lambda: made_facts(project, made, None), adopted_receipt(made))


@click.command("open")
@click.argument("target", required=False)
@click.option(
    "--all", "everyone", is_flag=True, help="Every session whose Claude does not run: after a restart."
)
@click.option(
    "-p", "--prompt", metavar="TEXT", help="A prompt to go on with; - reads it from standard input."
)
@click.option("--tmux", "place", flag_value="tmux", help="Resume in a tmux window.")
@click.option("--background", "place", flag_value="background", help="Start in Claude's own background.")
@click.option("--here", "place", flag_value="terminal", help="Resume in this terminal (the default).")
@yes_option
@json_option
@pass_app
def open_command(
    app: App, target: str | None, everyone: bool, prompt: str | None, place: str | None, yes: bool
) -> int:
    """Go to a session's Claude where it runs, or resume its very conversation in its worktree.

    A conversation has one Claude: a second one on it is refused. With --all, the sessions whose Claude does not run are
    started in tmux windows, two at a time; exit 6 when there is none.
    """
    if everyone:
        if target or prompt or place == "terminal":
            raise UsageError(
                "usage", "--all takes no TARGET, no --prompt and no --here", hint="wts open --help"
            )
        return _open_all(app, place, yes=yes)
    _open(app, target or ".", prompt, place)
    return Exit.DONE


def _open(app: App, target: str, prompt: str | None, place: str | None) -> None:
    from worktree_sessions.actions.target import find_session
    from worktree_sessions.views.sessions import opened_facts, opened_receipt

    project = app.project(start=place)
    session = find_session(project, target)
    started = bring(app, project, session, prompt)
    if started is not None:
        app.answer_receipt(lambda: opened_facts(project, session, started), opened_receipt(session, started))


def bring(app: App, project: Project, session: Session, prompt: str | None) -> Started | None:
    """Bring the user to a session's Claude, started when it does not run; None when it ran here and has ended."""
    from worktree_sessions.actions import start

    started = start.go_to(project, session)
    if started is not None:
        return started
    where = start.decide_place(project)
    if where is start.Place.TERMINAL:
        run_here(app, project, session, _read_prompt(prompt))
        return None
    if where is start.Place.NONE:
        raise UsageError(
            "no-terminal",
            f"there is no terminal to open {session.name} on",
            hint=f"wts open {session.number} --tmux",
            session=session.name,
        )
    return start.begin(project, session, where, _read_prompt(prompt))


def run_here(app: App, project: Project, session: Session, prompt: str | None) -> None:
    """Run Claude on this terminal, and say afterwards how it ended and what is left to do."""
    from worktree_sessions.actions.launch import launch
    from worktree_sessions.actions.listing import look_at_one
    from worktree_sessions.views.sessions import ended_text

    ended = launch(project, session, prompt)
    if ended.has_no_terminal:
        return
    screen = app.screen
    screen.story(ended_text(look_at_one(project, session), ended, color=screen.colors_story))


def _open_all(app: App, place: str | None, *, yes: bool) -> int:
    from worktree_sessions.actions import reopen
    from worktree_sessions.model.words import counted
    from worktree_sessions.views.attention import offer_text, reopened_facts, reopened_text
    from worktree_sessions.views.prompt import confirm

    project = app.project(start=place)
    sessions = reopen.find_parked(project)
    screen = app.screen
    if not yes:
        screen.story(offer_text(sessions))
        if not confirm(f"start Claude in {counted(len(sessions), 'session')}?", "--yes"):
            return Exit.FAILED
    where = reopen.place_for_many(project)
    tell = screen.story if app.json else screen.answer
    done = reopen.open_all(
        project, sessions, where, tell=lambda one: tell(reopened_text(one, color=screen.colors_answer))
    )
    errors = [one.error for one in done if one.error]
    if app.json:
        app.answer_json(reopened_facts(done, where), *errors)
    return Exit.FAILED if errors else Exit.DONE
