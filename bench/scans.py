"""Scans: terminals ask `POST /v1/scans` on schedule, against the whole stack on this machine.

Each scan is of a token that was made for it, as if somebody had just shown their code. It goes out
when it is due, whether or not those before it were answered, and its latency counts from when it
was due: a view that stalls is not asked less meanwhile. The view answers once Kafka has the scan.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path

import aiohttp
import msgspec
from msgspec import Struct

from app.operator.latency.report import Percentiles, percentiles
from app.process.settings import Settings
from app.view.displays import Displays
from app.web.issuing import tokens_by
from bench import topics
from bench.latency import whole_stack
from bench.records import Record, person_key
from bench.stack import record_of
from bench.terminal import Terminal
from models.events import DocumentType, IdentityData, IdentityVerified

RATE = 500
"""Scans a second, of one view: a gate of a metro line in the morning has some two."""
SECONDS = 60
PEOPLE = 10_000
TERMINALS = 250
"""As many connections: a terminal keeps one."""
P99_MS = 50.0
SECONDS_MAX = 60.0
ANSWER_SECONDS_MAX = 5.0


class Load(Struct, frozen=True):
    """One run. CPU is in cores: of the view, and of this process, which is all of the terminals.

    `outcomes`: how often each was answered; `failed` where there was no answer of 200.
    """

    rate_asked: int
    rate_reached: float
    seconds: float
    latency: Percentiles | None
    outcomes: dict[str, int]
    not_recorded: int
    view_cores: float
    own_cores: float


def measure(
    directory: Path, terminal: Terminal, *, rate: int = RATE, seconds: int = SECONDS
) -> Load:
    """Measure on a stack of its own, after a run as long that warms up and counts for nothing."""
    with whole_stack(directory) as environment:
        settings = Settings.from_environment(environ=environment)
        with terminal.bar("People with a code", PEOPLE) as tick:
            topics.publish(settings.brokers, _identities(), tick)
        asyncio.run(_shown(settings, environment))
        asyncio.run(_run(settings, environment, rate, seconds))
        terminal.say(f"{rate:,} scans/s for {seconds} s")
        found = asyncio.run(_run(settings, environment, rate, seconds))
    if found.latency is not None:
        terminal.say(f"p99 {found.latency.p99_ms:g} ms at {found.rate_reached:,.0f} scans/s")
    return found


def _person(number: int) -> str:
    return person_key(blake2b(b"scans:%d" % number, digest_size=20).digest())


def _identities() -> Iterator[Record]:
    at = datetime.now(UTC) - timedelta(hours=1)
    data = IdentityData(at, DocumentType.RESIDENT_IDENTITY_CARD, "440100")
    for number in range(PEOPLE):
        yield record_of(
            IdentityVerified(
                specversion="1.0",
                id=f"identity-{number}",
                source="/identity-providers/scans",
                time=at,
                partitionkey=_person(number),
                sequence=str(number),
                data=data,
            )
        )


class _Asking:
    """Sends scans, and keeps what came of them."""

    def __init__(
        self, client: aiohttp.ClientSession, settings: Settings, environment: Mapping[str, str]
    ) -> None:
        self._client = client
        self._url = f"{settings.view_url}/v1/scans"
        self._displays = Displays(bytes.fromhex(environment["YUEKANG_DISPLAY_KEY"]))
        self._token_for = tokens_by(settings)
        self.latencies: list[float] = []
        self.outcomes: Counter[str] = Counter()
        self.not_recorded = 0

    async def scan(self, number: int, due: float) -> str:
        """Send a scan that was due at `due`, by `time.monotonic`; return its outcome."""
        now = datetime.now(UTC).isoformat()
        token = self._token_for(f"/terminals/scans-{number % TERMINALS}")
        body = {
            "id": f"scan-{number}-{due:.6f}",
            "token": self._displays.token(_person(number % PEOPLE), "样*甲", "1234"),
            "place": "地铁站 A 口",
            "scanned_at": now,
            "sent_at": now,
        }
        outcome = "failed"
        try:
            async with self._client.post(
                self._url,
                data=msgspec.json.encode(body),
                headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
            ) as answer:
                content = await answer.read()
                if answer.status == 200:
                    told = msgspec.json.decode(content)
                    outcome = str(told["outcome"])
                    self.not_recorded += not told["recorded"]
        except (aiohttp.ClientError, TimeoutError):
            pass
        self.latencies.append(time.monotonic() - due)
        self.outcomes[outcome] += 1
        return outcome

    async def view_cpu_seconds(self) -> float:
        """Return the CPU time that the view's process has used."""
        async with self._client.get(self._url.replace("/v1/scans", "/metrics")) as answer:
            found = re.search(r"(?m)^process_cpu_seconds_total (\S+)", await answer.text())
        return float(found[1]) if found else float("nan")


def _client() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=TERMINALS),
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX),
    )


async def _shown(settings: Settings, environment: Mapping[str, str]) -> None:
    """Return once everybody's code is green; raise `TimeoutError` if that takes too long."""
    async with _client() as client, asyncio.timeout(SECONDS_MAX):
        asking = _Asking(client, settings, environment)
        for number in range(0, PEOPLE, PEOPLE // 100):
            while True:
                if await asking.scan(number, time.monotonic()) == "green":
                    break
                await asyncio.sleep(0.1)


async def _run(settings: Settings, environment: Mapping[str, str], rate: int, seconds: int) -> Load:
    async with _client() as client:
        asking = _Asking(client, settings, environment)
        view, own, begun = await asking.view_cpu_seconds(), time.process_time(), time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(rate * seconds):
                due = begun + number / rate
                if (ahead := due - time.monotonic()) > 0:
                    await asyncio.sleep(ahead)
                group.create_task(asking.scan(number, due))
        took = time.monotonic() - begun
        own = time.process_time() - own
        view = await asking.view_cpu_seconds() - view
    return Load(
        rate_asked=rate,
        rate_reached=round(len(asking.latencies) / took, 1),
        seconds=round(took, 1),
        latency=percentiles(asking.latencies),
        outcomes=dict(asking.outcomes),
        not_recorded=asking.not_recorded,
        view_cores=round(view / took, 2),
        own_cores=round(own / took, 2),
    )
