"""What leaves a person's row, and when it must be read again.

A row holds what can still bear on the code. Whatever lies wholly before `settled_after`, and on
which nothing rests that is open, leaves for a page of the person's history, written once. No rule
reaches it from what happens later. What was reported late, or corrects, may reach it: then the
pages are read, all is judged together, and what has become important again comes back.

So the code is that of all events ever accepted, whatever order they arrive in, for as long as the
pages are kept: `history_kept`, and at most `pages_max` of them. An event that names what lies
beyond them is told that it is not kept.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import astuple

from models.codes import EventRef, Interval, Reason, ref
from models.events import (
    ContactListed,
    IdentityVerified,
    NatResultReported,
    StatusEvent,
)
from models.facts import Fact, identity
from models.files import file_of
from models.idle import Obstacle
from models.policy import policy_at
from models.reasons import Assessment, assess, opens_nothing

MARGIN = timedelta(days=1)
"""An event whose every instant is this much later than all of the history is judged without it. It
is longer than `provincial_disorder_max` and `contact_tests_apart`."""

SPECIMEN_MARGIN = timedelta(days=15)
"""The same for a result that names its specimen: a day more than two reports of one specimen may be
apart (`sampled_to_reported_max`)."""

FILES_MAX = 32
"""Files that a row remembers of its history. Beyond it, each new one is looked for on the pages."""

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
"""Before every instant of an event. Days of pages are counted from it."""


class History(Struct, frozen=True, array_like=True):
    """Which pages there are, and until when they reach.

    Page `first + n` has nothing later than the day `last_days[n]`, counted from 1970. Nothing on
    any page is later than `until`; of what opened something, or followed it, nothing is later than
    `opened_until`. `files` are the cases, listings and orders on the pages, without their sources;
    None if they are more than `FILES_MAX`.
    """

    first: int = 1
    last_days: tuple[int, ...] = ()
    until: datetime | None = None
    opened_until: datetime | None = None
    files: tuple[str, ...] | None = ()

    @property
    def numbers(self) -> range:
        """The numbers of the pages."""
        return range(self.first, self.first + len(self.last_days))


Pages = Callable[[int], Sequence[Fact]]
"""Returns what is on the page of a number."""


class ReadFact(NamedTuple):
    """A fact with its event."""

    fact: Fact
    event: StatusEvent

    @property
    def ref(self) -> EventRef:
        """The identity of the event."""
        return ref(self.fact)


def instants(event: StatusEvent) -> Iterator[datetime]:
    """Yield every instant that `event` names, its own among them."""
    yield event.time
    for value in astuple(event.data):
        if isinstance(value, datetime):
            yield value


def reached_by(history: History, event: StatusEvent, held: Sequence[StatusEvent]) -> bool:
    """Say whether `event` may bear on what is in `history`, or that on it. `held` are the events in
    the row: a case, a listing or an order lies whole in the one or in the other."""
    if history.until is None:
        return False
    if event.supersedes is not None or any(other.supersedes == event.id for other in held):
        return True
    if min(instants(event)) < history.until + _margin(event):
        return True
    file = file_of(event)
    if file is None or (history.files is not None and file not in history.files):
        return False
    return not any(other.source == event.source and file_of(other) == file for other in held)


def _margin(event: StatusEvent) -> timedelta:
    named = isinstance(event, NatResultReported) and event.data.specimen is not None
    return SPECIMEN_MARGIN if named else MARGIN


def cannot_lift(history: History, event: StatusEvent) -> bool:
    """Say whether all that opened something in `history` ended long before `event`, which opens
    nothing."""
    until = history.opened_until
    return until is None or min(instants(event)) >= until + _margin(event)


def read_pages(history: History, pages: Pages) -> list[Fact]:
    """Return all of the history by source and id, each event once: as it arrived first."""
    return first_arrivals(fact for number in history.numbers for fact in pages(number))


def first_arrivals(facts: Iterable[Fact]) -> list[Fact]:
    """Return facts by source and id, of each event the first arrival."""
    found: dict[tuple[str, str], Fact] = {}
    for fact in facts:
        known = found.setdefault(identity(fact), fact)
        if fact.arrived_at < known.arrived_at:
            found[identity(fact)] = fact
    return [found[own] for own in sorted(found)]


def may_leave(
    entries: Sequence[ReadFact], found: Assessment, at: datetime, on_a_page: set[EventRef]
) -> set[EventRef]:
    """Return what can bear on nothing any more at `at`, of `entries`, which `found` assesses. What
    is `on_a_page` already can go back there, however old it is."""
    cut = at - policy_at(at).settled_after
    old = {entry.ref for entry in entries if entry.ref in on_a_page or _last(entry) < cut}
    return _without_bearing(entries, found, old, cut) if old else set()


def may_go_back(
    entries: Sequence[ReadFact], found: Assessment, at: datetime, on_a_page: set[EventRef]
) -> set[EventRef]:
    """Return what of `on_a_page` has not become important again at `at`."""
    return _without_bearing(entries, found, on_a_page, at - policy_at(at).ended_kept)


def oldest_that_may_leave(
    entries: Sequence[ReadFact], found: Assessment, at: datetime
) -> set[EventRef]:
    """Return the oldest of `entries`, as far as nothing that is open rests on them: at most a
    quarter.

    A row gives them up at its bound, though they are not settled. Beyond `facts_reserved` it gives
    up results too that a late one might make important: of so many, others will do.
    """
    policy = policy_at(at)
    keep_results = len(entries) <= policy.facts_max + policy.facts_reserved
    cut, everything = at - policy.ended_kept, {entry.ref for entry in entries}
    stays = _stays(entries, found, everything, cut, keep_results=keep_results)
    oldest = sorted(entries, key=lambda entry: (_last(entry), identity(entry.fact)))
    may = [entry.ref for entry in oldest if entry.ref not in stays]
    for count in (len(entries) // 4, len(entries) // 32, 1):
        some = set(may[:count])
        leaves = _without_bearing(entries, found, some, cut, keep_results=keep_results)
        if leaves:
            return leaves
    return set()


def _without_bearing(
    entries: Sequence[ReadFact],
    found: Assessment,
    old: set[EventRef],
    cut: datetime,
    *,
    keep_results: bool = True,
) -> set[EventRef]:
    """Return those of `old` without which all that holds after `cut` stays as `found` has it."""
    stays = _stays(entries, found, old, cut, keep_results=keep_results)
    leaves = old - stays
    if not leaves:
        return leaves
    left = assess(entry.event for entry in entries if entry.ref not in leaves)
    return leaves if _meant(left, cut) == _meant(found, cut) else set()


def _meant(found: Assessment, cut: datetime) -> tuple[object, ...]:
    return found.verified_since, found.city, _bearing(found, cut)


def _bearing(found: Assessment, cut: datetime) -> tuple[Interval, ...]:
    return tuple(i for i in found.intervals if i.end is None or i.end > cut)


def _refs(interval: Interval) -> Iterator[EventRef]:
    yield interval.opened_by
    for condition in interval.conditions:
        if condition.met_by is not None:
            yield condition.met_by


def _last(entry: ReadFact) -> datetime:
    return max(entry.fact.arrived_at, *instants(entry.event))


def _stays(
    entries: Sequence[ReadFact],
    found: Assessment,
    old: set[EventRef],
    cut: datetime,
    *,
    keep_results: bool,
) -> set[EventRef]:
    """Return what of `entries` must stay if only `old` may leave: what is open rests on it, or what
    stays belongs together with it."""
    stays = {entry.ref for entry in entries} - old
    stays |= {ref for interval in _bearing(found, cut) for ref in _refs(interval)}
    stays |= {*found.identified_by, *_waiting(entries, found)}
    together, size = _together(entries, found), -1
    while size < len(stays):
        size = len(stays)
        for group in together:
            if not stays.isdisjoint(group):
                stays |= group
        stays |= {green for red, green in found.ended_by if red in stays}
        if keep_results:
            stays |= _results_after_openings(entries, found, stays)
    return stays


def _waiting(entries: Sequence[ReadFact], found: Assessment) -> set[EventRef]:
    """Return what names something that has not arrived: it may still come."""
    known = {entry.ref for entry in entries}
    waiting = {
        ref(one.event)
        for one in found.idle
        if one.why in (Obstacle.NOT_BEGUN, Obstacle.OF_ANOTHER_SOURCE)
    }
    for entry in entries:
        target = entry.fact.supersedes
        if target is not None and EventRef(entry.fact.source, target) not in known:
            waiting.add(entry.ref)
    return waiting


def _together(entries: Sequence[ReadFact], found: Assessment) -> list[set[EventRef]]:
    """Return what stays or leaves as one: a file, a specimen, a chain, what a reason names."""
    groups: defaultdict[object, set[EventRef]] = defaultdict(set)
    for entry in entries:
        if (file := file_of(entry.event)) is not None:
            groups[entry.fact.source, file].add(entry.ref)
        if isinstance(entry.event, NatResultReported) and entry.event.data.specimen is not None:
            groups[entry.fact.source, "specimen", entry.event.data.specimen].add(entry.ref)
        if entry.fact.supersedes is not None:
            target = EventRef(entry.fact.source, entry.fact.supersedes)
            groups[entry.ref, target] |= {entry.ref, target}
    together = [group for group in groups.values() if len(group) > 1]
    return together + [set(_refs(interval)) for interval in found.intervals]


def _results_after_openings(
    entries: Sequence[ReadFact], found: Assessment, stays: set[EventRef]
) -> set[EventRef]:
    """Return the results sampled after the first positive, confirmed case or exposure that
    stays."""
    opened = {
        interval.opened_by
        for interval in found.intervals
        if interval.reason in (Reason.CONFIRMED_OR_POSITIVE, Reason.CLOSE_CONTACT)
    }
    first = min(
        (
            min(instants(entry.event))
            for entry in entries
            if entry.ref in stays
            and (entry.ref in opened or isinstance(entry.event, ContactListed))
        ),
        default=None,
    )
    return {
        entry.ref
        for entry in entries
        if first is not None
        and isinstance(entry.event, NatResultReported)
        and entry.event.data.sampled_at >= first
    }


def with_page(
    history: History, entries: Iterable[ReadFact], at: datetime
) -> tuple[History, dict[int, tuple[Fact, ...]], int]:
    """Return the history with one more page, which holds `entries`; the pages that change, by
    number; and how many pages were given up for room.

    A page older than `history_kept` becomes empty. So does the oldest where there are more than
    `pages_max`, and that alone counts as given up for room.
    """
    entries, policy = list(entries), policy_at(at)
    last = {entry.ref: max(instants(entry.event)) for entry in entries}
    opened = [last[entry.ref] for entry in entries if _opens_or_follows(entry.event)]
    until = max([*last.values(), *filter(None, [history.until])])
    days = (*history.last_days, (until - EPOCH).days)
    pages = {history.first + len(days) - 1: tuple(entry.fact for entry in entries)}
    kept_from = (at - policy.history_kept - EPOCH).days
    first, lost = history.first, 0
    while days and (len(days) > policy.pages_max or days[0] < kept_from):
        pages[first] = ()
        lost += days[0] >= kept_from
        first, days = first + 1, days[1:]
    opened_until = max([*opened, *filter(None, [history.opened_until])], default=None)
    found = {file for entry in entries if (file := file_of(entry.event)) is not None}
    files = None if history.files is None else tuple(sorted({*history.files, *found}))
    if files is not None and len(files) > FILES_MAX:
        files = None
    return History(first, days, until, opened_until, files), pages, lost


def _opens_or_follows(event: StatusEvent) -> bool:
    return not (opens_nothing(event) or isinstance(event, IdentityVerified))
