"""Files and locks: no half-written record, no lost original, one writer at a time."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from worktree_sessions.errors import Busy, Exit
from worktree_sessions.outside import files, locks

HOLD = """\
import sys, time
from pathlib import Path
from worktree_sessions.outside import locks
with locks.writing(Path(sys.argv[1]), "wts new auth-frontend", timeout=5):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system than tmp_path."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("only one file system here")
    with tempfile.TemporaryDirectory(dir=shared) as place:
        yield Path(place)


# -- replace and append -------------------------------------------------------------------------------


def test_a_file_is_replaced_with_its_directories(tmp_path: Path) -> None:
    """New content, new file, missing directories: all in one call, and nothing is left beside it."""
    record = tmp_path / "a" / "b" / "record"
    files.replace_file(record, b"one")
    files.replace_file(record, b"two", mode=0o755)
    assert record.read_bytes() == b"two"
    assert stat.S_IMODE(record.stat().st_mode) == 0o755
    assert os.listdir(record.parent) == ["record"]


def test_a_replacement_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """A target that can't be replaced stays, and no temporary file stays with it."""
    target = tmp_path / "record"
    (target / "in the way").mkdir(parents=True)
    with pytest.raises(OSError):
        files.replace_file(target, b"new")
    assert os.listdir(tmp_path) == ["record"]
    assert os.listdir(target) == ["in the way"]


def test_a_reader_holds_the_old_content_while_it_is_replaced(tmp_path: Path) -> None:
    """Replaced and never truncated: who opened the old file reads it to its end."""
    record = tmp_path / "record"
    files.replace_file(record, b"old and long")
    with record.open("rb") as reader:
        files.replace_file(record, b"new")
        assert reader.read() == b"old and long"


def _append_many(path: str, text: str) -> None:
    for _ in range(200):
        files.append_line(Path(path), text.encode() * 300)


def test_parallel_lines_are_never_torn(tmp_path: Path) -> None:
    """Four writers of one event log: every line is whole."""
    log = tmp_path / "sessions" / "events.jsonl"
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_append_many, args=(str(log), text)) for text in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    lines = log.read_bytes().splitlines()
    assert sorted(lines) == sorted(text.encode() * 300 for text in "abcd" for _ in range(200))


def test_a_line_ends_once(tmp_path: Path) -> None:
    """With or without its newline, a line is one line."""
    files.append_line(tmp_path / "log", b"one\n")
    files.append_line(tmp_path / "log", b"two")
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"


# -- copy ---------------------------------------------------------------------------------------------


def test_a_copy_keeps_mode_and_times(tmp_path: Path) -> None:
    """Content, permissions and times come along; missing directories are made."""
    source = tmp_path / "source"
    source.write_bytes(b"content")
    source.chmod(0o750)
    os.utime(source, (1_000_000_000, 1_000_000_001))
    target = tmp_path / "deep" / "target"
    files.copy_file(source, target)
    assert target.read_bytes() == b"content"
    assert stat.S_IMODE(target.stat().st_mode) == 0o750
    assert target.stat().st_mtime == 1_000_000_001


def test_a_link_is_copied_as_a_link(tmp_path: Path) -> None:
    """Where it points to does not matter, nor what stood in its place."""
    source = tmp_path / "link"
    source.symlink_to("nowhere")
    target = tmp_path / "target"
    target.write_bytes(b"old")
    files.copy_file(source, target)
    assert os.readlink(target) == "nowhere"


def test_a_copy_never_writes_through_a_link(tmp_path: Path) -> None:
    """A link in the target's place is replaced; the file behind it, here the source itself, stays."""
    source = tmp_path / "source"
    source.write_bytes(b"content")
    target = tmp_path / "target"
    target.symlink_to(source)
    files.copy_file(source, target)
    assert source.read_bytes() == b"content"
    assert target.read_bytes() == b"content"
    assert not target.is_symlink()


def test_a_copy_never_truncates_its_target(tmp_path: Path) -> None:
    """Who reads the old target reads it to its end, and nothing is left beside the new one."""
    source, target = tmp_path / "source", tmp_path / "place" / "target"
    source.write_bytes(b"new")
    target.parent.mkdir()
    target.write_bytes(b"old")
    with target.open("rb") as reader:
        files.copy_file(source, target)
        assert reader.read() == b"old"
    assert os.listdir(target.parent) == ["target"]


def test_what_is_no_file_is_not_copied(tmp_path: Path) -> None:
    """A pipe would block for ever, a directory is no file: both are errors at once."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    for name in ("pipe", "directory", "missing"):
        with pytest.raises(OSError):
            files.copy_file(tmp_path / name, tmp_path / "target")
    assert not (tmp_path / "target").exists()


# -- move ---------------------------------------------------------------------------------------------


def _grow(place: Path) -> Path:
    tree = place / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "run").write_bytes(b"#!")
    (tree / "sub" / "run").chmod(0o700)
    (tree / "link").symlink_to("sub/run")
    (tree / "dangling").symlink_to("nowhere")
    return tree


def _check(tree: Path) -> None:
    assert (tree / "sub" / "run").read_bytes() == b"#!"
    assert stat.S_IMODE((tree / "sub" / "run").stat().st_mode) == 0o700
    assert os.readlink(tree / "link") == "sub/run"
    assert os.readlink(tree / "dangling") == "nowhere"


def test_a_tree_is_moved_whole(tmp_path: Path) -> None:
    """Modes, links and dangling links arrive; the old place is gone."""
    tree = _grow(tmp_path)
    files.move(tree, tmp_path / "trash" / "tree")
    _check(tmp_path / "trash" / "tree")
    assert not tree.exists()


def test_a_tree_is_moved_to_another_disk(tmp_path: Path, other_disk: Path) -> None:
    """Across file systems the same arrives, also when an earlier try was killed half-way."""
    tree = _grow(tmp_path)
    (other_disk / "trash" / "tree.partial" / "rest").mkdir(parents=True)
    files.move(tree, other_disk / "trash" / "tree")
    _check(other_disk / "trash" / "tree")
    assert os.listdir(other_disk / "trash") == ["tree"]
    assert not tree.exists()


def test_a_link_to_a_directory_is_moved_as_a_link(tmp_path: Path, other_disk: Path) -> None:
    """The directory behind a link is not copied, and not removed."""
    tree = _grow(tmp_path)
    (tmp_path / "to-tree").symlink_to(tree)
    files.move(tmp_path / "to-tree", other_disk / "moved")
    assert os.readlink(other_disk / "moved") == str(tree)
    assert not (tmp_path / "to-tree").is_symlink()
    _check(tree)


def test_a_file_is_moved_to_another_disk(tmp_path: Path, other_disk: Path) -> None:
    """One file, with the rest of an earlier try in the way."""
    (tmp_path / "file").write_bytes(b"content")
    (other_disk / "file.partial").write_bytes(b"cont")
    files.move(tmp_path / "file", other_disk / "file")
    assert (other_disk / "file").read_bytes() == b"content"
    assert os.listdir(other_disk) == ["file"]
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("kind", ["file", "dangling link", "directory"])
def test_a_move_overwrites_nothing(tmp_path: Path, kind: str) -> None:
    """What lies at the new place stays, and so does the source."""
    source, target = tmp_path / "source", tmp_path / "target"
    if kind == "directory":
        source.mkdir()
        target.mkdir()
    else:
        source.write_bytes(b"mine")
        target.write_bytes(b"theirs") if kind == "file" else target.symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        files.move(source, target)
    assert source.exists()
    assert kind != "file" or target.read_bytes() == b"theirs"


def test_the_size_of_a_tree(tmp_path: Path) -> None:
    """Files count once each, links as links, what is not there as nothing."""
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "a").write_bytes(b"x" * 10)
    (tmp_path / "tree" / "sub" / "b").write_bytes(b"x" * 5)
    (tmp_path / "tree" / "link").symlink_to("/etc")
    (tmp_path / "tree" / "file-link").symlink_to("a")
    assert files.size_of(tmp_path / "tree" / "a") == 10
    assert files.size_of(tmp_path / "tree") == 10 + 5 + len("a")
    assert files.size_of(tmp_path / "tree" / "link") == len("/etc")
    assert files.size_of(tmp_path / "missing") == 0


# -- the writers' lock --------------------------------------------------------------------------------


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "wts" / "lock")], stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        yield child
        child.kill()


def test_a_second_writer_is_told_who_holds_the_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """Busy after the time-out, exit 7, with the holder's command and process."""
    begun = time.monotonic()
    with (
        pytest.raises(Busy) as busy,
        locks.writing(tmp_path / "wts" / "lock", "wts close 1", timeout=0.3),
    ):
        pytest.fail("two writers")
    assert 0.3 <= time.monotonic() - begun < 5
    assert busy.value.exit is Exit.BUSY
    assert busy.value.message == (
        f"another wts works on this repository: wts new auth-frontend (pid {holder.pid})"
    )


def test_a_killed_writer_leaves_no_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """kill -9 of the holder frees the lock for the next one."""
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locks.writing(tmp_path / "wts" / "lock", "wts close 1", timeout=5):
        assert (tmp_path / "wts" / "lock.holder").read_text() == f"wts close 1 (pid {os.getpid()})\n"
    assert not (tmp_path / "wts" / "lock.holder").exists()


def test_a_held_lock_is_seen(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """Held while the holder lives, free afterwards, and free where there never was one."""
    lock = tmp_path / "wts" / "lock"
    assert locks.is_held(lock)
    assert not locks.is_held(tmp_path / "other" / "lock")
    holder.kill()
    holder.wait()
    assert not locks.is_held(lock)


def test_the_lock_is_free_again_after_a_failure(tmp_path: Path) -> None:
    """An error inside releases the lock."""
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), locks.writing(tmp_path / "lock", "x", timeout=0.1):
            raise ZeroDivisionError


def _count_up(directory: str) -> None:
    counter = Path(directory) / "counter"
    for _ in range(25):
        with locks.writing(Path(directory) / "lock", "count", timeout=60):
            value = int(counter.read_text())
            time.sleep(0.001)
            counter.write_text(str(value + 1))


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    """Four processes that read, wait and write lose no step of each other's."""
    (tmp_path / "counter").write_text("0")
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_count_up, args=(str(tmp_path),)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert (tmp_path / "counter").read_text() == "100"


def test_what_is_written_to_the_old_place_during_a_move_across_disks_stays(
    tmp_path: Path, other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy takes its time; the old tree must not be removed with a file in it that came too late for the copy."""
    source = tmp_path / "tree"
    source.mkdir()
    (source / "a").write_text("a")
    copy = shutil.copytree

    def slow(*args: Any, **options: Any) -> Any:
        done = copy(*args, **options)
        source.mkdir(exist_ok=True)
        (source / "late").write_text("late")
        return done

    monkeypatch.setattr(shutil, "copytree", slow)
    files.move(source, other_disk / "tree")
    assert (other_disk / "tree" / "a").read_text() == "a"
    assert (source / "late").read_text() == "late"
    assert os.listdir(tmp_path) == ["tree"]


def test_a_move_across_disks_that_fails_or_is_killed_leaves_the_tree_in_its_place(
    tmp_path: Path, other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "tree"
    source.mkdir()
    (source / "a").write_text("a")
    os.mkfifo(source / "pipe")  # no copy of it can be made
    with pytest.raises(OSError):
        files.move(source, other_disk / "tree")
    assert sorted(os.listdir(source)) == ["a", "pipe"]
    assert not (other_disk / "tree").exists()
    (source / "pipe").unlink()
    with monkeypatch.context() as killed:
        killed.setattr(files, "call_back", lambda _: None)  # kill -9 runs no handler
        killed.setattr(shutil, "copytree", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            files.move(source, other_disk / "tree")
    assert not source.exists()
    files.move(source, other_disk / "tree")
    assert (other_disk / "tree" / "a").read_text() == "a"
    assert os.listdir(tmp_path) == []


def test_a_tree_with_read_only_directories_can_be_removed(tmp_path: Path) -> None:
    """As Go leaves them in its module cache."""
    tree = tmp_path / "tree"
    deep = tree / "mod" / "x"
    deep.mkdir(parents=True)
    (deep / "a").write_text("a")
    for folder in (deep, deep.parent, tree):
        os.chmod(folder, 0o555)
    if os.getuid() == 0:  # whom no mode stops
        pytest.skip("needs a user who is not root")
    files.remove(tree)
    assert not tree.exists()
