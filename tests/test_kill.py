"""kill -9 at and inside the steps of every mutating command: the next command tidies up, nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Wts
from tests.support.killing import DIES
from tests.support.repos import Repo
from tests.support.sessions import EVERY, a_session, is_in, picture, project_of, restored, worktree_of
from worktree_sessions.actions import close, operate
from worktree_sessions.model.session import Session

# Dies before the n-th event: a checkpoint of the engine, or a change of the world inside one kind of step.
CHILD = f"""
import os, sys
from worktree_sessions import __main__ as front_door
from worktree_sessions.actions import operate, steps
from worktree_sessions.outside import files
from worktree_sessions.outside.git import Git

where, left, *argv = sys.argv[1:]
{DIES}
def inside(do):
    def doing(*args):
        for place, name in ((Git, "ask"), (files, "move"), (files, "replace_file"), (files, "copy_file")):
            setattr(place, name, watched(getattr(place, name)))
        do(*args)
        die_at_the_last()
        sys.exit(42)  # the step is over
    return doing

if where == "checkpoint":
    operate.checkpoint = die_at_the_last
else:
    kind = operate.KINDS[where]
    operate.KINDS[where] = kind._replace(do=inside(kind.do))
sys.exit(front_door.run(argv))
"""


def dies(repo: Repo, where: str, count: int, *argv: str) -> bool:
    """Run wts until it kills itself; return False when it ended before that."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, where, str(count), *argv],
        cwd=repo.path,
        capture_output=True,
        check=False,
    )
    assert done.returncode in (-9, 0, 4, 42), done.stderr.decode()
    return done.returncode == -9


def is_sound(repo: Repo, wts: Wts) -> None:
    """Settle what was left, by a command that has nothing to do with it, and look at git's own view."""
    assert wts("list").status == 0
    settled = operate.settle(project_of(repo))
    assert [one.problem for one in settled] == [None]
    assert operate.unfinished(project_of(repo)) == []
    listed = wts("list", "--json").json["data"]
    assert (listed["unfinished"], listed["missing"], listed["unreadable"]) == ([], [], [])
    assert "prunable" not in repo.git("worktree", "list", "--porcelain")
    repo.git("fsck", "--no-dangling", "--connectivity-only")


def sessions_of(repo: Repo) -> dict[str, Session]:
    return {session.name: session for session in project_of(repo).store.load_all()[0]}


# -- new, adopt ------------------------------------------------------------------------------------


def test_new_killed_at_every_step(repo: Repo, wts_inline: Wts) -> None:
    repo.commit(".gitignore", ".env\n", "ignore")
    repo.commit(".worktreeinclude", ".env\n", "include")
    repo.write(".env", "A=1\n")
    for number in range(1, 100):
        name = f"f{number}-dev"
        died = dies(repo, "checkpoint", number, "new", name, "--no-start")
        if not died:
            break
        before = repo.git("for-each-ref", "--format=%(refname)", "refs/heads")
        assert wts_inline("list").status == 0
        is_sound(repo, wts_inline)
        made = sessions_of(repo).get(name)
        if made is None:  # rolled back to the last trace
            assert f"feature/{name}" not in repo.git("for-each-ref", "refs/heads")
            assert not (repo.path.parent / "repo.worktrees" / name).exists()
            assert wts_inline("new", name, "--no-start").status == 0
        assert (sessions_of(repo)[name].worktree / ".env").read_text() == "A=1\n"
        assert before is not None
    assert number > 6
    numbers = sorted(session.number for session in sessions_of(repo).values())
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_session_that_lasted_is_not_taken_from_whoever_works_in_it(repo: Repo, wts_inline: Wts) -> None:
    """Killed after its record was written, the session looks whole: what is done in it since must stay."""
    count = 1
    while dies(repo, "checkpoint", count, "new", f"f{count}-dev", "--no-start"):
        made = sessions_of(repo).get(f"f{count}-dev")
        if made is not None:
            tree = worktree_of(made)
            tree.git("checkout", "-q", "--detach")
            held = tree.commit("x", "x\n", "on a detached HEAD")
            tree.write("notes", "untracked\n")
            assert wts_inline("new", f"other{count}-dev", "--no-start").status == 0
            assert tree.tip("HEAD") == held
            assert (made.worktree / "notes").read_text() == "untracked\n"
        operate.settle(project_of(repo))
        count += 1
    assert count > 4


def test_adopt_killed_at_every_step(repo: Repo, wts_inline: Wts) -> None:
    for number in range(1, 100):
        tree = repo.worktree(f"hand{number}-made")
        tree.write("notes", "untracked\n")
        tree.write("README.md", "changed\n")
        before, tip = picture(tree.path), tree.tip("HEAD")
        died = dies(repo, "checkpoint", number, "adopt", str(tree.path))
        if not died:
            break
        is_sound(repo, wts_inline)
        assert (picture(tree.path), tree.tip("HEAD")) == (before, tip)
        if f"hand{number}-made" not in sessions_of(repo):
            assert wts_inline("adopt", str(tree.path)).status == 0
        assert (picture(tree.path), tree.tip("HEAD")) == (before, tip)
    assert number > 4


# -- close, restore --------------------------------------------------------------------------------


class Work(list[str]):
    """The commits that must never go."""


def busy_session(repo: Repo) -> tuple[Session, Work]:
    """A session with work of every kind: committed, amended away, staged, changed, untracked, ignored."""
    repo.commit(".gitignore", "*.db\nnode_modules/\n", "ignore")
    session = a_session(repo)
    tree = worktree_of(session)
    held = Work([tree.commit("done", "first\n", "to be amended")])
    tree.git("commit", "-q", "--amend", "-m", "amended")
    held.append(tree.tip("HEAD"))
    tree.write("README.md", "staged\n")
    tree.git("add", "README.md")
    tree.write("README.md", "on disk\n")
    tree.write("notes/new", "untracked\n").chmod(0o600)
    (tree.path / "link").symlink_to("notes")
    tree.write("local.db", "precious\n")
    return session, held


FLAGS = ("--with-unsaved",)


def comes_back_whole(repo: Repo, wts: Wts, session: Session, held: Work, before: dict[str, object]) -> None:
    """After a crash: settle, finish what was asked for, collect garbage, bring it back, and compare."""
    is_sound(repo, wts)
    if session.name in sessions_of(repo):
        assert picture(session.worktree) == before
        assert wts("close", session.name, *FLAGS).status == 0
    repo.git("gc", "--prune=now", "--quiet")
    assert wts("restore", session.name).status == 0
    assert picture(session.worktree) == before
    assert [oid for oid in held if not is_in(repo, oid)] == []
    assert worktree_of(session).git("status", "--porcelain").splitlines()[0] == "MM README.md"


@pytest.mark.parametrize("branch_goes", ["", "--delete-branch"])
def test_close_killed_at_every_step(repo: Repo, wts_inline: Wts, branch_goes: str) -> None:
    session, held = busy_session(repo)
    before = picture(session.worktree)
    flags = [*FLAGS, *([branch_goes] if branch_goes else [])]
    count = 1
    while dies(repo, "checkpoint", count, "close", session.name, *flags):
        comes_back_whole(repo, wts_inline, session, held, dict(before))
        count += 1
    assert count > 10
    restored(repo, session.name)
    assert picture(session.worktree) == before


def test_restore_killed_at_every_step(repo: Repo, wts_inline: Wts) -> None:
    session, held = busy_session(repo)
    before = picture(session.worktree)
    assert wts_inline("close", session.name, *FLAGS, "--delete-branch").status == 0
    count = 1
    while dies(repo, "checkpoint", count, "restore", session.name):
        is_sound(repo, wts_inline)
        repo.git("gc", "--prune=now", "--quiet")
        if session.name not in sessions_of(repo):
            assert not session.worktree.exists()
            assert wts_inline("restore", session.name).status == 0
        assert picture(session.worktree) == before
        assert [oid for oid in held if not is_in(repo, oid)] == []
        assert wts_inline("close", session.name, *FLAGS, "--delete-branch").status == 0
        count += 1
    assert count > 8
    assert picture(session.worktree) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "where"),
    [
        ("close", "pin-branch"),
        ("close", "take-snapshot"),
        ("close", "move-worktree"),
        ("close", "forget-worktree"),
        ("close", "retire-record"),
        ("close", "thin-trash"),
        ("restore", "add-worktree"),
        ("restore", "fill-worktree"),
        ("restore", "revive-record"),
    ],
)
def test_killed_inside_a_step(repo: Repo, wts_inline: Wts, command: str, where: str) -> None:
    """Between any two changes that a step makes (of the long steps, at some of them)."""
    session, held = busy_session(repo)
    before = picture(session.worktree)
    step = 4 if where in ("take-snapshot", "forget-worktree", "fill-worktree") else 2
    words = ("close", session.name, *FLAGS) if command == "close" else ("restore", session.name)
    count = 1
    while True:
        if command == "restore":
            close.close(project_of(repo), sessions_of(repo)[session.name], close.Closing(consents=EVERY))
        died = dies(repo, where, count, *words)
        comes_back_whole_or_is_back(repo, wts_inline, session, held, dict(before))
        if not died:
            break
        count += step
        assert count < 200


def comes_back_whole_or_is_back(
    repo: Repo, wts: Wts, session: Session, held: Work, before: dict[str, object]
) -> None:
    assert wts("list").status == 0
    assert [one.problem for one in operate.settle(project_of(repo))] in ([], [None])
    if session.name not in sessions_of(repo):
        assert wts("restore", session.name).status == 0
    assert picture(session.worktree) == before
    assert [oid for oid in held if not is_in(repo, oid)] == []


def test_what_lay_in_the_way_meanwhile_is_not_taken_for_the_worktree(repo: Repo, wts_inline: Wts) -> None:
    """A process that still stood in the moved worktree's place makes it anew: what it writes is nobody's to remove."""
    session, _ = busy_session(repo)
    before = picture(session.worktree)
    count = 1
    while dies(repo, "checkpoint", count, "close", session.name, *FLAGS) and session.worktree.exists():
        operate.settle(project_of(repo))
        count += 1
    Path(session.worktree).mkdir()
    (session.worktree / "late").write_text("written late\n")
    assert wts_inline("list").status == 0
    operate.settle(project_of(repo))
    assert (session.worktree / "late").read_text() == "written late\n"
    (session.worktree / "late").unlink()
    session.worktree.rmdir()
    operate.settle(project_of(repo))
    if session.name not in sessions_of(repo):
        restored(repo, session.name)
    assert picture(session.worktree) == before


def test_a_torn_journal_line_still_tells_how_far_it_came(repo: Repo, wts_inline: Wts) -> None:
    session, _ = busy_session(repo)
    before = picture(session.worktree)
    assert dies(repo, "checkpoint", 8, "close", session.name, *FLAGS)
    running = project_of(repo).store.operations_dir / "running"
    (journal,) = running.glob("*.jsonl")
    with journal.open("ab") as file:
        file.write(b'{"begu')
    is_sound(repo, wts_inline)
    if session.name not in sessions_of(repo):
        restored(repo, session.name)
    assert picture(session.worktree) == before


def test_an_unreadable_journal_is_set_aside_and_blocks_nothing(repo: Repo, wts_inline: Wts) -> None:
    session, _ = busy_session(repo)
    running = project_of(repo).store.operations_dir / "running"
    running.mkdir(parents=True, exist_ok=True)
    (running / "x.jsonl").write_bytes(b"not a journal\n")
    assert wts_inline("list").status == 0
    assert wts_inline("new", "other-dev", "--no-start").status == 0
    assert list(running.iterdir()) == [running / "x.unreadable"]
    assert session.worktree.exists()
