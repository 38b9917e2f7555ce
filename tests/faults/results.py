"""What rounds and mutants came to, a line of JSON each, and the page that tells of them."""

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from faults.kinds import AROUND, WORKER
from faults.mutants import MUTANTS
from faults.waits import FLUSH_SECONDS_MAX

ROOT = Path(__file__).parents[2]


class Result(Struct, kw_only=True, tag_field="what", tag="round"):
    """A round. `load`: how many processes wanted a core in its last minute.

    `stores`: how many stores were compared with the log, None where that was not noted yet.
    `unflushed`: the stores that were not compared, since their worker did not confirm that all
    they held was on disk. They count neither as equal nor as different.
    """

    commit: str
    seed: str
    round: int
    kinds: list[str]
    missed: list[str]
    events: int
    told: int
    letters: int
    by_time: int
    rebalances: int
    redelivered: int
    fenced: int
    restarts: int
    drain_seconds: float
    seconds: float
    load: float
    differences: dict[str, int]
    examples: dict[str, list[str]]
    stores: int | None = None
    unflushed: list[str] = []
    pages: int = 0
    """Pages of histories that were compared; 0 also where there were none yet."""
    gone: int = 0
    """Records that were deleted before they were applied."""


class MutantResult(Struct, kw_only=True, tag_field="what", tag="mutant"):
    """A mutant; `caught_by` are the checks that found a difference, with how many."""

    commit: str
    name: str
    rounds: int
    caught_by: dict[str, int]
    seconds: float


class LateResult(Struct, kw_only=True, tag_field="what", tag="late"):
    """Rounds of faults.late, and what `faults.late.late` found in them."""

    commit: str
    rounds: int
    found: dict[str, int]
    seconds: float


AnyResult = Result | MutantResult | LateResult

_decode = msgspec.json.Decoder(AnyResult).decode


def commit() -> str:
    """Return what was tested: the commit, and whether something differed from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def add(path: Path, result: AnyResult) -> None:
    """Add a line."""
    with path.open("ab") as file:
        file.write(msgspec.json.encode(result) + b"\n")


def read(path: Path) -> list[AnyResult]:
    """Return all lines."""
    return [_decode(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def page(results: Sequence[AnyResult]) -> str:
    """Return docs/faults.md."""
    rounds = [r for r in results if isinstance(r, Result)]
    newest = {r.name: r for r in results if isinstance(r, MutantResult)}
    late = [r for r in results if isinstance(r, LateResult)][-1:]
    return "\n".join(
        [
            *_head(rounds),
            *_kinds(rounds),
            *_wrong(rounds),
            *_stores(rounds),
            *(line for found in late for line in _late(found)),
            *_mutants(newest),
            "",
        ]
    )


def _head(rounds: Sequence[Result]) -> Iterable[str]:
    drains = sorted(r.drain_seconds for r in rounds)
    loads = sorted(r.load for r in rounds)
    commits = ", ".join(dict.fromkeys(r.commit for r in rounds))
    yield "# Faults"
    yield ""
    yield (
        "Written by `make faults` from `docs/faults.jsonl`, which has a line for each round. "
        "[tests/faults](../tests/faults) tells what a round is, "
        "[tests/oracle/audit.py](../tests/oracle/audit.py) what is compared."
    )
    yield ""
    if not rounds:
        yield "No round was run yet."
        return
    equal = sum(not r.differences for r in rounds)
    yield (
        f"{len(rounds)} rounds, {equal} of them equal in everything compared; "
        f"{sum(r.events for r in rounds):,} records of input, "
        f"{sum(r.told for r in rounds):,} changes told, "
        f"{sum(r.letters for r in rounds):,} dead letters, "
        f"{sum(r.by_time for r in rounds):,} transactions brought about by time, "
        f"{sum(r.pages for r in rounds):,} pages of histories, "
        f"{sum(r.gone for r in rounds):,} records deleted before they were applied, "
        f"{sum(r.rebalances for r in rounds):,} rebalances, "
        f"{sum(r.redelivered for r in rounds):,} records redelivered and left out, "
        f"{sum(r.fenced for r in rounds):,} writes of a fenced worker refused. From the healing of "
        f"the last fault to committed offsets at the end of the log: median "
        f"{drains[len(drains) // 2]:g} s, most {drains[-1]:g} s. Seeds: "
        f"{', '.join(dict.fromkeys(r.seed for r in rounds))}. Commits: {commits}. Machine: "
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python "
        f"{platform.python_version()}; three brokers, two to five workers and everything else on "
        f"it; {loads[len(loads) // 2]:g} processes wanted a core (median)."
    )


def _kinds(rounds: Sequence[Result]) -> Iterable[str]:
    yield ""
    yield "## By kind of fault"
    yield ""
    yield (
        "A round has three faults at once, so it counts in three lines; what is counted is of the "
        "whole round."
    )
    yield ""
    yield "| Fault | Rounds | Rebalances | Redelivered | Differences |"
    yield "|---|--:|--:|--:|--:|"
    for kind in (*WORKER, *AROUND):
        of = [
            r
            for r in rounds
            if kind.name in r.kinds and not any(m.startswith(kind.name + ":") for m in r.missed)
        ]
        yield (
            f"| {kind.name} | {len(of)} | {sum(r.rebalances for r in of)} "
            f"| {sum(r.redelivered for r in of):,} "
            f"| {sum(sum(r.differences.values()) for r in of)} |"
        )


def _stores(rounds: Sequence[Result]) -> Iterable[str]:
    noted = [r for r in rounds if r.stores is not None]
    before = len(rounds) - len(noted)
    if not rounds:
        return
    yield ""
    yield "## Stores"
    yield ""
    yield (
        "The store of each partition is compared with the log where its worker confirmed, within "
        f"{FLUSH_SECONDS_MAX:g} s, that all it held was on disk."
    )
    if noted:
        compared = sum(r.stores or 0 for r in noted)
        left_out = sum(len(r.unflushed) for r in noted)
        yield ""
        yield (
            f"In {len(noted)} rounds: {compared} stores compared; {left_out} not compared, and not "
            "counted as equal."
        )
    for r in noted:
        if r.unflushed:
            stores = ", ".join(r.unflushed)
            yield ""
            yield f"- seed {r.seed}, round {r.round}, not compared: {stores}"
    if before:
        yield ""
        yield (
            f"In {before} rounds every store was compared, whether its flush was confirmed or not, "
            "and how many there were was not noted."
        )


def _wrong(rounds: Sequence[Result]) -> Iterable[str]:
    wrong = [r for r in rounds if r.differences]
    missed = [(r, what) for r in rounds for what in r.missed]
    if wrong:
        yield ""
        yield "Rounds that were not equal:"
        yield ""
        for r in wrong:
            told = "; ".join(f"{check} {count}" for check, count in r.differences.items())
            first = next(iter(r.examples.values()), ["?"])[0]
            yield f"- seed {r.seed}, round {r.round} ({', '.join(r.kinds)}): {told}. {first}"
    if missed:
        yield ""
        yield f"Faults drawn that did not come about: {len(missed)}."
        yield ""
        for r, what in missed:
            yield f"- seed {r.seed}, round {r.round}: {what}"


def _late(result: LateResult) -> Iterable[str]:
    found = result.found
    yield ""
    yield "## The end of a transaction that comes late"
    yield ""
    yield (
        "A proxy holds back what ends a transaction until its sender has given up, and lets it "
        "through within the next one; the worker dies there "
        "([tests/faults/late.py](../tests/faults/late.py)). "
        f"{result.rounds} rounds, {found['arrived']} requests that came late: of the records "
        f"{found['lost']} lost, {found['untold']} untold, {found['twice']} told twice, "
        f"{found['apart']} in the store or the log alone. Commit: "
        f"{result.commit}."
    )


def _mutants(newest: dict[str, MutantResult]) -> Iterable[str]:
    yield ""
    yield "## Mutants"
    yield ""
    yield (
        "Each is the engine with one safeguard taken out from outside "
        "([tests/faults/mutants.py](../tests/faults/mutants.py)), on one broker, with the faults "
        f"that provoke the harm. Commits: "
        f"{', '.join(dict.fromkeys(r.commit for r in newest.values())) or 'none'}."
    )
    yield ""
    yield "| Mutant | What it breaks | Faults | Caught by |"
    yield "|---|---|---|---|"
    for name, mutant in MUTANTS.items():
        result = newest.get(name)
        caught = "not run yet"
        if result is not None:
            checks = sorted(result.caught_by.items(), key=lambda item: -item[1])
            caught = ", ".join(f"{check} ({count})" for check, count in checks) or (
                f"not caught: {mutant.why_uncaught}" if mutant.why_uncaught else "**not caught**"
            )
        faults = "; ".join(mutant.faults) or "none needed"
        yield f"| {name} | {mutant.breaks} | {faults} | {caught} |"
