"""What a resident has, and that nobody has another's: over every address of the view."""

import re
from datetime import date, timedelta
from html import unescape
from typing import Any

import pytest
from litestar.testing import AsyncTestClient
from redis.asyncio import Redis

from app.view.limits import DECLARATIONS_MAX
from models.codes import ref, reference_of
from models.events import DisplayDetail, ListName
from models.information import Section
from models.lists import EMPTY, add
from models.policy import ZONE
from support import builders as b
from support.rows import filled, put_rows, row_of
from support.views import (
    Http,
    Model,
    create_view,
    health_code,
    now,
    options_over,
    reason,
    resident,
    someone,
)

ORIGIN = {"origin": "http://127.0.0.1:8080"}


async def test_a_resident_reads_their_own_information(
    http: Http, rows: Redis, model: Model
) -> None:
    person = someone()
    await filled(rows, model, person)
    answer = await http.get("/v1/me/information", headers=resident(person))
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert [section["section"] for section in told["sections"]] == list(Section)
    counts = {section["section"]: len(section["items"]) for section in told["sections"]}
    assert counts["nat-results"] == counts["igg-results"] == counts["temperatures"] == 1
    assert told["national_status"]["status"] == "high"
    one = await http.get("/v1/me/information/nat-results", headers=resident(person))
    assert one.json()["items"][0]["newest"] is True


async def test_the_page_with_the_way_out_tells_its_origin(
    http: Http, rows: Redis, model: Model
) -> None:
    person = someone()
    await filled(rows, model, person)
    page = await http.get("/me", headers=resident(person))
    assert 'action="/logout"' in page.text
    assert page.headers["referrer-policy"] == "same-origin"


async def test_a_recent_negative_is_marked(http: Http, rows: Redis, model: Model) -> None:
    person = someone()
    await filled(rows, model, person)
    swab = now() - timedelta(hours=3)
    await put_rows(rows, [row_of(person, (b.negative(swab, person=person), now()))])
    page = (await http.get("/me/nat-results", headers=resident(person))).text
    assert "<em>48 小时内</em>" in page


async def test_all_sections_are_on_one_page_to_be_printed(
    http: Http, rows: Redis, model: Model
) -> None:
    person = someone()
    await filled(rows, model, person)
    page = (await http.get("/me/everything", headers=resident(person))).text
    for title in ("核酸检测记录", "持有健康证明情况", "体温检测记录", "亮码记录"):
        assert f"<h2>{title}</h2>" in page
    assert "data-print" in page
    minor = resident(person, now().astimezone(ZONE).date() + timedelta(days=7))
    assert "亮码记录" not in (await http.get("/me/everything", headers=minor)).text


async def test_a_release_notice_is_a_paper_that_anybody_can_check(
    http: Http, rows: Redis, model: Model
) -> None:
    mine, other = someone(), someone()
    at = now() - timedelta(days=2)
    order = b.ordered("centralised", at - timedelta(days=14), at, person=mine)
    notice = b.released(at, person=mine)
    row = row_of(mine, (order, now()), (notice, now()))
    await put_rows(rows, [row, row_of(other, (b.verified(at, person=other), now()))])
    listed = (await http.get("/me/release-notices", headers=resident(mine))).text
    [address] = re.findall(r'href="(/me/notices/[^"?]+)', listed)
    paper = await http.get(address, headers=resident(mine))
    assert "解除医学观察电子告知书" in paper.text
    assert "已于" in paper.text
    assert reference_of(ref(notice)) in paper.text
    [check] = re.findall(r'href="http[^"]*(/check\?c=YKP[^"]+)"', paper.text)
    # Another person's notice is not there for them, and nobody's without a session.
    assert (await http.get(address, headers=resident(other))).status_code == 404
    assert (await http.get(address, follow_redirects=False)).status_code in (303, 401)
    found = await http.get(unescape(check))
    assert ">有效<" in found.text
    assert notice.data.notice in found.text
    assert mine not in found.text
    assert not re.search("红码|绿码", found.text)
    back = b.retracted(notice, at + timedelta(hours=1), person=mine)
    await put_rows(rows, [row_of(mine, (order, now()), (notice, now()), (back, now()))])
    found = await http.get(unescape(check))
    assert ">已失效<" in found.text
    assert notice.data.notice not in found.text
    assert (await http.get(address, headers=resident(mine))).status_code == 404
    assert ">无法核验<" in (await http.get("/check?c=YKPabcdef")).text


async def test_a_resident_reads_how_their_own_code_changed(
    http: Http, rows: Redis, model: Model
) -> None:
    person = someone()
    day = timedelta(days=1)
    at = now() - 10 * day
    result = b.positive(at + day, person=person)
    tests = [b.negative(at + n * day, person=person) for n in (3, 5)]
    facts = [b.verified(at, person=person), result, *tests]
    arrivals = [(fact, at + n * day) for fact, n in zip(facts, (0, 2, 4, 6), strict=True)]
    await put_rows(rows, [row_of(person, *arrivals)])
    page = (await http.get("/me/code-changes", headers=resident(person))).text
    words = re.findall(r"变为(..)</h2>", page)
    assert words == ["绿码", "红码", "绿码"]
    assert "解除条件已满足" in page
    assert page.count(reference_of(ref(result))) == 2
    assert (await http.get("/me/code-changes", follow_redirects=False)).status_code in (303, 401)
    other = (await http.get("/me/code-changes", headers=resident(someone()))).text
    assert "没有变化" in other


async def test_a_negative_is_a_paper_while_it_is_recent(
    http: Http, rows: Redis, model: Model
) -> None:
    person = someone()
    negative = b.negative(now() - timedelta(hours=8), person=person)
    await put_rows(rows, [row_of(person, (negative, now()))])
    paper = (await http.get("/me/negative", headers=resident(person))).text
    assert "核酸检测结果为阴性" in paper
    [check] = re.findall(r'href="http[^"]*(/check\?c=YKP[^"]+)"', paper)
    assert ">有效<" in (await http.get(unescape(check))).text
    newer = b.positive(now() - timedelta(hours=7), person=person)
    await put_rows(rows, [row_of(person, (negative, now()), (newer, now()))])
    assert ">已失效<" in (await http.get(unescape(check))).text
    assert "没有 48 小时内" in (await http.get("/me/negative", headers=resident(person))).text


async def test_it_can_be_taken_along_as_one_file(http: Http, rows: Redis, model: Model) -> None:
    person = someone()
    await filled(rows, model, person)
    answer = await http.get("/v1/me/export", headers=resident(person))
    assert "attachment" in answer.headers["content-disposition"]
    told = answer.json()
    assert told["code"]["colour"] == "green"
    assert len(told["information"]["sections"]) == len(Section)


@pytest.mark.parametrize("born", [None, "a week before 18"])
async def test_displays_are_for_those_known_to_be_adults(
    http: Http, rows: Redis, model: Model, born: str | None
) -> None:
    person = someone()
    await filled(rows, model, person)
    today = now().astimezone(ZONE).date()
    adult_from: date | None = today + timedelta(days=7) if born else None
    headers = resident(person, adult_from)
    answer = await http.get("/v1/me/information/displays", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "adults-only")
    page = await http.get("/me/displays", headers=headers)
    assert "仅供成年人查看" in page.text
    assert ("没有提供出生日期" in page.text) is (born is None)
    assert ("您未满十八周岁" in page.text) is (born is not None)
    everything = (await http.get("/v1/me/information", headers=headers)).json()
    assert "displays" not in {section["section"] for section in everything["sections"]}
    assert (
        await http.get("/v1/me/information/displays", headers=resident(person))
    ).status_code == 200


async def test_a_green_code_with_a_high_status_is_explained(
    http: Http, rows: Redis, model: Model
) -> None:
    green, red = someone(), someone()
    await filled(rows, model, green, red)
    await model.put(health_code(red, reason(), version=2))
    for person, explained in ((green, True), (red, False)):
        page = (await http.get("/me/certificates", headers=resident(person))).text
        assert "高风险" in page
        assert ("这不是异常" in page) is explained


async def test_who_misses_a_result_is_told_what_to_do(
    http: Http, rows: Redis, model: Model
) -> None:
    """Manual, 四.7; also where there is no result at all."""
    person, without = someone(), someone()
    await filled(rows, model, person)
    await model.put(health_code(without))
    for one in (person, without):
        page = (await http.get("/me/nat-results", headers=resident(one))).text
        assert "2020年4月20日" in page
        assert "请联系检测机构核实" in page
        assert "纸质报告" in page


async def test_what_cannot_be_fetched_is_said_and_is_no_empty_list(
    http: Http, rows: Redis, model: Model
) -> None:
    person = someone()
    await filled(rows, model, person)
    await rows.flushdb()
    for section in Section:
        page = await http.get(f"/me/{section}", headers=resident(person))
        assert page.status_code == 503
        assert "暂时无法取得" in page.text
        assert "没有记录" not in page.text.replace("记录也没有丢失", "")
    answer = await http.get("/v1/me/information", headers=resident(person))
    assert (answer.status_code, answer.json()["code"]) == (503, "code-unavailable")
    assert (await http.get("/code", headers=resident(person))).status_code == 200, "colour first"


async def test_no_address_gives_one_person_anything_of_another(
    http: Http, rows: Redis, model: Model
) -> None:
    """Every address that the application has, asked for by each of two people and by nobody."""
    mine, other = someone(), someone()
    await filled(rows, model, mine, other)
    asked = 0
    for route in http.app.routes:
        path = route.path.replace("{section:str}", "nat-results").replace("{person:str}", other)
        path = re.sub(r"\{[^}]*\}", "x", path)
        for method in sorted(getattr(route, "methods", {"GET"}) - {"OPTIONS", "HEAD"}):
            if path == "/v1/changes":
                continue  # a stream without end, in which nobody is named
            for headers in ({}, resident(mine)):
                answer = await http.request(
                    method, path, headers={**ORIGIN, **headers}, follow_redirects=False
                )
                asked += 1
                assert other not in answer.text.replace(path, ""), (method, path)
                if re.match("/(v1/people/|v1/me/|me$|me/|code$)", path) and not headers:
                    assert answer.status_code in (303, 401, 403), (method, path)
                if path.startswith("/v1/people/"):
                    assert answer.status_code == 401, "a session is no operator's token"
    assert asked > 60


async def test_a_form_knows_the_unit_of_the_last_declaration_of_its_kind(
    http: Http, rows: Redis
) -> None:
    person = someone()
    at = now() - timedelta(days=1)
    event = b.declaration(at, "student-or-staff", person=person)
    listings = {(person, ListName.DECLARATIONS): add(EMPTY, event, now())}
    await put_rows(rows, listings=listings)
    form = await http.get("/declare/student-or-staff", headers=resident(person))
    assert 'value="Unit 1"' in form.text
    other = await http.get("/declare/enterprise-employee", headers=resident(person))
    assert 'value="Unit 1"' not in other.text


async def test_a_declaration_is_neither_changed_nor_deleted(http: Http) -> None:
    for method in ("PUT", "PATCH", "DELETE"):
        answer = await http.request(
            method, "/v1/me/declarations/x", headers={**ORIGIN, **resident(someone())}
        )
        assert (answer.status_code, answer.json()["code"]) == (409, "append-only")
        assert "submit a new one" in answer.json()["detail"]


async def test_a_declaration_that_lies_too_deep_is_refused(http: Http) -> None:
    answer = await http.post(
        "/v1/me/declarations",
        content=b"[" * 3_000,
        headers={**ORIGIN, **resident(someone()), "content-type": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "too-deep")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"celsius": 50}, "celsius"),
        ({"celsius": "36.5"}, "celsius"),
        ({"contact": 0}, "contact"),
        ({"kind": "employee"}, "kind"),
        ({"unit": None}, "unit"),
        ({"kind": "personal"}, "unit"),
        ({"city": "广州"}, "city"),
        ({"symptoms": ["tired"]}, "symptoms"),
        ({"unit": "11010519491231002X"}, "unit"),
    ],
)
async def test_what_is_wrong_in_a_declaration_is_told_by_its_field(
    http: Http, change: dict[str, Any], field: str
) -> None:
    body = {
        "id": "d1",
        "kind": "enterprise-employee",
        "unit": "Unit 1",
        "city": "440100",
        "celsius": 36.5,
        "contact": False,
        "travelled": False,
        **change,
    }
    answer = await http.post(
        "/v1/me/declarations", json=body, headers={**ORIGIN, **resident(someone())}
    )
    assert answer.status_code == 422, answer.text
    assert any(field in error["field"] for error in answer.json()["errors"]), answer.text


async def test_each_display_is_recorded_once_and_a_page_that_asks_anew_is_none(
    http: Http, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[tuple[str, DisplayDetail]] = []
    monkeypatch.setattr(
        "app.view.recorder.Recorder.record",
        lambda _, person, at, detail: recorded.append((person, detail)),
    )
    green, red, nobody = someone(), someone(), someone()
    await model.put(health_code(green), health_code(red, reason()))
    for person in (green, red, nobody):
        await http.get("/code", headers=resident(person))
        await http.get("/v1/me/code", headers=resident(person))
    assert recorded == [(green, DisplayDetail.GREEN), (red, DisplayDetail.RED)]
    page = await http.get("/code", headers={**resident(green), "x-before": "green"})
    same = {**resident(green), "x-before": "green"}
    await http.get("/code", headers=same)
    [again] = re.findall(r'http-equiv="refresh" content="10; url=([^"]+)"', page.text)
    await http.get("/code" + unescape(again), headers=resident(green))
    await http.get("/code", headers={**same, "x-before": "unavailable"})
    assert len(recorded) == 3
    long_ago = int((now() - timedelta(minutes=1)).timestamp() * 1_000)
    await http.get(f"/code?before=green&at={long_ago}", headers=resident(green))
    assert len(recorded) == 4, "a page that was left, and is opened again"


async def test_a_failed_display_is_recorded_with_its_cause(
    redis_url: str, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[DisplayDetail] = []
    monkeypatch.setattr(
        "app.view.recorder.Recorder.record", lambda _, person, at, detail: recorded.append(detail)
    )
    later = options_over(redis_url, lambda: now() + timedelta(hours=1))
    person = someone()
    await model.put(health_code(person))
    async with AsyncTestClient(create_view(later)) as http:
        page = await http.get("/code", headers=resident(person, ahead=timedelta(hours=1)))
    assert page.status_code == 503
    assert "亮码失败" in page.text
    assert recorded == [DisplayDetail.STALE]


async def test_declarations_of_a_day_are_bounded_and_one_that_is_sent_again_is_none(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write(*_: object) -> list[object]:
        return []

    monkeypatch.setattr("app.topics.writer.Writer.write", write)  # there is no Kafka here
    person, most = someone(), DECLARATIONS_MAX.amount

    async def declare(number: int, by: str) -> int:
        body = {
            "id": f"d-{number}",
            "kind": "personal",
            "city": "440100",
            "celsius": 36.5,
            "contact": False,
            "travelled": False,
        }
        headers = {**ORIGIN, **resident(by)}
        answer = await http.post("/v1/me/declarations", json=body, headers=headers)
        if answer.status_code == 429:
            assert answer.json()["code"] == "declared-too-often"
            assert int(answer.headers["retry-after"]) > 0
        return answer.status_code

    assert [await declare(n, person) for n in range(most + 1)] == [202] * most + [429]
    assert await declare(0, person) == 202, "it was taken before"
    assert await declare(most, someone()) == 202, "another's"
    assert (await http.get("/livez")).status_code == 200
