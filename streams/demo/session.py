"""Runs a demo from the broker to the summary."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from scorers.applications.messages import Outcome
from streams.brokers.policies import publish_policy
from streams.brokers.provision import apply_topics
from streams.demo.feeder import Feeder
from streams.demo.lenders import LENDERS, policies
from streams.demo.listener import DecisionListener, UpdateListener
from streams.errors import OperatorError
from streams.synthetic.borrowing import Borrowers
from streams.synthetic.merchants import make_merchants
from streams.worker.process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scorers.applications.messages import Decision
    from streams.contract.messages import LimitUpdate
    from streams.settings import Settings

START_TIMEOUT_S = 600.0
"""Long enough to compile the kernels on a slow machine; `make` has done that beforehand."""

SETTLE_TIMEOUT_S = 20.0


class Summary(msgspec.Struct, frozen=True):
    """What a demo run came to.

    Attributes:
        payments: synthetic payments sent.
        payments_per_s: while they were being sent.
        limit_updates: limits that moved.
        raises: of those, upwards.
        cuts: of those, downwards.
        merchants: synthetic merchants.
        merchants_with_limit: those with a limit above 0 at the end.
        days: days of event time played.
        first_update_s: seconds from the command to the first limit update.
        p50_ms: half of the updates came within this time after their payment was sent.
        p99_ms: 99 % did.
        applications: for loans, of merchants that borrow.
        decisions: answers to them.
        approved: of those, for the amount asked for.
        counter_offers: of those, for less.
        declined: of those.
        referred: of those, left to a person.
        loans_drawn: on approvals.
        loans_repaid: of those, paid back in full.
        loans_defaulted: of those, not paid back.
        owed: principal owed at the end, of defaulted loans too, fen.
    """

    payments: int
    payments_per_s: float
    limit_updates: int
    raises: int
    cuts: int
    merchants: int
    merchants_with_limit: int
    days: float
    first_update_s: float | None
    p50_ms: float | None
    p99_ms: float | None
    applications: int
    decisions: int
    approved: int
    counter_offers: int
    declined: int
    referred: int
    loans_drawn: int
    loans_repaid: int
    loans_defaulted: int
    owed: int


@dataclass(frozen=True)
class Progress:
    """What the view shows of a moment."""

    stage: str = "starting"
    payments: int = 0
    rate: float = 0.0
    lag: int = 0
    days: float = 0.0
    updates: int = 0
    p99_ms: float = 0.0
    decisions: int = 0
    approved: int = 0
    owed: int = 0
    defaulted: int = 0
    moves: Sequence[LimitUpdate] = ()
    answers: Sequence[Decision] = ()


class Session:
    """One demo run against a broker that is up.

    Args:
        settings: broker and topics.
        merchants: how many synthetic merchants.
        rate: payments per second.
        duration_s: how long to play.
        began: `time.monotonic()` at the command.
        seed: makes the trade repeatable.
    """

    def __init__(
        self,
        settings: Settings,
        merchants: int,
        rate: float,
        duration_s: float,
        began: float,
        seed: int = 7,
    ) -> None:
        self._settings = settings
        self._began = began
        random = np.random.default_rng(seed)
        self._merchants = make_merchants(merchants, random)
        self.characters = {m.merchant_id: m.character.value for m in self._merchants}
        # Chance of their own: what they do depends on when answers come, and trade shall not.
        self._borrowers = Borrowers(
            self._merchants, LENDERS, np.random.default_rng([seed, len(LENDERS)])
        )
        self._feeder = Feeder(settings, self._merchants, self._borrowers, rate, duration_s, random)
        self._listener = UpdateListener(settings, self._feeder.sent_at)
        self._decisions = DecisionListener(settings, LENDERS, self._borrowers.answer)

    def run(self, show: Callable[[Progress], None]) -> Summary:
        """Play to the end.

        Args:
            show: called several times a second.

        Raises:
            OperatorError: the worker or the broker failed.
        """
        apply_topics(self._settings)
        listeners = (self._listener, self._decisions)
        with WorkerProcess(self._settings) as worker:
            for policy in policies():
                publish_policy(self._settings, policy)
            self._await_ready(worker, show)
            for listener in listeners:
                listener.start()
            self._feeder.start()
            while not self._feeder.finished.wait(0.2):
                self._check(worker)
                show(self._progress(worker, "playing"))
            self._settle(worker, show)
        for listener in listeners:
            listener.stop()
            listener.join()
        return self._summary()

    def _check(self, worker: WorkerProcess) -> None:
        if self._feeder.error is not None:
            raise OperatorError(f"The demo could not send payments: {self._feeder.error}.")
        worker.check()

    def _await_ready(self, worker: WorkerProcess, show: Callable[[Progress], None]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not worker.ready():
            worker.check()
            if time.monotonic() > deadline:
                raise OperatorError(f"The worker was not ready in time; its log is {worker.log}.")
            show(Progress("worker is starting (compiling, the first time)"))
            time.sleep(0.1)

    def _settle(self, worker: WorkerProcess, show: Callable[[Progress], None]) -> None:
        """Wait until everything sent has been applied, and updates and decisions have come."""
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        quiet_since, seen = time.monotonic(), (-1, -1)
        while time.monotonic() < deadline:
            self._check(worker)
            progress = self._progress(worker, "settling")
            show(progress)
            come = progress.updates, progress.decisions
            if progress.lag or come != seen:
                quiet_since, seen = time.monotonic(), come
            if time.monotonic() - quiet_since > 1.5:
                return
            time.sleep(0.2)

    def _progress(self, worker: WorkerProcess, stage: str) -> Progress:
        feeder, listener, borrowers = self._feeder, self._listener, self._borrowers
        outcomes = self._decisions.outcomes
        until = feeder.ended_at or time.monotonic()
        played = max(1e-9, until - feeder.began_at) if feeder.began_at else 1.0
        recent = listener.latencies_ms[-2000:]
        return Progress(
            stage=stage,
            payments=feeder.sent,
            rate=feeder.sent / played,
            lag=max(0, feeder.sent - worker.applied()),
            days=feeder.days,
            updates=listener.updates,
            p99_ms=float(np.percentile(recent, 99)) if recent else 0.0,
            decisions=outcomes.total(),
            approved=outcomes[Outcome.APPROVE],
            owed=borrowers.owed,
            defaulted=borrowers.defaulted,
            moves=list(listener.latest),
            answers=list(self._decisions.latest),
        )

    def _summary(self) -> Summary:
        feeder, listener, borrowers = self._feeder, self._listener, self._borrowers
        outcomes = self._decisions.outcomes
        first = listener.first_at
        p50, p99 = (
            np.percentile(listener.latencies_ms, [50, 99])
            if listener.latencies_ms
            else (None, None)
        )
        return Summary(
            payments=feeder.sent,
            payments_per_s=round(feeder.sent / max(1e-9, feeder.ended_at - feeder.began_at), 1),
            limit_updates=listener.updates,
            raises=listener.raises,
            cuts=listener.updates - listener.raises,
            merchants=len(self._merchants),
            merchants_with_limit=sum(u.limit > 0 for u in listener.limits.values()),
            days=round(feeder.days, 2),
            first_update_s=None if first is None else round(first - self._began, 2),
            p50_ms=None if p50 is None else round(float(p50), 1),
            p99_ms=None if p99 is None else round(float(p99), 1),
            applications=borrowers.applications,
            decisions=outcomes.total(),
            approved=outcomes[Outcome.APPROVE],
            counter_offers=outcomes[Outcome.COUNTER_OFFER],
            declined=outcomes[Outcome.DECLINE],
            referred=outcomes[Outcome.REFER],
            loans_drawn=borrowers.drawn,
            loans_repaid=borrowers.repaid,
            loans_defaulted=borrowers.defaulted,
            owed=borrowers.owed,
        )
