"""The one way a branch moves: nobody's file is overwritten, and a kill at any moment leaves the old or the new tip."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.killing import DIES
from tests.support.moves import moved, tip_of
from tests.support.repos import Repo
from tests.support.sessions import picture, project_of
from worktree_sessions.actions import following, moving, operate
from worktree_sessions.errors import Refused, WtsError
from worktree_sessions.outside.git import Oid, Ref

BRANCH = "feature/auth"
REF = Ref(f"refs/heads/{BRANCH}")
IGNORE = "*.secret\n"


class Target(NamedTuple):
    """A repository, the worktree that has the feature checked out, and the two commits that it moves between."""

    repo: Repo
    tree: Repo
    old: str
    new: str

    @property
    def admin(self) -> Path:
        return Path(self.tree.git("rev-parse", "--absolute-git-dir"))

    def is_at(self, commit: str) -> bool:
        """Whether branch, HEAD, index and files are all at a commit, and nothing of a move is left."""
        assert list(self.admin.glob("wts-index*")) == []
        assert not os.path.lexists(self.admin / "index.lock")
        assert self.tree.git("symbolic-ref", "HEAD") == REF
        changed = self.tree.git("status", "--porcelain", "--untracked-files=no")
        differs = self.tree.git("diff-index", "--name-only", commit)
        return (tip_of(self.repo, BRANCH), changed, differs) == (commit, "", "")

    def move(self) -> None:
        moved(self.repo, (BRANCH, self.old, self.new))

    def refusal(self) -> Refused:
        """Return why the move is refused; nothing may have changed."""
        before = (
            picture(self.tree.path),
            picture(self.admin, skip=("index", "wts")),
            tip_of(self.repo, BRANCH),
        )
        with pytest.raises(Refused) as refused:
            self.move()
        assert (picture(self.tree.path), picture(self.admin, skip=("index", "wts"))) == before[:2]
        assert tip_of(self.repo, BRANCH) == before[2]
        return refused.value


def landing(repo: Repo) -> str:
    """Commit on feature/auth, without a worktree, changes of every kind; return the new tip."""
    place = repo.path.parent / "scratch"
    repo.git("worktree", "add", "--quiet", "--detach", str(place), BRANCH)
    scratch = Repo(place)
    scratch.write("changed", "two\n" * 50)
    scratch.write("new/deep/file", "new\n")
    shutil.rmtree(place / "was-dir")
    scratch.write("was-dir", "a file now\n")
    scratch.write("run", "#!/bin/sh\n").chmod(0o755)
    (place / "link").unlink()
    (place / "link").symlink_to("new/deep/file")
    for gone in ("deleted", "dir/x"):
        (place / gone).unlink()
    (place / "was-file").unlink()
    scratch.write("was-file/inside", "a directory now\n")
    scratch.git("add", "--all")
    scratch.git("commit", "-qm", "everything")
    tip = scratch.tip("HEAD")
    repo.git("worktree", "remove", "--force", str(place))
    return tip


def start(repo: Repo) -> str:
    """Make feature/auth with files of every kind."""
    repo.write(".gitignore", IGNORE)
    for name in (
        "changed",
        "deleted",
        "dir/x",
        "was-dir/x",
        "was-file",
        "run",
        "untouched",
        "also-untouched",
    ):
        repo.write(name, f"{name}\none\n")
    (repo.path / "link").symlink_to("changed")
    repo.git("add", "--all")
    repo.git("commit", "-qm", "files")
    return repo.branch(BRANCH)


@pytest.fixture
def target(repo: Repo) -> Target:
    """feature/auth checked out in a linked worktree."""
    old = start(repo)
    new = landing(repo)
    place = repo.path.parent / "target"
    repo.git("worktree", "add", "--quiet", str(place), BRANCH)
    return Target(repo, Repo(place), old, new)


@pytest.fixture
def main_target(repo: Repo) -> Target:
    """feature/auth checked out in the main worktree."""
    old = start(repo)
    new = landing(repo)
    repo.git("checkout", "-q", BRANCH)
    return Target(repo, repo, old, new)


# -- it moves --------------------------------------------------------------------------------------


def test_a_branch_that_is_checked_out_nowhere_moves_alone(repo: Repo) -> None:
    old = start(repo)
    new = landing(repo)
    before = picture(repo.path)
    assert moving.check(project_of(repo), REF, Oid(old), Oid(new)).worktree is None
    moved(repo, (BRANCH, old, new))
    assert tip_of(repo, BRANCH) == new
    assert picture(repo.path) == before
    assert repo.git("log", "-g", "-1", "--format=%gs", BRANCH) == "wts: move feature/auth"


@pytest.mark.parametrize("which", ["target", "main_target"])
def test_its_worktree_follows(which: str, request: pytest.FixtureRequest) -> None:
    target: Target = request.getfixturevalue(which)
    assert target.is_at(target.old)
    target.move()
    assert target.is_at(target.new)
    assert target.tree.git("log", "-g", "-1", "--format=%gs", "HEAD") == "wts: move feature/auth"
    moved(target.repo, (BRANCH, target.new, target.old))
    assert target.is_at(target.old)
    assert not (target.tree.path / "new").exists()


def test_what_the_move_does_not_touch_stays(main_target: Target) -> None:
    """Changed, staged, untracked and ignored files, stat-clean or not, and the stash."""
    tree = main_target.tree
    tree.write("untouched", "changed by hand\n")
    tree.write("also-untouched", "staged\n")
    tree.git("add", "also-untouched")
    tree.write("also-untouched", "and changed again\n")
    tree.write("mine", "untracked\n")
    tree.write("my.secret", "ignored\n")
    status = tree.git("status", "--porcelain", "--ignored")
    mine = {name: picture(tree.path)[name] for name in ("untouched", "also-untouched", "mine", "my.secret")}
    main_target.move()
    assert tip_of(tree, BRANCH) == main_target.new
    assert tree.git("status", "--porcelain", "--ignored") == status
    assert {name: picture(tree.path)[name] for name in mine} == mine
    assert tree.git("stash", "list") == ""
    assert tree.git("diff", "--cached", "--name-only") == "also-untouched"


def test_no_setting_of_merges_and_no_hook_has_a_say(target: Target) -> None:
    tree = target.tree
    tree.git("config", f"branch.{BRANCH}.mergeOptions", "--squash")
    tree.git("config", "merge.autostash", "true")
    tree.git("config", "submodule.recurse", "true")
    hooks = target.repo.path / ".git" / "hooks"
    called = hooks.parent / "called"
    for name in ("post-checkout", "post-merge", "post-index-change", "pre-commit", "reference-transaction"):
        hook = hooks / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >> '{called}'\n")
        hook.chmod(0o755)
    target.move()
    assert set(called.read_text().split()) == {"reference-transaction"}
    assert tip_of(target.repo, BRANCH) == target.new
    assert tree.git("status", "--porcelain") == ""


def test_a_lock_of_the_worktree_forbids_nothing(target: Target) -> None:
    target.repo.git("worktree", "lock", "--reason", "on a stick", str(target.tree.path))
    target.move()
    assert target.is_at(target.new)


def test_files_left_out_of_a_sparse_checkout_stay_out(target: Target) -> None:
    target.tree.git("sparse-checkout", "set", "--no-cone", "/*", "!/changed", "!/new/")
    target.move()
    assert target.is_at(target.new)
    assert not (target.tree.path / "changed").exists()
    assert not (target.tree.path / "new").exists()


# -- it is refused ---------------------------------------------------------------------------------


def landing_of(target: Target, path: str) -> str:
    """Add a file to what comes; return the new tip, which is target.new's child."""
    scratch = Repo(target.repo.path.parent / "scratch")
    target.repo.git("worktree", "add", "--quiet", "--detach", str(scratch.path), target.new)
    tip = scratch.commit(path, "comes\n", "more")
    target.repo.git("worktree", "remove", "--force", str(scratch.path))
    return tip


WAYS: list[tuple[str, str, str, Callable[[Repo], object]]] = [
    ("changed", "changed", "changed", lambda tree: tree.write("changed", "mine\n")),
    ("changed", "deleted", "changed", lambda tree: tree.write("deleted", "mine\n")),
    ("changed", "link", "changed", lambda tree: (tree.path / "link").unlink()),
    ("changed", "run", "changed", lambda tree: (tree.write("run", "x\n"), tree.git("add", "run"))),
    ("untracked", "new/deep/file", "in-the-way", lambda tree: tree.write("new/deep/file", "mine\n")),
    ("a file above", "new", "in-the-way", lambda tree: tree.write("new", "mine\n")),
    ("a link above", "new", "in-the-way", lambda tree: (tree.path / "new").symlink_to("dir")),
    ("a directory at", "was-dir/notes", "in-the-way", lambda tree: tree.write("was-dir/notes", "mine\n")),
    (
        "ignored below",
        "was-dir/a.secret",
        "in-the-way",
        lambda tree: tree.write("was-dir/a.secret", "mine\n"),
    ),
]


@pytest.mark.parametrize(("what", "file", "code", "act"), WAYS, ids=[f"{way[0]} {way[1]}" for way in WAYS])
def test_a_file_that_would_be_overwritten_is_named(
    target: Target, what: str, file: str, code: str, act: Callable[[Repo], object]
) -> None:
    act(target.tree)
    refused = target.refusal()
    assert (refused.code, refused.details) == (code, (file,)), what
    assert refused.exit == 3
    assert file in refused.message


def test_an_ignored_file_in_the_way_is_named(target: Target) -> None:
    """git itself would overwrite it without a word."""
    comes = target._replace(new=landing_of(target, "local.secret"))
    target.tree.write("local.secret", "precious\n")
    refused = comes.refusal()
    assert (refused.code, refused.details) == ("in-the-way", ("local.secret",))
    assert "ignored" in refused.message


def test_a_change_that_git_was_told_not_to_look_at_is_not_overwritten(target: Target) -> None:
    target.tree.git("update-index", "--assume-unchanged", "changed")
    target.tree.write("changed", "mine\n")
    refused = target.refusal()
    assert refused.code == "in-the-way"
    assert "changed" in str(refused.details)


def test_a_file_that_comes_into_being_during_the_move(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What our own look can't have seen, git refuses: the rest goes back, and the lock goes."""
    look = following.look

    def looking(*args: object) -> None:
        look(*args)  # type: ignore[arg-type]
        if following.is_locked_by_us(args[0]):  # type: ignore[arg-type]
            target.tree.write("new/deep/file", "mine\n")

    monkeypatch.setattr(following, "look", looking)
    with pytest.raises(Refused) as refused:
        target.move()
    assert "new/deep/file" in str(refused.value.details)
    assert target.is_at(target.old)
    assert (target.tree.path / "new/deep/file").read_text() == "mine\n"


def test_an_open_operation_is_named(target: Target) -> None:
    tree = target.tree
    tree.write("untouched", "here\n")
    tree.git("commit", "-qam", "here")
    here = tree.tip("HEAD")
    tree.git("branch", "other", "HEAD~1")
    tree.git("worktree", "add", "-q", str(tree.path.parent / "other"), "other")
    Repo(tree.path.parent / "other").commit("untouched", "there\n", "there")
    subprocess.run(["git", "merge", "-q", "other"], cwd=tree.path, capture_output=True, check=False)
    refused = target._replace(old=here).refusal()
    assert (refused.code, "merge" in refused.message) == ("open-operation", True)
    tree.git("merge", "--abort")
    subprocess.run(["git", "rebase", "-q", "other"], cwd=tree.path, capture_output=True, check=False)
    with pytest.raises(Refused, match="rebase") as rebasing:  # HEAD is detached: git lists the branch nowhere
        moved(target.repo, (BRANCH, here, target.new))
    assert str(tree.path) in rebasing.value.message
    tree.git("rebase", "--abort")
    tree.git("bisect", "start")
    with pytest.raises(Refused, match="bisect"):
        moved(target.repo, (BRANCH, here, target.new))


def test_files_in_conflict_without_an_operation(target: Target) -> None:
    tree = target.tree
    tree.write("untouched", "stashed\n")
    tree.git("stash", "-q")
    here = tree.commit("untouched", "committed\n", "here")
    subprocess.run(["git", "stash", "pop", "-q"], cwd=tree.path, capture_output=True, check=False)
    refused = target._replace(old=here).refusal()
    assert (refused.code, refused.details) == ("unmerged", ("untouched",))


def test_an_index_that_git_holds_is_waited_for_and_its_holder_named(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PATIENCE", 0.3)
    lock = target.admin / "index.lock"
    lock.touch()
    with subprocess.Popen(["sleep", "60"], cwd=target.tree.path) as holder:
        refused = target.refusal()
        holder.kill()
    assert refused.code == "index-locked"
    assert f"sleep (pid {holder.pid})" in refused.message
    assert lock.exists()  # it is not ours to remove
    monkeypatch.setattr(following, "PATIENCE", 60)
    with subprocess.Popen(["sh", "-c", f"sleep 0.5; rm '{lock}'"]):
        target.move()
    assert target.is_at(target.new)


def test_a_worktree_on_a_removed_disk(target: Target) -> None:
    away = target.tree.path.with_name("unplugged")
    target.repo.git("worktree", "lock", "--reason", "on a stick", str(target.tree.path))
    target.tree.path.rename(away)
    with pytest.raises(Refused) as refused:
        target.move()
    assert refused.value.code == "missing"
    assert "on a stick" in refused.value.message
    assert tip_of(target.repo, BRANCH) == target.old
    away.rename(target.tree.path)
    target.move()
    assert target.is_at(target.new)


def test_a_branch_in_two_worktrees(target: Target) -> None:
    second = str(target.tree.path.with_name("second"))
    target.repo.git("worktree", "add", "-q", "--force", second, BRANCH)
    assert target.refusal().code == "branch-taken"


def test_a_branch_that_moved_since_the_plan(target: Target) -> None:
    more = target.tree.commit("more", "more\n", "more")
    refused = target.refusal()
    assert (refused.code, tip_of(target.repo, BRANCH)) == ("moved", more)


def test_head_switched_between_the_look_and_the_move(target: Target) -> None:
    project = project_of(target.repo)
    found = moving.check(project, REF, Oid(target.old), Oid(target.new))
    assert found.worktree == target.tree.path
    step = moving.move_branch(REF, Oid(target.old), Oid(target.new), found.worktree, "move")
    target.tree.git("switch", "-qc", "elsewhere")
    before = picture(target.tree.path)
    moving.do(project, step.args)  # checked out nowhere now: it moves alone
    assert tip_of(target.repo, BRANCH) == target.new
    assert tip_of(target.repo, "elsewhere") == target.old
    assert picture(target.tree.path) == before
    assert target.tree.git("status", "--porcelain") == ""


def test_head_switched_during_the_move(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """`git switch` finds the index locked; a `symbolic-ref` does not ask."""
    target.repo.branch("elsewhere", target.old)
    move_files = following.move_files

    def moving_files(*args: object) -> None:
        move_files(*args)  # type: ignore[arg-type]
        switched = subprocess.run(
            ["git", "switch", "elsewhere"], cwd=target.tree.path, capture_output=True, check=False
        )
        assert switched.returncode != 0
        target.tree.git("symbolic-ref", "HEAD", "refs/heads/elsewhere")

    monkeypatch.setattr(following, "move_files", moving_files)
    with pytest.raises(Refused, match="switched"):
        target.move()
    assert tip_of(target.repo, BRANCH) == target.old
    target.tree.git("symbolic-ref", "HEAD", REF)
    assert target.is_at(target.old)


def test_a_populated_submodule_is_named(repo: Repo, tmp_path: Path) -> None:
    library = Repo.create(tmp_path / "library")
    first = library.commit("code", "1\n", "one")
    second = library.commit("code", "2\n", "two")
    library.git("checkout", "-q", first)
    repo.git("submodule", "--quiet", "add", str(library.path), "lib")
    repo.git("commit", "-qm", "submodule")
    old = repo.branch(BRANCH)
    repo.git("checkout", "-q", BRANCH)
    tree = repo.git("ls-tree", "HEAD").replace(first, second)
    new = repo.git("commit-tree", "-p", old, "-m", "bump", repo.git("mktree", stdin=tree.encode() + b"\n"))
    target = Target(repo, repo, old, new)
    refused = target.refusal()
    assert (refused.code, refused.details) == ("submodule", ("lib",))
    repo.git("submodule", "--quiet", "deinit", "--force", "lib")
    target.move()
    assert target.is_at(new)


def test_a_submodule_that_comes_is_not_filled(repo: Repo, tmp_path: Path) -> None:
    """As with `git merge`, whatever `submodule.recurse` says: what fills it could not be taken back."""
    library = Repo.create(tmp_path / "library")
    library.commit("code", "1\n", "one")
    old = repo.branch(BRANCH)
    repo.git("submodule", "--quiet", "add", str(library.path), "lib")
    repo.git("commit", "-qm", "submodule")
    new = repo.tip("HEAD")
    repo.git("config", "submodule.recurse", "true")
    repo.git("checkout", "-q", BRANCH)
    target = Target(repo, repo, old, new)
    target.move()
    assert target.is_at(new)
    assert list((repo.path / "lib").iterdir()) == []


def test_a_locked_ref_after_the_files_moved_takes_them_back(target: Target) -> None:
    lock = target.repo.path / ".git" / (REF + ".lock")
    lock.touch()
    refused = target.refusal()
    assert (refused.code, lock.name in str(refused.details)) == ("ref-locked", True)
    assert target.is_at(target.old)
    step = moving.move_branch(REF, Oid(target.old), Oid(target.new), target.tree.path, "move")
    with pytest.raises(Refused):
        moving.do(project_of(target.repo), step.args)  # at once, before the engine takes anything back
    assert target.is_at(target.old)
    lock.unlink()
    target.move()
    assert target.is_at(target.new)


def test_a_hook_that_vetoes_takes_them_back(target: Target) -> None:
    hook = target.repo.path / ".git" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n! {{ [ \"$1\" = prepared ] && grep -q ' {REF}$'; }}\n")
    hook.chmod(0o755)
    assert target.refusal().code == "ref-locked"
    assert target.is_at(target.old)


def test_all_branches_of_an_operation_move_or_none(target: Target) -> None:
    target.repo.branch("other", target.old)
    lock = target.repo.path / ".git" / "refs" / "heads" / "other.lock"
    lock.touch()
    with pytest.raises(WtsError):
        moved(target.repo, (BRANCH, target.old, target.new), ("other", target.old, target.new))
    assert target.is_at(target.old)
    assert operate.unfinished(project_of(target.repo)) == []
    lock.unlink()
    moved(target.repo, (BRANCH, target.old, target.new), ("other", target.old, target.new))
    assert (target.is_at(target.new), tip_of(target.repo, "other")) == (True, target.new)


def test_a_branch_is_made_and_deleted_the_same_way(target: Target) -> None:
    moved(target.repo, ("made", None, target.new))
    assert tip_of(target.repo, "made") == target.new
    moved(target.repo, ("made", target.new, None))
    assert tip_of(target.repo, "made") is None
    with pytest.raises(Refused, match="checked out"):
        moved(target.repo, (BRANCH, target.old, None))


# -- what gc would take ----------------------------------------------------------------------------


def test_both_tips_outlive_gc_and_the_pins_are_bounded(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "PINNED_OPERATIONS", 3)
    tips = [start(repo)]
    repo.git("checkout", "-q", "--detach")
    for number in range(5):
        repo.git("checkout", "-q", "--detach", "main")
        tips.append(repo.commit("x", f"{number}\n", f"rewritten {number}"))
    repo.git("checkout", "-q", "main")
    ids = [moved(repo, (BRANCH, old, new)).id for old, new in itertools.pairwise(tips)]
    pinned = repo.git("for-each-ref", "--format=%(refname)", moving.PINS).split()
    assert pinned == [f"{moving.PINS}{one}/0/{side}" for one in ids[-3:] for side in ("after", "before")]
    repo.git("reflog", "expire", "--expire=now", "--expire-unreachable=now", "--all")
    repo.git("gc", "--prune=now", "--quiet")
    for tip in tips[2:]:
        assert repo.git("cat-file", "-t", tip) == "commit"
    with pytest.raises(AssertionError):
        repo.git("cat-file", "-t", tips[1])


# -- kill -9 ---------------------------------------------------------------------------------------

# Dies before the n-th event: a checkpoint of the engine, a call of git, a change of a file in the step.
CHILD = f"""
import os, sys
from pathlib import Path
from tests.support.moves import moved
from tests.support.repos import Repo
from tests.support.sessions import project_of
from worktree_sessions.actions import operate, undoing
from worktree_sessions.outside.git import Git

left, how, repo, *moves = sys.argv[1:]
{DIES}
operate.checkpoint = die_at_the_last
begun = operate._run
def running(*args):
    for place, name in (
        (Git, "ask"), (os, "symlink"), (os, "replace"), (os, "unlink"), (os, "rmdir"), (Path, "unlink"),
        (Path, "rmdir"),
    ):
        setattr(place, name, watched(getattr(place, name)))
    return begun(*args)
operate._run = running

repo = Repo(Path(repo))
if how == "undo":
    undoing.undo(project_of(repo), None)
else:
    triples = [tuple(moves[at:at + 3]) for at in range(0, len(moves), 3)]
    moved(repo, *triples, lasts=how == "lasts")
"""


def dies(target: Target, count: int, how: str, *moves: str) -> bool:
    """Move branches until the process kills itself; return False when it ended before that."""
    words = [sys.executable, "-c", CHILD, str(count), how, str(target.repo.path), *moves]
    done = subprocess.run(words, cwd=Path(__file__).parent.parent, capture_output=True, check=False)
    assert done.returncode in (-9, 0), done.stderr.decode()
    return done.returncode == -9


def settles(target: Target) -> list[str]:
    settled = operate.settle(project_of(target.repo))
    assert [one.problem for one in settled if one.problem] == []
    assert operate.unfinished(project_of(target.repo)) == []
    return [one.outcome for one in settled]


def mine(target: Target) -> dict[str, str]:
    """Put changes of the user's own beside the move; return their content."""
    files = {
        "untouched": "changed by hand\n",
        "notes": "untracked\n",
        "my.secret": "ignored\n",
        "new/mine": "x\n",
    }
    for name, content in files.items():
        target.tree.write(name, content)
    return files


def check_mine(target: Target, files: dict[str, str]) -> None:
    assert {name: (target.tree.path / name).read_text() for name in files} == files
    assert target.tree.git("status", "--porcelain", "--untracked-files=all").splitlines() == [
        " M untouched",
        "?? new/mine",
        "?? notes",
    ]
    assert target.tree.git("diff-files", "--name-only") == "untouched"


@pytest.mark.slow
@pytest.mark.parametrize(("how", "ends"), [("plain", "rolled back"), ("lasts", "finished")])
def test_killed_at_every_moment_of_a_move(target: Target, how: str, ends: str) -> None:
    """Whatever moment it was, the branch is old or new; the next command brings files and index to the same."""
    target.repo.branch("other", target.old)
    moves = (BRANCH, target.old, target.new, "other", target.old, target.new)
    files = mine(target)
    seen: set[str] = set()
    count = 1
    while dies(target, count, how, *moves):
        assert tip_of(target.repo, BRANCH) in (target.old, target.new)
        outcomes = settles(target)
        at = tip_of(target.repo, BRANCH)
        assert at == tip_of(target.repo, "other")
        check_mine(target, files)
        for name in ("index.lock", "wts-index*"):
            assert list(target.admin.glob(name)) == []
        seen.update(outcomes)
        if at == target.new:
            moved(target.repo, *((branch, target.new, target.old) for branch in (BRANCH, "other")))
        count += 1
    assert count > 30
    assert ends in seen
    check_mine(target, files)
    assert tip_of(target.repo, BRANCH) == target.new


@pytest.mark.slow
def test_killed_at_every_moment_of_an_undo(target: Target) -> None:
    files = mine(target)
    target.move()
    count = 1
    while dies(target, count, "undo"):
        assert tip_of(target.repo, BRANCH) in (target.old, target.new)
        settles(target)
        check_mine(target, files)
        if tip_of(target.repo, BRANCH) == target.old:  # it was done, but for the last line
            moved(target.repo, (BRANCH, target.old, target.new))
        count += 1
    assert count > 20
    assert tip_of(target.repo, BRANCH) == target.old
    check_mine(target, files)


FILTER = """#!/bin/sh
# Called by git for each file that it writes: at the n-th it kills wts, alone or with all that it started.
n=$(($(cat '{count}') - 1)); echo $n > '{count}'
if [ $n -eq 0 ]; then kill -9 {sign}$(cat '{pid}'); sleep 1; fi
exec cat
"""


@pytest.mark.parametrize("who", ["all", "wts"])
@pytest.mark.parametrize("nth", [1, 4])
def test_killed_while_git_writes_the_files(target: Target, tmp_path: Path, who: str, nth: int) -> None:
    """With git, its files half written; or without git, which goes on while the next wts is there already."""
    script, count, pid = (tmp_path / name for name in ("filter", "count", "pid"))
    script.write_text(FILTER.format(count=count, pid=pid, sign="-" if who == "all" else ""))
    script.chmod(0o755)
    files = mine(target)
    (target.repo.path / ".git" / "info").mkdir(exist_ok=True)
    (target.repo.path / ".git" / "info" / "attributes").write_text("* filter=deadly\n")
    target.repo.git("config", "filter.deadly.smudge", f"'{script}'")
    count.write_text(str(nth))
    words = [sys.executable, "-c", CHILD, "0", "plain", str(target.repo.path), BRANCH, target.old, target.new]
    with subprocess.Popen(words, cwd=Path(__file__).parent.parent, start_new_session=True) as wts:
        pid.write_text(str(wts.pid))
    assert wts.returncode == -9
    assert os.path.lexists(target.admin / "index.lock")
    assert settles(target) == ["rolled back"]
    assert tip_of(target.repo, BRANCH) == target.old
    check_mine(target, files)


def test_what_somebody_wrote_into_a_half_moved_file_is_kept(target: Target) -> None:
    """It is neither what git wrote nor what it would write: the move goes back around it."""
    count = 1
    while dies(target, count, "plain", BRANCH, target.old, target.new):
        if (target.tree.path / "new/deep/file").exists() and tip_of(target.repo, BRANCH) == target.old:
            break
        settles(target)
        count += 1
    target.tree.write("changed", "written by a person\n")
    assert settles(target) == ["rolled back"]
    assert tip_of(target.repo, BRANCH) == target.old
    assert target.tree.git("status", "--porcelain") == " M changed"
    assert (target.tree.path / "changed").read_text() == "written by a person\n"
    assert target.refusal().details == ("changed",)
