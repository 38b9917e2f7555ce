"""The command line of the suite; see the package."""

import argparse
import asyncio
import secrets
import sys
import time
from pathlib import Path

from faults import isolation
from faults.kinds import AROUND, WORKER
from faults.rounds import Suite, drawn, line
from faults.stage import ROOT, opened

RESULTS = ROOT / "docs" / "faults.jsonl"
DIRECTORY = ROOT / ".run" / "faults"
PORT = 21_000


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="faults", description="The fault suite.")
    parser.add_argument("what", choices=["rounds", "mutants", "report"])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--seed", default="")
    parser.add_argument("--brokers", type=int, default=3)
    parser.add_argument("--kind", action="append", default=[], help="only faults with such a name")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--directory", type=Path, default=DIRECTORY)
    arguments = parser.parse_args()
    isolation.enter("faults")
    if arguments.what == "rounds":
        return asyncio.run(rounds(arguments))
    raise SystemExit("not yet")


async def rounds(arguments: argparse.Namespace) -> int:
    """Run rounds; return how many had a difference."""
    seed = arguments.seed or secrets.token_hex(4)
    isolate = isolation.isolated()
    print(f"seed {seed}", flush=True)
    wrong = 0
    async with opened(
        arguments.directory, PORT, brokers=arguments.brokers, isolate=isolate
    ) as stage:
        suite = Suite(stage, isolate)
        try:
            for number in range(arguments.first, arguments.first + arguments.rounds):
                kinds = drawn(seed, number, arguments.brokers, isolate)
                if arguments.kind:
                    kinds = [
                        k for k in (*WORKER, *AROUND) if any(n in k.name for n in arguments.kind)
                    ]
                result = await suite.round(seed, number, kinds)
                with arguments.results.open("ab") as file:
                    file.write(line(result))
                wrong += bool(result.differences)
                print(
                    f"round {number}: {'; '.join(result.kinds)}\n"
                    f"  {result.events} events, {result.told} changes, {result.letters} letters, "
                    f"{result.rebalances} rebalances, {result.redelivered} redelivered, "
                    f"{result.fenced} fenced, {result.restarts} restarts, drained in "
                    f"{result.drain_seconds} s, {result.seconds} s: "
                    f"{result.differences or 'equal'}",
                    flush=True,
                )
                for what in (*result.missed, *_words(result.examples)):
                    print(f"    {what}", flush=True)
        finally:
            await suite.audit.close()
    return wrong


def _words(examples: dict[str, list[str]]) -> list[str]:
    return [f"{check}: {what}" for check, found in examples.items() for what in found]


if __name__ == "__main__":
    begun = time.monotonic()
    code = main()
    print(f"{time.monotonic() - begun:.0f} s", file=sys.stderr)
    sys.exit(min(code, 1))
