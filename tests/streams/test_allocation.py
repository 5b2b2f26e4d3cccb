"""The kernels that every payment passes allocate nothing: no pause, no contended lock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numba
import numba.core.runtime
import numpy as np
import pytest
from numba.core.errors import NumbaError

from features.calendar import load_zone
from features.compiler import JIT, kernel
from features.events import Outcome
from scorers.evaluation import Updates
from scorers.partition import Partition
from streams.contract.currencies import MINOR_DIGITS_TABLE
from streams.contract.messages import PaymentKind
from streams.decode.payments import decode
from streams.decode.routing import mark_misrouted
from streams.wire.encode import Message, encode_messages
from streams.wire.fetch import read

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not JIT, reason="kernels are not compiled")

RUNTIME: Any = numba.core.runtime
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
NOW = 1_760_000_000_000
DAYS = 20
MERCHANTS = 30


@pytest.fixture
def counted() -> Iterator[None]:
    """Numba counts what compiled code allocates and frees."""
    RUNTIME._nrt_python.memsys_enable_stats()
    yield
    RUNTIME._nrt_python.memsys_disable_stats()


def allocations() -> int:
    stats = RUNTIME.rtsys.get_allocation_stats()
    return int(stats.alloc + stats.mi_alloc)


def trade(days: range) -> bytes:
    """Every kind of event of every merchant each day, duplicates, ticks and records of nothing."""
    messages: list[Message] = []
    for day in days:
        for n, kind in enumerate([PaymentKind.PAYMENT] * 8 + list(PaymentKind)):
            for m in range(MERCHANTS):
                at = NOW + day * DAY_MS + n * HOUR_MS
                event = {
                    "payment_id": f"{m}-{day}-{n}", "kind": kind, "merchant_id": f"m{m}",
                    "amount": 9_000 if kind == PaymentKind.PAYMENT else 100, "currency": "CNY",
                    "occurred_at": at, "payer_id": f"payer-{m * n % 17}",
                }  # fmt: skip
                if kind not in (PaymentKind.PAYMENT, PaymentKind.OUTFLOW):
                    event["original_occurred_at"] = at - DAY_MS
                value = json.dumps(event).encode()
                messages += [(None, value, [], at)] * (2 if m == 0 else 1)
        messages.append((None, json.dumps({"kind": "tick", "occurred_at": at}).encode(), [], at))
        messages.append((None, None, [], at))
    data = bytearray(encode_messages(messages)[0]._build())
    data[:8] = (1_000_000 * days.start).to_bytes(8, "big")
    return bytes(data)


def apply(partition: Partition, data: bytes) -> tuple[np.ndarray, int]:
    """Return what became of the events, and how many updates came of them."""
    fetched = read(data, 0)
    updates = 0

    def count(more: Updates) -> None:
        nonlocal updates
        updates += len(more.row)

    events, text, _ = decode(fetched.records, fetched.text, MINOR_DIGITS_TABLE)
    mark_misrouted(events, text, 0, 1)
    partition.apply(events, text, count)
    return events.outcome, updates


@pytest.mark.usefixtures("counted")
def test_events_on_their_way_from_bytes_to_limits_allocate_nothing_in_compiled_code() -> None:
    partition = Partition(load_zone("Asia/Shanghai"))
    apply(partition, trade(range(DAYS)))
    data = trade(range(DAYS, DAYS + 5))
    before = allocations()
    outcomes, updates = apply(partition, data)
    assert allocations() == before
    # All of it was done: payments, duplicates, refusals and moved limits.
    assert {Outcome.APPLIED, Outcome.DUPLICATE, Outcome.NULL_VALUE} <= set(outcomes.tolist())
    assert updates > MERCHANTS


def allocating(n: int) -> float:
    return float(np.zeros(n).sum())


@pytest.mark.usefixtures("counted")
def test_the_count_rises_where_compiled_code_does_allocate() -> None:
    compiled: Any = numba.njit(allocating)
    compiled(3)
    before = allocations()
    compiled(3)
    assert allocations() > before


def test_a_kernel_that_allocates_does_not_compile() -> None:
    with pytest.raises(NumbaError):
        kernel(allocating)(3)
