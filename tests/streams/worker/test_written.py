from typing import get_args

from streams.contract.topics import Topics
from streams.observability.metrics import Written
from streams.worker.app import written_kinds

TOPICS = Topics(prefix="lab.", lenders=("platform", "harbour"))


def test_every_topic_that_a_worker_writes_to_has_a_kind() -> None:
    written = {
        topic.name
        for topic in TOPICS
        if any(writer.partition(" (")[0] == "worker" for writer in topic.writers)
    }
    assert set(written_kinds(TOPICS)) == written
    assert set(written_kinds(TOPICS).values()) == set(get_args(Written))
