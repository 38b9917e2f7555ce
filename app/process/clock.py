"""The clock that a part is given, so that a test can give it another."""

from collections.abc import Callable
from datetime import datetime

from models.policy import ZONE

Clock = Callable[[], datetime]
"""Gives the instant, with its zone."""


def now() -> datetime:
    """Return the instant by this machine's clock, in Asia/Shanghai."""
    return datetime.now(ZONE)
