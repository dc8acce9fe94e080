"""`wts doctor`, `wts config`, `wts trust` and `wts setup` as they are typed: text, JSON, exit status."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Wts
from tests.support.repos import Repo
from tests.support.sessions import a_session, project_of, worktree_of
from worktree_sessions.model.session import Setup

RUN = ["echo one", "echo 'two\nlines' >made.txt"]


@pytest.fixture(autouse=True)
def installed(fake_claude: Path) -> None:
    """Claude is there."""


def propose(repo: Repo, *commands: str) -> None:
    """Let the repository ask for set-up commands."""
    texts = ", ".join(json.dumps(command) for command in commands)
    repo.commit(".wts.toml", f"[setup]\nrun = [{texts}]\n", "set-up")


def in_terminal(repo: Repo, *args: str, types: str) -> tuple[int, str]:
    """Run wts on a terminal of its own, where somebody types; return the status and what was on the screen."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "worktree_sessions", *args],
        cwd=repo.path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        os.write(ours, types.encode())
        screen = b""
        try:
            while chunk := os.read(ours, 4096):
                screen += chunk
        except OSError:
            pass  # how Linux tells that the other end is closed
    os.close(ours)
    return process.returncode, screen.decode().replace("\r\n", "\n")


# -- doctor ----------------------------------------------------------------------------------------


def test_doctor_tells_findings_with_their_cures_the_worst_last(
    repo: Repo, wts_inline: Wts, fake_claude: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    session = a_session(repo)
    worktree_of(session).git("switch", "--quiet", "-c", "elsewhere")
    project_of(repo).store.session_dir("torn").mkdir()
    project_of(repo).store.record_file("torn").write_text("{}")

    result = wts_inline("doctor")

    record = project_of(repo).store.record_file("torn")
    assert result.status == 1
    assert result.err == ""
    shown = [line for line in result.out.splitlines() if "with git " not in line]
    assert shown[1:] == [
        f"✓ ok      Claude 2.1.330, {fake_claude}",
        "· note    git hooks that warn of unsaved work are not installed",
        "          wts hooks install",
        "! warning the worktree of auth-frontend is on elsewhere, not on feature/auth-frontend",
        f"          git -C {session.worktree} switch feature/auth-frontend",
        "✗ error   the record of torn can't be read, and is kept: KeyError('worktree')",
        f"          mv {record} {record}.bad",
        "",
        "1 error, 1 warning",
    ]


def test_doctor_of_a_healthy_repository_ends_with_0(repo: Repo, wts_inline: Wts) -> None:
    a_session(repo)
    result = wts_inline("doctor")
    assert (result.status, result.err) == (0, "")
    assert "✓ ok      1 session on record\n" in result.out
    assert result.out.endswith("\n\nnothing is wrong\n")


def test_doctor_fix_tells_what_it_mended_and_ends_with_0(repo: Repo, wts_inline: Wts) -> None:
    a_session(repo)
    journal = project_of(repo).store.operations_dir / "running" / "x.jsonl"
    journal.write_text("{")
    before = wts_inline("doctor")
    assert (before.status, before.out.splitlines()[-1]) == (1, "1 error, wts doctor --fix mends 1")
    result = wts_inline("doctor", "--fix")
    assert result.status == 0
    assert "✓ fixed   an interrupted unknown was set aside\n" in result.out
    assert result.out.endswith("\n\n1 thing fixed, nothing is wrong any more\n")


def test_doctor_json_has_every_finding_and_is_not_ok_while_something_is_left(
    repo: Repo, wts_inline: Wts
) -> None:
    session = a_session(repo)
    assert wts_inline("doctor", "--json").json["ok"] is True
    worktree_of(session).git("switch", "--quiet", "--detach")

    result = wts_inline("doctor", "--json")

    finding = {
        "code": "detached",
        "severity": "warning",
        "message": "HEAD of auth-frontend is detached",
        "fixed": False,
        "hint": f"git -C {session.worktree} switch feature/auth-frontend",
        "session": "auth-frontend",
    }
    answer = result.json
    assert result.status == 1
    assert (answer["schema"], answer["command"], answer["ok"]) == (1, "doctor", False)
    assert finding in answer["data"]["findings"]
    assert {"git", "claude", "records"} <= {one["code"] for one in answer["data"]["findings"]}
    assert answer["errors"] == [{key: finding[key] for key in ("code", "message", "hint", "session")}]


def test_doctor_never_sends_an_escape_to_the_terminal(repo: Repo, wts_inline: Wts) -> None:
    a_session(repo)
    other = repo.path.parent / "evil\x1b[31m"
    repo.git("worktree", "add", "--quiet", "-b", "evil", str(other))
    result = wts_inline("doctor")
    assert "\x1b" not in result.out
    assert "is a worktree without a session" in result.out.replace("\n          ", " ")


def test_doctor_outside_of_a_repository_says_so(tmp_path: Path, wts_inline: Wts) -> None:
    result = wts_inline("doctor", cwd=tmp_path)
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(f"error: {tmp_path} is not in a git repository\nhint: ")


# -- config ----------------------------------------------------------------------------------------


def test_config_shows_each_setting_as_a_settings_file_says_it(repo: Repo, wts_inline: Wts) -> None:
    propose(repo, *RUN)
    shown = wts_inline("config").out
    rows = dict(row.split(maxsplit=1) for row in shown.splitlines())
    assert list(rows)[:2] == ["branch_prefix", "worktree_dir"]
    assert (rows["branch_prefix"], rows["worktree_dir"]) == ('"feature/"', '"../{repo}.worktrees"')
    assert 'setup.run                 ["echo one", "echo \'two\\nlines\' >made.txt"]\n' in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_config_origin_tells_where_each_value_came_from(
    repo: Repo, wts_inline: Wts, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    propose(repo, "true")
    own = hermetic / ".config" / "wts" / "config.toml"
    own.parent.mkdir(parents=True)
    own.write_text('start = "tmux"\n')
    monkeypatch.setenv("WTS_STOP_CHECK", "no")

    rows = {line.split()[0]: line.split()[1:] for line in wts_inline("config", "--origin").out.splitlines()}

    assert rows["branch_prefix"] == ["default", '"feature/"']
    assert rows["start"] == ["~/.config/wts/config.toml", '"tmux"']
    assert rows["stop_check"] == ["WTS_STOP_CHECK", "false"]
    assert rows["setup.run"] == [".wts.toml", '["true"]']


def test_config_json_has_value_and_origin(repo: Repo, wts_inline: Wts) -> None:
    propose(repo, "true")
    settings = wts_inline("config", "--json").json["data"]["settings"]
    assert {"key": "setup.run", "value": ["true"], "origin": "repository", "where": ".wts.toml"} in settings
    assert settings[0] == {
        "key": "branch_prefix",
        "value": "feature/",
        "origin": "default",
        "where": "default",
    }


def test_an_unknown_setting_is_named_with_its_nearest_neighbour(repo: Repo, wts_inline: Wts) -> None:
    repo.commit(".wts.toml", "stop_chek = true\n", "settings")
    result = wts_inline("config")
    assert result.status == 2
    assert result.err.startswith(
        "error: .wts.toml sets stop_chek, which is no setting; the nearest is stop_check\n"
    )


# -- trust -----------------------------------------------------------------------------------------

SHOWN = """\
.wts.toml of {path} asks to run, in each new worktree:
  1. echo one
  2. echo 'two
     lines' >made.txt
"""


def test_trust_shows_the_exact_commands_and_approves_them_on_yes(repo: Repo, wts_inline: Wts) -> None:
    propose(repo, *RUN)
    status, screen = in_terminal(repo, "--color", "never", "trust", types="y\n")
    assert status == 0
    shown = screen.removeprefix("y\n")  # the terminal's own echo of what was typed ahead
    assert shown.startswith(SHOWN.format(path=repo.path) + "approve exactly this? [y/N] ")
    assert shown.endswith(
        "✓ 2 commands approved\n  1. echo one\n  2. echo 'two\n     lines' >made.txt\nundo: wts trust --revoke\n"
    )
    again = wts_inline("trust")
    assert again.out.startswith("✓ 2 commands approved already\n")


def test_a_no_approves_nothing_and_ends_with_1(repo: Repo, wts_inline: Wts) -> None:
    propose(repo, *RUN)
    status, screen = in_terminal(repo, "trust", types="n\n")
    assert status == 1
    assert screen.endswith("nothing was approved\n")
    assert wts_inline("trust").status == 2


def test_trust_without_a_terminal_names_the_flag(repo: Repo, wts: Wts) -> None:
    propose(repo, *RUN)
    result = wts("trust")
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(SHOWN.format(path=repo.path) + "error: this needs an answer")
    assert result.err.endswith("hint: answer yes beforehand with --yes\n")


def test_trust_yes_names_the_session_that_waited(repo: Repo, wts_inline: Wts) -> None:
    propose(repo, "true")
    assert wts_inline("new", "auth-frontend", "--no-start").status == 0
    result = wts_inline("trust", "--yes")
    assert result.status == 0
    assert result.out == (
        "✓ 1 command approved\n  1. true\nnext: wts setup auth-frontend\nundo: wts trust --revoke\n"
    )


def test_trust_json_and_its_withdrawal(repo: Repo, wts_inline: Wts) -> None:
    propose(repo, "true")
    data = {"approved": [{"key": "setup.run", "text": "true"}], "where": ".wts.toml", "already": False}
    assert wts_inline("trust", "-y", "--json").json["data"] == data
    assert wts_inline("trust", "-y", "--json").json["data"] == {**data, "already": True}
    assert wts_inline("trust", "--revoke", "--json").json["data"] == {"revoked": True}
    assert wts_inline("trust", "--revoke").out == "✓ nothing was approved, and nothing is\n"
    assert wts_inline("trust", "--json").status == 2


def test_trust_where_the_repository_asks_for_nothing(repo: Repo, wts_inline: Wts) -> None:
    result = wts_inline("trust")
    assert (result.status, result.err) == (6, "the repository asks for no command\n")


# -- setup -----------------------------------------------------------------------------------------


def test_setup_runs_the_commands_of_the_session_of_this_directory(repo: Repo, wts_inline: Wts) -> None:
    session = a_session(repo)
    propose(repo, *RUN)
    wts_inline("trust", "--yes")

    result = wts_inline("setup", cwd=session.worktree)

    log = project_of(repo).store.setup_log(session.name)
    assert result.status == 0
    assert result.out == (
        "✓ auth-frontend is set up\n  echo one\n  echo 'two\\nlines' >made.txt\n"
        f"  log  {log}\nnext: wts open 1\n"
    )
    assert (session.worktree / "made.txt").read_text() == "two\nlines\n"
    recorded = project_of(repo).store.load(session.name)
    assert recorded is not None
    assert recorded.setup is Setup.DONE


def test_a_failed_setup_shows_the_end_of_its_log_cleaned(repo: Repo, wts_inline: Wts) -> None:
    a_session(repo)
    command = "seq 1 20; printf '\\033[31mred\\n'; exit 3"
    propose(repo, command)
    wts_inline("trust", "--yes")

    result = wts_inline("setup", "1")

    log = project_of(repo).store.setup_log("auth-frontend")
    assert (result.status, result.out) == (1, "")
    assert result.err.splitlines() == [
        f"error: set-up of auth-frontend failed with status 3: {command}",
        *(f"  {number}" for number in range(13, 21)),
        "  red",
        "  [status 3]",
        f"hint: see {log}, then wts setup auth-frontend",
    ]
    error = wts_inline("setup", "1", "--json").json["errors"][0]
    assert (error["code"], error["session"]) == ("setup-failed", "auth-frontend")


def test_a_setup_that_is_not_approved_does_not_run(repo: Repo, wts_inline: Wts) -> None:
    session = a_session(repo)
    propose(repo, "touch ran")
    result = wts_inline("setup", "1")
    assert result.status == 1
    assert result.err == (
        "error: auth-frontend is not set up: the commands of the repository are not approved\n"
        "hint: wts trust && wts setup auth-frontend\n"
    )
    assert not (session.worktree / "ran").exists()


def test_a_session_without_set_up_needs_none(repo: Repo, wts_inline: Wts) -> None:
    a_session(repo)
    assert wts_inline("setup", "1").out == "✓ auth-frontend needs no set-up\nnext: wts open 1\n"
    data = wts_inline("setup", "1", "--json").json["data"]
    assert data == {"setup": {"session": "auth-frontend", "status": "none", "commands": [], "log": None}}
