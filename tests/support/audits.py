"""An audit log as `yuekang audit-log` keeps it, and what enemies do to one."""

import shutil
from collections.abc import Sequence
from copy import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.audit.checkpoints import NoteSigner, read_checkpoint
from app.audit.entries import Act, AuditEntry, audit_entry, audit_record, entry_in
from app.audit.merkle import leaf_hash
from app.audit.tiles import ENTRIES, TILE_WIDTH, Head, TileFolder, Tree, tile_path
from app.audit.verify import Anchor, TopicCopy, Verified, verified
from app.topics.reading import reading
from app.topics.records import Record
from support.brokers import Kafka

SIGNER = NoteSigner("health.example/audit", bytes(range(32)))
NOON = datetime(2022, 3, 4, 4, 0, tzinfo=UTC)


class Noted:
    """Takes the lines of a view that has no Kafka."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []

    async def __call__(self, records: Sequence[Record]) -> None:
        found = [entry_in(record.value or b"") for record in records]
        self.entries += [entry for entry in found if entry is not None]
        assert None not in found

    def take(self) -> list[AuditEntry]:
        """Return the lines since the last call."""
        found, self.entries = self.entries, []
        return found


async def lines_on(kafka: Kafka) -> list[AuditEntry]:
    """Return the lines on the topic, in their order."""
    async with reading(kafka.brokers, kafka.named("audit"), 1) as reader:
        found = [entry_in(record.value or b"") async for record in reader.records()]
    return [entry for entry in found if entry is not None]


def line(number: int) -> bytes:
    """A leaf; no two are alike."""
    at = NOON + timedelta(seconds=number)
    entry = audit_entry(at, "/operator", Act.CODE_READ, f"p1-{number:032}", "", {})
    return audit_record(entry).value or b""


class KeptLog:
    """A log over `count` lines with the checkpoint of each batch; the topic beside it is whole."""

    def __init__(self, folder: Path, count: int, batch: int = 100) -> None:
        self.files = TileFolder(folder)
        self.lines = [line(number) for number in range(count)]
        self.topic = list(self.lines)
        self.notes: dict[int, bytes] = {}
        self.kept_from = 0
        tree = Tree(self.files, 0)
        self._sign(tree)
        for begin in range(0, count, batch):
            tree.append(self.lines[begin : begin + batch])
            self._sign(tree)

    def copy(self, folder: Path) -> "KeptLog":
        """Return the same in another folder."""
        found = copy(self)
        found.files = TileFolder(shutil.copytree(self.files.folder, folder))
        return found

    def _sign(self, tree: Tree) -> None:
        self.files.write_head(Head(tree.size, tree.size))
        self.notes[tree.size] = SIGNER.sign(tree.size, tree.root())
        self.files.write_checkpoint(self.notes[tree.size])
        tree.drop_partial()

    def verify(self, *older: int, topic: bool = True) -> Verified:
        """Verify it as the command does, with the checkpoints of these sizes kept elsewhere."""
        known = [SIGNER.verifier]
        head = self.files.head()
        newest = read_checkpoint(self.files.checkpoint() or b"", known)
        anchors = [Anchor(f"kept-{n}", read_checkpoint(self.notes[n], known)) for n in older]
        hashes = [leaf_hash(leaf) for leaf in self.topic]
        end = self.kept_from + len(self.topic)
        on_topic = TopicCopy(hashes, self.kept_from, end, max(0, end - head.offset))
        return verified(self.files, head, newest, anchors, on_topic if topic else None)

    def write_entries(self, leaves: Sequence[bytes]) -> None:
        """Lay other lines into the bundles, and leave the hashes as they are."""
        whole = len(self.lines) // TILE_WIDTH
        for index in range(whole):
            at = index * TILE_WIDTH
            last = index == whole - 1 and len(self.lines) % TILE_WIDTH == 0
            put_bundle(
                self.files, index, TILE_WIDTH, leaves[at : None if last else at + TILE_WIDTH]
            )
        if width := len(self.lines) % TILE_WIDTH:
            put_bundle(self.files, whole, width, leaves[whole * TILE_WIDTH :])

    def write_again(self, leaves: Sequence[bytes]) -> None:
        """Do as one who has the log's key: make the tree of other lines, and sign it."""
        tree = Tree(TileFolder(self.files.folder / "new"), 0)
        tree.append(leaves)
        self.files.folder.joinpath("tile").rename(self.files.folder / "old")
        if leaves:
            self.files.folder.joinpath("new", "tile").rename(self.files.folder / "tile")
        self.files.write_head(Head(tree.size, tree.size))
        self.files.write_checkpoint(SIGNER.sign(tree.size, tree.root()))


def put_bundle(files: TileFolder, index: int, width: int, leaves: Sequence[bytes]) -> None:
    """Write a bundle under the name of one of `width` entries, whatever it has."""
    raw = b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)
    (files.folder / tile_path(ENTRIES, index, width)).write_bytes(raw)
