"""A small round of what `make tries` tries: nothing has an effect, and each try has an account."""

from datetime import timedelta
from pathlib import Path
from random import Random

from support.brokers import Kafka
from support.builders import positive
from support.gateways import LABORATORY
from support.views import now
from tries.attack import attack
from tries.stage import Stage, opened
from tries.state import effects, read_state

TRIES, PEOPLE = 300, 60


async def test_no_try_has_an_effect(kafka: Kafka, redis_url: str, tmp_path: Path) -> None:
    async with opened(kafka, redis_url, tmp_path) as stage:
        found = await attack(stage, TRIES, PEOPLE, Random("make test"))
        assert found.wrong == []
        assert found.tries == TRIES
        await is_noticed(stage)


async def is_noticed(stage: Stage) -> None:
    """What is believed is an effect: one positive by its own source is seen in all that it is."""
    before = await read_state(stage)
    at = now() - timedelta(hours=10)
    await stage.publish(LABORATORY, [positive(at, person=stage.green[0], source=LABORATORY)])
    await stage.quiet()
    seen = {what.split()[1] for what in effects(stage, before, await read_state(stage))}
    assert {"row:", "row,", "code"} <= seen
