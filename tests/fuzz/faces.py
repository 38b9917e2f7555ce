"""The two faces in this process, as a client asks them: whole, without Kafka and Redis."""

import gzip
import json
from collections.abc import Iterator
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from app.web.problems import KINDS
from fuzz.inputs import EVENTS, NOW, Crash
from fuzz.mutator import mutated, mutated_json, written
from support.gateways import NO_REDIS, PROVINCE, gateway_that_writes
from support.tokens import bearer
from support.views import create_view, now, options_over, resident, someone


class Gateway:
    """The whole application, in this process, in all three modes."""

    MODES = (
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "application/json",
    )

    def __init__(self) -> None:
        self._app, self._written = gateway_that_writes(now=lambda: NOW)
        sources = {event["source"] for event in EVENTS}
        self._tokens = {source: bearer(source) for source in sources if source != PROVINCE}

    async def once(self, random: Random) -> str:
        event = random.choice(EVENTS)
        source = event["source"]
        headers = dict(self._tokens.get(source, bearer(PROVINCE)))
        mode = random.choice(self.MODES)
        headers["content-type"] = mode
        path = "/v1/events"
        changed = mutated_json(event, random)
        body = written([changed] * random.choice((1, 2)) if "batch" in mode else changed, random)
        if mode == self.MODES[2]:
            body = written(changed.get("data") if isinstance(changed, dict) else changed, random)
            headers |= {f"ce-{n}": quote(str(v)) for n, v in event.items() if n != "data"}
            if random.random() < 0.5:
                name = random.choice([n for n in headers if n.startswith("ce-")])
                headers[name] = mutated(headers[name].encode(), random).decode("latin-1")
        match random.randrange(8):
            case 0:
                body = mutated(body, random)
            case 1:
                headers["content-encoding"] = "gzip"
                body = gzip.compress(body, 1)
                body = mutated(body, random) if random.random() < 0.7 else body
            case 2:
                name = random.choice(list(headers))
                headers[name] = mutated(headers[name].encode(), random).decode("latin-1")
            case 3:
                path = "/v1/person-keys"
                headers["content-type"] = self.MODES[2]
                card = {"type": "resident-identity-card", "number": "11010519491231002X"}
                body = written(mutated_json({"documents": [card, card]}, random), random)
            case _:
                pass
        status, answer = await _asked(self._app, "POST", path, headers, body)
        taken = len(self._written.take())
        return self._outcome(status, answer, taken)

    @staticmethod
    def _outcome(status: int, answer: bytes, taken: int) -> str:
        said = json.loads(answer)
        if status in (200, 202, 207):
            return f"{status}"
        code = said["code"]
        if status >= 500 or KINDS[code].status != status or taken:
            raise Crash(f"{status} {code}, {taken} written")
        return f"{status} {code}"


async def _asked(
    app: Any, method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[int, bytes]:
    """Ask an application, its request in two parts; return status and content."""
    lines = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers.items()]
    path, _, query = path.partition("?")
    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1"), *lines],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    parts = _parts(body)
    sent: list[Any] = []

    async def receive() -> Any:
        return next(parts)

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def _parts(body: bytes) -> Iterator[dict[str, Any]]:
    half = len(body) // 2
    yield {"type": "http.request", "body": body[:half], "more_body": True}
    yield {"type": "http.request", "body": body[half:], "more_body": False}
    while True:
        yield {"type": "http.disconnect"}


class View:
    """The view in this process, by a resident, an officer or a terminal; no Redis is there."""

    FORMS = (
        ("/v1/scans", {"id": "s-1", "token": "x", "place": "东门"}),
        ("/v1/me/declarations", {"id": "d", "kind": "personal", "city": "440100", "celsius": 36.5}),
        ("/v1/me/travel-card", {"phone": "13800138000", "code": "123456"}),
        ("/v1/me/credential", {"key": {"kty": "EC", "crv": "P-256", "x": "a", "y": "b"}}),
        ("/login/again", {"challenge": "x", "signature": "00"}),
        ("/login/device", {"kty": "EC", "crv": "P-256", "x": "a", "y": "b"}),
        ("/declare/personal", {"city": "440100", "celsius": "36.5", "contact": "no"}),
        ("/travel-card/code", {"phone": "13800138000"}),
        ("/duty/login", {"token": "a.b.c", "officer": "值班", "return_to": "/dashboard"}),
    )
    PAGES = (
        "/check?code=",
        "/login/callback?state=",
        "/code?lang=",
        "/api/events/",
        "/v1/s/",
        "/me/",
    )

    def __init__(self) -> None:
        self._app = create_view(options_over(NO_REDIS, now))
        own = {"origin": "http://127.0.0.1:8080"}
        self._headers = {**resident(someone()), **bearer("/terminals/1"), **own}

    async def once(self, random: Random) -> str:
        headers = dict(self._headers)
        if random.random() < 0.3:
            path = random.choice(self.PAGES) + quote(mutated(b"x=1&lang=en", random), safe="&=")
            status, _ = await _asked(self._app, "GET", path, headers, b"")
        else:
            path, form = random.choice(self.FORMS)
            body = written(mutated_json(form, random), random)
            if random.random() < 0.5:
                body = mutated(body, random)
            headers["content-type"] = random.choice(("application/json", "text/plain", "x"))
            if random.random() < 0.3:
                headers["content-type"] = "application/x-www-form-urlencoded"
                body = mutated(urlencode(form).encode(), random)
            elif random.random() < 0.2:
                headers["content-type"] = "multipart/form-data; boundary=b"
                body = mutated(_MULTIPART, random)
            status, _ = await _asked(self._app, "POST", path, headers, body)
        if status >= 500 and status != 503:
            raise Crash(f"{status} of {path}")
        return f"{status}"


_MULTIPART = (
    b'--b\r\nContent-Disposition: form-data; name="token"\r\n\r\na.b.c\r\n'
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\nx\r\n--b--\r\n'
)
