"""What is set and by whom, and the approval of commands that a repository asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.actions.project import Project
from worktree_sessions.errors import NothingToDo
from worktree_sessions.model import trust
from worktree_sessions.model.settings import TABLE, Origin, Value, in_toml, shown
from worktree_sessions.model.trust import Command


class ShownSetting(NamedTuple):
    """One line of `wts config`: `text` is the value as a settings file would say it."""

    key: str
    value: Value
    text: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class TrustPlan:
    """The exact commands that would be approved, where they come from, and whether they are already."""

    common_dir: Path
    where: str
    commands: tuple[Command, ...]
    is_trusted: bool


@dataclass(frozen=True, slots=True)
class TrustResult:
    """What was approved; `undo` withdraws it."""

    commands: tuple[Command, ...]
    where: str
    undo: str = "wts trust --revoke"


@dataclass(frozen=True, slots=True)
class RevokeResult:
    """A withdrawal; `had_any` tells whether anything had been approved."""

    common_dir: Path
    had_any: bool


def show_config(project: Project) -> list[ShownSetting]:
    """Return every setting with its value and where that came from, in the order of the table."""
    values = ((row.key, shown(row, project.settings.get(row.key))) for row in TABLE)
    return [ShownSetting(key, value, in_toml(value), project.origins[key]) for key, value in values]


def plan_trust(project: Project) -> TrustPlan:
    """Return what there is to approve; raise NothingToDo when the repository asks for no command."""
    commands = trust.repository_commands(project.settings, project.origins)
    if not commands:
        raise NothingToDo("nothing-to-trust", "the repository asks for no command")
    where = project.origins[commands[0].key].where
    common_dir = project.repository.common_dir
    return TrustPlan(common_dir, where, commands, trust.is_trusted(common_dir, commands))


def apply_trust(plan: TrustPlan) -> TrustResult:
    """Approve the commands of the plan: those that were shown, whatever the file says by now."""
    trust.approve(plan.common_dir, plan.commands)
    return TrustResult(plan.commands, plan.where)


def revoke_trust(project: Project) -> RevokeResult:
    """Withdraw every approval for the repository."""
    common_dir = project.repository.common_dir
    return RevokeResult(common_dir, trust.revoke(common_dir))
