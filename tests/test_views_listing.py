"""`wts list` as people see it: every line of it, at 80 and at 200 columns."""

from __future__ import annotations

import re
import textwrap
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from tests.support.looks import NOW, a_look
from worktree_sessions.model.session import Listing, Setup, State, Unreadable
from worktree_sessions.views.console import ASCII, clean
from worktree_sessions.views.listing import FACES, Shorten, listing_svg, listing_text, wrapped

FRONTEND = a_look(
    1, "auth-frontend", State.WAITING, since=720, changed=3, untracked=1, ahead=2, behind=1,
    goal="Build the login form\nwith tests", reason="may it run `npm test`?",
    said="The form is there, the tests come next.",
)  # fmt: skip
TESTS = a_look(
    3, "auth-tests", State.IDLE, ahead=5, goal="Cover the session store", said="All 42 tests pass."
)
WEBHOOKS = a_look(
    5, "billing-webhooks", State.IDLE, since=400, untracked=2, ahead=1, behind=12,
    feature="billing", setup=Setup.FAILED,
)  # fmt: skip
BACKEND = a_look(
    2, "auth-backend", State.WORKING, since=180, changed=7, ahead=4,
    goal="Token refresh endpoint, rate limits, and the audit log that legal wants",
    said="The endpoint answers, and I go on with the limits.",
)  # fmt: skip
DOCS = a_look(
    4, "billing-docs", State.ENDED, since=90000, landed=True, feature="billing", age=200000, reason="exit 0"
)
FIVE = Listing((FRONTEND, TESTS, WEBHOOKS, BACKEND, DOCS), current="auth-tests")


def drawn(listing: Listing, width: int) -> str:
    text = listing_text(listing, now=NOW, width=width, color=False, home=Path("/home/ann"))
    assert max(map(cell_len, text.splitlines())) <= width
    assert not [line for line in text.splitlines() if line != line.rstrip()]
    return text + "\n"


def as_drawn(text: str) -> str:
    return textwrap.dedent(text).removeprefix("\n")


def test_no_sessions_say_what_to_type() -> None:
    assert drawn(Listing(()), 80) == as_drawn("""
        No sessions yet. The first one:

          wts new auth-frontend -p "Build the login form"
    """)


def test_no_sessions_still_tell_of_worktrees_that_could_be() -> None:
    assert drawn(Listing((), others=1), 80) == as_drawn("""
        No sessions yet. The first one:

          wts new auth-frontend -p "Build the login form"

        1 worktree is not a session: wts adopt PATH
    """)


def test_one_session_needs_no_counting() -> None:
    assert drawn(Listing((TESTS,)), 80) == as_drawn("""
        #  session     state      branch          files  ↑↓  age
        3  auth-tests  ○ idle 1h  → feature/auth  clean  ↑5   2h
             Cover the session store · "All 42 tests pass."
    """)


def test_five_sessions_fit_80_columns() -> None:
    assert drawn(FIVE, 80) == (
        "  #  session           state            branch             files  ↑↓      age\n"
        "  1  auth-frontend     ● needs you 12m  → feature/auth     3M 1?  ↑2 ↓1    2h\n"
        "       ● may it run `npm test`?\n"
        '       Build the login form · "The form is there, the tests come next."\n'
        "▸ 3  auth-tests        ○ idle 1h        → feature/auth     clean  ↑5       2h\n"
        '       Cover the session store · "All 42 tests pass."\n'
        "  5  billing-webhooks  ✗ set-up failed  → feature/billing  2?     ↑1 ↓12   2h\n"
        "  2  auth-backend      ◐ working 3m     → feature/auth     7M     ↑4       2h\n"
        '       Token refresh endpoint, rate limi… · "The endpoint answers, and I go on…"\n'
        "  4  billing-docs      ■ ended 1d       → feature/billing  clean  landed   2d\n"
        "\n"
        "5 sessions: 1 needs you, 2 idle, 1 working, 1 ended\n"
        "files: M changed, ? untracked\n"
        "set-up failed in billing-webhooks: wts setup billing-webhooks\n"
    )


def test_a_narrow_pane_keeps_name_state_and_question() -> None:
    listing = Listing((FRONTEND, BACKEND), current="auth-backend")
    assert drawn(listing, 60).splitlines()[:4] == [
        "  #  session        state            files  ↑↓     age",
        "  1  auth-frontend  ● needs you 12m  3M 1?  ↑2 ↓1   2h",
        "       ● may it run `npm test`?",
        '       Build the login form · "The form is there, the test…"',
    ]
    assert drawn(listing, 36) == as_drawn("""
          #  session        state
          1  auth-frontend  ● needs you 12m
               ● may it run `npm test`?
               Build the l… · "The form is…"
        ▸ 2  auth-backend   ◐ working 3m
               Token refre… · "The endpoin…"

        2 sessions: 1 needs you, 1 working
    """)


def test_the_count_of_each_state_is_broken_between_states() -> None:
    looks = [a_look(number, f"a-{number}", state) for number, state in enumerate([*State, *State], 1)]
    counts = drawn(Listing(tuple(looks)), 60).split("\n\n")[1].splitlines()
    assert counts[:2] == [
        "22 sessions: 2 starting, 2 working, 2 need you, 2 idle,",
        "  2 background, 2 limited, 2 failed, 2 interrupted, 2 ended,",
    ]


def test_100_columns_have_room_for_the_words() -> None:
    assert drawn(FIVE, 100).splitlines()[:2] == [
        "  #  session           state            branch             files                   ↑↓      age",
        "  1  auth-frontend     ● needs you 12m  → feature/auth     3 changed, 1 untracked  ↑2 ↓1    2h",
    ]


def test_160_columns_say_everything() -> None:
    assert drawn(Listing((FRONTEND, BACKEND), current="auth-backend"), 160) == (
        "  #  session        state            branch                                files                 "
        "  ↑↓     age  worktree\n"
        "  1  auth-frontend  ● needs you 12m  feature/auth-frontend → feature/auth  3 changed, 1 untracked"
        "  ↑2 ↓1   2h  ~/shop.worktrees/auth-frontend\n"
        "       ● may it run `npm test`?\n"
        '       Build the login form · "The form is there, the tests come next."\n'
        "▸ 2  auth-backend   ◐ working 3m     feature/auth-backend → feature/auth   7 changed             "
        "  ↑4      2h  ~/shop.worktrees/auth-backend\n"
        "       Token refresh endpoint, rate limits, and the audit log that legal wants"
        ' · "The endpoint answers, and I go on with the limits."\n'
        "\n"
        "2 sessions: 1 needs you, 1 working\n"
    )


def test_the_worktree_gives_way_before_the_facts() -> None:
    assert drawn(FIVE, 140).splitlines()[6] == (
        "  5  billing-webhooks  ✗ set-up failed  feature/billing-webhooks → feature/billing  2 untracked             "
        "↑1 ↓12   2h  …s/billing-webhooks"
    )


# -- below a row -----------------------------------------------------------------------------------


def below(width: int = 80, **facts: Any) -> list[str]:
    """Return the lines below the row of one session; it waits, unless something else is said."""
    look = a_look(1, "a-b", **{"state": State.WAITING, **facts})
    return drawn(Listing((look,)), width).splitlines()[2:]


def test_a_long_question_has_two_lines_and_loses_its_end() -> None:
    words = "Which of the payment providers should the cart use first, and shall the other one stay?"
    assert below(60, reason=words) == [
        "     ● Which of the payment providers should the cart use",
        "     first, and shall the other one stay?",
    ]
    assert (
        below(60, reason=f"{words} {words}")[-1]
        == "     first, and shall the other one stay? Which of the paym…"
    )
    assert below(200, reason=words) == [f"     ● {words}"]


@pytest.mark.parametrize("state", State)
def test_only_a_question_or_a_failure_has_its_reason_in_the_list(state: State) -> None:
    shown = [f"     {FACES[state].symbol} so it is"]
    loud = state in (State.WAITING, State.FAILED, State.LIMITED, State.UNKNOWN)
    assert below(state=state, reason="so it is") == (shown if loud else [])


@pytest.mark.parametrize(
    ("goal", "said", "line"),
    [
        ("Build it", None, "Build it"),
        (None, "Done.", '"Done."'),
        ("\n  Build it\nat once", "Done.\n", 'Build it · "Done."'),
        ("g" * 99, "Done.", "g" * 24 + '… · "Done."'),
        ("Build it", "s" * 99, 'Build it · "' + "s" * 21 + '…"'),
        ("g" * 99, "s" * 99, "g" * 14 + '… · "' + "s" * 14 + '…"'),
        ("\x1b[2J", "\x1b[2J", ""),
    ],
)
def test_goal_and_last_sentence_share_a_line(goal: str | None, said: str | None, line: str) -> None:
    assert below(40, state=State.IDLE, goal=goal, said=said) == ([f"     {line}"] if line else [])


foreign = st.text(st.characters(exclude_categories=()), max_size=200)


@settings(max_examples=60, deadline=None)
@given(foreign, foreign, foreign, st.integers(40, 200))
def test_whatever_was_asked_and_said_fits_and_drives_no_terminal(
    reason: str, goal: str, said: str, width: int
) -> None:
    look = a_look(1, "a-b", State.WAITING, reason=reason, goal=goal, said=said)
    for line in drawn(Listing((look,)), width).splitlines():
        assert clean(line) == line


@given(st.text(st.characters(categories=("L", "N", "P", "Zs"))), st.integers(2, 40), st.integers(1, 5))
def test_a_wrapped_text_fits_and_loses_nothing_but_its_end(text: str, width: int, most: int) -> None:
    lines = wrapped(text, width, most=most)
    assert len(lines) <= most
    assert max(map(cell_len, lines)) <= width
    kept = "".join("".join(lines).removesuffix("…").split())
    assert "".join(text.split()).startswith(kept)


def test_what_could_not_be_found_out_is_a_question_mark_with_its_reason() -> None:
    look = a_look(4, "hotfix", State.UNKNOWN, since=None, problem="git status failed: index file corrupt")
    assert drawn(Listing((look,)), 80) == as_drawn("""
        #  session  state      branch          files  ↑↓  age
        4  hotfix   ? unknown  → feature/auth  ?      ?    2h

        hotfix: git status failed: index file corrupt
    """)


def test_a_branch_that_is_not_named_after_its_session_is_shown() -> None:
    looks = (a_look(1, "adopted", branch="fix/login"), a_look(2, "a-b", on=None), a_look(3, "a-c", on="main"))
    assert drawn(Listing(looks), 80) == as_drawn("""
        #  session  state      branch                     files  ↑↓  age
        1  adopted  ○ idle 1h  fix/login → feature/auth   clean  =    2h
        2  a-b      ○ idle 1h  (detached) → feature/auth  clean  =    2h
        3  a-c      ○ idle 1h  main → feature/auth        clean  =    2h

        3 sessions: 3 idle
    """)


def test_what_lies_beside_the_sessions_comes_with_the_command_that_cures_it() -> None:
    listing = Listing(
        (TESTS, a_look(7, "auth-wait", setup=Setup.UNTRUSTED)),
        others=2,
        unreadable=(Unreadable(Path("/r/.git/wts/sessions/x/session.json"), "not JSON"),),
        unfinished=("new auth-x",),
        missing=("auth-tests", "b", "c", "d"),
    )
    assert drawn(listing, 80).split("\n\n")[1] == as_drawn("""
        2 sessions: 2 idle
        worktree of auth-tests is missing: wts restore auth-tests
        worktree of b is missing: wts restore b
        worktree of c is missing: wts restore c
        1 more worktree is missing: wts restore
        set-up waits for approval in auth-wait: wts trust
        half-made: new auth-x: wts doctor --fix
        unreadable record, kept: /r/.git/wts/sessions/x/session.json: not JSON
        2 worktrees are not sessions: wts adopt PATH
    """)


def test_a_set_up_that_failed_never_hides_who_needs_you() -> None:
    looks = (a_look(1, "a-b", State.WAITING, setup=Setup.FAILED), a_look(2, "a-c", setup=Setup.FAILED))
    assert drawn(Listing(looks), 80) == as_drawn("""
        #  session  state            branch          files  ↑↓  age
        1  a-b      ● needs you 1h   → feature/auth  clean  =    2h
        2  a-c      ✗ set-up failed  → feature/auth  clean  =    2h

        2 sessions: 1 needs you, 1 idle
        set-up failed in a-b, a-c: wts setup a-b
    """)


def test_names_of_40_characters_and_wide_letters_are_cut_in_the_middle() -> None:
    looks = (
        a_look(3, "a-forty-character-long-name-of-a-session", State.INTERRUPTED, since=86400 * 40,
               changed=12, untracked=14, ahead=22, behind=7, feature="a-forty-character-long-name-of-a"),
        a_look(1, "認証-フロントエンド画面-とても長い名前のセッション", changed=1),
    )  # fmt: skip
    assert drawn(Listing(looks), 80) == as_drawn("""
        #  session            state              branch             files    ↑↓      age
        3  a-forty-…-session  ‖ interrupted 40d  → feature…me-of-a  12M 14?  ↑22 ↓7   2h
        1  認証-フ…ッション   ○ idle 1h          → feature/auth     1M       =        2h

        2 sessions: 1 interrupted, 1 idle
        files: M changed, ? untracked
    """)


def test_escape_sequences_in_names_prompts_and_reasons_never_reach_the_terminal() -> None:
    evil = "x\x1b[31m-red\x1b]0;title\x07\u202e"
    look = a_look(
        2,
        evil,
        State.WAITING,
        goal="\x1b[2Jgone\nsecond",
        reason="\x9b31mboom",
        said="\x1b]2;t\x07ok",
        problem="\x1bcreset",
        feature=evil,
    )
    listing = Listing(
        (look,), unfinished=(evil,), missing=("\x1b[1mz",), unreadable=(Unreadable(Path(evil), evil),)
    )
    for width in (80, 200):
        lines = drawn(listing, width).splitlines()
        assert [line for line in lines if clean(line) != line] == []


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_fifty_sessions_without_words_are_fifty_lines_of_the_terminals_width(width: int) -> None:
    looks = [
        a_look(number, f"auth-part-{number}" + "-x" * (number % 15), state, changed=number % 4, ahead=number)
        for number, state in enumerate([*State] * 5, 1)
        if number <= 50
    ]
    lines = listing_text(Listing(tuple(looks)), now=NOW, width=width, color=False).splitlines()
    table = lines[: lines.index("")]
    assert len(table) == 51
    assert max(map(cell_len, table)) <= width


names = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(names, st.sampled_from(State), st.integers(0, 300)), min_size=1, max_size=5))
def test_every_table_fits_80_columns_and_keeps_every_state_in_full(
    rows: list[tuple[str, State, int]],
) -> None:
    looks = [
        a_look(number, name, state, changed=count, untracked=count, ahead=count, behind=count, feature=name)
        for number, (name, state, count) in enumerate(rows, 1)
    ]
    lines = drawn(Listing(tuple(looks)), 80).splitlines()
    for line, look in zip(lines[1:], looks, strict=False):
        assert f"{FACES[look.now.state].symbol} {FACES[look.now.state].word} 1h" in line


def test_a_missing_worktree_is_told_once_with_its_cure() -> None:
    look = a_look(1, "a-b", State.UNKNOWN, since=None, problem="its worktree is missing")
    assert drawn(Listing((look,), missing=("a-b",)), 80) == as_drawn("""
        #  session  state      branch          files  ↑↓  age
        1  a-b      ? unknown  → feature/auth  ?      ?    2h

        worktree of a-b is missing: wts restore a-b
    """)


def test_the_arrow_is_faint_also_in_a_branch_that_was_cut() -> None:
    look = a_look(1, "x" * 60, changed=1, untracked=1, feature="y" * 60)
    assert "\x1b[2m→\x1b[0m feature/" in listing_text(Listing((look,)), now=NOW, width=80, color=True)


def test_colour_changes_nothing_but_the_colour() -> None:
    coloured = listing_text(FIVE, now=NOW, width=80, color=True)
    assert "\x1b[1;33m● needs you\x1b[0m" in coloured
    assert Text.from_ansi(coloured).plain == listing_text(FIVE, now=NOW, width=80, color=False)


def test_every_state_has_its_own_word_and_symbol_also_in_ascii() -> None:
    assert set(FACES) == set(State)
    assert len({face.word for face in FACES.values()}) == len(State)
    assert len({face.symbol.translate(ASCII) for face in FACES.values()}) == len(State)


@given(st.text(st.characters(categories=("L", "N", "P"))), st.integers(3, 40))
def test_shortened_text_fits_and_short_text_stays(text: str, width: int) -> None:
    for shorten in (Shorten.middle, Shorten.end, Shorten.start):
        short = shorten(text, width)
        assert cell_len(short) <= width
        if cell_len(text) <= width:
            assert short == text


def test_the_picture_is_sound_svg_and_loads_nothing_from_anywhere() -> None:
    picture = listing_svg(FIVE, now=NOW, width=80)
    root = ElementTree.fromstring(picture)
    words = "".join(root.itertext()).replace("\xa0", " ")
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert all(word in words for word in ("wts list", "auth-frontend", "needs you", "5 sessions:"))
    assert re.findall(r"url\((?!#)|href=|@import|@font-face", picture) == []
    assert picture == listing_svg(FIVE, now=NOW, width=80)
