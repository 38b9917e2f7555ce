"""Whom one can log in as on a development machine, to see each kind of page."""

from collections.abc import Callable
from datetime import date

from msgspec import Struct

from app.development.sample.documents import Documents, SampleDocument, SamplePhone


class SampleLogin(Struct, frozen=True):
    """The first person of a story: a fitting document, a phone, and what one will see."""

    id: str
    story: str
    name: str
    zh: str
    en: str
    document: Callable[[Documents, date], SampleDocument] = lambda documents, _: documents.adult()

    birthday: str | None = None
    """What the provider says; a resident identity card has its own birthday."""

    @property
    def phone(self) -> SamplePhone:
        """The phone that has a travel card."""
        return SamplePhone(f"1540000000{[login.id for login in LOGINS].index(self.id) + 1}")


LOGINS = (
    SampleLogin("green", "green", "样本甲", "绿码", "a green code"),
    SampleLogin(
        "red", "many-reasons", "样本乙", "红码，多个原因", "a red code, for several reasons"
    ),
    SampleLogin(
        "minor", "minor", "样本丙", "未成年人", "a minor", lambda documents, on: documents.minor(on)
    ),
    SampleLogin(
        "permit",
        "permit-holder",
        "样本丁",
        "持港澳居民来往内地通行证人员",
        "a holder of a Mainland Travel Permit",
        lambda documents, _: documents.permit(),
        "1990-05-01",
    ),
    SampleLogin(
        "discrepancy",
        "high-national-status",
        "样本戊",
        "绿码，健康状态高风险",
        "a green code with a high national status",
    ),
)

OF_STORY = {login.story: login for login in LOGINS}


def hint_of(story: str) -> str:
    """Return the hint to log in (`/login?hint=…`) as the first person of a story."""
    login = OF_STORY.get(story)
    return story if login is None else login.id
