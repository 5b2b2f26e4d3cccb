"""What the tests of deploy/ need of the machine."""

import pytest

from tests.prometheus_server import program


@pytest.fixture(scope="session")
def promtool() -> str:
    """Path of promtool."""
    return program("promtool")
