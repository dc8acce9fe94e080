"""The tables of docs/performance.md: each stands between marks that bear its name."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence

from benchmarks.world import ROOT

PAGE = ROOT / "docs" / "performance.md"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as Markdown writes one."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def where() -> str:
    """Return in one sentence what was measured on."""
    git = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout.strip()
    cores = f"{os.cpu_count()} cores at load {os.getloadavg()[0]:.1f}"
    return f"Python {platform.python_version()}, {git}, {platform.system()}, {cores}."


def renewed(page: str, name: str, text: str) -> str:
    """Return a page with another text between the marks of that name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = page.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{text}\n{end}{after}"


def write(name: str, text: str) -> None:
    """Put a text between the marks of that name."""
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8"), name, text), encoding="utf-8")
