"""`yuekang partitions` says clearly what it shows, and why it releases nothing."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import msgspec
import pytest
from typer.testing import CliRunner, Result

from app.engine.halts import PARTITIONS_PATH, Halt, HeldPartition, halt_of
from app.letters.partitions import partitions
from app.process.ports import free_port
from app.process.probes import StatusServer
from app.sources.register import Register
from support.macs import ENVIRONMENT, MAC_KEY
from support.registers import registering
from support.tokens import MAKING

SINCE = datetime(2022, 4, 20, 8, tzinfo=UTC)
RUBBISH = Halt("people", 3, "scans-of-x", 99, False, "100 have no readable source", SINCE)
BUG = Halt("people", 2, "laboratory-results", 7, True, "KeyError in person.py, line 88", SINCE)
DUE = Halt("people", 1, None, None, True, "KeyError in person.py, line 90", SINCE)
OF_A_RELEASE = Halt("lists", 1, "source-releases", 4, False, "KeyError in x.py", SINCE, True)
HELD = [
    HeldPartition("people", 0, "live", []),
    HeldPartition("people", 1, "halted", [DUE]),
    HeldPartition("people", 2, "halted", [BUG]),
    HeldPartition("people", 3, "halted", [RUBBISH]),
    HeldPartition("lists", 0, "being-taken", []),
    HeldPartition("lists", 1, "halted", [OF_A_RELEASE]),
]


@pytest.fixture(autouse=True)
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    return registering(monkeypatch)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """The status server of a worker that holds `HELD`, and is ready."""
    port = free_port()
    halts = [halt for each in HELD for halt in each.halts]
    server = StatusServer(
        "127.0.0.1",
        port,
        list,
        lambda: [str(halt) for halt in halts],
        {PARTITIONS_PATH: lambda: msgspec.json.encode(HELD)},
    )
    await server.start()
    yield f"http://127.0.0.1:{port}"
    await server.stop()


async def run(address: str, *arguments: str) -> Result:
    def invoked() -> Result:
        environment = {"YUEKANG_KAFKA": "127.0.0.1:1", **MAKING, **ENVIRONMENT}
        return CliRunner().invoke(partitions, [*arguments, "--status", address], env=environment)

    return await asyncio.to_thread(invoked)


async def test_what_stands_still_is_a_sentence_of_readyz_and_leaves_it_ready(address: str) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{address}/readyz")
    assert answer.status_code == 200
    assert answer.text == "".join(
        f"{line}\n" for line in ("ready", DUE, BUG, RUBBISH, OF_A_RELEASE)
    )


def test_a_halt_says_what_stands_where_since_when_why_and_what_to_do() -> None:
    assert str(BUG) == (
        "Table people: all of partition 2 stands still at laboratory-results at 7 since "
        "2022-04-20T08:00:00Z: KeyError in person.py, line 88. When the cause is mended: `yuekang "
        "partitions release people 2 --reason WHY`. To leave this record aside: `yuekang "
        "partitions release people 2 --topic laboratory-results --offset 7 --leave-aside --reason "
        "WHY`."
    )
    assert "partition 1 stands still at what time brings about since" in str(DUE)
    assert "leave" not in str(DUE), "there is no record to leave"
    assert str(OF_A_RELEASE).endswith(
        "When the cause is mended: start its worker again; a release would wait behind this one."
    )


def test_a_halt_names_a_bug_by_its_kind_and_place_alone() -> None:
    try:
        raise KeyError("p1-someone")
    except KeyError as error:
        bug = halt_of("people", 0, "scans", 1, error)
    assert "p1-" not in str(bug)
    assert bug.error.startswith("KeyError in test_partitions.py, line ")
    assert bug.whole


async def test_a_list_has_a_line_for_each_partition_and_a_sentence_for_each_halt(
    address: str,
) -> None:
    shown = (await run(address, "list")).stdout.splitlines()
    assert shown[0].split() == ["table", "partition", "state", "stands", "at", "since"]
    assert shown[1].split() == ["people", "0", "live"]
    assert shown[3].split() == ["people", "2", "halted", BUG.topic, "7", "2022-04-20", "16:00:00"]
    assert [line for line in shown[7:] if line] == [
        str(halt) for halt in (DUE, BUG, RUBBISH, OF_A_RELEASE)
    ]
    lines = (await run(address, "list", "--json")).stdout.splitlines()
    assert [msgspec.json.decode(line, type=HeldPartition) for line in lines] == HELD


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("people 0", "Nothing stands still in partition 0 of people: it is live."),
        ("lists 0", "Nothing stands still in partition 0 of lists: it is being-taken."),
        ("lists 1", "No release reaches it; nothing was released."),
        ("people 9", "None of the workers that answered holds partition 9 of people."),
        ("nobody 0", "None of the workers that answered holds partition 0 of nobody."),
        ("people 3 --topic case-reports", "It does not stand still there; nothing was released."),
        ("people 2 --topic laboratory-results --offset 8 --leave-aside", str(BUG)),
    ],
)
async def test_what_does_not_stand_still_is_not_released(
    address: str, arguments: str, said: str
) -> None:
    result = await run(address, "release", *arguments.split(), "--reason", "why")
    assert result.exit_code == 1
    assert said in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        "people 2 --reason x --leave-aside",
        "people 2 --reason x --leave-aside --topic laboratory-results",
        "people 2 --reason x --leave-aside --offset 7",
        "people 2 --reason x --offset 7 --topic laboratory-results",
        "people 2 --reason",
        "people 2",
        "PEOPLE 2 --reason x",
        "people 2 --reason " + "x" * 201,
    ],
)
async def test_half_a_release_is_wrong_usage(address: str, arguments: str) -> None:
    assert (await run(address, "release", *arguments.split())).exit_code == 2


async def test_who_does_not_answer_is_named_and_nothing_is_guessed() -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    for arguments in (["list"], ["release", "people", "2", "--reason", "why"]):
        result = await run(nobody, *arguments)
        assert result.exit_code == 1
        assert f"The worker at {nobody} does not answer" in result.stderr


async def test_what_the_others_said_is_shown_where_one_does_not_answer(address: str) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    result = await run(address, "list", "--json", "--status", nobody)
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == len(HELD)
    assert nobody in result.stderr


async def test_another_server_is_no_worker(address: str) -> None:
    result = await run(f"{address}/metrics", "list")
    assert result.exit_code == 1
    assert "is no worker's status server" in result.stderr


async def test_a_release_needs_kafka(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YUEKANG_MAC_KEY", MAC_KEY.hex())
    result = await run(address, "release", "people", "2", "--reason", "why")
    assert result.exit_code == 1
    assert "Kafka at 127.0.0.1:1" in result.stderr
