"""How long a mistaken red lasts once its correction is here.

Measured from the arrival of the correction (its append to the log) until the green that it brings
about lies in Redis, where the view reads it. A correction is an event that takes back another, and
is known by the cause of the change that it brings about (models.codes.Cause). One that turns no
red to green is not measured, nor one that lets a reason lift later by time or by other events.

The change and the code come by two topics, so the code is looked for in Redis itself; the green
counts from when it is found there.
"""

import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from app import metrics
from app.readmodel import colour_of, version_of
from models.codes import Colour, StatusChange

WAITING_MAX = 10_000
"""Greens that are looked for at one time; the ones that wait longest are given up first."""

RECENT = 1_000
QUANTILES = (0.5, 0.95)


class Stored(Protocol):
    """Where codes lie."""

    async def codes(self, people: Sequence[str]) -> Sequence[bytes | None]:
        """Return the codes of `people` as they are stored, None for one that is not there."""
        ...


class Corrections:
    """Measures the corrections that a projection comes by."""

    def __init__(self) -> None:
        self._since = 0.0
        self._waiting: dict[str, StatusChange] = {}
        self._recent: deque[float] = deque(maxlen=RECENT)

    def begin(self, since: float) -> None:
        """Measure what holds from `since` on (s since 1970), and look for nothing yet.

        A model that is built anew comes by corrections that were seen long ago.
        """
        self._since = since
        self._waiting.clear()

    def note(self, change: StatusChange) -> None:
        """Take notice of a change; it need not be in Redis yet."""
        self._waiting.pop(change.person, None)
        if (
            change.cause.corrects is not None
            and change.before.colour is Colour.RED
            and change.after.colour is Colour.GREEN
            and change.at.timestamp() >= self._since
        ):
            if len(self._waiting) >= WAITING_MAX:
                del self._waiting[next(iter(self._waiting))]
            self._waiting[change.person] = change

    async def measure(self, stored: Stored) -> None:
        """Look for the greens that are waited for; to be called after each write."""
        if not self._waiting:
            return
        waiting = list(self._waiting.values())
        codes = await stored.codes([change.person for change in waiting])
        now = time.time()
        for change, code in zip(waiting, codes, strict=True):
            if code is not None and version_of(code) < change.version:
                continue  # it is still on its way
            del self._waiting[change.person]
            if code is not None and colour_of(code) is Colour.GREEN:
                self._observe(max(0.0, now - change.at.timestamp()))

    def _observe(self, seconds: float) -> None:
        metrics.PROJECTION_CORRECTION_SECONDS.observe(seconds)
        self._recent.append(seconds)
        for quantile, value in quantiles(self._recent):
            metrics.PROJECTION_CORRECTION_RECENT_SECONDS.labels(f"{quantile:g}").set(value)


def quantiles(values: Iterable[float]) -> list[tuple[float, float]]:
    """Return each of `QUANTILES` with the least value that so large a share does not exceed."""
    ordered = sorted(values)
    return [(q, ordered[math.ceil(q * len(ordered)) - 1]) for q in QUANTILES]
