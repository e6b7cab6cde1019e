# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""On a GPU `tiny` answers the demo's questions as it does on a CPU."""

from __future__ import annotations

import pytest

from streamvlm_ros.cli import demo_plan
from streamvlm_ros.engine import (
    load_processor,
    resolve_model,
    StreamQwenModel,
    StreamSettings,
    VideoStreamingInference,
)


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_the_demo_is_answered_right(dtype: str) -> None:
    """In float32 the passes run directly, in bfloat16 they are recorded."""
    path = resolve_model('tiny')
    model = StreamQwenModel.from_pretrained(path, dtype=dtype).to('cuda')
    engine = VideoStreamingInference(
        model, load_processor(path), 'cuda', settings=StreamSettings(sample_rate=0.0)
    )
    scene = demo_plan.make_plan().scene
    for frame, stamp_ns in zip(scene.frames, scene.stamps_ns):
        engine.append_frame(frame, stamp_ns)
    assert engine.ask('Which object left last?', 16)[0] == 'white ring'
    light = engine.ask_choice('What colour is the light now?', ['red', 'green', 'blue'])
    assert light.text == 'red'
