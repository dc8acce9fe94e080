"""Set-up of a worktree: ignored files come along, approved commands run, and the outcome is recorded."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.support.repos import Repo
from worktree_sessions.actions import configure
from worktree_sessions.actions.project import Project, open_project
from worktree_sessions.actions.setup import SetupResult, include_files, run_setup
from worktree_sessions.errors import WtsError
from worktree_sessions.model.session import Session, Setup
from worktree_sessions.outside import processes
from worktree_sessions.outside.git import BranchName, Git, Oid


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def include(repo: Repo, worktree: Repo) -> dict[str, str]:
    return include_files(repo.path, worktree.path, Git(repo.path))


def files_in(top: Path) -> set[str]:
    found = (path.relative_to(top) for path in top.rglob("*") if path.is_symlink() or not path.is_dir())
    return {str(path) for path in found if path.parts[0] != ".git"}


# -- files that come along ----------------------------------------------------------------------


def test_listed_files_that_git_ignores_are_copied_and_no_others(repo: Repo) -> None:
    repo.commit(".gitignore", ".env*\nconf/\nbuild/\n*.odd\n", "ignore")
    repo.write(".worktreeinclude", ".env*\n!.env.prod\nconf/*.key\nplain.txt\nREADME.md\n*.odd\n")
    wanted = {".env": b"A=1\n", "conf/a.key": b"\x00\xff", ":!x.odd": b"o", "new\nline.odd": b"n"}
    for path, content in wanted.items():
        repo.write(path, content)
    for path in (".env.prod", "conf/b.txt", "build/out", "plain.txt"):
        repo.write(path, "left behind")
    worktree = repo.worktree("other")
    before = files_in(worktree.path)

    included = include(repo, worktree)

    assert included == {path: sha256(content) for path, content in wanted.items()}
    assert files_in(worktree.path) - before == set(wanted)
    assert {path: (worktree.path / path).read_bytes() for path in wanted} == wanted
    assert worktree.git("status", "--porcelain") == ""


def test_modes_times_and_links_are_kept(repo: Repo) -> None:
    repo.commit(".gitignore", "*.local\n", "ignore")
    repo.write(".worktreeinclude", "*.local\n")
    tool = repo.write("tool.local", "#!/bin/sh\n")
    tool.chmod(0o750)
    os.utime(tool, (1_000_000_000, 1_000_000_000))
    (repo.path / "link.local").symlink_to("tool.local")
    (repo.path / "dangling.local").symlink_to("/nowhere/at/all")
    worktree = repo.worktree("other")

    included = include(repo, worktree)

    copied = (worktree.path / "tool.local").stat()
    assert (copied.st_mode & 0o777, copied.st_mtime) == (0o750, 1_000_000_000)
    assert os.readlink(worktree.path / "link.local") == "tool.local"
    assert os.readlink(worktree.path / "dangling.local") == "/nowhere/at/all"
    assert included["dangling.local"] == sha256(b"/nowhere/at/all")


def test_what_is_there_already_is_never_overwritten(repo: Repo) -> None:
    repo.commit(".gitignore", "*.local\n", "ignore")
    repo.write(".worktreeinclude", "*.local\n")
    for name in ("edited", "same", "taken", "linked", "dangling"):
        repo.write(f"{name}.local", "of main")
    worktree = repo.worktree("other")
    worktree.write("edited.local", "of the session")
    worktree.write("same.local", "of main")
    (worktree.path / "taken.local").mkdir()
    target = worktree.write("target.local", "of the session")
    (worktree.path / "linked.local").symlink_to("target.local")
    (worktree.path / "dangling.local").symlink_to(repo.path.parent / "outside")

    assert include(repo, worktree) == {"same.local": sha256(b"of main")}
    assert not (repo.path.parent / "outside").exists()
    assert (worktree.path / "edited.local").read_text() == "of the session"
    assert target.read_text() == "of the session"


def test_a_second_run_finds_what_the_first_one_copied(repo: Repo) -> None:
    repo.commit(".gitignore", "*.local\n", "ignore")
    repo.write(".worktreeinclude", "*.local\n")
    repo.write("a.local", "a")
    worktree = repo.worktree("other")
    assert include(repo, worktree) == include(repo, worktree) == {"a.local": sha256(b"a")}


def test_a_link_in_the_worktree_leads_nothing_out_of_it(repo: Repo, tmp_path: Path) -> None:
    repo.commit(".gitignore", "conf/*\nkeys/\n", "ignore")
    repo.write(".worktreeinclude", "conf/\nkeys/\n")
    repo.write("conf/secret", "s")
    repo.write("keys/secret", "s")
    outside = tmp_path / "outside"
    outside.mkdir()
    worktree = repo.worktree("other")
    (worktree.path / "conf").symlink_to(outside)

    assert list(include(repo, worktree)) == ["keys/secret"]
    assert list(outside.iterdir()) == []


def test_a_secret_that_the_branch_does_not_ignore_stays_where_it_is(repo: Repo) -> None:
    repo.write(".gitignore", ".env\n")  # not committed: the session's branch knows nothing of it
    repo.write(".worktreeinclude", ".env\n")
    repo.write(".env", "SECRET=1\n")
    worktree = repo.worktree("other")
    assert include(repo, worktree) == {}
    assert files_in(worktree.path) == {"README.md"}


def test_a_file_that_the_main_worktree_does_not_ignore_is_not_copied(repo: Repo) -> None:
    repo.commit(".gitignore", "notes.txt\n", "ignore")
    worktree = repo.worktree("other")
    repo.write(".gitignore", "")
    repo.write(".worktreeinclude", "notes.txt\n")
    repo.write("notes.txt", "about to be committed")
    assert include(repo, worktree) == {}


def test_a_file_where_a_directory_would_be_needed_stays(repo: Repo) -> None:
    repo.commit(".gitignore", "conf/*\n", "ignore")
    worktree = repo.worktree("other")
    worktree.commit("conf", "a file here", "conf")
    repo.write(".worktreeinclude", "conf/\n")
    repo.write("conf/secret", "s")
    assert include(repo, worktree) == {}
    assert (worktree.path / "conf").read_text() == "a file here"


def test_repositories_and_worktrees_inside_are_left_out(repo: Repo) -> None:
    repo.commit(".gitignore", "inner/\n.trees/\n", "ignore")
    repo.write(".worktreeinclude", "inner/\n.trees/\n.env\n")
    Repo.create(repo.path / "inner").write("file", "x")
    repo.git("worktree", "add", "--quiet", ".trees/a")
    worktree = repo.worktree("other")
    assert include(repo, worktree) == {}


def test_a_path_that_git_cannot_judge_does_not_hold_back_the_others(repo: Repo, tmp_path: Path) -> None:
    """The branch has a submodule where main has an ignored directory: check-ignore dies of such a path."""
    repo.commit(".gitignore", "lib/\n*.local\n", "ignore")
    part = Repo.create(tmp_path / "part")
    part.commit("a", "a", "a")
    worktree = repo.worktree("other")
    worktree.git("submodule", "--quiet", "add", "--force", str(part.path), "lib")
    worktree.git("commit", "--quiet", "--message", "lib")
    repo.write(".worktreeinclude", "lib/\n*.local\n")
    for path in ("a.local", "lib/x", "z.local"):
        repo.write(path, path)
    assert list(include(repo, worktree)) == ["a.local", "z.local"]
    assert not (worktree.path / "lib" / "x").exists()


def test_without_a_list_or_a_main_worktree_git_is_not_asked(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "run", lambda *_, **__: pytest.fail("git was asked"))
    assert include_files(repo.path, tmp_path / "worktree", Git(repo.path)) == {}
    repo.write(".worktreeinclude", "*\n")
    assert include_files(None, tmp_path / "worktree", Git(repo.path)) == {}


# -- commands -----------------------------------------------------------------------------------


def a_session(repo: Repo, **changes: Any) -> Session:
    worktree = repo.worktree("auth-frontend")
    session = Session(
        id="0123",
        number=1,
        name="auth-frontend",
        feature="auth",
        purpose="frontend",
        role=None,
        branch=BranchName("feature/auth-frontend"),
        parent=BranchName("feature/auth"),
        worktree=worktree.path,
        display="repo-frontend-1",
        conversation="c",
        created=datetime(2026, 1, 2, tzinfo=timezone.utc),
        base=Oid(repo.tip("HEAD")),
        setup=Setup.PENDING,
    )
    session = session._replace(**changes)
    open_project(repo.path).store.save(session)
    return session


def asking_for(repo: Repo, *commands: str, **flags: Any) -> Project:
    """The project as it is when the user's own settings ask for commands."""
    return open_project(repo.path, {"setup.run": list(commands), **flags})


def saved(project: Project) -> Session:
    session = project.store.load("auth-frontend")
    assert session is not None
    return session


def log_of(result: SetupResult) -> str:
    assert result.log is not None
    return result.log.read_text()


def test_commands_run_in_the_worktree_in_order_with_the_sessions_variables(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = a_session(repo)
    shown = "$WTS_SESSION $WTS_NUMBER $WTS_BRANCH $WTS_PARENT $WTS_MAIN ${GIT_DIR-none}"
    project = asking_for(repo, "pwd > one", f'cat one; echo "{shown}"; echo warning >&2')
    monkeypatch.setenv("WTS_SESSION", "another-one")
    monkeypatch.setenv("GIT_DIR", "/nowhere")

    result = run_setup(project, session)

    said = f"auth-frontend 1 feature/auth-frontend feature/auth {repo.path} none"
    assert (result.status, result.failed, result.code) == (Setup.DONE, None, 0)
    assert log_of(result) == (
        "$ pwd > one\n[status 0]\n"
        f'$ cat one; echo "{shown}"; echo warning >&2\n'
        f"{session.worktree}\n{said}\nwarning\n[status 0]\n"
    )
    assert saved(project) == result.session == session._replace(setup=Setup.DONE)


def test_the_first_failure_stops_and_says_how_to_go_on(repo: Repo) -> None:
    session = a_session(repo)
    project = asking_for(repo, "echo one", "echo two; exit 3", "touch three")

    result = run_setup(project, session)

    assert (result.status, result.failed, result.code) == (Setup.FAILED, "echo two; exit 3", 3)
    assert result.message == "set-up of auth-frontend failed with status 3: echo two; exit 3"
    assert result.again == "wts setup auth-frontend"
    assert log_of(result).endswith("$ echo two; exit 3\ntwo\n[status 3]\n")
    assert not (session.worktree / "three").exists()
    assert saved(project).setup is Setup.FAILED

    again = run_setup(asking_for(repo, "echo mended"), saved(project))
    assert (again.status, log_of(again)) == (Setup.DONE, "$ echo mended\nmended\n[status 0]\n")
    assert saved(project).setup is Setup.DONE


def test_a_command_that_takes_too_long_is_ended_with_its_children(repo: Repo) -> None:
    session = a_session(repo)
    project = asking_for(repo, "(sleep 1; touch late) & wait", **{"setup.timeout": 0.2})
    result = run_setup(project, session)
    assert (result.status, result.code) == (Setup.FAILED, -9)
    time.sleep(1.2)
    assert not (session.worktree / "late").exists()


def test_commands_of_the_repository_wait_for_approval(repo: Repo) -> None:
    repo.write(".wts.toml", '[setup]\nrun = ["touch made"]\n')
    session = a_session(repo)
    project = open_project(repo.path)

    result = run_setup(project, session)

    assert result.status is Setup.UNTRUSTED
    assert result.message == "auth-frontend is not set up: the commands of the repository are not approved"
    assert result.again == "wts trust && wts setup auth-frontend"
    assert result.commands == ("touch made",)
    assert not (session.worktree / "made").exists()
    assert saved(project).setup is Setup.UNTRUSTED

    configure.apply_trust(configure.plan_trust(project))
    assert run_setup(project, saved(project)).status is Setup.DONE
    assert (session.worktree / "made").exists()

    repo.write(".wts.toml", '[setup]\nrun = ["touch  made"]\n')
    assert run_setup(open_project(repo.path), saved(project)).status is Setup.UNTRUSTED


def test_without_commands_nothing_is_left_to_do(repo: Repo) -> None:
    session = a_session(repo, setup=Setup.FAILED)
    project = open_project(repo.path)
    result = run_setup(project, session)
    assert (result.status, result.log, saved(project).setup) == (Setup.NONE, None, Setup.NONE)


def test_what_others_recorded_meanwhile_is_kept(repo: Repo) -> None:
    """No lock is held while a command runs, and nobody's change of the record is lost."""
    session = a_session(repo)
    project = asking_for(repo, "touch running; while ! test -e go; do sleep 0.01; done", lock_timeout=5)
    results: list[SetupResult] = []
    runner = threading.Thread(target=lambda: results.append(run_setup(project, session)))
    runner.start()
    while not (session.worktree / "running").exists():
        time.sleep(0.01)

    from worktree_sessions.outside.locks import writing

    with writing(project.store.lock_file, "another", timeout=1):
        project.store.save(saved(project)._replace(started=True, unknown={"later": 1}))
    (session.worktree / "go").touch()
    runner.join()

    assert results[0].status is Setup.DONE
    assert saved(project) == session._replace(setup=Setup.DONE, started=True, unknown={"later": 1})


def test_a_session_that_was_closed_meanwhile_stays_closed(repo: Repo) -> None:
    session = a_session(repo)
    project = asking_for(repo, f"rm '{open_project(repo.path).store.record_file(session.name)}'")
    assert run_setup(project, session).status is Setup.DONE
    assert project.store.load(session.name) is None


def test_another_session_of_the_same_name_is_not_touched(repo: Repo) -> None:
    session = a_session(repo)
    project = asking_for(repo, "true")
    project.store.save(session._replace(id="4567"))
    run_setup(project, session)
    assert saved(project) == session._replace(id="4567")


def test_an_interrupted_setup_counts_as_failed(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    session = a_session(repo)
    project = asking_for(repo, "true")
    with monkeypatch.context() as patched:

        def interrupt(*_: object, **__: object) -> int:
            raise KeyboardInterrupt

        patched.setattr(processes, "shell", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_setup(project, session)
    assert saved(project).setup is Setup.FAILED


def test_ctrl_c_ends_the_command_too(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from worktree_sessions.outside import processes; "
        "processes.shell('echo $$ > pid.new; mv pid.new pid; sleep 60', cwd=Path(sys.argv[1]), "
        "env=dict(os.environ), log=sys.stdout.buffer)"
    )
    root = Path(__file__).parents[1]
    runner = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=root, stderr=subprocess.PIPE)
    while not (tmp_path / "pid").exists():
        assert runner.poll() is None
        time.sleep(0.01)
    runner.send_signal(signal.SIGINT)
    _, said = runner.communicate(timeout=10)
    assert b"KeyboardInterrupt" in said
    assert processes.look_up(int((tmp_path / "pid").read_text())) is None


def test_a_worktree_that_is_gone_is_said(repo: Repo) -> None:
    session = a_session(repo, worktree=repo.path / "gone")
    with pytest.raises(WtsError) as raised:
        run_setup(asking_for(repo, "true"), session)
    assert raised.value.code == "no-worktree"
