"""The demo on its embedded broker: limits move, and loans are decided, drawn and paid back."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
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


def children_of(pid: int) -> set[int]:
    """Return the processes that a process has started and that still run."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            # Behind the name, which may hold anything: state and parent.
            state, parent = status.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.add(int(status.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to see children in")
def test_a_demo_that_is_told_to_end_leaves_no_process_behind() -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "streams.commands.main", "demo", "--duration", "60", "--json"],
        stdout=subprocess.DEVNULL,
    )
    try:
        children: set[int] = set()
        until = time.monotonic() + 60.0
        while len(children) < 2 and time.monotonic() < until and demo.poll() is None:
            time.sleep(0.1)
            children = children_of(demo.pid)
        assert len(children) >= 2, "a broker and a worker"
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(timeout=60) == 128 + signal.SIGTERM
        assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []
    finally:
        demo.kill()
