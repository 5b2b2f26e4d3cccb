"""A lender at work: its books, kept up to date from its topics."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from streams.errors import OperatorError
from streams.lender.answers import CLAIM_ANSWERS, DECISIONS, FUND_ANSWERS, Answer, AnswerBook
from streams.lender.book import LimitBook
from streams.lender.following import following
from streams.lender.state import State, load, save

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scorers.applications.messages import Decision
    from scorers.claims.events import ClaimAnswer
    from scorers.funds.events import FundAnswer
    from streams.contract.messages import LimitUpdate
    from streams.lender.answers import AnswerKind, Known
    from streams.lender.following import Following, Source
    from streams.settings import Settings

T = TypeVar("T", bound=Answer)

SAVE_EVERY_S = 5.0
"""What a crash reads again; the book takes no harm from that."""


class Shown(Protocol):
    """Who is told what changes. `kind` is `decision`, `fund_answer` or `claim_answer`."""

    def limit(self, update: LimitUpdate) -> None:
        """An update has changed what is known."""

    def answer(self, kind: str, answer: Answer, /) -> None:
        """An application, a redemption or a claim has been answered for the first time."""

    def conflict(self, kind: str, answer: Answer, /) -> None:
        """One has been answered again, in another way: the first answer counts."""


class Books(NamedTuple):
    """What a lender knows."""

    limits: LimitBook
    decisions: AnswerBook[Decision]
    fund_answers: AnswerBook[FundAnswer]
    claim_answers: AnswerBook[ClaimAnswer]


def run_lender(
    settings: Settings,
    lender: str,
    shown: Shown,
    state: Path | None = None,
    until_end: bool = False,
) -> Books:
    """Follow the limits and answers of a lender until SIGINT or SIGTERM; returns what is known.

    Args:
        settings: Say which broker and which topics.
        lender: Whose.
        shown: Who is told what changes.
        state: Where it is kept what is known and how far the topics were read.
        until_end: Whether to stop at what was the end of the topics at the start.

    Raises:
        OperatorError: There is no such lender; the broker cannot be reached or lacks a topic;
            the state file is of something else.
    """
    if lender not in settings.lenders:
        there = ", ".join(settings.lenders)
        raise OperatorError(f"There is no lender {lender!r}: there are {there}.")
    known = State(lender) if state is None else load(state, lender)
    books = _books(lender, known, shown)
    topics = settings.topics
    sources: list[Source] = [
        (topics.limit_updates(lender), books.limits.take),
        (topics.decisions(lender), books.decisions.take),
        (topics.fund_answers(lender), books.fund_answers.take),
        (topics.claim_answers(lender), books.claim_answers.take),
    ]

    def keep(reader: Following) -> None:
        if state is not None:
            answers = (books.decisions, books.fund_answers, books.claim_answers)
            known = (each.known() for each in answers)
            save(state, State(lender, reader.positions(), list(books.limits), *known))

    with _stopped_by_signals() as stopping, following(settings, sources, known.positions) as reader:
        saved_at = time.monotonic()
        while not stopping.is_set() and not (until_end and reader.at_end()):
            reader.take_some()
            if time.monotonic() - saved_at > SAVE_EVERY_S:
                keep(reader)
                saved_at = time.monotonic()
        keep(reader)
    return books


def _books(lender: str, known: State, shown: Shown) -> Books:
    def of(kind: AnswerKind[T], answered: list[Known]) -> AnswerBook[T]:
        return AnswerBook(
            lender, kind, answered, partial(shown.answer, kind.name),
            partial(shown.conflict, kind.name),
        )  # fmt: skip

    return Books(
        LimitBook(lender, known.limits, shown.limit),
        of(DECISIONS, known.decisions),
        of(FUND_ANSWERS, known.fund_answers),
        of(CLAIM_ANSWERS, known.claim_answers),
    )


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
