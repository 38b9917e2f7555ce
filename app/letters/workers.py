"""How a command asks the workers, at their status servers."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, TypeVar

import httpx
import msgspec
import typer

from app.process.settings import Settings

ANSWER_SECONDS_MAX = 5.0
WORKERS = ("worker", "submissions-worker", "lists-worker")
"""What the names of the processes that hold partitions begin with, in YUEKANG_WATCHED."""

AtStatus = Annotated[
    list[str] | None,
    typer.Option(
        "--status",
        metavar="URL",
        help="A worker's status server, such as http://127.0.0.1:9101; once for each. Unless "
        "given, all workers of YUEKANG_WATCHED: those of this machine, unless that is set.",
    ),
]

T = TypeVar("T")


def addresses_of(status: Sequence[str] | None) -> list[str]:
    """Return the addresses that were given, else those of YUEKANG_WATCHED."""
    if status:
        return [address.rstrip("/") for address in status]
    watched = Settings.from_environment().watched
    named = (each.split("=", 1) for each in watched.split(",") if each)
    return [address for name, address in named if name.startswith(WORKERS)]


async def ask_workers(
    addresses: Sequence[str], path: str, kind: type[T]
) -> tuple[list[T], list[str]]:
    """Ask each worker once, all at the same time. Return the lists that they tell as one, and a
    sentence for each worker that tells none."""
    async with httpx.AsyncClient(timeout=ANSWER_SECONDS_MAX, trust_env=False) as http:
        answers = await asyncio.gather(*(_told(http, each, path, kind) for each in addresses))
    found = [one for answer in answers if not isinstance(answer, str) for one in answer]
    return found, [answer for answer in answers if isinstance(answer, str)]


async def _told(http: httpx.AsyncClient, address: str, path: str, kind: type[T]) -> list[T] | str:
    try:
        answer = await http.get(address + path)
        content = answer.raise_for_status().content
        told: list[T] = msgspec.json.decode(content, type=list[kind])  # type: ignore[valid-type]
    except (httpx.HTTPStatusError, msgspec.DecodeError):
        return f"{address} is no worker's status server."
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = str(error) or type(error).__name__
        return f"The worker at {address} does not answer ({why}). Start it, or give --status."
    return told
