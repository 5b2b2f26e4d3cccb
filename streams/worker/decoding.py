"""What the payments topic's folds are decoded into."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streams.contract.currencies import MINOR_DIGITS_TABLE
from streams.decode.payments import Refusal, decode

if TYPE_CHECKING:
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
    """

    events: Events
    text: NDArray[np.uint8]
    refusals: list[Refusal]


def decode_fold(fold: Fold) -> Decoded:
    """Decode the payments of a fold."""
    return Decoded(*decode(fold.records, fold.text, MINOR_DIGITS_TABLE))
