"""Gives inputs to targets, and counts what came of each."""

import asyncio
import logging
import time
from collections import Counter
from math import ceil
from pathlib import Path
from random import Random
from unittest.mock import patch

import structlog
from msgspec import Struct, field

from app.login.ended import Ended
from app.login.guards import Guard
from fuzz.targets import targets

CPU_SECONDS_MAX = 1.0
CRASHES_TOLD = 20


class Found(Struct):
    """Outcomes of one target: how many of each, the longest (s of CPU), and what crashed."""

    inputs: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    longest: float = 0.0
    crashes: list[str] = field(default_factory=list)

    def add(self, other: "Found") -> None:
        """Take those of another process."""
        self.inputs += other.inputs
        self.outcomes = dict(Counter(self.outcomes) + Counter(other.outcomes))
        self.longest = max(self.longest, other.longest)
        self.crashes += other.crashes


def fuzz(inputs: int, seed: str) -> dict[str, Found]:
    """Run all targets, each with its share of `inputs`."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        return asyncio.run(_fuzz(inputs, seed))
    finally:
        structlog.configure(**before)


async def _fuzz(inputs: int, seed: str) -> dict[str, Found]:
    with patch.object(Ended, "is_over", _is_not_over), patch.object(Guard, "spend", _lets):
        return await _each(inputs, seed)


def _is_not_over(*_: object) -> bool:
    """There is no Redis that could say so."""
    return False


async def _lets(*_: object) -> None:
    """One resident asks more often than one may."""


async def _each(inputs: int, seed: str) -> dict[str, Found]:
    chosen = list(targets())
    whole = sum(share for _, share, _ in chosen)
    found = {}
    for kind, share, once in chosen:
        one = found[kind] = Found()
        counted: Counter[str] = Counter()
        for number in range(ceil(inputs * share / whole)):
            name = f"{seed} {kind} {number}"
            random = Random(name)
            begun = time.process_time()
            try:
                outcome = await once(random)
            except Exception as crash:
                outcome = f"CRASH {type(crash).__name__}"
                one.crashes.append(f"{name}: {crash!r}")
            seconds = time.process_time() - begun
            if seconds > CPU_SECONDS_MAX:
                one.crashes.append(f"{name}: it took {seconds:.2f} s")
            one.longest = max(one.longest, seconds)
            counted[outcome] += 1
            one.inputs += 1
        one.outcomes = dict(counted)
    return found


def lines(found: dict[str, Found]) -> list[str]:
    """Return a table of all outcomes, in Markdown."""
    told = ["| Target | Inputs | Ended as | Longest (CPU) | Crashes |", "|---|---|---|---|---|"]
    for kind, one in found.items():
        ended = sorted(one.outcomes.items(), key=lambda each: -each[1])
        outcomes = "; ".join(f"{outcome} {count:,}" for outcome, count in ended)
        longest = f"{1_000 * one.longest:.0f} ms"
        told.append(f"| {kind} | {one.inputs:,} | {outcomes} | {longest} | {len(one.crashes)} |")
    return told


def keep(path: Path, found: dict[str, Found]) -> None:
    """Write down what crashed; each line has the name of its input, which makes it again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(crash for one in found.values() for crash in one.crashes) + "\n")
