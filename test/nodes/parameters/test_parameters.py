# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The table of parameters: what it lets through, and how it says no."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from streamvlm_ros.engine import StreamSettings
from streamvlm_ros.nodes.parameters.camera_names import parse_names
from streamvlm_ros.nodes.parameters.parameter import ParameterError
from streamvlm_ros.nodes.parameters.parameters import (
    check_changes,
    check_values,
    markdown_table,
    stream_settings,
)
from streamvlm_ros.nodes.parameters.table import PARAMETERS


def test_defaults_are_the_engines() -> None:
    assert stream_settings(check_values({})) == StreamSettings()


def test_every_parameter_is_described() -> None:
    for parameter in PARAMETERS:
        assert parameter.description.endswith('.')
        assert parameter.check(parameter.default) == parameter.default
        if type(parameter.default) in (int, float):
            assert parameter.range_text()


def test_whole_number_for_a_number() -> None:
    value = check_values({'sample_rate': 2})['sample_rate']
    assert isinstance(value, float)


@pytest.mark.parametrize(
    ('values', 'sentence'),
    [
        ({'sample_rat': 2.0}, "'sample_rat' is unknown; did you mean 'sample_rate'?"),
        ({'sample_rate': -1.0}, 'must be from 0 to 240, not -1.0.'),
        ({'sample_rate': float('nan')}, 'must be from 0 to 240, not nan.'),
        ({'sample_rate': 0.0009}, "'sample_rate' cannot be that: sample_rate is 0.0009 Hz"),
        ({'sample_rate': 5e-324}, 'give 0 (every frame) or at least 0.001 Hz.'),
        ({'sample_rate': 0.0, 'time_source': 'uniform'}, 'needs it above 0'),
        ({'late_tolerance': float('nan')}, 'must be from 0 to 3600, not nan.'),
        ({'max_gap': 0.0}, 'must be from 0.1 to 1e+09, not 0.0.'),
        ({'sample_rate': 'fast'}, "must be a number, not 'fast'."),
        ({'temperature': 1e-9}, 'cannot be that: temperature is 1e-09; give 1e-06 to 100'),
        ({'repetition_penalty': -1.0}, 'must be from 0 to 100, not -1.0.'),
        ({'top_k': -1}, 'must be from 0 to 4294967295, not -1.'),
        ({'generation': 'greedy'}, "must be one of model, plain, not 'greedy'."),
        ({'chunk_frames': 5}, 'must be from 2 to 8 in steps of 2, not 5.'),
        ({'chunk_frames': True}, 'must be a whole number, not True.'),
        ({'chunk_frames': 4.0}, 'must be a whole number, not 4.0.'),
        ({'model': 7}, 'must be a text, not 7.'),
        ({'dtype': 'int8'}, "must be one of auto, float32, bfloat16, float16, not 'int8'."),
        ({'min_pixels': 20000, 'max_pixels': 10000}, "'min_pixels' (20000) must not be larger"),
        ({'policy': 'mine'}, 'must be one of frames_first, answers_first, balanced'),
        ({'cameras': 'front, 2nd'}, "names '2nd', which is not a namespace: use letters"),
        ({'cameras': '/front'}, "names '/front', which is not a namespace"),
        ({'cameras': 'front rear'}, "names 'front rear', which is not a namespace"),
        ({'cameras': 'front, rear,front'}, "'cameras' names 'front' twice."),
        ({'cameras': [1, 2]}, "'cameras' must be a text, not [1, 2]."),
        ({'watches': ['a', 'b']}, "'watches' must be a text, not ['a', 'b']."),
        ({'model': None}, "'model' is given without a value; it must be a text."),
        ({'reliability': 'best'}, 'must be one of auto, reliable, best_effort'),
        ({'watches': 'door | Is it open?'}, "is not of the form 'name | question | choice"),
    ],
)
def test_refused_with_a_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError) as refused:
        check_values(values)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ('given', 'names'),
    [
        ('', []),
        (None, []),
        (' front ,left/rear_2, ', ['front', 'left/rear_2']),
        (['a', 'b'], ['a', 'b']),
    ],
)
def test_names_of_cameras(given: Any, names: list[str]) -> None:
    """As a text or, in a YAML file, as a list."""
    assert parse_names(str(check_values({'cameras': given})['cameras'])) == names


def test_only_what_a_node_has_can_be_set_on_it() -> None:
    current = {'sample_rate': 2.0, 'chunk_frames': 4}
    changes = {'sample_rate': 1, 'model': 'other', 'use_sim_time': True}
    assert check_changes(current, changes, configured=True) == {'sample_rate': 1.0}
    with pytest.raises(ParameterError, match='at least'):
        check_changes(current, {'sample_rate': 1e-310}, configured=True)


def test_documentation_has_the_table() -> None:
    page = pathlib.Path(__file__).parents[3] / 'docs' / 'interfaces.md'
    assert markdown_table() in page.read_text()
