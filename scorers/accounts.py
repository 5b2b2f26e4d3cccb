"""The accounts of a partition's merchants: profiles, loans, applications, holdings: one ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from scorers.applications.book import ApplicationBook, Place, Position, Stores
from scorers.applications.breaker import Window
from scorers.applications.budgets import Share
from scorers.applications.reservations import Answer
from scorers.claims.book import ClaimBook
from scorers.claims.claimant import Claimant
from scorers.entitlements import FULL
from scorers.funds.book import FundBook
from scorers.funds.investor import Investor
from scorers.ledger import Ledger
from scorers.loans import LoanBook
from scorers.profiles import Profile, ProfileBook
from scorers.refusals import RefusalBook, Refused
from scorers.servicing import Said, standing_of

if TYPE_CHECKING:
    from features.calendar import Zone
    from scorers.policy import Servicing

_CLOCK = ("clock",)


class _Clock(msgspec.Struct, frozen=True):
    """Event time that applications have come to, epoch ms."""

    at: int
    schema_version: int = 1


class Accounts:
    """What the merchants of one partition owe, have applied for and hold.

    Args:
        zone: of the investors' local days: the installation's for all of them.

    Attributes:
        ledger: keeps it all.
        loans: what is owed.
        funds: what is held in funds.
        claims: what has been claimed of insurance cover.
        profiles: what merchants have said of themselves.
        refusals: which refused events have had their dead letter.
        applications: what has been applied for; only once `begin` has been called.
    """

    applications: ApplicationBook

    def __init__(self, zone: Zone) -> None:
        self.ledger = Ledger()
        self.loans = LoanBook(self.ledger)
        self._stores = Stores(
            answers=self.ledger.book("answers", Answer),
            shares=self.ledger.book("budgets", Share),
            windows=self.ledger.book("breakers", Window),
        )
        self.funds = FundBook(self.ledger.book("investors", Investor), zone)
        self.claims = ClaimBook(self.ledger.book("claimants", Claimant))
        self.profiles = ProfileBook(self.ledger.book("profiles", Profile))
        self.refusals = RefusalBook(self.ledger.book("refusals", Refused))
        self._clock = self.ledger.book("clock", _Clock)
        self._said = self.ledger.book("standings", Said)

    def begin(self, place: Place) -> None:
        """Work out what follows from the ledger once it has been restored."""
        self.loans.rebuild()
        clock = self._clock.get(_CLOCK)
        position = Position(self.ledger.offset, -1 if clock is None else clock.at)
        self.applications = ApplicationBook(place, self._stores, self.loans, position)

    def keep_clock(self) -> None:
        """Note how far event time has come for applications; called behind each record."""
        clock = _Clock(self.applications.position.clock)
        if self._clock.get(_CLOCK) != clock:
            self._clock.put(_CLOCK, clock)

    def standing_to_say(
        self, merchant_id: str, lender_id: str, product: str, servicing: Servicing, *, anew: bool
    ) -> int | None:
        """Return a merchant's standing if its row has to be told, and note that it has been.

        Args:
            merchant_id: whose.
            lender_id: with whom.
            product: for what.
            servicing: of the lender's policy.
            anew: the row has just begun to have this policy, and was told nothing.
        """
        loans = (
            loan
            for key, loan in self.loans.of(merchant_id)
            if (key.lender_id, loan.product) == (lender_id, product)
        )
        standing = standing_of(loans, servicing)
        key = (merchant_id, lender_id, product)
        said = FULL if anew or (known := self._said.get(key)) is None else known.standing
        if standing == said:
            return None
        self._said.put(key, Said(standing))
        return standing
