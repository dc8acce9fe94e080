"""A conflict settled by the real Claude Code, offline: it gets the brief, resolves and commits, and that comes home."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api, script
from tests.support.claude_cli import RealClaude, eventually
from tests.support.repos import Repo
from tests.support.sessions import project_of, worktree_of
from tests.test_real_claude import Day

pytestmark = pytest.mark.real_claude

RESOLVE = "printf 'by both\\n' >form && git add form && git commit --quiet --no-edit --cleanup=strip"


@pytest.fixture
def day(real_claude: RealClaude, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Day:
    return Day(real_claude, repo, tmp_path, monkeypatch)


def test_a_conflict_is_handed_to_claude_and_what_it_commits_comes_home(
    day: Day, api: Api, repo: Repo
) -> None:
    """What the stand-in for the model does is written in the session's goal, which only the brief brings there."""
    repo.commit("form", "start\n", "form")
    bash: dict[str, Any] = {"tool": "Bash", "input": {"command": RESOLVE, "description": "resolve"}}
    day.wts("new", "auth-one", "--no-start", "-p", "Build the form")
    day.wts("new", "auth-two", "--no-start", "-p", script(bash, {"text": "Both are kept."}))
    (one, two), _ = project_of(repo).store.load_all()
    worktree_of(one).commit("form", "by one\n", "one")
    worktree_of(two).commit("form", "by two\n", "two")
    day.wts("merge-ready", "--yes", "--only", "1")

    given = day.wts("resolve", "2", "--tmux")

    assert [file["path"] for file in given["files"]] == ["form"]
    pane = eventually(lambda: day.world.panes().get(two.display), f"window {two.display}")
    pane.answer("Do you want to proceed")
    eventually(lambda: repo.git("show", f"{two.branch}:form") == "by both", "the resolution")
    (asked,) = {prompt for prompt in api.prompts if "git can't decide 1 file" in prompt}
    assert "asked to: Build the form" in asked
    eventually(lambda: state_of(day, "auth-two") == "idle", "auth-two at rest")
    assert repo.git("log", "-1", "--format=%P", two.branch).split() == [
        repo.tip(f"{two.branch}^1"),
        repo.tip("feature/auth"),
    ]
    day.wts("merge-ready", "--yes")
    assert repo.git("show", "feature/auth:form") == "by both"


def state_of(day: Day, name: str) -> str:
    return str(next(one["state"] for one in day.wts("list")["sessions"] if one["name"] == name))
