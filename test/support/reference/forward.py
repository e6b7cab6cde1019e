# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One forward over a stream's whole history, every query masked from what was gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.reference.offline import stock_model
import torch

if TYPE_CHECKING:
    from support.reference.memory import ReferenceStream


def rotated(shape: str, x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Rotate [1, heads, n, head_dim] to places [n, 3], band by band."""
    stock = stock_model(shape)
    sections = stock.config.text_config.rope_parameters['mrope_section']
    axes = [axis for axis, size in enumerate(sections) for _ in range(size)]
    result = x.clone()
    for band, axis in enumerate(axes):
        angle = places[:, axis].float() * stock.model.language_model.rotary_emb.inv_freq[band]
        a, b = x[..., band], x[..., band + len(axes)]
        result[..., band] = a * angle.cos() - b * angle.sin()
        result[..., band + len(axes)] = b * angle.cos() + a * angle.sin()
    return result * stock.model.language_model.rotary_emb.attention_scaling


def embeddings(stream: ReferenceStream) -> torch.Tensor:
    """Return the embeddings of all tokens."""
    stock = stock_model(stream.shape)
    ids = torch.tensor(stream.ids)
    hidden = stock.get_input_embeddings()(ids)
    video = stock.model.get_video_features(torch.cat(stream.patches), torch.tensor(stream.grids))
    hidden[ids == stock.config.video_token_id] = torch.cat(list(video.pooler_output))
    return hidden


@torch.no_grad()
def forward(stream: ReferenceStream) -> torch.Tensor:
    """Return the logits of the last token: all tokens, layer by layer, pass by pass."""
    stock = stock_model(stream.shape)
    text, config = stock.model.language_model, stock.config.text_config
    hidden = embeddings(stream)
    width = text.layers[0].self_attn.head_dim
    groups = config.num_attention_heads // config.num_key_value_heads
    for layer in text.layers:
        attention = layer.self_attn
        x = layer.input_layernorm(hidden)
        query, key, value = (
            project(x).view(1, len(x), -1, width).transpose(1, 2)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        out = torch.empty_like(query)
        for each in stream.passes:
            own = list(each.tokens)
            index = each.seen + own
            places = torch.tensor([each.positions[token] for token in index])
            keys = rotated(stream.shape, key[:, :, index], places).repeat_interleave(groups, 1)
            own_queries = rotated(stream.shape, query[:, :, own], places[len(each.seen) :])
            scores = own_queries @ keys.mT / width**0.5
            causal = torch.ones(len(own), len(own), dtype=torch.bool).triu(1)
            scores[..., len(each.seen) :].masked_fill_(causal, float('-inf'))
            out[:, :, own] = scores.softmax(-1) @ value[:, :, index].repeat_interleave(groups, 1)
        hidden = hidden + attention.o_proj(out[0].transpose(0, 1).reshape(len(x), -1))
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return stock.lm_head(text.norm(hidden[-1]))


@torch.no_grad()
def stock_forward(stream: ReferenceStream) -> torch.Tensor:
    """Return the same from the stock model, where no position has ever changed."""
    tokens = len(stream.ids)
    mask = torch.full((1, 1, tokens, tokens), float('-inf'))
    for each in stream.passes:
        for token in each.tokens:
            mask[0, 0, token, each.seen + list(range(each.tokens[0], token + 1))] = 0
    stock = stock_model(stream.shape)
    return stock(
        input_ids=torch.tensor([stream.ids]),
        attention_mask=mask,
        position_ids=torch.tensor(stream.positions).T[:, None],
        pixel_values_videos=torch.cat(stream.patches),
        video_grid_thw=torch.tensor(stream.grids),
        use_cache=False,
    ).logits[0, -1]
