"""What merge-tree foretells is what `git merge` does; all that is odd is unknown; nothing but objects is written.

The witness is `git merge --no-ff` in a throw-away clone.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from benchmarks import replay
from tests.support.repos import Repo
from worktree_sessions.errors import WtsError
from worktree_sessions.outside import merging
from worktree_sessions.outside.git import Git, GitError, Oid, find_repository
from worktree_sessions.outside.merging import Conflict, Merged, Outcome
from worktree_sessions.outside.processes import Completed

LINES = "".join(f"line {n}\n" for n in range(40))
CRLF = LINES.replace("\n", "\r\n")


def git_of(repo: Repo) -> Git:
    """git as the product asks it: at the shared directory, by name."""
    return find_repository(repo.path).git


def tip(repo: Repo, name: str) -> Oid:
    """The commit of a branch."""
    return Oid(repo.tip(name))


def foretold(repo: Repo, ours: str = "main", theirs: str = "theirs") -> Merged:
    """What comes of merging one branch into another, by the product."""
    git = git_of(repo)
    with merging.attributes_of(git, tip(repo, ours)) as place:
        return merging.merge(git, place, tip(repo, ours), tip(repo, theirs))


def made(repo: Repo, ours: str = "main", theirs: str = "theirs") -> Merged:
    """What `git merge` makes of it in a worktree of its own; unknown where it refuses."""
    with tempfile.TemporaryDirectory() as place:
        clone = Repo(Path(place, "clone"))
        repo.git("clone", "--quiet", "--shared", "--no-checkout", str(repo.path), str(clone.path))
        for row in repo.git("config", "--local", "--list").splitlines():
            key, _, value = row.partition("=")
            if key.startswith(("core.attr", "core.auto", "core.use", "diff.", "merge.")):
                clone.git("config", key, value)
        clone.git("fetch", "--quiet", "origin", "refs/replace/*:refs/replace/*")
        if (repo.path / ".git/info/attributes").exists():
            clone.write(".git/info/attributes", (repo.path / ".git/info/attributes").read_bytes())
        return replay.porcelain(clone.path, tip(repo, ours), tip(repo, theirs))


def agree(repo: Repo, ours: str = "main", theirs: str = "theirs") -> Merged:
    """Fail unless the forecast is what happens; return it."""
    forecast = foretold(repo, ours, theirs)
    happened = made(repo, ours, theirs)
    assert replay.judge(forecast, happened) in replay.AGREED, (forecast, happened)
    return forecast


def fork(
    repo: Repo, start: Callable[[Repo], None], ours: Callable[[Repo], None], theirs: Callable[[Repo], None]
) -> None:
    """Let `main` and `theirs` go their own ways from a common start."""
    commit_all(repo, start)
    repo.git("checkout", "--quiet", "-b", "theirs")
    commit_all(repo, theirs)
    repo.git("checkout", "--quiet", "main")
    commit_all(repo, ours)


def commit_all(repo: Repo, change: Callable[[Repo], None]) -> None:
    """Make a change and commit all there is."""
    change(repo)
    repo.git("add", "--all")
    repo.git("commit", "--quiet", "--allow-empty", "--message", "change")


def writes(path: str, content: str | bytes) -> Callable[[Repo], None]:
    """A change: a file has this content."""

    def change(repo: Repo) -> None:
        repo.write(path, content)

    return change


def runs(*words: str) -> Callable[[Repo], None]:
    """A change: git does something."""

    def change(repo: Repo) -> None:
        repo.git(*words)

    return change


def moves(old: str, new: str) -> Callable[[Repo], None]:
    """A change: a file has another name."""

    def change(repo: Repo) -> None:
        (repo.path / new).parent.mkdir(exist_ok=True)
        repo.git("mv", old, new)

    return change


def both(*changes: Callable[[Repo], None]) -> Callable[[Repo], None]:
    """A change of several parts."""

    def change(repo: Repo) -> None:
        for one in changes:
            one(repo)

    return change


def links(path: str, target: str) -> Callable[[Repo], None]:
    """A change: a path is a symbolic link."""

    def change(repo: Repo) -> None:
        (repo.path / path).unlink(missing_ok=True)
        (repo.path / path).symlink_to(target)

    return change


def edited(number: int, word: str = "edited") -> str:
    """LINES with one of them another."""
    return LINES.replace(f"line {number}\n", f"{word}\n")


NOTHING = both()
FILE = writes("file", LINES)
UNION = writes(".gitattributes", "file merge=union\n")


def executable(repo: Repo) -> None:
    """A change: the file may be run."""
    (repo.path / "file").chmod(0o755)


def gitlink(number: int) -> Callable[[Repo], None]:
    """A change: a submodule that is populated nowhere is at another commit."""

    def change(repo: Repo) -> None:
        (repo.path / "module").mkdir(exist_ok=True)
        repo.git("update-index", "--add", "--cacheinfo", f"160000,{str(number) * 40},module")

    return change


# start, ours, theirs, kinds of conflict ([]: clean)
KINDS: dict[str, tuple[Callable[[Repo], None], Callable[[Repo], None], Callable[[Repo], None], list[Conflict]]] = {
    "apart": (FILE, writes("file", edited(2)), writes("file", edited(30)), []),
    "lines": (FILE, writes("file", edited(2, "a")), writes("file", edited(2, "b")), [Conflict("file", "contents")]),
    "same": (FILE, writes("file", edited(2)), writes("file", edited(2)), []),
    "add/add": (NOTHING, writes("new", "a\n"), writes("new", "b\n"), [Conflict("new", "contents")]),
    "modify/delete": (FILE, runs("rm", "-q", "file"), writes("file", edited(2)), [Conflict("file", "modify/delete")]),
    "rename+edit": (FILE, moves("file", "moved"), writes("file", edited(2)), []),
    "rename/rename": (
        FILE,
        moves("file", "a"),
        moves("file", "b"),
        [Conflict(path, "rename/rename") for path in ("file", "a", "b")],
    ),
    "directory": (
        both(writes("old/a", LINES), writes("old/b", edited(3))),
        moves("old", "new"),
        writes("old/c", "c\n"),
        [Conflict("new/c", "directory rename suggested"), Conflict("old/c", "directory rename suggested")],
    ),
    "file/directory": (NOTHING, writes("p", "file\n"), writes("p/q", "below\n"), [Conflict("p", "file/directory")]),
    "split directory": (
        both(writes("old/a", LINES), writes("old/b", CRLF)),
        both(moves("old/a", "one/a"), moves("old/b", "two/b")),
        writes("old/c", "c\n"),
        [Conflict("old", "directory rename unclear split")],
    ),
    "file becomes directory": (
        both(FILE, writes("p", "file\n")),
        both(runs("rm", "-q", "p"), writes("p/q", "below\n"), moves("file", "moved")),
        writes("file", edited(2)),
        [],  # though git tells of a file in the way
    ),
    "types": (NOTHING, links("p", "README.md"), writes("p", "file\n"), [Conflict("p", "distinct modes")]),
    "links": (links("p", "a"), links("p", "b"), links("p", "c"), [Conflict("p", "contents")]),
    "mode+edit": (FILE, executable, writes("file", edited(2)), []),
    "binary": (
        writes("file", b"\0"),
        writes("file", b"\0a"),
        writes("file", b"\0b"),
        [Conflict("file", "binary"), Conflict("file", "contents")],
    ),
    "line ends": (FILE, writes("file", CRLF), writes("file", edited(2)), [Conflict("file", "contents")]),
    "union": (both(FILE, UNION), writes("file", edited(2, "a")), writes("file", edited(2, "b")), []),
    "no merge": (
        both(FILE, writes("sub/.gitattributes", "*.txt -merge\n"), writes("sub/a.txt", LINES)),
        writes("sub/a.txt", edited(2)),
        writes("sub/a.txt", edited(30)),
        [Conflict("sub/a.txt", "binary"), Conflict("sub/a.txt", "contents")],
    ),
    "submodule": (gitlink(1), gitlink(2), gitlink(1), []),
    "submodules": (
        gitlink(1),
        gitlink(2),
        gitlink(3),
        [Conflict("module", "submodule not initialized"), Conflict("module", "contents")],
    ),
    "odd names": (
        writes("-a\nb\t~", "x\n"),
        writes("-a\nb\t~", "y\n"),
        writes("-a\nb\t~", "z\n"),
        [Conflict("-a\nb\t~", "contents")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_forecast_is_what_git_merge_does(repo: Repo, kind: str) -> None:
    """Every kind of change on both sides: the same verdict, the same tree, and the conflict by its name."""
    start, ours, theirs, conflicts = KINDS[kind]
    fork(repo, start, ours, theirs)
    forecast = agree(repo)
    assert list(forecast.conflicts) == conflicts
    assert forecast.outcome is (Outcome.CONFLICT if conflicts else Outcome.CLEAN)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("directory", "merge.directoryRenames", "true"),
        ("directory", "merge.directoryRenames", "false"),
        ("rename+edit", "merge.renames", "false"),
        ("rename+edit", "diff.renames", "false"),
        ("line ends", "merge.renormalize", "true"),
        ("lines", "merge.conflictStyle", "diff3"),
        ("lines", "merge.default", "union"),
    ],
)
def test_configuration_has_the_effect_it_has_on_git_merge(
    repo: Repo, kind: str, key: str, value: str
) -> None:
    """What a user set for merges holds for the forecast too, and is part of a cache's key."""
    fork(repo, *KINDS[kind][:3])
    with merging.attributes_of(git_of(repo), tip(repo, "main")) as before:
        repo.git("config", key, value)
    repo.git("config", "core.autocrlf", "true")
    agree(repo)
    with merging.attributes_of(git_of(repo), tip(repo, "main")) as after:
        assert after.digest != before.digest


def test_criss_cross(repo: Repo) -> None:
    """Two branches that merged each other have two bases; both are used."""
    fork(repo, FILE, writes("file", edited(2)), writes("file", edited(30)))
    repo.branch("before")
    repo.git("merge", "--quiet", "--no-ff", "--no-edit", "theirs")
    repo.git("checkout", "--quiet", "theirs")
    repo.git("merge", "--quiet", "--no-ff", "--no-edit", "before")
    commit_all(repo, writes("file", edited(2).replace("line 20", "twenty")))
    assert len(repo.git("merge-base", "--all", "main", "theirs").split()) == 2
    assert agree(repo).outcome is Outcome.CLEAN


def test_replaced_commits(repo: Repo) -> None:
    """`git replace` is seen as git sees it."""
    fork(repo, FILE, writes("file", edited(2, "a")), writes("file", edited(2, "b")))
    assert agree(repo).outcome is Outcome.CONFLICT
    repo.git("checkout", "--quiet", "-b", "other", "main~1")
    commit_all(repo, writes("file", edited(30)))
    repo.git("replace", "theirs", "other")
    repo.git("checkout", "--quiet", "main")
    assert agree(repo).outcome is Outcome.CLEAN


def test_a_sha256_repository(tmp_path: Path) -> None:
    """The longer ids are read as well, attributes too."""
    repo = Repo.create(tmp_path / "long", "--object-format=sha256")
    fork(repo, *KINDS["union"][:3])
    forecast = foretold(repo)
    assert forecast.tree is not None
    assert len(forecast.tree) == 64
    repo.git("merge", "--quiet", "--no-edit", "theirs")
    assert forecast.tree == repo.git("rev-parse", "HEAD^{tree}")


def test_an_octopus_as_a_side(repo: Repo) -> None:
    """A tip with three parents is a tip."""
    for name in ("a", "b"):
        repo.git("checkout", "--quiet", "-b", name, "main")
        commit_all(repo, writes(name, name))
    repo.git("checkout", "--quiet", "-b", "theirs", "main")
    commit_all(repo, writes("c", "c"))
    repo.git("merge", "--quiet", "--no-edit", "a", "b")
    repo.git("checkout", "--quiet", "main")
    commit_all(repo, writes("d", "d"))
    assert agree(repo).outcome is Outcome.CLEAN


def octopus(repo: Repo, *names: str) -> None:
    """Let each name be a branch with a file of its own, and merge all of them into `main` at once."""
    for name in names:
        repo.git("checkout", "--quiet", "-b", name, "main")
        commit_all(repo, writes(name, f"{name}\n"))
    repo.git("checkout", "--quiet", "main")
    repo.git("merge", "--quiet", "--no-edit", *names)


@pytest.mark.parametrize(("theirs", "outcome"), [(30, Outcome.CLEAN), (2, Outcome.CONFLICT)])
def test_an_octopus_as_the_base(repo: Repo, theirs: int, outcome: Outcome) -> None:
    """What both sides grew from may have three parents."""
    commit_all(repo, FILE)
    octopus(repo, "a", "b", "c")
    repo.git("checkout", "--quiet", "-b", "theirs")
    commit_all(repo, writes("file", edited(theirs, "b")))
    repo.git("checkout", "--quiet", "main")
    commit_all(repo, writes("file", edited(2, "a")))
    base = repo.git("merge-base", "--all", "main", "theirs")
    assert len(repo.git("rev-list", "--parents", "--max-count=1", base).split()) == 4
    assert agree(repo).outcome is outcome


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(strategies.randoms(use_true_random=False))
def test_any_history(chance: random.Random) -> None:
    """Renames, deletions, modes, links, attributes, edits of both sides, criss-cross: the forecast is the truth."""
    with tempfile.TemporaryDirectory() as place:
        made_up = Path(place, "made-up")
        replay.make(made_up, 4, chance)
        tally = replay.replay(made_up)
        assert tally.wrong == []
        assert tally.counts[replay.Verdict.CLEAN] + tally.counts[replay.Verdict.CONFLICT] > 0


def test_a_replay_counts_what_it_leaves_out_and_what_git_refuses(repo: Repo) -> None:
    """An octopus merge is left out; strangers are unknown, as git refuses them; the rest is merged both ways."""
    commit_all(repo, FILE)
    octopus(repo, "a", "b", "c")
    repo.git("checkout", "--quiet", "--orphan", "stranger")
    commit_all(repo, writes("file", "other\n"))
    pairs = replay.crossing(repo.path, 99, random.Random(1))
    stranger = tip(repo, "stranger")
    strange = [pair for pair in pairs if stranger in pair]
    assert len(pairs) - len(strange) == 6  # a, b and c with each other, both ways
    tally = replay.replay(repo.path, pairs)
    assert tally.counts == {replay.Verdict.CLEAN: 6, replay.Verdict.REFUSED: len(strange)}
    assert len(strange) > 0
    assert (tally.octopuses, tally.wrong) == (1, [])
    assert replay.recorded(repo.path) == []


def test_pairs_that_cross_are_apart_and_drawn_by_the_seed(repo: Repo) -> None:
    """Neither commit has the other; each pair once, both ways; the same seed draws the same."""
    fork(repo, FILE, writes("file", edited(2)), writes("file", edited(30)))
    for number in range(3):
        commit_all(repo, writes("file", edited(number)))
    pairs = replay.crossing(repo.path, 5, random.Random(7))
    assert len(set(pairs)) == 5
    assert all(repo.git("merge-base", *pair) not in pair for pair in pairs)
    assert replay.crossing(repo.path, 5, random.Random(7)) == pairs
    assert len(replay.crossing(repo.path, 99, random.Random(7))) == 2 * 4 * 1  # all there are


def test_a_pack_alone_is_replayed(repo: Repo) -> None:
    """Its tips are found without any ref."""
    fork(repo, FILE, writes("file", edited(2)), writes("file", edited(30)))
    repo.git("merge", "--quiet", "--no-edit", "theirs")
    repo.git("repack", "-adq")
    (pack,) = repo.path.glob(".git/objects/pack/*.pack")
    with replay.opened(pack) as bare:
        assert replay.recorded(bare) == [(tip(repo, "main~1"), tip(repo, "theirs"))]
        assert replay.replay(bare).counts == {replay.Verdict.CLEAN: 1}


def test_what_git_cannot_check_out_is_told_and_ends_no_replay(repo: Repo) -> None:
    """A damaged object costs its own merges, not those of the whole repository."""
    fork(repo, FILE, writes("file", edited(2)), writes("other", "other\n"))
    blob = repo.git("rev-parse", "main:file")
    (repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    pairs = [replay.Pair(tip(repo, ours), tip(repo, "theirs")) for ours in ("main", "main~1")]
    assert replay.replay(repo.path, pairs).counts == {replay.Verdict.UNTRIED: 1, replay.Verdict.CLEAN: 1}


ONE_TREE, OTHER_TREE = Merged(Outcome.CLEAN, Oid("1" * 40)), Merged(Outcome.CLEAN, Oid("2" * 40))
IN_FILE = Merged(Outcome.CONFLICT, conflicts=(Conflict("file", "contents"),))
IN_OTHER = Merged(Outcome.CONFLICT, conflicts=(Conflict("other", "contents"),))
NO_ANSWER = Merged(Outcome.UNKNOWN)


@pytest.mark.parametrize(
    ("told", "happened", "verdict"),
    [
        (ONE_TREE, ONE_TREE, replay.Verdict.CLEAN),
        (ONE_TREE, OTHER_TREE, replay.Verdict.OTHER_TREE),
        (ONE_TREE, IN_FILE, replay.Verdict.FALSE_CLEAN),
        (ONE_TREE, NO_ANSWER, replay.Verdict.FALSE_ANSWER),
        (IN_FILE, IN_FILE, replay.Verdict.CONFLICT),
        (IN_FILE, IN_OTHER, replay.Verdict.OTHER_FILES),
        (IN_FILE, ONE_TREE, replay.Verdict.FALSE_CONFLICT),
        (IN_FILE, NO_ANSWER, replay.Verdict.FALSE_ANSWER),
        (NO_ANSWER, ONE_TREE, replay.Verdict.UNKNOWN),
        (NO_ANSWER, NO_ANSWER, replay.Verdict.REFUSED),
    ],
)
def test_a_replay_sees_every_way_to_be_wrong(told: Merged, happened: Merged, verdict: replay.Verdict) -> None:
    """A judge that lets something pass would prove nothing."""
    assert replay.judge(told, happened) is verdict
    assert (verdict in replay.AGREED) == (told.outcome is happened.outcome and told == happened)


def test_several_at_once_answer_in_their_order(repo: Repo) -> None:
    """One odd pair spoils none of the others."""
    fork(repo, FILE, writes("file", edited(2, "a")), writes("file", edited(2, "b")))
    ours, theirs, start = (tip(repo, name) for name in ("main", "theirs", "main~1"))
    git = git_of(repo)
    with merging.attributes_of(git, ours) as place:
        found = merging.merge_all(git, place, [(ours, theirs), (ours, Oid("1" * 40)), (ours, start)])
    assert [one.outcome for one in found] == [Outcome.CONFLICT, Outcome.UNKNOWN, Outcome.CLEAN]


# -- attributes ---------------------------------------------------------------------------------------


def test_attributes_are_those_of_the_branch_merged_into(repo: Repo) -> None:
    """Not those of whoever's worktree git happens to stand in: there it would say clean, falsely."""
    fork(repo, FILE, writes("file", edited(2, "a")), writes("file", edited(2, "b")))
    somebody = repo.worktree("somebody")
    UNION(somebody)
    naive = ["git", "merge-tree", "--write-tree", "main", "theirs"]
    assert subprocess.run(naive, cwd=somebody.path, capture_output=True, check=False).returncode == 0
    assert made(repo).outcome is Outcome.CONFLICT
    git = Git(somebody.path)  # stands in that worktree, and names no repository
    with merging.attributes_of(git, tip(repo, "main")) as place:
        assert merging.merge(git, place, tip(repo, "main"), tip(repo, "theirs")).outcome is Outcome.CONFLICT


def test_attributes_hold_in_a_bare_repository(repo: Repo) -> None:
    """No working tree is needed for them; the naive call says conflict, falsely."""
    fork(repo, *KINDS["union"][:3])
    bare = Repo(repo.path.parent / "bare.git")
    repo.git("clone", "--quiet", "--bare", str(repo.path), str(bare.path))
    naive = ["git", "merge-tree", "--write-tree", "main", "theirs"]
    assert subprocess.run(naive, cwd=bare.path, capture_output=True, check=False).returncode == 1
    assert foretold(bare).tree == made(repo).tree is not None


@pytest.mark.parametrize("where", ["info", "config", "home"])
def test_attributes_outside_of_the_tree_hold_too(repo: Repo, hermetic: Path, where: str) -> None:
    """The repository's own, the user's by configuration, the user's by default; the digest knows them."""
    files = {
        "info": repo.path / ".git/info/attributes",
        "config": hermetic / "attributes",
        "home": hermetic / ".config/git/attributes",
    }
    if where == "config":
        repo.git("config", "core.attributesFile", str(files[where]))
    fork(repo, FILE, writes("file", edited(2, "a")), writes("file", edited(2, "b")))
    with merging.attributes_of(git_of(repo), tip(repo, "main")) as before:
        pass
    files[where].parent.mkdir(parents=True, exist_ok=True)
    files[where].write_text("file merge=union\n")
    assert agree(repo).outcome is Outcome.CLEAN
    with merging.attributes_of(git_of(repo), tip(repo, "main")) as after:
        assert after.digest != before.digest


def test_the_place_holds_attributes_alone_and_goes(repo: Repo) -> None:
    """Nested and odd ones too, but none that is a link; whatever the shell says of pathspecs."""
    for path in (".gitattributes", "a/b/.gitattributes", "ż ó\n/.gitattributes"):
        repo.commit(path, f"# {path}\n", "attributes")
    (repo.path / "linked").mkdir()
    commit_all(repo, links("linked/.gitattributes", "../.gitattributes"))
    git = git_of(repo).with_env(GIT_LITERAL_PATHSPECS="1")
    with merging.attributes_of(git, tip(repo, "main")) as place:
        files = [file.relative_to(place.directory) for file in place.directory.rglob("*") if file.is_file()]
        assert {str(file) for file in files} == {
            ".gitattributes",
            "a/b/.gitattributes",
            "ż ó\n/.gitattributes",
        }
        assert (place.directory / "a/b/.gitattributes").read_text() == "# a/b/.gitattributes\n"
    assert not place.directory.exists()


def test_no_attributes_are_written_outside_of_the_place(repo: Repo) -> None:
    """A tree with `..` in it, which git itself would not check out, is refused."""
    blob = repo.git("hash-object", "-w", "--stdin", stdin=b"x\n")
    tree = bytes.fromhex(blob)
    for name in (b"100644 .gitattributes", b"40000 ..", b"40000 a"):
        tree = bytes.fromhex(
            repo.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=name + b"\0" + tree)
        )
    with (
        pytest.raises(WtsError, match="would not check out"),
        merging.attributes_of(git_of(repo), Oid(tree.hex())),
    ):
        pass


def test_a_merge_driver_is_used_and_its_litter_goes(repo: Repo, tmp_path: Path) -> None:
    """The user's driver decides as with `git merge`; what it leaves lies in no worktree."""
    fork(
        repo,
        both(FILE, writes(".gitattributes", "file merge=mine\n")),
        writes("file", edited(2, "a")),
        writes("file", edited(2, "b")),
    )
    repo.git("config", "merge.mine.driver", f"touch litter; pwd > {tmp_path}/where; cat %B > %A")
    assert foretold(repo).outcome is Outcome.CLEAN
    where = Path((tmp_path / "where").read_text().strip())
    assert not where.is_relative_to(repo.path)
    assert not where.exists()
    assert repo.git("status", "--porcelain", "--ignored") == ""
    agree(repo)
    repo.git("config", "merge.mine.driver", "false")
    assert agree(repo).conflicts == (Conflict("file", "contents"),)


def test_a_submodule_is_followed_where_it_is_populated(repo: Repo, tmp_path: Path) -> None:
    """Fast-forward where its commits can be looked at; else a conflict that says what it needs."""
    module = Repo.create(tmp_path / "module")
    ids = [module.commit("a", str(n), "x") for n in range(3)]

    def at(number: int) -> Callable[[Repo], None]:
        return runs("-C", "module", "checkout", "--quiet", ids[number])

    added = both(runs("submodule", "--quiet", "add", str(module.path), "module"), at(0))
    fork(repo, added, at(1), at(2))
    forecast = foretold(repo)
    repo.git("submodule", "update", "--quiet", "--init")
    repo.git("merge", "--quiet", "--no-edit", "theirs")
    assert forecast.tree == repo.git("rev-parse", "HEAD^{tree}")
    alone = Repo(tmp_path / "alone")
    repo.git("clone", "--quiet", "--no-local", str(repo.path), str(alone.path))
    forecast = foretold(alone, "origin/main~1", "origin/theirs")
    assert [conflict.needs_submodule for conflict in forecast.conflicts] == [True, False]
    repo.git("checkout", "--quiet", "-b", "elsewhere", "theirs~1")
    gitlink(3)(repo)  # a commit that was never fetched
    repo.git("commit", "--quiet", "--message", "elsewhere")
    forecast = foretold(repo, "theirs", "elsewhere")
    assert forecast.files == ("module",)
    assert [conflict.needs_submodule for conflict in forecast.conflicts] == [True, False]


# -- what is unknown -----------------------------------------------------------------------------------

TREE = b"a" * 40
CLEAN = TREE + b"\0\0"
CONFLICT = TREE + b"\x00100644 " + TREE + b" 2\tf\0\0" + b"1\0f\0CONFLICT (contents)\0text\n\0"


def test_whole_answers_are_believed() -> None:
    """The two shapes that all the torn ones below come from."""
    assert merging.parse_merged(Completed(0, CLEAN, b"")) == Merged(Outcome.CLEAN, Oid(TREE.decode()))
    assert merging.parse_merged(Completed(1, CONFLICT, b"")).conflicts == (Conflict("f", "contents"),)


@pytest.mark.parametrize(
    ("status", "out"),
    [
        (0, b""),
        (1, b""),
        (0, b"\0"),
        (0, TREE),
        (0, TREE + b"\0"),
        (0, TREE + b"\n"),
        (0, b"a" * 39 + b"\0\0"),
        (1, CLEAN),
        (0, CONFLICT),
        (2, CLEAN),
        (-9, CLEAN),
        (128, CONFLICT),
        (1, CONFLICT[:-1]),
        (1, CONFLICT[:-8]),
        (1, CONFLICT.replace(b"\x001\0f", b"\x002\0f")),
        (1, CONFLICT.replace(b" 2\tf", b" 7\tf")),
        (1, CONFLICT + b"1\0"),
        (1, CONFLICT + b"1"),
        (0, CLEAN + b"1"),
        (0, CONFLICT.replace(b"contents", b"file/directory")),
        (0, CLEAN + b"odd\0"),
        (0, b"error: odd\n" + CLEAN),
    ],
)
def test_an_odd_answer_is_unknown(status: int, out: bytes) -> None:
    """Empty, torn, contradictory or of another form: never clean, never a mere conflict, and it says why."""
    merged = merging.parse_merged(Completed(status, out, b""))
    assert merged.outcome is Outcome.UNKNOWN
    assert merged.tree is None
    assert merged.why


@settings(max_examples=200)
@given(strategies.sampled_from([0, 1]), strategies.integers(0, len(CONFLICT) - 1))
def test_no_part_of_an_answer_is_clean(status: int, length: int) -> None:
    """Wherever a conflict's answer is torn, it is not clean."""
    assert merging.parse_merged(Completed(status, CONFLICT[:length], b"")).outcome is not Outcome.CLEAN


def test_missing_objects_are_unknown(repo: Repo) -> None:
    """A blob that is not there can't be merged, whatever else is."""
    fork(repo, FILE, writes("file", edited(2)), writes("file", edited(30)))
    blob = repo.git("rev-parse", "theirs:file")
    (repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    merged = foretold(repo)
    assert merged.outcome is Outcome.UNKNOWN
    assert merged.why
    assert blob in merged.why


def test_attributes_that_are_missing_are_an_error(repo: Repo) -> None:
    """They are not taken for none."""
    repo.commit(".gitattributes", "* merge=union\n", "attributes")
    blob = repo.git("rev-parse", "main:.gitattributes")
    (repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(WtsError, match=blob), merging.attributes_of(git_of(repo), tip(repo, "main")):
        pass


def test_unrelated_histories_are_unknown(repo: Repo) -> None:
    """git merge refuses them; so do we, and say why."""
    repo.git("checkout", "--quiet", "--orphan", "theirs")
    commit_all(repo, writes("other", "x"))
    repo.git("checkout", "--quiet", "main")
    assert agree(repo).why == "git merge-tree: fatal: refusing to merge unrelated histories"
    assert merging.merge_base(git_of(repo), tip(repo, "main"), tip(repo, "theirs")) is None


# -- objects -------------------------------------------------------------------------------------------


def objects(repo: Repo) -> dict[str, bytes]:
    """Every file of the object store."""
    top = repo.path / ".git/objects"
    return {str(file.relative_to(top)): file.read_bytes() for file in top.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", ["repo", 'colon:quo"te\\'])
def test_quarantine_leaves_the_object_store_alone(tmp_path: Path, name: str) -> None:
    """Merges and commits on merges are made, read there, and gone; the store is the same to the byte."""
    repo = Repo.create(tmp_path / name)
    fork(repo, FILE, writes("file", edited(2)), writes("file", edited(30)))
    before = objects(repo)
    ours, theirs = tip(repo, "main"), tip(repo, "theirs")
    with merging.quarantine(git_of(repo)) as git, merging.attributes_of(git, ours) as place:
        merged = merging.merge(git, place, ours, theirs)
        assert merged.tree
        landed = merging.commit_merge(git, merged.tree, [ours, theirs], "landed\n")
        assert merging.merge(git, place, landed, theirs).tree == merged.tree
    assert objects(repo) == before
    assert git_of(repo).ask("cat-file", "-e", landed).status != 0
    foretold(repo)
    assert objects(repo) != before, "without it, they stay"


# -- commits -------------------------------------------------------------------------------------------


@pytest.fixture
def signer(repo: Repo, tmp_path: Path) -> Path:
    """A program in gpg's place that signs anything, for a repository whose commits are to be signed."""
    program = tmp_path / "gpg"
    program.write_text(
        "#!/bin/sh\ncat >/dev/null\necho '[GNUPG:] SIG_CREATED ' >&2\n"
        "echo '-----BEGIN PGP SIGNATURE-----'\necho ours\necho '-----END PGP SIGNATURE-----'\n"
    )
    program.chmod(0o755)
    repo.git("config", "gpg.program", str(program))
    repo.git("config", "commit.gpgSign", "true")
    return program


def commit(repo: Repo, message: str = "landed\n", author: merging.Author | None = None) -> str:
    """A commit on main of main's own tree, as git prints it."""
    tree = Oid(repo.git("rev-parse", "main^{tree}"))
    return repo.git(
        "cat-file", "commit", merging.commit_merge(git_of(repo), tree, [tip(repo, "main")], message, author)
    )


def test_a_merge_commit_is_signed_when_commits_are(repo: Repo, signer: Path) -> None:
    """commit-tree alone would not; and with signing off it is not."""
    assert "-----BEGIN PGP SIGNATURE-----" in commit(repo)
    repo.git("config", "commit.gpgSign", "false")
    assert "SIGNATURE" not in commit(repo)


def test_a_signer_that_fails_fails_the_commit(repo: Repo, signer: Path) -> None:
    """No unsigned commit comes of it."""
    signer.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(GitError):
        commit(repo)
    repo.git("config", "commit.gpgSign", "perhaps")
    with pytest.raises(GitError):
        commit(repo)


def test_a_commit_says_what_it_is_given(repo: Repo) -> None:
    """Message and author to the letter, whatever encoding the user has for commits."""
    repo.git("config", "i18n.commitEncoding", "latin1")
    text = commit(
        repo, "zażółć\n\n# no comment\n", merging.Author("Zoë", "zoe@example.org", "1700000000 +0130")
    )
    assert "\nauthor Zoë <zoe@example.org> 1700000000 +0130\ncommitter Ada Tester <" in text
    assert text.endswith("\n\nzażółć\n\n# no comment")
    assert "encoding" not in text


def test_touched_names_every_change(repo: Repo) -> None:
    """Added, deleted, modified, another type, a rename as both; submodules too, though told to be ignored."""
    fork(
        repo,
        both(FILE, writes("old", LINES), writes("kind", "x"), gitlink(1)),
        NOTHING,
        both(writes("file", edited(2)), moves("old", "new"), links("kind", "file"), gitlink(2)),
    )
    repo.git("config", "submodule.module.ignore", "all")
    repo.write(".gitmodules", '[submodule "module"]\n\tpath = module\n\turl = x\n\tignore = all\n')
    found = merging.touched(Git(repo.path), tip(repo, "main"), tip(repo, "theirs"))
    assert found == {"file": "M", "old": "D", "new": "A", "kind": "T", "module": "M"}
    assert merging.merge_base(git_of(repo), tip(repo, "main"), tip(repo, "theirs")) == tip(repo, "main~1")


# -- the proof -----------------------------------------------------------------------------------------


def proof(repo: Repo, tree: str) -> list[str]:
    """What is wrong with a tree as the merge of `theirs` into `main`."""
    return merging.proof(
        git_of(repo), tip(repo, "main"), Oid(repo.git("rev-parse", f"{tree}^{{tree}}")), [tip(repo, "theirs")]
    )


@pytest.mark.parametrize("kind", ["apart", "rename+edit", "mode+edit", "submodule", "union", "same"])
def test_a_good_merge_is_proved(repo: Repo, kind: str) -> None:
    """What `git merge` makes has nothing wrong with it, also where one side deleted and renamed."""
    start, ours, theirs, _ = KINDS[kind]
    fork(
        repo,
        both(start, writes("a", LINES), writes("b", "b"), writes("c", "c")),
        both(ours, runs("rm", "-q", "b")),
        both(theirs, moves("a", "a2"), runs("rm", "-q", "c")),
    )
    repo.git("merge", "--quiet", "--no-edit", "--no-commit", "theirs")
    assert proof(repo, repo.git("write-tree")) == []


def test_a_directory_rename_is_no_loss(repo: Repo) -> None:
    """A file that git put where its directory went is not gone."""
    repo.git("config", "merge.directoryRenames", "true")
    fork(repo, *KINDS["directory"][:3])
    merged = foretold(repo)
    assert merged.tree
    assert proof(repo, merged.tree) == []


@pytest.mark.parametrize("lost", ["ours", "theirs", "old"])
def test_a_file_that_vanished_is_named(repo: Repo, lost: str) -> None:
    """Of either side, new or old."""
    fork(repo, writes("old", "old"), writes("ours", "ours"), writes("theirs", "theirs"))
    repo.git("merge", "--quiet", "--no-edit", "--no-commit", "theirs")
    repo.git("rm", "--quiet", "--cached", lost)
    assert proof(repo, repo.git("write-tree")) == [f"{lost} is gone, and nobody deleted it"]


def test_a_stacked_session_may_delete_what_the_one_below_added(repo: Repo) -> None:
    """Its own base knows the file, though the parent never did."""
    repo.git("checkout", "--quiet", "-b", "below")
    commit_all(repo, writes("new", "new"))
    repo.git("checkout", "--quiet", "-b", "above")
    commit_all(repo, runs("rm", "-q", "new"))
    sides = [tip(repo, name) for name in ("main", "below", "above")]
    assert merging.vanished(git_of(repo), Oid(repo.git("rev-parse", "above^{tree}")), sides) == []


def test_new_conflict_markers_are_named(repo: Repo) -> None:
    """Those that came in; not those that were there, went, or are wanted by attribute."""
    marked = "<<<<<<< ours\na\n=======\nb\n>>>>>>> theirs\n"
    repo.write("sub/.gitattributes", "wanted conflict-marker-size=20\n")
    fork(
        repo,
        both(writes("there", marked), writes("goes", marked), writes("heading", "x\n")),
        NOTHING,
        both(
            writes("there", marked.replace("ours", "mine")),
            writes("goes", "none\n"),
            writes("heading", "title\n=======\n"),
            writes("sub/wanted", marked),
            writes("came", marked),
            writes("half", ">>>>>>> theirs\n"),
        ),
    )
    assert proof(repo, "theirs") == [f"{path} has new conflict markers" for path in ("came", "half")]


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (["Name", "name"], ["Name and name"]),
        (["dir/a", "Dir/A"], ["Dir/A and dir/a"]),
        (["dir/a", "Dir/b"], []),
        (["docs", "Docs/a"], ["Docs and docs"]),
        (["é", "e\u0301"], ["e\u0301 and é"]),
        (["É", "e\u0301"], ["e\u0301 and É"]),
        (["one", "two"], []),
    ],
)
def test_names_that_some_disks_take_for_one(repo: Repo, names: list[str], wrong: list[str]) -> None:
    """They are named when one of them came in, and not when both were there."""
    fork(repo, NOTHING, writes(names[0], "a"), both(*(writes(name, name) for name in names)))
    assert proof(repo, "theirs") == [f"{pair} are one file where case does not count" for pair in wrong]
    repo.git("checkout", "--quiet", "theirs")
    repo.branch("earlier")
    commit_all(repo, writes("docs/more" if names[0] != "docs" else "Docs/more", "x"))
    assert merging.collisions(git_of(repo), tip(repo, "earlier"), tip(repo, "theirs")) == []
