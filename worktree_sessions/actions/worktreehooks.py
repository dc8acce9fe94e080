"""The opt-in that makes `claude -w NAME` a session: two hooks in the main worktree's `.claude/settings.local.json`.

That file is the user's own, so it is written to only when `--claude-worktrees` asks for just that: merged, every other
key kept, replaced in one step. While nobody has changed it since, uninstall puts back the very bytes that were there.
"""

from __future__ import annotations

import base64
import json
import shlex
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worktree_sessions.actions import hooksteps, operate
from worktree_sessions.actions.githooks import Consent
from worktree_sessions.actions.project import Project
from worktree_sessions.errors import Refused, WtsError
from worktree_sessions.model.operation import Plan, Step
from worktree_sessions.outside.git import Git

SETTINGS = Path(".claude") / "settings.local.json"
EVENTS = {"WorktreeCreate": "create", "WorktreeRemove": "remove"}
SECONDS = 600  # the repository's set-up commands run within it
OURS = "-m worktree_sessions claude-worktree"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorktreeHooks:
    """What is installed; one that `is_begun` only lacks a part, or is of another wts."""

    file: Path
    is_installed: bool
    is_begun: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorktreeHooksChanged:
    """What install or uninstall has done; no steps when there was nothing to do."""

    plan: Plan
    after: WorktreeHooks


def status(project: Project) -> WorktreeHooks | None:
    """Return what is installed, None where there can be nothing: a bare repository has no main worktree."""
    if project.main is None:
        return None
    file = project.main / SETTINGS
    try:
        found = _our_commands(_settings(file, hooksteps.read(file)))
    except WtsError:
        found = {}
    return WorktreeHooks(file=file, is_installed=found == _commands(), is_begun=bool(found))


def install(project: Project, consent: Consent = Consent.OWN) -> WorktreeHooksChanged:
    """Install the hooks; a second time changes nothing."""
    return _apply(project, lambda: plan_install(project, consent))


def uninstall(project: Project) -> WorktreeHooksChanged:
    """Take the hooks away; where the file was not changed since, it becomes byte for byte what it was."""
    return _apply(project, lambda: plan_uninstall(project))


def _apply(project: Project, make_plan: Callable[[], Plan]) -> WorktreeHooksChanged:
    plan = make_plan()
    if plan.steps:
        plan = operate.carry_out(project, make_plan).plan
    after = status(project)
    assert after is not None  # make_plan has refused a bare repository
    return WorktreeHooksChanged(plan=plan, after=after)


def plan_install(project: Project, consent: Consent = Consent.OWN) -> Plan:
    """Return the steps that are missing; raise Refused where the file is not ours to touch."""
    file = _file(project)
    before = hooksteps.read(file)
    settings = _settings(file, before)
    if _our_commands(settings) == _commands():
        return Plan(verb="hooks-install", session="", steps=())
    _refuse_foreign(file, settings)
    if consent is not Consent.SHARED and Git(file.parent.parent).fields(
        "ls-files", "-z", "--", str(SETTINGS)
    ):
        raise Refused(
            "shared-settings",
            f"{file} is tracked: what is written there is the whole project's",
            hint="wts hooks install --claude-worktrees --shared",
        )
    original = _unpack(_kept(project)["before"]) if _our_commands(settings) and _kept(project) else before
    without = _without_ours(settings)
    hooks = {**without.get("hooks", {}), **{event: _entry(command) for event, command in _commands().items()}}
    after = _to_bytes({**without, "hooks": hooks})
    note = json.dumps({"before": _pack(original), "after": _pack(after)}).encode() + b"\n"
    steps = (
        _write(_note(project), note, f"keep {file.name} as it is now, for uninstall"),
        _write(file, after, f"write the hooks {' and '.join(EVENTS)} into {file}"),
    )
    return Plan(verb="hooks-install", session="", steps=steps, warnings=_untracked(project, file))


def plan_uninstall(project: Project) -> Plan:
    """Return the steps that take away what is ours."""
    file, steps = _file(project), list[Step]()
    current, kept = hooksteps.read(file), _kept(project)
    if current is not None and _our_commands(_settings(file, current)):
        if kept and current == _unpack(kept["after"]):
            wanted, says = _unpack(kept["before"]), f"put {file} back as it was"
        else:
            wanted, says = _to_bytes(_without_ours(_settings(file, current))), f"take the hooks out of {file}"
        steps.append(
            hooksteps.remove_file(file, before=current, says=f"remove {file}, which was not there")
            if wanted is None
            else _write(file, wanted, says)
        )
    note = hooksteps.read(_note(project))
    if note is not None:
        steps.append(hooksteps.remove_file(_note(project), before=note, says="forget how it was"))
    return Plan(verb="hooks-uninstall", session="", steps=tuple(steps))


# -- the file ----------------------------------------------------------------------------------


def _file(project: Project) -> Path:
    if project.main is None:
        raise WtsError(
            "no-main-worktree",
            f"{project.home} is bare: it has no main worktree whose Claude could be told",
            hint="wts new NAME",
        )
    return project.main / SETTINGS


def _note(project: Project) -> Path:
    return project.store.root / "hooks" / "claude-worktrees.json"


def _kept(project: Project) -> dict[str, Any]:
    try:
        kept = json.loads(hooksteps.read(_note(project)) or b"{}")
    except ValueError:
        return {}
    return kept if isinstance(kept, dict) and {"before", "after"} <= set(kept) else {}


def _settings(file: Path, content: bytes | None) -> dict[str, Any]:
    """Return the settings; raise Refused when they are none, or of a shape that a merge could spoil."""
    if content is None:
        if file.is_symlink() or file.exists():
            raise _unusable(file, "is no regular file")
        return {}
    try:
        settings = json.loads(content)
    except ValueError as error:
        raise _unusable(file, f"is not valid JSON ({error})") from error
    hooks = settings.get("hooks", {}) if isinstance(settings, dict) else None
    if not isinstance(hooks, dict) or not all(isinstance(value, list) for value in hooks.values()):
        raise _unusable(file, "has no settings of the known shape")
    return dict(settings)


def _unusable(file: Path, why: str) -> Refused:
    return Refused("odd-settings", f"{file} {why}; it is left as it is", hint=f"mend it first: {file}")


def _commands() -> dict[str, str]:
    # -P: the directory it runs in must not decide what Python imports; exec: our parent is Claude itself
    python = shlex.quote(sys.executable)
    return {event: f"exec {python} -P {OURS} {word}" for event, word in EVENTS.items()}


def _entry(command: str) -> list[dict[str, Any]]:
    return [{"hooks": [{"type": "command", "command": command, "timeout": SECONDS}]}]


def _our_commands(settings: dict[str, Any]) -> dict[str, str]:
    hooks = settings.get("hooks", {})
    return {event: text for event in EVENTS for text in _texts(hooks.get(event, [])) if OURS in text}


def _texts(matchers: list[Any]) -> list[str]:
    """Return the commands of one event's hooks."""
    inner = [matcher.get("hooks") for matcher in matchers if isinstance(matcher, dict)]
    hooks = [hook for listed in inner if isinstance(listed, list) for hook in listed]
    return [str(hook.get("command", "")) for hook in hooks if isinstance(hook, dict)]


def _without_ours(settings: dict[str, Any]) -> dict[str, Any]:
    hooks = {
        event: left
        for event, matchers in settings.get("hooks", {}).items()
        if (left := [one for one in matchers if not any(OURS in text for text in _texts([one]))])
        or event not in EVENTS
    }
    rest = {key: value for key, value in settings.items() if key != "hooks"}
    return {**rest, "hooks": hooks} if hooks else rest


def _refuse_foreign(file: Path, settings: dict[str, Any]) -> None:
    """Two hooks would make two worktrees for one name."""
    hooks = _without_ours(settings).get("hooks", {})
    taken = [event for event in EVENTS if hooks.get(event)]
    if taken:
        raise Refused(
            "other-hook",
            f"{file} has a hook of its own for {' and '.join(taken)}",
            hint=f"take it out first: {file}",
        )


def _untracked(project: Project, file: Path) -> tuple[str, ...]:
    assert project.main is not None
    if Git(project.main).ask("check-ignore", "-q", "--", str(SETTINGS)).status == 0:
        return ()
    return (f"{file} is not ignored by git: echo /{SETTINGS} >> .git/info/exclude",)


def _write(path: Path, content: bytes, says: str) -> Step:
    before = hooksteps.read(path)
    mode = 0o644 if before is None else stat.S_IMODE(path.stat().st_mode)
    return hooksteps.write_file(path, content, before=before, says=says, mode=mode)


def _to_bytes(settings: dict[str, Any]) -> bytes:
    return (json.dumps(settings, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")


def _pack(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def _unpack(packed: str | None) -> bytes | None:
    return None if packed is None else base64.b64decode(packed)
