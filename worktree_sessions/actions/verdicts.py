"""What tests said, kept by tree and command: the same tree is never tested twice. Nothing here is beyond repair.

tests/verdicts.json     the verdicts, the newest last        tests/<id>.log     what each test wrote
"""

from __future__ import annotations

import contextlib
import enum
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

from worktree_sessions.outside import files, locks
from worktree_sessions.outside.git import Oid

KEEP = 200  # verdicts, with their logs
STRAY_AFTER = 86400.0  # seconds: a younger log without a verdict may be of a test that runs
WAIT = 5.0  # seconds for another wts that keeps a verdict at this moment


class Verdict(enum.StrEnum):
    """What a test says of a tree."""

    GREEN = "green"
    RED = "red"
    FLAKY = "flaky"  # red, then green
    HUNG = "hung"  # it was ended at its time-out
    KILLED = "killed"  # it was ended by a signal
    NOT_SET_UP = "not-set-up"  # the set-up failed before it


LASTING = (Verdict.GREEN, Verdict.RED, Verdict.FLAKY)  # the others tell of the machine, not of the tree


class Run(NamedTuple):
    """One test of a tree: `seconds` with its rerun, `why` in words when it is not green, its exit `status`.

    `changed` are tracked files that are not as committed after it: a test should leave them alone.
    """

    verdict: Verdict
    tree: Oid
    log: Path
    seconds: float
    status: int
    why: str = ""
    changed: tuple[str, ...] = ()
    is_cached: bool = False

    @property
    def says(self) -> str:
        """In words: red (status 1), 2.1 s."""
        return f"{self.verdict}{f' ({self.why})' if self.why else ''}, {self.seconds:.1f} s"


class Verdicts:
    """The verdicts of one repository. What can't be read counts as nothing, what can't be written is not kept."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._file = directory / "verdicts.json"

    def find(self, key: str) -> Run | None:
        """Return what was said before; None when nothing was, or when its log is gone."""
        kept = self._load().get(key)
        try:
            run = _from_json(kept, self.directory) if kept is not None else None
        except (KeyError, TypeError, ValueError):
            return None
        return run if run is not None and run.log.is_file() else None

    def keep(self, key: str, run: Run) -> None:
        """Keep a verdict that lasts; the oldest ones go, with their logs."""
        if run.verdict not in LASTING:
            return
        with (
            contextlib.suppress(OSError),
            locks.attempt(self._file.with_suffix(".lock"), timeout=WAIT) as held,
        ):
            if not held:
                return
            kept = self._load()
            kept.pop(key, None)
            kept[key] = _to_json(run)
            kept = dict(list(kept.items())[-KEEP:])
            files.replace_cache(self._file, json.dumps({"schema": 1, "verdicts": kept}, indent=1).encode())
            self._drop_logs({str(row.get("log")) for row in kept.values() if isinstance(row, dict)})

    def _drop_logs(self, wanted: set[str]) -> None:
        for log in self.directory.glob("*.log"):
            if log.name not in wanted and time.time() - log.stat().st_mtime > STRAY_AFTER:
                log.unlink(missing_ok=True)

    def _load(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._file.read_bytes())["verdicts"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}


def _to_json(run: Run) -> dict[str, Any]:
    record = run._asdict()
    del record["is_cached"]
    return record | {"log": run.log.name}


def _from_json(record: dict[str, Any], directory: Path) -> Run:
    return Run(
        verdict=Verdict(record["verdict"]),
        tree=Oid(str(record["tree"])),
        log=directory / Path(record["log"]).name,
        seconds=float(record["seconds"]),
        status=int(record["status"]),
        why=str(record["why"]),
        changed=tuple(map(str, record["changed"])),
        is_cached=True,
    )
