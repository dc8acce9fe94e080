"""What closing a session would put at risk, as findings with the one flag that consents to each. Pure.

A finding with a flag refuses the close until the flag is given; one without is told and harmless (it stays in the
repository, or in the trash).
"""

from __future__ import annotations

import enum
import shlex
from dataclasses import dataclass

from worktree_sessions.errors import Refused

SHOWN = 10  # lines of one finding before "and N more"


class Consent(enum.StrEnum):
    """The flags that consent to a danger, each to its own and to nothing else."""

    UNSAVED = "--with-unsaved"
    RUNNING = "--while-running"
    LOCKED = "--while-locked"
    MID_OPERATION = "--mid-operation"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a close would meet: `items` are the files, commits or processes, `consent` None for a mere note.

    `cure` is what else to do about it: a command that can be pasted. A finding with neither consent nor a note's
    harmlessness can't be consented to (`blocks`): nothing but the cure helps.
    """

    code: str
    says: str
    items: tuple[str, ...] = ()
    consent: Consent | None = None
    cure: str | None = None
    blocks: bool = False

    def refuses(self, consents: frozenset[Consent]) -> bool:
        return self.blocks or (self.consent is not None and self.consent not in consents)


def shorten(items: tuple[str, ...]) -> tuple[str, ...]:
    """Return at most SHOWN items and how many more there are."""
    if len(items) <= SHOWN + 1:
        return items
    return (*items[:SHOWN], f"and {len(items) - SHOWN} more")


def refuse(name: str, findings: list[Finding], consents: frozenset[Consent]) -> None:
    """Raise Refused when a finding is not consented to, listing all that refuse and each one's flag."""
    open_ones = [finding for finding in findings if finding.refuses(consents)]
    if open_ones:
        raise Refused(
            open_ones[0].code,
            f"{name} is not closed, nothing was changed",
            details=tuple(line for finding in open_ones for line in _lines(finding)),
            hint=_hint(name, open_ones, consents),
            session=name,
        )


def _lines(finding: Finding) -> list[str]:
    lines = [finding.says + ":" if finding.items else finding.says]
    lines += [f"    {item}" for item in shorten(finding.items)]
    if finding.consent is not None:
        lines.append(f"  to close all the same: {finding.consent.value}")
    return lines


def _hint(name: str, open_ones: list[Finding], consents: frozenset[Consent]) -> str | None:
    """The first cure, and the command that consents, unless something can't be consented to."""
    cure = next((finding.cure for finding in open_ones if finding.cure), None)
    if any(finding.blocks for finding in open_ones):
        return cure
    given = [consent.value for consent in Consent if consent in consents]
    wanted = [finding.consent.value for finding in open_ones if finding.consent]
    close = " ".join(["wts close", shlex.quote(name), *given, *dict.fromkeys(wanted)])
    return f"{cure}, or {close}" if cure else close
