"""What `bench.growth` found: an event's cost by the number of people, and how it grows, as the
report has it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

from msgspec import Struct

from bench import plots
from bench.spread import Spread

US, THEY = "us", "streams-eos"

SIDES = {US: "Yuekang, 1 worker", THEY: "Kafka Streams, exactly once"}


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
    idle_cores: float = 0.0
    """What the side took just before, when it had nothing to do."""
    memory_mib: float = 0.0
    load_before: float = 0.0
    failures: Sequence[str] = ()

    @property
    def microseconds(self) -> float:
        """CPU time of the side for an event of the stretch, beyond what it takes idle: few events
        wait as long for the next commit as many do."""
        return (self.cpu_seconds - self.idle_cores * self.seconds) / self.events * 1e6

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
    events = max(cost.events for cost in found.costs)
    yield from ("", "## Cost per event as the people become more, beside Kafka Streams", "")
    yield (
        f"Slice of the real fold, all guarantees on both sides; Kafka Streams has folded "
        "another topic before, for its compiler. The fold fills the "
        f"table; then {events:,} events (fewer of fewer people) come at once, spread evenly over "
        "everybody, of the same kinds and into rows of the same ages at each size. CPU time of the "
        "side until all is committed, less what it takes when it has nothing to do; "
        "times: within each round, of its own cost at the smallest "
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
        for side, title in SIDES.items():
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
    (out / "growth.svg").write_text(_plot(found))


def _plot(found: Found) -> str:
    def curves(figure: Callable[[str, int], Spread | None]) -> list[plots.Curve]:
        return [
            plots.Curve(title, {n: s for n in found.sizes() if (s := figure(side, n)) is not None})
            for side, title in SIDES.items()
        ]

    return plots.by_size(
        "people in the table",
        {
            "µs of CPU an event": curves(lambda s, n: found.spread(s, n, lambda c: c.microseconds)),
            "times its own cost at the smallest size": curves(found.growth),
        },
    )
