"""Honest events, which inputs are made of."""

import json
from pathlib import Path
from typing import Any

from models.events import EVENT_TYPES
from support import builders

FIXTURES = Path(__file__).parents[1] / "fixtures" / "events"
NOW = builders.day(400)
EVENTS: tuple[Any, ...] = tuple(
    json.loads(path.read_bytes())
    for path in sorted(FIXTURES.glob("*/*.json"))
    if path.parent.name in EVENT_TYPES
)
"""Every published example."""


class Crash(Exception):
    """An answer that is not documented."""
