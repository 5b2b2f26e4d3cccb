"""Records as they were met in the field: good payments, and values that are none."""

import itertools
import json
import time
from typing import Any

import numpy as np

from features.hashing import hash_of
from scorers.hold_out import is_held_out
from scorers.limits import args_of
from scorers.policy import BUILT_IN
from tests.integration.watched import Record, home

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
PARTITIONS = 5
ORDINARY = (0, 1, 2)
"""Partitions whose event time stays near the present."""
QUIET = 3
"""The partition of the merchants for whom only ticks let time pass."""
BLOCKED = 4
"""The partition that meets the batch which cannot be opened."""
MEGABYTE = 1_000_000
POLICY = args_of(BUILT_IN)

_numbers = itertools.count(1)


def now_ms() -> int:
    """The present, epoch ms."""
    return time.time_ns() // 1_000_000


def merchant(name: str, *partitions: int) -> str:
    """A merchant id that nobody else has, at home in one of the partitions, not in the hold-out."""
    for number in _numbers:
        identifier = f"{name}-{number}"
        if is_held_out(np.uint64(hash_of(identifier.encode())), POLICY):
            continue
        if home(identifier.encode(), PARTITIONS) in (partitions or ORDINARY):
            return identifier
    raise AssertionError("numbers do not end")


def payment(merchant_id: str, **fields: Any) -> dict[str, Any]:
    """A payment of one yuan a minute ago under an id of its own, unless the fields say else."""
    return {
        "payment_id": f"p{next(_numbers)}",
        "kind": "payment",
        "merchant_id": merchant_id,
        "amount": 100,
        "currency": "CNY",
        "occurred_at": now_ms() - MINUTE_MS,
        **fields,
    }


def record(event: dict[str, Any], **place: Any) -> Record:
    """The event as its merchant's record; `place` changes key, headers, timestamp, partition."""
    return Record(**{"value": encoded(event), "key": event["merchant_id"].encode(), **place})


def encoded(event: dict[str, Any]) -> bytes:
    """The event as JSON."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def tick(partition: int, at: int) -> Record:
    """A record that lets time pass in a partition."""
    return Record(encoded({"kind": "tick", "occurred_at": at}), partition=partition)


def settled_stall(merchant_id: str, last_at: int) -> list[dict[str, Any]]:
    """Twelve payments of six payers on four days, the last at `last_at`: enough for a limit."""
    return [
        payment(
            merchant_id,
            amount=50_000,
            payer_id=f"{merchant_id}-payer-{n % 6}",
            occurred_at=last_at - (11 - n) // 3 * DAY_MS - (11 - n) % 3 * MINUTE_MS,
        )
        for n in range(12)
    ]


def wrong_values(merchant_id: str) -> dict[str, tuple[bytes, str]]:
    """Values that are no payment event, by name, with the reason that each must be given."""
    text = encoded(payment(merchant_id))
    absent = {
        f"without {name}": (encoded(_without(payment(merchant_id), name)), "missing_field")
        for name in ("payment_id", "kind", "merchant_id", "amount", "currency", "occurred_at")
    }
    return {
        "nothing": (b"", "not_json"),
        "a space": (b" ", "not_json"),
        "cut short": (text[:-1], "not_json"),
        "two in one": (text + text, "not_json"),
        "single quotes": (text.replace(b'"', b"'"), "not_json"),
        "not a number": (text.replace(b":100,", b":NaN,"), "not_json"),
        "infinity": (text.replace(b":100,", b":Infinity,"), "not_json"),
        "a leading zero": (text.replace(b":100,", b":0100,"), "not_json"),
        "a bare control character": (text.replace(b"CNY", b"C\nY"), "not_json"),
        "XML": (b"<payment/>", "not_json"),
        "a byte order mark": (b"\xef\xbb\xbf" + text, "not_json"),
        "UTF-16": (text.decode().encode("utf-16"), "not_utf8"),
        "Latin-1": (text.replace(b"CNY", "\xe9".encode("latin-1")), "not_utf8"),
        "an overlong slash": (text.replace(b"CNY", b"\xc0\xaf"), "not_utf8"),
        "half a surrogate pair": (text.replace(b'"p', b'"\\ud800'), "not_utf8"),
        "null in JSON": (b"null", "not_an_object"),
        "a number": (b"5", "not_an_object"),
        "a string": (b'"payment"', "not_an_object"),
        "a list": (b"[" + text + b"]", "not_an_object"),
        "true": (b"true", "not_an_object"),
        **absent,
        **_wrong_fields(merchant_id),
        "amount twice": (text.replace(b":100,", b':100,"amount":-100,'), "repeated_field"),
        "merchant twice": (
            text.replace(b'"amount"', b'"merchant_id":"somebody-else","amount"'),
            "repeated_field",
        ),
        "the same amount twice": (text.replace(b":100,", b':100,"amount":100,'), "repeated_field"),
        "a wall of brackets": (b"[" * 50_000, "too_deep"),
        "objects in objects": (_memo(text, b'{"a":' * 10_000 + b"1" + b"}" * 10_000), "too_deep"),
        "lists in a field": (_memo(text, b"[" * 30_000 + b"]" * 30_000), "too_deep"),
        "a megabyte of memo": (_memo(text, b'"' + b"x" * MEGABYTE + b'"'), "too_large"),
        "a megabyte of spaces": (text + b" " * MEGABYTE, "too_large"),
        "a megabyte of digits": (text.replace(b":100,", b":1%b," % (b"0" * MEGABYTE)), "too_large"),
        "a long number": (text.replace(b":100,", b":1%b," % (b"0" * 60_000)), "out_of_range"),
    }  # fmt: skip


def _wrong_fields(merchant_id: str) -> dict[str, tuple[bytes, str]]:
    """One field of a good payment replaced."""
    wrong: dict[str, list[tuple[str, object]]] = {
        "wrong_type": [
            ("amount", "80"), ("amount", 80.0), ("amount", 80.5), ("amount", 1e300),
            ("amount", True), ("amount", None), ("amount", [80]), ("amount", {}),
            ("payment_id", 18446744073709551616), ("payment_id", 18446744073709551617),
            ("payment_id", None), ("payer_id", -80241446968629135069), ("payer_id", {"id": "u"}),
            ("merchant_id", 7), ("merchant_id", ["m"]), ("currency", 156), ("kind", None),
            ("kind", 0), ("occurred_at", "2026-01-01T00:00:00Z"), ("occurred_at", 1.5),
            ("channel", False), ("funding", 2), ("original_occurred_at", "yesterday"),
        ],
        "out_of_range": [
            ("amount", 0), ("amount", -100), ("amount", 10**15 + 1), ("amount", 2**63),
            ("amount", 9999999999999999999999999999999999), ("payment_id", ""),
            ("payment_id", "x" * 65), ("payment_id", "\u94b1" * 22), ("merchant_id", ""),
            ("payer_id", "x" * 65), ("channel", "x" * 33), ("funding", "gold"),
            ("occurred_at", -1), ("occurred_at", 10**17),
            ("original_occurred_at", now_ms() + DAY_MS),
        ],
        "unknown_kind": [("kind", "failed"), ("kind", "PAYMENT"), ("kind", "")],
        "unknown_currency": [
            ("currency", "XXQ"), ("currency", "cny"), ("currency", "CN"), ("currency", "\u00a5"),
        ],
    }  # fmt: skip
    return {
        f"{name} {str(value)[:40]!r} {type(value).__name__}": (
            encoded(payment(merchant_id) | {name: value}),
            reason,
        )
        for reason, fields in wrong.items()
        for name, value in fields
    }


def _without(event: dict[str, Any], name: str) -> dict[str, Any]:
    return {field: value for field, value in event.items() if field != name}


def _memo(text: bytes, value: bytes) -> bytes:
    """The event with one more, unknown field."""
    return text[:-1] + b',"memo":' + value + b"}"
