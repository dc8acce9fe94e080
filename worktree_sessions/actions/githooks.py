"""The git hooks that warn: configuration where git can (2.54), else files that chain what was there.

What is installed is a copy beside the sessions, `<git common dir>/wts/hooks/wts-hook.sh`, so that neither an
upgrade nor the removal of the package breaks a `git push`. A hooks directory that is not the repository's
own (shared by core.hooksPath, or part of the project's files) is never written to without consent, and a hook
that somebody else put in the place of ours is never touched.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worktree_sessions.actions import hooksteps, operate
from worktree_sessions.actions.project import Project
from worktree_sessions.errors import Refused
from worktree_sessions.model.operation import Plan, Step
from worktree_sessions.outside import assets
from worktree_sessions.outside import git as git_room
from worktree_sessions.outside.git import Git

EVENTS = ("pre-push", "post-merge", "post-commit")
KEPT = ".before-wts"

# The value is a shell line, to which git adds the hook's arguments (git-hook(1) of 2.54). It asks where the
# repository is and names no path, so that a repository that was moved, or lost the script, can still push.
COMMAND = (
    'f="$(git rev-parse --path-format=absolute --git-common-dir)/wts/hooks/wts-hook.sh"; '
    'test ! -f "$f" || sh "$f" {event}'
)


class Way(enum.StrEnum):
    """How git is told of the hooks."""

    CONFIG = "config"
    FILES = "files"


class Consent(enum.Enum):
    """Whether a hooks directory that is not the repository's own may be written to (`--shared`)."""

    OWN = enum.auto()
    SHARED = enum.auto()


class HookState(enum.StrEnum):
    """What stands in a hook's place."""

    INSTALLED = "installed"
    ABSENT = "absent"
    OTHER = "other"  # somebody else's hook, and ours was never there
    REPLACED = "replaced"  # somebody else's hook, where ours was


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One event's hook: `place` is its file or its key in the config, `chained` the hook it runs first."""

    event: str
    state: HookState
    place: str
    chained: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What is installed. `needs_consent` says why the directory is not the repository's own, or None.

    `is_current` is False when the installed script is of another version of wts, None when there is none.
    """

    way: Way
    directory: Path
    hooks: tuple[Hook, ...]
    is_current: bool | None
    needs_consent: str | None

    @property
    def is_installed(self) -> bool:
        return self.is_current is not None and all(hook.state is HookState.INSTALLED for hook in self.hooks)


@dataclass(frozen=True, slots=True, kw_only=True)
class HooksChanged:
    """What install or uninstall has done; no steps when there was nothing to do."""

    plan: Plan
    after: Hooks


def status(project: Project) -> Hooks:
    """Return what is installed, and whether it still is in its place."""
    way = Way.CONFIG if git_room.has("config-hooks") else Way.FILES
    directory = ask_hooks_directory(project)
    script = hooksteps.read(_script(project))
    look = _look_at_key if way is Way.CONFIG else _look_at_file
    return Hooks(
        way=way,
        directory=directory,
        hooks=tuple(look(project, directory, event) for event in EVENTS),
        is_current=None if script is None else script == _our("wts-hook.sh"),
        needs_consent=None if way is Way.CONFIG else _why_not_ours(project, directory),
    )


def install(project: Project, consent: Consent = Consent.OWN) -> HooksChanged:
    """Install the hooks; a second time changes nothing."""
    return _apply(project, lambda: plan_install(project, consent))


def uninstall(project: Project) -> HooksChanged:
    """Take the hooks away and put back, byte for byte, what was there; a hook that replaced ours stays."""
    return _apply(project, lambda: plan_uninstall(project))


def _apply(project: Project, make_plan: Callable[[], Plan]) -> HooksChanged:
    plan = make_plan()
    if plan.steps:
        plan = operate.carry_out(project, make_plan).plan
    return HooksChanged(plan=plan, after=status(project))


# -- plans -------------------------------------------------------------------------------------


def plan_install(project: Project, consent: Consent = Consent.OWN) -> Plan:
    """Return the steps that are missing; raise Refused where a directory or a hook is not ours to touch.

    Hooks of the other way (git was upgraded, or an older one is used) go first: nothing is told twice.
    """
    found = status(project)
    steps = [*_steps_for_script(project)]
    if found.way is Way.CONFIG:
        steps += _steps_out_of_files(found.directory)
        steps += _steps_into_config(project)
    else:
        steps += _steps_out_of_config(project)
        into = _steps_into_files(found.directory)
        if into and found.needs_consent is not None and consent is not Consent.SHARED:
            raise Refused("shared-hooks", found.needs_consent, hint="wts hooks install --shared")
        steps += into
    return Plan(verb="hooks-install", session="", steps=tuple(steps))


def plan_uninstall(project: Project) -> Plan:
    """Return the steps that take away whatever is ours, of either way."""
    script = _script(project)
    steps = _steps_out_of_config(project)
    # core.hooksPath may have been set since: the repository's own directory is looked at too
    for directory in dict.fromkeys((ask_hooks_directory(project), project.repository.common_dir / "hooks")):
        steps += _steps_out_of_files(directory)
    content = hooksteps.read(script)
    if content is not None:
        steps.append(hooksteps.remove_file(script, before=content, says=f"remove {script}"))
    warnings = tuple(
        f"{hook.place} is not ours any more and stays"
        for hook in status(project).hooks
        if hook.state is HookState.REPLACED
    )
    return Plan(verb="hooks-uninstall", session="", steps=tuple(steps), warnings=warnings)


def _steps_for_script(project: Project) -> list[Step]:
    script, content = _script(project), _our("wts-hook.sh")
    before = hooksteps.read(script)
    if before == content:
        return []
    return [hooksteps.write_file(script, content, before=before, says=f"write {script}")]


def _steps_into_files(directory: Path) -> list[Step]:
    steps = []
    for event in EVENTS:
        hook, kept = directory / event, directory / (event + KEPT)
        if hooksteps.read(hook) == _our("stub.sh"):
            continue
        if os.path.lexists(hook):
            if os.path.lexists(kept):
                raise _two_hooks(hook, kept)
            steps.append(hooksteps.move_file(hook, kept, says=f"keep {hook} as {kept.name}, to run first"))
        steps.append(hooksteps.write_file(hook, _our("stub.sh"), before=None, says=f"write {hook}"))
    return steps


def _two_hooks(hook: Path, kept: Path) -> Refused:
    return Refused(
        "two-hooks",
        f"{hook} replaced the one of wts, and {kept.name} is still there",
        hint=f"keep one of them: mv {kept} {hook}.old",
    )


def _steps_out_of_files(directory: Path) -> list[Step]:
    steps = []
    for event in EVENTS:
        hook, kept = directory / event, directory / (event + KEPT)
        if hooksteps.read(hook) == _our("stub.sh"):
            steps.append(hooksteps.remove_file(hook, before=_our("stub.sh"), says=f"remove {hook}"))
        elif os.path.lexists(hook):
            continue
        if os.path.lexists(kept):
            steps.append(hooksteps.move_file(kept, hook, says=f"put {hook} back"))
    return steps


def _steps_into_config(project: Project) -> list[Step]:
    return _steps_of_config(project, {key: value for event in EVENTS for key, value in _keys(event).items()})


def _steps_out_of_config(project: Project) -> list[Step]:
    return _steps_of_config(project, {key: None for event in EVENTS for key in _keys(event)})


def _steps_of_config(project: Project, wanted: dict[str, str] | dict[str, None]) -> list[Step]:
    steps = []
    for key, value in wanted.items():
        before = hooksteps.ask_config(project, key)
        if before != value:
            says = f"unset {key}" if value is None else f"set {key}"
            steps.append(hooksteps.set_config(key, value=value, before=before, says=says))
    return steps


# -- looking -----------------------------------------------------------------------------------


def _keys(event: str) -> dict[str, str]:
    # a name that is itself an event is a fatal error to git (git-config(1), hook.<friendly-name>.event)
    name = f"hook.wts-{event}"
    return {f"{name}.event": event, f"{name}.command": COMMAND.format(event=event)}


def _look_at_key(project: Project, _: Path, event: str) -> Hook:
    found = {key: hooksteps.ask_config(project, key) for key in _keys(event)}
    state = HookState.INSTALLED if found == _keys(event) else HookState.ABSENT
    if state is HookState.ABSENT and any(found.values()):
        state = HookState.REPLACED
    return Hook(event=event, state=state, place=f"hook.wts-{event}", chained=None)


def _look_at_file(project: Project, directory: Path, event: str) -> Hook:
    hook, kept = directory / event, directory / (event + KEPT)
    return Hook(
        event=event,
        state=_state_of_file(hook, kept, _script(project)),
        place=str(hook),
        chained=kept if os.path.lexists(kept) else None,
    )


def _state_of_file(hook: Path, kept: Path, script: Path) -> HookState:
    if hooksteps.read(hook) == _our("stub.sh"):
        return HookState.INSTALLED
    if not os.path.lexists(hook):
        return HookState.ABSENT
    return HookState.REPLACED if os.path.lexists(kept) or script.exists() else HookState.OTHER


def ask_hooks_directory(project: Project) -> Path:
    """Return where git looks for hook files; a relative core.hooksPath counts from the main worktree."""
    git = Git(project.home)
    return Path(git.line("rev-parse", "--path-format=absolute", "--git-path", "hooks"))


def _why_not_ours(project: Project, directory: Path) -> str | None:
    real = Path(os.path.realpath(directory))
    if real.is_relative_to(os.path.realpath(project.repository.common_dir)):
        return None
    main = project.main
    if main is None or not real.is_relative_to(os.path.realpath(main)):
        return f"the hooks directory {directory} may serve other repositories too"
    if Git(main).fields("--literal-pathspecs", "ls-files", "-z", "--", str(real)):
        return f"the hooks directory {directory} is tracked: what is written there is the whole project's"
    return f"the hooks directory {directory} lies among the project's files"


def _script(project: Project) -> Path:
    return project.store.root / "hooks" / "wts-hook.sh"


def _our(name: str) -> bytes:
    return (assets.hooks_dir() / "git" / name).read_bytes()
