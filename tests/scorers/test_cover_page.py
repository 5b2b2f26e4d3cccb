"""The figures of docs/cover.md hold."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from features.events import Kind
from scorers.catalogue import Policies
from scorers.claims.book import AHEAD_MS
from scorers.claims.claimant import MONTHS_OF_CLAIMS, MOST_CLAIMS
from scorers.claims.events import REASONS
from scorers.cover import cover_of
from scorers.limits import args_of
from scorers.merchants import MerchantEvent, MerchantKind
from scorers.partition import Partition, Version
from scorers.policy import BUILT_IN, Cover, PolicyName, Product
from scorers.reasons import OF_THE_MONTH, reason_code
from tests.scorers.claimants import Told, at, claim
from tests.scorers.logs import HOUR, Record, tick
from tests.scorers.runs import EAGER, ZONE, blank_record, run
from tests.scorers.test_cover import relayed

PAGE = (Path(__file__).parents[2] / "docs" / "cover.md").read_text("utf-8")
INSURANCE = PolicyName("ping", Product.INSURANCE)
POLICY = msgspec.structs.replace(
    BUILT_IN,
    version=1,
    lender="ping",
    product=Product.INSURANCE,
    cap=2_000_000,
    cover=Cover(rate=0.3, carry=0.5),
)


def rows_of(heading: str) -> list[list[str]]:
    """Return the cells of the table whose header begins with a word."""
    lines = PAGE.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")])
    return rows


def fen(cell: str) -> int:
    amount = Decimal(cell.replace(",", "")) * 100
    assert amount == int(amount)
    return int(amount)


@pytest.mark.parametrize("row", rows_of("case"), ids=lambda row: row[0])
def test_a_case_gives_the_cover_that_the_page_says(row: list[str]) -> None:
    _, now, before, cover = row
    record = blank_record()
    record.month_net[:] = fen(now), fen(before)
    assert cover_of(record, args_of(POLICY)) == fen(cover)


def test_a_merchants_cover_goes_as_the_page_says() -> None:
    partition = Partition(
        ZONE, Version(EAGER.scorecard, Policies([EAGER.policies.everybodys, POLICY]))
    )
    rows = rows_of("local time")
    start = at("2026-03-01 00:00")
    enrolled = MerchantEvent(
        "e", MerchantKind.ENROLLED, "stall", start, INSURANCE.lender, INSURANCE.product
    )
    run(partition, [relayed(start)], 0, {0: enrolled})
    payments: dict[str, Record] = {}
    seen = []
    for time, what, amount, _ in rows:
        now = at(f"2026-{time}")
        name = what.split()[-1]
        if what == "tick":
            record = tick(now)
        elif what.startswith("payment "):
            record = Record(payment_id=name, amount=fen(amount), occurred_at=now)
            payments[name] = record
        else:
            assert what == f"refund of {name}"
            assert fen(amount) == payments[name].amount
            record = Record(
                payment_id=f"r-{name}", kind=Kind.REFUND, amount=fen(amount), occurred_at=now,
                original_at=payments[name].occurred_at,
            )  # fmt: skip
        run(partition, [record], partition.offset + 1)
        cover = partition.known_of(b"stall", INSURANCE).limit
        seen.append([time, what, amount, f"{Decimal(cover) / 100:,.0f}"])
    assert seen == rows


def test_claims_are_answered_as_the_page_says() -> None:
    told, answered = Told(), []
    rows = rows_of("loss")
    for n, (loss, claimed, amount, cover, *_) in enumerate(rows):
        each = claim(
            fen(amount),
            f"c{n}",
            occurred_at=at(f"2026-{loss}"),
            claimed_at=at(f"2026-{claimed}"),
        )
        parts = told.parts(each, cover=fen(cover))
        money = [f"{Decimal(part) / 100:,.0f}" for part in parts[:2]]
        answered.append([loss, claimed, amount, cover, *money, " ".join(parts[2])])
    assert answered == rows


def test_the_page_has_every_reason_with_its_sentence() -> None:
    assert {code.strip("`"): text for code, text in rows_of("code")} == REASONS


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("With a rate of {}", POLICY.cover and POLICY.cover.rate),
        ("a carry of {}", POLICY.cover and POLICY.cover.carry),
        ("a cap of {:,.0f}", POLICY.cap / 100),
        ("and steps of {:,.0f}", POLICY.step / 100),
        ("of the product `{}`", Product.INSURANCE),
        ("of an update is `{}`", reason_code(OF_THE_MONTH)),
        ("for losses of {} local months", MONTHS_OF_CLAIMS),
        ("and the {} before it", MONTHS_OF_CLAIMS - 1),
        ("more than {:.0f} hours ahead", AHEAD_MS / HOUR),
        ("at most {} claims", MOST_CLAIMS),
    ],
)
def test_the_words_of_the_page_are_those_of_the_rule(words: str, value: object) -> None:
    assert words.format(value) in PAGE
