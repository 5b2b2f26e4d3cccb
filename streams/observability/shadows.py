"""Metrics of shadow policies: what they would give beside the live ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scorers.policy import Policy, PolicyName
    from scorers.shadows import Counted

COMPARED: Final = ("higher", "same", "lower")
AMOUNTS: Final = ("shadow", "live", "in_force")


class ShadowMetrics:
    """The part of a worker's metrics that says what shadow policies would give.

    Lender and product are labels: the settings list the lenders, and a shadow of any other is
    refused before it comes here.
    """

    def define_shadows(self, registry: CollectorRegistry) -> None:
        """Register the metrics; their series come with the shadows."""
        of_a_policy = ("lender", "product")
        self._shadow_versions = Gauge(
            "duoshou_shadow_policy_version",
            "Version of each shadow policy that is counted.",
            of_a_policy,
            registry=registry,
        )
        self._shadow_evaluations = Counter(
            "duoshou_shadow_evaluations_total",
            "Evaluations in which a shadow policy gives more, the same or less than the live one.",
            (*of_a_policy, "compared"),
            registry=registry,
        )
        self._shadow_amounts = Counter(
            "duoshou_shadow_minor_units_total",
            "Sums over those evaluations, in minor units: what the shadow policy gives, what the "
            "live one gives by the same measure, and the limits in force.",
            (*of_a_policy, "of"),
            registry=registry,
        )

    def shadows_followed(self, shadows: Iterable[Policy]) -> None:
        """These shadow policies are counted from here on, and no others."""
        self._shadow_versions.clear()
        for shadow in shadows:
            name = shadow.lender, shadow.product
            self._shadow_versions.labels(*name).set(shadow.version)
            for compared in COMPARED:
                self._shadow_evaluations.labels(*name, compared)
            for amount in AMOUNTS:
                self._shadow_amounts.labels(*name, amount)

    def shadows_counted(self, counts: Mapping[PolicyName, Counted]) -> None:
        """Evaluations by shadow policies are durable."""
        for name, counted in counts.items():
            labels = name.lender, name.product
            for compared in COMPARED:
                self._shadow_evaluations.labels(*labels, compared).inc(getattr(counted, compared))
            for amount in AMOUNTS:
                self._shadow_amounts.labels(*labels, amount).inc(getattr(counted, amount))
