"""Whether more is asked of this process than it can answer: how late its event loop is."""

import asyncio
from collections.abc import Callable

TICK_SECONDS = 0.02

MANY = 32
"""Fewer requests between two ticks are no rush: then the machine is busy with something else."""


class Rush:
    """How late the event loop is, and whether that is for the many who ask. Belongs to one loop."""

    def __init__(self) -> None:
        self.late_s = 0.0
        self.after_look: Callable[[], None] = lambda: None
        """Called each time that it has looked."""
        self._begun = 0
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TICK_SECONDS, self._tick, loop.time() + TICK_SECONDS)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def asked(self) -> None:
        """Count a request."""
        self._begun += 1

    def _tick(self, due: float) -> None:
        late = asyncio.get_running_loop().time() - due if self._begun >= MANY else 0.0
        # Twice in a row: one long step is no rush.
        self.late_s, self._last, self._begun = min(late, self._last), late, 0
        self.after_look()
        self.start()
