"""A transactional request that comes late ends no other transaction; see faults.late."""

from pathlib import Path
from unittest.mock import PropertyMock, patch

from app.engine.partition import Partition
from app.process.kafka import Brokers
from faults.late import late

ROUNDS = 10


async def test_a_request_that_comes_late_tears_nothing(broker: Brokers, tmp_path: Path) -> None:
    found = await late(broker, tmp_path, ROUNDS)
    assert +found == {"arrived": ROUNDS}


async def test_with_the_same_producer_it_does(broker: Brokers, tmp_path: Path) -> None:
    """So the test above can fail."""
    with patch.object(Partition, "in_doubt", PropertyMock(return_value=False)):
        found = await late(broker, tmp_path, ROUNDS)
    assert found["untold"] >= ROUNDS
