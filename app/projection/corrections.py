"""How long a mistaken red lasts once its correction is here.

The time runs from the arrival of the correction (its append to the log) until the green that it
brings about lies in Redis, where the view reads it. A correction is an event that takes another
back; it is known by the cause of the change that it brings about (models.codes.Cause). A correction
that turns no red to green is not measured. Nor is one after which a reason lifts later, by time or
by other events.

The change and the code come by two topics, so the code is looked for in Redis itself. The green
counts from when it is found there.
"""

import math
import time
from collections import deque
from collections.abc import Iterable

from app.process import metrics
from app.projection.codes import CodeBatch, CodeWriter, colour_of, version_of
from app.projection.state import State
from models.codes import Colour, StatusChange

WAITING_MAX = 10_000
"""Greens looked for at one time; beyond it the ones that wait longest are given up first."""

RECENT = 1_000
QUANTILES = (0.5, 0.95)

_recent: deque[float] = deque(maxlen=RECENT)


def is_measured(change: StatusChange) -> bool:
    """Say whether a correction turned a red to green."""
    return (
        change.cause.corrects is not None
        and change.before.colour is Colour.RED
        and change.after.colour is Colour.GREEN
    )


class MeasuredCodeWriter:
    """Writes as `CodeWriter` does, and looks for the greens that corrections bring about.

    A rebuild replays old corrections; only those that arrived after it began are measured.
    """

    def __init__(self, codes: CodeWriter) -> None:
        self.gate = codes.gate
        self._codes = codes
        self._waiting: dict[str, StatusChange] = {}

    async def apply(self, batch: CodeBatch, state: State) -> bool:
        """Write a batch as `CodeWriter` does, then look for the greens that are waited for."""
        if not await self._codes.apply(batch, state):
            return False
        for change in filter(is_measured, batch.corrections):
            if change.at.timestamp() >= self.gate.building_since:
                self._wait_for(change)
        if self._waiting:
            await self._look()
        return True

    def _wait_for(self, change: StatusChange) -> None:
        self._waiting.pop(change.person, None)
        if len(self._waiting) >= WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[change.person] = change

    async def _look(self) -> None:
        waiting = list(self._waiting.values())
        codes = await self._codes.codes([change.person for change in waiting])
        now = time.time()
        for change, code in zip(waiting, codes, strict=True):
            if code is not None and version_of(code) < change.version:
                continue  # it is still on its way
            del self._waiting[change.person]
            if code is not None and colour_of(code) is Colour.GREEN:
                _observe(max(0.0, now - change.at.timestamp()))


def _observe(seconds: float) -> None:
    metrics.PROJECTION_CORRECTION_SECONDS.observe(seconds)
    _recent.append(seconds)
    for quantile, value in quantiles(_recent):
        metrics.PROJECTION_CORRECTION_RECENT_SECONDS.labels(f"{quantile:g}").set(value)


def quantiles(values: Iterable[float]) -> list[tuple[float, float]]:
    """Return each of `QUANTILES` with the least value that so large a share does not exceed."""
    ordered = sorted(values)
    return [(q, ordered[math.ceil(q * len(ordered)) - 1]) for q in QUANTILES]
