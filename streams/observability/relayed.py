"""Metrics of what is relayed into the log: what became of loans, applications, funds, claims."""

from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from scorers import merchants, profiles
from scorers.applications.book import SENTENCES as OF_APPLICATIONS
from scorers.applications.book import Became as ApplicationBecame
from scorers.applications.book import Verdict as ApplicationVerdict
from scorers.applications.messages import Outcome as DecisionOutcome
from scorers.claims.book import SENTENCES as OF_CLAIMS
from scorers.claims.book import Became as ClaimBecame
from scorers.funds.book import SENTENCES as OF_FUNDS
from scorers.funds.book import Became as FundBecame
from scorers.funds.events import FundKind
from scorers.loans import SENTENCES, Became, LoanKind
from scorers.merchants import MerchantKind

UPDATE_BUCKETS: Final = (
    *(0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)

_SENTENCES = (
    SENTENCES, merchants.SENTENCES, profiles.SENTENCES, OF_APPLICATIONS, OF_FUNDS, OF_CLAIMS,
)  # fmt: skip

REFUSALS: Final = dict.fromkeys(
    [*(str(code) for sentences in _SENTENCES for code in sentences), "no_policy"]
)
"""Codes of the reasons why such an event may be a dead letter."""


class RelayedMetrics:
    """The part of a worker's metrics that `streams.worker.handlers` reports to."""

    def define_relayed(self, registry: CollectorRegistry) -> None:
        """Register the metrics, each with all of its series."""
        self._loan_events = Counter(
            "duoshou_loan_events_total",
            "Loan events in their place in the log, by kind and by what became of them.",
            ("kind", "outcome"),
            registry=registry,
        )
        self._merchant_events = Counter(
            "duoshou_merchant_events_total",
            "Merchant events in their place in the log, by kind and by what became of them.",
            ("kind", "outcome"),
            registry=registry,
        )
        self._applications = Counter(
            "duoshou_applications_total",
            "Applications in their place in the log, by the answer or by what became of them.",
            ("outcome",),
            registry=registry,
        )
        self._decision_latency = Histogram(
            "duoshou_application_to_decision_seconds",
            "From an application's own timestamp to its decision being handed to the broker.",
            buckets=UPDATE_BUCKETS,
            registry=registry,
        )
        self._approved_amount = Counter(
            "duoshou_approved_minor_units_total",
            "Amounts approved, in minor units of whatever currency.",
            registry=registry,
        )
        self._breakers_opened = Counter(
            "duoshou_circuit_breakers_opened_total",
            "Times that approvals left their band, so that a person decides for a while.",
            registry=registry,
        )
        self._fund_events = Counter(
            "duoshou_fund_events_total",
            "Fund events in their place in the log, by kind and by what became of them.",
            ("kind", "outcome"),
            registry=registry,
        )
        self._claims = Counter(
            "duoshou_claims_total",
            "Claims on insurance cover in their place in the log, by what became of them.",
            ("outcome",),
            registry=registry,
        )
        self._loans = Gauge(
            "duoshou_loans",
            "Loans that are not paid back.",
            ("partition",),
            registry=registry,
        )
        # A counter that is absent until its first event hides that event from increase().
        for kind in LoanKind:
            for became in Became:
                self._loan_events.labels(kind.value, became.value)
        for merchant_kind in MerchantKind:
            self._merchant_events.labels(merchant_kind.value, "applied")
        for answer in (*DecisionOutcome, *ApplicationBecame):
            if answer is not ApplicationBecame.ANSWERED:
                self._applications.labels(answer.value)
        # Looking a child up by its labels costs more than the count.
        self._answered = cache(self._applications.labels)
        for claim_became in ClaimBecame:
            self._claims.labels(claim_became.value)
        for fund_kind in FundKind:
            for fund_became in FundBecame:
                self._fund_events.labels(fund_kind.value, fund_became.value)

    def loan_event(self, kind: LoanKind, became: Became) -> None:
        """A loan event met its place in the log."""
        self._loan_events.labels(kind.value, became.value).inc()

    def merchant_event(self, kind: MerchantKind, outcome: str) -> None:
        """A merchant event met its place in the log: ``applied``, or why it was refused."""
        self._merchant_events.labels(kind.value, outcome).inc()

    def application(self, verdict: ApplicationVerdict) -> None:
        """An application met its place in the log."""
        outcome = str(verdict.became)
        if verdict.became is ApplicationBecame.ANSWERED and verdict.decision is not None:
            outcome = str(verdict.decision.outcome)
            if verdict.decision.outcome is DecisionOutcome.APPROVE:
                self._approved_amount.inc(verdict.decision.amount)
        self._answered(outcome).inc()
        if verdict.opened:
            self._breakers_opened.inc()

    def decided(self, seconds: float) -> None:
        """A decision is published, ``seconds`` after the application's own timestamp."""
        self._decision_latency.observe(max(0.0, seconds))

    def fund_event(self, kind: FundKind, became: FundBecame) -> None:
        """A fund event met its place in the log."""
        self._fund_events.labels(kind.value, became.value).inc()

    def claim(self, became: ClaimBecame) -> None:
        """A claim met its place in the log."""
        self._claims.labels(became.value).inc()

    def loans_owing(self, partition: int, loans: int) -> None:
        """Loans of a partition's merchants that are not paid back."""
        self._loans.labels(str(partition)).set(loans)
