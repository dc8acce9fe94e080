"""Which branches there are, and from where a feature and a session start. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from worktree_sessions.actions.project import Project
from worktree_sessions.errors import Refused, UsageError, WtsError
from worktree_sessions.model.session import Session
from worktree_sessions.outside.git import BranchName, Oid, Ref, full


class Start(NamedTuple):
    """A commit to start from, and where it was found: feature/auth, or origin/main (2 commits ahead of main)."""

    oid: Oid
    found: str


class Branches:
    """The repository's branches, read once."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._git = project.git
        refs = self._git.refs("refs/heads", "refs/remotes")
        self.local = {ref: oid for ref, oid in refs.items() if ref.startswith("refs/heads/")}
        self.remote = {ref: oid for ref, oid in refs.items() if ref.startswith("refs/remotes/")}

    def require_commit(self) -> None:
        """Raise WtsError in a repository without a commit: there is nothing a worktree could start from."""
        if not self.local and not self.remote:
            raise WtsError(
                "no-commit",
                f"{self._project.home} has no commit yet",
                hint='git commit --allow-empty -m "Start"',
            )

    def features(self, sessions: list[Session]) -> list[str]:
        """Return the features: of sessions, and of the branches under the prefix that are no session's."""
        prefix = self._project.settings.branch_prefix
        own = {full(session.branch) for session in sessions}
        names = {session.feature for session in sessions}
        for ref in self.local:
            branch = ref.removeprefix("refs/heads/")
            if ref not in own and prefix and branch.startswith(prefix):
                names.add(branch.removeprefix(prefix))
        return sorted(names)

    def start_of(self, branch: BranchName) -> Start | None:
        """Return the freshest of a branch's local and remote tips, None when there is no such branch."""
        local = self.local.get(full(branch))
        remotes = {
            ref.removeprefix("refs/remotes/"): oid
            for ref, oid in self.remote.items()
            if self._tracks(ref, branch)
        }
        if local is None:
            return next((Start(oid, name) for name, oid in remotes.items()), None)
        for name, oid in remotes.items():
            if oid != local and self._git.is_ancestor(local, oid):
                ahead, _ = self._git.ahead_behind(local, oid)
                return Start(
                    oid, f"{name}, {ahead} {'commit' if ahead == 1 else 'commits'} ahead of {branch}"
                )
        return Start(local, branch)

    def _tracks(self, ref: Ref, branch: str) -> bool:
        remote, _, rest = ref.removeprefix("refs/remotes/").partition("/")
        return bool(remote) and rest == branch

    def default(self) -> BranchName:
        """Return the default branch: the setting, the remote's HEAD, init.defaultBranch, the main worktree's branch."""
        for name in self._default_candidates():
            if name and self.start_of(BranchName(name)) is not None:
                return BranchName(name)
        raise WtsError(
            "no-default-branch",
            "the default branch can't be told",
            hint="wts new ... --base BRANCH, or set default_branch in .wts.toml",
        )

    def _default_candidates(self) -> Iterator[str | None]:
        """Yield one by one: the later ones ask git."""
        chosen = self._project.settings.default_branch
        if chosen:
            if self.start_of(BranchName(chosen)) is None:
                raise UsageError(
                    "no-branch",
                    f"default_branch is {chosen}, and there is no such branch",
                    hint="wts config --origin",
                )
            yield chosen
            return
        yield from self._remote_heads()
        yield self._git.config("init.defaultBranch")
        yield from ("main", "master")
        yield self._main_head()
        yield from (ref.removeprefix("refs/heads/") for ref in self.local)

    def _remote_heads(self) -> list[str]:
        heads = sorted(ref for ref in self.remote if ref.endswith("/HEAD") and ref.count("/") == 3)
        if not heads:
            return []
        first = f"refs/remotes/{self._git.config('checkout.defaultRemote') or 'origin'}/HEAD"
        names = []
        for ref in sorted(heads, key=lambda head: head != first):
            target = self._git.ask("symbolic-ref", "--quiet", ref).out.decode().strip()
            names.append(target.removeprefix(ref.removesuffix("HEAD")))
        return [name for name in names if name]

    def _main_head(self) -> str | None:
        done = self._git.ask("symbolic-ref", "--quiet", "--short", "HEAD")
        return done.out.decode().strip() or None

    def refuse_clash(self, branch: BranchName) -> None:
        """Raise Refused when git could not hold this branch beside the others: a/b and a can't both be branches."""
        ref = full(branch)
        for other in self.local:
            if ref.startswith(f"{other}/"):
                short = other.removeprefix("refs/heads/")
                raise Refused(
                    "branch-clash",
                    f"branch {branch} can't be made: {short} is a branch itself",
                    hint=f"git branch -m {short} {short}-old, or choose another branch_prefix in .wts.toml",
                )
            if other.startswith(f"{ref}/"):
                raise Refused(
                    "branch-clash",
                    f"branch {branch} can't be made: {other.removeprefix('refs/heads/')} lies below it",
                    hint="choose another name",
                )
            if other != ref and other.casefold() == ref.casefold():
                raise Refused(
                    "branch-clash",
                    f"branch {branch} differs only in case from {other.removeprefix('refs/heads/')}",
                    hint="choose another name",
                )
