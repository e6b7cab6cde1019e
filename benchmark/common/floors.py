# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What cannot be done without: bytes that a token reads, operations that a chunk takes.

Counted from the dimensions alone, so that how an engine lays its weights out changes nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmark.common.dimensions import QWEN3, TEXT, TOY_VISION, VISION

# Bytes of a weight of the decoder's layers, by bits. In 4, a 16-bit scale for every 128 besides.
LAYER_BYTES = {16: 2.0, 8: 1.0, 4: 0.5 + 2 / 128}
MERGE = 4  # patches to a token


@dataclasses.dataclass(frozen=True)
class Floors:
    """The floors of one of the published dimensions.

    Attributes:
        layers: weights of the decoder's layers.
        head: weights of the vocabulary's matrix, read once a token.
        embedding: weights of the token embedding, if that is a separate matrix.
        visual: weights of the ViT with its merger.
        kv_values: keys and values of one token, all layers.

    """

    layers: int
    head: int
    embedding: int
    visual: int
    kv_values: int
    _text: dict[str, Any]
    _vision: dict[str, Any]

    @property
    def weights(self) -> int:
        """All weights."""
        return self.layers + self.head + self.embedding + self.visual

    def token_bytes(self, cached: int, layer_bytes: float = 2.0) -> float:
        """Return the bytes that a question or a token reads: weights, and keys and values.

        ``layer_bytes`` is what a weight of a layer takes; all the rest has 16 bits.
        """
        return self.layers * layer_bytes + 2.0 * self.head + 2.0 * cached * self.kv_values

    def chunk_flops(self, tokens: int, cached: int, tokens_a_patch: int) -> float:
        """Return the operations of a chunk of `tokens` after `cached` tokens, ViT and decoder."""
        text, vision = self._text, self._vision
        width = text['num_attention_heads'] * _head_size(text)
        attention = 4.0 * text['num_hidden_layers'] * width * tokens * (cached + tokens / 2)
        patches = tokens * MERGE
        # Qwen3-VL's ViT has no windows.
        full = len(vision.get('fullatt_block_indexes', range(vision['depth'])))
        window = (vision.get('window_size', 0) // 14) ** 2
        keys = (vision['depth'] - full) * window + full * tokens_a_patch * MERGE
        merger = _mergers(text, vision)
        return (
            2.0 * self.layers * tokens
            + attention
            + 2.0 * (self.visual - merger) * patches
            + 4.0 * patches * keys * vision['hidden_size']
            + 2.0 * merger * tokens
        )


def floors(name: str) -> Floors:
    """Return the floors of some of the dimensions."""
    third = name in QWEN3
    if third:
        text, vision = QWEN3[name]
    else:
        text, vision = TEXT[name], TOY_VISION if name == 'toy' else VISION
    hidden = text['hidden_size']
    queries = text['num_attention_heads'] * _head_size(text)
    keys = 2 * text['num_key_value_heads'] * _head_size(text)
    layer = hidden * (2 * queries + keys) + 3 * hidden * text['intermediate_size']
    wide = vision['hidden_size']
    block = 4 * wide * wide + (2 if third else 3) * wide * vision['intermediate_size']
    # Values of a patch: 3 colours of 2 frames. The table of positions is read, not multiplied.
    values = 3 * 2 * (16 if third else 14) ** 2
    head = text['vocab_size'] * hidden
    return Floors(
        layers=text['num_hidden_layers'] * layer,
        head=head,
        embedding=0 if text['tie_word_embeddings'] else head,
        visual=vision['depth'] * block + values * wide + _mergers(text, vision),
        kv_values=text['num_hidden_layers'] * keys,
        _text=text,
        _vision=vision,
    )


def _head_size(text: dict[str, Any]) -> int:
    return int(text.get('head_dim') or text['hidden_size'] // text['num_attention_heads'])


def _mergers(text: dict[str, Any], vision: dict[str, Any]) -> int:
    """Return the weights of the merger, and of those for the first decoder layers."""
    wide = MERGE * vision['hidden_size']
    number = 1 + len(vision.get('deepstack_visual_indexes', ()))
    return number * (wide * wide + wide * int(text['hidden_size']))
