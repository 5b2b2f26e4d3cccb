"""Every metric of a worker, in one place.

Methods are named after what happens in the worker; callers never see a metric
object or a label. Every label has a closed set of values, so the number of series
depends on the partitions of a worker and on nothing that a payment says.
"""

import platform
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from time import monotonic, time
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

from features.events import Kind, Outcome
from scorers.policy import PLATFORM
from streams.observability.health import Health
from streams.observability.histogram import BatchHistogram
from streams.observability.relayed import REFUSALS, UPDATE_BUCKETS, RelayedMetrics
from streams.observability.shadows import ShadowMetrics
from streams.observability.uncommitted import Uncommitted
from streams.settings import Prices

if TYPE_CHECKING:
    from scorers.partition import Version
    from scorers.policy import PolicyName
    from scorers.raises import Stop

Stage = Literal["decode", "wait", "apply", "publish"]
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)

Refusable = Literal["models", "policies"]
"""What an operator or a trainer publishes and a worker may refuse."""

Written = Literal[
    "payments", "limit_updates", "decisions", "fund_answers", "claim_answers", "dead_letters",
    "examples", "rows", "ledger", "payment_ids",
]  # fmt: skip
"""Kinds of topics that a worker writes to; of `payments` what it relays, ticks and says itself."""

Stored = Written | Literal["others"]
"""Kinds of topics that take up the broker's disks; others are those that only others write."""

_OF_PAYMENTS: Final = tuple(
    outcome.name.lower()
    for outcome in Outcome
    if Outcome.CONFLICT <= outcome < Outcome.MISROUTED
    or Outcome.NULL_VALUE <= outcome < Outcome.SLOW
)

DEAD_LETTER_REASONS: Final = (
    *_OF_PAYMENTS,
    *(code for code in REFUSALS if code not in _OF_PAYMENTS),
    # A batch that cannot be opened has no event to carry an outcome.
    "corrupt_batch",
    "decompression_bomb",
)

_PAYMENT: Final = int(Kind.PAYMENT)
_APPLIED: Final = int(Outcome.APPLIED)

_BATCH_BUCKETS: Final = (1, 10, 100, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000)
_STAGE_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_WRITE_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics(RelayedMetrics, ShadowMetrics):
    """The metrics of one worker, on a registry of their own.

    All methods may be called from any thread and none waits for anything.
    Where a method says *progress*, it also resets the liveness clock of `health`.

    Args:
        health: the liveness and readiness rules to keep informed.
        schema_version: version of the row layout, shown in ``duoshou_build_info``.
        clock: monotonic seconds, for the age of uncommitted input.
        wall_clock: epoch seconds, for ``duoshou_last_progress_timestamp_seconds``.
        lenders: who may have a policy. The settings list them, no message adds one: so they may
            be a label.
        prices: what the machines cost.
    """

    def __init__(
        self,
        health: Health | None = None,
        *,
        schema_version: int = 1,
        clock: Callable[[], float] = monotonic,
        wall_clock: Callable[[], float] = time,
        lenders: tuple[str, ...] = (PLATFORM,),
        prices: Prices | None = None,
    ) -> None:
        # `*_created` series would add half again to what Prometheus stores.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.health = Health() if health is None else health
        self.registry = CollectorRegistry()
        self._wall_clock = wall_clock
        self._uncommitted = Uncommitted(clock)
        self._aging: set[int] = set()
        self._stops: dict[int, frozenset[Stop]] = {}
        self._define()
        self._build.info(
            {
                "version": _version(),
                "python": platform.python_version(),
                "schema_version": str(schema_version),
            }
        )
        ProcessCollector(registry=self.registry)
        for lender in lenders:
            self._lender_updates.labels(lender)
        self._lenders = frozenset(lenders)
        prices = Prices() if prices is None else prices
        for what, price in prices.by_what().items():
            self._price.labels(what, prices.currency).set(price)

    def _define(self) -> None:
        registry = self.registry
        self.define_relayed(registry)
        self.define_shadows(registry)
        self._events = Counter(
            "duoshou_events_total",
            "Events read from the payments topic, by kind and by what became of them.",
            ("kind", "outcome"),
            registry=registry,
        )
        self._dead_letters = Counter(
            "duoshou_dead_letters_total",
            "Records written to the dead-letters topic, by reason.",
            ("reason",),
            registry=registry,
        )
        self._limit_updates = Counter(
            "duoshou_limit_updates_total",
            "Limit updates that the broker acknowledged, by direction.",
            ("direction",),
            registry=registry,
        )
        self._lender_updates = Counter(
            "duoshou_lender_limit_updates_total",
            "Limit updates that the broker acknowledged, by the lender that they are for.",
            ("lender",),
            registry=registry,
        )
        self._misrouted = Counter(
            "duoshou_misrouted_total",
            "Payments found in another partition than their merchant's and sent on to it.",
            registry=registry,
        )
        self._event_to_update = BatchHistogram(
            "duoshou_event_to_update_seconds",
            "Time from a payment's Kafka timestamp to its acknowledged limit update.",
            UPDATE_BUCKETS,
        )
        registry.register(self._event_to_update)
        self._batch_events = Histogram(
            "duoshou_batch_events",
            "Events in one batch of one partition.",
            buckets=_BATCH_BUCKETS,
            registry=registry,
        )
        self._stage = Histogram(
            "duoshou_stage_seconds",
            "Time one batch spends in a stage of its path.",
            ("stage",),
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        self._checkpoint = Histogram(
            "duoshou_checkpoint_seconds",
            "Time of one checkpoint: outputs acknowledged, changed rows durable.",
            buckets=_WRITE_BUCKETS,
            registry=registry,
        )
        self._checkpoint_rows = Counter(
            "duoshou_checkpoint_rows_total",
            "Rows written to the changelog by checkpoints.",
            registry=registry,
        )
        self._commit = Histogram(
            "duoshou_commit_seconds",
            "Time of one commit of input offsets.",
            buckets=_WRITE_BUCKETS,
            registry=registry,
        )
        self._committed_age = Gauge(
            "duoshou_committed_offset_age_seconds",
            "Time for which input that was read has been waiting for its commit; 0 if none is.",
            ("partition",),
            registry=registry,
        )
        self._lag_records = Gauge(
            "duoshou_lag_records",
            "Records between the last one applied and the end of the partition.",
            ("topic", "partition"),
            registry=registry,
        )
        self._lag_seconds = Gauge(
            "duoshou_lag_seconds",
            "Age of the oldest record that waits in the partition; 0 if none does.",
            ("topic", "partition"),
            registry=registry,
        )
        self._rows = Gauge(
            "duoshou_rows", "Merchants held in memory.", ("partition",), registry=registry
        )
        self._payment_ids = Gauge(
            "duoshou_payment_ids",
            "Payment ids remembered to find duplicates.",
            ("partition",),
            registry=registry,
        )
        self._assigned = Gauge(
            "duoshou_assigned_partitions",
            "Partitions of the payments topic that this worker owns.",
            registry=registry,
        )
        self._rebalances = Counter(
            "duoshou_rebalances_total", "Rebalances that this worker saw.", registry=registry
        )
        self._recovered = Gauge(
            "duoshou_recovered",
            "1 when every assigned partition holds its rows, 0 while they are read back.",
            registry=registry,
        )
        self._recovery = Gauge(
            "duoshou_recovery_seconds",
            "Time that the last recovery from the changelog took.",
            registry=registry,
        )
        self._last_progress = Gauge(
            "duoshou_last_progress_timestamp_seconds",
            "When something was last applied, restored or made durable (Unix time).",
            registry=registry,
        )
        # Asked when scraped, so that it turns while the worker's own loop is stuck.
        Gauge(
            "duoshou_live",
            "1 while /livez answers 200, 0 when input waits and nothing progresses.",
            registry=registry,
        ).set_function(lambda: float(self.health.live().ok))
        self._model_version = Gauge(
            "duoshou_model_version", "Version of the scorecard in use.", registry=registry
        )
        self._policy_version = Gauge(
            "duoshou_policy_version",
            "Version in use of the policy that every merchant has.",
            registry=registry,
        )
        self._policies = Gauge(
            "duoshou_policies", "Policies in use, of all lenders.", registry=registry
        )
        self._raises_stopped = Gauge(
            "duoshou_raises_stopped_partitions",
            "Partitions of this worker in which limits of a policy do not rise, by what has left"
            " its band.",
            ("lender", "product", "cause"),
            registry=registry,
        )
        self._raises_held = Counter(
            "duoshou_raises_held_total",
            "Evaluations in which a limit of a policy would have risen while its raises are"
            " stopped. One merchant counts again with every payment. Counted once durable: a"
            " replay after a crash counts none twice.",
            ("lender", "product"),
            registry=registry,
        )
        self._versions_refused = Counter(
            "duoshou_refused_versions_total",
            "Models and policies that were refused, of all that are on their topic.",
            ("topic",),
            registry=registry,
        )
        self._written = Counter(
            "duoshou_written_bytes_total",
            "Record batches handed over to be written, in bytes, by kind of topic.",
            ("kind",),
            registry=registry,
        )
        self._stored = Gauge(
            "duoshou_stored_bytes",
            "Bytes of all topics on the broker's disks, all replicas, by kind of topic. Each worker"
            " says the same of all of them; none while the broker does not tell it.",
            ("kind",),
            registry=registry,
        )
        self._price = Gauge(
            "duoshou_price",
            "What the settings say that machines cost: an hour, a GB for a month, a GB.",
            ("of", "currency"),
            registry=registry,
        )
        self._build = Info("duoshou_build", "What is running.", registry=registry)
        self._last_progress.set(self._wall_clock())
        # A counter that is absent until its first event hides that event from increase().
        for reason in DEAD_LETTER_REASONS:
            self._dead_letters.labels(reason)
        for topic in get_args(Refusable):
            self._versions_refused.labels(topic)
        for kind_written in get_args(Written):
            self._written.labels(kind_written)
        for direction in ("raise", "cut"):
            self._limit_updates.labels(direction)
        # Looking a child up by its labels costs more than the observation: a fold makes several.
        self._stages = {stage: self._stage.labels(stage) for stage in STAGES}
        self._events_of = cache(self._child_of_events)

    def _child_of_events(self, kind: int, outcome: int) -> Counter:
        became = Outcome(outcome)
        refused = Outcome.NULL_VALUE <= became < Outcome.SLOW
        name = "unknown" if refused else Kind(kind).name.lower()
        return self._events.labels(name, became.name.lower())

    # -- the path of a batch

    def batch_applied(self, kinds: npt.NDArray[np.uint8], outcomes: npt.NDArray[np.uint8]) -> None:
        """Count the events of one applied batch from its two columns. Progress.

        Args:
            kinds: `features.events.Kind` of each event.
            outcomes: `features.events.Outcome` of each event.

        Raises:
            ValueError: a value that is no kind or no outcome.
        """
        n = len(kinds)
        self._batch_events.observe(n)
        # Most small batches are nothing else, which their bytes say faster than NumPy.
        if kinds.tobytes().count(_PAYMENT) == n == outcomes.tobytes().count(_APPLIED):
            self.count_events(_PAYMENT, _APPLIED, n)
        else:
            counts = np.bincount(kinds.astype(np.intp) * 256 + outcomes)
            for code in np.flatnonzero(counts):
                self.count_events(int(code) >> 8, int(code) & 255, int(counts[code]))
        self.progressed()

    def count_events(self, kind: int, outcome: int, n: int = 1) -> None:
        """Count ``n`` events of one kind and outcome.

        The kind of an event that the decoder refused is not known and counts as
        ``unknown``, whatever is passed.

        Raises:
            ValueError: ``kind`` is no `Kind` or ``outcome`` no `Outcome`.
        """
        self._events_of(kind, outcome).inc(n)

    def stage_done(self, stage: Stage, seconds: float) -> None:
        """One batch left a stage of its path after ``seconds``.

        ``wait`` is the time from the end of ``decode`` to the begin of ``apply``, in which the
        worker is busy with other batches, or with a checkpoint of the same partition.
        """
        if stage not in self._stages:
            raise ValueError(f"unknown stage {stage!r}, expected one of {', '.join(STAGES)}")
        self._stages[stage].observe(seconds)

    def limits_updated(self, raises: int, cuts: int, seconds: npt.NDArray[np.float64]) -> None:
        """Limit updates were acknowledged by the broker.

        Args:
            raises: how many of them raised a limit.
            cuts: how many of them lowered one.
            seconds: of each one that a payment caused, the time since that payment's
                Kafka timestamp. A clock that runs ahead gives a negative one, counted as 0.
        """
        self._limit_updates.labels("raise").inc(raises)
        self._limit_updates.labels("cut").inc(cuts)
        self._event_to_update.observe(np.maximum(seconds, 0.0))

    def lender_updated(self, lender: str, n: int) -> None:
        """``n`` limit updates of a lender were acknowledged by the broker.

        Raises:
            ValueError: the settings know no such lender.
        """
        if lender not in self._lenders:
            raise ValueError(f"unknown lender {lender!r}")
        self._lender_updates.labels(lender).inc(n)

    def written(self, kind: Written, size: int) -> None:
        """A record batch of ``size`` bytes was handed over to be written."""
        self._written.labels(kind).inc(size)

    def stored(self, sizes: "Mapping[Stored, int]") -> None:
        """The broker's disks hold so many bytes of each kind of topic; none: it is not known."""
        if not sizes:
            self._stored.clear()
        for kind, size in sizes.items():
            self._stored.labels(kind).set(size)

    def dead_lettered(self, reason: str, n: int = 1) -> None:
        """``n`` records were written to the dead-letters topic.

        Args:
            reason: one of `DEAD_LETTER_REASONS`: an outcome's name in lower case,
                ``corrupt_batch`` or ``decompression_bomb``.
            n: how many, >= 0.

        Raises:
            ValueError: any other reason; a label must not grow with the input.
        """
        if reason not in DEAD_LETTER_REASONS:
            raise ValueError(f"unknown dead-letter reason {reason!r}")
        self._dead_letters.labels(reason).inc(n)

    def misrouted(self, n: int = 1) -> None:
        """``n`` payments were sent on to the partition of their merchant."""
        self._misrouted.inc(n)

    # -- durability

    def input_read(self, partition: int, next_offset: int) -> None:
        """Payments below ``next_offset`` of a partition were read."""
        self._uncommitted.read(partition, next_offset)
        if partition not in self._aging:
            self._aging.add(partition)
            # Computed when scraped: a stuck worker must not freeze the age that shows it.
            self._committed_age.labels(str(partition)).set_function(
                lambda: self._uncommitted.age(partition)
            )

    def committed(self, partition: int, next_offset: int, seconds: float) -> None:
        """A commit of the offset to read next of a partition took ``seconds``. Progress."""
        self._uncommitted.committed(partition, next_offset)
        self._commit.observe(seconds)
        self.progressed()

    def checkpoint_done(self, seconds: float, rows: int) -> None:
        """A checkpoint that wrote ``rows`` rows took ``seconds``. Progress."""
        self._checkpoint.observe(seconds)
        self._checkpoint_rows.inc(rows)
        self.progressed()

    # -- partitions

    def lag(self, topic: str, partition: int, records: int, seconds: float) -> None:
        """The lag of a partition was measured.

        To be called for every assigned partition several times within the liveness
        timeout, also when the lag is zero: see `Health`.

        Args:
            topic: one of the topics that a worker reads, never a name from outside.
            partition: its number in that topic.
            records: records not yet applied, >= 0.
            seconds: age of the oldest of them, 0 when there is none.
        """
        labels = (topic, str(partition))
        self._lag_records.labels(*labels).set(records)
        self._lag_seconds.labels(*labels).set(seconds)
        self.health.input_waits(topic, partition, records)

    def partition_size(self, partition: int, rows: int, payment_ids: int) -> None:
        """What a partition holds: merchants and remembered payment ids."""
        self._rows.labels(str(partition)).set(rows)
        self._payment_ids.labels(str(partition)).set(payment_ids)

    def partitions_assigned(self, n: int) -> None:
        """This worker owns ``n`` partitions of the payments topic."""
        self._assigned.set(n)

    def partition_lost(self, topic: str, partition: int) -> None:
        """A partition went to another worker: its series end here, or both would report it."""
        self._uncommitted.forget(partition)
        self._aging.discard(partition)
        for gauge in (self._committed_age, self._rows, self._payment_ids, self._loans):
            gauge.remove(str(partition))
        self._stopped_in(partition, frozenset())
        self.input_lost(topic, partition)

    def input_lost(self, topic: str, partition: int) -> None:
        """What a partition brings is read by another worker: its lag ends here."""
        self.health.partition_lost(topic, partition)
        for gauge in (self._lag_records, self._lag_seconds):
            gauge.remove(topic, str(partition))

    # -- life of the worker

    def kernels_compiled(self) -> None:
        """Every kernel is compiled. Progress."""
        self.health.compiled()
        self._last_progress.set(self._wall_clock())

    def rebalance_started(self) -> None:
        """The group is redistributing its partitions."""
        self._rebalances.inc()

    def recovery_started(self) -> None:
        """Rows are being read back: the worker is not ready until `recovery_done`."""
        self._recovered.set(0)
        self.health.recovering()

    def recovery_done(self, seconds: float) -> None:
        """Every assigned partition holds its rows, after ``seconds``. Progress."""
        self._recovery.set(seconds)
        self._recovered.set(1)
        self.health.recovered()
        self._last_progress.set(self._wall_clock())

    def progressed(self) -> None:
        """Something was applied, restored or made durable."""
        self._last_progress.set(self._wall_clock())
        self.health.progressed()

    def version_refused(self, topic: Refusable) -> None:
        """A model or a policy on its topic does not count here."""
        self._versions_refused.labels(topic).inc()

    def version_activated(self, partition: int, version: "Version") -> None:
        """A scorecard and policies are in use in a partition from here on."""
        self._model_version.set(version.scorecard.version)
        self._policy_version.set(version.policies.everybodys.version)
        self._policies.set(len(version.policies))
        self._stopped_in(partition, version.stops)

    def raises_held_back(self, counts: "Mapping[PolicyName, int]") -> None:
        """Evaluations that held raises back are durable."""
        for name, n in counts.items():
            self._raises_held.labels(name.lender, name.product).inc(n)

    def _stopped_in(self, partition: int, stops: "frozenset[Stop]") -> None:
        before = self._stops.get(partition, frozenset())
        for stop in stops - before:
            self._raises_stopped.labels(*stop).inc()
            self._raises_held.labels(stop.lender, stop.product)
        for stop in before - stops:
            self._raises_stopped.labels(*stop).dec()
        self._stops[partition] = stops


def _version() -> str:
    try:
        return version("duoshou")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"
