"""Whom one can log in as on a development machine, to see each kind of page."""

from collections.abc import Callable
from datetime import date

from msgspec import Struct

from app.sample.documents import Document, Documents


class Login(Struct, frozen=True):
    """The first person of a story, with a document that fits, and what one will see."""

    id: str
    story: str
    name: str
    zh: str
    en: str
    document: Callable[[Documents, date], Document] = lambda documents, _: documents.adult()


LOGINS = (
    Login("green", "green", "样本甲", "绿码", "a green code"),
    Login("red", "many-reasons", "样本乙", "红码，多个原因", "a red code, for several reasons"),
    Login(
        "minor", "minor", "样本丙", "未成年人", "a minor", lambda documents, on: documents.minor(on)
    ),
    Login(
        "permit",
        "permit-holder",
        "样本丁",
        "持港澳居民来往内地通行证人员",
        "a holder of a Mainland Travel Permit",
        lambda documents, _: documents.permit(),
    ),
    Login(
        "discrepancy",
        "high-national-status",
        "样本戊",
        "绿码，健康状态高风险",
        "a green code with a high national status",
    ),
)

OF_STORY = {login.story: login for login in LOGINS}
