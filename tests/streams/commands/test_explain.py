from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from features.calendar import load_zone
from scorers.accounts import Accounts
from scorers.applications.book import Place
from scorers.catalogue import BEGINNING
from scorers.loans import Draw, LoanEvent, LoanKind
from scorers.merchants import MerchantEvent, MerchantKind
from scorers.partition import Partition
from scorers.policy import EVERYBODYS
from scorers.raises import Cause, Stop
from streams.commands.explain import app
from streams.state.holding import CheckpointRecord
from streams.worker.versions import Versions
from tests.scorers.logs import DAY, HELD_OUT, HOUR, NOON, Record, columns

if TYPE_CHECKING:
    from streams.settings import Settings


def row_after_forty_days(merchant: bytes) -> bytes:
    partition = Partition(load_zone("Asia/Shanghai"))
    log = [
        Record(
            merchant=merchant,
            payment_id=f"{day}-{i}",
            amount=50_000,
            payer=f"payer{i}",
            occurred_at=NOON + day * DAY + i * HOUR,
        )
        for day in range(40)
        for i in range(6)
    ]
    partition.apply(*columns(log), lambda updates: None)
    row = partition.row_bytes(merchant)
    assert row is not None
    return row


STOPPING = CheckpointRecord(
    9, {}, 0, BEGINNING, stops=(Stop(EVERYBODYS.lender, EVERYBODYS.product, Cause.LIMITS),)
)


SAID: list[tuple[MerchantKind, dict[str, Any]]] = [
    (MerchantKind.REGISTERED, {"category": "noodles"}),
    (MerchantKind.CODE_BOUND, {"code_id": "counter-1"}),
    (MerchantKind.CODE_BOUND, {"code_id": "counter-2"}),
    (MerchantKind.CODE_UNBOUND, {"code_id": "counter-1"}),
]


def accounts_with_a_loan(merchant_id: str) -> Accounts:
    accounts = Accounts(load_zone("Asia/Shanghai"))
    accounts.begin(Place("payments", 0, 1))
    drawn = LoanEvent(
        "e1", LoanKind.DRAWN, "l1", "platform", merchant_id, "loan", "CNY", NOON, 12_345
    )
    accounts.loans.apply(drawn, lambda: Draw({}, 0.02, 0))
    for offset, (kind, fields) in enumerate(SAID):
        event = MerchantEvent(f"m{offset}", kind, merchant_id, NOON, **fields)
        assert accounts.profiles.apply(event, (0, offset)) is None
    return accounts


def explained(
    monkeypatch: pytest.MonkeyPatch,
    merchant: bytes,
    *options: str,
    record: CheckpointRecord | None = None,
) -> str:
    """Return what the command prints when the broker holds the row of a merchant."""

    async def find_row(_: Settings, merchant_id: str) -> tuple[bytes, CheckpointRecord | None]:
        return row_after_forty_days(merchant_id.encode()), record

    async def find_accounts(_: Settings, merchant_id: str) -> Accounts:
        return accounts_with_a_loan(merchant_id)

    async def read_versions(_: Settings) -> Versions:
        return Versions(("platform",))

    monkeypatch.setattr("streams.brokers.reachable.require_broker", lambda _: None)
    monkeypatch.setattr("streams.state.lookup.find_row", find_row)
    monkeypatch.setattr("streams.state.lookup.find_accounts", find_accounts)
    monkeypatch.setattr("streams.worker.versions.read_versions", read_versions)
    monkeypatch.setenv("COLUMNS", "200")
    done = CliRunner().invoke(app, [merchant.decode(), *options])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_of_a_merchant_in_the_hold_out_it_says_that_payments_do_not_move_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = explained(monkeypatch, HELD_OUT)
    assert "in the hold-out: once the starter amount is earned, payments do not move" in said
    assert "what would raise it" not in said


def test_of_anybody_else_it_says_what_would_raise_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = explained(monkeypatch, b"m0")
    assert "hold-out" not in said
    assert "what would raise it" in said


def test_it_says_so_while_raises_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "raises of this limit are stopped" in explained(monkeypatch, b"m0", record=STOPPING)
    assert "are stopped" not in explained(monkeypatch, b"m0")


def test_as_json_it_says_who_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    said = json.loads(explained(monkeypatch, HELD_OUT, "--json"))
    assert said["merchant_id"] == HELD_OUT.decode()
    assert said["held_out"] is True
    assert said["limit"] == said["target"] == 50_000


def test_it_says_what_is_lent_and_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = json.loads(explained(monkeypatch, HELD_OUT, "--json"))["outstanding"]
    assert line == {
        "lender": "platform",
        "product": "loan",
        "currency": "CNY",
        "limit": 50_000,
        "loans": 1,
        "drawn": 12_345,
        "overdue": 0,
        "reserved": 0,
        "available": 50_000 - 12_345,
    }
    said = explained(monkeypatch, HELD_OUT)
    assert "loans not paid back" in said
    assert "123.45 CNY" in said
    assert "376.55 CNY" in said


def test_it_says_what_the_merchant_has_registered_and_which_codes_it_is_paid_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = json.loads(explained(monkeypatch, b"m0", "--json"))
    assert (said["category"], said["codes"]) == ("noodles", ["counter-2"])
    assert "registered as noodles; codes bound: counter-2" in explained(monkeypatch, b"m0")
