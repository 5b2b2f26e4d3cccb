import asyncio
from functools import partial
from typing import Any

from streams.wire.batches import HEADER_BYTES
from streams.wire.encode import EncodedBatch, Message
from streams.worker import outbox as module
from streams.worker.outbox import LANE, Outbox


class SlowBroker:
    """A producer whose batches are acknowledged when the test says so."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int, EncodedBatch]] = []
        self.futures: list[asyncio.Future[Any]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def send_batch(self, batch: EncodedBatch, topic: str, partition: int) -> Any:
        await self.open.wait()
        self.taken.append((topic, partition, batch))
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]


A_MESSAGE: list[Message] = [(b"m", b"{}")]


def outbox_on(broker: SlowBroker) -> Outbox:
    return Outbox(lambda: broker, "none")  # type: ignore[arg-type,return-value]


async def test_what_is_published_is_owed_until_the_broker_has_it() -> None:
    broker = SlowBroker()
    outbox = outbox_on(broker)
    told: list[str] = []
    await outbox.publish_all(3, {("out", 0): A_MESSAGE}, lambda: told.append("acknowledged"))
    await asyncio.sleep(0)
    assert len(outbox.owed(3)) == 1
    assert outbox.owed(4) == set()

    broker.futures[0].set_result(None)
    await asyncio.gather(*outbox.owed(3))

    assert outbox.owed(3) == set()
    assert told == ["acknowledged"]


async def test_what_is_published_at_once_is_owed_until_the_broker_has_all_of_it() -> None:
    broker = SlowBroker()
    counts: list[tuple[str, int]] = []
    outbox = Outbox(
        lambda: broker,  # type: ignore[arg-type,return-value]
        "none",
        lambda topic, n: counts.append((topic, n)),
    )
    told: list[str] = []
    messages = {("out", 0): A_MESSAGE, ("in", 1): 2 * A_MESSAGE, ("none", 0): []}
    await outbox.publish_all(3, messages, lambda: told.append("acknowledged"))
    assert [(topic, partition) for topic, partition, _ in broker.taken] == [("out", 0), ("in", 1)]
    assert len(outbox.owed(3)) == 1
    broker.futures[1].set_result(None)
    await asyncio.sleep(0.01)
    assert (counts, told) == ([("in", 2)], [])
    assert len(outbox.owed(3)) == 1
    broker.futures[0].set_result(None)
    await asyncio.sleep(0.01)
    assert (counts, told) == ([("in", 2), ("out", 1)], ["acknowledged"])
    assert outbox.owed(3) == set()


async def test_what_finds_its_lane_idle_is_written_before_the_loop_turns() -> None:
    broker = SlowBroker()
    outbox = outbox_on(broker)
    for partition in range(2):
        await outbox.publish(0, "out", partition, A_MESSAGE)
    await outbox.publish(0, "out", 1, A_MESSAGE)
    assert [partition for _, partition, _ in broker.taken] == [0, 1]

    for future in list(broker.futures):
        future.set_result(None)
    await asyncio.sleep(0.01)
    broker.futures[2].set_result(None)
    await asyncio.sleep(0.01)
    await outbox.publish(0, "out", 1, A_MESSAGE)
    assert [partition for _, partition, _ in broker.taken] == [0, 1, 1, 1]


async def test_what_is_published_is_owed_before_the_producer_has_taken_it() -> None:
    broker = SlowBroker()
    broker.open.clear()
    outbox = outbox_on(broker)
    await outbox.publish(0, "out", 0, A_MESSAGE)
    await asyncio.sleep(0)
    assert broker.taken == []
    assert len(outbox.owed(0)) == 1


async def test_what_comes_while_the_broker_is_awaited_leaves_together_and_in_order() -> None:
    broker = SlowBroker()
    outbox = outbox_on(broker)
    told: list[int] = []
    for n in range(5):
        messages: list[Message] = [(b"m", str(n).encode())]
        await outbox.publish_all(n, {("out", 1): messages}, partial(told.append, n))
        await asyncio.sleep(0)
    assert [batch.record_count() for _, _, batch in broker.taken] == [1]
    broker.futures[0].set_result(None)
    await asyncio.sleep(0.01)
    assert [batch.record_count() for _, _, batch in broker.taken] == [1, 4]
    assert told == [0]
    values = bytes(broker.taken[1][2]._build())
    # Behind the batch's header, whose checksum may be any bytes.
    places = [values.index(f"\x02{n}".encode(), HEADER_BYTES) for n in range(1, 5)]
    assert places == sorted(places)
    broker.futures[1].set_result(None)
    await asyncio.gather(*(each for n in range(5) for each in outbox.owed(n)))
    assert told == [0, 1, 2, 3, 4]


async def test_a_full_lane_makes_only_its_own_payments_wait() -> None:
    broker = SlowBroker()
    broker.open.clear()
    outbox = outbox_on(broker)

    async def fill() -> None:
        for _ in range(2 * LANE):
            await outbox.publish(0, "out", 0, A_MESSAGE)

    filling = asyncio.create_task(fill())
    await asyncio.sleep(0.05)
    assert not filling.done()
    await asyncio.wait_for(outbox.publish(0, "out", 1, A_MESSAGE), 1)
    broker.open.set()
    await asyncio.sleep(0.01)
    broker.futures[0].set_result(None)
    await asyncio.wait_for(filling, 1)


async def test_what_is_promised_is_owed_until_it_is_said_to_be_done() -> None:
    broker = SlowBroker()
    outbox = outbox_on(broker)
    promised = outbox.promise(3)
    done = partial(promised.set_result, None)
    await outbox.publish_all(None, {("out", 0): A_MESSAGE}, done)
    assert outbox.owed(3) == {promised}
    broker.futures[0].set_result(None)
    await asyncio.wait_for(asyncio.gather(*outbox.owed(3)), 1)
    await asyncio.sleep(0)
    assert outbox.owed(3) == set()


async def test_a_refused_batch_ends_the_process(monkeypatch: Any) -> None:
    broker = SlowBroker()
    outbox = outbox_on(broker)
    ended: list[str] = []
    monkeypatch.setattr(module, "end_process", lambda sentence, error: ended.append(sentence))
    await outbox.publish(0, "out", 7, A_MESSAGE)
    await asyncio.sleep(0)
    broker.futures[0].set_exception(RuntimeError("refused"))
    await asyncio.sleep(0.01)
    assert ended == ["records could not be written to out-7"]


async def test_a_producer_that_has_failed_ends_the_process(monkeypatch: Any) -> None:
    def failed() -> Any:
        raise RuntimeError("failed")

    ended: list[str] = []
    monkeypatch.setattr(module, "end_process", lambda sentence, error: ended.append(sentence))
    await Outbox(failed, "none").publish(0, "out", 7, A_MESSAGE)
    assert ended == ["records could not be written to out-7"]
