# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""docs/design is true: the picture, the line of each room, the steps of a frame and a question."""

from __future__ import annotations

import ast
import pathlib
import re

import pytest

from scripts.docs import rooms
from scripts.house import House, ROOT

PACKAGE = ROOT / 'streamvlm_ros'
ENGINE = PACKAGE / 'engine'
LIFE = ROOT / 'docs' / 'design' / 'life.md'
# The row of a step: | number | what | `file` `function` | sentence |
STEP = re.compile(r'^\| (\d+) \| [^|]+ \| `([\w/.]+\.py)` `([\w.]+)` \|', re.MULTILINE)


def test_the_picture_is_drawn_from_the_code() -> None:
    page = rooms.rooms_page(House.read(ROOT))
    assert page == rooms.PAGE.read_text(), 'docs/design/rooms.md is old: run make docs'


def house(root: pathlib.Path, files: dict[str, str]) -> House:
    for name, text in files.items():
        path = root / 'streamvlm_ros' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return House.read(root)


def test_arrows_are_counted_between_rooms_only(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, 'ROOT', tmp_path)
    made = house(
        tmp_path,
        {
            'a/one.py': 'from streamvlm_ros.b import two\nfrom streamvlm_ros import ground',
            'a/other.py': 'from streamvlm_ros.a import one\nfrom streamvlm_ros.b import two',
            'b/two.py': 'def f():\n    import streamvlm_ros.ground',
            'ground.py': '',
            'moved.py': 'import streamvlm_ros.ground',
        },
    )
    assert rooms.files_of(made, 'streamvlm_ros') == {'a': 2, 'b': 1, 'ground floor': 1}
    arrows = {('a', 'b'): 2, ('a', 'ground floor'): 1, ('b', 'ground floor'): 1}
    assert rooms.arrows_of(made, 'streamvlm_ros') == arrows
    assert rooms.direct(arrows) == {('a', 'b'), ('b', 'ground floor')}


def rows(after: str) -> list[str]:
    """Return the rooms of a table in rooms.md, as the first column names them."""
    text = rooms.PAGE.read_text().partition(after)[2].lstrip().partition('\n\n')[0]
    cells = [line.split('|')[1] for line in text.splitlines()[2:]]
    return [name for cell in cells for name in re.findall('`([^`]+)`', cell)]


@pytest.mark.parametrize(
    ('folder', 'after'), [(PACKAGE, 'From the top:'), (ENGINE, 'Inside `engine/`, from the top:')]
)
def test_every_room_has_one_line(folder: pathlib.Path, after: str) -> None:
    """Folders end in a slash; of files beside them the engine's stand without their ending."""
    named = [name.removesuffix('.py').removesuffix('/') for name in rows(after)]
    there = {path.parent.name for path in folder.glob('*/*.py')}
    there |= {path.stem for path in folder.glob('*.py')} - {'__init__'}
    assert sorted(named) == sorted(there)


@pytest.mark.parametrize('folder', [PACKAGE, ENGINE], ids=['package', 'engine'])
def test_folders_in_a_room_are_named_in_its_line(folder: pathlib.Path) -> None:
    lines = [line for line in rooms.PAGE.read_text().splitlines() if line.startswith('| `')]
    for inner in {path.parent for path in folder.glob('*/*/*.py')}:
        if inner.parent != ENGINE:
            line = next(line for line in lines if line.startswith(f'| `{inner.parent.name}/`'))
            assert re.search(rf'\b{inner.name}\b', line), inner


def functions_of(path: pathlib.Path) -> set[str]:
    """Return functions by name, and methods as `Class.method`."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            inner = (each for each in node.body if hasattr(each, 'name'))
            found |= {f'{node.name}.{each.name}' for each in inner}
    return found


def test_steps_name_functions_that_are_there() -> None:
    """That a frame and a question pass the engine's, test_trips.py sees."""
    steps = STEP.findall(LIFE.read_text())
    assert [int(number) for number, _, _ in steps] == [*range(1, 11)] * 2
    for number, file, function in steps:
        assert function in functions_of(PACKAGE / file), f'step {number}: {file} {function}'
