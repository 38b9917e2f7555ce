"""The keys of an authorization server (OAuth 2), found by its metadata (RFC 8414).

They are read when the first token of the server comes, again after an hour, and again when a token
names a key that is not known; never more often than once a minute, or each forged token would cost
a request. While the server is away the keys that were read last stay.
"""

import asyncio
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog
from joserfc.jwk import KeySet
from msgspec import Struct

from app.process.setting_types import SAFE_URL
from app.process.tls import tls_context
from app.web.jwks import readable_keys
from app.web.transport import Bounded

KEYS_SECONDS = 3_600.0
KEYS_AGAIN_SECONDS = 60.0
SERVER_SECONDS_MAX = 3.0
"""For both requests together, while a request of ours waits."""

FAILURES = (
    *(httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError),
    *(msgspec.MsgspecError, ValueError, TypeError, RecursionError),
)
"""What happens here where a server is away, or is something else."""

log = structlog.get_logger()


class ServerMetadata(Struct, frozen=True):
    """The fields of the metadata that are used."""

    issuer: str
    jwks_uri: str


class _Jwks(Struct, frozen=True):
    keys: list[Any]


class AuthorizationServer:
    """Reads the keys of the server that names itself `issuer`. Belongs to one event loop."""

    def __init__(
        self,
        issuer: str,
        transport: httpx.AsyncBaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer = issuer
        self._transport = transport
        self._monotonic = monotonic
        self._keys = KeySet([])
        self._read_at = self._tried_at = float("-inf")
        self._reading = asyncio.Lock()

    def knows(self, key_id: str) -> bool:
        """Say whether a key is among those that were read last."""
        return any(key.kid == key_id for key in self._keys.keys)

    async def keys(self, key_id: str) -> KeySet | None:
        """Return the keys if `key_id` is among them; None if it is not, or cannot be known now."""
        if not self._is_good(key_id):
            async with self._reading:
                if not self._is_good(key_id) and self._may_ask():
                    await self._read()
        return self._keys if self.knows(key_id) else None

    @property
    def is_away(self) -> bool:
        """Say whether the last try to read the keys failed."""
        return self._tried_at > self._read_at

    def _is_good(self, key_id: str) -> bool:
        return self.knows(key_id) and self._monotonic() - self._read_at <= KEYS_SECONDS

    def _may_ask(self) -> bool:
        return self._monotonic() - self._tried_at >= KEYS_AGAIN_SECONDS

    async def _read(self) -> None:
        self._tried_at = self._monotonic()
        try:
            async with asyncio.timeout(SERVER_SECONDS_MAX):
                self._keys = await self._fetched()
        except FAILURES as error:
            log.warning("authorization_server_away", issuer=self.issuer, why=_why(error))
            return
        self._read_at = self._tried_at

    async def _fetched(self) -> KeySet:
        pool = self._transport or httpx.AsyncHTTPTransport(verify=tls_context())
        try:
            async with httpx.AsyncClient(transport=Bounded(pool), trust_env=False) as client:
                metadata = await self._metadata(client)
                answer = await client.get(metadata.jwks_uri, headers={"accept": "application/json"})
                answer.raise_for_status()
        finally:
            if self._transport is None:
                await pool.aclose()
        return readable_keys(msgspec.json.decode(answer.content, type=_Jwks).keys)

    async def _metadata(self, client: httpx.AsyncClient) -> ServerMetadata:
        """Read the metadata where RFC 8414 (3.1) has it, or where OpenID Connect has (5)."""
        base = urlsplit(self.issuer)
        path = base.path.rstrip("/")
        for address in (
            f"{base.scheme}://{base.netloc}/.well-known/oauth-authorization-server{path}",
            f"{self.issuer.rstrip('/')}/.well-known/openid-configuration",
        ):
            answer = await client.get(address, headers={"accept": "application/json"})
            if answer.status_code != HTTPStatus.NOT_FOUND:
                break
        answer.raise_for_status()
        metadata = msgspec.json.decode(answer.content, type=ServerMetadata)
        # With another issuer's document that issuer could speak in this one's name.
        if metadata.issuer != self.issuer:
            raise ValueError("the metadata is of another issuer")
        if not re.fullmatch(SAFE_URL, metadata.jwks_uri):
            raise ValueError("the keys are neither on https nor on this machine")
        return metadata


def _why(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answers {error.response.status_code}"
    return str(error) if type(error) is ValueError else type(error).__name__
