"""Which lines of a file differ between two commits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from worktree_sessions.errors import WtsError
from worktree_sessions.outside.git import Git, Oid, Question, ask_all, split_z

PATCH = (
    "diff-tree",
    "-r",
    "-z",
    "--raw",
    "-p",
    "-U0",
    "--inter-hunk-context=0",
    "--no-renames",
    "--no-ext-diff",
    "--no-textconv",
)
HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
HEADER = b"diff --git "

Lines = tuple[int, int]  # the first and the last, counted from 1
Between = tuple[Oid, Oid]  # the commit before, and the one after


class Hunk(NamedTuple):
    """A place that changed: the lines before (the first, how many), and after. No lines: what is behind the first."""

    before: tuple[int, int]
    after: tuple[int, int]

    @property
    def lines(self) -> Lines | None:
        """The lines as they are now, the one before them where they were only removed; None when the file is gone."""
        first, count = self.after
        return (first, max(first, first + count - 1)) if first else None

    def touches(self, other: Hunk) -> bool:
        """Return whether both change the same lines of what was before, or neighbouring ones, as git's merge does."""
        (start, end), (other_start, other_end) = self._gap(), other._gap()
        return start <= other_end and other_start <= end

    def _gap(self) -> tuple[int, int]:
        """Return between which lines it lies: a line lies between its own number less one and its own number."""
        first, count = self.before
        return (first - 1, first - 1 + count) if count else (first, first)


def hunks_between(git: Git, wanted: Mapping[Between, Sequence[str]]) -> dict[Between, dict[str, list[Hunk]]]:
    """Return what changed in the wanted files, for each two commits; nothing where git can't tell."""
    literal = git.with_env(GIT_LITERAL_PATHSPECS="1")
    questions = [Question(literal, (*PATCH, *between, "--", *paths)) for between, paths in wanted.items()]
    answers = ask_all(questions)
    return {
        between: {} if isinstance(answer, WtsError) else parse_patch(answer)
        for between, answer in zip(wanted, answers, strict=True)
    }


def parse_patch(out: bytes) -> dict[str, list[Hunk]]:
    """Parse the answer to PATCH. The n-th patch is of the n-th path; another kind of file (T) has two."""
    raw, _, patch = out.partition(b"\0\0")
    fields = split_z(raw + b"\0") if raw else []
    paths = [
        path
        for facts, path in zip(fields[0::2], fields[1::2], strict=True)
        for _ in range(1 + _is_two(facts))
    ]
    found: dict[str, list[Hunk]] = {}
    at = iter(paths)
    hunks: list[Hunk] = []
    for line in patch.split(b"\n"):
        if line.startswith(HEADER):
            hunks = found.setdefault(next(at), [])
        elif match := HUNK.match(line):
            numbers = [1 if number is None else int(number) for number in match.groups()]
            hunks.append(Hunk((numbers[0], numbers[1]), (numbers[2], numbers[3])))
    return found


def _is_two(facts: str) -> bool:
    return facts.endswith(" T")
