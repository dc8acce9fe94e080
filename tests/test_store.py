"""The store: what was saved is what is loaded, and what can't be read is told and kept."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worktree_sessions.errors import WtsError
from worktree_sessions.model.session import Session, Setup
from worktree_sessions.model.store import Store
from worktree_sessions.outside.git import BranchName, Oid

NOON = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
SESSION = Session(
    id="0b5c0f6e",
    number=1,
    name="auth-frontend",
    feature="auth",
    purpose="frontend",
    role=None,
    branch=BranchName("feature/auth-frontend"),
    parent=BranchName("feature/auth"),
    worktree=Path("/home/ada/project.worktrees/auth-frontend"),
    display="project-frontend-1",
    conversation="7d4f6c3e-2f57-4f6a-9a52-3d1f0f0c9b11",
    created=NOON,
    base=Oid("5d2b1a0" + "0" * 33),
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in a git directory."""
    return Store(tmp_path / ".git")


def _session(number: int, name: str) -> Session:
    return SESSION._replace(id=f"id-{name}", number=number, name=name)


def test_a_session_comes_back_as_it_was_saved(store: Store) -> None:
    """Every field, with everything set."""
    full = SESSION._replace(
        role="test",
        prompt='Build "it"\nin two lines\x1b[31m',
        focus="tests only",
        setup=Setup.FAILED,
        started=True,
        place="tmux",
        address="%3",
        included={".env": "0" * 64},
    )
    store.save(full)
    assert store.load("auth-frontend") == full
    assert store.load("auth") is None


@given(
    name=st.text(min_size=1),
    prompt=st.none() | st.text(),
    path=st.binary(min_size=1).filter(lambda raw: b"\0" not in raw),
    offset=st.integers(-12, 12),
)
def test_any_text_survives_the_record(name: str, prompt: str | None, path: bytes, offset: int) -> None:
    """Unicode, newlines, and paths that are not UTF-8 come back; a time comes back as the same moment."""
    session = SESSION._replace(
        name=name,
        prompt=prompt,
        worktree=Path("/" + os.fsdecode(path)),
        created=NOON.astimezone(timezone(timedelta(hours=offset))),
    )
    assert Session.from_record(session.to_record()) == session


def test_a_record_has_one_key_a_line(store: Store) -> None:
    """A shell hook can find a value without a JSON parser."""
    store.save(SESSION)
    lines = store.record_file("auth-frontend").read_text().splitlines()
    assert ' "branch": "feature/auth-frontend",' in lines
    assert ' "created": "2026-01-31T12:00:00+00:00",' in lines
    assert ' "schema": 1,' in lines
    assert ' "setup": "none",' in lines


def test_keys_of_another_version_survive_a_rewrite(store: Store) -> None:
    """An older wts rewrites the record of a newer one, and drops nothing of it."""
    store.save(SESSION)
    file = store.record_file("auth-frontend")
    record = json.loads(file.read_bytes())
    file.write_text(json.dumps({**record, "colour": {"of": ["tomorrow"]}}))
    loaded = store.load("auth-frontend")
    assert loaded is not None
    store.save(loaded._replace(number=9))
    assert json.loads(file.read_bytes()) == {**record, "colour": {"of": ["tomorrow"]}, "number": 9}


def test_sessions_are_listed_by_number(store: Store) -> None:
    """By number, not by name or by age."""
    for number, name in [(10, "c"), (2, "b"), (1, "z")]:
        store.save(_session(number, name))
    sessions, bad = store.load_all()
    assert [session.name for session in sessions] == ["z", "b", "c"]
    assert bad == []


BAD_RECORDS = {
    "empty": b"",
    "torn": SESSION.to_record()[:100],
    "not json": b"<<<<<<< HEAD\n",
    "not utf-8": b"\xff\xfe",
    "a list": b"[]",
    "a word": b'"x"',
    "a key missing": json.dumps({"name": "x"}).encode(),
    "odd time": SESSION.to_record().replace(b"2026-01-31", b"yesterday"),
    "odd setup": SESSION.to_record().replace(b'"none"', b'"perhaps"'),
    "number as text": SESSION.to_record().replace(b'"number": 1', b'"number": "one"'),
    "no number": SESSION.to_record().replace(b'"number": 1', b'"number": null'),
    "name as list": SESSION.to_record().replace(b'"name": "auth-frontend"', b'"name": ["a"]'),
}


@pytest.mark.parametrize("content", BAD_RECORDS.values(), ids=BAD_RECORDS.keys())
def test_an_unreadable_record_is_told_and_kept(store: Store, content: bytes) -> None:
    """It hides no other session, is never taken for absent, and is not touched."""
    store.save(_session(2, "sound"))
    file = store.record_file("broken")
    file.parent.mkdir()
    file.write_bytes(content)
    sessions, bad = store.load_all()
    assert [session.name for session in sessions] == ["sound"]
    assert [row.path for row in bad] == [file]
    assert bad[0].reason.startswith("unreadable session record: ")
    with pytest.raises(WtsError) as error:
        store.load("broken")
    assert error.value.code == "bad-record"
    assert file.read_bytes() == content


def test_a_record_that_is_a_directory_is_told(store: Store) -> None:
    """What can't be read for another reason than its content is told as well."""
    store.record_file("odd").mkdir(parents=True)
    sessions, bad = store.load_all()
    assert sessions == []
    assert [row.path for row in bad] == [store.record_file("odd")]
    assert bad[0].reason == f"{store.record_file('odd')} can't be read: Is a directory"


def test_an_empty_store_has_no_sessions(store: Store) -> None:
    """Nothing there yet: none live, none closed, and nothing is made by looking."""
    assert store.load_all() == ([], [])
    assert store.load_closed() == ([], [])
    assert not store.root.exists()


def test_a_store_that_cannot_be_listed_is_an_error(store: Store) -> None:
    """Unknown is not absent: no sessions may only be said when the directory was read."""
    store.root.mkdir(parents=True)
    store.sessions_dir.write_text("a file in its place")
    with pytest.raises(WtsError) as error:
        store.load_all()
    assert error.value.code == "bad-record"
    assert error.value.message == f"{store.sessions_dir} can't be read: Not a directory"


def test_a_stray_file_or_half_made_session_is_no_session(store: Store) -> None:
    """Only a directory with a record is one."""
    store.save(SESSION)
    store.events_file("half").parent.mkdir()
    store.events_file("half").write_text("{}\n")
    (store.sessions_dir / ".DS_Store").write_text("")
    assert store.load_all() == ([SESSION], [])
    assert store.load("half") is None


def test_a_name_too_long_for_the_disk_is_no_session(store: Store) -> None:
    """What can't exist is absent."""
    store.save(SESSION)
    assert store.load("x" * 300) is None


def test_closed_sessions_are_listed_by_the_time_of_closing(store: Store) -> None:
    """The latest closed comes last; names may repeat, ids do not."""
    for age, key in [(30, "a"), (10, "b"), (20, "c")]:
        closed = SESSION._replace(id=key)
        place = store.closed_record_dir(closed)
        place.mkdir(parents=True)
        (place / "session.json").write_bytes(closed.to_record())
        os.utime(place, (1_000_000_000 - age, 1_000_000_000 - age))
    sessions, bad = store.load_closed()
    assert [session.id for session in sessions] == ["a", "c", "b"]
    assert bad == []


def test_the_store_explains_itself(store: Store) -> None:
    """The README is made once, and a user's own words in it stay."""
    store.prepare()
    assert (store.root / "README").read_text().startswith("This directory belongs to wts")
    (store.root / "README").write_text("mine")
    store.prepare()
    assert (store.root / "README").read_text() == "mine"


def test_the_environment_of_a_session() -> None:
    """What runs inside a session can tell where it is."""
    assert SESSION.environment(Path("/home/ada/project")) == {
        "WTS_SESSION": "auth-frontend",
        "WTS_NUMBER": "1",
        "WTS_FEATURE": "auth",
        "WTS_BRANCH": "feature/auth-frontend",
        "WTS_PARENT": "feature/auth",
        "WTS_WORKTREE": "/home/ada/project.worktrees/auth-frontend",
        "WTS_MAIN": "/home/ada/project",
    }
