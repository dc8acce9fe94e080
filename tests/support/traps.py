"""The traps that the event tapes are recorded in: what is done to a session, and which states it is in meanwhile.

The states are declared by hand, from what was on the screen or done; what the reducer says is compared with them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.api import script
from tests.support.claude_cli import Pane, RealClaude, Terminal, eventually
from tests.support.recording import Recording
from tests.support.repos import Repo
from tests.support.tapes import Row

NAME, WINDOW = "auth-frontend", "repo-frontend-1"
ASKING = {"permissions": {"defaultMode": "default", "disableAutoMode": "disable"}}
COMMIT = {"tool": "Bash", "input": {"command": "git commit --quiet --allow-empty -m checked"}}
SLOW_COMMIT = {"tool": "Bash", "input": {"command": "git commit --quiet --allow-empty -m checked; sleep 2"}}
QUESTION = "Do you want to proceed"
LOOK = {"tool": "Bash", "input": {"command": "git status --short"}}
LATE = {"text": "late", "sleep": 30}
DONE = {"text": "Done."}


class Scene:
    """A repository, wts and the real Claude on PATH, the world's tmux, and a recording that runs."""

    def __init__(self, world: RealClaude, top: Path, *, trusted: bool = True) -> None:
        self.world = world
        self.repo = Repo.create(top / "repo")
        self.repo.commit("README.md", "# a project\n", "start")
        self.worktree = top / "repo.worktrees" / NAME
        world.settle_in(*([self.repo.path] if trusted else []))
        self.settings(**ASKING)
        session = self.repo.path / ".git" / "wts" / "sessions" / NAME
        self.recording = Recording(session / "events.jsonl", world.config_dir / "sessions")

    def settings(self, **settings: Any) -> None:
        """Give the user these settings of Claude, and no others."""
        (self.world.config_dir / "settings.json").write_text(json.dumps(settings))

    def wts(self, *args: str) -> None:
        """Run wts as from a pane of the world's tmux."""
        env = self.world.env(TMUX=f"{self.world.base}/tmux,1,0")
        words = [sys.executable, "-m", "worktree_sessions", *args]
        done = subprocess.run(words, cwd=self.repo.path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    # -- what a user does

    def new(self, *steps: Row) -> None:
        """Make the session and start Claude in a window, with a prompt of these steps."""
        self.wts("new", NAME, "--tmux", "-p", script(*steps))
        self.event("launch")

    def begin_long_turn(self) -> None:
        """Make the session with a prompt that is answered late."""
        self.new(LATE)
        self.registered("busy")
        self.pass_time(1)

    def open(self, prompt: str) -> None:
        """Open the session again in a window, with a prompt."""
        self.wts("open", NAME, "--tmux", "-p", prompt)
        self.event("launch", self.count("exit") + 1)

    def pane(self) -> Pane:
        """Return the session's window."""
        return eventually(lambda: self.world.panes().get(WINDOW), "window")

    def see(self, pattern: str) -> None:
        """Wait until it is on the screen."""
        found = self.pane().wait_for(pattern)
        self.recording.note(seen=f"on the screen: {found[0]}")

    def press(self, key: str, pattern: str | None = None) -> None:
        """Press a key, at a dialog if one is named: keys that come while it is being drawn are lost."""
        if pattern is not None:
            self.see(pattern)
        time.sleep(0.7)
        self.recording.note(seen=f"pressed: {key}")
        self.pane().key(key)

    def say(self, text: str, shown: str | None = None) -> None:
        """Type a prompt or a command; the tape calls it as `shown`."""
        self.recording.note(seen=f"typed: {shown or text}")
        self.pane().say(text)

    def do(self, *steps: Row) -> None:
        """Type a prompt of these steps."""
        self.say(script(*steps), "a prompt")

    def leave(self) -> None:
        """Leave by /exit and close the window."""
        self.say("/exit")
        self.end()

    def finish(self, turns: int = 1) -> None:
        """Wait for the end of so many turns, and leave a second later."""
        self.event("Stop", turns)
        self.pass_time(1)
        self.leave()

    def end(self) -> None:
        """Wait until the launcher told the end, and close the window."""
        self.event("exit", self.count("launch"))
        self.pass_time(0.3)
        pane = self.pane()
        pane.wait_for("Enter closes this window")
        pane.key("Enter")

    def close_terminal(self) -> None:
        """Close the window while Claude runs in it, and wait until the launcher told the end."""
        self.recording.note(seen="the terminal was closed")
        self.world.tmux("kill-pane", "-t", self.pane().name)
        self.event("exit")
        self.pass_time(2)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, which the tape tells."""
        time.sleep(seconds)
        self.recording.note(time=True)

    # -- what is waited for

    def count(self, name: str) -> int:
        """Return how often an event was told."""
        return sum(row["event"] == name for row in self.recording.told())

    def event(self, name: str, count: int = 1) -> Row:
        """Wait until an event was told so often; return its row of the log."""

        def look() -> Row | None:
            rows = [row for row in self.recording.told() if row["event"] == name]
            return rows[count - 1] if len(rows) >= count else None

        try:
            return eventually(look, f"{name} number {count}", seconds=100)
        except AssertionError as error:
            screens = "\n".join(pane.screen() for pane in self.world.panes().values())
            names = [row["event"] for row in self.recording.told()]
            raise AssertionError(f"{error}: {names}\n{screens}") from None

    def registered(self, status: str) -> None:
        """Wait until the registry says so."""
        eventually(
            lambda: any(entry.get("status") == status for entry in self.world.registered()),
            f"{status} in the registry",
        )

    def kill(self, pid: int, whom: str = "Claude") -> None:
        """Send SIGKILL."""
        self.recording.note(seen=f"SIGKILL to {whom}")
        os.kill(pid, signal.SIGKILL)


# -- the traps ---------------------------------------------------------------------------------

Play = Callable[[Scene], None]


class Trap(NamedTuple):
    """One scenario: what it is about, the distinct states it goes through, and how it is played."""

    about: str
    states: list[str]
    play: Play
    trusted: bool = True


TRAPS: dict[str, Trap] = {}


def trap(name: str, about: str, states: str, *, trusted: bool = True) -> Callable[[Play], Play]:
    """Add a scenario; `states` are the distinct ones in order."""

    def add(play: Play) -> Play:
        TRAPS[name] = Trap(about, states.split(), play, trusted)
        return play

    return add


@trap(
    "question-approved",
    "A permission is asked and given; the tool then runs for two seconds.",
    "starting idle working waiting working idle ended",
)
def _(scene: Scene) -> None:
    scene.new(SLOW_COMMIT, DONE)
    scene.press("Enter", QUESTION)
    scene.finish()


@trap(
    "question-refused",
    "A permission is asked and refused with Esc, which ends the turn and fires no hook.",
    "starting idle working waiting interrupted working idle ended",
)
def _(scene: Scene) -> None:
    scene.new(COMMIT, DONE)
    scene.press("Escape", QUESTION)
    scene.registered("idle")
    scene.pass_time(1)
    scene.say("hello")
    scene.finish()


@trap(
    "question-approved-elsewhere",
    "A permission is given from another client attached to the same tmux window.",
    "starting idle working waiting working idle ended",
)
def _(scene: Scene) -> None:
    scene.new(SLOW_COMMIT, DONE)
    scene.see(QUESTION)
    scene.world.tmux("select-window", "-t", scene.pane().name)
    attach = ["env", "-u", "TMUX", "tmux", "-S", f"{scene.world.base}/tmux", "attach", "-t", "=hold:"]
    other = Terminal(scene.world, attach, scene.repo.path, scene.world.env())
    other.wait_for(QUESTION)
    time.sleep(0.7)
    scene.recording.note(seen="pressed in another client: Enter")
    other.key("Enter")
    scene.finish()


@trap(
    "esc",
    "Esc during a turn fires no hook; the next prompt goes on.",
    "starting idle working interrupted working idle ended",
)
def _(scene: Scene) -> None:
    scene.new(LOOK, LATE)
    scene.event("PostToolUse")
    scene.pass_time(1)
    scene.press("Escape")
    scene.registered("idle")
    scene.pass_time(1)
    scene.do(DONE)
    scene.finish()


@trap(
    "ctrl-c-twice",
    "Ctrl-C during a turn breaks it off, twice more ends Claude.",
    "starting idle working interrupted ended",
)
def _(scene: Scene) -> None:
    scene.begin_long_turn()
    scene.press("C-c")
    scene.registered("idle")
    scene.pass_time(1)
    scene.press("C-c")
    scene.recording.note(seen="pressed: C-c")
    scene.pane().key("C-c")
    scene.end()


@trap(
    "kill-9",
    "Claude is killed during a turn; its registry file stays, the launcher tells.",
    "starting idle working failed",
)
def _(scene: Scene) -> None:
    scene.begin_long_turn()
    scene.kill(scene.event("launch")["pid"])
    scene.end()


@trap(
    "kill-9-of-both",
    "Launcher and Claude are killed during a turn: nobody tells.",
    "starting idle working failed",
)
def _(scene: Scene) -> None:
    scene.begin_long_turn()
    launch = scene.event("launch")
    scene.kill(launch["launcher"][0], "the launcher")
    scene.kill(launch["pid"])
    scene.pass_time(2)


@trap(
    "terminal-closed", "The terminal is closed while the session is idle.", "starting idle working idle ended"
)
def _(scene: Scene) -> None:
    scene.new(DONE)
    scene.event("Stop")
    scene.pass_time(1)
    scene.close_terminal()


@trap("terminal-closed-busy", "The terminal is closed during a turn.", "starting idle working ended")
def _(scene: Scene) -> None:
    scene.begin_long_turn()
    scene.close_terminal()


@trap(
    "trust-accepted",
    "An untrusted repository: Claude is silent behind its dialog, which is then accepted.",
    "starting waiting starting idle working idle ended",
    trusted=False,
)
def _(scene: Scene) -> None:
    scene.new(DONE)
    scene.see("trust this folder")
    scene.pass_time(5)
    scene.pass_time(5)
    scene.press("Up")  # the dialog begins on "No, exit"
    scene.press("Enter")
    scene.finish()


@trap(
    "trust-refused",
    "An untrusted repository: the dialog is refused, Claude leaves with status 1 before its first event.",
    "starting failed",
    trusted=False,
)
def _(scene: Scene) -> None:
    scene.new(DONE)
    scene.see("trust this folder")
    scene.press("Enter")
    scene.end()


@trap(
    "trust-dismissed",
    "An untrusted repository: the dialog is dismissed with Esc, Claude leaves with status 0 before its first event.",
    "starting ended",
    trusted=False,
)
def _(scene: Scene) -> None:
    scene.new(DONE)
    scene.see("trust this folder")
    scene.press("Escape")
    scene.end()


@trap("crash-before-first-event", "Claude is killed before it told anything.", "starting failed")
def _(scene: Scene) -> None:
    scene.new(DONE)
    scene.kill(scene.event("launch")["pid"])
    scene.end()


@trap(
    "background-task",
    "A turn ends with a task left in the background; the task ends and starts a turn by itself.",
    "starting idle working background working idle ended",
)
def _(scene: Scene) -> None:
    task = {"command": "sleep 5; git status --short", "run_in_background": True}
    scene.new({"tool": "Bash", "input": task}, DONE)
    scene.event("Stop")
    scene.pass_time(2)
    scene.finish(2)


def agent(*steps: Row) -> Row:
    """Return a call of a subagent that follows these steps."""
    given = {"description": "look around", "subagent_type": "general-purpose", "prompt": script(*steps)}
    return {"tool": "Agent", "input": given}


@trap(
    "subagent",
    "A subagent works on after the end of the turn; its own end starts a turn by itself.",
    "starting idle working background working idle ended",
)
def _(scene: Scene) -> None:
    scene.new(agent({**LOOK, "sleep": 2}, {"text": "Seen.", "sleep": 4}), DONE)
    scene.event("Stop")
    scene.pass_time(4)
    scene.finish(2)


@trap(
    "subagent-asks",
    "A subagent asks a permission, which is given: the session needs you all the same.",
    "starting idle working waiting working background working idle ended",
)
def _(scene: Scene) -> None:
    scene.new(agent(SLOW_COMMIT, {"text": "Seen.", "sleep": 4}), {"text": "Done.", "sleep": 4})
    scene.press("Enter", QUESTION)
    scene.finish(2)


@trap(
    "subagent-asks-late",
    "The turn ends while a subagent's question is open; once it is answered the subagent works on in the background.",
    "starting idle working waiting background working idle ended",
)
def _(scene: Scene) -> None:
    scene.new(agent(SLOW_COMMIT, {"text": "Seen.", "sleep": 1}), {"text": "Done.", "sleep": 2})
    scene.see(QUESTION)
    scene.event("Stop")
    scene.pass_time(3)
    scene.press("Enter")
    scene.finish(2)


@trap(
    "nested",
    "claude -p runs within the session, from its Bash.",
    "starting idle working waiting working idle ended",
)
def _(scene: Scene) -> None:
    scene.new({"tool": "Bash", "input": {"command": "claude -p hello; sleep 1"}}, DONE)
    scene.press("Enter", QUESTION)
    scene.finish()


@trap(
    "nested-with-plugin",
    "claude -p runs within the session with our own plugin, so that its events reach the session's log.",
    "starting idle working idle working waiting working idle ended",
)
def _(scene: Scene) -> None:
    scene.new(DONE)
    scene.event("Stop")
    (manifest,) = (scene.repo.path / ".git" / "wts" / "claude").glob("*/.claude-plugin/plugin.json")
    plugin = manifest.parent.parent
    scene.do({"tool": "Bash", "input": {"command": f"claude -p --plugin-dir {plugin} hello; sleep 1"}}, DONE)
    scene.press("Enter", QUESTION)
    scene.finish(3)


@trap(
    "resume",
    "Claude left and the conversation is opened again.",
    "starting idle working idle ended starting idle working idle ended",
)
def _(scene: Scene) -> None:
    scene.new(DONE)
    scene.finish()
    scene.open("once more")
    scene.finish(2)


@trap(
    "clear",
    "/clear begins another conversation in the same process.",
    "starting idle working idle working idle working idle ended",
)
def _(scene: Scene) -> None:
    scene.new(DONE)
    scene.event("Stop")
    scene.say("/clear")
    scene.event("SessionStart", 2)
    scene.pass_time(1)
    scene.say("hello")
    scene.finish(2)


@trap(
    "compact",
    "/compact summarises the conversation, which takes a while.",
    "starting idle working idle working idle working idle ended",
)
def _(scene: Scene) -> None:
    scene.new(DONE)
    scene.event("Stop")
    scene.say("hello")
    scene.event("Stop", 2)
    scene.pass_time(1)
    scene.say("/compact")
    scene.event("SessionStart", 2)
    scene.pass_time(2)
    scene.leave()


def failing(name: str, about: str, status: int, state: str) -> None:
    """Add a trap in which the API answers with an error; the next prompt is answered."""

    @trap(name, about, f"starting idle working {state} working idle ended")
    def _(scene: Scene) -> None:
        scene.new({"status": status, "sleep": 1})
        scene.event("StopFailure")
        scene.pass_time(2)
        scene.do(DONE)
        scene.finish()


failing("limit", "The API answers 429: a limit.", 429, "limited")
failing("overload", "The API answers 529: overloaded, no quota of the user's.", 529, "failed")
failing("authentication-lost", "The API answers 401.", 401, "failed")


@trap(
    "two-tools",
    "Of two tools at once one asks while the other ends, which does not answer the question.",
    "starting idle working waiting working idle ended",
)
def _(scene: Scene) -> None:
    outside = scene.repo.path.parent / "outside.txt"
    outside.write_text("outside\n")
    read = {"tool": "Read", "input": {"file_path": str(outside)}}
    inside = {"tool": "Read", "input": {"file_path": str(scene.worktree / "README.md")}}
    slow = agent({"text": "Seen.", "sleep": 3})
    scene.new({"tools": [read, inside, slow]}, DONE)
    scene.event("PermissionRequest")
    scene.pass_time(3)
    scene.press("Enter", "Do you want")
    scene.finish()


@trap(
    "idle-notification",
    "Nobody types for a minute after the turn's end; the notification is no question.",
    "starting idle working idle ended",
)
def _(scene: Scene) -> None:
    scene.new(DONE)
    scene.event("Stop")
    scene.event("Notification")
    scene.pass_time(1)
    scene.leave()


COLOURS = {
    "question": "Which colour?",
    "header": "Colour",
    "multiSelect": False,
    "options": [{"label": "Red", "description": "warm"}, {"label": "Blue", "description": "cold"}],
}


@trap(
    "ask-user-question",
    "The agent asks a question of its own.",
    "starting idle working waiting working idle ended",
)
def _(scene: Scene) -> None:
    scene.new({"tool": "AskUserQuestion", "input": {"questions": [COLOURS]}}, DONE)
    scene.press("Enter", "Enter to select")
    scene.finish()


@trap("exit-plan-mode", "The agent presents a plan.", "starting idle working waiting working idle ended")
def _(scene: Scene) -> None:
    scene.settings(permissions={**ASKING["permissions"], "defaultMode": "plan"})
    scene.new({"tool": "ExitPlanMode", "input": {"plan": "1. Look. 2. Write."}}, DONE)
    scene.press("Enter", "Exit plan mode")
    scene.finish()


@trap(
    "stop-held",
    "Our Stop hook has the agent go on, to commit what it left: the first Stop is not the end of the turn.",
    "starting idle working waiting working idle ended",
)
def _(scene: Scene) -> None:
    file = {"file_path": str(scene.worktree / "login.py"), "content": "form\n"}
    scene.new(
        {"tool": "Write", "input": file}, {"text": "The form is there."}, {"text": "Later.", "sleep": 2}
    )
    scene.press("Enter", "Do you want to create login.py")
    scene.finish(2)


@trap(
    "queued-prompt",
    "A prompt is typed while the agent works; its turn follows at once, and fires no UserPromptSubmit of its own.",
    "starting idle working idle working idle ended",
)
def _(scene: Scene) -> None:
    scene.new({"text": "late", "sleep": 4})
    scene.registered("busy")
    scene.pass_time(1)
    scene.do({"text": "then this", "sleep": 2})
    scene.finish(2)
