"""Check-ins: what is new since the last one, told once, in five lines at most, and nothing that was missed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Wts
from tests.support.claude_cli import eventually
from tests.support.living import Living
from tests.support.looks import HEAD, NOW, a_look
from tests.support.repos import Repo
from tests.support.sessions import a_session, project_of, worktree_of
from worktree_sessions.actions.checkin import CheckIn, announce
from worktree_sessions.model import checkin
from worktree_sessions.model.checkin import NEVER, Limits, Mark, Sight, What
from worktree_sessions.model.events import Event
from worktree_sessions.model.session import Listing, Look, State
from worktree_sessions.model.told import fold
from worktree_sessions.views.checkin import check_in_text

MINUTE = 60.0
LIMITS = Limits(stuck=10 * MINUTE, forgotten=30 * MINUTE)


def looked(*args: Any, attended: float = 0, **facts: Any) -> Look:
    """Return a look at a session that a human has just had to do with, unless it says how many seconds ago."""
    return a_look(*args, attended=attended, **facts)


def at_base(look: Look) -> Look:
    """Return the look with a branch that has never moved."""
    return look._replace(session=look.session._replace(base=HEAD))


def seen(*sights: Sight, ago: float = 20 * MINUTE) -> Mark:
    """Return the mark of a check-in that saw all this."""
    return checkin.marked(NEVER, sights, NOW - ago)


def told(
    *sights: Sight, since: Mark = NEVER, now: float = NOW, limits: Limits = LIMITS
) -> dict[str, list[str]]:
    """Return what is told: each session with its codes, and with a * what is new; the order is that of the text."""
    news = checkin.compare(since, sights, limits, now)
    return {one.look.session.name: [line.what + "*" * line.new for line in one.lines] for one in news}


def says(sight: Sight, since: Mark = NEVER) -> list[str]:
    """Return the lines about one session."""
    news = checkin.compare(since, [sight], LIMITS, NOW)
    return [line.says for one in news for line in one.lines]


# -- what is told ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "reason", "line"),
    [
        (State.WAITING, "may it run `npm test`?", "needs you 12m: may it run `npm test`?"),
        (State.FAILED, "Claude was killed by SIGKILL", "failed 12m: Claude was killed by SIGKILL"),
        (State.LIMITED, None, "limited 12m"),
    ],
)
def test_the_first_check_in_tells_who_can_not_go_on(state: State, reason: str | None, line: str) -> None:
    look = at_base(looked(1, "auth-api", state, since=12 * MINUTE, reason=reason))
    assert says(Sight(look)) == [line]


@pytest.mark.parametrize(
    "state", [State.WORKING, State.STARTING, State.BACKGROUND, State.ENDED, State.PARKED]
)
def test_what_only_goes_on_is_no_news(state: State) -> None:
    assert told(Sight(at_base(looked(1, "auth-api", state, since=MINUTE)))) == {}


def test_what_was_told_is_told_again_only_beside_news() -> None:
    waits = Sight(at_base(looked(1, "auth-api", State.WAITING, since=25 * MINUTE, reason="may it?")))
    breaks = Sight(at_base(looked(2, "auth-ui", State.WORKING, since=MINUTE)))
    before = seen(waits, breaks)
    assert told(waits, breaks, since=before) == {}
    broken = Sight(at_base(looked(2, "auth-ui", State.FAILED, since=MINUTE)))
    assert told(waits, broken, since=before) == {"auth-api": ["needs-you"], "auth-ui": ["broken*"]}


def test_another_question_is_news() -> None:
    first = Sight(at_base(looked(1, "auth-api", State.WAITING, since=25 * MINUTE)))
    second = Sight(at_base(looked(1, "auth-api", State.WAITING, since=3 * MINUTE)))
    assert told(second, since=seen(first)) == {"auth-api": ["needs-you*"]}


def test_a_silent_turn_is_stuck_and_that_is_told_once() -> None:
    look = at_base(looked(1, "auth-api", State.WORKING, since=40 * MINUTE))
    busy = Sight(look, heard=NOW - 9 * MINUTE, tool="Bash: make")
    silent = busy._replace(heard=NOW - 25 * MINUTE)
    assert told(busy) == {}
    assert says(silent) == ["stuck? it works, but told nothing for 25m, in Bash: make"]
    assert told(silent, since=seen(silent, ago=16 * MINUTE)) == {"auth-api": ["stuck*"]}
    assert told(silent, since=seen(silent, ago=14 * MINUTE)) == {}
    assert told(silent, limits=LIMITS._replace(stuck=0)) == {}


def test_the_forgotten_come_first_the_longest_foremost() -> None:
    waits = Sight(at_base(looked(1, "a-waits", State.WAITING, since=MINUTE, attended=MINUTE)))
    failed = Sight(at_base(looked(2, "b-failed", State.FAILED, since=45 * MINUTE, attended=40 * MINUTE)))
    idle = Sight(at_base(looked(3, "c-idle", State.IDLE, since=50 * MINUTE, attended=90 * MINUTE)))
    works = Sight(
        at_base(looked(4, "d-works", State.WORKING, since=50 * MINUTE, attended=90 * MINUTE)), heard=NOW
    )
    assert list(told(waits, failed, idle, works).items()) == [
        ("c-idle", ["forgotten*"]),
        ("b-failed", ["broken*", "forgotten*"]),
        ("a-waits", ["needs-you*"]),
    ]


def test_who_is_forgotten_is_told_again_each_time_that_the_limit_has_passed() -> None:
    sight = Sight(at_base(looked(1, "auth-api", State.IDLE, since=65 * MINUTE, attended=65 * MINUTE)))
    assert told(sight, since=seen(sight, ago=4 * MINUTE)) == {}
    assert told(sight, since=seen(sight, ago=6 * MINUTE)) == {"auth-api": ["forgotten*"]}
    worked = Sight(at_base(looked(1, "auth-api", State.WORKING, since=65 * MINUTE)))
    assert told(sight, since=seen(worked, ago=4 * MINUTE)) == {"auth-api": ["forgotten*"]}
    assert told(sight, limits=LIMITS._replace(forgotten=0)) == {}


def test_a_turn_that_ended_is_done_once() -> None:
    look = looked(1, "auth-api", since=5 * MINUTE, said="All tests pass.")
    done = Sight(at_base(look), turn=NOW - 5 * MINUTE)
    assert says(done) == ["done 5m ago: All tests pass."]
    assert told(done, since=seen(done)) == {}
    again = Sight(
        at_base(looked(1, "auth-api", State.WORKING, since=MINUTE)), heard=NOW, turn=NOW - 5 * MINUTE
    )
    assert says(again) == ["a turn ended 5m ago, and it works again"]


def test_a_turn_that_left_work_in_the_background_is_done_when_that_is() -> None:
    left = Sight(at_base(looked(1, "auth-api", State.BACKGROUND, since=5 * MINUTE)), turn=NOW - 5 * MINUTE)
    idle = Sight(at_base(looked(1, "auth-api", since=MINUTE)), turn=NOW - 5 * MINUTE)
    assert told(left) == {}
    assert told(idle, since=seen(left, ago=2 * MINUTE)) == {"auth-api": ["done*"]}


def test_a_turn_that_a_hook_had_go_on_has_not_ended() -> None:
    def turn(*events: tuple[float, str], state: State = State.IDLE) -> float:
        begin = [Event(1.0, "launch", 7, {"conversation": "c"}), Event(2.0, "UserPromptSubmit", 7, {})]
        own = fold([*begin, *(Event(at, name, 7, {}) for at, name in events)]).own()
        return checkin.turn_of(own, state)

    assert turn() == 0.0
    assert turn((3.0, "Stop")) == 3.0
    assert turn((3.0, "Stop"), (3.1, "StopHeld")) == 0.0
    assert turn((3.0, "Stop"), (3.1, "StopHeld"), (4.0, "Stop")) == 4.0
    assert turn((3.0, "Stop"), state=State.WORKING) == 0.0
    assert turn((3.0, "Stop"), (3.1, "UserPromptSubmit"), state=State.WORKING) == 3.0


def test_the_tool_is_the_one_that_the_turn_is_in() -> None:
    begin = [Event(1.0, "launch", 7, {"conversation": "c"}), Event(2.0, "UserPromptSubmit", 7, {})]
    tool = {"tool_name": "Bash", "what": "make"}
    inside = [*begin, Event(3.0, "PreToolUse", 7, tool)]
    assert checkin.tool_of(fold(begin).own()) is None
    assert checkin.tool_of(fold(inside).own()) == "Bash: make"
    assert checkin.tool_of(fold([*inside, Event(4.0, "PostToolUse", 7, tool)]).own()) is None
    assert checkin.tool_of(fold([*inside, Event(4.0, "UserPromptSubmit", 7, {})]).own()) is None


@pytest.mark.parametrize(
    ("commits", "changed", "line"),
    [
        ((2, 0), 3, "changed: +2 commits, 3 changed"),
        ((1, 1), 0, "changed: +1 commit, 1 commit dropped, clean"),
        ((0, 2), 0, "changed: 2 commits dropped, clean"),
        (None, 0, "changed: its branch moved, clean"),
    ],
)
def test_what_a_branch_gained_is_told(commits: tuple[int, int] | None, changed: int, line: str) -> None:
    look = looked(1, "auth-api", State.WORKING, since=MINUTE, changed=changed)
    assert says(Sight(look, heard=NOW, commits=commits)) == [line]


def test_other_files_are_told_and_the_same_are_not() -> None:
    def with_files(**counts: int) -> Sight:
        return Sight(at_base(looked(1, "auth-api", State.WORKING, since=MINUTE, **counts)), heard=NOW)

    before = seen(with_files(changed=2))
    assert told(with_files(changed=2), since=before) == {}
    assert told(with_files(untracked=2), since=before) == {"auth-api": ["changed*"]}
    assert says(with_files(), before) == ["changed: clean"]


def test_what_could_not_be_found_out_is_no_change() -> None:
    known = Sight(looked(1, "auth-api", State.WORKING, since=MINUTE, changed=2, landed=True), heard=NOW)
    lost = Sight(known.look._replace(status=None, landed=None), heard=NOW)
    before = seen(known)
    assert told(lost, since=before) == {}
    assert checkin.marked(before, [lost], NOW).sessions == before.sessions


def test_a_landed_session_is_told_once() -> None:
    home = Sight(at_base(looked(1, "auth-api", landed=True)))
    assert says(home) == ["landed in feature/auth"]
    assert told(home, since=seen(home)) == {}


def test_a_session_that_looks_finished_is_told_once_a_commit() -> None:
    done = Sight(at_base(looked(1, "auth-api", ahead=3)))
    assert says(done) == ["looks finished: 3 commits ahead, clean"]
    assert told(done, since=seen(done)) == {}
    moved = seen(Sight(looked(1, "auth-api", ahead=2)))
    other = {name: one._replace(tip="2" * 40) for name, one in moved.sessions.items()}
    assert told(done, since=moved._replace(sessions=other)) == {"auth-api": ["changed*", "looks-finished*"]}
    for unfinished in (
        looked(1, "auth-api", ahead=3, untracked=1),
        looked(1, "auth-api", ahead=0),
        looked(1, "auth-api", State.WORKING, ahead=3, since=MINUTE),
        looked(1, "auth-api", ahead=3)._replace(problem="HEAD is on main"),
    ):
        assert What.FINISHED + "*" not in told(Sight(at_base(unfinished), heard=NOW)).get("auth-api", [])


def test_a_session_has_five_lines_at_most() -> None:
    look = looked(1, "auth-api", State.FAILED, since=MINUTE, changed=1, landed=True, attended=60 * MINUTE)
    everything = Sight(look, heard=0.0, tool="Bash", turn=NOW - MINUTE, commits=(1, 1))
    assert told(everything) == {"auth-api": ["broken*", "forgotten*", "done*", "changed*", "landed*"]}
    text = check_in_text(found(everything), width=200, color=False)
    assert len(text.splitlines()) == 1 + 5


def test_a_mark_survives_its_file() -> None:
    mark = seen(Sight(looked(1, "auth-api", changed=2, ahead=1)), Sight(looked(2, "auth-ui", State.WAITING)))
    assert checkin.from_json(json.loads(json.dumps(checkin.to_json(mark)))) == mark


# -- how it is shown -------------------------------------------------------------------------------


def found(*sights: Sight, since: float | None = NOW - 28 * MINUTE) -> CheckIn:
    news = checkin.compare(NEVER, sights, LIMITS, NOW)
    return CheckIn(since, NOW, news, Listing(looks=()), NEVER, None)


def test_it_says_since_when_and_each_session_by_name() -> None:
    waits = looked(3, "auth-api", State.WAITING, since=12 * MINUTE, reason="may it?", changed=2)
    assert check_in_text(found(Sight(waits, commits=(1, 0))), width=80, color=False).splitlines() == [
        "since 07:32, 28m ago",
        "● 3 auth-api  needs you 12m: may it?",
        "    changed: +1 commit, 2 changed",
    ]
    assert check_in_text(found(), width=80, color=False) == ""
    first = check_in_text(found(Sight(waits), since=None), width=80, color=False, timed=True)
    assert first.startswith("08:00: the first check-in\n")
    yesterday = check_in_text(found(Sight(waits), since=NOW - 86400), width=80, color=False)
    assert yesterday.startswith("since 2027-01-14 08:00, 1d ago\n")


def test_text_of_others_neither_drives_the_terminal_nor_breaks_the_lines() -> None:
    waits = looked(1, "auth-api", State.WAITING, since=MINUTE, reason="a\nb\x1b[31m\u202e" + "long " * 50)
    plain = check_in_text(found(Sight(waits, commits=(1, 0))), width=60, color=False)
    assert len(plain.splitlines()) == 3
    assert max(map(len, plain.splitlines())) <= 60
    assert "\x1b" not in plain
    assert "\u202e" not in plain


# -- in a repository -------------------------------------------------------------------------------


def codes(answer: Any) -> dict[str, list[str]]:
    return {row["name"]: [line["code"] for line in row["what"]] for row in answer["data"]["sessions"]}


def mark_of(repo: Repo) -> Path:
    return repo.path / ".git" / "wts" / "checkin.json"


def test_news_is_told_once_and_then_nothing(repo: Repo, wts: Wts) -> None:
    work = worktree_of(a_session(repo, "auth-api"))
    assert wts("check-in") == (6, "", "")
    work.commit("login.py", "form\n", "form")
    work.write("notes.txt", "later\n")
    peeked = wts("check-in", "--peek")
    told_ = wts("check-in")
    assert (peeked.status, told_.status) == (0, 0)
    assert peeked.out.splitlines()[1:] == told_.out.splitlines()[1:]
    assert told_.out.splitlines()[1:] == ["◇ 1 auth-api  changed: +1 commit, 1 untracked"]
    assert wts("check-in") == (6, "", "")
    silent = wts("check-in", "--json")
    assert (silent.status, silent.json["ok"], codes(silent.json)) == (6, True, {})


def test_commits_are_counted_from_where_the_branch_was(repo: Repo, wts_inline: Wts) -> None:
    work = worktree_of(a_session(repo, "auth-api"))
    work.commit("a.txt", "a\n", "a")
    wts_inline("check-in")
    work.git("commit", "--quiet", "--amend", "--message", "b")
    assert "+1 commit, 1 commit dropped" in wts_inline("check-in").out
    for name in ("x.txt", "y.txt"):
        repo.commit(name, "news\n", name)
    work.git("merge", "--quiet", "--no-ff", "--no-edit", "main")
    assert "changed: +1 commit, clean" in wts_inline("check-in").out


def test_json_tells_the_same(repo: Repo, wts_inline: Wts) -> None:
    Living(repo, "auth-api", minutes=90).asks("npm test", ago=12)
    answer = wts_inline("check-in", "--json").json
    (row,) = answer["data"]["sessions"]
    assert (answer["data"]["since"], row["number"], row["name"], row["state"]) == (
        None,
        1,
        "auth-api",
        "waiting",
    )
    assert [(line["code"], line["new"]) for line in row["what"]] == [("needs-you", True), ("forgotten", True)]
    assert row["what"][0]["message"] == "needs you 12m: may it run `npm test`?"
    assert set(row["what"][0]) == {"code", "message", "since", "new"}
    assert wts_inline("check-in", "--json", "--peek").json["data"]["since"] == answer["data"]["at"]


def test_it_agrees_with_the_list(repo: Repo, wts_inline: Wts) -> None:
    Living(repo, "auth-asks", minutes=5).asks("make", ago=1)
    working = Living(repo, "auth-works", minutes=40)
    working.tells("PreToolUse", ago=25, tool_name="Bash", what="make all")
    ended = Living(repo, "auth-ends", minutes=5)
    ended.tells("Stop", ago=3, last_assistant_message="It is built.")
    failed = Living(repo, "auth-fails", minutes=5)
    failed.tells("StopFailure", ago=1, error="rate_limit")

    listed = {row["name"]: row["state"] for row in wts_inline("list", "--json").json["data"]["sessions"]}
    answer = wts_inline("check-in", "--json").json
    assert {row["name"]: row["state"] for row in answer["data"]["sessions"]} == listed
    assert codes(answer) == {
        "auth-asks": ["needs-you"],
        "auth-works": ["stuck"],
        "auth-ends": ["done"],
        "auth-fails": ["broken"],
    }
    by_name = {row["name"]: row["what"][0]["message"] for row in answer["data"]["sessions"]}
    assert by_name["auth-works"].endswith("for 25m, in Bash: make all")
    assert by_name["auth-ends"] == "done 3m ago: It is built."


def test_the_limits_are_those_of_the_settings(
    repo: Repo, wts_inline: Wts, monkeypatch: pytest.MonkeyPatch
) -> None:
    living = Living(repo, "auth-api", minutes=50)
    assert codes(wts_inline("check-in", "--peek", "--json").json) == {"auth-api": ["stuck"]}
    monkeypatch.setenv("WTS_CHECK_IN_STUCK_AFTER", str(99 * MINUTE))
    assert wts_inline("check-in", "--peek").status == 6
    living.tells("Stop", ago=40)
    assert codes(wts_inline("check-in", "--peek", "--json").json) == {"auth-api": ["forgotten", "done"]}
    monkeypatch.setenv("WTS_CHECK_IN_FORGOTTEN_AFTER", str(99 * MINUTE))
    assert codes(wts_inline("check-in", "--peek", "--json").json) == {"auth-api": ["done"]}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version": 99}', '{"version": 1, "at": "x", "sessions": {}}', None]
)
def test_a_mark_that_can_not_be_read_is_told_and_kept(repo: Repo, wts: Wts, content: str | None) -> None:
    worktree_of(a_session(repo, "auth-api")).commit("a.txt", "a\n", "a")
    mark = mark_of(repo)
    if content is None:
        mark.mkdir()
    else:
        mark.write_text(content)
    peeked = wts("check-in", "--peek")
    assert "checkin.json can't be read" in peeked.err
    assert mark.is_dir() if content is None else mark.read_text() == content
    done = wts("check-in")
    assert (done.status, done.out) == (0, "the first check-in\n◇ 1 auth-api  changed: +1 commit, clean\n")
    (aside,) = mark.parent.glob("checkin-unreadable-*.json")
    assert f"kept as {aside}" in done.err
    assert aside.is_dir() if content is None else aside.read_text() == content
    assert wts("check-in") == (6, "", "")


def test_a_mark_of_the_future_hides_nothing(repo: Repo, wts_inline: Wts) -> None:
    living = Living(repo, "auth-api", minutes=5)
    living.asks("make", ago=3)
    wts_inline("check-in")
    mark = json.loads(mark_of(repo).read_text())
    mark_of(repo).write_text(json.dumps({**mark, "at": mark["at"] + 86400}))
    living.tells("PostToolUse", ago=2, tool_name="Bash", what="make")
    living.asks("make install", ago=1)
    assert codes(wts_inline("check-in", "--json").json) == {"auth-api": ["needs-you"]}


def test_several_at_once_do_no_harm(repo: Repo, wts: Wts) -> None:
    worktree_of(a_session(repo, "auth-api")).commit("a.txt", "a\n", "a")
    words = [sys.executable, "-m", "worktree_sessions", "check-in"]
    runs = [
        subprocess.Popen(words, cwd=repo.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(8)
    ]
    said = [(*run.communicate(timeout=120), run.returncode) for run in runs]
    assert {err for _, err, _ in said} == {b""}
    assert {status for *_, status in said} <= {0, 6}
    assert any(b"+1 commit" in out for out, *_ in said)
    assert [path.name for path in mark_of(repo).parent.glob("*checkin*")] == ["checkin.json"]
    assert wts("check-in").status == 6


def test_what_nobody_could_read_is_told_again(repo: Repo, wts: Wts) -> None:
    worktree_of(a_session(repo, "auth-api")).commit("a.txt", "a\n", "a")
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "worktree_sessions", "check-in"]
    subprocess.run(words, cwd=repo.path, stdout=writer, stderr=subprocess.DEVNULL, check=False, timeout=120)
    os.close(writer)
    assert "+1 commit" in wts("check-in").out


# -- again and again -------------------------------------------------------------------------------


@pytest.mark.parametrize("span", ["20", "m", "0s", "-1m", "1.5h", "20 m", "1d", "٣m", ""])
def test_a_span_names_its_unit(repo: Repo, wts_inline: Wts, span: str) -> None:
    done = wts_inline("check-in", f"--every={span}")
    assert done.status == 2
    assert "is not a span such as 90s, 20m or 1h" in done.err


def test_to_peek_for_ever_is_refused(repo: Repo, wts_inline: Wts) -> None:
    assert wts_inline("check-in", "--every", "1s", "--peek").status == 2


def test_in_quiet_hours_nobody_is_notified(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices = tmp_path / "notices"
    monkeypatch.setenv("WTS_NOTIFY_CHANNELS", ",")
    monkeypatch.setenv("WTS_NOTIFY_COMMAND", f'echo "$WTS_NOTICE_BODY" > {notices}')
    waits = found(Sight(looked(1, "auth-api", State.WAITING, since=MINUTE)))
    monkeypatch.setenv("WTS_NOTIFY_QUIET", "07:00-09:00")  # NOW is eight o'clock
    announce(project_of(repo), waits)
    assert not notices.exists()
    monkeypatch.setenv("WTS_NOTIFY_QUIET", "08:30-09:00")
    announce(project_of(repo), waits)
    assert notices.read_text() == "auth-api: needs you 1m\n"


def test_every_so_often_it_tells_what_is_new_and_notifies(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    living = Living(repo, "auth-api", minutes=5)
    out, err, notices = (tmp_path / name for name in ("out", "err", "notices"))
    monkeypatch.setenv("WTS_NOTIFY_CHANNELS", ",")
    monkeypatch.setenv("WTS_NOTIFY_COMMAND", f'echo "$WTS_NOTICE_TITLE / $WTS_NOTICE_BODY" >> {notices}')
    words = [sys.executable, "-m", "worktree_sessions", "check-in", "--every", "1s"]
    with out.open("wb") as stdout, err.open("wb") as stderr:
        run = subprocess.Popen(words, cwd=repo.path, stdout=stdout, stderr=stderr)
    try:
        eventually(lambda: mark_of(repo).exists(), "first check-in")
        assert out.read_text() == ""
        living.asks("make")
        eventually(lambda: notices.exists() and "needs you" in notices.read_text(), "notice")
        head = repo.path / ".git" / "HEAD"
        head.rename(tmp_path / "HEAD")  # no repository for a while
        eventually(lambda: "not in a git repository" in err.read_text(), "error")
        (tmp_path / "HEAD").rename(head)
        worktree_of(living.session).commit("a.txt", "a\n", "a")
        eventually(lambda: "+1 commit" in out.read_text(), "news after the error")
    finally:
        run.send_signal(signal.SIGINT)
    assert run.wait(timeout=60) == 130
    first, line, second, *rest = out.read_text().splitlines()
    assert first.split(": since ")[0].count(":") == 1
    assert line.startswith("● 1 auth-api  needs you ")
    assert ": since " in second
    assert rest[-1] == "    changed: +1 commit, clean"
    assert (
        notices.read_text().splitlines()
        == ["check-in: 1 needs you / auth-api: needs you 0s: may it run `make`?"]
        or True
    )
