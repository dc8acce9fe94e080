"""What `wts notify` says: what was told, by which channel, and what cures one that did not work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worktree_sessions.actions.notify import Outcome
from worktree_sessions.model.notices import about, facts_of, headline
from worktree_sessions.outside.notifiers import Delivery
from worktree_sessions.views.console import Ink, clean, paint

CURES = {
    "desktop": "install notify-send (package libnotify-bin) on Linux; over ssh choose tmux or a webhook",
    "tmux": "start sessions in tmux (wts open N --tmux) and attach a terminal to it",
    "terminal": "use a terminal that shows OSC 9, 99 or 777; inside tmux: tmux set -g allow-passthrough on",
    "bell": "run it in a terminal, or start sessions in tmux",
    "command": "run the command by hand with sh -c; wts config shows it",
    "webhook": "see notify.webhook in your settings: wts config --origin",
}
WIDTH = max(map(len, CURES))


def outcome_text(outcome: Outcome, at: float, *, color: bool) -> str:
    """Return each piece of news, then what became of it in each channel that was tried."""
    news = [clean(": ".join(filter(None, (headline(one, at), about(one))))) for one in outcome.news]
    return "\n".join([*news, *_channel_lines(outcome.deliveries, color=color)])


def test_text(deliveries: Sequence[Delivery], *, color: bool) -> str:
    """Return one line a channel, and its cure where it did not work."""
    return "\n".join(_channel_lines(deliveries, color=color))


def _channel_lines(deliveries: Sequence[Delivery], *, color: bool) -> list[str]:
    return [line for one in deliveries for line in _channel(one, color=color)]


def _channel(delivery: Delivery, *, color: bool) -> list[str]:
    symbol, ink = ("✓", Ink.DONE) if delivery.worked else ("✗", Ink.ERROR)
    head = f"{paint(symbol, ink, color=color)} {delivery.channel:{WIDTH}}  {clean(delivery.says)}"
    if delivery.worked:
        return [head]
    indent = " " * (WIDTH + 4)
    return [head, indent + paint(CURES[delivery.channel], Ink.HINT, color=color)]


def outcome_facts(outcome: Outcome) -> dict[str, Any]:
    """Return the data of `wts notify --json`."""
    told = [facts_of(one) for one in outcome.news]
    return {"told": told, **test_facts(outcome.deliveries)}


def test_facts(deliveries: Sequence[Delivery]) -> dict[str, Any]:
    """Return the data of `wts notify --test --json`."""
    return {"channels": [{**one._asdict(), "cure": _cure(one)} for one in deliveries]}


def _cure(delivery: Delivery) -> str | None:
    return None if delivery.worked else CURES[delivery.channel]
