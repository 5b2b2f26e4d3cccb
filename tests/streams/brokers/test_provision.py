from streams.brokers.provision import Action, Existing, Step, plan, refused
from streams.contract.topics import Cleanup, Topic

PAYMENTS = Topic(
    name="payments",
    doc="Payments.",
    key="merchant_id",
    partitions=4,
    writers=("payment system",),
    readers=("worker",),
    retention_ms=7 * 86_400_000,
)
ROWS = Topic(
    name="rows",
    doc="Rows.",
    key="merchant_id",
    partitions=4,
    writers=("worker",),
    readers=("worker",),
    cleanup=Cleanup.COMPACT,
)


def as_wanted(
    topic: Topic, partitions: int = 4, changes: dict[str, str] | None = None
) -> dict[str, Existing]:
    return {topic.name: Existing(partitions, topic.configuration | (changes or {}))}


def test_a_missing_topic_is_created_with_partitions_and_configuration() -> None:
    steps = plan([PAYMENTS], {})
    assert {step.action for step in steps} == {Action.CREATE}
    assert {step.setting: step.wanted for step in steps} == {
        "partitions": "4",
        "cleanup.policy": "delete",
        "retention.ms": "604800000",
    }


def test_a_topic_as_it_should_be_is_left_alone() -> None:
    assert plan([PAYMENTS], as_wanted(PAYMENTS)) == [Step("payments", Action.NOTHING)]


def test_partitions_are_added() -> None:
    assert plan([PAYMENTS], as_wanted(PAYMENTS, partitions=2)) == [
        Step("payments", Action.ADD_PARTITIONS, "partitions", "2", "4")
    ]


def test_partitions_are_never_taken_away() -> None:
    steps = plan([PAYMENTS], as_wanted(PAYMENTS, partitions=6))
    assert refused(steps) == [Step("payments", Action.REFUSE, "partitions", "6", "4")]


def test_a_shorter_retention_on_the_broker_is_lengthened() -> None:
    assert plan([PAYMENTS], as_wanted(PAYMENTS, changes={"retention.ms": "1000"})) == [
        Step("payments", Action.CONFIGURE, "retention.ms", "1000", "604800000")
    ]


def test_a_longer_retention_on_the_broker_stays() -> None:
    for longer in ("604800001", "-1"):
        steps = plan([PAYMENTS], as_wanted(PAYMENTS, changes={"retention.ms": longer}))
        assert [step.action for step in steps] == [Action.KEEP]


def test_a_topic_that_should_be_compacted_is_made_so() -> None:
    assert plan([ROWS], as_wanted(ROWS, changes={"cleanup.policy": "delete"})) == [
        Step("rows", Action.CONFIGURE, "cleanup.policy", "delete", "compact")
    ]


def test_a_compacted_topic_is_never_made_to_expire() -> None:
    steps = plan([PAYMENTS], as_wanted(PAYMENTS, changes={"cleanup.policy": "compact"}))
    assert [step.setting for step in refused(steps)] == ["cleanup.policy"]


def test_a_topic_of_others_is_none_of_our_business() -> None:
    others = {"orders": Existing(1, {})}
    assert plan([PAYMENTS], as_wanted(PAYMENTS) | others) == plan([PAYMENTS], as_wanted(PAYMENTS))
