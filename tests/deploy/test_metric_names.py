"""Rules and dashboard speak of metrics that exist, and no metric is forgotten."""

import pytest

from tests.deploy.shipped import dashboard_expressions, exported, metrics_in, recorded_in, rules

# Exported by prometheus-client for every process; nothing here is watched or drawn.
UNUSED_ON_PURPOSE = {
    "process_max_fds",
    "process_open_fds",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
}


def used() -> dict[str, str]:
    """Every metric in a rule or in the dashboard, and where it stands."""
    places = {f"rule {rule.get('alert') or rule['record']}": rule["expr"] for rule in rules()}
    places |= {f"panel {name}": expr for name, expr in dashboard_expressions().items()}
    return {metric: place for place, expr in places.items() for metric in metrics_in(expr)}


def family_of(name: str) -> str:
    """The metric that a histogram's series belongs to; any other name as it is."""
    for suffix in ("_bucket", "_count", "_sum"):
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


@pytest.mark.parametrize(("metric", "place"), sorted(used().items()))
def test_what_is_watched_or_drawn_exists(metric: str, place: str) -> None:
    assert metric in exported(), f"{place} uses {metric}, which nothing exports"


def test_what_exists_is_watched_or_drawn_or_left_out_on_purpose() -> None:
    forgotten = {family_of(name) for name in exported()} - {family_of(name) for name in used()}
    assert forgotten == UNUSED_ON_PURPOSE


def test_names_are_told_from_recorded_series() -> None:
    expression = "delta(topic_partition:duoshou_lag_records:max[10m]) > duoshou_rows"
    assert list(metrics_in(expression)) == ["duoshou_rows"]
    assert list(recorded_in(expression)) == ["topic_partition:duoshou_lag_records:max"]
