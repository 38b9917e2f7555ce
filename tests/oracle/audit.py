"""What the workers and the projection have left, against a replay of what they were given.

Shares no code with agents or engine but the layout of a changelog record. app.topics.codec is asked
what is refused, and app.projection.codes how a code lies in Redis. A fault there shows in neither
replay, and is for tests/unit and tests/integration to find. Two replays through `models/`:

- the exact one goes along the changelog, transaction by transaction. Each tells, by the places it
  writes, which input it stands for; so what row, code, changes and dead letters must follow from
  it, and from all before it, is known to the last field. Each is compared, each once.
- the free one folds the input in its order of arrival, as if nothing had ever failed. It must end
  in the same facts and the same code.

An `Audit` is kept from round to round, and reads only what is new.
"""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import rocksdict
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.engine.store import AGENDA, APPLIED, DUE, LOG_ID, META, STORED
from app.process.consumer import LogRecord
from app.projection.changes import public
from app.projection.codes import CHANGES, CHANGES_KEPT, CODE, COUNTS, stored
from app.projection.freshness import PEOPLE
from app.projection.state import read_state
from app.projection.trends import MINUTE
from app.topics.catalogue import CATALOGUE, EVERY_TABLE
from app.topics.codec import Code, Refusal, decode, source_in
from models.codes import NO_CODE, Colour, HealthCode, Status, StatusChanged, changed
from models.facts import Fact
from models.notices import Notice
from models.person import Person, advance, fold, unknown, whole
from models.rows import decode_page, decode_row, page_key
from models.sources import SourceReleased, Tally
from oracle.replay import arrival, meaning
from support.held import Held, is_page

Input = tuple[str, int]

NUMBERS = range(CATALOGUE.partitions)
INPUTS = {topic.name: topic for topic in CATALOGUE.topics.values() if topic.folds_into}
CHANGELOGS = {"people": "yuekang-people-changelog", "scans": "yuekang-scans-changelog"}
ASIDE = ("dead-letters", "parked")
OUTPUTS = ("health-codes", "status-changes", *ASIDE)
TALLY = META + b"tally:"
FORWARDED_FROM = "yk_forwarded_from"
TOLD_PER_CHECK = 5

_decode_tally = msgspec.msgpack.Decoder(Tally).decode
_decode_code = msgspec.json.Decoder(HealthCode).decode
_decode_change = msgspec.json.Decoder(StatusChanged).decode
_encode_public = msgspec.json.Encoder().encode


class Transaction(NamedTuple):
    """Consecutive records of a changelog: markers take offsets, so a gap parts transactions."""

    table: str
    number: int
    records: list[LogRecord]


class Letter(NamedTuple):
    """What a dead letter, or a parked record, is told by."""

    topic: str
    place: tuple[str, int, int] | None
    reason: str
    refused: bool
    event: tuple[str, str] | None


class Differences:
    """What was found wrong, by the check that found it; of each the first few in words."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = defaultdict(list)

    def add(self, check: str, what: str) -> None:
        """Note one difference."""
        self.counts[check] += 1
        if len(self.examples[check]) < TOLD_PER_CHECK:
            self.examples[check].append(what)

    def take(self, other: "Differences") -> None:
        """Add those of another."""
        self.counts += other.counts
        for check, found in other.examples.items():
            self.examples[check] += found

    def __bool__(self) -> bool:
        return bool(self.counts)


class Audit:
    """Reads everything that is committed, and holds it against the replays."""

    def __init__(self, bootstrap: str, redis_url: str) -> None:
        self._bootstrap = bootstrap
        self._redis: Redis = Redis.from_url(redis_url, socket_timeout=10)
        self._consumer: AIOKafkaConsumer[bytes, bytes] | None = None
        self._positions = {
            TopicPartition(name, number): 0
            for name in (*INPUTS, *CHANGELOGS.values(), *OUTPUTS)
            for number in NUMBERS
        }
        self._read: dict[tuple[str, int], deque[LogRecord]] = defaultdict(deque)
        self._queued: dict[tuple[str, str, int], deque[LogRecord]] = defaultdict(deque)
        self._arrived: list[LogRecord] = []
        self.found = Differences()
        self.last: dict[Input, int] = {}
        """The last offset of each input partition that holds a record."""
        self.places: dict[tuple[str, str, int], int] = {}
        self._tallies: dict[tuple[str, int], Tally] = defaultdict(Tally)
        self._parked: set[tuple[str, int, int]] = set()
        self.rows: dict[int, dict[bytes, bytes]] = {number: {} for number in NUMBERS}
        """The changelog's newest rows, as they are stored."""
        self.meta: dict[tuple[str, int], dict[bytes, bytes]] = defaultdict(dict)
        self.changelog_last: dict[tuple[str, int], int] = {}
        self._free: dict[bytes, Held] = {}
        self._turned: dict[bytes, tuple[Fact, ...]] = {}
        self.pages = 0
        self._touched: set[bytes] = set()
        self._codes: dict[bytes, bytes] = {}
        self._codes_touched: set[bytes] = set()
        self._codes_changing: set[bytes] = set()
        self._changes: Counter[bytes] = Counter()
        self._changes_count = 0
        self._minutes: Counter[tuple[int, str]] = Counter()
        self._status: dict[bytes, tuple[Status, int]] = {}
        self._expected: dict[str, dict[bytes, deque[Any]]] = {
            topic: defaultdict(deque) for topic in ("health-codes", "status-changes")
        }
        self._actual: dict[str, dict[bytes, deque[Any]]] = {
            topic: defaultdict(deque) for topic in ("health-codes", "status-changes")
        }
        self._letters_expected: Counter[Letter] = Counter()
        self._letters_found: Counter[Letter] = Counter()
        self._letter_bytes: list[tuple[tuple[str, int, int], bytes]] = []
        self._inputs_by_place: dict[tuple[str, int, int], bytes | None] = {}
        self.records = 0
        self.told = 0
        self.letters = 0
        self.by_time = 0
        """Transactions that time brought about."""

    async def close(self) -> None:
        """Let go of Kafka and Redis."""
        await self._drop()
        await self._redis.aclose()

    async def _drop(self) -> None:
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await consumer.stop()

    # Reading

    async def read(self) -> None:
        """Read what was committed until now; raise `KafkaError` where that cannot be had."""
        try:
            await self._read_on()
        except (KafkaError, OSError, TimeoutError):
            await self._drop()
            raise
        self._replay()

    async def _read_on(self) -> None:
        if self._consumer is None:
            self._consumer = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap,
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="none",
                fetch_max_wait_ms=100,
                max_partition_fetch_bytes=4 * 1024 * 1024,
            )
            await self._consumer.start()
            self._consumer.assign(list(self._positions))
            for tp, position in self._positions.items():
                self._consumer.seek(tp, position)
        consumer = self._consumer
        async with asyncio.timeout(30):
            ends = await consumer.end_offsets(list(self._positions))
            while any(self._positions[tp] < end for tp, end in ends.items()):
                fetched = await consumer.getmany(timeout_ms=100)
                for tp, records in fetched.items():
                    self._take(tp, records)
                for tp in self._positions:
                    self._positions[tp] = await consumer.position(tp)

    def _take(self, tp: TopicPartition, records: Sequence[LogRecord]) -> None:
        if tp.topic in INPUTS:
            for table in _tables(tp.topic):
                self._queued[table, tp.topic, tp.partition].extend(records)
            self._arrived.extend(records)
            self.last[tp.topic, tp.partition] = records[-1].offset
            self.records += len(records)
            for record in records:
                self._inputs_by_place[tp.topic, tp.partition, record.offset] = record.value
                mark = dict(record.headers).get(FORWARDED_FROM)
                if mark is not None and not _misplaced(record):
                    topic, number, offset = mark.decode().split("/")
                    self._letters_found[_forwarded((topic, int(number), int(offset)))] += 1
        elif tp.topic in ASIDE:
            for record in records:
                self._take_letter(record)
        elif tp.topic in OUTPUTS:
            for record in records:
                self._take_told(tp, record)
        else:
            self._read[tp.topic, tp.partition].extend(records)

    def _take_letter(self, record: LogRecord) -> None:
        self.letters += 1
        said = {name: raw.decode() for name, raw in record.headers if name.startswith("yk_")}
        place = None
        if "yk_topic" in said:
            place = said["yk_topic"], int(said["yk_partition"]), int(said["yk_offset"])
        raw, event = record.value or b"", None
        by_fold = said["yk_reason"] not in {*Code, "parked"}
        if by_fold:
            told = msgspec.json.decode(raw)
            event = told["source"], told["id"]
        refused = said["yk_refused"] == "true"
        as_it_came = refused or record.topic == "parked"
        if as_it_came and not by_fold and not {"yk_sealed", "yk_bytes"} & said.keys() and place:
            self._letter_bytes.append((place, raw))
        letter = Letter(record.topic, place, said["yk_reason"], refused, event)
        self._letters_found[letter] += 1

    def _take_told(self, tp: TopicPartition, record: LogRecord) -> None:
        key, value = record.key, record.value or b""
        assert key is not None
        if tp.topic == "health-codes":
            self._actual[tp.topic][key].append(_decode_code(value))
            self._codes[key] = stored(value, tp.partition)
            self._codes_changing.add(key)
            return
        self.told += 1
        change = _decode_change(value)
        self._actual[tp.topic][key].append(change)
        self._follows(key, change)
        told = public(change.data)
        self._changes[_encode_public(told)] += 1
        self._changes_count += 1
        turned = told.after.colour if told.after.colour != told.before.colour else "same"
        self._minutes[int(told.at.timestamp() // 60), str(turned)] += 1

    def _follows(self, key: bytes, change: StatusChanged) -> None:
        """Check that a told change goes on from the one told before."""
        status, version = self._status.get(key, (NO_CODE, 0))
        data = change.data
        if data.before != status or data.previous_version != version:
            self.found.add(
                "chain", f"{key!r}: {data.version} follows {data.previous_version}, not {version}"
            )
        elif data.after == data.before:
            self.found.add("chain", f"{key!r}: {data.version} tells no change")
        self._status[key] = data.after, data.version

    # The exact replay

    def _replay(self) -> None:
        for table, changelog in CHANGELOGS.items():
            for number in NUMBERS:
                for transaction in self._transactions(table, changelog, number):
                    self._apply(transaction)

    def _transactions(self, table: str, changelog: str, number: int) -> Iterator[Transaction]:
        """Yield the transactions that were read whole, and whose input was read."""
        queue = self._read[changelog, number]
        position = self._positions[TopicPartition(changelog, number)]
        while queue:
            records = [queue[0]]
            for record in islice(queue, 1, None):
                if record.offset != records[-1].offset + 1:
                    break
                records.append(record)
            if len(records) == len(queue) and position <= records[-1].offset + 1:
                return  # its end is not read yet
            transaction = Transaction(table, number, records)
            if any(
                offset > self.last.get((topic, number), -1)
                for topic, offset in _places(transaction)
            ):
                return  # its input is not read yet
            for _ in records:
                queue.popleft()
            yield transaction

    def _apply(self, transaction: Transaction) -> None:
        number = transaction.number
        rows = {r.key: r.value for r in transaction.records if not (r.key or b"").startswith(META)}
        places = list(_places(transaction))
        pages = {key: rows.pop(key) for key in list(rows) if is_page(key or b"")}
        work: dict[bytes, Person] = {}
        before: dict[bytes, Person | None] = {}
        self._turned = {}
        if places:
            for topic, reached in places:
                for record in self._input_until(transaction.table, topic, number, reached):
                    self._fold(transaction.table, record, work, before)
        else:
            self.by_time += 1
            for key, value in rows.items():
                self._advance(number, key or b"", value, work, before)
        self._compare_pages(number, pages)
        for key, row in rows.items():
            self._compare(number, key or b"", row, work.pop(key or b"", None), before)
        for key, person in work.items():
            if person != before[key]:
                self.found.add("rows", f"{key!r}: a change that is not in its transaction")
        for record in transaction.records:
            if (record.key or b"").startswith(META):
                self._take_meta(transaction.table, number, record.key or b"", record.value)
        self._compare_tallies(transaction.table, number)
        self.changelog_last[transaction.table, number] = transaction.records[-1].offset

    def _compare_pages(self, number: int, pages: Mapping[bytes | None, bytes | None]) -> None:
        """Compare the pages of histories in a transaction with the replay's."""
        for key in pages.keys() | self._turned.keys():
            value = pages.get(key) or b""
            found = decode_page(value[DUE.size :]) if value else None
            if found != self._turned.get(key or b""):
                self.found.add("pages", f"{key!r}: not what left the row")
            self.rows[number][key or b""] = value
            self.pages += 1
        self._turned = {}

    def _page(self, number: int, person: str, page: int) -> tuple[Fact, ...]:
        key = page_key(person, page)
        if key in self._turned:
            return self._turned[key]
        return decode_page(self.rows[number][key][DUE.size :])

    def _take_meta(self, table: str, number: int, key: bytes, value: bytes | None) -> None:
        if value is None:
            self.meta[table, number].pop(key, None)
        else:
            self.meta[table, number][key] = value

    def _compare_tallies(self, table: str, number: int) -> None:
        """Compare what is counted of sources with the replay's."""
        for topic in INPUTS:
            if table in _tables(topic):
                tally = self._tallies[topic, number]
                raw = self.meta[table, number].get(TALLY + topic.encode())
                found = Tally() if raw is None else _decode_tally(raw[DUE.size :])
                if found != tally and topic != "source-releases":
                    self.found.add("tallies", f"{topic}[{number}]: {found}, not {tally}")
                    self._tallies[topic, number] = found

    def _input_until(
        self, table: str, topic: str, number: int, reached: int
    ) -> Iterator[LogRecord]:
        before = self.places.get((table, topic, number), -1)
        if reached <= before:
            self.found.add("places", f"{topic}[{number}]: from {before} back to {reached}")
            return
        self.places[table, topic, number] = reached
        queue = self._queued[table, topic, number]
        while queue and queue[0].offset <= reached:
            yield queue.popleft()

    def _fold(
        self,
        table: str,
        record: LogRecord,
        work: dict[bytes, Person],
        before: dict[bytes, Person | None],
    ) -> None:
        if record.topic == "source-releases":
            self._release(table, record)
            return
        place = record.topic, record.partition, record.offset
        event, refusal = _decoded(record)
        if not self._goes_on(record, place, event, refusal) or record.topic == "scans":
            return
        key, arrived_at = event.partitionkey.encode(), arrival(record)
        row = self._row(record.partition, key, work, before)
        outcome = fold(
            row or unknown(event.partitionkey, arrived_at),
            event,
            arrived_at,
            partial(self._page, record.partition, event.partitionkey),
        )
        for page, facts in outcome.pages.items():
            self._turned[page_key(event.partitionkey, page)] = facts
        self._expect_letters(outcome.notices, place)
        self._expected["status-changes"][key].extend(changed(c) for c in outcome.changes)
        told = outcome.changes or outcome.notices
        if row is None or told or outcome.person.facts != row.facts:
            work[key] = outcome.person  # else it came twice, and what nobody was told may stay

    def _goes_on(
        self, record: LogRecord, place: tuple[str, int, int], event: Any, refusal: Refusal | None
    ) -> bool:
        """Count a record of its source; say whether it is neither refused nor put aside, nor lies
        where it does not belong."""
        if refusal is None:
            source = event.source
        else:
            source = refusal.source or source_in(record.value, record.headers)
        tally = self._tallies[record.topic, record.partition]
        parked = source in tally.parked
        if refusal is not None or parked:
            reason = "parked" if refusal is None else str(refusal.code)
            topic = "parked" if parked else "dead-letters"
            letter = Letter(topic, place, reason, refusal is not None, None)
            self._letters_expected[letter] += 1
            self._parked.add(place)
        tally.add(source, refusal is not None, record.offset)
        if refusal is not None or parked:
            return False
        if _misplaced(record):
            told = Letter("dead-letters", place, str(Code.WRONG_PARTITION), False, None)
            self._letters_expected.update([told, _forwarded(place)])
            self._parked.add(place)
            return False
        return True

    def _release(self, table: str, record: LogRecord) -> None:
        source = msgspec.json.decode(record.value or b"", type=SourceReleased).data.source
        for topic in INPUTS:
            if _tables(topic) == (table,):
                self._tallies[topic, record.partition].release(source)

    def _advance(
        self,
        number: int,
        key: bytes,
        value: bytes | None,
        work: dict[bytes, Person],
        before: dict[bytes, Person | None],
    ) -> None:
        row = self._row(number, key, work, before)
        if row is None or value is None:
            self.found.add("rows", f"{key!r}: time changed a row that is not there")
            return
        outcome = advance(row, decode_row(value[DUE.size :]).judged_at)
        self._expect_letters(outcome.notices, None)
        self._expected["status-changes"][key].extend(changed(c) for c in outcome.changes)
        work[key] = outcome.person

    def _row(
        self,
        number: int,
        key: bytes,
        work: dict[bytes, Person],
        before: dict[bytes, Person | None],
    ) -> Person | None:
        if key in work:
            return work[key]
        if key not in before:
            raw = self.rows[number].get(key)
            before[key] = None if raw is None else decode_row(raw[DUE.size :])
        return before[key]

    def _expect_letters(
        self, notices: Iterable[Notice], place: tuple[str, int, int] | None
    ) -> None:
        for notice in notices:
            event = notice.event.source, notice.event.id
            letter = Letter("dead-letters", place, str(notice.objection), notice.refused, event)
            self._letters_expected[letter] += 1

    def _compare(
        self,
        number: int,
        key: bytes,
        value: bytes | None,
        expected: Person | None,
        before: Mapping[bytes, Person | None],
    ) -> None:
        """Compare a row of the changelog with the replay's, and go on from the changelog's."""
        self._touched.add(key)
        if value is None:
            self.found.add("rows", f"{key!r}: deleted")
            self.rows[number].pop(key, None)
            return
        [due] = DUE.unpack_from(value)
        row = decode_row(value[DUE.size :])
        if expected is None:
            self.found.add("rows", f"{key!r}: written without a cause")
        elif row != expected:
            self.found.add("rows", f"{key!r}: {_unlike(row, expected)}")
        if due != _microseconds(row.due_at):
            self.found.add("due", f"{key!r}: due at {due}, not {_microseconds(row.due_at)}")
        old = before.get(key)
        if row.code.version != (old.code.version if old else 0):
            self._expected["health-codes"][key].append(row.code)
        self.rows[number][key] = value

    # What must be, once all is applied

    def unapplied(self) -> int:
        """Return how many input records no transaction stands for yet, in each table they go to."""
        return sum(len(queue) for queue in self._queued.values())

    def due(self, until: datetime) -> int:
        """Return how many rows are due at `until` and not judged since."""
        at = _microseconds(until)
        return sum(
            0 < DUE.unpack_from(row)[0] <= at
            for rows in self.rows.values()
            for row in rows.values()
        )

    async def uncommitted(self) -> list[str]:
        """Name the input partitions whose end the group has not committed."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(PEOPLE.name)
        finally:
            await admin.close()
        return [
            f"{topic}[{number}]: {at} of {last + 1}"
            for (topic, number), last in sorted(self.last.items())
            if (
                at := offsets[tp].offset if (tp := TopicPartition(topic, number)) in offsets else -1
            )
            < last + 1
        ]

    def compare(self, poison: Mapping[tuple[str, int, int], str]) -> None:
        """Compare all that was told since the last time with the replays.

        `poison` is what whoever sent it knows to be refused, and why.
        """
        for topic, expected in self._expected.items():
            actual = self._actual[topic]
            for key in expected.keys() | actual.keys():
                if (due := list(expected[key])) != (was := list(actual[key])):
                    self.found.add(topic, f"{key!r}: {_sequence(due)}, not {_sequence(was)}")
            expected.clear()
            actual.clear()
        for letter, count in (self._letters_expected - self._letters_found).items():
            self.found.add("dead-letters", f"{letter}: missing, {count}")
        for letter, count in (self._letters_found - self._letters_expected).items():
            self.found.add("dead-letters", f"{letter}: {count} too many")
        reasons = {letter.place: letter.reason for letter in self._letters_found if letter.refused}
        for place, code in poison.items():
            if reasons.get(place) != code:
                self.found.add("dead-letters", f"{place}: {reasons.get(place)}, sent as {code}")
        for place, raw in self._letter_bytes:
            if raw != (self._inputs_by_place.get(place) or b""):
                self.found.add("dead-letters", f"{place}: not the bytes that were refused")
        for (changelog, number), queue in self._read.items():
            if queue:
                self.found.add("places", f"{changelog}[{number}]: {len(queue)} records unaccounted")
        self._letters_expected.clear()
        self._letters_found.clear()
        self._letter_bytes.clear()
        self._inputs_by_place.clear()
        self._codes_touched, self._codes_changing = self._codes_changing, set()
        self._compare_free()

    def quiet(self) -> bool:
        """Say whether what was told is all that must be; a moment ago it may not have been."""
        return (
            all(self._expected[topic] == self._actual[topic] for topic in self._expected)
            and self._letters_expected == self._letters_found
        )

    def _compare_free(self) -> None:
        """Fold what arrived in its order of arrival, and compare where it ends."""
        for record in sorted(self._arrived, key=lambda r: (r.timestamp, r.topic, r.offset)):
            place = record.topic, record.partition, record.offset
            if record.topic in ("scans", "source-releases") or place in self._parked:
                continue
            event, refusal = _decoded(record)
            if refusal is not None:
                continue
            key, arrived_at = event.partitionkey.encode(), arrival(record)
            free = self._free.setdefault(key, Held(event.partitionkey, arrived_at))
            free.fold(event, arrived_at)
            self._touched.add(key)
        self._arrived = []
        self._parked = set()
        for key in self._touched:
            self._compare_end(key)
        self._touched = set()

    def _compare_end(self, key: bytes) -> None:
        number = next((number for number, rows in self.rows.items() if key in rows), None)
        if number is None or key not in self._free:
            self.found.add("replay", f"{key!r}: {'missing' if number is None else 'invented'}")
            return
        row, free = decode_row(self.rows[number][key][DUE.size :]), self._free[key].row
        held = whole(row, partial(self._page, number, row.code.person))
        to = max(row.judged_at, free.judged_at)
        one, other = advance(row, to).person, advance(free, to).person
        if held.events != self._free[key].whole().events:
            self.found.add("replay", f"{key!r}: the facts differ")
        elif meaning(one.code) != meaning(other.code):
            self.found.add("replay", f"{key!r}: the code differs")
        status, version = self._status.get(key, (NO_CODE, 0))
        if (row.code.colour, row.code.reasons, row.code.told_version) != (*_of(status), version):
            self.found.add("chain", f"{key!r}: the last change told is not what the row says")

    async def compare_fresh(self) -> None:
        """Compare the newest rows with what a reader finds who begins at the changelog's start."""
        fresh: dict[int, dict[bytes, bytes]] = {number: {} for number in NUMBERS}
        consumer: AIOKafkaConsumer[bytes, bytes] = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            isolation_level="read_committed",
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(CHANGELOGS["people"], number) for number in NUMBERS]
            consumer.assign(partitions)
            await consumer.seek_to_beginning()
            while any([await consumer.position(tp) < self._positions[tp] for tp in partitions]):
                for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                    for record in records:
                        if record.offset < self._positions[tp]:
                            assert record.key is not None
                            fresh[tp.partition][record.key] = record.value or b""
        finally:
            await consumer.stop()
        for number in NUMBERS:
            kept = {**self.rows[number], **self.meta["people", number]}
            self._compare_rows("changelog", f"people[{number}]", kept, fresh[number])

    def _compare_rows(
        self, check: str, where: str, expected: Mapping[bytes, bytes], found: Mapping[bytes, bytes]
    ) -> None:
        for key in expected.keys() | found.keys():
            if expected.get(key) != found.get(key):
                self.found.add(check, f"{where}: {key!r} {_presence(key, expected, found)}")

    # Stores

    def compare_store(self, directory: Path, table: str, number: int) -> None:
        """Compare a store, which its worker may hold open, with the changelog's newest rows."""
        found = _store(directory / table / str(number))
        if found is None:
            return  # its worker ends when it comes to that block, and begins with an empty one
        at = int(found.pop(STORED, b"-1"))
        found.pop(LOG_ID, None)
        last = self.changelog_last.get((table, number), -1)
        if at != last:
            self.found.add("store", f"{table}[{number}]: holds offset {at}, the log {last}")
        rows = self.rows[number] if table == "people" else {}
        kept = {**rows, **self.meta[table, number]}
        agenda = {key for key in found if key.startswith(AGENDA)}
        for key, row in rows.items():
            due = row[: DUE.size]
            if any(due) and AGENDA + due + key not in agenda:
                self.found.add("store", f"{table}[{number}]: {key!r} is not on the agenda")
        found = {key: row for key, row in found.items() if key not in agenda}
        self._compare_rows("store", f"{table}[{number}]", kept, found)

    # Redis

    async def redis_behind(self) -> str:
        """Say what of the log Redis has not got yet; nothing if it has all."""
        try:
            state = await read_state(self._redis)
        except (RedisError, OSError) as error:
            return f"Redis: {error}"
        if state is None or not state.built:
            return "there is no read model yet"
        for topic, positions in state.positions.items():
            for number, position in enumerate(positions):
                end = self._positions[TopicPartition(topic, number)]
                if position.offset < end:
                    return f"{topic}[{number}]: {position.offset} of {end}"
        return ""

    async def compare_redis(self, whole: bool) -> None:
        """Compare the read model: codes (`whole`: of all people, else of those whose code
        changed since the `compare` before the last), counts, changes, minutes."""
        keys = list(self._codes) if whole else list(self._codes_touched | self._codes_changing)
        for begin in range(0, len(keys), 500):
            part = keys[begin : begin + 500]
            values: Any = await self._redis.mget([CODE + k.decode() for k in part])
            for key, value in zip(part, values, strict=True):
                if value != self._codes[key]:
                    self.found.add("redis codes", f"{key!r}: {_heads(value, self._codes[key])}")
        if whole:
            there = 0
            async for _ in self._redis.scan_iter(match=f"{CODE}*", count=2_000):
                there += 1
            if there != len(self._codes):
                self.found.add("redis codes", f"{there} codes, not {len(self._codes)}")
        counted: Any = await self._redis.hgetall(COUNTS)
        counts = {k.decode(): int(n) for k, n in counted.items()}
        if counts != self._counts():
            self.found.add("redis counts", f"{counts}, not {self._counts()}")
        await self._compare_changes()

    async def _compare_changes(self) -> None:
        state = await read_state(self._redis)
        if state is None or state.changes != self._changes_count:
            number = None if state is None else state.changes
            self.found.add("redis changes", f"number {number}, not {self._changes_count}")
        entries: Any = await self._redis.xrange(CHANGES)
        numbers = [int(number.split(b"-")[0]) for number, _ in entries]
        kept = min(CHANGES_KEPT, self._changes_count)
        if numbers != list(range(self._changes_count - kept + 1, self._changes_count + 1)):
            self.found.add("redis changes", f"{len(numbers)} numbered otherwise than 1 to the end")
        there = Counter(fields[b"c"] for _, fields in entries)
        if there - self._changes or (kept == self._changes_count and there != self._changes):
            self.found.add("redis changes", "not the changes that were told")
        now = int(datetime.now(UTC).timestamp() // 60)
        turns = {"same", *(colour.value for colour in Colour)}
        for minute in range(now - 50, now + 1):
            expected = {field: n for (at, field), n in self._minutes.items() if at == minute}
            raw: Any = await self._redis.hgetall(f"{MINUTE}{minute}")
            # By colour alone; what trends_of adds to that, its unit tests look at.
            found = {k.decode(): int(n) for k, n in raw.items() if k.decode() in turns}
            if found != expected:
                self.found.add("redis minutes", f"{minute}: {found}, not {expected}")

    def _counts(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for code in self._codes.values():
            _, _, colour, reasons, city = code[: code.index(b"\n")].decode().split()
            counts[colour] += 1
            if city != "-":
                counts[f"city:{city}:{colour}"] += 1
            if colour == "red":
                counts.update(f"reason:{rank}" for rank in reasons if rank.isdigit())
        return dict(counts)


def _places(transaction: Transaction) -> Iterator[tuple[str, int]]:
    for record in transaction.records:
        if record.key is not None and record.key.startswith(APPLIED):
            yield record.key[len(APPLIED) :].decode(), int(record.value or b"")


def _tables(topic: str) -> tuple[str, ...]:
    """Return the tables that an input topic folds into."""
    into = INPUTS[topic].folds_into
    return tuple(CHANGELOGS) if into == EVERY_TABLE else (str(into),)


def _decoded(record: LogRecord) -> tuple[Any, Refusal | None]:
    """Return the event of a record, or why it is refused."""
    topic = INPUTS[record.topic]
    try:
        event = decode(record.value, record.key, record.headers, topic, arrival(record))
    except Refusal as refusal:
        return None, refusal
    if _misplaced(record) and FORWARDED_FROM in dict(record.headers):
        return None, Refusal(Code.WRONG_PARTITION, "")
    return event, None


def _misplaced(record: LogRecord) -> bool:
    """Say whether a record lies in another partition than its own; of a scan nobody asks."""
    right = (murmur2(record.key) & 0x7FFFFFFF) % INPUTS[record.topic].partitions
    return record.topic != "scans" and bool(right != record.partition)


def _forwarded(place: tuple[str, int, int]) -> Letter:
    """Return what stands among letters for the record that was forwarded from `place`."""
    return Letter(place[0], place, "forwarded", False, None)


def _microseconds(at: datetime | None) -> int:
    return 0 if at is None else (at - _EPOCH) // timedelta(microseconds=1)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _of(status: Status) -> tuple[Any, Any]:
    return status.colour, status.reasons


def _unlike(row: Person, expected: Person) -> str:
    return ", ".join(
        name
        for name, same in (
            ("facts", row.facts == expected.facts),
            (f"code v{row.code.version} not v{expected.code.version}", row.code == expected.code),
            (
                f"judged {row.judged_at} not {expected.judged_at}",
                row.judged_at == expected.judged_at,
            ),
        )
        if not same
    )


def _sequence(told: Sequence[Any]) -> str:
    return str([t.data.version if isinstance(t, StatusChanged) else t.version for t in told])


def _presence(key: bytes, expected: Mapping[bytes, bytes], found: Mapping[bytes, bytes]) -> str:
    if key not in found:
        return "is missing"
    return "differs" if key in expected else "is too many"


def _heads(value: bytes | None, expected: bytes) -> str:
    heads = [None if v is None else v.split(b"\n", 1)[0] for v in (value, expected)]
    return f"{heads[0]!r}, not {heads[1]!r}"


def _store(path: Path) -> dict[bytes, bytes] | None:
    """Read a store that another process may hold open; None where a block of it is damaged."""
    options = rocksdict.Options(raw_mode=True)
    store = rocksdict.Rdict(
        str(path), options=options, access_type=rocksdict.AccessType.read_only()
    )
    try:
        entries, found = store.iter(), dict[bytes, bytes]()
        entries.seek_to_first()
        while entries.valid():
            found[entries.key()] = entries.value()
            entries.next()
        try:
            entries.status()
        except Exception:  # rocksdict raises bare Exception
            return None
        return found
    finally:
        store.close()
