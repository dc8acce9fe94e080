"""Snapshots: everything in a worktree comes back to the byte, and taking one touches nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.repos import Repo
from tests.support.sessions import a_session, closed, is_in, lose, picture, restored, worktree_of
from worktree_sessions.actions import snapshot
from worktree_sessions.model.session import Session
from worktree_sessions.outside.git import Git, Ref

Scene = Callable[[Repo], None]
SCENES: dict[str, Scene] = {}


def scene(make: Scene) -> Scene:
    """Add a state of a worktree to those that must come back."""
    SCENES[make.__name__] = make
    return make


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository with something of every kind in its first commit."""
    made = Repo.create(tmp_path / "repo")
    made.write("README.md", "# a project\n")
    made.write("src/a.py", "a = 1\n")
    made.write("src/b.py", "b = 1\n")
    made.write("tool", "#!/bin/sh\n").chmod(0o755)
    (made.path / "link").symlink_to("README.md")
    (made.path / "linkdir").symlink_to("src")
    made.write("dir/x", "x\n")
    made.write("plain", "plain\n")
    made.git("add", "-A")
    made.git("commit", "-qm", "start")
    return made


def take(session: Session, stamp: str = "1") -> snapshot.Snapshot:
    return snapshot.take(
        Git(session.worktree), Ref(f"{snapshot.SNAPSHOTS}{session.id}/{stamp}"), reason="test"
    )


# -- scenes ----------------------------------------------------------------------------------------


@scene
def changed_and_untracked(tree: Repo) -> None:
    tree.write("src/a.py", "a = 2\n")
    tree.write("new/deep/file.txt", "new\n")


@scene
def line_ends(tree: Repo) -> None:
    tree.git("config", "core.autocrlf", "true")
    for file in tree.git("ls-files").splitlines():
        (tree.path / file).unlink()
    tree.git("checkout", "--", ".")
    assert (tree.path / "src/a.py").read_bytes() == b"a = 1\r\n"
    tree.write(".gitattributes", "*.win eol=crlf\n*.txt text=auto\n")
    tree.write("a.win", b"one\r\ntwo\r\n")
    tree.write("mixed.txt", b"one\r\ntwo\nthree\r\n")
    tree.write("README.md", b"# a project\nthat ends its lines in both ways\r\n")


@scene
def clean_and_smudge_filters(tree: Repo) -> None:
    tree.git("config", "filter.rot.clean", "tr a-z n-za-m")
    tree.git("config", "filter.rot.smudge", "tr a-z n-za-m")
    tree.git("config", "filter.upper.clean", "tr A-Z a-z")  # loses what was there
    tree.write(".gitattributes", "*.rot filter=rot\n*.up filter=upper\n")
    tree.write("x.rot", "hello\n")
    tree.write("y.up", "Hello World\n")
    tree.git("add", "x.rot", "y.up")
    tree.write("y.up", "Hello World AGAIN\n")


@scene
def a_required_filter_that_fails(tree: Repo) -> None:
    tree.git("config", "filter.gone.clean", "cat")
    tree.git("config", "filter.gone.smudge", "false")
    tree.git("config", "filter.gone.required", "true")
    tree.write(".gitattributes", "*.gone filter=gone\n")
    tree.write("x.gone", "content\n")


@scene
def a_required_filter_that_cannot_clean(tree: Repo) -> None:
    tree.git("config", "filter.gone.clean", "false")
    tree.git("config", "filter.gone.required", "true")
    tree.write(".gitattributes", "*.gone filter=gone\n")
    tree.write("x.gone", "content\n")


@scene
def exact_modes(tree: Repo) -> None:
    for mode in (0o600, 0o640, 0o700, 0o755, 0o444, 0o777):
        tree.write(f"mode-{mode:o}", "x\n").chmod(mode)
    (tree.path / "tool").chmod(0o644)
    (tree.path / "plain").chmod(0o755)


@scene
def links(tree: Repo) -> None:
    (tree.path / "to-nowhere").symlink_to("no/such/place")
    (tree.path / "to-dir").symlink_to("src")
    (tree.path / "to-newline").symlink_to("a\nb")
    (tree.path / "link").unlink()
    (tree.path / "link").symlink_to("tool")


@scene
def a_link_in_the_place_of_a_file_and_the_reverse(tree: Repo) -> None:
    (tree.path / "plain").unlink()
    (tree.path / "plain").symlink_to("README.md")
    (tree.path / "link").unlink()
    tree.write("link", "a file now\n")


@scene
def odd_names(tree: Repo) -> None:
    for name in (
        "new\nline",
        'quo"te',
        "it's",
        "back\\slash",
        "ünïcödé",
        "-dash",
        "--",
        " lead",
        "tab\t",
        ":(top)x",
        "*",
        "[a]",
        "a;b&c",
        "$HOME",
        "~",
        "e\u0301",
    ):
        tree.write(name, f"in {name!r}\n")


@scene
def a_name_that_is_not_utf8(tree: Repo) -> None:
    with open(os.fsencode(tree.path) + b"/caf\xe9", "wb") as file:
        file.write(b"latin\n")


@scene
def a_directory_in_the_place_of_a_file(tree: Repo) -> None:
    (tree.path / "plain").unlink()
    tree.write("plain/inner", "inner\n")


@scene
def an_empty_directory_in_the_place_of_a_file(tree: Repo) -> None:
    (tree.path / "plain").unlink()
    (tree.path / "plain").mkdir()


@scene
def a_file_in_the_place_of_a_directory(tree: Repo) -> None:
    shutil.rmtree(tree.path / "dir")
    tree.write("dir", "a file now\n")


@scene
def a_link_in_the_place_of_a_directory(tree: Repo) -> None:
    shutil.rmtree(tree.path / "dir")
    (tree.path / "dir").symlink_to("src")


@scene
def staged_and_then_changed(tree: Repo) -> None:
    tree.write("src/a.py", "staged\n")
    tree.git("add", "src/a.py")
    tree.write("src/a.py", "on disk\n")
    tree.write("new", "staged new\n")
    tree.git("add", "new")
    (tree.path / "new").unlink()


@scene
def intent_to_add(tree: Repo) -> None:
    tree.write("later", "not yet\n")
    tree.git("add", "-N", "later")


@scene
def staged_removal_and_rename(tree: Repo) -> None:
    tree.git("rm", "-q", "--cached", "plain")
    tree.git("mv", "src/b.py", "src/c.py")


@scene
def deleted(tree: Repo) -> None:
    (tree.path / "src/a.py").unlink()
    tree.git("rm", "-q", "tool")


@scene
def in_the_middle_of_a_merge(tree: Repo) -> None:
    base = tree.tip("HEAD")
    tree.commit("src/a.py", "ours\n", "ours")
    tree.git("checkout", "-q", "--detach", base)
    tree.commit("src/a.py", "theirs\n", "theirs")
    theirs = tree.tip("HEAD")
    tree.git("checkout", "-q", "feature/auth-frontend")
    assert not _succeeds(tree, "merge", theirs)
    assert tree.git("ls-files", "-u")


@scene
def in_the_middle_of_a_rebase(tree: Repo) -> None:
    base = tree.tip("HEAD")
    tree.commit("src/a.py", "ours\n", "ours")
    tree.commit("src/b.py", "ours\n", "ours, two")
    tree.git("branch", "other", base)
    tree.git("checkout", "-q", "other")
    tree.commit("src/a.py", "theirs\n", "theirs")
    tree.git("checkout", "-q", "feature/auth-frontend")
    assert not _succeeds(tree, "rebase", "other")


@scene
def hidden_from_status(tree: Repo) -> None:
    tree.git("update-index", "--assume-unchanged", "src/a.py")
    tree.write("src/a.py", "hidden one\n")
    tree.git("update-index", "--skip-worktree", "src/b.py")
    tree.write("src/b.py", "hidden two\n")
    tree.git("config", "status.showUntrackedFiles", "no")
    tree.write("untracked", "hidden three\n")


@scene
def a_sparse_checkout(tree: Repo) -> None:
    tree.git("sparse-checkout", "set", "--cone", "src")
    tree.write("src/a.py", "changed\n")
    assert not (tree.path / "dir").exists()


@scene
def a_sparse_index(tree: Repo) -> None:
    tree.git("sparse-checkout", "set", "--cone", "--sparse-index", "src")
    tree.write("src/new.py", "new\n")
    tree.write("dir/x", "came back by hand\n")


@scene
def a_split_index(tree: Repo) -> None:
    tree.git("update-index", "--split-index")
    tree.write("src/a.py", "staged\n")
    tree.git("add", "src/a.py")
    tree.write("src/b.py", "changed\n")


@scene
def an_index_of_version_4(tree: Repo) -> None:
    tree.git("update-index", "--index-version", "4")
    tree.write("src/a.py", "staged\n")
    tree.git("add", "src/a.py")


@scene
def empty_and_large(tree: Repo) -> None:
    tree.write("empty", "")
    tree.write("src/a.py", "")
    tree.write("large", os.urandom(3_000_000))
    tree.write("zeros", bytes(2_000_000))


@scene
def nothing_at_all(tree: Repo) -> None:
    assert tree.git("status", "--porcelain") == ""


def _succeeds(tree: Repo, *words: str) -> bool:
    try:
        tree.git(*words)
    except AssertionError:
        return False
    return True


def _git_view(tree: Repo) -> dict[str, str]:
    return {
        "status": tree.git("status", "--porcelain=v2", "--branch", "-uall", "-z"),
        "entries": tree.git("ls-files", "-s", "-z"),
        "flags": tree.git("ls-files", "-v", "-z"),
        "head": tree.git("rev-parse", "HEAD"),
        "reflog": (Path(tree.git("rev-parse", "--absolute-git-dir")) / "logs" / "HEAD").read_text(),
    }


@pytest.mark.parametrize("name", SCENES)
def test_a_snapshot_brings_everything_back_after_rm_prune_and_gc(repo: Repo, name: str) -> None:
    session = a_session(repo)
    tree = worktree_of(session)
    SCENES[name](tree)
    before, view = picture(session.worktree), _git_view(tree)
    take(session)
    lose(repo, session)
    restored(repo, session.name)
    assert picture(session.worktree) == before
    if "filter" not in name:  # there git itself can't tell what it would stage
        assert _git_view(tree) == view


@pytest.mark.parametrize("name", SCENES)
def test_taking_a_snapshot_touches_neither_index_nor_files(repo: Repo, name: str) -> None:
    session = a_session(repo)
    tree = worktree_of(session)
    SCENES[name](tree)
    index = Path(tree.git("rev-parse", "--absolute-git-dir")) / "index"
    held = (index.read_bytes(), index.stat().st_mtime_ns, index.stat().st_ino)
    before, stamps = picture(session.worktree), _stamps(session.worktree)
    take(session)
    assert (index.read_bytes(), index.stat().st_mtime_ns, index.stat().st_ino) == held
    assert picture(session.worktree) == before
    assert _stamps(session.worktree) == stamps
    assert not list(index.parent.glob("*.lock"))


def _stamps(top: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in top.rglob("*")}


def test_what_is_left_out_is_told(repo: Repo) -> None:
    session = a_session(repo)
    inner = Repo.create(session.worktree / "inner")
    inner.commit("x", "x\n", "inside")
    assert take(session).left_out == ("inner/",)


def test_a_file_that_a_directory_replaced_is_no_repository_left_out(repo: Repo) -> None:
    session = a_session(repo)
    a_directory_in_the_place_of_a_file(worktree_of(session))
    assert take(session).left_out == ()


def test_a_snapshot_is_taken_while_git_holds_the_index_lock(repo: Repo) -> None:
    session = a_session(repo)
    tree = worktree_of(session)
    changed_and_untracked(tree)
    lock = Path(tree.git("rev-parse", "--absolute-git-dir")) / "index.lock"
    lock.write_bytes(b"")
    taken = take(session)
    assert repo.git("show", f"{taken.commit}:src/a.py") == "a = 2"
    assert lock.read_bytes() == b""


def test_staged_detached_and_amended_work_survives_gc(repo: Repo) -> None:
    """Content that was staged and overwritten, commits that only a reflog knows: none is git's to throw away."""
    session = a_session(repo)
    tree = worktree_of(session)
    amended = tree.commit("src/a.py", "first try\n", "to be amended")
    tree.git("commit", "-q", "--amend", "-m", "amended")
    tree.git("checkout", "-q", "--detach")
    left = tree.commit("src/b.py", "detached\n", "detached, left behind")
    tree.git("checkout", "-q", session.branch)
    tree.write("src/a.py", "only staged\n")
    tree.git("add", "src/a.py")
    staged = tree.git("rev-parse", ":src/a.py")
    tree.write("src/a.py", "on disk\n")
    take(session)
    lose(repo, session)
    assert [oid for oid in (amended, left, staged) if not is_in(repo, oid)] == []


def test_a_sha256_repository_is_pictured_too(tmp_path: Path) -> None:
    repo = Repo.create(tmp_path / "long", "--object-format=sha256")
    repo.commit("src/a.py", "a = 1\n", "start")
    repo.commit("plain", "plain\n", "second")
    session = a_session(repo)
    tree = worktree_of(session)
    staged_and_then_changed(tree)
    left = _left_behind(tree)
    before = picture(session.worktree)
    take(session)
    lose(repo, session)
    restored(repo, session.name)
    assert picture(session.worktree) == before
    assert is_in(repo, left)


def _left_behind(tree: Repo) -> str:
    held = tree.git("stash", "create")
    assert len(held) == 64
    head = tree.tip("HEAD")
    made = tree.git("commit-tree", "HEAD^{tree}", "-p", head, "-m", "left behind")
    tree.git("update-ref", "-m", "test", "--create-reflog", "HEAD", made, head)
    tree.git("update-ref", "-m", "test", "HEAD", head, made)
    return made


def test_a_worktree_without_a_commit_is_refused_and_not_pictured_wrongly(repo: Repo) -> None:
    session = a_session(repo)
    worktree_of(session).git("checkout", "-q", "--orphan", "nothing")
    with pytest.raises(Exception, match="HEAD names no commit"):
        take(session)


def test_two_snapshots_do_not_replace_each_other(repo: Repo) -> None:
    session = a_session(repo)
    tree = worktree_of(session)
    tree.write("src/a.py", "one\n")
    first = take(session, "1")
    tree.write("src/a.py", "two\n")
    second = take(session, "2")
    repo.git("gc", "--prune=now", "--quiet")
    assert repo.git("show", f"{first.commit}:src/a.py") == "one"
    assert repo.git("show", f"{second.commit}:src/a.py") == "two"


@pytest.fixture
def with_submodule(repo: Repo, tmp_path: Path) -> Repo:
    """The repository with a submodule `lib` at one commit."""
    library = Repo.create(tmp_path / "library")
    library.commit("lib.py", "lib = 1\n", "library")
    repo.git("submodule", "--quiet", "add", str(library.path), "lib")
    repo.git("commit", "-qm", "with a submodule")
    return repo


def test_a_submodule_that_is_not_filled_stays_as_it_is(with_submodule: Repo) -> None:
    session = a_session(with_submodule)
    changed_and_untracked(worktree_of(session))
    before = picture(session.worktree)
    taken = take(session)
    assert taken.left_out == ()
    lose(with_submodule, session)
    restored(with_submodule, session.name)
    assert picture(session.worktree) == before
    assert "lib" not in worktree_of(session).git("status", "--porcelain")


def test_many_files_and_links_cost_no_process_each(
    session: Session, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = worktree_of(session)
    for number in range(300):
        tree.write(f"many/{number}", f"{number}\n" * number)
        (tree.path / f"link-{number}").symlink_to(f"many/{number}")
    before = picture(session.worktree)
    asked = []
    ask = Git.ask

    def counting(self: Git, *args: str, **options: Any) -> Any:
        asked.append(args)
        return ask(self, *args, **options)

    monkeypatch.setattr(Git, "ask", counting)
    closed(repo, session)
    restored(repo, session.name)
    assert len(asked) < 200
    assert picture(session.worktree) == before


def test_contents_are_read_in_portions(session: Session, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is larger than a portion, empty ones, one that looks like git's answer."""
    monkeypatch.setattr(snapshot, "AT_ONCE", 10)
    tree = worktree_of(session)
    for number, content in enumerate(("x" * 50, "", "", "blob 3\n\n", "a\n", "b" * 8, "c")):
        tree.write(f"new-{number}", content)
    before = picture(session.worktree)
    closed(repo, session)
    restored(repo, session.name)
    assert picture(session.worktree) == before


def test_commits_that_were_reset_away_are_kept_by_the_last_of_them(session: Session, repo: Repo) -> None:
    """A commit can't have 50,000 parents: the newest of a line holds the rest."""
    tree = worktree_of(session)
    start = tree.tip("HEAD")
    held = [tree.commit("x", f"{number}\n", f"lost {number}") for number in range(5)]
    tree.git("reset", "-q", "--hard", start)
    taken = take(session)
    keeper = tree.git("rev-parse", f"{taken.commit}^2^@").splitlines()
    assert keeper == [held[-1]]
    lose(repo, session)
    assert all(is_in(repo, oid) for oid in held)
