# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""docs/interfaces.md is what `make docs` makes of the interfaces and the parameters."""

from __future__ import annotations

import importlib
import pathlib
from typing import Any

import pytest

from scripts.docs import page, reference
from scripts.docs.interface_file import InterfaceFile, read_interface
from streamvlm_ros.nodes.parameters.parameter import Parameter

PARTS = {'msg': [''], 'srv': ['Request', 'Response'], 'action': ['Goal', 'Result', 'Feedback']}
FILES = page.interface_files()
SERVICE = """# Copyright 2026 Somebody
# SPDX-License-Identifier: Apache-2.0

# Does
# something.
#
# In two paragraphs.

# Another one.

string[] names  # of cats
# The legs.
# Four.
uint32 legs 4
---

# Values of error_code.
uint8 NONE=0  # success
uint8 BUSY=5  # later:
              # it goes on

bool success
uint8 error_code 0

# About the whole part.

# A pair.
float64 left
float64 right -1.5  # the other
"""


def read(folder: pathlib.Path, text: str, name: str = 'Cats.srv') -> InterfaceFile:
    (folder / name).write_text(text)
    return read_interface(folder / name)


def test_page_is_up_to_date() -> None:
    committed = page.PAGE.read_text(encoding='utf-8')
    assert page.interface_page() == committed, 'docs/interfaces.md is old: run make docs'


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.name)
def test_nothing_is_missing(file: InterfaceFile) -> None:
    """Every field, constant and default that rosidl generated is read, and no other."""
    pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')
    generated: Any = getattr(importlib.import_module(f'streamvlm_ros.{file.kind}'), file.name)
    for title, blocks in zip(PARTS[file.kind], file.parts, strict=True):
        part = getattr(generated, title) if title else generated
        entries = [entry for block in blocks for entry in block.entries]
        fields = [entry.name for entry in entries if not entry.is_constant]
        assert fields == list(part.get_fields_and_field_types())
        for entry in entries:
            if entry.is_constant:
                assert str(getattr(part, entry.name)) == entry.value
            elif entry.value:
                assert getattr(part(), entry.name) == eval(entry.value.capitalize())


def test_file_is_read_with_its_comments(tmp_path: pathlib.Path) -> None:
    file = read(tmp_path, SERVICE)
    assert (file.kind, file.name) == ('srv', 'Cats')
    assert file.comment == ['Does something.\n\nIn two paragraphs.', 'Another one.']
    request, response = file.parts
    (names,), (legs,) = (block.entries for block in request)
    assert (names.type, names.name, names.comment) == ('string[]', 'names', 'of cats')
    assert (legs.value, legs.is_constant, request[1].comment) == ('4', False, 'The legs. Four.')
    assert [entry.comment for entry in response[0].entries] == ['success', 'later: it goes on']
    assert response[2].comment == 'About the whole part.'


def test_section(tmp_path: pathlib.Path) -> None:
    text = reference.interface_reference([read(tmp_path, SERVICE)])
    assert text == (
        '### srv/Cats\n\nDoes something.\n\nIn two paragraphs.\n\nAnother one.\n\n**Request**\n\n'
        '- `names` (string[]): of cats\n- `legs` (uint32 = 4): The legs. Four.\n\n**Response**\n\n'
        'About the whole part.\n\n'
        '- `success`, `error_code`, `error_msg`: see [above](#error-codes)\n'
        '- A pair.\n  - `left` (float64)\n  - `right` (float64 = -1.5): the other'
    )


def test_error_codes(tmp_path: pathlib.Path) -> None:
    one = read(tmp_path, SERVICE)
    other = read(tmp_path, SERVICE.replace('later:', 'never:'), 'Dogs.srv')
    unused = SERVICE.replace('later:', 'not used').replace('it goes on', 'here')
    ants = read(tmp_path, unused, 'Ants.srv')
    lines = reference.error_codes([one, other, ants]).splitlines()
    assert lines[2:] == [
        '| `NONE` | 0 | success |',
        '| `BUSY` | 5 | Cats: later: it goes on<br>Dogs: never: it goes on |',
    ]
    wrong = read(tmp_path, SERVICE.replace('BUSY=5', 'BUSY=6'), 'Bees.srv')
    with pytest.raises(ValueError, match='Bees gives BUSY another number'):
        reference.error_codes([one, wrong])


def test_what_is_no_entry_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="'string' is neither a field nor a constant"):
        read(tmp_path, 'string\n---\n')


def test_parameters() -> None:
    table = reference.parameter_table(
        [
            Parameter('a', 'x', 'One | two.', choices=('x', 'y')),
            Parameter('b', 3, 'Some.', minimum=1, maximum=1 << 24, step=2),
            Parameter('c', True, 'Or not.'),
        ]
    )
    assert table.splitlines()[2:] == [
        "| `a` | `'x'` | x, y | One \\| two. |",
        '| `b` | `3` | from 1 to 16777216 in steps of 2 | Some. |',
        '| `c` | `True` | True, False | Or not. |',
    ]
