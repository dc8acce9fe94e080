"""Writes the generated parts of docs/ anew, between their markers: python tests/support/generate_docs.py."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from worktree_sessions.model import settings  # noqa: E402  (found beside the tests, installed or not)

SETTINGS_PAGE = ROOT / "docs" / "settings.md"


def settings_table() -> str:
    """Return the table of all settings, then the text of each role."""
    head = "| Key | Value | Default | Variable | In `.wts.toml` | |\n|---|---|---|---|---|---|\n"
    rows = "".join(
        f"| `{row.key}` | {row.values} | {_short(row)} | `{row.variable}` | {row.repository} | {row.help} |\n"
        for row in settings.describe()
    )
    roles = "".join(f"- **{role}**: {focus}\n" for role, focus in settings.ROLES.items())
    return f"{head}{rows}\nWhat Claude is told in each role, unless it is set:\n\n{roles}"


def _short(row: settings.Description) -> str:
    return "see below" if row.key.startswith("roles.") else f"`{row.default}`"


def with_generated(page: str, name: str, content: str) -> str:
    """Return the page with what lies between the markers of `name` replaced."""
    marked = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end: {name} -->)", re.DOTALL)
    changed, count = marked.subn(lambda found: found[1] + content + found[2], page)
    if count != 1:
        raise ValueError(f"the markers of {name} occur {count} times")
    return changed


def settings_page() -> str:
    """Return docs/settings.md as it should be."""
    return with_generated(SETTINGS_PAGE.read_text(encoding="utf-8"), "settings", settings_table())


if __name__ == "__main__":
    SETTINGS_PAGE.write_text(settings_page(), encoding="utf-8")
