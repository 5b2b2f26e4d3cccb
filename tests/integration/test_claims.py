"""Claims on one worker: what is covered, what is not and why, once and the same."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from scorers.claims.events import ClaimAnswer, ClaimEvent
from scorers.merchants import MerchantKind
from scorers.policy import Cover, Product
from streams.brokers.provision import apply_topics
from streams.contract.messages import PaymentKind
from streams.settings import load_settings
from tests.integration.lending import YUAN, LendingWorker, enrolled, flat, of_merchant, shops
from tests.integration.log_alone import (
    assert_claims_are_dealt_with,
    assert_same,
    expected,
    published,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.brokers.apache import ApacheKafka

INSURER = "insurer"
SECOND_MS, HOUR_MS, DAY_MS = 1_000, 3_600_000, 86_400_000

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def worker(kafka: ApacheKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LendingWorker]:
    """One worker for all of these tests, each of which has merchants of its own.

    A merchant is covered for three tenths of what it collects in the month.
    """
    settings = load_settings(
        bootstrap_servers=kafka.bootstrap_servers, topic_prefix="claims.",
        lenders=("platform", INSURER), ticks=False, session_timeout_s=6.0,
        checkpoint_interval_s=0.2,
    )  # fmt: skip
    apply_topics(settings)
    with LendingWorker(settings, tmp_path_factory.mktemp("claims")) as worker:
        cover = Cover(rate=0.3)
        worker.publish(flat(1, INSURER, 20_000, Product.INSURANCE, step=100 * YUAN, cover=cover))
        yield worker


def insured(worker: LendingWorker, name: str, yuan: int = 10_000) -> str:
    """A merchant that has enrolled, and has collected so much since."""
    (shop,) = shops(name, 1)
    worker.tell(enrolled(shop, INSURER, Product.INSURANCE))
    collect(worker, shop, yuan)
    assert worker.limit(INSURER, shop, "insurance") == yuan * 3 // 10
    return shop


def collect(worker: LendingWorker, shop: str, yuan: int, **other: Any) -> None:
    # A payment counts if its time lies behind everything that was read before the enrolment.
    worker.clock += SECOND_MS
    worker.pay(shop, amount=yuan * YUAN, **other)


def claim(worker: LendingWorker, shop: str, yuan: int, **other: Any) -> ClaimEvent:
    """A claim for a loss of now."""
    usual = ClaimEvent(
        f"c{next(_numbers)}", shop, INSURER, "CNY", yuan * YUAN, worker.clock, worker.clock
    )  # fmt: skip
    return msgspec.structs.replace(usual, **other)


def answers(worker: LendingWorker, *claims: ClaimEvent) -> list[ClaimAnswer]:
    """Claim, and return the newest answer to each."""
    worker.tell(*claims)
    return [worker.claim_answers[each.merchant_id, each.claim_id][-1] for each in claims]


def parts(worker: LendingWorker, *claims: ClaimEvent) -> list[tuple[int, int, list[str]]]:
    """What is covered, what is not, in yuan, and why."""
    return [
        (
            each.covered // YUAN,
            each.uncovered // YUAN,
            [str(reason.code) for reason in each.reasons],
        )
        for each in answers(worker, *claims)
    ]


def test_claims_use_up_the_cover_of_the_month_and_no_more(worker: LendingWorker) -> None:
    shop, neighbour = insured(worker, "within"), insured(worker, "neighbour")
    assert parts(worker, *(claim(worker, shop, yuan) for yuan in (2_000, 1_500, 1))) == [
        (2_000, 0, []), (1_000, 500, ["beyond_the_cover"]), (0, 1, ["beyond_the_cover"]),
    ]  # fmt: skip
    assert parts(worker, claim(worker, neighbour, 3_000)) == [(3_000, 0, [])]
    collect(worker, shop, 1_000)
    (answer,) = answers(worker, claim(worker, shop, 400))
    assert (answer.cover, answer.already_covered) == (3_300 * YUAN, 3_000 * YUAN)
    assert (answer.covered, answer.uncovered) == (300 * YUAN, 100 * YUAN)
    assert answer.cover_version == worker.limits[INSURER, "insurance", shop][-1].version


def test_without_a_cover_nothing_is_covered_and_the_answer_says_why(worker: LendingWorker) -> None:
    shop = insured(worker, "currency")
    bystander, stranger, empty = (shops(name, 1)[0] for name in ("bystander", "stranger", "empty"))
    worker.pay(bystander)
    worker.tell(enrolled(empty, INSURER, Product.INSURANCE))
    assert parts(
        worker,
        claim(worker, shop, 50, currency="USD"),
        claim(worker, bystander, 50),
        claim(worker, stranger, 50),
        claim(worker, empty, 50),
        claim(worker, shop, 50, lender_id="platform"),
    ) == [
        (0, 50, ["other_currency"]),
        (0, 50, ["not_enrolled"]),
        (0, 50, ["not_enrolled"]),
        (0, 50, ["no_cover"]),
        (0, 50, ["not_enrolled", "no_policy"]),
    ]
    # None of that has used anything up.
    assert parts(worker, claim(worker, shop, 3_000)) == [(3_000, 0, [])]


def month_in_shanghai(ms: int) -> int:
    """When the month of an instant began in Shanghai, epoch ms."""
    day = datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo("Asia/Shanghai"))
    first = day.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return round(first.timestamp() * 1000)


def test_a_loss_is_one_of_the_month_of_its_merchant_s_own_zone(worker: LendingWorker) -> None:
    (abroad,) = shops("abroad", 1)
    worker.tell(of_merchant(MerchantKind.REGISTERED, abroad, zone="America/New_York"))
    insured(worker, "abroad")
    at_home = insured(worker, "at_home")
    # In New York the month begins half a day later. Two days from it, on the first of a month too.
    edge = month_in_shanghai(worker.clock - 2 * DAY_MS)
    losses = edge + HOUR_MS, edge + 25 * HOUR_MS
    covered = {
        shop: parts(worker, *(claim(worker, shop, 3_000, occurred_at=loss) for loss in losses))
        for shop in (at_home, abroad)
    }
    assert covered == {
        at_home: [(3_000, 0, []), (0, 3_000, ["beyond_the_cover"])],
        abroad: [(3_000, 0, []), (3_000, 0, [])],
    }


def test_a_claim_that_is_sent_again_has_the_first_answer_and_another_content_is_a_conflict(
    worker: LendingWorker,
) -> None:
    shop = insured(worker, "again")
    first = claim(worker, shop, 3_500)
    (answer,) = answers(worker, first)
    collect(worker, shop, 10_000)
    other = msgspec.structs.replace(first, amount=first.amount + 1)
    worker.tell(first, other, first)
    assert worker.claim_answers[shop, first.claim_id] == [answer] * 3
    assert worker.refused[msgspec.json.encode(other)] == "conflict"
    # What was uncovered once stays so; the new cover is for the next claim.
    assert (answer.covered, answer.uncovered) == (3_000 * YUAN, 500 * YUAN)
    assert parts(worker, claim(worker, shop, 3_001)) == [(3_000, 1, ["beyond_the_cover"])]


def test_a_refund_before_the_claim_lowers_the_cover_and_one_behind_it_takes_nothing_back(
    worker: LendingWorker,
) -> None:
    shop = insured(worker, "refund")

    def refund(yuan: int, paid_at: int) -> None:
        collect(worker, shop, yuan, kind=PaymentKind.REFUND, original_occurred_at=paid_at)

    paid_at = worker.clock
    refund(6_000, paid_at)
    assert worker.limit(INSURER, shop, "insurance") == 1_200
    first = claim(worker, shop, 2_000)
    assert parts(worker, first) == [(1_200, 800, ["beyond_the_cover"])]
    refund(2_000, paid_at)
    assert worker.limit(INSURER, shop, "insurance") == 600
    assert parts(worker, first, claim(worker, shop, 100)) == [
        (1_200, 800, ["beyond_the_cover"]), (0, 100, ["beyond_the_cover"]),
    ]  # fmt: skip


def test_a_loss_that_cannot_be_judged_is_set_aside_with_its_reason(worker: LendingWorker) -> None:
    shop = insured(worker, "aside")
    now = worker.clock
    refused = {
        claim(worker, shop, 1, claimed_at=now - 1): "loss_after_claim",
        claim(worker, shop, 1, occurred_at=now - 130 * DAY_MS): "too_late",
        claim(
            worker, shop, 1, occurred_at=now + 3 * DAY_MS, claimed_at=now + 3 * DAY_MS
        ): "from_the_future",
    }
    worker.tell(*refused)
    raw = {msgspec.json.encode(each): reason for each, reason in refused.items()}
    assert {value: worker.refused.get(value) for value in raw} == raw
    assert not any(worker.claim_answers.get((shop, each.claim_id)) for each in refused)


def test_after_a_kill_every_claim_has_the_same_answer_and_all_follow_from_the_log(
    worker: LendingWorker,
) -> None:
    insurants = [insured(worker, f"killed-{n}") for n in range(3)]
    before = [claim(worker, shop, yuan) for yuan in (2_000, 2_000) for shop in insurants]
    known = answers(worker, *before)
    assert [each.covered // YUAN for each in known] == [2_000] * 3 + [1_000] * 3
    # Written, and perhaps relayed, applied or answered, but in no checkpoint.
    during = [claim(worker, shop, 500) for shop in insurants]
    worker.write(*during, *before)
    worker.restart(kill=True)
    after = answers(worker, *before, *during)
    assert after[: len(before)] == known
    assert [each.covered for each in after[len(before) :]] == [0] * 3
    for each in (*before, *during):
        said = worker.claim_answers[each.merchant_id, each.claim_id]
        assert all(one == said[0] for one in said)
    found = published(worker.settings)
    assert_same(found, expected(worker.settings))
    assert_claims_are_dealt_with(worker.settings, found)
