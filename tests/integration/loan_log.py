"""What the log says of loans, worked out again from the log alone."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from features.calendar import load_zone
from features.events import Outcome
from scorers.accounts import Accounts
from scorers.loans import Example, Loan, LoanBook, LoanEvent, example_of
from scorers.loans import Key as LoanKey
from scorers.partition import Partition
from streams.contract.currencies import MINOR_DIGITS_TABLE
from streams.decode.payments import decode, decode_relayed
from streams.wire.records import Records
from tests.faults.outcome import everything

if TYPE_CHECKING:
    from kafka.consumer.fetcher import ConsumerRecord

    from streams.settings import Settings


def expected_examples(settings: Settings) -> dict[int, list[Example]]:
    """The examples of each partition of the log, one record at a time and without a crash."""
    log: defaultdict[int, list[ConsumerRecord]] = defaultdict(list)
    for record in everything(settings, settings.topics.payments):
        log[record.partition].append(record)
    return {number: _examples(settings, records) for number, records in log.items()}


def _examples(settings: Settings, log: list[ConsumerRecord]) -> list[Example]:
    partition, book = Partition(load_zone(settings.zone)), LoanBook()
    examples = []
    for record in log:
        columns = _columns(record)
        events, text, _ = decode(columns, np.frombuffer(record.value, np.uint8).copy(),
                                 MINOR_DIGITS_TABLE)  # fmt: skip
        if events.outcome[0] == Outcome.RELAYED:
            relayed = decode_relayed(record.value)
            event = msgspec.json.decode(relayed.event, type=LoanEvent)
            known = partition.draw(event.merchant_id.encode(), event.occurred_at)
            verdict = book.apply(event, lambda known=known: known)  # type: ignore[misc]
            if verdict.loan is not None and verdict.draw is not None:
                source = (record.topic, record.partition, record.offset)
                examples.append(example_of(event, verdict.loan, verdict.draw, source))
        partition.apply(events, text, lambda _: None)
    return examples


def _columns(record: ConsumerRecord) -> Records:
    zero, one = np.zeros(1, np.int64), np.ones(1, np.int64)
    return Records(
        offset=one * record.offset,
        timestamp=one * record.timestamp,
        key_at=zero,
        key_length=zero - 1,
        value_at=zero,
        value_length=one * len(record.value),
        headers_at=zero,
        headers_length=zero,
        header_count=zero,
    )


def published_examples(settings: Settings) -> dict[int, list[Example]]:
    """The examples on their topic, by partition of the log; a repetition must repeat it all."""
    examples: defaultdict[int, dict[int, Example]] = defaultdict(dict)
    for record in everything(settings, settings.topics.examples):
        example = msgspec.json.decode(record.value, type=Example)
        of_partition = examples[example.source_partition]
        known = of_partition.get(example.source_offset)
        if known is None:
            newest = max(of_partition, default=-1)
            assert example.source_offset > newest, "examples of a partition out of order"
            of_partition[example.source_offset] = example
        assert known in (None, example)
    return {number: list(found.values()) for number, found in examples.items()}


def durable_loans(settings: Settings) -> dict[LoanKey, Loan]:
    """Each loan as the ledgers of all partitions have it."""
    accounts = [Accounts(load_zone(settings.zone)) for _ in range(settings.partitions)]
    for record in everything(settings, settings.topics.ledger_changelog):
        accounts[record.partition].ledger.restore(record.key, record.value)
    return {LoanKey(*key): loan for each in accounts for key, loan in each.loans.items()}
