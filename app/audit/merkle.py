"""The hashes of a Merkle tree (RFC 6962, 2.1)."""

import hashlib
from collections.abc import Iterable, Sequence

HASH_BYTES = 32

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of a tree without a leaf."""


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def subtree_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over `hashes` (one or more): perfect subtrees of one size, from the left; the
    last one may be of a smaller tree.

    A pair has one root above it, and what has no neighbour to its right goes up as it is. That is
    the tree of RFC 6962, which splits at the largest power of two.
    """
    level = list(hashes)
    while len(level) > 1:
        pairs = range(0, len(level) - 1, 2)
        odd = level[-1:] if len(level) % 2 else []
        level = [*(_node_hash(level[at], level[at + 1]) for at in pairs), *odd]
    return level[0]


def tree_root(levels: Iterable[Sequence[bytes]]) -> bytes:
    """Return the root of a tree by the hashes of its rightmost tiles, that of the leaves first.

    Each level has the hashes of whole subtrees that no hash of the next level covers; the hashes of
    a level cover as many leaves as a full tile of the level below. Levels may be empty.
    """
    tail: list[bytes] = []
    for hashes in levels:
        if found := [*hashes, *tail]:
            tail = [subtree_root(found)]
    return tail[0] if tail else EMPTY_ROOT
