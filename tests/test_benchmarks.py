"""What the benchmarks read and write: a table lands between its own marks, and each is told as it tells it."""

from __future__ import annotations

import pytest

from benchmarks import page, rival, scale
from benchmarks.rival import Held
from benchmarks.world import Measured

PAGE = "above\n<!-- a: begin -->\nold\n<!-- a: end -->\nbetween\n<!-- b: begin -->\n<!-- b: end -->\nbelow\n"


def test_a_table_is_renewed_between_its_own_marks_and_nowhere_else() -> None:
    once = page.renewed(PAGE, "a", "new")
    assert once == PAGE.replace("old", "new")
    assert page.renewed(once, "a", "new") == once
    assert page.renewed(PAGE, "b", "x").endswith("<!-- b: begin -->\nx\n<!-- b: end -->\nbelow\n")


def test_a_page_without_the_marks_is_no_place_for_a_table() -> None:
    with pytest.raises(ValueError):
        page.renewed(PAGE, "c", "new")


def test_every_table_has_its_place_in_the_page() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    for name in ("bench", "midday"):
        page.renewed(text, name, "")


def test_a_table_is_markdown() -> None:
    assert page.table(["what", "took"], [["list", "1 s"]]) == "| what | took |\n| --- | --- |\n| list | 1 s |"


def test_a_cell_has_both_times_and_their_ratio() -> None:
    assert scale.cell(Measured([3.0, 2.5, 1.0]), Measured([0.25])) == "2,500 / 250 ms = 10.0 x"


def test_a_command_that_is_not_there_has_no_line() -> None:
    rows = {name: Measured([1.0]) for pair in scale.PAIRS for name in (pair.name, pair.plain)}
    without = {name: took for name, took in rows.items() if name not in ("sync", "pulls")}
    assert [line[0] for line in scale.lines({5: rows})] == [pair.what for pair in scale.PAIRS]
    assert [line[0] for line in scale.lines({5: without})] == [pair.what for pair in scale.PAIRS[:-1]]


def test_a_promise_is_told_as_kept_only_when_it_is() -> None:
    def rows(plan: float, again: float) -> scale.Rows:
        return {"plan": Measured([plan]), "again": Measured([again]), "list": Measured([1.0])}

    assert [one.is_kept for one in scale.promises(rows(2.0, 1.2))] == [True, True]
    assert [one.is_kept for one in scale.promises(rows(2.1, 1.3))] == [False, False]


def test_who_wts_holds_back_is_told_with_the_files_and_the_other() -> None:
    answer = {
        "data": {
            "features": [
                {
                    "sessions": [
                        {"name": "auth-one", "outcome": "landed", "files": [], "rival": None},
                        {
                            "name": "auth-three",
                            "outcome": "conflict",
                            "files": ["a.txt"],
                            "rival": "auth-one",
                        },
                        {"name": "auth-four", "outcome": "red", "files": [], "rival": "auth-two"},
                    ]
                }
            ]
        }
    }
    held = rival.held_by_wts(answer)
    assert held == (
        Held("three", "conflict", ("a.txt",), ("one",)),
        Held("four", "red together", (), ("two",)),
    )
    assert [one.says() for one in held] == [
        "three: conflict with one in a.txt",
        "four: red together with two",
    ]


def test_who_mergetrain_holds_back_is_told_as_it_tells_it() -> None:
    merge = "Auto-merging a.txt\nCONFLICT (content): Merge conflict in a.txt\nAutomatic merge failed"
    jobs = [
        job(1, "one", "deployed"),
        job(2, "two", "blocked", "semantic conflict: passes gates alone", "4"),
        job(3, "three", "blocked", merge),
        job(4, "four", "blocked", "semantic conflict: passes gates alone", "2"),
        job(5, "five", "failed", "failed train gates individually"),
    ]
    assert [one.says() for one in rival.held_by_mergetrain(jobs)] == [
        "two: red together with four",
        "three: conflict in a.txt (with whom is not told)",
        "four: red together with two",
        "five: failed",
    ]


def job(
    number: int, name: str, status: str, note: str = "batch ok", conflict_with: str = ""
) -> dict[str, object]:
    """What `mergetrain inspect --json` says of one."""
    branch = f"feature/auth-{name}"
    return {"id": number, "branch": branch, "status": status, "note": note, "conflict_with": conflict_with}


def test_lines_that_are_typed_are_counted_by_their_command() -> None:
    typed = ["mergetrain enqueue --task a", "mergetrain enqueue --task b", "mergetrain deploy", "y"]
    assert rival.steps(typed) == "4: 2 `enqueue`, `deploy`, `y`"
