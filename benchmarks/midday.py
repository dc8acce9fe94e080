"""Midday measured: `nox -s midday`, and with `-- --write` into docs/performance.md.

Two tables: how the commands grow with the sessions, beside the plain git calls they stand on; and the same five
branches brought home by wts and by mergetrain. It takes a quarter of an hour on two busy cores, less with `--times 1`,
and 3 GB of disk meanwhile. Everything happens in temporary directories; the network is asked once, for mergetrain.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import page, rival, scale
from benchmarks.world import throw_away


def scale_text(files: int, sizes: Sequence[int], times: int) -> tuple[str, bool]:
    """Return the first table with what was promised, and whether that was kept."""
    found: dict[int, scale.Rows] = {}
    with throw_away() as world:
        for size, rows in scale.measure_all(world, files, sizes, times):
            found[size] = rows
            for line in scale.lines({size: rows}):
                print(f"{size} sessions: {line[0]}: {line[2]}", flush=True)
    promises = scale.promises(found[10]) if 10 in found else []
    kept = "; ".join(f"{one.says} ({'kept' if one.is_kept else '**not kept**'})" for one in promises)
    text = (
        f"Ready sessions of one feature, {files:,} files; wts / plain git = ratio.\n\n"
        f"{page.table(scale.head(sorted(sizes)), scale.lines(found))}\n\n"
        f"Medians of {times} runs each. {page.where()}{f' Of 10 sessions: {kept}.' if kept else ''}"
    )
    return text, all(one.is_kept for one in promises)


def rival_text(mergetrain: Path | None, times: int) -> str:
    """Return the second table; without a program mergetrain is installed into an environment that goes again."""
    with tempfile.TemporaryDirectory(prefix="wts-mergetrain-") as place:
        program = mergetrain or rival.install(Path(place))
        found = rival.compare(program, times, lambda line: print(line, flush=True))
        version = rival.version(program)
    return (
        f"Five branches: three conflicts with one, four is green alone and red together with two. A test run is "
        f"{rival.PAUSE} s. {version}.\n\n"
        f"{page.table(rival.HEAD, rival.lines(found))}\n\n"
        f"Medians of {times} runs each. {page.where()}"
    )


def _sizes(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew both tables in docs/performance.md")
    parser.add_argument("--only", choices=["scale", "rival"], help="one table alone, which is not written")
    parser.add_argument("--files", type=int, default=10_000, help="in the repository (default: 10000)")
    parser.add_argument(
        "--sizes", type=_sizes, default=list(scale.SIZES), help="sessions (default: 5,10,20,50)"
    )
    parser.add_argument("--times", type=int, default=3, help="runs of each (default: 3)")
    parser.add_argument(
        "--mergetrain", type=Path, help=f"its program (default: {rival.MERGETRAIN} is installed)"
    )
    options = parser.parse_args()
    if options.write and options.only:
        parser.error("--write needs both tables")
    texts, is_kept = [], True
    if options.only != "rival":
        text, is_kept = scale_text(options.files, options.sizes, options.times)
        texts.append(text)
    if options.only != "scale":
        texts.append(rival_text(options.mergetrain, options.times))
    print("", *texts, sep="\n\n")
    if options.write:
        page.write("midday", "\n\n".join(texts))
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
