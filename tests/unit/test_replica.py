"""The replica of the codes, on real files of LMDB, in one process."""

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.process import metrics
from app.projection.codes import LEAP_MAX, CodeBatch
from app.projection.follow import Unfit
from app.projection.replica import CURRENT, DATA_FILE, LOOK_SECONDS, STATE_KEY, NoReplica, Replica
from app.projection.replica_store import ReplicaFull, ReplicaStore, take_code
from support.replicas import BYTES_MAX, LOG, begun, code_of, put
from support.views import someone

PEOPLE = [someone(Random(n)) for n in range(200)]
SHM = Path("/dev/shm")


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory, as for a city: the disk is slower, and nothing else is different."""
    with TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as path:
        yield Path(path)


@pytest.fixture
def replica(folder: Path) -> Iterator[Replica]:
    replica = Replica(folder)
    yield replica
    replica.close()


# The rule


Batch = list[tuple[str, int | None]]
persons = st.sampled_from(PEOPLE[:5])
versions = st.sampled_from([1, 2, 3, 4, 5, LEAP_MAX, LEAP_MAX + 1, LEAP_MAX + 2, 2 * LEAP_MAX + 3])
batches = st.lists(
    st.tuples(st.lists(st.tuples(persons, versions | st.none()), max_size=6), st.booleans()),
    max_size=8,
)


def ruled(codes: dict[str, int], batch: Batch) -> int:
    """Do to `codes` what a batch does, record by record; return how many of it leapt."""
    leapt = 0
    for person, version in batch:
        before = codes.get(person)
        if version is None:
            codes.pop(person, None)
        elif before is None or 0 < version - before <= LEAP_MAX:
            codes[person] = version
        else:
            leapt += version > before
    return leapt


@given(batches)
def test_any_batches_leave_the_newest_codes_and_their_state(
    batches: list[tuple[Batch, bool]],
) -> None:
    """Whether it is opened again in between or not, and whatever comes together in one."""
    expected: dict[str, int] = {}
    leapt_before = metrics.PROJECTION_VERSIONS_LEAPT._value.get()
    leapt = 0

    async def write(folder: Path) -> None:
        nonlocal leapt
        store, rest, number = ReplicaStore(folder, BYTES_MAX), list(batches), 0
        while True:
            async with store.opened(LOG, "w") as writer:
                state = await writer.load() or await begun(writer)
                assert state.changes == number
                while rest:
                    batch, close = rest.pop(0)
                    number += 1
                    state = msgspec.structs.replace(state, changes=number, built=True)
                    codes = [(p, None if v is None else code_of(p, v)) for p, v in batch]
                    assert await writer.apply(CodeBatch(codes), state)
                    leapt += ruled(expected, batch)
                    if close:
                        break
                else:
                    return

    with TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as path:
        asyncio.run(write(Path(path)))
        replica = Replica(Path(path))
        if batches:
            found = {person: replica.find(person) for person in PEOPLE[:5]}
            assert {state.changes for state, _ in found.values()} == {len(batches)}
            assert {p: code for p, (_, code) in found.items() if code is not None} == {
                person: code_of(person, version) for person, version in expected.items()
            }
        else:
            with pytest.raises(NoReplica, match="It is being built"):
                replica.find(PEOPLE[0])
        replica.close()
    assert metrics.PROJECTION_VERSIONS_LEAPT._value.get() - leapt_before == leapt


# What can be read


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"format": 2}'])
async def test_a_state_of_another_format_is_no_replica_and_begun_again(
    folder: Path, replica: Replica, content: bytes
) -> None:
    store = ReplicaStore(folder, BYTES_MAX)
    async with store.opened(LOG, "w") as writer:
        await put(writer, await begun(writer), 1, PEOPLE)
        with writer._opened.begin(write=True) as transaction:
            transaction.put(STATE_KEY, content)
    with pytest.raises(NoReplica, match="of another format"):
        replica.find(PEOPLE[0])
    replica.close()
    async with store.opened(LOG, "w") as writer:
        assert await writer.load() is None
        await put(writer, await begun(writer), 2, ())
    assert Replica(folder).find(PEOPLE[0])[1] is None


async def test_a_replica_of_another_log_is_begun_again(folder: Path) -> None:
    async with ReplicaStore(folder, BYTES_MAX).opened(LOG, "w") as writer:
        await put(writer, await begun(writer), 1, PEOPLE)
    async with ReplicaStore(folder, BYTES_MAX).opened("test/2", "w") as writer:
        assert await writer.load() is None


async def test_whatever_is_asked_for_the_others_are_still_found(
    folder: Path, replica: Replica
) -> None:
    async with ReplicaStore(folder, BYTES_MAX).opened(LOG, "w") as writer:
        await put(writer, await begun(writer), 1, PEOPLE)
    for nobody in ("", "state", "\xffstate", "p" * 600, "\0", someone()):
        assert replica.find(nobody)[1] is None
        assert replica.find(PEOPLE[0])[1] == code_of(PEOPLE[0], 1)


def test_a_closed_replica_is_none(folder: Path, replica: Replica) -> None:
    replica.close()
    with pytest.raises(NoReplica, match="closed"):
        replica.find(PEOPLE[0])


# What is begun again, damaged or removed


@pytest.mark.parametrize("damage", ["cut", "emptied", "garbage", "removed", "without its folder"])
async def test_a_damaged_file_is_given_up_and_begun_again(
    folder: Path, replica: Replica, damage: str
) -> None:
    store = ReplicaStore(folder, BYTES_MAX)
    async with store.opened(LOG, "w") as writer:
        await put(writer, await begun(writer), 1, PEOPLE)
    data = folder / CURRENT / DATA_FILE
    match damage:
        case "cut":
            os.truncate(data, data.stat().st_size - 4096)
        case "emptied":
            os.truncate(data, 0)
        case "garbage":
            data.write_bytes(Random(1).randbytes(data.stat().st_size))
        case "removed":
            data.unlink()
        case _:
            shutil.rmtree(data.resolve().parent)
    with pytest.raises(NoReplica):
        replica.find(PEOPLE[0])

    async def begin() -> None:
        async with store.opened(LOG, "w") as writer:
            assert await writer.load() is None
            await put(writer, await begun(writer), 2, PEOPLE)

    try:
        await begin()
    except store.troubles:  # it is found damaged; the loop that follows the log tries again
        await begin()
    until = time.monotonic() + 2 * LOOK_SECONDS
    while (found := _found(replica)) != code_of(PEOPLE[0], 2):
        assert time.monotonic() < until, found
        await asyncio.sleep(0.01)


def _found(replica: Replica) -> bytes | str | None:
    try:
        return replica.find(PEOPLE[0])[1]
    except NoReplica as why:
        return str(why)


@pytest.mark.parametrize("removed", ["link", "data", "generation", "folder"])
async def test_a_writer_whose_files_were_removed_has_moved(folder: Path, removed: str) -> None:
    async with ReplicaStore(folder, BYTES_MAX).opened(LOG, "w") as writer:
        state = await put(writer, await begun(writer), 1, PEOPLE)
        generation = (folder / CURRENT).resolve()
        match removed:
            case "link":
                (folder / CURRENT).unlink()
            case "data":
                (generation / DATA_FILE).unlink()
            case "generation":
                shutil.rmtree(generation)
            case _:
                shutil.rmtree(folder)
        assert not await writer.apply(CodeBatch(), state)


async def test_nothing_of_others_is_removed(folder: Path) -> None:
    kept = [folder / "notes.txt", folder / "codes-mine" / "letter.txt"]
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    async with ReplicaStore(folder, BYTES_MAX).opened(LOG, "w") as writer:
        await begun(writer)
        await begun(writer)
    assert [path.read_text() for path in kept] == ["mine", "mine"]
    assert len(os.listdir(folder)) == 4, "beside one generation and its link"


# A second writer


async def test_a_second_writer_says_who_is_there(folder: Path) -> None:
    store = ReplicaStore(folder, BYTES_MAX)
    async with store.opened(LOG, "first"):
        with pytest.raises(Unfit, match=f"Another process writes the replica in {folder}"):
            async with store.opened(LOG, "second"):
                pass
    async with store.opened(LOG, "second"):
        pass


# No more room


async def test_a_batch_for_which_there_is_no_room_is_left_out_whole(
    folder: Path, replica: Replica
) -> None:
    store, written = ReplicaStore(folder, 2**18), 0

    async def write_on() -> None:
        nonlocal written
        async with store.opened(LOG, "w") as writer:
            state = await begun(writer)
            while True:
                people = [PEOPLE[0], *(someone() for _ in range(100))]
                state = await put(writer, state, written + 1, people)
                written = state.changes

    with pytest.raises(ReplicaFull, match="come to its 262,144 bytes"):
        await write_on()
    assert written > 1
    state, code = replica.find(PEOPLE[0])
    assert (state.changes, code) == (written, code_of(PEOPLE[0], written))


def test_a_record_of_no_person_is_none_of_a_batch() -> None:
    batch = CodeBatch()
    for key in (None, b"state", b"", b"\xff", b"p1-" + b"a" * 600):
        record = _Record(key, msgspec.json.encode({"person": "p", "version": 1}))
        with pytest.raises(ValueError, match=r"no person's|can't decode"):
            take_code(batch, record)
    assert not batch.size


class _Record(msgspec.Struct):
    key: bytes | None
    value: bytes | None
    topic: str = "health-codes"
    partition: int = 0
