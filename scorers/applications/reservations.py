"""What approvals hold back until it is drawn or its time is over."""

from __future__ import annotations

import heapq
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from scorers.applications.messages import Decision
from scorers.applications.terms import REMEMBERED_MS
from scorers.exposure import Exposure, Line

if TYPE_CHECKING:
    from scorers.store import Register


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An application that has been answered, as it is remembered.

    Attributes:
        checksum: of the application's content.
        decision: the answer.
        reserved: what is still held back until the decision's `expires_at`, minor units.
        loans: ids of the loans drawn on it while it was held back.
        schema_version: of this layout.
    """

    checksum: str
    decision: Decision
    reserved: int
    loans: tuple[str, ...] = ()
    schema_version: int = 1


class Key(NamedTuple):
    """What names an application."""

    merchant_id: str
    lender_id: str
    application_id: str


class Ends(IntEnum):
    """What comes to its end; at the same time in this order."""

    RESERVATION = 0
    MEMORY = 1


class Answers:
    """The answers of a partition's applications, and what they reserve.

    What is reserved, and what ends when, follows from the store and the clock: both are built
    anew from them.

    Args:
        store: keeps an `Answer` by merchant, lender and application id.
        clock: event time, epoch ms.

    Attributes:
        reserved: what is held back, by merchant and by line.
    """

    def __init__(self, store: Register[Answer], clock: int) -> None:
        self._store = store
        self._clock = clock
        self.reserved = Exposure()
        self._ends: list[tuple[int, Ends, Key]] = []
        for key, answer in store.items():
            self._enter(Key(*key), answer)

    @property
    def clock(self) -> int:
        """Event time so far, epoch ms."""
        return self._clock

    def get(self, key: Key) -> Answer | None:
        """Return the answer to an application, or None if there is none or it is forgotten."""
        return self._store.get(key)

    def add(self, key: Key, answer: Answer) -> None:
        """Remember a new answer."""
        self._store.put(key, answer)
        self._enter(key, answer)

    def draw(self, key: Key, loan_id: str, amount: int) -> int:
        """Turn a reservation into debt, once for each loan.

        Args:
            key: the application that the loan is drawn on.
            loan_id: the loan.
            amount: drawn, minor units.

        Returns:
            What is no longer held back, minor units: `amount` or what was left, if less.
        """
        answer = self._store.get(key)
        if answer is None or loan_id in answer.loans or not self._holds(answer):
            return 0
        drawn = min(amount, answer.reserved)
        self.reserved.add(key.merchant_id, line_of(answer.decision), -drawn)
        self._store.put(
            key,
            msgspec.structs.replace(
                answer, reserved=answer.reserved - drawn, loans=(*answer.loans, loan_id)
            ),
        )
        return drawn

    def advance(self, clock: int) -> None:
        """Let event time pass: reservations lapse, and what is too old is forgotten.

        Costs nothing for what has not come to its end.

        Args:
            clock: event time, epoch ms; an earlier one than before changes nothing.
        """
        if clock <= self._clock:
            return
        self._clock = clock
        while self._ends and self._ends[0][0] <= clock:
            _, end, key = heapq.heappop(self._ends)
            answer = self._store.get(key)
            if answer is None:
                continue
            if end is Ends.RESERVATION:
                self.reserved.add(key.merchant_id, line_of(answer.decision), -answer.reserved)
            else:
                self._store.delete(key)

    def _holds(self, answer: Answer) -> bool:
        expires_at = answer.decision.expires_at
        return answer.reserved > 0 and expires_at is not None and self._clock < expires_at

    def _enter(self, key: Key, answer: Answer) -> None:
        decision = answer.decision
        heapq.heappush(self._ends, (decision.as_of + REMEMBERED_MS, Ends.MEMORY, key))
        if self._holds(answer) and decision.expires_at is not None:
            heapq.heappush(self._ends, (decision.expires_at, Ends.RESERVATION, key))
            self.reserved.add(key.merchant_id, line_of(decision), answer.reserved)


def line_of(decision: Decision) -> Line:
    """Return the line that a decision belongs to."""
    return Line(decision.lender_id, decision.product.value, decision.currency)
