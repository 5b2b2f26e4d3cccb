"""The jars of Apache Kafka's server, from Maven Central into a cache directory."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from streams.errors import BrokerError

KAFKA_VERSION = "4.3.1"
SCALA_VERSION = "2.13"
# The version of slf4j-api that Kafka brings; without a binding the broker logs nothing.
SLF4J_VERSION = "1.7.36"
DOWNLOAD_TIMEOUT_S = 600

_ARTIFACTS = (
    ("org.apache.kafka", f"kafka_{SCALA_VERSION}", KAFKA_VERSION),
    ("org.apache.kafka", "kafka-tools", KAFKA_VERSION),
    ("org.slf4j", "slf4j-simple", SLF4J_VERSION),
)


def missing_programs() -> list[str]:
    """Which of the programs that Apache Kafka needs here are not installed."""
    return [program for program in ("java", "mvn") if shutil.which(program) is None]


def server_jars(cache: Path | None = None) -> Path:
    """The folder of the server's jars (54 MB); downloaded by Maven the first time.

    Args:
        cache: Folder to keep it in, `~/.cache/duoshou` by default.

    Raises:
        BrokerError: Java or Maven is missing, or the download failed.
    """
    home = cache or Path("~/.cache/duoshou").expanduser()
    jars = home / f"kafka-{KAFKA_VERSION}"
    if missing := [each for each in missing_programs() if each == "java" or not jars.is_dir()]:
        raise BrokerError(
            f"Apache Kafka needs {' and '.join(missing)}: install them (on Debian: apt-get install "
            "default-jre-headless maven), or name a running broker with --bootstrap-servers."
        )
    if not jars.is_dir():
        _download(home, jars)
    return jars


def _download(home: Path, jars: Path) -> None:
    """Fill a folder beside the target and rename it, so that a half-full one is never used."""
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix=f"{jars.name}.") as work:
        project = Path(work, "pom.xml")
        project.write_text(_project(), encoding="utf-8")
        libraries = Path(work, "jars")
        try:
            done = subprocess.run(
                [
                    *("mvn", "-q", "-B", "-f", str(project), "dependency:copy-dependencies"),
                    *(f"-DoutputDirectory={libraries}", "-DincludeScope=runtime"),
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=DOWNLOAD_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BrokerError(
                f"Maven did not deliver Apache Kafka within {DOWNLOAD_TIMEOUT_S} s: check the "
                "network and try again."
            ) from None
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip().splitlines() or ["nothing"]
            raise BrokerError(f"Maven could not deliver Apache Kafka, it said: {said[0]}")
        try:
            os.rename(libraries, jars)  # noqa: PTH104 (Path.rename would move into a folder)
        except OSError:
            if not jars.is_dir():
                raise


def _project() -> str:
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
        f"<version>{version}</version></dependency>"
        for group, artifact, version in _ARTIFACTS
    )
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>duoshou</groupId>"
        f"<artifactId>server-jars</artifactId><version>1</version>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )
