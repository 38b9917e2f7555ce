"""The command line of the suite; see the package."""

import argparse
import asyncio
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from faults import isolation
from faults.kinds import AROUND, WORKER, in_turn
from faults.late import late
from faults.mutants import MUTANTS
from faults.results import ROOT, LateResult, MutantResult, Result, add, commit, page, read
from faults.rounds import Suite, drawn
from faults.stage import opened
from support.brokers import shared_broker

RESULTS = ROOT / "docs" / "faults.jsonl"
PAGE = ROOT / "docs" / "faults.md"
DIRECTORY = ROOT / ".run" / "faults"
MUTANT_ROUNDS_MAX = 3


def main() -> int:
    """Do what is asked for; return the exit code."""
    arguments = _arguments()
    if arguments.what == "report":
        arguments.page.write_text(page(read(arguments.results)))
        return 0
    if arguments.what == "late":
        return asyncio.run(late_rounds(arguments))
    isolation.enter("faults")
    if arguments.what == "rounds":
        return asyncio.run(rounds(arguments))
    return asyncio.run(mutants(arguments))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="faults", description="The fault suite.")
    parser.add_argument("what", choices=["rounds", "mutants", "late", "report"])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", default="", help="what rounds are drawn from; else a new one")
    parser.add_argument("--brokers", type=int, default=3, choices=[1, 3])
    parser.add_argument(
        "--only", action="append", default=[], help="part of a fault's or mutant's name"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--directory", type=Path, default=DIRECTORY)
    return parser.parse_args()


async def late_rounds(arguments: argparse.Namespace) -> int:
    """Run rounds of faults.late on a broker of their own, and keep what was found."""
    begun = time.monotonic()
    directory = arguments.directory / f"late-{secrets.token_hex(4)}"
    directory.mkdir(parents=True)
    brokers, let_go = await asyncio.to_thread(shared_broker, directory)
    try:
        found = await late(brokers, directory / "tables", arguments.rounds)
    finally:
        let_go()
    seconds = round(time.monotonic() - begun, 1)
    add(
        arguments.results,
        LateResult(commit=commit(), rounds=arguments.rounds, found=dict(found), seconds=seconds),
    )
    print(f"{arguments.rounds} rounds: {dict(found)}")
    return int(bool(found["lost"] + found["untold"] + found["twice"] + found["apart"]))


async def rounds(arguments: argparse.Namespace) -> int:
    """Run rounds, after those of the same seed that were run already."""
    seed = arguments.seed or secrets.token_hex(4)
    done = [r.round for r in read(arguments.results) if isinstance(r, Result) and r.seed == seed]
    first = max(done, default=-1) + 1
    isolate = isolation.isolated()
    print(f"Seed {seed}, rounds {first} to {first + arguments.rounds - 1}.", flush=True)
    wrong = 0
    async with opened(arguments.directory, brokers=arguments.brokers, isolate=isolate) as stage:
        suite = Suite(stage, isolate)
        try:
            for number in range(first, first + arguments.rounds):
                kinds = drawn(seed, number, arguments.brokers, isolate)
                if arguments.only:
                    kinds = [
                        k for k in (*WORKER, *AROUND) if any(n in k.name for n in arguments.only)
                    ]
                result = await suite.round(seed, number, kinds)
                add(arguments.results, result)
                wrong += bool(result.differences)
                for line in _told(result):
                    print(line, flush=True)
        finally:
            await suite.close()
    print(f"{arguments.rounds} rounds with seed {seed}, {wrong} of them not equal.")
    return int(wrong > 0)


def _told(result: Result) -> Iterator[str]:
    yield (
        f"{result.round}: {'; '.join(result.kinds)}\n"
        f"    {result.events} records, {result.told} changes, {result.letters} dead letters, "
        f"{result.gone} gone, "
        f"{result.rebalances} rebalances, {result.redelivered} redelivered, {result.fenced} fenced,"
        f" {result.restarts} restarts; drained in {result.drain_seconds:g} s, "
        f"{result.seconds:.0f} s: {result.differences or 'equal'}"
    )
    yield f"    {result.stores} stores compared"
    if result.unflushed:
        yield f"    not flushed and so not compared: {', '.join(result.unflushed)}"
    yield from (f"    missed: {what}" for what in result.missed)
    for check, found in result.examples.items():
        yield from (f"    {check}: {what}" for what in found)


async def mutants(arguments: argparse.Namespace) -> int:
    """Run each mutant until it is caught, some rounds at most."""
    chosen = [
        name
        for name in MUTANTS
        if not arguments.only or any(part in name for part in arguments.only)
    ]
    uncaught = []
    for name in chosen:
        begun = time.monotonic()
        found: dict[str, int] = {}
        count = 0
        async with opened(arguments.directory / name, brokers=1, mutant=name) as stage:
            suite = Suite(stage, isolate=False)
            try:
                while not found and count < MUTANT_ROUNDS_MAX:
                    faults = MUTANTS[name].faults
                    kinds = [in_turn(faults)] if faults else []
                    result = await suite.round(f"mutant {name}", count, kinds)
                    count += 1
                    found = result.differences
                    for line in _told(result):
                        print(line, flush=True)
            finally:
                await suite.close()
        seconds = round(time.monotonic() - begun, 1)
        add(
            arguments.results,
            MutantResult(
                commit=commit(), name=name, rounds=count, caught_by=found, seconds=seconds
            ),
        )
        print(f"{name}: {found or 'NOT CAUGHT'}", flush=True)
        uncaught += [] if found or MUTANTS[name].why_uncaught else [name]
    print(f"{len(chosen)} mutants, {len(uncaught)} not caught: {', '.join(uncaught) or 'none'}.")
    return int(bool(uncaught))


if __name__ == "__main__":
    raise SystemExit(main())
