"""An EndTxn that is held up past its time-out, and arrives when the next transaction is half sent.

aiokafka sends it again and the transaction ends, so nothing seems to have happened. The one that
was held up then ends the next transaction (KIP-890), with what has been sent of it: rows and the
applied offset, and nothing of what is told. If the worker dies there, nobody is ever told. Each
round does that to a table on a real broker; at the end all is looked at that a reader sees.

    PYTHONPATH=.:tests .venv/bin/python -m faults late --rounds 200
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.protocol.transaction import EndTxnRequest

from app.engine.chunks import Chunk
from app.engine.partition import TableSettings
from app.engine.producer import Producer
from app.engine.table import Table
from app.engine.topics import Topics
from app.engine.transaction import Output, Transaction
from app.process.kafka import Brokers
from app.topics.authentic import OURS
from support.macs import KEYS
from support.records import record

HELD_SECONDS = 0.02
"""How long the producer waits for the answer that does not come; in production 40 s."""

CHUNK = 3
"""Records of a transaction."""


class Died(Exception):
    """The worker dies here."""


def _raise() -> None:
    raise Died


class Held(NamedTuple):
    """An EndTxn on its way: whose, and on which connection it was."""

    name: str
    connection: AIOKafkaConnection
    request: EndTxnRequest


class Network:
    """Holds up the `passing`-th EndTxn from now on (none if 0) of producers with `name` in their
    names. Delivers it on a connection of its own when the next transaction of that producer's name
    is half sent; then calls `die`."""

    def __init__(self, die: Callable[[], None] = _raise, passing: int = 0, name: str = "") -> None:
        self._die = die
        self._name = name
        self.passing = passing
        self.held: Held | None = None
        self.arrived = 0

    @contextmanager
    def between(self) -> Iterator[None]:
        """Stand between producers and the broker while the context lasts."""
        send, send_batch = AIOKafkaConnection.send, Producer.send_batch

        def hold(connection: Any, request: Any, expect_response: bool = True) -> Any:
            if not (
                self.passing
                and isinstance(request, EndTxnRequest)
                and self._name in request._transactional_id
            ):
                return send(connection, request, expect_response)
            self.passing -= 1
            if self.passing:
                return send(connection, request, expect_response)
            self.held = Held(request._transactional_id, connection, request)
            answer = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(
                HELD_SECONDS, answer.set_exception, TimeoutError()
            )
            return answer

        async def send_and_die(producer: Any, *args: Any, **options: Any) -> Any:
            sent = await send_batch(producer, *args, **options)
            held = self.held
            if held is None or producer._txn_manager.transactional_id != held.name:
                return sent
            await sent
            self.held = None
            await self._deliver(held)
            self._die()

        with (
            patch.object(AIOKafkaConnection, "send", hold),
            patch.object(Producer, "send_batch", send_and_die),
        ):
            yield

    async def _deliver(self, held: Held) -> None:
        old = held.connection
        connection = await create_conn(
            old.host,
            old.port,
            security_protocol=old._security_protocol,
            sasl_mechanism=old._sasl_mechanism,
            sasl_plain_username=old._sasl_plain_username,
            sasl_plain_password=old._sasl_plain_password,
        )
        await connection.send(held.request)
        connection.close()
        self.arrived += 1


async def late(brokers: Brokers, directory: Path, rounds: int) -> Counter[str]:
    """Run rounds; return what was found: `arrived` late requests, and of the records those that
    were `lost`, `untold` or told `twice`, and where the store is `apart` from the log."""
    prefix = f"late-{secrets.token_hex(4)}-"
    log, out, source = (prefix + name for name in ("log", "out", "in"))
    admin = AIOKafkaAdminClient(**brokers.client)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1) for name in (log, out, source)])
    await admin.close()
    async with AIOKafkaProducer(**brokers.client) as producer:
        for _ in range(CHUNK * (2 * rounds + 1)):
            await producer.send(source, b"v")
    settings = TableSettings(
        "people", f"{prefix}app", brokers, directory, log, (), KEYS.of(OURS), KEYS.is_ours
    )
    network, offset = Network(), 0

    def fold(transaction: Transaction, records: Sequence[Any]) -> Iterator[None]:
        for each in records:
            transaction.put(b"row%d" % each.offset, b"x")
            transaction.emit(Output(out, b"k", b"%d" % each.offset))
            yield

    def chunk(first: int) -> Chunk:
        at = datetime.now(UTC)
        records = [record(b"v", at, first + n, source, b"k") for n in range(CHUNK)]
        return Chunk(source, 0, 1, records)

    with network.between():
        for _ in range(rounds):
            async with running(settings) as table:
                await table.process(chunk(offset), fold)  # that of the round before comes again
                network.passing, offset = 1, offset + CHUNK
                await table.process(chunk(offset), fold)
                offset += CHUNK
                with suppress(Died):
                    await table.process(chunk(offset), fold)
    async with running(settings) as table:
        for first in range(0, offset + CHUNK, CHUNK):  # all comes again to the next worker
            await table.process(chunk(first), fold)
        rows = [table.held[0].store.get(b"row%d" % n) for n in range(offset + CHUNK)]
    told = Counter(await everything(brokers, out))
    in_log = {key for key in await everything(brokers, log, keys=True) if key.startswith(b"row")}
    wanted = {b"%d" % n for n in range(offset + CHUNK)}
    return Counter(
        arrived=network.arrived,
        lost=rows.count(None),
        untold=len(wanted - told.keys()),
        twice=sum(count > 1 for count in told.values()),
        apart=len({b"row" + n for n in wanted} ^ in_log),
    )


@asynccontextmanager
async def running(settings: TableSettings) -> AsyncIterator[Table]:
    """A worker's table with its one partition."""
    topics, failures = Topics(settings.brokers), list[BaseException]()
    table = Table(settings, topics)
    table.on_failure(failures.append)
    await table.assign({0}, 1)
    await table.held[0].live.wait()
    yield table
    await table.stop()
    await topics.close()
    assert not failures, failures


async def everything(brokers: Brokers, topic: str, *, keys: bool = False) -> list[bytes]:
    """Return what a reader of committed transactions sees."""
    consumer = AIOKafkaConsumer(**brokers.client, isolation_level="read_committed")
    await consumer.start()
    try:
        place = TopicPartition(topic, 0)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        end = (await consumer.end_offsets([place]))[place]
        found: list[bytes] = []
        while await consumer.position(place) < end:
            for records in (await consumer.getmany(timeout_ms=50)).values():
                found += [record.key if keys else record.value for record in records]
        return found
    finally:
        await consumer.stop()
