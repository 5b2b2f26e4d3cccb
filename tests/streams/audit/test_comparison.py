import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.applications.messages import Decision, Ground, Outcome, Price, Product
from scorers.claims.events import ClaimAnswer
from scorers.funds.events import FundAnswer
from streams.audit.comparison import compare, encoded
from streams.audit.received import Message, received
from streams.contract.examples import EXAMPLES
from streams.contract.messages import LimitUpdate
from streams.errors import OperatorError

(UPDATE,) = (each for each in EXAMPLES[LimitUpdate] if isinstance(each, LimitUpdate))
DECISION = Decision(
    application_id="a1", lender_id="bank", merchant_id="m1", product=Product.LOAN,
    outcome=Outcome.APPROVE, asked=300, amount=300, currency="CNY", price=Price(1_500, 60, 7),
    expires_at=9_000, reasons=(Ground("within_limits", "It fits."),),
    probability_of_default=0.02, limit=900, limit_version=3, available=900, over_limit=0,
    model_version=1, policy_version=2, as_of=4_000, source_topic="payments", source_partition=1,
    source_offset=77,
)  # fmt: skip
ANSWER = FundAnswer(
    event_id="e2", merchant_id="m1", lender_id="bank", fund_id="f1", currency="CNY", t_plus_0=10,
    t_plus_1=2, refused=0, reasons=[], holding=3, remaining_t_plus_0=0, advance_provider=None,
    policy_version=2, as_of=4_000, source_topic="payments", source_partition=1, source_offset=78,
)  # fmt: skip
(CLAIM,) = (each for each in EXAMPLES[ClaimAnswer] if isinstance(each, ClaimAnswer))
MESSAGES: list[Message] = [UPDATE, DECISION, ANSWER, CLAIM]
REPLACED = msgspec.structs.replace


@pytest.mark.parametrize("message", MESSAGES)
def test_what_the_log_leads_to_is_the_same(message: Message) -> None:
    outcome = compare(received(msgspec.json.encode(message)), MESSAGES)
    assert (outcome.same, outcome.differences, outcome.recomputed) == (True, [], message)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_line_that_a_lender_printed_is_the_message_in_it(message: Message) -> None:
    kind = received(msgspec.json.encode(message)).kind
    line = msgspec.json.encode({kind: message}) + b"\n"
    assert compare(received(line), [message]).same


def test_how_long_a_decision_took_does_not_matter() -> None:
    timed = REPLACED(DECISION, stages={"total": 17.25})
    assert compare(received(msgspec.json.encode(timed)), [DECISION]).same
    assert encoded(timed) == encoded(DECISION)


@pytest.mark.parametrize("message", MESSAGES)
@given(st.data())
def test_any_field_that_is_changed_is_named_and_no_other(
    message: Message, data: st.DataObject
) -> None:
    names = {"merchant_id", "lender_id", "product", "application_id", "event_id", "schema_version"}
    numbers = [
        name
        for name in message.__struct_fields__
        if name not in names and type(getattr(message, name)) is int
    ]
    name = data.draw(st.sampled_from(numbers))
    before = getattr(message, name)
    value = data.draw(st.integers(1, 10**9).filter(lambda each: each != before))
    said = received(msgspec.json.encode(REPLACED(message, **{name: value})))
    outcome = compare(said, [message])
    assert not outcome.same
    assert outcome.differences == [(name, str(value), str(before))]


def test_a_field_inside_a_list_is_named_by_its_place() -> None:
    reasons = [*UPDATE.reasons[:2], REPLACED(UPDATE.reasons[2], effect=0.19)]
    said = received(msgspec.json.encode(REPLACED(UPDATE, reasons=reasons)))
    assert compare(said, [UPDATE]).differences == [("reasons[2].effect", "0.19", "0.18")]
    fewer = received(msgspec.json.encode(REPLACED(UPDATE, reasons=UPDATE.reasons[:2])))
    assert [each.field for each in compare(fewer, [UPDATE]).differences] == [
        "reasons[2].code", "reasons[2].effect", "reasons[2].text",
    ]  # fmt: skip


def test_a_field_that_was_put_in_is_named() -> None:
    raw = msgspec.json.encode({**msgspec.to_builtins(UPDATE), "bonus": 1})
    assert compare(received(raw), [UPDATE]).differences == [("bonus", "1", None)]


@pytest.mark.parametrize(
    "spell",
    [
        lambda raw: msgspec.json.format(raw, indent=2),
        lambda raw: raw.replace(b'"limit":850000', b'"limit":1,"limit":850000'),
    ],
)
def test_other_bytes_with_the_same_fields_are_not_the_same(spell: object) -> None:
    assert callable(spell)
    outcome = compare(received(spell(msgspec.json.encode(UPDATE))), [UPDATE])
    assert (outcome.same, outcome.differences) == (False, [])
    assert outcome.recomputed == UPDATE


def test_of_two_updates_of_one_record_the_one_of_that_version_is_meant() -> None:
    earlier = REPLACED(UPDATE, version=UPDATE.version - 1, limit=1)
    for each in (earlier, UPDATE):
        assert compare(received(msgspec.json.encode(each)), [earlier, UPDATE]).same
    assert compare(received(msgspec.json.encode(REPLACED(UPDATE, version=99))), [earlier, UPDATE]) \
        .differences == [("version", "99", str(UPDATE.version))]  # fmt: skip


def test_what_is_about_something_else_is_not_compared() -> None:
    others: list[Message] = [
        REPLACED(UPDATE, merchant_id="m9"), REPLACED(UPDATE, lender_id="l9"),
        REPLACED(UPDATE, product="trade_credit"), DECISION, ANSWER,
    ]  # fmt: skip
    assert compare(received(msgspec.json.encode(UPDATE)), others) == (False, [], None)


@pytest.mark.parametrize("raw", [b"", b"[]", b"7", b"\xff", b'{"merchant_id":"m1"}', b"{"])
def test_what_is_no_message_is_refused_in_one_sentence(raw: bytes) -> None:
    with pytest.raises(OperatorError, match="What is to be audited is n"):
        received(raw)
