"""How far this machine's clock is from the broker's.

The broker stamps what is appended to `CLOCK_CHECKS` itself (LogAppendTime), and answers with the
stamp. So one small record tells its clock, also where nothing else is written. Between two records
the monotonic clock goes on from the stamp: a step of this machine's clock shows at once.
"""

import asyncio
import time

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from msgspec import Struct

from app.process.kafka import Brokers
from app.process.producers import close
from app.topics.catalogue import named

CLOCK_CHECKS = named("clock-checks")

INTERVAL_SECONDS = 10.0
"""Between two records: 8,640 a day and worker, of some 70 bytes each."""

ANSWER_SECONDS_MAX = 5.0
"""An answer that takes longer tells too little: the stamp may be from any instant of the wait."""

KNOWN_SECONDS_MAX = 60.0
"""How long a stamp holds. Clocks of two machines drift apart by some ms in this time."""

AGREES_SECONDS_MAX = 30.0
"""Up to here nobody is told anything at the wrong minute; a clock that is kept by NTP is within
0.1 s."""

WRONG_SECONDS_MAX = 600.0
"""Beyond this the clock is not late but wrong, and what is written with it would be refused by the
broker at an hour (message.timestamp.after.max.ms)."""

log = structlog.get_logger()


class ClockWrong(Exception):
    """This machine's clock is so far from the broker's that nothing should be done by it."""


class Stamp(Struct, frozen=True):
    """The broker's clock: `at` (s since 1970), when the answer came (monotonic, s), and how long
    before that it may have been."""

    at: float
    answered_at: float
    within: float


class BrokerClock:
    """Compares this machine's clock with the broker's while it runs."""

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._stamp: Stamp | None = None

    def seconds_ahead(self) -> float | None:
        """Return by how much at least this machine's clock is ahead of the broker's; below 0 it is
        behind. None if that is not known now."""
        if self._stamp is None:
            return None
        elapsed, here = time.monotonic() - self._stamp.answered_at, time.time()
        if elapsed > KNOWN_SECONDS_MAX:
            return None
        least = self._stamp.at + elapsed
        return here - min(max(here, least), least + self._stamp.within)

    def agrees(self) -> bool:
        """Say whether what falls due by this machine's clock may be told."""
        ahead = self.seconds_ahead()
        return ahead is not None and abs(ahead) <= AGREES_SECONDS_MAX

    def reasons(self) -> list[str]:
        """Say why nothing is told that falls due; nothing if it is."""
        if self.agrees():
            return []
        ahead = self.seconds_ahead()
        if ahead is None:
            return ["Kafka does not say what its clock is: nothing is told that falls due."]
        return [f"{_sentence(ahead)} Nothing is told that falls due until it is set."]

    def check(self) -> None:
        """Raise `ClockWrong` if this machine's clock is wrong beyond use."""
        ahead = self.seconds_ahead()
        if ahead is not None and abs(ahead) > WRONG_SECONDS_MAX:
            raise ClockWrong(f"{_sentence(ahead)} Set the clock of either; NTP keeps it.")

    async def ask_once(self) -> None:
        """Ask the broker; raise a `KafkaError` or `TimeoutError` if it does not answer in time."""
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            producer = AIOKafkaProducer(**self._brokers.client)
            try:
                await producer.start()
                await self._ask(producer)
            finally:
                await close(producer)

    async def run(self) -> None:
        """Ask until cancelled. While Kafka is away the last stamp grows old."""
        while True:
            producer = AIOKafkaProducer(**self._brokers.client)
            try:
                await producer.start()
                while True:
                    await self._ask(producer)
                    await asyncio.sleep(INTERVAL_SECONDS)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("broker_clock_unknown", seldom=True, error=type(error).__name__)
                await asyncio.sleep(1)
            finally:
                await close(producer)

    async def _ask(self, producer: AIOKafkaProducer) -> None:
        begun = time.monotonic()
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            appended = await producer.send_and_wait(CLOCK_CHECKS, b"")
        answered_at = time.monotonic()
        self._stamp = Stamp(appended.timestamp / 1_000, answered_at, answered_at - begun)


def _sentence(ahead: float) -> str:
    way = "ahead of" if ahead > 0 else "behind"
    return f"The clock of this machine is {abs(ahead):,.0f} s {way} the broker's."
