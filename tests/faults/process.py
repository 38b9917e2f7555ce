"""Run a worker or a projection under test: `python -m faults.process worker`.

It is the process of `yuekang worker`, with what the environment asks for wrapped around it:

    FAULTS_JOURNAL   file that it notes down in (required)
    FAULTS_COPIES    replication factor of the topics, in place of the catalogue's
    FAULTS_POINT     point of the commit path at which it is to die, FAULTS_PASSING the how manieth
                     time, FAULTS_ACT how (faults.points)
    FAULTS_MUTANT    safeguard that is taken out (faults.mutants)
"""

import os
import sys
from collections.abc import Iterable
from typing import Any, cast

import app.projection
import app.worker
from app.engine.chunks import Chunk
from app.engine.table import Fold, Table
from faults import mutants, points
from faults.cluster import with_copies
from faults.journal import write


def main() -> None:
    """Wrap, then run."""
    [kind] = sys.argv[1:]
    environ = {
        name: os.environ.pop(f"FAULTS_{name}", "")
        for name in ("COPIES", "POINT", "PASSING", "ACT", "MUTANT")
    }
    with_copies(int(environ["COPIES"] or 1))
    if environ["MUTANT"]:
        mutants.MUTANTS[environ["MUTANT"]].install()
    if environ["POINT"]:
        act = cast(points.Act, environ["ACT"] or "kill")
        points.install(points.Trap(environ["POINT"], int(environ["PASSING"] or 1), act))
    _keep_journal()
    if kind == "worker":
        app.worker.worker()
    else:
        app.projection.projection()


def _keep_journal() -> None:
    """Note down assignments, records that came again, and writes that were refused."""
    assign, process, commit = Table.assign, Table.process, Table._commit

    async def noted_assign(self: Table, numbers: Iterable[int], generation: int) -> None:
        numbers = sorted(numbers)
        write("assigned", table=self.settings.name, numbers=numbers, generation=generation)
        await assign(self, numbers, generation)

    async def noted_process(self: Table, chunk: Chunk, fold: Fold) -> bool:
        new = 0

        def noted_fold(work: Any, records: Any) -> None:
            nonlocal new
            new = len(records)
            fold(work, records)

        size = len(chunk.records)
        done = await process(self, chunk, noted_fold)
        if done and new < size:
            write("came-again", records=size - new)
        return done

    async def noted_commit(self: Table, *args: Any, **kwargs: Any) -> bool:
        done = await commit(self, *args, **kwargs)
        if not done:
            write("fenced", table=self.settings.name)
        return done

    Table.assign = noted_assign  # type: ignore[method-assign]
    Table.process = noted_process  # type: ignore[method-assign]
    Table._commit = noted_commit  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
