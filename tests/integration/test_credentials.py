"""Credentials over real Redis: issued, turned off by a change, listed, forgotten by a rebuild."""

import asyncio
import base64
import secrets
import zlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest
from cwt import COSE, COSEKey
from litestar import Litestar
from litestar.exceptions import HTTPException, ValidationException
from msgspec.structs import replace
from redis.asyncio import Redis

from app.credentials.bounds import (
    ASK_SECONDS,
    CACHE_SECONDS,
    LIFE,
    LIST_SECONDS_MAX,
    READ_SECONDS,
    SIGN_SECONDS,
)
from app.credentials.cbor import unpack
from app.credentials.claims import Claims, read_claims
from app.credentials.issuing import CodeRead, Issuer, asker_of
from app.credentials.keys import IssuerKeys
from app.credentials.routes import credential_routes, status_routes
from app.login.ended import SILENT_SECONDS_MAX
from app.process.settings import Settings
from app.projection.holdings import (
    CHUNK_BITS,
    CHUNK_SLACK_SECONDS,
    ENDED_SECONDS,
    HELD_MAX,
    Holdings,
    Place,
    TooOften,
)
from app.view.codes import Codes
from app.view.problems import on_unavailable
from app.view.reading import Unavailable
from app.view.services import Services
from app.web.problems import Refused, on_http_exception, on_invalid, on_refused
from app.web.strict import StrictRequest
from models.codes import Colour, HealthCode, Reason, judge
from models.events import DocumentType
from support.asgi import transport_to
from support.credentials import Phone
from support.views import (
    CREDENTIAL_KEY,
    Model,
    health_code,
    now,
    options_over,
    reason,
    resident,
    someone,
    waiting,
)

KEYS = IssuerKeys(CREDENTIAL_KEY)
ORIGIN = "http://127.0.0.1:8080"
PHONE = Phone(7)


class Clock:
    """Now, and by how much the view is ahead."""

    ahead = timedelta()

    def __call__(self) -> datetime:
        return now() + self.ahead

    def wait(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """The database of credentials."""
    async with Redis.from_url(Settings(redis_url=redis_url).credentials_redis_url) as redis:
        yield redis


@pytest.fixture
async def codes(redis_url: str) -> AsyncIterator[Redis]:
    """The database of codes."""
    async with Redis.from_url(redis_url) as codes:
        yield codes


@pytest.fixture
async def model(redis: Redis, codes: Redis) -> Model:
    model = Model(codes, credentials=redis)
    await model.begin()
    await model.put()
    return model


@asynccontextmanager
async def asking(redis_url: str, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the view's own services, in this loop."""
    view = Services(options_over(redis_url, clock))
    app = Litestar(
        [
            *status_routes(view.statuses, view.credential_keys),
            view.login.guard.protect(*credential_routes(view.issuer)),
        ],
        exception_handlers={
            Refused: on_refused,
            Unavailable: on_unavailable,
            ValidationException: on_invalid,
            HTTPException: on_http_exception,
        },
        request_class=StrictRequest,
    )
    async with (
        view.running(app),
        httpx.AsyncClient(transport=transport_to(app), base_url=ORIGIN) as client,
    ):
        yield client


@pytest.fixture
async def client(redis_url: str, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(redis_url, clock) as client:
        yield client


def red(person: str, version: int = 2) -> HealthCode:
    return health_code(person, reason(conditions=(waiting(),)), version=version)


async def ask(client: httpx.AsyncClient, person: str, key: Any = None) -> httpx.Response:
    """Ask for a credential, each time with a session of its own."""
    headers = {**resident(person), "origin": ORIGIN}
    return await client.post("/v1/me/credential", json={"key": key or PHONE.jwk}, headers=headers)


async def issued(client: httpx.AsyncClient, person: str) -> Claims:
    answer = await ask(client, person)
    assert answer.status_code == 200, answer.text
    text = answer.json()["credential"]
    return read_claims(KEYS.verified(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))


async def listed(client: httpx.AsyncClient, chunk: str) -> dict[Any, Any]:
    """The claims of a list, verified by another library."""
    answer = await client.get(f"/v1/s/{chunk}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/statuslist+cwt"
    found = (await client.get("/v1/credential-keys")).json()["keys"][0]
    x, kid = (base64.urlsafe_b64decode(found[name] + "=") for name in ("x", "kid"))
    key = COSEKey.new({1: 1, -1: 6, -2: x, 2: kid, 3: -8})
    claims: dict[Any, Any] = unpack(COSE.new().decode(answer.content, key))
    return claims


async def is_off(client: httpx.AsyncClient, clock: Clock, place: Place) -> bool:
    """Say what a list says that is signed now."""
    clock.wait(SIGN_SECONDS)
    bits = zlib.decompress((await listed(client, place.chunk))[65533]["lst"])
    assert len(bits) == CHUNK_BITS // 8
    return bool(bits[place.index // 8] >> place.index % 8 & 1)


# Issuing


@pytest.mark.parametrize("colour", [Colour.GREEN, Colour.RED])
async def test_it_tells_the_code_to_whoever_has_the_phone(
    model: Model, client: httpx.AsyncClient, colour: Colour
) -> None:
    person = someone()
    await model.put(red(person) if colour is Colour.RED else health_code(person))
    claims = await issued(client, person)
    assert (claims.colour, claims.name, claims.ending) == (colour, "样*甲", "1234")
    assert (claims.x, claims.y_odd) == PHONE.key.point()
    assert abs(claims.until - (now() + LIFE)) < timedelta(seconds=10)


async def test_it_ends_when_the_code_changes_by_itself(
    model: Model, client: httpx.AsyncClient
) -> None:
    person, end = someone(), now() + timedelta(hours=3)
    await model.put(health_code(person, reason(end=end)))
    claims = await issued(client, person)
    assert claims.colour is Colour.RED
    assert abs(claims.until - end) <= timedelta(seconds=1)
    assert claims.until <= end


async def test_without_a_code_there_is_none(model: Model, client: httpx.AsyncClient) -> None:
    for person in (someone(), someone()):
        await model.put(health_code(person, verified=False))
        answer = await ask(client, person)
        assert (answer.status_code, answer.json()["code"]) == (404, "no-code")


async def test_a_stale_code_is_not_signed(model: Model, client: httpx.AsyncClient) -> None:
    person = someone()
    await model.put(health_code(person), as_of=now() - timedelta(seconds=30))
    answer = await ask(client, person)
    assert (answer.status_code, answer.json()["code"]) == (503, "code-unavailable")


async def test_a_code_that_may_lack_something_is_not_signed(
    model: Model, client: httpx.AsyncClient
) -> None:
    """It grows old while that is held, and no list would say it."""
    code = replace(health_code(person := someone()), complete_until=now())
    await model.put(code)
    answer = await ask(client, person)
    assert (answer.status_code, answer.json()["code"]) == (503, "code-unavailable")


async def test_a_session_has_one_in_five_seconds(
    model: Model, client: httpx.AsyncClient, redis: Redis
) -> None:
    person = someone()
    await model.put(health_code(person))
    headers = {**resident(person), "origin": ORIGIN}
    body = {"key": PHONE.jwk}
    answers = [await client.post("/v1/me/credential", json=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].headers["retry-after"] == str(ASK_SECONDS)
    keys: Any = await redis.keys("yk:asked:*")
    assert [await redis.ttl(key) for key in keys] == [ASK_SECONDS]


@pytest.mark.parametrize("change", [{"x": "A" * 43}, {"kty": "OKP"}, {"d": "A" * 43}, {"y": "A"}])
async def test_what_is_no_key_is_refused(
    model: Model, client: httpx.AsyncClient, change: dict[str, str]
) -> None:
    person = someone()
    await model.put(health_code(person))
    answer = await ask(client, person, {**PHONE.jwk, **change})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


async def test_another_site_gets_none(client: httpx.AsyncClient) -> None:
    headers = {**resident(someone()), "origin": "https://elsewhere.test"}
    answer = await client.post("/v1/me/credential", json={"key": PHONE.jwk}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross-site")


# Turning off


async def test_a_red_turns_it_off_and_no_other(
    model: Model, client: httpx.AsyncClient, clock: Clock
) -> None:
    people = [someone() for _ in range(5)]
    await model.put(*(health_code(person) for person in people))
    places = [(await issued(client, person)).place for person in people]
    assert [await is_off(client, clock, place) for place in places] == [False] * 5
    await model.put(red(people[2]))
    found = [await is_off(client, clock, place) for place in places]
    assert found == [False, False, True, False, False]


async def test_a_green_turns_off_what_says_red_and_a_deletion_all(
    model: Model, client: httpx.AsyncClient, clock: Clock
) -> None:
    first, second = someone(), someone()
    await model.put(red(first), health_code(second))
    places = [(await issued(client, person)).place for person in (first, second)]
    await model.put(health_code(first, version=3), second)
    assert [await is_off(client, clock, place) for place in places] == [True, True]


async def test_another_reason_turns_it_off_too(
    model: Model, client: httpx.AsyncClient, clock: Clock
) -> None:
    """A page that shows the reasons goes by the list alone."""
    person = someone()
    await model.put(red(person, 2))
    place = (await issued(client, person)).place
    more = reason(Reason.HOME_QUARANTINE, conditions=(waiting(),))
    await model.put(health_code(person, more, version=3))
    assert await is_off(client, clock, place)


async def test_an_older_code_that_comes_late_turns_nothing_off(
    model: Model, client: httpx.AsyncClient, clock: Clock
) -> None:
    person = someone()
    await model.put(red(person, 3))
    answer = await ask(client, person)
    assert (answer.json()["colour"], answer.json()["version"]) == ("red", 3)
    place = (await issued(client, person)).place
    for version in (2, 3):
        await model.turn_off(health_code(person, version=version))
    assert not await is_off(client, clock, place)


async def test_what_a_session_took_ends_with_it_and_no_other(
    model: Model, redis: Redis, client: httpx.AsyncClient, clock: Clock
) -> None:
    person = someone()
    await model.put(health_code(person))
    holdings, at = Holdings(redis), now()
    places = [
        (await holdings.hold(person, asker, bytes([n]), at, at + LIFE, ASK_SECONDS)).place
        for n, asker in enumerate(("one", "other"))
    ]
    await holdings.end(person, "one")
    assert [await is_off(client, clock, place) for place in places] == [True, False]
    assert [await holdings.holder(place) for place in places] == [None, person]


async def test_who_was_let_in_a_moment_before_a_logout_takes_no_place_after_it(
    model: Model, redis: Redis
) -> None:
    person = someone()
    await model.put(health_code(person))
    holdings, at = Holdings(redis), now()
    await holdings.end(person, "one")
    with pytest.raises(TooOften):
        await holdings.hold(person, "one", b"x", at, at + LIFE, ASK_SECONDS)
    assert await holdings.hold(person, "other", b"x", at, at + LIFE, ASK_SECONDS)
    assert SILENT_SECONDS_MAX <= await redis.ttl("yk:asked:one") <= ENDED_SECONDS
    await asyncio.sleep(ENDED_SECONDS)
    assert await holdings.hold(person, "one", b"x", at, at + LIFE, ASK_SECONDS), "logged in again"


async def test_a_logout_turns_off_what_the_session_took(
    model: Model, redis_url: str, clock: Clock
) -> None:
    view = Services(options_over(redis_url, clock))
    async with view.running(Litestar([])):
        session = view.login.sessions.begin(
            someone(), "样*甲", None, DocumentType.RESIDENT_IDENTITY_CARD, "1234"
        )
        await model.put(health_code(session.person))
        asker = asker_of(session.id)
        made = await view.issuer.issue(asker, session.person, "样*甲", "1234", PHONE.key)
        place = read_claims(KEYS.verified(made.credential)).place

        async def is_on() -> bool:
            found = await view.holdings.bits(place.chunk)
            assert found is not None
            return not found.bits[place.index // 8] >> place.index % 8 & 1

        assert await is_on()
        await view.login.ended.end(session)
        assert not await is_on()


async def test_a_red_after_one_that_time_ended_turns_off_the_green_between_them(
    model: Model, client: httpx.AsyncClient, clock: Clock
) -> None:
    """Nobody wrote that the first red ended: the head goes from red to red."""
    person, end = someone(), now() + timedelta(seconds=5)
    await model.put(health_code(person, reason(end=end), version=2))
    clock.wait(6)
    await model.put(someone(), as_of=clock())
    claims = await issued(client, person)
    assert claims.colour is Colour.GREEN
    await model.put(red(person, 3), as_of=clock())
    assert await is_off(client, clock, claims.place)


async def test_each_phone_of_a_person_is_turned_off(
    model: Model, client: httpx.AsyncClient, clock: Clock
) -> None:
    person = someone()
    await model.put(health_code(person))
    places = [(await issued(client, person)).place for _ in range(HELD_MAX)]
    await model.put(red(person))
    assert all([await is_off(client, clock, place) for place in places])


async def test_the_ninth_of_a_person_turns_off_the_oldest(
    model: Model, client: httpx.AsyncClient, clock: Clock
) -> None:
    person = someone()
    await model.put(health_code(person))
    places = []
    for _ in range(HELD_MAX + 1):
        await model.put(health_code(person), as_of=clock())
        places.append((await issued(client, person)).place)
        clock.wait(1)
    found = [await is_off(client, clock, place) for place in places]
    assert found == [True, *[False] * HELD_MAX]


async def test_a_phone_that_is_online_does_not_turn_off_another_that_is_not(
    model: Model, redis: Redis, client: httpx.AsyncClient, clock: Clock
) -> None:
    await model.put(health_code(person := someone()))
    holdings, at = Holdings(redis), now()
    places = [
        await holdings.hold(
            person, f"a{n}", phone, at + timedelta(seconds=n), at + LIFE + timedelta(seconds=n), 1
        )
        for n, phone in enumerate([b"old", *[b"new"] * (HELD_MAX + 3)])
    ]
    found = [await is_off(client, clock, held.place) for held in places]
    assert found == [False, *[True] * 4, *[False] * (HELD_MAX - 1)]


async def test_a_change_between_holding_and_signing_turns_off_what_is_signed(
    model: Model, redis: Redis, codes: Redis, clock: Clock, client: httpx.AsyncClient
) -> None:
    """The place is held; the code is read; it changes; then it is signed."""
    person = someone()
    await model.put(health_code(person))
    reads = 0

    async def read_and_change(of: str) -> CodeRead:
        nonlocal reads
        found = await Codes(codes, now).read(of)
        assert found.code is not None
        reads += 1
        if reads == 2:  # the first is before the place is held
            await model.put(red(of))
        offsets = tuple(position.offset for position in found.positions)
        return CodeRead(found.code.version, judge(found.code, found.at), offsets)

    issuer = Issuer(Holdings(redis), KEYS, read_and_change, now)
    made = await issuer.issue("asker", person, "样*甲", "1234", PHONE.key)
    claims = read_claims(KEYS.verified(made.credential))
    assert claims.colour is Colour.GREEN
    assert await is_off(client, clock, claims.place)


async def test_a_code_that_is_behind_what_turns_off_is_waited_for(
    model: Model, client: httpx.AsyncClient
) -> None:
    """The red was passed before the place was held, so nobody would turn off a green."""
    person = someone()
    await model.put(health_code(person))
    await model.turn_off(red(person))
    answer = await ask(client, person)
    assert (answer.status_code, answer.json()["code"]) == (503, "credentials-away")
    asked, _ = await asyncio.gather(issued(client, person), model.put(red(person)))
    assert asked.colour is Colour.RED


async def test_many_changes_at_once_never_leave_a_wrong_one_on(
    model: Model, client: httpx.AsyncClient, clock: Clock
) -> None:
    person, version = someone(), 1
    await model.put(health_code(person))
    for _ in range(20):
        version += 1
        code = red(person, version) if version % 2 == 0 else health_code(person, version=version)
        claims, _ = await asyncio.gather(issued(client, person), model.put(code))
        now_red = version % 2 == 0
        if (claims.colour is Colour.RED) != now_red:
            assert await is_off(client, clock, claims.place)


# The lists


def slot_of(instant: datetime) -> int:
    """The last multiple of `SIGN_SECONDS`, in s since 1970."""
    return int(instant.timestamp()) // SIGN_SECONDS * SIGN_SECONDS


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


async def test_a_list_says_how_old_its_data_are_and_anybody_may_keep_it(
    model: Model, client: httpx.AsyncClient
) -> None:
    person, as_of = someone(), now() - timedelta(seconds=2)
    await model.put(health_code(person), as_of=as_of)
    place = (await issued(client, person)).place
    claims = await listed(client, place.chunk)
    assert claims.keys() == {2, 4, 6, 65533, 65534}
    assert claims[2] == f"s/{place.chunk}"
    assert claims[6] == slot_of(as_of) <= as_of.timestamp()
    assert claims[4] == claims[6] + LIST_SECONDS_MAX
    assert (claims[65534], claims[65533]["bits"]) == (SIGN_SECONDS, 1)
    answer = await client.get(f"/v1/s/{place.chunk}")
    assert answer.headers["cache-control"] == f"public, max-age={CACHE_SECONDS}"
    assert answer.headers["x-as-of"] == str(int(as_of.timestamp() * 1_000))
    assert answer.headers["access-control-allow-origin"] == "*"
    for known in (answer.headers["etag"], f'"another", W/{answer.headers["etag"]}'):
        same = await client.get(f"/v1/s/{place.chunk}", headers={"if-none-match": known})
        assert (same.status_code, same.content) == (304, b"")
        assert same.headers["x-as-of"] == answer.headers["x-as-of"]
    all_of_them = (await client.get("/v1/s")).json()
    assert all_of_them["status_lists"] == [f"s/{place.chunk}"]


async def test_a_list_stays_the_same_while_nothing_changes_in_it_and_its_data_grow_no_older(
    model: Model, client: httpx.AsyncClient, clock: Clock
) -> None:
    person, slot = someone(), slot_of(now()) + SIGN_SECONDS  # no code is old by then
    await model.put(health_code(person), as_of=at(slot + 1))
    chunk = (await issued(client, person)).place.chunk
    first = await client.get(f"/v1/s/{chunk}")
    await model.put(as_of=at(slot + 10))
    clock.wait(READ_SECONDS)
    same = await client.get(f"/v1/s/{chunk}")
    assert (same.content, same.headers["etag"]) == (first.content, first.headers["etag"])
    assert same.headers["x-as-of"] == str(1_000 * (slot + 10))
    await model.put(as_of=at(slot + SIGN_SECONDS))
    clock.wait(READ_SECONDS)
    signed_again = await client.get(f"/v1/s/{chunk}")
    assert signed_again.headers["etag"] != first.headers["etag"]
    assert (await listed(client, chunk))[6] == slot + SIGN_SECONDS


async def test_every_view_gives_out_the_same_list(
    model: Model, redis_url: str, clock: Clock
) -> None:
    """So whoever has it from one is told by the next that it is the same."""
    person, slot = someone(), slot_of(now()) + SIGN_SECONDS  # no code is old by then
    await model.put(health_code(person), as_of=at(slot + 2))
    async with asking(redis_url, clock) as one:
        path = f"/v1/s/{(await issued(one, person)).place.chunk}"
        known = (await one.get(path)).headers["etag"]
    await model.put(as_of=at(slot + 9))
    clock.wait(3)
    async with asking(redis_url, clock) as another:
        assert (await another.get(path, headers={"if-none-match": known})).status_code == 304


async def test_a_change_is_in_the_list_as_soon_as_it_is_read_again(
    model: Model, client: httpx.AsyncClient, clock: Clock
) -> None:
    person = someone()
    await model.put(health_code(person))
    chunk = (await issued(client, person)).place.chunk
    first = await client.get(f"/v1/s/{chunk}")
    await model.put(red(person))
    clock.wait(READ_SECONDS)
    assert (await client.get(f"/v1/s/{chunk}")).headers["etag"] != first.headers["etag"]


async def test_a_hundred_who_ask_for_a_list_at_once_bring_about_one_question_and_one_signature(
    model: Model, client: httpx.AsyncClient, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, asked = someone(), Counter[str]()
    await model.put(health_code(person))
    chunk = (await issued(client, person)).place.chunk
    read, sign = Holdings.bits, IssuerKeys.sign

    async def counted(holdings: Holdings, of: str) -> Any:
        asked["Redis"] += 1
        return await read(holdings, of)

    def signed(keys: IssuerKeys, *what: Any) -> bytes:
        asked["key"] += 1
        return sign(keys, *what)

    monkeypatch.setattr(Holdings, "bits", counted)
    monkeypatch.setattr(IssuerKeys, "sign", signed)
    await model.put(as_of=now() + timedelta(seconds=SIGN_SECONDS))
    clock.wait(SIGN_SECONDS)
    answers = await asyncio.gather(*(client.get(f"/v1/s/{chunk}") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert asked == {"Redis": 1, "key": 1}
    monkeypatch.setattr(Holdings, "bits", read)
    clock.wait(READ_SECONDS)
    assert (await client.get(f"/v1/s/{chunk}")).status_code == 200, "and the next is asked again"


async def test_no_list_is_signed_by_data_that_no_terminal_would_believe(
    model: Model, client: httpx.AsyncClient, clock: Clock
) -> None:
    person = someone()
    await model.put(health_code(person))
    chunk = (await issued(client, person)).place.chunk
    clock.wait(LIST_SECONDS_MAX + 1)
    answer = await client.get(f"/v1/s/{chunk}")
    assert (answer.status_code, answer.json()["code"]) == (503, "credentials-away")


async def test_an_unknown_list_is_not_found(model: Model, client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/s/012345")).status_code == 404
    assert (await client.get("/v1/s/XYZ")).status_code == 422


async def test_a_model_built_again_knows_no_credential_of_before(
    model: Model, client: httpx.AsyncClient, clock: Clock, redis: Redis
) -> None:
    person = someone()
    await model.put(health_code(person))
    old = (await issued(client, person)).place
    await model.begin()
    clock.wait(SIGN_SECONDS)
    assert (await client.get(f"/v1/s/{old.chunk}")).status_code == 404
    assert (await client.get("/v1/s")).json()["status_lists"] == []
    await model.put(health_code(person), as_of=clock())
    new = (await issued(client, person)).place
    assert new.chunk != old.chunk
    await model.put(red(person))
    assert await is_off(client, clock, new)
    assert await redis.exists(f"yk:chunk:{old.chunk}") == 0


async def test_without_redis_it_says_so(clock: Clock) -> None:
    async with asking("redis://127.0.0.1:1/0", clock) as client:
        for address in ("/v1/s", "/v1/s/012345"):
            answer = await client.get(address)
            assert (answer.status_code, answer.json()["code"]) == (503, "credentials-away")


# Places


async def test_places_of_one_person_have_nothing_in_common(model: Model, redis: Redis) -> None:
    holdings = Holdings(redis)
    held = [
        await holdings.hold("p1-a", f"asker-{n}", bytes([n]), now(), now() + LIFE, ASK_SECONDS)
        for n in range(200)
    ]
    places = [one.place for one in held]
    assert len(set(places)) == 200
    steps = [b.index - a.index for a, b in pairwise(places)]
    assert sum(step > 0 for step in steps) in range(60, 140)
    assert min(place.index for place in places) < CHUNK_BITS // 8
    assert max(place.index for place in places) > CHUNK_BITS * 7 // 8
    people = [await holdings.holder(place) for place in places]
    assert people[-HELD_MAX:] == ["p1-a"] * HELD_MAX
    assert people[:-HELD_MAX] == [None] * (200 - HELD_MAX)  # those were turned off


async def test_half_of_a_chunk_is_taken_and_then_the_next_begins(
    model: Model, redis: Redis
) -> None:
    holdings = Holdings(redis)
    first = await holdings.hold("p1-a", "a", b"x", now(), now() + LIFE, ASK_SECONDS)
    await redis.set(f"yk:taken:{first.place.chunk}", CHUNK_BITS // 2)
    second = await holdings.hold("p1-a", "b", b"x", now(), now() + LIFE, ASK_SECONDS)
    assert second.place.chunk != first.place.chunk
    assert sorted(await holdings.chunks(now())) == sorted([first.place.chunk, second.place.chunk])


async def test_a_place_counts_once_however_it_was_turned_off(
    model: Model, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a change of the code, by the ninth of its person, or not at all."""
    monkeypatch.setattr("app.projection.holdings.CHUNK_BITS", 256)
    holdings, person, chunks = Holdings(redis), someone(), Counter[str]()

    async def take(person: str, count: int) -> None:
        for _ in range(count):
            asker = secrets.token_hex(4)
            at = now()
            held = await holdings.hold(person, asker, b"x", at, at + LIFE, ASK_SECONDS)
            chunks[held.place.chunk] += 1

    for version in range(1, 17, 2):
        await model.put(health_code(person, version=version))
        await take(person, HELD_MAX)
        await model.put(red(person, version + 1))
    await take("p1-a", 63)
    assert list(chunks.values()) == [127], "half of it but one"
    await take("p1-a", 2)
    assert sorted(chunks.values()) == [1, 128]


async def test_a_name_for_a_chunk_is_looked_for_with_an_end(
    model: Model, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.projection.holdings.secrets.token_hex", lambda _: "abcdef")
    await redis.setbit("yk:chunk:abcdef", 0, 0)
    with pytest.raises(RuntimeError, match="4 random names for a chunk of places are all taken"):
        await Holdings(redis).hold("p1-a", "a", b"x", now(), now() + LIFE, ASK_SECONDS)


async def test_an_answer_that_nobody_knows_is_not_asked_for_again(redis: Redis) -> None:
    holdings = Holdings(redis)
    holdings._hold = redis.register_script("return 'tomorrow'")
    with pytest.raises(RuntimeError, match="answers b'tomorrow', which is no answer of it"):
        await holdings.hold("p1-a", "a", b"x", now(), now() + LIFE, ASK_SECONDS)


async def test_everything_of_it_goes_by_itself(model: Model, redis: Redis) -> None:
    holdings = Holdings(redis)
    await holdings.hold("p1-a", "a", b"x", now(), now() + LIFE, ASK_SECONDS)
    keys: Any = await redis.keys("*")
    left = {key.decode(): await redis.ttl(key) for key in keys}
    del left["yk:state"]
    asked = left.pop("yk:asked:a")
    assert 0 < asked <= ASK_SECONDS
    latest = LIFE.total_seconds() + CHUNK_SLACK_SECONDS
    assert all(latest - 60 < seconds <= latest for seconds in left.values()), left
