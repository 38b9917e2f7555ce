"""A short part of the fault suite, on one broker: each sort of fault of a worker once.

`make faults` runs the whole: three brokers, the network, a hundred rounds, and the mutants.
"""

from collections.abc import AsyncIterator

import pytest

from faults.kinds import AROUND, WORKER, possible
from faults.rounds import Suite
from faults.stage import opened

ROUNDS = (
    ("worker killed", "worker dies after confirmation"),
    ("third worker joins, second leaves and returns", "Redis flushed"),
    ("worker stopped before confirmation, woken after its session", "store: bytes overwritten"),
    ("worker ended and started", "clock: stepped forward", "projection killed"),
)


@pytest.fixture(scope="module")
async def suite(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Suite]:
    directory = tmp_path_factory.mktemp("faults")
    async with opened(directory / "stage", brokers=1) as stage:
        running = Suite(stage, isolate=False)
        yield running
        await running.close()


@pytest.mark.parametrize("names", ROUNDS, ids="; ".join)
async def test_nothing_is_lost_and_nothing_told_twice(suite: Suite, names: tuple[str, ...]) -> None:
    kinds = [k for k in (*WORKER, *AROUND) if k.name in names and possible(k, False, 1)]
    result = await suite.round("make test", ROUNDS.index(names), kinds)
    assert result.differences == {}, result.examples
    assert result.missed == []
    assert result.events > 500
