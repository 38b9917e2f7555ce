"""The audit log: its hashes, its files, its signed head; and that no line is taken back unseen."""

import base64
import hashlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.audit.checkpoints import (
    CheckpointError,
    KeyFormatError,
    NoteSigner,
    read_checkpoint,
    read_verifier,
)
from app.audit.entries import (
    DETAILS_MAX,
    LEAF_BYTES_MAX,
    TEXT_LENGTH_MAX,
    Act,
    audit_entry,
    audit_record,
    entry_in,
    leaf_of,
)
from app.audit.merkle import EMPTY_ROOT, leaf_hash
from app.audit.tiles import (
    ENTRIES,
    TILE_WIDTH,
    FolderTakenError,
    Level,
    TileFolder,
    TilesDamagedError,
    Tree,
    tile_path,
)
from app.audit.trail import Trail
from app.audit.verify import Harm, root_of
from app.topics.catalogue import CATALOGUE
from app.web.problems import Refused
from support.audits import NOON, SIGNER, KeptLog, line


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """No disk is asked whether it has the bytes: a thousand files would wait for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


# Lines


def test_a_line_is_canonical_json_and_is_read_again() -> None:
    entry = audit_entry(NOON, "/operator", Act.EXPLAINED, "p1-x", "为什么", {"b": "2", "a": "1"})
    value = audit_record(entry).value
    assert value is not None
    assert value.decode() == (
        '{"about":"p1-x","at":"2022-03-04T04:00:00Z","by":"/operator",'
        '"details":{"a":"1","b":"2"},"reason":"为什么","what":"explained"}'
    )
    assert entry_in(value) == entry


def test_the_longest_line_fits_its_topic_and_its_bundle() -> None:
    text = "\x01" * (TEXT_LENGTH_MAX + 1)
    details = {f"a-detail-{number}": text for number in range(DETAILS_MAX)}
    value = audit_record(audit_entry(NOON, text, Act.EXPLAINED, text, text, details)).value
    assert value is not None
    assert len(value) <= CATALOGUE.topics["audit"].value_bytes_max <= LEAF_BYTES_MAX
    with pytest.raises(ValueError, match="at most"):
        audit_entry(NOON, "", Act.EXPLAINED, "", "", {str(n): "" for n in range(DETAILS_MAX + 1)})


@pytest.mark.parametrize("value", [b"", b"not ours", b"x" * LEAF_BYTES_MAX])
def test_what_lies_on_the_topic_is_the_leaf_as_it_is(value: bytes) -> None:
    assert leaf_of(value) == value
    assert entry_in(value) is None


def test_what_no_bundle_holds_stands_there_by_its_digest() -> None:
    value = b"x" * (LEAF_BYTES_MAX + 1)
    digest = hashlib.sha256(value).hexdigest()
    assert msgspec.json.decode(leaf_of(value)) == {"bytes": len(value), "sha256": digest}
    assert msgspec.json.decode(leaf_of(None)) == {"bytes": 0}


async def test_what_cannot_be_written_down_is_refused() -> None:
    async def away(_: object) -> None:
        raise Refused("kafka-away", "It cannot be reached.")

    with pytest.raises(Refused) as caught:
        await Trail(away, lambda: NOON).note("/operator", Act.CODE_READ, "p1-x")
    assert caught.value.problem().status == 503
    assert caught.value.code == "audit-away"
    assert int(caught.value.headers["Retry-After"]) > 0


# Hashes


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH as RFC 6962, 2.1 writes it down."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(
        b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])
    ).digest()


KNOWN = (
    ("", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    ("00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
    ("10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
    ("2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
    ("3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
    ("40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
    ("5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
    (
        "606162636465666768696a6b6c6d6e6f",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ),
)
"""Leaves and the root over each and those before it: the vectors of Certificate Transparency."""


def test_roots_are_those_of_certificate_transparency() -> None:
    hashes = []
    for leaf, root in KNOWN:
        hashes.append(leaf_hash(bytes.fromhex(leaf)))
        assert root_of(hashes).hex() == root
    assert root_of([]) == EMPTY_ROOT == naive_root([])


# Files


def test_tiles_lie_where_the_specification_says() -> None:
    where: list[tuple[tuple[Level, int, int], str]] = [
        ((0, 1_234_067, TILE_WIDTH), "tile/0/x001/x234/067"),
        ((63, 0, 1), "tile/63/000.p/1"),
        ((ENTRIES, 999, 255), "tile/entries/999.p/255"),
        ((ENTRIES, 1_000, TILE_WIDTH), "tile/entries/x001/000"),
    ]
    for arguments, path in where:
        assert tile_path(*arguments) == path


def test_a_tree_of_70_000_has_the_tiles_of_the_specification(tmp_path: Path) -> None:
    files = TileFolder(tmp_path)
    tree = Tree(files, 0)
    tree.append([b"%d" % number for number in range(70_000)])
    tree.drop_partial()
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    whole = {tile_path(level, index) for level in (0, ENTRIES) for index in range(273)}
    partial = {"tile/1/001.p/17", "tile/2/000.p/1", "tile/0/273.p/112", "tile/entries/273.p/112"}
    assert found == {*whole, "tile/1/000", *partial}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()} == {
        0o600
    }


@settings(max_examples=20)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=4))
def test_a_tree_is_that_of_all_its_leaves_however_it_grew(
    tmp_path_factory: pytest.TempPathFactory, batches: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    leaves: list[bytes] = []
    for count in batches:
        # Another process goes on where the last one ended.
        tree = Tree(TileFolder(folder), len(leaves))
        assert tree.root() == naive_root(leaves)
        more = [b"%d" % (len(leaves) + number) for number in range(count)]
        tree.append(more)
        leaves += more
        assert (tree.size, tree.root()) == (len(leaves), naive_root(leaves))
        assert tree.last_leaf() == leaf_hash(leaves[-1])
        tree.drop_partial()
    kept = [leaf for bundle in TileFolder(folder).kept_leaves(len(leaves)) for leaf in bundle]
    assert kept == leaves


def test_a_run_that_was_killed_is_made_good_with_the_same_bytes(tmp_path: Path) -> None:
    kept = KeptLog(tmp_path, 300)
    again = Tree(kept.files, 200)
    assert again.root() == naive_root(kept.lines[:200])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again.append(kept.lines[200:])
    assert {path: path.read_bytes() for path in before} == before
    assert again.root() == naive_root(kept.lines)


def test_one_process_at_a_time_has_the_folder(tmp_path: Path) -> None:
    files = TileFolder(tmp_path / "log")
    with files.taken(), pytest.raises(FolderTakenError), files.taken():
        pass
    with files.taken():
        pass
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"short")])
def test_a_tree_with_a_damaged_tile_is_not_built_on(
    tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    KeptLog(tmp_path, 300)
    spoil(tmp_path / tile_path(0, 1, 44))
    with pytest.raises(TilesDamagedError, match="001"):
        Tree(TileFolder(tmp_path), 300)


# Checkpoints


def test_keys_of_others_are_read_and_written_as_they_write_them() -> None:
    """Those of the documentation of Go's package note, and of Go's checksum database."""
    for text in (
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
    ):
        assert str(read_verifier(f"{text}\n")) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no Ed25519 key"),
        ("a+b+c", "no Ed25519 key"),
        ("x y+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "no Ed25519 key"),
        ("PeterNeumann+c74f20a3+AhpC2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "no Ed25519 key"),
        ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy", "no Ed25519 key"),
        ("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "its id"),
        ("PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "its id"),
    ],
)
def test_what_is_no_key_is_refused(text: str, said: str) -> None:
    with pytest.raises(KeyFormatError, match=said):
        read_verifier(text)


ROOT = leaf_hash(b"")
NOTE = SIGNER.sign(1, ROOT)
OTHER = NoteSigner("health.example/audit", bytes(32))
WITNESS = NoteSigner("witness.example", bytes(32))


def test_a_checkpoint_has_the_form_of_the_specification() -> None:
    origin, size, root, blank, signature, end = NOTE.decode().split("\n")
    assert (origin, size, blank, end) == ("health.example/audit", "1", "", "")
    assert root == "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0="
    assert signature.startswith("— health.example/audit ")
    found = read_checkpoint(NOTE, [SIGNER.verifier])
    assert (found.size, found.root, found.key_id) == (1, ROOT, SIGNER.verifier.key_id)


def test_others_may_sign_beside_the_log() -> None:
    text, _, _ = NOTE.rpartition(b"\n\n")
    beside = WITNESS.sign(1, ROOT).rpartition(b"\n\n")[2]
    assert read_checkpoint(NOTE + beside, [SIGNER.verifier]).size == 1
    assert read_checkpoint(text + b"\n\n" + beside + NOTE.rpartition(b"\n\n")[2], [SIGNER.verifier])


@pytest.mark.parametrize(
    ("note", "said"),
    [
        (OTHER.sign(1, ROOT), "No known key"),
        (WITNESS.sign(1, ROOT), "No known key"),
        (NOTE.replace(b"\n1\n", b"\n2\n"), "forged"),
        (NOTE.replace(b"bjQLnP", b"bjQLnQ"), "forged"),
        (NOTE.replace(b"\n1\n", b"\n01\n"), "form"),
        (NOTE.replace(b"\n1\n", b"\n-1\n"), "form"),
        (NOTE.replace(b"bjQLnP+", b""), "root hash"),
        (NOTE[:-1], "form"),
        (NOTE.partition(b"\n\n")[0], "form"),
        (NOTE + b"more\n", "no signature"),
        (NOTE.replace(b"\n\n", b"\n"), "form"),
        (b"\xff", "UTF-8"),
        (b"", "form"),
        (NOTE + b"x" * 70_000, "bytes"),
    ],
)
def test_a_forged_checkpoint_is_refused(note: bytes, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        read_checkpoint(note, [SIGNER.verifier])


def test_a_checkpoint_of_another_log_of_the_same_key_is_refused() -> None:
    text = NOTE.decode().rpartition("\n\n")[0] + "\n"
    moved = text.replace("health.example/audit", "health.example/other")
    signature = SIGNER._key.sign(moved.encode()).signature
    blob = base64.b64encode(SIGNER.verifier.key_id + signature).decode()
    note = f"{moved}\n— health.example/audit {blob}\n".encode()
    with pytest.raises(CheckpointError, match="of the log health"):
        read_checkpoint(note, [SIGNER.verifier])


def test_a_flipped_bit_anywhere_is_seen() -> None:
    for at in range(len(NOTE)):
        for bit in (1, 32):
            spoiled = bytes([*NOTE[:at], NOTE[at] ^ bit, *NOTE[at + 1 :]])
            with pytest.raises(CheckpointError):
                read_checkpoint(spoiled, [SIGNER.verifier])


# What an enemy does

COUNT = 600
"""Two whole bundles, and one that is not."""


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> KeptLog:
    return KeptLog(tmp_path_factory.mktemp("honest") / "log", COUNT)


@pytest.fixture
def kept(honest: KeptLog, tmp_path: Path) -> KeptLog:
    """A log of a test's own."""
    return honest.copy(tmp_path / "log")


def edited(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], lines[at].replace(b"/operator", b"/operatox"), *lines[at + 1 :]]


def longer(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], lines[at].replace(b"/operator", b"/op"), *lines[at + 1 :]]


def removed(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], *lines[at + 1 :]]


def added(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], line(9_999), *lines[at:]]


def swapped(lines: list[bytes], at: int) -> list[bytes]:
    other = (at + 300) % (COUNT - 1)
    found = list(lines)
    found[at], found[other] = found[other], found[at]
    return found


def cut(lines: list[bytes], at: int) -> list[bytes]:
    return lines[:at]


Spoil = Callable[[list[bytes], int], list[bytes]]
TABLE: list[tuple[Spoil, Harm]] = [
    (edited, Harm.EDITED),
    (longer, Harm.EDITED),
    (removed, Harm.REMOVED),
    (added, Harm.ADDED),
    (swapped, Harm.MOVED),
    (cut, Harm.CUT),
]
PLACES = (0, 255, 256, 511, COUNT - 2)


def test_a_whole_log_is_found_whole(kept: KeptLog) -> None:
    for older in ((), (0,), (100, 256 + 44, COUNT)):
        found = kept.verify(*older)
        assert (found.size, found.topic_from, found.waiting, found.findings) == (COUNT, 0, 0, [])
    assert kept.verify(topic=False).topic_from is None
    kept.topic, kept.kept_from = kept.topic[350:], 350
    kept.topic.append(line(9_999))
    found = kept.verify(100)
    assert (found.topic_from, found.waiting, found.findings) == (350, 1, [])


def first_of(spoil: Spoil, at: int) -> int:
    """The first line that differs."""
    return min(at, (at + 300) % (COUNT - 1)) if spoil is swapped else at


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize(("spoil", "harm"), TABLE)
def test_what_was_done_to_the_entries_is_named(
    kept: KeptLog, spoil: Spoil, harm: Harm, at: int
) -> None:
    kept.write_entries(spoil(kept.lines, at))
    for older, topic in (((), True), ((), False), ((300,), False)):
        findings = kept.verify(*older, topic=topic).findings
        assert (harm, first_of(spoil, at)) in {(each.harm, each.entry) for each in findings}
        assert {each.harm for each in findings} <= {harm, Harm.REWRITTEN, Harm.CUT}


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize(("spoil", "harm"), TABLE)
def test_what_was_done_to_the_topic_is_named(
    kept: KeptLog, spoil: Spoil, harm: Harm, at: int
) -> None:
    kept.topic = spoil(kept.topic, at)
    [found] = kept.verify(300).findings
    assert (found.harm, found.entry) == (harm, first_of(spoil, at))
    assert found.told.startswith("On the topic")


@pytest.mark.parametrize("at", [0, 255, 256, 297])
@pytest.mark.parametrize(("spoil", "harm"), TABLE)
def test_an_older_checkpoint_catches_who_has_the_key_and_signs_again(
    kept: KeptLog, spoil: Spoil, harm: Harm, at: int
) -> None:
    kept.write_again(spoil(kept.lines, at))
    told = {(each.harm, each.entry) for each in kept.verify(300).findings}
    assert (harm, first_of(spoil, at)) in told
    # Without the topic it is seen too, and not where.
    [alone] = kept.verify(300, topic=False).findings
    assert (alone.harm, alone.entry) == ((harm, at) if spoil is cut else (Harm.REWRITTEN, 0))


def test_without_an_older_checkpoint_the_topic_catches_it(kept: KeptLog) -> None:
    kept.write_again(edited(kept.lines, 5))
    assert [(each.harm, each.entry) for each in kept.verify().findings] == [(Harm.EDITED, 5)]


def test_a_log_that_was_put_back_to_an_older_state_is_cut(kept: KeptLog) -> None:
    kept.write_again(kept.lines[:400])
    [found] = kept.verify(500).findings
    assert (found.harm, found.entry) == (Harm.CUT, 400)
    assert "kept-500" in found.told
    assert kept.verify(300).waiting == 200


@pytest.mark.parametrize(
    "path",
    ["tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"],
)
@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"x" * 8_192)])
def test_a_tile_that_is_not_of_the_entries_is_named(
    kept: KeptLog, path: str, spoil: Callable[[Path], Any]
) -> None:
    spoil(kept.files.folder / path)
    [found] = kept.verify(300).findings
    assert found.harm is Harm.DAMAGED
    assert path in found.told


def test_a_bundle_that_is_gone_is_named(kept: KeptLog) -> None:
    (kept.files.folder / "tile/entries/001").unlink()
    found = kept.verify().findings
    assert (found[0].harm, found[0].entry) == (Harm.CUT, 256)
    assert "tile/entries/001 is missing" in found[0].told


def test_the_topic_that_forgot_its_first_records_still_names_a_later_one(kept: KeptLog) -> None:
    kept.topic, kept.kept_from = kept.topic[350:], 350
    kept.write_again(edited(kept.lines, 400))
    assert [(each.harm, each.entry) for each in kept.verify(300).findings] == [(Harm.EDITED, 400)]
    told = {(each.harm, each.entry) for each in kept.verify(300, 500).findings}
    assert (Harm.EDITED, 400) in told


def test_datetimes_of_lines_have_their_zone() -> None:
    assert entry_in(line(0)) == audit_entry(
        datetime(2022, 3, 4, 4, tzinfo=UTC), "/operator", Act.CODE_READ, f"p1-{0:032}", "", {}
    )
