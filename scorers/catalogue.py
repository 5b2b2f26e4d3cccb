"""All policies that have been published, and which of them are in force at which moment."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from scorers.limits import table_of
from scorers.policy import BUILT_IN, EVERYBODYS, Policy, PolicyName

if TYPE_CHECKING:
    from collections.abc import Iterator


class Moment(NamedTuple):
    """Where a set of policies was taken: it names the set."""

    position: int
    """Offset of the last record of the topic `policies` that it stands on; -1 for none."""
    at: int
    """Event time, epoch ms: versions that are valid from a later time on are not in it."""


BEGINNING = Moment(-1, -1)


class Policies:
    """The policies in force together; the one that every merchant has comes first.

    Args:
        policies: at most one of each lender and product. When none is every merchant's, the
            built-in one is.
        moment: where they were taken.

    >>> Policies([]).everybodys.version
    0
    """

    def __init__(self, policies: list[Policy], moment: Moment = BEGINNING) -> None:
        named = {EVERYBODYS: BUILT_IN, **{policy.name: policy for policy in policies}}
        others = [policy for name, policy in named.items() if name != EVERYBODYS]
        others.sort(key=lambda policy: policy.name.key)
        self._policies = (named[EVERYBODYS], *others)
        self._by_name = named
        self.moment = moment
        self.table = table_of(self._policies)

    @property
    def everybodys(self) -> Policy:
        """The one that every merchant has."""
        return self._policies[0]

    def __len__(self) -> int:
        return len(self._policies)

    def __iter__(self) -> Iterator[Policy]:
        return iter(self._policies)

    def __getitem__(self, index: int) -> Policy:
        """Return a policy by its place in `table`."""
        return self._policies[index]

    def find(self, name: PolicyName) -> Policy | None:
        """Return the policy of a lender and product, or None."""
        return self._by_name.get(name)


BUILT_IN_POLICIES = Policies([])


class Catalogue:
    """Every version of every policy, in the order in which they were published.

    Shadows are kept apart from what is in force: no checkpoint names them, and publishing one
    moves neither `position` nor what a `Moment` stands for.

    Args:
        lenders: who may have policies.

    >>> catalogue = Catalogue(["platform", "bank"])
    >>> catalogue.add(Policy(version=1, lender="bank", valid_from=2000), position=7)
    >>> [len(catalogue.in_force(at)) for at in (1999, 2000)]
    [1, 2]
    """

    def __init__(self, lenders: tuple[str, ...] | list[str]) -> None:
        self._lenders = frozenset(lenders)
        self._versions: defaultdict[PolicyName, list[tuple[int, Policy]]] = defaultdict(list)
        self._names: dict[int, PolicyName] = {}
        self._shadow_names: set[PolicyName] = set()
        self._changes: list[int] = []
        self._made: dict[tuple[int, int], Policies] = {}
        self.position = BEGINNING.position

    def __iter__(self) -> Iterator[Policy]:
        for name in sorted(self._versions):
            yield from (policy for _, policy in self._versions[name])

    def newest(self, name: PolicyName) -> Policy | None:
        """Return the newest version of a policy, valid by now or not."""
        versions = self._versions.get(name)
        return versions[-1][1] if versions else None

    def as_live(self, policy: Policy) -> Policy:
        """Return what a policy would be in the place of the live one: itself if it is no shadow."""
        if not policy.shadow:
            return policy
        live = self.newest(policy.name.live)
        version = 1 if live is None else live.version + 1
        return msgspec.structs.replace(policy, shadow=False, version=version)

    def check(self, policy: Policy) -> None:
        """Refuse a policy that cannot come next.

        Raises:
            ValueError: its lender is unknown, or its version does not rise.
        """
        if policy.lender not in self._lenders:
            raise ValueError(
                f"lender {policy.lender} is unknown here: there are"
                f" {', '.join(sorted(self._lenders))}"
            )
        before = self.newest(policy.name)
        version = 0 if before is None else before.version
        if policy.version <= version:
            raise ValueError(
                f"version {policy.version} of {policy.name} does not follow version {version}"
            )
        twin = self._names.get(policy.name.key, policy.name)
        if twin != policy.name:
            raise ValueError(f"rows could not tell {policy.name!r} from {twin!r}")

    def add(self, policy: Policy, position: int) -> None:
        """Take in a policy that has been published behind all others.

        The very same version once more changes nothing.

        Raises:
            ValueError: it cannot come next (`check`); what is there stays.
        """
        if any(policy == known for _, known in self._versions.get(policy.name, ())):
            return
        self.check(policy)
        self._versions[policy.name].append((position, policy))
        self._names[policy.name.key] = policy.name
        if policy.shadow:
            self._shadow_names.add(policy.name)
            return
        self._changes.append(-1 if policy.valid_from is None else policy.valid_from)
        self._changes.sort()
        self.position = position
        self._made.clear()

    def in_force(self, at: int, position: int | None = None) -> Policies:
        """Return what is in force at an event time (epoch ms), by what stood at a position.

        Of each lender and product that is the newest version that is valid by then; a version
        that came later may be valid sooner.

        Raises:
            LookupError: the position has not been published, or not read yet.
        """
        position = self.position if position is None else position
        if position > self.position:
            raise LookupError(f"the topic policies has been read up to offset {self.position} only")
        stamp = (position, bisect_right(self._changes, at))
        made = self._made.get(stamp)
        if made is None:
            made = self._made[stamp] = Policies(
                [
                    newest
                    for name, versions in self._versions.items()
                    if not name.shadow and (newest := _newest(versions, at, position)) is not None
                ],
                Moment(position, at),
            )
        return made

    def shadows(self, at: int) -> tuple[Policy, ...]:
        """Return the shadows to be counted at an event time (epoch ms), by all that is published.

        Of each lender and product that is the newest version that is valid by then, if it has
        not ended.
        """
        newest = (
            _newest(self._versions[name], at, sys.maxsize) for name in sorted(self._shadow_names)
        )
        return tuple(each for each in newest if each is not None and not each.ended(at))

    def moves(self, since: Moment, at: int) -> bool:
        """Tell whether other policies are in force now than at an earlier moment."""
        return since.position != self.position or bisect_right(
            self._changes, since.at
        ) != bisect_right(self._changes, at)


def _newest(versions: list[tuple[int, Policy]], at: int, position: int) -> Policy | None:
    valid = [
        policy
        for published, policy in versions
        if published <= position and (policy.valid_from is None or policy.valid_from <= at)
    ]
    return valid[-1] if valid else None


def retired(policy: Policy, at: int) -> Policy:
    """Return the next version of a policy, which gives nothing from an event time (ms) on.

    A shadow is no longer counted then.
    """
    return msgspec.structs.replace(
        policy, version=policy.version + 1, valid_from=None, valid_to=max(at, 1)
    )
