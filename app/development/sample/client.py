"""The gateway's two entrances, as agencies use them: person keys, and batches of events."""

from collections.abc import Callable, Sequence

import httpx
import msgspec

from app.development.sample.documents import SampleDocument
from app.gateway.client import GatewayClient, Patience
from app.publish.client import REQUEST_SECONDS_MAX, BatchSender
from app.publish.lines import EventToSend, RefusedLine

KEYS_IN_A_REQUEST = 500
PATIENCE = Patience(seconds=30.0)
ASKS_FOR_KEYS = "/laboratories/440100-001"


class Submission(msgspec.Struct, frozen=True):
    """An event as an agency sends it: its source, its id, and the whole event as JSON."""

    source: str
    id: str
    content: bytes


class AgencyClient:
    """A client of the gateway at `url`; use it as an asynchronous context manager.

    `token_for` gives the token of every source, as only who has the private key can. It asks a busy
    gateway again for a while, then raises `app.gateway.client.Unreached`.
    """

    def __init__(self, url: str, token_for: Callable[[str], str]) -> None:
        self._token_for = token_for
        self._http = httpx.AsyncClient(timeout=REQUEST_SECONDS_MAX, trust_env=False)
        self._client = GatewayClient(url, PATIENCE, self._http)
        self._sender = BatchSender(self._client)

    async def __aenter__(self) -> "AgencyClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def person_keys(self, documents: Sequence[SampleDocument]) -> dict[SampleDocument, str]:
        """Return the person key of each document."""
        keys: dict[SampleDocument, str] = {}
        token = self._token_for(ASKS_FOR_KEYS)
        for start in range(0, len(documents), KEYS_IN_A_REQUEST):
            part = documents[start : start + KEYS_IN_A_REQUEST]
            plain = [{"type": one.type, "number": one.number} for one in part]
            for document, key in zip(
                part, await self._client.person_keys(plain, token), strict=True
            ):
                assert key is not None, "the sample's documents are valid"
                keys[document] = key
        return keys

    async def publish(self, events: Sequence[Submission]) -> list[RefusedLine | None]:
        """Publish events; return in order None for each accepted one, else its refusal."""
        return await self._sender.send(
            [
                EventToSend(number, e.source, e.id, e.content, self._token_for(e.source))
                for number, e in enumerate(events)
            ]
        )
