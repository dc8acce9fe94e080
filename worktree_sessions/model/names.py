"""Names: what may be one, how one is split into feature and purpose, and which session one means.

Pure: nothing here asks git or changes a file (`find` resolves links when a target looks like a path).
The rules are stricter than git's, never looser: behind the prefix, `git check-ref-format --branch` accepts
whatever `check` accepts. A malformed name is wrong usage (exit 2); one that is taken is refused (exit 3),
by the caller.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from worktree_sessions.errors import UsageError, WtsError
from worktree_sessions.model.session import Session

LONGEST = 100  # characters: a promise of the product
LONGEST_BYTES = 200  # a file name may have 255 bytes; git adds `.lock`, wts its own suffixes
DEFAULT_PURPOSE = "dev"
STAND_IN = "work"  # what a suggestion falls back to

# Windows opens these as devices, whatever their extension (learn.microsoft.com, "Naming Files").
DEVICES = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {port + digit for port in ("com", "lpt") for digit in "0123456789¹²³"}
)
GIT_FORBIDS = "~^:?*["
SHELL_EATS = "\"'`$&;|<>(){}!"  # a name stands in commands that are pasted
LOCK_END = re.compile(r"\.(?=lock(?:\.lock)*(?:-|$))", re.IGNORECASE)  # the dot of x.lock, also of x.lock-y
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # not Cn: emoji younger than this Python


class Name(NamedTuple):
    """A session's name with its two halves: auth-frontend, auth, frontend."""

    name: str
    feature: str
    purpose: str


def split(words: Sequence[str], *, features: Collection[str], role: str | None) -> Name:
    """Return the name that was typed, in NFC; raise UsageError unless it is one or two words.

    Two words say feature and purpose outright. In one word the longest of the existing `features` wins
    that is the word itself or stands before a hyphen of it, else the last hyphen parts it. A feature alone
    gets the role, or `dev`, as its purpose. What comes back is well formed only after `check`.
    """
    typed = [nfc(word) for word in words]
    if len(typed) == 2:
        return _joined(typed[0], typed[1])
    if len(typed) != 1:
        raise _wrong_count(typed)
    word = typed[0]
    if word.isdecimal():
        raise _malformed(word, "would be mistaken for a session number", "")
    known = [nfc(feature) for feature in features]
    if word in known:
        return _joined(word, role or DEFAULT_PURPOSE)
    before = [feature for feature in known if feature and word.startswith(feature + "-")]
    if before:
        feature = max(before, key=len)
        return Name(word, feature, word[len(feature) + 1 :])
    feature, hyphen, purpose = word.rpartition("-")
    return Name(word, feature, purpose) if hyphen else _joined(word, role or DEFAULT_PURPOSE)


def _joined(feature: str, purpose: str) -> Name:
    return Name(f"{feature}-{purpose}", feature, purpose)


def _wrong_count(words: Sequence[str]) -> UsageError:
    if not words:
        return UsageError("no-name", "a name is missing", hint="wts new auth-frontend")
    shown_words = " ".join(shown(word) for word in words)
    cure = f"wts new {suggest(words[0])} {suggest('-'.join(words[1:]))}"
    return UsageError("bad-name", f"{shown_words} is more than a feature and a purpose", hint=cure)


def check(name: Name | str, prefix: str) -> None:
    """Raise UsageError, with the reason and a better name, unless branch and directory can bear this name.

    The feature of a `Name` becomes a branch too, so it is held to the same rules.
    """
    if isinstance(name, str):
        reason = why_not(name)
        if reason is not None:
            raise _malformed(name, reason, prefix)
        return
    reason = why_not(name.name) or _why_no_parts(name)
    if reason is not None:
        raise _malformed(name.name, reason, prefix)


def why_not(text: str) -> str | None:
    """Return why a text can't be a session's name, as the end of a sentence, or None when it can."""
    text = nfc(text)
    if text.isdecimal():
        return "would be mistaken for a session number"
    return _why_no_branch(text)


def _why_no_parts(name: Name) -> str | None:
    if nfc(name.purpose).startswith("-"):
        return "has two hyphens where its purpose begins"
    reason = _why_no_branch(nfc(name.feature))
    return reason and f"has the feature {shown(name.feature)}, which {reason}"


def _why_no_branch(text: str) -> str | None:
    return next((reason for is_broken, reason in RULES if is_broken(text)), None)


def _is_too_big(text: str) -> bool:
    return len(text.encode("utf-8", "surrogatepass")) > LONGEST_BYTES


def _is_device(text: str) -> bool:
    return text.partition(".")[0].casefold() in DEVICES


def _holds(characters: str) -> Callable[[str], bool]:
    return lambda text: any(character in characters for character in text)


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in INVISIBLE


# The first broken rule is the one that is told: what hides in the text comes before what it looks like.
RULES: tuple[tuple[Callable[[str], bool], str], ...] = (
    (lambda text: not text, "is empty"),
    (lambda text: any(map(_is_invisible, text)), "holds a control character or one that can't be seen"),
    (lambda text: any(unicodedata.category(c) == "Zs" for c in text), "holds a space"),
    (lambda text: len(text) > LONGEST, f"is longer than {LONGEST} characters"),
    (_is_too_big, f"takes more than {LONGEST_BYTES} bytes"),
    (_holds("/"), "holds a slash"),
    (_holds("\\"), "holds a backslash"),
    (_holds(GIT_FORBIDS), f"holds one of {GIT_FORBIDS}, which git forbids in a branch"),
    (_holds(SHELL_EATS), "holds a quote or another character that a shell would interpret"),
    (lambda text: text.startswith("-"), "starts with a hyphen"),
    (lambda text: text.startswith("."), "starts with a dot"),
    (lambda text: text.startswith("#"), "starts with #, which begins a comment in a shell"),
    (lambda text: text.endswith("-"), "ends with a hyphen"),
    (lambda text: text.endswith("."), "ends with a dot"),
    (lambda text: ".." in text, "holds two dots in a row, which git forbids in a branch"),
    (lambda text: "@{" in text, "holds @{, which git forbids in a branch"),
    (lambda text: text.casefold().endswith(".lock"), "ends with .lock, which git forbids in a branch"),
    (lambda text: text.casefold() in ("head", "@"), "is git's word for the current commit"),
    (_is_device, "is the name of a device on Windows"),
)


def _malformed(text: str, reason: str, prefix: str) -> UsageError:
    better = suggest(nfc(text).removeprefix(prefix))
    return UsageError("bad-name", f"name {shown(text) or '(empty)'} {reason}", hint=f"wts new {better}")


def suggest(text: str) -> str:
    """Return a name near to the text that `check` accepts."""
    kept = "".join(c if _is_plain(c) else "-" for c in nfc(text))
    kept = re.sub(r"\.{2,}", ".", kept)
    kept = re.sub(r"[-.]*-[-.]*", "-", kept).strip("-.")
    kept = LOCK_END.sub("-", kept)
    while _is_too_big(kept) or len(kept) > LONGEST - len(STAND_IN) - 1:
        kept = kept[:-1].rstrip("-.")
    kept = LOCK_END.sub("-", kept)
    if not kept:
        return STAND_IN
    parted = Name(kept, *(kept.rpartition("-")[::2] if "-" in kept else (kept, DEFAULT_PURPOSE)))
    return f"{STAND_IN}-{kept}" if why_not(kept) or _why_no_parts(parted) else kept


def _is_plain(character: str) -> bool:
    return character in "._-" or unicodedata.category(character)[0] in "LNM"


def collision(name: str, taken: Iterable[str]) -> str | None:
    """Return which of the taken names this one collides with on a disk that ignores case, or None."""
    folded = fold(name)
    return next((other for other in taken if fold(other) == folded), None)


def find(target: str, sessions: Sequence[Session], here: Path | None) -> Session:
    """Return the session that a target means.

    Asked in this order, and the first that answers wins: `.` (the session whose worktree holds `here`),
    number, name, branch, path of or in a worktree, beginning of a name (case does not count), purpose. Raises
    WtsError `no-session` (exit 1) when nothing answers, UsageError `ambiguous` (exit 2) when several do.
    """
    target = nfc(target)
    if target == ".":
        return _found(target, _holding(here, sessions), sessions)
    if target.isascii() and target.isdecimal():
        return _found(target, [s for s in sessions if str(s.number) == target.lstrip("0")], sessions)
    return _found(target, _matches(target, sessions, here), sessions)


def _matches(target: str, sessions: Sequence[Session], here: Path | None) -> list[Session]:
    branch = target.removeprefix("refs/heads/")
    exact = [s for s in sessions if nfc(s.name) == target] or [s for s in sessions if nfc(s.branch) == branch]
    if exact:
        return exact
    if _is_path(target):
        return _holding((here or Path()) / target, sessions)
    folded = fold(target)
    if not folded:
        return []
    begun = [s for s in sessions if fold(s.name).startswith(folded)]
    whole = [s for s in begun if fold(s.name) == folded]
    return whole or begun or [s for s in sessions if fold(s.purpose) == folded]


def _is_path(target: str) -> bool:
    return target == ".." or os.sep in target or bool(os.altsep and os.altsep in target)


def _holding(place: Path | None, sessions: Sequence[Session]) -> list[Session]:
    """Return the session whose worktree holds a place; the innermost, as worktrees may lie in one another."""
    if place is None:
        return []
    real = Path(os.path.realpath(place))
    around = [s for s in sessions if real.is_relative_to(os.path.realpath(s.worktree))]
    return sorted(around, key=lambda s: len(s.worktree.parts))[-1:]


def _found(target: str, matches: Sequence[Session], sessions: Sequence[Session]) -> Session:
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(
            "ambiguous",
            f"{shown(target)} may mean {len(matches)} sessions",
            hint="name one of them by its number, or see wts list",
            details=tuple(f"{s.number} {s.name}" for s in matches),
        )
    if target == ".":
        raise WtsError("no-session", "no session of this directory", hint="wts list")
    raise WtsError("no-session", f"no session {shown(target)}", hint=_nearest(target, sessions))


def _nearest(target: str, sessions: Sequence[Session]) -> str:
    import difflib  # only on the way to an error

    words = {fold(word): s.name for s in reversed(sessions) for word in (s.purpose, s.branch, s.name)}
    close = dict.fromkeys(words[word] for word in difflib.get_close_matches(fold(target), words))
    return f"nearest: {', '.join(close)}; all of them: wts list" if close else "wts list"


def nfc(text: str) -> str:
    """Return the text in the composed form, which is how names are kept and compared."""
    return unicodedata.normalize("NFC", text)


def fold(text: str) -> str:
    """Return what two texts share that differ only in case or in composition."""
    return nfc(nfc(text).casefold())


def shown(text: str) -> str:
    """Return a text fit for one line of a message: no control characters, no more than 60 characters."""
    clean = "".join("\N{REPLACEMENT CHARACTER}" if _is_invisible(c) else c for c in text)
    return clean if len(clean) <= 60 else clean[:57] + "..."
