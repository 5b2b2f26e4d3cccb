import re

import pytest

from streams.contract.topics import Cleanup, Topic, Topics

ALL = list(Topics(partitions=8, prefix="lab-1.", lenders=("platform", "harbour")))


def test_all_that_a_worker_reads_of_a_merchant_has_as_many_partitions_as_payments() -> None:
    read = [each for each in ALL if "worker" in each.readers and "merchant_id" in each.key]
    assert len(read) >= 6
    assert {topic.partitions for topic in read} == {8}


def test_what_other_lenders_read_costs_the_broker_one_partition_a_topic() -> None:
    topics = Topics(partitions=8, lenders=("platform", "harbour"))
    assert topics.limit_updates("platform").partitions == 8
    of_harbour = (topics.limit_updates, topics.decisions, topics.fund_answers, topics.claim_answers)
    assert {topic("harbour").partitions for topic in of_harbour} == {1}


@pytest.mark.parametrize("topic", ALL, ids=lambda topic: topic.name)
def test_a_name_is_one_that_kafka_takes_and_bears_the_prefix(topic: Topic) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", topic.name)
    assert topic.name.startswith("lab-1.")


@pytest.mark.parametrize("topic", ALL, ids=lambda topic: topic.name)
def test_a_topic_is_kept_by_age_or_by_key(topic: Topic) -> None:
    assert (topic.retention_ms is None) == (topic.cleanup is Cleanup.COMPACT)


def test_no_two_topics_share_a_name() -> None:
    assert len({topic.name for topic in ALL}) == len(ALL)


def test_each_lender_has_a_topic_of_its_own() -> None:
    topics = Topics(lenders=("platform", "harbour"))
    assert topics.limit_updates("harbour").name == "limit-updates.harbour"
    assert "lender platform" not in topics.limit_updates("harbour").readers
    with pytest.raises(KeyError, match="no lender 'quay'"):
        topics.limit_updates("quay")


def test_the_changelog_is_named_as_faust_names_it() -> None:
    topics = Topics(prefix="lab-1.")
    assert topics.rows_changelog.name == f"{topics.application_id}-rows-changelog"


def test_a_row_is_not_compacted_away_before_a_stalled_owner_has_written() -> None:
    assert int(Topics().rows_changelog.configuration["min.compaction.lag.ms"]) >= 3_600_000


def test_the_indexes_of_what_there_are_thousands_of_are_small_and_hold_a_whole_segment() -> None:
    topics = Topics(lenders=("platform", "harbour"))
    of_lenders = [each for each in topics if each.name.endswith((".platform", ".harbour"))]
    assert len(of_lenders) == 8
    for each in of_lenders:
        index = int(each.configuration["segment.index.bytes"])
        # An entry of 12 bytes for every 4096 bytes of the log at most.
        assert int(each.configuration["segment.bytes"]) / 4096 * 12 <= index <= 256 * 1024


def test_payment_ids_outlive_the_time_for_which_they_count() -> None:
    kept = Topics().payment_ids.retention_ms
    assert kept is not None
    assert kept >= 24 * 3_600_000
