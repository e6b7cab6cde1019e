# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The package's own files: they agree with each other, and the generated interfaces with both."""

from __future__ import annotations

import pathlib
import re
import shutil
from xml.etree import ElementTree

import pytest

from streamvlm_ros.engine import ErrorCode

ROOT = pathlib.Path(__file__).resolve().parents[1]
INTERFACES = sorted(
    str(path.relative_to(ROOT))
    for folder, suffix in (('msg', 'msg'), ('srv', 'srv'), ('action', 'action'))
    for path in (ROOT / folder).glob(f'*.{suffix}')
)


def package() -> ElementTree.Element:
    return ElementTree.parse(ROOT / 'package.xml').getroot()


def test_package_xml() -> None:
    root = package()
    assert root.findtext('name') == 'streamvlm_ros'
    assert root.findtext('license') == 'Apache-2.0'
    assert root.findtext('export/build_type') == 'ament_cmake'
    assert 'rosidl_interface_packages' in [group.text for group in root.findall('member_of_group')]
    depends = [element.text for element in root if element.tag.endswith('depend')]
    assert sorted(depends) == sorted(set(depends)), 'a dependency is named twice'


def test_package_xml_passes_the_build_tools_own_check() -> None:
    catkin = pytest.importorskip('catkin_pkg.package', reason='catkin_pkg is not installed')
    warnings: list[str] = []
    catkin.parse_package(str(ROOT / 'package.xml'), warnings=warnings)
    assert warnings == []


def test_every_interface_is_built() -> None:
    cmake = (ROOT / 'CMakeLists.txt').read_text()
    built = re.findall(r'^  ((?:msg|srv|action)/\S+)$', cmake, re.MULTILINE)
    assert sorted(built) == INTERFACES


def test_the_programs_are_where_ros2_run_and_launch_look_for_them() -> None:
    ament = pytest.importorskip('ament_index_python', reason='ROS is not there: run make test')
    folder = pathlib.Path(ament.get_package_prefix('streamvlm_ros')) / 'lib' / 'streamvlm_ros'
    for program in ('streamvlm', 'streamvlm_node'):
        assert shutil.which(program, path=str(folder)) is not None, f'{folder}/{program}'


def test_every_package_that_cmake_needs_is_declared() -> None:
    needed = re.findall(r'find_package\((\S+)', (ROOT / 'CMakeLists.txt').read_text())
    of_cmake = {'Python3'}
    assert set(needed) - of_cmake <= {element.text for element in package()}


def test_the_license_is_complete() -> None:
    text = (ROOT / 'LICENSE').read_text()
    assert 'Apache License' in text and 'END OF TERMS AND CONDITIONS' in text


def test_error_codes_are_those_of_the_engine() -> None:
    srv = pytest.importorskip('streamvlm_ros.srv', reason='the interfaces are not built')
    from streamvlm_ros.action import AnswerQuestion

    for response in (srv.Ask.Response, srv.AskChoice.Response, AnswerQuestion.Result):
        constants = {code.name: getattr(response, code.name) for code in ErrorCode}
        assert constants == {code.name: code.value for code in ErrorCode}
        assert response().error_code == ErrorCode.NONE


def test_interface_files_list_no_other_error_codes() -> None:
    for name in INTERFACES:
        if name.startswith('msg/'):
            continue
        response = (ROOT / name).read_text().split('\n---\n')[1]
        constants = dict(re.findall(r'^uint8 ([A-Z_]+)=(\d+)', response, re.MULTILINE))
        assert constants == {code.name: str(code.value) for code in ErrorCode}, name


def test_messages_say_when_there_is_nothing() -> None:
    msg = pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built')
    answer = msg.Answer()
    assert answer.choice_index == msg.Answer.NO_CHOICE == -1
    assert answer.finish_reason not in (msg.Answer.STOP, msg.Answer.LENGTH, msg.Answer.CANCELED)
    status = msg.StreamStatus
    assert status().state not in range(status.LOADING, status.ERROR + 1)
