"""Mobile phone numbers of the mainland: which can exist, and how one is left out of a text.

A phone is not a document: it logs nobody in, and two people may have had the same number one after
the other. So it has its own type beside `models.events.DocumentType`, and its own key. By that key
telecoms report where the phone was (the travel card, 行程卡).

Source: 电信网编号计划（2017年版）, 工信部信管〔2017〕68号, 2.3: a mobile number has 11 digits, a
network number of three that begins with 13 to 19, four of the HLR, four of the subscriber; 86 is
the country's.

Which network numbers are in use (我国公众移动通信网网号及H₀分配情况, 工信部, yearly) is not
checked, though the package phonenumbers could. A list that is a year old would refuse a resident
with a new number; a number that nobody has costs one message that does not arrive. python-stdnum
knows no phone numbers.
"""

import re
from typing import Final

from msgspec import Struct

MOBILE_PHONE_NUMBER: Final = "mobile-phone-number"
"""A phone's type, in the place where a document has its own."""

WRITTEN = re.compile(r"^(?:\+86[ -]?)?(1[3-9][0-9])[ -]?([0-9]{4})[ -]?([0-9]{4})$")
"""The forms in which a number may be written."""

_IN_TEXT = re.compile(r"(?<![0-9])(?:(?:00)?86)?1[3-9][0-9]{9}(?![0-9])")


class Phone(Struct, frozen=True):
    """A phone that can exist. `number` is its 11 digits.

    The number leads to a person and goes no further than the gateway and the carrier of the
    message, so `repr` leaves it out.
    """

    number: str

    def __repr__(self) -> str:
        return "Phone()"

    @property
    def masked(self) -> str:
        """The number as a page shows it: 138****8000."""
        return f"{self.number[:3]}****{self.number[7:]}"


class PhoneError(ValueError):
    """A number that no mobile phone has. Neither field repeats it."""

    def __init__(self, detail: str, expected: str) -> None:
        super().__init__(f"{detail} {expected}")
        self.detail = detail
        self.expected = expected


def parse_phone(number: str) -> Phone:
    """Return the phone of a number, or raise `PhoneError`.

    The number may begin with +86, and may be in one piece or in the groups that telephones write.
    Residents type and fill in all these forms, and all have one key.
    """
    match = WRITTEN.fullmatch(number)
    if match is None:
        raise PhoneError(
            "It has not the form of a mobile number of the mainland.",
            "11 digits that begin with 13 to 19, such as 13800138000; +86 may stand before them.",
        )
    return Phone("".join(match.groups()))


def without_phone_numbers(text: str) -> str:
    """Return `text` with an ellipsis for each thing in it that has the form of a phone's number, in
    one piece.

    Seven of a hundred numbers of 11 digits have it, so this is a guess. What an event may not carry
    is another question: models.personal answers it.
    """
    return _IN_TEXT.sub("…", text)
