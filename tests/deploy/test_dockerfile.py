"""The Dockerfile's parts exist and its commands run; no container engine is needed."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from streams.observability import Health, Metrics, serve
from tests.deploy.shipped import DEPLOY, ROOT

DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = re.sub(r"\\\n\s*", "", DOCKERFILE).splitlines()


def arguments_of(instruction: str) -> list[str]:
    """What follows an instruction, once for every time that it stands there."""
    return [
        line.removeprefix(instruction).strip()
        for line in INSTRUCTIONS
        if line.startswith(f"{instruction} ")
    ]


def copied() -> list[str]:
    """What is copied from the project into the image."""
    lists = [line.split() for line in arguments_of("COPY") if not line.startswith("--from")]
    return [source for sources in lists for source in sources[:-1]]


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_exists(source: str) -> None:
    assert (ROOT / source).exists()


def test_what_is_copied_is_let_through_by_the_ignore_file() -> None:
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignore
    assert {line[1:] for line in ignore if line.startswith("!")} == set(copied())


def test_every_package_of_the_project_is_copied() -> None:
    packages = {
        path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"
    }
    assert packages <= set(copied())
    assert packages == {"features", "scorers", "streams"}


def test_dependencies_are_pinned_by_hash() -> None:
    assert any("--require-hashes" in line for line in arguments_of("RUN"))
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    names = re.findall(r"^([a-z0-9][\w.\[\]-]*)==", pins, re.MULTILINE)
    assert "faust-streaming" in names
    # `--no-build-isolation` builds the project with what was pinned.
    assert "setuptools" in names


def test_modules_that_are_run_while_building_exist() -> None:
    modules = re.findall(r"python -P -m (streams[\w.]+)", DOCKERFILE)
    assert modules == ["streams.compile_kernels"]
    assert importlib.util.find_spec(modules[0]) is not None


def test_the_image_does_not_run_as_root() -> None:
    assert arguments_of("USER") == ["10001:10001"]


def test_the_python_is_one_that_the_project_supports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = set(re.findall(r"FROM python:(\d\.\d+)-", DOCKERFILE))
    assert len(versions) == 1
    assert f"Programming Language :: Python :: {versions.pop()}" in project["classifiers"]


def test_the_command_is_one_of_ours() -> None:
    (entrypoint,) = (json.loads(line) for line in arguments_of("ENTRYPOINT"))
    (command,) = (json.loads(line) for line in arguments_of("CMD"))
    done = subprocess.run(
        [Path(sys.executable).parent / entrypoint[0], *entrypoint[1:], *command, "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "--bootstrap-servers" in done.stdout


def healthcheck(port: int) -> int:
    """The exit code of the image's health check against a page on that port."""
    (line,) = arguments_of("HEALTHCHECK")
    command = json.loads(line.partition("CMD ")[2])
    done = subprocess.run(
        [sys.executable, *command[1:]],
        env={"DUOSHOU_METRICS_PORT": str(port)},
        capture_output=True,
        check=False,
        timeout=30,
    )
    return done.returncode


def test_the_health_check_follows_livez() -> None:
    now = 0.0
    metrics = Metrics(Health(liveness_timeout_s=60, clock=lambda: now))
    with serve(metrics, port=0) as server:
        metrics.lag("payments", 0, records=1, seconds=1.0)
        assert healthcheck(server.port) == 0
        now = 61.0
        assert healthcheck(server.port) == 1
    assert healthcheck(server.port) == 1, "a worker that does not answer is not healthy"
