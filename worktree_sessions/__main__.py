"""The front door: the only place where an error becomes an exit code, and a bug a log."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

from worktree_sessions.errors import Exit, UsageError, WtsError

if TYPE_CHECKING:
    from worktree_sessions.cli.invocation import App


def main() -> None:
    """Run the command line and exit with its code."""
    # A command ends before there is garbage worth a search, and all of it goes at the end: 10 ms less, which is as
    # much as bare Python takes. Nothing is skipped by it that is to run at exit.
    gc.disable()
    status = run(sys.argv[1:])
    gc.freeze()
    sys.exit(status)


def run(argv: list[str]) -> int:
    """Run the command line and return its exit code."""
    from worktree_sessions.cli import quick
    from worktree_sessions.cli.invocation import App

    app = App(json="--json" in argv)
    try:
        found = quick.find(argv)
        if found is None:
            return _run_parsed(app, argv)
        app.command, body = found
        body(app)
        return Exit.DONE
    except WtsError as error:
        return _tell(app, error)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return _close_quietly()
    except Exception as error:  # the one place that may: everything else is a bug, and is told as one
        return _tell(app, _as_bug(error))


def _run_parsed(app: App, argv: list[str]) -> int:
    import click  # 23 ms

    from worktree_sessions.cli.main import wts

    try:
        status = wts.main(args=argv, prog_name="wts", obj=app, standalone_mode=False)
        return status if isinstance(status, int) else Exit.DONE
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "wts"
        return _tell(app, UsageError("usage", error.format_message().rstrip("."), hint=f"{path} --help"))
    except click.Abort:
        return Exit.INTERRUPTED


def _tell(app: App, error: WtsError) -> int:
    from worktree_sessions.views.errors import error_text
    from worktree_sessions.views.jsonout import error_envelope, json_text

    screen = app.screen
    try:
        if app.json:
            screen.answer(json_text(error_envelope(app.command, error)))
        screen.story(error_text(error, color=screen.colors_story))
    except BrokenPipeError:
        _close_quietly()
    return error.exit


def _as_bug(error: Exception) -> WtsError:
    import os
    import tempfile
    import traceback

    class Bug(WtsError):
        exit = Exit.BUG

    handle, path = tempfile.mkstemp(prefix="wts-bug-", suffix=".log")
    with os.fdopen(handle, "w") as file:
        file.write("".join(traceback.format_exception(error)))
    return Bug("bug", f"this is a bug in wts: {type(error).__name__}: {error}", hint=f"report it with {path}")


def _close_quietly() -> int:
    """The reader of our pipe went away: nothing is left to say, and Python must not say that at exit either."""
    import os

    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    return Exit.FAILED


if __name__ == "__main__":
    main()
