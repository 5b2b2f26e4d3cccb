"""What the metrics say, and that they stay few."""

from typing import get_args

import msgspec
import numpy as np
import pytest
from prometheus_client import generate_latest

from features.events import Kind, Outcome
from scorers.partition import Version
from scorers.policy import BUILT_IN, EVERYBODYS, PolicyName, Product
from scorers.raises import Cause, Stop
from scorers.shadows import Counted
from streams.observability import Health, Metrics
from streams.observability.metrics import DEAD_LETTER_REASONS, Refusable, Stage, Written
from streams.observability.shadows import AMOUNTS, COMPARED
from streams.settings import Prices


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """A sample of the registry, None when it is absent."""
    sample: float | None = metrics.registry.get_sample_value(name, labels)
    return sample


def columns(*events: tuple[Kind, Outcome]) -> tuple[np.ndarray, np.ndarray]:
    kinds, outcomes = zip(*events, strict=True)
    return np.array(kinds, dtype=np.uint8), np.array(outcomes, dtype=np.uint8)


def test_a_batch_is_counted_by_kind_and_outcome() -> None:
    metrics = Metrics()
    metrics.batch_applied(
        *columns(
            *[(Kind.PAYMENT, Outcome.APPLIED)] * 3,
            (Kind.REFUND, Outcome.APPLIED),
            (Kind.PAYMENT, Outcome.DUPLICATE),
            (Kind.TICK, Outcome.TICK),
        )
    )
    counted = {
        (sample.labels["kind"], sample.labels["outcome"]): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "duoshou_events_total"
    }
    assert counted == {
        ("payment", "applied"): 3,
        ("refund", "applied"): 1,
        ("payment", "duplicate"): 1,
        ("tick", "tick"): 1,
    }
    assert value(metrics, "duoshou_batch_events_sum") == 6


def test_the_kind_of_a_refused_event_is_unknown() -> None:
    metrics = Metrics()
    metrics.batch_applied(*columns((Kind.PAYMENT, Outcome.NOT_JSON)))
    assert value(metrics, "duoshou_events_total", kind="unknown", outcome="not_json") == 1


@pytest.mark.parametrize(("kind", "outcome"), [(8, 1), (0, 6), (0, 255)])
def test_a_code_that_means_nothing_is_refused(kind: int, outcome: int) -> None:
    with pytest.raises(ValueError, match="is not a valid"):
        Metrics().count_events(kind, outcome)


@pytest.mark.parametrize(
    ("seconds", "first_bucket"), [(0.25, "0.25"), (0.251, "0.5"), (1.0, "1.0"), (0.0, "0.005")]
)
def test_event_to_update_is_in_seconds(seconds: float, first_bucket: str) -> None:
    """faust#260: milliseconds in buckets of seconds all fell into +Inf."""
    metrics = Metrics()
    metrics.limits_updated(raises=1, cuts=0, seconds=np.array([seconds]))
    buckets = [
        sample.labels["le"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "duoshou_event_to_update_seconds_bucket" and sample.value == 1
    ]
    assert buckets[0] == first_bucket
    assert value(metrics, "duoshou_event_to_update_seconds_sum") == pytest.approx(seconds)
    assert value(metrics, "duoshou_event_to_update_seconds_count") == 1


def test_an_update_before_its_payment_counts_as_immediate() -> None:
    metrics = Metrics()
    metrics.limits_updated(raises=0, cuts=1, seconds=np.array([-3.0]))
    assert value(metrics, "duoshou_event_to_update_seconds_sum") == 0
    assert value(metrics, "duoshou_limit_updates_total", direction="cut") == 1


def test_a_tick_can_cut_limits_without_any_payment_to_measure_from() -> None:
    metrics = Metrics()
    metrics.limits_updated(raises=0, cuts=5, seconds=np.empty(0))
    assert value(metrics, "duoshou_limit_updates_total", direction="cut") == 5
    assert value(metrics, "duoshou_event_to_update_seconds_count") == 0


def test_counters_that_alerts_watch_exist_before_their_first_event() -> None:
    metrics = Metrics()
    for reason in DEAD_LETTER_REASONS:
        assert value(metrics, "duoshou_dead_letters_total", reason=reason) == 0
    assert value(metrics, "duoshou_limit_updates_total", direction="raise") == 0


def test_a_reason_of_somebody_elses_making_is_no_label() -> None:
    with pytest.raises(ValueError, match="unknown dead-letter reason 'boom 17'"):
        Metrics().dead_lettered("boom 17")


def test_every_outcome_that_ends_in_the_dead_letters_has_a_reason() -> None:
    assert "conflict" in DEAD_LETTER_REASONS
    assert "too_deep" in DEAD_LETTER_REASONS
    assert {"applied", "misrouted", "slow", "duplicate"}.isdisjoint(DEAD_LETTER_REASONS)


def test_limit_updates_are_counted_for_the_lenders_of_the_settings_only() -> None:
    metrics = Metrics(lenders=("platform", "harbour"))
    metrics.lender_updated("harbour", 3)
    name = "duoshou_lender_limit_updates_total"
    assert value(metrics, name, lender="harbour") == 3
    assert value(metrics, name, lender="platform") == 0
    with pytest.raises(ValueError, match="unknown lender 'mallory'"):
        metrics.lender_updated("mallory", 1)
    assert value(metrics, name, lender="mallory") is None


def test_shadows_have_series_from_when_they_are_taken_up_and_no_sooner() -> None:
    metrics = Metrics(lenders=("platform", "harbour"))
    evaluations, amounts = "duoshou_shadow_evaluations_total", "duoshou_shadow_minor_units_total"
    harbour = {"lender": "harbour", "product": "loan"}
    shadow = msgspec.structs.replace(BUILT_IN, lender="harbour", version=3, shadow=True)
    assert value(metrics, evaluations, **harbour, compared="same") is None
    metrics.shadows_followed([shadow])
    assert value(metrics, "duoshou_shadow_policy_version", **harbour) == 3
    assert value(metrics, evaluations, **harbour, compared="same") == 0
    assert value(metrics, amounts, **harbour, of="in_force") == 0
    for _ in range(2):
        metrics.shadows_counted({shadow.name: Counted(4, 5, 6, 700, 800, 900)})
    assert [value(metrics, evaluations, **harbour, compared=compared) for compared in COMPARED] == [
        8, 10, 12,
    ]  # fmt: skip
    assert [value(metrics, amounts, **harbour, of=amount) for amount in AMOUNTS] == [
        1_400, 1_600, 1_800,
    ]  # fmt: skip
    metrics.shadows_followed([])
    assert value(metrics, "duoshou_shadow_policy_version", **harbour) is None
    assert value(metrics, evaluations, **harbour, compared="higher") == 8


def test_what_is_written_and_refused_is_there_before_it_happens() -> None:
    metrics = Metrics()
    for kind in get_args(Written):
        assert value(metrics, "duoshou_written_bytes_total", kind=kind) == 0
    for topic in get_args(Refusable):
        assert value(metrics, "duoshou_refused_versions_total", topic=topic) == 0
    metrics.written("rows", 700)
    metrics.written("rows", 41)
    metrics.version_refused("policies")
    assert value(metrics, "duoshou_written_bytes_total", kind="rows") == 741
    assert value(metrics, "duoshou_refused_versions_total", topic="policies") == 1


def test_prices_are_those_of_the_settings() -> None:
    metrics = Metrics(prices=Prices(currency="euro", cpu_hour=0.03, written_gb=0.01))
    prices = {
        sample.labels["of"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "duoshou_price" and sample.labels["currency"] == "euro"
    }
    assert prices == {
        "cpu_hour": 0.03,
        "memory_gb_month": 16.0,
        "storage_gb_month": 1.0,
        "written_gb": 0.01,
    }


def test_a_stage_that_does_not_exist_is_refused() -> None:
    stage: Stage = "ferment"  # type: ignore[assignment]
    with pytest.raises(ValueError, match="unknown stage 'ferment'"):
        Metrics().stage_done(stage, 0.1)


def test_the_age_of_uncommitted_input_grows_while_nobody_calls() -> None:
    now = 0.0
    metrics = Metrics(clock=lambda: now)
    metrics.input_read(2, next_offset=100)
    now = 42.0
    assert value(metrics, "duoshou_committed_offset_age_seconds", partition="2") == 42
    metrics.committed(2, next_offset=60, seconds=0.01)
    now = 45.0
    assert value(metrics, "duoshou_committed_offset_age_seconds", partition="2") == 3
    metrics.committed(2, next_offset=100, seconds=0.01)
    now = 9_000.0
    assert value(metrics, "duoshou_committed_offset_age_seconds", partition="2") == 0
    metrics.input_read(2, next_offset=101)
    assert value(metrics, "duoshou_committed_offset_age_seconds", partition="2") == 0


def test_the_same_commit_again_does_not_make_waiting_input_younger() -> None:
    now = 0.0
    metrics = Metrics(clock=lambda: now)
    metrics.committed(0, next_offset=10, seconds=0.01)
    metrics.input_read(0, next_offset=20)
    now = 30.0
    metrics.committed(0, next_offset=10, seconds=0.01)
    assert value(metrics, "duoshou_committed_offset_age_seconds", partition="0") == 30


def test_a_lost_partition_leaves_no_series_behind() -> None:
    metrics = Metrics()
    before = generate_latest(metrics.registry).count(b'partition="5"')
    metrics.lag("payments", 5, records=10, seconds=1.5)
    metrics.partition_size(5, rows=7, payment_ids=9)
    metrics.input_read(5, next_offset=1)
    assert generate_latest(metrics.registry).count(b'partition="5"') == 5
    metrics.partition_lost("payments", 5)
    assert generate_latest(metrics.registry).count(b'partition="5"') == before == 0
    assert metrics.health.live().ok


def test_stopped_raises_are_counted_by_policy_and_cause_over_the_partitions_of_a_worker() -> None:
    metrics = Metrics()
    limits, approvals = (
        Stop(EVERYBODYS.lender, EVERYBODYS.product, cause)
        for cause in (Cause.LIMITS, Cause.APPROVALS)
    )

    def shown(cause: str) -> float | None:
        labels = {"lender": "platform", "product": "loan", "cause": cause}
        return value(metrics, "duoshou_raises_stopped_partitions", **labels)

    metrics.version_activated(0, Version(stops=frozenset({limits})))
    metrics.version_activated(1, Version(stops=frozenset({limits, approvals})))
    assert (shown("limits"), shown("approvals")) == (2, 1)
    metrics.version_activated(1, Version(stops=frozenset({limits})))
    assert (shown("limits"), shown("approvals")) == (2, 0)
    metrics.partition_size(1, rows=7, payment_ids=9)
    metrics.input_read(1, next_offset=1)
    metrics.loans_owing(1, 0)
    metrics.lag("payments", 1, records=0, seconds=0.0)
    metrics.partition_lost("payments", 1)
    assert shown("limits") == 1


def test_raises_held_back_are_counted_by_policy_from_the_stop_on() -> None:
    metrics = Metrics(lenders=("platform", "bank"))
    bank = PolicyName("bank", Product.INSURANCE)

    def held(name: PolicyName) -> float | None:
        labels = {"lender": name.lender, "product": str(name.product)}
        return value(metrics, "duoshou_raises_held_total", **labels)

    metrics.version_activated(0, Version())
    assert held(EVERYBODYS) is None, "a thousand policies that were never stopped have no series"
    stop = Stop(EVERYBODYS.lender, EVERYBODYS.product, Cause.LIMITS)
    metrics.version_activated(0, Version(stops=frozenset({stop})))
    assert held(EVERYBODYS) == 0
    metrics.raises_held_back({EVERYBODYS: 3, bank: 2})
    metrics.raises_held_back({EVERYBODYS: 4})
    metrics.raises_held_back({})
    metrics.version_activated(0, Version())
    assert (held(EVERYBODYS), held(bank)) == (7, 2)


def test_what_is_stored_is_absent_while_it_is_not_known() -> None:
    metrics = Metrics()

    def stored(kind: str) -> float | None:
        return value(metrics, "duoshou_stored_bytes", kind=kind)

    assert stored("payments") is None
    metrics.stored({"payments": 7, "others": 0})
    assert (stored("payments"), stored("others"), stored("rows")) == (7, 0, None)
    metrics.stored({})
    assert (stored("payments"), stored("others")) == (None, None)


def test_progress_reaches_the_gauge_and_the_liveness_rule() -> None:
    wall = 1_700_000_000.0
    metrics = Metrics(wall_clock=lambda: wall)
    wall += 17
    metrics.checkpoint_done(seconds=0.02, rows=3)
    assert value(metrics, "duoshou_last_progress_timestamp_seconds") == 1_700_000_017
    assert "last progress 0 s ago" in metrics.health.live().reason


def test_prometheus_sees_liveness_turn_without_a_call_from_the_worker() -> None:
    now = 0.0
    metrics = Metrics(Health(liveness_timeout_s=60, clock=lambda: now))
    metrics.lag("payments", 0, records=1, seconds=0.1)
    assert value(metrics, "duoshou_live") == 1
    now = 61.0
    assert value(metrics, "duoshou_live") == 0


def test_recovery_is_shown_and_takes_readiness_away() -> None:
    metrics = Metrics()
    metrics.kernels_compiled()
    metrics.recovery_started()
    assert value(metrics, "duoshou_recovered") == 0
    metrics.recovery_done(seconds=2.5)
    assert value(metrics, "duoshou_recovered") == 1
    assert value(metrics, "duoshou_recovery_seconds") == 2.5
    assert metrics.health.ready().ok


def test_series_do_not_grow_with_what_payments_say() -> None:
    """faust and others grew 400,000 series from label values of their input."""
    metrics = Metrics()
    for kind in Kind:
        for outcome in Outcome:
            metrics.count_events(kind, outcome)
    for partition in range(32):
        metrics.lag("payments", partition, records=1, seconds=1.0)
        metrics.partition_size(partition, rows=100_000, payment_ids=1)
        metrics.input_read(partition, next_offset=1)
    page = generate_latest(metrics.registry)
    series = [line for line in page.splitlines() if not line.startswith(b"#")]
    assert len(series) < 700
    assert len(page) < 100_000
    assert b"_created" not in page


def test_two_workers_in_one_process_do_not_share_their_metrics() -> None:
    one, other = Metrics(), Metrics()
    one.misrouted(3)
    assert value(one, "duoshou_misrouted_total") == 3
    assert value(other, "duoshou_misrouted_total") == 0
