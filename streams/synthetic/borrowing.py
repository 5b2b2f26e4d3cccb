"""Synthetic merchants that borrow: they apply, draw what is approved, and pay back or do not."""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING

from scorers.applications.messages import Application, Decision, Outcome, Product
from scorers.loans import LoanEvent, LoanKind
from scorers.merchants import MerchantEvent, MerchantKind
from scorers.policy import Product as Offered
from streams.contract.topics import PLATFORM
from streams.synthetic.merchants import DAY_MS, Character

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from streams.contract.messages import PaymentEvent
    from streams.synthetic.merchants import Merchant

Event = Application | LoanEvent | MerchantEvent

ONE_IN = 3
"""One merchant in so many borrows."""
ASKS_A_DAY = 0.3
"""How often a borrower thinks of one of its lenders; it asks if it owes nothing there."""
TAKES_AN_OFFER = 0.7
"""Share of the counter-offers that are applied for."""
DEFAULTS = {Character.FADING: 0.6, Character.NEW: 0.15}
"""Share of the loans that are not paid back, by character."""
USUAL_DEFAULTS = 0.04
"""The same of all other characters."""
STEP = 10_000
"""Amounts asked for are multiples of it, fen."""
TERM_DAYS = (2.0, 7.0)
"""Shortest and longest time until a loan is to be paid back: the demo plays weeks only."""
HOUR_MS = 3_600_000


class Borrowers:
    """Merchants that borrow, one loan of a lender at a time.

    `hour` and `consents` are for one thread, `answer` for any.

    Args:
        merchants: all merchants; one in `ONE_IN` borrows.
        lenders: whom they ask; they consent to all of them but the platform.
        random: source of chance; the same seed and answers give the same events.

    Attributes:
        applications: how often they have asked.
        drawn: loans drawn.
        repaid: loans paid back in full.
        defaulted: loans that defaulted.
        owed: principal that they owe, of defaulted loans too, fen.
    """

    def __init__(
        self, merchants: list[Merchant], lenders: tuple[str, ...], random: np.random.Generator
    ) -> None:
        self._merchants = {merchant.merchant_id: merchant for merchant in merchants[::ONE_IN]}
        self._lenders = lenders
        self._random = random
        self._trading: set[str] = set()
        self._busy: set[tuple[str, str]] = set()
        self._asked: dict[str, Application] = {}
        self._answers: deque[Decision] = deque()
        self._planned: list[tuple[int, int, Application | LoanEvent]] = []
        self._numbered = 0
        self.applications = 0
        self.drawn = 0
        self.repaid = 0
        self.defaulted = 0
        self.owed = 0

    def consents(self, at: int) -> list[MerchantEvent]:
        """Return the consents of all borrowers, at an event time (epoch ms)."""
        return [
            MerchantEvent(
                f"consent-{merchant_id}-{lender}", MerchantKind.ENROLLED, merchant_id, at, lender,
                Offered.LOAN,
            )
            for merchant_id in self._merchants
            for lender in self._lenders
            if lender != PLATFORM
        ]  # fmt: skip

    def answer(self, decision: Decision) -> None:
        """Hand a decision over; one on an application that is not open changes nothing."""
        self._answers.append(decision)

    def hour(self, ends_at: int, payments: Iterable[PaymentEvent]) -> list[Application | LoanEvent]:
        """Return what borrowers send in an hour, in time order.

        Args:
            ends_at: event time of its end, epoch ms.
            payments: of the hour; nobody asks before its first one.
        """
        self._trading.update(payment.merchant_id for payment in payments)
        while self._answers:
            self._hear(self._answers.popleft(), ends_at)
        for merchant_id in self._merchants:
            if merchant_id in self._trading and self._random.random() < ASKS_A_DAY / 24:
                lender = self._lenders[int(self._random.integers(len(self._lenders)))]
                if (merchant_id, lender) not in self._busy:
                    self._ask(merchant_id, lender, self._wants(merchant_id), ends_at)
        events = []
        while self._planned and self._planned[0][0] <= ends_at:
            events.append(heapq.heappop(self._planned)[2])
            self._count(events[-1])
        return events

    def _wants(self, merchant_id: str) -> int:
        """Return an amount from a fiftieth to a third of a month's payments, fen."""
        merchant = self._merchants[merchant_id]
        month = 28 * merchant.payments_a_day * merchant.ticket
        return max(2, int(month * self._random.uniform(0.02, 0.33)) // STEP) * STEP

    def _ask(self, merchant_id: str, lender: str, amount: int, at: int) -> None:
        application = Application(
            f"{merchant_id}-{lender}-{at // HOUR_MS}", lender, merchant_id, Product.LOAN, "CNY",
            amount, at,
        )  # fmt: skip
        self._busy.add((merchant_id, lender))
        self._asked[application.application_id] = application
        self._plan(at, application)

    def _hear(self, decision: Decision, at: int) -> None:
        if self._asked.pop(decision.application_id, None) is None:
            return
        self._busy.discard((decision.merchant_id, decision.lender_id))
        if decision.outcome is Outcome.APPROVE:
            self._draw(decision, at)
        elif decision.outcome is Outcome.COUNTER_OFFER and self._random.random() < TAKES_AN_OFFER:
            self._ask(decision.merchant_id, decision.lender_id, decision.amount, at)

    def _draw(self, decision: Decision, at: int) -> None:
        """Plan a loan from its draw to its end; half of it is paid back on the way."""
        self._busy.add((decision.merchant_id, decision.lender_id))
        term = int(self._random.uniform(*TERM_DAYS) * DAY_MS)
        half, character = decision.amount // 2, self._merchants[decision.merchant_id].character
        rest = decision.amount - half
        self._plan_loan(decision, LoanKind.DRAWN, at, decision.amount)
        self._plan_loan(decision, LoanKind.REPAID, at + term // 2, half)
        if self._random.random() < DEFAULTS.get(character, USUAL_DEFAULTS):
            self._plan_loan(decision, LoanKind.OVERDUE, at + term, rest)
            self._plan_loan(decision, LoanKind.DEFAULTED, at + term + 2 * DAY_MS)
        else:
            self._plan_loan(decision, LoanKind.REPAID, at + term, rest)
            self._plan_loan(decision, LoanKind.SETTLED, at + term + 1)

    def _plan_loan(
        self, decision: Decision, kind: LoanKind, at: int, amount: int | None = None
    ) -> None:
        name = decision.application_id
        self._plan(
            at,
            LoanEvent(
                f"{name}-{kind}-{at}", kind, f"loan-{name}", decision.lender_id,
                decision.merchant_id, decision.product, decision.currency, at, amount,
                name if kind is LoanKind.DRAWN else None,
            ),
        )  # fmt: skip

    def _plan(self, at: int, event: Application | LoanEvent) -> None:
        self._numbered += 1
        heapq.heappush(self._planned, (at, self._numbered, event))

    def _count(self, event: Application | LoanEvent) -> None:
        if isinstance(event, Application):
            self.applications += 1
            return
        amount = event.amount or 0
        match event.kind:
            case LoanKind.DRAWN:
                self.drawn += 1
                self.owed += amount
            case LoanKind.REPAID:
                self.owed -= amount
            case LoanKind.SETTLED:
                self.repaid += 1
                self._busy.discard((event.merchant_id, event.lender_id))
            case LoanKind.DEFAULTED:
                # It does not ask this lender again: it stays busy.
                self.defaulted += 1
