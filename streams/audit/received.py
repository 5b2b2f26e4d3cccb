"""A message as a lender received it, and where the log must lead to it."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from scorers.applications.messages import Decision
from scorers.claims.events import ClaimAnswer
from scorers.funds.events import FundAnswer
from streams.contract.messages import LimitUpdate
from streams.errors import OperatorError

Message = LimitUpdate | Decision | FundAnswer | ClaimAnswer

KINDS: dict[str, type[Message]] = {
    "limit_update": LimitUpdate,
    "decision": Decision,
    "fund_answer": FundAnswer,
    "claim_answer": ClaimAnswer,
}
"""What can be recomputed, by the name that `duoshou lender --json` gives it."""

MEASURED = "stages"
"""The field that differs from run to run."""

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Received(NamedTuple):
    """One message."""

    kind: str
    """One of `KINDS`."""
    message: Message
    fields: dict[str, Any]
    """As they were received, but for what was measured."""
    as_written: bool
    """Whether the bytes are those that a worker writes: no white space, no field twice."""

    @property
    def reproducible(self) -> bytes:
        """The message as JSON without what was measured."""
        return msgspec.json.encode(self.fields)

    @property
    def name(self) -> str:
        """What it is, in a line for a person."""
        said = self.message
        whose = f"{said.merchant_id}, {said.lender_id}"
        match said:
            case LimitUpdate():
                return f"limit update of {whose}, {said.product}, version {said.version}"
            case Decision():
                return f"decision on application {said.application_id} of {whose}"
            case FundAnswer():
                return f"answer to redemption {said.event_id} of {whose}"
            case ClaimAnswer():
                return f"answer to claim {said.claim_id} of {whose}"


def received(raw: bytes) -> Received:
    """Read a message; a line of `duoshou lender --json` is the message in it.

    Raises:
        OperatorError: It is neither a limit update nor an answer.
    """
    raw = raw.strip()
    try:
        members = _members(raw)
        if len(members) == 1 and (inner := next(iter(members))) in KINDS:
            raw = bytes(members[inner])
        fields: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OperatorError(
            f"What is to be audited is no JSON object ({error}): give it one limit update or one "
            "decision, as it was received."
        ) from None
    wrong = []
    for kind, type_ in KINDS.items():
        try:
            message = msgspec.json.decode(raw, type=type_)
        except msgspec.DecodeError as error:
            wrong.append(f"as a {kind}: {error}")
            continue
        as_written = msgspec.json.encode(fields) == raw
        fields.pop(MEASURED, None)
        return Received(kind, message, fields, as_written)
    raise OperatorError(
        "What is to be audited is neither a limit update nor a decision nor an answer to a "
        f"redemption or a claim ({'; '.join(wrong)}): give it one of them, as it was received."
    )


def named_alike(one: Message, other: Message) -> bool:
    """Tell whether two messages are of one kind and about the same thing."""
    if (one.merchant_id, one.lender_id) != (other.merchant_id, other.lender_id):
        return False
    match one, other:
        case LimitUpdate(), LimitUpdate():
            return one.product == other.product
        case Decision(), Decision():
            return one.application_id == other.application_id
        case FundAnswer(), FundAnswer():
            return one.event_id == other.event_id
        case ClaimAnswer(), ClaimAnswer():
            return one.claim_id == other.claim_id
        case _:
            return False
