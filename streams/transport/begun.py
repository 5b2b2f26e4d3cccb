"""A coroutine that runs at once as far as it can, before a task is made of it.

asyncio can do so by itself from Python 3.12 on (eager tasks).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator


class Begun:
    """A coroutine that has run up to where it first waits; whoever awaits it goes on with it.

    It must not ask which task it is in: that changes.

    Args:
        coroutine: one that has not been started.

    Raises:
        Exception: what the coroutine raises before it waits.

    Attributes:
        done: whether it has returned.
        result: what it has returned, None until then.

    >>> async def nothing_to_wait_for() -> int:
    ...     return 7
    >>> begun = Begun(nothing_to_wait_for())
    >>> begun.done, begun.result
    (True, 7)
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._waits_for: Any = None
        self.done = False
        self.result: Any = None
        self._advance(partial(coroutine.send, None))

    def _advance(self, step: Callable[[], Any]) -> None:
        try:
            self._waits_for = step()
        except StopIteration as returned:
            self.done, self.result = True, returned.value

    def __await__(self) -> Generator[Any, Any, Any]:
        """Go on until it returns."""
        while not self.done:
            try:
                sent = yield self._waits_for
            except BaseException as error:
                self._advance(partial(self._coroutine.throw, error))
            else:
                self._advance(partial(self._coroutine.send, sent))
        return self.result
