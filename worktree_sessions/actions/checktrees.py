"""The checks of `wts doctor` on worktrees and branches: of sessions, of nobody, and those that were never finished.

None of them writes or takes a lock, like all checks.
"""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.actions import snapshot, steps
from worktree_sessions.actions.checkrecords import default_worktree, sessions_of
from worktree_sessions.actions.project import Project, registered, scratch_worktrees
from worktree_sessions.model import words
from worktree_sessions.model.problem import FIX, Problem, error, note, warning
from worktree_sessions.model.session import Session
from worktree_sessions.model.words import quoted
from worktree_sessions.outside.git import Oid, Ref, Worktree, full, open_operation, short

HALF_MADE_AFTER = 600.0  # seconds: a younger one may still be in the making
FEW = 5  # worktrees without a session that are told one by one


# -- of sessions -----------------------------------------------------------------------------------


def worktrees(project: Project) -> list[Problem]:
    """Every session has its worktree, and git knows it."""
    rows = registered(project)
    found = [_of_worktree(project, session, rows) for session in sessions_of(project)]
    return [problem for problem in found if problem is not None]


def _of_worktree(project: Project, session: Session, rows: dict[Path, Worktree]) -> Problem | None:
    row, path = rows.get(session.worktree), session.worktree
    if not path.is_dir():
        return _of_missing(project, session, rows)
    if row is not None and row.prunable is None:
        return None
    restore = f"wts restore {quoted(session.name)}"
    if not any(path.iterdir()):
        says, cure = f"the worktree of {session.name} is empty: {path}", f"rmdir {quoted(path)} && {restore}"
        return error("missing", says, cure=cure, session=session.name)
    if row is not None:
        return error(
            "unlinked",
            f"the worktree of {session.name} has lost its link to git: {path}",
            cure="git worktree repair",
            session=session.name,
        )
    return error(
        "forgotten",
        f"git has forgotten the worktree of {session.name}, whose files are there: {path}",
        cure=f"mv {quoted(path)} {quoted(path)}.found && {restore}",
        session=session.name,
    )


def _of_missing(project: Project, session: Session, rows: dict[Path, Worktree]) -> Problem:
    name, path = session.name, session.worktree
    row = rows.get(path)
    moved = _moved_by_git(session, rows)
    if moved is not None:
        cure = f"git worktree move {quoted(moved)} {quoted(path)}"
        return error("moved", f"the worktree of {name} was moved to {moved}", cure=cure, session=name)
    if row is not None and (there := where_is(project, steps.admin_of(project, path))):
        cure = f"mv {quoted(there)} {quoted(path)}"
        return error("moved", f"the worktree of {name} was moved to {there}", cure=cure, session=name)
    says = f"the worktree of {name} is gone: {path}"
    if row is not None and row.locked:
        says += f" (locked: {row.locked})"
    return error("missing", says, cure=f"wts restore {quoted(name)}", session=name)


def _moved_by_git(session: Session, rows: dict[Path, Worktree]) -> Path | None:
    """Return where the missing worktree of a session is by `git worktree move`: its branch is checked out there."""
    if session.worktree in rows:
        return None
    ref = full(session.branch)
    return next((row.path for row in rows.values() if row.branch == ref and row.prunable is None), None)


def branches(project: Project) -> list[Problem]:
    """Every session has its branch, and its worktree is on it."""
    refs = project.git.refs("refs/heads")
    rows = registered(project)
    found = []
    for session in sessions_of(project):
        row = rows.get(session.worktree)
        if full(session.branch) not in refs:
            found.append(_of_lost_branch(project, session, row))
        elif row is not None and row.prunable is None and session.worktree.is_dir():
            found += _of_head(project, session, row)
    return found


def _of_lost_branch(project: Project, session: Session, row: Worktree | None) -> Problem:
    name, branch = session.name, session.branch
    says = f"branch {branch} of {name} is gone"
    if row is None or not session.worktree.is_dir():
        return error("branch-gone", says, cure=f"wts restore {quoted(name)}", session=name)
    at = f"git -C {quoted(session.worktree)}"
    if row.head is not None:
        says += (
            f", and its worktree is on {short(row.branch)}" if row.branch else ", and its HEAD is detached"
        )
        return error("branch-gone", says, cure=f"{at} switch -c {quoted(branch)}", session=name)
    last = _last_head(project, session)
    cure = f"git branch {quoted(branch)} {last[:10]}" if last else None
    return error("branch-gone", says, cure=cure, session=name)


def _last_head(project: Project, session: Session) -> Oid | None:
    """Return the newest commit in the reflog of a worktree whose branch is gone."""
    log = steps.admin_of(project, session.worktree) / "logs" / "HEAD"
    rows = log.read_bytes().splitlines() if log.is_file() else []
    oids = [row.split(b" ")[1].decode() for row in reversed(rows) if row.count(b" ") > 1]
    return next((found for oid in oids if (found := project.git.resolve(oid))), None)


def _of_head(project: Project, session: Session, row: Worktree) -> list[Problem]:
    if row.branch == full(session.branch):
        return []
    name, branch = session.name, session.branch
    under_way = open_operation(steps.admin_of(project, session.worktree))
    at = f"git -C {quoted(session.worktree)}"
    if under_way is not None:
        says = f"a {under_way} is open in {name}"
        return [note("mid-operation", says, cure=f"{at} status", session=name)]
    back = f"{at} switch {quoted(branch)}"
    if row.branch is not None:
        says = f"the worktree of {name} is on {short(row.branch)}, not on {branch}"
        return [warning("switched", says, cure=back, session=name)]
    if row.head is None or _is_held(project, row.head):
        return [warning("detached", f"HEAD of {name} is detached", cure=back, session=name)]
    says = f"HEAD of {name} is detached, with commits that no branch holds"
    return [
        warning("detached", says, cure=f"{at} branch {quoted(name + '-detached')} && {back}", session=name)
    ]


def _is_held(project: Project, head: Oid) -> bool:
    holders = project.git.run(
        "for-each-ref", "--count=1", f"--contains={head}", "refs/heads", "refs/remotes", "refs/tags"
    )
    return bool(holders)


def parents(project: Project) -> list[Problem]:
    """The branch that each session comes home to exists."""
    refs = project.git.refs("refs/heads", "refs/remotes")
    missing: dict[str, list[Session]] = defaultdict(list)
    for session in sessions_of(project):
        if full(session.parent) not in refs:
            missing[session.parent].append(session)
    return [_of_lost_parent(project, parent, of, refs) for parent, of in sorted(missing.items())]


def _of_lost_parent(project: Project, parent: str, of: list[Session], refs: dict[Ref, Oid]) -> Problem:
    remote = next(
        (ref for ref in refs if re.fullmatch(rf"refs/remotes/[^/]+/{re.escape(parent)}", ref)), None
    )
    start = remote.removeprefix("refs/remotes/") if remote else _base(project, of[0])
    names = words.listed([session.name for session in of])
    cure = f"git branch {quoted(parent)} {quoted(start)}" if start else None
    return warning("parent-gone", f"{parent}, the parent of {names}, is gone", cure=cure, session=of[0].name)


def _base(project: Project, session: Session) -> str | None:
    base = project.git.resolve(session.base)
    return base[:10] if base else None


# -- of nobody -------------------------------------------------------------------------------------


def strangers(project: Project) -> list[Problem]:
    """Worktrees that are not sessions, and entries of git whose worktree is gone."""
    rows = registered(project)
    sessions = sessions_of(project)
    own = {session.worktree for session in sessions} | scratch_worktrees(project)
    own |= {default_worktree(project, record.path.parent.name) for record in project.store.load_all()[1]}
    own |= {moved for session in sessions if (moved := _moved_by_git(session, rows))}
    own |= {entry.worktree for entry in half_made_entries(project) if entry.worktree}
    others = [row for row in rows.values() if row.path not in own]
    there = [str(row.path) for row in others if row.prunable is None]
    return [*_without_session(there), *(_of_gone(project, row) for row in others if row.prunable is not None)]


def _without_session(paths: list[str]) -> list[Problem]:
    if len(paths) > FEW:
        says = f"{len(paths)} worktrees are without a session: {words.listed(paths)}"
        return [note("no-session", says, cure="wts adopt PATH")]
    return [
        note("no-session", f"{path} is a worktree without a session", cure=f"wts adopt {quoted(path)}")
        for path in paths
    ]


def _of_gone(project: Project, row: Worktree) -> Problem:
    says = f"git still knows a worktree at {row.path}, which is gone"
    only_here = snapshot.only_in(project.git, steps.admin_of(project, row.path))
    if not only_here:
        return note("gone", says, cure="git worktree prune")
    kept = f"git branch {quoted(row.path.name + '-rescued')} {only_here[0][:10]}"
    says += f", and with it {words.counted(len(only_here), 'commit')} that no branch holds"
    return warning("gone", says, cure=f"{kept} && git worktree prune")


# -- never finished --------------------------------------------------------------------------------


class Entry(NamedTuple):
    """git's own directory of a worktree that was never finished; `worktree` is where it was to be, if that is known."""

    admin: Path
    worktree: Path | None
    says: str


def half_made(project: Project) -> list[Problem]:
    """git's directory of worktrees holds no entry that was never finished."""
    return [of_half_made(entry) for entry in half_made_entries(project)]


def of_half_made(entry: Entry) -> Problem:
    """Return the finding for a half-made entry."""
    return warning("half-made", f"{entry.admin} {entry.says}", cure=FIX)


def half_made_entries(project: Project) -> list[Entry]:
    """Return the entries without a gitdir file, and those whose making was cut short before there was a directory."""
    top = project.repository.common_dir / "worktrees"
    admins = [admin for admin in sorted(top.iterdir()) if admin.is_dir()] if top.is_dir() else []
    found = []
    for admin in admins:
        worktree = _worktree_of(admin)
        if worktree is None:
            says = "has no gitdir file: git does not know its worktree"
        elif _is_initializing(admin) and not os.path.lexists(worktree):
            says = f"is of a worktree that was never made: {worktree}"
        else:
            continue
        if _age(admin) > HALF_MADE_AFTER:
            found.append(Entry(admin, worktree, says))
    return found


def _worktree_of(admin: Path) -> Path | None:
    """Return the worktree that an entry names, None when it names none."""
    try:
        gitfile = os.fsdecode((admin / "gitdir").read_bytes()).removesuffix("\n")
    except FileNotFoundError:
        return None
    return (admin / gitfile).parent if gitfile else None


def _is_initializing(admin: Path) -> bool:
    try:
        return (
            admin / "locked"
        ).read_bytes().strip() == b"initializing"  # what `git worktree add` writes first
    except FileNotFoundError:
        return False


def _age(directory: Path) -> float:
    newest = max(path.lstat().st_mtime for path in (directory, *directory.iterdir()))
    return time.time() - newest


def where_is(project: Project, admin: Path) -> Path | None:
    """Return the directory whose .git file leads to an entry, looked for where worktrees are made; else None."""
    places = {project.settings.worktree_root(project.home), project.home.parent}
    places |= {session.worktree.parent for session in sessions_of(project)}
    for place in sorted(places):
        for directory in sorted(place.iterdir()) if place.is_dir() else []:
            if _leads_to(directory / ".git", admin):
                return directory
    return None


def _leads_to(gitfile: Path, admin: Path) -> bool:
    try:
        said = gitfile.read_bytes() if gitfile.is_file() else b""
    except OSError:
        return False
    target = os.fsdecode(said).removeprefix("gitdir: ").removesuffix("\n")
    return said.startswith(b"gitdir: ") and os.path.realpath(gitfile.parent / target) == os.path.realpath(
        admin
    )
