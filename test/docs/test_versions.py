# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every place that states a version or a range of versions states the same.

The ranges of PyTorch, transformers, torchao and PyAV are decided in streamvlm_ros/versions.py;
others are refused when the engine, or what reads videos, is imported. The package's own version
is decided in package.xml.
"""

from __future__ import annotations

import re
import sys
from typing import Any
from xml.etree import ElementTree

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from support.pages.blocks import name_of, PAGES, ROOT
import yaml

from streamvlm_ros import versions as stated
from streamvlm_ros.versions import OPTIONAL, TESTED, VIDEO

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PYTHONS = ('3.10', '3.11', '3.12', '3.13')
RANGE = re.compile(r'\b(torch|transformers|torchao)(>=[\d.]+,<[\d.]+)')


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']


def requirements(name: str) -> list[Requirement]:
    lines = (ROOT / 'requirements' / name).read_text().splitlines()
    return [Requirement(line) for line in lines if re.match(r'\w', line)]


def test_the_package_has_one_version() -> None:
    version = ElementTree.parse(ROOT / 'package.xml').getroot().findtext('version')
    changelog = re.search(r'^(\d+\.\d+\.\d+) ', (ROOT / 'CHANGELOG.rst').read_text(), re.MULTILINE)
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert project()['version'] == version == citation['version']
    assert changelog is not None and changelog[1] == version


def test_tested_ranges_are_the_same_everywhere() -> None:
    given = project()
    declared = [*given['dependencies'], *given['optional-dependencies']['quantization']]
    for name, versions in {**TESTED, **OPTIONAL, **VIDEO}.items():
        (own,) = [Requirement(each) for each in declared if Requirement(each).name == name]
        (distribution,) = [r for r in requirements('distribution.txt') if r.name == name]
        assert own.specifier == distribution.specifier == versions, name
        pins = [r for r in requirements('engine.txt') if r.name == name]
        for pin in pins:
            (exact,) = pin.specifier
            assert exact.operator == '==' and exact.version in versions, name
        assert pins


def test_ranges_in_the_documentation_are_the_tested_ones() -> None:
    found = [(name_of(page), *each) for page in PAGES for each in RANGE.findall(page.read_text())]
    assert found
    for page, name, text in found:
        assert SpecifierSet(text) == {**TESTED, **OPTIONAL}[name], (page, name)


def test_what_is_pinned_twice_is_pinned_alike() -> None:
    """constraints.txt has every pin of engine.txt, build.txt and test.txt; triton is torch's."""
    known = {(each.name, each.specifier) for each in requirements('constraints.txt')}
    for name in ('engine.txt', 'build.txt', 'test.txt'):
        for requirement in requirements(name):
            pin = requirement.name, requirement.specifier
            assert requirement.name == 'triton' or pin in known, f'{name}: run make lock'


def test_pythons() -> None:
    given = project()
    named = [each.rpartition(' ')[2] for each in given['classifiers'] if ':: 3.' in each]
    assert tuple(named) == PYTHONS
    ends = ['.'.join(map(str, version)) for version in stated.PYTHONS]
    assert ends == [PYTHONS[0], PYTHONS[-1]]
    assert given['requires-python'] == f'>={PYTHONS[0]}'
    first, last = (tuple(Version(PYTHONS[i]).release) for i in (0, -1))
    assert f'{first} <= sys.version_info[:2] <= {last}' in (
        (ROOT / 'scripts' / 'find_python').read_text()
    )
    for page in ('README.md', 'docs/install.md'):
        assert f'Python {PYTHONS[0]}–{PYTHONS[-1]}' in (ROOT / page).read_text(), page


def test_what_is_needed_of_pypi_is_needed_of_rosdep_too() -> None:
    """Those with `-pip` come from distribution.txt, as docs/install.md says."""
    root = ElementTree.parse(ROOT / 'package.xml').getroot()
    keys = {element.text for element in root.findall('exec_depend')}
    pip = {
        'mcap': 'mcap',
        'torch': 'pytorch',
        'rosbags': 'rosbags',
        'transformers': 'transformers',
    }
    assert {f'python3-{name}-pip' for name in pip.values()} <= keys
    names = {requirement.name for requirement in requirements('distribution.txt')}
    assert pip.keys() | {'av'} <= names
    assert 'python3-av' in keys  # too old in Ubuntu: docs/install.md skips it
    assert {'python3-numpy', 'python3-opencv'} <= keys
