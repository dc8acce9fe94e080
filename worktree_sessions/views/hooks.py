"""What the git hooks look like: a table of what is installed, receipts, JSON data."""

from __future__ import annotations

import os
from typing import Any

from worktree_sessions.actions.githooks import Hook, Hooks, HooksChanged, HookState, Way
from worktree_sessions.actions.worktreehooks import WorktreeHooks, WorktreeHooksChanged
from worktree_sessions.views.console import Ink, clean, paint
from worktree_sessions.views.receipts import Receipt

STATES = {
    HookState.INSTALLED: ("✓", "installed"),
    HookState.ABSENT: ("○", "not installed"),
    HookState.OTHER: ("○", "not installed, another hook is there"),
    HookState.REPLACED: ("✗", "another hook took its place"),
}
BROKEN = {
    None: "the script of the hooks is missing",
    False: "the script of the hooks is of another version of wts",
}


def hooks_text(found: Hooks, *, color: bool) -> str:
    """Return what is installed, a line a hook, and the command that would change it."""
    where = "in git's configuration" if found.way is Way.CONFIG else f"in {found.directory}"
    lines = [paint(clean(f"git hooks, {where}"), Ink.STRONG, color=color)]
    lines += [_line(hook, color=color) for hook in found.hooks]
    if _is_begun(found) and found.is_current is not True:
        lines.append(f"  {paint('✗', Ink.WARNING, color=color)} {BROKEN[found.is_current]}")
    if found.needs_consent is not None and not found.is_installed:
        lines.append(f"  {clean(found.needs_consent)}")
    command = "wts hooks uninstall" if found.is_installed and found.is_current else _install(found)
    lines.append(f"{paint('next:', Ink.HINT, color=color)} {command}")
    return "\n".join(lines)


def _line(hook: Hook, *, color: bool) -> str:
    symbol, words = STATES[hook.state]
    ink = Ink.DONE if hook.state is HookState.INSTALLED else Ink.FAINT
    if hook.state is HookState.INSTALLED and hook.chained is not None:
        words += f", after {hook.chained.name}"
    return f"  {paint(symbol, ink, color=color)} {hook.event:<12} {clean(words)}"


def _is_begun(found: Hooks) -> bool:
    return any(hook.state is HookState.INSTALLED for hook in found.hooks)


def _install(found: Hooks) -> str:
    return "wts hooks install --shared" if found.needs_consent else "wts hooks install"


def installed_receipt(done: HooksChanged) -> Receipt:
    """Return the receipt of `wts hooks install`."""
    what = "git hooks are installed" if done.plan.steps else "git hooks are installed already"
    chained = [hook for hook in done.after.hooks if hook.chained is not None]
    facts = [
        *(step.says for step in done.plan.steps),
        *(f"{os.path.basename(hook.place)} runs {_name(hook)} first" for hook in chained),
    ]
    return Receipt(what, facts=tuple(facts), warnings=done.plan.warnings, undo="wts hooks uninstall")


def _name(hook: Hook) -> str:
    return hook.chained.name if hook.chained is not None else hook.event


def uninstalled_receipt(done: HooksChanged) -> Receipt:
    """Return the receipt of `wts hooks uninstall`."""
    what = "git hooks are gone" if done.plan.steps else "no git hooks of wts were there"
    return Receipt(
        what,
        facts=tuple(step.says for step in done.plan.steps),
        warnings=done.plan.warnings,
        undo=_install(done.after) if done.plan.steps else None,
    )


def hooks_facts(found: Hooks) -> dict[str, Any]:
    """Return the data of `wts hooks status --json`."""
    return {
        "way": found.way.value,
        "directory": str(found.directory),
        "installed": found.is_installed,
        "current": found.is_current,
        "needs_consent": found.needs_consent,
        "hooks": [
            {
                "event": hook.event,
                "state": hook.state.value,
                "place": hook.place,
                "chained": None if hook.chained is None else str(hook.chained),
            }
            for hook in found.hooks
        ],
    }


def changed_facts(done: HooksChanged) -> dict[str, Any]:
    """Return the data of `wts hooks install --json` and `uninstall --json`."""
    steps = [step.says for step in done.plan.steps]
    return {"steps": steps, "warnings": list(done.plan.warnings), **hooks_facts(done.after)}


def worktrees_line(found: WorktreeHooks | None, *, color: bool) -> tuple[str, ...]:
    """Return the line about `claude -w`, when its hooks are installed."""
    if found is None or not found.is_begun:
        return ()
    symbol, words, ink = ("✓", "makes a session", Ink.DONE)
    if not found.is_installed:
        symbol, words, ink = ("✗", "is of another wts: wts hooks install --claude-worktrees", Ink.WARNING)
    return (f"  {paint(symbol, ink, color=color)} claude -w    {clean(words)}",)


def worktrees_receipt(done: WorktreeHooksChanged) -> Receipt:
    """Return the receipt of `wts hooks install --claude-worktrees`, and of its uninstall."""
    facts, changed = tuple(step.says for step in done.plan.steps), bool(done.plan.steps)
    if done.after.is_installed:
        what = "claude -w NAME makes a session" + ("" if changed else " already")
        undo = "wts hooks uninstall --claude-worktrees"
        return Receipt(what, facts=facts, warnings=done.plan.warnings, undo=undo)
    what = "claude -w NAME is Claude's own again" if changed else "no worktree hooks of wts were there"
    undo_if = "wts hooks install --claude-worktrees" if changed else None
    return Receipt(what, facts=facts, warnings=done.plan.warnings, undo=undo_if)


def worktrees_facts(found: WorktreeHooks | None) -> dict[str, Any] | None:
    """Return what `wts hooks --json` tells of `claude -w`; None in a bare repository."""
    return None if found is None else {"file": str(found.file), "installed": found.is_installed}
