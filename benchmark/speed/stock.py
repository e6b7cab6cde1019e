# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The other side of `benchmark.speed`: transformers' own modules, with the same weights.

Streaming the eager way, into a DynamicCache, kept clean by a deep copy; and offline, the whole
prompt again for a question. The cache is filled with random keys and values, which takes no time.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import (
    DynamicCache,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLForConditionalGeneration,
)

from benchmark.common.timing import quartiles, Timer
from benchmark.speed.ours import chunk_tokens, FRAMES, PIXELS, QUESTION_TOKENS

CLASSES: dict[str, Any] = {
    'qwen2_5_vl': Qwen2_5_VLForConditionalGeneration,
    'qwen3_vl': Qwen3VLForConditionalGeneration,
}
STEPS = 8  # decode steps that are timed as one


class Stock:
    """Stock modules after some cached tokens."""

    def __init__(self, model: Any, cached: int, timed: Timer) -> None:
        """Fill a cache."""
        stock = stock_over(model)
        self._text, self._visual = stock.model.language_model, stock.model.visual
        self._head, self._timed, self._cached = stock.lm_head, timed, cached
        self._like: dict[str, Any] = dict(device=model.device, dtype=model.dtype)
        config = model.config.text_config
        self._width = config.hidden_size
        heads = config.num_key_value_heads
        head_dim = model.parts.head_size
        self._cache = DynamicCache(config=config)
        for layer in range(config.num_hidden_layers):
            self._cache.update(
                *(torch.randn(1, heads, cached, head_dim, **self._like) for _ in range(2)), layer
            )
        self._chunk_size = chunk_tokens(model)
        side = PIXELS // model.family.pixels.patch_size
        values = model.model.visual.patch_embed.proj.weight[0].numel()
        self._patches = torch.randn(FRAMES // 2 * side**2, values, **self._like)
        self._grid = torch.tensor([[FRAMES // 2, side, side]], device=model.device)

    def stream(self) -> dict[str, Any]:
        """Return quartiles in ms: a chunk, a question, a token, a snapshot."""
        return {
            'chunk_ms': quartiles(self._timed(self._chunk, 5)),
            'vit_ms': quartiles(self._timed(self._encode, 5, 1)),
            'ttft_ms': quartiles(self._timed(self._first, 5)),
            'token_ms': [ms / STEPS for ms in quartiles(self._timed(self._decode, 3, 1))],
            'snapshot_ms': quartiles(self._timed(lambda: copy.deepcopy(self._cache), 3, 1)),
        }

    def offline(self) -> dict[str, Any]:
        """Return the time of a question without a cache: the ViT on every chunk, all tokens.

        The ViT's time is a chunk's, as often as there are chunks: stock loops over windows.
        """
        self._cache = DynamicCache(config=self._text.config)  # frees what streaming held
        times = self._timed(lambda: self._run(self._cached + QUESTION_TOKENS, 0, None), 2, 1)
        vit = quartiles(self._timed(self._encode, 3, 0))[1] * self._cached / self._chunk_size
        return {
            'offline_llm_ms': quartiles(times),
            'offline_vit_ms': vit,
            'offline_ms': [ms + vit for ms in quartiles(times)],
        }

    def _run(self, tokens: int, start: int, into: DynamicCache | None) -> torch.Tensor:
        hidden = torch.randn(1, tokens, self._width, **self._like) * 0.02
        positions = torch.arange(start, start + tokens, device=hidden.device).expand(3, 1, -1)
        output = self._text(
            inputs_embeds=hidden,
            position_ids=positions,
            past_key_values=into,
            use_cache=into is not None,
        )
        logits: torch.Tensor = self._head(output.last_hidden_state[:, -1:])
        return logits

    def _encode(self) -> None:
        self._visual(self._patches, grid_thw=self._grid)

    def _chunk(self) -> None:
        self._encode()
        self._run(self._chunk_size, self._cached, self._cache)
        self._cache.crop(-self._chunk_size)

    def _first(self) -> None:
        self._run(QUESTION_TOKENS, self._cached, self._cache).argmax(-1).item()
        self._cache.crop(-QUESTION_TOKENS)

    def _decode(self) -> None:
        for i in range(STEPS):
            self._run(1, self._cached + i, self._cache).argmax(-1).item()
        self._cache.crop(-STEPS)


def stock_over(model: Any) -> Any:
    """Return transformers' own class over a model's weights, which are not copied."""
    with torch.device('meta'):
        stock: Any = CLASSES[model.family.model_type]._from_config(
            model.config, attn_implementation='sdpa', dtype=model.dtype
        )
    stock.load_state_dict(model.state_dict(), assign=True)
    for theirs, ours in (
        (stock.model.language_model.rotary_emb, model.model.language_model.rotary_emb),
        (stock.model.visual.rotary_pos_emb, model.model.visual.rotary_pos_emb),
    ):
        theirs.inv_freq = theirs.original_inv_freq = ours.inv_freq
    return stock.eval()
