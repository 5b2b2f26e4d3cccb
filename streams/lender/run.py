"""A lender at work: its book, kept up to date from its topic."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from streams.errors import OperatorError
from streams.lender.book import LimitBook
from streams.lender.following import following
from streams.lender.state import State, load, save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from streams.contract.messages import LimitUpdate
    from streams.contract.topics import Topic
    from streams.lender.following import Following, Source
    from streams.settings import Settings

SAVE_EVERY_S = 5.0
"""What a crash reads again; the book takes no harm from that."""


def run_lender(
    settings: Settings,
    lender: str,
    applied: Callable[[LimitUpdate], None],
    state: Path | None = None,
    until_end: bool = False,
) -> LimitBook:
    """Follow the limits of a lender until SIGINT or SIGTERM; returns what is known then.

    Args:
        settings: Say which broker and which topics.
        lender: Whose limits.
        applied: Called with each update that changes what is known.
        state: Where it is kept what is known and how far the topic was read.
        until_end: Whether to stop at what was the end of the topic at the start.

    Raises:
        OperatorError: There is no such lender; the broker cannot be reached or lacks the topic;
            the state file is of something else.
    """
    topic = _topic(settings, lender)
    known = State(lender) if state is None else load(state, lender)
    book = LimitBook(lender, known.limits, applied)
    sources: list[Source] = [(topic, book.take)]

    def keep(reader: Following) -> None:
        if state is not None:
            save(state, State(lender, reader.positions(), list(book)))

    with _stopped_by_signals() as stopping, following(settings, sources, known.positions) as reader:
        saved_at = time.monotonic()
        while not stopping.is_set() and not (until_end and reader.at_end()):
            reader.take_some()
            if time.monotonic() - saved_at > SAVE_EVERY_S:
                keep(reader)
                saved_at = time.monotonic()
        keep(reader)
    return book


def _topic(settings: Settings, lender: str) -> Topic:
    try:
        return settings.topics.limit_updates(lender)
    except KeyError:
        there = ", ".join(settings.topics.lenders)
        raise OperatorError(f"There is no lender {lender!r}: there are {there}.") from None


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, inside the block."""
    stopping = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in numbers}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
