"""Officers who watch: 1,000 clients of `GET /v1/changes` on one view, against the whole stack.

People log in for the first time, so many a second; each of them is a change that every client is
told. A latency is from the change's own instant, which is when Kafka took the event in, until a
client has its bytes: the fold and the projection are within it.
"""

import asyncio
import re
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import blake2b
from pathlib import Path

import aiohttp
from msgspec import Struct

from app.operator.latency.report import Percentiles, percentiles
from app.process.settings import Settings
from app.web.issuing import operator_token
from bench import topics
from bench.latency import whole_stack
from bench.records import Record, person_key
from bench.stack import record_of
from bench.terminal import Terminal
from models.events import DocumentType, IdentityData, IdentityVerified

CLIENTS = 1_000
RATE = 100
"""Changes a second."""
SECONDS = 60
WARM_UP_SECONDS = 5
P99_MS = 1_000.0
CONNECT_AT_ONCE = 50
SECONDS_MAX = 60.0
"""How long all clients may take to connect, and the last change to be told."""

_AT = re.compile(rb'"at":"([^"]+)"')
_CPU = re.compile(r"(?m)^process_cpu_seconds_total (\S+)")


class Watching(Struct, frozen=True):
    """One run. CPU is in cores: of the view, and of this process, which is all of the clients.

    `received` is how many changes all clients were told together; `missing` how many they were not,
    and `gaps` how often one was told of a gap.
    """

    clients: int
    rate_asked: int
    rate_reached: float
    seconds: float
    latency: Percentiles | None
    received: int
    missing: int
    gaps: int
    view_cores: float
    own_cores: float


def measure(
    directory: Path,
    terminal: Terminal,
    *,
    clients: int = CLIENTS,
    rate: int = RATE,
    seconds: int = SECONDS,
) -> Watching:
    """Measure on a stack of its own, after a run that warms up and counts for nothing."""
    with whole_stack(directory) as environment:
        settings = Settings.from_environment(environ=environment)
        token = operator_token(settings)
        asyncio.run(_run(settings, token, 1, rate, WARM_UP_SECONDS))
        terminal.say(f"{clients:,} clients, {rate:,} changes/s for {seconds} s")
        found = asyncio.run(_run(settings, token, clients, rate, seconds))
    if found.latency is not None:
        terminal.say(f"p99 {found.latency.p99_ms:g} ms; {found.missing:,} missing")
    return found


class _Watchers:
    """Clients that listen, and what they were told."""

    def __init__(self, client: aiohttp.ClientSession, view_url: str) -> None:
        self._client = client
        self._view_url = view_url
        self._connecting = asyncio.Semaphore(CONNECT_AT_ONCE)
        self.listening = 0
        self.gaps = 0
        self.latencies = array("d")

    async def listen(self) -> None:
        """Follow the changes until cancelled; raise `aiohttp.ClientError` if refused or cut off."""
        async with self._connecting:
            answer = await self._client.get(f"{self._view_url}/v1/changes")
            answer.raise_for_status()
        async with answer:
            rest = b""
            async for piece, _ in answer.content.iter_chunks():
                now = time.time()
                self.listening += piece.startswith(b"retry: ")
                whole, end, rest = (rest + piece).rpartition(b"\n\n")
                self.gaps += whole.count(b"event: gap")
                self.latencies.extend(now - _instant(at) for at in _AT.findall(whole + end))

    async def view_cpu_seconds(self) -> float:
        """Return the CPU time that the view's process has used."""
        async with self._client.get(f"{self._view_url}/metrics") as answer:
            found = _CPU.search(await answer.text())
        return float(found[1]) if found else float("nan")


@cache
def _instant(at: bytes) -> float:
    return datetime.fromisoformat(at.decode()).timestamp()


def _logins(begun: float, rate: int, number: int) -> Iterator[Record]:
    """Yield so many first logins, each when it is due; it blocks until then."""
    for each in range(number):
        if (ahead := begun + each / rate - time.monotonic()) > 0:
            time.sleep(ahead)
        at = datetime.now(UTC) - timedelta(seconds=1)
        key = person_key(blake2b(b"watchers:%f:%d" % (begun, each), digest_size=20).digest())
        yield record_of(
            IdentityVerified(
                specversion="1.0",
                id=f"identity-{begun:.6f}-{each}",
                source="/identity-providers/watchers",
                time=at,
                partitionkey=key,
                sequence=str(each),
                data=IdentityData(at, DocumentType.RESIDENT_IDENTITY_CARD, "440100"),
            )
        )


async def _until(seen: Callable[[], bool]) -> None:
    """Return once it is so, or after `SECONDS_MAX`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(SECONDS_MAX):
            while not seen():  # noqa: ASYNC110  (what is waited for has no event)
                await asyncio.sleep(0.1)


async def _run(settings: Settings, token: str, clients: int, rate: int, seconds: int) -> Watching:
    headers = {"authorization": f"Bearer {token}"}
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as client,
        asyncio.TaskGroup() as group,
    ):
        watchers = _Watchers(client, settings.view_url)
        tasks = [group.create_task(watchers.listen()) for _ in range(clients)]
        await _until(lambda: watchers.listening == clients)
        view, own, begun = await watchers.view_cpu_seconds(), time.process_time(), time.monotonic()
        number = rate * seconds
        logins = _logins(begun, rate, number)
        await asyncio.to_thread(topics.publish, settings.brokers, logins, lambda _: None)
        took = time.monotonic() - begun
        await _until(lambda: len(watchers.latencies) >= number * clients)
        passed = time.monotonic() - begun
        own = time.process_time() - own
        view = await watchers.view_cpu_seconds() - view
        for task in tasks:
            task.cancel()
    received = len(watchers.latencies)
    return Watching(
        clients=clients,
        rate_asked=rate,
        rate_reached=round(number / took, 1),
        seconds=round(took, 1),
        latency=percentiles(watchers.latencies),
        received=received,
        missing=number * clients - received,
        gaps=watchers.gaps,
        view_cores=round(view / passed, 2),
        own_cores=round(own / passed, 2),
    )
