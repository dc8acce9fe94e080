"""Many at once, as real processes: each wins or is told why not, and the repository stays sound."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.conftest import Wts
from tests.support.repos import Repo
from tests.support.sessions import a_session, picture, project_of, refs, worktree_of


def at_once(repo: Repo, commands: Sequence[Sequence[str]]) -> list[tuple[int, str, str]]:
    """Start every command before the first ends; return status, stdout and stderr of each."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "worktree_sessions", *words],
            cwd=repo.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for words in commands
    ]
    return [
        (process.returncode, out, err)
        for process in started
        for out, err in [process.communicate(timeout=150)]
    ]


@pytest.mark.slow
def test_24_new_at_once_make_24_sound_sessions(repo: Repo, wts_inline: Wts) -> None:
    names = [f"auth-{index:02}" for index in range(24)]
    done = at_once(repo, [("new", name, "--no-start", "--json") for name in names])
    assert [status for status, _, _ in done] == [0] * 24, [err for _, _, err in done]
    told = {row["name"]: row["number"] for _, out, _ in done for row in [json.loads(out)["data"]["session"]]}
    assert sorted(told.values()) == list(range(1, 25))
    rows = wts_inline("list", "--json").json["data"]["sessions"]
    assert {row["name"]: row["number"] for row in rows} == told
    repo.git("fsck", "--strict")
    heads = {ref for ref in refs(repo) if ref.startswith("refs/heads/feature/")}
    assert heads == {"refs/heads/feature/auth", *(f"refs/heads/feature/{name}" for name in names)}
    listed = repo.git("worktree", "list", "--porcelain")
    for session in project_of(repo).store.load_all()[0]:
        assert f"worktree {session.worktree}\n" in listed
        assert worktree_of(session).git("status", "--porcelain") == ""
        assert worktree_of(session).git("symbolic-ref", "HEAD") == f"refs/heads/{session.branch}"
    assert not list(repo.path.glob(".git/**/*.lock"))


def test_8_of_one_name_are_one_winner_and_7_refusals(repo: Repo) -> None:
    done = at_once(repo, [("new", "auth-frontend", "--no-start")] * 8)
    assert sorted(status for status, _, _ in done) == [0, *[3] * 7]
    assert all("auth-frontend" in err and "exists already" in err for status, _, err in done if status == 3)
    assert [session.number for session in project_of(repo).store.load_all()[0]] == [1]


def test_8_closes_of_one_session_are_one_winner(repo: Repo) -> None:
    session = a_session(repo)
    worktree_of(session).write("notes", "untracked\n")
    done = at_once(repo, [("close", session.name, "--with-unsaved")] * 8)
    statuses = sorted(status for status, _, _ in done)
    assert statuses[0] == 0
    assert statuses.count(0) == 1
    assert set(statuses[1:]) <= {1, 3}, [err for _, _, err in done]


def test_8_restores_of_one_session_are_one_winner(repo: Repo, wts_inline: Wts) -> None:
    session = a_session(repo)
    worktree_of(session).write("notes", "untracked\n")
    before = picture(session.worktree)
    assert wts_inline("close", session.name, "--with-unsaved").status == 0
    done = at_once(repo, [("restore", session.name)] * 8)
    assert [status for status, _, _ in done].count(0) == 1
    assert {status for status, _, _ in done} <= {0, 1, 3, 6}, [err for _, _, err in done]
    assert picture(session.worktree) == before


def test_closing_and_making_at_once_touch_only_their_own(repo: Repo) -> None:
    sessions = [a_session(repo, f"auth-{index}x") for index in range(4)]
    for session in sessions:
        worktree_of(session).write("notes", session.name)
    commands = [("close", session.name, "--with-unsaved") for session in sessions]
    commands += [("new", f"mail-{index}x", "--no-start") for index in range(4)]
    done = at_once(repo, commands)
    assert [status for status, _, _ in done] == [0] * 8, [err for _, _, err in done]
    assert [s.name for s in project_of(repo).store.load_all()[0] if s.feature == "auth"] == []
    assert len(project_of(repo).store.load_closed()[0]) == 4
