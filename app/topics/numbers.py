"""Where a record or an event carries the number of a document or a phone.

The numbers are looked for in the bytes as they came, since a record that carries one may be broken
in any other way. models.personal says what is found. Here is the first look, which all events pay
for: it lets hardly any honest event through to that.
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from app.process.macs import MAC
from app.topics.records import Headers
from models.personal import holds_personal_number, respelt


def searchable(value: bytes | None, key: bytes | None, headers: Headers) -> bytes:
    """Return a whole record to look through; each header stands as the member that it means.

    Its MAC is left out, which is the last header of that name: nobody writes it, and of two million
    one has the form of a card.
    """
    mac = max((place for place, (name, _) in enumerate(headers) if name == MAC), default=None)
    members = (
        b'"%s":"%s"' % (name.removeprefix("ce_").encode(errors="replace"), raw or b"")
        for place, (name, raw) in enumerate(headers)
        if place != mac
    )
    return b"\n".join((value or b"", b'"%s"' % (key or b""), *members))


def carries_personal_number(raw: bytes) -> bool:
    """Say whether `raw` has the number of a document or a phone, as models.personal finds them."""
    rough = raw.translate(_ROUGH, _GAPS)
    if _OTHER in rough:
        raw = _MARKS.sub(b"|", raw)
        rough = raw.translate(_ROUGH, _GAPS)
    if _OTHER in rough:
        raw = respelt(raw.decode(errors="replace")).encode(errors="replace")
        rough = raw.translate(_ROUGH, _GAPS)
    return _is_suspicious(raw, rough) and holds_personal_number(raw.decode(errors="replace"))


def fields_with_personal_number(value: Any, path: str = "") -> Iterator[str]:
    """Yield the dotted paths in parsed JSON that carry such a number; "$" is the whole."""
    match value:
        case dict() if not carries_personal_number(orjson.dumps([*value])):
            for name, member in value.items():
                if name != "sequence":
                    yield from fields_with_personal_number(member, f"{path}.{name}")
                elif carries_personal_number(orjson.dumps({name: member})):
                    yield f"{path}.{name}".lstrip(".")
        case list():
            for number, item in enumerate(value):
                yield from fields_with_personal_number(item, f"{path}[{number}]")
        case _ if carries_personal_number(orjson.dumps(value)):
            yield path.lstrip(".") or "$"


def _is_suspicious(raw: bytes, rough: bytes) -> bool:
    """Say whether to look closely at `raw`, which is `rough` if looked at roughly."""
    if _ROUGH_PERMIT in rough and _PERMIT.search(raw):
        return True
    begin = rough.find(_LONG)
    looked_at = 0
    while begin >= 0:
        end = begin + len(_RUN.match(rough, begin)[0])  # type: ignore[index]
        if end - begin > _SEQUENCE_DIGITS or not rough.endswith(_SEQUENCES, 0, begin):
            looked_at += 1
            if looked_at > _RUNS_MAX or _may_be_number(raw, begin, end):
                return True
        begin = rough.find(_LONG, end)
    return False


def _may_be_number(raw: bytes, begin: int, end: int) -> bool:
    """Look at one run of digits, at its place in `raw` without separators."""
    plain = raw.translate(None, _GAPS)
    run = plain[begin:end]
    if run not in raw:
        return _ANYWHERE.search(plain, begin, end + 1) is not None
    if end - begin < _CARD_DIGITS:
        return _WHOLE.fullmatch(run) is not None
    return _CARD.search(plain, begin, end + 1) is not None


_GAPS = b" \t._/-"
"""The separators of models.personal."""

_UNREAD = (0x5C, *range(0xC0, 0xE4), *range(0xEA, 0x100))
_ROUGH = bytes.maketrans(b"123456789Mhm" + bytes(_UNREAD), b"000000000HHH" + b"\xff" * len(_UNREAD))
"""Any digit is 0, any H or M is H. 0xff is what may stand for something else: a backslash, and what
begins a character in UTF-8 outside of U+4000 to U+9FFF, where nearly all Chinese ones are."""

_OTHER = b"\xff"
_MARKS = re.compile("（|）|，|、|：".encode())
"""Full-width marks that many Chinese names have: to read one in another way takes 12 µs."""

_LONG = b"0" * 11
"""No other number that is looked for has fewer digits."""
_ROUGH_PERMIT = b"H" + b"0" * 8
_PERMIT = re.compile(rb"[HMhm](?<![0-9A-Za-z].)[ \t._/-]?[0-9]{4}[ \t._/-]?[0-9]{4}")
_RUN = re.compile(rb"0+")
_SEQUENCES = b'"sequence":"', b'"SEQUENCE":"'
_SEQUENCE_DIGITS = 16
"""A sequence of no more digits is not looked at: microseconds have 16, and a card 18."""

_CARD_DIGITS = 17
"""Its check character may be an X."""
_RUNS_MAX = 32
"""An event with more long runs of digits is looked at closely at once, so the time that the first
look takes does not grow with their number."""

_DAY = rb"(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
_PHONE = rb"1[3-9][0-9]{9}"
_OLD_CARD = rb"[1-7][0-9]{5}[2-9][0-9]%s[0-9]{3}" % _DAY
_CARD = re.compile(rb"[1-8][0-9]{5}(?:18|19|20)[0-9]{2}%s[0-9]{3}[0-9xX]" % _DAY)
_WHOLE = re.compile(rb"(?:(?:00)?86)?%s|%s" % (_PHONE, _OLD_CARD))
"""A number of less digits, which counts only as a whole run."""
_ANYWHERE = re.compile(rb"%s|%s|%s" % (_PHONE, _OLD_CARD, _CARD.pattern))
"""Any of them. If separators stood in the run, any of its parts may be a whole one."""
