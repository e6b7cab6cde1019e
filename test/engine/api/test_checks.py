# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Values of a wrong type end in a sentence at every door; NumPy's scalars are taken."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
from typing import Any

import numpy as np
import pytest
from support.streams import clip, everything, stream

from streamvlm_ros.engine import StreamSettings, StreamWorker, VideoStreamingInference
from streamvlm_ros.errors import InvalidRequestError

HALF = 'What \udc00?'
TEXTS = (None, 3, b'What?', HALF, ['What?'])
LISTS = (None, 3, 'red', b'red', {'red', 'green'}, {'red': 1, 'green': 2}, iter(['red', 'green']))
ITEMS = ([1, 2], ['red', None], ['red', b'green'], ['red', HALF])
NUMBERS = (None, '1', True, [1.0], 1j, float('nan'), float('inf'), 10**400)
INTEGERS = (None, '1', True, 1.5, float('nan'), float('inf'))
FLAGS = (None, 'yes', 1, 0.0)
PATHS = (None, 3, b'/tmp/x', ['x'])
Call = Callable[[VideoStreamingInference, Any], object]
DOORS: dict[str, tuple[Call, tuple]] = {
    'ask': (lambda engine, x: engine.ask(x), TEXTS),
    'ask.max_new_tokens': (lambda engine, x: engine.ask('What?', x), INTEGERS),
    'ask.update_state': (lambda engine, x: engine.ask('What?', 3, x), FLAGS),
    'ask.temperature': (lambda engine, x: engine.ask('What?', 3, temperature=x), NUMBERS),
    'ask.top_p': (lambda engine, x: engine.ask('What?', 3, top_p=x), NUMBERS),
    'ask.seed': (lambda engine, x: engine.ask('What?', 3, seed=x), INTEGERS),
    'ask.sample': (lambda engine, x: engine.ask('What?', 3, sample=x), FLAGS),
    'ask.generation': (lambda engine, x: engine.ask('What?', 3, generation=x), (*TEXTS, 'mine')),
    'choose': (lambda engine, x: engine.ask_choice(x, ['a', 'b']), TEXTS),
    'choose.choices': (lambda engine, x: engine.ask_choice('Which?', x), LISTS + ITEMS),
    'watch': (lambda engine, x: engine.watch(x, ['a', 'b']), TEXTS),
    'watch.choices': (lambda engine, x: engine.watch('Which?', x), LISTS + ITEMS),
    'watch.threshold': (lambda engine, x: engine.watch('?', ['a', 'b'], threshold=x), NUMBERS),
    'watch.hold': (lambda engine, x: engine.watch('?', ['a', 'b'], hold=x), INTEGERS),
    'watch.name': (lambda engine, x: engine.watch('?', ['a', 'b'], name=x), TEXTS),
    'frame_id': (lambda engine, x: engine.append_frame(clip(1, 1)[0], 9.0, x), TEXTS),
    'stamp': (lambda engine, x: engine.append_frame(clip(1, 1)[0], x), NUMBERS[1:]),
    'fps': (lambda engine, x: engine.append_video_chunk(clip(1, 1), x), NUMBERS[1:]),
    'rate': (lambda engine, x: engine.set_sample_rate(x), NUMBERS),
    'save': (lambda engine, x: engine.save(x), PATHS),
    'load': (lambda engine, x: engine.load(x), PATHS),
    'worker.choices': (lambda engine, x: StreamWorker(engine).ask_choice('?', x), LISTS),
    'worker.timeout': (lambda engine, x: StreamWorker(engine).ask('?', timeout=x), NUMBERS),
}


@pytest.fixture(scope='module')
def engine() -> VideoStreamingInference:
    shown = stream(sample_rate=2.0)
    shown.append_video_chunk(clip(0, 5))
    return shown


@pytest.mark.parametrize('door', DOORS)
def test_a_wrong_type_is_refused(engine: VideoStreamingInference, door: str) -> None:
    call, values = DOORS[door]
    before = everything(engine)
    for value in values:
        with pytest.raises(InvalidRequestError) as caught:
            call(engine, value)
        assert len(str(caught.value)) > 20 and str(caught.value).endswith('.'), value
    assert everything(engine) == before and engine.watches() == ()


@pytest.mark.parametrize('field', dataclasses.fields(StreamSettings), ids=lambda each: each.name)
def test_settings(field: dataclasses.Field) -> None:
    kind = type(field.default)
    wrong = {bool: FLAGS, float: NUMBERS, int: INTEGERS, str: (None, 3, b'stamp', HALF)}[kind]
    for value in wrong:
        with pytest.raises(InvalidRequestError, match=field.name):
            StreamSettings(**{field.name: value})
    taken = {bool: np.bool_, float: np.float32, int: np.int64, str: np.str_}[kind](field.default)
    made = getattr(StreamSettings(**{field.name: taken}), field.name)
    assert type(made) is kind and made == field.default


def test_numpys_scalars_are_taken(engine: VideoStreamingInference) -> None:
    answer = engine.ask(
        np.str_('What?'), np.int32(3), np.bool_(False), np.float32(0), np.float64(1)
    )
    assert answer.text == engine.ask('What?', 3).text
    array = np.array(['red', 'green'])
    assert engine.ask_choice('Which?', array) == engine.ask_choice('Which?', ['red', 'green'])
    watch = engine.watch('Is it?', array, threshold=np.float32(0.5), hold=np.uint8(2))
    assert (type(watch.threshold), type(watch.hold), watch.choices) == (
        float,
        int,
        ('red', 'green'),
    )
    engine.unwatch('watch_1')
