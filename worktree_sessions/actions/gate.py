"""The gate of `merge-ready`: what comes home together is tested together, and who turns it red is found.

Tests run in the scratch worktree of the feature. While they do, nothing but that worktree's own lock is held.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Generic, NamedTuple, Self, TypeVar

from worktree_sessions.actions.project import Project
from worktree_sessions.actions.scratch import Scratch
from worktree_sessions.actions.verdicts import Run, Verdict, Verdicts
from worktree_sessions.errors import Refused, WtsError
from worktree_sessions.model import culprit, trust
from worktree_sessions.model.culprit import Found
from worktree_sessions.model.words import listed, quoted
from worktree_sessions.outside import locks, merging
from worktree_sessions.outside.git import BranchName, Git, Oid

T = TypeVar("T")

NOT_RUN = (126, 127)  # how a shell says that a command can't be run, or was not found
ROOM = 1 << 20  # bytes that must be free, else what a test says is not of the code
AGAIN = (Verdict.RED, Verdict.KILLED, Verdict.NOT_SET_UP)  # run once more: it may have been chance


def test_command(project: Project) -> str | None:
    """Return the command of `merge.test`, None when there is none; raise Refused until a repository's is approved."""
    asked = trust.repository_commands(project.settings, project.origins, ("merge.test",))
    if not trust.is_trusted(project.repository.common_dir, asked):
        raise Refused(
            "untrusted-test",
            f"the repository's test command is not approved: {asked[0].text}",
            hint="wts trust",
        )
    return project.settings.merge_test or None


class Gate:
    """Tests commits for one feature, which come home to `target`: `with Gate(...) as gate: gate.test(commit)`.

    Entering it waits `lock_timeout` for another wts that tests the same feature, then raises Busy. The scratch worktree
    is made when the first test needs it. A `timeout` of 0 seconds is none. With `fresh`, what was said in earlier runs
    does not count. `tell` hears what is being done, in a few words. `runs` counts the tests that were run, each with
    its set-up; `reruns` those that were run once more.
    """

    def __init__(
        self,
        project: Project,
        feature: str,
        target: BranchName,
        command: str,
        *,
        timeout: float | None = None,
        fresh: bool = False,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.runs = self.reruns = 0
        self.target = target
        self._project, self._feature, self._command = project, feature, command
        self._timeout = project.settings.merge_test_timeout if timeout is None else timeout
        self._tell = tell
        place = project.store.tests_dir / feature
        self._lock = place / "lock"
        self._scratch = Scratch(project, feature, place, tell)
        self._variables = {
            "WTS_FEATURE": feature,
            "WTS_PARENT": target,
            "WTS_WORKTREE": str(self._scratch.path),
            "WTS_MAIN": str(project.home),
        }
        self._verdicts = None if fresh else Verdicts(project.store.tests_dir)
        self._here: dict[Oid, Run] = {}
        self._closing = contextlib.ExitStack()
        self._is_open = False

    def __enter__(self) -> Self:
        waiting = self._project.settings.lock_timeout
        self._closing.enter_context(locks.writing(self._lock, f"testing {self._feature}", timeout=waiting))
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._closing.close()

    @property
    def is_set_up(self) -> bool:
        """Whether tests find what `setup.run` makes: False while its commands wait for `wts trust`."""
        return self._scratch.is_approved()

    def test(self, commit: Oid, what: str = "") -> Run:
        """Return what the tests say of a commit; one whose tree was tested before is not tested again.

        `what` is how it is called to who hears of it. Raises WtsError when it can't be found out: no worktree can be
        made, the disk is full.
        """
        tree = merging.tree_of(self._project.git, commit)
        if tree in self._here:
            return self._here[tree]._replace(is_cached=True)
        key = self._key(tree)
        known = self._verdicts.find(key) if self._verdicts else None
        if known:
            self._tell(f"{what or tree[:10]}: {known.says}, as tested before")
        run = known or self._run(commit, tree, what or tree[:10])
        self._here[tree] = run
        if known is None:
            Verdicts(self._project.store.tests_dir).keep(key, run)
        return run

    @contextlib.contextmanager
    def merge_laid_out(self, head: Oid, merge: Oid, tip: Oid) -> Iterator[Git]:
        """Lay a merge out in the scratch worktree as `git merge` does before it commits: HEAD is `head`, index and
        files are those of `merge`, and `tip` is what is merged. It is set up as for a test. Gives git there."""
        self._open(head)
        log = self._project.store.tests_dir / f"{self._feature}-hook.log"
        with log.open("wb") as file:
            self._scratch.check_out(merge)
            failed = self._scratch.set_up(merge, self._variables, file)
        if failed is not None:
            says = f"the set-up of {self._scratch.path} fails: status {failed.status} of {failed.command}"
            raise WtsError("not-set-up", says, hint=f"cat {quoted(log)}")
        with self._scratch.merging(head, tip) as git:
            yield git

    def _key(self, tree: Oid) -> str:
        facts = [tree, self._command, self._scratch.setup_digest()]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _run(self, commit: Oid, tree: Oid, what: str) -> Run:
        self._open(commit)
        self.runs += 1
        log = self._project.store.tests_dir / f"{self._feature}-{tree[:10]}-{os.urandom(3).hex()}.log"
        try:
            with log.open("xb") as file:
                run = self._attempt(commit, Run(Verdict.GREEN, tree, log, 0.0, 0), file, what)
                if run.verdict in AGAIN and run.status not in NOT_RUN:
                    self._tell(f"  {run.says}; once more, it may be chance")
                    self.reruns += 1
                    file.write(b"\nonce more\n")
                    second = self._attempt(commit, run, file, what)
                    self._tell(f"  {second.says}")
                    run = _both(run, second)
                else:
                    self._tell(f"  {run.says}")
        except OSError as error:
            where = error.filename or log
            raise WtsError("no-test", f"the tests can't be run: {error.strerror} ({where})") from error
        return run

    def _open(self, commit: Oid) -> None:
        if self._is_open:
            return
        self._closing.callback(self._scratch.close)
        self._scratch.open(commit)
        if not self.is_set_up:
            self._tell("the set-up commands are not approved, and do not run: wts trust")
        self._is_open = True

    def _attempt(self, commit: Oid, run: Run, log: IO[bytes], what: str) -> Run:
        """Run the set-up where it is due, and the test."""
        self._scratch.check_out(commit)
        begin = time.monotonic()
        failed = self._scratch.set_up(commit, self._variables, log)
        if failed is not None:
            self._refuse_full_disk(run.log)
            why = f"status {failed.status} of {failed.command}"
            seconds = time.monotonic() - begin
            return run._replace(verdict=Verdict.NOT_SET_UP, status=failed.status, why=why, seconds=seconds)
        before = self._scratch.changed(commit)
        self._tell(f"testing {what}")
        began = time.monotonic()
        status = self._scratch.run(self._command, self._variables, log, self._timeout)
        ended = time.monotonic()
        verdict, why = self._judge(status, ended - began)
        if verdict is not Verdict.GREEN:
            self._refuse_full_disk(run.log)
        changed = tuple(sorted(self._scratch.changed(commit) - before))
        return run._replace(verdict=verdict, status=status, why=why, changed=changed, seconds=ended - begin)

    def _judge(self, status: int, seconds: float) -> tuple[Verdict, str]:
        if status == 0:
            return Verdict.GREEN, ""
        if status == -signal.SIGKILL and 0 < self._timeout <= seconds:
            return Verdict.HUNG, f"not done after {self._timeout:g} s"
        number = -status if status < 0 else status - 128  # a shell's way to say it
        with contextlib.suppress(ValueError):
            return Verdict.KILLED, f"killed by {signal.Signals(number).name}"
        return Verdict.RED, f"status {status}"

    def _refuse_full_disk(self, log: Path) -> None:
        """A test that has no room to write is red through no fault of the code."""
        for place in (self._scratch.path, log.parent):
            if shutil.disk_usage(place).free < ROOM:
                raise WtsError(
                    "disk-full", f"the disk of {place} is full: the tests say nothing", hint="make room"
                )


def _both(first: Run, second: Run) -> Run:
    """Return one verdict for a test that was run twice: what it said first, unless it was chance."""
    seconds = first.seconds + second.seconds
    if second.verdict is Verdict.GREEN and first.verdict is not Verdict.NOT_SET_UP:
        why = f"{first.why}, then green"
        return second._replace(verdict=Verdict.FLAKY, status=first.status, why=why, seconds=seconds)
    return (first if first.verdict is Verdict.RED else second)._replace(seconds=seconds)


# -- who turns it red ------------------------------------------------------------------------------


class Guilty(NamedTuple, Generic[T]):
    """Who is held back, and the test that says so; None when it does not merge without others that are held back.

    `red_with` are the fewest that landed before it with which it is red, none when it is so on its own; None when that
    was not searched for.
    """

    item: T
    run: Run | None
    red_with: tuple[T, ...] | None


@dataclass(frozen=True, slots=True)
class Judged(Generic[T]):
    """What the gate lets through: `commit` is the tested one with all that land, None when nothing does.

    `base` is its test when the base itself is the culprit. `runs` counts the tests of the search, `explaining` those
    that only tell why somebody is held back, neither those whose result was known. `tests` are all that were looked at.
    """

    landed: tuple[T, ...]
    commit: Oid | None
    guilty: tuple[Guilty[T], ...]
    base: Run | None
    tests: tuple[Run, ...]
    runs: int
    explaining: int


def find_culprits(
    gate: Gate,
    items: Sequence[T],
    commit_of: Callable[[tuple[T, ...]], Oid | None],
    *,
    search: Callable[[Sequence[T], Callable[[tuple[T, ...]], bool]], Found[T]] = culprit.search,
    allows_flaky: bool = False,
    explains: bool = True,
) -> Judged[T]:
    """Return which items land green together, and who is held back; `search` chooses what is tested for it.

    `commit_of` makes the commit of the base with these items on it, in their order (of none: the base), None when they
    do not merge. All but green is red, and flaky too unless `allows_flaky`. Raises WtsError when the base can't be
    tested because there is no such command.
    """
    commits: dict[tuple[T, ...], Oid | None] = {}
    runs: dict[tuple[T, ...], Run | None] = {}
    green = (Verdict.GREEN, Verdict.FLAKY) if allows_flaky else (Verdict.GREEN,)

    def run_of(some: tuple[T, ...]) -> Run | None:
        if some not in runs:
            commit = commits[some] = commit_of(some)
            what = listed([str(one) for one in some]) or f"{gate.target} by itself"
            runs[some] = None if commit is None else gate.test(commit, what)
        return runs[some]

    def is_green(some: tuple[T, ...]) -> bool:
        run = run_of(some)
        return run is not None and run.verdict in green

    def is_not_known_red(some: tuple[T, ...]) -> bool:
        run = run_of(some)
        return run is None or run.verdict in green

    before = gate.runs
    found = search(items, is_green)
    searched = gate.runs
    base = run_of(()) if found.base_is_red else None
    if base is not None and base.verdict is Verdict.RED and base.status in NOT_RUN:
        raise WtsError(
            "no-test-command", f"the test command can't be run ({base.why})", hint=f"cat {quoted(base.log)}"
        )
    guilty = []
    for item in found.guilty:
        earlier = tuple(other for other in found.landed if items.index(other) < items.index(item))
        run = run_of((*earlier, item))
        is_plainly_red = run is not None and run.verdict is Verdict.RED
        red_with = (
            culprit.smallest_red_with(item, earlier, is_not_known_red)
            if explains and is_plainly_red
            else None
        )
        guilty.append(Guilty(item, run, red_with))
    return Judged(
        landed=found.landed,
        commit=commits[found.landed] if found.landed else None,
        guilty=tuple(guilty),
        base=base,
        tests=tuple(run for run in runs.values() if run is not None),
        runs=searched - before,
        explaining=gate.runs - searched,
    )
