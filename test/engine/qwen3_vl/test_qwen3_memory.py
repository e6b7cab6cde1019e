# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a streamed Qwen3-VL keeps: eviction, positions counted anew, turns, branches, files."""

from __future__ import annotations

import pytest
from support.models.random_models import random_clip
from support.models.random_qwen3 import processor, random_model, SHAPES, write_folder
from support.reference.play import answer_of, Family, run_case
from support.reference.qwen3 import TimedStream
from support.streams import everything
from support.whole import sampled
import torch

from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.kvcache.entries import EntryKind
from streamvlm_ros.engine.serving.loading import load_streams


def stream(shape: str = 'grouped', **settings) -> VideoStreamingInference:
    """Return an engine on a random model."""
    return VideoStreamingInference(
        random_model(shape),
        processor(),
        settings=StreamSettings(**{'sample_rate': 0.0, **settings}),
    )


def reference(shape: str, chunk: int, append: bool, *rest) -> TimedStream:
    """Return the reference; every patch is a segment of its own in both modes."""
    return TimedStream(shape, chunk, *rest)


FAMILY = Family(stream, reference, list(SHAPES), ((64, 64), (96, 64), (64, 128)), (220, 260, 330))


@pytest.mark.parametrize('seed', sampled(range(24), 3))
def test_bounded_memory_equals_the_masked_history(seed):
    """Answers are those of one forward over everything, masked by what was gone."""
    run = run_case(seed, family=FAMILY)[0]
    assert run.evicted or seed not in (0, 1)


@pytest.mark.parametrize('seed', sampled(range(50, 68), 2))
def test_positions_counted_anew(seed):
    """The same where positions pass a limit: gaps close, alike on all axes."""
    run = run_case(seed, rebase_position=270, family=FAMILY)[0]
    assert run.rebased or seed not in (50, 51)


def written(engine: VideoStreamingInference) -> list[str]:
    """Return the time that stands before each kept patch, found in what is kept of its ids.

    A patch's mark has the ids of its text, as a set.
    """
    names = processor().tokenizer
    return [
        ''.join(sorted(names.decode([each]) for each in entry.ids if each < 256))
        for entry in engine.stream.cache.entries
        if entry.info.kind is EntryKind.MARK and len(entry.ids) > 1
    ]


def test_written_times_stay_when_positions_are_counted_anew():
    """They still count from the stream's first frame; those of a new epoch begin again."""
    engine = stream(chunk_frames=2, capacity=220, rebase_position=300)
    times = []
    for index, image in enumerate(random_clip(3, 50, 64, 64)):
        engine.append_frame(image, 100 * 10**9 + index * 10**9 // 2)
        if index % 2:
            times.append(f'<{index / 2 - 0.25:.1f} seconds>')
            kept = written(engine)
            expected = [''.join(sorted(set(each))) for each in times[-len(kept) :]]
            assert kept == expected
    assert engine.stream.cache.rebased > 1
    assert times[-1] == '<24.2 seconds>'
    assert engine.stream.state.last_cache_position <= 400
    engine.append_frame(random_clip(4, 1, 64, 64)[0], 10**9)  # far back: another epoch
    engine.append_frame(random_clip(4, 1, 64, 64)[0], 2 * 10**9)
    assert written(engine) == [''.join(sorted(set('<0.5 seconds>')))]


def test_a_still_scene_is_left_out_and_time_goes_on():
    """The text before the next patch that is kept tells how long nothing changed."""
    engine = stream(chunk_frames=2, skip_static=2.0)
    [first], [other] = random_clip(5, 1, 64, 64), random_clip(6, 1, 64, 64)
    for index in range(20):
        engine.append_frame(first if index < 18 else other, index * 10**9)
    assert engine.get_cache_info().skipped_patches == 8
    assert written(engine) == [
        ''.join(sorted(set(f'<{each} seconds>'))) for each in ('0.5', '18.5')
    ]


def test_answers_together_while_frames_come():
    """Open answers share passes, and each is what it is alone; a watch is scored on the way."""
    alone, together = [], []
    for engine, each_alone in ((stream(), True), (stream(), False)):
        opened = []
        for index, image in enumerate(random_clip(7, 12, 64, 96)):
            engine.append_frame(image, index * 10**9 // 2)
            if index in (3, 6, 9):
                if each_alone:
                    alone.append(answer_of(engine, f'And {index}?', 6, False)[0])
                else:
                    opened.append(engine.questions.open(f'And {index}?', 6))
        while running := [each for each in opened if not each.ended]:
            engine.questions.decode(running)
        together += [each.tokens for each in opened]
        for each in opened:
            engine.questions.close(each)
    assert together == alone


def test_asking_leaves_every_byte():
    """Keys, values, slots and positions are those of a stream without questions."""
    states = []
    for asked in (False, True):
        engine = stream('one_kv_head', chunk_frames=4, capacity=260)
        for index, image in enumerate(random_clip(8, 24, 64, 96)):
            engine.append_frame(image, index * 10**9 // 2)
            if asked and index % 5 == 2:
                engine.ask('What?', 4)
                engine.ask_choice('Which?', ['a', 'bc'])
        states.append(everything(engine))
    assert states[0] == states[1]


def test_a_folder_a_restart_and_few_bits(tmp_path):
    """A stream of a folder goes on in another process's model; int8 and int4 run."""
    folder = write_folder(tmp_path / 'model')

    def load(**how) -> VideoStreamingInference:
        settings = StreamSettings(sample_rate=0.0, chunk_frames=4)
        [engine] = load_streams(str(folder), [settings], device='cpu', dtype='float32', **how)
        return engine

    engine, other = load(), load()
    frames = random_clip(9, 14, 100, 130)
    for index, image in enumerate(frames[:9]):
        engine.append_frame(image, index * 10**9 // 2)
    engine.ask('Kept?', 3, update_state=True)
    engine.save(tmp_path / 'stream')
    other.load(tmp_path / 'stream')
    for each in (engine, other):
        for index, image in enumerate(frames[9:], start=9):
            each.append_frame(image, index * 10**9 // 2)
    assert everything(engine) == everything(other)
    tokens, logits = answer_of(engine, 'Now?', 4, False)
    again, same = answer_of(other, 'Now?', 4, False)
    assert tokens == again and torch.equal(logits, same)
    for quantization, most in (('int8', 0.5), ('int4', 8.0)):
        rounded = load(quantization=quantization)
        for index, image in enumerate(frames[:9]):
            rounded.append_frame(image, index * 10**9 // 2)
        exact = load()
        for index, image in enumerate(frames[:9]):
            exact.append_frame(image, index * 10**9 // 2)
        apart = answer_of(rounded, 'Now?', 1, False)[1] - answer_of(exact, 'Now?', 1, False)[1]
        assert 0 < apart.abs().max() < most
