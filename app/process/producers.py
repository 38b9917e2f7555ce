"""What all that use a producer of aiokafka's must know: how it closes, and how it is shut out.

Its own `stop` waits for deliveries without bound. If it is cut short, it leaves its task and its
connections behind.
"""

import asyncio
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.client import ConnectionGroup
from aiokafka.errors import (
    IllegalOperation,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    KafkaError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    UnknownError,
)
from aiokafka.protocol.transaction import EndTxnRequest

CLOSE_SECONDS_MAX = 3.0

SAID_NOTHING_MAX = 10
"""Answers in a row that say nothing of the end of a transaction; aiokafka waits 0.1 s after each.
The broker fences within milliseconds."""

FENCED = (
    ProducerFenced,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    OutOfOrderSequenceNumber,
    IllegalOperation,
)
"""What tells that another producer has taken the transactional name: at once, as a batch out of
order, or, after another task was told, as an operation that is not allowed in that state. The last
is no `KafkaError`."""

log = structlog.get_logger()


# aiokafka has no types: its class is Any to mypy.
class TransactionalProducer(AIOKafkaProducer):  # type: ignore[misc]
    """As aiokafka's, but silent about what nobody waits for, and sending the end of a transaction
    again where the answer says nothing.

    Where a batch is refused, whoever sent it hears that. Then nobody asks whether a batch was
    taken from its queue, or how the transaction ended; Python would log each as an exception that
    was never retrieved.

    A commit that the broker takes up at the instant at which it fences the producer can fail in it,
    and is answered with the error that says nothing (Kafka 4.4.0, whose log has an illegal state of
    the transaction's metadata then). aiokafka's sender would end. It is sent again, and the broker
    says what has become of the transaction. After `SAID_NOTHING_MAX` such answers it does end.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        queue = self._message_accumulator
        append = queue._append_batch

        def append_unawaited(*what: Any) -> Any:
            batch = append(*what)
            unawaited(batch._drain_waiter)
            return batch

        queue._append_batch = append_unawaited
        send, said_nothing = self.client.send, 0

        async def send_and_doubt(
            node_id: int, request: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT
        ) -> Any:
            nonlocal said_nothing
            answer = await send(node_id, request, group=group)
            if isinstance(request, EndTxnRequest):
                says_nothing = answer.error_code == UnknownError.errno
                said_nothing = said_nothing + 1 if says_nothing else 0
                if says_nothing and said_nothing < SAID_NOTHING_MAX:
                    raise UnknownError  # which aiokafka takes for no answer
            return answer

        self.client.send = send_and_doubt

    async def begin_transaction(self) -> None:
        """Begin one."""
        await super().begin_transaction()
        unawaited(self._txn_manager._transaction_waiter)

    async def stop(self) -> None:
        """Close it; what broke it stands in another waiter."""
        await super().stop()
        if self._txn_manager is not None and (waiter := self._txn_manager._transaction_waiter):
            unawaited(waiter)


async def close(producer: AIOKafkaProducer) -> None:
    """Close a producer, after what it can still deliver within `CLOSE_SECONDS_MAX`."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS_MAX):
            await producer.stop()
    except (TimeoutError, KafkaError) as error:
        log.warning("kafka_close_cut_short", error=type(error).__name__)
        await producer._sender.close()
        await producer.client.close()


def unawaited(delivery: "asyncio.Future[Any]") -> None:
    """Let a delivery fail without a word: another may fail first, and then nobody awaits it."""
    delivery.add_done_callback(lambda done: done.cancelled() or done.exception())
