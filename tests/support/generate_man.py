"""Writes man/wts.1 anew from the help of the commands: python tests/support/generate_man.py."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from worktree_sessions.cli import main  # noqa: E402  (found beside the tests, installed or not)
from worktree_sessions.cli.tree import walk  # noqa: E402
from worktree_sessions.errors import Exit  # noqa: E402

PAGE = ROOT / "man" / "wts.1"

SAME = {
    "--json": "Answer in JSON, in one stable envelope.",
    "--dry-run": "Show the steps, change nothing.",
    "--yes": "Answer yes to questions; consents to no danger.",
}

EXITS = {
    Exit.DONE: "Done.",
    Exit.FAILED: "Failed.",
    Exit.USAGE: "Wrong usage.",
    Exit.REFUSED: "Refused, to protect work; nothing changed.",
    Exit.CONFLICT: "Stopped or held back by a conflict.",
    Exit.RED: "Held back by a red test.",
    Exit.NOTHING: "Nothing to do.",
    Exit.BUSY: "Busy: another wts holds the lock.",
    Exit.BUG: "A bug in wts; the log with the traceback is named.",
    Exit.INTERRUPTED: "Interrupted.",
}

TAIL = r"""
.SH FILES
.TP
.I .wts.toml
The repository's proposals for settings and set-up commands; they run after
.BR "wts trust" .
.TP
.I $XDG_CONFIG_HOME/wts/config.toml
The user's own settings;
.I ~/.config/wts/config.toml
when the variable is not set.
.TP
.I GIT_COMMON_DIR/wts/
What wts knows of its sessions, and what closed ones left: records, trash.
.TP
.I refs/wts/
Snapshots of uncommitted work, and commits that no branch holds any more.
.SH ENVIRONMENT
.TP
.B WTS_*
Every setting can be set by a variable;
.B wts config \-\-origin
shows where each value comes from.
.TP
.B NO_COLOR
Colours nothing.
.SH EXAMPLES
.TP
.B wts new auth\-frontend \-p \(dqBuild the login form\(dq
A session with a worktree, a branch and a Claude of its own.
.TP
.B wts
Who needs an answer, who is done, what is not committed.
.TP
.B wts close 1 && wts restore auth\-frontend
Away, and back again with every file.
.TP
.B eval \(dq$(wts shell\-init bash)\(dq
Gives the shell
.B wts cd 1
and completion.
.SH SEE ALSO
.BR git (1),
.BR git\-worktree (1)
"""


def man_page() -> str:
    """Return the page as it should be."""
    root = main.wts
    lines = [
        '.\\" Made by tests/support/generate_man.py from the help of the commands.',
        '.TH WTS 1 "" "wts" "User commands"',
        ".SH NAME",
        r"wts \- several Claude Code sessions on one repository",
        ".SH SYNOPSIS",
        r".B wts",
        r"[\fIOPTIONS\fR] [\fICOMMAND\fR] [\fIARGUMENTS\fR]",
        ".br",
        r".B git wts",
        r"[\fIOPTIONS\fR] [\fICOMMAND\fR] [\fIARGUMENTS\fR]",
        ".SH DESCRIPTION",
        *text(root),
        ".SH OPTIONS",
        *options(root, "wts"),
        ".PP",
        "Many commands take these:",
        *(line for name, says in SAME.items() for line in (".TP", rf"\fB{escaped(name)}\fR", says)),
        ".SH COMMANDS",
        *commands(root),
        ".SH EXIT STATUS",
    ]
    for status, meaning in EXITS.items():
        lines += [".TP", f".B {status.value}", meaning]
    return "\n".join(lines) + TAIL


def commands(root: click.Group) -> Iterator[str]:
    """Yield each command under the phase of its day."""
    phases = {name: phase for phase, names in main.PHASES.items() for name in names}
    begun = ""
    for node in walk(root, "wts", main.ALIASES):
        phase = phases[node.path.split()[1]]
        if phase != begun:
            begun = phase
            yield f".SS {phase}"
        context = click.Context(node.command, info_name=node.path)
        usage = " ".join(node.command.collect_usage_pieces(context)).replace("[OPTIONS]", "").strip()
        yield ".TP"
        yield rf"\fB{escaped(node.path)}\fR {escaped(usage)}".rstrip()
        yield from text(node.command)
        if node.aliases:
            yield f"Also: {', '.join(escaped('wts ' + alias) for alias in node.aliases)}."
        rows = list(options(node.command, node.path))
        if rows:
            yield from (".RS", *rows, ".RE")


def text(command: click.Command) -> Iterator[str]:
    """Yield the help of a command: paragraphs, and what is to stay as it stands."""
    begun = False
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")):
        if begun:
            yield ".sp" if paragraph else ""
        begun = True
        if paragraph.startswith("\b"):
            yield ".nf"
            yield from (escaped(line) for line in paragraph.splitlines()[1:])
            yield ".fi"
        else:
            yield from (escaped(line) for line in textwrap.wrap(paragraph, 72, break_on_hyphens=False))


def options(command: click.Command, path: str) -> Iterator[str]:
    """Yield the options, those that mean the same everywhere in one line."""
    context = click.Context(command, info_name=path, **command.context_settings)
    same = []
    for option in command.get_params(context):
        record = option.get_help_record(context) if isinstance(option, click.Option) else None
        if record is None or (path != "wts" and "--help" in option.opts):
            continue
        if option.opts[-1] in SAME:
            same.append(option.opts[-1])
        else:
            yield from (".TP", rf"\fB{escaped(record[0])}\fR")
            yield from (escaped(line) for line in textwrap.wrap(record[1], 72, break_on_hyphens=False))
    if same:
        yield from (".TP", rf"\fB{escaped(', '.join(same))}\fR", "See OPTIONS.")


def escaped(line: str) -> str:
    """Return text as roff takes it: backslashes and hyphens plain, a first dot or quote no request."""
    line = line.replace("\\", r"\e").replace("-", r"\-").replace("↑", r"\(ua").replace("↓", r"\(da")
    return rf"\&{line}" if line.startswith((".", "'")) else line


if __name__ == "__main__":
    PAGE.write_text(man_page(), encoding="utf-8")
