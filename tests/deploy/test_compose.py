"""compose.yaml, read by the real compose parser."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.settings import Settings
from tests.deploy.shipped import DEPLOY

COMPOSE = DEPLOY / "compose.yaml"


def docker_compose(file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "docker-compose", "-f", file, "config", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services with everything filled in."""
    done = docker_compose(COMPOSE, "--format", "json")
    assert done.returncode == 0, done.stderr
    configuration: dict[str, Any] = json.loads(done.stdout)["services"]
    return configuration


def test_it_is_valid_without_a_word_of_warning() -> None:
    done = docker_compose(COMPOSE, "-q")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_parser_would_have_noticed(tmp_path: Path) -> None:
    broken = tmp_path / "compose.yaml"
    broken.write_text(COMPOSE.read_text().replace("depends_on:", "depends_up:", 1))
    assert docker_compose(broken, "-q").returncode != 0


def test_nothing_is_published_beyond_loopback(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}


def test_two_workers_start_once_the_topics_are_there(services: dict[str, Any]) -> None:
    worker = services["worker"]
    assert worker["deploy"]["replicas"] == 2
    assert worker["depends_on"]["topics"]["condition"] == "service_completed_successfully"
    assert services["topics"]["depends_on"]["kafka"]["condition"] == "service_healthy"


def test_one_trainer_starts_as_a_worker_does(services: dict[str, Any]) -> None:
    worker, trainer = services["worker"], services["trainer"]
    assert trainer["command"] == ["trainer"]
    assert trainer["deploy"]["replicas"] == 1
    differs = {
        name for name in worker.keys() | trainer.keys() if worker.get(name) != trainer.get(name)
    }
    assert differs == {"command", "deploy"}


def test_prometheus_looks_for_the_services_that_there_are(services: dict[str, Any]) -> None:
    configuration = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    found = {
        job["job_name"]: job["dns_sd_configs"][0]["names"][0]
        for job in configuration["scrape_configs"]
    }
    assert found == {"duoshou": "worker", "duoshou-trainer": "trainer"}
    assert set(found.values()) <= set(services)


@pytest.mark.parametrize("name", ["worker", "trainer"])
def test_a_process_understands_its_environment(
    services: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in services[name]["environment"].items():
        monkeypatch.setenv(variable, value)
        assert variable.removeprefix("DUOSHOU_").lower() in Settings.model_fields
    settings = Settings()
    assert settings.bootstrap_servers == "kafka:9092"
    assert settings.metrics_host == "0.0.0.0"


def test_all_processes_hear_of_the_same_lenders(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(configured: dict[str, Any]) -> set[str]:
        ours = ("topics", "worker", "trainer")
        return {configured[name]["environment"]["DUOSHOU_LENDERS"] for name in ours}

    assert told(services) == {'["platform"]'}
    monkeypatch.setenv("DUOSHOU_LENDERS", '["platform", "harbour"]')
    done = docker_compose(COMPOSE, "--format", "json")
    (said,) = told(json.loads(done.stdout)["services"])
    monkeypatch.setenv("DUOSHOU_LENDERS", said)
    topics = {topic.name for topic in Settings().topics}
    assert {"decisions.harbour", "limit-updates.harbour", "fund-answers.platform"} <= topics


def test_what_is_mounted_exists(services: dict[str, Any]) -> None:
    mounted = [
        Path(volume["source"])
        for service in services.values()
        for volume in service.get("volumes", [])
        if volume["type"] == "bind"
    ]
    assert len(mounted) == 3
    for path in mounted:
        assert path.exists(), path
        assert path.is_relative_to(DEPLOY)


def test_every_image_names_its_version(services: dict[str, Any]) -> None:
    for name, service in services.items():
        tag = service["image"].partition(":")[2]
        assert tag, name
        assert tag != "latest", name
