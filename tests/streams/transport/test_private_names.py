"""Names that are not public and that the transport leans on; a new release may move them."""

import asyncio
import inspect

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.consumer import fetcher
from aiokafka.producer.message_accumulator import MessageBatch
from faust.app import App
from faust.stores.base import Store
from faust.streams import Stream
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer, ThreadDelegateConsumer
from faust.transport.drivers import aiokafka as driver
from mode.services import Service
from mode.threads import ServiceThread

from streams.transport.fetching import _KafkaFetchResult, _KafkaPartitionRecords

PARAMETERS = {
    driver.Consumer._new_consumer_thread: ["self"],
    driver.Consumer._to_message: ["self", "tp", "record"],
    driver.AIOKafkaConsumerThread._create_worker_consumer: ["self", "transport"],
    driver.AIOKafkaConsumerThread.commit: ["self", "offsets"],
    driver.AIOKafkaConsumerThread.getmany: ["self", "active_partitions", "timeout"],
    driver.AIOKafkaConsumerThread._ensure_consumer: ["self"],
    driver.Producer._settings_extra: ["self"],
    driver.Producer._new_producer: ["self", "transactional_id"],
    Service.wait_first: ["self", "coros", "timeout"],
    Service.sleep: ["self", "n"],
    Consumer._add_gap: ["self", "tp", "offset_from", "offset_to"],
    Consumer.commit: ["self", "topics", "start_new_transaction"],
    Consumer.on_buffer_full: ["self", "tp"],
    Consumer.on_buffer_drop: ["self", "tp"],
    Consumer.on_partitions_revoked: ["self", "revoked"],
    Consumer.verify_event_path: ["self", "now", "tp"],
    Consumer.perform_seek: ["self"],
    ThreadDelegateConsumer.seek_to_committed: ["self"],
    ThreadDelegateConsumer.seek_wait: ["self", "partitions"],
    ThreadDelegateConsumer._getmany: ["self", "active_partitions", "timeout"],
    ThreadDelegateConsumer.earliest_offsets: ["self", "partitions"],
    Store.persisted_offset: ["self", "tp"],
    Store.apply_changelog_batch: ["self", "batch", "to_key", "to_value"],
    Store.on_rebalance: ["self", "assigned", "revoked", "newly_assigned", "generation_id"],
    Recovery.on_recovery_completed: ["self", "generation_id"],
    AIOKafkaProducer.send_batch: ["self", "batch", "topic", "partition"],
    # The module may have put its own in front of aiokafka's.
    _KafkaPartitionRecords.__init__: [
        "self",
        "tp",
        "records",
        "aborted_transactions",
        "fetch_offset",
        "key_deserializer",
        "value_deserializer",
        "check_crcs",
        "isolation_level",
    ],
}


@pytest.mark.parametrize("function", PARAMETERS, ids=lambda f: f.__qualname__)
def test_a_function_still_takes_the_parameters_we_rely_on(function: object) -> None:
    # Faust wraps some methods for its state machine; the wrapped function has the names.
    parameters = list(inspect.signature(inspect.unwrap(function)).parameters)  # type: ignore[arg-type]
    assert parameters == PARAMETERS[function]


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (
            AIOKafkaConsumer.__init__,
            ["_fetch_max_wait_ms", "_isolation_level", "_key_deserializer"],
        ),
        (AIOKafkaConsumer.start, ["_fetch_max_wait_ms", "_isolation_level", "_key_deserializer"]),
        (
            fetcher.Fetcher._proc_fetch_request,
            ["MemoryRecords(", "PartitionRecords(", "FetchResult("],
        ),
        (
            _KafkaFetchResult.getall,
            ["_partition_records", "check_assignment(", "_update_position()"],
        ),
        (_KafkaFetchResult.check_assignment, ["next_fetch_offset"]),
        (fetcher.Fetcher.fetched_records, ["type(res_or_error) is FetchResult", "has_more()"]),
        (
            fetcher.Fetcher._fetch_requests_routine,
            ["in self._fetch_waiters", "self._notify(waiter)"],
        ),
        (fetcher.Fetcher._create_fetch_waiter, ["self._fetch_waiters.add("]),
        (
            MessageBatch,
            ["_builder.record_count", "_builder._build", "_builder._set_producer_state"],
        ),
        (
            Consumer._drain_messages,
            ["self.wait_first(", "callback(message), self.suspend_flow.wait()", "self.sleep(0)"],
        ),
        (driver.AIOKafkaConsumerThread.getmany, ["_ensure_consumer()", "_fetch_records"]),
        (
            driver.AIOKafkaConsumerThread._fetch_records,
            ["flow_active", "fetcher._closed", "fetch_context()", "fetched_records("],
        ),
        (ServiceThread, ["self.thread_loop = thread_loop or "]),
        (ServiceThread.start, ["self.Worker(self)", "self._thread.start()"]),
        (ServiceThread.stop, ["self._thread.stop()"]),
        (ServiceThread._serve, ["self._gather_remaining_tasks()"]),
        (ServiceThread._start_thread, ["self._serve()", "self.set_shutdown()"]),
        (Stream._py_aiter, ["chan.queue"]),
        (asyncio.Queue._put, ["self._queue.append"]),
        (App._on_partitions_assigned, ["on_partitions_assigned"]),
        (Recovery.on_recovery_completed, ["on_rebalance_complete"]),
        (Recovery.flush_buffers, ["self.buffers"]),
        (Recovery.add_active, ["self.active_tps", "self.active_offsets"]),
        (Recovery.add_standby, ["self.standby_offsets"]),
    ],
    ids=lambda value: getattr(value, "__qualname__", None),
)
def test_the_source_still_uses_the_names_we_set_or_stand_in_for(
    owner: object, names: list[str]
) -> None:
    source = inspect.getsource(inspect.unwrap(owner) if callable(owner) else owner)  # type: ignore[arg-type]
    assert [name for name in names if name not in source] == []
