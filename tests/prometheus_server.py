"""A real Prometheus (Debian's package) on a port of loopback, for tests."""

import json
import os
import shutil
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from streams.brokers.process import ServerProcess, free_port

SCRAPE_INTERVAL_S = 0.5


def program(name: str) -> str:
    """Path of a program of Debian's `prometheus` package; skips the test where it is absent."""
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is not installed (apt-get install prometheus)"
        if os.environ.get("DUOSHOU_REQUIRE_KAFKA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


class PrometheusServer:
    """Scrapes workers and trainers, as deploy/ does, and answers queries. A context manager.

    Args:
        directory: where it keeps its configuration, data and log.
        targets: by job, each as host:port.
        rules: rule files to evaluate.
    """

    def __init__(self, directory: Path, targets: dict[str, list[str]], rules: list[Path]) -> None:
        port = free_port()
        configuration = directory / "prometheus.yml"
        configuration.write_text(
            yaml.safe_dump(
                {
                    "global": {
                        "scrape_interval": f"{SCRAPE_INTERVAL_S * 1000:.0f}ms",
                        "scrape_timeout": f"{SCRAPE_INTERVAL_S * 1000:.0f}ms",
                        "evaluation_interval": "1s",
                    },
                    "rule_files": [str(path) for path in rules],
                    "scrape_configs": [
                        {"job_name": job, "static_configs": [{"targets": pages}]}
                        for job, pages in targets.items()
                    ],
                }
            ),
            encoding="utf-8",
        )
        self.url = f"http://127.0.0.1:{port}"
        self._process = ServerProcess(
            "Prometheus",
            [
                program("prometheus"),
                f"--config.file={configuration}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            directory / "prometheus.log",
            port,
        )

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.stop()

    def get(self, path: str, **parameters: str) -> Any:
        """The ``data`` of an answer of its API; an error says what Prometheus said."""
        try:
            with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=10) as answer:
                return json.load(answer)["data"]
        except HTTPError as refusal:
            with refusal:
                raise AssertionError(refusal.read().decode()) from None

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression returns now."""
        series: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return series

    def await_data(self, expressions: dict[str, str], timeout_s: float) -> dict[str, str]:
        """Wait until every expression returns a number; what is still without one at the end."""
        missing = dict(expressions)
        end = monotonic() + timeout_s
        while missing and monotonic() < end:
            sleep(SCRAPE_INTERVAL_S)
            missing = {
                name: expression
                for name, expression in missing.items()
                if not any(one["value"][1] != "NaN" for one in self.query(expression))
            }
        return missing
