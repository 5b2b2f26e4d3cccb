"""Where the state of applications is kept. Who implements it makes it durable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class Store(Protocol[T]):
    """Frozen values by key, of one partition."""

    def get(self, key: tuple[str, ...]) -> T | None:
        """Return the value of a key, or None."""
        ...

    def put(self, key: tuple[str, ...], value: T) -> None:
        """Keep a value in place of the one before."""
        ...

    def delete(self, key: tuple[str, ...]) -> None:
        """Forget a key; one that is not there is no error."""
        ...

    def items(self) -> Iterator[tuple[tuple[str, ...], T]]:
        """Yield everything that is kept, in any order."""
        ...
