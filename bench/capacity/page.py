"""docs/capacity.md. Computed numbers have two digits; counts are rounded up."""

from collections.abc import Callable, Iterator
from functools import partial

from bench.capacity.assumptions import Assumptions, record_bytes
from bench.capacity.figures import Figures, shown
from bench.capacity.limits import Limit, limits, ordered
from bench.capacity.needs import DISPLAY, FOLDERS, GATEWAY, LISTED, RESULT, SCAN, Needs
from bench.capacity.sections import rates, sections, starts
from bench.capacity.writing import Row, Text, about, size, table

MILLION = 1e6
NO_PART = "*not measured yet: no benchmark measures it*"


def page(figures: Figures, supposed: Assumptions) -> str:
    """Return the page."""
    return "\n".join(_lines(Needs(figures, supposed))) + "\n"


def _lines(needs: Needs) -> Iterator[str]:
    supposed = needs.supposed
    yield "# What a province needs"
    yield ""
    yield (
        f"Computed for {supposed.people.value / MILLION:,.0f} million people, "
        f"{supposed.displays_day.value / MILLION:,.0f} million displays a day and "
        f"{supposed.displays_peak.value:,.0f} displays a second. `python -m bench.capacity` writes "
        "this page from the figures in [benchmarks](benchmarks/README.md) and the assumptions "
        "below. Nothing here was measured at this size: each figure is one of two cores, times "
        "how often it happens. What is not measured yet is said to be, and what rests on it is "
        "left open. Computed numbers have two digits."
    )
    for note in needs.figures.notes():
        yield from ("", f"**{note}**")
    yield from _all(needs)
    yield from _ends(needs)
    yield from _assumed(supposed)
    yield from _measured(needs)
    yield from rates(needs)
    yield from sections(needs)
    yield from starts(needs)
    yield from _left_out()


def _all(needs: Needs) -> Iterator[str]:
    """Every kind of process."""
    one, memory = (lambda: "1"), needs.supposed.partition_mib.value
    kinds: list[tuple[str, Text, Text, Text, Text]] = [
        ("view, with its writer", lambda: f"{needs.views():,}",
         lambda: about(needs.view_cores()), lambda: NO_PART, lambda: "none"),
        ("replica, one a machine with views", lambda: f"{needs.view_machines():,}",
         lambda: f"{about(needs.replica_cores())} each", lambda: "page cache",
         lambda: f"{size(needs.replica_bytes())} each"),
        ("worker", lambda: f"{needs.workers():,}", lambda: about(needs.worker_cores()),
         lambda: size(needs.worker_bytes()), lambda: f"at most {size(needs.store_bytes())}"),
        ("lists-worker", lambda: f"{needs.lists_workers():,}",
         lambda: about(needs.lists_cores().mean), lambda: size(needs.worker_bytes()),
         lambda: f"at most {size(needs.lists_store_bytes())}"),
        ("gateway", one, lambda: about(needs.gateway_cores()),
         lambda: f"{needs.figures.entrance_mib(GATEWAY):,.0f} MiB", lambda: "none"),
        ("submissions-worker, should all events come by it",
         lambda: f"{needs.submissions_workers():,}", lambda: about(needs.submissions_cores()),
         lambda: f"{memory:,.0f} MiB a partition", lambda: "little: places alone"),
        ("projection", one, lambda: about(needs.projection_cores()),
         lambda: f"{needs.figures.start('projection_mib'):,.0f} MiB", lambda: "none"),
        ("rows", one, lambda: about(needs.rows_cores().mean),
         lambda: NO_PART, lambda: "none"),
        ("Redis of codes", one, lambda: about(needs.redis_cores()),
         lambda: size(needs.codes_bytes()), lambda: "none"),
        ("Redis of rows", one, lambda: NO_PART, lambda: size(needs.rows_bytes()),
         lambda: "none"),
        ("Redis of credentials", one, lambda: NO_PART,
         lambda: size(needs.credentials_bytes()), lambda: "none"),
        ("Redis of sessions", one, lambda: NO_PART, lambda: size(needs.logout_bytes()),
         lambda: "none"),
        ("Kafka broker", lambda: f"{needs.brokers():,}",
         lambda: about(needs.broker_cores()), lambda: "page cache",
         lambda: size(needs.disk_bytes())),
    ]  # fmt: skip
    yield from table(
        "In short",
        ("Kind", "Processes", "Cores in all", "Memory in all", "Disk in all"),
        ([kind, *map(shown, texts)] for kind, *texts in kinds),
    )
    folding = shown(lambda: f"{max(map(needs.fold_machines, FOLDERS)):,}")
    yield ""
    yield (
        "Cores are those used at the peak of displays and in the busiest hour of events, "
        "lists-worker and rows over a day. Together, every event by the gateway, without what no "
        "benchmark measures: "
        f"{shown(lambda: about(needs.cores()))}. Processes leave half of a core free. Machines "
        f"with views: {shown(lambda: f'{needs.view_machines():,}')}. Machines with workers: "
        f"{folding}. Brokers: {shown(lambda: f'{needs.brokers():,}')}. Partitions of each topic "
        f"that is keyed by person: {shown(lambda: f'{needs.partitions():,}')}."
    )


def _ends(needs: Needs) -> Iterator[str]:
    found = list(ordered(limits(needs)))
    rows = (
        (
            limit.what,
            _needed(limit),
            "open" if used is None else limit.said(used),
            limit.then,
        )
        for limit, used in found
    )
    yield from table(
        "What ends first", ("Resource", "Needed, times what there is", "", "What to do then"), rows
    )
    first = next((one for one in found if one[1] is not None and not one[0].of_measured), None)
    yield ""
    if first is not None:
        yield f"Of what is known, what ends first is the {first[0].what.removeprefix('the ')}."
    yield (
        "Views, workers and brokers end at no number here: more machines bear more, workers up to "
        "the number of partitions. So add views and their machines for more displays, partitions "
        "and workers for more events and people, brokers for more of the log."
    )


def _needed(limit: Limit) -> str:
    return shown(lambda: about(limit.used()))


def _assumed(supposed: Assumptions) -> Iterator[str]:
    rows = (
        (
            format(one.value, one.form),
            one.of,
            one.source,
        )
        for one in supposed.all()
    )
    yield from table("Assumptions", ("", "Of what", "Source"), rows)


def _measured(needs: Needs) -> Iterator[str]:
    figures = needs.figures

    def us(value: Callable[[], float]) -> Text:
        return lambda: f"{value():.1f} us"

    rows: list[Row] = [
        ("a display, in the view and its writer", us(lambda: figures.answer_us("display", "view")),
         "view"),
        ("a page, the same", us(lambda: figures.answer_us("page", "view")), "view"),
        ("the writer's part of a display", us(figures.writer_us), "displays"),
        ("a display, in the broker", us(figures.display_broker_us), "displays"),
        ("displays a second that two cores bear, with all else on them",
         lambda: f"{figures.answers_most('display'):,.0f}", "view"),
        ("a scan, in the view", us(figures.scan_us), "scans"),
        ("an event, in a worker, young rows", us(figures.fold_us), "real"),
        ("by how much it is dearer after 400 days", us(figures.aged_us), "lifetime"),
        ("an event, in the broker", us(figures.fold_broker_us), "real"),
        ("a display, in a lists worker", us(figures.lists_us), "displays"),
        *((f"a change of a code, in {name}", us(partial(figures.change_us, process)), "view")
          for name, process in (("the projection", "projection"), ("the replica", "replica"),
                                ("`rows`", "rows"), ("the Redis of codes", "redis"))),
        ("row and history of a person after 400 days, as they are",
         lambda: size(figures.life_bytes(compressed=False)), "lifetime"),
        ("the same by zstd, with those of many people who are alike",
         lambda: size(figures.life_bytes(compressed=True)), "lifetime"),
        ("a person in the Redis of codes",
         lambda: size(figures.start("redis_mib") * 2**20 / figures.start("people")), "start"),
        ("a person in a replica on a disk",
         lambda: size(figures.replica("on disk", "bytes_each")), "replica"),
        ("a code on the log", lambda: size(figures.code_bytes()), "replica"),
        ("partitions of each topic when freshness was asked",
         lambda: f"{figures.fresh_partitions():,.0f}", "freshness"),
        ("people over whom an event's cost was measured", lambda: f"{figures.scale_people():,.0f}",
         "scale"),
    ]  # fmt: skip
    yield from table(
        "Figures", ("", "Measured", "Part"),
        ((what, shown(text), part) for what, text, part in rows),
    )  # fmt: skip
    yield ""
    yield (
        f"A core is one of those: {figures.cpu()}. Times are CPU time, medians where there are "
        "rounds. What a change costs is of 500 a second, so it has what the process does when it "
        "is idle. Records on the log are those of the examples in `app/topics/examples`, with key "
        "and MAC: "
        + ", ".join(
            f"{record_bytes(type_):,} bytes for {what}"
            for what, type_ in (("a result", RESULT), ("a display", DISPLAY), ("a scan", SCAN),
                                ("a temperature, which stands for the other lists", LISTED))
        )
        + ". They are not compressed there, and on the log they are; by how much is not measured "
        "yet, so disks are given at most."
    )  # fmt: skip
    yield ""
    yield f"Measured at: {'; '.join(figures.measured()) or 'no commit yet'}."


def _left_out() -> Iterator[str]:
    yield from ("", "## What is left out", "")
    yield from (
        "- The proxies that end TLS, the OpenID provider, who sends SMS: not ours, not measured.",
        "- Logins, the travel card, the dashboard, officers' questions and their audit log: "
        "rare beside displays by our own assumption; what each costs is not measured yet.",
        "- Of an event that comes in: the signature that a production gateway checks, and what the "
        "broker takes for its first record, and for its second where it comes by submissions.",
        "- What a worker takes to check a scan, and `rows` to write a list: not measured yet.",
        "- What disks write and read: RocksDB and Kafka write records again as they compact.",
        "- Dead letters, what is parked and held: few in good health.",
        "- Phones that show their code by themselves ask for status lists in place of displays.",
    )
