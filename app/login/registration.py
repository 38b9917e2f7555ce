"""From a document to the person key, at the gateway; and the event of a first login.

The gateway alone has the secret of person keys. It is asked in the name of the identity provider,
`/identity-providers/<name>`. It publishes in that name that the person's identity is verified, so
the worker knows the person.
"""

import base64
import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any

import httpx
import msgspec

from app.gateway.client import EVENTS, GatewayClient, Patience, Unreached
from app.gateway.messages import ONE
from app.login.claims import Identity
from app.login.failures import Failed
from app.process.tls import tls_context
from app.topics.catalogue import IDENTITY_PROVIDERS
from app.web.transport import Bounded
from models.documents import Document
from models.policy import ZONE

REQUEST_SECONDS_MAX = 3.0
PATIENCE = Patience(tries_max=2, first_wait_seconds=0.5, wait_seconds_max=0.5)
"""A person waits meanwhile. It outlasts a restart or a lost connection, not a longer outage."""

HasCode = Callable[[str], Awaitable[bool]]


class Registration:
    """A client of the gateway at `url`, in the name of one identity provider, for one event loop.

    `token` is of that source. `has_code` says whether a person is known already; then nothing is
    published. Two logins at once may both publish. An identity that is verified twice is verified:
    no harm is done.
    """

    def __init__(
        self,
        url: str,
        provider: str,
        token: str,
        has_code: HasCode,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._source = IDENTITY_PROVIDERS + provider
        self._has_code = has_code
        self._pool = transport or httpx.AsyncHTTPTransport(verify=tls_context())
        self._http = httpx.AsyncClient(
            transport=Bounded(self._pool),
            timeout=REQUEST_SECONDS_MAX,
            trust_env=False,
        )
        self._gateway = GatewayClient(url, PATIENCE, self._http)
        self._token = token

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        await self._pool.aclose()

    async def register(self, identity: Identity, login: str, at: datetime) -> str:
        """Return the person key of `identity`, who logged in at `at`.

        When it returns the worker knows the person, or will: the event is on the log. `login` is
        one login's own secret; the same login sent again publishes the same event. Raises `Failed`:
        "document" if the gateway refuses the document, else "gateway".
        """
        person = await self._key_of(identity.document)
        if not await self._has_code(person):
            await self._publish(_verified(self._source, identity, login, at))
        return person

    async def _key_of(self, document: Document) -> str:
        try:
            [person] = await self._gateway.person_keys([_plain(document)], self._token)
        except Unreached as unreached:
            raise Failed("gateway", unreached.why) from None
        if person is None:
            raise Failed("document", "the gateway knows no such document")
        return person

    async def _publish(self, event: dict[str, Any]) -> None:
        body, kind = msgspec.json.encode(event), ONE
        try:
            answer = await self._gateway.post(EVENTS, body, self._token, kind)
        except Unreached as unreached:
            raise Failed("gateway", unreached.why) from None
        if answer.status_code != HTTPStatus.ACCEPTED:
            raise Failed("gateway", f"{EVENTS} answers {answer.status_code}")


def _plain(document: Document) -> dict[str, str]:
    return {"type": document.type.value, "number": document.number}


def _verified(source: str, identity: Identity, login: str, at: datetime) -> dict[str, Any]:
    """Return the event as the gateway takes it: with the document, from which it makes the key."""
    digest = hashlib.blake2b(login.encode(), digest_size=15, person=b"yuekang event id").digest()
    return {
        "specversion": "1.0",
        "type": "yuekang.identity.verified.v1",
        "source": source,
        # In base32, which cannot be taken for the digits of a document number.
        "id": f"login-{base64.b32encode(digest).decode().lower()}",
        "time": at.astimezone(ZONE).isoformat(),
        # Several views publish as one source without a common counter; microseconds serve as one.
        "sequence": str(int(at.timestamp() * 1_000_000)),
        "data": {
            "verified_at": at.astimezone(ZONE).isoformat(),
            "document_type": identity.document.type.value,
            "city": identity.city,
            "document": _plain(identity.document),
        },
    }
