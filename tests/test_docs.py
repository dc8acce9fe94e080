"""The README and docs/: every console block is run, and what the pages claim is compared with the code."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Wts
from tests.support import console, picture
from tests.support.repos import Repo
from worktree_sessions import __version__
from worktree_sessions.cli.main import ALIASES, ENTRIES
from worktree_sessions.errors import Exit
from worktree_sessions.model import names
from worktree_sessions.model.state import FRESH, LAG, SILENT
from worktree_sessions.outside import claude, environment
from worktree_sessions.views.listing import FACES

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
WITH_BLOCKS = [page for page in PAGES if "```console" in page.read_text(encoding="utf-8")]


@pytest.fixture
def shell(hermetic: Path, fake_claude: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[console.Shell]:
    """A reader's shell: wts and a stand-in for claude on PATH, a small repository in ~/src/app."""
    programs = hermetic / "bin"
    programs.mkdir()
    (programs / "wts").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m worktree_sessions "$@"\n')
    (programs / "wts").chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(programs), os.environ["PATH"]]))
    repo = Repo.create(hermetic / "src" / "app")
    repo.commit("README.md", "# app\n", "Start")
    repo.commit(".gitignore", ".env\nnode_modules/\n", "Ignore what is local")
    yield console.Shell(repo.path, hermetic)
    for entry in (hermetic / ".claude" / "sessions").glob("*.json"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(entry.stem), signal.SIGTERM)


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: page.name)
def test_every_console_block_shows_what_really_comes(page: Path, shell: console.Shell) -> None:
    text = page.read_text(encoding="utf-8")
    wrong, real = console.check(text, shell)
    if wrong and os.environ.get("DOCS_WRITE"):
        page.write_text(real, encoding="utf-8")
        pytest.skip(f"{page.name} is written anew")
    assert not wrong, "\n\n".join(wrong)


# -- what the pages claim ------------------------------------------------------------------------


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def test_every_link_leads_somewhere() -> None:
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            path, _, heading = target.partition("#")
            if path.startswith("https://"):
                continue
            there = page.parent / path if path else page
            if not there.exists() or (heading and heading not in headings(there)):
                broken.append(f"{page.name}: {target}")
    assert broken == []


def headings(page: Path) -> list[str]:
    """Return the anchors of a page's headings as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


def test_every_command_that_is_named_is_there() -> None:
    """Pages speak of no command that this version does not have; the changelog and the README's promise say which."""
    known = {*ENTRIES, *ALIASES}
    named = {
        (page.name, word)
        for page in PAGES
        for code in re.findall(r"`([^`\n]+)`|^\$ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        for word in re.findall(r"\bwts ([a-z][a-z-]+)", " ".join(code))
    }
    assert {one for one in named if one[1] not in known} == set()


def test_the_readme_shows_each_phase_of_the_day() -> None:
    readme = read("README.md")
    assert re.findall(r"^### (\w+)", readme, re.MULTILINE) == [
        "Morning",
        "Working",
        "Midday",
        "Wrap",
        "Repair",
    ]
    assert "`wts merge-ready`" in readme.split("## Install")[0]


def test_the_changelog_knows_this_version() -> None:
    versions = re.findall(r"^## \[(.*?)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert versions[:2] == ["Unreleased", __version__]


def test_exit_codes_are_those_of_the_code() -> None:
    told = dict(re.findall(r"^\| (\d+) \| (\w+) \|", read("docs/exit-codes.md"), re.MULTILINE))
    assert told == {str(code.value): code.name.lower() for code in Exit}


def test_every_rule_for_names_is_told() -> None:
    told = set(re.findall(r"^- (.*)$", read("docs/names.md"), re.MULTILINE))
    reasons = {reason for _, reason in names.RULES}
    assert told - reasons == {
        "would be mistaken for a session number",
        "has two hyphens where its purpose begins",
    }
    assert reasons <= told


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads(read("pyproject.toml"))
    wanted = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["dev"]]
    wanted += project["build-system"]["requires"]
    named = {re.split(r"[\[<>=! ]", one)[0] for one in wanted}
    tables = [row for row in read("docs/decisions.md").splitlines() if row.startswith("| `")]
    told = {word for row in tables for word in re.findall(r"`([\w-]+)`", row.split("|")[1])}
    assert told == named


def test_what_is_said_of_claude_is_so() -> None:
    page = read("docs/claude.md")
    markers = {*environment.CLAUDE_MARKERS, *(f"{prefix}*" for prefix in environment.CLAUDE_MARKER_PREFIXES)}
    assert markers == set(re.findall(r"`(CLAUDE\w+\*?)`", page)) - {"CLAUDE_CONFIG_DIR"}
    hooks = json.loads(read("hooks/claude/hooks/hooks.json"))["hooks"]
    listened = page.split("listened to:")[1].split("A line holds")[0]
    assert set(re.findall(r"`(\w+)`", listened)) == set(hooks)
    variables = page.split("Added: `")[1].split("`")[0]
    assert set(variables.split()) == environment.SESSION_VARIABLES


def test_every_state_has_its_row_and_each_limit_is_told() -> None:
    page = read("docs/states.md")
    states = dict(re.findall(r"^\| (\w+) \| ([\w ]+?) \| \S.* \| \S.* \|$", page, re.MULTILINE))
    states.pop("State")
    assert states == {state.value: face.word for state, face in FACES.items()}
    assert f"{SILENT:.0f} seconds of silence" in page
    assert f"apart by {LAG:.0f} second" in page
    assert FRESH == 3600
    assert page.count("for an hour") == 2


def test_every_field_of_the_registry_that_is_read_is_told(tmp_path: Path) -> None:
    """A file with the fields of the table tells all there is, and without one of them it tells less."""
    page = read("docs/states.md").split("### What is read")[1]
    fields = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    row: dict[str, object] = {field: 1000 if field == "updatedAt" else "x" for field in fields}
    (tmp_path / "sessions").mkdir()

    def told(row: dict[str, object]) -> claude.Registered | None:
        (tmp_path / "sessions" / "7.json").write_text(json.dumps(row))
        return claude.registered(tmp_path, 7)

    full = told(row)
    assert full is not None
    assert None not in full
    for field in fields:
        assert told({key: value for key, value in row.items() if key != field}) != full, field


def test_every_function_that_the_architecture_names_exists() -> None:
    page = read("docs/architecture.md")
    package = ROOT / "worktree_sessions"
    modules: dict[str, str] = {}
    for path in package.rglob("*.py"):
        modules[path.stem] = modules.get(path.stem, "") + path.read_text(encoding="utf-8")
    broken = []
    for module, name in re.findall(r"`(\w+)\.(\w+)(?:\[\w+\])?`", page):
        if name in ("py", "json", "jsonl"):
            continue
        if not re.search(rf"^\s*(def|class) {name}\b|^{name}\b", modules.get(module, ""), re.MULTILINE):
            broken.append(f"{module}.{name}")
    assert broken == []
    for file in re.findall(r"`(tests/\w+\.py|\w+/\w+\.py|errors\.py|__main__\.py)`", page):
        assert (ROOT / file).exists() or (package / file).exists(), file
    floors = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert set(floors) == {path.name for path in package.iterdir() if (path / "__init__.py").exists()}


def test_the_picture_is_what_the_program_draws(hermetic: Path, fake_claude: Path) -> None:
    """Renewed by `python tests/support/picture.py`; ages differ from run to run."""
    drawn = picture.draw(hermetic)
    assert picture.text_of(drawn) == picture.text_of(picture.PICTURE.read_text(encoding="utf-8"))
    assert any("needs you" in row for row in picture.text_of(drawn))


# -- files ---------------------------------------------------------------------------------------


def test_every_file_that_is_written_is_told(
    hermetic: Path, repo: Repo, wts: Wts, fake_claude: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wts("config")
    (repo.path / ".wts.toml").write_text('[setup]\nrun = ["true"]\n')
    wts("trust", "--yes")
    monkeypatch.setenv("FAKE_CLAUDE_SCRIPT", json.dumps([{"write": "a.txt"}, {"stop": {}}]))
    wts("new", "auth-api", "--background", "-p", "Go on")
    session = wts("list", "--json").json["data"]["sessions"][0]
    ended_all(wts)
    exclude = repo.path / ".git" / "info" / "exclude"
    exclude.write_text("local.db\n")
    (Path(session["worktree"]) / "local.db").write_text("kept")
    wts("hooks", "install", "--yes")
    wts("new", "auth-web")
    assert wts("close", "auth-api", "--with-unsaved").status == 0
    page = read("docs/files.md")
    told = [pattern_of(path) for path in re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE)]
    root = repo.path / ".git" / "wts"
    found = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    found += repo.git("for-each-ref", "--format=%(refname)", "refs/wts").splitlines()
    assert len(found) > 10
    assert [path for path in found if not any(pattern.fullmatch(path) for pattern in told)] == []
    state = hermetic / ".local" / "state" / "wts"
    assert {path.name for path in state.iterdir()} <= set(re.findall(r"[\w.]+", page))


def pattern_of(cell: str) -> re.Pattern[str]:
    """Return what matches the paths of a table's cell: <name> is one part, a final slash all below."""
    each = []
    for path in re.findall(r"`(.*?)`", cell):
        pattern = re.sub(r"<\w+>", "[^/]+", re.escape(path).replace(r"\<", "<").replace(r"\>", ">"))
        each.append(pattern + (".*" if path.endswith("/") else ""))
    return re.compile("|".join(each))


# -- JSON ----------------------------------------------------------------------------------------


def json_tables() -> dict[str, set[str]]:
    """Return the documented keys by the heading that they stand under."""
    found: dict[str, set[str]] = {}
    for section in re.split(r"^##+ ", read("docs/json.md"), flags=re.MULTILINE)[1:]:
        title = section.splitlines()[0].replace("`", "")
        keys = set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))
        for one in title.split(", "):
            found[one] = keys
    git_hooks = {key for key in found["wts hooks"] if not key.startswith("claude_worktrees")}
    found["wts hooks install"] = found["wts hooks uninstall"] = found["wts hooks install"] | git_hooks
    found["wts close --landed"] |= found["wts close"]
    return found


def keys_of(value: object, path: str = "") -> set[str]:
    """Return the dotted keys of JSON data, `[]` behind a list."""
    if isinstance(value, list):
        return {f"{path}[]"} | {key for item in value for key in keys_of(item, f"{path}[]")}
    own = {path} if path else set()
    if isinstance(value, dict):
        return own | {
            key for name, item in value.items() for key in keys_of(item, f"{path}.{name}" if path else name)
        }
    return own


def test_json_has_the_documented_keys(repo: Repo, wts: Wts, fake_claude: Path) -> None:
    (repo.path / ".wts.toml").write_text('[setup]\nrun = ["true"]\n')
    by_hand = repo.worktree("by-hand")
    tables = json_tables()
    wrong = []

    def compare(title: str, *args: str) -> Any:
        data = wts(*args, "--json").json["data"]
        found = keys_of(data)
        inner = "sessions[]" if title == "wts list" else "session"
        if any(key.startswith(f"{inner}.") for key in found):
            session = {key.removeprefix(f"{inner}.") for key in found if key.startswith(f"{inner}.")}
            wrong.extend([f"{title}: session {key}" for key in session ^ tables["A session"]])
            found -= {key for key in found if key.startswith(f"{inner}.")}
        found -= {key for key in found if key.startswith("all[].") or re.match(r"settings\[\]\.value\[", key)}
        lists = {key for key in found if key.endswith("[]")}
        empty = {one for one in lists if not any(key.startswith(f"{one}.") for key in found)}
        wrong.extend(f"{title}: {key} is not told" for key in found - tables[title])
        wrong.extend(
            f"{title}: {key} does not come"
            for key in tables[title] - found
            if not key.startswith(tuple(f"{one}." for one in empty))
        )
        return data

    compare("wts trust", "trust", "--yes")
    compare("With --dry-run", "new", "auth-api", "--dry-run")
    made = compare("wts new", "new", "auth-api")["session"]
    compare("wts adopt", "adopt", str(by_hand.path))
    compare("wts setup", "setup", "1")
    (Path(made["worktree"]) / "a.txt").write_text("a")
    (Path(made["worktree"]) / "local.db").write_text("b")
    (repo.path / ".git" / "info" / "exclude").write_text("local.db\n")
    compare("wts list", "list")
    compare("wts hold", "hold", "1", "later")
    compare("wts why", "why", "1")
    compare("wts path", "path", "1")
    compare("wts close", "close", "1", "--with-unsaved")
    home = Path(wts("new", "auth-home", "--json").json["data"]["session"]["worktree"])
    Repo(home).commit("home.txt", "home", "home")
    repo.git("branch", "--force", "feature/auth", "feature/auth-home")
    compare("wts close --landed", "close", "--landed", "--yes")
    compare("wts restore", "restore")
    compare("wts restore NAME", "restore", "auth-api")
    assert compare("wts send", "send", "1", "hello")["how"] == "kept"
    compare("wts open", "open", "1", "--background")
    ended_all(wts)
    compare("wts open --all", "open", "--all", "--yes", "--background")
    ended_all(wts)
    assert compare("wts why --events", "why", "1", "--events")["events"]
    wts("close", "1", "--with-unsaved")
    compare("wts restore --empty-trash", "restore", "--empty-trash", "--yes")
    compare("wts doctor", "doctor")
    compare("wts config", "config")
    compare("wts hooks", "hooks")
    compare("wts hooks install", "hooks", "install")
    compare("wts hooks uninstall", "hooks", "uninstall")
    compare("wts trust --revoke", "trust", "--revoke")
    assert wrong == []


def ended_all(wts: Wts) -> None:
    """Wait until no session's Claude runs."""
    deadline = time.monotonic() + 20
    while {one["state"] for one in wts("list", "--json").json["data"]["sessions"]} - {"ended", "parked"}:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_what_does_not_match_is_found() -> None:
    """The harness itself: what varies is equal, what differs is not, and `...` stands for any number of lines."""
    assert console.matches(["a 12m", "...", "z"], ["a  3s", "b", "c", "z"])
    assert console.matches(["commit 0123456789", "..."], ["commit fedcba9876"])
    assert not console.matches(["closed"], ["closed", "and more"])
    assert not console.matches(["3 changed"], ["4 changed"])
    assert not console.matches([], ["a word"])
