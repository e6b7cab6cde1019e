# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every link of the documentation leads to a file and a heading; every path in it is there."""

from __future__ import annotations

import pathlib
import re

import pytest
from support.pages.blocks import anchors_of, links_of, name_of, PAGES, ROOT, spans_of

# Where the paths that stand in sentences begin.
ROOTS = ('', 'streamvlm_ros', 'streamvlm_ros/engine', 'test', 'test/engine', 'docs')
PATH = re.compile(r'[\w*.-]+(/[\w*.-]+)+\.(py|md|yaml|json|txt|toml|ini|xml)')


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_links_lead_somewhere(page: pathlib.Path) -> None:
    broken = []
    for link in links_of(page):
        if re.match(r'https?://', link):
            continue
        path, _, anchor = link.partition('#')
        target = (page.parent / path).resolve() if path else page
        # A link out of the repository is broken where the repository is all there is.
        there = target.exists() and target.is_relative_to(ROOT)
        if not there or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_paths_are_there(page: pathlib.Path) -> None:
    missing = [
        span
        for span in spans_of(page)
        if PATH.fullmatch(span) and not any(any(ROOT.joinpath(r).glob(span)) for r in ROOTS)
    ]
    assert missing == []


def test_every_page_can_be_reached_from_readme() -> None:
    reached, following = set(), {ROOT / 'README.md'}
    while following:
        page = following.pop()
        reached.add(page)
        for link in links_of(page):
            target = (page.parent / link.partition('#')[0]).resolve()
            if target in PAGES and target not in reached:
                following.add(target)
    assert set(map(name_of, PAGES)) - set(map(name_of, reached)) == set()
