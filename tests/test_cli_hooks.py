"""`wts hooks` as it is typed: what it says, asks and exits with. What the hooks do is in test_git_hooks.py."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Wts
from tests.support.repos import Repo
from tests.support.sessions import picture
from worktree_sessions.actions import githooks
from worktree_sessions.model.operation import Plan
from worktree_sessions.outside import git
from worktree_sessions.views.hooks import hooks_text, uninstalled_receipt

EVENTS = ("pre-push", "post-merge", "post-commit")


@pytest.fixture(autouse=True)
def older_git() -> None:
    """What is written here is about hook files, as git before 2.54 wants them."""
    if git.has("config-hooks"):
        pytest.skip("this git takes hooks from its configuration")


@pytest.fixture
def shared(repo: Repo, tmp_path: Path) -> Path:
    """A hooks directory that may serve other repositories too."""
    place = tmp_path / "everybody's hooks"
    place.mkdir()
    repo.git("config", "core.hooksPath", str(place))
    return place


def on_a_terminal(cwd: Path, typed: str, *args: str) -> tuple[int, str]:
    """Run wts on a terminal of its own, and type; return its exit status and what stood on the screen."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "worktree_sessions", *args]
    process = subprocess.Popen(argv, cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, typed.encode())
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # the other side was closed
        pass
    os.close(ours)
    return process.wait(), shown.decode()


def test_status_install_and_uninstall(wts: Wts, repo: Repo) -> None:
    place, script = repo.path / ".git" / "hooks", repo.path / ".git" / "wts" / "hooks" / "wts-hook.sh"
    before = picture(place)
    status = wts("hooks", "status")
    assert (
        status.out
        == wts("hooks").out
        == (
            f"git hooks, in {place}\n"
            "  ○ pre-push     not installed\n"
            "  ○ post-merge   not installed\n"
            "  ○ post-commit  not installed\n"
            "next: wts hooks install\n"
        )
    )
    assert wts("hooks", "install").out == (
        "✓ git hooks are installed\n"
        f"  write {script}\n"
        + "".join(f"  write {place}/{event}\n" for event in EVENTS)
        + "undo: wts hooks uninstall\n"
    )
    assert wts("hooks", "install").out == "✓ git hooks are installed already\nundo: wts hooks uninstall\n"
    assert wts("hooks").out == (
        f"git hooks, in {place}\n"
        "  ✓ pre-push     installed\n"
        "  ✓ post-merge   installed\n"
        "  ✓ post-commit  installed\n"
        "next: wts hooks uninstall\n"
    )
    gone = wts("hooks", "uninstall")
    assert (gone.status, gone.err) == (0, "")
    assert gone.out.startswith("✓ git hooks are gone\n")
    assert gone.out.endswith("undo: wts hooks install\n")
    assert wts("hooks", "uninstall").out == "✓ no git hooks of wts were there\n"
    assert picture(place) == before


def test_a_dry_run_shows_the_steps_that_run(wts: Wts, repo: Repo) -> None:
    before = picture(repo.path, skip=())
    dry = wts("hooks", "install", "--dry-run")
    assert picture(repo.path, skip=()) == before
    done = wts("hooks", "install")
    steps = [line.strip() for line in done.out.splitlines() if line.startswith("  ")]
    assert dry.out.splitlines() == [
        "wts hooks install would",
        *(f"  {number}. {step}" for number, step in enumerate(steps, 1)),
        "nothing was changed",
    ]
    assert "  1. remove " in wts("hooks", "uninstall", "--dry-run").out


def test_a_hook_that_was_there_is_told_to_run_first(wts: Wts, repo: Repo) -> None:
    hook = repo.write(".git/hooks/post-commit", "#!/bin/sh\nexit 0\n")
    hook.chmod(0o755)
    assert "  ○ post-commit  not installed, another hook is there\n" in wts("hooks").out
    assert "  post-commit runs post-commit.before-wts first\n" in wts("hooks", "install").out
    assert "  ✓ post-commit  installed, after post-commit.before-wts\n" in wts("hooks").out
    hook.write_text("#!/bin/sh\n# somebody else's\n")
    assert "  ✗ post-commit  another hook took its place\n" in wts("hooks").out
    refused = wts("hooks", "install")
    assert refused.status == 3
    assert refused.err.startswith(f"error: {hook} replaced the one of wts")
    assert f"warning: {hook} is not ours any more and stays" in wts("hooks", "uninstall").out


def test_a_script_of_another_version_is_told_and_renewed(wts: Wts, repo: Repo) -> None:
    wts("hooks", "install")
    script = repo.path / ".git" / "wts" / "hooks" / "wts-hook.sh"
    script.write_text("#!/bin/sh\n")
    assert wts("hooks").out.splitlines()[-2:] == [
        "  ✗ the script of the hooks is of another version of wts",
        "next: wts hooks install",
    ]
    assert wts("hooks", "install").status == 0
    script.unlink()
    assert "  ✗ the script of the hooks is missing\n" in wts("hooks").out


def test_a_shared_directory_is_not_written_to_without_its_own_flag(
    wts: Wts, repo: Repo, shared: Path
) -> None:
    for words in ([], ["--yes"], ["--dry-run"], ["--json"], ["--yes", "--json"]):
        refused = wts("hooks", "install", *words)
        assert refused.status == 3
        assert f"the hooks directory {shared} may serve other repositories too" in refused.err
        assert "hint: wts hooks install --shared" in refused.err
        assert list(shared.iterdir()) == []
    assert wts("hooks").out.splitlines()[-2:] == [
        f"  the hooks directory {shared} may serve other repositories too",
        "next: wts hooks install --shared",
    ]
    assert wts("hooks", "install", "--shared").status == 0
    assert sorted(path.name for path in shared.iterdir()) == sorted(EVENTS)
    assert wts("hooks", "uninstall").status == 0
    assert list(shared.iterdir()) == []


@pytest.mark.parametrize(("typed", "status", "written"), [("y\n", 0, 3), ("n\n", 3, 0), ("\n", 3, 0)])
def test_on_a_terminal_it_asks_for_the_shared_directory(
    repo: Repo, shared: Path, typed: str, status: int, written: int
) -> None:
    ended, screen = on_a_terminal(repo.path, typed, "hooks", "install")
    assert f"the hooks directory {shared} may serve other repositories too; install there? [y/N]" in screen
    assert (ended, len(list(shared.iterdir()))) == (status, written)


def test_on_a_terminal_yes_asks_nothing_and_consents_to_nothing(repo: Repo, shared: Path) -> None:
    ended, screen = on_a_terminal(repo.path, "y\n", "hooks", "install", "--yes")
    assert "[y/N]" not in screen
    assert (ended, list(shared.iterdir())) == (3, [])


def test_in_its_own_directory_it_asks_nothing(repo: Repo) -> None:
    ended, screen = on_a_terminal(repo.path, "", "hooks", "install")
    assert "[y/N]" not in screen
    assert ended == 0


def test_json(wts: Wts, repo: Repo) -> None:
    place = repo.path / ".git" / "hooks"
    installed = wts("hooks", "install", "--json").json
    assert (installed["command"], installed["ok"]) == ("hooks install", True)
    assert len(installed["data"]["steps"]) == 4
    for words in (["hooks", "status", "--json"], ["hooks", "--json"]):
        answer = wts(*words).json
        assert answer["command"] == "hooks status"
        assert answer["data"] == {
            "way": "files",
            "directory": str(place),
            "installed": True,
            "current": True,
            "needs_consent": None,
            "hooks": [
                {"event": event, "state": "installed", "place": str(place / event), "chained": None}
                for event in EVENTS
            ],
            "claude_worktrees": {
                "file": str(repo.path / ".claude" / "settings.local.json"),
                "installed": False,
            },
        }
    del answer["data"]["claude_worktrees"]
    assert installed["data"].items() >= answer["data"].items()
    gone = wts("hooks", "uninstall", "--json").json
    assert gone["data"]["installed"] is False
    assert gone["data"]["warnings"] == []


def test_outside_of_a_repository_it_is_one_clear_line(wts: Wts, tmp_path: Path) -> None:
    for words in ([], ["status"], ["install"], ["uninstall"]):
        done = wts("hooks", *words, cwd=tmp_path)
        assert done.status == 1
        assert done.err.startswith(f"error: {tmp_path} is not in a git repository\n")


def test_hooks_of_the_configuration_are_drawn_with_where_they_are() -> None:
    hooks = githooks.Hooks(
        way=githooks.Way.CONFIG,
        directory=Path("/repo/.git/hooks"),
        hooks=(
            githooks.Hook(
                event="pre-push",
                state=githooks.HookState.INSTALLED,
                place="hook.wts-pre-push",
                chained=None,
            ),
        ),
        is_current=True,
        needs_consent=None,
    )
    assert hooks_text(hooks, color=False) == (
        "git hooks, in git's configuration\n  ✓ pre-push     installed\nnext: wts hooks uninstall"
    )
    plan = Plan(verb="hooks-uninstall", session="", steps=())
    assert uninstalled_receipt(githooks.HooksChanged(plan=plan, after=hooks)).undo is None
