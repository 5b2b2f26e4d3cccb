"""Alerts: valid, tested firing and silent, each with its page."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.commands.main import COMMANDS
from streams.settings import Settings
from tests.deploy.shipped import (
    DEPLOY,
    ROOT,
    RULE_TESTS,
    RULES,
    RUNBOOKS,
    alerts,
    exported,
    metrics_in,
    recorded_in,
    rules,
)

EXPECTED = {
    "DuoshouWorkerDown",
    "DuoshouNothingProgresses",
    "DuoshouLagGrows",
    "DuoshouUpdatesSlow",
    "DuoshouDecisionsSlow",
    "DuoshouDecisionsLate",
    "DuoshouBreakerOpened",
    "DuoshouVersionRefused",
    "DuoshouDeadLetters",
    "DuoshouCheckpointOld",
    "DuoshouTrainerDown",
    "DuoshouTrainerStuck",
    "DuoshouSnapshotRefused",
    "DuoshouModelDrift",
    "DuoshouModelWorseThanPrior",
    "DuoshouWorkersOnOldModel",
}


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def cases() -> list[tuple[str, dict[str, Any]]]:
    """Every rule test: the alert and what is expected of it at one moment."""
    return [
        (moment["alertname"], {**moment, "series": case["input_series"]})
        for file in RULE_TESTS.glob("*.yaml")
        for case in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]
        for moment in case["alert_rule_test"]
    ]


def test_the_alerts_are_those_that_matter_first() -> None:
    assert set(alerts()) == EXPECTED


@pytest.mark.prometheus
def test_rules_are_valid(promtool: str) -> None:
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", RULES)


@pytest.mark.prometheus
def test_the_scrape_configuration_is_valid_and_finds_the_rules(promtool: str) -> None:
    told = run(promtool, "check", "config", DEPLOY / "prometheus" / "prometheus.yml")
    assert "1 rule files found" in told


@pytest.mark.prometheus
@pytest.mark.parametrize("file", sorted(RULE_TESTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_alerts_fire_and_stay_silent_as_they_should(promtool: str, file: Path) -> None:
    run(promtool, "test", "rules", file)


@pytest.mark.parametrize("alert", sorted(EXPECTED))
def test_every_alert_has_a_firing_a_silent_and_an_absent_case(alert: str) -> None:
    moments = [moment for name, moment in cases() if name == alert]
    assert [moment for moment in moments if moment.get("exp_alerts")], "no firing case"
    assert [moment for moment in moments if not moment.get("exp_alerts")], "no silent case"
    watched = re.findall(r"(?:duoshou_[a-z_]+|up)\b", alerts()[alert]["expr"])
    assert [
        moment
        for moment in moments
        if not any(watched[0] in series["series"] for series in moment["series"])
        or any("stale" in series["values"] for series in moment["series"])
    ], "no case without the series that it watches"


@pytest.mark.parametrize("alert", sorted(EXPECTED))
def test_every_alert_says_how_bad_it_is_and_where_to_read_on(alert: str) -> None:
    rule = alerts()[alert]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert "{{" not in notes["summary"], "the summary is what alerts are grouped by"
    assert "{{" in notes["description"], "the description says which one and how much"
    assert notes["runbook_url"] == f"deploy/runbooks/{alert}.md"
    assert (ROOT / notes["runbook_url"]).is_file()


def test_every_page_belongs_to_an_alert() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == set(alerts())


def test_the_list_of_alerts_is_that_of_the_rules() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(Duoshou\w+)` \| (\w+) \|", text, re.MULTILINE)
    assert dict(listed) == {name: rule["labels"]["severity"] for name, rule in alerts().items()}
    assert len(listed) == len(alerts())


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_every_page_has_its_four_sections(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.stem}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        "Meaning",
        "Impact",
        "Diagnosis",
        "Mitigation",
    ]
    for section in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]:
        assert section.strip()


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_a_page_speaks_of_commands_settings_and_metrics_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    commands = re.findall(r"run --rm topics ([a-z-]+)", text)
    commands += re.findall(r"duoshou ([a-z-]+) --", text)
    assert set(commands) <= set(COMMANDS)
    settings = re.findall(r"DUOSHOU_([A-Z_]+)", text)
    assert {name.lower() for name in settings} <= set(Settings.model_fields)
    assert set(metrics_in(text)) <= exported()
    services = re.findall(
        r"docker compose -f deploy/compose\.yaml [a-z]+ (?:--all |--tail 50 |-d )?([a-z]+)", text
    )
    assert set(services) <= {"kafka", "topics", "worker", "trainer"}


def test_every_recorded_series_is_used_and_every_used_one_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = {name for rule in rules() for name in recorded_in(rule["expr"])}
    assert recorded == used
