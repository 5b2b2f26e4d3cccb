"""What deploy/ ships, read for the tests."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from prometheus_client import CollectorRegistry

from streams.observability import Metrics
from streams.observability.training import TrainingMetrics

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
RULES: Final = DEPLOY / "prometheus" / "rules" / "duoshou.yaml"
RULE_TESTS: Final = DEPLOY / "prometheus" / "tests"
DASHBOARD: Final = DEPLOY / "grafana" / "dashboards" / "duoshou.json"
RUNBOOKS: Final = DEPLOY / "runbooks"

_METRIC: Final = re.compile(r"\b(?:duoshou|process|python)_[a-z0-9_]+")
_RECORDED: Final = re.compile(r"\b[a-z_]+:[a-z0-9_]+:[a-z0-9_]+")


def rules() -> list[dict[str, Any]]:
    """Every rule, recording and alerting."""
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """The alerting rules by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def dashboard() -> dict[str, Any]:
    """The committed dashboard."""
    document: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return document


def panels() -> list[dict[str, Any]]:
    """Its panels without the rows."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def dashboard_expressions(job: str = "duoshou", interval: str = "1m") -> dict[str, str]:
    """Every expression of the dashboard as Grafana would send it, by panel and query."""
    filled = {"${job}": job, "$job": job, "$instance": ".*", "$__rate_interval": interval}
    found = {}
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for variable, value in filled.items():
                expression = expression.replace(variable, value)
            found[f"{panel['title']}/{target['refId']}"] = expression
    return found


def metrics_in(expression: str) -> Iterator[str]:
    """Names of the metrics in an expression, recorded series left out."""
    yield from _METRIC.findall(_RECORDED.sub("", expression))


def recorded_in(expression: str) -> Iterator[str]:
    """Names of the recorded series in an expression."""
    yield from _RECORDED.findall(expression)


def exported() -> set[str]:
    """Every name that a worker or a trainer can export, as Prometheus stores it."""
    return {name for names in exported_by_job().values() for name in names}


def exported_by_job() -> dict[str, set[str]]:
    """The names that each job exports."""
    return {
        "duoshou": _names_in(Metrics().registry),
        "duoshou-trainer": _names_in(TrainingMetrics().registry),
    }


def _names_in(registry: CollectorRegistry) -> set[str]:
    names = set()
    for family in registry.collect():
        match family.type:
            case "counter":
                names.add(f"{family.name}_total")
            case "histogram":
                names |= {f"{family.name}_{part}" for part in ("bucket", "count", "sum")}
            case "info":
                names.add(f"{family.name}_info")
            case _:
                names.add(family.name)
    return names
