"""A round: events flow, faults happen, all is healed, the workers drain, the oracle compares."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from aiokafka.errors import KafkaError

from faults.isolation import isolated
from faults.kinds import AROUND, WORKER, possible
from faults.results import Result, commit
from faults.scenes import Kind, Missed, Scene, running
from faults.stage import Stage, send
from faults.waits import (
    ATTEMPTS,
    DRAIN_SECONDS_MAX,
    GIVEN_UP_SECONDS,
    Compared,
    compare_stores,
    drain,
    flushed,
)
from faults.workload import Workload
from oracle.audit import Audit
from oracle.found import Differences
from oracle.inputs import Gaps
from oracle.layout import CHANGELOGS

REDIS_SECONDS_MAX = 30.0
SETTLE_SECONDS_MAX = 15.0
"""A transaction ends on one partition before another; no longer than this."""

FLOW_SECONDS = 8.0
"""Events flow for no less than this."""

FAULT_SECONDS_MAX = 150.0
WHOLE_EVERY = 5
"""Rounds from one whole comparison of Redis, and one by a fresh reader, to the next."""


class Held(NamedTuple):
    """A store of a partition, where a worker holds it."""

    worker: str
    directory: Path
    table: str
    number: int

    def __str__(self) -> str:
        return f"{self.table}[{self.number}] of {self.worker}"


class Suite:
    """A stage with its workload and its audit, through many rounds."""

    def __init__(self, stage: Stage, isolate: bool) -> None:
        self.stage = stage
        self.workload = Workload(stage.bootstrap)
        self.audit = Audit(stage.bootstrap, stage.redis.url, self._gaps)
        self.isolate = isolate and isolated()
        self._commit = commit()
        self._generation = 0
        self._lines: list[dict[str, Any]] = []
        self._left_out: dict[tuple[str, str, int, int], Gaps] = {}
        self._assigned: dict[tuple[int | None, str], list[int]] = {}

    async def close(self) -> None:
        """Let go of what was compared with."""
        await self.audit.close()

    async def round(self, seed: str, number: int, kinds: Sequence[Kind]) -> Result:
        """Run one round with these faults at once."""
        begun = time.monotonic()
        random = Random(f"{seed}:{number}")
        audit = self.audit
        audit.found = Differences()
        before = (
            audit.records,
            audit.told,
            audit.letters.count,
            audit.by_time,
            audit.pages,
            audit.gone,
        )
        restarts, unhandled = sum(p.restarts for p in self.stage.pythons), self.stage.unhandled()
        missed = await self._happen(random, kinds)
        drained = await self._drain()
        whole = number % WHOLE_EVERY == 0 or any("Redis" in k.name for k in kinds)
        stores = await self._compare(whole)
        for what, count in (self.stage.unhandled() - unhandled).items():
            audit.found.add("error unhandled", f"{what}: {count} times")
        self.workload.poison.clear()
        self._note()
        lines, self._lines = self._lines, []
        return Result(
            commit=self._commit,
            seed=seed,
            round=number,
            kinds=[kind.name for kind in kinds],
            missed=missed,
            events=audit.records - before[0],
            told=audit.told - before[1],
            letters=audit.letters.count - before[2],
            by_time=audit.by_time - before[3],
            pages=audit.pages - before[4],
            gone=audit.gone - before[5],
            rebalances=self._rebalances(lines),
            redelivered=sum(line["records"] for line in lines if line["what"] == "came-again"),
            fenced=sum(line["what"] == "fenced" for line in lines),
            restarts=sum(p.restarts for p in self.stage.pythons) - restarts,
            drain_seconds=round(drained, 1),
            seconds=round(time.monotonic() - begun, 1),
            load=round(os.getloadavg()[0], 1),
            stores=len(stores.stores),
            unflushed=[str(store) for store in stores.unflushed],
            differences=dict(audit.found.counts),
            examples=dict(audit.found.examples),
        )

    def _rebalances(self, lines: Sequence[dict[str, Any]]) -> int:
        """Return how many generations of the group there were."""
        newest = max((x["generation"] for x in lines if x["what"] == "assigned"), default=0)
        more = max(0, newest - self._generation)
        self._generation = max(self._generation, newest)
        return more

    async def _happen(self, random: Random, kinds: Sequence[Kind]) -> list[str]:
        """Let events flow and faults happen; return which of them did not."""
        stop = asyncio.Event()
        flowing = asyncio.create_task(self.workload.run(random, stop))
        scene_locks: dict[str, asyncio.Lock] = {}
        missed: list[str] = []

        async def one(kind: Kind, own: Random) -> None:
            scene = Scene(self.stage, own, scene_locks, self.workload, self.audit)
            await asyncio.sleep(own.uniform(0.5, 2.5))
            try:
                async with asyncio.timeout(FAULT_SECONDS_MAX):
                    await kind.happen(scene)
            except Missed as why:
                missed.append(f"{kind.name}: {why}")
            except TimeoutError:
                missed.append(f"{kind.name}: it was not over within {FAULT_SECONDS_MAX:g} s")

        try:
            await asyncio.gather(
                asyncio.sleep(FLOW_SECONDS),
                *(one(kind, Random(f"{random.random()}{kind.name}")) for kind in kinds),
            )
            self.stage.check()
        finally:
            self.stage.heal()
            stop.set()
            await flowing
        return missed

    async def _drain(self) -> float:
        """Wait until everything is applied, told and committed; return how long that took (s).

        What takes longer than it may is a difference.
        """
        until = datetime.now(UTC) - timedelta(seconds=1)
        drained = await drain(lambda: self._left(until), self.stage.check)
        if drained.late:
            late = f"after {DRAIN_SECONDS_MAX:g} s: {drained.late}"
            self.audit.found.add("committed offsets", late)
        if drained.left:
            left = f"after {GIVEN_UP_SECONDS:g} s: {drained.left}"
            self.audit.found.add("stands still", left)
        return drained.seconds

    async def _left(self, until: datetime) -> str:
        """Say what is not applied, told or committed yet."""
        await self.audit.read()
        if unapplied := self.audit.unapplied():
            return f"{unapplied} records are not applied"
        if due := self.audit.due(until):
            return f"{due} rows are due"
        if uncommitted := await self.audit.uncommitted():
            return f"not committed: {', '.join(uncommitted)}"
        return ""

    async def _compare(self, whole: bool) -> Compared[Held]:
        """Compare everything; return which stores were compared."""
        audit = self.audit
        await self._settle()
        audit.compare(self.workload.poison)
        self._compare_said()
        await self._again(lambda: self._compare_redis(whole))
        if whole:
            await audit.compare_fresh()
        for process in self.stage.pythons:
            if process.wanted:
                await running(process)
        stores = await self._compare_stores()
        audit.found.take(stores.found)
        return stores

    def _compare_said(self) -> None:
        """Compare what was passed over with what workers said of it."""
        passed_over, self.audit.passed_over = self.audit.passed_over, []
        said = self.stage.said("records_gone_unread") if passed_over else []
        for topic, number, offset, _ in passed_over:
            if not any(
                (line["topic"], line["partition"]) == (topic, number)
                and line["first"] <= offset <= line["last"]
                for line in said
            ):
                self.audit.found.add("gone unsaid", f"{topic}[{number}]: {offset}")

    async def _again(self, compare: Callable[[], Awaitable[None]]) -> None:
        """Compare, and again if something differs: time may tell more while it goes on. What is
        wrong stays wrong."""
        whole = self.audit.found
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(attempt)
            await self._settle()
            self.audit.found = Differences()
            await compare()
            if not self.audit.found:
                break
        whole.take(self.audit.found)
        self.audit.found = whole

    async def _compare_redis(self, whole: bool) -> None:
        until = time.monotonic() + REDIS_SECONDS_MAX
        while behind := await self.audit.redis_behind():
            if time.monotonic() > until:
                self.audit.found.add("redis behind", behind)
                return
            await asyncio.sleep(0.3)
        await self.audit.redis.compare(self.audit.found, whole)

    async def _compare_stores(self) -> Compared[Held]:
        """Compare the store of each partition, at the worker that holds it."""
        whole = self.audit.found

        def compare(store: Held) -> Differences:
            self.audit.found = found = Differences()
            try:
                self.audit.compare_store(store.directory, store.table, store.number)
            finally:
                self.audit.found = whole
            return found

        return await compare_stores(self._flush, self._held, compare)

    async def _flush(self) -> set[int]:
        """Let the workers write to disk what their stores hold in memory; return those that did."""
        await self._settle()
        workers = {worker.pid: worker for worker in self.stage.workers if worker.runs}

        def notes() -> list[dict[str, Any]]:
            self._note()
            return self._lines

        return await flushed(
            lambda pid: send(workers[pid], signal.SIGURG),
            [pid for pid in workers if pid is not None],
            notes,
        )

    async def _settle(self) -> None:
        """Read on until what was told is whole: time may have told something a moment ago."""
        until = time.monotonic() + SETTLE_SECONDS_MAX
        while time.monotonic() < until:
            with suppress(KafkaError, OSError, TimeoutError):
                await self.audit.read()
                if self.audit.quiet():
                    return
            await asyncio.sleep(0.3)

    def _note(self) -> None:
        """Read the journal on."""
        self._lines += self.stage.journal.read()
        for entry in self._lines:
            if entry["what"] == "assigned":
                self._assigned[entry["pid"], entry["table"]] = entry["numbers"]
            if entry["what"] == "left-out":
                where = entry["table"], entry["topic"], entry["partition"], entry["reached"]
                self._left_out[where] = entry["gaps"]

    def _gaps(self, table: str, topic: str, number: int, reached: int) -> Gaps:
        """Return what a commit passed over. The last that was attempted is the one in the log:
        after that, nobody folds what it reached again."""
        self._note()
        return self._left_out.get((table, topic, number, reached), ())

    def _held(self) -> dict[Held, int]:
        """Return each store that is held now, with the process that holds it."""
        return {
            Held(worker.name, directory, table, number): worker.pid
            for worker in self.stage.workers
            if worker.runs and worker.pid is not None
            for table in CHANGELOGS
            for directory in worker.tables.glob("*/g*")
            for number in self._assigned.get((worker.pid, table), ())
        }


def drawn(seed: str, number: int, brokers: int, isolate: bool) -> list[Kind]:
    """Return the faults of a round: two of workers, one around them, each as often as another."""
    workers = [k for k in WORKER if possible(k, isolate, brokers)]
    around = [k for k in AROUND if possible(k, isolate, brokers)]
    return [
        _of_bag(workers, f"{seed}:workers", 2 * number),
        _of_bag(workers, f"{seed}:workers", 2 * number + 1),
        _of_bag(around, f"{seed}:around", number),
    ]


def _of_bag(kinds: Sequence[Kind], seed: str, place: int) -> Kind:
    """Return what is drawn at a place of endless draws from a bag that is filled when empty."""
    bag, at = divmod(place, len(kinds))
    shuffled = list(kinds)
    Random(f"{seed}:{bag}").shuffle(shuffled)
    return shuffled[at]
