"""The key of a browser's own: it signs, it stays, nobody takes it along, a logout deletes it."""

import base64
from collections.abc import Iterator

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from playwright.sync_api import Browser, BrowserContext, Error, Page

from support import people
from support.browsing import PHONE
from support.stage import Stage
from support.views import someone

Jwk = dict[str, str]

SIGN = "async text => [...await deviceSign(new TextEncoder().encode(text))]"


def opened(stage: Stage, context: BrowserContext) -> Page:
    """A page of the site that has the script, and nothing else."""
    page = context.new_page()
    stage.open_empty(page, "device.js")
    return page


def key_of(page: Page) -> Jwk:
    found: Jwk = page.evaluate("deviceKey()")
    return found


def verify(key: Jwk, signature: bytes, text: str) -> None:
    """Raise `InvalidSignature` unless `key` signed `text`."""
    x, y = (int.from_bytes(base64.urlsafe_b64decode(key[name] + "="), "big") for name in ("x", "y"))
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    public = EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
    public.verify(encode_dss_signature(r, s), text.encode(), ECDSA(SHA256()))


@pytest.fixture
def other(browser: Browser) -> Iterator[BrowserContext]:
    """Another phone."""
    with browser.new_context(viewport=PHONE) as context:
        yield context


def test_what_it_signs_is_verified_by_its_public_key_alone(
    stage: Stage, phone: BrowserContext, other: BrowserContext
) -> None:
    page = opened(stage, phone)
    key = key_of(page)
    assert key.keys() == {"kty", "crv", "x", "y"}
    assert (key["kty"], key["crv"]) == ("EC", "P-256")
    for text in ("", "粤康码", "x" * 10_000):
        signature = bytes(page.evaluate(SIGN, text))
        assert len(signature) == 64
        verify(key, signature, text)
        with pytest.raises(InvalidSignature):
            verify(key, signature, text + ".")
        with pytest.raises(InvalidSignature):
            verify(key_of(opened(stage, other)), signature, text)


def test_it_is_the_same_in_every_tab_and_after_a_while(stage: Stage, phone: BrowserContext) -> None:
    first, second = opened(stage, phone), opened(stage, phone)
    for page in (first, second):
        page.evaluate("() => { window.asked = Promise.all([deviceKey(), deviceKey()]); }")
    keys = [key for page in (first, second) for key in page.evaluate("asked")]
    assert keys == [key_of(opened(stage, phone))] * 4


def test_nobody_takes_it_along(stage: Stage, phone: BrowserContext) -> None:
    page = opened(stage, phone)
    key_of(page)
    with pytest.raises(Error, match="not extractable"):
        page.evaluate(
            """async () => {
                const opening = indexedDB.open("device");
                await new Promise(resolve => (opening.onsuccess = resolve));
                const store = opening.result.transaction("keys").objectStore("keys");
                const [pair] = await new Promise(resolve => {
                    store.getAll().onsuccess = event => resolve(event.target.result);
                });
                await crypto.subtle.exportKey("jwk", pair.privateKey);
            }"""
        )


def test_forgotten_it_is_replaced_by_another(stage: Stage, phone: BrowserContext) -> None:
    page = opened(stage, phone)
    former = key_of(page)
    page.evaluate("deviceForget()")
    signature = bytes(page.evaluate(SIGN, "x"))
    verify(key_of(page), signature, "x")
    assert key_of(page) != former


def test_logging_out_deletes_it(stage: Stage, phone: BrowserContext) -> None:
    former = key_of(opened(stage, phone))
    page = phone.new_page()
    stage.open(page, stage.put(people.green(someone())), "/me")
    page.get_by_role("button", name="退出登录").click()
    page.wait_for_url("**/logged-out")
    assert page.evaluate("indexedDB.databases()") == []
    assert key_of(opened(stage, phone)) != former


def test_where_a_browser_keeps_no_key_it_says_so(stage: Stage, phone: BrowserContext) -> None:
    page = opened(stage, phone)
    page.evaluate("() => { IDBFactory.prototype.open = () => { throw new Error('forbidden'); }; }")
    for call in ("deviceKey()", "deviceSign(new Uint8Array(1))", "deviceForget()"):
        with pytest.raises(Error, match="forbidden"):
            page.evaluate(call)
