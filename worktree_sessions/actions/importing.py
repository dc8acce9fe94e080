"""For Python projects: whether the Python of a session imports that session's own files.

The trap is an environment that several worktrees share: an editable install points at one of them, so the tests of
every other run that one's code. The package is looked up, never imported; what runs is the interpreter of a set-up
(the worktree's own .venv, if git does not track it) or of PATH.
"""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.actions.project import Project
from worktree_sessions.model.problem import Problem, note, warning
from worktree_sessions.model.session import Session
from worktree_sessions.outside import environment, processes

PROBE_SECONDS = 20.0
MOST = 3  # packages that are asked about in one project
PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")
NO_PACKAGES = frozenset(
    {
        "bench",
        "benchmarks",
        "build",
        "dist",
        "doc",
        "docs",
        "example",
        "examples",
        "scripts",
        "test",
        "tests",
        "tools",
    }
)

# Where each package would come from: for an installed program such as pytest, and for `python -m`, which looks in the
# current directory first. That directory is taken off the path before anything of it could be imported by mistake.
PROBE = """\
import sys
if sys.path[:1] == ['']: del sys.path[0]
import importlib.util, json
def where(name):
    try: spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError): return None
    return spec and (spec.origin or next(iter(spec.submodule_search_locations or ()), None))
installed = [where(name) for name in sys.argv[1:]]
sys.path.insert(0, '')
print(json.dumps([installed, [where(name) for name in sys.argv[1:]]]))
"""


class Package(NamedTuple):
    """A package of the project: its name, and the file that importing it should give."""

    name: str
    file: Path


class Found(NamedTuple):
    """Where a package comes from: for an installed program, and for `python -m` in the worktree."""

    installed: Path | None
    here: Path | None


def imports(project: Project) -> list[Problem]:
    """Importing the project's packages in a session gives the files of its worktree."""
    live = [session for session in project.store.load_all()[0] if session.worktree.is_dir()]
    return [problem for session in live for problem in _of_session(project, session, live)]


def _of_session(project: Project, session: Session, live: list[Session]) -> list[Problem]:
    packages = packages_in(session.worktree)
    env = environment.for_session(session.environment(project.home))
    own = session.worktree / ".venv"
    if not packages:
        return []
    if (own / "bin" / "python").exists() and project.git_at(session).run("ls-files", "--", ".venv"):
        return [
            note(
                "unknown",
                f"imports of {session.name} were not looked at: its .venv is tracked",
                session=session.name,
            )
        ]
    python = str(own / "bin" / "python") if (own / "bin" / "python").exists() else _on_path(env.get("PATH"))
    if python is None:
        return []
    found = _ask_python(python, session, packages, env)
    places = {"the main worktree": project.main} | {
        other.name: other.worktree for other in live if other != session
    }
    for package, where in zip(packages, found, strict=True):
        problem = judge(session, package, where, {name: top for name, top in places.items() if top})
        if problem is not None:
            return [problem]  # one cure is enough for all of them
    return []


def _on_path(path: str | None) -> str | None:
    return processes.find_program("python3", path=path) or processes.find_program("python", path=path)


def packages_in(worktree: Path) -> list[Package]:
    """Return the first packages of a Python project, none when it is not one."""
    if not any((worktree / name).is_file() for name in PROJECT_FILES):
        return []
    for top in (worktree / "src", worktree):
        files = sorted(top.glob("*/__init__.py"))
        found = [Package(file.parent.name, file) for file in files if _is_package_name(file.parent.name)]
        if found:
            return found[:MOST]
    return []


def _is_package_name(name: str) -> bool:
    return name.isidentifier() and not name.startswith("_") and name not in NO_PACKAGES


def _ask_python(python: str, session: Session, packages: list[Package], env: dict[str, str]) -> list[Found]:
    names = [package.name for package in packages]
    done = processes.run([python, "-c", PROBE, *names], cwd=session.worktree, env=env, timeout=PROBE_SECONDS)
    if done.status != 0:
        said = done.err.decode("utf-8", "replace").strip().splitlines()
        raise ValueError(f"{python} in {session.name}: {said[-1] if said else f'status {done.status}'}")
    # a .pth file may print lines of its own before ours
    installed, here = json.loads(done.out.splitlines()[-1])
    return [Found(_path(session, a), _path(session, b)) for a, b in zip(installed, here, strict=True)]


def _path(session: Session, said: str | None) -> Path | None:
    return Path(os.path.realpath(session.worktree / said)) if said else None


def judge(session: Session, package: Package, where: Found, places: dict[str, Path]) -> Problem | None:
    """Return what is wrong with where a package comes from, None when it is the session's own file."""
    own = Path(os.path.realpath(package.file))
    if own in (where.installed, where.installed or where.here):
        return None
    name = session.name
    if where.installed is None:
        says = f"Python in {name} can't import {package.name}: it is not installed there"
        return note("not-importable", says, cure=install(session.worktree), session=name)
    who = "programs such as pytest import" if where.here == own else "Python imports"
    owners = [owner for owner, top in places.items() if where.installed.is_relative_to(os.path.realpath(top))]
    whose = f"{owners[-1]}'s files" if owners else "an installed copy"
    says = f"in {name}, {who} {package.name} from {where.installed.parent}: {whose}, not its own"
    return warning("wrong-import", says, cure=install(session.worktree), session=name)


def install(worktree: Path) -> str:
    """Return the command that gives a worktree an environment of its own."""
    at = shlex.quote(str(worktree))
    if (worktree / "uv.lock").is_file():
        return f"uv sync --directory {at}"
    pip = f"{at}/.venv/bin/python -m pip install -e {at}"
    return pip if (worktree / ".venv").is_dir() else f"python3 -m venv {at}/.venv && {pip}"
