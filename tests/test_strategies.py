"""`wts merge-ready` by another strategy, into another branch, with recorded resolutions: always the tree of a merge."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Result, Wts
from tests.support.moves import tip_of
from tests.support.repos import Repo
from tests.support.sessions import a_session, project_of, refs, worktree_of
from tests.test_merge_ready import LINES, TARGET, changed_line, outcomes, ready, record_of, row_of
from worktree_sessions.actions import messages
from worktree_sessions.model.session import Session
from worktree_sessions.outside import anchors

OTHERS = ["squash", "rebase"]


def land(wts: Wts, *words: str, status: int = 0) -> Result:
    done = wts("merge-ready", "--yes", "--json", *words)
    assert done.status == status, done.err or done.out
    return done


def tree_of(repo: Repo, revision: str) -> str:
    return repo.git("rev-parse", f"{revision}^{{tree}}")


def shown(repo: Repo, path: str, revision: str = TARGET) -> str:
    return repo.git("show", f"{revision}:{path}") + "\n"


@pytest.fixture
def form(repo: Repo) -> Repo:
    repo.commit("form", LINES, "form")
    return repo


def goes_on(repo: Repo) -> None:
    """The feature gets a commit of its own, so that copies can't be the commits themselves."""
    repo.git("switch", "--quiet", TARGET)
    repo.commit("elsewhere", "1\n", "the feature goes on")
    repo.git("switch", "--quiet", "main")


# -- squash ----------------------------------------------------------------------------------------


def test_squash_is_one_commit_a_session_by_who_wrote_most_with_the_others_named(
    repo: Repo, wts_inline: Wts, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = a_session(repo, "auth-one")
    tree = worktree_of(session)
    tree.commit("a", "1\n", "Ada's\n\nCo-Authored-By: Claude <noreply@example.com>")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Grace")
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "grace@example.org")
    monkeypatch.setenv("GIT_AUTHOR_DATE", "1700000000 +0100")
    tree.commit("b", "1\n", "Grace's first\n\nco-authored-by: ADA <ada@example.org>")
    tree.commit("c", "1\n", "Grace's second")
    for name in ("NAME", "EMAIL", "DATE"):
        monkeypatch.delenv(f"GIT_AUTHOR_{name}")
    base, tip = repo.tip(TARGET), repo.tip(session.branch)

    land(wts_inline, "--strategy", "squash")

    assert repo.git("log", "--format=%P", "-1", TARGET) == base
    assert repo.git("log", "--date=raw", "--format=%an %ae %ad|%cn", "-1", TARGET) == (
        "Grace grace@example.org 1700000000 +0100|Ada Tester"
    )
    assert repo.git("log", "--format=%B", "-1", TARGET).strip().splitlines() == [
        f"Session {session.number}, auth-one",
        "",
        "* Ada's",
        "* Grace's first",
        "* Grace's second",
        "",
        f"Wts-Session: auth-one ({session.number})",
        "Wts-Purpose: one",
        "Wts-Tested: no",
        "Co-authored-by: Ada Tester <ada@example.org>",
        "Co-authored-by: Claude <noreply@example.com>",
    ]
    assert tree_of(repo, TARGET) == tree_of(repo, tip)
    assert repo.tip(session.branch) == tip


def test_what_a_session_stands_on_is_no_word_of_its_squash(
    repo: Repo, wts_inline: Wts, monkeypatch: pytest.MonkeyPatch
) -> None:
    low, up = a_session(repo, "auth-low"), a_session(repo, "auth-up")
    worktree_of(low).commit("low", "1\n", "low, first")
    worktree_of(low).commit("low", "2\n", "low, second")
    worktree_of(up).git("merge", "--quiet", low.branch)
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Grace")
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "grace@example.org")
    worktree_of(up).commit("up", "1\n", "up\r\n\r\nCo-authored-by: Alan <alan@example.org>\r\n")
    monkeypatch.delenv("GIT_AUTHOR_NAME")
    monkeypatch.delenv("GIT_AUTHOR_EMAIL")

    land(wts_inline, "--strategy", "squash")

    assert repo.git("log", "-1", "--format=%an", TARGET) == "Grace"
    said = repo.git("log", "-1", "--format=%B", TARGET).strip().splitlines()
    assert [line for line in said if line.startswith(("* ", "Co-authored-by"))] == [
        "* up",
        "Co-authored-by: Alan <alan@example.org>",
    ]


def test_two_sessions_at_one_commit_both_land(repo: Repo, wts_inline: Wts) -> None:
    one, two = ready(repo, "auth-one", "one", "1\n"), a_session(repo, "auth-two")
    worktree_of(two).git("merge", "--quiet", one.branch)
    done = land(wts_inline, "--strategy", "squash")
    assert outcomes(done) == {"auth-one": "landed", "auth-two": "landed"}


# -- rebase ----------------------------------------------------------------------------------------


def test_rebase_lands_copies_and_leaves_the_branch_as_it_is(
    repo: Repo, wts_inline: Wts, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = ready(repo, "auth-one", "one", "1\n"), a_session(repo, "auth-two")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Grace")
    worktree_of(two).commit("a", "1\n", "first")
    worktree_of(two).commit("b", "1\n", "second\n\nWith a body.")
    monkeypatch.delenv("GIT_AUTHOR_NAME")
    before = {one.branch: repo.tip(one.branch), two.branch: repo.tip(two.branch)}

    land(wts_inline, "--strategy", "rebase")

    told = repo.git("log", "-z", "--reverse", "--format=%an|%B|%P", f"main..{TARGET}").split("\0")[:-1]
    assert [row.split("|")[:2] for row in told] == [
        ["Ada Tester", "auth-one writes one\n"],
        ["Grace", "first\n"],
        ["Grace", "second\n\nWith a body.\n"],
    ]
    assert all(len(row.split("|")[2].split()) == 1 for row in told)
    assert {branch: repo.tip(branch) for branch in before} == before


def test_commits_that_can_not_be_copied_one_by_one_are_held_back_with_the_way_out(
    form: Repo, wts_inline: Wts
) -> None:
    session = a_session(form, "auth-one")
    tree = worktree_of(session)
    tree.commit("form", changed_line(3, "by one"), "changed")
    tree.commit("form", LINES, "and back")
    tree.commit("own", "1\n", "own")
    ready(form, "auth-two", "form", changed_line(3, "by two"))
    first = str(session.number + 1)

    done = land(wts_inline, "--strategy", "rebase", "--order", first, status=4)

    assert outcomes(done) == {"auth-one": "conflict", "auth-two": "landed"}
    row = row_of(done, "auth-one")
    assert (row["code"], row["files"]) == ("not-copied", ["form"])
    assert "can't be copied by itself, though the whole merges" in row["reason"]
    assert row["hint"] == "wts merge-ready --strategy merge"
    assert outcomes(land(wts_inline, "--strategy", "squash")) == {"auth-one": "landed", "auth-two": "blocked"}


def test_an_edit_made_in_a_merge_is_never_lost_by_copying(form: Repo, wts_inline: Wts) -> None:
    session = ready(form, "auth-one", "own", "1\n")
    form.git("switch", "--quiet", TARGET)
    form.commit("other", "1\n", "other")
    form.git("switch", "--quiet", "main")
    tree = worktree_of(session)
    tree.git("merge", "--quiet", "--no-commit", "--no-ff", TARGET)
    tree.write("own", "2\n")
    tree.git("commit", "--quiet", "--all", "--message", "an edit hides in the merge")

    done = land(wts_inline, "--strategy", "rebase", status=4)

    assert row_of(done, "auth-one")["reason"] == "copies of its commits come to something else than its merge"


# -- a session that goes on -----------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", OTHERS)
def test_a_session_that_goes_on_does_not_conflict_with_itself(
    form: Repo, wts_inline: Wts, strategy: str
) -> None:
    session = a_session(form, "auth-one")
    tree = worktree_of(session)
    tree.commit("form", changed_line(3, "first"), "first")
    goes_on(form)
    land(wts_inline, "--strategy", strategy)
    other = ready(form, "auth-two", "form2", "2\n")
    land(wts_inline, "--only", str(other.number))
    tree.commit("form", changed_line(3, "second"), "second, on the same line")
    tree.commit("more", "1\n", "more")
    with pytest.raises(AssertionError):  # what git alone makes of it
        form.git("merge-tree", "--write-tree", TARGET, session.branch)

    plan = wts_inline("merge-ready", "--dry-run", "--json")
    assert row_of(plan, "auth-one")["commits"] == 2
    assert wts_inline("radar", "--json").json["data"]["conflicts"] == 0
    done = land(wts_inline, "--strategy", strategy)

    assert outcomes(done)["auth-one"] == "landed"
    assert shown(form, "form") == changed_line(3, "second")
    assert shown(form, "form2") == "2\n"
    tree.commit("form", changed_line(3, "third"), "third")
    land(wts_inline)  # a merge commit now
    assert shown(form, "form") == changed_line(3, "third")


@pytest.mark.parametrize("strategy", OTHERS)
def test_what_the_feature_changed_since_is_kept_when_a_session_goes_on(
    form: Repo, wts_inline: Wts, strategy: str
) -> None:
    session = a_session(form, "auth-one")
    tree = worktree_of(session)
    tree.commit("own", "1\n", "own")
    tree.commit("gone", "1\n", "gone")
    goes_on(form)
    land(wts_inline, "--strategy", strategy)
    form.git("switch", "--quiet", TARGET)
    form.commit("own", "changed there\n", "the feature changes it")
    form.git("rm", "--quiet", "gone")
    form.git("commit", "--quiet", "--message", "and takes one away")
    form.git("switch", "--quiet", "main")
    tree.commit("more", "1\n", "goes on")

    land(wts_inline, "--strategy", strategy)

    assert shown(form, "own") == "changed there\n"
    assert form.git("ls-tree", "--name-only", TARGET).split() == [
        "README.md",
        "elsewhere",
        "form",
        "more",
        "own",
    ]


@pytest.mark.parametrize("strategy", OTHERS)
def test_one_that_stands_on_another_lands_after_it(form: Repo, wts_inline: Wts, strategy: str) -> None:
    one = a_session(form, "auth-one")
    worktree_of(one).commit("form", changed_line(3, "by one"), "one")
    two = a_session(form, "auth-two")
    worktree_of(two).git("merge", "--quiet", one.branch)
    worktree_of(two).commit("form", changed_line(3, "by two, on top"), "two")

    goes_on(form)

    land(wts_inline, "--strategy", strategy)

    assert form.git("log", "--format=%P", f"main..{TARGET}").count(" ") == 0
    assert form.git("rev-list", "--count", f"main..{TARGET}") == "3"
    assert shown(form, "form") == changed_line(3, "by two, on top")


def a_stack(repo: Repo, on_top: str) -> tuple[Session, Session]:
    """A session that works on, and one on top of its first commit, which is ready."""
    low, up = a_session(repo, "auth-low"), a_session(repo, "auth-up")
    worktree_of(low).commit("form", changed_line(3, "low"), "low")
    worktree_of(up).git("merge", "--quiet", low.branch)
    worktree_of(up).commit("form", on_top, "up")
    goes_on(repo)
    worktree_of(low).write("form", changed_line(3, "low works on"))
    return low, up


@pytest.mark.parametrize("strategy", OTHERS)
def test_a_session_whose_first_commits_another_brought_goes_on(
    form: Repo, wts_inline: Wts, strategy: str
) -> None:
    low, _ = a_stack(form, changed_line(3, "low").replace("line 7", "up"))
    assert outcomes(land(wts_inline, "--strategy", strategy)) == {"auth-low": "blocked", "auth-up": "landed"}
    worktree_of(low).git("commit", "--quiet", "--all", "--message", "low goes on")

    land(wts_inline, "--strategy", strategy)

    assert shown(form, "form") == changed_line(3, "low works on").replace("line 7", "up")
    assert form.git("rev-list", "--count", f"main..{TARGET}") == ("3" if strategy == "squash" else "4")


@pytest.mark.parametrize("strategy", OTHERS)
def test_all_of_whose_commits_another_brought_has_landed(form: Repo, wts_inline: Wts, strategy: str) -> None:
    low, _ = a_stack(form, changed_line(3, "up"))
    land(wts_inline, "--strategy", strategy)
    worktree_of(low).git("checkout", "--quiet", "form")

    for way in ("merge", *OTHERS):
        done = wts_inline("merge-ready", "--yes", "--json", "--strategy", way)
        assert (done.status, row_of(done, "auth-low")["code"]) == (6, "landed")


@pytest.mark.parametrize("strategy", ["merge", *OTHERS])
def test_who_share_commits_that_were_nowhere_land_together(
    form: Repo, wts_inline: Wts, strategy: str
) -> None:
    form.git("switch", "--quiet", "--create", "library")
    form.commit("form", changed_line(3, "library"), "library")
    form.git("switch", "--quiet", "main")
    one, two = a_session(form, "auth-one"), a_session(form, "auth-two")
    for session in (one, two):
        worktree_of(session).git("merge", "--quiet", "library")
    worktree_of(one).commit("form", changed_line(3, "one"), "one")
    worktree_of(two).commit("two", "1\n", "two")
    goes_on(form)

    assert outcomes(land(wts_inline, "--strategy", strategy)) == {"auth-one": "landed", "auth-two": "landed"}
    assert shown(form, "form") == changed_line(3, "one")


@pytest.mark.parametrize("strategy", OTHERS)
def test_what_landed_so_is_told_as_landed_until_it_is_undone(
    form: Repo, wts_inline: Wts, strategy: str
) -> None:
    session = a_session(form, "auth-one")
    worktree_of(session).commit("form", changed_line(3, "first"), "first")
    worktree_of(session).commit("own", "1\n", "second")

    def listed() -> tuple[bool, bool, int]:
        (row,) = wts_inline("list", "--json").json["data"]["sessions"]
        return row["landed"], row["ready"], row["git"]["ahead"]

    assert listed() == (False, True, 2)
    goes_on(form)
    done = land(wts_inline, "--strategy", strategy)
    assert listed() == (True, False, 0)
    again = wts_inline("merge-ready", "--json")
    assert (again.status, row_of(again, "auth-one")["code"]) == (6, "landed")
    assert wts_inline("undo", done.json["data"]["operation"]).status == 0
    assert listed() == (False, True, 2)
    land(wts_inline, "--strategy", strategy)
    assert listed() == (True, False, 0)


@pytest.mark.parametrize("strategy", OTHERS)
def test_gc_takes_nothing_that_a_later_merge_needs(form: Repo, wts_inline: Wts, strategy: str) -> None:
    one = a_session(form, "auth-one")
    worktree_of(one).commit("form", changed_line(3, "by one"), "one")
    two = a_session(form, "auth-two")
    worktree_of(two).git("merge", "--quiet", one.branch)
    worktree_of(two).commit("form", changed_line(3, "by two, on top"), "two")
    goes_on(form)
    land(wts_inline, "--strategy", strategy, "--only", str(one.number))
    assert wts_inline("close", "1", "--delete-branch", "--yes").status == 0
    form.git("reflog", "expire", "--expire=now", "--all")
    form.git("gc", "--quiet", "--prune=now")

    land(wts_inline, "--strategy", strategy)

    assert shown(form, "form") == changed_line(3, "by two, on top")


def test_what_nobody_can_go_on_from_is_kept_no_longer(repo: Repo, wts_inline: Wts) -> None:
    """A branch that is gone for good lets its anchor go with the next landing; a closed session keeps it."""

    def kept() -> set[str]:
        return {name.split("/")[3] for name in refs(repo) if name.startswith("refs/wts/landed/")}

    one, two = ready(repo, "auth-one", "one", "1\n"), ready(repo, "auth-two", "two", "2\n")
    tips = {session.name: repo.tip(session.branch) for session in (one, two)}
    land(wts_inline, "--strategy", "squash")
    assert kept() == set(tips.values())
    assert wts_inline("close", "auth-one", "--delete-branch").status == 0
    worktree_of(two).git("switch", "--quiet", "--detach", "main")
    repo.git("branch", "--quiet", "--delete", "--force", two.branch)
    ready(repo, "auth-three", "three", "3\n")
    land(wts_inline, "--strategy", "squash")
    assert tips["auth-one"] in kept()
    assert tips["auth-two"] not in kept()
    assert len(kept()) == 2


def test_an_odd_anchor_is_no_reason_to_fail(repo: Repo) -> None:
    """Its commit is the root of the history, or stands on the tip already: it stays as long as a branch holds it."""
    root, head = repo.tip("main"), repo.commit("a", "1\n", "a")
    repo.commit("b", "1\n", "b")
    names = {f"refs/wts/landed/{root}/{repo.tip('main')}", f"refs/wts/landed/{head}/{root}"}
    for name in names:
        repo.git("update-ref", name, "main")
    anchors.let_go(project_of(repo).git)
    assert names <= refs(repo).keys()


@pytest.mark.parametrize("seed", range(6))
def test_sessions_that_land_again_and_again_never_conflict_with_themselves(
    repo: Repo, wts_inline: Wts, seed: int
) -> None:
    """Each works in its own file, on any lines, and lands by any strategy: all of it comes home, every time."""
    chance = random.Random(seed)
    sessions = [a_session(repo, f"auth-{name}") for name in ("one", "two")]
    for session in sessions:
        worktree_of(session).commit(session.purpose, LINES, "start")
    for round_ in range(4):
        for session in sessions:
            if chance.random() < 0.3 and round_:
                worktree_of(session).git("merge", "--quiet", "--no-edit", TARGET)
            lines = (session.worktree / session.purpose).read_text().splitlines(keepends=True)
            lines[chance.randrange(len(lines))] = f"{session.purpose} in round {round_}\n"
            worktree_of(session).commit(session.purpose, "".join(lines), f"round {round_}")
        done = wts_inline("merge-ready", "--yes", "--json", "--strategy", chance.choice(["merge", *OTHERS]))
        codes = {row_of(done, session.name)["code"] for session in sessions}
        assert codes <= {None, "not-copied"}, done.out
        if "not-copied" in codes:
            land(wts_inline)
        for session in sessions:
            assert shown(repo, session.purpose) == (session.worktree / session.purpose).read_text()


def test_the_setting_is_what_is_meant_without_a_flag(repo: Repo, wts_inline: Wts) -> None:
    (repo.path / ".wts.toml").write_text('[merge]\nstrategy = "squash"\n')
    ready(repo, "auth-one", "one", "1\n")
    plan = wts_inline("merge-ready", "--dry-run")
    assert "lands: one commit a session" in plan.out
    land(wts_inline)
    assert repo.git("log", "--format=%P", "-1", TARGET).count(" ") == 0
    ready(repo, "auth-two", "two", "1\n")
    land(wts_inline, "--strategy", "merge")
    assert repo.git("log", "--format=%P", "-1", TARGET).count(" ") == 1


# -- into ------------------------------------------------------------------------------------------


def test_into_another_branch_the_parent_stays_and_readiness_is_measured_there(
    repo: Repo, wts_inline: Wts
) -> None:
    one, two = ready(repo, "auth-one", "one", "1\n"), ready(repo, "billing-two", "two", "2\n")
    repo.branch("release/next", "main")
    before = tip_of(repo, TARGET)

    done = land(wts_inline, "--into", "release/next")

    assert outcomes(done) == {"auth-one": "landed", "billing-two": "landed"}
    assert done.json["data"]["features"][0]["target"] == "release/next"
    assert repo.git("ls-tree", "--name-only", "release/next").split() == ["README.md", "one", "two"]
    assert (tip_of(repo, TARGET), tip_of(repo, "feature/billing")) == (before, before)
    again = wts_inline("merge-ready", "--into", "release/next", "--json")
    assert (again.status, {row_of(again, name)["code"] for name in (one.name, two.name)}) == (6, {"landed"})
    assert outcomes(land(wts_inline, "auth")) == {"auth-one": "landed"}


def test_what_is_in_the_default_branch_can_still_come_into_another(repo: Repo, wts_inline: Wts) -> None:
    one = ready(repo, "auth-one", "one", "1\n")
    repo.branch("release/old", "main")
    land(wts_inline)
    repo.git("merge", "--quiet", "--no-ff", "--no-edit", TARGET)
    assert outcomes(land(wts_inline, "--into", "release/old")) == {one.name: "landed"}


def test_into_is_tested_too(repo: Repo, wts_inline: Wts, tmp_path: Path) -> None:
    ready(repo, "auth-one", "one", "1\n")
    repo.branch("release/next", "main")
    done = land(wts_inline, "--into", "release/next", "--test", f"echo $WTS_PARENT >{tmp_path}/said")
    assert done.json["data"]["features"][0]["test_runs"] == 1
    assert (tmp_path / "said").read_text() == "release/next\n"


@pytest.mark.parametrize(
    ("branch", "code", "hint"),
    [
        ("nowhere", "no-branch", "git branch nowhere COMMIT"),
        ("feature/auth-one", "into-session", "wts sync 1"),
    ],
)
def test_into_what_is_no_place_to_come_home_to(
    repo: Repo, wts_inline: Wts, branch: str, code: str, hint: str
) -> None:
    ready(repo, "auth-one", "one", "1\n")
    before = refs(repo)
    done = wts_inline("merge-ready", "--yes", "--json", "--into", branch)
    error = json.loads(done.out)["errors"][0]
    assert (error["code"], error["hint"]) == (code, hint)
    assert refs(repo) == before


# -- every -----------------------------------------------------------------------------------------


def test_every_tests_each_prefix_so_that_no_red_commit_lands(
    repo: Repo, wts_inline: Wts, tmp_path: Path
) -> None:
    """A later session that mends what an earlier one broke is green together, and red in between."""
    ready(repo, "auth-bad", "bad", "1\n")
    ready(repo, "auth-cure", "cure", "1\n")
    ready(repo, "auth-other", "other", "1\n")
    command = f"ls >>{tmp_path}/runs; test ! -f bad || test -f cure"

    together = wts_inline("merge-ready", "--dry-run", "--json", "--test", command)
    assert together.status == 0
    done = land(wts_inline, "--every", "--test", command, status=5)

    assert outcomes(done) == {"auth-bad": "red", "auth-cure": "landed", "auth-other": "landed"}
    for commit in repo.git("rev-list", "--first-parent", f"main..{TARGET}").split():
        names = repo.git("ls-tree", "--name-only", commit).split()
        assert "bad" not in names or "cure" in names


def test_every_finds_a_red_feature_and_needs_a_command(repo: Repo, wts_inline: Wts) -> None:
    ready(repo, "auth-one", "one", "1\n")
    assert land(wts_inline, "--every", "--test", "false", status=5).json["data"]["features"][0]["base_log"]
    done = wts_inline("merge-ready", "--yes", "--json", "--every")
    assert (done.status, done.json["errors"][0]["code"]) == (2, "no-test-command")
    assert wts_inline("merge-ready", "--every", "--no-test").status == 2


# -- rerere ----------------------------------------------------------------------------------------


@pytest.fixture
def resolved_before(form: Repo) -> tuple[Session, Session]:
    """Two sessions that change one line; git has seen the conflict resolved, and the merge was taken back."""
    form.git("config", "rerere.enabled", "true")
    one = ready(form, "auth-one", "form", changed_line(3, "by one"))
    two = ready(form, "auth-two", "form", changed_line(3, "by two"))
    form.git("switch", "--quiet", "--detach", one.branch)
    with pytest.raises(AssertionError):
        form.git("merge", "--quiet", two.branch)
    form.write("form", changed_line(3, "by both"))
    form.git("commit", "--quiet", "--all", "--no-edit")
    form.git("switch", "--quiet", "main")
    return one, two


@pytest.mark.parametrize("strategy", ["merge", "squash"])
def test_a_recorded_resolution_is_used_only_when_asked_for_and_told(
    form: Repo, resolved_before: tuple[Session, Session], wts_inline: Wts, strategy: str
) -> None:
    held = wts_inline("merge-ready", "--dry-run", "--json")
    assert outcomes(held) == {"auth-one": "landed", "auth-two": "conflict"}
    plan = wts_inline("merge-ready", "--dry-run", "--rerere")
    assert "resolved as before: form" in plan.out

    done = land(wts_inline, "--rerere", "--strategy", strategy, "--test", "grep -q 'by both' form")

    assert row_of(done, "auth-two")["resolved"] == ["form"]
    assert shown(form, "form") == changed_line(3, "by both")


def test_a_conflict_that_was_never_resolved_is_held_back_all_the_same(
    form: Repo, resolved_before: tuple[Session, Session], wts_inline: Wts
) -> None:
    worktree_of(resolved_before[1]).commit("form", changed_line(3, "by two, later"), "later")
    done = land(wts_inline, "--rerere", status=4)
    assert outcomes(done) == {"auth-one": "landed", "auth-two": "conflict"}
    assert row_of(done, "auth-two")["files"] == ["form"]


# -- the order that lands more -----------------------------------------------------------------------


def test_who_was_held_back_does_not_keep_out_more_than_one_other(form: Repo, wts_inline: Wts) -> None:
    """One that conflicts with two others: the two land, and the plan says why it does not come first."""
    form.commit("form2", LINES, "form2")
    ready(form, "auth-first", "form", changed_line(3, "first"))
    both = ready(form, "auth-both", "form", changed_line(3, "both"))
    project_of(form).store.save(both._replace(held_back="2026-01-02T12:00:00+00:00"))
    worktree_of(both).commit("form2", LINES.replace("line 5\n", "both\n"), "both files")
    ready(form, "auth-second", "form2", LINES.replace("line 5\n", "second\n"))

    plan = wts_inline("merge-ready", "--dry-run", "--json")
    said = wts_inline("merge-ready", "--dry-run").out

    assert outcomes(plan) == {"auth-first": "landed", "auth-second": "landed", "auth-both": "conflict"}
    assert "order: the oldest first: more land so than with who was held back" in said


def test_an_undo_takes_back_who_was_held_back_and_who_came_home(form: Repo, wts_inline: Wts) -> None:
    one = ready(form, "auth-one", "form", changed_line(3, "one"))
    two = ready(form, "auth-two", "form", changed_line(3, "two"))
    marks = [(record_of(form, each).held_back, record_of(form, each).came_home) for each in (one, two)]
    plan = wts_inline("merge-ready", "--dry-run").out
    land(wts_inline, status=4)
    assert record_of(form, one).came_home
    assert record_of(form, two).held_back

    assert wts_inline("undo").status == 0

    assert [
        (record_of(form, each).held_back, record_of(form, each).came_home) for each in (one, two)
    ] == marks
    assert messages.kept(project_of(form), two) == []
    assert wts_inline("merge-ready", "--dry-run").out == plan
    assert wts_inline("undo").status == 0  # the undo itself
    assert record_of(form, one).came_home
    assert record_of(form, two).held_back


# -- what came on top --------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["merge", *OTHERS])
def test_where_undo_is_too_late_its_hint_takes_all_sessions_back(
    form: Repo, wts_inline: Wts, strategy: str
) -> None:
    for name in ("one", "two"):
        ready(form, f"auth-{name}", name, "1\n")
    goes_on(form)
    land(wts_inline, "--strategy", strategy)
    form.git("switch", "--quiet", TARGET)
    form.commit("later", "1\n", "on top")

    refused = wts_inline("undo", "--json")

    assert refused.status == 3
    hint = refused.json["errors"][0]["hint"]
    subprocess.run(
        ["sh", "-c", hint.partition(": ")[2].replace("revert", "revert --no-edit", 1)],
        cwd=form.path,
        check=True,
        capture_output=True,
    )
    assert form.git("ls-files").split() == ["README.md", "elsewhere", "form", "later"]
