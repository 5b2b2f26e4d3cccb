"""The demo on its embedded broker: limits move, and loans are decided, drawn and paid back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console

from streams.demo.lenders import LENDERS
from streams.demo.session import Progress, Session
from streams.demo.view import render
from streams.settings import load_settings

if TYPE_CHECKING:
    from streams.brokers.embedded import EmbeddedBroker


def test_a_demo_shows_limits_and_decisions_and_counts_them(
    embedded: EmbeddedBroker, prefix: str
) -> None:
    settings = load_settings(
        bootstrap_servers=embedded.bootstrap_servers, topic_prefix=prefix, lenders=LENDERS,
        ticks=False, idempotence=False, session_timeout_s=6.0,
    )  # fmt: skip
    session = Session(settings, merchants=60, rate=1_500, duration_s=10, began=time.monotonic())
    shown: list[Progress] = []
    summary = session.run(shown.append)
    assert summary.payments > 0
    assert 0 < summary.merchants_with_limit <= summary.merchants == 60
    assert 0 < summary.raises <= summary.limit_updates
    answers = (summary.approved, summary.counter_offers, summary.declined, summary.referred)
    assert 0 < sum(answers) == summary.decisions <= summary.applications
    assert 0 < summary.loans_drawn <= summary.approved
    assert summary.loans_repaid + summary.loans_defaulted <= summary.loans_drawn
    assert summary.owed >= 0
    console = Console(width=80)
    with console.capture() as capture:
        console.print(render(shown[-1], session.characters))
    picture = capture.get()
    assert shown[-1].moves[0].merchant_id in picture
    assert shown[-1].answers[0].merchant_id in picture
    assert len(picture.splitlines()) <= 23
