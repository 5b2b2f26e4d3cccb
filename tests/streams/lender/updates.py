"""Limit updates for the tests of a lender."""

import msgspec

from streams.contract.examples import EXAMPLES
from streams.contract.messages import LimitUpdate


def update(merchant: str, version: int, limit: int, **changes: object) -> LimitUpdate:
    """An update of the platform's loan."""
    (usual,) = (each for each in EXAMPLES[LimitUpdate] if isinstance(each, LimitUpdate))
    return msgspec.structs.replace(
        usual, merchant_id=merchant, version=version, limit=limit, **changes
    )


def encoded(one: LimitUpdate) -> bytes:
    """The same as the value of a record."""
    return msgspec.json.encode(one)


SECOND = 1_767_315_600_000
"""Three versions of m1 lie inside this second, in an order that their times do not tell."""

UPDATES = [
    update("m1", 1, 500_000, previous_limit=0, as_of=SECOND + 120),
    update("m1", 2, 400_000, previous_limit=500_000, as_of=SECOND + 640),
    update("m1", 5, 450_000, previous_limit=400_000, as_of=SECOND + 640),
    update("m1", 2, 90_000, product="advance", as_of=SECOND),
    update("m2", 3, 0, as_of=SECOND - 86_400_000),
    update("m2", 9, 70_000, as_of=SECOND - 86_400_000),
]
"""Versions rise, but not by one."""

NEWEST = [UPDATES[3], UPDATES[2], UPDATES[5]]
"""What is known in the end, by merchant and product."""

BROKEN: list[bytes | None] = [
    None,
    b"",
    b"{not JSON",
    b"\xff\xfe",
    b"[]",
    b'{"merchant_id": "m1", "version": 99}',
    encoded(update("m1", 99, 1)).replace(b'"schema_version":1', b'"schema_version":2'),
    encoded(update("m1", 99, 1)).replace(b'"version":99', b'"version":"99"'),
    encoded(update("m1", 99, 1, lender_id="harbour")),
]
"""Records that change nothing: a tombstone, some that nobody can read, one of another lender."""
