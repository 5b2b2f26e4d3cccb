from __future__ import annotations

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING

from streams.contract.topics import Topics
from streams.errors import BrokerError
from streams.settings import Settings
from streams.worker import stored as module
from streams.worker.app import written_kinds
from streams.worker.stored import report_stored

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

TOPICS = Topics(lenders=("platform", "harbour"))
REFUSED = BrokerError("The broker does not say how large its logs are.")


async def reported(
    monkeypatch: pytest.MonkeyPatch, *answers: dict[str, int] | Exception
) -> list[dict[str, int]]:
    """What is reported when a broker gives these answers one after the other."""
    left, found, done = list(answers), list[dict[str, int]](), asyncio.Event()

    def ask(_: Settings) -> dict[str, int]:
        answer = left.pop(0) if left else answers[-1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def take(sizes: Mapping[str, int]) -> None:
        found.append(dict(sizes))
        if len(found) == len(answers):
            done.set()

    app = SimpleNamespace(
        settings=Settings(),
        metrics=SimpleNamespace(stored=take),
        written_kinds=written_kinds(TOPICS),
    )
    monkeypatch.setattr(module, "log_sizes", ask)
    task = asyncio.create_task(report_stored(app, every_s=0.0))  # type: ignore[arg-type]
    await asyncio.wait_for(done.wait(), 5)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return found[: len(answers)]


async def test_all_topics_are_summed_by_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {topic.name: 10**place for place, topic in enumerate(TOPICS)}
    [by_kind] = await reported(monkeypatch, sizes)
    assert sum(by_kind.values()) == sum(sizes.values())
    assert by_kind["payments"] == sizes["payments"]
    assert by_kind["limit_updates"] == (
        sizes["limit-updates.platform"] + sizes["limit-updates.harbour"]
    )
    read_only = ("merchant-events", "applications", "loan-events", "fund-events", "claim-events")
    assert by_kind["others"] == sum(sizes[name] for name in (*read_only, "models", "policies"))


async def test_a_broker_that_does_not_say_is_asked_again_and_the_log_has_it_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger=module.__name__)
    answers = ({"payments": 7}, REFUSED, REFUSED, {"payments": 8}, REFUSED)
    found = await reported(monkeypatch, *answers)
    assert found == [{"payments": 7}, {}, {}, {"payments": 8}, {}]
    assert caplog.messages[:2] == [f"what is stored is not known: {REFUSED}"] * 2
