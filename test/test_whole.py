# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Of a heavy proof the suite runs a sample, and `--whole` all of it."""

from __future__ import annotations

import pathlib

import pytest
from support.whole import sampled, whole


class Item:
    """What is collected, with a mark or without."""

    def __init__(self, marked: bool) -> None:
        self.marked = marked

    def get_closest_marker(self, name: str) -> object:
        return whole if self.marked and name == whole.name else None


class Config:
    """A run with or without `--whole`."""

    def __init__(self, is_whole: bool) -> None:
        self.is_whole, self.left_out, self.hook = is_whole, [], self

    def getoption(self, name: str) -> bool:
        assert name == 'whole'
        return self.is_whole

    def pytest_deselected(self, items: list[Item]) -> None:
        self.left_out += items


def test_the_first_cases_are_in_the_suite() -> None:
    cases = sampled([(1, 2), (3, 4), (5, 6)], 1)
    assert cases[0] == (1, 2)
    assert [(each.values, [mark.name for mark in each.marks]) for each in cases[1:]] == [
        ((3, 4), ['whole']),
        ((5, 6), ['whole']),
    ]


@pytest.mark.parametrize('is_whole', [False, True])
def test_what_is_left_out(is_whole: bool, pytestconfig: pytest.Config) -> None:
    ours = str(pathlib.Path(__file__).parent / 'conftest.py')
    hook = pytestconfig.pluginmanager.get_plugin(ours).pytest_collection_modifyitems
    kept, marked = Item(False), Item(True)
    items, config = [marked, kept], Config(is_whole)
    hook(config, items)
    assert items == ([marked, kept] if is_whole else [kept])
    assert config.left_out == ([] if is_whole else [marked])
