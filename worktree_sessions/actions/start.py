"""Where a session's Claude is started, and how one gets back to it: a terminal, a tmux window, its own background."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from worktree_sessions.actions import launch, setup
from worktree_sessions.actions.asking import running_claude
from worktree_sessions.actions.messages import add_kept, forget
from worktree_sessions.actions.new import Made
from worktree_sessions.actions.project import Project
from worktree_sessions.actions.target import find_worktree
from worktree_sessions.errors import Refused, UsageError, WtsError
from worktree_sessions.model.events import append_launch, append_looked
from worktree_sessions.model.session import Session, Setup
from worktree_sessions.outside import claude, environment, locks, processes, terminal, tmux
from worktree_sessions.outside.processes import Process

REGISTERS_WITHIN = 5.0  # seconds from `claude --bg` to its registry file; 0.5 to 1.7 were seen

# What a tmux server that is older than our shell would not know. No key and no token: a command line can be read.
HANDED_OVER = (
    *(
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "XDG_CONFIG_HOME",
        "XDG_STATE_HOME",
        "XDG_DATA_HOME",
        "SSH_AUTH_SOCK",
    ),
    *("CLAUDE_CONFIG_DIR", "ANTHROPIC_BASE_URL", "ANTHROPIC_MODEL", "CLAUDE_CODE_USE_BEDROCK", "AWS_PROFILE"),
    *("CLAUDE_CODE_USE_VERTEX", "AWS_REGION", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "NODE_EXTRA_CA_CERTS"),
)


class Way(enum.StrEnum):
    """How the user gets to a Claude that runs."""

    ATTACHED = "attached"  # it was shown on this terminal
    SELECTED = "selected"  # its window is, in the tmux that we are in
    COMMAND = "command"  # by a command


class Place(enum.StrEnum):
    """Where Claude runs."""

    TERMINAL = "terminal"
    TMUX = "tmux"
    BACKGROUND = "background"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What came of starting Claude: `says` in words, `next` how to get to it, `warnings` why not.

    `way` is how the user was brought to one that ran.
    """

    place: Place
    is_running: bool
    says: str = ""
    next: str | None = None
    warnings: tuple[str, ...] = ()
    way: Way | None = None


def set_up(project: Project, made: Made) -> Made:
    """Run the set-up commands of a new session, where there are any; no lock is held meanwhile."""
    if made.session.setup is Setup.NONE:
        return made
    result = setup.run_setup(project, made.session)
    return dataclasses.replace(made, session=result.session, setup_log=result.log)


def decide_place(project: Project) -> Place:
    """Return where Claude is to run: as set, but nowhere when a terminal is wanted and there is none."""
    place = Place(project.settings.start)
    return Place.NONE if place is Place.TERMINAL and not terminal.is_interactive() else place


def start(project: Project, session: Session, place: Place, prompt: str | None = None) -> Started:
    """Do as `begin`; where Claude can't be started that is a warning, no failure: the session can be opened later."""
    try:
        return begin(project, session, place, prompt)
    except WtsError as error:
        return Started(
            place=place, is_running=False, warnings=(f"Claude is not started: {_with_cure(error)}",)
        )


def begin(project: Project, session: Session, place: Place, prompt: str | None = None) -> Started:
    """Start Claude in a tmux window or in its background; for TERMINAL see `launch`, for NONE nothing happens."""
    find_worktree(session)
    if place is Place.NONE:
        return Started(place=place, is_running=False)
    launch.find_claude(project)
    if place is Place.TERMINAL:
        raise UsageError("no-terminal", "there is no terminal here", hint=f"wts open {session.number} --tmux")
    launch.refuse_second(project, session)
    run = _in_tmux if place is Place.TMUX else _in_background
    return run(project, session, prompt)


def why_not(project: Project) -> WtsError | None:
    """Return why Claude can't be started at all, None when it can."""
    try:
        launch.find_claude(project)
    except WtsError as error:
        return error
    return None


def _with_cure(error: WtsError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message


def _in_tmux(project: Project, session: Session, prompt: str | None) -> Started:
    argv = [sys.executable, "-P", "-m", "worktree_sessions", "-C", str(project.home), "launch", "--wait"]
    left = launch.leave_prompt(project, session, prompt) if prompt else None
    if left is not None:
        argv += ["--prompt-file", str(left)]
    env = {key: value for key in HANDED_OVER if (value := environment.variable(key)) is not None}
    env |= {
        key: value
        for key, value in environment.variables("WTS_").items()
        if key not in environment.SESSION_VARIABLES
    }
    try:
        tmux.open_window(
            [*argv, "--", session.name],
            title=session.display,
            group=f"wts-{project.name}",
            cwd=project.home,
            env=env,
        )
    except WtsError:
        if left is not None:
            left.unlink()
        raise
    return Started(
        place=Place.TMUX,
        is_running=True,
        says="Claude starts in a tmux window",
        next=f"wts open {session.number}",
    )


def _in_background(project: Project, session: Session, prompt: str | None) -> Started:
    program = launch.find_claude(project)
    can = claude.features(program)
    if not can.has("--bg"):
        raise WtsError(
            "no-background", f"{program} has no background sessions", hint="update it, or use --tmux"
        )
    if launch.is_held(project, session):
        # with any option beside it, `--bg --resume` goes on with a copy of the conversation (seen in 2.1.330)
        raise Refused(
            "held",
            f"Claude's background begins a new conversation, and {session.name} has one to go on with",
            hint=f"wts open {session.number}",
            session=session.name,
        )
    variables = session.environment(project.home)
    given = add_kept(project, session, prompt or session.prompt)
    argv = claude.background_argv(
        program,
        can,
        variables=variables,
        name=session.display,
        plugin_dir=launch.prepare_plugin(project, session),
        prompt=given.text,
        focus=session.focus,
    )
    at = time.time()  # before the first event
    done = processes.run(argv, cwd=session.worktree, env=environment.for_session(variables), timeout=60)
    job = claude.background_id((done.out + done.err).decode("utf-8", "replace"))
    if done.status != 0 or job is None:
        said = (done.err or done.out).decode("utf-8", "replace").strip().splitlines()
        raise WtsError("background-failed", f"claude --bg failed: {said[-1] if said else done.status}")
    _note_background(project, session, job, at=at)
    forget(given.messages)
    return Started(
        place=Place.BACKGROUND,
        is_running=True,
        says="Claude works in its background",
        next=f"wts open {session.number}",
    )


def _note_background(project: Project, session: Session, job: str, *, at: float) -> None:
    """Write down which process does the work, as soon as Claude has registered it."""
    deadline = time.monotonic() + REGISTERS_WITHIN
    entry = None
    while entry is None and time.monotonic() < deadline:
        entry = next((one for one in claude.registry(claude.config_dir()) if one.job == job), None)
        time.sleep(0.05)
    with locks.writing(project.store.lock_file, "wts open", timeout=project.settings.lock_timeout):
        if entry is not None:
            identity = processes.look_up(entry.pid) or Process(entry.pid, "")
            append_launch(
                project.store.events_file(session.name),
                at,
                identity,
                conversation=entry.conversation,
                config=claude.config_dir(),
            )
        launch.remember(project, session, place=Place.BACKGROUND, address=job)


# -- going back to one -------------------------------------------------------------------------


def pane_of(session: Session) -> tmux.Pane | None:
    """Return the tmux pane that the session's Claude was last started in, None when it is gone or was none."""
    pane = tmux.parse(session.address or "") if session.place == Place.TMUX else None
    return pane if pane is not None and tmux.exists(pane) else None


def go_to(project: Project, session: Session) -> Started | None:
    """Bring the user to a Claude that runs, which is written down; None when none does.

    Raises Refused, naming its terminal, when it can't be reached from here.
    """
    running = running_claude(project, session)
    if running is None:
        return None
    if pane := pane_of(session):
        note_look(project, session)
        if tmux.go_to(pane):
            return Started(
                place=Place.TMUX,
                is_running=True,
                says="Claude runs in this tmux, its window is selected",
                way=Way.SELECTED,
            )
        return _attach(tmux.attach_argv(pane), Place.TMUX)
    if session.place == Place.BACKGROUND and session.address:
        argv = claude.attach_argv(launch.find_claude(project), session.address)
        note_look(project, session)
        return _attach(argv, Place.BACKGROUND)
    seat = processes.seat_of(running.pid)
    where = f"{seat.terminal}, pid {running.pid}" if seat else f"pid {running.pid}"
    raise Refused(
        "running",
        f"Claude of session {session.number}, {session.name} runs in another terminal ({where})",
        hint="go to that terminal, or end it there (/exit)",
        session=session.name,
    )


def note_look(project: Project, session: Session) -> None:
    """Write down that the user goes to the session now; where that can't be done, they go all the same."""
    with contextlib.suppress(WtsError):
        append_looked(project.store.events_file(session.name), time.time())


def _attach(argv: list[str], place: Place) -> Started:
    command = shlex.join(argv)
    if not terminal.is_interactive() or (
        place is Place.TMUX and tmux.is_inside()
    ):  # another tmux: no nesting
        return Started(place=place, is_running=True, says="Claude runs", next=command, way=Way.COMMAND)
    process = processes.spawn_here(argv, cwd=Path.cwd(), env=environment.inherited())
    process.wait()
    return Started(place=place, is_running=True, way=Way.ATTACHED)
