"""Streams of steps for one merchant, run by the kernels and by the model."""

from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.calendar import Zone, load_zone
from features.compiler import kernel
from features.events import Funding, Kind
from features.hashing import mix
from features.roll import roll
from features.rows import Rows
from features.update import apply_event, would_overflow
from features.vector import FEATURE_COUNT, FEATURES, compute
from features.views import Row, as_rows
from tests.features.model import Event, Merchant

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NAMES = [feature.name for feature in FEATURES]


class Roll(NamedTuple):
    """Time passes up to here, epoch ms."""

    to_ms: int


Step = Event | Roll


class _Steps(NamedTuple):
    kind: NDArray[np.int64]
    """-1 for a roll to `occurred_at`."""
    amount: NDArray[np.int64]
    occurred_at: NDArray[np.int64]
    original_at: NDArray[np.int64]
    funding: NDArray[np.int64]
    payer: NDArray[np.uint64]


@kernel
def _run(
    table: NDArray[np.uint8], i: int, steps: _Steps, zone: Zone, vectors: NDArray[np.float64]
) -> None:
    rows = as_rows(table)
    row = rows[i]
    for k in range(len(steps.kind)):
        if steps.kind[k] < 0:
            roll(row, steps.occurred_at[k], zone)
        else:
            payer = mix(steps.payer[k]) if steps.payer[k] > 0 else steps.payer[k]
            apply_event(
                row, steps.kind[k], steps.amount[k], steps.occurred_at[k],
                steps.original_at[k], steps.funding[k], payer, k, zone,
            )  # fmt: skip
        compute(row, vectors[k])


def _columns(steps: list[Step]) -> _Steps:
    events = [
        step if isinstance(step, Event) else Event(Kind.TICK, 0, step.to_ms) for step in steps
    ]
    return _Steps(
        kind=np.array([-1 if e.kind == Kind.TICK else e.kind for e in events], np.int64),
        amount=np.array([e.amount for e in events], np.int64),
        occurred_at=np.array([e.occurred_at for e in events], np.int64),
        original_at=np.array([e.original_at for e in events], np.int64),
        funding=np.array([e.funding for e in events], np.int64),
        payer=np.array([e.payer for e in events], np.uint64),
    )


class Outcome(NamedTuple):
    rows: Rows
    row: Row
    packed: bytes
    features: list[dict[str, float]]
    """After each step."""


def run(steps: list[Step], zone: str = "Asia/Shanghai") -> Outcome:
    """Run the kernels on a new merchant."""
    rows = Rows()
    number = rows.add(b"m")
    vectors = np.full((len(steps), FEATURE_COUNT), -1.0)
    _run(rows.table, number, _columns(steps), load_zone(zone), vectors)
    features = [dict(zip(NAMES, vector.tolist(), strict=True)) for vector in vectors]
    packed = rows.packed(np.array([number])).tobytes()
    return Outcome(rows, rows.row(number), packed, features)


def run_model(steps: list[Step], zone: str) -> tuple[Merchant, list[dict[str, float]]]:
    """Run the model on a new merchant."""
    merchant = Merchant(ZoneInfo(zone))
    features = []
    for step in steps:
        if isinstance(step, Roll):
            merchant.roll(step.to_ms)
        else:
            merchant.apply(step)
        features.append(merchant.features())
    return merchant, features


@kernel
def overflows(row: Row, kind: int, amount: int, occurred_at: int, zone: Zone) -> bool:
    return would_overflow(row, kind, amount, occurred_at, -1, zone)


# Around both changes of Berlin's clocks in 2025, and an ordinary day.
STARTS = (1_743_206_400_000, 1_761_350_400_000, 1_750_000_000_123)
JUMPS = (0, 1, 7 * MINUTE, HOUR, 5 * HOUR, DAY, 3 * DAY, 9 * DAY, 27 * DAY, 40 * DAY, 70 * DAY)
BACKS = (0, 1, MINUTE, HOUR, 8 * HOUR, 23 * HOUR)
LOOKS_BACK = (-2 * HOUR, 0, 1, HOUR, 12 * HOUR, DAY, 6 * DAY, 34 * DAY, 36 * DAY, 60 * DAY)
AMOUNTS = st.one_of(st.integers(1, 50), st.integers(1, 10**7), st.just(10**15))


@st.composite
def streams(draw: st.DrawFn, payers: int = 6, length: int = 25) -> list[Step]:
    """Draw steps of one merchant, in log order: late ones, repeated ones and ticks among them."""
    now = draw(st.sampled_from(STARTS))
    steps: list[Step] = []
    for _ in range(draw(st.integers(1, length))):
        now += draw(st.sampled_from(JUMPS)) + draw(st.integers(0, 3)) * 17 * MINUTE
        if draw(st.integers(0, 5)) == 0:
            steps.append(Roll(now))
            continue
        occurred_at = now - draw(st.sampled_from(BACKS))
        kind = draw(st.sampled_from([Kind.PAYMENT, Kind.PAYMENT, *list(Kind)[:5], Kind.OUTFLOW]))
        original_at = -1
        if kind != Kind.PAYMENT and draw(st.booleans()):
            original_at = occurred_at - draw(st.sampled_from(LOOKS_BACK))
        steps.append(
            Event(
                kind,
                draw(AMOUNTS),
                occurred_at,
                original_at,
                draw(st.sampled_from(list(Funding))),
                draw(st.integers(0, payers)),
            )
        )
    return steps
