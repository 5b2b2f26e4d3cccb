"""How a worker or a trainer ends when it must not go on."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

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
