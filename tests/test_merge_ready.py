"""`wts merge-ready`: what lands, what stays and why, and that nothing else moves. Real git, real commands."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result, Wts
from tests.support.claude_cli import eventually
from tests.support.moves import tip_of
from tests.support.repos import Repo
from tests.support.sessions import a_session, picture, project_of, records, refs, worktree_of
from tests.test_kill import dies, is_sound
from worktree_sessions.actions import merge_ready, mergeplan, messages
from worktree_sessions.actions.mergeplan import Order
from worktree_sessions.errors import Refused, WtsError
from worktree_sessions.model.session import Session

TARGET = "feature/auth"
LINES = "".join(f"line {number}\n" for number in range(1, 10))


def ready(repo: Repo, name: str, path: str, content: str) -> Session:
    """Make a session that has committed a file and rests."""
    session = a_session(repo, name)
    worktree_of(session).commit(path, content, f"{name} writes {path}")
    return session


def changed_line(number: int, to: str) -> str:
    return LINES.replace(f"line {number}\n", f"{to}\n")


def rivals(repo: Repo) -> tuple[Session, Session, Session]:
    """Three ready sessions, of which the first two change the same line."""
    repo.commit("form", LINES, "form")
    one = ready(repo, "auth-one", "form", changed_line(3, "by one"))
    two = ready(repo, "auth-two", "form", changed_line(3, "by two"))
    return one, two, ready(repo, "auth-three", "three", "3\n")


def outcomes(result: Result) -> dict[str, str]:
    """What became of each session, by its name, from the JSON."""
    return {row["name"]: row["outcome"] for one in result.json["data"]["features"] for row in one["sessions"]}


def row_of(result: Result, name: str) -> dict[str, Any]:
    rows = [row for one in result.json["data"]["features"] for row in one["sessions"] if row["name"] == name]
    assert len(rows) == 1
    return dict(rows[0])


def record_of(repo: Repo, session: Session) -> Session:
    found = project_of(repo).store.load(session.name)
    assert found is not None
    return found


def objects(repo: Repo) -> dict[str, Any]:
    return picture(repo.path / ".git" / "objects", skip=())


def is_up_to_date(repo: Repo) -> bool:
    return repo.git("status", "--porcelain", "--ignored") == ""


# -- what lands ------------------------------------------------------------------------------------


def test_what_is_ready_lands_with_a_merge_commit_each(repo: Repo, wts: Wts) -> None:
    one = ready(repo, "auth-one", "one", "1\n")
    two = ready(repo, "auth-two", "two", "2\n")
    base = repo.tip(TARGET)

    done = wts("merge-ready", "--yes")

    assert done.status == 0, done.err
    log = repo.git("log", "--first-parent", "--format=%s|%an <%ae>|%cn|%P", f"{base}..{TARGET}").splitlines()
    landed = [two, one]
    tips = [repo.tip(session.branch) for session in landed]
    commits = repo.git("rev-list", "--first-parent", f"{base}..{TARGET}").splitlines()
    assert [line.split("|")[0] for line in log] == [
        f"Merge session {session.number}, {session.name}" for session in landed
    ]
    assert {line.split("|")[1] for line in log} == {"Ada Tester <ada@example.org>"}
    assert {line.split("|")[2] for line in log} == {"Ada Tester"}
    assert [line.split("|")[3] for line in log] == [f"{commits[1]} {tips[0]}", f"{base} {tips[1]}"]
    trailers = repo.git("log", "-1", "--format=%(trailers:only,unfold)", TARGET)
    assert trailers.split("\n")[:3] == [
        f"Wts-Session: auth-two ({two.number})",
        "Wts-Purpose: two",
        "Wts-Tested: no",
    ]
    assert repo.git("ls-tree", "--name-only", TARGET).splitlines() == ["README.md", "one", "two"]
    assert [name for name in refs(repo) if name.startswith("refs/wts/land/")] == []
    assert done.out.splitlines()[0] == f"✓ 2 sessions landed on {TARGET}, {base[:9]} → {repo.tip(TARGET)[:9]}"
    assert done.out.splitlines()[-1].startswith("undo: wts undo ")


def test_a_conflict_is_held_back_with_its_files_and_its_rival(repo: Repo, wts_inline: Wts) -> None:
    one, two, three = rivals(repo)

    done = wts_inline("merge-ready", "--yes", "--json")

    assert done.status == 4
    assert outcomes(done) == {"auth-one": "landed", "auth-two": "conflict", "auth-three": "landed"}
    told = "left out by the last merge-ready: auth-two: wts merge-ready --dry-run"
    assert told in wts_inline("list").out.splitlines()
    assert "the last merge-ready left it out" in wts_inline("why", "auth-two").out
    assert "left it out" not in wts_inline("why", "auth-one").out
    row = row_of(done, "auth-two")
    assert (row["files"], row["rival"], row["hint"]) == (["form"], "auth-one", f"wts resolve {two.number}")
    assert row["reason"] == "conflicts with auth-one"
    assert tip_of(repo, TARGET) == done.json["data"]["features"][0]["after"]
    assert record_of(repo, two).held_back is not None
    assert (record_of(repo, one).held_back, record_of(repo, three).held_back) == (None, None)
    (kept,) = messages.kept(project_of(repo), two)
    assert "conflicts with auth-one.\n  form\n" in kept.read_text()
    assert f"git merge {TARGET}" in kept.read_text()


def test_a_conflict_with_the_feature_itself_names_it_and_one_brief_is_enough(
    repo: Repo, wts_inline: Wts
) -> None:
    _, two, _ = rivals(repo)
    wts_inline("merge-ready", "--yes")
    since = record_of(repo, two).held_back
    before = repo.tip(TARGET)

    again = wts_inline("merge-ready", "--json")

    assert again.status == 4  # nothing is left to ask for
    assert repo.tip(TARGET) == before
    four = ready(repo, "auth-four", "four", "4\n")
    with_another = wts_inline("merge-ready", "--json", "--yes", "--order", str(four.number))
    assert outcomes(with_another)["auth-four"] == "landed"
    for told in (again, with_another):
        assert row_of(told, "auth-two")["reason"] == f"conflicts with {TARGET}"
        assert row_of(told, "auth-two")["rival"] is None
    assert record_of(repo, two).held_back == since
    (kept,) = messages.kept(project_of(repo), two)
    assert f"conflicts with {TARGET}" in kept.read_text()


def test_who_was_held_back_is_remembered_until_it_lands(repo: Repo, wts_inline: Wts) -> None:
    _, two, _ = rivals(repo)
    wts_inline("merge-ready", "--yes")
    tree = worktree_of(two)
    tree.git("merge", "-X", "ours", "--no-edit", TARGET)

    done = wts_inline("merge-ready", "--yes")

    assert done.status == 0
    assert "(held back before, so first now)" in " ".join(done.err.split())
    assert repo.git("show", f"{TARGET}:form") + "\n" == changed_line(3, "by two")
    assert record_of(repo, two).held_back is None
    assert messages.kept(project_of(repo), two) == []


def test_who_is_not_ready_is_named_with_the_cure(repo: Repo, wts_inline: Wts) -> None:
    session = ready(repo, "auth-one", "one", "1\n")
    worktree_of(session).write("notes", "not committed\n")
    ready(repo, "auth-two", "two", "2\n")

    done = wts_inline("merge-ready", "--yes", "--json")

    assert done.status == 0
    row = row_of(done, "auth-one")
    assert (row["outcome"], row["code"], row["reason"]) == ("blocked", "untracked", "1 untracked: notes")
    assert row["hint"].startswith(f"git -C {session.worktree} add -A")
    assert outcomes(done)["auth-two"] == "landed"
    assert (session.worktree / "notes").read_text() == "not committed\n"


def test_nothing_ready_is_exit_6_with_the_reasons(repo: Repo, wts_inline: Wts) -> None:
    assert wts_inline("merge-ready", "--yes").status == 6
    a_session(repo, "auth-one")
    done = wts_inline("merge-ready", "--yes", "--json")
    assert (done.status, done.json["errors"][0]["code"]) == (6, "nothing-ready")
    assert row_of(done, "auth-one")["code"] == "empty"
    assert "not ready: it has no commit of its own" in wts_inline("merge-ready", "--yes").err


def test_only_skip_and_order(repo: Repo, wts_inline: Wts) -> None:
    some = [ready(repo, f"auth-{name}", name, "x\n") for name in ("one", "two", "three")]
    one, two, three = (str(session.number) for session in some)

    def order(*words: str) -> list[int]:
        data = wts_inline("merge-ready", "--dry-run", "--json", *words).json["data"]
        return [number for feature in data["features"] for number in feature["order"]]

    assert order() == [1, 2, 3]
    assert order("--only", f"{three},{one}") == [1, 3]
    assert order("--skip", two) == [1, 3]
    assert order("--order", f"{three},{two}") == [3, 2, 1]
    assert wts_inline("merge-ready", "--only", "9").err == "error: no session 9\nhint: wts list\n"
    assert wts_inline("merge-ready", "--only", "one").status == 2
    assert wts_inline("merge-ready", "nothing-like-it").status == 1


def test_who_comes_after_another_waits_for_it(repo: Repo, wts_inline: Wts) -> None:
    one, two, three = rivals(repo)
    assert wts_inline("ready", three.name, "--after", two.name).status == 0

    done = wts_inline("merge-ready", "--yes", "--json")

    assert outcomes(done) == {"auth-one": "landed", "auth-two": "conflict", "auth-three": "skipped"}
    assert row_of(done, "auth-three")["reason"] == "comes after auth-two, which does not come home now"
    assert record_of(repo, three).held_back is None
    left = wts_inline("merge-ready", "--yes", "--json", "--skip", str(two.number))
    assert (left.status, outcomes(left)["auth-three"]) == (6, "skipped")
    assert wts_inline("hold", one.name).status == 0


def test_nobody_brings_another_home_who_is_held(repo: Repo, wts_inline: Wts) -> None:
    """A session that stands on another's commits comes after it, told or not."""
    one = ready(repo, "auth-one", "one", "1\n")
    two = a_session(repo, "auth-two")
    worktree_of(two).git("merge", "-q", "--ff-only", one.branch)
    worktree_of(two).commit("two", "2\n", "two")
    assert wts_inline("hold", one.name, "waiting for design").status == 0

    held = wts_inline("merge-ready", "--yes", "--json")
    assert (held.status, outcomes(held)) == (6, {"auth-two": "skipped", "auth-one": "blocked"})

    assert wts_inline("hold", one.name, "--off").status == 0
    done = wts_inline("merge-ready", "--yes", "--json")
    assert done.json["data"]["features"][0]["order"] == [one.number, two.number]


def test_all_or_nothing(repo: Repo, wts_inline: Wts) -> None:
    rivals(repo)
    before = repo.tip(TARGET)
    done = wts_inline("merge-ready", "--yes", "--json", "--all-or-nothing")
    assert done.status == 4
    assert set(outcomes(done).values()) == {"conflict", "skipped"}
    assert (repo.tip(TARGET), done.json["data"]["operation"]) == (before, None)


def test_several_features_move_in_one_operation_and_a_lost_parent_stops_nobody(
    repo: Repo, wts_inline: Wts
) -> None:
    ready(repo, "auth-one", "one", "1\n")
    ready(repo, "billing-one", "bill", "1\n")
    ready(repo, "search-one", "search", "1\n")
    repo.git("update-ref", "-d", "refs/heads/feature/search")
    before = refs(repo)

    done = wts_inline("merge-ready", "--yes", "--json")

    assert (done.status, outcomes(done)) == (0, {"auth-one": "landed", "billing-one": "landed"})
    moved = {
        name for name, oid in refs(repo).items() if name.startswith("refs/heads/") and before.get(name) != oid
    }
    assert moved == {"refs/heads/feature/auth", "refs/heads/feature/billing"}
    gone = wts_inline("merge-ready", "search", "--yes", "--json")
    assert (gone.status, row_of(gone, "search-one")["code"]) == (6, "no-parent")
    assert wts_inline("undo").status == 0
    heads = {name: oid for name, oid in refs(repo).items() if name.startswith("refs/heads/")}
    assert heads == {name: oid for name, oid in before.items() if name.startswith("refs/heads/")}


def test_a_bare_repository(tmp_path: Path, repo: Repo, wts_inline: Wts) -> None:
    repo.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    bare = Repo(tmp_path / "bare.git")
    session = ready(bare, "auth-one", "one", "1\n")
    done = wts_inline("merge-ready", "--yes", "--test", "test -f one", cwd=bare.path)
    assert done.status == 0, done.err
    assert repo.git("-C", str(bare.path), "merge-base", "--is-ancestor", session.branch, TARGET) == ""


# -- what does not move ------------------------------------------------------------------------------


def test_a_dry_run_writes_nothing(repo: Repo, wts_inline: Wts) -> None:
    one, two, three = rivals(repo)
    wts_inline("list")
    trees = [picture(session.worktree, skip=()) for session in (one, two, three)]
    before = refs(repo), records(repo), objects(repo), repo.git("worktree", "list", "--porcelain")

    done = wts_inline("merge-ready", "--dry-run", "--test", "false")

    assert done.status == 0
    assert (refs(repo), records(repo), objects(repo), repo.git("worktree", "list", "--porcelain")) == before
    assert [picture(session.worktree, skip=()) for session in (one, two, three)] == trees
    assert done.out.splitlines() == [
        f"2 of 3 sessions would come home to {TARGET} at {repo.tip(TARGET)[:9]}",
        "  ✓  1 auth-one    1 commit, 1 file, Ada Tester",
        "  ✓  3 auth-three  1 commit, 1 file, Ada Tester",
        f"  ✗  2 auth-two    conflicts with auth-one (wts resolve {two.number}, once that has landed)",
        "       form",
        "  order: the oldest first",
        "  test: false",
    ]


def test_without_a_yes_nothing_moves(repo: Repo, wts: Wts) -> None:
    ready(repo, "auth-one", "one", "1\n")
    before = refs(repo)
    done = wts("merge-ready")
    assert done.status == 2
    assert "--yes" in done.err
    assert refs(repo) == before


@pytest.mark.parametrize("mover", ["session", "feature", "hold"])
def test_a_plan_expires_when_what_it_read_has_moved(repo: Repo, wts_inline: Wts, mover: str) -> None:
    session = ready(repo, "auth-one", "one", "1\n")
    project = project_of(repo)
    plans = mergeplan.plan(project, Order())
    if mover == "session":
        worktree_of(session).commit("more", "more\n", "one more")
    elif mover == "feature":
        repo.git("update-ref", f"refs/heads/{TARGET}", repo.commit("x", "x\n", "x"))
    else:
        assert wts_inline("hold", session.name).status == 0
    before = refs(repo)

    with pytest.raises(Refused) as refused:
        merge_ready.carry_out(project, plans, Order())

    assert refused.value.code == "expired"
    assert refs(repo) == before


def test_a_session_that_is_written_to_meanwhile_is_not_disturbed(repo: Repo, wts_inline: Wts) -> None:
    session = ready(repo, "auth-one", "one", "1\n")
    tree = worktree_of(session)
    writes = f"echo later >{session.worktree}/later; echo changed >{session.worktree}/one; true"

    done = wts_inline("merge-ready", "--yes", "--test", writes)

    assert done.status == 0
    assert repo.git("show", f"{TARGET}:one") == "1"
    assert tree.git("status", "--porcelain").splitlines() == [" M one", "?? later"]
    assert ((tree.path / "one").read_text(), (tree.path / "later").read_text()) == ("changed\n", "later\n")


# -- a feature that is checked out ------------------------------------------------------------------------


def checked_out(repo: Repo) -> Session:
    repo.commit("form", LINES, "form")
    session = ready(repo, "auth-one", "form", changed_line(3, "by one"))
    worktree_of(session).commit("new", "new\n", "a new file")
    repo.git("switch", "-q", TARGET)
    return session


def test_the_worktree_of_the_feature_follows(repo: Repo, wts_inline: Wts) -> None:
    checked_out(repo)
    assert wts_inline("merge-ready", "--yes").status == 0
    assert is_up_to_date(repo)
    assert (repo.path / "new").read_text() == "new\n"
    assert wts_inline("undo").status == 0
    assert is_up_to_date(repo)
    assert not (repo.path / "new").exists()


def test_a_changed_file_that_nothing_touches_stays(repo: Repo, wts_inline: Wts) -> None:
    checked_out(repo)
    repo.write("README.md", "mine\n")
    assert wts_inline("merge-ready", "--yes").status == 0
    assert repo.git("status", "--porcelain") == " M README.md"
    assert (repo.path / "README.md").read_text() == "mine\n"


@pytest.mark.parametrize("tests", [("--no-test",), ("--test", "echo ran >>$WTS_MAIN/../ran")])
@pytest.mark.parametrize(
    ("path", "ignored", "says"),
    [("form", False, "changed"), ("new", False, "untracked"), ("new", True, "ignored")],
)
def test_a_file_in_the_way_is_named_before_any_test_runs(
    repo: Repo, wts_inline: Wts, path: str, ignored: bool, says: str, tests: tuple[str, ...]
) -> None:
    checked_out(repo)
    if ignored:
        (repo.path / ".git" / "info" / "exclude").write_text("new\n")
    repo.write(path, "mine\n")
    before, files = refs(repo), picture(repo.path)
    foretold = wts_inline("merge-ready", "--dry-run", *tests)

    done = wts_inline("merge-ready", "--yes", *tests)

    assert (foretold.status, foretold.err) == (3, done.err.removeprefix(foretold.out))
    assert done.status == 3
    assert path in done.err
    assert says in done.err
    assert (refs(repo), picture(repo.path)) == (before, files)
    assert not (repo.path.parent / "ran").exists()


# -- tests -----------------------------------------------------------------------------------------------


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """The file to which a test command adds a line a run."""
    file = tmp_path / "ran"
    file.touch()
    return file


def runs(ran: Path) -> int:
    return len(ran.read_text().splitlines())


def test_green_together_is_tested_once_and_said(repo: Repo, wts_inline: Wts, ran: Path) -> None:
    ready(repo, "auth-one", "one", "1\n")
    ready(repo, "auth-two", "two", "2\n")
    command = f"echo run >>{ran}; test -f one && test -f two"

    done = wts_inline("merge-ready", "--yes", "--json", "--test", command)

    assert (done.status, runs(ran)) == (0, 1)
    assert done.json["data"]["features"][0]["test_runs"] == 1
    assert f"Wts-Tested: {command}" in repo.git("log", "-1", "--format=%B", TARGET)
    assert wts_inline("undo").status == 0
    again = wts_inline("merge-ready", "--yes", "--test", command)
    assert (again.status, runs(ran)) == (0, 1)  # the tree is known


def test_who_turns_it_red_is_held_back_with_the_log(repo: Repo, wts_inline: Wts) -> None:
    ready(repo, "auth-one", "one", "1\n")
    bad = ready(repo, "auth-bad", "bad", "x\n")
    ready(repo, "auth-two", "two", "2\n")

    done = wts_inline("merge-ready", "--yes", "--json", "--test", "echo looking; test ! -f bad")

    assert done.status == 5
    assert outcomes(done) == {"auth-one": "landed", "auth-two": "landed", "auth-bad": "red"}
    row = row_of(done, "auth-bad")
    assert row["reason"] == "red on its own (status 1)"
    assert "looking" in Path(row["log"]).read_text()
    assert "bad" not in repo.git("ls-tree", "--name-only", TARGET).splitlines()
    (kept,) = messages.kept(project_of(repo), bad)
    assert row["log"] in kept.read_text()
    assert record_of(repo, bad).held_back is not None


def test_a_pair_that_is_red_together_names_the_partner(repo: Repo, wts_inline: Wts) -> None:
    for name in ("one", "two", "three"):
        ready(repo, f"auth-{name}", name, "x\n")
    done = wts_inline("merge-ready", "--yes", "--json", "--test", "! { test -f one && test -f three; }")
    assert done.status == 5
    row = row_of(done, "auth-three")
    assert (row["outcome"], row["rival"]) == ("red", "auth-one")
    assert row["reason"] == "green alone, red together with auth-one"


def test_who_comes_after_a_red_one_does_not_land_without_it(repo: Repo, wts_inline: Wts) -> None:
    bad = ready(repo, "auth-bad", "bad", "x\n")
    two = ready(repo, "auth-two", "two", "2\n")
    assert wts_inline("ready", two.name, "--after", bad.name).status == 0
    done = wts_inline("merge-ready", "--yes", "--json", "--test", "test ! -f bad")
    assert (done.status, outcomes(done)) == (5, {"auth-bad": "red", "auth-two": "skipped"})
    assert row_of(done, "auth-two")["reason"] == "stands on what is held back"


def test_who_conflicts_only_with_a_red_one_lands(repo: Repo, wts_inline: Wts) -> None:
    one, two, three = rivals(repo)
    command = "! grep -q 'by one' form"
    done = wts_inline("merge-ready", "--yes", "--json", "--test", command)
    assert done.status == 5
    assert outcomes(done) == {"auth-one": "red", "auth-two": "landed", "auth-three": "landed"}
    assert repo.git("show", f"{TARGET}:form") + "\n" == changed_line(3, "by two")
    assert set(repo.git("log", "--merges", "--format=%P", f"main..{TARGET}").split()) >= {
        repo.tip(two.branch)
    }
    assert (record_of(repo, two).held_back, record_of(repo, three).held_back) == (None, None)
    assert record_of(repo, one).held_back is not None


def test_a_feature_whose_tests_hang_is_told_as_such(repo: Repo, wts_inline: Wts) -> None:
    ready(repo, "auth-one", "one", "1\n")
    done = wts_inline("merge-ready", "--yes", "--test", "sleep 100", "--test-timeout", "0.2")
    assert done.status == 5
    assert f"{TARGET} is hung by itself, before anything is merged" in done.out
    assert f"not to blame: {TARGET} is hung by itself" in done.out


def test_a_red_feature_is_the_culprit_itself(repo: Repo, wts_inline: Wts) -> None:
    one = ready(repo, "auth-one", "one", "1\n")
    before = repo.tip(TARGET)
    done = wts_inline("merge-ready", "--yes", "--test", "echo broken; false")
    assert done.status == 5
    assert repo.tip(TARGET) == before
    assert f"not to blame: {TARGET} is red by itself" in done.out
    assert f"  {TARGET} is red by itself, before anything is merged; log:\n" in done.out
    assert messages.kept(project_of(repo), one) == []
    assert record_of(repo, one).held_back is None


def test_all_or_nothing_holds_for_red_tests(repo: Repo, wts_inline: Wts) -> None:
    ready(repo, "auth-one", "one", "1\n")
    ready(repo, "auth-bad", "bad", "x\n")
    before = repo.tip(TARGET)
    done = wts_inline("merge-ready", "--yes", "--json", "--all-or-nothing", "--test", "test ! -f bad")
    assert (done.status, outcomes(done)) == (5, {"auth-one": "skipped", "auth-bad": "red"})
    assert repo.tip(TARGET) == before


def test_a_test_that_changes_tracked_files_is_told(repo: Repo, wts_inline: Wts) -> None:
    ready(repo, "auth-one", "one", "1\n")
    done = wts_inline("merge-ready", "--yes", "--test", "echo formatted >>one")
    assert done.status == 0
    assert "  the tests change tracked files: one\n" in done.out
    assert repo.git("show", f"{TARGET}:one") == "1"


def test_gc_in_the_middle_of_a_test_takes_nothing(
    repo: Repo, wts_inline: Wts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GIT_COMMITTER_DATE")  # with the second's pause, a commit made again is another one
    for name in ("one", "bad", "three"):
        ready(repo, f"auth-{name}", name, "x\n")
    command = "sleep 1; git reflog expire --expire=now --all; git gc -q --prune=now; test ! -f bad"
    done = wts_inline("merge-ready", "--yes", "--json", "--test", command)
    assert (done.status, outcomes(done)["auth-three"]) == (5, "landed"), done.err
    repo.git("fsck", "--connectivity-only", "--no-dangling")
    assert [name for name in refs(repo) if name.startswith("refs/wts/land/")] == []


def test_what_a_killed_one_kept_from_gc_is_let_go(repo: Repo, wts_inline: Wts) -> None:
    ready(repo, "auth-one", "one", "1\n")
    dead = subprocess.Popen(["true"])
    dead.wait()
    repo.git("update-ref", f"refs/wts/land/{dead.pid}-abc/x", "HEAD")
    alive = f"refs/wts/land/{os.getpid()}-abc/x"
    repo.git("update-ref", alive, "HEAD")
    assert wts_inline("merge-ready", "--yes").status == 0
    assert [name for name in refs(repo) if name.startswith("refs/wts/land/")] == [alive]


# -- git's odd answers, attributes, messages, signatures -----------------------------------------------------


@pytest.mark.parametrize("answer", ["exit 0", "exit 1", "echo; exit 0", "kill -9 $$", "exit 128"])
def test_an_odd_answer_of_git_stops_the_batch(
    repo: Repo, wts_inline: Wts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    ready(repo, "auth-one", "one", "1\n")
    ready(repo, "auth-two", "two", "2\n")
    before = refs(repo)
    shim = tmp_path / "bin" / "git"
    shim.parent.mkdir()
    real = shutil.which("git")
    shim.write_text(f'#!/bin/sh\nif [ "$1" = merge-tree ]; then {answer}; fi\nexec {real} "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}{os.pathsep}{os.environ['PATH']}")

    done = wts_inline("merge-ready", "--yes", "--json")

    assert (done.status, done.json["errors"][0]["code"]) == (1, "unknown-merge")
    assert done.json["errors"][0]["session"] == "auth-one"
    assert refs(repo) == before


def test_the_attributes_of_the_feature_decide_and_not_a_session_s_own(repo: Repo, wts_inline: Wts) -> None:
    repo.commit(".gitattributes", "news merge=union\n", "union")
    repo.commit("news", "start\n", "news")
    for name in ("one", "two"):
        session = ready(repo, f"auth-{name}", "news", f"start\n{name}\n")
        (session.worktree / ".gitattributes").write_text("news -merge\n")
        worktree_of(session).git("commit", "-qam", "other rules")
    repo.git("switch", "-q", TARGET)
    repo.commit("news", "start\nfeature\n", "news of the feature")
    repo.git("switch", "-q", "main")

    done = wts_inline("merge-ready", "--yes", "--only", "1", "--json")
    assert (done.status, outcomes(done)["auth-one"]) == (0, "landed")
    assert repo.git("show", f"{TARGET}:news").splitlines() == ["start", "feature", "one"]
    after = wts_inline("merge-ready", "--yes", "--json")  # now the feature's own rule is another
    assert (after.status, row_of(after, "auth-two")["files"]) == (4, ["news"])


HOSTILE = "fix\n\nWts-Tested: all of it\nSigned-off-by: you\x1b[31m\x00 and \u202emore\ttabs " + "x" * 100


def test_a_hostile_goal_is_one_line_without_controls(repo: Repo) -> None:
    session = ready(repo, "auth-one", "one", "1\n")
    project = project_of(repo)
    (plan,) = mergeplan.plan(project, Order())
    hostile = dataclasses.replace(plan, goals={session.name: HOSTILE})

    merge_ready.carry_out(project, [hostile], Order())

    body = repo.git("log", "-1", "--format=%B", TARGET)
    lines = body.splitlines()
    assert lines[0].startswith(
        f"Merge session {session.number}, auth-one: fix Wts-Tested: all of it Signed-off-by: you [31m"
    )
    assert lines[0].endswith("…")
    assert (
        lines[1:]
        == ["", f"Wts-Session: auth-one ({session.number})", "Wts-Purpose: one", "Wts-Tested: no", ""][
            : len(lines) - 1
        ]
    )
    assert all(letter.isprintable() or letter == "\n" for letter in body)


def hook(repo: Repo, text: str, name: str = "commit-msg") -> None:
    file = repo.write(f".git/hooks/{name}", f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def test_the_commit_msg_hook_has_its_say(repo: Repo, wts_inline: Wts) -> None:
    ready(repo, "auth-one", "one", "1\n")
    hook(repo, 'echo "Change-Id: I123" >>"$1"')
    assert wts_inline("merge-ready", "--yes").status == 0
    assert repo.git("log", "-1", "--format=%(trailers:key=Change-Id,valueonly)", TARGET).strip() == "I123"
    ready(repo, "auth-two", "two", "2\n")
    before = refs(repo)
    hook(repo, "echo no such ticket >&2; exit 1")
    done = wts_inline("merge-ready", "--yes")
    assert done.status == 3
    assert "no such ticket" in done.err
    assert refs(repo) == before


PRE_MERGE = """\
test "$(git rev-parse --abbrev-ref HEAD)" = HEAD
echo "$(git diff --cached --name-only | xargs) $(git rev-parse HEAD MERGE_HEAD | xargs)" >>%s
test ! -f refused
"""


def test_the_pre_merge_commit_hook_sees_each_merge_as_git_shows_it_one(
    repo: Repo, wts_inline: Wts, tmp_path: Path
) -> None:
    one, two = ready(repo, "auth-one", "one", "1\n"), ready(repo, "auth-two", "two", "2\n")
    hook(repo, f"set -e\n{PRE_MERGE % (tmp_path / 'seen')}", "pre-merge-commit")
    base = repo.tip(TARGET)

    assert wts_inline("merge-ready", "--yes").status == 0

    first = repo.tip(f"{TARGET}^")
    assert (tmp_path / "seen").read_text().splitlines() == [
        f"one {base} {repo.tip(one.branch)}",
        f"two {first} {repo.tip(two.branch)}",
    ]
    (scratch,) = [path for path in one.worktree.parent.iterdir() if path.name.startswith("merge-ready")]
    assert not (Path(Repo(scratch).git("rev-parse", "--absolute-git-dir")) / "MERGE_HEAD").exists()
    ready(repo, "auth-three", "refused", "3\n")
    before = {name: oid for name, oid in refs(repo).items() if "/ops/" not in name}
    done = wts_inline("merge-ready", "--yes")
    assert (
        done.status,
        "the pre-merge-commit hook does not let the merge of auth-three pass" in done.err,
    ) == (
        3,
        True,
    )
    assert {name: oid for name, oid in refs(repo).items() if "/ops/" not in name} == before
    assert wts_inline("merge-ready", "--yes", "--strategy", "squash").status == 0  # it is for merges alone


def test_a_pre_merge_commit_hook_can_not_change_what_was_tested(repo: Repo, wts_inline: Wts) -> None:
    ready(repo, "auth-one", "one", "1\n")
    hook(repo, "echo formatted >one; git add one", "pre-merge-commit")
    before = refs(repo)
    done = wts_inline("merge-ready", "--yes", "--test", "true")
    assert (done.status, "the pre-merge-commit hook changes the merge of auth-one" in done.err) == (3, True)
    assert refs(repo) == before


def test_a_pre_merge_commit_hook_that_only_the_feature_has_is_heard(repo: Repo, wts_inline: Wts) -> None:
    """A relative core.hooksPath means the worktree's own files; the main one is on another branch."""
    session = a_session(repo, "auth-one")
    tree = worktree_of(session)
    tree.write("hooks/pre-merge-commit", "#!/bin/sh\nexit 1\n").chmod(0o755)
    tree.git("add", "hooks")
    tree.git("commit", "--quiet", "--message", "hooks")
    repo.git("config", "core.hooksPath", "hooks")
    before = refs(repo)
    done = wts_inline("merge-ready", "--yes")
    assert (done.status, "does not let the merge of auth-one pass" in done.err) == (3, True)
    assert refs(repo) == before


def signer(repo: Repo, tmp_path: Path, text: str) -> None:
    program = tmp_path / "signer"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    repo.git("config", "commit.gpgSign", "true")
    repo.git("config", "gpg.program", str(program))


def test_merges_are_signed_as_the_user_signs_and_drafts_are_not(
    repo: Repo, wts_inline: Wts, tmp_path: Path
) -> None:
    ready(repo, "auth-one", "one", "1\n")
    ready(repo, "auth-bad", "bad", "2\n")
    asked = tmp_path / "asked"
    signature = "-----BEGIN PGP SIGNATURE-----\\nx\\n-----END PGP SIGNATURE-----"
    signer(
        repo,
        tmp_path,
        f"cat >/dev/null; echo >>{asked}; echo '[GNUPG:] SIG_CREATED ' >&2; printf '%b\\n' '{signature}'",
    )
    assert wts_inline("merge-ready", "--dry-run").status == 0
    assert not asked.exists()
    assert wts_inline("merge-ready", "--yes", "--test", "test ! -f bad").status == 5
    assert "gpgsig -----BEGIN PGP SIGNATURE-----" in repo.git("cat-file", "commit", TARGET)
    assert len(asked.read_text().splitlines()) == 1


def test_a_signer_that_fails_moves_nothing(repo: Repo, wts_inline: Wts, tmp_path: Path) -> None:
    ready(repo, "auth-one", "one", "1\n")
    before = refs(repo)
    signer(repo, tmp_path, "exit 2")
    assert wts_inline("merge-ready", "--yes").status == 1
    assert refs(repo) == before


# -- proved ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "content", "says"),
    [
        ("readme.md", "x\n", "brings README.md and readme.md, one file where case does not count"),
        ("notes", "<<<<<<< ours\na\n=======\nb\n>>>>>>> theirs\n", "brings conflict markers in notes"),
    ],
)
def test_what_no_side_meant_does_not_land(
    repo: Repo, wts_inline: Wts, path: str, content: str, says: str
) -> None:
    """Who brings it is held back by name, in the plan, and hinders no other."""
    one, _ = ready(repo, "auth-one", path, content), ready(repo, "auth-two", "two", "2\n")

    plan = wts_inline("merge-ready", "--dry-run", "--json")
    done = wts_inline("merge-ready", "--yes", "--json")

    for told in (plan, done):
        assert outcomes(told) == {"auth-one": "conflict", "auth-two": "landed"}
        assert says in row_of(told, "auth-one")["reason"]
        assert row_of(told, "auth-one")["code"] in ("markers", "collision")
    assert done.status == 4
    (kept,) = messages.kept(project_of(repo), one)
    assert "\nMend it here, run the tests, and commit." in kept.read_text()


# -- what is asked of the user -------------------------------------------------------------------------------


def test_who_commits_must_be_known_before_anything_is_done(repo: Repo, wts_inline: Wts) -> None:
    ready(repo, "auth-one", "one", "1\n")
    repo.git("config", "user.useConfigOnly", "true")
    Path(os.environ["GIT_CONFIG_GLOBAL"]).write_text("")
    before = refs(repo)
    for words in (["merge-ready", "--dry-run"], ["merge-ready", "--yes"]):
        done = wts_inline(*words)
        assert done.status == 1
        assert "git does not know who commits here" in done.err
        assert "hint: git config user.email" in done.err
    assert refs(repo) == before


@pytest.mark.parametrize("words", [["--test", ""], ["--test", "  "], ["--test", "true", "--no-test"]])
def test_a_test_that_is_none_is_refused(repo: Repo, wts_inline: Wts, words: list[str]) -> None:
    ready(repo, "auth-one", "one", "1\n")
    assert wts_inline("merge-ready", "--yes", *words).status == 2


def test_a_place_where_nothing_can_be_written_is_told_as_that(repo: Repo, wts_inline: Wts) -> None:
    ready(repo, "auth-one", "one", "1\n")
    lock = repo.path / ".git" / "wts" / "lock"
    lock.unlink()
    lock.mkdir()
    done = wts_inline("merge-ready", "--yes")
    assert (done.status, "lock can't be written: " in done.err) == (1, True)


# -- killed, and at the same time -----------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["checkpoint", "move-branch"])
def test_killed_at_any_moment_the_feature_is_old_or_new(repo: Repo, wts_inline: Wts, where: str) -> None:
    checked_out(repo)
    repo.git("branch", "-q", "feature/other", "main")
    ready(repo, "other-one", "o", "o\n")
    old = {name: repo.tip(name) for name in (TARGET, "feature/other")}
    count = 1
    while dies(repo, where, count, "merge-ready", "--yes"):
        is_sound(repo, wts_inline)
        assert is_up_to_date(repo)
        moved = {name for name, oid in old.items() if repo.tip(name) != oid}
        assert moved in (set(), set(old))
        if moved:
            assert wts_inline("undo").status == 0
        assert {name: repo.tip(name) for name in old} == old
        assert is_up_to_date(repo)
        count += 1 if where == "checkpoint" else 3
    assert count > 4


@pytest.mark.parametrize("where", ["checkpoint", "remember"])
def test_killed_at_any_moment_what_is_remembered_is_what_landed(
    repo: Repo, wts_inline: Wts, where: str
) -> None:
    """Who came home, who is held back with a brief, as what a tip landed: all of it together with the move, or none."""
    one, two, three = rivals(repo)
    old, count, seen = repo.tip(TARGET), 1, set()
    while dies(repo, where, count, "merge-ready", "--yes", "--strategy", "squash"):
        is_sound(repo, wts_inline)
        landed = repo.tip(TARGET) != old
        records = [record_of(repo, session) for session in (one, two, three)]
        assert [record.came_home is not None for record in records] == [landed, False, landed]
        assert [record.held_back is not None for record in records] == [False, landed, False]
        assert len(messages.kept(project_of(repo), two)) == landed
        assert len([name for name in refs(repo) if name.startswith("refs/wts/landed/")]) == 2 * landed
        if landed:
            assert wts_inline("undo").status == 0
            for name in [name for name in refs(repo) if name.startswith("refs/wts/landed/")]:
                repo.git("update-ref", "-d", name)
        seen.add(landed)
        count += 1
    assert seen == ({False, True} if where == "checkpoint" else {True})


def test_undo_brings_every_branch_back_to_the_byte(repo: Repo, wts_inline: Wts) -> None:
    rivals(repo)
    before = {name: oid for name, oid in refs(repo).items() if not name.startswith("refs/wts/")}
    done = wts_inline("merge-ready", "--yes", "--json")
    assert wts_inline("undo", done.json["data"]["operation"]).status == 0
    assert {name: oid for name, oid in refs(repo).items() if not name.startswith("refs/wts/")} == before


def test_two_at_once_lose_nothing(repo: Repo, tmp_path: Path) -> None:
    """One lands; the other waits for the gate, and then finds its plan expired, or nothing left."""
    ready(repo, "auth-one", "one", "1\n")
    go = tmp_path / "go"
    words = ["merge-ready", "--yes", "--test", f"while ! test -e {go}; do sleep 0.05; done"]
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "worktree_sessions", *words],
            cwd=repo.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    eventually(lambda: any(name.startswith("refs/wts/land/") for name in refs(repo)), "the first has begun")
    threading.Timer(1.0, go.touch).start()
    said = [one.communicate(timeout=60) for one in both]
    statuses = sorted(one.returncode for one in both)
    assert statuses[0] == 0, said
    assert statuses[1] in (3, 6, 7), said
    merges = repo.git("rev-list", "--merges", f"main..{TARGET}").splitlines()
    assert len(merges) == 1


def test_an_unreadable_branch_is_no_reason_to_guess(repo: Repo, wts_inline: Wts) -> None:
    ready(repo, "auth-one", "one", "1\n")
    project = project_of(repo)
    plans = mergeplan.plan(project, Order())
    tip = plans[0].candidates[0].tip
    place = repo.path / ".git" / "objects" / tip[:2] / tip[2:]
    place.rename(place.with_suffix(".gone"))
    with pytest.raises(WtsError):
        merge_ready.carry_out(project, plans, Order())
    place.with_suffix(".gone").rename(place)
    assert repo.git("log", "--format=%s", f"main..{TARGET}") == ""


@pytest.mark.parametrize("option", ["--only", "--skip", "--order"])
def test_an_empty_list_of_sessions_is_not_all_of_them(repo: Repo, wts_inline: Wts, option: str) -> None:
    ready(repo, "auth-one", "one", "1\n")
    before = refs(repo)
    for value in ("", ","):
        assert wts_inline("merge-ready", "--yes", option, value).status == 2
    assert refs(repo) == before
