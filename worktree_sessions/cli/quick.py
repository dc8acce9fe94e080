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

    from worktree_sessions.actions.listing import list_sessions
    from worktree_sessions.outside.environment import home

    if app.json:
        from worktree_sessions.views.jsonout import listing_json

        app.answer_json(listing_json(list_sessions(app.project())))
        return
    listing = list_sessions(app.project())
    from worktree_sessions.views.listing import listing_text

    screen = app.screen
    screen.answer(
        listing_text(listing, now=time.time(), width=screen.width, color=screen.colors_answer, home=home())
    )


def show_path(app: App, target: str) -> None:
    from worktree_sessions.actions.target import find_session, find_worktree

    path = find_worktree(find_session(app.project(), target))
    if app.json:
        app.answer_json({"path": str(path)})
    else:
        app.screen.answer_path(path)


def show_names(app: App) -> None:
    sessions, _ = app.project().store.load_all()
    for session in sessions:
        app.screen.answer(f"{session.number}\t{session.name}")


PLAIN: dict[tuple[str, ...], tuple[str, Callable[[App], None]]] = {
    (): ("list", show_list),
    ("list",): ("list", show_list),
    ("ls",): ("list", show_list),
    ("names",): ("names", show_names),
    ("--version",): ("wts", show_version),
    ("-V",): ("wts", show_version),
}
