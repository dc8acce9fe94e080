"""Sessions for tests, and what can be compared before and after: files to the byte, refs, records."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from tests.support.repos import Repo
from worktree_sessions.actions import close, new, restore
from worktree_sessions.actions.project import Project, open_project
from worktree_sessions.model.risk import Consent
from worktree_sessions.model.session import Session

EVERY = frozenset(Consent)


def project_of(repo: Repo) -> Project:
    """Return the project as a command run in the repository would see it."""
    return open_project(repo.path)


def a_session(repo: Repo, *words: str) -> Session:
    """Make a session without Claude: `a_session(repo, "auth-frontend")`."""
    return new.make(project_of(repo), new.Order(words=words or ("auth-frontend",))).session


def worktree_of(session: Session) -> Repo:
    """Return the session's worktree, to work in with git."""
    return Repo(session.worktree)


def closed(repo: Repo, session: Session, consents: frozenset[Consent] = EVERY, **order: bool) -> close.Closed:
    """Close a session, by default with every consent."""
    return close.close(project_of(repo), session, close.Closing(consents=consents, **order))


def restored(repo: Repo, target: str) -> Session:
    """Restore a session by its name; return it as it is now."""
    project = project_of(repo)
    return restore.restore(project, restore.find_restorable(project, target)).session


def picture(top: Path, *, skip: tuple[str, ...] = (".git",)) -> dict[str, tuple[str, int, bytes]]:
    """Return every file and link below a directory: kind, exact mode and content. Empty directories don't count."""
    found: dict[str, tuple[str, int, bytes]] = {}
    for folder, folders, names in os.walk(os.fsencode(top)):
        here = os.path.relpath(folder, os.fsencode(top))
        if here == b".":
            folders[:] = [name for name in folders if os.fsdecode(name) not in skip]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in [*names, *links]:
            path = os.path.join(folder, name)
            shown = os.fsdecode(os.path.relpath(path, os.fsencode(top)))
            if shown not in skip:
                found[shown] = _file(path)
    return found


def _file(path: bytes) -> tuple[str, int, bytes]:
    facts = os.lstat(path)
    if stat.S_ISLNK(facts.st_mode):
        return "link", 0, os.readlink(path)
    with open(path, "rb") as file:
        return "file", stat.S_IMODE(facts.st_mode), file.read()


def refs(repo: Repo) -> dict[str, str]:
    """Return every ref of the repository, our private ones too."""
    rows = repo.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    return dict(row.rsplit(" ", 1) for row in rows)


def records(repo: Repo) -> dict[str, tuple[str, int, bytes]]:
    """Return the files that wts keeps, but for the lock: sessions, closed ones, journals, trash."""
    kept = picture(Path(repo.git("rev-parse", "--path-format=absolute", "--git-common-dir")) / "wts")
    return {path: facts for path, facts in kept.items() if path not in ("lock", "lock.holder")}


def world(repo: Repo, session: Session) -> dict[str, object]:
    """Return all that a refused command must leave as it was."""
    admin = Path(Repo(session.worktree).git("rev-parse", "--absolute-git-dir"))
    return {
        "files": picture(session.worktree, skip=()),
        "admin": picture(admin),
        "refs": refs(repo),
        "records": records(repo),
        "worktrees": repo.git("worktree", "list", "--porcelain"),
    }


def lose(repo: Repo, session: Session) -> None:
    """Do what a careless hand does: rm -rf the worktree, prune it, and let git throw away what nothing holds."""
    shutil.rmtree(session.worktree)
    repo.git("worktree", "prune")
    repo.git("reflog", "expire", "--expire-unreachable=now", "--all")
    repo.git("gc", "--prune=now", "--quiet")


def is_in(repo: Repo, oid: str) -> bool:
    """Return whether the repository still has an object."""
    done = repo.git("cat-file", "--batch-check", stdin=oid.encode() + b"\n")
    return not done.endswith("missing")
