"""All tries of a run, and their account: what is otherwise afterwards, and what became of each."""

import asyncio
import re
from collections.abc import Iterator
from random import Random

from app.process.consumer import LogRecord
from app.topics.catalogue import SOURCE_REGISTER
from support.workers import everything
from tries.commands import Commands
from tries.counting import Count, Kind, shared_out
from tries.doors import Doors
from tries.records import PEOPLE, Forgeries, thieves, written_by_workers
from tries.stage import SAME, Place, Stage
from tries.state import effects, read_state

AT_ONCE = 16


async def attack(stage: Stage, tries: int, people: int, random: Random) -> Count:
    """Publish what is honest, try, and compare."""
    await stage.populate(people, random)
    before = await read_state(stage)
    count = Count()
    async with thieves(stage) as stolen:
        forgeries = Forgeries(stage, stolen, await written_by_workers(stage))
        kinds = [*Doors(stage).kinds(), *forgeries.kinds(), *Commands(stage).kinds()]
        await _try_all(kinds, tries, random, count)
    await stage.quiet()
    await _account_placed(stage, count)
    await _account_aside(stage, forgeries, count)
    for what in effects(stage, before, await read_state(stage)):
        count.wrong.append(f"effect: {what}")
    await _start_again(stage)
    metrics = (await stage.http.get(f"{stage.worker.url}/metrics")).text
    passed_over = dict(_by_topic(stage, "yuekang_worker_rows_strange_total", metrics)).get(
        PEOPLE, 0
    )
    if passed_over != forgeries.aside[PEOPLE]:
        tried = forgeries.aside[PEOPLE]
        count.wrong.append(f"{PEOPLE}: {tried} were tried, and {passed_over} passed over")
    for what in effects(stage, before, await read_state(stage)):
        count.wrong.append(f"effect, after another start: {what}")
    if count.tries != tries:
        count.wrong.append(f"{tries - count.tries} tries have no account")
    return count


async def _try_all(kinds: list[Kind], tries: int, random: Random, count: Count) -> None:
    """Try all, mixed, some at once; each has randomness of its own."""
    numbers = shared_out(tries, (kind.share for kind in kinds))
    drawn = [kind for kind, number in zip(kinds, numbers, strict=True) for _ in range(number)]
    random.shuffle(drawn)
    for kind in kinds:  # told in this order
        count.outcomes[kind.name].clear()
    seeds = iter([(kind, random.getrandbits(64)) for kind in drawn])

    async def one_after_another() -> None:
        for kind, seed in seeds:
            outcome, right = await kind.once(Random(seed))
            if outcome:
                count.add(kind.name, outcome, right)

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))


async def _account_placed(stage: Stage, count: Count) -> None:
    """Say what became of each try on an input, by the dead letter that names its place."""
    reasons: dict[Place, str] = {}
    for topic in ("dead-letters", "parked"):
        for letter in await everything(stage.kafka, topic):
            reasons[_place(stage, letter)] = dict(letter.headers)["yk_reason"].decode()
    for place, (kind, allowed) in stage.placed.items():
        outcome = reasons.get(place, SAME)
        count.add(kind, outcome, outcome in allowed)


def _place(stage: Stage, letter: LogRecord) -> Place:
    said = dict(letter.headers)
    topic = stage.plain(said["yk_topic"].decode())
    return topic, int(said["yk_partition"]), int(said["yk_offset"])


async def _account_aside(stage: Stage, forgeries: Forgeries, count: Count) -> None:
    """Hold what the projection and the gateway say they set aside against what was tried."""
    name = "yuekang_projection_records_set_aside_total"
    projected = dict(_by_topic(stage, name, stage.projection.get("/metrics")[1]))
    for topic, tried in forgeries.aside.items():
        if topic == PEOPLE:
            continue  # seen when a worker starts again
        said = projected.get(topic, 0)
        if topic == SOURCE_REGISTER:
            metrics = (await stage.http.get(f"{stage.gateway}/metrics")).text
            said = int(_number("yuekang_register_unreadable_total", metrics))
        if said != tried:
            count.wrong.append(f"{topic}: {tried} were tried, and {said} set aside")


def _by_topic(stage: Stage, name: str, metrics: str) -> Iterator[tuple[str, int]]:
    for topic, number in re.findall(rf'^{name}{{topic="(.+)"}} (\S+)$', metrics, re.M):
        yield stage.plain(topic), int(float(number))


def _number(name: str, metrics: str) -> float:
    found = re.search(rf"^{name} (\S+)$", metrics, re.M)
    return float(found[1]) if found else 0.0


async def _start_again(stage: Stage) -> None:
    """Let the worker begin without its stores, from the changelog with all that was tried on it."""
    await asyncio.to_thread(stage.worker.stop)
    await asyncio.to_thread(stage.worker.forget)
    stage.worker.start()
    await asyncio.to_thread(stage.worker.wait_ready)
    await stage.quiet()
