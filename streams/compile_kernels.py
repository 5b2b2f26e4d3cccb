"""Compiles every kernel of the hot path by sending a few events along it; numba keeps the result.

`make` runs this once after installing, so that the first worker starts at once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from features.calendar import load_zone
from features.events import Outcome, allocate
from scorers.merchants import Enrolment, MerchantEvent, MerchantKind
from scorers.partition import Partition
from scorers.policy import PolicyName, Product
from streams.contract.messages import PaymentEvent, PaymentKind, Tick
from streams.state.holding import Holding
from streams.transport.fetching import FoldDecoder, folds
from streams.wire.encode import encode_messages, encode_rows
from streams.worker.decoding import fold_decoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from streams.transport.fold import Fold
    from streams.wire.encode import EncodedBatch

_DAY_MS = 86_400_000
_NOW = 1_760_000_000_000


class _TopicPartition(NamedTuple):
    topic: str
    partition: int


def compile_kernels() -> None:
    """Run every kernel of the hot path once."""
    partition = Partition(load_zone("Asia/Shanghai"))
    for batch in encode_messages(_messages(), compression="snappy"):
        for fold in _folds("payments", batch, FoldDecoder({"payments": fold_decoder(1)}, 1 << 26)):
            events, text = fold.decoded.events, fold.decoded.text
            partition.apply(events, text, lambda _: None)
            _relayed(partition, text)
    changed = partition.take_changed_rows()
    pages = partition.take_pages()
    restored = Holding(0, Partition(load_zone("Asia/Shanghai")))
    for rows in changed:
        for batch in encode_rows(*rows, "snappy"):
            for fold in _folds("rows", batch, FoldDecoder({}, 1 << 26)):
                restored.restore_rows(fold)
    for page in pages:
        restored.partition.load_page(page)


def _relayed(partition: Partition, text: NDArray[np.uint8]) -> None:
    """Enrol a merchant, ask what is known of it, and end its enrolment."""
    name = PolicyName("nobody", Product.LOAN)
    for n, kind in enumerate((MerchantKind.ENROLLED, MerchantKind.WITHDRAWN)):
        event = MerchantEvent("e", kind, "m1", _NOW, name.lender, name.product)
        enrolment, offset = Enrolment(event, (0, n)), partition.offset + 1 + n
        events = allocate(1)
        events.offset[0], events.outcome[0] = offset, Outcome.RELAYED

        def amend(_: int, enrolment: Enrolment = enrolment, offset: int = offset) -> None:
            partition.amend(b"m1", enrolment, offset=offset)

        partition.apply(events, text, lambda _: None, amend)
        partition.known_of(b"m1", name)
        partition.draw(b"m1", _NOW)


def _messages() -> list[tuple[bytes | None, bytes]]:
    """Return synthetic events of every kind, over enough days to make a limit move."""
    events: list[tuple[bytes | None, bytes]] = []
    for n in range(40):
        at = _NOW + n * _DAY_MS // 4
        event = PaymentEvent(
            payment_id=f"p{n}",
            kind=list(PaymentKind)[n % len(PaymentKind)] if n > 30 else PaymentKind.PAYMENT,
            merchant_id="m1" if n % 2 else "m2",
            amount=10_000,
            currency="CNY",
            occurred_at=at,
            payer_id=f"payer-{n}",
            original_occurred_at=at - _DAY_MS if n > 30 else None,
        )
        events.append((event.merchant_id.encode(), msgspec.json.encode(event)))
        events.append((None, msgspec.json.encode(Tick(occurred_at=at))))
    events.append((b"m1", b"not json"))
    return events


def _folds(topic: str, batch: EncodedBatch, decoder: FoldDecoder) -> list[Fold]:
    batch.close()
    data: Any = bytes(batch._build())
    return list(folds(_TopicPartition(topic, 0), data, (), 0, decoder))


if __name__ == "__main__":
    began = time.monotonic()
    compile_kernels()
    print(f"kernels compiled in {time.monotonic() - began:.1f} s")  # noqa: T201
