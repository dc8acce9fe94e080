"""A merge that stops at conflicts, opened in a worktree just as `git merge` leaves one: all of it, or nothing.

`git merge` itself can't be cut short: killed, it leaves a lock that may be anybody's and files that are half of each
side, and it writes MERGE_HEAD after it has let go of the index, so one that outlives a killed wts would open a merge
that was taken back meanwhile. So its three parts are done one by one. `merge-tree` has said what files and index
will hold, to the byte what `git merge` would make of them; `read-tree` moves the files, as for a branch that moves
(`following`); MERGE_HEAD comes last. Marks of it, all in the worktree's git directory:

    index.lock           a link that names us: no git moves HEAD, stages or commits here until it is over
    wts-merge-OLD-LEFT   the new index in the making; the worktree's own stays that of OLD until it is put in its place

A half-opened merge is always taken back: files that hold what git writes there go back to OLD, any other content is
somebody's and stays as a change. One that is open is taken back only as long as nobody has begun to resolve it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from worktree_sessions.actions import following, moving
from worktree_sessions.actions.following import ABSENT, ALONE, SUBMODULE, Place
from worktree_sessions.actions.project import Project
from worktree_sessions.errors import Refused, WtsError
from worktree_sessions.model.operation import Args, Step
from worktree_sessions.model.session import Session
from worktree_sessions.model.words import quoted
from worktree_sessions.outside import merging
from worktree_sessions.outside.git import Git, Oid, Ref, full, open_operation, short
from worktree_sessions.outside.merging import Layout

KIND = "begin-merge"
PRIVATE = "wts-merge-"


def begin_merge(
    session: Session, old: Oid, theirs: Oid, *, layout: Layout, left: Oid, message: str, says: str
) -> Step:
    """Open the merge of a commit into a session's branch, which stands at `old`, in the session's worktree.

    `layout` is what it leaves, and `left` a commit of the same tree, which keeps it from garbage collection.
    """
    args: Args = {
        "worktree": str(session.worktree),
        "ref": full(session.branch),
        "old": old,
        "theirs": theirs,
        "left": left,
        "tree": layout.tree,
        "stages": list(layout.stages),
        "message": message,
        moving.KEEPS: left,
    }
    return Step(KIND, says, args)


def look(git: Git, session: Session, old: Oid, left: Oid) -> None:
    """Raise Refused, naming the file, when the merge would touch what is not committed; `git` can read `left`."""
    place = Place.of(session.worktree)
    following.wait_for_index(place)
    _refuse_hindrance(place, full(session.branch), following.changes(git, old, left))


def _refuse_hindrance(place: Place, ref: Ref, todo: list[following.Change]) -> None:
    if found := following.hindrance(place, todo):
        raise Refused(
            found.code,
            f"the merge into {short(ref)} is not opened, nothing was changed: in {place.top}, {found.says}",
            hint=f"commit, or move away, what git -C {quoted(place.top)} status --ignored names",
            details=found.paths,
        )


def message(git: Git, parent: str, theirs: Oid, layout: Layout) -> str:
    """Return the message that `git merge` prepares: who is merged, and as a comment what is in conflict."""
    title = git.run("fmt-merge-msg", stdin=os.fsencode(f"{theirs}\t\tbranch '{parent}' of .\n"))
    hint = os.fsencode("Conflicts:\n" + "".join(f"\t{path}\n" for path in merging.paths_of(layout.stages)))
    return os.fsdecode(title + b"\n" + git.run("stripspace", "--comment-lines", stdin=hint))


# -- the step --------------------------------------------------------------------------------------


def do(project: Project, args: Args) -> None:
    """Carry the step out, or once more what a dead process left of it."""
    place = _place(project, args)
    if place is None:
        raise Refused("missing", f"{args['worktree']} is no worktree any more", hint="wts list")
    if _is_half_open(place):
        _take_back(place, args)
    if _merge_head(place) != args["theirs"]:
        _open(place, args)


def undo(project: Project, args: Args) -> None:
    """Take the step back, done or half done; a merge that somebody has worked on since is theirs."""
    place = _place(project, args)
    if place is not None and (_is_half_open(place) or _is_as_left(place, args)):
        _take_back(place, args)


def _place(project: Project, args: Args) -> Place | None:
    top = Path(args["worktree"])
    if all(row.path != top for row in project.git.worktrees()):
        return None
    if not top.is_dir():
        says = f"a merge may be half open in {top}, which is not there"
        raise Refused("missing", says, hint="bring the disk back, or wts restore; then wts doctor --fix")
    return Place.of(top)


def _is_half_open(place: Place) -> bool:
    return following.is_locked_by_us(place) or any(place.admin.glob(f"{PRIVATE}*"))


def _merge_head(place: Place) -> str | None:
    try:
        return (place.admin / "MERGE_HEAD").read_text().strip()
    except FileNotFoundError:
        return None


def _private(place: Place, args: Args) -> Path:
    return place.admin / f"{PRIVATE}{args['old']}-{args['left']}"


# -- forth -----------------------------------------------------------------------------------------


def _open(place: Place, args: Args) -> None:
    following.lock(place)
    try:
        _refuse_changed(place, args)
    except (WtsError, OSError):
        following.unlock(place)
        raise
    try:
        private = _private(place, args)
        following.copy_index(place.index, private)
        following.move_files(place, private, Ref(args["ref"]), Oid(args["old"]), Oid(args["left"]))
        index = place.git.with_env(GIT_INDEX_FILE=str(private))
        _check_out_left_out(index, merging.paths_of(args["stages"]))
        merging.put_stages(index, args["stages"])
        _refuse_elsewhere(place, args)
        _write_state(place, args)
        os.replace(private, place.index)
    except (WtsError, OSError):
        _take_back(place, args)
        raise
    following.unlock(place)


def _refuse_changed(place: Place, args: Args) -> None:
    _refuse_elsewhere(place, args)
    operation = open_operation(place.admin)
    if operation is not None:
        raise following.refused_mid_operation(place.top, Ref(args["ref"]), operation)
    todo = following.changes(place.git, Oid(args["old"]), Oid(args["left"]))
    _refuse_hindrance(place, Ref(args["ref"]), todo)


def _refuse_elsewhere(place: Place, args: Args) -> None:
    """Raise Refused when the worktree is not on its branch any more, or that has moved."""
    ref = Ref(args["ref"])
    if place.git.ask("symbolic-ref", "--quiet", "HEAD").out != os.fsencode(f"{ref}\n"):
        raise Refused("switched", f"{place.top} was switched away from {short(ref)} meanwhile", hint="again")
    if (stands := place.git.refs(ref).get(ref)) != args["old"]:
        raise moving.moved(ref, args["old"], stands)


def _check_out_left_out(index: Git, paths: Sequence[str]) -> None:
    """Write the files in conflict that a sparse checkout has left out, as `git merge` does."""
    rows = (row.split(" ", 1) for row in index.fields("ls-files", "-t", "-z"))
    left_out = sorted({path for tag, path in rows if tag == "S"} & set(paths))
    if left_out:
        index.run(*ALONE, "update-index", "--no-skip-worktree", "-z", "--stdin", stdin=_z(left_out))
        index.run(*ALONE, "checkout-index", "-q", "-z", "--stdin", stdin=_z(left_out))


def _write_state(place: Place, args: Args) -> None:
    """Write what makes a merge of it; MERGE_HEAD last, and in one step."""
    place.git.run(*ALONE, "update-ref", "ORIG_HEAD", args["old"])
    place.git.ask(*ALONE, "update-ref", "AUTO_MERGE", args["tree"])  # for `git diff AUTO_MERGE`
    (place.admin / "MERGE_MSG").write_bytes(os.fsencode(args["message"]))
    (place.admin / "MERGE_MODE").write_text("no-ff")
    half = _private(place, args).with_suffix(".head")
    half.write_text(f"{args['theirs']}\n")
    os.replace(half, place.admin / "MERGE_HEAD")


# -- back ------------------------------------------------------------------------------------------


def _take_back(place: Place, args: Args) -> None:
    """Bring files, index and state back to OLD; can be cut short and done again.

    Where somebody has taken our lock away and moved HEAD or begun something since, only our marks go.
    """
    private, head = _private(place, args), _merge_head(place)
    following.lock(place)
    following.outlive(place, private)
    is_begun = private.exists() or head == args["theirs"]
    if is_begun and _is_nobody_elses(place, args):
        following.copy_index(place.index, private)
        if head is not None:
            _reset_index(place, args)
        place.git.run("merge", "--quit")
        following.put_back(place, private, Oid(args["old"]), Oid(args["left"]))
        os.replace(private, place.index)
    for mark in place.admin.glob(f"{PRIVATE}*"):
        mark.unlink()
    following.unlock(place)


def _is_nobody_elses(place: Place, args: Args) -> bool:
    head, operation = _merge_head(place), open_operation(place.admin)
    is_ours = operation is None or (operation == "merge" and head == args["theirs"])
    return is_ours and place.git.resolve("HEAD") == args["old"]


def _reset_index(place: Place, args: Args) -> None:
    """Give the worktree the index of OLD, with all that it knows of files which the merge has not touched."""
    scratch = _private(place, args).with_suffix(".old")
    following.outlive(place, scratch)
    following.copy_index(place.index, scratch)
    place.git.with_env(GIT_INDEX_FILE=str(scratch)).run(*ALONE, "read-tree", "--reset", args["old"])
    os.replace(scratch, place.index)


def _is_as_left(place: Place, args: Args) -> bool:
    """Return whether the merge is open and every file is as it was left."""
    if _merge_head(place) != args["theirs"] or place.git.resolve("HEAD") != args["old"]:
        return False
    todo = following.changes(place.git, Oid(args["old"]), Oid(args["left"]))
    with following.writer(place.git, Oid(args["left"])) as written:
        return all(_holds(place.top / one.path, one, written) for one in todo)


def _holds(file: Path, change: following.Change, written: following.Written) -> bool:
    if change.new.mode == SUBMODULE:
        return True
    is_directory = file.is_dir() and not file.is_symlink()
    if change.new.mode == ABSENT or is_directory or not os.path.lexists(file):
        return change.new.mode == ABSENT and (is_directory or not os.path.lexists(file))
    content = os.fsencode(os.readlink(file)) if file.is_symlink() else file.read_bytes()
    return content == written(change.path, change.new)


def _z(rows: Sequence[str]) -> bytes:
    return b"".join(os.fsencode(row) + b"\0" for row in rows)
