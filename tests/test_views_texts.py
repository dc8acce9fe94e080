"""Errors, receipts, dry runs and questions: the whole text, as people see it."""

from __future__ import annotations

import io

import pytest

from tests.conftest import Wts
from worktree_sessions.errors import Exit, NothingToDo, Refused, UsageError, WtsError
from worktree_sessions.views.errors import error_text, warning_text
from worktree_sessions.views.prompt import confirm
from worktree_sessions.views.receipts import Receipt, dry_run_text, receipt_text


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_an_error_says_what_then_the_details_then_the_cure() -> None:
    error = Refused(
        "at-risk",
        "auth-frontend holds 1 changed file",
        hint="wts close 1 --with-unsaved",
        details=("src/login.py",),
    )
    assert error_text(error, color=False) == (
        "error: auth-frontend holds 1 changed file\n  src/login.py\nhint: wts close 1 --with-unsaved"
    )


def test_an_error_colours_only_its_labels() -> None:
    text = error_text(WtsError("x", "broken", hint="wts doctor"), color=True)
    assert text == "\x1b[1;31merror:\x1b[0m broken\n\x1b[1;36mhint:\x1b[0m wts doctor"


def test_that_there_is_nothing_to_do_is_no_error() -> None:
    text = error_text(NothingToDo("nobody-waits", "no session needs you", hint="wts list"), color=False)
    assert text == "no session needs you\nhint: wts list"


@pytest.mark.parametrize(
    ("word", "says"), [("nexxt", "no command 'nexxt'; did you mean wts next?"), ("zzz", "no command 'zzz'")]
)
def test_a_command_that_there_is_not_is_named_with_its_neighbour(wts: Wts, word: str, says: str) -> None:
    answer = wts(word)
    assert (answer.status, answer.err) == (2, f"error: {says}\nhint: wts --help\n")


def test_an_error_without_a_cure_is_one_line() -> None:
    assert error_text(WtsError("x", "broken"), color=False) == "error: broken"


def test_an_error_never_carries_escape_sequences_or_new_lines() -> None:
    error = WtsError("x", "no \x1b[31mbranch\nfoo", hint="wts \x1b]0;t\x07list", details=("a\rb",))
    assert error_text(error, color=False) == "error: no branch\\nfoo\n  a\\nb\nhint: wts list"


def test_many_details_are_cut_with_their_count() -> None:
    error = WtsError("x", "broken", details=tuple(f"f{number}" for number in range(25)))
    lines = error_text(error, color=False).splitlines()
    assert (len(lines), lines[-2:]) == (22, ["  f19", "  … and 5 more"])


def test_a_receipt_warns_first_and_ends_with_how_to_undo() -> None:
    receipt = Receipt(
        done="closed session 1, auth-frontend",
        facts=("snapshot of 3 changed, 1 untracked", "branch feature/auth-frontend kept"),
        warnings=("trash holds node_modules (4.2 MB)",),
        undo="wts restore auth-frontend",
        next="wts list",
    )
    assert receipt_text(receipt, color=False) == (
        "warning: trash holds node_modules (4.2 MB)\n"
        "✓ closed session 1, auth-frontend\n"
        "  snapshot of 3 changed, 1 untracked\n"
        "  branch feature/auth-frontend kept\n"
        "next: wts list\n"
        "undo: wts restore auth-frontend"
    )


def test_a_receipt_of_nothing_but_the_deed_is_one_cleaned_line() -> None:
    assert receipt_text(Receipt("made \x1b[1mx", facts=("\x07bell",)), color=False) == "✓ made x\n  bell"
    assert receipt_text(Receipt("made"), color=True) == "\x1b[32m✓\x1b[0m \x1b[1mmade\x1b[0m"


def test_a_dry_run_numbers_the_steps_and_says_that_nothing_changed() -> None:
    steps = ["create branch feature/auth at 1a2b3c4", *(f"step\x9b1m {number}" for number in range(2, 11))]
    assert dry_run_text("wts new auth-frontend would", steps, color=False).splitlines() == [
        "wts new auth-frontend would",
        "   1. create branch feature/auth at 1a2b3c4",
        *(f"   {number}. step {number}" for number in range(2, 10)),
        "  10. step 10",
        "nothing was changed",
    ]
    assert dry_run_text("would", [], color=False) == "would\n  nothing to do"


def test_a_warning_is_one_line() -> None:
    assert warning_text("no claude\n", color=False) == "warning: no claude\\n"


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("y\n", True),
        ("YES\n", True),
        (" yes \n", True),
        ("\n", False),
        ("n\n", False),
        ("yep\n", False),
        ("", False),
    ],
)
def test_a_question_is_asked_on_stderr_and_only_yes_means_yes(typed: str, answer: bool) -> None:
    stderr = Terminal()
    assert confirm("Remove \x1b[31mit?", "--yes", stdin=Terminal(typed), stderr=stderr) is answer
    assert stderr.getvalue() == "Remove it? [y/N] " + ("" if typed else "\n")


@pytest.mark.parametrize(
    ("stdin", "stderr"), [(io.StringIO("y\n"), Terminal()), (Terminal("y\n"), io.StringIO())]
)
def test_without_a_terminal_a_question_is_an_error_that_names_the_flag(
    stdin: io.StringIO, stderr: io.StringIO
) -> None:
    with pytest.raises(UsageError) as raised:
        confirm("Remove it?", "--yes", stdin=stdin, stderr=stderr)
    assert (raised.value.code, raised.value.exit) == ("needs-answer", Exit.USAGE)
    assert raised.value.hint == "answer yes beforehand with --yes"
    assert stderr.getvalue() == ""
