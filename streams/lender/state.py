"""What a lender knows and how far it has read, in one file: a restart goes on from there."""

from pathlib import Path

import msgspec

from streams.contract.messages import LimitUpdate
from streams.errors import OperatorError
from streams.lender.answers import Known
from streams.whole_file import write_whole

Positions = dict[str, dict[int, int]]
"""Offset of the next record to read, by topic and partition."""


class State(msgspec.Struct, forbid_unknown_fields=True):
    """The state of a lender.

    All parts are of the same moment: whatever lies before `positions` is in the others.

    Attributes:
        lender: Whose state it is.
        positions: How far each topic has been read.
        limits: The newest update of each merchant and product.
        decisions: Applications that have been answered.
        fund_answers: Redemptions that have been answered.
        claim_answers: Claims that have been answered.
    """

    lender: str
    positions: Positions = {}
    limits: list[LimitUpdate] = []
    decisions: list[Known] = []
    fund_answers: list[Known] = []
    claim_answers: list[Known] = []


def load(path: Path, lender: str) -> State:
    """The state that was saved; an empty one where there is no file yet.

    Raises:
        OperatorError: The file is of another lender, or is broken.
    """
    try:
        state = msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return State(lender)
    except (OSError, msgspec.DecodeError) as error:
        raise OperatorError(
            f"The state file {path} cannot be read ({error}): delete it to begin anew, or name "
            "another with --state."
        ) from None
    if state.lender != lender:
        raise OperatorError(
            f"The state file {path} belongs to lender {state.lender}, not {lender}: name another "
            "with --state."
        )
    return state


def save(path: Path, state: State) -> None:
    """Write it whole or not at all.

    Raises:
        OperatorError: The folder is not writable.
    """
    try:
        write_whole(path, msgspec.json.encode(state))
    except OSError as error:
        raise OperatorError(
            f"The state file {path} cannot be written ({error.strerror}): name another with "
            "--state."
        ) from None
