"""Every metric of a trainer, in one place.

Every label has a closed set of values: the models that are compared, the ten deciles, the series
that are tested for drift.
"""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
)

from scorers.drift import SERIES
from scorers.training import CHAMPION
from streams.observability.health import Health

if TYPE_CHECKING:
    from scorers.training import Report

DECILES: Final = 10


class TrainingMetrics:
    """The metrics of one trainer, on a registry of their own.

    Args:
        health: the liveness and readiness rules to keep informed.
    """

    def __init__(self, health: Health | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.health = Health() if health is None else health
        self.registry = CollectorRegistry()
        self._drifts_seen: dict[str, int] = {}
        self._outcomes = self._counter("outcomes_learnt", "Outcomes learnt since the start.")
        self._repeated = self._counter(
            "examples_repeated", "Examples that came again after a crash and were passed over."
        )
        self._unreadable = self._counter(
            "examples_unreadable", "Records of the topic examples that were set aside."
        )
        self._rejected = self._gauge(
            "examples_rejected",
            "Examples with a value that no feature can have: they changed nothing.",
        )
        self._passed_over = self._gauge(
            "examples_passed_over",
            "Examples that said the contrary of what was expected: nothing was learnt from them.",
        )
        self._snapshots = self._counter(
            "snapshots", "Models that the trainer wanted to publish, by what became of them.",
            "result",
        )  # fmt: skip
        self._models_refused = self._counter(
            "models_refused", "Records of the topic models that do not count."
        )
        self._model_version = self._gauge("model_version", "Version of the newest model.")
        self._snapshot_at = self._gauge(
            "snapshot_timestamp_seconds", "When a model was last published (Unix time)."
        )
        self._log_loss = self._gauge(
            "model_log_loss", "Mean log-loss over the window, given before learning.", "model"
        )
        self._brier = self._gauge("model_brier", "Mean squared distance over the window.", "model")
        self._auc = self._gauge(
            "model_auc", "Exact area under the ROC curve over the window.", "model"
        )
        self._ks = self._gauge("model_ks", "Kolmogorov-Smirnov distance over the window.", "model")
        self._expected = self._gauge(
            "model_expected_defaults", "Mean probability of the champion, by decile of it.",
            "decile",
        )  # fmt: skip
        self._observed = self._gauge(
            "model_observed_defaults", "Share that defaulted, by decile of the champion.", "decile"
        )
        self._figures = (
            *(self._log_loss, self._brier, self._auc, self._ks),
            *(self._expected, self._observed),
        )
        self._window_outcomes = self._gauge(
            "window_outcomes", "Outcomes in the window over which the models are compared."
        )
        self._window_defaults = self._gauge(
            "window_defaults", "How many of the outcomes in the window are defaults."
        )
        self._better = self._gauge(
            "challengers_better", "Challengers that beat the champion by the margin."
        )
        self._promotions = self._gauge(
            "promotions", "How often a challenger took the champion's place."
        )
        self._drifts = self._counter(
            "drifts", "Times that the log-loss or a feature's mean has drifted.", "series"
        )
        self._lag = self._gauge(
            "lag_records", "Records between the last one dealt with and the end of the partition.",
            "topic", "partition",
        )  # fmt: skip
        self._learning = self._gauge(
            "trainer_learning", "1 while the topic examples is ours to learn from, 0 standing by."
        )
        # Asked when scraped, so that it turns while the trainer's own loop is stuck.
        self._gauge(
            "trainer_live",
            "1 while /livez answers 200, 0 when examples wait and nothing progresses.",
        ).set_function(lambda: float(self.health.live().ok))
        for result in ("published", "refused"):
            self._snapshots.labels(result)
        for series in SERIES:
            self._drifts.labels(series)
        ProcessCollector(registry=self.registry)

    def _counter(self, name: str, doc: str, *labels: str) -> Counter:
        return Counter(f"duoshou_{name}_total", doc, labels, registry=self.registry)

    def _gauge(self, name: str, doc: str, *labels: str) -> Gauge:
        return Gauge(f"duoshou_{name}", doc, labels, registry=self.registry)

    def taken_up(self, version: int, report: Report) -> None:
        """Learning goes on from a model. Progress."""
        self._model_version.set(version)
        # What had drifted by then is no news.
        self._drifts_seen = dict(report.drifts)
        # Figures of a model that was taken back are none of this one, which may have none yet.
        for gauge in self._figures:
            gauge.clear()
        self._show(report)
        self.health.compiled()
        self.health.recovered()

    def fold_learnt(self, unreadable: int) -> None:
        """The examples of one fetch were dealt with; so many were no examples. Progress."""
        self._unreadable.inc(unreadable)
        self.health.progressed()

    def repeated(self) -> None:
        """An example came again."""
        self._repeated.inc()

    def reported(self, report: Report) -> None:
        """The training says how its models do."""
        for series, count in report.drifts.items():
            self._drifts.labels(series).inc(max(0, count - self._drifts_seen.get(series, 0)))
        self._drifts_seen = dict(report.drifts)
        self._show(report)

    def _show(self, report: Report) -> None:
        self._rejected.set(report.rejected)
        self._passed_over.set(report.passed_over)
        self._promotions.set(report.promotions)
        self._better.set(len(report.better))
        for name, figures in report.models.items():
            self._log_loss.labels(name).set(figures.log_loss)
            self._brier.labels(name).set(figures.brier)
            if figures.auc is not None and figures.ks is not None:
                self._auc.labels(name).set(figures.auc)
                self._ks.labels(name).set(figures.ks)
        champion = report.models.get(CHAMPION)
        self._window_outcomes.set(champion.outcomes if champion else 0)
        self._window_defaults.set(champion.bad if champion else 0)
        for place, decile in enumerate(champion.deciles if champion else (), 1):
            self._expected.labels(str(place)).set(decile.expected)
            self._observed.labels(str(place)).set(decile.observed)

    def learnt(self) -> None:
        """One outcome was learnt."""
        self._outcomes.inc()

    def snapshot_published(self, version: int) -> None:
        """A model was published. Progress."""
        self._snapshots.labels("published").inc()
        self._model_version.set(version)
        self._snapshot_at.set(time())
        self.health.progressed()

    def snapshot_refused(self) -> None:
        """A model moved too far, was not finite, or had to be doubted; the last good one stays."""
        self._snapshots.labels("refused").inc()

    def model_refused(self) -> None:
        """A record of the topic models does not count."""
        self._models_refused.inc()

    def owns_examples(self, ours: bool) -> None:
        """Whether the topic of examples is assigned to this trainer was looked up."""
        self._learning.set(ours)

    def lag(self, topic: str, partition: int, records: int) -> None:
        """The lag was measured."""
        self._lag.labels(topic, str(partition)).set(records)
        self.health.input_waits(topic, partition, records)
