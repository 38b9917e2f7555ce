"""What leaves a person's row, and when it must be read again.

A row holds what can still bear on the code. Whatever lies wholly before `settled_after`, and on
which nothing rests that is open, leaves for a page of the person's history, written once. No rule
reaches it from what happens later. What was reported late, or corrects, may reach it: then the
pages are read, all is judged together, and what has become important again comes back.

So the code is that of all events ever accepted, whatever order they arrive in, for as long as the
pages are kept: `history_kept`, and at most `pages_max` of them. An event that names what lies
beyond them is told that it is not kept. In a flood, and in a row that has used up its reserve, it
depends on the order: a reason may hold for longer, and one that has ended may be shown no more
(decision 19).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import astuple

from models.answers import deadline
from models.codes import EventRef, Interval, Reason, ref
from models.events import (
    ContactListed,
    IdentityVerified,
    NatResultReported,
    StatusEvent,
)
from models.facts import Fact, identity, rewritten
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

PAGE_MIN = 16
"""Fewer events leave a row only at its bound: its history is written seldom."""

PAGE_MAX = 32
"""Most events on a page, so that all pages of a history are read in a bounded time."""

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
"""Before every instant of an event. Days of pages are counted from it."""


class History(Struct, frozen=True, array_like=True):
    """Which pages there are, and until when they reach.

    Page `first + n` has nothing later than the day `last_days[n]`, counted from 1970. Nothing on
    any page is later than `until`; of what opened something, or followed it, nothing is later than
    `opened_until`. `files` are the cases, listings and orders on the pages, without their sources;
    None if they are more than `FILES_MAX`. `crowded_out` counts what left at the bound of the row
    though it was not settled, the last of it at `crowded_out_at`, until all of that is settled.
    """

    first: int = 1
    last_days: tuple[int, ...] = ()
    until: datetime | None = None
    opened_until: datetime | None = None
    files: tuple[str, ...] | None = ()
    crowded_out: int = 0
    crowded_out_at: datetime | None = None

    @property
    def numbers(self) -> range:
        """The numbers of the pages."""
        return range(self.first, self.first + len(self.last_days))


Pages = Callable[[int], Sequence[Fact]]
"""Returns what is on the page of a number."""


class ReadFact(NamedTuple):
    """A fact with its event, and the identity of both."""

    fact: Fact
    event: StatusEvent
    ref: EventRef

    @classmethod
    def of(cls, fact: Fact, event: StatusEvent) -> "ReadFact":
        """Return a fact as it is written now, with its event."""
        return cls(rewritten(fact, event), event, ref(fact))


def instants(event: StatusEvent) -> Iterator[datetime]:
    """Yield every instant that `event` names, its own among them."""
    yield event.time
    for value in astuple(event.data):
        if isinstance(value, datetime):
            yield value


def reached_by(
    history: History, event: StatusEvent, held: Sequence[StatusEvent], at: datetime
) -> bool:
    """Say whether `event` may bear on what is in `history`, or that on it. `held` are the events in
    the row: a case, a listing or an order lies whole in the one or in the other.

    In a flood only what `event` corrects counts: each would read all that left before it.
    """
    if history.until is None:
        return False
    *_, first = chain = list(_chain(event, held))
    if first.supersedes is not None:
        return True
    if any(other.supersedes == event.id for other in held):
        return True
    if is_crowded(len(held), at) or _is_flooded(history, at):
        return False
    for one in chain:
        if not _is_of_an_order(one) and min(instants(one)) < history.until + _margin(one):
            return True
    file = file_of(event)
    if file is None or (history.files is not None and file not in history.files):
        return False
    return not any(other.source == event.source and file_of(other) == file for other in held)


def _chain(event: StatusEvent, held: Sequence[StatusEvent]) -> Iterator[StatusEvent]:
    """Yield `event`, what it corrects, and so on, as far as that is among `held`."""
    seen = set[tuple[str, str]]()
    found: StatusEvent | None = event
    while found is not None and identity(found) not in seen:
        yield found
        seen.add(identity(found))
        corrected = found.source, found.supersedes
        found = next((other for other in held if identity(other) == corrected), None)


def _is_of_an_order(event: StatusEvent) -> bool:
    """Say whether `event` bears on its own order alone, which is found by its number."""
    return event.family == "quarantine"


def _reaches_until(event: StatusEvent) -> datetime:
    """Return the last instant at which another event may bear on `event`, or that on it, that does
    not name it. When an order was to end is no such instant."""
    return event.time if _is_of_an_order(event) else max(instants(event))


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


def _is_flooded(history: History, at: datetime) -> bool:
    """Say whether more left at the bound of the row than it has in reserve, and is not settled."""
    return history.crowded_out > policy_at(at).facts_reserved and not _is_settled(history, at)


def _is_settled(history: History, at: datetime) -> bool:
    last = history.crowded_out_at
    return last is None or last + policy_at(at).settled_after <= at


def is_crowded(count: int, at: datetime) -> bool:
    """Say whether `count` events in a row take all of its room at `at`."""
    policy = policy_at(at)
    return count >= policy.facts_max + policy.facts_reserved


class Parted(NamedTuple):
    """What stays in a row, what leaves it for a new page, and whether it leaves because the row is
    at its bound, though it is not settled."""

    stay: list[ReadFact]
    leave: list[ReadFact]
    crowded_out: bool


def part(
    entries: Sequence[ReadFact], found: Assessment, at: datetime, on_a_page: set[EventRef]
) -> Parted:
    """Say what stays in a row at `at`, of `entries`, which `found` assesses. What is `on_a_page`
    already needs no new one."""
    policy = policy_at(at)
    row = _Row(entries, found, at)
    cut = at - policy.settled_after
    settled = {one.ref for one in entries if one.ref in on_a_page or _last(one) < cut}
    leaves = row.without_bearing(settled, cut) if settled else set()
    if len(leaves - on_a_page) < PAGE_MIN:
        leaves = row.without_bearing(on_a_page, at - policy.ended_kept)
    crowded_out = leaves <= on_a_page and len(entries) - len(leaves) > policy.facts_max
    if crowded_out:
        stay = [one for one in entries if one.ref not in leaves]
        if leaves:
            row = _Row(stay, assess(one.event for one in stay), at)
        leaves |= row.oldest_that_may_leave()
    stay = [one for one in entries if one.ref not in leaves]
    return Parted(stay, [one for one in entries if one.ref in leaves - on_a_page], crowded_out)


class _Row:
    """The events of a row at an instant, what they mean, and which belong together."""

    def __init__(self, entries: Sequence[ReadFact], found: Assessment, at: datetime) -> None:
        self._entries = entries
        self._found = found
        self._at = at
        self._waiting = _waiting(entries, found, at)
        self._together = _together(entries, found)

    def without_bearing(
        self, old: set[EventRef], cut: datetime, *, crowded: bool = False
    ) -> set[EventRef]:
        """Return those of `old` without which all that holds after `cut` stays as it is."""
        leaves = old - self._stays(old, cut, crowded=crowded)
        if not leaves:
            return leaves
        left = assess(one.event for one in self._entries if one.ref not in leaves)
        return leaves if _meant(left, cut) == _meant(self._found, cut) else set()

    def oldest_that_may_leave(self) -> set[EventRef]:
        """Return the oldest events on which nothing that is open rests, whole files and chains: as
        many as are too many, and at least a page.

        A row gives them up at its bound, though they are not settled. A crowded row also gives up
        results that a late one might make important (of so many, others will do), and reasons that
        have ended, which the code then shows no more.
        """
        at, policy = self._at, policy_at(self._at)
        crowded, most = is_crowded(len(self._entries), at), policy.facts_max
        if crowded:
            most += policy.facts_reserved
        cut = at if crowded else at - policy.ended_kept
        everything = {one.ref for one in self._entries}
        may = everything - self._stays(everything, cut, crowded=crowded)
        for count in (max(len(everything) - most, PAGE_MAX), 4, 1):
            some = self._oldest(may, count)
            if leaves := self.without_bearing(some, cut, crowded=crowded):
                return leaves
        return set()

    def _stays(self, old: set[EventRef], cut: datetime, *, crowded: bool) -> set[EventRef]:
        """Return what must stay if only `old` may leave: what is open rests on it, or what stays
        belongs together with it."""
        found = self._found
        stays = {one.ref for one in self._entries} - old
        stays |= {ref for interval in _bearing(found, cut) for ref in _refs(interval)}
        stays |= {*found.identified_by, *self._waiting}
        size = -1
        while size < len(stays):
            size = len(stays)
            for group in self._together:
                if not stays.isdisjoint(group):
                    stays |= group
            stays |= {green for red, green in found.ended_by if red in stays}
            if not crowded:
                stays |= _results_after_openings(self._entries, found, stays)
        return stays

    def _oldest(self, may: set[EventRef], count: int) -> set[EventRef]:
        """Return the oldest of `may`, whole groups, until they are `count`. What an event plans
        makes it no younger."""
        last = {one.ref: (min(_last(one), self._at), one.ref) for one in self._entries}
        groups = [group for group in self._together if group <= may]
        groups += [{own} for own in may.difference(*groups)]
        oldest = set[EventRef]()
        for group in sorted(groups, key=lambda group: max(last[own] for own in group)):
            if len(oldest) >= count:
                break
            oldest |= group
        return oldest


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


def _waiting(entries: Sequence[ReadFact], found: Assessment, at: datetime) -> set[EventRef]:
    """Return what names something that has not arrived. A correction is found by what it corrects
    in the row alone; what closes a file, once it was told, also on a page."""
    known = {entry.ref for entry in entries}
    waiting = {ref(one.event) for one in found.idle if one.why is Obstacle.NOT_BEGUN}
    return {
        entry.ref
        for entry in entries
        if (entry.ref in waiting and deadline(entry.fact) > at)
        or (
            entry.fact.supersedes is not None
            and EventRef(entry.fact.source, entry.fact.supersedes) not in known
        )
    }


def _together(entries: Sequence[ReadFact], found: Assessment) -> list[set[EventRef]]:
    """Return what stays or leaves as one: files, specimens, chains, what a reason names, and
    whatever has an event in common with another of these."""
    groups: defaultdict[object, set[EventRef]] = defaultdict(set)
    for entry in entries:
        if (file := file_of(entry.event)) is not None:
            groups[entry.fact.source, file].add(entry.ref)
        if isinstance(entry.event, NatResultReported) and entry.event.data.specimen is not None:
            groups[entry.fact.source, "specimen", entry.event.data.specimen].add(entry.ref)
        if entry.fact.supersedes is not None:
            target = EventRef(entry.fact.source, entry.fact.supersedes)
            groups[entry.ref, target] |= {entry.ref, target}
    return _merged([*groups.values(), *({*_refs(interval)} for interval in found.intervals)])


def _merged(groups: Iterable[set[EventRef]]) -> list[set[EventRef]]:
    """Join the groups that have an element in common."""
    of: dict[EventRef, set[EventRef]] = {}
    for group in groups:
        parts = {id(part): part for own in group if (part := of.get(own))}
        whole = max(parts.values(), key=len, default=set[EventRef]())
        for part in (group, *(part for part in parts.values() if part is not whole)):
            whole |= part
            of.update(dict.fromkeys(part, whole))
    return list({id(group): group for group in of.values()}.values())


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


def with_pages(
    history: History, entries: Sequence[ReadFact], at: datetime, *, crowded_out: bool
) -> tuple[History, dict[int, tuple[Fact, ...]], int]:
    """Return the history with more pages, which hold `entries`; the pages that change, by number;
    and how many pages were given up for room.

    A page older than `history_kept` becomes empty. So does the oldest where there are more than
    `pages_max`, and that alone counts as given up for room.
    """
    policy = policy_at(at)
    last = {one.ref: _reaches_until(one.event) for one in entries}
    opened = [last[entry.ref] for entry in entries if _opens_or_follows(entry.event)]
    until = max([*last.values(), *filter(None, [history.until])])
    facts = [entry.fact for entry in entries]
    new = [tuple(facts[place : place + PAGE_MAX]) for place in range(0, len(facts), PAGE_MAX)]
    days = history.last_days + len(new) * ((until - EPOCH).days,)
    pages = dict(enumerate(new, history.numbers.stop))
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
    before = 0 if _is_settled(history, at) else history.crowded_out
    last_at = at if crowded_out else history.crowded_out_at
    count = before + len(entries) * crowded_out
    return History(first, days, until, opened_until, files, count, last_at), pages, lost


def _opens_or_follows(event: StatusEvent) -> bool:
    return not (opens_nothing(event) or isinstance(event, IdentityVerified))
