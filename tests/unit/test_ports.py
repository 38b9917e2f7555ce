"""Ports for servers of tests and of the benchmark."""

import subprocess
import sys
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


FEW = "1024 65523"
"""Connections leave a dozen."""

GIVEN = """
import sys
from pathlib import Path
from app.process import ports
ports.EPHEMERAL = Path(sys.argv[1])
print(*ports.free_ports(5), flush=True)
sys.stdin.read()
"""


def test_no_two_processes_are_given_the_same_while_they_live(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nobody listens on them yet, or a server was ended that starts again."""
    (tmp_path / "range").write_text(FEW)
    monkeypatch.setattr(ports, "EPHEMERAL", tmp_path / "range")
    command = [sys.executable, "-c", GIVEN, str(tmp_path / "range")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = {int(port) for port in other.stdout.readline().split()}
        own = set(free_ports(5))
        assert (len(theirs), len(own)) == (5, 5)
        assert not theirs & own
        assert all(is_free("127.0.0.1", port) for port in theirs | own)
    again = set(free_ports(5))
    assert not again & own
    assert again & theirs, "who has ended needs them no more"
