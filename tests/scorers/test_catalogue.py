"""Which policies are in force: by what was published, and at which event time."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.catalogue import BEGINNING, Catalogue, Policies, retired
from scorers.limits import index_of
from scorers.policy import BUILT_IN, EVERYBODYS, Policy, PolicyName, Product

LENDERS = ("platform", "bank-a", "bank-b")


def policy_of(lender: str, version: int, **changes: object) -> Policy:
    return msgspec.structs.replace(BUILT_IN, lender=lender, version=version, **changes)


def versions_at(catalogue: Catalogue, at: int, position: int | None = None) -> dict[str, int]:
    return {each.lender: each.version for each in catalogue.in_force(at, position)}


def test_when_nothing_is_published_everybody_has_the_built_in_policy() -> None:
    assert list(Catalogue(LENDERS).in_force(0)) == [BUILT_IN]


def test_a_version_holds_from_its_own_time_on_and_the_one_before_until_then() -> None:
    catalogue = Catalogue(LENDERS)
    catalogue.add(policy_of("bank-a", 1), 0)
    catalogue.add(policy_of("bank-a", 2, valid_from=1_000), 1)
    assert versions_at(catalogue, 999) == {"platform": 0, "bank-a": 1}
    assert versions_at(catalogue, 1_000) == {"platform": 0, "bank-a": 2}
    assert not catalogue.moves(catalogue.in_force(5).moment, 999)
    assert catalogue.moves(catalogue.in_force(5).moment, 1_000)


def test_an_earlier_position_gives_what_stood_there() -> None:
    catalogue = Catalogue(LENDERS)
    catalogue.add(policy_of("bank-a", 1), 3)
    before = catalogue.in_force(10).moment
    catalogue.add(policy_of("bank-a", 2), 7)
    assert versions_at(catalogue, before.at, before.position) == {"platform": 0, "bank-a": 1}
    assert versions_at(catalogue, 10) == {"platform": 0, "bank-a": 2}
    assert catalogue.moves(before, 10)
    with pytest.raises(LookupError, match="up to offset 7 only"):
        catalogue.in_force(10, 8)


@pytest.mark.parametrize(
    ("policy", "complaint"),
    [
        (policy_of("stranger", 1), "lender stranger is unknown here: there are bank-a, bank-b"),
        (policy_of("bank-a", 4), "version 4 of bank-a, loan does not follow version 4"),
        (policy_of("bank-a", 3), "version 3 of bank-a, loan does not follow version 4"),
        (policy_of("bank-b", 0), "version 0 of bank-b, loan does not follow version 0"),
    ],
)
def test_a_bad_policy_changes_nothing_for_anyone(policy: Policy, complaint: str) -> None:
    catalogue = Catalogue(LENDERS)
    catalogue.add(policy_of("bank-a", 4, cap=20_000_000), 0)
    catalogue.add(policy_of("bank-b", 7), 1) if policy.lender != "bank-b" else None
    before, position = list(catalogue.in_force(0)), catalogue.position
    with pytest.raises(ValueError, match=complaint):
        catalogue.add(policy, 9)
    assert (list(catalogue.in_force(0)), catalogue.position) == (before, position)


def test_the_same_version_once_more_is_taken_for_what_it_is() -> None:
    catalogue = Catalogue(LENDERS)
    catalogue.add(policy_of("bank-a", 1), 0)
    catalogue.add(policy_of("bank-a", 1), 1)
    assert catalogue.position == 0


def test_products_have_versions_of_their_own() -> None:
    catalogue = Catalogue(LENDERS)
    catalogue.add(policy_of("bank-a", 5), 0)
    catalogue.add(policy_of("bank-a", 1, product=Product.TRADE_CREDIT), 1)
    assert len(catalogue.in_force(0)) == 3


def test_a_retired_policy_stays_in_force_and_gives_nothing() -> None:
    live = policy_of("bank-a", 5)
    gone = retired(live, 8_000)
    assert (gone.version, gone.valid_to, gone.cap) == (6, 8_000, live.cap)


@given(st.permutations([("bank-a", 1), ("bank-b", 1), ("platform", 1)]))
def test_everybodys_policy_comes_first_and_the_others_by_key(order: list[tuple[str, int]]) -> None:
    policies = Policies([policy_of(*each) for each in order], BEGINNING)
    assert policies.everybodys.name == EVERYBODYS
    keys = policies.table.keys[1:].tolist()
    assert keys == sorted(keys)
    assert [each.name.key for each in policies] == policies.table.keys.tolist()


def test_kernels_find_each_of_many_policies_by_its_key_and_no_other() -> None:
    banks = [policy_of(f"bank-{n}", 1) for n in range(300)]
    policies = Policies([BUILT_IN, *banks], BEGINNING)
    table = policies.table
    homes = table.keys % np.uint64(len(table.slots))
    assert len(np.unique(homes)) < len(homes), "none has to make way for another"
    found = [index_of(np.uint64(each.name.key), table) for each in policies]
    assert found == [-1, *range(1, 301)], "the first is everybody's, and has no slot"
    others = [PolicyName(f"fund-{n}", Product.LOAN).key for n in range(300)]
    assert {index_of(np.uint64(key), table) for key in others} == {-1}
