"""What the payments topic's folds are decoded into."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streams.contract.currencies import MINOR_DIGITS_TABLE
from streams.decode.payments import Refusal, decode
from streams.decode.routing import mark_misrouted

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from features.events import Events
    from streams.transport.fold import Fold


class Decoded(NamedTuple):
    """A fold of payments.

    Attributes:
        events: columns, one entry a record of the fold.
        text: the bytes that the events' merchant ids stand in.
        refusals: why records were refused, in words.
        misrouted: payments that belong to another partition; their outcome says so.
    """

    events: Events
    text: NDArray[np.uint8]
    refusals: list[Refusal]
    misrouted: int


def fold_decoder(partitions: int) -> Callable[[Fold], Decoded]:
    """Return what decodes the folds of the topic `payments`, which has so many partitions."""

    def decoded(fold: Fold) -> Decoded:
        events, text, refusals = decode(fold.records, fold.text, MINOR_DIGITS_TABLE)
        misrouted = mark_misrouted(events, text, fold.partition, partitions)
        return Decoded(events, text, refusals, misrouted)

    return decoded
