# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters and parameter files that match nothing are told, with the nearest right name."""

from __future__ import annotations

import pathlib

import pytest

from streamvlm_ros.nodes.parameters.unmatched import unmatched_files, unmatched_parameters

TOPIC = '/camera/image_raw'
QOS = {f'qos_overrides.{TOPIC}.subscription.{p}' for p in ('history', 'depth', 'reliability')}
KNOWN = {'sample_rate', 'use_sim_time', 'model', *QOS}
NODES = ['/front/streamvlm']


@pytest.mark.parametrize(
    ('name', 'sentence'),
    [
        ('sampel_rate', "'sampel_rate' is unknown; did you mean 'sample_rate'? It is ignored."),
        ('use_sim_tim', "did you mean 'use_sim_time'?"),
        ('zzz', "'zzz' is unknown; docs/interfaces.md lists them all. It is ignored."),
        (
            'qos_overrides./image.subscription.depth',
            f"after remapping; did you mean 'qos_overrides.{TOPIC}.subscription.depth'?",
        ),
        (
            f'qos_overrides.{TOPIC}.subscripton.depth',
            f"did you mean 'qos_overrides.{TOPIC}.subscription.depth'?",
        ),
        (
            f'qos_overrides.{TOPIC}.subscription.durability',
            'of this subscription depth, history, reliability can be overridden.',
        ),
        ('x' * 5000, 'is unknown'),
    ],
)
def test_parameter(name: str, sentence: str) -> None:
    (said,) = unmatched_parameters([name, 'model'], KNOWN)
    assert sentence in said
    assert len(said) < 700


def test_parameters_that_are_known() -> None:
    assert unmatched_parameters(KNOWN, KNOWN) == []


def write(folder: pathlib.Path, *sections: str) -> list[str]:
    text = ''.join(f'"{name}":\n  ros__parameters: {{sample_rate: 4}}\n' for name in sections)
    file = folder / 'robot.yaml'
    file.write_text(text)
    return ['streamvlm', '--ros-args', '--params-file', str(file)]


@pytest.mark.parametrize(
    'section',
    [
        '/**', '**', '/front/streamvlm', 'front/streamvlm', '/*/streamvlm', '/front/*',
        '/front/**', '/**/streamvlm', '/front/**/streamvlm',
    ],
)  # fmt: skip
def test_section_that_matches(tmp_path: pathlib.Path, section: str) -> None:
    assert unmatched_files(write(tmp_path, section), NODES) == []


@pytest.mark.parametrize(
    'section', ['streamvlm', '/streamvlm', '/*', '*', '/rear/streamvlm', '/a/front/streamvlm']
)
def test_file_for_others(tmp_path: pathlib.Path, section: str) -> None:
    (said,) = unmatched_files(write(tmp_path, section), NODES)
    assert f"robot.yaml is for '/{section.strip('/')}', and this process has no such node" in said
    assert "did you mean '/front/streamvlm'?" in said and 'Nothing in it is used' in said


def test_part_that_is_nearly_ours(tmp_path: pathlib.Path) -> None:
    arguments = write(tmp_path, '/**', '/front/stremvlm', '/rear/streamvlm', '/front/driver')
    (said,) = unmatched_files(arguments, NODES)
    assert "has a part for '/front/stremvlm', and this process has no such node" in said


def test_namespaces_in_each_other(tmp_path: pathlib.Path) -> None:
    file = tmp_path / 'nested.yaml'
    file.write_text('front:\n  streamvlm:\n    ros__parameters: {sample_rate: 4}\n')
    assert unmatched_files(['--params-file', str(file)], NODES) == []


@pytest.mark.parametrize('text', ['', '- a\n', 'a: 1\n', '/**:\n  ros__parameters:\n'])
def test_file_without_parameters(tmp_path: pathlib.Path, text: str) -> None:
    file = tmp_path / 'empty.yaml'
    file.write_text(text)
    (said,) = unmatched_files(['--params-file', str(file)], NODES)
    assert 'gives no parameter: write them below' in said


def test_argument_for_another_node() -> None:
    arguments = ['--ros-args', '-p', 'streamvlm:model:=tiny', '-p', 'model:=a:b', '-r', 'a:b:=c']
    (said,) = unmatched_files(arguments, NODES)
    assert "'streamvlm:model' is for the node 'streamvlm', and this process has no" in said
    assert unmatched_files(arguments, ['/streamvlm']) == []
