"""A notice reaches a human through whatever channel works, and no text in it does anything but be read."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.claude_cli import eventually
from worktree_sessions.model import settings
from worktree_sessions.outside import notifiers, sequences, terminal, tmux
from worktree_sessions.outside.notifiers import CHANNELS, Delivery, Notice, Options, deliver
from worktree_sessions.outside.sequences import Kind, sequence_for

NOTICE = Notice("3 auth-frontend needs you", "may it run `npm test`?", urgent=True, facts={"number": 3})
PLAIN = Options()


@pytest.fixture(autouse=True)
def no_desktop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the developer's own desktop and terminal, as far as the environment tells of them."""
    for name in (*notifiers.DISPLAYS, "SSH_CONNECTION", *(name for name, _, _ in sequences.SIGNS)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def mark() -> Iterator[Path]:
    """A file that nobody may make; its path is short, so that a text with it is not cut."""
    with tempfile.TemporaryDirectory(prefix="wts-m-") as directory:
        yield Path(directory) / "mark"
        assert os.listdir(directory) == []


def only(deliveries: list[Delivery]) -> Delivery:
    (delivery,) = deliveries
    return delivery


def hostile(mark: Path) -> Notice:
    """A notice that would leave a file behind, or drive a terminal, if any of it were more than text."""
    touch = f"touch {mark}"
    return Notice(
        f"-x #({touch}) $({touch}) `{touch}` %H #{{pid}} \x1b]0;title\x07",
        f'</b>&lt; "); {touch}; (("\x1b[2J\x00\x9b;\u202e\ud800\n; {touch};',
        urgent=False,
        facts={"text of others": f"$({touch})"},
    )


# -- the chain -------------------------------------------------------------------------------------


def test_command_and_webhook_are_used_besides(tmp_path: Path, server: Server, answers: Answers) -> None:
    pane = server.session("one")
    options = Options(pane=pane, command=f"touch {tmp_path}/told", webhook=answers.url("/200"))
    done = deliver(NOTICE, ["bell"], options)
    assert [(one.channel, one.worked) for one in done] == [
        ("bell", True),
        ("command", True),
        ("webhook", True),
    ]
    assert (tmp_path / "told").exists()
    assert len(answers.heard) == 1


def test_without_a_channel_nothing_is_done() -> None:
    assert deliver(NOTICE, [], PLAIN) == []


# -- desktop ---------------------------------------------------------------------------------------


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH of its own, where a desktop's programs can be put."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return directory


def put_program(directory: Path, name: str, ends: str = "") -> None:
    """Make a program that writes down its words and its standard input, and then ends as told."""
    file = directory / name
    file.write_text(
        f"#!/bin/sh\nprintf '%s\\0' \"$@\" > {directory}/{name}.argv\n/bin/cat > {directory}/{name}.in\n{ends}\n"
    )
    file.chmod(0o755)


def heard_by(directory: Path, name: str) -> tuple[list[str], bytes]:
    argv = (directory / f"{name}.argv").read_text().split("\0")[:-1]
    return argv, (directory / f"{name}.in").read_bytes()


def test_notify_send_is_given_texts_and_urgency(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_program(programs, "notify-send")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert only(deliver(NOTICE, ["desktop"], PLAIN)) == Delivery("desktop", True, "shown by notify-send")
    argv, _ = heard_by(programs, "notify-send")
    assert argv == ["--app-name=wts", "--urgency=critical", "--", NOTICE.title, NOTICE.body]


def test_notify_send_is_given_no_markup_and_no_options(
    programs: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_program(programs, "notify-send")
    monkeypatch.setenv("DISPLAY", ":0")
    assert only(deliver(hostile(mark), ["desktop"], PLAIN)).worked
    argv, _ = heard_by(programs, "notify-send")
    touch = f"touch {mark}"
    assert argv == [
        "--app-name=wts",
        "--urgency=normal",
        "--",
        f"-x #({touch}) $({touch}) `{touch}` %H #{{pid}} ]0;title",
        f'&lt;/b&gt;&amp;lt; "); {touch}; ((" [2J ;\n; {touch};',
    ]


def test_the_desktops_of_macos_and_windows_get_text_as_data(programs: Path, mark: Path) -> None:
    """Their programs are stood in for by ones that write down what they get; no script of ours holds the text."""
    notice = hostile(mark)
    title, touch = f"wts: -x #(touch {mark})", f"touch {mark}"

    put_program(programs, "powershell.exe")
    assert only(deliver(notice, ["desktop"], PLAIN)).says == "shown by powershell.exe"
    argv, stdin = heard_by(programs, "powershell.exe")
    assert argv == ["-NoProfile", "-NonInteractive", "-Command", notifiers.SHOW_ON_WINDOWS]
    assert stdin.isascii()
    assert json.loads(stdin)["body"] == f'</b>&lt; "); {touch}; ((" [2J ;\n; {touch};'

    put_program(programs, "osascript")
    assert only(deliver(notice, ["desktop"], PLAIN)).says == "shown by osascript"
    argv, _ = heard_by(programs, "osascript")
    assert argv[:6:2] == ["-e"] * 3
    assert argv[1:6:2] == list(notifiers.SHOW_ON_MACOS)
    assert argv[6].startswith(title)
    assert argv[7].startswith("</b>")
    assert len(argv) == 8

    put_program(programs, "terminal-notifier")
    assert only(deliver(notice, ["desktop"], PLAIN)).says == "shown by terminal-notifier"
    argv, stdin = heard_by(programs, "terminal-notifier")
    assert argv[0] == "-title"
    assert argv[1].startswith(title)
    assert len(argv) == 2
    assert stdin.startswith(b"</b>")


@pytest.mark.parametrize(
    ("ends", "timeout", "says"),
    [
        ("echo 'no such bus' >&2; exit 4", 60, "notify-send ended with status 4: no such bus"),
        ("exec /bin/sleep 60", 0.3, "notify-send took longer than 0.3 s"),
    ],
)
def test_a_desktop_that_fails_or_hangs_is_told(
    programs: Path, monkeypatch: pytest.MonkeyPatch, ends: str, timeout: float, says: str
) -> None:
    put_program(programs, "notify-send", ends)
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/none")
    assert only(deliver(NOTICE, ["desktop"], PLAIN, timeout=timeout)) == Delivery("desktop", False, says)


def test_a_machine_without_a_desktop_says_what_is_missing(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = "none of terminal-notifier, osascript, powershell.exe, notify-send is on PATH"
    assert only(deliver(NOTICE, ["desktop"], PLAIN)) == Delivery("desktop", False, none)
    put_program(programs, "notify-send")
    unset = "there is no desktop: none of DISPLAY, WAYLAND_DISPLAY, DBUS_SESSION_BUS_ADDRESS is set"
    assert only(deliver(NOTICE, ["desktop"], PLAIN)) == Delivery("desktop", False, unset)
    monkeypatch.setenv("DISPLAY", "localhost:10.0")
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22")
    assert "ssh login" in only(deliver(NOTICE, ["desktop"], PLAIN)).says
    assert not (programs / "notify-send.argv").exists()


# -- tmux ------------------------------------------------------------------------------------------


class Human:
    """A terminal of a human's, in which tmux is attached: what it was sent, and its reports of focus."""

    def __init__(self, server: Server, session: str) -> None:
        self.screen, device = pty.openpty()
        termios.tcsetwinsize(device, (24, 150))
        self.tty = os.ttyname(device)
        words = ["tmux", "-S", server.socket, "-f", "/dev/null", "attach-session", "-t", f"={session}:"]
        self.process = subprocess.Popen(
            words, stdin=device, stdout=device, stderr=device, start_new_session=True
        )
        os.close(device)
        self.seen = b""
        server.humans.append(self)
        os.write(
            self.screen, b"\x1b[>0;95;0c\x1bP>|terminal 1\x1b\\"
        )  # tmux asks who it is, and waits for 5 s
        eventually(lambda: self.tty in server.run("list-clients", "-F", "#{client_name}"), "client")

    def look(self) -> str:
        """Return all that came on this terminal until now."""
        while select.select([self.screen], [], [], 0.05)[0]:
            try:
                self.seen += os.read(self.screen, 1 << 16)
            except OSError:  # tmux has left
                break
        return self.seen.decode("utf-8", "replace")

    def wait_for(self, text: str) -> None:
        eventually(lambda: text in self.look(), f"{text!r} on the terminal")

    def report_focus(self, has: bool) -> None:
        os.write(self.screen, b"\x1b[I" if has else b"\x1b[O")

    def leave(self) -> None:
        self.process.terminate()
        self.process.wait()
        os.close(self.screen)


class Server:
    """A tmux server of the test's own."""

    def __init__(self) -> None:
        self.base = tempfile.mkdtemp(prefix="wts-n-")  # short: the path of a socket has at most 107 bytes
        self.socket = f"{self.base}/tmux"
        self.humans: list[Human] = []

    def run(self, *args: str) -> str:
        words = ["tmux", "-S", self.socket, "-f", "/dev/null", *args]
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
        return done.stdout.strip()

    def session(self, name: str, command: str = "cat") -> tmux.Pane:
        size = ["-x", "150", "-y", "24"]
        words = ["new-session", "-d", "-P", "-F", "#{pane_id}", "-s", name, *size, command]
        return tmux.Pane(self.socket, self.run(*words))

    def end(self) -> None:
        self.run("kill-server")
        for human in self.humans:
            human.leave()
        shutil.rmtree(self.base, ignore_errors=True)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.end()


def test_a_line_shows_in_every_client_of_the_server_and_runs_nothing(server: Server, mark: Path) -> None:
    one, two = server.session("one"), server.session("two")
    humans = [Human(server, "one"), Human(server, "two")]
    notice = hostile(mark)
    for pane in (one, two):
        done = only(deliver(notice, ["tmux"], Options(pane=pane)))
        assert done == Delivery("tmux", worked=True, says="shown on 2 terminals of tmux")
    touch = f"touch {mark}"
    for human in humans:
        human.wait_for(f"-x #({touch}) $({touch}) `{touch}` %H #{{pid}} ]0")


@pytest.mark.parametrize("line", ["ends;", "ends\\;", ";", "#[fg=red]# #{l:x} %% #h", "-p", "Zoë 日本"])
def test_a_line_shows_as_it_is(server: Server, line: str) -> None:
    pane = server.session("one")
    human = Human(server, "one")
    (client,) = tmux.clients(pane.socket) or []
    assert tmux.say(pane.socket, client.name, f"<{line}>", seconds=10)
    human.wait_for(f"<{line}>")
    assert tmux.say(pane.socket, client.name, f"<<{line}", seconds=10)
    human.wait_for(f"<<{line}")


def test_the_first_channel_that_works_gets_the_notice(server: Server) -> None:
    pane = server.session("one")
    Human(server, "one")
    done = deliver(NOTICE, CHANNELS, Options(pane=pane))
    assert [(one.channel, one.worked) for one in done] == [("desktop", False), ("tmux", True)]


def test_a_tmux_that_hangs_is_told(server: Server) -> None:
    pane = server.session("one")
    pid = int(server.run("display-message", "-p", "#{pid}"))
    os.kill(pid, signal.SIGSTOP)
    try:
        done = only(deliver(NOTICE, ["tmux"], Options(pane=pane), timeout=0.3))
    finally:
        os.kill(pid, signal.SIGCONT)
    assert done == Delivery("tmux", False, "tmux does not answer")


def test_a_tmux_that_nobody_looks_at_is_no_channel(server: Server) -> None:
    pane = server.session("one")
    says = "no terminal is attached to tmux"
    assert only(deliver(NOTICE, ["tmux"], Options(pane=pane))) == Delivery("tmux", False, says)
    assert only(deliver(NOTICE, ["tmux"], PLAIN)) == Delivery("tmux", False, "there is no tmux here")


def test_a_pane_is_watched_by_the_one_who_works_in_it(server: Server) -> None:
    """Known only where the terminal reports its focus, and tmux listens."""
    one = server.session("one")
    other = tmux.Pane(
        server.socket, server.run("new-window", "-d", "-P", "-F", "#{pane_id}", "-t", "=one:", "cat")
    )
    assert tmux.is_watched(one) is False, "nobody is attached"
    server.run("set-option", "-g", "focus-events", "on")
    human = Human(server, "one")
    human.wait_for("\x1b[?1004h")  # tmux asks for reports

    human.report_focus(True)
    eventually(lambda: tmux.is_watched(one) is True, "watched pane")
    assert tmux.is_watched(other) is False, "another window is shown"
    human.report_focus(False)
    eventually(lambda: tmux.is_watched(one) is False, "pane left alone")
    human.report_focus(True)
    eventually(lambda: tmux.is_watched(one) is True, "watched pane again")
    server.run("select-window", "-t", other.id)
    eventually(lambda: tmux.is_watched(other) is True, "watched other pane")
    assert tmux.is_watched(one) is False

    server.run("set-option", "-g", "focus-events", "off")
    assert tmux.is_watched(other) is None, "tmux does not listen"
    assert tmux.is_watched(one) is False, "whoever has the focus, this window is not shown"
    assert tmux.is_watched(tmux.Pane(f"{server.base}/none", "%0")) is None


def test_a_terminal_that_nobody_typed_in_lately_may_have_lost_the_focus(server: Server) -> None:
    """One that reports no focus is flagged as focused forever, and a notice held back for it would reach nobody."""
    pane = server.session("one")
    server.run("set-option", "-g", "focus-events", "on")
    human = Human(server, "one")
    assert tmux.is_watched(pane) is True
    assert tmux.is_watched(pane, lately=-60) is None
    human.report_focus(False)
    eventually(lambda: tmux.is_watched(pane, lately=-60) is False, "pane left alone")


def test_the_bell_marks_the_window_of_the_pane(server: Server) -> None:
    server.session("one")
    other = tmux.Pane(
        server.socket, server.run("new-window", "-d", "-P", "-F", "#{pane_id}", "-t", "=one:", "cat")
    )
    done = only(deliver(NOTICE, ["bell"], Options(pane=other)))
    assert done == Delivery("bell", worked=True, says="rung in its tmux window")
    flags = ["list-windows", "-t", "=one:", "-F", "#{window_bell_flag}"]
    eventually(lambda: server.run(*flags).split() == ["0", "1"], "mark on the second window")
    assert tmux.ring(tmux.Pane(server.socket, "%99")) is False


# -- the terminal itself ---------------------------------------------------------------------------


def test_each_terminal_gets_the_sequence_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sequences.kind_here() is None
    seen = {}
    for name, value in [
        ("GHOSTTY_RESOURCES_DIR", "/x"),
        ("KITTY_WINDOW_ID", "1"),
        ("TERM", "foot-extra"),
        ("LC_TERMINAL", "iTerm2"),
        ("TERM_PROGRAM", "WezTerm"),
    ]:  # the later, the stronger
        monkeypatch.setenv(name, value)
        seen[name] = sequences.kind_here()
    assert list(seen.values()) == [Kind.OSC777, Kind.OSC99, Kind.OSC777, Kind.OSC9, Kind.OSC777]


@pytest.mark.parametrize(
    ("kind", "sequence"),
    [
        (Kind.OSC9, "\x1b]9;a b: c；d [31m ]0； x \\\x1b\\"),
        (Kind.OSC777, "\x1b]777;notify;a b;c；d [31m ]0； x \\\x1b\\"),
        (Kind.OSC99, "\x1b]99;i=ID:d=0;a b\x1b\\\x1b]99;i=ID:p=body;c；d [31m ]0； x \\\x1b\\"),
        (Kind.BELL, "\a"),
    ],
)
def test_a_text_ends_no_sequence_and_begins_none(kind: Kind, sequence: str) -> None:
    made = sequence_for(kind, "a\nb", "c;d \x1b[31m\x07]0;\x9cx\x1b\\")
    assert re.sub(r"i=wts[0-9a-f]+:", "i=ID:", made) == sequence


def test_a_text_of_digits_is_no_progress_bar() -> None:
    """`OSC 9 ; 4 ; ...` draws progress in some terminals, and Claude lets no OSC 9 through that begins with a digit."""
    assert sequence_for(Kind.OSC9, "4;1;50", "") == "\x1b]9;wts: 4；1；50\x1b\\"


def test_two_notices_do_not_replace_each_other() -> None:
    made = "".join(sequence_for(Kind.OSC99, title, "x") for title in ("one", "two"))
    ids = re.findall(r"i=(\w+)", made)
    assert (len(ids), len(set(ids))) == (4, 2), "two parts each"


TOLD_HERE = """
import json, os, sys
from worktree_sessions.outside.notifiers import Notice, Options, deliver
from worktree_sessions.outside.sequences import Kind
done = deliver(Notice("a", "b;c", False, {}), [sys.argv[1]], Options(sequence=Kind.OSC777))
with open(sys.argv[2] + ".new", "w") as file:
    json.dump(done[0], file)
os.rename(file.name, sys.argv[2])
"""


def told_in(pane: tmux.Pane, server: Server, channel: str, said: Path) -> Delivery:
    """Deliver from a program that is run by the shell of a pane, and return what became of it."""
    words = shlex.join([sys.executable, "-c", TOLD_HERE, channel, str(said)])
    server.run("send-keys", "-t", pane.id, "-l", words)
    server.run("send-keys", "-t", pane.id, "Enter")
    text = eventually(lambda: said.read_text() if said.exists() else "", "delivery")
    return Delivery(*json.loads(text))


def test_a_sequence_passes_through_tmux_where_it_may(server: Server, tmp_path: Path) -> None:
    pane = server.session("one", "sh")
    raw = tmp_path / "raw"
    server.run("pipe-pane", "-t", pane.id, f"cat > {raw}")
    kept = "tmux keeps the sequence to itself: its option allow-passthrough is off"
    assert told_in(pane, server, "terminal", tmp_path / "1") == Delivery("terminal", False, kept)
    server.run("set-option", "-g", "allow-passthrough", "on")
    assert told_in(pane, server, "terminal", tmp_path / "2") == Delivery(
        "terminal", True, "the terminal was sent osc777"
    )
    wanted = "\x1bPtmux;\x1b\x1b]777;notify;a;b；c\x1b\x1b\\\x1b\\".encode()
    eventually(lambda: wanted in raw.read_bytes(), "sequence")
    assert raw.read_bytes().count(b"\x1bPtmux") == 1


def test_the_bell_rings_in_our_own_terminal(server: Server, tmp_path: Path) -> None:
    pane = server.session("one", "sh")
    here = Delivery("bell", True, "rung in this terminal")
    assert told_in(pane, server, "bell", tmp_path / "said") == here
    eventually(lambda: server.run("list-windows", "-a", "-F", "#{window_bell_flag}") == "1", "bell")


@pytest.mark.parametrize("channel", ["terminal", "bell"])
def test_without_a_terminal_it_is_said_so(channel: str, tmp_path: Path) -> None:
    file = tmp_path / "said"
    words = [sys.executable, "-c", TOLD_HERE, channel, str(file)]
    subprocess.run(words, start_new_session=True, check=True)
    worked, says = json.loads(file.read_text())[1:]
    assert not worked
    assert says.startswith("there is no terminal to write to")


def test_a_terminal_that_is_stopped_blocks_nobody() -> None:
    """As by Ctrl-S."""
    screen, device = pty.openpty()
    termios.tcflow(device, termios.TCOOFF)
    with pytest.raises(BlockingIOError):
        terminal.write(os.ttyname(device), "\a")
    termios.tcflow(device, termios.TCOON)
    terminal.write(os.ttyname(device), "\a")
    assert os.read(screen, 10) == b"\a"
    os.close(screen)
    os.close(device)


def test_a_terminal_that_nothing_is_known_of_is_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    says = "this terminal is not known to show notifications"
    assert only(deliver(NOTICE, ["terminal"], PLAIN)) == Delivery("terminal", False, says)


# -- a command of the user's -----------------------------------------------------------------------


def test_a_command_gets_the_notice_in_variables(
    tmp_path: Path, mark: Path, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_CODE_MESSAGING_TOKEN", "secret")
    (tmp_path / "save").write_text(f"#!/bin/sh\nenv -0 > {tmp_path}/env\npwd > {tmp_path}/cwd\n")
    done = only(deliver(hostile(mark), [], Options(command=f"sh {tmp_path}/save")))
    assert done == Delivery("command", True, "the command succeeded")
    env = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().split("\0") if line)
    touch = f"touch {mark}"
    title = f"-x #({touch}) $({touch}) `{touch}` %H #{{pid}} ]0;title"
    body = f'</b>&lt; "); {touch}; ((" [2J ;\n; {touch};'
    assert {
        key: value for key, value in env.items() if key.startswith("WTS_") and key != "WTS_NOTICE_JSON"
    } == {
        "WTS_NOTICE_TITLE": title,
        "WTS_NOTICE_BODY": body,
        "WTS_NOTICE_URGENT": "",
    }
    assert json.loads(env["WTS_NOTICE_JSON"]) == {
        "text of others": f"$({touch})",
        "title": title,
        "body": body,
        "urgent": False,
        "text": f"{title}\n{body}".replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
    }
    assert "CLAUDE_CODE_MESSAGING_TOKEN" not in env
    assert Path((tmp_path / "cwd").read_text().strip()) == hermetic.resolve()


def test_a_command_may_run_wts() -> None:
    """No variable of a notice is taken for a setting, or for a setting misspelt."""
    names = re.findall(r'"(WTS_NOTICE_\w+)":', Path(notifiers.__file__).read_text())
    assert len(names) == 4
    assert settings.parse_variables(dict.fromkeys(names, "x")).values == {}


@pytest.mark.parametrize(
    ("command", "timeout", "says"),
    [
        ("echo one; echo 'the \x1b[1mlast' >&2; exit 3", 60, "the command ended with status 3: the [1mlast"),
        ("sleep 60 & sleep 60", 0.3, "the command took longer than 0.3 s"),
        ("no-such-command-at-all 2>/dev/null", 60, "the command ended with status 127"),
    ],
)
def test_a_command_that_fails_or_hangs_is_told(command: str, timeout: float, says: str) -> None:
    assert only(deliver(NOTICE, [], Options(command=command), timeout=timeout)) == Delivery(
        "command", False, says
    )


def test_a_command_that_cannot_be_started_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", f"{tmp_path}/nowhere")
    done = only(deliver(NOTICE, [], Options(command="true")))
    assert done == Delivery("command", False, f"{tmp_path}/nowhere: No such file or directory")


# -- webhook ---------------------------------------------------------------------------------------


class Heard(NamedTuple):
    """A request: method, path, headers, body."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Answers(ThreadingHTTPServer):
    """A server on loopback that answers as the path says: /204, /302, /slow, /drops."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.heard: list[Heard] = []
        self.ended = threading.Event()

    def url(self, path: str, login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gives up is what these tests are about."""


class Answer(BaseHTTPRequestHandler):
    server: Answers

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.heard.append(Heard(self.command, self.path, dict(self.headers), body))
        what = self.path.partition("?")[0].strip("/")
        if what == "slow":
            self.server.ended.wait(60)
        elif what == "drops":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not self.server.ended.wait(0.05):
                self.wfile.write(b"X-More: x\r\n")
        elif what == "rubbish":
            self.wfile.write(b"\x00\xff not http\r\n\r\n")
        else:
            self.send_response(int(what))
            self.send_header("Location", self.server.url("/200?elsewhere"))
            self.send_header("Content-Length", "0")
            self.end_headers()

    do_GET = do_POST  # noqa: N815 (the library's word)

    def log_message(self, *_: object) -> None:
        """Nothing goes to the terminal."""


@pytest.fixture
def answers() -> Iterator[Answers]:
    server = Answers()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server
    server.ended.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_webhook_gets_the_notice_as_json(answers: Answers) -> None:
    notice = Notice("title <!channel>", "a & b", urgent=True, facts={"number": 3, "state": "waiting"})
    url = answers.url("/204?token=secret", login="ada:p%40ss@")
    assert only(deliver(notice, [], Options(webhook=url))) == Delivery(
        "webhook", True, f"127.0.0.1:{answers.server_address[1]} answered 204"
    )
    (heard,) = answers.heard
    assert (heard.method, heard.path) == ("POST", "/204?token=secret")
    assert heard.headers["Content-Type"] == "application/json"
    assert heard.headers["Authorization"] == "Basic YWRhOnBAc3M="
    assert json.loads(heard.body) == {
        "number": 3,
        "state": "waiting",
        "title": "title <!channel>",
        "body": "a & b",
        "urgent": True,
        "text": "title &lt;!channel&gt;\na &amp; b",
    }


@pytest.mark.parametrize(
    ("path", "timeout", "says"),
    [
        ("/500", 60, "answered 500"),
        ("/404", 60, "answered 404"),
        ("/302", 60, "answered 302, a redirect, which is not followed"),
        ("/307", 60, "answered 307, a redirect, which is not followed"),
        ("/slow", 0.5, "did not answer within 0.5 s"),
        ("/drops", 0.5, "did not answer within 0.5 s"),
        ("/rubbish", 60, "can't be reached: BadStatusLine"),
    ],
)
def test_a_webhook_that_fails_is_told_without_its_secrets(
    answers: Answers, path: str, timeout: float, says: str
) -> None:
    url = answers.url(path + "?token=secret", login="ada:secret@")
    done = only(deliver(NOTICE, [], Options(webhook=url), timeout=timeout))
    assert done == Delivery("webhook", False, f"127.0.0.1:{answers.server_address[1]} {says}")
    assert eventually(lambda: len(answers.heard), "request") == 1


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://secret@127.0.0.1/",
        "https:///secret",
        "http://127.0.0.1:secret/",
        "http://[secret/",
        "http://127.0.0.1/a b\nsecret",
        "http://é.secret/",
        "secret",
    ],
)
def test_an_address_that_is_none_is_told_without_its_secrets(url: str) -> None:
    says = "the webhook's address is not one of http:// or https://"
    assert only(deliver(NOTICE, [], Options(webhook=url))) == Delivery("webhook", False, says)


def test_a_webhook_that_nobody_serves_is_told(answers: Answers) -> None:
    url = answers.url("/200")
    answers.shutdown()
    answers.server_close()
    assert only(deliver(NOTICE, [], Options(webhook=url))).says.endswith(
        "can't be reached: Connection refused"
    )
