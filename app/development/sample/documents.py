"""Document numbers and phone numbers that can exist in form and belong to nobody.

Region codes are those of prefectures (440100 for Guangzhou). Real cards carry the code of a county
or district (such as 440103), so no number made here is a real person's. The check digit and the
birthday are right nevertheless, so that the gateway takes the numbers.
"""

from collections.abc import Callable
from datetime import date, timedelta
from random import Random
from typing import Literal

from msgspec import Struct
from stdnum.iso7064 import mod_11_2

from models.events import DocumentType
from models.phones import MOBILE_PHONE_NUMBER

GUANGDONG = ("440100", "440300", "440600", "441900", "442000", "440400", "441300", "440700")
ELSEWHERE = ("430100", "450100", "360100", "350100", "420100", "510100", "410100", "330100")
RESIDENCE_PERMITS = ("810000", "820000", "830000")  # 港澳台居民居住证 of Hong Kong, Macao, Taiwan

_OLDEST = date(1932, 1, 1)
_YOUNGEST = date(2018, 12, 31)


class SampleDocument(Struct, frozen=True):
    """A document that names a person; it goes no further than the gateway."""

    type: DocumentType
    number: str


class SamplePhone(Struct, frozen=True):
    """A phone, in place of an event's document. Its number begins with 154, a network number that
    nobody has (工信部, 网号分配情况)."""

    number: str
    type: Literal["mobile-phone-number"] = MOBILE_PHONE_NUMBER


class Documents:
    """Makes documents, each once; `random` alone decides which."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._made: set[SampleDocument] = set()

    def make(self) -> SampleDocument:
        """Return a document that was not made before."""
        return self._once(self._any)

    def permit(self) -> SampleDocument:
        """Return a mainland travel permit (港澳居民来往内地通行证)."""
        return self._once(self._permit)

    def minor(self, on: date) -> SampleDocument:
        """Return the card of someone who is ten years old on the day `on`."""
        return self._once(lambda: self._born(date(on.year - 10, 1, 1), GUANGDONG[0]))

    def adult(self) -> SampleDocument:
        """Return the card of an adult."""
        return self._once(lambda: self._born(date(1985, 1, 1), GUANGDONG[0]))

    def _once(self, make: Callable[[], SampleDocument]) -> SampleDocument:
        while (document := make()) in self._made:
            pass
        self._made.add(document)
        return document

    def _any(self) -> SampleDocument:
        draw = self._random.random()
        if draw < 0.03:
            return self._permit()
        if draw < 0.06:
            region = self._random.choice(RESIDENCE_PERMITS)
        else:
            region = self._random.choice(GUANGDONG if draw < 0.8 else ELSEWHERE)
        days = self._random.randrange((_YOUNGEST - _OLDEST).days)
        return self._born(_OLDEST + timedelta(days=days), region)

    def _permit(self) -> SampleDocument:
        letter = self._random.choice("HM")
        number = f"{letter}{self._random.randrange(10**8):08d}"
        return SampleDocument(DocumentType.MAINLAND_TRAVEL_PERMIT, number)

    def _born(self, birthday: date, region: str) -> SampleDocument:
        body = f"{region}{birthday:%Y%m%d}{self._random.randrange(1, 1000):03d}"
        number = body + mod_11_2.calc_check_digit(body)
        return SampleDocument(DocumentType.RESIDENT_IDENTITY_CARD, number)
