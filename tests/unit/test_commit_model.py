"""The model of the commit against its page and the engine, without TLC. `make model` runs that."""

from support.commit_model import (
    FOLDER,
    actions,
    configuration,
    invariants,
    names,
    safeguards,
    table,
)


def test_the_page_has_every_action_of_the_module_and_no_other() -> None:
    told = [action for row in table("The actions") for action in names(row[0])]
    assert sorted(told) == sorted(actions())


def test_every_action_names_what_does_it() -> None:
    """That such a name is there in the code, tests/unit/test_tidy.py asks of every document."""
    outside = ("network", "broker")
    for row in table("The actions"):
        assert "app.engine." in row[1] or any(word in row[1] for word in outside), row[0]


def test_the_page_has_a_mutant_for_every_safeguard() -> None:
    rows = {names(row[0])[0]: row for row in table("The mutants")}
    assert rows.keys() == safeguards()
    for row in rows.values():
        assert set(names(row[2])) <= invariants()
        assert names(row[2]), f"nothing is broken without {row[0]}"


def test_every_invariant_is_told_and_is_what_keeps_some_mutant_out() -> None:
    page = (FOLDER / "README.md").read_text()
    assert {name for name in invariants() if f"- `{name}`: " not in page} == set()
    broken = {name for row in table("The mutants") for name in names(row[2])}
    assert broken == invariants()


def test_the_counterexample_is_made_of_actions() -> None:
    steps = [step for row in table("A request that arrives late") for step in names(row[1])]
    assert set(steps) <= actions()


def test_both_configurations_have_every_safeguard() -> None:
    """Or one of them would check a mutant."""
    for name in ("Commit.cfg", "Progress.cfg"):
        assert all(f"{each} = TRUE" in configuration(name) for each in safeguards())
        assert "= FALSE" not in configuration(name).replace("CalmAtLast = FALSE", "")
