"""Workers that start again: after a failure of the infrastructure, for nothing, and all at once."""

import time
from pathlib import Path

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource

from streams.brokers.clients import consumer_settings
from streams.brokers.dead_letters import read_dead_letters
from streams.brokers.provision import administration
from streams.ending import EXIT_CODE
from streams.settings import Settings
from tests.faults.conftest import MakeSettings, Quiet
from tests.faults.crew import Crew
from tests.faults.ledger import Writer, write
from tests.faults.outcome import Positions, await_committed, read_outcome
from tests.faults.payments import MERCHANT, nonsense, payments

RESTARTS = 3
LAG_REPORTED_AFTER_S = 2.5
RATE = 800.0


def test_a_dead_letter_that_cannot_be_written_is_not_skipped(
    settings_of: MakeSettings, tmp_path: Path
) -> None:
    settings = settings_of(partitions=1)
    write(settings, [*payments(1, 4), nonsense(), *payments(6, 4)])
    let_dead_letters_be_written(settings, False)
    with Crew(settings, tmp_path) as crew, Positions(settings) as positions:
        for _ in range(2):
            assert crew.await_end(crew.start(), 60) == EXIT_CODE
            assert positions.committed()[0] <= 4, "the record that failed counts as done"
        let_dead_letters_be_written(settings, True)
        crew.start()
        await_committed(settings, 60)
        crew.check()
    assert read_outcome(settings).account(MERCHANT).payments == 8
    assert [letter.why.offset for letter in read_dead_letters(settings)] == ["4"]


def let_dead_letters_be_written(settings: Settings, writable: bool) -> None:
    limit = "1048588" if writable else "1"
    topic = settings.topics.dead_letters.name
    with administration(settings) as admin:
        admin.alter_configs([ConfigResource("topic", topic, {"max.message.bytes": limit})])


def test_restarts_without_input_change_nothing(settings_of: MakeSettings, tmp_path: Path) -> None:
    settings = settings_of()
    write(settings, payments(1, 100))
    with Crew(settings, tmp_path) as crew, Positions(settings) as positions:
        crew.start()
        await_committed(settings, 60)
        crew.dismiss(crew.workers[0])
        before = read_outcome(settings)
        assert before.account(MERCHANT).payments == 100
        for number in range(RESTARTS):
            crew.start().await_ready()
            if number == 0:
                time.sleep(LAG_REPORTED_AFTER_S)
                # Else the worker would count as stuck, and be restarted for ever.
                assert crew.workers[0].metric("duoshou_lag_records") == 0
            crew.dismiss(crew.workers[0])
            assert positions.committed() == positions.ends()
        assert read_outcome(settings) == before

        reset_to_latest(settings)
        write(settings, payments(101, 2))
        crew.start()
        await_committed(settings, 60)
    assert read_outcome(settings).account(MERCHANT).payments == 102


def reset_to_latest(settings: Settings) -> None:
    """Commit where the log ends, as an operator does with Kafka's own tools; nobody may run."""
    consumer = KafkaConsumer(
        **consumer_settings(settings), group_id=settings.topics.application_id,
        enable_auto_commit=False,
    )  # fmt: skip
    log = [TopicPartition(settings.topics.payments.name, n) for n in range(settings.partitions)]
    consumer.assign(log)
    ends = consumer.end_offsets(log)
    consumer.commit({tp: OffsetAndMetadata(end, "", -1) for tp, end in ends.items()})
    consumer.close()


def test_three_workers_that_start_together_all_recover(
    quiet: Quiet, settings_of: MakeSettings, tmp_path: Path
) -> None:
    settings = settings_of(checkpoint_interval_s=0.1, log_level="DEBUG")
    half = len(quiet.log) // 2
    with Crew(settings, tmp_path) as crew:
        crew.start().await_ready()
        write(settings, quiet.log[:half])
        await_committed(settings)
        crew.dismiss(crew.workers[0])

        with Writer(settings, quiet.log[half:], RATE) as writer:
            for _ in range(2):
                crew.start()
                time.sleep(1.0)
            assert crew.kill_in_recovery(crew.start()), "it had recovered already"
            crew.start()
            for worker in crew.workers:
                worker.await_ready()
            assert writer.writing(), "they must recover under load: lower the rate"
            writer.finish()
            await_committed(settings)
            crew.check()
    quiet.assert_left_by(settings)
