"""Travel cards on a real Redis: codes, limits, who can lock out whom, and what is left behind."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from httpx import AsyncClient
from limits import RateLimitItemPerHour, RateLimitItemPerMinute, RateLimitItemPerSecond
from litestar import Litestar
from litestar.di import Provide
from prometheus_client import generate_latest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from app.login.sessions import Session, Sessions
from app.process.logs import configure
from app.process.ports import free_port
from app.process.settings import Settings
from app.topics.catalogue import PORTAL
from app.travel import limits as limits_module
from app.travel.assembly import travel_cards
from app.travel.bounds import CODE_KEPT_SECONDS, CODE_SECONDS, TRIES_MAX, Bounds
from app.travel.cards import TravelCards
from app.travel.phone_keys import PhoneKeys
from app.travel.routes import travel_routes
from app.view.information import Information
from app.view.reading import Unavailable
from app.web.addresses import network_of
from app.web.problems import KINDS, Refused, on_refused
from models.events import (
    DocumentType,
    ListedEvent,
    ListName,
    RetractionData,
    RetractionReason,
    TelecomVisitData,
    TelecomVisitReported,
    TelecomVisitRetracted,
    Visit,
)
from models.lists import EMPTY, add
from models.phones import Phone
from models.policy import ZONE
from support.asgi import transport_to
from support.brokers import Kafka
from support.builders import make
from support.gateways import PHONE_KEY, TELECOM, running_gateway
from support.rows import put_rows
from support.tokens import OTHER_TOKENS, PORTAL_TOKEN, TOKENS
from support.travels import AT, KEY, OTHER_PHONE, PHONE, WIDE, Carrier, Gateway, Stage, another
from support.views import someone

GUANGZHOU, SHENZHEN = "440100", "440300"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(f"{redis_url.rpartition('/')[0]}/2")
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
def stage(redis: Redis) -> Stage:
    return Stage(redis)


# A code and its card


async def test_a_code_gives_the_card_of_its_phone(stage: Stage) -> None:
    stage.was_in(PHONE, GUANGZHOU, SHENZHEN)
    asker = someone()
    sent = await stage.cards.send_code(asker, "203.0.113.1", f"+86 {PHONE}")
    assert sent.phone == "138****8000"
    assert (sent.good_until, sent.good_for_s, sent.tries) == (AT + timedelta(minutes=5), 300, 5)
    assert stage.carrier.sent[0][0] == PHONE
    card = await stage.cards.card(asker, PHONE, stage.carrier.code, AT)
    assert (card.phone, card.updated_at) == ("138****8000", AT)
    assert card.as_of == AT - timedelta(seconds=1)
    assert str(card.since) == "2021-05-27"
    assert [(c.division, c.visit, c.high_risk) for c in card.cities] == [
        (GUANGZHOU, Visit.REACHED, True),
        (SHENZHEN, Visit.REACHED, False),
    ]


async def test_a_phone_that_was_nowhere_has_a_card_without_cities(stage: Stage) -> None:
    asker = someone()
    card = await stage.cards.card(asker, PHONE, await stage.send(asker), AT)
    assert card.cities == ()


async def test_where_telecoms_said_more_than_is_kept_the_card_says_since_when_it_knows(
    stage: Stage,
) -> None:
    stage.was_in(PHONE, GUANGZHOU)
    stage.more = True
    asker = someone()
    card = await stage.cards.card(asker, PHONE, await stage.send(asker), AT)
    oldest = min(visit.seen_at for visits in stage.rows.values() for visit in visits)
    assert (card.more, card.since) == (True, oldest.astimezone(ZONE).date())


async def test_a_code_may_be_typed_in_groups(stage: Stage) -> None:
    asker = someone()
    code = await stage.send(asker)
    assert await stage.why_no_card(asker, f" {code[:3]} {code[3:]} ") == "shown"


async def test_codes_are_six_digits_and_differ(stage: Stage) -> None:
    codes = [await stage.send() for _ in range(60)]
    assert all(len(code) == 6 for code in codes)
    assert len(set(codes)) > 50


# What is wrong with a code: one answer each


async def test_five_tries_and_no_sixth(stage: Stage) -> None:
    asker = someone()
    code = await stage.send(asker)
    said = [await stage.why_no_card(asker, another(code)) for _ in range(TRIES_MAX)]
    assert said == ["code-wrong"] * 4 + ["code-spent"]
    assert await stage.why_no_card(asker, code) == "code-spent", "not even the right one"


async def test_the_right_code_at_the_last_try(stage: Stage) -> None:
    asker = someone()
    code = await stage.send(asker)
    for _ in range(TRIES_MAX - 1):
        await stage.why_no_card(asker, another(code))
    assert await stage.why_no_card(asker, code) == "shown"


async def test_a_code_gives_one_card(stage: Stage) -> None:
    asker = someone()
    code = await stage.send(asker)
    assert await stage.why_no_card(asker, code) == "shown"
    assert await stage.why_no_card(asker, code) == "code-used"
    assert await stage.why_no_card(asker, another(code)) == "code-used"


async def test_a_code_is_good_for_five_minutes(stage: Stage) -> None:
    early, late = someone(), someone()
    early_code, late_code = await stage.send(early), await stage.send(late)
    stage.wait(seconds=CODE_SECONDS - 0.001)
    assert await stage.why_no_card(early, early_code) == "shown"
    stage.wait(seconds=0.001)
    assert await stage.why_no_card(late, late_code) == "code-expired"
    assert await stage.why_no_card(late, another(late_code)) == "code-expired"


async def test_a_code_is_of_who_asked_and_of_the_phone_it_went_to(stage: Stage) -> None:
    asker = someone()
    code = await stage.send(asker)
    assert await stage.why_no_card(someone(), code) == "no-code-sent"
    assert await stage.why_no_card(asker, code, OTHER_PHONE) == "no-code-sent"
    assert await stage.why_no_card(asker, code) == "shown"


async def test_a_new_code_replaces_the_one_before_and_its_tries(stage: Stage) -> None:
    asker = someone()
    first = await stage.send(asker)
    for _ in range(TRIES_MAX):
        await stage.why_no_card(asker, another(first))
    second = await stage.send(asker)
    if first != second:
        assert await stage.why_no_card(asker, first) == "code-wrong"
    assert await stage.why_no_card(asker, second) == "shown"


@pytest.mark.parametrize("code", ["", "12345", "1234567", "12345a", "１２３４５６", "1" * 10_000])
async def test_what_is_no_code_costs_no_try(stage: Stage, code: str) -> None:
    asker = someone()
    right = await stage.send(asker)
    for _ in range(TRIES_MAX + 1):
        assert await stage.why_no_card(asker, code) == "invalid"
    assert await stage.why_no_card(asker, right) == "shown"


@pytest.mark.parametrize("phone", ["", "12345", "10086", "+85291234567", "9" * 10_000])
async def test_what_is_no_phone_is_sent_nothing(stage: Stage, phone: str) -> None:
    assert await stage.why_not_sent(phone=phone) == "phone"
    assert await stage.why_no_card(someone(), "123456", phone) == "phone"
    assert stage.carrier.sent == []


async def test_each_refusal_says_what_to_do(stage: Stage) -> None:
    asker = someone()
    code = await stage.send(asker)
    said = set()

    async def refused(code: str, who: str = asker) -> None:
        with pytest.raises(Refused) as caught:
            await stage.cards.card(who, PHONE, code, stage.at)
        assert caught.value.code in KINDS
        assert code not in caught.value.detail
        said.add(caught.value.detail)

    await refused(code, someone())
    await refused(another(code))
    await refused("1")
    assert await stage.why_no_card(asker, code) == "shown"
    await refused(code)
    expired = await stage.send(asker)
    stage.wait(minutes=5)
    await refused(expired)
    spent = await stage.send(asker)
    for _ in range(TRIES_MAX - 1):
        await stage.why_no_card(asker, another(spent))
    await refused(another(spent))
    assert len(said) == 6
    assert all("sk for" in text or "Compare" in text or "digits" in text for text in said)


# At the same time


async def test_of_tries_at_the_same_time_one_uses_the_code(stage: Stage) -> None:
    asker = someone()
    code = await stage.send(asker)
    said = Counter(await asyncio.gather(*(stage.why_no_card(asker, code) for _ in range(50))))
    assert said == {"shown": 1, "code-used": 49}


async def test_of_wrong_tries_at_the_same_time_none_is_a_sixth(stage: Stage, redis: Redis) -> None:
    asker = someone()
    code = await stage.send(asker)
    wrong = [f"{(int(code) + n) % 1_000_000:06d}" for n in range(1, 61)]
    # Another process, too: its script is the same, its connections are not.
    others = Stage(redis)
    tries = [
        (stage if n % 2 else others).why_no_card(asker, guess) for n, guess in enumerate(wrong)
    ]
    said = Counter(await asyncio.gather(*tries))
    assert said == {"code-wrong": TRIES_MAX - 1, "code-spent": 60 - TRIES_MAX + 1}
    assert await stage.why_no_card(asker, code) == "code-spent"


async def test_the_right_code_among_wrong_ones_at_once_is_used_or_too_late(stage: Stage) -> None:
    for _ in range(20):
        asker = someone()
        code = await stage.send(asker)
        guesses = [another(code)] * 8
        guesses.insert(4, code)
        said = Counter(
            await asyncio.gather(*(stage.why_no_card(asker, guess) for guess in guesses))
        )
        assert said["shown"] <= 1
        assert said["code-wrong"] <= TRIES_MAX - 1
        assert await stage.why_no_card(asker, code) in ("code-used", "code-spent")


async def test_who_taps_twice_is_sent_one_message(redis: Redis) -> None:
    stage = Stage(redis, Bounds(sends=(RateLimitItemPerMinute(1),), address_sends=(), asks=()))
    stage.carrier.seconds = 0.05
    asker = someone()
    said = Counter(await asyncio.gather(*(stage.why_not_sent(asker) for _ in range(20))))
    assert said == {"sent": 1, "asked-too-often": 19}
    assert len(stage.carrier.sent) == 1


async def test_who_goes_away_while_it_is_sent_has_been_sent_it(redis: Redis) -> None:
    """Else a message could be had for nothing, as often as one likes."""
    stage = Stage(redis, Bounds(sends=(RateLimitItemPerMinute(1),), address_sends=(), asks=()))
    stage.carrier.seconds = 0.1
    asker = someone()
    gone = asyncio.create_task(stage.cards.send_code(asker, "203.0.113.1", PHONE))
    await asyncio.sleep(0.05)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await stage.cards.close()
    assert len(stage.carrier.sent) == 1
    assert await stage.why_not_sent(asker) == "asked-too-often"
    assert await stage.why_no_card(asker, stage.carrier.code) == "shown"


# Limits, and who can lock out whom


async def test_the_limits_as_they_are_set(redis: Redis) -> None:
    """One message a minute, five an hour, ten a day, to whatever phones."""
    stage = Stage(redis, Bounds())
    asker = someone()
    assert await stage.why_not_sent(asker) == "sent"
    with pytest.raises(Refused) as caught:
        await stage.send(asker, OTHER_PHONE)
    problem = caught.value.problem()
    assert (problem.status, problem.code) == (429, "asked-too-often")
    assert 1 <= int(caught.value.headers["Retry-After"]) <= 60
    assert "1 minute" in problem.detail


async def test_a_message_is_counted_in_each_window(redis: Redis) -> None:
    bounds = Bounds(
        sends=(RateLimitItemPerSecond(1), RateLimitItemPerHour(2)), address_sends=(), asks=()
    )
    stage = Stage(redis, bounds)
    asker = someone()
    assert await stage.why_not_sent(asker) == "sent"
    assert await stage.why_not_sent(asker) == "asked-too-often"
    await asyncio.sleep(1.1)
    assert await stage.why_not_sent(asker) == "sent"
    await asyncio.sleep(1.1)
    with pytest.raises(Refused) as caught:
        await stage.send(asker)
    assert 3_500 < int(caught.value.headers["Retry-After"]) <= 3_600


async def test_nobody_locks_out_another_from_a_phone(redis: Redis) -> None:
    """However often strangers ask for my phone, whatever they try: I get my code and my card."""
    stage = Stage(redis, Bounds(address_sends=(RateLimitItemPerHour(1_000),)))
    mine = someone()
    code = await stage.send(mine, address="198.51.100.7")
    strangers = [someone() for _ in range(20)]
    for stranger in strangers:
        await stage.why_not_sent(stranger, address="203.0.113.9")
        for _ in range(TRIES_MAX + 2):
            await stage.why_no_card(stranger, another(code))
            await stage.why_no_card(stranger, code)
    assert await stage.why_no_card(mine, code) == "shown"
    owner = someone()
    again = await stage.send(owner, address="198.51.100.7")
    assert await stage.why_no_card(owner, again) == "shown"


async def test_one_asker_cannot_use_up_an_address(redis: Redis) -> None:
    """A campus, a carrier's NAT: what one asker is refused is not charged to all."""
    bounds = Bounds(
        sends=(RateLimitItemPerHour(2),), address_sends=(RateLimitItemPerHour(4),), asks=()
    )
    stage = Stage(redis, bounds)
    greedy = someone()
    said = Counter([await stage.why_not_sent(greedy) for _ in range(50)])
    assert said == {"sent": 2, "asked-too-often": 48}
    assert await stage.why_not_sent(someone()) == "sent"
    assert await stage.why_not_sent(someone()) == "sent"
    with pytest.raises(Refused) as caught:
        await stage.send(someone())
    assert "From this address" in caught.value.detail
    assert await stage.why_not_sent(someone(), address="203.0.113.2") == "sent"


async def test_a_flood_to_one_phone_is_as_many_people_times_their_bound(redis: Redis) -> None:
    bounds = Bounds(sends=(RateLimitItemPerHour(3),), address_sends=(), asks=())
    stage = Stage(redis, bounds)
    people = [someone() for _ in range(4)]
    for number in range(40):
        await stage.why_not_sent(people[number % 4], address=f"203.0.113.{number}")
    assert len(stage.carrier.sent) == 4 * 3


async def test_requests_are_bounded_as_well(redis: Redis) -> None:
    """Of one asker, failed ones too: the gateway's keys are not to be used up by one."""
    bounds = Bounds(sends=(), address_sends=(), asks=(RateLimitItemPerMinute(6, 10),))
    stage = Stage(redis, bounds)
    asker = someone()
    code = await stage.send(asker)
    said = [await stage.why_no_card(asker, another(code)) for _ in range(7)]
    assert said == ["code-wrong"] * 4 + ["code-spent"] + ["asked-too-often"] * 2
    assert await stage.why_not_sent(asker) == "asked-too-often"
    assert await stage.why_not_sent(someone()) == "sent"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.1", "203.0.113.2", False),
        ("::ffff:203.0.113.1", "203.0.113.1", True),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "203.0.113.1", False),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


# What fails costs nothing


async def test_a_carrier_that_fails_costs_neither_a_message_nor_the_code_before(
    redis: Redis,
) -> None:
    stage = Stage(redis, Bounds(sends=(RateLimitItemPerHour(2),), address_sends=(), asks=()))
    asker = someone()
    first = await stage.send(asker)
    stage.carrier.failure = OSError(f"no route for {PHONE}")
    assert [await stage.why_not_sent(asker) for _ in range(5)] == ["message-not-sent"] * 5
    stage.carrier.failure = None
    assert await stage.why_no_card(asker, first) == "shown"
    assert await stage.why_not_sent(asker) == "sent"
    assert await stage.why_not_sent(asker) == "asked-too-often"


async def test_what_fails_before_the_code_is_tried_costs_no_try(stage: Stage) -> None:
    asker = someone()
    code = await stage.send(asker)
    stage.gateway.away = True
    for _ in range(TRIES_MAX + 1):
        assert await stage.why_no_card(asker, another(code)) == "travel-card-unavailable"
    stage.gateway.away = False
    stage.rows_failure = LookupError("rows are away")
    for _ in range(TRIES_MAX + 1):
        with pytest.raises(LookupError):
            await stage.cards.card(asker, PHONE, code, stage.at)
    stage.rows_failure = None
    assert await stage.why_no_card(asker, code) == "shown"


async def test_without_the_gateway_nothing_is_sent(stage: Stage) -> None:
    stage.gateway.away = True
    assert await stage.why_not_sent() == "travel-card-unavailable"
    assert stage.carrier.sent == []


async def test_without_redis_nothing_is_sent_and_it_says_so() -> None:
    away = Redis.from_url(f"redis://127.0.0.1:{free_port()}/2", socket_connect_timeout=0.5)
    stage = Stage(away, Bounds())
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            await stage.send()
        problem = caught.value.problem()
        assert (problem.status, problem.code) == (503, "travel-card-unavailable")
        assert caught.value.headers["Retry-After"] == "5"
    assert await stage.why_no_card(someone(), "123456") == "travel-card-unavailable"
    assert stage.carrier.sent == []
    await away.aclose()


async def test_redis_that_goes_while_a_message_is_sent_leaves_no_turn_behind(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(redis)
    asker = someone()

    async def away(*_: object) -> None:
        raise RedisConnectionError("away")

    with monkeypatch.context() as patched:
        patched.setattr(stage.cards._codes, "put", away)
        assert await stage.why_not_sent(asker) == "travel-card-unavailable"
    assert await stage.why_not_sent(asker) == "sent"


async def test_a_turn_that_nobody_gave_back_ends_by_itself(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits_module, "SENDING_SECONDS_MAX", 0.2)
    stage = Stage(redis)
    asker = someone()
    stage.carrier.seconds = 0.3
    first = asyncio.create_task(stage.why_not_sent(asker))
    await asyncio.sleep(0.1)
    assert await stage.why_not_sent(asker) == "asked-too-often"
    await asyncio.sleep(0.15)
    assert await stage.why_not_sent(asker) == "sent"
    assert await first == "sent"


# The gateway


@pytest.fixture(scope="module")
def gateway_url(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(kafka, tmp_path_factory.mktemp("gateway")) as url:
        yield url


async def test_the_gateway_gives_the_key_that_telecoms_report_by(gateway_url: str) -> None:
    for url in (gateway_url, f"{gateway_url}/"):
        keys = PhoneKeys(url, TOKENS.token_for(PORTAL))
        assert await keys.key(Phone(PHONE)) == PHONE_KEY
        await keys.close()
        stranger = PhoneKeys(url, OTHER_TOKENS.token_for(PORTAL))
        with pytest.raises(Refused) as caught:
            await stranger.key(Phone(PHONE))
        assert caught.value.code == "travel-card-unavailable"
        await stranger.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 429 Often\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"results":[]}',
        b'HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\n{"results":[{"person":"me"}]}',
        b'HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n{"results":[{"person":""}]}',
        b"nonsense\r\n\r\n",
        b"",
        None,
    ],
)
async def test_a_gateway_that_gives_no_key_is_explained(
    answer: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.travel.phone_keys.GATEWAY_SECONDS_MAX", 0.3)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        if answer is None:
            await asyncio.sleep(1)  # longer than is waited
        writer.write(answer or b"")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    keys = PhoneKeys(f"http://127.0.0.1:{port}", TOKENS.token_for(PORTAL))
    with pytest.raises(Refused) as caught:
        await keys.key(Phone(PHONE))
    assert caught.value.code == "travel-card-unavailable"
    assert int(caught.value.headers["Retry-After"]) > 0
    await keys.close()
    server.close()


# The rows


async def test_a_phones_rows_are_what_its_telecoms_said_and_did_not_take_back(
    redis_url: str,
) -> None:
    rows = Redis.from_url(f"{redis_url.rpartition('/')[0]}/1")
    await rows.flushdb()
    listing = EMPTY
    sent = [
        visited(GUANGZHOU, AT - timedelta(hours=9)),
        visited(SHENZHEN, AT - timedelta(hours=5)),
        visited("420100", AT - timedelta(days=17)),
    ]
    taken_back = make(
        TelecomVisitRetracted,
        RetractionData(RetractionReason.ENTERED_IN_ERROR),
        at=AT,
        source=TELECOM,
        supersedes=sent[1].id,
        person=PHONE_KEY,
    )
    told: list[ListedEvent] = [*sent, taken_back]
    for event in told:
        listing = add(listing, event, AT)
    await put_rows(rows, listings={(PHONE_KEY, ListName.TELECOM_VISITS): listing}, as_of=AT)
    information = Information(rows, lambda: AT)
    found = await information.visits(PHONE_KEY)
    assert [visit.city for visit in found.visits] == [GUANGZHOU]
    assert found.as_of == AT
    assert (await information.visits(someone())).visits == []
    await rows.flushdb()
    with pytest.raises(Unavailable):
        await information.visits(PHONE_KEY)
    await rows.aclose()


def visited(city: str, at: datetime) -> TelecomVisitReported:
    data = TelecomVisitData(city, Visit.REACHED, at)
    event: TelecomVisitReported = make(
        TelecomVisitReported, data, at=at, source=TELECOM, person=PHONE_KEY
    )
    return event


@pytest.mark.parametrize("environment", ["development", "production"])
async def test_a_process_has_cards_from_its_settings(
    redis: Redis, environment: Any, tmp_path: Path
) -> None:
    settings = Settings(
        environment=environment,
        data_dir=str(tmp_path),
        portal_token=PORTAL_TOKEN,
        session_key=KEY,
        gateway_url=f"http://127.0.0.1:{free_port()}",
    )
    stage = Stage(redis)
    cards = travel_cards(settings, redis, stage._visits, lambda: AT)
    with pytest.raises(Refused) as caught:
        await cards.send_code(someone(), "", PHONE)
    assert caught.value.code == "travel-card-unavailable", "there is no gateway"
    await cards.close()


# What is left behind


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[list[str]]:
    """What is logged at the chattiest, collected at the end of the test's body."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    configure("debug")
    lines: list[str] = []
    yield lines
    root.handlers[:] = before
    root.setLevel(level)


async def test_neither_phone_nor_code_nor_address_is_left_anywhere(
    redis: Redis, logged: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Stage(redis, Bounds(sends=(RateLimitItemPerHour(3),)))
    stage.was_in(PHONE, GUANGZHOU)
    asker, address, codes = someone(), "203.0.113.77", []
    codes.append(await stage.send(asker, address=address))
    await stage.why_no_card(asker, another(codes[0]))
    await stage.why_no_card(asker, codes[0])
    codes.append(await stage.send(asker, address=address))
    stage.carrier.failure = OSError(f"{PHONE} {codes[0]}")
    await stage.why_not_sent(asker, address=address)
    stage.gateway.away = True
    await stage.why_not_sent(asker, address=address)
    assert await redis.dbsize() > 3
    left: list[Any] = [b""]  # bytes, as `join` below holds it to
    async for key in redis.scan_iter():
        left += [key, await redis.dump(key)]
        if await redis.type(key) == b"hash":
            for name, value in (await redis.hgetall(key)).items():
                left += [name, value]
        assert 0 < await redis.ttl(key) <= max(CODE_KEPT_SECONDS, 24 * 60 * 60), key
    said = "".join(capsys.readouterr()).encode()
    assert b"message_not_sent" in said
    for secret in (PHONE, address, *codes, PHONE_KEY):
        assert secret.encode() not in b"\n".join(left), "in Redis"
        assert secret.encode() not in said, "in the log"
        assert secret.encode() not in generate_latest(), "in metrics"
    assert asker.encode() not in said
    assert asker.encode() not in generate_latest()


async def test_what_came_of_it_is_counted(stage: Stage) -> None:
    def counted(line: str) -> bool:
        return any(found.startswith(line) for found in generate_latest().decode().splitlines())

    asker = someone()
    code = await stage.send(asker)
    await stage.why_no_card(asker, another(code))
    await stage.why_no_card(asker, code)
    assert counted('yuekang_travel_codes_total{outcome="done"}')
    assert counted('yuekang_travel_cards_total{outcome="done"}')
    assert counted('yuekang_travel_cards_total{outcome="code-wrong"}')


# The addresses


async def test_over_http(redis: Redis) -> None:
    stage = Stage(redis)
    stage.was_in(PHONE, GUANGZHOU)
    asker = someone()

    sessions = Sessions(KEY, lambda: stage.at)
    kind = DocumentType.RESIDENT_IDENTITY_CARD

    async def session() -> Session:
        return sessions.begin(asker, "样*甲", None, kind, "1234")

    app = Litestar(
        travel_routes(stage.cards, lambda: stage.at),
        dependencies={"session": Provide(session)},
        exception_handlers={Refused: on_refused},
    )
    # The framework's own client runs the application in another event loop than Redis is of.
    transport = transport_to(app, ("203.0.113.5", 1))
    async with AsyncClient(transport=transport, base_url="http://view") as client:
        sent = await client.post("/v1/me/travel-card/code", json={"phone": f"+86 {PHONE}"})
        assert sent.status_code == 202, sent.text
        assert sent.json()["phone"] == "138****8000"
        assert "粤康码" in stage.carrier.sent[-1][1]
        english = {"accept-language": "en"}
        await client.post("/v1/me/travel-card/code", json={"phone": PHONE}, headers=english)
        assert "Guangdong Health Code" in stage.carrier.sent[-1][1]
        code = stage.carrier.code
        wrong = await client.post(
            "/v1/me/travel-card", json={"phone": PHONE, "code": another(code)}
        )
        assert (wrong.status_code, wrong.json()["code"]) == (422, "code-wrong")
        assert "4 tries are left" in wrong.json()["detail"]
        card = await client.post("/v1/me/travel-card", json={"phone": PHONE, "code": code})
        assert card.status_code == 200
        assert card.headers["cache-control"] == "no-store"
        assert card.json()["phone"] == "138****8000"
        [city] = card.json()["cities"]
        assert (city["division"], city["visit"], city["high_risk"]) == (GUANGZHOU, "reached", True)
        for body in ({}, {"phone": 1}, {"phone": PHONE, "extra": 1}):
            bad = await client.post("/v1/me/travel-card/code", json=body)
            assert bad.status_code == 400
        assert PHONE not in wrong.text + card.text + sent.text
        document = app.openapi_schema.to_schema()["paths"]
        assert set(document) == {"/v1/me/travel-card", "/v1/me/travel-card/code"}
        assert msgspec.json.encode(document)


async def test_another_key_knows_no_code_of_this_one(stage: Stage, redis: Redis) -> None:
    asker = someone()
    code = await stage.send(asker)
    stage.cards = TravelCards(
        redis, KEY[::-1], Gateway(), Carrier(), stage._visits, lambda: AT, WIDE
    )
    assert await stage.why_no_card(asker, code) == "no-code-sent"
