"""Records the event tapes of tests/tapes: the real Claude Code, started by wts, offline, led into each trap.

    python -m tests.support.record_tapes [TRAP...]

Claude is the one of WTS_TEST_CLAUDE (see claude_cli.py). A tape of which the reducer says other states than its trap in
traps.py is not written.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import GIT_CONFIG
from tests.support.api import serving
from tests.support.claude_cli import RealClaude, provide
from tests.support.tapes import TAPES, Row, Tape, distinct, play, write
from tests.support.traps import NAME, TRAPS, Scene

# -- from what was seen to a tape --------------------------------------------------------------------

REGISTERED = (
    *("pid", "sessionId", "cwd", "status", "waitingFor", "procStart"),
    *("name", "version", "jobId", "updatedAt", "kind"),
)
START = 1000.0  # seconds: when a tape begins


class Normal:
    """Gives what differs from one recording to the next a plain name: times, pids, ids, paths."""

    def __init__(self, base: Path, began: float) -> None:
        self.base, self.began = str(base), began
        self._names: dict[str, dict[Any, str]] = {}

    def row(self, row: Row) -> Row:
        """Return one fact as a tape has it."""
        plain = {"at": self.seconds(row["at"]), **{key: row[key] for key in row if key != "at"}}
        if row.get("registry"):
            kept = {key: row["registry"][key] for key in REGISTERED if key in row["registry"]}
            plain["registry"] = self.value(kept)
        elif "event" in row:
            plain["event"] = {"v": row["event"]["v"], "t": self.seconds(row["event"]["t"])}
            plain["event"] |= self.value({k: v for k, v in row["event"].items() if k not in ("v", "t")})
        elif "pid" in row:
            plain |= self.value({"pid": row["pid"]})
        elif "seen" in row:
            plain["seen"] = self.text(row["seen"])
        return plain

    def seconds(self, at: float) -> float:
        """Return a time as if the recording had begun at START."""
        return round(at - self.began + START, 3)

    def value(self, facts: Row) -> Row:
        """Return the fields of a log's or a registry's row."""
        return {key: self.field(key, value) for key, value in facts.items()}

    def field(self, key: str, value: Any) -> Any:
        """Return one field's value."""
        if key == "pid":
            return int(self.name("", value))
        if key in ("procStart", "started"):
            return self.name("start-", value)
        if key == "launcher":
            return [self.field("pid", value[0]), self.field("started", value[1])]
        if key in ("host", "boot"):
            return self.name(f"{key}-", value)
        if key == "updatedAt":
            return round(self.seconds(value / 1000) * 1000)
        if key == "prompt":
            return value.split("\n")[0].split(" <<<")[0]  # the script is ours; behind a self-made one are ids
        return self.text(value) if isinstance(value, str) else value

    def text(self, text: str) -> str:
        """Return a text with every path and id by its plain name."""
        text = text.replace(f"{self.base}/w", "/w").replace(self.base, "/w/home")
        text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", lambda id_: self.name("c", id_[0]), text)
        text = re.sub(r"toolu_[0-9a-f]{32}", lambda id_: self.name("t", id_[0]), text)
        text = re.sub(r"\ba[0-9a-f]{16}\b", lambda id_: self.name("a", id_[0]), text)
        text = re.sub(r"\b[0-9a-f]{16}\b", "digest", text)
        return re.sub(rf"\b{NAME}-[0-9a-f]{{2}}$", f"{NAME}-xx", text)  # a name that Claude made up

    def name(self, kind: str, value: Any) -> str:
        """Return the plain name of a value: `c1` for the first conversation."""
        names = self._names.setdefault(kind, {})
        return names.setdefault(value, f"{kind}{len(names) + 1}")


def tape_of(name: str, version: str, base: Path, seen: list[Row]) -> Tape:
    """Return the tape of a trap; raise AssertionError when the reducer says other states than the trap."""
    normal = Normal(base, seen[0]["at"])
    rows = [normal.row(row) for row in seen]
    states = play(rows)
    trap = TRAPS[name]
    said = distinct(states)
    assert said == trap.states, f"{name}: {' '.join(said)}, not {' '.join(trap.states)}"
    judged = [{**row, "state": state} for row, state in zip(rows, states, strict=True)]
    return Tape(name, trap.about, version, trap.states, judged)


# -- the command -------------------------------------------------------------------------------------


def record(program: Path, name: str) -> Tape:
    """Play a trap in a world of its own, and return its tape."""
    with serving() as api:
        world = RealClaude(program, api.url)
        try:
            version = world.run("--version", cwd=world.base).stdout.split()[0]
            scene = Scene(world, world.base / "w", trusted=TRAPS[name].trusted)
            with scene.recording:
                TRAPS[name].play(scene)
            return tape_of(name, version, world.base, scene.recording.rows)
        finally:
            world.close()


@contextlib.contextmanager
def only(program: Path) -> Iterator[None]:
    """Have this Claude on PATH, and the developer's git settings out of the way, until the block ends."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="wts-tapes-") as top:
        (Path(top) / "gitconfig").write_text(GIT_CONFIG)
        (Path(top) / "claude").symlink_to(program)
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            del os.environ[name]
        os.environ |= {"GIT_CONFIG_GLOBAL": f"{top}/gitconfig", "GIT_CONFIG_NOSYSTEM": "1"}
        os.environ["PATH"] = f"{top}{os.pathsep}{os.environ['PATH']}"
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def main(names: list[str]) -> int:
    """Record the traps of these names, or all; return how many could not be."""
    program = provide()
    failed = 0
    with only(program):
        for name in names or TRAPS:
            try:
                tape = record(program, name)
            except AssertionError as error:
                failed += 1
                sys.stderr.write(f"not recorded: {name}: {error}\n")
            else:
                write(TAPES / tape.claude / f"{name}.jsonl", tape)
                sys.stdout.write(f"recorded: {name}, {tape.claude}, {len(tape.rows)} facts\n")
    return failed


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
