"""Which events stand: a correction takes an earlier event back."""

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, Protocol, TypeVar


class Correcting(Protocol):
    """What may correct and be corrected: an event, or an entry of a list."""

    @property
    def source(self) -> str:
        """Who sent it."""
        ...

    @property
    def id(self) -> str:
        """Unique within the source."""
        ...

    @property
    def supersedes(self) -> str | None:
        """The id of the earlier event of the same source that it takes back."""
        ...

    @property
    def order(self) -> tuple[int, Any, str]:
        """Place among the events of the same source."""
        ...


E = TypeVar("E", bound=Correcting)


def standing(events: Iterable[E]) -> list[E]:
    """Leave out the events that a standing correction takes back.

    A correction reaches only an earlier event of its own source (`corrects`). So a walk from the
    newest to the oldest settles every chain, and no circle can close. A correction that is itself
    corrected no longer counts: it equals never having been sent.

    The result is sorted by (source, id), so nothing that follows can depend on an order of arrival.
    """
    events = sorted(events, key=attrgetter("source", "id"))
    if all(event.supersedes is None for event in events):
        return events
    known = {(event.source, event.id): event for event in events}
    taken_back: set[tuple[str, str]] = set()
    for event in sorted(events, key=lambda e: e.order, reverse=True):
        if event.supersedes is not None and (event.source, event.id) not in taken_back:
            target = known.get((event.source, event.supersedes))
            if target is not None and corrects(event, target):
                taken_back.add((target.source, target.id))
    return [event for event in events if (event.source, event.id) not in taken_back]


def corrects(event: Correcting, target: Correcting) -> bool:
    """Say whether `event` takes back `target`: it names it, has its source, and comes after it."""
    return (
        event.supersedes == target.id
        and event.source == target.source
        and target.order < event.order
    )
