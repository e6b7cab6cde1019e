# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ways to stretch positions: which are run, which are refused, and how far a stream then goes."""

from __future__ import annotations

import json
import pathlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from streamvlm_ros.engine import resolve_model
from streamvlm_ros.engine.models.folder.rope import FIXED, stretched_positions
from streamvlm_ros.engine.models.hub.size import build_empty
from streamvlm_ros.engine.models.qwen2_5_vl.config import load_config
from streamvlm_ros.engine.models.qwen2_5_vl.model import QWEN2_5_VL

YARN = {'rope_type': 'yarn', 'factor': 4.0, 'original_max_position_embeddings': 320}
FACTORS = {'short_factor': [1.0] * 32, 'long_factor': [2.0] * 32}


def with_rope(folder: pathlib.Path, **rope: object) -> pathlib.Path:
    """Write tiny's configuration with other rope parameters; None takes one away."""
    values = json.loads(pathlib.Path(resolve_model('tiny'), 'config.json').read_text())
    parameters = values['text_config']['rope_parameters'] | rope
    values['text_config']['rope_parameters'] = {
        name: value for name, value in parameters.items() if value is not None
    }
    (folder / 'config.json').write_text(json.dumps(values))
    return folder


def test_every_way_of_transformers_is_run_or_refused() -> None:
    """A new one has to be judged here."""
    assert set(ROPE_INIT_FUNCTIONS) == set(FIXED) - {'default'} | {'dynamic', 'longrope'}


@pytest.mark.parametrize(
    'rope, sentence',
    [
        (
            {'rope_type': 'dynamic', 'factor': 2.0},
            "rope_type 'dynamic' is not run: its frequencies change with the number of tokens",
        ),
        (
            {'rope_type': 'longrope', 'factor': 2.0, **FACTORS},
            "rope_type 'longrope' is not run: its frequencies change",
        ),
        ({'rope_type': 'spiral'}, "rope_type 'spiral' is not run. default, linear, llama3, pro"),
        ({'rope_theta': 0}, 'rope_theta is 0; it must be a number above 1'),
        ({'rope_theta': 'x'}, 'rope_theta'),
        ({'partial_rotary_factor': 0.5}, r'partial_rotary_factor is 0\.5; the whole head'),
        ({**YARN, 'factor': 0}, 'no table of 32 frequencies'),
        ({**YARN, 'factor': 'four'}, 'no table of 32 frequencies|four'),
        ({**YARN, 'original_max_position_embeddings': 0}, 'division by zero'),
        ({**YARN, 'attention_factor': float('nan')}, 'no table of 32 frequencies'),
        ({**YARN, 'attention_factor': -1.0}, 'no table of 32 frequencies'),
        ({'rope_type': 'linear', 'factor': -2.0}, 'no table of 32 frequencies'),
        ({'rope_type': 'linear'}, 'factor'),
        ({'mrope_section': [16, 24]}, r'mrope_section is \[16, 24\]'),
        ({'mrope_section': None}, r'mrope_section is \[16, 24, 24\]'),
    ],
)
def test_what_is_refused(rope: dict[str, Any], sentence: str, tmp_path: pathlib.Path) -> None:
    """With a sentence that names the file, before anything is built."""
    with pytest.raises(ValueError, match=sentence) as caught:
        load_config(with_rope(tmp_path, **rope))
    assert 'config.json' in str(caught.value)


@pytest.mark.parametrize('kind', FIXED)
def test_a_model_is_built_without_memory(kind: Any, tmp_path: pathlib.Path) -> None:
    """On the meta device, as before weights are loaded and for what ``pull`` says."""
    more = {'low_freq_factor': 1.0, 'high_freq_factor': 4.0} if kind == 'llama3' else {}
    stretched = {**YARN, 'rope_type': kind, **more} if kind != 'default' else {}
    folder = with_rope(tmp_path, **stretched)
    model = build_empty(folder, torch.bfloat16)
    rotary = model.model.language_model.rotary_emb
    with torch.device('cpu'):
        expected = QWEN2_5_VL.build(folder).model.language_model.rotary_emb
    assert model.token_table.is_meta
    assert rotary.attention_scaling == expected.attention_scaling
    assert (rotary.attention_scaling > 1) == (kind == 'yarn')


@pytest.mark.parametrize(
    'rope, most, expected',
    [
        ({'rope_type': 'default'}, 128000, 32768),
        ({'rope_type': 'default'}, 320, 320),
        (
            {'rope_type': 'default', 'factor': 4.0, 'original_max_position_embeddings': 1},
            128000,
            32768,
        ),
        # As Qwen's own instructions have it.
        (
            {'rope_type': 'yarn', 'factor': 4.0, 'original_max_position_embeddings': 32768},
            128000,
            128000,
        ),
        (
            {'rope_type': 'yarn', 'factor': 2.0, 'original_max_position_embeddings': 8192},
            32768,
            16384,
        ),
        (
            {'rope_type': 'yarn', 'factor': None, 'original_max_position_embeddings': 16384},
            32768,
            32768,
        ),
        ({'rope_type': 'linear', 'factor': 2.0}, 128000, 65536),
        ({'rope_type': 'linear', 'factor': 0.5}, 128000, 32768),
    ],
)
def test_positions_that_are_left(rope: dict[str, Any], most: int, expected: int) -> None:
    """As many as were trained, times the factor, within the configuration's own limit."""
    text = SimpleNamespace(rope_parameters=rope, max_position_embeddings=most)
    assert stretched_positions(text, 32768) == expected
