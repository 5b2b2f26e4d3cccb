import json
from typing import Any

import numpy as np
import pytest

from features.events import Funding, Kind, Outcome, currency_index
from features.hashing import hash_of
from streams.contract import messages
from streams.contract.currencies import MINOR_DIGITS_TABLE
from streams.decode import fast, json_text, names
from streams.decode.payments import NO_VALUE
from streams.wire.encode import encode_messages
from streams.wire.fetch import read
from tests.streams.decode.events import NOW, PAYMENT, REFUND, decoded, written


def test_a_payment_becomes_a_row_of_columns() -> None:
    row = decoded(written()).row(0)

    assert row["outcome"] == Outcome.PENDING
    assert row["kind"] == Kind.PAYMENT
    assert row["merchant_id"] == b"merchant-1"
    assert row["merchant_hash"] == hash_of(b"merchant-1")
    assert row["payer_hash"] == hash_of(b"payer-1")
    assert (row["amount"], row["occurred_at"]) == (1250, NOW)
    assert row["currency"] == currency_index("CNY")
    assert row["funding"] == Funding.BALANCE
    assert row["original_at"] == -1


def test_offsets_and_times_of_the_records_are_kept() -> None:
    (batch,) = encode_messages([(b"k", written(), [], NOW + 7), (b"k", b"bad", [], NOW + 9)])
    data = bytearray(batch._build())
    data[:8] = (500).to_bytes(8, "big")
    fetched = read(data, 0)

    events, _, _ = decoded_by(fetched)

    assert events.offset.tolist() == [500, 501]
    assert events.timestamp.tolist() == [NOW + 7, NOW + 9]


def decoded_by(fetched: Any) -> Any:
    from streams.decode.payments import decode

    return decode(fetched.records, fetched.text, MINOR_DIGITS_TABLE)


@pytest.mark.parametrize("kind", list(messages.PaymentKind))
def test_every_kind_is_told_apart(kind: messages.PaymentKind) -> None:
    assert decoded(written(kind=str(kind))).row(0)["kind"] == Kind[kind.name]


@pytest.mark.parametrize("source", list(messages.FundingSource))
def test_every_funding_is_told_apart(source: messages.FundingSource) -> None:
    assert decoded(written(funding=str(source))).row(0)["funding"] == Funding[source.name]


def test_what_takes_money_back_may_name_the_payment_and_its_time() -> None:
    result = decoded(json.dumps(REFUND).encode(), written(kind="refund"))

    assert result.events.original_at.tolist() == [NOW - 1000, -1]


def test_a_payment_has_no_original_time_whatever_it_says() -> None:
    assert decoded(written(original_occurred_at=NOW - 5)).row(0)["original_at"] == -1


def test_an_outflow_is_read_alike_by_both_decoders() -> None:
    plain = written(kind="outflow", original_occurred_at=NOW - 5)
    escaped = plain.replace(b'"outflow"', b'"\\u006futflow"')
    fast, slow = decoded(plain), decoded(escaped)

    rows = [{**result.row(0), "offset": 0} for result in (fast, slow)]
    assert rows[0] == rows[1]
    assert (rows[0]["kind"], rows[0]["original_at"]) == (Kind.OUTFLOW, -1)


@pytest.mark.parametrize(
    "value",
    [b'{"kind":"tick","occurred_at":%d}' % NOW, b' {"occurred_at" : %d, "kind":"tick"} ' % NOW],
)
def test_a_tick_is_nobodys_payment(value: bytes) -> None:
    row = decoded(value).row(0)

    assert (row["outcome"], row["kind"], row["occurred_at"]) == (Outcome.PENDING, Kind.TICK, NOW)
    assert (row["amount"], row["merchant_hash"], row["currency"]) == (0, 0, -1)


def test_a_tick_ignores_what_else_it_carries() -> None:
    value = b'{"kind":"tick","occurred_at":%d,"amount":"none","merchant_id":7}' % NOW

    assert decoded(value).row(0) == decoded(b'{"kind":"tick","occurred_at":%d}' % NOW).row(0)


@pytest.mark.parametrize(
    "field",
    ["code_id", "payer_id", "funding", "channel", "original_payment_id", "original_occurred_at"],
)
def test_an_optional_field_may_be_null_or_left_out(field: str) -> None:
    null = json.dumps({**REFUND, field: None}).encode()
    absent = json.dumps({k: v for k, v in REFUND.items() if k != field}).encode()

    result = decoded(null, absent)

    assert result.outcomes() == [Outcome.PENDING] * 2
    assert result.row(0) == {**result.row(1), "offset": 0}


CHANGES: dict[str, Any] = {
    "kind": "void",
    "merchant_id": "merchant-2",
    "amount": 1251,
    "currency": "JPY",
    "occurred_at": NOW + 1,
    "code_id": "code-2",
    "payer_id": "payer-2",
    "original_payment_id": "p-2",
    "original_occurred_at": NOW - 999,
    "funding": "debit",
    "channel": "app",
}


@pytest.mark.parametrize("field", CHANGES)
def test_other_content_has_another_hash(field: str) -> None:
    one, other, absent = (
        json.dumps(event).encode()
        for event in (
            REFUND,
            {**REFUND, field: CHANGES[field]},
            {k: v for k, v in REFUND.items() if k != field},
        )
    )

    hashes = decoded(one, other, absent).events.content_hash
    assert len(set(hashes.tolist())) == 3


def test_the_hash_of_the_content_is_that_of_what_was_said_not_of_how() -> None:
    reordered = json.dumps(dict(reversed(PAYMENT.items())), indent=4).encode()
    escaped = written().replace(b"merchant-1", rb"m\u0065rchant-1")
    more = written(note="new", tags=["a", {"b": [1.5e3, None, True]}])

    hashes = decoded(written(), reordered, escaped, more).events.content_hash
    assert len(set(hashes.tolist())) == 1


def test_the_content_does_not_include_the_payment_id_and_the_payments_hash_does() -> None:
    events = decoded(written(), written(payment_id="p-2")).events

    assert events.content_hash[0] == events.content_hash[1]
    assert events.payment_hash[0] != events.payment_hash[1]


def test_two_merchants_may_number_their_payments_alike() -> None:
    events = decoded(written(), written(merchant_id="merchant-2")).events

    assert events.payment_hash[0] != events.payment_hash[1]


def test_identifiers_freed_of_escapes_stand_behind_the_text() -> None:
    result = decoded(
        written(merchant_id="商户"), written(merchant_id="b"), written(merchant_id="é")
    )

    assert result.outcomes() == [Outcome.PENDING] * 3
    assert result.merchants() == ["商户", "b", "é"]


def test_identifiers_in_plain_utf8_stay_where_they_are() -> None:
    value = json.dumps({**PAYMENT, "merchant_id": "商户-é-🏪"}, ensure_ascii=False).encode()
    result = decoded(value)

    assert result.merchants() == ["商户-é-🏪"]
    assert result.events.merchant_at[0] < len(value)


def raw(field: str, value: bytes) -> bytes:
    """The payment with one value in the spelling given."""
    rest = {k: v for k, v in PAYMENT.items() if k != field}
    return json.dumps(rest).encode()[:-1] + b',"%s":%s}' % (field.encode(), value)


O = Outcome  # noqa: E741 - the table below is long
ODDITIES: list[tuple[str, bytes | None, Outcome, str]] = [
    ("no value", None, O.NULL_VALUE, NO_VALUE),
    ("empty", b"", O.NOT_JSON, "not JSON"),
    ("white space", b" \n\t ", O.NOT_JSON, "not JSON"),
    ("text", b"hello", O.NOT_JSON, "found 'hello'"),
    ("byte order mark", b"\xef\xbb\xbf" + written(), O.NOT_JSON, "not JSON"),
    ("utf-16", written().decode().encode("utf-16"), O.NOT_UTF8, "not UTF-8"),
    ("latin-1", raw("merchant_id", b'"caf\xe9"'), O.NOT_UTF8, "at byte"),
    ("overlong utf-8", raw("merchant_id", b'"\xc0\xaf"'), O.NOT_UTF8, "not UTF-8"),
    ("surrogate in utf-8", raw("note", b'"\xed\xa0\x80"'), O.NOT_UTF8, "not UTF-8"),
    ("escaped lone surrogate", raw("merchant_id", rb'"\ud800"'), O.NOT_UTF8, "surrogate"),
    ("in an unknown field", raw("note", rb'["\udc00"]'), O.NOT_UTF8, "surrogate"),
    ("pickle", b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c", O.NOT_UTF8, "not UTF-8"),
    ("pickle of old", b"cposix\nsystem\n(S'touch /tmp/pwn'\ntR.", O.NOT_JSON, "not JSON"),
    ("cut short", written()[:-1], O.NOT_JSON, "not JSON"),
    ("cut in a string", written()[:40], O.NOT_JSON, "not JSON"),
    ("cut in a number", b'{"amount":12', O.NOT_JSON, "not JSON"),
    ("two values", written() + written(), O.NOT_JSON, "Extra data"),
    ("comma at the end", written()[:-1] + b",}", O.NOT_JSON, "not JSON"),
    ("single quotes", written().replace(b'"', b"'"), O.NOT_JSON, "not JSON"),
    ("comment", written()[:-1] + b"/* */}", O.NOT_JSON, "not JSON"),
    ("control character", raw("merchant_id", b'"a\nb"'), O.NOT_JSON, "control character"),
    ("nul", raw("note", b'"a\x00b"'), O.NOT_JSON, "control character"),
    ("bad escape", raw("merchant_id", rb'"\x41"'), O.NOT_JSON, "escape"),
    ("bad hex", raw("note", rb'"\u12g4"'), O.NOT_JSON, "escape"),
    ("leading zero", raw("amount", b"0123"), O.NOT_JSON, "not JSON"),
    ("leading plus", raw("amount", b"+5"), O.NOT_JSON, "not JSON"),
    ("hex number", raw("amount", b"0x1F"), O.NOT_JSON, "not JSON"),
    ("bare point", raw("note", b"1."), O.NOT_JSON, "not JSON"),
    ("NaN", raw("amount", b"NaN"), O.NOT_JSON, "NaN"),
    ("Infinity", raw("note", b"Infinity"), O.NOT_JSON, "Infinity"),
    ("minus Infinity", raw("note", b"[-Infinity]"), O.NOT_JSON, "Infinity"),
    ("a list", b"[" + written() + b"]", O.NOT_AN_OBJECT, "found a list"),
    ("a string", b'"payment"', O.NOT_AN_OBJECT, "found 'payment'"),
    ("a number", b"17", O.NOT_AN_OBJECT, "found 17"),
    ("null", b"null", O.NOT_AN_OBJECT, "found null"),
    ("empty object", b"{}", O.MISSING_FIELD, "kind is missing"),
    ("amount twice", raw("amount", b'100,"amount":-100'), O.REPEATED_FIELD, "amount appears 2"),
    ("equal both times", raw("kind", b'"void","kind":"void"'), O.REPEATED_FIELD, "kind appears 2"),
    ("twice by an escape", raw("amount", rb'1,"\u0061mount":1'), O.REPEATED_FIELD, "amount app"),
    ("null and a value", raw("payer_id", b'null,"payer_id":"x"'), O.REPEATED_FIELD, "payer_id"),
    *[
        (f"no {field}", written(**{field: None}), O.MISSING_FIELD, f"{field} is missing")
        for field in ("payment_id", "kind", "merchant_id", "amount", "currency", "occurred_at")
    ],
    *[
        (f"{field} is null", raw(field, b"null"), O.WRONG_TYPE, f"{field} must be")
        for field in ("payment_id", "kind", "merchant_id", "amount", "currency", "occurred_at")
    ],
    ("amount as text", raw("amount", b'"80"'), O.WRONG_TYPE, "an integer, found '80'"),
    ("fraction", raw("amount", b"12.5"), O.WRONG_TYPE, "an integer, found 12.5"),
    ("whole fraction", raw("amount", b"100.0"), O.WRONG_TYPE, "an integer, found 100.0"),
    ("exponent", raw("amount", b"1e3"), O.WRONG_TYPE, "an integer, found 1e3"),
    ("boolean amount", raw("amount", b"true"), O.WRONG_TYPE, "an integer, found true"),
    ("list amount", raw("amount", b"[5]"), O.WRONG_TYPE, "an integer, found a list"),
    ("object merchant", raw("merchant_id", b'{"a":1}'), O.WRONG_TYPE, "string, found an object"),
    ("number as an id", raw("payment_id", b"18446744073709551616"), O.WRONG_TYPE, "a string"),
    ("negative id", raw("payer_id", b"-80241446968629135069"), O.WRONG_TYPE, "a string"),
    ("number as a kind", raw("kind", b"1"), O.WRONG_TYPE, "kind must be a string"),
    ("boolean funding", raw("funding", b"false"), O.WRONG_TYPE, "funding"),
    ("nothing", raw("amount", b"0"), O.OUT_OF_RANGE, "1 to 1000000000000000, found 0"),
    ("minus nothing", raw("amount", b"-0"), O.OUT_OF_RANGE, "found 0"),
    ("negative", raw("amount", b"-100"), O.OUT_OF_RANGE, "found -100"),
    ("too much", raw("amount", b"1000000000000001"), O.OUT_OF_RANGE, "found 1000000000000001"),
    ("64 bits", raw("amount", b"9223372036854775808"), O.OUT_OF_RANGE, "found 92233"),
    ("34 digits", raw("amount", b"9" * 34), O.OUT_OF_RANGE, "amount must be 1 to"),
    ("5,000 digits", raw("amount", b"9" * 5_000), O.OUT_OF_RANGE, "9..."),
    (
        "time in microseconds",
        raw("occurred_at", b"1760000000000000"),
        O.OUT_OF_RANGE,
        "occurred_at",
    ),
    ("time before 1970", raw("occurred_at", b"-1"), O.OUT_OF_RANGE, "occurred_at"),
    ("empty id", raw("merchant_id", b'""'), O.OUT_OF_RANGE, "1 to 64 bytes long, found ''"),
    ("long id", raw("payment_id", b'"%s"' % (b"x" * 65)), O.OUT_OF_RANGE, "1 to 64 bytes"),
    ("long in bytes", raw("payer_id", b'"%s"' % ("é" * 33).encode()), O.OUT_OF_RANGE, "bytes"),
    ("empty payer", raw("payer_id", b'""'), O.OUT_OF_RANGE, "payer_id"),
    ("long channel", raw("channel", b'"%s"' % (b"x" * 33)), O.OUT_OF_RANGE, "1 to 32 bytes"),
    ("unknown funding", raw("funding", b'"gold"'), O.OUT_OF_RANGE, "one of balance, debit"),
    (
        "original after it",
        json.dumps({**REFUND, "original_occurred_at": NOW + 1}).encode(),
        O.OUT_OF_RANGE,
        "at most occurred_at",
    ),
    ("unknown kind", raw("kind", b'"gift"'), O.UNKNOWN_KIND, "payment, refund"),
    ("kind in capitals", raw("kind", b'"PAYMENT"'), O.UNKNOWN_KIND, "found 'PAYMENT'"),
    ("no such currency", raw("currency", b'"XXQ"'), O.UNKNOWN_CURRENCY, "found 'XXQ'"),
    ("small letters", raw("currency", b'"cny"'), O.UNKNOWN_CURRENCY, "found 'cny'"),
    ("four letters", raw("currency", b'"CNYX"'), O.UNKNOWN_CURRENCY, "ISO 4217"),
    ("empty currency", raw("currency", b'""'), O.UNKNOWN_CURRENCY, "ISO 4217"),
    ("letters of elsewhere", raw("currency", '"ＣＮＹ"'.encode()), O.UNKNOWN_CURRENCY, "ISO"),
    ("megabyte string", raw("merchant_id", b'"%s"' % (b"a" * 700_000)), O.TOO_LARGE, "65536"),
    ("megabyte of space", b" " * 700_000 + written(), O.TOO_LARGE, "at most 65536"),
    ("100,000 brackets", b"[" * 100_000, O.TOO_LARGE, "100000 bytes"),
    ("60,000 brackets", b"[" * 60_000, O.TOO_DEEP, "more than 32 levels"),
    ("60,000 objects", b'{"a":' * 12_000, O.TOO_DEEP, "more than 32 levels"),
    ("deep in a field", raw("note", b"[" * 32 + b"]" * 32), O.TOO_DEEP, "more than 32 levels"),
    ("64 kB of ones", raw("merchant_id", b'"%s@"' % (b"1" * 60_000)), O.OUT_OF_RANGE, "'111"),
    ("64 kB of brackets", raw("note", b"[],".join([b""] * 20_000) + b"1"), O.NOT_JSON, "not JSON"),
]


@pytest.mark.parametrize(
    ("value", "outcome", "part"),
    [odd[1:] for odd in ODDITIES],
    ids=[odd[0] for odd in ODDITIES],
)
def test_an_odd_record_is_refused_with_its_reason_and_costs_only_itself(
    value: bytes | None, outcome: Outcome, part: str
) -> None:
    result = decoded(written(merchant_id="before"), value, written(merchant_id="after"))

    assert result.outcomes() == [Outcome.PENDING, outcome, Outcome.PENDING]
    assert result.merchants() == ["before", "after"]
    (refusal,) = result.refusals
    assert (refusal.index, refusal.outcome) == (1, outcome)
    assert part in refusal.sentence
    assert refusal.sentence.isascii()
    assert refusal.sentence.isprintable()
    assert len(refusal.sentence) < 200


GOOD: list[tuple[str, bytes]] = [
    ("white space everywhere", json.dumps(PAYMENT, indent=8).replace("\n", "\r\n\t").encode()),
    ("fields backwards", json.dumps(dict(reversed(PAYMENT.items()))).encode()),
    (
        "unknown fields of every type",
        written(a=1.5e-3, b="x", c=True, d=[], e={}, f=[[{}]]),
    ),
    ("an empty name", raw("", b"0")),
    ("an unknown field twice", raw("note", b'1,"note":2')),
    ("escapes in an unknown field", raw("note", rb'"\"\\\/\b\f\n\r\t\u00e9\ud83c\udfea"')),
    ("32 levels", raw("note", b"[" * 31 + b"]" * 31)),
    ("brackets in a string", raw("note", b'"' + b"[" * 1000 + b'"')),
    ("a huge number in an unknown field", raw("note", b"9" * 5_000 + b"e99999")),
    ("an escaped name", written().replace(b'"amount"', rb'"\u0061mount"')),
    ("an id of 64 bytes", raw("payment_id", b'"%s"' % (b"x" * 64))),
    ("the largest amount", raw("amount", b"1000000000000000")),
    ("the last millisecond", raw("occurred_at", b"253402300799999")),
    ("the first millisecond", raw("occurred_at", b"0")),
    ("a channel of 32 bytes", raw("channel", b'"%s"' % (b"x" * 32))),
    ("64 kB", written() + b" " * (65_536 - len(written()))),
    ("delete and quotes", raw("payer_id", rb'"\u007f\""')),
]


@pytest.mark.parametrize("value", [good[1] for good in GOOD], ids=[good[0] for good in GOOD])
def test_what_is_unusual_but_right_counts(value: bytes) -> None:
    result = decoded(value, written())

    assert result.refusals == []
    assert result.outcomes() == [Outcome.PENDING] * 2
    assert result.merchants() == ["merchant-1"] * 2


def test_the_fast_decoder_takes_the_usual_shapes_itself() -> None:
    values = [
        written(),
        json.dumps(PAYMENT, separators=(",", ":")).encode(),
        json.dumps(PAYMENT, indent=1).encode(),
        json.dumps(REFUND).encode(),
        written(meta={"app": "3.1", "geo": [1.25, -3], "nested": {"deep": [None, True]}}),
        json.dumps({**PAYMENT, "note": "新年快乐"}, ensure_ascii=False).encode(),
        b'{"kind":"tick","occurred_at":1760000000000}',
        written(note="新年快乐 🏪"),
    ]
    (batch,) = encode_messages([(None, value) for value in [*values, b"{}"]])
    fetched = read(batch._build(), 0)
    from features.events import allocate

    events = allocate(len(values) + 1)
    records = fetched.records
    fast.decode_usual(
        fetched.text,
        records.value_at,
        records.value_length,
        MINOR_DIGITS_TABLE,
        events,
        fast.scratch(),
    )

    assert events.outcome.tolist() == [Outcome.PENDING] * len(values) + [Outcome.SLOW]


def test_the_fast_decoder_knows_every_field_of_the_contract() -> None:
    assert set(names.FIELDS) == set(messages.PaymentEvent.__struct_fields__)


def test_no_records_make_no_events() -> None:
    fetched = read(b"", 0)

    events, text, refusals = decoded_by(fetched)

    assert (events.offset.size, text.size, refusals) == (0, 0, [])


@pytest.mark.parametrize("levels", [1, 31, 32, 33])
def test_depth_is_counted_outside_of_strings_only(levels: int) -> None:
    text = np.frombuffer(bytearray(b'["\\"[[[[", ' + b"[" * (levels - 1) + b"]" * levels), np.uint8)

    assert json_text.nests_deeper(text, json_text.DEEPEST) == (levels > 32)
