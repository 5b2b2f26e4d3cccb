from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from features.calendar import UnknownZone, load_zone
from scorers.accounts import Accounts
from scorers.applications.book import Place
from scorers.catalogue import BEGINNING
from scorers.loans import Draw, LoanEvent, LoanKind
from scorers.merchants import Enrolment, MerchantEvent, MerchantKind
from scorers.partition import Partition
from scorers.policy import EVERYBODYS
from scorers.raises import Cause, Stop
from streams.commands.explain import app
from streams.errors import OperatorError
from streams.state.holding import CheckpointRecord
from streams.worker.versions import Versions
from tests.scorers.logs import DAY, HELD_OUT, HOUR, NOON, Record, columns

if TYPE_CHECKING:
    from streams.settings import Settings


def row_after_forty_days(merchant: bytes, zone: str | None = None) -> bytes:
    """Return the row of a merchant in Shanghai, or in a zone that it registers at first."""
    partition = Partition(load_zone("Asia/Shanghai"))
    if zone is not None:
        event = MerchantEvent("e", MerchantKind.REGISTERED, merchant.decode(), NOON, zone=zone)
        assert partition.amend(merchant, Enrolment(event, (0, 0)), offset=0) is None
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
    partition.apply(*columns(log, 1), lambda updates: None)
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
    zone: str | None = None,
) -> str:
    """Return what the command prints when the broker holds the row of a merchant."""

    async def find_row(_: Settings, merchant_id: str) -> tuple[bytes, CheckpointRecord | None]:
        return row_after_forty_days(merchant_id.encode(), zone), record

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
    if isinstance(done.exception, OperatorError):
        raise done.exception
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


@pytest.mark.parametrize(
    ("zone", "first", "last"),
    [
        (None, "2026-03-02 12:00", "2026-04-10 17:00"),
        ("Asia/Shanghai", "2026-03-02 12:00", "2026-04-10 17:00"),
        ("America/New_York", "2026-03-01 23:00", "2026-04-10 05:00"),
    ],
)
def test_times_are_those_of_the_merchant_s_zone(
    monkeypatch: pytest.MonkeyPatch, zone: str | None, first: str, last: str
) -> None:
    said = explained(monkeypatch, b"m0", zone=zone)
    name = zone or "Asia/Shanghai"
    assert f"m0 as of {last} ({name})" in said
    assert f"first payment {first}, last {last}" in said
    assert json.loads(explained(monkeypatch, b"m0", "--json", zone=zone))["zone"] == name


def test_it_says_so_when_this_machine_does_not_know_the_merchant_s_zone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def name_in(*_: object) -> str:
        raise UnknownZone("no time zone of this machine has the key 7")

    monkeypatch.setattr("scorers.explanation.name_in", name_in)
    with pytest.raises(OperatorError, match=r"merchant 'm0': no time zone .* has the key 7\."):
        explained(monkeypatch, b"m0", zone="America/New_York")


def test_features_are_by_the_merchant_s_days(monkeypatch: pytest.MonkeyPatch) -> None:
    def silence(zone: str | None, as_of: int) -> float:
        options = ("--json", "--as-of", str(as_of))
        features = json.loads(explained(monkeypatch, b"m0", *options, zone=zone))["features"]
        return float(next(each["value"] for each in features if each["name"] == "silence_days"))

    evening = NOON + 39 * DAY + 11 * HOUR  # 23:00 in Shanghai, 11:00 in New York
    assert [silence(None, evening + hours * HOUR) for hours in (0, 1)] == [0.0, 1.0]
    new_york = [silence("America/New_York", evening + hours * HOUR) for hours in (1, 12, 13)]
    assert new_york == [0.0, 0.0, 1.0]


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
