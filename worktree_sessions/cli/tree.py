"""What can be typed, as data: for shell completion and the man page. Imports every command, so only for these."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import click

CLOSED_TARGETS = frozenset({"wts restore"})


class Node(NamedTuple):
    """One command: `path` as it is typed (`wts hooks install`), `aliases` its other names."""

    path: str
    command: click.Command
    aliases: tuple[str, ...] = ()


class Row(NamedTuple):
    """One word that may follow at a place: `wts close` is one, and so is `wts new --role`.

    A word that begins with @ stands for what is looked up: @session, @closed, @directory, @file, and @any for a
    value that nobody can guess.
    """

    place: str
    word: str
    help: str = ""


def walk(command: click.Command, path: str, aliases: dict[str, str]) -> Iterator[Node]:
    """Yield the commands below a group, in the order of its help; those that are hidden are left out."""
    if not isinstance(command, click.Group):
        return
    context = click.Context(command, info_name=path)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        if inner is None or inner.hidden:
            continue
        also = tuple(alias for alias, meant in aliases.items() if meant == name)
        yield Node(f"{path} {name}", inner, also)
        yield from walk(inner, f"{path} {name}", {})


def rows(root: click.Command, helps: dict[str, str], aliases: dict[str, str]) -> list[Row]:
    """Return all that completion has to know; `helps` has the line of each command of the root."""
    found = [
        *(row._replace(help=helps[row.word].rstrip(".")) for row in _commands(root, "wts")),
        *_parameters(root, "wts"),
    ]
    for node in walk(root, "wts", aliases):
        above = node.path.rpartition(" ")[0]
        for path in (node.path, *(f"{above} {alias}" for alias in node.aliases)):
            found += [*_commands(node.command, path), *_parameters(node.command, path)]
    return list(dict.fromkeys(found))


def _commands(command: click.Command, path: str) -> Iterator[Row]:
    if not isinstance(command, click.Group):
        return
    context = click.Context(command, info_name=path)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        if inner is not None and not inner.hidden:
            yield Row(path, name, inner.get_short_help_str(60).rstrip("."))


def _parameters(command: click.Command, path: str) -> Iterator[Row]:
    for parameter in command.get_params(click.Context(command, info_name=path, **command.context_settings)):
        if isinstance(parameter, click.Option):
            yield from _option(parameter, path)
        else:
            yield from _values(parameter, path, path)


def _option(option: click.Option, path: str) -> Iterator[Row]:
    if option.hidden:
        return
    long = [name for name in (*option.opts, *option.secondary_opts) if name.startswith("--")]
    for name in long or option.opts:
        yield Row(path, name, (option.help or "").rstrip("."))
    if not option.is_flag:
        for name in option.opts:
            yield from _values(option, path, f"{path} {name}")


def _values(parameter: click.Parameter, path: str, place: str) -> Iterator[Row]:
    if isinstance(parameter.type, click.Choice):
        yield from (Row(place, str(choice)) for choice in parameter.type.choices)
    elif isinstance(parameter.type, click.Path) or parameter.metavar == "DIR":
        yield Row(place, "@directory")
    elif isinstance(parameter, click.Argument) and (parameter.name or "").startswith("target"):
        yield Row(place, "@closed" if path in CLOSED_TARGETS else "@session")
    else:
        yield Row(place, "@any")
