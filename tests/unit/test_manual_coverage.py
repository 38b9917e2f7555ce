"""docs/manual-coverage.md stays true: each test that it names is there, and is run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "manual-coverage.md"

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ROW = re.compile(
    r"^\| (?P<place>[一二三四][^|]*) \|(?P<promise>[^|]+)\|(?P<here>[^|]+)\|(?P<shown>.+)\|$"
)
ELSEWHERE = "another system's"


def rows() -> list[re.Match[str]]:
    lines = TABLE.read_text().splitlines()
    return [match for match in map(ROW.match, lines) if match]


def test_every_row_is_shown_by_a_test_or_names_its_seam() -> None:
    assert len(rows()) > 30
    for row in rows():
        assert NAMED.search(row["shown"]), f"{row['place']}: no test"
        if ELSEWHERE in row["here"]:
            assert "seam:" in row["here"], f"{row['place']}: where does it join?"


def test_rows_stand_in_the_manuals_order() -> None:
    parts = [row["place"][0] for row in rows()]
    assert parts == sorted(parts, key="一二三四".index)
    assert set(parts) == set("一二三四")


def test_every_line_of_the_table_is_a_row() -> None:
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("|")]
    heads = [line for line in lines if line.startswith(("| Place", "|---"))]
    assert len(lines) - len(heads) == len(rows())


def test_each_named_test_exists_and_runs() -> None:
    named = {match.groups() for row in rows() for match in NAMED.finditer(row["shown"])}
    files = sorted({file for file, _ in named})
    assert all((ROOT / file).is_file() for file in files)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.OK, done.stdout[-2_000:]
    collected = {
        (file, name.partition("[")[0].rpartition("::")[2])
        for file, _, name in (line.partition("::") for line in done.stdout.splitlines())
    }
    assert named <= collected, f"not collected: {sorted(named - collected)}"
    for file, name in sorted(named):
        marks = re.search(
            rf"((?:^@.*\n|^ .*\n|^\)\n)*)(?:async )?def {name}\(", (ROOT / file).read_text(), re.M
        )
        assert marks is None or not re.search("skip|xfail", marks[1]), f"{file}::{name} is not run"
