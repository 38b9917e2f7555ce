"""Numbers of documents and phones are found however they are written, and honest texts pass."""

import itertools
import random
import re
from datetime import UTC, date, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.iso7064 import mod_11_2

from app.gateway.admission import Admission
from app.gateway.person_keys import PersonKeys
from app.topics.catalogue import CATALOGUE
from app.topics.codec import Code, Refusal, decode, encode
from app.topics.numbers import carries_personal_number, fields_with_personal_number
from app.topics.records import binary
from models.events import SOURCE
from models.personal import holds_personal_number
from support import builders as b
from support.macs import KEYS

CARD = "445221197711036271"
OLD = "445221771103627"
PERMIT = "H1234567890"
PHONE = "13977712345"
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
WITH_X = "11010519491231002X"
CHILD = "440100202103150012"[:17] + mod_11_2.calc_check_digit("44010020210315001")

FOUND = {
    "as it is": CARD,
    "number and day": f"{CARD}20220420",
    "day and number": f"20220420{CARD}",
    "a letter behind": f"{CARD}A",
    "a small letter behind": f"{CARD}a",
    "a letter before": f"A{CARD}",
    "a zero before": f"0{CARD}",
    "T1 behind": f"{CARD}T1",
    "a count behind": f"{CARD}-1",
    "an underscore behind": f"{CARD}_1",
    "within a Chinese text": f"欧阳金丝雀{CARD}号",
    "full-width": f"欧阳金丝雀{CARD.translate(FULL_WIDTH)}",
    "Arabic digits": CARD.translate(ARABIC),
    "circled": "".join("⓪①②③④⑤⑥⑦⑧⑨"[int(digit)] for digit in CARD),
    "superscript": "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in CARD),
    "bold": "".join(chr(0x1D7CE + int(digit)) for digit in CARD),
    "keycaps": "".join(f"{digit}\ufe0f\u20e3" for digit in CARD),
    "blanks": f"{CARD[:6]} {CARD[6:14]} {CARD[14:]}",
    "a blank between any two": " ".join(CARD),
    "hyphens": f"{CARD[:6]}-{CARD[6:14]}-{CARD[14:]}",
    "dots": ".".join(CARD),
    "slashes": f"{CARD[:6]}/{CARD[6:14]}/{CARD[14:]}",
    "en dashes": f"{CARD[:6]}–{CARD[6:14]}–{CARD[14:]}",
    "middle dots": f"{CARD[:6]}·{CARD[6:14]}·{CARD[14:]}",
    "no-break blanks": f"{CARD[:6]}\u00a0{CARD[6:14]}\u2009{CARD[14:]}",
    "ideographic blanks": f"{CARD[:6]}\u3000{CARD[6:]}",
    "zero width": "\u200b".join(CARD),
    "soft hyphens": "\u00ad".join(CARD),
    "bidi controls": f"{CARD[:9]}\u202e\u2066{CARD[9:]}",
    "a tab": f"{CARD[:6]}\t{CARD[6:]}",
    "beside full-width brackets": f"（{CARD}）",
    "an X": WITH_X,
    "a small x": WITH_X.lower(),
    "a full-width X": WITH_X.replace("X", "Ｘ"),
    "an X and more": f"nat{WITH_X}20220420",
    "a child's by itself": CHILD,
    "a residence permit": "810000199408230021",
    "the old number": OLD,
    "the old number in parts": f"{OLD[:6]} {OLD[6:12]} {OLD[12:]}",
    "the old number, full-width": OLD.translate(FULL_WIDTH),
    "a permit": PERMIT,
    "a permit in small": PERMIT.lower(),
    "a permit of 9": "M12345678",
    "a permit within a text": f"nat-{PERMIT}",
    "a permit in a Chinese text": f"持证人{PERMIT}号",
    "a permit, full-width": "Ｈ" + PERMIT[1:].translate(FULL_WIDTH),
    "a permit in parts": "H 1234 5678 90",
    "a phone": PHONE,
    "a phone behind a name": f"欧阳金丝雀{PHONE}",
    "a phone behind letters": f"tel{PHONE}",
    "a phone in parts": "139-7771-2345",
    "a phone with blanks": "139 777 12345",
    "a phone, a blank between any two": " ".join(PHONE),
    "a phone, hyphens between any two": "-".join(PHONE),
    "a phone, full-width": PHONE.translate(FULL_WIDTH),
    "a phone, zero width": "\u200d".join(PHONE),
    "a phone with +86": f"+86{PHONE}",
    "a phone with +86 and a blank": f"+86 {PHONE}",
    "a phone with 86": f"86{PHONE}",
    "a phone with 0086": f"0086-{PHONE}",
    "a phone and a count": f"{PHONE}-1",
}
HONEST = {
    "a file number": "R-220307-0410",
    "a case": "CN-2022-000123",
    "a barcode of 10": "6901234567",
    "a barcode of 12": "690123456789",
    "a barcode of 13": "6901234567892",
    "a barcode of 20": "80251379046218357904",
    "division, day, count": "44010020220420000123",
    "division, day, count with hyphens": "440100-20220420-000123",
    "any division, day, count, of 20": "44030020220101123456",
    "a day and a count": "20220420000123",
    "a clock of 15": "220420235959123",
    "a clock of 14": "20220420235959",
    "a clock of 17": "20220420235959123",
    "milliseconds": "1650412345678",
    "microseconds": "1650412345678901",
    "nanoseconds": "1650412345678901234",
    "UUID": "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
    "UUID of digits": "13800138-0013-4800-8000-13800138000a",
    "UUID without hyphens": "a13800138000f4f8941d39a0c0305e82",
    "SHA-256": "9f13800138000a" + "b1" * 25,
    "trace": "00-4bf92f13800138000c34da6a3ce929d0-00f067aa0ba902b7-01",
    "ULID": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "H and a day": "H20220420",
    "H and a day and a count": "nat-M-20220420",
    "H and 11 digits": "H20220420001",
    "letters and 8 digits": "GDPH00000001",
    "M and a short count": "M-220306-0452",
    "a landline": "020-83828888",
    "a hotline": "12320",
    "a wrong check character": CARD[:-1] + "2",
    "no day": "445221197713036271",
    "no region": "995221197711036271",
    "a card's form of today in a longer run": "1" + CHILD,
    "a number and a day": "15-20220420-7",
    "an instant": "2022-04-20T13:00:00.138001+08:00",
    "a person key": "p1-3456723456723456723456723456abcd",
    "a Chinese name": "广州市第八人民医院（嘉禾院区），发热门诊",
    "a street": "广州市天河区体育西路189号1801室",
}


@pytest.mark.parametrize("text", FOUND.values(), ids=FOUND)
def test_a_number_is_found_however_it_is_written(text: str) -> None:
    assert holds_personal_number(text)
    for around in ("%s", "广州 %s", "(%s)"):
        whole = around % text
        assert carries_personal_number(orjson.dumps({"place": whole}))
        assert carries_personal_number(orjson.dumps({whole: 1}))
        escaped = "".join(f"\\u{ord(c):04x}" if c < "\U00010000" else c for c in whole)
        assert carries_personal_number(f'{{"place":"{escaped}"}}'.encode())


@pytest.mark.parametrize("text", HONEST.values(), ids=HONEST)
def test_an_honest_text_passes(text: str) -> None:
    assert not holds_personal_number(text)
    assert not carries_personal_number(orjson.dumps({"id": text, "place": f"广州 {text}"}))


def whole(text: str) -> dict[str, Any]:
    """An event with `text` as its id if it can be one, else as its institution."""
    event: dict[str, Any] = orjson.loads(encode(b.negative(b.day(2), source="/laboratories/1")))
    if text.isascii() and text.isprintable() and " " not in text:
        event["id"] = text
    else:
        event["data"]["institution"] = text
    return event


def code_of(event: dict[str, Any], *, in_headers: bool = False) -> str | None:
    topic, key = CATALOGUE.topics["laboratory-results"], b.PERSON.encode()
    headers: tuple[tuple[str, bytes], ...] = ()
    value = orjson.dumps(event)
    if in_headers:
        attributes = {name: str(said) for name, said in event.items() if name != "data"}
        headers = tuple((f"ce_{name}", said.encode()) for name, said in attributes.items())
        value = orjson.dumps(event["data"])
    try:
        decode(value, key, headers, topic, b.day(3))
    except Refusal as refusal:
        return refusal.code
    return None


@pytest.mark.parametrize("text", FOUND.values(), ids=FOUND)
def test_the_entrance_of_kafka_refuses_each_in_both_modes(text: str) -> None:
    assert code_of(whole(text)) == Code.DOCUMENT_NUMBER
    assert code_of(whole(text), in_headers=True) == Code.DOCUMENT_NUMBER


@pytest.mark.parametrize("text", HONEST.values(), ids=HONEST)
def test_the_entrance_of_kafka_takes_what_is_honest(text: str) -> None:
    event = whole(text)
    assert code_of(event) is None
    assert code_of(event, in_headers=True) is None


ADMISSION = Admission(PersonKeys(bytes(32), 1), KEYS, lambda: b.day(3))


@pytest.mark.parametrize("text", FOUND.values(), ids=FOUND)
def test_the_gateway_refuses_each_and_does_not_repeat_it(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        ADMISSION.admit(whole(text), "/laboratories/1")
    assert caught.value.code is Code.DOCUMENT_NUMBER
    assert text not in f"{caught.value} {caught.value.faults}"
    assert [fault.field for fault in caught.value.faults] in (["id"], ["data.institution"])


def test_the_gateway_takes_what_is_honest() -> None:
    for text in HONEST.values():
        assert ADMISSION.admit(whole(text), "/laboratories/1")


def test_a_sequence_is_looked_at_for_cards_alone() -> None:
    for number, code in (
        (CARD, "document-number"),
        ("000" + CARD, "document-number"),
        (OLD, None),
        (PHONE, None),
        ("1650412345678901", None),
        ("999999999999999999", None),
    ):
        event = {**whole("e1"), "sequence": number}
        assert code_of(event) == code, number
        assert code_of(event, in_headers=True) == code, number
        assert code_of(orjson.loads(orjson.dumps(event, option=orjson.OPT_INDENT_2))) == code


def test_the_fields_that_carry_one_are_named() -> None:
    event = {**whole(PHONE), "sequence": CARD, "note": [PERMIT, "x"], "trace": "0" * 11}
    event["data"]["institution"] = CARD.translate(FULL_WIDTH)
    named = sorted(fields_with_personal_number(event))
    assert named == ["data.institution", "id", "note[0]", "sequence"]


GAPS = st.sampled_from(["", "", "", " ", "-", ".", "_", "/", "\u200b", "\u3000", "\u2013"])
DIGITS = st.sampled_from([str.maketrans({}), FULL_WIDTH, ARABIC])


@given(
    st.dates(date(1893, 1, 1), date(2019, 11, 30)),
    st.sampled_from(["110105", "440100", "810000", "659001", "710000"]),
    st.integers(0, 999),
    st.lists(GAPS, min_size=18, max_size=18),
    DIGITS,
    st.sampled_from(["", "0", "20220420", "nat", "广"]),
    st.sampled_from(["", "1", "20220420", "A", "号"]),
)
def test_any_card_is_found_in_any_spelling(
    born: Any,
    region: str,
    number: int,
    gaps: list[str],
    digits: Any,
    before: str,
    behind: str,
) -> None:
    body = f"{region}{born:%Y%m%d}{number:03}"
    card = body + mod_11_2.calc_check_digit(body)
    text = before + "".join(map(str.__add__, card, gaps)).translate(digits) + behind
    assert carries_personal_number(orjson.dumps({"id": text}))


@given(st.text(st.sampled_from("0123456789-. HMhmXx1398aF\u200b０"), max_size=40))
def test_the_first_look_lets_nothing_through(text: str) -> None:
    raw = orjson.dumps({"id": text})
    assert carries_personal_number(raw) == holds_personal_number(raw.decode())


def rate(texts: Any, count: int = 20_000) -> float:
    return sum(carries_personal_number(b'{"id":"%s"}' % next(texts)) for _ in range(count)) / count


def test_hardly_any_number_of_a_sources_own_is_taken_for_one() -> None:
    """The rates of docs/decisions/0028-personal-numbers.md; those below 1/10,000 need more."""
    draw = random.Random(19)

    def digits(length: int) -> Any:
        return (b"%0*d" % (length, draw.randrange(10**length)) for _ in itertools.count())

    assert rate(digits(12)) == 0
    assert rate(digits(13)) < 1 / 500
    assert rate(digits(14)) == 0
    assert rate(digits(20)) < 1 / 2_000
    assert rate(b"%032x" % draw.getrandbits(128) for _ in itertools.count()) == 0
    assert 1 / 20 < rate(digits(11)) < 1 / 10
    assert 1 / 250 < rate(digits(15)) < 1 / 80


def test_an_event_that_is_all_numbers_takes_no_longer_than_its_length_asks() -> None:
    """No text of the largest event takes a second."""
    largest = 65_536
    for piece in (b"1", b"1 ", b"013800138000,", b"H1", b"44522119", b"1-", b"86", b"a1", b"(M"):
        raw = piece * (largest // len(piece))
        begin = datetime.now(UTC)
        carries_personal_number(raw)
        assert (datetime.now(UTC) - begin).total_seconds() < 1, piece


def test_what_stands_in_every_event_is_none() -> None:
    assert re.fullmatch(SOURCE, "/laboratories/440100-001")
    for event in (b.verified(), b.negative(b.day(2)), b.suspected(b.day(2))):
        assert not carries_personal_number(encode(event))
        for _, raw in binary(event).headers:
            assert not carries_personal_number(raw)


@pytest.mark.parametrize("control", "\u202e\u2066\u200b\u2028\u2029\u0085\ufeff\u200f\u0007")
def test_a_name_holds_no_control_character(control: str) -> None:
    """It would turn around, or hide, what a page says beside it."""
    event = whole("e1")
    event["data"]["institution"] = f"广州{control}医院"
    assert code_of(event) == Code.INVALID
