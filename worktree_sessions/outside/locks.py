"""The writers' lock: one per repository, with a time-out and the holder's name. Readers take none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from worktree_sessions.errors import Busy, WtsError
from worktree_sessions.outside import processes


@contextlib.contextmanager
def writing(lock_file: Path, purpose: str, *, timeout: float) -> Iterator[None]:
    """Hold the repository's lock; raise Busy, naming the holder, after `timeout` seconds.

    The lock is the operating system's (flock), so a killed holder never leaves it behind.
    """
    from filelock import FileLock, Timeout  # 46 ms

    holder_file = _holder_file(lock_file)
    lock = FileLock(lock_file)
    try:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=timeout, poll_interval=0.02)
    except Timeout:
        raise Busy(
            "busy",
            f"another wts works on this repository: {holder(lock_file)}",
            hint="wait for it, or see wts doctor",
        ) from None
    except OSError as error:
        says = f"{lock_file} can't be written: {error.strerror or error}"
        raise WtsError("disk", says, hint="wts doctor") from error
    try:
        holder_file.write_text(f"{purpose} (pid {processes.own_identity().pid})\n")
        yield
    finally:
        holder_file.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def attempt(lock_file: Path, *, timeout: float = 0) -> Iterator[bool]:
    """Hold a lock of another kind, if it can be had within `timeout` seconds; the value is whether it is held."""
    from filelock import FileLock, Timeout  # 46 ms

    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=timeout, poll_interval=0.02)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def is_held(lock_file: Path) -> bool:
    """Return whether somebody holds the lock at this moment."""
    from filelock import FileLock, Timeout  # 46 ms

    if not lock_file.exists():
        return False
    try:
        with FileLock(lock_file, timeout=0):
            return False
    except Timeout:
        return True


def holder(lock_file: Path) -> str:
    """Return who holds the lock, as it named itself."""
    try:
        return _holder_file(lock_file).read_text().strip() or "unnamed"
    except OSError:
        return "unnamed"


def _holder_file(lock_file: Path) -> Path:
    return lock_file.with_name("lock.holder")
