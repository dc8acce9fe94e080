"""tmux, as a place to run a program in and to go back to. Panes are addressed by socket and id, never by title."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.errors import WtsError
from worktree_sessions.outside import environment, processes


class Pane(NamedTuple):
    """One pane: the server's socket and the pane's id (%5), which tmux never gives to another one."""

    socket: str
    id: str

    def __str__(self) -> str:
        return f"{self.socket}|{self.id}"


def parse(address: str) -> Pane | None:
    """Return the pane of an address as `str(pane)` wrote it, None when it is not one."""
    socket, _, pane = address.rpartition("|")
    return Pane(socket, pane) if socket and pane.startswith("%") else None


def is_inside() -> bool:
    """Return whether we run in a tmux pane ourselves."""
    return environment.variable("TMUX") is not None


def here() -> Pane | None:
    """Return the pane whose terminal is ours; a TMUX that was inherited into another terminal does not count."""
    pane = Pane(_own_socket() or "", environment.variable("TMUX_PANE") or "")
    if not pane.socket or not pane.id:
        return None
    try:
        tty = os.ttyname(0)
    except OSError:
        return None
    done = _tmux("-S", pane.socket, "display-message", "-p", "-t", pane.id, "#{pane_tty}")
    return pane if os.fsdecode(done.out).strip() == tty else None


def _own_socket() -> str | None:
    inside = environment.variable("TMUX")  # socket,pid,session
    return inside.rsplit(",", 2)[0] if inside else None


def open_window(argv: Sequence[str], *, title: str, group: str, cwd: Path, env: Mapping[str, str]) -> Pane:
    """Run a program in a new window, in the background, and return its pane.

    Inside tmux the window opens in the current session, else in one called `group`, which is made when it is missing.
    The server may be older than our environment, so what matters is handed over explicitly.
    """
    _require()
    group = _plain(group)
    settings = [word for key, value in env.items() for word in ("-e", f"{key}={value}")]
    directory = str(cwd).replace("#", "##")  # tmux expands formats here, and #(...) would run a command
    where = ["-d", "-P", "-F", "#{socket_path}|#{pane_id}", "-n", _plain(title), "-c", directory, *settings]
    program = ["--", *argv]
    if is_inside():
        done = _tmux("new-window", *where, *program)
    else:
        done = _tmux("new-window", "-t", f"={group}:", *where, *program)
        if done.status != 0:
            done = _tmux("new-session", "-s", group, *where, *program)
        if done.status != 0:  # another wts has made it meanwhile
            done = _tmux("new-window", "-t", f"={group}:", *where, *program)
    pane = parse(os.fsdecode(done.out).strip())
    if done.status != 0 or pane is None:
        said = done.err.decode("utf-8", "replace").strip() or done.out.decode("utf-8", "replace").strip()
        raise WtsError("tmux-failed", f"tmux opened no window: {said}", hint="wts open N --here")
    return pane


def _plain(name: str) -> str:
    """Return a name without what tmux gives a meaning to (`:` and `.` in targets, `#` in formats)."""
    return re.sub(r"[^\w-]", "-", name, flags=re.ASCII)


def exists(pane: Pane) -> bool:
    """Return whether the pane is still there."""
    done = _tmux("-S", pane.socket, "display-message", "-p", "-t", pane.id, "#{pane_id}")
    return done.status == 0 and done.out.decode().strip() == pane.id


def go_to(pane: Pane) -> bool:
    """Select the pane's window from inside the same server; False when we are not in it."""
    socket = _own_socket()
    if socket is None or os.path.realpath(socket) != os.path.realpath(pane.socket):
        return False
    _tmux("switch-client", "-t", pane.id)
    _tmux("select-window", "-t", pane.id)
    return _tmux("select-pane", "-t", pane.id).status == 0


def attach_argv(pane: Pane) -> list[str]:
    """Return the command that shows the pane on this terminal."""
    return ["tmux", "-S", pane.socket, "attach-session", "-t", pane.id]


def _require() -> None:
    if processes.find_program("tmux") is None:
        raise WtsError("no-tmux", "tmux was not found on PATH", hint="install tmux, or start with --here")


def _tmux(*args: str) -> processes.Completed:
    return processes.run(["tmux", *args], env=environment.inherited(), timeout=20)
