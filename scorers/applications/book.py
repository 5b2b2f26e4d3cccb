"""The applications of a partition, from what is asked to what is answered.

Everything follows from the log and from event time. Each record of the log that concerns
applications comes here with its offset, in log order; one at or below the offset of `position`
changes nothing. After a crash the stores, the loans and `position` must come back as they were at
one and the same place of the log, and no row may know more than they do: then what is read again
is answered as before. So whoever makes them durable writes what has changed in one piece.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from scorers.applications.breaker import Breaker, Window
from scorers.applications.budgets import Budgets, Share
from scorers.applications.messages import Decision, Outcome, Price, checksum, interest
from scorers.applications.reservations import Answer, Answers, Key
from scorers.applications.rules import AFTER_THE_BREAKER, GROUNDS, Figures, Rule, Ruling, judge
from scorers.exposure import Line
from scorers.loans import LoanKind

if TYPE_CHECKING:
    from scorers.applications.messages import Application, BudgetGiven, BudgetWanted
    from scorers.applications.terms import Standing, Terms
    from scorers.loans import LoanBook, LoanEvent
    from scorers.store import Register


class Became(StrEnum):
    """What became of an application. `CONFLICT` is a dead letter."""

    ANSWERED = "answered"
    REPLAYED = "replayed"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


SENTENCES = {
    Became.CONFLICT: "application_id has been used by this merchant with this lender for an"
    " application of other content; the first one counts",
}
"""Why an application was refused, for a person."""


class Verdict(NamedTuple):
    """What became of an application, and what it leads to."""

    became: Became
    decision: Decision | None = None
    """The first answer, also of a repetition that is still remembered; None of a conflict."""
    wanted: BudgetWanted | None = None
    """For all other partitions."""
    opened: bool = False
    """Whether this answer has opened the circuit breaker."""


class Place(NamedTuple):
    """Which partition of the log this is."""

    topic: str
    partition: int
    partitions: int


class Position(NamedTuple):
    """How far the log has been applied."""

    offset: int = -1
    """Of the last record."""
    clock: int = -1
    """Event time, epoch ms."""


class Stores(NamedTuple):
    """Everything that has to be kept."""

    answers: Register[Answer]
    """By merchant, lender and application id."""
    shares: Register[Share]
    """By lender, product and currency."""
    windows: Register[Window]
    """By lender, product and currency."""


class ApplicationBook:
    """The applications of one partition.

    Args:
        place: the partition.
        stores: what is kept of it.
        loans: its loans; each loan event is applied there before it comes to `drawn`.
        position: where the stores and the loans stand in the log.
    """

    def __init__(
        self, place: Place, stores: Stores, loans: LoanBook, position: Position | None = None
    ) -> None:
        position = position or Position()
        self._place = place
        self._loans = loans
        self._offset = position.offset
        self._answers = Answers(stores.answers, position.clock)
        self._budgets = Budgets(stores.shares, place.partition, place.partitions)
        self._breaker = Breaker(stores.windows)

    @property
    def position(self) -> Position:
        """How far the log has been applied; it is kept in one piece with the stores."""
        return Position(self._offset, self._answers.clock)

    def advance(self, watermark: int) -> None:
        """Let event time (epoch ms) pass; an earlier one than before changes nothing."""
        self._answers.advance(watermark)

    def breaker_is_open(self, line: Line, at: int) -> bool:
        """Tell whether the circuit breaker of a line is open at an event time, epoch ms."""
        return self._breaker.is_open(line, at)

    def figures(
        self, merchant_id: str, lender_id: str, product: str, standing: Standing, terms: Terms
    ) -> Figures:
        """Return what is lent, reserved and left to a merchant, in the policy's currency."""
        line = Line(lender_id, product, terms.currency)
        owed = self._loans.owed.of_merchant(merchant_id)
        held = self._answers.reserved.of_merchant(merchant_id)
        drawn, reserved = owed.get(line, 0), held.get(line, 0)
        used, elsewhere = 0, False
        for sums in (owed, held):
            for each, amount in sums.items():
                if each.currency == terms.currency:
                    used += amount
                else:
                    elsewhere = True
        return Figures(
            drawn=drawn,
            reserved=reserved,
            left_of_limit=standing.limit - drawn - reserved,
            left_of_capacity=standing.capacity - used,
            left_of_budget=None
            if terms.budget is None
            else self._budgets.share(line, terms.budget) - self.used(line),
            elsewhere=elsewhere,
        )

    def lines_of(self, merchant_id: str) -> set[Line]:
        """Return the lines in which a merchant owes or has reserved anything."""
        owed = self._loans.owed.of_merchant(merchant_id)
        return owed.keys() | self._answers.reserved.of_merchant(merchant_id).keys()

    def used(self, line: Line) -> int:
        """Return what all merchants of the partition owe and have reserved, minor units."""
        return self._loans.owed.of_line(line) + self._answers.reserved.of_line(line)

    def decide(
        self,
        application: Application,
        offset: int,
        as_of: int,
        standing: Standing,
        terms: Terms,
        *,
        waited_ms: int = 0,
    ) -> Verdict:
        """Answer an application.

        Args:
            application: what is asked.
            offset: of it, in the partition's log.
            as_of: the partition's event time with it, epoch ms.
            standing: what is known of the merchant at this place of the log.
            terms: of the lender's policy for the product.
            waited_ms: how long it has waited for its answer, as far as the log says, at least 0.
        """
        replayed = not self._enter(offset, as_of)
        key = Key(application.merchant_id, application.lender_id, application.application_id)
        known, content = self._answers.get(key), checksum(application)
        same = known is not None and known.checksum == content
        if replayed:
            return Verdict(Became.REPLAYED, known.decision if known and same else None)
        if known is not None:
            return Verdict(Became.DUPLICATE, known.decision) if same else Verdict(Became.CONFLICT)
        line = Line(application.lender_id, application.product.value, terms.currency)
        clock = self._answers.clock
        figures = self.figures(
            application.merchant_id, line.lender_id, line.product, standing, terms
        )
        tripped = terms.band is not None and self._breaker.is_open(line, clock)
        ruling = judge(application, standing, terms, figures, waited_ms=waited_ms, tripped=tripped)
        decision = self._decision(application, ruling, figures, standing, terms)
        approved = ruling.amount if ruling.outcome is Outcome.APPROVE else 0
        self._answers.add(key, Answer(content, decision, approved))
        if ruling.rule not in AFTER_THE_BREAKER:
            return Verdict(Became.ANSWERED, decision)
        wanted = None
        if ruling.rule is Rule.BUDGET:
            lacks = figures.lacks_of_budget(application.amount)
            wanted = self._budgets.want(line, lacks, offset, clock)
        opened = terms.band is not None and self._breaker.count(line, terms.band, clock, approved)
        return Verdict(Became.ANSWERED, decision, wanted, opened)

    def drawn(self, event: LoanEvent, offset: int, as_of: int) -> int:
        """Turn a reservation into debt if a loan event draws on it.

        Args:
            event: any loan event, already applied to the loans.
            offset: of it, in the partition's log.
            as_of: the partition's event time with it, epoch ms.

        Returns:
            What is no longer reserved, minor units; 0 if the event draws on nothing that is
            held back for its product and currency, or was refused.
        """
        if not self._enter(offset, as_of):
            return 0
        if event.kind is not LoanKind.DRAWN or event.application_id is None:
            return 0
        key = Key(event.merchant_id, event.lender_id, event.application_id)
        answer = self._answers.get(key)
        if answer is None or not self._loans.counted(event):
            return 0
        if (answer.decision.product, answer.decision.currency) != (event.product, event.currency):
            return 0
        return self._answers.draw(key, event.loan_id, event.amount or 0)

    def wanted(
        self, message: BudgetWanted, offset: int, as_of: int, terms: Terms | None
    ) -> BudgetGiven | None:
        """Give another partition a part of a budget if there is one to spare.

        Args:
            message: its request; one's own changes nothing.
            offset: of it, in the partition's log.
            as_of: the partition's event time with it, epoch ms.
            terms: of the lender's policy for the product; None if there is none.
        """
        if not self._enter(offset, as_of) or message.partition == self._place.partition:
            return None
        line = Line(message.lender_id, message.product, message.currency)
        known = terms is not None and terms.currency == message.currency
        budget = terms.budget if terms is not None and known else None
        return self._budgets.give(message, line, budget, self.used(line), offset)

    def given(self, message: BudgetGiven, offset: int, as_of: int) -> bool:
        """Take what another partition gives, and tell whether it counted.

        Args:
            message: what it gives; one for another partition changes nothing.
            offset: of it, in the partition's log.
            as_of: the partition's event time with it, epoch ms.
        """
        if not self._enter(offset, as_of) or message.to_partition != self._place.partition:
            return False
        return self._budgets.take(
            message, Line(message.lender_id, message.product, message.currency)
        )

    def _enter(self, offset: int, as_of: int) -> bool:
        """Go on to a record, and tell whether it is new."""
        if offset <= self._offset:
            return False
        self._offset = offset
        self._answers.advance(as_of)
        return True

    def _decision(
        self,
        application: Application,
        ruling: Ruling,
        figures: Figures,
        standing: Standing,
        terms: Terms,
    ) -> Decision:
        comparable = application.currency == terms.currency == standing.currency
        term_days = application.term_days or terms.longest_term_days
        clock = self._answers.clock
        approved = ruling.outcome is Outcome.APPROVE
        return Decision(
            application_id=application.application_id,
            lender_id=application.lender_id,
            merchant_id=application.merchant_id,
            product=application.product,
            outcome=ruling.outcome,
            asked=application.amount,
            amount=ruling.amount,
            currency=application.currency,
            price=Price(
                terms.yearly_rate_bps,
                term_days,
                interest(ruling.amount, terms.yearly_rate_bps, term_days),
            ),
            expires_at=clock + terms.reservation_ms if approved else None,
            reasons=(GROUNDS[ruling.rule], *standing.reasons),
            probability_of_default=standing.probability_of_default,
            limit=standing.limit if comparable else 0,
            limit_version=standing.limit_version,
            available=figures.available if comparable else 0,
            over_limit=figures.over_limit if comparable else 0,
            model_version=standing.model_version,
            policy_version=terms.version,
            as_of=clock,
            source_topic=self._place.topic,
            source_partition=self._place.partition,
            source_offset=self._offset,
        )
