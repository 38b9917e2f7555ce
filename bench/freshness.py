"""How fresh the data are, asked at 6 topics of 128 partitions: what one answer costs.

Four states of all the partitions: applied to their ends; behind and moving, as under load; standing
with unread records, as without a worker; and held up by an open transaction of a source. In the
last two the log is looked into, a part of the partitions at a time.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from msgspec import Struct

from app.operator.latency.report import Percentiles, percentiles
from app.process.consumer import Consumer
from app.process.memory import look_seldom
from app.projection.freshness import Group, Inputs
from bench.broker import running_broker
from bench.terminal import Terminal

TOPICS, PARTITIONS = 6, 128
ASKS = 500
WARM_UP = 10
ANSWER_MS = 50.0
VALUE = b"x" * 400
STAND_SECONDS = 2.5
"""Longer than a partition may stand before its log is looked into."""


class Answers(Struct, frozen=True):
    """What answers cost in one state of the partitions."""

    state: str
    cost: Percentiles


class Asked(Struct, frozen=True):
    """One run."""

    topics: int
    partitions: int
    asks: int
    answers: list[Answers]

    @property
    def slowest_ms(self) -> float:
        """The greatest p99 of all states."""
        return max(each.cost.p99_ms for each in self.answers)


class Wide(Group, frozen=True):
    """A group of many partitions."""

    @property
    def inputs(self) -> list[TopicPartition]:
        """Every partition of every topic."""
        return [
            TopicPartition(f"wide-{topic}", number)
            for topic in range(TOPICS)
            for number in range(PARTITIONS)
        ]


def measure(directory: Path, terminal: Terminal) -> Asked:
    """Measure on a broker that has these topics alone, in a process that looks for cycles as the
    projection does."""
    look_seldom()
    with running_broker(directory) as broker:
        answers = asyncio.run(_states(broker.brokers.servers, terminal))
    return Asked(TOPICS, PARTITIONS, ASKS, answers)


def lines(found: Asked) -> Iterator[str]:
    """Yield the section of the report."""
    yield from ("", "## How fresh the data are, asked of many partitions", "")
    yield (
        f"One answer about {found.topics} topics of {found.partitions} partitions, of "
        f"{found.asks} in each state; the projection asks once a second. Only what stands is "
        "looked into, 128 partitions at a time."
    )
    yield from ("", "| ms | p50 | p95 | p99 | max |", "|---|---|---|---|---|")
    for each in found.answers:
        values = " | ".join(f"{value:g}" for value in msgspec.structs.astuple(each.cost))
        yield f"| {each.state} | {values} |"


async def _states(bootstrap: str, terminal: Terminal) -> list[Answers]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(f"wide-{n}", PARTITIONS, 1) for n in range(TOPICS)])
    async with (
        Consumer(bootstrap_servers=bootstrap) as consumer,
        AIOKafkaProducer(bootstrap_servers=bootstrap) as producer,
        AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id="wide") as source,
        AIOKafkaConsumer(
            bootstrap_servers=bootstrap, group_id="wide", enable_auto_commit=False
        ) as member,
    ):
        group = Wide("wide", "wide")
        member.assign(group.inputs)
        answers = list[Answers]()

        async def append(to: AIOKafkaProducer) -> None:
            sent = [await to.send(tp.topic, VALUE, partition=tp.partition) for tp in group.inputs]
            await asyncio.gather(*sent)

        async def commit(offset: int) -> None:
            await member.commit(dict.fromkeys(group.inputs, offset))

        async def ask(
            state: str, inputs: Callable[[], Inputs], between: Callable[[], Awaitable[None]]
        ) -> None:
            costs = list[float]()
            for _ in range(WARM_UP + ASKS):
                await between()
                asked = inputs()
                begun = time.perf_counter()
                await asked.ask(admin, consumer)
                costs.append(time.perf_counter() - begun)
            cost = percentiles(costs[WARM_UP:])
            assert cost is not None
            answers.append(Answers(state, cost))
            terminal.say(f"{state}: p99 {cost.p99_ms:g} ms")

        async def nothing() -> None:
            await asyncio.sleep(0.02)

        inputs, end = Inputs(group), count(1)

        def seen() -> Inputs:
            return inputs

        async def move() -> None:
            reached = next(end)
            await append(producer)
            await commit(reached - 1)

        await append(producer)
        await commit(next(end))
        while True:
            if len((await inputs.ask(admin, consumer)).until) == PARTITIONS:  # each has a leader
                break
            await asyncio.sleep(0.1)
        await ask("all applied", seen, nothing)
        await ask("all behind, and moving", seen, move)
        await ask("all standing, and not seen before", lambda: Inputs(group), nothing)
        await commit(next(end) - 1)
        await inputs.ask(admin, consumer)
        await source.begin_transaction()
        await append(source)
        await inputs.ask(admin, consumer)
        await asyncio.sleep(STAND_SECONDS)
        await ask("all held up by an open transaction", seen, nothing)
        await source.abort_transaction()
    await admin.close()
    return answers
