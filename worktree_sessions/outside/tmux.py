"""tmux, as a place to run a program in and to go back to. Panes are addressed by socket and id, never by title."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.errors import WtsError
from worktree_sessions.outside import environment, processes, terminal

LATELY = 120  # seconds in which somebody who is there presses a key


class Pane(NamedTuple):
    """One pane: the server's socket and the pane's id (%5), which tmux never gives to another one."""

    socket: str
    id: str

    def __str__(self) -> str:
        return f"{self.socket}|{self.id}"


class Client(NamedTuple):
    """A terminal on a server: its name, the id of the pane it works in, whether it has the focus, its last key.

    The focus is None where tmux does not ask for it (`focus-events`), `active` in Unix seconds. A terminal that
    reports no focus counts with tmux as one that has it.
    """

    name: str
    pane: str
    has_focus: bool | None
    active: int


def parse(address: str) -> Pane | None:
    """Return the pane of an address as `str(pane)` wrote it, None when it is not one."""
    socket, _, pane = address.rpartition("|")
    return Pane(socket, pane) if socket and pane.startswith("%") else None


def is_inside() -> bool:
    """Return whether we run in a tmux pane ourselves."""
    return environment.variable("TMUX") is not None


def here() -> Pane | None:
    """Return the pane whose terminal is ours; a TMUX that was inherited into another terminal does not count."""
    pane = Pane(own_socket() or "", environment.variable("TMUX_PANE") or "")
    if not pane.socket or not pane.id:
        return None
    try:
        tty = os.ttyname(0)
    except OSError:
        return None
    done = _tmux("-S", pane.socket, "display-message", "-p", "-t", pane.id, "#{pane_tty}")
    return pane if os.fsdecode(done.out).strip() == tty else None


def own_socket() -> str | None:
    """Return the socket of the server that we run in, None outside of tmux."""
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
    socket = own_socket()
    if socket is None or os.path.realpath(socket) != os.path.realpath(pane.socket):
        return False
    _tmux("switch-client", "-t", pane.id)
    _tmux("select-window", "-t", pane.id)
    return _tmux("select-pane", "-t", pane.id).status == 0


def terminal_for_typing(pane: Pane) -> str | None:
    """Bring a pane out of its copy mode, and return its terminal; None when it is gone, or keys go to others too."""
    _tmux("-S", pane.socket, "copy-mode", "-q", "-t", pane.id)
    facts = "#{pane_id} #{pane_in_mode} #{pane_synchronized} #{pane_tty}"
    done = _tmux("-S", pane.socket, "display-message", "-p", "-t", pane.id, facts)
    expected, _, tty = os.fsdecode(done.out).strip().rpartition(" ")
    return tty if done.status == 0 and expected == f"{pane.id} 0 0" else None


def paste(pane: Pane, text: str) -> bool:
    """Give a text to the pane's program as one paste, bracketed where the program asks for it; return whether it went.

    Through a file, since tmux takes no command over 16 kB. It must hold no control characters of its own.
    """
    buffer = f"wts-{os.getpid()}"
    loaded = _tmux("-S", pane.socket, "load-buffer", "-b", buffer, "-", stdin=text.encode())
    given = _tmux("-S", pane.socket, "paste-buffer", "-p", "-d", "-b", buffer, "-t", pane.id)
    return loaded.status == 0 and given.status == 0


def press_enter(pane: Pane) -> bool:
    """Press Enter in a pane; return whether it went."""
    return _tmux("-S", pane.socket, "send-keys", "-t", pane.id, "Enter").status == 0


def attach_argv(pane: Pane) -> list[str]:
    """Return the command that shows the pane on this terminal."""
    return ["tmux", "-S", pane.socket, "attach-session", "-t", pane.id]


def clients(socket: str, *, timeout: float = 20) -> list[Client] | None:
    """Return the terminals that are attached to a server; None when it does not answer."""
    facts = "#{client_name}|#{pane_id}|#{focus-events}|#{client_activity}|#{client_flags}"
    done = _tmux("-S", socket, "list-clients", "-F", facts, timeout=timeout)
    if done.status != 0:
        return None
    found = []
    for row in os.fsdecode(done.out).splitlines():
        name, pane, asked, active, flags = row.rsplit("|", 4)
        has_focus = "focused" in flags.split(",") if asked == "1" else None
        found.append(Client(name, pane, has_focus, int(active)))
    return found


def is_watched(pane: Pane, *, lately: float = LATELY) -> bool | None:
    """Return whether a human works in this pane: in a terminal that has the focus, with a key `lately` (seconds).

    None means that it can't be known. Without the key, whose terminal reports no focus would be here forever.
    """
    there = clients(pane.socket)
    if there is None:
        return None
    since = time.time() - lately
    looks = [
        client.has_focus and (client.active >= since or None) for client in there if client.pane == pane.id
    ]
    return True if True in looks else None if None in looks else False


def say(socket: str, client: str, text: str, *, seconds: float, timeout: float = 20) -> bool:
    """Show one line in a client's status line for some seconds or until a key; return whether tmux took it.

    tmux expands formats (`#(...)` would run a command) and times in the line, and ends a command at a last `;`.
    """
    literal = text.replace("#", "##").replace("%", "%%")
    literal = literal[:-1] + "\\;" if literal.endswith(";") else literal
    shown = ["display-message", "-c", client, "-d", str(round(seconds * 1000)), "--", literal]
    return _tmux("-S", socket, *shown, timeout=timeout).status == 0


def ring(pane: Pane, *, timeout: float = 20) -> bool:
    """Ring the bell as if the pane's program had: its window is marked, its clients hear it.

    False means that there is no such pane; OSError that its terminal can't be written to.
    """
    done = _tmux(
        "-S", pane.socket, "display-message", "-p", "-t", pane.id, "#{pane_id} #{pane_tty}", timeout=timeout
    )
    found, _, tty = os.fsdecode(done.out).strip().partition(" ")
    if done.status != 0 or found != pane.id:
        return False
    terminal.write(tty, "\a")
    return True


def lets_through(*, timeout: float = 20) -> bool:
    """Return whether our own pane hands sequences on to the terminal outside (`allow-passthrough`)."""
    own = environment.variable("TMUX_PANE") or ""
    done = _tmux("display-message", "-p", "-t", own, "#{allow-passthrough}", timeout=timeout)
    return done.status == 0 and done.out.strip() not in (b"", b"0", b"off")


def _require() -> None:
    if processes.find_program("tmux") is None:
        raise WtsError("no-tmux", "tmux was not found on PATH", hint="install tmux, or start with --here")


def _tmux(*args: str, stdin: bytes = b"", timeout: float = 20) -> processes.Completed:
    return processes.run(["tmux", *args], env=environment.inherited(), stdin=stdin, timeout=timeout)
