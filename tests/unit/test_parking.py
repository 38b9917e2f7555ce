"""Who is parked, where, since when and why; and what is not parked is not released."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import partial

import msgspec
import pytest
from typer.testing import CliRunner, Result

from app.letters import commands
from app.letters.parking import Parking
from app.process.kafka import Brokers
from app.process.ports import free_port
from app.process.probes import StatusServer
from app.topics.authentic import SourceKeys
from app.topics.letters import PARKED_PATH, ParkedSource
from support.macs import ENVIRONMENT
from support.registers import registering
from support.tokens import OPERATOR, TRUSTING, operator_token

SINCE = datetime(2022, 4, 20, tzinfo=UTC)
ONE = ParkedSource("/laboratories/1", "laboratory-results", 2, 99)
TWO = ParkedSource("/laboratories/1", "laboratory-results", 1, 7)
OTHER = ParkedSource("/cdc/440100", "case-reports", 0, 12)
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
async def workers() -> AsyncIterator[list[str]]:
    """The status servers of three workers: two sources are parked, one of them in two places."""
    servers, addresses = [], []
    for held in ([ONE], [], [OTHER, TWO]):
        port = free_port()
        answer = msgspec.json.encode(held)
        server = StatusServer("127.0.0.1", port, list, list, {PARKED_PATH: partial(bytes, answer)})
        await server.start()
        servers.append(server)
        addresses.append(f"http://127.0.0.1:{port}")
    yield addresses
    for server in servers:
        await server.stop()


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who was released, in order; letters are told of one place alone."""
    done: list[str] = []

    async def release(_: Brokers, __: SourceKeys, source: str, by: str, ___: float) -> bool:
        assert by == OPERATOR
        done.append(source)
        return True

    async def parkings(_: Brokers, found: Sequence[ParkedSource]) -> list[Parking]:
        return [
            Parking(
                *msgspec.structs.astuple(each),
                *((SINCE, "invalid", "data.result: no.") if each == ONE else (None, None, None)),
            )
            for each in found
        ]

    for name, value in {**ENVIRONMENT, **TRUSTING, "YUEKANG_TOKEN": operator_token()}.items():
        monkeypatch.setenv(name, value)
    registering(monkeypatch)
    monkeypatch.setattr(commands, "release_source", release)
    monkeypatch.setattr(commands, "parkings", parkings)
    return done


async def run(workers: Sequence[str], *arguments: str) -> Result:
    status = [word for address in workers for word in ("--status", address)]

    def invoked() -> Result:
        return CliRunner().invoke(commands.parked, [*arguments, *status])

    return await asyncio.to_thread(invoked)


async def test_each_place_is_a_line_that_says_since_when_and_why(
    workers: list[str], released: list[str]
) -> None:
    lines = (await run(workers, "sources")).stdout.splitlines()
    assert lines == [
        "/cdc/440100  case-reports[0] at 12  since -  its dead letter is no longer kept",
        "/laboratories/1  laboratory-results[1] at 7  since -  its dead letter is no longer kept",
        "/laboratories/1  laboratory-results[2] at 99  since 2022-04-20 08:00:00  "
        "invalid: data.result: no.",
    ]
    told = (await run(workers, "sources", "--json")).stdout.splitlines()
    assert [msgspec.json.decode(line)["source"] for line in told] == [
        *("/cdc/440100", "/laboratories/1", "/laboratories/1")
    ]


async def test_nobody_parked_is_said_and_a_silent_worker_is_no_such_answer(
    workers: list[str], released: list[str]
) -> None:
    assert (await run([workers[1]], "sources")).stdout == "Nobody is parked.\n"
    silent = await run([workers[0], NOWHERE], "sources")
    assert silent.exit_code == 1
    assert silent.stdout.startswith("/laboratories/1  ")
    assert f"The worker at {NOWHERE} does not answer" in silent.stderr


@pytest.mark.parametrize(
    ("source", "also", "said"),
    [
        ("/laboratories/1", (), None),
        ("/laboratories/1", (NOWHERE,), None),
        ("/cdc/440100", (), None),
        (
            "/laboratories/2",
            (),
            "/laboratories/2 is not parked; nothing is released. Parked are: /cdc/440100, "
            "/laboratories/1.",
        ),
        (
            "/laboratories/2",
            (NOWHERE,),
            "Whether /laboratories/2 is parked is not known, so nothing is released.",
        ),
    ],
)
async def test_only_what_a_worker_says_is_parked_is_released(
    workers: list[str], released: list[str], source: str, also: Sequence[str], said: str | None
) -> None:
    done = await run([*workers, *also], "release", source)
    assert done.exit_code == (said is not None), done.output
    assert released == ([source] if said is None else [])
    assert said is None or said in done.stderr


async def test_it_is_released_without_asking_where_that_is_said(released: list[str]) -> None:
    assert (await run([NOWHERE], "release", "/laboratories/2", "--unasked")).exit_code == 0
    assert released == ["/laboratories/2"]
