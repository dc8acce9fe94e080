"""The nouns of the product: a session's record, and what is found out about it when someone looks.

Records are written by wts alone. Keys that this version does not know survive a rewrite, so that an older and a
newer wts can share a repository.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from worktree_sessions.errors import WtsError
from worktree_sessions.outside.git import BranchName, Oid, Status

SCHEMA = 1
MISSING = "its worktree is gone"  # the problem of a look that found none
TEXTS = ("id", "name", "feature", "purpose", "branch", "parent", "display", "conversation", "base")


class Setup(enum.StrEnum):
    """How far the set-up commands of a session have come; only NONE and DONE may ever count as ready."""

    NONE = "none"
    UNTRUSTED = "untrusted"
    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


class State(enum.StrEnum):
    """What the agent of a session is doing; the words of the product (docs/states.md)."""

    STARTING = "starting"
    WORKING = "working"
    WAITING = "waiting"
    IDLE = "idle"
    BACKGROUND = "background"
    LIMITED = "limited"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    ENDED = "ended"
    PARKED = "parked"
    UNKNOWN = "unknown"


class Session(NamedTuple):
    """One session as recorded: a number, a name, a branch, a worktree and a conversation.

    `base` is the commit its branch started from, `included` the sha256 of each ignored file that was copied in from
    the main worktree, `id` names this session for good (names and numbers are used again).
    """

    id: str
    number: int
    name: str
    feature: str
    purpose: str
    role: str | None
    branch: BranchName
    parent: BranchName
    worktree: Path
    display: str
    conversation: str
    created: datetime
    base: Oid
    prompt: str | None = None
    focus: str | None = None
    setup: Setup = Setup.NONE
    started: bool = False  # Claude has been started on the conversation at least once
    place: str | None = None  # where Claude was last started: terminal, tmux, background
    address: str | None = None  # how to get there again: a tmux pane, a background id
    conversations: tuple[str, ...] = ()  # all that it has had before the last start, the newest last
    ready: Oid | None = None  # the commit at which a human said that it is ready; it counts only there
    hold: str | None = None  # why a human holds it back, perhaps in no words; None: nobody does
    after: tuple[str, ...] = ()  # names of sessions that come home before it
    held_back: str | None = None  # since when merge-ready leaves it out
    came_home: str | None = None  # when it last landed
    included: Mapping[str, str] = {}
    unknown: Mapping[str, Any] = {}  # keys of another version of wts

    def to_record(self) -> bytes:
        """Return the bytes of session.json: one key a line, so that a shell hook can read it too."""
        record = self._asdict()
        record.update(record.pop("unknown"))
        record.update(
            schema=SCHEMA, worktree=str(self.worktree), created=iso(self.created), setup=self.setup.value
        )
        return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def from_record(cls, content: bytes) -> Session:
        """Read session.json; raise WtsError when it is not one."""
        try:
            record: dict[str, Any] = json.loads(content)
            known = {*cls._fields} - {"unknown"}
            values = {key: value for key, value in record.items() if key in known}
            values["worktree"] = Path(values["worktree"])
            values["created"] = datetime.fromisoformat(values["created"])
            values["setup"] = Setup(values["setup"])
            values["conversations"] = tuple(values.get("conversations", ()))
            values["after"] = tuple(values.get("after", ()))
            if type(values["number"]) is not int or not all(isinstance(values[key], str) for key in TEXTS):
                raise TypeError("a value of the wrong type")
            values["unknown"] = {k: v for k, v in record.items() if k not in known and k != "schema"}
            return cls(**values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WtsError("bad-record", f"unreadable session record: {error!r}") from error

    def environment(self, main: Path) -> dict[str, str]:
        """Return the WTS_* variables that what runs inside the session sees."""
        return {
            "WTS_SESSION": self.name,
            "WTS_NUMBER": str(self.number),
            "WTS_FEATURE": self.feature,
            "WTS_BRANCH": self.branch,
            "WTS_PARENT": self.parent,
            "WTS_WORKTREE": str(self.worktree),
            "WTS_MAIN": str(main),
        }


class Fact(NamedTuple):
    """A fact that a state was told from: `source` is event, registry, agents, process or git; `at` in Unix seconds."""

    source: str
    at: float
    says: str


class StateNow(NamedTuple):
    """The state, since when (Unix seconds, None when unknown), the reason in words, and the facts that decided it.

    The reason of a session that waits is its question. `turn` is how many seconds the turn took that has just ended.
    Two are equal when they say the same, whatever the evidence.
    """

    state: State
    since: float | None
    reason: str | None = None
    facts: tuple[Fact, ...] = ()
    turn: float | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StateNow) and self[:3] == other[:3]

    def __ne__(self, other: object) -> bool:  # a tuple has one of its own
        return not self == other

    def __hash__(self) -> int:
        return hash(self[:3])

    def because(self, *facts: Fact) -> StateNow:
        """Return the same state with more evidence."""
        return self._replace(facts=(*self.facts, *facts))


class Look(NamedTuple):
    """A session as it was seen at one moment: its record, its state, and git's facts.

    `status`, `ahead` and `behind` are None when git could not tell; `problem` then says why. Unknown is not absent.
    `goal` is the first prompt, `said` the last sentence that the agent said, and `attended` when a human last had to do
    with it (Unix seconds): typed a prompt, started it, went to it. `operation` is the git operation that is open in its
    worktree. `unfinished` are the subjects of its own commits that are not meant to stay (fixup!, WIP); None when
    nobody asked for them, because something else keeps it from being ready, or git could not tell. `rivals` names those
    that the radar last found it in conflict with, where that is so still.
    """

    session: Session
    now: StateNow
    status: Status | None
    ahead: int | None
    behind: int | None
    landed: bool | None
    problem: str | None = None
    goal: str | None = None
    said: str | None = None
    attended: float = 0.0
    operation: str | None = None
    unfinished: tuple[str, ...] | None = None
    rivals: tuple[str, ...] = ()

    @property
    def has_work_at_risk(self) -> bool | None:
        """Changed or untracked files are here and nowhere else; None when that could not be found out."""
        return None if self.status is None else not self.status.is_clean


class Unreadable(NamedTuple):
    """A record that is there and can't be understood."""

    path: Path
    reason: str


class Blocker(NamedTuple):
    """One condition that keeps a session from being ready: a code, a sentence, the command that cures it."""

    code: str
    message: str
    cure: str | None = None


class Listing(NamedTuple):
    """What `wts list` found: the sessions, and everything beside them that wants to be known.

    `others` counts the worktrees that are not sessions, `current` names the session of the directory wts was
    asked from, `unfinished` describes half-made operations, `missing` names the sessions whose worktree is gone,
    `closed` counts those that `wts restore` can bring back.
    """

    looks: tuple[Look, ...]
    others: int = 0
    unreadable: tuple[Unreadable, ...] = ()
    current: str | None = None
    unfinished: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    closed: int = 0


def iso(moment: datetime) -> str:
    """Return a moment as UTC, to the second: 2026-01-31T12:00:00+00:00."""
    return moment.astimezone(timezone.utc).isoformat(timespec="seconds")
