"""A gateway in a process of its own, and events to send to it."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
from litestar import Litestar

from app.gateway.person_keys import PersonKeys
from app.gateway.reference import document
from app.gateway.routes import GatewayOptions, create_gateway
from app.gateway.signatures import RequestSigner, Signers
from app.process.ports import free_port
from app.topics.records import KafkaPlace, Record
from app.topics.writer import Writer
from models.documents import Document
from models.events import DocumentType
from models.phones import MOBILE_PHONE_NUMBER, Phone
from support.brokers import NO_BROKERS, Kafka
from support.macs import KEYS
from support.redis_users import as_user
from support.tokens import MAKING, TRUST, TRUSTING

SECRET = bytes(range(32))
LABORATORY = "/laboratories/440100-001"
PROVINCE, PROVINCE_KEY = "/provinces/43", bytes(range(43, 75))
"""A province, and the key with which it has to sign."""
NUMBER = "11010519491231002X"
CARD = {"type": "resident-identity-card", "number": NUMBER}
PERSON = PersonKeys(SECRET, 1).key(Document(DocumentType.RESIDENT_IDENTITY_CARD, NUMBER))
OTHER_PERSON = "p1-" + "a" * 32
TELECOM = "/telecoms/gd-1"
PHONE_NUMBER = "13800138000"
PHONE = {"type": MOBILE_PHONE_NUMBER, "number": PHONE_NUMBER}
PHONE_KEY = PersonKeys(SECRET, 1).key(Phone(PHONE_NUMBER))
STARTED_SECONDS_MAX = 60.0
PLAIN = False
"""In place of a TLS context, which takes 20 ms of CPU time to make: these addresses are plain HTTP,
and are asked ten times a second until they answer."""

NO_REDIS = "redis://127.0.0.1:1/0"

Json = dict[str, Any]
_numbers = count(1)
_run = f"{time.time_ns():x}"


def event(**attributes: Any) -> Json:
    """A laboratory's negative result about the holder of CARD; None leaves an attribute out."""
    number = next(_numbers)
    whole = {
        "specversion": "1.0",
        "id": f"{_run}-{number}",
        "type": "yuekang.nat-result.reported.v1",
        "source": LABORATORY,
        "time": "2022-03-01T14:00:00+08:00",
        "sequence": str(number),
        "data": result(document=CARD),
        **attributes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def result(**fields: Any) -> Json:
    """The data of a result; None leaves a field out."""
    whole = {
        "sampled_at": "2022-03-01T08:00:00+08:00",
        "reported_at": "2022-03-01T14:00:00+08:00",
        "result": "negative",
        "institution": "Laboratory 1",
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not None}


def visit(**fields: Any) -> Json:
    """The data of a telecom's visit; None leaves a field out."""
    whole = {
        "city": "440100",
        "visit": "reached",
        "seen_at": "2022-03-01T08:00:00+08:00",
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not None}


def visited(**attributes: Any) -> Json:
    """A telecom's event about the phone PHONE."""
    return event(
        **{
            "source": TELECOM,
            "type": "yuekang.telecom-visit.reported.v1",
            "data": visit(document=PHONE),
            **attributes,
        }
    )


def gateway_alone() -> Litestar:
    """A gateway without Kafka and Redis, in this process."""
    options = GatewayOptions(
        brokers=NO_BROKERS,
        rows_redis_url=NO_REDIS,
        person_key_secret=SECRET,
        person_key_version=1,
        trust=TRUST,
        mac_keys=KEYS,
    )
    return create_gateway(options)


class Written(Writer):
    """Takes what a gateway writes, in place of Kafka."""

    def __init__(self) -> None:
        super().__init__(NO_BROKERS)
        self.records: list[Record] = []

    async def write(self, records: Sequence[Record]) -> list[KafkaPlace]:
        self.records += records
        return [KafkaPlace(record.topic, 0, len(self.records)) for record in records]

    def take(self) -> list[Record]:
        """Return what was written since the last call."""
        taken, self.records = self.records, []
        return taken


def gateway_that_writes(**options: Any) -> tuple[Litestar, Written]:
    """A gateway in this process with what it has written; one province has to sign."""
    written = Written()
    whole = {
        "brokers": NO_BROKERS,
        "rows_redis_url": NO_REDIS,
        "person_key_secret": SECRET,
        "person_key_version": 1,
        "trust": TRUST,
        "mac_keys": KEYS,
        "signers": Signers({PROVINCE: [RequestSigner(PROVINCE_KEY).public]}),
        **options,
    }
    with patch("app.gateway.routes.Writer", lambda _: written):
        return create_gateway(GatewayOptions(**whole)), written


@cache
def gateway_document() -> Json:
    """The OpenAPI document of a gateway; nothing is started for it."""
    return document(gateway_alone())


def assert_named(refused: httpx.Response) -> None:
    """Assert that a problem stands at its operation in the document, if there is an operation."""
    asked = refused.request
    operations = gateway_document()["paths"].get(asked.url.path, {})
    if operation := operations.get(asked.method.lower()):
        told = operation["responses"][str(refused.status_code)]["description"]
        assert f" {refused.json()['code']}: " in f" {told}"


def environment(kafka: Kafka, port: int, rows_redis_url: str = NO_REDIS) -> dict[str, str]:
    """The settings of such a gateway, and of commands that speak to it."""
    return {
        **kafka.environment_of("gateway"),
        "YUEKANG_GATEWAY_PORT": str(port),
        "YUEKANG_ROWS_REDIS_URL": as_user("gateway", rows_redis_url),
        "YUEKANG_PERSON_KEY_SECRET": SECRET.hex(),
        "YUEKANG_SIGNING_KEYS": f"{PROVINCE}={RequestSigner(PROVINCE_KEY).public.hex()}",
        **TRUSTING,
        **MAKING,
    }


def command(*arguments: str) -> list[str]:
    """The command line of `yuekang`."""
    return [str(Path(sys.executable).with_name("yuekang")), *arguments]


@contextmanager
def running_gateway(
    kafka: Kafka, directory: Path, rows_redis_url: str = NO_REDIS, **more: str
) -> Iterator[str]:
    """Run a gateway; yield its address. At the end, no log of it may name a person."""
    port = free_port()
    log = directory / "gateway.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command("gateway"),
            env={**environment(kafka, port, rows_redis_url), **more},
            stdout=out,
            stderr=out,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + STARTED_SECONDS_MAX
        while not _ready(address):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0, log.read_text()
    assert NUMBER not in log.read_text(), "a document number is in the log"
    assert PHONE_NUMBER not in log.read_text(), "a phone number is in the log"
    assert PERSON not in log.read_text(), "a person is in the log"


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz", verify=PLAIN).status_code == 200
    except httpx.TransportError:
        return False
