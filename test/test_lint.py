# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the ament linters check: copyright, xmllint, lint_cmake; flake8 and pep257 are ruff's."""

from __future__ import annotations

import os
import pathlib
import re
from xml.etree import ElementTree

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = ('.action', '.cmake', '.msg', '.py', '.rviz', '.sh', '.srv', '.txt', '.xml', '.yaml', '')
NOT_OURS = {'build', 'install', 'log', 'models', '__pycache__', 'shared'}
NO_SOURCES = {'LICENSE'}
# REP 149: tags and how many of each there may be.
ONE = {'name', 'version', 'description', 'export'}
SOME = {'maintainer', 'license'}
ANY = {
    'author', 'build_depend', 'build_export_depend', 'buildtool_depend', 'buildtool_export_depend',
    'conflict', 'depend', 'doc_depend', 'exec_depend', 'group_depend', 'member_of_group',
    'replace', 'test_depend', 'url',
}  # fmt: skip


def source_files() -> list[pathlib.Path]:
    files = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS and name[0] != '.']
        files += [pathlib.Path(folder) / name for name in names if name[0] != '.']
    return sorted(f for f in files if f.suffix in SOURCES and f.name not in NO_SOURCES)


SOURCE_FILES = source_files()


def files_of(*suffixes: str) -> list[pathlib.Path]:
    return [file for file in SOURCE_FILES if file.suffix in suffixes]


def name(file: pathlib.Path) -> str:
    return str(file.relative_to(ROOT))


def test_ruff_is_set_to_what_ament_flake8_and_pep257_check() -> None:
    """`make test` runs ruff; here only that nobody has switched the rules off."""
    settings = (ROOT / 'pyproject.toml').read_text()
    select = settings.partition('select = [')[2].partition('\n]')[0]
    assert {'B', 'C4', 'D', 'E', 'F', 'I', 'Q', 'W'} <= set(re.findall(r"'(\w+)'", select))
    assert 'line-length = 99' in settings
    assert "convention = 'pep257'" in settings
    assert "inline-quotes = 'single'" in settings


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


def test_package_xml_has_the_elements_of_format_3() -> None:
    root = ElementTree.parse(ROOT / 'package.xml').getroot()
    assert root.tag == 'package' and root.get('format') == '3'
    tags = [element.tag for element in root]
    assert set(tags) <= ONE | SOME | ANY
    assert all(tags.count(tag) == 1 for tag in ONE)
    assert all(tags.count(tag) >= 1 for tag in SOME)
    assert all(element.get('email') for element in root.findall('maintainer'))
    assert all((element.text or '').strip() for element in root if element.tag != 'export')
    assert re.fullmatch(r'\d+\.\d+\.\d+', root.findtext('version', ''))


@pytest.mark.parametrize('file', [ROOT / 'CMakeLists.txt', *files_of('.cmake')], ids=name)
def test_cmake(file: pathlib.Path) -> None:
    for number, line in enumerate(file.read_text().splitlines(), 1):
        where = f'{name(file)}:{number}'
        assert len(line) <= 140, where
        command = re.match(r'\s*(\w+)\s*\(', line)
        assert command is None or command[1].islower(), f'{where}: commands are lower-case'
        assert command is None or f'{command[1]}(' in line, f'{where}: a blank before ('
        assert not re.match(r'\s*(end\w+|else)\([^)]', line), f'{where}: the condition again'


@pytest.mark.parametrize(
    'file', files_of('.action', '.cmake', '.msg', '.srv', '.txt', '.xml', '.yaml'), ids=name
)
def test_whitespace(file: pathlib.Path) -> None:
    text = file.read_text()
    assert '\t' not in text
    assert not re.search(r'[ \r]$', text, re.MULTILINE)
    assert text.endswith('\n') and not text.endswith('\n\n')
