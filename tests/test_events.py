"""The event log is read once, in order and whole, whoever writes, moves or reads at the same time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worktree_sessions.errors import WtsError
from worktree_sessions.model import events as events_module
from worktree_sessions.model import store as store_module
from worktree_sessions.model.events import Event, load_events, parse, read_events
from worktree_sessions.model.store import Store
from worktree_sessions.model.told import Told, fold, to_json
from worktree_sessions.outside import assets

ROOT = Path(__file__).parent.parent
NAME = "auth-frontend"
LAUNCH = {"v": 1, "t": 100.0, "event": "launch", "pid": 7, "started": "1", "conversation": "c", "host": "h"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with the directory of one session."""
    store = Store(tmp_path)
    store.session_dir(NAME).mkdir(parents=True)
    return store


def row(number: int, event: str = "UserPromptSubmit", **fields: object) -> dict[str, Any]:
    return {
        "v": 1,
        "t": 100.0 + number,
        "event": event,
        "pid": 7,
        "prompt": f"{number} " + "x" * 80,
        **fields,
    }


def lines(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(one, separators=(",", ":")).encode() + b"\n" for one in rows)


def write(path: Path, *rows: dict[str, Any]) -> None:
    with path.open("ab") as file:
        file.write(lines(*rows))


def told_now(store: Store) -> dict[str, Any]:
    """All that was told, of which most was added up before."""
    return to_json(store.told(NAME))


def afresh(store: Store) -> dict[str, Any]:
    """All of the log folded at once, without what was kept."""
    return to_json(fold(load_events(store.events_file(NAME))))


def prompts(events: list[Event]) -> list[str]:
    return [(event.text("prompt") or "").rstrip("x ") for event in events]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every line that is parsed from now on."""
    seen: list[bytes] = []

    def counting(line: bytes) -> Event | None:
        seen.append(line)
        return parse(line)

    monkeypatch.setattr(events_module, "parse", counting)
    return seen


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of each piece that is read from the log from now on."""
    sizes: list[int] = []
    pread = os.pread

    def counting(descriptor: int, size: int, offset: int) -> bytes:
        content = pread(descriptor, size, offset)
        sizes.append(len(content))
        return content

    monkeypatch.setattr(os, "pread", counting)
    return sizes


# -- lines -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"x",
        b"[]",
        b"7",
        b'{"t": 1}',
        b'{"event": "Stop"}',
        b'{"t": null, "event": "Stop"}',
        b'{"t": NaN, "event": "Stop"}',
        b'{"t": Infinity, "event": "Stop"}',
        b'{"t": 1e999, "event": "Stop"}',
        b'{"t": ' + b"9" * 400 + b', "event": "Stop"}',
        b'{"t": ' + b"9" * 5000 + b', "event": "Stop"}',
        b'{"t": {}, "event": "Stop"}',
        b'{"t": 1e300, "event": "Stop"}',
        b'{"t": 100000000000, "event": "Stop"}',
        b'{"t": -1, "event": "Stop"}',
        b'{"t": true, "event": "Stop"}',
        b'{"t": "7", "event": "Stop"}',
        b"[" * 100_000,
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_event_is_passed_over(store: Store, line: bytes) -> None:
    store.events_file(NAME).write_bytes(lines(LAUNCH) + line + b"\n" + lines(row(1)))
    assert [event.name for event in load_events(store.events_file(NAME))] == ["launch", "UserPromptSubmit"]
    assert store.told(NAME).count == 2


@pytest.mark.parametrize("pid", ["true", "0", "-1", "1e3", '"7"', "2147483648", "9" * 60])
def test_what_is_no_pid_is_none_and_what_is_no_number_is_nought(pid: str) -> None:
    event = parse(b'{"t": 1, "event": "Stop", "pid": %s, "background": true}' % pid.encode())
    assert event is not None
    assert (event.pid, event.number("background")) == (None, 0)


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_a_line_behind_one_that_a_full_disk_tore_is_not_lost(separators: tuple[str, str]) -> None:
    whole = json.dumps(row(2, what='say {"v":1}'), separators=separators).encode()
    for cut in range(1, 40):
        event = parse(lines(row(1))[:cut] + whole)
        assert event is not None
        assert (event.at, event.fields["what"]) == (102.0, 'say {"v":1}')


def test_a_line_that_is_being_written_is_read_when_it_is_whole(store: Store) -> None:
    log = store.events_file(NAME)
    write(log, LAUNCH, *(row(number) for number in range(60)))
    for cut in (1, 50):
        line = lines(row(100 + cut))
        with log.open("ab") as file:
            file.write(line[:cut])
        before = store.told(NAME).count
        assert store.told(NAME).count == before
        with log.open("ab") as file:
            file.write(line[cut:])
        told = store.told(NAME)
        assert (told.count, told.latest) == (before + 1, 200.0 + cut)


def test_a_log_that_can_not_be_read_is_an_error_and_not_an_empty_one(store: Store) -> None:
    """Else a running Claude would count as none, and its session could be closed."""
    store.events_file(NAME).mkdir()
    with pytest.raises(WtsError) as error:
        store.told(NAME)
    assert error.value.code == "bad-log"
    assert error.value.message == f"{store.events_file(NAME)} can't be read: Is a directory"


def test_a_session_without_a_log_has_told_nothing(store: Store) -> None:
    for name in (NAME, "gone"):
        assert to_json(store.told(name)) == to_json(Told())
    assert os.listdir(store.session_dir(NAME)) == []


# -- read once -------------------------------------------------------------------------------------


def test_events_are_read_once_and_then_only_the_new_ones(
    store: Store, parsed: list[bytes], bytes_read: list[int]
) -> None:
    log = store.events_file(NAME)
    write(log, LAUNCH, *(row(number) for number in range(2000)))
    size = log.stat().st_size
    store.told(NAME)
    assert len(parsed) == 2001
    assert sum(bytes_read) <= size + events_module.BEGINNING

    parsed.clear()
    bytes_read.clear()
    assert store.told(NAME).count == 2001
    assert parsed == []
    assert sum(bytes_read) <= events_module.BEGINNING

    write(log, row(2000), row(2001))
    told = store.told(NAME)
    assert parsed == lines(row(2000), row(2001)).splitlines()
    assert sum(bytes_read) <= log.stat().st_size - size + 2 * events_module.BEGINNING
    parsed.clear()
    assert (told.count, to_json(told)) == (2003, afresh(store))


def test_events_that_were_moved_aside_are_not_read_again(store: Store, parsed: list[bytes]) -> None:
    log = store.events_file(NAME)
    write(log, LAUNCH, *(row(number) for number in range(100)))
    store.told(NAME)
    log.rename(log.with_name("events-1.jsonl"))
    parsed.clear()
    assert store.told(NAME).count == 101
    write(log, row(100))
    write(log.with_name("events-1.jsonl"), row(101))  # by one who had it open
    assert store.told(NAME).count == 103
    assert sorted(parsed) == lines(row(100), row(101)).splitlines()


def test_parts_are_read_in_the_order_of_their_numbers(store: Store) -> None:
    log = store.events_file(NAME)
    for number, name in enumerate(["events-2.jsonl", "events-9.jsonl", "events-10.jsonl", "events.jsonl"]):
        write(log.with_name(name), row(number))
    for foreign in ("events-x.jsonl", "events-1.jsonl.bak", "old-events-1.jsonl", ".events-1.jsonl.swp"):
        write(log.with_name(foreign), row(99))
    assert prompts(load_events(log)) == ["0", "1", "2", "3"]


NO_CACHE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut short": lambda kept: kept[: len(kept) // 2],
    "zeros": lambda kept: b"\0" * len(kept),
    "a list": lambda _: b"[]",
    "null": lambda _: b"null",
    "deep": lambda _: b"[" * 100_000,
    "of another version": lambda kept: kept.replace(b'"version": ', b'"version": 9'),
    "without a version": lambda kept: kept.replace(b'"version"', b'"edition"'),
    "a key missing": lambda kept: kept.replace(b'"heard"', b'"herd"'),
    "another shape": lambda kept: kept.replace(b'"heard": [', b'"heard": [7, '),
    "a list too short": lambda kept: kept.replace(b'"goal": null', b'"goal": []'),
    "read as a list": lambda kept: json.dumps({**json.loads(kept), "read": ["x"]}).encode(),
    "read as words": lambda kept: json.dumps({**json.loads(kept), "read": {"x": "far"}}).encode(),
    "another log": lambda kept: json.dumps({**json.loads(kept), "read": {"1 {": 9}}).encode(),
}


@pytest.mark.parametrize("spoil", NO_CACHE.values(), ids=NO_CACHE.keys())
def test_what_was_kept_is_made_again_when_it_can_not_be_used(
    store: Store, parsed: list[bytes], spoil: Callable[[bytes], bytes]
) -> None:
    write(store.events_file(NAME), LAUNCH, *(row(number) for number in range(100)))
    told = told_now(store)
    kept = store.session_dir(NAME) / "told.json"
    sound = kept.read_bytes()
    kept.write_bytes(spoil(sound))
    parsed.clear()
    assert told_now(store) == told
    assert len(parsed) == 101
    assert kept.read_bytes() == sound


def _shortened(log: Path) -> None:
    os.truncate(log, 3000)


def _rewritten(log: Path) -> None:
    """By another log that is longer, in the same file."""
    log.write_bytes(lines({**LAUNCH, "t": 555.0}, *(row(number) for number in range(600, 1000))))


def _replaced(log: Path) -> None:
    other = log.with_name("other")
    write(other, LAUNCH, *(row(number) for number in range(300)))
    os.replace(other, log)


def _removed(log: Path) -> None:
    log.unlink()


@pytest.mark.parametrize("change", [_shortened, _rewritten, _replaced, _removed])
def test_a_log_that_is_not_the_one_that_was_read_is_read_again(
    store: Store, change: Callable[[Path], None]
) -> None:
    log = store.events_file(NAME)
    write(log, LAUNCH, *(row(number) for number in range(200)))
    before = told_now(store)
    change(log)
    told = told_now(store)
    assert told != before
    assert told == afresh(store)


def test_where_nothing_can_be_kept_it_is_told_all_the_same(store: Store) -> None:
    write(store.events_file(NAME), LAUNCH, *(row(number) for number in range(100)))
    (store.session_dir(NAME) / "told.json").mkdir()
    assert told_now(store) == afresh(store)
    assert sorted(os.listdir(store.session_dir(NAME))) == ["events.jsonl", "told.json"]


@pytest.mark.skipif(os.getuid() == 0, reason="root writes everywhere")
def test_a_directory_that_is_read_only_is_read(store: Store) -> None:
    write(store.events_file(NAME), LAUNCH, *(row(number) for number in range(100)))
    store.session_dir(NAME).chmod(0o555)
    try:
        assert told_now(store) == afresh(store)
        assert os.listdir(store.session_dir(NAME)) == ["events.jsonl"]
    finally:
        store.session_dir(NAME).chmod(0o755)


READER = """
import json, sys
from pathlib import Path
from worktree_sessions.model.store import Store
from worktree_sessions.model.told import to_json
for _ in range(20):
    told = Store(Path(sys.argv[1])).told(sys.argv[2])
print(json.dumps(to_json(told)))
"""


def test_four_readers_at_once_agree(store: Store) -> None:
    log = store.events_file(NAME)
    write(log, LAUNCH, *(row(number) for number in range(3000)))
    words = [sys.executable, "-c", READER, str(store.root.parent), NAME]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    readers = [subprocess.Popen(words, stdout=subprocess.PIPE, env=env) for _ in range(4)]
    answers = {reader.communicate()[0] for reader in readers}
    assert {json.dumps(json.loads(answer)) for answer in answers} == {json.dumps(afresh(store))}
    assert sorted(os.listdir(store.session_dir(NAME))) == ["events.jsonl", "told.json"]


# -- written, moved aside and read at the same time ------------------------------------------------

LIMIT = 3000  # bytes instead of 4 MiB: some 20 lines a part
TURNS = 150
WRITER = """
import sys
import event
for turn in range(int(sys.argv[2])):
    data = {"prompt": f"{turn} " + "x" * 60, "session_id": "c"}
    event.append(sys.argv[1], event.line_of("UserPromptSubmit", data))
"""


def with_limit(place: Path, limit: int) -> Path:
    """Copy the handler, with another limit for its log; return its directory."""
    place.mkdir(parents=True)
    script = (assets.hooks_dir() / "claude" / "event.py").read_text()
    assert script.count("LIMIT = 4 << 20 ") == 1
    (place / "event.py").write_text(script.replace("LIMIT = 4 << 20 ", f"LIMIT = {limit} "))
    return place


@pytest.fixture
def writers(store: Store, tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Eight processes that each write TURNS lines as the handler does."""
    plugin = with_limit(tmp_path / "plugin", LIMIT)
    words = [sys.executable, "-S", "-c", WRITER, str(store.session_dir(NAME)), str(TURNS)]
    started = [
        subprocess.Popen(words, cwd=plugin, env={"CLAUDE_PID": str(number), "PYTHONPATH": str(plugin)})
        for number in range(1, 9)
    ]
    yield started
    for writer in started:
        writer.kill()
        writer.wait()


def test_eight_writers_lose_tear_double_and_reorder_nothing_while_the_log_is_moved_aside_and_read(
    store: Store, writers: list[subprocess.Popen[bytes]]
) -> None:
    log = store.events_file(NAME)
    seen: list[Event] = []
    already: dict[str, int] = {}
    counts = [0]
    while True:
        over = all(writer.poll() is not None for writer in writers)
        reading = read_events(log, already)
        seen += reading.events
        already = reading.read
        counts.append(store.told(NAME).count)
        if over:
            break
    assert [writer.returncode for writer in writers] == [0] * 8
    for pid in range(1, 9):
        assert prompts([event for event in seen if event.pid == pid]) == [str(turn) for turn in range(TURNS)]
    assert len(seen) == 8 * TURNS == counts[-1]
    assert counts == sorted(counts), "something was read and then forgotten"
    assert told_now(store) == afresh(store)
    parts = sorted(store.session_dir(NAME).glob("events-*.jsonl"))
    numbers = sorted(int(part.stem.removeprefix("events-")) for part in parts)
    assert numbers == list(range(1, len(parts) + 1))
    assert len(parts) > 10
    assert all(part.stat().st_size > LIMIT for part in parts)
    assert all(line.startswith(b'{"v":1,') for part in parts for line in part.read_bytes().splitlines())


@pytest.mark.parametrize("moment", range(1, 8))
def test_what_one_writer_tells_is_read_in_its_order_across_parts(
    store: Store, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """One adds to the old part late and then to the new one, just when the reader looks at the sizes."""
    log = store.events_file(NAME)
    old = log.with_name("events-1.jsonl")
    write(old, row(0))
    write(log, row(1))
    fstat, calls = os.fstat, 0

    def meanwhile(descriptor: int) -> os.stat_result:
        nonlocal calls
        calls += 1
        status = fstat(descriptor)
        if calls == moment:
            write(old, row(2))
            write(log, row(3))
        return status

    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", meanwhile)
        first = read_events(log, {})
    seen = prompts(first.events)
    if calls < moment:
        assert moment > 4, "the reader looked at no size"
        write(old, row(2))
        write(log, row(3))
    seen += prompts(read_events(log, first.read).events)
    assert sorted(seen) == ["0", "1", "2", "3"]
    assert [one for one in seen if one in "23"] == ["2", "3"]


@pytest.mark.parametrize("moment", range(1, 4))
def test_a_log_that_is_moved_aside_while_it_is_opened_is_read_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    log = store.events_file(NAME)
    write(log.with_name("events-1.jsonl"), row(0))
    write(log, row(1))
    opened, calls = os.open, 0

    def meanwhile(*args: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == moment:
            log.rename(log.with_name("events-2.jsonl"))
            write(log, row(2))
        return opened(*args)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", meanwhile)
        first = read_events(log, {})
    if calls < moment:
        log.rename(log.with_name("events-2.jsonl"))
        write(log, row(2))
    assert prompts(first.events + read_events(log, first.read).events) == ["0", "1", "2"]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc to count open files in")
def test_no_file_stays_open(store: Store) -> None:
    log = store.events_file(NAME)
    for name in ("events-1.jsonl", "events-2.jsonl", "events.jsonl"):
        write(log.with_name(name), row(0))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ValueError):
        read_events(log, {"1 gone": 7})
    read_events(log, {})
    assert len(os.listdir("/proc/self/fd")) == before


KINDS = [
    "UserPromptSubmit",
    "PreToolUse",
    "PermissionRequest",
    "PostToolUse",
    "Stop",
    "SessionStart",
    "looked",
]
STEPS = st.lists(
    st.sampled_from(["line", "lines", "begin", "late", "move", "look", "look", "forget"]), max_size=40
)


@given(
    steps=STEPS,
    kinds=st.lists(st.sampled_from(KINDS), min_size=60, max_size=60),
    keep_after=st.sampled_from([0, 300]),
)
@settings(max_examples=60, deadline=None)
def test_however_it_is_written_moved_and_read_the_same_is_told(
    steps: list[str], kinds: list[str], keep_after: int
) -> None:
    place = Path(tempfile.mkdtemp(prefix="wts-events-"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store_module, "KEEP_AFTER", keep_after)
        store = Store(place)
        store.session_dir(NAME).mkdir(parents=True)
        log = store.events_file(NAME)
        coming = (
            row(number, kind, conversation=f"c{number % 3}", tool_name="Bash", what=f"make {number % 4}")
            for number, kind in enumerate(kinds * 2)
        )
        write(log, LAUNCH)
        moved = 0
        for step in steps:
            if step == "line":
                write(log, next(coming))
            elif step == "lines":
                write(log, next(coming), next(coming), next(coming))
            elif step == "begin":
                line = lines(next(coming))
                with log.open("ab", buffering=0) as file:
                    file.write(line[:30])
                    store.told(NAME)
                    file.write(line[30:])
            elif step == "late" and moved:
                write(log.with_name(f"events-{moved}.jsonl"), next(coming))
            elif step == "move" and log.exists():
                moved += 1
                log.rename(log.with_name(f"events-{moved}.jsonl"))
            elif step == "forget":
                (store.session_dir(NAME) / "told.json").unlink(missing_ok=True)
            elif step == "look":
                assert told_now(store) == afresh(store)
        assert told_now(store) == afresh(store)
    shutil.rmtree(place)
