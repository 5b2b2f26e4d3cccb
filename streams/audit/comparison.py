"""Whether what was received is what the log leads to, field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from scorers.applications.messages import Decision, reproducible
from streams.audit.received import named_alike
from streams.contract.messages import LimitUpdate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.audit.received import Message, Received


class Difference(NamedTuple):
    """A field that is not the same; what is not there is None."""

    field: str
    """For example `reasons[0].effect`."""
    received: str | None
    """JSON."""
    recomputed: str | None
    """JSON."""


class Comparison(NamedTuple):
    """What a message and the log say of each other."""

    same: bool
    """Byte for byte, but for what was measured."""
    differences: list[Difference]
    recomputed: Message | None
    """None when the log leads to nothing of the kind at that place."""


def compare(said: Received, found: Sequence[Message]) -> Comparison:
    """Compare a message with what one record of the log leads to.

    Args:
        said: the message, as it was received.
        found: everything that the record at the message's source leads to.
    """
    alike = [each for each in found if named_alike(said.message, each)]
    if not alike:
        return Comparison(same=False, differences=[], recomputed=None)
    recomputed = _closest(said.message, alike)
    raw = encoded(recomputed)
    same = said.as_written and said.reproducible == raw
    fields = msgspec.json.decode(raw, type=dict[str, Any])
    return Comparison(same, [] if same else differences(said.fields, fields), recomputed)


def encoded(message: Message) -> bytes:
    """Return a message as JSON, without what is measured."""
    return reproducible(message) if isinstance(message, Decision) else msgspec.json.encode(message)


def differences(received: dict[str, Any], recomputed: dict[str, Any]) -> list[Difference]:
    """Return the fields in which two messages differ, in the order in which they stand.

    >>> differences({"limit": 2, "reasons": [{"code": "a"}]}, {"limit": 1, "reasons": []})
    [Difference(field='limit', received='2', recomputed='1'),
     Difference(field='reasons[0].code', received='"a"', recomputed=None),
     Difference(field='reasons', received=None, recomputed='[]')]
    """
    said, known = dict(_leaves("", received)), dict(_leaves("", recomputed))
    return [
        Difference(field, said.get(field), known.get(field))
        for field in dict.fromkeys((*said, *known))
        if said.get(field) != known.get(field)
    ]


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(f"{path}.{name}" if path else name, inner)
    elif isinstance(value, list) and value:
        for place, inner in enumerate(value):
            yield from _leaves(f"{path}[{place}]", inner)
    else:
        yield path, msgspec.json.encode(value).decode()


def _closest(said: Message, alike: list[Message]) -> Message:
    """Return what is meant: one record may move a limit twice, by time passing and by itself."""
    if isinstance(said, LimitUpdate):
        for each in alike:
            if isinstance(each, LimitUpdate) and each.version == said.version:
                return each
    return alike[-1]
