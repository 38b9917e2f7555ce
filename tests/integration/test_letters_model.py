"""What sources are told, as it lies in Redis: each letter once, in whatever order it is read."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from app.projection import refusals
from app.projection.refusals import (
    LETTERS_MAX,
    RETENTION,
    CursorInvalid,
    RefusalsUnknown,
    SourceLetter,
    read_after,
    read_newest,
)
from app.topics.codec import Code
from support import builders as b
from support.gateways import NUMBER
from support.letters import LABORATORY, LettersModel, letter, refused, tally, without_effect
from support.views import now

OTHER = "/laboratories/440100-002"
ALL = 1_000


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        await client.flushdb()
        yield client


@pytest.fixture
async def model(redis: Redis) -> LettersModel:
    model = LettersModel(redis)
    await model.begin()
    return model


def ms(seconds: float) -> int:
    return int((now() + timedelta(seconds=seconds)).timestamp() * 1_000)


async def told(redis: Redis, source: str = LABORATORY) -> list[SourceLetter]:
    page = await read_newest(redis, source, None, None, ALL)
    return [seen for seen, _ in page.letters]


async def pages(redis: Redis, count: int, after: str | None = None) -> list[int | None]:
    """The offsets of all letters, page by page."""
    found: list[int | None] = []
    before: str | None = None
    while True:
        page = await read_newest(redis, LABORATORY, after, before, count)
        assert len(page.letters) <= count
        found += [seen.offset for seen, _ in page.letters]
        if page.older is None:
            return found
        before = str(page.older)


async def test_a_source_sees_its_own_letters_and_no_others(
    redis: Redis, model: LettersModel
) -> None:
    closing = b.released(b.day(5), id="r1", source="/quarantine-commands/440100")
    await model.put(
        letter(refused(7), 0, 1, ms(-3)),
        letter(refused(8, OTHER), 0, 2, ms(-2)),
        letter(refused(9, None), 0, 3, ms(-2)),
        letter(without_effect(closing), 1, 1, ms(-1)),
    )
    [mine] = await told(redis)
    assert (mine.topic, mine.partition, mine.offset) == ("laboratory-results", mine.partition, 7)
    assert (mine.id, mine.type) == ("e7", "yuekang.nat-result.reported.v1")
    assert (mine.reason, mine.refused) == ("invalid", True)
    assert mine.detail == "data.result: it is no result."
    [its] = await told(redis, OTHER)
    assert its.offset == 8
    [late] = await told(redis, "/quarantine-commands/440100")
    assert (late.id, late.refused, late.offset) == ("r1", False, None)
    assert late.topic == "quarantine-orders"
    assert late.reason == "closes-nothing"


async def test_of_a_sealed_letter_only_place_and_reason_are_seen(
    redis: Redis, model: LettersModel
) -> None:
    value = b'{"id":"e1","source":"/laboratories/440100-001","data":"%s"}' % NUMBER.encode()
    sealed = refused(3, code=Code.DOCUMENT_NUMBER, value=value)
    await model.put(letter(sealed, 0, 1))
    [mine] = await told(redis)
    assert mine.sealed
    assert (mine.offset, mine.reason) == (3, "document-number")
    assert (mine.id, mine.type, mine.detail) == (None, None, None)
    keys = [key async for key in redis.scan_iter()]
    for key in keys:
        if await redis.type(key) == b"zset":
            assert NUMBER not in str(await redis.zrange(key, 0, -1))


@pytest.mark.parametrize(
    ("value", "headers", "id_"),
    [
        (b"{", (), None),
        (b"[]", (), None),
        (b'{"id":7}', (), None),
        (b'{"id":"two words"}', (), None),
        (b'{"id":"a"}', (), "a"),
        (b"{}", (("ce_id", b"b"), ("ce_specversion", b"1.0")), "b"),
        (b'{"id":"' + b"x" * 70_000 + b'"}', (), None),
    ],
)
async def test_an_id_is_seen_where_it_can_be_read(
    redis: Redis,
    model: LettersModel,
    value: bytes,
    headers: tuple[tuple[str, bytes], ...],
    id_: str | None,
) -> None:
    await model.put(letter(refused(1, value=value, headers=headers), 0, 1))
    assert [seen.id for seen in await told(redis)] == [id_]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
async def test_pages_hold_every_letter_once_and_the_newest_first(
    redis: Redis, model: LettersModel, count: int
) -> None:
    await model.put(*(letter(refused(n), n % 4, n, ms(n - 30)) for n in range(20)))
    assert await pages(redis, count) == [*reversed(range(20))]


async def test_resuming_misses_nothing_and_repeats_nothing_after_a_rebuild(
    redis: Redis, model: LettersModel
) -> None:
    """A letter that is read late sorts before one that was seen, and comes all the same."""
    records = [letter(refused(n), n % 3, n, ms(n - 30)) for n in range(12)]
    await model.put(*records[:4], records[6])
    first = await read_newest(redis, LABORATORY, None, None, 2)
    assert [seen.offset for seen, _ in first.letters] == [6, 3]
    cursor = str(first.newest)
    await LettersModel(redis).begin()
    other_order = LettersModel(redis)
    await other_order.begin()
    for one in (*records[2:7:2], *records[0:2], records[3]):
        await other_order.put(one)
    await other_order.put(records[5], *records[7:])
    assert sorted(await pages(redis, 3, cursor), key=str) == sorted(
        [4, 5, 7, 8, 9, 10, 11], key=str
    ), "4 lies before 6 in time, and was not here yet"


async def test_each_letter_has_the_cursor_to_go_on_after_it(
    redis: Redis, model: LettersModel
) -> None:
    await model.put(*(letter(refused(n), n % 4, n, ms(n - 30)) for n in range(8)))
    page = await read_newest(redis, LABORATORY, None, None, ALL)
    for seen, cursor in page.letters:
        after = await read_after(redis, LABORATORY, str(cursor), ALL)
        assert seen.offset is not None
        assert [later.offset for later, _ in after.letters] == [*range(seen.offset + 1, 8)]
    start = await read_after(redis, LABORATORY, str(page.letters[-1][1]), 3)
    whole = [seen.offset for seen, _ in start.letters]
    rest = await read_after(redis, LABORATORY, str(start.letters[-1][1]), ALL)
    assert whole + [seen.offset for seen, _ in rest.letters] == [*range(1, 8)]


async def test_from_now_there_is_nothing_until_something_comes(
    redis: Redis, model: LettersModel
) -> None:
    await model.put(letter(refused(1), 0, 1))
    begin = await read_after(redis, LABORATORY, None, ALL)
    assert begin.letters == []
    await model.put(letter(refused(2), 0, 2), letter(refused(3), 2, 1))
    after = await read_after(redis, LABORATORY, str(begin.begin), ALL)
    assert sorted(seen.offset or 0 for seen, _ in after.letters) == [2, 3]


async def test_a_list_is_bounded_and_says_what_it_left_out(
    redis: Redis, model: LettersModel
) -> None:
    await model.put(letter(refused(0), 0, 0))
    first = await read_newest(redis, LABORATORY, None, None, ALL)
    assert not first.missed
    await model.put(*(letter(refused(n), 0, n) for n in range(1, LETTERS_MAX + 11)))
    page = await read_newest(redis, LABORATORY, None, None, ALL)
    assert len(page.letters) == LETTERS_MAX
    assert page.missed
    assert (await read_newest(redis, LABORATORY, str(first.newest), None, ALL)).missed
    after = await read_after(redis, LABORATORY, str(first.newest), ALL)
    assert after.missed
    again = await read_after(redis, LABORATORY, str(after.letters[0][1]), ALL)
    assert not again.missed


async def test_so_many_sources_are_kept_and_those_told_of_last(
    redis: Redis, model: LettersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "SOURCES_MAX", 2)
    sources = [f"/laboratories/{n}" for n in range(4)]
    await model.put(letter(refused(0, sources[0]), 0, 0, ms(-9)))
    place = (await read_newest(redis, sources[0], None, None, ALL)).letters[0][1]
    await model.put(*(letter(refused(n, sources[n]), 0, n, ms(n - 9)) for n in (1, 2, 3)))
    assert [len(await told(redis, source)) for source in sources] == [0, 0, 1, 1]
    assert (await read_newest(redis, sources[0], None, None, ALL)).missed
    assert place.offsets[0] == 1
    assert {key async for key in redis.scan_iter("yk:source:*")} == {
        f"yk:source:{source}".encode() for source in sources[2:]
    }


async def test_what_is_older_than_the_topic_keeps_is_gone(
    redis: Redis, model: LettersModel
) -> None:
    old = int((datetime.now(UTC) - RETENTION).timestamp() * 1_000)
    await model.put(letter(refused(1), 0, 1, old - 1_000))
    assert await redis.keys("yk:letters:*") == []
    await model.put(letter(refused(2), 0, 2, old + 60_000))
    [key] = await redis.keys("yk:letters:*")
    assert 0 < await redis.pttl(key) <= 60_000


async def test_a_parked_source_sees_where_since_when_and_why(
    redis: Redis, model: LettersModel
) -> None:
    at = ms(-5)
    closing = b.released(b.day(5), source=LABORATORY)
    reached = letter(refused(99), 0, 5, at)
    partition = (await _place_of(redis, model, reached)).partition
    assert partition is not None
    await model.put(tally(partition, **{"440100-001": 99, "440100-002": 40}))
    await model.put(letter(without_effect(closing, 120), 0, 6))
    [parked] = (await read_newest(redis, LABORATORY, None, None, ALL)).parked
    assert (parked.topic, parked.offset, parked.reason) == ("laboratory-results", 99, "invalid")
    assert parked.since is not None
    assert int(parked.since.timestamp() * 1_000) == at
    [other] = (await read_after(redis, OTHER, None, ALL)).parked
    assert (other.offset, other.since, other.reason) == (40, None, None), "no letter of it is left"
    await model.put(tally(partition, **{"440100-002": 40}))
    assert (await read_newest(redis, LABORATORY, None, None, ALL)).parked == []
    assert (await read_newest(redis, OTHER, None, None, ALL)).parked == [other]


async def _place_of(redis: Redis, model: LettersModel, reached: object) -> SourceLetter:
    await model.put(reached)
    [seen] = await told(redis)
    return seen


async def test_a_cursor_of_another_log_is_refused(redis: Redis, model: LettersModel) -> None:
    await model.put(letter(refused(1), 0, 1))
    cursor = str((await read_newest(redis, LABORATORY, None, None, ALL)).newest)
    await LettersModel(redis, "another/1").begin()
    for text in (cursor, "", "x", cursor[:-1], f"{cursor}-1"):
        with pytest.raises(CursorInvalid):
            await read_newest(redis, LABORATORY, text, None, ALL)
        with pytest.raises(CursorInvalid):
            await read_after(redis, LABORATORY, text, ALL)


async def test_while_it_is_built_nothing_is_told(redis: Redis) -> None:
    await redis.flushdb()
    with pytest.raises(RefusalsUnknown):
        await read_newest(redis, LABORATORY, None, None, ALL)
    await LettersModel(redis).begin(built=False)
    with pytest.raises(RefusalsUnknown):
        await read_after(redis, LABORATORY, None, ALL)
