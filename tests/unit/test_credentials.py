"""A credential: what it says, who may sign it, who may show it, and that it fits its QR.

`cwt`, an independent library, reads what we sign.
"""

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
import segno
import zxingcpp
from cbor2 import CBORTag
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cwt import COSE, COSEKey, VerifyError
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey
from PIL import Image

from app.credentials.bounds import NAME_BYTES_MAX, TEXT_LENGTH_MAX
from app.credentials.cbor import NotCbor, pack, unpack
from app.credentials.claims import Claims, PhoneKey, read_claims, short_name
from app.credentials.cose import Forged, read_sign1, sign1
from app.credentials.keys import IssuerKeys
from app.credentials.proofs import read_proof
from app.credentials.statuses import LIST_TYPE
from app.login.names import mask
from app.projection.holdings import CHUNK_BITS, Place
from models.codes import Colour
from support.credentials import NOON, Phone, claims, credential, text_of

KEYS = IssuerKeys(bytes(range(32)))
OTHERS = IssuerKeys(bytes(32))
PHONE = Phone(7)


def public(keys: IssuerKeys) -> bytes:
    return base64.urlsafe_b64decode(keys.answer().keys[0].x + "=")


def cose_key(keys: IssuerKeys) -> Any:
    """The key in use, as `cwt` has it."""
    kid = base64.urlsafe_b64decode(keys.answer().keys[0].kid + "=")
    return COSEKey.new({1: 1, -1: 6, -2: public(keys), 2: kid, 3: -8})


# What it says


def test_it_says_what_was_put_into_it() -> None:
    found = read_claims(KEYS.verified(credential(KEYS, PHONE)))
    assert found == claims(PHONE)


def test_another_library_verifies_it_and_reads_the_same() -> None:
    raw = credential(KEYS, PHONE)
    payload = COSE.new().decode(raw, cose_key(KEYS))
    x, y_odd = PHONE.key.point()
    assert unpack(payload) == {
        4: int(claims(PHONE).until.timestamp()),
        8: {1: {1: 2, -1: 1, -2: x, -3: y_odd}},
        65535: {"status_list": {"idx": 70_000, "uri": "s/00ff1a"}},
        -65537: [1, "样*甲", "123X"],
    }
    changed = raw[:-1] + bytes([raw[-1] ^ 1])
    with pytest.raises(VerifyError):
        COSE.new().decode(changed, cose_key(KEYS))


def test_it_names_no_person_and_says_not_when_it_was_made() -> None:
    signed = KEYS.verified(credential(KEYS, PHONE))
    assert unpack(signed.payload).keys() == {4, 8, 65535, -65537}
    assert signed.headers.keys() == {1, 4}


def test_a_log_shows_neither_name_nor_ending() -> None:
    said = repr(claims(PHONE))
    assert "样" not in said
    assert "123X" not in said


# Who signed it


def test_of_each_changed_byte_nothing_is_left() -> None:
    raw = credential(KEYS, PHONE)
    for at in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[at] ^= 1 << bit
            with pytest.raises(Forged):
                read_claims(KEYS.verified(bytes(changed)))


@given(st.binary(max_size=300))
def test_no_bytes_of_anybody_are_a_credential(raw: bytes) -> None:
    for each in (raw, b"\xd2\x84" + raw):
        with pytest.raises(Forged):
            read_claims(KEYS.verified(each))


def test_another_key_is_not_ours() -> None:
    with pytest.raises(Forged):
        KEYS.verified(credential(OTHERS, PHONE))


def test_another_key_under_the_name_of_ours_is_found_out() -> None:
    ours = KEYS.verified(credential(KEYS, PHONE))
    with pytest.raises(Forged):
        KEYS.verified(sign1(SigningKey(bytes(32)), {4: ours.headers[4]}, ours.payload))


def test_a_former_key_is_good_for_as_long_as_it_is_listed() -> None:
    raw = credential(OTHERS, PHONE)
    now = IssuerKeys(bytes(range(32)), [public(OTHERS)])
    assert read_claims(now.verified(raw)) == claims(PHONE)
    assert [key.x for key in now.answer().keys] == [
        KEYS.answer().keys[0].x,
        OTHERS.answer().keys[0].x,
    ]


def test_a_status_list_is_no_credential() -> None:
    payload = KEYS.verified(credential(KEYS, PHONE)).payload
    with pytest.raises(Forged):
        read_claims(KEYS.verified(KEYS.sign(payload, {16: LIST_TYPE})))


@pytest.mark.parametrize(
    "value",
    [
        CBORTag(17, [b"\xa1\x01\x27", {}, b"", bytes(64)]),
        CBORTag(18, [b"\xa1\x01\x26", {}, b"", bytes(64)]),
        CBORTag(18, [b"\xa1\x01\x27", {4: b"x"}, b"", bytes(64)]),
        CBORTag(18, [b"\xa1\x01\x27", {}, b"", bytes(63)]),
        CBORTag(18, [b"\xa1\x01\x27", {}, None, bytes(64)]),
        CBORTag(18, [b"\xa1\x01\x27", {}, b"", bytes(64), 1]),
        CBORTag(18, [b"\x27", {}, b"", bytes(64)]),
        [b"\xa1\x01\x27", {}, b"", bytes(64)],
    ],
    ids=[
        "another tag",
        "another algorithm",
        "a header that is not signed",
        "a short signature",
        "no payload",
        "one more",
        "no headers",
        "no tag",
    ],
)
def test_another_form_is_refused(value: object) -> None:
    with pytest.raises(Forged):
        read_sign1(pack(value))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x18\x01",  # 1 in two bytes
        b"\x01\x01",
        b"\xa2\x02\x00\x01\x00",  # keys out of order
        b"\xa2\x01\x00\x01\x00",
        b"\x9f\x01\xff",
        b"\x81" * 2_000,
        b"\xc0\x61x",
        b"\xd8\x1c\x81\xd8\x1d\x00",
    ],
    ids=["nothing", "long", "two", "order", "twice", "open", "deep", "date", "cycle"],
)
def test_there_is_one_form_of_each_value(raw: bytes) -> None:
    with pytest.raises(NotCbor):
        unpack(raw)


# Whose key


def test_the_phones_key_is_the_one_that_it_sent() -> None:
    for number in range(1, 40):
        phone = Phone(number)
        raw = b"\x04" + b"".join(
            base64.urlsafe_b64decode(phone.jwk[name] + "=") for name in ("x", "y")
        )
        ours = claims(phone).phone_key.public_numbers()
        assert ours == EllipticCurvePublicKey.from_encoded_point(SECP256R1(), raw).public_numbers()


def test_a_point_beside_the_curve_is_refused() -> None:
    one = base64.urlsafe_b64encode(bytes([*bytes(31), 1])).decode().rstrip("=")
    with pytest.raises(ValueError, match="curve"):
        PhoneKey("EC", "P-256", one, one).point()


# Who shows it


def test_a_proof_says_what_the_credential_says_and_when() -> None:
    raw = credential(KEYS, PHONE)
    proof = read_proof(PHONE.show(raw, NOON), KEYS)
    assert (proof.claims, proof.shown_at) == (claims(PHONE), NOON)


def test_of_each_changed_character_nothing_is_left() -> None:
    text = PHONE.show(credential(KEYS, PHONE), NOON)
    for at in range(len(text)):
        for character in "0 :":
            if text[at] != character:
                with pytest.raises(Forged):
                    read_proof(text[:at] + character + text[at + 1 :], KEYS)
        with pytest.raises(Forged):
            read_proof(text[:at], KEYS)


def test_the_credential_of_another_cannot_be_shown() -> None:
    with pytest.raises(Forged):
        read_proof(Phone(8).show(credential(KEYS, PHONE), NOON), KEYS)


def test_a_proof_does_not_go_with_another_credential_or_second() -> None:
    raw = credential(KEYS, PHONE)
    second = int(NOON.timestamp())
    message = b"yuekang proof" + hashlib.sha256(raw).digest() + second.to_bytes(8, "big")
    signature = PHONE.sign(message)
    assert read_proof(text_of(raw, second, signature), KEYS).shown_at == NOON
    other = credential(KEYS, PHONE, colour=Colour.RED)
    for stolen in (text_of(other, second, signature), text_of(raw, second + 1, signature)):
        with pytest.raises(Forged):
            read_proof(stolen, KEYS)


@pytest.mark.parametrize("text", ["", "YK1:", "YK1:A", "YK1:::::", "YK2:00", "YK1:" + "0" * 500])
def test_other_texts_are_forged(text: str) -> None:
    with pytest.raises(Forged):
        read_proof(text, KEYS)


# How long it is


def longest() -> bytes:
    phone = Phone(7)
    return credential(
        KEYS,
        phone,
        until=datetime(2105, 1, 1, tzinfo=UTC),
        place=Place("ffffff", CHUNK_BITS - 1),
        name="买" * (NAME_BYTES_MAX // 3),
    )


def test_the_longest_fits_a_qr_of_version_12_and_zxing_reads_it_at_arms_length() -> None:
    text = PHONE.show(longest(), datetime(2105, 1, 1, tzinfo=UTC))
    assert len(text) <= TEXT_LENGTH_MAX
    qr = segno.make(text, version=12, error="m", mask=4, boost_error=False, micro=False)
    side = len(qr.matrix) + 8
    picture = Image.new("L", (side, side), 255)
    for y, row in enumerate(qr.matrix):
        for x, dark in enumerate(row):
            if dark:
                picture.putpixel((x + 4, y + 4), 0)
    small = picture.resize((4 * side, 4 * side)).resize((200, 200), Image.Resampling.BILINEAR)
    assert zxingcpp.read_barcodes(small)[0].text == text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (mask("陈小明"), "陈*明"),
        (mask("欧阳小明"), "欧**明"),
        (mask("买买提江·艾力江"), "买**江·艾*江"),
        (mask("阿卜杜热合曼·买买提艾力"), "阿****曼·买…"),
        (mask("Ana Rosa Lima Santos"), "A** R*** L*** S…"),
        (mask("Maximilian Alexander Smith"), "M********* A***…"),
        ("", ""),
    ],
)
def test_a_name_that_is_too_long_is_cut_where_it_may_be(name: str, shown: str) -> None:
    assert len(short_name(name).encode()) <= NAME_BYTES_MAX
    assert short_name(name) == shown


@given(st.text(max_size=40))
def test_every_name_fits(name: str) -> None:
    assert len(short_name(name).encode(errors="replace")) <= NAME_BYTES_MAX


@given(
    st.integers(1_600_000_000, 4_000_000_000),
    st.integers(0, CHUNK_BITS - 1),
    st.sampled_from([Colour.RED, Colour.GREEN]),
    st.integers(1, 1_000),
)
def test_what_is_encoded_is_read(until: int, index: int, colour: Colour, key: int) -> None:
    whole = datetime.fromtimestamp(until, UTC)
    said = claims(Phone(key), until=whole, place=Place("abcdef", index), colour=colour)
    raw = credential(KEYS, Phone(key), until=whole, place=Place("abcdef", index), colour=colour)
    found: Claims = read_claims(KEYS.verified(raw))
    assert found == said
