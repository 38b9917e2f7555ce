"""One measurement, with people of its own: it publishes on schedule and follows the sample."""

import asyncio
import math
import re
import secrets
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

import aiohttp
import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from app.operator.latency.report import (
    SETTLED_SECONDS_MAX,
    Plan,
    Report,
    Sighting,
    percentiles,
)
from app.process.settings import Settings
from app.process.terminal import Progress
from app.topics.authentic import SourceKeys, source_keys
from app.topics.catalogue import CATALOGUE, named, partition_of
from app.topics.records import structured
from app.web.issuing import operator_token
from models.events import (
    PROVINCES,
    DocumentType,
    Event,
    IdentityData,
    IdentityRetracted,
    IdentityRetractionData,
    IdentityRetractionReason,
    IdentityVerified,
    NatResultData,
    NatResultReported,
    ProvincialCodeData,
    ProvincialCodeReported,
    ProvincialColour,
    Result,
)

OWN_PROVINCE = "44"
REPORTING = [
    code for code in map(str, range(100)) if re.fullmatch(PROVINCES, code) and code != OWN_PROVINCE
]
"""Who reports red, each of the people by one of them. An hour has room for 50,000 reds of each, and
holds what comes beyond (decision 35): for 1.5 million of all, more than one run asks for. What it
asks for is room that the provinces lack in that hour."""

IDENTITY_PROVIDER = "/identity-providers/latency"
LABORATORY = "/laboratories/latency"
SWAB_TO_RESULT = timedelta(hours=6)

BACKGROUND_SECONDS = 10
"""How long it takes until every person who is not followed has changed once."""

LOOKED_AT = 100
"""One in this many people is looked at before the run begins."""

TICK_SECONDS = 0.01
"""How often the publisher looks for events that are due. One by one, a core sends only some 1,500
events a second."""

BATCH_BYTES = 256 * 1024
"""A batch leaves as soon as it is longer than this."""

CONNECTIONS_MAX = 100
"""Requests to the view at one time. Further ones wait, which the report's resolution shows."""

ASKED_AGAIN_AFTER = 0.1
"""The wait before the view is asked again, as a part of the event's age; the interval at least."""

FIRST_ASKED_AFTER, RECENT = 0.75, 20
"""The view is asked for an event first after this part of the least time that the last so many took
to become visible. Before that nothing is to be seen."""

_RED, _GREEN = ProvincialColour.RED, ProvincialColour.GREEN

KEY_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"

LOG_APPEND_TIME = 1
"""Kafka's number for a timestamp that the broker set."""


async def measure(settings: Settings, plan: Plan, progress: Progress) -> Report:
    """Run `plan` against the running system and return what was measured.

    Raise a Kafka or aiohttp error if either fails, `TimeoutError` if the people of the run do not
    get their codes.
    """
    producer = AIOKafkaProducer(
        **settings.brokers.client,
        acks="all",
        enable_idempotence=True,
        max_batch_size=2 * BATCH_BYTES,
    )
    connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX)
    headers = {"authorization": f"Bearer {operator_token(settings)}"}
    async with aiohttp.ClientSession(
        settings.view_url, connector=connector, headers=headers
    ) as view:
        try:
            await producer.start()
            run = Run(plan, producer, source_keys(settings), view, progress)
            try:
                await run.prepare()
                report = await run.measure()
            finally:
                settled = await run.clear_up()
            return msgspec.structs.replace(report, settled=settled)
        finally:
            await producer.stop()


class Run:
    """One measurement, with people of its own."""

    def __init__(
        self,
        plan: Plan,
        producer: AIOKafkaProducer,
        keys: SourceKeys,
        view: aiohttp.ClientSession,
        progress: Progress,
    ) -> None:
        self._plan = plan
        self._producer = producer
        self._keys = keys
        self._view = view
        self._progress = progress
        self._name = f"latency-{secrets.token_hex(4)}"
        self._sequence = time.time_ns() // 1_000
        # A followed event has a person of its own, so no other event hides or overtakes it.
        self._follow_every = max(1, plan.rate // plan.follow_rate)
        self._followed = [_made_up() for _ in range(math.ceil(plan.events / self._follow_every))]
        self._background = [_made_up() for _ in range(BACKGROUND_SECONDS * plan.rate)]
        partitions = CATALOGUE.topics[named("provincial-codes")].partitions
        self._partitions = {
            person: partition_of(person.encode(), partitions) for person in self._people()
        }
        self._provinces = dict(zip(self._people(), cycle(REPORTING)))
        self._log_append_time = True
        self._recent = deque[float](maxlen=RECENT)
        self._asked = 0

    async def prepare(self) -> None:
        """Verify the people, turn half of those red who will change, and wait until the view shows
        that. So as many turn red as green in each second of the run."""
        now = datetime.now(UTC)
        data = IdentityData(now, DocumentType.RESIDENT_IDENTITY_CARD, "440100")
        await self._send_all(
            [
                IdentityVerified(
                    **self._attributes(person, now, f"identity-{person}"),
                    source=IDENTITY_PROVIDER,
                    data=data,
                )
                for person in self._people()
            ]
        )
        orders = [self._order(place) for place in range(len(self._background))]
        reds, greens = list[str](), list[str]()
        for person, order in zip(self._background, orders, strict=True):
            (reds if order is not None and order % 2 else greens).append(person)
        await self._send_all(
            [self._reported(person, now, f"begin-{person}", _RED) for person in reds]
        )
        looked_at = [*greens[::LOOKED_AT], *self._followed]
        if not (
            await self._until(b"red", reds[::LOOKED_AT]) and await self._until(b"green", looked_at)
        ):
            raise TimeoutError(f"the view did not show their codes in {SETTLED_SECONDS_MAX:g} s")

    async def measure(self) -> Report:
        """Publish on schedule, follow the sample, and report."""
        confirmations: list[asyncio.Future[Any]] = []
        followers: list[asyncio.Task[Sighting | None]] = []
        late: list[float] = []
        begun = time.time()
        published = 0
        while published < self._plan.events:
            now = time.time()
            until = min(int((now - begun) * self._plan.rate) + 1, self._plan.events)
            due = range(published, until)
            scheduled = [begun + number / self._plan.rate for number in due]
            events = [self._event(n, at) for n, at in zip(due, scheduled, strict=True)]
            sent = await self._send(events)
            confirmations += sent
            left_at = time.time()
            late += (left_at - at for at in scheduled)
            followers += (
                asyncio.create_task(self._follow(event, confirmed, at))
                for number, event, confirmed, at in zip(due, events, sent, scheduled, strict=True)
                if number % self._follow_every == 0
            )
            published = until
            self._progress(published, self._plan.events)
            await asyncio.sleep(max(0.0, now + TICK_SECONDS - time.time()))
        await asyncio.gather(*confirmations)
        ended = time.time()
        sightings = await asyncio.gather(*followers)
        self._progress(self._plan.events, self._plan.events)
        return self._report(ended - begun, late, sightings)

    async def clear_up(self) -> bool:
        """Take reasons and codes from the people again; say whether the view shows that."""
        now = datetime.now(UTC)
        retraction = IdentityRetractionData(IdentityRetractionReason.ENTERED_IN_ERROR)
        events: list[Event] = []
        for person in self._people():
            events.append(self._reported(person, now, f"end-{person}", _GREEN))
            attributes = self._attributes(person, now, f"retraction-{person}")
            events.append(
                IdentityRetracted(
                    **attributes,
                    source=IDENTITY_PROVIDER,
                    supersedes=self._id(f"identity-{person}"),
                    data=retraction,
                )
            )
        await self._send_all(events)
        return await self._until(b"none", [*self._background[::LOOKED_AT], *self._followed])

    async def _until(self, colour: bytes, people: Sequence[str]) -> bool:
        """Wait until the view shows `colour` for people; say whether it came to that."""
        until = time.monotonic() + SETTLED_SECONDS_MAX
        for person in people:
            while b'"colour":"%s"' % colour not in await self._ask(person):
                if time.monotonic() > until:
                    return False
                await asyncio.sleep(0.05)
        return True

    def _order(self, place: int) -> int | None:
        """Return how many before a place in the background change; None if who is there does
        not."""
        hundreds, rest = divmod(place, 100)
        percent = self._plan.changing_percent
        return hundreds * percent + rest if rest < percent else None

    def _people(self) -> list[str]:
        return [*self._background, *self._followed]

    def _event(self, number: int, scheduled_at: float) -> Event:
        """Return event `number`: red for a followed person; of the others half red and half green,
        or a negative result."""
        at = datetime.fromtimestamp(scheduled_at, UTC)
        followed, more = divmod(number, self._follow_every)
        if not more:
            person, red = self._followed[followed], True
        else:
            round_, place = divmod(number - followed - 1, len(self._background))
            person, order = self._background[place], self._order(place)
            if order is None:
                return NatResultReported(
                    **self._attributes(person, at, f"event-{number}"),
                    source=LABORATORY,
                    data=NatResultData(at - SWAB_TO_RESULT, at, Result.NEGATIVE, "Latency"),
                )
            red = (round_ + order) % 2 == 0
        return self._reported(person, at, f"event-{number}", _RED if red else _GREEN)

    def _reported(self, person: str, at: datetime, name: str, colour: ProvincialColour) -> Event:
        province = self._provinces[person]
        return ProvincialCodeReported(
            **self._attributes(person, at, name),
            source=f"/provinces/{province}",
            data=ProvincialCodeData(province, colour, at),
        )

    def _id(self, name: str) -> str:
        return f"{self._name}-{name}"[:64]

    def _attributes(self, person: str, at: datetime, name: str) -> dict[str, Any]:
        self._sequence += 1
        return {
            "specversion": "1.0",
            "id": self._id(name),
            "time": at,
            "partitionkey": person,
            "sequence": str(self._sequence),
        }

    async def _send(self, events: Sequence[Event]) -> list[asyncio.Future[Any]]:
        """Send events in batches by partition; return the confirmation of each."""
        batches: dict[tuple[str, int], tuple[BatchBuilder, list[int]]] = {}
        confirmations: dict[int, asyncio.Future[Any]] = {}

        async def leave(topic: str, partition: int) -> None:
            batch, numbers = batches.pop((topic, partition))
            sent = await self._producer.send_batch(batch, topic, partition=partition)
            confirmations.update(dict.fromkeys(numbers, sent))

        for number, event in enumerate(events):
            record = self._keys.signed(structured(event), event.source)
            place = record.topic, self._partitions[event.partitionkey]
            if place not in batches:
                batches[place] = self._producer.create_batch(), []
            batch, numbers = batches[place]
            numbers.append(number)
            batch.append(
                key=record.key, value=record.value, timestamp=None, headers=list(record.headers)
            )
            if batch.size() > BATCH_BYTES:
                await leave(*place)
        for place in list(batches):
            await leave(*place)
        return [confirmations[number] for number in range(len(events))]

    async def _send_all(self, events: Sequence[Event]) -> None:
        await asyncio.gather(*set(await self._send(events)))

    async def _follow(
        self, event: Event, sent: asyncio.Future[Any], scheduled_at: float
    ) -> Sighting | None:
        """Ask for `event` until it shows; None if it does not within the deadline."""
        metadata = await sent
        appended_at = time.time()
        if metadata.timestamp_type == LOG_APPEND_TIME:
            appended_at = metadata.timestamp / 1_000
        else:
            self._log_append_time = False
        wanted = f'"{event.id}"'.encode()
        hidden_at = appended_at
        wait = FIRST_ASKED_AFTER * min(self._recent, default=0.0)
        await asyncio.sleep(max(0.0, appended_at + wait - time.time()))
        while (asked_at := time.time()) < appended_at + self._plan.deadline_seconds:
            self._asked += 1
            if wanted in await self._ask(event.partitionkey):
                sighting = Sighting(scheduled_at, appended_at, hidden_at, time.time())
                self._recent.append(sighting.seen_at - appended_at)
                return sighting
            hidden_at = asked_at
            pause = max(
                self._plan.interval_ms / 1_000, ASKED_AGAIN_AFTER * (asked_at - appended_at)
            )
            await asyncio.sleep(max(0.0, asked_at + pause - time.time()))
        self._recent.append(self._plan.deadline_seconds)
        return None

    async def _ask(self, person: str) -> bytes:
        async with self._view.get(f"/v1/people/{person}/code") as response:
            return await response.read()

    def _report(
        self, seconds: float, late: Sequence[float], sightings: Sequence[Sighting | None]
    ) -> Report:
        seen = [sighting for sighting in sightings if sighting is not None]
        not_seen = [self._plan.deadline_seconds] * (len(sightings) - len(seen))
        clock = "broker's append time" if self._log_append_time else "arrival of the confirmation"
        return Report(
            rate_asked=self._plan.rate,
            changing_percent=self._plan.changing_percent,
            rate_reached=round(self._plan.events / seconds, 1),
            seconds=round(seconds, 2),
            published=self._plan.events,
            followed=len(sightings),
            asked=self._asked,
            seen=len(seen),
            not_seen=len(not_seen),
            deadline_seconds=self._plan.deadline_seconds,
            clock=clock,
            visible=percentiles([s.seen_at - s.appended_at for s in seen] + not_seen),
            from_schedule=percentiles([s.seen_at - s.scheduled_at for s in seen] + not_seen),
            interval_ms=self._plan.interval_ms,
            resolution=percentiles([s.seen_at - s.hidden_at for s in seen]),
            sent_late=percentiles(late),
        )


def _made_up() -> str:
    """Return a random person key of the right form."""
    return "p1-" + "".join(secrets.choice(KEY_LETTERS) for _ in range(32))
