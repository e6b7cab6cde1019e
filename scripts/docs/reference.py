# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The generated parts of docs/interfaces.md: interface files, error codes, parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scripts.docs.interface_file import Block, Entry, InterfaceFile
from streamvlm_ros.nodes.parameters.parameter import Parameter

_PARTS = {'msg': [''], 'srv': ['Request', 'Response'], 'action': ['Goal', 'Result', 'Feedback']}
_UNUSED = 'not used here'
_CODES = 'Values of error_code.'
_OUTCOME = ('success', 'error_code', 'error_msg')  # of every response, explained once


def interface_reference(files: Iterable[InterfaceFile]) -> str:
    """Return a section for each file: what it is about, and every field."""
    return '\n\n'.join(_section(file) for file in files)


def _section(file: InterfaceFile) -> str:
    pieces = [f'### {file.kind}/{file.name}', *file.comment]
    for title, blocks in zip(_PARTS[file.kind], file.parts):
        if title:
            pieces.append(f'**{title}**' if blocks else f'**{title}**: empty.')
        # What is about a whole part has a paragraph, the rest is one list.
        pieces += [block.comment for block in blocks if not block.entries]
        lines = [line for block in blocks if block.entries for line in _block_lines(block)]
        if lines:
            pieces.append('\n'.join(lines))
    return '\n\n'.join(pieces)


def _block_lines(block: Block) -> list[str]:
    if block.comment == _CODES or block.entries[0].name in _OUTCOME[1:]:
        return []  # they have a section of their own
    if block.entries[0].name == _OUTCOME[0]:
        return [f'- {", ".join(f"`{name}`" for name in _OUTCOME)}: see [above](#error-codes)']
    if len(block.entries) == 1:
        return [_line('- ', block.entries[0], block.comment)]
    if not block.comment:
        return [_line('- ', entry) for entry in block.entries]
    return [f'- {block.comment}', *(_line('  - ', entry) for entry in block.entries)]


def _line(indent: str, entry: Entry, above: str = '') -> str:
    value = f' = {entry.value}' if entry.value else ''
    text = (
        f'{indent}`{entry.name}`{value}'
        if entry.is_constant
        else (f'{indent}`{entry.name}` ({entry.type}{value})')
    )
    comment = ' '.join(part for part in (above, entry.comment) if part)
    return f'{text}: {comment}' if comment else text


def error_codes(files: Iterable[InterfaceFile]) -> str:
    """Return the table of error codes and their meanings, by interface where they differ.

    Raises:
        ValueError: two files do not give one code the same number.
    """
    numbers: dict[str, str] = {}
    meanings: dict[str, dict[str, list[str]]] = {}
    for file in files:
        for code in _codes(file):
            if numbers.setdefault(code.name, code.value) != code.value:
                raise ValueError(f'{file.name} gives {code.name} another number.')
            where = meanings.setdefault(code.name, {})
            if code.comment != _UNUSED:
                where.setdefault(code.comment, []).append(file.name)
    lines = ['| code | | when, and what to do |', '|---|---|---|']
    for name, number in numbers.items():
        texts = [
            text if len(meanings[name]) == 1 else f'{", ".join(where)}: {text}'
            for text, where in meanings[name].items()
        ]
        lines.append(f'| `{name}` | {number} | {"<br>".join(texts)} |')
    return '\n'.join(lines)


def _codes(file: InterfaceFile) -> list[Entry]:
    return [
        entry
        for blocks in file.parts
        for block in blocks
        if block.comment == _CODES
        for entry in block.entries
    ]


def parameter_table(parameters: Sequence[Parameter]) -> str:
    """Return the table of parameters."""
    lines = ['| parameter | default | values | |', '|---|---|---|---|']
    for parameter in parameters:
        values = ', '.join(parameter.choices) or parameter.range_text() or _any_value(parameter)
        text = ' '.join(t for t in (parameter.description, parameter.settable.value) if t)
        cells = (f'`{parameter.name}`', f'`{parameter.default!r}`', values, text)
        lines.append(f'| {" | ".join(map(_cell, cells))} |')
    return '\n'.join(lines)


def _cell(text: str) -> str:
    return text.replace('|', r'\|')


def _any_value(parameter: Parameter) -> str:
    return 'True, False' if isinstance(parameter.default, bool) else 'text'
