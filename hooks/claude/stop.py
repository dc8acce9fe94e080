"""The Stop hook of wts: keeps a snapshot of uncommitted work, and asks Claude once per change to commit it.

It lies beside event.py and runs as `python -S -E -B stop.py`. In this order, what can fail least first:

1. The Stop event is recorded (event.py).
2. The worktree, untracked files included and ignored ones not, becomes a commit on `refs/wts/auto/<session>`,
   made with an index of its own: the real index and the files are only read, an `index.lock` does not matter.
3. When Claude is about to stop with uncommitted work that it has not been told of, a JSON answer tells it,
   once per state of the tree. The file `stop-check-off` in the session's directory turns that off.
4. When it does stop, what tells the human is started (event.py).

Any error ends it silently with exit 0. What is inside a submodule or an embedded repository is not kept.
"""

from __future__ import annotations

import os
import sys

from event import alert, append, line_of, read_input, record, session_directory

SECONDS = 25  # for all of git together; Claude waits for us, and hooks.json gives 30
LISTED = 10
# Variables that would lead git to another repository or index, or have it ask somebody.
LEADING = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_CEILING_DIRECTORIES",
    "GIT_QUARANTINE_PATH",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_SHALLOW_FILE",
    "GIT_REPLACE_REF_BASE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_CONFIG",
    "GIT_LITERAL_PATHSPECS",
    "GIT_GLOB_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
)
QUIET = {
    "GIT_EDITOR": "false",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C.UTF-8",
    "GIT_AUTHOR_NAME": "wts",
    "GIT_AUTHOR_EMAIL": "wts@localhost",
    "GIT_COMMITTER_NAME": "wts",
    "GIT_COMMITTER_EMAIL": "wts@localhost",
}
PLAIN = (
    "core.hooksPath=/dev/null",  # no hook of the repository runs
    "core.fsmonitor=false",  # no daemon is asked or started
    "core.splitIndex=false",  # the copy stands alone
    "core.safecrlf=false",
    "advice.addEmbeddedRepo=false",
    "commit.gpgSign=false",
)


Env = dict[str, str]
Statuses = tuple[int, ...]


def main() -> None:
    try:
        data, directory = read_input(), session_directory()
        if directory is not None:
            is_held = False
            try:
                record(directory, "Stop", data)
                is_held = hold_back(directory, data)
            finally:
                if not is_held:
                    alert(directory, "Stop", data, sys.argv[1:])
    except BaseException:  # a signal too: the hook is silent, come what may
        pass


def hold_back(directory: str, data: dict[str, object]) -> bool:
    """Keep the worktree; return whether Claude was told to go on, since there is work that it was not told of."""
    work = snapshot(directory, worktree_of(directory))
    return work is not None and may_tell(directory, data) and tell(directory, data, *work)


def worktree_of(directory: str) -> str:
    """Return the session's worktree: from its record, since Claude's own directory follows every `cd`."""
    import json

    with open(os.path.join(directory, "session.json"), "rb") as file:
        return str(json.load(file)["worktree"])


class Git:
    """git in the worktree, with an index of its own and one deadline for everything."""

    def __init__(self, worktree: str, index: str) -> None:
        import time

        self.worktree = worktree
        self.clock = time.monotonic
        self.deadline = self.clock() + SECONDS
        kept = {key: value for key, value in os.environ.items() if key not in LEADING}
        self.real = kept | QUIET
        self.private = self.real | {"GIT_INDEX_FILE": index}

    def __call__(self, *args: str, stdin: bytes = b"", env: Env | None = None, ok: Statuses = (0,)) -> bytes:
        import subprocess

        plain = [word for setting in PLAIN for word in ("-c", setting)]
        done = subprocess.run(
            ["git", *plain, *args],
            cwd=self.worktree,
            env=env or self.private,
            input=stdin,
            capture_output=True,
            timeout=max(0.1, self.deadline - self.clock()),
            check=False,
        )
        if done.returncode not in ok:
            raise OSError(f"git {args[0]}: {done.returncode}")
        return done.stdout

    def line(self, *args: str, env: Env | None = None, ok: Statuses = (0,)) -> str:
        return os.fsdecode(self(*args, env=env, ok=ok)).rstrip("\n")


def snapshot(directory: str, worktree: str) -> tuple[str, list[bytes]] | None:
    """Keep the worktree on the session's auto ref; return its tree and the files to tell of.

    None means that everything is committed.
    """
    import tempfile

    with tempfile.TemporaryDirectory(prefix=".stop-", dir=directory) as place:
        index = os.path.join(place, "index")
        git = Git(worktree, index)
        head, head_tree = git.line("rev-parse", "HEAD^{commit}", "HEAD^{tree}", env=git.real).split("\n")
        real = git.line("rev-parse", "--path-format=absolute", "--git-path", "index", env=git.real)
        copy_index(real, index)
        hidden = unhide(git)
        git("add", "--all", "--sparse", "--ignore-errors", "--", ":/", ok=(0, 1))
        tree = git.line("write-tree")
        if tree == head_tree:
            return None
        keep(git, os.path.basename(directory), head, tree)
        differing = git("diff-index", "--cached", "--name-only", "--no-renames", "-z", head).split(b"\0")[:-1]
        return tree, [path for path in differing if path not in hidden]


def copy_index(real: str, private: str) -> None:
    """Copy the index with its time, which git compares with the files' times to find what it can't trust."""
    try:
        with open(real, "rb") as old, open(private, "wb") as new:
            stat = os.fstat(old.fileno())
            while block := old.read(1 << 20):
                new.write(block)
    except FileNotFoundError:
        return  # a worktree without an index yet: every file is hashed
    os.utime(private, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def unhide(git: Git) -> set[bytes]:
    """Clear skip-worktree and assume-unchanged of files that are there; return their paths."""
    rows = git("ls-files", "-v", "-z", "--full-name", "--", ":/").split(b"\0")[:-1]
    flagged = [row[2:] for row in rows if row[:1] == b"S" or row[:1].islower()]
    top = os.fsencode(git.worktree)
    present = [path for path in flagged if os.path.lexists(os.path.join(top, path))]
    if present:
        paths = b"\0".join(present) + b"\0"
        git("update-index", "--no-skip-worktree", "-z", "--stdin", stdin=paths)
        git("update-index", "--no-assume-unchanged", "-z", "--stdin", stdin=paths)
    return set(present)


def keep(git: Git, name: str, head: str, tree: str) -> None:
    """Put the tree on the session's auto ref, unless it is there already."""
    ref = "refs/wts/auto/" + name
    old = git.line("rev-parse", "--verify", "--quiet", ref + "^{commit}", ok=(0, 1))
    if old and git.line("rev-parse", "--verify", "--quiet", old + "^{tree}", ok=(0, 1)) == tree:
        return
    commit = git.line("commit-tree", "-p", head, "-m", f"wts: {name} as it was when its Claude stopped", tree)
    git("update-ref", "--create-reflog", "-m", "wts: stop", ref, commit, old or "0" * len(commit))


def may_tell(directory: str, data: dict[str, object]) -> bool:
    return not (
        data.get("stop_hook_active")
        or data.get("background_tasks")
        or os.path.exists(os.path.join(directory, "stop-check-off"))
    )


def tell(directory: str, data: dict[str, object], tree: str, files: list[bytes]) -> bool:
    """Have Claude go on and commit; return False when it was told of this very tree before."""
    import json

    if not files or told(directory) == tree:
        return False
    remember(directory, tree)
    append(directory, line_of("StopHeld", data))  # the turn goes on, though a Stop was recorded
    sys.stdout.write(json.dumps({"decision": "block", "reason": reason(files)}))
    sys.stdout.flush()
    return True


def told(directory: str) -> str:
    try:
        with open(os.path.join(directory, "told"), encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def remember(directory: str, tree: str) -> None:
    """Write down what is told before it is told: telling twice is worse than not telling."""
    path = os.path.join(directory, "told")
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(tree + "\n")
    os.replace(path + ".new", path)


def reason(files: list[bytes]) -> str:
    names = [path.decode("utf-8", "replace") for path in files[:LISTED]]
    listed = "\n".join("  " + "".join(c if c.isprintable() else "?" for c in name) for name in names)
    more = f"\n  and {len(files) - LISTED} more" if len(files) > LISTED else ""
    count = "1 file is" if len(files) == 1 else f"{len(files)} files are"
    return (
        f"wts: {count} not committed in this session:\n{listed}{more}\n"
        "Commit what belongs to the task, or say in one sentence why it stays uncommitted. "
        "This is asked once per change."
    )


if __name__ == "__main__":
    main()
    os._exit(0)
