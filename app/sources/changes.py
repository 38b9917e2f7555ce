"""An operator's changes: written to the topic, each by its key, and the whole read before."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from app.audit.entries import Act, AuditEntry
from app.audit.trail import command_entry, note_command, note_entries
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
    values: dict[bytes, bytes | None]
    values = {key_of(each).encode(): msgspec.json.encode(each) for each in changes}
    values |= {f"token {token}".encode(): None for token in forgotten}
    await _write(brokers, keys, values)


async def sign_again(brokers: Brokers, keys: SourceKeys, by: str) -> int:
    """Write what the register has once more, by the newest of the keys, as the operator `by`; a
    line of the audit log says so first. Return how many records.

    Nobody else may change it meanwhile: what they say could be displaced by what was before.
    """
    newest: dict[bytes, bytes | None] = {}
    async with reading(brokers, TOPIC.name, TOPIC.partitions) as reader:
        async for record in reader.records():
            if record.key is not None and keys.is_of_register(record):
                newest[record.key] = record.value
    details = {"records": str(len(newest))}
    await note_command(brokers, by, Act.REGISTER_SIGNED_AGAIN, TOPIC.name, details=details)
    await _write(brokers, keys, newest)
    return len(newest)


async def _write(brokers: Brokers, keys: SourceKeys, values: Mapping[bytes, bytes | None]) -> None:
    records = [
        keys.signed(Record(TOPIC.name, key, value), REGISTER) for key, value in values.items()
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
