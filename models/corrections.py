"""Which events stand, and in which place: a correction stands in the place of what it corrects.

An event whose `supersedes` names an earlier event of its source and family corrects it. A chain is
a first event with all that corrects it, directly or through others.

| In a chain | |
|---|---|
| several say something | the last of them stands, and no other |
| a `...Retracted` | takes back what it names, which then says nothing any more |
| the last was taken back | the one before it stands again |

So a correction is replaced for good, and only a retraction gives back. A chain keeps its place,
whatever of it is taken back. Whatever stands is read in the place of the first event of its chain:
who corrects the date of a case's confirmation does not confirm it after its discharge (decision 6).
"""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

Identity = tuple[str, str]
"""Source and id of an event."""

Chain = tuple[str, str, str]
"""A chain, by its first event; with the family where that event is not known."""

Order = tuple[int, Any, str]
"""Place among the events of one source."""


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
        """The id of the earlier event of the same source that it corrects."""
        ...

    @property
    def family(self) -> str:
        """What it is about, such as `case`; only events of one family correct one another."""
        ...

    @property
    def retracts(self) -> bool:
        """Whether it takes back what it names, and says nothing of its own."""
        ...

    @property
    def order(self) -> Order:
        """Place among the events of the same source."""
        ...


E = TypeVar("E", bound=Correcting)


class Settled(NamedTuple, Generic[E]):
    """What a set of events comes to, whatever order they arrived in.

    `standing` are the events that count, by source and id. `place` gives each its place among those
    of its source. `instead_of` names, for each event that does not count, the one that stands in
    its place or takes it back.
    """

    standing: list[E]
    place: Callable[[Correcting], Order]
    instead_of: dict[Identity, E]


def settle(events: Iterable[E]) -> Settled[E]:
    """Find what stands. A correction whose target is not among `events` corrects nothing yet."""
    events = sorted(events, key=_identity)
    if all(event.supersedes is None for event in events):
        return Settled(events, _order, {})
    targets, chain = _chains(events)
    taken_back: dict[Identity, E] = {}
    corrected: set[Identity] = set()
    last: dict[Chain, E] = {}
    # Newest first: whatever may take an event back or replace it is settled before it.
    for event in sorted(events, key=_order, reverse=True):
        own = _identity(event)
        target = targets.get(own)
        if own in taken_back:
            continue
        if not event.retracts:
            last.setdefault(chain[own], event)
            if target is not None:
                corrected.add(_identity(target))
        elif target is not None and own not in corrected:
            taken_back.setdefault(_identity(target), event)
    stand, instead_of = [], dict(taken_back)
    for event in events:
        own = _identity(event)
        if own in taken_back:
            continue
        said_last = last.get(chain[own])
        if event is said_last or (event.retracts and own not in corrected):
            stand.append(event)
        elif said_last is not None:
            instead_of[own] = said_last
    first: dict[Chain, Order] = {}
    for event in events:
        key = chain[_identity(event)]
        first[key] = min(first.get(key, event.order), event.order)
    return Settled(stand, lambda event: first[chain[_identity(event)]], instead_of)


def standing(events: Iterable[E]) -> list[E]:
    """Return the events that count, by source and id."""
    return settle(events).standing


def corrects(event: Correcting, target: Correcting) -> bool:
    """Say whether `event` corrects `target`: it names it, has its source and its family, and comes
    after it. So corrections cannot form a circle."""
    return (
        event.supersedes == target.id
        and event.source == target.source
        and event.family == target.family
        and target.order < event.order
    )


def replaced_by(events: Iterable[E], event: E, target: E) -> E | None:
    """Return what stands in the place of `target` in spite of `event`, which corrects it or takes
    it back: a correction of `target` that `event` does not name. None if `event` has its
    effect."""
    settled = settle(events)
    if not event.retracts:
        by = settled.instead_of.get(_identity(event))
        later = by is not None and not by.retracts and _order(event) < _order(by)
        return by if by is not None and later and by.supersedes != event.id else None
    for other in settled.standing:
        if (
            not other.retracts
            and (other.source, other.family) == (event.source, event.family)
            and settled.place(other) == settled.place(target)
            and _order(target) < _order(other) < _order(event)
        ):
            return other
    return None


def _chains(events: Iterable[E]) -> tuple[dict[Identity, E], dict[Identity, Chain]]:
    """Return what each correction corrects, where that is known, and the chain of each event.

    Corrections that name one event which is not known are of one chain too.
    """
    known = {_identity(event): event for event in events}
    targets: dict[Identity, E] = {}
    chain: dict[Identity, Chain] = {}
    for own, event in sorted(known.items(), key=lambda item: _order(item[1])):
        chain[own] = (*own, "")
        if event.supersedes is None:
            continue
        named = event.source, event.supersedes
        target = known.get(named)
        if target is None:
            chain[own] = (*named, event.family)
        elif corrects(event, target):
            targets[own] = target
            chain[own] = chain[named]
    return targets, chain


_identity: Callable[[Correcting], Identity] = attrgetter("source", "id")
_order: Callable[[Correcting], Order] = attrgetter("order")
