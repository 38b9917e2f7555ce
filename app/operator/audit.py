"""`yuekang audit`, which reads the log of who asked about whom, verifies it and lets it go on.

The commands read the log's folder, or a copy of it; `verify` and `resume` ask Kafka too. Exit
codes: 0 all is as it was signed, 1 it is not or cannot be said, 2 wrong usage or settings.
"""

import asyncio
import logging
import sys
from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from app.audit.checkpoints import (
    Checkpoint,
    CheckpointError,
    NoteVerifier,
    read_checkpoint,
)
from app.audit.entries import AUDIT, Act, AuditEntry, entry_in, leaf_of
from app.audit.follow import (
    PARTITION,
    TopicMismatchError,
    check_continues,
    topic_consumer,
)
from app.audit.merkle import leaf_hash
from app.audit.process import folder_of, former_of, note_signer_of, verifier_in
from app.audit.tiles import FolderTakenError, Head, TileFolder, TilesDamagedError, Tree
from app.audit.trail import note_command
from app.audit.verify import Anchor, TopicCopy, Verified, verified
from app.process.asking import failed
from app.process.kafka import Brokers
from app.process.settings import Settings
from app.process.terminal import escaped
from app.sources.operators import operator_running
from app.topics.reading import reading
from models.policy import ZONE

SETTLE_TRIES, SETTLE_SECONDS = 10, 0.2
"""How often `verify` looks whether a log that grows at this moment has signed what it wrote."""

audit = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Who asked about whom, and who let what go on: list it, verify that nothing is missing.",
)

Folder = Annotated[
    Path | None,
    typer.Option("--folder", help="The log's folder; `audit` in YUEKANG_DATA_DIR unless given."),
]
Key = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="NAME+ID+KEY",
        help="A public key of the log, as `key` prints it; several if it was changed. Without one "
        "YUEKANG_AUDIT_KEY and the former ones are.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@audit.command("list")
def list_entries(
    about: Annotated[
        str | None, typer.Option(help="Only about this person key, source or place.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Only by this operator.")] = None,
    what: Annotated[Act | None, typer.Option(help="Only of this kind.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"], help="Only since then, in Asia/Shanghai."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as they lie.")] = False,
    folder: Folder = None,
) -> None:
    """List the lines, the oldest first, each with its number. It checks nothing: see `verify`."""
    files = TileFolder(folder_of(Settings.from_environment(), folder))
    start = since and since.replace(tzinfo=ZONE)
    try:
        leaves = chain.from_iterable(files.kept_leaves(files.head().size))
        for number, leaf in enumerate(leaves):
            entry = entry_in(leaf)
            if _wanted(entry, about, by, what, start):
                print(_line(number, leaf, entry, as_json))
    except TilesDamagedError as error:
        raise failed(str(error)) from None


def _wanted(
    entry: AuditEntry | None,
    about: str | None,
    by: str | None,
    what: Act | None,
    since: datetime | None,
) -> bool:
    """Say whether a leaf is shown. One that is no line of ours is, unless a line is looked for."""
    if entry is None:
        return about is None and by is None and what is None
    return (
        about in (None, entry.about)
        and by in (None, entry.by)
        and what in (None, entry.what)
        and (since is None or entry.at >= since)
    )


def _line(number: int, leaf: bytes, entry: AuditEntry | None, as_json: bool) -> str:
    text = leaf.decode(errors="replace")
    if as_json or entry is None:
        return text if as_json else f"{number}\tnot ours\t{escaped(text)}"
    at = entry.at.astimezone(ZONE).isoformat(sep=" ", timespec="milliseconds")
    more = " ".join(f"{name}={value}" for name, value in sorted(entry.details.items()))
    parts = [str(number), at, entry.by, entry.what, entry.about, entry.reason, more]
    return "\t".join(escaped(part) for part in parts)


@audit.command()
def checkpoint(folder: Folder = None) -> None:
    """Print the newest checkpoint. Keep it where the log's keepers cannot change it."""
    files = TileFolder(folder_of(Settings.from_environment(), folder))
    sys.stdout.write(_newest(files).decode())


@audit.command()
def key() -> None:
    """Print the public key of the log, for whoever verifies it."""
    print(note_signer_of(Settings.from_environment("audit_key")).verifier)


@audit.command()
def verify(
    older: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", help="A file with a checkpoint kept elsewhere; several too."),
    ] = None,
    keys: Key = None,
    no_topic: Annotated[
        bool, typer.Option("--no-topic", help="Do not ask Kafka: compare the files alone.")
    ] = False,
    as_json: AsJson = False,
    folder: Folder = None,
) -> None:
    """Compare the log with its checkpoints and with the topic; name the first line that differs.

    Exits with 1 if a line was edited, removed, moved, added or cut off, in the log or on the topic,
    or if that cannot be said.
    """
    settings = Settings.from_environment(*([] if keys else ["audit_key"]))
    verifiers = _verifiers(settings, keys)
    files = TileFolder(folder_of(settings, folder))
    # The client logs each failure to connect as an error; below it is told once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        anchors = [
            Anchor(str(path), _read(path.read_bytes(), verifiers, str(path)))
            for path in older or []
        ]
        found = asyncio.run(
            _verified(files, verifiers, anchors, None if no_topic else settings.brokers)
        )
    except (CheckpointError, TilesDamagedError) as error:
        raise failed(str(error)) from None
    except KafkaError as error:
        raise failed(
            f"{settings.brokers.trouble(error)} Or compare the files alone: --no-topic."
        ) from None
    except OSError as error:
        raise failed(f"{error.filename or settings.brokers}: {error.strerror or error}.") from None
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        _print(found, [anchor.name for anchor in anchors])
    if found.findings:
        raise typer.Exit(1)


async def _verified(
    files: TileFolder,
    verifiers: Sequence[NoteVerifier],
    anchors: Sequence[Anchor],
    brokers: Brokers | None,
) -> Verified:
    for _ in range(SETTLE_TRIES):
        newest = _read(_newest(files), verifiers, "the newest checkpoint")
        head = files.head()
        if head.size == newest.size:
            break
        await asyncio.sleep(SETTLE_SECONDS)
    topic = None if brokers is None else await _topic(brokers, head)
    return await asyncio.to_thread(verified, files, head, newest, anchors, topic)


async def _topic(brokers: Brokers, head: Head) -> TopicCopy:
    hashes, waiting = [], 0
    async with reading(brokers, AUDIT, 1) as reader:
        async for record in reader.records():
            hashes.append(leaf_hash(leaf_of(record.value)))
            waiting += record.offset >= head.offset
        span = reader.ranges[0]
    return TopicCopy(hashes, span.begin, span.end, waiting)


def _print(found: Verified, older: Sequence[str]) -> None:
    for finding in found.findings:
        print(f"{finding.harm}\tentry {finding.entry}\t{escaped(finding.told)}")
    if found.findings:
        return
    print(f"All {found.size} entries are as the log signed them.")
    if found.topic_from is not None:
        print(f"The topic has entries {found.topic_from} to {found.size - 1}, the same.")
    for name in older:
        print(f"The log grew from {name}.")
    if found.waiting:
        print(f"{found.waiting} lines of the topic are not in the log yet.")


@audit.command()
def resume(
    reason: Annotated[str, typer.Option(help="Why the topic does not go on; a line says it.")],
    folder: Folder = None,
) -> None:
    """Let the log go on where the topic does not: it was made again, or records were lost.

    Stop `yuekang audit-log` first. What is in the log stays. All that the topic has comes after it,
    with a line that says who resumed it, and why. Refused where the topic does go on.
    """
    settings = Settings.from_environment()
    by = operator_running(settings)
    files = TileFolder(folder_of(settings, folder))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        with files.taken():
            head = files.head()
            begin = asyncio.run(
                _resumed(settings.brokers, by, head, Tree(files, head.size), reason)
            )
            if begin is not None:
                files.write_head(Head(head.size, begin, head.size))
    except (FolderTakenError, TilesDamagedError) as error:
        raise failed(str(error)) from None
    except (KafkaError, OSError) as error:
        raise failed(f"{error or type(error).__name__}. The log was not resumed.") from None
    if begin is None:
        raise failed("The topic goes on from what is in the log; there is nothing to resume.")
    print(f"Entry {head.size} will be the topic's record {begin}. Start `yuekang audit-log` again.")


async def _resumed(brokers: Brokers, by: str, head: Head, tree: Tree, reason: str) -> int | None:
    """Write the line; return where the topic begins, None where it goes on from the tree."""
    consumer = topic_consumer(brokers)
    try:
        await consumer.start()
        consumer.assign([PARTITION])
        consumer.seek(PARTITION, head.offset)
        await check_continues(consumer, head, tree)
    except TopicMismatchError as error:
        about = f"entry {head.size}"
        await note_command(brokers, by, Act.LOG_RESUMED, about, reason, {"because": str(error)})
        begins: dict[TopicPartition, int] = await consumer.beginning_offsets([PARTITION])
        return begins[PARTITION]
    finally:
        await consumer.stop()
    return None


def _verifiers(settings: Settings, keys: Sequence[str] | None) -> list[NoteVerifier]:
    if keys:
        return [verifier_in(text, "--key") for text in keys]
    return [note_signer_of(settings).verifier, *former_of(settings)]


def _newest(files: TileFolder) -> bytes:
    if (note := files.checkpoint()) is None:
        raise failed(
            f"There is no checkpoint in {files.folder}. Does `yuekang audit-log` run there?"
        )
    return note


def _read(note: bytes, verifiers: Sequence[NoteVerifier], name: str) -> Checkpoint:
    try:
        return read_checkpoint(note, verifiers)
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}") from None
