"""How long what waits in the log has waited, and what a decision says of its way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from faust.types import TP

from features.calendar import load_zone
from scorers.catalogue import BEGINNING
from scorers.partition import Partition
from streams.contract.examples import EXAMPLES
from streams.contract.messages import Relayed
from streams.state.holding import CheckpointRecord, Holding
from streams.transport.inputs import NOTHING
from streams.wire.encode import Message, encode_messages
from streams.worker.delay import log_delay_ms, note_caught_up
from streams.worker.payments import stages_of
from streams.worker.relayed import Arrival, Decided
from tests.streams.lender.updates import decision
from tests.streams.worker.test_relayed import read

NOW = 1_760_000_000_000


class StubApp:
    """A worker that owns partition 0, with so many records behind the last one applied."""

    def __init__(self) -> None:
        self.holding = Holding(0, Partition(load_zone("Asia/Shanghai")))
        self.holding.active = True
        self.lag = 0
        self.holdings = SimpleNamespace(
            active=lambda: [self.holding], get={0: self.holding}.get
        )  # fmt: skip

    def input_tp(self, partition: int) -> TP:
        return TP("payments", partition)

    def lag_records(self, tp: TP) -> int:
        return self.lag

    def note(self, now: int) -> None:
        note_caught_up(self, now)  # type: ignore[arg-type]

    def delay(self, now: int, number: int = 0) -> int | None:
        return log_delay_ms(self, number, now)  # type: ignore[arg-type]


@pytest.fixture
def app() -> StubApp:
    return StubApp()


def test_where_nothing_waits_there_is_no_delay_however_old_the_newest_record(
    app: StubApp,
) -> None:
    app.holding.newest_timestamp = NOW - 3_600_000
    assert app.delay(NOW) == 0


def test_what_came_to_a_quiet_partition_has_waited_since_it_was_quiet(app: StubApp) -> None:
    app.holding.newest_timestamp = NOW - 3_600_000
    app.note(NOW - 80)
    app.lag = 1
    app.note(NOW - 20)
    assert app.delay(NOW) == 80


def test_under_a_steady_load_the_newest_record_applied_says_it(app: StubApp) -> None:
    app.note(NOW - 3_600_000)
    app.lag = 5_000
    app.holding.newest_timestamp = NOW - 700
    assert app.delay(NOW) == 700
    app.holding.newest_timestamp = NOW + 700
    assert app.delay(NOW) == 0


def test_it_is_not_known_before_anything_was_applied_nor_of_anothers_partition(
    app: StubApp,
) -> None:
    app.lag = 3
    assert app.delay(NOW) is None
    assert app.delay(NOW, number=1) is None
    app.lag = 0
    app.holding.active = False
    assert app.delay(NOW) is None


def test_a_partition_that_was_taken_over_is_not_taken_for_caught_up(app: StubApp) -> None:
    # Until the first fold has come, its lag reads 0.
    app.holding.checkpoint = CheckpointRecord(NOTHING + 10, {}, 0, BEGINNING)
    app.holding.log_end = 500
    app.note(NOW - 20)
    assert app.delay(NOW) is None
    app.holding.newest_timestamp = NOW - 9_000
    assert app.delay(NOW) == 9_000
    app.holding.applied = 499
    assert app.delay(NOW) == 0


(ENVELOPE,) = (each for each in EXAMPLES[Relayed] if isinstance(each, Relayed))


@pytest.mark.parametrize(
    ("changes", "timestamp", "waited"),
    [
        ({"relayed_at": NOW + 400, "log_delay_ms": 600}, NOW, 1_000),
        ({"relayed_at": NOW + 400, "log_delay_ms": None}, NOW, 400),
        ({"relayed_at": NOW - 400, "log_delay_ms": 30}, NOW, 30),
        ({"relayed_at": None, "log_delay_ms": 30}, NOW, 0),
        ({"relayed_at": NOW, "log_delay_ms": 30}, -1, 0),
    ],
)
def test_an_event_has_waited_what_its_envelope_and_its_timestamp_say(
    changes: dict[str, Any], timestamp: int, waited: int
) -> None:
    envelope = msgspec.structs.replace(ENVELOPE, **changes)
    message: Message = (b"m1", msgspec.json.encode(envelope), [], timestamp)
    fold = read(encode_messages([message], compression="none")[0])
    arrival = Arrival(StubApp().holding, fold, 0, envelope)
    assert (arrival.sent_at, arrival.waited_ms) == (timestamp, waited)


def test_the_stages_of_a_decision_add_up_to_its_total() -> None:
    envelope = msgspec.structs.replace(ENVELOPE, relayed_at=NOW + 7)
    decided = Decided(NOW, envelope, decision("m1", "a1"))
    assert stages_of(decided, NOW + 19.5, NOW + 21.75) == {
        "to_log": 7.0, "in_log": 12.5, "apply": 2.25, "total": 21.75,
    }  # fmt: skip


def test_an_envelope_that_does_not_say_when_it_was_relayed_has_a_total_only() -> None:
    envelope = msgspec.structs.replace(ENVELOPE, relayed_at=None)
    decided = Decided(NOW, envelope, decision("m1", "a1"))
    assert stages_of(decided, NOW + 19.5, NOW + 21.5) == {"total": 21.5}


def test_an_envelope_of_an_earlier_release_is_read_and_written_as_it_was() -> None:
    old = (
        b'{"kind":"relayed","merchant_id":null,"topic":"payments","partition":2,"offset":41,'
        b'"event":{"n":2}}'
    )
    envelope = msgspec.json.decode(old, type=Relayed)
    assert (envelope.relayed_at, envelope.log_delay_ms) == (None, None)
    assert msgspec.json.encode(envelope) == old
