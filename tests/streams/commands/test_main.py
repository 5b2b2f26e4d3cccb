import subprocess
import sys
from importlib.metadata import version

import pytest

from streams.commands.main import COMMANDS


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streams.commands.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_names_every_command_with_its_summary() -> None:
    done = run("--help")
    assert done.returncode == 0
    flat = " ".join(done.stdout.replace("│", " ").split())
    for name, registered in COMMANDS.items():
        assert f"{name} {registered.summary}" in flat


def test_help_loads_no_command() -> None:
    code = (
        "import sys; sys.argv = ['duoshou', '--help']\n"
        "from streams.commands.main import run\n"
        "try: run()\n"
        "except SystemExit: pass\n"
        "heavy = {'numba', 'numpy', 'kafka', 'aiokafka', 'faust', 'polars', 'pydantic'}\n"
        "heavy |= {'matplotlib', 'river'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_version_is_that_of_the_distribution() -> None:
    assert run("--version").stdout.strip() == f"duoshou {version('duoshou')}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_registered_command_says_how_it_is_used(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"duoshou {name}" in done.stdout


def test_an_unknown_command_is_refused() -> None:
    done = run("fly")
    assert done.returncode == 2
    assert "No such command 'fly'" in done.stderr
