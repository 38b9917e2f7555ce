"""The replica of the codes: what its writer and its readers do to each other as processes, killed
at any point; and how it follows a real log, with no Redis anywhere."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

import msgspec
import pytest
from redis.asyncio import Redis

from app.development.stack.broker import ROOT
from app.process.ports import free_port
from app.projection.codes import CODE, CodeBatch, read_code, stored, version_of
from app.projection.replica import (
    CURRENT,
    LOOK_SECONDS,
    STATE_KEY,
    NoReplica,
    Replica,
    open_environment,
)
from app.projection.replica_store import READERS_SECONDS, ReplicaStore
from app.projection.state import FORMAT, State
from models.codes import HealthCode
from support.brokers import Kafka
from support.replicas import BYTES_MAX, LOG, WriterProcess, begun, code_of, put
from support.views import Log, Model, Running, health_code, reason, replay, someone

PEOPLE = [someone(Random(n)) for n in range(200)]
SECONDS_MAX = 30.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "replica"


@pytest.fixture
def replica(folder: Path) -> Iterator[Replica]:
    replica = Replica(folder)
    yield replica
    replica.close()


def state_of(replica: Replica) -> State:
    return replica.find(PEOPLE[0])[0]


def version_in(replica: Replica, person: str = PEOPLE[0]) -> int | None:
    _, code = replica.find(person)
    return None if code is None else version_of(code)


def until(wanted: object, say: Callable[[], object], seconds: float = SECONDS_MAX) -> None:
    """Wait until what `say` gives is `wanted`; if there is no replica it gives why."""
    end = time.monotonic() + seconds
    while True:
        try:
            said = say()
        except NoReplica as why:
            said = str(why)
        if said == wanted:
            return
        assert time.monotonic() < end, (said, wanted)
        time.sleep(0.01)


# Processes


def test_without_files_there_is_no_replica_until_there_is_one(
    folder: Path, replica: Replica
) -> None:
    with pytest.raises(NoReplica, match="No such file"):
        replica.find(PEOPLE[0])
    with WriterProcess(folder) as writer:
        assert writer.tell("begin") == "done"
        until("It is being built.", lambda: state_of(replica))
        assert writer.tell(f"put 1 {PEOPLE[0]}") == "done"
        assert version_in(replica) == 1, "at once"
        assert version_in(replica, PEOPLE[1]) is None


async def test_the_state_is_decoded_once_for_each_snapshot(folder: Path, replica: Replica) -> None:
    with WriterProcess(folder) as writer:
        writer.tell("begin")
        writer.tell("put 1 " + " ".join(PEOPLE))
        assert state_of(replica) is state_of(replica)
        writer.tell("put 2 " + PEOPLE[1])
        state, code = replica.find(PEOPLE[0])
        assert (state.changes, code) == (2, code_of(PEOPLE[0], 1))
        assert state.format == FORMAT


def test_what_is_begun_again_is_noticed_within_a_second(folder: Path, replica: Replica) -> None:
    with WriterProcess(folder) as writer:
        for version in range(1, 4):
            assert writer.tell("begin") == "done"
            assert writer.tell(f"put {version} {PEOPLE[0]}") == "done"
            until(version, partial(version_in, replica), LOOK_SECONDS * 2)
            assert len(list(folder.iterdir())) == 2, "one generation and the link to it"


def test_killed_at_any_point_it_is_a_whole_batch_that_is_there(
    folder: Path, replica: Replica
) -> None:
    """Each batch gives everybody the version that its state names. So half a batch would
    be seen, and one that was undone as well."""
    random, newest = Random(0), 0
    for _ in range(8):
        with WriterProcess(folder) as writer:
            assert writer.tell("run " + " ".join(PEOPLE)) == "done"
            end = time.monotonic() + random.uniform(0, 0.5)
            while time.monotonic() < end:
                newest = whole(replica, newest)
            writer.process.send_signal(signal.SIGKILL)
            writer.process.wait()
        newest = whole(replica, newest)
    assert newest > 8


def whole(replica: Replica, at_least: int) -> int:
    """Hold that each find is of one batch, of `at_least` or newer; return the newest."""
    for person in PEOPLE[::20]:
        try:
            state, code = replica.find(person)
        except NoReplica:
            assert not at_least, "it was there"
            continue
        assert code == code_of(person, state.changes), "a batch is whole"
        assert state.changes >= at_least, "and none is undone"
        at_least = state.changes
    return at_least


async def test_a_killed_reader_holds_nothing_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that dies in the middle of a read would keep every page since then."""
    async with ReplicaStore(folder, BYTES_MAX).opened(LOG, "w") as writer:
        state = await put(writer, await begun(writer), 1, PEOPLE)
        reader = killed_reader(folder)
        assert str(reader) in writer._opened.readers()
        now = time.monotonic()
        monkeypatch.setattr("time.monotonic", lambda: now + READERS_SECONDS + 1)
        await put(writer, state, 2, PEOPLE)
        assert str(reader) not in writer._opened.readers()


def killed_reader(folder: Path) -> int:
    """Kill a process in the middle of a read; return its id."""
    reader = subprocess.Popen(
        [sys.executable, "-c", READING, folder / CURRENT],
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == b"reading\n"
    reader.kill()
    reader.wait()
    reader.stdout.close()
    return reader.pid


READING = """
import sys, time
from pathlib import Path
from app.projection.replica import open_environment
snapshot = open_environment(Path(sys.argv[1]), readonly=True).begin()
print("reading", flush=True)
time.sleep(60)
"""


def test_a_full_replica_says_so_and_keeps_what_it_has(folder: Path, replica: Replica) -> None:
    small = 2**18
    with WriterProcess(folder, small) as writer:
        writer.tell("begin")
        version, said = 0, "done"
        while said == "done":
            version += 1
            more = (someone(Random(f"{version} {n}")) for n in range(200))
            said = writer.tell(f"put {version} {PEOPLE[0]} {' '.join(more)}")
        assert said == (
            f"ReplicaFull: It has come to its {small:,} bytes. Set YUEKANG_REPLICA_BYTES to more."
        )
    assert (version_in(replica), state_of(replica).changes) == (version - 1, version - 1)
    with WriterProcess(folder, 2 * small) as writer:
        said = writer.tell(f"put {version} {PEOPLE[0]} {' '.join(PEOPLE)}")
        assert said == "done", "with more room it goes on from there"
        until(version, lambda: version_in(replica))


def test_a_full_disk_leaves_the_batch_before(folder: Path, replica: Replica) -> None:
    with WriterProcess(folder, fsize_max=2**18) as writer:
        writer.tell("begin")
        version, said = 0, "done"
        while said == "done":
            version += 1
            more = (someone(Random(f"{version} {n}")) for n in range(200))
            said = writer.tell(f"put {version} {PEOPLE[0]} {' '.join(more)}")
        assert "Input/output error" in said, said
    assert (version_in(replica), state_of(replica).changes) == (version - 1, version - 1)
    with WriterProcess(folder) as writer:
        assert writer.tell(f"put {version} {PEOPLE[0]}") == "done"
        assert version_in(replica) == version


# Following a log


@pytest.fixture
async def log(kafka: Kafka) -> AsyncIterator[Log]:
    async with Log(kafka) as log:
        yield log


def process(kafka: Kafka, folder: Path, **settings: str) -> Running:
    """`yuekang replica`, without so much as an address of a Redis that is there."""
    port = free_port()
    environment = {
        **kafka.environment_of("replica"),
        "YUEKANG_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "YUEKANG_REPLICA": str(folder),
        "YUEKANG_REPLICA_STATUS_PORT": str(port),
        **settings,
    }
    return Running("replica", environment, port, folder.with_name("replica.log"))


@contextmanager
def running_replica(kafka: Kafka, folder: Path, **settings: str) -> Iterator[Running]:
    """Run it; it need not be ready yet."""
    running = process(kafka, folder, **settings)
    try:
        yield running
    finally:
        running.end()


def held(folder: Path) -> dict[str, HealthCode]:
    """Every code that lies there."""
    environment = open_environment(folder / CURRENT, readonly=True)
    with environment.begin() as snapshot:
        found = {key.decode(): code for key, code in snapshot.cursor() if key != STATE_KEY}
    environment.close()
    return {person: read_code(code)[1] for person, code in found.items()}


async def check_equal(kafka: Kafka, folder: Path) -> None:
    """Assert that the replica is what the log comes to, once it has caught up."""
    expected = (await replay(kafka)).codes
    end = time.monotonic() + SECONDS_MAX
    while held(folder) != expected:
        assert time.monotonic() < end, "it does not become what the log comes to"
        await asyncio.sleep(0.2)


async def traffic(log: Log, seed: int, transactions: int = 40) -> None:
    """Codes as a worker tells them: now and then one is deleted, told again late, or taken back."""
    random = Random(seed)
    versions = dict.fromkeys((someone(random) for _ in range(40)), 0)
    for _ in range(transactions):
        items: list[HealthCode | str] = []
        for person in random.sample(sorted(versions), 5):
            versions[person] += 1
            late = random.random() < 0.1 and versions[person] > 1
            red = [reason()] if random.random() < 0.5 else []
            items.append(health_code(person, *red, version=versions[person] - late))
            if random.random() < 0.05:
                items.append(person)
        await log.put(*items)
        if random.random() < 0.1:
            await log.put_and_abort(health_code(someone(), version=9))
        await asyncio.sleep(0.002)


async def test_the_replica_equals_the_log_and_so_does_one_built_from_nothing(
    kafka: Kafka, log: Log, folder: Path
) -> None:
    await traffic(log, 1)
    with running_replica(kafka, folder) as running:
        running.wait_ready()
        await traffic(log, 2)
        await check_equal(kafka, folder)
    assert running.process.returncode == 0
    with running_replica(kafka, second := folder.with_name("second")) as running:
        running.wait_ready()
        await check_equal(kafka, second)


async def test_a_killed_replica_goes_on_where_it_was(
    kafka: Kafka, log: Log, folder: Path, replica: Replica
) -> None:
    random, epochs = Random(3), set()
    flowing = asyncio.create_task(traffic(log, 3, 600))
    for _ in range(4):
        with running_replica(kafka, folder) as running:
            running.wait_ready()
            await asyncio.sleep(random.random() / 2)
            running.send(signal.SIGKILL)
        epochs.add(state_of(replica).epoch)
    await flowing
    replica.close()
    with running_replica(kafka, folder):
        await check_equal(kafka, folder)
    assert len(epochs) == 1, "it was never built again"


async def test_while_nobody_writes_it_can_be_read_and_grows_old(
    kafka: Kafka, log: Log, folder: Path, replica: Replica
) -> None:
    await log.put(health_code(PEOPLE[0], version=7))
    with running_replica(kafka, folder) as running:
        running.wait_ready()
        until(7, lambda: version_in(replica))
        before = fresh_until(replica)
        await asyncio.sleep(3)
        assert min(fresh_until(replica)) > max(before), "it is fresh although nothing happens"
        running.send(signal.SIGSTOP)
        await asyncio.sleep(1)
        before = fresh_until(replica)
        await asyncio.sleep(1)
        assert (version_in(replica), fresh_until(replica)) == (7, before)


def fresh_until(replica: Replica) -> list[float]:
    positions = state_of(replica).positions.values()
    return [position.as_of or 0.0 for of in positions for position in of]


async def test_a_second_process_on_a_folder_ends_with_a_sentence(
    kafka: Kafka, folder: Path
) -> None:
    with running_replica(kafka, folder) as first:
        first.wait_ready()
        second = process(kafka, folder)
        assert second.process.wait(SECONDS_MAX) == 1
        assert f"Another process writes the replica in {folder}" in second.log.read_text()
        assert first.process.poll() is None


async def test_a_full_replica_is_not_ready_and_loses_nothing(
    kafka: Kafka, log: Log, folder: Path, replica: Replica
) -> None:
    with running_replica(kafka, folder, YUEKANG_REPLICA_BYTES="2097152") as running:
        running.wait_ready()
        await log.put(*(health_code(someone(), reason()) for _ in range(5_000)))
        end = time.monotonic() + SECONDS_MAX
        while "It has come to its 2,097,152 bytes" not in (answer := running.get("/readyz"))[1]:
            assert time.monotonic() < end, answer
            await asyncio.sleep(0.1)
        assert answer[0] == 503
        before = fresh_until(replica)
        await asyncio.sleep(2)
        assert fresh_until(replica) == before, "it does not say that it is fresh"
    replica.close()
    with running_replica(kafka, folder) as running:
        running.wait_ready()
        await check_equal(kafka, folder)


def test_without_its_folder_it_says_so(kafka: Kafka, folder: Path) -> None:
    running = process(kafka, folder, YUEKANG_REPLICA="")
    assert running.process.wait(SECONDS_MAX) == 2
    assert "YUEKANG_REPLICA is not set" in running.log.read_text()
    folder.write_text("a file")
    with running_replica(kafka, folder) as running:
        end = time.monotonic() + SECONDS_MAX
        while "File exists" not in (answer := running.get("/readyz"))[1]:
            assert time.monotonic() < end, answer
            time.sleep(0.1)
        assert answer[1].startswith("The replica is not written.")


# The rule, beside that of Redis


async def test_any_batches_leave_the_same_codes_as_in_redis(redis_url: str, folder: Path) -> None:
    """codes.lua has the rule a second time. Here many batches go through both."""
    random = Random(4)
    versions = [1, 2, 3, 4, 1_000_001, 1_000_002, 1_000_003, 2_000_005]
    async with (
        Redis.from_url(redis_url.replace("/0", "/11")) as redis,
        ReplicaStore(folder, BYTES_MAX).opened(LOG, "w") as writer,
    ):
        for _ in range(30):
            model = Model(redis)
            await model.begin()
            state = await begun(writer)
            for _ in range(random.randrange(12)):
                people = random.choices(PEOPLE[:5], k=random.randrange(8))
                items = [
                    person
                    if random.random() < 0.1
                    else health_code(person, version=random.choice(versions))
                    for person in people
                ]
                await model.put(*items)
                batch = CodeBatch()
                for item in items:
                    if isinstance(item, str):
                        batch.codes.append((item, None))
                    else:
                        batch.codes.append((item.person, stored(msgspec.json.encode(item), 0)))
                assert await writer.apply(batch, state)
            for person in PEOPLE[:5]:
                with writer._opened.begin() as snapshot:
                    assert snapshot.get(person.encode()) == await redis.get(CODE + person)
