"""The audit log on a real Kafka: who leaves a line, who cannot, and what its keeper outlives."""

import asyncio
import errno
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from litestar.testing import AsyncTestClient
from redis.asyncio import Redis
from typer.testing import CliRunner

from app.audit import entries, follow, tiles
from app.audit.checkpoints import NoteSigner, read_checkpoint
from app.audit.entries import Act, AuditEntry, entry_in
from app.audit.follow import AuditLog
from app.audit.tiles import TileFolder
from app.audit.trail import Trail
from app.audit.verify import Anchor, Verified
from app.cli import app as cli
from app.operator import audit
from app.process.files import write_whole
from app.process.kafka import Brokers
from app.process.ports import free_port
from app.topics.writer import Writer
from app.web.openapi import document_of
from support.audits import SIGNER, Noted, line, lines_on
from support.brokers import Kafka
from support.gateways import command
from support.registers import registering
from support.rows import put_rows
from support.tokens import MAKING, OPERATOR, OPERATOR_HEADERS, TOKENS
from support.views import (
    Model,
    Running,
    create_view,
    health_code,
    now,
    options_over,
    resident,
    running_view,
    someone,
)

SECONDS_MAX = 20.0
OTHER = NoteSigner(SIGNER.verifier.name, bytes(32))


# Who leaves a line


async def test_every_question_of_an_operator_about_people_leaves_one_line(
    redis_url: str, rows: Redis, model: Model
) -> None:
    """By the document, so that a new address cannot be forgotten. Those of an officer's pages, who
    is on duty by a cookie, name nobody."""
    noted, person = Noted(), someone()
    await put_rows(rows, [])
    await model.put(health_code(person))
    app = create_view(options_over(redis_url, now, write_down=noted))
    asked = [
        path
        for path, methods in document_of(app)["paths"].items()
        for operation in methods.values()
        if operation.get("security") == [{"operatorToken": []}]
    ]
    assert len(asked) >= 3
    async with AsyncTestClient(app) as http:
        for path in asked:
            address = path.replace("{person}", person)
            assert (await http.get(address, headers=OPERATOR_HEADERS)).status_code == 200
            [entry] = noted.take()
            assert entry.by == OPERATOR
            assert entry.about == (person if "{person}" in path else path)
            for token in (
                "",
                "Bearer wrong",
                f"Bearer {TOKENS.token_for('/terminals/440100-001')}",
            ):
                answer = await http.get(address, headers={"authorization": token})
                assert answer.status_code in (401, 403)
            assert (await http.get(address, headers=resident(person))).status_code == 401
            assert noted.take() == []


async def test_what_cannot_be_written_down_has_no_answer(
    redis_url: str, rows: Redis, model: Model
) -> None:
    person = someone()
    await put_rows(rows, [])
    await model.put(health_code(person))
    async with AsyncTestClient(create_view(options_over(redis_url, now, write_down=None))) as http:
        for path in (f"/v1/people/{person}/code", f"/v1/people/{person}/explanation"):
            answer = await http.get(path, headers=OPERATOR_HEADERS)
            assert (answer.status_code, answer.json()["code"]) == (503, "audit-away")
            assert int(answer.headers["retry-after"]) > 0
            assert "colour" not in answer.text
        # A resident needs no line.
        assert (await http.get("/v1/me/code", headers=resident(person))).status_code == 200


# The keeper


@pytest.fixture
async def own(broker: Brokers, monkeypatch: pytest.MonkeyPatch) -> Kafka:
    """A topic of the test's own, by which this process calls it too; in its register is nobody."""
    kafka = Kafka(broker, f"audit-{secrets.token_hex(4)}-")
    name = kafka.named("audit")
    await make_topic(kafka)
    for module in (entries, follow, audit):
        monkeypatch.setattr(module, "AUDIT", name)
    for module in (follow, audit):
        monkeypatch.setattr(module, "PARTITION", TopicPartition(name, 0))
    monkeypatch.setattr(follow, "SIGN_SECONDS", 0.05)
    registering(monkeypatch)
    return kafka


async def make_topic(kafka: Kafka) -> None:
    admin = AIOKafkaAdminClient(**kafka.brokers.client)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(kafka.named("audit"), 1, 1)])
    finally:
        await admin.close()


async def put(kafka: Kafka, numbers: range) -> None:
    async with kafka.producer() as producer:
        for number in numbers:
            await producer.send("audit", line(number))


@asynccontextmanager
async def keeping(
    kafka: Kafka, files: TileFolder, signer: NoteSigner = SIGNER, *former: NoteSigner
) -> AsyncIterator[AuditLog]:
    """Keep a log meanwhile."""
    kept = AuditLog(kafka.brokers, files, signer, [each.verifier for each in former])
    task = asyncio.create_task(kept.run())
    try:
        yield kept
    finally:
        kept.stop()
        await task


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not holds():
            await asyncio.sleep(0.02)


def size_of(files: TileFolder, signer: NoteSigner = SIGNER) -> int:
    """How many entries the newest checkpoint has."""
    note = files.checkpoint()
    return -1 if note is None else read_checkpoint(note, [signer.verifier, SIGNER.verifier]).size


def says(kept: AuditLog, words: str) -> Callable[[], bool]:
    return lambda: words in " ".join(kept.reasons())


async def verify(kafka: Kafka, files: TileFolder, *notes: bytes) -> Verified:
    """As the command does."""
    known = [SIGNER.verifier, OTHER.verifier]
    anchors = [Anchor("kept", read_checkpoint(note, known)) for note in notes]
    return await audit._verified(files, known, anchors, kafka.brokers)


def kept_lines(files: TileFolder) -> list[AuditEntry | None]:
    leaves = [leaf for bundle in files.kept_leaves(files.head().size) for leaf in bundle]
    return [entry_in(leaf) for leaf in leaves]


async def test_it_goes_on_where_it_ended_however_it_ended(own: Kafka, tmp_path: Path) -> None:
    files, notes = TileFolder(tmp_path), []
    for count in (10, 300, 301, 777):
        await put(own, range(max(0, files.head().size), count))
        async with keeping(own, files) as kept:
            await until(lambda count=count: size_of(files) == count)  # type: ignore[misc]
            await until(lambda: kept.reasons() == [])
        notes.append(files.checkpoint() or b"")
    # One that was killed has written tiles, and perhaps its head, and no checkpoint over them.
    files.write_checkpoint(notes[2])
    async with keeping(own, files):
        await until(lambda: size_of(files) == 777)
    found = await verify(own, files, *notes)
    assert (found.size, found.topic_from, found.waiting, found.findings) == (777, 0, 0, [])
    assert kept_lines(files) == [entry_in(line(number)) for number in range(777)]


async def test_a_full_disk_holds_it_up_and_nobody_else(
    own: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = TileFolder(tmp_path)
    await put(own, range(5))
    async with keeping(own, files) as kept:
        await until(lambda: size_of(files) == 5)

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("app.audit.tiles.write_whole", full)
        await put(own, range(5, 300))
        await until(says(kept, "No space left on device"))
        assert size_of(files) == 5
        monkeypatch.setattr("app.audit.tiles.write_whole", write_whole)
        await until(lambda: size_of(files) == 300)
        await until(lambda: kept.reasons() == [])
    assert (await verify(own, files)).findings == []


async def test_a_tree_that_was_changed_is_not_signed(own: Kafka, tmp_path: Path) -> None:
    files = TileFolder(tmp_path)
    await put(own, range(5))
    async with keeping(own, files):
        await until(lambda: size_of(files) == 5)
    tile = tmp_path / tiles.tile_path(0, 0, 5)
    before = tile.read_bytes()
    tile.write_bytes(bytes(len(before)))
    await put(own, range(5, 9))
    async with keeping(own, files) as kept:
        await until(says(kept, "is not the one whose checkpoint was signed"))
        assert size_of(files) == 5
        tile.write_bytes(before)
        await until(lambda: size_of(files) == 9)
    # More in the tree than was signed is what a kill leaves; another beginning is not.
    for forged in (SIGNER.sign(5, bytes(32)), SIGNER.sign(10, bytes(32))):
        files.write_checkpoint(forged)
        async with keeping(own, files) as kept:
            await until(says(kept, "is not the one whose checkpoint was signed"))
        assert files.checkpoint() == forged


async def test_a_topic_made_again_waits_for_an_operator(
    own: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = TileFolder(tmp_path / "audit")
    await put(own, range(5))
    async with keeping(own, files):
        await until(lambda: size_of(files) == 5)
    for name, value in own.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("YUEKANG_DATA_DIR", str(tmp_path))
    resume = ["audit", "resume", "--reason", "the broker's disk was replaced"]
    refused = await asyncio.to_thread(CliRunner().invoke, cli, resume)
    assert (refused.exit_code, "nothing to resume" in refused.output) == (1, True)
    await own.delete_topic("audit")
    await make_topic(own)
    await put(own, range(100, 120))  # more than the tree has: its offsets tell nothing
    async with keeping(own, files) as kept:
        await until(says(kept, "record 4 is not the last one in the tree"))
        assert size_of(files) == 5
    done = await asyncio.to_thread(CliRunner().invoke, cli, resume)
    assert done.exit_code == 0, done.output
    async with keeping(own, files) as kept:
        await until(lambda: size_of(files) == 26)
        await until(lambda: kept.reasons() == [])
    *_, last = kept_lines(files)
    assert last is not None
    assert (last.what, last.reason) == (Act.LOG_RESUMED, "the broker's disk was replaced")
    found = await verify(own, files)
    assert (found.topic_from, found.findings) == (5, [])


async def test_another_key_goes_on_and_says_so(own: Kafka, tmp_path: Path) -> None:
    files = TileFolder(tmp_path)
    await put(own, range(5))
    async with keeping(own, files):
        await until(lambda: size_of(files) == 5)
    note = files.checkpoint() or b""
    async with keeping(own, files, OTHER) as kept:
        await until(says(kept, "No known key signed it"))
    async with keeping(own, files, OTHER, SIGNER):
        await until(lambda: size_of(files, OTHER) == 6)
    *_, last = kept_lines(files)
    assert last is not None
    assert (last.what, last.about) == (Act.KEY_CHANGED, str(OTHER.verifier))
    assert last.details == {"former": SIGNER.verifier.key_id.hex()}
    assert (await verify(own, files, note)).findings == []


async def test_a_line_over_the_trail_is_confirmed_by_kafka(own: Kafka) -> None:
    writer = Writer(own.brokers)
    writer.start()
    try:
        trail = Trail(writer.write, now)
        async with asyncio.timeout(SECONDS_MAX):
            while not writer._producer:
                await asyncio.sleep(0.02)
        await trail.note(OPERATOR, Act.CODE_READ, "p1-x")
    finally:
        await writer.stop()
    [found] = await lines_on(own)
    assert (found.by, found.what, found.about) == (OPERATOR, Act.CODE_READ, "p1-x")


# The processes


@pytest.fixture(scope="module")
def view(
    kafka: Kafka, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    with running_view(kafka, redis_url, tmp_path_factory.mktemp("view")) as running:
        running.wait_live()
        yield running


@pytest.fixture(scope="module")
def environment(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {
        **kafka.environment,
        **MAKING,
        "YUEKANG_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "YUEKANG_AUDIT_KEY": bytes(range(32)).hex(),
        "YUEKANG_AUDIT_STATUS_PORT": str(free_port()),
    }


RELEASES = """
import asyncio, sys
from contextlib import suppress
from aiokafka.errors import GroupCoordinatorNotAvailableError
from app.topics.authentic import operator_keys
from app.letters.releases import release, release_partition
from app.process.settings import Settings
from models.operators import PartitionReleasedData
brokers, keys, by = Settings.from_environment().brokers, operator_keys(), sys.argv[1]
data = PartitionReleasedData("people", 2, "mended", "case-reports", 7)
for done in (
    release(brokers, keys, "/laboratories/440100-001", by, 0.0),
    release_partition(brokers, keys, data, by, 0.0),
):
    with suppress(GroupCoordinatorNotAvailableError):  # no worker runs, nor ever did
        asyncio.run(done)
"""


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        arguments, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


async def test_the_anonymous_leave_nothing_and_operators_all_that_they_do(
    view: Running,
    kafka: Kafka,
    environment: dict[str, str],
    redis_url: str,
    rows: Redis,
    tmp_path: Path,
) -> None:
    person = someone()
    await put_rows(rows, [], prefix=kafka.prefix)
    async with Redis.from_url(redis_url) as client:
        model = Model(client, kafka.prefix)
        await model.begin()
        await model.put(health_code(person))
    path = f"{view.address}/v1/people/{person}"
    async with httpx.AsyncClient() as http:
        for number in range(40):
            for token in ("", f"e30.{number}.x", TOKENS.token_for("/cdc/440100")):
                headers = {"authorization": f"Bearer {token}"} if token else {}
                assert (await http.get(f"{path}/code", headers=headers)).status_code in (401, 403)
                form = {"token": token, "officer": "甲"}
                origin = {"origin": view.address}
                await http.post(f"{view.address}/duty/login", data=form, headers=origin)
        assert await lines_on(kafka) == []
        assert view.code_of(person)[0] == 200
        for part in ("explanation", "code"):
            assert (await http.get(f"{path}/{part}", headers=OPERATOR_HEADERS)).status_code == 200
    log = tmp_path / "audit-log.log"
    port = int(environment["YUEKANG_AUDIT_STATUS_PORT"])
    keeper = Running("audit-log", environment | kafka.known_as("audit-log"), port, log)
    try:
        released = run(environment, sys.executable, "-c", RELEASES, OPERATOR)
        assert released.returncode == 0, released.stderr
        letters = "dead-letters"
        assert run(environment, *command(letters, "show", "0", "0")).returncode == 1
        assert run(environment, *command(letters, "resend", "--all")).returncode == 0
        assert run(environment, *command(letters, "resend", "--all", "--dry-run")).returncode == 0
        keeper.wait_ready()
        files = TileFolder(Path(environment["YUEKANG_DATA_DIR"]) / "audit")
        own_key = NoteSigner("yuekang/audit", bytes(range(32)))
        await until(lambda: size_of(files, own_key) == 7)
        verified = run(environment, *command("audit", "verify"))
        assert (verified.returncode, "All 7 entries" in verified.stdout) == (0, True), verified
        key = run(environment, *command("audit", "key")).stdout.strip()
        assert key == str(own_key.verifier)
        note = tmp_path / "note"
        note.write_text(run(environment, *command("audit", "checkpoint")).stdout)
        path_of = files.folder / tiles.tile_path(tiles.ENTRIES, 0, 7)
        path_of.write_bytes(path_of.read_bytes().replace(person.encode(), someone().encode(), 1))
        options = ("--json", "--key", key, "--checkpoint", str(note))
        spoiled = run(environment, *command("audit", "verify", *options))
        assert spoiled.returncode == 1
        found = msgspec.json.decode(spoiled.stdout)["findings"]
        assert ("edited", 0) in {(each["harm"], each["entry"]) for each in found}
    finally:
        assert keeper.end() == 0
    listed = run(environment, *command("audit", "list", "--about", "people[2]"))
    assert "partition-released\tpeople[2]\tmended" in listed.stdout
    seen = [(each.what, each.about) for each in await lines_on(kafka)]
    assert seen == [
        (Act.CODE_READ, person),
        (Act.EXPLAINED, person),
        (Act.CODE_READ, person),
        (Act.SOURCE_RELEASED, "/laboratories/440100-001"),
        (Act.PARTITION_RELEASED, "people[2]"),
        (Act.LETTER_READ, f"{kafka.named('dead-letters')}[0] at 0"),
        (Act.LETTERS_RESENT, kafka.named("dead-letters")),
    ]
    accounts = {each.details.get("account", "") for each in await lines_on(kafka)}
    assert all("@" in account for account in accounts - {""})
    assert "yuekang.audit" not in view.log.read_text()
