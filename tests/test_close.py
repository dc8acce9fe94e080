"""`wts close`: each danger is named, with the one flag that consents to it, and a refusal changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Wts
from tests.support.repos import Repo
from tests.support.sessions import a_session, is_in, picture, project_of, refs, restored, worktree_of, world
from worktree_sessions.actions import close, operate
from worktree_sessions.model import events
from worktree_sessions.model.session import Session
from worktree_sessions.outside import processes

FLAGS = ("--with-unsaved", "--while-running", "--while-locked", "--mid-operation")


# -- one danger, one flag --------------------------------------------------------------------------


def untracked(tree: Repo) -> str:
    tree.write("notes.txt", "only here\n")
    return "notes.txt"


def untracked_and_hidden_by_configuration(tree: Repo) -> str:
    tree.git("config", "status.showUntrackedFiles", "no")
    return untracked(tree)


def changed(tree: Repo) -> str:
    tree.write("README.md", "changed\n")
    return "README.md"


def staged(tree: Repo) -> str:
    tree.write("README.md", "changed\n")
    tree.git("add", "-A")
    tree.write("README.md", "# a project\n")
    return "README.md"


def assumed_unchanged(tree: Repo) -> str:
    tree.git("update-index", "--assume-unchanged", "README.md")
    return changed(tree)


def skipped(tree: Repo) -> str:
    tree.git("update-index", "--skip-worktree", "README.md")
    return changed(tree)


def detached_with_a_commit(tree: Repo) -> str:
    tree.git("checkout", "-q", "--detach")
    return tree.commit("x", "x\n", "found on a detached HEAD")[:10]


def locked(tree: Repo) -> str:
    tree.git("worktree", "lock", "--reason", "on a stick", str(tree.path))
    return "on a stick"


def in_a_rebase(tree: Repo) -> str:
    tree.git("branch", "other")
    tree.commit("README.md", "ours\n", "ours")
    tree.git("checkout", "-q", "other")
    tree.commit("README.md", "theirs\n", "theirs")
    tree.git("checkout", "-q", "feature/auth-frontend")
    with pytest.raises(AssertionError):
        tree.git("rebase", "other")
    tree.write("README.md", "# a project\n")  # nothing else may be in the way
    tree.git("rm", "-q", "--cached", "README.md")
    tree.git("reset", "-q", "--", "README.md")
    tree.git("checkout", "-q", "--", "README.md")
    return "rebase"


def in_a_bisect(tree: Repo) -> str:
    tree.git("bisect", "start")
    return "bisect"


DANGERS: list[tuple[Callable[[Repo], str], str]] = [
    (untracked, "--with-unsaved"),
    (untracked_and_hidden_by_configuration, "--with-unsaved"),
    (changed, "--with-unsaved"),
    (staged, "--with-unsaved"),
    (assumed_unchanged, "--with-unsaved"),
    (skipped, "--with-unsaved"),
    (detached_with_a_commit, "--with-unsaved"),
    (locked, "--while-locked"),
    (in_a_rebase, "--mid-operation"),
    (in_a_bisect, "--mid-operation"),
]


@pytest.mark.parametrize(("make", "flag"), DANGERS, ids=[make.__name__ for make, _ in DANGERS])
def test_a_danger_refuses_until_its_own_flag_consents(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts, make: Callable[[Repo], str], flag: str
) -> None:
    told = make(tree)
    before, files = world(repo, session), picture(session.worktree)
    others = [one for one in FLAGS if one != flag]
    for flags in ([], others):
        refused = wts_inline("close", session.name, *flags)
        assert refused.status == 3
        assert told in refused.err
        assert [one for one in FLAGS if f"close all the same: {one}" in refused.err] == [flag]
        assert refused.out == ""
        assert world(repo, session) == before
    assert wts_inline("close", session.name, flag).status == 0
    assert not session.worktree.exists()
    restored(repo, session.name)
    assert picture(session.worktree) == files


def test_all_dangers_are_told_at_once_and_each_wants_its_flag(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    untracked(tree)
    locked(tree)
    refused = wts_inline("close", "1", "--with-unsaved")
    assert refused.status == 3
    assert "--while-locked" in refused.err
    assert "wts close auth-frontend --with-unsaved --while-locked" in refused.err
    both = wts_inline("close", "1")
    assert [one in both.err for one in FLAGS] == [True, False, True, False]


def test_yes_consents_to_no_danger(repo: Repo, session: Session, tree: Repo, wts_inline: Wts) -> None:
    untracked(tree)
    assert wts_inline("close", "1", "-y").status in (2, 3)
    assert (session.worktree / "notes.txt").exists()


def test_a_dry_run_is_refused_alike_and_changes_nothing(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    untracked(tree)
    before = world(repo, session)
    assert wts_inline("close", "1", "--dry-run").status == 3
    shown = wts_inline("close", "1", "--dry-run", "--with-unsaved")
    assert shown.status == 0
    assert "snapshot" in shown.out
    assert world(repo, session) == before


def test_a_refusal_in_json_names_code_hint_and_session(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    untracked(tree)
    answer = wts_inline("close", "1", "--json")
    assert answer.status == 3
    assert answer.json["ok"] is False
    (error,) = answer.json["errors"]
    assert (error["code"], error["session"]) == ("unsaved", "auth-frontend")
    assert "--with-unsaved" in error["hint"]


# -- what stands or runs in it ---------------------------------------------------------------------


@pytest.fixture
def sleeper(session: Session) -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands in the session's worktree."""
    inside = session.worktree / "deep"
    inside.mkdir()
    process = subprocess.Popen(["sleep", "300"], cwd=inside)
    yield process
    process.kill()
    process.wait()


def test_a_process_that_stands_in_it_is_named(
    repo: Repo, session: Session, wts_inline: Wts, sleeper: subprocess.Popen[bytes]
) -> None:
    before = world(repo, session)
    refused = wts_inline("close", "1", "--with-unsaved", "--while-locked", "--mid-operation")
    assert refused.status == 3
    assert f"sleep (pid {sleeper.pid})" in refused.err
    assert "--while-running" in refused.err
    assert world(repo, session) == before
    assert wts_inline("close", "1", "--while-running").status == 0
    assert sleeper.poll() is None, "only Claude is ended, and only when asked to"


def _claude_runs(repo: Repo, session: Session, script: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    known = processes.look_up(process.pid)
    assert known is not None
    events.append_launch(
        project_of(repo).store.events_file(session.name),
        time.time(),
        known,
        conversation="c",
        config=Path("/none"),
    )
    return process


def test_a_running_claude_refuses_and_is_ended_gently_with_consent(
    repo: Repo, session: Session, wts_inline: Wts
) -> None:
    claude = _claude_runs(repo, session, "import time; print('up', flush=True); time.sleep(300)")
    try:
        refused = wts_inline("close", "1", "--with-unsaved")
        assert refused.status == 3
        assert f"Claude runs in it (pid {claude.pid})" in refused.err
        assert claude.poll() is None
        assert wts_inline("close", "1", "--while-running").status == 0
        assert claude.wait(5) == -15
    finally:
        claude.kill()
        claude.wait()


def test_whatever_else_refuses_does_so_before_claude_is_ended(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    untracked(tree)
    claude = _claude_runs(repo, session, "import time; print('up', flush=True); time.sleep(300)")
    try:
        assert wts_inline("close", "1", "--while-running").status == 3
        assert claude.poll() is None
    finally:
        claude.kill()
        claude.wait()


# -- what can't be known blocks --------------------------------------------------------------------


def test_a_probe_that_fails_blocks_whatever_flag_is_given(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    index = Path(tree.git("rev-parse", "--absolute-git-dir")) / "index"
    index.write_bytes(b"not an index")
    files = picture(session.worktree, skip=())
    refused = wts_inline("close", "1", *FLAGS, "--delete-branch")
    assert refused.status == 3
    assert "could not find out" in refused.err
    assert "wts doctor" in refused.err
    assert picture(session.worktree, skip=()) == files
    assert index.read_bytes() == b"not an index"


def test_a_worktree_whose_git_file_is_gone_blocks(repo: Repo, session: Session, wts_inline: Wts) -> None:
    (session.worktree / ".git").unlink()
    assert wts_inline("close", "1", *FLAGS).status == 3
    assert (session.worktree / "README.md").exists()


def test_an_orphan_branch_without_a_commit_blocks_rather_than_loses(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    tree.git("checkout", "-q", "--orphan", "fresh")
    before = picture(session.worktree)
    answer = wts_inline("close", "1", *FLAGS)
    assert answer.status in (1, 3)
    assert picture(session.worktree) == before
    assert wts_inline("list").status == 0


# -- what is ignored -------------------------------------------------------------------------------


def test_edited_files_of_worktreeinclude_refuse(repo: Repo, wts_inline: Wts) -> None:
    repo.commit(".gitignore", ".env\nkey\n", "ignore")
    repo.commit(".worktreeinclude", ".env\nkey\n", "include")
    repo.write(".env", "A=1\n")
    repo.write("key", "k\n")
    session = a_session(repo)
    (session.worktree / ".env").write_text("A=2\n")
    before = world(repo, session)
    refused = wts_inline("close", "1", "--while-running")
    assert refused.status == 3
    assert ".env" in refused.err
    assert "key" not in refused.err.replace("  ", "")
    assert "--with-unsaved" in refused.err
    assert world(repo, session) == before
    assert wts_inline("close", "1", "--with-unsaved").status == 0
    restored(repo, session.name)
    assert (session.worktree / ".env").read_text() == "A=2\n"


def test_precious_ignored_files_are_told_kept_and_put_back_and_rebuilt_ones_are_not(
    repo: Repo, wts_inline: Wts
) -> None:
    repo.commit(".gitignore", "*.db\nnode_modules/\nsecrets/\n__pycache__/\n", "ignore")
    session = a_session(repo)
    tree = worktree_of(session)
    tree.write("local.db", b"d" * 4200).chmod(0o600)
    tree.write("secrets/a/key", "k\n")
    (session.worktree / "secrets" / "link").symlink_to("a/key")
    tree.write("node_modules/x/index.js", "x\n")
    tree.write("src/__pycache__/a.pyc", "x\n")
    kept = {path: facts for path, facts in picture(session.worktree).items() if "x" not in path.split("/")}
    closed = wts_inline("close", "1")
    assert closed.status == 0
    assert "local.db" in closed.out
    assert "4.2 kB" in closed.out
    assert "node_modules" not in closed.out
    assert "node_modules" not in " ".join(picture(project_of(repo).store.trash_dir))
    restored(repo, session.name)
    back = picture(session.worktree)
    assert back["local.db"] == ("file", 0o600, b"d" * 4200)
    assert back["secrets/a/key"] == kept["secrets/a/key"]
    assert back["secrets/link"] == ("link", 0, b"a/key")
    assert not any("node_modules" in path or "pycache" in path for path in back)
    trash = project_of(repo).store.trash_dir
    assert not trash.exists() or not any(trash.iterdir())


def test_a_repository_inside_comes_back_whole(repo: Repo, session: Session, wts_inline: Wts) -> None:
    inner = Repo.create(session.worktree / "inner")
    held = inner.commit("x", "x\n", "inside")
    inner.git("gc", "--quiet")  # packs the refs: the directories that make it a repository are empty now
    inner.write("y", "not committed\n")
    before = picture(session.worktree)
    refused = wts_inline("close", "1")
    assert refused.status == 3
    assert "inner/" in refused.err
    assert wts_inline("close", "1", "--with-unsaved").status == 0
    restored(repo, session.name)
    assert picture(session.worktree) == before
    assert inner.tip("HEAD") == held


def test_stash_entries_are_told_and_stay(repo: Repo, session: Session, tree: Repo, wts_inline: Wts) -> None:
    changed(tree)
    tree.git("stash", "push", "-qm", "for later")
    answer = wts_inline("close", "1")
    assert answer.status == 0
    assert "stash@{0}" in answer.out
    assert "for later" in answer.out
    assert "for later" in repo.git("stash", "list")


# -- submodules ------------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path: Path) -> Repo:
    made = Repo.create(tmp_path / "library")
    made.commit("lib.py", "lib = 1\n", "library")
    return made


def test_unpushed_commits_of_a_submodule_refuse_and_come_back(
    repo: Repo, library: Repo, wts_inline: Wts
) -> None:
    repo.git("submodule", "--quiet", "add", str(library.path), "lib")
    repo.git("commit", "-qm", "with a submodule")
    session = a_session(repo)
    tree = worktree_of(session)
    tree.git("submodule", "--quiet", "update", "--init")
    inside = Repo(session.worktree / "lib")
    inside.git("checkout", "-q", "-b", "mine")
    held = inside.commit("lib.py", "lib = 2\n", "never pushed")
    tree.git("commit", "-qam", "use the new library")
    before = world(repo, session)
    refused = wts_inline("close", "1")
    assert refused.status == 3
    assert "lib" in refused.err
    assert "--with-unsaved" in refused.err
    assert world(repo, session) == before
    files = picture(session.worktree)
    assert wts_inline("close", "1", "--with-unsaved").status == 0
    restored(repo, session.name)
    assert picture(session.worktree) == files
    assert inside.tip("HEAD") == held
    assert inside.git("status", "--porcelain") == ""


def test_a_repository_that_was_added_like_a_file_is_kept_whole(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    """`git add inner` records a repository that no .gitmodules knows: its commits are nowhere else."""
    inner = Repo.create(session.worktree / "inner")
    held = inner.commit("x", "x\n", "inside")
    tree.git("-c", "advice.addEmbeddedRepo=false", "add", "inner")
    tree.git("commit", "-qm", "a repository like a file")
    before = picture(session.worktree)
    refused = wts_inline("close", "1")
    assert refused.status == 3
    assert "inner" in refused.err
    assert wts_inline("close", "1", "--with-unsaved").status == 0
    restored(repo, session.name)
    assert picture(session.worktree) == before
    assert inner.tip("HEAD") == held


def test_a_pushed_submodule_is_no_danger(repo: Repo, library: Repo, wts_inline: Wts) -> None:
    repo.git("submodule", "--quiet", "add", str(library.path), "lib")
    repo.git("commit", "-qm", "with a submodule")
    session = a_session(repo)
    worktree_of(session).git("submodule", "--quiet", "update", "--init")
    assert wts_inline("close", "1").status == 0
    assert not session.worktree.exists()


def test_a_stash_in_a_submodule_is_work_that_is_nowhere_else(
    repo: Repo, library: Repo, wts_inline: Wts
) -> None:
    repo.git("submodule", "--quiet", "add", str(library.path), "lib")
    repo.git("commit", "-qm", "with a submodule")
    session = a_session(repo)
    worktree_of(session).git("submodule", "--quiet", "update", "--init")
    inside = Repo(session.worktree / "lib")
    inside.write("lib.py", "lib = 3\n")
    inside.git("stash", "push", "-q")
    assert wts_inline("close", "1").status == 3


# -- the branch ------------------------------------------------------------------------------------


def test_a_branch_with_work_is_kept(repo: Repo, session: Session, tree: Repo, wts_inline: Wts) -> None:
    tip = tree.commit("x", "x\n", "work")
    answer = wts_inline("close", "1")
    assert "branch feature/auth-frontend kept" in answer.out
    assert refs(repo)["refs/heads/feature/auth-frontend"] == tip
    assert answer.out.rstrip().endswith("wts restore auth-frontend")


def test_a_branch_that_landed_goes(repo: Repo, session: Session, tree: Repo, wts_inline: Wts) -> None:
    tip = tree.commit("x", "x\n", "work")
    repo.git("update-ref", "refs/heads/feature/auth", tip)
    answer = wts_inline("close", "1")
    assert "deleted, all of it is in feature/auth" in answer.out
    assert "refs/heads/feature/auth-frontend" not in refs(repo)


def test_a_deleted_branch_is_pinned_and_comes_back_after_gc(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    lost = tree.commit("x", "x\n", "first")
    tree.git("commit", "-q", "--amend", "-m", "second")
    tip = tree.tip("HEAD")
    answer = wts_inline("close", "1", "--delete-branch")
    assert "deleted, asked for with --delete-branch" in answer.out
    assert "refs/heads/feature/auth-frontend" not in refs(repo)
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "--prune=now", "--quiet")
    assert is_in(repo, lost)
    restored(repo, session.name)
    assert tree.tip("HEAD") == tip
    assert tree.git("symbolic-ref", "HEAD") == "refs/heads/feature/auth-frontend"


def test_delete_branch_consents_to_no_other_danger(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    untracked(tree)
    before = world(repo, session)
    assert wts_inline("close", "1", "--delete-branch").status == 3
    assert world(repo, session) == before


def test_a_branch_checked_out_elsewhere_is_never_deleted_under_it(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    tree.git("checkout", "-q", "--detach")
    repo.git("checkout", "-q", "feature/auth-frontend")
    answer = wts_inline("close", "1", "--delete-branch")
    assert answer.status in (0, 3)
    assert "refs/heads/feature/auth-frontend" in refs(repo)
    assert repo.git("status", "--porcelain") == ""


# -- around it -------------------------------------------------------------------------------------


def test_only_the_named_session_is_touched(repo: Repo, session: Session, wts_inline: Wts) -> None:
    other = a_session(repo, "auth-backend")
    worktree_of(other).write("x", "x\n")
    before = picture(other.worktree)
    assert wts_inline("close", session.name).status == 0
    assert picture(other.worktree) == before
    assert [row["name"] for row in wts_inline("list", "--json").json["data"]["sessions"]] == ["auth-backend"]


def test_several_at_once_are_refused_before_the_first_is_closed(
    repo: Repo, session: Session, wts_inline: Wts
) -> None:
    """Exit 3 says that nothing was changed, for all that were named."""
    other = a_session(repo, "auth-backend")
    worktree_of(other).write("x", "x\n")
    assert wts_inline("close", session.name, other.name).status == 3
    assert session.worktree.exists()
    assert other.worktree.exists()


def test_several_at_once_in_json_are_one_answer(repo: Repo, session: Session, wts_inline: Wts) -> None:
    a_session(repo, "auth-backend")
    answer = wts_inline("close", "1", "2", "--json")
    assert answer.status == 0
    assert answer.json["ok"] is True


def test_the_answer_in_json(repo: Repo, session: Session, tree: Repo, wts_inline: Wts) -> None:
    untracked(tree)
    answer = wts_inline("close", "1", "--with-unsaved", "--json").json
    assert answer["command"] == "close"
    assert answer["data"]["closed"]["name"] == "auth-frontend"
    assert answer["data"]["closed"]["branch_deleted"] is True
    assert answer["data"]["restore"] == "wts restore auth-frontend"
    listed = wts_inline("restore", "--json").json["data"]["restorable"]
    assert [(row["name"], row["files"], row["restore"]) for row in listed] == [
        ("auth-frontend", 1, "wts restore auth-frontend")
    ]
    assert listed[0]["size"] >= len("only here\n")


def test_a_session_whose_worktree_is_gone_can_be_closed(
    repo: Repo, session: Session, wts_inline: Wts
) -> None:
    shutil.rmtree(session.worktree)
    assert wts_inline("close", "1").status == 0
    assert wts_inline("list", "--json").json["data"]["sessions"] == []
    assert str(session.worktree) not in repo.git("worktree", "list")


def test_it_can_be_closed_from_its_own_directory_when_nothing_else_stands_there(
    repo: Repo, session: Session, wts_inline: Wts
) -> None:
    assert wts_inline("close", ".", cwd=session.worktree).status == 0
    assert not session.worktree.exists()
    os.chdir(repo.path)


def test_what_is_saved_after_the_first_picture_is_kept(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor that saves between the snapshot and the move loses nothing."""

    def save_late(_: str, moment: str) -> None:
        if moment == "before 2":
            tree.write("late.txt", "just in time\n")

    monkeypatch.setattr(operate, "checkpoint", save_late)
    assert wts_inline("close", "1").status == 0
    monkeypatch.setattr(operate, "checkpoint", lambda *_: None)
    restored(repo, session.name)
    assert (session.worktree / "late.txt").read_text() == "just in time\n"


def test_closing_what_is_gone_keeps_commits_that_only_its_reflog_knew(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    tree.git("checkout", "-q", "--detach")
    held = tree.commit("x", "x\n", "detached")
    shutil.rmtree(session.worktree)
    assert wts_inline("close", "1").status == 0
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "--prune=now", "--quiet")
    assert is_in(repo, held)


# -- places and moments that are not plain --------------------------------------------------------------


def test_a_worktree_inside_another_one_is_never_moved_with_it(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    """Claude makes its own worktrees below the one it stands in, where they are ignored."""
    tree.git("worktree", "add", "-q", str(session.worktree / ".claude" / "worktrees" / "y"), "-b", "y")
    repo.write(".git/info/exclude", ".claude/\n")
    before = world(repo, session)
    refused = wts_inline("close", "1", *FLAGS)
    assert refused.status == 3
    assert ".claude/worktrees/y" in refused.err
    assert "git worktree move " in refused.err
    assert world(repo, session) == before


def test_a_worktree_that_is_a_link_stays_where_it_is(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    big = repo.path.parent / "another disk"
    session.worktree.rename(big)
    session.worktree.symlink_to(big)
    refused = wts_inline("close", "1", *FLAGS)
    assert refused.status == 3
    assert str(big) in refused.err
    assert session.worktree.is_symlink()


def test_no_outer_repository_answers_for_a_worktree_that_lost_its_git_file(
    tmp_path: Path, wts_inline: Wts
) -> None:
    outer = Repo.create(tmp_path / "outer")
    outer.commit("x", "x\n", "work")
    repo = Repo.create(outer.path / "repo")
    repo.commit("a", "a\n", "work")
    session = a_session(repo)
    (session.worktree / ".git").unlink()
    (session.worktree / "new").write_text("mine\n")
    before = refs(outer)
    assert wts_inline("close", "1", *FLAGS, cwd=repo.path).status == 3
    assert (session.worktree / "new").read_text() == "mine\n"
    assert refs(outer) == before


def test_a_worktree_that_became_another_repository_is_left_to_it(
    repo: Repo, session: Session, wts_inline: Wts
) -> None:
    (session.worktree / ".git").unlink()
    held = Repo.create(session.worktree).commit("x", "x\n", "in a repository of its own")
    refused = wts_inline("close", "1", *FLAGS)
    assert refused.status == 3
    assert "belongs to another repository" in refused.err
    assert is_in(Repo(session.worktree), held)


def test_a_repository_made_in_a_tracked_directory_comes_back(repo: Repo, wts_inline: Wts) -> None:
    """git tells nothing of it: its files are tracked, its `.git` is never looked at."""
    repo.commit("lib/a", "a\n", "work")
    session = a_session(repo)
    inner = Repo.create(session.worktree / "lib")
    held = inner.commit("a", "a\n", "inside")
    assert wts_inline("close", "1", *FLAGS).status == 0
    restored(repo, session.name)
    assert is_in(inner, held)


def test_an_ignored_file_beside_tracked_ones_is_kept_whatever_its_directory_is_called(
    repo: Repo, wts_inline: Wts
) -> None:
    repo.commit("build/make.sh", "make\n", "work")
    repo.commit(".gitignore", ".env\n", "work")
    session = a_session(repo)
    worktree_of(session).write("build/.env", "key\n")
    assert "build/.env" in wts_inline("close", "1").out
    restored(repo, session.name)
    assert (session.worktree / "build" / ".env").read_text() == "key\n"


def test_what_was_staged_outlives_a_close_after_rm_rf(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    tree.write("staged", "mine\n")
    tree.git("add", "staged")
    shutil.rmtree(session.worktree)
    refused = wts_inline("close", "1", *FLAGS)
    assert refused.status == 3
    assert "staged" in refused.err
    assert "wts restore auth-frontend" in refused.err
    restored(repo, session.name)
    assert (session.worktree / "staged").read_text() == "mine\n"


def at(monkeypatch: pytest.MonkeyPatch, moment: str, act: Callable[[], object]) -> None:
    """Act at one moment of the next operation: `before 2`, `after 0`."""

    def checkpoint(_: str, now: str) -> None:
        if now == moment:
            monkeypatch.setattr(operate, "checkpoint", lambda *_: None)
            act()

    monkeypatch.setattr(operate, "checkpoint", checkpoint)


def step_of(repo: Repo, session: Session, kind: str) -> int:
    plan = close.plan_close(project_of(repo), session, close.Closing()).plan
    return [step.kind for step in plan.steps].index(kind)


def test_an_ignored_file_that_appears_during_the_close_is_kept(
    repo: Repo, wts_inline: Wts, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit(".gitignore", ".env\n", "work")
    session = a_session(repo)
    late = session.worktree / ".env"
    moment = f"before {step_of(repo, session, 'move-worktree')}"
    at(monkeypatch, moment, lambda: late.write_text("late\n"))
    assert wts_inline("close", "1").status == 0
    restored(repo, session.name)
    assert late.read_text() == "late\n"


def test_a_directory_made_again_during_the_close_stays_and_the_close_ends(
    repo: Repo, session: Session, wts_inline: Wts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that logs by an absolute path does that."""
    late = session.worktree / "log" / "today"

    def write() -> None:
        late.parent.mkdir(parents=True)
        late.write_text("late\n")

    at(monkeypatch, f"after {step_of(repo, session, 'move-worktree')}", write)
    assert wts_inline("close", "1").status == 0
    assert late.read_text() == "late\n"
    assert str(session.worktree) not in repo.git("worktree", "list")
    assert not list(project_of(repo).store.trash_dir.glob("*"))


def test_the_trash_keeps_the_whole_tree_while_a_process_stands_in_it(
    repo: Repo, session: Session, wts_inline: Wts, sleeper: object
) -> None:
    """It may write to a file by a relative name, after the last picture."""
    assert wts_inline("close", "1", "--while-running").status == 0
    (tree,) = project_of(repo).store.trash_dir.glob("*/tree")
    (tree / "late").write_text("late\n")
    restored(repo, session.name)
    assert (session.worktree / "late").read_text() == "late\n"


@pytest.mark.parametrize("name", ["HEAD", "refs", "feature"])
def test_a_file_named_like_something_of_git_is_no_obstacle(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts, name: str
) -> None:
    tree.write(name, "mine\n")
    tree.git("add", name)
    assert wts_inline("close", "1", "--with-unsaved").status == 0
    restored(repo, session.name)
    assert (session.worktree / name).read_text() == "mine\n"


def test_a_bisect_is_ended_by_a_command_that_exists(session: Session, tree: Repo, wts_inline: Wts) -> None:
    tree.git("bisect", "start")
    refused = wts_inline("close", "1")
    assert "bisect reset" in refused.err
    assert "--abort" not in refused.err


def test_a_pick_of_several_is_under_way_between_two_of_them(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    """After a conflict was solved with `git commit`, only the list of what is left tells."""
    tree.git("switch", "-q", "-c", "other")
    for number in range(3):
        tree.commit("a", f"{number}\n", "work")
    tree.git("switch", "-q", session.branch)
    tree.commit("a", "another\n", "work")
    subprocess.run(["git", "cherry-pick", "other~2..other"], cwd=tree.path, capture_output=True)
    tree.write("a", "solved\n")
    tree.git("commit", "-q", "-a", "-m", "solved")
    refused = wts_inline("close", "1")
    assert refused.status == 3
    assert "--mid-operation" in refused.err


def test_close_and_restore_bear_every_setting_of_a_user(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    for key, value in {
        "safe.bareRepository": "explicit",
        "color.ui": "always",
        "commit.gpgSign": "true",
        "core.abbrev": "4",
        "core.fsmonitor": "true",
        "core.logAllRefUpdates": "false",
        "core.splitIndex": "true",
        "core.untrackedCache": "true",
        "diff.ignoreSubmodules": "all",
        "diff.noprefix": "true",
        "log.showSignature": "true",
        "status.showStash": "true",
        "status.renames": "copies",
        "submodule.recurse": "true",
    }.items():
        repo.git("config", "--global", key, value)
    tree.write("README.md", "stashed\n")
    tree.git("stash", "-q")
    tree.write("new\nline*", "mine\n")
    tree.write("README.md", "changed\n")
    tree.git("add", "README.md")
    before = picture(session.worktree), tree.git("diff", "--no-color", "--cached")
    assert wts_inline("close", "1", "--with-unsaved").status == 0
    restored(repo, session.name)
    assert (picture(session.worktree), tree.git("diff", "--no-color", "--cached")) == before


def test_the_latest_work_comes_back_whatever_date_a_script_has_set(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts, monkeypatch: pytest.MonkeyPatch
) -> None:
    for year, content in (("2001", "older\n"), ("2000", "younger\n")):
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"{year}-01-01T00:00:00Z")
        tree.write("notes", content)
        assert wts_inline("close", "1", "--with-unsaved").status == 0
        restored(repo, session.name)
        time.sleep(1)  # git counts in seconds
    assert (session.worktree / "notes").read_text() == "younger\n"


def test_a_branch_without_a_commit_is_refused_with_its_cure(
    session: Session, tree: Repo, wts_inline: Wts
) -> None:
    tree.git("switch", "-q", "--orphan", "afresh")
    tree.write("x", "mine\n")
    refused = wts_inline("close", "1", *FLAGS)
    assert refused.status == 3
    assert "commit --allow-empty" in refused.err
    assert (tree.path / "x").read_text() == "mine\n"


def test_a_dry_run_of_several_is_one_answer(repo: Repo, wts_inline: Wts) -> None:
    for name in ("auth-frontend", "auth-backend"):
        assert wts_inline("new", name, "--no-start").status == 0
    told = wts_inline("close", "1", "2", "--dry-run", "--json").json["data"]
    assert told["dry_run"] is True
    assert [step for step in told["steps"] if step.startswith("free number")] == [
        "free number 1 and the name auth-frontend",
        "free number 2 and the name auth-backend",
    ]


def test_a_directory_named_like_a_build_is_kept_unless_its_tool_marked_it(
    repo: Repo, session: Session, wts_inline: Wts
) -> None:
    tree = Repo(session.worktree)
    tree.commit(".gitignore", "build/\ntarget/\nvenv/\n", "ignore")
    tree.write("build/notes.txt", "by hand\n")
    tree.write("target/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n")
    tree.write("target/debug/app", "made\n")
    tree.write("venv/pyvenv.cfg", "home = /usr/bin\n")
    tree.write("venv/lib/x.py", "made\n")

    closed = wts_inline("close", "1")
    assert closed.status == 0
    assert "build/notes.txt" in closed.out
    assert wts_inline("restore", session.name).status == 0
    assert tree.path.joinpath("build/notes.txt").read_text() == "by hand\n"
    assert not tree.path.joinpath("target").exists()
    assert not tree.path.joinpath("venv").exists()


def test_a_process_that_only_passes_through_is_no_obstacle(
    repo: Repo, session: Session, wts_inline: Wts
) -> None:
    """Another wts, or a prompt, asks git for the status there: that is over in a moment."""
    passing = subprocess.Popen(["sleep", "0.2"], cwd=session.worktree)
    closed = wts_inline("close", "1")
    passing.wait()
    assert closed.status == 0, closed.err
