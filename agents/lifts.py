"""Tell what changes by time: a reason that ends or begins, an event whose wait is over.

Each change is stamped with the instant at which it falls due, whenever this runs. It is in the log
together with the row that knows it was told. So it is told once, also across restarts. By a clock
that may be wrong nothing is told: it waits, and is told later with its own instant.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from agents.agent import begin_due
from agents.dead_letters import DeadLetters
from agents.people import advance_due
from app.topology import YuekangApp

INTERVAL_SECONDS = 1.0


def register(app: YuekangApp, dead_letters: DeadLetters, clock_agrees: Callable[[], bool]) -> None:
    """Add the timer; it runs on every worker, for the partitions that the worker holds, while the
    worker's clock agrees with the broker's."""

    @app.timer(interval=INTERVAL_SECONDS)  # type: ignore[untyped-decorator]
    async def tell_due() -> None:
        if not clock_agrees():
            return
        now = datetime.now(UTC)
        begin_due(app.people, advance_due(now, dead_letters), now)
