# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Each limit of the house is really checked: made-up trees that break one are found."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from scripts.house import faults_of, GROUND_FILES, House, MOST_FILES, MOST_LINES, TREES

ROOT = pathlib.Path(__file__).resolve().parents[2]
TYPE_CHECKING = 'from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    '
IN_FUNCTION = 'def f():\n    '
# Imports that go upward or to what a room may not know, each with the contract that it breaks.
UPWARD = (
    ('client/client.py', 'from streamvlm_ros.nodes import signals', 'The parts of the package'),
    ('nodes/serving_node.py', 'import streamvlm_ros.cli.main', 'The parts of the package'),
    ('engine/ops/rotary.py', 'from ..kvcache import cache', 'The rooms of the engine'),
    ('engine/models/prompt.py', 'import streamvlm_ros.engine.store', 'The rooms of the engine'),
    ('engine/config.py', 'import streamvlm_ros.engine.ops', 'The rooms of the engine'),
    ('engine/outputs.py', 'import rclpy', 'The engine knows no ROS'),
    ('nodes/camera_node.py', 'import torch', 'Nodes never touch a tensor'),
    ('bags/bags.py', 'import torch', 'Clients and bags need no torch'),
    ('cli/demo.py', 'import training', 'What is shipped needs nothing that is not'),
)


def house(root: pathlib.Path, files: dict[str, str]) -> House:
    """Return a tree with these files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return House.read(root)


def folder(name: str, count: int) -> dict[str, str]:
    return {f'{name}/file_{i}.py': '' for i in range(count)}


@pytest.mark.parametrize('tree', TREES)
def test_files_of_a_folder(tree: str, tmp_path: pathlib.Path) -> None:
    assert faults_of(house(tmp_path, folder(f'{tree}/room', MOST_FILES))) == []
    assert faults_of(house(tmp_path, folder(f'{tree}/room', MOST_FILES + 1))) == [
        f'{tree}/room holds 15 files; split it: at most 14'
    ]


def test_files_on_the_ground_floor(tmp_path: pathlib.Path) -> None:
    engine = 'streamvlm_ros/engine'
    assert faults_of(house(tmp_path, folder(engine, GROUND_FILES))) == []
    assert faults_of(house(tmp_path, folder(engine, GROUND_FILES + 1))) == [
        'the ground floor of engine/ holds 9 files; at most 8'
    ]


def test_lines_of_a_file(tmp_path: pathlib.Path) -> None:
    assert faults_of(house(tmp_path, {'test/a.py': '\n' * MOST_LINES})) == []
    assert faults_of(house(tmp_path, {'test/a.py': '\n' * (MOST_LINES + 1)})) == [
        'test/a.py has 351 lines; split it: at most 350'
    ]


@pytest.mark.parametrize('where', ['', TYPE_CHECKING, IN_FUNCTION])
@pytest.mark.parametrize('back', ['import scripts.room.a', 'from . import a', 'from .a import x'])
def test_circles(where: str, back: str, tmp_path: pathlib.Path) -> None:
    files = {'scripts/room/a.py': 'from scripts.room import b', 'scripts/room/b.py': ''}
    assert faults_of(house(tmp_path, files)) == []
    files['scripts/room/b.py'] = where + back
    assert faults_of(house(tmp_path, files)) == ['a circle: scripts.room.a, scripts.room.b']


def test_a_long_circle(tmp_path: pathlib.Path) -> None:
    files = {f'training/{a}.py': f'import training.{b}' for a, b in ('ab', 'bc', 'ca', 'da')}
    assert faults_of(house(tmp_path, files)) == ['a circle: training.a, training.b, training.c']


def test_the_command_fails_with_a_sentence(tmp_path: pathlib.Path) -> None:
    house(tmp_path, {'test/a.py': '\n' * 351})
    command = [sys.executable, '-m', 'scripts.house', '--root', str(tmp_path)]
    for option, code, sentence in ([], 0, ''), (['--check'], 1, 'test/a.py has 351 lines'):
        done = subprocess.run([*command, *option], cwd=ROOT, capture_output=True, text=True)
        assert (done.returncode, sentence in done.stderr) == (code, True), done.stderr


def test_make_lint_checks_the_limits_and_the_contracts() -> None:
    recipe = (ROOT / 'Makefile').read_text().partition('\nlint: ')[2].partition('\n\n')[0]
    for command in ('python -m scripts.house --check', 'lint-imports'):
        assert f'@$(RUN) {command}' in recipe


def lint(root: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts of pyproject.toml on a tree."""
    path = os.pathsep.join([str(root), os.environ.get('PYTHONPATH', '')])
    return subprocess.run(
        [shutil.which('lint-imports') or 'lint-imports', '--no-cache', '--config', 'setup.toml'],
        cwd=root,
        env={**os.environ, 'PYTHONPATH': path, 'NO_COLOR': '1', 'COLUMNS': '400'},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_imports_upward_break_their_contract(tmp_path: pathlib.Path) -> None:
    """In a tree with all our modules, empty; each import stands where it could be overlooked."""
    pytest.importorskip('importlinter', reason='import-linter is not installed')
    for tree in TREES:
        for path in (ROOT / tree).rglob('*.py'):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.touch()
            if tree != 'test':
                (copy.parent / '__init__.py').touch()
    # What the contracts leave out is not there, which import-linter takes for a mistake.
    contracts = re.sub(r'(?m)^ignore_imports = .*$', '', (ROOT / 'pyproject.toml').read_text())
    (tmp_path / 'setup.toml').write_text(contracts)
    done = lint(tmp_path)
    assert done.returncode == 0 and ' 0 broken' in done.stdout, done.stdout + done.stderr
    for i, (name, line, _) in enumerate(UPWARD):
        path = tmp_path / 'streamvlm_ros' / name
        assert path.exists(), name
        path.write_text(('', TYPE_CHECKING, IN_FUNCTION)[i % 3] + line + '\n')
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    for name, _, contract in UPWARD:
        module = 'streamvlm_ros.' + name.removesuffix('.py').replace('/', '.')
        assert f'{contract} BROKEN' in done.stdout, done.stdout
        assert f'{module} -> ' in done.stdout.split('Broken contracts')[1], (name, done.stdout)
