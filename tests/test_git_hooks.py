"""The git hooks: they warn about work in sessions, never block, and come and go without a trace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.repos import Repo
from worktree_sessions.actions import githooks, operate
from worktree_sessions.actions.githooks import EVENTS, Consent, HookState, Way
from worktree_sessions.actions.project import Project, open_project
from worktree_sessions.errors import Refused
from worktree_sessions.model.session import Session
from worktree_sessions.model.store import Store
from worktree_sessions.outside import assets, git
from worktree_sessions.outside.git import BranchName, Oid

SCRIPTS = assets.hooks_dir() / "git"
SHELLS = [
    pytest.param(
        shell, marks=pytest.mark.skipif(shutil.which(shell[0]) is None, reason=f"no {shell[0]} here")
    )
    for shell in (["sh"], ["dash"], ["busybox", "sh"], ["bash", "--posix"], ["ksh"])
]


class Ran(NamedTuple):
    status: int
    out: str
    err: str


def run(cwd: Path, *argv: str, stdin: str = "", **env: str) -> Ran:
    done = subprocess.run(
        argv, cwd=cwd, input=os.fsencode(stdin), capture_output=True, env={**os.environ, **env}, check=False
    )
    return Ran(done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr))


class World:
    """A repository with a remote, a feature branch and sessions whose worktrees are real."""

    def __init__(self, repo: Repo, remote: Repo) -> None:
        self.repo = repo
        self.remote = remote
        self.common = repo.path / ".git"
        self.store = Store(self.common)

    @property
    def project(self) -> Project:
        return open_project(self.repo.path)

    def session(self, number: int, name: str, *, place: str | None = None, branch: str | None = None) -> Repo:
        feature, _, purpose = name.rpartition("-")
        branch = branch or f"feature/{name}"
        worktree = self.repo.path.parent / (place or f"wt-{name}")
        self.repo.git(
            "worktree", "add", "--quiet", "--no-track", "-b", branch, str(worktree), f"feature/{feature}"
        )
        self.store.save(
            Session(
                id=f"id-{number}",
                number=number,
                name=name,
                feature=feature,
                purpose=purpose,
                role=None,
                branch=BranchName(branch),
                parent=BranchName(f"feature/{feature}"),
                worktree=worktree,
                display=name,
                conversation="",
                created=datetime(2026, 1, 1, tzinfo=timezone.utc),
                base=Oid(self.repo.tip("HEAD")),
                prompt='a prompt that holds "branch": "feature/trap",\n "worktree": "/nowhere"',
                included={"branch": "a key of the same name"},
            )
        )
        return Repo(worktree)

    def push(self, *what: str, cwd: Path | None = None, **env: str) -> Ran:
        return run(
            cwd or self.repo.path, "git", "push", "--quiet", "origin", *(what or ("feature/auth",)), **env
        )

    def hook(
        self, event: str, *args: str, shell: list[str] | None = None, stdin: str = "", **env: str
    ) -> Ran:
        script = self.store.root / "hooks" / "wts-hook.sh"
        return run(self.repo.path, *(shell or ["sh"]), str(script), event, *args, stdin=stdin, **env)


def make_world(place: Path) -> World:
    repo = Repo.create(place / "repo")
    repo.commit("README.md", "# a project\n", "start")
    remote = Repo.create(place / "remote.git", "--bare")
    repo.git("remote", "add", "origin", str(remote.path))
    repo.git("switch", "--quiet", "--create", "feature/auth")
    repo.git("push", "--quiet", "origin", "main", "feature/auth")
    return World(repo, remote)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def installed(world: World) -> World:
    githooks.install(world.project)
    return world


def snapshot_of(directory: Path) -> dict[str, tuple[int, str | bytes]]:
    """Every file at and below a directory, with its mode and what it holds (a link: where it points)."""
    found: dict[str, tuple[int, str | bytes]] = {}
    for path in sorted(directory.rglob("*")):
        mode = path.lstat().st_mode
        if path.is_symlink():
            found[str(path)] = (mode, os.readlink(path))
        elif path.is_file():
            found[str(path)] = (mode, path.read_bytes())
    return found


def write_hook(path: Path, body: str, *, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(mode)
    return path


# -- what they say -----------------------------------------------------------------------------


def test_a_push_tells_which_sessions_hold_work_that_it_does_not_carry(installed: World) -> None:
    ui, db = installed.session(1, "auth-ui"), installed.session(2, "auth-db")
    installed.session(3, "auth-docs")
    ui.write("README.md", "changed\n")
    ui.write("new/one.txt", "1")
    ui.write("new/two.txt", "2")
    db.commit("a.txt", "a", "a")
    db.commit("b.txt", "b", "b")
    installed.repo.commit("c.txt", "c", "c")
    assert installed.push() == Ran(
        0,
        "",
        "wts: work in sessions that this push does not carry\n"
        "  1 auth-ui: 1 changed, 2 untracked (wts open 1)\n"
        "  2 auth-db: 2 commits on no remote (git push origin feature/auth-db)\n",
    )
    assert installed.remote.tip("feature/auth") == installed.repo.tip("feature/auth")


def test_what_is_being_pushed_is_not_called_unpushed(installed: World) -> None:
    ui = installed.session(1, "auth-ui")
    ui.commit("a.txt", "a", "a")
    assert installed.push("feature/auth-ui") == Ran(0, "", "")
    ui.commit("b.txt", "b", "b")
    assert installed.push("feature/auth:refs/heads/copy").err.splitlines()[1:] == [
        "  1 auth-ui: 1 commit on no remote (git push origin feature/auth-ui)"
    ]


def test_a_push_from_a_sessions_own_worktree_looks_at_each_worktree_with_its_own_index(
    installed: World,
) -> None:
    """git exports GIT_DIR to the hooks of a linked worktree; it must not leak into the looks at others."""
    ui, db = installed.session(1, "auth-ui"), installed.session(2, "auth-db")
    db.write("new.txt", "x")
    ui.commit("a.txt", "a", "a")
    assert installed.push("feature/auth-ui", cwd=ui.path).err.splitlines()[1:] == [
        "  2 auth-db: 1 untracked (wts open 2)"
    ]


def test_untracked_files_are_told_when_the_configuration_hides_them(installed: World) -> None:
    installed.repo.git("config", "status.showUntrackedFiles", "no")
    installed.session(1, "auth-ui").write("new.txt", "x")
    installed.repo.commit("c.txt", "c", "c")
    assert "1 auth-ui: 1 untracked" in installed.push().err


def test_both_kinds_of_work_stand_in_one_line(installed: World) -> None:
    ui = installed.session(1, "auth-ui")
    ui.commit("a.txt", "a", "a")
    ui.write("a.txt", "b")
    installed.repo.commit("c.txt", "c", "c")
    assert installed.push().err.splitlines()[1:] == [
        "  1 auth-ui: 1 changed, 1 commit on no remote (wts open 1)"
    ]


def test_a_commit_on_a_feature_tells_which_sessions_are_behind(installed: World) -> None:
    installed.session(1, "auth-ui")
    installed.session(2, "auth-db")
    installed.repo.branch("feature/billing")
    installed.session(10, "billing-report")
    installed.repo.write("c.txt", "c")
    installed.repo.git("add", "c.txt")
    done = run(installed.repo.path, "git", "commit", "--quiet", "--message", "c")
    assert done == Ran(
        0,
        "",
        "wts: sessions that are now behind feature/auth\n"
        "  1 auth-ui: 1 behind (wts sync 1)\n"
        "  2 auth-db: 1 behind (wts sync 2)\n",
    )


def test_a_merge_into_a_feature_tells_who_is_behind_and_a_squash_tells_nothing(installed: World) -> None:
    ui = installed.session(1, "auth-ui")
    installed.session(2, "auth-db")
    ui.commit("a.txt", "a", "a")
    squashed = run(installed.repo.path, "git", "merge", "--quiet", "--squash", "feature/auth-ui")
    assert squashed.err == ""
    installed.repo.git("reset", "--quiet", "--hard")
    merged = run(installed.repo.path, "git", "merge", "--quiet", "feature/auth-ui")
    assert merged.err.splitlines() == [
        "wts: sessions that are now behind feature/auth",
        "  2 auth-db: 1 behind (wts sync 2)",
    ]


def test_commits_in_a_session_and_on_a_detached_head_are_silent(installed: World) -> None:
    ui = installed.session(1, "auth-ui")
    for prepare in (["status"], ["checkout", "--quiet", "--detach"]):
        ui.git(*prepare)
        assert run(ui.path, "git", "commit", "--quiet", "--allow-empty", "-m", "x") == Ran(0, "", "")


def test_the_lines_come_in_the_order_of_the_numbers(installed: World) -> None:
    for number in (12, 3, 1, 10, 2, 9, 8, 7, 6, 5, 4, 11):
        installed.session(number, f"auth-s{number}").write("new.txt", "x")
    lines = installed.hook("pre-push", "origin", "url").err.splitlines()[1:]
    assert [int(line.split()[0]) for line in lines] == list(range(1, 13))


def test_wts_itself_is_not_warned(installed: World) -> None:
    installed.session(1, "auth-ui").write("new.txt", "x")
    installed.repo.commit("c.txt", "c", "c")
    assert installed.push(WTS_QUIET="1") == Ran(0, "", "")


def test_a_url_with_a_password_is_not_printed(installed: World) -> None:
    installed.session(1, "auth-ui").commit("a.txt", "a", "a")
    said = installed.hook(
        "pre-push", "https://ada:secret@example.org/x", "https://ada:secret@example.org/x"
    ).err
    assert said.splitlines()[1:] == ["  1 auth-ui: 1 commit on no remote (wts open 1)"]


@pytest.mark.parametrize("shell", SHELLS)
def test_odd_paths_and_names_are_understood_by_every_shell(tmp_path: Path, shell: list[str]) -> None:
    """A record writes what is not ASCII as escapes; the path behind them is the one that is looked at."""
    world = make_world(tmp_path / 'it\'s "a" \\n $HOME dir')
    githooks.install(world.project)
    plain = [
        (1, "auth-caf\u00e9", 'w\u00f6rk "tree"\\u0041 \N{ROCKET} $(id) \t*'),
        (2, "auth-\u65e5\u672c", "line\nbreak"),
        (3, "auth-end", "newline at the end\n"),
        (4, "auth-\N{ROCKET}", "caf\u00e9 \udcff bytes"),
    ]
    for number, name, place in plain:
        world.session(number, name, place=place).write("new.txt", "x")
    done = world.hook("pre-push", "origin", "url", shell=shell)
    assert (done.status, done.err.splitlines()[1:]) == (
        0,
        [f"  {number} {name}: 1 untracked (wts open {number})" for number, name, _ in plain],
    )
    world.repo.commit("c.txt", "c", "c")
    behind = world.hook("post-commit", shell=shell)
    assert [line.split(" (")[0] for line in behind.err.splitlines()[1:]] == [
        f"  {number} {name}: 1 behind" for number, name, _ in plain
    ]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_record_can_drive_no_terminal(installed: World, shell: list[str]) -> None:
    installed.session(1, "auth-ui").write("new.txt", "x")
    record = installed.store.record_file("auth-ui")
    record.write_bytes(
        record.read_bytes().replace(b'"name": "auth-ui"', rb'"name": "a\u001b[2J\nb\u009b1m\u0007c\r"')
    )
    assert installed.hook("pre-push", "origin", "url", shell=shell).err.splitlines()[1:] == [
        "  1 a[2Jb1mc: 1 untracked (wts open 1)"
    ]


# -- they never block --------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_broken_records_and_lost_worktrees_never_block(installed: World, shell: list[str]) -> None:
    installed.session(1, "auth-ui").write("new.txt", "x")
    lost, emptied, odd = (installed.session(n, f"auth-{n}") for n in (2, 3, 4))
    shutil.rmtree(lost.path)
    (emptied.path / ".git").unlink()
    (odd.path / ".git").write_text("gitdir: /nowhere\n")
    for name, content in {
        "half": b'{\n "branch": "feature/x",\n "na',
        "none": b"",
        "other": b'{"branch": "x", "worktree": "/"}',
        "bytes": bytes(range(256)) * 50,
        "escapes": rb' "branch": "\u12",'
        b"\n"
        rb' "name": "\uZZZZ\ud83d",'
        b"\n"
        rb' "number": 9,'
        b"\n"
        rb' "parent": "\\\u",'
        b"\n"
        rb' "worktree": "\u00",'
        b"\n",
        "huge": b' "branch": "b",\n "name": "n",\n "number": 99999999999999999999999,\n "parent": "p",\n'
        b' "worktree": "-rf"\n',
    }.items():
        installed.store.record_file(name).parent.mkdir()
        installed.store.record_file(name).write_bytes(content)
    installed.store.record_file("directory").mkdir(parents=True)
    unreadable = installed.store.record_file("secret")
    unreadable.parent.mkdir()
    unreadable.symlink_to("secret")
    done = installed.hook("pre-push", "origin", "url", shell=shell, stdin="garbage\n\n(delete) 0000 x y\n")
    lines = done.err.splitlines()
    assert (done.status, done.out) == (0, "")
    assert "  1 auth-ui: 1 untracked (wts open 1)" in lines
    assert {f"  {n} auth-{n}: its worktree can't be read (wts doctor)" for n in (2, 3, 4)} < set(lines)
    for event in ("post-commit", "post-merge", "pre-merge-commit", "no-such-hook", ""):
        assert installed.hook(event, shell=shell).status == 0


def test_a_push_goes_on_without_git_on_the_path_of_the_hook(installed: World) -> None:
    installed.session(1, "auth-ui").write("new.txt", "x")
    nothing = installed.repo.path.parent / "nothing"
    nothing.mkdir()
    shell = shutil.which("sh") or "/bin/sh"
    assert installed.hook("pre-push", "origin", "url", shell=[shell], PATH=str(nothing)).status == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_warning_that_nobody_can_read_does_not_block(installed: World) -> None:
    installed.session(1, "auth-ui").write("new.txt", "x")
    script = installed.store.root / "hooks" / "wts-hook.sh"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(["sh", str(script), "pre-push", "origin", "url"], stderr=full, check=False)
    assert done.returncode == 0


def test_a_push_of_many_refs_is_not_broken_by_a_hook_that_reads_none_of_them(installed: World) -> None:
    """2000 refs overfill the pipe that git feeds a pre-push hook by."""
    tip = installed.repo.tip("HEAD")
    creates = "".join(f"create refs/heads/many/{'x' * 50}{n} {tip}\n" for n in range(2000))
    installed.repo.git("update-ref", "--stdin", stdin=creates.encode())
    assert installed.push("refs/heads/many/*:refs/heads/many/*") == Ran(0, "", "")
    installed.session(1, "auth-ui").write("new.txt", "x")
    assert installed.push("refs/heads/many/*:refs/heads/again/*").status == 0


def test_a_push_goes_on_after_the_script_is_gone(installed: World) -> None:
    installed.session(1, "auth-ui").write("new.txt", "x")
    shutil.rmtree(installed.store.root / "hooks")
    installed.repo.commit("c.txt", "c", "c")
    assert installed.push() == Ran(0, "", "")


def test_the_hooks_work_in_a_repository_that_was_moved(installed: World, tmp_path: Path) -> None:
    installed.session(1, "auth-ui")
    moved = tmp_path / "moved"
    installed.repo.path.rename(moved)
    done = run(moved, "git", "commit", "--quiet", "--allow-empty", "-m", "x")
    assert "1 auth-ui: 1 behind" in done.err


# -- what they cost ----------------------------------------------------------------------------


@pytest.fixture
def started(tmp_path: Path) -> Path:
    """Count the programs that a shell starts: each name on this PATH notes itself, then runs the real one."""
    shims, log = tmp_path / "shims", tmp_path / "started"
    shims.mkdir()
    log.touch()
    for name in ("git", "grep", "sed", "sort", "tr", "cat", "python3", "python", "wts"):
        real = shutil.which(name) or "/bin/false"
        (shims / name).write_text(f'#!/bin/sh\necho "{name} $1" >> "{log}"\nexec {real} "$@"\n')
        (shims / name).chmod(0o755)
    return log


def programs(world: World, log: Path, event: str, *args: str) -> list[str]:
    log.write_text("")
    shims = log.parent / "shims"
    assert world.hook(event, *args, PATH=f"{shims}{os.pathsep}{os.environ['PATH']}").status == 0
    return log.read_text().split("\n")[:-1]


def test_without_a_session_the_hook_starts_no_program_at_all(installed: World, started: Path) -> None:
    for event in EVENTS:
        assert programs(installed, started, event, "origin", "url") == []


def test_with_nothing_to_say_a_commit_starts_two_programs_and_no_python(
    installed: World, started: Path
) -> None:
    for number in range(1, 6):
        installed.session(number, f"auth-s{number}")
    installed.repo.git("switch", "--quiet", "main")
    assert programs(installed, started, "post-commit") == ["git symbolic-ref", "sed -n"]


def test_with_nothing_to_say_a_push_asks_git_twice_a_session(installed: World, started: Path) -> None:
    for number in range(1, 4):
        installed.session(number, f"auth-s{number}")
    ran = programs(installed, started, "pre-push", "origin", "url")
    assert sorted(ran) == sorted(["sed -n", *["git -C", f"git --git-dir={installed.common}"] * 3])


# -- install and uninstall ---------------------------------------------------------------------


def test_install_twice_is_once_and_uninstall_leaves_no_trace(world: World) -> None:
    before = snapshot_of(world.common)
    assert not githooks.status(world.project).is_installed
    first = githooks.install(world.project)
    assert [step.kind for step in first.plan.steps] == ["write-script"] * 4
    assert first.after.is_installed
    after = snapshot_of(world.common)
    assert githooks.install(world.project).plan.steps == ()
    assert snapshot_of(world.common) == after
    removed = githooks.uninstall(world.project)
    assert not removed.after.is_installed
    ours = str(world.store.root)
    assert {
        path: what for path, what in snapshot_of(world.common).items() if not path.startswith(ours)
    } == before
    assert githooks.uninstall(world.project).plan.steps == ()
    assert hooks_of(world) == dict.fromkeys(EVENTS, HookState.ABSENT)


def hooks_of(world: World) -> dict[str, HookState]:
    return {hook.event: hook.state for hook in githooks.status(world.project).hooks}


def test_a_plan_is_the_list_that_runs_and_changes_nothing_by_itself(world: World) -> None:
    before = snapshot_of(world.common)
    plan = githooks.plan_install(world.project)
    assert snapshot_of(world.common) == before
    assert githooks.install(world.project).plan == plan


def test_the_hook_that_was_there_runs_first_with_its_arguments_and_input(
    world: World, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    write_hook(world.common / "hooks" / "pre-push", f'{{ echo "$@"; cat; }} > "{log}"')
    githooks.install(world.project)
    world.session(1, "auth-ui").write("new.txt", "x")
    tip = world.repo.commit("c.txt", "c", "c")
    old = world.remote.tip("feature/auth")
    done = world.push()
    assert (done.status, "1 auth-ui: 1 untracked" in done.err) == (0, True)
    ref = "refs/heads/feature/auth"
    assert log.read_text() == f"origin {world.remote.path}\n{ref} {tip} {ref} {old}\n"


def test_a_chained_hook_still_blocks_with_its_own_status(world: World) -> None:
    write_hook(world.common / "hooks" / "pre-push", "echo no >&2; exit 7")
    githooks.install(world.project)
    world.session(1, "auth-ui").write("new.txt", "x")
    world.repo.commit("c.txt", "c", "c")
    done = world.push()
    assert done.status == 1
    assert "wts:" not in done.err
    assert run(world.repo.path, str(world.common / "hooks" / "pre-push"), "origin", "url").status == 7


def test_a_chained_post_merge_runs_too(world: World, tmp_path: Path) -> None:
    write_hook(world.common / "hooks" / "post-merge", f'echo "$@" > "{tmp_path / "log"}"')
    githooks.install(world.project)
    ui = world.session(1, "auth-ui")
    ui.commit("a.txt", "a", "a")
    world.repo.git("merge", "--quiet", "feature/auth-ui")
    assert (tmp_path / "log").read_text() == "0\n"


def test_a_hook_without_the_execute_bit_is_kept_and_not_run(world: World) -> None:
    hook = write_hook(world.common / "hooks" / "pre-push", "exit 9", mode=0o644)
    githooks.install(world.project)
    world.repo.commit("c.txt", "c", "c")
    assert world.push() == Ran(0, "", "")
    githooks.uninstall(world.project)
    assert hook.stat().st_mode & 0o777 == 0o644


def test_uninstall_brings_back_bytes_modes_and_links(world: World, tmp_path: Path) -> None:
    hooks = world.common / "hooks"
    (hooks / "pre-push").write_bytes(b"#!/bin/sh\r\n\xff\x00 not text")
    (hooks / "pre-push").chmod(0o741)
    target = write_hook(tmp_path / "elsewhere", "exit 0")
    (hooks / "post-merge").symlink_to(os.path.relpath(target, hooks))
    (hooks / "post-commit").symlink_to("dangling")
    before = snapshot_of(hooks)
    changed = githooks.install(world.project)
    assert [hook.chained for hook in changed.after.hooks] == [
        hooks / f"{event}.before-wts" for event in EVENTS
    ]
    assert target.read_text() == "#!/bin/sh\nexit 0\n"
    githooks.uninstall(world.project)
    assert snapshot_of(hooks) == before


def test_a_hook_that_replaced_ours_is_told_and_stays(world: World) -> None:
    hooks = world.common / "hooks"
    write_hook(hooks / "pre-push", "echo original")
    githooks.install(world.project)
    foreign = write_hook(hooks / "pre-push", "echo foreign")
    write_hook(hooks / "post-commit", "echo foreign too")
    assert hooks_of(world) == {
        "pre-push": HookState.REPLACED,
        "post-merge": HookState.INSTALLED,
        "post-commit": HookState.REPLACED,
    }
    with pytest.raises(Refused) as caught:
        githooks.install(world.project)
    assert caught.value.code == "two-hooks"
    removed = githooks.uninstall(world.project)
    assert removed.plan.warnings == tuple(
        f"{hooks / event} is not ours any more and stays" for event in ("pre-push", "post-commit")
    )
    assert foreign.read_text() == "#!/bin/sh\necho foreign\n"
    assert (hooks / "pre-push.before-wts").read_text() == "#!/bin/sh\necho original\n"
    assert (hooks / "post-commit").read_text() == "#!/bin/sh\necho foreign too\n"
    assert not (hooks / "post-merge").exists()


def test_uninstall_finds_the_hooks_that_a_later_hooks_path_has_hidden(
    installed: World, tmp_path: Path
) -> None:
    installed.repo.git("config", "core.hooksPath", str(tmp_path / "elsewhere"))
    assert hooks_of(installed) == dict.fromkeys(EVENTS, HookState.ABSENT)
    githooks.uninstall(installed.project)
    assert not any((installed.common / "hooks" / event).exists() for event in EVENTS)


@pytest.mark.parametrize("moment", [f"{when} {step}" for step in range(5) for when in ("before", "after")])
def test_an_install_that_dies_anywhere_is_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A stand-in for kill -9: an exception that the engine does not catch leaves the journal behind."""
    hooks = world.common / "hooks"
    write_hook(hooks / "pre-push", "echo original", mode=0o711)
    before = snapshot_of(hooks)

    class Killed(BaseException):
        pass

    def die(_: str, now: str) -> None:
        if now == moment:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(operate, "checkpoint", die)
        with pytest.raises(Killed):
            githooks.install(world.project)
    settled = operate.settle(world.project)
    assert [(one.outcome, one.problem) for one in settled] == [("rolled back", None)]
    assert snapshot_of(hooks) == before
    assert not (world.store.root / "hooks" / "wts-hook.sh").exists()


# -- hooks directories that are not the repository's own ---------------------------------------


def test_a_shared_hooks_directory_needs_consent(world: World, tmp_path: Path) -> None:
    shared = tmp_path / "shared hooks"
    write_hook(shared / "pre-push", "exit 0")
    world.repo.git("config", "core.hooksPath", str(shared))
    before = snapshot_of(shared)
    with pytest.raises(Refused) as caught:
        githooks.install(world.project)
    assert (caught.value.message, caught.value.hint) == (
        f"the hooks directory {shared} may serve other repositories too",
        "wts hooks install --shared",
    )
    assert snapshot_of(shared) == before
    assert not world.store.root.exists()
    assert githooks.install(world.project, Consent.SHARED).after.is_installed
    assert githooks.install(world.project).plan.steps == ()
    world.session(1, "auth-ui").write("new.txt", "x")
    world.repo.commit("c.txt", "c", "c")
    assert "1 auth-ui: 1 untracked" in world.push().err
    githooks.uninstall(world.project)
    assert snapshot_of(shared) == before


def test_a_shared_stub_is_silent_in_another_repository(world: World, tmp_path: Path) -> None:
    world.repo.git("config", "core.hooksPath", str(tmp_path / "shared"))
    githooks.install(world.project, Consent.SHARED)
    world.session(1, "auth-ui").write("new.txt", "x")
    other = make_world(tmp_path / "other")
    other.repo.git("config", "core.hooksPath", str(tmp_path / "shared"))
    other.repo.commit("c.txt", "c", "c")
    assert other.push() == Ran(0, "", "")


@pytest.mark.parametrize("is_tracked", [True, False])
def test_hooks_among_the_projects_files_need_consent(world: World, *, is_tracked: bool) -> None:
    if is_tracked:
        world.repo.commit(".husky/pre-push", "#!/bin/sh\n", "husky")
    world.repo.git("config", "core.hooksPath", ".husky")
    with pytest.raises(Refused) as caught:
        githooks.install(world.project)
    place = f"the hooks directory {world.repo.path / '.husky'}"
    ending = "is tracked: what is written there is the whole project's"
    assert (
        caught.value.message
        == f"{place} {ending if is_tracked else 'lies among the project' + chr(39) + 's files'}"
    )
    assert world.repo.git("status", "--porcelain") == ""


def test_a_link_out_of_the_repository_is_a_shared_directory(world: World, tmp_path: Path) -> None:
    shutil.rmtree(world.common / "hooks")
    (tmp_path / "team").mkdir()
    (world.common / "hooks").symlink_to(tmp_path / "team")
    with pytest.raises(Refused):
        githooks.install(world.project)


def test_install_from_a_linked_worktree_and_in_a_bare_repository(world: World, tmp_path: Path) -> None:
    ui = world.session(1, "auth-ui")
    assert githooks.install(open_project(ui.path)).after.directory == world.common / "hooks"
    run(tmp_path, "git", "clone", "--quiet", "--bare", str(world.repo.path), "bare.git")
    bare = open_project(tmp_path / "bare.git")
    assert githooks.install(bare).after.is_installed
    assert (tmp_path / "bare.git" / "hooks" / "pre-push").read_bytes() == (SCRIPTS / "stub.sh").read_bytes()


# -- git 2.54 ----------------------------------------------------------------------------------


@pytest.fixture
def newer_git(monkeypatch: pytest.MonkeyPatch) -> None:
    def version() -> git.Version:
        return (2, 54)

    version.cache_clear = lambda: None  # type: ignore[attr-defined]  # conftest clears the real one
    monkeypatch.setattr(git, "version", version)


def test_newer_git_is_told_by_configuration(newer_git: None, world: World) -> None:
    config = (world.common / "config").read_bytes()
    hooks = snapshot_of(world.common / "hooks")
    world.repo.git("config", "core.hooksPath", ".husky")  # not touched, so no consent is needed
    changed = githooks.install(world.project)
    assert (changed.after.way, changed.after.is_installed) == (Way.CONFIG, True)
    assert githooks.install(world.project).plan.steps == ()
    for event in EVENTS:
        assert world.repo.git("config", "--local", "--get-all", f"hook.wts-{event}.event") == event
    assert not (world.repo.path / ".husky").exists()
    githooks.uninstall(world.project)
    world.repo.git("config", "--unset", "core.hooksPath")
    assert (world.common / "config").read_bytes() == config
    assert snapshot_of(world.common / "hooks") == hooks


def test_the_configured_line_runs_the_hook_with_gits_arguments(newer_git: None, world: World) -> None:
    """Run as git runs a shell line: with its arguments appended, from a linked worktree."""
    githooks.install(world.project)
    ui = world.session(1, "auth-ui")
    ui.commit("a.txt", "a", "a")
    line = world.repo.git("config", "--local", "hook.wts-pre-push.command")
    done = run(ui.path, "sh", "-c", line + ' "$@"', line, "origin", "url")
    assert done.err.splitlines()[1:] == [
        "  1 auth-ui: 1 commit on no remote (git push origin feature/auth-ui)"
    ]
    shutil.rmtree(world.store.root / "hooks")
    assert run(ui.path, "sh", "-c", line + ' "$@"', line, "origin", "url") == Ran(0, "", "")


def test_after_an_upgrade_of_git_nothing_is_told_twice(
    installed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(git, "version", lambda: (2, 54))
        assert githooks.install(installed.project).after.is_installed
    assert not (installed.common / "hooks" / "pre-push").exists()
    assert githooks.install(installed.project).after.way is Way.FILES
    assert "hook" not in json.dumps(installed.repo.git("config", "--local", "--list"))


@pytest.mark.parametrize("script", ["wts-hook.sh", "stub.sh"])
@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck here")
def test_the_scripts_are_clean_posix(script: str) -> None:
    done = run(SCRIPTS, "shellcheck", "--shell=sh", script)
    assert done == Ran(0, "", "")
