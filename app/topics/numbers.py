"""Where a record or an event carries a document number, or may carry a phone number.

The numbers are looked for in the bytes as they came, since a record that carries one may be broken
in any other way.
"""

import re
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import orjson
from stdnum.iso7064 import mod_11_2

from app.topics.catalogue import Topic
from app.topics.records import Headers
from models.events import EVENT_ID, EVENT_TYPES, FILE_NUMBER, KEYED_BY_PHONE
from models.phones import holds_phone_number


def searchable(value: bytes | None, key: bytes | None, headers: Headers) -> bytes:
    """Return a whole record to look through; each header stands as the member that it means."""
    members = (
        b'"%s":"%s"' % (name.removeprefix("ce_").encode(errors="replace"), raw or b"")
        for name, raw in headers
    )
    return b"\n".join((value or b"", b'"%s"' % (key or b""), *members))


def carries_document_number(raw: bytes) -> bool:
    """Say whether `raw` has a text with the form of a document number that the manual names.

    The number of a resident identity card, with its right check digit, counts wherever it stands,
    except in `sequence`. The number of a Mainland travel permit counts if it is a whole text.
    """
    if b"\\u00" in raw:
        raw = _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), raw)
    # The two regular expressions are slow; hardly any event needs them.
    rough = raw.translate(_ROUGH)
    if _ROUGH_PERMIT in rough and _PERMIT.search(raw):
        return True
    if _ROUGH_CARD not in rough:
        return False
    numbers = _CARD.findall(_SEQUENCE.sub(b"", raw))
    return any(mod_11_2.is_valid(number.decode().upper()) for number in numbers)


def carries_phone_number(
    value: bytes | None, key: bytes | None, headers: Headers, topic: Topic
) -> bool:
    """Say whether a refused record of `topic` may carry a phone number.

    This check is slow, and never asked of a record that is taken: unlike a document number, a phone
    number is nothing to refuse a record for. It has no check digit. So of the file numbers of 11
    digits every fourteenth would be taken for one, and an institution may give its own.

    Nor is there need. The fields that are kept are a closed list, and no field is a phone.
    `data.document` is refused by its name. A telecom has nothing but phones at hand, and may not
    write one into an id (models.checks.faults) or an extension (app.topics.codec).

    So this runs on refused records only, and decides whether their dead letter is sealed. Fields
    with a source's own numbers are skipped, except a telecom's.
    """
    raw = searchable(value, key, headers)
    raw = _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), raw)
    if KEYED_BY_PHONE.isdisjoint(topic.events):
        raw = _OWN_NUMBERS.sub(b"", raw)
    return holds_phone_number(_SEQUENCE.sub(b"", raw).decode(errors="replace"))


def fields_with_document_number(value: Any, path: str = "") -> Iterator[str]:
    """Yield the dotted paths in parsed JSON that carry a document number; "$" is the whole."""
    match value:
        case dict() if not carries_document_number(orjson.dumps([*value])):
            for name, member in value.items():
                if name != "sequence":
                    yield from fields_with_document_number(member, f"{path}.{name}")
        case list():
            for number, item in enumerate(value):
                yield from fields_with_document_number(item, f"{path}[{number}]")
        case _ if carries_document_number(orjson.dumps(value)):
            yield path.lstrip(".") or "$"


def _own_numbers() -> Iterator[str]:
    """Yield the fields that hold a number of the source's own."""
    forms = {FILE_NUMBER.pattern, EVENT_ID.pattern}
    for cls in EVENT_TYPES.values():
        for of in (cls, cls.__annotations__["data"]):
            for field in msgspec.structs.fields(of):
                for part in (field.type, *get_args(field.type)):
                    for meta in getattr(part, "__metadata__", ()):
                        if (meta.extra_json_schema or {}).get("pattern") in forms:
                            yield field.name


_CARD = re.compile(
    rb"(?<![0-9])[1-9]\d{5}(?:18|19|20)\d\d(?:0[1-9]|1[0-2])"
    rb"(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?![0-9A-Za-z])"
)
_SEQUENCE = re.compile(rb'"sequence"\s*:\s*"[0-9]*"')
_OWN_NUMBERS = re.compile(rb'"(?:%s)"\s*:\s*"[^"]*"' % "|".join(sorted(_own_numbers())).encode())
_ESCAPED = re.compile(rb"\\u00([0-7][0-9A-Fa-f])")
_PERMIT = re.compile(rb'"[HMhm]\d{8}(?:\d\d)?"')
_ROUGH = bytes.maketrans(b"123456789Mhm", b"000000000HHH")
_ROUGH_CARD = b"0" * 17
_ROUGH_PERMIT = b'"H' + b"0" * 8
