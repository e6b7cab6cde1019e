# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a configuration stretches positions for long contexts: which ways are run.

The tables are transformers' own (modeling_rope_utils.py): frequencies, and a factor for cosine and
sine.  A way is run if its table is made once.  Where it depends on the length of what was seen,
cached keys would keep the rotation of an earlier length, and a stream would not be the offline
model.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

FIXED = ('default', 'linear', 'llama3', 'proportional', 'yarn')


def check_rope(file: str, text: Any, half: int) -> None:
    """Check a text configuration's ``rope_parameters``.

    Args:
        file: that they stand in.
        text: the configuration, as transformers has standardised it.
        half: half the width of a head.

    Raises:
        ValueError: it is a way that is not run, or its numbers give no table.

    """
    rope = text.rope_parameters
    kind = rope['rope_type']
    if kind not in FIXED:
        why = (
            ': its frequencies change with the number of tokens, and cached keys keep theirs'
            if kind in ROPE_INIT_FUNCTIONS
            else ''
        )
        raise ValueError(
            f'{file}: rope_type {kind!r:.80} is not run{why}. {", ".join(FIXED)} are; without '
            'rope_scaling the model works within the positions that it was trained on.'
        )
    theta = rope.get('rope_theta')
    if isinstance(theta, bool) or not isinstance(theta, (int, float)) or not 1 < theta < math.inf:
        raise ValueError(f'{file}: rope_theta is {theta!r:.80}; it must be a number above 1.')
    part = rope.get('partial_rotary_factor')
    if kind != 'proportional' and part not in (None, 1):
        raise ValueError(
            f'{file}: partial_rotary_factor is {part!r:.80}; the whole head is rotated, or '
            "rope_type is 'proportional'."
        )
    if kind == 'default':
        return
    try:
        # Also where a model is built on the meta device.
        with torch.device('cpu'):
            table, scale = ROPE_INIT_FUNCTIONS[kind](text)
        good = table.shape == (half,) and bool((table.isfinite() & (table >= 0)).all())
        good = good and 0 < float(scale) < math.inf
        problem = 'not all frequencies are numbers'
    except Exception as error:
        # Whatever a value of another kind brings about inside transformers.
        good, problem = False, f'{type(error).__name__}: {error!s:.200}'
    if not good:
        raise ValueError(
            f'{file}: the rope parameters give no table of {half} frequencies for rope_type '
            f'{kind!r}: {problem}. They are {rope!s:.300}.'
        )


def stretched_positions(text: Any, trained: int) -> int:
    """Return how many positions a model can be used with.

    Args:
        text: a checked text configuration.
        trained: positions that the family was trained on without stretching.

    Returns:
        ``trained``, times the factor by which they are stretched, and no more than the
        configuration's ``max_position_embeddings``.

    """
    rope, most = text.rope_parameters, int(text.max_position_embeddings)
    if rope['rope_type'] == 'default':
        return min(most, trained)  # whatever else stands beside it
    original = rope.get('original_max_position_embeddings') or most
    factor = rope.get('factor') or (most / original if rope['rope_type'] == 'yarn' else 1)
    return min(most, int(min(trained, original) * max(1, factor)))
