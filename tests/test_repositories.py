"""Repositories of every kind, and places where there is none: the main job works, or one clear line says why not."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Result, Wts
from tests.support.repos import Repo
from tests.support.sessions import picture, records, refs


def main_job(repo: Repo, wts: Wts) -> None:
    """Make a session, leave work in it, see it listed, close it, bring it back: to the byte."""
    made = wts("new", "auth-frontend", "--no-start", "--json", cwd=repo.path)
    assert made.status == 0, made.err
    place = Path(os.fsdecode(wts("path", "1", cwd=repo.path).out.encode()).removesuffix("\n"))
    tree = Repo(place)
    tip = tree.commit("done", "committed\n", "work")
    tree.write("notes/ü n", "untracked\n")
    tree.write("done", "changed\n")
    before = picture(place)
    rows = wts("list", "--json", cwd=place).json["data"]["sessions"]
    assert [(r["name"], r["git"]["ahead"], r["git"]["changed"], r["git"]["untracked"]) for r in rows] == [
        ("auth-frontend", 1, 1, 1)
    ]
    assert wts("list", cwd=repo.path).status == 0
    assert wts("close", "1", cwd=repo.path).status == 3
    closed = wts("close", "1", "--with-unsaved", cwd=repo.path)
    assert closed.status == 0, closed.err
    assert not place.exists()
    back = wts("restore", "auth-frontend", cwd=repo.path)
    assert back.status == 0, back.err
    assert picture(place) == before
    assert tree.tip("HEAD") == tip


def test_bare_with_worktrees(repo: Repo, tmp_path: Path, wts_inline: Wts) -> None:
    bare = Repo(tmp_path / "bare.git")
    repo.git("clone", "-q", "--bare", str(repo.path), str(bare.path))
    main_job(bare, wts_inline)
    assert (tmp_path / "bare.worktrees" / "auth-frontend").exists()


def test_a_bare_repository_in_a_dot_directory_with_a_worktree_as_home(
    repo: Repo, tmp_path: Path, wts_inline: Wts
) -> None:
    """The layout of many: project/.bare, project/.git pointing at it, project/main."""
    home = tmp_path / "project"
    repo.git("clone", "-q", "--bare", str(repo.path), str(home / ".bare"))
    (home / ".git").write_text("gitdir: ./.bare\n")
    Repo(home).git("worktree", "add", "-q", "main", "main")
    main_job(Repo(home / "main"), wts_inline)


def test_no_commit_yet(tmp_path: Path, wts_inline: Wts) -> None:
    empty = Repo.create(tmp_path / "empty")
    answer = wts_inline("new", "auth-frontend", "--no-start", cwd=empty.path)
    assert answer.status == 1
    assert "has no commit yet" in answer.err
    assert "git commit --allow-empty" in answer.err
    assert wts_inline("list", cwd=empty.path).status == 0
    assert not (tmp_path / "empty.worktrees").exists()


def test_shallow(repo: Repo, tmp_path: Path, wts_inline: Wts) -> None:
    repo.commit("x", "x\n", "second")
    clone = tmp_path / "shallow"
    repo.git("clone", "-q", "--depth=1", f"file://{repo.path}", str(clone))
    main_job(Repo(clone), wts_inline)


def test_partial(repo: Repo, tmp_path: Path, wts_inline: Wts) -> None:
    repo.commit("big", "big\n" * 1000, "second")
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.git("config", "uploadpack.allowAnySHA1InWant", "true")
    clone = tmp_path / "partial"
    repo.git("clone", "-q", "--filter=blob:none", f"file://{repo.path}", str(clone))
    main_job(Repo(clone), wts_inline)


def test_sha256(tmp_path: Path, wts_inline: Wts) -> None:
    made = Repo.create(tmp_path / "long", "--object-format=sha256")
    made.commit("x", "x\n", "start")
    main_job(made, wts_inline)


def test_submodules(repo: Repo, tmp_path: Path, wts_inline: Wts) -> None:
    library = Repo.create(tmp_path / "library")
    library.commit("lib.py", "lib\n", "library")
    repo.git("submodule", "--quiet", "add", str(library.path), "lib")
    repo.git("commit", "-qm", "with a submodule")
    main_job(repo, wts_inline)


def test_sparse_checkout(repo: Repo, wts_inline: Wts) -> None:
    repo.commit("far/away", "x\n", "second")
    repo.git("sparse-checkout", "set", "--cone", "near")
    main_job(repo, wts_inline)


def test_worktree_config(repo: Repo, wts_inline: Wts) -> None:
    repo.git("config", "extensions.worktreeConfig", "true")
    repo.git("config", "--worktree", "core.abbrev", "12")
    main_job(repo, wts_inline)


def test_core_worktree(tmp_path: Path, wts_inline: Wts) -> None:
    files = tmp_path / "files"
    files.mkdir()
    made = Repo.create(tmp_path / "store")
    made.git("config", "core.worktree", str(files))
    tree = Repo(files)
    (files / ".git").write_text(f"gitdir: {tmp_path / 'store' / '.git'}\n")
    tree.commit("x", "x\n", "start")
    main_job(tree, wts_inline)


def test_a_separate_git_directory(tmp_path: Path, wts_inline: Wts) -> None:
    made = Repo.create(tmp_path / "tree", f"--separate-git-dir={tmp_path / 'elsewhere'}")
    made.commit("x", "x\n", "start")
    main_job(made, wts_inline)


@pytest.mark.parametrize(
    "name",
    ["with space", "quo'te\"s", "ünïcödé 日本", "new\nline", "-dash", "$HOME", "a;b", "%s", "{repo}", "#x"],
)
def test_a_path_with_anything_in_it(tmp_path: Path, wts_inline: Wts, name: str) -> None:
    made = Repo.create(tmp_path / name)
    made.commit("x", "x\n", "start")
    main_job(made, wts_inline)


def test_a_symlinked_path(repo: Repo, tmp_path: Path, wts_inline: Wts) -> None:
    (tmp_path / "link").symlink_to(repo.path)
    main_job(Repo(tmp_path / "link"), wts_inline)


def test_worktrees_below_a_symlinked_directory(repo: Repo, tmp_path: Path, wts_inline: Wts) -> None:
    """git writes down the real path; what wts compares with it must be the real one, too."""
    (tmp_path / "real").mkdir()
    (tmp_path / "trees").symlink_to(tmp_path / "real")
    repo.commit(".wts.toml", 'worktree_dir = "../trees"\n', "settings")
    main_job(repo, wts_inline)
    listed = wts_inline("list", "--json").json["data"]
    assert (listed["others"], len(listed["sessions"])) == (0, 1)


def test_started_from_a_git_hook_it_works_on_its_own_repository(
    repo: Repo, tmp_path: Path, wts_inline: Wts, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Repo.create(tmp_path / "other")
    other.commit("x", "x\n", "start")
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.path / ".git" / "index"))
    assert wts_inline("new", "auth-frontend", "--no-start").status == 0
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert Repo(repo.path.parent / "repo.worktrees" / "auth-frontend").git("status", "--porcelain") == ""


# -- disks -----------------------------------------------------------------------------------------


def _mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("mounting is not permitted here")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root may mount")
    _mount("-t", "tmpfs", "-o", "size=2m,nr_inodes=2000", "none", str(place))
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


def fill(disk: Path) -> None:
    ballast = os.open(disk / "ballast", os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while os.write(ballast, b"x" * 4096):
            pass
    os.close(ballast)


def test_a_full_disk_leaves_nothing_half_made(small_disk: Path, wts_inline: Wts) -> None:
    repo = Repo.create(small_disk / "repo")
    repo.commit("x", "x\n", "start")
    before = refs(repo)
    fill(small_disk)
    answer = wts_inline("new", "auth-frontend", "--no-start", cwd=repo.path)
    assert answer.status == 1, answer.err
    assert len(answer.err.strip().splitlines()) <= 2
    assert refs(repo) == before
    (small_disk / "ballast").unlink()
    assert wts_inline("list", cwd=repo.path).status == 0
    assert wts_inline("new", "auth-frontend", "--no-start", cwd=repo.path).status == 0
    repo.git("fsck", "--no-dangling")


def test_a_close_on_a_full_disk_loses_nothing(small_disk: Path, wts_inline: Wts) -> None:
    repo = Repo.create(small_disk / "repo")
    repo.commit("x", "x\n", "start")
    assert wts_inline("new", "auth-frontend", "--no-start", cwd=repo.path).status == 0
    place = small_disk / "repo.worktrees" / "auth-frontend"
    (place / "notes").write_text("untracked\n")
    before = picture(place)
    fill(small_disk)
    answer = wts_inline("close", "1", "--with-unsaved", cwd=repo.path)
    assert answer.status == 1, answer.err
    (small_disk / "ballast").unlink()
    assert wts_inline("list", cwd=repo.path).status == 0
    if place.exists():
        assert picture(place) == before
        assert wts_inline("close", "1", "--with-unsaved", cwd=repo.path).status == 0
    assert wts_inline("restore", "auth-frontend", cwd=repo.path).status == 0
    assert picture(place) == before


def test_a_read_only_disk_is_told_and_nothing_is_half_made(repo: Repo, wts_inline: Wts) -> None:
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root may mount")
    _mount("--bind", str(repo.path), str(repo.path))
    try:
        _mount("-o", "remount,bind,ro", str(repo.path))
        before = refs(repo)
        answer = wts_inline("new", "auth-frontend", "--no-start")
        assert answer.status == 1, answer.err
        assert len(answer.err.strip().splitlines()) <= 2
        assert refs(repo) == before
        assert wts_inline("list").status == 0
        assert not (repo.path.parent / "repo.worktrees" / "auth-frontend").exists()
    finally:
        subprocess.run(["umount", "-l", str(repo.path)], check=False)


def test_a_worktree_directory_that_cannot_be_made_is_told(repo: Repo, wts_inline: Wts) -> None:
    (repo.path.parent / "repo.worktrees").write_text("a file\n")
    before = refs(repo)
    answer = wts_inline("new", "auth-frontend", "--no-start")
    assert answer.status in (1, 3), answer.err
    assert refs(repo) == before
    assert (repo.path.parent / "repo.worktrees").read_text() == "a file\n"
    assert not [
        path for path in records(repo) if path.startswith(("sessions", "trash", "operations/running"))
    ]


def test_files_that_may_not_grow_are_no_traceback(repo: Repo) -> None:
    """RLIMIT_FSIZE: every write of more than nothing fails."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    done = subprocess.run(
        [sys.executable, "-m", "worktree_sessions", "new", "auth-frontend", "--no-start"],
        cwd=repo.path,
        capture_output=True,
        preexec_fn=limit,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "bug" not in done.stderr


# -- where there is no repository, or no git -------------------------------------------------------


def is_one_clear_line(answer: Result, status: int, words: str) -> None:
    assert answer.status == status, answer.err
    lines = answer.err.strip().splitlines()
    assert words in lines[0]
    assert len([line for line in lines if not line.startswith("hint: ")]) == 1
    assert answer.out == ""


COMMANDS = [
    ("list",),
    ("new", "a-b", "--no-start"),
    ("close", "1"),
    ("restore",),
    ("path", "1"),
    ("adopt", "."),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_outside_of_a_repository(tmp_path: Path, wts_inline: Wts, words: tuple[str, ...]) -> None:
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    is_one_clear_line(wts_inline(*words, cwd=nowhere), 1, "is not in a git repository")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_without_git(
    repo: Repo, wts_inline: Wts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    is_one_clear_line(wts_inline(*words), 1, "git was not found on PATH")


def test_with_a_git_that_is_too_old(
    repo: Repo, wts_inline: Wts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shim = tmp_path / "bin" / "git"
    shim.parent.mkdir()
    real = shutil.which("git")
    shim.write_text(
        f'#!/bin/sh\n[ "$1" = version ] && {{ echo git version 2.37.9; exit; }}\nexec {real} "$@"\n'
    )
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}{os.pathsep}{os.environ['PATH']}")
    is_one_clear_line(wts_inline("new", "auth-frontend", "--no-start"), 1, "git 2.37 is too old")
    is_one_clear_line(wts_inline("list", cwd=tmp_path), 1, "git 2.37 is too old")


def test_a_repository_of_somebody_else(repo: Repo, wts_inline: Wts) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a directory away")
    os.chown(repo.path, 12345, 12345)
    os.chown(repo.path / ".git", 12345, 12345)
    is_one_clear_line(wts_inline("list"), 1, "it belongs to another user")


def test_without_a_terminal_a_question_is_an_error_that_names_the_flag(repo: Repo, wts: Wts) -> None:
    assert wts("new", "auth-frontend", "--no-start").status == 0
    tree = Repo(repo.path.parent / "repo.worktrees" / "auth-frontend")
    tree.commit(".gitignore", "*.db\n", "ignore")
    tree.write("x.db", "x\n")
    assert wts("close", "1").status == 0
    asked = wts("restore", "--empty-trash")
    is_one_clear_line(asked, 2, "no terminal")
    assert "--yes" in asked.err
