"""The terminal that we run on: whether there is one, and how it is brought back after a program left it in disorder."""

from __future__ import annotations

import contextlib
import os

# Leave the alternate screen, show the cursor; mouse, focus and paste reports off; keyboard and attributes as usual.
RESET = (
    "\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[<u\x1b[0m\r\n"
)


def is_interactive() -> bool:
    """Return whether a person types and reads here: stdin and stdout are both terminals."""
    return os.isatty(0) and os.isatty(1)


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
