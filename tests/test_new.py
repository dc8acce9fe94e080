"""`wts new` and `wts adopt`: every name and every base works or is refused with its reason, never with a traceback."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from tests.conftest import Wts
from tests.support.repos import Repo
from tests.support.sessions import picture, project_of, refs, worktree_of
from worktree_sessions.model.session import Session


def only(repo: Repo) -> Session:
    (session,) = project_of(repo).store.load_all()[0]
    return session


# -- names -----------------------------------------------------------------------------------------

GOOD = {
    "auth-frontend": ("auth-frontend", "auth", "frontend"),
    "user-auth-frontend": ("user-auth-frontend", "user-auth", "frontend"),
    "auth": ("auth-dev", "auth", "dev"),
    "with_underscore-x_y": ("with_underscore-x_y", "with_underscore", "x_y"),
    "v1.2-fix.it": ("v1.2-fix.it", "v1.2", "fix.it"),
    "über-größe": ("über-größe", "über", "größe"),
    unicodedata.normalize("NFD", "über-größe"): ("über-größe", "über", "größe"),
    "日本-語": ("日本-語", "日本", "語"),
    "UPPER-Case": ("UPPER-Case", "UPPER", "Case"),
}


@pytest.mark.parametrize("typed", GOOD)
def test_a_good_name_makes_a_session(repo: Repo, wts_inline: Wts, typed: str) -> None:
    name, feature, purpose = GOOD[typed]
    answer = wts_inline("new", typed, "--no-start", "--json")
    assert answer.status == 0, answer.err
    session = only(repo)
    assert (session.name, session.feature, session.purpose) == (name, feature, purpose)
    assert (session.branch, session.parent) == (f"feature/{name}", f"feature/{feature}")
    assert worktree_of(session).git("symbolic-ref", "HEAD") == f"refs/heads/feature/{name}"
    assert session.worktree == repo.path.parent / "repo.worktrees" / name
    assert answer.json["data"]["session"]["name"] == name
    assert answer.json["data"]["started"] is None
    assert answer.json["data"]["session"]["display"] == f"repo-{purpose}-1"


BAD = [
    ("a b", "space"),
    (" ", "space"),
    ("", "is empty"),
    ("a\tb", "control"),
    ("a\x1b[31mb", "control"),
    ("a\nb", "control"),
    ("a..b", "two dots"),
    ("a@{b", "@{"),
    ("x.lock", ".lock"),
    ("x-y.lock", ".lock"),
    ("a" * 300, "100 characters"),
    ("é" * 101, "100 characters"),
    ("CON", "device"),
    ("con-x", None),
    ("nul.txt", "device"),
    ("a/b", "slash"),
    ("a\\b", "backslash"),
    ("a~b", "git forbids"),
    ("a:b", "git forbids"),
    ("a?b", "git forbids"),
    ("a*b", "git forbids"),
    ("a[b", "git forbids"),
    ("@", "current commit"),
    ("HEAD", "current commit"),
    (".", "dot"),
    ("..", "dot"),
    (".hidden", "dot"),
    ("ends.", "dot"),
    ("ends-", "hyphen"),
    ("12", "number"),
    ("a;b", "shell"),
    ("$(x)", "shell"),
    ("a\u200bb", "can't be seen"),
    ("a\u202eb", "can't be seen"),
]


@pytest.mark.parametrize(("typed", "reason"), BAD)
def test_a_bad_name_is_refused_with_its_reason_and_a_better_one(
    repo: Repo, wts_inline: Wts, typed: str, reason: str | None
) -> None:
    before = refs(repo)
    answer = wts_inline("new", "--no-start", "--", typed)
    if reason is None:
        assert answer.status in (0, 2)
        return
    assert answer.status == 2
    assert reason in answer.err
    assert "hint: wts new " in answer.err
    assert "\x1b" not in answer.err
    assert "Traceback" not in answer.err
    assert refs(repo) == before
    assert not (repo.path.parent / "repo.worktrees").exists()
    better = answer.err.split("hint: wts new ")[1].split()
    assert wts_inline("new", "--no-start", *better).status == 0, better


def test_a_leading_dash_is_refused_behind_two_dashes_and_is_an_option_before(
    repo: Repo, wts_inline: Wts
) -> None:
    assert wts_inline("new", "--no-start", "-x-y").status == 2
    answer = wts_inline("new", "--no-start", "--", "-x-y")
    assert answer.status == 2
    assert "starts with a hyphen" in answer.err


def test_a_name_that_is_not_utf8_is_refused(repo: Repo, wts: Wts) -> None:
    answer = wts("new", "--no-start", os.fsdecode(b"caf\xe9-x"))
    assert answer.status == 2
    assert "Traceback" not in answer.err


def test_names_that_differ_in_case_collide(repo: Repo, wts_inline: Wts) -> None:
    assert wts_inline("new", "auth-frontend", "--no-start").status == 0
    answer = wts_inline("new", "Auth-Frontend", "--no-start")
    assert answer.status == 3
    assert "auth-frontend" in answer.err


def test_the_same_name_again_is_refused(repo: Repo, wts_inline: Wts) -> None:
    assert wts_inline("new", "auth-frontend", "--no-start").status == 0
    before = refs(repo)
    answer = wts_inline("new", "auth-frontend", "--no-start")
    assert answer.status == 3
    assert "session auth-frontend exists already" in answer.err
    assert refs(repo) == before


def test_an_existing_branch_is_refused(repo: Repo, wts_inline: Wts) -> None:
    repo.branch("feature/auth-frontend")
    repo.branch("feature/auth")
    before = refs(repo)
    answer = wts_inline("new", "auth", "frontend", "--no-start")
    assert answer.status == 3
    assert "branch feature/auth-frontend exists already" in answer.err
    assert refs(repo) == before


def test_a_branch_checked_out_elsewhere_names_the_place_and_adopt(
    repo: Repo, wts_inline: Wts, tmp_path: Path
) -> None:
    repo.git("worktree", "add", "-q", "-b", "feature/auth-frontend", str(tmp_path / "by-hand"))
    answer = wts_inline("new", "auth", "frontend", "--no-start")
    assert answer.status == 3
    assert f"wts adopt {tmp_path / 'by-hand'}" in answer.err


def test_an_existing_directory_is_refused_and_untouched(repo: Repo, wts_inline: Wts) -> None:
    there = repo.path.parent / "repo.worktrees" / "Auth-Frontend"
    there.mkdir(parents=True)
    (there / "mine").write_text("mine\n")
    before = refs(repo)
    answer = wts_inline("new", "auth-frontend", "--no-start")
    assert answer.status == 3
    assert str(there) in answer.err
    assert (there / "mine").read_text() == "mine\n"
    assert refs(repo) == before


def test_feature_itself_being_a_branch_is_refused_with_the_cure(repo: Repo, wts_inline: Wts) -> None:
    repo.branch("feature")
    answer = wts_inline("new", "auth-frontend", "--no-start")
    assert answer.status == 3
    assert "feature is a branch itself" in answer.err
    assert "git branch -m feature feature-old" in answer.err


def test_a_feature_that_is_a_directory_of_branches_is_refused(repo: Repo, wts_inline: Wts) -> None:
    repo.branch("feature/auth/login")
    answer = wts_inline("new", "auth-frontend", "--no-start")
    assert answer.status == 3
    assert "feature/auth/login" in answer.err


def test_no_name_is_wrong_usage(repo: Repo, wts_inline: Wts) -> None:
    assert wts_inline("new", "--no-start").status == 2
    assert wts_inline("new", "a", "b", "c", "--no-start").status == 2


def test_a_dry_run_lists_the_steps_that_would_run_and_changes_nothing(repo: Repo, wts_inline: Wts) -> None:
    before = refs(repo)
    shown = wts_inline("new", "auth-frontend", "--no-start", "--dry-run", "--json").json["data"]["steps"]
    assert [line.split()[0] for line in shown] == ["create", "add", "record"]
    assert refs(repo) == before
    assert not (repo.path.parent / "repo.worktrees").exists()


def test_numbers_are_the_lowest_free_ones(repo: Repo, wts_inline: Wts) -> None:
    for name in ("a-x", "b-x", "c-x"):
        assert wts_inline("new", name, "--no-start").status == 0
    assert wts_inline("close", "2").status == 0
    assert wts_inline("new", "d-x", "--no-start", "--json").json["data"]["session"]["number"] == 2


# -- from where ------------------------------------------------------------------------------------


@pytest.fixture
def shared(repo: Repo, tmp_path: Path) -> Repo:
    """The repository's origin, bare, with its main pushed."""
    origin = Repo.create(tmp_path / "origin", "--bare")
    repo.git("remote", "add", "origin", str(origin.path))
    repo.git("push", "-q", "-u", "origin", "main")
    repo.git("remote", "set-head", "origin", "main")
    return origin


def test_a_missing_feature_starts_from_the_default_branch(repo: Repo, wts_inline: Wts) -> None:
    main = repo.tip("main")
    repo.git("checkout", "-q", "-b", "elsewhere")
    repo.commit("x", "x\n", "not on main")
    answer = wts_inline("new", "auth-frontend", "--no-start")
    assert "feature/auth is new, from main" in answer.out
    assert refs(repo)["refs/heads/feature/auth"] == main
    assert worktree_of(only(repo)).tip("HEAD") == main


def test_an_existing_feature_is_the_start(repo: Repo, wts_inline: Wts) -> None:
    repo.git("checkout", "-q", "-b", "feature/auth")
    tip = repo.commit("x", "x\n", "on the feature")
    repo.git("checkout", "-q", "main")
    wts_inline("new", "auth-frontend", "--no-start")
    assert worktree_of(only(repo)).tip("HEAD") == tip


def test_a_remote_tip_that_is_ahead_wins_and_is_told(repo: Repo, shared: Repo, wts_inline: Wts) -> None:
    old = repo.tip("main")
    tip = repo.commit("x", "x\n", "pushed")
    repo.git("push", "-q")
    repo.git("update-ref", "refs/heads/main", old)
    repo.git("reset", "-q", "--hard")
    answer = wts_inline("new", "auth-frontend", "--no-start")
    assert "origin/main, 1 commit ahead of main" in answer.out
    assert worktree_of(only(repo)).tip("HEAD") == tip
    assert repo.tip("main") == old


def test_a_feature_that_only_the_remote_has_is_taken_from_there(
    repo: Repo, shared: Repo, wts_inline: Wts
) -> None:
    repo.git("checkout", "-q", "-b", "feature/auth")
    tip = repo.commit("x", "x\n", "a colleague's")
    repo.git("push", "-q", "origin", "feature/auth")
    repo.git("checkout", "-q", "main")
    repo.git("branch", "-D", "feature/auth")
    answer = wts_inline("new", "auth-frontend", "--no-start")
    assert answer.status == 0
    assert "origin/feature/auth" in answer.out
    assert refs(repo)["refs/heads/feature/auth"] == tip
    assert worktree_of(only(repo)).tip("HEAD") == tip


def test_a_diverged_remote_leaves_the_local_tip(repo: Repo, shared: Repo, wts_inline: Wts) -> None:
    repo.commit("x", "x\n", "pushed")
    repo.git("push", "-q")
    repo.git("reset", "-q", "--hard", "HEAD~1")
    tip = repo.commit("y", "y\n", "local")
    assert wts_inline("new", "auth-frontend", "--no-start").status == 0
    assert worktree_of(only(repo)).tip("HEAD") == tip


def test_several_remotes(repo: Repo, shared: Repo, wts_inline: Wts, tmp_path: Path) -> None:
    second = Repo.create(tmp_path / "second", "--bare")
    repo.git("remote", "add", "fork", str(second.path))
    old = repo.tip("main")
    tip = repo.commit("x", "x\n", "pushed to the fork")
    repo.git("push", "-q", "fork", "main")
    repo.git("reset", "-q", "--hard", old)
    answer = wts_inline("new", "auth-frontend", "--no-start")
    assert answer.status == 0
    assert "fork/main, 1 commit ahead of main" in answer.out
    assert worktree_of(only(repo)).tip("HEAD") == tip


def test_base_is_where_the_session_starts(repo: Repo, wts_inline: Wts) -> None:
    old = repo.tip("HEAD")
    repo.commit("x", "x\n", "second")
    assert wts_inline("new", "auth-frontend", "--base", "HEAD~1", "--no-start").status == 0
    assert worktree_of(only(repo)).tip("HEAD") == old


@pytest.mark.parametrize("base", ["nowhere", "--all", "-x", "HEAD:README.md", "", "a..b"])
def test_a_base_that_names_no_commit_is_wrong_usage(repo: Repo, wts_inline: Wts, base: str) -> None:
    before = refs(repo)
    answer = wts_inline("new", "auth-frontend", "--base", base, "--no-start")
    assert answer.status == 2
    assert refs(repo) == before


def test_a_base_that_is_a_tag(repo: Repo, wts_inline: Wts) -> None:
    repo.git("tag", "-a", "v1", "-m", "v1")
    assert wts_inline("new", "auth-frontend", "--base", "v1", "--no-start").status == 0
    assert only(repo).base == repo.tip("HEAD")


@pytest.mark.parametrize("name", ["trunk", "develop", "Ω", "release/9"])
def test_a_default_branch_named_anything(tmp_path: Path, wts_inline: Wts, name: str) -> None:
    made = Repo.create(tmp_path / "named", f"--initial-branch={name}")
    tip = made.commit("x", "x\n", "start")
    answer = wts_inline("new", "auth-frontend", "--no-start", cwd=made.path)
    assert answer.status == 0
    assert f"from {name}" in answer.out
    assert refs(made)["refs/heads/feature/auth"] == tip


def test_a_detached_main_worktree_without_any_known_branch_name(tmp_path: Path, wts_inline: Wts) -> None:
    made = Repo.create(tmp_path / "odd", "--initial-branch=only")
    made.commit("x", "x\n", "start")
    made.git("checkout", "-q", "--detach")
    assert wts_inline("new", "auth-frontend", "--no-start", cwd=made.path).status == 0


# -- adopt -----------------------------------------------------------------------------------------


def test_a_worktree_made_by_hand_is_adopted_as_it_is(repo: Repo, wts_inline: Wts, tmp_path: Path) -> None:
    place = tmp_path / "some where"
    repo.git("worktree", "add", "-q", "-b", "feature/auth-frontend", str(place))
    tree = Repo(place)
    tree.commit("x", "x\n", "mine")
    tree.write("notes", "untracked\n")
    before = picture(place)
    answer = wts_inline("adopt", str(place))
    assert answer.status == 0, answer.err
    session = only(repo)
    assert (session.name, session.branch, session.parent) == (
        "auth-frontend",
        "feature/auth-frontend",
        "feature/auth",
    )
    assert session.worktree == place
    assert picture(place) == before
    row = wts_inline("list", "--json").json["data"]["sessions"][0]
    assert row["git"]["ahead"] == 1


def test_claudes_own_worktree_is_adopted(repo: Repo, wts_inline: Wts) -> None:
    place = repo.path / ".claude" / "worktrees" / "login"
    repo.git("worktree", "add", "-q", "-b", "worktree-login", str(place))
    answer = wts_inline("adopt", ".claude/worktrees/login")
    assert answer.status == 0, answer.err
    session = only(repo)
    assert (session.branch, session.worktree) == ("worktree-login", place)
    assert session.name == "login-dev"
    assert wts_inline("close", session.name).status == 0
    assert not place.exists()
    assert wts_inline("restore", session.name).status == 0
    assert Repo(place).git("symbolic-ref", "HEAD") == "refs/heads/worktree-login"


def test_adopt_with_a_name_and_a_parent(repo: Repo, wts_inline: Wts) -> None:
    tree = repo.worktree("hand-made")
    answer = wts_inline("adopt", str(tree.path), "--name", "mail-inbox", "--parent", "main")
    assert answer.status == 0, answer.err
    assert (only(repo).name, only(repo).parent) == ("mail-inbox", "main")
    assert "refs/heads/feature/mail" not in refs(repo)


def test_what_cannot_be_adopted_is_refused(repo: Repo, wts_inline: Wts, tmp_path: Path) -> None:
    before = refs(repo)
    assert wts_inline("adopt", str(tmp_path)).status == 2
    assert wts_inline("adopt", str(tmp_path / "nowhere")).status == 2
    main = wts_inline("adopt", ".")
    assert main.status == 3
    assert "main worktree" in main.err
    repo.git("worktree", "add", "-q", "--detach", str(tmp_path / "detached"))
    detached = wts_inline("adopt", str(tmp_path / "detached"))
    assert detached.status == 3
    assert "on no branch" in detached.err
    assert refs(repo) == before
    tree = repo.worktree("hand-made")
    assert wts_inline("adopt", str(tree.path)).status == 0
    again = wts_inline("adopt", str(tree.path))
    assert again.status == 3
    assert "already" in again.err
    assert wts_inline("adopt", str(tree.path), "--parent", "nowhere").status in (2, 3)


def test_adopt_from_inside_the_worktree(repo: Repo, wts_inline: Wts) -> None:
    tree = repo.worktree("hand-made")
    (tree.path / "deep").mkdir()
    assert wts_inline("adopt", ".", cwd=tree.path).status == 0


@pytest.mark.parametrize("typed", ["auth frontend", "feature/auth", "auth@{1}"])
def test_a_refused_name_is_named_as_it_was_typed(repo: Repo, wts_inline: Wts, typed: str) -> None:
    refused = wts_inline("new", typed, "--no-start")
    assert refused.status == 2
    assert f"error: name {typed} " in refused.err


def test_an_adopted_worktree_counts_as_set_up_by_whoever_made_it(repo: Repo, wts_inline: Wts) -> None:
    repo.commit(".wts.toml", '[setup]\nrun = ["false"]\n', "settings")
    tree = repo.worktree("auth-by-hand")
    adopted = wts_inline("adopt", str(tree.path), "--json")
    assert adopted.json["data"]["session"]["setup"] == "none"
