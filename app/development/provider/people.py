"""Whom one can log in as, in development: the file of sample people, and their claims."""

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
"""A file in the data directory: a JSON array of `ProviderPerson`. The people are synthetic, and so
are their numbers."""

FILE_BYTES_MAX = 1024 * 1024


class What(Struct, frozen=True):
    """Why one would log in as this person, in both languages, such as "a red code"."""

    zh: str = ""
    en: str = ""


class ProviderPerson(Struct, frozen=True, omit_defaults=True):
    """A person whom one can log in as. `type` is a document type; if it is missing, the number's
    form decides. `id` is a short name that a login's hint can have in place of the number."""

    number: str
    type: str | None = None
    name: str = ""
    birthdate: str | None = None
    city: str | None = None
    id: str | None = None
    what: What = What()

    def __repr__(self) -> str:
        return "ProviderPerson(…)"

    def claims(self, names: ClaimNames, subject_key: bytes) -> dict[str, Any]:
        """Return the claims about the person; an unknown claim is left out.

        The subject is the same at each login, and does not reveal the number.
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
        """Return the person as the relying party sees them, or raise `NoDocument`."""
        names = ClaimNames()
        return identity_of(self.claims(names, b"any"), names, today)


def people_of(path: Path) -> list[ProviderPerson]:
    """Return the people in the file at `path`; nobody if it cannot be read."""
    try:
        content = path.read_bytes()
        return msgspec.json.decode(content[:FILE_BYTES_MAX], type=list[ProviderPerson])
    except (OSError, msgspec.MsgspecError):
        return []


def write_people(path: Path, people: list[ProviderPerson]) -> None:
    """Write the file whole or not at all, readable by its owner alone."""
    write_whole(path, msgspec.json.encode(people), mode=0o600)
