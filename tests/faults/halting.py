"""What lets a partition stand still, and the operator who lets it go on."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

import httpx
import msgspec
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from app.engine.halts import PARTITIONS_PATH, Halt, HeldPartition
from app.topics.catalogue import CATALOGUE, STATUS_CHANGES
from app.topics.records import structured
from faults.inputs import administering, insist
from faults.scenes import Missed, Scene
from faults.stage import Stage
from support import builders as b
from support.buggy import UNFOLDABLE
from support.macs import signed
from support.tokens import MAKING

REFUSED_BYTES = 300
"""Of max.message.bytes: fewer than one change of a status takes."""

HALT_SECONDS_MAX = 40.0
QUIET_SECONDS = 4.0
"""How long nothing stands still before the operator leaves."""


async def unfolded(scene: Scene) -> None:
    """A bug meets a record: its partition stands still, until an operator leaves that record
    aside."""
    person = scene.workload.someone(scene.random)
    event = b.verified(datetime.now(UTC), person=person, id=UNFOLDABLE + token_hex(4))

    def is_it(halt: Halt) -> bool:
        return "KeyError" in halt.error

    async with scene.lock("operator"):
        scene.workload.ask([signed(structured(event))], code="left-aside")
        await _until_halted(scene, is_it)
        await asyncio.sleep(scene.random.uniform(1, 5))
        await _let_go_on(scene, is_it, leave_aside=True)


async def refused(scene: Scene) -> None:
    """For a while the broker takes no change of a status; then it is set right, and an operator
    lets go on what stands still."""

    def is_it(halt: Halt) -> bool:
        return "the broker refuses" in halt.error

    async with scene.lock("operator"):
        settings = CATALOGUE.topics[STATUS_CHANGES].settings
        try:
            await _set(scene, {**settings, "max.message.bytes": str(REFUSED_BYTES)})
            await _until_halted(scene, is_it)
            await asyncio.sleep(scene.random.uniform(1, 6))
        finally:
            await _set(scene, settings)
            await _let_go_on(scene, is_it)


async def _set(scene: Scene, settings: dict[str, str]) -> None:
    """Give status-changes its settings."""
    change = ConfigResource(ConfigResourceType.TOPIC, STATUS_CHANGES, settings)
    async with administering(scene) as admin:
        answers = await insist(lambda: admin.alter_configs([change]))
    for answer in answers:
        for code, message, *_ in answer.resources:
            if code:
                raise RuntimeError(f"{STATUS_CHANGES}: {message}")


# The operator


async def _until_halted(scene: Scene, is_it: Callable[[Halt], bool]) -> None:
    until = time.monotonic() + HALT_SECONDS_MAX
    while not any(is_it(halt) for halt in await _halts(scene)):
        if time.monotonic() > until:
            raise Missed("nothing stood still")
        await asyncio.sleep(0.3)


async def _let_go_on(
    scene: Scene, is_it: Callable[[Halt], bool], *, leave_aside: bool = False
) -> None:
    """Let go on what stands still, as an operator does, until nothing has for a while: a worker
    that takes a partition over has to meet it first."""
    quiet_since = time.monotonic()
    while time.monotonic() < quiet_since + QUIET_SECONDS:
        standing = {(h.table, h.partition): h for h in await _halts(scene) if is_it(h)}
        for _, halt in sorted(standing.items()):
            await asyncio.to_thread(_release, scene.stage, halt, leave_aside)
            quiet_since = time.monotonic()
        await asyncio.sleep(0.3)


def _release(stage: Stage, halt: Halt, leave_aside: bool) -> None:
    """Run the command; where the partition moves meanwhile it is run again."""
    record = ("--topic", str(halt.topic), "--offset", str(halt.offset), "--leave-aside")
    place = halt.table, str(halt.partition), *(record if leave_aside else ())
    statuses = [word for worker in stage.workers for word in ("--status", worker.url)]
    subprocess.run(
        [
            str(Path(sys.executable).with_name("yuekang")),
            *("partitions", "release", *place, "--reason", "looked at", *statuses),
        ],
        env={**stage.workers[0].environment, **MAKING},
        capture_output=True,
        timeout=60,
        check=False,
    )


async def _halts(scene: Scene) -> list[Halt]:
    found: list[Halt] = []
    async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
        for worker in scene.stage.workers:
            with suppress(httpx.HTTPError, msgspec.DecodeError):
                answer = await http.get(worker.url + PARTITIONS_PATH)
                held = msgspec.json.decode(answer.content, type=list[HeldPartition])
                found += (halt for each in held for halt in each.halts)
    return found
