from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams.backtest.recorded import load
from streams.errors import OperatorError

DAY_MS = 86_400_000
START = 1_600_000_000_000

HEADER = "loan_id,merchant_id,drawn_at,ended_at,bad\n"


def event(number: int, at: int, amount: int = 1000, **fields: object) -> dict[str, object]:
    return {
        "payment_id": f"p{number}",
        "kind": "payment",
        "merchant_id": "m1",
        "amount": amount,
        "currency": "CNY",
        "occurred_at": at,
    } | fields


def folder(tmp_path: Path, events: list[dict[str, object]], loans: str) -> Path:
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(each) + "\n" for each in events))
    (tmp_path / "loans.csv").write_text(HEADER + loans)
    return tmp_path


def test_features_are_those_of_the_draw_whatever_comes_later(tmp_path: Path) -> None:
    drawn = START + 3 * DAY_MS
    before = [event(n, START + n * DAY_MS) for n in range(3)]
    after = [event(9, drawn, amount=77_000), event(10, drawn + DAY_MS, amount=99_000)]
    loans = f"l1,m1,{drawn},{drawn + DAY_MS},1\n"
    recording = load(folder(tmp_path, before + after, loans))
    (example,) = recording.examples
    assert example.loan.bad is True
    assert example.features["net_28"] == 3000
    assert example.features["silence_days"] == 1
    assert recording.events == 3


def test_outcomes_come_in_the_order_in_which_they_became_known(tmp_path: Path) -> None:
    drawn = [START + n * DAY_MS for n in (1, 2, 3)]
    loans = "".join(
        f"l{n},m1,{at},{START + ended * DAY_MS},0\n"
        for n, at, ended in zip((1, 2, 3), drawn, (20, 30, 10), strict=True)
    )
    events = [event(n, START + n * DAY_MS + 1, amount=100) for n in range(3)]
    examples = load(folder(tmp_path, events, loans)).examples
    assert [each.loan.loan_id for each in examples] == ["l3", "l1", "l2"]
    assert [each.features["net_28"] for each in examples] == [300, 100, 200]


def test_refused_events_are_counted_and_duplicates_are_not(tmp_path: Path) -> None:
    events = [event(1, START), event(1, START), event(2, START + 1, amount=0), event(3, START + 2)]
    loans = f"l1,m1,{START + DAY_MS},{START + DAY_MS},0\n"
    recording = load(folder(tmp_path, events, loans))
    assert (recording.events, recording.refused) == (4, 1)
    assert recording.examples[0].features["net_28"] == 2000


def test_of_a_merchant_without_events_before_the_draw_nothing_is_known(tmp_path: Path) -> None:
    loans = f"l1,m1,{START},{START},0\nl2,m2,{START + 1},{START + 1},1\n"
    for example in load(folder(tmp_path, [event(1, START)], loans)).examples:
        assert example.features["net_28"] == 0
        assert example.features["tenure_days"] is None
        assert example.features["lowest_balance"] is None


@pytest.mark.parametrize(
    ("loans", "complaint"),
    [
        ("", "no loans"),
        (f"l1,m1,{START},{START - 1},0\n", "line 2: the loan ended before it was drawn"),
        (f"l1,m1,{START},{START},0\n" * 2, "line 3: loan l1 is there twice"),
        (f"l1,m1,{START},{START},maybe\n", "line 2"),
    ],
)
def test_loans_that_make_no_sense_are_named(tmp_path: Path, loans: str, complaint: str) -> None:
    with pytest.raises(OperatorError, match=complaint):
        load(folder(tmp_path, [event(1, START)], loans))


def test_events_out_of_order_are_named(tmp_path: Path) -> None:
    events = [event(1, START + 5), event(2, START)]
    loans = f"l1,m1,{START + DAY_MS},{START + DAY_MS},0\n"
    with pytest.raises(OperatorError, match="line 2: the event is older"):
        load(folder(tmp_path, events, loans))


def test_a_folder_without_events_says_what_it_should_hold(tmp_path: Path) -> None:
    (tmp_path / "loans.csv").write_text(HEADER + f"l1,m1,{START},{START},0\n")
    with pytest.raises(OperatorError, match=r"no events\.jsonl, events\.csv or events\.parquet"):
        load(tmp_path)
