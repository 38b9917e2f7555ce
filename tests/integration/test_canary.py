"""A person whose number, name and phone go through every entrance, and lie nowhere afterwards.

What an agency writes to Kafka itself lies on submissions for a day, at places that are known here:
those records alone are left out. So are the file of people whom the development provider knows and
the messages of its carrier, which are there to hold such things. A name in a field of free text has
no form, and is found by nobody (decision 28): none is sent there.
"""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import rocksdict
from aiokafka import TopicPartition
from redis import Redis

from app.development.outbox import FOLDER
from app.development.provider.people import IDENTITIES_FILE
from app.development.secrets import process_secrets
from app.gateway.person_keys import PersonKeys
from app.process.consumer import Consumer
from app.process.settings import Settings
from app.topics.admin import partition_counts
from app.topics.authentic import SourceKeys
from app.topics.catalogue import SUBMISSIONS
from app.topics.records import Record
from app.topics.writer import Writer
from models.documents import Document
from models.events import DocumentType
from support.gateways import LABORATORY, TELECOM, event, result, visit
from support.up import Up

NUMBER, NAME, PHONE = "445221196802294175", "司马试纸", "13688812399"
CARD = {"type": "resident-identity-card", "number": NUMBER}
GUARD = "/terminals/440100-001"
SPELLINGS = (
    NUMBER,
    f"{NUMBER[:6]} {NUMBER[6:14]} {NUMBER[14:]}",
    "-".join(re.findall("..", NUMBER)),
    NUMBER.translate({ord(n): ord(n) + 0xFEE0 for n in "0123456789"}),
    NUMBER.translate({ord(n): ord(n) - ord("0") + 0x0660 for n in "0123456789"}),
    f"{NUMBER[:9]}​{NUMBER[9:]}",
    f"barcode{NUMBER}20220301",
    PHONE,
    f"+86 {PHONE[:3]} {PHONE[3:7]} {PHONE[7:]}",
)
"""Ways to write a number that a text of an event is refused for."""

FORMS = (NUMBER, NAME, PHONE, NUMBER[:17], *SPELLINGS, quote(NAME), json.dumps(NAME)[1:-1])
LOOKED_FOR = tuple(
    {form.encode() for form in FORMS}
    | {base64.b64encode(form.encode()).rstrip(b"=") for form in (NUMBER, NAME, PHONE)}
    | {NAME.encode("gb18030"), NAME.encode("utf-16-le")}
)


def hits(raw: bytes) -> list[bytes]:
    """What of the person stands in `raw`."""
    return [form for form in LOOKED_FOR if form in raw]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    stack = Up(tmp_path_factory.mktemp("up"))
    stack.start("--no-sample")
    yield stack
    if stack.process.poll() is None:
        stack.end()


@pytest.fixture(scope="module")
def person(up: Up) -> str:
    keys = process_secrets(up.data)["gateway"]
    made = PersonKeys(bytes.fromhex(keys["YUEKANG_PERSON_KEY_SECRET"]), 1)
    return made.key(Document(DocumentType.RESIDENT_IDENTITY_CARD, NUMBER))


class Canary:
    """Sends the person through every entrance, and counts what it sent."""

    def __init__(self, up: Up) -> None:
        self._up = up
        self._gateway, self._view = up.status["gateway"], up.view
        self.taken = self.refused = 0
        self.left: set[tuple[str, int, int]] = set()
        """The records that an agency wrote to Kafka itself."""

    async def log_in(self, http: httpx.AsyncClient) -> None:
        """Log in by the development provider, as somebody who types who they are."""
        asked = await http.get(f"{self._view}/login")
        typed = {"other": "1", "number": NUMBER, "name": NAME, "city": "440100"}
        answer = await http.post(asked.url, data={**typed, "birthdate": "1968-02-29"})
        assert answer.status_code == 200, answer.text
        assert str(answer.url).startswith(self._view), answer.url

    async def act_as_resident(self, http: httpx.AsyncClient) -> None:
        """Show the code, declare, and ask for the travel card of the phone."""
        for path in (
            "/code",
            "/me",
            "/v1/me/code",
            "/v1/me/display",
            "/v1/me/token",
            "/v1/me/export",
        ):
            assert (await http.get(self._view + path)).status_code == 200, path
        own = {"origin": self._view}
        form: dict[str, Any] = {
            "id": "d-1",
            "kind": "personal",
            "city": "440100",
            "celsius": 36.5,
            "contact": False,
            "travelled": False,
        }
        address = f"{self._view}/v1/me/declarations"
        self._was(await http.post(address, json=form, headers=own), True)
        for spelling in SPELLINGS:
            wrong = {**form, "id": "d-2", "kind": "enterprise-employee", "unit": f"厂 {spelling}"}
            self._was(await http.post(address, json=wrong, headers=own), False)
            self._was(await http.post(address, json={**form, "id": spelling}, headers=own), False)
        phone = {"phone": PHONE}
        card = f"{self._view}/v1/me/travel-card"
        self._was(await http.post(f"{card}/code", json=phone, headers=own), True)
        [message] = (self._up.data / FOLDER).glob("*.json")
        [code] = re.findall(r"\b[0-9]{6}\b", json.loads(message.read_text())["text"])
        wrong_code = {**phone, "code": "000000"}
        self._was(await http.post(card, json=wrong_code, headers=own), False)
        self._was(await http.post(card, json={**phone, "code": code}, headers=own), True)

    async def ask_oddly(self, http: httpx.AsyncClient) -> None:
        """Write the person where nobody asks for them: addresses, headers, what a guard sends."""
        for text in (NUMBER, NAME, PHONE):
            odd = {"user-agent": quote(text), "referer": f"{self._view}/{quote(text)}"}
            for path in ("/", "/code", "/check", "/login", "/v1/counts", "/duty/login", "/gate"):
                address = f"{self._view}{path}?return_to=/code?n={quote(text)}&n={quote(text)}"
                await http.get(address, headers={**odd, "x-request-id": quote(text)})
            for path in ("/v1/people/{}/code", "/v1/people/{}/explanation", "/api/events/{}"):
                address = self._view + path.format(quote(text))
                self._was(
                    await http.get(address, headers=self._up.bearer("/operators/chen")), False
                )
            scan = {"id": text, "token": text, "place": text}
            answer = await http.post(
                f"{self._view}/v1/scans", json=scan, headers=self._up.bearer(GUARD)
            )
            assert answer.status_code == 422 or not answer.json()["recorded"], answer.text
            self._was(await http.get(f"{self._gateway}/v1/{quote(text)}"), False)
            bearer = {"authorization": f"Bearer {quote(text)}"}
            self._was(await http.post(f"{self._gateway}/v1/events", headers=bearer), False)

    def _was(self, answer: httpx.Response, taken: bool) -> None:
        assert answer.is_success == taken, (answer.request.url.path, answer.text)
        self.taken += taken
        self.refused += not taken

    async def publish(self, http: httpx.AsyncClient) -> None:
        """Send events by the document and the phone; then the same where neither belongs."""
        positive = {"data": result(document=CARD, result="positive")}
        phone = {"type": "mobile-phone-number", "number": PHONE}
        visited = event(
            type="yuekang.telecom-visit.reported.v1", source=TELECOM, data=visit(document=phone)
        )
        for good in (event(), event(**positive), visited):
            await self._send(http, good, True)
        for source, asked in ((LABORATORY, CARD), ("/portal", phone)):
            answer = await http.post(
                f"{self._gateway}/v1/person-keys",
                json={"documents": [asked]},
                headers=self._up.bearer(source),
            )
            self._was(answer, True)
        for spelling in (*SPELLINGS, NAME):
            for wrong in self._misplaced(spelling):
                await self._send(http, wrong, False)

    @staticmethod
    def _misplaced(text: str) -> Iterator[dict[str, Any]]:
        """Events that are refused, with `text` in each place in turn."""
        yield event(data=result(document=CARD, name=text))
        yield event(data=result(document={**CARD, "name": text}))
        yield event(data=result(document=CARD, sampled_at=text))
        yield event(data=result(document=CARD, result=text))
        yield event(source=f"/laboratories/{text}")
        yield event(type=f"yuekang.{text}.v1")
        yield event(time=text)
        yield event(**{f"x{text}": "1"}, data=text)
        if text != NAME:
            yield event(id=text)
            yield event(data=result(document=CARD, institution=f"Laboratory {text}"))

    async def _send(self, http: httpx.AsyncClient, said: dict[str, Any], taken: bool) -> None:
        source = str(said["source"])
        token = self._up.bearer(source if source in (LABORATORY, TELECOM) else LABORATORY)
        address = f"{self._gateway}/v1/events"
        content = {"content-type": "application/cloudevents+json"}
        self._was(await http.post(address, json=said, headers=token | content), taken)
        if not taken:  # and by headers, and in a batch
            binary = {
                f"ce-{name if name.isalnum() and name.isascii() else 'x'}": quote(str(value))
                for name, value in said.items()
                if name != "data"
            }
            answer = await http.post(address, json=said["data"], headers=token | binary)
            self._was(answer, False)
            several = {"content-type": "application/cloudevents-batch+json"}
            answer = await http.post(address, json=[said], headers=token | several)
            assert answer.status_code in (207, 400), answer.text
            self.refused += 1

    async def write_to_kafka(self) -> None:
        """Do as an agency that writes itself, and wrongly: numbers in values, headers and keys."""
        secrets = process_secrets(self._up.data)
        environ = {**self._up.environment, **secrets["gateway"], **secrets["admin"]}
        settings = Settings.from_environment(environ=environ)
        keys = SourceKeys.of_master(settings.mac_key)
        writer = Writer(settings.brokers)
        writer.start()
        try:
            for number, spelling in enumerate((*SPELLINGS, NAME)):
                said = event(
                    id=f"k-{number}", data=result(name=spelling), partitionkey="p1-" + "a" * 32
                )
                value = json.dumps(said, ensure_ascii=number % 2 == 0).encode()
                key = (NUMBER if number % 3 == 0 else said["partitionkey"]).encode()
                headers = (("x-name", NAME.encode()),) if number % 2 else ()
                plain = Record(SUBMISSIONS, key, value, headers)
                for record in (plain, keys.signed(plain, LABORATORY)):
                    [place] = await _written(writer, record)
                    self.left.add((place.topic, place.partition, place.offset))
        finally:
            await writer.stop()


async def _written(writer: Writer, record: Record) -> list[Any]:
    async with asyncio.timeout(20):
        while True:
            try:
                return list(await writer.write([record]))
            except Exception:
                await asyncio.sleep(0.1)


async def everything_on_kafka(up: Up) -> AsyncIterator[tuple[tuple[str, int, int], bytes]]:
    """Every record of every topic, committed or not: key, value and headers."""
    environ = {**up.environment, **process_secrets(up.data)["admin"]}
    brokers = Settings.from_environment(environ=environ).brokers
    consumer = Consumer(
        **brokers.client,
        isolation_level="read_uncommitted",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        counts = await partition_counts(brokers, sorted(await consumer.topics()))
        tps = [TopicPartition(name, n) for name, count in counts.items() for n in range(count)]
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        ends = await consumer.end_offsets(tps)
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    parts = [record.key or b"", record.value or b""]
                    parts += [part for name, raw in record.headers for part in (name.encode(), raw)]
                    yield (tp.topic, tp.partition, record.offset), b"\n".join(parts)
    finally:
        await consumer.stop()


def everything_in_redis(redis: Any) -> Iterator[bytes]:
    """Every key with what it holds, in all databases of a server."""
    for key in redis.scan_iter(count=1_000):
        yield key
        match redis.type(key):
            case b"string":
                yield redis.get(key) or b""
            case b"hash":
                yield from (part for pair in redis.hgetall(key).items() for part in pair)
            case b"stream":
                for _, fields in redis.xrange(key):
                    yield from (part for pair in fields.items() for part in pair)
            case b"zset":
                yield from redis.zrange(key, 0, -1)
            case b"set":
                yield from redis.smembers(key)
            case b"list":
                yield from redis.lrange(key, 0, -1)
            case other:
                raise AssertionError(other)


def redis_servers(up: Up) -> Iterator[Any]:
    """Each database of both servers that holds anything, as one who may do anything."""
    admin = process_secrets(up.data)["admin"]
    settings = Settings.from_environment(environ={**up.environment, **admin})
    for url in (settings.redis_url, settings.rows_redis_url):
        server, _, _ = url.rpartition("/")
        with Redis.from_url(f"{server}/0") as first:
            used = [int(name.removeprefix("db")) for name in first.info("keyspace")]
        for number in used:
            with Redis.from_url(f"{server}/{number}") as client:
                yield client


def stored(up: Up) -> Iterator[tuple[str, bytes]]:
    """Every key and row of the workers' stores, as RocksDB gives them back."""
    for path in {current.parent for current in up.data.rglob("CURRENT")}:
        store = rocksdict.Rdict(
            str(path),
            options=rocksdict.Options(raw_mode=True),
            access_type=rocksdict.AccessType.read_only(),
        )
        entries = store.iter()
        entries.seek_to_first()
        while entries.valid():
            yield path.name, entries.key() + b"\n" + entries.value()
            entries.next()
        store.close()


def files(up: Up) -> Iterator[tuple[str, bytes]]:
    """Every file of the data folder, as bytes; Kafka's own, which are packed, were read by topic.
    What is meant to hold people is left out."""
    for path in [*up.data.rglob("*"), *up.directory.glob("*.txt")]:
        told = path.relative_to(up.directory)
        meant = FOLDER in told.parts or path.name == IDENTITIES_FILE or "kafka" in told.parts
        if path.is_file() and not meant:
            yield str(told), path.read_bytes()


def metrics_of(up: Up) -> Iterator[tuple[str, bytes]]:
    """What each process measures; the development provider measures nothing."""
    for name, address in up.status.items():
        if name != "identity-provider":
            yield name, httpx.get(f"{address}/metrics").raise_for_status().content


async def send_everything(up: Up, person: str) -> Canary:
    canary = Canary(up)

    async def trust(_: httpx.Response) -> None:
        """As browsers do: a loopback address is as good as TLS."""
        for cookie in http.cookies.jar:
            cookie.secure = False

    async with httpx.AsyncClient(
        follow_redirects=True,
        timeout=30.0,
        headers={"accept": "text/html,application/json", "sec-fetch-site": "same-origin"},
        event_hooks={"response": [trust]},
    ) as http:
        await canary.log_in(http)
        await asyncio.to_thread(up.wait, lambda: up.colour(person) == "green")
        await canary.act_as_resident(http)
        await canary.ask_oddly(http)
        await canary.publish(http)
    await canary.write_to_kafka()
    return canary


async def test_a_canary_through_everything_lies_nowhere(up: Up, person: str) -> None:
    canary = await send_everything(up, person)
    assert canary.taken == 8
    assert canary.refused > 200
    up.wait(lambda: up.colour(person) == "red")
    await asyncio.sleep(3)  # lists, rows, the audit log and the last dead letters follow
    found, left = list[tuple[object, bytes]](), set[tuple[str, int, int]]()
    written, whole = list[bytes](), list[bytes]()
    async for place, raw in everything_on_kafka(up):
        whole.append(raw)
        if place in canary.left:
            left.add(place)
            written.append(raw)
        else:
            found += [(place, form) for form in hits(raw)]
    assert left == canary.left
    assert hits(b"\n".join(written)), "what is left out is what was written"
    assert any(person.encode() in raw for raw in whole), "their events are there, under a key"
    lines = [raw for server in redis_servers(up) for raw in everything_in_redis(server)]
    assert any(person.encode() in raw for raw in lines)
    found += [("redis", form) for raw in lines for form in hits(raw)]
    for name, told in metrics_of(up):
        found += [(f"metrics of {name}", form) for form in hits(told)]
        assert person.encode() not in told
    assert up.end() == 0, up.output()
    rows = list(stored(up))
    assert any(person.encode() in row for _, row in rows), "the stores were read"
    found += [(where, form) for where, raw in [*rows, *files(up)] for form in hits(raw)]
    assert found == []
    logs = list((up.data / "logs").glob("*.log*"))
    assert len(logs) >= len(up.status)
    assert list((up.data / "audit").rglob("*")), "the audit log is among the files"
    audited = [path for path in logs if person in path.read_text()]
    assert audited == []


def test_the_canary_would_be_seen() -> None:
    for spelling in (*SPELLINGS, NAME, quote(NAME), base64.b64encode(NUMBER.encode()).decode()):
        assert hits(b"before " + spelling.encode() + b" after")
    assert not hits(Path(__file__).with_name("test_view.py").read_bytes())
