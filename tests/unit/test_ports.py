"""Ports for servers of tests and of the benchmark."""

from pathlib import Path

import pytest

from app.process import ports
from app.process.ports import free_ports, is_free

LOWEST, HIGHEST = map(int, ports.EPHEMERAL.read_text().split())


def test_they_differ_are_free_and_no_connection_is_given_one() -> None:
    found = free_ports(50)
    assert len(set(found)) == 50
    assert all(is_free("127.0.0.1", port) for port in found)
    assert not any(LOWEST <= port <= HIGHEST for port in found)


@pytest.mark.parametrize("connections", ["1024 65535", "10001 65535"])
def test_where_connections_may_have_nearly_all_any_free_ones_do(
    connections: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "range").write_text(connections)
    monkeypatch.setattr(ports, "EPHEMERAL", tmp_path / "range")
    found = free_ports(11)
    assert len(set(found)) == 11
    assert all(is_free("127.0.0.1", port) for port in found)
