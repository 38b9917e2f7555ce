"""Signed requests (RFC 9421 with Content-Digest, RFC 9530), as other provinces send them.

A token that is stolen on the way, or from a log, is then worth nothing by itself: each request is
signed with an Ed25519 key that never leaves the province. The signature covers the method, the
address, the token and, through its digest, the content, and is good for five minutes. Within them a
request that somebody sends again writes the same events again, which are known by their ids and
change nothing; so no list of nonces is kept.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import NamedTuple

import http_sf
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
)
from http_message_signatures.algorithms import ED25519

from app.topics.catalogue import PROVINCE_SOURCES
from app.web.problems import Refused
from app.web.requests import AnyRequest
from app.web.tokens import public_key

COVERED = ("@method", "@target-uri", "authorization")
DIGEST = "content-digest"
"""Of the content as it is sent, packed or not; covered where there is content."""

AGE = timedelta(minutes=5)
SKEW = timedelta(minutes=1)
"""How far the signer's clock may be ahead of ours; it is part of `AGE` where it is behind."""

HOW = (
    'Sign with RFC 9421: ("@method" "@target-uri" "authorization" "content-digest"), the last '
    "where there is content; created and keyid; Ed25519."
)


class _Fields(NamedTuple):
    """The fields of a message, in order, as the library asks for them."""

    lines: list[tuple[str, str]]

    def items(self) -> list[tuple[str, str]]:
        return self.lines


class _Message(NamedTuple):
    method: str
    url: str
    headers: object


class _Keys(HTTPSignatureKeyResolver):
    def __init__(self, keys: Iterable[bytes]) -> None:
        self._keys = {key_id_of(key): Ed25519PublicKey.from_public_bytes(key) for key in keys}

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        """Return the key; raise `InvalidSignature` if it is not one of the source's."""
        if key_id not in self._keys:
            raise InvalidSignature("the key is not one of the source's")
        return self._keys[key_id]

    def resolve_private_key(self, key_id: str) -> Ed25519PrivateKey:
        """Nobody signs with these."""
        raise NotImplementedError


class _Verifier(HTTPMessageVerifier):
    max_clock_skew = SKEW


def key_id_of(key: bytes) -> str:
    """Return the `keyid` of a public key: its thumbprint (RFC 7638)."""
    return str(public_key(key).kid)


class Signers:
    """Which sources sign, and with which keys: some for each, two while one is changed.

    A source with a key has to sign each request. With `required` every province has to, so one
    without a key is let in no more.
    """

    def __init__(
        self, keys: Mapping[str, Iterable[bytes]] | None = None, required: bool = False
    ) -> None:
        self._verifiers = {
            source: _Verifier(signature_algorithm=ED25519, key_resolver=_Keys(own))
            for source, own in (keys or {}).items()
        }
        self._required = required

    def check(
        self, source: str, request: AnyRequest, is_good: Callable[[str], bool] = lambda _: True
    ) -> bytes | None:
        """Return the SHA-256 that the content must have, or None if it is not signed.

        Raise `Refused` (401) if the source has to sign, and the request is not signed by it, or by
        a key whose id is not good now.
        """
        verifier = self._verifiers.get(source)
        if verifier is None:
            if self._required and source.startswith(PROVINCE_SOURCES):
                raise _unsigned(
                    "No key of this province is known here: give the operator its public half."
                )
            return None
        has_content = request.method == "POST"
        needed = (*COVERED, DIGEST) if has_content else COVERED
        why = ""
        for message in _messages(request):
            try:
                [signed] = verifier.verify(message, max_age=AGE - SKEW, require_components=needed)
            except InvalidSignature as invalid:
                why = str(invalid)
                continue
            if not is_good(str(signed.parameters["keyid"])):
                raise _unsigned("By the register of sources its key is not valid now.")
            return _digest_in(signed.covered_components[f'"{DIGEST}"']) if has_content else None
        raise _unsigned(f"{why.rstrip('.')}." if why.isprintable() else "It cannot be read.")


def _messages(request: AnyRequest) -> Iterator[_Message]:
    """Yield the request as its signer may have seen it: a proxy may have taken TLS off."""
    fields = request.scope["headers"]
    lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
    host = request.headers.get("host", "")
    query = request.scope["query_string"].decode("latin-1")
    path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
    for scheme in ("https", "http"):
        url = f"{scheme}://{host}{path}" + (f"?{query}" if query else "")
        yield _Message(request.method, url, _Fields(lines))


def _digest_in(field: str) -> bytes:
    try:
        parsed: object = http_sf.parse(field.encode(), tltype="dictionary")
    except ValueError:
        parsed = None
    match parsed:
        case {"sha-256": (bytes(digest), _)}:
            return digest
    raise _unsigned("Its Content-Digest has no sha-256.")


def _unsigned(why: str) -> Refused:
    return Refused(
        "unsigned", f"{why} {HOW}", headers={"WWW-Authenticate": 'Bearer error="invalid_request"'}
    )


class Digesting:
    """Holds content, as it comes, against the digest that was signed."""

    def __init__(self, expected: bytes) -> None:
        self._expected = expected
        self._hash = hashlib.sha256()

    def add(self, part: bytes) -> None:
        """Take the next bytes, as they were sent."""
        self._hash.update(part)

    def check(self) -> None:
        """Raise `Refused` (400) unless this was all, and is what was signed."""
        if not hmac.compare_digest(self._hash.digest(), self._expected):
            raise Refused(
                "wrong-digest",
                "The content, as it was sent, has another sha-256 than Content-Digest says. It was "
                "changed on the way, or packed after it was signed.",
            )


class RequestSigner:
    """Signs requests with an Ed25519 key, whose private half (RFC 8032) has 32 bytes."""

    def __init__(self, private_key: bytes) -> None:
        key = Ed25519PrivateKey.from_private_bytes(private_key)
        self.public = key.public_key().public_bytes_raw()
        self._key_id = key_id_of(self.public)

        class Own(HTTPSignatureKeyResolver):
            def resolve_private_key(self, key_id: str) -> Ed25519PrivateKey:
                return key

            def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
                raise NotImplementedError

        self._signer = HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=Own())

    def signed(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> dict[str, str]:
        """Return the headers with those of a signature, good for five minutes from now on."""
        whole = dict(headers)
        covered: tuple[str, ...] = COVERED
        if content is not None:
            digest = http_sf.ser({"sha-256": (hashlib.sha256(content).digest(), {})})
            whole[DIGEST] = digest
            covered = (*COVERED, DIGEST)
        message = _Message(method, url, whole)
        self._signer.sign(
            message,
            key_id=self._key_id,
            covered_component_ids=covered,
            use_existing_digest=content is not None,
        )
        return whole


SIGNING_KEYS = re.compile(r"(/[a-z0-9/-]+)=([0-9a-f]{64})")


def signing_keys(text: str) -> dict[str, list[bytes]]:
    """Return the keys of each source as the setting has them: `source=key`, separated by commas."""
    keys: dict[str, list[bytes]] = {}
    for source, key in SIGNING_KEYS.findall(text):
        keys.setdefault(source, []).append(bytes.fromhex(key))
    return keys
