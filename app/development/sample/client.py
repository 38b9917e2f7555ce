"""The gateway's two doors, as agencies use them: person keys, and batches of events."""

from collections.abc import Sequence
from http import HTTPStatus

import httpx
import msgspec

from app.development.sample.documents import Document
from app.publish.client import REQUEST_SECONDS_MAX, Client, Unreached
from app.publish.lines import Item, Report
from app.web.tokens import Tokens

KEYS_IN_A_REQUEST = 500
PATIENCE_SECONDS = 30.0
ASKS_FOR_KEYS = "/laboratories/440100-001"


class Submission(msgspec.Struct, frozen=True):
    """An event as an agency sends it: its source and id, and the whole as JSON."""

    source: str
    id: str
    content: bytes


class Gateway:
    """A client of the gateway at `url`; use it as an asynchronous context manager.

    It has the token of every source, as only the operator can. A busy gateway is asked again for
    a while, then given up with `app.publish.client.Unreached`.
    """

    def __init__(self, url: str, tokens: Tokens) -> None:
        self._tokens = tokens
        self._http = httpx.AsyncClient(timeout=REQUEST_SECONDS_MAX, trust_env=False)
        self._client = Client(url, PATIENCE_SECONDS, self._http)

    async def __aenter__(self) -> "Gateway":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def person_keys(self, documents: Sequence[Document]) -> dict[Document, str]:
        """Return the person key of each document."""
        keys: dict[Document, str] = {}
        headers = {
            "content-type": "application/json",
            "authorization": f"Bearer {self._tokens.token_for(ASKS_FOR_KEYS)}",
        }
        for start in range(0, len(documents), KEYS_IN_A_REQUEST):
            part = documents[start : start + KEYS_IN_A_REQUEST]
            body = msgspec.json.encode({"documents": part})
            response = await self._client.post("/v1/person-keys", body, headers)
            if response.status_code != HTTPStatus.OK:
                raise Unreached(f"The gateway gave no person keys: {response.text[:500]}")
            results = msgspec.json.decode(response.content)["results"]
            for document, result in zip(part, results, strict=True):
                keys[document] = result["person"]
        return keys

    async def publish(self, events: Sequence[Submission]) -> list[Report | None]:
        """Publish events; return for each None if accepted, else its refusal, in order."""
        return await self._client.send(
            [
                Item(number, e.source, e.id, e.content, self._tokens.token_for(e.source))
                for number, e in enumerate(events)
            ]
        )
