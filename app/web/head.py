"""HEAD: the status and the headers that GET would have, without a body (RFC 9110, 9.3.2)."""

from collections.abc import Set
from typing import cast

from litestar.enums import HttpMethod
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send


def answering_head(app: ASGIApp, *, endless: Set[str] = frozenset()) -> ASGIApp:
    """Return an application that asks `app` for a GET wherever it is asked for a HEAD.

    Whoever watches a site or looks a link up sends HEAD. Each page is then made as for GET, so its
    headers are right. An answer at an address of `endless` has no end: HEAD is not taken there.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        asked = cast(HTTPScope, scope)
        if asked.get("method") != "HEAD" or asked["path"] in endless:
            await app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                if message["more_body"]:
                    return
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        asked["method"] = HttpMethod.GET
        await app(asked, receive, send_without_body)

    return answer
