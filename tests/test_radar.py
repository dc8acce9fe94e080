"""The radar: what it tells is what `git merge` does; nothing is touched; a second look starts no merge."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Wts
from tests.support.claude_cli import eventually
from tests.support.looks import a_look
from tests.support.repos import Repo
from tests.support.sessions import a_session, closed, picture, project_of, refs, worktree_of
from tests.support.tmux import Shell, put_wts_on_path
from worktree_sessions.actions import radar
from worktree_sessions.actions.listing import list_sessions
from worktree_sessions.errors import NothingToDo
from worktree_sessions.model.radar import CLEAR, Contact, Level, Pair, Scan, Verdict, lines_of, meet
from worktree_sessions.model.session import Session
from worktree_sessions.outside.git import BranchName, Oid
from worktree_sessions.outside.hunks import Hunk, hunks_between
from worktree_sessions.views.radar import radar_text

LINES = [f"line {n}" for n in range(1, 41)]
needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

Told = dict[tuple[str, str | None], Verdict]


def text(*changes: tuple[int, str], lines: list[str] = LINES) -> str:
    """The forty lines, some of them (counted from 1) with another text."""
    new = list(lines)
    for number, words in changes:
        new[number - 1] = words
    return "\n".join(new) + "\n"


@pytest.fixture
def app(repo: Repo) -> Repo:
    """A repository with a file of forty lines, and the feature `auth`."""
    repo.commit("src/api.py", text(), "the api")
    repo.branch("feature/auth")
    return repo


def sessions(repo: Repo, *purposes: str) -> list[Session]:
    return [a_session(repo, f"auth-{purpose}") for purpose in purposes]


def told(repo: Repo, feature: str | None = None) -> Told:
    """The verdicts by purpose; None is the parent."""
    return {
        (pair.a.purpose, pair.b.purpose if pair.b else None): pair.verdict
        for scan in radar.scan(project_of(repo), feature)
        for pair in scan.pairs
    }


def levels(repo: Repo) -> dict[tuple[str, str | None], str]:
    return {
        pair: verdict.level.value for pair, verdict in told(repo).items() if verdict.level is not Level.CLEAR
    }


def notes(repo: Repo) -> dict[str, str]:
    return {name: note for scan in radar.scan(project_of(repo)) for name, note in scan.notes.items()}


def move_parent(repo: Repo, path: str, content: str | bytes) -> None:
    """Commit to feature/auth, which is checked out nowhere."""
    place = repo.path.parent / "elsewhere"
    repo.git("worktree", "add", "--quiet", "--detach", str(place), "feature/auth")
    tip = Repo(place).commit(path, content, "the parent moves")
    repo.git("update-ref", "refs/heads/feature/auth", tip)
    repo.git("worktree", "remove", str(place))


@pytest.fixture
def merges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Counter[str]]:
    """Count git's commands since the last call, seen by a `git` that stands first on PATH."""
    log, shim = tmp_path / "calls.log", tmp_path / "shim" / "git"
    shim.parent.mkdir()
    words = 'for one; do case $one in -c|*=*|--literal*) ;; *) echo "$one"; break;; esac; done'
    shim.write_text(f"#!/bin/sh\n{{ {words}; }} >> '{log}'\nexec '{shutil.which('git')}' \"$@\"\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(shim.parent), os.environ["PATH"]]))

    def count() -> Counter[str]:
        found = Counter(log.read_text().split()) if log.exists() else Counter()
        log.write_text("")
        return found

    return count


# -- what is told ------------------------------------------------------------------------------------


def test_uncommitted_untracked_and_committed_work_meet_by_file_and_line(app: Repo) -> None:
    one, two, three, _ = sessions(app, "one", "two", "three", "four")
    worktree_of(one).write("src/api.py", text((10, "ten"), (30, "thirty")))
    worktree_of(one).write("new.txt", "mine\n")
    worktree_of(two).commit("src/api.py", text((10, "zehn"), (11, "elf")), "german")
    worktree_of(three).write("src/api.py", text((20, "twenty")))
    worktree_of(three).write("new.txt", "yours\n")
    found = told(app)
    assert found["one", "two"] == Verdict(
        Level.CONFLICT, (Contact("src/api.py", "contents", (((10, 10),), ((10, 11),))),)
    )
    assert found["one", "three"].level is Level.CONFLICT
    assert found["one", "three"].files == (Contact("new.txt", "contents", (((1, 1),), ((1, 1),))),)
    assert found["two", "three"] == Verdict(
        Level.SAME_FILE, (Contact("src/api.py", None, (((10, 11),), ((20, 20),))),)
    )
    others = {pair: verdict for pair, verdict in found.items() if "four" in pair or None in pair}
    assert len(others) == 7
    assert set(others.values()) == {CLEAR}


def test_who_conflicts_with_the_parent_is_told_once_and_its_pairs_are_unconfirmed(app: Repo) -> None:
    one, two, three = sessions(app, "one", "two", "three")
    worktree_of(one).write("src/api.py", text((5, "five"), (20, "twenty")))
    worktree_of(two).write("src/api.py", text((20, "zwanzig")))
    worktree_of(three).write("src/api.py", text((35, "x")))
    move_parent(app, "src/api.py", text((5, "cinq")))
    found = told(app)
    assert found["one", None] == Verdict(
        Level.CONFLICT, (Contact("src/api.py", "contents", (((5, 5),), ((5, 5),))),)
    )
    assert found["two", None] == found["three", None] == CLEAR
    assert found["one", "two"].level is Level.UNKNOWN
    assert found["one", "two"].why == "auth-one can't land on feature/auth yet"
    assert found["one", "three"].level is Level.SAME_FILE
    assert found["two", "three"].level is Level.SAME_FILE


def test_two_tips_that_conflict_but_not_on_the_target_are_no_alarm(app: Repo) -> None:
    one, two = sessions(app, "one", "two")
    move_parent(app, "src/api.py", text((5, "cinq")))
    worktree_of(one).git("merge", "--quiet", "feature/auth")
    move_parent(app, "src/api.py", text((5, "five")))
    worktree_of(two).commit("src/api.py", text((5, "five")), "the same")
    worktree_of(one).write("src/api.py", text((5, "cinq"), (30, "thirty")))
    worktree_of(two).write("src/api.py", text((5, "five"), (20, "twenty")))
    assert made(app, "auth-one", "auth-two", target="auth-one~0") == "conflict"  # tip against tip
    assert levels(app) == {("one", "two"): "same-file"}


def test_one_that_is_built_on_the_other_is_in_nobodys_way(app: Repo) -> None:
    one, two = sessions(app, "one", "two")
    worktree_of(one).commit("src/api.py", text((5, "five")), "one")
    worktree_of(two).git("merge", "--quiet", "feature/auth-one")
    worktree_of(two).commit("src/api.py", text((5, "cinq")), "two")
    assert levels(app) == {}


def test_a_file_in_a_renamed_directory_is_asked_about_though_no_path_is_common(app: Repo) -> None:
    one, two, three = sessions(app, "one", "two", "three")
    worktree_of(one).git("mv", "src", "lib")
    worktree_of(two).write("src/more.py", "more\n")
    worktree_of(three).write("lib", "a file\n")
    found = told(app)
    assert found["one", "two"].level is Level.CONFLICT
    assert found["one", "three"].level is Level.CONFLICT


def test_the_attributes_are_those_of_the_parent(app: Repo) -> None:
    """A session's own can't hide a conflict; the parent's decide, whatever lies in the main worktree."""
    move_parent(app, ".gitattributes", "union.txt merge=union\n")
    one, two = sessions(app, "one", "two")
    app.write(".gitattributes", "src/* merge=union\n")
    for session, word in ((one, "a"), (two, "b")):
        worktree_of(session).write("union.txt", f"{word}\n")
        worktree_of(session).write("src/api.py", text((5, word)))
        worktree_of(session).write("src/.gitattributes", "*.py merge=union\n")
    verdict = told(app)["one", "two"]
    assert verdict.level is Level.CONFLICT
    assert [contact.path for contact in verdict.files] == ["src/api.py"]


def test_an_odd_answer_is_unknown_and_asked_again(
    app: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for session, word in zip(sessions(app, "one", "two"), ("a", "b"), strict=True):
        worktree_of(session).write("src/api.py", text((5, word)))
    shim = tmp_path / "shim" / "git"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\n[ "$1" = merge-tree ] && exit 0\nexec "{shutil.which("git")}" "$@"\n')
    shim.chmod(0o755)
    with monkeypatch.context() as here:
        here.setenv("PATH", os.pathsep.join([str(shim.parent), os.environ["PATH"]]))
        assert told(app)["one", "two"] == Verdict(
            Level.UNKNOWN, why="git merge-tree: it ended with 0 and no tree"
        )
    assert levels(app) == {("one", "two"): "conflict"}


# -- what can't be seen ------------------------------------------------------------------------------


def test_where_work_can_not_be_read_nothing_is_clear(app: Repo) -> None:
    one, two, _ = sessions(app, "one", "two", "three")
    worktree_of(one).commit("notes.txt", "mine\n", "notes")
    worktree_of(one).write(".gitattributes", "*.py filter=bad\n")
    app.git("config", "filter.bad.clean", "false")
    app.git("config", "filter.bad.required", "true")
    worktree_of(one).write("src/api.py", text((5, "five")))
    worktree_of(two).commit("notes.txt", "yours\n", "notes")
    for _ in range(2):
        assert levels(app) == {
            ("one", None): "unknown",
            ("one", "two"): "conflict",  # what is committed tells
            ("one", "three"): "unknown",
        }
    assert "only what is committed is compared" in notes(app)["auth-one"]
    assert "clean filter 'bad' failed" in str(told(app)["one", "three"].why)


def test_a_repository_within_a_worktree_is_left_out_and_told(app: Repo) -> None:
    one, two = sessions(app, "one", "two")
    for session, word in ((one, "a"), (two, "b")):
        worktree_of(session).write("src/api.py", text((5, word)))
    Repo.create(one.worktree / "inner").write("file", "not committed yet")
    Repo.create(two.worktree / "other").commit("file", "x", "x")
    assert levels(app) == {("one", "two"): "conflict"}
    assert notes(app) == {"auth-one": "left out: 'inner/' does not have a commit checked out"}


def test_what_is_gone_is_unknown_and_what_is_elsewhere_is_told(app: Repo) -> None:
    one, two, three, _ = sessions(app, "one", "two", "three", "four")
    worktree_of(one).commit("src/api.py", text((5, "five")), "one")
    worktree_of(two).commit("src/api.py", text((5, "cinq")), "two")
    shutil.rmtree(one.worktree)
    worktree_of(two).git("switch", "--quiet", "--detach")
    worktree_of(three).git("switch", "--quiet", "--detach")
    app.git("branch", "-D", "feature/auth-three")
    assert levels(app) == {
        ("one", None): "unknown",
        ("three", None): "unknown",
        ("one", "two"): "conflict",
        ("one", "three"): "unknown",
        ("one", "four"): "unknown",
        ("two", "three"): "unknown",
        ("three", "four"): "unknown",
    }
    assert list(notes(app)) == ["auth-one", "auth-two", "auth-three"]
    app.git("update-ref", "-d", "refs/heads/feature/auth")
    assert {verdict.why for verdict in told(app).values()} == {"parent feature/auth is gone"}


def test_one_without_a_common_commit_is_unknown(app: Repo) -> None:
    one, _ = sessions(app, "one", "two")
    worktree_of(one).git("switch", "--quiet", "--orphan", "alien")
    worktree_of(one).commit("x", "x", "x")
    worktree_of(one).git("branch", "--force", "feature/auth-one", "HEAD")
    worktree_of(one).git("switch", "--quiet", "feature/auth-one")
    assert told(app)["one", None].why == "auth-one: it has no commit in common with feature/auth"
    assert told(app)["one", "two"].level is Level.UNKNOWN


def test_there_has_to_be_a_session(app: Repo, wts: Wts) -> None:
    assert wts("radar").status == 6
    one = a_session(app, "auth-one")
    assert wts("radar", "other").status == 6
    assert told(app) == told(app, "auth") == told(app, "feature/auth") == {("one", None): CLEAR}
    closed(app, one)
    with pytest.raises(NothingToDo):
        told(app)


# -- nothing is touched ------------------------------------------------------------------------------


def locked(worktree: Repo) -> None:
    Path(worktree.git("rev-parse", "--absolute-git-dir"), "index.lock").write_text("")


def conflicted(worktree: Repo) -> None:
    for name, word in (("left", "l"), ("right", "r")):
        worktree.git("switch", "--quiet", "--create", name, "HEAD~0" if name == "left" else "left~1")
        worktree.commit("other.txt", word, name)
    worktree.git("branch", "--force", Path(worktree.path).name, "HEAD")
    worktree.git("switch", "--quiet", "feature/auth-one")
    worktree.git("reset", "--quiet", "--hard", "right")
    subprocess.run(["git", "merge", "--quiet", "left"], cwd=worktree.path, capture_output=True, check=False)
    assert "UU" in worktree.git("status", "--porcelain") or "AA" in worktree.git("status", "--porcelain")


def intended(worktree: Repo) -> None:
    worktree.write("intended.txt", "later\n")
    worktree.git("add", "--intent-to-add", "intended.txt")


def split(worktree: Repo) -> None:
    worktree.git("config", "core.splitIndex", "true")
    worktree.git("update-index", "--split-index")


def sparse(worktree: Repo) -> None:
    worktree.git("sparse-checkout", "set", "--sparse-index", "src")
    worktree.write("outside/of.txt", "the cone\n")


def hooked(worktree: Repo) -> None:
    hook = Path(worktree.git("rev-parse", "--path-format=absolute", "--git-path", "hooks/post-index-change"))
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch '{worktree.path}/hook-ran'\n")
    hook.chmod(0o755)


@pytest.mark.parametrize("condition", [None, locked, conflicted, intended, split, sparse, hooked])
def test_index_files_objects_and_refs_stay_as_they_were(
    app: Repo, condition: Callable[[Repo], None] | None
) -> None:
    app.commit("docs/a.txt", "a\n", "docs")
    one, two = sessions(app, "one", "two")
    if condition:
        condition(worktree_of(one))
    worktree_of(one).write("src/api.py", text((5, "five")))
    worktree_of(one).write("new.txt", "new\n")
    worktree_of(two).write("src/api.py", text((5, "cinq")))

    def world() -> tuple[object, ...]:
        common = picture(app.path / ".git", skip=("wts",))
        return picture(one.worktree, skip=()), picture(two.worktree, skip=()), common, refs(app)

    before = world()
    assert told(app)["one", "two"].level is Level.CONFLICT
    assert [contact.path for contact in told(app)["one", "two"].files] == ["src/api.py"]
    assert list(notes(app)) == (["auth-one"] if condition is conflicted else [])
    assert world() == before


# -- kept between two runs ---------------------------------------------------------------------------


def test_a_second_look_starts_no_merge_and_a_changed_session_only_its_own(
    app: Repo, merges: Callable[[], Counter[str]]
) -> None:
    work = [worktree_of(session) for session in sessions(app, "one", "two", "three", "four", "five")]
    for number, worktree in enumerate(work[:4]):
        worktree.write("src/api.py", text((5 * (number + 1), f"by {number}"), (39, f"by {number % 2}")))
    work[4].write("far.txt", "away\n")
    move_parent(app, "other.txt", "x\n")
    merges()
    first = told(app)
    assert merges()["merge-tree"] == 5 + 6
    pause_for_the_clock(work)
    assert told(app) == first
    assert merges()["merge-tree"] == 0
    assert told(app) == first
    count = merges()
    assert (count["merge-tree"], count["add"], count["diff-tree"]) == (0, 0, 1)
    work[0].write("src/api.py", text((39, "again")))
    told(app)
    assert merges()["merge-tree"] == 5 + 3
    (app.path / ".git/wts/radar.json").write_text(
        '{"schema": 1, "parents": {"feature/auth": {"verdicts": 3}}}'
    )
    merges()
    told(app)
    assert merges()["merge-tree"] == 5 + 6


def pause_for_the_clock(work: list[Repo]) -> None:
    """Wait until what is written now would have another time than what is there."""
    probe = work[0].path.parent / "probe"
    newest = max(os.stat(file).st_ctime_ns for one in work for file in one.path.rglob("*"))

    def has_moved() -> bool:
        probe.write_text("")
        return probe.stat().st_ctime_ns > newest + 2 * radar.TICK

    eventually(has_moved, "a later time")


def test_disjoint_sessions_cost_no_merge_at_all(app: Repo, merges: Callable[[], Counter[str]]) -> None:
    for session in sessions(app, "one", "two", "three"):
        worktree_of(session).write(f"{session.purpose}.txt", "mine\n")
    merges()
    assert levels(app) == {}
    assert merges()["merge-tree"] == 0


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"schema": 1, "parents": {"feature/auth": {"marks": [3]}}}', b"\xff"]
)
def test_a_spoilt_cache_is_none(app: Repo, wts_inline: Wts, content: bytes) -> None:
    for session, word in zip(sessions(app, "one", "two"), ("a", "b"), strict=True):
        worktree_of(session).write("src/api.py", text((5, word)))
    (app.path / ".git/wts/radar.json").write_bytes(content)
    assert wts_inline("list").status == 0
    assert levels(app) == {("one", "two"): "conflict"}


def test_the_list_marks_a_conflict_as_long_as_it_is_there(
    app: Repo, wts_inline: Wts, merges: Callable[[], Counter[str]]
) -> None:
    one, two, _ = sessions(app, "one", "two", "three")
    for session, word in ((one, "a"), (two, "b")):
        worktree_of(session).write("src/api.py", text((5, word)))
    pause_for_the_clock([worktree_of(one), worktree_of(two)])

    def marked() -> dict[str, tuple[str, ...]]:
        looks = list_sessions(project_of(app)).looks
        return {look.session.purpose: look.rivals for look in looks if look.rivals}

    assert marked() == {}
    told(app)
    worktree_of(one).write("other.txt", "elsewhere\n")
    merges()
    assert marked() == {"one": ("auth-two",), "two": ("auth-one",)}
    out = wts_inline("list").out
    assert out.count("= ✗") == 2
    assert "✗ in conflict: auth-one, auth-two: wts radar" in out
    assert merges()["merge-tree"] == 0
    worktree_of(one).write("src/api.py", text((5, "aa")))
    assert marked() == {}
    pause_for_the_clock([worktree_of(one)])
    told(app)
    assert set(marked()) == {"one", "two"}
    move_parent(app, "other.txt", "x\n")
    assert marked() == {}


# -- the truth ---------------------------------------------------------------------------------------


def made(repo: Repo, one: str, other: str, target: str = "target") -> str:
    """What `git merge` makes of two branches of a throw-away clone, one after the other: clean, first, conflict."""
    clone = Repo(repo.path.parent / "clone")
    if not clone.path.exists():
        repo.git("clone", "--quiet", "--shared", str(repo.path), str(clone.path))
    for name in (one, other):
        if not name.startswith("as-"):
            clone.git("fetch", "--quiet", "origin", f"+refs/heads/feature/{name}:refs/heads/{name}")
    clone.git("checkout", "--quiet", "--force", "--detach", target)
    for name, answer in ((one, "first"), (other, "conflict")):
        words = ["git", "-c", "merge.stat=false", "merge", "--quiet", "--no-edit", name]
        done = subprocess.run(words, cwd=clone.path, capture_output=True, check=False)
        if done.returncode:
            clone.git("reset", "--quiet", "--hard")
            clone.git("clean", "-ffdxq")
            return answer
    return "clean"


def test_the_radar_agrees_with_what_git_merge_does(app: Repo) -> None:
    """Random edits, committed or not, on a parent that moved: each pair merged for real, one after the other."""
    seed = int(os.environ.get("RADAR_SEED", "5"))
    everyone = sessions(app, "one", "two", "three", "four")
    for name in ("a", "b", "c"):
        app.commit(f"{name}/{name}.txt", text(lines=[f"{name} {line}" for line in LINES[:12]]), name)
    seen: Counter[str] = Counter()
    for number in range(int(os.environ.get("RADAR_ROUNDS", "5"))):
        seen += _one_round(app, everyone, seed * 1000 + number)
    assert min(seen["conflict"], seen["same-file"], seen["clear"]) > 0, seen


def _one_round(app: Repo, everyone: list[Session], seed: int) -> Counter[str]:
    dice = random.Random(seed)
    start = app.tip("main")
    app.git("update-ref", "refs/heads/feature/auth", start)
    edit_parent = dice.random() < 0.7
    for session in everyone:
        worktree = worktree_of(session)
        worktree.git("reset", "--quiet", "--hard", start)
        worktree.git("clean", "-ffdxq")
    if edit_parent:
        place = Repo(app.path.parent / "elsewhere")
        app.git("worktree", "add", "--quiet", "--detach", str(place.path), start)
        _scramble(place, dice)
        place.git("add", "--all")
        place.git("commit", "--quiet", "--allow-empty", "-m", "parent")
        app.git("update-ref", "refs/heads/feature/auth", place.tip("HEAD"))
        app.git("worktree", "remove", "--force", str(place.path))
    for session in everyone:
        worktree = worktree_of(session)
        if dice.random() < 0.3:
            worktree.git("merge", "--quiet", "feature/auth")
        for _ in range(dice.randint(1, 2)):
            _scramble(worktree, dice)
            if dice.random() < 0.5:
                worktree.git("add", "--all")
                worktree.git("commit", "--quiet", "--allow-empty", "-m", "work")
    found = told(app)
    clone = Repo(app.path.parent / "clone")
    shutil.rmtree(clone.path, ignore_errors=True)
    app.git("clone", "--quiet", "--shared", str(app.path), str(clone.path))
    clone.git("fetch", "--quiet", "origin", "+refs/heads/feature/auth:refs/heads/target")
    for session in everyone:
        _bring(session, clone)
    for (one, other), verdict in found.items():
        real = made(app, f"as-{one}", f"as-{other or one}")
        assert _agrees(verdict, real, found, one, other), (seed, one, other, verdict, real)
    return Counter(verdict.level.value for verdict in found.values())


def _agrees(verdict: Verdict, real: str, found: Told, one: str, other: str | None) -> bool:
    if other is None:
        return verdict.level is (Level.CONFLICT if real == "first" else Level.CLEAR)
    if Level.CONFLICT in (found[one, None].level, found[other, None].level):
        return verdict.level is not Level.CONFLICT
    return (verdict.level is Level.CONFLICT) == (real == "conflict") and verdict.level is not Level.UNKNOWN


def _bring(session: Session, clone: Repo) -> None:
    """Commit a session's files as they are, in the clone."""
    clone.git("fetch", "--quiet", "origin", f"+refs/heads/{session.branch}:refs/heads/as-{session.purpose}")
    clone.git("checkout", "--quiet", "--force", f"as-{session.purpose}")
    clone.git("rm", "-r", "--quiet", "--force", "--ignore-unmatch", ".")
    shutil.copytree(
        session.worktree,
        clone.path,
        symlinks=True,
        dirs_exist_ok=True,
        ignore=lambda _, names: {".git"} & set(names),
    )
    clone.git("add", "--all")
    clone.git("commit", "--quiet", "--allow-empty", "-m", "as it is")


def _scramble(worktree: Repo, dice: random.Random) -> None:
    """Change something, as a session might."""
    names = [row for row in worktree.git("ls-files").splitlines() if (worktree.path / row).is_file()]
    files = sorted(name for name in names if name.endswith(".txt"))
    name = dice.choice(files)
    file = worktree.path / name
    change = dice.choice(["edit", "edit", "edit", "add", "remove", "rename", "move", "mode"])
    if change == "edit":
        lines = file.read_text().splitlines()
        at = dice.randrange(len(lines))
        lines[at : at + dice.randint(0, 2)] = [f"{dice.randint(0, 99)}"] * dice.randint(1, 2)
        file.write_text("\n".join(lines) + "\n")
    elif change == "add":
        with contextlib.suppress(OSError):  # a file is where it needs a directory
            worktree.write(
                dice.choice(["a/new.txt", "b/new.txt", "c/new.txt", "a", "new/x.txt"]), f"{dice.random()}\n"
            )
    elif change == "remove":
        file.unlink()
    elif change == "rename":
        file.rename(file.with_name(dice.choice(["x.txt", "y.txt"])))
    elif change == "move":
        with contextlib.suppress(OSError):
            file.parent.rename(worktree.path / dice.choice(["d", "e"]))
    else:
        file.chmod(0o755)


# -- which pairs, which lines ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"a": "M"}, {"b": "M"}, False),
        ({"a": "M"}, {"a": "M"}, True),
        ({"a": "A"}, {"a/b": "A"}, True),
        ({"a/b/c": "M"}, {"a/b": "A"}, True),
        ({"ab": "A"}, {"a/b": "A"}, False),
        ({"old/x": "D", "new/x": "A"}, {"old/y": "A"}, True),
        ({"old/sub/x": "D", "new/sub/x": "A"}, {"old/y": "A"}, True),
        ({"old/x": "D", "new/x": "A"}, {"old/y": "M"}, False),
        ({"old/x": "D"}, {"old/y": "A"}, True),
        ({"x": "D", "sub/x": "A"}, {"y": "A"}, True),
        ({}, {"y": "A"}, False),
    ],
)
def test_only_changes_that_can_meet_are_asked_about(
    one: dict[str, str], other: dict[str, str], expected: bool
) -> None:
    assert meet(one, other) is meet(other, one) is expected


def test_lines_are_where_the_two_touch_else_all() -> None:
    ours = [Hunk((5, 1), (5, 2)), Hunk((30, 0), (31, 4))]
    theirs = [Hunk((6, 2), (6, 0)), Hunk((20, 1), (20, 1))]
    assert lines_of(ours, theirs, is_one_ground=True) == (((5, 6),), ((6, 6),))
    assert lines_of(ours, theirs[1:], is_one_ground=True) == (((5, 6), (31, 34)), ((20, 20),))
    assert lines_of(ours, theirs, is_one_ground=False) == (((5, 6), (31, 34)), ((6, 6), (20, 20)))


def test_hunks_are_those_of_the_file_whatever_it_is_called(repo: Repo) -> None:
    odd = 'wei"rd\né.txt'
    repo.write("link", "to be a link\n")
    repo.write(odd, "1\n2\n")
    repo.write("diff --git a", "1\ndiff --git b\n")
    repo.git("add", "--all")
    repo.git("commit", "--quiet", "-m", "before")
    repo.write(odd, "1\ntwo\n3\n")
    repo.write("diff --git a", "diff --git b\n")
    (repo.path / "link").unlink()
    (repo.path / "link").symlink_to("README.md")
    (repo.path / "README.md").unlink()
    repo.git("add", "--all")
    repo.git("commit", "--quiet", "-m", "after")
    between = (Oid(repo.tip("HEAD~1")), Oid(repo.tip("HEAD")))
    git = project_of(repo).git
    found = hunks_between(git, {between: [odd, "link", "diff --git a", "README.md", "*"]})[between]
    lines = {path: [hunk.lines for hunk in hunks] for path, hunks in found.items()}
    assert lines == {
        odd: [(2, 3)],
        "link": [None, (1, 1)],
        "diff --git a": [None],
        "README.md": [None],
    }


# -- how it is shown ---------------------------------------------------------------------------------


def a_scan(count: int, *, conflicts: tuple[tuple[int, int], ...] = (), path: str = "src/api.py") -> Scan:
    everyone = tuple(a_look(n, f"auth-purpose-{n}").session for n in range(1, count + 1))
    bad = Verdict(Level.CONFLICT, (Contact(path, "contents", (((1, 3), (9, 9)), ((2, 2),))),))
    alone = [Pair(session, None, CLEAR) for session in everyone]
    pairs = [
        Pair(a, b, bad if (a.number, b.number) in conflicts else CLEAR)
        for index, a in enumerate(everyone)
        for b in everyone[index + 1 :]
    ]
    return Scan(parent=BranchName("feature/auth"), target=None, sessions=everyone, pairs=(*alone, *pairs))


@pytest.mark.parametrize("count", [1, 2, 10, 12, 20, 40])
@pytest.mark.parametrize("width", [80, 120, 40])
def test_the_matrix_fits_and_each_mark_stands_below_its_number(count: int, width: int) -> None:
    conflicts = ((1, 2), (2, count)) if count > 2 else ()
    lines = radar_text([a_scan(count, conflicts=conflicts)], width=width, color=False).splitlines()
    assert max(map(len, lines)) <= width
    head = lines[1]
    rows = {line.split()[0]: line for line in lines[2 : count + 2] if re.match(r" *\d+  ", line)}
    for a, b in (*conflicts, *(pair[::-1] for pair in conflicts)):
        if str(a) in rows and f" {b} " in head:
            assert rows[str(a)][head.index(f" {b} ") + len(str(b))] == "✗"
    if conflicts:
        assert {"1", "2", str(count)} <= set(rows)
    assert len(rows) == count or "for which there is no room" in " ".join(lines)


def test_one_line_for_each_conflict_and_no_colour_alone() -> None:
    scan = a_scan(4, conflicts=((1, 2), (2, 3)), path="src/\x1b[31mapi.py")
    plain = radar_text([scan], width=100, color=False)
    assert plain.splitlines()[6:] == [
        "✗ 1 auth-purpose-1 and 2 auth-purpose-2: src/api.py, lines 1-3, 9 and 2; also 3 auth-purpose-3",
        "✗ 2 auth-purpose-2 and 3 auth-purpose-3: src/api.py, lines 1-3, 9 and 2; also 1 auth-purpose-1",
        "",
        "✗ conflict   · clear",
    ]
    coloured = radar_text([scan], width=100, color=True)
    assert "\x1b[1;31m✗\x1b[0m" in coloured
    assert "no conflict among 3 sessions" in radar_text([a_scan(3)], width=80, color=False)


def test_the_command_tells_people_and_programs(app: Repo, wts: Wts) -> None:
    for session, word in zip(sessions(app, "one", "two"), ("a", "b"), strict=True):
        worktree_of(session).write("src/api.py", text((5, word)))
    shown = wts("radar")
    assert (shown.status, shown.err) == (0, "")
    assert shown.out.splitlines() == [
        "→ feature/auth",
        "#  session   1 2 parent",
        "1  auth-one    ✗ ·",
        "2  auth-two  ✗   ·",
        "✗ 1 auth-one and 2 auth-two: src/api.py, lines 5 and 5",
        "",
        "✗ conflict   · clear",
    ]
    data = wts("radar", "auth", "--json").json["data"]
    assert (data["conflicts"], data["notes"]) == (1, [])
    assert data["pairs"][-1] == {
        "parent": "feature/auth",
        "a": "auth-one",
        "b": "auth-two",
        "level": "conflict",
        "files": [{"path": "src/api.py", "kind": "contents", "lines": {"a": [[5, 5]], "b": [[5, 5]]}}],
        "why": None,
    }
    assert [pair["b"] for pair in data["pairs"]] == [None, None, "auth-two"]


# -- live --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_on_a_pipe_each_new_conflict_is_told_once(app: Repo, options: tuple[str, ...]) -> None:
    one, two = sessions(app, "one", "two")
    words = [sys.executable, "-m", "worktree_sessions", "radar", "--watch", *options]
    for session, word in ((one, "a"), (two, "b")):
        worktree_of(session).write("src/api.py", text((5, word)))
    with subprocess.Popen(words, cwd=app.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        worktree_of(one).write("other.txt", "a\n")
        worktree_of(two).write("other.txt", "b\n")
        second = process.stdout.readline()
        process.stdout.close()
        process.wait(timeout=60)
    assert [_path(first), _path(second)] == ["src/api.py", "other.txt"]


def _path(line: bytes) -> str:
    if line.startswith(b"{"):
        told: dict[str, Any] = json.loads(line)
        return str(told["file"]["path"])
    return line.decode().partition(": ")[2].partition(",")[0]


@needs_tmux
def test_on_a_terminal_it_is_drawn_again_and_q_ends_it(
    app: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_wts_on_path(tmp_path / "bin")
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]]))
    one, two = sessions(app, "one", "two")
    worktree_of(one).write("src/api.py", text((5, "a")))
    shell = Shell(app.path)
    number = shell.start("wts radar --watch")
    shell.wait_for("no conflict among 2 sessions")
    worktree_of(two).write("src/api.py", text((5, "b")))
    shell.wait_for("✗ 1 auth-one and 2 auth-two")
    shell.key("q")
    assert shell.status(number) == 0
    assert "✗" not in shell.screen()
