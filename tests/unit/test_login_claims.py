"""From claims to a person: both documents, and everything a provider may leave out or get wrong."""

from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from app.development.sample.documents import Documents
from app.login.claims import ClaimNames, Identity, NoDocument, identity_of
from models import policy
from models.events import DocumentType
from support.logins import CARD

TODAY = date(2022, 3, 1)
AT = datetime(2022, 3, 1, tzinfo=policy.ZONE)
CARD_TYPE = DocumentType.RESIDENT_IDENTITY_CARD
PERMIT_TYPE = DocumentType.MAINLAND_TRAVEL_PERMIT
HONG_KONG = "810000199408230021"
NAMES = ClaimNames()


def identity(**claims: Any) -> Identity:
    return identity_of(claims, NAMES, TODAY)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (CARD, CARD_TYPE),
        (CARD.lower(), CARD_TYPE),
        (f" {CARD} ", CARD_TYPE),
        (HONG_KONG, CARD_TYPE),
        ("H12345678", PERMIT_TYPE),
        ("M1234567801", PERMIT_TYPE),
        ("h12345678", PERMIT_TYPE),
    ],
)
@pytest.mark.parametrize("told", [True, False])
def test_every_document_of_the_manual_is_taken(number: str, kind: DocumentType, told: bool) -> None:
    claims = {"document_type": kind.value} if told else {}
    found = identity(document_number=number, **claims).document
    assert found.type is kind
    assert found.number in number.strip().upper()


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"document_number": None},
        {"document_number": 110105194912310020},
        {"document_number": ""},
        {"document_number": CARD[:-1] + "0"},
        {"document_number": "C12345678"},
        {"document_number": CARD, "document_type": "passport"},
        {"document_number": CARD, "document_type": PERMIT_TYPE.value},
        {"document_number": "H12345678", "document_type": CARD_TYPE.value},
        {"document_number": CARD, "document_type": 1},
        {"document_number": [CARD]},
    ],
)
def test_without_a_document_that_can_exist_there_is_nobody(claims: dict[str, Any]) -> None:
    with pytest.raises(NoDocument) as caught:
        identity(**claims)
    assert str(caught.value) == ""


def test_the_claims_have_the_names_that_the_settings_say() -> None:
    names = ClaimNames("cn_id", "cn_kind", "full_name", "born", "place")
    claims = {
        "cn_id": CARD,
        "cn_kind": "resident-identity-card",
        "full_name": "陈小明",
        "born": "1949-12-31",
        "place": "440300",
        "name": "someone else",
        "city": "440100",
    }
    found = identity_of(claims, names, TODAY)
    assert (found.name, found.birthday, found.city) == ("陈小明", date(1949, 12, 31), "440300")


@pytest.mark.parametrize(
    "claim", [None, "", "2004", "0000-12-31", "2004-02-30", "2004-2-3", "31.12.2004", 20041231]
)
def test_a_birthday_that_cannot_be_read_is_taken_from_the_card(claim: Any) -> None:
    assert identity(document_number=CARD, birthdate=claim).birthday == date(1949, 12, 31)
    assert identity(document_number="H12345678", birthdate=claim).birthday is None


def test_a_birthday_in_the_future_is_none() -> None:
    assert identity(document_number="H12345678", birthdate="2022-03-02").birthday is None


@pytest.mark.parametrize("city", [None, "", "Guangzhou", "44", 440100, "940100"])
def test_without_a_city_somewhere_in_guangdong(city: Any) -> None:
    assert identity(document_number=CARD, city=city).city == "440000"
    assert identity(document_number=CARD, city="440303").city == "440303"


def test_who_is_an_adult_is_said_by_the_policy_of_the_login(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    minor = identity(document_number="H12345678", birthdate="2004-02-29")
    assert minor.adult_from(AT) == date(2022, 3, 1)
    [policy_] = policy.POLICIES
    younger = msgspec.structs.replace(policy_, valid_from=AT, adult_years=16)
    monkeypatch.setattr(policy, "POLICIES", (policy_, younger))
    assert minor.adult_from(AT) == date(2020, 2, 29)
    assert minor.adult_from(AT - timedelta(seconds=1)) == date(2022, 3, 1)


def test_who_has_no_birthday_has_no_first_day_as_an_adult() -> None:
    assert identity(document_number="H12345678").adult_from(AT) is None


def test_nothing_of_a_person_is_in_what_a_log_would_show() -> None:
    found = identity(document_number=CARD, name="陈小明")
    for shown in (repr(found), str(found), f"{found}"):
        assert CARD not in shown
        assert "陈" not in shown


def test_every_sample_document_is_taken() -> None:
    from random import Random

    documents = Documents(Random(7))
    for _ in range(200):
        made = documents.make()
        assert identity(document_number=made.number).document.number == made.number
