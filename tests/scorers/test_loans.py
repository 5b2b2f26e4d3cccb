from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.ledger import Ledger
from scorers.loans import OWING, Became, Draw, Loan, LoanBook, LoanEvent, LoanKind

DRAW = Draw({"tenure_days": 100.0, "trend": None}, 0.02, 3)
LATER = Draw({"tenure_days": 130.0, "trend": 0.5}, 0.2, 4)


def event(kind: LoanKind, name: str = "", **fields: Any) -> LoanEvent:
    usual = LoanEvent(
        event_id=name or str(kind),
        kind=kind,
        loan_id="l1",
        lender_id="bank",
        merchant_id="stall",
        product="loan",
        currency="CNY",
        occurred_at=5_000,
        amount=1_000,
    )
    return msgspec.structs.replace(usual, **fields)


class Told:
    """A book that is told events, each behind the one before."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.book = LoanBook(self.ledger)
        self.examples: list[Draw] = []

    def tell(self, *events: LoanEvent, draw: Draw = DRAW) -> list[Became]:
        became = []
        for each in events:
            verdict = self.book.apply(each, lambda: draw)
            became.append(verdict.became)
            if verdict.draw is not None:
                self.examples.append(verdict.draw)
        return became

    @property
    def loan(self) -> Loan:
        ((_, loan),) = self.book.of("stall")
        return loan


@pytest.fixture
def told() -> Told:
    told = Told()
    told.tell(event(LoanKind.DRAWN))
    return told


def test_what_was_known_at_the_draw_is_what_is_learnt_from(told: Told) -> None:
    told.tell(event(LoanKind.REPAID, amount=400), event(LoanKind.SETTLED), draw=LATER)
    assert told.examples == [DRAW]
    assert told.loan.draw is None


@pytest.mark.parametrize("end", [LoanKind.SETTLED, LoanKind.DEFAULTED, LoanKind.WRITTEN_OFF])
def test_an_outcome_is_told_once_however_often_it_is_repeated(told: Told, end: LoanKind) -> None:
    assert told.tell(event(end), event(end)) == [Became.APPLIED, Became.DUPLICATE]
    assert len(told.examples) == 1


def test_a_default_that_is_written_off_and_paid_back_later_stays_one_example(told: Told) -> None:
    became = told.tell(
        event(LoanKind.DEFAULTED),
        event(LoanKind.WRITTEN_OFF),
        event(LoanKind.REPAID, amount=7),
        event(LoanKind.SETTLED),
    )
    assert became == [Became.APPLIED] * 4
    assert len(told.examples) == 1


def test_what_is_owed_follows_draws_and_repayments(told: Told) -> None:
    book = told.book
    assert (book.outstanding("stall"), book.owing) == (1_000, 1)
    told.tell(event(LoanKind.OVERDUE, amount=300))
    assert (told.loan.status, told.loan.overdue) == (LoanKind.OVERDUE, 300)
    told.tell(event(LoanKind.REPAID, "r1", amount=100))
    assert (told.loan.status, told.loan.overdue, told.loan.outstanding) == (
        LoanKind.OVERDUE,
        200,
        900,
    )
    told.tell(event(LoanKind.REPAID, "r2", amount=250))
    assert (told.loan.status, told.loan.overdue, told.loan.outstanding) == (LoanKind.DRAWN, 0, 650)
    told.tell(event(LoanKind.REPAID, "r3", amount=9_999))
    assert book.outstanding("stall") == 0
    told.tell(event(LoanKind.SETTLED, amount=None))
    assert book.owing == 0


def test_a_repayment_that_is_repeated_counts_once(told: Told) -> None:
    repaid = event(LoanKind.REPAID, amount=400)
    assert told.tell(repaid, repaid) == [Became.APPLIED, Became.DUPLICATE]
    assert told.book.outstanding("stall") == 600


@pytest.mark.parametrize(
    ("wrong", "became"),
    [
        (event(LoanKind.DRAWN, amount=2_000), Became.CONFLICT),
        (event(LoanKind.DRAWN, "again"), Became.CONFLICT),
        (event(LoanKind.REPAID, "drawn"), Became.CONFLICT),
        (event(LoanKind.REPAID, currency="USD"), Became.OTHER_CURRENCY),
        (event(LoanKind.SETTLED, occurred_at=4_999), Became.BEFORE_THE_DRAW),
        (event(LoanKind.SETTLED, loan_id="l2"), Became.UNKNOWN_LOAN),
        (event(LoanKind.SETTLED, lender_id="other"), Became.UNKNOWN_LOAN),
        (event(LoanKind.REPAID, merchant_id="other"), Became.UNKNOWN_LOAN),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    told: Told, wrong: LoanEvent, became: Became
) -> None:
    before = msgspec.json.encode(told.loan)
    told.ledger.cut(1)
    assert told.tell(wrong) == [became]
    assert msgspec.json.encode(told.loan) == before
    assert told.ledger.cut(2).entries == []


def test_nothing_follows_a_loan_that_is_settled(told: Told) -> None:
    told.tell(event(LoanKind.SETTLED))
    assert told.tell(event(LoanKind.DEFAULTED)) == [Became.AFTER_THE_END]
    assert told.loan.status is LoanKind.SETTLED


KINDS = st.sampled_from([kind for kind in LoanKind if kind is not LoanKind.DRAWN])
EVENTS = st.lists(
    st.tuples(KINDS, st.integers(1, 1_500), st.integers(1, 3), st.integers(0, 12)), max_size=25
)


def told_of(raw: list[tuple[LoanKind, int, int, int]]) -> list[LoanEvent]:
    drawn = [event(LoanKind.DRAWN, loan_id=f"l{n}") for n in (1, 2)]
    return [
        *drawn,
        *(event(k, f"e{name}", amount=a, loan_id=f"l{n}") for k, a, n, name in raw),
    ]


@given(EVENTS, st.integers(0, 30), st.randoms(use_true_random=False))
def test_interrupted_anywhere_the_book_goes_on_as_if_nothing_had_happened(
    raw: list[tuple[LoanKind, int, int, int]], cut: int, chance: random.Random
) -> None:
    """A checkpoint behind `cut` events, and the log from anywhere before."""
    events = told_of(raw)
    cut = min(cut, len(events))
    quiet = LoanBook()
    quietly = [quiet.apply(each, lambda: DRAW) for each in events]
    ledger = Ledger()
    before = LoanBook(ledger)
    for n, each in enumerate(events[:cut]):
        assert ledger.takes(n)
        before.apply(each, lambda: DRAW)
    entries, mark = ledger.cut(cut - 1)
    chance.shuffle(entries)
    ledger = Ledger()
    after = LoanBook(ledger)
    for key, value in [*entries, *([mark] if mark else [])]:
        ledger.restore(key, value)
    after.rebuild()
    for n, each in list(enumerate(events))[chance.randint(0, cut) :]:
        if ledger.takes(n):
            verdict = after.apply(each, lambda: DRAW)
            assert (verdict.became, verdict.draw) == (quietly[n].became, quietly[n].draw)
    assert list(after.of("stall")) == list(quiet.of("stall"))
    assert after.owing == quiet.owing


@given(EVENTS)
def test_what_is_owed_is_never_negative_and_nothing_when_nobody_owes(
    raw: list[tuple[LoanKind, int, int, int]],
) -> None:
    book = LoanBook()
    examples = 0
    for each in told_of(raw):
        examples += book.apply(each, lambda: DRAW).draw is not None
        for _, loan in book.of("stall"):
            assert 0 <= loan.overdue <= loan.outstanding <= loan.drawn
            assert loan.outstanding == 0 or loan.status in OWING
    ended = [loan for _, loan in book.of("stall") if loan.ended_at is not None]
    assert examples == len(ended)
    assert book.owing == sum(loan.status in OWING for _, loan in book.of("stall"))


def test_loans_are_told_by_the_time_of_their_draws_also_after_a_restore() -> None:
    told = Told()
    drawn = [("late", 9_000), ("b", 5_000), ("a", 5_000)]
    told.tell(*(event(LoanKind.DRAWN, loan_id=name, occurred_at=at) for name, at in drawn))
    assert [key.loan_id for key, _ in told.book.of("stall")] == ["a", "b", "late"]
    ledger = Ledger()
    after = LoanBook(ledger)
    told.ledger.repeat(3)
    for key, value in told.ledger.cut(3).entries:
        ledger.restore(key, value)
    ledger.restore(b'[""]', b"3")
    after.rebuild()
    assert list(after.of("stall")) == list(told.book.of("stall"))


def test_a_loan_of_a_newer_layout_is_refused() -> None:
    told = Told()
    told.tell(event(LoanKind.DRAWN))
    newer = msgspec.structs.replace(told.loan, schema_version=99)
    ledger = Ledger()
    LoanBook(ledger)
    with pytest.raises(ValueError, match="start a newer release"):
        ledger.restore(b'["loans","m","b","i"]', msgspec.json.encode((1, newer, -1, None)))
