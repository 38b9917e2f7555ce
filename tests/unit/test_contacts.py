"""Whom a resident calls about each source, and what they read out without a mistake."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sources.changes import change
from app.sources.register import Register
from app.topics.catalogue import CATALOGUE
from app.view.pages import names
from app.view.pages.contacts import contact_of, institution
from app.web.language import LANGUAGES
from models.codes import REFERENCE, EventRef, read_reference, reference_of
from models.events import SOURCE
from models.register import OfficialNames, RegisteredSource

ZH, EN = LANGUAGES[:2]
ROOT = Path(__file__).parents[2]
NOBODY = Register()
NAMES = OfficialNames("广州一所", "Guangzhou First")

SAID = [
    ("/cdc/440100", "广州市疾病预防控制中心", "020-12345"),
    ("/cdc/440305", "深圳市疾病预防控制中心", "0755-12345"),
    ("/laboratories/440100-011", "广州市核酸检测机构 011", "020-12345"),
    ("/quarantine-commands/445200", "揭阳市隔离管理部门", "0663-12345"),
    ("/provinces/43", "湖南健康码管理部门", "0731-12345"),
    ("/provinces/71", "台湾健康码管理部门", "020-12345"),
    ("/cdc/440000", "疾控中心", "020-12345"),
    ("/quarantine-commands/4401", "广州市隔离管理部门", "020-12345"),
    ("/others/somewhere", "其他部门", "020-12345"),
]


@pytest.mark.parametrize(("source", "name", "telephone"), SAID)
def test_a_source_has_a_name_and_a_telephone(source: str, name: str, telephone: str) -> None:
    contact = contact_of(source, NOBODY)
    assert (contact.name.of(ZH), contact.telephone) == (name, telephone)
    assert not re.search(r"[\u4e00-\u9fff]", contact.name.of(EN))
    assert contact.link == "tel:" + telephone.replace("-", "")


def registered(telephone: str | None) -> Register:
    """A register with one laboratory in it, of Shenzhen."""
    register = Register()
    entry = RegisteredSource("/laboratories/440100-011", NAMES, "440300", telephone)
    register.take(change(entry, "/operators/chen"))
    return register


def test_the_register_names_a_source_in_the_readers_language_and_its_telephone() -> None:
    contact = contact_of("/laboratories/440100-011", registered("020-88888888-12"))
    assert contact.name.of(ZH) == "广州一所"
    assert contact.name.of(EN) == "Guangzhou First"
    assert (contact.telephone, contact.link) == ("020-88888888-12", "tel:0208888888812")
    other = contact_of("/laboratories/440100-012", registered("020-88888888"))
    assert other.name.of(ZH) == "广州市核酸检测机构 012"


def test_a_registered_source_without_a_telephone_has_its_citys() -> None:
    assert contact_of("/laboratories/440100-011", registered(None)).telephone == "0755-12345"


def test_an_institution_is_named_by_its_code_or_stands_as_it_was_written() -> None:
    register = registered(None)
    named = institution("/laboratories/440100-011", register)
    assert not isinstance(named, str)
    assert (named.of(ZH), named.of(EN)) == ("广州一所", "Guangzhou First")
    for written in ("/laboratories/440100-012", "某检测机构", ""):
        assert institution(written, register) == written


def sources() -> set[str]:
    """All that examples and the sample day name, and one for each pattern of the catalogue."""
    folders = (ROOT / "app/topics/examples", ROOT / "app/development/sample")
    text = "".join(file.read_text() for folder in folders for file in folder.glob("*.*"))
    named = {found for found in re.findall(r'"(/[a-z-]+/[\w-]+)"', text) if SOURCE.fullmatch(found)}
    patterns = [pattern for some in CATALOGUE.authorities.values() for pattern in some]
    return named | {pattern.replace("*", "440100") for pattern in patterns}


def test_every_source_of_the_catalogue_and_of_the_sample_can_be_called() -> None:
    assert len(sources()) > 8
    for source in sources():
        assert re.fullmatch(r"0\d{2,3}-12345", contact_of(source, NOBODY).telephone), source


def test_every_city_and_province_has_a_telephone_of_its_own() -> None:
    cities = {contact_of(f"/cdc/{code}", NOBODY).telephone for code in names.CITIES}
    assert len(cities) == len(names.CITIES)
    outside = set(names.PROVINCES) - {"71", "81", "82"}
    provinces = {contact_of(f"/provinces/{code}", NOBODY).telephone for code in outside}
    assert len(provinces) == len(outside)


REFERENCES = st.builds(EventRef, st.text(max_size=40), st.text(max_size=40)).map(reference_of)


def test_a_reference_is_short_and_has_no_sign_that_is_taken_for_another() -> None:
    event = EventRef("/laboratories/440100-011", "s1-20261128T005037-0017557")
    reference = reference_of(event)
    assert re.fullmatch(rf"[{REFERENCE}]{{4}}-[{REFERENCE}]{{5}}", reference)
    assert len(REFERENCE) == len(set(REFERENCE)) == 32
    assert not set(REFERENCE) & set("IO01")
    assert reference == reference_of(event)


def test_no_two_of_many_events_share_a_reference() -> None:
    events = [EventRef("/cdc/440100", str(number)) for number in range(20_000)]
    assert len({reference_of(event) for event in events}) == len(events)


@given(REFERENCES, st.integers(0, 8), st.sampled_from(REFERENCE))
def test_one_wrong_sign_is_noticed(reference: str, place: int, sign: str) -> None:
    signs = list(reference.replace("-", ""))
    heard = "".join([*signs[:place], sign, *signs[place + 1 :]])
    assert read_reference(heard) == (reference if sign == signs[place] else None)


@given(REFERENCES)
def test_a_reference_is_read_in_any_case_and_with_any_gaps(reference: str) -> None:
    assert read_reference(f" {reference.lower().replace('-', ' ')} ") == reference
    assert read_reference(reference[:-1]) is None
    assert read_reference(reference + "A") is None
    assert read_reference(reference[:-1] + "!") is None
