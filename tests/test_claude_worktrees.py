"""`claude -w NAME` in a repository that opted in: a session made by Claude's own hooks, whose removal drops nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Wts
from tests.support.claude_cli import eventually
from tests.support.repos import Repo
from tests.support.sessions import project_of
from worktree_sessions.actions.asking import ask_state
from worktree_sessions.model.session import State

NAME = "auth-frontend"
USERS = b'{"permissions": {"allow": ["Bash(ls)"]},\n\n  "hooks": {"Stop": [{"hooks": []}]}, "\xc3\xa9": 1.50}'


@pytest.fixture
def settings(repo: Repo) -> Path:
    return repo.path / ".claude" / "settings.local.json"


@pytest.fixture
def opted_in(repo: Repo, wts: Wts, fake_claude: Path) -> Repo:
    assert wts("hooks", "install", "--claude-worktrees").status == 0
    return repo


def claude(repo: Repo, *steps: dict[str, Any], name: str = NAME) -> subprocess.CompletedProcess[str]:
    """Run `claude -w NAME` in the main worktree, to its end."""
    env = {**os.environ, "FAKE_CLAUDE_SCRIPT": json.dumps(steps)}
    argv = ["claude", "-w", name, "--", "Build it"]
    return subprocess.run(
        argv, cwd=repo.path, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def hook(repo: Repo, word: str, **fields: str) -> subprocess.CompletedProcess[str]:
    """Run a hook as Claude would, without a Claude."""
    argv = [sys.executable, "-P", "-m", "worktree_sessions", "claude-worktree", word]
    return subprocess.run(
        argv, cwd=repo.path, input=json.dumps(fields), capture_output=True, text=True, timeout=60, check=False
    )


# -- the opt-in ------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [None, USERS, b"{}", b'{"hooks": {}}\n'])
def test_install_merges_and_uninstall_puts_back_every_byte(
    wts: Wts, settings: Path, before: bytes | None
) -> None:
    if before is not None:
        settings.parent.mkdir()
        settings.write_bytes(before)
        settings.chmod(0o600)
    assert wts("hooks", "install", "--claude-worktrees", "--dry-run").status == 0
    assert (settings.read_bytes() if settings.exists() else None) == before
    installed = wts("hooks", "install", "--claude-worktrees", "--json")
    assert installed.json["data"]["claude_worktrees"] == {"file": str(settings), "installed": True}
    if before is not None:
        was, now = json.loads(before), json.loads(settings.read_bytes())
        assert settings.stat().st_mode & 0o777 == 0o600
        assert {key: now[key] for key in was if key != "hooks"} == {
            k: v for k, v in was.items() if k != "hooks"
        }
        assert {**now["hooks"], **was.get("hooks", {})} == now["hooks"]
    merged = settings.read_bytes()
    again = wts("hooks", "install", "--claude-worktrees")
    assert "already" in again.out
    assert settings.read_bytes() == merged
    assert "claude -w    makes a session" in wts("hooks").out

    assert wts("hooks", "uninstall", "--claude-worktrees").status == 0
    assert (settings.read_bytes() if settings.exists() else None) == before
    assert "claude -w" not in wts("hooks").out
    assert "no worktree hooks" in wts("hooks", "uninstall", "--claude-worktrees").out


def test_uninstall_keeps_what_was_changed_since(wts: Wts, settings: Path) -> None:
    assert wts("hooks", "install", "--claude-worktrees").status == 0
    now = json.loads(settings.read_bytes())
    settings.write_text(json.dumps({**now, "model": "opus"}))
    assert wts("hooks", "uninstall", "--claude-worktrees").status == 0
    assert json.loads(settings.read_bytes()) == {"model": "opus"}


def test_hooks_of_another_wts_are_renewed_and_the_first_bytes_are_remembered(
    wts: Wts, settings: Path
) -> None:
    settings.parent.mkdir()
    settings.write_bytes(USERS)
    assert wts("hooks", "install", "--claude-worktrees").status == 0
    settings.write_text(settings.read_text().replace(sys.executable, "/old/python"))
    assert "another wts" in wts("hooks").out
    assert wts("hooks", "install", "--claude-worktrees").status == 0
    assert "/old/python" not in settings.read_text()
    assert wts("hooks", "uninstall", "--claude-worktrees").status == 0
    assert settings.read_bytes() == USERS


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{ // mine\n}", "odd-settings"),
        (b"[]", "odd-settings"),
        (b'{"hooks": {"Stop": {}}}', "odd-settings"),
        (b'{"hooks": {"WorktreeCreate": [{"hooks": [{"command": "mine"}]}]}}', "other-hook"),
    ],
)
def test_a_file_that_can_not_be_merged_is_left_alone(
    wts: Wts, settings: Path, content: bytes, code: str
) -> None:
    settings.parent.mkdir()
    settings.write_bytes(content)
    refused = wts("hooks", "install", "--claude-worktrees", "--json")
    assert (refused.status, refused.json["errors"][0]["code"]) == (3, code)
    assert settings.read_bytes() == content
    assert wts("hooks").status == 0


def test_a_link_is_left_alone(wts: Wts, settings: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("{}")
    settings.parent.mkdir()
    settings.symlink_to(tmp_path / "mine.json")
    assert wts("hooks", "install", "--claude-worktrees").status == 3
    assert settings.is_symlink()


def test_a_tracked_file_needs_a_yes_of_its_own(wts: Wts, repo: Repo, settings: Path) -> None:
    repo.commit(".claude/settings.local.json", "{}", "shared")
    refused = wts("hooks", "install", "--claude-worktrees")
    assert refused.status == 3
    assert "--claude-worktrees --shared" in refused.err
    assert settings.read_text() == "{}"
    assert wts("hooks", "install", "--claude-worktrees", "--shared").status == 0


def test_a_bare_repository_has_no_claude_to_tell(wts: Wts, tmp_path: Path) -> None:
    bare = Repo.create(tmp_path / "bare.git", "--bare")
    assert wts("hooks", "install", "--claude-worktrees", cwd=bare.path).status == 1
    assert wts("hooks", cwd=bare.path).status == 0


# -- a session -------------------------------------------------------------------------------------


def test_claude_w_makes_a_session_that_can_be_resumed(opted_in: Repo, wts: Wts, tmp_path: Path) -> None:
    ready, leave = tmp_path / "ready", tmp_path / "leave"
    steps = [{"write": "login.py", "content": "form\n"}, {"touch": str(ready)}, {"wait_for": str(leave)}]
    env = {**os.environ, "FAKE_CLAUDE_SCRIPT": json.dumps(steps)}
    running = subprocess.Popen(["claude", "-w", NAME, "--", "Build it"], cwd=opted_in.path, env=env)
    eventually(ready.exists, "a Claude at work")
    project = project_of(opted_in)
    session = project.store.load(NAME)
    assert session is not None
    assert (session.worktree / "login.py").read_text() == "form\n"
    assert session.branch == "feature/auth-frontend"
    assert ask_state(project, session).now.state is State.WORKING
    assert wts("open", "1").status == 3
    assert wts("close", "1").status == 3
    second = claude(opted_in)
    assert second.returncode == 1
    assert "runs already" in second.stderr
    leave.touch()
    assert running.wait(30) == 0

    assert ask_state(project, session).now.state is State.ENDED
    assert (session.worktree / "login.py").exists()
    resumed = claude(opted_in, {"commit": "add the form"})
    assert resumed.returncode == 0, resumed.stderr
    assert session.worktree.is_dir(), "a commit that its parent lacks"
    assert project.store.load(NAME) is not None


def test_one_that_left_nothing_behind_goes(opted_in: Repo, wts: Wts) -> None:
    done = claude(opted_in)
    assert done.returncode == 0, done.stderr
    project = project_of(opted_in)
    eventually(lambda: not project.store.record_file(NAME).exists(), "closed session")
    assert wts("restore", NAME).status == 0


@pytest.mark.parametrize("commits", [False, True])
def test_removal_keeps_whatever_is_not_home(opted_in: Repo, commits: bool) -> None:
    done = claude(opted_in, {"write": "a", "content": "x"}, *([{"commit": "c"}] if commits else []))
    assert done.returncode == 0, done.stderr
    assert "auth-frontend is kept: " in done.stderr
    session = project_of(opted_in).store.load(NAME)
    assert session is not None
    assert session.worktree.is_dir()


def test_claude_can_not_remove_it_behind_our_back(opted_in: Repo, wts: Wts) -> None:
    """2.1.197 does, and calls no hook: worktree and branch were gone, with a commit on it."""
    assert claude(opted_in, {"write": "a", "content": "x"}, {"commit": "c"}).returncode == 0
    session = project_of(opted_in).store.load(NAME)
    assert session is not None
    for words in (("worktree", "remove", "--force", str(session.worktree)), ("branch", "-D", session.branch)):
        done = subprocess.run(["git", *words], cwd=opted_in.path, capture_output=True, check=False)
        assert done.returncode != 0, words
    closed = wts("close", "1")
    assert closed.status == 0, closed.err
    assert not session.worktree.exists()
    assert opted_in.tip(session.branch)


def test_what_came_in_after_the_question_is_kept_too(opted_in: Repo, wts: Wts) -> None:
    """The look that counts is the one after Claude has ended."""
    assert wts("new", NAME, "--no-start").status == 0
    session = project_of(opted_in).store.load(NAME)
    assert session is not None
    (session.worktree / "late").write_text("x")
    done = wts("claude-worktree", "remove", "--after", "999999999", str(session.worktree))
    assert done.status == 0
    assert "not everything in it is committed" in done.err
    assert (session.worktree / "late").read_text() == "x"


def test_a_name_that_is_refused_ends_the_start_with_the_reason(opted_in: Repo) -> None:
    done = claude(opted_in, name="..")
    assert done.returncode == 1
    assert "hint" in done.stderr or "name" in done.stderr


def test_a_slash_becomes_a_hyphen(opted_in: Repo) -> None:
    made = hook(opted_in, "create", name="auth/frontend", session_id="c")
    assert made.returncode == 0, made.stderr
    assert project_of(opted_in).store.load(NAME) is not None


def test_a_sub_agent_gets_a_plain_worktree_and_is_no_session(opted_in: Repo, wts: Wts) -> None:
    made = hook(opted_in, "create", name="agent-0a1b2c", session_id="c")
    place = opted_in.path / ".claude" / "worktrees" / "agent-0a1b2c"
    assert made.stdout == f"{place}\n"
    assert Repo(place).git("branch", "--show-current") == "worktree-agent-0a1b2c"
    assert wts("list", "--json").json["data"]["sessions"] == []

    (place / "found.txt").write_text("x")
    words = ("claude-worktree", "remove", "--after", "999999999", str(place))
    assert wts(*words).status == 0
    assert (place / "found.txt").exists()
    Repo(place).git("add", "--all")
    Repo(place).git("commit", "--quiet", "-m", "found")
    tip = Repo(place).tip("HEAD")
    assert wts(*words).status == 0
    assert not place.exists()
    assert opted_in.tip("worktree-agent-0a1b2c") == tip


def test_a_foreign_worktree_is_never_removed(opted_in: Repo) -> None:
    other = opted_in.worktree("other")
    done = hook(opted_in, "remove", worktree_path=str(other.path))
    assert done.returncode == 0
    assert "is no session" in done.stderr
    assert hook(opted_in, "remove", worktree_path="/nowhere").returncode == 0
    assert other.path.is_dir()
