"""Where an event was read."""

from __future__ import annotations

from typing import NamedTuple


class Source(NamedTuple):
    """Topic, partition and offset of an event in the worker's log."""

    topic: str
    partition: int
    offset: int
