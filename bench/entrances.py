"""What an event costs where it comes in: the gateway, and the worker of submissions.

Laboratories send negative results to the whole stack on this machine, on schedule: in one half of a
round as batches over HTTP, with the document of each person, in the other as records that they
write to Kafka themselves, with the person's key. What a process spends while nobody sends is taken
off. As in development, requests are not signed, and sources have no limits by the register.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import blake2b
from itertools import count
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from app.development.sample.documents import Documents, SampleDocument
from app.development.stack.processes import StackError
from app.gateway.messages import BATCH
from app.process.settings import Settings
from app.topics.catalogue import SUBMISSIONS
from app.web.issuing import tokens_by
from bench import topics
from bench.cpu import cpu_of_stack, memory_of_stack
from bench.latency import whole_stack
from bench.records import Record, person_key
from bench.spread import Spread
from bench.stack import counted, record_of
from bench.terminal import Terminal
from models.events import NatResultData, NatResultReported, Result

RATE = 1_000
"""Events a second."""
BATCH_EVENTS = 100
SECONDS = 20
WARM_SECONDS = 10
"""Of each way in: what is measured is Python, which has no compiler to wait for."""
LABORATORIES = 10
"""At most as many connections."""
PEOPLE = 10_000
COPIED_SECONDS_MAX = 60.0
SETTLE_SECONDS = 5.0
ENTRANCES = GATEWAY, SUBMISSIONS_WORKER = "gateway", "submissions-worker"


class Sent(Struct, frozen=True):
    """Half a round: the process by which the events came in. `cost_us`: its CPU of an event, beyond
    what it spends idle. `memory_mib`: the most that it had so far, its children's among it."""

    by: str
    events: int
    seconds: float
    cost_us: float
    memory_mib: float


class Found(Struct, frozen=True):
    """What was found. `idle_cores`: of each process, while nobody sends."""

    batch: int
    idle_cores: dict[str, float]
    sent: list[Sent]

    def cost_us(self, process: str) -> Spread:
        """Return the CPU of an event, in microseconds, in the process that it comes in by."""
        return Spread.of([each.cost_us for each in self.sent if each.by == process])

    def memory_mib(self, process: str) -> float:
        """Return the most memory that it had."""
        return max(each.memory_mib for each in self.sent if each.by == process)


def measure(directory: Path, rounds: int, terminal: Terminal) -> Found:
    """Measure on a stack of its own. Raises `StackError` where something was not taken,
    RuntimeError or httpx.TransportError where Kafka or a process is away."""
    with whole_stack(directory) as environment:
        settings = Settings.from_environment(environ=environment)
        folder = Path(environment["YUEKANG_DATA_DIR"])
        submissions = int(environment["YUEKANG_SUBMISSIONS_STATUS_PORT"])
        batches = _batches()
        terminal.say(f"{RATE:,} events/s by both entrances, to warm up")
        _over_http(settings, batches, WARM_SECONDS)
        _to_kafka(settings, batches, submissions, WARM_SECONDS)
        time.sleep(SETTLE_SECONDS)
        begun, before = time.monotonic(), cpu_of_stack(folder)
        time.sleep(SECONDS)
        took, after = time.monotonic() - begun, cpu_of_stack(folder)
        idle = {by: round((after[by] - before[by]) / took, 4) for by in ENTRANCES}
        sent = []
        for number in range(1, rounds + 1):
            terminal.say(f"round {number}: {RATE:,} events/s by the gateway, then by Kafka")
            for by in ENTRANCES:
                begun, used = time.monotonic(), -cpu_of_stack(folder)[by]
                if by == GATEWAY:
                    _over_http(settings, batches, SECONDS)
                else:
                    _to_kafka(settings, batches, submissions, SECONDS)
                took = time.monotonic() - begun
                used += cpu_of_stack(folder)[by]
                events = RATE * SECONDS
                cost = round((used - idle[by] * took) / events * 1e6, 1)
                sent.append(Sent(by, events, round(took, 1), cost, memory_of_stack(folder)[by]))
    found = Found(BATCH_EVENTS, idle, sent)
    for process in ENTRANCES:
        terminal.say(f"{process}: {found.cost_us(process).text('.0f')} us an event")
    return found


def _batches() -> Iterator[list[NatResultReported]]:
    """Yield batches without end, of one laboratory each."""
    for first in count(step=BATCH_EVENTS):
        now = datetime.now(UTC)
        data = NatResultData(now - timedelta(hours=6), now, Result.NEGATIVE, "第一医院检验科")
        laboratory = 1 + first // BATCH_EVENTS % LABORATORIES
        yield [
            NatResultReported(
                specversion="1.0",
                id=f"entrances-{number}",
                source=f"/laboratories/440100-{laboratory:03}",
                time=now,
                partitionkey=_person(number % PEOPLE),
                sequence=str(number),
                data=data,
            )
            for number in range(first, first + BATCH_EVENTS)
        ]


@cache
def _documents() -> Sequence[SampleDocument]:
    making = Documents(Random(1))
    return [making.make() for _ in range(PEOPLE)]


def _person(number: int) -> str:
    return person_key(blake2b(b"entrances:%d" % number, digest_size=20).digest())


def _on_schedule(
    batches: Iterator[list[NatResultReported]], seconds: float
) -> Iterator[tuple[float, list[NatResultReported]]]:
    """Yield each batch of so many seconds, with when it is due by `time.monotonic`."""
    begun = time.monotonic()
    for number in range(round(RATE * seconds / BATCH_EVENTS)):
        yield begun + number * BATCH_EVENTS / RATE, next(batches)


def _over_http(
    settings: Settings, batches: Iterator[list[NatResultReported]], seconds: float
) -> None:
    """Return once the gateway has answered all; raise `StackError` where it refuses."""
    try:
        asyncio.run(_post(settings, batches, seconds))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures


async def _post(
    settings: Settings, batches: Iterator[list[NatResultReported]], seconds: float
) -> None:
    token_for = tokens_by(settings)
    documents = _documents()

    def submitted(event: NatResultReported) -> dict[str, Any]:
        """As a laboratory sends it: a document in place of the person's key."""
        rest: dict[str, Any] = msgspec.to_builtins(event)
        del rest["partitionkey"]
        rest["data"]["document"] = documents[int(event.sequence) % PEOPLE]
        return rest

    async def send(client: aiohttp.ClientSession, batch: list[NatResultReported]) -> None:
        headers = {
            "authorization": f"Bearer {token_for(batch[0].source)}",
            "content-type": BATCH,
        }
        body = msgspec.json.encode([submitted(event) for event in batch])
        async with client.post(
            f"{settings.gateway_url}/v1/events", data=body, headers=headers
        ) as answer:
            told = await answer.read()
            if answer.status != 202 or told.count(b'"offset"') != len(batch):
                raise StackError(f"The gateway answers {answer.status}: {told[:500]!r}")

    connections = aiohttp.TCPConnector(limit=LABORATORIES)
    async with aiohttp.ClientSession(connector=connections) as client, asyncio.TaskGroup() as group:
        for due, batch in _on_schedule(batches, seconds):
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(send(client, batch))


def _to_kafka(
    settings: Settings,
    batches: Iterator[list[NatResultReported]],
    status_port: int,
    seconds: float,
) -> None:
    """Return once the worker of submissions has copied all; raise `StackError` if that takes too
    long, as where it refuses them."""

    def records() -> Iterator[Record]:
        for due, batch in _on_schedule(batches, seconds):
            time.sleep(max(0.0, due - time.monotonic()))
            for event in batch:
                yield record_of(event)._replace(topic=SUBMISSIONS)

    topic = record_of(next(batches)[0]).topic

    def copied() -> int:
        return counted(status_port, f'yuekang_worker_outputs_total{{topic="{topic}"')

    before = copied()
    sent = topics.publish(settings.brokers, records(), lambda _: None)
    until = time.monotonic() + COPIED_SECONDS_MAX
    while (left := before + sent - copied()) > 0:
        if time.monotonic() > until:
            raise StackError(f"{left:,} submissions were not copied.")
        time.sleep(0.1)


def lines(found: Found) -> Iterator[str]:
    """Yield the section of the report."""
    took = median(each.seconds for each in found.sent)
    yield from ("", "## What an event costs where it comes in", "")
    yield (
        f"{found.sent[0].events:,} negative results of {LABORATORIES} laboratories in {took:.0f} s "
        f"against the whole stack on this machine: over HTTP in batches of {found.batch}, and as "
        "records that they write to Kafka themselves, a batch each "
        f"{1000 * BATCH_EVENTS / RATE:g} ms both ways. Over HTTP each event has the document of a "
        "person, which becomes a key; requests are not signed. CPU of an event in µs, beyond what "
        "a process spends idle; median (least–most) of the rounds."
    )
    yield from ("", "| | µs an event | Idle, cores | Memory, MiB |", "|---|---|---|---|")
    for process in ENTRANCES:
        yield (
            f"| {process} | {found.cost_us(process).text('.0f')} | {found.idle_cores[process]:g} "
            f"| {found.memory_mib(process):,.0f} |"
        )
