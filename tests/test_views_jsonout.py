"""The JSON that programs build on: its keys, its nulls, and its validity whatever the bytes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.looks import NOW, a_look
from worktree_sessions.errors import Refused, WtsError
from worktree_sessions.model.readiness import Readiness
from worktree_sessions.model.session import Blocker, Listing, Setup, State, Unreadable
from worktree_sessions.views.jsonout import (
    envelope,
    error_envelope,
    json_text,
    listing_json,
    session_json,
)


def test_an_answer_comes_in_the_envelope() -> None:
    assert envelope("path", {"path": "/x"}) == {
        "schema": 1,
        "command": "path",
        "ok": True,
        "data": {"path": "/x"},
        "errors": [],
    }


def test_a_failure_comes_in_the_same_envelope_with_code_sentence_cure_and_session() -> None:
    refused = Refused("at-risk", "work is at risk", hint="wts close 1 --with-unsaved", session="auth-docs")
    assert error_envelope("close", refused, WtsError("x", "y"), data={"files": ["a"]}) == {
        "schema": 1,
        "command": "close",
        "ok": False,
        "data": {"files": ["a"]},
        "errors": [
            {
                "code": "at-risk",
                "message": "work is at risk",
                "hint": "wts close 1 --with-unsaved",
                "session": "auth-docs",
            },
            {"code": "x", "message": "y", "hint": None, "session": None},
        ],
    }


def test_a_session_has_exactly_these_keys() -> None:
    look = a_look(
        1, "auth-docs", State.WAITING, since=60, changed=2, unmerged=1, untracked=4, ahead=3, behind=1,
        reason="asks", goal="Write\nit", said="Done.", attended=60, setup=Setup.DONE,
    )  # fmt: skip
    readiness = Readiness((Blocker("waiting", "its Claude needs you", "wts open 1"), Blocker("x", "y")), NOW)
    assert session_json(look, readiness) == {
        "number": 1,
        "name": "auth-docs",
        "feature": "auth",
        "purpose": "docs",
        "role": None,
        "branch": "feature/auth-docs",
        "parent": "feature/auth",
        "worktree": "/home/ann/shop.worktrees/auth-docs",
        "display": "shop-auth-docs",
        "conversation": "c0ffee",
        "created": "2027-01-15T06:00:00+00:00",
        "setup": "done",
        "state": "waiting",
        "since": "2027-01-15T07:59:00+00:00",
        "reason": "asks",
        "question": "asks",
        "goal": "Write\nit",
        "said": "Done.",
        "attended": "2027-01-15T07:59:00+00:00",
        "ready": False,
        "blockers": [
            {"code": "waiting", "message": "its Claude needs you", "hint": "wts open 1"},
            {"code": "x", "message": "y", "hint": None},
        ],
        "landed": False,
        "at_risk": True,
        "git": {"head": "1" * 40, "ahead": 3, "behind": 1, "changed": 3, "untracked": 4},
    }
    assert NOW == 1_800_000_000


@pytest.mark.parametrize("state", [state for state in State if state is not State.WAITING])
def test_a_question_is_only_of_one_that_waits(state: State) -> None:
    told = session_json(a_look(1, "auth-docs", state, reason="so it is"))
    assert (told["reason"], told["question"]) == ("so it is", None)


def test_what_git_could_not_tell_is_null_and_not_left_out() -> None:
    told = session_json(a_look(1, "auth-docs", State.UNKNOWN, since=None, problem="git status failed"))
    assert told["git"] == {"head": None, "ahead": None, "behind": None, "changed": None, "untracked": None}
    assert (told["since"], told["landed"], told["at_risk"]) == (None, None, None)


def test_the_verdict_is_that_of_the_look_unless_somebody_looked_closer() -> None:
    look = a_look(1, "a-b", ahead=1, unfinished=())
    assert (session_json(look)["ready"], session_json(look)["blockers"]) == (True, [])
    assert session_json(look, Readiness((Blocker("landed", "it is home"),), NOW))["ready"] is False
    blocked = session_json(a_look(1, "a-b", ahead=1, unfinished=(), untracked=1))
    assert blocked["ready"] is False
    assert [one["code"] for one in blocked["blockers"]] == ["untracked"]  # type: ignore[index, union-attr, call-overload]


def test_a_listing_tells_what_lies_beside_the_sessions() -> None:
    listing = Listing(
        (a_look(2, "b-b"), a_look(1, "a-b")),
        others=3,
        unreadable=(Unreadable(Path("/r/session.json"), "bad"),),
        current="a-b",
        unfinished=("new c-b",),
        missing=("b-b",),
    )
    told = listing_json(listing)
    sessions = told.pop("sessions")
    assert isinstance(sessions, list)
    assert [session["number"] for session in sessions] == [2, 1]
    assert told == {
        "current": "a-b",
        "others": 3,
        "missing": ["b-b"],
        "unfinished": ["new c-b"],
        "unreadable": [{"path": "/r/session.json", "reason": "bad"}],
    }


def test_paths_that_are_not_utf8_make_valid_json() -> None:
    path = Path(os.fsdecode(b"/a/caf\xe9"))
    text = json_text(
        envelope("list", {str(path): [session_json(a_look(1, "a-b", worktree=path))], "\ud800": 1})
    )
    text.encode("ascii")
    data = json.loads(text)["data"]
    assert data["/a/caf\\xe9"][0]["worktree"] == "/a/caf\\xe9"
    assert data["?"] == 1


def test_json_carries_no_raw_control_character() -> None:
    text = json_text({"prompt": "\x1b[31m\x9b\x7f\u202e認"})
    assert text == '{\n  "prompt": "\\u001b[31m\\u009b\\u007f\\u202e\\u8a8d"\n}'
    assert json.loads(text)["prompt"] == "\x1b[31m\x9b\x7f\u202e認"
