"""`wts demo`: the real commands on a throw-away repository, and nothing of the user's is touched."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Result, Wts
from tests.support.repos import Repo
from tests.support.sessions import picture
from worktree_sessions.actions import demo
from worktree_sessions.actions.demo import Answered, Finished, Happening, Stage, Told, Typed
from worktree_sessions.errors import Refused, WtsError
from worktree_sessions.views.demo import happening_text


def lies_in(result: Result) -> Path:
    found = re.search(r"^It (?:lies|lay) in +(\S.*?)(?:, and is removed)?$", result.out, re.MULTILINE)
    assert found, result
    return Path(found[1])


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a place with spaces and 'quotes'")


@pytest.fixture
def played(
    wts: Wts, hermetic: Path, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> Result:
    """The demo, played where it is hard: a read-only directory outside of a repository, a hostile environment."""
    cwd = tmp_path / "read-only"
    cwd.mkdir(mode=0o555)
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("WTS_CLAUDE", "/nowhere/claude")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    (hermetic / "gitconfig").write_text("[commit]\n    gpgSign = true\n[core]\n    hooksPath = /nowhere\n")
    (hermetic / ".gitconfig").write_text("[this is no configuration")
    before = picture(hermetic), picture(cwd)
    begun = time.monotonic()
    result = wts("demo", cwd=cwd)
    assert (result.status, result.err) == (0, "")
    assert time.monotonic() - begun < 20
    assert (picture(hermetic), picture(cwd)) == before
    for name in ("GIT_DIR", "WTS_CLAUDE"):
        monkeypatch.delenv(name)
    (hermetic / "gitconfig").write_text("")
    return result


def test_it_plays_the_main_job_with_the_real_commands_and_leaves_nothing_of_the_user_changed(
    played: Result, wts: Wts
) -> None:
    typed = [line for line in played.out.splitlines() if line.startswith("$ wts ")]
    assert typed == [
        "$ wts new checkout-cart -p 'Add a cart with a total' --background",
        "$ wts new checkout-payment -p 'Take a payment, once' --background",
        "$ wts new checkout-docs -p 'Describe the checkout' --background",
        "$ wts list",
        "$ wts close checkout-docs",
        "$ wts close checkout-docs --with-unsaved",
        "$ wts restore checkout-docs",
        "$ wts list",
    ]
    first, last = played.out.split("$ wts list\n")[1:]
    assert re.search(r"checkout-payment .*needs you", first)
    assert re.search(r"checkout-cart .*idle", first)
    assert re.search(r"checkout-docs .*ended.* 1 untracked", first)
    assert first.index("untracked   docs/refunds-draft.md") < first.index("(exit status 3)")
    assert "session 3, checkout-docs is closed" in first
    assert "6 files compared, the uncommitted one too: the same, byte for byte." in first
    assert last.count("ended") == 4  # three rows, and the line that counts them

    place = lies_in(played)
    shop = Repo(place / "shop")
    assert shop.git("log", "--format=%an: %s", "main..feature/checkout-cart") == (
        "Demo Agent: Test the cart\nDemo Agent: Add the cart"
    )
    draft = place / "shop.worktrees" / "checkout-docs" / "docs" / "refunds-draft.md"
    assert draft.read_text() == "Refunds: ask legal before this goes out.\n"
    sessions = wts("list", "--json", cwd=shop.path).json["data"]["sessions"]
    assert {session["name"]: session["state"] for session in sessions} == {
        "checkout-cart": "ended",
        "checkout-payment": "ended",
        "checkout-docs": "ended",
    }


def test_it_says_how_to_look_around_and_how_to_remove_it_all(played: Result) -> None:
    place = lies_in(played)
    look = re.search(r"^Look around +(.*)$", played.out, re.MULTILINE)
    remove = re.search(r"^Remove it +(.*)$", played.out, re.MULTILINE)
    assert look
    assert remove
    program = f'wts() {{ {shlex.quote(sys.executable)} -m worktree_sessions "$@"; }}; '
    done = subprocess.run(["sh", "-c", program + look[1]], capture_output=True, text=True, check=False)
    assert "3 sessions: 3 ended" in done.stdout
    subprocess.run(["sh", "-c", remove[1]], check=True)
    assert not place.exists()
    assert place.parent.exists()


@pytest.mark.skipif(shutil.which("ps") is None, reason="no ps here")
def test_its_agents_are_gone_afterwards(played: Result) -> None:
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(lies_in(played)) not in running


def test_where_it_is_played_can_be_said_and_what_is_there_is_never_overwritten(
    wts: Wts, repo: Repo, tmp_path: Path
) -> None:
    """Inside of a repository, too: its own is another one."""
    before = picture(repo.path, skip=())
    done = wts("demo", "--dir", "../the demo", "--remove")
    assert done.status == 0
    assert lies_in(done) == tmp_path / "the demo"
    assert not (tmp_path / "the demo").exists()
    assert picture(repo.path, skip=()) == before

    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    refused = wts("demo", "--dir", "../full")
    assert refused.status == 3
    assert "full is not empty" in refused.err
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]


def test_a_place_that_can_not_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WtsError, match="no directory for the demo can be made: Not a directory"):
        demo.make_place(tmp_path / "file" / "demo")
    with pytest.raises(Refused, match="is not empty"):
        demo.make_place(tmp_path)


def test_without_git_nothing_is_made(wts: Wts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    done = wts("demo", "--dir", str(tmp_path / "demo"), cwd=tmp_path)
    assert done.status == 1
    assert done.err.startswith("error: git ")
    assert not (tmp_path / "demo").exists()


def test_what_comes_back_different_fails_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison is a real one: one byte, and the demo says which file."""
    pictures = iter([{"a": "1", "b": "2"}, {"a": "1", "b": "3"}])
    monkeypatch.setattr(Stage, "picture", lambda *_: next(pictures))
    with pytest.raises(WtsError, match="checkout-docs is not what it was") as caught:
        list(demo.play(tmp_path, width=80))
    assert caught.value.details == ("b",)
    assert caught.value.hint == f"see what it made in {tmp_path}"
    assert (tmp_path / "agents" / "leave").exists()


def test_a_command_that_fails_is_told_with_its_output(tmp_path: Path) -> None:
    stage = Stage(tmp_path, width=80, options=())
    stage.prepare()
    with pytest.raises(WtsError, match="wts close nothing ended with exit status 1") as caught:
        list(stage.wts("close", "nothing", expect=3))
    assert caught.value.details[0] == "error: no session nothing"


def test_the_story_fits_a_narrow_screen(played: Result) -> None:
    """What the commands print is theirs; a path may be as long as it is."""
    place = str(lies_in(played))
    ours = [
        line for line in played.out.splitlines() if line[:1] in ("#", "$", "✓") or line.startswith("For real")
    ]
    assert [line for line in ours if len(line) > 80 and place not in line] == []
    assert len(ours) > 20


def test_how_it_is_drawn() -> None:
    finished = Finished(
        directory=Path("/tmp/a b"), repository=Path("/tmp/a b/shop"), is_kept=True, seconds=3.21
    )
    happenings: list[Happening] = [
        Told("It begins."),
        Typed(("wts", "close", "a b")),
        Answered("error: no", 3),
        finished,
    ]
    assert "\n".join(happening_text(one, color=False) for one in happenings) == (
        "\n# It begins.\n"
        "$ wts close 'a b'\n"
        "error: no\n"
        "(exit status 3)\n"
        "\n"
        "✓ That was the demo, 3.2 s long; nothing outside of its directory was touched.\n"
        "It lies in   /tmp/a b\n"
        "Look around  cd '/tmp/a b/shop' && wts list\n"
        "Remove it    rm -rf -- '/tmp/a b'\n"
        'For real     wts new auth-frontend -p "Build the login form"'
    )


def test_colour_reaches_the_commands_it_runs(tmp_path: Path) -> None:
    stage = Stage(tmp_path, width=80, options=("--color", "always"))
    stage.prepare()
    typed, answered = stage.wts("list")
    assert typed == Typed(("wts", "list"))
    assert isinstance(answered, Answered)
    assert answered.status == 0
    refused = next(iter(list(stage.wts("close", "x", expect=1))[1:]))
    assert isinstance(refused, Answered)
    assert "\x1b[" in refused.text


def test_an_agent_waits_for_nothing_when_the_demo_is_gone(tmp_path: Path) -> None:
    """rm -rf while an agent waits, and it leaves."""
    agent = Path(demo.__file__).parents[1] / "assets" / "demo" / "claude"
    env = {
        **os.environ,
        "WTS_SESSION": "checkout-docs",
        "DEMO_SIGNALS": str(tmp_path / "gone"),
        "GIT_AUTHOR_NAME": "A",
    }
    repo = Repo.create(tmp_path / "repo")
    done = subprocess.run(
        [sys.executable, str(agent), "--", "go"], cwd=repo.path, env=env, timeout=20, check=False
    )
    assert done.returncode == 0
    assert repo.git("log", "--format=%s") == "Describe the checkout"
