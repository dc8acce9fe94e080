"""The live board: what it shows, what it costs, how it leaves the terminal, and what it tells a pipe."""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Wts
from tests.support.claude_cli import eventually
from tests.support.looks import NOW, a_look
from tests.support.repos import Repo
from tests.support.sessions import a_session, closed, project_of, worktree_of
from tests.support.tmux import Shell, put_wts_on_path
from worktree_sessions.actions import watch
from worktree_sessions.actions.readiness import toggle_mark
from worktree_sessions.actions.watch import Change, Watch, changes
from worktree_sessions.model import state
from worktree_sessions.model.events import append_exit, append_launch
from worktree_sessions.model.session import Listing, Session, State
from worktree_sessions.outside import claude, processes
from worktree_sessions.outside.processes import Process
from worktree_sessions.outside.terminal import Size, keys
from worktree_sessions.views.board import KEYS, Pose, ages, board_lines, change_json, change_text, repaint
from worktree_sessions.views.jsonout import listing_json

# -- what is drawn -----------------------------------------------------------------------------------

BOARD = Listing(
    tuple(
        a_look(number, f"auth-{name}", state, reason=reason, goal=f"Build the {name}")
        for number, name, state, reason in (
            (1, "form", State.WAITING, "may it run `npm test`?"),
            (2, "mail", State.FAILED, "Claude was killed by SIGKILL"),
            (3, "docs", State.IDLE, None),
            (4, "page", State.IDLE, None),
        )
    )
)


def drawn(columns: int, lines: int, *, selected: int = 1, board: Listing = BOARD, **pose: Any) -> list[str]:
    return board_lines(board, Pose(f"id-{selected}", **pose), now=NOW, size=Size(columns, lines), color=False)


def test_the_board_fills_the_terminal_and_ends_with_the_keys() -> None:
    lines = drawn(90, 20, selected=2)
    assert len(lines) == 20
    assert lines[-1] == KEYS
    assert [line[:8] for line in lines if re.match(r".. +\d  ", line)] == [
        "   1  au",
        ">  2  au",
        "   3  au",
        "   4  au",
    ]
    assert sum("Build the" in line for line in lines) == 4


def test_what_is_below_the_rows_goes_first_and_what_one_asks_goes_last() -> None:
    lines = drawn(90, 11, selected=4)
    assert [line.strip() for line in lines if "Build the" in line] == [
        "Build the form",
        "Build the mail",
        "Build the page",
    ]
    assert "npm test" in "".join(lines)
    lines = drawn(90, 7, selected=4)
    assert [line.strip() for line in lines if "Build the" in line] == ["Build the page"]
    assert "npm test" not in "".join(lines)
    assert len([line for line in lines if "auth-" in line]) == 4


def test_what_does_not_fit_is_counted_and_the_selected_one_is_always_there() -> None:
    lines = drawn(90, 5, selected=1)
    assert ">  1" in lines[1]
    assert lines[-2].strip() == "3 more below"
    lines = drawn(90, 5, selected=4)
    assert any(line.startswith(">  4") for line in lines)
    assert lines[-2].strip() == "3 more above"


@given(
    st.integers(1, 130),
    st.integers(1, 40),
    st.integers(1, 30),
    st.data(),
    st.lists(st.text(max_size=30), max_size=9),
)
def test_the_board_is_never_larger_than_the_terminal(
    columns: int, lines: int, count: int, data: st.DataObject, says: list[str]
) -> None:
    states = data.draw(st.lists(st.sampled_from(State), min_size=count, max_size=count))
    looks = tuple(a_look(n, f"auth-{n}", state, reason="why?") for n, state in enumerate(states, 1))
    selected = data.draw(st.integers(1, count))
    shown = drawn(columns, lines, selected=selected, board=Listing(looks), says=says)
    assert len(shown) == lines
    assert not any("\x1b" in line or "\n" in line for line in shown)
    if lines > 3 and not says:
        assert sum(line.startswith(">") for line in shown) == 1


def test_a_long_text_keeps_its_last_line_where_the_cure_is() -> None:
    says = [f"line {number}" for number in range(30)]
    lines = drawn(90, 12, says=says)
    assert lines[-7:] == ["line 0", "line 1", "line 2", "line 3", "…", "line 29", KEYS]


def test_a_long_cure_goes_on_in_the_next_line_and_stays_whole_when_what_is_before_it_is_cut() -> None:
    cure = "hint: commit it: git -C /home/ada/src/app.worktrees/auth-form add -A"
    says = [*(f"line {number}" for number in range(9)), cure]
    assert drawn(50, 12, says=says)[-7:-1] == [
        "line 0",
        "line 1",
        "line 2",
        "…",
        "hint: commit it: git -C",
        "/home/ada/src/app.worktrees/auth-form add -A",
    ]


def test_only_changed_lines_are_written_again_and_nothing_when_none_is() -> None:
    before = ["one", "two", "three"]
    assert repaint(before, before) == ""
    assert repaint(before, ["one", "2", "three"]) == "\x1b[?2026h\x1b[2;1H\x1b[K2\x1b[0m\x1b[?2026l"
    assert repaint(None, ["one"]) == "\x1b[?2026h\x1b[2J\x1b[1;1H\x1b[Kone\x1b[0m\x1b[?2026l"


def test_ages_change_each_second_at_first_and_then_each_minute() -> None:
    young = Listing((a_look(1, "auth-form", since=5, age=3600),))
    assert ages(young, NOW) != ages(young, NOW + 1)
    old = Listing((a_look(1, "auth-form", since=600, age=3600),))
    assert ages(old, NOW) == ages(old, NOW + 59) != ages(old, NOW + 60)


@pytest.mark.parametrize(
    ("typed", "pressed"),
    [
        ("jk", ["j", "k"]),
        ("\x1b[A\x1bOB", ["up", "down"]),
        ("\r\n", ["enter", "enter"]),
        ("\x1b", ["escape"]),
        ("\x1bq", ["\x1bq"]),  # Alt-q is no q
        ("\x1b[5~\x1b[1;5Aq", ["\x1b[5~", "\x1b[1;5A", "q"]),
        ("", []),
    ],
)
def test_keys_are_told_apart(typed: str, pressed: list[str]) -> None:
    assert keys(typed) == pressed


# -- what changed ------------------------------------------------------------------------------------


def test_changes_are_new_states_and_reasons_and_who_came_and_went() -> None:
    before = [a_look(1, "a", State.WORKING), a_look(2, "b", State.IDLE), a_look(3, "c", State.IDLE)]
    asks = a_look(1, "a", State.WAITING, reason="may it?")
    same = a_look(2, "b", State.IDLE, since=1, ahead=4)
    new = a_look(4, "d", State.STARTING)
    assert changes(before, [asks, same, new]) == [
        Change(before[0], asks),
        Change(None, new),
        Change(before[2], None),
    ]
    again = a_look(1, "a", State.WAITING, reason="and may it?")
    assert changes([asks], [again]) == [Change(asks, again)]


def test_a_change_is_one_harmless_line() -> None:
    was = a_look(1, "a", State.WORKING)
    asks = a_look(1, "a", State.WAITING, reason="may it run `\x1b[31mrm\n-r`?")
    assert change_text(Change(was, asks), NOW) == (
        "2027-01-15 08:00:00  1  a  working -> needs you: may it run `rm -r`?"
    )
    assert change_text(Change(None, was), NOW).endswith("1  a  working")
    assert change_text(Change(was, None), NOW).endswith("1  a  working -> closed")


def test_a_change_in_json_holds_the_session_unless_it_is_gone() -> None:
    was, asks = a_look(1, "a", State.WORKING), a_look(1, "a", State.WAITING, reason="may it?")
    told = change_json(Change(was, asks), NOW)
    assert {key: told[key] for key in told if key != "session"} == {
        "schema": 1,
        "at": "2027-01-15T08:00:00+00:00",
        "number": 1,
        "name": "a",
        "was": "working",
        "state": "waiting",
        "reason": "may it?",
    }
    assert told["session"]["question"] == "may it?"  # type: ignore[index,call-overload]
    gone = change_json(Change(was, None), NOW)
    assert (gone["was"], gone["state"], gone["session"]) == ("working", None, None)


# -- what it costs -----------------------------------------------------------------------------------


class Counted:
    """A watch whose looks, questions and child processes are counted."""

    def __init__(self, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts = {"looks": 0, "asks": 0, "processes": 0}
        for module, name, what in (
            (watch, "list_sessions", "looks"),
            (watch, "ask_states", "asks"),
            (subprocess, "Popen", "processes"),
        ):
            monkeypatch.setattr(module, name, self.counting(getattr(module, name), what))
        self.watch = Watch(project_of(repo))

    def counting(self, inner: Any, what: str) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.counts[what] += 1
            return inner(*args, **kwargs)

        return counted

    def settle(self) -> None:
        """Glance until what was new at the beginning has been looked at again."""
        end = time.monotonic() + max(watch.SETTLING) + 1
        while time.monotonic() < end:
            self.watch.glance()
            time.sleep(0.05)

    def since(self) -> dict[str, int]:
        """Return what was counted since the last time."""
        counts = dict(self.counts)
        self.counts.update(dict.fromkeys(counts, 0))
        return counts

    def until(self, is_there: Any, what: str) -> None:
        eventually(lambda: (self.watch.glance() and is_there(self.watch.listing.looks)) or None, what)


@pytest.fixture
def counted(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> Counted:
    monkeypatch.setattr(watch, "SETTLING", (0.1, 0.2))
    monkeypatch.setattr(watch, "LOOK_EVERY", 1000.0)  # what is seen, is seen for a reason
    monkeypatch.setattr(watch, "LOOK_APART", 0.2)
    monkeypatch.setattr(watch, "BUSY_SHARE", 1.0)
    for name in ("auth-form", "auth-mail", "auth-docs"):
        a_session(repo, name)
    return Counted(repo, monkeypatch)


def recorded(repo: Repo, name: str) -> Session:
    """Return a session's record."""
    session = project_of(repo).store.load(name)
    assert session is not None
    return session


def launched(repo: Repo, session: Session, process: Process) -> Path:
    """Write down that Claude was started in a session, as a process that is there; return its log."""
    log = project_of(repo).store.events_file(session.name)
    append_launch(log, time.time(), process, conversation="c", config=claude.config_dir())
    return log


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(["sleep", "1000"])
    yield started
    started.kill()
    started.wait()


def test_nothing_is_asked_and_no_process_started_while_nothing_changes(
    counted: Counted, repo: Repo, child: subprocess.Popen[bytes]
) -> None:
    session = recorded(repo, "auth-form")
    launched(repo, session, processes.look_up(child.pid) or Process(0, ""))
    counted.settle()
    counted.since()
    assert not any(counted.watch.glance() for _ in range(50))
    assert counted.since() == {"looks": 0, "asks": 0, "processes": 0}


def test_one_log_that_can_not_be_read_does_not_end_it(counted: Counted, repo: Repo) -> None:
    project_of(repo).store.events_file("auth-form").mkdir()
    counted.watch.look()
    states = {look.session.name: look.now.state for look in counted.watch.listing.looks}
    assert states == {"auth-form": State.UNKNOWN, "auth-mail": State.PARKED, "auth-docs": State.PARKED}


def test_a_look_at_everything_comes_now_and_then_the_rarer_the_dearer(
    counted: Counted, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY", 0.2)
    monkeypatch.setattr(watch, "QUIET_SHARE", 1.0)
    often = Watch(project_of(repo))
    counted.since()
    eventually(lambda: often.glance() or counted.counts["looks"] >= 3, "looks now and then")
    monkeypatch.setattr(watch, "QUIET_SHARE", 1e-6)
    counted.watch = Watch(project_of(repo))
    counted.settle()
    counted.since()
    counted.settle()
    assert counted.since()["looks"] == 0


def test_an_event_has_the_states_asked_and_git_only_after_a_while(
    counted: Counted, repo: Repo, child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_APART", 1000.0)
    counted.watch = Watch(project_of(repo))
    session = recorded(repo, "auth-form")
    counted.settle()
    launched(repo, session, processes.look_up(child.pid) or Process(0, ""))
    counted.since()
    counted.until(lambda looks: any(look.now.state is State.STARTING for look in looks), "the start")
    done = counted.since()
    assert done["asks"] >= 1
    assert (done["looks"], done["processes"]) == (0, 0)


def test_a_process_that_vanished_is_seen_though_nobody_told(
    counted: Counted, repo: Repo, child: subprocess.Popen[bytes]
) -> None:
    session = recorded(repo, "auth-form")
    launched(repo, session, processes.look_up(child.pid) or Process(0, ""))
    counted.until(lambda looks: any(look.now.state is State.STARTING for look in looks), "the start")
    counted.settle()
    child.kill()
    child.wait()
    counted.until(lambda looks: looks[0].now.state is State.FAILED, "the death")


def test_a_state_that_is_another_one_by_time_alone_is_seen(
    counted: Counted, repo: Repo, child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_APART", 1000.0)
    monkeypatch.setattr(watch, "SETTLING", (2.5,))
    monkeypatch.setattr(state, "SILENT", 2.0)
    counted.watch = Watch(project_of(repo))
    launched(repo, recorded(repo, "auth-form"), processes.look_up(child.pid) or Process(0, ""))
    counted.until(lambda looks: any(look.now.state is State.STARTING for look in looks), "the start")
    counted.until(lambda looks: looks[0].now.state is State.WAITING, "the question before it starts")


def test_a_commit_made_by_hand_is_seen(counted: Counted, repo: Repo) -> None:
    session = recorded(repo, "auth-form")
    counted.settle()
    worktree_of(session).commit("form.html", "<form>", "a form")
    counted.until(lambda looks: any(look.ahead == 1 for look in looks), "the commit")


def test_new_and_closed_sessions_are_seen_at_once_and_a_closed_one_never_seems_parked(
    counted: Counted, repo: Repo, child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_APART", 1000.0)
    counted.watch = Watch(project_of(repo))
    session = recorded(repo, "auth-form")
    log = launched(repo, session, Process(child.pid, "1"))
    append_exit(log, time.time(), Process(child.pid, "1"), 0)
    counted.until(lambda looks: any(look.now.state is State.ENDED for look in looks), "the end")
    a_session(repo, "auth-page")
    counted.until(lambda looks: len(looks) == 4, "the new one")
    closed(repo, session)
    counted.watch.glance()
    names = [look.session.name for look in counted.watch.listing.looks]
    assert names == ["auth-mail", "auth-docs", "auth-page"]


def test_what_is_shown_is_what_list_tells(counted: Counted, repo: Repo, wts_inline: Wts) -> None:
    session = recorded(repo, "auth-docs")
    worktree_of(session).write("new.txt", "new")
    launched(repo, session, Process(1, "not this one"))
    counted.until(lambda looks: looks[0].now.state is State.FAILED, "the death")
    listing = Watch(project_of(repo)).listing
    assert listing.looks[0].now == counted.watch.listing.looks[0].now
    assert listing_json(listing) == wts_inline("list", "--json").json["data"]


# -- on a terminal -----------------------------------------------------------------------------------

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Stage:
    """A shell in the repository, where `wts` and the stand-in for Claude are on PATH."""

    def __init__(self, repo: Repo) -> None:
        self.repo, self.shell = repo, Shell(repo.path)

    def begin(self, line: str = "wts watch") -> int:
        """Start the board, wait until it is drawn, and return the number of the command."""
        number = self.shell.start(line)
        self.shell.wait_for("Enter open")
        return number

    def rows(self) -> list[str]:
        """Return the rows of the table: mark, number, name and state of each."""
        found = re.findall(r"^(.)(.) +(\d+)  (\S+) +\S (.+?)(?:  | \d)", self.shell.screen(), re.MULTILINE)
        return [" ".join(part for part in row if part.strip()) for row in found]

    def shows(self, *rows: str) -> None:
        eventually(lambda: self.rows() == list(rows), f"{rows}")

    def pid(self) -> int:
        """Return the process of the board."""
        children = Path(
            f"/proc/{self.shell.says('#{pane_pid}')}/task/{self.shell.says('#{pane_pid}')}/children"
        )
        return int(children.read_text().split()[0])

    def is_as_it_was(self) -> bool:
        """Return whether the terminal shows its own screen, with a cursor and wrapped lines."""
        return self.shell.says("#{alternate_on} #{cursor_flag} #{wrap_flag}") == "0 1 1"


@pytest.fixture
def stage(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_claude: Path) -> Iterator[Stage]:
    put_wts_on_path(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where the log of a bug would be
    for name in ("auth-form", "auth-mail"):
        a_session(repo, name)
    yield Stage(repo)
    assert not list(tmp_path.glob("wts-bug-*"))


@needs_tmux
def test_the_board_follows_what_happens_and_leaves_the_terminal_as_it_was(stage: Stage) -> None:
    shell = stage.shell
    shell.run("stty -a > before")
    above = shell.screen().splitlines()[:2]
    number = stage.begin()
    assert shell.says("#{alternate_on} #{cursor_flag}") == "1 0"
    stage.shows("> 1 auth-form parked", "2 auth-mail parked")
    session = recorded(stage.repo, "auth-mail")
    launched(stage.repo, session, Process(1, "not this one"))
    stage.shows("2 auth-mail failed", "> 1 auth-form parked")
    closed(stage.repo, session)
    stage.shows("> 1 auth-form parked")
    shell.key("q")
    assert shell.status(number) == 0
    assert stage.is_as_it_was()
    assert shell.screen().splitlines()[:2] == above
    assert "Enter open" not in shell.screen()
    assert shell.run("stty -a > after; cmp before after") == 0


@needs_tmux
def test_the_board_follows_the_size_of_its_terminal(stage: Stage) -> None:
    stage.begin()
    for columns, lines in ((60, 8), (20, 5), (120, 30)):
        stage.shell.tmux("resize-window", "-t", stage.shell.id, "-x", str(columns), "-y", str(lines))
        eventually(
            lambda lines=lines: (
                len(stage.shell.screen().splitlines()) == lines  # type: ignore[misc]
                and stage.shell.screen().splitlines()[-1].startswith("↑↓ select")
            ),
            f"a board of {lines} lines",
        )
    stage.shows("> 1 auth-form parked", "2 auth-mail parked")


@needs_tmux
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT])
def test_a_signal_ends_the_board_and_the_terminal_is_as_it_was(stage: Stage, number: signal.Signals) -> None:
    stage.shell.run("ulimit -c 0; stty -a > before")
    begun = stage.begin()
    os.kill(stage.pid(), number)
    assert stage.shell.status(begun) == 128 + number
    assert stage.is_as_it_was()
    assert stage.shell.run("stty -a > after; cmp before after") == 0


@needs_tmux
def test_a_failure_ends_the_board_and_is_told_on_the_screen_below(stage: Stage) -> None:
    stage.shell.run("stty -a > before")
    begun = stage.begin()
    shutil.rmtree(stage.repo.path / ".git" / "objects")
    (stage.repo.path / ".git" / "HEAD").unlink()
    (stage.repo.path / ".git" / "packed-refs").write_text("new")
    assert stage.shell.status(begun) == 1
    stage.shell.wait_for("^error: ")
    assert stage.is_as_it_was()
    assert stage.shell.run("stty -a > after; cmp before after") == 0


@needs_tmux
def test_a_stopped_board_gives_the_terminal_back_and_goes_on_where_it_was(stage: Stage) -> None:
    shell = stage.shell
    shell.type("wts watch")
    shell.wait_for("Enter open")
    shell.key("C-z")
    shell.wait_for("Stopped")
    assert stage.is_as_it_was()
    assert shell.run("stty -a | grep -q ' icanon .* echo '; stty -a | grep -q ' icanon'") == 0
    shell.type("fg; echo back=$?")
    eventually(lambda: shell.says("#{alternate_on} #{cursor_flag}") == "1 0", "the board")
    stage.shows("> 1 auth-form parked", "2 auth-mail parked")
    shell.key("j")
    stage.shows("1 auth-form parked", "> 2 auth-mail parked")
    shell.key("q")
    shell.wait_for("^back=0")
    assert stage.is_as_it_was()


@needs_tmux
def test_keys_select_mark_ready_ask_and_close(stage: Stage) -> None:
    shell, session = stage.shell, recorded(stage.repo, "auth-mail")
    worktree_of(session).write("new.txt", "new")
    stage.begin()
    for answer in ("n", "Enter"):
        shell.key("c")
        shell.wait_for("^close 1 auth-form. y or n")
        shell.key(answer)
        shell.wait_for("Enter open")
    shell.key("n")
    shell.wait_for("^no session needs you")
    shell.key("Down")
    stage.shows("1 auth-form parked", "> 2 auth-mail parked")
    shell.key("r")
    stage.shows("1 auth-form parked", "> ✓ 2 auth-mail parked")
    shell.wait_for("auth-mail is marked ready at")
    shell.key("c")
    shell.wait_for("^close 2 auth-mail. y or n")
    shell.key("y")
    shell.wait_for("error: auth-mail is not closed, nothing was changed")
    shell.wait_for("--with-unsaved")
    assert (session.worktree / "new.txt").exists()
    shell.key("1")
    stage.shows("> 1 auth-form parked", "✓ 2 auth-mail parked")
    shell.key("c")
    shell.wait_for("^close 1 auth-form. y or n")
    shell.key("y")
    shell.wait_for("undo: wts restore auth-form")
    stage.shows("> ✓ 2 auth-mail parked")
    shell.key("?")
    shell.wait_for("q, Esc +leave the board")
    shell.key("Escape")
    shell.wait_for("^end-1=0")


@needs_tmux
def test_enter_opens_the_session_here_and_the_board_comes_back(stage: Stage, tmp_path: Path) -> None:
    ready, leave = tmp_path / "there", tmp_path / "leave"
    steps = [{"prompt": "go"}, {"touch": str(ready)}, {"wait_for": str(leave)}]
    begun = stage.begin(f"FAKE_CLAUDE_SCRIPT={shlex.quote(json.dumps(steps))} wts watch")
    stage.shell.key("Enter")
    eventually(ready.exists, "Claude")
    assert stage.is_as_it_was()
    leave.touch()
    stage.shell.wait_for("Enter open")
    stage.shows("2 auth-mail parked", "> 1 auth-form ended")
    stage.shell.key("q")
    assert stage.shell.status(begun) == 0
    stage.shell.wait_for("auth-form")  # what the launcher said stands on the screen below


@needs_tmux
def test_n_goes_to_the_tmux_window_of_the_one_that_waits_and_the_board_goes_on(
    stage: Stage, tmp_path: Path
) -> None:
    steps = [{"prompt": "go"}, {"ask": "Bash", "until": str(tmp_path / "answered")}]
    stage.shell.run(f"FAKE_CLAUDE_SCRIPT={shlex.quote(json.dumps(steps))}; export FAKE_CLAUDE_SCRIPT")
    stage.shell.run('tmux set-environment FAKE_CLAUDE_SCRIPT "$FAKE_CLAUDE_SCRIPT"')
    assert stage.shell.run("wts open 2 --tmux") == 0
    stage.begin("clear; wts watch")
    asks = "2 auth-mail needs you"  # selected already when it asked before the board was drawn
    eventually(lambda: asks in [row.removeprefix("> ") for row in stage.rows()], asks)
    stage.shell.key("n")
    eventually(lambda: stage.shell.says("#{window_active}") == "0", "the other window")
    stage.shows("> 2 auth-mail needs you", "1 auth-form parked")
    (tmp_path / "answered").touch()
    stage.shows("1 auth-form parked", "> 2 auth-mail ended")


def test_a_mark_counts_only_at_its_commit(repo: Repo) -> None:
    session = a_session(repo, "auth-form")
    marked = toggle_mark(project_of(repo), session)
    assert marked.ready == repo.tip("feature/auth-form")
    worktree_of(session).commit("form.html", "<form>", "a form")
    again = toggle_mark(project_of(repo), session)
    assert again.ready == repo.tip("feature/auth-form") != marked.ready
    assert toggle_mark(project_of(repo), session).ready is None


# -- on a pipe ---------------------------------------------------------------------------------------


class Piped:
    """`wts watch` on a pipe."""

    def __init__(self, repo: Repo, *options: str) -> None:
        words = [sys.executable, "-m", "worktree_sessions", "watch", *options]
        self.process = subprocess.Popen(
            words, cwd=repo.path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self._out = self.process.stdout.fileno()
        self._left = b""

    def line(self) -> str:
        """Return the next line; it comes without the pipe being full or closed."""
        end = time.monotonic() + 30
        while b"\n" not in self._left:
            assert select.select([self._out], [], [], end - time.monotonic())[0], "no line"
            more = os.read(self._out, 65536)
            assert more, "the end"
            self._left += more
        line, self._left = self._left.split(b"\n", 1)
        return line.decode()

    def end(self, number: int | None = None) -> tuple[int, bytes]:
        """Send it a signal, and return its exit status and what it said on stderr."""
        if number is not None:
            self.process.send_signal(number)
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, err


def _die(repo: Repo, name: str) -> None:
    launched(repo, recorded(repo, name), Process(1, "not this one"))


def test_a_pipe_gets_a_line_for_each_session_and_then_one_a_change(repo: Repo) -> None:
    for name in ("auth-form", "auth-mail"):
        a_session(repo, name)
    piped = Piped(repo)
    assert [piped.line()[21:] for _ in range(2)] == [
        "1  auth-form  parked: Claude was not started",
        "2  auth-mail  parked: Claude was not started",
    ]
    _die(repo, "auth-mail")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  2  auth-mail  parked -> failed: Claude is gone .*", piped.line()
    )
    assert piped.end(signal.SIGINT) == (130, b"\n")  # behind the ^C of the terminal


def test_with_json_each_line_is_an_object(repo: Repo, wts: Wts) -> None:
    a_session(repo, "auth-form")
    piped = Piped(repo, "--json")
    first = json.loads(piped.line())
    assert (first["was"], first["state"]) == (None, "parked")
    assert [first["session"]] == wts("list", "--json").json["data"]["sessions"]
    _die(repo, "auth-form")
    second = json.loads(piped.line())
    assert (second["was"], second["state"]) == ("parked", "failed")
    assert [second["session"]] == wts("list", "--json").json["data"]["sessions"]
    assert piped.end(signal.SIGTERM) == (-signal.SIGTERM, b"")


def test_it_ends_when_nobody_reads_though_nothing_changes(repo: Repo) -> None:
    a_session(repo, "auth-form")
    piped = Piped(repo)
    piped.line()
    assert piped.process.stdout is not None
    piped.process.stdout.close()
    piped.process.stdout = None
    assert piped.end() == (1, b"")


@needs_tmux
def test_a_dumb_terminal_is_told_in_lines(stage: Stage) -> None:
    number = stage.shell.start("TERM=dumb wts watch")
    stage.shell.wait_for("1  auth-form  parked: Claude was not started")
    assert stage.is_as_it_was()
    stage.shell.key("C-c")
    assert stage.shell.status(number) == 130
