"""The command line of the fuzzing; see the package."""

import argparse
import os
import secrets
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from fuzz.run import CRASHES_TOLD, Found, fuzz, keep, lines

CRASHES = Path(__file__).parents[2] / ".run" / "fuzz" / "crashes.txt"


def main() -> int:
    """Fuzz in some processes, and print a table; return 1 for any crash, or an input too few."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Fuzzed inputs at every reader.")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", default="", help="what inputs are made from; else a new one")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    seed = asked.seed or secrets.token_hex(4)
    os.nice(10)
    begun = time.monotonic()
    share = -(-asked.inputs // asked.processes)
    seeds = [f"{seed}.{number}" for number in range(asked.processes)]
    with ProcessPoolExecutor(asked.processes) as pool:
        whole: dict[str, Found] = {}
        for found in pool.map(fuzz, [share] * asked.processes, seeds):
            for kind, one in found.items():
                whole.setdefault(kind, Found()).add(one)
    inputs = sum(one.inputs for one in whole.values())
    counted = sum(sum(one.outcomes.values()) for one in whole.values())
    crashes = [crash for one in whole.values() for crash in one.crashes]
    keep(CRASHES, whole)
    print("\n".join(lines(whole)))
    print(
        f"\nSeed {seed}: {inputs:,} inputs, {counted:,} answers, {len(crashes)} crashes, "
        f"in {time.monotonic() - begun:.0f} s."
    )
    for crash in crashes[:CRASHES_TOLD]:
        print(f"    {crash}")
    return int(bool(crashes) or counted != inputs or inputs < asked.inputs)


if __name__ == "__main__":
    raise SystemExit(main())
