"""The ground the tests stand on: nothing of the developer comes in, and wts runs as a user runs it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tests.conftest import DATE, Wts
from tests.support.repos import Repo


def test_a_test_has_a_world_of_its_own(hermetic: Path, repo: Repo) -> None:
    """Home, configuration, dates and sockets are the test's; no marker of Claude, tmux or wts is left."""
    assert Path.home() == hermetic
    assert repo.git("config", "--get", "user.name") == "Ada Tester"
    assert repo.git("log", "-1", "--format=%aI %cI %s") == f"{DATE} {DATE} start"
    origins = set(repo.git("config", "--list", "--show-origin", "--name-only").splitlines())
    assert {line.split("\t")[0] for line in origins} == {f"file:{hermetic}/gitconfig", "file:.git/config"}
    left = [name for name in os.environ if name.startswith(("CLAUDE", "TMUX", "WTS_", "VIRTUAL_ENV"))]
    assert sorted(left) == ["CLAUDE_CONFIG_DIR", "TMUX_TMPDIR"]
    assert len(os.environ["TMUX_TMPDIR"]) < len(tempfile.gettempdir()) + 20


def test_no_repository_around_the_tests_is_found(tmp_path: Path, wts: Wts) -> None:
    """Outside of a repository is outside, wherever the temporary directory lies."""
    result = wts("list", "--json", cwd=tmp_path)
    assert (result.status, result.json["errors"][0]["code"]) == (1, "no-repository")


def test_wts_runs_the_same_as_a_child_and_inside(wts: Wts, wts_inline: Wts, tmp_path: Path) -> None:
    """Both ways to run wts in a test answer alike, in the repository and elsewhere, well and badly."""
    for args in (["--version"], ["list", "--json"], ["path", "1"], ["no-such-command"]):
        assert wts(*args) == wts_inline(*args), args
    assert wts("list", cwd=tmp_path) == wts_inline("list", cwd=tmp_path)


def test_the_stand_ins_are_first_on_path(fake_claude: Path) -> None:
    """`claude` is the scripted one."""
    assert os.environ["PATH"].split(os.pathsep)[0] == str(fake_claude.parent)
    assert os.access(fake_claude, os.X_OK)
