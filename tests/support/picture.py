"""Draws docs/images/list.svg from the program's real output: python tests/support/picture.py.

A real repository in a temporary directory, real sessions, and the stand-in for claude in each: one asks, one works,
one has ended. Only the clock is helped: what happened is moved into the past, so that the picture has ages.
"""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.support.repos import Repo  # noqa: E402  (found beside the tests, installed or not)

PICTURE = ROOT / "docs" / "images" / "list.svg"
FAKES = ROOT / "tests" / "fakes"
WIDTH = 88

Script = list[dict[str, Any]]
STAYS: Script = [{"wait_for": "/nonexistent/end"}]
BUILD: Script = [{"write": "src/form.py", "content": "a\n"}, {"commit": "Build it"}]
WORKS: Script = [{"prompt": "And the limits"}, {"write": "src/a.py"}, {"write": "src/b.py"}, *STAYS]
FAILS: Script = [{"fail": "server_error"}, *STAYS]


def _asks(tool: str, **given: Any) -> Script:
    return [*BUILD, {"ask": tool, "input": given, "until": "/nonexistent/answer"}]


def _says(text: str) -> Script:
    return [*BUILD, {"stop": {"last_assistant_message": text}}]


class Shown(NamedTuple):
    """A session of the picture: what its Claude does (None: not started), and the state that this comes to."""

    name: str
    goal: str
    script: Script | None
    state: str
    age: int  # minutes since it was made
    since: int  # minutes in its state


WHICH = {"question": "Shall the export keep the columns of the old one?"}
SESSIONS = (
    Shown(
        "auth-frontend", "Build the login form", _asks("Bash", command="npm run migrate"), "waiting", 190, 42
    ),
    Shown("auth-api", "Tokens, and their refresh", [*_says("All 42 tests pass."), *STAYS], "idle", 185, 12),
    Shown(
        "auth-tests", "Cover the session store", [*_says("The store is covered."), *WORKS], "working", 64, 3
    ),
    Shown("billing-export", "Export to CSV", _asks("AskUserQuestion", questions=[WHICH]), "waiting", 150, 7),
    Shown("billing-docs", "Write the handbook", FAILS, "failed", 33, 18),
    Shown("search-research", "", None, "parked", 2, 2),
)


def draw(home: Path) -> str:
    """Return the picture; `home` holds the repository, Claude's configuration and nothing else."""
    from worktree_sessions.actions.listing import list_sessions
    from worktree_sessions.actions.project import open_project
    from worktree_sessions.views.listing import listing_svg

    repo = Repo.create(home / "src" / "shop")
    repo.commit("README.md", "# shop\n", "Start")
    with _claudes_ended(home):
        for one in SESSIONS:
            _make(repo, one)
        _wait_for_states(repo)
        repo.git("branch", "-f", "feature/auth", _one_more_commit(repo))
        _move_into_the_past(repo)
        project = open_project(repo.path)
        return listing_svg(list_sessions(project), now=time.time(), width=WIDTH, title="wts")


def text_of(picture: str) -> list[str]:
    """Return the lines of text in a picture, ages replaced: what stays the same from run to run."""
    rows: dict[str, str] = {}
    for height, words in re.findall(r'<text[^>]*? y="([^"]*)"[^>]*>([^<]*)</text>', picture):
        rows[height] = rows.get(height, "") + html.unescape(words).replace("\xa0", " ")
    return [
        re.sub(r" +", " ", re.sub(r"(?<!\w)\d+[smhd](?!\w)", "<age>", row)).strip() for row in rows.values()
    ]


def _make(repo: Repo, one: Shown) -> None:
    place = ["--no-start"] if one.script is None else ["--background", "-p", one.goal]
    subprocess.run(
        [sys.executable, "-m", "worktree_sessions", "new", one.name, *place],
        cwd=repo.path,
        env={**os.environ, "FAKE_CLAUDE_SCRIPT": json.dumps(one.script or [])},
        capture_output=True,
        check=True,
    )


def _wait_for_states(repo: Repo) -> None:
    wanted = {one.name: one.state for one in SESSIONS}
    end = time.monotonic() + 20
    while True:
        asked = subprocess.run(
            [sys.executable, "-m", "worktree_sessions", "list", "--json"],
            cwd=repo.path,
            capture_output=True,
            check=True,
        )
        sessions = json.loads(asked.stdout)["data"]["sessions"]
        found = {one["name"]: one["state"] for one in sessions}
        changed = {one["name"]: one["git"]["untracked"] for one in sessions}
        if found == wanted and changed["auth-tests"] == 2:
            return
        assert time.monotonic() < end, found
        time.sleep(0.1)


def _one_more_commit(repo: Repo) -> str:
    return repo.git("commit-tree", "-p", "feature/auth", "-m", "More", "feature/auth^{tree}")


def _move_into_the_past(repo: Repo) -> None:
    for one in SESSIONS:
        directory = repo.path / ".git" / "wts" / "sessions" / one.name
        record = json.loads((directory / "session.json").read_text())
        made = datetime.fromisoformat(record["created"]) - timedelta(minutes=one.age)
        (directory / "session.json").write_text(json.dumps({**record, "created": made.isoformat()}, indent=1))
        events = directory / "events.jsonl"
        if events.exists():
            rows = [json.loads(line) for line in events.read_text().splitlines()]
            moved = [{**row, "t": row["t"] - one.since * 60} for row in rows]
            events.write_text("".join(json.dumps(row) + "\n" for row in moved))


@contextlib.contextmanager
def _claudes_ended(home: Path) -> Iterator[None]:
    """End the Claudes that were started, whatever happens."""
    try:
        yield
    finally:
        for entry in (home / ".claude" / "sessions").glob("*.json"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry.stem), signal.SIGTERM)


def _main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        (home / "gitconfig").write_text(
            "[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n"
        )
        os.environ.update(
            HOME=scratch,
            CLAUDE_CONFIG_DIR=str(home / ".claude"),
            XDG_CONFIG_HOME=str(home / ".config"),
            XDG_STATE_HOME=str(home / ".local" / "state"),
            GIT_CONFIG_GLOBAL=str(home / "gitconfig"),
            GIT_CONFIG_NOSYSTEM="1",
            PATH=f"{FAKES}{os.pathsep}{os.environ['PATH']}",
        )
        PICTURE.write_text(draw(home), encoding="utf-8")


if __name__ == "__main__":
    _main()
