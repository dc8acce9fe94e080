"""Recorded resolutions used again: what git once saw resolved is resolved so, and asking leaves nothing behind."""

from __future__ import annotations

import pytest

from tests.support.repos import Repo
from tests.support.sessions import picture
from worktree_sessions.outside import merging, rerere
from worktree_sessions.outside.git import Git, Oid

LINES = "".join(f"line {number}\n" for number in range(1, 20))


@pytest.fixture
def rivals(repo: Repo) -> Repo:
    """main and `side` change the same line of `form`; git has seen it resolved to `both`, and it was taken back."""
    repo.git("config", "rerere.enabled", "true")
    repo.commit("form", LINES, "form")
    repo.branch("side")
    repo.commit("form", LINES.replace("line 3\n", "by main\n"), "main")
    side = repo.worktree("there", "side")
    side.commit("form", LINES.replace("line 3\n", "by side\n"), "side")
    repo.git("branch", "--force", "side", "there")
    with pytest.raises(AssertionError):
        repo.git("merge", "--quiet", "side")
    repo.write("form", LINES.replace("line 3\n", "by both\n"))
    repo.git("commit", "--quiet", "--all", "--no-edit")
    repo.git("reset", "--quiet", "--hard", "HEAD^")
    return repo


def resolved(repo: Repo, ours: str = "main", theirs: str = "side") -> Oid | None:
    git = Git(repo.path)
    with merging.quarantine(git) as aside, merging.attributes_of(git, Oid(repo.tip(ours))) as place:
        tree = rerere.resolve(aside, place, Oid(repo.tip(ours)), Oid(repo.tip(theirs)))
        return tree and Oid(aside.line("rev-parse", f"{tree}:form"))


def blob(repo: Repo, content: str) -> str:
    return repo.git("hash-object", "--stdin", stdin=content.encode())


def test_a_recorded_resolution_is_used_again_and_asking_writes_nothing(rivals: Repo) -> None:
    rivals.commit("other", "1\n", "main goes on")
    before = picture(rivals.path, skip=())

    assert resolved(rivals) == blob(rivals, LINES.replace("line 3\n", "by both\n"))

    assert picture(rivals.path, skip=()) == before


def test_a_conflict_that_was_never_resolved_stays_one_and_is_not_recorded(rivals: Repo) -> None:
    rivals.commit("form", LINES.replace("line 3\n", "by main, later\n"), "another text")
    before = picture(rivals.path / ".git" / "rr-cache")
    assert resolved(rivals) is None
    assert picture(rivals.path / ".git" / "rr-cache") == before


def test_all_or_none_are_resolved(rivals: Repo) -> None:
    rivals.commit("second", "main\n", "main")
    there = Repo(rivals.path.parent / "there")
    there.commit("second", "side\n", "side")
    rivals.git("branch", "--force", "side", "there")
    assert resolved(rivals) is None


def test_what_no_markers_can_show_stays_a_conflict(rivals: Repo) -> None:
    there = Repo(rivals.path.parent / "there")
    there.git("rm", "--quiet", "README.md")
    there.git("commit", "--quiet", "--message", "gone")
    rivals.git("branch", "--force", "side", "there")
    rivals.commit("README.md", "changed\n", "changed")
    assert resolved(rivals) is None


def test_without_recorded_resolutions_nothing_is_tried(repo: Repo) -> None:
    repo.commit("form", LINES, "form")
    assert resolved(repo, "main", "main") is None


def test_a_file_that_can_be_run_still_can(rivals: Repo) -> None:
    (rivals.path / "form").chmod(0o755)
    rivals.git("commit", "--quiet", "--all", "--message", "main makes it run")
    git = Git(rivals.path)
    with merging.attributes_of(git, Oid(rivals.tip("main"))) as place:
        tree = rerere.resolve(git, place, Oid(rivals.tip("main")), Oid(rivals.tip("side")))
    assert rivals.git("ls-tree", str(tree), "form").split()[0] == "100755"


def test_what_was_resolved_with_the_line_ends_of_its_attributes_is_used_again(repo: Repo) -> None:
    repo.git("config", "rerere.enabled", "true")
    repo.commit(".gitattributes", "form text eol=crlf\n", "attributes")
    repo.commit("form", LINES, "form")
    repo.branch("side")
    repo.commit("form", LINES.replace("line 3\n", "by main\n"), "main")
    repo.git("switch", "--quiet", "side")
    repo.commit("form", LINES.replace("line 3\n", "by side\n"), "side")
    repo.git("switch", "--quiet", "main")
    with pytest.raises(AssertionError):
        repo.git("merge", "--quiet", "side")
    both = LINES.replace("line 3\n", "by both\n")
    repo.write("form", both.replace("\n", "\r\n"))
    repo.git("commit", "--quiet", "--all", "--no-edit")
    repo.git("reset", "--quiet", "--hard", "HEAD^")

    assert resolved(repo) == blob(repo, both)
