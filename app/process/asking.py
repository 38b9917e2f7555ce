"""How a command asks Kafka, and what it says when that fails."""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import typer
from aiokafka.errors import KafkaError

from app.process.kafka import Brokers
from app.process.logs import keep_off_stdout
from app.process.producers import FENCED
from app.process.settings import Settings

EXIT_INTERRUPTED = 130  # as shells do for Ctrl-C

T = TypeVar("T")


def ask_kafka(question: Callable[[Brokers], Coroutine[Any, Any, T]], unanswered: str = "") -> T:
    """Ask Kafka. If that fails, print why, after a sentence on what then is `unanswered`; exit with
    1. What is logged meanwhile is on stderr, since what a command prints is its answer."""
    brokers = Settings.from_environment().brokers
    keep_off_stdout()
    # The client logs each failure to connect as an error; below it is told once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        return asyncio.run(question(brokers))
    except FENCED:
        raise failed(
            "Another resend has begun and shut this one out, or Kafka has given up on what took it "
            "too long; what it was about to send is not sent."
        ) from None
    except (KafkaError, OSError) as error:
        why = f"{brokers.trouble(error)} Then run this again."
        raise failed(f"{unanswered} {why}".lstrip()) from None
    except KeyboardInterrupt:
        print("Interrupted. Run it again to go on.", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def failed(message: str) -> typer.Exit:
    """Print a message; return what exits with 1."""
    print(message, file=sys.stderr)
    return typer.Exit(1)
