"""What a row should know, computed the plain way: every event is kept, and counted when asked.

Days and hours come from `datetime` and `zoneinfo`. Distinct payers are exact, so the model
answers for at most 32 of them; the largest payer's share is exact, so it answers for at most 6.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import nan, sqrt
from typing import NamedTuple
from zoneinfo import ZoneInfo

from features.events import Funding, Kind

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class Event(NamedTuple):
    kind: Kind
    amount: int
    occurred_at: int
    original_at: int = -1
    funding: Funding = Funding.UNKNOWN
    payer: int = 0
    """0 when the payer is unknown."""


class Local(NamedTuple):
    """What a clock and a calendar on the wall show."""

    day: int
    hour: int

    @property
    def block(self) -> int:
        return self.day // 28

    @property
    def is_night(self) -> bool:
        return self.hour % 24 == 23 or self.hour % 24 < 6


def local(ms: int, zone: ZoneInfo) -> Local:
    shown = (EPOCH + timedelta(milliseconds=ms)).astimezone(zone).replace(tzinfo=UTC)
    return Local((shown - EPOCH) // DAY, (shown - EPOCH) // HOUR)


@dataclass(frozen=True)
class Counted:
    """An event, and the tile that it belongs to."""

    event: Event
    at: Local
    on_day: bool
    """Its day was still in the ring when it came."""

    @property
    def sign(self) -> int:
        """What it does to the count of its kind."""
        return -1 if self.event.kind in (Kind.VOID, Kind.CHARGEBACK_REVERSED) else 1

    @property
    def net(self) -> int:
        gives = self.event.kind in (Kind.PAYMENT, Kind.CHARGEBACK_REVERSED)
        return self.event.amount if gives else -self.event.amount

    @property
    def is_ticket(self) -> bool:
        return self.event.kind in (Kind.PAYMENT, Kind.VOID)


NOT_YET = Local(-1, -1)


@dataclass
class Merchant:
    zone: ZoneInfo
    """May be another from some event on; what has been counted stays where it is."""
    clock: int = -1
    now: Local = NOT_YET
    counted: list[Counted] = field(default_factory=list)
    sightings: list[tuple[int, int]] = field(default_factory=list)
    """(payer, local day) of payments that came within 28 days."""
    gaps: list[tuple[int, int]] = field(default_factory=list)
    """(ms, block in which it ended)."""
    spent: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    """By payer; halved with every block."""
    spent_total: int = 0
    first_at: int = -1
    first_day: int = -1
    last_at: int = -1
    last_day: int = -1
    outflow: int = 0
    balances: list[tuple[int, int]] = field(default_factory=list)
    """(block of the clock, what was left after the event), event by event."""

    def roll(self, to_ms: int) -> None:
        then = local(to_ms, self.zone)
        if self.clock < 0:
            self.now = then
        before = self.now.block
        self.now = Local(max(self.now.day, then.day), max(self.now.hour, then.hour))
        self.clock = max(self.clock, to_ms)
        for _ in range(min(self.now.block - before, 64)):
            self.spent = {payer: amount // 2 for payer, amount in self.spent.items()}
            self.spent_total //= 2
        if self.now.block > before:
            tickets = self._tickets()
            if not tickets or self._left_nothing(tickets):
                self.spent, self.spent_total = defaultdict(int), 0

    def _left_nothing(self, tickets: list[Counted]) -> bool:
        return sum(t.sign for t in tickets) == 0 and sum(t.net for t in tickets) == 0

    def apply(self, event: Event) -> None:
        self.roll(event.occurred_at)
        if event.kind == Kind.OUTFLOW:
            self.outflow += event.amount
        else:
            self._count(event)
        left = sum(c.net for c in self.counted) - self.outflow
        self.balances.append((self.now.block, left))

    def _count(self, event: Event) -> None:
        at = event.occurred_at
        if event.kind != Kind.PAYMENT and event.original_at >= 0:
            at = min(event.original_at, event.occurred_at)
        tile = local(at, self.zone)
        self.counted.append(Counted(event, tile, on_day=self.now.day - tile.day < 35))
        if event.kind == Kind.PAYMENT:
            self._follow(event, tile)

    def _follow(self, event: Event, tile: Local) -> None:
        if event.occurred_at > self.last_at:
            if self.last_at >= 0:
                self.gaps.append((event.occurred_at - self.last_at, tile.block))
            self.last_at, self.last_day = event.occurred_at, tile.day
        if self.first_at < 0 or event.occurred_at < self.first_at:
            self.first_at, self.first_day = event.occurred_at, tile.day
        if event.payer and self.now.day - tile.day < 28:
            self.sightings.append((event.payer, tile.day))
        if event.payer and self.now.block - tile.block <= 1:
            self.spent[event.payer] = self.spent.get(event.payer, 0) + event.amount
            self.spent_total += event.amount

    # What is known of one day, or of the blocks.

    def day_net(self, day: int) -> int:
        """Signed: below 0 the merchant has given back more than it had collected."""
        return sum(c.net for c in self.counted if c.on_day and c.at.day == day)

    def day_payments(self, day: int) -> int:
        return sum(c.sign for c in self.counted if c.is_ticket and c.at.day == day)

    def day_refunds(self, day: int) -> int:
        return sum(c.sign for c in self.counted if not c.is_ticket and c.at.day == day)

    def hour_payments(self, hour: int) -> int:
        return sum(c.sign for c in self.counted if c.is_ticket and c.at.hour == hour)

    def hour_amount(self, hour: int) -> int:
        return sum(c.net for c in self.counted if c.is_ticket and c.at.hour == hour)

    def excess_that_left(self) -> int:
        days = {c.at.day for c in self.counted if c.on_day and c.at.day <= self.now.day - 35}
        return sum(max(0, -self.day_net(day)) for day in days)

    def payers(self, days: int) -> int:
        return len({payer for payer, day in self.sightings if self.now.day - day < days})

    def largest_share(self) -> float:
        if self.spent_total == 0:
            return nan
        return max(self.spent.values()) / self.spent_total

    def _in_blocks(self) -> list[Counted]:
        return [c for c in self.counted if self.now.block - c.at.block <= 1]

    def _tickets(self) -> list[Counted]:
        return [c for c in self._in_blocks() if c.is_ticket]

    def _taken(self, *kinds: Kind) -> int:
        return sum(c.sign * c.event.amount for c in self._in_blocks() if c.event.kind in kinds)

    def features(self) -> dict[str, float]:
        today = self.now.day
        nets = [max(0, self.day_net(today - age)) for age in range(28)]
        payments = [max(0, self.day_payments(today - age)) for age in range(28)]
        hours = [max(0, self.hour_payments(self.now.hour - age)) for age in range(24)]
        tickets = self._tickets()
        number, amount = sum(t.sign for t in tickets), sum(t.net for t in tickets)
        night = sum(t.sign for t in tickets if t.at.is_night)
        funded = [t for t in tickets if t.event.funding != Funding.UNKNOWN]
        credit = sum(t.sign for t in funded if t.event.funding == Funding.CREDIT)
        found = {
            "active_days_28": sum(count > 0 for count in payments),
            "net_28": sum(nets),
            "net_7": sum(nets[:7]),
            "payments_28": sum(payments),
            "payments_24h": sum(hours),
            "payers_7": self.payers(7),
            "payers_28": self.payers(28),
            "largest_payer_share": self.largest_share(),
            "night_share": share(night, number),
            "credit_share": share(credit, sum(t.sign for t in funded)),
            "refund_share": share(self._taken(Kind.REFUND), amount),
            "chargeback_share": share(
                self._taken(Kind.CHARGEBACK, Kind.CHARGEBACK_REVERSED), amount
            ),
            "mean_ticket": amount / number if number > 0 and amount > 0 else nan,
            "ticket_spread": spread(
                number, amount, sum(t.sign * t.event.amount**2 for t in tickets)
            ),
        }
        return found | self._since_first(nets) | self._ever()

    def _since_first(self, nets: list[int]) -> dict[str, float]:
        names = ["tenure_days", "silence_days", "longest_gap_days"]
        names += ["mean_day_net_28", "volatility_28", "trend"]
        if self.first_at < 0:
            return dict.fromkeys(names, nan)
        days = min(self.now.day - self.first_day + 1, 28)
        gaps = [gap for gap, block in self.gaps if self.now.block - block <= 1]
        lately, before = Fraction(sum(nets[:7]), 7), Fraction(sum(nets[7:]), max(days - 7, 1))
        has_trend = days > 7 and sum(nets) > 0
        return {
            "tenure_days": self.now.day - self.first_day,
            "silence_days": self.now.day - self.last_day,
            "longest_gap_days": max([*gaps, self.clock - self.last_at]) / 86_400_000,
            "mean_day_net_28": sum(nets) / days,
            "volatility_28": spread(days, sum(nets), sum(net**2 for net in nets)),
            "trend": float((lately - before) / (lately + before)) if has_trend else nan,
        }

    def _ever(self) -> dict[str, float]:
        amount = sum(c.net for c in self.counted if c.is_ticket)
        taken = -sum(c.net for c in self.counted if not c.is_ticket)
        found = {"refund_share_ever": share(taken, amount)}
        names = ["mean_month_net", "mean_month_payments"]
        names += ["outflow_share", "lowest_balance_56", "lowest_balance"]
        if self.first_at < 0:
            return found | dict.fromkeys(names, nan)
        days = self.now.day - self.first_day + 1
        number = sum(c.sign for c in self.counted if c.is_ticket)
        month = Fraction(28 * max(0, amount - taken), days)
        found |= {
            "mean_month_net": float(month),
            "mean_month_payments": 28 * max(0, number) / days,
        }
        if not self.outflow or not month:
            return found | dict.fromkeys(names[2:], nan)
        earlier = [left for block, left in self.balances if block < self.now.block - 1]
        lately = [left for block, left in self.balances if block >= self.now.block - 1]
        return found | {
            "outflow_share": min(float(self.outflow / (month * days / 28)), 4.0),
            "lowest_balance_56": months(min(earlier[-1:] + lately), month),
            "lowest_balance": months(min(left for _, left in self.balances), month),
        }


def months(amount: int, month: Fraction) -> float:
    return min(max(float(amount / month), -4.0), 100.0)


def share(part: int, whole: int) -> float:
    return min(max(part, 0), whole) / whole if whole > 0 else nan


def spread(number: int, total: int, squares: int) -> float:
    """Return standard deviation over mean."""
    if number < 2 or total <= 0:
        return nan
    mean = Fraction(total, number)
    variance = max(Fraction(squares, number) - mean**2, Fraction(0))
    return sqrt(variance / mean**2)
