"""Files: replaced and never truncated, moved before they are removed, copied by reflink where the disk can."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

FICLONE = 0x40049409  # ioctl_ficlone(2): share the blocks, copy on write


def replace_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Give `path` new content in one step: a reader or a crash sees the old or the new, never half of it."""
    import tempfile  # 6 ms, which readers do without

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def replace_cache(path: Path, content: bytes) -> None:
    """Give a file that can be made again new content in one step; where that can't be done it stays as it is."""
    # eight characters at the end, by which `wts doctor` knows what a crash left
    temporary = path.with_name(f".{path.name}.{os.getpid():08}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()


def append_line(path: Path, line: bytes) -> None:
    """Append one line with a single write, so that parallel writers never tear each other's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.rstrip(b"\n") + b"\n")
    finally:
        os.close(descriptor)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file or a link with mode and times, in one step; by reflink where the file system can.

    A link in the target's place is replaced, never written through: it may lead to the source itself.
    """
    import shutil
    import tempfile

    kind = source.lstat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISLNK(kind)):
        raise shutil.SpecialFileError(f"{source} is not a file")  # to open a pipe would block for ever
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".wts-copy.", dir=target.parent) as place:
        temporary = Path(place) / "copy"
        if stat.S_ISLNK(kind):
            temporary.symlink_to(os.readlink(source))
        else:
            if not _reflink(source, temporary):
                shutil.copyfile(source, temporary)
            shutil.copystat(source, temporary)
        os.replace(temporary, target)


def _reflink(source: Path, target: Path) -> bool:
    try:
        import fcntl

        with source.open("rb") as old, target.open("wb") as new:
            fcntl.ioctl(new.fileno(), FICLONE, old.fileno())
        return True
    except (ImportError, OSError):
        return False


def digest(path: Path) -> str:
    """Return the sha256 of a file's content, of a link's target when it is one."""
    import hashlib  # 3 ms

    content = os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes()
    return hashlib.sha256(content).hexdigest()


def move(source: Path, target: Path) -> None:
    """Move a file or a tree, over nothing that exists: by rename, or by copy to another file system.

    A move that a kill cut short is taken up where it stood.
    """
    call_back(source)
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _move_across(source, target)


def _move_across(source: Path, target: Path) -> None:
    """Step aside first: what somebody writes to the old place during the copy must not go with the old tree."""
    aside = _aside(source)
    os.rename(source, aside)
    try:
        partial = target.with_name(f"{target.name}.partial")
        remove(partial)
        _copy(aside, partial)
        os.rename(partial, target)
    except BaseException:
        call_back(source)
        raise
    remove(aside)


def call_back(source: Path) -> None:
    """Put back what a move that was cut short had taken aside; where something is in its place, it stays aside."""
    aside = _aside(source)
    if os.path.lexists(aside) and not os.path.lexists(source):
        os.rename(aside, source)


def forget_aside(source: Path) -> None:
    """Remove what a killed move left aside; its copy has arrived whole."""
    remove(_aside(source))


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.wts-moving")


def _copy(source: Path, target: Path) -> None:
    import shutil  # 4 ms, and only to cross file systems

    if _is_tree(source):
        shutil.copytree(source, target, symlinks=True)
    else:
        copy_file(source, target)


def _is_tree(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def remove(path: Path) -> None:
    """Remove a file, a link or a tree, if it is there: read-only directories (of a Go module cache) too."""
    if not _is_tree(path):
        path.unlink(missing_ok=True)
        return
    import shutil

    try:
        shutil.rmtree(path)
    except PermissionError:
        _make_writable(path)
        shutil.rmtree(path)


def _make_writable(tree: Path) -> None:
    tree.chmod(stat.S_IRWXU)
    for folder, folders, _ in os.walk(tree):
        for below in (Path(folder, name) for name in folders):
            if not below.is_symlink():
                below.chmod(stat.S_IRWXU)


def size_of(path: Path) -> int:
    """Return the bytes at or below a path; what can't be read counts as nothing."""
    if path.is_symlink() or not path.is_dir():
        try:
            return path.lstat().st_size
        except OSError:
            return 0
    total = 0
    for folder, _, names in os.walk(path, onerror=None):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total
