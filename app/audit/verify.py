"""Does the audit log still have every line that it had, as it was, in its place?

There are three copies of the lines: the bundles of the tree, its hashes, and the topic, which keeps
the newer ones. Checkpoints say which copy is right: the one with the root that was signed. The
newest one lies beside the tree. An older one, kept elsewhere, says it for the first lines even
where whoever changed them has the log's key and signed again; so it is believed before the newest.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import chain

from msgspec import Struct

from app.audit.checkpoints import Checkpoint
from app.audit.merkle import leaf_hash, subtree_root, tree_root
from app.audit.tiles import TILE_WIDTH, Head, TileFolder, TilesDamagedError, tile_path


class Harm(StrEnum):
    """What was done to a line, or to the log."""

    EDITED = "edited"
    REMOVED = "removed"
    ADDED = "added"
    MOVED = "moved"
    CUT = "cut"
    REWRITTEN = "rewritten"
    DAMAGED = "damaged"


class Finding(Struct, frozen=True):
    """The first line at which a copy of the log is not as it was, by its number from 0."""

    harm: Harm
    entry: int
    told: str


class TopicCopy(Struct, frozen=True):
    """What the topic has: the hashes of the leaves of its records, and where these begin and end.
    The last of them, so many as are `waiting`, are not in the tree yet."""

    hashes: Sequence[bytes]
    begin: int
    end: int
    waiting: int

    @property
    def taken(self) -> Sequence[bytes]:
        """The hashes of those before the head's offset."""
        return self.hashes[: len(self.hashes) - self.waiting]


class Anchor(Struct, frozen=True):
    """A checkpoint to believe, and where it was kept."""

    name: str
    checkpoint: Checkpoint

    def holds(self, copy: Sequence[bytes]) -> bool:
        """Say whether the log had the lines of `copy` when it signed this."""
        size = self.checkpoint.size
        return size <= len(copy) and root_of(copy[:size]) == self.checkpoint.root


class Verified(Struct, frozen=True):
    """What was compared: so many entries; the topic has those from `topic_from` on (None if it was
    not asked). No `findings`: all is as it was signed."""

    size: int
    topic_from: int | None
    waiting: int
    findings: Sequence[Finding]


def verified(
    files: TileFolder,
    head: Head,
    newest: Checkpoint,
    older: Sequence[Anchor],
    topic: TopicCopy | None,
) -> Verified:
    """Compare the copies of the log with its checkpoints. `head` was read before the topic."""
    anchors = [*older, Anchor("the newest checkpoint", newest)]
    lines: list[bytes] = []
    damage = ""
    try:
        for leaves in files.kept_leaves(newest.size):
            lines += map(leaf_hash, leaves)
    except TilesDamagedError as error:
        damage = f"{error} "
    begin = None if topic is None else _begin(head, topic)
    copies = []
    if topic is not None and begin is not None:
        copies.append(("The topic", [*lines[:begin], *topic.hashes]))
    if all(anchor.holds(lines) for anchor in anchors) and len(lines) == newest.size:
        found = [*_of_tiles(files, lines), *_of_topic(lines, head, topic)]
    else:
        try:
            hashes = list(chain.from_iterable(files.all_hashes(newest.size)))
            copies.insert(0, ("The tree", hashes))
        except TilesDamagedError:
            pass  # it cannot tell what the lines were
        found = [*_of_lines(lines, anchors, damage), *_first_of(lines, copies, anchors)]
    return Verified(newest.size, begin, 0 if topic is None else topic.waiting, found)


def _begin(head: Head, topic: TopicCopy) -> int:
    """Return the number of the entry that is the topic's first record now."""
    if topic.begin == 0 or topic.end < head.offset:
        return head.topic_from + topic.begin
    return max(head.topic_from, head.size - len(topic.taken))


def _of_lines(lines: Sequence[bytes], anchors: Sequence[Anchor], damage: str) -> Iterator[Finding]:
    """Yield each checkpoint that the entries do not hold."""
    for anchor in anchors:
        size = anchor.checkpoint.size
        if size > len(lines):
            yield Finding(
                Harm.CUT,
                len(lines),
                f"{damage}The log has {len(lines)} entries; {anchor.name} was signed over {size}.",
            )
        elif not anchor.holds(lines):
            yield Finding(
                Harm.REWRITTEN,
                0,
                f"The first {size} entries are not those over which {anchor.name} was signed.",
            )


def _first_of(
    lines: Sequence[bytes], copies: Sequence[tuple[str, Sequence[bytes]]], anchors: Sequence[Anchor]
) -> Iterator[Finding]:
    """Name the first entry that is not as it was, by a copy of more worth."""
    worth = {name: [anchor.holds(copy) for anchor in anchors] for name, copy in copies}
    own = [anchor.holds(lines) for anchor in anchors]
    for name, copy in sorted(copies, key=lambda each: worth[each[0]], reverse=True):
        if copy[: len(lines)] == lines:
            continue
        harm, entry, told = first_difference(copy, lines)
        if worth[name] > own:
            yield Finding(harm, entry, f"{told} {name} has it as it was signed.")
        else:
            told = f"{name} differs from the entries from entry {entry} on; neither is as signed."
            yield Finding(Harm.REWRITTEN, entry, told)
        return


def _of_tiles(files: TileFolder, lines: list[bytes]) -> Iterator[Finding]:
    """Say which tile is not that of the entries, the lowest level first."""
    expected, level = lines, 0
    while expected:
        for at in range(0, len(expected), TILE_WIDTH):
            own, index = expected[at : at + TILE_WIDTH], at // TILE_WIDTH
            try:
                wrong = files.hashes(level, index, len(own)) != own
                told = f"{files.folder / tile_path(level, index, len(own))} is not of the entries."
            except TilesDamagedError as error:
                wrong, told = True, str(error)
            if wrong:
                yield Finding(Harm.DAMAGED, at * TILE_WIDTH**level, told)
                return
        whole = range(0, len(expected) - TILE_WIDTH + 1, TILE_WIDTH)
        expected = [subtree_root(expected[at : at + TILE_WIDTH]) for at in whole]
        level += 1


def _of_topic(lines: list[bytes], head: Head, topic: TopicCopy | None) -> Iterator[Finding]:
    """Say where the topic is not as the log, which is as it was signed, has it."""
    if topic is None:
        return
    begin = _begin(head, topic)
    expected = lines[begin : head.size]
    found = list(topic.taken[: max(0, len(lines) - begin)])
    if expected != found:
        harm, entry, told = first_difference(expected, found, begin)
        yield Finding(harm, entry, f"On the topic: {told} The log has it as it was signed.")


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Return the root of a tree by the hashes of all its leaves."""
    return tree_root([hashes])


def first_difference(
    expected: Sequence[bytes], found: Sequence[bytes], first: int = 0
) -> tuple[Harm, int, str]:
    """Return what was done to the first line that is not as expected, its number and a sentence.

    The two differ. Their lines are numbered from `first`.
    """
    pairs = zip(expected, found, strict=False)
    at = next((i for i, (one, other) in enumerate(pairs) if one != other), None)
    if at is None:
        number = first + min(len(expected), len(found))
        missing = len(expected) - len(found)
        if missing > 0:
            return Harm.CUT, number, f"From entry {number} on, {missing} are cut off."
        return Harm.ADDED, number, f"Entry {number} was added."
    number, rest = first + at, expected[at + 1 :]
    is_elsewhere = expected[at] in found[at + 1 :]
    if found[at] not in rest:
        if is_elsewhere:
            return Harm.ADDED, number, f"An entry was put in before entry {number}."
        return Harm.EDITED, number, f"Entry {number} was edited."
    whence = number + rest.index(found[at]) + 1
    if is_elsewhere:
        return Harm.MOVED, number, f"Entry {whence} stands in the place of entry {number}."
    others = f" to {whence - 1}" if whence > number + 1 else ""
    return Harm.REMOVED, number, f"Entry {number}{others} was removed."
