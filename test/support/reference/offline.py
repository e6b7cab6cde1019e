# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the engine is held to: stock transformers on the whole prompt, with positions of its own.

Written apart from the engine on purpose: nothing here calls its position or cache code.
"""

from __future__ import annotations

import functools
import math

from support.models.random_models import random_model
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

Grid = tuple[int, int, int]


@functools.cache
def stock_model(shape: str) -> Qwen2_5_VLForConditionalGeneration:
    """Return transformers' own class with the random model's weights."""
    model = random_model(shape)
    stock = Qwen2_5_VLForConditionalGeneration._from_config(
        model.config, attn_implementation='eager'
    ).eval()
    stock.load_state_dict(model.state_dict(), strict=True)
    return stock


def reference_positions(
    ids: list[int], videos: list[tuple[Grid, list[float]]], pad: int, tokens_per_second: float
) -> torch.Tensor:
    """Return positions [3, len(ids)] token by token, by docs/design/positions.md.

    ``videos`` are merged grids and the seconds of their temporal patches.
    """
    rows: list[tuple[int, int, int]] = []
    index = 0
    videos = list(videos)
    while index < len(ids):
        following = max((max(row) for row in rows), default=-1) + 1
        if ids[index] != pad:
            rows.append((following, following, following))
            index += 1
            continue
        (_, height, width), seconds = videos.pop(0)
        for second in seconds:
            step = math.floor(round((second - seconds[0]) * 1e9) * tokens_per_second / 1e9)
            for y in range(height):
                for x in range(width):
                    rows.append((following + step, following + y, following + x))
                    index += 1
    return torch.tensor(rows).T


@torch.no_grad()
def generate(
    shape: str,
    ids: list[int],
    videos: list[tuple[Grid, list[float]]],
    patches: torch.Tensor,
    new_tokens: int,
    stop: int,
) -> tuple[list[int], torch.Tensor]:
    """Greedily generate with stock transformers; the whole prompt is run for every token.

    Returns:
        The tokens, and the logits of the first one.

    """
    stock = stock_model(shape)
    pad = stock.config.video_token_id
    rate = stock.config.vision_config.tokens_per_second
    first = None
    tokens: list[int] = []
    while len(tokens) < new_tokens and stop not in tokens:
        sequence = [*ids, *tokens]
        positions = reference_positions(sequence, videos, pad, rate)
        logits = stock(
            input_ids=torch.tensor([sequence]),
            position_ids=positions[:, None],
            attention_mask=torch.ones(1, len(sequence), dtype=torch.long),
            pixel_values_videos=patches,
            video_grid_thw=torch.tensor([[t, 2 * h, 2 * w] for (t, h, w), _ in videos]),
            use_cache=False,
        ).logits[0, -1]
        first = logits if first is None else first
        tokens.append(int(logits.argmax()))
    assert first is not None
    return tokens, first
