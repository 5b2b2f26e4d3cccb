"""Loans of a partition's merchants, from the draw to the end, and the example each leaves behind.

What was known of a merchant when a loan was drawn is kept with the loan. When the loan ends, it
and the outcome make one example to learn from: whatever came between changes nothing of it, and
however often the outcome is repeated, it is told once.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from features.bounds import Amount, Currency, Identifier, Milliseconds, Version
from scorers.exposure import Exposure, Line
from scorers.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOAN_SCHEMA_VERSION = 1


class LoanKind(StrEnum):
    """What happened to a loan."""

    DRAWN = "drawn"
    REPAID = "repaid"
    OVERDUE = "overdue"
    SETTLED = "settled"
    DEFAULTED = "defaulted"
    WRITTEN_OFF = "written_off"


NEED_AMOUNT = frozenset({LoanKind.DRAWN, LoanKind.REPAID, LoanKind.OVERDUE})
ENDS = frozenset({LoanKind.SETTLED, LoanKind.DEFAULTED, LoanKind.WRITTEN_OFF})
LATE = frozenset({LoanKind.OVERDUE, LoanKind.DEFAULTED, LoanKind.WRITTEN_OFF})
OWING = frozenset({LoanKind.DRAWN, LoanKind.OVERDUE, LoanKind.DEFAULTED})
"""Kinds after which something is still owed."""


class LoanEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event of a loan, on the topic `loan-events`, keyed by `merchant_id`.

    Of one loan, `drawn` comes first. A loan ends well with `settled`, badly with `defaulted` or
    `written_off`; the first of them is what is learnt from.

    Attributes:
        event_id: Counts once for a loan; the same id with other content is a conflict.
        kind: What happened.
        loan_id: Unique for its lender and merchant.
        lender_id: Who lent.
        merchant_id: Who borrowed. Also the record's key.
        product: For example `loan`.
        currency: ISO 4217 code; all events of a loan have the same.
        occurred_at: When it happened, in ms; not before the draw.
        amount: Minor units: principal drawn, principal repaid, or all that is overdue by now.
            Needed with `drawn`, `repaid` and `overdue`, ignored with the others.
        application_id: With `drawn`: the approved application that the loan is drawn on, by the
            same merchant to the same lender. Its reservation becomes debt.
    """

    event_id: Identifier
    kind: LoanKind
    loan_id: Identifier
    lender_id: Identifier
    merchant_id: Identifier
    product: Identifier
    currency: Currency
    occurred_at: Milliseconds
    amount: Amount | None = None
    application_id: Identifier | None = None


class Draw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was known and thought of a merchant when a loan was drawn.

    Attributes:
        features: by name, as docs/features.md has them; null is absent.
        probability_of_default: what the live scorecard made of them, 0 to 1.
        model_version: of that scorecard.
    """

    features: dict[str, float | None]
    probability_of_default: float
    model_version: int


class Example(msgspec.Struct, frozen=True):
    """A loan that has ended, on the topic `examples`: what was known at its draw, and the outcome.

    After a crash an example may come again with the same content. Of one `source_partition`,
    examples come in the order of `source_offset`: one at or below the highest seen is a repetition.

    Attributes:
        merchant_id: Who borrowed.
        lender_id: Who lent.
        loan_id: The loan; unique for its lender and merchant.
        product: For example `loan`.
        currency: ISO 4217 code.
        amount: Principal drawn, in minor units.
        outcome: How the loan ended.
        defaulted: 1 of `defaulted` and `written_off`, 0 of `settled`, as a truth value.
        features: Of the merchant at the draw, by name; null is absent.
        probability_of_default: Of the scorecard that was live at the draw, 0 to 1.
        model_version: Of that scorecard.
        drawn_at: When the loan was drawn, in ms.
        ended_at: When it ended, in ms.
        source_topic: Topic of the event that ended it, as the worker read it.
        source_partition: Partition of that event.
        source_offset: Offset of that event.
        schema_version: Of this message.
    """

    merchant_id: Identifier
    lender_id: Identifier
    loan_id: Identifier
    product: Identifier
    currency: Currency
    amount: Amount
    outcome: LoanKind
    defaulted: bool
    features: dict[str, float | None]
    probability_of_default: Annotated[float, Meta(ge=0.0, le=1.0)]
    model_version: Version
    drawn_at: Milliseconds
    ended_at: Milliseconds
    source_topic: Annotated[str, Meta(min_length=1, max_length=249)]
    source_partition: Annotated[int, Meta(ge=0)]
    source_offset: Annotated[int, Meta(ge=0)]
    schema_version: Literal[1] = 1


class Loan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A loan as the ledger keeps it.

    Attributes:
        product: for example `loan`.
        currency: ISO 4217 code.
        status: kind of the last event that changed it.
        drawn: principal, minor units.
        drawn_at: event time of the draw, epoch ms.
        outstanding: principal still owed, minor units.
        overdue: part of it that should have been paid by now, minor units.
        ended_at: event time of the first end, epoch ms; None while it runs.
        events: checksum of each event's content, by `event_id`.
        draw: what was known at the draw; None once the example is out.
        late: something has been overdue, now or before.
        schema_version: of this layout.
    """

    product: str
    currency: str
    status: LoanKind
    drawn: int
    drawn_at: int
    outstanding: int
    overdue: int
    ended_at: int | None
    events: dict[str, int]
    draw: Draw | None
    late: bool = False
    schema_version: int = LOAN_SCHEMA_VERSION


class Became(StrEnum):
    """What became of a loan event. From `CONFLICT` on it is a dead letter."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    UNKNOWN_LOAN = "unknown_loan"
    BEFORE_THE_DRAW = "before_the_draw"
    AFTER_THE_END = "after_the_end"
    OTHER_CURRENCY = "other_currency"


SENTENCES = {
    Became.CONFLICT: "the loan has been drawn before, or event_id has been used for an event of"
    " other content; the first one counts",
    Became.UNKNOWN_LOAN: "no loan of this loan_id was drawn by this merchant from this lender;"
    " send its drawn event first, then this one again",
    Became.BEFORE_THE_DRAW: "occurred_at lies before the loan was drawn",
    Became.AFTER_THE_END: "the loan has been settled; only a new loan can follow",
    Became.OTHER_CURRENCY: "the loan was drawn in another currency",
}
"""Why an event was refused, for a person."""


class Key(NamedTuple):
    """What names a loan."""

    merchant_id: str
    lender_id: str
    loan_id: str

    def encoded(self) -> bytes:
        """Return the key as a JSON list."""
        return msgspec.json.encode(self)


class Verdict(NamedTuple):
    """What became of an event, and the example that the loan left behind with it."""

    became: Became
    loan: Loan | None = None
    """As it stands when it has just ended for the first time."""
    draw: Draw | None = None


class LoanBook:
    """The loans of one partition.

    Args:
        ledger: keeps them, in its book `loans`; one of their own when left out.

    Attributes:
        owing: how many loans are not paid back.
        owed: principal still owed, by merchant and by line.

    >>> book = LoanBook()
    >>> drawn = LoanEvent("e1", LoanKind.DRAWN, "l1", "bank", "stall", "loan", "CNY", 1000, 80_000)
    >>> book.apply(drawn, lambda: Draw({}, 0.02, 1)).became, book.outstanding("stall")
    (<Became.APPLIED: 'applied'>, 80000)
    >>> settled = LoanEvent("e2", LoanKind.SETTLED, "l1", "bank", "stall", "loan", "CNY", 9000)
    >>> book.apply(settled, lambda: Draw({}, 0.5, 1)).draw.probability_of_default
    0.02
    >>> book.apply(settled, lambda: Draw({}, 0.5, 1)).became
    <Became.DUPLICATE: 'duplicate'>
    """

    def __init__(self, ledger: Ledger | None = None) -> None:
        self._loans = (Ledger() if ledger is None else ledger).book("loans", Loan)
        self._of_merchant: defaultdict[str, list[Key]] = defaultdict(list)
        self.owing = 0
        self.owed = Exposure()

    def __len__(self) -> int:
        return len(self._loans)

    def apply(self, event: LoanEvent, draw: Callable[[], Draw]) -> Verdict:
        """Apply one event that the ledger takes (`Ledger.takes`).

        Args:
            event: what happened.
            draw: tells what is known of the merchant now; called for a new loan only.
        """
        key = key_of(event)
        loan = self._loans.get(key)
        if loan is None:
            if event.kind is not LoanKind.DRAWN:
                return Verdict(Became.UNKNOWN_LOAN)
            self._put(key, _drawn(event, draw()))
            return Verdict(Became.APPLIED)
        became = _judge(loan, event)
        if became is not Became.APPLIED:
            return Verdict(became)
        changed = _changed(loan, event)
        self._put(key, changed)
        if changed.ended_at is None or loan.ended_at is not None:
            return Verdict(Became.APPLIED)
        return Verdict(Became.APPLIED, changed, loan.draw)

    def outstanding(self, merchant_id: str) -> int:
        """Return what a merchant owes over all lenders, in minor units."""
        return sum(self.owed.of_merchant(merchant_id).values())

    def counted(self, event: LoanEvent) -> bool:
        """Tell whether an event of this id and this content has been applied to its loan."""
        loan = self._loans.get(key_of(event))
        return loan is not None and loan.events.get(event.event_id) == _checksum(event)

    def of(self, merchant_id: str) -> Iterator[tuple[Key, Loan]]:
        """Yield the loans of a merchant in the order of their draws, by the time of each."""
        keys = self._of_merchant.get(merchant_id, ())
        loans = [(key, loan) for key in keys if (loan := self._loans.get(key)) is not None]
        return iter(sorted(loans, key=lambda each: (each[1].drawn_at, each[0])))

    def items(self) -> Iterator[tuple[tuple[str, ...], Loan]]:
        """Yield all loans in the order of their keys."""
        return self._loans.items()

    def rebuild(self) -> None:
        """Work out anew what follows from the loans, once the ledger has been restored."""
        self._of_merchant.clear()
        self.owing = 0
        self.owed = Exposure()
        for name, loan in self._loans.items():
            key = Key(*name)
            self._of_merchant[key.merchant_id].append(key)
            self.owing += loan.status in OWING
            self.owed.add(key.merchant_id, line_of(key, loan), loan.outstanding)

    def _put(self, key: Key, loan: Loan) -> None:
        known = self._loans.get(key)
        if known is None:
            self._of_merchant[key.merchant_id].append(key)
        else:
            self.owed.add(key.merchant_id, line_of(key, known), -known.outstanding)
        self.owing += (loan.status in OWING) - (known is not None and known.status in OWING)
        self.owed.add(key.merchant_id, line_of(key, loan), loan.outstanding)
        self._loans.put(key, loan)


def key_of(message: LoanEvent | Example) -> Key:
    """Return the key of the loan that a message is about."""
    return Key(message.merchant_id, message.lender_id, message.loan_id)


def line_of(key: Key, loan: Loan) -> Line:
    """Return the line that a loan belongs to."""
    return Line(key.lender_id, loan.product, loan.currency)


def example_of(event: LoanEvent, loan: Loan, draw: Draw, source: tuple[str, int, int]) -> Example:
    """Return the example of a loan that has just ended.

    Args:
        event: the event that ended it.
        loan: the loan, ended.
        draw: what was known at its draw.
        source: topic, partition and offset of the event, in the log.
    """
    topic, partition, offset = source
    return Example(
        merchant_id=event.merchant_id,
        lender_id=event.lender_id,
        loan_id=event.loan_id,
        product=loan.product,
        currency=loan.currency,
        amount=loan.drawn,
        outcome=event.kind,
        defaulted=event.kind is not LoanKind.SETTLED,
        features=draw.features,
        probability_of_default=draw.probability_of_default,
        model_version=draw.model_version,
        drawn_at=loan.drawn_at,
        ended_at=event.occurred_at,
        source_topic=topic,
        source_partition=partition,
        source_offset=offset,
    )


def _drawn(event: LoanEvent, draw: Draw) -> Loan:
    principal = event.amount or 0
    return Loan(
        product=event.product,
        currency=event.currency,
        status=LoanKind.DRAWN,
        drawn=principal,
        drawn_at=event.occurred_at,
        outstanding=principal,
        overdue=0,
        ended_at=None,
        events={event.event_id: _checksum(event)},
        draw=draw,
    )


def _judge(loan: Loan, event: LoanEvent) -> Became:
    known = loan.events.get(event.event_id)
    if known is not None:
        return Became.DUPLICATE if known == _checksum(event) else Became.CONFLICT
    if event.kind is LoanKind.DRAWN:
        return Became.CONFLICT
    if event.currency != loan.currency:
        return Became.OTHER_CURRENCY
    if event.occurred_at < loan.drawn_at:
        return Became.BEFORE_THE_DRAW
    if loan.status is LoanKind.SETTLED:
        return Became.AFTER_THE_END
    return Became.APPLIED


def _changed(loan: Loan, event: LoanEvent) -> Loan:
    """Return the loan after an event that counts. One that ended badly may still be paid back."""
    amount = event.amount or 0
    status, outstanding, overdue = loan.status, loan.outstanding, loan.overdue
    match event.kind:
        case LoanKind.REPAID:
            outstanding = max(0, outstanding - amount)
            overdue = max(0, min(overdue - amount, outstanding))
            if status is LoanKind.OVERDUE and overdue == 0:
                status = LoanKind.DRAWN
        case LoanKind.OVERDUE:
            overdue = min(amount, outstanding)
            if loan.ended_at is None:
                status = LoanKind.OVERDUE
        case LoanKind.SETTLED | LoanKind.WRITTEN_OFF:
            outstanding = overdue = 0
            status = event.kind
        case LoanKind.DEFAULTED:
            overdue = outstanding
            if status is not LoanKind.WRITTEN_OFF:
                status = event.kind
    ends = event.kind in ENDS and loan.ended_at is None
    return msgspec.structs.replace(
        loan,
        status=status,
        outstanding=outstanding,
        overdue=overdue,
        ended_at=event.occurred_at if ends else loan.ended_at,
        events={**loan.events, event.event_id: _checksum(event)},
        draw=None if ends else loan.draw,
        late=loan.late or event.kind in LATE,
    )


def _checksum(event: LoanEvent) -> int:
    return zlib.crc32(msgspec.json.encode(event))
