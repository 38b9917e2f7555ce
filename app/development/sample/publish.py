"""Publish a planned day through both entrances: the gateway, and Kafka itself.

Publishing the same day again sends the same events with the same ids, so it adds only copies. The
day is kept beside the data (`sample.json`) before the first event goes out, so that an interrupted
day is finished instead of begun again.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from aiokafka import AIOKafkaProducer
from msgspec import Struct
from msgspec.structs import replace

from app.development.provider.people import (
    IDENTITIES_FILE,
    ProviderPerson,
    What,
    people_of,
    write_people,
)
from app.development.sample.client import AgencyClient, Submission
from app.development.sample.day import (
    AnyEntry,
    BrokenDocument,
    BrokenEntry,
    Day,
    DayEntry,
    Entrance,
    plan_day,
    plan_minutes,
)
from app.development.sample.documents import SampleDocument
from app.development.sample.logins import LOGINS, OF_STORY, hint_of
from app.process.files import write_whole
from app.process.settings import Settings
from app.process.terminal import Progress
from app.topics.admin import cluster_id_of
from app.topics.authentic import SourceKeys, source_keys
from app.topics.catalogue import SUBMISSIONS
from app.topics.records import binary, structured
from app.web.issuing import tokens_by
from models.codes import Colour, Reason

SAMPLE_FILE = "sample.json"
EVENTS_IN_A_WINDOW = 1_000
WINDOWS_IN_FLIGHT = 2
RECORDS_IN_FLIGHT = 500
REQUEST_BYTES_MAX = 4 * 1024 * 1024
BINARY_EVERY = 3
"""One in this many records on Kafka is in CloudEvents' binary mode; the others are structured."""

UNEXPECTED_KEPT_MAX = 20

T = TypeVar("T")


class SamplePerson(Struct, frozen=True):
    """A named person of the sample, and what the view must show of them.

    From `changes_at` on it must show `then_colour`, with `then_reasons`.
    """

    person: str
    entrance: Entrance
    colour: Colour
    reasons: tuple[Reason, ...] = ()
    changes_at: datetime | None = None
    then_colour: Colour | None = None
    then_reasons: tuple[Reason, ...] = ()


class SampleTally(Struct):
    """Counts of a publication. `unexpected` has the first few refusals that should not happen."""

    gateway: int = 0
    kafka: int = 0
    broken: Counter[str] = msgspec.field(default_factory=Counter)
    refused_expected: int = 0
    refused_unexpected: int = 0
    unexpected: list[str] = msgspec.field(default_factory=list)

    @property
    def published(self) -> int:
        """Valid events that were accepted, copies among them."""
        return self.gateway + self.kafka


class SampleSummary(Struct, frozen=True):
    """What was published, and whom to look at. `cluster` is the Kafka cluster that has it."""

    cluster: str
    people: int
    seed: int
    now: datetime
    complete: bool
    seconds: float = 0.0
    published: int = 0
    by_gateway: int = 0
    by_kafka: int = 0
    broken_records: dict[str, int] = {}
    """Records on Kafka that end in dead-letters, by the reason that they are given there."""
    refused_expected: int = 0
    refused_unexpected: int = 0
    unexpected: tuple[str, ...] = ()
    green: str | None = None
    red: str | None = None
    ends_soon: tuple[SamplePerson, ...] = ()
    """People whose code turns green by itself, the soonest first."""
    scenarios: dict[str, SamplePerson] = {}


async def publish_day(
    settings: Settings,
    people: int,
    progress: Progress,
    seed: int = 1,
    now: datetime | None = None,
) -> SampleSummary:
    """Publish the sample day of a city of `people`, and return what was published.

    If this cluster already has a day that was interrupted, finish it. If it has a whole one,
    publish only a few new people whose codes change within minutes. With `now`, publish that day
    whatever was before. Raise `Unreached`, `Misused` or a Kafka error if an entrance fails.
    """
    path = Path(settings.data_dir) / SAMPLE_FILE
    cluster = await cluster_id_of(settings.brokers)
    before = load(path)
    if now is None and before is not None and before.cluster == cluster:
        same = (before.people, before.seed) == (people, seed)
        if same and before.complete:
            return await _publish_minutes(settings, path, before, progress)
        now = before.now if same else None
    day = plan_day(people, now or datetime.now(UTC), seed)
    write_people(path.with_name(IDENTITIES_FILE), identities(day))
    begun = SampleSummary(cluster, people, seed, day.now, complete=False)
    save(path, begun)
    summary = await _publish(settings, day, begun, progress)
    save(path, summary)
    return summary


async def _publish_minutes(
    settings: Settings, path: Path, before: SampleSummary, progress: Progress
) -> SampleSummary:
    day = plan_minutes(datetime.now(UTC), before.seed)
    known = {person.id: person for person in people_of(path.with_name(IDENTITIES_FILE))}
    known |= {person.id: person for person in identities(day)}
    write_people(path.with_name(IDENTITIES_FILE), list(known.values()))
    fresh = await _publish(settings, day, before, progress)
    summary = replace(
        before, ends_soon=fresh.ends_soon, scenarios={**before.scenarios, **fresh.scenarios}
    )
    save(path, summary)
    # The file tells about the city; the result tells about this run.
    return replace(
        fresh, green=before.green, red=before.red, scenarios=summary.scenarios, now=day.now
    )


def identities(day: Day) -> list[ProviderPerson]:
    """Return whom one can log in as: first the people to look at, then one of each story."""
    first = [login.story for login in LOGINS if login.story in day.scenarios]
    stories = dict.fromkeys((*first, *day.scenarios))
    return [_identity(story, day.scenarios[story].document) for story in stories]


def _identity(story: str, document: SampleDocument) -> ProviderPerson:
    login = OF_STORY.get(story)
    return ProviderPerson(
        number=document.number,
        type=document.type,
        name=login.name if login else "样本",
        birthdate=login.birthday if login else None,
        id=hint_of(story),
        what=What(login.zh, login.en) if login else What(story, story),
    )


def load(path: Path) -> SampleSummary | None:
    """Read what was published before, or None if nothing was."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=SampleSummary)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path} is not a sample's summary ({error}); remove it.") from error


def save(path: Path, summary: SampleSummary) -> None:
    """Write the summary in one step: a reader finds the old one or the new one."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(summary)) + b"\n")


async def _publish(
    settings: Settings, day: Day, begun: SampleSummary, progress: Progress
) -> SampleSummary:
    started = time.monotonic()
    producer = AIOKafkaProducer(
        **settings.brokers.client,
        acks="all",
        enable_idempotence=True,
        linger_ms=20,
        compression_type="zstd",
        max_request_size=REQUEST_BYTES_MAX,
    )
    async with AgencyClient(settings.gateway_url, tokens_by(settings)) as gateway:
        keys = await gateway.person_keys(list(_to_be_known(day)))
        try:
            await producer.start()
            publication = Publication(day, keys, source_keys(settings), gateway, producer, progress)
            tally = await publication.run()
        finally:
            await producer.stop()
    return summarise(day, keys, tally, begun, time.monotonic() - started)


def _to_be_known(day: Day) -> dict[SampleDocument, None]:
    """Return the people whose keys are needed: those published on Kafka, and those to look at."""
    named = {s.document for s in day.scenarios.values()}
    return dict.fromkeys(
        person.document
        for person in day.expected
        if person.entrance is Entrance.KAFKA or person.changes_at or person.document in named
    )


class Publication:
    """A day on its way through both entrances at once."""

    def __init__(
        self,
        day: Day,
        keys: dict[SampleDocument, str],
        mac_keys: SourceKeys,
        gateway: AgencyClient,
        producer: AIOKafkaProducer,
        progress: Progress,
    ) -> None:
        self._entries = day.entries
        self._keys = keys
        self._mac_keys = mac_keys
        self._gateway = gateway
        self._producer = producer
        self._progress = progress
        self._tally = SampleTally()
        self._done = 0

    async def run(self) -> SampleTally:
        """Publish everything; return when all of it is acknowledged or refused.

        If one entrance fails, both end, with the error of the one that failed.
        """
        by_gateway = [entry for entry in self._entries if not _by_kafka(entry)]
        windows = iter(_batches(by_gateway, EVENTS_IN_A_WINDOW))
        self._progress(0, len(self._entries))
        try:
            async with asyncio.TaskGroup() as tasks:
                # They share one iterator, so windows leave in the day's order.
                for _ in range(WINDOWS_IN_FLIGHT):
                    tasks.create_task(self._send_windows(windows))
                tasks.create_task(self._send_records())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        return self._tally

    async def _send_windows(self, windows: Iterator[Sequence[AnyEntry]]) -> None:
        for window in windows:
            refusals = await self._gateway.publish([_submission(entry) for entry in window])
            for entry, refusal in zip(window, refusals, strict=True):
                broken = isinstance(entry, BrokenDocument)
                if refusal is None and not broken:
                    self._tally.gateway += 1
                elif refusal is not None and broken:
                    self._tally.refused_expected += 1
                else:
                    self._unexpected(entry, refusal.detail if refusal else "was accepted")
            self._advance(len(window))

    async def _send_records(self) -> None:
        records = (entry for entry in self._entries if _by_kafka(entry))
        for batch in _batches(records, RECORDS_IN_FLIGHT):
            await asyncio.gather(*[await self._send(entry) for entry in batch])
            self._advance(len(batch))

    async def _send(self, entry: AnyEntry) -> asyncio.Future[Any]:
        assert isinstance(entry.document, SampleDocument)
        person = self._keys[entry.document]
        if isinstance(entry, BrokenEntry):
            source, record = entry.entry.draft.source, entry.record(person)
            self._tally.broken[entry.breakage.code] += 1
        else:
            assert isinstance(entry, DayEntry)
            event = entry.event(person)
            source = event.source
            record = binary(event) if int(entry.sequence) % BINARY_EVERY == 0 else structured(event)
            self._tally.kafka += 1
        record = self._mac_keys.signed(replace(record, topic=SUBMISSIONS), source)
        sent: asyncio.Future[Any] = await self._producer.send(
            record.topic, record.value, record.key, headers=list(record.headers)
        )
        return sent

    def _unexpected(self, entry: AnyEntry, detail: str) -> None:
        """Count a refusal that should not happen, and keep the first few: an id names no person."""
        tally = self._tally
        tally.refused_unexpected += 1
        if len(tally.unexpected) < UNEXPECTED_KEPT_MAX:
            valid = entry if isinstance(entry, DayEntry) else entry.entry
            tally.unexpected.append(f"{valid.draft.source} {valid.id}: {detail}")

    def _advance(self, count: int) -> None:
        self._done += count
        self._progress(self._done, len(self._entries))


def _by_kafka(entry: AnyEntry) -> bool:
    return isinstance(entry, BrokenEntry) or (
        isinstance(entry, DayEntry) and entry.entrance is Entrance.KAFKA
    )


def _batches(items: Iterable[T], size: int) -> Iterator[Sequence[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


_NOBODY = "p1-" + "a" * 32


def _submission(entry: AnyEntry) -> Submission:
    """Return the event as an agency sends it to the gateway: with a document number, no key."""
    valid = entry if isinstance(entry, DayEntry) else entry.entry
    event: dict[str, Any] = msgspec.to_builtins(valid.event(_NOBODY))
    del event["partitionkey"]
    event["data"]["document"] = msgspec.to_builtins(entry.document)
    return Submission(valid.draft.source, valid.id, msgspec.json.encode(event))


def summarise(
    day: Day,
    keys: dict[SampleDocument, str],
    tally: SampleTally,
    begun: SampleSummary,
    seconds: float,
) -> SampleSummary:
    """Return what came of a day. It names the people to look at by their keys alone."""
    people = [
        SamplePerson(
            person=keys[known.document],
            entrance=known.entrance,
            colour=known.expected.colour,
            reasons=known.expected.reasons,
            changes_at=known.changes_at,
            then_colour=known.then.colour if known.then else None,
            then_reasons=known.then.reasons if known.then else (),
        )
        for known in (*day.scenarios.values(), *(p for p in day.expected if p.changes_at))
    ]
    scenarios = dict(zip(day.scenarios, people, strict=False))
    ending = {p.changes_at: p for p in people if p.changes_at is not None}
    return replace(
        begun,
        complete=True,
        seconds=round(seconds, 1),
        published=tally.published,
        by_gateway=tally.gateway,
        by_kafka=tally.kafka,
        broken_records=dict(sorted(tally.broken.items())),
        refused_expected=tally.refused_expected,
        refused_unexpected=tally.refused_unexpected,
        unexpected=tuple(tally.unexpected),
        green=_key(scenarios, "green"),
        red=_key(scenarios, "many-reasons"),
        ends_soon=tuple(ending[at] for at in sorted(ending)),
        scenarios=scenarios,
    )


def _key(scenarios: dict[str, SamplePerson], name: str) -> str | None:
    return scenarios[name].person if name in scenarios else None
