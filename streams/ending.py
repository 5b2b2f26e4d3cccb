"""How a process ends when it must not go on, or is told to end."""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h


def end_process(sentence: str, error: BaseException | None = None) -> NoReturn:
    """End the process at once, before anything more is committed.

    Faust acknowledges an event whose handling raised, so a failure of the infrastructure may
    never reach it. What was not covered by a checkpoint is read again by the next worker.

    Args:
        sentence: what went wrong, for the person who reads the log.
        error: the cause.
    """
    cause = f": {type(error).__name__}: {error}" if error is not None else ""
    logger.critical("ending the process: %s%s", sentence, cause, exc_info=error)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(EXIT_CODE)


@contextmanager
def unwound_by_sigterm() -> Iterator[None]:
    """Inside the block, let SIGTERM leave it as an exception does: what was started is ended.

    A second one is ignored: whoever is in a hurry has SIGKILL.

    Raises:
        SystemExit: SIGTERM has come; with the exit code that shells give it, 143.
    """

    def unwind(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
