"""Whether a record is from who it says: the keys of sources, and what they have made.

The key of a source is derived from one of its authority, and that from the master key, each by
HMAC-SHA-256 of what it is for. So who has the key of a source speaks for that alone, and the view
has the keys of three authorities, and not the master key.
"""

import hashlib
import hmac
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

from msgspec.structs import replace

from app.process.macs import MAC, MacKey, message
from app.process.settings import Settings, variable_of
from app.topics.catalogue import CATALOGUE
from app.topics.records import Headers, Record

SOURCES_MAX = 20_000
"""Keys of sources that are kept ready; one more is derived again, in some 10 us. Some 20 MB."""

OURS = "/yuekang"
"""The source of what the workers write."""

REGISTER = "/register"
"""The author of the register of sources, whichever operator changes it. A key of its own checks it:
the view has that one, and with it can make no release."""

GIVEN_ALONE = ("portal", "terminal", "yuekang", "register")
"""The authorities whose keys are settings of their own, for processes without the master key."""

CHECKED_ALONE = ("yuekang", "register")
"""Those of them whose records such a process checks, also of the master key before."""

_USE = b"yuekang mac: "
"""Keeps this use of a key apart from any other."""


class NotAuthentic(Exception):
    """No key of a source has made the record's MAC; the message says what is wrong."""


def source_keys(settings: Settings) -> "SourceKeys":
    """Return the keys that a process was given: of all sources, or of some authorities."""
    version = settings.mac_key_version
    if settings.mac_key:
        return SourceKeys.of_master(settings.mac_key, version, settings.former_mac_key)
    given = {authority: getattr(settings, f"{authority}_mac_key") for authority in GIVEN_ALONE}
    former = {name: getattr(settings, f"former_{name}_mac_key") for name in CHECKED_ALONE}
    return SourceKeys({version: _set(given), version - 1: _set(former)})


def _set(keys: Mapping[str, bytes]) -> Mapping[str, bytes]:
    return {authority: key for authority, key in keys.items() if key}


def operator_keys() -> "SourceKeys":
    """Return the keys with which an operator's records are made authentic."""
    return source_keys(Settings.from_environment("mac_key"))


def mac_variables(master: bytes, former: bytes = b"") -> dict[str, str]:
    """Return the variables of a master key and of the keys that derive from it; and of the `former`
    master key, if there is one."""
    keys = {"mac_key": master}
    keys |= {f"{name}_mac_key": authority_key(master, name) for name in GIVEN_ALONE}
    if former:
        keys["former_mac_key"] = former
        keys |= {f"former_{name}_mac_key": authority_key(former, name) for name in CHECKED_ALONE}
    return {variable_of(name): key.hex() for name, key in keys.items()}


class Authored(Protocol):
    """What of a record is looked at."""

    @property
    def topic(self) -> str: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


def authority_key(master: bytes, authority: str) -> bytes:
    """Return the key of an authority, 32 bytes."""
    return hmac.digest(master, _USE + b"authority " + authority.encode(), hashlib.sha256)


def source_key(of_authority: bytes, source: str) -> bytes:
    """Return the key of a source, 32 bytes."""
    return hmac.digest(of_authority, _USE + b"source " + source.encode(), hashlib.sha256)


class SourceKeys:
    """Makes and checks MACs, for the sources of some authorities.

    `keys` has, by the version of the master key, the keys of authorities. New MACs are made with
    the highest version; the others are only checked, while the master key is changed.
    """

    def __init__(self, keys: Mapping[int, Mapping[str, bytes]]) -> None:
        self._keys = keys
        self._version = max(keys)
        self._key_of = lru_cache(SOURCES_MAX)(self._derived)

    @classmethod
    def of_master(cls, master: bytes, version: int = 1, former: bytes = b"") -> "SourceKeys":
        """Return the keys of every source; `former` is the master key of the version before."""
        masters = {version: master} | ({version - 1: former} if former else {})
        return cls(
            {
                number: {name: authority_key(key, name) for name in CATALOGUE.authorities}
                for number, key in masters.items()
            }
        )

    def alone(self, authority: str) -> tuple[int, bytes]:
        """Return the newest key of an authority with its version, for a process that needs no
        other; raise `KeyError` if it is not here."""
        return self._version, self._keys[self._version][authority]

    def of(self, source: str) -> MacKey:
        """Return the newest key of a source; raise `KeyError` if it is not here."""
        return self._key_of(b"%d %b" % (self._version, source.encode()))

    def signed(self, record: Record, source: str) -> Record:
        """Return the record with a MAC of `source`; raise `KeyError` if its key is not here."""
        mac = self.of(source).header(record.topic, record.key, record.value, record.headers)
        return replace(record, headers=(*record.headers, mac))

    def author(self, record: Authored) -> str:
        """Return the source whose key has made the record's MAC; raise `NotAuthentic`."""
        found = None
        for name, raw in record.headers:
            if name == MAC:
                found = raw
        if found is None:
            raise NotAuthentic(f"It has no header {MAC}.")
        head, _, mac = found.rpartition(b" ")
        try:
            key = self._key_of(head)
        except (KeyError, ValueError, OverflowError):
            raise NotAuthentic(
                f"Its header {MAC} names no source, or a version of the key that is not in use."
            ) from None
        if not key.fits(mac, message(record.topic, record.key, record.value, record.headers)):
            raise NotAuthentic(f"Its header {MAC} does not fit it: the key of its source is wrong.")
        return key.source

    def is_ours(self, record: Authored) -> bool:
        """Say whether a worker has written a record."""
        return self._is_by(OURS, record)

    def is_of_register(self, record: Authored) -> bool:
        """Say whether a record is a change of the register of sources, by whoever may make one."""
        return self._is_by(REGISTER, record)

    def _is_by(self, source: str, record: Authored) -> bool:
        try:
            return self.author(record) == source
        except NotAuthentic:
            return False

    def _derived(self, head: bytes) -> MacKey:
        """Return the key of a version and a source; raise `KeyError` or `ValueError`."""
        version, _, source = head.decode().partition(" ")
        authority = CATALOGUE.authority_of(source)
        if authority is None:
            raise KeyError(source)
        key = MacKey(source_key(self._keys[int(version)][authority], source), source, int(version))
        if key.head != head:  # " 1", say, or "+1": one key has one name
            raise KeyError(source)
        return key
