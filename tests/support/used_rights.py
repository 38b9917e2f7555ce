"""Whatever processes do on Kafka, done at least once, and what the broker says that it let them do.

A broker that is told to (`authorizer.level`) writes a line for each thing that it lets somebody
do: what, with which resource, and by which of its ACLs. A right is used if a line names both its
operation and its ACL.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
from aiokafka import AIOKafkaProducer
from msgspec.structs import replace
from typer.testing import CliRunner

from app.access.commands import acls
from app.access.rights import PROCESSES, Right, events_topics, rights_of
from app.audit.checkpoints import NoteSigner
from app.audit.follow import AuditLog
from app.audit.tiles import TileFolder
from app.development.secrets import ADMINISTRATOR
from app.letters import resend as sending
from app.letters.commands import held, parked
from app.letters.releases import still_parked
from app.operator.audit import audit
from app.process.macs import MAC
from app.process.settings import Settings
from app.sources.commands import sources
from app.topics.catalogue import (
    CATALOGUE,
    DEAD_LETTERS,
    ON_HOLD,
    OPENINGS,
    SUBMISSIONS,
    changelog_of,
    partition_of,
)
from app.topics.commands import topics
from app.topics.letters import LetterFilter
from app.topics.reading import reading
from app.topics.records import Record
from app.topics.schemas import example
from app.topology import TABLES_OF
from app.view.displays import Displays
from models.events import EVENT_TYPES
from models.parking import SOURCE_LIMIT
from support.encrypted import AUDIT_KEY, PRINCIPALS, Encrypted, principal_of
from support.gateways import LABORATORY, PLAIN
from support.macs import KEYS, signed
from support.tokens import OPERATOR_HEADERS, bearer
from support.views import DISPLAY_KEY, resident
from support.workers import DEAD_LETTER_KEY

SOMEONE = example("yuekang.identity.verified.v1")["partitionkey"]
TERMINAL = "/terminals/440100-001"
SECONDS_MAX = 60.0

Used = tuple[str, Right]
"""A process and what it did."""

LINE = re.compile(
    r"Principal = (\S+) is Allowed operation = (\w+) .*"
    r"resourceType=(\w+), resourceName=(\S+), patternType=(\w+),"
)


def derived() -> set[Used]:
    """Every right of every process."""
    return {(process, right) for process in PROCESSES for right in rights_of(process)}


def used(log: Path) -> set[Used]:
    """The rights that were used, as the log of a broker has them."""
    processes = {principal_of(process): process for process in PROCESSES}
    of = {
        (
            right.operation.name,
            right.resource.name,
            right.name,
            "PREFIXED" if right.prefixed else "LITERAL",
        ): right
        for _, right in derived()
    }
    return {
        (processes[principal], of[operation, kind, name, pattern])
        for principal, operation, kind, name, pattern in LINE.findall(log.read_text())
        if principal in processes and (operation, kind, name, pattern) in of
    }


class Doings:
    """What is done, on servers and processes that are ready."""

    def __init__(self, encrypted: Encrypted) -> None:
        self._encrypted = encrypted
        self._administrator = encrypted.brokers_of(ADMINISTRATOR)
        self._audit = encrypted.directory / "audit-log" / "audit"

    async def begin_changelogs(self) -> None:
        """Something in each changelog, but no row: a transaction that was aborted.
        Else a worker that starts has nothing to read there."""
        producer = AIOKafkaProducer(**self._administrator.client, transactional_id="aborted")
        async with producer:
            await producer.begin_transaction()
            for table in (table for tables in TABLES_OF.values() for table in tables):
                name = changelog_of(table)
                for number in range(CATALOGUE.topics[name].partitions):
                    await producer.send(name, b"", b"", number)
            await producer.flush()
            await producer.abort_transaction()

    def publish(self) -> None:
        """An event for each topic, through the gateway."""
        for topic in events_topics():
            event = example(next(name for name in topic.events if name in EVENT_TYPES))
            self._post("gateway", "/v1/events", event, bearer(event["source"]))

    def go_to_the_view(self) -> None:
        """A code that an operator asks for; the same shown; a declaration, a scan."""
        view, own = self._encrypted.address_of("view"), resident(SOMEONE)
        asked, until = f"{view}/v1/people/{SOMEONE}/code", time.monotonic() + SECONDS_MAX
        while '"red"' not in httpx.get(asked, headers=OPERATOR_HEADERS, verify=PLAIN).text:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert httpx.get(f"{view}/code", headers=own, verify=PLAIN).status_code == 200
        form = {"id": "d-1", "kind": "personal", "city": "440100", "celsius": 36.5}
        form |= {"contact": False, "travelled": False}
        self._post("view", "/v1/me/declarations", form, {**own, "origin": view})
        token = Displays(DISPLAY_KEY).token(SOMEONE, "样*甲", "1234")
        scan = {"id": "s-1", "token": token, "place": "东门"}
        self._post("view", "/v1/scans", scan, bearer(TERMINAL))

    def _post(self, process: str, path: str, body: object, headers: dict[str, str]) -> None:
        if process == "gateway":
            headers = {**headers, "content-type": "application/cloudevents+json"}
        address = self._encrypted.address_of(process) + path
        answer = httpx.post(address, json=body, headers=headers, verify=PLAIN)
        assert answer.is_success, (path, answer.text)

    async def write_wrongly(self) -> None:
        """A record of each topic in a partition that is not its own, and without its MAC, and the
        same as submissions; and from a source of each worker so many that cannot be read that it
        is parked."""
        async with AIOKafkaProducer(**self._administrator.client) as producer:
            for topic in events_topics():
                record, *_ = [each async for each in self._records(topic.name)]
                own = partition_of(record.key or b"", topic.partitions)
                await _send(producer, record, (own + 1) % topic.partitions)
                bare = tuple(header for header in record.headers if header[0] != MAC)
                await _send(producer, Record(topic.name, record.key, record.value, bare))
                submission = Record(SUBMISSIONS, record.key, record.value, ())
                await _send(producer, signed(submission, author_of(record)))
            await _send(producer, submission)
            for name, source in (
                ("laboratory-results", LABORATORY),
                ("displays", "/portal"),
                (SUBMISSIONS, LABORATORY),
            ):
                record = signed(Record(name, SOMEONE.encode(), b"{", ()), source)
                for _ in range(SOURCE_LIMIT.in_a_row + 2):
                    await _send(producer, record)

    async def _records(self, name: str) -> AsyncIterator[Record]:
        async with reading(self._administrator, name, CATALOGUE.topics[name].partitions) as reader:
            async for found in reader.records():
                yield Record(name, found.key, found.value, tuple(found.headers))

    async def send_again(self) -> None:
        """What was refused for want of a MAC, by an operator who answers for it."""
        nothing = sending.Watcher(lambda *_: None, lambda *_: None, lambda _: None)
        job = sending.ResendJob(
            DEAD_LETTERS,
            None,
            LetterFilter(None, "not-authentic"),
            force=True,
            private_key=bytes(DEAD_LETTER_KEY),
        )
        operator = self._encrypted.brokers_of("operator")
        parked_now = await still_parked(operator, KEYS)
        wanted = len(events_topics()) + 1

        async def resend(*, dry_run: bool) -> int:
            tried = replace(job, dry_run=dry_run)
            return (await sending.resend(operator, KEYS, tried, parked_now, nothing)).sent

        # The right to write letters is used by the first of them.
        async with asyncio.timeout(SECONDS_MAX):
            while await resend(dry_run=True) < wanted:
                await asyncio.sleep(0.2)
        assert await resend(dry_run=False) == wanted

    async def hold_one(self) -> None:
        """A letter among those on hold. More than 5,000 openings would be needed for a worker's."""
        async with AIOKafkaProducer(**self._administrator.client) as producer:
            letter, *_ = [each async for each in self._records(DEAD_LETTERS)]
            await _send(producer, replace(letter, topic=ON_HOLD))

    def command(self) -> None:
        """The commands of an operator."""
        environment = self._encrypted.environment_of("operator")
        for group, arguments in (
            (topics, ["check"]),
            (acls, ["check", *PRINCIPALS]),
            (parked, ["list"]),
            (held, ["list"]),
            (parked, ["release", LABORATORY, "--unasked"]),
            (parked, ["resend", "--source", "/nobody", "--dry-run"]),  # reads who was released
            (parked, ["sources"]),
            (sources, ["close", LABORATORY, "--reason", "tried"]),
            (sources, ["list"]),
            (audit, ["verify", "--folder", str(self._audit)]),
        ):
            done = CliRunner().invoke(group, arguments, env=environment)
            assert done.exit_code == 0, (arguments, done.output, done.exception)

    async def leave_unread(self) -> None:
        """A record of each input that no worker is there to read."""
        async with AIOKafkaProducer(**self._administrator.client) as producer:
            for topic in events_topics():
                record, *_ = [each async for each in self._records(topic.name)]
                await _send(producer, record)
            for name in (OPENINGS, SUBMISSIONS):
                await _send(producer, Record(name, b"k", b"{}", ()))

    async def change_the_audit_key(self) -> None:
        """The audit log's keeper as it begins with another key, once its process has ended."""
        origin = Settings().audit_origin
        former, signer = (NoteSigner(origin, key) for key in (AUDIT_KEY, bytes(range(91, 123))))
        kept = AuditLog(
            self._encrypted.brokers_of("audit-log"),
            TileFolder(self._audit),
            signer,
            [former.verifier],
        )
        task = asyncio.create_task(kept.run())
        async with asyncio.timeout(SECONDS_MAX):
            while kept.reasons():
                await asyncio.sleep(0.05)
        kept.stop()
        await task


def author_of(record: Record) -> str:
    """Return the source of an event in structured mode."""
    return str(msgspec.json.decode(record.value or b"")["source"])


async def _send(producer: AIOKafkaProducer, record: Record, partition: int | None = None) -> None:
    await producer.send(
        record.topic, record.value, record.key, partition, headers=list(record.headers)
    )
