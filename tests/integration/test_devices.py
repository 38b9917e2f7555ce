"""One's own phone: logged in again without a face scan, and never by a copy of its cookie."""

import base64
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.development.provider.people import IDENTITIES_FILE, write_people
from app.login.devices import (
    CHALLENGE,
    DEVICES_MAX,
    LIFE_OF_DEVICE,
    NEW_WITHIN,
    TWO_TABS,
    UNUSED,
    Devices,
)
from app.login.ended import Ended
from app.login.sessions import COOKIE, DEVICE_COOKIE, IDLE, SEEN_FOR, SESSION_LIFE, Away, Sessions
from app.process.ports import free_port
from support.logins import (
    CARD,
    PEOPLE,
    SESSION_KEY,
    Browser,
    Development,
    Site,
    development,
    person_of,
)


class Phone:
    """A browser with a key that stays in it."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.key = ec.generate_private_key(ec.SECP256R1())

    @property
    def public(self) -> dict[str, str]:
        numbers = self.key.public_key().public_numbers()
        return {
            name: base64.urlsafe_b64encode(n.to_bytes(32, "big")).rstrip(b"=").decode()
            for name, n in (("x", numbers.x), ("y", numbers.y))
        }

    def sign(self, text: str) -> str:
        r, s = utils.decode_dss_signature(self.key.sign(text.encode(), ec.ECDSA(SHA256())))
        return (r.to_bytes(32, "big") + s.to_bytes(32, "big")).hex()

    async def become_own(self) -> int:
        answer = await self.browser.post("/login/device", json=self.public)
        return int(answer.status_code)

    async def challenge(self) -> str | None:
        """What the page asks to have signed; None if it asks for a login by face."""
        page = await self.browser.get("/code")
        found = re.search(r'data-challenge="([^"]+)"', page.text)
        return found[1] if found else None

    async def again(self) -> int:
        """Open the code as the page's script does; say what comes of it."""
        challenge = await self.challenge()
        assert challenge is not None
        return await self.send(challenge, self.sign(challenge))

    async def send(self, challenge: str, signature: str) -> int:
        said = {"challenge": challenge, "signature": signature}
        return int((await self.browser.post("/login/again", json=said)).status_code)

    async def shows_the_code(self) -> bool:
        return (await self.browser.get("/code")).text.startswith("code of")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url.replace("/0", "/2")) as client:
        await client.flushdb()
        yield client


@pytest.fixture
def site(redis: Redis, tmp_path: Path) -> Site:
    path = tmp_path / IDENTITIES_FILE
    write_people(path, PEOPLE)
    return Site(redis, development(), Development(path))


@pytest.fixture
async def phone(site: Site) -> AsyncIterator[Phone]:
    """Someone's own phone, a moment after a login by face."""
    async with site.browser() as browser:
        phone = Phone(browser)
        await browser.log_in()
        assert await phone.become_own() == 204
        yield phone


def away(site: Site, span: timedelta) -> None:
    site.clock.ahead += span


async def challenged(site: Site, phone: Phone) -> str:
    """What the phone is to sign after it was not used for a while."""
    away(site, IDLE)
    challenge = await phone.challenge()
    assert challenge is not None
    return challenge


async def test_after_days_no_face_is_asked_for(site: Site, phone: Phone) -> None:
    for days in (1, 7, 29):
        away(site, timedelta(days=days))
        assert not await phone.shows_the_code()
        assert await phone.again() == 204
        assert await phone.shows_the_code()
    session = Sessions(SESSION_KEY, site.clock).read(phone.browser.cookies[COOKIE])
    assert session.person == person_of(CARD)
    assert (session.name, session.ending) == ("陈*明", CARD[-4:])
    assert session.expires_at - session.issued_at == SESSION_LIFE
    assert session.seen_at is not None
    assert site.clock() - session.seen_at > timedelta(days=30), "no face was seen since"


async def test_it_is_over_at_its_end_however_much_it_is_used(site: Site, phone: Phone) -> None:
    for _ in range(3):
        away(site, LIFE_OF_DEVICE / 4)
        assert await phone.again() == 204
    away(site, LIFE_OF_DEVICE / 4)
    assert await phone.challenge() is None


async def test_a_family_is_kept_for_thirty_days_from_its_last_use(
    site: Site, phone: Phone, redis: Redis
) -> None:
    [key] = await redis.keys("session:device:*")
    assert abs(await redis.ttl(key) - UNUSED.total_seconds()) < 5
    away(site, LIFE_OF_DEVICE - timedelta(days=1))
    assert await phone.again() == 204
    assert await redis.ttl(key) <= timedelta(days=1).total_seconds(), "not beyond its end"


async def test_a_copy_of_the_cookie_opens_nothing(site: Site, phone: Phone) -> None:
    async with site.browser() as browser:
        thief = Phone(browser)
        browser.cookies.set(DEVICE_COOKIE, phone.browser.cookies[DEVICE_COOKIE])
        assert await thief.again() == 401
        assert not await thief.shows_the_code()
    away(site, IDLE)
    assert await phone.again() == 204, "its owner goes on"


async def test_an_older_number_ends_the_whole_family(site: Site, phone: Phone) -> None:
    """Whoever has the key too, as a copy of the whole phone would."""
    old = phone.browser.cookies[DEVICE_COOKIE]
    for _ in range(2):
        away(site, IDLE)
        assert await phone.again() == 204
    newest = phone.browser.cookies[DEVICE_COOKIE]
    away(site, IDLE)
    phone.browser.cookies.delete(DEVICE_COOKIE)
    phone.browser.cookies.set(DEVICE_COOKIE, old)
    assert await phone.again() == 401
    phone.browser.cookies.clear()
    phone.browser.cookies.set(DEVICE_COOKIE, newest)
    assert await phone.again() == 401


async def test_two_tabs_are_let_in_with_one_number(site: Site, phone: Phone) -> None:
    away(site, IDLE)
    former = phone.browser.cookies[DEVICE_COOKIE]
    first, second = await phone.challenge(), await phone.challenge()
    assert first is not None
    assert second is not None
    assert await phone.send(first, phone.sign(first)) == 204
    newest = phone.browser.cookies[DEVICE_COOKIE]
    phone.browser.cookies.clear()
    phone.browser.cookies.set(DEVICE_COOKIE, former)
    assert await phone.send(second, phone.sign(second)) == 204
    assert newest != former
    away(site, IDLE + TWO_TABS)
    assert await phone.again() == 204


@pytest.mark.parametrize("fault", ["other-key", "byte", "short", "old", "other-family", "none"])
async def test_a_challenge_must_be_signed_by_this_phone_and_now(
    site: Site, phone: Phone, fault: str
) -> None:
    challenge = await challenged(site, phone)
    signature = phone.sign(challenge)
    match fault:
        case "other-key":
            signature = Phone(phone.browser).sign(challenge)
        case "byte":
            signature = ("0" if signature[0] != "0" else "1") + signature[1:]
        case "short":
            signature = signature[:-2]
        case "none":
            signature = "not hexadecimal"
        case "old":
            away(site, CHALLENGE)
        case "other-family":
            async with site.browser() as browser:
                site.clock.ahead = timedelta()
                other = Phone(browser)
                await browser.log_in("1")
                await other.become_own()
                challenge = await challenged(site, other)
                signature = phone.sign(challenge)
    assert await phone.send(challenge, signature) == 401
    assert not await phone.shows_the_code()


async def test_a_fault_of_ours_is_none_of_the_phones(
    site: Site, phone: Phone, redis: Redis
) -> None:
    """Its key cannot be read, so nobody knows whether it signed: it is not forgotten."""
    [family] = await redis.keys("session:device:*")
    kept = await redis.hget(family, "key")
    await redis.hset(family, "key", b"{")
    away(site, IDLE)
    assert await phone.again() == 500
    await redis.hset(family, "key", kept)
    assert await phone.again() == 204


async def test_a_phone_becomes_own_only_a_moment_after_a_face_scan(
    site: Site, redis: Redis
) -> None:
    async with site.browser() as browser:
        phone = Phone(browser)
        assert await phone.become_own() == 401, "nobody is logged in"
        await browser.log_in()
        away(site, NEW_WITHIN)
        assert await phone.become_own() == 401
        assert await redis.keys("session:device:*") == []


@pytest.mark.parametrize("key", [{}, {"x": "a" * 43, "y": "b" * 43}, {"x": "", "y": ""}, [], "x"])
async def test_what_is_no_key_is_refused(site: Site, key: Any) -> None:
    async with site.browser() as browser:
        await browser.log_in()
        answer = await browser.post("/login/device", json=key)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad-request")


async def test_a_logout_ends_the_phone_too(site: Site, phone: Phone, redis: Redis) -> None:
    cookie = phone.browser.cookies[DEVICE_COOKIE]
    await phone.browser.post("/logout")
    assert DEVICE_COOKIE not in phone.browser.cookies
    assert await redis.keys("session:device:*") == []
    phone.browser.cookies.set(DEVICE_COOKIE, cookie)
    assert await phone.again() == 401


async def test_another_person_on_the_phone_ends_it(site: Site, phone: Phone, redis: Redis) -> None:
    await phone.browser.log_in("1")
    assert DEVICE_COOKIE not in phone.browser.cookies
    assert await redis.keys("session:device:*") == []


async def test_ones_phones_are_listed_and_ended_one_by_one(site: Site, phone: Phone) -> None:
    async with site.browser() as browser:
        other = Phone(browser)
        await browser.log_in()
        await other.become_own()
        page = (await browser.get("/me/devices")).text
        families = re.findall(r'name="family" value="(\w+)"', page)
        assert len(families) == 2
        assert page.count("（这台）") == 1
        parts = page.split('<li class="part">')[1:]
        [lost] = [re.findall(r'value="(\w+)"', part)[0] for part in parts if "（这台）" not in part]
        assert (await browser.post("/me/devices/end", data={"family": lost})).status_code == 200
        away(site, IDLE)
        assert await phone.again() == 401
        assert await other.again() == 204


async def test_a_copy_of_the_cookie_of_before_ends_as_the_phone_becomes_own(site: Site) -> None:
    async with site.browser() as browser, site.browser() as copied:
        own, copy = Phone(browser), Phone(copied)
        await browser.log_in()
        copied.cookies.set(COOKIE, browser.cookies[COOKIE])
        assert await copy.shows_the_code()
        assert await own.become_own() == 204
        assert not await copy.shows_the_code()
        assert await own.shows_the_code()


@pytest.mark.parametrize("later", [False, True])
async def test_the_sessions_of_a_phone_end_with_it(site: Site, phone: Phone, later: bool) -> None:
    """Both that in which it was made one's own, and those after."""
    async with site.browser() as browser:
        other = Phone(browser)
        await browser.log_in()
        assert await other.become_own() == 204
        if later:
            away(site, IDLE)
            assert (await phone.again(), await other.again()) == (204, 204)
        assert await phone.shows_the_code()
        parts = (await browser.get("/me/devices")).text.split('<li class="part">')[1:]
        [lost] = [re.findall(r'value="(\w+)"', part)[0] for part in parts if "（这台）" not in part]
        await browser.post("/me/devices/end", data={"family": lost})
        assert not await phone.shows_the_code()
        assert await other.shows_the_code()


async def test_ending_the_phone_in_hand_logs_out(site: Site, phone: Phone) -> None:
    page = (await phone.browser.get("/me/devices")).text
    [family] = re.findall(r'name="family" value="(\w+)"', page)
    answer = await phone.browser.post("/me/devices/end", data={"family": family})
    assert str(answer.url).endswith("/logged-out")
    assert answer.history[0].headers["clear-site-data"] == '"storage"'
    assert not await phone.shows_the_code()


async def test_a_phone_made_ones_own_twice_is_one_phone(
    site: Site, phone: Phone, redis: Redis
) -> None:
    await phone.become_own()
    assert len(await redis.keys("session:device:*")) == 1
    assert await phone.shows_the_code()


async def test_a_face_scan_on_ones_own_phone_leaves_it_so(
    site: Site, phone: Phone, redis: Redis
) -> None:
    await phone.browser.log_in()
    session = Sessions(SESSION_KEY, site.clock).read(phone.browser.cookies[COOKIE])
    assert await redis.keys(f"session:device:{session.family}") != []


async def test_a_phone_that_logs_in_again_and_again_stores_nothing_more(
    site: Site, phone: Phone, redis: Redis
) -> None:
    """Whoever keeps the cookies could log in, and log out, for ever."""
    challenge = await challenged(site, phone)
    before, sessions = len(await redis.keys("*")), []
    for _ in range(5):
        assert await phone.send(challenge, phone.sign(challenge)) == 204
        sessions.append(phone.browser.cookies[COOKIE])
    phone.browser.cookies.clear()
    for session in sessions:
        phone.browser.cookies.set(COOKIE, session)
        await phone.browser.post("/logout")
        phone.browser.cookies.set(COOKIE, session)
        assert not await phone.shows_the_code()
    assert len(await redis.keys("*")) <= before


async def test_nobody_ends_the_phone_of_another(site: Site, phone: Phone) -> None:
    page = (await phone.browser.get("/me/devices")).text
    [family] = re.findall(r'name="family" value="(\w+)"', page)
    async with site.browser() as browser:
        await browser.log_in("1")
        await browser.post("/me/devices/end", data={"family": family})
    away(site, IDLE)
    assert await phone.again() == 204


async def test_a_person_has_no_more_phones_than_a_person_has(site: Site, redis: Redis) -> None:
    for _ in range(DEVICES_MAX + 2):
        async with site.browser() as browser:
            await browser.log_in()
            assert await Phone(browser).become_own() == 204
    assert len(await redis.keys("session:device:*")) == DEVICES_MAX


async def test_without_what_redis_knew_a_face_is_asked_for(
    site: Site, phone: Phone, redis: Redis
) -> None:
    await redis.flushdb()
    away(site, IDLE)
    assert await phone.again() == 401
    assert await phone.challenge() is None


@pytest.mark.parametrize("has", ["session and device", "session", "device"])
async def test_a_logout_ends_every_copy_though_redis_lost_the_phone(
    site: Site, phone: Phone, redis: Redis, has: str
) -> None:
    copied = phone.browser.cookies[COOKIE]
    await redis.flushdb()
    assert await phone.shows_the_code(), "no session is lost with Redis"
    for cookie in {"session": [DEVICE_COOKIE], "device": [COOKIE]}.get(has, []):
        del phone.browser.cookies[cookie]
    await phone.browser.post("/logout")
    phone.browser.cookies.clear()
    phone.browser.cookies.set(COOKIE, copied)
    assert not await phone.shows_the_code()


async def test_another_site_can_do_nothing_with_it(site: Site, phone: Phone) -> None:
    challenge = await challenged(site, phone)
    said = {"challenge": challenge, "signature": phone.sign(challenge)}
    headers = {"sec-fetch-site": "cross-site"}
    answer = await phone.browser.post("/login/again", json=said, headers=headers)
    assert answer.status_code == 403


async def test_no_cookie_of_it_names_a_person(phone: Phone) -> None:
    assert CARD not in phone.browser.cookies[DEVICE_COOKIE]
    assert person_of(CARD) not in phone.browser.cookies[DEVICE_COOKIE]


async def test_health_information_asks_again_after_half_an_hour(site: Site, phone: Phone) -> None:
    away(site, SEEN_FOR)
    assert await phone.again() == 204
    assert await phone.shows_the_code()
    session = Sessions(SESSION_KEY, site.clock).read(phone.browser.cookies[COOKIE])
    assert not session.is_fresh(site.clock())


async def test_while_redis_is_away_nothing_is_said_and_the_phone_is_kept(
    site: Site, phone: Phone
) -> None:
    challenge = await challenged(site, phone)
    nobody = Redis(port=free_port(), retry=Retry(NoBackoff(), 0))
    devices = Devices(SESSION_KEY, nobody, Ended(nobody, nobody), site.clock)
    device = devices.read(phone.browser.cookies[DEVICE_COOKIE])
    assert device is not None
    with pytest.raises(Away):
        await devices.again(device, challenge, bytes.fromhex(phone.sign(challenge)))
    with pytest.raises(Away):
        await devices.of(device.person)
    assert await phone.send(challenge, phone.sign(challenge)) == 204
