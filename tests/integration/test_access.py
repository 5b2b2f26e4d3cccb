"""The access lists of the registry on a broker that keeps them: everyone may do its own work only.

Every refusal stands beside the same thing done by who may: a topic that nobody can read and one
that holds nothing look alike to some clients.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError as WriteRefused
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)
from kafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError

from streams.brokers.access import acl_of, apply_access, as_data, existing_acls, wanted_access
from streams.brokers.apache import MECHANISM, ApacheKafka
from streams.brokers.clients import client_options, consumer_settings
from streams.brokers.process import free_port
from streams.brokers.provision import administration, apply_topics
from streams.contract.access import Operation
from streams.contract.examples import EXAMPLES
from streams.contract.messages import PaymentEvent
from streams.errors import BrokerError, SettingsError
from streams.settings import Settings, load_settings
from streams.worker.process import WorkerProcess
from tests.conftest import require_jars
from tests.streams.lender.updates import encoded, update

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LENDERS = ("platform", "harbour")
USERS = ("worker", "trainer", "payment-system", "operator", "lender-platform", "lender-harbour")
PASSWORD = "open-sesame"
PREFIX = "lab."
WITHIN_S = 60
POLL_S = 0.1


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """A broker that lets nobody do anything unless a list says so, and logs whom it refuses.

    The plain listener, which its controller uses too, is that of a super user.
    """
    require_jars()
    with pytest.MonkeyPatch.context() as patch:
        level = "-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=info"
        patch.setenv("JAVA_TOOL_OPTIONS", level)
        broker = ApacheKafka(
            tmp_path_factory.mktemp("guarded-kafka"),
            heap="512m",
            users=dict.fromkeys(USERS, PASSWORD),
            properties={
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "allow.everyone.if.no.acl.found": "false",
                "super.users": "User:ANONYMOUS",
            },
        )
        broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture(scope="module")
def installed(guarded: ApacheKafka) -> Settings:
    """The super user's settings, after the topics and the access lists were made."""
    settings = load_settings(
        bootstrap_servers=guarded.bootstrap_servers, topic_prefix=PREFIX, lenders=LENDERS
    )
    assert apply_access(settings) == wanted_access(settings)
    await_access(settings, [acl_of(entry) for entry in wanted_access(settings)])
    apply_topics(as_(guarded, "operator"))
    return settings


def as_(broker: ApacheKafka, user: str, **changes: Any) -> Settings:
    """The settings of one of the users."""
    return load_settings(
        bootstrap_servers=broker.sasl_bootstrap_servers,
        topic_prefix=PREFIX,
        lenders=LENDERS,
        security={
            "sasl_mechanism": MECHANISM,
            "sasl_username": user,
            "sasl_password": PASSWORD,
        },
        **changes,
    )


async def write(settings: Settings, topic: str, *values: bytes, key: bytes = b"m1") -> None:
    """Write records to the partition of their key, idempotently as every writer of ours does."""
    async with AIOKafkaProducer(**client_options(settings), enable_idempotence=True) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, key=key)


def read(settings: Settings, topic: str, group: str | None = None) -> list[bytes]:
    """All values of a topic up to its present end, in a group if one is named.

    By kafka-python, which says at once what is refused as long as it is asked for the ends first.
    """
    consumer = KafkaConsumer(**consumer_settings(settings), group_id=group)
    try:
        (known,) = (each for each in settings.topics if each.name == topic)
        partitions = [TopicPartition(topic, number) for number in range(known.partitions)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        if group is not None:
            consumer.committed(partitions[0])
        consumer.seek_to_beginning(*partitions)
        values: list[bytes] = []
        while any(consumer.position(tp) < end for tp, end in ends.items()):
            for records in consumer.poll(timeout_ms=500).values():
                values += [each.value for each in records]
        if group is not None:
            consumer.commit()
        return values
    finally:
        consumer.close()


def command(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ours as one of the users."""
    return subprocess.run(
        [sys.executable, "-m", "streams.commands.main", *arguments],
        env=os.environ | settings.as_environment(),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


OTHER = {"platform": "harbour", "harbour": "platform"}


@pytest.fixture(scope="module")
def with_updates(guarded: ApacheKafka, installed: Settings) -> Settings:
    """After the worker wrote one update to each lender's topic."""

    async def write_both() -> None:
        for lender in LENDERS:
            topic = installed.topics.limit_updates(lender).name
            await write(as_(guarded, "worker"), topic, of(lender), key=b"seen-by-lenders")

    asyncio.run(write_both())
    return installed


def of(lender: str) -> bytes:
    return encoded(update("seen-by-lenders", 1, 100, lender_id=lender))


@pytest.mark.parametrize("lender", LENDERS)
def test_a_lender_reads_its_own_topic_and_is_refused_the_others(
    guarded: ApacheKafka, with_updates: Settings, lender: str
) -> None:
    topics, own = with_updates.topics, as_(guarded, f"lender-{lender}")
    assert of(lender) in read(own, topics.limit_updates(lender).name)
    with pytest.raises(TopicAuthorizationFailedError):
        read(own, topics.limit_updates(OTHER[lender]).name)


def test_a_lender_may_use_its_own_groups_and_nobody_elses(
    guarded: ApacheKafka, with_updates: Settings
) -> None:
    topic = with_updates.topics.limit_updates("platform").name
    own = as_(guarded, "lender-platform")
    assert of("platform") in read(own, topic, f"{PREFIX}lender-platform.limits")
    for group in (f"{PREFIX}lender-platforms.limits", with_updates.topics.application_id):
        with pytest.raises(GroupAuthorizationFailedError):
            read(own, topic, group)


MAY_WRITE = {
    "lender-platform": {"applications", "claim-events", "fund-events", "loan-events"},
    "payment-system": {"merchant-events", "payments"},
    "trainer": {"dead-letters", "models"},
}


@pytest.mark.parametrize("user", MAY_WRITE)
async def test_a_party_writes_its_own_topics_and_is_refused_every_other(
    guarded: ApacheKafka, installed: Settings, user: str
) -> None:
    for topic in installed.topics:
        # What is written must do no harm to the worker and trainer of another test.
        value = b"" if topic.name != f"{PREFIX}models" else b"{}"
        if topic.name.removeprefix(PREFIX) in MAY_WRITE[user]:
            await write(as_(guarded, user), topic.name, value)
        else:
            with pytest.raises(WriteRefused):
                await write(as_(guarded, user), topic.name, value)


def test_the_command_of_a_lender_that_may_not_read_says_so(
    guarded: ApacheKafka, with_updates: Settings
) -> None:
    said = ("lender", "--id", "platform", "--until-end", "--json")
    allowed = command(as_(guarded, "lender-platform"), *said)
    assert allowed.returncode == 0, allowed.stderr
    assert json.loads(allowed.stdout.splitlines()[-1])["summary"]["taken"]["applied"] >= 1
    refused = command(as_(guarded, "lender-harbour"), *said)
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "does not let us do that" in refused.stderr
    assert f"{PREFIX}limit-updates.platform" in refused.stderr


def payments() -> list[bytes]:
    """Twelve payments from as many payers on four days: enough for a starter limit."""
    day_ms, now = 86_400_000, time.time_ns() // 1_000_000
    (usual, *_) = (each for each in EXAMPLES[PaymentEvent] if isinstance(each, PaymentEvent))
    return [
        msgspec.json.encode(
            msgspec.structs.replace(
                usual,
                payment_id=f"p{number}",
                payer_id=f"u{number}",
                merchant_id="m1",
                occurred_at=now - 3 * day_ms + number * day_ms // 4,
            )
        )
        for number in range(12)
    ]


def test_workers_and_trainer_need_nothing_that_the_lists_do_not_give(
    guarded: ApacheKafka, with_updates: Settings, tmp_path: Path
) -> None:
    """A payment becomes a limit that the lender sees, and what was refused can be resent."""
    logged = len(guarded.log.read_text())
    worker = as_(guarded, "worker", tick_interval_s=1)
    operator = as_(guarded, "operator")
    with (
        WorkerProcess(worker, tmp_path) as working,
        WorkerProcess(as_(guarded, "trainer"), tmp_path, "trainer") as training,
    ):
        working.await_ready()
        training.await_ready()
        payments_topic = with_updates.topics.payments.name
        system = as_(guarded, "payment-system")
        asyncio.run(write(system, payments_topic, *payments(), b"nonsense"))
        await_metric(working, "duoshou_limit_updates_total")
        await_metric(working, "duoshou_dead_letters_total")
        await_metric(working, "duoshou_checkpoint_rows_total")
        asked = command(operator, "cost", "--worker", working.address)
        assert asked.returncode == 0, (asked.stdout, asked.stderr)
    reader = as_(guarded, "lender-platform")
    lines = command(reader, "lender", "--id", "platform", "--until-end", "--json").stdout
    updates = [json.loads(line).get("limit_update", {}) for line in lines.splitlines()]
    assert "m1" in {each.get("merchant_id") for each in updates}
    for said in (
        ("topics", "plan"),
        ("dead-letters", "resend", "--all"),
        ("models", "list"),
        ("policies", "list"),
        ("explain", "m1"),
    ):
        done = command(operator, *said)
        assert done.returncode == 0, (said, done.stdout, done.stderr)
    assert command(as_(guarded, "lender-harbour"), "lender", "--id", "platform").returncode == 1
    log = guarded.log.read_text()[logged:]
    assert "Principal = User:lender-harbour is Denied" in log
    for user in ("worker", "trainer", "operator", "payment-system", "lender-platform"):
        assert f"Principal = User:{user} is Denied" not in log


def await_metric(process: WorkerProcess, name: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not process.metric(name):
        process.check()
        assert time.monotonic() < deadline, name
        time.sleep(POLL_S)


def test_a_second_apply_makes_nothing_and_entries_of_others_stay(
    guarded: ApacheKafka, installed: Settings
) -> None:
    pattern = ResourcePattern(ResourceType.TOPIC, "elsewhere", ACLResourcePatternType.LITERAL)
    allow = ACLPermissionType.ALLOW
    others = ACL("User:auditor", "*", ACLOperation.READ, allow, pattern)
    lost = next(each for each in wanted_access(installed) if each.operation is Operation.ALTER)
    assert apply_access(installed) == []
    with administration(installed) as admin:
        assert not admin.create_acls([others])["failed"]
        admin.delete_acls([acl_of(lost)])
    await_access(installed, [others], without=acl_of(lost))
    assert apply_access(installed) == [lost]
    await_access(installed, [others, acl_of(lost)])


def await_access(settings: Settings, acls: list[ACL], without: ACL | None = None) -> None:
    """Wait until the broker shows what it has accepted: its metadata follows the log."""
    deadline = time.monotonic() + WITHIN_S
    with administration(settings) as admin:
        while not set(acls) <= (there := existing_acls(admin)) or without in there:
            assert time.monotonic() < deadline
            time.sleep(POLL_S)


def test_the_lists_are_shown_without_a_broker() -> None:
    nobody = load_settings(bootstrap_servers=f"127.0.0.1:{free_port()}")
    shown = json.loads(command(nobody, "topics", "access", "--json").stdout)
    assert shown == as_data(wanted_access(nobody))


def test_access_lists_need_a_right_of_their_own(guarded: ApacheKafka, installed: Settings) -> None:
    lacking = as_(guarded, "operator").model_copy(update={"topic_prefix": "elsewhere."})
    done = command(lacking, "topics", "access", "--apply")
    assert done.returncode == 1
    assert "does not let us do that" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_broker_that_keeps_no_lists_is_named(settings: Settings) -> None:
    with pytest.raises(BrokerError, match=r"keeps no access lists.*authorizer\.class\.name"):
        apply_access(settings)


def test_principals_that_let_a_lender_be_the_worker_are_refused() -> None:
    settings = load_settings(principals={"worker": "User:x", "lender": "User:x"})
    with pytest.raises(SettingsError, match=r"Correct the settings principals: .* both User:x"):
        wanted_access(settings)
