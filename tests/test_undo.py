"""`wts log` and `wts undo`: every branch comes back to the byte, all of an operation's or none."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.conftest import Wts
from tests.support.moves import moved, tip_of
from tests.support.repos import Repo
from tests.support.sessions import a_session, closed, picture, project_of, refs, worktree_of
from worktree_sessions.actions import moving, operate, undoing
from worktree_sessions.errors import NothingToDo, Refused
from worktree_sessions.model.operation import Operation, Plan, RefMove, Step, from_journal, to_header
from worktree_sessions.outside.git import Oid, Ref


def tips(repo: Repo, count: int) -> list[str]:
    """Return commits that do not contain each other."""
    start = repo.tip("HEAD")
    made = []
    for number in range(count):
        repo.git("checkout", "-q", "--detach", start)
        made.append(repo.commit("file", f"{number}\n", f"tip {number}"))
    repo.git("checkout", "-q", "main")
    return made


def branches(repo: Repo) -> dict[str, str]:
    return {name: oid for name, oid in refs(repo).items() if name.startswith("refs/heads/")}


# -- undo ------------------------------------------------------------------------------------------


def test_undo_brings_every_branch_back_and_can_be_undone(repo: Repo, wts_inline: Wts) -> None:
    one, two = tips(repo, 2)
    repo.branch("feature/a", one)
    repo.branch("feature/gone", one)
    before = branches(repo)
    done = moved(repo, ("feature/a", one, two), ("feature/new", None, two), ("feature/gone", one, None))
    after = branches(repo)
    assert before != after
    steps = wts_inline("undo", "--dry-run")
    assert "feature/a back from" in steps.out
    assert branches(repo) == after
    undone = wts_inline("undo", "--json").json["data"]
    assert branches(repo) == before
    assert undone["undone"] == done.id
    assert undone["refs"] == [
        {"ref": "refs/heads/feature/a", "from": two, "to": one},
        {"ref": "refs/heads/feature/new", "from": two, "to": None},
        {"ref": "refs/heads/feature/gone", "from": None, "to": one},
    ]
    again = wts_inline("undo")
    assert branches(repo) == after
    assert again.out.startswith("✓ undo auth undone")
    assert wts_inline(*again.out.splitlines()[-1].removeprefix("undo: wts ").split()).status == 0
    assert branches(repo) == before


def test_the_dry_run_lists_the_steps_that_run(repo: Repo, wts_inline: Wts) -> None:
    one, two = tips(repo, 2)
    repo.branch("feature/a", one)
    moved(repo, ("feature/a", one, two))
    promised = wts_inline("undo", "--dry-run", "--json").json["data"]["steps"]
    undone = undoing.undo(project_of(repo), None)
    assert [step.says for step in undone.plan.steps] == promised


def test_a_branch_that_moved_since_is_named_and_nothing_moves(repo: Repo, wts_inline: Wts) -> None:
    one, two, three = tips(repo, 3)
    repo.branch("feature/a", one)
    repo.branch("feature/b", one)
    moved(repo, ("feature/a", one, two), ("feature/b", one, two))
    repo.git("update-ref", "refs/heads/feature/b", three)
    before = branches(repo)
    refused = wts_inline("undo")
    assert refused.status == 3
    assert "feature/b moved on" in refused.err
    assert "feature/a" not in refused.err
    assert f"git revert $(git rev-list --first-parent {one[:10]}..{two[:10]})" in refused.err
    assert branches(repo) == before


def test_an_older_operation_is_undone_after_the_later_one(repo: Repo, wts_inline: Wts) -> None:
    one, two, three = tips(repo, 3)
    repo.branch("feature/a", one)
    first = moved(repo, ("feature/a", one, two))
    second = moved(repo, ("feature/a", two, three))
    refused = wts_inline("undo", first.id)
    assert (refused.status, f"wts undo {second.id}" in refused.err) == (3, True)
    assert wts_inline("undo", second.id[-6:]).status == 0
    assert wts_inline("undo", first.id).status == 0
    assert tip_of(repo, "feature/a") == one
    already = wts_inline("undo", first.id)
    assert (already.status, "undone already" in already.err) == (6, True)


def test_the_worktree_follows_or_the_file_is_named(repo: Repo, wts_inline: Wts) -> None:
    one, two = tips(repo, 2)
    repo.git("branch", "feature/a", one)
    place = repo.path.parent / "there"
    repo.git("worktree", "add", "-q", str(place), "feature/a")
    there = Repo(place)
    moved(repo, ("feature/a", one, two), ("feature/b", None, two))
    there.write("file", "mine\n")
    before = branches(repo)
    refused = wts_inline("undo", "--json")
    assert (refused.status, refused.json["errors"][0]["code"]) == (3, "changed")
    assert "file" in refused.json["errors"][0]["message"]
    assert branches(repo) == before
    there.git("checkout", "-q", "file")
    there.write("README.md", "mine, and not of the move\n")
    assert wts_inline("undo").status == 0
    assert (tip_of(repo, "feature/a"), tip_of(repo, "feature/b")) == (one, None)
    assert there.git("status", "--porcelain") == " M README.md"
    assert (place / "file").read_text() == "0\n"


def test_a_branch_made_and_checked_out_since_is_not_taken_away(repo: Repo, wts_inline: Wts) -> None:
    (one,) = tips(repo, 1)
    moved(repo, ("feature/b", None, one))
    repo.git("worktree", "add", "-q", str(repo.path.parent / "there"), "feature/b")
    refused = wts_inline("undo")
    assert (refused.status, "checked out" in refused.err) == (3, True)
    assert tip_of(repo, "feature/b") == one


def test_new_and_close_point_to_their_own_inverse(repo: Repo, wts_inline: Wts) -> None:
    session = a_session(repo, "auth-api")
    (made,) = undoing.log(project_of(repo))
    refused = wts_inline("undo", made.operation.id)
    assert (refused.status, "wts close auth-api" in refused.err) == (3, True)
    assert wts_inline("undo").status == 6  # no branch was moved by what undo takes back
    gone = closed(repo, session, delete_branch=True)
    assert gone.operation is not None
    refused = wts_inline("undo", gone.operation)
    assert (refused.status, "wts restore auth-api" in refused.err) == (3, True)


def test_what_no_operation_is_called(repo: Repo, wts_inline: Wts) -> None:
    one, two = tips(repo, 2)
    repo.branch("feature/a", one)
    moved(repo, ("feature/a", one, two))
    moved(repo, ("feature/a", two, one))
    assert wts_inline("undo", "nothing").status == 1
    several = wts_inline("undo", "2")  # the century in which both were done
    assert several.status == 1
    assert "several operations" in several.err


def test_one_that_was_rolled_back_is_not_undone(repo: Repo) -> None:
    one, two = tips(repo, 2)
    repo.branch("feature/a", one)
    lock = repo.path / ".git" / "refs" / "heads" / "feature" / "a.lock"
    lock.touch()
    with pytest.raises(Refused):
        moved(repo, ("feature/a", one, two))
    lock.unlink()
    with pytest.raises(NothingToDo):
        undoing.undo(project_of(repo), None)
    (entry,) = undoing.log(project_of(repo))
    with pytest.raises(Refused, match="rolled back"):
        undoing.undo(project_of(repo), entry.operation.id)


def test_an_undo_survives_gc(repo: Repo, wts_inline: Wts) -> None:
    one, two = tips(repo, 2)
    repo.branch("feature/a", one)
    moved(repo, ("feature/a", one, two))
    for _ in range(2):
        repo.git("reflog", "expire", "--expire=now", "--expire-unreachable=now", "--all")
        repo.git("gc", "--prune=now", "--quiet")
        assert wts_inline("undo").status == 0
    assert tip_of(repo, "feature/a") == two


# -- the log ---------------------------------------------------------------------------------------


def test_the_log_tells_what_was_done(repo: Repo, wts_inline: Wts) -> None:
    assert wts_inline("log").out == "nothing was done yet\n"
    session = a_session(repo, "auth-api")
    one, two = tips(repo, 2)
    repo.git("update-ref", "refs/heads/feature/auth", one)
    landed = moved(repo, ("feature/auth", one, two))
    undone = undoing.undo(project_of(repo), None)
    rows = wts_inline("log", "--json").json["data"]["operations"]
    assert [(row["verb"], row["session"], row["outcome"]) for row in rows] == [
        ("undo", "auth", "done"),
        ("merge-ready", "auth", "done"),
        ("new", "auth-api", "done"),
    ]
    assert (rows[0]["undoes"], rows[1]["undone_by"]) == (landed.id, undone.operation)
    assert rows[1]["refs"] == [{"ref": "refs/heads/feature/auth", "from": one, "to": two}]
    assert {row["ref"] for row in rows[2]["refs"]} == {
        "refs/heads/feature/auth",
        f"refs/heads/{session.branch}",
    }
    assert len(wts_inline("log", "-n", "1", "--json").json["data"]["operations"]) == 1
    text = wts_inline("log").out.splitlines()
    assert text[0].split()[-2:] == ["undo", "auth"]
    assert f"undone by {undone.operation}" in text[2]
    assert text[3] == f"  feature/auth  {one[:10]} → {two[:10]}"
    undoing.undo(project_of(repo), None)  # the undo is undone: what it took back stands again
    by = {entry.operation.id: entry.undone_by for entry in undoing.log(project_of(repo))}
    assert by[landed.id] is None


def test_a_log_with_what_is_unfinished_and_what_can_t_be_read(repo: Repo, wts_inline: Wts) -> None:
    directory = project_of(repo).store.operations_dir
    (directory / "running").mkdir(parents=True)
    (directory / "0-bad.jsonl").write_bytes(b"\xff not a journal\n")
    plan = Plan(verb="merge-ready", session="\x1b[31mauth", steps=())
    (directory / "running" / "1-open.jsonl").write_bytes(to_header("1-open", plan) + b"\n")
    out = wts_inline("log").out.splitlines()
    assert "merge-ready auth  unfinished" in out[0]
    assert "unknown" in out[1]
    assert wts_inline("undo").status == 6


def test_the_journal_carries_the_refs_and_older_ones_are_read() -> None:
    ref = Ref("refs/heads/a")
    first, second = Oid("1" * 40), Oid("2" * 40)
    steps = (
        Step("create-ref", "make", {}, RefMove(ref, None, first)),
        moving.move_branch(ref, first, second, Path("/there"), "move"),
    )
    plan = Plan(verb="sync", session="a", steps=steps, undoes="x")
    header = to_header("id", plan)
    assert from_journal(header).plan == plan
    assert plan.refs == (RefMove(ref, None, second),)
    old = b'{"schema": 1, "id": "i", "verb": "new", "session": "s", "no_return": null, "steps": '
    old += b'[{"kind": "create-ref", "says": "make", "args": {}}]}\n{"begun": 0}\n{"outcome": "done"}\n'
    assert from_journal(old) == Operation(
        id="i",
        plan=Plan(verb="new", session="s", steps=(Step("create-ref", "make", {}),)),
        begun=1,
        outcome="done",
    )


# -- random histories ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_undo_of_a_random_history_brings_every_ref_back(repo: Repo, seed: int) -> None:
    """Moves, makings, deletions, undos and redos; one branch is checked out. Then back, one undo for each step."""
    choose = random.Random(seed)
    commits = tips(repo, 4)
    repo.git("branch", "feature/a", commits[0])
    place = repo.path.parent / "there"
    repo.git("worktree", "add", "-q", str(place), "feature/a")
    there = Repo(place)
    there.write("README.md", "mine\n")
    project = project_of(repo)
    stood: list[tuple[str, dict[str, str]]] = []  # each operation that stands, and the branches before it
    for _ in range(12):
        before = branches(repo)
        if stood and choose.random() < 0.4:
            operation, expected = stood.pop()
            undone = undoing.undo(project, operation)
            assert branches(repo) == expected
            if undone.operation and choose.random() < 0.4:  # and the undo is undone
                redone = undoing.undo(project, choose.choice([None, undone.operation]))
                assert branches(repo) == before
                assert redone.operation is not None
                stood.append((operation, expected))
        else:
            names = choose.sample(["feature/a", "feature/b", "feature/c"], choose.randint(1, 3))
            moves = []
            for name in names:
                old = tip_of(repo, name)
                others = [oid for oid in (*commits, None) if oid != old and (oid or name != "feature/a")]
                moves.append((name, old, choose.choice(others)))
            stood.append((moved(repo, *moves).id, before))
    for operation, expected in reversed(stood):
        undoing.undo(project, operation)
        assert branches(repo) == expected
    assert branches(repo)["refs/heads/feature/a"] == commits[0]
    assert there.git("status", "--porcelain") == " M README.md"
    assert operate.unfinished(project) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_undo_after_any_midday_command_brings_every_branch_and_file_back(
    repo: Repo, wts_inline: Wts, seed: int
) -> None:
    """Sessions work on, land by any strategy, sync, rebase; the feature follows its base: each undone, and redone."""
    choose = random.Random(seed)
    repo.commit("form", "".join(f"line {number}\n" for number in range(30)), "form")
    sessions = [a_session(repo, f"auth-{name}") for name in ("one", "two", "three")]
    trees = [repo, *map(worktree_of, sessions)]
    repo.git("switch", "--quiet", "feature/auth")
    strategies = [["merge-ready", "--strategy", name] for name in ("merge", "squash", "rebase")]
    commands = [*strategies, ["sync"], ["sync", "--rebase"], ["sync", "--feature", "auth"]]
    main = repo.worktree("elsewhere", "main")
    moved_by = set()

    def world() -> tuple[dict[str, str], list[object]]:
        return branches(repo), [[tree.git("status", "--porcelain"), picture(tree.path)] for tree in trees]

    for step in range(10):
        for place in choose.sample([*map(worktree_of, sessions), main], 2):
            lines = (place.path / "form").read_text().splitlines(keepends=True)
            lines[choose.randrange(len(lines))] = f"step {step}\n"
            place.commit("form", "".join(lines), f"step {step}")
        repo.git("branch", "--quiet", "--force", "main", "elsewhere")
        before, words = world(), choose.choice(commands)
        done = wts_inline(*words, "--yes", "--json")
        assert done.status in (0, 3, 4, 6), done.err or done.out
        after = world()
        operation = (done.json["data"] or {}).get("operation")
        if operation is None:
            assert after == before
            continue
        moved_by.add(" ".join(words))
        assert wts_inline("undo", operation).status == 0
        assert world() == before
        if choose.random() < 0.8:
            assert wts_inline("undo").status == 0
            assert world() == after
    assert len(moved_by) > 1
