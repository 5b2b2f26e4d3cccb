"""A log that is cut into parts leads to what it leads to whole."""

import json

import numpy as np
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.audit.recomputing import part
from streams.observability.metrics import Metrics
from streams.settings import Settings
from streams.state.holding import Holding
from streams.transport.fetching import FoldDecoder, folds
from streams.transport.fold import Fold
from streams.wire.encode import Message, encode_messages
from streams.worker.decoding import fold_decoder
from streams.worker.effects import FoldApplier, partition_maker
from streams.worker.limit_updates import LimitUpdates, Moved

SETTINGS = Settings(partitions=1)
DECODE = fold_decoder(SETTINGS.partitions)
NOW = 1_760_000_000_000
FIRST, LAST = 100, 179


def fold_of_all() -> Fold:
    """Payments of two merchants over weeks, one of which no fast decoder reads."""
    messages: list[Message] = []
    for n in range(LAST - FIRST + 1):
        at = NOW + n // 4 * 86_400_000 + n
        event = {
            "payment_id": f"p{n}", "kind": "payment", "merchant_id": f"m\u00e9{n % 2}",
            "amount": 90_000 + n, "currency": "CNY", "occurred_at": at, "payer_id": f"u{n % 9}",
        }  # fmt: skip
        value = json.dumps(event, ensure_ascii=n == 5, separators=(",", ":")).encode()
        messages.append((b"m", value, [], at))
    data = bytearray(encode_messages(messages)[0]._build())
    data[:8] = FIRST.to_bytes(8, "big")
    decoder = FoldDecoder({"payments": DECODE}, 1 << 20)
    (fold,) = folds(TP("payments", 0), bytes(data), (), FIRST, decoder)
    return fold


def led_to(parts: list[Fold]) -> list[object]:
    holding = Holding(0, partition_maker(SETTINGS)())
    applier, updates = FoldApplier(SETTINGS, Metrics()), LimitUpdates("payments")
    return [
        update
        for fold in parts
        for each in applier.apply(holding, fold).updates
        for update in updates.messages(Moved.of(holding, each))
    ]


@settings(deadline=None)
@given(st.lists(st.integers(FIRST, LAST), max_size=5).map(sorted))
def test_parts_lead_to_what_the_whole_leads_to(cuts: list[int]) -> None:
    begins = [FIRST, *(cut + 1 for cut in cuts)]
    whole = fold_of_all()
    parts = [part(whole, *ends, DECODE) for ends in zip(begins, [*cuts, LAST], strict=True)]
    assert np.concatenate([each.records.offset for each in parts]).tolist() == list(
        range(FIRST, LAST + 1)
    )
    found = led_to(parts)
    assert len(found) > 5
    assert found == led_to([fold_of_all()])
