# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A random model with key biases as large as those that are published of Qwen2 and Qwen2.5.

It imitates published observations and has none of the real weights. Of Qwen2.5-7B the biases of
the key projection have a norm of 605 in the first layer and of 921 in the last, where the median
layer has 22 (ggml-org/llama.cpp issue 21385); large values of keys are in few channels, those with
the slowest rotation (arXiv 2502.01563). So here: the first and the last layer, four channels a
head among the slowest. A deviation of 150 is a norm of 600 for the four heads that 7B has. These
two are half of the layers here and two of 28 there.

Such a channel is nearly the same number in every key, which moves all scores alike: attention
without rounding stays what it is without biases, and the median head looks at 80 keys of some 800
at a deviation of 0 as at one of 150 (``kv8_random.keys_seen``). Biases in any channel
(``--slowest 64``) leave it 15 at 150, and in the worst case one alone: another model, and little
to hold rounding to.

Queries have no biases. Real ones have; one of 5 in the same channels (``--query-bias 5``) more
than doubles what the rounding of keys does at 150, in bf16 too, which real models bear. So that
imitation is too hard, and this one may be too mild.
"""

from __future__ import annotations

import torch

from benchmark.common.dimensions import build_model, TEXT, TOY_VISION
from streamvlm_ros.engine import StreamQwenModel
from streamvlm_ros.engine.models.processor import StreamProcessor

# Heads as wide as 7B's, and as many of keys and values; the rest is cut down to what a CPU can do.
SHAPE = TEXT['7B'] | {
    'hidden_size': 1536,
    'num_hidden_layers': 4,
    'num_attention_heads': 12,
    'intermediate_size': 3072,
    'vocab_size': 4096,
}
BIASED, CHANNELS, SLOWEST = (0, 3), 4, 16
# Random queries would look at all keys nearly alike, and no error of a key would matter.
SHARPNESS = 3.0


def build() -> tuple[StreamQwenModel, StreamProcessor]:
    """Return a random model in float32 on the CPU that has no biases yet, and a processor."""
    model, processor = build_model(SHAPE, TOY_VISION, 'cpu', torch.float32)
    with torch.no_grad():
        for layer in model.model.language_model.layers:
            layer.self_attn.q_proj.weight *= SHARPNESS
    return model, processor


def set_biases(
    model: StreamQwenModel, deviation: float, seed: int, query: float = 0.0, slowest: int = SLOWEST
) -> None:
    """Draw key biases, normally distributed; those of one seed are in the same channels.

    Args:
        model: of ``build``.
        deviation: the standard deviation of those that are not 0.
        seed: of the channels and of what they get.
        query: the deviation of queries' biases in the same channels.
        slowest: number of pairs of channels, those with the slowest rotation, to draw from.

    """
    generator = torch.Generator().manual_seed(seed)
    for index in BIASED:
        attention = model.model.language_model.layers[index].self_attn
        kv_heads = model.parts.kv_heads
        keys = torch.zeros(kv_heads, attention.head_dim)
        groups = model.parts.heads // kv_heads
        queries = torch.zeros(kv_heads, groups, attention.head_dim)
        for head in range(kv_heads):
            pairs = attention.head_dim // 2
            channels = pairs - 1 - torch.randperm(slowest, generator=generator)[:CHANNELS]
            channels += pairs * torch.randint(2, (CHANNELS,), generator=generator)
            keys[head, channels] = torch.randn(CHANNELS, generator=generator)
            queries[head][:, channels] = torch.randn(
                queries.shape[1], CHANNELS, generator=generator
            )
        with torch.no_grad():
            attention.k_proj.bias.copy_(deviation * keys.flatten())
            attention.q_proj.bias.copy_(query * queries.flatten())
