import time
from collections.abc import Callable

import pytest

from streams.brokers.embedded import EmbeddedBroker
from streams.brokers.provision import (
    Action,
    administration,
    apply_topics,
    plan_topics,
    require_topics,
)
from streams.errors import BrokerError
from streams.settings import Settings, load_settings

Change = Callable[..., Settings]


@pytest.fixture
def with_(settings: Settings) -> Change:
    """The test's settings with something changed."""
    return lambda **changes: load_settings(
        bootstrap_servers=settings.bootstrap_servers,
        topic_prefix=settings.topic_prefix,
        **changes,
    )


def await_step(settings: Settings, topic: str, action: Action) -> None:
    """Wait until the broker shows a change that it has accepted: its metadata follows the log."""
    deadline = time.monotonic() + 20
    while action not in {step.action for step in plan_topics(settings) if step.topic == topic}:
        assert time.monotonic() < deadline, f"{topic} never came to {action}"
        time.sleep(0.05)


def test_apply_makes_every_topic_and_a_second_plan_has_nothing_to_do(settings: Settings) -> None:
    with pytest.raises(BrokerError, match=r"lacks the topics .*run `duoshou topics apply`"):
        require_topics(settings)
    assert {step.action for step in apply_topics(settings)} == {Action.CREATE}
    assert {step.action for step in plan_topics(settings)} == {Action.NOTHING}
    require_topics(settings)


def test_more_partitions_in_the_settings_are_added(settings: Settings, with_: Change) -> None:
    apply_topics(settings)
    wider = with_(partitions=6)
    with pytest.raises(BrokerError, match="has 4 partitions and the settings say 6"):
        require_topics(wider)
    apply_topics(wider)
    require_topics(wider)


def test_fewer_partitions_are_refused_and_nothing_else_is_changed(
    settings: Settings, with_: Change
) -> None:
    apply_topics(settings)
    dead_letters = settings.topics.dead_letters.name
    with administration(settings) as admin:
        admin.delete_topics([dead_letters])
    await_step(settings, dead_letters, Action.CREATE)
    with pytest.raises(BrokerError, match="has 4 partitions and cannot go back to 2"):
        apply_topics(with_(partitions=2))
    await_step(settings, dead_letters, Action.CREATE)


def test_a_retention_that_someone_shortened_is_put_right(settings: Settings) -> None:
    from kafka.admin import ConfigResource

    apply_topics(settings)
    name = settings.topics.payments.name
    with administration(settings) as admin:
        admin.alter_configs([ConfigResource("topic", name, {"retention.ms": "60000"})])
    await_step(settings, name, Action.CONFIGURE)
    (step,) = [each for each in apply_topics(settings) if each.action is not Action.NOTHING]
    assert (step.topic, step.setting, step.now) == (name, "retention.ms", "60000")
    await_step(settings, name, Action.NOTHING)


def test_the_embedded_broker_takes_the_same_topics(embedded: EmbeddedBroker, prefix: str) -> None:
    settings = load_settings(bootstrap_servers=embedded.bootstrap_servers, topic_prefix=prefix)
    apply_topics(settings)
    require_topics(settings)
    assert {step.action for step in plan_topics(settings)} == {Action.NOTHING}
