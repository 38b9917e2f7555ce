"""A real Kafka, started by what `yuekang up` starts it with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.development.stack.broker import Broker
from app.process.ports import free_port


@contextmanager
def running_broker(directory: Path) -> Iterator[str]:
    """Run a broker; yield its bootstrap address."""
    broker = Broker(directory, free_port(), free_port())
    broker.start()
    try:
        broker.wait_ready()
        yield broker.bootstrap
    finally:
        broker.stop()
