"""What a terminal verifies by itself, in Chromium: the same as the view, and by lists of an age.

The page is empty, and the addresses that it asks are answered here: no view is needed.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route

from app.credentials.bounds import LIST_SECONDS_MAX, PROOF_CLOCK_SECONDS, PROOF_SECONDS
from app.credentials.cbor import pack
from app.credentials.cose import Forged
from app.credentials.keys import IssuerKeys
from app.credentials.proofs import PROOF_PREFIX, proof_message, read_proof
from app.credentials.statuses import LIST_TYPE, sign_list
from app.projection.holdings import CHUNK_BITS, Place
from app.web.site import static_file
from models.codes import Colour
from support.credentials import Phone, base45, claims, credential, text_of

ORIGIN = "http://localhost"
KEYS = IssuerKeys(bytes(range(32)))
OTHERS = IssuerKeys(bytes(32))
PHONE = Phone(7)
CHUNK = "00ff1a"
AT = datetime(2022, 3, 4, 4, tzinfo=UTC)
FAR = AT + timedelta(hours=20)
GOOD_SECONDS = PROOF_SECONDS + PROOF_CLOCK_SECONDS

READ = """async ([texts, keys]) => Promise.all(texts.map(text =>
    credentials.read(text, keys).then(({ name, ending, colour, index, uri, until, second }) =>
        [name, ending, colour, index, uri, until, second],
        error => error instanceof credentials.Forged ? null : String(error.stack))))"""


class Issuer:
    """Stands for the view: what is signed, what is turned off, how old that is."""

    def __init__(self) -> None:
        self.bits = bytearray(CHUNK_BITS // 8)
        self.as_of = self.at = AT
        self.there = True
        self.chunks = [CHUNK]
        self.keys = KEYS

    def turn_off(self, index: int) -> None:
        self.bits[index // 8] |= 1 << index % 8

    def answer(self, route: Route) -> None:
        """Answer what the page asks for."""
        path = route.request.url.removeprefix(ORIGIN)
        if path == "/":
            route.fulfill(content_type="text/html", body="<!doctype html><title>x</title>")
        elif not self.there:
            route.abort()
        elif path == "/v1/credential-keys":
            route.fulfill(json=msgspec.to_builtins(self.keys.answer()))
        elif path == "/v1/s":
            at_ms = int(self.at.timestamp() * 1_000)
            route.fulfill(json={"status_lists": [f"s/{c}" for c in self.chunks], "at_ms": at_ms})
        else:
            route.fulfill(body=self.list_of(path.rpartition("/")[2]))

    def list_of(self, chunk: str) -> bytes:
        return sign_list(self.keys, chunk, bytes(self.bits), int(self.as_of.timestamp()))


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def terminal(browser: Browser, issuer: Issuer) -> Iterator[BrowserContext]:
    with browser.new_context() as context:
        context.route("**/*", issuer.answer)
        yield context


def opened(terminal: BrowserContext, at: datetime = AT) -> Page:
    """A page with the scripts of a terminal, by a clock that says `at`."""
    page = terminal.new_page()
    page.clock.install(time=at)
    page.goto(ORIGIN)
    for name in ("credential.js", "offline_check.js"):
        page.add_script_tag(path=static_file(name))
    return page


def verify(page: Page, text: str) -> dict[str, Any]:
    found: dict[str, Any] | None = page.evaluate("text => verify(text)", text)
    return found or {"outcome": None}


def told(page: Page, text: str) -> str | None:
    outcome: str | None = verify(page, text)["outcome"]
    return outcome


def fetched(page: Page, as_of: datetime = AT) -> Page:
    """Return when a list that is as new as this is here."""
    old = PHONE.show(credential(KEYS, PHONE, until=FAR), AT - timedelta(hours=1))
    for _ in range(200):
        if (verify(page, old).get("asOf") or 0) >= as_of.timestamp() * 1_000:
            return page
        page.wait_for_timeout(25)
    raise AssertionError("the lists were not fetched")


def shown(at: datetime = AT, phone: Phone = PHONE, **said: Any) -> str:
    """What the phone's QR holds at `at`."""
    return phone.show(credential(KEYS, PHONE, **{"until": FAR, **said}), at)


def wait(page: Page, issuer: Issuer, seconds: int) -> None:
    """Let time pass, for the page and the issuer: once for an answer, which has 8 s."""
    page.wait_for_timeout(200)  # for what it does now: its next turn counts from there
    issuer.at += timedelta(seconds=seconds)
    page.clock.run_for(1_000 * seconds)
    page.wait_for_timeout(300)  # for what it asks meanwhile


# The same as in Python


def vectors() -> list[str]:
    """Texts that are good, and texts in which something is not."""
    random = Random(17)
    good = [
        Phone(n).show(
            credential(
                KEYS,
                Phone(n),
                until=datetime.fromtimestamp(random.randrange(1 << 32), UTC),
                place=Place(random.randbytes(3).hex(), random.randrange(CHUNK_BITS)),
                colour=random.choice([Colour.RED, Colour.GREEN]),
                name=random.choice(["", "样*甲", "A** R***", "买**江·艾*江"]),
                ending=random.choice(["", "123X", "0000"]),
            ),
            datetime.fromtimestamp(random.randrange(1 << 32), UTC),
        )
        for n in range(1, 80)
    ]
    texts = list(good)
    for text in good[:60]:
        at = random.randrange(len(text))
        texts.append(text[:at] + random.choice("0A:Z ") + text[at + 1 :])
        texts.append(text[: random.randrange(len(text))])
    raw, second = credential(KEYS, PHONE), int(AT.timestamp())
    signature = PHONE.sign(proof_message(raw, second))
    listed = KEYS.sign(KEYS.verified(raw).payload, {16: LIST_TYPE})
    texts += [
        text_of(raw, second, signature),
        text_of(raw, second + 1, signature),
        text_of(raw, second, signature[:-1]),
        text_of(raw, second, bytes(64)),
        text_of(listed, second, PHONE.sign(proof_message(listed, second))),
        Phone(8).show(raw, AT),
        Phone(8).show(credential(OTHERS, Phone(8)), AT),
        *(
            PROOF_PREFIX + base45(packed)
            for packed in (
                b"",
                b"\x80",
                pack([raw, second, signature, 1]),
                pack([raw, second, signature]) + b"\x00",
                b"\x9f" + pack([raw, second, signature])[1:] + b"\xff",
                pack([raw, -1, signature]),
                pack([raw, 1.5, signature]),
                pack([raw, True, signature]),
                pack([raw, second, "x" * 64]),
                b"\x83\x59" + pack([raw, second, signature])[2:],
                b"\x81" * 200,
            )
        ),
        "",
        "YK1",
        PROOF_PREFIX,
        PROOF_PREFIX + "A",
        PROOF_PREFIX + ":::",
        PROOF_PREFIX + "a00",
        text_of(raw, second, signature).lower(),
        text_of(raw, second, signature) + " ",
    ]
    return texts


def by_python(text: str) -> list[Any] | None:
    try:
        proof = read_proof(text, KEYS)
    except Forged:
        return None
    said = proof.claims
    return [
        said.name,
        said.ending,
        said.colour.value,
        said.place.index,
        f"s/{said.place.chunk}",
        int(said.until.timestamp()),
        int(proof.shown_at.timestamp()),
    ]


def test_a_terminal_and_the_view_agree_on_every_text(terminal: BrowserContext) -> None:
    page = opened(terminal)
    texts = vectors()
    assert len(texts) > 200
    expected = [by_python(text) for text in texts]
    assert sum(found is not None for found in expected) >= 80
    found = page.evaluate(READ, [texts, msgspec.to_builtins(KEYS.answer())["keys"]])
    for text, ours, theirs in zip(texts, expected, found, strict=True):
        assert theirs == ours, text


def test_of_each_changed_byte_of_a_credential_nothing_is_left(terminal: BrowserContext) -> None:
    page = opened(terminal)
    raw = credential(KEYS, PHONE)
    texts = []
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1 << at % 8
        texts.append(PHONE.show(bytes(changed), AT))
    found = page.evaluate(READ, [texts, msgspec.to_builtins(KEYS.answer())["keys"]])
    assert found == [None] * len(raw)


def test_what_the_script_shows_is_what_a_phone_shows_here(terminal: BrowserContext) -> None:
    page = opened(terminal)
    raw, second = credential(KEYS, PHONE), int(AT.timestamp())
    made = page.evaluate(
        """async ([raw, second]) => credentials.shown(Uint8Array.from(raw), second,
            async message => Uint8Array.from([...message].slice(0, 32)
                .concat([...message].slice(-32))))""",
        [list(raw), second],
    )
    message = proof_message(raw, second)
    assert made == text_of(raw, second, message[:32] + message[-32:])


# Outcomes


@pytest.mark.parametrize("colour", [Colour.GREEN, Colour.RED])
def test_without_a_network_it_says_the_colour_whose_it_is_and_as_of_when(
    terminal: BrowserContext, issuer: Issuer, colour: Colour
) -> None:
    page = fetched(opened(terminal))
    issuer.there = False
    assert verify(page, shown(colour=colour)) == {
        "outcome": colour.value,
        "name": "样*甲",
        "ending": "123X",
        "asOf": AT.timestamp() * 1_000,
    }


def test_what_it_keeps_is_there_after_a_new_start(terminal: BrowserContext, issuer: Issuer) -> None:
    fetched(opened(terminal)).close()
    issuer.there = False
    page = opened(terminal, AT + timedelta(minutes=5))
    assert told(page, shown(AT + timedelta(minutes=5))) == "green"


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (shown(AT - timedelta(seconds=GOOD_SECONDS - 5)), "green"),
        (shown(AT - timedelta(seconds=GOOD_SECONDS + 1)), "expired"),
        (shown(until=AT - timedelta(seconds=1)), "expired"),
        (shown(AT + timedelta(seconds=PROOF_CLOCK_SECONDS + 10)), "clock-wrong"),
        (shown(phone=Phone(8)), "forged"),
        (Phone(8).show(credential(OTHERS, Phone(8)), AT), "stale"),
        (shown()[:-1], "forged"),
        ("YK1:", "forged"),
        (shown(place=Place("aaaaaa", 1)), "stale"),
        ("a display token", None),
    ],
    ids=[
        "in time",
        "a picture",
        "ended",
        "from the future",
        "another phone",
        "an unknown key",
        "cut",
        "nothing",
        "an unknown list",
        "not ours",
    ],
)
def test_each_fault_has_its_outcome(
    terminal: BrowserContext, issuer: Issuer, text: str, outcome: str | None
) -> None:
    page = fetched(opened(terminal))
    issuer.there = False
    assert told(page, text) == outcome


def test_a_credential_that_is_turned_off_does_not_pass(
    terminal: BrowserContext, issuer: Issuer
) -> None:
    page = fetched(opened(terminal))
    other = claims(PHONE).place.index + 1
    assert told(page, shown()) == "green"
    issuer.turn_off(claims(PHONE).place.index)
    issuer.as_of = AT + timedelta(seconds=25)
    wait(page, issuer, 25)
    fetched(page, issuer.as_of)
    at = AT + timedelta(seconds=26)
    assert told(page, shown(at)) == "expired"
    assert told(page, shown(at, place=Place(CHUNK, other))) == "green"


def test_a_list_that_is_too_old_lets_nobody_pass(terminal: BrowserContext, issuer: Issuer) -> None:
    page = fetched(opened(terminal))
    issuer.there = False
    wait(page, issuer, LIST_SECONDS_MAX - 10)
    at = AT + timedelta(seconds=LIST_SECONDS_MAX - 10)
    assert told(page, shown(at)) == "green"
    wait(page, issuer, 15)
    assert told(page, shown(at + timedelta(seconds=15))) == "stale"


def test_a_list_is_believed_by_its_own_age_and_never_replaced_by_an_older_one(
    terminal: BrowserContext, issuer: Issuer
) -> None:
    issuer.as_of = AT - timedelta(seconds=LIST_SECONDS_MAX + 5)
    page = fetched(opened(terminal), issuer.as_of)
    assert told(page, shown()) == "stale"
    issuer.as_of = AT
    wait(page, issuer, 25)
    fetched(page)
    issuer.as_of = AT - timedelta(seconds=60)
    wait(page, issuer, 25)
    found = verify(page, shown(AT + timedelta(seconds=50)))
    assert (found["outcome"], found["asOf"]) == ("green", AT.timestamp() * 1_000)


def test_a_list_that_another_key_signed_is_not_taken(
    terminal: BrowserContext, issuer: Issuer
) -> None:
    page = fetched(opened(terminal))
    issuer.turn_off(claims(PHONE).place.index)
    sign, issuer.as_of = issuer.list_of, AT + timedelta(seconds=20)
    issuer.list_of = lambda chunk: sign(chunk)[:-1] + b"\x00"  # type: ignore[method-assign]
    wait(page, issuer, 25)
    found = verify(page, shown(AT + timedelta(seconds=25)))
    assert (found["outcome"], found["asOf"]) == ("green", AT.timestamp() * 1_000)


def test_a_list_that_is_no_more_is_forgotten(terminal: BrowserContext, issuer: Issuer) -> None:
    """The read model was built again: nobody knows what was turned off since."""
    page = fetched(opened(terminal))
    issuer.chunks = ["bbbbbb"]
    wait(page, issuer, 25)
    for _ in range(100):
        if told(page, shown(AT + timedelta(seconds=25))) == "stale":
            return
        page.wait_for_timeout(25)
    raise AssertionError("a list of before is still believed")


def test_the_same_second_twice_is_a_picture(terminal: BrowserContext, issuer: Issuer) -> None:
    page = fetched(opened(terminal))
    text = shown()
    assert [told(page, text) for _ in range(2)] == ["green", "green"]  # still before the camera
    wait(page, issuer, 8)
    assert told(page, text) == "expired"
    assert told(page, shown(AT + timedelta(seconds=8))) == "green"


@pytest.mark.parametrize("minutes", [-10, 10])
def test_the_clock_of_the_device_need_not_be_right(
    terminal: BrowserContext, issuer: Issuer, minutes: int
) -> None:
    """It is set by the view's while there is a network."""
    page = fetched(opened(terminal, AT + timedelta(minutes=minutes)))
    issuer.there = False
    assert told(page, shown()) == "green"
    assert told(page, shown(AT - timedelta(seconds=60))) == "expired"


def test_a_device_that_never_had_a_network_can_check_nothing(
    terminal: BrowserContext, issuer: Issuer
) -> None:
    issuer.there = False
    assert told(opened(terminal), shown()) is None


def test_a_browser_without_ed25519_can_check_nothing(terminal: BrowserContext) -> None:
    page = opened(terminal)
    page.evaluate(
        """() => {
            const { importKey } = SubtleCrypto.prototype;
            SubtleCrypto.prototype.importKey = function (format, key, kind, ...rest) {
                if (kind === "Ed25519") throw new DOMException("x", "NotSupportedError");
                return importKey.call(this, format, key, kind, ...rest);
            };
        }"""
    )
    page.wait_for_timeout(200)
    assert told(page, shown()) is None
