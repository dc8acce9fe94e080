"""What `wts sync` shows: the plan before anything happens, and the receipt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from worktree_sessions.actions.syncing import Result, Row, Synced, Way
from worktree_sessions.model.words import counted
from worktree_sessions.outside.git import Oid
from worktree_sessions.views.console import Ink, clean, paint
from worktree_sessions.views.jsonout import Json
from worktree_sessions.views.outcomes import DONE, FAILED, LEFT, outcome_lines

MARKS = {Result.SYNCED: DONE, Result.UP_TO_DATE: LEFT, Result.LEFT: LEFT, Result.CONFLICT: FAILED}


# -- the plan --------------------------------------------------------------------------------------


def plan_text(planned: Synced, *, color: bool) -> str:
    """Return the plan: what comes into whom, who conflicts, who is left and why."""
    blocks = [
        [paint(clean(_plan_head(group)), Ink.STRONG, color=color), *_rows(group, _plan_about, color=color)]
        for group in _groups(planned.rows)
    ]
    for note in planned.notes:
        hint = paint("hint:", Ink.HINT, color=color)
        blocks[-1] += [f"  {clean(note.says)}", f"       {hint} {clean(note.cure)}"]
    return "\n\n".join("\n".join(lines) for lines in blocks)


def _plan_head(group: Sequence[Row]) -> str:
    first = group[0]
    where = f"{first.found} (at {first.onto[:9]})" if first.onto else first.found
    moves = sum(row.result is Result.SYNCED for row in group)
    noun = "session" if first.session else "feature"
    if not moves:
        return f"{where} comes into no {noun} now"
    if len(group) == 1:
        return f"{where} would come into {first.name}"
    return f"{where} would come into {moves} of {counted(len(group), noun)}"


def _plan_about(row: Row) -> str:
    what = f"{counted(row.comes, 'commit')}, {counted(row.changed, 'file')}"
    if not row.own:
        return f"{what}; it has nothing of its own"
    return f"{what}; {row.own} of its own replayed" if row.way is Way.REBASE else what


def plan_json(planned: Synced) -> dict[str, Json]:
    """Return the plan as data; `after` is null, since nothing was moved."""
    return {"dry_run": True, **synced_json(planned)}


# -- the receipt -----------------------------------------------------------------------------------


def synced_text(synced: Synced, *, color: bool) -> str:
    """Return the receipt, whose last line is how to undo it; who was left by the plan is not told again."""
    blocks = []
    for group in _groups(synced.rows):
        told = [row for row in group if row.result in (Result.SYNCED, Result.CONFLICT) or row.late]
        if told:
            head = _receipt_head(group, color=color)
            blocks.append("\n".join([head, *_rows(told, _receipt_about, color=color)]))
    if synced.operation and synced.next:
        blocks[-1] += f"\n{paint('next:', Ink.HINT, color=color)} {synced.next}"
    if synced.operation:
        blocks[-1] += f"\n{paint('undo:', Ink.HINT, color=color)} wts undo {synced.operation}"
    return "\n\n".join(blocks)


def _receipt_head(group: Sequence[Row], *, color: bool) -> str:
    first = group[0]
    moved = sum(row.result is Result.SYNCED for row in group)
    noun = "session" if first.session else "feature"
    mark = paint("✓", Ink.DONE, color=color) if moved else "·"
    whom = first.name if len(group) == 1 else counted(moved, noun)
    text = f"{first.source} came into {whom if moved else f'no {noun}'}"
    return f"{mark} {paint(clean(text), Ink.STRONG, color=color)}"


def _receipt_about(row: Row) -> str:
    assert row.tip is not None
    assert row.head is not None
    how = "moved on" if not row.own else "replayed" if row.way is Way.REBASE else "merged"
    return f"{row.tip[:9]} → {row.head[:9]}, {how}"


def synced_json(synced: Synced) -> dict[str, Json]:
    """Return what was done as data."""
    sessions = [row for row in synced.rows if row.session]
    features = [row for row in synced.rows if not row.session]
    return {
        "sessions": [_session_json(row, _after(synced, row)) for row in sessions],
        "features": [_feature_json(row, _after(synced, row)) for row in features],
        "notes": [{"note": note.says, "hint": note.cure} for note in synced.notes],
        "operation": synced.operation,
    }


def _after(synced: Synced, row: Row) -> Oid | None:
    return row.head if synced.operation and row.result is Result.SYNCED else None


def _session_json(row: Row, after: Oid | None) -> dict[str, Json]:
    assert row.session is not None
    session = row.session
    own: dict[str, Json] = {"number": session.number, "name": session.name, "parent": row.follows}
    return own | _row_json(row, after)


def _feature_json(row: Row, after: Oid | None) -> dict[str, Json]:
    own: dict[str, Json] = {"feature": row.feature, "target": row.branch, "base": row.source}
    return own | _row_json(row, after)


def _row_json(row: Row, after: Oid | None) -> dict[str, Json]:
    return {
        "outcome": row.result.value,
        "reason": row.reason or None,
        "code": row.code,
        "files": list(row.files),
        "hint": row.cure,
        "commits": row.comes,
        "changed": row.changed,
        "before": row.tip,
        "after": after,
    }


# -- branches --------------------------------------------------------------------------------------


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the branches by what they follow."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.source, []).append(row)
    return list(groups.values())


def _rows(rows: Sequence[Row], about: Callable[[Row], str], *, color: bool) -> list[str]:
    width = max(len(row.name) for row in rows)
    lines: list[str] = []
    for row in rows:
        name = f"{row.session.number:>2} {row.name:<{width}}" if row.session else f"{row.name:<{width}}"
        says = about(row) if row.result is Result.SYNCED else _why(row)
        lines += outcome_lines(MARKS[row.result], name, says, files=row.files, cure=row.cure, color=color)
    return lines


def _why(row: Row) -> str:
    match row.result:
        case Result.UP_TO_DATE:
            return f"has all of {row.source}"
        case Result.LEFT:
            return f"left: {row.reason}"
        case _:
            return row.reason
