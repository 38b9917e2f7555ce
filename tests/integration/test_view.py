"""The view over a real Redis: what is shown, how old it may be, what a terminal gets."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient
from msgspec.structs import replace
from redis.asyncio import Redis

from app.credentials.bounds import PROOF_CLOCK_SECONDS, PROOF_SECONDS
from app.process.kafka import Brokers
from app.process.ports import free_port
from app.projection.codes import CODE
from app.projection.state import STATE
from app.topics.catalogue import CATALOGUE
from app.topics.codec import decode
from app.view import scans
from app.view.codes import Codes
from app.view.displays import Displays
from app.view.limits import (
    CLOCK_SECONDS,
    DISPLAY_SECONDS,
    NOTICE_SECONDS,
    REFUSE_SECONDS,
    STALE_SECONDS,
)
from app.view.releases import QUARTER_S, RELEASE
from app.web.problems import KINDS
from app.web.tokens import Role
from models.codes import Reason
from support.brokers import NO_BROKERS, Kafka
from support.credentials import Phone
from support.tokens import OPERATOR_HEADERS, OTHER_TOKENS, TOKENS, operator_token
from support.views import (
    DISPLAY_KEY,
    Http,
    Model,
    Running,
    change,
    create_view,
    health_code,
    now,
    on_duty,
    options_over,
    reason,
    resident,
    running_view,
    someone,
    view_environment,
    waiting,
)
from support.workers import everything

TERMINAL = "/terminals/440100-001"
SHOWN = ("样*甲", "1234")
"""A masked name, and the end of a document number."""
OWN_PHONE = Phone(7)


class Clock:
    """The time of a test, which may be moved."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return now() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


def app_over(redis_url: str, clock: Clock, brokers: Brokers = NO_BROKERS) -> Litestar:
    return create_view(options_over(redis_url, clock, brokers=brokers))


@pytest.fixture
async def http(redis_url: str, clock: Clock) -> AsyncIterator[Http]:
    """Asks with the operator's token, where nothing else is said."""
    async with AsyncTestClient(app_over(redis_url, clock)) as client:
        client.headers.update(OPERATOR_HEADERS)
        yield client


async def code_of(http: Http, person: str) -> Any:
    answer = await http.get(f"/v1/people/{person}/code")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


# The code


async def test_a_green_code(http: Http, model: Model) -> None:
    person = someone()
    await model.put(health_code(person, version=7))
    code = await code_of(http, person)
    assert (code["colour"], code["version"], code["reasons"]) == ("green", 7, [])
    assert code["person"] == person
    assert 0 <= code["lag_s"] < STALE_SECONDS
    assert code["stale"] is False


async def test_a_red_code_says_why_by_rank_and_how_it_lifts(http: Http, model: Model) -> None:
    person, end = someone(), now() + timedelta(days=1)
    listed = reason(Reason.CLOSE_CONTACT, conditions=(waiting(),))
    await model.put(health_code(person, reason(Reason.HOME_QUARANTINE, end=end), listed))
    code = await code_of(http, person)
    first, second = code["reasons"]
    assert code["colour"] == "red"
    assert (first["reason"], first["rank"]) == ("close-contact", 3)
    assert first["opened_by"] == {"source": "/cdc/440100", "id": "listing-1"}
    assert first["conditions"][0]["owner"] == "laboratory"
    assert first["earliest_end"] == first["conditions"][0]["not_before"]
    assert first["ends_at"] is None
    assert (second["reason"], second["policy"]) == ("home-quarantine", "2020-04")
    assert datetime.fromisoformat(second["ends_at"]) == end
    assert datetime.fromisoformat(code["changes_at"]) == end


async def test_who_is_unknown_and_who_is_not_verified_are_not_told_apart(
    http: Http, model: Model
) -> None:
    unknown, unverified = someone(), someone()
    await model.put(health_code(unverified, reason(), verified=False))
    answers = [await code_of(http, person) for person in (unknown, unverified)]
    for answer in answers:
        for name in ("person", "at", "lag_s"):
            del answer[name]
    assert answers[0] == answers[1]
    assert answers[0]["colour"] == "none"


async def test_a_reason_ends_between_two_reads_with_nothing_written(
    http: Http, model: Model, clock: Clock
) -> None:
    person, end = someone(), now() + timedelta(seconds=60)
    await model.put(health_code(person, reason(end=end)), as_of=now() + timedelta(seconds=60))
    clock.ahead = end - now() - timedelta(seconds=0.5)
    assert (await code_of(http, person))["colour"] == "red"
    clock.ahead = end - now() + timedelta(seconds=0.001)
    assert (await code_of(http, person))["colour"] == "green"


async def test_older_than_the_first_limit_is_marked_older_than_the_second_refused(
    http: Http, model: Model, clock: Clock
) -> None:
    person = someone()
    await model.put(health_code(person))
    clock.ahead = timedelta(seconds=STALE_SECONDS + 1)
    code = await code_of(http, person)
    assert code["stale"] is True
    assert code["lag_s"] > STALE_SECONDS
    clock.ahead = timedelta(seconds=REFUSE_SECONDS + 1)
    await assert_refused(http, person)


async def test_who_waits_for_what_is_counted_is_as_old_as_that_and_nobody_else(
    http: Http, model: Model
) -> None:
    """One of whom something is counted since long ago has no colour; everybody else has theirs."""
    short, long = (
        replace(health_code(someone()), complete_until=now() - timedelta(seconds=since))
        for since in (STALE_SECONDS + 1, REFUSE_SECONDS + 1)
    )
    other = health_code(someone())
    await model.put(short, long, other)
    code = await code_of(http, short.person)
    assert (code["colour"], code["stale"]) == ("green", True)
    assert datetime.fromisoformat(code["as_of"]) == short.complete_until
    await assert_refused(http, long.person)
    assert (await code_of(http, other.person))["stale"] is False


async def test_someone_unknown_is_not_denied_a_code_by_old_data(
    http: Http, model: Model, clock: Clock
) -> None:
    person = someone()
    await model.put()
    assert (await code_of(http, person))["colour"] == "none"
    clock.ahead = timedelta(seconds=STALE_SECONDS + 1)
    await assert_refused(http, person)


async def assert_refused(http: Http, person: str) -> None:
    paths = ("/v1/me/code", "/v1/me/code.svg", "/v1/me/display", "/v1/me/token")
    for path in (f"/v1/people/{person}/code", *paths):
        answer = await http.get(path, headers={**OPERATOR_HEADERS, **resident(person)})
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["code"] == "code-unavailable"
        assert "亮码失败" in answer.json()["title"]
        assert not re.search("green|red", answer.text.replace("answered", ""))


async def test_without_a_read_model_no_colour(http: Http, model: Model, redis: Redis) -> None:
    person = someone()
    await model.put(health_code(person))
    await redis.delete(STATE)  # codes are left, but nobody says how old they are
    assert (await http.get(f"/v1/people/{person}/code")).status_code == 503
    assert (await http.get("/readyz")).status_code == 503
    await redis.set(STATE, b'{"format":0}')
    assert (await http.get(f"/v1/people/{person}/code")).status_code == 503


async def test_without_redis_no_colour_and_no_counts(clock: Clock) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    async with AsyncTestClient(app_over(url, clock)) as http:
        http.headers.update(OPERATOR_HEADERS)
        for path in (f"/v1/people/{someone()}/code", "/v1/counts"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, "code-unavailable")
        assert (await http.get("/livez")).status_code == 200
        assert (await http.get("/readyz")).status_code == 503


async def test_reads_of_one_turn_are_one_read_of_redis(model: Model, redis: Redis) -> None:
    people = [someone() for _ in range(50)]
    await model.put(*map(health_code, people))
    codes = Codes(redis, now)
    await codes.read(people[0])
    before = (await redis.info("commandstats"))["cmdstat_mget"]["calls"]
    reads = await asyncio.gather(*(codes.read(person) for person in [*people, *people]))
    assert [read.code.person for read in reads if read.code] == [*people, *people]
    assert (await redis.info("commandstats"))["cmdstat_mget"]["calls"] == before + 1


async def test_who_gives_up_does_not_end_it_for_others(model: Model, redis: Redis) -> None:
    person = someone()
    await model.put(health_code(person))
    codes = Codes(redis, now)
    first, second = (asyncio.ensure_future(codes.read(person)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).code is not None


@pytest.mark.parametrize("person", ["x", "p1-" + "A" * 32, "p1-" + "a" * 33, "%00"])
async def test_what_is_no_person_key_is_refused(http: Http, model: Model, person: str) -> None:
    answer = await http.get(f"/v1/people/{person}/code")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "person"


# Counts, probes, reference


async def test_counts_follow_the_codes(http: Http, model: Model) -> None:
    first, second = someone(), someone()
    await model.put(health_code(first, reason(), city="440106"), health_code(second), change(first))
    await model.put(health_code(first, version=2, city="440305"))
    counts = (await http.get("/duty/counts.json")).json()
    assert counts["colours"] == {"red": 0, "green": 2, "none": 0}
    assert counts["cities"] == {
        "440100": {"red": 0, "green": 1},
        "440300": {"red": 0, "green": 1},
    }
    assert set(counts["reasons"].values()) == {0}
    assert len(counts["minutes"]) == 60
    assert sum(minute["to_red"] for minute in counts["minutes"]) == 1
    assert len(counts["lags"]) == 4


async def test_everybody_is_told_rounded_counts_of_the_quarter_of_an_hour(
    http: Http, model: Model, clock: Clock
) -> None:
    del http.headers["authorization"]
    await model.put(*(health_code(someone(), reason(), city="440106") for _ in range(12)))
    first = await http.get("/v1/counts")
    assert first.headers["cache-control"] == "public, max-age=60"
    assert first.json().keys() == {"made_at", "colours", "reasons", "red", "green", "held"}
    assert first.json()["red"]["440100"] == {"least": 10, "most": 19}
    assert first.json()["red"]["440300"] == {"least": 0, "most": 9}
    await model.put(*(health_code(someone(), reason(), city="440106") for _ in range(10)))
    if (await http.get("/v1/counts")).json()["made_at"] == first.json()["made_at"]:
        assert (await http.get("/v1/counts")).json() == first.json()
    clock.ahead = timedelta(minutes=15)
    await model.put(*(change(someone()) for _ in range(4)), as_of=clock())
    assert (await http.get("/v1/counts")).json() == first.json(), "after too few changes"
    clock.ahead = timedelta(minutes=30)
    await model.put(change(someone()), as_of=clock())
    assert (await http.get("/v1/counts")).json()["red"]["440100"] == {"least": 20, "most": 29}
    page = await http.get("/counts")
    assert "不足 10" in page.text
    assert page.headers["cache-control"] == "public, max-age=60"
    unchanged = await http.get("/counts", headers={"if-none-match": page.headers["etag"]})
    assert unchanged.status_code == 304


async def test_no_address_tells_the_anonymous_an_exact_count(
    redis_url: str, model: Model, clock: Clock
) -> None:
    people = [someone() for _ in range(1_237)]
    await model.put(*(health_code(person) for person in people), *map(change, people))
    app = app_over(redis_url, clock)
    exact = re.compile(r"(?<!\d)1,?237(?!\d)")
    asked = 0
    async with AsyncTestClient(app) as http:
        for route in app.routes:
            if "GET" in getattr(route, "methods", ()) and "{" not in route.path:
                answer = await http.get(route.path, headers={"accept": "text/html"})
                assert not exact.search(answer.text), route.path
                asked += answer.status_code == 200
        told = await http.get("/duty/counts.json", headers=OPERATOR_HEADERS)
        assert exact.search(told.text), "an officer is told"
    assert asked > 20


async def test_all_views_tell_one_release(
    http: Http, redis_url: str, model: Model, clock: Clock
) -> None:
    """What two views count themselves, one after the other, would be two releases."""
    before = now()
    await model.put(*(health_code(someone(), reason()) for _ in range(12)))
    first = (await http.get("/v1/counts")).json()
    await model.put(*(health_code(someone(), reason()) for _ in range(90)), change(someone()))
    async with AsyncTestClient(app_over(redis_url, clock)) as other:
        seen = (await other.get("/v1/counts")).json()
        clock.ahead = timedelta(minutes=15)
        await model.put(*(change(someone()) for _ in range(5)), as_of=clock())
        at_once = [client.get("/v1/counts") for client in (http, other) * 3]
        later = [answer.json() for answer in await asyncio.gather(*at_once)]
    if before.timestamp() // QUARTER_S == now().timestamp() // QUARTER_S:
        assert seen == first
    assert all(answer == later[0] for answer in later)
    assert later[0]["red"]["440100"] == {"least": 100, "most": 109}


async def test_an_unreadable_release_and_a_wrong_clock_stop_nothing(
    http: Http, redis_url: str, model: Model, clock: Clock
) -> None:
    await model.put(*(health_code(someone(), reason()) for _ in range(12)))
    async with Redis.from_url(options_over(redis_url, clock).sessions_redis_url) as sessions:
        await sessions.set(RELEASE, b"of another form")
    first = (await http.get("/v1/counts")).json()
    assert first["red"]["440100"]["least"] == 10
    clock.ahead = timedelta(days=30)
    await model.put(*(change(someone()) for _ in range(5)), as_of=clock())
    ahead = (await http.get("/v1/counts")).json()
    assert ahead["made_at"] > first["made_at"]
    clock.ahead = timedelta()
    await model.put(*(change(someone()) for _ in range(5)))
    assert (await http.get("/v1/counts")).json()["made_at"] < ahead["made_at"]


async def test_while_the_model_is_being_built_there_are_no_counts(http: Http, model: Model) -> None:
    await model.put(health_code(someone()), built=False)
    assert (await http.get("/v1/counts")).status_code == 503


@pytest.mark.parametrize("header", ["forwarded", "x-forwarded-for", "via"])
async def test_metrics_are_for_nobody_behind_a_proxy(http: Http, model: Model, header: str) -> None:
    """They count each scan as it comes."""
    assert "yuekang_view_scans_total" in (await http.get("/metrics")).text
    answer = await http.get("/metrics", headers={header: "for=203.0.113.7"})
    assert answer.status_code == 404
    assert "yuekang_view" not in answer.text


async def test_ready_means_that_the_lag_moves(http: Http, model: Model, clock: Clock) -> None:
    await model.put()
    assert (await http.get("/readyz")).text == "ready\n"
    clock.ahead = timedelta(seconds=STALE_SECONDS + 2)
    answer = await http.get("/readyz")
    assert answer.status_code == 503
    assert "Partition 0" in answer.text


async def test_openapi_document_names_every_route_and_problem(http: Http, model: Model) -> None:
    document = (await http.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/v1/people/{person}/code",
        "/v1/people/{person}/explanation",
        "/v1/me/code",
        "/v1/me/code.svg",
        "/v1/me/display",
        "/v1/me/token",
        "/v1/me/credential",
        "/v1/credential-keys",
        "/v1/s",
        "/v1/s/{chunk}",
        "/v1/me/information",
        "/v1/me/information/{section}",
        "/v1/me/export",
        "/v1/me/declarations",
        "/v1/me/travel-card",
        "/v1/me/travel-card/code",
        "/v1/session",
        "/v1/reconciliation",
        "/v1/scans",
        "/v1/changes",
        "/v1/counts",
        "/problems/{code}",
    }
    for code in KINDS:
        assert (await http.get(f"/problems/{code}")).json()["status"] == KINDS[code].status


async def test_nothing_else_is_there(http: Http) -> None:
    for path in ("/schema", "/nothing", "/v1/people"):
        answer = await http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert (await http.put("/v1/counts")).json()["code"] == "method-not-allowed"


async def test_a_bug_is_a_500_and_its_message_stays_out_of_the_log(
    http: Http, model: Model, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    person = someone()
    await model.put(health_code(person))
    await redis.set(CODE + person, b"1 0 green - 440100\n{}")
    answer = await http.get(f"/v1/people/{person}/code")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    # The test's own client logs what it asks for.
    logged = [record.getMessage() for record in caplog.records if record.name != "httpx"]
    assert not [line for line in logged if person in line]


async def test_the_pages_are_mounted(http: Http, model: Model) -> None:
    person = someone()
    await model.put(health_code(person, reason()))
    page = (await http.get("/code", headers={**OPERATOR_HEADERS, **resident(person)})).text
    assert "红码" in page
    assert "data-token" in page
    for path in ("/", "/dashboard", "/dashboard/counts", "/dashboard/chart.svg", "/api"):
        assert (await http.get(path)).status_code == 200, path


async def test_nothing_of_the_duty_officers_is_shown_without_a_login(
    http: Http, model: Model
) -> None:
    del http.headers["authorization"]
    await model.put(health_code(someone(), reason()), change(someone()))
    routes = [route.path for route in http.app.routes]
    duty = [path for path in routes if re.match("/(dashboard|duty|v1/changes)", path)]
    assert len(duty) > 5
    for path in duty:
        if path.startswith(("/duty/login", "/duty/logout")):
            continue
        page = await http.get(path, headers={"accept": "text/html"}, follow_redirects=False)
        assert (page.status_code, page.text) == (303, "") or path.startswith("/v1/"), path
        assert (await http.get(path, headers={"sec-fetch-mode": "cors"})).status_code == 401, path
    assert (await http.get("/dashboard", headers=on_duty("值班员"))).text.count("值班员") == 1
    document = (await http.get("/openapi.json")).json()
    security = document["paths"]["/v1/changes"]["get"]["security"]
    assert security == [{"operatorToken": []}, {"duty": []}]


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("/v1/people/{person}/code", Role.READ),
        ("/v1/people/{person}/explanation", Role.EXPLAIN),
        ("/v1/reconciliation", Role.READ),
        ("/v1/changes", Role.READ),
        ("/duty/counts.json", Role.READ),
        ("/dashboard", Role.READ),
    ],
)
async def test_each_address_asks_for_the_role_that_it_needs(
    http: Http, path: str, needed: Role
) -> None:
    path = path.format(person=someone())
    for role in Role:
        headers = {"authorization": f"Bearer {operator_token(role)}"}
        if role is needed and path == "/v1/changes":
            continue  # it never ends
        answer = await http.get(path, headers=headers)
        assert (answer.status_code == 403) is (role is not needed), (role, answer.text)
        if role is not needed:
            assert answer.json()["code"] == "no-operator"
            assert f"the role {needed}" in answer.json()["detail"]
    former = {"authorization": "Bearer yk1./operator." + "a" * 52}
    assert (await http.get(path, headers=former)).status_code == 401


# Scans


def authorization(source: str = TERMINAL) -> dict[str, str]:
    return {"authorization": f"Bearer {TOKENS.token_for(source)}"}


def scan_of(person: str, **fields: Any) -> dict[str, Any]:
    token = Displays(DISPLAY_KEY).token(person, *SHOWN)
    return {"id": f"scan-{someone()}", "token": token, "place": "地铁站 A 口", **fields}


async def scan(http: Http, body: Any, source: str = TERMINAL) -> Any:
    return await http.post("/v1/scans", json=body, headers=authorization(source))


@pytest.fixture
async def with_kafka(
    redis_url: str, kafka: Kafka, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Http]:
    monkeypatch.setattr(scans, "SCANS_TOPIC", kafka.named("scans"))
    async with AsyncTestClient(app_over(redis_url, clock, kafka.brokers)) as client:
        yield client


async def scans_of(kafka: Kafka, person: str) -> list[Any]:
    """The scans of a person on Kafka, as the worker's codec reads them."""
    found = [r for r in await everything(kafka, "scans") if r.key == person.encode()]
    topic = CATALOGUE.topics["scans"]
    return [decode(r.value, r.key, r.headers, topic, now()) for r in found]


async def recorded(http: Http, body: Any) -> Any:
    """Send a scan as a terminal does: until it is recorded."""
    for _ in range(20):
        answer = await scan(http, body)
        assert answer.status_code == 200, answer.text
        if answer.json()["recorded"]:
            return answer.json()
        await asyncio.sleep(0.2)
    raise AssertionError("never recorded")


async def test_a_scan_is_recorded_and_answered_with_whose_code_it_is(
    with_kafka: Http, model: Model, kafka: Kafka
) -> None:
    person = someone()
    await model.put(health_code(person, reason()))
    body = scan_of(person)
    answer = await recorded(with_kafka, body)
    assert abs((now() - datetime.fromisoformat(answer.pop("at"))).total_seconds()) < 5
    assert answer.pop("as_of")
    assert answer == {
        "outcome": "red",
        "colour": "red",
        "stale": False,
        "name": "样*甲",
        "ending": "1234",
        "recorded": True,
        "again": False,
    }
    events = await scans_of(kafka, person)
    assert {(e.source, e.id, e.data.terminal, e.data.place) for e in events} == {
        (TERMINAL, body["id"], "440100-001", "地铁站 A 口")
    }


async def credential_of(http: Http, person: str) -> bytes:
    """A credential of a person for `OWN_PHONE`."""
    headers = {**resident(person), "origin": "http://127.0.0.1:8080"}
    answer = await http.post("/v1/me/credential", json={"key": OWN_PHONE.jwk}, headers=headers)
    assert answer.status_code == 200, answer.text
    text = answer.json()["credential"]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def test_what_a_phone_shows_by_itself_is_answered_with_the_code_of_now(
    with_kafka: Http, model: Model, kafka: Kafka
) -> None:
    person = someone()
    await model.put(health_code(person))
    credential = await credential_of(with_kafka, person)
    body = scan_of(person, token=OWN_PHONE.show(credential, now()))
    answer = await recorded(with_kafka, body)
    assert [answer[name] for name in ("outcome", "name", "ending")] == ["green", *SHOWN]
    assert len(await scans_of(kafka, person)) == 1
    await model.put(health_code(person, reason(), version=2))
    again = scan_of(person, token=OWN_PHONE.show(credential, now()))
    assert (await scan(with_kafka, again)).json()["outcome"] == "red"


async def test_a_picture_another_phone_and_a_credential_of_before_do_not_pass(
    http: Http, model: Model
) -> None:
    person = someone()
    await model.put(health_code(person))
    credential = await credential_of(http, person)
    good = PROOF_SECONDS + PROOF_CLOCK_SECONDS
    shown = {
        "green": OWN_PHONE.show(credential, now() - timedelta(seconds=good - 3)),
        "expired": OWN_PHONE.show(credential, now() - timedelta(seconds=good + 1)),
        "forged": Phone(8).show(credential, now()),
    }
    for outcome, token in shown.items():
        answer = (await scan(http, scan_of(person, token=token))).json()
        assert (answer["outcome"], answer["colour"]) == (
            outcome,
            "green" if outcome == "green" else None,
        )
    await model.begin()
    await model.put(health_code(person))
    answer = (await scan(http, scan_of(person, token=OWN_PHONE.show(credential, now())))).json()
    assert (answer["outcome"], answer["name"]) == ("expired", None)


async def test_sent_again_unchanged_a_scan_is_the_same_event(
    with_kafka: Http, model: Model, kafka: Kafka
) -> None:
    person = someone()
    await model.put(health_code(person))
    body = scan_of(person, scanned_at=now().isoformat())
    await recorded(with_kafka, body)
    await recorded(with_kafka, body)
    first, *others = await scans_of(kafka, person)
    assert others
    assert all(event == first for event in others)


async def test_without_kafka_the_guard_still_gets_the_colour(http: Http, model: Model) -> None:
    person = someone()
    await model.put(health_code(person))
    answer = (await scan(http, scan_of(person))).json()
    assert (answer["outcome"], answer["recorded"], answer["again"]) == ("green", False, True)


async def test_without_a_colour_a_scan_is_503(with_kafka: Http, model: Model, clock: Clock) -> None:
    await model.put()
    body = scan_of(someone())
    clock.ahead = timedelta(seconds=DISPLAY_SECONDS / 2)
    await model.put(as_of=now() - timedelta(seconds=REFUSE_SECONDS))
    answer = await scan(with_kafka, body)
    assert (answer.status_code, answer.json()["code"]) == (503, "code-unavailable")


async def test_a_picture_that_was_sent_on_has_expired_and_says_whose_it_was(
    with_kafka: Http, model: Model, clock: Clock, kafka: Kafka
) -> None:
    friend = someone()
    await model.put(health_code(friend))
    body = scan_of(friend)
    clock.ahead = timedelta(seconds=DISPLAY_SECONDS + 2)
    answer = (await scan(with_kafka, body)).json()
    assert (answer["outcome"], answer["colour"], answer["name"]) == ("expired", None, "样*甲")
    assert (answer["recorded"], answer["again"]) == (False, False)
    assert not await scans_of(kafka, friend)


@pytest.mark.parametrize("token", ["x", Displays(bytes(32)).token(someone(), *SHOWN)])
async def test_what_was_not_made_here_is_forged_and_names_nobody(
    http: Http, model: Model, token: str
) -> None:
    await model.put()
    answer = (await scan(http, scan_of(someone(), token=token))).json()
    assert (answer["outcome"], answer["colour"], answer["again"]) == ("forged", None, False)
    assert (answer["name"], answer["ending"]) == (None, None)


async def test_who_has_no_code_is_unknown_at_a_gate(http: Http, model: Model) -> None:
    await model.put()
    answer = (await scan(http, scan_of(someone()))).json()
    assert (answer["outcome"], answer["colour"], answer["name"]) == ("unknown", "none", "样*甲")


@pytest.mark.parametrize(
    ("behind", "outcome"), [(STALE_SECONDS + 5, "green"), (NOTICE_SECONDS + 5, "stale")]
)
async def test_nobody_passes_by_data_older_than_a_minute(
    http: Http, model: Model, behind: float, outcome: str
) -> None:
    person = someone()
    await model.put(health_code(person), as_of=now() - timedelta(seconds=behind))
    answer = (await scan(http, scan_of(person))).json()
    assert (answer["outcome"], answer["stale"]) == (outcome, True)


@pytest.mark.parametrize("kept_back", [False, True], ids=["at once", "kept back"])
@pytest.mark.parametrize("seconds", [-10, 10])
async def test_a_terminal_is_told_that_its_clock_is_wrong(
    with_kafka: Http, model: Model, kafka: Kafka, seconds: int, kept_back: bool
) -> None:
    person = someone()
    await model.put(health_code(person))
    theirs = now() + timedelta(seconds=seconds)
    body = scan_of(person, sent_at=theirs.isoformat())
    if kept_back:
        body["scanned_at"] = theirs.isoformat()
    answer = await recorded(with_kafka, body)
    assert (answer["outcome"], answer["colour"], answer["name"]) == ("clock-wrong", None, "样*甲")
    off = (theirs - datetime.fromisoformat(answer["at"])).total_seconds()
    assert abs(off - seconds) < 5
    [event, *_] = await scans_of(kafka, person)
    made_at = Displays(DISPLAY_KEY).read(body["token"]).made_at
    assert event.data.scanned_at == made_at, "their clock is not believed"


@pytest.mark.parametrize(
    ("scanned_at", "sent_at"),
    [
        ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
        ("9999-12-31T23:59:59Z", None),
    ],
)
async def test_a_clock_that_is_ages_off_is_answered_too(
    http: Http, model: Model, scanned_at: str, sent_at: str | None
) -> None:
    person = someone()
    await model.put(health_code(person))
    answer = await scan(http, scan_of(person, scanned_at=scanned_at, sent_at=sent_at))
    assert (answer.status_code, answer.json()["outcome"]) == (200, "expired")


async def test_a_clock_that_is_nearly_right_is_right(http: Http, model: Model) -> None:
    person = someone()
    await model.put(health_code(person))
    theirs = now() - timedelta(seconds=CLOCK_SECONDS - 2)
    body = scan_of(person, sent_at=theirs.isoformat(), scanned_at=theirs.isoformat())
    assert (await scan(http, body)).json()["outcome"] == "green"


async def test_a_scan_kept_back_is_recorded_without_a_colour(
    with_kafka: Http, model: Model, clock: Clock, kafka: Kafka
) -> None:
    person = someone()
    await model.put(health_code(person))
    body = scan_of(person, scanned_at=now().isoformat())
    clock.ahead = timedelta(hours=3)
    answer = await recorded(with_kafka, body)
    assert (answer["outcome"], answer["colour"]) == ("expired", None)
    assert await scans_of(kafka, person)
    clock.ahead = timedelta(hours=25)
    late = (await scan(with_kafka, body)).json()
    assert (late["outcome"], late["recorded"], late["again"]) == ("expired", False, False)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"token": ""}, 422, "invalid"),
        ({"token": "x" * 500}, 422, "invalid"),
        ({"id": ""}, 422, "invalid"),
        ({"id": "two words"}, 422, "invalid"),
        ({"place": ""}, 422, "invalid"),
        ({"place": "\x00"}, 422, "invalid"),
        ({"place": "x\n"}, 422, "invalid"),
        ({"place": "11010519491231002X"}, 422, "invalid"),
        ({"scanned_at": "2022-03-01T08:00:00"}, 422, "invalid"),
        ({"sent_at": "2022-03-01T08:00:00"}, 422, "invalid"),
        ({"more": 1}, 422, "invalid"),
        ({"place": "x" * 5_000}, 413, "body-too-large"),
    ],
)
async def test_a_bad_scan_is_refused_with_its_field_whatever_the_code_is(
    http: Http, model: Model, fields: dict[str, Any], status: int, code: str
) -> None:
    await model.put()
    for token in ({}, {"token": "forged"}):
        answer = await scan(http, scan_of(someone(), **token | fields))
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "invalid"),
        (b"[]", 422, "invalid"),
        (b"{", 400, "bad-request"),
        (b"\xff", 400, "bad-request"),
        (b'{"id":NaN}', 400, "bad-request"),
        (b"[" * 3_000, 400, "too-deep"),
    ],
)
async def test_what_is_no_scan_is_refused(
    http: Http, model: Model, body: bytes, status: int, code: str
) -> None:
    headers = {**authorization(), "content-type": "application/json"}
    answer = await http.post("/v1/scans", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer x"}, 401),
        ({"authorization": "Basic " + TOKENS.token_for(TERMINAL)}, 401),
        ({"authorization": "Bearer " + OTHER_TOKENS.token_for(TERMINAL)}, 401),
        (authorization("/laboratories/440100-001"), 403),
        (authorization("/terminals"), 403),
    ],
)
async def test_only_a_terminal_may_scan(
    http: Http, model: Model, headers: dict[str, str], status: int
) -> None:
    await model.put()
    answer = await http.post("/v1/scans", json=scan_of(someone()), headers=headers)
    assert answer.status_code == status, answer.text


# The process


async def test_the_process_serves_over_granian_and_ends_when_told(
    kafka: Kafka, redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    person, model = someone(), Model(redis, kafka.prefix)
    await model.begin()
    with running_view(kafka, redis_url, tmp_path) as view:
        view.wait_live()
        await model.put(health_code(person, reason(conditions=(waiting(),))))
        view.wait_ready()
        status, text = view.code_of(person)
        assert (status, json.loads(text)["colour"]) == (200, "red")
        assert "yuekang_view_reads_total" in view.get("/metrics")[1]
        await model.put(as_of=now() - timedelta(seconds=REFUSE_SECONDS + 1))
    assert view.process.returncode == 0


def test_a_port_that_is_taken_is_said(broker: Brokers, redis_url: str, tmp_path: Path) -> None:
    kafka = Kafka(broker)
    with running_view(kafka, redis_url, tmp_path) as first:
        first.wait_live()
        (second := tmp_path / "second").mkdir()
        port = int(first.address.rpartition(":")[2])
        other = Running("view", view_environment(kafka, redis_url, port), port, second / "log")
        assert other.process.wait(20) == 1
        assert "YUEKANG_VIEW_PORT" in other.log.read_text()
        assert httpx.get(f"{first.address}/livez").status_code == 200
