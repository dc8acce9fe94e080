"""What the commits of `merge-ready` say: who came home, for what, whether tested; the `commit-msg` hook has its say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from worktree_sessions.actions.commithooks import through_commit_msg
from worktree_sessions.actions.forecast import Words
from worktree_sessions.actions.mergeplan import FeaturePlan
from worktree_sessions.actions.project import Project
from worktree_sessions.model.landing import Candidate, Strategy
from worktree_sessions.model.session import Session
from worktree_sessions.outside.git import at_top
from worktree_sessions.outside.merging import Author
from worktree_sessions.outside.replaying import Commit, read_commits
from worktree_sessions.outside.sequences import one_line

LONGEST_GOAL = 60  # characters of the goal in a commit's first line
CO_AUTHOR = re.compile(r"^co-authored-by:[ \t]*(\S.*<[^<>\n]*>)[ \t\r]*$", re.IGNORECASE | re.MULTILINE)


def words_of(project: Project, one: FeaturePlan, candidate: Candidate) -> Words:
    """Return what a session's commit says; raise Refused when the `commit-msg` hook does not let it pass.

    A squash commit is by who wrote most of it. Who else did, or is named as one who did, is named there too.
    """
    session = candidate.session
    trailers = [
        ("Wts-Session", f"{session.name} ({session.number})"),
        ("Wts-Purpose", session.purpose),
        ("Wts-Tested", one_line(one.command) if one.command else "no"),
    ]
    about, author, body = _about(one, session), None, ""
    if one.making.strategy is Strategy.SQUASH:
        commits = read_commits(project.git, candidate.commits[::-1])
        author = _first_author(commits)
        trailers += [("Co-authored-by", other) for other in _other_authors(commits, author)]
        body = "".join(f"* {_subject(commit)}\n" for commit in commits) + "\n"
    else:
        about = f"Merge s{about.removeprefix('S')}"
    lines = "".join(f"{key}: {value}\n" for key, value in trailers)
    git = at_top(project.main) if project.main else project.git
    hint = f"see the hook, or wts merge-ready --skip {session.number}"
    text, what = f"{about}\n\n{body}{lines}", f"the merge of {session.name}"
    return Words(through_commit_msg(git, text, what=what, hint=hint, session=session.name), author)


def _about(one: FeaturePlan, session: Session) -> str:
    goal = one_line(one.goals[session.name])
    if len(goal) > LONGEST_GOAL:
        goal = goal[: LONGEST_GOAL - 1].rstrip() + "…"
    return f"Session {session.number}, {session.name}{f': {goal}' if goal else ''}"


def _subject(commit: Commit) -> str:
    return one_line(commit.message.strip().partition("\n")[0])


# -- who wrote it ----------------------------------------------------------------------------------


def _first_author(commits: Sequence[Commit]) -> Author:
    """Return who wrote most of the commits, as of their last one."""
    counts = Counter((commit.author.name, commit.author.email) for commit in commits)
    ((first, _),) = counts.most_common(1)
    return next(one.author for one in reversed(commits) if (one.author.name, one.author.email) == first)


def _other_authors(commits: Sequence[Commit], first: Author) -> list[str]:
    """Return everybody else, each once: who wrote a commit, and who is named in one as a co-author."""
    found: dict[str, str] = {}
    for commit in commits:
        for person in (_person(commit.author), *CO_AUTHOR.findall(commit.message)):
            found.setdefault(_address(person), one_line(person))
    found.pop(_address(_person(first)), None)
    return list(found.values())


def _person(author: Author) -> str:
    return f"{author.name} <{author.email}>"


def _address(person: str) -> str:
    return person.rpartition("<")[2].casefold()
