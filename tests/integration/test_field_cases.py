"""What people who run such systems have met, each sent to a real worker on a real Apache Kafka.

Whatever comes in, it is followed by good payments, and those are all counted.
"""

import ast
import math
import os
import pickle
import resource
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from features.layout import ROW
from scorers.explanation import Explanation
from scorers.explanation import explain as explain_row
from scorers.partition import Version
from streams.brokers.apache import ApacheKafka
from streams.brokers.provision import apply_topics
from streams.contract.currencies import code_of
from streams.settings import Settings
from streams.wire.batches import HEADER_BYTES
from streams.worker.process import WorkerProcess
from tests.integration.field_records import (
    BLOCKED,
    DAY_MS,
    HOUR_MS,
    MEGABYTE,
    MINUTE_MS,
    ORDINARY,
    PARTITIONS,
    QUIET,
    encoded,
    merchant,
    now_ms,
    payment,
    record,
    settled_stall,
    tick,
    wrong_values,
)
from tests.integration.watched import Record, WatchedWorker
from tests.streams.wire import foreign

ROOT = Path(__file__).resolve().parents[2]
GOOD = 5
BOMB_BYTES = 200_000_000
OPENS_TO_AT_MOST = 16 * 1024 * 1024
SPARE_BYTES = 128 * 1024 * 1024


@pytest.fixture(scope="module")
def worker(kafka: ApacheKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedWorker]:
    """One worker for all the cases; each has merchants of its own."""
    settings = Settings(
        bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix="field.",
        partitions=PARTITIONS,
        checkpoint_interval_s=0.2,
        session_timeout_s=6,
        max_batch_bytes_uncompressed=OPENS_TO_AT_MOST,
        ticks=False,
    )
    apply_topics(settings)
    with WatchedWorker(settings, tmp_path_factory.mktemp("field")) as watched:
        yield watched


def good(merchant_id: str, count: int = GOOD) -> list[Record]:
    return [record(payment(merchant_id)) for _ in range(count)]


def explained(worker: WatchedWorker, merchant_id: str) -> Explanation:
    row = worker.rows[merchant_id.encode()].tobytes()
    return explain_row(merchant_id.encode(), row, Version(), "Asia/Shanghai", 0)


def features_of(worker: WatchedWorker, merchant_id: str) -> dict[str, float | None]:
    """The features as of the row's own clock; None where one is absent."""
    return {each.name: each.value for each in explained(worker, merchant_id).features}


def counted(worker: WatchedWorker, merchant_id: str) -> tuple[int, int]:
    """Payments and their amount, ever."""
    row = worker.rows[merchant_id.encode()]
    return int(row["total_payments"]), int(row["total_amount"])


def reason_of(letter: Any) -> str:
    return why(letter)["duoshou-reason"]


def why(letter: Any) -> dict[str, str]:
    """What the worker added to the record's own headers."""
    headers = [(name, value) for name, value in letter.headers if name.startswith("duoshou-")]
    return {name: value.decode() for name, value in headers}


def assert_kept_whole(letter: Any, source: tuple[int, int], sent: Record) -> None:
    """The record's own bytes, key, headers and timestamp, then why and where from."""
    assert letter.value == sent.value
    assert letter.key == sent.key
    assert letter.timestamp == sent.timestamp
    assert tuple(letter.headers[: len(sent.headers)]) == sent.headers
    said = why(letter)
    assert len(letter.headers) == len(sent.headers) + len(said)
    assert said["duoshou-topic"] == "field.payments"
    assert (int(said["duoshou-partition"]), int(said["duoshou-offset"])) == source
    assert int(said["duoshou-timestamp"]) == sent.timestamp
    assert said["duoshou-message"].isprintable()
    assert 10 < len(said["duoshou-message"]) < 300


# A: what stands in a payment.


def test_a_value_of_any_wrong_shape_is_kept_whole_with_its_reason(worker: WatchedWorker) -> None:
    stall = merchant("shapes")
    values = wrong_values(stall)
    headers = (("trace", b"a"), ("trace", b"b"), ("x", None))
    sent: list[Record] = []
    expected: list[str | None] = []
    for value, reason in values.values():
        sent += [Record(value, stall.encode(), headers), record(payment(stall))]
        expected += [reason, None]
    # A megabyte passes the broker's own bound only when it is compressed.
    where = worker.send(sent, "zstd")
    worker.settle()
    found = [worker.letters.get(place) for place in where]
    names = [name for name in values for _ in range(2)]
    assert {
        name: letter and reason_of(letter)
        for name, letter, reason in zip(names, found, expected, strict=True)
        if reason
    } == {name: reason for name, (_, reason) in values.items()}
    for place, letter, each, code in zip(where, found, sent, expected, strict=True):
        if code:
            assert_kept_whole(letter, place, each)
        else:
            assert letter is None
    assert counted(worker, stall) == (len(values), 100 * len(values))


def test_a_record_without_value_is_a_dead_letter(worker: WatchedWorker) -> None:
    stall = merchant("null-value")
    nothing = [Record(None, stall.encode()), Record(None, None, partition=0)]
    where = worker.send([*nothing, *good(stall)])
    worker.settle()
    for place, each in zip(where, nothing, strict=False):
        assert reason_of(worker.letters[place]) == "null_value"
        assert_kept_whole(worker.letters[place], place, each)
    assert counted(worker, stall) == (GOOD, GOOD * 100)


def test_the_key_does_not_matter_nor_do_headers(worker: WatchedWorker) -> None:
    """The merchant is the one in the value, wherever a client put the record."""
    stall, other = merchant("keys"), merchant("keys-other")
    sent = [
        record(payment(stall), key=None, partition=0),
        record(payment(stall), key=b"", partition=1),
        record(payment(stall), key=other.encode()),
        record(payment(stall), key=b"\xff\xfe", partition=2),
        record(payment(stall), headers=(("trace", b"a"), ("trace", b"b"), ("x", None))),
    ]
    where = worker.send([*sent, *good(stall), *good(other)])
    worker.settle()
    assert not worker.letters.keys() & set(where)
    assert counted(worker, stall) == (len(sent) + GOOD, (len(sent) + GOOD) * 100)
    assert counted(worker, other) == (GOOD, GOOD * 100)


def test_a_merchant_on_two_partitions_has_one_row_and_one_line_of_updates(
    worker: WatchedWorker,
) -> None:
    stall, neighbour = merchant("split", 0), merchant("split", 1)
    misrouted = worker.process.metric("duoshou_misrouted_total")
    payments = [
        payment(stall, payer_id=f"u{n % 20}", occurred_at=now_ms() - (100 - n) * 10 * MINUTE_MS)
        for n in range(100)
    ]
    worker.send([record(each, partition=n % 2) for n, each in enumerate(payments)])
    worker.send(good(neighbour))
    worker.settle()
    assert counted(worker, stall) == (100, 10_000)
    assert features_of(worker, stall)["payers_28"] == 20
    assert worker.process.metric("duoshou_misrouted_total") - misrouted == 50
    versions = [update.version for update in worker.updates[stall.encode()]]
    assert versions == list(range(1, len(versions) + 1))
    assert counted(worker, neighbour) == (GOOD, GOOD * 100)


def test_every_compression_is_read(worker: WatchedWorker) -> None:
    stall = merchant("codecs")
    for codec in foreign.CODECS:
        worker.send(good(stall, 20), codec)
    worker.settle()
    assert len(foreign.CODECS) == 5
    assert counted(worker, stall) == (100, 10_000)


def test_amounts_are_minor_units_of_each_currency_and_never_mixed(worker: WatchedWorker) -> None:
    stalls = {code: merchant(f"in-{code}") for code in ("CNY", "JPY", "KWD")}
    amounts = {"CNY": 8_000, "JPY": 80, "KWD": 80_000}
    own = [
        record(payment(stalls[code], currency=code, amount=amount))
        for code, amount in amounts.items()
    ]
    foreign_ones = [record(payment(stalls["CNY"], currency=code)) for code in ("JPY", "KWD")]
    where = worker.send([*own, *foreign_ones])
    worker.settle()
    assert {reason_of(worker.letters[place]) for place in where[3:]} == {"other_currency"}
    for code, stall in stalls.items():
        assert counted(worker, stall) == (1, amounts[code])
        assert code_of(int(worker.rows[stall.encode()]["currency"])) == code


def test_ids_that_a_float_would_merge_stay_apart(worker: WatchedWorker) -> None:
    stall = merchant("long-ids")
    ids = ("18446744073709551616", "18446744073709551617")
    worker.send([record(payment(stall, payment_id=each, payer_id=each)) for each in ids])
    worker.settle()
    assert counted(worker, stall) == (2, 200)
    assert features_of(worker, stall)["payers_28"] == 2


# B: twice, late, out of order.


def test_one_payment_from_tomorrow_does_not_make_the_next_ones_late(worker: WatchedWorker) -> None:
    early, other = merchant("clock", 2), merchant("clock-other", 2)
    late = worker.process.metric("duoshou_dead_letters_total", 'reason="too_late"')
    at = now_ms()
    worker.send([record(payment(each, occurred_at=at - HOUR_MS)) for each in (early, other)])
    tomorrow = record(payment(early, occurred_at=at + DAY_MS), timestamp=at)
    (place,) = worker.send([tomorrow])
    minutes = range(10, 0, -1)
    worker.send(
        [
            record(payment((early, other)[n % 2], occurred_at=at - n * MINUTE_MS), timestamp=at)
            for n in minutes
        ]
    )
    worker.settle()
    assert reason_of(worker.letters[place]) == "from_the_future"
    assert_kept_whole(worker.letters[place], place, tomorrow)
    assert counted(worker, early) == counted(worker, other) == (6, 600)
    assert worker.process.metric("duoshou_dead_letters_total", 'reason="too_late"') == late
    assert worker.checkpoints[2].clock["watermark"] <= now_ms()


def test_a_payment_that_comes_again_counts_once_also_after_a_crash(worker: WatchedWorker) -> None:
    stall = merchant("again", 0)
    worker.send([record(each) for each in settled_stall(stall, now_ms() - MINUTE_MS)])
    once = payment(stall, payer_id="one-more")
    # Twice in a batch, in a batch of its own, and on either side of a kill.
    worker.send([record(once), record(once)])
    worker.send([record(once)])
    worker.settle()
    versions = [update.version for update in worker.updates[stall.encode()]]
    assert versions
    worker.send([record(once)])
    worker.restart(kill=True)
    worker.send([record(once)])
    # On another partition, and with another amount.
    worker.send([record(once, partition=1)])
    other_amount = record(once | {"amount": 200})
    (place,) = worker.send([other_amount])
    worker.settle()
    assert counted(worker, stall) == (13, 12 * 50_000 + 100)
    assert features_of(worker, stall)["payers_28"] == 7
    assert {update.version for update in worker.updates[stall.encode()]} == set(versions)
    assert reason_of(worker.letters[place]) == "conflict"
    assert_kept_whole(worker.letters[place], place, other_amount)
    of_this_merchant = [each for each in worker.letters.values() if each.key == stall.encode()]
    assert len(of_this_merchant) == 1


def test_a_refund_counts_the_same_in_every_order(worker: WatchedWorker) -> None:
    paid_at = now_ms() - HOUR_MS
    places = []
    stalls = [merchant("orders") for _ in range(6)]
    for stall, order in zip(stalls, permutations(range(3)), strict=True):
        paid = payment(stall, occurred_at=paid_at)
        refund = payment(stall, kind="refund", amount=40, occurred_at=paid_at + MINUTE_MS)
        refund |= {"original_payment_id": paid["payment_id"], "original_occurred_at": paid_at}
        failed = paid | {"kind": "failed", "occurred_at": paid_at - MINUTE_MS}
        records = [record(each) for each in (paid, refund, failed)]
        where = worker.send([records[n] for n in order])
        places.append(where[order.index(2)])
    worker.settle()
    assert {reason_of(worker.letters[place]) for place in places} == {"unknown_kind"}
    for stall in stalls:
        row = worker.rows[stall.encode()]
        assert counted(worker, stall) == (1, 100)
        assert (int(row["total_refunds"]), int(row["total_refunded"])) == (1, 40)
        assert features_of(worker, stall)["net_28"] == 60


def test_a_refund_without_its_payment_never_brings_the_net_below_zero(
    worker: WatchedWorker,
) -> None:
    orphan, early = merchant("orphan"), merchant("early-refund")
    at = now_ms() - HOUR_MS
    worker.send(
        [
            record(payment(each, kind="refund", amount=40, occurred_at=at, original_occurred_at=at))
            for each in (orphan, early)
        ]
    )
    worker.settle()
    assert features_of(worker, orphan)["net_28"] == features_of(worker, early)["net_28"] == 0
    ten_minutes_later = record(payment(early, occurred_at=at + 10 * MINUTE_MS))
    worker.send([ten_minutes_later])
    worker.settle()
    assert features_of(worker, orphan)["net_28"] == 0
    assert features_of(worker, early)["net_28"] == 60
    assert int(worker.rows[orphan.encode()]["day_net"].sum()) == -40


# D: windows.


def test_a_quiet_merchant_fades_by_ticks_alone_also_over_a_restart(worker: WatchedWorker) -> None:
    stall = merchant("fades", QUIET)
    last = now_ms() - 40 * DAY_MS
    worker.send([record(each) for each in settled_stall(stall, last)])
    worker.settle()
    granted = worker.updates[stall.encode()][-1]
    assert granted.limit > 0
    fading = []
    for after in (HOUR_MS, DAY_MS, 7 * DAY_MS, 31 * DAY_MS):
        if after == 7 * DAY_MS:
            worker.restart(kill=False)
        worker.send([tick(QUIET, last + after)])
        worker.settle()
        features = features_of(worker, stall)
        fading.append([features[name] for name in ("payments_24h", "payers_7", "payments_28")])
    assert fading[0][2] == 12
    assert fading[1] == [0, 6, 12]
    assert fading[2] == [0, 0, 12]
    assert fading[3] == [0, 0, 0]
    updates = worker.updates[stall.encode()]
    assert updates[-1].limit == 0
    assert [update.version for update in updates] == list(range(1, len(updates) + 1))
    # A merchant who comes back is counted afresh.
    worker.send([record(payment(stall, occurred_at=last + 31 * DAY_MS))])
    worker.settle()
    assert counted(worker, stall) == (13, 12 * 50_000 + 100)
    assert features_of(worker, stall)["payments_28"] == 1


def test_a_merchant_with_a_hundred_thousand_payers_costs_no_more_than_another(
    worker: WatchedWorker,
) -> None:
    crowd = merchant("crowd", 0)
    stalls = [merchant("beside-the-crowd", 1, 2) for _ in range(20)]
    at = now_ms() - 2 * HOUR_MS
    beside = [
        record(payment(stall, payer_id=f"u{n % 10}", occurred_at=at + n))
        for n in range(50)
        for stall in stalls
    ]
    worker.send(
        [record(payment(crowd, payer_id=f"u{n}", occurred_at=at + 30 * n)) for n in range(100_000)],
        "lz4",
    )
    worker.send(beside)
    worker.settle()
    assert counted(worker, crowd) == (100_000, 10_000_000)
    assert worker.rows[crowd.encode()].nbytes == ROW.itemsize
    features = features_of(worker, crowd)
    # Three of the standard errors that docs/features.md states.
    assert features["payers_28"] == pytest.approx(100_000, rel=3 * 0.21)
    share = features["largest_payer_share"]
    assert share is not None
    assert share <= 1 / 7
    for stall in stalls:
        assert counted(worker, stall) == (50, 5_000)
        assert features_of(worker, stall)["payers_28"] == 10


def test_no_figure_is_ever_nan_or_null(worker: WatchedWorker) -> None:
    refund_first, void_first = merchant("refund-first"), merchant("void-first")
    worker.send(
        [
            record(payment(refund_first, kind="refund")),
            record(payment(void_first, kind="void")),
        ]
    )
    worker.settle()
    for stall in (refund_first, void_first):
        explanation = explained(worker, stall)
        assert math.isfinite(explanation.probability_of_default)
        assert explanation.limit == 0
        values = [each.value for each in explanation.features]
        assert None in values  # a ratio of nothing is absent, not 0 / 0
        assert all(value is None or math.isfinite(value) for value in values)
    # Every update so far: a null would not decode to a number, and a NaN is written as null.
    for updates in worker.updates.values():
        for update in updates:
            assert 0 <= update.probability_of_default <= 1
            assert all(math.isfinite(reason.effect) for reason in update.reasons)


# H: attacks.


class Malice:
    """Runs a command in whoever unpickles it."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self._marker}",)


def test_a_pickle_is_never_opened(worker: WatchedWorker, tmp_path: Path) -> None:
    marker, stall = tmp_path / "opened", merchant("pickles")
    evil = pickle.dumps(Malice(marker))
    records = [
        Record(evil, stall.encode()),
        Record(evil, evil, partition=1),
        record(payment(stall), key=evil, partition=2),
        record(payment(stall), headers=(("pickle", evil),)),
    ]
    where = worker.send([*records, *good(stall)])
    model = foreign.batch([(b"scorecard", evil, [], now_ms())])
    topics = worker.settings.topics
    for topic in (topics.models.name, topics.policies.name):
        worker.send_batches([(0, model, 1)], topic)
    worker.send(good(stall))
    worker.settle()
    for place, each in zip(where[:2], records, strict=False):
        assert_kept_whole(worker.letters[place], place, each)
    assert counted(worker, stall) == (2 + 2 * GOOD, (2 + 2 * GOOD) * 100)
    assert not marker.exists()


def test_a_worker_does_not_start_on_a_changelog_of_pickles(
    kafka: ApacheKafka, worker: WatchedWorker, tmp_path: Path
) -> None:
    marker = tmp_path / "opened"
    settings = Settings(bootstrap_servers=kafka.bootstrap_servers, topic_prefix="pickled.")
    apply_topics(settings)
    batch = foreign.batch([(b"m", pickle.dumps(Malice(marker)), [], now_ms())])
    worker.send_batches([(0, batch, 1)], settings.topics.rows_changelog.name)
    process = WorkerProcess(settings, tmp_path)
    try:
        assert process.wait(60) != 0
    finally:
        process.stop()
    assert "the changelog of table rows could not be applied" in process.log.read_text()
    assert not marker.exists()


def test_nothing_of_ours_can_open_a_pickle() -> None:
    forbidden = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
    looked_at = 0
    for package in ("features", "scorers", "streams"):
        for file in (ROOT / package).rglob("*.py"):
            looked_at += 1
            for node in ast.walk(ast.parse(file.read_text())):
                names: list[str] = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    assert node.func.id not in {"eval", "exec"}, file
                for name in names:
                    assert name.partition(".")[0] not in forbidden, file
    assert looked_at > 50


def bomb(size: int) -> bytes:
    """A gzip batch of one record whose value is `size` zeros, made without holding them."""
    # Attributes, time and offset 0, a null key; behind the value no headers.
    head = b"\x00\x00\x00\x01" + _varint(size)
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(_varint(len(head) + size + 1) + head)]
    parts += [packer.compress(bytes(MEGABYTE)) for _ in range(size // MEGABYTE)]
    parts += [packer.compress(b"\x00"), packer.flush()]
    return foreign.with_records(b"".join(parts), 1, foreign.GZIP)


@contextmanager
def memory_capped(pid: int, spare_bytes: int) -> Iterator[None]:
    """Let a process ask for so much memory more, and no more."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    cap = pages * resource.getpagesize() + spare_bytes
    resource.prlimit(pid, resource.RLIMIT_AS, (cap, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, before)


def _varint(value: int) -> bytes:
    """A zigzag varint of a number above 0."""
    left, out = value << 1, bytearray()
    while left > 0x7F:
        out.append(0x80 | left & 0x7F)
        left >>= 7
    return bytes([*out, left])


def test_a_decompression_bomb_is_set_aside_unopened(worker: WatchedWorker) -> None:
    """194 kB that open to 200 MB, and a worker that cannot get so much memory."""
    stall, beside = merchant("bombed", BLOCKED), merchant("beside-the-bomb", *ORDINARY)
    packed = bomb(BOMB_BYTES)
    assert 190_000 < len(packed) < 200_000
    worker.send([*good(stall), *good(beside)])
    worker.settle()
    with memory_capped(worker.process.pid, SPARE_BYTES):
        (offset,) = worker.send_batches([(BLOCKED, packed, 1)])
        worker.send([*good(stall), *good(beside)])
        worker.settle()
    letter = worker.letters[BLOCKED, offset]
    assert reason_of(letter) == "decompression_bomb"
    assert str(OPENS_TO_AT_MOST) in why(letter)["duoshou-message"]
    # The batch as the broker keeps it: with its offset, leader epoch and producer's numbers.
    assert letter.value[HEADER_BYTES:] == packed[HEADER_BYTES:]
    assert counted(worker, stall) == counted(worker, beside) == (2 * GOOD, 2 * GOOD * 100)
    bombs = worker.process.metric("duoshou_dead_letters_total", 'reason="decompression_bomb"')
    assert bombs == 1


def test_strings_that_hang_a_pattern_are_read_like_any_other(worker: WatchedWorker) -> None:
    """No field is slow: the worker's own clock says so."""
    stall = merchant("patterns")
    fields = ("payment_id", "merchant_id", "payer_id", "code_id", "currency", "channel", "kind")
    nasty = ("1" * 40 + "@", "a" * 50_000, "a" * 100_000, " " * MEGABYTE)
    records = [
        Record(encoded(payment(stall) | {field: text}), stall.encode())
        for field in (*fields, "original_payment_id", "funding", "memo")
        for text in nasty
    ]
    stages = ("duoshou_stage_seconds_sum", 'stage="decode"')
    before = worker.process.metric(*stages)
    where = worker.send([*records, *good(stall)], "zstd")
    worker.settle()
    assert worker.process.metric(*stages) - before < 0.010 * len(records)
    dead = [place for place in where if place in worker.letters]
    for place, each in zip(where, records, strict=False):
        if place in worker.letters:
            assert_kept_whole(worker.letters[place], place, each)
    # Short strings are fine as ids and as a memo, and 50,000 letters as a memo.
    fine = {"payment_id", "payer_id", "code_id", "original_payment_id"}
    assert len(records) - len(dead) == len(fine) + len({"merchant_id", "memo"}) + 1
    assert counted(worker, stall)[0] == len(fine) + 2 + GOOD
