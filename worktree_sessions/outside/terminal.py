"""The terminal that we run on: whether there is one, how it is taken over for a while, and how it is brought back."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NamedTuple

from worktree_sessions.outside import environment

# Leave the alternate screen, show the cursor; mouse, focus and paste reports off; keyboard and attributes as usual.
RESET = (
    "\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[<u\x1b[0m\r\n"
)

# Another screen, no cursor, what is too long for a line cut and not wrapped; and back.
TAKE = "\x1b[?1049h\x1b[?25l\x1b[?7l"
GIVE_BACK = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"

# What a terminal sends for one key: a sequence (CSI or SS3), a character with Alt, a character.
KEY = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1bO[\s\S]|\x1b[^\x1b]|[\s\S]")
NAMED = {
    **dict.fromkeys(("\x1b[A", "\x1bOA"), "up"),
    **dict.fromkeys(("\x1b[B", "\x1bOB"), "down"),
    **dict.fromkeys(("\r", "\n"), "enter"),
    "\x1b": "escape",
}
BEGUN = (b"\x1b", b"\x1b[", b"\x1bO")
SEQUENCE_WITHIN = 0.05  # seconds in which the rest of a sequence follows its Esc, over ssh too


def is_interactive() -> bool:
    """Return whether a person types and reads here: stdin and stdout are both terminals."""
    return os.isatty(0) and os.isatty(1)


def write(device: str, text: str) -> None:
    """Write to a terminal, `/dev/tty` for our own; OSError when there is none, or when it is stopped (Ctrl-S)."""
    terminal = os.open(device, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        os.write(terminal, text.encode())
    finally:
        os.close(terminal)


class Keeper:
    """The mode of the terminal as it was when this was made; nothing at all where there is no terminal."""

    def __init__(self) -> None:
        self._mode: list[object] | None = None
        with contextlib.suppress(Exception):
            import termios

            self._mode = termios.tcgetattr(0)

    def repair(self) -> None:
        """Restore the mode, drop what was typed, leave every screen and report that a program may have switched on."""
        if self._mode is None:
            return
        import termios

        with contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(0, termios.TCSAFLUSH, self._mode)  # type: ignore[arg-type]  # the stub knows no list
            os.write(1, RESET.encode())


class Size(NamedTuple):
    """The size of a terminal, in characters."""

    columns: int
    lines: int


def can_be_drawn_on() -> bool:
    """Return whether a person sits here, at a terminal that understands control sequences."""
    return is_interactive() and environment.variable("TERM") not in (None, "dumb")


def is_unread(seconds: float) -> bool:
    """Wait so long, or until nobody reads our standard output any more; return whether that is so."""
    reader = select.poll()
    reader.register(1, 0)
    return any(event & select.POLLERR for _, event in reader.poll(seconds * 1000))


def keys(typed: str) -> list[str]:
    """Return the keys of what was typed: up, down, enter, escape, else what the terminal sent for it."""
    return [NAMED.get(key, key) for key in KEY.findall(typed)]


class Takeover:
    """The whole terminal, for as long as the block lasts: another screen, no cursor, every key at once and unechoed.

    However the block ends, by an exception or a signal that ends us, the terminal is as it was. While we are stopped
    (Ctrl-Z) it is, too. `is_blank` tells that everything has to be drawn: what was there is gone, or has another size.
    """

    def __init__(self) -> None:
        self.is_blank = True
        self._mode: list[Any] | None = None  # as it was; None while the terminal is not ours
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Takeover:
        self._ear, self._mouth = os.pipe()
        os.set_blocking(self._mouth, False)
        self._wakeup = signal.set_wakeup_fd(self._mouth, warn_on_full_buffer=False)
        handlers: dict[signal.Signals, Callable[[int, FrameType | None], None]] = {
            signal.SIGINT: self._interrupt,
            **dict.fromkeys((signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT), self._end),
            signal.SIGTSTP: self._stop,
            signal.SIGCONT: self._go_on,
            signal.SIGWINCH: self._resized,
        }
        self._before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        self._take()
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._ear)
        os.close(self._mouth)

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Let other programs have the terminal while the block lasts, as it was before."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    def size(self) -> Size:
        """Return the terminal's size as it is now; 80 by 24 when it tells none, as a serial line does."""
        try:
            columns, lines = os.get_terminal_size(1)
        except OSError:  # it is gone, and `wait` will tell
            columns, lines = 0, 0
        return Size(columns or 80, lines or 24)

    def wait(self, seconds: float) -> list[str]:
        """Return the keys that were pressed, none when there was none for so long, or a signal came.

        Raises EOFError when the terminal is gone.
        """
        ready, _, _ = select.select([0, self._ear], [], [], seconds)
        if self._ear in ready:
            os.read(self._ear, 512)
        if 0 not in ready:
            return []
        typed = self._read()
        while typed.endswith(BEGUN) and select.select([0], [], [], SEQUENCE_WITHIN)[0]:
            typed += self._read()
        return keys(typed.decode("utf-8", "replace"))

    def _read(self) -> bytes:
        try:
            typed = os.read(0, 1024)
        except OSError:
            typed = b""
        if not typed:
            raise EOFError("the terminal is gone")
        return typed

    def _take(self) -> None:
        import termios

        self.is_blank = True
        before = self._mode
        try:
            self._mode = before or termios.tcgetattr(0)
            ours = [*self._mode[:3], self._mode[3] & ~(termios.ICANON | termios.ECHO), *self._mode[4:6]]
            characters = list(self._mode[6])
            characters[termios.VMIN], characters[termios.VTIME] = 1, 0
            termios.tcsetattr(0, termios.TCSADRAIN, [*ours, characters])
            if before is None:
                os.write(1, TAKE.encode())
        except (termios.error, OSError):
            self._mode = before  # we are in the background: SIGCONT tells when to try again

    def _give_back(self) -> None:
        import termios

        if self._mode is None:
            return
        with contextlib.suppress(termios.error, OSError):  # it may be gone
            os.write(1, GIVE_BACK.encode())
            termios.tcsetattr(0, termios.TCSADRAIN, self._mode)
        self._mode = None

    def _interrupt(self, _: int, __: FrameType | None) -> None:
        self._give_back()  # now, since a second Ctrl-C would interrupt the end of the block
        raise KeyboardInterrupt

    def _end(self, number: int, _: FrameType | None) -> None:
        self._give_back()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _stop(self, number: int, _: FrameType | None) -> None:
        self._give_back()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # here we are stopped, unless nobody could have us go on
        signal.signal(number, self._stop)
        self._take()

    def _go_on(self, _: int, __: FrameType | None) -> None:
        self._take()

    def _resized(self, _: int, __: FrameType | None) -> None:
        self.is_blank = True
