# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pages of the documentation, and the code blocks, code spans, links and headings in them."""

from __future__ import annotations

from collections.abc import Iterator
import dataclasses
import functools
import itertools
import pathlib
import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = pathlib.Path(__file__).resolve().parents[3]
PAGES = tuple(
    sorted(
        [
            *ROOT.glob('*.md'),
            *ROOT.glob('docs/**/*.md'),
            *ROOT.glob('examples/**/*.md'),
            *ROOT.glob('streamvlm_ros/models/*/README.md'),
        ]
    )
)


@dataclasses.dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        place: file and line, for messages.
        language: the word after the fence; '' if there is none, or no fence.
        text: its lines.

    """

    place: str
    language: str
    text: str


def name_of(page: pathlib.Path) -> str:
    """Return a page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


@functools.cache
def tokens_of(page: pathlib.Path) -> tuple[Token, ...]:
    """Return the tokens of a page, those inside paragraphs, headings and cells included."""
    parser = MarkdownIt('commonmark').enable('table')
    found = []
    for token in parser.parse(page.read_text(encoding='utf-8')):
        found += [token, *(token.children or [])]
    return tuple(found)


def blocks_of(page: pathlib.Path) -> list[Block]:
    """Return the code blocks of a page, fenced or indented."""
    return [
        Block(
            f'{name_of(page)}:{token.map[0] + 1 if token.map else 0}',
            token.info.strip() if token.type == 'fence' else '',
            token.content,
        )
        for token in tokens_of(page)
        if token.type in ('fence', 'code_block')
    ]


def blocks_in(language: str) -> list[Block]:
    """Return the blocks of a language on all pages."""
    return [block for page in PAGES for block in blocks_of(page) if block.language == language]


def spans_of(page: pathlib.Path) -> list[str]:
    """Return the code spans of a page, each as one line."""
    return [token.content for token in tokens_of(page) if token.type == 'code_inline']


def links_of(page: pathlib.Path) -> Iterator[str]:
    """Yield the targets of the links and pictures of a page."""
    for token in tokens_of(page):
        if token.type in ('link_open', 'image'):
            yield str(token.attrs.get('href') or token.attrs.get('src'))


@functools.cache
def anchors_of(page: pathlib.Path) -> frozenset[str]:
    """Return the names that GitHub gives to the headings of a page."""
    tokens = tokens_of(page)
    found: list[str] = []
    for heading, inline in itertools.pairwise(tokens):
        if heading.type == 'heading_open':
            text = re.sub(r'[`*]|\]\([^)]*\)|\[', '', inline.content)
            slug = re.sub(r'[^\w\- ]', '', text.lower()).replace(' ', '-')
            times = sum(each == slug or each.startswith(f'{slug}-') for each in found)
            found.append(f'{slug}-{times}' if slug in found else slug)
    return frozenset(found)
