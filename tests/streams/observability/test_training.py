"""What the trainer's metrics say."""

import msgspec

from scorers.training import CHAMPION, Report, Training
from streams.observability.health import Health
from streams.observability.training import TrainingMetrics


def value(metrics: TrainingMetrics, name: str, **labels: str) -> float | None:
    """A sample of the registry, None when it is absent."""
    sample: float | None = metrics.registry.get_sample_value(name, labels)
    return sample


def report(outcomes: int, **drifts: int) -> Report:
    """Of so many outcomes, every fourth of them bad."""
    training = Training()
    for number in range(outcomes):
        training.take({"silence_days": float(number % 7)}, number % 4 == 0)
    return msgspec.structs.replace(training.report(), drifts=drifts)


def test_figures_are_those_of_the_window_and_of_how_many_outcomes_they_are() -> None:
    metrics, told = TrainingMetrics(), report(40)
    metrics.reported(told)
    champion = told.models[CHAMPION]
    assert value(metrics, "duoshou_window_outcomes") == 40
    assert value(metrics, "duoshou_window_defaults") == 10
    assert value(metrics, "duoshou_model_log_loss", model=CHAMPION) == champion.log_loss
    assert value(metrics, "duoshou_model_auc", model=CHAMPION) == champion.auc
    assert value(metrics, "duoshou_model_observed_defaults", decile="10") == (
        champion.deciles[-1].observed
    )


def test_a_model_without_outcomes_takes_the_figures_of_the_one_before_away() -> None:
    metrics = TrainingMetrics()
    metrics.reported(report(40))
    metrics.taken_up(7, Training().report())
    assert value(metrics, "duoshou_model_version") == 7
    assert value(metrics, "duoshou_window_defaults") == 0
    assert value(metrics, "duoshou_model_log_loss", model=CHAMPION) is None
    assert value(metrics, "duoshou_model_expected_defaults", decile="1") is None


def test_a_drift_counts_once_and_one_from_before_the_start_does_not() -> None:
    metrics = TrainingMetrics()
    metrics.taken_up(3, report(4, trend=2))
    metrics.reported(report(5, trend=2))
    assert value(metrics, "duoshou_drifts_total", series="trend") == 0
    for _ in range(2):
        metrics.reported(report(6, trend=3))
    assert value(metrics, "duoshou_drifts_total", series="trend") == 1


def test_a_refused_snapshot_leaves_the_version() -> None:
    metrics = TrainingMetrics()
    metrics.snapshot_published(4)
    metrics.snapshot_refused()
    assert value(metrics, "duoshou_model_version") == 4
    assert value(metrics, "duoshou_snapshots_total", result="refused") == 1


def test_liveness_turns_when_examples_wait_and_nothing_progresses() -> None:
    now = 0.0
    metrics = TrainingMetrics(Health(clock=lambda: now))
    metrics.owns_examples(ours=True)
    metrics.lag("examples", 0, records=3)
    assert value(metrics, "duoshou_trainer_learning") == 1
    assert value(metrics, "duoshou_trainer_live") == 1
    now = 61.0
    assert value(metrics, "duoshou_trainer_live") == 0
