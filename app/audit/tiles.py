"""The tree of the audit log in files, as C2SP tlog-tiles lays them out, and how it grows.

A tile has up to 256 hashes side by side; a hash of the next level is the root of a full tile. A
bundle has the leaves of a tile of level 0. Full ones never change. Of the rightmost ones there is a
file for each width at which a checkpoint was signed; those go once the full one is there.

`head.json` beside them is how far the topic was taken in. It is written after the tiles and before
the checkpoint, so a run that was killed in between is made good by the next, with the same bytes.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from app.audit.merkle import HASH_BYTES, leaf_hash, subtree_root, tree_root
from app.process.files import write_whole

TILE_WIDTH = 256
ENTRIES = "entries"
FILE_MODE, FOLDER_MODE = 0o600, 0o700
"""The lines name person keys."""

HEAD_FILE, LOCK_FILE, CHECKPOINT_FILE = "head.json", "lock", "checkpoint"

Level = int | str
"""The number of a level, or `ENTRIES`."""


class TilesDamagedError(Exception):
    """A file of the tree is missing, or not of the form that it has; the message says which."""


class Head(Struct, frozen=True, forbid_unknown_fields=True):
    """How far the topic is in the tree: `size` leaves. The first `topic_from` are of a topic of
    before; the others are the records before `offset`."""

    size: int = 0
    offset: int = 0
    topic_from: int = 0


class FolderTakenError(Exception):
    """Another process keeps the log in this folder."""


def tile_path(level: Level, index: int, width: int = TILE_WIDTH) -> str:
    """Return where a tile or a bundle lies, below the log's folder."""
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03}")
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{'/'.join(groups)}{partial}"


class TileFolder:
    """The files of one log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def hashes(self, level: int, index: int, width: int = TILE_WIDTH) -> list[bytes]:
        """Return the first `width` hashes of a tile; raise `TilesDamagedError`."""
        raw = self._read(level, index, width)
        if len(raw) < width * HASH_BYTES or len(raw) % HASH_BYTES:
            raise TilesDamagedError(
                f"{self.folder / tile_path(level, index, width)} has {len(raw)} bytes; "
                f"{width} hashes have {width * HASH_BYTES}."
            )
        return [raw[at : at + HASH_BYTES] for at in range(0, width * HASH_BYTES, HASH_BYTES)]

    def leaves(self, index: int, width: int = TILE_WIDTH) -> list[bytes]:
        """Return the first `width` leaves of a bundle; raise `TilesDamagedError`."""
        found = _unbundled(self._read(ENTRIES, index, width))
        if len(found) < width:
            path = self.folder / tile_path(ENTRIES, index, width)
            raise TilesDamagedError(f"{path} has {len(found)} entries, not {width}.")
        return found[:width]

    def kept_leaves(self, size: int) -> Iterator[list[bytes]]:
        """Yield what there is of the first `size` leaves, that of a bundle at a time, also where it
        is more or less than a bundle has. Raise `TilesDamagedError` for one that is missing."""
        for index, width in _tiles_of(size):
            found = _unbundled(self._read(ENTRIES, index, width))
            grown = width < TILE_WIDTH and len(found) == TILE_WIDTH
            yield found[:width] if grown else found

    def all_hashes(self, size: int) -> Iterator[list[bytes]]:
        """Yield the hashes of the first `size` leaves likewise, as the tiles have them."""
        for index, width in _tiles_of(size):
            yield self.hashes(0, index, width)

    def _read(self, level: Level, index: int, width: int) -> bytes:
        # A partial one goes once the full one is there, which begins with the same.
        for each in dict.fromkeys((width, TILE_WIDTH)):
            try:
                return (self.folder / tile_path(level, index, each)).read_bytes()
            except FileNotFoundError:
                continue
        raise TilesDamagedError(f"{self.folder / tile_path(level, index, width)} is missing.")

    def write(self, level: Level, index: int, parts: Sequence[bytes]) -> None:
        """Write hashes, or leaves into a bundle. Raise `OSError`."""
        if level == ENTRIES:
            parts = [len(leaf).to_bytes(2, "big") + leaf for leaf in parts]
        path = self.folder / tile_path(level, index, len(parts))
        write_whole(path, b"".join(parts), FILE_MODE)

    def drop_partial(self, level: Level, index: int) -> None:
        """Remove the partial ones of a tile that is full."""
        shutil.rmtree(self.folder / f"{tile_path(level, index)}.p", ignore_errors=True)

    def head(self) -> Head:
        """Return how far the topic is in the tree; raise `TilesDamagedError`."""
        path = self.folder / HEAD_FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=Head)
        except FileNotFoundError:
            return Head()
        except msgspec.DecodeError as error:
            raise TilesDamagedError(f"{path}: {error}") from None

    def write_head(self, head: Head) -> None:
        """Say how far the topic is in the tree. Raise `OSError`."""
        write_whole(self.folder / HEAD_FILE, msgspec.json.encode(head), FILE_MODE)

    def checkpoint(self) -> bytes | None:
        """Return the newest checkpoint as it lies; None if none was signed yet."""
        try:
            return (self.folder / CHECKPOINT_FILE).read_bytes()
        except FileNotFoundError:
            return None

    def write_checkpoint(self, note: bytes) -> None:
        """Publish a checkpoint. Raise `OSError`."""
        write_whole(self.folder / CHECKPOINT_FILE, note, FILE_MODE)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have the folder alone meanwhile; raise `FolderTakenError` if another process has it."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        handle = os.open(self.folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise FolderTakenError(f"Another process keeps the log in {self.folder}.") from None
        finally:
            os.close(handle)


class Tree:
    """A tree that grows. In memory are its rightmost tiles alone: one a level, and one bundle."""

    def __init__(self, files: TileFolder, size: int) -> None:
        self._files = files
        self.size = size
        self._leaves = files.leaves(size // TILE_WIDTH, part) if (part := size % TILE_WIDTH) else []
        self._levels: list[list[bytes]] = []
        for level, (index, width) in enumerate(_rightmost(size)):
            self._levels.append(files.hashes(level, index, width) if width else [])
        self._full: list[tuple[Level, int]] = []

    def append(self, leaves: Sequence[bytes]) -> None:
        """Add leaves and write their tiles; those on the disk of before stay. Raise `OSError`."""
        if not leaves:
            return
        for leaf in leaves:
            self._leaves.append(leaf)
            if len(self._leaves) == TILE_WIDTH:
                self._write_full(ENTRIES, self.size // TILE_WIDTH, self._leaves)
            self._add(0, leaf_hash(leaf))
            self.size += 1
        if self._leaves:
            self._files.write(ENTRIES, self.size // TILE_WIDTH, self._leaves)
        for level, (index, _) in enumerate(_rightmost(self.size)):
            if self._levels[level]:
                self._files.write(level, index, self._levels[level])

    def _add(self, level: int, found: bytes) -> None:
        if level == len(self._levels):
            self._levels.append([])
        hashes = self._levels[level]
        hashes.append(found)
        if len(hashes) == TILE_WIDTH:
            root = subtree_root(hashes)
            self._write_full(level, self.size // TILE_WIDTH ** (level + 1), hashes)
            self._add(level + 1, root)

    def _write_full(self, level: Level, index: int, parts: list[bytes]) -> None:
        self._files.write(level, index, parts)
        self._full.append((level, index))
        parts.clear()

    def root(self) -> bytes:
        """Return the root."""
        return tree_root(self._levels)

    def drop_partial(self) -> None:
        """Remove what full tiles have made needless; call it once their checkpoint is published."""
        for level, index in self._full:
            self._files.drop_partial(level, index)
        self._full.clear()

    def last_leaf(self) -> bytes:
        """Return the hash of the last of its leaves, one or more."""
        if self._levels[0]:
            return self._levels[0][-1]
        return self._files.hashes(0, self.size // TILE_WIDTH - 1)[-1]


def _tiles_of(size: int) -> Iterator[tuple[int, int]]:
    """Yield index and width of each tile of level 0 in a tree of this size."""
    yield from ((index, TILE_WIDTH) for index in range(size // TILE_WIDTH))
    if width := size % TILE_WIDTH:
        yield size // TILE_WIDTH, width


def _rightmost(size: int) -> Iterator[tuple[int, int]]:
    """Yield index and width of the partial tile of each level, the leaves' first; its width may be
    0."""
    while size:
        yield divmod(size, TILE_WIDTH)
        size //= TILE_WIDTH


def _unbundled(raw: bytes) -> list[bytes]:
    """Return the entries of a bundle; of a damaged one also what is left after the last."""
    found, at = [], 0
    while at < len(raw):
        begin = at + 2
        at = begin + int.from_bytes(raw[at:begin], "big")
        found.append(raw[begin:at])
    return found
