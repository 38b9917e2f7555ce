"""The sample day in the order in which it is published.

Nearly all events come in order of their time. Some come late, or twice, or as a correction before
what it corrects. Among them are records that must be refused. The same people, `now` and seed give
the same day, byte by byte. Another `now` or seed gives other people and other ids, so two days
never contradict each other.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import Random
from typing import cast

from msgspec import Struct

from app.development.sample.broken import (
    BREAKAGES,
    DOCUMENT_BREAKAGES,
    Breakage,
    DocumentBreakage,
)
from app.development.sample.documents import Documents, SampleDocument, SamplePhone
from app.development.sample.information import tell_all, tell_some, tell_visits
from app.development.sample.logins import OF_STORY
from app.development.sample.stories import ORDINARY, STORIES, Draft, Resident, Story
from app.topics.records import Record
from models.codes import Status
from models.events import Event, NatResultReported
from models.notices import Objection
from models.policy import ZONE

PEOPLE_MIN = len(STORIES) + 4
"""One person for each story, and a few ordinary ones."""

PEOPLE_MAX = 1_000_000

LATE_SHARE = 0.03
LATE_MAX = timedelta(days=3)
COPIES_SHARE = 0.02
KAFKA_SHARE = 0.25
"""The share of people whose agencies publish on Kafka themselves."""

BREAKAGES_EACH = 3
"""How often each kind of bad record is in a day."""


class Entrance(StrEnum):
    """The entrance by which an entry goes in."""

    GATEWAY = "gateway"
    KAFKA = "kafka"


class DayEntry(Struct, frozen=True):
    """A valid event about a person or a phone whose key is not known yet."""

    document: SampleDocument | SamplePhone
    entrance: Entrance
    id: str
    sequence: str
    supersedes: str | None
    draft: Draft

    def event(self, person: str) -> Event:
        """Return the event about the person with this key."""
        draft = self.draft
        make = cast(Callable[..., Event], draft.kind)
        return make(
            specversion="1.0",
            id=self.id,
            source=draft.source,
            time=draft.time,
            partitionkey=person,
            sequence=self.sequence,
            supersedes=self.supersedes,
            data=draft.data,
        )


class BrokenEntry(Struct, frozen=True):
    """A record that must be refused: a valid entry, broken in one way. It goes in by Kafka."""

    entry: DayEntry
    breakage: Breakage

    @property
    def document(self) -> SampleDocument | SamplePhone:
        """The person whose key the record carries, if it carries one."""
        return self.entry.document

    def record(self, person: str) -> Record:
        """Return the bytes to publish, with this person's key."""
        return self.breakage.record(self.entry.event(person))


class BrokenDocument(Struct, frozen=True):
    """A valid entry about a document number that cannot exist: the gateway must refuse it."""

    entry: DayEntry
    breakage: DocumentBreakage

    @property
    def document(self) -> SampleDocument:
        """The document as it is sent."""
        return self.breakage.document


AnyEntry = DayEntry | BrokenEntry | BrokenDocument


class Scenario(Struct, frozen=True):
    """The first person of a story, and what the view must show of them.

    `expected` holds once all events are folded; from `changes_at` on, `then` holds.
    """

    name: str
    document: SampleDocument
    entrance: Entrance
    expected: Status
    changes_at: datetime | None = None
    then: Status | None = None
    objection: Objection | None = None


class Day(Struct, frozen=True):
    """A planned day: what to publish, in order, and what must come of it."""

    people: int
    now: datetime
    seed: int
    entries: tuple[AnyEntry, ...]
    expected: tuple[Scenario, ...]
    """What must come of each person, by their story."""

    @property
    def scenarios(self) -> dict[str, Scenario]:
        """The named people: the first of each story."""
        first: dict[str, Scenario] = {}
        for scenario in self.expected:
            first.setdefault(scenario.name, scenario)
        return first


def plan_day(people: int, now: datetime, seed: int) -> Day:
    """Plan a day of a city of `people` synthetic people, with what must come of it.

    It is deterministic. Raise `ValueError` if `people` is out of range, or `now` has no zone.
    """
    if not PEOPLE_MIN <= people <= PEOPLE_MAX:
        raise ValueError(f"people: {people} is not in {PEOPLE_MIN} to {PEOPLE_MAX}.")
    return _plan(_cast(people), now, seed, plain=False)


def plan_minutes(now: datetime, seed: int) -> Day:
    """Plan a few people whose codes turn green by themselves within minutes of `now`.

    It is for a city that has had its day, so that there is again something to watch.
    """
    return _plan([story for story in STORIES if story.then], now, seed, plain=True)


def _plan(cast_: Sequence[Story], now: datetime, seed: int, *, plain: bool) -> Day:
    """Plan a day. A `plain` day is in order, without copies and broken records."""
    if now.tzinfo is None:
        raise ValueError("now: an instant with its zone is needed.")
    now = now.astimezone(UTC).replace(microsecond=0)
    # Every random choice draws from this, so the order of the steps below matters.
    random = Random(f"{len(cast_)}/{now.isoformat()}/{seed}")
    documents = Documents(random)
    told: list[tuple[Story, Resident]] = []
    met: set[str] = set()
    for number, story in enumerate(cast_):
        first = not plain and story.name not in met
        told.append((story, _tell(story, first, number, documents, now, random)))
        met.add(story.name)
    entrances = [_entrance(resident, random) for _, resident in told]
    entries = _numbered(told, entrances, f"s{seed}-{now:%Y%m%dT%H%M%S}", now)
    return Day(
        people=len(cast_),
        now=now,
        seed=seed,
        entries=tuple(entries if plain else _published(entries, random)),
        expected=tuple(
            Scenario(
                name=story.name,
                document=resident.document,
                entrance=entrance,
                expected=story.expected,
                changes_at=resident.changes_at,
                then=story.then,
                objection=story.objection,
            )
            for (story, resident), entrance in zip(told, entrances, strict=True)
        ),
    )


def _cast(people: int) -> list[Story]:
    """Give each person a story: each story once, then stories by their shares, then ordinary."""
    cast_ = [ORDINARY, *STORIES]
    spare = people - len(cast_)
    for story in STORIES:
        more = min(spare, round(story.share * people / 10_000) - 1)
        if more > 0:
            cast_ += [story] * more
            spare -= more
    return cast_ + [ORDINARY] * spare


def _tell(
    story: Story, first: bool, number: int, documents: Documents, now: datetime, random: Random
) -> Resident:
    login = OF_STORY.get(story.name) if first else None
    day = now.astimezone(ZONE).date()
    document = login.document(documents, day) if login else documents.make()
    resident = Resident(number, document, now, random)
    story.tell(resident)
    (tell_all if login else tell_some)(resident, random)
    if login:
        resident.phone = login.phone
        tell_visits(resident)
    return resident


def _entrance(resident: Resident, random: Random) -> Entrance:
    """Choose an entrance for all events of a person.

    If the order of arrival matters, the events go in by Kafka. There one producer keeps the order,
    while batches to the gateway may overtake each other.
    """
    draw = random.random()
    ordered = any(draft.published_first or draft.in_turn for draft in resident.drafts)
    return Entrance.KAFKA if ordered or draw < KAFKA_SHARE else Entrance.GATEWAY


def _numbered(
    told: list[tuple[Story, Resident]], entrances: list[Entrance], prefix: str, now: datetime
) -> list[DayEntry]:
    """Give each draft its id and its source's sequence, both in order of time.

    The sequence begins at `now` in microseconds, so that a later day has higher numbers.
    """
    drafts = sorted(
        (
            (draft, resident, entrance)
            for (_, resident), entrance in zip(told, entrances, strict=True)
            for draft in resident.drafts
        ),
        key=lambda d: d[0].time,
    )
    ids = {draft: f"{prefix}-{place:07d}" for place, (draft, _, _) in enumerate(drafts)}
    base = int(now.timestamp()) * 1_000_000
    counts: defaultdict[str, int] = defaultdict(lambda: base)
    entries = []
    for draft, resident, entrance in drafts:
        counts[draft.source] += 1
        # The sample's telecoms do not write to Kafka, so they do not need the keys of phones.
        by_phone = resident.phone if draft.of_phone else None
        entries.append(
            DayEntry(
                document=by_phone or resident.document,
                entrance=Entrance.GATEWAY if by_phone else entrance,
                id=ids[draft],
                sequence=str(counts[draft.source]),
                supersedes=ids[draft.supersedes] if draft.supersedes else None,
                draft=draft,
            )
        )
    return entries


def _published(entries: list[DayEntry], random: Random) -> list[AnyEntry]:
    """Put entries in publishing order, with lateness, copies and broken records."""
    instants: dict[Draft, datetime] = {}
    for entry in entries:
        late = random.random() < LATE_SHARE and not entry.draft.in_turn
        delay = LATE_MAX * random.random() if late else timedelta()
        instants[entry.draft] = entry.draft.time + delay
    for entry in entries:
        if entry.draft.published_first and entry.draft.supersedes is not None:
            instants[entry.draft] = instants[entry.draft.supersedes] - timedelta(seconds=1)
    placed: list[tuple[datetime, AnyEntry]] = [(instants[entry.draft], entry) for entry in entries]
    for entry in random.sample(entries, round(len(entries) * COPIES_SHARE)):
        placed.append((instants[entry.draft] + LATE_MAX * random.random(), entry))
    whole = _breakable(entries)
    for breakage in BREAKAGES:
        for entry in random.choices(whole, k=BREAKAGES_EACH):
            after = instants[entry.draft] + timedelta(seconds=1)
            placed.append((after, BrokenEntry(entry, breakage)))
    for document_breakage in DOCUMENT_BREAKAGES:
        for entry in random.choices(whole, k=BREAKAGES_EACH):
            placed.append((instants[entry.draft], BrokenDocument(entry, document_breakage)))
    return [entry for _, entry in sorted(placed, key=lambda p: p[0])]


def _breakable(entries: list[DayEntry]) -> list[DayEntry]:
    """Return entries whose broken copies change nothing: the right one is on Kafka first.

    A copy with different content is refused only if it comes after the right one.
    """
    return [
        entry
        for entry in entries
        if entry.entrance is Entrance.KAFKA
        and entry.draft.kind is NatResultReported
        and entry.supersedes is None
    ]
