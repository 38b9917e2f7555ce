"""A short part of the fault suite, on one broker: four rounds, nine faults.

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
    by_name = {kind.name: kind for kind in (*WORKER, *AROUND)}
    kinds = [by_name[name] for name in names if possible(by_name[name], False, 1)]
    result = await suite.round("make test", ROUNDS.index(names), kinds)
    assert result.differences == {}, result.examples
    assert result.missed == []
    assert result.events > 500
    assert result.stores or result.unflushed
