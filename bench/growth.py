"""What an event costs as the people become more: us beside Kafka Streams, on the real fold's slice.

Each size is a world of its own (`bench.workload`). Everybody's first event fills the table, by the
fold itself, on both sides. Then a stretch of events comes at once, spread evenly over everybody,
and what it costs in CPU time is taken.

The stretch has the same events at each size, as far as their kind and the age of the rows go: each
step of a life that it has occurs in it equally often. Where there are fewer people than events,
each lives through several steps of it. Where there are more, those whom it is about get the steps
before with the fill. So the size of the table is all that differs.

Kafka Streams folds another topic before, with a store of its own, until Java's compiler has done
its work. Python has no such; the fill has filled its caches.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec
from msgspec import Struct

from app.development.stack.broker import Broker
from app.engine.store import META
from app.topics.catalogue import HEALTH_CODES, partition_of
from bench import compare, machine, plots, topics, workload
from bench.broker import running_broker
from bench.cpu import cpu_seconds, peak_memory_mib
from bench.observer import Stalled
from bench.outputs import different
from bench.records import PARTITIONS, Record
from bench.scale import Terminal
from bench.sides import SIDES, Side
from bench.spread import Spread
from models.codes import HealthCode

SIZES = (1_000, 10_000, 100_000, 1_000_000)
US, THEY = "us", "streams-eos"

STRETCH = 40_000
"""Events that are measured, where there are people enough."""

STEPS = range(1, 13)
"""Steps of a life that are measured: rows of one event to twelve. Ours let nothing leave before 16,
the Java peer's never do."""

WARM_PEOPLE = 10_000
"""Of so many all steps are folded before, by a side that has to be warmed."""

WARM = "bench-growth-warm"
MEASURED = "bench-growth-stretch"

CHANGELOGS = {US: "{group}-changelog", THEY: "{group}-people-changelog"}

QUIET_CORES = 0.15
QUIET_SECONDS = 1.0
QUIET_SECONDS_MAX = 120.0
"""A side is quiet, compactions and all, once it takes no more of a core in a second."""


class World(NamedTuple):
    """Everybody of one size, and what happens to them."""

    people: int
    seed: int
    stretch_max: int

    @property
    def touched(self) -> int:
        """How many the stretch is about."""
        return min(self.people, self.stretch_max)

    @property
    def each(self) -> int:
        """How many steps of the stretch each of them has; it divides all steps."""
        wanted = min(len(STEPS), self.stretch_max // self.touched)
        return max(n for n in range(1, wanted + 1) if len(STEPS) % n == 0)

    def fill(self) -> Iterator[Record]:
        """Yield everybody's first event, and what comes before the stretch."""
        for place in range(self.people):
            yield from workload.happening(place, 0, self.people, self.seed)
        for step in STEPS:
            for number, place in self._touched():
                if step < self._first(number):
                    yield from workload.happening(place, step, self.people, self.seed)

    def stretch(self) -> Iterator[Record]:
        """Yield what is measured."""
        for later in range(self.each):
            for number, place in self._touched():
                step = self._first(number) + later
                yield from workload.happening(place, step, self.people, self.seed)

    def _touched(self) -> Iterator[tuple[int, int]]:
        """Yield the number of each, and their place in a step, evenly over all."""
        return ((n, n * self.people // self.touched) for n in range(self.touched))

    def _first(self, number: int) -> int:
        """Return the first step that is measured of one of them."""
        return STEPS[number * self.each % len(STEPS)]

    def codes(self) -> Mapping[str, HealthCode]:
        """Return the codes that everybody must end with whom the stretch is about."""
        keys = {record.key for record in self.stretch()}
        records = (record for record in chain(self.fill(), self.stretch()) if record.key in keys)
        return workload.expected(records).codes


class Cost(Struct, frozen=True):
    """What one side did in one round with so many people in its table. `failures`: why it does not
    count."""

    people: int
    round: int
    side: str
    fill_events: int
    events: int
    fill_seconds: float = 0.0
    fill_cpu_seconds: float = 0.0
    quiet_cpu_seconds: float = 0.0
    """From the end of the fill until it was quiet: mostly compactions."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of the stretch, until all of it was committed."""
    memory_mib: float = 0.0
    load_before: float = 0.0
    failures: Sequence[str] = ()

    @property
    def microseconds(self) -> float:
        """CPU time of the side for an event of the stretch."""
        return self.cpu_seconds / self.events * 1e6

    @property
    def fill_microseconds(self) -> float:
        """CPU time of the side for an event of the fill, with the compactions it left."""
        return (self.fill_cpu_seconds + self.quiet_cpu_seconds) / self.fill_events * 1e6


class Found(Struct, frozen=True):
    """All rounds."""

    seed: int
    rounds: int
    costs: list[Cost]

    def sizes(self) -> list[int]:
        """Return the sizes, the smallest first."""
        return sorted({cost.people for cost in self.costs})

    def good(self, side: str, people: int) -> dict[int, Cost]:
        """Return what counts, by its round."""
        return {
            cost.round: cost
            for cost in self.costs
            if (cost.side, cost.people) == (side, people) and not cost.failures
        }

    def spread(self, side: str, people: int, figure: Callable[[Cost], float]) -> Spread | None:
        """Return the spread of a figure over the rounds."""
        good = self.good(side, people).values()
        return Spread.of([figure(cost) for cost in good]) if good else None

    def growth(self, side: str, people: int) -> Spread | None:
        """Return how many times the smallest size's cost an event costs, within each round."""
        least, most = self.good(side, self.sizes()[0]), self.good(side, people)
        ratios = [most[n].microseconds / least[n].microseconds for n in sorted(least.keys() & most)]
        return Spread.of(ratios) if ratios else None

    def grows_no_faster(self) -> bool | None:
        """Say whether ours grows no faster than theirs, from the smallest size to the largest; None
        if that was not measured."""
        ours, theirs = (self.growth(side, self.sizes()[-1]) for side in (US, THEY))
        return None if ours is None or theirs is None else ours.median <= theirs.median


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
        topics.make(bootstrap, [WARM], compare.INPUT_SETTINGS)
        lives = workload.events(WARM_PEOPLE, seed + 1, STEPS.stop)
        with terminal.bar("Fill the topic to be warmed by", WARM_PEOPLE * STEPS.stop) as tick:
            topics.publish(broker.brokers, (record._replace(topic=WARM) for record in lives), tick)
        worlds = [_filled(broker, World(people, seed, stretch), terminal) for people in sizes]
        kept = {WARM, *(world.backlog.topic for world in worlds)}
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
        warm=WARM,
    )
    return Filled(backlog, stretch, {number: found[number] for number in range(PARTITIONS)})


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

            observer.wait_stable(side.members, compare.JOIN_SECONDS_MAX)
            fill = observer.wait_done(compare.RUN_SECONDS_MAX, cpu)[-1]
            compacted = _quiet(cpu)
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


# The report


def goals(found: Found) -> Iterator[str]:
    """Yield the line of the goal."""
    if (met := found.grows_no_faster()) is None:
        return
    least, most = found.sizes()[0], found.sizes()[-1]
    ours, theirs = (
        spread.text(".2f")
        for side in (US, THEY)
        if (spread := found.growth(side, most)) is not None
    )
    yield (
        f"| Cost per event from {least:,} to {most:,} people, slice of the real fold | grows no "
        f"faster than that of Kafka Streams exactly once, {theirs} times | {ours} times "
        f"| {'met' if met else '**missed**'} |"
    )


def lines(found: Found, out: Path) -> Iterator[str]:
    """Yield the section of the report; draw the plot into `out`."""
    sides = {US: "Yuekang, 1 worker", THEY: "Kafka Streams, exactly once"}
    events = max(cost.events for cost in found.costs)
    yield from ("", "## Cost per event as the people become more, beside Kafka Streams", "")
    yield (
        f"Slice of the real fold, all guarantees on both sides, both warm. The fold fills the "
        f"table; then {events:,} events (fewer of fewer people) come at once, spread evenly over "
        "everybody, of the same kinds and into rows of the same ages at each size. CPU time of the "
        "side until all is committed; times: within each round, of its own cost at the smallest "
        f"size. Median (least–most) of {found.rounds} rounds. After each run the rows are counted, "
        "and the codes of those whom the events were about are compared with what they must be."
    )
    yield from ("", "![CPU time of an event by people, and its growth](growth.svg)", "")
    yield (
        "| People | Side | Events | µs an event | Times | Fill, µs an event with its compactions "
        "| Fill, s | Memory, MiB |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for people in found.sizes():
        for side, title in sides.items():
            good = list(found.good(side, people).values())
            if not good:
                yield f"| {people:,} | {title} | failed | | | | | |"
                continue
            growth = found.growth(side, people)
            columns = (
                f"{max(cost.events for cost in good):,}",
                Spread.of([cost.microseconds for cost in good]).text(".1f"),
                "" if growth is None else growth.text(".2f"),
                Spread.of([cost.fill_microseconds for cost in good]).text(".1f"),
                f"{median(cost.fill_seconds for cost in good):.0f}",
                Spread.of([cost.memory_mib for cost in good]).text(",.0f"),
            )
            yield f"| {people:,} | {title} | {' | '.join(columns)} |"
    for cost in found.costs:
        if cost.failures:
            yield (
                f"- {cost.people:,} people, round {cost.round}, {cost.side}, failed: "
                f"`{cost.failures[0][:300]}`"
            )
    (out / "growth.svg").write_text(_plot(found, sides))


def _plot(found: Found, sides: Mapping[str, str]) -> str:
    def curves(figure: Callable[[str, int], Spread | None]) -> list[plots.Curve]:
        return [
            plots.Curve(title, {n: s for n in found.sizes() if (s := figure(side, n)) is not None})
            for side, title in sides.items()
        ]

    return plots.by_size(
        "people in the table",
        {
            "µs of CPU an event": curves(lambda s, n: found.spread(s, n, lambda c: c.microseconds)),
            "times its own cost at the smallest size": curves(found.growth),
        },
    )
