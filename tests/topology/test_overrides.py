"""Each override of Faust or aiokafka names what it stands on, and fails when that changes."""

import hashlib
import inspect
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher, PartitionRecords
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance, GroupCoordinator
from aiokafka.producer.sender import AddPartitionsToTxnHandler
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import _DefaultRecordBatchPy
from faust.app.base import App
from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer, ThreadDelegateConsumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.transport.drivers.aiokafka import Consumer as AIOKafkaFaustConsumer
from mode.worker import Worker as ModeWorker

from app.engine import check_versions
from app.engine.chunks import ChunkApp, ChunkConsumer, ChunkConsumerThread
from app.engine.records import _LenientReader
from app.engine.waits import NoTables, Worker
from app.process.consumer import Consumer as EndingConsumer

# What was read when the override was written. Where one differs after an upgrade: read the new
# source, decide whether the override still holds, run the fault tests, then renew the digest.
READ = {
    App._new_transport: "42db531312dd",
    Consumer.getmany: "4b168d84882a",
    Consumer._wait_next_records: "6218e1969a63",
    Consumer.ack: "5fcf41cf4515",
    Consumer.on_stop: "45b1d2210ce2",
    AIOKafkaFaustConsumer.on_stop: "173f86b366f3",
    Consumer.perform_seek: "0e8c130ff4b0",
    AIOKafkaConsumer.seek_to_committed: "f6cd85c8b70a",
    App._on_partitions_revoked: "d5c895bbe57d",
    Consumer._add_gap: "4df2573ded7c",
    Consumer.force_commit: "cc094614d22c",
    Consumer.on_partitions_revoked: "d04b7ae72c6f",
    Consumer._drain_messages: "44a2500309e8",
    AIOKafkaFaustConsumer._to_message: "7c24f6511b2f",
    AIOKafkaFaustConsumer._new_consumer_thread: "0870ec53dea7",
    AIOKafkaConsumerThread._create_worker_consumer: "c2701bfc3e6f",
    AIOKafkaConsumerThread._fetch_records: "39a2c6c79fc1",
    AIOKafkaConsumerThread.seek_to_committed: "775ab0adc4b0",
    AIOKafkaConsumerThread.seek_wait: "12e8d34e554e",
    ThreadDelegateConsumer.seek_to_committed: "f1d483b861b0",
    # Tables take their partitions before the flow goes on.
    App._on_partitions_assigned: "de932b7927db",
    Recovery.on_rebalance: "aa4d997a1795",
    Recovery._resume_streams: "d986a6710c1a",
    Fetcher.fetched_records: "be4348896b9b",
    AddPartitionsToTxnHandler.handle_response: "67266db24da2",
    AIOKafkaConsumer.start: "2f1ba7044332",
    PartitionRecords._unpack_records: "b803e6d46480",
    _DefaultRecordBatchPy._read_msg: "0997ab7a5850",
    _DefaultRecordBatchPy._maybe_uncompress: "c9d0dc2bed50",
    _DefaultRecordBatchPy.__next__: "d05784bae3cb",
    _DefaultRecordBatchPy.__iter__: "492967e59f45",
    Fetcher._proc_fetch_request: "59bf948fff47",
    AIOKafkaConsumer.stop: "bc5da9c98595",
    AIOKafkaConsumerThread.on_start: "38b4e8bd1e10",
    GroupCoordinator.commit_offsets: "5cbe31af28d6",
    AIOKafkaConsumerThread.on_thread_stop: "8dfc004e258b",
    Fetcher.close: "1cd24bc1c442",
    Fetcher._fetch_requests_routine: "2a8ec5932644",
    Fetcher._get_actions_per_node: "1dab2cf937d1",
    FetchRequest.__init__: "f31b6b74cc94",
    FetchRequest.build: "952ef0f41192",
    TableManager.on_start: "365dd25fbc0e",
    ModeWorker._sentinel_task: "6e66058cf3e1",
    # A member with an id does not leave, and is given again what it had.
    GroupCoordinator._maybe_leave_group: "016cd88a16e6",
    CoordinatorGroupRebalance.perform_group_join: "ff2c2109b2e9",
    # Its errors are told to whoever fetches, and Faust asks for none.
    GroupCoordinator._push_error_to_user: "743ff515bd7e",
    GroupCoordinator._send_req: "fa4b12e914ce",
    GroupCoordinator._coordination_routine: "75273e127d4a",
    PartitionAssignor.on_assignment: "72f34bf053d6",
}


@pytest.mark.parametrize("function", READ, ids=lambda f: f.__qualname__)
def test_what_an_override_stands_on_is_as_it_was_read(function: Any) -> None:
    source = inspect.getsource(inspect.unwrap(function))
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    assert digest == READ[function]


@pytest.mark.parametrize(
    "ours",
    [
        ChunkConsumerThread,
        ChunkConsumer,
        ChunkApp,
        _LenientReader,
        EndingConsumer,
        NoTables,
        Worker,
    ],
)
def test_every_override_is_read(ours: type) -> None:
    for name, function in vars(ours).items():
        if inspect.isfunction(function) and (not name.startswith("__") or name == "__iter__"):
            bases = [vars(base)[name] for base in ours.__mro__[1:] if name in vars(base)]
            assert not bases or bases[0] in READ, f"{ours.__name__}.{name}"


def test_the_versions_installed_are_those_the_overrides_were_made_for() -> None:
    check_versions()


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.version", lambda package: "9.9.9")
    with pytest.raises(RuntimeError, match=r"overrides faust-streaming 0\.15\.x, but 9\.9\.9"):
        check_versions()
