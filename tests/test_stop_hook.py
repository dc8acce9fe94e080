"""The Stop hook keeps a snapshot of uncommitted work and asks once to commit it; index and files stay."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.claude_cli import eventually
from tests.support.repos import Repo
from worktree_sessions.outside import assets

PYTHON = os.path.realpath(sys.executable)
REF = "refs/wts/auto/auth-frontend"


class Here(NamedTuple):
    """A repository with a session `auth-frontend` in a linked worktree, its hook installed."""

    main: Repo
    session: Repo
    root: Path

    @property
    def directory(self) -> Path:
        return self.root / "sessions" / "auth-frontend"

    def stop(self, cwd: Path | None = None, env: dict[str, str] | None = None, **data: object) -> str | None:
        """Run the hook as Claude does; return the reason it gave for going on, None when it was silent."""
        words = [PYTHON, "-S", "-E", "-B", str(self.root / "claude" / "0123456789abcdef" / "stop.py")]
        done = subprocess.run(
            words,
            input=json.dumps({"session_id": "c", "stop_hook_active": False, **data}).encode(),
            cwd=cwd or self.session.path,
            env={**os.environ, "WTS_SESSION": "auth-frontend", **(env or {})},
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        if not done.stdout:
            return None
        answer = json.loads(done.stdout)
        assert set(answer) == {"decision", "reason"}
        assert answer["decision"] == "block"
        return str(answer["reason"])

    def leave_kick(self) -> Path:
        """Leave a program for the hook to start; it makes the file that is returned."""
        mark = self.root / "started"
        (self.directory / "kick.json").write_text(json.dumps(["/bin/sh", "-c", 'echo >>"$0"', str(mark)]))
        return mark

    def events(self) -> list[str]:
        lines = (self.directory / "events.jsonl").read_text().splitlines()
        return [json.loads(line)["event"] for line in lines]

    def snapshot(self) -> dict[str, str]:
        """Return the files of the auto snapshot with their content."""
        names = self.session.git("ls-tree", "-r", "--name-only", "-z", REF).split("\0")[:-1]
        return {name: self.session.git("cat-file", "blob", f"{REF}:{name}") for name in names}

    def has_snapshot(self) -> bool:
        return self.session.git("for-each-ref", REF) != ""

    def fingerprint(self) -> dict[str, Any]:
        """Return all that the hook must leave alone: the index, the files and their times, the branches."""
        index = Path(self.session.git("rev-parse", "--path-format=absolute", "--git-path", "index"))
        files = {
            str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
            for path in self.session.path.rglob("*")
        }
        refs = self.session.git("for-each-ref", "refs/heads", "refs/tags", "refs/stash")
        return {"index": (index.read_bytes(), index.stat().st_mtime_ns), "files": files, "refs": refs}


@pytest.fixture
def here(repo: Repo) -> Here:
    session = repo.worktree("auth-frontend")
    root = repo.path / ".git" / "wts"
    plugin = root / "claude" / "0123456789abcdef"
    plugin.mkdir(parents=True)
    for name in ("event.py", "stop.py"):
        shutil.copy(assets.hooks_dir() / "claude" / name, plugin)
    made = Here(repo, session, root)
    made.directory.mkdir(parents=True)
    (made.directory / "session.json").write_text(json.dumps({"worktree": str(session.path)}))
    return made


def test_committed_work_is_left_in_peace(here: Here) -> None:
    here.session.commit("login.py", "form\n", "add the form")
    assert here.stop() is None
    assert not here.has_snapshot()
    assert here.events() == ["Stop"]


def test_uncommitted_work_is_kept_and_told_of_once_per_change(here: Here) -> None:
    here.session.write("README.md", "# changed\n")
    here.session.write("new/form.py", "untracked\n")
    before = here.fingerprint()

    reason = here.stop()

    assert reason is not None
    assert "2 files are not committed" in reason
    assert "  README.md\n  new/form.py\n" in reason
    assert here.snapshot() == {"README.md": "# changed", "new/form.py": "untracked"}
    assert here.session.git("log", "-1", "--format=%an <%ae> %cn <%ce> %P", REF) == (
        f"wts <wts@localhost> wts <wts@localhost> {here.session.tip('HEAD')}"
    )
    assert here.fingerprint() == before
    assert here.events() == ["Stop", "StopHeld"]

    assert here.stop() is None, "told twice of the same tree"
    here.session.write("new/form.py", "more\n")
    assert here.stop() is not None, "not told of a change"
    assert here.stop() is None


def test_deleted_and_staged_files_count_and_ignored_ones_do_not(here: Here) -> None:
    here.session.commit(".gitignore", "*.log\n", "ignore logs")
    here.session.write("debug.log", "noise\n")
    assert here.stop() is None
    (here.session.path / "README.md").unlink()
    here.session.write("staged.py", "x\n")
    here.session.git("add", "staged.py")
    before = here.fingerprint()
    reason = here.stop()
    assert reason is not None
    assert "  README.md\n  staged.py\n" in reason
    assert set(here.snapshot()) == {".gitignore", "staged.py"}
    assert here.fingerprint() == before


@pytest.mark.parametrize(
    "data", [{"stop_hook_active": True}, {"background_tasks": [{"id": "b1", "status": "running"}]}]
)
def test_a_turn_that_goes_on_anyway_is_not_disturbed_but_kept(here: Here, data: dict[str, Any]) -> None:
    here.session.write("a.txt", "work\n")
    assert here.stop(**data) is None
    assert here.snapshot()["a.txt"] == "work"
    assert here.stop() is not None, "silence must not count as having told"


def test_the_setting_turns_the_question_off_and_not_the_snapshot(here: Here) -> None:
    (here.directory / "stop-check-off").touch()
    here.session.write("a.txt", "work\n")
    assert here.stop() is None
    assert here.snapshot()["a.txt"] == "work"


def test_more_than_ten_files_are_counted_and_names_are_cleaned(here: Here) -> None:
    for number in range(14):
        here.session.write(f"{number:02}\x1b[31m.txt", "x\n")
    reason = here.stop()
    assert reason is not None
    assert "14 files are not committed" in reason
    assert "  09?[31m.txt\n  and 4 more\n" in reason
    assert "\x1b" not in reason


def test_a_held_lock_another_directory_and_foreign_variables_do_no_harm(here: Here, tmp_path: Path) -> None:
    elsewhere = Repo.create(tmp_path / "elsewhere")
    lock = Path(here.session.git("rev-parse", "--path-format=absolute", "--git-path", "index.lock"))
    lock.write_bytes(b"held by another git")
    here.session.write("a.txt", "work\n")
    before = here.fingerprint()
    foreign = {
        "GIT_DIR": str(elsewhere.path / ".git"),
        "GIT_INDEX_FILE": str(tmp_path / "index"),
        "GIT_WORK_TREE": str(elsewhere.path),
    }
    assert here.stop(cwd=elsewhere.path, env=foreign) is not None
    assert here.snapshot()["a.txt"] == "work"
    assert here.fingerprint() == before
    assert lock.read_bytes() == b"held by another git"
    assert not (tmp_path / "index").exists()


def test_hooks_of_the_repository_do_not_run(here: Here, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for name in ("reference-transaction", "post-index-change", "pre-commit"):
        hook = here.main.path / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >> '{mark}'\n")
        hook.chmod(0o755)
    here.session.write("a.txt", "work\n")
    assert here.stop() is not None
    assert not mark.exists()


def test_a_change_that_git_was_told_to_overlook_is_kept_and_not_spoken_of(here: Here) -> None:
    here.session.commit("local.cfg", "a\n", "one")
    here.session.commit("big.bin", "a\n", "two")
    here.session.git("update-index", "--skip-worktree", "local.cfg")
    here.session.git("update-index", "--assume-unchanged", "big.bin")
    here.session.write("local.cfg", "mine\n")
    here.session.write("big.bin", "mine too\n")
    before = here.fingerprint()
    assert here.stop() is None
    assert here.snapshot() == {"README.md": "# a project", "local.cfg": "mine", "big.bin": "mine too"}
    assert here.fingerprint() == before


def test_a_sparse_checkout_loses_nothing_in_its_snapshot(here: Here) -> None:
    here.session.commit("in/a.txt", "a\n", "in")
    here.session.commit("out/b.txt", "b\n", "out")
    here.session.git("sparse-checkout", "set", "in")
    here.session.write("in/new.txt", "new\n")
    here.session.write("out/late.txt", "outside of the cone\n")
    assert here.stop() is not None
    assert here.snapshot() == {
        "README.md": "# a project",
        "in/a.txt": "a",
        "in/new.txt": "new",
        "out/b.txt": "b",
        "out/late.txt": "outside of the cone",
    }


def test_a_change_within_the_index_s_own_second_is_seen(here: Here) -> None:
    """A copied index must keep its time: a newer one would vouch for files changed after it was written."""
    here.session.git("config", "core.trustctime", "false")  # a test can't choose a change time
    moment = (1_700_000_000, 1_700_000_000)
    file = here.session.path / "README.md"
    os.utime(file, moment)
    here.session.git("update-index", "--refresh")
    index = Path(here.session.git("rev-parse", "--path-format=absolute", "--git-path", "index"))
    os.utime(index, moment)
    file.write_text("# a pr0ject\n")  # the same length
    os.utime(file, moment)
    assert here.stop() is not None
    assert here.snapshot()["README.md"] == "# a pr0ject"


def test_an_open_conflict_is_kept_as_it_lies_there(here: Here) -> None:
    here.session.commit("README.md", "# ours\n", "ours")
    here.main.commit("README.md", "# theirs\n", "theirs")
    subprocess.run(["git", "merge", "main"], cwd=here.session.path, capture_output=True, check=False)
    before = here.fingerprint()
    assert here.stop() is not None
    assert "<<<<<<<" in here.snapshot()["README.md"]
    assert here.fingerprint() == before


def test_an_unreadable_file_does_not_stop_the_rest(here: Here) -> None:
    if os.getuid() == 0:
        pytest.skip("root reads everything")
    here.session.write("a.txt", "work\n")
    here.session.write("secret", "x\n").chmod(0)
    assert here.stop() is not None
    assert here.snapshot()["a.txt"] == "work"


def test_one_commit_per_state_and_the_earlier_ones_stay_in_the_reflog(here: Here) -> None:
    here.session.write("a.txt", "one\n")
    here.stop()
    first = here.session.tip(REF)
    here.stop()
    assert here.session.tip(REF) == first
    here.session.write("a.txt", "two\n")
    here.stop()
    assert here.session.git("reflog", "show", "--format=%H", REF).split() == [here.session.tip(REF), first]
    here.session.commit("a.txt", "two\n", "done")
    assert here.stop() is None
    assert here.session.tip(REF) != first, "a commit does not take the snapshot away"


@pytest.mark.parametrize("record", ["{", "[]", '{"worktree": "/nowhere"}', '{"worktree": 7}'])
def test_a_bad_record_is_survived_and_the_event_still_told(here: Here, record: str) -> None:
    (here.directory / "session.json").write_text(record)
    here.session.write("a.txt", "work\n")
    assert here.stop() is None
    assert here.events() == ["Stop"]


def test_the_human_is_told_of_a_stop_and_not_of_one_that_is_held_back(here: Here) -> None:
    mark = here.leave_kick()
    here.session.write("a.txt", "work\n")
    assert here.stop() is not None
    assert here.stop() is None
    eventually(mark.exists, "start")
    time.sleep(0.2)  # for a second one, of the Stop that was held back
    assert mark.read_text() == "\n"


@pytest.mark.parametrize("trouble", ["record", "log", "background"])
def test_whatever_fails_the_human_is_told_of_a_stop(here: Here, trouble: str) -> None:
    mark = here.leave_kick()
    if trouble == "record":
        (here.directory / "session.json").write_text("{")
    if trouble == "log":
        (here.directory / "events.jsonl").mkdir()
    here.session.write("a.txt", "work\n")
    assert here.stop(background_tasks=[{"id": "b1"}]) is None
    eventually(mark.exists, "start")


def test_nothing_is_left_behind_beside_the_session(here: Here) -> None:
    here.session.write("a.txt", "work\n")
    here.stop()
    here.stop()
    assert sorted(os.listdir(here.directory)) == ["events.jsonl", "session.json", "told"]


def test_outside_of_a_session_it_does_nothing(here: Here) -> None:
    here.session.write("a.txt", "work\n")
    assert here.stop(env={"WTS_SESSION": ""}) is None
    assert sorted(os.listdir(here.directory)) == ["session.json"]
    assert not here.has_snapshot()
