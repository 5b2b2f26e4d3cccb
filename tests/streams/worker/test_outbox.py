import asyncio
from typing import Any

from streams.wire.encode import EncodedBatch, encode_messages
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


def a_batch() -> EncodedBatch:
    return encode_messages([(b"m", b"{}")], "none")[0]


async def test_a_batch_is_owed_until_the_broker_has_it() -> None:
    broker = SlowBroker()
    outbox = Outbox(lambda: broker)  # type: ignore[arg-type,return-value]
    told: list[str] = []
    await outbox.publish(3, "out", 0, a_batch(), lambda: told.append("acknowledged"))
    await asyncio.sleep(0)
    assert len(outbox.owed(3)) == 1
    assert outbox.owed(4) == set()

    broker.futures[0].set_result(None)
    await asyncio.gather(*outbox.owed(3))

    assert outbox.owed(3) == set()
    assert told == ["acknowledged"]


async def test_a_batch_is_owed_before_the_producer_has_taken_it() -> None:
    broker = SlowBroker()
    broker.open.clear()
    outbox = Outbox(lambda: broker)  # type: ignore[arg-type,return-value]
    await outbox.publish(0, "out", 0, a_batch())
    await asyncio.sleep(0)
    assert broker.taken == []
    assert len(outbox.owed(0)) == 1


async def test_the_batches_of_a_partition_keep_their_order() -> None:
    broker = SlowBroker()
    outbox = Outbox(lambda: broker)  # type: ignore[arg-type,return-value]
    batches = [a_batch() for _ in range(5)]
    for batch in batches:
        await outbox.publish(0, "out", 1, batch)
    await asyncio.sleep(0.01)
    assert [taken[2] for taken in broker.taken] == batches


async def test_a_full_lane_makes_only_its_own_payments_wait() -> None:
    broker = SlowBroker()
    broker.open.clear()
    outbox = Outbox(lambda: broker)  # type: ignore[arg-type,return-value]

    async def fill() -> None:
        for _ in range(LANE + 2):
            await outbox.publish(0, "out", 0, a_batch())

    filling = asyncio.create_task(fill())
    await asyncio.sleep(0.05)
    assert not filling.done()
    await asyncio.wait_for(outbox.publish(0, "out", 1, a_batch()), 1)
    broker.open.set()
    await asyncio.wait_for(filling, 1)


async def test_a_refused_batch_ends_the_process(monkeypatch: Any) -> None:
    broker = SlowBroker()
    outbox = Outbox(lambda: broker)  # type: ignore[arg-type,return-value]
    ended: list[str] = []
    monkeypatch.setattr(module, "end_process", lambda sentence, error: ended.append(sentence))
    await outbox.publish(0, "out", 7, a_batch())
    await asyncio.sleep(0)
    broker.futures[0].set_exception(RuntimeError("refused"))
    await asyncio.sleep(0.01)
    assert ended == ["records could not be written to out-7"]
