"""Which refused events have had their dead letter, so that one that is relayed twice has one.

A refused event changes nothing that is on record of its merchant, so the record cannot tell that it
has been there. Nor should it: whoever sends nonsense about merchants that nobody knows would fill
the memory with their records. What is kept instead is one number for each partition of the topic
that the events come from, however many merchants there are: how far refusals have come in it. The
relay reads a partition in its order and puts that order into the log, and begins anew only with
what it has put there already. So a refused event at or below that number has been met before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from scorers.source import Source
    from scorers.store import Store


class Refused(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far refusals have come in one partition of a topic.

    Attributes:
        offset: of the last event that was refused.
        schema_version: of this layout.
    """

    offset: int
    schema_version: int = 1


class RefusalBook:
    """The refusals of one partition of the log.

    Args:
        store: keeps a `Refused` by topic and partition.
    """

    def __init__(self, store: Store[Refused]) -> None:
        self._store = store

    def note(self, source: Source) -> bool:
        """Note that an event is refused; tell whether it is for the first time.

        Args:
            source: where the event came from. Its partition is one that the topic has: whoever
                asks sees to it, or what is kept could grow with what events say.
        """
        key = (source.topic, str(source.partition))
        known = self._store.get(key)
        if known is not None and source.offset <= known.offset:
            return False
        self._store.put(key, Refused(source.offset))
        return True
