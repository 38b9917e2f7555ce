"""The audit log as a foreign verifier reads it: Sigstore's, of npm (docker/npm).

It verifies the note with its key, the checkpoint's form, and the proof of every entry; so the
hashes, the bundles and the tiles of the leaves are what others take for a log.
"""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright._impl._driver import compute_driver_executable

from app.development.stack.broker import ROOT
from support.audits import SIGNER, KeptLog

READER = Path(__file__).parents[1] / "support" / "read_log.js"


def read(folder: Path, key: str = str(SIGNER.verifier)) -> subprocess.CompletedProcess[str]:
    """Let the foreign verifier read a log."""
    node, _ = compute_driver_executable()  # Playwright's own
    return subprocess.run(
        [node, READER, folder, key],
        env={**os.environ, "NODE_PATH": str(ROOT / ".run" / "npm" / "node_modules")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("count", [1, 256, 600])
def test_it_reads_a_whole_log(tmp_path: Path, count: int) -> None:
    found = read(KeptLog(tmp_path, count).files.folder)
    assert (found.returncode, found.stdout) == (0, f"health.example/audit {count}\n"), found.stderr


def edit(kept: KeptLog) -> None:
    lines = list(kept.lines)
    lines[300] = lines[300].replace(b"/operator", b"/operatox")
    kept.write_entries(lines)


def remove(kept: KeptLog) -> None:
    kept.write_entries([*kept.lines[:300], *kept.lines[301:]])


def swap(kept: KeptLog) -> None:
    lines = list(kept.lines)
    lines[300], lines[301] = lines[301], lines[300]
    kept.write_entries(lines)


def spoil_tile(kept: KeptLog) -> None:
    (kept.files.folder / "tile" / "0" / "000").write_bytes(bytes(8_192))


def forge(kept: KeptLog) -> None:
    kept.files.write_checkpoint(kept.notes[600].replace(b"\n600\n", b"\n500\n"))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (edit, "entry 300: calculated root hash does not match"),
        (remove, "there are 599 entries, not 600"),
        (swap, "entry 300: calculated root hash does not match"),
        (spoil_tile, "entry 0: calculated root hash does not match"),
        (forge, "invalid checkpoint signature"),
    ],
)
def test_it_sees_what_was_done_to_one(
    tmp_path: Path, spoil: Callable[[KeptLog], None], said: str
) -> None:
    kept = KeptLog(tmp_path, 600)
    spoil(kept)
    found = read(tmp_path)
    assert found.returncode != 0
    assert said in found.stderr
