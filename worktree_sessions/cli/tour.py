"""Getting started: demo, shell-init, completion; and `cd`, which only the shell can do."""

from __future__ import annotations

import click

from worktree_sessions.cli.app import App, pass_app
from worktree_sessions.errors import UsageError
from worktree_sessions.views.shell import Shell, completion_code, init_code

shell_argument = click.argument("shell", type=click.Choice([shell.value for shell in Shell]))


@click.command("demo")
@click.option("--dir", "directory", metavar="DIR", help="Where to play it: a new or empty directory.")
@click.option("--keep/--remove", default=True, help="Leave it for a look around (the default), or not.")
@pass_app
def demo_command(app: App, directory: str | None, keep: bool) -> None:
    """Try it all on a throw-away repository, in a quarter of a minute.

    Five sessions with a scripted agent that really commits: listed, one refused and one safe close, and back again.
    Then a midday: a conflict that is known before, two that are red only together, what lands, and its undo. Needs no
    Claude and no network, asks nothing, touches nothing of yours.
    """
    from worktree_sessions.actions import demo
    from worktree_sessions.views.demo import happening_text

    screen = app.screen
    place = demo.make_place(app.directory / directory if directory else None)
    color = "always" if screen.colors_answer else "never"
    for happening in demo.play(place, width=screen.width, color=color, keep=keep):
        screen.answer(happening_text(happening, color=screen.colors_answer))


@click.command("shell-init")
@shell_argument
@click.pass_context
@pass_app
def shell_init_command(app: App, context: click.Context, shell: str) -> None:
    """Print shell code that gives wts cd TARGET, and completion of commands, options and sessions.

    \b
    bash, zsh:  eval "$(wts shell-init bash)"     (zsh: after compinit)
    fish:       wts shell-init fish | source
    """
    app.screen.answer(init_code(Shell(shell), _table(context)))


@click.command("completion")
@shell_argument
@click.pass_context
@pass_app
def completion_command(app: App, context: click.Context, shell: str) -> None:
    """Print the completion script alone.

    \b
    bash:  wts completion bash > ~/.local/share/bash-completion/completions/wts
    zsh:   wts completion zsh > DIR/_wts          (DIR being in $fpath)
    fish:  wts completion fish > ~/.config/fish/completions/wts.fish
    """
    app.screen.answer(completion_code(Shell(shell), _table(context)))


def _table(context: click.Context) -> list[tuple[str, str, str]]:
    from worktree_sessions.cli.main import ALIASES, ENTRIES
    from worktree_sessions.cli.tree import rows

    helps = {name: entry.help for name, entry in ENTRIES.items()}
    return [(row.place, row.word, row.help) for row in rows(context.find_root().command, helps, ALIASES)]


@click.command("cd", hidden=True, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def cd_command() -> None:
    """Say how `wts cd` is switched on: a program can't change the directory of its shell."""
    raise UsageError(
        "no-shell-code",
        "wts cd needs the shell code of wts, because a program can't move the shell that runs it",
        hint='eval "$(wts shell-init bash)", or cd "$(wts path TARGET)"',
    )
