"""What happens to the input: a topic is made again, or cut, or held up; rows grow full."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import KafkaError

from app.engine.topics import Topics
from app.topics.admin import create_topics
from app.topics.catalogue import CATALOGUE
from app.topics.records import Record, structured
from faults.scenes import Missed, Scene
from faults.stage import Stage, send
from oracle.layout import INPUTS
from support import builders as b

T = TypeVar("T")

APPLIED_SECONDS_MAX = 40.0
"""How long the workers may take to apply all of a topic that nothing is sent to."""

TOPICS = tuple(name for name, topic in INPUTS.items() if topic.folds_into in ("people", "scans"))

PEOPLE_FULL = 8

GARBAGE = 150


async def made_again(scene: Scene) -> None:
    """A topic is deleted and made again at once, some of it not applied yet, or all applied."""
    topic = scene.random.choice(TOPICS)
    stage, audit = scene.stage, scene.audit
    async with _prepared(scene, topic):
        with _frozen(stage) if scene.random.random() < 0.75 else nullcontext():
            await scene.workload.send_held(topic, scene.random)
            await read_on(scene)
            async with administering(scene) as admin:
                old = (await insist(lambda: _ids(scene, topic)))[topic]
                await insist(lambda: admin.delete_topics([topic]))
            while True:
                await insist(lambda: create_topics(stage.brokers))
                found = await insist(lambda: _ids(scene, topic))
                if found.get(topic, old) != old:
                    break
                await asyncio.sleep(0.1)
            async with scene.lock("audit"):
                await audit.made_again(topic, found[topic])


async def cut(scene: Scene) -> None:
    """Records are deleted before they are applied; some may have been fetched by then."""
    topic = scene.random.choice(TOPICS)
    async with _prepared(scene, topic):
        with _frozen(scene.stage):
            await scene.workload.send_held(topic, scene.random)
            await read_on(scene)
            left = {n: at for n, at in scene.audit.unapplied_of(topic).items() if len(at) > 1}
            if not left:
                raise Missed("all was applied at once")
            number = scene.random.choice(sorted(left))
            # At least one stays: without it nobody could see that the others are gone.
            offset = scene.random.choice(left[number][1:])
            place = {TopicPartition(topic, number): RecordsToDelete(offset)}
            async with administering(scene) as admin:
                await insist(lambda: admin.delete_records(place))
            scene.audit.cut_before(topic, number, offset)


async def open_transaction(scene: Scene) -> None:
    """All that comes after the records of an open transaction waits for its end."""
    seconds, commit = scene.random.uniform(4, 12), scene.random.random() < 0.5
    with suppress(KafkaError, TimeoutError, OSError):  # the coordinator aborts it in time
        await scene.workload.open_transaction(scene.random, seconds, commit)


async def full_rows(scene: Scene) -> None:
    """Some people get hundreds of facts at once, and then some that bear on their code."""
    records = list(scene.workload.full_rows(scene.random, PEOPLE_FULL))
    for begin in range(0, len(records), 500):
        scene.workload.ask(records[begin : begin + 500])
        await asyncio.sleep(0.5)


async def garbage(scene: Scene) -> None:
    """A stranger writes rubbish, and what looks like a laboratory's result, to one partition. It
    counts against nobody, and nothing stands still."""
    topic, number = scene.random.choice(TOPICS), scene.random.randrange(CATALOGUE.partitions)
    forged = structured(b.positive(datetime.now(UTC) - timedelta(hours=1)))
    for value in (forged.value, b"positive, see fax"):
        records = [Record(topic, b"p1-rubbish", value)] * GARBAGE
        scene.workload.ask(records, number, code="not-authentic")
    await asyncio.sleep(scene.random.uniform(1, 5))


# What they have in common


@asynccontextmanager
async def _prepared(scene: Scene, topic: str) -> AsyncIterator[None]:
    """Nothing is sent to the topic, and all that was is applied: so what the audit has read of it
    is all there is, and no worker writes to it."""
    async with scene.lock("brokers"), scene.workload.holding(topic):
        until = time.monotonic() + APPLIED_SECONDS_MAX
        while True:
            await read_on(scene)
            if not any(scene.audit.unapplied_of(topic).values()):
                break
            if time.monotonic() > until:
                raise Missed(f"{topic} was not applied in time")
            await asyncio.sleep(0.5)
        await asyncio.sleep(3)  # let something wait
        yield


@contextmanager
def _frozen(stage: Stage) -> Iterator[None]:
    """The workers stand still meanwhile: what comes is not applied."""
    for worker in stage.workers:
        send(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in stage.workers:
            send(worker, signal.SIGCONT)


@asynccontextmanager
async def administering(scene: Scene) -> AsyncIterator[AIOKafkaAdminClient]:
    """Give a client that changes what the brokers have."""
    admin = AIOKafkaAdminClient(bootstrap_servers=scene.stage.bootstrap)
    await insist(admin.start)
    try:
        yield admin
    finally:
        await admin.close()


async def _ids(scene: Scene, topic: str) -> dict[str, str]:
    topics = Topics(scene.stage.brokers)
    try:
        return await topics.ids([topic])
    finally:
        await topics.close()


async def read_on(scene: Scene) -> None:
    """Let the audit read all that is committed."""
    async with scene.lock("audit"):
        await insist(scene.audit.read)


async def insist(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask the brokers until they answer: some may be away."""
    while True:
        try:
            return await ask()
        except (KafkaError, TimeoutError, OSError):
            await asyncio.sleep(0.5)
