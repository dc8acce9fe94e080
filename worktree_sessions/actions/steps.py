"""Every kind of step that a plan may hold: how it is done, and how it is taken back.

Each `do` can be done again after a crash in its middle, each `undo` bears that its step was never or only half done.
None removes what a person or an agent made: a worktree goes to the trash by a rename before git forgets it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.actions import heldback, hooksteps, messages, moving, opening, precious, snapshot
from worktree_sessions.actions.project import Project, registered
from worktree_sessions.errors import WtsError
from worktree_sessions.model.operation import Args, RefMove, Step
from worktree_sessions.model.session import Session
from worktree_sessions.outside import files, processes
from worktree_sessions.outside.anchors import Anchor
from worktree_sessions.outside.git import BranchName, Git, GitError, Oid, Ref, at_top, full


class Kind(NamedTuple):
    """How a kind of step is done and taken back."""

    do: Callable[[Project, Args], None]
    undo: Callable[[Project, Args], None]


# Marks a trash whose tree the snapshot holds, but for the paths that the mark lists: the rest of it may go.
PICTURED = "pictured"

# Marks a trash that holds what could not be put back.
NOT_ALL_BACK = "not-all-back"


def _leave(_: Project, __: Args) -> None:
    """Nothing to take back: what the step left is harmless, and may be wanted."""


# -- refs --------------------------------------------------------------------------------------


def create_ref(ref: Ref, oid: Oid, says: str) -> Step:
    return Step("create-ref", says, {"ref": ref, "oid": oid}, RefMove(ref, None, oid))


def keep_anchor(anchor: Anchor, keeper: Oid) -> Step:
    """Keep that a tip landed as another commit. An undo leaves it: it counts only where that commit is."""
    says = f"keep that {anchor.tip[:10]} landed as {anchor.commit[:10]}"
    return Step("create-ref", says, {"ref": anchor.ref, "oid": keeper})


def _do_create_ref(project: Project, args: Args) -> None:
    try:
        project.git.update_refs("wts", (args["ref"], args["oid"], None))
    except GitError:
        if project.git.refs(args["ref"]).get(args["ref"]) != args["oid"]:  # else done before a crash
            raise


def _undo_create_ref(project: Project, args: Args) -> None:
    if project.git.refs(args["ref"]).get(args["ref"]) == args["oid"]:
        project.git.update_refs("wts: undo", (args["ref"], None, args["oid"]))


def delete_branch(ref: Ref, oid: Oid, says: str) -> Step:
    """Delete a branch that still stands at `oid`; one that has moved meanwhile is kept."""
    return Step("delete-branch", says, {"ref": ref, "oid": oid}, RefMove(ref, oid, None))


def pin_branch(session: Session, stood: Oid, keeper: Ref, says: str) -> Step:
    """Keep a branch's tip (`stood`, where the branch is gone), and what only reflogs hold, on a private ref."""
    args = {"ref": full(session.branch), "tip": stood, "keeper": keeper, "path": str(session.worktree)}
    return Step("pin-branch", says, args)


def _do_pin_branch(project: Project, args: Args) -> None:
    tip = project.git.refs(args["ref"]).get(args["ref"]) or Oid(args["tip"])
    path = Path(args["path"])
    admin = admin_of(project, path) if path in registered(project) else None
    snapshot.pin(project.git, args["ref"], tip, args["keeper"], admin=admin)


# -- worktrees ---------------------------------------------------------------------------------


def add_worktree(path: Path, start: Oid, *, branch: str | None, new_branch: str | None, says: str) -> Step:
    """Add a worktree at `start`: on a new branch, on an existing one, or (with neither) detached."""
    args = {"path": str(path), "start": start, "branch": branch, "new_branch": new_branch}
    made = RefMove(full(BranchName(new_branch)), None, start) if new_branch else None
    return Step("add-worktree", says, args, made)


def add_empty_worktree(path: Path, start: Oid, *, branch: str | None, says: str) -> Step:
    """Add a worktree with no file in it yet, on an existing branch or detached; `fill` follows."""
    return Step(
        "add-worktree",
        says,
        {"path": str(path), "start": start, "branch": branch, "new_branch": None, "empty": True},
    )


def _do_add_worktree(project: Project, args: Args) -> None:
    path = Path(args["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    words = ["worktree", "add", "--quiet"]
    if args.get("empty"):
        words.append("--no-checkout")
    if args["new_branch"]:
        # --no-track: parallel adds race for config.lock (7 of 24 failed without it, none with it)
        words += ["--no-track", "-b", args["new_branch"]]
    elif not args["branch"]:
        words.append("--detach")
    project.git.run(*words, "--", str(path), args["branch"] or args["start"])


def _undo_add_worktree(project: Project, args: Args) -> None:
    path, start = Path(args["path"]), args["start"]
    if path in registered(project):
        _discard(project, path, start)
    elif path.is_dir() and not path.is_symlink() and not os.listdir(path):
        path.rmdir()  # what is there and not registered is somebody else's, unless it is empty
    if args["new_branch"]:
        ref = f"refs/heads/{args['new_branch']}"
        _undo_create_ref(project, {"ref": ref, "oid": start})


def _discard(project: Project, path: Path, start: str) -> None:
    """Take a half-made worktree away; a file whose content the start commit does not hold stays in the trash."""
    files.call_back(path)
    if path.exists():
        trash = project.store.trash_dir / f"half-made-{path.name}-{os.urandom(3).hex()}"
        files.move(path, trash / "tree")
        _drop_known(project.git, trash / "tree", start)
        with_nothing_left(trash)
    project.git.run("worktree", "remove", "--force", "--force", "--", str(path))


def _drop_known(git: Git, tree: Path, start: str) -> None:
    (tree / ".git").unlink(missing_ok=True)
    found = [
        str(Path(folder, name).relative_to(tree)) for folder, _, names in os.walk(tree) for name in names
    ]
    for path in snapshot.known_paths(git, tree, found, start):
        (tree / path).unlink()


def with_nothing_left(directory: Path) -> None:
    """Remove the empty directories at and below a path; those that hold something stay."""
    for folder, _, __ in os.walk(directory, topdown=False):
        if not os.listdir(folder):
            os.rmdir(folder)


def move_worktree(session: Session, trash: Path, says: str) -> Step:
    """Move a worktree to the trash in one rename: from here on nobody can change it."""
    return Step("move-worktree", says, {"path": str(session.worktree), "trash": str(trash)})


def _do_move_worktree(project: Project, args: Args) -> None:
    path, tree = Path(args["path"]), Path(args["trash"]) / "tree"
    if path.is_dir() and not tree.exists() and path in registered(project):
        files.move(path, tree)


def _undo_move_worktree(_: Project, args: Args) -> None:
    path, tree = Path(args["path"]), Path(args["trash"]) / "tree"
    if tree.exists():
        files.forget_aside(path)
        files.move(tree, path)
        tree.parent.rmdir()
    files.call_back(path)


def forget_worktree(session: Session, trash: Path, ref: Ref, says: str) -> Step:
    """Picture a worktree in the trash once more, and let git forget it.

    The second picture is what makes the close safe against a file that was saved after the first.
    """
    args = {"path": str(session.worktree), "trash": str(trash), "ref": ref, "included": session.included}
    return Step("forget-worktree", says, args)


def _do_forget_worktree(project: Project, args: Args) -> None:
    path, trash = Path(args["path"]), Path(args["trash"])
    if path not in registered(project):
        return  # done before the crash
    admin = admin_of(project, path)
    if (admin / "modules").is_dir():
        shutil.copytree(admin / "modules", trash / "modules", symlinks=True, dirs_exist_ok=True)
        files.replace_file(trash / "modules.of", os.fsencode(admin.name))
    if (trash / "tree").is_dir():
        _picture_again(project, admin, trash / "tree", args)
    if path.exists():
        # made again by a program that knows its name: git would refuse, and it is not the worktree
        files.move(admin, trash / "admin")
        files.remove(trash / "admin")
    else:
        project.git.run("worktree", "remove", "--force", "--force", "--", str(path))


def _picture_again(project: Project, admin: Path, tree: Path, args: Args) -> None:
    if processes.standing_in(tree) != []:
        return  # it goes on writing: the trash keeps the whole tree
    moved = Git(tree, {"GIT_DIR": str(admin), "GIT_WORK_TREE": str(tree)})
    before = project.git.resolve(args["ref"])
    # a submodule can't be read once its worktree has moved: then the trash keeps the whole tree, too
    with contextlib.suppress(WtsError):
        if before is None or not snapshot.work_tree_matches(moved, before):
            snapshot.take(moved, args["ref"], reason="close, after the move")
        kept = precious.paths(moved, tree, args["included"])
        files.replace_file(tree.parent / PICTURED, json.dumps(kept).encode())


def admin_of(project: Project, path: Path) -> Path:
    """Return the git directory of a linked worktree by its path, also when the worktree itself is gone."""
    for entry in (project.repository.common_dir / "worktrees").iterdir():
        try:
            gitfile = Path(os.fsdecode((entry / "gitdir").read_bytes()).removesuffix("\n"))
        except OSError:
            continue
        if Path(os.path.normpath(entry / gitfile)).parent == path:  # git 2.48 may write it relative
            return entry
    raise WtsError("no-worktree", f"git knows no worktree at {path}")


def lost_tip(project: Project, session: Session) -> Oid | None:
    """Return where a session's deleted branch stood, by its worktree's HEAD and reflog; None when they can't tell."""
    try:
        admin = admin_of(project, session.worktree)
        head, log = (admin / "HEAD").read_bytes(), (admin / "logs" / "HEAD").read_bytes()
    except (WtsError, OSError):
        return None
    told = snapshot.tip_in_log(os.fsdecode(head).strip(), log, full(session.branch))
    return project.git.resolve(told) if told else None


def thin_trash(trash: Path, says: str) -> Step:
    """Free from the trash what the snapshot holds or a build makes again."""
    return Step("thin-trash", says, {"trash": str(trash)})


def _do_thin_trash(_: Project, args: Args) -> None:
    trash = Path(args["trash"])
    tree, keep = trash / "tree", trash / "kept"
    if not tree.exists() or not (trash / PICTURED).exists():
        return
    for path in json.loads((trash / PICTURED).read_bytes()):
        if os.path.lexists(tree / path):
            files.move(tree / path, keep / path)
    files.remove(tree)
    (trash / PICTURED).unlink()
    if not os.listdir(trash):
        trash.rmdir()


def fill_worktree(path: Path, source: Oid, *, head: Oid, trash: Path, says: str) -> Step:
    """Write a snapshot's files (or, where `source` is a plain commit, its files) and the kept ignored ones."""
    return _fill(path, source, head=head, trash=trash, says=says, known=None)


def fill_known_worktree(path: Path, source: Oid, *, head: Oid, trash: Path, says: str) -> Step:
    """The same in a worktree that git still knows: its index and reflog are younger than any snapshot, and stay."""
    return _fill(path, source, head=head, trash=trash, says=says, known="index")


def _fill(path: Path, source: Oid, *, head: Oid, trash: Path, says: str, known: str | None) -> Step:
    args = {"path": str(path), "source": source, "head": head, "trash": str(trash), "known": known}
    return Step("fill-worktree", says, args)


def _do_fill_worktree(project: Project, args: Args) -> None:
    path, source, head = Path(args["path"]), Oid(args["source"]), Oid(args["head"])
    git, admin = at_top(path), admin_of(project, path)
    pinned = snapshot.read_pinned(git, source) if source != head else None
    is_of_head = pinned is not None and git.resolve(f"{source}^1") == head
    if pinned is not None and is_of_head and not args["known"]:
        snapshot.put_admin_back(git, pinned.commit, admin)
        snapshot.put_files_back(git, source)
    else:
        if not (admin / "index").exists():
            git.run("read-tree", "HEAD")
        is_merging = bool(git.run("ls-files", "-u"))
        # what is unmerged fails here, and the snapshot brings it
        git.run("checkout-index", "-a", "-f", "-q", ok=(0, 1, 128) if is_merging else (0,))
        git.ask("update-index", "-q", "--refresh")
        if source != head:
            still_fits, _ = snapshot.changed_since(git, source, head)
            snapshot.put_files_back(git, source, only=still_fits)
    _put_kept_back(Path(args["trash"]), path, admin)


def _put_kept_back(trash: Path, path: Path, admin: Path) -> None:
    """Copy what the trash kept, over nothing; the trash goes later, unless something else was in a file's place."""
    for kept in (trash / "kept", trash / "tree"):
        for folder, folders, names in os.walk(kept):
            place = path / Path(folder).relative_to(kept)
            if not os.path.lexists(place):
                place.mkdir()  # empty ones too: a repository without them is none
                shutil.copystat(folder, place)
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            back = [_put_back(Path(folder, name), place / name, path / ".git") for name in [*names, *links]]
            if not all(back):
                files.replace_file(trash / NOT_ALL_BACK, b"")
    if (trash / "modules").is_dir() and (trash / "modules.of").read_text() == admin.name:
        shutil.copytree(trash / "modules", admin / "modules", symlinks=True, dirs_exist_ok=True)


def _put_back(kept: Path, place: Path, gitfile: Path) -> bool:
    """Return whether the place holds the content of what was kept; git's own file is the new worktree's."""
    if not os.path.lexists(place):
        files.copy_file(kept, place)
        return True
    return place == gitfile or files.digest(kept) == files.digest(place)


def _undo_fill_worktree(project: Project, args: Args) -> None:
    path = Path(args["path"])
    files.call_back(path)
    if path.exists():
        files.move(
            path, project.store.trash_dir / f"half-restored-{path.name}-{os.urandom(3).hex()}" / "tree"
        )


def relink_worktree(path: Path, admin: Path, says: str) -> Step:
    """Make the directory of a worktree that git still knows anew, with the file that points to git."""
    return Step("relink-worktree", says, {"path": str(path), "admin": str(admin)})


def _do_relink(_: Project, args: Args) -> None:
    files.replace_file(Path(args["path"]) / ".git", b"gitdir: " + os.fsencode(args["admin"]) + b"\n")


def _undo_relink(_: Project, args: Args) -> None:
    path = Path(args["path"])
    if path.is_dir() and os.listdir(path) == [".git"]:
        (path / ".git").unlink()
        path.rmdir()


# -- records and snapshots ---------------------------------------------------------------------


def take_snapshot(session: Session, ref: Ref, says: str) -> Step:
    return Step("take-snapshot", says, {"path": str(session.worktree), "ref": ref})


def _do_take_snapshot(_: Project, args: Args) -> None:
    if Path(args["path"]).exists():
        snapshot.take(at_top(Path(args["path"])), Ref(args["ref"]), reason="close")


def save_record(session: Session, says: str) -> Step:
    return Step("save-record", says, {"name": session.name, "record": session.to_record().decode()})


def _do_save_record(project: Project, args: Args) -> None:
    made = Session.from_record(args["record"].encode())
    found = project.store.load(made.name)
    if found is None or (found.id, found.number) != (made.id, made.number):  # else it may be younger already
        project.store.save(made)


def _undo_save_record(project: Project, args: Args) -> None:
    made = Session.from_record(args["record"].encode())
    found = project.store.load(made.name)
    if found is not None and found.id == made.id:
        files.remove(project.store.session_dir(made.name))


def include_files(session: Session, says: str) -> Step:
    return Step("include-files", says, {"name": session.name})


def _do_include_files(project: Project, args: Args) -> None:
    from worktree_sessions.actions import setup

    session = project.store.load(args["name"])
    if session is None or project.main is None:
        return
    included = setup.include_files(project.main, session.worktree, Git(project.main))
    if included:
        project.store.save(session._replace(included=included))


def keep_message(session: Session, text: str, *, instead_of: tuple[str, ...], says: str) -> Step:
    """Leave the session's Claude a message for its next start, in place of those that begin with some words."""
    args = {"name": session.name, "id": session.id, "text": text, "instead_of": list(instead_of)}
    return Step("keep-message", says, args)


def _do_keep_message(project: Project, args: Args) -> None:
    session = project.store.load(args["name"])
    if session is None or session.id != args["id"]:
        return
    outdated = messages.beginning_with(project, session, *args["instead_of"])
    waiting = messages.beginning_with(project, session, args["text"])
    if not waiting:
        messages.add(project, session, args["text"])
    messages.forget(set(outdated) - set(waiting))


def _undo_keep_message(project: Project, args: Args) -> None:
    session = project.store.load(args["name"])
    if session is not None and session.id == args["id"]:
        messages.forget(messages.beginning_with(project, session, args["text"]))


def retire_record(session: Session, says: str) -> Step:
    return Step("retire-record", says, {"name": session.name, "id": session.id})


def _do_retire_record(project: Project, args: Args) -> None:
    live, closed = project.store.session_dir(args["name"]), project.store.closed_dir / args["id"]
    if live.exists() and not closed.exists():
        files.move(live, closed)
        os.utime(closed)
    auto = Ref(snapshot.AUTO + args["name"])
    if oid := project.git.refs(auto).get(auto):
        keep = Ref(f"{snapshot.SNAPSHOTS}{args['id']}/turn")
        project.git.update_refs(
            "wts: close", (keep, oid, project.git.refs(keep).get(keep)), (auto, None, oid)
        )


def _undo_retire_record(project: Project, args: Args) -> None:
    live, closed = project.store.session_dir(args["name"]), project.store.closed_dir / args["id"]
    if closed.exists() and not live.exists():
        files.move(closed, live)


def revive_record(session: Session, says: str) -> Step:
    """Make a closed session's record live again, with the number it has in `session`."""
    record = session.to_record().decode()
    return Step("revive-record", says, {"name": session.name, "id": session.id, "record": record})


def _do_revive_record(project: Project, args: Args) -> None:
    _undo_retire_record(project, args)
    _do_save_record(project, args)


def _undo_revive_record(project: Project, args: Args) -> None:
    live, closed = project.store.session_dir(args["name"]), project.store.closed_dir / args["id"]
    if live.exists() and not closed.exists():
        files.move(live, closed)


def empty_trash(trash: Path, says: str) -> Step:
    """Remove a trash for good."""
    return Step("empty-trash", says, {"trash": str(trash)})


def empty_trash_if_back(trash: Path, says: str) -> Step:
    """Remove a trash whose files are all back in their worktree."""
    return Step("empty-trash", says, {"trash": str(trash), "if_back": True})


def _do_empty_trash(project: Project, args: Args) -> None:
    trash = Path(args["trash"])
    if args.get("if_back") and (trash / NOT_ALL_BACK).exists():
        return
    if trash.parent == project.store.trash_dir:
        files.remove(trash)


def _do_delete_branch(project: Project, args: Args) -> None:
    ref, oid = Ref(args["ref"]), Oid(args["oid"])
    if project.git.refs(ref).get(ref) != oid:
        return
    try:
        project.git.update_refs("wts: close", (ref, None, oid))
    except GitError:
        if project.git.refs(ref).get(ref) == oid:
            raise


KINDS: dict[str, Kind] = {
    "create-ref": Kind(_do_create_ref, _undo_create_ref),
    "delete-branch": Kind(_do_delete_branch, _leave),
    moving.KIND: Kind(moving.do, moving.undo),
    opening.KIND: Kind(opening.do, opening.undo),
    heldback.KIND: Kind(heldback.do, heldback.undo),
    "pin-branch": Kind(_do_pin_branch, _leave),
    "add-worktree": Kind(_do_add_worktree, _undo_add_worktree),
    "move-worktree": Kind(_do_move_worktree, _undo_move_worktree),
    "forget-worktree": Kind(_do_forget_worktree, _leave),
    "thin-trash": Kind(_do_thin_trash, _leave),
    "fill-worktree": Kind(_do_fill_worktree, _undo_fill_worktree),
    "relink-worktree": Kind(_do_relink, _undo_relink),
    "take-snapshot": Kind(_do_take_snapshot, _leave),
    "save-record": Kind(_do_save_record, _undo_save_record),
    "include-files": Kind(_do_include_files, _leave),
    "keep-message": Kind(_do_keep_message, _undo_keep_message),
    "retire-record": Kind(_do_retire_record, _undo_retire_record),
    "revive-record": Kind(_do_revive_record, _undo_revive_record),
    "empty-trash": Kind(_do_empty_trash, _leave),
    **{kind: Kind(do, undo) for kind, (do, undo) in hooksteps.KINDS.items()},
}
