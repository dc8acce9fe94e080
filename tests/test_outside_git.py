"""git, asked in its own words: what is read is what is there, and a ref moves only from where it was seen.

The repositories are real. Where it can, GitPython (through pytest-git) is the witness: git writes, another
reader tells what was written.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.repos import Repo
from worktree_sessions.errors import WtsError
from worktree_sessions.outside import git
from worktree_sessions.outside.git import BranchName, Git, GitError, Oid, Ref

ODD_NAMES = [
    "-leading-dash",
    " leading and trailing space ",
    "quo\"te and 'apostrophe'",
    "back\\slash",
    "new\nline",
    "tab\tstop",
    "zażółć-日本",
    "1 M. N... looks like a row",
    "*glob?[x]",
    *([os.fsdecode(b"not-utf8-\xff")] if sys.platform == "linux" else []),  # others refuse such a name
]
ABSENT = None


# -- status -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ODD_NAMES)
def test_status_reports_a_path_as_it_is(repo: Repo, name: str) -> None:
    """No path is so odd that its change or its presence goes unseen."""
    repo.write(f"untracked/{name}", "x")
    repo.commit(f"tracked/{name}", "one", "add it")
    repo.write(f"tracked/{name}", "two")
    status = Git(repo.path).status()
    assert status.changed == (f"tracked/{name}",)
    assert status.untracked == (f"untracked/{name}",)
    assert not status.is_clean


def test_status_tells_every_kind_of_change(repo: Repo) -> None:
    """Staged, unstaged, deleted, renamed and intended changes all count as changed."""
    for name in ("staged", "unstaged", "gone", "old"):
        repo.commit(name, f"{name}\n" * 20, f"add {name}")
    repo.write("staged", "more")
    repo.git("add", "staged")
    repo.write("unstaged", "more")
    (repo.path / "gone").unlink()
    repo.git("mv", "old", "new")
    repo.write("intended", "x")
    repo.git("add", "--intent-to-add", "intended")
    status = Git(repo.path).status()
    assert set(status.changed) == {"staged", "unstaged", "gone", "old", "new", "intended"}
    assert status.untracked == ()


def test_a_fresh_commit_is_clean(repo: Repo) -> None:
    """Nothing changed: head and branch are told, and nothing else."""
    status = Git(repo.path).status()
    assert status == git.Status(Oid(repo.tip("main")), BranchName("main"), (), (), (), ())
    assert status.is_clean


def test_status_agrees_with_another_reader(git_repo: Any) -> None:
    """GitPython sees the same changed and untracked files as we do."""
    here = Repo(Path(git_repo.workspace))
    here.commit("kept", "one", "start")
    here.write("kept", "two")
    here.write("sub/new", "x")
    status = Git(here.path).status()
    assert list(status.changed) == [diff.a_path for diff in git_repo.api.index.diff(None)]
    assert list(status.untracked) == git_repo.api.untracked_files
    assert status.head == git_repo.api.head.commit.hexsha
    assert status.branch == git_repo.api.active_branch.name


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("status.showUntrackedFiles", "no"),
        ("status.relativePaths", "true"),
        ("status.branch", "false"),
        ("status.showStash", "true"),
        ("status.short", "true"),
        ("status.renames", "copies"),
        ("color.ui", "always"),
        ("color.status", "always"),
        ("column.ui", "always"),
        ("core.quotePath", "false"),
        ("diff.ignoreSubmodules", "all"),
    ],
)
def test_no_setting_hides_work(repo: Repo, key: str, value: str) -> None:
    """The user's configuration changes nothing about what is found, from the top or from below it."""
    repo.commit("tracked", "one", "add it")
    repo.git("stash", "list")
    repo.write("tracked", "two")
    repo.write("below/untracked", "x")
    repo.git("config", key, value)
    for place in (repo.path, repo.path / "below"):
        status = Git(place).status()
        assert (status.changed, status.untracked) == (("tracked",), ("below/untracked",))
        assert status.branch == "main"


def test_a_detached_head_is_on_no_branch(repo: Repo) -> None:
    """Detached: the commit is told, the branch is None."""
    repo.git("checkout", "--quiet", "--detach")
    status = Git(repo.path).status()
    assert (status.head, status.branch) == (repo.tip("main"), None)


def test_before_the_first_commit(tmp_path: Path) -> None:
    """No commit yet: the head is None, and the branch to be is told."""
    empty = Repo.create(tmp_path / "empty")
    empty.write("new", "x")
    status = Git(empty.path).status()
    assert (status.head, status.branch, status.untracked) == (None, "main", ("new",))


def test_a_conflict_is_unmerged(repo: Repo) -> None:
    """Files in conflict are told apart, with odd names too, and are not clean."""
    name = 'odd "name\nhere'
    repo.commit(name, "base\n", "base")
    repo.branch("other")
    repo.commit(name, "ours\n", "ours")
    repo.git("checkout", "--quiet", "other")
    repo.commit(name, "theirs\n", "theirs")
    assert Git(repo.path).ask("merge", "main").status == 1
    status = Git(repo.path).status()
    assert (status.unmerged, status.changed) == ((name,), ())
    assert not status.is_clean
    assert git.open_operation(Git(repo.path).git_dir()) == "merge"


def test_ignored_files_are_told_on_request(repo: Repo) -> None:
    """Ignored files stay out of the untracked, and are listed when asked for."""
    repo.commit(".gitignore", "*.log\ncache/\n", "ignore")
    repo.write("a.log", "x")
    repo.write("cache/deep/file", "x")
    assert Git(repo.path).status().ignored == ()
    status = Git(repo.path).status(ignored=True)
    assert status.ignored == ("a.log", "cache/deep/file")
    assert status.is_clean


def test_a_submodule_with_work_of_its_own_is_told(repo: Repo, tmp_path: Path) -> None:
    """A change inside a submodule is a change, even where .gitmodules says to ignore it."""
    library = Repo.create(tmp_path / "library")
    library.commit("code", "one", "start")
    repo.git("submodule", "--quiet", "add", str(library.path), "lib dir")
    repo.git("config", "--file", ".gitmodules", "submodule.lib dir.ignore", "all")
    repo.git("commit", "--quiet", "--all", "--message", "add the library")
    assert Git(repo.path).status().is_clean
    repo.write("lib dir/code", "two")
    status = Git(repo.path).status()
    assert (status.changed, status.submodules) == (("lib dir",), ("lib dir",))


# -- worktrees ----------------------------------------------------------------------------------------


def test_worktrees_are_told_with_their_condition(repo: Repo, tmp_path: Path) -> None:
    """On a branch, detached, locked with and without a reason, gone: each is told as it is."""
    one = repo.worktree("one")
    two = repo.worktree("two")
    two.git("checkout", "--quiet", "--detach")
    repo.worktree("three")
    repo.git("worktree", "lock", "--reason", "on a\nstick", str(tmp_path / "three"))
    repo.worktree("four")
    repo.git("worktree", "lock", str(tmp_path / "four"))
    five = repo.worktree("five")
    for file in (five.path / ".git", five.path / "README.md"):
        file.unlink()
    five.path.rmdir()
    main, *rest = Git(one.path).worktrees()
    assert main == git.Worktree(repo.path, Oid(repo.tip("main")), Ref("refs/heads/main"), False, None, None)
    by_name = {row.path.name: row for row in rest}
    assert set(by_name) == {"one", "two", "three", "four", "five"}
    assert by_name["one"].branch == "refs/heads/one"
    assert (by_name["two"].branch, by_name["two"].head) == (None, repo.tip("main"))
    assert by_name["three"].locked == "on a\nstick"
    assert by_name["four"].locked == ""
    assert [row.path.name for row in rest if row.prunable is not None] == ["five"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_worktree_may_lie_anywhere(repo: Repo, tmp_path: Path, name: str) -> None:
    """The path of a worktree comes back as it is, whatever it holds."""
    place = tmp_path / name
    repo.git("worktree", "add", "--quiet", "--detach", "--", str(place))
    assert [row.path for row in Git(repo.path).worktrees()] == [repo.path, place]


def test_a_bare_repository_heads_the_list(repo: Repo, tmp_path: Path) -> None:
    """A bare repository is the first row, without a head, and its worktrees follow."""
    repo.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    bare = Repo(tmp_path / "bare.git")
    bare.git("worktree", "add", "--quiet", str(tmp_path / "work"), "main")
    first, second = Git(bare.path).worktrees()
    assert (first.path, first.bare, first.head) == (bare.path, True, None)
    assert (second.path, second.bare, second.branch) == (tmp_path / "work", False, "refs/heads/main")


def test_a_worktree_without_a_commit_has_no_head(tmp_path: Path) -> None:
    """git's zeros for an unborn branch are no commit."""
    empty = Repo.create(tmp_path / "empty")
    (row,) = Git(empty.path).worktrees()
    assert (row.head, row.branch) == (None, "refs/heads/main")


# -- refs ---------------------------------------------------------------------------------------------


def test_refs_move_together(git_repo: Any) -> None:
    """Create, move and delete in one transaction; another reader sees all of it."""
    here = Repo(Path(git_repo.workspace))
    first, second = (Oid(here.commit("a", text, text)) for text in ("one", "two"))
    here.branch("moves", first)
    here.branch("goes", second)
    Git(here.path).update_refs(
        "a reason",
        (Ref("refs/heads/moves"), second, first),
        (Ref("refs/heads/goes"), ABSENT, second),
        (Ref("refs/wts/comes"), first, ABSENT),
    )
    heads = {head.name: head.commit.hexsha for head in git_repo.api.heads}
    assert heads == {"main": second, "moves": second}
    assert git_repo.api.commit("refs/wts/comes").hexsha == first
    assert git_repo.api.heads["moves"].log()[-1].message == "a reason"


@pytest.mark.parametrize("wrong", ["moved", "absent", "present"])
def test_no_ref_moves_when_one_is_not_where_it_was_seen(repo: Repo, wrong: str) -> None:
    """Compare and swap: one stale value, and the whole transaction leaves everything alone."""
    first = Oid(repo.tip("main"))
    second = Oid(repo.commit("a", "x", "second"))
    repo.branch("here", first)
    stale = {
        "moved": (Ref("refs/heads/here"), second, second),
        "absent": (Ref("refs/heads/nowhere"), second, first),
        "present": (Ref("refs/heads/here"), second, ABSENT),
    }[wrong]
    before = Git(repo.path).refs()
    with pytest.raises(GitError) as failure:
        Git(repo.path).update_refs("why", (Ref("refs/wts/fine"), first, ABSENT), stale)
    assert failure.value.code == "git-failed"
    assert Git(repo.path).refs() == before


def test_a_ref_that_should_not_be_there_is_not_deleted(repo: Repo) -> None:
    """None to None says: it is absent. A ref that someone made meanwhile stops the transaction and stays."""
    tip = Oid(repo.tip("main"))
    Git(repo.path).update_refs("why", (Ref("refs/heads/other"), ABSENT, ABSENT))
    repo.branch("other")
    with pytest.raises(GitError):
        Git(repo.path).update_refs("why", (Ref("refs/heads/other"), ABSENT, ABSENT))
    assert Git(repo.path).refs("refs/heads") == {Ref("refs/heads/main"): tip, Ref("refs/heads/other"): tip}


def test_refs_of_a_sha256_repository(tmp_path: Path) -> None:
    """Longer object ids are created, swapped and deleted just the same."""
    here = Repo.create(tmp_path / "long", "--object-format=sha256")
    first, second = (Oid(here.commit("a", text, text)) for text in ("one", "two"))
    assert len(first) == 64
    ref = Ref("refs/wts/x")
    Git(here.path).update_refs("make", (ref, first, ABSENT))
    Git(here.path).update_refs("move", (ref, second, first))
    with pytest.raises(GitError):
        Git(here.path).update_refs("move", (ref, first, ABSENT))
    assert Git(here.path).refs("refs/wts") == {ref: second}
    Git(here.path).update_refs("drop", (ref, ABSENT, second))
    assert Git(here.path).refs("refs/wts") == {}
    assert [row.head for row in Git(here.path).worktrees()] == [second]
    assert Git(here.path).status().head == second


@pytest.mark.parametrize(
    "name", ["zażółć", "with.dots", "q'uote", 'dq"uote', "a/b/c", "(detached)x", "%s-$HOME"]
)
def test_refs_with_odd_names(repo: Repo, name: str) -> None:
    """A ref git accepts is listed, made and moved under its own name."""
    ref = git.full(BranchName(name))
    tip = Oid(repo.tip("main"))
    Git(repo.path).update_refs("why", (ref, tip, ABSENT))
    assert Git(repo.path).refs("refs/heads/") == {Ref("refs/heads/main"): tip, ref: tip}
    assert Git(repo.path).resolve(ref) == tip
    assert git.short(ref) == name


@pytest.mark.parametrize(
    "revision", ["no-such", "--all", "-h", "", "HEAD:README.md", "main..main", "@{9}", "a b", "\n"]
)
def test_what_names_no_commit_resolves_to_nothing(repo: Repo, revision: str) -> None:
    """Whatever a user types, it is a commit or it is None; it is never an option."""
    assert Git(repo.path).resolve(revision) is None


def test_what_names_a_commit_resolves(repo: Repo) -> None:
    """Branches, tags of tags and short ids all end at the commit."""
    tip = repo.tip("main")
    repo.git("tag", "--annotate", "--message", "x", "v1")
    assert [Git(repo.path).resolve(name) for name in ("main", "v1", tip[:9], "HEAD")] == [tip] * 4


def test_ahead_and_behind(git_repo: Any) -> None:
    """Counted from the tip's side, as another reader counts them."""
    here = Repo(Path(git_repo.workspace))
    start = here.commit("a", "0", "start")
    here.branch("side")
    for text in ("1", "2", "3"):
        here.commit("a", text, text)
    here.git("checkout", "--quiet", "side")
    here.commit("b", "1", "aside")
    ahead, behind = Git(here.path).ahead_behind("main", "side")
    assert ahead == len(list(git_repo.api.iter_commits("main..side"))) == 1
    assert behind == len(list(git_repo.api.iter_commits("side..main"))) == 3
    assert Git(here.path).is_ancestor(start, "main")
    assert not Git(here.path).is_ancestor("side", "main")
    with pytest.raises(GitError):
        Git(here.path).is_ancestor("nowhere", "main")


def test_configuration_is_a_value_or_none(repo: Repo) -> None:
    """A value with a newline comes back whole; a key nobody set is None."""
    repo.git("config", "wts.odd", " a\nb ")
    assert Git(repo.path).config("wts.odd") == " a\nb "
    assert Git(repo.path).config("wts.none") is None


# -- where we are -------------------------------------------------------------------------------------


def test_found_from_the_top_from_below_and_from_a_worktree(repo: Repo) -> None:
    """Wherever one stands, the shared directory is the same, and the top is one's own."""
    linked = repo.worktree("linked")
    (repo.path / "deep" / "er").mkdir(parents=True)
    common = repo.path / ".git"
    assert git.find_repository(repo.path) == git.Repository(common, common, repo.path)
    assert git.find_repository(repo.path / "deep" / "er") == git.Repository(common, common, repo.path)
    own = common / "worktrees" / "linked"
    assert git.find_repository(linked.path) == git.Repository(common, own, linked.path)
    assert git.find_repository(linked.path).git.directory == common


def test_found_inside_the_git_directory_and_in_a_bare_one(repo: Repo, tmp_path: Path) -> None:
    """Where there is no work tree, the top is None."""
    common = repo.path / ".git"
    assert git.find_repository(common / "refs") == git.Repository(common, common, None)
    bare = Repo.create(tmp_path / "bare.git", "--bare")
    assert git.find_repository(bare.path) == git.Repository(bare.path, bare.path, None)


@pytest.mark.parametrize("name", ["new\nline", "\nfirst", "two\n\n", "q\"uote's", " space ", "日本", "-dash"])
def test_found_under_an_odd_path(tmp_path: Path, name: str) -> None:
    """Quotes, spaces and newlines in the path of a repository or of its worktree do not mislead."""
    plain, odd = Repo.create(tmp_path / "plain"), Repo.create(tmp_path / name / "odd")
    for here in (plain, odd):
        here.commit("a", "x", "start")
    plain.git("worktree", "add", "--quiet", "--detach", str(tmp_path / name / "linked"))
    linked = tmp_path / name / "linked"
    assert git.find_repository(odd.path) == git.Repository(odd.path / ".git", odd.path / ".git", odd.path)
    assert git.find_repository(linked) == git.Repository(
        plain.path / ".git", plain.path / ".git" / "worktrees" / "linked", linked
    )


def test_found_with_a_work_tree_of_its_own(repo: Repo, tmp_path: Path) -> None:
    """core.worktree and extensions.worktreeConfig are git's affair, and are obeyed."""
    linked = repo.worktree("linked")
    repo.git("config", "extensions.worktreeConfig", "true")
    repo.git("config", "--worktree", "core.worktree", str(repo.path))
    common = repo.path / ".git"
    assert git.find_repository(linked.path).top == linked.path
    assert git.find_repository(repo.path) == git.Repository(common, common, repo.path)


def test_found_through_a_symlink(repo: Repo, tmp_path: Path) -> None:
    """A symlinked path leads to the real one."""
    (tmp_path / "link").symlink_to(repo.path)
    assert git.find_repository(tmp_path / "link").top == repo.path


def test_outside_of_a_repository(tmp_path: Path) -> None:
    """No repository, and no directory: one sentence each, with its code."""
    with pytest.raises(WtsError) as outside:
        git.find_repository(tmp_path)
    assert outside.value.code == "no-repository"
    assert outside.value.message == f"{tmp_path} is not in a git repository"
    with pytest.raises(WtsError) as missing:
        git.find_repository(tmp_path / "no such")
    assert missing.value.code == "no-directory"


def test_a_repository_of_the_caller_does_not_mislead(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIT_DIR and GIT_INDEX_FILE of a hook around us do not reach the git that we point somewhere."""
    other = Repo.create(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.path))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.path / "index"))
    assert git.find_repository(repo.path).top == repo.path
    assert Git(repo.path).status().is_clean


def test_another_users_repository_is_refused_with_the_cure(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git's own caution is passed on, with a command that can be pasted even when the path has a space."""
    place = repo.path.rename(repo.path.with_name("their repo"))
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(WtsError) as refusal:
        git.find_repository(place)
    assert refusal.value.code == "not-owned"
    assert refusal.value.hint == f"git config --global --add safe.directory '{place}'"


# -- git itself ---------------------------------------------------------------------------------------


def _put_git_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, says: str, mode: int = 0o755
) -> None:
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    fake = bin_dir / "git"
    fake.write_text(f"#!/bin/sh\necho '{says}'\n")
    fake.chmod(mode)
    monkeypatch.setenv("PATH", str(bin_dir))


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ("git version 2.39.5", (2, 39)),
        ("git version 2.50.1 (Apple Git-155)", (2, 50)),
        ("git version 2.45.1.windows.1", (2, 45)),
        ("git version 3.0.0-rc1", (3, 0)),
        ("git version 2.38.0.GIT", (2, 38)),
    ],
)
def test_the_version_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, version: tuple[int, int]
) -> None:
    """Every vendor's way to write a version is understood."""
    _put_git_on_path(tmp_path, monkeypatch, says=says)
    assert git.version() == version
    assert git.has("ahead-behind") == (version >= (2, 41))


@pytest.mark.parametrize(
    ("says", "code"),
    [("git version 2.37.9", "old-git"), ("git version 1.8", "old-git"), ("hello", "odd-git")],
)
def test_an_old_or_odd_git_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, code: str
) -> None:
    """Older than 2.38, or not git at all: refused by name."""
    _put_git_on_path(tmp_path, monkeypatch, says=says)
    with pytest.raises(WtsError) as refusal:
        git.version()
    assert refusal.value.code == code


@pytest.mark.parametrize("mode", [None, 0o644], ids=["missing", "not-executable"])
def test_a_git_that_cannot_run_is_one_clear_error(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int | None
) -> None:
    """No git on PATH, or one without the permission to run, is no crash."""
    if mode is None:
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        _put_git_on_path(tmp_path, monkeypatch, says="git version 2.39.5", mode=mode)
    for ask in (git.version, lambda: git.find_repository(repo.path)):
        with pytest.raises(WtsError) as missing:
            ask()
        assert missing.value.code == "no-git"


def test_a_failure_carries_gits_words(repo: Repo) -> None:
    """An unexpected failure names the command and what git said last."""
    with pytest.raises(GitError) as failure:
        Git(repo.path).run("rev-parse", "--verify", "no-such")
    assert failure.value.message == "git rev-parse failed: fatal: Needed a single revision"
    assert failure.value.status == 128


@pytest.mark.parametrize(
    ("begin", "told"),
    [
        (["rebase", "--exec", "false", "HEAD~1"], "rebase"),
        (["revert", "--no-commit", "HEAD"], "revert"),
        (["cherry-pick", "side"], "cherry-pick"),
        (["bisect", "start"], "bisect"),
        (["status"], None),
    ],
)
def test_an_open_operation_is_told(repo: Repo, begin: list[str], told: str | None) -> None:
    """A worktree in the middle of something says so, in its own linked git directory."""
    repo.branch("side")
    repo.commit("a", "main", "a on main")
    linked = repo.worktree("linked")
    repo.git("checkout", "--quiet", "side")
    repo.commit("a", "side", "a aside")
    Git(linked.path).ask(*begin)
    assert git.open_operation(Git(linked.path).git_dir()) == told
    assert git.open_operation(Git(repo.path).git_dir()) is None


def test_reads_take_no_lock(repo: Repo) -> None:
    """Status never writes the index, so that it can't collide with an agent's own git."""
    repo.commit("a", "x", "a")
    index = repo.path / ".git" / "index"
    os.utime(repo.path / "a", (1, 1))  # git would refresh the index now
    before = index.read_bytes()
    assert Git(repo.path).status().is_clean
    assert index.read_bytes() == before
