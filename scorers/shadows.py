"""Shadow policies: what they would give is counted beside the live ones, and changes nothing.

A shadow is compared with what its live policy gives by the same measure, without memory: as if
the merchant had no limit yet and got all of it at once. The limit in force lags behind that by its
dead band, its cool-down and its steps, so that next to it even a copy of the live policy would
seem to be another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from features.compiler import inlined, kernel
from scorers.cover import cover_of
from scorers.credit import credit_of
from scorers.entitlements import ENTITLEMENTS, FULL, as_records
from scorers.limits import COVER, as_policies, index_of, table_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from features.views import Row
    from scorers.catalogue import Policies
    from scorers.entitlements import Entitled
    from scorers.evaluation import Book, Scratch
    from scorers.limits import PolicyArgs
    from scorers.policy import Policy, PolicyName


class Counted(NamedTuple):
    """What evaluations have led to, of one shadow; amounts are sums over them, in minor units."""

    higher: int
    """Evaluations in which the shadow gives more than its live policy."""
    same: int
    lower: int
    shadow: int
    """What the shadow gives."""
    live: int
    """What the live policy gives by the same measure."""
    in_force: int
    """Limits in force."""


_HIGHER: Final = Counted._fields.index("higher")
_SAME: Final = Counted._fields.index("same")
_LOWER: Final = Counted._fields.index("lower")
_SHADOW: Final = Counted._fields.index("shadow")
_LIVE: Final = Counted._fields.index("live")
_IN_FORCE: Final = Counted._fields.index("in_force")


class Shadows(NamedTuple):
    """Shadows and their counts, laid out for the kernels."""

    there: int
    """How many there are."""
    beside: NDArray[np.int32]
    """Of each live policy (`PolicyTable`), where its shadow stands in `table`; -1 for none."""
    table: NDArray[np.uint8]
    """The bytes of the shadows, for `as_policies`."""
    counted: NDArray[np.float64]
    """Shape (shadows, 6), in the order of `Counted`. A sum of amounts would soon leave an int64
    where caps are at their largest, and whoever reads the metrics has floats anyway."""


class ShadowBook:
    """The shadows beside the policies in force, and what has been counted of them.

    Attributes:
        kernels: the same for the kernels, which count there.
    """

    kernels: Shadows

    def __init__(self) -> None:
        self._shadows: tuple[Policy, ...] = ()
        self._paired: list[PolicyName] = []
        self._before: dict[PolicyName, NDArray[np.float64]] = {}

    def put_beside(self, policies: Policies) -> None:
        """Count from now on beside these policies in force."""
        self._keep()
        places = {policy.name: place for place, policy in enumerate(policies)}
        paired = [shadow for shadow in self._shadows if shadow.name.live in places]
        self._paired = [shadow.name for shadow in paired]
        beside = np.full(len(policies), -1, np.int32)
        for at, shadow in enumerate(paired):
            beside[places[shadow.name.live]] = at
        counted = np.zeros((len(paired), len(Counted._fields)))
        self.kernels = Shadows(len(paired), beside, table_of(paired).table, counted)

    def follow(self, shadows: tuple[Policy, ...], policies: Policies) -> bool:
        """Count these shadows from now on; tell whether they are others than before."""
        if shadows == self._shadows:
            return False
        self._shadows = shadows
        self.put_beside(policies)
        return True

    def take(self) -> dict[PolicyName, Counted]:
        """Return what has been counted since the last call, by shadow."""
        self._keep()
        taken, self._before = self._before, {}
        return {name: Counted(*map(int, counts)) for name, counts in taken.items()}

    def _keep(self) -> None:
        for at, name in enumerate(self._paired):
            counted = self.kernels.counted[at]
            if counted.any():
                self._before[name] = self._before.get(name, 0.0) + counted
                counted[:] = 0.0


@kernel
def count_shadows(
    row: Row, number: int, drawn: float, pd: float, book: Book, scratch: Scratch
) -> None:
    """Count what each shadow gives beside a limit of a row that has just been decided on.

    Args:
        row: of the merchant, as of whose clock it is counted.
        number: of its record, or -1 for none.
        drawn: its draw for the hold-out.
        pd: its probability of default.
        book: by what it was evaluated; the counts of its shadows rise.
        scratch: the merchant's figures.
    """
    shadows = book.shadows
    live, others = as_policies(book.policies.table), as_policies(shadows.table)
    closed, standing = False, FULL
    if number >= 0:
        known = as_records(book.entitled)[number]
        closed, standing = known.closed != 0, int(known.standing[ENTITLEMENTS])
    at = shadows.beside[0]
    if at >= 0 and row.clock < others[at].ends_at:
        standing = 0 if closed else standing
        gives = _credit(row, drawn, pd, standing, others[at], scratch)
        before = _credit(row, drawn, pd, standing, live[0], scratch)
        _count(gives, before, row.limit, at, shadows)
    if number < 0:
        return
    record = as_records(book.entitled)[number]
    for entry in range(ENTITLEMENTS):
        place = index_of(record.key[entry], book.policies)
        at = shadows.beside[place] if place >= 0 else -1
        if at < 0 or row.clock >= others[at].ends_at:
            continue
        standing = 0 if closed else int(record.standing[entry])
        if live[place].rule == COVER:
            gives = _cover(row, record, standing, others[at])
            before = _cover(row, record, standing, live[place])
        else:
            gives = _credit(row, drawn, pd, standing, others[at], scratch)
            before = _credit(row, drawn, pd, standing, live[place], scratch)
        _count(gives, before, record.limit[entry], at, shadows)


@inlined
def _credit(
    row: Row, drawn: float, pd: float, standing: int, policy: PolicyArgs, scratch: Scratch
) -> int:
    """Return the limit that a policy gives a merchant that never had one."""
    held_out = drawn < policy.hold_out_share
    return credit_of(row, held_out, scratch.vector, pd, 0, 0, standing, policy)


@inlined
def _cover(row: Row, record: Entitled, standing: int, policy: PolicyArgs) -> int:
    if row.currency != policy.currency or row.clock >= policy.ends_at or standing <= 0:
        return 0
    return cover_of(record, policy)


@inlined
def _count(gives: int, before: int, in_force: int, at: int, shadows: Shadows) -> None:
    counted = shadows.counted
    if gives > before:
        counted[at, _HIGHER] += 1.0
    elif gives < before:
        counted[at, _LOWER] += 1.0
    else:
        counted[at, _SAME] += 1.0
    counted[at, _SHADOW] += gives
    counted[at, _LIVE] += before
    counted[at, _IN_FORCE] += in_force
