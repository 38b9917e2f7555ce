"""The page docs/benchmarks/view.md, and its plots: from what was kept, and nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from bench.machine import LOAD_MAX, PACE_IS, pace_text
from bench.plots import bars
from bench.spread import Spread
from bench.view import phones
from bench.view.curves import Curve, over_time
from bench.view.paced import GOOD, OLD
from bench.view.phones import Shown
from bench.view.profile import Profile
from bench.view.rounds import SHARE, Asked, Found, too_few
from bench.view.scenes import HONEST_SHARE, NORMAL_SECONDS, TENFOLD, Scene

DISPLAYS, DISPLAYS_AIM, PAGES = 20_000, 25_000, 8_000
"""Answers a second (issue 20)."""
RATIO_MAX = 1.6
P99_MS = 50.0
COST_US = 80.0


class Kept(Struct, frozen=True):
    """What a part found, with what it ran on."""

    command: str
    commit: str
    at: datetime
    seconds: int
    load_before: float
    machine: Mapping[str, str]
    found: Any
    pace_ms: Sequence[float] = ()
    """The machine's pace before and after (bench.machine); older parts have none."""


TYPES: Mapping[str, Any] = {
    "rounds": Found,
    "before": Found,
    "profile": list[Profile],
    "profile-before": list[Profile],
    "scenes": list[Scene],
    "phones": Shown,
}
"""The parts of view.json."""


def keep(out: Path, part: str, kept: Kept) -> None:
    """Put what a part found into view.json, in place of what it found before."""
    path = out / "view.json"
    parts = _read(path)
    parts[part] = kept
    text = msgspec.json.format(msgspec.json.encode(parts), indent=1)
    path.write_bytes(text + b"\n")


def _read(path: Path) -> dict[str, Kept]:
    if not path.exists():
        return {}
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Kept])


def write(out: Path) -> Path:
    """Write view.md and the plots into `out`; return the page."""
    parts = _read(out / "view.json")
    found = {
        name: msgspec.convert(kept.found, TYPES[name], str_keys=True)
        for name, kept in parts.items()
    }
    path = out / "view.md"
    path.write_text("\n".join(_lines(out, parts, found)) + "\n")
    return path


def _lines(out: Path, parts: Mapping[str, Kept], found: Mapping[str, Any]) -> Iterator[str]:
    yield "# The view at the peak"
    yield ""
    yield "Written by `make bench-view` (`bench/view`); each figure comes from view.json beside it."
    busy = [name for name, kept in parts.items() if kept.load_before > LOAD_MAX]
    if busy:
        yield ""
        yield (
            f"**The machine had other work when {', '.join(busy)} began.** These figures say "
            "little: measure again on a machine that does nothing else."
        )
    if "rounds" in found:
        yield from _goals(found)
        yield from _table(out, found)
        yield from _costs(found)
        yield from _second_machine(found["rounds"])
    for name, title in (("profile", "Where it goes"), ("profile-before", "Where it went before")):
        if name in found:
            yield from _profile(out, name, title, found[name])
    if "scenes" in found:
        yield from _scenes(out, found["scenes"])
    if "phones" in found:
        yield from phones.lines(found["phones"])
    yield from _machine(parts)


def _of(found: Found, name: str) -> list[Asked]:
    return [each for each in found.asked if each.name == name]


def _spread(values: Sequence[float], form: str = ",.0f") -> str:
    return Spread.of(values).text(form) if values else ""


def _met(good: bool) -> str:
    return "met" if good else "**missed**"


def _goals(found: Mapping[str, Any]) -> Iterator[str]:
    rounds: Found = found["rounds"]
    display, page = _of(rounds, "display"), _of(rounds, "page")
    yield from ("", "## Goals", "", "| Goal | Wanted | Measured | |", "|---|---|---|---|")
    rows: list[tuple[str, str, list[float], str, float, bool]] = [
        ("Displays a second", f"at least {DISPLAYS:,}, aim {DISPLAYS_AIM:,}",
         [each.most for each in display], ",.0f", DISPLAYS, True),
        ("Pages a second", f"{PAGES:,}", [each.most for each in page], ",.0f", PAGES, True),
        ("A constant answer, times the displays", f"at most {RATIO_MAX:g}",
         [each.ratio for each in display], ".2f", RATIO_MAX, False),
        (f"p99 of displays at {SHARE:.0%} of their most, ms", f"at most {P99_MS:g}",
         [each.latencies.p99_ms for each in display], ".1f", P99_MS, False),
        (f"p99 of pages at {SHARE:.0%} of their most, ms", f"at most {P99_MS:g}",
         [each.latencies.p99_ms for each in page], ".1f", P99_MS, False),
        ("CPU of a display in all, us", f"at most {COST_US:g}",
         [each.cost_all_us for each in display], ".1f", COST_US, False),
    ]  # fmt: skip
    for what, wanted, values, form, limit, least in rows:
        middle = Spread.of(values).median
        good = middle >= limit if least else middle <= limit
        yield f"| {what} | {wanted} | {_spread(values, form)} | {_met(good)} |"
    faults = sum(sum(each.latencies.faults.values()) for each in rounds.asked)
    checked = sum(each.latencies.checked for each in rounds.asked)
    yield (
        f"| Answers that are the right person's, in the right colour | all | {checked - faults:,} "
        f"of {checked:,} | {_met(not faults)} |"
    )
    for scene in found.get("scenes", ()):
        if scene.name == "tenfold":
            share = scene.good_a_second / scene.most
            honest = scene.dishonest == 0 and not scene.faults
            after = scene.normal_after_s
            good = share >= HONEST_SHARE and honest and after is not None
            good = good and (after or 0) <= NORMAL_SECONDS
            yield (
                f"| {TENFOLD} times the maximum for a minute | {HONEST_SHARE:.0%} of it answered, "
                f"each refusal an honest 503, normal within {NORMAL_SECONDS} s | {share:.0%}, "
                f"{scene.dishonest:,} others, {scene.not_sent:,} found no connection, "
                f"{'never' if after is None else f'{after} s'} | {_met(good)} |"
            )
    if "phones" in found:
        yield from phones.goals(found["phones"])
    yield ""
    yield f"Median (least–most) of {len(display)} rounds; ratios are taken within each round."


def _table(out: Path, found: Mapping[str, Any]) -> Iterator[str]:
    rounds: Found = found["rounds"]
    yield from ("", "## Answers a second", "")
    yield (
        f"All on two cores: wrk with one thread, the view and every other process of `yuekang up`; "
        f"{rounds.people:,} people, each request the session of another one; "
        f"{rounds.changes_a_second:,} changes of codes a second flow meanwhile. A display is "
        f"`{rounds.display}`"
        + (f", before it was `{found['before'].display}`" if "before" in found else "")
        + "; a page is `/code` as a browser asks for it, with gzip."
    )
    sides = [(", before", "before"), (", after" if "before" in found else "", "rounds")]
    there = [(label, found[part]) for label, part in sides if part in found]
    heads = [f"{name}{label}" for name in ("display", "page") for label, _ in there]
    if any(too_few(each) for _, each in there):
        yield ""
        yield (
            "**There were too few people for so many answers a second:** each came up again within "
            "a second, as no phone asks."
        )
    yield from ("", f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(heads))
    columns = [_of(each, name) for name in ("display", "page") for _, each in there]
    for what, cell in _ROWS:
        yield f"| {what} | " + " | ".join(cell(column) for column in columns) + " |"
    plot = [
        (f"{name}{label}", Spread.of([each.most for each in _of(side, name)]).median)
        for name in ("display", "page")
        for label, side in there
    ]
    plot += [
        (f"{name}, constant answer",
         Spread.of([max(e.constant.values()) for e in _of(rounds, name)]).median)
        for name in ("display", "page")
    ]  # fmt: skip
    (out / "view.svg").write_text(
        bars("Answers a second, on two cores with all else", plot, ",.0f")
    )
    yield from ("", "![Answers a second](view.svg)")


def _by_connections(column: Sequence[Asked]) -> str:
    counts = sorted(column[0].warm)
    return ", ".join(
        f"{count}: {Spread.of([each.warm[count] for each in column]).median:,.0f}"
        for count in counts
    )


def _kinds(column: Sequence[Asked]) -> str:
    total = sum(sum(each.latencies.kinds.values()) for each in column)
    others: dict[str, int] = {}
    for each in column:
        for kind, number in each.latencies.kinds.items():
            if kind not in (GOOD, OLD):
                others[kind] = others.get(kind, 0) + number
    if not others:
        return f"0 of {total:,}"
    return ", ".join(f"{kind}: {number / total:.3%}" for kind, number in others.items())


def _lag(column: Sequence[Asked]) -> str:
    lags = [e.latencies.lag_s_max for e in column if e.latencies.lag_s_max is not None]
    return _spread(lags, ".2f")


_ROWS: Sequence[tuple[str, Any]] = (
    ("most answers/s", lambda c: _spread([e.most for e in c])),
    ("by connections (medians)", _by_connections),
    ("sessions seen for the first time, view just started", lambda c: _spread([e.cold for e in c])),
    ("sessions due for renewal", lambda c: _spread([e.due for e in c])),
    ("a constant answer/s", lambda c: _spread([max(e.constant.values()) for e in c])),
    ("constant / most", lambda c: _spread([e.ratio for e in c], ".2f")),
    ("bytes of a body", lambda c: _spread([e.body_bytes for e in c])),
    (f"p50 at {SHARE:.0%}, ms", lambda c: _spread([e.latencies.p50_ms for e in c], ".1f")),
    (f"p99 at {SHARE:.0%}, ms", lambda c: _spread([e.latencies.p99_ms for e in c], ".1f")),
    (f"longest at {SHARE:.0%}, ms", lambda c: _spread([e.latencies.max_ms for e in c], ".0f")),
    (f"not answered with 200 at {SHARE:.0%}", _kinds),
    ("the same of wrk's and errors", lambda c: f"{sum(e.errors for e in c):,}"),
    ("CPU of an answer in all, us", lambda c: _spread([e.cost_all_us for e in c], ".1f")),
    ("oldest data of an answer, s", _lag),
    ("the generator got to a request late by, p99, ms",
     lambda c: _spread([e.latencies.late_p99_ms for e in c], ".1f")),
)  # fmt: skip


def _costs(found: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## CPU of an answer, by process", "")
    yield (
        "At the most answers a second, in us, beyond what the changes cost alone; the last column "
        "is what they cost alone, in cores. The kernel's work for a connection counts for whoever "
        "sends, so the generator bears a part of it."
    )
    rounds: Found = found["rounds"]
    names = list(rounds.base[0].cores)
    yield from ("", "| | a display | a page | changes alone, cores |", "|---|---|---|---|")
    for name in names:
        cells = [
            _spread([each.cost_us.get(name, 0.0) for each in _of(rounds, what)], ".1f")
            for what in ("display", "page")
        ]
        alone = _spread([each.cores.get(name, 0.0) for each in rounds.base], ".3f")
        yield f"| {name} | {' | '.join(cells)} | {alone} |"


def _second_machine(rounds: Found) -> Iterator[str]:
    display = _of(rounds, "display")
    most = Spread.of([each.most for each in display]).median
    view = Spread.of([each.cost_us.get("view", 0.0) for each in display]).median
    base = Spread.of([sum(each.cores.values()) for each in rounds.base]).median
    all_ = Spread.of([each.cost_all_us for each in display]).median
    if not view or not most:
        return
    others = all_ * most / 1e6 - view * most / 1e6
    generator = max(0.0, 2.0 - all_ * most / 1e6)
    yield from ("", "## What a second machine is worth", "")
    yield (
        "Computed, not measured. Views share nothing but what they read, so a second machine bears "
        "as many displays as its cores have time for."
    )
    yield from ("", "| | |", "|---|---|")
    yield f"| two cores bear, with generator and changes | {most:,.0f}/s |"
    yield f"| of the two cores the generator has | {generator:.2f} |"
    yield f"| all but the view have, at that rate (for changes alone {base:.2f}) | {others:.2f} |"
    yield f"| a display costs the view | {view:.1f} us |"
    yield f"| so a core that has a view alone bears | {1e6 / view:,.0f}/s |"
    yield (
        "| a second machine of two cores, a view on each, the generator elsewhere | "
        f"{2e6 / view:,.0f}/s more |"
    )
    yield (
        "| and the first, rid of the generator | "
        f"{most + generator * 1e6 / view:,.0f}/s; in two views, as one has one thread of Python |"
    )


def _profile(out: Path, name: str, title: str, found: Sequence[Profile]) -> Iterator[str]:
    yield from ("", f"## {title}: the view by stage", "")
    for each in found:
        yield (
            f"{each.name}: {each.cost_us:.1f} us of the view's CPU an answer, at "
            f"{each.rate:,.0f}/s ({each.samples:,} samples)."
        )
        rows = sorted(each.stages.items(), key=lambda row: -row[1])
        picture = f"view-{name}-{each.name}.svg"
        (out / picture).write_text(bars(f"us of a {each.name}", rows, ".1f"))
        yield from ("", f"![us of a {each.name} by stage]({picture})", "")


def _scenes(out: Path, scenes: Sequence[Scene]) -> Iterator[str]:
    yield from ("", "## Too much, slow, and gone", "")
    yield (
        "A generator asks for displays on schedule, and gives up after 4 s. Latencies count from "
        "when a request was due. What broke off was asked once more, of another view where there "
        "is one."
    )
    for scene in scenes:
        after = scene.normal_after_s
        most = f"The view answers {scene.most:,.0f}/s at most"
        if scene.cores is not None:
            most += f", bounded to {scene.cores:.2f} cores"
        others = {kind: n for kind, n in scene.kinds.items() if kind not in (GOOD, OLD)}
        said = ", ".join(f"{kind}: {n:,}" for kind, n in others.items()) or "none"
        yield from ("", f"### {scene.title}", "")
        yield (
            f"{most}. Between the marks {scene.good_a_second:,.0f}/s were answered with 200, "
            f"{scene.good_share:.1%} of what was asked. Other outcomes in all: {said}. "
            + ("It was not as before again." if after is None else
               f"All was as before {after} s after the last mark.")
            + (f" {scene.again:,} were asked again." if scene.again else "")
            + (f" **Wrong: {scene.faults}.**" if scene.faults else "")
        )  # fmt: skip
        picture = f"view-{scene.name}.svg"
        (out / picture).write_text(plot(scene))
        yield from ("", f"![{scene.title}, by second]({picture})")


def plot(scene: Scene) -> str:
    """Draw a scene: answers a second by kind, and the p99 of each second."""
    kinds = [kind for kind in (GOOD, OLD) if kind in scene.kinds]
    kinds += sorted(kind for kind in scene.kinds if kind not in kinds)
    upper = [Curve(kind, [s.kinds.get(kind, 0) for s in scene.seconds]) for kind in kinds]
    lower = Curve("p99 of what was answered with 200", [s.p99_ms for s in scene.seconds])
    marks = {mark.second: mark.what for mark in scene.marks}
    return over_time(f"{scene.title}: answers a second", upper, lower, marks, "ms")


def _machine(parts: Mapping[str, Kept]) -> Iterator[str]:
    yield from ("", "## What it ran on", "")
    yield from (f"{PACE_IS} At the end the stack still runs beside it.", "")
    for name, kept in parts.items():
        machine = "; ".join(f"{what} {value}" for what, value in kept.machine.items())
        yield (
            f"- {name}: `{kept.command}` at commit {kept.commit}, {kept.at:%Y-%m-%d %H:%M} UTC, "
            f"{kept.seconds} s, load before {kept.load_before:g}, "
            f"pace in ms: {pace_text(kept.pace_ms)}; {machine}"
        )
