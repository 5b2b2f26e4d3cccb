"""What has come to stay costs the collector nothing, and dead cycles are freed all the same."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from streams.worker.memory import freeze_survivors, give_back_memory

if TYPE_CHECKING:
    from collections.abc import Iterator


class Node:
    """May refer to itself."""

    def __init__(self) -> None:
        self.other: Node | None = None


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    """Nothing stays hidden behind a test."""
    yield
    gc.unfreeze()


def seen(node: Node) -> bool:
    return any(each is node for each in gc.get_objects())


async def freeze_for_a_while() -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(freeze_survivors(0.001), 0.05)


async def test_what_stays_is_hidden_and_freed_when_nobody_refers_to_it() -> None:
    node = Node()
    assert seen(node)
    await freeze_for_a_while()
    assert not seen(node)
    gone = weakref.ref(node)
    del node
    assert gone() is None


async def test_a_cycle_that_is_dead_already_is_freed() -> None:
    node = Node()
    node.other = node
    gone = weakref.ref(node)
    del node
    await freeze_for_a_while()
    assert gone() is None


async def test_a_cycle_that_dies_later_is_freed_when_memory_is_given_back() -> None:
    node = Node()
    node.other = node
    gone = weakref.ref(node)
    await freeze_for_a_while()
    del node
    gc.collect()
    assert gone() is not None
    give_back_memory()
    assert gone() is None
