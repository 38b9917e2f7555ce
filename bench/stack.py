"""The whole stack for a measurement: `yuekang up` without its sample, on ports that were free."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import httpx

from app.development.secrets import development_secrets
from app.process.ports import free_ports
from app.topics.records import structured
from bench.records import ENVIRONMENT, Record
from models.events import Event

PORTS = ("GATEWAY_PORT", "VIEW_PORT", "WORKER_STATUS_PORT", "PROJECTION_STATUS_PORT",
         "LISTS_STATUS_PORT", "ROWS_STATUS_PORT", "AUDIT_STATUS_PORT", "IDENTITY_PROVIDER_PORT",
         "SUBMISSIONS_STATUS_PORT", "REPLICA_STATUS_PORT", "KAFKA_CONTROLLER_PORT")  # fmt: skip


def environment_of(directory: Path) -> Mapping[str, str]:
    """Return the environment of a stack in `directory`, and of whoever goes to it: nothing of the
    caller's own stack. Its secrets are made where they are missing; the keys of the benchmark, by
    which its records are authentic, stand in place of those."""
    directory.mkdir(parents=True, exist_ok=True)
    kafka, redis, rows_redis, *ports = free_ports(3 + len(PORTS))
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("YUEKANG_")},
        **{f"YUEKANG_{name}": str(port) for name, port in zip(PORTS, ports, strict=True)},
        "YUEKANG_KAFKA": f"127.0.0.1:{kafka}",
        "YUEKANG_REDIS_URL": f"redis://127.0.0.1:{redis}/0",
        "YUEKANG_ROWS_REDIS_URL": f"redis://127.0.0.1:{rows_redis}/0",
        "YUEKANG_DATA_DIR": str(directory),
        **development_secrets(directory),
        **ENVIRONMENT,
    }


def environment_with(bootstrap: str, directory: Path) -> Mapping[str, str]:
    """Return the environment of one process in `directory`, whose broker lets everybody in."""
    return {
        **environment_of(directory),
        "YUEKANG_KAFKA_SECURITY": "PLAINTEXT",
        "YUEKANG_KAFKA_USER": "",
        "YUEKANG_KAFKA_PASSWORD": "",
        "YUEKANG_KAFKA": bootstrap,
    }


def record_of(event: Event) -> Record:
    """Return the record of an event, as its source sends it."""
    record = structured(event)
    assert record.key is not None
    return Record(record.topic, record.key, record.value)


def applied(status_port: int) -> int:
    """Return how many records a worker has applied since it began; raise httpx.TransportError."""
    return counted(status_port, "yuekang_worker_records_total")


def counted(status_port: int, metric: str) -> int:
    """Return the sum of a process's metrics whose names and labels begin with `metric`; raise
    httpx.TransportError."""
    url = f"http://127.0.0.1:{status_port}/metrics"
    text = httpx.get(url, timeout=30.0, trust_env=False, verify=False).text
    return round(sum(map(float, re.findall(rf"(?m)^{re.escape(metric)}.* (.*)", text))))
