"""Copies of commits, made in the object store: the same that `git rebase` makes, judged by git itself."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.repos import Repo
from tests.support.sessions import picture, refs
from tests.test_merging import signer  # noqa: F401
from worktree_sessions.outside import merging
from worktree_sessions.outside.git import Git, Oid
from worktree_sessions.outside.merging import Outcome
from worktree_sessions.outside.replaying import Replayed, own_commits, replay

LINES = "".join(f"line {number}\n" for number in range(1, 30))
TOLD = "--format=%T|%an|%ae|%ad|%B|%cn"


def replayed(repo: Repo, onto: str, tip: str) -> Replayed:
    git = Git(repo.path)
    base, top = Oid(repo.tip(onto)), Oid(repo.tip(tip))
    return replay(git, own_commits(git, base, top), base, write=merging.commit_draft)


def rebased(repo: Repo, onto: str, tip: str) -> str | None:
    """Return what `git rebase` makes of it in a worktree that goes, None where it stops."""
    there = Repo(repo.path.parent / "rebased")
    repo.git("worktree", "add", "--quiet", "--detach", str(there.path), tip)
    try:
        there.git("-c", "core.hooksPath=/dev/null", "rebase", "--quiet", onto)
    except AssertionError:
        return None
    else:
        return there.tip("HEAD")
    finally:
        repo.git("worktree", "remove", "--force", str(there.path))


def told(repo: Repo, onto: str, head: str) -> list[str]:
    """Return what each copy is: its tree, author, date, message and committer."""
    return repo.git("log", "-z", "--date=raw", TOLD, f"{onto}..{head}").split("\0")[:-1]


@pytest.fixture
def forked(repo: Repo) -> Repo:
    """Two branches, `side` and main, that both went on from one file."""
    repo.commit("form", LINES, "form")
    repo.branch("side")
    repo.commit("other", "1\n", "main goes on")
    return repo


def on_side(repo: Repo) -> Repo:
    place = repo.path.parent / "side"
    repo.git("worktree", "add", "--quiet", str(place), "side")
    return Repo(place)


def test_copies_are_those_of_git_rebase(forked: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    side = on_side(forked)
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Grace Größe")
    monkeypatch.setenv("GIT_AUTHOR_DATE", "1700000000 -0730")
    side.commit("form", LINES.replace("line 3\n", "three\n"), "Change line 3\n\nWith a body.\n\n  indented\n")
    side.git("commit", "--quiet", "--allow-empty", "--message", "meant to be empty")
    (side.path / "tool").write_text("#!/bin/sh\n")
    (side.path / "tool").chmod(0o755)
    (side.path / "link").symlink_to("form")
    side.git("add", "-A")
    side.git("mv", "form", "renamed")
    side.git("commit", "--quiet", "--message", "A tool, a link and a rename")
    before, objects = refs(forked), picture(side.path)

    ours = replayed(forked, "main", "side")

    assert ours.head is not None
    theirs = rebased(forked, "main", "side")
    assert theirs is not None
    assert told(forked, "main", ours.head) == told(forked, "main", theirs)
    assert len(told(forked, "main", theirs)) == 3
    assert (refs(forked), picture(side.path)) == (before, objects)


def test_what_is_there_already_is_left_out_and_merges_are_not_copied(forked: Repo) -> None:
    side = on_side(forked)
    picked = side.commit("picked", "1\n", "picked by main")
    side.commit("form", LINES.replace("line 3\n", "three\n"), "own")
    forked.git("cherry-pick", picked)
    forked.commit("picked", "2\n", "and changed there since")
    side.git("merge", "--quiet", "--no-edit", "main~2")
    side.commit("half", "1\n", "half of what main has")
    forked.git("commit", "--quiet", "--allow-empty", "--message", "empty")
    forked.write("half", "1\n")
    forked.write("more", "1\n")
    forked.git("add", "-A")
    forked.git("commit", "--quiet", "--message", "the same, and more")

    ours = replayed(forked, "main", "side")

    assert ours.head is not None
    assert [row.split("|")[4].strip() for row in told(forked, "main", ours.head)] == ["own"]
    theirs = rebased(forked, "main", "side")
    assert theirs is not None
    assert told(forked, "main", ours.head) == told(forked, "main", theirs)


def test_nothing_of_its_own_is_the_new_base_itself(forked: Repo) -> None:
    assert replayed(forked, "main", "side").head == forked.tip("main")


def test_the_first_that_does_not_apply_is_named_with_its_files(forked: Repo) -> None:
    side = on_side(forked)
    side.commit("fine", "1\n", "fine")
    stops = side.commit("form", LINES.replace("line 3\n", "three\n"), "stops here")
    side.commit("later", "1\n", "later")
    forked.commit("form", LINES.replace("line 3\n", "III\n"), "the same line")

    found = replayed(forked, "main", "side")

    assert found.head is None
    assert found.stopped is not None
    commit, merged = found.stopped
    assert (commit.oid, merged.outcome, merged.files) == (stops, Outcome.CONFLICT, ("form",))
    assert rebased(forked, "main", "side") is None


def test_a_root_commit_is_copied_too(repo: Repo) -> None:
    git, main = Git(repo.path), Oid(repo.tip("main"))
    known = Oid(repo.git("commit-tree", "-m", "a root with what is there", repo.git("write-tree")))
    repo.write("new", "1\n")
    repo.git("add", "new")
    root = Oid(repo.git("commit-tree", "-m", "another root", repo.git("write-tree")))
    repo.git("reset", "--quiet", "--hard")

    assert replay(git, [known], main, write=merging.commit_draft).head == main
    found = replay(git, [root], main, write=merging.commit_draft)

    assert found.head is not None
    assert repo.git("ls-tree", "--name-only", found.head).splitlines() == ["README.md", "new"]
    assert repo.tip(f"{found.head}^") == main


def test_attributes_that_a_copied_commit_brings_count_for_the_next_one(forked: Repo) -> None:
    side = on_side(forked)
    side.commit(".gitattributes", "log merge=union\n", "union")
    side.commit("log", "side\n", "log")
    forked.commit("log", "main\n", "log")

    found = replayed(forked, "main", "side")

    assert found.head is not None
    assert forked.git("show", f"{found.head}:log") == "main\nside"


def test_copies_are_signed_as_the_user_signs(forked: Repo, signer: Path) -> None:  # noqa: F811
    on_side(forked).commit("own", "1\n", "own")
    git = Git(forked.path)
    base = Oid(forked.tip("main"))
    found = replay(git, own_commits(git, base, Oid(forked.tip("side"))), base)
    assert found.head is not None
    assert "gpgsig" in forked.git("cat-file", "commit", found.head)


@pytest.mark.parametrize("seed", range(12))
def test_any_history_comes_out_as_git_rebase_makes_it(repo: Repo, seed: int) -> None:
    """Random edits of a few lines on two branches, with merges between them: the same copies, or both stop."""
    chance = random.Random(seed)
    repo.commit("form", LINES, "form")
    repo.branch("side")
    side = on_side(repo)
    for step in range(8):
        there = chance.choice([repo, side, side])
        if there is side and chance.random() < 0.2:
            try:
                side.git("merge", "--quiet", "--no-edit", "main")
            except AssertionError:
                side.git("merge", "--abort")
            continue
        lines = (there.path / "form").read_text().splitlines(keepends=True)
        lines[chance.randrange(len(lines))] = f"{chance.choice('ab')} in step {step}\n"
        there.commit("form", "".join(lines), f"step {step}")

    ours, theirs = replayed(repo, "main", "side"), rebased(repo, "main", "side")

    assert (ours.head is None) == (theirs is None)
    if ours.head and theirs:
        assert told(repo, "main", ours.head) == told(repo, "main", theirs)


def test_attributes_count_from_a_commit_on_that_stays_itself(forked: Repo) -> None:
    """The next one stood beside it: it is copied by the attributes that came with it."""
    side = on_side(forked)
    side.commit("form", f"{LINES}by one\n", "one")
    base, one = side.tip("HEAD^"), side.commit(".gitattributes", "form merge=union\n", "union")
    side.git("reset", "--quiet", "--hard", base)
    side.commit("form", f"{LINES}by two\n", "two")
    two = side.tip("HEAD")

    git = Git(forked.path)
    copied = replay(
        git, [Oid(forked.tip(f"{one}^")), Oid(one), Oid(two)], Oid(base), write=merging.commit_draft
    )

    assert copied.stopped is None
    assert forked.git("show", f"{copied.head}:form") == f"{LINES}by one\nby two"


@pytest.mark.parametrize(
    ("author", "becomes"),
    [
        (b" <grace@example.org> 1700000000 +0100", "grace@example.org|grace@example.org|1700000000 +0100"),
        (b"<> 1700000000 +0100", "unknown||1700000000 +0100"),
        (b"... <g@example.org> 1700000000 +0100", "g@example.org|g@example.org|1700000000 +0100"),
        (b"Grace <g@example.org>", "Grace|g@example.org|0 +0000"),
    ],
)
def test_an_author_without_a_name_or_a_date_is_copied_all_the_same(
    forked: Repo, author: bytes, becomes: str
) -> None:
    side = on_side(forked)
    side.commit("own", "1\n", "own")
    rows = f"tree {side.git('rev-parse', 'HEAD^{tree}')}\nparent {side.tip('HEAD^')}\n".encode()
    rows += b"author " + author + b"\ncommitter Ada <ada@example.org> 1700000000 +0000\n\nown\n"
    side.git(
        "reset",
        "--quiet",
        side.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=rows),
    )

    head = replayed(forked, "main", "side").head

    assert head is not None
    assert forked.git("log", "-1", "--date=raw", "--format=%an|%ae|%ad", head) == becomes
