# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reads a .msg, .srv or .action file with its comments, which rosidl's own parsers let go.

A comment belongs to the entries directly under it, up to an empty line or the next comment, or to
the one that it follows, and may continue in indented lines. One with an empty
line under it is about the part, or at the top about the file.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re

_HEAD = ('Copyright ', 'SPDX-License-Identifier')
_ENTRY = re.compile(r'(?P<type>\S+)\s+(?P<name>\w+)\s*(?P<equals>=?)\s*(?P<value>[^\s#]*)\s*$')


@dataclasses.dataclass
class Entry:
    """One field or constant; `value` is its default, '' without one."""

    type: str
    name: str
    value: str
    is_constant: bool
    comment: str


@dataclasses.dataclass
class Block:
    """Lines without an empty one between them: a comment, and the entries it is about."""

    comment: str
    entries: list[Entry]


@dataclasses.dataclass(frozen=True)
class InterfaceFile:
    """A file; `parts` are one of a message, two of a service, three of an action."""

    kind: str  # 'msg', 'srv' or 'action'
    name: str
    comment: list[str]  # paragraphs
    parts: list[list[Block]]


def read_interface(file: pathlib.Path) -> InterfaceFile:
    """Read one file.

    Raises:
        ValueError: a line is neither a comment nor an entry.
    """
    parts = [_read_part(part) for part in file.read_text(encoding='utf-8').split('\n---\n')]
    about = parts[0]
    paragraphs = []
    # What the other parts begin with is about them.
    while about and not about[0].entries:
        paragraphs.append(about.pop(0).comment)
    return InterfaceFile(file.suffix[1:], file.stem, paragraphs, parts)


def _read_part(text: str) -> list[Block]:
    blocks = []
    for lines in re.split(r'\n\s*\n', text.strip('\n')):
        above: list[str] = []
        block = Block('', [])
        for line in lines.split('\n'):
            code, _, comment = (part.strip() for part in line.partition('#'))
            if code:
                block.entries.append(_read_entry(code, comment))
            elif line.startswith(' ') and block.entries:
                # It continues the line before.
                last = block.entries[-1]
                last.comment = f'{last.comment} {comment}'.strip()
            elif block.entries:
                blocks.append(dataclasses.replace(block, comment=_join(above)))
                above, block = [comment], Block('', [])
            elif not comment.startswith(_HEAD):
                above.append(comment)
        block.comment = _join(above)
        if block.comment or block.entries:
            blocks.append(block)
    return blocks


def _join(lines: list[str]) -> str:
    """Join lines to a paragraph; an empty one in between begins a new one."""
    return '\n\n'.join(
        paragraph.strip().replace('\n', ' ') for paragraph in '\n'.join(lines).split('\n\n')
    )


def _read_entry(code: str, comment: str) -> Entry:
    found = _ENTRY.match(code)
    if found is None:
        raise ValueError(f'{code!r} is neither a field nor a constant.')
    return Entry(found['type'], found['name'], found['value'], bool(found['equals']), comment)
