"""Names: the rules agree with git, each refusal says why and what instead, a target means one session."""

from __future__ import annotations

import contextlib
import subprocess
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worktree_sessions.errors import Exit, UsageError, WtsError
from worktree_sessions.model import names
from worktree_sessions.model.names import Name
from worktree_sessions.model.session import Session
from worktree_sessions.outside.git import BranchName, Oid

PREFIX = "feature/"

TRICKY = st.text(alphabet=st.sampled_from("aZé9-_.@{}~^:?*[/\\ \t\x7f\x1b#$'HEADlock"), max_size=12)
NEARLY = st.builds(
    "".join,
    st.lists(
        st.sampled_from(["auth", "-", ".", "@{", ".lock", "con", "HEAD", "1", "é", "@", " "]), max_size=6
    ),
)
ANY = st.one_of(TRICKY, NEARLY, st.text(max_size=130))


def git_accepts(branch: str) -> bool:
    """Ask git itself; a NUL can't be asked, and is no branch."""
    if "\0" in branch:
        return False
    raw = branch.encode("utf-8", "surrogatepass")
    done = subprocess.run([b"git", b"check-ref-format", b"--branch", raw], capture_output=True, check=False)
    return done.returncode == 0


def accepts(text: str) -> bool:
    try:
        names.check(text, PREFIX)
    except UsageError:
        return False
    return True


NOWHERE = Path("/nowhere")


def session(number: int, name: str, *, worktree: Path = NOWHERE, branch: str | None = None) -> Session:
    feature, _, purpose = name.rpartition("-")
    return Session(
        id=f"id-{number}",
        number=number,
        name=name,
        feature=feature,
        purpose=purpose,
        role=None,
        branch=BranchName(branch or PREFIX + name),
        parent=BranchName(PREFIX + feature),
        worktree=worktree,
        display=name,
        conversation="",
        created=datetime(2026, 1, 1, tzinfo=timezone.utc),
        base=Oid("0" * 40),
    )


# -- splitting ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "features", "role", "expected"),
    [
        (["auth-frontend"], [], None, Name("auth-frontend", "auth", "frontend")),
        (["user-auth-frontend"], [], None, Name("user-auth-frontend", "user-auth", "frontend")),
        (["auth-login-form"], ["auth"], None, Name("auth-login-form", "auth", "login-form")),
        (["user-auth-ui"], ["user", "user-auth"], None, Name("user-auth-ui", "user-auth", "ui")),
        (["authors-ui"], ["auth"], None, Name("authors-ui", "authors", "ui")),
        (["user-auth"], ["user-auth", "user"], None, Name("user-auth-dev", "user-auth", "dev")),
        (["user-auth"], ["user-auth"], "test", Name("user-auth-test", "user-auth", "test")),
        (["auth"], [], None, Name("auth-dev", "auth", "dev")),
        (["auth"], [], "research", Name("auth-research", "auth", "research")),
        (["auth-ui"], [], "test", Name("auth-ui", "auth", "ui")),
        (["user-auth", "a-b"], ["user"], "docs", Name("user-auth-a-b", "user-auth", "a-b")),
        (["cafe\u0301-ui"], ["caf\u00e9"], None, Name("caf\u00e9-ui", "caf\u00e9", "ui")),
        (["caf\u00e9-a-b"], ["cafe\u0301"], None, Name("caf\u00e9-a-b", "caf\u00e9", "a-b")),
        (["2024-frontend"], [], None, Name("2024-frontend", "2024", "frontend")),
        (["auth-ui"], [""], None, Name("auth-ui", "auth", "ui")),
    ],
)
def test_a_name_is_split_into_feature_and_purpose(
    words: Sequence[str], features: Sequence[str], role: str | None, expected: Name
) -> None:
    assert names.split(words, features=features, role=role) == expected


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([], "wts new auth-frontend"),
        (["auth", "login", "form"], "wts new auth login-form"),
        (["7"], "wts new work-7"),
    ],
)
def test_what_is_not_one_or_two_words_is_wrong_usage_with_a_cure(words: Sequence[str], hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        names.split(words, features=[], role=None)
    assert caught.value.hint == hint


# -- checking ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "auth-frontend",
        "auth_front.end-v2",
        "a",
        "x" * 100,
        "日本語-テスト",
        "caf\u00e9-ui",
        "feature",
        "auth-#12",
        "user@home-ui",
        "2024-frontend",
        "icon-ui",
        "con-ui",
        "auth-ui\N{ROCKET}",
        "headless-ui",
    ],
)
def test_a_sound_name_is_taken(text: str) -> None:
    names.check(text, PREFIX)
    assert git_accepts(PREFIX + text)


SHELL = "holds a quote or another character that a shell would interpret"
HIDDEN = "holds a control character or one that can't be seen"
LOCK = "ends with .lock, which git forbids in a branch"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "name (empty) is empty", "work"),
        ("-auth-ui", "name -auth-ui starts with a hyphen", "auth-ui"),
        ("auth-", "name auth- ends with a hyphen", "auth"),
        (".auth-ui", "name .auth-ui starts with a dot", "auth-ui"),
        ("auth-ui.", "name auth-ui. ends with a dot", "auth-ui"),
        (".", "name . starts with a dot", "work"),
        ("..", "name .. starts with a dot", "work"),
        ("auth ui", "name auth ui holds a space", "auth-ui"),
        ("auth\u3000ui", "name auth\u3000ui holds a space", "auth-ui"),
        ("auth\tui", f"name auth\ufffdui {HIDDEN}", "auth-ui"),
        ("auth\x7fui", f"name auth\ufffdui {HIDDEN}", "auth-ui"),
        ("a\x1b[31mb", f"name a\ufffd[31mb {HIDDEN}", "a-31mb"),
        ("a\u202eb", f"name a\ufffdb {HIDDEN}", "a-b"),
        ("a\udcffb", f"name a\ufffdb {HIDDEN}", "a-b"),
        ("feature/auth-ui", "name feature/auth-ui holds a slash", "auth-ui"),
        ("auth/ui", "name auth/ui holds a slash", "auth-ui"),
        ("auth\\ui", "name auth\\ui holds a backslash", "auth-ui"),
        ("a..b", "name a..b holds two dots in a row, which git forbids in a branch", "a.b"),
        ("a@b@{1}", f"name a@b@{{1}} {SHELL}", "a-b-1"),
        ("a-b.lock", f"name a-b.lock {LOCK}", "a-b-lock"),
        ("a-b.LOCK", f"name a-b.LOCK {LOCK}", "a-b-LOCK"),
        ("it's-ui", f"name it's-ui {SHELL}", "it-s-ui"),
        ("$(id)-ui", f"name $(id)-ui {SHELL}", "id-ui"),
        ("#12-ui", "name #12-ui starts with #, which begins a comment in a shell", "12-ui"),
        ("12", "name 12 would be mistaken for a session number", "work-12"),
        ("\u0663", "name \u0663 would be mistaken for a session number", "work-\u0663"),
        ("HEAD", "name HEAD is git's word for the current commit", "work-HEAD"),
        ("@", "name @ is git's word for the current commit", "work"),
        ("CON", "name CON is the name of a device on Windows", "work-CON"),
        ("com1.txt", "name com1.txt is the name of a device on Windows", "work-com1.txt"),
        ("x" * 101, f"name {'x' * 57}... is longer than 100 characters", "x" * 95),
        ("語" * 70, f"name {'語' * 57}... takes more than 200 bytes", "語" * 66),
        *(
            (f"a{bad}b", f"name a{bad}b holds one of ~^:?*[, which git forbids in a branch", "a-b")
            for bad in "~^:?*["
        ),
    ],
)
def test_a_malformed_name_is_refused_with_the_reason_and_a_better_one(
    text: str, message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        names.check(text, PREFIX)
    error = caught.value
    assert (error.code, error.message, error.hint) == ("bad-name", message, f"wts new {hint}")
    assert error.exit == Exit.USAGE


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["x.lock-ui"], f"has the feature x.lock, which {LOCK}", "x-lock-ui"),
        (["x.-ui"], "has the feature x., which ends with a dot", "x-ui"),
        (["auth--ui"], "has the feature auth-, which ends with a hyphen", "auth-ui"),
        (["auth", "-ui"], "has two hyphens where its purpose begins", "auth-ui"),
        (["CON"], "has the feature CON, which is the name of a device on Windows", "work-CON-dev"),
        (["HEAD"], "has the feature HEAD, which is git's word for the current commit", "work-HEAD-dev"),
        (["auth", ""], "ends with a hyphen", "auth"),
        (["", "ui"], "starts with a hyphen", "ui"),
    ],
)
def test_the_feature_is_a_branch_too(words: Sequence[str], message: str, hint: str) -> None:
    name = names.split(words, features=[], role=None)
    with pytest.raises(UsageError) as caught:
        names.check(name, PREFIX)
    assert caught.value.message == f"name {name.name} {message}"
    assert caught.value.hint == f"wts new {hint}"
    names.check(names.split([hint], features=[], role=None), PREFIX)


@settings(max_examples=300, deadline=None)
@given(ANY)
@example("\u037e")  # a Greek question mark: NFC makes a semicolon of it
@example("\u1fef")  # and a backtick of this
def test_what_is_accepted_git_accepts_as_a_branch(text: str) -> None:
    """Also after NFC, as that is how the branch is made."""
    if accepts(text):
        assert git_accepts(PREFIX + unicodedata.normalize("NFC", text))


@settings(max_examples=300, deadline=None)
@given(ANY)
def test_what_git_refuses_is_refused(text: str) -> None:
    if not git_accepts(PREFIX + text):
        assert not accepts(text)


@settings(max_examples=500, deadline=None)
@given(ANY)
@example("a.lock.lock")
@example("x" * 94 + "-y")
@example("a.lock-b.lock")
@example("con-dev")
def test_a_suggestion_is_accepted_as_it_is_and_as_it_would_be_split(text: str) -> None:
    slug = names.suggest(text)
    names.check(slug, PREFIX)
    name = names.split([slug], features=[], role=None)
    names.check(name, PREFIX)
    assert git_accepts(PREFIX + name.name)
    assert git_accepts(PREFIX + name.feature)


@settings(deadline=None)
@given(ANY)
def test_a_sound_name_is_suggested_unchanged_when_it_is_plain(text: str) -> None:
    """Suggesting is idempotent: what was suggested once is not improved again."""
    slug = names.suggest(text)
    assert names.suggest(slug) == slug


@settings(deadline=None)
@given(st.lists(ANY, min_size=1, max_size=2), st.lists(ANY, max_size=3))
def test_splitting_never_loses_a_character(words: list[str], features: list[str]) -> None:
    try:
        name = names.split(words, features=features, role=None)
    except UsageError:
        return
    assert name.name in ("-".join(names.nfc(word) for word in words), names.nfc(words[0]) + "-dev")
    assert name.name == f"{name.feature}-{name.purpose}"


# -- collisions --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "taken", "expected"),
    [
        ("auth-ui", ["auth-db", "auth-ui"], "auth-ui"),
        ("Auth-UI", ["auth-ui"], "auth-ui"),
        ("caf\u00e9-ui", ["CAFE\u0301-ui"], "CAFE\u0301-ui"),
        ("stra\u00dfe-ui", ["STRASSE-ui"], "STRASSE-ui"),
        ("auth-ui", ["auth-ui2"], None),
        ("auth-ui", [], None),
    ],
)
def test_names_that_differ_in_case_or_composition_collide(
    name: str, taken: list[str], expected: str | None
) -> None:
    assert names.collision(name, taken) == expected


# -- targets -----------------------------------------------------------------------------------


def test_a_target_is_a_number_a_name_a_branch_a_path_a_beginning_or_a_purpose(tmp_path: Path) -> None:
    ui = session(1, "auth-ui", worktree=tmp_path / "wt" / "auth-ui")
    ux = session(2, "auth-ux", worktree=tmp_path / "wt" / "auth-ux", branch="other/branch")
    inner = session(12, "billing-report", worktree=tmp_path / "wt" / "auth-ui" / "inner")
    all_of_them = [ui, ux, inner]
    for target, expected in {
        "1": ui,
        "02": ux,
        "auth-ui": ui,
        "AUTH-UI": ui,
        "feature/auth-ui": ui,
        "refs/heads/feature/auth-ui": ui,
        "other/branch": ux,
        str(tmp_path / "wt" / "auth-ux"): ux,
        str(tmp_path / "wt" / "auth-ux" / "src" / "x.py"): ux,
        "./auth-ux/": ux,
        str(ui.worktree / "inner" / "x"): inner,
        "bill": inner,
        "Report": inner,
        "ux": ux,
    }.items():
        assert names.find(target, all_of_them, tmp_path / "wt") == expected, target
    assert names.find(".", all_of_them, inner.worktree / "src") == inner
    assert names.find("..", all_of_them, inner.worktree) == ui


def test_a_path_through_a_link_means_the_session_behind_it(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    one = session(1, "auth-ui", worktree=tmp_path / "real")
    assert names.find(".", [one], tmp_path / "link") == one
    assert names.find("link/x", [one], tmp_path) == one


def test_a_whole_name_wins_over_a_longer_one_that_begins_with_it() -> None:
    short, longer = session(1, "auth-ui"), session(2, "auth-ui-more")
    assert names.find("auth-ui", [longer, short], None) == short
    assert names.find("Auth-Ui", [longer, short], None) == short


@pytest.mark.parametrize("target", ["auth", "a", "ui"])
def test_an_ambiguous_target_lists_the_candidates(target: str) -> None:
    crowd = [session(1, "auth-ui"), session(2, "auth-db"), session(3, "billing-ui")]
    expected = ("1 auth-ui", "3 billing-ui") if target == "ui" else ("1 auth-ui", "2 auth-db")
    with pytest.raises(UsageError) as caught:
        names.find(target, crowd, None)
    assert (caught.value.code, caught.value.details) == ("ambiguous", expected)


@pytest.mark.parametrize(
    ("target", "message", "hint"),
    [
        ("auth-iu", "no session auth-iu", "nearest: auth-ui; all of them: wts list"),
        ("7", "no session 7", "wts list"),
        ("0", "no session 0", "wts list"),
        ("9" * 5000, f"no session {'9' * 57}...", "wts list"),
        ("", "no session ", "wts list"),
        ("zzz", "no session zzz", "wts list"),
        ("/else/where", "no session /else/where", "wts list"),
        (".", "no session of this directory", "wts list"),
        ("a\x1b[2Jb", "no session a\ufffd[2Jb", "wts list"),
    ],
)
def test_a_target_that_means_nothing_is_a_failure_that_names_the_nearest(
    target: str, message: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(WtsError) as caught:
        names.find(target, [session(1, "auth-ui")], tmp_path)
    error = caught.value
    assert (error.code, error.message, error.hint, error.exit) == ("no-session", message, hint, Exit.FAILED)


@settings(deadline=None)
@given(st.text(alphabet=st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20))
def test_no_target_ends_in_a_traceback(target: str) -> None:
    crowd = [session(1, "auth-ui"), session(2, "auth-db")]
    with contextlib.suppress(WtsError):
        assert names.find(target, crowd, Path("/")) in crowd
