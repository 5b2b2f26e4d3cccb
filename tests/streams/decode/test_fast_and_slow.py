"""The fast decoder against the slow one, on events that are nearly right."""

import json
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import Events, Outcome, allocate
from streams.contract.currencies import MINOR_DIGITS_TABLE
from streams.contract.messages import PaymentEvent
from streams.decode import payments
from streams.decode.fast import decode_usual, scratch
from streams.decode.json_text import after_value
from streams.decode.slow import decode_event
from streams.decode.strict import Refused
from tests.streams.decode.events import NOW, PAYMENT, REFUND

tuned = settings(deadline=None, max_examples=150)

texts = st.one_of(
    st.text(max_size=12),
    st.text(alphabet='ab"\\/\n\u0000\x7fé商🏪', max_size=70),
    st.sampled_from(["m" * 64, "m" * 65, "é" * 32, "é" * 33, "", "payment", "1"]),
)
numbers = st.one_of(
    st.integers(-5, 5),
    st.integers(-(10**20), 10**20),
    st.sampled_from([10**15, 10**15 + 1, NOW, 253_402_300_799_999, 253_402_300_800_000]),
    st.floats(allow_nan=True),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
)
right: dict[str, st.SearchStrategy[Any]] = {
    "kind": st.sampled_from(
        ["payment", "refund", "chargeback", "chargeback_reversed", "void", "outflow"]
    ),
    "currency": st.sampled_from(["CNY", "JPY", "KWD", "XXQ"]),
    "funding": st.sampled_from(["balance", "debit", "credit", "other", None]),
    "amount": st.integers(1, 10**15),
    "occurred_at": st.integers(0, 10**14),
    "original_occurred_at": st.none() | st.integers(0, 10**14),
}


@st.composite
def spelled(draw: st.DrawFn, value: Any) -> str:
    """JSON of a value, with white space and escapes where they make no difference."""
    space = draw(st.sampled_from(["", " ", "\n", "\t\r "]))
    ascii_only = draw(st.booleans())
    return space + json.dumps(value, ensure_ascii=ascii_only) + space


@st.composite
def nearly_events(draw: st.DrawFn) -> bytes:
    """The bytes of an event with some fields missing, odd, unknown, repeated or out of order."""
    fields = list(draw(st.sampled_from([PAYMENT, REFUND])).items())
    for _ in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from([*REFUND, "note", "am", "payment_ix", "original_occurred_au"]))
        value = draw(st.one_of(right.get(name, texts), anything))
        at = draw(st.integers(0, len(fields)))
        change = draw(st.sampled_from(["set", "set", "set", "insert", "drop"]))
        if change != "insert":
            fields = [field for field in fields if field[0] != name]
        if change != "drop":
            fields.insert(at, (name, value))
    if draw(st.booleans()):
        fields = draw(st.permutations(fields))
    members = [f"{draw(spelled(name))}:{draw(spelled(value))}" for name, value in fields]
    data = ("{" + ",".join(members) + "}").encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(data)))
        broken = draw(
            st.binary(max_size=2) | st.sampled_from([b'"', b"\\", b"{", b"]", b",", b"0"])
        )
        data = data[:at] + broken + data[at + draw(st.integers(0, 2)) :]
    return data


def decoded_fast(data: bytes, before: bytes = b"", behind: bytes = b"") -> dict[str, Any] | None:
    """The row of the fast decoder, None when it leaves the event to the slow one."""
    events = allocate(1)
    text = np.frombuffer(bytearray(before + data + behind), np.uint8)
    decode_usual(
        text, np.array([len(before)]), np.array([len(data)]), MINOR_DIGITS_TABLE, events, scratch()
    )
    return row(events, text) if events.outcome[0] == Outcome.PENDING else None


def decoded_slow(data: bytes) -> dict[str, Any] | None:
    """The row of the slow decoder, None when it refuses the event."""
    events = allocate(1)
    text = payments._Text(np.zeros(0, np.uint8))
    try:
        payments._fill(events, 0, decode_event(data, MINOR_DIGITS_TABLE), text)
    except Refused:
        return None
    return row(events, text.whole())


def row(events: Any, text: Any) -> dict[str, Any]:
    found = {name: column[0].item() for name, column in events._asdict().items()}
    at, length = found.pop("merchant_at"), found["merchant_length"]
    return {**found, "merchant": text[at : at + length].tobytes()}


@tuned
@given(nearly_events(), st.binary(max_size=9), st.binary(max_size=30))
def test_what_the_fast_decoder_accepts_the_slow_one_accepts_with_the_same_columns(
    data: bytes, before: bytes, behind: bytes
) -> None:
    fast = decoded_fast(data, before, behind)

    assert fast is None or fast == decoded_slow(data)


@tuned
@given(nearly_events())
def test_the_slow_decoder_accepts_nothing_that_the_contract_does_not(data: bytes) -> None:
    if decoded_slow(data) is not None:
        msgspec.json.decode(data, type=PaymentEvent)


@tuned
@given(anything, st.binary(max_size=3), st.integers(0, 200), st.integers(0, 2))
def test_a_value_that_is_skipped_is_json(value: Any, put: bytes, at: int, cut: int) -> None:
    data = json.dumps(value).encode()
    data = data[:at] + put + data[at + cut :]
    text = np.frombuffer(bytearray(data + b" " * 8), np.uint8)

    end = after_value(text, 0, len(data))

    if end >= 0:
        json.loads(data[:end].decode(), parse_constant=lambda name: 1 / 0)


@settings(tuned, max_examples=40)
@given(st.lists(nearly_events(), min_size=2, max_size=6))
def test_what_came_before_does_not_matter(values: list[bytes]) -> None:
    """The fast decoder tries the layout of the event before: that may only be quicker."""
    text = np.frombuffer(bytearray(b"".join(values)), np.uint8)
    length = np.array([len(value) for value in values])
    at = np.cumsum(length) - length
    together, alone = allocate(len(values)), allocate(len(values))
    decode_usual(text, at, length, MINOR_DIGITS_TABLE, together, scratch())
    for i in range(len(values)):
        one = Events._make(column[i : i + 1] for column in alone)
        decode_usual(text, at[i : i + 1], length[i : i + 1], MINOR_DIGITS_TABLE, one, scratch())

    for name, column in together._asdict().items():
        assert column.tolist() == getattr(alone, name).tolist(), name
