"""What a session's agent is doing, told from facts alone: events, Claude's registry, and whether it lives."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worktree_sessions.model.events import Event
from worktree_sessions.model.session import Fact, State, StateNow
from worktree_sessions.model.state import FRESH, LAG, Facts, verdict
from worktree_sessions.model.told import fold, from_json, to_json
from worktree_sessions.outside.claude import Registered

CREATED = 50.0
PID, WRAPPER, NESTED, LATER = 7, 6, 8, 9
ID, CLEARED = "first-conversation", "cleared-conversation"


def event(name: str, at: float, pid: int | None = PID, **fields: Any) -> Event:
    return Event(at, name, pid, fields)


def launch(at: float = 100, pid: int = PID, **fields: Any) -> Event:
    return event("launch", at, pid, **{"started": "start", "conversation": ID, **fields})


def exit_of(status: int, at: float = 200, pid: int = PID) -> Event:
    return event("exit", at, pid, status=status)


def started(at: float = 101, pid: int = PID, conversation: str = ID, source: str = "startup") -> Event:
    return event("SessionStart", at, pid, conversation=conversation, source=source)


def registered(status: str | None, updated: float | None, waiting_for: str | None = None) -> Registered:
    return Registered(PID, ID, Path("/w"), status, waiting_for, "start", None, None, None, updated)


def of(
    *events: Event,
    lives: bool | None = True,
    entry: Registered | None = None,
    now: float | None = None,
    host: str = "here",
    boot: str = "first",
) -> StateNow:
    """The state right after the last event, where nothing else is said."""
    told = fold(events)
    facts = Facts(told.latest if now is None else now, lives, entry, "registry", host, boot)
    return verdict(told, facts, created=CREATED)


def after(*events: Event) -> StateNow:
    """The state of a Claude that was started, was ready at 101, and then told this."""
    return of(launch(), started(), *events)


PROMPT = event("UserPromptSubmit", 110, prompt="Build it")
BROKEN_OFF = "its turn was broken off (Esc), or what it asked was refused"
ASKS = "may it run `rm -r build`?"
CALL: dict[str, Any] = {"tool_name": "Bash", "what": "rm -r build"}
ASKED = event("PermissionRequest", 120, **CALL)


@pytest.mark.parametrize(
    ("told", "state", "since", "reason"),
    [
        # nothing yet, and the start
        ((), State.IDLE, 101, None),
        # working: a prompt was submitted, a tool starts or ended
        ((PROMPT,), State.WORKING, 110, None),
        ((PROMPT, event("PreToolUse", 111), event("PostToolUse", 112)), State.WORKING, 110, None),
        ((PROMPT, ASKED, event("PostToolUse", 130, **CALL)), State.WORKING, 130, None),
        ((PROMPT, ASKED, event("PostToolUseFailure", 130, **CALL)), State.WORKING, 130, None),
        # waiting: a permission, at once; its notification lags and adds nothing
        ((PROMPT, ASKED), State.WAITING, 120, ASKS),
        (
            (PROMPT, ASKED, event("Notification", 126, notification_type="permission_prompt", message="x")),
            State.WAITING,
            120,
            ASKS,
        ),
        ((PROMPT, event("PermissionRequest", 120, tool_name="Bash")), State.WAITING, 120, "may it use Bash?"),
        # two tools at once: the end of the other answers nothing
        ((PROMPT, ASKED, event("PostToolUse", 130, tool_name="Read")), State.WAITING, 120, ASKS),
        (
            (PROMPT, ASKED, event("PermissionRequest", 121, tool_name="Write", what="a.py")),
            State.WAITING,
            120,
            f"{ASKS} (and 1 more)",
        ),
        # what a subagent asks is asked of the human
        ((PROMPT, event("PermissionRequest", 120, agent_id="a1", **CALL)), State.WAITING, 120, ASKS),
        (
            (
                PROMPT,
                event("PermissionRequest", 120, agent_id="a1", **CALL),
                event("Stop", 130, background=1),
            ),
            State.WAITING,
            120,
            ASKS,
        ),
        (
            (
                PROMPT,
                event("PermissionRequest", 120, agent_id="a1", **CALL),
                event("Stop", 130, background=0),
            ),
            State.IDLE,
            130,
            None,
        ),
        # after a refusal the next prompt is the next fact; one that Claude makes itself answers nothing
        ((PROMPT, ASKED, event("UserPromptSubmit", 140, prompt="Then so")), State.WORKING, 140, None),
        # waiting: a question
        (
            (PROMPT, event("PermissionRequest", 120, tool_name="AskUserQuestion", what="Which form?")),
            State.WAITING,
            120,
            "Which form?",
        ),
        (
            (PROMPT, event("PermissionRequest", 120, tool_name="ExitPlanMode")),
            State.WAITING,
            120,
            "may it carry out its plan?",
        ),
        ((PROMPT, event("Elicitation", 120, message="Your name?")), State.WAITING, 120, "Your name?"),
        # an idle prompt is not a question
        (
            (PROMPT, event("Stop", 130), event("Notification", 190, notification_type="idle_prompt")),
            State.IDLE,
            130,
            None,
        ),
        # background: the turn ended, tasks or timers are left
        ((PROMPT, event("Stop", 130, background=2, timers=0)), State.BACKGROUND, 130, "2 still running"),
        ((PROMPT, event("Stop", 130, background=0, timers=1)), State.BACKGROUND, 130, "1 still running"),
        # idle: the turn ended otherwise; held back by our own Stop hook, it goes on
        ((PROMPT, event("Stop", 130, last_assistant_message="Done.")), State.IDLE, 130, None),
        ((PROMPT, event("Stop", 130), event("StopHeld", 131)), State.WORKING, 131, None),
        ((PROMPT, event("Stop", 130), event("StopHeld", 131), event("Stop", 140)), State.IDLE, 140, None),
        # limited, failed: by the kind of the error; overload is not a quota
        ((PROMPT, event("StopFailure", 130, error="rate_limit")), State.LIMITED, 130, "rate limit"),
        ((PROMPT, event("StopFailure", 130, error="server_error")), State.FAILED, 130, "server error"),
        ((PROMPT, event("StopFailure", 130)), State.FAILED, 130, "the turn failed"),
        ((event("StopFailure", 105, error="rate_limit"), PROMPT), State.WORKING, 110, None),
        # ended; /clear and /resume end no process
        ((event("SessionEnd", 130, reason="other"),), State.ENDED, 130, None),
        ((PROMPT, event("Stop", 130), event("SessionEnd", 140, reason="clear")), State.IDLE, 130, None),
        (
            (
                event("StopFailure", 130),
                event("SessionEnd", 140, reason="clear"),
                started(141, source="clear"),
            ),
            State.IDLE,
            141,
            None,
        ),
        # a compaction begins nothing anew
        ((PROMPT, started(120, source="compact")), State.WORKING, 110, None),
        # subagents change nothing, whatever they do
        ((PROMPT, event("SubagentStop", 120), event("Stop", 121, agent_id="a1")), State.WORKING, 110, None),
        ((PROMPT, event("Stop", 130), event("PreToolUse", 140, agent_id="a1")), State.IDLE, 130, None),
        # a nested claude changes nothing
        ((PROMPT, started(120, NESTED, "its own"), event("Stop", 121, NESTED)), State.WORKING, 110, None),
        # a process that could not be told counts as the session's own
        ((event("UserPromptSubmit", 110, None),), State.WORKING, 110, None),
        # what a newer version may tell
        ((PROMPT, event("SomethingNew", 120)), State.WORKING, 110, None),
    ],
)
def test_each_row_of_events(told: tuple[Event, ...], state: State, since: float, reason: str | None) -> None:
    assert after(*told) == StateNow(state, since, reason)


@pytest.mark.parametrize(
    ("told", "entry", "expected"),
    [
        # an approval fires no hook
        ((PROMPT, ASKED), registered("busy", 125), StateNow(State.WORKING, 125)),
        # Esc and a refusal neither
        ((PROMPT,), registered("idle", 125), StateNow(State.INTERRUPTED, 125, BROKEN_OFF)),
        (
            (PROMPT, ASKED),
            registered("idle", 125),
            StateNow(State.INTERRUPTED, 125, BROKEN_OFF),
        ),
        # the permission of a subagent
        (
            (PROMPT,),
            registered("waiting", 125, "dialog open"),
            StateNow(State.WAITING, 125, "an open dialog"),
        ),
        ((PROMPT,), registered("waiting", 125), StateNow(State.WAITING, 125, "a question")),
        # where both agree the event's detail stays
        (
            (PROMPT, ASKED),
            registered("waiting", 125, "permission prompt"),
            StateNow(State.WAITING, 120, ASKS),
        ),
        ((PROMPT,), registered("busy", 125), StateNow(State.WORKING, 110)),
        ((PROMPT, event("Stop", 130)), registered("idle", 131), StateNow(State.IDLE, 130)),
        # one without a status says nothing, nor does a word of a newer version
        ((PROMPT,), registered(None, 125), StateNow(State.WORKING, 110)),
        ((PROMPT,), registered("some new word", 125), StateNow(State.WORKING, 110)),
        # a subagent in the background keeps it busy after the turn's end
        (
            (PROMPT, event("Stop", 130, background=1)),
            registered("busy", 110),
            StateNow(State.BACKGROUND, 130, "1 still running"),
        ),
        (
            (PROMPT, event("Stop", 130, background=1)),
            registered("busy", 135),
            StateNow(State.BACKGROUND, 130, "1 still running"),
        ),
        # a Stop hook sends it on, or a prompt was queued: the turn's end is none
        ((PROMPT, event("Stop", 130)), registered("busy", 111), StateNow(State.WORKING, 111)),
        ((PROMPT, event("Stop", 130)), registered("busy", 130.1), StateNow(State.WORKING, 130.1)),
        # a command in the background
        (
            (PROMPT, event("Stop", 130, background=1)),
            registered("shell", 131),
            StateNow(State.BACKGROUND, 130, "1 still running"),
        ),
        (
            (PROMPT, event("Stop", 130)),
            registered("shell", 131),
            StateNow(State.BACKGROUND, 131, "a command still running"),
        ),
        # what the registry does not know stays
        (
            (PROMPT, event("Stop", 130, background=1)),
            registered("idle", 131),
            StateNow(State.BACKGROUND, 130, "1 still running"),
        ),
        (
            (PROMPT, event("StopFailure", 130, error="rate_limit")),
            registered("idle", 131),
            StateNow(State.LIMITED, 130, "rate limit"),
        ),
    ],
)
def test_the_registry_wins_where_it_is_later(
    told: tuple[Event, ...], entry: Registered, expected: StateNow
) -> None:
    assert of(launch(), started(), *told, entry=entry, now=136 + LAG) == expected


def test_a_question_that_was_refused_waits_until_idle_is_believed() -> None:
    told = (launch(), started(), PROMPT, ASKED)
    idle = registered("idle", 125)
    assert of(*told, entry=idle, now=125 + LAG) == StateNow(State.WAITING, 120, ASKS)
    assert of(*told, entry=idle, now=126 + LAG) == StateNow(State.INTERRUPTED, 125, BROKEN_OFF)


def test_idle_is_believed_once_it_lasts_since_a_failure_is_told_after_it() -> None:
    told = (launch(), started(), PROMPT)
    idle = registered("idle", 125)
    assert of(*told, entry=idle, now=125 + LAG) == StateNow(State.WORKING, 110)
    assert of(*told, entry=idle, now=126 + LAG) == StateNow(State.INTERRUPTED, 125, BROKEN_OFF)
    failed = event("StopFailure", 125.035, error="rate_limit")
    assert of(*told, failed, entry=idle, now=126 + LAG) == StateNow(State.LIMITED, 125.035, "rate limit")


def test_a_registry_that_has_not_followed_yet_says_nothing_and_then_wins() -> None:
    told = (launch(), started(), PROMPT, ASKED)
    older = registered("busy", 119)
    assert of(*told, entry=older) == StateNow(State.WAITING, 120, ASKS)
    assert of(*told, entry=older, now=120 + LAG) == StateNow(State.WAITING, 120, ASKS)
    assert of(*told, entry=older, now=121 + LAG) == StateNow(State.WORKING, 120)
    undated = registered("idle", None)
    assert of(launch(), started(), PROMPT, entry=undated) == StateNow(State.WORKING, 110)
    assert of(launch(), started(), PROMPT, entry=undated, now=111 + LAG) == StateNow(
        State.INTERRUPTED, 110, BROKEN_OFF
    )


def test_an_answer_that_only_the_registry_told_stays_answered_when_another_tool_ends() -> None:
    told = (launch(), started(), PROMPT, ASKED, event("PostToolUse", 130, tool_name="Read"))
    assert of(*told, entry=registered("busy", 125), now=131 + LAG).state is State.WORKING


def test_what_was_answered_stays_answered_whatever_is_heard_later() -> None:
    """The registry is not written again when the turn of a background subagent ends."""
    asked = event("PermissionRequest", 120, agent_id="a1", **CALL)
    told = (launch(), started(), PROMPT, asked, event("Stop", 126, background=1))
    assert of(*told, entry=registered("busy", 125)) == StateNow(State.BACKGROUND, 126, "1 still running")


def test_an_exit_that_is_about_to_be_told_is_waited_for() -> None:
    told = fold((launch(), started(), PROMPT))
    gone = Facts(130, alive=False, will_be_told=True)
    assert verdict(told, gone, created=CREATED) == StateNow(State.WORKING, 110)
    assert verdict(told, gone._replace(will_be_told=False), created=CREATED).state is State.FAILED


def test_a_stopped_claude_does_not_work_but_still_asks() -> None:
    for told, state in (((), State.IDLE), ((PROMPT,), State.INTERRUPTED), ((PROMPT, ASKED), State.WAITING)):
        facts = Facts(130, alive=True, is_stopped=True)
        assert verdict(fold((launch(), started(), *told)), facts, created=CREATED).state is state


def test_without_a_registry_nothing_lasts_for_ever() -> None:
    told = (launch(), started(), PROMPT)
    assert of(*told, now=110 + FRESH) == StateNow(State.WORKING, 110)
    stale = of(*told, now=111 + FRESH)
    assert (stale.state, stale.since) == (State.UNKNOWN, 110)
    assert of(*told, entry=registered("busy", 110), now=111 + FRESH).state is State.WORKING


def test_after_a_restart_of_the_machine_every_session_is_parked() -> None:
    before = launch(host="here", boot="first")
    for told in ((before, started(), PROMPT), (before, exit_of(143)), (before, exit_of(1))):
        now = of(*told, lives=False, boot="second")
        assert (now.state, now.reason) == (State.PARKED, "the machine was restarted")
    assert of(before, started(), lives=False, boot="first").state is State.FAILED
    elsewhere = of(before, started(), lives=False, host="there", boot="second")
    assert (elsewhere.state, elsewhere.reason) == (
        State.UNKNOWN,
        "it was started on here, which can't be seen from here",
    )


def test_a_clock_that_is_set_back_moves_what_was_told_before() -> None:
    told = (launch(5000), started(5001), event("UserPromptSubmit", 5010), event("Stop", 1000))
    assert of(*told) == StateNow(State.IDLE, 1000)
    assert of(*told, event("UserPromptSubmit", 1010)) == StateNow(State.WORKING, 1010)


def test_two_states_that_say_the_same_are_equal_whatever_the_evidence() -> None:
    plain, proven = (
        StateNow(State.IDLE, 1),
        StateNow(State.IDLE, 1, facts=(Fact("event", 1, "Stop"),), turn=2),
    )
    assert plain == proven
    assert not plain != proven  # noqa: SIM202  # a tuple has an inequality of its own
    assert len({plain, proven}) == 1
    assert plain != StateNow(State.IDLE, 2)


def test_a_clock_that_was_set_back_leaves_the_first_prompt_the_goal() -> None:
    first, second = (
        event("UserPromptSubmit", at, prompt=text) for at, text in ((5010, "first"), (1000, "second"))
    )
    assert fold((launch(5000), started(5001), first, second)).own().goal == (1000, "first")


def test_one_event_of_a_far_future_leaves_every_time_one_that_a_calendar_has() -> None:
    now = of(launch(), started(), event("UserPromptSubmit", 9e10), event("Stop", 120))
    assert (now.state, now.since) == (State.IDLE, 120)
    assert all(fact.at >= 0 for fact in now.facts)


def test_while_a_clock_that_was_set_back_has_not_caught_up_the_registry_wins() -> None:
    told = (launch(5000), started(5001), event("UserPromptSubmit", 5010))
    assert of(*told, entry=registered("idle", 5020), now=1000).state is State.INTERRUPTED
    assert of(*told, entry=registered("idle", 1000), now=1002).state is State.INTERRUPTED


def test_a_question_that_was_approved_is_not_asked_again_by_the_next_one() -> None:
    """What was approved may run for long: its tool's end is not told yet when something else is asked."""
    approved = event("PermissionRequest", 120, agent_id="a1", tool_name="Bash", what="make")
    told = (launch(), started(), PROMPT, approved, event("PermissionRequest", 150, **CALL))
    assert of(*told, entry=registered("waiting", 150.02)) == StateNow(State.WAITING, 150, ASKS)
    both = of(*told, entry=registered("waiting", 120.02))
    assert both == StateNow(State.WAITING, 120, "may it run `make`? (and 1 more)")


@pytest.mark.parametrize("odd", ["/a\0b", "/a\ud800b"])
def test_a_directory_that_no_system_takes_was_not_told(odd: str) -> None:
    told = fold((launch(config=odd),))
    assert told.launch is not None
    assert told.launch.config is None


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        (0, State.ENDED, None),
        (-signal.SIGHUP, State.ENDED, "ended by SIGHUP"),
        (129, State.ENDED, "ended by SIGHUP"),
        (143, State.ENDED, "ended by SIGTERM"),
        (-signal.SIGKILL, State.FAILED, "Claude was killed by SIGKILL"),
        (137, State.FAILED, "Claude was killed by SIGKILL"),
        (-signal.SIGSEGV, State.FAILED, "Claude was killed by SIGSEGV"),
        (-126, State.FAILED, "Claude was killed by signal 126"),
        (1, State.FAILED, "Claude ended with exit status 1"),
    ],
)
def test_an_exit_is_told_from_a_crash(status: int, state: State, reason: str | None) -> None:
    told = (launch(), started(), PROMPT, exit_of(status))
    assert of(*told, lives=False) == StateNow(state, 200, reason)
    late = event("SessionEnd", 201, reason="other")
    assert of(*told, late, lives=False) == StateNow(state, 200, reason)


def test_before_any_start_it_is_parked() -> None:
    assert of() == StateNow(State.PARKED, CREATED, "Claude was not started")


def test_a_start_that_tells_nothing_is_starting_and_then_a_question() -> None:
    assert of(launch(), now=107) == StateNow(State.STARTING, 100)
    question = "a question before it starts: is this directory trusted?"
    assert of(launch(), now=109) == StateNow(State.WAITING, 100, question)
    assert of(launch(), entry=registered(None, 101), now=109).state is State.STARTING
    assert of(launch(), entry=registered("idle", 101), now=109) == StateNow(State.IDLE, 101)


def test_a_claude_that_is_gone_failed_unless_it_said_goodbye() -> None:
    gone = "Claude is gone and its launcher told nothing: killed"
    assert of(launch(), started(), PROMPT, lives=False) == StateNow(State.FAILED, 110, gone)
    assert of(launch(), lives=False) == StateNow(State.FAILED, 100, gone)
    ended = event("SessionEnd", 130, reason="other")
    assert of(launch(), started(), ended, lives=False) == StateNow(State.ENDED, 130)


def test_what_can_not_be_watched_is_unknown() -> None:
    assert of(launch(started=""), lives=False).state is State.UNKNOWN
    assert of(launch(started=""), exit_of(0), lives=False).state is State.ENDED


def test_one_that_another_program_started_has_ended_when_it_is_gone() -> None:
    assert of(launch(by="claude"), lives=False).state is State.ENDED


def test_a_late_end_after_a_new_start_is_ignored() -> None:
    first = (launch(), started(), PROMPT)
    second = (launch(300, LATER), started(301, LATER))
    late = event("SessionEnd", 302, reason="other")
    assert of(*first, *second, late, exit_of(129, 303)) == StateNow(State.IDLE, 301)
    assert of(*first, *second, lives=False).state is State.FAILED


def test_a_resume_that_failed_is_ignored() -> None:
    """It tells an end without a start, from a process of its own."""
    failed = event("SessionEnd", 120, LATER, reason="other", conversation=ID)
    assert after(PROMPT, failed) == StateNow(State.WORKING, 110)


def test_claude_behind_a_wrapper_is_known_by_its_conversation() -> None:
    told = (launch(pid=WRAPPER), started(), PROMPT, event("Stop", 130))
    assert of(*told) == StateNow(State.IDLE, 130)
    assert of(*told, exit_of(137, pid=WRAPPER), lives=False).state is State.FAILED


def test_a_background_claude_that_was_attached_again_goes_on() -> None:
    told = (
        launch(),
        started(),
        started(150, LATER, source="resume"),
        event("SessionEnd", 151, reason="other"),
        event("UserPromptSubmit", 160, LATER),
    )
    assert of(*told, entry=registered("busy", 161)) == StateNow(State.WORKING, 160)


def test_the_conversations_are_remembered_the_newest_last() -> None:
    assert fold([]).history() == []
    assert fold([launch()]).history() == [ID]
    nested = started(110, NESTED, "another's")
    assert fold([launch(), started(), nested]).history() == [ID]
    cleared = started(120, conversation=CLEARED, source="clear")
    assert fold([launch(), started(), cleared]).history() == [ID, CLEARED]
    again = launch(300, LATER, conversation=CLEARED)
    assert fold([launch(), started(), cleared, again]).history() == [ID, CLEARED]
    back = started(310, LATER, source="resume")
    assert fold([launch(), started(), cleared, again, back]).history() == [CLEARED, ID]


NAMES = st.sampled_from(
    (
        *(
            "SessionStart",
            "UserPromptSubmit",
            "PreToolUse",
            "PostToolUse",
            "PermissionRequest",
            "Elicitation",
        ),
        *("Notification", "Stop", "StopHeld", "StopFailure", "SessionEnd", "launch", "exit"),
    )
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "conversation": st.sampled_from((ID, CLEARED)),
        "source": st.sampled_from(("startup", "clear", "compact")),
        "reason": st.sampled_from(("clear", "other")),
        "notification_type": st.sampled_from(("permission_prompt", "idle_prompt")),
        "error": st.sampled_from(("rate_limit", "server_error")),
        "agent_id": st.just("a1"),
        "tool_name": st.just("Bash"),
        "background": st.integers(0, 1),
        "status": st.sampled_from((0, 1, -9, 143)),
        "started": st.just("start"),
    },
)
LOGS = st.lists(st.tuples(NAMES, st.sampled_from((None, WRAPPER, PID, NESTED)), FIELDS), max_size=12)
ENTRIES = st.one_of(
    st.none(),
    st.builds(registered, st.sampled_from(("busy", "idle", "waiting")), st.floats(100, 120)),
)


@given(LOGS, ENTRIES, st.booleans())
def test_events_that_are_told_twice_change_nothing(
    rows: list[tuple[str, int | None, dict[str, Any]]], entry: Registered | None, lives: bool
) -> None:
    events = [Event(100.0 + n, name, pid, fields) for n, (name, pid, fields) in enumerate(rows)]
    doubled = [event for event in events for _ in range(2)]
    assert of(*doubled, lives=lives, entry=entry) == of(*events, lives=lives, entry=entry)
    assert fold(doubled).history() == fold(events).history()


@given(LOGS, st.integers(0, 12))
def test_what_is_kept_in_between_makes_no_difference(
    rows: list[tuple[str, int | None, dict[str, Any]]], cut: int
) -> None:
    events = [Event(100.0 + n, name, pid, fields) for n, (name, pid, fields) in enumerate(rows)]
    kept = json.loads(json.dumps(to_json(fold(events[:cut]))))
    assert to_json(fold(events[cut:], from_json(kept))) == to_json(fold(events))


@given(LOGS, ENTRIES)
def test_whatever_is_told_a_state_has_a_time_and_an_unwatched_end_is_never_working(
    rows: list[tuple[str, int | None, dict[str, Any]]], entry: Registered | None
) -> None:
    events = [Event(100.0 + n, name, pid, fields) for n, (name, pid, fields) in enumerate(rows)]
    gone = of(*events, lives=False)
    assert gone.state in (State.PARKED, State.ENDED, State.FAILED, State.UNKNOWN)
    assert gone.since is not None
    assert of(*events, entry=entry).since is not None
