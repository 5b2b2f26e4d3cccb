"""Insurance cover: what the payments of this local month and the last one give.

The rule and worked figures stand in docs/cover.md. It looks at sums alone, so a refund takes back
exactly what its payment gave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from features.calendar import DAY_MS, local_ms, month_of
from features.compiler import inlined
from features.events import Kind
from features.update import tile_time

if TYPE_CHECKING:
    from features.calendar import Zone
    from scorers.entitlements import Entitled
    from scorers.limits import PolicyArgs

_PAYMENT: Final = int(Kind.PAYMENT)
_REVERSED: Final = int(Kind.CHARGEBACK_REVERSED)
_OUTFLOW: Final = int(Kind.OUTFLOW)
_MILLION: Final = 1_000_000


@inlined
def roll_months(record: Entitled, day: int) -> None:
    """Let the months pass up to that of a local day; they never go back."""
    passed = month_of(day) - int(record.month)
    if passed > 0:
        record.month_net[1] = record.month_net[0] if passed == 1 else 0
        record.month_net[0] = 0
        record.month += passed


@inlined
def count_month(
    record: Entitled, kind: int, amount: int, occurred_at: int, original_at: int, zone: Zone
) -> None:
    """Count an event that was applied in the month of its payment.

    Months must have been rolled to the event. What belongs to an earlier month than the last, or
    to a time before the merchant was on record, is in no cover and changes none.
    """
    at = tile_time(kind, occurred_at, original_at)
    if kind == _OUTFLOW or at < record.since:
        return
    age = int(record.month) - month_of(local_ms(at, zone) // DAY_MS)
    if 0 <= age <= 1:
        record.month_net[age] += amount if kind in (_PAYMENT, _REVERSED) else -amount


@inlined
def _share_of(amount: int, share: float, cap: int) -> int:
    """Return a share of an amount, at most the cap, cut down to whole minor units.

    Shares are whole millionths, and so exact: in floats 0.29 x 100 is less than 29.
    """
    millionths = int(share * _MILLION + 0.5)
    if millionths >= _MILLION:
        amount = min(amount, cap)
    return min(amount // _MILLION * millionths + amount % _MILLION * millionths // _MILLION, cap)


@inlined
def cover_of(record: Entitled, policy: PolicyArgs) -> int:
    """Return the cover of this month, minor units: whole steps, in [0, cap]."""
    cap = int(policy.cap)
    now = _share_of(max(int(record.month_net[0]), 0), policy.cover_rate, cap)
    before = _share_of(max(int(record.month_net[1]), 0), policy.cover_rate, cap)
    carried = _share_of(before, policy.cover_carry, cap)
    return min(now + carried, cap) // int(policy.step) * int(policy.step)
