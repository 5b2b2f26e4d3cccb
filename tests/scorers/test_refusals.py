from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scorers.ledger import Ledger
from scorers.refusals import RefusalBook, Refused
from scorers.source import Source

TOPIC = "merchant-events"


def kept() -> tuple[Ledger, RefusalBook]:
    ledger = Ledger()
    return ledger, RefusalBook(ledger.book("refusals", Refused))


def test_partitions_and_topics_are_told_apart() -> None:
    _, refusals = kept()
    sources = [Source(TOPIC, 0, 7), Source(TOPIC, 1, 7), Source("other", 0, 7)]
    assert [refusals.note(source) for source in sources * 2] == [True] * 3 + [False] * 3


@given(st.sets(st.integers(0, 20)), st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20))))
def test_whatever_is_relayed_again_each_refused_event_is_noted_once(
    refused: set[int], lives: list[tuple[int, int]]
) -> None:
    """Each life of a relay begins anew with something that has been relayed."""
    ledger, refusals = kept()
    noted: list[int] = []
    relayed = 0
    for start, count in [*lives, (0, 30)]:
        begin = min(start, relayed)
        for offset in range(begin, begin + count):
            if offset in refused and refusals.note(Source(TOPIC, 0, offset)):
                noted.append(offset)
        relayed = max(relayed, begin + count)
    assert noted == sorted(refused)
    assert len(ledger) == (1 if refused else 0)


def test_a_restart_remembers_what_was_noted() -> None:
    ledger, refusals = kept()
    assert ledger.takes(3)
    refusals.note(Source(TOPIC, 2, 9))
    cut = ledger.cut(3)
    assert cut.mark is not None
    again, restored = kept()
    for key, value in [*cut.entries, cut.mark]:
        again.restore(key, value)
    assert [restored.note(Source(TOPIC, 2, offset)) for offset in (9, 10)] == [False, True]
