"""Writes lines of the audit log, each before the answer is given or the thing is done.

A line is written only where it is known who asks: nobody anonymous can fill the log.
"""

import os
import pwd
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer

from app.audit.entries import Act, AuditEntry, audit_entry, audit_record
from app.process.clock import Clock
from app.process.kafka import Brokers
from app.process.producers import close
from app.topics.records import Record
from app.web.problems import Refused, retry_later

RETRY_SECONDS = 2

NO_DETAILS: Mapping[str, str] = {}

Write = Callable[[Sequence[Record]], Awaitable[object]]
"""Returns when all replicas in sync have the records; raises `Refused` if that is not so."""


class Trail:
    """Writes lines for a process that answers over HTTP. `write` is bounded in time and number."""

    def __init__(self, write: Write, now: Clock) -> None:
        self._write = write
        self._now = now

    async def note(
        self,
        by: str,
        what: Act,
        about: str,
        reason: str = "",
        details: Mapping[str, str] = NO_DETAILS,
    ) -> None:
        """Return when the line is on the log. Raise `Refused` (503) if it may not be: then nothing
        may be answered."""
        entry = audit_entry(self._now(), by, what, about, reason, details)
        try:
            await self._write([audit_record(entry)])
        except Refused as refused:
            raise retry_later(
                "audit-away",
                f"Who asks about whom is written down before there is an answer, and the audit log "
                f"did not take it ({refused.code}).",
                RETRY_SECONDS,
            ) from None


async def note_command(
    brokers: Brokers,
    by: str,
    what: Act,
    about: str,
    reason: str = "",
    details: Mapping[str, str] = NO_DETAILS,
) -> None:
    """Write the line of a command of an operator's; raise a `KafkaError` if that fails."""
    await note_entries(brokers, [command_entry(by, what, about, reason, details)])


def command_entry(
    by: str, what: Act, about: str, reason: str = "", details: Mapping[str, str] = NO_DETAILS
) -> AuditEntry:
    """Return the line of a command of an operator's.

    It names the account of this machine too, since some commands need no token.
    """
    return audit_entry(
        datetime.now(UTC), by, what, about, reason, {"account": _account(), **details}
    )


async def note_entries(brokers: Brokers, entries: Iterable[AuditEntry]) -> None:
    """Write lines, in their order; raise a `KafkaError` if that fails."""
    producer = AIOKafkaProducer(**brokers.client, acks="all", enable_idempotence=True)
    try:
        await producer.start()
        records = map(audit_record, entries)
        sent = [
            await producer.send(record.topic, record.value, headers=list(record.headers))
            for record in records
        ]
        for delivery in sent:
            await delivery
    finally:
        await close(producer)


def _account() -> str:
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container that runs under any number
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"
