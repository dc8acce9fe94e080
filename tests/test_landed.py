"""How a session's content came home, each way as a user's git does it, and `wts close --landed`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Wts
from tests.support.living import Living
from tests.support.repos import Repo
from tests.support.sessions import a_session, closed, project_of, refs, restored, worktree_of
from worktree_sessions.actions.landed import Landed, Landing, find_landing
from worktree_sessions.model.session import Session
from worktree_sessions.outside.git import BranchName

PARENT = "feature/auth"
TEN = "".join(f"{n}\n" for n in range(10))


@pytest.fixture
def session(repo: Repo) -> Session:
    """A session with two commits, of a feature that has gone on meanwhile."""
    repo.commit("shared.txt", TEN, "ten lines")
    return worked(repo, a_session(repo))


@pytest.fixture
def home(repo: Repo, session: Session) -> Repo:
    """A worktree of the feature, ahead of where the session began: what it changes stands a line further down."""
    place = repo.path.parent / "home"
    repo.git("worktree", "add", "--quiet", str(place), PARENT)
    home = Repo(place)
    home.commit("shared.txt", f"top\n{TEN}", "others go on")
    return home


def worked(repo: Repo, session: Session) -> Session:
    tree = worktree_of(session)
    tree.commit("shared.txt", TEN.replace("4\n", "four\n"), "four")
    tree.commit("form.txt", "a form\n", "form")
    return session


def told(repo: Repo, session: Session) -> Landing:
    """Return how it landed; finding out leaves neither an object nor a ref behind."""
    before = repo.git("count-objects", "-v"), refs(repo)
    found = find_landing(project_of(repo), session)
    assert (repo.git("count-objects", "-v"), refs(repo)) == before
    return found


# -- each way home ---------------------------------------------------------------------------------


def merge(home: Repo, tree: Repo) -> None:
    home.git("merge", "--quiet", "--no-ff", "--no-edit", "feature/auth-frontend")


def fast_forward(home: Repo, tree: Repo) -> None:
    tree.git("merge", "--quiet", "--no-edit", PARENT)
    home.git("merge", "--quiet", "--ff-only", "feature/auth-frontend")


def squash(home: Repo, tree: Repo) -> None:
    home.git("merge", "--quiet", "--squash", "feature/auth-frontend")
    home.git("commit", "--quiet", "--message", "frontend (#7)")


def rebase(home: Repo, tree: Repo) -> None:
    tree.git("branch", "copy")
    home.git("rebase", "--quiet", "--onto", PARENT, "feature/auth-frontend~2", "copy")
    home.git("switch", "--quiet", PARENT)
    home.git("merge", "--quiet", "--ff-only", "copy")


def cherry_pick(home: Repo, tree: Repo) -> None:
    home.git("cherry-pick", "feature/auth-frontend")
    home.commit("between.txt", "x\n", "between")
    home.git("cherry-pick", "feature/auth-frontend~1")


def squash_and_go_on(home: Repo, tree: Repo) -> None:
    squash(home, tree)
    home.commit("shared.txt", f"top\n{TEN}".replace("4\n", "4.0\n"), "the same line once more")


def squash_among_others(home: Repo, tree: Repo) -> None:
    """As a reviewer's own commit, with more in it."""
    home.git("merge", "--quiet", "--squash", "feature/auth-frontend")
    home.write("more.txt", "more\n")
    home.git("add", "more.txt")
    home.git("commit", "--quiet", "--message", "frontend and more")


def in_other_parts(home: Repo, tree: Repo) -> None:
    """In two commits, neither of which makes the changes of one of its own, or of all."""
    tree.write("shared.txt", TEN.replace("4\n", "four\n").replace("9\n", "nine\n"))
    tree.commit("form.txt", "a form\nof two lines\n", "form and nine")
    tree.git("commit", "--quiet", "--all", "--message", "nine")
    home.commit("form.txt", "a form\nof two lines\n", "the form at once")
    home.commit(
        "shared.txt", f"top\n{TEN}".replace("4\n", "four\n").replace("9\n", "nine\n"), "numbers at once"
    )


def squash_and_sync(home: Repo, tree: Repo) -> None:
    squash(home, tree)
    tree.git("merge", "--quiet", "--no-edit", PARENT)


WAYS: list[tuple[Callable[[Repo, Repo], None], Landed]] = [
    (merge, Landed.MERGED),
    (fast_forward, Landed.MERGED),
    (squash, Landed.SQUASHED),
    (squash_and_go_on, Landed.SQUASHED),
    (squash_among_others, Landed.SQUASHED),
    (in_other_parts, Landed.SQUASHED),
    (squash_and_sync, Landed.SQUASHED),
    (rebase, Landed.REBASED),
    (cherry_pick, Landed.PICKED),
]


@pytest.mark.parametrize(("bring", "how"), WAYS, ids=[bring.__name__ for bring, _ in WAYS])
def test_it_is_told_how_it_landed(
    repo: Repo, session: Session, tree: Repo, home: Repo, bring: Callable[[Repo, Repo], None], how: Landed
) -> None:
    assert told(repo, session) == Landing(Landed.NO, PARENT)
    bring(home, tree)
    home.commit("later.txt", "later\n", "later")
    assert told(repo, session) == Landing(how, PARENT)


@pytest.mark.parametrize("bring", [bring for bring, _ in WAYS], ids=lambda bring: bring.__name__)
def test_one_that_worked_on_has_not_landed(
    repo: Repo, session: Session, tree: Repo, home: Repo, bring: Callable[[Repo, Repo], None]
) -> None:
    bring(home, tree)
    tree.commit("form.txt", "a better form\n", "better")
    assert told(repo, session).how is Landed.NO
    tree.commit("form.txt", "the best form\n", "best")
    assert told(repo, session).how is Landed.NO


def test_a_change_of_a_binary_file_is_not_taken_for_another(repo: Repo, home: Repo, session: Session) -> None:
    picture = a_session(repo, "auth-picture")
    worktree_of(picture).commit("form.png", b"\0\1\2ours", "picture")
    home.commit("form.png", b"\0\1\2theirs", "another picture")
    assert told(repo, picture).how is Landed.NO
    home.commit("form.png", b"\0\1\2ours", "ours after all")
    assert told(repo, picture).how is Landed.SQUASHED


def test_what_was_reverted_after_it_is_not_its_own(
    repo: Repo, session: Session, tree: Repo, home: Repo
) -> None:
    fast_forward(home, tree)
    home.commit("later.txt", "later\n", "later")
    home.git("revert", "--no-edit", "HEAD")
    assert told(repo, session).how is Landed.MERGED


def test_a_session_that_was_closed_and_restored_has_landed_all_the_same(
    repo: Repo, session: Session, tree: Repo, home: Repo
) -> None:
    closed(repo, session, delete_branch=True)
    again = restored(repo, session.name)
    merge(home, tree)
    assert told(repo, again).how is Landed.MERGED


# -- through a pull request ------------------------------------------------------------------------


def a_remote(repo: Repo) -> Repo:
    """Return a clone of somebody else's, by a remote that both push to."""
    remote = Repo.create(repo.path.parent / "remote.git", "--bare")
    repo.git("remote", "add", "origin", str(remote.path))
    repo.git("push", "--quiet", "origin", "main", PARENT, "feature/auth-frontend")
    repo.git("clone", "--quiet", str(remote.path), str(repo.path.parent / "theirs"))
    return Repo(repo.path.parent / "theirs")


@pytest.mark.parametrize("target", ["main", PARENT])
@pytest.mark.parametrize(("flag", "how"), [("--no-ff", Landed.MERGED), ("--squash", Landed.SQUASHED)])
def test_a_pull_request_brings_it_to_main_or_to_its_parent_on_the_remote(
    repo: Repo, session: Session, target: str, flag: str, how: Landed
) -> None:
    theirs = a_remote(repo)
    theirs.git("switch", "--quiet", target)
    theirs.commit("CHANGES", "1\n", "meanwhile")
    theirs.git("merge", "--quiet", flag, "--no-commit", "origin/feature/auth-frontend")
    theirs.git("commit", "--quiet", "--message", "Merge pull request #7 from ann/auth-frontend")
    theirs.git("push", "--quiet", "origin", target)
    repo.git("fetch", "--quiet", "origin")
    assert told(repo, session) == Landing(how, f"origin/{target}")
    if target == "main":
        repo.git("merge", "--quiet", "--ff-only", "origin/main")
        assert told(repo, session) == Landing(how, "main")
        repo.git("branch", "--delete", "--force", PARENT)
        assert told(repo, session) == Landing(how, "main")


# -- what only looks like it -----------------------------------------------------------------------


def test_a_session_without_a_commit_is_empty(repo: Repo, home: Repo) -> None:
    fresh = a_session(repo, "auth-api")
    assert told(repo, fresh).how is Landed.EMPTY
    home.commit("more.txt", "more\n", "more")
    assert told(repo, fresh).how is Landed.EMPTY
    worktree_of(fresh).git("merge", "--quiet", "--ff-only", PARENT)
    assert told(repo, fresh).how is Landed.EMPTY, "what it has is the work of others"


def test_a_fresh_session_is_empty_where_git_keeps_no_reflog(repo: Repo) -> None:
    repo.git("config", "core.logAllRefUpdates", "false")
    assert told(repo, a_session(repo, "auth-api")).how is Landed.EMPTY


def test_commits_that_change_nothing_are_empty(repo: Repo, home: Repo) -> None:
    fresh = a_session(repo, "auth-api")
    worktree_of(fresh).git("commit", "--quiet", "--allow-empty", "--message", "nothing")
    assert told(repo, fresh).how is Landed.EMPTY
    home.commit("more.txt", "more\n", "more")
    worktree_of(fresh).git("merge", "--quiet", "--no-edit", PARENT)
    assert told(repo, fresh).how is Landed.EMPTY


def revert(home: Repo, bring: Callable[[Repo, Repo], None]) -> None:
    if bring is merge:
        home.git("revert", "--no-edit", "--mainline", "1", "HEAD")
    elif bring is rebase:
        home.git("revert", "--no-edit", "HEAD", "HEAD~1")
    elif bring is cherry_pick:
        home.git("revert", "--no-edit", "HEAD", "HEAD~2")
    else:
        home.git("revert", "--no-edit", "HEAD")


@pytest.mark.parametrize("bring", [merge, squash, rebase, cherry_pick], ids=lambda bring: bring.__name__)
def test_what_was_reverted_later_has_not_landed(
    repo: Repo, session: Session, tree: Repo, home: Repo, bring: Callable[[Repo, Repo], None]
) -> None:
    bring(home, tree)
    revert(home, bring)
    home.commit("later.txt", "later\n", "later")
    assert told(repo, session) == Landing(Landed.REVERTED, PARENT)


def test_a_revert_that_was_reverted_brings_it_home_again(
    repo: Repo, session: Session, tree: Repo, home: Repo
) -> None:
    merge(home, tree)
    revert(home, merge)
    home.git("revert", "--no-edit", "HEAD")
    assert told(repo, session).how is Landed.MERGED


def test_unrelated_histories_have_not_landed(repo: Repo, session: Session, home: Repo) -> None:
    repo.git("checkout", "--quiet", "--orphan", "alone")
    repo.git("commit", "--quiet", "--message", "alone")
    project = project_of(repo)
    stranger = session._replace(parent=BranchName("alone"))
    assert find_landing(project, stranger) == Landing(Landed.NO, "alone")


# -- close --landed --------------------------------------------------------------------------------


@pytest.fixture
def five(repo: Repo, session: Session, tree: Repo, home: Repo) -> Repo:
    """Beside the first session, which is squashed: a merged one with a note, an empty, a reverted, an open one."""
    squash(home, tree)
    for name, file in (("api", "api.txt"), ("old", "old.txt"), ("new", "new.txt")):
        worktree_of(a_session(repo, f"auth-{name}")).commit(file, "x\n", name)
    a_session(repo, "auth-empty")
    for name in ("api", "old"):
        home.git("merge", "--quiet", "--no-ff", "--no-edit", f"feature/auth-{name}")
    home.git("revert", "--no-edit", "--mainline", "1", "HEAD")
    return home


def names(wts: Wts) -> set[str]:
    return {one["name"] for one in wts("list", "--json").json["data"]["sessions"]}


def test_what_landed_is_named_and_closed(repo: Repo, five: Repo, wts_inline: Wts) -> None:
    done = wts_inline("close", "--landed", "--yes")
    assert done.status == 0, done.err
    assert [line.split(maxsplit=1) for line in done.err.splitlines()] == [
        ["auth-frontend", "squashed into feature/auth"],
        ["auth-api", "merged into feature/auth"],
        ["auth-old", "reverted in feature/auth"],
        ["auth-new", "not in feature/auth"],
        ["auth-empty", "it has nothing of its own"],
    ]
    assert done.out.count("is closed") == 2
    assert names(wts_inline) == {"auth-old", "auth-new", "auth-empty"}
    assert wts_inline("close", "--landed", "--yes").status == 6


def test_one_that_is_refused_hinders_no_other(repo: Repo, session: Session, five: Repo, wts: Wts) -> None:
    (session.worktree / "note.txt").write_text("only here\n")
    done = wts("close", "--landed", "--yes", "--json")
    assert done.status == 3
    assert [one["closed"]["name"] for one in done.json["data"]["all"]] == ["auth-api"]
    assert [(one["code"], one["session"]) for one in done.json["errors"]] == [("unsaved", "auth-frontend")]
    how = {one["name"]: one["how"] for one in done.json["data"]["landed"]}
    assert how == {
        "auth-frontend": "squashed", "auth-api": "merged", "auth-old": "reverted",
        "auth-new": "no", "auth-empty": "empty",
    }  # fmt: skip
    assert (session.worktree / "note.txt").read_text() == "only here\n"


def test_nothing_is_closed_unasked(repo: Repo, five: Repo, wts_inline: Wts) -> None:
    before = names(wts_inline)
    asked = wts_inline("close", "--landed")
    assert (asked.status, "--yes" in asked.err) == (2, True)
    shown = wts_inline("close", "--landed", "--dry-run")
    assert (shown.status, shown.out.count("free number")) == (0, 2)
    assert names(wts_inline) == before


@pytest.mark.parametrize("args", [["close"], ["close", "1", "--landed"]], ids=" ".join)
def test_a_target_or_all_that_landed(repo: Repo, session: Session, wts_inline: Wts, args: list[str]) -> None:
    assert wts_inline(*args).status == 2
    assert session.worktree.is_dir()


def test_a_running_claude_refuses_as_ever(repo: Repo, wts_inline: Wts) -> None:
    living = Living(repo, "auth-frontend")
    worked(repo, living.session)
    repo.git("worktree", "add", "--quiet", str(repo.path.parent / "home"), PARENT)
    merge(Repo(repo.path.parent / "home"), worktree_of(living.session))
    done = wts_inline("close", "--landed", "--yes")
    assert (done.status, "--while-running" in done.err) == (3, True)
    assert Path(living.session.worktree).is_dir()
    assert os.getpid() == living.claude.pid
