"""What `wts doctor` finds, as values: one finding each, with the command that cures it."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass

FIX = "wts doctor --fix"


class Severity(enum.StrEnum):
    """How much a finding matters: an error or a warning that is left makes the doctor fail, a note never does."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding: `code` is a stable word, `cure` a command that can be pasted, `fixed` that it was mended now."""

    code: str
    severity: Severity
    message: str
    fixed: bool = False
    cure: str | None = None
    session: str | None = None

    @property
    def is_left(self) -> bool:
        """It is wrong, and it was not mended."""
        return not self.fixed and self.severity in (Severity.WARNING, Severity.ERROR)

    def as_fixed(self) -> Problem:
        """Return the same finding, mended."""
        return dataclasses.replace(self, fixed=True, cure=None)


def ok(code: str, message: str) -> Problem:
    """Something that was looked at and is sound."""
    return Problem(code=code, severity=Severity.OK, message=message)


def note(code: str, message: str, *, cure: str | None = None, session: str | None = None) -> Problem:
    """Something worth knowing."""
    return Problem(code=code, severity=Severity.NOTE, message=message, cure=cure, session=session)


def warning(code: str, message: str, *, cure: str | None = None, session: str | None = None) -> Problem:
    """Something that works less well than it should, or could not be found out."""
    return Problem(code=code, severity=Severity.WARNING, message=message, cure=cure, session=session)


def error(code: str, message: str, *, cure: str | None = None, session: str | None = None) -> Problem:
    """Something that is broken."""
    return Problem(code=code, severity=Severity.ERROR, message=message, cure=cure, session=session)
