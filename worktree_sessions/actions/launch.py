"""The launcher: starts Claude in a session on this terminal, waits for it, and writes down how it ended.

Claude is a child in our own process group, not exec'd, because its exit status and what is left to do afterwards belong
to us. The terminal's Ctrl-C and Ctrl-Z are Claude's; a signal to the launcher is passed on.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from worktree_sessions.actions import notify
from worktree_sessions.actions.asking import running_claude
from worktree_sessions.actions.messages import LONGEST_PROMPT, Prompt, add_kept, forget
from worktree_sessions.actions.project import Project
from worktree_sessions.actions.target import find_again, find_worktree
from worktree_sessions.errors import Refused, UsageError, WtsError
from worktree_sessions.model.events import append_exit, append_launch
from worktree_sessions.model.session import Session, State
from worktree_sessions.model.state import of_exit
from worktree_sessions.outside import claude, environment, locks, processes, tmux
from worktree_sessions.outside.claude import Conversation
from worktree_sessions.outside.files import replace_file
from worktree_sessions.outside.processes import Process
from worktree_sessions.outside.terminal import Keeper

PASSED_ON = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How Claude ended: `status` is its exit status, negative for a signal; `heard` the signals that we were sent."""

    status: int
    heard: frozenset[int] = frozenset()

    @property
    def says(self) -> str:
        """How it ended, in words."""
        return (of_exit(self.status, at=0)[2] or "ended").removeprefix("Claude ")

    @property
    def has_no_terminal(self) -> bool:
        """The terminal was closed: nothing can be said any more."""
        return signal.SIGHUP in self.heard


def find_claude(project: Project) -> Path:
    """Return Claude's program; raise WtsError, with the cure, when it is missing."""
    found = claude.find(project.settings.claude)
    if found is None:
        raise WtsError(
            "no-claude",
            f"{project.settings.claude} was not found on PATH",
            hint="npm install -g @anthropic-ai/claude-code, then wts open N",
        )
    return found


def history_of(project: Project, session: Session) -> tuple[str, ...]:
    """Return every conversation that the session has had, the newest last: Claude changes its id on /clear."""
    told = project.store.told(session.name).history()
    known = [session.conversation, *session.conversations, *told]
    return tuple(reversed(dict.fromkeys(reversed(known))))


def conversation_of(project: Project, session: Session) -> str:
    """Return the newest conversation that belongs to the session's worktree.

    One that was taken up from another directory (/resume shows them all) does not; the newest of all when none does.
    """
    newest_first = history_of(project, session)[::-1]
    config = claude.config_dir()
    own = (one for one in newest_first if claude.is_held_in(config, one, session.worktree) is not False)
    return next(own, newest_first[0])


def is_held(project: Project, session: Session) -> bool:
    """Return whether the session has a conversation that can be gone on with."""
    return _was_held(conversation_of(project, session))


def _was_held(conversation: str) -> bool:
    return claude.conversation(claude.config_dir(), conversation) is Conversation.HELD


def prompt_for(project: Project, session: Session, conversation: str, prompt: str | None) -> Prompt:
    """Return what a start on this conversation is given: the prompt, else the session's first one; then what was kept.

    A conversation that /clear began does not begin with the session's first prompt again.
    """
    is_first = conversation_of(project, session) == session.conversation
    first_prompt = session.prompt if is_first and not _was_held(conversation) else None
    return add_kept(project, session, prompt or first_prompt)


def argv_of(project: Project, session: Session, conversation: str, prompt: str | None) -> list[str]:
    """Return Claude's command line: the conversation resumed when it was held, else begun."""
    program = find_claude(project)
    word = claude.resume_argv if _was_held(conversation) else claude.start_argv
    return word(
        program,
        claude.features(program),
        conversation=conversation,
        name=session.display,
        plugin_dir=prepare_plugin(project, session),
        prompt=prompt,
        focus=session.focus,
    )


def usable_conversation(project: Project, session: Session) -> str:
    """Return the newest conversation, or a fresh id where Claude would neither resume nor begin that one."""
    newest = conversation_of(project, session)
    if claude.conversation(claude.config_dir(), newest) is Conversation.SPENT:
        return str(uuid.uuid4())
    return newest


def prepare_plugin(project: Project, session: Session) -> Path:
    """Install the session's hooks and commands, and return the plugin's directory."""
    project.store.session_dir(session.name).mkdir(parents=True, exist_ok=True)
    switch = project.store.session_dir(session.name) / "stop-check-off"
    if project.settings.stop_check:
        switch.unlink(missing_ok=True)
    else:
        replace_file(switch, b"")
    notice = notify.words_for_hook(project.settings)
    _leave_kick(project, session, by_hook=bool(notice))
    return claude.install_plugin(project.store.claude_dir, session.name, notice=notice)


def _leave_kick(project: Project, session: Session, *, by_hook: bool) -> None:
    """Leave to the hooks what they start for an event that may concern the human; nothing when nobody is to be told."""
    file = project.store.session_dir(session.name) / "kick.json"
    if notify.is_wanted(project.settings):
        replace_file(file, json.dumps(notify.kick_argv(project, by_hook=by_hook)).encode())
    else:
        file.unlink(missing_ok=True)


def launch(project: Project, session: Session, prompt: str | None = None) -> Ended:
    """Run Claude in the session on this terminal until it ends; raises Refused when it runs already."""
    worktree = find_worktree(session)
    conversation = usable_conversation(project, session)
    claude.features(find_claude(project))  # asked before the lock is held, and remembered
    env = environment.for_session(session.environment(project.home))
    events = project.store.events_file(session.name)
    pane = tmux.here()
    terminal = Keeper()
    with _SignalsPassedOn() as signals:
        with locks.writing(project.store.lock_file, "wts open", timeout=project.settings.lock_timeout):
            refuse_second(project, session)
            remember(
                project, session, place="tmux" if pane else "terminal", address=str(pane) if pane else None
            )
            given = prompt_for(project, session, conversation, prompt)
            argv = argv_of(project, session, conversation, given.text)
            at = time.time()  # before the first event
            child = signals.pass_on_to(lambda: _spawn(argv, cwd=worktree, env=env))
            identity = processes.look_up(child.pid) or Process(child.pid, "")
            try:
                append_launch(
                    events,
                    at,
                    identity,
                    conversation=conversation,
                    config=claude.config_dir(),
                    launcher=processes.own_identity(),
                )
            except WtsError:  # nobody would know that it runs
                child.kill()
                child.wait()
                terminal.repair()
                raise
            forget(given.messages)
        status = child.wait()
        if status < 0 or status > 128:
            terminal.repair()
        append_exit(events, time.time(), identity, status)
    if of_exit(status, at=0)[0] is State.FAILED:
        notify.kick(project)
    return Ended(status=status, heard=frozenset(signals.heard))


def _spawn(argv: list[str], *, cwd: Path, env: dict[str, str]) -> processes.Child:
    try:
        return processes.spawn_here(argv, cwd=cwd, env=env)
    except OSError as error:
        raise WtsError(
            "no-start", f"{argv[0]} can't be started: {error.strerror}", hint="wts doctor"
        ) from error


def remember(project: Project, session: Session, *, place: str, address: str | None) -> Session:
    """Write down where the session's Claude was last started; the caller holds the lock."""
    current = find_again(project, session)
    conversations = history_of(project, current)
    changed = current._replace(started=True, place=place, address=address, conversations=conversations)
    if changed != current:
        project.store.save(changed)
    return changed


def refuse_second(project: Project, session: Session) -> None:
    """Raise Refused while a Claude runs on the session's conversation, started by wts or by hand."""
    running = running_claude(project, session)
    pid = running.pid if running else _registered_on(conversation_of(project, session))
    if pid is not None:
        raise Refused(
            "running",
            f"Claude of session {session.number}, {session.name} runs already (pid {pid}); a conversation has only one",
            hint=f"go to it: wts open {session.number}",
            session=session.name,
        )


def _registered_on(conversation: str) -> int | None:
    for entry in claude.registry(claude.config_dir()):
        alive = processes.look_up(entry.pid)
        if (
            entry.conversation == conversation
            and alive is not None
            and entry.started in (None, alive.started)
        ):
            return entry.pid
    return None


class _SignalsPassedOn:
    """While it lasts, signals to us don't end us: the keyboard's are Claude's too, the others are passed on, each once.

    Handlers rather than SIG_IGN, because an ignored signal would stay ignored in Claude. Until the child is being
    started, any of them interrupts; what is heard while it is being started is passed on afterwards.
    """

    def __init__(self) -> None:
        self.heard: set[int] = set()
        self._passed: set[int] = set()
        self._is_starting = False
        self._child: processes.Child | None = None
        self._before: dict[signal.Signals, object] = {}

    def pass_on_to(self, start: Callable[[], processes.Child]) -> processes.Child:
        """Start the child that is to get the signals, and return it."""
        self._is_starting = True
        child = self._child = start()
        for number in PASSED_ON:
            self._pass_on(number)
        return child

    def __enter__(self) -> _SignalsPassedOn:
        for number in (signal.SIGINT, signal.SIGQUIT, *PASSED_ON):
            self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal itself returned

    def _hear(self, number: int, _: FrameType | None) -> None:
        if not self._is_starting:
            raise KeyboardInterrupt
        self.heard.add(number)
        self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        if number in PASSED_ON and number in self.heard - self._passed and self._child is not None:
            self._passed.add(number)
            if self._child.poll() is None:
                self._child.send_signal(number)


# -- prompts -----------------------------------------------------------------------------------


def check_prompt(prompt: str | None) -> str | None:
    """Return the prompt; raise UsageError when a program can't be given it."""
    if prompt is not None and "\0" in prompt:
        raise UsageError("odd-prompt", "the prompt holds a NUL character", hint="leave it out")
    if prompt is not None and len(os.fsencode(prompt)) > LONGEST_PROMPT:
        raise UsageError(
            "long-prompt",
            f"the prompt is longer than {LONGEST_PROMPT} bytes",
            hint='put it in a file, and say: "Do what TASK.md says"',
        )
    return prompt


def leave_prompt(project: Project, session: Session, prompt: str) -> Path:
    """Leave a prompt in the session's directory for a launcher elsewhere: tmux takes no command over 16 kB."""
    handle, path = tempfile.mkstemp(prefix="prompt-", dir=project.store.session_dir(session.name))
    with os.fdopen(handle, "wb") as file:
        file.write(os.fsencode(prompt))
    return Path(path)


def take_prompt(path: Path) -> str:
    """Return a prompt that was left, and remove its file."""
    prompt = os.fsdecode(path.read_bytes())
    path.unlink()
    return prompt
