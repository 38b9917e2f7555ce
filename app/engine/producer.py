"""A transactional producer that knows whether the end of one of its requests is unknown.

A request that times out, or whose connection breaks, may still be on its way. aiokafka sends it
again with the same producer epoch. The broker takes that for the same request, so the transaction
ends once; but what was held up may arrive after the next transaction has begun, and end that one
half-way (KIP-890, whose cure needs a newer protocol than aiokafka's). Only a new epoch refuses it.
So whoever uses this producer makes a new one once `in_doubt` is true, before the next transaction.
"""

from typing import Any

from aiokafka.client import ConnectionGroup
from aiokafka.errors import (
    InvalidTxnState,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
)
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest, EndTxnRequest

from app.process.producers import TransactionalProducer

UNKNOWN = (
    KafkaTimeoutError,
    RequestTimedOutError,
    KafkaConnectionError,
    NodeNotReadyError,
    InvalidTxnState,
)
"""Errors that do not say what became of a transaction. The last: something has ended it."""

IN_TRANSACTION = (AddPartitionsToTxnRequest, ProduceRequest, EndTxnRequest)


class Producer(TransactionalProducer):
    """As aiokafka's; `in_doubt` once a request that may be on its way had no answer, or one that
    says nothing."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.in_doubt = False
        send = self.client.send

        async def send_and_note(
            node_id: int, request: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT
        ) -> Any:
            try:
                return await send(node_id, request, group=group)
            except NodeNotReadyError:  # it was not sent
                raise
            except KafkaError:
                self.in_doubt |= isinstance(request, IN_TRANSACTION)
                raise

        self.client.send = send_and_note
