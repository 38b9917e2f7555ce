"""An operator's changes: written to the topic, each by its key, and the whole read before."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from app.audit.entries import Act, AuditEntry
from app.audit.trail import command_entry, note_entries
from app.process.kafka import Brokers
from app.process.producers import close
from app.sources.register import Register
from app.topics.authentic import REGISTER, SourceKeys
from app.topics.catalogue import CATALOGUE, SOURCE_REGISTER
from app.topics.reading import reading
from app.topics.records import Record
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
    brokers: Brokers,
    keys: SourceKeys,
    changes: Sequence[RegisterChange],
    forgotten: Sequence[str] = (),
) -> None:
    """Write changes, each as a line of the audit log first, and forget tokens that are over.

    Return when all replicas in sync have them.
    """
    await note_entries(brokers, map(_line, changes))
    values = [(key_of(each), msgspec.json.encode(each)) for each in changes]
    records = [
        keys.signed(Record(TOPIC.name, key.encode(), value), REGISTER)
        for key, value in [*values, *((f"token {token}", None) for token in forgotten)]
    ]
    producer = AIOKafkaProducer(**brokers.client, acks="all", enable_idempotence=True)
    try:
        await producer.start()
        sent = [
            await producer.send(each.topic, each.value, each.key, headers=list(each.headers))
            for each in records
        ]
        for delivery in sent:
            await delivery
    finally:
        await close(producer)


async def read_register(brokers: Brokers, keys: SourceKeys) -> Register:
    """Return the register as it is now, with the tokens that nobody would take any more."""
    register = Register(lambda: datetime.min.replace(tzinfo=UTC))
    async with reading(brokers, TOPIC.name, TOPIC.partitions) as reader:
        async for record in reader.records():
            register.apply(record, keys)
    return register


def _line(change: RegisterChange) -> AuditEntry:
    reason = ""
    match change:
        case SourceRegistered(data=data):
            what, about = Act.SOURCE_REGISTERED, data.source
        case SourceClosed(data=data):
            what, about, reason = Act.SOURCE_CLOSED, data.source, data.reason
        case SourceOpened(data=data):
            what, about = Act.SOURCE_OPENED, data.source
        case TokenTakenBack(data=data):
            what, about, reason = Act.TOKEN_TAKEN_BACK, data.token, data.reason
    return command_entry(change.source, what, about, reason, {"id": change.id})
