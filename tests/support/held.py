"""A person's row and the pages of their history, as the people table holds them."""

from datetime import datetime
from typing import Any

from models.facts import Fact
from models.person import FoldOutcome, Person, advance, fold, unknown, whole


def is_page(key: bytes) -> bool:
    """Say whether a key of the people table is that of a page, and not of a row."""
    return b"/" in key


class Held:
    """One person: `fold` and `advance` as a worker does, with the pages kept beside the row."""

    def __init__(self, person: str, at: datetime) -> None:
        self.row = unknown(person, at)
        self.pages: dict[int, tuple[Fact, ...]] = {}
        self.reads = 0
        self.lost = 0

    def fold(self, event: Any, arrived_at: datetime | None = None) -> FoldOutcome:
        """Fold an event, which arrived when it was sent unless told otherwise."""
        return self._take(fold(self.row, event, arrived_at or event.time, self._page))

    def advance(self, to: datetime) -> FoldOutcome:
        """Let time pass."""
        return self._take(advance(self.row, to))

    def whole(self) -> Person:
        """Return the row with all of its history."""
        return whole(self.row, self.pages.__getitem__)

    def _page(self, number: int) -> tuple[Fact, ...]:
        self.reads += 1
        return self.pages[number]

    def _take(self, outcome: FoldOutcome) -> FoldOutcome:
        self.row = outcome.person
        self.pages.update(outcome.pages)
        self.lost += outcome.lost
        return outcome
