"""From a document to the person key, at the gateway; and a first login is told to the worker.

The gateway alone has the secret of person keys. It is asked in the name of the identity provider,
`/identity-providers/<name>`, and publishes in that name that the person's identity is verified.
"""

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any

import httpx
import msgspec

from app.login.claims import Identity
from app.login.failures import Failed
from app.login.transport import Bounded
from app.topics.catalogue import IDENTITY_PROVIDERS
from app.web.tokens import Tokens
from models.documents import Document
from models.events import PERSON_KEY
from models.policy import ZONE

KEYS, EVENTS = "/v1/person-keys", "/v1/events"

REQUEST_SECONDS_MAX = 3.0
TRIES, WAIT_SECONDS = 2, 0.5
"""While a person waits: what a restart or a lost connection needs, and not a longer outage."""

AGAIN = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}

HasCode = Callable[[str], Awaitable[bool]]


class Registration:
    """A client of the gateway at `url` in the name of one identity provider. Of one event loop.

    `has_code` says whether a person is known already; then nothing is published. Two logins at
    once may both publish: that the identity was verified twice is as good as once.
    """

    def __init__(
        self,
        url: str,
        provider: str,
        tokens: Tokens,
        has_code: HasCode,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._source = IDENTITY_PROVIDERS + provider
        self._has_code = has_code
        self._pool = transport or httpx.AsyncHTTPTransport()
        self._http = httpx.AsyncClient(
            base_url=url,
            transport=Bounded(self._pool),
            timeout=REQUEST_SECONDS_MAX,
            trust_env=False,
            headers={"authorization": f"Bearer {tokens.token_for(self._source)}"},
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        await self._pool.aclose()

    async def register(self, identity: Identity, login: str, at: datetime) -> str:
        """Return the person key of `identity`, who logged in at `at`, once the worker will know.

        `login` is one login's own secret; sending the same login again publishes the same event.
        Raises `Failed`: "document" where the gateway refuses the document, else "gateway".
        """
        person = await self._key_of(identity.document)
        if not await self._has_code(person):
            await self._publish(_verified(self._source, identity, login, at))
        return person

    async def _key_of(self, document: Document) -> str:
        body = msgspec.json.encode({"documents": [_plain(document)]})
        answer = await self._post(KEYS, "application/json", body)
        if answer.status_code == HTTPStatus.MULTI_STATUS:
            raise Failed("document", "the gateway knows no such document")
        try:
            [result] = msgspec.json.decode(answer.content)["results"]
            person = str(result["person"])
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            person = ""
        if answer.status_code != HTTPStatus.OK or not PERSON_KEY.fullmatch(person):
            raise Failed("gateway", f"{KEYS} answers {answer.status_code}")
        return person

    async def _publish(self, event: dict[str, Any]) -> None:
        body = msgspec.json.encode(event)
        answer = await self._post(EVENTS, "application/cloudevents+json", body)
        if answer.status_code != HTTPStatus.ACCEPTED:
            raise Failed("gateway", f"{EVENTS} answers {answer.status_code}")

    async def _post(self, path: str, kind: str, body: bytes) -> httpx.Response:
        for left in reversed(range(TRIES)):
            try:
                answer = await self._http.post(path, content=body, headers={"content-type": kind})
            except httpx.TransportError as error:
                failed = Failed("gateway", f"{path}: {type(error).__name__}")
            else:
                if answer.status_code not in AGAIN:
                    return answer
                failed = Failed("gateway", f"{path} answers {answer.status_code}")
            if left:
                await asyncio.sleep(WAIT_SECONDS)
        raise failed


def _plain(document: Document) -> dict[str, str]:
    return {"type": document.type.value, "number": document.number}


def _verified(source: str, identity: Identity, login: str, at: datetime) -> dict[str, Any]:
    """Return the event as the gateway takes it: with the document, which becomes the key there."""
    digest = hashlib.blake2b(login.encode(), digest_size=15, person=b"yuekang event id").digest()
    return {
        "specversion": "1.0",
        "type": "yuekang.identity.verified.v1",
        "source": source,
        # In letters that cannot be taken for a document number's digits.
        "id": f"login-{base64.b32encode(digest).decode().lower()}",
        "time": at.astimezone(ZONE).isoformat(),
        # Several views publish as one source, and share no counter; microseconds do as one.
        "sequence": str(int(at.timestamp() * 1_000_000)),
        "data": {
            "verified_at": at.astimezone(ZONE).isoformat(),
            "document_type": identity.document.type.value,
            "city": identity.city,
            "document": _plain(identity.document),
        },
    }
