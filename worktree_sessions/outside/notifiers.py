"""The channels by which a notice reaches a human, and what became of it in each.

A notice goes to the first of the chosen channels that works. The user's own command and webhook are used besides,
whenever they are set. A channel that is missing, slow or failing costs its time-out at most, and is told of.

A command of the user's runs as `sh -c COMMAND` in the home directory (in a worktree it would be in the way of
`wts close`), with the variables WTS_NOTICE_TITLE, WTS_NOTICE_BODY, WTS_NOTICE_URGENT (1, or empty) and
WTS_NOTICE_JSON, the document that a webhook gets: the facts, and `title`, `body`, `urgent`, `text`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from worktree_sessions.errors import WtsError
from worktree_sessions.outside import environment, processes, sequences, terminal, tmux, webhook
from worktree_sessions.outside.sequences import one_line

TIMEOUT = 10.0  # seconds for each channel
SHOWN = 10.0  # seconds that a line stays in tmux
LONGEST_TITLE = 200
LONGEST_BODY = 2000


class Notice(NamedTuple):
    """What a human is to be told. The facts are JSON: what a command and a webhook get beside the texts."""

    title: str
    body: str
    urgent: bool
    facts: Mapping[str, object]

    @property
    def document(self) -> dict[str, object]:
        """The notice as JSON; `text` is for chat programs, which want `&`, `<` and `>` escaped."""
        own = {"title": self.title, "body": self.body, "urgent": self.urgent}
        return {**self.facts, **own, "text": _escape(f"{self.title}\n{self.body}".strip())}


class Options(NamedTuple):
    """What the channels need to know beside the notice; nothing of it must be set.

    `pane` is where runs what the notice is about; without it our own tmux and terminal are used. Without a
    `sequence` it is the one that our terminal is known to understand.
    """

    pane: tmux.Pane | None = None
    sequence: sequences.Kind | None = None
    command: str = ""
    webhook: str = ""
    by_hook: bool = False  # Claude itself has its terminal tell, so that is done


class Delivery(NamedTuple):
    """What became of a notice in one channel, `says` in words."""

    channel: str
    worked: bool
    says: str


def deliver(
    notice: Notice, channels: Iterable[str], options: Options, *, timeout: float = TIMEOUT
) -> list[Delivery]:
    """Try the channels (names of CHANNELS) until one works, then the command and the webhook, if they are set.

    Returns what became of each that was tried, in that order; `timeout` is in seconds for each. Nothing raises.
    """
    notice = _harmless(notice)
    done = []
    for channel in channels:
        done.append(_attempt(channel, _BY_NAME[channel], notice, options, timeout))
        if done[-1].worked:
            break
    if options.command:
        done.append(_attempt("command", _command, notice, options, timeout))
    if options.webhook:
        done.append(_attempt("webhook", _webhook, notice, options, timeout))
    return done


# A channel returns what it did, and raises WtsError or OSError when it can't; the number is its time-out.
Channel = Callable[[Notice, Options, float], str]


def _attempt(name: str, channel: Channel, notice: Notice, options: Options, timeout: float) -> Delivery:
    try:
        return Delivery(name, worked=True, says=channel(notice, options, timeout))
    except WtsError as error:
        return Delivery(name, worked=False, says=error.message)
    except OSError as error:
        said = ": ".join(str(part) for part in (error.filename, error.strerror) if part)
        return Delivery(name, worked=False, says=one_line(said))


def _harmless(notice: Notice) -> Notice:
    """Return the notice without control characters and cut; its body keeps its lines."""
    body = "\n".join(filter(None, map(one_line, notice.body.splitlines())))
    return notice._replace(title=one_line(notice.title)[:LONGEST_TITLE], body=body[:LONGEST_BODY])


def _failed(says: str) -> WtsError:
    return WtsError("not-delivered", says)


# -- desktop ---------------------------------------------------------------------------------------

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS")
SHOW_ON_MACOS = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)
# A toast needs the id of a program in the start menu; this is PowerShell's own.
SHOW_ON_WINDOWS = r"""
$ErrorActionPreference = 'Stop'
$notice = [Console]::In.ReadToEnd() | ConvertFrom-Json
$manager = [Windows.UI.Notifications.ToastNotificationManager, Windows.UI.Notifications, ContentType = WindowsRuntime]
$xml = $manager::GetTemplateContent([Windows.UI.Notifications.ToastTemplateType]::ToastText02)
$texts = $xml.GetElementsByTagName('text')
[void] $texts.Item(0).AppendChild($xml.CreateTextNode($notice.title))
[void] $texts.Item(1).AppendChild($xml.CreateTextNode($notice.body))
$program = '{1AC14E77-02E7-4E5D-B744-2EB1AE5198B7}\WindowsPowerShell\v1.0\powershell.exe'
$toast = [Windows.UI.Notifications.ToastNotification]::new($xml)
$manager::CreateToastNotifier($program).Show($toast)
"""


class Program(NamedTuple):
    """How a desktop's own program is told a notice."""

    argv: list[str]
    stdin: bytes = b""


def by_hook(channels: Iterable[str], pane: tmux.Pane | None) -> sequences.Kind | None:
    """Return the sequence by which Claude's own terminal is to tell, when no channel before it could; else None."""
    for channel in channels:
        if channel == "desktop" and _has_desktop():
            return None
        if channel == "tmux" and pane is not None:
            return None
        if channel == "terminal" and (kind := sequences.kind_here()):
            return kind
        if channel == "bell":
            return sequences.Kind.BELL
    return None


def _has_desktop() -> bool:
    try:
        _desktop_program(_programs(Notice("", "", urgent=False, facts={})))
    except WtsError:
        return False
    return True


def _desktop(notice: Notice, _: Options, timeout: float) -> str:
    programs = _programs(notice)
    found = _desktop_program(programs)
    argv, stdin = programs[found]
    done = processes.run([found, *argv], stdin=stdin, timeout=timeout)
    if done.status != 0:
        raise _failed(f"{found} {_ended(done.status, done.err, timeout)}")
    return f"shown by {found}"


def _desktop_program(programs: Iterable[str]) -> str:
    """Return the first of the programs that can show a notice here; raise WtsError when none can."""
    if environment.variable("SSH_CONNECTION"):
        raise _failed("this is an ssh login: nobody sits at the desktop of this machine")
    found = next((name for name in programs if processes.find_program(name)), None)
    if found is None:
        raise _failed(f"none of {', '.join(programs)} is on PATH")
    if found == "notify-send" and not any(map(environment.variable, DISPLAYS)):
        raise _failed(f"there is no desktop: none of {', '.join(DISPLAYS)} is set")
    return found


def _programs(notice: Notice) -> dict[str, Program]:
    """Return the programs that show a notice: two of macOS, Windows' as seen from WSL, and that of other desktops.

    None finds an option, a script or markup in a text. The first two show a name that is not ours, so the title
    begins with it; that it begins with a letter keeps both from reading it as anything else.
    """
    titled = f"wts: {notice.title}"
    script = [word for line in SHOW_ON_MACOS for word in ("-e", line)]
    texts = json.dumps({"title": notice.title, "body": notice.body}).encode()  # ASCII, whatever the code page
    urgency = "critical" if notice.urgent else "normal"
    return {
        "terminal-notifier": Program(["-title", titled], (notice.body or " ").encode()),
        "osascript": Program([*script, titled, notice.body]),
        "powershell.exe": Program(["-NoProfile", "-NonInteractive", "-Command", SHOW_ON_WINDOWS], texts),
        "notify-send": Program(
            ["--app-name=wts", f"--urgency={urgency}", "--", notice.title, _escape(notice.body)]
        ),
    }


def _escape(text: str) -> str:
    """Return text without markup: notification daemons know Pango's, chat programs their own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _ended(status: int, said: bytes, timeout: float) -> str:
    """Return how a program failed, with the last line it said."""
    if status == -9:
        return f"took longer than {timeout:g} s"
    last = one_line((said.decode("utf-8", "replace").strip().splitlines() or [""])[-1])[:LONGEST_TITLE]
    return f"ended with status {status}" + (f": {last}" if last else "")


# -- terminals -------------------------------------------------------------------------------------


def _tmux(notice: Notice, options: Options, timeout: float) -> str:
    socket = options.pane.socket if options.pane else tmux.own_socket()
    if socket is None:
        raise _failed("there is no tmux here")
    clients = tmux.clients(socket, timeout=timeout)
    if clients is None:
        raise _failed("tmux does not answer")
    text = one_line(f"{notice.title}: {notice.body}" if notice.body else notice.title)
    shown = [one for one in clients if tmux.say(socket, one.name, text, seconds=SHOWN, timeout=timeout)]
    if not shown:
        raise _failed("tmux could show it to nobody" if clients else "no terminal is attached to tmux")
    return f"shown on {len(shown)} terminal{'s' if len(shown) > 1 else ''} of tmux"


def _terminal(notice: Notice, options: Options, timeout: float) -> str:
    if options.by_hook:
        return "Claude has its own terminal tell"
    kind = options.sequence or sequences.kind_here()
    if kind is None:
        raise _failed("this terminal is not known to show notifications")
    sequence = sequences.sequence_for(kind, notice.title, notice.body)
    if kind is not sequences.Kind.BELL and tmux.is_inside():  # tmux is to hear the bell itself
        if not tmux.lets_through(timeout=timeout):
            raise _failed("tmux keeps the sequence to itself: its option allow-passthrough is off")
        sequence = sequences.through_tmux(sequence)
    _write_here(sequence)
    return f"the terminal was sent {kind}"


def _bell(_: Notice, options: Options, timeout: float) -> str:
    if options.by_hook:
        return "Claude rings its own terminal"
    if options.pane is not None and tmux.ring(options.pane, timeout=timeout):
        return "rung in its tmux window"
    _write_here("\a")
    return "rung in this terminal"


def _write_here(text: str) -> None:
    try:
        terminal.write("/dev/tty", text)
    except OSError as error:
        raise _failed(f"there is no terminal to write to ({error.strerror})") from error


# -- what the user has set up ----------------------------------------------------------------------


def _command(notice: Notice, options: Options, timeout: float) -> str:
    import tempfile

    env = {
        "WTS_NOTICE_TITLE": notice.title,
        "WTS_NOTICE_BODY": notice.body,
        "WTS_NOTICE_URGENT": "1" if notice.urgent else "",
        "WTS_NOTICE_JSON": json.dumps(notice.document),
    }
    with tempfile.TemporaryFile() as log:
        status = processes.shell(
            options.command,
            cwd=environment.home(),
            env=environment.for_session(env),  # not Claude's markers and token, which a hook hands on
            log=log,
            timeout=timeout,
        )
        log.seek(0)
        said = log.read(1 << 16)
    if status != 0:
        raise _failed(f"the command {_ended(status, said, timeout)}")
    return "the command succeeded"


def _webhook(notice: Notice, options: Options, timeout: float) -> str:
    return webhook.post(options.webhook, notice.document, timeout=timeout)


_BY_NAME: dict[str, Channel] = {"desktop": _desktop, "tmux": _tmux, "terminal": _terminal, "bell": _bell}
CHANNELS = tuple(_BY_NAME)  # in the order in which they are tried unless the user says otherwise
