"""`GET /agency`: where an agency's engineer starts: which events are theirs, how one is sent.

What stands there is what the code uses: the authorities of topics.yaml, the gateway's bounds and
refusals. The examples lie in examples/ and are run by the tests.
"""

from collections.abc import Mapping
from pathlib import Path

from litestar import Response
from msgspec import Struct

from app.gateway.body import BODY_BYTES_MAX, BODY_SECONDS_MAX
from app.gateway.messages import BATCH_EVENTS_MAX, DOCUMENTS_MAX
from app.gateway.reference import EVENT, READING
from app.topics.catalogue import CATALOGUE
from app.web.language import Text, number
from app.web.language import gettext as _
from app.web.problems import KINDS
from app.web.requests import AnyRequest
from app.web.site import cached_page, digest_of

EXAMPLES = {
    "publish.sh": "publish.sh",
    "publish.py": "publish.py.txt",  # it is no module of ours
    "Publish.java": "Publish.java",
}
"""The examples by name, and the file of each."""
FOLDER = Path(__file__).parent / "examples"
MIB = 1024 * 1024

AUTHORITIES: Mapping[str, Text] = {
    "laboratory": _("核酸检测机构"),
    "cdc": _("疾控中心"),
    "quarantine-command": _("隔离管理部门"),
    "province": _("外省健康码"),
    "terminal": _("扫码与测温终端"),
    "national-platform": _("全国一体化政务服务平台"),
    "entry-desk": _("入粤登记点"),
    "immigration": _("出入境边防检查"),
    "telecom": _("电信运营商"),
    "identity-provider": _("实名认证"),
}
"""Who sends events over HTTP, by the authority in topics.yaml; the others are parts of ours."""


class AgencyTopic(Struct, frozen=True):
    """A topic of an agency's: its name, what it holds, the events that go there."""

    name: str
    holds: str
    events: tuple[str, ...]


class Agency(Struct, frozen=True):
    """Who an agency is: how its sources are written, and its topics."""

    name: Text
    sources: tuple[str, ...]
    topics: tuple[AgencyTopic, ...]


def agencies() -> list[Agency]:
    """Return every agency with its topics, as topics.yaml has them."""
    return [
        Agency(
            name,
            CATALOGUE.authorities[authority],
            tuple(
                AgencyTopic(topic.name, topic.holds, topic.events)
                for topic in CATALOGUE.topics.values()
                if topic.authority == authority
            ),
        )
        for authority, name in AUTHORITIES.items()
    ]


def agency_page(
    request: AnyRequest, gateway_url: str | None, document_url: str | None
) -> Response[bytes]:
    """Answer with the page, the same for all readers of a language."""

    def context() -> Mapping[str, object]:
        return {
            "agencies": agencies(),
            "gateway_url": gateway_url or "http://…",
            "document_url": document_url,
            "limits": limits_said(),
            "refusals": [(code, KINDS[code].status, KINDS[code].title) for code in _refusals()],
            "examples": [(name, (FOLDER / file).read_text()) for name, file in EXAMPLES.items()],
        }

    return cached_page(request, "agency.html", digest_of(gateway_url, document_url), context)


def limits_said() -> list[Text]:
    """Return the gateway's bounds, in sentences."""
    return [
        _("一次请求最多 {n} 兆字节。").filled(n=number(BODY_BYTES_MAX / MIB, "0.#")),
        _("一批最多 {n} 个事件。").filled(n=number(BATCH_EVENTS_MAX)),
        _("请求须在 {n} 秒内传完。").filled(n=number(BODY_SECONDS_MAX, "0")),
        _("一次最多换取 {n} 个人员键。").filled(n=number(DOCUMENTS_MAX)),
        _("429 和 503：按回答给出的秒数等待后原样重发，不会重复计算。"),
    ]


def _refusals() -> list[str]:
    return sorted({*READING, *EVENT}, key=lambda code: (KINDS[code].status, code))
