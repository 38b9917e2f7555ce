"""`yuekang latency`: from append on Kafka to visible over HTTP.

An event changes a code that someone can see: another province reports red, and green again. Among
them may be negative results of people who are green, which change none, as on a day when everybody
is tested. They leave on a schedule that waits for nothing (an open loop), so a slow system is not
asked less, and what waits in the publisher counts as lateness of its own; what is due in the same
`TICK_SECONDS` leaves as one batch for each partition. A sample of the red ones, one person each, is
followed: the view is asked until it names that very event, less and less often, so that the
question does not slow down what it asks about; the report says how exact the answer is.

Clocks. The start is the broker's append time (LogAppendTime, whole milliseconds) if the topic has
it, else the instant the broker's confirmation arrived here. The end is the instant the first
answer that shows the event arrived here. All on one machine: one wall clock.

The people are made up for the run: random person keys, which belong to no document. At the end
their provinces report green and their identities are retracted, and the run waits until they are
without a code again, so that the next one does not begin behind what this one left.
"""

import asyncio
import math
import secrets
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import aiohttp
import msgspec
import typer
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from app.operator.client import operator_token
from app.process.settings import Settings
from app.process.terminal import Progress, progress_on
from app.topics.catalogue import CATALOGUE, named, partition_of
from app.topics.records import structured
from models.events import (
    DocumentType,
    Event,
    IdentityData,
    IdentityRetracted,
    IdentityVerified,
    NatResultData,
    NatResultReported,
    ProvincialCodeData,
    ProvincialCodeReported,
    ProvincialColour,
    Result,
    RetractionData,
    RetractionReason,
)

PROVINCE = "43"
SOURCE = f"/provinces/{PROVINCE}"
IDENTITY_PROVIDER = "/identity-providers/latency"
LABORATORY = "/laboratories/latency"
SWAB_TO_RESULT = timedelta(hours=6)

BACKGROUND_SECONDS = 10
"""There are so many people besides the followed ones that each changes once in this time."""

LOOKED_AT = 100
"""One of so many people is looked at before the run begins."""

TICK_SECONDS = 0.01
"""How often the publisher looks what is due. Sent one by one, a core brings no more than some 1,500
events a second on their way."""

BATCH_BYTES = 256 * 1024
"""A batch leaves when it is longer."""

CONNECTIONS_MAX = 100
"""Requests to the view at once. More than that wait, and show in the resolution."""

ASKED_AGAIN_AFTER = 0.1
"""The part of an event's age that passes before the view is asked again, at least the interval."""

SETTLED_SECONDS_MAX = 300.0
"""How long the people may take to have their codes before a run, and to have none after it: what a
worker that was asked too much still has to do."""

RATE_REACHED_MIN = 0.98
"""A run that reached less of its rate measured something else, and fails."""

KEY_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"

LOG_APPEND_TIME = 1
"""Kafka's number for a timestamp that the broker set."""


class Plan(Struct, frozen=True):
    """What to measure. `follow_rate` of the `rate` events a second are followed; of the others
    `changing_percent` change a code."""

    rate: int = 500
    seconds: int = 30
    follow_rate: int = 10
    interval_ms: int = 20
    deadline_seconds: float = 10.0
    changing_percent: int = 100

    @property
    def events(self) -> int:
        """How many events are published."""
        return self.rate * self.seconds


class Spread(Struct, frozen=True):
    """Nearest-rank percentiles of durations, in milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Sighting(Struct, frozen=True):
    """A followed event that the view showed. All in seconds of the epoch.

    It became visible in `(hidden_at, seen_at]`: the last request that did not show it left at
    `hidden_at`.
    """

    scheduled_at: float
    appended_at: float
    hidden_at: float
    seen_at: float


class Report(Struct, frozen=True):
    """What was measured. `visible` is from append to visible; `from_schedule` from the instant
    the event was due to be sent, so it counts what waited in the publisher."""

    rate_asked: int
    changing_percent: int
    rate_reached: float
    seconds: float
    published: int
    followed: int
    seen: int
    not_seen: int
    deadline_seconds: float
    clock: str
    visible: Spread | None
    from_schedule: Spread | None
    interval_ms: int
    resolution: Spread | None
    sent_late: Spread | None
    settled: bool = True
    """At the end nobody of the run had a code any more."""

    def failures(self, p99_ms_max: float | None) -> list[str]:
        """Say why the measurement failed; nothing if it did not."""
        failures = []
        if self.not_seen:
            failures.append(
                f"{self.not_seen} of {self.followed} followed events were not visible within "
                f"{self.deadline_seconds:g} s."
            )
        if not self.settled:
            failures.append(
                f"{SETTLED_SECONDS_MAX:g} s after the end the people still had codes: the next run "
                "begins behind what this one left."
            )
        if self.rate_reached < RATE_REACHED_MIN * self.rate_asked:
            failures.append(
                f"{self.rate_reached:.0f} events/s were reached of {self.rate_asked}: the "
                "machine is too busy for this rate."
            )
        if p99_ms_max is not None and self.visible and self.visible.p99_ms > p99_ms_max:
            failures.append(f"p99 is {self.visible.p99_ms:.0f} ms, above {p99_ms_max:g} ms.")
        return failures


def latency(
    rate: Annotated[int, typer.Option(min=1, max=5_000, help="Events a second.")] = 500,
    seconds: Annotated[int, typer.Option(min=1, max=600, help="How long.")] = 30,
    follow_rate: Annotated[
        int, typer.Option("--follow", min=1, max=100, help="Events followed, a second.")
    ] = 10,
    interval_ms: Annotated[
        int, typer.Option(min=1, max=1_000, help="At least, between two requests for an event.")
    ] = 20,
    deadline_seconds: Annotated[
        float, typer.Option("--deadline", min=0.1, max=120, help="Not seen by then: failed.")
    ] = 10.0,
    changing_percent: Annotated[
        int,
        typer.Option(
            "--changing",
            min=0,
            max=100,
            help="Per cent of the events not followed that change a code; negative results else.",
        ),
    ] = 100,
    p99_ms_max: Annotated[
        float | None, typer.Option("--p99-max", min=1, help="Fail if p99 is above, in ms.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Measure the time from append on Kafka to visible over HTTP, at a steady rate.

    Exits with 1 if a followed event was not visible in time, or the rate was not reached.
    """
    settings = Settings.from_environment()
    console = Console(stderr=True)
    plan = Plan(
        rate, seconds, min(follow_rate, rate), interval_ms, deadline_seconds, changing_percent
    )
    try:
        with progress_on(console, "Events") as progress:
            report = asyncio.run(measure(settings, plan, progress))
    except (aiohttp.ClientError, KafkaError, TimeoutError, OSError) as failure:
        console.print(f"[red]Nothing was measured:[/red] {failure}. Is everything up (make run)?")
        raise typer.Exit(1) from failure
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    else:
        Console().print(table_of(report))
    failures = report.failures(p99_ms_max)
    for line in failures:
        console.print(f"[red]Failed:[/red] {line}")
    if failures:
        raise typer.Exit(1)


async def measure(settings: Settings, plan: Plan, progress: Progress) -> Report:
    """Run `plan` against the running system and return what was measured.

    Raise a Kafka or aiohttp error if one of them fails, `TimeoutError` if the people of the run
    do not get their codes.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        acks="all",
        enable_idempotence=True,
        max_batch_size=2 * BATCH_BYTES,
    )
    connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX)
    headers = {"authorization": f"Bearer {operator_token(settings)}"}
    async with aiohttp.ClientSession(
        settings.view_url, connector=connector, headers=headers
    ) as view:
        await producer.start()
        try:
            run = Run(plan, producer, view, progress)
            await run.prepare()
            try:
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
        view: aiohttp.ClientSession,
        progress: Progress,
    ) -> None:
        self._plan = plan
        self._producer = producer
        self._view = view
        self._progress = progress
        self._name = f"latency-{secrets.token_hex(4)}"
        self._sequence = time.time_ns() // 1_000
        # A followed event has a person of its own, so nothing else hides it or passes it.
        self._follow_every = max(1, plan.rate // plan.follow_rate)
        self._followed = [_made_up() for _ in range(math.ceil(plan.events / self._follow_every))]
        self._background = [_made_up() for _ in range(BACKGROUND_SECONDS * plan.rate)]
        partitions = CATALOGUE.topics[named("provincial-codes")].partitions
        self._partitions = {
            person: partition_of(person.encode(), partitions) for person in self._people()
        }
        self._log_append_time = True

    async def prepare(self) -> None:
        """Verify the people, and wait until the view has a code for them."""
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
        if not await self._until(b"green"):
            raise TimeoutError(f"the view showed no code for them in {SETTLED_SECONDS_MAX:g} s")

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
        """Leave the people without a reason and without a code; say whether the view shows that."""
        now = datetime.now(UTC)
        green = ProvincialCodeData(PROVINCE, ProvincialColour.GREEN, now)
        retraction = RetractionData(RetractionReason.ENTERED_IN_ERROR)
        events: list[Event] = []
        for person in self._people():
            attributes = self._attributes(person, now, f"end-{person}")
            events.append(ProvincialCodeReported(**attributes, source=SOURCE, data=green))
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
        return await self._until(b"none")

    async def _until(self, colour: bytes) -> bool:
        """Wait until the view shows `colour` for the people; say whether it came to that."""
        until = time.monotonic() + SETTLED_SECONDS_MAX
        for person in (*self._background[::LOOKED_AT], *self._followed):
            while b'"colour":"%s"' % colour not in await self._ask(person):
                if time.monotonic() > until:
                    return False
                await asyncio.sleep(0.05)
        return True

    def _people(self) -> list[str]:
        return [*self._background, *self._followed]

    def _event(self, number: int, scheduled_at: float) -> Event:
        """Return event `number`: red for someone followed; for the rest red and green in turn, or
        a negative result."""
        at = datetime.fromtimestamp(scheduled_at, UTC)
        if number % self._follow_every == 0:
            person, red = self._followed[number // self._follow_every], True
        else:
            round_, place = divmod(number, len(self._background))
            person, red = self._background[place], round_ % 2 == 0
            if place % 100 >= self._plan.changing_percent:
                return NatResultReported(
                    **self._attributes(person, at, f"event-{number}"),
                    source=LABORATORY,
                    data=NatResultData(at - SWAB_TO_RESULT, at, Result.NEGATIVE, "Latency"),
                )
        colour = ProvincialColour.RED if red else ProvincialColour.GREEN
        return ProvincialCodeReported(
            **self._attributes(person, at, f"event-{number}"),
            source=SOURCE,
            data=ProvincialCodeData(PROVINCE, colour, at),
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
        """Send events, those of a partition together; return the confirmation of each."""
        batches: dict[tuple[str, int], tuple[BatchBuilder, list[int]]] = {}
        confirmations: dict[int, asyncio.Future[Any]] = {}

        async def leave(topic: str, partition: int) -> None:
            batch, numbers = batches.pop((topic, partition))
            sent = await self._producer.send_batch(batch, topic, partition=partition)
            confirmations.update(dict.fromkeys(numbers, sent))

        for number, event in enumerate(events):
            record = structured(event)
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
        while (asked_at := time.time()) < appended_at + self._plan.deadline_seconds:
            if wanted in await self._ask(event.partitionkey):
                return Sighting(scheduled_at, appended_at, hidden_at, time.time())
            hidden_at = asked_at
            pause = max(
                self._plan.interval_ms / 1_000, ASKED_AGAIN_AFTER * (asked_at - appended_at)
            )
            await asyncio.sleep(max(0.0, asked_at + pause - time.time()))
        return None

    async def _ask(self, person: str) -> bytes:
        async with self._view.get(f"/v1/people/{person}/code") as response:
            return await response.read()

    def _report(
        self, seconds: float, late: Sequence[float], sightings: Sequence[Sighting | None]
    ) -> Report:
        seen = [sighting for sighting in sightings if sighting is not None]
        clock = "broker's append time" if self._log_append_time else "arrival of the confirmation"
        return Report(
            rate_asked=self._plan.rate,
            changing_percent=self._plan.changing_percent,
            rate_reached=round(self._plan.events / seconds, 1),
            seconds=round(seconds, 2),
            published=self._plan.events,
            followed=len(sightings),
            seen=len(seen),
            not_seen=len(sightings) - len(seen),
            deadline_seconds=self._plan.deadline_seconds,
            clock=clock,
            visible=spread([s.seen_at - s.appended_at for s in seen]),
            from_schedule=spread([s.seen_at - s.scheduled_at for s in seen]),
            interval_ms=self._plan.interval_ms,
            resolution=spread([s.seen_at - s.hidden_at for s in seen]),
            sent_late=spread(late),
        )


def _made_up() -> str:
    """Return a random person key of the right form."""
    return "p1-" + "".join(secrets.choice(KEY_LETTERS) for _ in range(32))


def spread(durations: Sequence[float]) -> Spread | None:
    """Return the percentiles of durations given in seconds; None of nothing."""
    if not durations:
        return None
    ordered = sorted(durations)

    def at(share: float) -> float:
        return round(ordered[math.ceil(share * len(ordered)) - 1] * 1_000, 1)

    return Spread(at(0.50), at(0.95), at(0.99), at(1.0))


def table_of(report: Report) -> Table:
    """Return the report for a reader."""
    table = Table(
        title=f"{report.published} events at {report.rate_reached:g} of {report.rate_asked}/s; "
        f"{report.seen} of {report.followed} followed ones visible",
        caption=f"Of those not followed {report.changing_percent}% change a code. "
        f"Start: {report.clock}. The view was asked every {report.interval_ms} ms, older events "
        f"less often; deadline {report.deadline_seconds:g} s.",
    )
    for column in ("ms", "p50", "p95", "p99", "max"):
        table.add_column(column, justify="left" if column == "ms" else "right")
    for name, of in (
        ("from append to visible", report.visible),
        ("from schedule to visible", report.from_schedule),
        ("resolution of that", report.resolution),
        ("sent later than scheduled", report.sent_late),
    ):
        if of is not None:
            table.add_row(name, *(f"{value:.1f}" for value in msgspec.structs.astuple(of)))
    return table
