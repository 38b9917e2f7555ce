"""The register of sources: the newest of each thing counts, it is bounded, faults are named."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from typer.testing import CliRunner

from app.process.kafka import Brokers
from app.process.settings import Settings
from app.sources import commands, operators, register
from app.sources.changes import Data, change
from app.sources.file import SOURCES_FILE, SourcesFileError, sources_in
from app.sources.register import Register
from app.topics.authentic import REGISTER, SourceKeys, authority_key, source_keys
from app.topics.catalogue import SOURCE_REGISTER, SOURCE_RELEASES
from app.topics.records import Record
from app.web.tokens import LEEWAY, Role
from models.register import (
    ClosedData,
    OfficialNames,
    OpenedData,
    RegisterChange,
    RegisteredSource,
    SourceKey,
    SourceLimits,
    TakenBackData,
    key_of,
)
from support.macs import ENVIRONMENT, KEYS, MAC_KEY, signed
from support.tokens import OPERATOR, TRUSTING, operator_token

LABORATORY, CDC, TOKEN = "/laboratories/440100-001", "/cdc/440100", "token-1"
NOW = datetime(2022, 4, 20, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
BY = OPERATOR


def entry(source: str = LABORATORY, **fields: Any) -> RegisteredSource:
    return RegisteredSource(source, OfficialNames("广州一所", "First"), "440100", **fields)


def at_noon() -> Register:
    return Register(lambda: NOW)


def applied(of: Register, changes: list[RegisterChange]) -> Register:
    for each in changes:
        of.apply(written(key_of(each).encode(), msgspec.json.encode(each)), KEYS)
    return of


def written(key: bytes | None, value: bytes | None, author: str = REGISTER) -> Record:
    """A record as it lies on the topic."""
    return signed(Record(SOURCE_REGISTER, key, value), author)


def told(of: Register) -> tuple[object, ...]:
    """All that can be asked."""
    sources = LABORATORY, CDC
    return (
        of.sources(),
        [of.of(source) for source in sources],
        [of.refused(source, TOKEN) for source in sources],
    )


DATA: list[Data] = [
    entry(),
    entry(telephone="020-88888888"),
    entry(CDC),
    ClosedData(LABORATORY, "Its token was stolen."),
    ClosedData(CDC, "It moved."),
    OpenedData(LABORATORY),
    TakenBackData(TOKEN, LATER, "Lost."),
]
CHANGES = st.lists(st.sampled_from(DATA)).map(lambda all: [change(data, BY) for data in all])


@given(CHANGES)
def test_what_a_compacted_topic_keeps_tells_all(changes: list[RegisterChange]) -> None:
    newest = {key_of(each): each for each in changes}
    whole = told(applied(at_noon(), changes))
    assert whole == told(applied(at_noon(), list(newest.values())))
    assert whole == told(applied(at_noon(), list(newest.values())[::-1]))


def test_who_mends_a_telephone_opens_nothing() -> None:
    closed = [change(entry(), BY), change(ClosedData(LABORATORY, "Stolen."), BY)]
    found = applied(at_noon(), [*closed, change(entry(telephone="020-12345"), BY)])
    assert found.refused(LABORATORY, "any") == f"{LABORATORY} is closed: Stolen."
    applied(found, [change(OpenedData(LABORATORY), BY)])
    assert found.refused(LABORATORY, "any") is None
    assert found.of(LABORATORY) == entry(telephone="020-12345")


def test_one_token_is_taken_back_and_its_source_is_let_in_with_others() -> None:
    found = applied(at_noon(), [change(TakenBackData(TOKEN, LATER, "Lost."), BY)])
    assert found.refused(CDC, TOKEN) == "The token was taken back: Lost."
    assert found.refused(CDC, "token-2") is None
    found.apply(written(f"token {TOKEN}".encode(), None), KEYS)
    assert found.refused(CDC, TOKEN) is None


def test_a_token_is_remembered_for_as_long_as_anybody_would_take_it() -> None:
    """A clock that is a minute behind would; later it takes no room."""
    for until, kept in ((NOW, True), (NOW - LEEWAY, False)):
        back = [change(TakenBackData(TOKEN, until, "Lost."), BY)]
        assert bool(applied(at_noon(), back).tokens()) is kept


RUBBISH = [
    (b"entry " + LABORATORY.encode(), b"x"),
    (b"entry " + LABORATORY.encode(), b"{}"),
    (b"entry " + CDC.encode(), msgspec.json.encode(change(entry(telephone="1234567"), BY))),
    (None, msgspec.json.encode(change(entry(telephone="1234567"), BY))),
    (b"entry /nobody/1", msgspec.json.encode(change(entry("/nobody/1"), BY))),
    (b"\xff", None),
    (None, None),
]


@pytest.mark.parametrize(("key", "value"), RUBBISH)
def test_what_cannot_be_read_changes_nothing(key: bytes | None, value: bytes | None) -> None:
    found = applied(at_noon(), [change(entry(), BY)])
    before = told(found)
    found.apply(written(key, value), KEYS)
    assert told(found) == before


CLOSING = change(ClosedData(LABORATORY, "A stranger."), BY)


@pytest.mark.parametrize("author", [None, "/operators/chen", "/operator", "/yuekang", LABORATORY])
def test_what_no_key_of_the_register_has_signed_changes_nothing(author: str | None) -> None:
    """Not even an operator's own key: the view has the register's, and shall have no operator's."""
    found = applied(at_noon(), [change(entry(), BY)])
    before = told(found)
    key, value = key_of(CLOSING).encode(), msgspec.json.encode(CLOSING)
    bare = Record(SOURCE_REGISTER, key, value)
    found.apply(bare if author is None else signed(bare, author), KEYS)
    found.apply(written(f"entry {LABORATORY}".encode(), None, author or CDC), KEYS)
    assert told(found) == before
    assert applied(found, [CLOSING]).closed(LABORATORY) == CLOSING


def test_a_record_of_another_topic_or_key_is_no_change() -> None:
    found = applied(at_noon(), [])
    key, value = key_of(CLOSING).encode(), msgspec.json.encode(CLOSING)
    elsewhere = signed(Record(SOURCE_RELEASES, key, value), REGISTER)
    found.apply(replace(elsewhere, topic=SOURCE_REGISTER), KEYS)
    found.apply(replace(written(key, value), key=b"switch " + CDC.encode()), KEYS)
    assert found.sources() == []


def test_a_view_checks_the_register_with_a_key_that_makes_no_release() -> None:
    keys = source_keys(Settings(register_mac_key=authority_key(MAC_KEY, "register")))
    found = at_noon()
    found.apply(written(key_of(CLOSING).encode(), msgspec.json.encode(CLOSING)), keys)
    assert found.closed(LABORATORY) == CLOSING
    with pytest.raises(KeyError):
        keys.of(BY)


def test_a_full_register_leaves_out_what_is_new_and_takes_what_it_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(register, "SOURCES_MAX", 1)
    found = applied(at_noon(), [change(entry(), BY), change(entry(CDC), BY)])
    assert found.of(CDC) is None
    applied(found, [change(entry(telephone="020-12345"), BY)])
    assert found.of(LABORATORY) == entry(telephone="020-12345")


def test_of_too_many_tokens_that_one_is_forgotten_which_ends_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(register, "TAKEN_BACK_MAX", 2)
    days = [change(TakenBackData(f"t{n}", NOW + timedelta(days=n), "-"), BY) for n in (3, 1, 2)]
    found = applied(at_noon(), days)
    assert [each.data.token for each in found.tokens()] == ["t2", "t3"]


@pytest.mark.parametrize(
    ("at", "valid"),
    [(NOW - timedelta(1), False), (NOW, True), (LATER - timedelta(1), True), (LATER, False)],
)
def test_a_key_is_valid_from_an_instant_on_until_before_another(at: datetime, valid: bool) -> None:
    assert SourceKey("k", NOW, LATER).is_valid(at) == valid
    assert SourceKey("k", NOW).is_valid(at) == (at >= NOW)


FIELDS = {"name": {"zh": "一", "en": "One"}, "city": "440100"}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("- a\n", "it is no list of paths"),
        ("a: [\n", "is no YAML"),
        ("/cdc/1:\n", "/cdc/1: under it stand name, city"),
        ("/cdc/1: {city: '440100'}", "/cdc/1: Object missing required field `name`"),
        ("/cdc/1: {name: {zh: a}, city: '440100'}", "required field `en` - at `$.name`"),
        ("/cdc/1: {name: {zh: a, en: b}, city: '4401'}", "at `$.city`"),
        ("/cdc/1: {name: {zh: a, en: b}, city: '440100', phone: 1}", "unknown field `phone`"),
        (
            "/cdc/1: {name: {zh: a, en: b}, city: '440100', telephone: call me}",
            "at `$.telephone`",
        ),
        ("/cdc/1: {name: {zh: 'a\u202eb', en: b}, city: '440100'}", "at `$.name.zh`"),
        ('/cdc/1: {name: {zh: "a\\n", en: b}, city: "440100"}', "at `$.name.zh`"),
        ("/nobody/1: {name: {zh: a, en: b}, city: '440100'}", "no authority has such sources"),
        ("cdc: {name: {zh: a, en: b}, city: '440100'}", "at `$.source`"),
        (
            "/cdc/1: {name: {zh: a, en: b}, city: '440100', keys: ["
            "{id: a, valid_from: '2022-01-01T00:00:00Z', valid_until: '2021-01-01T00:00:00Z'}]}",
            "key a is never valid",
        ),
        (
            "/cdc/1: {name: {zh: a, en: b}, city: '440100', keys: ["
            "{id: a, valid_from: '2022-01-01T00:00:00Z'}, "
            "{id: a, valid_from: '2022-01-01T00:00:00Z'}]}",
            "a key is there twice",
        ),
    ],
)
def test_a_file_with_a_fault_is_refused_and_the_fault_named(
    tmp_path: Path, written: str, said: str
) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text(written)
    with pytest.raises(SourcesFileError, match=r"cannot be used|no YAML|no list") as refused:
        sources_in(file)
    assert said in str(refused.value)


def test_every_fault_of_a_file_is_named_at_once(tmp_path: Path) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text("/cdc/1: 1\n/cdc/2: {city: '440100'}\n")
    with pytest.raises(SourcesFileError) as refused:
        sources_in(file)
    assert len(str(refused.value).splitlines()) == 3
    with pytest.raises(SourcesFileError, match="No such file"):
        sources_in(tmp_path / "none.yaml")


# The commands, over a register in memory


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[RegisterChange]:
    """What was written, in order; commands read it back."""
    written: list[RegisterChange] = []

    async def read(*_: object) -> Register:
        return applied(Register(lambda: datetime.min.replace(tzinfo=UTC)), written)

    async def write(
        _: Brokers, __: SourceKeys, changes: list[RegisterChange], forgotten: list[str]
    ) -> None:
        over = {f"token {token}" for token in forgotten}
        written[:] = [each for each in written if key_of(each) not in over] + changes

    for name, value in {**ENVIRONMENT, **TRUSTING, "YUEKANG_TOKEN": operator_token()}.items():
        monkeypatch.setenv(name, value)

    for module in (commands, operators):
        monkeypatch.setattr(module, "read_register", read)
    monkeypatch.setattr(commands, "write", write)
    return written


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(commands.sources, list(arguments))
    assert done.exit_code == code, done.output
    return done.output


def test_a_file_is_loaded_once_and_then_only_what_differs(
    log: list[RegisterChange], tmp_path: Path
) -> None:
    file = tmp_path / "sources.yaml"
    file.write_bytes(msgspec.yaml.encode({CDC: FIELDS, LABORATORY: FIELDS}))
    assert "2 would be registered, 0 would be changed" in run("load", str(file), "--dry-run")
    assert not log
    assert "2 registered, 0 changed, 0 as they were." in run("load", str(file))
    assert "0 registered, 0 changed, 2 as they were." in run("load", str(file))
    assert len(log) == 2
    file.write_bytes(msgspec.yaml.encode({CDC: {**FIELDS, "telephone": "020-12345"}}))
    assert "0 registered, 1 changed, 0 as they were." in run("load", str(file))
    assert "020-12345" in run("show", CDC)
    assert [line.split()[0] for line in run("list").splitlines()] == [CDC, LABORATORY]
    assert run("list", "--authority", "cdc").split()[1] == "cdc"
    assert msgspec.json.decode(run("show", CDC, "--json"))["on"] is True


def test_a_source_is_closed_and_opened_and_what_changes_nothing_is_refused(
    log: list[RegisterChange],
) -> None:
    assert f"{CDC} is not registered." in run("show", CDC, code=1)
    assert f"{CDC} is not closed." in run("open", CDC, code=1)
    assert "No authority" in run("close", "/nobody/1", "--reason", "x", code=1)
    assert "Usage" in run("close", CDC, code=2)
    assert "at `$.reason`" in run("close", CDC, "--reason", "a\nb", code=2)
    assert not log
    said = run("close", CDC, "--reason", "Its token was stolen.")
    assert said == f"{CDC} is closed. It is not registered; look that you mean this one.\n"
    assert "is closed already, by /operators/chen since" in run(
        "close", CDC, "--reason", "x", code=1
    )
    assert "closed by /operators/chen on" in run("show", CDC)
    assert run("open", CDC) == f"{CDC} is let in again.\n"
    assert [type(each.data) for each in log] == [ClosedData, OpenedData]


def test_a_change_is_the_operators_whose_token_has_the_role(
    log: list[RegisterChange], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YUEKANG_TOKEN", operator_token(Role.READ, Role.RELEASE))
    refused = CliRunner().invoke(commands.sources, ["close", CDC, "--reason", "x"])
    assert "with the role register" in str(refused.exception)
    assert not log
    monkeypatch.setenv("YUEKANG_TOKEN", operator_token(Role.REGISTER, name="/operators/li"))
    run("close", CDC, "--reason", "x")
    assert [each.source for each in log] == ["/operators/li"]


def test_a_token_is_taken_back_until_its_end_and_then_forgotten(
    log: list[RegisterChange],
) -> None:
    assert "ended on" in run("take-back", "t", "--reason", "x", "--until", "2022-01-01", code=1)
    assert "is no time" in run("take-back", "t", "--reason", "x", "--until", "soon", code=2)
    assert not log
    log.append(change(TakenBackData("old", NOW, "Long ago."), BY))
    assert run("list", "--tokens") == "None was taken back.\n"
    assert run("take-back", "t", "--reason", "Lost.") == "The token t is taken back.\n"
    assert [key_of(each) for each in log] == ["token t"], "the old one is forgotten"
    assert "taken back already" in run("take-back", "t", "--reason", "x", code=1)
    assert "Lost." in run("list", "--tokens")
    longer = f"{datetime.now(UTC) + timedelta(days=900):%Y-%m-%d}"
    assert "is taken back" in run("take-back", "t", "--reason", "x", "--until", longer)


def test_a_token_that_a_clock_behind_would_still_take_is_taken_back_and_listed(
    log: list[RegisterChange],
) -> None:
    ended = f"{datetime.now(UTC) - LEEWAY / 2:%Y-%m-%dT%H:%M:%S%z}"
    assert "is taken back" in run("take-back", "t", "--reason", "Lost.", "--until", ended)
    assert "Lost." in run("list", "--tokens")
    assert "taken back already" in run("take-back", "t", "--reason", "x", "--until", ended, code=1)


def test_no_more_is_written_than_the_register_has_room_for(
    log: list[RegisterChange], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "SOURCES_MAX", 1)
    monkeypatch.setattr(commands, "TAKEN_BACK_MAX", 1)
    file = tmp_path / "sources.yaml"
    file.write_bytes(msgspec.yaml.encode({CDC: FIELDS, LABORATORY: FIELDS}))
    assert "too full. Nothing is written." in run("load", str(file), code=1)
    assert not log
    run("take-back", "t", "--reason", "x")
    assert "room for no more" in run("take-back", "u", "--reason", "x", code=1)


def test_the_file_beside_the_catalogue_can_be_loaded() -> None:
    known = sources_in(SOURCES_FILE)
    assert len({each.source for each in known}) == len(known) > 5


def test_limits_and_keys_are_shown(log: list[RegisterChange]) -> None:
    limits = SourceLimits(events_per_minute=60_000)
    log.append(change(entry(keys=(SourceKey("k1", NOW, LATER),), limits=limits), BY))
    lines = run("show", LABORATORY).splitlines()
    assert lines[1] == "key k1: valid from 2022-04-20 08:00:00 until 2022-05-20 08:00:00"
    assert lines[2] == "events_per_minute: 60,000"
