"""The dashboard: up to date, and as Grafana's linter would have it."""

import re
import runpy
from itertools import combinations
from typing import Any

import pytest

from streams.cost.bill import MONTH_S, bill_of
from streams.cost.usage import Usage
from streams.settings import Prices
from tests.deploy.shipped import (
    DASHBOARD,
    DEPLOY,
    dashboard,
    dashboard_expressions,
    exported_by_job,
    panels,
)

PANELS = [pytest.param(panel, id=panel["title"]) for panel in panels()]


def test_the_committed_dashboard_is_what_its_program_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(DEPLOY / "grafana")
    render = runpy.run_path(str(DEPLOY / "grafana" / "build.py"))["render"]
    assert DASHBOARD.read_text(encoding="utf-8") == render(), (
        "out of date: run python deploy/grafana/build.py"
    )


def test_it_has_a_name_that_links_can_keep() -> None:
    assert dashboard()["uid"] == "duoshou"
    assert dashboard()["editable"] is False


def test_one_chooses_data_source_installation_and_worker() -> None:
    variables = {variable["name"]: variable for variable in dashboard()["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "instance"]
    assert variables["instance"]["multi"]
    assert variables["instance"]["allValue"] == ".*"


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_has_title_description_unit_and_data_source(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith((".", "s"))
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["options"] is not None


@pytest.mark.parametrize("panel", PANELS)
def test_a_query_has_a_name_and_looks_only_at_what_was_chosen(panel: dict[str, Any]) -> None:
    names = [target["refId"] for target in panel["targets"]]
    assert all(names)
    assert len(set(names)) == len(names)
    for target in panel["targets"]:
        assert target["datasource"]["uid"] == "${datasource}"
        selectors = len(re.findall(r"(?<!\$)\{", target["expr"]))
        of_workers = target["expr"].count('{job="$job", instance=~"$instance"')
        assert selectors == of_workers + target["expr"].count('{job="${job}-trainer"}')
        assert selectors >= 1
        if "rate(" in target["expr"]:
            assert "[$__rate_interval]" in target["expr"]
        if panel["type"] == "timeseries":
            assert target["legendFormat"]


def test_a_rate_is_never_taken_over_a_fixed_time() -> None:
    """Except the hour or the day that a title names."""
    fixed = [
        panel["title"]
        for panel in panels()
        for target in panel["targets"]
        if "[" in target["expr"].replace("[$__rate_interval]", "")
    ]
    assert fixed == ["Dead letters, last hour", "Drifts, last day"]


def test_a_metric_is_asked_of_the_processes_that_export_it() -> None:
    asked = [
        (metric, job)
        for expression in dashboard_expressions().values()
        for metric, job in re.findall(r'\b([a-z]+_[a-z0-9_]+)\{job="([^"]+)"', expression)
        if metric != "up"
    ]
    jobs = exported_by_job()
    assert {job for _, job in asked} == set(jobs)
    assert [(metric, job) for metric, job in asked if metric not in jobs[job]] == []


def test_a_month_is_as_long_as_in_the_bill() -> None:
    of_a_month = [text for text in dashboard_expressions().values() if "2628000" in text]
    assert MONTH_S == 2_628_000
    assert len(of_a_month) == 8


def test_a_month_has_the_parts_of_a_bill_and_every_cost_is_over_all_of_them() -> None:
    bill = bill_of([Usage(1, 1, 1, 1, 1, 1, 1, 1)], 1, Prices())
    costs = {panel["title"]: panel["targets"] for panel in panels()}
    parts = costs["A month like now"]
    assert [part["legendFormat"] for part in parts] == [part.name for part in bill.parts]
    prices = [f'of="{name}"' for name in Prices().by_what()]
    whole = ("A million limits decided", "An application answered, a loan drawn")
    for title in (*whole, "A month of a merchant"):
        for target in costs[title]:
            assert [target["expr"].count(price) for price in prices] == [1, 1, 1, 1], title


def test_panels_have_ids_of_their_own() -> None:
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(ids)) == len(ids)


def test_panels_lie_side_by_side_on_the_grid() -> None:
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
    for one, other in combinations(dashboard()["panels"], 2):
        a, b = one["gridPos"], other["gridPos"]
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, f"{one['title']} lies over {other['title']}"
