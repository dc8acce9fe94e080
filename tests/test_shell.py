"""Shell code: `wts cd`, and completion, in the shells themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import Wts
from tests.support.repos import Repo
from tests.support.sessions import a_session, closed, worktree_of
from worktree_sessions.cli.main import ALIASES, ENTRIES, HIDDEN_PHASE, PHASES
from worktree_sessions.model.session import Session
from worktree_sessions.views.shell import Shell, completion_code

COMMANDS = [name for phase, commands in PHASES.items() if phase != HIDDEN_PHASE for name in commands]


def with_shell(name: str) -> object:
    return pytest.param(name, marks=pytest.mark.skipif(shutil.which(name) is None, reason=f"no {name} here"))


BASH, ZSH, FISH = (with_shell(name) for name in ("bash", "zsh", "fish"))

# How a shell is asked what it would complete; the last word is the one under the cursor. zsh's own functions need a
# terminal, so that they are replaced by some that print.
ASK = {
    "bash": """
ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _wts; local one
    for one in ${COMPREPLY[@]+"${COMPREPLY[@]}"}; do echo "$one"; done; }
""",
    "zsh": """
_describe() { local list=${@[-1]} row; for row in ${(P)list}; do
[[ $row == ${words[CURRENT]}* ]] && print -r -- ${${row%%[^\\\\]:*}}${${row#${row%%[^\\\\]:*}}[1]}; done; return 0; }
_files() { print -r -- "_files $*"; }
compset() { words[CURRENT]=${words[CURRENT]#*=}; }
ask() { words=("$@"); CURRENT=$#; _wts; }
""",
    "fish": """
function ask
    complete -C (string join ' ' -- $argv) | string replace -r '\\t.*' ''
    true
end
""",
}
FLAGS = {"bash": ["--noprofile", "--norc"], "zsh": ["-f"], "fish": ["--no-config"]}


class Ran(NamedTuple):
    status: int
    out: str
    err: str


class In:
    """One shell, with wts on its PATH, that evaluates what shell-init printed."""

    def __init__(self, name: str, place: Path) -> None:
        self.name = name
        self.bin = place / "bin"
        self.bin.mkdir()
        (self.bin / "wts").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m worktree_sessions "$@"\n')
        (self.bin / "wts").chmod(0o755)

    def run(self, script: str, cwd: Path, init: str = "shell-init") -> Ran:
        strict = "" if self.name == "fish" else "set -eu\n"
        head = f'{strict}eval "$(wts {init} {self.name})"\n{ASK[self.name]}\n'
        done = subprocess.run(
            [self.name, *FLAGS[self.name], "-c", head + script],
            cwd=cwd,
            env={**os.environ, "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            check=False,
        )
        return Ran(done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr))

    def complete(self, *words: str, cwd: Path, init: str = "shell-init") -> list[str]:
        """Return what is offered for the last word, sorted."""
        typed = " ".join("''" if not word else f"'{word}'" for word in words)
        done = self.run(f"ask {typed}", cwd, init)
        assert (done.status, done.err) == (0, "")
        return sorted(set(done.out.splitlines()))


@pytest.fixture(params=[BASH, ZSH, FISH])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> In:
    return In(request.param, tmp_path)


# -- wts cd ----------------------------------------------------------------------------------------


def test_wts_cd_goes_to_the_session(shell: In, repo: Repo, session: Session) -> None:
    for target in ("1", "auth-frontend", "auth-f"):
        assert shell.run(f"wts cd {target}\npwd", repo.path) == Ran(0, f"{session.worktree}\n", "")


def test_wts_cd_goes_into_odd_paths(shell: In, tmp_path: Path, wts: Wts) -> None:
    """Spaces, quotes, unicode, a newline, and one at the very end."""
    repo = Repo.create(tmp_path / 'a "b" $HOME\n\N{ROCKET}' / "main")
    repo.commit("a", "a", "a")
    place = repo.path.parent / "-r 'x'\n"
    repo.git("worktree", "add", "--quiet", "-b", "feature/auth-ui", "--", str(place))
    assert wts("adopt", str(place), cwd=repo.path).status == 0
    went = shell.run("wts cd auth-ui\ntouch here", repo.path)
    assert (went.status, went.err) == (0, "")
    assert (place / "here").exists()


def test_a_target_that_is_none_leaves_the_shell_where_it_is(shell: In, repo: Repo) -> None:
    status = "$status" if shell.name == "fish" else "$?"
    keep = "" if shell.name == "fish" else "set +e\n"
    done = shell.run(f"{keep}wts cd nothing\necho {status}; pwd", repo.path)
    assert (done.status, done.out) == (0, f"1\n{repo.path}\n")
    assert done.err.startswith("error: no session nothing\n")


def test_the_help_of_cd_is_shown_and_not_gone_to(shell: In, repo: Repo) -> None:
    done = shell.run("wts cd --help", repo.path)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("Usage: wts path [OPTIONS] TARGET")


def test_everything_else_is_the_program_itself_with_its_exit_status(
    shell: In, repo: Repo, session: Session
) -> None:
    worktree_of(session).write("new", "x")
    done = shell.run("wts close 1", repo.path)
    assert done.status == 3
    assert "--with-unsaved" in done.err
    status = "$status" if shell.name == "fish" else "$?"
    keep = "" if shell.name == "fish" else "set +e\n"
    assert shell.run(f"{keep}wts nope 2>/dev/null\necho {status}", repo.path).out == "2\n"
    assert shell.run("wts path 1", repo.path).out == f"{session.worktree}\n"


def test_without_the_shell_code_wts_cd_says_where_it_comes_from(wts: Wts) -> None:
    for words in (["cd", "1"], ["cd"], ["cd", "--odd", "x"]):
        done = wts(*words)
        assert done.status == 2
        assert 'hint: eval "$(wts shell-init bash)", or cd "$(wts path TARGET)"' in done.err


# -- completion ------------------------------------------------------------------------------------


def test_commands_are_completed(shell: In, repo: Repo) -> None:
    begun = [name for name in COMMANDS if name.startswith("c")]
    assert shell.complete("wts", "c", cwd=repo.path) == sorted([*begun, "cd"])
    assert shell.complete("wts", "c", cwd=repo.path, init="completion") == sorted(begun)
    assert shell.complete("wts", "hooks", "un", cwd=repo.path) == ["uninstall"]
    assert set(COMMANDS) <= set(shell.complete("wts", "", cwd=repo.path))


def test_options_and_their_values_are_completed(shell: In, repo: Repo) -> None:
    assert shell.complete("wts", "close", "--w", cwd=repo.path) == [
        "--while-locked",
        "--while-running",
        "--with-unsaved",
    ]
    assert shell.complete("wts", "rm", "--wi", cwd=repo.path) == ["--with-unsaved"]
    assert shell.complete("wts", "new", "--role", "te", cwd=repo.path) == ["test"]
    assert shell.complete("wts", "new", "--base", "", cwd=repo.path) == []
    assert shell.complete("wts", "--color", "ne", cwd=repo.path) == ["never"]
    assert shell.complete("wts", "new", "--role", "dev", "--no", cwd=repo.path) == ["--no-start"]


@pytest.mark.parametrize("shell", [BASH, ZSH], indirect=True)
def test_a_value_behind_an_equals_sign_is_completed(shell: In, repo: Repo) -> None:
    words = ["--role", "=", "te"] if shell.name == "bash" else ["--role=te"]
    assert shell.complete("wts", "new", *words, cwd=repo.path) == ["test"]


@pytest.mark.parametrize("shell", [FISH], indirect=True)
def test_a_value_behind_an_equals_sign_is_completed_by_fish(shell: In, repo: Repo) -> None:
    assert shell.complete("wts", "new", "--role=te", cwd=repo.path) == ["--role=test"]


def test_sessions_are_completed_by_number_and_name(shell: In, repo: Repo, session: Session) -> None:
    a_session(repo, "auth-caf\u00e9")
    a_session(repo, "\u65e5\u672c-\N{ROCKET}")
    for command in ("path", "close", "open", "cd", "rm"):
        offered = [word for word in shell.complete("wts", command, "", cwd=repo.path) if word[0] != "-"]
        assert offered == ["1", "2", "3", "auth-caf\u00e9", "auth-frontend", "\u65e5\u672c-\N{ROCKET}"]
    assert shell.complete("wts", "close", "auth-c", cwd=repo.path) == ["auth-caf\u00e9"]
    assert shell.complete("wts", "path", "\u65e5", cwd=session.worktree) == ["\u65e5\u672c-\N{ROCKET}"]


def test_sessions_of_another_directory_are_completed(
    shell: In, repo: Repo, session: Session, tmp_path: Path
) -> None:
    assert shell.complete("wts", "-C", str(repo.path), "path", "a", cwd=tmp_path) == ["auth-frontend"]


def test_what_was_closed_is_completed_for_restore(shell: In, repo: Repo, session: Session) -> None:
    assert "auth-frontend" not in shell.complete("wts", "restore", "", cwd=repo.path)
    closed(repo, session)
    assert shell.complete("wts", "restore", "a", cwd=repo.path) == ["auth-frontend"]
    assert "auth-frontend" not in shell.complete("wts", "path", "", cwd=repo.path)


def test_outside_of_a_repository_completion_is_silent(shell: In, tmp_path: Path) -> None:
    offered = shell.complete("wts", "path", "a", cwd=tmp_path)
    assert [word for word in offered if word[0] != "-"] == []  # fish offers options by any letter of theirs


@pytest.mark.parametrize("shell", [BASH], indirect=True)
def test_bash_completes_a_name_that_it_cut_into_words(shell: In, repo: Repo) -> None:
    """bash cuts at = and @ and replaces only what is behind."""
    a_session(repo, "auth-a@b=c")
    assert shell.complete("wts", "path", "auth-a", "@", "b", cwd=repo.path) == ["b=c"]
    assert shell.complete("wts", "path", "auth-a", "@", "b", "=", cwd=repo.path) == ["c"]
    assert shell.complete("wts", "path", "auth", cwd=repo.path) == ["auth-a@b=c"]


def test_completion_starts_no_python(shell: In, repo: Repo, session: Session) -> None:
    """Python alone would take longer than a key press may."""
    script = shell.bin / "wts"
    code = subprocess.run([str(script), "shell-init", shell.name], capture_output=True, check=True).stdout
    script.write_text(f"#!/bin/sh\ntouch '{shell.bin}/started'\n")
    (shell.bin / "code").write_bytes(code)
    flags = FLAGS[shell.name]
    for python in ("python", "python3"):
        shutil.copy(script, shell.bin / python)
    done = subprocess.run(
        [shell.name, *flags, "-c", f"source '{shell.bin}/code'\n{ASK[shell.name]}\nask wts path a"],
        cwd=repo.path,
        env={**os.environ, "PATH": f"{shell.bin}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        check=False,
    )
    assert b"auth-frontend" in done.stdout
    assert not (shell.bin / "started").exists()


# -- the code itself -------------------------------------------------------------------------------


def test_every_command_has_its_words_in_the_table(wts: Wts) -> None:
    """A command that is added is completed, whatever its name."""
    code = wts("completion", "bash").out
    for name in [*COMMANDS, *ALIASES]:
        assert f"\nwts {name}\t" in code, name
    for name in ENTRIES.keys() - set(COMMANDS):
        assert f"\nwts\t{name}\t" not in code


def test_a_shell_that_wts_does_not_speak_is_named_with_those_that_it_does(wts: Wts) -> None:
    for command in ("shell-init", "completion"):
        done = wts(command, "tcsh")
        assert done.status == 2
        assert "'bash', 'zsh', 'fish'" in done.err


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
def test_zsh_loads_the_script_from_its_function_path(wts: Wts, repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "fpath").mkdir()
    (tmp_path / "fpath" / "_wts").write_text(wts("completion", "zsh").out)
    script = f'fpath=({tmp_path}/fpath $fpath); autoload -Uz compinit; compinit -u -D; print "$_comps[wts]"'
    done = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "_wts\n")


@pytest.mark.parametrize("name", [BASH, ZSH, FISH])
def test_no_help_can_break_out_of_the_table(name: str, tmp_path: Path) -> None:
    code = completion_code(Shell(name), [("wts", "x", "it's a \\ trap\n$(touch trap)\t'; touch trap; '")])
    done = subprocess.run([name, *FLAGS[name], "-c", code], cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert list(tmp_path.iterdir()) == []
