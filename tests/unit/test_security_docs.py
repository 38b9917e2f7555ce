"""docs/security stays true: every requirement has its row, every test that is named is there, and
what the pages say of topics, settings and audit lines is what the code has.
"""

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from app.audit.entries import Act
from app.process.settings import SECRETS, TYPES, variable_of
from app.topics.catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "security"

# ASVS 5.0.0: section:requirements, by the lowest level that asks for them.
LEVEL_1 = """
1.2:1-5 1.3:1-2 1.5:1 2.1:1 2.2:1-2 2.3:1 3.2:1-2 3.3:1 3.4:1-2 3.5:1-3 4.1:1 4.4:1
5.2:1-2 5.3:1-2 6.1:1 6.2:1-8 6.3:1-2 6.4:1-2 7.2:1-4 7.4:1-2 8.1:1 8.2:1-2 8.3:1 9.1:1-3
9.2:1 10.4:1-5 11.3:1-2 11.4:1 12.1:1 12.2:1-2 13.4:1 14.2:1 14.3:1 15.1:1 15.2:1 15.3:1
"""
LEVEL_2 = """
1.1:1-2 1.2:6-9 1.3:3-11 1.4:1-3 1.5:2 2.1:2-3 2.2:3 2.3:2-4 2.4:1 3.3:2-4 3.4:3-6 3.5:4-5
3.7:1-2 4.1:2-3 4.2:1 4.3:1-2 4.4:2-4 5.1:1 5.2:3 5.4:1-3 6.1:2-3 6.2:9-12 6.3:3-4 6.4:3-4
6.5:1-5 6.6:1-3 6.8:1-4 7.1:1-3 7.3:1-2 7.4:3-5 7.5:1-2 7.6:1-2 8.1:2 8.2:3 8.4:1 9.2:2-4
10.1:1-2 10.2:1-2 10.3:1-4 10.4:6-11 10.5:1-5 10.6:1-2 10.7:1-3 11.1:1-2 11.2:1-3 11.3:3
11.4:2-4 11.5:1 11.6:1 12.1:2-3 12.3:1-4 13.1:1 13.2:1-5 13.3:1-2 13.4:2-5 14.1:1-2
14.2:2-4 14.3:2-3 15.1:2-3 15.2:2-3 15.3:2-7 16.1:1 16.2:1-5 16.3:1-4 16.4:1-3 16.5:1-3
17.1:1 17.2:1-4 17.3:1-2
"""

ROW = re.compile(
    r"^\| v5\.0\.0-(?P<number>[\d.]+) \| (?P<words>[^|]*) \| (?P<state>[^|]*) \| (?P<why>[^|]*) \|$"
)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
STATES = ("held", "not ours", "open")


def numbers(level: str) -> set[str]:
    found = set()
    for section, wanted in (each.split(":") for each in level.split()):
        for part in wanted.split(","):
            first, _, last = part.partition("-")
            found |= {f"{section}.{n}" for n in range(int(first), int(last or first) + 1)}
    return found


@cache
def rows() -> tuple[re.Match[str], ...]:
    lines = (PAGES / "asvs.md").read_text().splitlines()
    return tuple(match for match in map(ROW.match, lines) if match)


def table(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    section = (PAGES / page).read_text().split(f" {heading}\n", 1)[1].partition("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_there_are_as_many_requirements_as_the_standard_has() -> None:
    assert (len(numbers(LEVEL_1)), len(numbers(LEVEL_2))) == (70, 183)


def test_every_requirement_up_to_level_2_stands_there_once_and_no_other() -> None:
    told = [row["number"] for row in rows()]
    assert Counter(told) == Counter(numbers(LEVEL_1) | numbers(LEVEL_2))
    assert told == sorted(told, key=lambda number: [int(part) for part in number.split(".")])


def test_every_line_of_a_table_is_a_row() -> None:
    lines = [line for line in (PAGES / "asvs.md").read_text().splitlines() if "v5.0.0-" in line]
    assert len(lines) == len(rows())


def test_no_row_is_empty() -> None:
    for row in rows():
        assert len(row["words"].strip()) > 3, row["number"]
        assert row["state"] in STATES, row["number"]
        assert len(row["why"].split()) > 1 or NAMED.search(row["why"]), row["number"]
        if row["state"] == "held":
            assert NAMED.search(row["why"]), f"{row['number']}: held by which test?"


def test_the_sums_are_those_of_the_rows() -> None:
    text = (PAGES / "asvs.md").read_text()
    for head, wanted in (
        ("Level 1", numbers(LEVEL_1)),
        ("Levels 1 and 2", numbers(LEVEL_1) | numbers(LEVEL_2)),
    ):
        sums = Counter(row["state"] for row in rows() if row["number"] in wanted)
        assert f"| {head} | {' | '.join(str(sums[state]) for state in STATES)} |" in text


@pytest.mark.parametrize("page", sorted(path.name for path in PAGES.glob("*.md")))
def test_each_named_test_exists_and_runs(page: str) -> None:
    missing = []
    for file, name in sorted(set(NAMED.findall((PAGES / page).read_text()))):
        path = ROOT / file
        found = path.is_file() and re.search(
            rf"((?:^ *@.*\n|^ .*\n|^ *\)\n)*) *(?:async )?def {name}\(", path.read_text(), re.M
        )
        if not found or re.search(r"@pytest\.mark\.(skip|xfail)", found[1]):
            missing.append(f"{file}::{name}")
    assert missing == []


def test_every_adversary_has_what_is_left() -> None:
    text = (PAGES / "threat-model.md").read_text()
    told = text.partition("\n## Adversaries\n")[2].partition("\n## ")[0].split("\n### ")[1:]
    assert len(told) == 10
    for adversary in told:
        name = adversary.partition("\n")[0]
        assert "**Left.**" in adversary, name
        assert len(NAMED.findall(adversary)) >= 3, name


def test_every_topic_with_personal_data_is_in_the_assessment_with_its_time() -> None:
    told = {
        cells[0].strip("`"): cells[1:]
        for cells in table("pipl.md", "What is kept of whom, and why")
    }
    for topic in CATALOGUE.topics.values():
        if topic.data_class != "internal":
            assert topic.name in told, f"{topic.name}: whose data, why, and how long?"
            whose, why, kept = told[topic.name]
            assert whose
            assert why
            days = topic.retention_days
            assert kept == (f"{days} day{'s' * (days > 1)}" if days else "no end"), topic.name


@pytest.mark.parametrize("article", ["24", "31", "44", "45", "46", "47", "48", "49", "50"])
def test_the_assessment_answers_each_right(article: str) -> None:
    text = (PAGES / "pipl.md").read_text()
    assert re.search(rf"(?m)^\| {article} \||art\. (\d+, )*{article}\b", text)


def test_every_class_of_data_stands_in_the_inventory() -> None:
    told = {cells[0].strip("`") for cells in table("inventory.md", "Data and what protects them")}
    assert told == {topic.data_class for topic in CATALOGUE.topics.values()}


def test_every_address_of_the_settings_stands_in_the_inventory() -> None:
    told = " ".join(cells[2] for cells in table("inventory.md", "Who talks to whom"))
    asked = {
        variable_of(name) for name in TYPES if name.endswith(("_url", "_issuer", "_driver"))
    } | {"YUEKANG_KAFKA", "YUEKANG_WATCHED"}
    assert len(asked) >= 10
    assert {variable for variable in asked if f"`{variable}`" not in told} == set()


OF_CONNECTIONS = re.compile(r"YUEKANG_(KAFKA_(PASSWORD|KEY)|REDIS_PASSWORD|(\w+_)?REDIS_URL)")
"""How a process is known to Kafka and Redis: docs/operations.md has these, in its first table."""


def test_every_key_of_the_settings_stands_in_the_documents() -> None:
    secrets = (ROOT / "docs" / "secrets.md").read_text()
    operations = (ROOT / "docs" / "operations.md").read_text()
    for variable in map(variable_of, SECRETS):
        page = operations if OF_CONNECTIONS.fullmatch(variable) else secrets
        assert f"`{variable}`" in page, variable


def test_every_kind_of_audit_line_is_documented() -> None:
    page = (ROOT / "docs" / "audit.md").read_text()
    assert {act for act in Act if f"`{act.value}`" not in page} == set()


def test_the_standards_own_sentences_are_not_copied() -> None:
    text = (PAGES / "asvs.md").read_text()
    assert "Verify that" not in text
    assert max(len(row["words"].split()) for row in rows()) <= 12
