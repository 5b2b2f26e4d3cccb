"""Sums of money by merchant and by line, kept up to date entry by entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTHING: Mapping[Line, int] = {}


class Line(NamedTuple):
    """What a lender lends for one purpose in one currency; amounts of a line can be added."""

    lender_id: str
    product: str
    currency: str


class Exposure:
    """What the merchants of a partition owe, or have reserved: minor units, never below 0.

    >>> exposure, line = Exposure(), Line("bank", "loan", "CNY")
    >>> exposure.add("stall", line, 500)
    >>> exposure.add("stall", line, -200)
    >>> dict(exposure.of_merchant("stall")) == {line: 300}, exposure.of_line(line)
    (True, 300)
    """

    def __init__(self) -> None:
        self._of_merchant: dict[str, dict[Line, int]] = {}
        self._of_line: dict[Line, int] = {}

    def add(self, merchant_id: str, line: Line, amount: int) -> None:
        """Add an amount, which may be negative; what comes to 0 takes no room."""
        if not amount:
            return
        lines = self._of_merchant.setdefault(merchant_id, {})
        _add(lines, line, amount)
        if not lines:
            del self._of_merchant[merchant_id]
        _add(self._of_line, line, amount)

    def of_merchant(self, merchant_id: str) -> Mapping[Line, int]:
        """Return the sums of a merchant by line; lines at 0 are absent."""
        return self._of_merchant.get(merchant_id, _NOTHING)

    def of_line(self, line: Line) -> int:
        """Return the sum of a line over all merchants of the partition."""
        return self._of_line.get(line, 0)


def _add(sums: dict[Line, int], line: Line, amount: int) -> None:
    total = sums.get(line, 0) + amount
    if total:
        sums[line] = total
    else:
        sums.pop(line, None)
