"""Writes the dashboard: ``python deploy/grafana/build.py``.

Panels follow a payment: what is now, its path, what is saved, partitions, what lenders ask and are
answered, loans and what is learnt from them, what it costs, process.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    VariableOption,
    VariableRefresh,
)
from lending import cost, lenders
from panels import DATASOURCE, RATE, TRAINER, WORKER, Panels, Query, quantile, rate, steps, trained

OUTPUT: Final = Path(__file__).parent / "dashboards" / "duoshou.json"


def now(panels: Panels) -> None:
    """Whether all is well, in one line."""
    panels.row("Now")
    panels.stat(
        "Workers ready",
        "none",
        f'sum(up{{{WORKER}}} * on (job, instance) duoshou_recovered{{{WORKER}}})',
        "Workers that answer and hold their rows.",
        steps((None, "red"), (1, "green")),
    )
    panels.stat(
        "Events a second",
        "ops",
        rate("duoshou_events_total"),
        "Everything that was read from the payments topic, ticks included.",
        steps((None, "blue")),
    )
    panels.stat(
        "Payment to update, p99",
        "s",
        quantile("0.99", "duoshou_event_to_update_seconds"),
        "From the payment's Kafka timestamp to the acknowledged limit update. Promised: 1 s.",
        steps((None, "green"), (0.5, "orange"), (1, "red")),
    )
    panels.stat(
        "Furthest behind",
        "s",
        f"max(duoshou_lag_seconds{{{WORKER}}})",
        "Age of the oldest record that waits in any partition.",
        steps((None, "green"), (10, "orange"), (60, "red")),
    )
    panels.stat(
        "Dead letters, last hour",
        "none",
        f"sum(increase(duoshou_dead_letters_total{{{WORKER}}}[1h]))",
        "Records that were refused and kept on dead-letters.",
        steps((None, "green"), (1, "orange")),
    )
    panels.stat(
        "Workers alive",
        "none",
        f"sum(duoshou_live{{{WORKER}}})",
        "Workers whose /livez answers 200.",
        steps((None, "red"), (1, "green")),
    )


def path(panels: Panels) -> None:
    """What happens to a payment, in the order in which it happens."""
    panels.row("The path of a payment")
    panels.series(
        "Events by kind",
        "ops",
        [Query(rate("duoshou_events_total", by="kind"), "{{kind}}")],
        "Events a second by kind; unknown: refused before its kind was known.",
    )
    panels.series(
        "Events by outcome",
        "ops",
        [
            Query(rate("duoshou_events_total", by="outcome"), "{{outcome}}"),
            Query(rate("duoshou_misrouted_total"), "sent on to its own partition"),
        ],
        "What became of each event a second.",
    )
    panels.series(
        "Dead letters by reason",
        "ops",
        [Query(rate("duoshou_dead_letters_total", by="reason"), "{{reason}}")],
        "Records written to dead-letters a second. Runbook: DuoshouDeadLetters.",
    )
    panels.series(
        "Time by stage",
        "percentunit",
        [Query(rate("duoshou_stage_seconds_sum", by="stage", where='stage!="wait"'), "{{stage}}")],
        "Seconds spent in each stage a second, over all workers: what a worker is busy with.",
    )
    panels.series(
        "Time of a batch by stage, p99",
        "s",
        [Query(quantile("0.99", "duoshou_stage_seconds", by="stage"), "{{stage}}")],
        "How long one batch takes in each stage; wait: from decoded to the turn to be applied.",
    )
    panels.series(
        "Batch size",
        "none",
        [
            Query(quantile("0.5", "duoshou_batch_events"), "p50"),
            Query(quantile("0.99", "duoshou_batch_events"), "p99"),
        ],
        "Events in one batch of one partition: small when quiet, large when catching up.",
    )
    panels.series(
        "Limit updates",
        "ops",
        [Query(rate("duoshou_limit_updates_total", by="direction"), "{{direction}}")],
        "Acknowledged limit updates a second.",
    )
    panels.series(
        "Payment to limit update",
        "s",
        [
            Query(quantile("0.5", "duoshou_event_to_update_seconds"), "p50"),
            Query(quantile("0.99", "duoshou_event_to_update_seconds"), "p99"),
            Query(quantile("0.999", "duoshou_event_to_update_seconds"), "p99.9"),
        ],
        "From the payment's Kafka timestamp to the acknowledged update. "
        "Runbook: DuoshouUpdatesSlow.",
    )
    panels.series(
        "CPU of an event",
        "s",
        [
            Query(
                f"{rate('process_cpu_seconds_total')} / {rate('duoshou_events_total')}",
                "CPU an event",
            )
        ],
        "Processor time of the workers over the events they read.",
    )


def saved(panels: Panels) -> None:
    """How what was done is made durable."""
    panels.row("Saved")
    panels.series(
        "Checkpoint time",
        "s",
        [
            Query(quantile("0.5", "duoshou_checkpoint_seconds"), "p50"),
            Query(quantile("0.99", "duoshou_checkpoint_seconds"), "p99"),
        ],
        "Outputs acknowledged and changed rows durable. Runbook: DuoshouCheckpointOld.",
        span=6,
    )
    panels.series(
        "Rows saved",
        "ops",
        [Query(rate("duoshou_checkpoint_rows_total"), "rows")],
        "Rows written to the changelog a second.",
        span=6,
    )
    panels.series(
        "Commit time",
        "s",
        [Query(quantile("0.99", "duoshou_commit_seconds"), "p99")],
        "Commits of input offsets to the group coordinator.",
        span=6,
    )
    panels.series(
        "Waiting for a commit",
        "s",
        [
            Query(
                f"max by (partition) (duoshou_committed_offset_age_seconds{{{WORKER}}})",
                "partition {{partition}}",
            )
        ],
        "For how long input that was read has been waiting for its commit.",
        span=6,
    )


def partitions(panels: Panels) -> None:
    """Lag, rows and who owns what."""
    panels.row("Partitions and rows")
    by_partition = (("records", "none"), ("seconds", "s"))
    for unit_of_lag, unit in by_partition:
        panels.series(
            f"Lag by partition, {unit_of_lag}",
            unit,
            [
                Query(
                    f"max by (topic, partition) (duoshou_lag_{unit_of_lag}{{{WORKER}}})",
                    "{{topic}}/{{partition}}",
                )
            ],
            "Read from Kafka but not yet applied. Runbook: DuoshouLagGrows.",
        )
    panels.series(
        "Since the last progress",
        "s",
        [
            Query(
                f"time() - duoshou_last_progress_timestamp_seconds{{{WORKER}}}", "{{instance}}"
            )
        ],
        "Time since anything was applied, restored or saved; harmless while nothing waits.",
    )
    panels.series(
        "Rows",
        "none",
        [Query(f"sum by (instance) (duoshou_rows{{{WORKER}}})", "{{instance}}")],
        "Merchants held in memory, about 1.5 kB each.",
        span=6,
    )
    panels.series(
        "Payment ids",
        "none",
        [Query(f"sum by (instance) (duoshou_payment_ids{{{WORKER}}})", "{{instance}}")],
        "Ids remembered to find duplicates, about 30 bytes each.",
        span=6,
    )
    panels.series(
        "Owned partitions",
        "none",
        [
            Query(f"duoshou_assigned_partitions{{{WORKER}}}", "{{instance}}"),
            Query(
                f"sum(increase(duoshou_rebalances_total{{{WORKER}}}{RATE}))", "rebalances"
            ),
        ],
        "Partitions of payments by worker, and the rebalances that move them.",
        span=6,
    )
    panels.series(
        "Last recovery",
        "s",
        [Query(f"duoshou_recovery_seconds{{{WORKER}}}", "{{instance}}")],
        "Time that reading the rows back from the changelog took.",
        span=6,
    )


def learning(panels: Panels) -> None:
    """Loans, what is learnt from those that have ended, and how good it is."""
    panels.row("Loans and learning")
    panels.series(
        "Loan events",
        "ops",
        [Query(rate("duoshou_loan_events_total", by="kind, outcome"), "{{kind}}, {{outcome}}")],
        "Loan events a second by kind and by what became of them. Runbook: DuoshouDeadLetters.",
    )
    panels.series(
        "Loans not paid back",
        "none",
        [Query(f"sum(duoshou_loans{{{WORKER}}})", "loans")],
        "Drawn, overdue or defaulted, over all selected workers.",
    )
    panels.series(
        "Outcomes learnt",
        "ops",
        [
            Query(trained("duoshou_outcomes_learnt_total"), "learnt"),
            Query(trained("duoshou_examples_repeated_total"), "repeated, passed over"),
            Query(trained("duoshou_examples_unreadable_total"), "unreadable, set aside"),
        ],
        "Examples a second by what the trainer did with them. Runbook: DuoshouTrainerStuck.",
    )
    panels.series(
        "Log-loss by model",
        "none",
        [Query(f"max by (model) (duoshou_model_log_loss{{{TRAINER}}})", "{{model}}")],
        "Mean over the window, of probabilities given before the outcome was learnt; lower is "
        "better. Runbook: DuoshouModelWorseThanPrior.",
    )
    panels.series(
        "Brier score by model",
        "none",
        [Query(f"max by (model) (duoshou_model_brier{{{TRAINER}}})", "{{model}}")],
        "Mean squared distance of probability and outcome over the window; lower is better.",
    )
    panels.series(
        "AUC and KS by model",
        "none",
        [
            Query(f"max by (model) (duoshou_model_auc{{{TRAINER}}})", "AUC, {{model}}"),
            Query(f"max by (model) (duoshou_model_ks{{{TRAINER}}})", "KS, {{model}}"),
        ],
        "How well good and bad loans are told apart over the window; an AUC of 0.5 is chance.",
    )
    panels.bars(
        "Calibration by decile",
        "percentunit",
        "decile",
        [
            Query(f"max by (decile) (duoshou_model_expected_defaults{{{TRAINER}}})", "expected"),
            Query(f"max by (decile) (duoshou_model_observed_defaults{{{TRAINER}}})", "observed"),
        ],
        "Share of defaults that the champion expected and that came, by tenths of the window "
        "from the safest loans to the riskiest.",
        span=8,
    )
    panels.series(
        "Outcomes in the window",
        "none",
        [
            Query(f"max(duoshou_window_outcomes{{{TRAINER}}})", "outcomes"),
            Query(f"max(duoshou_window_defaults{{{TRAINER}}})", "defaults"),
            Query(f"max(duoshou_examples_rejected{{{TRAINER}}})", "rejected so far"),
            Query(f"max(duoshou_examples_passed_over{{{TRAINER}}})", "passed over so far"),
        ],
        "What the figures by model are of; with few defaults they say little.",
    )
    panels.series(
        "Drifts, last day",
        "none",
        [
            Query(
                f"sum by (series) (increase(duoshou_drifts_total{{{TRAINER}}}[1d]))", "{{series}}"
            )
        ],
        "Times that the log-loss or a feature's mean has drifted. Runbook: DuoshouModelDrift.",
    )
    panels.series(
        "Snapshots",
        "ops",
        [
            Query(trained("duoshou_snapshots_total", by="result"), "{{result}}"),
            Query(trained("duoshou_models_refused_total"), "on the topic, does not count"),
        ],
        "Models that the trainer wanted to publish, a second. Runbook: DuoshouSnapshotRefused.",
    )
    panels.series(
        "Since the last model",
        "s",
        [
            Query(
                f"time() - max(duoshou_snapshot_timestamp_seconds{{{TRAINER}}} > 0)",
                "last published",
            )
        ],
        "Time since this trainer published a model; nothing new is learnt on a quiet day.",
    )
    panels.series(
        "Model versions",
        "none",
        [
            Query(f"max(duoshou_model_version{{{TRAINER}}})", "trainer"),
            Query(f"duoshou_model_version{{{WORKER}}}", "{{instance}}"),
        ],
        "Workers follow the trainer within seconds. Runbook: DuoshouWorkersOnOldModel.",
    )
    panels.series(
        "Champion and challengers",
        "none",
        [
            Query(f"max(duoshou_challengers_better{{{TRAINER}}})", "better than the champion"),
            Query(f"max(duoshou_promotions{{{TRAINER}}})", "promotions so far"),
        ],
        "Challengers that beat the champion by the margin, and how often one took its place.",
    )
    panels.series(
        "Examples that wait",
        "none",
        [Query(f"max(duoshou_lag_records{{{TRAINER}}})", "examples")],
        "Loans that have ended and are not learnt yet. Runbook: DuoshouTrainerStuck.",
    )
    panels.series(
        "Trainers",
        "none",
        [
            Query(f"sum(duoshou_trainer_live{{{TRAINER}}})", "alive"),
            Query(f"sum(duoshou_trainer_learning{{{TRAINER}}})", "learning"),
        ],
        "Trainers whose /livez answers 200, and the one that learns; others stand by.",
    )


def process(panels: Panels) -> None:
    """The process and what it runs."""
    panels.row("Process")
    panels.series(
        "Processors in use",
        "none",
        [
            Query(
                f"sum by (instance) (rate(process_cpu_seconds_total{{{WORKER}}}{RATE}))",
                "{{instance}}",
            )
        ],
        "1 is one core, all that a worker can use of Python.",
        span=6,
    )
    panels.series(
        "Memory",
        "bytes",
        [Query(f"process_resident_memory_bytes{{{WORKER}}}", "{{instance}}")],
        "Resident memory.",
        span=6,
    )
    panels.series(
        "Versions in force",
        "none",
        [
            Query(f"duoshou_model_version{{{WORKER}}}", "scorecard, {{instance}}"),
            Query(f"duoshou_policy_version{{{WORKER}}}", "policy, {{instance}}"),
        ],
        "All workers should agree, soon after a change at the latest.",
        span=6,
    )
    panels.table(
        "Builds", f"duoshou_build_info{{{WORKER}}}", "What each worker runs.", span=6
    )


def variables() -> Iterator[Any]:
    """What the reader of the dashboard chooses."""
    yield dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    yield (
        dashboard.QueryVariable("job")
        .label("Installation")
        .datasource(DATASOURCE)
        .query("label_values(duoshou_build_info, job)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )
    yield (
        dashboard.QueryVariable("instance")
        .label("Worker")
        .datasource(DATASOURCE)
        .query('label_values(duoshou_build_info{job="$job"}, instance)')
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def render() -> str:
    """The dashboard as Grafana's JSON, ending in a newline."""
    board = (
        dashboard.Dashboard("Duoshou")
        .uid("duoshou")
        .description(
            "From a payment to a limit: rate, time, lag, what is saved, learnt and what failed."
        )
        .tags(["duoshou"])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
    )
    for variable in variables():
        board.with_variable(variable)
    panels = Panels(board)
    for section in (now, path, saved, partitions, lenders, learning, cost, process):
        section(panels)
    built = board.build()
    for number, panel in enumerate(built.panels or [], start=1):
        panel.id_val = number
    return json.dumps(built, cls=JSONEncoder, sort_keys=True, indent=2) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(render(), encoding="utf-8")
