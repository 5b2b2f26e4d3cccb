from typing import Any

import pytest
from kafka.errors import KafkaStorageError

from streams.brokers.log_sizes import sizes_in
from streams.errors import BrokerError


def disk(error: int = 0, **sizes: list[int]) -> dict[str, Any]:
    return {
        "error_code": error,
        "log_dir": "/kafka",
        "topics": [
            {"name": name, "partitions": [{"partition_size": size} for size in partitions]}
            for name, partitions in sizes.items()
        ],
    }


def test_replicas_on_all_disks_of_all_brokers_are_summed_by_topic() -> None:
    answers = [
        {"broker": 1, "log_dirs": [disk(a=[5, 7]), disk(b=[1], other=[99])]},
        {"broker": 2, "log_dirs": [disk(a=[5])]},
    ]
    assert sizes_in(answers, ["a", "b", "c"]) == {"a": 17, "b": 1, "c": 0}


def test_a_broker_that_says_nothing_has_not_been_allowed_to() -> None:
    with pytest.raises(BrokerError, match="needs DESCRIBE on the cluster"):
        sizes_in([{"broker": 1, "log_dirs": []}], ["a"])


def test_a_disk_that_cannot_be_read_is_an_error_of_the_broker() -> None:
    with pytest.raises(KafkaStorageError):
        sizes_in([{"broker": 1, "log_dirs": [disk(error=56)]}], ["a"])
