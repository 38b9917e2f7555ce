"""The sections of docs/capacity.md that are computed: rates, processes, logs, starts."""

from collections.abc import Callable, Iterator

from bench.capacity.figures import shown
from bench.capacity.needs import BROKERS, FOLDERS, GATEWAY, SUBMISSIONS_WORKER, Needs
from bench.capacity.rates import Rate
from bench.capacity.writing import Text, about, bits, computed, lasting, size, table


def rates(needs: Needs) -> Iterator[str]:
    """Yield how many events there are."""
    kinds: list[tuple[str, Rate, str]] = [
        ("displays", needs.displays, "a second of the peak"),
        ("scans", needs.scans, "the same"),
        ("events that bear on a code", needs.facts, "the busiest hour of the busiest day"),
        ("of these, changes of codes", needs.changes, "the same"),
        ("records more, of changes that are counted first", needs.rounds, "the same"),
        ("events of the other lists", needs.others, "the busiest hour"),
    ]
    yield from table(
        "Events a second", ("", "Over a day", "At the peak", "The peak is"),
        ((what, about(rate.mean), about(rate.peak), peak) for what, rate, peak in kinds),
    )  # fmt: skip


def sections(needs: Needs) -> Iterator[str]:
    """Yield what each kind of process needs."""
    supposed = needs.supposed
    logs, kept = needs.logs(), needs.kept()
    yield from computed("Showing codes", [
        ("CPU of a display, pages among it", lambda: f"{needs.display_us():.1f} us",
         "displays and pages by their shares"),
        ("cores of the views", lambda: about(needs.view_cores()),
         "displays and scans at the peak, each times its CPU"),
        ("views", lambda: f"{needs.views():,}", "one core each, used by half"),
        ("machines with views", lambda: f"{needs.view_machines():,}",
         "one core of each is the replica's; at least two"),
        ("disk of each one's replica", lambda: size(needs.replica_bytes()),
         "everybody's code on each machine"),
        ("cores of each one's replica", lambda: about(needs.replica_cores()),
         "all changes in the busiest hour"),
        ("network out, all views", lambda: bits(needs.display_bits()),
         "bodies and what is beside them"),
        ("memory of ended sessions, each view", lambda: size(needs.logout_bytes()),
         "logouts of twelve hours"),
    ])  # fmt: skip
    yield from computed("Where events come in", [
        ("CPU of an event in the gateway", lambda: f"{needs.figures.entrance_us(GATEWAY):.0f} us",
         "over HTTP in batches of 100, with a document each"),
        ("cores of the gateway", lambda: about(needs.gateway_cores()),
         "the busiest hour, should all events come by it, and what it has idle"),
        ("CPU of an event in a submissions worker",
         lambda: f"{needs.figures.entrance_us(SUBMISSIONS_WORKER):.0f} us",
         "what an agency writes to Kafka itself, some 25 records of a partition at once"),
        ("cores of the submissions workers", lambda: about(needs.submissions_cores()),
         "the busiest hour, should all events come by them"),
        ("submissions workers", lambda: f"{needs.submissions_workers():,}",
         "used by half; at least two"),
    ])  # fmt: skip
    yield from computed("Folding", [
        ("CPU of an event", lambda: f"{needs.fact_us():.0f} us", "young rows, and what age adds"),
        ("cores of the workers in the busiest hour", lambda: about(needs.worker_cores()),
         "events, and what goes round, times CPU"),
        ("the same, should as many events come as displays",
         lambda: about(needs.displays.peak * needs.fact_us() / 1e6),
         f"{needs.displays.peak:,.0f} events a second"),
        ("workers for the busiest hour", lambda: f"{needs.workers_for_load():,}", "used by half"),
        ("workers, so that a lost store is read again in time",
         lambda: f"{needs.workers_for_start():,}",
         f"{supposed.recover_seconds.value:g} s; see the starts below"),
        ("people of each worker", lambda: about(needs.people / needs.workers()), ""),
        ("disk of each worker's store, at most",
         lambda: size(needs.store_bytes() / needs.workers()),
         "as the rows are; the store compresses them (lz4), by how much is not measured yet"),
        ("cores of the lists workers over a day; at the peak",
         lambda: f"{about(needs.lists_cores().mean)}; {about(needs.lists_cores().peak)}",
         "displays and the other lists"),
        ("lists workers", lambda: f"{needs.lists_workers():,}", "of the mean, used by half"),
        ("how long they fold at what an hour's peak left",
         lambda: f"{about(needs.lists_behind_hours())} h", "beside the mean, all cores used"),
        ("partitions", lambda: f"{needs.partitions():,}",
         f"{supposed.partitions_times.value:g} for each worker, a power of two"),
        ("memory of all workers; of all lists workers",
         lambda: f"{size(needs.worker_bytes())}; the same", "by partition"),
        *((f"machines for both, by {what}", lambda what=what: f"{needs.fold_machines(what):,}", "")
          for what in FOLDERS),
    ])  # fmt: skip
    yield from computed("What follows the log", [
        ("cores of the projection", lambda: about(needs.projection_cores()), "the busiest hour"),
        ("cores of rows over a day; at the peak",
         lambda: f"{about(needs.rows_cores().mean)}; {about(needs.rows_cores().peak)}",
         "a row for each event, as dear as a change of a code; it lags at the peak"),
        ("cores of the Redis of codes", lambda: about(needs.redis_cores()),
         "changes in the busiest hour, and what views ask at the peak"),
        ("memory of the Redis of codes", lambda: size(needs.codes_bytes()),
         "all green; a red code is longer"),
        ("memory of the Redis of rows, at least", lambda: size(needs.rows_bytes()),
         "row, history and lists of each person"),
        ("memory of the Redis of credentials", lambda: size(needs.credentials_bytes()),
         "one credential each"),
        ("memory of the Redis of sessions", lambda: size(needs.logout_bytes()),
         "logouts of twelve hours, taken to be as large as in a view"),
    ])  # fmt: skip
    yield from computed("Kafka", [
        *((f"log of {what}, {days} days, one copy", lambda what=what: size(logs[what]),
           "at most: not compressed") for what, (_, days, _) in kept.items()),
        ("log of the people's table, one copy", lambda: size(needs.compacted()),
         "row and history by zstd, compacted"),
        ("log of the lists' table, one copy", lambda: size(needs.lists_log()),
         "at most: not compressed; compacted"),
        ("health-codes, one copy", lambda: size(needs.codes_log()),
         "at most: not compressed; compacted"),
        ("disk of all brokers", lambda: size(needs.disk_bytes()),
         f"{supposed.copies.value:g} copies of the above"),
        ("cores of all brokers", lambda: about(needs.broker_cores()),
         "displays and events at once, each copy as dear as the first; scans are not in it"),
        ("network of all brokers, in and out", lambda: bits(needs.log_bits()),
         "at most: inputs and changelogs at the peak as they are, their copies, one reader each"),
        ("copies of partitions", lambda: f"{needs.replicas():,}", "all topics"),
        *((f"brokers for {what}", lambda what=what: f"{needs.brokers_for(what):,}", "")
          for what in BROKERS),
        ("brokers", lambda: f"{needs.brokers():,}", "the most of these"),
    ])  # fmt: skip


def starts(needs: Needs) -> Iterator[str]:
    """Yield how long it takes to build again what was kept."""
    figures = needs.figures

    def start(what: str) -> Text:
        return lambda: lasting(figures.start(what))

    def of_all(what: str) -> Text:
        return lambda: lasting(figures.start(what) / figures.start("people") * needs.people)

    def replica(kept: str, what: str, people: Callable[[], float]) -> Text:
        return lambda: lasting(figures.replica(kept, what) / figures.replica_people() * people())

    def worker(count: int) -> Text:
        return lambda: lasting(needs.start_seconds(needs.people / count))

    expected: list[tuple[str, Text, Text]] = [
        ("a worker with its store", start("start_with_store_seconds"),
         lambda: "as measured, if its store is at the log's end"),
        ("one worker without its store", start("start_without_store_seconds"), worker(1)),
        ("two workers without a store, each with half", start("two_workers_seconds"), worker(2)),
        ("two workers, times as fast as one",
         lambda: about(figures.start("start_without_store_seconds")
                       / figures.start("two_workers_seconds")),
         lambda: about(needs.start_seconds(needs.people) / needs.start_seconds(needs.people / 2))),
        *((f"{count} workers, each with its part, on a core each", lambda: "",
           worker(count)) for count in (32, 64, 128)),
        ("Redis of codes, empty, one projection", start("redis_seconds"), of_all("redis_seconds")),
        *((f"a replica {kept}, empty", replica(kept, "seconds", figures.replica_people),
           replica(kept, "seconds", lambda: needs.people)) for kept in ("in memory", "on disk")),
    ]  # fmt: skip
    yield from table(
        "Starts without what was kept",
        (
            "",
            f"Measured on two cores, of {shown(lambda: about(figures.start('people')))} people",
            f"Computed for {needs.people / 1e6:,.0f} million",
        ),
        ((what, shown(one), shown(two)) for what, one, two in expected),
    )
    yield ""
    yield (
        "A worker reads the changelog of its partitions alone, in one process with one loop; so "
        "its time falls with the number of workers, down to that of a start with the store. More "
        "partitions do not make it faster; they allow more workers. The people of that "
        "measurement have two events each: after 400 days a person has pages of history besides, "
        "which are read too. A start with histories is not measured yet, so the times of workers "
        "are at least. The Redis of codes is written by one projection, whatever the number of "
        "partitions; more processes do not help it. Each machine builds its own replica at the "
        "same time as the others; its time does not depend on their number, as long as the "
        "brokers send as fast as each reads. On a disk, what is larger than the page cache may "
        "take longer than computed."
    )
