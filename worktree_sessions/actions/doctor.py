"""`wts doctor`: looks at everything that can be wrong, and with `--fix` mends what loses nothing.

Looking changes nothing and takes no lock. A probe that fails is a finding of its own, `unknown`: it is never taken
for health, and it never stops the others. Mending comes first and the looking after it, so that what is told is what
is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from worktree_sessions.actions import checkrecords, checks, checktrees, importing, mending
from worktree_sessions.actions.project import Project
from worktree_sessions.errors import WtsError
from worktree_sessions.model.problem import Problem, warning

Check = Callable[[Project], list[Problem]]

CHECKS: Mapping[str, Check] = {
    "git": checks.git_version,
    "Claude": checks.claude_program,
    "Claude's hooks": checks.claude_hooks,
    "the lock": checks.lock,
    "unfinished operations": checks.operations,
    "records": checkrecords.records,
    "numbers": checkrecords.numbers,
    "worktrees of sessions": checktrees.worktrees,
    "branches of sessions": checktrees.branches,
    "parents": checktrees.parents,
    "other worktrees": checktrees.strangers,
    "half-made worktrees": checktrees.half_made,
    "set-up": checkrecords.setups,
    "event logs": checkrecords.event_logs,
    "Claude's plugin": checkrecords.plugins,
    "git hooks": checks.git_hooks,
    "imports": importing.imports,
    "leftovers": checks.leftovers,
    "trash": checks.trash,
    "disk": checks.disk,
}

MENDS: Mapping[str, Check] = {
    "unfinished operations": mending.operations,
    "half-made worktrees": mending.half_made,
    "leftovers": mending.leftovers,
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings: what was mended first, then in the order of the checks."""

    findings: tuple[Problem, ...]

    @property
    def left(self) -> tuple[Problem, ...]:
        """What is wrong and was not mended."""
        return tuple(problem for problem in self.findings if problem.is_left)


def examine(project: Project) -> Diagnosis:
    """Look at everything; change nothing."""
    return Diagnosis(tuple(_ask_all(project, CHECKS, "looked at")))


def mend(project: Project) -> Diagnosis:
    """Mend what can be mended without losing anything, then look at everything."""
    tried = _ask_all(project, MENDS, "mended")
    told = {(problem.code, problem.session) for problem in tried if not problem.fixed} - {("unknown", None)}
    found = [
        problem
        for problem in _ask_all(project, CHECKS, "looked at")
        if (problem.code, problem.session) not in told
    ]
    return Diagnosis((*tried, *found))


def _ask_all(project: Project, probes: Mapping[str, Check], done: str) -> list[Problem]:
    return [
        problem
        for what, probe in probes.items()
        for problem in _ask(project, probe, f"{what} could not be {done}")
    ]


def _ask(project: Project, probe: Check, failed: str) -> list[Problem]:
    try:
        return probe(project)
    except (WtsError, OSError, ValueError) as failure:
        return [warning("unknown", f"{failed}: {failure}")]
