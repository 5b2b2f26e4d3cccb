"""What a lender knows of answers: of each application, redemption or claim the first counts.

An answer may come again, with the same content but for what was measured. One that says something
else is an error of ours, and is told loudly; the first still counts. Knows no Kafka.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from scorers.applications.messages import Decision, reproducible
from scorers.applications.terms import REMEMBERED_MS
from scorers.claims.book import REPEATED_MS
from scorers.claims.events import ClaimAnswer
from scorers.funds.events import FundAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Answer = Decision | FundAnswer | ClaimAnswer

T = TypeVar("T", bound=Answer)


class Answered(StrEnum):
    """What became of a record."""

    APPLIED = "applied"
    REPEATED = "repeated"
    CONFLICT = "conflict"
    TOMBSTONE = "tombstone"
    UNREADABLE = "unreadable"
    WRONG_LENDER = "wrong_lender"


class Known(msgspec.Struct, frozen=True):
    """An answer as it is remembered.

    Attributes:
        merchant_id: Who was answered.
        request_id: To which application, redemption or claim.
        as_of: Of the answer, in ms.
        checksum: Of everything that it says, but for what was measured.
    """

    merchant_id: str
    request_id: str
    as_of: int
    checksum: str


@dataclass(frozen=True)
class AnswerKind(Generic[T]):
    """What tells decisions, fund answers and claim answers from each other.

    Attributes:
        name: In JSON and in sentences.
        message: Type of the answers.
        request: Id of what is answered; unique for merchant and lender.
        content: Everything that an answer says, but for what was measured.
        remembered_ms: Event time for which an answer is remembered, in ms: it is not given again
            after that.
    """

    name: str
    message: type[T]
    request: Callable[[T], str]
    content: Callable[[T], bytes]
    remembered_ms: int


DECISIONS: AnswerKind[Decision] = AnswerKind(
    "decision", Decision, lambda said: said.application_id, reproducible, REMEMBERED_MS
)
FUND_ANSWERS: AnswerKind[FundAnswer] = AnswerKind(
    "fund_answer", FundAnswer, lambda said: said.event_id, msgspec.json.encode, REMEMBERED_MS
)
CLAIM_ANSWERS: AnswerKind[ClaimAnswer] = AnswerKind(
    "claim_answer", ClaimAnswer, lambda said: said.claim_id, msgspec.json.encode, REPEATED_MS
)


class AnswerBook(Generic[T]):
    """The answers of one lender, of one kind.

    An answer is remembered for as long as workers give it again: 30 days of event time, or 94 of a
    claim. An id may be used anew after that, and its answer is a first one again.

    Args:
        lender: Whose answers count.
        kind: `DECISIONS`, `FUND_ANSWERS` or `CLAIM_ANSWERS`.
        known: What was known before.
        applied: Called with each first answer.
        conflicting: Called with each answer that says something else than the first.

    Attributes:
        kind: Of the answers.
        counts: How many records were taken, by what became of them.

    Example:
        >>> book = AnswerBook("platform", DECISIONS)
        >>> str(book.take(b"{")), len(book)
        ('unreadable', 0)
    """

    def __init__(
        self,
        lender: str,
        kind: AnswerKind[T],
        known: Iterable[Known] = (),
        applied: Callable[[T], None] | None = None,
        conflicting: Callable[[T], None] | None = None,
    ) -> None:
        self.kind = kind
        self.counts: Counter[Answered] = Counter()
        self._lender = lender
        self._applied, self._conflicting = applied, conflicting
        self._decode = msgspec.json.Decoder(kind.message).decode
        self._known = {(each.merchant_id, each.request_id): each for each in known}

    def take(self, value: bytes | None) -> Answered:
        """Take one record in.

        Args:
            value: Its value; None is a tombstone.
        """
        answered = self._take(value)
        self.counts[answered] += 1
        return answered

    def __len__(self) -> int:
        return len(self._known)

    def known(self) -> list[Known]:
        """Return what has to be remembered; what is older is forgotten.

        Older than a merchant's newest answer: an investor that was quiet for long may still be
        answered once more as it was.
        """
        newest: dict[str, int] = {}
        for each in self._known.values():
            newest[each.merchant_id] = max(each.as_of, newest.get(each.merchant_id, each.as_of))
        self._known = {
            key: each
            for key, each in self._known.items()
            if each.as_of > newest[each.merchant_id] - self.kind.remembered_ms
        }
        return list(self._known.values())

    def _take(self, value: bytes | None) -> Answered:
        if value is None:
            return Answered.TOMBSTONE
        try:
            answer = self._decode(value)
        except msgspec.DecodeError:
            return Answered.UNREADABLE
        if answer.lender_id != self._lender:
            return Answered.WRONG_LENDER
        now = Known(
            merchant_id=answer.merchant_id,
            request_id=self.kind.request(answer),
            as_of=answer.as_of,
            checksum=hashlib.blake2b(self.kind.content(answer), digest_size=16).hexdigest(),
        )
        key = (now.merchant_id, now.request_id)
        first = self._known.get(key)
        if first is not None and now.as_of < first.as_of + self.kind.remembered_ms:
            if first.checksum == now.checksum:
                return Answered.REPEATED
            if self._conflicting is not None:
                self._conflicting(answer)
            return Answered.CONFLICT
        self._known[key] = now
        if self._applied is not None:
            self._applied(answer)
        return Answered.APPLIED
