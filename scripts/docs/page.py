# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""docs/interfaces.md: the frame in this folder, with the generated parts in their places."""

from __future__ import annotations

import pathlib

from scripts.docs import reference
from scripts.docs.interface_file import InterfaceFile, read_interface
from streamvlm_ros.nodes.parameters.table import PARAMETERS

ROOT = pathlib.Path(__file__).parents[2]
FRAME = pathlib.Path(__file__).with_name('interfaces.frame.md')
PAGE = ROOT / 'docs' / 'interfaces.md'


def interface_files() -> list[InterfaceFile]:
    """Return all interface files: services and the action first, in the order of their names."""
    return [
        read_interface(file)
        for kind in ('srv', 'action', 'msg')
        for file in sorted((ROOT / kind).glob(f'*.{kind}'))
    ]


def interface_page() -> str:
    """Return the text of docs/interfaces.md."""
    files = interface_files()
    parts = {
        'interfaces': reference.interface_reference(files),
        'error codes': reference.error_codes(files),
        'parameters': reference.parameter_table(PARAMETERS),
    }
    text = FRAME.read_text(encoding='utf-8')
    for name, part in parts.items():
        mark = f'<<{name}>>'
        if text.count(mark) != 1:
            raise ValueError(f'{FRAME.name} has {text.count(mark)} places for {mark}.')
        text = text.replace(mark, part)
    return text
