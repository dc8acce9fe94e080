"""The status line: one line about the session of this place, whatever comes in, and never in the way of a prompt."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Wts
from tests.support.claude_cli import RealClaude, eventually
from tests.support.living import Living
from tests.support.repos import Repo
from tests.support.sessions import a_session, worktree_of
from tests.support.tmux import put_wts_on_path
from worktree_sessions.outside import processes

PAGE = Path(__file__).resolve().parent.parent / "docs" / "statusline.md"
STATUSLINE = [sys.executable, "-m", "worktree_sessions", "statusline"]


def claude_says(directory: Path, **more: Any) -> str:
    """Return what Claude gives its status line command."""
    return json.dumps({"session_id": "s", "workspace": {"current_dir": str(directory)}, **more})


# -- which session, and what of it -----------------------------------------------------------------


def test_it_tells_number_name_state_distance_and_what_is_at_risk(repo: Repo, wts: Wts) -> None:
    living = Living(repo, "auth-api", minutes=5)
    work = worktree_of(living.session)
    assert wts("statusline", cwd=work.path).out == "1 auth-api  ◐ working\n"
    work.commit("form.txt", "form\n", "form")
    work.write("form.txt", "more\n")
    work.write("notes.txt", "later\n")
    repo.git("update-ref", "refs/heads/feature/auth", repo.commit("x.txt", "x\n", "x"))
    living.asks("make")
    expected = "1 auth-api  ● needs you  ↑1 ↓1  1 changed, 1 untracked\n"
    assert wts("statusline", cwd=work.write("deep/er/file", "").parent).out == expected.replace(
        "1 un", "2 un"
    )
    assert wts("--color", "always", "statusline", cwd=work.path).out.count("\x1b[0m") == 3


def test_it_counts_the_others_that_need_you_as_the_list_does(repo: Repo, wts: Wts) -> None:
    own = Living(repo, "auth-api")
    own.asks("make")
    for name in ("auth-docs", "auth-ui"):
        Living(repo, name).asks("make")
        line = wts("statusline", cwd=own.session.worktree).out
        assert line.endswith("1 other needs you\n" if name == "auth-docs" else "2 others need you\n")
    Living(repo, "auth-works")
    answer = wts("statusline", "--json", cwd=own.session.worktree).json["data"]
    listed = {row["name"]: row for row in wts("list", "--json").json["data"]["sessions"]}
    assert answer["need_you"] == ["auth-docs", "auth-ui"]
    for key in ("number", "name", "state", "since", "reason"):
        assert answer["session"][key] == listed["auth-api"][key]
    git = listed["auth-api"]["git"]
    assert answer["session"]["git"] == {key: git[key] for key in ("ahead", "behind", "changed", "untracked")}


def test_the_session_is_the_one_of_the_environment_then_of_the_directory(
    repo: Repo, wts: Wts, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, ui = a_session(repo, "auth-api"), a_session(repo, "auth-ui")
    assert wts("statusline", cwd=ui.worktree).out.startswith("2 auth-ui ")
    assert wts("statusline", stdin=claude_says(ui.worktree)).out.startswith("\x1b[1m2 auth-ui")
    gone = claude_says(repo.path.parent / "gone")
    assert wts("statusline", cwd=ui.worktree, stdin=gone).out.startswith("\x1b[1m2 auth-ui")
    monkeypatch.setenv("WTS_SESSION", api.name)
    assert wts("statusline", cwd=ui.worktree).out.startswith("1 auth-api ")
    assert wts("statusline").out.startswith("1 auth-api ")
    monkeypatch.setenv("WTS_SESSION", "of-another-repository")
    assert wts("statusline", cwd=ui.worktree).out.startswith("2 auth-ui ")


def test_what_git_can_not_tell_is_unknown(repo: Repo, wts: Wts, monkeypatch: pytest.MonkeyPatch) -> None:
    session = a_session(repo, "auth-api")
    repo.git("update-ref", "-d", "refs/heads/feature/auth")
    (session.worktree / ".git").unlink()
    monkeypatch.setenv("WTS_SESSION", session.name)
    assert wts("statusline") == (0, "1 auth-api  ◇ parked  ?  files: ?\n", "")


def test_outside_of_a_session_there_is_no_line_and_no_error(repo: Repo, wts: Wts, tmp_path: Path) -> None:
    a_session(repo, "auth-api")
    outside = tmp_path / "outside"
    outside.mkdir()
    for here in (repo.path, outside, repo.path / ".git"):
        assert wts("statusline", cwd=here) == (0, "", "")
    assert wts("statusline", "--json").json["data"] == {"session": None, "need_you": []}
    failed = wts("statusline", "--json", cwd=outside)
    assert (failed.status, failed.json["errors"][0]["code"]) == (1, "no-repository")


# -- what comes in ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"{",
        b"no JSON",
        b"\xff\x00\x1b[2J",
        b"null",
        b"[1]",
        b'{"workspace": 7}',
        b'{"workspace": {"current_dir": 7}}',
        b'{"workspace": {"current_dir": "a\\u0000b"}}',
        b'{"workspace": {"current_dir": "\\ud800"}}',
        b"[" * 100_000,
        b" " * 3_000_000,
    ],
    ids=lambda given: repr(given[:30]),
)
def test_whatever_comes_in_the_line_is_there(repo: Repo, given: bytes) -> None:
    session = a_session(repo, "auth-api")
    run = subprocess.Popen(
        STATUSLINE,
        cwd=session.worktree,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = run.communicate(given, timeout=60)
    assert (run.returncode, err) == (0, b"")
    assert b"1 auth-api" in out


def test_it_does_not_wait_for_an_input_that_never_ends(repo: Repo) -> None:
    session = a_session(repo, "auth-api")
    reader, writer = os.pipe()
    try:
        for closed in (False, True):
            words = shlex.join(STATUSLINE) + (" <&-" if closed else "")
            run = subprocess.run(
                ["sh", "-c", words],
                cwd=session.worktree,
                stdin=reader,
                capture_output=True,
                timeout=60,
                check=True,
            )
            assert run.stdout.decode().startswith("1 auth-api")
            assert run.stderr == b""
    finally:
        os.close(reader)
        os.close(writer)


def test_what_was_typed_ahead_is_left_for_the_shell(repo: Repo) -> None:
    session = a_session(repo, "auth-api")
    master, slave = os.openpty()
    os.write(master, b"ls\n")
    run = subprocess.run(
        STATUSLINE, cwd=session.worktree, stdin=slave, capture_output=True, timeout=60, check=True
    )
    assert run.stdout.decode() == "1 auth-api  ◇ parked\n"
    os.set_blocking(slave, False)
    assert os.read(slave, 100) == b"ls\n"
    os.close(master)
    os.close(slave)


def test_it_is_coloured_for_claude_alone(repo: Repo, wts: Wts, monkeypatch: pytest.MonkeyPatch) -> None:
    session = a_session(repo, "auth-api")
    told = claude_says(session.worktree)
    assert "\x1b" in wts("statusline", stdin=told).out
    assert "\x1b" in wts("statusline", cwd=session.worktree, stdin='{"session_id": "s"}').out
    assert "\x1b" not in wts("statusline", cwd=session.worktree).out
    assert "\x1b" not in wts("--color", "never", "statusline", stdin=told).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in wts("statusline", stdin=told).out


# -- the user's own --------------------------------------------------------------------------------


def test_the_users_own_command_gets_the_same_and_its_lines_come_below(repo: Repo, wts: Wts) -> None:
    session = a_session(repo, "auth-api")
    told = claude_says(session.worktree, model={"display_name": "Opus $HOME `x`"})
    done = wts(
        "--color",
        "never",
        "statusline",
        "--with",
        "cat; printf '\\n\\033[31mred\\n'; echo no >&2",
        stdin=told,
    )
    assert done == (0, f"1 auth-api  ◇ parked\n{told}\n\x1b[31mred\n", "")
    alone = wts("statusline", "--with", "echo mine")
    assert alone == (0, "mine\n", "")


def test_what_theirs_has_started_ends_with_it(repo: Repo, wts: Wts, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    assert "longer than 2 s" in wts("statusline", "--with", f"sleep 600 & echo $! > {pid}; wait").err
    eventually(lambda: processes.look_up(int(pid.read_text())) is None, "end of what it started")


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        ("echo half; exit 3", "ended with status 3"),
        ("sleep 600 & sleep 600", "took longer than 2 s"),
        ("no-such-program-at-all", "ended with status 127"),
    ],
)
def test_ours_is_there_when_theirs_is_slow_or_fails(repo: Repo, wts: Wts, theirs: str, says: str) -> None:
    session = a_session(repo, "auth-api")
    done = wts("statusline", "--with", theirs, cwd=session.worktree)
    assert done.status == 0
    assert done.out.splitlines()[0] == "1 auth-api  ◇ parked"
    assert done.out.splitlines()[1:] == (["half"] if "half" in theirs else [])
    assert says in done.err


# -- docs/statusline.md ----------------------------------------------------------------------------

# How each shell shows the prompt that the page's snippet sets; `%` in a line is none of zsh's own.
PROMPTS = {
    "bash": 'eval "$PROMPT_COMMAND"; printf "%s" "${PS1@P}"',
    "zsh": 'precmd; wts_line+=" 5%b"; print -rP -- $RPROMPT',
    "fish": "fish_right_prompt",
}


@pytest.mark.parametrize("shell", PROMPTS)
def test_the_prompts_of_the_page_work(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    put_wts_on_path(tmp_path / "bin")
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]]))
    session = a_session(repo, "auth-api")
    blocks = re.findall(
        rf"^{shell}, in [^\n]*\n\n```\w+\n(.*?)```", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    script = f"{blocks[0]}\n{PROMPTS[shell]}"
    for here, line in ((session.worktree, "1 auth-api  ◇ parked"), (repo.path, "")):
        done = subprocess.run([shell, "-c", script], cwd=here, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        assert done.stdout.strip().startswith(line)
        assert ("parked" in done.stdout) == bool(line)
        assert shell != "zsh" or done.stdout.endswith(" 5%b\n")


# -- what it costs ---------------------------------------------------------------------------------


def test_it_never_asks_claude_which_takes_longer_than_all_of_it(
    repo: Repo, wts: Wts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    living, asked = Living(repo, "auth-api"), tmp_path / "asked"
    living.tells("SessionStart", source="startup", conversation="c")  # and it registered nothing
    program = tmp_path / "bin" / "claude"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {asked}\necho '[]'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(program.parent), os.environ["PATH"]]))
    assert wts("statusline", cwd=living.session.worktree).out.startswith("1 auth-api  ")
    assert not asked.exists()
    wts("list")
    assert asked.exists()


@pytest.mark.real_claude
def test_the_real_claude_shows_it(
    real_claude: RealClaude, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_wts_on_path(tmp_path / "bin")
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]]))
    session = a_session(repo, "auth-api")
    work = worktree_of(session)
    work.write("notes.txt", "later\n")
    real_claude.settle_in(repo.path)
    line = {"type": "command", "command": "wts statusline --with 'echo and mine'"}
    (real_claude.config_dir / "settings.json").write_text(json.dumps({"statusLine": line}))
    terminal = real_claude.start([str(real_claude.program)], cwd=session.worktree)
    terminal.wait_for(r"1 auth-api  ◇ parked  1 untracked *\n *and mine")
    terminal.say("/exit")
    assert terminal.wait_for_end() == 0
