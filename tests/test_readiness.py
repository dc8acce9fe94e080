"""Who may be merged now: each condition blocks, names its cure, and a human overrules only that it is not idle."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Wts
from tests.support.living import Living
from tests.support.looks import HEAD, NOW, a_look
from tests.support.repos import Repo
from tests.support.sessions import a_session, project_of, worktree_of
from worktree_sessions.actions import readiness
from worktree_sessions.actions.listing import list_sessions, look_at_one
from worktree_sessions.actions.watch import Watch
from worktree_sessions.errors import Refused
from worktree_sessions.model.readiness import BUSY, RESTING, is_unfinished, needs_commits, verdict
from worktree_sessions.model.session import MISSING, Look, Session, Setup, State
from worktree_sessions.outside.git import Oid
from worktree_sessions.views.listing import listing_text

READY = a_look(1, "auth-api", ahead=2, unfinished=())


def codes(look: Look) -> list[str]:
    found = verdict(look)
    assert found.ready == (not found.blockers)
    assert all(blocker.message and blocker.cure for blocker in found.blockers)
    return [blocker.code for blocker in found.blockers]


def test_a_conflict_is_no_reason_to_add_everything() -> None:
    """That would take the markers for a resolution, also where other files are changed beside it."""
    look = a_look(3, "auth-api", ahead=1, unmerged=1, changed=2, operation="merge", unfinished=())
    assert [blocker.cure for blocker in verdict(look).blockers if "add -A" in str(blocker.cure)] == []
    assert verdict(look).blockers[0].cure == "wts open 3"


# -- the verdict -----------------------------------------------------------------------------------


BLOCKED: list[tuple[str, Look]] = [
    ("empty", a_look(1, "a-b", unfinished=())),
    ("landed", a_look(1, "a-b", landed=True, unfinished=())),
    ("changed", a_look(1, "a-b", ahead=1, changed=1, unfinished=())),
    ("untracked", a_look(1, "a-b", ahead=1, untracked=1, unfinished=())),
    ("conflicted", a_look(1, "a-b", ahead=1, unmerged=1, unfinished=())),
    ("open-operation", a_look(1, "a-b", ahead=1, operation="merge", unfinished=())),
    ("open-operation", a_look(1, "a-b", ahead=1, operation="bisect", unfinished=())),
    ("wrong-branch", a_look(1, "a-b", ahead=1, on="main", unfinished=())),
    ("wrong-branch", a_look(1, "a-b", ahead=1, on=None, unfinished=())),
    ("held", a_look(1, "a-b", ahead=1, hold="waiting for design", unfinished=())),
    ("held", a_look(1, "a-b", ahead=1, hold="", unfinished=())),
    ("setup", a_look(1, "a-b", ahead=1, setup=Setup.PENDING, unfinished=())),
    ("setup", a_look(1, "a-b", ahead=1, setup=Setup.FAILED, unfinished=())),
    ("setup", a_look(1, "a-b", ahead=1, setup=Setup.UNTRUSTED, unfinished=())),
    ("fixup", a_look(1, "a-b", ahead=1, unfinished=("fixup! form",))),
    ("wip", a_look(1, "a-b", ahead=1, unfinished=("WIP",))),
    ("unknown", a_look(1, "a-b", ahead=1)),
    ("unknown", READY._replace(ahead=None, problem="parent feature/a is gone")),
    *((state.value, a_look(1, "a-b", state, ahead=1, unfinished=())) for state in BUSY),
]


@pytest.mark.parametrize(("code", "look"), BLOCKED, ids=[code for code, _ in BLOCKED])
def test_each_condition_alone_blocks_and_no_mark_overrules_clean(code: str, look: Look) -> None:
    assert codes(look) == [code]
    marked = look._replace(session=look.session._replace(ready=HEAD))
    overruled = BUSY.get(look.now.state, ("", False))[1]
    assert codes(marked) == ([] if overruled else [code])


def test_what_blocks_comes_together() -> None:
    look = a_look(
        1, "a-b", State.FAILED, changed=3, untracked=1, hold="no", operation="merge", setup=Setup.FAILED
    )
    assert codes(look) == ["held", "setup", "changed", "untracked", "open-operation", "empty", "failed"]


@pytest.mark.parametrize("state", RESTING)
def test_who_rests_is_ready_since_then(state: State) -> None:
    look = a_look(1, "a-b", state, since=60, ahead=1, unfinished=())
    assert codes(look) == []
    assert verdict(look).since == NOW - 60
    fresh = a_look(1, "a-b", state, since=None, age=7200, ahead=1, unfinished=())
    assert verdict(fresh).since == NOW - 7200


def test_every_state_is_decided() -> None:
    assert {*RESTING, *BUSY} == set(State)


@pytest.mark.parametrize("problem", [MISSING, "git status failed"])
def test_what_is_gone_or_unknown_blocks(problem: str) -> None:
    look = a_look(1, "a-b", ahead=1, unfinished=(), problem=problem)
    assert codes(look) == ["missing" if problem is MISSING else "unknown"]


def test_a_mark_holds_only_at_its_commit() -> None:
    failed = a_look(1, "a-b", State.FAILED, ahead=1, unfinished=(), marked=HEAD)
    assert codes(failed) == []
    moved = failed._replace(session=failed.session._replace(ready=Oid("2" * 40)))
    assert codes(moved) == ["failed"]


def test_commits_are_asked_for_only_when_all_depends_on_them() -> None:
    assert needs_commits(READY._replace(unfinished=None))
    assert not needs_commits(READY)
    assert not any(needs_commits(look) for code, look in BLOCKED if code not in ("unknown", "fixup", "wip"))


@pytest.mark.parametrize(
    ("subject", "unfinished"),
    [
        ("fixup! Add the form", True),
        ("squash! x", True),
        ("amend! x", True),
        ("WIP", True),
        ("wip: form", True),
        ("[WIP] form", True),
        ("Wipe the disk", False),
        ("Fix up the form", False),
        ("fixup", False),
        ("Drop WIP marks", False),
        ("", False),
    ],
)
def test_a_subject_tells_what_is_unfinished(subject: str, unfinished: bool) -> None:
    assert is_unfinished(subject) is unfinished


# -- as git tells it -------------------------------------------------------------------------------


@pytest.fixture
def session(repo: Repo) -> Session:
    repo.commit("a.txt", "a\n", "a")
    return a_session(repo)


@pytest.fixture
def tree(session: Session) -> Repo:
    tree = worktree_of(session)
    tree.commit("form.txt", "a form\n", "form")
    return tree


def told(repo: Repo, session: Session) -> list[str]:
    """Return the codes of what blocks, as the list tells them; `closely` says the same."""
    project = project_of(repo)
    current = project.store.load(session.name)
    assert current is not None
    look = look_at_one(project, current)
    found = [blocker.code for blocker in verdict(look).blockers]
    assert [one.code for one in readiness.readiness(project, [look])[session.name].blockers] == found
    return found


def test_a_session_from_its_first_commit_on(repo: Repo, session: Session) -> None:
    tree = worktree_of(session)
    assert told(repo, session) == ["empty"]
    tree.write("form.txt", "a form\n")
    assert told(repo, session) == ["untracked", "empty"]
    tree.git("add", "form.txt")
    assert told(repo, session) == ["changed", "empty"]
    tree.git("commit", "--quiet", "--message", "form")
    assert told(repo, session) == []
    tree.git("commit", "--quiet", "--allow-empty", "--message", "fixup! form")
    assert told(repo, session) == ["fixup"]
    tree.git("commit", "--quiet", "--allow-empty", "--message", "wip: more\n\nfixup! is only its body")
    assert told(repo, session) == ["fixup", "wip"]
    tree.git("reset", "--quiet", "--hard", "HEAD~2")
    repo.git("branch", "--force", "feature/auth", "feature/auth-frontend")
    assert told(repo, session) == ["landed"]


def test_a_session_that_only_took_in_its_parent_is_empty_and_has_not_landed(
    repo: Repo, session: Session
) -> None:
    tree, project = worktree_of(session), project_of(repo)
    repo.git("update-ref", "refs/heads/feature/auth", repo.commit("b.txt", "b\n", "b"))
    tree.git("merge", "--quiet", "--ff-only", "feature/auth")
    assert look_at_one(project, session).landed is False
    assert told(repo, session) == ["empty"]
    repo.git("update-ref", "refs/heads/feature/auth", tree.commit("form.txt", "a form\n", "form"))
    assert look_at_one(project, session).landed is True
    assert told(repo, session) == ["landed"]


def test_the_fixup_of_one_session_blocks_no_other(repo: Repo) -> None:
    for name in ("auth-api", "auth-docs", "auth-ui", "shop-cart"):
        worktree_of(a_session(repo, name)).commit(f"{name}.txt", "x\n", name)
    worktree_of(project_of(repo).store.load_all()[0][1]).commit("y.txt", "y\n", "fixup! docs")
    found = {look.session.name: codes(look) for look in list_sessions(project_of(repo)).looks}
    assert found == {"auth-api": [], "auth-docs": ["fixup"], "auth-ui": [], "shop-cart": []}


def test_the_fixups_of_others_are_not_its_own(repo: Repo, session: Session, tree: Repo) -> None:
    home = repo.path.parent / "home"
    repo.git("worktree", "add", "--quiet", str(home), "feature/auth")
    Repo(home).commit("b.txt", "b\n", "fixup! somebody else's")
    tree.git("merge", "--quiet", "--no-edit", "feature/auth")
    assert told(repo, session) == []


def in_a_merge(tree: Repo) -> None:
    tree.git("merge", "--quiet", "--no-ff", "--no-commit", "side")


def in_a_bisect(tree: Repo) -> None:
    tree.git("bisect", "start")


def in_a_rebase(tree: Repo) -> None:
    tree.git("-c", "sequence.editor=sed -i s/^pick/edit/", "rebase", "--quiet", "-i", "HEAD~1")


@pytest.mark.parametrize(
    ("begin", "expected"),
    [
        (in_a_merge, ["changed", "open-operation"]),
        (in_a_bisect, ["open-operation"]),
        (in_a_rebase, ["open-operation", "wrong-branch"]),
    ],
)
def test_an_open_operation_blocks(
    repo: Repo, session: Session, tree: Repo, begin: Callable[[Repo], None], expected: list[str]
) -> None:
    repo.git("branch", "side", "main")
    side = repo.path.parent / "side"
    repo.git("worktree", "add", "--quiet", str(side), "side")
    Repo(side).commit("side.txt", "x\n", "side")
    begin(tree)
    assert told(repo, session) == expected


def test_a_change_that_git_was_told_not_to_see_blocks_who_looks_closer(
    repo: Repo, session: Session, tree: Repo
) -> None:
    tree.git("update-index", "--assume-unchanged", "a.txt")
    tree.write("a.txt", "changed\n")
    project = project_of(repo)
    look = look_at_one(project, session)
    assert verdict(look).ready, "the list asks for no more than git status"
    (blocker,) = readiness.closely(project, look).blockers
    assert blocker.code == "changed"
    assert blocker.cure is not None
    subprocess.run(blocker.cure, shell=True, check=True)
    assert told(repo, session) == ["changed"]


@pytest.mark.parametrize(("undone", "code"), [(False, "landed"), (True, "reverted")])
def test_what_came_home_squashed_blocks_who_looks_closer(
    repo: Repo, session: Session, tree: Repo, undone: bool, code: str
) -> None:
    home = repo.path.parent / "home"
    repo.git("worktree", "add", "--quiet", str(home), "feature/auth")
    Repo(home).git("merge", "--quiet", "--squash", "feature/auth-frontend")
    Repo(home).git("commit", "--quiet", "--message", "frontend")
    if undone:
        Repo(home).git("revert", "--no-edit", "HEAD")
    project = project_of(repo)
    look = look_at_one(project, session)
    assert [one.code for one in readiness.closely(project, look).blockers] == [code]


def test_a_probe_that_fails_blocks(repo: Repo, session: Session, tree: Repo) -> None:
    project = project_of(repo)
    look = look_at_one(project, session)
    repo.git("update-ref", "-d", "refs/heads/feature/auth-frontend")
    assert [one.code for one in readiness.closely(project, look).blockers] == ["unknown"]


def test_a_git_directory_that_is_gone_is_unknown(repo: Repo, session: Session, tree: Repo) -> None:
    (session.worktree / ".git").rename(session.worktree / "git")
    assert told(repo, session) == ["unknown"]


# -- in the list -----------------------------------------------------------------------------------


def test_the_list_marks_who_is_ready_and_tells_who_is_held_back(repo: Repo, wts_inline: Wts) -> None:
    for name in ("auth-api", "auth-docs", "auth-ui"):
        worktree_of(a_session(repo, name)).commit(f"{name}.txt", "x\n", name)
    wts_inline("hold", "auth-docs", "waiting", "for", "design\x1b[2J")
    out = wts_inline("list").out
    rows = {line.split()[1]: line for line in out.splitlines() if "feature/auth" in line}
    assert {name: "↑1 ✓" in row for name, row in rows.items()} == {
        "auth-api": True, "auth-docs": False, "auth-ui": True,
    }  # fmt: skip
    assert "✓ ready: auth-api, auth-ui: wts merge-ready\n" in out
    assert "auth-docs is held back: waiting for design" in out
    assert "\x1b" not in out
    told = {one["name"]: one for one in wts_inline("list", "--json").json["data"]["sessions"]}
    assert (told["auth-api"]["ready"], told["auth-api"]["blockers"]) == (True, [])
    assert told["auth-docs"]["ready"] is False
    assert told["auth-docs"]["blockers"][0]["hint"] == "wts hold 2 --off"


def test_who_is_ready_stands_before_who_is_only_idle(repo: Repo) -> None:
    for name, file in (("auth-api", None), ("auth-ui", "ui.txt")):
        session = a_session(repo, name)
        if file:
            worktree_of(session).commit(file, "x\n", name)
    listing = list_sessions(project_of(repo))
    assert [look.session.name for look in listing.looks] == ["auth-ui", "auth-api"]
    assert "✓" in listing_text(listing, now=NOW, width=80, color=False)


def test_the_board_says_the_same_when_only_the_state_has_changed(repo: Repo) -> None:
    living = Living(repo, "auth-api")
    worktree_of(living.session).commit("a.txt", "x\n", "a")
    watch = Watch(project_of(repo))
    (working,) = watch.listing.looks
    assert codes(working) == ["working"]
    living.tells("Stop")
    assert watch.glance()
    (idle,) = watch.listing.looks
    assert codes(idle) == []
    assert idle == look_at_one(project_of(repo), idle.session)


# -- what a human says -----------------------------------------------------------------------------


def record(repo: Repo, session: Session) -> Session:
    found = project_of(repo).store.load(session.name)
    assert found is not None
    return found


@pytest.fixture
def failed(repo: Repo) -> Session:
    """A session whose last turn failed, with one commit."""
    living = Living(repo, "auth-frontend")
    worktree_of(living.session).commit("form.txt", "a form\n", "form")
    living.tells("StopFailure", error="overloaded")
    return living.session


def test_a_mark_overrules_a_failure_until_the_branch_moves(
    repo: Repo, failed: Session, wts_inline: Wts
) -> None:
    assert told(repo, failed) == ["failed"]
    done = wts_inline("ready", "1")
    assert (done.status, done.err) == (0, "")
    tip = worktree_of(failed).tip("HEAD")
    assert record(repo, failed).ready == tip
    assert tip[:10] in done.out
    assert told(repo, failed) == []
    worktree_of(failed).commit("form.txt", "more\n", "more")
    assert told(repo, failed) == ["failed"]


def test_a_mark_is_refused_where_it_can_overrule_nothing(
    repo: Repo, failed: Session, wts_inline: Wts
) -> None:
    worktree_of(failed).write("note.txt", "only here\n")
    before = record(repo, failed)
    done = wts_inline("ready", "1")
    assert (done.status, done.out) == (3, "")
    assert "1 untracked: note.txt" in done.err
    assert "commit" in done.err
    assert record(repo, failed) == before


def test_a_mark_is_refused_when_the_branch_moves_under_it(
    repo: Repo, failed: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    closely = readiness.closely

    def and_then_it_commits(*args: object) -> object:
        found = closely(*args)  # type: ignore[arg-type]
        worktree_of(failed).commit("form.txt", "more\n", "more")
        return found

    monkeypatch.setattr(readiness, "closely", and_then_it_commits)
    with pytest.raises(Refused, match="moved just now"):
        readiness.mark(project_of(repo), failed)
    assert record(repo, failed).ready is None


def test_the_session_of_this_directory_is_meant(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    assert wts_inline("ready", cwd=session.worktree).status == 0
    assert record(repo, session).ready == tree.tip("HEAD")
    assert wts_inline("ready").status == 1, "the main worktree is no session"


def test_who_is_held_back_waits_until_it_is_ready(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    wts_inline("ready", "1")
    done = wts_inline("hold", "1", "waiting", "for design", "--json")
    assert done.status == 0
    assert done.json["data"]["session"]["blockers"] == [
        {"code": "held", "message": "it is held back: waiting for design", "hint": "wts hold 1 --off"}
    ]
    assert (record(repo, session).hold, record(repo, session).ready) == ("waiting for design", None)
    assert wts_inline("hold", "1", "--off").status == 0
    assert (record(repo, session).hold, told(repo, session)) == (None, [])
    wts_inline("hold", "1")
    assert told(repo, session) == ["held"]
    assert wts_inline("ready", "1", "--json").json["data"]["session"]["ready"] is True
    assert (record(repo, session).hold, told(repo, session)) == (None, [])
    assert wts_inline("hold", "1", "why", "--off").status == 2


def test_who_comes_home_first_is_kept(repo: Repo, session: Session, tree: Repo, wts_inline: Wts) -> None:
    a_session(repo, "auth-api")
    assert wts_inline("ready", "1", "--after", "auth-a", "--after", "2").status == 0
    assert record(repo, session).after == ("auth-api",)
    assert wts_inline("ready", "1").status == 0
    assert record(repo, session).after == ("auth-api",)
    assert wts_inline("ready", "1", "--after", "1").status == 2
    circle = wts_inline("ready", "2", "--after", "1")
    assert (circle.status, "auth-frontend comes after auth-api already" in circle.err) == (2, True), (
        circle.err
    )
    assert wts_inline("ready", "1", "--after", "2", "--after-nobody").status == 2
    assert record(repo, session).after == ("auth-api",)
    assert wts_inline("ready", "1", "--after-nobody").status == 0
    assert record(repo, session).after == ()


def test_why_tells_what_is_missing_and_its_cure(
    repo: Repo, session: Session, tree: Repo, wts_inline: Wts
) -> None:
    assert "\nready to be merged\n" in wts_inline("why", "1").out
    tree.write("note.txt", "x\n")
    out = wts_inline("why", "1").out
    assert "\nnot ready\n  1 untracked: note.txt\n    git -C " in out
    told = wts_inline("why", "1", "--json").json["data"]
    assert (told["ready"], [one["code"] for one in told["blockers"]]) == (False, ["untracked"])


def test_the_cure_of_an_untracked_file_cures_it(
    repo: Repo, session: Session, tree: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.write("note.txt", "x\n")
    (blocker,) = verdict(look_at_one(project_of(repo), session)).blockers
    assert blocker.cure is not None
    monkeypatch.setenv("GIT_EDITOR", "echo note >")
    subprocess.run(blocker.cure, shell=True, check=True, cwd=Path("/"))
    assert told(repo, session) == []
