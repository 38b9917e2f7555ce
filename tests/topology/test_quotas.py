"""What may turn a code red goes round by openings: counted, and held above the limit of its source
until two different operators have approved it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from agents.instants import instant
from app.engine.store import DUE, HELD_NOW, TALLY
from app.process import metrics
from app.topics.authentic import OURS
from app.topics.catalogue import (
    CATALOGUE,
    DEAD_LETTERS,
    ON_HOLD,
    OPENINGS,
    SOURCE_RELEASES,
    STATUS_CHANGES,
    partition_of,
)
from app.topics.codec import Code, Refusal, decode
from app.topics.letters import letter_in
from app.topics.marks import marked
from app.topics.openings import COUNTED, OPENING_MAC, RESENT_FROM, as_it_lay, decode_opening
from app.topics.records import Record, structured
from models import policy
from models.codes import Colour, Reason
from models.events import Event
from models.operators import OpeningsApproved, OpeningsApprovedData
from models.policy import POLICIES
from models.quotas import Quota
from support import builders as b
from support.macs import KEYS, signed
from support.views import someone
from topology.driver import HERE, START, Driver, Letter, made

LIMIT = 3
TOPIC = "contact-listings"
SOURCE = "/cdc/440100"
SLUG = Reason.CLOSE_CONTACT.slug
THERE = partition_of(SOURCE.encode(), CATALOGUE.partitions)
"""The partition that counts what `SOURCE` sends."""

_quotas = msgspec.msgpack.Decoder(Quota)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of each reason in an hour."""
    numbers = msgspec.structs.replace(
        POLICIES[0], openings_max=dict.fromkeys(Reason, LIMIT), openings_windows_kept=4
    )
    monkeypatch.setattr(policy, "POLICIES", (numbers,))


def listing(person: str, number: int = 1, source: str = SOURCE) -> Event:
    event: Event = b.contact(
        b.day(19), b.day(19), person=person, source=source, listing=f"L{number}", id=f"c{number}"
    )
    return event


def listings(count: int) -> list[Event]:
    """Of people who are verified, each in any partition."""
    return [listing(someone(), number) for number in range(count)]


def verified(events: Sequence[Event]) -> list[Event]:
    return [b.verified(person=event.partitionkey) for event in events]


def red(driver: Driver, events: Sequence[Event]) -> int:
    """How many of these people are red."""
    return sum(driver.code(e.partitionkey).colour is Colour.RED for e in events)


def held(driver: Driver) -> list[Letter]:
    return [
        Letter(r, {n: (v or b"").decode() for n, v in r.headers}, letter_in(r))
        for r in driver.records(ON_HOLD)
    ]


def quota(driver: Driver, source: str = SOURCE, slug: str = SLUG) -> Quota:
    there = partition_of(source.encode(), CATALOGUE.partitions)
    row = driver.rows("quotas", there)[f"{source} {slug}".encode()]
    return _quotas.decode(row[DUE.size :])


def approve(driver: Driver, by: str, source: str = SOURCE, **changes: Any) -> None:
    data = OpeningsApprovedData(
        **{"source": source, "reason": SLUG, "until": driver.now, "why": "an outbreak", **changes}
    )
    number = len(driver.log.all_of(SOURCE_RELEASES))
    event = OpeningsApproved(id=f"a{number}", time=driver.now, source=by, data=data)
    driver.send(msgspec.json.encode(event), SOURCE_RELEASES, partition=THERE, author=by)


def send_again(driver: Driver, letters: Sequence[Letter]) -> None:
    """As the operator's command does."""
    for letter in letters:
        source = letter.headers["yk_source"]
        back = as_it_lay(source, letter.value, letter.headers[OPENING_MAC].encode())
        marked = (*back.headers, (RESENT_FROM, b"held/0/0"))
        driver.send(Record(back.topic, back.key, back.value, marked))


CHEN, LI = "/operators/chen", "/operators/li"


def test_an_opening_goes_round_and_turns_a_code_red_as_of_its_first_arrival(
    driver: Driver,
) -> None:
    driver.send(b.verified())
    sent = driver.send(listing(b.PERSON))
    assert driver.code().reasons == (Reason.CLOSE_CONTACT,)
    [opened] = driver.records(OPENINGS)
    assert (opened.key, opened.partition) == (SOURCE.encode(), THERE)
    assert KEYS.author(opened) == OURS
    opening = decode_opening(opened.value or b"")
    place = opening.topic, opening.partition, opening.offset, opening.arrived
    assert place == (TOPIC, sent.partition, sent.offset, sent.timestamp)
    [_, back] = driver.records(TOPIC)
    assert (back.partition, back.key) == (sent.partition, sent.key)
    assert KEYS.author(back) == SOURCE, "its own author is known"
    row = driver.row()
    assert row is not None
    assert [fact.arrived_at for fact in row.facts][-1].timestamp() * 1_000 == sent.timestamp
    assert quota(driver) == Quota({sent.timestamp // 3_600_000 * 3_600_000: 1})
    assert driver.outputs(DEAD_LETTERS) == held(driver) == []


def test_a_code_says_since_when_it_waits_and_no_other_waits_with_it(
    driver: Driver, monkeypatch: Any
) -> None:
    """A partition of openings that nobody counts makes those alone old of whom it has something."""

    def broken(*_: object) -> None:
        raise KeyError

    one, other = someone(), someone()
    driver.send_all([b.verified(person=one), b.verified(person=other)])
    with monkeypatch.context() as patch:
        patch.setattr("agents.quotas.limit_of", broken)
        sent = driver.send(listing(one))
        [halt] = driver.halts
        driver.send(b.negative(b.day(19), person=other))
        driver.send(b.negative(b.day(19), person=one))
        assert driver.code(one).complete_until == instant(sent.timestamp)
        assert driver.code(other).complete_until is None
        driver.lose_store()
        assert driver.code(one).complete_until == instant(sent.timestamp)
    driver.release_partition(halt, "it is mended")
    assert (driver.code(one).colour, driver.code(one).complete_until) == (Colour.RED, None)


def test_a_copy_of_what_was_folded_does_not_go_round_again(driver: Driver) -> None:
    """Nobody who plays a record again makes a code old by it, nor uses up its source's limit."""
    driver.send(b.verified())
    driver.send(listing(b.PERSON))
    before = driver.code(), quota(driver)
    driver.send(listing(b.PERSON))
    assert (driver.code(), quota(driver)) == before
    assert len(driver.records(OPENINGS)) == 1


def test_nobody_waits_for_what_is_held(driver: Driver) -> None:
    events = listings(LIMIT + 1)
    driver.send_all([*verified(events), *events])
    [letter] = held(driver)
    code = driver.code((letter.key or b"").decode())
    assert (code.colour, code.complete_until) == (Colour.GREEN, None)
    back = driver.records(TOPIC)[-1]
    assert (back.key, back.value) == (letter.key, None)
    for by in (CHEN, LI):
        approve(driver, by)
    send_again(driver, [letter])
    code = driver.code((letter.key or b"").decode())
    assert (code.colour, code.complete_until) == (Colour.RED, None)


def test_what_is_told_of_one_that_is_back_names_where_it_first_lay(driver: Driver) -> None:
    """Two of one identity leave at once: the second is refused where its source sent it."""
    driver.send(b.verified())
    one = listing(b.PERSON)
    driver.send_all([one, msgspec.structs.replace(one, time=b.day(18))])
    [letter] = driver.outputs(DEAD_LETTERS)
    _, second, *_ = driver.records(TOPIC)
    assert (letter.reason, letter.offset) == ("conflict", second.offset)


def test_nobody_waits_for_what_is_refused_when_it_is_back(driver: Driver, monkeypatch: Any) -> None:
    came = set[bytes]()

    def refuses(value: bytes, *others: Any) -> Any:
        if value in came:
            raise Refusal(Code.INVALID, "a codec of later")
        came.add(value)
        return decode(value, *others)

    monkeypatch.setattr("agents.poison.decode", refuses)
    driver.send(b.verified())
    driver.send(listing(b.PERSON))
    assert driver.outputs(DEAD_LETTERS)[-1].reason == Code.INVALID
    assert (driver.code().colour, driver.code().complete_until) == (Colour.GREEN, None)


def test_nobody_waits_for_what_is_left_aside_when_it_is_back(
    driver: Driver, monkeypatch: Any
) -> None:
    def broken(*_: object) -> None:
        raise KeyError

    driver.send(b.verified())
    with monkeypatch.context() as patch:
        patch.setattr("agents.people.fold_back", broken)
        driver.send(listing(b.PERSON))
        [halt] = driver.halts
        assert halt.topic == TOPIC
    driver.release_partition(halt, "a bug", leave_aside=True)
    assert driver.outputs(DEAD_LETTERS)[-1].reason == Code.LEFT_ASIDE
    assert (driver.code().colour, driver.code().complete_until) == (Colour.GREEN, None)


def test_what_opens_nothing_is_folded_at_once(driver: Driver) -> None:
    positive = b.positive(b.day(2))
    driver.send(positive)
    before = len(driver.records(OPENINGS))
    for event in (
        b.verified(),
        b.negative(b.day(3)),
        b.retracted(positive, b.day(4)),
        b.discharged(b.day(5)),
        b.provincial("green", b.day(5)),
    ):
        driver.send(event)
    assert len(driver.records(OPENINGS)) == before


def test_a_mark_that_no_worker_made_says_nothing(driver: Driver) -> None:
    """A source cannot get round the limit, nor name a time for its event."""
    sent = signed(structured(listing(b.PERSON)), SOURCE)
    _, mac = KEYS.of(SOURCE).header(COUNTED, dict(sent.headers)["yk_mac"], b"1-1", ())
    marks = (b"1-1", b"1", b"", b"1-1 " + mac, mac)
    for number, mark in enumerate(marks):
        other = signed(structured(listing(b.PERSON, number)), SOURCE)
        driver.send(Record(other.topic, other.key, other.value, (*other.headers, (COUNTED, mark))))
    assert len(driver.records(OPENINGS)) == len(marks)


def test_the_mark_of_another_event_says_nothing(driver: Driver) -> None:
    driver.send(listing(b.PERSON))
    mark = driver.records(TOPIC)[-1].headers[-1]
    assert mark[0] == COUNTED
    other = signed(structured(listing(b.PERSON, 2)), SOURCE)
    driver.send(Record(other.topic, other.key, other.value, (*other.headers, mark)))
    assert len(driver.records(OPENINGS)) == 2


def test_what_is_back_is_decoded_the_short_way(driver: Driver, monkeypatch: Any) -> None:
    monkeypatch.setattr("app.topics.codec.parse_strict", pytest.fail)
    driver.send(b.verified())
    driver.send(listing(b.PERSON))
    assert driver.records(TOPIC)[-1].headers[-1][0] == COUNTED
    assert (driver.code().colour, driver.outputs(DEAD_LETTERS)) == (Colour.RED, [])


def test_a_mark_of_before_says_when_and_not_where(driver: Driver) -> None:
    """It lies on the log until its topic drops it, and is folded in a replay."""
    driver.send(b.verified())
    event, arrived = listing(b.PERSON), int((START - timedelta(hours=1)).timestamp() * 1_000)
    before = marked(signed(structured(event), SOURCE), COUNTED, b"%d" % arrived, KEYS)
    driver.send(before)
    assert (driver.halts, driver.records(OPENINGS)) == ([], [])
    assert (driver.code().colour, driver.code().complete_until) == (Colour.RED, None)
    row = driver.row()
    assert row is not None
    assert [fact.arrived_at for fact in row.facts if fact.id == event.id] == [instant(arrived)]


def test_what_is_above_the_limit_is_held_and_its_source_told(driver: Driver) -> None:
    events = listings(LIMIT + 2)
    driver.send_all(verified(events))
    before = metrics.WORKER_HELD.labels(SLUG)._value.get()
    sent = [driver.send(event) for event in events]
    assert red(driver, events) == LIMIT
    letters = held(driver)
    assert [(letter.reason, letter.headers["yk_source"]) for letter in letters] == [
        (SLUG, SOURCE)
    ] * 2
    assert [letter.key for letter in letters] == [e.partitionkey.encode() for e in events[LIMIT:]]
    told = driver.outputs(DEAD_LETTERS)
    assert [(t.reason, t.headers["yk_refused"], t.headers["yk_source"]) for t in told] == [
        ("held", "false", SOURCE)
    ] * 2
    places = [(t.headers["yk_topic"], int(t.headers["yk_partition"]), t.offset) for t in told]
    assert places == [(s.topic, s.partition, s.offset) for s in sent[LIMIT:]]
    assert "two operators" in told[0].headers["yk_detail"]
    assert _now(driver)[Reason.CLOSE_CONTACT] == 2
    assert metrics.WORKER_HELD.labels(SLUG)._value.get() == before + 2
    driver.advance(by=timedelta(seconds=1))
    assert metrics.WORKER_OPENINGS_HELD.labels(SLUG)._value.get() == 2


def test_another_source_another_reason_and_the_next_window_have_their_own(driver: Driver) -> None:
    events = listings(LIMIT + 1)
    others = [listing(someone(), number, "/cdc/440300") for number in range(LIMIT)]
    orders = [b.ordered("home", b.day(19), b.day(30), person=someone()) for _ in range(LIMIT)]
    later = listings(LIMIT)
    for event in verified([*events, *others, *orders, *later]):
        driver.send(event)
    driver.send_all([*events, *others, *orders])
    assert [red(driver, of) for of in (events, others, orders)] == [LIMIT] * 3
    again = [msgspec.structs.replace(event, id=f"x{event.id}") for event in later]
    driver.advance(by=timedelta(hours=1))
    driver.send_all(again)
    assert red(driver, later) == LIMIT
    assert len(held(driver)) == 1


@pytest.mark.parametrize("partitions", [1, 4])
def test_the_number_does_not_depend_on_how_records_are_spread(
    driver: Driver, partitions: int
) -> None:
    of_each = 12 // partitions
    keys = [key for part in range(partitions) for key in islice(people_of(part), of_each)]
    events = [listing(key, number) for number, key in enumerate(keys)]
    driver.send_all(verified(events))
    driver.send_all(events)
    assert red(driver, events) == LIMIT
    assert len(held(driver)) == len(events) - LIMIT


def people_of(partition: int) -> Iterator[str]:
    """People whose records lie in a partition."""
    for person in iter(someone, None):
        if partition_of(person.encode(), CATALOGUE.partitions) == partition:
            yield person


def test_one_operator_is_not_enough_nor_is_the_same_twice(driver: Driver) -> None:
    events = listings(LIMIT + 2)
    driver.send_all([*verified(events), *events])
    driver.send_all(events)
    letters = held(driver)
    send_again(driver, letters)
    approve(driver, CHEN)
    send_again(driver, held(driver)[-len(letters) :])
    with capture_logs() as logged:
        approve(driver, CHEN)
    assert [
        line["by"] for line in logged if line["event"] == "approval_needs_another_operator"
    ] == [CHEN]
    send_again(driver, held(driver)[-len(letters) :])
    assert red(driver, events) == LIMIT
    assert _now(driver)[Reason.CLOSE_CONTACT] == len(letters), (
        "each is held again, and lost by nobody"
    )


def test_two_operators_let_all_go_on_as_of_their_release(driver: Driver) -> None:
    events = listings(LIMIT + 2)
    driver.send_all(verified(events))
    driver.send_all(events)
    approve(driver, CHEN)
    driver.advance(by=timedelta(hours=5))
    approve(driver, LI)
    assert red(driver, events) == LIMIT, "nothing goes on by itself"
    letters = held(driver)
    send_again(driver, letters)
    assert red(driver, events) == len(events)
    assert _now(driver) == {Reason.CLOSE_CONTACT: 0}
    released = [driver.changes(letter.key.decode())[-1] for letter in letters if letter.key]
    assert {change.at for change in released} == {driver.now}, "until then they were green"
    assert len(driver.outputs(DEAD_LETTERS)) == 2, "the letters of before, and no more"


def _now(driver: Driver) -> dict[int, int]:
    row = driver.rows("quotas", THERE)[HELD_NOW]
    return msgspec.msgpack.decode(row[DUE.size :], type=dict[int, int])


def test_what_came_after_the_approval_is_not_approved(driver: Driver) -> None:
    events = listings(LIMIT + 1)
    driver.send_all(verified(events))
    driver.send_all(events)
    for by in (CHEN, LI):
        approve(driver, by, until=driver.now + timedelta(days=9))
    driver.advance(by=timedelta(minutes=1))
    more = [listing(someone(), 100)]
    driver.send_all([*verified(more), *more])
    assert [letter.key for letter in held(driver)][-1] == more[0].partitionkey.encode()
    send_again(driver, held(driver))
    assert (red(driver, events), red(driver, more)) == (len(events), 0)


def test_approvals_of_another_source_or_reason_say_nothing(driver: Driver) -> None:
    events = listings(LIMIT + 1)
    driver.send_all(verified(events))
    driver.send_all(events)
    for by in (CHEN, LI):
        approve(driver, by, source="/cdc/440300")
        approve(driver, by, reason="home-quarantine")
    send_again(driver, held(driver))
    assert red(driver, events) == LIMIT


def test_nobody_but_a_worker_writes_to_openings(driver: Driver) -> None:
    driver.send(listing(b.PERSON))
    opened = driver.records(OPENINGS)[0]
    forged = made(opened.value or b"", OPENINGS, key=opened.key, author=SOURCE)
    driver.send(forged, partition=THERE)
    [letter] = driver.outputs(DEAD_LETTERS)
    assert letter.reason == "not-authentic"
    assert len(driver.records(TOPIC)) == 2


@pytest.fixture(params=["people", "quotas"])
def dies_at(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_dying_in_either_transaction_loses_nothing_and_tells_nothing_twice(
    driver: Driver, dies_at: str
) -> None:
    events = listings(LIMIT + 2)
    driver.send_all(verified(events))
    driver.outputs(STATUS_CHANGES)

    async def die(producer: str) -> None:
        if f"-{dies_at}-" in producer:
            raise OSError("gone")

    driver.log.before_commit = die
    with pytest.raises(OSError, match="gone"):
        driver.send_all(events)
    assert red(driver, events) == 0
    driver.log.before_commit = None
    driver.start()
    assert red(driver, events) == LIMIT
    assert len(held(driver)) == len(driver.outputs(DEAD_LETTERS)) == 2
    counts = Counter(change.person for change in driver.outputs(STATUS_CHANGES))
    assert set(counts.values()) == {1}
    assert len(counts) == LIMIT


def test_redelivery_and_a_lost_store_change_nothing(driver: Driver) -> None:
    events = listings(LIMIT + 2)
    driver.send_all(verified(events))
    driver.send_all(events)
    before = [len(driver.records(t)) for t in (TOPIC, OPENINGS, ON_HOLD, DEAD_LETTERS)]
    driver.redeliver()
    driver.lose_store()
    driver.redeliver()
    assert [len(driver.records(t)) for t in (TOPIC, OPENINGS, ON_HOLD, DEAD_LETTERS)] == before


def test_a_replay_of_openings_decides_the_same(driver: Driver, folder: Path) -> None:
    events = listings(3 * LIMIT)
    driver.send_all(verified(events))
    for event in events:
        driver.send(event, at=driver.now + timedelta(minutes=13))
    openings = driver.records(OPENINGS)
    with Driver(folder / "again", at=START) as again:
        again.stop()
        for record in openings:
            again.write_again(record)
        again.start()
        assert [letter.value for letter in held(again)] == [letter.value for letter in held(driver)]
        assert quota(again) == quota(driver)
    assert held(driver)


def test_a_source_that_is_parked_meanwhile_keeps_what_was_taken(driver: Driver) -> None:
    """It was taken when it first came; what it sends from then on is put aside."""
    event = listing(b.PERSON)
    bad = made(b"{", TOPIC, key=b.PERSON, author=SOURCE)
    driver.send(b.verified())
    driver.send_all([event, *[bad] * 100])
    assert SOURCE in driver.tally(TOPIC).parked
    assert driver.code().colour is Colour.RED


def test_what_an_operator_leaves_aside_is_held(driver: Driver, monkeypatch: Any) -> None:
    def broken(*_: object) -> None:
        raise KeyError

    with monkeypatch.context() as patch:
        patch.setattr("agents.quotas.limit_of", broken)
        driver.send(b.verified())
        driver.send(listing(b.PERSON))
        [halt] = driver.halts
        assert (halt.table, halt.topic) == ("quotas", OPENINGS)
        driver.release_partition(halt, "a bug", leave_aside=True)
    assert driver.halts == []
    [letter] = held(driver)
    assert "a bug" in letter.headers["yk_detail"]
    for by in (CHEN, LI):
        approve(driver, by)
    send_again(driver, [letter])
    assert driver.code().colour is Colour.RED


def test_what_cannot_be_read_is_left_aside_as_a_dead_letter(driver: Driver) -> None:
    """A record of a later release that was rolled back, say."""
    driver.send(b.verified())
    driver.send(listing(b.PERSON))
    [opened] = driver.records(OPENINGS)
    later = msgspec.json.encode({**msgspec.json.decode(opened.value or b""), "reason": 99})
    driver.send(KEYS.signed(Record(OPENINGS, opened.key, later, ()), OURS), author=None)
    [halt] = driver.halts
    driver.release_partition(halt, "a rollback", leave_aside=True)
    assert driver.halts == []
    assert driver.outputs(DEAD_LETTERS)[-1].headers["yk_reason"] == Code.LEFT_ASIDE
    driver.send(listing(someone(), 2))
    assert len(driver.records(OPENINGS)) == 3, "the next is counted"


def test_what_is_left_aside_again_is_held_once(driver: Driver, monkeypatch: Any) -> None:
    def broken(*_: object) -> None:
        raise KeyError

    events = listings(LIMIT + 1)
    driver.send_all([*verified(events), *events])
    [letter] = held(driver)
    with monkeypatch.context() as patch:
        patch.setattr("models.quotas.Quota.approved", broken)
        send_again(driver, [letter])
        [halt] = driver.halts
        driver.release_partition(halt, "a bug", leave_aside=True)
    assert _now(driver) == {Reason.CLOSE_CONTACT: 1}


def test_two_names_of_one_who_holds_both_tokens_let_nothing_go_on(driver: Driver) -> None:
    events = listings(LIMIT + 1)
    driver.send_all([*verified(events), *events])
    approve(driver, CHEN, subject="b5c1")
    approve(driver, LI, subject="b5c1")
    send_again(driver, held(driver))
    assert quota(driver).approved_until is None
    approve(driver, CHEN, subject="77aa")
    assert quota(driver).approved_until == driver.now.timestamp() * 1_000
    with capture_logs() as logged:
        approve(driver, LI, subject="77aa")
    assert quota(driver).approved_until is None
    assert "openings_approved" not in [line["event"] for line in logged]


@pytest.mark.parametrize(
    "other", ["/operator", "/operators/chen\n", "/operators/Chen", "/operators/chen/2"]
)
def test_who_approves_has_a_name_and_one_spelling_of_it(driver: Driver, other: str) -> None:
    events = listings(LIMIT + 1)
    driver.send_all([*verified(events), *events])
    approve(driver, CHEN)
    approve(driver, other)
    assert quota(driver).approvals.keys() == {CHEN}
    assert driver.outputs(DEAD_LETTERS)[-1].headers["yk_reason"] == Code.INVALID


def test_a_counted_event_that_is_refused_counts_against_nobody(
    driver: Driver, monkeypatch: Any
) -> None:
    driver.send(b.verified())
    before = driver.rows("people", HERE).get(TALLY + TOPIC.encode())

    came = set[bytes]()

    def refuses(value: bytes, *others: Any) -> Any:
        if value in came:
            raise Refusal(Code.INVALID, "a codec of later")
        came.add(value)
        return decode(value, *others)

    monkeypatch.setattr("agents.poison.decode", refuses)
    driver.send(listing(b.PERSON))
    assert driver.outputs(DEAD_LETTERS)[-1].headers["yk_reason"] == Code.INVALID
    assert driver.rows("people", HERE).get(TALLY + TOPIC.encode()) == before


def test_one_in_a_wrong_partition_is_forwarded_and_then_counted(driver: Driver) -> None:
    driver.send(b.verified())
    driver.send(listing(b.PERSON), partition=(HERE + 1) % CATALOGUE.partitions)
    assert driver.code().colour is Colour.RED
    [opened] = driver.records(OPENINGS)
    assert decode_opening(opened.value or b"").partition == HERE
