"""The doctor: everything that can be wrong is found, the command it names cures it, and `--fix` loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.repos import Repo
from tests.support.sessions import a_session, closed, is_in, picture, project_of, refs, worktree_of, world
from worktree_sessions.actions import checks, doctor, githooks, new, snapshot
from worktree_sessions.model.problem import Problem, Severity
from worktree_sessions.model.session import Session, Setup
from worktree_sessions.outside import claude, locks
from worktree_sessions.outside.git import Ref

SOUND = ("git", "git-feature", "claude", "records", "git-hooks")  # what every healthy repository is told
OLD = time.time() - 2 * 86400


@pytest.fixture(autouse=True)
def installed(fake_claude: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claude and wts are on PATH, as for a user who pastes a cure."""
    root = Path(__file__).resolve().parents[1]
    shim = tmp_path / "bin" / "wts"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} -m worktree_sessions "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(shim.parent), os.environ["PATH"]]))


def found(repo: Repo) -> list[Problem]:
    """Return what the doctor finds, but for what it tells of every healthy repository."""
    return without_sound(doctor.examine(project_of(repo)))


def mended(repo: Repo) -> list[Problem]:
    return without_sound(doctor.mend(project_of(repo)))


def without_sound(diagnosis: doctor.Diagnosis) -> list[Problem]:
    return [problem for problem in diagnosis.findings if problem.code not in SOUND or problem.is_left]


def only(problems: list[Problem], code: str) -> Problem:
    """Return the one finding, which has this code."""
    assert [problem.code for problem in problems] == [code]
    return problems[0]


def paste(repo: Repo, command: str | None) -> None:
    """Run a cure as a user would."""
    assert command is not None
    done = subprocess.run(["sh", "-c", command], cwd=repo.path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def change_record(repo: Repo, session: Session, **values: object) -> None:
    project_of(repo).store.save(session._replace(**values))  # type: ignore[arg-type]  # of a test's choice


def make_old(directory: Path) -> None:
    for path in (*directory.rglob("*"), directory):
        os.utime(path, (OLD, OLD), follow_symlinks=False)


# -- a healthy repository --------------------------------------------------------------------------


def test_nothing_is_wrong_with_a_healthy_repository(repo: Repo) -> None:
    session = a_session(repo)
    before = world(repo, session)

    diagnosis = doctor.examine(project_of(repo))

    assert diagnosis.left == ()
    assert {problem.code for problem in diagnosis.findings} <= set(SOUND)
    assert world(repo, session) == before


def test_mending_a_healthy_repository_changes_nothing(repo: Repo) -> None:
    session = a_session(repo)
    before = world(repo, session)
    assert mended(repo) == []
    assert world(repo, session) == before


def test_git_tells_what_its_version_switches_on(repo: Repo) -> None:
    told = [p for p in doctor.examine(project_of(repo)).findings if p.code in ("git", "git-feature")]
    version = repo.git("version").split()[2].split(".")
    assert told[0].severity is Severity.OK
    assert told[0].message.startswith(f"git {version[0]}.{version[1]}: conflicts are predicted")
    assert {p.severity for p in told[1:]} <= {Severity.NOTE}
    assert [problem.message.split(",")[0] for problem in told[1:]] == [
        f"with git {newer}"
        for newer in ("2.41", "2.54")
        if (int(version[0]), int(version[1])) < tuple(map(int, newer.split(".")))
    ]


# -- findings whose cure can be pasted -------------------------------------------------------------


def _remove_worktree(repo: Repo, session: Session) -> None:
    subprocess.run(["rm", "-rf", str(session.worktree)], check=True)


def _empty_directory(repo: Repo, session: Session) -> None:
    _remove_worktree(repo, session)
    session.worktree.mkdir()


def _lose_link(repo: Repo, session: Session) -> None:
    (session.worktree / ".git").unlink()


def _forget(repo: Repo, session: Session) -> None:
    moved = session.worktree.rename(session.worktree.with_name("away"))
    repo.git("worktree", "prune")
    moved.rename(session.worktree)


def _move_by_hand(repo: Repo, session: Session) -> None:
    session.worktree.rename(session.worktree.with_name("moved to"))


def _move_by_git(repo: Repo, session: Session) -> None:
    repo.git("worktree", "move", str(session.worktree), str(repo.path.parent / "moved"))


def _switch(repo: Repo, session: Session) -> None:
    worktree_of(session).git("switch", "--quiet", "-c", "elsewhere")


def _detach(repo: Repo, session: Session) -> None:
    worktree_of(session).git("switch", "--quiet", "--detach")


def _commit_detached(repo: Repo, session: Session) -> None:
    _detach(repo, session)
    worktree_of(session).commit("new.txt", "made on a detached HEAD", "detached")


def _rename_branch(repo: Repo, session: Session) -> None:
    worktree_of(session).git("branch", "-m", "renamed")


def _delete_ref(repo: Repo, session: Session) -> None:
    worktree_of(session).commit("new.txt", "new", "new")
    repo.git("update-ref", "-d", f"refs/heads/{session.branch}")


def _delete_parent(repo: Repo, session: Session) -> None:
    repo.git("branch", "-D", session.parent)


def _delete_parent_that_was_pushed(repo: Repo, session: Session) -> None:
    repo.git("update-ref", f"refs/remotes/origin/{session.parent}", session.parent)
    _delete_parent(repo, session)


def _tear_record(repo: Repo, session: Session) -> None:
    project_of(repo).store.record_file(session.name).write_text("{")


def _same_number(repo: Repo, session: Session) -> None:
    change_record(repo, a_session(repo, "auth-second"), number=session.number)


def _fail_setup(repo: Repo, session: Session) -> None:
    change_record(repo, session, setup=Setup.FAILED)


def _never_end_setup(repo: Repo, session: Session) -> None:
    change_record(repo, session, setup=Setup.PENDING)
    os.utime(project_of(repo).store.record_file(session.name), (OLD, OLD))


def _wait_for_approval(repo: Repo, session: Session) -> None:
    repo.commit(".wts.toml", '[setup]\nrun = ["true"]\n', "set-up")
    change_record(repo, session, setup=Setup.UNTRUSTED)


def _add_stranger(repo: Repo, session: Session) -> None:
    repo.worktree("hand-made")


def _prune_stranger(repo: Repo, session: Session) -> None:
    stranger = repo.worktree("hand-made")
    stranger.git("switch", "--quiet", "--detach")
    subprocess.run(["rm", "-rf", str(stranger.path)], check=True)


def _half_make(repo: Repo, session: Session) -> None:
    admin = repo.path / ".git" / "worktrees" / "cut-short"
    admin.mkdir()
    (admin / "locked").write_text("initializing")
    (admin / "gitdir").write_text(f"{repo.path.parent}/never/.git\n")
    make_old(admin)


def _lose_gitdir(repo: Repo, session: Session) -> None:
    admin = repo.path / ".git" / "worktrees" / session.name
    (admin / "gitdir").unlink()
    make_old(admin)


def _leave_file(repo: Repo, session: Session) -> None:
    path = project_of(repo).store.session_dir(session.name) / ".session.json.x1_abcde"
    path.write_text("{")
    os.utime(path, (OLD, OLD))


def _fill_trash(repo: Repo, session: Session) -> None:
    repo.commit(".gitignore", ".env\n", "ignore")
    other = a_session(repo, "auth-other")
    worktree_of(other).git("merge", "--quiet", "main")
    worktree_of(other).write(".env", "SECRET=1")
    closed(repo, other)


Break = Callable[[Repo, Session], None]
CURABLE: list[tuple[Break, str, Severity, str]] = [
    (_remove_worktree, "missing", Severity.ERROR, "the worktree of auth-frontend is gone: {worktree}"),
    (_empty_directory, "missing", Severity.ERROR, "the worktree of auth-frontend is empty: {worktree}"),
    (
        _lose_link,
        "unlinked",
        Severity.ERROR,
        "the worktree of auth-frontend has lost its link to git: {worktree}",
    ),
    (
        _forget,
        "forgotten",
        Severity.ERROR,
        "git has forgotten the worktree of auth-frontend, whose files are there: {worktree}",
    ),
    (_move_by_hand, "moved", Severity.ERROR, "the worktree of auth-frontend was moved to {parent}/moved to"),
    (_move_by_git, "moved", Severity.ERROR, "the worktree of auth-frontend was moved to {base}/moved"),
    (
        _switch,
        "switched",
        Severity.WARNING,
        "the worktree of auth-frontend is on elsewhere, not on feature/auth-frontend",
    ),
    (_detach, "detached", Severity.WARNING, "HEAD of auth-frontend is detached"),
    (
        _commit_detached,
        "detached",
        Severity.WARNING,
        "HEAD of auth-frontend is detached, with commits that no branch holds",
    ),
    (
        _rename_branch,
        "branch-gone",
        Severity.ERROR,
        "branch feature/auth-frontend of auth-frontend is gone, and its worktree is on renamed",
    ),
    (_delete_ref, "branch-gone", Severity.ERROR, "branch feature/auth-frontend of auth-frontend is gone"),
    (_delete_parent, "parent-gone", Severity.WARNING, "feature/auth, the parent of auth-frontend, is gone"),
    (
        _delete_parent_that_was_pushed,
        "parent-gone",
        Severity.WARNING,
        "feature/auth, the parent of auth-frontend, is gone",
    ),
    (_same_number, "same-number", Severity.ERROR, "auth-frontend, auth-second have the same number, 1"),
    (
        _fail_setup,
        "setup-failed",
        Severity.WARNING,
        "set-up of auth-frontend failed; see {store}/sessions/auth-frontend/setup.log",
    ),
    (_never_end_setup, "setup-pending", Severity.WARNING, "set-up of auth-frontend never ended"),
    (_add_stranger, "no-session", Severity.NOTE, "{base}/hand-made is a worktree without a session"),
    (_prune_stranger, "gone", Severity.NOTE, "git still knows a worktree at {base}/hand-made, which is gone"),
    (
        _half_make,
        "half-made",
        Severity.WARNING,
        "{git}/worktrees/cut-short is of a worktree that was never made: {base}/never",
    ),
    (
        _leave_file,
        "leftover",
        Severity.NOTE,
        "a crash left {store}/sessions/auth-frontend/.session.json.x1_abcde",
    ),
]


@pytest.mark.parametrize(
    ("spoil", "code", "severity", "says"), CURABLE, ids=lambda value: getattr(value, "__name__", None)
)
def test_what_is_wrong_is_told_and_its_cure_works_as_pasted(
    repo: Repo, spoil: Break, code: str, severity: Severity, says: str
) -> None:
    session = a_session(repo)
    worktree_of(session).write("README.md", "changed\n")
    spoil(repo, session)

    problem = only(found(repo), code)

    git = repo.path / ".git"
    places = {
        "worktree": session.worktree,
        "parent": session.worktree.parent,
        "base": repo.path.parent,
        "git": git,
    }
    assert problem.message == says.format(**places, store=git / "wts")
    assert (problem.severity, problem.fixed) == (severity, False)
    assert problem.session in (None, "auth-frontend", "auth-second")
    paste(repo, problem.cure)
    assert [left for left in found(repo) if left.code != "trash"] == []


def test_a_torn_record_is_told_once_and_its_cure_adopts_the_worktree_again(repo: Repo) -> None:
    session = a_session(repo)
    _tear_record(repo, session)

    problem = only(found(repo), "bad-record")

    assert problem.message.startswith("the record of auth-frontend can't be read, and is kept: ")
    assert (problem.severity, problem.session) == (Severity.ERROR, "auth-frontend")
    paste(repo, problem.cure)
    assert found(repo) == []
    assert (project_of(repo).store.record_file(session.name)).with_suffix(".json.bad").read_text() == "{"


def test_a_set_up_that_waits_for_approval_is_told_with_the_command_that_approves(repo: Repo) -> None:
    session = a_session(repo)
    _wait_for_approval(repo, session)
    problem = only(found(repo), "setup-untrusted")
    assert problem.cure == "wts trust && wts setup auth-frontend"
    paste(repo, "wts trust --yes && wts setup auth-frontend")
    assert found(repo) == []


def test_a_set_up_that_may_still_run_is_only_noted(repo: Repo) -> None:
    change_record(repo, a_session(repo), setup=Setup.PENDING)
    assert only(found(repo), "setup-pending").severity is Severity.NOTE


def test_the_trash_is_told_with_its_size(repo: Repo) -> None:
    _fill_trash(repo, a_session(repo))
    problem = only(found(repo), "trash")
    assert problem.message == "the trash holds 8 B"
    assert (problem.severity, problem.cure) == (Severity.NOTE, "wts restore --empty-trash")
    paste(repo, f"{problem.cure} --yes")
    assert found(repo) == []


def test_commits_that_only_a_removed_worktree_of_others_held_are_told_and_can_be_rescued(repo: Repo) -> None:
    stranger = repo.worktree("hand-made")
    stranger.git("switch", "--quiet", "--detach")
    made = stranger.commit("new.txt", "new", "made on a detached HEAD")
    subprocess.run(["rm", "-rf", str(stranger.path)], check=True)

    problem = only(found(repo), "gone")

    assert problem.severity is Severity.WARNING
    assert problem.message.endswith("which is gone, and with it 1 commit that no branch holds")
    paste(repo, problem.cure)
    assert repo.tip("hand-made-rescued") == made
    assert found(repo) == []


def test_many_worktrees_without_a_session_are_one_finding(repo: Repo) -> None:
    for number in range(6):
        repo.worktree(f"w{number}")
    says = only(found(repo), "no-session").message
    base = repo.path.parent
    assert says == f"6 worktrees are without a session: {base}/w0, {base}/w1, {base}/w2 and 3 more"


def test_an_open_rebase_is_no_detached_head(repo: Repo) -> None:
    session = a_session(repo)
    worktree = worktree_of(session)
    worktree.commit("a.txt", "session", "session")
    repo.commit("a.txt", "main", "main")
    subprocess.run(["git", "rebase", "main"], cwd=worktree.path, capture_output=True, check=False)
    problem = only(found(repo), "mid-operation")
    assert (problem.message, problem.severity) == ("a rebase is open in auth-frontend", Severity.NOTE)


# -- half-made operations and worktrees ------------------------------------------------------------


def killed_new(repo: Repo, name: str, moment: str) -> None:
    """Run `wts new` in a process that dies at a moment."""
    code = f"""
import os
from worktree_sessions import __main__
from worktree_sessions.actions import operate
operate.checkpoint = lambda _, moment: os._exit(9) if moment == {moment!r} else None
__main__.run(["new", {name!r}, "--no-start"])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=repo.path, capture_output=True, check=False)
    assert done.returncode == 9, done.stderr


def test_an_interrupted_operation_is_found_and_rolled_back(repo: Repo) -> None:
    before = refs(repo)
    killed_new(repo, "auth-frontend", "after 1")

    problem = only([one for one in found(repo) if one.code != "no-session"], "unfinished")
    assert problem.message == "an interrupted new of auth-frontend is half done (2 of 3 steps)"
    assert (problem.severity, problem.cure, problem.session) == (
        Severity.ERROR,
        "wts doctor --fix",
        "auth-frontend",
    )

    problem = only(mended(repo), "unfinished")
    assert (problem.message, problem.fixed) == ("an interrupted new of auth-frontend was rolled back", True)
    assert found(repo) == []
    assert refs(repo) == before
    assert a_session(repo).number == 1


def test_an_operation_that_is_under_way_is_no_finding(repo: Repo) -> None:
    killed_new(repo, "auth-frontend", "after 0")
    project = project_of(repo)
    with locks.writing(project.store.lock_file, "wts sync", timeout=1):
        assert only(found(repo), "busy").message == f"another wts is at work: wts sync (pid {os.getpid()})"
        assert only(mended(repo), "busy").severity is Severity.NOTE
    assert only(found(repo), "unfinished").severity is Severity.ERROR


def test_an_unreadable_journal_is_set_aside_and_kept(repo: Repo) -> None:
    a_session(repo)
    journal = project_of(repo).store.operations_dir / "running" / "x.jsonl"
    journal.write_text("{")
    fixed, kept = mended(repo)
    assert (fixed.code, fixed.fixed) == ("unfinished", True)
    assert (kept.code, kept.severity) == ("set-aside", Severity.NOTE)
    assert journal.with_suffix(".unreadable").read_text() == "{"


def test_an_entry_without_gitdir_is_linked_again_where_its_worktree_is(repo: Repo) -> None:
    session = a_session(repo)
    worktree_of(session).write("new.txt", "untracked")
    before = picture(session.worktree, skip=())
    _lose_gitdir(repo, session)

    assert "half-made" in [problem.code for problem in found(repo)]
    assert only(mended(repo), "half-made").fixed

    assert found(repo) == []
    assert picture(session.worktree, skip=()) == before
    assert "?? new.txt" in worktree_of(session).git("status", "--porcelain")


def test_a_half_made_entry_goes_to_the_trash_and_its_commits_stay(repo: Repo) -> None:
    lost = repo.worktree("lost")
    lost.git("switch", "--quiet", "--detach")
    made = lost.commit("new.txt", "new", "only here")
    admin = repo.path / ".git" / "worktrees" / "lost"
    before = picture(admin)
    (admin / "gitdir").unlink()
    make_old(admin)
    subprocess.run(["rm", "-rf", str(lost.path)], check=True)

    assert [(p.code, p.fixed) for p in mended(repo)] == [("half-made", True), ("trash", False)]

    assert not admin.exists()
    kept = next(project_of(repo).store.trash_dir.glob("half-made-lost-*/admin"))
    assert picture(kept) == {path: facts for path, facts in before.items() if path != "gitdir"}
    repo.git("reflog", "expire", "--expire-unreachable=now", "--all")
    repo.git("gc", "--prune=now", "--quiet")
    assert is_in(repo, made)


def test_a_worktree_in_the_making_is_left_alone(repo: Repo) -> None:
    _half_make(repo, a_session(repo))
    admin = repo.path / ".git" / "worktrees" / "cut-short"
    os.utime(admin / "locked")
    assert [p for p in mended(repo) if p.code == "half-made"] == []
    assert admin.exists()


def test_only_what_a_crash_left_is_removed(repo: Repo) -> None:
    """The trash holds files of the user, whatever their names."""
    session = a_session(repo)
    store = project_of(repo).store
    plugin = claude.install_plugin(store.claude_dir, session.name)
    torn = store.claude_dir / ".plugin-abcd1234"
    torn.mkdir()
    (torn / "event.py").write_text("")
    users = store.trash_dir / "x" / "kept" / ".env.abcd1234"
    users.parent.mkdir(parents=True)
    users.write_text("SECRET=1")
    for path in (torn, users):
        os.utime(path, (OLD, OLD))
    young = store.session_dir(session.name) / ".session.json.abcd1234"
    young.write_text("{")

    assert [p.message for p in mended(repo) if p.fixed] == [f"a crash left {torn}"]

    assert users.read_text() == "SECRET=1"
    assert young.exists()
    assert plugin.is_dir()


# -- Claude ----------------------------------------------------------------------------------------


def test_a_missing_claude_is_a_warning_unless_none_is_wanted(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WTS_CLAUDE", "no-such-claude")
    problem = only(found(repo), "no-claude")
    assert problem.severity is Severity.WARNING
    assert problem.message == "no-such-claude was not found: sessions are made, but no Claude starts"
    monkeypatch.setenv("WTS_START", "none")
    assert only(found(repo), "no-claude").severity is Severity.NOTE


@pytest.mark.parametrize(
    ("version", "code"), [("2.1.161", "old-claude"), ("2.1.162", "claude"), ("3.0", "claude")]
)
def test_an_old_claude_is_told(repo: Repo, monkeypatch: pytest.MonkeyPatch, version: str, code: str) -> None:
    monkeypatch.setenv("FAKE_CLAUDE_VERSION", version)
    claude._ask.cache_clear()
    findings = doctor.examine(project_of(repo)).findings
    claude._ask.cache_clear()
    assert code in [problem.code for problem in findings]
    assert any(f"Claude {version}" in problem.message for problem in findings)


def test_options_that_this_claude_lacks_are_noted(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_CLAUDE_WITHOUT", "--name --session-id")
    claude._ask.cache_clear()
    problem = only(found(repo), "claude-options")
    claude._ask.cache_clear()
    assert problem.message == "this Claude lacks --name, --session-id; it is left out"


def test_hooks_that_the_user_turned_off_are_noted_and_the_file_is_left(repo: Repo) -> None:
    file = claude.config_dir() / "settings.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"disableAllHooks": true}')
    problem = only(found(repo), "hooks-off")
    assert problem.severity is Severity.NOTE
    assert problem.message.startswith(f"disableAllHooks in {file} silences every hook")
    assert file.read_text() == '{"disableAllHooks": true}'
    file.write_text('{"disableAllHooks": false}')
    assert found(repo) == []


def test_a_started_session_without_its_plugin_is_noted(repo: Repo) -> None:
    session = a_session(repo)
    change_record(repo, session, started=True)
    assert only(found(repo), "no-plugin").session == "auth-frontend"
    claude.install_plugin(project_of(repo).store.claude_dir, "auth-other")
    assert only(found(repo), "no-plugin").severity is Severity.NOTE
    claude.install_plugin(project_of(repo).store.claude_dir, session.name)
    assert found(repo) == []


def test_an_event_log_that_can_not_be_written_is_an_error(repo: Repo) -> None:
    session = a_session(repo)
    file = project_of(repo).store.events_file(session.name)
    file.mkdir()
    problems = [problem for problem in found(repo) if problem.code == "no-events"]
    assert only(problems, "no-events").message == (
        f"the event log of auth-frontend can't be written (Is a directory): {file}"
    )


# -- imports of a Python project -------------------------------------------------------------------


def python_project(repo: Repo, layout: str) -> None:
    """Commit a project with one package, in `src` or in `.`."""
    repo.commit("pyproject.toml", '[project]\nname = "shop"\nversion = "1"\n', "project")
    repo.commit(f"{layout}/shop/__init__.py", "raise SystemExit('imported')\n", "package")
    repo.commit(".gitignore", ".venv/\n", "ignore")


def a_venv(path: Path, *links_to: Path) -> None:
    """Make an environment with an editable install of what lies in the directories."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path)], check=True)
    site = next(path.glob("lib/python*/site-packages"))
    (site / "shop.pth").write_text("".join(f"{link}\n" for link in links_to))


def on_path(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join([str(venv / "bin"), os.environ["PATH"]]))


@pytest.mark.parametrize(
    ("layout", "who"), [("src", "Python imports"), (".", "programs such as pytest import")]
)
def test_an_editable_install_of_the_main_worktree_is_told_in_a_session(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, who: str
) -> None:
    python_project(repo, layout)
    session = a_session(repo)
    a_venv(tmp_path / "shared", repo.path / layout)
    on_path(tmp_path / "shared", monkeypatch)

    problem = only(found(repo), "wrong-import")

    package = (repo.path / layout / "shop").resolve()
    assert problem.message == (
        f"in auth-frontend, {who} shop from {package}: the main worktree's files, not its own"
    )
    at = session.worktree
    assert problem.cure == f"python3 -m venv {at}/.venv && {at}/.venv/bin/python -m pip install -e {at}"
    assert (problem.severity, problem.session) == (Severity.WARNING, "auth-frontend")

    a_venv(at / ".venv", at / layout)
    assert found(repo) == []


def test_an_own_environment_that_leads_to_another_session_is_told(repo: Repo) -> None:
    python_project(repo, "src")
    session, other = a_session(repo), a_session(repo, "auth-other")
    for worktree in (session.worktree, other.worktree):
        a_venv(worktree / ".venv", other.worktree / "src")
    problem = only(found(repo), "wrong-import")
    assert problem.message == (
        f"in auth-frontend, Python imports shop from {other.worktree}/src/shop: auth-other's files, not its own"
    )
    assert problem.cure == f"{session.worktree}/.venv/bin/python -m pip install -e {session.worktree}"


def test_an_installed_copy_is_told(repo: Repo) -> None:
    python_project(repo, "src")
    session = a_session(repo)
    a_venv(session.worktree / ".venv")
    copy = next((session.worktree / ".venv").glob("lib/python*/site-packages")) / "shop"
    copy.mkdir()
    (copy / "__init__.py").write_text("")
    problem = only(found(repo), "wrong-import")
    assert (
        problem.message
        == f"in auth-frontend, Python imports shop from {copy}: an installed copy, not its own"
    )


def test_a_package_that_is_installed_nowhere_is_noted(repo: Repo) -> None:
    python_project(repo, "src")
    session = a_session(repo)
    worktree_of(session).write("uv.lock", "")
    a_venv(session.worktree / ".venv")
    problem = only(found(repo), "not-importable")
    assert problem.message == "Python in auth-frontend can't import shop: it is not installed there"
    assert (problem.severity, problem.cure) == (Severity.NOTE, f"uv sync --directory {session.worktree}")


def test_looking_for_a_package_runs_nothing_of_the_repository(repo: Repo, tmp_path: Path) -> None:
    """Neither the package nor a file that takes a standard module's name; nor a Python that came with the clone."""
    python_project(repo, ".")
    for module in ("json.py", "importlib.py", "random.py", "sitecustomize.py"):
        repo.commit(module, f"open({str(tmp_path / 'ran')!r}, 'w')\n", "trap")
    a_session(repo)
    assert found(repo) == []
    python = repo.write(".venv/bin/python", f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    python.chmod(0o755)
    repo.git("add", "--force", ".venv")
    repo.git("commit", "--quiet", "--message", "trap")
    other = a_session(repo, "other-frontend")
    assert (other.worktree / ".venv/bin/python").exists()
    problem = only(found(repo), "unknown")
    assert problem.message == "imports of other-frontend were not looked at: its .venv is tracked"
    assert not (tmp_path / "ran").exists()


def test_a_python_that_fails_is_unknown(repo: Repo) -> None:
    python_project(repo, "src")
    python = a_session(repo).worktree / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    python.chmod(0o755)
    problem = only(found(repo), "unknown")
    assert problem.message == f"imports could not be looked at: {python} in auth-frontend: broken"


# -- the repository --------------------------------------------------------------------------------


def test_git_hooks_that_somebody_replaced_are_told(repo: Repo) -> None:
    def told() -> Problem:
        return only(
            [p for p in doctor.examine(project_of(repo)).findings if p.code == "git-hooks"], "git-hooks"
        )

    assert (told().severity, told().cure) == (Severity.NOTE, "wts hooks install")
    githooks.install(project_of(repo))
    assert told().severity is Severity.OK
    script = project_of(repo).store.root / "hooks" / "wts-hook.sh"
    script.write_text("# an older one\n")
    assert (told().severity, told().message) == (Severity.WARNING, "git hooks are of another version of wts")
    assert told().cure == "wts hooks install"
    githooks.install(project_of(repo))
    assert told().severity is Severity.OK


def test_a_disk_that_is_nearly_full_is_told(tmp_path: Path) -> None:
    assert checks.of_free_space(tmp_path, 500_000_000) is None
    problem = checks.of_free_space(tmp_path, 499_000_000)
    assert problem is not None
    assert (problem.code, problem.message) == ("disk-full", f"only 499.0 MB are free at {tmp_path}")


def test_a_probe_that_fails_is_a_finding_and_stops_no_other(repo: Repo) -> None:
    session = a_session(repo)
    _switch(repo, session)
    (claude.config_dir()).mkdir(parents=True)
    (claude.config_dir() / "settings.json").write_text("{")
    unknown, switched = found(repo)
    assert unknown.message.startswith("Claude's hooks could not be looked at: ")
    assert (unknown.code, unknown.severity) == ("unknown", Severity.WARNING)
    assert switched.code == "switched"


def test_a_mend_that_fails_is_a_finding_and_hides_no_other(repo: Repo) -> None:
    session = a_session(repo)
    _half_make(repo, session)
    project_of(repo).store.trash_dir.write_text("in the way")
    (claude.config_dir()).mkdir(parents=True)
    (claude.config_dir() / "settings.json").write_text("{")
    says = [problem.message.partition(":")[0] for problem in mended(repo)]
    admin = repo.path / ".git" / "worktrees" / "cut-short"
    assert says == [
        "half-made worktrees could not be mended",
        "Claude's hooks could not be looked at",
        f"{admin} is of a worktree that was never made",
    ]
    assert admin.is_dir()


def test_a_bare_repository_is_examined_too(repo: Repo, tmp_path: Path) -> None:
    bare = Repo(tmp_path / "bare.git")
    repo.git("clone", "--quiet", "--bare", ".", str(bare.path))
    new.make(project_of(bare), new.Order(words=("auth-frontend",)))
    assert found(bare) == []


def test_a_repository_without_a_commit_is_examined_too(tmp_path: Path) -> None:
    assert found(Repo.create(tmp_path / "empty")) == []


def test_what_only_an_entry_holds_is_kept_on_a_ref(repo: Repo) -> None:
    project = project_of(repo)
    worktree = repo.worktree("other")
    admin = Path(worktree.git("rev-parse", "--absolute-git-dir"))
    snapshot.keep_only_in(project.git, admin, Ref("refs/wts/kept/none"))
    assert "refs/wts/kept/none" not in refs(repo)
    worktree.git("switch", "--quiet", "--detach")
    made = [worktree.commit("a", str(number), f"commit {number}") for number in range(2)]
    assert snapshot.only_in(project.git, admin) == made[::-1]
    snapshot.keep_only_in(project.git, admin, Ref("refs/wts/kept/some"))
    assert set(made) <= set(repo.git("rev-list", "refs/wts/kept/some").split())
