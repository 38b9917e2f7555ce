"""The whole topology without a broker: records in, outputs by topic, and a clock to move on.

A first test is ten lines. In tests/topology every test may ask for the fixture `driver`:

    from models.codes import Colour
    from support import builders as b
    from topology.driver import Driver

    def test_an_order_at_home_turns_a_code_red_until_its_end(driver: Driver) -> None:
        driver.send(b.verified())
        driver.send(b.ordered("home", b.day(12), b.day(25)))
        assert driver.code().colour is Colour.RED
        driver.advance(to=b.day(25))
        assert driver.code().colour is Colour.GREEN
        assert [change.at for change in driver.outputs("status-changes")][-1] == b.day(25)

`support.builders` makes events; each is about `PERSON` unless told otherwise, and so is what the
driver is asked. The driver begins on `b.day(20)`, and events may lie before that: an event counts
as arrived at the driver's instant, never at its own.

**What is real.** The apps of `yuekang worker` and of the two beside it with all their agents and
timers, the engine's tables and partitions, and RocksDB. **What stands for something else:** Kafka
is `support.log`, the consumer group and its fetches are this file. What needs a real broker, a real
process or two workers at once is for tests/integration.

**Records.** `send` appends one record to the partition that its key belongs to, stamped with the
driver's clock, and returns when the worker has acked it. What a worker forwards to another
partition of an input is processed as well, before that. `send_all` appends several first, so that
each topic partition gets one chunk. Of several topics one chunk is taken after the other, in the
order of their first records; a real worker promises no order among topics. A topic that
every partition has whole (source-releases) gets one on each.

**Time.** It stands still unless it is moved: by `advance`, or by `at` of a `send`, which advances
first. What falls due on the way is told in due order, each at its own instant, as by a worker that
looks at every instant.

**Processes.** A worker is started by the first record for it, and holds the partitions that
records were sent to. `stop` ends it, and `start` begins a new one on what the old one left: the
store, the log and the committed offsets. Between the two, records are appended and time passes,
and nobody looks. `start` reads the backlog in the order of its arrival, and then what is due.
`lose_store` is a start with an empty disk, and `redeliver` brings records again that were acked.

**Failures.** What would end the process ends it here: the call raises it, and the worker is
stopped. A partition that stands still is in `halts`, with its place kept; what is sent to it waits.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple

import msgspec
from aiokafka import TopicPartition
from msgspec.structs import replace
from nacl.public import PrivateKey

from agents.instants import instant, microseconds
from app.engine.chunks import CHUNK_RECORDS_MAX
from app.engine.halts import Halt
from app.engine.store import APPLIED, DUE, TALLY, TOPIC_ID, Store
from app.engine.table import Table
from app.process.settings import Settings
from app.topics import letters, records
from app.topics.catalogue import (
    CATALOGUE,
    DEAD_LETTERS,
    EVERY_TABLE,
    HEALTH_CODES,
    OPENINGS,
    PARKED,
    SOURCE_RELEASES,
    STATUS_CHANGES,
    Topic,
    changelog_of,
    input_topics,
    partition_of,
)
from app.topology import TableApp
from app.worker.process import make_app, make_lists_app, make_submissions_app
from models.codes import HealthCode, StatusChange, StatusChanged, judge
from models.events import Event, ListName
from models.lists import Listing
from models.operators import PartitionReleased, PartitionReleasedData, released
from models.parking import Tally
from models.person import Person
from models.rows import decode_row
from support.builders import PERSON, day
from support.log import Log, Record
from support.macs import MAC_KEY, signed
from topology.worker import ACK_SECONDS_MAX, Worker, clock

START = day(20)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HERE = partition_of(PERSON.encode(), CATALOGUE.partitions)
"""The partition of `PERSON`."""

DEAD_LETTER_KEY = PrivateKey(bytes(range(32)))
"""Opens what the worker has sealed."""

_listings = msgspec.json.Decoder(Listing)
_tallies = msgspec.msgpack.Decoder(Tally)


class Letter(NamedTuple):
    """A record of dead-letters or parked. `headers` are the worker's own, as texts; `within` is
    what the private key makes of it."""

    record: Record
    headers: dict[str, str]
    within: letters.Letter

    @property
    def key(self) -> bytes | None:
        """The key of what was refused."""
        return self.within.key

    @property
    def value(self) -> bytes:
        """The value of what was refused."""
        return self.within.value or b""

    @property
    def reason(self) -> str:
        """Why it is there."""
        return self.headers["yk_reason"]

    @property
    def offset(self) -> int:
        """The offset of what it was, in its input topic."""
        return int(self.headers["yk_offset"])


MAKERS: dict[str, Callable[[Settings, str], TableApp]] = {
    "worker": partial(make_app, clock_agrees=lambda: True),
    "submissions-worker": partial(make_submissions_app, clock_agrees=lambda: True),
    "lists-worker": partial(make_lists_app, clock_agrees=lambda: True),
}


OTHERS = {"lists": "lists-worker", "submissions": "submissions-worker"}
"""The workers of the tables that are not of the first."""


class Driver:
    """See the module. `directory` has the stores; `at` is when it begins.

    `settings` are further settings of the workers. Its methods are for tests that are no
    coroutines: it has an event loop of its own.
    """

    def __init__(self, directory: Path, *, at: datetime = START, **settings: Any) -> None:
        self.now = at
        self.log = Log(lambda: self.now)
        self.running = True
        self._directory = directory
        self._settings = Settings(
            data_dir=str(directory),
            dead_letter_public_key=bytes(DEAD_LETTER_KEY.public_key),
            **{"mac_key": MAC_KEY, **settings},
        )
        self._loop = asyncio.new_event_loop()
        self._workers: dict[str, Worker] = {}
        self._held: dict[str, set[int]] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._in_hand: dict[TopicPartition, tuple[asyncio.Future[None], int]] = {}
        self._told: dict[str, int] = {}

    def __enter__(self) -> "Driver":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.close()

    # What goes in

    def send(
        self,
        what: Event | records.Record | bytes | None,
        topic: str | None = None,
        *,
        at: datetime | None = None,
        key: str | bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
        author: str | None = "",
    ) -> Record:
        """Append a record and let the worker process it; return it as it lies in its topic.

        An event goes to its own topic, in structured mode; bytes, or None for a tombstone, go as
        they are to `topic`, with `key`. `partition` is that of the key, unless it is given. `at`
        moves the clock on first. It has a MAC of `author`, none if that is None, and unless it is
        said, of the source that it names.
        """
        sent = made(what, topic, key=key, headers=headers, author=author)
        return self._send([sent], at, partition)[0]

    def send_all(
        self,
        what: Sequence[Event | records.Record],
        *,
        at: datetime | None = None,
        partition: int | None = None,
    ) -> list[Record]:
        """Append records, and let the worker process them: one chunk for each topic partition."""
        return self._send([made(each) for each in what], at, partition)

    def _send(
        self, what: Sequence[records.Record], at: datetime | None, partition: int | None
    ) -> list[Record]:
        if at is not None:
            self.advance(to=at)
        appended = [record for each in what for record in self._append(each, partition)]
        if self.running:
            by_place: dict[TopicPartition, list[Record]] = {}
            for record in appended:
                by_place.setdefault(_place(record), []).append(record)
            self._run(self._process_with_what_follows(list(by_place.values())))
        return appended

    def _append(self, sent: records.Record, partition: int | None) -> list[Record]:
        topic = CATALOGUE.topics[sent.topic]
        if partition is not None:
            numbers = [partition]
        elif topic.folds_into == EVERY_TABLE:
            numbers = list(range(topic.partitions))
        else:
            numbers = [partition_of(sent.key or b"", topic.partitions)]
        return [
            self.log.append(TopicPartition(topic.name, n), sent.key, sent.value, sent.headers)
            for n in numbers
        ]

    @property
    def halts(self) -> list[Halt]:
        """What stands still."""
        return [
            halt
            for worker in self._workers.values()
            for table in worker.app.held_tables
            for halt in table.lanes.halts
        ]

    def release_partition(self, halt: Halt, reason: str, *, leave_aside: bool = False) -> None:
        """Let go on what stands still, as an operator does, with or without the record."""
        offset = halt.offset if leave_aside else None
        data = PartitionReleasedData(halt.table, halt.partition, reason, halt.topic, offset)
        number = len(self.log.all_of(SOURCE_RELEASES))
        event = PartitionReleased(
            id=f"release-{number}", time=self.now, source="/operators/chen", data=data
        )
        self.send(msgspec.json.encode(event), SOURCE_RELEASES, partition=halt.partition)
        self._run(self._until_it_went_on_or_stands_again())

    def release(self, source: str) -> None:
        """Release a parked source, as an operator does."""
        number = len(self.log.all_of(SOURCE_RELEASES))
        event = released(source, f"release-{number}", self.now, "/operators/chen")
        self.send(msgspec.json.encode(event), SOURCE_RELEASES, key=source)

    def write_again(self, record: Record) -> None:
        """Append a record as it lay in another log, at its instant, for a worker to come."""
        assert not self.running, "it is for one to come"
        self.advance(to=max(self.now, instant(record.timestamp)))
        place = TopicPartition(record.topic, record.partition)
        self.log.append(place, record.key, record.value, record.headers)

    def redeliver(self, topic: str | None = None, since: int = 0) -> None:
        """Bring again what lies at offset `since` or after, of `topic` or of all topics, as after
        a rebalance before which no offset was committed."""
        for place in self._committed:
            if topic in (None, place.topic):
                self._committed[place] = min(since, self._committed[place])
        self._run(self._read_backlog())

    # Time

    def advance(self, *, to: datetime | None = None, by: timedelta | None = None) -> None:
        """Move the clock on, and tell what falls due on the way. Raise `ValueError` for back."""
        to = self.now + (by or timedelta()) if to is None else to
        if to < self.now:
            raise ValueError(f"the clock is at {self.now}, and does not go back to {to}")
        if self.running and self._workers:
            self._run(self._look_until(to))
        self.now = to

    async def _look_until(self, to: datetime) -> None:
        until, before = microseconds(to), -1
        while (due := self._due_at(until)) is not None:
            assert due > before, "what was told is due no more"
            before = due
            at = EPOCH + timedelta(microseconds=due)
            self.now = max(self.now, at.astimezone(self.now.tzinfo))  # it may have been away then
            for worker in self._workers.values():
                await worker.look()
        self.now = to
        for worker in self._workers.values():
            await worker.look()

    def _due_at(self, until: int) -> int | None:
        instants = (worker.due_at(until) for worker in self._workers.values())
        return min((due for due in instants if due is not None), default=None)

    # Processes

    def stop(self) -> None:
        """End the worker: from now on records wait, and nobody looks at the time."""
        self.running = False
        if self._workers:
            self._run(self._end())

    def start(self) -> None:
        """Begin a worker on what the one before left."""
        assert not self.running, "one at a time"
        self.running = True
        self._run(self._begin())

    def restart(self) -> None:
        """Stop, and start."""
        self.stop()
        self.start()

    def lose_store(self) -> None:
        """Restart with an empty disk."""
        self.stop()
        rmtree(self._directory / "tables", ignore_errors=True)
        self.start()

    # What comes out

    def outputs(self, topic: str) -> list[Any]:
        """Return what was told on `topic` since this was asked last, in order.

        `HealthCode`s of health-codes, `StatusChange`s of status-changes, `Letter`s of dead-letters
        and parked.
        """
        told = self.records(topic)
        new = told[self._told.get(topic, 0) :]
        self._told[topic] = len(told)
        return [_read(record) for record in new]

    def records(self, topic: str) -> list[Record]:
        """Return all records of any topic, inputs and changelogs too, in order of arrival."""
        return self.log.all_of(topic)

    def inputs(self) -> list[Record]:
        """Return all records of the inputs, in order of arrival: what sources sent, and what came
        back to them. What went round by openings is left out."""
        names = [topic.name for topic in input_topics() if topic.name != OPENINGS]
        records = [record for name in names for record in self.records(name)]
        return sorted(records, key=lambda record: record.timestamp)

    def code(self, person: str = PERSON, at: datetime | None = None) -> HealthCode:
        """Return the newest code told of a person; colour and reasons as they are read at `at`."""
        codes = [r.value for r in self.records(HEALTH_CODES) if r.key == person.encode()]
        assert codes, f"no code was told of {person}"
        code = msgspec.json.decode(codes[-1] or b"", type=HealthCode)
        if at is None:
            return code
        status = judge(code, at).status
        return replace(code, colour=status.colour, reasons=status.reasons)

    def changes(self, person: str = PERSON) -> list[StatusChange]:
        """Return every change told of a person, in order."""
        told = self.records(STATUS_CHANGES)
        return [_read(record) for record in told if record.key == person.encode()]

    def row(self, person: str = PERSON) -> Person | None:
        """Return a person's row in the store, None if nothing is known of them."""
        row = self._store_of("people", person).get(person.encode())
        return None if row is None else decode_row(row[DUE.size :])

    def listing(self, name: ListName, person: str = PERSON) -> Listing | None:
        """Return a person's list in the store, None if it was never written."""
        row = self._store_of("lists", person).get(f"{person}:{name}".encode())
        return None if row is None else _listings.decode(row[DUE.size :])

    def tally(self, topic: str, partition: int = HERE) -> Tally:
        """Return what a topic partition counts of its sources, as the changelog has it."""
        rows = self.rows(str(CATALOGUE.topics[topic].folds_into), partition)
        row = rows.get(TALLY + topic.encode())
        return Tally() if row is None else _tallies.decode(row[DUE.size :])

    def rows(self, table: str, partition: int = HERE) -> dict[bytes, bytes]:
        """Return a partition of a table as its changelog has it, unless told otherwise `PERSON`'s:
        rows, each with its due instant before it, and tallies. The places in the inputs, and their
        ids, are left out."""
        place = TopicPartition(changelog_of(table), partition)
        return {
            key: value
            for _, record in self.log.read(place)
            if (key := record.key) is not None
            and (value := record.value) is not None
            and not key.startswith((APPLIED, TOPIC_ID))
        }

    def store(self, table: str, partition: int) -> Store:
        """Return the open store of a partition of a table."""
        return self.table(table).held[partition].store

    def table(self, name: str) -> Table:
        """Return a table of the worker that runs."""
        [table] = [
            table
            for worker in self._workers.values()
            for table in worker.app.held_tables
            if table.settings.name == name
        ]
        return table

    def _store_of(self, table: str, person: str) -> Store:
        return self.store(table, partition_of(person.encode(), CATALOGUE.partitions))

    def committed(self, topic: str, partition: int) -> int:
        """Return the offset that the group has committed: that of the record to come next."""
        return self._committed.get(TopicPartition(topic, partition), 0)

    # How it runs

    def _run(self, work: Any) -> None:
        """Run to the end with the driver's log and clock; what is raised ends the worker."""
        with self.log.installed(), clock(lambda: self.now):
            try:
                self._loop.run_until_complete(work)
            except BaseException:
                self.running = False
                self._loop.run_until_complete(self._end())
                raise

    async def _end(self) -> None:
        workers, self._workers = self._workers, {}
        self._in_hand.clear()
        for worker in workers.values():
            await worker.end()

    async def _begin(self) -> None:
        for kind, numbers in self._held.items():
            await self._take(kind, numbers)
        await self._read_backlog()
        await self._look_until(self.now)

    async def _take(self, kind: str, numbers: set[int]) -> Worker:
        """Return the worker of this kind, which holds at least these partitions."""
        if (worker := self._workers.get(kind)) is None:
            worker = self._workers[kind] = Worker(MAKERS[kind], self._settings)
        if not numbers <= worker.numbers:
            await worker.take(numbers)
        self._held[kind] = set(worker.numbers)
        return worker

    async def _process(self, chunks: Sequence[list[Record]]) -> None:
        for chunk in chunks:
            place = _place(chunk[0])
            for kind in _kinds_of(CATALOGUE.topics[place.topic]):
                worker = await self._take(kind, {place.partition})
                for begin in range(0, len(chunk), CHUNK_RECORDS_MAX):
                    part = chunk[begin : begin + CHUNK_RECORDS_MAX]
                    acked = await worker.process(place.topic, place.partition, part)
                    self._in_hand[place] = acked, part[-1].offset + 1
                    if not acked.done():
                        return
            self._note_acked()

    async def _until_it_went_on_or_stands_again(self) -> None:
        async with asyncio.timeout(ACK_SECONDS_MAX):
            while not all(acked.done() for acked, _ in self._in_hand.values()) and not self.halts:
                await asyncio.sleep(0.001)
        await self._read_backlog()

    def _note_acked(self) -> None:
        for place, (acked, offset) in list(self._in_hand.items()):
            if acked.done():
                self._committed[place] = offset
                del self._in_hand[place]

    async def _process_with_what_follows(self, chunks: Sequence[list[Record]]) -> None:
        await self._process(chunks)
        await self._read_backlog()  # what was forwarded

    async def _read_backlog(self) -> None:
        """Process what is not committed, in order of arrival: a chunk of each stretch that lies in
        one topic partition. What is forwarded meanwhile comes after it."""
        while waiting := self._backlog():
            in_order = (record for _, record in waiting)
            await self._process([list(stretch) for _, stretch in groupby(in_order, _place)])

    def _backlog(self) -> list[tuple[int, Record]]:
        self._note_acked()
        waiting = [
            each
            for name in self.log.topics() & CATALOGUE.topics.keys()
            if CATALOGUE.topics[name].folds_into is not None
            for number in range(CATALOGUE.partitions)
            if TopicPartition(name, number) not in self._in_hand
            for each in self.log.read(TopicPartition(name, number), self.committed(name, number))
        ]
        return sorted(waiting, key=lambda each: each[0])


def made(
    what: Event | records.Record | bytes | None,
    topic: str | None = None,
    *,
    key: str | bytes | None = None,
    headers: Sequence[tuple[str, bytes]] | None = None,
    author: str | None = "",
) -> records.Record:
    """Return the record of an event, or of bytes for `topic`, with another key or headers, and the
    MAC of an author."""
    if isinstance(what, records.Record):
        record = what
    elif isinstance(what, bytes | None):
        assert topic is not None, "bytes do not say to which topic"
        record = records.Record(topic, None, what, ())
    else:
        record = records.structured(what)
    if topic is not None:
        record = replace(record, topic=topic)
    if key is not None:
        record = replace(record, key=key.encode() if isinstance(key, str) else key)
    if headers is not None:
        record = replace(record, headers=tuple(headers))
    return record if author is None else signed(record, author)


def _place(record: Record) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)


def _kinds_of(topic: Topic) -> list[str]:
    """Return the workers that read a topic."""
    if topic.folds_into == EVERY_TABLE:
        return list(MAKERS)
    return [OTHERS.get(str(topic.folds_into), "worker")]


def _read(record: Record) -> Any:
    """Return an output as tests want to see it."""
    value = record.value or b""
    match record.topic:
        case topic if topic == HEALTH_CODES:
            return msgspec.json.decode(value, type=HealthCode)
        case topic if topic == STATUS_CHANGES:
            return msgspec.json.decode(value, type=StatusChanged).data
        case topic if topic in (DEAD_LETTERS, PARKED):
            said = {name: raw.decode() for name, raw in record.headers if name.startswith("yk_")}
            within = letters.opened(letters.letter_in(record), bytes(DEAD_LETTER_KEY))
            return Letter(record, said, within)
    return record
