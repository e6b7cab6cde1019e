# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Biases are drawn where they are said to be, and keys are counted that a question looks at."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.common.dimensions import build, build_model, TEXT, TOY_VISION
from benchmark.quantization import biased_model
from benchmark.quantization.kv8_random import keys_seen
from streamvlm_ros.engine import StreamQwenModel, StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.kvcache.contexts import BranchContext
from streamvlm_ros.engine.questions.branch import Branch

HEAD, KV_HEADS, GROUP = 128, 2, 3
PAIRS = HEAD // 2
Biases = list[tuple[torch.Tensor, torch.Tensor]]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> StreamQwenModel:
    """Return a small one, of whose three layers the outer two are biased."""
    monkeypatch.setattr(biased_model, 'BIASED', (0, 2))
    text = TEXT['toy'] | {
        'num_hidden_layers': 3,
        'hidden_size': HEAD * KV_HEADS * GROUP,
        'num_attention_heads': KV_HEADS * GROUP,
        'num_key_value_heads': KV_HEADS,
    }
    return build_model(text, TOY_VISION, 'cpu', torch.float32)[0]


def biases(model: StreamQwenModel) -> Biases:
    """Return those of keys [heads, head_dim] and queries [heads, group, head_dim], by layer."""
    layers = [layer.self_attn for layer in model.model.language_model.layers]
    return [
        (
            each.k_proj.bias.detach().clone().view(KV_HEADS, HEAD),
            each.q_proj.bias.detach().clone().view(KV_HEADS, GROUP, HEAD),
        )
        for each in layers
    ]


def drawn(model: StreamQwenModel, deviation: float, seed: int = 3, **others: float) -> Biases:
    biased_model.set_biases(model, deviation, seed, **others)
    return biases(model)


def test_without_deviation_there_are_no_biases(model: StreamQwenModel) -> None:
    drawn(model, 150.0, query=5.0)
    for layer in biased_model.BIASED:
        assert not any(each.any() for each in drawn(model, 0.0)[layer])


def test_a_seed_has_its_channels_and_the_deviation_their_size(model: StreamQwenModel) -> None:
    for one, other in zip(drawn(model, 10.0), drawn(model, 150.0)):
        torch.testing.assert_close(15.0 * one[0], other[0])
    another = drawn(model, 150.0, seed=4)
    for layer in biased_model.BIASED:
        assert not torch.equal(another[layer][0], other[0])


def test_biases_lie_in_a_few_of_the_slowest_channels(model: StreamQwenModel) -> None:
    parts = set()
    for seed in range(20):
        keys, queries = drawn(model, 150.0, seed, query=5.0)[0]
        for head in range(KV_HEADS):
            channels = keys[head].nonzero().flatten()
            pairs = {int(channel) % PAIRS for channel in channels}
            assert len(channels) == len(pairs) == biased_model.CHANNELS
            assert min(pairs) >= PAIRS - biased_model.SLOWEST
            parts |= {int(channel) // PAIRS for channel in channels}
            for query in queries[head]:
                assert torch.equal(query.nonzero().flatten(), channels)
    assert parts == {0, 1}


def test_other_layers_are_left_alone(model: StreamQwenModel) -> None:
    with torch.no_grad():
        attention = model.model.language_model.layers[1].self_attn
        attention.k_proj.bias.normal_()
        attention.q_proj.bias.normal_()
    before, after = biases(model), drawn(model, 150.0, query=5.0)
    for old, new, same in zip(before, after, (False, True, False)):
        assert [torch.equal(*pair) for pair in zip(old, new)] == [same, same]


def test_keys_that_are_all_alike_are_all_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(biased_model, 'BIASED', (1,))
    model, processor = build('toy', 'cpu', torch.float32)
    attention = model.model.language_model.layers[1].self_attn
    engine = VideoStreamingInference(
        model, processor, settings=StreamSettings(sample_rate=0.0, chunk_frames=2, capacity=256)
    )
    rng = np.random.default_rng(0)
    for number in range(4):
        engine.append_frame(rng.integers(0, 256, (56, 84, 3), np.uint8), number * 250_000_000)
    cache, attend = engine.stream.cache, BranchContext.attend
    seen = []
    for sharpness in (0.0, 10.0):
        with torch.inference_mode(), keys_seen() as noted:
            attention.q_proj.weight.normal_(std=sharpness)
            attention.q_proj.bias.zero_()
            branch = Branch(model, cache, engine.stream.state)
            branch.prefill([5, 6, 7])
            branch.prefill([8])
            branch.close()
        seen.append(torch.stack(noted))
        assert BranchContext.attend is attend
    keys = torch.tensor([[cache.length + 3.0], [cache.length + 4.0]])
    torch.testing.assert_close(seen[0], keys.expand(-1, 2))
    assert cache.length > 10 and (seen[1] > 0.999).all() and (seen[1] < keys / 2).all()


def test_attention_is_as_before_also_behind_an_exception() -> None:
    attend = BranchContext.attend
    with pytest.raises(RuntimeError, match='meant'), keys_seen():
        assert BranchContext.attend is not attend
        raise RuntimeError('meant')
    assert BranchContext.attend is attend
