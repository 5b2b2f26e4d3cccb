"""Limit updates as messages, each lender's by themselves."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from scorers.policy import Product
from scorers.reasons import reason_code, reason_text
from streams.contract.currencies import code_of
from streams.contract.messages import LimitUpdate, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scorers.evaluation import Updates
    from scorers.partition import Partition, Version
    from streams.state.holding import Holding
    from streams.wire.encode import Message


class Moved(NamedTuple):
    """Limits that have moved, and by what."""

    number: int
    """Of the partition of `payments`."""
    partition: Partition
    version: Version
    """That was in force."""
    updates: Updates

    @classmethod
    def of(cls, holding: Holding, updates: Updates) -> Moved:
        """Return what has just moved in a partition."""
        return cls(holding.number, holding.partition, holding.partition.version, updates)


class LimitUpdates:
    """Turns the kernel's update columns into records.

    Args:
        source_topic: topic that the payments came from.
    """

    def __init__(self, source_topic: str) -> None:
        self._source_topic = source_topic
        self._encode = msgspec.json.Encoder().encode

    def encode(self, moved: Moved) -> dict[str, list[Message]]:
        """Return updates as records, by lender, in the order of the log."""
        messages: defaultdict[str, list[Message]] = defaultdict(list)
        for key, update in self.messages(moved):
            messages[update.lender_id].append((key, self._encode(update)))
        return messages

    def messages(self, moved: Moved) -> Iterator[tuple[bytes, LimitUpdate]]:
        """Yield updates with their keys, in the order of the log."""
        source, partition, version, updates = moved
        policies = [version.policies[place] for place in updates.policy.tolist()]
        merchants = partition.merchants_of(updates.row)
        currencies = partition.currencies_of(updates.row)
        columns = (updates.as_of, updates.offset, updates.previous, updates.limit,
                   updates.version, updates.pd, updates.reason, updates.effect)  # fmt: skip
        for key, currency, policy, figures in zip(
            merchants,
            currencies,
            policies,
            zip(*(column.tolist() for column in columns), strict=True),
            strict=True,
        ):
            as_of, offset, previous, limit, number, pd, reasons, effects = figures
            update = LimitUpdate(
                merchant_id=key.decode(),
                lender_id=policy.lender,
                product=policy.product,
                currency=_currency(currency),
                limit=limit,
                previous_limit=previous,
                version=number,
                probability_of_default=pd,
                reasons=[
                    _reason(reason, effect)
                    for reason, effect in zip(reasons, effects, strict=True)
                    if reason >= 0
                ],
                model_version=version.scorecard.version,
                policy_version=policy.version,
                as_of=as_of,
                source_topic=self._source_topic,
                source_partition=source,
                source_offset=offset,
            )
            yield _key(key, policy.product), update


def _key(merchant_id: bytes, product: Product) -> bytes:
    """Return the key of an update: compaction must leave one of each product."""
    return merchant_id if product is Product.LOAN else merchant_id + f"/{product}".encode()


def _reason(reason: int, effect: float) -> Reason:
    code, text = _words(reason)
    return Reason(code=code, effect=effect, text=text)


_currency = cache(code_of)


@cache
def _words(reason: int) -> tuple[str, str]:
    """Return the code and the sentence of a reason number; there are a hundred or so."""
    return reason_code(reason), reason_text(reason)
