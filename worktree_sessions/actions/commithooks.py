"""The user's hooks that have a say in a commit which is made in the object store: no worktree holds it, no index.

Only `commit-msg` can: all it wants is a file with the message. The others look at files that are not there.
"""

from __future__ import annotations

import os
import tempfile

from worktree_sessions.errors import Refused
from worktree_sessions.outside.git import Git


def through_commit_msg(git: Git, text: str, *, what: str, hint: str, session: str | None = None) -> str:
    """Return a message as the `commit-msg` hook leaves it; raise Refused when the hook does not let it pass.

    `git` is where the hook runs, `what` is what it does not let pass.
    """
    with tempfile.TemporaryDirectory(prefix="wts-message-") as place:
        file = os.path.join(place, "COMMIT_EDITMSG")
        with open(file, "wb") as writing:
            writing.write(os.fsencode(text))
        done = git.ask("hook", "run", "--ignore-missing", "commit-msg", "--", file)
        if done.status != 0:
            said = (done.out + done.err).decode("utf-8", "replace").strip().splitlines()
            raise Refused(
                "commit-msg",
                f"the commit-msg hook does not let {what} pass",
                hint=hint,
                session=session,
                details=tuple(said),
            )
        with open(file, "rb") as reading:
            return os.fsdecode(reading.read())
