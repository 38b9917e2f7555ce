"""What whoever declares a fever, a contact or breathlessness is told to do, before anything else.

Texts for residents, one for each finding, the most urgent first. Nobody reads a declaration in time
to call its sender; a calm "submitted" alone would pass for an all-clear.
"""

from msgspec import Struct

from app.view.declarations import DeclarationRequest
from app.web.language import Text
from app.web.language import gettext as _
from models.events import DeclarationData, Symptom
from models.policy import FEVER_CELSIUS


class Advice(Struct, frozen=True):
    """What was found, what to do now in this order, and whom to call."""

    title: Text
    steps: tuple[Text, ...]
    telephone: str


BREATHLESS = Advice(
    _("呼吸困难：请马上拨打 120"),
    (
        _("告诉接线员您呼吸困难，以及过去 14 天去过哪里、接触过谁。"),
        _("戴好口罩，等救护车来，不要自己前往医院。"),
    ),
    "120",
)
FEVER = Advice(
    _("发热：请今天就去发热门诊"),
    (
        _("全程戴好口罩，不要乘坐公共交通工具，不要上班、上学。"),
        _("不知道最近的发热门诊在哪里，可以拨打 12345。"),
        _("告诉医生过去 14 天去过哪里、接触过谁。"),
    ),
    "12345",
)
CONTACT = Advice(
    _("接触过病例：请留在住处，马上报告"),
    (
        _("现在起不要外出，与同住的人分开。"),
        _("拨打 12345，说明接触的时间和地点，按答复去做。"),
    ),
    "12345",
)


def advice_of(said: DeclarationRequest | DeclarationData) -> tuple[Advice, ...]:
    """Return what to tell someone who declared this, the most urgent first."""
    found = (
        (Symptom.BREATHLESSNESS in said.symptoms, BREATHLESS),
        (Symptom.FEVER in said.symptoms or said.celsius >= FEVER_CELSIUS, FEVER),
        (said.contact, CONTACT),
    )
    return tuple(advice for holds, advice in found if holds)
