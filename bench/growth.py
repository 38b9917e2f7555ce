"""What an event costs as the people become more: us beside Kafka Streams, on the real fold's slice.

Both fill their table with everybody of a world by the fold itself (`bench.worlds`). Once they are
quiet, compactions and all, a stretch of events comes in one transaction, and what it costs in CPU
time until all of it is committed is taken.

Kafka Streams folds another topic before, with a store of its own, so that Java's compiler has done
its work. That topic and the fill have as many events in each world, or Java would be warmer the
more people there are. Python has no such compiler; the fill has filled its caches.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from app.development.stack.broker import Broker
from app.engine.store import META
from app.topics.catalogue import HEALTH_CODES, partition_of
from bench import compare, machine, topics, workload
from bench.broker import running_broker
from bench.costs import THEY, US, Cost, Found
from bench.cpu import cpu_seconds, peak_memory_mib
from bench.observer import Stalled
from bench.outputs import different
from bench.records import PARTITIONS, Record
from bench.sides import SIDES, Side
from bench.terminal import Terminal
from bench.worlds import STEPS, World
from models.codes import HealthCode

SIZES = (1_000, 10_000, 100_000, 1_000_000)

WARM_EVENTS_MIN = 400_000
"""Of the largest world the topic before the fill has so many events; others have more."""

MEASURED = "bench-growth-stretch"

CHANGELOGS = {US: "{group}-changelog", THEY: "{group}-people-changelog"}

WARM_SECONDS_MAX = 900.0
"""A side joins its group once it has folded what comes before."""

QUIET_CORES = 0.15
QUIET_SECONDS = 1.0
QUIET_SECONDS_MAX = 120.0
"""A side is quiet once it takes no more of a core in a second."""

IDLE_SECONDS = 3.0
"""How long it is looked at then, for what it takes when it has nothing to do."""


class Filled(NamedTuple):
    """A world whose fill is published."""

    backlog: compare.Backlog
    stretch: Sequence[Record]
    ends: Mapping[int, int]


def measure(
    directory: Path,
    sizes: Sequence[int],
    stretch: int,
    rounds: int,
    seed: int,
    terminal: Terminal,
) -> Found:
    """Measure both sides at all sizes, in rounds, in another order each."""
    costs = list[Cost]()
    with running_broker(directory) as broker:
        bootstrap = broker.brokers.servers
        worlds = [_filled(broker, World(people, seed, stretch), terminal) for people in sizes]
        most = WARM_EVENTS_MIN + max(world.backlog.records for world in worlds)
        for world in worlds:
            _warm(broker, world.backlog, most - world.backlog.records, seed + 1, terminal)
        kept = {topic for world in worlds for topic in (world.backlog.topic, world.backlog.warm)}
        for round_ in range(1, rounds + 1):
            for world in worlds:
                for name in compare.order((US, THEY), round_, seed + world.backlog.people):
                    cost = _run(broker, world, SIDES[name], round_, directory)
                    topics.delete_but(bootstrap, kept)
                    costs.append(cost)
                    terminal.say(told(cost))
    return Found(seed, rounds, costs)


def told(cost: Cost) -> str:
    """Say what a run found, in a line."""
    head = f"{cost.people:,} people, {cost.round} {cost.side}:"
    if cost.failures:
        return f"{head} [red]failed[/red], {cost.failures[0]}"
    return (
        f"{head} {cost.microseconds:.1f} µs of CPU an event ({cost.fill_microseconds:.1f} in the "
        f"fill of {cost.fill_seconds:.0f} s), {cost.memory_mib:,.0f} MiB; outputs right"
    )


def _filled(broker: Broker, world: World, terminal: Terminal) -> Filled:
    bootstrap, topic = broker.brokers.servers, f"bench-growth-{world.people}"
    topics.make(bootstrap, [topic], compare.INPUT_SETTINGS)
    with terminal.bar(f"Fill the topic of {world.people:,} people", world.people) as tick:
        published = topics.publish(
            broker.brokers, (record._replace(topic=topic) for record in world.fill()), tick
        )
    stretch = [record._replace(topic=MEASURED) for record in world.stretch()]
    found = Counter(partition_of(record.key, PARTITIONS) for record in stretch)
    backlog = compare.Backlog(
        fold="real",
        topic=topic,
        records=published,
        ends=topics.ends(bootstrap, topic),
        people=world.people,
        expected=world.codes(),
        beside=(MEASURED,),
        warm=f"{topic}-warm",
    )
    return Filled(backlog, stretch, {number: found[number] for number in range(PARTITIONS)})


def _warm(
    broker: Broker, backlog: compare.Backlog, events: int, seed: int, terminal: Terminal
) -> None:
    """Publish lives of other people, of all steps, to be folded before."""
    topics.make(broker.brokers.servers, [backlog.warm], compare.INPUT_SETTINGS)
    people = events // STEPS.stop
    lives = workload.events(people, seed, STEPS.stop)
    with terminal.bar(f"To be folded before {backlog.people:,} people", events) as tick:
        topics.publish(
            broker.brokers, (record._replace(topic=backlog.warm) for record in lives), tick
        )


def _run(broker: Broker, world: Filled, side: Side, round_: int, directory: Path) -> Cost:
    """Let one side fill its table, then fold the stretch; measure that; check what it left."""
    backlog, bootstrap = world.backlog, broker.brokers.servers
    cost = Cost(
        backlog.people,
        round_,
        side.name,
        backlog.records,
        len(world.stretch),
        load_before=machine.load(),
    )
    topics.make(bootstrap, [MEASURED], compare.INPUT_SETTINGS)
    try:
        with compare.started(broker, backlog, side, directory, round_) as (observer, processes):

            def cpu() -> float:
                return sum(cpu_seconds(process.pid or 0) for process in processes)

            observer.wait_stable(side.members, WARM_SECONDS_MAX)
            fill = observer.wait_done(compare.RUN_SECONDS_MAX, cpu)[-1]
            compacted = _quiet(cpu)
            before = cpu()
            time.sleep(IDLE_SECONDS)
            idle_cores = (cpu() - before) / IDLE_SECONDS
            before, begun = cpu(), time.monotonic()
            topics.publish(broker.brokers, world.stretch, lambda _: None, transaction=MEASURED)
            observer.of(MEASURED, world.ends).wait_done(compare.RUN_SECONDS_MAX, cpu)
            cost = msgspec.structs.replace(
                cost,
                fill_seconds=round(fill.seconds, 2),
                fill_cpu_seconds=round(fill.cpu_seconds, 2),
                quiet_cpu_seconds=round(compacted, 2),
                seconds=round(time.monotonic() - begun, 3),
                cpu_seconds=round(cpu() - before, 2),
                idle_cores=round(idle_cores, 3),
                memory_mib=round(sum(peak_memory_mib(p.pid or 0) for p in processes)),
            )
        failures = tuple(_differences(bootstrap, backlog, side, round_))
    except (Stalled, TimeoutError) as error:
        failures = (str(error),)
    return msgspec.structs.replace(cost, failures=failures)


def _quiet(cpu: Callable[[], float]) -> float:
    """Return once a side is quiet; return the CPU time that it took until then."""
    begun, until = cpu(), time.monotonic() + QUIET_SECONDS_MAX
    while True:
        before = cpu()
        time.sleep(QUIET_SECONDS)
        if cpu() - before <= QUIET_CORES * QUIET_SECONDS:
            return before - begun
        if time.monotonic() > until:
            raise Stalled("it has folded everything, and does not become quiet")


def _differences(
    bootstrap: str, backlog: compare.Backlog, side: Side, round_: int
) -> Iterator[str]:
    """Say how the table and what was told differ from what they must be: as many rows as people,
    and the codes of those whom the stretch was about."""
    group = compare.group_of(backlog, side, round_)
    changelog = CHANGELOGS[side.name].format(group=group)
    keys = {record.key() for record in topics.read(bootstrap, changelog)}
    rows = sum(not key.startswith(META) for key in keys)
    if rows != backlog.people:
        yield f"{rows:,} rows, and there are {backlog.people:,} people"
    newest = dict[str, bytes]()
    for record in topics.read(bootstrap, compare.told_topics(side, group)[HEALTH_CODES]):
        if (person := record.key().decode()) in backlog.expected:
            newest[person] = record.value()
    decode = msgspec.json.Decoder(HealthCode).decode
    codes = {person: decode(value) for person, value in newest.items()}
    yield from (f"code of {line}" for line in different(backlog.expected, codes))
