"""The table of `wts list`: a row for each session, and below it, indented, what it asks and what it is about.

The question of one that needs you, or what went wrong, has a line of its own, so that it can be read at 80 columns;
the goal and the last sentence that Claude said share the next. No line is ever longer than the terminal is wide.

Of the table, the first layout that fits is drawn. The widest says everything. In the others, what the name says
already is left out: the branch shows as `→ parent`, and in front of it only when it is not named after the session;
the worktree goes. In the narrowest, files are counted in git's letters. Then the widest columns give way, in the
middle, and in a narrow pane whole columns: number, name and state are the last. It is laid out here and not by rich,
which took 22 ms to import and draw one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.model import words
from worktree_sessions.model.readiness import verdict
from worktree_sessions.model.session import Listing, Look, Session, Setup, State
from worktree_sessions.outside.git import Status
from worktree_sessions.views.console import clean

GAP = 2
INDENT = 2  # of what stands below a session's row, against its name
KEPT = "\xa0"  # a blank at which no line is broken
QUESTION_LINES = 2  # at most; wts why has the rest
ROOMY = 100  # columns from which on whole branches and worktrees may show
NO_SESSIONS = """No sessions yet. The first one:

  wts new auth-frontend -p "Build the login form\""""


class Face(NamedTuple):
    """How a state looks; the word carries the meaning, symbol and colour only help the eye."""

    symbol: str
    word: str
    style: str


FACES = {
    State.WAITING: Face("●", "needs you", "bold yellow"),
    State.FAILED: Face("✗", "failed", "bold red"),
    State.LIMITED: Face("◔", "limited", "magenta"),
    State.UNKNOWN: Face("?", "unknown", "magenta"),
    State.INTERRUPTED: Face("‖", "interrupted", "yellow"),
    State.IDLE: Face("○", "idle", "green"),
    State.STARTING: Face("◌", "starting", "cyan"),
    State.BACKGROUND: Face("◒", "background", "cyan"),
    State.WORKING: Face("◐", "working", "cyan"),
    State.PARKED: Face("◇", "parked", "dim"),
    State.ENDED: Face("■", "ended", "dim"),
}
SETUP_FAILED = Face("✗", "set-up failed", "bold red")
LOUD = (State.WAITING, State.FAILED, State.WORKING)  # never hidden behind a set-up that failed
TELLING = (State.WAITING, State.FAILED, State.LIMITED, State.UNKNOWN)  # their reason stands below the row


class Cell(NamedTuple):
    """A text in pieces, each with its style: words of SGR."""

    pieces: tuple[tuple[str, str], ...]

    @property
    def plain(self) -> str:
        return "".join(text for text, _ in self.pieces)

    @property
    def width(self) -> int:
        return _cells(self.plain)

    def append(self, text: str, style: str = "") -> Cell:
        """Return this with one piece more."""
        return Cell((*self.pieces, (text, style)))

    def drawn(self, *, color: bool) -> str:
        if not color:
            return self.plain
        return "".join(painted(text, style) for text, style in self.pieces)


READY, CONFLICT = "✓", "✗"  # behind how far a session is from its parent
GIVE_WAY = ("branch", "age", "↑↓", "files")  # columns that go where not even their least fits, in this order
SGR = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "magenta": "35", "cyan": "36"}


def painted(text: str, style: str) -> str:
    """Return a text in a style, words of SGR."""
    codes = ";".join(SGR[word] for word in style.split())
    return f"\x1b[{codes}m{text}\x1b[0m" if codes and text else text


class Shorten:
    """Where a text may lose characters when its column is too narrow."""

    @staticmethod
    def middle(text: str, width: int) -> str:
        if _cells(text) <= width:
            return text
        head = _fit(text, width // 2)
        tail = _fit(text[::-1], width - 1 - _cells(head))[::-1]
        return f"{head}…{tail}"

    @staticmethod
    def branches(text: str, width: int) -> str:
        """Shorten `branch → parent` or `→ parent`, and keep the arrow."""
        branch, _, parent = text.rpartition("→ ")
        if not branch:
            return "→ " + Shorten.middle(parent, width - 2)
        room = width - 3
        kept = min(_cells(parent), max(room // 2, room - _cells(branch.rstrip())))
        return f"{Shorten.middle(branch.rstrip(), room - kept)} → {Shorten.middle(parent, kept)}"

    @staticmethod
    def end(text: str, width: int) -> str:
        return text if _cells(text) <= width else _fit(text, width - 1).rstrip() + "…"

    @staticmethod
    def start(text: str, width: int) -> str:
        return text if _cells(text) <= width else "…" + _fit(text[::-1], width - 1)[::-1]


class Column:
    """A column before it is drawn.

    A layout is chosen when its columns can have `enough` (None: all they want). Only when no layout can,
    they get narrower, down to `least`.
    """

    def __init__(
        self,
        title: str,
        cells: list[Cell],
        least: int,
        *,
        enough: int | None = None,
        shorten: Callable[[str, int], str] = Shorten.middle,
        right: bool = False,
    ) -> None:
        self.title, self.cells, self.least, self.shorten, self.right = title, cells, least, shorten, right
        self.width = max([_cells(title), *(cell.width for cell in cells)])
        self.need = self.width if enough is None else min(self.width, enough)


class Drawing(NamedTuple):
    """The list in its parts, each in lines: the head; for each session its row and what is below it; the notes."""

    head: list[str]
    sessions: list[list[str]]
    notes: list[str]


def listing_text(listing: Listing, *, now: float, width: int, color: bool, home: Path | None = None) -> str:
    """Return `wts list` as text; the looks come in the order they are shown in, `home` is shown as ~."""
    drawn = draw(listing, now=now, width=width, color=color, home=home)
    table = [line for lines in (drawn.head, *drawn.sessions) for line in lines]
    return "\n".join([*table, *([""] if drawn.notes else []), *drawn.notes])


def draw(listing: Listing, *, now: float, width: int, color: bool, home: Path | None = None) -> Drawing:
    """Return the same in its parts, for who shows only some of it."""
    notes = _notes(listing, width)
    if not listing.looks:
        come_back = words.counted(listing.closed, "closed session")
        notes = [*([f"{come_back} can come back: wts restore"] if listing.closed else []), *notes]
        return Drawing(NO_SESSIONS.splitlines(), [], notes)
    columns = _columns(listing, now=now, width=width, home=home)
    notes = [*_summary(listing.looks, width), *_legend(columns), *notes]
    head, *rows = table(columns, width, color=color)
    indent = columns[0].width + GAP + INDENT
    sessions = []
    for row, look in zip(rows, listing.looks, strict=True):
        below = (cell.drawn(color=color) for cell in _below(look, max(1, width - indent)))
        sessions.append([row, *(" " * indent + line for line in below)])
    return Drawing([head], sessions, notes)


def listing_svg(listing: Listing, *, now: float, width: int = 100, title: str = "wts list") -> str:
    """Return the same as a picture for the README; it loads no font and nothing else from anywhere."""
    import io
    import re

    from rich.console import Console
    from rich.terminal_theme import DIMMED_MONOKAI
    from rich.text import Text

    console = Console(
        record=True,
        file=io.StringIO(),
        width=width,
        force_terminal=True,
        color_system="standard",
        no_color=False,
        legacy_windows=False,
    )
    ansi = listing_text(listing, now=now, width=width, color=True)
    console.print(Text.from_ansi(ansi), soft_wrap=True)
    picture = console.export_svg(title=title, theme=DIMMED_MONOKAI, unique_id="wts-list")
    without_fonts = re.sub(r"\s*@font-face \{[^}]*\}", "", picture)
    return without_fonts.replace("Fira Code", "ui-monospace, Menlo, Consolas")


# -- columns ---------------------------------------------------------------------------------------


def table(columns: Sequence[Column], width: int, *, color: bool) -> list[str]:
    """Return the columns as lines that fit, the head first; what is in them has to be harmless."""
    _squeeze(columns, width)
    head = [_text(Shorten.end(column.title, column.width), "dim") for column in columns]
    rows = [head, *zip(*(_shortened(column) for column in columns), strict=True)]
    return [_line(row, columns, color=color) for row in rows]


def _line(row: Iterable[Cell], columns: Sequence[Column], *, color: bool) -> str:
    parts = []
    for cell, column in zip(row, columns, strict=True):
        room = " " * (column.width - cell.width)
        drawn = cell.drawn(color=color)
        parts.append(room + drawn if column.right else drawn + room)
    return (" " * GAP).join(parts).rstrip(" ")


def _columns(listing: Listing, *, now: float, width: int, home: Path | None) -> list[Column]:
    short = _core(listing, now, _branch_in_short, words.changes)
    layouts = [short]
    if width >= ROOMY:
        place = Column(
            "worktree", [_place(look, home) for look in listing.looks], 8, enough=16, shorten=Shorten.start
        )
        layouts = [[*_core(listing, now, _branch_in_full, words.changes), place], [*short, place], short]
    for layout in layouts:
        if _total(column.need for column in layout) <= width:
            return layout
    narrow = _core(listing, now, _branch_in_short, words.changes_in_short)
    for title in GIVE_WAY:
        if _total(min(column.width, column.least) for column in narrow) > width:
            narrow = [column for column in narrow if column.title != title]
    return narrow


def _core(
    listing: Listing, now: float, branch: Callable[[Look], Cell], files: Callable[[Status], str]
) -> list[Column]:
    looks = listing.looks
    states = [_state(look, now) for look in looks]
    return [
        Column("#", [_number(look, listing.current) for look in looks], 3, right=True),
        Column("session", [_name(look, listing.current) for look in looks], 12, enough=28),
        Column("state", states, max(cell.width for cell in states)),
        Column("branch", [branch(look) for look in looks], 12, enough=44, shorten=Shorten.branches),
        Column("files", [_files(look, files) for look in looks], 8, shorten=Shorten.end),
        Column("↑↓", [_distance(look) for look in looks], 6, shorten=Shorten.end),
        Column("age", [_age(look, now) for look in looks], 3, right=True),
    ]


def _number(look: Look, current: str | None) -> Cell:
    here = look.session.name == current
    return _text(f"{'▸ ' if here else ''}{look.session.number}", "bold" if here else "")


def _name(look: Look, current: str | None) -> Cell:
    return _text(clean(look.session.name), "bold" if look.session.name == current else "")


def _state(look: Look, now: float) -> Cell:
    face = FACES[look.now.state]
    if look.session.setup is Setup.FAILED and look.now.state not in LOUD:
        return _text(f"{SETUP_FAILED.symbol} {SETUP_FAILED.word}", SETUP_FAILED.style)
    cell = _text(f"{face.symbol} {face.word}", face.style)
    if look.now.since is not None:
        return cell.append(" " + words.age(now - look.now.since), "dim")
    return cell


def _branch_in_short(look: Look) -> Cell:
    branch = _branch_now(look)
    cell = _text("" if branch.rpartition("/")[2] == look.session.name else clean(branch) + " ", "yellow")
    return cell.append("→ ", "dim").append(clean(look.session.parent))


def _branch_in_full(look: Look) -> Cell:
    cell = _text(clean(_branch_now(look)), "" if _branch_now(look) == look.session.branch else "yellow")
    return cell.append(" → ", "dim").append(clean(look.session.parent))


def _branch_now(look: Look) -> str:
    """What the worktree is on, which may be another branch than the recorded one."""
    return look.session.branch if look.status is None else look.status.branch or "(detached)"


def _files(look: Look, files: Callable[[Status], str]) -> Cell:
    if look.status is None:
        return _text("?", "magenta")
    return _text(files(look.status), "dim" if look.status.is_clean else "")


def _distance(look: Look) -> Cell:
    if look.landed:
        return _text("landed", "green")
    plain = words.distance(look.ahead, look.behind)
    cell = _text(plain, {"?": "magenta", "=": "dim"}.get(plain, ""))
    cell = cell.append(f" {READY}", "green") if verdict(look).ready else cell
    return cell.append(f" {CONFLICT}", "bold red") if look.rivals else cell


def _age(look: Look, now: float) -> Cell:
    return _text(words.age(now - look.session.created.timestamp()), "dim")


def _place(look: Look, home: Path | None) -> Cell:
    path = look.session.worktree
    shown = Path("~") / path.relative_to(home) if home and path.is_relative_to(home) else path
    return _text(clean(str(shown)), "dim")


def _text(plain: str, style: str = "") -> Cell:
    return Cell(((plain, style),))


# -- below a row -----------------------------------------------------------------------------------


def _below(look: Look, width: int) -> list[Cell]:
    """Return the lines that stand below a session's row: its question or failure; its goal and what it said last."""
    face, reason = FACES[look.now.state], one_line(look.now.reason)
    loud = f"{face.symbol} {reason}" if reason and look.now.state in TELLING else ""
    quiet = _goal_and_said(first_line(look.goal), one_line(look.said), width)
    lines = [*((line, face.style) for line in wrapped(loud, width, most=QUESTION_LINES)), (quiet, "dim")]
    return [_text(line, style) for line, style in lines if line]


def _goal_and_said(goal: str, said: str, width: int) -> str:
    """Return both on one line; the longer one gives way first, the goal no further than to half of it."""
    if not said:
        return Shorten.end(goal, width)
    room = max(2, width - len(' · ""'))
    goal = Shorten.end(goal, max(room // 2, room - _cells(said)))
    said = f'"{Shorten.end(said, max(1, room - _cells(goal)))}"'
    return f"{goal} · {said}" if goal else said


def first_line(text: str | None) -> str:
    """Return the first line of a text that has one, harmless; empty without."""
    return next((shown for line in (text or "").splitlines() if (shown := clean(line).strip())), "")


def one_line(text: str | None) -> str:
    """Return a text as one harmless line, its blanks and newlines single blanks; empty without one."""
    return clean(" ".join((text or "").split())).strip()


# -- fitting ---------------------------------------------------------------------------------------


def _total(widths: Iterable[int]) -> int:
    each = list(widths)
    return sum(each) + GAP * (len(each) - 1)


def _squeeze(columns: Sequence[Column], width: int) -> None:
    """Narrow the columns until they fit, always the widest: to what is enough, to the least, then any."""
    for floor in ([c.need for c in columns], [c.least for c in columns], [1] * len(columns)):
        while _total(column.width for column in columns) > width:
            candidates = [
                column for column, least in zip(columns, floor, strict=True) if column.width > least
            ]
            if not candidates:
                break
            max(candidates, key=lambda column: column.width).width -= 1


def _shortened(column: Column) -> list[Cell]:
    return [_shortened_cell(cell, column) for cell in column.cells]


def _shortened_cell(cell: Cell, column: Column) -> Cell:
    if cell.width <= column.width:
        return cell
    style = cell.pieces[0][1] if len(cell.pieces) == 1 else ""
    before, arrow, after = column.shorten(cell.plain, column.width).partition("→")
    return Cell(((before, style), (arrow, f"{style} dim"), (after, style)))


def _cells(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _fit(text: str, width: int) -> str:
    """Return as much of the beginning as fits; a wide character is never halved."""
    used = 0
    for index, character in enumerate(text):
        used += _cells(character)
        if used > width:
            return text[:index]
    return text


def wrapped(text: str, width: int, *, most: int) -> list[str]:
    """Return a text in lines that fit, broken at blanks where that can be; the last of `most` is cut at its end."""
    lines: list[str] = []
    rest = text
    while _cells(rest) > width and len(lines) < most - 1:
        line = _fit(rest, width + 1).rpartition(" ")[0] or _fit(rest, width) or rest[:1]
        lines.append(line.rstrip())
        rest = rest[len(line) :].lstrip()
    return [*lines, Shorten.end(rest, width)]


# -- below the table -------------------------------------------------------------------------------


def _summary(looks: Sequence[Look], width: int) -> list[str]:
    """Return how many sessions there are in each state, in the order of the table; one needs no counting."""
    if len(looks) < 2:
        return []
    counts = Counter(FACES[look.now.state].word for look in looks)
    many = {"needs you": "need you"}
    states = [f"{n} {many.get(word, word) if n > 1 else word}" for word, n in counts.items()]
    kept = f"{words.counted(len(looks), 'session')}: {', '.join(one.replace(' ', KEPT) for one in states)}"
    first, *rest = (line.replace(KEPT, " ") for line in wrapped(kept, width - INDENT, most=len(states)))
    return [first, *(" " * INDENT + line for line in rest)]


def _legend(columns: Sequence[Column]) -> list[str]:
    """Return what the letters in the files column mean, when it has any."""
    cells = [cell for column in columns if column.title == "files" for cell in column.cells]
    counts = [part for cell in cells for part in cell.plain.split() if part[:-1].isdigit()]
    shown = {count[-1] for count in counts}
    meanings = [f"{letter} {word}" for letter, word in words.LETTERS.items() if letter in shown]
    return [f"files: {', '.join(meanings)}"] if meanings else []


def _held(session: Session) -> str:
    reason = f": {one_line(session.hold)}" if session.hold else ""
    return f"{clean(session.name)} is held back{reason}"


def _notes(listing: Listing, width: int) -> list[str]:
    """Return what lies beside the table, each with the command that deals with it."""
    looks = listing.looks
    failed = [clean(look.session.name) for look in looks if look.session.setup is Setup.FAILED]
    untrusted = [clean(look.session.name) for look in looks if look.session.setup is Setup.UNTRUSTED]
    ready = [clean(look.session.name) for look in looks if verdict(look).ready]
    held = [look.session for look in looks if look.session.hold is not None]
    left_out = [clean(look.session.name) for look in looks if look.session.held_back and not look.landed]
    rivals = [clean(look.session.name) for look in looks if look.rivals]
    notes = [
        Shorten.end(f"{clean(look.session.name)}: {clean(look.problem)}", width)
        for look in looks
        if look.problem and look.session.name not in listing.missing
    ]
    notes += [
        f"worktree of {clean(name)} is missing: wts restore {clean(name)}" for name in listing.missing[:3]
    ]
    if (more := len(listing.missing) - 3) > 0:
        notes.append(f"{more} more {'worktree is' if more == 1 else 'worktrees are'} missing: wts restore")
    if ready:
        notes.append(f"{READY} ready: {words.listed(ready)}: wts merge-ready")
    if left_out:
        says = f"left out by the last merge-ready: {words.listed(left_out)}: wts merge-ready --dry-run"
        notes.append(Shorten.end(says, width))
    notes += [Shorten.end(_held(session), width) for session in held]
    if rivals:
        notes.append(f"{CONFLICT} in conflict: {words.listed(rivals)}: wts radar")
    if failed:
        notes.append(f"set-up failed in {words.listed(failed)}: wts setup {failed[0]}")
    if untrusted:
        notes.append(f"set-up waits for approval in {words.listed(untrusted)}: wts trust")
    notes += [f"half-made: {clean(what)}: wts doctor --fix" for what in listing.unfinished]
    notes += [
        f"unreadable record, kept: {clean(str(bad.path))}: {clean(bad.reason)}" for bad in listing.unreadable
    ]
    if listing.others:
        verb = "is not a session" if listing.others == 1 else "are not sessions"
        notes.append(f"{words.counted(listing.others, 'worktree')} {verb}: wts adopt PATH")
    return notes
