"""The model of the commit, checked by TLC: it holds, and each mutant of it breaks where the page
says. `make model` runs this."""

import re
from pathlib import Path

import pytest

from support.commit_model import check, configuration, names, table


@pytest.mark.parametrize(("name", "states", "depth"), table("What TLC finds"))
def test_the_model_holds(name: str, states: str, depth: str, tmp_path: Path) -> None:
    found = check(configuration(*names(name)), tmp_path)
    assert (found.broken, f"{found.states:,}", str(found.depth)) == ("", states, depth)


BREAKS = [
    (names(mutant)[0], invariant, steps)
    for mutant, _, broken in table("The mutants")
    for invariant, steps in re.findall(r"`(\w+)` (\d+)", broken)
]
"""Of each mutant, each invariant that the page says it breaks, and after how many steps."""


@pytest.mark.parametrize(("mutant", "invariant", "steps"), BREAKS)
def test_a_mutant_breaks(mutant: str, invariant: str, steps: str, tmp_path: Path) -> None:
    found = check(configuration("Commit.cfg", mutant, invariant=invariant), tmp_path)
    assert (found.broken, str(len(found.steps))) == (invariant, steps)


def test_the_counterexample_is_that_of_the_page(tmp_path: Path) -> None:
    found = check(configuration("Commit.cfg", "NewProducer", invariant="Whole"), tmp_path)
    told = [step for row in table("A request that arrives late") for step in names(row[1])]
    assert list(found.steps) == told
