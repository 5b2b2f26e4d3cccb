import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.bounds import LARGEST_AMOUNT
from streams.contract.document import generated
from streams.contract.examples import EXAMPLES
from streams.contract.messages import LimitUpdate, PaymentEvent, Tick
from streams.contract.schemas import documented, file_name, schema
from streams.contract.topics import Topics

DOCS = Path(__file__).parents[3] / "docs"
MESSAGES = sorted(
    {
        message
        for topic in Topics()
        for message in (*topic.messages, *((topic.headers,) if topic.headers else ()))
    },
    key=lambda message: message.__name__,
)
PAYMENT = {
    "payment_id": "p1",
    "kind": "payment",
    "merchant_id": "m1",
    "amount": 100,
    "currency": "CNY",
    "occurred_at": 1_767_315_600_000,
}


@pytest.mark.parametrize("message", MESSAGES)
def test_every_example_validates_against_its_committed_schema(message: type[Any]) -> None:
    committed = json.loads((DOCS / "schemas" / file_name(message)).read_text())
    validator = jsonschema.Draft202012Validator(committed)
    validator.check_schema(committed)
    assert EXAMPLES[message], "a message without an example"
    for example in EXAMPLES[message]:
        validator.validate(json.loads(msgspec.json.encode(example)))


@pytest.mark.parametrize("message", MESSAGES)
def test_every_example_decodes_to_what_was_written(message: type[Any]) -> None:
    for example in EXAMPLES[message]:
        assert msgspec.json.decode(msgspec.json.encode(example), type=message) == example


def test_the_committed_schemas_and_asyncapi_document_are_up_to_date() -> None:
    committed = {path: (DOCS / path).read_text() for path in generated()}
    assert committed == generated(), "run `make documents` and commit docs/"
    schemas = {str(path.relative_to(DOCS)) for path in (DOCS / "schemas").iterdir()}
    assert schemas == set(generated()) - {"asyncapi.json"}


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = json.loads((DOCS / "asyncapi.json").read_text())

    def references(part: Any) -> list[str]:
        if isinstance(part, list):
            return [each for item in part for each in references(item)]
        if not isinstance(part, dict):
            return []
        own = [part["$ref"]] if "$ref" in part else []
        return own + [each for item in part.values() for each in references(item)]

    found = references(document)
    assert found
    for reference in found:
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_the_asyncapi_document_names_every_public_topic_and_no_other() -> None:
    document = json.loads((DOCS / "asyncapi.json").read_text())
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert addresses == {topic.name for topic in Topics() if topic.public}
    assert Topics().rows_changelog.name not in addresses


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -5}, "amount"),
        ({"amount": LARGEST_AMOUNT + 1}, "amount"),
        ({"amount": "100"}, "amount"),
        ({"amount": 9999999999999999999999999999999999}, "amount"),
        ({"currency": "cny"}, "currency"),
        ({"currency": "CNYX"}, "currency"),
        ({"kind": "tick"}, "kind"),
        ({"merchant_id": ""}, "merchant_id"),
        ({"payer_id": "x" * 65}, "payer_id"),
        ({"channel": "x" * 33}, "channel"),
        ({"funding": "cash"}, "funding"),
        ({"occurred_at": 253_402_300_800_000}, "occurred_at"),
        ({"occurred_at": 1.5}, "occurred_at"),
    ],
)
def test_a_field_outside_its_bounds_is_refused_by_decoder_and_schema_alike(
    change: dict[str, Any], part: str
) -> None:
    event = PAYMENT | change
    with pytest.raises(msgspec.DecodeError, match=part):
        msgspec.json.decode(json.dumps(event), type=PaymentEvent)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(event, schema(PaymentEvent))


@pytest.mark.parametrize("missing", sorted(PAYMENT))
def test_a_missing_field_is_refused(missing: str) -> None:
    event = {name: value for name, value in PAYMENT.items() if name != missing}
    with pytest.raises(msgspec.ValidationError, match=missing):
        msgspec.json.decode(json.dumps(event), type=PaymentEvent)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(event, schema(PaymentEvent))


def test_unknown_fields_are_ignored_and_null_is_absent() -> None:
    event = PAYMENT | {"weather": {"rain": True}, "payer_id": None}
    decoded = msgspec.json.decode(json.dumps(event), type=PaymentEvent)
    assert decoded == msgspec.convert(PAYMENT, PaymentEvent)
    jsonschema.validate(event, schema(PaymentEvent))


def test_a_tick_says_its_kind() -> None:
    assert msgspec.json.encode(Tick(5)) == b'{"kind":"tick","occurred_at":5}'
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"kind":"payment","occurred_at":5}', type=Tick)


def test_a_field_without_a_docstring_line_is_noticed() -> None:
    class Undescribed(msgspec.Struct):
        """Something.

        Attributes:
            first: It.
        """

        first: int
        second: int

    with pytest.raises(ValueError, match="second"):
        documented(Undescribed)


@given(
    st.builds(
        dict,
        amount=st.integers(-5, 10**16),
        occurred_at=st.integers(-5, 10**15),
        payer_id=st.none() | st.text(max_size=70),
        currency=st.text("ABCYabc ", max_size=4),
    )
)
def test_decoder_and_schema_agree_on_what_is_valid(change: dict[str, Any]) -> None:
    event = PAYMENT | change
    try:
        msgspec.convert(event, PaymentEvent)
    except msgspec.ValidationError:
        decodes = False
    else:
        decodes = True
    assert decodes == jsonschema.Draft202012Validator(schema(PaymentEvent)).is_valid(event)


def test_a_limit_update_holds_no_number_that_json_cannot_say() -> None:
    update = EXAMPLES[LimitUpdate][0]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(msgspec.to_builtins(update) | {"probability_of_default": None}, LimitUpdate)
