"""A story told while something takes its time: line by line, and on a terminal with the seconds it takes so far."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from worktree_sessions.views.console import Screen, clean

Tell = Callable[[str], None]


@contextlib.contextmanager
def telling(screen: Screen) -> Iterator[Tell]:
    """Give a function that tells a line; on a terminal, below the last one, a clock runs that goes with the block."""
    terminal = screen.story_terminal()
    if terminal is None:
        yield lambda text: screen.story(clean(text))
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

    console = Console(file=terminal, highlight=False, no_color=not screen.colors_story)
    with Progress(SpinnerColumn(), TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("")

        def tell(text: str) -> None:
            progress.console.print(clean(text), markup=False, soft_wrap=True)
            progress.reset(task)

        yield tell
