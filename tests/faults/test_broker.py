"""The broker goes away under load and comes back."""

import time
from pathlib import Path

from streams.brokers.apache import ApacheKafka
from streams.brokers.provision import apply_topics
from tests.faults.conftest import Quiet, faulty_settings
from tests.faults.crew import Crew
from tests.faults.ledger import Writer
from tests.faults.outcome import await_committed

RATE = 1_500.0
AWAY_S = 15.0
CAUGHT_UP_WITHIN_S = 60.0


def test_a_broker_that_was_away_costs_no_payment(quiet: Quiet, tmp_path: Path) -> None:
    with ApacheKafka(tmp_path / "kafka") as broker:
        settings = faulty_settings(broker.bootstrap_servers, "interrupted.")
        apply_topics(settings)
        with Crew(settings, tmp_path) as crew, Writer(settings, quiet.log, RATE) as writer:
            for worker in [crew.start(), crew.start()]:
                worker.await_ready()
            time.sleep(3.0)
            broker.stop()
            time.sleep(AWAY_S)
            assert writer.writing(), "the broker must go away under load: lower the rate"
            broker.start()
            writer.finish()
            # Whoever cannot go on ends, and says so; then its supervisor starts it again.
            await_committed(settings, CAUGHT_UP_WITHIN_S, meanwhile=crew.replace_ended)
        quiet.assert_left_by(settings)
