"""Masked names: recognised by their own, told by nobody else."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.login.names import NAME_LENGTH_MAX, ending_of, mask
from support.logins import CARD, PERMIT


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("陈小明", "陈*明"),
        ("李四", "李*"),
        ("欧阳小明", "欧**明"),
        ("李", "*"),
        ("买买提·艾力", "买*提·艾*"),
        ("𠮷田太郎", "𠮷**郎"),
        ("CHAN Siu Ming", "C*** S** M***"),
        ("Ana-Rosa da Silva", "A**-R*** d* S****"),
        ("O'Neill", "O******"),
        ("é", "*"),
        ("e\u0301va", "é**"),
        ("김민수", "김**"),
        ("A", "*"),
        ("", ""),
        ("  ", ""),
        ("陈\u200b小\u202e明\n", "陈*明"),
    ],
)
def test_names(name: str, masked: str) -> None:
    assert mask(name) == masked


@given(st.text(max_size=2 * NAME_LENGTH_MAX))
def test_every_part_loses_a_character_and_nothing_unseen_is_left(name: str) -> None:
    masked = mask(name)
    assert len(masked) <= NAME_LENGTH_MAX
    for part in re.split(r"[\s·・.\-]+", masked):
        assert not part or "*" in part
    assert not any(unicodedata.category(c).startswith("C") for c in masked)


@pytest.mark.parametrize(
    ("number", "ending"), [(CARD, "002X"), (PERMIT, "5678")], ids=["card", "permit"]
)
def test_of_a_document_number_the_last_four_are_kept(number: str, ending: str) -> None:
    assert ending_of(number) == ending
