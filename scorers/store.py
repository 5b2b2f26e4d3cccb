"""Where entries are kept, by key, of one partition. Who implements it makes them durable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class Store(Protocol[T]):
    """Entries are frozen: a change puts another in the place of the one before."""

    def get(self, key: tuple[str, ...]) -> T | None:
        """Return the entry of a key, or None."""
        ...

    def put(self, key: tuple[str, ...], value: T) -> None:
        """Keep an entry in place of the one before."""
        ...


class Register(Store[T], Protocol[T]):
    """A store whose entries can be gone through and forgotten."""

    def delete(self, key: tuple[str, ...]) -> None:
        """Forget a key that is there."""
        ...

    def items(self) -> Iterator[tuple[tuple[str, ...], T]]:
        """Yield everything that is kept, in any order."""
        ...
