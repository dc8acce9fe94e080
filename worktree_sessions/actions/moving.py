"""The one way in which wts moves a branch: merge-ready, sync and undo all go through here (merging.md 2.6).

A branch that is checked out nowhere moves by compare-and-swap. One that is checked out moves only together with its
worktree (`following`), which never costs anybody a file. Several branches of one operation are several steps: all are
checked before the first begins, each is at its old or its new tip at any moment, and the engine takes the done ones
back when a later one fails or the process dies. Both tips of every branch are pinned before any moves.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.actions import following
from worktree_sessions.actions.following import Place, refused_mid_operation
from worktree_sessions.actions.project import Project
from worktree_sessions.errors import Refused
from worktree_sessions.model.operation import Args, Operation, RefMove, Step
from worktree_sessions.model.words import quoted
from worktree_sessions.outside.git import Git, GitError, Oid, Ref, Worktree, short

KIND = "move-branch"
PINS = "refs/wts/ops/"
KEEPS = "keeps"  # the argument of a step of any kind that names a commit to be pinned
PINNED_OPERATIONS = 100  # the latest; what an older one moved from is left to git's reflogs


class Follow(NamedTuple):
    """What moves with a branch: the worktree that has it checked out, None when there is none."""

    worktree: Path | None


# -- may it? ---------------------------------------------------------------------------------------


def check(project: Project, ref: Ref, old: Oid | None, new: Oid | None, *, git: Git | None = None) -> Follow:
    """Return what has to follow when a branch moves from `old` to `new`; None is absence on either side.

    `git` can read `new`, a commit or a tree, where the repository does not have it yet.

    Raises Refused, with nothing touched, when the branch does not stand at `old`, or its worktree can't follow: the
    file is named that is changed, untracked or ignored there and would be overwritten, or the open operation, or what
    else is in the way. Changes that the move does not touch refuse nothing, nor does `git worktree lock`, which
    protects from removal alone.
    """
    stands = tip(project, ref)
    if stands != old:
        raise moved(ref, old, stands)
    row = _checked_out(project, ref)
    if row is None:
        return Follow(None)
    if old is None or new is None:
        raise Refused(
            "branch-taken",
            f"{short(ref)} can't be {'made' if old is None else 'deleted'}: it is checked out in {row.path}",
            hint=f"git -C {quoted(row.path)} switch --detach",
        )
    if not os.path.lexists(row.path / ".git"):
        force = "--force --force" if row.locked is not None else "--force"
        lock = f", locked{f' ({row.locked})' if row.locked else ''}" if row.locked is not None else ""
        raise Refused(
            "missing",
            f"{short(ref)} can't move: it is checked out in {row.path}, which is not there{lock}",
            hint=f"bring the disk back, or git worktree remove {force} {quoted(row.path)}",
        )
    following.look(Place.of(row.path), ref, following.changes(git or project.git, old, new))
    return Follow(row.path)


def tip(project: Project, ref: Ref) -> Oid | None:
    """Return where a ref stands, None when there is no such ref."""
    return project.git.refs(ref).get(ref)


def moved(ref: Ref, expected: Oid | None, stands: Oid | None) -> Refused:
    """Return the refusal of a move whose branch stands elsewhere."""
    was, now = (f"at {oid[:10]}" if oid else "not there" for oid in (expected, stands))
    return Refused("moved", f"{short(ref)} has moved meanwhile: it was {was}, it is {now}", hint="again")


def _checked_out(project: Project, ref: Ref) -> Worktree | None:
    rows = [row for row in project.git.worktrees() if row.branch == ref]
    for admin in _admins(project):
        if operation := _borrows(admin, ref):
            raise refused_mid_operation(_top_of(project, admin), ref, operation)
    if len(rows) > 1:
        raise Refused(
            "branch-taken",
            f"{short(ref)} can't move: it is checked out in {rows[0].path} and in {rows[1].path}",
            hint=f"git -C {quoted(rows[1].path)} switch --detach",
        )
    return rows[0] if rows else None


def _admins(project: Project) -> Iterator[Path]:
    yield project.repository.common_dir
    yield from sorted((project.repository.common_dir / "worktrees").glob("*"))


def _borrows(admin: Path, ref: Ref) -> str | None:
    """Return the operation, open in a worktree whose HEAD is detached for it, that will put a branch back."""
    for name, operation in (
        ("rebase-merge/head-name", "rebase"),
        ("rebase-apply/head-name", "rebase"),
        ("rebase-merge/update-refs", "rebase"),
        ("BISECT_START", "bisect"),
    ):
        try:
            lines = os.fsdecode((admin / name).read_bytes()).splitlines()
        except OSError:
            continue
        if ref in lines or short(ref) in lines:
            return operation
    return None


def _top_of(project: Project, admin: Path) -> Path:
    if admin == project.repository.common_dir:
        return project.home
    gitfile = os.fsdecode((admin / "gitdir").read_bytes()).removesuffix("\n")
    return Path(os.path.normpath(admin / gitfile)).parent


# -- the step --------------------------------------------------------------------------------------


def move_branch(ref: Ref, old: Oid | None, new: Oid | None, worktree: Path | None, says: str) -> Step:
    """Move a branch, and the worktree that `check` named with it; `says` goes into its reflog, too."""
    args = {"ref": ref, "old": old, "new": new, "worktree": str(worktree) if worktree else None, "says": says}
    return Step(KIND, says, args, RefMove(ref, old, new))


def do(project: Project, args: Args) -> None:
    """Carry a step out, or what a dead process left of it."""
    _settle(project, args)
    if tip(project, args["ref"]) != args["new"]:
        _move(project, args, args["old"], args["new"])


def undo(project: Project, args: Args) -> None:
    """Take a step back, done or half done; a branch that others moved on meanwhile is theirs."""
    _settle(project, args)
    if tip(project, args["ref"]) == args["new"]:
        _move(project, args, args["new"], args["old"])


def _settle(project: Project, args: Args) -> None:
    top = Path(args["worktree"]) if args["worktree"] else None
    if top is None or all(row.path != top for row in project.git.worktrees()):
        return
    if not top.is_dir():
        says = f"{short(args['ref'])} may be half moved: its worktree {top} is not there"
        raise Refused("missing", says, hint="bring the disk back, or wts restore; then wts doctor --fix")
    following.settle(Place.of(top), args["ref"])


def _move(project: Project, args: Args, old: Oid | None, new: Oid | None) -> None:
    ref = Ref(args["ref"])
    worktree = check(project, ref, old, new).worktree
    if worktree is None or old is None or new is None:
        _set_ref(project, project.git, args, old, new)
        return
    if str(worktree) != args["worktree"]:
        raise Refused("moved", f"{short(ref)} is checked out in {worktree} since a moment ago", hint="again")
    place = Place.of(worktree)

    def check_again() -> None:
        if check(project, ref, old, new).worktree != worktree:
            says = f"{worktree} was switched away from {short(ref)} meanwhile"
            raise Refused("switched", says, hint="again")

    move_ref = functools.partial(_set_ref, project, place.git, args, old, new)  # there: its HEAD has a reflog
    following.follow(place, ref, old, new, check=check_again, move_ref=move_ref)


def _set_ref(project: Project, git: Git, args: Args, old: Oid | None, new: Oid | None) -> None:
    ref = Ref(args["ref"])
    try:
        git.update_refs(f"wts: {args['says']}", (ref, new, old))
    except GitError as error:
        if (stands := tip(project, ref)) != old:
            raise moved(ref, old, stands) from error
        raise Refused(
            "ref-locked",
            f"git does not let {short(ref)} move",
            hint="again, when no other git works on it",
            details=tuple(error.said.splitlines()),
        ) from error


# -- that gc keeps what undo needs ---------------------------------------------------------------------


def pin(project: Project, operation: Operation) -> None:
    """Keep both tips of every branch that an operation will move, and what else its steps name.

    What the oldest operations have pinned is let go.
    """
    wanted = _worth_keeping(operation)
    if not wanted:
        return
    pinned = project.git.refs(PINS)
    operations = sorted({name.removeprefix(PINS).partition("/")[0] for name in pinned})
    gone = set(operations[: max(0, len(operations) - PINNED_OPERATIONS + 1)])
    kept = [(Ref(f"{PINS}{operation.id}/{name}"), oid, None) for name, oid in wanted]
    dropped = [
        (name, None, oid) for name, oid in pinned.items() if name.removeprefix(PINS).partition("/")[0] in gone
    ]
    project.git.update_refs("wts", *kept, *dropped)


def _worth_keeping(operation: Operation) -> list[tuple[str, Oid]]:
    """Return the commits to be pinned, each with the end of its ref's name."""
    steps = operation.plan.steps
    moves = operation.plan.refs if any(step.kind == KIND for step in steps) else ()
    tips = [
        (f"{number}/{side}", oid)
        for number, move in enumerate(moves)
        for side, oid in (("before", move.before), ("after", move.after))
        if oid
    ]
    named = [(number, step.args[KEEPS]) for number, step in enumerate(steps) if KEEPS in step.args]
    return [*tips, *((f"{number}/{KEEPS}", Oid(oid)) for number, oid in named)]
