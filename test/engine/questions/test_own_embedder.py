# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors out of the model itself: rotation and biases are off, and `tiny` finds with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.quantization import biased_model
from streamvlm_ros.engine import load_streams, StreamError, StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.questions.own_embedder import chosen, OwnEmbedder
from streamvlm_ros.scenes.scene import HELD_OUT_SEED, make_scene

SECOND = 10**9


@pytest.fixture(scope='module')
def tiny() -> VideoStreamingInference:
    [engine] = load_streams('tiny', [StreamSettings()], device='cpu', dtype='float32')
    return engine


@pytest.fixture(scope='module')
def biased() -> VideoStreamingInference:
    model, processor = biased_model.build()
    settings = StreamSettings(capacity=800, min_pixels=56 * 56, max_pixels=56 * 56)
    return VideoStreamingInference(model, processor, settings=settings)


def embedder(engine: VideoStreamingInference, layers=None) -> OwnEmbedder:
    own = engine.questions.embedder()
    return OwnEmbedder(engine.model, own._prompt, engine.stream.pixels, layers)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (56, 56, 3), dtype=np.uint8)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_first_layer_sees_neither_place_nor_bias(biased):
    """Its keys come from the picture alone: what is left of place and bias would show."""
    own = embedder(biased, layers=[0])
    biased_model.set_biases(biased.model, 0.0, seed=1)
    plain = own.pictures([picture(1), picture(1)])
    biased_model.set_biases(biased.model, 150.0, seed=1)
    biased.forget()
    for number in range(20):
        shown = picture(1 if number in (0, 1, 14, 15) else number)
        biased.append_frame(shown, number * SECOND)
    cached = {info.frame: vector for info, vector in own.cached(biased.stream.cache)}
    scale = np.abs(plain).max()
    for frame in (0, 14):
        assert np.abs(cached[frame] - plain).max() < 1e-3 * scale
    assert np.abs(cached[2] - plain).max() > 0.1 * scale
    assert {info.frame for info, _ in own.cached(biased.stream.cache, after=16)} == {18}


def test_large_biases_leave_later_layers_alike(biased):
    own = embedder(biased)
    vectors = {}
    for deviation in (0.0, 150.0):
        biased_model.set_biases(biased.model, deviation, seed=1)
        vectors[deviation] = np.stack([own.pictures([picture(i), picture(i)]) for i in range(4)])
    for plain, large in zip(*vectors.values()):
        assert cosine(plain, large) > 0.98
    differences = vectors[0.0] - vectors[0.0].mean(0)
    again = vectors[150.0] - vectors[150.0].mean(0)
    nearest = [max(range(4), key=lambda j: cosine(each, again[j])) for each in differences]
    assert nearest == list(range(4))


def test_tiny_ranks_moments_with_a_thing_before_others(tiny):
    own = tiny.questions.embedder()
    vectors, seen = [], []
    for seed in range(10):
        scene = make_scene(HELD_OUT_SEED + 8000 + seed, seconds=6.0, fps=2.0)
        for start in range(0, len(scene.frames) - 1, 4):
            vectors.append(own.pictures(scene.frames[start : start + 2]))
            times = scene.times[start : start + 2]
            seen.append(
                {
                    thing.name
                    for thing in scene.things
                    if all(scene.visible_part(thing, at) > 0.6 for at in times)
                }
            )
    matrix, before = np.stack(vectors), []
    for name in sorted(set().union(*seen)):
        scores = matrix @ own.question(f'When did you last see a {name}?')
        there = np.array([name in names for names in seen])
        before.append(float((scores[there][:, None] > scores[~there]).mean()))
    # By chance half of the pairs are in order.
    assert np.mean(before) > 0.68


def test_vectors_depend_on_nothing_else(tiny):
    own = tiny.questions.embedder()
    frames = make_scene(HELD_OUT_SEED + 1, seconds=2.0, fps=2.0).frames
    first = own.pictures(frames)
    assert first.shape == (own.dimensions,) == (512,)
    assert first.dtype == np.float32
    own.pictures(frames[::-1])
    assert np.array_equal(own.pictures(frames), first)
    assert np.array_equal(tiny.questions.embedder().pictures(frames), first)
    assert own.question('Where is it?').shape == (512,)
    assert tiny.questions.embedder().fingerprint == own.fingerprint
    with torch.no_grad():
        weight = tiny.model.parts.layers[0].self_attn.o_proj.weight
        weight += 1.0
        assert tiny.questions.embedder().fingerprint != own.fingerprint
        weight -= 1.0


def test_what_is_no_moment_is_refused(tiny):
    own = tiny.questions.embedder()
    for frames in ([], [np.zeros((4, 4), np.uint8)]):
        with pytest.raises(StreamError):
            own.pictures(frames)
    with pytest.raises(StreamError, match='question is empty'):
        own.question(' ')


@pytest.mark.parametrize(
    ('layers', 'kv_heads', 'head_size', 'expected'),
    [
        (8, 2, 64, ([4, 5, 6, 7], [0, 1])),
        (36, 2, 128, ([22, 31], [0, 1])),
        (28, 4, 128, ([21], [0, 1, 2, 3])),
        (36, 8, 128, ([27], [0, 2, 4, 6])),
        (1, 1, 64, ([0], [0])),
    ],
)
def test_layers_are_spread_over_the_second_half(layers, kv_heads, head_size, expected):
    assert chosen(layers, kv_heads, head_size) == expected
