"""What `wts merge-ready` shows: the plan before anything happens, and the receipt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from worktree_sessions.actions.merge_ready import Landed
from worktree_sessions.actions.mergeplan import FeaturePlan
from worktree_sessions.model.landing import FIRST, Homecoming, Result, Row, Strategy
from worktree_sessions.model.words import counted, listed
from worktree_sessions.views.console import Ink, clean, paint
from worktree_sessions.views.jsonout import Json
from worktree_sessions.views.outcomes import DONE, FAILED, LEFT, outcome_lines

MARKS = {
    Result.LANDED: DONE,
    Result.CONFLICT: FAILED,
    Result.RED: FAILED,
    Result.BLOCKED: LEFT,
    Result.SKIPPED: LEFT,
}
OLDEST = "the oldest first"
CHOSEN = "as you said, then the oldest"
USUAL = "whom others come after, then who was held back, then the oldest"
BY_AGE = "the oldest first: more land so than with who was held back"
LANDS = {
    Strategy.SQUASH: "one commit a session; for git alone its branch has not landed, for wts it has",
    Strategy.REBASE: "copies of its commits; for git alone its branch has not landed, for wts it has",
}


# -- the plan --------------------------------------------------------------------------------------


def plan_text(plans: Sequence[FeaturePlan], *, color: bool) -> str:
    """Return the plan: what comes home in which order, who stays and why, what is tested."""
    return "\n\n".join(_plan_text(plan, color=color) for plan in plans)


def _plan_text(plan: FeaturePlan, *, color: bool) -> str:
    count = len(plan.candidates)
    where = f"{plan.target} at {plan.chain.base[:9]}" if plan.chain else plan.target
    rows = [row for row in plan.rows if row.code != "landed"]
    before = [row.session.name for row in plan.rows if row.code == "landed"]
    what = f"{count} of {counted(len(rows), 'session')} would come home to {where}"
    head = what if count else f"nothing comes home to {where}"
    lines = [paint(clean(head), Ink.STRONG, color=color), *_rows(map(_foretold, rows), color=color)]
    if before:
        lines.append(f"  landed before: {clean(listed(before))}")
    if count > 1:
        reasons = {row.reason for row in plan.rows if row.result is Result.LANDED}
        usual = CHOSEN if FIRST in reasons else USUAL if any(reasons) else OLDEST
        lines.append(f"  order: {BY_AGE if plan.is_by_age else usual}")
    if count and plan.making.strategy is not Strategy.MERGE:
        lines.append(f"  lands: {LANDS[plan.making.strategy]}")
    if count:
        none = "none (--test CMD)" if plan.tests else "none, as you said"
        lines.append(f"  test: {clean(plan.command or none)}")
    return "\n".join(lines)


def _foretold(row: Row) -> Row:
    """Return a row whose cure is told for the time when it will help."""
    if row.result is not Result.CONFLICT or not row.rival or not row.cure:
        return row
    return replace(row, reason=f"{row.reason} ({row.cure}, once that has landed)", cure=None)


def plan_json(plans: Sequence[FeaturePlan]) -> dict[str, Json]:
    """Return the plan as data; `after` is null, since nothing was moved."""
    features = [
        _feature_json(
            Homecoming(
                feature=one.feature,
                target=one.target,
                before=one.chain.base if one.chain else None,
                after=None,
                rows=one.rows,
            )
        )
        | {"test": one.command, "strategy": one.making.strategy.value}
        for one in plans
    ]
    return {"dry_run": True, "features": features, "operation": None}


# -- the receipt -----------------------------------------------------------------------------------


def landed_text(landed: Landed, *, color: bool) -> str:
    """Return the receipt, whose last line is how to undo it."""
    blocks = ["\n".join(_home_lines(home, color=color)) for home in landed.features]
    if landed.operation:
        blocks[-1] += f"\n{paint('undo:', Ink.HINT, color=color)} wts undo {landed.operation}"
    return "\n\n".join(blocks)


def _home_lines(home: Homecoming, *, color: bool) -> list[str]:
    if home.before and home.after:
        mark = paint("✓", Ink.DONE, color=color)
        count = counted(len(home.landed), "session")
        head = f"{count} landed on {home.target}, {home.before[:9]} → {home.after[:9]}"
    else:
        mark, head = "·", f"{home.target} stays where it is"
    tried = [row for row in home.rows if row.candidate]  # the plan has told of the others
    lines = [f"{mark} {paint(clean(head), Ink.STRONG, color=color)}", *_rows(tried, color=color)]
    if home.base_log:
        lines.append(f"  {clean(home.base_says)}, before anything is merged; log:")
        lines.append(f"    {clean(str(home.base_log))}")
    if home.changed_by_tests:
        lines.append(f"  the tests change tracked files: {clean(listed(home.changed_by_tests))}")
    if home.test_runs:
        twice = f", {home.test_reruns} of them twice" if home.test_reruns else ""
        lines.append(f"  {counted(home.test_runs, 'test run')}{twice}")
    return lines


def landed_json(landed: Landed) -> dict[str, Json]:
    """Return what was done as data."""
    return {"features": [_feature_json(home) for home in landed.features], "operation": landed.operation}


# -- sessions --------------------------------------------------------------------------------------


def _rows(some: Iterable[Row], *, color: bool) -> list[str]:
    rows = list(some)
    name_width = max((len(row.session.name) for row in rows), default=0)
    lines: list[str] = []
    for row in rows:
        facts = [f"resolved as before: {listed(row.resolved)}"] if row.resolved else []
        facts += [f"log: {row.log}"] if row.log else []
        name = f"{row.session.number:>2} {row.session.name:<{name_width}}"
        lines += outcome_lines(
            MARKS[row.result], name, _about(row), files=row.files, facts=facts, cure=row.cure, color=color
        )
    return lines


def _about(row: Row) -> str:
    one = row.candidate
    if row.result is not Result.LANDED or one is None:
        return f"not ready: {row.reason}" if row.result is Result.BLOCKED else row.reason
    what = f"{counted(len(one.commits), 'commit')}, {counted(len(one.paths), 'file')}, {listed(one.authors)}"
    return f"{what} ({row.reason})" if row.reason else what


def _feature_json(home: Homecoming) -> dict[str, Json]:
    return {
        "feature": home.feature,
        "target": home.target,
        "before": home.before,
        "after": home.after,
        "order": [row.session.number for row in home.landed],
        "sessions": [_session_json(row) for row in home.rows],
        "test_runs": home.test_runs,
        "test_reruns": home.test_reruns,
        "base_log": str(home.base_log) if home.base_log else None,
        "changed_by_tests": list(home.changed_by_tests),
    }


def _session_json(row: Row) -> dict[str, Json]:
    one = row.candidate
    return {
        "number": row.session.number,
        "name": row.session.name,
        "outcome": row.result.value,
        "reason": row.reason or None,
        "code": row.code,
        "files": list(row.files),
        "rival": row.rival,
        "tip": one.tip if one else None,
        "commits": len(one.commits) if one else None,
        "changed": len(one.paths) if one else None,
        "authors": list(one.authors) if one else [],
        "resolved": list(row.resolved),
        "hint": row.cure,
        "log": str(row.log) if row.log else None,
    }
