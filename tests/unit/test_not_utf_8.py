"""Bytes that are no UTF-8, where a text is read: each reader has its own answer to them.

msgspec raises `UnicodeDecodeError` for them, which is no error of msgspec's.
"""

from typing import Any

import pytest
from joserfc import jws

from agents.releases import _release_in
from app.audit.entries import entry_in
from app.login.ended import Ended
from app.sources.register import Register
from app.topics.catalogue import CATALOGUE, SOURCE_REGISTER, SOURCE_RELEASES
from app.topics.codec import Refusal, decode
from app.topics.records import Record
from app.web.tokens import InvalidToken, Tokens
from support.asgi import answer_to
from support.builders import PERSON, day
from support.gateways import NO_REDIS, NUMBER
from support.macs import KEYS, signed
from support.records import record
from support.tokens import OPERATOR, TOKENS, TRUST
from support.views import create_view, now, options_over, resident, someone

STRAY = (
    b"\x80",
    b"\xbf",
    b"\xe4",
    b"\xe9\xaa",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xff",
    b"\xf4\x90\x80\x80",
)


@pytest.mark.parametrize("stray", STRAY)
@pytest.mark.parametrize(
    "number", [NUMBER, "1101 0519 4912 3100 2X", "13800138000", "H1234567890", ""]
)
def test_a_record_with_a_number_beside_them_is_refused(stray: bytes, number: str) -> None:
    """It stood still the partition of a worker, until an operator let it go on."""
    value = b'{"specversion":"1.0","id":"%b","data":{"x":"%b"}}' % (number.encode(), stray)
    for headers in ((), (("ce_id", stray + number.encode()),)):
        with pytest.raises(Refusal, match="document-number" if number else "not-utf-8|not-a-cloud"):
            decode(value, PERSON.encode(), headers, CATALOGUE.topics["laboratory-results"], day(20))


@pytest.mark.parametrize("stray", STRAY)
def test_a_release_is_refused(stray: bytes) -> None:
    value = b'{"specversion":"1.0","type":"yuekang.source.released.v1","id":"%b"}' % stray
    found = record(value, day(20), topic=SOURCE_RELEASES, key=b"k", author=OPERATOR)
    with pytest.raises(Refusal, match="invalid"):
        _release_in(found, KEYS)


@pytest.mark.parametrize("stray", STRAY)
def test_a_change_of_the_register_changes_nothing(stray: bytes) -> None:
    value = b'{"specversion":"1.0","type":"yuekang.source.closed.v1","id":"%b"}' % stray
    register = Register()
    register.apply(signed(Record(SOURCE_REGISTER, b"switch /x", value), "/register"), KEYS)
    assert register.sources() == []


@pytest.mark.parametrize("stray", STRAY)
def test_a_line_is_none_of_ours(stray: bytes) -> None:
    assert entry_in(b'{"at":"2022-03-01T08:00:00Z","by":"%b"}' % stray) is None


@pytest.mark.parametrize("stray", STRAY)
async def test_a_token_with_them_is_not_valid(stray: bytes) -> None:
    header: Any = {"alg": "Ed25519", "typ": "at+jwt", "kid": TOKENS._key.kid}
    registry = jws.JWSRegistry(algorithms=["Ed25519"])
    token = jws.serialize_compact(header, b'{"iss":"%b"}' % stray, TOKENS._key, registry=registry)
    with pytest.raises(InvalidToken, match="claims"):
        await Tokens(TRUST).access_of(token)


PATHS = (
    *("/v1/scans", "/v1/me/declarations", "/v1/me/credential", "/v1/me/travel-card"),
    *("/login/again", "/login/device"),
)
FORM = b'--b\r\nContent-Disposition: form-data; name="token"\r\n\r\n%b\r\n--b--\r\n'


@pytest.mark.parametrize("stray", STRAY[:3])
async def test_the_view_answers_400(stray: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ended, "is_over", lambda *_: False)
    view = create_view(options_over(NO_REDIS, now))
    own = {
        **resident(someone()),
        "authorization": f"Bearer {TOKENS.token_for('/terminals/1')}",
        "origin": "http://127.0.0.1:8080",
    }
    for path in PATHS:
        body = b'{"id":"%b"}' % stray
        answer = await answer_to(view, "POST", path, own, body)
        assert answer.status == 400, path
    for path in ("/duty/login", "/declare/personal", "/travel-card"):
        kind = {"content-type": "multipart/form-data; boundary=b"}
        answer = await answer_to(view, "POST", path, own | kind, FORM % stray)
        assert answer.status == 400, path
