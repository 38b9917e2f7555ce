"""Whom one can be, in development: the file of sample people, and what a provider says of one."""

import hashlib
import hmac
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from app.login.claims import ClaimNames, Identity, identity_of
from app.process.files import write_whole

IDENTITIES_FILE = "identities.json"
"""In the data directory: a JSON array of `ProviderPerson`. They are synthetic, as their numbers
are."""

FILE_BYTES_MAX = 1024 * 1024


class What(Struct, frozen=True):
    """Why one would be this person: "a red code", say, in both languages."""

    zh: str = ""
    en: str = ""


class ProviderPerson(Struct, frozen=True, omit_defaults=True):
    """A person to be. `type` is a document type, or left to the number's form; `id` a short name
    that a login's hint can have in the place of the number."""

    number: str
    type: str | None = None
    name: str = ""
    birthdate: str | None = None
    city: str | None = None
    id: str | None = None
    what: What = What()

    def __repr__(self) -> str:
        return "Person(…)"

    def claims(self, names: ClaimNames, subject_key: bytes) -> dict[str, Any]:
        """Return what is said of the person; a claim that is not known is left out.

        The subject is the same at each login and does not show the number.
        """
        subject = hmac.digest(subject_key, self.number.encode(), hashlib.sha256).hex()[:32]
        known = {
            "sub": subject,
            names.number: self.number,
            names.type: self.type,
            names.name: self.name or None,
            names.birthday: self.birthdate,
            names.city: self.city,
        }
        return {name: value for name, value in known.items() if value is not None}

    def identity(self, today: date) -> Identity:
        """Return who that is for the relying party, or raise `NoDocument`."""
        names = ClaimNames()
        return identity_of(self.claims(names, b"any"), names, today)


def people_of(path: Path) -> list[ProviderPerson]:
    """Return the people of the file at `path`; nobody if no file can be read."""
    try:
        content = path.read_bytes()
        return msgspec.json.decode(content[:FILE_BYTES_MAX], type=list[ProviderPerson])
    except (OSError, msgspec.MsgspecError):
        return []


def write_people(path: Path, people: list[ProviderPerson]) -> None:
    """Write the file, readable by its owner alone, whole or not at all."""
    write_whole(path, msgspec.json.encode(people), mode=0o600)
