"""The command `wts`: its commands by the phase of the day, each imported only when it is called."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import NamedTuple

import click

from worktree_sessions import __version__
from worktree_sessions.cli.app import App
from worktree_sessions.views.console import Color


class Entry(NamedTuple):
    """Where a command lives, and its line in `wts --help`."""

    module: str
    help: str


PHASES: dict[str, dict[str, Entry]] = {
    "Morning": {
        "new": Entry("morning", "Make a session: branch, worktree, Claude inside."),
        "adopt": Entry("morning", "Take over a worktree that was made by hand."),
        "open": Entry("morning", "Go to a session's Claude, or resume it; --all after a restart."),
    },
    "Working": {
        "list": Entry("working", "Show every session and its state (also: ls, or plain wts)."),
        "why": Entry("working", "Show why a session is in its state: the facts."),
        "next": Entry("attention", "Go to the session that has waited longest for you."),
        "watch": Entry("board", "Show the list live, with keys."),
        "check-in": Entry("checkin", "Show what is new since the last check-in."),
        "send": Entry("attention", "Give a session's Claude a prompt."),
        "notify": Entry("notices", "Tell who needs you; --test tries every channel."),
        "statusline": Entry("checkin", "Print one line, for Claude's status line or a prompt."),
        "path": Entry("working", "Print a session's worktree, for cd."),
    },
    "Midday": {
        "merge-ready": Entry("merge", "Bring the finished sessions home together."),
        "ready": Entry("verdicts", "Say that a session is ready to be merged."),
        "hold": Entry("verdicts", "Hold a session back, with a reason."),
        "resolve": Entry("resolve", "Have a session's Claude settle its conflict."),
        "radar": Entry("radar", "Show who would conflict with whom."),
        "sync": Entry("sync", "Bring the moved parent into its sessions."),
        "undo": Entry("history", "Move the branches of an operation back."),
        "log": Entry("history", "Show what was done, and which branches it moved."),
    },
    "Wrap-up": {
        "close": Entry("wrapup", "Remove a session's worktree, keep its work (also: rm)."),
        "restore": Entry("wrapup", "Bring a closed or lost session back."),
        "hooks": Entry("hooks", "Git hooks that warn about unsaved work."),
    },
    "Repair": {
        "doctor": Entry("repair", "Find what is wrong, and mend it."),
        "setup": Entry("repair", "Run a session's set-up commands again."),
        "config": Entry("repair", "Show the settings and where each comes from."),
        "trust": Entry("repair", "Approve the set-up commands of this repository."),
    },
    "Getting started": {
        "demo": Entry("tour", "Try it all on a throw-away repository."),
        "shell-init": Entry("tour", "Shell code for wts cd and completion."),
        "completion": Entry("tour", "Completion script for bash, zsh or fish."),
    },
    "Internal": {
        "launch": Entry("internal", "Start Claude in a session and wait for it."),
        "names": Entry("internal", "Print what completion needs."),
        "claude-worktree": Entry("internal", "Answer the worktree hooks of Claude."),
        "cd": Entry("tour", "Say how the shell learns it."),
    },
}
ENTRIES = {name: entry for commands in PHASES.values() for name, entry in commands.items()}
ALIASES = {"ls": "list", "add": "new", "rm": "close"}
HIDDEN_PHASE = "Internal"


class Phases(click.Group):
    """A group whose commands are imported when they are called; a wrong name gets its nearest neighbour."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for phase, commands in PHASES.items() if phase != HIDDEN_PHASE for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = ALIASES.get(cmd_name, cmd_name)
        entry = ENTRIES.get(name)
        if entry is None:
            return None
        module = importlib.import_module(f"worktree_sessions.cli.{entry.module}")
        command: click.Command = getattr(module, name.replace("-", "_") + "_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            name, command, rest = super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], [*ENTRIES, *ALIASES], n=1)
            meant = f"; did you mean wts {near[0]}?" if near else ""
            raise click.UsageError(f"no command {args[0]!r}{meant}", ctx) from error
        ctx.ensure_object(App).command = command.name or name or "wts" if command else "wts"
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for phase, commands in PHASES.items():
            if phase != HIDDEN_PHASE:
                with formatter.section(phase):
                    formatter.write_dl([(name, entry.help) for name, entry in commands.items()], col_max=14)


def _change_directory(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    directory = Path(value)
    if not directory.is_dir():
        raise click.BadParameter(f"{value} is not a directory")
    context.ensure_object(App).directory = directory.resolve()


def _set_color(context: click.Context, _: click.Parameter, value: str) -> None:
    context.ensure_object(App).color = Color(value)


@click.group(
    cls=Phases, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option(
    "-C",
    "directory",
    metavar="DIR",
    expose_value=False,
    is_eager=True,
    callback=_change_directory,
    help="Work as if started in DIR.",
)
@click.option(
    "--color",
    type=click.Choice([c.value for c in Color]),
    default="auto",
    expose_value=False,
    callback=_set_color,
    help="When to colour (NO_COLOR is obeyed).",
)
@click.version_option(__version__, "-V", "--version", message="wts %(version)s")
@click.pass_context
def wts(context: click.Context) -> None:
    """Several Claudes on one repository: none forgotten, nothing lost.

    A TARGET is a session's number, its name or a unique beginning of it, its branch or its path; . is the session
    of this directory. Without a command, wts lists the sessions.
    """
    if context.invoked_subcommand is None:
        command = wts.get_command(context, "list")
        assert command is not None
        context.ensure_object(App).command = "list"
        context.invoke(command)
