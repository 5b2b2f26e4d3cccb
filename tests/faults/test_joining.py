"""Workers join and leave under load, as in every deployment."""

import time
from pathlib import Path

import pytest

from tests.faults.conftest import MakeSettings, Quiet
from tests.faults.crew import Crew
from tests.faults.ledger import Writer
from tests.faults.outcome import await_committed

ROUNDS = 2
RATE = 1_000.0


@pytest.mark.parametrize("standby_replicas", [0, 1])
def test_workers_that_join_and_leave_change_nothing(
    standby_replicas: int, quiet: Quiet, settings_of: MakeSettings, tmp_path: Path
) -> None:
    settings = settings_of(standby_replicas=standby_replicas)
    with Crew(settings, tmp_path) as crew, Writer(settings, quiet.log, RATE) as writer:
        crew.start().await_ready()
        for _ in range(ROUNDS):
            crew.start().await_ready()
            time.sleep(1.0)
            # The older one goes, so that every partition changes hands again and again.
            crew.dismiss(crew.workers[0])
        crew.start()
        assert writer.writing(), "they must come and go under load: lower the rate"
        writer.finish()
        await_committed(settings)
        crew.check()
    quiet.assert_left_by(settings)
