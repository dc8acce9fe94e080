"""`wts sync`: who follows, who is left and why, and that nothing else moves. Real git, real commands."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result, Wts
from tests.support.living import Living
from tests.support.moves import tip_of
from tests.support.repos import Repo
from tests.support.sessions import a_session, is_in, picture, project_of, records, refs, worktree_of, world
from tests.test_docs import json_tables, keys_of
from tests.test_kill import dies, is_sound
from tests.test_merge_ready import LINES, TARGET, changed_line, hook, ready, signer
from worktree_sessions.actions import asking, operate, syncing
from worktree_sessions.actions.listing import look_at_one
from worktree_sessions.actions.syncing import Way
from worktree_sessions.errors import WtsError
from worktree_sessions.model.session import Session, Setup, State
from worktree_sessions.outside.git import Oid


def goes_on(repo: Repo, path: str, content: str, branch: str = TARGET) -> str:
    """Commit a file on a branch that is checked out nowhere; return its new tip."""
    place = repo.path.parent / "elsewhere"
    repo.git("worktree", "add", "--quiet", str(place), branch)
    tip = Repo(place).commit(path, content, f"{branch} writes {path}")
    repo.git("worktree", "remove", "--force", str(place))
    return tip


def three(repo: Repo) -> tuple[Session, Session, Session]:
    """Three sessions behind a feature that went on: one merges, one conflicts, one has nothing of its own."""
    repo.commit(".gitignore", "*.secret\n", "ignore")
    repo.commit("form", LINES, "form")
    one = ready(repo, "auth-one", "one", "1\n")
    two = ready(repo, "auth-two", "form", changed_line(3, "by two"))
    fresh = a_session(repo, "auth-fresh")
    goes_on(repo, "form", changed_line(3, "by the feature"))
    goes_on(repo, "names", "names\n")
    return one, two, fresh


def rows_of(result: Result) -> dict[str, dict[str, Any]]:
    """What became of each session or feature, by its name, from the JSON."""
    data = result.json["data"]
    return {row["name"]: row for row in data["sessions"]} | {row["feature"]: row for row in data["features"]}


def outcomes(result: Result) -> dict[str, str]:
    return {name: row["outcome"] for name, row in rows_of(result).items()}


def is_clean(session: Session) -> bool:
    """Whether HEAD, index and files of a session are those of its branch, and no move is left open."""
    tree = worktree_of(session)
    admin = Path(tree.git("rev-parse", "--absolute-git-dir"))
    leftovers = [*admin.glob("wts-index*"), *admin.glob("index.lock"), *admin.glob("MERGE_*")]
    head = tree.git("symbolic-ref", "HEAD").removeprefix("refs/heads/")
    return (tree.git("status", "--porcelain"), leftovers, head) == ("", [], session.branch)


def heads(repo: Repo) -> dict[str, str]:
    return {name: oid for name, oid in refs(repo).items() if not name.startswith("refs/wts/")}


# -- who follows -----------------------------------------------------------------------------------


def test_the_parent_comes_into_each_session_that_is_behind(repo: Repo, wts: Wts) -> None:
    one, two, fresh = three(repo)
    ahead = a_session(repo, "auth-ahead")
    before = {session.name: repo.tip(session.branch) for session in (one, two, fresh, ahead)}
    untouched = world(repo, two)["files"], picture(ahead.worktree, skip=())

    done = wts("sync", "--yes")

    assert done.status == 4, done.err
    tip = repo.tip(TARGET)
    parents = repo.git("log", "-1", "--format=%P|%an <%ae>|%s", one.branch)
    subject = f"Merge branch '{TARGET}' into {one.branch}"
    assert parents == f"{before['auth-one']} {tip}|Ada Tester <ada@example.org>|{subject}"
    assert repo.tip(fresh.branch) == tip
    assert (repo.tip(two.branch), repo.tip(ahead.branch)) == (before["auth-two"], before["auth-ahead"])
    assert all(is_clean(session) for session in (one, two, fresh, ahead))
    assert sorted(picture(one.worktree)) == [".gitignore", "README.md", "form", "names", "one"]
    assert (fresh.worktree / "names").read_text() == "names\n"
    assert (world(repo, two)["files"], picture(ahead.worktree, skip=())) == untouched
    assert [name for name in refs(repo) if name.startswith("refs/wts/land/")] == []
    assert done.out.splitlines()[:-1] == [
        f"✓ {TARGET} came into 2 sessions",
        f"  ✓  1 auth-one    {before['auth-one'][:9]} → {repo.tip(one.branch)[:9]}, merged",
        f"  ✗  2 auth-two    conflicts with {TARGET}",
        "       form",
        "       hint: wts resolve 2",
        f"  ✓  3 auth-fresh  {before['auth-fresh'][:9]} → {tip[:9]}, moved on",
    ]
    assert done.out.splitlines()[-1].startswith("undo: wts undo ")
    assert done.err.splitlines()[:2] == [
        f"{TARGET} (at {tip[:9]}) would come into 2 of 3 sessions",
        "  ✓  1 auth-one    2 commits, 2 files",
    ]


def test_it_is_the_merge_that_git_would_make(repo: Repo, wts_inline: Wts) -> None:
    """Tree, parents and message, `merge.log` included; the user's own merge is the judge."""
    one, _, _ = three(repo)
    repo.git("config", "merge.log", "true")
    tree = worktree_of(one)
    before = tree.tip("HEAD")
    tree.git("merge", "--quiet", "--no-edit", TARGET)
    theirs = tree.git("cat-file", "commit", "HEAD")
    tree.git("reset", "--quiet", "--hard", before)

    assert wts_inline("sync", "1", "--yes").status == 0

    assert tree.git("cat-file", "commit", "HEAD") == theirs
    assert f"* {TARGET}:\n  {TARGET} writes names" in theirs


def test_only_those_that_are_named(repo: Repo, wts_inline: Wts) -> None:
    one, two, fresh = three(repo)
    assert wts_inline("sync", two.name).status == 4
    done = wts_inline("sync", ".", "--yes", "--json", cwd=fresh.worktree)
    assert (done.status, outcomes(done)) == (0, {"auth-fresh": "synced"})
    both = wts_inline("sync", "1", fresh.branch, "1", "--yes", "--json")
    assert (both.status, outcomes(both)) == (0, {"auth-one": "synced", "auth-fresh": "up-to-date"})
    again = wts_inline("sync", "fresh", "1", "--yes")
    assert (again.status, again.err.splitlines()[-2]) == (6, "none of them is behind")
    alone = wts_inline("sync", "1", "--yes")
    assert (alone.status, alone.err) == (6, f"auth-one has all of {TARGET}\nhint: wts list\n")
    assert wts_inline("sync", "--all", one.name).status == 2
    assert wts_inline("sync", "nobody").status == 1


def test_nothing_behind_is_exit_6(repo: Repo, wts_inline: Wts) -> None:
    nothing = (6, "no session is behind its parent\nhint: wts list\n")
    assert wts_inline("sync")[::2] == nothing
    ready(repo, "auth-one", "one", "1\n")
    assert wts_inline("sync", "--all", "--yes")[::2] == nothing
    assert wts_inline("sync", "--dry-run")[::2] == nothing
    named = wts_inline("sync", "1", "--json")
    assert (named.status, named.json["errors"][0]["code"]) == (6, "nothing-to-sync")
    assert outcomes(named) == {"auth-one": "up-to-date"}


def test_a_session_that_only_took_in_its_parent_has_not_landed(repo: Repo, wts_inline: Wts) -> None:
    three(repo)
    wts_inline("sync", "--yes")
    listed = {row["name"]: row for row in wts_inline("list", "--json").json["data"]["sessions"]}
    assert listed["auth-fresh"]["landed"] is False
    assert [one["code"] for one in listed["auth-fresh"]["blockers"]] == ["empty"]
    worktree_of(project_session(repo, "auth-fresh")).commit("own", "own\n", "own")
    repo.git("update-ref", f"refs/heads/{TARGET}", "refs/heads/feature/auth-fresh")
    listed = {row["name"]: row for row in wts_inline("list", "--json").json["data"]["sessions"]}
    assert listed["auth-fresh"]["landed"] is True


def project_session(repo: Repo, name: str) -> Session:
    found = project_of(repo).store.load(name)
    assert found is not None
    return found


def test_a_bare_repository(tmp_path: Path, repo: Repo, wts_inline: Wts) -> None:
    repo.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    bare = Repo(tmp_path / "bare.git")
    session = ready(bare, "auth-one", "one", "1\n")
    goes_on(bare, "names", "names\n")
    done = wts_inline("sync", "--yes", cwd=bare.path)
    assert done.status == 0, done.err
    assert is_clean(session)
    assert (session.worktree / "names").exists()


def test_several_features_follow_in_one_operation(repo: Repo, wts_inline: Wts) -> None:
    sessions = [ready(repo, name, name, "x\n") for name in ("auth-one", "billing-one")]
    for feature in (TARGET, "feature/billing"):
        goes_on(repo, "names", f"{feature}\n", feature)
    before = heads(repo)
    done = wts_inline("sync", "--yes")
    assert done.status == 0
    assert [line for line in done.out.splitlines() if line.startswith("✓")] == [
        "✓ feature/auth came into auth-one",
        "✓ feature/billing came into billing-one",
    ]
    assert all(is_clean(session) for session in sessions)
    assert wts_inline("undo").status == 0
    assert heads(repo) == before
    assert all(is_clean(session) for session in sessions)


def test_merges_are_made_by_the_attributes_of_the_session(repo: Repo, wts_inline: Wts) -> None:
    """As `git merge` in its worktree would: the parent's rules have no say there yet."""
    repo.commit("news", "start\n", "news")
    one = ready(repo, "auth-one", ".gitattributes", "news merge=union\n")
    worktree_of(one).commit("news", "start\none\n", "one")
    ready(repo, "auth-two", "news", "start\ntwo\n")
    goes_on(repo, "news", "start\nfeature\n")
    goes_on(repo, ".gitattributes", "news merge=union\n")
    done = wts_inline("sync", "--yes", "--json")
    assert outcomes(done) == {"auth-one": "synced", "auth-two": "conflict"}
    assert (one.worktree / "news").read_text().splitlines() == ["start", "one", "feature"]


@pytest.mark.parametrize("way", ["", "--rebase"])
def test_a_session_that_landed_squashed_and_goes_on_does_not_conflict_with_itself(
    repo: Repo, wts_inline: Wts, way: str
) -> None:
    """git alone does not know that the squash commit holds what the branch holds."""
    repo.commit("form", LINES, "form")
    session = ready(repo, "auth-one", "form", changed_line(3, "first"))
    tree = worktree_of(session)
    tree.commit("form", changed_line(3, "first, mended"), "mended")
    assert wts_inline("merge-ready", "--strategy", "squash", "--yes").status == 0
    tree.commit("form", changed_line(3, "second"), "second")
    goes_on(repo, "names", "names\n")
    done = wts_inline("sync", "--yes", "--json", *([way] if way else []))
    assert (done.status, outcomes(done)) == (0, {"auth-one": "synced"})
    assert (session.worktree / "form").read_text() == changed_line(3, "second")
    assert (is_clean(session), (session.worktree / "names").exists()) == (True, True)
    if way:
        assert tree.git("log", "--format=%s", f"{TARGET}..HEAD") == "second"
    assert wts_inline("merge-ready", "--yes").status == 0
    assert repo.git("show", f"{TARGET}:form") + "\n" == changed_line(3, "second")


# -- what does not move ----------------------------------------------------------------------------


def test_a_conflict_touches_nothing_and_names_the_files(repo: Repo, wts_inline: Wts) -> None:
    _, two, _ = three(repo)
    wts_inline("list")
    before = world(repo, two), objects(repo)

    done = wts_inline("sync", two.name, "--yes", "--json")

    assert done.status == 4
    assert (world(repo, two), objects(repo)) == before
    row = rows_of(done)["auth-two"]
    assert (row["outcome"], row["code"], row["files"]) == ("conflict", "conflict", ["form"])
    assert (row["hint"], row["after"]) == ("wts resolve 2", None)
    assert done.json["data"]["operation"] is None


def objects(repo: Repo) -> dict[str, Any]:
    return picture(repo.path / ".git" / "objects", skip=())


def test_a_dry_run_writes_nothing(repo: Repo, wts_inline: Wts) -> None:
    some = three(repo)
    wts_inline("list")
    trees = [picture(session.worktree, skip=()) for session in some]
    before = refs(repo), records(repo), objects(repo), repo.git("worktree", "list", "--porcelain")

    for words in ([], ["--rebase"], ["--feature", "auth"]):
        assert wts_inline("sync", "--dry-run", *words).status == 0
    done = wts_inline("sync", "--dry-run")

    assert (refs(repo), records(repo), objects(repo), repo.git("worktree", "list", "--porcelain")) == before
    assert [picture(session.worktree, skip=()) for session in some] == trees
    assert done.out.splitlines() == [
        f"{TARGET} (at {repo.tip(TARGET)[:9]}) would come into 2 of 3 sessions",
        "  ✓  1 auth-one    2 commits, 2 files",
        f"  ✗  2 auth-two    conflicts with {TARGET}",
        "       form",
        "       hint: wts resolve 2",
        "  ✓  3 auth-fresh  2 commits, 2 files; it has nothing of its own",
    ]


def test_without_a_yes_nothing_moves(repo: Repo, wts: Wts) -> None:
    three(repo)
    before = refs(repo)
    done = wts("sync")
    assert done.status == 2
    assert "--yes" in done.err
    assert refs(repo) == before


def is_waiting(repo: Repo) -> None:
    Living(repo, "auth-one").asks("npm test")


def in_a_merge(repo: Repo) -> None:
    repo.branch("side")
    tree = worktree_of(a_session(repo, "auth-one"))
    goes_on(repo, "side", "x\n", "side")
    tree.git("merge", "--quiet", "--no-ff", "--no-commit", "side")


def in_a_bisect(repo: Repo) -> None:
    worktree_of(a_session(repo, "auth-one")).git("bisect", "start")


def on_another_branch(repo: Repo) -> None:
    worktree_of(a_session(repo, "auth-one")).git("switch", "--quiet", "-c", "other")


def without_a_worktree(repo: Repo) -> None:
    session = a_session(repo, "auth-one")
    session.worktree.rename(session.worktree.with_name("elsewhere"))


def with_a_hidden_change(repo: Repo) -> None:
    tree = worktree_of(a_session(repo, "auth-one"))
    tree.git("update-index", "--assume-unchanged", "README.md")
    tree.write("README.md", "changed\n")


def being_set_up(repo: Repo) -> None:
    project_of(repo).store.save(a_session(repo, "auth-one")._replace(setup=Setup.PENDING))


def of_another_history(repo: Repo) -> None:
    tree = worktree_of(a_session(repo, "auth-one"))
    tree.git("reset", "--quiet", "--hard", tree.git("commit-tree", "-m", "root", "HEAD^{tree}"))


def that_failed_and_is_marked(repo: Repo) -> None:
    living = Living(repo, "auth-one")
    living.tells("StopFailure", error="overloaded")
    tip = worktree_of(living.session).tip("HEAD")
    project_of(repo).store.save(living.session._replace(ready=Oid(tip)))


LEFT: list[tuple[str, str, Callable[[Repo], object]]] = [
    ("working", "wts open 1", lambda repo: Living(repo, "auth-one")),
    ("waiting", "wts open 1", is_waiting),
    ("failed", "wts open 1", that_failed_and_is_marked),
    ("changed", "add -A", lambda repo: worktree_of(a_session(repo, "auth-one")).write("README.md", "mine\n")),
    ("untracked", "add -A", lambda repo: worktree_of(a_session(repo, "auth-one")).write("notes", "mine\n")),
    ("changed", "--no-assume-unchanged", with_a_hidden_change),
    ("changed", "add -A", in_a_merge),
    ("open-operation", "bisect reset", in_a_bisect),
    ("wrong-branch", "switch feature/auth-one", on_another_branch),
    ("missing", "wts restore auth-one", without_a_worktree),
    ("setup", "wts setup auth-one", being_set_up),
    ("no-base", "git log feature/auth-one", of_another_history),
]


@pytest.mark.parametrize(
    ("code", "cure", "make"), LEFT, ids=[f"{code}-{make.__name__}" for code, _, make in LEFT]
)
def test_who_is_not_clean_and_at_rest_is_left_with_the_cure(
    repo: Repo, wts_inline: Wts, code: str, cure: str, make: Callable[[Repo], object]
) -> None:
    make(repo)
    other = a_session(repo, "auth-other")
    goes_on(repo, "names", "names\n")
    left = repo.tip("feature/auth-one")
    files = picture(repo.path.parent / "repo.worktrees")

    named = wts_inline("sync", "auth-one", "--yes", "--json")
    assert (named.status, named.json["errors"][0]["code"]) == (3, code)
    assert picture(repo.path.parent / "repo.worktrees") == files
    every = wts_inline("sync", "--yes", "--json")

    assert (every.status, outcomes(every)) == (0, {"auth-one": "left", "auth-other": "synced"})
    row = rows_of(every)["auth-one"]
    assert (row["code"], row["after"]) == (code, None)
    assert cure in row["hint"]
    assert repo.tip("feature/auth-one") == left
    assert repo.tip(other.branch) == repo.tip(TARGET)
    rest = wts_inline("sync", "--yes", "--json")
    assert (rest.status, outcomes(rest)) == (6, {"auth-one": "left"})


def test_a_lost_parent_is_told_with_what_makes_it_again(repo: Repo, wts_inline: Wts) -> None:
    session = ready(repo, "auth-one", "one", "1\n")
    repo.git("update-ref", "-d", f"refs/heads/{TARGET}")
    done = wts_inline("sync", "--json")
    row = rows_of(done)["auth-one"]
    assert (done.status, row["code"]) == (6, "no-parent")
    subprocess.run(row["hint"], shell=True, check=True, cwd=session.worktree)
    assert "no session is behind" in wts_inline("sync").err


def test_who_rests_follows_and_so_does_who_is_held_back(repo: Repo, wts_inline: Wts) -> None:
    """A hold is about coming home; a session that waits for design may well follow its parent."""
    idle = Living(repo, "auth-idle")
    idle.tells("Stop")
    assert look_at_one(project_of(repo), idle.session).now.state is State.IDLE
    held = ready(repo, "auth-held", "held", "x\n")
    assert wts_inline("hold", held.name, "waiting for design").status == 0
    goes_on(repo, "names", "names\n")
    done = wts_inline("sync", "--yes", "--json")
    assert outcomes(done) == {"auth-idle": "synced", "auth-held": "synced"}
    assert project_session(repo, held.name).hold == "waiting for design"


def test_an_ignored_file_in_the_way_is_named_and_hinders_no_other(repo: Repo, wts_inline: Wts) -> None:
    one, _, fresh = three(repo)
    goes_on(repo, "local.secret", "comes\n")
    (one.worktree / "local.secret").write_text("precious\n")
    done = wts_inline("sync", "1", "3", "--yes", "--json")
    assert (done.status, outcomes(done)) == (0, {"auth-one": "left", "auth-fresh": "synced"})
    row = rows_of(done)["auth-one"]
    assert (row["code"], row["files"]) == ("in-the-way", ["local.secret"])
    assert "local.secret is ignored, and in the way of what comes" in row["reason"]
    assert (one.worktree / "local.secret").read_text() == "precious\n"
    assert (fresh.worktree / "local.secret").read_text() == "comes\n"


def test_a_branch_in_two_worktrees_is_left(repo: Repo, wts_inline: Wts) -> None:
    session = a_session(repo, "auth-one")
    repo.git("worktree", "add", "--quiet", "--force", str(repo.path.parent / "second"), session.branch)
    goes_on(repo, "names", "names\n")
    assert rows_of(wts_inline("sync", "--json"))["auth-one"]["code"] == "branch-taken"


def test_an_odd_answer_of_git_is_no_merge(
    repo: Repo, wts_inline: Wts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(repo, "auth-one", "one", "1\n")
    goes_on(repo, "names", "names\n")
    monkeypatch.setattr("worktree_sessions.outside.merging.MERGE_TREE", ("version",))
    before = heads(repo)
    done = wts_inline("sync", "--yes", "--json")
    assert (done.status, rows_of(done)["auth-one"]["code"]) == (6, "unknown")
    assert heads(repo) == before


# -- at the last moment ----------------------------------------------------------------------------


def commits(session: Session) -> None:
    worktree_of(session).git("commit", "--quiet", "--allow-empty", "--message", "one more")


def writes(session: Session) -> None:
    worktree_of(session).write("more", "more\n")


def is_in_the_way(session: Session) -> None:
    (session.worktree / "local.secret").write_text("precious\n")


LATE: list[tuple[str, Callable[[Session], object]]] = [
    ("moved", commits),
    ("untracked", writes),
    ("in-the-way", is_in_the_way),
    ("wrong-branch", lambda session: worktree_of(session).git("switch", "--quiet", "--detach")),
]


@pytest.mark.parametrize(("code", "act"), LATE, ids=[code for code, _ in LATE])
def test_who_has_moved_since_the_plan_drops_out_and_the_others_go_on(
    repo: Repo, code: str, act: Callable[[Session], object]
) -> None:
    one, _, fresh = three(repo)
    goes_on(repo, "local.secret", "comes\n")
    project = project_of(repo)
    planned = syncing.plan(project, [], Way.MERGE)
    act(one)
    before = picture(one.worktree), repo.tip(one.branch)

    done = syncing.carry_out(project, planned)

    assert {row.name: row.code for row in done.rows if row.late} == {"auth-one": code}
    assert (picture(one.worktree), repo.tip(one.branch)) == before
    assert repo.tip(fresh.branch) == repo.tip(TARGET)
    assert done.operation is not None


def test_a_session_that_begins_to_work_after_the_plan_drops_out(repo: Repo, wts_inline: Wts) -> None:
    living = Living(repo, "auth-one")
    living.tells("Stop")
    goes_on(repo, "names", "names\n")
    project = project_of(repo)
    planned = syncing.plan(project, ["1"], Way.MERGE)
    living.tells("UserPromptSubmit")
    before = heads(repo)

    done = syncing.carry_out(project, planned)

    assert [(row.code, row.late) for row in done.rows] == [("working", True)]
    assert done.refusal is not None
    assert (done.refusal.exit, done.operation, heads(repo)) == (3, None, before)
    assert list(project.store.running_dir.glob("*")) == []


def test_no_claude_is_asked_while_the_lock_is_held(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes its time; a session that has registered nothing is asked for by the plan alone."""
    living = Living(repo, "auth-one")
    living.tells("SessionStart", source="startup")
    living.tells("Stop")
    goes_on(repo, "names", "names\n")
    project = project_of(repo)
    busy: list[bool] = []

    def ask(*_: object) -> dict[int, object]:
        busy.append(operate.is_busy(project))
        return {}

    monkeypatch.setattr(asking, "_ask_claude", ask)
    done = syncing.carry_out(project, syncing.plan(project, [], Way.MERGE))
    assert (busy, [row.code for row in done.rows], done.operation is None) == ([False], [None], False)


def test_when_the_parent_has_moved_since_the_plan_all_drop_out(repo: Repo) -> None:
    three(repo)
    project = project_of(repo)
    planned = syncing.plan(project, [], Way.MERGE)
    goes_on(repo, "more", "more\n")
    before = heads(repo)

    done = syncing.carry_out(project, planned)

    assert [row.code for row in done.rows] == ["moved", "conflict", "moved"]
    assert (done.operation, heads(repo)) == (None, before)


def test_a_session_that_was_closed_meanwhile_drops_out(repo: Repo, wts_inline: Wts) -> None:
    one, _, fresh = three(repo)
    project = project_of(repo)
    planned = syncing.plan(project, ["1", "3"], Way.MERGE)
    assert wts_inline("close", one.name).status == 0
    done = syncing.carry_out(project, planned)
    assert [(row.name, row.code) for row in done.rows] == [("auth-one", "gone"), ("auth-fresh", None)]
    assert repo.tip(fresh.branch) == repo.tip(TARGET)


def test_what_only_came_out_at_the_last_moment_stands_in_the_receipt(
    repo: Repo, wts_inline: Wts, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _, _ = three(repo)
    carry_out = syncing.carry_out

    def late(*args: Any) -> Any:
        commits(one)
        return carry_out(*args)

    monkeypatch.setattr(syncing, "carry_out", late)
    done = wts_inline("sync", "1", "3", "--yes")
    assert (done.status, done.out.splitlines()[:3]) == (
        0,
        [
            f"✓ {TARGET} came into 1 session",
            f"  ·  1 auth-one    left: {one.branch} has moved since the plan was made",
            "       hint: wts sync 1",
        ],
    )
    goes_on(repo, "more", "more\n")
    alone = wts_inline("sync", "1", "--yes")
    assert (alone.status, alone.out) == (3, "")
    assert f"auth-one is left as it is: {one.branch} has moved since the plan was made" in alone.err


# -- what git would have done, too ----------------------------------------------------------------------


def test_the_commit_msg_hook_has_its_say(repo: Repo, wts_inline: Wts) -> None:
    one, _, fresh = three(repo)
    hook(repo, f'grep -q "into {one.branch}" "$1" || exit 1; echo "Change-Id: I123" >>"$1"')
    assert wts_inline("sync", "1", "--yes").status == 0
    assert "Change-Id: I123" in repo.git("log", "-1", "--format=%B", one.branch)
    (repo.path / ".git/hooks/commit-msg").unlink()
    goes_on(repo, "more", "more\n")
    hook(repo, "echo no such ticket >&2; exit 1")
    before = repo.tip(one.branch)
    done = wts_inline("sync", "--yes", "--json")
    assert outcomes(done) == {"auth-one": "left", "auth-two": "conflict", "auth-fresh": "synced"}
    row = rows_of(done)["auth-one"]
    assert (row["code"], row["files"]) == ("commit-msg", ["no such ticket"])
    assert (repo.tip(one.branch), repo.tip(fresh.branch)) == (before, repo.tip(TARGET))


def test_a_merge_is_signed_as_the_user_signs_and_a_plan_is_not(
    repo: Repo, wts_inline: Wts, tmp_path: Path
) -> None:
    one, _, _ = three(repo)
    asked = tmp_path / "asked"
    signature = "-----BEGIN PGP SIGNATURE-----\\nx\\n-----END PGP SIGNATURE-----"
    signer(
        repo,
        tmp_path,
        f"cat >/dev/null; echo >>{asked}; echo '[GNUPG:] SIG_CREATED ' >&2; printf '%b\\n' '{signature}'",
    )
    assert wts_inline("sync", "--dry-run").status == 0
    assert not asked.exists()
    assert wts_inline("sync", "1", "3", "--yes").status == 0
    assert "gpgsig -----BEGIN PGP SIGNATURE-----" in repo.git("cat-file", "commit", one.branch)
    assert len(asked.read_text().splitlines()) == 1
    goes_on(repo, "more", "more\n")
    before = heads(repo)
    signer(repo, tmp_path, "exit 2")
    assert wts_inline("sync", "--yes").status == 1
    assert heads(repo) == before


# -- rebase ----------------------------------------------------------------------------------------


def with_history(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session of two commits, by another author at other times."""
    session = a_session(repo, "auth-one")
    for number in (1, 2):
        with monkeypatch.context() as there:
            there.setenv("GIT_AUTHOR_NAME", "Grace")
            there.setenv("GIT_AUTHOR_DATE", f"170000000{number} -0730")
            worktree_of(session).commit(f"file{number}", "x\n", f"Commit {number}\n\nWith a body.")
    return session


TOLD = "--format=%an|%ad|%B%x00"


def test_a_rebase_replays_its_own_commits_with_their_authors_and_dates(
    repo: Repo, wts_inline: Wts, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = with_history(repo, monkeypatch)
    base, old = repo.tip(TARGET), repo.tip(session.branch)
    before, files = heads(repo), picture(session.worktree)
    told = repo.git("log", "--date=raw", TOLD, f"{base}..{session.branch}")
    tip = goes_on(repo, "names", "names\n")
    before[f"refs/heads/{TARGET}"] = tip

    done = wts_inline("sync", "--rebase", "--yes")

    assert done.status == 0, done.err
    assert "1 commit, 1 file; 2 of its own replayed" in done.err
    assert repo.git("rev-list", "--parents", f"{TARGET}..{session.branch}").splitlines()[-1].endswith(tip)
    assert repo.git("log", "--date=raw", TOLD, f"{TARGET}..{session.branch}") == told
    assert is_clean(session)
    repo.git("reflog", "expire", "--expire=now", "--expire-unreachable=now", "--all")
    repo.git("gc", "--prune=now", "--quiet")
    assert is_in(repo, old), "the old tip is pinned"
    assert wts_inline("undo").status == 0
    assert (heads(repo), picture(session.worktree)) == (before, files)
    assert is_clean(session)


def test_what_was_pushed_is_not_rewritten_and_a_merge_is_offered(
    repo: Repo, wts_inline: Wts, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = with_history(repo, monkeypatch)
    repo.git("update-ref", f"refs/remotes/origin/{session.branch}", f"{session.branch}~1")
    goes_on(repo, "names", "names\n")
    before = heads(repo)
    done = wts_inline("sync", "1", "--rebase", "--yes", "--json")
    row = rows_of(done)["auth-one"]
    assert (done.status, row["code"], heads(repo)) == (3, "pushed", before)
    assert f"origin/{session.branch} has them" in row["reason"]
    assert row["hint"] == "to merge instead: wts sync 1"
    assert wts_inline("sync", "1", "--yes").status == 0


def test_what_another_branch_stands_on_is_not_rewritten(
    repo: Repo, wts_inline: Wts, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = with_history(repo, monkeypatch)
    repo.branch("stacked", f"{session.branch}~1")
    goes_on(repo, "names", "names\n")
    done = wts_inline("sync", "1", "--rebase", "--yes", "--json")
    row = rows_of(done)["auth-one"]
    assert (done.status, row["code"]) == (3, "stacked")
    assert row["reason"] == "stacked stands on its commits: they are not rewritten"
    repo.git("branch", "-D", "stacked")
    assert wts_inline("sync", "1", "--rebase", "--yes").status == 0


@pytest.mark.parametrize("held", ["HEAD^1", "HEAD^2"])
def test_a_branch_that_merged_another_is_asked_for_all_of_its_beginnings(
    repo: Repo, wts_inline: Wts, held: str
) -> None:
    """Its own commits may have several; whoever holds any of them counts."""
    session = ready(repo, "auth-one", "one", "1\n")
    tree = worktree_of(session)
    repo.branch("side", "main")
    goes_on(repo, "side", "side\n", "side")
    tree.git("merge", "--quiet", "--no-edit", "side")
    repo.git("branch", "-D", "side")
    repo.git("update-ref", "refs/remotes/origin/side", tree.tip(held))
    goes_on(repo, "names", "names\n")
    assert rows_of(wts_inline("sync", "--rebase", "--json"))["auth-one"]["code"] == "pushed"


def test_a_rebase_that_conflicts_names_the_commit_and_touches_nothing(repo: Repo, wts_inline: Wts) -> None:
    _, two, _ = three(repo)
    before = world(repo, two)
    done = wts_inline("sync", two.name, "--rebase", "--yes", "--json")
    row = rows_of(done)["auth-two"]
    commit = repo.tip(two.branch)[:9]
    assert (done.status, row["files"]) == (4, ["form"])
    assert row["reason"] == f"conflicts with {TARGET}, at its commit {commit} auth-two writes form"
    assert world(repo, two) == before


def test_a_session_without_commits_just_moves_on_when_it_is_rebased(repo: Repo, wts_inline: Wts) -> None:
    _, _, fresh = three(repo)
    assert wts_inline("sync", fresh.name, "--rebase", "--yes").status == 0
    assert repo.tip(fresh.branch) == repo.tip(TARGET)


# -- features --------------------------------------------------------------------------------------


def test_a_feature_follows_the_default_branch(repo: Repo, wts_inline: Wts) -> None:
    session = ready(repo, "auth-one", "one", "1\n")
    goes_on(repo, "names", "names\n")
    old, main = repo.tip(TARGET), repo.commit("base", "base\n", "main goes on")
    for name in ("auth", TARGET):
        shown = wts_inline("sync", "--feature", name, "--dry-run", "--json")
        assert (shown.status, outcomes(shown)) == (0, {"auth": "synced"})

    done = wts_inline("sync", "--feature", "auth", "--yes")

    assert done.status == 0
    assert (
        repo.git("log", "-1", "--format=%P|%s", TARGET) == f"{old} {main}|Merge branch 'main' into {TARGET}"
    )
    assert done.out.splitlines()[:3] == [
        f"✓ main came into {TARGET}",
        f"  ✓ {TARGET}  {old[:9]} → {repo.tip(TARGET)[:9]}, merged",
        "next: wts sync",
    ]
    assert repo.tip(session.branch) != old
    again = wts_inline("sync", "--feature", "auth", "--yes")
    assert (again.status, again.err) == (6, f"{TARGET} has all of main\nhint: wts list\n")
    assert wts_inline("sync", "--yes").status == 0
    assert (session.worktree / "base").exists()
    assert wts_inline("undo").status == 0
    assert not (session.worktree / "base").exists()


def test_a_feature_without_sessions_and_one_that_is_not_there(repo: Repo, wts_inline: Wts) -> None:
    repo.branch("feature/billing")
    repo.commit("base", "base\n", "main goes on")
    assert wts_inline("sync", "--feature", "nope").status == 1
    done = wts_inline("sync", "--feature", "billing", "--feature", "feature/billing", "--yes")
    assert (done.status, "next:" in done.out) == (0, False)
    assert repo.tip("feature/billing") == repo.tip("main")


def test_a_feature_that_conflicts_with_its_base_stays(repo: Repo, wts_inline: Wts) -> None:
    three(repo)
    repo.commit("form", changed_line(3, "by main"), "main")
    before = heads(repo), objects(repo)
    done = wts_inline("sync", "--feature", "auth", "--yes", "--json")
    row = rows_of(done)["auth"]
    assert (done.status, row["outcome"], row["files"]) == (4, "conflict", ["form"])
    assert row["hint"] == f"git -C {repo.path} switch {TARGET} && git -C {repo.path} merge main"
    assert (heads(repo), objects(repo)) == before
    repo.git("worktree", "add", "--quiet", str(repo.path.parent / "home"), TARGET)
    row = rows_of(wts_inline("sync", "--feature", "auth", "--yes", "--json"))["auth"]
    assert row["hint"] == f"git -C {repo.path.parent / 'home'} merge main"


def checked_out(repo: Repo) -> str:
    """The feature in the main worktree, behind main by a change of `form`; returns where it stands."""
    repo.commit("form", LINES, "form")
    repo.commit("other", "1\n", "other")
    old = repo.branch(TARGET)
    repo.commit("form", changed_line(3, "by main"), "main goes on")
    repo.git("switch", "--quiet", TARGET)
    return old


def test_a_feature_that_is_checked_out_follows_with_its_files_and_keeps_what_was_changed(
    repo: Repo, wts_inline: Wts
) -> None:
    checked_out(repo)
    repo.write("other", "by hand\n")
    repo.write("notes", "untracked\n")
    assert wts_inline("sync", "--feature", "auth", "--yes").status == 0
    assert (repo.path / "form").read_text() == changed_line(3, "by main")
    assert repo.git("status", "--porcelain").splitlines() == [" M other", "?? notes"]


def test_a_feature_whose_worktree_has_the_file_changed_is_left_and_the_file_named(
    repo: Repo, wts_inline: Wts
) -> None:
    old = checked_out(repo)
    repo.write("form", "by hand\n")
    done = wts_inline("sync", "--feature", "auth", "--yes", "--json")
    row = rows_of(done)["auth"]
    assert (done.status, row["code"], row["files"]) == (3, "changed", ["form"])
    assert (repo.tip(TARGET), (repo.path / "form").read_text()) == (old, "by hand\n")


def test_a_feature_that_a_working_session_has_checked_out_is_left(repo: Repo, wts_inline: Wts) -> None:
    living = Living(repo, "auth-one")
    repo.commit("base", "base\n", "main goes on")
    done = wts_inline("sync", "--feature", living.session.branch, "--yes", "--json")
    assert (done.status, done.json["errors"][0]["code"]) == (3, "working")


def on_the_remote(repo: Repo, branch: str) -> str:
    """Let a remote be one commit ahead of a branch; return its tip."""
    repo.branch("there", branch)
    tip = goes_on(repo, "remote", "remote\n", "there")
    repo.git("branch", "-D", "there")
    repo.git("config", "remote.origin.url", "https://example.org/app")
    repo.git("update-ref", f"refs/remotes/origin/{branch}", tip)
    return tip


def test_the_base_is_the_fresher_of_local_and_remote_and_it_says_which(repo: Repo, wts_inline: Wts) -> None:
    a_session(repo, "auth-one")
    goes_on(repo, "names", "names\n")
    old, tip = repo.tip(TARGET), on_the_remote(repo, "main")
    done = wts_inline("sync", "--feature", "auth", "--yes")
    head = f"origin/main, 1 commit ahead of main (at {tip[:9]}) would come into {TARGET}"
    assert (done.status, done.err.splitlines()[0]) == (0, head)
    subject = f"Merge remote-tracking branch 'origin/main' into {TARGET}"
    assert repo.git("log", "-1", "--format=%P|%s", TARGET) == f"{old} {tip}|{subject}"


def test_another_base_local_or_of_a_remote(repo: Repo, wts_inline: Wts) -> None:
    a_session(repo, "auth-one")
    repo.branch("release")
    release = goes_on(repo, "release", "x\n", "release")
    assert wts_inline("sync", "--feature", "auth", "--base", "release", "--yes").status == 0
    assert repo.tip(TARGET) == release
    tip = on_the_remote(repo, "main")
    assert wts_inline("sync", "--feature", "auth", "--base", "origin/main", "--yes").status == 0
    assert repo.git("merge-base", "--is-ancestor", tip, TARGET) == ""
    assert wts_inline("sync", "--feature", "auth", "--base", "nix").status == 2


def test_a_parent_that_a_remote_is_ahead_of_is_told_with_the_command_that_fetches_it_in(
    repo: Repo, wts_inline: Wts
) -> None:
    session = a_session(repo, "auth-one")
    cure = f"wts sync --feature {TARGET} --base {TARGET}"
    on_the_remote(repo, TARGET)
    even = wts_inline("sync")
    ahead = f"origin/{TARGET} is 1 commit ahead of {TARGET}"
    assert (even.status, even.err) == (6, f"no session is behind its parent; {ahead}\nhint: {cure}\n")
    local = goes_on(repo, "names", "names\n")
    tip = on_the_remote(repo, TARGET)
    done = wts_inline("sync", "--yes", "--json")
    assert done.json["data"]["notes"] == [
        {"note": f"origin/{TARGET} is 1 commit ahead of {TARGET}", "hint": cure}
    ]
    assert repo.tip(session.branch) == local
    assert wts_inline(*cure.split()[1:], "--yes").status == 0
    assert repo.tip(TARGET) == tip
    assert wts_inline("sync", "--yes").status == 0
    assert repo.tip(session.branch) == tip


@pytest.mark.parametrize(
    "words",
    [("--feature", "auth", "1"), ("--feature", "auth", "--rebase"), ("--base", "main"), ("--all", "1")],
    ids=" ".join,
)
def test_what_does_not_go_together_is_said(repo: Repo, wts_inline: Wts, words: tuple[str, ...]) -> None:
    a_session(repo, "auth-one")
    assert wts_inline("sync", *words).status == 2


# -- killed, and at the same time ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("where", ["checkpoint", "move-branch"])
def test_killed_at_any_moment_no_worktree_is_left_half_updated(
    repo: Repo, wts_inline: Wts, where: str
) -> None:
    one, two, fresh = three(repo)
    both = (one, fresh)
    old = {session.name: repo.tip(session.branch) for session in both}
    files = {session.name: picture(session.worktree) for session in both}
    count = 1
    while dies(repo, where, count, "sync", "1", "3", "--yes"):
        is_sound(repo, wts_inline)
        assert all(is_clean(session) for session in (one, two, fresh))
        moved = {session.name for session in both if repo.tip(session.branch) != old[session.name]}
        assert moved in (set(), set(old))
        if moved:
            assert wts_inline("undo").status == 0
        assert {session.name: repo.tip(session.branch) for session in both} == old
        assert {session.name: picture(session.worktree) for session in both} == files
        count += 1 if where == "checkpoint" else 3
    assert count > 4


@pytest.mark.slow
def test_after_a_kill_the_next_sync_does_it_all(repo: Repo, wts_inline: Wts) -> None:
    one, _, fresh = three(repo)
    for count in itertools.count(1):
        died = dies(repo, "checkpoint", count, "sync", "1", "3", "--yes")
        assert wts_inline("sync", "1", "3", "--yes").status in (0, 6)
        assert all(is_clean(session) for session in (one, fresh))
        assert repo.git("merge-base", "--is-ancestor", TARGET, one.branch) == ""
        assert repo.tip(fresh.branch) == repo.tip(TARGET)
        if not died:
            break
        assert wts_inline("undo").status == 0
    assert count > 4


def test_undo_brings_back_every_branch_and_every_file(repo: Repo, wts_inline: Wts) -> None:
    some = three(repo)
    (some[0].worktree / "my.secret").write_text("ignored\n")
    before = heads(repo), [picture(session.worktree) for session in some]
    done = wts_inline("sync", "--yes", "--json")
    after = heads(repo), [picture(session.worktree) for session in some]
    undone = wts_inline("undo", done.json["data"]["operation"], "--json")
    assert (heads(repo), [picture(session.worktree) for session in some]) == before
    assert all(is_clean(session) for session in some)
    assert wts_inline("undo", undone.json["data"]["operation"]).status == 0
    assert (heads(repo), [picture(session.worktree) for session in some]) == after


def test_two_at_once_lose_nothing(repo: Repo) -> None:
    """One brings it in; the other finds that nothing is behind, or that all has moved."""
    one, _, fresh = three(repo)
    words = [sys.executable, "-m", "worktree_sessions", "sync", "1", "3", "--yes"]
    both = [
        subprocess.Popen(words, cwd=repo.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [one.communicate(timeout=60) for one in both]
    statuses = sorted(one.returncode for one in both)
    assert statuses[0] == 0, said
    assert statuses[1] in (3, 6), said
    assert repo.git("rev-list", "--merges", "--count", one.branch) == "1"
    assert repo.tip(fresh.branch) == repo.tip(TARGET)
    assert is_clean(one)
    assert is_clean(fresh)


def test_a_branch_that_git_holds_takes_all_back(repo: Repo, wts_inline: Wts) -> None:
    one, _, fresh = three(repo)
    before = heads(repo), [picture(session.worktree) for session in (one, fresh)]
    lock = repo.path / ".git" / f"refs/heads/{fresh.branch}.lock"
    lock.touch()
    done = wts_inline("sync", "1", "3", "--yes")
    assert (done.status, fresh.branch in done.err) == (3, True)
    assert (heads(repo), [picture(session.worktree) for session in (one, fresh)]) == before
    assert is_clean(one)
    lock.unlink()
    assert wts_inline("sync", "1", "3", "--yes").status == 0


def test_an_object_that_is_gone_is_no_reason_to_guess(repo: Repo) -> None:
    one, _, _ = three(repo)
    project = project_of(repo)
    planned = syncing.plan(project, ["1"], Way.MERGE)
    tip = repo.tip(one.branch)
    place = repo.path / ".git" / "objects" / tip[:2] / tip[2:]
    place.rename(place.with_suffix(".gone"))
    with pytest.raises(WtsError):
        syncing.carry_out(project, planned)
    place.with_suffix(".gone").rename(place)
    assert tip_of(repo, one.branch) == tip


# -- told ------------------------------------------------------------------------------------------


def test_text_of_others_drives_no_terminal(repo: Repo, wts_inline: Wts) -> None:
    repo.commit("a\x1b[31mfile", LINES, "file")
    ready(repo, "auth-one", "a\x1b[31mfile", changed_line(3, "by one"))
    goes_on(repo, "a\x1b[31mfile", changed_line(3, "by the feature"))
    done = wts_inline("sync")
    assert (done.status, "afile" in done.out, "\x1b" in done.out + done.err) == (4, True, False)


def test_json_has_the_documented_keys(repo: Repo, wts_inline: Wts) -> None:
    three(repo)
    repo.commit("base", "base\n", "main goes on")
    on_the_remote(repo, TARGET)
    shown = keys_of(wts_inline("sync", "--dry-run", "--json").json["data"])
    done = keys_of(wts_inline("sync", "--yes", "--json").json["data"])
    feature = keys_of(wts_inline("sync", "--feature", "auth", "--yes", "--json").json["data"])
    assert {key for key in shown | done | feature if not key.endswith("files[]")} == {
        key for key in json_tables()["wts sync"] if not key.endswith("files[]")
    }
