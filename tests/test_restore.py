"""`wts restore`: what was closed, removed or forgotten comes back, whatever happened meanwhile."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.conftest import Wts
from tests.support.repos import Repo
from tests.support.sessions import a_session, closed, lose, picture, project_of, refs, restored, worktree_of
from worktree_sessions.actions import snapshot
from worktree_sessions.model.session import Session
from worktree_sessions.outside.git import Git, Ref

BRANCH = "refs/heads/feature/auth-frontend"


def work(tree: Repo) -> str:
    """Leave a commit, a change, something staged and something untracked; return the commit."""
    made = tree.commit("done.txt", "committed\n", "work")
    tree.write("staged.txt", "staged\n")
    tree.git("add", "staged.txt")
    tree.write("README.md", "changed\n")
    tree.write("notes/new.txt", "untracked\n").chmod(0o600)
    return made


def picture_now(session: Session, stamp: str = "1") -> None:
    snapshot.take(Git(session.worktree), Ref(f"{snapshot.SNAPSHOTS}{session.id}/{stamp}"), reason="test")


def test_after_a_close_everything_is_as_it_was(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    tip = work(tree)
    before, status = picture(session.worktree), tree.git("status", "--porcelain")
    closed(repo, session)
    answer = wts_inline("restore", "auth-frontend", "--json")
    assert answer.status == 0
    assert answer.json["data"]["restored"] == {
        "name": "auth-frontend",
        "number": 1,
        "branch": "feature/auth-frontend",
        "worktree": str(session.worktree),
    }
    assert answer.json["data"]["notes"] == []
    assert picture(session.worktree) == before
    assert tree.git("status", "--porcelain") == status
    assert tree.tip("HEAD") == tip
    back = project_of(repo).store.load("auth-frontend")
    assert back == session


def test_the_receipt_of_close_is_a_command_that_works(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    work(tree)
    before = picture(session.worktree)
    words = closed(repo, session).restore.split()
    assert words[0] == "wts"
    lost = Path(repo.git("rev-parse", "--path-format=absolute", "--git-common-dir")) / "wts" / "sessions"
    shutil.rmtree(lost, ignore_errors=True)
    repo.git("branch", "-D", "feature/auth-frontend")
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "--prune=now", "--quiet")
    assert wts_inline(*words[1:]).status == 0
    assert picture(session.worktree) == before


def test_after_rm_rf_what_the_last_snapshot_held_comes_back(repo: Repo, session: Session, tree: Repo) -> None:
    work(tree)
    before = picture(session.worktree)
    picture_now(session)
    shutil.rmtree(session.worktree)
    assert restored(repo, "auth-frontend") == session
    assert picture(session.worktree) == before


def test_after_rm_rf_and_prune_and_branch_d(repo: Repo, session: Session, tree: Repo) -> None:
    tip = work(tree)
    before = picture(session.worktree)
    picture_now(session)
    lose(repo, session)
    repo.git("branch", "-D", "feature/auth-frontend")
    repo.git("gc", "--prune=now", "--quiet")
    restored(repo, "auth-frontend")
    assert picture(session.worktree) == before
    assert refs(repo)[BRANCH] == tip


def test_after_rm_rf_without_any_snapshot_the_commits_come_back(
    repo: Repo, session: Session, tree: Repo
) -> None:
    tip = work(tree)
    lose(repo, session)
    restored(repo, "auth-frontend")
    assert tree.tip("HEAD") == tip
    assert (session.worktree / "done.txt").read_text() == "committed\n"
    assert tree.git("status", "--porcelain") == ""


def test_a_tip_that_is_a_merge_commit_is_no_snapshot(repo: Repo, session: Session, tree: Repo) -> None:
    tree.commit("mine", "mine\n", "mine")
    repo.commit("theirs", "theirs\n", "theirs")
    tree.git("merge", "-q", "--no-edit", "main")
    before = picture(session.worktree)
    shutil.rmtree(session.worktree)
    restored(repo, "auth-frontend")
    assert picture(session.worktree) == before
    assert tree.git("status", "--porcelain") == ""


def test_rm_rf_of_the_worktree_and_branch_d_finds_the_tip_in_its_reflog(
    repo: Repo, session: Session, tree: Repo
) -> None:
    tip = tree.commit("x", "x\n", "work")
    shutil.rmtree(session.worktree)
    repo.git("update-ref", "-d", BRANCH)
    restored(repo, "auth-frontend")
    assert tree.tip(BRANCH) == tip


def test_a_branch_deleted_while_head_was_detached_comes_back_at_its_own_tip(
    repo: Repo, session: Session, tree: Repo
) -> None:
    """The last commit of HEAD's reflog is the detached one; the branch's is where HEAD left it."""
    tip = tree.commit("x", "x\n", "work")
    tree.git("checkout", "-q", "--detach")
    detached = tree.commit("y", "y\n", "detached")
    shutil.rmtree(session.worktree)
    repo.git("update-ref", "-d", BRANCH)
    restored(repo, "auth-frontend")
    assert tree.tip(BRANCH) == tip
    assert tree.tip("HEAD") in (tip, detached)
    assert detached in tree.git("log", "--walk-reflogs", "--format=%H", "HEAD").split()


def test_a_closed_session_whose_branch_was_deleted_while_detached(
    repo: Repo, session: Session, tree: Repo
) -> None:
    tip = tree.commit("x", "x\n", "work")
    tree.git("checkout", "-q", "--detach")
    detached = tree.commit("y", "y\n", "detached")
    repo.git("update-ref", "-d", BRANCH)
    before = picture(session.worktree)
    closed(repo, session)
    restored(repo, "auth-frontend")
    assert tree.tip(BRANCH) == tip
    assert tree.tip("HEAD") == detached
    assert picture(session.worktree) == before


def test_an_older_close_does_not_turn_the_branch_back(repo: Repo, session: Session, tree: Repo) -> None:
    tree.commit("x", "x\n", "before the close")
    closed(repo, session)
    restored(repo, "auth-frontend")
    tip = tree.commit("y", "y\n", "after the restore")
    shutil.rmtree(session.worktree)
    repo.git("update-ref", "-d", BRANCH)
    restored(repo, "auth-frontend")
    assert tree.tip(BRANCH) == tip
    assert (session.worktree / "y").exists()


def test_number_taken_meanwhile(repo: Repo, session: Session, wts_inline: Wts) -> None:
    closed(repo, session)
    a_session(repo, "auth-backend")
    answer = wts_inline("restore", "auth-frontend")
    assert answer.status == 0
    assert "number 1 is taken, it is 2 now" in answer.out
    numbers = {row["name"]: row["number"] for row in wts_inline("list", "--json").json["data"]["sessions"]}
    assert numbers == {"auth-backend": 1, "auth-frontend": 2}


def test_name_taken_meanwhile(repo: Repo, session: Session, tree: Repo, wts_inline: Wts) -> None:
    tree.commit("x", "x\n", "old work")
    closed(repo, session, delete_branch=True)
    young = a_session(repo)
    worktree_of(young).write("young.txt", "young\n")
    before = picture(young.worktree)
    refused = wts_inline("restore", session.id)
    assert refused.status == 3
    assert picture(young.worktree) == before
    closed(repo, young)
    assert wts_inline("restore", session.id).status == 0
    assert (session.worktree / "x").read_text() == "old work".replace("old work", "x\n")


def test_branch_moved_meanwhile(repo: Repo, session: Session, tree: Repo, wts_inline: Wts) -> None:
    """The branch stays where it was moved to; work that still fits is written, the rest is named."""
    tree.commit("both", "one\n", "work")
    tree.write("both", "mine, not committed\n")
    tree.write("notes", "untracked\n")
    closed(repo, session)
    repo.git("checkout", "-q", "feature/auth-frontend")
    moved = repo.commit("both", "moved\n", "moved on")
    repo.git("checkout", "-q", "main")
    answer = wts_inline("restore", "auth-frontend")
    assert answer.status == 0
    assert "feature/auth-frontend has moved since" in answer.out
    assert tree.tip("HEAD") == moved
    assert (session.worktree / "both").read_text() == "moved\n"
    assert (session.worktree / "notes").read_text() == "untracked\n"
    shown = next(line for line in answer.out.splitlines() if "git show" in line).split("git show ")[1]
    assert repo.git("show", shown.strip()) == "mine, not committed"


def test_a_directory_in_a_files_place_fits_or_is_named_when_the_branch_moved(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    (session.worktree / "README.md").unlink()
    tree.write("README.md/inner", "a directory now\n")
    closed(repo, session)
    repo.git("checkout", "-q", "-b", "feature/auth-frontend")
    repo.commit("other", "other\n", "moved on")
    repo.git("checkout", "-q", "main")
    assert wts_inline("restore", "auth-frontend").status == 0
    assert (session.worktree / "README.md" / "inner").read_text() == "a directory now\n"


def test_a_file_that_is_in_the_way_on_the_moved_branch_is_named(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    tree.write("place", "an untracked file\n")
    closed(repo, session)
    repo.git("branch", "feature/auth-frontend", "main")
    repo.git("checkout", "-q", "feature/auth-frontend")
    repo.commit("place/inner", "a directory\n", "moved on")
    repo.git("checkout", "-q", "main")
    answer = wts_inline("restore", "auth-frontend")
    assert answer.status == 0
    assert (session.worktree / "place" / "inner").read_text() == "a directory\n"
    assert "place was committed since" in answer.out


def test_an_ignored_file_that_is_tracked_now_stays_in_the_trash(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    tree.commit(".gitignore", "local.db\n", "ignore")
    tree.write("local.db", "mine\n")
    closed(repo, session)
    repo.git("checkout", "-q", "feature/auth-frontend")
    repo.commit("local.db", "theirs\n", "tracked now")
    repo.git("checkout", "-q", "main")
    assert wts_inline("restore", "auth-frontend").status == 0
    assert (session.worktree / "local.db").read_text() == "theirs\n"
    trash = picture(project_of(repo).store.trash_dir)
    assert any(content == b"mine\n" for _, _, content in trash.values())


def test_branch_checked_out_elsewhere(repo: Repo, session: Session, tree: Repo, wts_inline: Wts) -> None:
    tree.commit("x", "x\n", "work")
    closed(repo, session)
    repo.git("checkout", "-q", "feature/auth-frontend")
    before = refs(repo)
    refused = wts_inline("restore", "auth-frontend")
    assert refused.status == 3
    assert str(repo.path) in refused.err
    assert refs(repo) == before
    assert not session.worktree.exists()
    repo.git("checkout", "-q", "main")
    assert wts_inline("restore", "auth-frontend").status == 0


@pytest.mark.parametrize("occupied_by", ["a directory", "a file"])
def test_path_occupied(repo: Repo, session: Session, wts_inline: Wts, occupied_by: str) -> None:
    closed(repo, session)
    if occupied_by == "a file":
        session.worktree.write_text("somebody's\n")
    else:
        session.worktree.mkdir()
        (session.worktree / "somebody's").write_text("x\n")
    before = refs(repo)
    refused = wts_inline("restore", "auth-frontend")
    assert refused.status == 3
    assert str(session.worktree) in refused.err
    assert refs(repo) == before
    assert session.worktree.exists()


def test_an_empty_directory_is_no_obstacle(repo: Repo, session: Session) -> None:
    closed(repo, session)
    session.worktree.mkdir()
    restored(repo, "auth-frontend")
    assert (session.worktree / "README.md").exists()


def test_twice_closed_twice_restored(repo: Repo, session: Session, tree: Repo) -> None:
    for turn in range(2):
        tree.write(f"notes-{turn}", "untracked\n")
        before = picture(session.worktree)
        closed(repo, session)
        restored(repo, "auth-frontend")
        assert picture(session.worktree) == before


def test_of_two_closed_with_one_name_the_younger_comes_first_and_the_older_by_its_id(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    tree.write("notes", "old\n")
    closed(repo, session)
    time.sleep(0.01)
    young = a_session(repo)
    worktree_of(young).write("notes", "young\n")
    closed(repo, young)
    listed = wts_inline("restore", "--json").json["data"]["restorable"]
    assert [row["id"] for row in listed] == [young.id, session.id]
    assert listed[1]["restore"] == f"wts restore {session.id}", "its name would bring the younger one back"
    restored(repo, "auth-frontend")
    assert (session.worktree / "notes").read_text() == "young\n"
    closed(repo, young)
    restored(repo, session.id)
    assert (session.worktree / "notes").read_text() == "old\n"


def test_commits_pinned_by_an_earlier_close_survive_a_later_one(
    repo: Repo, session: Session, tree: Repo
) -> None:
    """The branch's reflog goes with the branch: what it held stays pinned through every later close."""
    lost = tree.git("commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "only in the branch's reflog")
    old = tree.tip("HEAD")
    repo.git("update-ref", "--create-reflog", BRANCH, lost)
    repo.git("update-ref", BRANCH, old)
    tree.commit("x", "x\n", "work")
    closed(repo, session, delete_branch=True)
    restored(repo, "auth-frontend")
    closed(repo, session, delete_branch=True)
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "--prune=now", "--quiet")
    assert repo.git("cat-file", "-t", lost) == "commit"


def test_a_session_that_is_there_is_not_restored(repo: Repo, session: Session, wts_inline: Wts) -> None:
    answer = wts_inline("restore", "auth-frontend")
    assert answer.status == 6
    assert str(session.worktree) in answer.err


def test_an_unknown_name_is_an_error_and_an_empty_list_is_none(repo: Repo, wts_inline: Wts) -> None:
    assert wts_inline("restore", "nobody").status == 1
    assert wts_inline("restore").status == 0
    assert wts_inline("restore", "--json").json["data"] == {"restorable": []}


def test_a_dry_run_lists_the_steps_and_changes_nothing(repo: Repo, session: Session, wts_inline: Wts) -> None:
    closed(repo, session)
    before = refs(repo)
    shown = wts_inline("restore", "auth-frontend", "--dry-run")
    assert shown.status == 0
    assert "add worktree" in shown.out
    assert refs(repo) == before
    assert not session.worktree.exists()


def test_the_list_tells_age_and_size(repo: Repo, session: Session, tree: Repo, wts_inline: Wts) -> None:
    tree.write("notes", "x" * 1500)
    closed(repo, session)
    shown = wts_inline("restore").out
    assert "auth-frontend" in shown
    assert "1 uncommitted file" in shown
    assert "kB" in shown


def test_an_emptied_trash_frees_ignored_files_and_nothing_else(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    tree.commit(".gitignore", "local.db\n", "ignore")
    tree.write("local.db", "mine\n")
    tree.write("notes", "untracked\n")
    closed(repo, session)
    assert wts_inline("restore", "--empty-trash").status in (1, 2), "a question without a terminal"
    assert wts_inline("restore", "--empty-trash", "--yes").status == 0
    restored(repo, "auth-frontend")
    assert (session.worktree / "notes").read_text() == "untracked\n"
    assert not (session.worktree / "local.db").exists()


def test_worktrees_with_relative_paths_are_found(repo: Repo, session: Session, tree: Repo) -> None:
    """git 2.48 can write `gitdir` relative to itself (worktree.useRelativePaths)."""
    admin = Path(tree.git("rev-parse", "--absolute-git-dir"))
    far = Path("../../../..") / session.worktree.relative_to(repo.path.parent) / ".git"
    assert (admin / far).resolve() == session.worktree / ".git"
    work(tree)
    before = picture(session.worktree)
    (admin / "gitdir").write_text(f"{far}\n")
    from worktree_sessions.actions import steps

    assert steps.admin_of(project_of(repo), session.worktree) == admin
    assert before
