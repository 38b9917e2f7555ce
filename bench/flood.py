"""A flood, and the colour's latency beside it.

Displays and temperatures by the hundred thousand lie in their topics, and the lists' worker folds
them as fast as it can, while `yuekang latency` measures on the same machine how soon a change of
a code is visible. So it does beside 50,000 results of one person, as a file that is sent many
times. In each round it is measured without a flood too, just before.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

from msgspec import Struct

from app.operator.latency.report import Report
from app.process.settings import Settings
from bench import topics
from bench.latency import run, whole_stack
from bench.machine import BROKER_WARM_SECONDS
from bench.records import Record, person_key
from bench.stack import applied, record_of
from bench.terminal import Terminal
from models.events import (
    DisplayData,
    DisplayDetail,
    DisplayRecorded,
    NatResultData,
    NatResultReported,
    Outcome,
    Result,
    TemperatureData,
    TemperatureMeasured,
)

ROUNDS = 3
RATE = 500
"""Changes of codes a second, as in the README's command."""
CHANGING = 100
SECONDS = 30
FLOOD = 1_000_000
"""More than a worker folds in the time of a run."""
PEOPLE = 100_000
OF_ONE_PERSON = 50_000


class Beside(Struct, frozen=True):
    """What became of a flood: `folded` while it was measured, `left` at the end of that."""

    folded: int
    left: int


class Run(Struct, frozen=True):
    """One measurement; `flood` is None where there was none. `of_one_person`: results of one
    person, sent just before."""

    round: int
    report: Report
    flood: Beside | None = None
    of_one_person: int = 0


def measure(directory: Path, terminal: Terminal) -> list[Run]:
    """Measure without and beside a flood, each round on a stack of its own, since what floods have
    left would fill its Redis; raise `StackError` where nothing was measured."""
    found = []
    for number in range(1, ROUNDS + 1):
        with whole_stack(directory) as environment:
            brokers = Settings.from_environment(environ=environment).brokers
            lists_worker = int(environment["YUEKANG_LISTS_STATUS_PORT"])
            run(environment, terminal, RATE, CHANGING, BROKER_WARM_SECONDS)
            found.append(Run(number, run(environment, terminal, RATE, CHANGING, SECONDS)))
            with terminal.bar("Flood with results of one person", OF_ONE_PERSON) as tick:
                topics.publish(brokers, _of_one_person(number), tick)
            report = run(environment, terminal, RATE, CHANGING, SECONDS)
            found.append(Run(number, report, of_one_person=OF_ONE_PERSON))
            with terminal.bar("Flood with displays and temperatures", FLOOD) as tick:
                topics.publish(brokers, _flood(), tick)
            before = applied(lists_worker)
            report = run(environment, terminal, RATE, CHANGING, SECONDS)
            after = applied(lists_worker)
            terminal.say(f"{after - before:,} folded meanwhile, {FLOOD - after:,} left")
            found.append(Run(number, report, Beside(after - before, FLOOD - after)))
    return found


def _of_one_person(number: int) -> Iterator[Record]:
    """Yield results of one person, all negative, each with an id of its own."""
    now = datetime.now(UTC)
    person = person_key(blake2b(b"one person:%d" % number, digest_size=20).digest())
    data = NatResultData(now - timedelta(hours=6), now, Result.NEGATIVE, "Laboratory 1")
    for place in range(OF_ONE_PERSON):
        yield record_of(
            NatResultReported(
                specversion="1.0",
                id=f"again-{place}",
                source="/laboratories/440100-001",
                time=now,
                partitionkey=person,
                sequence=str(place),
                data=data,
            )
        )


def _flood() -> Iterator[Record]:
    """Yield a flood, displays and temperatures in turn."""
    now = datetime.now(UTC)
    display = DisplayData(now, Outcome.SHOWN, DisplayDetail.GREEN)
    temperature = TemperatureData("T-1", "地铁站 A 口", 36.5, now)
    for place in range(FLOOD):
        person = person_key(blake2b(b"flood:%d" % (place % PEOPLE), digest_size=20).digest())
        attributes: dict[str, Any] = {
            "specversion": "1.0",
            "id": f"flood-{place}",
            "time": now,
            "partitionkey": person,
            "sequence": str(place),
        }
        event = (
            DisplayRecorded(**attributes, source="/portal", data=display)
            if place % 2
            else TemperatureMeasured(**attributes, source="/terminals/440100-001", data=temperature)
        )
        yield record_of(event)
