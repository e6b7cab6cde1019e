# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every YAML in config/ holds only parameters of the table, with values that it accepts."""

from __future__ import annotations

import pathlib

import pytest
import yaml

from streamvlm_ros.nodes.parameters.parameters import check_values, stream_settings

CONFIG = pathlib.Path(__file__).parents[2] / 'config'


@pytest.mark.parametrize('file', sorted(CONFIG.glob('*.yaml')), ids=lambda file: file.name)
def test_values_are_accepted(file: pathlib.Path) -> None:
    content = yaml.safe_load(file.read_text())
    assert list(content) == ['/**']
    values = content['/**']['ros__parameters']
    assert stream_settings(check_values(values)).capacity == values['capacity']


def test_there_is_one_per_target() -> None:
    assert {file.stem for file in CONFIG.glob('*.yaml')} == {
        'workstation',
        'workstation_qwen3',
        'jetson',
        'jetson_qwen3',
        'cpu',
        'bag',
    }
