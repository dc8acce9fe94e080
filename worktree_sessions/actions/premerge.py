"""The `pre-merge-commit` hook has its say over each merge that is to land.

It looks at an index and files with the merge in it, before it is committed. No session's worktree may hold that: so it
runs in the scratch one. What lands is what was tested, so a hook that changes something else than files can't.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from worktree_sessions.actions.forecast import Chain, Link
from worktree_sessions.actions.gate import Gate
from worktree_sessions.actions.mergeplan import FeaturePlan
from worktree_sessions.actions.project import Project
from worktree_sessions.errors import Refused
from worktree_sessions.model.landing import Strategy
from worktree_sessions.outside import merging
from worktree_sessions.outside.git import Oid, at_top, has

HOOK = "pre-merge-commit"


def has_its_say(project: Project, one: FeaturePlan, chain: Chain) -> bool:
    """Return whether there is such a hook, and merge commits that it is for."""
    return one.making.strategy is Strategy.MERGE and _is_installed(project, chain.head)


def _is_installed(project: Project, commit: Oid) -> bool:
    """Return whether git knows such a hook; a relative `core.hooksPath` means files of the branch itself."""
    git = at_top(project.main) if project.main else project.git
    file = git.line("rev-parse", "--git-path", f"hooks/{HOOK}")
    if os.access(Path(git.directory, file), os.X_OK):
        return True
    if not os.path.isabs(file) and git.ask("cat-file", "-e", f"{commit}:{file}").status == 0:
        return True
    return has("config-hooks") and git.ask("hook", "list", HOOK).status == 0


def ask(project: Project, one: FeaturePlan, chain: Chain, tell: Callable[[str], None]) -> None:
    """Run the hook for each merge of a chain; raise Refused when it lets one not pass, or changes what is merged."""
    with Gate(project, one.feature, one.target, one.command or "", tell=tell) as gate:
        head = chain.base
        for link in chain.links:
            tell(f"{HOOK} for {link.candidate.session.name}")
            _ask_of(gate, head, link, merging.tree_of(project.git, link.commit))
            head = link.commit


def _ask_of(gate: Gate, head: Oid, link: Link, tree: Oid) -> None:
    session = link.candidate.session
    with gate.merge_laid_out(head, link.commit, link.candidate.tip) as git:
        done = git.with_env(GIT_EDITOR=":").ask("hook", "run", "--ignore-missing", HOOK)
        said = tuple((done.out + done.err).decode("utf-8", "replace").strip().splitlines())
        changed = done.status == 0 and git.line("write-tree") != tree
    if done.status == 0 and not changed:
        return
    raise Refused(
        HOOK,
        f"the {HOOK} hook {'changes' if changed else 'does not let'} the merge of {session.name}"
        + ("" if changed else " pass"),
        hint=f"see the hook, or wts merge-ready --skip {session.number}",
        session=session.name,
        details=said,
    )
