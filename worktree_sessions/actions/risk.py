"""Asks git, the disk and the process table what closing a session would put at risk.

Every probe that fails becomes a finding that blocks: unknown is not absent.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from worktree_sessions.actions import precious, snapshot, steps
from worktree_sessions.actions.asking import running_claude
from worktree_sessions.actions.project import Project
from worktree_sessions.errors import WtsError
from worktree_sessions.model.risk import Consent, Finding
from worktree_sessions.model.session import Session
from worktree_sessions.model.words import quoted, size
from worktree_sessions.outside import files, processes
from worktree_sessions.outside.git import Git, Status, Worktree, open_operation

# Keeps Claude's own hands off a worktree that its hook asked us for (claudetrees.py); it hinders no close.
OUR_LOCK = "wts: only wts close removes it"


def ask_findings(project: Project, session: Session, row: Worktree | None) -> list[Finding]:
    """Return everything that a close of this session would meet, dangers first."""
    git = project.git_at(session)
    found: list[Finding] = []
    for probe in PROBES:
        try:
            found += probe(project, session, git, row)
        except (WtsError, OSError) as error:
            says = f"could not find out what is at risk ({probe.__name__.strip('_')}): {error}"
            found.append(Finding("unknown", says, cure="wts doctor", blocks=True))
    return found


def ask_findings_of_missing(project: Project, session: Session, row: Worktree | None) -> list[Finding]:
    """Return the findings of a session whose worktree is gone: git may still hold what was staged in it."""
    staged = _staged(project, session) if row is not None else ()
    if staged:
        says = f"its worktree {session.worktree} is gone, and git alone still holds what was staged in it"
        return [Finding("staged", says, staged, cure=f"wts restore {quoted(session.name)}", blocks=True)]
    held = f"wts restore {quoted(session.name)} brings back what the last snapshot held"
    return [Finding("missing", f"its worktree {session.worktree} is gone; {held}")]


def _staged(project: Project, session: Session) -> tuple[str, ...]:
    admin = steps.admin_of(project, session.worktree)
    if not (admin / "index").exists():
        return ()
    git = project.git.with_env(GIT_DIR=str(admin))
    stood = git.resolve("HEAD") or steps.lost_tip(project, session)
    words = ("diff-index", "--cached", "--name-only", "-z", "--no-renames")
    return tuple(git.fields(*words, stood, "--")) if stood else ()


def _place(project: Project, session: Session, git: Git, __: Worktree | None) -> list[Finding]:
    """Only the worktree itself is ever moved: not a link to it, and nothing of another repository."""
    path, at = session.worktree, quoted(session.worktree)
    if path.is_symlink():
        real = quoted(os.path.realpath(path))
        says = f"its worktree {path} is a link to {os.path.realpath(path)}"
        return [Finding("link", says, cure=f"rm {at} && mv {real} {at}", blocks=True)]
    found = git.git_dir()
    if found.samefile(steps.admin_of(project, path)):
        return []
    says = f"its worktree belongs to another repository now, {found}"
    mend = f"git -C {quoted(project.home)} worktree repair {at}"
    return [Finding("foreign", says, cure=f"mv {at}/.git {at}.git && {mend}", blocks=True)]


def _nested(project: Project, session: Session, _: Git, __: Worktree | None) -> list[Finding]:
    """A command touches only the session it named: other worktrees would be moved with it."""
    rows = project.git.worktrees()
    inside = [row.path for row in rows if session.worktree in row.path.parents and row.path.exists()]
    if not inside:
        return []
    first, place = inside[0], session.worktree.parent / f"{session.name}-{inside[0].name}"
    cure = f"git worktree move {quoted(first)} {quoted(place)}"
    items = tuple(str(path) for path in inside)
    return [Finding("nested", "other worktrees lie in its worktree", items, cure=cure, blocks=True)]


def _locked(_: Project, session: Session, __: Git, row: Worktree | None) -> list[Finding]:
    if row is None or row.locked in (None, OUR_LOCK):
        return []
    reason = f": {row.locked}" if row.locked else ""
    cure = f"git worktree unlock {quoted(session.worktree)}"
    return [Finding("locked", f"its worktree is locked{reason}", consent=Consent.LOCKED, cure=cure)]


def _standing(project: Project, session: Session, _: Git, __: Worktree | None) -> list[Finding]:
    claude = running_claude(project, session)
    findings = []
    if claude is not None:
        says = f"Claude runs in it (pid {claude.pid})"
        cure = f"end it there (/exit): wts open {session.number}"
        findings.append(Finding("running", says, consent=Consent.RUNNING, cure=cure))
    standing = processes.staying_in(session.worktree)
    if standing is None:
        says = "the processes of this machine can't be listed, one may stand in its worktree"
        return [*findings, Finding("unknown", says, consent=Consent.RUNNING)]
    others = tuple(
        f"{one.name} (pid {one.pid})" for one in standing if claude is None or one.pid != claude.pid
    )
    if others:
        says = "processes stand in its worktree"
        findings.append(
            Finding("in-use", says, others, consent=Consent.RUNNING, cure="leave it, or end them")
        )
    return findings


def _operation(_: Project, session: Session, git: Git, __: Worktree | None) -> list[Finding]:
    operation = open_operation(git.git_dir())
    if operation is None:
        return []
    says = f"a {operation} is under way in its worktree"
    ends = "reset" if operation == "bisect" else "--abort"
    cure = f"git -C {quoted(session.worktree)} {operation} {ends}"
    return [Finding("mid-operation", says, consent=Consent.MID_OPERATION, cure=cure)]


def _unborn(_: Project, session: Session, git: Git, __: Worktree | None) -> list[Finding]:
    """A snapshot stands on a commit; on a branch without one there is nothing to stand on."""
    if git.resolve("HEAD"):
        return []
    cure = f"git -C {quoted(session.worktree)} commit --allow-empty -m Start"
    return [Finding("unborn", "HEAD is on a branch without a commit", cure=cure, blocks=True)]


def _unsaved(_: Project, session: Session, git: Git, __: Worktree | None) -> list[Finding]:
    status = git.status()
    hidden = [path for path in snapshot.hidden_changes(git) if path not in status.changed]
    items = (
        *(f"conflicted  {path}" for path in status.unmerged),
        *(f"changed     {path}" for path in status.changed),
        *(f"changed     {path}  (hidden from git status)" for path in hidden),
        *(f"untracked   {path}" for path in status.untracked),
    )
    if not items:
        return []
    counts = count_words(status, hidden=len(hidden))
    at = f"git -C {quoted(session.worktree)}"
    cure = f"commit it: {at} add -A && {at} commit"
    return [
        Finding("unsaved", f"work that is not committed, {counts}", items, consent=Consent.UNSAVED, cure=cure)
    ]


def _commits(_: Project, session: Session, git: Git, __: Worktree | None) -> list[Finding]:
    homeless = snapshot.homeless_commits(git)
    if not homeless:
        return []
    from worktree_sessions.outside.history import describe

    items = tuple(f"{one.oid[:10]} {one.subject}" for one in describe(git, homeless))
    cure = f"git -C {quoted(session.worktree)} branch {quoted(session.name)}-rescue"
    return [
        Finding("homeless-commits", "commits that no branch holds", items, consent=Consent.UNSAVED, cure=cure)
    ]


def _submodules(_: Project, session: Session, git: Git, __: Worktree | None) -> list[Finding]:
    unpushed = tuple(_unpushed(git, session.worktree))
    if not unpushed:
        return []
    return [
        Finding(
            "submodule",
            "submodules with commits, stashes or changes that are nowhere else",
            unpushed,
            consent=Consent.UNSAVED,
            cure=f"git -C {quoted(session.worktree)} submodule foreach --recursive git push",
        )
    ]


def _unpushed(git: Git, top: Path, *, inside: str = "") -> list[str]:
    """Return the repositories that are part of this one, at any depth, and hold work that no remote has."""
    found = []
    for path in precious.gitlinks(git, top):
        module = git.at(top / path)
        held = (
            module.run("rev-list", "-1", "HEAD", "--branches", "--not", "--remotes", "--")
            if module.resolve("HEAD")
            else b""
        )
        if held or module.resolve("refs/stash") or not module.status().is_clean:
            found.append(inside + path)
        found += _unpushed(module, top / path, inside=f"{inside}{path}/")
    return list(dict.fromkeys(found))


def _included(_: Project, session: Session, __: Git, ___: Worktree | None) -> list[Finding]:
    edited = tuple(
        path
        for path, digest in session.included.items()
        if precious.is_edited(session.worktree / path, digest)
    )
    if not edited:
        return []
    says = "files of .worktreeinclude that were edited here"
    return [
        Finding(
            "edited-includes", says, edited, consent=Consent.UNSAVED, cure="copy them to the main worktree"
        )
    ]


def _stashes(_: Project, session: Session, git: Git, __: Worktree | None) -> list[Finding]:
    rows = git.fields("stash", "list", "-z", "--format=%gd %gs")
    marks = (f"WIP on {session.branch}:", f"On {session.branch}:")
    made_here = tuple(row for row in rows if any(mark in row for mark in marks))
    if not made_here:
        return []
    return [Finding("stashes", "stash entries made on its branch stay in the repository", made_here)]


def _ignored(_: Project, session: Session, git: Git, __: Worktree | None) -> list[Finding]:
    kept = precious.paths(git, session.worktree, session.included)
    if not kept:
        return []
    items = tuple(f"{path}  {size(files.size_of(session.worktree / path))}" for path in kept)
    return [Finding("ignored", "ignored files that can't be rebuilt are kept in the trash", items)]


def count_words(status: Status, *, hidden: int = 0) -> str:
    """3 changed, 1 untracked."""
    counts = {
        "conflicted": len(status.unmerged),
        "changed": len(status.changed) + hidden,
        "untracked": len(status.untracked),
    }
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


PROBES: tuple[Callable[[Project, Session, Git, Worktree | None], list[Finding]], ...] = (
    _place,
    _nested,
    _locked,
    _standing,
    _operation,
    _unborn,
    _unsaved,
    _commits,
    _submodules,
    _included,
    _stashes,
    _ignored,
)
