"""No sequence of commands loses a commit or the content of a file: hypothesis looks for one that does."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.repos import Repo
from tests.support.sessions import EVERY, picture, project_of
from worktree_sessions.actions import close, new, operate, restore, snapshot
from worktree_sessions.errors import NothingToDo, Refused, WtsError
from worktree_sessions.model.risk import Consent
from worktree_sessions.model.session import Session
from worktree_sessions.outside.git import Git, Ref

PURPOSES = strategies.sampled_from(("one", "two"))
FILES = strategies.sampled_from(
    ("a.txt", "b.txt", "dir/c.txt", "dir", "README.md", "-odd name\n", "crlf.txt")
)
CONTENTS = strategies.sampled_from((b"", b"x\n", b"one\r\ntwo\n", b"\0\xff", b"long\n" * 99))
MODES = strategies.sampled_from((0o644, 0o600, 0o755, 0o444))
CONSENTS = strategies.sets(strategies.sampled_from(sorted(Consent)))

Pictures = dict[str, tuple[str, int, bytes]]


class Sessions(RuleBasedStateMachine):
    """Two sessions, and everything that people and agents do to them."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="wts-property-"))
        self.repo = Repo.create(self.place / "repo")
        for key in ("gc.reflogExpire", "gc.reflogExpireUnreachable"):
            self.repo.git("config", key, "never")  # the dates of tests lie far back
        self.repo.commit(".gitattributes", "crlf.txt text eol=crlf\n", "attributes")
        self.repo.commit("README.md", "# a project\n", "start")
        self.commits: set[str] = {self.repo.tip("HEAD")}
        self.closed: dict[str, Pictures] = {}  # what a session's files were when it went
        self.stamp = 0

    def teardown(self) -> None:
        try:
            self.nothing_is_lost()
        finally:
            shutil.rmtree(self.place)

    # -- what is there -----------------------------------------------------------------------------

    def live(self, purpose: str) -> Session | None:
        return project_of(self.repo).store.load(f"f-{purpose}")

    def tree(self, purpose: str) -> Repo | None:
        session = self.live(purpose)
        return Repo(session.worktree) if session is not None and session.worktree.is_dir() else None

    # -- what people and agents do -----------------------------------------------------------------

    @rule(purpose=PURPOSES)
    def make(self, purpose: str) -> None:
        try:
            made = new.make(project_of(self.repo), new.Order(words=("f", purpose)))
        except Refused:
            return
        self.closed.pop(made.session.name, None)  # an older one of the name is reached by its id only
        self.commits.add(Repo(made.session.worktree).tip("HEAD"))

    @rule(purpose=PURPOSES, file=FILES, content=CONTENTS, mode=MODES)
    def write(self, purpose: str, file: str, content: bytes, mode: int) -> None:
        tree = self.tree(purpose)
        if tree is None:
            return
        target = tree.path / file
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        if target.parent.is_file() or target.parent.is_symlink():
            target.parent.unlink()
        if os.path.lexists(target):
            target.unlink()
        tree.write(file, content).chmod(mode)

    @rule(purpose=PURPOSES, file=FILES)
    def link(self, purpose: str, file: str) -> None:
        tree = self.tree(purpose)
        if tree is not None and not os.path.lexists(tree.path / file) and (tree.path / file).parent.is_dir():
            (tree.path / file).symlink_to("README.md")

    @rule(purpose=PURPOSES, file=FILES)
    def remove(self, purpose: str, file: str) -> None:
        tree = self.tree(purpose)
        if tree is not None and (tree.path / file).is_file():
            (tree.path / file).unlink()

    @rule(purpose=PURPOSES)
    def stage(self, purpose: str) -> None:
        if tree := self.tree(purpose):
            tree.git("add", "-A")

    @rule(purpose=PURPOSES, amend=strategies.booleans())
    def commit(self, purpose: str, amend: bool) -> None:
        if tree := self.tree(purpose):
            tree.git("commit", "-q", "--allow-empty", "-m", "work", *(["--amend"] if amend else []))
            self.commits.add(tree.tip("HEAD"))

    @rule(purpose=PURPOSES)
    def detach(self, purpose: str) -> None:
        if tree := self.tree(purpose):
            tree.git("checkout", "-q", "--detach")

    @rule(purpose=PURPOSES)
    def reset(self, purpose: str) -> None:
        if (tree := self.tree(purpose)) and tree.git("rev-list", "--count", "HEAD") != "1":
            tree.git("reset", "-q", "--soft", "HEAD~1")

    @rule(purpose=PURPOSES)
    def merge_into_parent(self, purpose: str) -> None:
        tree, session = self.tree(purpose), self.live(purpose)
        if tree is not None and session is not None:
            self.repo.git("update-ref", f"refs/heads/{session.parent}", tree.tip("HEAD"))

    # -- what wts does -----------------------------------------------------------------------------

    @rule(purpose=PURPOSES, consents=CONSENTS, delete_branch=strategies.booleans())
    def close(self, purpose: str, consents: set[Consent], delete_branch: bool) -> None:
        self._close(purpose, frozenset(consents), delete_branch=delete_branch)

    @rule(purpose=PURPOSES, delete_branch=strategies.booleans())
    def close_with_every_consent(self, purpose: str, delete_branch: bool) -> None:
        self._close(purpose, EVERY, delete_branch=delete_branch)

    def _close(self, purpose: str, consents: frozenset[Consent], *, delete_branch: bool) -> None:
        session, tree = self.live(purpose), self.tree(purpose)
        if session is None or tree is None:
            return
        before = picture(tree.path)
        order = close.Closing(consents=consents, delete_branch=delete_branch)
        try:
            close.close(project_of(self.repo), session, order)
        except Refused:
            assert picture(tree.path) == before
            return
        assert not tree.path.exists()
        self.closed[session.name] = before

    @rule(purpose=PURPOSES)
    def restore(self, purpose: str) -> None:
        project = project_of(self.repo)
        name = f"f-{purpose}"
        try:
            session = restore.restore(project, restore.find_restorable(project, name)).session
        except (NothingToDo, Refused):
            return
        except WtsError as error:
            if error.code != "no-session":
                raise
            return
        if (before := self.closed.pop(name, None)) is not None:
            assert picture(session.worktree) == before

    @precondition(lambda self: self.stamp < 3)
    @rule(purpose=PURPOSES)
    def picture_and_rm_rf(self, purpose: str) -> None:
        """Another hand removes what the last snapshot (of a turn's end) held."""
        session, tree = self.live(purpose), self.tree(purpose)
        if session is None or tree is None:
            return
        self.stamp += 1
        ref = Ref(f"{snapshot.SNAPSHOTS}{session.id}/x{self.stamp}")
        snapshot.take(Git(tree.path), ref, reason="test")
        before = picture(tree.path)
        shutil.rmtree(tree.path)
        if self.stamp % 2:
            self.repo.git("worktree", "prune")
        self.closed[session.name] = before

    @rule()
    def collect_garbage(self) -> None:
        self.repo.git("gc", "--prune=now", "--quiet")

    @rule()
    def doctor(self) -> None:
        operate.settle(project_of(self.repo))
        doctor: Any = pytest.importorskip("worktree_sessions.actions.doctor")
        doctor.mend(project_of(self.repo))

    # -- what must hold ----------------------------------------------------------------------------

    @invariant()
    def no_operation_is_left_open(self) -> None:
        assert operate.unfinished(project_of(self.repo)) == []

    def nothing_is_lost(self) -> None:
        self.repo.git("gc", "--prune=now", "--quiet")
        asked = "".join(f"{oid}\n" for oid in sorted(self.commits)).encode()
        found = self.repo.git("cat-file", "--batch-check=%(objecttype)", stdin=asked).splitlines()
        assert found == ["commit"] * len(self.commits)
        for name in list(self.closed):
            self.restore(name.removeprefix("f-"))


@pytest.mark.slow
def test_no_sequence_of_commands_loses_anything() -> None:
    """A few runs that are always the same; PROPERTY_RUNS=300 looks further, and elsewhere each time."""
    runs = int(os.environ.get("PROPERTY_RUNS", "0"))
    run_state_machine_as_test(
        Sessions,
        settings=settings(
            max_examples=runs or 12,
            stateful_step_count=16,
            deadline=None,
            derandomize=not runs,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
