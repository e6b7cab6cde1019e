# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The stock model run on packed batches, with positions and masks of our own."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from streamvlm_ros.engine.frames import PixelSettings
from streamvlm_ros.engine.vision import encode_video
from training.data import Batch, IGNORED


def cut_patches(frames: torch.Tensor, pixels: PixelSettings) -> torch.Tensor:
    """Return patches of uint8 frames [..., h, w, 3] (pairs in order), as the engine cuts them."""
    x = frames.flatten(0, -4).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(v, device=x.device).view(3, 1, 1) * 255
                 for v in (pixels.mean, pixels.std))
    x = (x - mean) / std
    count, _, height, width = x.shape
    merge, patch = pixels.merge_size, pixels.patch_size
    x = x.view(count // 2, 2, 3, height // pixels.factor, merge, patch,
               width // pixels.factor, merge, patch)
    return x.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(
        -1, 3 * pixels.temporal_patch_size * patch * patch)


def packed_mask(batch: Batch) -> torch.Tensor:
    """Return who sees whom, bool [batch, 1, n, n]."""
    index = torch.arange(batch.ids.shape[1], device=batch.ids.device)
    earlier = index[None, :, None] >= index[None, None, :]
    trunk = (batch.owner[:, None, :] == 0) & (index[None, None, :] < batch.limit[:, :, None])
    same = (batch.owner[:, :, None] == batch.owner[:, None, :]) & earlier
    return (trunk | same)[:, None]


def hidden_states(model: Any, batch: Batch, pixels: PixelSettings,
                  ) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the last hidden states [batch, n, d] and the video embeddings [tokens, d]."""
    visual, text = model.model.visual, model.model.language_model
    video = encode_video(visual, cut_patches(batch.frames, pixels), batch.grid)
    embeddings = text.embed_tokens(batch.ids)
    is_video = (batch.ids == model.config.video_token_id) & (batch.owner == 0)
    embeddings = embeddings.masked_scatter(is_video[..., None], video.to(embeddings.dtype))
    output = text(inputs_embeds=embeddings, position_ids=batch.positions,
                  attention_mask={'full_attention': packed_mask(batch)}, use_cache=False)
    return output.last_hidden_state, video


def answer_logits(model: Any, hidden: torch.Tensor, batch: Batch,
                  ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return logits [n, vocabulary] for the n answer tokens, their labels, their places [n, 2]."""
    place = (batch.labels != IGNORED).nonzero()
    chosen = hidden[place[:, 0], place[:, 1] - 1]
    return model.lm_head(chosen).float(), batch.labels[place[:, 0], place[:, 1]], place


def mark_loss(logits: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:
    """Return the loss of the thrown-away head that names what each video token shows."""
    # What is there is rare; weigh it up, else 'nothing' is learnt first and for long.
    weight = torch.full_like(marks[0], 4.0)
    return functional.binary_cross_entropy_with_logits(logits.float(), marks, pos_weight=weight)
