"""Points of the commit path at which a process may be made to die, from outside the engine.

A point is passed before and after a step. What is here names the engine's methods; where one is
gone, importing the wrapped process fails and says which, and the point must be renamed.
"""

import asyncio
import inspect
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, Literal, NamedTuple

from aiokafka import AIOKafkaProducer
from faust.transport.drivers.aiokafka import Consumer

from app.engine.partition import Partition
from app.engine.store import Store
from app.process.consumer import Consumer as LogConsumer
from app.projection.codes import CodeBatch, CodeWriter
from faults.journal import write

Act = Literal["kill", "write-out", "stop", "stop-then-kill", "linger", "slow"]
"""SIGKILL; the same once the stores are written to disk; SIGSTOP until somebody sends SIGCONT; the
same, and SIGKILL once the step before which it stopped is done; a while of doing nothing here, then
SIGKILL; such a while at this and each earlier passing.

RocksDB writes out what it holds in memory when it likes. What it did not is lost with the process,
and with it whatever should not have been there."""

SLOW_SECONDS = 6.0
"""Longer than a start waits to learn where an input ends."""

LINGER_SECONDS = 3.0
"""Long enough for Faust to commit offsets, which it does each second."""


class Step(NamedTuple):
    """A method, and for which of its calls it is the step."""

    owner: type[Any]
    method: str
    counts: Callable[..., bool]


def _of_people(producer: AIOKafkaProducer, *_: Any, **__: Any) -> bool:
    manager = producer._txn_manager
    return manager is not None and "-people-" in (manager.transactional_id or "")


def _to_changelog(_: Any, batch: Any, topic: str, **__: Any) -> bool:
    return topic == "yuekang-people-changelog"


def _to_others(_: Any, batch: Any, topic: str, **__: Any) -> bool:
    return not topic.endswith("-changelog")


def _of_rows(store: Store, *_: Any) -> bool:
    return not catching_up.get() and store._path.parent.name == "people"


def _of_catching_up(*_: Any) -> bool:
    return catching_up.get()


catching_up = ContextVar("catching up", default=False)
"""Whether a store is being brought level with the log, once `mark_catching_up` was called."""


def _without_changes(_: CodeWriter, batch: CodeBatch, __: Any) -> bool:
    return not batch.changes


def _always(*_: Any, **__: Any) -> bool:
    return True


WORKER_STEPS = {
    "fence": Step(AIOKafkaProducer, "start", _of_people),
    "catch-up": Step(Store, "write", _of_catching_up),
    "changelog send": Step(AIOKafkaProducer, "send_batch", _to_changelog),
    "told send": Step(AIOKafkaProducer, "send_batch", _to_others),
    "confirmation": Step(AIOKafkaProducer, "commit_transaction", _of_people),
    "store write": Step(Store, "write", _of_rows),
    "offset commit": Step(Consumer, "_commit", _always),
}
PROJECTION_STEPS = {
    "write to Redis": Step(CodeWriter, "apply", _always),
    "write without changes": Step(CodeWriter, "apply", _without_changes),
}
SLOW_STEPS = {
    "end of a log": Step(LogConsumer, "end_offsets", _always),
    "end of a catch-up": Step(LogConsumer, "stop", _of_catching_up),
}
STEPS = WORKER_STEPS | PROJECTION_STEPS | SLOW_STEPS

POINTS = tuple(f"{when} {step}" for step in WORKER_STEPS for when in ("before", "after"))
"""Of a worker."""


class Trap:
    """What to do at the `passing`-th time that `point` is passed."""

    def __init__(self, point: str, passing: int, act: Act) -> None:
        self.point = point
        self.ends_after_step = False
        self._left = passing
        self._act = act

    def spring(self) -> float:
        """Count a passing of the point; return for how long to linger there (s)."""
        self._left -= 1
        if self._act == "slow":
            return SLOW_SECONDS if self._left >= 0 else 0.0
        if self._left == 0:
            write("at-point", point=self.point, act=self._act)
            if self._act == "linger":
                return LINGER_SECONDS
            if self._act == "write-out":
                signal.raise_signal(signal.SIGURG)
            self.ends_after_step = self._act == "stop-then-kill"
            stops = self._act in ("stop", "stop-then-kill")
            os.kill(os.getpid(), signal.SIGSTOP if stops else signal.SIGKILL)
        return 0.0

    def linger_is_over(self) -> None:
        """End as the power does, unless it was only slow."""
        if self._act == "slow":
            return
        os.kill(os.getpid(), signal.SIGKILL)


def install(trap: Trap) -> None:
    """Wrap the step of the trap's point."""
    mark_catching_up()
    when, _, name = trap.point.partition(" ")
    owner, method, counts = STEPS[name]
    inner = getattr(owner, method)

    async def pass_slowly() -> None:
        if seconds := trap.spring():
            await asyncio.sleep(seconds)
            trap.linger_is_over()

    if inspect.iscoroutinefunction(inner):
        step: Callable[..., Awaitable[Any]] = inner

        @wraps(inner)
        async def outer(*args: Any, **kwargs: Any) -> Any:
            counted = counts(*args, **kwargs)
            if counted and when == "before":
                await pass_slowly()
            result = await step(*args, **kwargs)
            if counted and trap.ends_after_step:
                os.kill(os.getpid(), signal.SIGKILL)
            if counted and when == "after":
                await pass_slowly()
            return result

        setattr(owner, method, outer)
        return

    @wraps(inner)
    def outer_sync(*args: Any, **kwargs: Any) -> Any:
        counted = counts(*args, **kwargs)
        if counted and when == "before" and (seconds := trap.spring()):
            time.sleep(seconds)
            trap.linger_is_over()
        result = inner(*args, **kwargs)
        if counted and when == "after" and (seconds := trap.spring()):
            time.sleep(seconds)
            trap.linger_is_over()
        return result

    setattr(owner, method, outer_sync)


def mark_catching_up() -> None:
    """Let `catching_up` say so while a partition catches up."""
    catch_up = Partition._catch_up

    async def marked(self: Partition) -> list[str]:
        token = catching_up.set(True)
        try:
            return await catch_up(self)
        finally:
            catching_up.reset(token)

    # In place of the engine's own, as every point is.
    Partition._catch_up = marked  # type: ignore[method-assign]
