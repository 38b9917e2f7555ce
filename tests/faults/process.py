"""Run a worker or a projection under test: `python -m faults.process worker`.

It is the process of `yuekang worker`, with what the environment asks for wrapped around it:

    FAULTS_JOURNAL   file that it notes down in (required)
    FAULTS_COPIES    replication factor of the topics, in place of the catalogue's
    FAULTS_POINT     point of the commit path at which it is to die, FAULTS_PASSING at which passing
                     of it (1 is the first), FAULTS_ACT how (faults.points)
    FAULTS_LATE      which EndTxn of it is to come late; it dies then (faults.late)
    FAULTS_MUTANT    safeguard that is taken out (faults.mutants)

A worker has a bug as well, which only one fault meets (support.buggy).

What notes down stands in place of the engine's own methods; the `ignore`s tell mypy
that it is meant.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

import app.projection.commands
import app.worker.process
from app.engine.chunks import Chunk
from app.engine.partition import Partition
from app.engine.store import Store
from app.engine.table import Table
from app.engine.transaction import Fold, Records, Transaction
from faults import mutants, points
from faults.cluster import with_copies
from faults.journal import write
from faults.late import Network
from support.buggy import install_bug

_for_good = ExitStack()
"""What lasts until the process ends."""


def main() -> None:
    """Wrap, then run."""
    [kind] = sys.argv[1:]
    environ = {
        name: os.environ.pop(f"FAULTS_{name}", "")
        for name in ("COPIES", "POINT", "PASSING", "ACT", "LATE", "MUTANT")
    }
    with_copies(int(environ["COPIES"] or 1))
    mutant = mutants.MUTANTS.get(environ["MUTANT"])
    if mutant and not mutant.splits_steps:
        mutant.install()
    if environ["POINT"]:
        act = cast(points.Act, environ["ACT"] or "kill")
        points.install(points.Trap(environ["POINT"], int(environ["PASSING"] or 1), act))
    if mutant and mutant.splits_steps:
        mutant.install()
    if environ["LATE"]:
        _hold_up_an_end(int(environ["LATE"]))
    _keep_journal()
    _note_what_is_left_out()
    _flush_when_asked()
    if kind == "worker":
        install_bug()
        app.worker.process.worker()
    else:
        app.projection.commands.projection()


def _keep_journal() -> None:
    """Note down assignments, records that came again, and writes that were refused."""
    assign, process, commit = Table.assign, Table.process, Table._commit

    async def noted_assign(self: Table, numbers: Iterable[int], generation: int) -> None:
        numbers = sorted(numbers)
        write("assigned", table=self.settings.name, numbers=numbers, generation=generation)
        await assign(self, numbers, generation)

    async def noted_process(self: Table, chunk: Chunk, fold: Fold) -> bool:
        new = 0

        def noted_fold(work: Any, records: Any) -> Iterator[None]:
            nonlocal new
            new += len(records)
            return fold(work, records)

        size = len(chunk.records)
        done = await process(self, chunk, noted_fold)
        if done and new < size:
            write("came-again", records=size - new)
        return done

    async def noted_commit(self: Table, *args: Any, **kwargs: Any) -> bool | None:
        done = await commit(self, *args, **kwargs)
        if done is False:
            write("fenced", table=self.settings.name)
        return done

    Table.assign = noted_assign  # type: ignore[method-assign]
    Table.process = noted_process  # type: ignore[method-assign]
    Table._commit = noted_commit  # type: ignore[method-assign]


def _note_what_is_left_out() -> None:
    """Note down, before each commit, which offsets it passes over: markers of transactions take
    some, and records may have been deleted."""
    folded: WeakKeyDictionary[Transaction, dict[str, list[int]]] = WeakKeyDictionary()
    process, commit = Table.process, Partition.commit

    async def noted_process(self: Table, chunk: Chunk, fold: Fold) -> bool:
        def noted_fold(work: Transaction, records: Records) -> Iterator[None]:
            yield from fold(work, records)
            seen = folded.setdefault(work, {}).setdefault(chunk.topic, [])
            seen += [record.offset for record in records]

        return await process(self, chunk, noted_fold)

    async def noted_commit(
        self: Partition, transaction: Transaction, offsets: Mapping[str, int]
    ) -> None:
        for topic, seen in folded.get(transaction, {}).items():
            before = [self.store.applied_offset(topic), *seen]
            gaps = [(a + 1, b - 1) for a, b in pairwise(before) if b > a + 1]
            if gaps:
                where = {**self.where, "topic": topic, "reached": seen[-1]}
                write("left-out", **where, gaps=gaps)
        await commit(self, transaction, offsets)

    Table.process = noted_process  # type: ignore[method-assign]
    Partition.commit = noted_commit  # type: ignore[method-assign]


def _hold_up_an_end(passing: int) -> None:
    """Let the network hold up an EndTxn, and deliver it when the next transaction of the same name
    is half sent; then die."""

    def die() -> None:
        write("at-point", point="late end", act="kill")
        os.kill(os.getpid(), signal.SIGKILL)

    _for_good.enter_context(Network(die, passing, "-people-").between())


def _flush_when_asked() -> None:
    """On SIGURG write to disk what the stores hold in memory, so that they can be compared."""
    stores: set[Store] = set()
    begin, close = Store.__init__, Store.close

    def noted_begin(self: Store, path: Path) -> None:
        begin(self, path)
        stores.add(self)

    def noted_close(self: Store) -> None:
        stores.discard(self)
        close(self)

    def flush(*_: object) -> None:
        begun = time.monotonic()
        for store in stores:
            store._db.flush()
        write("flushed", begun=begun)

    Store.__init__ = noted_begin  # type: ignore[method-assign]
    Store.close = noted_close  # type: ignore[method-assign]
    signal.signal(signal.SIGURG, flush)


if __name__ == "__main__":
    main()
