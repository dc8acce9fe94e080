"""Bodies of the commands that are typed the most, and their way past click, which takes longer than they do.

click costs 23 ms to import, bare Python 10. So the front door asks here first, and only the plainest spellings are
known here: one option more, and click parses the line as ever. Both ways end in the same bodies.
"""

from __future__ import annotations

from collections.abc import Callable

from worktree_sessions.cli.invocation import App


def find(argv: list[str]) -> tuple[str, Callable[[App], None]] | None:
    """Return the command's name and its body when the line needs no parser, else None."""
    if len(argv) == 2 and argv[0] == "path" and not argv[1].startswith("-"):
        return "path", lambda app: show_path(app, argv[1])
    return PLAIN.get(tuple(argv))


def show_version(app: App) -> None:
    from worktree_sessions import __version__

    app.screen.answer(f"wts {__version__}")


def show_list(app: App) -> None:
    import time

    project = app.project()  # it imports, while git runs, what the next lines would
    from worktree_sessions.actions.listing import list_sessions
    from worktree_sessions.outside.environment import home

    listing = list_sessions(project)
    if app.json:
        from worktree_sessions.views.jsonout import listing_json

        app.answer_json(listing_json(listing))
        return
    from worktree_sessions.views.listing import listing_text

    screen = app.screen
    screen.answer(
        listing_text(listing, now=time.time(), width=screen.width, color=screen.colors_answer, home=home())
    )


def show_path(app: App, target: str) -> None:
    project = app.project()  # as above
    from worktree_sessions.actions.target import find_session, find_worktree

    path = find_worktree(find_session(project, target))
    if app.json:
        app.answer_json({"path": str(path)})
    else:
        app.screen.answer_path(path)


def show_statusline(app: App, theirs: str | None = None) -> None:
    """Print the status line, and below it what the user's own command `theirs` prints.

    A prompt must not break: where there is no session, or the repository can't be asked, there is no line. Only --json
    tells the error.
    """
    from worktree_sessions.actions.statusline import look_here, read_given, run_theirs
    from worktree_sessions.errors import WtsError

    given = read_given()
    try:
        here = look_here(given.directory or app.directory, _import_statusline)
    except WtsError:
        if app.json:
            raise
        here = None
    from worktree_sessions.views import statusline

    if app.json:
        app.answer_json(statusline.statusline_json(here))
        return
    screen = app.screen
    if here is not None:
        color = statusline.colors_line(screen, app.color, by_claude=given.by_claude)
        screen.answer(statusline.statusline_text(here, color=color))
    if theirs is not None:
        said = run_theirs(theirs, given)
        if said.text:
            screen.answer(said.text)
        if said.problem:
            screen.story(said.problem)


def _import_statusline() -> None:
    import worktree_sessions.views.statusline  # noqa: F401


def show_names(app: App) -> None:
    sessions, _ = app.project().store.load_all()
    for session in sessions:
        app.screen.answer(f"{session.number}\t{session.name}")


PLAIN: dict[tuple[str, ...], tuple[str, Callable[[App], None]]] = {
    (): ("list", show_list),
    ("list",): ("list", show_list),
    ("ls",): ("list", show_list),
    ("names",): ("names", show_names),
    ("statusline",): ("statusline", show_statusline),
    ("--version",): ("wts", show_version),
    ("-V",): ("wts", show_version),
}
