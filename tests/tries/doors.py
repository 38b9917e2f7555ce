"""Tries over HTTP, at the gateway and at the view: each has an answer that refuses it."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from random import Random
from typing import Any

import orjson

from app.credentials.proofs import PROOF_PREFIX
from app.gateway.signatures import RequestSigner
from app.topics.catalogue import CATALOGUE, OF_OPERATORS
from app.topics.codec import encode
from app.web.tokens import Role
from support import builders as b
from support.gateways import LABORATORY, PROVINCE, PROVINCE_KEY
from support.terminals import token_of
from support.tokens import TOKENS, bearer, operator_token
from support.views import duty_cookie, now, resident_cookie
from tries.counting import Kind
from tries.forged import changed, misissued, tampered, unsigned
from tries.stage import CDC, CLOSED, ENEMY, IDENTITIES, PLACED, SAME, STRANGERS, TERMINAL, Stage

Headers = Mapping[str, str]
End = tuple[str, bool]

STRUCTURED = {"content-type": "application/cloudevents+json"}
ORIGIN = "http://127.0.0.1:8080"
REPLAYED = "gateway: an honest event again, as it was or otherwise"


class Doors:
    """Asks both faces as an enemy does."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._events = f"{stage.gateway}/v1/events"
        self._view = stage.view.address

    def kinds(self) -> Iterator[Kind]:
        """Yield each kind, with its share."""
        yield Kind("gateway: no token, or no token at all", 2, self.no_token)
        yield Kind("gateway: a token with one thing changed", 6, self.tampered_token)
        yield Kind("gateway: alg none, or a MAC by the public key", 4, self.unsigned_token)
        yield Kind("gateway: another key, expired, another audience", 4, self.misissued_token)
        yield Kind("gateway: the token of a source that is shut out", 1, self.closed_token)
        yield Kind("gateway: another's token, or in another's name", 6, self.anothers_token)
        yield Kind("gateway: types of the inside", 2, self.inner_type)
        yield Kind("gateway: a province's token without its signature", 4, self.unsigned_request)
        yield Kind(REPLAYED, 3, self.replay)
        yield Kind("view: a session's cookie changed, over, or another's seal", 6, self.session)
        yield Kind("view: a QR changed", 5, self.display)
        yield Kind("view: a QR of before", 2, self.old_display)
        yield Kind("view: an officer's cookie changed", 3, self.duty)
        yield Kind("view: a form of another site", 3, self.cross_site)
        yield Kind("view: a token without the role", 4, self.role)
        yield Kind("view: another's data by parameters", 2, self.anothers_data)

    def _event(self, random: Random, source: str = LABORATORY) -> dict[str, Any]:
        """What would turn somebody red or green, if it were believed."""
        person = random.choice(self._stage.green)
        at = now() - timedelta(hours=random.randint(8, 40))
        made: Any = random.choice(
            [
                b.positive(at, person=person, source=source),
                b.confirmed(at, person=person, source=source),
                b.contact(at - timedelta(days=1), person=person, source=source),
            ]
        )
        event: dict[str, Any] = orjson.loads(encode(made))
        return {**event, "id": f"t-{random.getrandbits(64):x}"}

    async def _sent(self, headers: Headers, event: Any, *statuses: int) -> End:
        answer = await self._stage.http.post(
            self._events, content=orjson.dumps(event), headers={**STRUCTURED, **headers}
        )
        code = answer.json().get("code", "taken")
        return f"{answer.status_code} {code}", answer.status_code in statuses

    async def no_token(self, random: Random) -> End:
        header = random.choice(
            ["", "Bearer", "Basic YTpi", "Bearer a.b.c", "Bearer " + "x" * 5_000]
        )
        headers = {"authorization": header} if header else {}
        return await self._sent(headers, self._event(random), 401)

    async def tampered_token(self, random: Random) -> End:
        token = tampered(TOKENS.token_for(ENEMY), random)
        return await self._sent({"authorization": f"Bearer {token}"}, self._event(random), 401)

    async def unsigned_token(self, random: Random) -> End:
        token = unsigned(LABORATORY, random)
        return await self._sent({"authorization": f"Bearer {token}"}, self._event(random), 401)

    async def misissued_token(self, random: Random) -> End:
        token = misissued(LABORATORY, random)
        return await self._sent({"authorization": f"Bearer {token}"}, self._event(random), 401)

    async def closed_token(self, random: Random) -> End:
        return await self._sent(bearer(CLOSED), self._event(random, CLOSED), 401)

    async def anothers_token(self, random: Random) -> End:
        source = random.choice((ENEMY, *STRANGERS))
        claimed = random.choice((LABORATORY, CDC, IDENTITIES))
        event = self._event(random, claimed)
        if CATALOGUE.authority_of(source) not in ("laboratory", "cdc") and random.random() < 0.5:
            event["source"] = source  # their own name, and no authority
        return await self._sent(bearer(source), event, 403, 401)

    async def inner_type(self, random: Random) -> End:
        types = [*OF_OPERATORS, "yuekang.status.changed.v1", "yuekang.code.set.v1"]
        event = {**self._event(random, ENEMY), "type": random.choice(types)}
        return await self._sent(bearer(ENEMY), event, 422)

    async def unsigned_request(self, random: Random) -> End:
        at = now() - timedelta(hours=1)
        person = random.choice(self._stage.green)
        made = b.provincial("red", at, person=person, source=PROVINCE)
        body = encode(made)
        plain = {**bearer(PROVINCE), **STRUCTURED}
        signer = RequestSigner(PROVINCE_KEY)
        match random.randrange(5):
            case 0:
                headers = plain
            case 1:
                headers = RequestSigner(random.randbytes(32)).signed(
                    "POST", self._events, plain, body
                )
            case 2:
                address = random.choice([self._events + "?x=1", self._events.replace("v1", "v2")])
                headers = signer.signed("POST", address, plain, body)
            case 3:
                headers = signer.signed("POST", self._events, plain, body)
                body = body.replace(b'"red"', b'"yellow"')
            case _:
                headers = signer.signed("POST", self._events, plain, body)
                name = random.choice([n for n in headers if n.lower().startswith("signature")])
                # Not its last letters: of these Base64 reads some bits alone.
                headers[name] = changed(headers[name][:-5], random) + headers[name][-5:]
        answer = await self._stage.http.post(self._events, content=body, headers=headers)
        code = answer.json().get("code", "taken")
        return f"{answer.status_code} {code}", answer.status_code in (400, 401)

    async def replay(self, random: Random) -> End:
        """An honest event again, by its own source: as it was, or with another content. It is
        taken, as any event is; the worker knows it by its id."""
        honest = random.choice([r for r in self._stage.honest if r.topic == "laboratory-results"])
        event = orjson.loads(honest.value or b"")
        if event["source"] != LABORATORY:
            return await self._sent(bearer(ENEMY), event, 403)
        kept = random.random() < 0.5
        if not kept:
            result = event["data"]["result"]
            event["data"]["result"] = "negative" if result == "positive" else "positive"
        answer = await self._stage.http.post(
            self._events, content=orjson.dumps(event), headers={**STRUCTURED, **bearer(LABORATORY)}
        )
        if answer.status_code != 202:
            return f"{answer.status_code} {answer.json().get('code')}", False
        said = answer.json()
        place = (self._stage.plain(said["topic"]), said["partition"], said["offset"])
        allowed = (SAME,) if kept else ("conflict",)
        self._stage.placed[place] = REPLAYED, allowed
        return PLACED

    async def session(self, random: Random) -> End:
        """Every address that a resident alone may ask, with a cookie that is not theirs."""
        person = random.choice(self._stage.red)
        cookie = resident_cookie(person)
        good = str(cookie.value)
        match random.randrange(4):
            case 0 | 1:
                value = changed(good, random)
            case 2:
                value = str(resident_cookie(person, ahead=timedelta(days=-2)).value)
            case _:
                value = random.choice([str(duty_cookie().value), token_of(person), good[:-8], ""])
        path = random.choice(["code", "token", "code.svg", "information", "export"])
        answer = await self._stage.http.get(
            f"{self._view}/v1/me/{path}", headers={"cookie": f"{cookie.key}={value}"}
        )
        return f"{answer.status_code} {answer.json().get('code', '')}", answer.status_code == 401

    async def _scanned(self, token: str, *outcomes: str) -> End:
        answer = await self._stage.http.post(
            f"{self._view}/v1/scans",
            json={"id": "s-1", "token": token, "place": "东门"},
            headers=bearer(TERMINAL),
        )
        said = answer.json()
        told = said.get("outcome", said.get("code"))
        right = answer.status_code == 200 and told in outcomes and not said["recorded"]
        return f"{answer.status_code} {told}", right and said["colour"] is None

    async def display(self, random: Random) -> End:
        good = token_of(random.choice(self._stage.green))
        token = random.choice(
            [
                changed(good, random),
                changed(good, random),
                good[: random.randrange(1, 120)],
                str(resident_cookie(random.choice(self._stage.green)).value)[:128],
                PROOF_PREFIX + "".join(random.choices("0123456789ABCDEF $%*", k=300)),
            ]
        )
        return await self._scanned(token, "forged")

    async def old_display(self, random: Random) -> End:
        at = now() - timedelta(minutes=random.randint(2, 5_000))
        return await self._scanned(
            token_of(random.choice(self._stage.green), lambda: at), "expired"
        )

    async def duty(self, random: Random) -> End:
        cookie = duty_cookie()
        other = str(resident_cookie(random.choice(self._stage.green)).value)
        value = random.choice([changed(str(cookie.value), random), other, ""])
        path = random.choice(["/v1/changes", "/dashboard/counts", "/duty/counts.json"])
        answer = await self._stage.http.get(
            self._view + path, headers={"cookie": f"{cookie.key}={value}"}
        )
        led = answer.headers.get("location", "").startswith("/duty/login")
        return f"{answer.status_code}", answer.status_code == 401 or led

    async def cross_site(self, random: Random) -> End:
        cookie = resident_cookie(random.choice(self._stage.green))
        elsewhere: list[dict[str, str]] = [
            {},
            {"origin": "null"},
            {"origin": "https://evil.example"},
            {"sec-fetch-site": "cross-site", "origin": ORIGIN},
            {"sec-fetch-site": "same-site"},
        ]
        path = random.choice(
            ["/v1/me/declarations", "/logout", "/v1/me/credential", "/me/devices/end"]
        )
        answer = await self._stage.http.post(
            self._view + path,
            json={"kind": "personal"},
            headers={"cookie": f"{cookie.key}={cookie.value}", **random.choice(elsewhere)},
        )
        return f"{answer.status_code} cross-site", answer.status_code == 403

    async def role(self, random: Random) -> End:
        person = random.choice(self._stage.red)
        path, needed = random.choice(
            [
                (f"/v1/people/{person}/code", Role.READ),
                (f"/v1/people/{person}/explanation", Role.EXPLAIN),
                ("/v1/reconciliation", Role.READ),
                ("/v1/changes", Role.READ),
            ]
        )
        roles = [role for role in Role if role is not needed]
        tokens = [operator_token(random.choice(roles)), TOKENS.token_for(random.choice(STRANGERS))]
        answer = await self._stage.http.get(
            self._view + path, headers={"authorization": f"Bearer {random.choice(tokens)}"}
        )
        return f"{answer.status_code} {answer.json()['code']}", answer.status_code == 403

    async def anothers_data(self, random: Random) -> End:
        """Whoever else is named beside one's own session, the answer is one's own."""
        mine, other = random.choice(self._stage.green), random.choice(self._stage.red)
        cookie = resident_cookie(mine)
        answer = await self._stage.http.get(
            f"{self._view}/v1/me/code",
            params={random.choice(["person", "partitionkey", "key", "id"]): other},
            headers={"cookie": f"{cookie.key}={cookie.value}", "x-person": other},
        )
        said = answer.json()
        return f"{answer.status_code} one's own", said.get("colour") == "green"
