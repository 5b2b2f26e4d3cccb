"""Applications without Kafka: one partition's book, its loans and its log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from scorers.applications.book import ApplicationBook, Place, Position, Stores, Verdict
from scorers.applications.breaker import Window
from scorers.applications.budgets import Share
from scorers.applications.messages import Application, Decision, Outcome, Product
from scorers.applications.reservations import Answer
from scorers.applications.terms import Standing, Terms
from scorers.loans import Draw, Loan, LoanBook, LoanEvent, LoanKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scorers.applications.messages import BudgetGiven, BudgetWanted

T = TypeVar("T")
YUAN = 100
DAY = 86_400_000

ASKED = Application(
    application_id="a1",
    lender_id="bank",
    merchant_id="stall",
    product=Product.LOAN,
    currency="CNY",
    amount=1_000 * YUAN,
    applied_at=5_000,
)
STANDING = Standing(
    enrolled=True,
    closed=False,
    currency="CNY",
    limit=50_000 * YUAN,
    limit_version=3,
    capacity=50_000 * YUAN,
    probability_of_default=0.02,
    model_version=4,
)
TERMS = Terms(version=7, smallest_amount=1, step=100 * YUAN)


class Kept(Generic[T]):
    """A store that a crash would lose."""

    def __init__(self, values: dict[tuple[str, ...], T] | None = None) -> None:
        self.values = values or {}

    def get(self, key: tuple[str, ...]) -> T | None:
        return self.values.get(key)

    def put(self, key: tuple[str, ...], value: T) -> None:
        self.values[key] = value

    def delete(self, key: tuple[str, ...]) -> None:
        self.values.pop(key, None)

    def items(self) -> Iterator[tuple[tuple[str, ...], T]]:
        return iter(self.values.items())

    def reloaded(self, kind: type[T]) -> Kept[T]:
        """Return what comes back after everything was written and read."""
        return Kept(
            {
                tuple(msgspec.json.decode(msgspec.json.encode(key))): msgspec.json.decode(
                    msgspec.json.encode(value), type=kind
                )
                for key, value in self.values.items()
            }
        )


class Told:
    """A partition that is told records, each behind the one before."""

    def __init__(self, partition: int = 0, partitions: int = 1) -> None:
        self.place = Place("payments", partition, partitions)
        self.answers, self.shares, self.windows = Kept[Answer](), Kept[Share](), Kept[Window]()
        self.loans = LoanBook()
        self._open(Position())
        self.clock = 0

    def _open(self, position: Position) -> None:
        stores = Stores(self.answers, self.shares, self.windows)
        self.book = ApplicationBook(self.place, stores, self.loans, position)

    def restarted(self, position: Position | None = None) -> Told:
        """Return a partition that has read everything back, in another order."""
        after = Told(self.place.partition, self.place.partitions)
        after.answers = self.answers.reloaded(Answer)
        after.answers.values = dict(reversed(after.answers.values.items()))
        after.shares = self.shares.reloaded(Share)
        after.windows = self.windows.reloaded(Window)
        for key, loan in self.loans._loans.items():
            loaded = msgspec.json.decode(msgspec.json.encode(loan), type=Loan)
            after.loans._loans.put(key, loaded)
        after.loans.rebuild()
        after.clock = self.clock
        after._open(position or self.book.position)
        return after

    def state(self) -> tuple[Any, ...]:
        """Everything that is remembered or follows from it."""
        stores = (self.answers.values, self.shares.values, self.windows.values)
        sums = (self.loans.owed, self.book._answers.reserved)
        return (
            *(dict(values) for values in stores),
            *((each._of_merchant, each._of_line) for each in sums),
            self.book.position,
        )

    @property
    def next(self) -> int:
        return self.book.position.offset + 1

    def judge(
        self,
        application: Application = ASKED,
        standing: Standing = STANDING,
        terms: Terms = TERMS,
        offset: int | None = None,
        waited_ms: int = 0,
        **fields: Any,
    ) -> Verdict:
        application = msgspec.structs.replace(application, **fields)
        offset = self.next if offset is None else offset
        return self.book.decide(
            application, offset, self.clock, standing, terms, waited_ms=waited_ms
        )

    def ask(self, *args: Any, **fields: Any) -> Decision:
        decision = self.judge(*args, **fields).decision
        assert decision is not None
        return decision

    def approved(self, *args: Any, **fields: Any) -> Decision:
        decision = self.ask(*args, **fields)
        assert decision.outcome is Outcome.APPROVE, decision.reasons
        return decision

    def tell(self, event: LoanEvent, offset: int | None = None) -> int:
        """Apply a loan event, and return what is no longer reserved."""
        offset = self.next if offset is None else offset
        if offset > self.book.position.offset:
            self.loans.apply(event, lambda: Draw({}, 0.02, 4))
        return self.book.drawn(event, offset, self.clock)

    def draw(self, amount: int, loan_id: str = "l1", **fields: Any) -> int:
        drawn = LoanEvent(
            event_id=f"{loan_id}-drawn",
            kind=LoanKind.DRAWN,
            loan_id=loan_id,
            lender_id="bank",
            merchant_id="stall",
            product="loan",
            currency="CNY",
            occurred_at=5_000,
            amount=amount,
        )
        return self.tell(msgspec.structs.replace(drawn, **fields))

    def repay(self, amount: int, loan_id: str = "l1", **fields: Any) -> None:
        event_id = f"{loan_id}-repaid-{self.next}"
        repaid = LoanEvent(
            event_id, LoanKind.REPAID, loan_id, "bank", "stall", "loan", "CNY", 6_000, amount
        )
        self.tell(msgspec.structs.replace(repaid, **fields))

    def pass_time(self, ms: int) -> None:
        self.clock += ms
        self.book.advance(self.clock)

    def give(self, message: BudgetWanted, terms: Terms | None) -> BudgetGiven | None:
        return self.book.wanted(message, self.next, self.clock, terms)

    def take(self, message: BudgetGiven) -> bool:
        return self.book.given(message, self.next, self.clock)

    def used(self, lender_id: str = "bank", product: str = "loan") -> int:
        from scorers.exposure import Line

        return self.book.used(Line(lender_id, product, "CNY"))
