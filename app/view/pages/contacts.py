"""Whom a resident calls about what was reported: a name and a telephone, from the register of
sources.

For a source that is not registered, or without a telephone there, `contacts.json` has one by city
of Guangdong or by province (GB/T 2260). It is the government's hotline, 12345, which passes the
call on and answers day and night (国办发〔2020〕53 号). The area code before it is the city's, of
another province its capital's (national numbering plan).
"""

import re
from pathlib import Path

import msgspec
from msgspec import Struct

from app.sources.register import Register
from app.view.pages import names
from app.web.language import CHINESE, Text
from app.web.language import gettext as _
from models.register import OfficialNames


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    """A telephone of the table."""

    telephone: str


class Contact(Struct, frozen=True):
    """Who is called, and where. `telephone` has the area code, so that it works from anywhere;
    `link` is the same as an address that a phone dials."""

    name: Text
    telephone: str
    link: str


_LINES = msgspec.json.decode(
    (Path(__file__).parent / "contacts.json").read_bytes(), type=dict[str, Line]
)

_HOME = "44"
"""Who cannot be placed is asked for in Guangdong, whose code this is."""

_PLACED = re.compile(r"/(?P<kind>[a-z-]+)/(?P<division>\d{2,6})(?:-(?P<number>\w+))?")


def contact_of(source: str, register: Register) -> Contact:
    """Return whom to call about what `source` reported."""
    entry = register.of(source)
    if entry is None:
        found = _PLACED.fullmatch(source)
        division = found["division"] if found else _HOME
        return _contact(_name(source, found, _city(division)), _telephone(division))
    return _contact(official(entry.name), entry.telephone or _telephone(entry.city))


def _contact(name: Text, telephone: str) -> Contact:
    return Contact(name, telephone, "tel:" + telephone.replace("-", ""))


def official(name: OfficialNames) -> Text:
    """A name of the register in the reader's language: Chinese, or what any other reads."""
    return Text(lambda language: name.zh if language is CHINESE else name.en)


def institution(written: str, register: Register) -> Text | str:
    """Return the institution or place that an event names: by its code in the register, else as the
    event has it."""
    entry = register.of(written)
    return written if entry is None else official(entry.name)


def _telephone(division: str) -> str:
    wanted = (_city(division), division[:2], _HOME)
    return next(_LINES[key] for key in wanted if key in _LINES).telephone


def _city(division: str) -> str:
    return division[:4] + "00"


def _name(source: str, found: re.Match[str] | None, city: str) -> Text:
    if found is None:
        return names.source(source)
    if found["kind"] == "provinces":
        where = names.province(found["division"][:2])
        return _("{province}健康码管理部门").filled(province=where)
    if city not in names.CITIES:
        return names.source(source)
    place = names.CITIES[city]
    match found["kind"], found["number"]:
        case "cdc", _any:
            return _("{city}市疾病预防控制中心").filled(city=place)
        case "quarantine-commands", _any:
            return _("{city}市隔离管理部门").filled(city=place)
        case "laboratories", str(number):
            return _("{city}市核酸检测机构 {number}").filled(city=place, number=number)
        case _other:
            return names.source(source)
