"""What was measured, as the JSON files of docs/benchmarks have it. CPU in microseconds."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench.machine import LOAD_MAX

LIFE = "tested every second day"
US = "us"
VIEW = "view"


class NotMeasured(Exception):
    """A figure is in no file yet: `part` says which."""

    def __init__(self, part: str) -> None:
        self.part = part
        super().__init__(f"not measured yet: {command_of(part)}")


def command_of(part: str) -> str:
    """Return the command that measures a part; of what none measures, the words for it."""
    if part == VIEW:
        return "`make bench-view PARTS=rounds`"
    return f"`make bench PARTS={part}`" if part in PARTS else part


PARTS = ("real", "scale", "start", "lifetime", "scans", "freshness", "displays", "entrances",
         "replica")  # fmt: skip


class Figures:
    """The figures of the parts that there are; each raises `NotMeasured` where its part is not."""

    def __init__(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        self.parts = parts

    @classmethod
    def read(cls, folder: Path) -> "Figures":
        """Read the parts that are in a folder."""
        decode = msgspec.json.decode
        parts: dict[str, Any] = {
            name: decode(path.read_bytes())
            for name in PARTS
            if (path := folder / f"{name}.json").exists()
        }
        if (path := folder / "view.json").exists():
            rounds = decode(path.read_bytes()).get("rounds")
            parts |= {} if rounds is None else {VIEW: rounds}
        return cls(parts)

    def notes(self) -> Sequence[str]:
        """Return what has to be said of parts before their figures are believed."""
        busy = [
            f"The machine had other work when {command_of(name)} began (load "
            f"{part['load_before']:.1f})."
            for name, part in self.parts.items()
            if part["load_before"] > LOAD_MAX
        ]
        noted = [f"{command_of(n)}: {p['note']}" for n, p in self.parts.items() if p.get("note")]
        return [*busy, *noted]

    def measured(self) -> Sequence[str]:
        """Return of each part when it was measured, and at which commit."""
        return [
            f"{name}: {part['at'][:10]}, {part.get('commit') or part['machine']['Yuekang']}"
            for name, part in self.parts.items()
        ]

    def cpu(self) -> str:
        """Return what the cores are that were measured."""
        cpus = {part["machine"]["CPU"] for part in self.parts.values()}
        return "; ".join(sorted(cpus)) or "unknown"

    def _found(self, part: str) -> Any:
        if part not in self.parts:
            raise NotMeasured(part)
        return self.parts[part]["found"]

    # The view

    def answer_us(self, name: str, process: str) -> float:
        """Return what a display or a page costs a process, the view with its writer."""
        return _median(asked["cost_us"][process] for asked in self._asked(name))

    def answers_most(self, name: str) -> float:
        """Return the most answers a second of two cores, with all else on them."""
        return _median(max(asked["warm"].values()) for asked in self._asked(name))

    def body_bytes(self, name: str) -> float:
        """Return the bytes of an answer's body."""
        return _median(asked["body_bytes"] for asked in self._asked(name))

    def change_us(self, process: str) -> float:
        """Return what a change of a code costs a process, with what it does when idle."""
        found = self._found(VIEW)
        cores = _median(base["cores"][process] for base in found["base"])
        return cores / float(found["changes_a_second"]) * 1e6

    def _asked(self, name: str) -> list[Any]:
        return [asked for asked in self._found(VIEW)["asked"] if asked["name"] == name]

    def scan_us(self) -> float:
        """Return what a scan costs the view."""
        found = self._found("scans")
        return float(found["view_cores"] / found["rate_reached"] * 1e6)

    def writer_us(self) -> float:
        """Return what a display costs the process that writes it."""
        return self._recorded_us("writer_seconds")

    def display_broker_us(self) -> float:
        """Return what a display costs the broker that takes it."""
        return self._recorded_us("broker_seconds")

    def _recorded_us(self, seconds: str) -> float:
        shown = [run for run in self._found("displays")["shown"] if run["written"]]
        return _median(run[seconds] / run["written"] * 1e6 for run in shown)

    # Where events come in

    def entrance_us(self, process: str) -> float:
        """Return what an event costs the process that it comes in by, beyond what it has idle."""
        return _median(each["cost_us"] for each in self._sent(process))

    def entrance_idle(self, process: str) -> float:
        """Return the cores of one such process while nobody sends."""
        return float(self._found("entrances")["idle_cores"][process])

    def entrance_mib(self, process: str) -> float:
        """Return the most memory that it had, in MiB."""
        return float(max(each["memory_mib"] for each in self._sent(process)))

    def _sent(self, by: str) -> list[Any]:
        return [each for each in self._found("entrances")["sent"] if each["by"] == by]

    # The fold

    def fold_us(self) -> float:
        """Return what an event costs a worker, rows young and warm."""
        return _median(run["warm_cpu_seconds"] * 2 / run["records"] * 1e6 for run in self._real())

    def fold_broker_us(self) -> float:
        """Return what an event costs the broker: read, changelog and outputs."""
        return _median(run["broker_cpu_seconds"] / run["records"] * 1e6 for run in self._real())

    def _real(self) -> list[Any]:
        runs = self._found("real")["runs"]
        return [run for run in runs if run["side"] == US and not run["failures"]]

    def aged_us(self) -> float:
        """Return by how much an event is dearer after 400 days of tests."""
        life = self._life()
        return max(0.0, float(life["old_us"] - life["young_us"]))

    def life_bytes(self, *, compressed: bool) -> float:
        """Return the bytes of a person's row and history after 400 days."""
        life = self._life()
        kind = "compressed" if compressed else "bytes"
        return float(life[f"row_{kind}"] + life[f"history_{kind}"])

    def row_bytes(self) -> float:
        """Return the bytes of a person's row alone."""
        return float(self._life()["row_bytes"])

    def _life(self) -> Any:
        return next(life for life in self._found("lifetime")["lifetimes"] if life["who"] == LIFE)

    def lists_us(self) -> float:
        """Return what an event of a list costs a lists worker."""
        folded = self._found("displays")["folded"]
        return float(folded["cpu_seconds"] / folded["displays"] * 1e6)

    def lists_most(self) -> float:
        """Return how many displays a second one lists worker folds."""
        folded = self._found("displays")["folded"]
        return float(folded["displays"] / folded["seconds"])

    # Starts

    def start(self, what: str) -> float:
        """Return a figure of the starts: `people`, seconds, MiB."""
        value = self._found("start").get(what)
        if value is None:
            raise NotMeasured("start")
        return float(value)

    def replica(self, kept: str, what: str) -> float:
        """Return a figure of the replica's builds, kept `in memory` or `on disk`."""
        builds = self._found("replica")["builds"]
        return _median(build[what] for build in builds if build["kept"] == kept)

    def replica_people(self) -> float:
        """Return how many people were in it."""
        return float(self._found("replica")["people"])

    def code_bytes(self) -> float:
        """Return the bytes of a code on the log."""
        return float(self._found("replica")["code_bytes"])

    def fresh_partitions(self) -> float:
        """Return of how many partitions of each topic it was asked how fresh they are."""
        return float(self._found("freshness")["partitions"])

    def scale_people(self) -> float:
        """Return the most people over whom the cost of an event was measured."""
        return float(max(point["people"] for point in self._found("scale")))


def _median(values: Iterable[Any]) -> float:
    return float(median(values))


def shown(figure: Callable[[], str]) -> str:
    """Return a figure's text; where a part of it is missing, that it is, and what measures it."""
    try:
        return figure()
    except NotMeasured as error:
        return f"*{error}*"
