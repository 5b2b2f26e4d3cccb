"""When a payment of a file is due, and the ticks that go with it."""

import re
from collections.abc import Iterator

from streams.errors import OperatorError

HOUR_MS = 3_600_000
LONGEST_SILENCE_HOURS = 60 * 24
"""After so many quiet hours every window is empty; the rest of a gap is crossed in one step."""


def speed_factor(text: str) -> float | None:
    """What `--speed` says: seconds of event time a second, None for as fast as possible.

    Raises:
        OperatorError: It is neither `max`, `real` nor a number with x.

    Example:
        >>> speed_factor("real"), speed_factor("60x"), speed_factor("max")
        (1.0, 60.0, None)
    """
    if text == "max":
        return None
    if text == "real":
        return 1.0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)x", text)
    if found is None or float(found[1]) == 0:
        raise OperatorError(f"--speed is max, real or a number of times such as 60x, not {text!r}.")
    return float(found[1])


class Pace:
    """Maps event times to moments of a run that began now.

    Args:
        factor: Seconds of event time a second; None for no waiting.
        first_at: Event time at the beginning of the run, ms.
        now: The run's clock at its beginning, s.
    """

    def __init__(self, factor: float | None, first_at: int, now: float) -> None:
        self._factor, self._first_at, self._began = factor, first_at, now

    def due(self, occurred_at: int) -> float:
        """When to send a payment, on the run's clock in s; the past means at once."""
        if self._factor is None:
            return self._began
        return self._began + (occurred_at - self._first_at) / 1000 / self._factor


class Hours:
    """The full hours that event time passes, each once.

    Args:
        hour: The last one already ticked, in hours since 1970; None before the first payment.

    Example:
        >>> hours = Hours(None)
        >>> list(hours.passed(5 * HOUR_MS)), list(hours.passed(7 * HOUR_MS + 1))
        ([], [21600000, 25200000])
    """

    def __init__(self, hour: int | None) -> None:
        self.hour = hour

    def passed(self, occurred_at: int) -> Iterator[int]:
        """Event times to tick before a payment, ms, in order."""
        hour = occurred_at // HOUR_MS
        if self.hour is None or hour <= self.hour:
            self.hour = hour if self.hour is None else self.hour
            return
        quiet = range(self.hour + 1, min(hour, self.hour + 1 + LONGEST_SILENCE_HOURS))
        self.hour = hour
        for each in (*quiet, hour):
            yield each * HOUR_MS
