"""The event tapes: what the real Claude Code told in each trap, played to the reducer as it was, doubled, reordered."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies

from tests.support import tapes
from tests.support.record_tapes import tape_of
from tests.support.tapes import Row, Tape, distinct, play
from tests.support.traps import TRAPS
from worktree_sessions.model.told import fold, from_json, to_json

NEWEST, OLDER = "2.1.330", "2.1.197"
TAPES = {f"{path.parent.name}/{path.stem}": tapes.read(path) for path in tapes.paths()}

# What the product promises to tell right, and the tapes that show it.
PROMISED = {
    "question approved": ["question-approved", "ask-user-question", "exit-plan-mode"],
    "question refused": ["question-refused"],
    "approved elsewhere": ["question-approved-elsewhere"],
    "Esc": ["esc"],
    "Ctrl-C twice": ["ctrl-c-twice"],
    "kill -9": ["kill-9", "kill-9-of-both"],
    "terminal closed": ["terminal-closed", "terminal-closed-busy"],
    "trust dialog": ["trust-accepted", "trust-refused", "trust-dismissed"],
    "background task": ["background-task"],
    "subagents": ["subagent", "subagent-asks", "subagent-asks-late"],
    "nested claude": ["nested", "nested-with-plugin"],
    "resume": ["resume"],
    "clear": ["clear"],
    "compact": ["compact"],
    "limit": ["limit"],
    "overload": ["overload"],
    "authentication lost": ["authentication-lost"],
    "two tools at once": ["two-tools"],
    "a crash before the first event": ["crash-before-first-event"],
    "what is no question and no end": ["idle-notification", "stop-held", "queued-prompt"],
}
ON_OLDER = {
    "background-task",
    "clear",
    "compact",
    "esc",
    "kill-9",
    "limit",
    "question-approved",
    "question-refused",
}

every_tape = pytest.mark.parametrize("tape", TAPES.values(), ids=TAPES)


# -- the corpus ------------------------------------------------------------------------------------


def test_each_promised_trap_has_a_tape_and_each_tape_a_promise() -> None:
    promised = {trap for traps in PROMISED.values() for trap in traps}
    assert {tape.trap for tape in TAPES.values() if tape.claude == NEWEST} == promised
    assert {tape.trap for tape in TAPES.values() if tape.claude == OLDER} == ON_OLDER
    assert set(TRAPS) == promised


@every_tape
def test_a_tape_tells_its_trap_and_its_version(tape: Tape) -> None:
    assert TAPES[f"{tape.claude}/{tape.trap}"] is tape
    assert (tape.about, tape.states) == (TRAPS[tape.trap].about, TRAPS[tape.trap].states)
    versions = {row["registry"]["version"] for row in tape.rows if row.get("registry")}
    assert versions <= {tape.claude}


@every_tape
def test_a_tape_holds_one_fact_a_line_in_the_order_they_were_seen(tape: Tape) -> None:
    kinds = [{"event", "registry", "alive", "launcher", "time", "seen"} & row.keys() for row in tape.rows]
    assert {len(kind) for kind in kinds} == {1}
    times = [row["at"] for row in tape.rows]
    assert times == sorted(times)
    assert times[0] == 1000.0


@pytest.mark.parametrize("path", tapes.paths(), ids=TAPES)
def test_no_path_or_id_of_the_recording_machine_is_left(path: Path) -> None:
    content = path.read_text()
    assert re.findall(r"(?<!/w)/(?:tmp|root|home|opt|work|usr|var|Users)\b[^\" ]*", content) == []
    assert re.findall(r"toolu_|[0-9a-f]{8}-[0-9a-f]{4}-|\b[0-9a-f]{12,}\b|sk-ant", content) == []
    assert all(row["pid"] < 10 for row in _dicts(path) if "pid" in row)
    assert re.findall(r"\b\d{9,}\b", content) == []


def _dicts(path: Path) -> Iterator[Row]:
    for line in path.read_text().splitlines():
        row = json.loads(line)
        yield row
        yield from (value for value in row.values() if isinstance(value, dict))


def test_the_recorder_refuses_a_tape_whose_states_are_not_the_declared_ones() -> None:
    tape = TAPES[f"{NEWEST}/esc"]
    seen = [{key: value for key, value in row.items() if key != "state"} for row in tape.rows]
    assert tape_of("esc", NEWEST, Path("/no/where"), seen) == tape
    without_registry = [row for row in seen if "registry" not in row]
    with pytest.raises(AssertionError, match="esc: starting idle working idle ended, not starting"):
        tape_of("esc", NEWEST, Path("/no/where"), without_registry)


# -- the verdict -----------------------------------------------------------------------------------


@every_tape
def test_the_state_after_every_fact(tape: Tape) -> None:
    states = [row["state"] for row in tape.rows]
    assert play(tape.rows) == states
    assert distinct(states) == tape.states


@every_tape
def test_a_fact_told_twice_changes_nothing(tape: Tape) -> None:
    twice = play(row for row in tape.rows for _ in range(2))
    assert twice[0::2] == twice[1::2] == [row["state"] for row in tape.rows]


@settings(deadline=None)
@given(strategies.data())
def test_a_log_folded_in_two_parts_is_as_one_folded_at_once(data: strategies.DataObject) -> None:
    events = data.draw(strategies.sampled_from(list(TAPES.values()))).told
    cut = data.draw(strategies.integers(0, len(events)))
    kept = json.loads(json.dumps(to_json(fold(events[:cut]))))
    assert to_json(fold(events[cut:], from_json(kept))) == to_json(fold(events))


def _pairs(rows: list[Row]) -> list[tuple[int, int]]:
    """Return the places of events of Claude that follow each other in the log."""
    places = [index for index, row in enumerate(rows) if "event" in row]
    return [pair for pair in itertools.pairwise(places) if not _of_launcher(*_events(rows, *pair))]


def _independent_pairs(rows: list[Row]) -> list[tuple[int, int]]:
    """Return the places of events that follow each other with no other fact between them, and may in any order."""
    return [
        (one, other)
        for one, other in _pairs(rows)
        if all("seen" in row for row in rows[one + 1 : other]) and are_independent(*_events(rows, one, other))
    ]


def _events(rows: list[Row], one: int, other: int) -> tuple[Row, Row]:
    return rows[one]["event"], rows[other]["event"]


def _of_launcher(*events: Row) -> bool:
    return any(event["event"] in ("launch", "exit") for event in events)


def _swapped(
    data: strategies.DataObject, rows: list[Row], pairs: list[tuple[int, int]], *, retimed: bool = False
) -> list[Row]:
    """Return the rows with one of the pairs of events in each other's places, each with its own time or the other's."""
    if not pairs:
        return rows
    one, other = data.draw(strategies.sampled_from(pairs))
    first, second = _events(rows, one, other)
    if retimed:
        first, second = {**first, "t": second["t"]}, {**second, "t": first["t"]}
    changed = list(rows)
    changed[one], changed[other] = {**rows[one], "event": second}, {**rows[other], "event": first}
    return changed


def are_independent(one: Row, other: Row) -> bool:
    """Return whether two events may come in any order.

    Those of different processes, of a subagent and the main conversation, the begins or the ends of tools that run at
    once, a question and the end of another tool, and the notification that nobody types.
    """
    if one["pid"] != other["pid"] or one.get("agent_id") != other.get("agent_id"):
        return True
    if "idle_prompt" in (one.get("notification_type"), other.get("notification_type")):
        return True
    kinds = {one["event"], other["event"]}
    if kinds in ({"PreToolUse"}, {"PostToolUse"}):
        return bool(one["tool_use_id"] != other["tool_use_id"])
    return kinds == {"PermissionRequest", "PostToolUse"} and one.get("what") != other.get("what")


# Every tape up to every fact of it.
BEGINNINGS = [(tape, tape.rows[:end]) for tape in TAPES.values() for end in range(1, len(tape.rows) + 1)]
FREE = [(tape, rows) for tape, rows in BEGINNINGS if _independent_pairs(rows)]


@settings(deadline=None)
@given(strategies.data())
def test_events_written_down_in_another_order_give_the_same_verdict(data: strategies.DataObject) -> None:
    """Hooks run at once, and who ends first writes first."""
    tape, rows = data.draw(strategies.sampled_from(BEGINNINGS))
    for _ in range(data.draw(strategies.integers(1, 8))):
        rows = _swapped(data, rows, _pairs(rows))
    assert play(rows)[-1] == tape.rows[len(rows) - 1]["state"]


@settings(deadline=None)
@given(strategies.data())
def test_independent_events_that_happen_in_another_order_give_the_same_verdict(
    data: strategies.DataObject,
) -> None:
    """Neighbours change places, each with the time of the other."""
    tape, rows = data.draw(strategies.sampled_from(FREE))
    for _ in range(data.draw(strategies.integers(1, 8))):
        rows = _swapped(data, rows, _independent_pairs(rows), retimed=True)
    assert play(rows)[-1] == tape.rows[len(rows) - 1]["state"]
