"""What a field of a message may hold: the bounds stand here and nowhere else."""

from typing import Annotated

from msgspec import Meta

LARGEST_IDENTIFIER = 64
"""Longest identifier, in bytes of UTF-8 (the schemas can only say characters)."""

LARGEST_CHANNEL = 32
"""Longest channel name, in bytes of UTF-8."""

LARGEST_AMOUNT = 10**15
"""Largest amount of one event, in minor units: sums over any window stay inside 63 bits."""

LATEST_TIME = 253_402_300_799_999
"""Last millisecond of the year 9999: later times are mistakes of unit, not dates."""

LARGEST_EVENT = 65_536
"""Largest payment event, in bytes of JSON."""

Identifier = Annotated[
    str,
    Meta(min_length=1, max_length=LARGEST_IDENTIFIER, description="1 to 64 bytes of UTF-8."),
]
Channel = Annotated[
    str,
    Meta(min_length=1, max_length=LARGEST_CHANNEL, description="1 to 32 bytes of UTF-8."),
]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]
Milliseconds = Annotated[
    int, Meta(ge=0, le=LATEST_TIME, description="Milliseconds since 1970-01-01 UTC.")
]
Amount = Annotated[int, Meta(ge=1, le=LARGEST_AMOUNT)]
Limit = Annotated[int, Meta(ge=0)]
Version = Annotated[int, Meta(ge=0)]
