"""From a provider's claims about a person to what is used here: document, name, birthday, city.

A setting says which claim holds what, since only the five of OpenID Connect have fixed names.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from msgspec import Struct

from models import documents, information
from models.documents import Document, DocumentError
from models.events import DIVISION, DocumentType

PROVINCE = "440000"
"""The division of a person whose city the provider does not name: somewhere in Guangdong."""

_PERMIT = re.compile(r"[HM][0-9]+")


class ClaimNames(Struct, frozen=True):
    """Which claim holds what."""

    number: str = "document_number"
    type: str = "document_type"
    name: str = "name"
    birthday: str = "birthdate"
    city: str = "city"


class NoDocument(Exception):
    """The provider names no document that can exist. The message never repeats the number."""


class Identity(Struct, frozen=True):
    """A person as the provider knows them. It stays in the handler of a login.

    Its `repr` shows no field, since every field tells something about a person.
    """

    document: Document
    name: str
    birthday: date | None
    city: str

    def adult_from(self, at: datetime) -> date | None:
        """Return the first day on which they are an adult, by the policy in force at `at`.

        None if their birthday is unknown.
        """
        return None if self.birthday is None else information.adult_from(self.birthday, at)

    def __repr__(self) -> str:
        return "Identity(…)"


def identity_of(claims: Mapping[str, Any], names: ClaimNames, today: date) -> Identity:
    """Return who the claims name, or raise `NoDocument`. `today` is a day in Asia/Shanghai.

    Only the document is required: without a valid one there is no identity. Anything else that is
    missing or unreadable counts as unknown; a birthday is then taken from a resident identity card.
    """
    document = _document(claims, names, today)
    name = claims.get(names.name)
    city = claims.get(names.city)
    return Identity(
        document,
        name if isinstance(name, str) else "",
        _birthday(claims.get(names.birthday), today) or _birthday_of(document),
        city if isinstance(city, str) and DIVISION.fullmatch(city) else PROVINCE,
    )


def _document(claims: Mapping[str, Any], names: ClaimNames, today: date) -> Document:
    number, type_name = claims.get(names.number), claims.get(names.type)
    if not isinstance(number, str) or not isinstance(type_name, str | None):
        raise NoDocument
    # The person cannot mend what the provider writes, so an x for an X is accepted.
    number = number.strip().upper()
    if type_name is None:
        type_name = _type_of(number)
    try:
        return documents.parse_document(type_name, number, today)
    except DocumentError:
        raise NoDocument from None


def _type_of(number: str) -> DocumentType:
    """Return the type whose form the number has; a number of no type's form fails as a card's."""
    if _PERMIT.fullmatch(number):
        return DocumentType.MAINLAND_TRAVEL_PERMIT
    return DocumentType.RESIDENT_IDENTITY_CARD


def _birthday(claim: Any, today: date) -> date | None:
    """Read `YYYY-MM-DD`; the standard also has a year alone and a day without its year."""
    try:
        born = date.fromisoformat(claim) if isinstance(claim, str) and len(claim) == 10 else None
    except ValueError:
        return None
    return born if born is not None and born <= today else None


def _birthday_of(document: Document) -> date | None:
    if document.type is not DocumentType.RESIDENT_IDENTITY_CARD:
        return None
    digits = document.number[6:14]
    return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
