"""`wts demo`: the real commands on a throw-away repository, and nothing of the user's is touched."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
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


class Play:
    """The demo, played where it is hard: a read-only directory outside of a repository, a hostile environment."""

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary
        self.result: Result | None = None

    def once(self, wts: Wts, home: Path, cwd: Path) -> Result:
        """Play it, unless what was played before is still there; nothing of the user's may have changed by it."""
        if self.result is not None and lies_in(self.result).exists():
            return self.result
        cwd.mkdir(mode=0o555)
        with pytest.MonkeyPatch.context() as here:
            here.setenv("TMPDIR", str(self.temporary))
            here.setenv("WTS_CLAUDE", "/nowhere/claude")
            here.setenv("GIT_DIR", "/nowhere")
            before = (home / "gitconfig").read_text()
            (home / "gitconfig").write_text(
                "[commit]\n    gpgSign = true\n[core]\n    hooksPath = /nowhere\n"
            )
            (home / ".gitconfig").write_text("[this is no configuration")
            pictures = picture(home), picture(cwd)
            result = wts("demo", cwd=cwd)
            assert (result.status, result.err) == (0, "")
            assert (picture(home), picture(cwd)) == pictures
            (home / "gitconfig").write_text(before)
        self.result = result
        return result


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Play:
    return Play(tmp_path_factory.mktemp("a place with spaces and 'quotes'"))


@pytest.fixture
def played(play: Play, wts: Wts, hermetic: Path, tmp_path: Path) -> Result:
    """What the demo showed; it is played once for all who only look at it."""
    return play.once(wts, hermetic, tmp_path / "read-only")


def acts(played: Result) -> dict[str, str]:
    """Return what was shown, by the command that was typed."""
    parts = re.split(r"^\$ (.*)\n", played.out, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


MERGE = "wts merge-ready --yes --test ./run-tests"
SESSIONS = ("cart", "payment", "docs", "shipping", "vat")


def test_it_types_the_real_commands_of_the_main_job(played: Result) -> None:
    assert list(acts(played)) == [
        "git log --oneline",
        "wts new checkout-cart -p 'Add a cart with a total' --background",
        "wts new checkout-payment -p 'Take a payment, once' --background",
        "wts new checkout-docs -p 'Describe the checkout' --background",
        "wts new checkout-shipping -p 'Price a parcel' --background",
        "wts new checkout-vat -p 'Tell prices with and without tax' --background",
        "wts list",
        "wts close checkout-docs",
        "wts close checkout-docs --with-unsaved",
        "wts restore checkout-docs",
        "wts radar",
        MERGE,
        "git log --oneline --graph main..feature/checkout",
        "wts undo",
    ]


def test_unsaved_work_is_refused_then_closed_with_consent_then_brought_back(played: Result) -> None:
    shown = acts(played)
    states = re.findall(r"^\d  checkout-(\w+) +\S (needs you|\w+)", shown["wts list"], re.MULTILINE)
    assert dict(states) == dict.fromkeys(SESSIONS, "idle") | {"payment": "needs you", "docs": "ended"}
    refused = shown["wts close checkout-docs"]
    assert refused.index("untracked   docs/refunds-draft.md") < refused.index("(exit status 3)")
    assert "session 3, checkout-docs is closed" in shown["wts close checkout-docs --with-unsaved"]
    restored = shown["wts restore checkout-docs"]
    assert "9 files compared, the uncommitted one too: the same, byte for byte." in restored
    draft = lies_in(played) / "shop.worktrees" / "checkout-docs" / "docs" / "refunds-draft.md"
    assert draft.read_text() == "Refunds: ask legal before this goes out.\n"


def test_at_midday_two_land_one_is_in_conflict_one_is_red_only_together_and_one_is_not_ready(
    played: Result,
) -> None:
    shown = acts(played)
    assert "✗ 2 checkout-payment and 4 checkout-shipping: shop/prices.py, lines 3" in shown["wts radar"]
    assert len(re.findall("^✗ \\d", shown["wts radar"], re.MULTILINE)) == 1
    plan, receipt = shown[MERGE].split("✓ 2 sessions landed on feature/checkout, ")
    assert "·  3 checkout-docs      not ready: 1 untracked: docs/refunds-draft.md" in plan
    assert re.findall(r"^  ([✓✗])  \d checkout-(\w+) +(.*)$", receipt, re.MULTILINE) == [
        ("✓", "cart", "2 commits, 2 files, Demo Agent"),
        ("✓", "payment", "1 commit, 2 files, Demo Agent"),
        ("✗", "vat", "green alone, red together with checkout-cart"),
        ("✗", "shipping", "conflicts with checkout-payment"),
    ]
    assert "(exit status 5)" in receipt
    landed = shown["git log --oneline --graph main..feature/checkout"]
    assert re.findall("Merge session .*", landed) == [
        "Merge session 2, checkout-payment: Take a payment, once",
        "Merge session 1, checkout-cart: Add a cart with a total",
    ]
    log = re.search(r"log: (\S.*)$", receipt, re.MULTILINE)
    assert log
    assert "cannot import name 'price'" in Path(log[1]).read_text()


def test_the_undo_at_the_end_leaves_all_as_it_was_before_the_merge(played: Result, wts: Wts) -> None:
    shop = Repo(lies_in(played) / "shop")
    assert "✓ merge-ready checkout undone" in acts(played)["wts undo"]
    assert shop.tip("feature/checkout") == shop.tip("main")
    trees = [shop.path, *(shop.path.parent / "shop.worktrees" / f"checkout-{name}" for name in SESSIONS)]
    files = sum(len(picture(tree)) for tree in trees)
    assert f"# 7 branches and {files} files compared: as before, byte for byte." in acts(played)["wts undo"]
    undo, merge, *_ = wts("log", "--json", cwd=shop.path).json["data"]["operations"]
    assert (merge["verb"], merge["undone_by"], undo["undoes"]) == ("merge-ready", undo["id"], merge["id"])
    sessions = wts("list", "--json", cwd=shop.path).json["data"]["sessions"]
    assert {one["purpose"]: one["state"] for one in sessions} == dict.fromkeys(SESSIONS, "ended")


def test_git_and_the_tests_themselves_agree_with_what_it_tells(played: Result, tmp_path: Path) -> None:
    """Each session is green alone; two merge and are red, two do not merge: judged without wts."""
    shop = Repo(lies_in(played) / "shop")
    assert shop.git("log", "--format=%an: %s", "main..feature/checkout-cart") == (
        "Demo Agent: Test the cart\nDemo Agent: Add the cart"
    )

    def tried(*purposes: str) -> tuple[int, int]:
        """Return how a merge of sessions ends, and how their tests do."""
        place = tmp_path / "-".join(purposes)
        shop.git("clone", "--quiet", str(shop.path), str(place))
        merge = ["git", "merge", "--quiet", "--no-ff", "--no-edit"]
        branches = [f"origin/feature/checkout-{purpose}" for purpose in purposes]
        ends = [
            subprocess.run(words, cwd=place, capture_output=True, check=False).returncode
            for words in ([*merge, branch] for branch in branches)
        ]
        tests = subprocess.run(["./run-tests"], cwd=place, capture_output=True, check=False)
        return max(ends), tests.returncode

    assert {tried(purpose) for purpose in SESSIONS} == {(0, 0)}
    assert tried("cart", "vat") == (0, 1)
    assert tried("cart", "shipping") == (0, 0)
    assert tried("shipping", "payment")[0] == 1


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


def test_what_comes_back_different_fails_the_demo(tmp_path: Path) -> None:
    """The comparison is a real one: one byte, and the demo says which file."""
    draft = tmp_path / "shop.worktrees" / "checkout-docs" / "docs" / "refunds-draft.md"
    with pytest.raises(WtsError, match="checkout-docs is not what it was") as caught:
        play_until("restore", tmp_path, lambda: draft.write_bytes(draft.read_bytes() + b"!"))
    assert caught.value.details == ("docs/refunds-draft.md",)
    assert caught.value.hint == f"see what it made in {tmp_path}"
    assert (tmp_path / "agents" / "leave").exists()


def test_an_undo_that_leaves_anything_behind_fails_the_demo(tmp_path: Path) -> None:
    """A branch that is elsewhere, a byte in a worktree: both are named."""
    shop = Repo(tmp_path / "shop")

    def meddle() -> None:
        shop.git("update-ref", "refs/heads/feature/checkout", "main~1")
        shop.write("README.md", "# A small shop?\n")

    with pytest.raises(WtsError, match="the undo has not brought all of it back") as caught:
        play_until("undo", tmp_path, meddle)
    assert caught.value.details == ("feature/checkout", "shop/README.md", "shop/git status")


def play_until(verb: str, place: Path, meddle: Callable[[], object]) -> None:
    """Play the demo, and meddle with what it made when a command has just answered."""
    verbs: list[str] = []
    for happening in demo.play(place, width=80):
        if isinstance(happening, Typed):
            verbs.append(happening.words[1])
        if isinstance(happening, Answered) and verbs[-1] == verb:
            meddle()


def test_a_command_that_fails_is_told_with_its_output(tmp_path: Path) -> None:
    stage = Stage(tmp_path, width=80)
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


def test_it_says_how_to_look_around_and_how_to_remove_it_all(played: Result) -> None:
    place = lies_in(played)
    look = re.search(r"^Look around +(.*)$", played.out, re.MULTILINE)
    remove = re.search(r"^Remove it +(.*)$", played.out, re.MULTILINE)
    assert look
    assert remove
    program = f'wts() {{ {shlex.quote(sys.executable)} -m worktree_sessions "$@"; }}; '
    done = subprocess.run(["sh", "-c", program + look[1]], capture_output=True, text=True, check=False)
    assert "5 sessions: 5 ended" in done.stdout
    subprocess.run(["sh", "-c", remove[1]], check=True)
    assert not place.exists()
    assert place.parent.exists()


def test_how_it_is_drawn() -> None:
    finished = Finished(
        directory=Path("/tmp/a b"), repository=Path("/tmp/a b/shop"), is_kept=True, seconds=3.21
    )
    happenings: list[Happening] = [
        Told("It begins.\nSlowly."),
        Typed(("wts", "close", "a b")),
        Answered("error: no", 3),
        finished,
    ]
    assert "\n".join(happening_text(one, color=False) for one in happenings) == (
        "\n# It begins.\n"
        "# Slowly.\n"
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
    stage = Stage(tmp_path, width=80, color="always")
    stage.prepare()
    typed, answered = stage.wts("list")
    assert typed == Typed(("wts", "list"))
    assert isinstance(answered, Answered)
    assert answered.status == 0
    refused = next(iter(list(stage.wts("close", "x", expect=1))[1:]))
    assert isinstance(refused, Answered)
    assert "\x1b[" in refused.text
    log = next(iter(list(stage.git("log", "--oneline"))[1:]))
    assert isinstance(log, Answered)
    assert "\x1b[" in log.text


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
