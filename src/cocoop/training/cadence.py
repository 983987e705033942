"""How often a training keeps its state inside an epoch."""

from __future__ import annotations

import re
import time

from cocoop.errors import InputError

EVERY = "10min"
"""By default: so much is lost at most, and short epochs take no time for it."""


class Cadence:
    """Every so many steps, or so many minutes.

    Args:
        every: a number of steps, such as 500 or "500", or of minutes, such as "10min".

    Raises:
        InputError: neither.
    """

    def __init__(self, every: int | str) -> None:
        written = re.fullmatch(r"([1-9][0-9]{0,8})( ?min)?", str(every))
        if written is None or isinstance(every, bool):
            raise InputError(
                f"checkpoint_every: expected a number of steps, such as 500, or of minutes, such as {EVERY}; got "
                f"{every!r}."
            )
        number, minutes = int(written[1]), written[2] is not None
        self._steps = None if minutes else number
        self._seconds = 60 * number if minutes else None
        self.begin()

    def begin(self, steps: int = 0) -> None:
        """Count from now on, when so many steps of the epoch are over."""
        self._counted, self._since = steps, time.monotonic()

    def is_due(self, steps: int) -> bool:
        """Whether it is time, when so many steps of the epoch are over."""
        if self._steps is not None:
            return steps - self._counted >= self._steps
        return self._seconds is not None and time.monotonic() - self._since >= self._seconds
