import pytest

from streams.contract.access import Entry, Operation, Pattern, Resource, access_list
from streams.contract.topics import Topics
from streams.settings import Principals

TOPICS = Topics(prefix="lab.", lenders=("platform", "harbour"))
PRINCIPALS = Principals().by_party()
ENTRIES = access_list(TOPICS, PRINCIPALS)


def opened(operation: Operation, to: str) -> set[str]:
    """Topics that are open to somebody for something."""
    return {
        entry.name
        for entry in ENTRIES
        if (entry.principal, entry.operation, entry.resource) == (to, operation, Resource.TOPIC)
    }


def holders(operation: Operation, topic: str) -> set[str]:
    return {
        entry.principal
        for entry in ENTRIES
        if (entry.operation, entry.resource, entry.name) == (operation, Resource.TOPIC, topic)
    }


@pytest.mark.parametrize("lender", TOPICS.lenders)
def test_a_lender_reads_its_own_topics_only_and_writes_only_what_lenders_say(lender: str) -> None:
    principal = f"User:lender-{lender}"
    own = {"limit-updates", "decisions", "fund-answers", "claim-answers"}
    assert opened(Operation.READ, principal) == {f"lab.{name}.{lender}" for name in own}
    said = {"lab.loan-events", "lab.applications", "lab.fund-events", "lab.claim-events"}
    assert opened(Operation.WRITE, principal) == said


def test_the_payment_system_writes_payments_and_reads_nothing() -> None:
    assert opened(Operation.WRITE, "User:payment-system") == {
        "lab.payments",
        "lab.merchant-events",
    }
    assert opened(Operation.READ, "User:payment-system") == set()


@pytest.mark.parametrize("lender", TOPICS.lenders)
def test_nobody_but_the_worker_writes_what_lenders_read(lender: str) -> None:
    own = (TOPICS.limit_updates, TOPICS.decisions, TOPICS.fund_answers, TOPICS.claim_answers)
    for topic in (of_lender(lender) for of_lender in own):
        assert holders(Operation.WRITE, topic.name) == {"User:worker"}
        # The operator may check what a lender has received.
        readers = holders(Operation.READ, topic.name)
        assert readers - {"User:operator"} == {f"User:lender-{lender}"}


def test_the_worker_and_nobody_else_writes_what_is_remembered() -> None:
    for topic in TOPICS:
        if not topic.public:
            assert holders(Operation.WRITE, topic.name) == {"User:worker"}


def test_only_the_operator_makes_and_changes_topics() -> None:
    for operation in (Operation.CREATE, Operation.ALTER, Operation.ALTER_CONFIGS):
        assert opened(operation, "User:operator") == {topic.name for topic in TOPICS}
        assert {each.principal for each in ENTRIES if each.operation is operation} == {
            "User:operator"
        }


def test_topics_are_opened_by_their_whole_name() -> None:
    topics = [entry for entry in ENTRIES if entry.resource is Resource.TOPIC]
    assert {entry.pattern for entry in topics} == {Pattern.LITERAL}
    assert {entry.name for entry in topics} == {topic.name for topic in TOPICS}


def test_groups_belong_to_one_party_each() -> None:
    assert {each for each in ENTRIES if each.resource is Resource.GROUP} == {
        Entry("User:worker", Operation.READ, Resource.GROUP, "lab.duoshou"),
        Entry("User:worker", Operation.READ, Resource.GROUP, "lab.duoshou-relay"),
        Entry("User:trainer", Operation.READ, Resource.GROUP, "lab.duoshou-trainer"),
        *(
            Entry(
                f"User:lender-{lender}",
                Operation.READ,
                Resource.GROUP,
                f"lab.lender-{lender}.",
                Pattern.PREFIXED,
            )
            for lender in TOPICS.lenders
        ),
    }


def test_whoever_writes_may_do_so_idempotently() -> None:
    assert {each.principal for each in ENTRIES if each.resource is Resource.CLUSTER} == {
        each.principal for each in ENTRIES if each.operation is Operation.WRITE
    }


def test_operator_and_worker_alone_may_ask_how_large_the_logs_are() -> None:
    assert {
        each.principal
        for each in ENTRIES
        if (each.operation, each.resource) == (Operation.DESCRIBE, Resource.CLUSTER)
    } == {"User:operator", "User:worker"}


def test_every_entry_stands_once() -> None:
    same = dict.fromkeys(PRINCIPALS, "User:all") | {"lender": "User:lender-{lender}"}
    for entries in (ENTRIES, access_list(TOPICS, same)):
        assert len(set(entries)) == len(entries)


@pytest.mark.parametrize("name", ["User:lenders", "User:{lender}"])
def test_a_lender_that_is_also_somebody_else_is_refused(name: str) -> None:
    topics = Topics(lenders=("worker", "harbour"))
    with pytest.raises(ValueError, match="somebody else are both User:"):
        access_list(topics, PRINCIPALS | {"lender": name})


def test_a_party_without_a_principal_is_named() -> None:
    without = {party: name for party, name in PRINCIPALS.items() if party != "payment system"}
    with pytest.raises(ValueError, match="no principal for payment system"):
        access_list(TOPICS, without)
