"""Which document numbers can exist.

No number is looked up. The checks say only whether a number can have been issued at all, so that a
slip of the pen does not become another person. No error repeats its number.

Sources:

- Resident identity card (居民身份证): GB 11643-1999, 公民身份号码: 6 digits of the place of first
  registration (GB/T 2260), 8 of the birthday, 3 of sequence, a check character of ISO 7064
  MOD 11-2, in which ten is written X.
- Residence permit of Hong Kong, Macao and Taiwan residents (港澳台居民居住证): 港澳台居民居住证申领
  发放办法 of 2018: the same number, its place being 810000, 820000 or 830000.
- Mainland travel permit of Hong Kong and Macao residents (港澳居民来往内地通行证): rules of the
  number, 公安部出入境管理局, 10 March 2010: H or M, 8 digits that stay with the holder for life,
  and 2 digits that count renewals from 00. Permits since 2013 print the first 9 characters as the
  number and the count apart from it.
"""

import re
from datetime import date
from typing import assert_never

from msgspec import Struct
from stdnum.iso7064 import mod_11_2

from models.events import PROVINCES, DocumentType

AGE_YEARS_MAX = 130
"""Own decision: nobody is known to have lived longer than 122 years."""

_PROVINCES = re.compile(PROVINCES)
"""Only these two digits are checked. Counties come and go, and a card keeps the county of its
day."""

RESIDENCE_PERMIT_REGIONS = {"81": "810000", "82": "820000", "83": "830000"}
"""Hong Kong, Macao, Taiwan: one region each."""

_CARD = re.compile(r"[0-9]{17}[0-9X]")
_CARD_LOWER_X = re.compile(r"[0-9]{17}x")
_PERMIT = re.compile(r"([HM][0-9]{8})([0-9]{2})?")

NUMBER = re.compile(rf"^({_CARD.pattern}|{_PERMIT.pattern})$")
"""The form of any document's number."""


class Document(Struct, frozen=True):
    """A document that can exist. `number` is in the one form that stands for its holder.

    The number names a person and goes no further than the gateway, so `repr` leaves it out.
    """

    type: DocumentType
    number: str

    def __repr__(self) -> str:
        return f"Document({self.type.value})"


class DocumentError(ValueError):
    """A number that was never issued. None of its parts repeats the number.

    `field` is "type" or "number"; `code` names the fault in kebab-case; `detail` says what is
    wrong, `expected` what would be right.
    """

    def __init__(self, field: str, code: str, detail: str, expected: str) -> None:
        super().__init__(f"{field}: {detail} {expected}")
        self.field = field
        self.code = code
        self.detail = detail
        self.expected = expected


def parse_document(type_name: str, number: str, today: date) -> Document:
    """Return the document of this type and number, or raise `DocumentError`.

    `today` (in Asia/Shanghai) bounds the birthday. Numbers are taken as issued: no blanks, hyphens
    or full-width digits, and X as a capital. A source that writes a number in two ways also stores
    and corrects it in two ways, so it is told at once.
    """
    try:
        document_type = DocumentType(type_name)
    except ValueError:
        raise DocumentError(
            "type",
            "unknown-document-type",
            "There is no such type of document here.",
            f"One of {', '.join(DocumentType)}.",
        ) from None
    match document_type:
        case DocumentType.RESIDENT_IDENTITY_CARD:
            return Document(document_type, _card(number, today))
        case DocumentType.MAINLAND_TRAVEL_PERMIT:
            return Document(document_type, _permit(number))
        case _:
            assert_never(document_type)


def _card(number: str, today: date) -> str:
    if _CARD_LOWER_X.fullmatch(number):
        raise _wrong("lower-case-x", "The check character is a lower-case x.", "Write X.")
    if not _CARD.fullmatch(number):
        raise _wrong(
            "form",
            f"It has {_count(number)} and not the form of a resident identity card's number.",
            "18 characters: 17 digits, then a digit or X; no blanks.",
        )
    _check_region(number[:6])
    _check_birthday(number[6:14], today)
    if mod_11_2.checksum(number) != 1:
        raise _wrong(
            "check-digit",
            "Its last character does not follow from the others; at least one is mistyped.",
            "The check character of ISO 7064 MOD 11-2 (GB 11643); compare it with the card.",
        )
    return number


def _check_region(region: str) -> None:
    permit_region = RESIDENCE_PERMIT_REGIONS.get(region[:2])
    if permit_region is None and not _PROVINCES.fullmatch(region[:2]):
        raise _wrong(
            "region",
            "Its first two digits are of no province.",
            "A province of GB/T 2260, such as 44 for Guangdong.",
        )
    if permit_region not in (None, region):
        raise _wrong(
            "region",
            "Its first six digits are of no residence permit.",
            "810000, 820000 or 830000 on permits of Hong Kong, Macao and Taiwan residents.",
        )


def _check_birthday(digits: str, today: date) -> None:
    expected = "Digits 7 to 14 are the birthday, as YYYYMMDD."
    try:
        birthday = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        raise _wrong("birthday", "Its birthday is not a day of the calendar.", expected) from None
    if birthday > today:
        raise _wrong("birthday", "Its birthday lies in the future.", expected)
    if today.year - birthday.year > AGE_YEARS_MAX:
        raise _wrong("birthday", f"Its birthday is more than {AGE_YEARS_MAX} years ago.", expected)


def _permit(number: str) -> str:
    """Return the 9 characters that stay with the holder, whatever the count of renewals."""
    match = _PERMIT.fullmatch(number)
    if match is None:
        raise _wrong(
            "form",
            f"It has {_count(number)} and not the form of a mainland travel permit's number.",
            "A capital H or M and 8 digits, or these with the 2 digits that count renewals.",
        )
    return match[1]


def _count(number: str) -> str:
    return f"{len(number)} character{'' if len(number) == 1 else 's'}"


def _wrong(code: str, detail: str, expected: str) -> DocumentError:
    return DocumentError("number", code, detail, expected)
