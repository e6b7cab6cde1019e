# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ament linters, and what stands in for those that PyPI does not have.

ament_copyright has no wheel, and knows licenses by their text, not by SPDX lines. ament_xmllint
has one, but needs the program xmllint and fetches the schema from the network; whether package.xml
is as the schema says, test_package.py asks catkin_pkg. C++ is not here to be linted.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = ('.action', '.cmake', '.msg', '.py', '.rviz', '.sh', '.srv', '.txt', '.xml', '.yaml', '')
# Outputs of benchmarks are as they were printed.
NOT_OURS = {'build', 'install', 'log', 'models', 'results', '__pycache__', 'shared'}
NO_SOURCES = {'LICENSE'}
SHIPPED = ('streamvlm_ros', 'examples', 'launch')


def source_files() -> list[pathlib.Path]:
    files = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS and name[0] != '.']
        files += [pathlib.Path(folder) / name for name in names if name[0] != '.']
    return sorted(f for f in files if f.suffix in SOURCES and f.name not in NO_SOURCES)


SOURCE_FILES = source_files()


def files_of(*suffixes: str) -> list[pathlib.Path]:
    return [file for file in SOURCE_FILES if file.suffix in suffixes]


def folders(*names: str) -> list[str]:
    return [str(ROOT / name) for name in names if (ROOT / name).exists()]


def name(file: pathlib.Path) -> str:
    return str(file.relative_to(ROOT))


def test_flake8(tmp_path: pathlib.Path) -> None:
    """Its own settings, but that a slice may have blanks around its colon, as in x[a : b]."""
    linter = pytest.importorskip('ament_flake8.main', reason='ament_flake8 is not installed')
    own = pathlib.Path(linter.__file__).parent / 'configuration' / 'ament_flake8.ini'
    settings = tmp_path / 'flake8.ini'
    settings.write_text(own.read_text().replace('extend-ignore = ', 'extend-ignore = E203,'))
    # A process of its own: flake8 forks, and what other tests hold of DDS does not survive that.
    program = 'import sys; from ament_flake8.main import main; sys.exit(main())'
    command = [sys.executable, '-c', program, '--config', str(settings)]
    command += folders(*SHIPPED, 'scripts', 'training')
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pep257() -> None:
    """Without what ruff leaves out too, and the imperative, which ruff asks of functions only."""
    linter = pytest.importorskip('ament_pep257.main', reason='ament_pep257 is not installed')
    arguments = ['--convention', 'pep257', '--add-ignore', 'D105', 'D107', 'D401', '--']
    assert linter.main(argv=[*arguments, *folders(*SHIPPED, 'scripts', 'training')]) == 0


def test_cmake() -> None:
    linter = pytest.importorskip('ament_lint_cmake.main', reason='not installed: ament_lint_cmake')
    files = [ROOT / 'CMakeLists.txt', *files_of('.cmake')]
    assert linter.main(argv=[str(file) for file in files]) == 0


def test_copyright() -> None:
    assert len(SOURCE_FILES) > 100
    assert {file.suffix for file in SOURCE_FILES} == set(SOURCES) - {'.cmake'}
    lines = ('Copyright 2026 The streamvlm_ros authors', 'SPDX-License-Identifier: Apache-2.0')
    missing = [
        name(file)
        for file in SOURCE_FILES
        if not all(line in file.read_text()[:300] for line in lines)
    ]
    assert missing == []


@pytest.mark.parametrize('file', files_of('.xml'), ids=name)
def test_xml_is_well_formed(file: pathlib.Path) -> None:
    ElementTree.parse(file)


@pytest.mark.parametrize(
    'file', files_of('.action', '.cmake', '.msg', '.srv', '.txt', '.xml', '.yaml'), ids=name
)
def test_whitespace(file: pathlib.Path) -> None:
    text = file.read_text()
    assert '\t' not in text
    assert not re.search(r'[ \r]$', text, re.MULTILINE)
    assert text.endswith('\n') and not text.endswith('\n\n')
