"""The forms of a resident, over a real Redis and a real Kafka: what is taken, what is refused."""

import asyncio
import html
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from litestar.testing import AsyncTestClient

from app.login.sessions import PHONE_COOKIE
from app.topics.catalogue import CATALOGUE
from app.topics.codec import decode
from app.travel.bounds import Bounds
from app.view import declarations
from app.view.declarations import DECLARATIONS_TOPIC
from app.view.pages.declare import owner_of
from app.view.reading import Unavailable
from models.codes import EventRef, reference_of
from models.events import DeclarationData, DeclarationKind, Symptom
from support.brokers import NO_BROKERS, Kafka
from support.travels import PHONE, WIDE, Stage, another
from support.views import Http, create_view, now, options_over, resident, someone
from support.workers import everything

SAME_ORIGIN = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate"}


@pytest.fixture
async def http(
    redis_url: str, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Http]:
    monkeypatch.setattr(declarations, "DECLARATIONS_TOPIC", kafka.named(DECLARATIONS_TOPIC))
    async with view(redis_url, brokers=kafka.brokers) as client:
        yield client


@pytest.fixture
async def without_kafka(redis_url: str) -> AsyncIterator[Http]:
    async with view(redis_url, brokers=NO_BROKERS) as client:
        yield client


def view(redis_url: str, **options: Any) -> Http:
    client = AsyncTestClient(create_view(options_over(redis_url, now, **options)))
    client.follow_redirects = False
    client.headers.update(SAME_ORIGIN)
    return client


def answers(kind: str = "personal", **fields: Any) -> dict[str, Any]:
    """A form that is filled in rightly, except `fields`; None leaves one out."""
    filled = {
        "id": str(uuid4()),
        "city": "440300",
        "celsius": "36.5",
        "contact": "no",
        "travelled": "yes",
        **({} if kind == "personal" else {"unit": "示例单位"}),
        **fields,
    }
    return {name: value for name, value in filled.items() if value is not None}


async def declare(http: Http, person: str, form: dict[str, Any], kind: str = "personal") -> Any:
    """Submit a form, again while Kafka is not there yet, as its page says."""
    for _ in range(20):
        answer = await http.post(f"/declare/{kind}", data=form, headers=resident(person))
        if answer.status_code != 503:
            break
        await asyncio.sleep(0.2)
    return answer


async def events_of(kafka: Kafka, *persons: str) -> list[Any]:
    """What is on the log of these people, oldest first."""
    return [
        r
        for r in await everything(kafka, DECLARATIONS_TOPIC)
        if r.key and r.key.decode() in persons
    ]


def form_id(page: str) -> str:
    match = re.search(r'name="id" value="([^"]*)"', page)
    assert match is not None
    return match[1]


# Declarations


@pytest.mark.parametrize("kind", DeclarationKind)
async def test_each_kind_goes_on_the_log_as_it_was_filled_in(
    http: Http, kafka: Kafka, kind: DeclarationKind
) -> None:
    person = someone()
    form = answers(kind, symptoms=["fever", "cough", "fever"], celsius="３８．２")
    answer = await declare(http, person, form, kind)
    assert answer.status_code == 303, answer.text
    where = urlsplit(answer.headers["location"])
    assert where.path.startswith("/declare/sent/")
    record, *again = await events_of(kafka, person)
    assert {one.value for one in again} <= {record.value}
    event = decode(
        record.value, record.key, record.headers, CATALOGUE.topics[DECLARATIONS_TOPIC], now()
    )
    assert isinstance(event.data, DeclarationData)
    said = event.data
    assert (event.id, said.kind, said.city, said.celsius) == (form["id"], kind, "440300", 38.2)
    assert (said.contact, said.travelled) == (False, True)
    assert set(said.symptoms) == {Symptom.FEVER, Symptom.COUGH}
    assert said.unit == (None if kind is DeclarationKind.PERSONAL else "示例单位")
    page = await http.get(answer.headers["location"], headers=resident(person))
    assert page.status_code == 200
    assert "/me/declarations" in page.text
    assert where.path.rpartition("/")[2] == reference_of(EventRef(event.source, event.id))
    for word in ("发热：请今天就去发热门诊", "发热、咳嗽", "38.2", "深圳"):
        assert word in page.text
    assert page.text.index("发热门诊") < page.text.index("申报已提交</h2>")


async def test_a_double_tap_is_one_declaration(http: Http, kafka: Kafka) -> None:
    person, form = someone(), answers()
    assert (await declare(http, person, form)).status_code == 303
    twice = await asyncio.gather(*(declare(http, person, form) for _ in range(2)))
    assert {answer.status_code for answer in twice} == {303}
    assert len({answer.headers["location"] for answer in twice}) == 1
    # The log may have it more than once; it is the same, byte for byte, so the list has one.
    assert len({record.value for record in await events_of(kafka, person)}) == 1


async def test_what_was_submitted_is_not_changed_but_offered_anew(http: Http, kafka: Kafka) -> None:
    person, form = someone(), answers()
    await declare(http, person, form)
    answer = await declare(http, person, {**form, "celsius": "37.9"})
    assert answer.status_code == 409
    assert 'value="37.9"' in answer.text
    fresh = form_id(answer.text)
    assert fresh != form["id"]
    assert len(await events_of(kafka, person)) == 1
    assert (await declare(http, person, {**form, "id": fresh})).status_code == 303
    assert len(await events_of(kafka, person)) == 2


async def test_another_persons_form_is_another_declaration(http: Http, kafka: Kafka) -> None:
    one, other, form = someone(), someone(), answers()
    await declare(http, one, form)
    answer = await declare(http, other, {**form, "celsius": "39.0"})
    assert answer.status_code == 303, "an id is of one person; it tells another nothing"
    first, second = await events_of(kafka, one, other)
    by_person = {record.key.decode(): record.value for record in (first, second)}
    assert b"36.5" in by_person[one]
    assert b"39.0" in by_person[other]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"unit": None}, "unit"),
        ({"unit": "  \u3000 "}, "unit"),
        ({"unit": "长" * 101}, "unit"),
        ({"unit": "某\x00厂"}, "unit"),
        ({"unit": "11010519491231002X"}, "unit"),
        ({"city": None}, "city"),
        ({"city": "110100"}, "city"),
        ({"celsius": None}, "celsius"),
        ({"celsius": "34.9"}, "celsius"),
        ({"celsius": "42.1"}, "celsius"),
        ({"celsius": "36.55"}, "celsius"),
        ({"celsius": "NaN"}, "celsius"),
        ({"celsius": "1e999"}, "celsius"),
        ({"celsius": "warm"}, "celsius"),
        ({"symptoms": ["cough", "hunger"]}, "symptoms"),
        ({"contact": None}, "contact"),
        ({"travelled": "perhaps"}, "travelled"),
        ({"id": None}, None),
        ({"id": "1"}, None),
    ],
)
async def test_what_is_wrong_is_said_beside_its_field_and_all_else_is_kept(
    without_kafka: Http, fields: dict[str, Any], fault: str | None
) -> None:
    form = answers("student-or-staff", **{"symptoms": ["cough"], **fields})
    answer = await declare(without_kafka, someone(), form, "student-or-staff")
    assert answer.status_code == 422, answer.text
    page = answer.text
    assert 'id="faults"' in page
    assert re.findall(r'id="(\w+)-fault"', page) == ([] if fault is None else [fault])
    if "unit" not in fields:
        assert 'value="示例单位"' in page
    if "city" not in fields:
        assert '<option value="440300" selected>' in page
    assert 'value="cough" checked' in page
    if "id" not in fields:
        assert form_id(page) == form["id"]


async def test_without_kafka_all_is_kept_and_may_be_sent_again(without_kafka: Http) -> None:
    form = answers("enterprise-employee", unit='<b>"甲"</b> 厂', symptoms=["fever"])
    answer = await without_kafka.post(
        "/declare/enterprise-employee", data=form, headers=resident(someone())
    )
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert form_id(answer.text) == form["id"], "sent again it has to be the same"
    assert f'value="{html.escape(form["unit"])}"'.replace("&quot;", "&#34;") in answer.text
    assert "<b>" not in answer.text
    assert 'value="fever" checked' in answer.text


async def test_a_form_tells_its_origin_and_is_kept_by_nobody(without_kafka: Http) -> None:
    person = someone()
    for address in ("/declare/personal", "/travel-card"):
        answer = await without_kafka.get(address, headers=resident(person))
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert person not in answer.text
    page = (await without_kafka.get("/declare/personal", headers=resident(person))).text
    again = (await without_kafka.get("/declare/personal", headers=resident(person))).text
    assert form_id(page) != form_id(again)
    assert owner_of(person) in page
    assert owner_of(person) != owner_of(someone())


PAGES = [
    ("GET", "/declare"),
    ("GET", "/declare/sent/K7QF-2M9PX"),
    ("GET", "/travel-card"),
    ("GET", "/travel-card/new"),
    ("GET", "/travel-card/code"),
    ("POST", "/travel-card"),
    ("POST", "/travel-card/code"),
    *((method, f"/declare/{kind.value}") for kind in DeclarationKind for method in ("GET", "POST")),
]


@pytest.mark.parametrize(("method", "address"), PAGES)
async def test_nobody_is_asked_to_log_in_and_another_site_is_refused(
    without_kafka: Http, method: str, address: str
) -> None:
    answer = await without_kafka.request(
        method, address, data=answers() if method == "POST" else {}
    )
    if method == "GET":
        assert answer.headers["location"].startswith("/login?return_to=")
    else:
        assert answer.status_code == 401
        foreign = {**resident(someone()), "sec-fetch-site": "cross-site"}
        answer = await without_kafka.post(address, data=answers(), headers=foreign)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross-site")


async def test_a_confirmation_is_of_what_was_declared_and_of_its_sender(http: Http) -> None:
    person = someone()
    answer = await declare(http, person, answers())
    address = answer.headers["location"]
    assert (await http.get(address, headers=resident(person))).status_code == 200
    assert (await http.get(address, headers=resident(someone()))).status_code == 404
    other = reference_of(EventRef("/portal", str(uuid4())))
    page = {"accept": "text/html", **resident(person)}
    for wrong in (other, "x", "2026-11-24T12:00:00", "%3Cscript%3E", other[:-1] + "!"):
        answer = await http.get(f"/declare/sent/{wrong}", headers=page)
        assert answer.status_code == 404, wrong
        assert "申报已提交" not in answer.text
    assert (await http.get("/declare/sent", headers=page)).status_code == 404


async def test_a_reference_may_be_typed_as_it_was_heard(http: Http) -> None:
    person = someone()
    address = (await declare(http, person, answers())).headers["location"].partition("?")[0]
    typed = address.rpartition("/")[2].lower().replace("-", " ")
    assert (await http.get(f"/declare/sent/{typed}", headers=resident(person))).status_code == 200


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, []),
        ({"celsius": "37.2", "symptoms": ["cough"]}, []),
        ({"celsius": "37.3"}, ["发热"]),
        ({"symptoms": ["fever"]}, ["发热"]),
        ({"contact": "yes"}, ["接触"]),
        (
            {"celsius": "39.5", "symptoms": ["breathlessness"], "contact": "yes"},
            ["呼吸", "发热", "接触"],
        ),
    ],
)
async def test_what_is_worrying_is_told_first_and_the_most_urgent_before(
    http: Http, fields: dict[str, Any], told: list[str]
) -> None:
    person = someone()
    answer = await declare(http, person, answers(**fields))
    page = (await http.get(answer.headers["location"], headers=resident(person))).text
    titles = re.findall(r'<h2 id="advice-\d">(..)', page)
    assert titles == told
    assert ("<h1>申报已提交</h1>" in page) is not bool(told)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"celsius": "365"}, "体温是不是 36.5？"),
        ({"celsius": "999"}, "请填写 35.0 至 42.0 之间的体温"),
        ({"contact": None}, "“过去 14 天内，是否接触过确诊病例、疑似病例或无症状感染者？”：请选择"),
    ],
)
async def test_a_fault_says_what_was_meant_and_names_its_question(
    without_kafka: Http, fields: dict[str, Any], says: str
) -> None:
    answer = await declare(without_kafka, someone(), answers(**fields))
    assert answer.status_code == 422
    assert says in html.unescape(answer.text)


# The travel card


class Travels:
    """A view with the travel cards of a test."""

    def __init__(self, redis_url: str, bounds: Bounds = WIDE) -> None:
        self._bounds = bounds
        self._stages: list[Stage] = []
        self.http = view(redis_url, brokers=NO_BROKERS, make_cards=self._make)

    def _make(self, redis: Any, *_: Any) -> Any:
        stage = Stage(redis, self._bounds)
        stage.at = now()
        self._stages.append(stage)
        return stage.cards

    @property
    def stage(self) -> Stage:
        return self._stages[-1]

    async def post(self, address: str, asker: str, **form: str) -> Any:
        return await self.http.post(address, data=form, headers=resident(asker))


@pytest.fixture
async def travels(redis_url: str) -> AsyncIterator[Travels]:
    travels = Travels(redis_url)
    async with travels.http:
        yield travels


async def test_a_phone_a_code_a_card(travels: Travels) -> None:
    asker = someone()
    sent = await travels.post("/travel-card/code", asker, phone=f"+86 {PHONE}")
    assert sent.status_code == 200, sent.text
    assert "138****8000" in sent.text
    assert 'data-again="60"' in sent.text
    code = travels.stage.carrier.code
    assert code not in sent.text
    known = await travels.post("/travel-card", asker, phone=PHONE, code=f"{code[:3]} {code[3:]}")
    assert (known.status_code, known.headers["location"]) == (303, "/travel-card?lang=zh")


class Resident:
    """A person's browser: a session, and the cookies that it is given."""

    def __init__(self, travels: Travels, person: str | None = None) -> None:
        self._travels = travels
        self.cookies = dict([resident(person or someone())["cookie"].split("=", 1)])

    async def send(self, method: str, address: str, **form: str) -> Any:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await self._travels.http.request(
            method, address, data=form or None, headers={"cookie": cookie}
        )
        for header in answer.headers.get_list("set-cookie"):
            name, _, value = header.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    async def shows_a_phone(self) -> Any:
        await self.send("POST", "/travel-card/code", phone=PHONE)
        code = self._travels.stage.carrier.code
        return await self.send("POST", "/travel-card", phone=PHONE, code=code)


async def test_a_card_is_shown_again_without_another_message(travels: Travels) -> None:
    one = Resident(travels)
    travels.stage.was_in(PHONE, "440100")
    kept = await one.shows_a_phone()
    [cookie] = kept.headers.get_list("set-cookie")
    words = {word.strip().lower() for word in cookie.split(";")}
    assert {"secure", "httponly", "path=/", "samesite=lax"} <= words
    assert PHONE not in cookie
    for address in ("/travel-card", "/travel-card", "/travel-card?lang=en"):
        card = await one.send("GET", address)
        assert card.status_code == 200
        assert "138****8000" in card.text
        assert PHONE not in card.text
        assert card.headers["cache-control"] == "no-store"
    assert "Travel card" in card.text
    assert len(travels.stage.carrier.sent) == 1


async def test_another_phone_may_be_asked_for_and_the_first_is_kept_until_then(
    travels: Travels,
) -> None:
    one = Resident(travels)
    await one.shows_a_phone()
    assert 'name="phone"' in (await one.send("GET", "/travel-card/new")).text
    assert "138****8000" in (await one.send("GET", "/travel-card")).text


async def test_a_kept_phone_is_of_one_session_and_one_person(travels: Travels) -> None:
    one, other = Resident(travels), Resident(travels)
    await one.shows_a_phone()
    again = Resident(travels)
    for someone_else in (other, again):
        someone_else.cookies[PHONE_COOKIE] = one.cookies[PHONE_COOKIE]
        assert 'name="phone"' in (await someone_else.send("GET", "/travel-card")).text


async def test_a_logout_forgets_the_phone(travels: Travels) -> None:
    one = Resident(travels)
    await one.shows_a_phone()
    assert one.cookies[PHONE_COOKIE]
    before = one.cookies[PHONE_COOKIE]
    answer = await one.send("POST", "/logout")
    assert answer.status_code == 303
    assert one.cookies[PHONE_COOKIE].strip('"') == ""
    one.cookies[PHONE_COOKIE] = before
    assert (await one.send("GET", "/travel-card")).status_code == 303, "the session is over"


async def test_while_rows_are_away_the_phone_stays_known(travels: Travels) -> None:
    one = Resident(travels)
    await one.shows_a_phone()
    travels.stage.rows_failure = Unavailable("store", 2)
    answer = await one.send("GET", "/travel-card")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "不需要再收短信" in answer.text
    travels.stage.rows_failure = None
    assert "138****8000" in (await one.send("GET", "/travel-card")).text


async def test_a_wrong_code_says_how_many_tries_are_left_and_then_that_it_is_spent(
    travels: Travels,
) -> None:
    asker = someone()
    await travels.post("/travel-card/code", asker, phone=PHONE)
    wrong = another(travels.stage.carrier.code)
    for left in (4, 3, 2, 1):
        answer = await travels.post("/travel-card", asker, phone=PHONE, code=wrong)
        assert answer.status_code == 422
        assert f"还可以试 {left} 次" in answer.text
        assert f'name="phone" value="{PHONE}"' in answer.text
    for _ in range(2):
        answer = await travels.post("/travel-card", asker, phone=PHONE, code=wrong)
        assert "已输错 5 次" in answer.text


async def test_a_code_is_of_no_use_to_another_person(travels: Travels) -> None:
    asker, other = someone(), someone()
    await travels.post("/travel-card/code", asker, phone=PHONE)
    code = travels.stage.carrier.code
    answer = await travels.post("/travel-card", other, phone=PHONE, code=code)
    assert (answer.status_code, "没有给您发送过" in answer.text) == (422, True)
    assert (await travels.post("/travel-card", asker, phone=PHONE, code=code)).status_code == 303
    answer = await travels.post("/travel-card", asker, phone=PHONE, code=code)
    assert (answer.status_code, "已用过" in answer.text) == (422, True)


async def test_what_fails_has_its_status_and_keeps_the_phone(travels: Travels) -> None:
    asker = someone()
    answer = await travels.post("/travel-card/code", asker, phone="12345")
    assert answer.status_code == 422
    assert 'id="phone-fault"' in answer.text
    assert 'value="12345"' in answer.text
    travels.stage.carrier.failure = OSError()
    answer = await travels.post("/travel-card/code", asker, phone=PHONE)
    assert answer.status_code == 503
    assert "短信没有发出" in answer.text
    assert f'value="{PHONE}"' in answer.text
    travels.stage.carrier.failure = None
    await travels.post("/travel-card/code", asker, phone=PHONE)
    travels.stage.gateway.away = True
    code = travels.stage.carrier.code
    answer = await travels.post("/travel-card", asker, phone=PHONE, code=code)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "暂时不能查询" in answer.text
    for form in ({"phone": PHONE, "code": "12"}, {"phone": PHONE}):
        answer = await travels.post("/travel-card", asker, **form)
        assert (answer.status_code, 'id="code-fault"' in answer.text) == (422, True)
    for form in ({}, {"code": code}):
        answer = await travels.post("/travel-card", asker, **form)
        assert (answer.status_code, 'id="phone-fault"' in answer.text) == (422, True)


async def test_asked_too_often_says_when_and_leaves_the_code_to_be_entered(redis_url: str) -> None:
    """With the limits as they are set: one a minute."""
    travels = Travels(redis_url, Bounds())
    async with travels.http:
        asker = someone()
        assert (await travels.post("/travel-card/code", asker, phone=PHONE)).status_code == 200
        answer = await travels.post("/travel-card/code", asker, phone=PHONE)
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 60
        assert re.search(r"请在 [0-9年月日]* ?[0-9:]{8} 之后再试", answer.text)
        assert 'autocomplete="one-time-code"' in answer.text
        assert (await travels.post("/travel-card/code", someone(), phone=PHONE)).status_code == 200


async def test_the_page_of_a_form_opened_by_its_address_leads_to_the_first(
    travels: Travels,
) -> None:
    answer = await travels.http.get("/travel-card/code?lang=en", headers=resident(someone()))
    assert (answer.status_code, answer.headers["location"]) == (303, "/travel-card/new?lang=en")
