"""The man page says what the commands say."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.support.generate_man import EXITS, PAGE, escaped, man_page
from worktree_sessions.cli.main import ALIASES, HIDDEN_PHASE, PHASES
from worktree_sessions.errors import Exit


def test_the_page_is_what_the_help_of_the_commands_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == man_page(), "run python tests/support/generate_man.py"


def test_every_command_alias_and_exit_status_is_in_it() -> None:
    page = man_page()
    for phase, commands in PHASES.items():
        for name in commands:
            assert (rf"\fBwts {escaped(name)}\fR" in page) == (phase != HIDDEN_PHASE), name
    for alias in ALIASES:
        assert f"Also: wts {alias}." in page
    assert set(EXITS) == set(Exit)


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="no mandoc here")
def test_mandoc_finds_no_fault() -> None:
    done = subprocess.run(["mandoc", "-T", "lint", str(PAGE)], capture_output=True, text=True, check=False)
    faults = [line for line in done.stdout.splitlines() if "missing date" not in line]
    assert faults == []


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
def test_groff_finds_no_fault() -> None:
    words = ["groff", "-man", "-ww", "-Tutf8", str(PAGE)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "several Claude Code sessions" in done.stdout.replace("\n", " ")
