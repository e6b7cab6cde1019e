# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a streamed Qwen3-VL is held to: stock transformers, with prompt and positions written out.

Written apart from the engine on purpose: nothing here calls its prompt, position or cache code.
"""

from __future__ import annotations

from collections.abc import Sequence
import functools
import itertools
from typing import Any

import numpy as np
from support.models.random_qwen3 import PIXELS, random_model
from support.reference.memory import encode, Item, NEXT_USER, ReferenceStream, SYSTEM
import torch
from transformers import Qwen3VLForConditionalGeneration

from streamvlm_ros.engine.models.preprocessing import to_patches

PAD, START, END = '<|video_pad|>', '<|vision_start|>', '<|vision_end|>'


@functools.cache
def stock_model(shape: str) -> Qwen3VLForConditionalGeneration:
    """Return transformers' own class with the random model's weights."""
    model = random_model(shape)
    stock = Qwen3VLForConditionalGeneration._from_config(
        model.config, attn_implementation='eager'
    ).eval()
    stock.load_state_dict(model.state_dict(), strict=True)
    return stock


def time_text(first: float, last: float) -> str:
    """Return what stands before a patch of two frames, in seconds since the video began."""
    return f'<{(first + last) / 2:.1f} seconds>'


def video_text(seconds: Sequence[float], tokens: int) -> str:
    """Return a video's part of the prompt: each patch in marks of its own after its time.

    ``seconds`` are the frames', an even number of them; a patch has so many tokens.
    """
    pairs = zip(seconds[::2], seconds[1::2])
    return ''.join(f'{time_text(*pair)}{START}{PAD * tokens}{END}' for pair in pairs)


def written_positions(
    ids: Sequence[int], grids: Sequence[tuple[int, int]], pad: int
) -> torch.Tensor:
    """Return positions [3, len(ids)] token by token; ``grids`` are each patch's rows, columns."""
    rows: list[tuple[int, int, int]] = []
    waiting, following = list(grids), 0
    while len(rows) < len(ids):
        if ids[len(rows)] != pad:
            rows.append((following,) * 3)
            following += 1
            continue
        height, width = waiting.pop(0)
        places = itertools.product(range(height), range(width))
        rows += [(following, following + y, following + x) for y, x in places]
        following += max(height, width)
    assert not waiting
    return torch.tensor(rows).T


@torch.no_grad()
def generate(
    shape: str, ids: list[int], grids: Sequence[tuple[int, int]], patches: torch.Tensor, most: int
) -> tuple[list[int], torch.Tensor]:
    """Greedily generate with stock transformers; the whole prompt is run for every token.

    Returns:
        The tokens, and the logits of the first one.

    """
    stock = stock_model(shape)
    stop, pad = encode('<|im_end|>')[0], stock.config.video_token_id
    first = None
    tokens: list[int] = []
    while len(tokens) < most and stop not in tokens:
        sequence = [*ids, *tokens]
        logits = stock(
            input_ids=torch.tensor([sequence]),
            position_ids=written_positions(sequence, grids, pad)[:, None],
            attention_mask=torch.ones(1, len(sequence), dtype=torch.long),
            pixel_values_videos=patches,
            video_grid_thw=torch.tensor([[1, 2 * h, 2 * w] for h, w in grids]),
            use_cache=False,
        ).logits[0, -1]
        first = logits if first is None else first
        tokens.append(int(logits.argmax()))
    assert first is not None
    return tokens, first


class TimedStream(ReferenceStream):
    """``ReferenceStream`` for a family that writes the time before every temporal patch."""

    def __init__(
        self,
        shape: str,
        chunk: int,
        limit: int,
        seconds: float = 0.0,
        kept_turns: int = 8,
        largest: int = 10**9,
    ) -> None:
        """Begin empty."""
        super().__init__(shape, chunk, True, limit, seconds, kept_turns, largest)
        self.began = 0.0

    def frame(self, image: np.ndarray, second: float) -> None:
        """See ``ReferenceStream``; times are counted from the first frame."""
        self.began = second if self.count == 0 else self.began
        super().frame(image, second)

    def rate(self) -> float:
        """See ``ReferenceStream``: T stands still inside a patch."""
        return 0.0

    def chunk_items(self, frames: list[tuple[np.ndarray, float, int]]) -> list:
        """See ``ReferenceStream``."""
        cut, grid = to_patches([image for image, _, _ in frames], PIXELS, torch.device('cpu'))
        self.patches.append(cut)
        self.grids.append([grid.t, 2 * grid.h, 2 * grid.w])
        pieces: list = []
        if self.place == 'nothing':
            pieces.append((Item('prefix', 0, []), encode(SYSTEM), None))
        if self.place == 'end':
            pieces.append((Item('turn', self.turn, []), encode(NEXT_USER), None))
        for (_, first, number), (_, last, _) in zip(frames[::2], frames[1::2]):
            self.segment += 1
            written = time_text(first - self.began, last - self.began)
            pieces += [
                (Item('mark', self.segment, []), encode(written + START), None),
                (
                    Item('patch', self.segment, [], first, first, number),
                    encode(PAD) * (grid.h * grid.w),
                    (grid.h, grid.w),
                ),
                (Item('mark', self.segment, []), encode(END), None),
            ]
        self.place, self.size = 'user', frames[0][0].shape
        return pieces

    def logits(self) -> torch.Tensor:
        """See ``ReferenceStream``."""
        return forward(self)


@torch.no_grad()
def forward(stream: TimedStream) -> torch.Tensor:
    """Return the logits of the last token: all tokens, layer by layer, pass by pass."""
    stock = stock_model(stream.shape)
    text, config = stock.model.language_model, stock.config.text_config
    ids = torch.tensor(stream.ids)
    hidden, video = text.embed_tokens(ids), ids == stock.config.video_token_id
    seen = stock.model.get_video_features(torch.cat(stream.patches), torch.tensor(stream.grids))
    hidden[video] = torch.cat(list(seen.pooler_output))
    features = [torch.cat(list(each)) for each in seen.deepstack_features]
    width = text.layers[0].self_attn.head_dim
    groups = config.num_attention_heads // config.num_key_value_heads
    for index, layer in enumerate(text.layers):
        attention = layer.self_attn
        x = layer.input_layernorm(hidden)
        query, key, value = (
            project(x).view(1, len(x), -1, width).transpose(1, 2)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        query, key = attention.q_norm(query), attention.k_norm(key)
        out = torch.empty_like(query)
        for each in stream.passes:
            own = list(each.tokens)
            visible = each.seen + own
            places = torch.tensor([each.positions[token] for token in visible])
            keys = _rotated(stock, key[:, :, visible], places).repeat_interleave(groups, 1)
            own_queries = _rotated(stock, query[:, :, own], places[len(each.seen) :])
            scores = own_queries @ keys.mT / width**0.5
            causal = torch.ones(len(own), len(own), dtype=torch.bool).triu(1)
            scores[..., len(each.seen) :].masked_fill_(causal, float('-inf'))
            values = value[:, :, visible].repeat_interleave(groups, 1)
            out[:, :, own] = scores.softmax(-1) @ values
        hidden = hidden + attention.o_proj(out[0].transpose(0, 1).reshape(len(x), -1))
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        if index < len(features):
            hidden[video] += features[index]
    return stock.lm_head(text.norm(hidden[-1]))


def _rotated(stock: Any, x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Rotate [1, heads, n, width] to places [n, 3], band by band; the axes take turns."""
    _, rows, columns = stock.config.text_config.rope_parameters['mrope_section']
    frequencies = stock.model.language_model.rotary_emb.inv_freq
    half = len(frequencies)
    result = x.clone()
    for band in range(half):
        turn = band % 3
        axis = turn if turn and band < 3 * (rows, columns)[turn - 1] else 0
        angle = places[:, axis].float() * frequencies[band]
        a, b = x[..., band], x[..., band + half]
        result[..., band] = a * angle.cos() - b * angle.sin()
        result[..., band + half] = b * angle.cos() + a * angle.sin()
    return result
