"""Ages, sizes and counts read the way people write them."""

from __future__ import annotations

import pytest

from worktree_sessions.model import words
from worktree_sessions.outside.git import Status


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (12 * 60 + 59, "12m"),
        (3599, "59m"),
        (3600, "1h"),
        (86399, "23h"),
        (86400, "1d"),
        (364.9 * 86400, "364d"),
        (365 * 86400, "1y"),
    ],
)
def test_an_age_is_said_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert words.age(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (4_200_000, "4.2 MB"),
        (7_000_000_000, "7.0 GB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_a_size_is_said_in_decimal_units(count: int, text: str) -> None:
    assert words.size(count) == text


def test_counts_and_lists_agree_in_number() -> None:
    assert [words.counted(1, "session"), words.counted(2, "session")] == ["1 session", "2 sessions"]
    assert words.counted(3, "branch", "branches") == "3 branches"
    assert words.listed(["a", "b", "c"]) == "a, b, c"
    assert words.listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


@pytest.mark.parametrize(
    ("changed", "untracked", "unmerged", "text", "short"),
    [
        (0, 0, 0, "clean", "clean"),
        (3, 1, 0, "3 changed, 1 untracked", "3M 1?"),
        (0, 2, 0, "2 untracked", "2?"),
        (1, 0, 2, "2 in conflict, 1 changed", "2U 1M"),
    ],
)
def test_what_is_changed_is_said_in_words_or_in_the_letters_of_git(
    changed: int, untracked: int, unmerged: int, text: str, short: str
) -> None:
    status = Status(None, None, ("a",) * changed, ("b",) * untracked, ("c",) * unmerged, ())
    assert (words.changes(status), words.changes_in_short(status)) == (text, short)


def test_the_distance_from_the_parent_tells_none_from_unknown() -> None:
    assert words.distance(2, 1) == "↑2 ↓1"
    assert words.distance(2, 0) == "↑2"
    assert words.distance(0, 1) == "↓1"
    assert words.distance(0, 0) == "="
    assert words.distance(None, 1) == "?"


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("Done.", "Done."),
        ("I fixed it. All 42 tests pass now.", "All 42 tests pass now."),
        ("It is done", "It is done"),
        ("See e.g. this one, v2.1.330 or newer.", "See e.g. this one, v2.1.330 or newer."),
        ('He said "Yes." Then he left!', "Then he left!"),
        ("Which one? `a` or `b`?", "`a` or `b`?"),
        ("First.\n\n## Next\n- **The** audit log\n\n---\n```\n", "The audit log"),
        ("認証を作った。テストも通る。", "テストも通る。"),
        ("...", ""),
        ("", ""),
    ],
)
def test_of_what_was_said_the_last_sentence_is_shown(text: str, last: str) -> None:
    assert words.last_sentence(text) == last
