"""An operator's changes: written to the topic, each by its key, and the whole read before."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from app.sources.register import Register
from app.topics.catalogue import CATALOGUE, SOURCE_REGISTER
from app.topics.reading import reading
from models.register import (
    ClosedData,
    OpenedData,
    RegisterChange,
    RegisteredSource,
    SourceClosed,
    SourceOpened,
    SourceRegistered,
    TakenBackData,
    TokenTakenBack,
    key_of,
)

TOPIC = CATALOGUE.topics[SOURCE_REGISTER]

Data = RegisteredSource | ClosedData | OpenedData | TakenBackData


def change(data: Data, by: str) -> RegisterChange:
    """Return what an operator says, such as /operators/chen, as an event of now."""
    common: Any = {"id": str(uuid.uuid4()), "time": datetime.now(UTC), "source": by}
    match data:
        case RegisteredSource():
            return SourceRegistered(data=data, **common)
        case ClosedData():
            return SourceClosed(data=data, **common)
        case OpenedData():
            return SourceOpened(data=data, **common)
        case TakenBackData():
            return TokenTakenBack(data=data, **common)


async def write(
    bootstrap: str, changes: Iterable[RegisterChange], forgotten: Sequence[str] = ()
) -> None:
    """Write changes, and forget tokens; return when all replicas in sync have them."""
    records: list[tuple[str, bytes | None]]
    records = [(key_of(each), msgspec.json.encode(each)) for each in changes]
    records += [(f"token {token}", None) for token in forgotten]
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    try:
        await producer.start()
        sent = [await producer.send(TOPIC.name, value, key.encode()) for key, value in records]
        for delivery in sent:
            await delivery
    finally:
        await producer.stop()


async def read_register(bootstrap: str) -> Register:
    """Return the register as it is now, with the tokens that nobody would take any more."""
    register = Register(lambda: datetime.min.replace(tzinfo=UTC))
    async with reading(bootstrap, TOPIC.name, TOPIC.partitions) as reader:
        async for record in reader.records():
            register.apply(record.key, record.value)
    return register
