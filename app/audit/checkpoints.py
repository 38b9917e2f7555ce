"""The signed head of the audit log: a C2SP tlog-checkpoint in a signed-note, with Ed25519.

A note names each key that signed it by a name and four bytes. Signatures of keys that the reader
does not know are passed over, so a log may change its key, and others may sign beside it.
"""

import base64
import hashlib
import re
from collections.abc import Sequence

from msgspec import Struct
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from app.audit.merkle import HASH_BYTES

ED25519 = b"\x01"
"""The identifier of plain Ed25519 among the types of signatures."""

KEY_ID_BYTES, KEY_BYTES = 4, 32

NOTE_BYTES_MAX = 64 * 1024
"""A longer note is not read. Sixteen signatures of witnesses have some 2 KB, or 80 KB by keys that
withstand quantum computers, which nobody puts on this log."""

_SIGNATURE = re.compile(r"— (?P<name>[^\s+]+) (?P<blob>[A-Za-z0-9+/]+={0,2})")
_VKEY = re.compile(r"(?P<name>[^\s+]+)\+(?P<id>[0-9a-f]{8})\+(?P<key>[A-Za-z0-9+/]+={0,2})")
_BODY = re.compile(
    r"(?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]{0,18})\n(?P<root>[^\n]+)\n.*", re.DOTALL
)


class CheckpointError(Exception):
    """This is no checkpoint that a known key signed; the message says why."""


class KeyFormatError(ValueError):
    """This is no public key of a log as C2SP signed-note writes one."""


class Checkpoint(Struct, frozen=True):
    """So many leaves have this root, and the key with this id says so."""

    size: int
    root: bytes
    key_id: bytes


class NoteVerifier(Struct, frozen=True):
    """A key by which a note is known to be of `name`."""

    name: str
    key: VerifyKey

    @property
    def key_id(self) -> bytes:
        """The four bytes that stand before a signature."""
        return _key_id(self.name, self.key)

    def __str__(self) -> str:
        public = base64.b64encode(ED25519 + bytes(self.key)).decode()
        return f"{self.name}+{self.key_id.hex()}+{public}"


class NoteSigner:
    """Signs checkpoints in the name of `origin`, with a key that is made of `secret`."""

    def __init__(self, origin: str, secret: bytes) -> None:
        # The label keeps this use of the secret apart from any other.
        seed = hashlib.blake2b(secret, digest_size=KEY_BYTES, person=b"yuekang audit").digest()
        self._key = SigningKey(seed)
        self.verifier = NoteVerifier(origin, self._key.verify_key)

    def sign(self, size: int, root: bytes) -> bytes:
        """Return the checkpoint of a tree, which must have grown from every one signed before."""
        origin = self.verifier.name
        text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
        signature = self.verifier.key_id + self._key.sign(text.encode()).signature
        return f"{text}\n— {origin} {base64.b64encode(signature).decode()}\n".encode()

    def __repr__(self) -> str:
        return f"NoteSigner({self.verifier})"


def read_verifier(text: str) -> NoteVerifier:
    """Read a key as `NoteVerifier` writes it; raise `KeyFormatError`."""
    match = _VKEY.fullmatch(text.strip())
    raw = b"" if match is None else _decoded(match["key"])
    if match is None or raw[:1] != ED25519 or len(raw) != 1 + KEY_BYTES:
        raise KeyFormatError("it is no Ed25519 key of the form name+id+base64")
    found = NoteVerifier(match["name"], VerifyKey(raw[1:]))
    if found.key_id.hex() != match["id"]:
        raise KeyFormatError(
            f"its id is {match['id']}, but that of such a key {found.key_id.hex()}"
        )
    return found


def read_checkpoint(note: bytes, verifiers: Sequence[NoteVerifier]) -> Checkpoint:
    """Return what a note says, if one of `verifiers` signed it and none of theirs is forged.

    Its origin is the name of that key. Raise `CheckpointError`.
    """
    if len(note) > NOTE_BYTES_MAX:
        raise CheckpointError(f"It has {len(note)} bytes; {NOTE_BYTES_MAX} are read.")
    try:
        whole = note.decode()
    except UnicodeDecodeError:
        raise CheckpointError("It is not UTF-8.") from None
    body, blank, signatures = whole.rpartition("\n\n")
    text = body + "\n"
    match = _BODY.fullmatch(text)
    if not blank or match is None or not signatures.endswith("\n"):
        raise CheckpointError("It has not the form of a checkpoint.")
    root = _decoded(match["root"])
    if len(root) != HASH_BYTES:
        raise CheckpointError("Its third line is no root hash.")
    signed_by = None
    for line in signatures.removesuffix("\n").split("\n"):
        signature = _SIGNATURE.fullmatch(line)
        if signature is None:
            raise CheckpointError("It has a line that is no signature.")
        blob = _decoded(signature["blob"])
        for known in verifiers:
            if (known.name, known.key_id) == (signature["name"], blob[:KEY_ID_BYTES]):
                _verify(known, text, blob[KEY_ID_BYTES:])
                signed_by = signed_by or known
    if signed_by is None:
        names = ", ".join(str(each) for each in verifiers)
        raise CheckpointError(f"No known key signed it; known is {names}.")
    if match["origin"] != signed_by.name:
        raise CheckpointError(f"It is of the log {match['origin']}, not of {signed_by.name}.")
    return Checkpoint(int(match["size"]), root, signed_by.key_id)


def _verify(verifier: NoteVerifier, text: str, signature: bytes) -> None:
    try:
        verifier.key.verify(text.encode(), signature)
    except (BadSignatureError, ValueError):  # a wrong length is a ValueError
        raise CheckpointError(f"The signature of {verifier} on it is forged.") from None


def _key_id(name: str, key: VerifyKey) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + bytes(key)).digest()[:KEY_ID_BYTES]


def _decoded(text: str) -> bytes:
    """Return what a base64 text holds; nothing if it is not one, or not as it would be written."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return b""
    return raw if base64.b64encode(raw).decode() == text else b""
