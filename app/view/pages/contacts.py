"""Whom a resident calls about what was reported: a name and a telephone, by source and city.

`contacts.json` has a telephone for a source as events name it, such as /cdc/440100, for a city of
Guangdong or for a province (GB/T 2260). The closest counts. As it stands it has the government
hotline of each, 12345, which passes the call on and answers day and night (国办发〔2020〕53 号).
The area code before it is the city's, of another province its capital's (national numbering
plan). Whoever knows an authority's own number puts it there. A register of sources will take the
place of this module: nothing asks it anything but `contact_of`.
"""

import re
from pathlib import Path

import msgspec
from msgspec import Struct

from app.view.pages import names
from app.web.language import Text
from app.web.language import gettext as _


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    """A telephone of the table."""

    telephone: str


class Contact(Struct, frozen=True):
    """Who is called, and where. `telephone` has the area code, so that it works from anywhere."""

    name: Text
    telephone: str

    @property
    def link(self) -> str:
        """The telephone as an address that a phone dials."""
        return "tel:" + self.telephone.replace("-", "")


_LINES = msgspec.json.decode(
    (Path(__file__).parent / "contacts.json").read_bytes(), type=dict[str, Line]
)

_HOME = "44"
"""Who cannot be placed is asked for in Guangdong, whose code this is."""

_PLACED = re.compile(r"/(?P<kind>[a-z-]+)/(?P<division>\d{2,6})(?:-(?P<number>\w+))?")


def contact_of(source: str) -> Contact:
    """Return whom to call about what `source` reported."""
    found = _PLACED.fullmatch(source)
    division = found["division"] if found else _HOME
    city = division[:4] + "00"
    line = next(_LINES[key] for key in (source, city, division[:2], _HOME) if key in _LINES)
    return Contact(_name(source, found, city), line.telephone)


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
