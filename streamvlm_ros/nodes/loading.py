# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From checked parameters to engines. No ROS here: `streamvlm replay` loads the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamvlm_ros.engine import load_streams, resolve_model, VideoStreamingInference
from streamvlm_ros.nodes.parameters.parameter import LONGEST
from streamvlm_ros.nodes.parameters.parameters import stream_settings
from streamvlm_ros.nodes.texts import sentence

EMBEDDED = 'tiny'


def limits_of_model(name: str) -> str:
    """Return a sentence on what the embedded model cannot do; '' for every other model."""
    if resolve_model(name) != resolve_model(EMBEDDED):  # its folder, given by hand, too
        return ''
    return (
        f'The model is {EMBEDDED}, which knows the drawn scenes of streamvlm demo and nothing '
        "else; for a camera's pictures set model:=Qwen/Qwen2.5-VL-3B-Instruct, which streamvlm "
        'pull fetches.'
    )


def load_engine(
    values: Mapping[str, Any], log: Callable[[str], object]
) -> VideoStreamingInference:
    """Load the model of some checked parameters, for one stream; see `load_engines`."""
    return load_engines([values], log)[0]


def load_engines(
    each: Sequence[Mapping[str, Any]], log: Callable[[str], object]
) -> list[VideoStreamingInference]:
    """Load a model once, for several streams.

    Args:
        each: of `parameters.check_values`, for every stream; model, device, dtype and
            quantization are those of the first.
        log: called with each step, one printable sentence a call.

    Raises:
        StreamError, OSError, ValueError: as `load_streams`.

    """
    first = each[0]
    return load_streams(
        first['model'],
        [stream_settings(values) for values in each],
        device=first['device'],
        dtype=first['dtype'],
        quantization=first['quantization'],
        log=lambda text: log(sentence(text, 2 * LONGEST)),
    )
