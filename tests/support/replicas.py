"""A process that writes a replica, told line by line what to do: a reader of the same process would
share its locks.

    begin                  begin again, with nobody in it
    build                  say that it is built
    put VERSION PERSON…    give each a code of that version, and the state that number of changes
    run                    put on and on, from the number of changes that is there, until killed
"""

import asyncio
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import msgspec

from app.development.stack.broker import ROOT
from app.projection.codes import CodeBatch, stored
from app.projection.replica_store import ReplicaStore, ReplicaWriter
from app.projection.state import Position, State
from app.topics.catalogue import HEALTH_CODES

LOG = "test/1"
BYTES_MAX = 2**30
POSITIONS: dict[str, tuple[Position, ...]] = {HEALTH_CODES: (Position(0),)}


def code_of(person: str, version: int) -> bytes:
    """A code as it is stored. Its length differs by version, so that pages move."""
    code = {"person": person, "version": version, "city": "440100", "padding": "x" * (version % 97)}
    return stored(msgspec.json.encode(code), 0)


async def put(writer: ReplicaWriter, state: State, version: int, people: Sequence[str]) -> State:
    """Write a batch, and the state of `version` changes."""
    state = msgspec.structs.replace(state, at=time.time(), built=True, changes=version)
    codes: list[tuple[str, bytes | None]] = [(p, code_of(p, version)) for p in people]
    assert await writer.apply(CodeBatch(codes), state)
    return state


async def begun(writer: ReplicaWriter) -> State:
    """Begin again, with nobody in it."""
    await writer.load()
    state = writer.new_state(await writer.server(), POSITIONS)
    assert await writer.begin_again(state)
    return state


class WriterProcess:
    """A writer in a process of its own. `fsize_max` bounds its files, as a full disk would."""

    def __init__(self, folder: Path, bytes_max: int = BYTES_MAX, fsize_max: int = -1) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.replicas", str(folder), str(bytes_max), str(fsize_max)],
            cwd=ROOT / "tests",
            env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, line: str) -> str:
        """Have it do something; return what it says: "done", or an error."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def __enter__(self) -> "WriterProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


async def _obey(store: ReplicaStore) -> None:
    async with store.opened(LOG, "process") as writer:
        state = await writer.load()
        for line in sys.stdin:
            match line.split():
                case ["begin"]:
                    state = await begun(writer)
                case ["build"] if state is not None:
                    state = await put(writer, state, 0, ())
                case ["put", version, *people] if state is not None:
                    state = await put(writer, state, int(version), people)
                case ["run", *people]:
                    state = state or await begun(writer)
                    print("done", flush=True)
                    while True:
                        state = await put(writer, state, state.changes + 1, people)
            print("done", flush=True)


def _main() -> None:
    folder, bytes_max, fsize_max = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(fsize_max), resource.RLIM_INFINITY))
    store = ReplicaStore(Path(folder), int(bytes_max))
    try:
        asyncio.run(_obey(store))
    except store.troubles as error:
        print(f"{type(error).__name__}: {error}", flush=True)


if __name__ == "__main__":
    _main()
