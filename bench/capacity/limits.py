"""What there is one of, or what is fixed: how much of it is needed, and what to do at its end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.capacity.figures import NotMeasured
from bench.capacity.needs import Needs

NEAR = 0.8


@dataclass(frozen=True, slots=True)
class Limit:
    """A resource. `used` is how many times it is needed; more than 1 does not fit."""

    what: str
    used: Callable[[], float]
    then: str
    of_measured: bool = False
    """It is no end: what is above 1 was not measured."""

    def said(self, used: float) -> str:
        """Say what a use means."""
        if used > 1:
            return "beyond what was measured" if self.of_measured else "**does not fit**"
        return "near" if used > NEAR else "fits"


def limits(needs: Needs) -> list[Limit]:
    """Return all of them."""
    memory, disk = needs.memory_bytes(), needs.machine_disk_bytes()
    return [
        Limit(
            "memory of the one Redis of rows",
            lambda: needs.rows_bytes() / memory,
            "It has no shards. Rows and histories have to leave memory: into files on several "
            "machines, by partition, as codes are in a replica. That is not built. Until then "
            "health information and explanations are for a part of the people, such as a city "
            "with a deployment of its own. No colour depends on it where sessions and credentials "
            "have servers of their own.",
        ),
        Limit(
            "memory of the one Redis of codes",
            lambda: needs.codes_bytes() / memory,
            "A machine with more memory. Machines with a replica show codes without it.",
        ),
        Limit(
            "memory of the one Redis of credentials",
            lambda: needs.credentials_bytes() / memory,
            "A machine with more memory.",
        ),
        Limit(
            "the one `rows` in the busiest second, of a core",
            lambda: needs.rows_cores().peak,
            "It lags, and health information is older; no colour waits for it. It catches up "
            "if its mean is below one core. Beyond that it has to be split by partition, which "
            "is not built.",
        ),
        Limit(
            "the one `rows` over a day, of a core",
            lambda: needs.rows_cores().mean,
            "It would never catch up. It has to be split by partition, which is not built.",
        ),
        Limit(
            "the one gateway in the busiest hour, of a core, should all events come by it",
            lambda: needs.gateway_cores(),
            "It counts each source's events and person keys in memory, so beside a second one a "
            "source has twice its limits. Agencies that write to Kafka themselves do not need it.",
        ),
        Limit(
            "the one projection in the busiest hour, of a core",
            lambda: needs.projection_cores(),
            "Machines with a replica do not need it.",
        ),
        Limit(
            "the one thread of the Redis of codes at the peak",
            lambda: needs.redis_cores(),
            "Machines with a replica do not ask it for codes.",
        ),
        Limit(
            "one machine's replica in the busiest hour, of a core",
            lambda: needs.replica_cores(),
            "Each replica follows all changes, so more machines do not help. It would have to "
            "be split by partition, and requests to be sent to the machine that has the person.",
        ),
        Limit(
            "disk of one machine's replica",
            lambda: needs.replica_bytes() / disk,
            "A larger disk; more machines do not help, since each has everybody's code.",
        ),
        Limit(
            "memory of one machine, if its replica is kept in memory",
            lambda: needs.replica_bytes() / memory,
            "On a disk: what is read often stays in the page cache.",
        ),
        Limit(
            "workers, of partitions",
            lambda: needs.workers() / needs.partitions(),
            "A new generation of topics with more partitions.",
        ),
        Limit(
            "partitions, of as many as were measured when freshness is asked",
            lambda: needs.partitions() / needs.figures.fresh_partitions(),
            "Measure with more (`make bench PARTS=freshness`) before they are made.",
            of_measured=True,
        ),
        Limit(
            "people of a worker, of as many as the cost of an event was measured over",
            lambda: needs.people / needs.workers() / needs.figures.scale_people(),
            "More workers, or a benchmark with more people. Until then it is supposed that an "
            "event of more people costs no more.",
            of_measured=True,
        ),
    ]


def ordered(found: list[Limit]) -> Iterator[tuple[Limit, float | None]]:
    """Yield each with how much is used, the most first; then those that are not measured."""
    used: list[tuple[Limit, float]] = []
    unknown: list[Limit] = []
    for limit in found:
        try:
            used.append((limit, limit.used()))
        except NotMeasured:
            unknown.append(limit)
    yield from sorted(used, key=lambda pair: -pair[1])
    yield from ((limit, None) for limit in unknown)
